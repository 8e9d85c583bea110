#include <assert.h>

#include "catalog/catalog_priv.h"

nx_rc nx_sql_err(struct nx_err *err, int sqlite_rc, const char *what)
{
	nx_rc rc = NX_E_INTERNAL;

	switch (sqlite_rc & 0xff) {
	case SQLITE_NOMEM:
		rc = NX_E_NOMEM;
		break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		rc = NX_E_BUSY;
		break;
	case SQLITE_FULL:
		rc = NX_E_NOSPACE;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		rc = NX_E_CORRUPT;
		break;
	case SQLITE_IOERR: /* DATA: a page did not authenticate */
		rc = sqlite_rc == SQLITE_IOERR_DATA ? NX_E_CORRUPT : NX_E_IO;
		break;
	case SQLITE_CANTOPEN:
		rc = NX_E_IO;
		break;
	case SQLITE_READONLY:
		rc = NX_E_READONLY;
		break;
	case SQLITE_CONSTRAINT:
		rc = NX_E_CONFLICT;
		break;
	case SQLITE_TOOBIG:
		rc = NX_E_LIMIT;
		break;
	}
	return nx_err_set(
		err, rc, "catalog: %s: %s (%d)", what, sqlite3_errstr(sqlite_rc), sqlite_rc);
}

nx_rc nx_sql_exec(sqlite3 *db, const char *sql, struct nx_err *err)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	return rc ? nx_sql_err(err, rc, "statement") : NX_OK;
}

void nx_sql_rollback(sqlite3 *db)
{
	/* Some errors have rolled back already; a failed rollback leaves nothing to do. */
	if (!sqlite3_get_autocommit(db))
		(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
}

nx_rc nx_sql_prepare(
	sqlite3 *db, struct nx_buf *sql, bool keep, sqlite3_stmt **ret_stmt, struct nx_err *err)
{
	const char *text = nx_buf_cstr(sql);
	sqlite3_stmt *stmt;
	int rc;

	if (!text)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a statement");
	rc = sqlite3_prepare_v3(db, text, -1, keep ? SQLITE_PREPARE_PERSISTENT : 0, &stmt, NULL);
	if (rc)
		return nx_sql_err(err, rc, "prepare");
	*ret_stmt = stmt;
	return NX_OK;
}

nx_rc nx_sql_int(sqlite3 *db, const char *sql, int64_t *ret, struct nx_err *err)
{
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	if (rc)
		return nx_sql_err(err, rc, "prepare");
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW ? NX_OK : nx_sql_err(err, rc, "read a number");
}

/* Nothing in a schema or a statement may reach beyond plain tables. */
static int harden(sqlite3 *db)
{
	static const struct {
		int what;
		int on;
	} settings[] = {
		{SQLITE_DBCONFIG_DEFENSIVE, 1},
		{SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
		{SQLITE_DBCONFIG_ENABLE_FKEY, 0},
		{SQLITE_DBCONFIG_ENABLE_VIEW, 0},
		{SQLITE_DBCONFIG_DQS_DDL, 0},
		{SQLITE_DBCONFIG_DQS_DML, 0},
	};
	int rc = SQLITE_OK;

	for (size_t i = 0; i < NX_ARRAY_LEN(settings) && !rc; i++)
		rc = sqlite3_db_config(db, settings[i].what, settings[i].on, NULL);
	return rc;
}

/* An empty file: page size and reserved bytes are fixed by its first page. */
static nx_rc lay_out(sqlite3 *db, struct nx_err *err)
{
	int reserve = CAT_RESERVE;
	char sql[128];
	int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve);

	if (rc)
		return nx_sql_err(err, rc, "reserve bytes");
	/* In memory, as the VFS refuses rollback journals; only this first page needs one. */
	(void)snprintf(sql, sizeof(sql),
		"PRAGMA page_size = %d; PRAGMA journal_mode = MEMORY; PRAGMA journal_mode = WAL",
		CAT_PAGE);
	return nx_sql_exec(db, sql, err);
}

static nx_rc configure(
	sqlite3 *db, const struct conn_target *target, enum conn_role role, struct nx_err *err)
{
	static const int cache_kib[] = {
		[CONN_WRITER] = CAT_WRITER_CACHE_KIB,
		[CONN_READER] = CAT_READER_CACHE_KIB,
		[CONN_CHECKPOINT] = CAT_CHECKPOINT_CACHE_KIB,
	};
	char sql[512];
	nx_rc rc;

	(void)snprintf(sql, sizeof(sql),
		"PRAGMA temp_store = MEMORY; PRAGMA synchronous = NORMAL; "
		"PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = %d; "
		"PRAGMA mmap_size = 0; PRAGMA secure_delete = ON; PRAGMA cache_size = -%d; "
		"PRAGMA query_only = %d",
		CAT_WAL_KEEP_BYTES, cache_kib[role], role == CONN_READER);
	if (target->fresh && role == CONN_WRITER && !target->memory) {
		rc = lay_out(db, err);
		if (rc)
			return rc;
	}
	return nx_sql_exec(db, sql, err);
}

nx_rc nx_cat_conn_open(const struct conn_target *target, enum conn_role role,
	struct conn **ret_conn, struct nx_err *err)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
		SQLITE_OPEN_PRIVATECACHE;
	struct conn *conn = calloc(1, sizeof(*conn));
	nx_rc rc = NX_OK;
	int sq;

	if (!conn)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a catalog connection");
	if (role == CONN_WRITER)
		flags |= SQLITE_OPEN_CREATE;
	if (target->memory)
		flags |= SQLITE_OPEN_URI;
	sq = sqlite3_open_v2(target->path, &conn->db, flags, target->vfs);
	if (!sq)
		sq = harden(conn->db);
	if (!sq)
		sq = nx_fold_register(conn->db);
	if (!sq)
		sq = sqlite3_busy_timeout(conn->db, role == CONN_CHECKPOINT ? 0 : CAT_BUSY_MS);
	if (sq)
		rc = nx_sql_err(err, sq, "open");
	else
		rc = configure(conn->db, target, role, err);
	if (rc) {
		(void)nx_cat_conn_free(conn);
		return rc;
	}
	*ret_conn = conn;
	return NX_OK;
}

struct conn *nx_cat_conn_free(struct conn *conn)
{
	int rc;

	if (!conn)
		return NULL;
	for (size_t i = 0; i < CAT_S_COUNT; i++)
		sqlite3_finalize(conn->stmts[i]);
	rc = sqlite3_close(conn->db);
	assert(rc == SQLITE_OK); /* else a statement was left behind */
	free(conn);
	return NULL;
}

#include <assert.h>
#include <errno.h>

#include "base/limits.h"
#include "catalog/catalog_priv.h"

/* ---- readers ---- */

/* Opens one more where all are in use: a row function may look something up while its list holds a
 * connection, so a fixed number could lock up. */
nx_rc nx_cat_take_reader(struct nx_cat *cat, struct conn **ret_conn, struct nx_err *err)
{
	struct pool *pool = &cat->pool;
	struct conn *conn;

	pthread_mutex_lock(&pool->lock);
	conn = pool->free;
	if (conn) {
		pool->free = conn->next;
		pool->n_free--;
	}
	pthread_mutex_unlock(&pool->lock);
	if (!conn)
		return nx_cat_conn_open(&cat->target, CONN_READER, ret_conn, err);
	conn->next = NULL;
	*ret_conn = conn;
	return NX_OK;
}

void nx_cat_give_reader(struct nx_cat *cat, struct conn *conn)
{
	struct pool *pool = &cat->pool;

	pthread_mutex_lock(&pool->lock);
	if (pool->n_free < cat->n_readers) {
		conn->next = pool->free;
		pool->free = conn;
		pool->n_free++;
		conn = NULL;
	}
	pthread_mutex_unlock(&pool->lock);
	(void)nx_cat_conn_free(conn);
}

/* The owner looks through the writer: its pages are in memory, and staged rows show. */
static bool is_owner(struct nx_cat *cat)
{
	return atomic_load(&cat->owned) && pthread_equal(cat->owner, pthread_self());
}

nx_rc nx_cat_take_conn(struct nx_cat *cat, struct conn **ret_conn, struct nx_err *err)
{
	if (!is_owner(cat))
		return nx_cat_take_reader(cat, ret_conn, err);
	*ret_conn = cat->writer;
	return NX_OK;
}

void nx_cat_give_conn(struct nx_cat *cat, struct conn *conn)
{
	if (conn != cat->writer)
		nx_cat_give_reader(cat, conn);
}

static void free_readers(struct pool *pool)
{
	while (pool->free) {
		struct conn *conn = pool->free;

		pool->free = conn->next;
		(void)nx_cat_conn_free(conn);
	}
	pool->n_free = 0;
}

/* ---- schema ---- */

static nx_rc migrate_from(sqlite3 *db, unsigned from, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) sql;
	const char *text;
	nx_rc rc;

	nx_buf_init(&sql, 256 * NX_KIB, 0);
	nx_buf_put_str(&sql, "BEGIN IMMEDIATE;");
	nx_cat_put_ddl(&sql, from);
	nx_buf_put_str(&sql, "COMMIT;");
	text = nx_buf_cstr(&sql);
	if (!text)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the schema");
	rc = nx_sql_exec(db, text, err);
	if (rc)
		nx_sql_rollback(db);
	return rc ? nx_err_prefix(err, rc, "schema %u to %u", from, CAT_SCHEMA) : NX_OK;
}

static nx_rc migrate(sqlite3 *db, struct nx_err *err)
{
	int64_t version = 0;
	nx_rc rc = nx_sql_int(db, "PRAGMA user_version", &version, err);

	if (rc)
		return rc;
	if (version < 0 || version > CAT_SCHEMA)
		return nx_err_set(err, NX_E_VERSION,
			"catalog has schema %lld, this program knows %d", (long long)version,
			CAT_SCHEMA);
	return version == CAT_SCHEMA ? NX_OK : migrate_from(db, (unsigned)version, err);
}

/* ---- open ---- */

static void configure_sqlite(void)
{
	/* Two threads would meet at its counter's lock; refused, and harmless, once in use. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static nx_rc init_locks(struct nx_cat *cat, struct nx_err *err)
{
	pthread_condattr_t attr;
	int e = pthread_mutex_init(&cat->write_lock, NULL);

	if (!e)
		e = pthread_mutex_init(&cat->pool.lock, NULL);
	if (!e)
		e = pthread_mutex_init(&cat->ckpt.lock, NULL);
	if (!e)
		e = pthread_condattr_init(&attr);
	if (!e) {
		(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
		e = pthread_cond_init(&cat->ckpt.wake, &attr);
		(void)pthread_condattr_destroy(&attr);
	}
	return e ? nx_err_set(err, nx_rc_from_errno(e), "catalog locks") : NX_OK;
}

/* Connections to one database in memory share it by name. */
static nx_rc target_memory(struct nx_cat *cat, struct nx_err *err)
{
	static _Atomic unsigned counter;

	if (asprintf(&cat->path, "file:/nxcat-%u?vfs=memdb", atomic_fetch_add(&counter, 1u)) < 0) {
		cat->path = NULL;
		return nx_err_set(err, NX_E_NOMEM, "no memory for catalog");
	}
	cat->target = (struct conn_target){.path = cat->path, .memory = true};
	return NX_OK;
}

static nx_rc target_file(struct nx_cat *cat, const struct nx_cat_opts *opts, struct nx_err *err)
{
	nx_rc rc;

	cat->path = strdup(opts->path);
	if (!cat->path)
		return nx_err_set(err, NX_E_NOMEM, "no memory for catalog");
	rc = nx_cat_vfs_new(opts->key, opts->vfs, &cat->vfs, err);
	if (rc)
		return rc;
	cat->target = (struct conn_target){.path = cat->path, .vfs = nx_cat_vfs_name(cat->vfs)};
	return nx_cat_vfs_probe(cat->vfs, cat->path, &cat->target.fresh, err);
}

static nx_rc open_all(struct nx_cat *cat, const struct nx_cat_opts *opts, struct nx_err *err)
{
	bool memory = !opts->path[0];
	nx_rc rc = memory ? target_memory(cat, err) : target_file(cat, opts, err);

	if (!rc)
		rc = nx_cat_conn_open(&cat->target, CONN_WRITER, &cat->writer, err);
	if (!rc)
		rc = migrate(cat->writer->db, err);
	if (!rc)
		rc = nx_applier_new(cat->writer, &cat->applier, err);
	if (!rc)
		rc = nx_cat_watermark_load(cat, err);
	if (!rc && !memory)
		rc = nx_checkpoint_start(cat, err);
	return rc;
}

nx_rc nx_cat_open(const struct nx_cat_opts *opts, struct nx_cat **ret_cat, struct nx_err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct nx_cat *cat;
	nx_rc rc;

	(void)pthread_once(&once, configure_sqlite);
	cat = calloc(1, sizeof(*cat));
	if (!cat)
		return nx_err_set(err, NX_E_NOMEM, "no memory for catalog");
	cat->n_readers = opts->n_readers ? opts->n_readers : CAT_READERS;
	rc = init_locks(cat, err);
	if (rc) {
		free(cat);
		return rc;
	}
	rc = open_all(cat, opts, err);
	if (rc) {
		(void)nx_cat_free(cat);
		return rc;
	}
	*ret_cat = cat;
	return NX_OK;
}

struct nx_cat *nx_cat_free(struct nx_cat *cat)
{
	if (!cat)
		return NULL;
	assert(!cat->staged);
	free_readers(&cat->pool);
	nx_checkpoint_stop(cat);
	cat->applier = nx_applier_free(cat->applier);
	cat->writer = nx_cat_conn_free(cat->writer);
	cat->vfs = nx_cat_vfs_free(cat->vfs);
	(void)pthread_cond_destroy(&cat->ckpt.wake);
	(void)pthread_mutex_destroy(&cat->ckpt.lock);
	(void)pthread_mutex_destroy(&cat->pool.lock);
	(void)pthread_mutex_destroy(&cat->write_lock);
	free(cat->path);
	free(cat);
	return NULL;
}

/* ---- numbers ---- */

nx_rc nx_cat_max_id(struct nx_cat *cat, enum nx_table table, uint64_t *ret_id, struct nx_err *err)
{
	const struct cat_table *desc = nx_cat_table(table);
	struct conn *conn;
	int64_t id = 0;
	char sql[128];
	nx_rc rc;

	if (!desc || desc->clustered)
		return nx_err_set(err, NX_E_INVAL, "table %u has no integer key", (unsigned)table);
	(void)snprintf(sql, sizeof(sql), "SELECT COALESCE(MAX(%s), 0) FROM %s", desc->cols[0].name,
		desc->name);
	rc = nx_cat_take_reader(cat, &conn, err);
	if (rc)
		return rc;
	rc = nx_sql_int(conn->db, sql, &id, err);
	nx_cat_give_reader(cat, conn);
	if (!rc)
		*ret_id = (uint64_t)id;
	return rc;
}

/* One number of each statement, all of one moment. */
static nx_rc numbers(
	struct nx_cat *cat, const char *const *sql, size_t n, int64_t *ret, struct nx_err *err)
{
	struct conn *conn;
	nx_rc rc = nx_cat_take_reader(cat, &conn, err);

	if (rc)
		return rc;
	rc = nx_sql_exec(conn->db, "BEGIN", err);
	for (size_t i = 0; i < n && !rc; i++)
		rc = nx_sql_int(conn->db, sql[i], &ret[i], err);
	nx_sql_rollback(conn->db);
	nx_cat_give_reader(cat, conn);
	return rc;
}

nx_rc nx_cat_counts(struct nx_cat *cat, struct nx_cat_counts *ret, struct nx_err *err)
{
	static const char *const sql[] = {
		"SELECT COUNT(DISTINCT subject) FROM subject",
		"SELECT COUNT(*) FROM study",
		"SELECT COUNT(*) FROM series",
		"SELECT items FROM tally",
		"SELECT bytes FROM tally",
		"SELECT COUNT(*) FROM quarantine",
		"SELECT COALESCE(SUM(size), 0) FROM quarantine",
	};
	int64_t n[NX_ARRAY_LEN(sql)];
	nx_rc rc = numbers(cat, sql, NX_ARRAY_LEN(sql), n, err);

	if (rc)
		return rc;
	*ret = (struct nx_cat_counts){.subjects = (uint64_t)n[0],
		.studies = (uint64_t)n[1],
		.series = (uint64_t)n[2],
		.items = (uint64_t)n[3],
		.bytes = (uint64_t)n[4],
		.quarantined = (uint64_t)n[5],
		.quarantined_bytes = (uint64_t)n[6]};
	return NX_OK;
}

nx_rc nx_cat_delivery_counts(struct nx_cat *cat, struct nx_delivery_counts *ret, struct nx_err *err)
{
	static const char *const sql[] = {
		"SELECT COUNT(*) FROM delivery WHERE state = 1",
		"SELECT COUNT(*) FROM delivery WHERE state = 2",
		"SELECT COUNT(*) FROM delivery WHERE state = 3",
	};
	int64_t n[NX_ARRAY_LEN(sql)];
	nx_rc rc = numbers(cat, sql, NX_ARRAY_LEN(sql), n, err);

	if (rc)
		return rc;
	*ret = (struct nx_delivery_counts){
		.waiting = (uint64_t)n[0], .asked = (uint64_t)n[1], .dead = (uint64_t)n[2]};
	return NX_OK;
}

nx_rc nx_cat_quarantine_totals(struct nx_cat *cat, int64_t collection, uint64_t *ret_n,
	uint64_t *ret_bytes, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) sql;
	struct conn *conn;
	sqlite3_stmt *stmt;
	int sq;
	nx_rc rc = nx_cat_take_reader(cat, &conn, err);

	nx_buf_init(&sql, NX_KIB, 0);
	if (rc)
		return rc;
	nx_buf_put_str(&sql,
		"SELECT COUNT(*), COALESCE(SUM(size), 0) FROM quarantine WHERE collection = ?1");
	rc = nx_sql_prepare(conn->db, &sql, false, &stmt, err);
	if (!rc) {
		sq = sqlite3_bind_int64(stmt, 1, collection);
		sq = sq ? sq : sqlite3_step(stmt);
		if (sq == SQLITE_ROW) {
			*ret_n = (uint64_t)sqlite3_column_int64(stmt, 0);
			*ret_bytes = (uint64_t)sqlite3_column_int64(stmt, 1);
		} else {
			rc = nx_sql_err(err, sq, "quarantine");
		}
		sqlite3_finalize(stmt);
	}
	nx_cat_give_reader(cat, conn);
	return rc;
}

/* ---- backup ---- */

static nx_rc copy_all(struct conn *from, struct conn *to, struct nx_err *err)
{
	sqlite3_backup *backup = sqlite3_backup_init(to->db, "main", from->db, "main");
	int sq;

	if (!backup)
		return nx_sql_err(err, sqlite3_extended_errcode(to->db), "start the copy");
	(void)sqlite3_backup_step(backup, -1); /* its result comes from finish */
	sq = sqlite3_backup_finish(backup);
	return sq ? nx_sql_err(err, sq, "copy") : NX_OK;
}

static nx_rc backup_to(
	struct nx_cat *cat, struct cat_vfs *vfs, const char *path, struct nx_err *err)
{
	struct conn_target target = {.path = path, .vfs = nx_cat_vfs_name(vfs)};
	struct conn *from = NULL;
	struct conn *to = NULL;
	nx_rc rc = nx_cat_vfs_probe(vfs, path, &target.fresh, err);

	if (!rc && !target.fresh)
		rc = nx_err_set(err, NX_E_EXISTS, "the copy's file is there already");
	if (!rc)
		rc = nx_cat_conn_open(&target, CONN_WRITER, &to, err);
	if (!rc)
		rc = nx_cat_take_reader(cat, &from, err);
	if (!rc) {
		rc = copy_all(from, to, err);
		nx_cat_give_reader(cat, from);
	}
	if (!rc) /* one file, without a log beside it */
		rc = nx_sql_exec(
			to->db, "PRAGMA synchronous = FULL; PRAGMA wal_checkpoint(TRUNCATE)", err);
	(void)nx_cat_conn_free(to);
	return rc;
}

nx_rc nx_cat_backup(
	struct nx_cat *cat, const char *path, const struct nx_key *key, struct nx_err *err)
{
	struct cat_vfs *vfs;
	nx_rc rc = nx_cat_vfs_new(key, NULL, &vfs, err);

	if (rc)
		return rc;
	rc = backup_to(cat, vfs, path, err);
	(void)nx_cat_vfs_free(vfs);
	return rc ? nx_err_prefix(err, rc, "catalog copy") : NX_OK;
}

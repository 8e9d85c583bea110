#include <assert.h>
#include <endian.h>

#include "base/limits.h"
#include "catalog/catalog_priv.h"

/* Replay starts behind this; written in the transaction of the operations. */
static const char watermark_key[] = "catalog.watermark";

enum {
	UPDATES_KEPT = 8, /* statements per (table, SET or ADD), one per set of columns */
};

struct update {
	uint64_t columns; /* bit per column; 0: free slot */
	sqlite3_stmt *stmt;
};

struct applier {
	sqlite3 *db;
	sqlite3_stmt *begin;
	sqlite3_stmt *commit;
	sqlite3_stmt *put[NX_T_COUNT_];
	sqlite3_stmt *del[NX_T_COUNT_];
	sqlite3_stmt *purge[NX_T_COUNT_];
	struct update updates[NX_T_COUNT_][2][UPDATES_KEPT];
	unsigned next_victim;
};

static nx_rc prepare_text(
	sqlite3 *db, const char *text, sqlite3_stmt **ret_stmt, struct nx_err *err)
{
	int rc = sqlite3_prepare_v3(db, text, -1, SQLITE_PREPARE_PERSISTENT, ret_stmt, NULL);

	return rc ? nx_sql_err(err, rc, "prepare") : NX_OK;
}

nx_rc nx_applier_new(struct conn *writer, struct applier **ret_applier, struct nx_err *err)
{
	struct applier *ap = calloc(1, sizeof(*ap));
	nx_rc rc;

	if (!ap)
		return nx_err_set(err, NX_E_NOMEM, "no memory for statements");
	ap->db = writer->db;
	rc = prepare_text(ap->db, "BEGIN IMMEDIATE", &ap->begin, err);
	if (!rc)
		rc = prepare_text(ap->db, "COMMIT", &ap->commit, err);
	if (rc) {
		(void)nx_applier_free(ap);
		return rc;
	}
	*ret_applier = ap;
	return NX_OK;
}

struct applier *nx_applier_free(struct applier *ap)
{
	if (!ap)
		return NULL;
	sqlite3_finalize(ap->begin);
	sqlite3_finalize(ap->commit);
	for (unsigned t = 0; t < NX_T_COUNT_; t++) {
		sqlite3_finalize(ap->put[t]);
		sqlite3_finalize(ap->del[t]);
		sqlite3_finalize(ap->purge[t]);
		for (unsigned i = 0; i < UPDATES_KEPT; i++) {
			sqlite3_finalize(ap->updates[t][0][i].stmt);
			sqlite3_finalize(ap->updates[t][1][i].stmt);
		}
	}
	free(ap);
	return NULL;
}

/* ---- statements ---- */

static void put_key_match(struct nx_buf *sql, const struct cat_table *table)
{
	for (unsigned i = 0; i < table->n_pk; i++)
		nx_buf_printf(
			sql, "%s%s = ?%u", i ? " AND " : " WHERE ", table->cols[i].name, i + 1);
}

/* An upsert, not REPLACE, which would also delete other rows that a unique index names. */
static nx_rc prepare_put(struct applier *ap, const struct cat_table *table, sqlite3_stmt **ret_stmt,
	struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) sql;

	nx_buf_init(&sql, 16 * NX_KIB, 0);
	nx_buf_printf(&sql, "INSERT INTO %s(", table->name);
	nx_cat_put_columns(&sql, table, NULL);
	nx_buf_put_str(&sql, ") VALUES (");
	for (unsigned i = 0; i < table->n_cols; i++)
		nx_buf_printf(&sql, "%s?%u", i ? "," : "", i + 1);
	nx_buf_put_str(&sql, ") ON CONFLICT(");
	for (unsigned i = 0; i < table->n_pk; i++)
		nx_buf_printf(&sql, "%s%s", i ? "," : "", table->cols[i].name);
	nx_buf_put_str(&sql, ") DO UPDATE SET ");
	for (unsigned i = table->n_pk; i < table->n_cols; i++)
		nx_buf_printf(&sql, "%s%s = excluded.%s", i > table->n_pk ? ", " : "",
			table->cols[i].name, table->cols[i].name);
	return nx_sql_prepare(ap->db, &sql, true, ret_stmt, err);
}

static nx_rc prepare_del(struct applier *ap, const struct cat_table *table, sqlite3_stmt **ret_stmt,
	struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) sql;

	nx_buf_init(&sql, 16 * NX_KIB, 0);
	nx_buf_printf(&sql, "DELETE FROM %s", table->name);
	put_key_match(&sql, table);
	return nx_sql_prepare(ap->db, &sql, true, ret_stmt, err);
}

static nx_rc prepare_purge(struct applier *ap, const struct cat_table *table,
	sqlite3_stmt **ret_stmt, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) sql;

	nx_buf_init(&sql, 16 * NX_KIB, 0);
	nx_buf_printf(&sql, "DELETE FROM %s WHERE subject = ?1", table->name);
	return nx_sql_prepare(ap->db, &sql, true, ret_stmt, err);
}

/* Parameter ?<c + 1> is column c. */
static nx_rc prepare_update(struct applier *ap, const struct cat_table *table, bool add,
	uint64_t columns, sqlite3_stmt **ret_stmt, struct nx_err *err)
{
	const char *sep = " SET ";
	NX_AUTO_DONE(nx_buf) sql;

	nx_buf_init(&sql, 16 * NX_KIB, 0);
	nx_buf_printf(&sql, "UPDATE %s", table->name);
	for (unsigned c = 0; c < table->n_cols; c++) {
		const char *name = table->cols[c].name;

		if (!(columns & 1ull << c))
			continue;
		if (add)
			nx_buf_printf(&sql, "%s%s = %s + ?%u", sep, name, name, c + 1);
		else
			nx_buf_printf(&sql, "%s%s = ?%u", sep, name, c + 1);
		sep = ", ";
	}
	put_key_match(&sql, table);
	return nx_sql_prepare(ap->db, &sql, true, ret_stmt, err);
}

static nx_rc update_stmt(
	struct applier *ap, const struct nx_op *op, sqlite3_stmt **ret_stmt, struct nx_err *err)
{
	const struct cat_table *table = nx_cat_table(op->table);
	struct update *slots = ap->updates[op->table][op->verb == NX_OP_ADD];
	struct update *slot = NULL;
	uint64_t columns = 0;
	nx_rc rc;

	for (unsigned i = table->n_pk; i < op->n; i += 2)
		columns |= 1ull << op->vals[i].i;
	for (unsigned i = 0; i < UPDATES_KEPT; i++) {
		if (slots[i].columns == columns) {
			*ret_stmt = slots[i].stmt;
			return NX_OK;
		}
		if (!slots[i].columns && !slot)
			slot = &slots[i];
	}
	if (!slot)
		slot = &slots[ap->next_victim++ % UPDATES_KEPT];
	sqlite3_finalize(slot->stmt);
	*slot = (struct update){0};
	rc = prepare_update(ap, table, op->verb == NX_OP_ADD, columns, &slot->stmt, err);
	if (rc)
		return rc;
	slot->columns = columns;
	*ret_stmt = slot->stmt;
	return NX_OK;
}

/* ---- one operation ---- */

static int bind_leading(sqlite3_stmt *stmt, const struct nx_op *op, unsigned n)
{
	static const struct nx_val empty;
	const struct cat_table *table = nx_cat_table(op->table);
	int rc = SQLITE_OK;

	for (unsigned i = 0; i < n && !rc; i++)
		rc = nx_row_bind(
			stmt, (int)i + 1, i < op->n ? &op->vals[i] : &empty, table->cols[i].type);
	return rc;
}

static int bind_pairs(sqlite3_stmt *stmt, const struct nx_op *op)
{
	const struct cat_table *table = nx_cat_table(op->table);
	int rc = bind_leading(stmt, op, table->n_pk);

	for (unsigned i = table->n_pk; i < op->n && !rc; i += 2) {
		int64_t c = op->vals[i].i;

		rc = nx_row_bind(stmt, (int)c + 1, &op->vals[i + 1], table->cols[c].type);
	}
	return rc;
}

static nx_rc run(sqlite3_stmt *stmt, const char *what, struct nx_err *err)
{
	int rc = sqlite3_step(stmt);

	sqlite3_reset(stmt);
	return rc == SQLITE_DONE ? NX_OK : nx_sql_err(err, rc, what);
}

static nx_rc apply_one(struct applier *ap, const struct nx_op *op, struct nx_err *err)
{
	const struct cat_table *table = nx_cat_table(op->table);
	sqlite3_stmt *stmt = NULL;
	nx_rc rc = nx_op_check(op, err);
	int bound = SQLITE_OK;

	if (rc)
		return rc;
	switch ((enum nx_op_verb)op->verb) {
	case NX_OP_PUT:
		if (!ap->put[op->table])
			rc = prepare_put(ap, table, &ap->put[op->table], err);
		stmt = ap->put[op->table];
		if (!rc)
			bound = bind_leading(stmt, op, table->n_cols);
		break;
	case NX_OP_DEL:
		if (!ap->del[op->table])
			rc = prepare_del(ap, table, &ap->del[op->table], err);
		stmt = ap->del[op->table];
		if (!rc)
			bound = bind_leading(stmt, op, table->n_pk);
		break;
	case NX_OP_PURGE:
		if (!ap->purge[op->table])
			rc = prepare_purge(ap, table, &ap->purge[op->table], err);
		stmt = ap->purge[op->table];
		if (!rc)
			bound = nx_row_bind(stmt, 1, &op->vals[0], NX_VAL_INT);
		break;
	case NX_OP_SET:
	case NX_OP_ADD:
		rc = update_stmt(ap, op, &stmt, err);
		if (!rc)
			bound = bind_pairs(stmt, op);
		break;
	}
	if (rc)
		return rc;
	if (bound)
		return nx_sql_err(err, bound, "bind");
	rc = run(stmt, table->name, err);
	(void)sqlite3_clear_bindings(stmt); /* they borrow from the operation */
	return rc;
}

static nx_rc apply_all(struct applier *ap, const struct nx_op *ops, size_t n, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < n && !rc; i++) {
		rc = apply_one(ap, &ops[i], err);
		if (rc)
			rc = nx_err_prefix(err, rc, "operation %zu", i);
	}
	return rc;
}

static nx_rc watermark_put(struct applier *ap, uint64_t seq, struct nx_err *err)
{
	uint64_t le = htole64(seq);
	struct nx_val vals[] = {nx_val_text(watermark_key), nx_val_blob(nx_slice(&le, sizeof(le)))};

	return apply_one(ap,
		&(struct nx_op){.verb = NX_OP_PUT, .table = NX_T_KV, .n = 2, .vals = vals}, err);
}

static nx_rc stage_begin(struct nx_cat *cat, struct nx_err *err)
{
	nx_rc rc;

	pthread_mutex_lock(&cat->write_lock);
	rc = run(cat->applier->begin, "begin", err);
	if (rc)
		pthread_mutex_unlock(&cat->write_lock);
	else
		cat->staged = true;
	return rc;
}

/* The end of the transaction, one way or the other. */
static void stage_end(struct nx_cat *cat)
{
	nx_sql_rollback(cat->applier->db); /* of one that was committed: nothing */
	cat->staged = false;
	pthread_mutex_unlock(&cat->write_lock);
}

nx_rc nx_cat_stage(
	struct nx_cat *cat, uint64_t seq, const struct nx_op *ops, size_t n, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	if (seq <= (cat->staged ? cat->staged_seq : atomic_load(&cat->watermark)))
		return nx_err_set(
			err, NX_E_INVAL, "group %llu is applied already", (unsigned long long)seq);
	if (!cat->staged)
		rc = stage_begin(cat, err);
	if (rc)
		return rc;
	rc = apply_all(cat->applier, ops, n, err);
	if (rc)
		stage_end(cat);
	else
		cat->staged_seq = seq;
	return rc;
}

nx_rc nx_cat_commit(struct nx_cat *cat, struct nx_err *err)
{
	nx_rc rc;

	if (!cat->staged)
		return NX_OK;
	rc = watermark_put(cat->applier, cat->staged_seq, err);
	if (!rc)
		rc = run(cat->applier->commit, "commit", err);
	if (!rc)
		atomic_store(&cat->watermark, cat->staged_seq);
	stage_end(cat);
	return rc;
}

nx_rc nx_cat_apply(
	struct nx_cat *cat, uint64_t seq, const struct nx_op *ops, size_t n, struct nx_err *err)
{
	nx_rc rc = nx_cat_stage(cat, seq, ops, n, err);

	return rc ? rc : nx_cat_commit(cat, err);
}

void nx_cat_own(struct nx_cat *cat)
{
	assert(!atomic_load(&cat->owned));
	cat->owner = pthread_self();
	atomic_store(&cat->owned, true);
}

nx_rc nx_cat_watermark_load(struct nx_cat *cat, struct nx_err *err)
{
	struct nx_val key = nx_val_text(watermark_key);
	sqlite3_stmt *stmt;
	uint64_t le = 0;
	nx_rc rc = nx_cat_stmt(cat->writer, CAT_S_KV, &key, 1, &stmt, err);
	int sq;

	if (rc)
		return rc;
	sq = sqlite3_step(stmt);
	if (sq == SQLITE_ROW && sqlite3_column_bytes(stmt, 1) == (int)sizeof(le))
		memcpy(&le, sqlite3_column_blob(stmt, 1), sizeof(le));
	else if (sq == SQLITE_ROW)
		sq = SQLITE_CORRUPT;
	sqlite3_reset(stmt);
	if (sq != SQLITE_ROW && sq != SQLITE_DONE)
		return nx_sql_err(err, sq, "read the watermark");
	atomic_store(&cat->watermark, le64toh(le));
	return NX_OK;
}

uint64_t nx_cat_watermark(struct nx_cat *cat)
{
	return atomic_load(&cat->watermark);
}

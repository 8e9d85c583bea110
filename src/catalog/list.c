#include "base/arena.h"
#include "base/limits.h"
#include "catalog/catalog_priv.h"

enum {
	LIST_ROW_MEMORY = 80 * 1024 * 1024 /* one row: a blob row may list many extents */
};

/* Every row of a statement to `fn`. */
static nx_rc rows_each(sqlite3_stmt *stmt, const struct cat_table *table, struct nx_arena *arena,
	nx_cat_row_fn fn, void *payload, struct nx_err *err)
{
	union {
		int64_t align;
		char b[512];
	} row;
	nx_rc rc = NX_OK;
	int sq = SQLITE_DONE;

	while (!rc && (sq = sqlite3_step(stmt)) == SQLITE_ROW) {
		nx_arena_reset(arena);
		rc = nx_row_read(stmt, 0, table, arena, &row, err);
		if (!rc)
			rc = fn(payload, &row, err);
	}
	if (rc)
		return rc;
	return sq == SQLITE_DONE ? NX_OK : nx_sql_err(err, sq, table->name);
}

static nx_rc list(struct nx_cat *cat, enum cat_stmt which, const struct nx_val *args, size_t n_args,
	nx_cat_row_fn fn, void *payload, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(LIST_ROW_MEMORY, NX_ARENA_WIPE);
	struct conn *conn;
	sqlite3_stmt *stmt;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a list");
	rc = nx_cat_take_conn(cat, &conn, err);
	if (rc)
		return rc;
	rc = nx_cat_stmt(conn, which, args, n_args, &stmt, err);
	if (!rc) {
		rc = rows_each(stmt, nx_cat_stmt_table(which), arena, fn, payload, err);
		sqlite3_reset(stmt);
		(void)sqlite3_clear_bindings(stmt);
	}
	nx_cat_give_conn(cat, conn);
	return rc;
}

nx_rc nx_cat_collections(struct nx_cat *cat, nx_cat_row_fn fn, void *payload, struct nx_err *err)
{
	return list(cat, CAT_S_COLLECTIONS, NULL, 0, fn, payload, err);
}

nx_rc nx_cat_packs(struct nx_cat *cat, nx_cat_row_fn fn, void *payload, struct nx_err *err)
{
	return list(cat, CAT_S_PACKS, NULL, 0, fn, payload, err);
}

nx_rc nx_cat_series_of(
	struct nx_cat *cat, int64_t study, nx_cat_row_fn fn, void *payload, struct nx_err *err)
{
	struct nx_val arg = nx_val_int(study);

	return list(cat, CAT_S_SERIES_OF, &arg, 1, fn, payload, err);
}

nx_rc nx_cat_items_of(
	struct nx_cat *cat, int64_t series, nx_cat_row_fn fn, void *payload, struct nx_err *err)
{
	struct nx_val arg = nx_val_int(series);

	return list(cat, CAT_S_ITEMS_OF, &arg, 1, fn, payload, err);
}

nx_rc nx_cat_items_kept_of(
	struct nx_cat *cat, int64_t series, nx_cat_row_fn fn, void *payload, struct nx_err *err)
{
	struct nx_val arg = nx_val_int(series);

	return list(cat, CAT_S_ITEMS_KEPT_OF, &arg, 1, fn, payload, err);
}

nx_rc nx_cat_items_of_subject(
	struct nx_cat *cat, uint64_t subject, nx_cat_row_fn fn, void *payload, struct nx_err *err)
{
	struct nx_val arg = nx_val_int((int64_t)subject);

	return list(cat, CAT_S_ITEMS_OF_SUBJECT, &arg, 1, fn, payload, err);
}

nx_rc nx_cat_items_all(struct nx_cat *cat, int64_t after_id, unsigned limit, nx_cat_row_fn fn,
	void *payload, struct nx_err *err)
{
	struct nx_val args[] = {nx_val_int(after_id), nx_val_int(limit)};

	return list(cat, CAT_S_ITEMS_ALL, args, 2, fn, payload, err);
}

nx_rc nx_cat_blobs_all(struct nx_cat *cat, int64_t after_id, unsigned limit, nx_cat_row_fn fn,
	void *payload, struct nx_err *err)
{
	struct nx_val args[] = {nx_val_int(after_id), nx_val_int(limit)};

	return list(cat, CAT_S_BLOBS_ALL, args, 2, fn, payload, err);
}

nx_rc nx_cat_studies_all(struct nx_cat *cat, int64_t after_id, unsigned limit, nx_cat_row_fn fn,
	void *payload, struct nx_err *err)
{
	struct nx_val args[] = {nx_val_int(after_id), nx_val_int(limit)};

	return list(cat, CAT_S_STUDIES_ALL, args, 2, fn, payload, err);
}

nx_rc nx_cat_series_all(struct nx_cat *cat, int64_t after_id, unsigned limit, nx_cat_row_fn fn,
	void *payload, struct nx_err *err)
{
	struct nx_val args[] = {nx_val_int(after_id), nx_val_int(limit)};

	return list(cat, CAT_S_SERIES_ALL, args, 2, fn, payload, err);
}

nx_rc nx_cat_quarantine(struct nx_cat *cat, const struct nx_quarantine_of *which, nx_cat_row_fn fn,
	void *payload, struct nx_err *err)
{
	struct nx_val args[] = {nx_val_int(which->after_id), nx_val_int(which->collection),
		nx_val_int(which->reason), nx_val_int(which->limit)};

	return list(cat, CAT_S_QUARANTINE, args, 4, fn, payload, err);
}

nx_rc nx_cat_rejections(struct nx_cat *cat, int64_t collection, int64_t after_item, unsigned limit,
	nx_cat_row_fn fn, void *payload, struct nx_err *err)
{
	struct nx_val args[] = {nx_val_int(collection), nx_val_int(after_item), nx_val_int(limit)};

	return list(cat, CAT_S_REJECTIONS, args, 3, fn, payload, err);
}

nx_rc nx_cat_conflicts(struct nx_cat *cat, int64_t after_id, int64_t collection, unsigned limit,
	nx_cat_row_fn fn, void *payload, struct nx_err *err)
{
	struct nx_val args[] = {nx_val_int(after_id), nx_val_int(collection), nx_val_int(limit)};

	return list(cat, CAT_S_CONFLICTS, args, 3, fn, payload, err);
}

nx_rc nx_cat_deliveries(struct nx_cat *cat, const struct nx_deliveries_of *which, nx_cat_row_fn fn,
	void *payload, struct nx_err *err)
{
	struct nx_val args[] = {nx_val_int(which->after_id), nx_val_int(which->state),
		nx_val_text(which->destination), nx_val_int(which->limit)};

	return list(cat, CAT_S_DELIVERIES, args, 4, fn, payload, err);
}

nx_rc nx_cat_deliveries_first(
	struct nx_cat *cat, nx_cat_row_fn fn, void *payload, struct nx_err *err)
{
	return list(cat, CAT_S_DELIVERIES_FIRST, NULL, 0, fn, payload, err);
}

nx_rc nx_cat_commitments_before(struct nx_cat *cat, int64_t us, unsigned limit, nx_cat_row_fn fn,
	void *payload, struct nx_err *err)
{
	struct nx_val args[] = {nx_val_int(us), nx_val_int(limit)};

	return list(cat, CAT_S_COMMITMENTS_BEFORE, args, 2, fn, payload, err);
}

nx_rc nx_cat_feed(struct nx_cat *cat, int64_t collection, int64_t after, unsigned limit,
	nx_cat_row_fn fn, void *payload, struct nx_err *err)
{
	struct nx_val args[] = {nx_val_int(collection), nx_val_int(after), nx_val_int(limit)};

	return list(cat, CAT_S_FEED, args, 3, fn, payload, err);
}

static nx_rc objects(struct nx_cat *cat, enum cat_stmt stmt, const struct nx_objects_of *which,
	nx_cat_row_fn fn, void *payload, struct nx_err *err)
{
	size_t n = which->prefix ? strlen(which->prefix) : 0;
	char beyond[NX_LIMIT_OBJECT_KEY + 2];
	struct nx_val args[5];

	if (n > NX_LIMIT_OBJECT_KEY)
		return nx_err_set(err, NX_E_LIMIT, "prefix of %zu bytes", n);
	/* 0xff stands in no UTF-8 text: greater than every name with the prefix. */
	if (n)
		memcpy(beyond, which->prefix, n);
	beyond[n] = (char)0xff;
	beyond[n + 1] = 0;
	args[0] = nx_val_int(which->collection);
	args[1] = nx_val_text(which->after);
	args[2] = nx_val_text(which->prefix);
	args[3] = nx_val_text(beyond);
	args[4] = nx_val_int(which->limit);
	return list(cat, stmt, args, 5, fn, payload, err);
}

nx_rc nx_cat_objects(struct nx_cat *cat, const struct nx_objects_of *which, nx_cat_row_fn fn,
	void *payload, struct nx_err *err)
{
	return objects(cat, CAT_S_OBJECTS, which, fn, payload, err);
}

nx_rc nx_cat_worklist_missing(struct nx_cat *cat, const struct nx_objects_of *which,
	nx_cat_row_fn fn, void *payload, struct nx_err *err)
{
	return objects(cat, CAT_S_WORKLIST_MISSING, which, fn, payload, err);
}

nx_rc nx_cat_worklist_overdue(struct nx_cat *cat, int64_t state, const char *day, unsigned limit,
	nx_cat_row_fn fn, void *payload, struct nx_err *err)
{
	struct nx_val args[] = {nx_val_int(state), nx_val_text(day), nx_val_int(limit)};

	return list(cat, CAT_S_WORKLIST_OVERDUE, args, 3, fn, payload, err);
}

struct tag_payload {
	nx_rc (*fn)(void *payload, const uint8_t tag[16], uint64_t count, uint64_t last);
	void *payload;
};

static nx_rc tag_row(void *payload, const void *row, struct nx_err *err)
{
	const struct tag_payload *to = payload;
	const struct nx_tag_row *tag = row;

	if (tag->tag.n != 16)
		return nx_err_set(err, NX_E_CORRUPT, "tag of %zu bytes", tag->tag.n);
	return to->fn(to->payload, tag->tag.p, (uint64_t)tag->count, (uint64_t)tag->last);
}

nx_rc nx_cat_tags_in(struct nx_cat *cat, uint16_t bucket,
	nx_rc (*fn)(void *payload, const uint8_t tag[16], uint64_t count, uint64_t last),
	void *payload, struct nx_err *err)
{
	struct tag_payload to = {fn, payload};
	uint8_t from[2] = {(uint8_t)(bucket >> 8), (uint8_t)bucket};
	uint8_t last[16];
	struct nx_val args[] = {
		nx_val_blob(nx_slice(from, 2)), nx_val_blob(nx_slice(last, sizeof(last)))};

	memset(last, 0xff, sizeof(last));
	memcpy(last, from, 2);
	return list(cat, CAT_S_TAGS_IN, args, 2, tag_row, &to, err);
}

/* ---- any table ---- */

static nx_rc rows_sql(const struct cat_table *table, unsigned index, size_t n_where,
	bool descending, struct nx_buf *sql, struct nx_err *err)
{
	static const uint8_t key_cols[] = {0, 1, 2, 3, 4, 5, 6, 7};
	const struct cat_index *idx = index ? &table->indexes[index - 1] : NULL;
	const uint8_t *cols = idx ? idx->cols : key_cols;
	unsigned n_cols = idx ? idx->n_cols : table->n_pk;
	const char *dir = descending ? " DESC" : "";

	if (n_where > n_cols || n_cols > NX_ARRAY_LEN(key_cols))
		return nx_err_set(err, NX_E_INVAL, "%s: %zu values for %u columns", table->name,
			n_where, n_cols);
	nx_buf_put_str(sql, "SELECT ");
	nx_cat_put_columns(sql, table, NULL);
	nx_buf_printf(sql, " FROM %s", table->name);
	for (unsigned i = 0; i < n_where; i++)
		nx_buf_printf(sql, "%s%s = ?%u", i ? " AND " : " WHERE ", table->cols[cols[i]].name,
			i + 1);
	if (idx && idx->where)
		nx_buf_printf(sql, "%s%s", n_where ? " AND " : " WHERE ", idx->where);
	nx_buf_put_str(sql, " ORDER BY ");
	for (unsigned i = 0; idx && i < n_cols; i++)
		nx_buf_printf(sql, "%s%s, ", table->cols[cols[i]].name, dir);
	for (unsigned i = 0; i < table->n_pk; i++)
		nx_buf_printf(sql, "%s%s%s", i ? ", " : "", table->cols[i].name, dir);
	nx_buf_printf(sql, " LIMIT ?%zu", n_where + 1);
	return NX_OK;
}

static nx_rc rows_bind(sqlite3_stmt *stmt, const struct nx_val *where, size_t n_where,
	unsigned limit, struct nx_err *err)
{
	int sq = sqlite3_bind_int64(stmt, (int)n_where + 1, limit ? (int64_t)limit : -1);

	for (size_t i = 0; i < n_where && !sq; i++)
		sq = nx_row_bind(stmt, (int)i + 1, &where[i],
			where[i].type == NX_VAL_NULL ? NX_VAL_TEXT : where[i].type);
	return sq ? nx_sql_err(err, sq, "bind") : NX_OK;
}

/* Rows into an array of the arena that doubles. */
static nx_rc rows_collect(sqlite3_stmt *stmt, unsigned table, struct nx_arena *arena,
	struct nx_op **ret_rows, size_t *ret_n, struct nx_err *err)
{
	struct nx_op *rows = NULL;
	size_t n = 0;
	size_t cap = 0;
	int sq;

	while ((sq = sqlite3_step(stmt)) == SQLITE_ROW) {
		nx_rc rc;

		if (n == cap) {
			size_t want = cap ? 2 * cap : 16;
			struct nx_op *more = nx_arena_alloc_array(arena, want, sizeof(*more));

			if (!more)
				return nx_err_set(err, NX_E_NOMEM, "no memory for %zu rows", want);
			if (n)
				memcpy(more, rows, n * sizeof(*more));
			rows = more;
			cap = want;
		}
		rc = nx_row_read_op(stmt, table, arena, &rows[n], err);
		if (rc)
			return rc;
		n++;
	}
	if (sq != SQLITE_DONE)
		return nx_sql_err(err, sq, "rows");
	*ret_rows = rows;
	*ret_n = n;
	return NX_OK;
}

nx_rc nx_cat_rows(struct nx_cat *cat, const struct nx_rows_of *which, struct nx_arena *arena,
	struct nx_op **ret_rows, size_t *ret_n, struct nx_err *err)
{
	const struct cat_table *desc = nx_cat_table(which->table);
	NX_AUTO_DONE(nx_buf) sql;
	struct conn *conn;
	sqlite3_stmt *stmt;
	nx_rc rc;

	nx_buf_init(&sql, 16 * NX_KIB, 0);
	if (!desc || which->index > desc->n_indexes)
		return nx_err_set(err, NX_E_INVAL, "no table %u with index %u",
			(unsigned)which->table, which->index);
	rc = rows_sql(desc, which->index, which->n_where, which->descending, &sql, err);
	if (rc)
		return rc;
	rc = nx_cat_take_conn(cat, &conn, err);
	if (rc)
		return rc;
	rc = nx_sql_prepare(conn->db, &sql, false, &stmt, err);
	if (!rc) {
		rc = rows_bind(stmt, which->where, which->n_where, which->limit, err);
		if (!rc)
			rc = rows_collect(stmt, which->table, arena, ret_rows, ret_n, err);
		sqlite3_finalize(stmt);
	}
	nx_cat_give_conn(cat, conn);
	return rc;
}

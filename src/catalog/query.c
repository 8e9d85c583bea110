#include <assert.h>

#include "base/arena.h"
#include "base/limits.h"
#include "catalog/query_priv.h"

/*
 * QIDO-RS and C-FIND matching (PS3.4 C.2.2.2) as SQL.  A key is a row of the table below; its kind
 * says which condition is printed; values are bound, never printed.
 */

enum {
	QUERY_SQL_MAX = 512 * 1024,
	QUERY_VALUE_MEMORY = 4 * 1024 * 1024,
	QUERY_ROW_MEMORY = 80 * 1024 * 1024, /* one result; a sealed recipe may be long */
};

static const struct query_key keys[] = {
	{0x00080020, NX_LEVEL_STUDY, KIND_DATE, "st.date"},
	{0x00080030, NX_LEVEL_STUDY, KIND_TIME, "st.time"},
	{0x00080050, NX_LEVEL_STUDY, KIND_TEXT, "st.accession"},
	{0x00080061, NX_LEVEL_STUDY, KIND_MODALITIES, "st.modalities"},
	{0x00080090, NX_LEVEL_STUDY, KIND_NAME_FOLD, "st.referring"},
	{0x00081030, NX_LEVEL_STUDY, KIND_TEXT, "st.description"},
	{0x00100010, NX_LEVEL_PATIENT, KIND_NAME, "st.name_key"},
	{0x00100020, NX_LEVEL_PATIENT, KIND_TEXT, "st.patient_id"},
	{0x00100021, NX_LEVEL_PATIENT, KIND_TEXT, "st.issuer"},
	{0x00100030, NX_LEVEL_PATIENT, KIND_DATE, "st.birth_date"},
	{0x00100040, NX_LEVEL_PATIENT, KIND_CODE, "st.sex"},
	{0x0020000d, NX_LEVEL_STUDY, KIND_UID, "st.uid"},
	{0x00200010, NX_LEVEL_STUDY, KIND_TEXT, "st.study_id"},
	{0x00080021, NX_LEVEL_SERIES, KIND_DATE, "se.date"},
	{0x00080031, NX_LEVEL_SERIES, KIND_TIME, "se.time"},
	{0x00080060, NX_LEVEL_SERIES, KIND_CODE, "se.modality"},
	{0x0008103e, NX_LEVEL_SERIES, KIND_TEXT, "se.description"},
	{0x00081010, NX_LEVEL_SERIES, KIND_TEXT, "se.station"},
	{0x00180015, NX_LEVEL_SERIES, KIND_CODE, "se.body_part"},
	{0x0020000e, NX_LEVEL_SERIES, KIND_UID, "se.uid"},
	{0x00200011, NX_LEVEL_SERIES, KIND_TEXT, "se.number"},
	{0x00400244, NX_LEVEL_SERIES, KIND_DATE, "se.pps_date"},
	{0x00400245, NX_LEVEL_SERIES, KIND_TIME, "se.pps_time"},
	{0x00080016, NX_LEVEL_INSTANCE, KIND_UID, "it.type"},
	{0x00080018, NX_LEVEL_INSTANCE, KIND_ITEM_NAME, "it.name"},
	{0x00083002, NX_LEVEL_INSTANCE, KIND_UID, "it.ts_uid"},
	{0x00200013, NX_LEVEL_INSTANCE, KIND_INT, "it.number"},
	{0x00280008, NX_LEVEL_INSTANCE, KIND_INT, "it.frames"},
	{0x00280010, NX_LEVEL_INSTANCE, KIND_INT, "it.rows"},
	{0x00280011, NX_LEVEL_INSTANCE, KIND_INT, "it.columns"},
};

static const struct query_key *key_find(enum nx_query_level level, uint32_t tag)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(keys); i++)
		if (keys[i].tag == tag)
			return keys[i].level <= level ? &keys[i] : NULL;
	return NULL;
}

bool nx_cat_query_key_known(enum nx_query_level level, uint32_t tag)
{
	return key_find(level, tag) != NULL;
}

static nx_rc no_memory(struct query_build *b)
{
	return nx_err_set(b->err, NX_E_NOMEM, "no memory for a query");
}

static nx_rc put_key(
	struct query_build *b, const struct nx_query *query, const struct nx_query_key *qk)
{
	const struct query_key *key = key_find(query->level, qk->tag);
	struct nx_slice value = nx_query_trim(nx_slice_str(qk->value ? qk->value : ""));
	nx_rc rc;

	if (!key)
		return nx_err_set(b->err, NX_E_INVAL, "query: (%04X,%04X) is not matched here",
			qk->tag >> 16, qk->tag & 0xffff);
	if (nx_query_universal(value))
		return NX_OK;
	nx_buf_put_str(&b->sql, " AND (");
	rc = nx_query_put_match(b, query, key, value);
	nx_buf_put_str(&b->sql, ")");
	return rc;
}

/* ---- the whole statement ---- */

static void put_from(struct nx_buf *sql, enum nx_query_level level)
{
	nx_buf_put_str(sql, "SELECT ");
	nx_cat_put_columns(sql, nx_cat_table(NX_T_STUDY), "st");
	if (level == NX_LEVEL_PATIENT) /* max: the other columns are those of the newest */
		nx_buf_put_str(
			sql, ", count(*), sum(st.n_series), sum(st.n_instances), max(st.id)");
	if (level >= NX_LEVEL_SERIES) {
		nx_buf_put_str(sql, ", ");
		nx_cat_put_columns(sql, nx_cat_table(NX_T_SERIES), "se");
	}
	if (level >= NX_LEVEL_INSTANCE) {
		nx_buf_put_str(sql, ", ");
		nx_cat_put_columns(sql, nx_cat_table(NX_T_ITEM), "it");
	}
	nx_buf_put_str(sql, " FROM study st");
	if (level >= NX_LEVEL_SERIES)
		nx_buf_put_str(sql, " JOIN series se ON se.study = st.id");
	if (level >= NX_LEVEL_INSTANCE)
		nx_buf_put_str(sql,
			" JOIN item it ON it.series = se.id AND it.series > 0 "
			"AND it.state = 1");
}

/* An instance may have gone to another study, or series, with a newer version: what has none left
 * stays for the versions, and is in no answer. */
static void put_not_empty(struct nx_buf *sql, enum nx_query_level level)
{
	if (level <= NX_LEVEL_STUDY)
		nx_buf_put_str(sql, " AND st.n_instances > 0");
	else if (level == NX_LEVEL_SERIES)
		nx_buf_put_str(sql, " AND se.n_instances > 0");
}

/* The unary plus keeps a list of collections from being chosen as the way in. */
static nx_rc put_collections(struct query_build *b, const struct nx_query *query)
{
	nx_rc rc = NX_OK;

	nx_buf_put_str(&b->sql, " WHERE +st.collection IN (");
	for (size_t i = 0; i < query->n_collections && !rc; i++) {
		nx_buf_put_str(&b->sql, i ? "," : "");
		rc = nx_query_put_arg(b, nx_val_int(query->collections[i]));
	}
	nx_buf_put_str(&b->sql, ")");
	return rc;
}

/* Newest first, or in the order of the index that leads, so that a limit ends the search early and
 * pages of one query fit together. */
static nx_rc put_order(struct query_build *b, const struct nx_query *query)
{
	unsigned limit = query->limit;
	nx_rc rc;

	if (!limit || limit > NX_LIMIT_QUERY_ROWS)
		limit = NX_LIMIT_QUERY_ROWS;
	if (b->by_name)
		nx_buf_put_str(&b->sql, " ORDER BY st.name_key, st.id");
	else if (b->by_date)
		nx_buf_put_str(&b->sql, " ORDER BY st.date DESC, st.id DESC");
	else
		nx_buf_put_str(&b->sql, " ORDER BY st.id DESC");
	if (query->level >= NX_LEVEL_SERIES)
		nx_buf_put_str(&b->sql, ", se.id");
	if (query->level >= NX_LEVEL_INSTANCE)
		nx_buf_put_str(&b->sql, ", it.number, it.id");
	nx_buf_put_str(&b->sql, " LIMIT ");
	rc = nx_query_put_arg(
		b, nx_val_int((int64_t)limit + 1)); /* one more says whether there are more */
	if (rc)
		return rc;
	nx_buf_put_str(&b->sql, " OFFSET ");
	return nx_query_put_arg(b, nx_val_int(query->offset));
}

static nx_rc build(struct query_build *b, const struct nx_query *query)
{
	nx_rc rc;

	b->args = nx_arena_alloc_array(b->arena, NX_LIMIT_QUERY_VALUES, sizeof(*b->args));
	if (!b->args)
		return no_memory(b);
	put_from(&b->sql, query->level);
	rc = put_collections(b, query);
	put_not_empty(&b->sql, query->level);
	for (size_t i = 0; i < query->n_keys && !rc; i++)
		rc = put_key(b, query, &query->keys[i]);
	if (query->level == NX_LEVEL_PATIENT)
		nx_buf_put_str(&b->sql, " GROUP BY st.subject, st.patient_id, st.issuer");
	return rc ? rc : put_order(b, query);
}

/* ---- results ---- */

struct rows {
	struct nx_study study;
	struct nx_series series;
	struct nx_item item;
};

static nx_rc match_read(sqlite3_stmt *stmt, enum nx_query_level level, struct nx_arena *arena,
	struct rows *rows, struct nx_match *match, struct nx_err *err)
{
	const struct cat_table *study = nx_cat_table(NX_T_STUDY);
	const struct cat_table *series = nx_cat_table(NX_T_SERIES);
	nx_rc rc = nx_row_read(stmt, 0, study, arena, &rows->study, err);

	*match = (struct nx_match){.study = &rows->study};
	if (!rc && level == NX_LEVEL_PATIENT) {
		match->n_studies = sqlite3_column_int64(stmt, (int)study->n_cols);
		match->n_series = sqlite3_column_int64(stmt, (int)study->n_cols + 1);
		match->n_instances = sqlite3_column_int64(stmt, (int)study->n_cols + 2);
	}
	if (!rc && level >= NX_LEVEL_SERIES) {
		rc = nx_row_read(stmt, study->n_cols, series, arena, &rows->series, err);
		match->series = &rows->series;
	}
	if (!rc && level >= NX_LEVEL_INSTANCE) {
		rc = nx_row_read(stmt, study->n_cols + series->n_cols, nx_cat_table(NX_T_ITEM),
			arena, &rows->item, err);
		match->item = &rows->item;
	}
	return rc;
}

static nx_rc matches_each(sqlite3_stmt *stmt, const struct nx_query *query, int64_t limit,
	nx_rc (*fn)(void *payload, const struct nx_match *match, struct nx_err *err), void *payload,
	bool *ret_more, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(QUERY_ROW_MEMORY, NX_ARENA_WIPE);
	bool more = false;
	struct rows rows;
	int sq;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the rows of a query");
	while ((sq = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct nx_match match;
		nx_rc rc;

		if (limit-- == 0) {
			more = true;
			break;
		}
		nx_arena_reset(arena);
		rc = match_read(stmt, query->level, arena, &rows, &match, err);
		if (!rc)
			rc = fn(payload, &match, err);
		if (rc)
			return rc;
	}
	if (sq != SQLITE_DONE && sq != SQLITE_ROW)
		return nx_sql_err(err, sq, "query");
	*ret_more = more;
	return NX_OK;
}

static nx_rc bind_all(sqlite3_stmt *stmt, const struct query_build *b, struct nx_err *err)
{
	int sq = SQLITE_OK;

	for (size_t i = 0; i < b->n_args && !sq; i++)
		sq = nx_row_bind(stmt, (int)i + 1, &b->args[i], b->args[i].type);
	return sq ? nx_sql_err(err, sq, "bind") : NX_OK;
}

static nx_rc check(const struct nx_query *query, struct nx_err *err)
{
	if ((int)query->level < NX_LEVEL_PATIENT || query->level > NX_LEVEL_INSTANCE)
		return nx_err_set(err, NX_E_INVAL, "query: level %d", (int)query->level);
	if (query->n_keys > NX_LIMIT_QUERY_KEYS)
		return nx_err_set(err, NX_E_LIMIT, "query: %zu keys", query->n_keys);
	return NX_OK;
}

/* On a connection: what nx_cat_query() promises. */
static nx_rc query_on(struct conn *conn, const struct nx_query *query, struct query_build *b,
	nx_rc (*fn)(void *payload, const struct nx_match *match, struct nx_err *err), void *payload,
	bool *ret_more, struct nx_err *err)
{
	int64_t limit = b->args[b->n_args - 2].i - 1;
	sqlite3_stmt *stmt;
	nx_rc rc;

	rc = nx_sql_prepare(conn->db, &b->sql, false, &stmt, err);
	if (rc)
		return rc;
	rc = bind_all(stmt, b, err);
	if (!rc)
		rc = matches_each(stmt, query, limit, fn, payload, ret_more, err);
	sqlite3_finalize(stmt);
	return rc;
}

nx_rc nx_cat_query(struct nx_cat *cat, const struct nx_query *query,
	nx_rc (*fn)(void *payload, const struct nx_match *match, struct nx_err *err), void *payload,
	bool *ret_more, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(QUERY_VALUE_MEMORY, NX_ARENA_WIPE);
	struct query_build b = {.arena = arena, .err = err};
	struct conn *conn = NULL;
	nx_rc rc = check(query, err);

	if (rc)
		return rc;
	if (!arena)
		return no_memory(&b);
	if (!query->n_collections) {
		*ret_more = false;
		return NX_OK;
	}
	nx_buf_init(&b.sql, QUERY_SQL_MAX, 0);
	rc = build(&b, query);
	if (!rc)
		rc = nx_cat_take_reader(cat, &conn, err);
	if (!rc) {
		rc = query_on(conn, query, &b, fn, payload, ret_more, err);
		nx_cat_give_reader(cat, conn);
	}
	nx_buf_done(&b.sql);
	return rc;
}

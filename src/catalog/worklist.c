/* The worklist by what modalities ask for (PS3.4 K.6.1.2). */
#include "base/arena.h"
#include "base/limits.h"
#include "catalog/query_priv.h"

enum {
	WORKLIST_SQL_MAX = 512 * 1024,
	WORKLIST_MEMORY = 4 * 1024 * 1024
};

struct searched {
	struct query_key key;
	bool of_step;
	bool few; /* a value is of few items: it leads, not the day */
};

static const struct searched keys[] = {
	{{0x00080050, 0, KIND_TEXT, "wl.accession"}, false, true},
	{{0x00080060, 0, KIND_CODE, "wl.modality"}, true, false},
	{{0x00100010, 0, KIND_NAME, "wl.name_key"}, false, true},
	{{0x00100020, 0, KIND_TEXT, "wl.patient_id"}, false, true},
	{{0x0020000d, 0, KIND_UID, "wl.study_uid"}, false, true},
	{{0x00400001, 0, KIND_MODALITIES, "wl.stations"}, true, false},
	{{0x00400002, 0, KIND_DATE, "wl.day"}, true, false},
	{{0x00400009, 0, KIND_TEXT, "wl.step_id"}, true, false},
	{{0x00401001, 0, KIND_TEXT, "wl.request_id"}, false, false},
};

static const struct searched *key_find(uint32_t tag)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(keys); i++)
		if (keys[i].key.tag == tag)
			return &keys[i];
	return NULL;
}

bool nx_cat_worklist_key(uint32_t tag, bool of_step)
{
	const struct searched *s = key_find(tag);

	return s && s->of_step == of_step;
}

/* What is folded has other lengths than what one "?" stands for. */
static bool is_searched(const struct searched *s, struct nx_slice value)
{
	bool folds = s->key.kind == KIND_NAME;

	return !nx_query_universal(value) && !(folds && memchr(value.p, '?', value.n));
}

/* A value begins with what it is told apart by, and so an index finds it. */
static bool leads(const struct nx_query_key *qk)
{
	const struct searched *s = key_find(qk->tag);
	struct nx_slice value = nx_query_trim(nx_slice_str(qk->value));

	return s && s->few && is_searched(s, value) && value.p[0] != '*' && value.p[0] != '?';
}

static nx_rc put_key(struct query_build *b, const struct nx_query_key *qk)
{
	static const struct nx_query plain = {.n_keys = 0};
	const struct searched *s = key_find(qk->tag);
	struct nx_slice value = nx_query_trim(nx_slice_str(qk->value));
	size_t len = b->sql.len, n_args = b->n_args;
	nx_rc rc;

	if (!s || !is_searched(s, value))
		return NX_OK;
	nx_buf_put_str(&b->sql, " AND (");
	rc = nx_query_put_match(b, &plain, &s->key, value);
	nx_buf_put_str(&b->sql, ")");
	if (rc != NX_E_INVAL)
		return rc;
	b->sql.len =
		len; /* no range of dates, say: its data set is left to say whether it matches */
	b->n_args = n_args;
	return NX_OK;
}

static bool has_day(const struct nx_query_key *qk)
{
	return qk->tag == 0x00400002 && !nx_query_universal(nx_query_trim(nx_slice_str(qk->value)));
}

/* Where no key leads, the day does: the order of names, which the primary key has, would look at
 * every row.  A unary plus keeps a column from being the way in. */
static nx_rc put_where(struct query_build *b, const struct nx_worklist_query *query)
{
	bool leading = false, day = false;
	const char *plus;
	nx_rc rc;

	for (size_t i = 0; i < query->n_keys; i++) {
		leading |= leads(&query->keys[i]);
		day |= has_day(&query->keys[i]);
	}
	plus = leading ? "+" : "";
	nx_buf_printf(&b->sql,
		"SELECT DISTINCT wl.name FROM worklist wl%s WHERE %swl.collection = ",
		day && !leading ? " INDEXED BY worklist_day" : "", plus);
	rc = nx_query_put_arg(b, nx_val_int(query->collection));
	nx_buf_printf(&b->sql, " AND %swl.state IN (0", plus);
	for (int64_t state = 1; state < NX_WORKLIST_STATES_ && !rc; state++) {
		if (!(query->states & 1u << state))
			continue;
		nx_buf_put_str(&b->sql, ", ");
		rc = nx_query_put_arg(b, nx_val_int(state));
	}
	nx_buf_put_str(&b->sql, ")");
	return rc;
}

static nx_rc build(struct query_build *b, const struct nx_worklist_query *query)
{
	nx_rc rc;

	b->args = nx_arena_alloc_array(b->arena, NX_LIMIT_QUERY_VALUES, sizeof(*b->args));
	if (!b->args)
		return nx_err_set(b->err, NX_E_NOMEM, "no memory for a query");
	rc = put_where(b, query);
	for (size_t i = 0; i < query->n_keys && !rc; i++)
		rc = put_key(b, &query->keys[i]);
	nx_buf_put_str(&b->sql, " ORDER BY wl.name");
	return rc;
}

static nx_rc names_each(sqlite3_stmt *stmt,
	nx_rc (*fn)(void *payload, const char *name, struct nx_err *err), void *payload,
	struct nx_err *err)
{
	int sq;

	while ((sq = sqlite3_step(stmt)) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(stmt, 0);
		nx_rc rc = name ? fn(payload, name, err)
				: nx_err_set(err, NX_E_NOMEM, "no memory for a worklist");

		if (rc)
			return rc;
	}
	return sq == SQLITE_DONE ? NX_OK : nx_sql_err(err, sq, "worklist");
}

static nx_rc run(struct conn *conn, struct query_build *b,
	nx_rc (*fn)(void *payload, const char *name, struct nx_err *err), void *payload)
{
	sqlite3_stmt *stmt;
	int sq = SQLITE_OK;
	nx_rc rc = nx_sql_prepare(conn->db, &b->sql, false, &stmt, b->err);

	if (rc)
		return rc;
	for (size_t i = 0; i < b->n_args && !sq; i++)
		sq = nx_row_bind(stmt, (int)i + 1, &b->args[i], b->args[i].type);
	rc = sq ? nx_sql_err(b->err, sq, "bind") : names_each(stmt, fn, payload, b->err);
	sqlite3_finalize(stmt);
	return rc;
}

nx_rc nx_cat_worklist(struct nx_cat *cat, const struct nx_worklist_query *query,
	nx_rc (*fn)(void *payload, const char *name, struct nx_err *err), void *payload,
	struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(WORKLIST_MEMORY, NX_ARENA_WIPE);
	struct query_build b = {.arena = arena, .err = err};
	struct conn *conn = NULL;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a query");
	nx_buf_init(&b.sql, WORKLIST_SQL_MAX, 0);
	rc = build(&b, query);
	if (!rc)
		rc = nx_cat_take_reader(cat, &conn, err);
	if (!rc) {
		rc = run(conn, &b, fn, payload);
		nx_cat_give_reader(cat, conn);
	}
	nx_buf_done(&b.sql);
	return rc;
}

#include <assert.h>

#include "base/arena.h"
#include "base/limits.h"
#include "catalog/catalog_priv.h"

/*
 * QIDO-RS and C-FIND matching (PS3.4 C.2.2.2) as SQL.  A key is a row of the table below; its kind
 * says which condition is printed; values are bound, never printed.
 */

enum {
	QUERY_SQL_MAX = 512 * 1024,
	QUERY_VALUE_MEMORY = 4 * 1024 * 1024,
	QUERY_ROW_MEMORY = 80 * 1024 * 1024, /* one result; a sealed recipe may be long */
};

enum kind {
	KIND_TEXT,       /* single value, wildcards; case counts */
	KIND_CODE,       /* list of the same */
	KIND_UID,        /* list */
	KIND_NAME,       /* folded column at hand */
	KIND_NAME_FOLD,  /* folded as it is read */
	KIND_DATE,       /* value or range */
	KIND_TIME,       /* value or range, of any precision */
	KIND_INT,        /* IS, US */
	KIND_MODALITIES, /* list against a list */
	KIND_ITEM_NAME   /* UID list, through the hash index */
};

struct key {
	uint32_t tag;
	uint8_t level; /* of the attribute; it is matched there and below */
	uint8_t kind;
	const char *column;
};

static const struct key keys[] = {
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

static const struct key *key_find(enum nx_query_level level, uint32_t tag)
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

/* ---- the statement as it grows ---- */

struct build {
	struct nx_buf sql;
	struct nx_arena *arena; /* bound values */
	struct nx_val *args;
	size_t n_args;
	bool by_name; /* a range of names leads: rows come in that order */
	bool by_date;
	struct nx_err *err;
};

/* The next parameter, bound to `val`; prints its place. */
static nx_rc put_arg(struct build *b, struct nx_val val)
{
	if (b->n_args == NX_LIMIT_QUERY_VALUES)
		return nx_err_set(
			b->err, NX_E_LIMIT, "query: more than %u values", NX_LIMIT_QUERY_VALUES);
	b->args[b->n_args++] = val;
	nx_buf_printf(&b->sql, "?%zu", b->n_args);
	return NX_OK;
}

static nx_rc no_memory(struct build *b)
{
	return nx_err_set(b->err, NX_E_NOMEM, "no memory for a query");
}

static nx_rc bad_value(struct build *b, const struct key *key)
{
	return nx_err_set(b->err, NX_E_INVAL, "query: value of (%04X,%04X) cannot be matched",
		key->tag >> 16, key->tag & 0xffff);
}

/* `before` and a copy of the text as parameter. */
static nx_rc put_text(struct build *b, const char *before, struct nx_slice text)
{
	const char *copy = nx_arena_str(b->arena, (const char *)text.p, text.n);

	if (!copy)
		return no_memory(b);
	nx_buf_put_str(&b->sql, before);
	return put_arg(b, nx_val_text(copy));
}

static struct nx_slice trim(struct nx_slice s)
{
	while (s.n && s.p[0] == ' ')
		s = nx_slice(s.p + 1, s.n - 1);
	while (s.n && s.p[s.n - 1] == ' ')
		s.n--;
	return s;
}

/* The next of a list with "\" between; false at its end. */
static bool next_value(struct nx_slice *list, bool *done, struct nx_slice *ret)
{
	const uint8_t *sep = list->n ? memchr(list->p, '\\', list->n) : NULL;
	size_t n = sep ? (size_t)(sep - list->p) : list->n;

	if (*done)
		return false;
	*ret = trim(nx_slice(list->p, n));
	*done = !sep;
	if (sep)
		*list = nx_slice(sep + 1, list->n - n - 1);
	return true;
}

static bool has_wildcard(struct nx_slice s)
{
	return s.n && (memchr(s.p, '*', s.n) || memchr(s.p, '?', s.n));
}

/* Universal matching: no value, or only "*" (PS3.4 C.2.2.2.3, C.2.2.2.4). */
static bool is_universal(struct nx_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '*')
			return false;
	return true;
}

/* ---- wildcards ---- */

/* GLOB knows * and ? as DICOM does, and [, which stands for itself here. */
static nx_rc put_glob(
	struct build *b, const char *column, struct nx_slice pattern, const char *tail)
{
	NX_AUTO_DONE(nx_buf) glob;

	nx_buf_init(&glob, 3 * pattern.n + 16, NX_BUF_WIPE);
	for (size_t i = 0; i < pattern.n; i++) {
		if (pattern.p[i] == '[')
			nx_buf_put_str(&glob, "[[]");
		else
			nx_buf_put_u8(&glob, pattern.p[i]);
	}
	nx_buf_put_str(&glob, tail);
	if (nx_buf_check(&glob, NULL))
		return no_memory(b);
	nx_buf_printf(&b->sql, "%s GLOB ", column);
	return put_text(b, "", nx_buf_slice(&glob));
}

/* column in [prefix, prefix + 0xff): what an index can find; 0xff stands in no UTF-8 text. */
static nx_rc put_prefix_range(struct build *b, const char *column, struct nx_slice prefix)
{
	char *beyond = nx_arena_alloc(b->arena, prefix.n + 2);
	nx_rc rc;

	if (!beyond)
		return no_memory(b);
	memcpy(beyond, prefix.p, prefix.n);
	beyond[prefix.n] = (char)0xff;
	nx_buf_put_str(&b->sql, column);
	rc = put_text(b, " >= ", prefix);
	if (rc)
		return rc;
	nx_buf_printf(&b->sql, " AND %s < ", column);
	return put_arg(b, nx_val_text(beyond));
}

static struct nx_slice literal_prefix(struct nx_slice s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] != '*' && s.p[n] != '?')
		n++;
	return nx_slice(s.p, n);
}

/* ---- kinds ---- */

static nx_rc put_one_text(struct build *b, const char *column, struct nx_slice value)
{
	struct nx_slice prefix = literal_prefix(value);
	nx_rc rc;

	nx_buf_put_str(&b->sql, "(");
	if (!has_wildcard(value)) {
		nx_buf_put_str(&b->sql, column);
		rc = put_text(b, " = ", value);
	} else {
		rc = prefix.n ? put_prefix_range(b, column, prefix) : NX_OK;
		if (prefix.n)
			nx_buf_put_str(&b->sql, " AND ");
		if (!rc)
			rc = put_glob(b, column, value, "");
	}
	nx_buf_put_str(&b->sql, ")");
	return rc;
}

static nx_rc put_text_list(struct build *b, const struct key *key, struct nx_slice list)
{
	struct nx_slice value;
	bool done = false;
	nx_rc rc = NX_OK;

	for (unsigned i = 0; !rc && next_value(&list, &done, &value); i++) {
		nx_buf_put_str(&b->sql, i ? " OR " : "");
		rc = put_one_text(b, key->column, value);
	}
	return rc;
}

static nx_rc put_uid_list(
	struct build *b, const char *column, const char *wrap, struct nx_slice list)
{
	struct nx_slice value;
	bool done = false;
	nx_rc rc = NX_OK;

	nx_buf_printf(&b->sql, "%s IN (", column);
	for (unsigned i = 0; !rc && next_value(&list, &done, &value); i++) {
		nx_buf_printf(&b->sql, "%s%s(", i ? ", " : "", wrap);
		rc = put_text(b, "", value);
		nx_buf_put_str(&b->sql, ")");
	}
	nx_buf_put_str(&b->sql, ")");
	return rc;
}

static nx_rc put_item_name(struct build *b, struct nx_slice list)
{
	nx_rc rc = put_uid_list(b, "nx_hash(it.name)", "nx_hash", list);

	if (rc)
		return rc;
	nx_buf_put_str(&b->sql, " AND ");
	return put_uid_list(b, "it.name", "", list);
}

/* The text of a name in the form of name_key. */
static const char *name_fold(struct build *b, struct nx_slice value)
{
	const char *text = nx_arena_str(b->arena, (const char *)value.p, value.n);

	return text ? nx_cat_name_key(text, b->arena) : NULL;
}

/*
 * A value without "=" is about the alphabetic group, which others may follow: "X" finds "X" and
 * "X=...".
 */
static nx_rc put_name(struct build *b, const struct key *key, struct nx_slice value)
{
	bool stored = key->kind == KIND_NAME;
	const char *column =
		stored ? key->column : nx_arena_printf(b->arena, "nx_fold(%s)", key->column);
	const char *folded = name_fold(b, value);
	struct nx_slice want = nx_slice_str(folded);
	struct nx_slice prefix = literal_prefix(want);
	bool groups = want.n && memchr(want.p, '=', want.n);
	nx_rc rc;

	if (!folded || !column)
		return no_memory(b);
	nx_buf_put_str(&b->sql, "(");
	rc = prefix.n ? put_prefix_range(b, column, prefix) : NX_OK;
	if (prefix.n)
		nx_buf_put_str(&b->sql, " AND ");
	nx_buf_put_str(&b->sql, "(");
	if (!rc)
		rc = put_glob(b, column, want, "");
	if (!rc && !groups) {
		nx_buf_put_str(&b->sql, " OR ");
		rc = put_glob(b, column, want, "=*");
	}
	nx_buf_put_str(&b->sql, "))");
	b->by_name |= stored && prefix.n;
	return rc;
}

/* Every word begins some word of the name. */
static nx_rc put_fuzzy_name(struct build *b, const struct key *key, struct nx_slice value)
{
	const char *folded = name_fold(b, value);
	const char *column = key->kind == KIND_NAME
		? key->column
		: nx_arena_printf(b->arena, "nx_fold(%s)", key->column);
	const char *sep = "";
	nx_rc rc = NX_OK;

	if (!folded || !column)
		return no_memory(b);
	for (const char *at = folded; !rc && *at;) {
		size_t skip = strspn(at, "^= ,*?");
		size_t n = strcspn(at + skip, "^= ,*?");
		const char *word = nx_arena_printf(b->arena, " %.*s", (int)n, at + skip);

		at += skip + n;
		if (!word)
			return no_memory(b);
		if (!n)
			continue;
		nx_buf_printf(&b->sql,
			"%sinstr(' ' || replace(replace(replace(%s, '^', ' '), '=', ' '), ',', ' ')",
			sep, column);
		rc = put_text(b, ", ", nx_slice_str(word));
		nx_buf_put_str(&b->sql, ") > 0");
		sep = " AND ";
	}
	if (!*sep)
		nx_buf_put_str(&b->sql, "1");
	return rc;
}

/* DA is eight digits, TM two to six and a fraction (PS3.5 6.2). */
static bool is_date(struct nx_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n == 8;
}

static bool is_time(struct nx_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] < '0' || s.p[i] > '9') && !(i == 6 && s.p[i] == '.'))
			return false;
	return s.n >= 2 && s.n <= 13 && (s.n >= 6 || s.n % 2 == 0);
}

/* `a` of "a-b", or `b`; both are the value where there is no dash. */
static struct nx_slice range_end(struct nx_slice value, bool first)
{
	const uint8_t *dash = value.n ? memchr(value.p, '-', value.n) : NULL;
	size_t n = dash ? (size_t)(dash - value.p) : value.n;

	if (first || !dash)
		return trim(nx_slice(value.p, n));
	return trim(nx_slice(dash + 1, value.n - n - 1));
}

/* "a", "a-b", "a-", "-b" (PS3.4 C.2.2.2.5); an end includes all it is the beginning of. */
static nx_rc put_range(struct build *b, const struct key *key, struct nx_slice value)
{
	struct nx_slice from = range_end(value, true), to = range_end(value, false);
	bool (*valid)(struct nx_slice) = key->kind == KIND_DATE ? is_date : is_time;
	nx_rc rc = NX_OK;
	char *beyond;

	if ((!from.n && !to.n) || (from.n && !valid(from)) || (to.n && !valid(to)))
		return bad_value(b, key);
	/* One lower bound: the way in is an index, which takes the first that it meets. */
	nx_buf_put_str(&b->sql, key->column);
	if (from.n)
		rc = put_text(b, " >= ", from);
	else
		nx_buf_put_str(&b->sql, " > ''"); /* what has no value is in no range */
	if (rc || !to.n)
		return rc;
	beyond = nx_arena_printf(b->arena, "%.*s~", (int)to.n, (const char *)to.p);
	if (!beyond)
		return no_memory(b);
	nx_buf_printf(&b->sql, " AND %s < ", key->column);
	return put_arg(b, nx_val_text(beyond));
}

static nx_rc put_int(struct build *b, const struct key *key, struct nx_slice value)
{
	char text[16];
	char *end;
	int64_t v;

	if (value.n >= sizeof(text))
		return bad_value(b, key);
	memcpy(text, value.p, value.n);
	text[value.n] = 0;
	v = strtoll(text, &end, 10);
	if (*end || end == text)
		return bad_value(b, key);
	nx_buf_printf(&b->sql, "%s = ", key->column);
	return put_arg(b, nx_val_int(v));
}

/* Any of the list in the study's own list. */
static nx_rc put_modalities(struct build *b, const struct key *key, struct nx_slice list)
{
	const char *column = nx_arena_printf(b->arena, "('\\' || %s || '\\')", key->column);
	struct nx_slice value;
	bool done = false;
	nx_rc rc = NX_OK;

	if (!column)
		return no_memory(b);
	for (unsigned i = 0; !rc && next_value(&list, &done, &value); i++) {
		const char *one = nx_arena_printf(
			b->arena, "*\\%.*s\\*", (int)value.n, (const char *)value.p);

		if (!one)
			return no_memory(b);
		nx_buf_put_str(&b->sql, i ? " OR " : "");
		rc = put_glob(b, column, nx_slice_str(one), "");
	}
	return rc;
}

/* The date that a time goes with where both are matched as one (PS3.4 C.2.2.2.5.1). */
static const struct {
	uint32_t time, date;
	const char *date_column;
} moments[] = {
	{0x00080030, 0x00080020, "st.date"},
	{0x00080031, 0x00080021, "se.date"},
	{0x00400245, 0x00400244, "se.pps_date"},
};

/* The value of the date key that belongs to this time key; none: *ret_column is NULL. */
static struct nx_slice date_of(const struct nx_query *query, uint32_t time, const char **ret_column)
{
	*ret_column = NULL;
	for (size_t i = 0; query->datetime && i < NX_ARRAY_LEN(moments); i++) {
		for (size_t k = 0; moments[i].time == time && k < query->n_keys; k++) {
			struct nx_slice date = trim(nx_slice_str(query->keys[k].value));

			if (query->keys[k].tag != moments[i].date || is_universal(date))
				continue;
			*ret_column = moments[i].date_column;
			return date;
		}
	}
	return nx_slice(NULL, 0);
}

/* A time limits only the day that its end of the range falls on; the days are the date key's. */
static nx_rc put_moment(struct build *b, const struct key *key, struct nx_slice time,
	const char *date_column, struct nx_slice date)
{
	nx_rc rc = NX_OK;

	nx_buf_printf(&b->sql, "%s > ''", key->column);
	for (int first = 1; first >= 0 && !rc; first--) {
		struct nx_slice day = range_end(date, first), at = range_end(time, first);
		const char *bound = nx_arena_printf(b->arena, "%.*s%s", (int)at.n,
			at.n ? (const char *)at.p : "", first ? "" : "~");

		if (!day.n || !at.n)
			continue;
		if (!bound)
			return no_memory(b);
		if (!is_date(day) || !is_time(at))
			return bad_value(b, key);
		nx_buf_printf(&b->sql, " AND (%s <> ", date_column);
		rc = put_text(b, "", day);
		nx_buf_printf(&b->sql, " OR %s %s ", key->column, first ? ">=" : "<");
		if (!rc)
			rc = put_arg(b, nx_val_text(bound));
		nx_buf_put_str(&b->sql, ")");
	}
	return rc;
}

static nx_rc put_time(
	struct build *b, const struct nx_query *query, const struct key *key, struct nx_slice value)
{
	const char *column;
	struct nx_slice date = date_of(query, key->tag, &column);

	return column ? put_moment(b, key, value, column, date) : put_range(b, key, value);
}

static nx_rc put_kind(
	struct build *b, const struct nx_query *query, const struct key *key, struct nx_slice value)
{
	bool fuzzy = query->fuzzy;

	switch ((enum kind)key->kind) {
	case KIND_TEXT:
		return put_one_text(b, key->column, value);
	case KIND_CODE:
		return put_text_list(b, key, value);
	case KIND_UID:
		return put_uid_list(b, key->column, "", value);
	case KIND_NAME:
	case KIND_NAME_FOLD:
		return fuzzy ? put_fuzzy_name(b, key, value) : put_name(b, key, value);
	case KIND_DATE:
		b->by_date |= key->tag == 0x00080020;
		return put_range(b, key, value);
	case KIND_TIME:
		return put_time(b, query, key, value);
	case KIND_INT:
		return put_int(b, key, value);
	case KIND_MODALITIES:
		return put_modalities(b, key, value);
	case KIND_ITEM_NAME:
		return put_item_name(b, value);
	}
	return bad_value(b, key);
}

static nx_rc put_key(struct build *b, const struct nx_query *query, const struct nx_query_key *qk)
{
	const struct key *key = key_find(query->level, qk->tag);
	struct nx_slice value = trim(nx_slice_str(qk->value ? qk->value : ""));
	nx_rc rc;

	if (!key)
		return nx_err_set(b->err, NX_E_INVAL, "query: (%04X,%04X) is not matched here",
			qk->tag >> 16, qk->tag & 0xffff);
	if (is_universal(value))
		return NX_OK;
	nx_buf_put_str(&b->sql, " AND (");
	rc = put_kind(b, query, key, value);
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
static nx_rc put_collections(struct build *b, const struct nx_query *query)
{
	nx_rc rc = NX_OK;

	nx_buf_put_str(&b->sql, " WHERE +st.collection IN (");
	for (size_t i = 0; i < query->n_collections && !rc; i++) {
		nx_buf_put_str(&b->sql, i ? "," : "");
		rc = put_arg(b, nx_val_int(query->collections[i]));
	}
	nx_buf_put_str(&b->sql, ")");
	return rc;
}

/* Newest first, or in the order of the index that leads, so that a limit ends the search early and
 * pages of one query fit together. */
static nx_rc put_order(struct build *b, const struct nx_query *query)
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
	rc = put_arg(b, nx_val_int((int64_t)limit + 1)); /* one more says whether there are more */
	if (rc)
		return rc;
	nx_buf_put_str(&b->sql, " OFFSET ");
	return put_arg(b, nx_val_int(query->offset));
}

static nx_rc build(struct build *b, const struct nx_query *query)
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

static nx_rc bind_all(sqlite3_stmt *stmt, const struct build *b, struct nx_err *err)
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
static nx_rc query_on(struct conn *conn, const struct nx_query *query, struct build *b,
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
	struct build b = {.arena = arena, .err = err};
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

/* One key of a query as a condition (PS3.4 C.2.2.2); values are bound, never printed. */
#include "base/arena.h"
#include "base/limits.h"
#include "catalog/query_priv.h"

nx_rc nx_query_put_arg(struct query_build *b, struct nx_val val)
{
	if (b->n_args == NX_LIMIT_QUERY_VALUES)
		return nx_err_set(
			b->err, NX_E_LIMIT, "query: more than %u values", NX_LIMIT_QUERY_VALUES);
	b->args[b->n_args++] = val;
	nx_buf_printf(&b->sql, "?%zu", b->n_args);
	return NX_OK;
}

static nx_rc no_memory(struct query_build *b)
{
	return nx_err_set(b->err, NX_E_NOMEM, "no memory for a query");
}

static nx_rc bad_value(struct query_build *b, const struct query_key *key)
{
	return nx_err_set(b->err, NX_E_INVAL, "query: value of (%04X,%04X) cannot be matched",
		key->tag >> 16, key->tag & 0xffff);
}

/* `before` and a copy of the text as parameter. */
static nx_rc put_text(struct query_build *b, const char *before, struct nx_slice text)
{
	const char *copy = nx_arena_str(b->arena, (const char *)text.p, text.n);

	if (!copy)
		return no_memory(b);
	nx_buf_put_str(&b->sql, before);
	return nx_query_put_arg(b, nx_val_text(copy));
}

struct nx_slice nx_query_trim(struct nx_slice s)
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
	*ret = nx_query_trim(nx_slice(list->p, n));
	*done = !sep;
	if (sep)
		*list = nx_slice(sep + 1, list->n - n - 1);
	return true;
}

static bool has_wildcard(struct nx_slice s)
{
	return s.n && (memchr(s.p, '*', s.n) || memchr(s.p, '?', s.n));
}

bool nx_query_universal(struct nx_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '*')
			return false;
	return true;
}

/* ---- wildcards ---- */

/* GLOB knows * and ? as DICOM does, and [, which stands for itself here. */
static nx_rc put_glob(
	struct query_build *b, const char *column, struct nx_slice pattern, const char *tail)
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
static nx_rc put_prefix_range(struct query_build *b, const char *column, struct nx_slice prefix)
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
	return nx_query_put_arg(b, nx_val_text(beyond));
}

static struct nx_slice literal_prefix(struct nx_slice s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] != '*' && s.p[n] != '?')
		n++;
	return nx_slice(s.p, n);
}

/* ---- kinds ---- */

static nx_rc put_one_text(struct query_build *b, const char *column, struct nx_slice value)
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

static nx_rc put_text_list(struct query_build *b, const struct query_key *key, struct nx_slice list)
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
	struct query_build *b, const char *column, const char *wrap, struct nx_slice list)
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

static nx_rc put_item_name(struct query_build *b, struct nx_slice list)
{
	nx_rc rc = put_uid_list(b, "nx_hash(it.name)", "nx_hash", list);

	if (rc)
		return rc;
	nx_buf_put_str(&b->sql, " AND ");
	return put_uid_list(b, "it.name", "", list);
}

/* The text of a name in the form of name_key. */
static const char *name_fold(struct query_build *b, struct nx_slice value)
{
	const char *text = nx_arena_str(b->arena, (const char *)value.p, value.n);

	return text ? nx_cat_name_key(text, b->arena) : NULL;
}

/*
 * A value without "=" is about the alphabetic group, which others may follow: "X" finds "X" and
 * "X=...".
 */
static nx_rc put_name(struct query_build *b, const struct query_key *key, struct nx_slice value)
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
static nx_rc put_fuzzy_name(
	struct query_build *b, const struct query_key *key, struct nx_slice value)
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
		return nx_query_trim(nx_slice(value.p, n));
	return nx_query_trim(nx_slice(dash + 1, value.n - n - 1));
}

/* "a", "a-b", "a-", "-b" (PS3.4 C.2.2.2.5); an end includes all it is the beginning of. */
static nx_rc put_range(struct query_build *b, const struct query_key *key, struct nx_slice value)
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
	return nx_query_put_arg(b, nx_val_text(beyond));
}

static nx_rc put_int(struct query_build *b, const struct query_key *key, struct nx_slice value)
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
	return nx_query_put_arg(b, nx_val_int(v));
}

/* Any of the list in the study's own list. */
static nx_rc put_modalities(
	struct query_build *b, const struct query_key *key, struct nx_slice list)
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
			struct nx_slice date = nx_query_trim(nx_slice_str(query->keys[k].value));

			if (query->keys[k].tag != moments[i].date || nx_query_universal(date))
				continue;
			*ret_column = moments[i].date_column;
			return date;
		}
	}
	return nx_slice(NULL, 0);
}

/* A time limits only the day that its end of the range falls on; the days are the date key's. */
static nx_rc put_moment(struct query_build *b, const struct query_key *key, struct nx_slice time,
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
			rc = nx_query_put_arg(b, nx_val_text(bound));
		nx_buf_put_str(&b->sql, ")");
	}
	return rc;
}

static nx_rc put_time(struct query_build *b, const struct nx_query *query,
	const struct query_key *key, struct nx_slice value)
{
	const char *column;
	struct nx_slice date = date_of(query, key->tag, &column);

	return column ? put_moment(b, key, value, column, date) : put_range(b, key, value);
}

nx_rc nx_query_put_match(struct query_build *b, const struct nx_query *query,
	const struct query_key *key, struct nx_slice value)
{
	bool fuzzy = query->fuzzy;

	switch ((enum query_kind)key->kind) {
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

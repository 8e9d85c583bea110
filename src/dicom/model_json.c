/* The DICOM JSON Model (PS3.18 Annex F), token by token: nothing is kept but the open data set. */
#include <stdlib.h>

#include "base/enc.h"
#include "dicom/model_priv.h"

enum {
	STACK_MAX = 3 * MODEL_LEVELS + 4
};

enum place {
	IN_LIST,    /* of data sets */
	IN_DATASET, /* "00100010": { */
	IN_ATTR,    /* "vr": "LO", "Value": [ */
	IN_VALUES,
	IN_OBJECT, /* of values: a name or an item, its first member will tell */
	IN_ITEM,   /* as IN_DATASET */
	IN_NAME    /* "Alphabetic": "" */
};

/* What may come next (RFC 8259). */
enum want {
	WANT_FIRST, /* a member, or the end */
	WANT_NEXT,  /* a member */
	WANT_COLON,
	WANT_VALUE,
	WANT_COMMA /* or the end */
};

enum word {
	WORD_NONE,
	WORD_STRING,
	WORD_ESCAPE, /* behind a backslash */
	WORD_HEX,    /* in \uXXXX */
	WORD_BARE    /* a number, null, ... */
};

enum member {
	MEMBER_OTHER,
	MEMBER_VR,
	MEMBER_VALUE,
	MEMBER_INLINE,
	MEMBER_URI
};

struct json_reader {
	struct nx_model_reader r;
	struct {
		enum place place;
		enum want want;
	} stack[STACK_MAX];
	size_t depth;
	bool done;
	enum word word;
	struct nx_buf text; /* of the word at hand */
	unsigned n_hex;
	uint32_t hex;
	uint32_t high; /* surrogate that waits for its other half */
	nx_tag tag;
	enum member member;
	size_t group;
};

static nx_rc malformed(const char *what, struct nx_err *err)
{
	return nx_err_set(err, NX_E_MALFORMED, "not the DICOM JSON Model: %s", what);
}

static bool is_object(enum place place)
{
	return place != IN_LIST && place != IN_VALUES;
}

/* ---- structure ---- */

static nx_rc push(struct json_reader *j, enum place place, struct nx_err *err)
{
	if (j->depth == STACK_MAX)
		return nx_err_set(err, NX_E_LIMIT, "sequences nested too deep");
	j->stack[j->depth].place = place;
	j->stack[j->depth++].want = WANT_FIRST;
	return NX_OK;
}

/* May a value stand here?  In an array instead of a member. */
static bool value_fits(const struct json_reader *j)
{
	enum want want;

	if (!j->depth)
		return !j->done;
	want = j->stack[j->depth - 1].want;
	return is_object(j->stack[j->depth - 1].place) ? want == WANT_VALUE
						       : want == WANT_FIRST || want == WANT_NEXT;
}

static void value_over(struct json_reader *j)
{
	if (j->depth)
		j->stack[j->depth - 1].want = WANT_COMMA;
	else
		j->done = true;
}

static nx_rc object_begin(struct json_reader *j, struct nx_err *err)
{
	enum place place = j->depth ? j->stack[j->depth - 1].place : IN_LIST;
	nx_rc rc;

	switch (place) {
	case IN_LIST:
		rc = model_begin(&j->r, err);
		return rc ? rc : push(j, IN_DATASET, err);
	case IN_DATASET:
	case IN_ITEM:
		model_attr_begin(&j->r, j->tag);
		return push(j, IN_ATTR, err);
	case IN_VALUES:
		return push(j, IN_OBJECT, err);
	case IN_ATTR:
	case IN_OBJECT:
	case IN_NAME:
		break;
	}
	return malformed("an object where none belongs", err);
}

static nx_rc array_begin(struct json_reader *j, struct nx_err *err)
{
	if (!j->depth)
		return push(j, IN_LIST, err);
	if (j->stack[j->depth - 1].place == IN_ATTR && j->member == MEMBER_VALUE)
		return push(j, IN_VALUES, err);
	return malformed("an array where none belongs", err);
}

static nx_rc open_at(struct json_reader *j, char c, struct nx_err *err)
{
	if (!value_fits(j))
		return malformed("a value where none belongs", err);
	return c == '{' ? object_begin(j, err) : array_begin(j, err);
}

static nx_rc closed(struct json_reader *j, enum place place, struct nx_err *err)
{
	switch (place) {
	case IN_DATASET:
		return model_end(&j->r, err);
	case IN_ATTR:
		return model_attr_end(&j->r, err);
	case IN_OBJECT:
		return model_empty(&j->r, err);
	case IN_ITEM:
		return model_item_end(&j->r, err);
	case IN_NAME:
		return model_name_end(&j->r, err);
	case IN_LIST:
	case IN_VALUES:
		break;
	}
	return NX_OK;
}

static nx_rc close_at(struct json_reader *j, char c, struct nx_err *err)
{
	enum place place;
	enum want want;
	nx_rc rc;

	if (!j->depth)
		return malformed("an end without a begin", err);
	place = j->stack[j->depth - 1].place;
	want = j->stack[j->depth - 1].want;
	if (is_object(place) != (c == '}') || (want != WANT_FIRST && want != WANT_COMMA))
		return malformed("an end where none belongs", err);
	j->depth--;
	rc = closed(j, place, err);
	value_over(j);
	return rc;
}

/* ---- words ---- */

static nx_rc member_of_attr(struct json_reader *j, struct nx_slice key, struct nx_err *err)
{
	static const char *const names[] = {
		[MEMBER_VR] = "vr",
		[MEMBER_VALUE] = "Value",
		[MEMBER_INLINE] = "InlineBinary",
		[MEMBER_URI] = "BulkDataURI",
	};

	for (size_t i = MEMBER_VR; i < NX_ARRAY_LEN(names); i++) {
		if (nx_slice_eq(key, nx_slice_str(names[i]))) {
			j->member = (enum member)i;
			return NX_OK;
		}
	}
	return malformed("a member of an attribute that is not known", err);
}

static nx_rc tag_of_key(struct json_reader *j, struct nx_slice key, struct nx_err *err)
{
	return model_tag(key, &j->tag) ? NX_OK : malformed("a key that is no tag", err);
}

static nx_rc name_member(struct json_reader *j, struct nx_slice key, struct nx_err *err)
{
	j->group = model_group_find(key);
	return j->group < MODEL_NAME_GROUPS ? NX_OK : malformed("no part of a name", err);
}

/* The first member of an object among values says what it is. */
static nx_rc object_settle(struct json_reader *j, struct nx_slice key, struct nx_err *err)
{
	enum place *place = &j->stack[j->depth - 1].place;

	if (*place != IN_OBJECT)
		return NX_OK;
	if (model_group_find(key) < MODEL_NAME_GROUPS) {
		*place = IN_NAME;
		model_name_begin(&j->r);
		return NX_OK;
	}
	*place = IN_ITEM;
	return model_item_begin(&j->r, err);
}

static nx_rc key_at(struct json_reader *j, struct nx_slice key, struct nx_err *err)
{
	nx_rc rc = object_settle(j, key, err);

	if (rc)
		return rc;
	j->stack[j->depth - 1].want = WANT_COLON;
	switch (j->stack[j->depth - 1].place) {
	case IN_DATASET:
	case IN_ITEM:
		return tag_of_key(j, key, err);
	case IN_ATTR:
		return member_of_attr(j, key, err);
	case IN_NAME:
		return name_member(j, key, err);
	case IN_LIST:
	case IN_VALUES:
	case IN_OBJECT:
		break;
	}
	return malformed("a key where none belongs", err);
}

static nx_rc scalar_of_attr(
	struct json_reader *j, enum model_kind kind, struct nx_slice text, struct nx_err *err)
{
	if (kind != MODEL_TEXT)
		return malformed("a value that is no string", err);
	switch (j->member) {
	case MEMBER_VR:
		model_vr(&j->r, text);
		return NX_OK;
	case MEMBER_INLINE:
		return model_inline(&j->r, text, err);
	case MEMBER_URI:
		return model_uri(&j->r, text, err);
	case MEMBER_VALUE:
	case MEMBER_OTHER:
		break;
	}
	return malformed("values that are no array", err);
}

static nx_rc scalar_at(
	struct json_reader *j, enum model_kind kind, struct nx_slice text, struct nx_err *err)
{
	enum place place = j->depth ? j->stack[j->depth - 1].place : IN_LIST;

	if (!value_fits(j))
		return malformed("a value where none belongs", err);
	value_over(j);
	if (place == IN_VALUES)
		return model_value(&j->r, kind, text, err);
	if (place == IN_ATTR)
		return scalar_of_attr(j, kind, text, err);
	if (place != IN_NAME || (kind != MODEL_TEXT && kind != MODEL_NULL))
		return malformed("a value where none belongs", err);
	model_name_group(&j->r, j->group, text);
	return NX_OK;
}

static nx_rc string_over(struct json_reader *j, struct nx_err *err)
{
	struct nx_slice text = nx_buf_slice(&j->text);
	enum want want = j->depth ? j->stack[j->depth - 1].want : WANT_VALUE;
	nx_rc rc = nx_buf_check(&j->text, err);

	if (rc)
		return rc;
	if (j->high)
		return malformed("half of a character", err);
	if (j->depth && is_object(j->stack[j->depth - 1].place) &&
		(want == WANT_FIRST || want == WANT_NEXT))
		return key_at(j, text, err);
	return scalar_at(j, MODEL_TEXT, text, err);
}

static nx_rc bare_over(struct json_reader *j, struct nx_err *err)
{
	struct nx_slice text = nx_buf_slice(&j->text);
	nx_rc rc = nx_buf_check(&j->text, err);

	if (rc)
		return rc;
	if (nx_slice_eq(text, nx_slice_str("null")))
		return scalar_at(j, MODEL_NULL, nx_slice(NULL, 0), err);
	for (size_t i = 0; i < text.n; i++)
		if (!text.p[i] || !strchr("0123456789+-.eE", text.p[i]))
			return malformed("a word that is no value", err);
	return scalar_at(j, MODEL_NUMBER, text, err);
}

/* ---- characters ---- */

static void put_utf8(struct nx_buf *out, uint32_t c)
{
	if (c >= 0x10000) {
		nx_buf_put_u8(out, (uint8_t)(0xf0 | c >> 18));
		nx_buf_put_u8(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
	} else if (c >= 0x800) {
		nx_buf_put_u8(out, (uint8_t)(0xe0 | c >> 12));
	}
	if (c >= 0x800)
		nx_buf_put_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
	else if (c >= 0x80)
		nx_buf_put_u8(out, (uint8_t)(0xc0 | c >> 6));
	nx_buf_put_u8(out, (uint8_t)(c >= 0x80 ? 0x80 | (c & 0x3f) : c));
}

static nx_rc hex_over(struct json_reader *j, struct nx_err *err)
{
	uint32_t c = j->hex;
	bool low = c >= 0xdc00 && c < 0xe000;

	j->word = WORD_STRING;
	if (low != (j->high != 0) || !c)
		return malformed("half of a character", err);
	if (c >= 0xd800 && c < 0xdc00) {
		j->high = c;
		return NX_OK;
	}
	if (low)
		c = 0x10000 + ((j->high - 0xd800) << 10) + (c - 0xdc00);
	j->high = 0;
	put_utf8(&j->text, c);
	return NX_OK;
}

static nx_rc hex_at(struct json_reader *j, char c, struct nx_err *err)
{
	int digit = nx_hex_digit(c);

	if (digit < 0)
		return malformed("an escape that is none", err);
	j->hex = j->hex << 4 | (uint32_t)digit;
	return ++j->n_hex == 4 ? hex_over(j, err) : NX_OK;
}

static nx_rc escape_at(struct json_reader *j, char c, struct nx_err *err)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at = c ? strchr(from, c) : NULL;

	if (c == 'u') {
		j->word = WORD_HEX;
		j->n_hex = 0;
		j->hex = 0;
		return NX_OK;
	}
	if (!at || j->high)
		return malformed("an escape that is none", err);
	nx_buf_put_u8(&j->text, (uint8_t)to[at - from]);
	j->word = WORD_STRING;
	return NX_OK;
}

/* As much of the string as stands together; the number of characters taken. */
static size_t string_at(
	struct json_reader *j, const char *p, size_t n, nx_rc *ret, struct nx_err *err)
{
	size_t i = 0;

	while (i < n && p[i] != '"' && p[i] != '\\' && (uint8_t)p[i] >= 0x20)
		i++;
	nx_buf_put(&j->text, p, i);
	if (i && j->high)
		*ret = malformed("half of a character", err);
	else if (i < n && (uint8_t)p[i] < 0x20)
		*ret = malformed("a control character", err);
	if (*ret || i == n)
		return i;
	j->word = p[i] == '"' ? WORD_NONE : WORD_ESCAPE;
	if (p[i] == '"')
		*ret = string_over(j, err);
	return i + 1;
}

static nx_rc comma_at(struct json_reader *j, struct nx_err *err)
{
	if (!j->depth || j->stack[j->depth - 1].want != WANT_COMMA)
		return malformed("a comma where none belongs", err);
	j->stack[j->depth - 1].want = WANT_NEXT;
	return NX_OK;
}

static nx_rc colon_at(struct json_reader *j, struct nx_err *err)
{
	if (!j->depth || j->stack[j->depth - 1].want != WANT_COLON)
		return malformed("a colon where none belongs", err);
	j->stack[j->depth - 1].want = WANT_VALUE;
	return NX_OK;
}

static nx_rc sign_at(struct json_reader *j, char c, struct nx_err *err)
{
	switch (c) {
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		return NX_OK;
	case '{':
	case '[':
		return open_at(j, c, err);
	case '}':
	case ']':
		return close_at(j, c, err);
	case ',':
		return comma_at(j, err);
	case ':':
		return colon_at(j, err);
	default:
		nx_buf_clear(&j->text);
		j->word = c == '"' ? WORD_STRING : WORD_BARE;
		if (c != '"')
			nx_buf_put_u8(&j->text, (uint8_t)c);
		return NX_OK;
	}
}

static bool ends_bare(char c)
{
	return c && strchr(" \t\r\n{}[],:\"", c);
}

/* The next characters; *ret_n of them were taken. */
static nx_rc step(struct json_reader *j, const char *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	*ret_n = 1;
	switch (j->word) {
	case WORD_STRING:
		*ret_n = string_at(j, p, n, &rc, err);
		return rc;
	case WORD_ESCAPE:
		return escape_at(j, *p, err);
	case WORD_HEX:
		return hex_at(j, *p, err);
	case WORD_BARE:
		if (!ends_bare(*p)) {
			nx_buf_put_u8(&j->text, (uint8_t)*p);
			return NX_OK;
		}
		j->word = WORD_NONE;
		rc = bare_over(j, err);
		return rc ? rc : sign_at(j, *p, err);
	case WORD_NONE:
		break;
	}
	return sign_at(j, *p, err);
}

static nx_rc json_feed(struct nx_model_reader *r, const void *p, size_t n, struct nx_err *err)
{
	struct json_reader *j = (struct json_reader *)r;
	const char *s = p;
	size_t taken = 0;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < n && !rc; i += taken)
		rc = step(j, s + i, n - i, &taken, err);
	return rc;
}

static nx_rc json_finish(struct nx_model_reader *r, struct nx_err *err)
{
	const struct json_reader *j = (const struct json_reader *)r;

	if (!j->done || j->word != WORD_NONE)
		return nx_err_set(err, NX_E_SHORT, "the DICOM JSON Model breaks off");
	return NX_OK;
}

static void json_free(struct nx_model_reader *r)
{
	struct json_reader *j = (struct json_reader *)r;

	model_done(r);
	nx_buf_done(&j->text);
	free(j);
}

static const struct model_ops json_ops = {json_feed, json_finish, json_free};

nx_rc nx_model_json_new(
	nx_model_fn fn, void *payload, struct nx_model_reader **ret_reader, struct nx_err *err)
{
	struct json_reader *j = calloc(1, sizeof(*j));

	if (!j)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a reader");
	model_init(&j->r, &json_ops, fn, payload);
	nx_buf_init(&j->text, 2 * (size_t)NX_LIMIT_DICOM_HEADER, NX_BUF_WIPE);
	*ret_reader = &j->r;
	return NX_OK;
}

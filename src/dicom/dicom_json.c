/* The DICOM JSON Model (PS3.18 Annex F). */
#include "dicom/dicom_priv.h"

#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"

enum {
	DECIMAL_MAX = 64,
	DIGITS_EXACT = 17, /* a double keeps no more */
	NEST_PER_ITEM = 3  /* the sequence's object, its Value array, the item */
};

struct writer {
	struct nx_json *json;
	nx_rc (*bulk_uri)(
		void *payload, const struct nx_elem *e, struct nx_buf *out, struct nx_err *err);
	void *payload;
	struct nx_buf scratch;
};

static void put_key(struct nx_json *json, nx_tag tag, uint16_t vr)
{
	static const char digits[] = "0123456789ABCDEF";
	char key[9] = "", name[3] = {(char)(vr >> 8), (char)(vr & 0xff), '\0'};

	for (unsigned i = 0; i < 8; i++)
		key[i] = digits[tag >> (28 - 4 * i) & 0xf];
	nx_json_key(json, key);
	nx_json_object_begin(json);
	nx_json_kv_str(json, "vr", name);
}

/* ---- text values ---- */

/* Digits at s[*i], appended to `ret`; their number. */
static size_t put_digits(struct nx_slice s, size_t *i, char *ret, size_t *n)
{
	size_t from = *i;

	for (; *i < s.n && s.p[*i] >= '0' && s.p[*i] <= '9'; (*i)++)
		ret[(*n)++] = (char)s.p[*i];
	return *i - from;
}

static bool put_exponent(struct nx_slice s, size_t *i, char *ret, size_t *n)
{
	if (*i == s.n || (s.p[*i] != 'e' && s.p[*i] != 'E'))
		return true;
	ret[(*n)++] = 'e';
	(*i)++;
	if (*i < s.n && (s.p[*i] == '+' || s.p[*i] == '-'))
		ret[(*n)++] = (char)s.p[(*i)++];
	return put_digits(s, i, ret, n) > 0;
}

/*
 * DS allows "+1", "01", ".5" and "1.", which are no JSON numbers: the same number in JSON's
 * grammar, digit by digit, so that nothing is rounded.  False when it is no number, or has more
 * digits than a reader can keep.
 */
static bool decimal_normalise(struct nx_slice s, char ret[DECIMAL_MAX])
{
	size_t i = 0, n = 0, digits, fraction = 0;

	if (s.n == 0 || s.n > DECIMAL_MAX - 4)
		return false;
	if (s.p[0] == '-')
		ret[n++] = '-';
	if (s.p[0] == '-' || s.p[0] == '+')
		i++;
	while (i + 1 < s.n && s.p[i] == '0' && s.p[i + 1] >= '0' && s.p[i + 1] <= '9')
		i++;
	digits = put_digits(s, &i, ret, &n);
	if (digits == 0)
		ret[n++] = '0';
	if (i < s.n && s.p[i] == '.') {
		size_t dot = n++;

		i++;
		ret[dot] = '.';
		fraction = put_digits(s, &i, ret, &n);
		n = fraction ? n : dot;
	}
	if (digits + fraction == 0 || digits + fraction > DIGITS_EXACT ||
		!put_exponent(s, &i, ret, &n))
		return false;
	ret[n] = '\0';
	return i == s.n;
}

static void put_decimal(struct nx_json *json, struct nx_slice s)
{
	char number[DECIMAL_MAX];

	if (decimal_normalise(s, number))
		nx_json_raw(json, nx_slice_str(number));
	else
		nx_json_str_n(json, (const char *)s.p, s.n);
}

static void put_integer(struct nx_json *json, struct nx_slice s)
{
	int64_t v;

	if (nx_text_int(s, &v) && v >= -(1ll << 53) && v <= 1ll << 53)
		nx_json_int(json, v);
	else
		nx_json_str_n(json, (const char *)s.p, s.n);
}

/* PS3.18 F.2.2: the component groups, each only where it is not empty. */
static void put_name(struct nx_json *json, struct nx_slice s)
{
	static const char *const groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
	const struct nx_vr_info *info = nx_vr_info(NX_VR('P', 'N'));

	nx_json_object_begin(json);
	for (size_t i = 0; i < NX_ARRAY_LEN(groups) && s.n; i++) {
		const uint8_t *end = memchr(s.p, '=', s.n);
		size_t n = end ? (size_t)(end - s.p) : s.n;
		struct nx_slice rest = nx_slice(s.p, n), group;
		bool more = true;

		if (nx_text_next(info, &rest, &more, &group) && group.n) {
			nx_json_key(json, groups[i]);
			nx_json_str_n(json, (const char *)group.p, group.n);
		}
		s = end ? nx_slice(end + 1, s.n - n - 1) : nx_slice(s.p, 0);
	}
	nx_json_object_end(json);
}

static void put_text_value(struct nx_json *json, uint16_t vr, struct nx_slice s)
{
	if (s.n == 0)
		nx_json_null(json);
	else if (vr == NX_VR('P', 'N'))
		put_name(json, s);
	else if (vr == NX_VR('D', 'S') || vr == NX_VR('F', 'L') || vr == NX_VR('F', 'D'))
		put_decimal(json, s);
	else if (vr == NX_VR('I', 'S') ||
		(vr != NX_VR('A', 'T') && !(nx_vr_info(vr)->flags & NX_VR_TEXT)))
		put_integer(json, s);
	else
		nx_json_str_n(json, (const char *)s.p, s.n);
}

static void put_text_values(struct nx_json *json, uint16_t vr, struct nx_slice text)
{
	const struct nx_vr_info *info = nx_vr_info(vr);
	struct nx_slice rest = text, value;
	bool more = true;

	/* One value of nothing but padding is no value. */
	(void)nx_text_next(info, &rest, &more, &value);
	if (value.n == 0 && !more)
		return;
	nx_json_key(json, "Value");
	nx_json_array_begin(json);
	rest = text;
	more = true;
	while (nx_text_next(info, &rest, &more, &value))
		put_text_value(json, vr, value);
	nx_json_array_end(json);
}

/* ---- binary values ---- */

static void put_float(struct nx_json *json, const struct nx_elem *elem, size_t i)
{
	const uint8_t *p = elem->value.p;
	uint64_t bits;
	uint32_t half;
	double d;
	float f;

	if (elem->vr == NX_VR('F', 'L')) {
		half = nx_get_u32(p + i * 4, false);
		memcpy(&f, &half, sizeof(f));
		d = (double)f;
	} else {
		bits = nx_get_u32(p + i * 8, false) |
			(uint64_t)nx_get_u32(p + i * 8 + 4, false) << 32;
		memcpy(&d, &bits, sizeof(d));
	}
	nx_json_double(json, d);
}

static void put_at(struct nx_json *json, const struct nx_elem *elem, size_t i)
{
	const uint8_t *p = elem->value.p + i * 4;
	char tag[9];

	(void)snprintf(
		tag, sizeof(tag), "%04X%04X", nx_get_u16(p, false), nx_get_u16(p + 2, false));
	nx_json_str(json, tag);
}

/* SV and UV beyond what a double holds are strings, PS3.18 F.2.3. */
static void put_int(struct nx_json *json, const struct nx_elem *elem, size_t i)
{
	char text[24];
	int64_t v = 0;
	bool fits = nx_binary_int(elem, i, &v);

	if (fits && v >= -(1ll << 53) && v <= 1ll << 53) {
		nx_json_int(json, v);
		return;
	}
	if (elem->vr == NX_VR('U', 'V'))
		(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	else
		(void)snprintf(text, sizeof(text), "%lld", (long long)v);
	nx_json_str(json, text);
}

static void put_numbers(struct nx_json *json, const struct nx_elem *elem, uint8_t unit)
{
	bool is_at = elem->vr == NX_VR('A', 'T');
	size_t n = elem->value.n / (is_at ? 4 : unit);

	if (n == 0)
		return;
	nx_json_key(json, "Value");
	nx_json_array_begin(json);
	for (size_t i = 0; i < n; i++) {
		if (is_at)
			put_at(json, elem, i);
		else if (elem->vr == NX_VR('F', 'L') || elem->vr == NX_VR('F', 'D'))
			put_float(json, elem, i);
		else
			put_int(json, elem, i);
	}
	nx_json_array_end(json);
}

/* Pixel data never stands in metadata (PS3.18 10.4.1.1.2); other small values do. */
static bool is_pixels(const struct nx_elem *elem)
{
	return elem->tag == NX_TAG_PIXEL_DATA || elem->tag == NX_TAG_FLOAT_PIXEL_DATA ||
		elem->tag == NX_TAG_DOUBLE_FLOAT_PIXEL_DATA;
}

static nx_rc put_bulk(struct writer *w, const struct nx_elem *elem, struct nx_err *err)
{
	nx_rc rc;

	if (!w->bulk_uri)
		return NX_OK;
	nx_buf_clear(&w->scratch);
	rc = w->bulk_uri(w->payload, elem, &w->scratch, err);
	if (!rc)
		rc = nx_buf_check(&w->scratch, err);
	if (rc || w->scratch.len == 0)
		return rc;
	nx_json_key(w->json, "BulkDataURI");
	nx_json_str_n(w->json, (const char *)w->scratch.data, w->scratch.len);
	return NX_OK;
}

static nx_rc put_bytes(struct writer *w, const struct nx_elem *elem, struct nx_err *err)
{
	if (elem->is_encapsulated || (w->bulk_uri && is_pixels(elem) && elem->value.n))
		return put_bulk(w, elem, err);
	if (elem->value.n) {
		nx_json_key(w->json, "InlineBinary");
		nx_json_base64(w->json, elem->value.p, elem->value.n);
	}
	return NX_OK;
}

/* ---- elements ---- */

static nx_rc put_dataset(struct writer *w, const struct nx_dataset *ds, struct nx_err *err);

static nx_rc put_items(struct writer *w, const struct nx_elem *elem, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	if (elem->n_items == 0)
		return NX_OK;
	if (w->json->depth + NEST_PER_ITEM > NX_JSON_DEPTH)
		return nx_err_set(err, NX_E_LIMIT, "sequences nested too deep for JSON");
	nx_json_key(w->json, "Value");
	nx_json_array_begin(w->json);
	for (size_t i = 0; !rc && i < elem->n_items; i++)
		rc = put_dataset(w, elem->items[i], err);
	nx_json_array_end(w->json);
	return rc;
}

static nx_rc put_text(struct writer *w, const struct nx_dataset *ds, const struct nx_elem *elem,
	struct nx_err *err)
{
	struct nx_slice text;
	nx_rc rc;

	if (elem->tag == NX_TAG_SPECIFIC_CHARACTER_SET) { /* JSON is UTF-8, PS3.18 F.2 */
		put_text_values(w->json, elem->vr, nx_slice_str("ISO_IR 192"));
		return NX_OK;
	}
	rc = nx_text_get(ds, elem, &w->scratch, &text, err);
	if (!rc)
		put_text_values(w->json, elem->vr, text);
	return rc;
}

static nx_rc put_value(struct writer *w, const struct nx_dataset *ds, const struct nx_elem *elem,
	struct nx_err *err)
{
	const struct nx_vr_info *info = nx_vr_info(elem->vr);

	if (elem->is_bulk)
		return put_bulk(w, elem, err);
	if (elem->vr == NX_VR('S', 'Q'))
		return put_items(w, elem, err);
	if (info && (info->flags & NX_VR_TEXT))
		return put_text(w, ds, elem, err);
	if (!info || (info->flags & NX_VR_BINARY))
		return put_bytes(w, elem, err);
	put_numbers(w->json, elem, info->unit);
	return NX_OK;
}

static nx_rc put_members(struct writer *w, const struct nx_dataset *ds, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; !rc && i < ds->n; i++) {
		const struct nx_elem *elem = &ds->elems[i];

		if (nx_tag_is_encoding(elem->tag))
			continue;
		put_key(w->json, elem->tag, nx_vr_info(elem->vr) ? elem->vr : NX_VR('U', 'N'));
		rc = put_value(w, ds, elem, err);
		nx_json_object_end(w->json);
	}
	return rc;
}

static nx_rc put_dataset(struct writer *w, const struct nx_dataset *ds, struct nx_err *err)
{
	nx_rc rc;

	nx_json_object_begin(w->json);
	rc = put_members(w, ds, err);
	nx_json_object_end(w->json);
	return rc;
}

nx_rc nx_dataset_json(const struct nx_dataset *ds, struct nx_json *json,
	nx_rc (*bulk_uri)(
		void *payload, const struct nx_elem *e, struct nx_buf *out, struct nx_err *err),
	void *payload, struct nx_arena *arena, struct nx_err *err)
{
	struct writer w = {.json = json, .bulk_uri = bulk_uri, .payload = payload};
	nx_rc rc;

	(void)arena;
	if (json->depth + NEST_PER_ITEM > NX_JSON_DEPTH)
		return nx_err_set(err, NX_E_LIMIT, "JSON nested too deep");
	nx_buf_init(&w.scratch, NX_LIMIT_DICOM_HEADER, NX_BUF_WIPE);
	rc = put_dataset(&w, ds, err);
	nx_buf_done(&w.scratch);
	return rc;
}

nx_rc nx_dataset_json_members(const struct nx_dataset *ds, struct nx_json *json, struct nx_err *err)
{
	struct writer w = {.json = json};
	nx_rc rc;

	nx_buf_init(&w.scratch, NX_LIMIT_DICOM_HEADER, NX_BUF_WIPE);
	rc = put_members(&w, ds, err);
	nx_buf_done(&w.scratch);
	return rc;
}

void nx_json_dicom_text(struct nx_json *json, nx_tag tag, const char *utf8)
{
	uint16_t vr = nx_vr_implicit(tag);
	const struct nx_vr_info *info = nx_vr_info(vr);

	put_key(json, tag, vr);
	/* AT stands as its hex digits; what has no text form has no value. */
	if (info->flags & NX_VR_TEXT || (vr != NX_VR('S', 'Q') && !(info->flags & NX_VR_BINARY)))
		put_text_values(json, vr, nx_slice_str(utf8));
	nx_json_object_end(json);
}

/* The values of one attribute of a model, as bytes of a data set in explicit VR little endian. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/enc.h"
#include "dicom/model_priv.h"

enum {
	DS_MAX = 16, /* characters of one value, PS3.5 6.2 */
	IS_MAX = 12,
	NUMBER_MAX = 64
};

struct value {
	enum model_kind kind;
	struct nx_slice text;
};

static bool value_next(struct nx_slice *values, struct value *ret)
{
	uint32_t n;

	if (!values->n)
		return false;
	ret->kind = values->p[0];
	n = nx_get_u32(values->p + 1, false);
	ret->text = nx_slice(values->p + 5, n);
	*values = nx_slice(values->p + 5 + n, values->n - 5 - n);
	return true;
}

static bool number_text(struct nx_slice text, char ret[NUMBER_MAX])
{
	if (!text.n || text.n >= NUMBER_MAX || memchr(text.p, 0, text.n))
		return false;
	memcpy(ret, text.p, text.n);
	ret[text.n] = '\0';
	return true;
}

/* ---- text ---- */

/* The same number in at most 16 characters, as many digits as fit. */
static bool put_decimal(struct nx_buf *out, struct nx_slice text)
{
	char number[NUMBER_MAX], shorter[NUMBER_MAX];
	char *end;
	double v;

	if (!number_text(text, number))
		return false;
	v = strtod(number, &end);
	if (*end || !isfinite(v))
		return false;
	if (text.n <= DS_MAX) {
		nx_buf_put_slice(out, text);
		return true;
	}
	for (int digits = DS_MAX; digits > 0; digits--) {
		(void)snprintf(shorter, sizeof(shorter), "%.*g", digits, v);
		if (strlen(shorter) <= DS_MAX)
			break;
	}
	nx_buf_put_str(out, shorter);
	return true;
}

/* Writers without a type for integers say 1.0. */
static bool put_integer_text(struct nx_buf *out, struct nx_slice text)
{
	char number[NUMBER_MAX], *end;
	double v;

	if (!number_text(text, number))
		return false;
	v = strtod(number, &end);
	if (*end || v != floor(v) || fabs(v) > INT32_MAX + 1.0)
		return false;
	nx_buf_printf(out, "%.0f", v);
	return true;
}

static const char *put_text(
	struct nx_buf *out, uint16_t vr, const struct nx_vr_info *info, struct nx_slice text)
{
	if (!nx_utf8_valid((const char *)text.p, text.n) || memchr(text.p, 0, text.n))
		return "a text that is not UTF-8";
	if (!(info->flags & NX_VR_SINGLE) && memchr(text.p, '\\', text.n))
		return "a backslash in one of several values";
	if (vr == NX_VR('D', 'S'))
		return put_decimal(out, text) ? NULL : "not a decimal";
	if (vr == NX_VR('I', 'S'))
		return put_integer_text(out, text) ? NULL : "not an integer";
	nx_buf_put_slice(out, text);
	return NULL;
}

static bool has_high(struct nx_slice text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] & 0x80)
			return true;
	return false;
}

static const char *encode_text(
	uint16_t vr, struct nx_slice values, struct nx_buf *out, bool *ret_not_ascii)
{
	const struct nx_vr_info *info = nx_vr_info(vr);
	const char *wrong = NULL;
	struct value v;

	for (size_t i = 0; !wrong && value_next(&values, &v); i++) {
		if (i && info->flags & NX_VR_SINGLE)
			return "more than one value";
		if (i)
			nx_buf_put_u8(out, '\\');
		if (v.kind == MODEL_NAME && vr != NX_VR('P', 'N'))
			return "a name where none belongs";
		if (v.text.n)
			wrong = put_text(out, vr, info, v.text);
		*ret_not_ascii = *ret_not_ascii || has_high(v.text);
	}
	return wrong;
}

/* ---- numbers ---- */

static bool put_float(struct nx_buf *out, uint16_t vr, const char *text)
{
	char *end;
	const union {
		double value;
		uint64_t bits;
	} d = {.value = strtod(text, &end)};
	const union {
		float value;
		uint32_t bits;
	} f = {.value = (float)d.value};

	if (*end)
		return false;
	if (vr == NX_VR('F', 'L'))
		nx_buf_put_u32le(out, f.bits);
	else
		nx_buf_put_u64le(out, d.bits);
	return true;
}

static bool put_tag_text(struct nx_buf *out, const char *text)
{
	uint8_t b[4];

	if (!nx_hex_parse(text, b, sizeof(b)))
		return false;
	nx_buf_put_u16le(out, (uint16_t)(b[0] << 8 | b[1]));
	nx_buf_put_u16le(out, (uint16_t)(b[2] << 8 | b[3]));
	return true;
}

static void put_bits(struct nx_buf *out, uint8_t unit, uint64_t v)
{
	if (unit == 2)
		nx_buf_put_u16le(out, (uint16_t)v);
	else if (unit == 4)
		nx_buf_put_u32le(out, (uint32_t)v);
	else
		nx_buf_put_u64le(out, v);
}

/* The integer that `text` is, also where it was written with a point or an exponent. */
static bool integer_parse(const char *text, bool is_signed, int64_t *ret_signed, uint64_t *ret)
{
	char *end;
	double d;

	errno = 0;
	if (is_signed)
		*ret = (uint64_t)(*ret_signed = strtoll(text, &end, 10));
	else
		*ret = strtoull(text, &end, 10);
	if (!*end)
		return !errno && (is_signed || text[0] != '-');
	d = strtod(text, &end);
	if (*end || d != floor(d) || fabs(d) > (double)(1ll << 53) || (!is_signed && d < 0))
		return false;
	*ret_signed = (int64_t)d;
	*ret = (uint64_t)*ret_signed;
	return true;
}

static bool put_integer(struct nx_buf *out, uint16_t vr, uint8_t unit, const char *text)
{
	bool is_signed = vr >> 8 == 'S';
	unsigned bits = unit * 8u;
	int64_t s = 0;
	uint64_t v = 0;

	if (!integer_parse(text, is_signed, &s, &v))
		return false;
	if (is_signed && bits < 64 && (s < -(1ll << (bits - 1)) || s >= 1ll << (bits - 1)))
		return false;
	if (!is_signed && bits < 64 && v >> bits)
		return false;
	put_bits(out, unit, v);
	return true;
}

static const char *encode_numbers(uint16_t vr, struct nx_slice values, struct nx_buf *out)
{
	uint8_t unit = nx_vr_info(vr)->unit;
	char text[NUMBER_MAX];
	struct value v;
	bool ok = true;

	while (ok && value_next(&values, &v)) {
		if (v.kind != MODEL_NUMBER && v.kind != MODEL_TEXT)
			return "a value that is no number";
		ok = number_text(v.text, text);
		if (!ok)
			break;
		if (vr == NX_VR('A', 'T'))
			ok = v.text.n == 8 && put_tag_text(out, text);
		else if (vr == NX_VR('F', 'L') || vr == NX_VR('F', 'D'))
			ok = put_float(out, vr, text);
		else
			ok = put_integer(out, vr, unit, text);
	}
	return ok ? NULL : "a number that does not fit";
}

const char *model_encode(
	uint16_t vr, struct nx_slice values, struct nx_buf *out, bool *ret_not_ascii)
{
	const struct nx_vr_info *info = nx_vr_info(vr);

	if (!values.n)
		return NULL;
	if (info->flags & NX_VR_BINARY || vr == NX_VR('S', 'Q'))
		return "values where bytes or items belong";
	return info->flags & NX_VR_TEXT ? encode_text(vr, values, out, ret_not_ascii)
					: encode_numbers(vr, values, out);
}

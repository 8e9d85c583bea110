/* Values as text and integers (PS3.5 6.2, 6.4). */
#include "dicom/dicom_priv.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"

nx_rc nx_text_get(const struct nx_dataset *ds, const struct nx_elem *elem, struct nx_buf *scratch,
	struct nx_slice *ret, struct nx_err *err)
{
	const struct nx_vr_info *info = nx_vr_info(elem->vr);
	struct nx_slice charset = ds->charset;
	nx_rc rc;

	nx_buf_clear(scratch);
	if (!info || !(info->flags & NX_VR_CHARSET))
		charset = nx_slice(NULL, 0); /* the default repertoire only, PS3.5 6.1.2.3 */
	rc = nx_charset_decode(charset, elem->vr, elem->value, scratch, err);
	if (!rc)
		*ret = nx_buf_slice(scratch);
	return rc;
}

static bool is_pad(uint8_t c)
{
	return c == ' ' || c == '\0';
}

static struct nx_slice trim(const struct nx_vr_info *info, struct nx_slice s)
{
	while (s.n && is_pad(s.p[s.n - 1]))
		s.n--;
	if (info->flags & NX_VR_LEADING)
		while (s.n && s.p[0] == ' ')
			s = nx_slice(s.p + 1, s.n - 1);
	return s;
}

bool nx_text_next(
	const struct nx_vr_info *info, struct nx_slice *rest, bool *more, struct nx_slice *ret)
{
	const uint8_t *end = NULL;
	size_t n = rest->n;

	if (!*more)
		return false;
	if (n && !(info->flags & NX_VR_SINGLE))
		end = memchr(rest->p, '\\', n);
	*more = end;
	if (end)
		n = (size_t)(end - rest->p);
	*ret = trim(info, nx_slice(rest->p, n));
	if (end)
		*rest = nx_slice(end + 1, rest->n - n - 1);
	return true;
}

static nx_rc text_join(const struct nx_dataset *ds, const struct nx_elem *elem,
	const struct nx_vr_info *info, struct nx_buf *scratch, struct nx_buf *out)
{
	struct nx_slice rest, value;
	bool more = true, first = true;
	nx_rc rc = nx_text_get(ds, elem, scratch, &rest, NULL);

	if (rc)
		return rc;
	while (nx_text_next(info, &rest, &more, &value)) {
		if (!first)
			nx_buf_put_u8(out, '\\');
		first = false;
		nx_buf_put_slice(out, value);
	}
	return nx_buf_check(out, NULL);
}

const char *nx_dataset_text(const struct nx_dataset *ds, nx_tag tag, struct nx_arena *arena)
{
	const struct nx_elem *elem = nx_dataset_find(ds, tag);
	const struct nx_vr_info *info = elem ? nx_vr_info(elem->vr) : NULL;
	NX_AUTO_DONE(nx_buf) scratch;
	NX_AUTO_DONE(nx_buf) out;

	nx_buf_init(&scratch, NX_LIMIT_DICOM_HEADER, NX_BUF_WIPE);
	nx_buf_init(&out, NX_LIMIT_DICOM_HEADER, NX_BUF_WIPE);
	if (!info || !(info->flags & NX_VR_TEXT) || elem->is_bulk || elem->value.n == 0)
		return "";
	if (text_join(ds, elem, info, &scratch, &out))
		return NULL;
	/* A NUL inside a value would cut it for every reader of the string. */
	for (size_t i = 0; i < out.len; i++)
		if (out.data[i] == '\0')
			out.data[i] = ' ';
	return nx_arena_str(arena, out.len ? (const char *)out.data : "", out.len);
}

/* ---- integers ---- */

bool nx_text_int(struct nx_slice text, int64_t *ret)
{
	bool negative = text.n && text.p[0] == '-';
	size_t i = text.n && (text.p[0] == '-' || text.p[0] == '+') ? 1 : 0;
	int64_t v = 0;

	if (i == text.n)
		return false;
	for (; i < text.n; i++) {
		int digit = text.p[i] - '0';

		if (digit < 0 || digit > 9 || __builtin_mul_overflow(v, 10, &v) ||
			__builtin_sub_overflow(v, digit, &v))
			return false;
	}
	if (!negative && __builtin_sub_overflow(0, v, &v))
		return false;
	*ret = v;
	return true;
}

bool nx_binary_int(const struct nx_elem *elem, size_t i, int64_t *ret)
{
	const struct nx_vr_info *info = nx_vr_info(elem->vr);
	const uint8_t *p;
	uint64_t v;

	if (!info || info->unit < 2 || elem->value.n / info->unit <= i)
		return false;
	p = elem->value.p + i * info->unit;
	v = info->unit == 2 ? nx_get_u16(p, false) : nx_get_u32(p, false);
	if (info->unit == 8)
		v |= (uint64_t)nx_get_u32(p + 4, false) << 32;
	switch (elem->vr) {
	case NX_VR('U', 'S'):
	case NX_VR('U', 'L'):
		*ret = (int64_t)v;
		return true;
	case NX_VR('S', 'S'):
		*ret = (int16_t)v;
		return true;
	case NX_VR('S', 'L'):
		*ret = (int32_t)v;
		return true;
	case NX_VR('S', 'V'):
		*ret = (int64_t)v;
		return true;
	case NX_VR('U', 'V'):
		*ret = (int64_t)v;
		return v <= INT64_MAX;
	default:
		return false;
	}
}

bool nx_dataset_int(const struct nx_dataset *ds, nx_tag tag, int64_t *ret)
{
	const struct nx_elem *elem = nx_dataset_find(ds, tag);
	const struct nx_vr_info *info = elem ? nx_vr_info(elem->vr) : NULL;
	struct nx_slice rest, value;
	bool more = true;

	if (!info || elem->is_bulk)
		return false;
	if (elem->vr != NX_VR('I', 'S'))
		return nx_binary_int(elem, 0, ret);
	rest = elem->value;
	return nx_text_next(info, &rest, &more, &value) && nx_text_int(value, ret);
}

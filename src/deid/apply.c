/*
 * The rules applied to a tree.  Items of sequences are data sets like any other; the tree's depth
 * is bounded by the parser (NX_LIMIT_DICOM_DEPTH).
 */
#include <string.h>

#include "base/buf.h"
#include "deid/deid_priv.h"

enum {
	VALUE_MAX = 1024 * 1024 /* a list of UIDs, dates or codes */
};

#define METHOD "narthex " NX_DEID_PROFILE " 1"

static struct nx_slice trim(struct nx_slice s)
{
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == 0))
		s.n--;
	while (s.n && s.p[0] == ' ') {
		s.p++;
		s.n--;
	}
	return s;
}

static bool of_repertoire(struct nx_slice value, const char *others, bool letters)
{
	for (size_t i = 0; i < value.n; i++) {
		uint8_t c = value.p[i];
		bool ok = (c >= '0' && c <= '9') || (letters && c >= 'A' && c <= 'Z') ||
			(c && strchr(others, c));

		if (!ok)
			return false;
	}
	return true;
}

static void uid_put(
	const struct deid_subject *s, struct nx_slice uid, bool is_class, struct nx_buf *out)
{
	char text[NX_LIMIT_UID + 1] = "";
	char fresh[NX_LIMIT_UID + 1];

	uid = trim(uid);
	if (!uid.n)
		return;
	if (uid.n <= NX_LIMIT_UID)
		memcpy(text, uid.p, uid.n);
	if (nx_uid_valid(text, strlen(text)) && (is_class || nx_uid_name(text))) {
		nx_buf_put_slice(out, uid);
		return;
	}
	deid_uid(s, uid, fresh);
	nx_buf_put_str(out, fresh);
}

/* "YYYYMMDD" of DA, also as "YYYY.MM.DD" (PS3.5 6.2, note to DA), and at the start of DT. */
static void date_put(
	const struct deid_subject *s, struct nx_slice value, bool with_time, struct nx_buf *out)
{
	char digits[8], moved[8];
	size_t n = 0;

	value = trim(value);
	if (!with_time && value.n == 10 && value.p[4] == '.' && value.p[7] == '.') {
		memcpy(digits, value.p, 4);
		memcpy(digits + 4, value.p + 5, 2);
		memcpy(digits + 6, value.p + 8, 2);
		n = 10;
	} else if (value.n >= 8 && (with_time || value.n == 8)) {
		memcpy(digits, value.p, 8);
		n = 8;
	}
	if (!n || !deid_date(s, digits, moved))
		return;
	value.p += n;
	value.n -= n;
	nx_buf_put(out, moved, sizeof(moved));
	if (of_repertoire(value, ".+-", false))
		nx_buf_put_slice(out, value);
}

static void one_value(const struct deid_subject *s, enum deid_action action, struct nx_slice value,
	struct nx_buf *out)
{
	if (action == DEID_UID || action == DEID_CLASS_UID)
		uid_put(s, value, action == DEID_CLASS_UID, out);
	else
		date_put(s, value, action == DEID_DATETIME, out);
}

/* Each value of a list by itself (PS3.5 6.4). */
static nx_rc rewrite(const struct deid_subject *s, enum deid_action action, struct nx_elem *e,
	struct nx_arena *arena, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) out;
	struct nx_slice left = e->value;
	nx_rc rc;

	nx_buf_init(&out, VALUE_MAX, NX_BUF_WIPE);
	while (left.n) {
		const uint8_t *end = memchr(left.p, '\\', left.n);
		size_t n = end ? (size_t)(end - left.p) : left.n;

		one_value(s, action, nx_slice(left.p, n), &out);
		if (end)
			nx_buf_put_u8(&out, '\\');
		n += end ? 1 : 0;
		left.p += n;
		left.n -= n;
	}
	rc = nx_buf_check(&out, err);
	if (rc)
		return rc;
	e->value.n = out.len;
	e->value.p = nx_arena_copy(arena, out.data, out.len);
	return e->value.p || !out.len ? NX_OK
				      : nx_err_set(err, NX_E_NOMEM, "no memory for a value");
}

static nx_rc scrub(const struct deid_subject *s, struct nx_dataset *ds, struct nx_arena *arena,
	struct nx_err *err);

static nx_rc recurse(
	const struct deid_subject *s, struct nx_elem *e, struct nx_arena *arena, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < e->n_items && !rc; i++)
		rc = scrub(s, e->items[i], arena, err);
	return rc;
}

static void keep_if(struct nx_elem *e, bool ok)
{
	if (!ok)
		e->value = nx_slice(NULL, 0);
}

/* *ret_keep false: the element goes. */
static nx_rc elem_apply(const struct deid_subject *s, struct nx_elem *e, bool *ret_keep,
	struct nx_arena *arena, struct nx_err *err)
{
	enum deid_action action = deid_action_of(e);

	*ret_keep = action != DEID_REMOVE;
	switch (action) {
	case DEID_REMOVE:
	case DEID_KEEP:
		return NX_OK;
	case DEID_EMPTY:
		keep_if(e, false);
		return NX_OK;
	case DEID_PSEUDONYM:
		e->value = nx_slice_str(s->pseudonym);
		return NX_OK;
	case DEID_UID:
	case DEID_CLASS_UID:
	case DEID_DATE:
	case DEID_DATETIME:
		return rewrite(s, action, e, arena, err);
	case DEID_TIME:
		keep_if(e, of_repertoire(trim(e->value), ".:\\", false));
		return NX_OK;
	case DEID_CODE:
		keep_if(e, of_repertoire(trim(e->value), " _\\", true));
		return NX_OK;
	case DEID_NUMBER:
		keep_if(e, of_repertoire(trim(e->value), " +-.eE\\", false));
		return NX_OK;
	case DEID_RECURSE:
		return recurse(s, e, arena, err);
	}
	return NX_OK;
}

static nx_rc scrub(const struct deid_subject *s, struct nx_dataset *ds, struct nx_arena *arena,
	struct nx_err *err)
{
	size_t n = 0;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < ds->n && !rc; i++) {
		bool keep = false;

		rc = elem_apply(s, &ds->elems[i], &keep, arena, err);
		if (keep)
			ds->elems[n++] = ds->elems[i];
	}
	ds->n = n;
	return rc;
}

/* ---- what is added ---- */

/* PS3.15 E.1.1: say that it was done, and how. */
static nx_rc stamp(struct nx_dataset *ds, struct nx_arena *arena, struct nx_err *err)
{
	static const struct {
		nx_tag tag;
		uint16_t vr;
		const char *value;
	} added[] = {
		{NX_TAG_IMPLEMENTATION_CLASS_UID, NX_VR('U', 'I'),
			NX_DICOM_IMPLEMENTATION_CLASS_UID},
		{NX_TAG_IMPLEMENTATION_VERSION_NAME, NX_VR('S', 'H'),
			NX_DICOM_IMPLEMENTATION_VERSION_NAME},
		{NX_TAG_PATIENT_IDENTITY_REMOVED, NX_VR('C', 'S'), "YES"},
		{NX_TAG_DEIDENTIFICATION_METHOD, NX_VR('L', 'O'), METHOD},
		{NX_TAG_LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED, NX_VR('C', 'S'), "MODIFIED"},
	};
	struct nx_elem *elems =
		nx_arena_alloc_array(arena, ds->n + NX_ARRAY_LEN(added), sizeof(*elems));

	if (!elems)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a data set");
	memcpy(elems, ds->elems, ds->n * sizeof(*elems));
	ds->elems = elems;
	for (size_t i = 0; i < NX_ARRAY_LEN(added); i++)
		nx_dataset_put(ds,
			&(struct nx_elem){.tag = added[i].tag,
				.vr = added[i].vr,
				.value = nx_slice_str(added[i].value)});
	return NX_OK;
}

nx_rc deid_apply(const struct deid_subject *s, struct nx_dataset *ds, struct nx_arena *arena,
	struct nx_err *err)
{
	nx_rc rc = scrub(s, ds, arena, err);

	return rc ? rc : stamp(ds, arena, err);
}

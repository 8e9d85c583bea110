/* Data sets with their text in UTF-8 (PS3.3 C.12.1.1.2). */
#include "dicom/dicom_priv.h"

#include "base/arena.h"
#include "base/buf.h"

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for a data set");
}

static bool is_plain(struct nx_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= 0x80 || s.p[i] == 0x1b)
			return false;
	return true;
}

static nx_rc value_recode(
	struct nx_slice charset, struct nx_elem *elem, struct nx_arena *arena, struct nx_err *err)
{
	const struct nx_vr_info *info = nx_vr_info(elem->vr);
	NX_AUTO_DONE(nx_buf) out;
	nx_rc rc;

	nx_buf_init(&out, NX_LIMIT_DICOM_HEADER, NX_BUF_WIPE);
	if (!info || !(info->flags & NX_VR_CHARSET) || is_plain(elem->value))
		return NX_OK;
	rc = nx_charset_decode(charset, elem->vr, elem->value, &out, err);
	if (!rc)
		rc = nx_buf_check(&out, err);
	if (rc)
		return rc;
	elem->value.p = nx_arena_copy(arena, out.data, out.len);
	elem->value.n = out.len;
	return elem->value.p ? NX_OK : no_memory(err);
}

static nx_rc recode(const struct nx_dataset *from, bool outermost, struct nx_arena *arena,
	struct nx_dataset **ret, struct nx_err *err);

static nx_rc items_recode(struct nx_elem *elem, struct nx_arena *arena, struct nx_err *err)
{
	struct nx_dataset **items =
		nx_arena_alloc_array(arena, elem->n_items, sizeof(struct nx_dataset *));
	nx_rc rc = items ? NX_OK : no_memory(err);

	for (size_t i = 0; i < elem->n_items && !rc; i++)
		rc = recode(elem->items[i], false, arena, &items[i], err);
	elem->items = items;
	return rc;
}

/* As deep as the parser lets items be. */
static nx_rc recode(const struct nx_dataset *from, bool outermost, struct nx_arena *arena,
	struct nx_dataset **ret, struct nx_err *err)
{
	static const struct nx_elem utf8 = {.tag = NX_TAG_SPECIFIC_CHARACTER_SET,
		.vr = NX_VR('C', 'S'),
		.value = {(const uint8_t *)"ISO_IR 192", 10}};
	struct nx_dataset *ds = nx_dataset_new(arena, from->n + 1);
	nx_rc rc = NX_OK;

	if (!ds)
		return no_memory(err);
	ds->charset = utf8.value;
	if (outermost)
		ds->elems[ds->n++] = utf8;
	for (size_t i = 0; i < from->n && !rc; i++) {
		struct nx_elem *elem = &ds->elems[ds->n];

		if (from->elems[i].tag <= utf8.tag || from->elems[i].is_bulk)
			continue;
		*elem = from->elems[i];
		ds->n++;
		rc = elem->n_items ? items_recode(elem, arena, err)
				   : value_recode(from->charset, elem, arena, err);
	}
	*ret = ds;
	return rc;
}

nx_rc nx_dataset_utf8(const struct nx_dataset *ds, struct nx_arena *arena, struct nx_dataset **ret,
	struct nx_err *err)
{
	return recode(ds, true, arena, ret, err);
}

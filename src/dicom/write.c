/* Data sets to bytes (PS3.5 7, PS3.10 7.1). */
#include "dicom/dicom_priv.h"

#include <string.h>

#include "base/buf.h"
#include "base/limits.h"

enum {
	SHORT_MAX = 0xfffe, /* the longest even length of a 16-bit length field */
	PREAMBLE_ZEROS = 128
};

typedef nx_rc (*bulk_fn)(void *payload, const struct nx_elem *e, size_t at, struct nx_err *err);

struct writer {
	struct nx_buf *out;
	bool explicit_vr;
	bool big_endian;
	const char *ts_uid; /* for (0002,0010) */
	bulk_fn on_bulk;
	void *payload;
};

static void put_u16(struct writer *w, uint16_t v)
{
	if (w->big_endian)
		nx_buf_put_u16be(w->out, v);
	else
		nx_buf_put_u16le(w->out, v);
}

static void put_u32(struct writer *w, uint32_t v)
{
	if (w->big_endian)
		nx_buf_put_u32be(w->out, v);
	else
		nx_buf_put_u32le(w->out, v);
}

static void put_tag(struct writer *w, nx_tag tag)
{
	put_u16(w, (uint16_t)(tag >> 16));
	put_u16(w, (uint16_t)(tag & 0xffff));
}

/* A value as it stands in memory, little endian. */
static void put_value(struct writer *w, uint16_t vr, struct nx_slice value)
{
	unsigned unit = nx_dicom_vr_unit(vr);
	uint8_t *to;

	if (!w->big_endian || unit == 1 || !value.n) {
		nx_buf_put_slice(w->out, value);
		return;
	}
	to = nx_buf_reserve(w->out, value.n);
	if (!to)
		return;
	memcpy(to, value.p, value.n);
	nx_dicom_swap(to, value.n, unit);
	w->out->len += value.n;
}

/* A value too long for the length field of its VR goes as UN, PS3.5 6.2.2. */
static void put_head(struct writer *w, nx_tag tag, uint16_t vr, uint32_t length)
{
	const struct nx_vr_info *info = nx_vr_info(vr);
	bool is_long = !info || (info->flags & NX_VR_LONG);

	put_tag(w, tag);
	if (!w->explicit_vr) {
		put_u32(w, length);
		return;
	}
	if (!is_long && length > SHORT_MAX) {
		vr = NX_VR('U', 'N');
		is_long = true;
	}
	nx_buf_put_u16be(w->out, vr);
	put_u16(w, is_long ? 0 : (uint16_t)length);
	if (is_long)
		put_u32(w, length);
}

/* Odd lengths become even (PS3.5 7.1.1): space for text, NUL for UI and bytes. */
static void put_padded(struct writer *w, nx_tag tag, uint16_t vr, struct nx_slice value)
{
	const struct nx_vr_info *info = nx_vr_info(vr);
	bool space = info && (info->flags & NX_VR_TEXT) && vr != NX_VR('U', 'I');

	put_head(w, tag, vr, (uint32_t)(value.n + (value.n & 1)));
	put_value(w, vr, value);
	if (value.n & 1)
		nx_buf_put_u8(w->out, space ? ' ' : 0);
}

static nx_rc write_bulk(struct writer *w, const struct nx_elem *elem, struct nx_err *err)
{
	uint32_t length = elem->is_encapsulated ? NX_DICOM_UNDEFINED : (uint32_t)elem->bulk_length;

	if (!elem->is_encapsulated && elem->bulk_length >= NX_DICOM_UNDEFINED)
		return nx_err_set(err, NX_E_INVAL, "bulk value too long for a length field");
	put_head(w, elem->tag, elem->vr, length);
	return w->on_bulk ? w->on_bulk(w->payload, elem, w->out->len, err) : NX_OK;
}

static nx_rc write_dataset(
	struct writer *w, const struct nx_dataset *ds, unsigned depth, struct nx_err *err);

static nx_rc write_items(
	struct writer *w, const struct nx_elem *elem, unsigned depth, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	if (depth == NX_LIMIT_DICOM_DEPTH)
		return nx_err_set(err, NX_E_LIMIT, "sequences nested too deep");
	put_head(w, elem->tag, elem->vr, NX_DICOM_UNDEFINED);
	for (size_t i = 0; !rc && i < elem->n_items; i++) {
		put_tag(w, NX_TAG_ITEM);
		put_u32(w, NX_DICOM_UNDEFINED);
		rc = write_dataset(w, elem->items[i], depth + 1, err);
		put_tag(w, NX_TAG_ITEM_DELIMITATION_ITEM);
		put_u32(w, 0);
	}
	put_tag(w, NX_TAG_SEQUENCE_DELIMITATION_ITEM);
	put_u32(w, 0);
	return rc;
}

static nx_rc write_elem(
	struct writer *w, const struct nx_elem *elem, unsigned depth, struct nx_err *err)
{
	if (elem->is_bulk)
		return write_bulk(w, elem, err);
	if (elem->vr == NX_VR('S', 'Q'))
		return write_items(w, elem, depth, err);
	if (elem->is_encapsulated) { /* its value ends with the delimiter */
		put_head(w, elem->tag, elem->vr, NX_DICOM_UNDEFINED);
		nx_buf_put_slice(w->out, elem->value);
		return NX_OK;
	}
	if (elem->value.n >= NX_DICOM_UNDEFINED)
		return nx_err_set(err, NX_E_INVAL, "value too long for a length field");
	put_padded(w, elem->tag, elem->vr, elem->value);
	return NX_OK;
}

static bool is_meta(const struct nx_elem *elem)
{
	return nx_tag_group(elem->tag) == 2;
}

/* Depth 0: group 0002 was written before. */
static nx_rc write_dataset(
	struct writer *w, const struct nx_dataset *ds, unsigned depth, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; !rc && i < ds->n; i++) {
		const struct nx_elem *elem = &ds->elems[i];

		if ((elem->tag & 0xffff) == 0 || (depth == 0 && is_meta(elem)))
			continue;
		rc = write_elem(w, elem, depth, err);
	}
	return rc;
}

static void put_preamble(struct nx_buf *out)
{
	nx_buf_put_zero(out, PREAMBLE_ZEROS);
	nx_buf_put_str(out, "DICM");
}

/* `body` is group 0002 behind its length element. */
static void put_meta(struct nx_buf *out, const struct nx_buf *body)
{
	struct writer w = {.out = out, .explicit_vr = true};

	put_preamble(out);
	put_head(&w, NX_TAG_FILE_META_INFORMATION_GROUP_LENGTH, NX_VR('U', 'L'), 4);
	nx_buf_put_u32le(out, (uint32_t)body->len);
	nx_buf_put_slice(out, nx_buf_slice(body));
}

static bool has_meta(const struct nx_dataset *ds)
{
	for (size_t i = 0; i < ds->n && nx_tag_group(ds->elems[i].tag) <= 2; i++)
		if (is_meta(&ds->elems[i]))
			return true;
	return false;
}

/* All but the length and the transfer syntax, which are ours, with tags from `from` to before `to`.
 */
static nx_rc write_meta_part(struct writer *meta, const struct nx_dataset *ds, nx_tag from,
	nx_tag to, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; !rc && i < ds->n && ds->elems[i].tag < to; i++) {
		const struct nx_elem *elem = &ds->elems[i];

		if (elem->tag < from)
			continue;
		rc = elem->is_bulk ? nx_err_set(err, NX_E_INVAL, "bulk value in group 2")
				   : write_elem(meta, elem, 0, err);
	}
	return rc;
}

static nx_rc write_meta(struct writer *w, const struct nx_dataset *ds, struct nx_err *err)
{
	const nx_tag ts = NX_TAG_TRANSFER_SYNTAX_UID;
	NX_AUTO_DONE(nx_buf) body;
	struct writer meta = {.out = &body, .explicit_vr = true};
	nx_rc rc;

	nx_buf_init(&body, NX_MIB, NX_BUF_WIPE);
	rc = write_meta_part(&meta, ds, NX_TAG(2, 1), ts, err);
	if (rc)
		return rc;
	put_padded(&meta, ts, NX_VR('U', 'I'), nx_slice_str(w->ts_uid));
	rc = write_meta_part(&meta, ds, ts + 1, NX_TAG(3, 0), err);
	if (!rc)
		rc = nx_buf_check(&body, err);
	if (!rc)
		put_meta(w->out, &body);
	return rc;
}

nx_rc nx_dataset_write(const struct nx_dataset *ds, const struct nx_ts *ts, struct nx_buf *out,
	nx_rc (*on_bulk)(void *payload, const struct nx_elem *e, size_t at, struct nx_err *err),
	void *payload, struct nx_err *err)
{
	struct writer w = {.out = out, .on_bulk = on_bulk, .payload = payload};
	nx_rc rc = NX_OK;

	if (ts && ts->deflated)
		return nx_err_set(err, NX_E_UNSUPPORTED, "data sets are not written deflated");
	w.explicit_vr = !ts || ts->explicit_vr;
	w.big_endian = ts && ts->big_endian;
	w.ts_uid = ts ? ts->uid : NX_UID_EXPLICIT_VR_LITTLE_ENDIAN;
	if (has_meta(ds))
		rc = write_meta(&w, ds, err);
	if (!rc)
		rc = write_dataset(&w, ds, 0, err);
	return rc ? rc : nx_buf_check(out, err);
}

nx_rc nx_dicom_meta_write(const char *sop_class, const char *sop_instance, const char *ts_uid,
	const char *source_ae, struct nx_buf *out, struct nx_err *err)
{
	static const uint8_t version[] = {0, 1};
	NX_AUTO_DONE(nx_buf) body;
	struct writer w = {.out = &body, .explicit_vr = true};
	const uint16_t ui = NX_VR('U', 'I');
	nx_rc rc;

	nx_buf_init(&body, NX_MIB, NX_BUF_WIPE);
	if (!nx_uid_valid(sop_class, strlen(sop_class)) ||
		!nx_uid_valid(sop_instance, strlen(sop_instance)) ||
		!nx_uid_valid(ts_uid, strlen(ts_uid)))
		return nx_err_set(err, NX_E_INVAL, "bad UID for file meta information");
	put_padded(&w, NX_TAG_FILE_META_INFORMATION_VERSION, NX_VR('O', 'B'),
		nx_slice(version, sizeof(version)));
	put_padded(&w, NX_TAG_MEDIA_STORAGE_SOP_CLASS_UID, ui, nx_slice_str(sop_class));
	put_padded(&w, NX_TAG_MEDIA_STORAGE_SOP_INSTANCE_UID, ui, nx_slice_str(sop_instance));
	put_padded(&w, NX_TAG_TRANSFER_SYNTAX_UID, ui, nx_slice_str(ts_uid));
	put_padded(&w, NX_TAG_IMPLEMENTATION_CLASS_UID, ui,
		nx_slice_str(NX_DICOM_IMPLEMENTATION_CLASS_UID));
	put_padded(&w, NX_TAG_IMPLEMENTATION_VERSION_NAME, NX_VR('S', 'H'),
		nx_slice_str(NX_DICOM_IMPLEMENTATION_VERSION_NAME));
	if (source_ae && source_ae[0])
		put_padded(&w, NX_TAG_SOURCE_APPLICATION_ENTITY_TITLE, NX_VR('A', 'E'),
			nx_slice_str(source_ae));
	rc = nx_buf_check(&body, err);
	if (rc)
		return rc;
	put_meta(out, &body);
	return nx_buf_check(out, err);
}

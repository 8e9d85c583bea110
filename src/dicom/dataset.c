/*
 * The tree of a data set, built from the parser's callbacks.  Elements of the data sets that are
 * still open stand in vectors, one per level; a closed data set is copied to the arena.
 */
#include "dicom/dicom_priv.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"

enum {
	LEVELS = NX_LIMIT_DICOM_DEPTH + 1
};

struct frame {
	struct nx_level level;
	bool is_signed; /* (0028,0103) */
};

struct builder {
	struct nx_arena *arena;
	struct nx_dicom_parser *parser;
	uint64_t base; /* offset in the stream of what the parser is fed */
	struct frame frames[LEVELS];
};

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for a data set");
}

/* ---- values ---- */

unsigned nx_dicom_vr_unit(uint16_t vr)
{
	const struct nx_vr_info *info = nx_vr_info(vr);

	return info && info->unit > 1 ? info->unit : 1;
}

void nx_dicom_swap(uint8_t *p, size_t n, unsigned unit)
{
	for (size_t i = 0; i + unit <= n; i += unit) {
		for (size_t k = 0; k < unit / 2; k++) {
			uint8_t low = p[i + k];

			p[i + k] = p[i + unit - 1 - k];
			p[i + unit - 1 - k] = low;
		}
	}
}

static bool value_copy(
	struct builder *b, const struct nx_elem *elem, struct nx_slice from, struct nx_slice *ret)
{
	uint8_t *to;

	if (from.n == 0)
		return true;
	to = nx_arena_alloc(b->arena, from.n);
	if (!to)
		return false;
	memcpy(to, from.p, from.n);
	if (nx_dicom_big_endian(b->parser) && elem->tag >> 16 != 2)
		nx_dicom_swap(to, from.n, nx_dicom_vr_unit(elem->vr));
	*ret = nx_slice(to, from.n);
	return true;
}

/* UN of a public element, and what is US or SS: see nx_dataset_parse(). */
static uint16_t vr_settle(const struct frame *frame, const struct nx_dicom_elem *e)
{
	const struct nx_dict_entry *entry;

	if (e->vr == NX_VR('U', 'N') && !e->vr_implied) {
		uint16_t vr = nx_vr_implicit(e->tag);

		return vr == NX_VR('S', 'Q') ? e->vr : vr;
	}
	if (!e->vr_implied || e->vr != NX_VR('U', 'S') || !frame->is_signed)
		return e->vr;
	entry = nx_dict_find(e->tag);
	return entry && entry->vr2 == NX_VR('S', 'S') ? entry->vr2 : e->vr;
}

static struct nx_elem *elem_push(struct builder *b, const struct nx_dicom_elem *e)
{
	struct frame *frame = &b->frames[e->depth];
	struct nx_elem *elem;

	elem = nx_level_elem(&frame->level);
	if (!elem)
		return NULL;
	*elem = (struct nx_elem){
		.tag = e->tag,
		.vr = vr_settle(frame, e),
		.is_encapsulated = e->length == NX_DICOM_UNDEFINED && e->vr != NX_VR('S', 'Q'),
		.bulk_offset = b->base + e->value_offset,
	};
	if (elem->is_encapsulated)
		elem->vr = NX_VR('O', 'B'); /* PS3.5 A.4, whatever the stream says */
	return elem;
}

/* ---- callbacks ---- */

/*
 * A sequence that passed through a system without its VR in the dictionary: the value of UN is the
 * sequence in implicit VR little endian (PS3.5 6.2.2).
 */
static bool is_un_sequence(const struct nx_dicom_elem *e, struct nx_slice value)
{
	return e->vr == NX_VR('U', 'N') && !e->vr_implied && value.n >= 8 &&
		memcmp(value.p, "\xfe\xff\x00\xe0", 4) == 0 &&
		nx_vr_implicit(e->tag) == NX_VR('S', 'Q');
}

static nx_rc un_sequence(struct builder *b, const struct nx_dicom_elem *e, struct nx_slice value,
	struct nx_elem *elem, struct nx_err *err);

static nx_rc on_value(
	void *payload, const struct nx_dicom_elem *e, struct nx_slice value, struct nx_err *err)
{
	struct builder *b = payload;
	struct frame *frame = &b->frames[e->depth];
	struct nx_elem *elem = elem_push(b, e);

	if (!elem || !value_copy(b, elem, value, &elem->value))
		return no_memory(err);
	elem->bulk_length = value.n;
	if (is_un_sequence(e, value))
		return un_sequence(b, e, value, elem, err);
	if (elem->tag == NX_TAG_SPECIFIC_CHARACTER_SET)
		frame->level.charset = elem->value;
	if (elem->tag == NX_TAG_PIXEL_REPRESENTATION)
		frame->is_signed = elem->value.n && elem->value.p[0] == 1;
	return NX_OK;
}

static nx_rc on_bulk_end(
	void *payload, const struct nx_dicom_elem *e, uint64_t n, struct nx_err *err)
{
	struct nx_elem *elem = elem_push(payload, e);

	if (!elem)
		return no_memory(err);
	elem->is_bulk = true;
	elem->bulk_length = n;
	return NX_OK;
}

static nx_rc on_seq_begin(void *payload, const struct nx_dicom_elem *e, struct nx_err *err)
{
	struct builder *b = payload;

	b->frames[e->depth + 1].level.n_items = 0;
	return elem_push(b, e) ? NX_OK : no_memory(err);
}

static nx_rc on_item_begin(
	void *payload, const struct nx_dicom_elem *e, unsigned index, struct nx_err *err)
{
	struct builder *b = payload;
	struct frame *frame = &b->frames[e->depth + 1];

	(void)index;
	(void)err;
	frame->level.n_elems = 0;
	frame->level.charset = b->frames[e->depth].level.charset;
	frame->is_signed = b->frames[e->depth].is_signed;
	return NX_OK;
}

static nx_rc on_item_end(void *payload, const struct nx_dicom_elem *e, struct nx_err *err)
{
	struct builder *b = payload;

	return nx_level_item(&b->frames[e->depth + 1].level, b->arena) ? NX_OK : no_memory(err);
}

static nx_rc on_seq_end(void *payload, const struct nx_dicom_elem *e, struct nx_err *err)
{
	struct builder *b = payload;
	struct nx_level *outer = &b->frames[e->depth].level;

	return nx_level_items(
		       &b->frames[e->depth + 1].level, b->arena, &outer->elems[outer->n_elems - 1])
		? NX_OK
		: no_memory(err);
}

static const struct nx_dicom_cb callbacks = {
	.on_value = on_value,
	.on_seq_begin = on_seq_begin,
	.on_item_begin = on_item_begin,
	.on_item_end = on_item_end,
	.on_seq_end = on_seq_end,
	.on_bulk_end = on_bulk_end,
	.on_skipped = on_bulk_end,
};

/* ---- interface ---- */

static nx_rc feed_split(struct nx_dicom_parser *parser, struct nx_slice header,
	const struct nx_bulk_ref *bulks, size_t n_bulks, struct nx_err *err)
{
	uint64_t pos = 0; /* in the stream */
	size_t at = 0;    /* in the header */
	nx_rc rc = NX_OK;

	for (size_t i = 0; !rc && i < n_bulks; i++) {
		uint64_t gap = bulks[i].offset - pos;

		if (bulks[i].offset < pos || gap > header.n - at ||
			bulks[i].length > NX_LIMIT_DICOM_INSTANCE)
			return nx_err_set(err, NX_E_INVAL, "bulk reference %zu out of range", i);
		rc = nx_dicom_feed(parser, header.p + at, (size_t)gap, err);
		if (!rc)
			rc = nx_dicom_feed_hole(parser, bulks[i].length, err);
		at += (size_t)gap;
		pos = bulks[i].offset + bulks[i].length;
	}
	if (!rc)
		rc = nx_dicom_feed(parser, header.p + at, header.n - at, err);
	return rc ? rc : nx_dicom_finish(parser, err);
}

static void builder_done(struct builder *b)
{
	b->parser = nx_dicom_parser_free(b->parser);
	for (size_t i = 0; i < LEVELS; i++)
		nx_level_done(&b->frames[i].level);
}

/* What the caller has set in `b` before is the context of a data set inside another one. */
static nx_rc build_in(struct builder *b, struct nx_slice header, const struct nx_bulk_ref *bulks,
	size_t n_bulks, const struct nx_dicom_parser_opts *opts, struct nx_dataset **ret_ds,
	struct nx_err *err)
{
	struct nx_dataset *ds;
	nx_rc rc = nx_dicom_parser_new(opts, &callbacks, b, &b->parser, err);

	if (!rc)
		rc = feed_split(b->parser, header, bulks, n_bulks, err);
	if (!rc) {
		ds = nx_level_close(&b->frames[0].level, b->arena);
		if (ds)
			*ret_ds = ds;
		else
			rc = no_memory(err);
	}
	builder_done(b);
	return rc;
}

static nx_rc build(struct nx_slice header, const struct nx_bulk_ref *bulks, size_t n_bulks,
	const struct nx_dicom_parser_opts *opts, struct nx_arena *arena, struct nx_dataset **ret_ds,
	struct nx_err *err)
{
	struct builder b = {.arena = arena};

	return build_in(&b, header, bulks, n_bulks, opts, ret_ds, err);
}

/* A value that does not parse stays what it was, bytes.  An odd one is read with the byte that it
 * gets when it is written (PS3.5 7.1.1), so that it is the same sequence before and after. */
static nx_rc un_sequence(struct builder *b, const struct nx_dicom_elem *e, struct nx_slice value,
	struct nx_elem *elem, struct nx_err *err)
{
	const struct nx_dicom_parser_opts opts = {.ts_uid = NX_UID_IMPLICIT_VR_LITTLE_ENDIAN};
	struct builder inner = {.arena = b->arena, .base = b->base + e->value_offset - 8};
	NX_AUTO_DONE(nx_buf) stream;
	struct nx_dataset *ds;
	nx_rc rc;

	nx_buf_init(&stream, value.n + 9, NX_BUF_WIPE);
	nx_buf_put_u16le(&stream, nx_tag_group(e->tag));
	nx_buf_put_u16le(&stream, (uint16_t)(e->tag & 0xffff));
	nx_buf_put_u32le(&stream, (uint32_t)(value.n + (value.n & 1)));
	nx_buf_put_slice(&stream, value);
	nx_buf_put_zero(&stream, value.n & 1);
	rc = nx_buf_check(&stream, err);
	if (rc)
		return rc;
	inner.frames[0].level.charset = b->frames[e->depth].level.charset;
	inner.frames[0].is_signed = b->frames[e->depth].is_signed;
	rc = build_in(&inner, nx_buf_slice(&stream), NULL, 0, &opts, &ds, err);
	if (rc == NX_E_NOMEM)
		return rc;
	if (!rc && ds->n == 1 && ds->elems[0].vr == NX_VR('S', 'Q')) {
		elem->vr = NX_VR('S', 'Q');
		elem->value = nx_slice(NULL, 0);
		elem->items = ds->elems[0].items;
		elem->n_items = ds->elems[0].n_items;
	}
	return NX_OK;
}

nx_rc nx_dataset_parse(struct nx_slice stream, const char *ts_uid, uint32_t bulk_min,
	struct nx_arena *arena, struct nx_dataset **ret_ds, struct nx_err *err)
{
	const struct nx_dicom_parser_opts opts = {.ts_uid = ts_uid, .bulk_min = bulk_min};

	return build(stream, NULL, 0, &opts, arena, ret_ds, err);
}

nx_rc nx_dataset_parse_split(struct nx_slice header, const struct nx_bulk_ref *bulks,
	size_t n_bulks, const char *ts_uid, struct nx_arena *arena, struct nx_dataset **ret_ds,
	struct nx_err *err)
{
	const struct nx_dicom_parser_opts opts = {.ts_uid = ts_uid};

	return build(header, bulks, n_bulks, &opts, arena, ret_ds, err);
}

const struct nx_elem *nx_dataset_find(const struct nx_dataset *ds, nx_tag tag)
{
	size_t lo = 0, hi = ds->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (ds->elems[mid].tag == tag)
			return &ds->elems[mid];
		if (ds->elems[mid].tag < tag)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

struct nx_dataset *nx_dataset_new(struct nx_arena *arena, size_t cap)
{
	struct nx_dataset *ds = nx_arena_alloc(arena, sizeof(*ds));

	if (!ds)
		return NULL;
	*ds = (struct nx_dataset){.elems = nx_arena_alloc_array(arena, cap, sizeof(*ds->elems))};
	return ds->elems ? ds : NULL;
}

void nx_dataset_put(struct nx_dataset *ds, const struct nx_elem *elem)
{
	size_t at = ds->n;

	while (at && ds->elems[at - 1].tag >= elem->tag)
		at--;
	if (at == ds->n || ds->elems[at].tag != elem->tag) {
		memmove(&ds->elems[at + 1], &ds->elems[at], (ds->n - at) * sizeof(*ds->elems));
		ds->n++;
	}
	ds->elems[at] = *elem;
}

void nx_dataset_put_text(struct nx_dataset *ds, nx_tag tag, const char *text)
{
	const struct nx_dict_entry *entry = nx_dict_find(tag);

	nx_dataset_put(ds,
		&(struct nx_elem){.tag = tag,
			.vr = entry ? entry->vr : NX_VR('U', 'N'),
			.value = nx_slice_str(text)});
}

static struct nx_slice unpadded(struct nx_slice s)
{
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == 0))
		s.n--;
	return s;
}

bool nx_elem_same(const struct nx_elem *a, const struct nx_elem *b)
{
	const struct nx_slice x = unpadded(a->value), y = unpadded(b->value);

	if (a->tag != b->tag || a->n_items != b->n_items || x.n != y.n)
		return false;
	for (size_t i = 0; i < a->n_items; i++)
		if (!nx_dataset_same(a->items[i], b->items[i]))
			return false;
	return x.n == 0 || memcmp(x.p, y.p, x.n) == 0;
}

bool nx_dataset_same(const struct nx_dataset *a, const struct nx_dataset *b)
{
	bool is_same = a->n == b->n;

	for (size_t i = 0; i < a->n && is_same; i++)
		is_same = nx_elem_same(&a->elems[i], &b->elems[i]);
	return is_same;
}

#include "retrieve/frames.h"

#include <stdlib.h>

#include "archive/rewrite.h"
#include "base/rd.h"
#include "dicom/dicom.h"
#include "pixel/frames.h"
#include "pixel/pixel.h"
#include "retrieve/frames_priv.h"
#include "retrieve/instances_priv.h"

enum {
	FRAMES_ARENA_MAX = 512 * 1024 * 1024,
	ITEM_HEAD = 8,
	ITEM_TAG = 0xE000,
	ITEM_GROUP = 0xFFFE,
	MADE_MAX = 64 * 1024 * 1024, /* of a frame that is made here */
	BITS_GROUP = 8               /* frames of single bits that begin with a byte, together */
};

/* A run of stored bytes, from the value's first byte on. */
struct frame_piece {
	uint64_t off;
	uint64_t len;
};

struct frame {
	uint64_t len;
	size_t first; /* of its pieces */
	size_t n;
	uint32_t number;
};

/* Stored bytes that were looked at. */
struct window {
	struct nx_buf bytes;
	uint64_t at;
};

struct nx_frame_reader {
	struct nx_instances *instances;
	struct nx_arena *arena;
	const struct nx_ts *ts; /* NULL: of no table */
	const struct nx_dataset *ds;
	nx_tag pixels; /* the attribute */
	const struct nx_pixel_codec *codec;
	struct nx_pixel_desc desc;
	uint32_t n_frames;
	bool encapsulated;
	bool is_made; /* frames are not stored as they are given */
	uint64_t at;  /* of the value in the stored bytes */
	uint64_t len;
	struct nx_slice inflated; /* the value of a deflated data set, which is stored otherwise */
	uint64_t base; /* in the value: the first item behind the table; offsets count from it */
	uint64_t table_at;    /* of a table of offsets in the stored bytes */
	unsigned table_width; /* bytes of an entry; 0: there is none */
	uint64_t *starts;     /* of every frame: tag of its first item; last, the value's end */
	bool is_scanned;      /* they are those of fragments that were looked at */
	struct window window;
	struct frame *frames;
	size_t n_selected;
	struct frame_piece *pieces;
	size_t n_pieces;
	size_t cap_pieces;
	struct nx_buf made;
	uint32_t made_number; /* whose bytes `made` has */
};

/* ---- stored bytes ---- */

/* Exactly `n` bytes of the item. */
static nx_rc stored_read(
	struct nx_frame_reader *r, uint64_t off, void *p, size_t n, struct nx_err *err)
{
	size_t got = 0;
	nx_rc rc = nx_instances_read(r->instances, off, p, n, &got, err);

	return rc || got == n ? rc : nx_err_set(err, NX_E_SHORT, "pixel data end early");
}

/* At least `n` bytes to look at, valid until the next call.  What is opened is a segment anyway, so
 * the rest of it comes along for whoever looks at what follows. */
static nx_rc peek(struct nx_frame_reader *r, struct window *w, uint64_t off, size_t n,
	struct nx_slice *ret, struct nx_err *err)
{
	size_t take = NX_SEGMENT_LEN - (size_t)((off - r->at) % NX_SEGMENT_LEN), got = 0;
	uint64_t in = off - w->at;
	uint8_t *to;
	nx_rc rc;

	if (off < w->at || in > w->bytes.len || n > w->bytes.len - in) {
		take += take < n ? NX_SEGMENT_LEN : 0;
		nx_buf_clear(&w->bytes);
		to = nx_buf_reserve(&w->bytes, take);
		rc = to ? nx_instances_read(r->instances, off, to, take, &got, err)
			: nx_buf_check(&w->bytes, err);
		if (rc)
			return rc;
		w->bytes.len = got;
		w->at = off;
		in = 0;
	}
	if (n > w->bytes.len - in)
		return nx_err_set(err, NX_E_SHORT, "pixel data end early");
	*ret = nx_slice(w->bytes.data + in, w->bytes.len - (size_t)in);
	return NX_OK;
}

/* ---- what the data set says ---- */

static uint16_t small_int(const struct nx_dataset *ds, nx_tag tag, uint16_t otherwise)
{
	int64_t v;

	return nx_dataset_int(ds, tag, &v) && v >= 0 && v <= UINT16_MAX ? (uint16_t)v : otherwise;
}

static void desc_fill(
	const struct nx_dataset *ds, const struct nx_elem *pixels, struct nx_pixel_desc *desc)
{
	const struct nx_elem *photometric = nx_dataset_find(ds, NX_TAG(0x0028, 0x0004));
	int64_t frames;

	*desc = (struct nx_pixel_desc){
		.rows = small_int(ds, NX_TAG(0x0028, 0x0010), 0),
		.columns = small_int(ds, NX_TAG(0x0028, 0x0011), 0),
		.frames = 1,
		.samples = small_int(ds, NX_TAG(0x0028, 0x0002), 1),
		.bits_allocated = small_int(ds, NX_TAG(0x0028, 0x0100), 0),
		.is_signed = small_int(ds, NX_TAG(0x0028, 0x0103), 0) == 1,
		.planar = small_int(ds, NX_TAG(0x0028, 0x0006), 0) == 1,
		.words = pixels->vr == NX_VR('O', 'W'),
	};
	desc->bits_stored = small_int(ds, NX_TAG(0x0028, 0x0101), desc->bits_allocated);
	desc->high_bit = small_int(ds, NX_TAG(0x0028, 0x0102), (uint16_t)(desc->bits_stored - 1));
	if (photometric)
		desc->photometric = nx_photometric_parse(photometric->value);
	if (nx_dataset_int(ds, NX_TAG(0x0028, 0x0008), &frames) && frames > 1)
		desc->frames = frames > UINT32_MAX ? UINT32_MAX : (uint32_t)frames;
}

/* PS3.3 C.7.6.24, C.7.6.25: a data set has one of them. */
static const struct nx_elem *pixels_find(const struct nx_dataset *ds)
{
	static const nx_tag tags[] = {
		NX_TAG(0x7fe0, 0x0010), NX_TAG(0x7fe0, 0x0008), NX_TAG(0x7fe0, 0x0009)};
	const struct nx_elem *found = NULL;

	for (size_t i = 0; i < NX_ARRAY_LEN(tags) && !found; i++)
		found = nx_dataset_find(ds, tags[i]);
	return found;
}

static bool is_wrong(nx_rc rc)
{
	return rc == NX_E_MALFORMED || rc == NX_E_SHORT;
}

static nx_rc apart(struct nx_err *err, const char *why)
{
	return nx_err_set(err, NX_E_NOT_ACCEPTABLE, "frames cannot be told apart: %s", why);
}

/* The first item of the value, which may hold a table, and (7FE0,0001). */
static nx_rc tables_find(struct nx_frame_reader *r, const struct nx_dataset *ds, struct nx_err *err)
{
	const struct nx_elem *extended = nx_dataset_find(ds, NX_TAG(0x7fe0, 0x0001));
	uint16_t group = 0, element = 0;
	uint32_t length = 0;
	struct nx_slice head;
	struct nx_rd rd;
	nx_rc rc = peek(r, &r->window, r->at, ITEM_HEAD, &head, err);

	if (rc)
		return rc;
	rd = nx_rd(head);
	if (!nx_rd_u16le(&rd, &group) || !nx_rd_u16le(&rd, &element) ||
		!nx_rd_u32le(&rd, &length) || group != ITEM_GROUP || element != ITEM_TAG ||
		length > r->len - ITEM_HEAD)
		return apart(err, "the value begins with no item");
	r->base = ITEM_HEAD + length;
	if (extended && extended->bulk_length == 8ull * r->n_frames) {
		r->table_width = 8;
		r->table_at = extended->bulk_offset;
	} else if (length == 4ull * r->n_frames) {
		r->table_width = 4;
		r->table_at = r->at + ITEM_HEAD;
	}
	return NX_OK;
}

static nx_rc value_find(struct nx_frame_reader *r, const struct nx_elem *pixels,
	const struct nx_dataset *ds, struct nx_err *err)
{
	r->at = pixels->bulk_offset;
	r->len = pixels->bulk_length;
	r->encapsulated = pixels->is_encapsulated;
	if (r->encapsulated && (!r->codec || r->codec->flags & NX_PIXEL_VIDEO))
		return apart(err, r->codec ? "a video is one stream" : "unknown transfer syntax");
	return r->encapsulated ? tables_find(r, ds, err) : NX_OK;
}

/* Native values that are not given as they lie in the store. */
static nx_rc native_check(
	struct nx_frame_reader *r, const struct nx_elem *pixels, struct nx_err *err)
{
	const struct nx_pixel_desc *d = &r->desc;
	const struct nx_ts *ts = r->ts;
	uint64_t bits = nx_pixel_native_bits(d);
	bool swaps = ts && ts->big_endian && (d->bits_allocated > 8 || d->words);

	if (ts && ts->deflated) { /* it was inflated with its data set */
		r->inflated = pixels->value;
		r->len = pixels->value.n;
	}
	if (swaps && d->photometric == NX_PHOTO_YBR_FULL_422)
		return apart(err, "subsampled colors in big endian");
	r->is_made = swaps || bits % 8;
	if (r->is_made && bits / 8 * (swaps ? 1 : BITS_GROUP) > MADE_MAX)
		return apart(err, "a frame has to be made, and is too large for that");
	return NX_OK;
}

static nx_rc header_look(struct nx_frame_reader *r, const struct nx_item *item, struct nx_err *err)
{
	const struct nx_elem *pixels;
	struct nx_dataset *ds;
	nx_rc rc;

	r->ts = nx_ts_find(item->ts_uid);
	rc = instances_header(r->instances, r->arena, &ds, err);
	if (rc)
		return rc;
	pixels = pixels_find(ds);
	if (!pixels || !pixels->bulk_length)
		return nx_err_set(err, NX_E_NOENT, "the instance has no pixels");
	r->ds = ds;
	r->pixels = pixels->tag;
	desc_fill(ds, pixels, &r->desc);
	r->n_frames = r->desc.frames;
	r->codec = nx_pixel_codec_find(item->ts_uid);
	if (nx_pixel_desc_check(&r->desc, err))
		return apart(err, "the data set describes no image");
	rc = value_find(r, pixels, ds, err);
	return rc || r->encapsulated ? rc : native_check(r, pixels, err);
}

nx_rc nx_frame_reader_open(
	struct nx_instances *instances, size_t i, struct nx_frame_reader **ret, struct nx_err *err)
{
	NX_AUTO(nx_frame_reader) *r = calloc(1, sizeof(*r));
	const struct nx_item *item;
	nx_rc rc;

	if (r)
		r->arena = nx_arena_new(FRAMES_ARENA_MAX, NX_ARENA_WIPE);
	if (!r || !r->arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for frames");
	r->instances = instances;
	r->made_number = UINT32_MAX;
	nx_buf_init(&r->window.bytes, 2 * NX_SEGMENT_LEN, NX_BUF_WIPE);
	nx_buf_init(&r->made, MADE_MAX, NX_BUF_WIPE);
	rc = nx_instances_at(instances, i, &item, err);
	if (!rc)
		rc = header_look(r, item, err);
	if (!rc)
		*ret = NX_STEAL(r);
	return rc;
}

struct nx_frame_reader *nx_frame_reader_free(struct nx_frame_reader *reader)
{
	if (!reader)
		return NULL;
	nx_buf_done(&reader->window.bytes);
	nx_buf_done(&reader->made);
	nx_arena_free(reader->arena);
	free(reader->starts);
	free(reader->frames);
	free(reader->pieces);
	free(reader);
	return NULL;
}

bool nx_frame_reader_encapsulated(const struct nx_frame_reader *reader)
{
	return reader->encapsulated;
}

/* ---- encapsulated frames ---- */

/* All fragments, looked at from head to head. */
static nx_rc fragments_scan(
	struct nx_frame_reader *r, struct nx_pixel_scan *scan, struct nx_err *err)
{
	struct nx_slice piece;
	uint64_t at = 0;
	nx_rc rc = NX_OK;

	while (!rc && at < r->len) {
		rc = peek(r, &r->window, r->at + at, 1, &piece, err);
		if (rc)
			break;
		if (piece.n > r->len - at)
			piece.n = (size_t)(r->len - at);
		rc = nx_pixel_scan_feed(scan, piece, err);
		at += piece.n;
		at += nx_pixel_scan_skip(scan, r->len - at);
	}
	return rc ? rc : nx_pixel_scan_finish(scan, err);
}

/* Where frames begin, of fragments that were found one by one. */
static nx_rc starts_scan(struct nx_frame_reader *r, struct nx_err *err)
{
	NX_AUTO(nx_pixel_scan) *scan = nx_pixel_scan_new();
	NX_AUTO_MEM uint32_t *first = calloc(r->n_frames + 1ull, sizeof(*first));
	struct nx_frame_tables tables = {.extended = nx_slice(NULL, 0)};
	const struct nx_fragment *fragments;
	size_t n;
	nx_rc rc;

	if (!scan || !first)
		return nx_err_set(err, NX_E_NOMEM, "no memory for %u frames", r->n_frames);
	rc = fragments_scan(r, scan, err);
	fragments = nx_pixel_scan_fragments(scan, &n);
	tables.basic = nx_pixel_scan_offsets(scan);
	if (!rc)
		rc = nx_frames_index(fragments, n, &tables, r->n_frames, first, err);
	if (is_wrong(rc))
		return apart(err, "its fragments do not say");
	for (uint32_t i = 0; i < r->n_frames && !rc; i++)
		r->starts[i] = fragments[first[i]].offset - ITEM_HEAD;
	r->is_scanned = true;
	return rc;
}

/* The same by a table of the instance.  False: it is none that can hold; of its offsets only those
 * of wanted frames are looked up later. */
static nx_rc starts_read(struct nx_frame_reader *r, bool *ret_holds, struct nx_err *err)
{
	size_t len = (size_t)r->n_frames * r->table_width;
	uint8_t *bytes = nx_arena_alloc(r->arena, len);
	bool holds = true;
	struct nx_rd rd;
	nx_rc rc;

	if (!bytes)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an offset table");
	rc = stored_read(r, r->table_at, bytes, len, err);
	rd = nx_rd(nx_slice(bytes, len));
	for (uint32_t i = 0; i < r->n_frames && holds && !rc; i++) {
		uint32_t narrow = 0;
		uint64_t offset = 0;

		(void)(r->table_width == 8 ? nx_rd_u64le(&rd, &offset) : nx_rd_u32le(&rd, &narrow));
		offset += narrow;
		holds = offset < r->len - r->base &&
			(i ? r->base + offset > r->starts[i - 1] : offset == 0);
		r->starts[i] = r->base + offset;
	}
	*ret_holds = holds;
	return rc;
}

/* By what was found when they were looked at once, or by looking. */
static nx_rc starts_by_fragments(struct nx_frame_reader *r, struct nx_err *err)
{
	struct frame_starts starts = {r->starts, r->n_frames, r->len};
	nx_rc rc;

	r->is_scanned = frame_index_find(r->instances, &starts);
	if (r->is_scanned)
		return NX_OK;
	rc = starts_scan(r, err);
	if (!rc)
		frame_index_keep(r->instances, &starts);
	return rc;
}

static nx_rc starts_find(struct nx_frame_reader *r, struct nx_err *err)
{
	bool holds = false;
	nx_rc rc = NX_OK;

	r->starts = calloc(r->n_frames + 1ull, sizeof(*r->starts));
	if (!r->starts)
		return nx_err_set(err, NX_E_NOMEM, "no memory for %u frames", r->n_frames);
	r->starts[r->n_frames] = r->len;
	if (r->n_frames == 1) {
		r->starts[0] = r->base;
		r->is_scanned = true;
		return NX_OK;
	}
	if (r->table_width)
		rc = starts_read(r, &holds, err);
	return rc || holds ? rc : starts_by_fragments(r, err);
}

static nx_rc piece_add(
	struct nx_frame_reader *r, struct frame *f, uint64_t off, uint64_t len, struct nx_err *err)
{
	size_t cap = r->cap_pieces ? 2 * r->cap_pieces : 16;
	struct frame_piece *more;

	if (r->n_pieces == NX_LIMIT_PIXEL_FRAGMENTS)
		return nx_err_set(
			err, NX_E_LIMIT, "more than %u fragments", NX_LIMIT_PIXEL_FRAGMENTS);
	if (r->n_pieces == r->cap_pieces) {
		more = realloc(r->pieces, cap * sizeof(*more));
		if (!more)
			return nx_err_set(err, NX_E_NOMEM, "no memory for fragments");
		r->pieces = more;
		r->cap_pieces = cap;
	}
	r->pieces[r->n_pieces++] = (struct frame_piece){off, len};
	f->n++;
	f->len += len;
	return NX_OK;
}

/* One item of a frame that ends at `end`; *at goes behind it, or to `end` at the delimiter. */
static nx_rc item_walk(
	struct nx_frame_reader *r, struct frame *f, uint64_t *at, uint64_t end, struct nx_err *err)
{
	uint16_t group = 0, element = 0;
	uint32_t length = 0;
	struct nx_slice head;
	struct nx_rd rd;
	nx_rc rc;

	if (end - *at < ITEM_HEAD)
		return nx_err_set(err, NX_E_MALFORMED, "a frame ends within the head of an item");
	rc = peek(r, &r->window, r->at + *at, ITEM_HEAD, &head, err);
	if (rc)
		return rc;
	rd = nx_rd(head);
	(void)(nx_rd_u16le(&rd, &group) && nx_rd_u16le(&rd, &element) && nx_rd_u32le(&rd, &length));
	*at += ITEM_HEAD;
	if (group == ITEM_GROUP && element == 0xE0DD && end == r->len) {
		*at = end;
		return NX_OK;
	}
	if (group != ITEM_GROUP || element != ITEM_TAG || length > end - *at)
		return nx_err_set(err, NX_E_MALFORMED, "a frame is not made of items");
	rc = piece_add(r, f, *at, length, err);
	*at += length;
	return rc;
}

static nx_rc items_walk(struct nx_frame_reader *r, struct frame *f, struct nx_err *err)
{
	uint64_t at = r->starts[f->number], end = r->starts[f->number + 1];
	nx_rc rc = NX_OK;

	f->first = r->n_pieces;
	f->n = 0;
	f->len = 0;
	while (!rc && at < end)
		rc = item_walk(r, f, &at, end, err);
	if (!rc && !f->n)
		rc = nx_err_set(err, NX_E_MALFORMED, "a frame without a fragment");
	return rc;
}

/* A table that does not hold is done without. */
static nx_rc encapsulated_find(struct nx_frame_reader *r, struct frame *f, struct nx_err *err)
{
	nx_rc rc = r->starts ? NX_OK : starts_find(r, err);

	if (!rc)
		rc = items_walk(r, f, err);
	if (is_wrong(rc) && !r->is_scanned) {
		r->n_pieces = f->first;
		rc = starts_by_fragments(r, err);
		if (!rc)
			rc = items_walk(r, f, err);
	}
	return is_wrong(rc) ? apart(err, "its fragments do not end where they should") : rc;
}

/* ---- native frames ---- */

static nx_rc native_find(struct nx_frame_reader *r, struct frame *f, struct nx_err *err)
{
	uint64_t bits = nx_pixel_native_bits(&r->desc);

	if ((f->number + 1ull) * bits > r->len * 8)
		return nx_err_set(err, NX_E_NOENT, "pixel data end before frame %u", f->number + 1);
	if (!r->is_made)
		return piece_add(r, f, f->number * (bits / 8), bits / 8, err);
	f->len = (bits + 7) / 8;
	return NX_OK;
}

/* Bytes of the value, wherever they are. */
static nx_rc value_read(
	struct nx_frame_reader *r, uint64_t off, void *p, size_t n, struct nx_err *err)
{
	if (!r->inflated.n)
		return stored_read(r, r->at + off, p, n, err);
	memcpy(p, r->inflated.p + off, n);
	return NX_OK;
}

/* `n` whole frames from `first` on, of which the first begins with a byte. */
static nx_rc group_read(struct nx_frame_reader *r, uint32_t first, uint32_t n,
	struct nx_buf *ret_group, struct nx_err *err)
{
	uint64_t bits = nx_pixel_native_bits(&r->desc);
	size_t len = (size_t)((n * bits + 7) / 8);
	uint8_t *to = nx_buf_reserve(ret_group, len);
	nx_rc rc =
		to ? value_read(r, first * bits / 8, to, len, err) : nx_buf_check(ret_group, err);

	if (!rc)
		ret_group->len = len;
	return rc;
}

static nx_rc frame_swap(struct nx_frame_reader *r, struct nx_slice stored, struct nx_err *err)
{
	size_t len = nx_pixel_frame_len(&r->desc);
	uint8_t *to = nx_buf_reserve(&r->made, len);
	struct nx_pixel_desc desc;
	nx_rc rc = to ? nx_pixel_decode(r->codec,
				&(struct nx_pixel_frame){.desc = &r->desc, .bytes = stored}, to,
				len, &desc, err)
		      : nx_buf_check(&r->made, err);

	if (!rc)
		r->made.len = len;
	return rc;
}

static nx_rc make(struct nx_frame_reader *r, uint32_t number, struct nx_err *err)
{
	bool bits = r->desc.bits_allocated == 1;
	uint32_t first = bits ? number / BITS_GROUP * BITS_GROUP : number;
	NX_AUTO_DONE(nx_buf) group = {0};
	nx_rc rc;

	if (r->made_number == number)
		return NX_OK;
	r->made_number = UINT32_MAX;
	nx_buf_clear(&r->made);
	nx_buf_init(&group, MADE_MAX, NX_BUF_WIPE);
	rc = group_read(r, first, number - first + 1, &group, err);
	if (!rc && bits)
		rc = nx_pixel_native_frame(
			&r->desc, nx_buf_slice(&group), number - first, &r->made, err);
	else if (!rc)
		rc = frame_swap(r, nx_buf_slice(&group), err);
	if (!rc)
		r->made_number = number;
	return rc;
}

/* ---- frames of a list ---- */

static nx_rc frame_find(struct nx_frame_reader *r, struct frame *f, struct nx_err *err)
{
	if (f->number >= r->n_frames)
		return nx_err_set(err, NX_E_NOENT, "the instance has %u frames", r->n_frames);
	f->first = r->n_pieces;
	return r->encapsulated ? encapsulated_find(r, f, err) : native_find(r, f, err);
}

nx_rc nx_frame_reader_select(
	struct nx_frame_reader *reader, const uint32_t *frames, size_t n, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	reader->frames = calloc(n ? n : 1, sizeof(*reader->frames));
	if (!reader->frames)
		return nx_err_set(err, NX_E_NOMEM, "no memory for %zu frames", n);
	reader->n_selected = n;
	for (size_t i = 0; i < n && !rc; i++) {
		reader->frames[i].number = frames[i];
		rc = frame_find(reader, &reader->frames[i], err);
	}
	return rc;
}

uint64_t nx_frame_reader_len(const struct nx_frame_reader *reader, size_t i)
{
	return reader->frames[i].len;
}

static nx_rc made_read(struct nx_frame_reader *r, const struct frame *f, uint64_t off, void *p,
	size_t n, size_t *ret_n, struct nx_err *err)
{
	nx_rc rc = make(r, f->number, err);

	if (rc)
		return rc;
	*ret_n = off < r->made.len ? r->made.len - (size_t)off : 0;
	*ret_n = *ret_n < n ? *ret_n : n;
	memcpy(p, r->made.data + off, *ret_n);
	return NX_OK;
}

static nx_rc found_read(struct nx_frame_reader *r, const struct frame *f, uint64_t off, void *p,
	size_t n, size_t *ret_n, struct nx_err *err)
{
	size_t done = 0;
	nx_rc rc = NX_OK;

	if (!f->n)
		return made_read(r, f, off, p, n, ret_n, err);
	for (size_t k = f->first; k < f->first + f->n && done < n && !rc; k++) {
		const struct frame_piece *piece = &r->pieces[k];
		size_t take = n - done;

		if (off >= piece->len) {
			off -= piece->len;
			continue;
		}
		take = take < piece->len - off ? take : (size_t)(piece->len - off);
		rc = value_read(r, piece->off + off, (uint8_t *)p + done, take, err);
		done += take;
		off = 0;
	}
	if (!rc)
		*ret_n = done;
	return rc;
}

nx_rc nx_frame_reader_read(struct nx_frame_reader *reader, size_t i, uint64_t off, void *p,
	size_t n, size_t *ret_n, struct nx_err *err)
{
	return found_read(reader, &reader->frames[i], off, p, n, ret_n, err);
}

/* ---- for what is made of them ---- */

struct frame_facts frame_reader_facts(const struct nx_frame_reader *reader)
{
	return (struct frame_facts){
		.desc = &reader->desc,
		.ds = reader->ds,
		.pixels = reader->pixels,
		.ts_uid = reader->encapsulated && reader->codec ? reader->codec->uid
								: NX_UID_EXPLICIT_VR_LITTLE_ENDIAN,
	};
}

const struct nx_instances *frame_reader_instances(const struct nx_frame_reader *reader)
{
	return reader->instances;
}

nx_rc frame_reader_whole(
	struct nx_frame_reader *reader, uint32_t number, struct nx_buf *out, struct nx_err *err)
{
	struct frame f = {.number = number};
	size_t kept = reader->n_pieces, got = 0;
	uint8_t *to;
	nx_rc rc = frame_find(reader, &f, err);

	if (!rc && f.len > 2 * NX_LIMIT_PIXEL_FRAME)
		rc = nx_err_set(
			err, NX_E_LIMIT, "stored frame of %llu bytes", (unsigned long long)f.len);
	to = rc ? NULL : nx_buf_reserve(out, (size_t)f.len);
	if (!rc)
		rc = to ? found_read(reader, &f, 0, to, (size_t)f.len, &got, err)
			: nx_buf_check(out, err);
	if (!rc)
		out->len += got;
	reader->n_pieces = kept;
	return rc;
}

nx_rc frame_reader_value(struct nx_frame_reader *reader, const struct nx_elem *e,
	struct nx_arena *arena, struct nx_slice *ret, struct nx_err *err)
{
	return instances_value(reader->instances, reader->ts, e, arena, ret, err);
}

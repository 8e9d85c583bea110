#include "pixel/frames.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/rd.h"

enum {
	ITEM_HEADER = 8,
	ITEM_TAG = 0xE000,
	DELIMITER_TAG = 0xE0DD,
	ITEM_GROUP = 0xFFFE
};

struct nx_pixel_scan {
	struct nx_fragment *fragments;
	size_t n;
	size_t cap;
	struct nx_buf offsets;
	uint64_t at; /* bytes fed */
	uint8_t header[ITEM_HEADER];
	unsigned have;   /* bytes of the header */
	uint32_t left;   /* of the item at hand */
	bool in_table;   /* it is the Basic Offset Table */
	bool table_seen; /* the first item was begun */
	bool ended;      /* the delimiter came */
};

struct nx_pixel_scan *nx_pixel_scan_new(void)
{
	struct nx_pixel_scan *scan = calloc(1, sizeof(*scan));

	if (scan)
		nx_buf_init(&scan->offsets, 4ull * NX_LIMIT_PIXEL_FRAMES, 0);
	return scan;
}

struct nx_pixel_scan *nx_pixel_scan_free(struct nx_pixel_scan *scan)
{
	if (!scan)
		return NULL;
	nx_buf_done(&scan->offsets);
	free(scan->fragments);
	free(scan);
	return NULL;
}

static nx_rc fragment_begin(struct nx_pixel_scan *scan, uint32_t length, struct nx_err *err)
{
	if (scan->n == NX_LIMIT_PIXEL_FRAGMENTS)
		return nx_err_set(
			err, NX_E_LIMIT, "more than %u fragments", NX_LIMIT_PIXEL_FRAGMENTS);
	if (scan->n == scan->cap) {
		const size_t cap = scan->cap ? 2 * scan->cap : 16;
		struct nx_fragment *more = realloc(scan->fragments, cap * sizeof(*more));

		if (!more)
			return nx_err_set(err, NX_E_NOMEM, "no memory for fragments");
		scan->fragments = more;
		scan->cap = cap;
	}
	scan->fragments[scan->n++] = (struct nx_fragment){.offset = scan->at, .length = length};
	return NX_OK;
}

/* `at` is behind the header now. */
static nx_rc item_begin(struct nx_pixel_scan *scan, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(nx_slice(scan->header, ITEM_HEADER));
	uint16_t group = 0, element = 0;
	uint32_t length = 0;

	(void)(nx_rd_u16le(&rd, &group) && nx_rd_u16le(&rd, &element) && nx_rd_u32le(&rd, &length));
	scan->have = 0;
	if (group == ITEM_GROUP && element == DELIMITER_TAG) {
		scan->ended = true;
		return NX_OK;
	}
	if (group != ITEM_GROUP || element != ITEM_TAG || length == UINT32_MAX)
		return nx_err_set(err, NX_E_MALFORMED, "pixel data have no item at offset %llu",
			(unsigned long long)(scan->at - ITEM_HEADER));
	scan->left = length;
	scan->in_table = !scan->table_seen;
	scan->table_seen = true;
	return scan->in_table ? NX_OK : fragment_begin(scan, length, err);
}

static void fragment_take(struct nx_fragment *f, uint32_t done, struct nx_slice piece)
{
	for (size_t i = 0; done + i < NX_FRAGMENT_HEAD && i < piece.n; i++)
		f->head[done + i] = piece.p[i];
	for (size_t i = piece.n > NX_FRAGMENT_TAIL ? piece.n - NX_FRAGMENT_TAIL : 0; i < piece.n;
		i++) {
		memmove(f->tail, f->tail + 1, NX_FRAGMENT_TAIL - 1);
		f->tail[NX_FRAGMENT_TAIL - 1] = piece.p[i];
	}
}

static nx_rc item_take(struct nx_pixel_scan *scan, struct nx_rd *rd, struct nx_err *err)
{
	struct nx_fragment *f = scan->in_table ? NULL : &scan->fragments[scan->n - 1];
	struct nx_slice piece = {0};

	(void)nx_rd_bytes(rd, rd->n < scan->left ? rd->n : scan->left, &piece);
	if (f)
		fragment_take(f, f->length - scan->left, piece);
	else
		nx_buf_put_slice(&scan->offsets, piece);
	scan->left -= (uint32_t)piece.n;
	scan->at += piece.n;
	return nx_buf_check(&scan->offsets, err);
}

nx_rc nx_pixel_scan_feed(struct nx_pixel_scan *scan, struct nx_slice data, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(data);
	nx_rc rc = NX_OK;

	while (!rc && rd.n && !scan->ended) {
		if (scan->left) {
			rc = item_take(scan, &rd, err);
			continue;
		}
		(void)nx_rd_u8(&rd, &scan->header[scan->have]);
		scan->at++;
		if (++scan->have == ITEM_HEADER)
			rc = item_begin(scan, err);
	}
	return rc;
}

uint64_t nx_pixel_scan_skip(struct nx_pixel_scan *scan, uint64_t most)
{
	uint64_t n = scan->left > NX_FRAGMENT_TAIL ? scan->left - NX_FRAGMENT_TAIL : 0;

	if (!n || scan->in_table ||
		scan->fragments[scan->n - 1].length - scan->left < NX_FRAGMENT_HEAD)
		return 0;
	n = n < most ? n : most;
	scan->left -= (uint32_t)n;
	scan->at += n;
	return n;
}

nx_rc nx_pixel_scan_finish(struct nx_pixel_scan *scan, struct nx_err *err)
{
	if (scan->left || scan->have)
		return nx_err_set(err, NX_E_SHORT, "pixel data end within an item at offset %llu",
			(unsigned long long)scan->at);
	return NX_OK;
}

const struct nx_fragment *nx_pixel_scan_fragments(const struct nx_pixel_scan *scan, size_t *ret_n)
{
	*ret_n = scan->n;
	return scan->fragments;
}

struct nx_slice nx_pixel_scan_offsets(const struct nx_pixel_scan *scan)
{
	return nx_buf_slice(&scan->offsets);
}

/* ---- frames ---- */

/* An offset counts from the tag of the first item behind the table (PS3.5 A.4). */
static bool fragment_find(
	const struct nx_fragment *fragments, size_t n, uint64_t offset, uint32_t *ret)
{
	const uint64_t want = fragments[0].offset + offset;
	size_t low = 0, high = n;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (fragments[middle].offset < want)
			low = middle + 1;
		else
			high = middle;
	}
	if (want < offset || low == n || fragments[low].offset != want)
		return false;
	*ret = (uint32_t)low;
	return true;
}

/* False where a table of `width` bytes an entry does not name `n_frames` fragments in order. */
static bool by_table(const struct nx_fragment *fragments, size_t n, struct nx_slice table,
	unsigned width, uint32_t n_frames, uint32_t *ret_first)
{
	struct nx_rd rd = nx_rd(table);

	if (table.n != (size_t)n_frames * width)
		return false;
	for (uint32_t i = 0; i < n_frames; i++) {
		uint32_t narrow = 0;
		uint64_t offset = 0;

		if (width == 4 ? !nx_rd_u32le(&rd, &narrow) : !nx_rd_u64le(&rd, &offset))
			return false;
		if (!fragment_find(fragments, n, width == 4 ? narrow : offset, &ret_first[i]) ||
			(i ? ret_first[i] <= ret_first[i - 1] : ret_first[i] != 0))
			return false;
	}
	return true;
}

/* SOI and a marker (JPEG, JPEG-LS), SOC and SIZ (JPEG 2000), the box that JP2 files begin with. */
static bool begins_stream(const struct nx_fragment *f)
{
	static const uint8_t soi[] = {0xFF, 0xD8, 0xFF}, soc[] = {0xFF, 0x4F, 0xFF, 0x51};
	static const uint8_t jp2[] = {0, 0, 0, 12, 'j', 'P', ' ', ' '};

	return memcmp(f->head, soi, sizeof(soi)) == 0 || memcmp(f->head, soc, sizeof(soc)) == 0 ||
		memcmp(f->head, jp2, sizeof(jp2)) == 0;
}

/* EOI or EOC, and perhaps a byte that makes the length even. */
static bool ends_stream(const struct nx_fragment *f)
{
	return (f->tail[1] == 0xFF && f->tail[2] == 0xD9) ||
		(f->tail[0] == 0xFF && f->tail[1] == 0xD9);
}

static bool by_marker(const struct nx_fragment *fragments, size_t n, bool begins, uint32_t n_frames,
	uint32_t *ret_first)
{
	uint32_t found = 0;

	for (size_t i = 0; i < n; i++) {
		if (i && !(begins ? begins_stream(&fragments[i]) : ends_stream(&fragments[i - 1])))
			continue;
		if (found == n_frames)
			return false;
		ret_first[found++] = (uint32_t)i;
	}
	return found == n_frames;
}

static bool each_its_own(size_t n, uint32_t n_frames, uint32_t *ret_first)
{
	if (n != n_frames && n_frames != 1)
		return false;
	for (uint32_t i = 0; i < n_frames; i++)
		ret_first[i] = i;
	return true;
}

nx_rc nx_frames_index(const struct nx_fragment *fragments, size_t n,
	const struct nx_frame_tables *tables, uint32_t n_frames, uint32_t *ret_first,
	struct nx_err *err)
{
	if (!n_frames || n < n_frames || n > UINT32_MAX)
		return nx_err_set(err, NX_E_MALFORMED, "%zu fragments for %u frames", n, n_frames);
	if (!by_table(fragments, n, tables->extended, 8, n_frames, ret_first) &&
		!by_table(fragments, n, tables->basic, 4, n_frames, ret_first) &&
		!each_its_own(n, n_frames, ret_first) &&
		!by_marker(fragments, n, true, n_frames, ret_first) &&
		!by_marker(fragments, n, false, n_frames, ret_first))
		return nx_err_set(err, NX_E_MALFORMED,
			"nothing tells which of %zu fragments belong to which of %u frames", n,
			n_frames);
	ret_first[n_frames] = (uint32_t)n;
	return NX_OK;
}

/* jpeg_lossless.c - JPEG lossless, Huffman coded, all predictors (ISO/IEC 10918-1 Annex H). */
#include "pixel/jpeg_priv.h"

enum {
	SSSS_MAX = 16,
	BITS_MIN = 2,
	BITS_MAX = 16
};

/* Rows of the components of one scan: the one at hand and the one above. */
struct rows {
	uint16_t *memory;
	uint16_t *now[NX_JPEG_COMPS];
	uint16_t *above[NX_JPEG_COMPS];
};

static uint16_t difference_slow(
	struct nx_jpeg_bits *bits, const struct nx_jpeg_huff *huff, bool *bad)
{
	const int size = nx_jpeg_symbol(bits, huff);

	if (size < 0 || size > SSSS_MAX)
		*bad = true;
	if (size <= 0 || size > SSSS_MAX)
		return 0;
	if (size == SSSS_MAX) /* 32768, without further bits (H.1.2.2) */
		return 0x8000;
	return (uint16_t)nx_jpeg_extend(bits, (unsigned)size);
}

static inline uint16_t difference(
	struct nx_jpeg_bits *bits, const struct nx_jpeg_huff *huff, bool *bad)
{
	uint32_t found;

	nx_jpeg_bits_fill(bits);
	found = huff->fast[bits->acc >> (64 - NX_JPEG_FAST)];
	if (!found)
		return difference_slow(bits, huff, bad);
	nx_jpeg_bits_drop(bits, found >> 20);
	return (uint16_t)found;
}

/* Differences of one row of all components of the scan. */
static bool row_read(struct nx_jpeg *jpeg, struct nx_jpeg_bits *bits, struct rows *rows)
{
	const size_t n = jpeg->info.columns;
	const struct nx_jpeg_huff *huff[NX_JPEG_COMPS];
	bool bad = false;

	for (unsigned c = 0; c < jpeg->n_scan; c++)
		huff[c] = &jpeg->dc[jpeg->comps[jpeg->scan[c]].dc];
	if (jpeg->n_scan == 1) {
		struct nx_jpeg_bits local = *bits;
		uint16_t *to = rows->now[0];

		for (size_t x = 0; x < n; x++)
			to[x] = difference(&local, huff[0], &bad);
		*bits = local;
		return !bad;
	}
	for (size_t x = 0; x < n; x++)
		for (unsigned c = 0; c < jpeg->n_scan; c++)
			rows->now[c][x] = difference(bits, huff[c], &bad);
	return !bad;
}

/* Table H.1: a is left, b above, c above left. */
static inline uint32_t predict(unsigned selector, int32_t a, int32_t b, int32_t c)
{
	switch (selector) {
	case 1:
		return (uint32_t)a;
	case 2:
		return (uint32_t)b;
	case 3:
		return (uint32_t)c;
	case 4:
		return (uint32_t)(a + b - c);
	case 5:
		return (uint32_t)(a + ((b - c) >> 1));
	case 6:
		return (uint32_t)(b + ((a - c) >> 1));
	default:
		return (uint32_t)((a + b) >> 1);
	}
}

static inline void row_predict(unsigned selector, uint16_t *now, const uint16_t *above, size_t n)
{
	now[0] = (uint16_t)(now[0] + above[0]);
	for (size_t x = 1; x < n; x++)
		now[x] = (uint16_t)(now[x] + predict(selector, now[x - 1], above[x], above[x - 1]));
}

/* Differences become samples; the first row, and that behind a restart, knows nothing above. */
static void row_finish(const struct nx_jpeg *jpeg, uint16_t *now, const uint16_t *above, bool first)
{
	const size_t n = jpeg->info.columns;

	if (first) {
		now[0] = (uint16_t)(now[0] + (1u << (jpeg->info.bits - jpeg->low - 1)));
		for (size_t x = 1; x < n; x++)
			now[x] = (uint16_t)(now[x] + now[x - 1]);
		return;
	}
	switch (jpeg->start) { /* each with its predictor compiled in */
	case 1:
		row_predict(1, now, above, n);
		return;
	case 4:
		row_predict(4, now, above, n);
		return;
	case 6:
		row_predict(6, now, above, n);
		return;
	case 7:
		row_predict(7, now, above, n);
		return;
	default:
		row_predict(jpeg->start, now, above, n);
	}
}

static void row_put(const struct nx_jpeg *jpeg, const struct nx_pixel_desc *desc,
	const struct rows *rows, size_t y, uint8_t *out)
{
	const unsigned bytes = desc->bits_allocated / 8u;
	const size_t n = jpeg->info.columns, samples = desc->samples;

	for (unsigned c = 0; c < jpeg->n_scan; c++) {
		const uint16_t *from = rows->now[c];
		uint8_t *to = out + (y * n * samples + jpeg->scan[c]) * bytes;

		if (bytes == 1)
			for (size_t x = 0; x < n; x++)
				to[x * samples] = (uint8_t)(from[x] << jpeg->low);
		else if (bytes == 2)
			for (size_t x = 0; x < n; x++)
				nx_sample_put(to, 2, x * samples, (uint32_t)from[x] << jpeg->low);
		else
			for (size_t x = 0; x < n; x++)
				nx_sample_put(
					to, bytes, x * samples, (uint16_t)(from[x] << jpeg->low));
	}
}

static nx_rc scan_check(const struct nx_jpeg *jpeg, struct nx_err *err)
{
	if (jpeg->start < 1 || jpeg->start > 7 || jpeg->low >= jpeg->info.bits)
		return nx_err_set(err, NX_E_MALFORMED, "JPEG predictor %u, point transform %u",
			jpeg->start, jpeg->low);
	for (unsigned c = 1; c < jpeg->info.components; c++)
		if (jpeg->comps[c].h != jpeg->comps[0].h || jpeg->comps[c].v != jpeg->comps[0].v)
			return nx_err_set(
				err, NX_E_UNSUPPORTED, "lossless JPEG with subsampled components");
	if (jpeg->restart % jpeg->info.columns)
		return nx_err_set(err, NX_E_MALFORMED, "lossless JPEG restarts within a row");
	return NX_OK;
}

static nx_rc scan_decode(struct nx_jpeg *jpeg, const struct nx_pixel_desc *desc, struct rows *rows,
	uint8_t *out, struct nx_err *err)
{
	const uint32_t every = jpeg->restart / jpeg->info.columns;
	struct nx_jpeg_bits bits;
	nx_rc rc = scan_check(jpeg, err);

	if (rc)
		return rc;
	nx_jpeg_bits_begin(&bits, jpeg->rd);
	for (uint32_t y = 0; y < jpeg->info.rows; y++) {
		const bool restart = every && y && y % every == 0;

		if (restart && !nx_jpeg_bits_restart(&bits))
			return nx_err_set(err, NX_E_MALFORMED, "JPEG row %u does not restart", y);
		if (!row_read(jpeg, &bits, rows))
			return nx_err_set(err, NX_E_MALFORMED, "JPEG row %u has no such code", y);
		if (nx_jpeg_bits_short(&bits))
			return nx_err_set(err, NX_E_SHORT, "JPEG scan ends in row %u", y);
		for (unsigned c = 0; c < jpeg->n_scan; c++)
			row_finish(jpeg, rows->now[c], rows->above[c], restart || !y);
		row_put(jpeg, desc, rows, y, out);
		for (unsigned c = 0; c < jpeg->n_scan; c++) {
			uint16_t *swap = rows->now[c];

			rows->now[c] = rows->above[c];
			rows->above[c] = swap;
		}
	}
	jpeg->rd = nx_jpeg_bits_end(&bits);
	return NX_OK;
}

static nx_rc stream_decode(
	struct nx_jpeg *jpeg, const struct nx_pixel_desc *desc, uint8_t *out, struct nx_err *err)
{
	struct rows rows = {0};
	unsigned seen = 0;
	bool end;
	nx_rc rc = nx_jpeg_next_scan(jpeg, &end, err);

	if (!rc && !end)
		rc = nx_stream_check(&jpeg->info, desc, err);
	if (!rc && !end && (jpeg->info.bits < BITS_MIN || jpeg->info.bits > BITS_MAX))
		rc = nx_err_set(err, NX_E_MALFORMED, "JPEG of %u bits", jpeg->info.bits);
	if (rc)
		return rc;
	rows.memory = calloc((size_t)2 * NX_JPEG_COMPS * desc->columns, sizeof(*rows.memory));
	if (!rows.memory)
		return nx_err_set(err, NX_E_NOMEM, "no memory for rows");
	for (unsigned c = 0; c < NX_JPEG_COMPS; c++) {
		rows.now[c] = rows.memory + (size_t)2 * c * desc->columns;
		rows.above[c] = rows.now[c] + desc->columns;
	}
	while (!rc && !end) {
		rc = scan_decode(jpeg, desc, &rows, out, err);
		seen += jpeg->n_scan;
		if (rc || seen == desc->samples)
			break;
		rc = nx_jpeg_next_scan(jpeg, &end, err);
	}
	free(rows.memory);
	if (!rc && seen != desc->samples)
		return nx_err_set(
			err, NX_E_SHORT, "JPEG stream has scans of %u components only", seen);
	return rc;
}

nx_rc nx_jpeg_lossless_decode(const struct nx_pixel_desc *desc, struct nx_slice frame, uint8_t *out,
	unsigned *ret_bits, struct nx_err *err)
{
	NX_AUTO_MEM struct nx_jpeg *jpeg = calloc(1, sizeof(*jpeg));
	nx_rc rc;

	if (!jpeg)
		return nx_err_set(err, NX_E_NOMEM, "no memory for JPEG tables");
	jpeg->rd = nx_rd(frame);
	rc = stream_decode(jpeg, desc, out, err);
	*ret_bits = jpeg->info.bits;
	return rc;
}

/* jpeg_stream.c - markers, tables and bits of a JPEG stream (ISO/IEC 10918-1, Annexes B, C, F). */
#include "base/limits.h"
#include "pixel/jpeg_priv.h"

enum {
	MARKER_SOF15 = 0xCF,
	MARKER_DHT = 0xC4,
	MARKER_JPG = 0xC8,
	MARKER_DAC = 0xCC,
	MARKER_RST0 = 0xD0,
	MARKER_RST7 = 0xD7,
	MARKER_SOI = 0xD8,
	MARKER_EOI = 0xD9,
	MARKER_SOS = 0xDA,
	MARKER_DQT = 0xDB,
	MARKER_DRI = 0xDD,
	MARKER_TEM = 0x01,
	CODE_LENGTHS = 16
};

static nx_rc damaged(unsigned marker, struct nx_err *err)
{
	return nx_err_set(err, NX_E_MALFORMED, "JPEG segment %02X is damaged", marker);
}

/* The next marker and its segment (empty for those that have none); bytes between are skipped. */
static nx_rc segment_next(
	struct nx_rd *rd, unsigned *ret_marker, struct nx_rd *ret_segment, struct nx_err *err)
{
	struct nx_slice body = {0};
	uint16_t length = 2;
	uint8_t b = 0;

	do {
		while (b != 0xFF)
			if (!nx_rd_u8(rd, &b))
				return nx_err_set(err, NX_E_SHORT, "JPEG stream ends early");
		while (b == 0xFF)
			if (!nx_rd_u8(rd, &b))
				return nx_err_set(err, NX_E_SHORT, "JPEG stream ends early");
	} while (b == 0);
	if (b != MARKER_TEM && !(b >= MARKER_RST0 && b <= MARKER_EOI) &&
		(!nx_rd_u16be(rd, &length) || length < 2 || !nx_rd_bytes(rd, length - 2u, &body)))
		return damaged(b, err);
	*ret_marker = b;
	*ret_segment = nx_rd(body);
	return NX_OK;
}

static bool is_sof(unsigned marker)
{
	return marker >= NX_JPEG_BASELINE && marker <= MARKER_SOF15 && marker != MARKER_DHT &&
		marker != MARKER_JPG && marker != MARKER_DAC;
}

/* B.2.2 */
static nx_rc frame_header(
	struct nx_jpeg *jpeg, unsigned marker, struct nx_rd rd, struct nx_err *err)
{
	uint16_t rows, columns;
	uint8_t bits, n;

	if (jpeg->sof)
		return nx_err_set(err, NX_E_MALFORMED, "JPEG stream has two frame headers");
	if (!nx_rd_u8(&rd, &bits) || !nx_rd_u16be(&rd, &rows) || !nx_rd_u16be(&rd, &columns) ||
		!nx_rd_u8(&rd, &n) || !n || n > NX_JPEG_COMPS)
		return damaged(marker, err);
	jpeg->sof = marker;
	jpeg->info = (struct nx_stream_info){rows, columns, n, bits};
	for (unsigned i = 0; i < n; i++) {
		struct nx_jpeg_comp *c = &jpeg->comps[i];
		uint8_t factors;

		if (!nx_rd_u8(&rd, &c->id) || !nx_rd_u8(&rd, &factors) ||
			!nx_rd_u8(&rd, &c->quant) || c->quant >= NX_JPEG_TABLES)
			return damaged(marker, err);
		c->h = factors >> 4;
		c->v = factors & 15;
	}
	return NX_OK;
}

nx_rc nx_jpeg_peek(
	struct nx_slice frame, unsigned *ret_sof, struct nx_stream_info *ret, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(frame), segment;
	uint16_t rows, columns;
	unsigned marker = 0;
	uint8_t bits, n;
	nx_rc rc;

	do {
		rc = segment_next(&rd, &marker, &segment, err);
		if (rc)
			return rc;
	} while (!is_sof(marker) && marker != MARKER_SOS && marker != MARKER_EOI);
	if (!is_sof(marker))
		return nx_err_set(err, NX_E_MALFORMED, "JPEG stream has no frame header");
	if (!nx_rd_u8(&segment, &bits) || !nx_rd_u16be(&segment, &rows) ||
		!nx_rd_u16be(&segment, &columns) || !nx_rd_u8(&segment, &n))
		return damaged(marker, err);
	*ret_sof = marker;
	*ret = (struct nx_stream_info){rows, columns, n, bits};
	return NX_OK;
}

/* ---- Huffman tables ---- */

/* `size_mask` is 15 where a symbol has a run of zeros above its size (F.1.2.2.1), else all ones. */
static void fast_build(struct nx_jpeg_huff *h, unsigned size_mask)
{
	for (unsigned i = 0; i < 1u << NX_JPEG_FAST; i++) {
		const unsigned found = h->look[i >> (NX_JPEG_FAST - NX_JPEG_LOOK)];
		const unsigned symbol = found & 0xFF, more = symbol & size_mask;
		const unsigned run = symbol & ~size_mask, len = (found >> 8) + more;
		int32_t v = 0;

		h->fast[i] = 0;
		if (!found || len > NX_JPEG_FAST || (size_mask == 15 && !more))
			continue;
		if (more) {
			v = (int32_t)(i >> (NX_JPEG_FAST - len) & ((1u << more) - 1));
			v = v < 1 << (more - 1) ? v - (1 << more) + 1 : v;
		}
		h->fast[i] = len << 20 | run << 12 | (uint16_t)v;
	}
}

/* Codes of every length follow upon those of the one before (C.2); false where they are too many.
 */
static bool codes_build(struct nx_jpeg_huff *h, const uint8_t counts[CODE_LENGTHS])
{
	uint32_t code = 0, index = 0;

	memset(h->look, 0, sizeof(h->look));
	for (unsigned len = 1; len <= CODE_LENGTHS; len++) {
		const uint32_t n = counts[len - 1];

		h->base[len] = (int32_t)index - (int32_t)code;
		h->last[len] = n ? (int32_t)(code + n) - 1 : -1;
		if (code + n > 1u << len)
			return false;
		for (uint32_t i = 0; i < n && len <= NX_JPEG_LOOK; i++) {
			const unsigned spare = NX_JPEG_LOOK - len;
			uint16_t *to = &h->look[(code + i) << spare];

			for (unsigned k = 0; k < 1u << spare; k++)
				to[k] = (uint16_t)(len << 8 | h->values[index + i]);
		}
		code = (code + n) << 1;
		index += n;
	}
	h->last[CODE_LENGTHS + 1] = INT32_MAX;
	return true;
}

/* B.2.4.2 */
static nx_rc huffman_tables(struct nx_jpeg *jpeg, struct nx_rd rd, struct nx_err *err)
{
	while (rd.n) {
		uint8_t head, counts[CODE_LENGTHS];
		struct nx_jpeg_huff *h;
		size_t n = 0;

		if (!nx_rd_u8(&rd, &head) || !nx_rd_copy(&rd, counts, sizeof(counts)) ||
			head >> 4 > 1 || (head & 15) >= NX_JPEG_TABLES)
			return damaged(MARKER_DHT, err);
		h = head >> 4 ? &jpeg->ac[head & 15] : &jpeg->dc[head & 15];
		for (unsigned i = 0; i < CODE_LENGTHS; i++)
			n += counts[i];
		memset(h->values, 0, sizeof(h->values));
		if (n > sizeof(h->values) || !nx_rd_copy(&rd, h->values, n) ||
			!codes_build(h, counts))
			return damaged(MARKER_DHT, err);
		fast_build(h, head >> 4 ? 15 : 0xFF);
		h->defined = true;
	}
	return NX_OK;
}

/* B.2.4.1 */
static nx_rc quant_tables(struct nx_jpeg *jpeg, struct nx_rd rd, struct nx_err *err)
{
	while (rd.n) {
		uint8_t head, narrow = 0;

		if (!nx_rd_u8(&rd, &head) || head >> 4 > 1 || (head & 15) >= NX_JPEG_TABLES)
			return damaged(MARKER_DQT, err);
		for (unsigned i = 0; i < 64; i++) {
			uint16_t *to = &jpeg->quant[head & 15][i];

			if (head >> 4 ? !nx_rd_u16be(&rd, to) : !nx_rd_u8(&rd, &narrow))
				return damaged(MARKER_DQT, err);
			if (!(head >> 4))
				*to = narrow;
		}
	}
	return NX_OK;
}

static bool comp_find(const struct nx_jpeg *jpeg, uint8_t id, uint8_t *ret)
{
	for (uint8_t i = 0; i < jpeg->info.components; i++)
		if (jpeg->comps[i].id == id && !jpeg->comps[i].done) {
			*ret = i;
			return true;
		}
	return false;
}

/* B.2.3; every component has one scan here. */
static nx_rc scan_header(struct nx_jpeg *jpeg, struct nx_rd rd, struct nx_err *err)
{
	uint8_t n, end, approximation;

	if (!jpeg->sof || !nx_rd_u8(&rd, &n) || !n || n > jpeg->info.components)
		return damaged(MARKER_SOS, err);
	jpeg->n_scan = n;
	for (unsigned i = 0; i < n; i++) {
		uint8_t id, tables;
		struct nx_jpeg_comp *c;

		if (!nx_rd_u8(&rd, &id) || !nx_rd_u8(&rd, &tables) ||
			!comp_find(jpeg, id, &jpeg->scan[i]) || tables >> 4 >= NX_JPEG_TABLES ||
			(tables & 15) >= NX_JPEG_TABLES)
			return damaged(MARKER_SOS, err);
		c = &jpeg->comps[jpeg->scan[i]];
		c->dc = tables >> 4;
		c->ac = tables & 15;
		c->done = true;
		if (!jpeg->dc[c->dc].defined)
			return nx_err_set(err, NX_E_MALFORMED, "JPEG scan without its table");
	}
	if (!nx_rd_u8(&rd, &jpeg->start) || !nx_rd_u8(&rd, &end) || !nx_rd_u8(&rd, &approximation))
		return damaged(MARKER_SOS, err);
	jpeg->low = approximation & 15;
	return NX_OK;
}

static nx_rc segment_take(
	struct nx_jpeg *jpeg, unsigned marker, struct nx_rd segment, struct nx_err *err)
{
	uint16_t restart;

	if (is_sof(marker))
		return frame_header(jpeg, marker, segment, err);
	if (marker == MARKER_DHT)
		return huffman_tables(jpeg, segment, err);
	if (marker == MARKER_DQT)
		return quant_tables(jpeg, segment, err);
	if (marker == MARKER_DRI) {
		if (!nx_rd_u16be(&segment, &restart))
			return damaged(marker, err);
		jpeg->restart = restart;
	}
	return NX_OK; /* an APP segment, a comment, or a marker without one */
}

nx_rc nx_jpeg_next_scan(struct nx_jpeg *jpeg, bool *ret_end, struct nx_err *err)
{
	for (;;) {
		struct nx_rd segment;
		unsigned marker = 0;
		nx_rc rc = segment_next(&jpeg->rd, &marker, &segment, err);

		if (rc)
			return rc;
		*ret_end = marker == MARKER_EOI;
		if (*ret_end)
			return NX_OK;
		if (marker == MARKER_SOS)
			return scan_header(jpeg, segment, err);
		rc = segment_take(jpeg, marker, segment, err);
		if (rc)
			return rc;
	}
}

/* ---- bits ---- */

void nx_jpeg_bits_begin(struct nx_jpeg_bits *bits, struct nx_rd rd)
{
	*bits = (struct nx_jpeg_bits){.p = rd.p, .end = rd.p + rd.n};
}

void nx_jpeg_bits_fill_slow(struct nx_jpeg_bits *bits)
{
	while (bits->n <= 56) {
		uint8_t b = 0;

		if (bits->p == bits->end || (bits->p[0] == 0xFF && bits->p + 1 == bits->end) ||
			(bits->p[0] == 0xFF && bits->p[1] != 0)) {
			bits->missing += 8;
		} else {
			b = bits->p[0];
			bits->p += b == 0xFF ? 2 : 1;
		}
		bits->acc |= (uint64_t)b << (56 - bits->n);
		bits->n += 8;
	}
}

struct nx_rd nx_jpeg_bits_end(const struct nx_jpeg_bits *bits)
{
	return (struct nx_rd){bits->p, (size_t)(bits->end - bits->p)};
}

bool nx_jpeg_bits_restart(struct nx_jpeg_bits *bits)
{
	const uint8_t *p = bits->p;

	/* What was loaded and not used is padding: less than a byte. */
	if (bits->n > bits->missing + 7)
		return false;
	while (bits->end - p >= 2 && p[0] == 0xFF && p[1] == 0xFF)
		p++;
	if (bits->end - p < 2 || p[0] != 0xFF || p[1] < MARKER_RST0 || p[1] > MARKER_RST7)
		return false;
	*bits = (struct nx_jpeg_bits){.p = p + 2, .end = bits->end};
	return true;
}

int nx_jpeg_symbol_slow(struct nx_jpeg_bits *bits, const struct nx_jpeg_huff *huff)
{
	const uint32_t ahead = (uint32_t)(bits->acc >> 48);

	for (unsigned len = NX_JPEG_LOOK + 1; len <= CODE_LENGTHS; len++) {
		const int32_t code = (int32_t)(ahead >> (16 - len));

		if (huff->last[len] >= 0 && code <= huff->last[len] &&
			code + huff->base[len] >= 0) {
			nx_jpeg_bits_drop(bits, len);
			return huff->values[(code + huff->base[len]) & 0xFF];
		}
	}
	return -1;
}

/* ---- which decoder ---- */

/* What the stream is decides, whichever JPEG syntax it came under. */
static nx_rc stream_decode(const struct nx_pixel_desc *desc, struct nx_slice frame, uint8_t *out,
	unsigned *ret_bits, struct nx_err *err)
{
	struct nx_stream_info info = {0};
	unsigned sof = 0;
	nx_rc rc = nx_jpeg_peek(frame, &sof, &info, err);

	if (!rc)
		rc = nx_stream_check(&info, desc, err);
	if (rc)
		return rc;
	if (sof == NX_JPEG_LOSSLESS)
		return nx_jpeg_lossless_decode(desc, frame, out, ret_bits, err);
	if (sof <= NX_JPEG_EXTENDED && info.bits == 12)
		return nx_jpeg_dct12_decode(desc, frame, out, ret_bits, err);
	if (sof <= NX_JPEG_PROGRESSIVE && info.bits == 8)
		return nx_jpeg_turbo_decode(desc, frame, out, ret_bits, err);
	return nx_err_set(
		err, NX_E_UNSUPPORTED, "JPEG process SOF%u of %u bits", sof & 15, info.bits);
}

nx_rc nx_jpeg_decode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	unsigned bits = 0;
	nx_rc rc;

	(void)codec;
	if (desc->bits_allocated == 1 || desc->bits_allocated > 32)
		return nx_err_set(
			err, NX_E_UNSUPPORTED, "JPEG of %u bits allocated", desc->bits_allocated);
	rc = stream_decode(desc, frame, out, &bits, err);
	if (rc)
		return rc;
	if (desc->is_signed)
		nx_samples_extend(out, desc->bits_allocated / 8u, nx_frame_samples(desc), bits);
	ret_desc->planar = false;
	if (desc->photometric == NX_PHOTO_YBR_FULL_422)
		ret_desc->photometric = NX_PHOTO_YBR_FULL;
	return NX_OK;
}

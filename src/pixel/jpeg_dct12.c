/*
 * jpeg_dct12.c - JPEG extended sequential of 12 bits (ISO/IEC 10918-1 Annex F, process 4).  The
 * transform is the accurate integer one of the Independent JPEG Group with its constants for 12
 * bits, so that samples are theirs bit by bit.
 */
#include "pixel/jpeg_priv.h"

enum {
	BITS = 12,
	CENTER = 1 << (BITS - 1),
	MAX = (1 << BITS) - 1,
	/* fractional bits of the constants, and of what is between the passes */
	CONST_BITS = 13,
	PASS_BITS = 1,
	DC_SIZE_MAX = 15,
	AC_SIZE_MAX = 14
};

static const uint8_t zigzag[64] = {0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19,
	26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29,
	22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

/* Of thirteen fractional bits. */
enum {
	F_0_298631336 = 2446,
	F_0_390180644 = 3196,
	F_0_541196100 = 4433,
	F_0_765366865 = 6270,
	F_0_899976223 = 7373,
	F_1_175875602 = 9633,
	F_1_501321110 = 12299,
	F_1_847759065 = 15137,
	F_1_961570560 = 16069,
	F_2_053119869 = 16819,
	F_2_562915447 = 20995,
	F_3_072711026 = 25172
};

/*
 * Eight values to eight (C. Loeffler, A. Ligtenberg, G. Moschytz: Practical fast 1-D DCT algorithms
 * with 11 multiplications, ICASSP 1989), without the last scaling.
 */
static inline void transform(const int64_t in[8], int64_t ret[8])
{
	int64_t z1 = (in[2] + in[6]) * F_0_541196100;
	const int64_t e2 = z1 - in[6] * F_1_847759065, e3 = z1 + in[2] * F_0_765366865;
	const int64_t e0 = (in[0] + in[4]) * (1 << CONST_BITS);
	const int64_t e1 = (in[0] - in[4]) * (1 << CONST_BITS);
	const int64_t even[4] = {e0 + e3, e1 + e2, e1 - e2, e0 - e3};
	int64_t z2, z3, z4, z5, odd[4];

	z1 = in[7] + in[1];
	z2 = in[5] + in[3];
	z3 = in[7] + in[3];
	z4 = in[5] + in[1];
	z5 = (z3 + z4) * F_1_175875602;
	z1 *= -F_0_899976223;
	z2 *= -F_2_562915447;
	z3 = z3 * -F_1_961570560 + z5;
	z4 = z4 * -F_0_390180644 + z5;
	odd[3] = in[7] * F_0_298631336 + z1 + z3;
	odd[2] = in[5] * F_2_053119869 + z2 + z4;
	odd[1] = in[3] * F_3_072711026 + z2 + z3;
	odd[0] = in[1] * F_1_501321110 + z1 + z4;
	for (unsigned i = 0; i < 4; i++) {
		ret[i] = even[i] + odd[i];
		ret[7 - i] = even[i] - odd[i];
	}
}

static int64_t descale(int64_t v, unsigned bits)
{
	return (v + (1ll << (bits - 1))) >> bits;
}

static uint16_t sample(int64_t v)
{
	v += CENTER;
	return (uint16_t)(v < 0 ? 0 : v > MAX ? MAX : v);
}

/* A column, and below a row; most have a first value only, which the transform repeats. */
static void column_transform(const int32_t *column, int64_t *ret)
{
	const int32_t any = column[8] | column[16] | column[24] | column[32] | column[40] |
		column[48] | column[56];
	int64_t in[8], got[8];

	if (!any) {
		for (size_t y = 0; y < 8; y++)
			ret[8 * y] = (int64_t)column[0] * (1 << PASS_BITS);
		return;
	}
	for (size_t y = 0; y < 8; y++)
		in[y] = column[8 * y];
	transform(in, got);
	for (size_t y = 0; y < 8; y++)
		ret[8 * y] = descale(got[y], CONST_BITS - PASS_BITS);
}

static void row_transform(const int64_t in[8], uint16_t ret[8])
{
	int64_t got[8];

	if (!(in[1] | in[2] | in[3] | in[4] | in[5] | in[6] | in[7])) {
		const uint16_t v = sample(descale(in[0], PASS_BITS + 3));

		for (unsigned x = 0; x < 8; x++)
			ret[x] = v;
		return;
	}
	transform(in, got);
	for (unsigned x = 0; x < 8; x++)
		ret[x] = sample(descale(got[x], CONST_BITS + PASS_BITS + 3));
}

struct decoder {
	struct nx_jpeg jpeg;
	struct nx_jpeg_bits bits;
	int32_t dc[NX_JPEG_COMPS]; /* of the block before */
	/* The block at hand; not on the stack, where compilers clear it every time. */
	int32_t block[64];
	int64_t between[64];
	uint16_t samples[64];
};

static void block_transform(struct decoder *d, bool flat)
{
	const int32_t *block = d->block;
	uint16_t *ret = d->samples;

	if (flat) {
		const uint16_t v =
			sample(descale((int64_t)block[0] * (1 << PASS_BITS), PASS_BITS + 3));

		for (unsigned i = 0; i < 64; i++)
			ret[i] = v;
		return;
	}
	for (unsigned x = 0; x < 8; x++)
		column_transform(&block[x], &d->between[x]);
	for (size_t y = 0; y < 8; y++)
		row_transform(&d->between[8 * y], &ret[8 * y]);
}

/* Coefficients 1 to 63 (F.2.2.2), dequantized; *ret_flat where all are zero. */
static bool ac_read(struct nx_jpeg_bits *bits, const struct nx_jpeg_huff *ac, const uint16_t *quant,
	int32_t ret[64], bool *ret_flat)
{
	*ret_flat = true;
	for (unsigned k = 1; k < 64; k++) {
		uint32_t found;
		int symbol;

		nx_jpeg_bits_fill(bits);
		found = ac->fast[bits->acc >> (64 - NX_JPEG_FAST)];
		if (found) {
			nx_jpeg_bits_drop(bits, found >> 20);
			k += found >> 16 & 15;
			if (k > 63)
				return false;
			ret[zigzag[k]] = (int16_t)found * quant[k];
			*ret_flat = false;
			continue;
		}
		symbol = nx_jpeg_symbol(bits, ac);
		if (symbol < 0)
			return false;
		if (!(symbol & 15)) {
			if (symbol < 15 << 4) /* end of block */
				break;
			k += 15;
			continue;
		}
		k += (unsigned)symbol >> 4;
		symbol &= 15;
		if (k > 63 || symbol > AC_SIZE_MAX)
			return false;
		ret[zigzag[k]] = nx_jpeg_extend(bits, (unsigned)symbol) * quant[k];
		*ret_flat = false;
	}
	return true;
}

/* False for codes that are none. */
static bool block_read(struct decoder *d, unsigned c, bool *ret_flat)
{
	int32_t *ret = d->block;
	const struct nx_jpeg_comp *comp = &d->jpeg.comps[c];
	const uint16_t *quant = d->jpeg.quant[comp->quant];
	struct nx_jpeg_bits bits = d->bits; /* so that they stay in registers */
	bool good;
	int size;

	memset(ret, 0, 64 * sizeof(*ret));
	nx_jpeg_bits_fill(&bits);
	size = nx_jpeg_symbol(&bits, &d->jpeg.dc[comp->dc]);
	if (size < 0 || size > DC_SIZE_MAX)
		return false;
	if (size)
		d->dc[c] = (int16_t)(d->dc[c] + nx_jpeg_extend(&bits, (unsigned)size));
	ret[0] = d->dc[c] * quant[0];
	good = ac_read(&bits, &d->jpeg.ac[comp->ac], quant, ret, ret_flat);
	d->bits = bits;
	return good;
}

static void row16_put(const uint16_t row[8], uint8_t *out)
{
	for (unsigned x = 0; x < 8; x++)
		nx_sample_put(out, 2, x, row[x]);
}

static void block_put(const uint16_t block[64], const struct nx_pixel_desc *desc, size_t y0,
	size_t x0, unsigned c, uint8_t *out)
{
	const unsigned bytes = desc->bits_allocated / 8u;
	const size_t rows = desc->rows - y0 < 8 ? desc->rows - y0 : 8;
	const size_t columns = desc->columns - x0 < 8 ? desc->columns - x0 : 8;

	if (bytes == 2 && desc->samples == 1 && columns == 8) {
		for (size_t y = 0; y < rows; y++)
			row16_put(&block[8 * y], out + ((y0 + y) * desc->columns + x0) * 2);
		return;
	}
	for (size_t y = 0; y < rows; y++)
		for (size_t x = 0; x < columns; x++)
			nx_sample_put(out, bytes,
				((y0 + y) * desc->columns + x0 + x) * desc->samples + c,
				block[8 * y + x]);
}

static nx_rc scan_check(const struct nx_jpeg *jpeg, struct nx_err *err)
{
	for (unsigned c = 0; c < jpeg->info.components; c++)
		if (jpeg->comps[c].h != jpeg->comps[0].h || jpeg->comps[c].v != jpeg->comps[0].v)
			return nx_err_set(
				err, NX_E_UNSUPPORTED, "12-bit JPEG with subsampled components");
	for (unsigned c = 0; c < jpeg->n_scan; c++)
		if (!jpeg->ac[jpeg->comps[jpeg->scan[c]].ac].defined)
			return nx_err_set(err, NX_E_MALFORMED, "JPEG scan without its table");
	return NX_OK;
}

static nx_rc mcu_decode(struct decoder *d, const struct nx_pixel_desc *desc, size_t mcu,
	uint8_t *out, struct nx_err *err)
{
	const size_t across = (desc->columns + 7) / 8;
	bool flat;

	for (unsigned i = 0; i < d->jpeg.n_scan; i++) {
		const unsigned c = d->jpeg.scan[i];

		if (!block_read(d, c, &flat))
			return nx_err_set(err, NX_E_MALFORMED, "JPEG block %zu is damaged", mcu);
		block_transform(d, flat);
		block_put(d->samples, desc, mcu / across * 8, mcu % across * 8, c, out);
	}
	if (nx_jpeg_bits_short(&d->bits))
		return nx_err_set(err, NX_E_SHORT, "JPEG scan ends in block %zu", mcu);
	return NX_OK;
}

static nx_rc scan_decode(
	struct decoder *d, const struct nx_pixel_desc *desc, uint8_t *out, struct nx_err *err)
{
	const size_t n = (size_t)((desc->columns + 7) / 8) * ((desc->rows + 7) / 8);
	nx_rc rc = scan_check(&d->jpeg, err);

	nx_jpeg_bits_begin(&d->bits, d->jpeg.rd);
	memset(d->dc, 0, sizeof(d->dc));
	for (size_t mcu = 0; !rc && mcu < n; mcu++) {
		if (d->jpeg.restart && mcu && mcu % d->jpeg.restart == 0) {
			memset(d->dc, 0, sizeof(d->dc));
			if (!nx_jpeg_bits_restart(&d->bits))
				return nx_err_set(err, NX_E_MALFORMED,
					"JPEG block %zu does not restart", mcu);
		}
		rc = mcu_decode(d, desc, mcu, out, err);
	}
	d->jpeg.rd = nx_jpeg_bits_end(&d->bits);
	return rc;
}

nx_rc nx_jpeg_dct12_decode(const struct nx_pixel_desc *desc, struct nx_slice frame, uint8_t *out,
	unsigned *ret_bits, struct nx_err *err)
{
	NX_AUTO_MEM struct decoder *d = calloc(1, sizeof(*d));
	unsigned seen = 0;
	nx_rc rc = NX_OK;
	bool end;

	if (!d)
		return nx_err_set(err, NX_E_NOMEM, "no memory for JPEG tables");
	d->jpeg.rd = nx_rd(frame);
	while (!rc && seen < desc->samples) {
		rc = nx_jpeg_next_scan(&d->jpeg, &end, err);
		if (!rc && end)
			rc = nx_err_set(err, NX_E_SHORT,
				"JPEG stream has scans of %u components only", seen);
		if (!rc)
			rc = nx_stream_check(&d->jpeg.info, desc, err);
		if (!rc)
			rc = scan_decode(d, desc, out, err);
		seen += d->jpeg.n_scan;
	}
	*ret_bits = d->jpeg.info.bits;
	return rc;
}

/*
 * htj2k.c - writing of HTJ2K (ISO/IEC 15444-15) without loss, by OpenJPH, as PS3.5 wants it with
 * RPCL options: by resolution, the smallest one of 64 pixels at most, with the lengths of
 * tile-parts.
 */
#include "base/buf.h"
#include "base/rd.h"
#include "pixel/openjph.h"
#include "pixel/pixel_priv.h"

enum {
	SMALLEST_SIDE = 64,
	SOT = 0xFF90,
	SOT_LEN = 12, /* marker and segment */
	SOC_LEN = 2,
	EOC_LEN = 2
};

struct source {
	const struct nx_pixel_desc *desc;
	const uint8_t *pixels;
	unsigned bits;
	struct nx_buf *out;
};

static void row_get(void *payload, uint32_t y, uint32_t c, int32_t *ret)
{
	const struct source *s = payload;
	const unsigned bytes = s->desc->bits_allocated / 8u, up = 32 - s->bits;
	const size_t first = (size_t)y * s->desc->columns * s->desc->samples + c;

	for (size_t x = 0; x < s->desc->columns; x++) {
		const uint32_t v = nx_sample_get(s->pixels, bytes, first + x * s->desc->samples);

		ret[x] = s->desc->is_signed ? (int32_t)(v << up) >> up : (int32_t)v;
	}
}

static int bytes_put(void *payload, const void *p, size_t n)
{
	struct source *s = payload;

	nx_buf_put(s->out, p, n);
	return !s->out->failed;
}

static uint32_t levels(const struct nx_pixel_desc *desc)
{
	uint32_t side = desc->rows > desc->columns ? desc->rows : desc->columns, n = 0;

	for (; side > SMALLEST_SIDE; side = (side + 1) / 2)
		n++;
	return n;
}

/* Where the first SOT is, behind the main header; 0 where there is none. */
static size_t main_header_len(struct nx_slice stream)
{
	struct nx_rd rd = nx_rd(stream);
	uint16_t marker, length;

	if (!nx_rd_skip(&rd, SOC_LEN))
		return 0;
	while (nx_rd_u16be(&rd, &marker)) {
		if (marker == SOT)
			return stream.n - rd.n - 2;
		if (!nx_rd_u16be(&rd, &length) || length < 2 || !nx_rd_skip(&rd, length - 2u))
			return 0;
	}
	return 0;
}

/* The stream has one tile in one part, from SOT to EOC: its length as a TLM segment (A.7.1). */
static nx_rc tlm_insert(struct nx_slice stream, struct nx_buf *out, struct nx_err *err)
{
	static const uint8_t head[] = {0xFF, 0x55, 0, 9, 0, 0x50, 0};
	const size_t at = main_header_len(stream);

	if (!at || stream.n < at + SOT_LEN + EOC_LEN || stream.n > UINT32_MAX)
		return nx_err_set(err, NX_E_INTERNAL, "HTJ2K encoder failed");
	nx_buf_put(out, stream.p, at);
	nx_buf_put(out, head, sizeof(head));
	nx_buf_put_u32be(out, (uint32_t)(stream.n - at - EOC_LEN));
	nx_buf_put(out, stream.p + at, stream.n - at);
	return nx_buf_check(out, err);
}

static nx_rc pixels_encode(const struct nx_pixel_desc *desc, unsigned bits, struct nx_slice pixels,
	struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) stream;
	struct source source = {desc, pixels.p, bits, &stream};
	const struct nx_openjph_image image = {
		.rows = desc->rows,
		.columns = desc->columns,
		.components = desc->samples,
		.bits = bits,
		.levels = levels(desc),
		.is_signed = desc->is_signed,
		.color = desc->samples == 3 && desc->photometric == NX_PHOTO_RGB,
		.row = row_get,
		.put = bytes_put,
		.payload = &source,
	};

	nx_buf_init(&stream, out->max, 0);
	if (nx_openjph_encode(&image))
		return tlm_insert(nx_buf_slice(&stream), out, err);
	if (stream.failed)
		return nx_buf_check(&stream, err);
	return nx_err_set(err, NX_E_INTERNAL, "HTJ2K encoder failed");
}

nx_rc nx_htj2k_encode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice samples, const struct nx_pixel_params *params, struct nx_buf *out,
	struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	NX_AUTO_MEM uint8_t *owned = NULL;
	struct nx_slice pixels;
	nx_rc rc;

	(void)codec;
	(void)params;
	if (desc->bits_allocated != 8 && desc->bits_allocated != 16)
		return nx_err_set(
			err, NX_E_UNSUPPORTED, "HTJ2K of %u bits allocated", desc->bits_allocated);
	rc = nx_samples_by_pixel(desc, samples, &pixels, &owned, err);
	if (!rc)
		rc = pixels_encode(desc, nx_samples_depth(desc, samples), pixels, out, err);
	ret_desc->planar = false;
	if (desc->samples == 3 && desc->photometric == NX_PHOTO_RGB)
		ret_desc->photometric = NX_PHOTO_YBR_RCT;
	return rc;
}

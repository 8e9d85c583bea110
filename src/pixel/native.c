#include <limits.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/cast.h"
#include "pixel/color.h"
#include "pixel/pixel_priv.h"

static bool subsampled(const struct nx_pixel_desc *desc)
{
	return desc->photometric == NX_PHOTO_YBR_FULL_422 && desc->samples == 3 &&
		desc->bits_allocated == 8 && desc->columns % 2 == 0;
}

uint64_t nx_pixel_native_bits(const struct nx_pixel_desc *desc)
{
	const uint64_t bits = (uint64_t)nx_frame_samples(desc) * desc->bits_allocated;

	return subsampled(desc) ? bits / 3 * 2 : bits;
}

static nx_rc bits_copy(const struct nx_pixel_desc *desc, struct nx_slice data, uint64_t first,
	struct nx_buf *out, struct nx_err *err)
{
	const size_t n = nx_frame_samples(desc);
	uint8_t *to = nx_buf_reserve(out, (n + 7) / 8);

	if (!to)
		return nx_buf_check(out, err);
	memset(to, 0, (n + 7) / 8);
	for (size_t i = 0; i < n; i++) {
		const uint64_t at = first + i;

		to[i / 8] = (uint8_t)(to[i / 8] | (data.p[at / 8] >> at % 8 & 1) << i % 8);
	}
	out->len += (n + 7) / 8;
	return NX_OK;
}

nx_rc nx_pixel_native_frame(const struct nx_pixel_desc *desc, struct nx_slice data, uint32_t index,
	struct nx_buf *out, struct nx_err *err)
{
	const uint64_t bits = nx_pixel_native_bits(desc);
	const uint64_t first = bits * index;

	if (bits > (uint64_t)data.n * 8 || first > (uint64_t)data.n * 8 - bits)
		return nx_err_set(err, NX_E_SHORT, "pixel data of %zu bytes end before frame %u",
			data.n, index + 1);
	if (desc->bits_allocated == 1)
		return bits_copy(desc, data, first, out, err);
	nx_buf_put(out, data.p + first / 8, (size_t)(bits / 8));
	return nx_buf_check(out, err);
}

/* Every sample's bytes the other way round; 8-bit samples are swapped within words of VR OW. */
static void swap(uint8_t *p, size_t n, unsigned bytes)
{
	for (size_t at = 0; at + bytes <= n; at += bytes)
		for (unsigned b = 0; b < bytes / 2; b++) {
			const uint8_t keep = p[at + b];

			p[at + b] = p[at + bytes - 1 - b];
			p[at + bytes - 1 - b] = keep;
		}
}

nx_rc nx_native_decode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	const uint64_t need = (nx_pixel_native_bits(desc) + 7) / 8;
	const unsigned word = desc->bits_allocated > 8 ? desc->bits_allocated / 8u : 2;

	if (frame.n < need)
		return nx_err_set(err, NX_E_SHORT, "native frame of %zu bytes instead of %llu",
			frame.n, (unsigned long long)need);
	ret_desc->planar = desc->planar;
	if (subsampled(desc)) {
		nx_color_422_expand(frame.p, nx_frame_pixels(desc), out);
		ret_desc->photometric = NX_PHOTO_YBR_FULL;
		ret_desc->planar = false;
		return NX_OK;
	}
	memcpy(out, frame.p, (size_t)need);
	if (codec->flags & NX_PIXEL_BIG_ENDIAN && (desc->bits_allocated > 8 || desc->words)) {
		swap(out, (size_t)need, word);
		if (need % word) /* the last byte's other half is outside */
			out[need - 1] = frame.n > need ? frame.p[need] : 0;
	}
	return NX_OK;
}

nx_rc nx_native_encode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice samples, const struct nx_pixel_params *params, struct nx_buf *out,
	struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	(void)codec;
	(void)params;
	if (desc->photometric == NX_PHOTO_YBR_FULL_422)
		ret_desc->photometric = NX_PHOTO_YBR_FULL;
	nx_buf_put_slice(out, samples);
	return nx_buf_check(out, err);
}

/* A frame is one raw deflate stream (RFC 1951). */
nx_rc nx_inflate_decode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	const size_t need = nx_pixel_frame_len(desc);
	z_stream z = {0};
	int rc;

	(void)codec;
	if (frame.n > UINT_MAX)
		return nx_err_set(err, NX_E_LIMIT, "deflated frame of %zu bytes", frame.n);
	if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
		return nx_err_set(err, NX_E_NOMEM, "no memory to inflate a frame");
	z.next_in = nx_unconst(frame.p);
	z.avail_in = (uInt)frame.n;
	z.next_out = out;
	z.avail_out = (uInt)need;
	rc = inflate(&z, Z_FINISH);
	(void)inflateEnd(&z);
	if (rc != Z_STREAM_END && rc != Z_BUF_ERROR)
		return nx_err_set(err, NX_E_MALFORMED, "deflated frame is damaged");
	if (z.avail_out)
		return nx_err_set(err, NX_E_SHORT, "deflated frame has %zu bytes instead of %zu",
			need - z.avail_out, need);
	ret_desc->planar = desc->planar;
	return NX_OK;
}

nx_rc nx_inflate_encode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice samples, const struct nx_pixel_params *params, struct nx_buf *out,
	struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	z_stream z = {0};
	uint8_t *to;
	uLong room;
	int rc;

	(void)codec;
	(void)desc;
	(void)params;
	(void)ret_desc;
	if (deflateInit2(&z, 6, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY) != Z_OK)
		return nx_err_set(err, NX_E_NOMEM, "no memory to deflate a frame");
	room = deflateBound(&z, (uLong)samples.n);
	to = nx_buf_reserve(out, room);
	z.next_in = nx_unconst(samples.p);
	z.avail_in = (uInt)samples.n;
	z.next_out = to;
	z.avail_out = (uInt)room;
	rc = to ? deflate(&z, Z_FINISH) : Z_MEM_ERROR;
	if (rc == Z_STREAM_END)
		out->len += room - z.avail_out;
	(void)deflateEnd(&z);
	if (!to)
		return nx_buf_check(out, err);
	return rc == Z_STREAM_END ? NX_OK : nx_err_set(err, NX_E_INTERNAL, "deflate failed");
}

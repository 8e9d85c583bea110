/*
 * pixel_priv.h - what the codecs share.
 *
 * Layer:   1 (pixel).
 * Threads: calls share nothing.
 */
#ifndef NX_PIXEL_PIXEL_PRIV_H
#define NX_PIXEL_PIXEL_PRIV_H

#include "pixel/pixel.h"

nx_rc nx_native_decode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err);
nx_rc nx_native_encode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice samples, const struct nx_pixel_params *params, struct nx_buf *out,
	struct nx_pixel_desc *ret_desc, struct nx_err *err);
nx_rc nx_inflate_decode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err);
nx_rc nx_inflate_encode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice samples, const struct nx_pixel_params *params, struct nx_buf *out,
	struct nx_pixel_desc *ret_desc, struct nx_err *err);
nx_rc nx_rle_decode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err);
nx_rc nx_rle_encode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice samples, const struct nx_pixel_params *params, struct nx_buf *out,
	struct nx_pixel_desc *ret_desc, struct nx_err *err);
nx_rc nx_jpeg_decode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err);
nx_rc nx_jpeg_encode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice samples, const struct nx_pixel_params *params, struct nx_buf *out,
	struct nx_pixel_desc *ret_desc, struct nx_err *err);
nx_rc nx_jls_decode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err);
nx_rc nx_jls_encode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice samples, const struct nx_pixel_params *params, struct nx_buf *out,
	struct nx_pixel_desc *ret_desc, struct nx_err *err);
nx_rc nx_j2k_decode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err);
nx_rc nx_j2k_encode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice samples, const struct nx_pixel_params *params, struct nx_buf *out,
	struct nx_pixel_desc *ret_desc, struct nx_err *err);

nx_rc nx_htj2k_encode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice samples, const struct nx_pixel_params *params, struct nx_buf *out,
	struct nx_pixel_desc *ret_desc, struct nx_err *err);

/* What a codestream says of itself. */
struct nx_stream_info {
	uint32_t rows;
	uint32_t columns;
	uint32_t components;
	uint32_t bits;
};

/* It must be what the data set says; NX_E_MALFORMED names the numbers. */
NX_NODISCARD nx_rc nx_stream_check(
	const struct nx_stream_info *info, const struct nx_pixel_desc *desc, struct nx_err *err);

/* Pixels of a frame, and samples. */
static inline size_t nx_frame_pixels(const struct nx_pixel_desc *desc)
{
	return (size_t)desc->rows * desc->columns;
}

static inline size_t nx_frame_samples(const struct nx_pixel_desc *desc)
{
	return nx_frame_pixels(desc) * desc->samples;
}

/* Sample `i` of little-endian data of 1, 2 or 4 bytes a sample. */
static inline uint32_t nx_sample_get(const uint8_t *p, unsigned bytes, size_t i)
{
	p += i * bytes;
	if (bytes == 1)
		return p[0];
	if (bytes == 2)
		return (uint32_t)p[0] | (uint32_t)p[1] << 8;
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void nx_sample_put(uint8_t *p, unsigned bytes, size_t i, uint32_t v)
{
	p += i * bytes;
	for (unsigned b = 0; b < bytes; b++)
		p[b] = (uint8_t)(v >> (8 * b));
}

/* `n` samples whose codestream had `bits` bits: the sign goes through the bits above. */
void nx_samples_extend(uint8_t *samples, unsigned bytes, size_t n, unsigned bits);

/* Bits a codestream needs to keep every bit of the samples: bits_stored where the others are only
 * zeros, or copies of the sign; bits_allocated otherwise. */
unsigned nx_samples_depth(const struct nx_pixel_desc *desc, struct nx_slice samples);

/* `samples` as color-by-pixel: themselves, or a copy that *ret_owned holds (free() it). */
NX_NODISCARD nx_rc nx_samples_by_pixel(const struct nx_pixel_desc *desc, struct nx_slice samples,
	struct nx_slice *ret, uint8_t **ret_owned, struct nx_err *err);

/* One-bit samples: a byte for each, and back. */
void nx_bits_unpack(const uint8_t *bits, size_t n, uint8_t *ret_bytes);
void nx_bits_pack(const uint8_t *bytes, size_t n, uint8_t *ret_bits);

#endif

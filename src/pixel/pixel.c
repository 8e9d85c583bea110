#include "pixel/pixel.h"

#include "base/buf.h"
#include "base/limits.h"
#include "pixel/color.h"
#include "pixel/pixel_priv.h"

static const char *const terms[] = {
	[NX_PHOTO_UNKNOWN] = "",
	[NX_PHOTO_MONOCHROME1] = "MONOCHROME1",
	[NX_PHOTO_MONOCHROME2] = "MONOCHROME2",
	[NX_PHOTO_PALETTE] = "PALETTE COLOR",
	[NX_PHOTO_RGB] = "RGB",
	[NX_PHOTO_YBR_FULL] = "YBR_FULL",
	[NX_PHOTO_YBR_FULL_422] = "YBR_FULL_422",
	[NX_PHOTO_YBR_PARTIAL_420] = "YBR_PARTIAL_420",
	[NX_PHOTO_YBR_ICT] = "YBR_ICT",
	[NX_PHOTO_YBR_RCT] = "YBR_RCT",
};

enum nx_photometric nx_photometric_parse(struct nx_slice term)
{
	while (term.n && (term.p[term.n - 1] == ' ' || term.p[term.n - 1] == 0))
		term.n--;
	for (unsigned i = 1; i < NX_ARRAY_LEN(terms); i++)
		if (nx_slice_eq(term, nx_slice_str(terms[i])))
			return (enum nx_photometric)i;
	return NX_PHOTO_UNKNOWN;
}

const char *nx_photometric_term(enum nx_photometric photometric)
{
	return terms[photometric];
}

static bool depth_known(unsigned bits)
{
	return bits == 1 || bits == 8 || bits == 16 || bits == 32 || bits == 64;
}

nx_rc nx_pixel_desc_check(const struct nx_pixel_desc *desc, struct nx_err *err)
{
	if (!desc->rows || !desc->columns || desc->rows > UINT16_MAX || desc->columns > UINT16_MAX)
		return nx_err_set(err, NX_E_MALFORMED, "image of %u rows and %u columns",
			desc->rows, desc->columns);
	if (!desc->samples || desc->samples > 4)
		return nx_err_set(
			err, NX_E_MALFORMED, "image of %u samples per pixel", desc->samples);
	if (!depth_known(desc->bits_allocated))
		return nx_err_set(
			err, NX_E_UNSUPPORTED, "image of %u bits allocated", desc->bits_allocated);
	if (!desc->bits_stored || desc->bits_stored > desc->bits_allocated)
		return nx_err_set(err, NX_E_MALFORMED, "image of %u bits stored in %u",
			desc->bits_stored, desc->bits_allocated);
	if (desc->frames > NX_LIMIT_PIXEL_FRAMES)
		return nx_err_set(err, NX_E_LIMIT, "image of %u frames; the limit is %u",
			desc->frames, NX_LIMIT_PIXEL_FRAMES);
	/* at most 2^16 * 2^16 * 4 * 8 */
	if ((uint64_t)desc->rows * desc->columns * desc->samples * desc->bits_allocated / 8 >
		NX_LIMIT_PIXEL_FRAME)
		return nx_err_set(err, NX_E_LIMIT, "frame of more than %llu bytes",
			(unsigned long long)NX_LIMIT_PIXEL_FRAME);
	return NX_OK;
}

size_t nx_pixel_frame_len(const struct nx_pixel_desc *desc)
{
	return (nx_frame_samples(desc) * desc->bits_allocated + 7) / 8;
}

nx_rc nx_stream_check(
	const struct nx_stream_info *info, const struct nx_pixel_desc *desc, struct nx_err *err)
{
	if (info->rows != desc->rows || info->columns != desc->columns)
		return nx_err_set(err, NX_E_MALFORMED,
			"codestream of %u rows and %u columns in an image of %u and %u", info->rows,
			info->columns, desc->rows, desc->columns);
	if (info->components != desc->samples)
		return nx_err_set(err, NX_E_MALFORMED,
			"codestream of %u components in an image of %u samples per pixel",
			info->components, desc->samples);
	if (!info->bits || info->bits > desc->bits_allocated)
		return nx_err_set(err, NX_E_MALFORMED,
			"codestream of %u bits in an image of %u bits allocated", info->bits,
			desc->bits_allocated);
	return NX_OK;
}

void nx_samples_extend(uint8_t *samples, unsigned bytes, size_t n, unsigned bits)
{
	const uint32_t sign = 1u << (bits - 1);
	const uint32_t above = ~(sign | (sign - 1));

	if (bits >= 8 * bytes)
		return;
	for (size_t i = 0; i < n; i++) {
		const uint32_t v = nx_sample_get(samples, bytes, i);

		nx_sample_put(samples, bytes, i, v & sign ? v | above : v & ~above);
	}
}

unsigned nx_samples_depth(const struct nx_pixel_desc *desc, struct nx_slice samples)
{
	const unsigned bytes = desc->bits_allocated / 8u;
	const uint32_t all = bytes < 4 ? (1u << (8 * bytes)) - 1 : UINT32_MAX;
	const uint32_t low = desc->bits_stored < 32 ? (1u << desc->bits_stored) - 1 : UINT32_MAX;
	const uint32_t sign = desc->is_signed ? 1u << (desc->bits_stored - 1) : 0;
	const uint32_t above = all & ~low;

	for (size_t i = 0, n = above ? samples.n / bytes : 0; i < n; i++) {
		const uint32_t v = nx_sample_get(samples.p, bytes, i);

		if ((v & above) != (v & sign ? above : 0))
			return desc->bits_allocated;
	}
	return desc->bits_stored;
}

nx_rc nx_samples_by_pixel(const struct nx_pixel_desc *desc, struct nx_slice samples,
	struct nx_slice *ret, uint8_t **ret_owned, struct nx_err *err)
{
	*ret_owned = NULL;
	*ret = samples;
	if (!desc->planar || desc->samples == 1 || desc->bits_allocated == 1)
		return NX_OK;
	*ret_owned = malloc(samples.n);
	if (!*ret_owned)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a frame by pixel");
	nx_color_interleave(samples.p, nx_frame_pixels(desc), desc->samples,
		desc->bits_allocated / 8u, *ret_owned);
	*ret = nx_slice(*ret_owned, samples.n);
	return NX_OK;
}

void nx_bits_unpack(const uint8_t *bits, size_t n, uint8_t *ret_bytes)
{
	for (size_t i = 0; i < n; i++)
		ret_bytes[i] = bits[i / 8] >> i % 8 & 1;
}

void nx_bits_pack(const uint8_t *bytes, size_t n, uint8_t *ret_bits)
{
	memset(ret_bits, 0, (n + 7) / 8);
	for (size_t i = 0; i < n; i++)
		if (bytes[i])
			ret_bits[i / 8] = (uint8_t)(ret_bits[i / 8] | 1u << i % 8);
}

static nx_rc by_pixel(struct nx_pixel_desc *desc, uint8_t *samples, struct nx_err *err)
{
	NX_AUTO_MEM uint8_t *owned = NULL;
	struct nx_slice ordered;
	const size_t len = nx_pixel_frame_len(desc);
	nx_rc rc = nx_samples_by_pixel(desc, nx_slice(samples, len), &ordered, &owned, err);

	if (!rc && owned)
		memcpy(samples, ordered.p, len);
	if (!rc)
		desc->planar = false;
	return rc;
}

nx_rc nx_pixel_decode(const struct nx_pixel_codec *codec, const struct nx_pixel_frame *frame,
	uint8_t *out, size_t cap, struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	const struct nx_pixel_desc *desc = frame->desc;
	const unsigned flags = frame->flags;
	struct nx_pixel_desc got = *desc;
	nx_rc rc = nx_pixel_desc_check(desc, err);

	if (rc)
		return rc;
	if (!codec->decode)
		return nx_err_set(err, NX_E_UNSUPPORTED, "%s is not decoded", codec->name);
	if (cap < nx_pixel_frame_len(desc))
		return nx_err_set(err, NX_E_INVAL, "room of %zu bytes for a frame of %zu", cap,
			nx_pixel_frame_len(desc));
	rc = codec->decode(codec, desc, frame->bytes, out, &got, err);
	if (!rc && flags & (NX_PIXEL_INTERLEAVED | NX_PIXEL_RGB))
		rc = by_pixel(&got, out, err);
	if (rc)
		return rc;
	if (flags & NX_PIXEL_RGB && got.photometric == NX_PHOTO_YBR_FULL && got.samples == 3 &&
		got.bits_allocated == 8) {
		nx_color_ybr_to_rgb(out, nx_frame_pixels(&got));
		got.photometric = NX_PHOTO_RGB;
	}
	*ret_desc = got;
	return NX_OK;
}

nx_rc nx_pixel_encode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice samples, const struct nx_pixel_params *params, struct nx_buf *out,
	struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	static const struct nx_pixel_params defaults = {0};
	struct nx_pixel_desc got = *desc;
	nx_rc rc = nx_pixel_desc_check(desc, err);

	if (rc)
		return rc;
	if (!codec->encode)
		return nx_err_set(err, NX_E_UNSUPPORTED, "%s is not encoded", codec->name);
	if (samples.n != nx_pixel_frame_len(desc))
		return nx_err_set(err, NX_E_INVAL, "frame of %zu bytes instead of %zu", samples.n,
			nx_pixel_frame_len(desc));
	rc = codec->encode(codec, desc, samples, params ? params : &defaults, out, &got, err);
	if (!rc)
		rc = nx_buf_check(out, err);
	if (!rc)
		*ret_desc = got;
	return rc;
}

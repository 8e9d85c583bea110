/* jls.c - JPEG-LS (ISO/IEC 14495-1), by CharLS. */
#include <charls/charls.h>

#include "base/buf.h"
#include "pixel/color.h"
#include "pixel/pixel_priv.h"

enum {
	NEAR_DEFAULT = 2,
	NEAR_MAX = 255
};

static nx_rc failed(charls_jpegls_errc code, struct nx_err *err)
{
	if (code == CHARLS_JPEGLS_ERRC_NOT_ENOUGH_MEMORY)
		return nx_err_set(err, NX_E_NOMEM, "no memory for JPEG-LS");
	if (code == CHARLS_JPEGLS_ERRC_SOURCE_BUFFER_TOO_SMALL)
		return nx_err_set(err, NX_E_SHORT, "JPEG-LS stream ends early");
	return nx_err_set(err, NX_E_MALFORMED, "JPEG-LS stream is damaged (%d)", (int)code);
}

static nx_rc header_read(charls_jpegls_decoder *decoder, struct nx_slice frame,
	const struct nx_pixel_desc *desc, charls_frame_info *ret_info,
	charls_interleave_mode *ret_mode, struct nx_err *err)
{
	struct nx_stream_info info;
	charls_jpegls_errc code =
		charls_jpegls_decoder_set_source_buffer(decoder, frame.p, frame.n);

	if (!code)
		code = charls_jpegls_decoder_read_header(decoder);
	if (!code)
		code = charls_jpegls_decoder_get_frame_info(decoder, ret_info);
	if (!code)
		code = charls_jpegls_decoder_get_interleave_mode(decoder, ret_mode);
	if (code)
		return failed(code, err);
	info = (struct nx_stream_info){ret_info->height, ret_info->width,
		(uint32_t)ret_info->component_count, (uint32_t)ret_info->bits_per_sample};
	return nx_stream_check(&info, desc, err);
}

/* The codestream's samples have one byte or two, the image's perhaps more; planes become pixels. */
static nx_rc samples_place(uint8_t *out, const struct nx_pixel_desc *desc, unsigned bytes,
	bool planes, struct nx_err *err)
{
	const unsigned want = desc->bits_allocated / 8u;
	const size_t n = nx_frame_samples(desc);

	if (planes && desc->samples > 1) {
		NX_AUTO_MEM uint8_t *copy = malloc(n * bytes);

		if (!copy)
			return nx_err_set(err, NX_E_NOMEM, "no memory for planes");
		memcpy(copy, out, n * bytes);
		nx_color_interleave(copy, nx_frame_pixels(desc), desc->samples, bytes, out);
	}
	if (want > bytes)
		for (size_t i = n; i-- > 0;)
			nx_sample_put(out, want, i, nx_sample_get(out, bytes, i));
	return NX_OK;
}

/* The stream up to and with EOI, without what makes its length even; empty where it has no end. */
static struct nx_slice stream_trim(struct nx_slice frame)
{
	while (frame.n && (frame.p[frame.n - 1] == 0 || frame.p[frame.n - 1] == 0xFF))
		frame.n--;
	if (frame.n < 2 || frame.p[frame.n - 2] != 0xFF || frame.p[frame.n - 1] != 0xD9)
		return nx_slice(NULL, 0);
	return frame;
}

/* Some writers have a zero between the scan and EOI: the samples were all there before it. */
static bool only_padded(charls_jpegls_errc code, bool one_scan, struct nx_slice frame)
{
	return code == CHARLS_JPEGLS_ERRC_JPEG_MARKER_START_BYTE_NOT_FOUND && one_scan &&
		frame.n > 2 && frame.p[frame.n - 3] == 0;
}

static nx_rc decode_with(charls_jpegls_decoder *decoder, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, unsigned *ret_bits, struct nx_err *err)
{
	charls_frame_info info = {0};
	charls_interleave_mode mode = CHARLS_INTERLEAVE_MODE_NONE;
	charls_jpegls_errc code;
	unsigned bytes;
	nx_rc rc = header_read(decoder, frame, desc, &info, &mode, err);

	if (rc)
		return rc;
	bytes = info.bits_per_sample > 8 ? 2 : 1;
	code = charls_jpegls_decoder_decode_to_buffer(
		decoder, out, nx_frame_samples(desc) * bytes, 0);
	if (code &&
		!only_padded(
			code, mode != CHARLS_INTERLEAVE_MODE_NONE || desc->samples == 1, frame))
		return failed(code, err);
	*ret_bits = (unsigned)info.bits_per_sample;
	return samples_place(out, desc, bytes, mode == CHARLS_INTERLEAVE_MODE_NONE, err);
}

nx_rc nx_jls_decode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	charls_jpegls_decoder *decoder;
	unsigned bits = 0;
	nx_rc rc;

	(void)codec;
	if (desc->bits_allocated == 1 || desc->bits_allocated > 32)
		return nx_err_set(err, NX_E_UNSUPPORTED, "JPEG-LS of %u bits allocated",
			desc->bits_allocated);
	frame = stream_trim(frame); /* the library does not come back from one that just stops */
	if (!frame.n)
		return nx_err_set(err, NX_E_SHORT, "JPEG-LS stream has no end");
	decoder = charls_jpegls_decoder_create();
	if (!decoder)
		return nx_err_set(err, NX_E_NOMEM, "no memory for JPEG-LS");
	rc = decode_with(decoder, desc, frame, out, &bits, err);
	charls_jpegls_decoder_destroy(decoder);
	if (rc)
		return rc;
	if (desc->is_signed)
		nx_samples_extend(out, desc->bits_allocated / 8u, nx_frame_samples(desc), bits);
	ret_desc->planar = false;
	return NX_OK;
}

/* Bits above the codestream's depth are copies of the sign: the library wants zeros. */
static void bits_mask(uint8_t *samples, size_t n, unsigned bytes, unsigned bits)
{
	for (size_t i = 0; i < n; i++)
		nx_sample_put(
			samples, bytes, i, nx_sample_get(samples, bytes, i) & ((1u << bits) - 1));
}

static charls_jpegls_errc encode_with(charls_jpegls_encoder *encoder, const charls_frame_info *info,
	int near, struct nx_slice pixels, struct nx_buf *out)
{
	size_t room = 0, n = 0;
	uint8_t *to;
	charls_jpegls_errc code = charls_jpegls_encoder_set_frame_info(encoder, info);

	if (!code)
		code = charls_jpegls_encoder_set_near_lossless(encoder, near);
	if (!code && info->component_count > 1)
		code = charls_jpegls_encoder_set_interleave_mode(
			encoder, CHARLS_INTERLEAVE_MODE_SAMPLE);
	if (!code)
		code = charls_jpegls_encoder_get_estimated_destination_size(encoder, &room);
	if (code)
		return code;
	room += room / 2; /* noise grows by a few per cent */
	to = nx_buf_reserve(out, room);
	if (!to)
		return CHARLS_JPEGLS_ERRC_NOT_ENOUGH_MEMORY;
	code = charls_jpegls_encoder_set_destination_buffer(encoder, to, room);
	if (!code)
		code = charls_jpegls_encoder_encode_from_buffer(encoder, pixels.p, pixels.n, 0);
	if (!code)
		code = charls_jpegls_encoder_get_bytes_written(encoder, &n);
	out->len += n;
	return code;
}

nx_rc nx_jls_encode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice samples, const struct nx_pixel_params *params, struct nx_buf *out,
	struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	const unsigned near = params->near ? params->near : NEAR_DEFAULT;
	NX_AUTO_MEM uint8_t *owned = NULL;
	struct nx_slice pixels;
	charls_jpegls_encoder *encoder;
	charls_frame_info info;
	charls_jpegls_errc code;
	unsigned bits;
	nx_rc rc;

	if ((desc->bits_allocated != 8 && desc->bits_allocated != 16) || near > NEAR_MAX ||
		desc->samples == 2)
		return nx_err_set(err, NX_E_UNSUPPORTED, "JPEG-LS of %u samples of %u bits",
			desc->samples, desc->bits_allocated);
	bits = nx_samples_depth(desc, samples);
	if (bits < 2 || (bits <= 8 && desc->bits_allocated == 16))
		bits = desc->bits_allocated; /* the library takes 2 to 16, and one byte up to 8 */
	rc = nx_samples_by_pixel(desc, samples, &pixels, &owned, err);
	if (!rc && bits < desc->bits_allocated && desc->is_signed) {
		if (!owned)
			owned = malloc(samples.n);
		if (!owned)
			return nx_err_set(err, NX_E_NOMEM, "no memory for a frame");
		if (owned != pixels.p)
			memcpy(owned, pixels.p, pixels.n);
		bits_mask(owned, nx_frame_samples(desc), desc->bits_allocated / 8u, bits);
		pixels.p = owned;
	}
	if (rc)
		return rc;
	encoder = charls_jpegls_encoder_create();
	if (!encoder)
		return nx_err_set(err, NX_E_NOMEM, "no memory for JPEG-LS");
	info = (charls_frame_info){
		desc->columns, desc->rows, (int32_t)bits, (int32_t)desc->samples};
	code = encode_with(
		encoder, &info, codec->flags & NX_PIXEL_LOSSY ? (int)near : 0, pixels, out);
	charls_jpegls_encoder_destroy(encoder);
	ret_desc->planar = false;
	return code ? failed(code, err) : NX_OK;
}

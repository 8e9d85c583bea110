/* j2k.c - JPEG 2000 and the reading of HTJ2K (ISO/IEC 15444-1, -15), by OpenJPEG. */
#include <openjpeg.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/rd.h"
#include "pixel/pixel_priv.h"

enum {
	RATIO_DEFAULT = 10,
	LEVELS_MAX = 5,
	SMALLEST_SIDE = 32 /* of the smallest resolution */
};

/* ---- streams in memory ---- */

struct source {
	struct nx_slice data;
	size_t at;
};

static OPJ_SIZE_T source_read(void *to, OPJ_SIZE_T n, void *payload)
{
	struct source *s = payload;

	if (s->at >= s->data.n)
		return (OPJ_SIZE_T)-1;
	n = n < s->data.n - s->at ? n : s->data.n - s->at;
	memcpy(to, s->data.p + s->at, n);
	s->at += n;
	return n;
}

static OPJ_OFF_T source_skip(OPJ_OFF_T n, void *payload)
{
	struct source *s = payload;

	if (n < 0)
		return -1;
	s->at = (uint64_t)n < s->data.n - s->at ? s->at + (size_t)n : s->data.n;
	return n;
}

static OPJ_BOOL source_seek(OPJ_OFF_T at, void *payload)
{
	struct source *s = payload;

	if (at < 0 || (uint64_t)at > s->data.n)
		return OPJ_FALSE;
	s->at = (size_t)at;
	return OPJ_TRUE;
}

struct sink {
	struct nx_buf *out;
	size_t start;
	size_t at; /* from start */
};

static OPJ_SIZE_T sink_write(void *from, OPJ_SIZE_T n, void *payload)
{
	struct sink *s = payload;
	const size_t end = s->at + n, have = s->out->len - s->start;

	if (end > have)
		nx_buf_put_zero(s->out, end - have);
	if (s->out->failed)
		return (OPJ_SIZE_T)-1;
	memcpy(s->out->data + s->start + s->at, from, n);
	s->at = end;
	return n;
}

static OPJ_OFF_T sink_skip(OPJ_OFF_T n, void *payload)
{
	struct sink *s = payload;

	if (n < 0)
		return -1;
	s->at += (size_t)n;
	return n;
}

static OPJ_BOOL sink_seek(OPJ_OFF_T at, void *payload)
{
	struct sink *s = payload;

	if (at < 0)
		return OPJ_FALSE;
	s->at = (size_t)at;
	return OPJ_TRUE;
}

/* The library's texts are not for anyone; without a handler it is silent. */
static opj_stream_t *source_stream(struct source *s)
{
	opj_stream_t *stream = opj_stream_create(64u * NX_KIB, OPJ_TRUE);

	if (!stream)
		return NULL;
	opj_stream_set_read_function(stream, source_read);
	opj_stream_set_skip_function(stream, source_skip);
	opj_stream_set_seek_function(stream, source_seek);
	opj_stream_set_user_data(stream, s, NULL);
	opj_stream_set_user_data_length(stream, s->data.n);
	return stream;
}

static opj_stream_t *sink_stream(struct sink *s)
{
	opj_stream_t *stream = opj_stream_create(64u * NX_KIB, OPJ_FALSE);

	if (!stream)
		return NULL;
	opj_stream_set_write_function(stream, sink_write);
	opj_stream_set_skip_function(stream, sink_skip);
	opj_stream_set_seek_function(stream, sink_seek);
	opj_stream_set_user_data(stream, s, NULL);
	return stream;
}

/* ---- decoding ---- */

/* DICOM has bare codestreams (PS3.5 A.4.4); some writers put the file format around. */
static bool boxed(struct nx_slice frame)
{
	static const uint8_t signature[] = {0, 0, 0, 12, 'j', 'P', ' ', ' '};

	return frame.n > sizeof(signature) && memcmp(frame.p, signature, sizeof(signature)) == 0;
}

static nx_rc image_check(
	const opj_image_t *image, const struct nx_pixel_desc *desc, struct nx_err *err)
{
	struct nx_stream_info info = {
		image->y1 - image->y0, image->x1 - image->x0, image->numcomps, 0};

	for (uint32_t c = 0; c < image->numcomps; c++) {
		const opj_image_comp_t *comp = &image->comps[c];

		if (comp->dx != 1 || comp->dy != 1)
			return nx_err_set(
				err, NX_E_UNSUPPORTED, "JPEG 2000 component %u is subsampled", c);
		info.bits = comp->prec > info.bits ? comp->prec : info.bits;
	}
	return nx_stream_check(&info, desc, err);
}

static nx_rc components_check(
	const opj_image_t *image, const struct nx_pixel_desc *desc, struct nx_err *err)
{
	for (uint32_t c = 0; c < image->numcomps; c++) {
		const opj_image_comp_t *comp = &image->comps[c];

		if (!comp->data || comp->w != desc->columns || comp->h != desc->rows)
			return nx_err_set(
				err, NX_E_MALFORMED, "JPEG 2000 component %u is not all there", c);
	}
	return NX_OK;
}

/* The data set says what a sample means: one that the codestream has without a sign gets its own
 * from the top bit. */
static void component_put(const opj_image_comp_t *comp, const struct nx_pixel_desc *desc,
	unsigned c, unsigned bytes, uint8_t *out)
{
	const size_t n = nx_frame_pixels(desc), step = desc->samples;
	const unsigned up = desc->is_signed && !comp->sgnd ? 32 - comp->prec : 0;

	if (bytes == 1)
		for (size_t i = 0; i < n; i++)
			out[i * step + c] =
				(uint8_t)((int32_t)((uint32_t)comp->data[i] << up) >> up);
	else
		for (size_t i = 0; i < n; i++)
			nx_sample_put(out, bytes, i * step + c,
				(uint32_t)((int32_t)((uint32_t)comp->data[i] << up) >> up));
}

static nx_rc image_put(const opj_image_t *image, const struct nx_pixel_desc *desc, uint8_t *out,
	struct nx_err *err)
{
	NX_AUTO_MEM uint8_t *bytes = NULL;

	if (desc->bits_allocated != 1) {
		for (uint32_t c = 0; c < image->numcomps; c++)
			component_put(&image->comps[c], desc, c, desc->bits_allocated / 8u, out);
		return NX_OK;
	}
	bytes = malloc(nx_frame_samples(desc));
	if (!bytes)
		return nx_err_set(err, NX_E_NOMEM, "no memory for one-bit samples");
	for (uint32_t c = 0; c < image->numcomps; c++)
		component_put(&image->comps[c], desc, c, 1, bytes);
	nx_bits_pack(bytes, nx_frame_samples(desc), out);
	return NX_OK;
}

static nx_rc decode_with(opj_codec_t *codec, opj_stream_t *stream, const struct nx_pixel_desc *desc,
	uint8_t *out, struct nx_err *err)
{
	opj_dparameters_t params;
	opj_image_t *image = NULL;
	nx_rc rc = NX_OK;

	opj_set_default_decoder_parameters(&params);
	params.flags |= OPJ_DPARAMETERS_IGNORE_PCLR_CMAP_CDEF_FLAG;
	if (!opj_setup_decoder(codec, &params) || !opj_decoder_set_strict_mode(codec, OPJ_TRUE) ||
		!opj_read_header(stream, codec, &image))
		rc = nx_err_set(err, NX_E_MALFORMED, "JPEG 2000 header is damaged");
	if (!rc)
		rc = image_check(image, desc, err);
	if (!rc && (!opj_decode(codec, stream, image) || !opj_end_decompress(codec, stream)))
		rc = nx_err_set(err, NX_E_MALFORMED, "JPEG 2000 stream is damaged");
	if (!rc)
		rc = components_check(image, desc, err);
	if (!rc)
		rc = image_put(image, desc, out, err);
	opj_image_destroy(image);
	return rc;
}

nx_rc nx_j2k_decode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	struct source source = {frame, 0};
	opj_codec_t *library;
	opj_stream_t *stream;
	nx_rc rc;

	(void)codec;
	if (desc->bits_allocated > 32)
		return nx_err_set(err, NX_E_UNSUPPORTED, "JPEG 2000 of %u bits allocated",
			desc->bits_allocated);
	library = opj_create_decompress(boxed(frame) ? OPJ_CODEC_JP2 : OPJ_CODEC_J2K);
	stream = source_stream(&source);
	rc = library && stream ? decode_with(library, stream, desc, out, err)
			       : nx_err_set(err, NX_E_NOMEM, "no memory for JPEG 2000");
	opj_stream_destroy(stream);
	opj_destroy_codec(library);
	if (rc)
		return rc;
	ret_desc->planar = false;
	if (desc->photometric == NX_PHOTO_YBR_RCT || desc->photometric == NX_PHOTO_YBR_ICT)
		ret_desc->photometric = NX_PHOTO_RGB;
	return NX_OK;
}

/* ---- encoding ---- */

static void component_get(opj_image_comp_t *comp, const struct nx_pixel_desc *desc, unsigned c,
	unsigned bits, const uint8_t *samples)
{
	const unsigned bytes = desc->bits_allocated / 8u, up = 32 - bits;
	const size_t n = nx_frame_pixels(desc), step = desc->samples;

	for (size_t i = 0; i < n; i++) {
		const uint32_t v = nx_sample_get(samples, bytes, i * step + c);

		comp->data[i] = desc->is_signed ? (int32_t)(v << up) >> up : (int32_t)v;
	}
}

static opj_image_t *image_new(
	const struct nx_pixel_desc *desc, unsigned bits, bool color, struct nx_slice pixels)
{
	opj_image_cmptparm_t params[4] = {0};
	opj_image_t *image;

	for (unsigned c = 0; c < desc->samples; c++)
		params[c] = (opj_image_cmptparm_t){.dx = 1,
			.dy = 1,
			.w = desc->columns,
			.h = desc->rows,
			.prec = bits,
			.bpp = bits,
			.sgnd = desc->is_signed};
	image = opj_image_create(desc->samples, params, color ? OPJ_CLRSPC_SRGB : OPJ_CLRSPC_GRAY);
	if (!image)
		return NULL;
	image->x1 = desc->columns;
	image->y1 = desc->rows;
	for (unsigned c = 0; c < desc->samples; c++)
		component_get(&image->comps[c], desc, c, bits, pixels.p);
	return image;
}

static void params_set(opj_cparameters_t *p, const struct nx_pixel_desc *desc, unsigned ratio)
{
	uint32_t side = desc->rows < desc->columns ? desc->rows : desc->columns;

	opj_set_default_encoder_parameters(p);
	p->tcp_numlayers = 1;
	p->cp_disto_alloc = 1;
	p->tcp_rates[0] = (float)ratio; /* 0: all of it */
	p->irreversible = ratio != 0;
	p->tcp_mct = (char)(desc->samples == 3 && desc->photometric == NX_PHOTO_RGB);
	for (p->numresolution = 1; p->numresolution <= LEVELS_MAX && side >= 2 * SMALLEST_SIDE;
		p->numresolution++)
		side /= 2;
}

static nx_rc encode_with(opj_codec_t *codec, opj_stream_t *stream, opj_image_t *image,
	const struct nx_pixel_desc *desc, unsigned ratio, struct nx_err *err)
{
	opj_cparameters_t params;

	params_set(&params, desc, ratio);
	if (!opj_setup_encoder(codec, &params, image) ||
		!opj_start_compress(codec, image, stream) || !opj_encode(codec, stream) ||
		!opj_end_compress(codec, stream))
		return nx_err_set(err, NX_E_INTERNAL, "JPEG 2000 encoder failed");
	return NX_OK;
}

static nx_rc pixels_encode(const struct nx_pixel_desc *desc, unsigned bits, struct nx_slice pixels,
	unsigned ratio, struct nx_buf *out, struct nx_err *err)
{
	struct sink sink = {out, out->len, 0};
	opj_image_t *image = image_new(desc, bits, desc->samples == 3, pixels);
	opj_codec_t *library = opj_create_compress(OPJ_CODEC_J2K);
	opj_stream_t *stream = sink_stream(&sink);
	nx_rc rc = nx_err_set(err, NX_E_NOMEM, "no memory for JPEG 2000");

	if (image && library && stream)
		rc = encode_with(library, stream, image, desc, ratio, err);
	if (out->failed) /* what the library makes of it does not matter */
		rc = nx_buf_check(out, err);
	opj_stream_destroy(stream);
	opj_destroy_codec(library);
	opj_image_destroy(image);
	return rc;
}

nx_rc nx_j2k_encode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice samples, const struct nx_pixel_params *params, struct nx_buf *out,
	struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	const bool lossy = codec->flags & NX_PIXEL_LOSSY;
	const unsigned ratio = !lossy ? 0 : params->ratio ? params->ratio : RATIO_DEFAULT;
	NX_AUTO_MEM uint8_t *owned = NULL;
	struct nx_slice pixels;
	nx_rc rc;

	if (desc->bits_allocated != 8 && desc->bits_allocated != 16)
		return nx_err_set(err, NX_E_UNSUPPORTED, "JPEG 2000 of %u bits allocated",
			desc->bits_allocated);
	rc = nx_samples_by_pixel(desc, samples, &pixels, &owned, err);
	if (!rc)
		rc = pixels_encode(desc, nx_samples_depth(desc, samples), pixels, ratio, out, err);
	ret_desc->planar = false;
	if (desc->samples == 3 && desc->photometric == NX_PHOTO_RGB)
		ret_desc->photometric = lossy ? NX_PHOTO_YBR_ICT : NX_PHOTO_YBR_RCT;
	return rc;
}

/*
 * jpeg.c - JPEG of 8 bits, by libjpeg-turbo: decoding with the accurate integer transform and
 * smooth chroma, which are those of the Independent JPEG Group bit by bit.
 */
#include <setjmp.h>
#include <stdio.h>
/* needs the two above */
#include <jerror.h>
#include <jpeglib.h>

#include "base/buf.h"
#include "base/cast.h"
#include "base/limits.h"
#include "pixel/jpeg_priv.h"
#include "pixel/jpeg_write.h"

enum {
	QUALITY_DEFAULT = 90
};

/* The library ends a call that fails by a jump out of it. */
struct failure {
	struct jpeg_error_mgr mgr; /* first: the library has a pointer to it */
	struct jpeg_progress_mgr progress;
	jmp_buf out;
	int code;    /* the library's number of what failed */
	bool warned; /* entropy-coded data were damaged: what follows is invented */
};

static void on_error(j_common_ptr jpeg)
{
	struct failure *f = NX_CONTAINER_OF(jpeg->err, struct failure, mgr);

	f->code = jpeg->err->msg_code;
	longjmp(f->out, 1);
}

static void on_message(j_common_ptr jpeg, int level)
{
	struct failure *f = NX_CONTAINER_OF(jpeg->err, struct failure, mgr);
	const int code = jpeg->err->msg_code;

	if (level < 0 &&
		(code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE ||
			code == JWRN_MUST_RESYNC)) {
		f->warned = true;
		f->code = code;
	}
}

static void on_output(j_common_ptr jpeg)
{
	(void)jpeg;
}

/* A small stream of many scans over a large image would take for ever. */
static void on_progress(j_common_ptr jpeg)
{
	struct jpeg_decompress_struct *d = (struct jpeg_decompress_struct *)(void *)jpeg;

	if (d->input_scan_number > (int)NX_LIMIT_PIXEL_SCANS)
		ERREXIT(jpeg, JERR_BAD_PROGRESSION);
}

static struct jpeg_error_mgr *failure_init(struct failure *f)
{
	jpeg_std_error(&f->mgr);
	f->mgr.error_exit = on_error;
	f->mgr.emit_message = on_message;
	f->mgr.output_message = on_output;
	f->progress = (struct jpeg_progress_mgr){.progress_monitor = on_progress};
	f->code = 0;
	f->warned = false;
	return &f->mgr;
}

static nx_rc failed(const struct failure *f, struct nx_err *err)
{
	if (f->code == JERR_OUT_OF_MEMORY)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a JPEG image");
	return nx_err_set(err, NX_E_MALFORMED, "JPEG stream is damaged (%d)", f->code);
}

static nx_rc header_check(const struct jpeg_decompress_struct *jpeg,
	const struct nx_pixel_desc *desc, struct nx_err *err)
{
	const struct nx_stream_info info = {jpeg->image_height, jpeg->image_width,
		(uint32_t)jpeg->num_components, (uint32_t)jpeg->data_precision};

	return nx_stream_check(&info, desc, err);
}

/* Rows of 8 bits, where the image has 16 or 32 allocated: from the end, in place. */
static void widen(uint8_t *samples, size_t n, unsigned bytes)
{
	if (bytes == 1)
		return;
	for (size_t i = n; i-- > 0;)
		nx_sample_put(samples, bytes, i, samples[i]);
}

static void scanlines_read(struct jpeg_decompress_struct *jpeg, uint8_t *out, size_t stride)
{
	while (jpeg->output_scanline < jpeg->output_height) {
		JSAMPROW rows[8];

		for (unsigned i = 0; i < NX_ARRAY_LEN(rows); i++)
			rows[i] = out + (jpeg->output_scanline + i) * stride;
		(void)jpeg_read_scanlines(jpeg, rows,
			jpeg->output_height - jpeg->output_scanline < NX_ARRAY_LEN(rows)
				? jpeg->output_height - jpeg->output_scanline
				: (JDIMENSION)NX_ARRAY_LEN(rows));
	}
}

/* Components as they are: neither to RGB nor from it. */
static void components_keep(struct jpeg_decompress_struct *jpeg)
{
	if (jpeg->num_components == 1)
		jpeg->jpeg_color_space = jpeg->out_color_space = JCS_GRAYSCALE;
	else
		jpeg->jpeg_color_space = jpeg->out_color_space = JCS_UNKNOWN;
	jpeg->dct_method = JDCT_ISLOW;
	jpeg->do_fancy_upsampling = TRUE;
}

static nx_rc decompress(struct jpeg_decompress_struct *jpeg, struct failure *f,
	const struct nx_pixel_desc *desc, struct nx_slice frame, uint8_t *out, struct nx_err *err)
{
	nx_rc rc;

	if (setjmp(f->out))
		return failed(f, err);
	jpeg_create_decompress(jpeg);
	jpeg->progress = &f->progress;
	jpeg_mem_src(jpeg, frame.p, frame.n);
	(void)jpeg_read_header(jpeg, TRUE);
	rc = header_check(jpeg, desc, err);
	if (rc)
		return rc;
	components_keep(jpeg);
	(void)jpeg_start_decompress(jpeg);
	scanlines_read(jpeg, out, (size_t)desc->columns * desc->samples);
	if (!f->warned)
		(void)jpeg_finish_decompress(jpeg);
	return f->warned ? failed(f, err) : NX_OK;
}

nx_rc nx_jpeg_turbo_decode(const struct nx_pixel_desc *desc, struct nx_slice frame, uint8_t *out,
	unsigned *ret_bits, struct nx_err *err)
{
	struct jpeg_decompress_struct jpeg = {0};
	struct failure f;
	nx_rc rc;

	jpeg.err = failure_init(&f);
	rc = decompress(&jpeg, &f, desc, frame, out, err);
	jpeg_destroy_decompress(&jpeg);
	if (rc)
		return rc;
	widen(out, nx_frame_samples(desc), desc->bits_allocated / 8u);
	*ret_bits = 8;
	return NX_OK;
}

/* ---- writing ---- */

static nx_rc compress(struct jpeg_compress_struct *jpeg, struct failure *f,
	const struct nx_jpeg_image *image, uint8_t **memory, unsigned long *n, struct nx_err *err)
{
	if (setjmp(f->out))
		return failed(f, err);
	jpeg_create_compress(jpeg);
	jpeg_mem_dest(jpeg, memory, n);
	jpeg->image_width = image->columns;
	jpeg->image_height = image->rows;
	jpeg->input_components = image->samples;
	jpeg->in_color_space = image->samples == 1 ? JCS_GRAYSCALE
		: image->ybr                       ? JCS_YCbCr
						   : JCS_RGB;
	jpeg_set_defaults(jpeg);
	jpeg_set_quality(jpeg, (int)image->quality, TRUE);
	jpeg->dct_method = JDCT_ISLOW;
	for (int i = 0; i < jpeg->num_components; i++)
		jpeg->comp_info[i].h_samp_factor = jpeg->comp_info[i].v_samp_factor = 1;
	jpeg_start_compress(jpeg, TRUE);
	if (image->icc.n)
		jpeg_write_icc_profile(jpeg, image->icc.p, (unsigned)image->icc.n);
	while (jpeg->next_scanline < jpeg->image_height) {
		/* The library does not write to what it compresses. */
		JSAMPROW row = nx_unconst(image->pixels +
			(size_t)jpeg->next_scanline * image->columns * image->samples);

		(void)jpeg_write_scanlines(jpeg, &row, 1);
	}
	jpeg_finish_compress(jpeg);
	return NX_OK;
}

nx_rc nx_jpeg_write(const struct nx_jpeg_image *image, struct nx_buf *out, struct nx_err *err)
{
	struct jpeg_compress_struct jpeg = {0};
	struct failure f;
	uint8_t *memory = NULL;
	unsigned long n = 0;
	nx_rc rc;

	jpeg.err = failure_init(&f);
	rc = compress(&jpeg, &f, image, &memory, &n, err);
	jpeg_destroy_compress(&jpeg);
	if (!rc) {
		nx_buf_put(out, memory, n);
		rc = nx_buf_check(out, err);
	}
	free(memory);
	return rc;
}

nx_rc nx_jpeg_encode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice samples, const struct nx_pixel_params *params, struct nx_buf *out,
	struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	NX_AUTO_MEM uint8_t *owned = NULL;
	struct nx_slice pixels;
	struct nx_jpeg_image image = {desc->rows, desc->columns, desc->samples,
		desc->photometric != NX_PHOTO_RGB,
		params->quality ? params->quality : QUALITY_DEFAULT, NULL, {NULL, 0}};
	nx_rc rc;

	(void)codec;
	if (desc->bits_allocated != 8 || desc->is_signed ||
		(desc->samples != 1 && desc->samples != 3))
		return nx_err_set(err, NX_E_UNSUPPORTED,
			"JPEG baseline of %u %ssigned samples of %u bits", desc->samples,
			desc->is_signed ? "" : "un", desc->bits_allocated);
	rc = nx_samples_by_pixel(desc, samples, &pixels, &owned, err);
	if (rc)
		return rc;
	image.pixels = pixels.p;
	ret_desc->planar = false;
	if (desc->samples == 3)
		ret_desc->photometric = NX_PHOTO_YBR_FULL;
	return nx_jpeg_write(&image, out, err);
}

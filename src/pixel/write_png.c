#include <zlib.h>

#include "base/buf.h"
#include "pixel/jpeg_write.h"
#include "pixel/png_priv.h"
#include "pixel/render.h"

enum {
	PROFILE_HEAD = 5,
	PROFILE_MAX = 32 * 1024 * 1024
};

static void on_write(png_structp png, png_bytep p, size_t n)
{
	struct nx_buf *out = png_get_io_ptr(png);

	nx_buf_put(out, p, n);
	if (out->failed)
		png_error(png, "no room");
}

static void on_flush(png_structp png)
{
	(void)png;
}

/* The chunk iCCP (PNG 11.3.3.3) as bytes: the library would want to understand the profile. */
static nx_rc profile_pack(struct nx_slice icc, struct nx_buf *out, struct nx_err *err)
{
	uLongf n = compressBound(icc.n);
	uint8_t *to;

	nx_buf_put(out, "icc\0\0", PROFILE_HEAD); /* its name, and how it is compressed */
	to = nx_buf_reserve(out, n);
	if (!to || compress(to, &n, icc.p, icc.n) != Z_OK)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a profile");
	out->len += n;
	return NX_OK;
}

static bool write_all(
	png_structp png, png_infop info, const struct nx_raster *raster, struct nx_slice profile)
{
	if (setjmp(png_jmpbuf(png)))
		return false;
	png_set_IHDR(png, info, raster->columns, raster->rows, 8,
		raster->samples == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
		PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_set_compression_level(png, 4);
	png_write_info_before_PLTE(png, info);
	if (profile.n)
		png_write_chunk(png, (png_const_bytep) "iCCP", profile.p, profile.n);
	png_write_info(png, info);
	for (uint32_t y = 0; y < raster->rows; y++)
		png_write_row(png, raster->pixels + (size_t)y * raster->columns * raster->samples);
	png_write_end(png, info);
	return true;
}

nx_rc nx_render_png(
	const struct nx_raster *raster, struct nx_slice icc, struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) profile;
	png_structp png;
	png_infop info;
	bool good = false;
	nx_rc rc = NX_OK;

	nx_buf_init(&profile, PROFILE_MAX, 0);
	if (icc.n)
		rc = profile_pack(icc, &profile, err);
	if (rc)
		return rc;
	png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, nx_png_error, nx_png_warning);
	info = png ? png_create_info_struct(png) : NULL;
	if (info) {
		png_set_write_fn(png, out, on_write, on_flush);
		good = write_all(png, info, raster, nx_buf_slice(&profile));
	}
	png_destroy_write_struct(&png, &info);
	if (nx_buf_check(out, err))
		return nx_buf_check(out, err);
	return good ? NX_OK : nx_err_set(err, NX_E_NOMEM, "PNG could not be made");
}

nx_rc nx_render_jpeg(const struct nx_raster *raster, unsigned quality, struct nx_slice icc,
	struct nx_buf *out, struct nx_err *err)
{
	const struct nx_jpeg_image image = {raster->rows, raster->columns,
		(uint16_t)raster->samples, false, quality, raster->pixels, icc};

	return nx_jpeg_write(&image, out, err);
}

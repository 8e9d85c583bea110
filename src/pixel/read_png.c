#include <stdlib.h>

#include "base/rd.h"
#include "pixel/image_read_priv.h"
#include "pixel/png_priv.h"

enum {
	SIGNATURE = 8,
	CHUNK_TAIL = 4, /* its checksum */
	CHUNK_MAX = 8 * 1024 * 1024
};

struct reading {
	png_structp png;
	png_infop info;
	struct nx_rd rd;
	uint8_t *pixels;
	png_bytep *rows;
	size_t stride;
	unsigned channels; /* of `pixels`, with alpha */
};

static void on_read(png_structp png, png_bytep p, size_t n)
{
	if (!nx_rd_copy(png_get_io_ptr(png), p, n))
		png_error(png, "short");
}

/* The chunk acTL before the image says that there are more (APNG). */
static bool is_animated(struct nx_slice file)
{
	struct nx_rd rd = nx_rd(file);
	struct nx_slice type;
	uint32_t n;

	if (!nx_rd_skip(&rd, SIGNATURE))
		return false;
	while (nx_rd_u32be(&rd, &n) && nx_rd_bytes(&rd, 4, &type)) {
		if (memcmp(type.p, "acTL", 4) == 0)
			return true;
		if (memcmp(type.p, "IDAT", 4) == 0 || !nx_rd_skip(&rd, (size_t)n + CHUNK_TAIL))
			return false;
	}
	return false;
}

/* What it is, with all that is done to it while it is read. */
static bool head_read(struct reading *r, struct nx_pixel_desc *desc)
{
	png_uint_32 columns, rows;
	int depth, color;

	if (setjmp(png_jmpbuf(r->png)))
		return false;
	png_set_user_limits(r->png, UINT16_MAX, UINT16_MAX);
	png_set_chunk_malloc_max(r->png, CHUNK_MAX);
	png_read_info(r->png, r->info);
	(void)png_get_IHDR(r->png, r->info, &columns, &rows, &depth, &color, NULL, NULL, NULL);
	png_set_expand(r->png); /* palettes, gray of few bits, transparent colors */
	png_set_swap(r->png);
	(void)png_set_interlace_handling(r->png);
	png_read_update_info(r->png, r->info);
	r->stride = png_get_rowbytes(r->png, r->info);
	r->channels = png_get_channels(r->png, r->info);
	*desc = (struct nx_pixel_desc){.rows = rows, .columns = columns, .frames = 1};
	desc->samples = r->channels > 2 ? 3 : 1;
	desc->bits_allocated = depth == 16 ? 16 : 8;
	return true;
}

static bool pixels_read(struct reading *r)
{
	if (setjmp(png_jmpbuf(r->png)))
		return false;
	png_read_image(r->png, r->rows);
	png_read_end(r->png, NULL);
	return true;
}

/* Without alpha; false: something can be seen through. */
static bool pixels_copy(const struct reading *r, const struct nx_pixel_desc *desc, uint8_t *out)
{
	const size_t bytes = desc->bits_allocated / 8u, kept = desc->samples * bytes;
	const uint8_t *p = r->pixels;

	for (size_t i = 0; i < (size_t)desc->rows * desc->columns; i++) {
		memcpy(out + i * kept, p, kept);
		for (size_t k = kept; k < r->channels * bytes; k++)
			if (p[k] != UINT8_MAX)
				return false;
		p += r->channels * bytes;
	}
	return true;
}

static nx_rc image_read(
	struct reading *r, uint8_t *out, size_t cap, struct nx_pixel_desc *desc, struct nx_err *err)
{
	if (!head_read(r, desc))
		return nx_err_set(err, NX_E_MALFORMED, "PNG is damaged");
	if ((uint64_t)desc->rows * desc->columns * desc->samples * (desc->bits_allocated / 8u) >
		cap)
		return nx_err_set(
			err, NX_E_LIMIT, "PNG of %u by %u pixels", desc->rows, desc->columns);
	r->pixels = calloc(desc->rows, r->stride);
	r->rows = calloc(desc->rows, sizeof(*r->rows));
	if (!r->pixels || !r->rows)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a PNG");
	for (uint32_t y = 0; y < desc->rows; y++)
		r->rows[y] = r->pixels + y * r->stride;
	if (!pixels_read(r))
		return nx_err_set(err, NX_E_MALFORMED, "PNG is damaged");
	return pixels_copy(r, desc, out)
		? NX_OK
		: nx_err_set(err, NX_E_UNSUPPORTED, "PNG with transparent pixels");
}

nx_rc nx_png_read(const struct nx_image_source *source, uint8_t *out, size_t cap,
	struct nx_pixel_desc *ret, struct nx_err *err)
{
	struct reading r = {.rd = nx_rd(source->file)};
	nx_rc rc = NX_E_NOMEM;

	if (is_animated(source->file))
		return nx_err_set(err, NX_E_UNSUPPORTED, "PNG with several frames");
	r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, nx_png_error, nx_png_warning);
	r.info = r.png ? png_create_info_struct(r.png) : NULL;
	if (r.info) {
		png_set_read_fn(r.png, &r.rd, on_read);
		rc = image_read(&r, out, cap, ret, err);
	}
	png_destroy_read_struct(&r.png, &r.info, NULL);
	free(r.pixels);
	free(r.rows);
	return rc;
}

#include <gif_lib.h>

#include "base/buf.h"
#include "pixel/pixel_priv.h"
#include "pixel/render.h"

enum {
	COLORS = 256,
	COLOR_BITS = 8
};

struct nx_gif {
	GifFileType *file;
	struct nx_buf *out;
	ColorMapObject *colors;
	unsigned delay_cs;
};

static int on_write(GifFileType *file, const GifByteType *p, int n)
{
	struct nx_buf *out = file->UserData;

	if (!out) /* given up: nobody wants the rest */
		return n;
	nx_buf_put(out, p, (size_t)n);
	return out->failed ? 0 : n;
}

static nx_rc failed(const struct nx_gif *gif, struct nx_err *err)
{
	if (nx_buf_check(gif->out, err))
		return nx_buf_check(gif->out, err);
	return nx_err_set(err, NX_E_NOMEM, "GIF could not be made");
}

/* The extension that makes it go on for ever. */
static bool loop_put(GifFileType *file)
{
	static const uint8_t forever[] = {1, 0, 0};

	return EGifPutExtensionLeader(file, APPLICATION_EXT_FUNC_CODE) == GIF_OK &&
		EGifPutExtensionBlock(file, 11, "NETSCAPE2.0") == GIF_OK &&
		EGifPutExtensionBlock(file, sizeof(forever), forever) == GIF_OK &&
		EGifPutExtensionTrailer(file) == GIF_OK;
}

nx_rc nx_gif_new(uint32_t rows, uint32_t columns, unsigned delay_ms, struct nx_buf *out,
	struct nx_gif **ret_gif, struct nx_err *err)
{
	NX_AUTO(nx_gif) *gif = NULL;

	if (!nx_raster_len(rows, columns, 3))
		return nx_err_set(err, NX_E_LIMIT, "image of this size is not rendered");
	gif = calloc(1, sizeof(*gif));
	if (!gif)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a GIF");
	gif->out = out;
	gif->delay_cs = delay_ms / 10;
	gif->colors = GifMakeMapObject(COLORS, NULL);
	gif->file = EGifOpen(out, on_write, NULL);
	if (!gif->file || !gif->colors)
		return failed(gif, err);
	EGifSetGifVersion(gif->file, true);
	if (EGifPutScreenDesc(gif->file, (int)columns, (int)rows, COLOR_BITS, 0, NULL) != GIF_OK ||
		!loop_put(gif->file))
		return failed(gif, err);
	*ret_gif = NX_STEAL(gif);
	return NX_OK;
}

struct nx_gif *nx_gif_free(struct nx_gif *gif)
{
	int code;

	if (!gif)
		return NULL;
	if (gif->file) {
		gif->file->UserData = NULL;
		(void)EGifCloseFile(gif->file, &code);
	}
	GifFreeMapObject(gif->colors);
	free(gif);
	return NULL;
}

static void gray_colors(ColorMapObject *colors)
{
	for (unsigned i = 0; i < COLORS; i++)
		colors->Colors[i] = (GifColorType){(GifByteType)i, (GifByteType)i, (GifByteType)i};
}

/* The best 256 colors, and the number of each pixel's in `ret`. */
static bool color_quantize(const struct nx_raster *raster, ColorMapObject *colors, uint8_t *ret)
{
	const size_t n = (size_t)raster->rows * raster->columns;
	NX_AUTO_MEM uint8_t *planes = malloc(3 * n);
	int size = COLORS;

	if (!planes)
		return false;
	for (size_t i = 0; i < n; i++)
		for (unsigned s = 0; s < 3; s++)
			planes[s * n + i] = raster->pixels[3 * i + s];
	return GifQuantizeBuffer(raster->columns, raster->rows, &size, planes, planes + n,
		       planes + 2 * n, ret, colors->Colors) == GIF_OK;
}

static bool frame_put(struct nx_gif *gif, const struct nx_raster *raster, uint8_t *indices)
{
	const GraphicsControlBlock control = {
		DISPOSE_DO_NOT, false, (int)gif->delay_cs, NO_TRANSPARENT_COLOR};
	GifByteType block[4];

	if (EGifGCBToExtension(&control, block) != sizeof(block) ||
		EGifPutExtension(gif->file, GRAPHICS_EXT_FUNC_CODE, sizeof(block), block) !=
			GIF_OK ||
		EGifPutImageDesc(gif->file, 0, 0, (int)raster->columns, (int)raster->rows, false,
			gif->colors) != GIF_OK)
		return false;
	for (uint32_t y = 0; y < raster->rows; y++)
		if (EGifPutLine(gif->file, indices + (size_t)y * raster->columns,
			    (int)raster->columns) != GIF_OK)
			return false;
	return true;
}

nx_rc nx_gif_add(struct nx_gif *gif, const struct nx_raster *raster, struct nx_err *err)
{
	const size_t n = (size_t)raster->rows * raster->columns;
	NX_AUTO_MEM uint8_t *indices = NULL;

	if (raster->rows != (uint32_t)gif->file->SHeight ||
		raster->columns != (uint32_t)gif->file->SWidth)
		return nx_err_set(err, NX_E_INVAL, "GIF frame of another size");
	indices = malloc(n);
	if (!indices)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a GIF frame");
	if (raster->samples == 1) {
		gray_colors(gif->colors);
		memcpy(indices, raster->pixels, n);
	} else if (!color_quantize(raster, gif->colors, indices)) {
		return failed(gif, err);
	}
	return frame_put(gif, raster, indices) ? NX_OK : failed(gif, err);
}

nx_rc nx_gif_finish(struct nx_gif *gif, struct nx_err *err)
{
	GifFileType *file = NX_STEAL(gif->file);
	int code;

	return EGifCloseFile(file, &code) == GIF_OK ? NX_OK : failed(gif, err);
}

/* read_gif.c - the frames of a GIF as they are seen: each over what the ones before left. */
#include <gif_lib.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/rd.h"
#include "pixel/image_file.h"
#include "pixel/image_read_priv.h"

enum {
	RGB = 3,
	RGBA = 4,
	CENTISECOND = 10,
	ROWS_OF_INTERLACE = 4
};

struct reading {
	GifFileType *file;
	uint32_t rows;
	uint32_t columns;
	uint8_t *canvas; /* RGBA */
	uint8_t *before; /* the same, for frames that are taken away again */
	uint8_t *line;
	GraphicsControlBlock control; /* of the next frame */
	bool all_gray;
	uint16_t *delays;
	uint32_t n;
	uint8_t *out;
	size_t cap;
};

static int on_read(GifFileType *file, GifByteType *p, int n)
{
	struct nx_rd *rd = file->UserData;
	const size_t take = (size_t)n < rd->n ? (size_t)n : rd->n;

	return nx_rd_copy(rd, p, take) ? (int)take : 0;
}

static nx_rc damaged(struct nx_err *err)
{
	return nx_err_set(err, NX_E_MALFORMED, "GIF is damaged");
}

/* ---- a frame onto the canvas ---- */

static bool line_put(
	struct reading *r, const GifImageDesc *at, const ColorMapObject *colors, uint32_t y)
{
	uint8_t *to =
		r->canvas + ((size_t)(at->Top + (int)y) * r->columns + (size_t)at->Left) * RGBA;

	for (int x = 0; x < at->Width; x++, to += RGBA) {
		const GifColorType *c = &colors->Colors[r->line[x]];

		if (r->line[x] == r->control.TransparentColor)
			continue;
		if (r->line[x] >= colors->ColorCount)
			return false;
		to[0] = c->Red;
		to[1] = c->Green;
		to[2] = c->Blue;
		to[3] = UINT8_MAX;
		r->all_gray = r->all_gray && to[0] == to[1] && to[1] == to[2];
	}
	return true;
}

static bool lines_put(struct reading *r, const GifImageDesc *at, const ColorMapObject *colors)
{
	static const uint32_t from[ROWS_OF_INTERLACE] = {0, 4, 2, 1};
	static const uint32_t by[ROWS_OF_INTERLACE] = {8, 8, 4, 2};
	const unsigned passes = at->Interlace ? ROWS_OF_INTERLACE : 1;

	for (unsigned i = 0; i < passes; i++)
		for (uint32_t y = from[i]; y < (uint32_t)at->Height; y += at->Interlace ? by[i] : 1)
			if (DGifGetLine(r->file, r->line, at->Width) != GIF_OK ||
				!line_put(r, at, colors, y))
				return false;
	return true;
}

/* What is not drawn on has no color. */
static bool canvas_copy(const struct reading *r, uint8_t *out)
{
	const size_t n = (size_t)r->rows * r->columns;

	for (size_t i = 0; i < n; i++) {
		if (r->canvas[i * RGBA + RGB] != UINT8_MAX)
			return false;
		memcpy(out + i * RGB, r->canvas + i * RGBA, RGB);
	}
	return true;
}

static void dispose(struct reading *r, const GifImageDesc *at)
{
	if (r->control.DisposalMode == DISPOSE_PREVIOUS)
		memcpy(r->canvas, r->before, (size_t)r->rows * r->columns * RGBA);
	if (r->control.DisposalMode != DISPOSE_BACKGROUND)
		return;
	for (int y = 0; y < at->Height; y++)
		memset(r->canvas + ((size_t)(at->Top + y) * r->columns + (size_t)at->Left) * RGBA,
			0, (size_t)at->Width * RGBA);
}

static bool desc_good(const struct reading *r, const GifImageDesc *at)
{
	return at->Width > 0 && at->Height > 0 && at->Left >= 0 && at->Top >= 0 &&
		(int64_t)at->Left + at->Width <= r->columns &&
		(int64_t)at->Top + at->Height <= r->rows;
}

static nx_rc delay_keep(struct reading *r, struct nx_err *err)
{
	const int ms = r->control.DelayTime * CENTISECOND;
	uint16_t *more = realloc(r->delays, (r->n + 1ull) * sizeof(*more));

	if (!more)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a GIF");
	r->delays = more;
	r->delays[r->n] = (uint16_t)(ms < UINT16_MAX ? ms : UINT16_MAX);
	return NX_OK;
}

static nx_rc frame_read(struct reading *r, struct nx_err *err)
{
	const size_t len = (size_t)r->rows * r->columns * RGB;
	const ColorMapObject *colors;
	const GifImageDesc *at;
	nx_rc rc;

	if (DGifGetImageDesc(r->file) != GIF_OK)
		return damaged(err);
	at = &r->file->Image;
	colors = at->ColorMap ? at->ColorMap : r->file->SColorMap;
	if (!colors || !desc_good(r, at))
		return damaged(err);
	if (r->n == NX_LIMIT_PIXEL_FRAMES || len > r->cap / (r->n + 1ull))
		return nx_err_set(err, NX_E_LIMIT, "GIF of more than %u frames", r->n);
	rc = delay_keep(r, err);
	if (rc)
		return rc;
	memcpy(r->before, r->canvas, (size_t)r->rows * r->columns * RGBA);
	if (!lines_put(r, at, colors))
		return damaged(err);
	if (!canvas_copy(r, r->out + r->n * len))
		return nx_err_set(err, NX_E_UNSUPPORTED, "GIF with transparent pixels");
	r->n++;
	dispose(r, at);
	r->control = (GraphicsControlBlock){.TransparentColor = NO_TRANSPARENT_COLOR};
	return NX_OK;
}

static bool extension_read(struct reading *r)
{
	GifByteType *block;
	int code, rc = DGifGetExtension(r->file, &code, &block);

	while (rc == GIF_OK && block) {
		if (code == GRAPHICS_EXT_FUNC_CODE &&
			DGifExtensionToGCB(block[0], block + 1, &r->control) != GIF_OK)
			return false;
		rc = DGifGetExtensionNext(r->file, &block);
	}
	return rc == GIF_OK;
}

static nx_rc records_read(struct reading *r, struct nx_err *err)
{
	GifRecordType type = UNDEFINED_RECORD_TYPE;
	nx_rc rc = NX_OK;

	while (!rc && type != TERMINATE_RECORD_TYPE) {
		if (DGifGetRecordType(r->file, &type) != GIF_OK ||
			(type == EXTENSION_RECORD_TYPE && !extension_read(r)))
			return damaged(err);
		if (type == IMAGE_DESC_RECORD_TYPE)
			rc = frame_read(r, err);
	}
	return rc || r->n ? rc : damaged(err);
}

/* ---- all of it ---- */

static nx_rc canvas_alloc(struct reading *r, struct nx_err *err)
{
	const size_t len = (size_t)r->rows * r->columns;

	if (!len || len > r->cap / RGB)
		return nx_err_set(err, NX_E_LIMIT, "GIF of %u by %u pixels", r->rows, r->columns);
	r->canvas = calloc(len, RGBA);
	r->before = malloc(len * RGBA);
	r->line = malloc(r->columns);
	if (!r->canvas || !r->before || !r->line)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a GIF");
	return NX_OK;
}

nx_rc nx_gif_read(const struct nx_image_source *source, uint8_t *out, size_t cap,
	struct nx_pixel_desc *ret, uint16_t **ret_delays, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(source->file);
	struct reading r = {.all_gray = true, .out = out, .cap = cap};
	int code;
	nx_rc rc;

	r.control.TransparentColor = NO_TRANSPARENT_COLOR;
	r.file = DGifOpen(&rd, on_read, &code);
	if (!r.file)
		return damaged(err);
	r.rows = (uint32_t)r.file->SHeight;
	r.columns = (uint32_t)r.file->SWidth;
	rc = canvas_alloc(&r, err);
	if (!rc)
		rc = records_read(&r, err);
	(void)DGifCloseFile(r.file, &code);
	free(r.canvas);
	free(r.before);
	free(r.line);
	*ret_delays = r.delays;
	if (rc)
		return rc;
	*ret = (struct nx_pixel_desc){.rows = r.rows, .columns = r.columns, .frames = r.n};
	ret->samples = r.all_gray && source->samples != RGB ? 1 : RGB;
	ret->bits_allocated = 8;
	for (size_t i = 0; ret->samples == 1 && i < (size_t)r.rows * r.columns * r.n; i++)
		out[i] = out[i * RGB];
	return NX_OK;
}

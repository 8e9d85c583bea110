/* text.c - text as a raster: glyphs of one height, two widths, in whole multiples of their size. */
#include "base/limits.h"
#include "pixel/draw.h"
#include "pixel/text_priv.h"

enum {
	BOX_COLUMNS = 9,
	TAB_COLUMNS = 8 * 9,
	COMBINING_FIRST = 0x300,
	COMBINING_LAST = 0x36f,
	REPLACEMENT = 0xfffd
};

struct glyph {
	uint32_t columns;
	const uint8_t *bits; /* NULL: a box, or nothing where there are no columns */
	bool combining;      /* goes over the one before */
};

/* ---- which glyphs ---- */

/* The next code point; what is no UTF-8 is U+FFFD.  0 at the end. */
static uint32_t code_next(const char **s)
{
	const uint8_t *p = (const uint8_t *)*s;
	const unsigned more = p[0] < 0x80 ? 0
		: p[0] >= 0xf0            ? 3
		: p[0] >= 0xe0            ? 2
		: p[0] >= 0xc0            ? 1
					  : 4;
	uint32_t code = more ? p[0] & (0x3fu >> more) : p[0];

	if (!p[0])
		return 0;
	for (unsigned i = 1; i <= more; i++) {
		if (more == 4 || (p[i] & 0xc0) != 0x80) {
			*s += i;
			return REPLACEMENT;
		}
		code = code << 6 | (p[i] & 0x3fu);
	}
	*s += 1 + more;
	return code ? code : REPLACEMENT;
}

static struct glyph glyph_find(uint32_t code)
{
	size_t low = 0, high = nx_glyph_n_runs;

	if (code < ' ')
		return (struct glyph){.columns = code == '\t' ? TAB_COLUMNS : 0};
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const struct nx_glyph_run *run = &nx_glyph_runs[middle];

		if (code < run->first)
			high = middle;
		else if (code - run->first >= run->n)
			low = middle + 1;
		else
			return (struct glyph){run->columns,
				nx_glyph_bits + run->at +
					(size_t)(code - run->first) * NX_GLYPH_ROWS *
						((run->columns + 7) / 8),
				code >= COMBINING_FIRST && code <= COMBINING_LAST};
	}
	return (struct glyph){.columns = BOX_COLUMNS};
}

/* A line ends with CR, LF, or both. */
static bool is_break(uint32_t code, const char **s)
{
	if (code == '\r' && **s == '\n')
		++*s;
	return code == '\r' || code == '\n';
}

void nx_text_measure(const char *utf8, unsigned scale, uint32_t *ret_columns, uint32_t *ret_rows)
{
	uint64_t columns = 0, widest = 0, lines = 1;
	uint32_t code;

	while ((code = code_next(&utf8))) {
		const struct glyph g = glyph_find(code);

		if (is_break(code, &utf8)) {
			columns = 0;
			lines++;
			continue;
		}
		columns += g.combining ? 0 : g.columns;
		widest = columns > widest ? columns : widest;
	}
	widest = widest * scale + 2;
	lines = lines * NX_GLYPH_ROWS * scale + 2;
	*ret_columns = widest < UINT32_MAX ? (uint32_t)widest : UINT32_MAX;
	*ret_rows = lines < UINT32_MAX ? (uint32_t)lines : UINT32_MAX;
}

/* ---- drawing ---- */

static bool glyph_bit(const struct glyph *g, uint32_t row, uint32_t column)
{
	const uint32_t stride = (g->columns + 7) / 8;

	if (g->bits)
		return g->bits[row * stride + column / 8] >> (7 - column % 8) & 1;
	return (row >= 4 && row <= 14 && column >= 1 && column <= 7) &&
		(row == 4 || row == 14 || column == 1 || column == 7);
}

static void block_put(struct nx_canvas *c, int64_t x, int64_t y, unsigned size, uint8_t shade)
{
	const struct nx_raster *r = c->raster;

	for (int64_t to_y = y; to_y < y + size; to_y++)
		for (int64_t to_x = x; to_x < x + size; to_x++)
			if (to_x >= 0 && to_x < r->columns && to_y >= 0 && to_y < r->rows)
				memset(r->pixels + (size_t)(to_y * r->columns + to_x) * r->samples,
					shade, r->samples);
}

/* The edge of all glyphs comes first, so that none lies over its neighbour. */
static void glyph_draw(
	struct nx_canvas *c, const struct glyph *g, int64_t x, int64_t y, unsigned scale, bool edge)
{
	for (uint32_t row = 0; row < NX_GLYPH_ROWS; row++)
		for (uint32_t column = 0; column < g->columns; column++) {
			const int64_t to_x = x + (int64_t)column * scale;
			const int64_t to_y = y + (int64_t)row * scale;

			if (!glyph_bit(g, row, column))
				continue;
			if (edge)
				block_put(c, to_x - 1, to_y - 1, scale + 2,
					c->shade[0] < 128 ? UINT8_MAX : 0);
			else
				block_put(c, to_x, to_y, scale, c->shade[0]);
		}
}

static bool glyph_seen(const struct nx_canvas *c, int64_t x, int64_t y, unsigned scale)
{
	return x < c->raster->columns && y < c->raster->rows &&
		x + (int64_t)2 * NX_GLYPH_ROWS * scale >= 0 &&
		y + (int64_t)NX_GLYPH_ROWS * scale >= 0;
}

static nx_rc glyphs_draw(struct nx_canvas *c, int64_t x, int64_t y, unsigned scale,
	const char *utf8, bool edge, struct nx_err *err)
{
	int64_t at = x;
	uint32_t code;

	while ((code = code_next(&utf8))) {
		const struct glyph g = glyph_find(code);
		const uint64_t cost = (uint64_t)(scale + 2) * (scale + 2) * NX_GLYPH_ROWS * 18;

		if (is_break(code, &utf8)) {
			at = x;
			y += NX_GLYPH_ROWS * (int64_t)scale;
			continue;
		}
		if (g.combining)
			at -= (int64_t)g.columns * scale;
		if (c->may_draw < cost)
			return nx_err_set(err, NX_E_LIMIT, "text takes too many steps of drawing");
		c->may_draw -= glyph_seen(c, at, y, scale) ? cost : 1;
		if (code >= ' ' && glyph_seen(c, at, y, scale))
			glyph_draw(c, &g, at, y, scale, edge);
		at += (int64_t)g.columns * scale;
	}
	return NX_OK;
}

nx_rc nx_draw_text(struct nx_canvas *canvas, int64_t x, int64_t y, unsigned scale, const char *utf8,
	struct nx_err *err)
{
	nx_rc rc = glyphs_draw(canvas, x + 1, y + 1, scale, utf8, true, err);

	return rc ? rc : glyphs_draw(canvas, x + 1, y + 1, scale, utf8, false, err);
}

/*
 * draw.h - lines, shapes and text on a raster, as presentation states and annotations have them
 * (PS3.3 C.10.5, C.7.6.11).
 *
 * Layer:   1 (pixel).
 * Threads: pure functions on arrays; a struct nx_canvas belongs to one thread at a time.
 * PHI:     text passes through.
 *
 * Coordinates are those of PIXEL in PS3.3 C.10.5: 0,0 is the corner of the first pixel, whose
 * center is at 0.5,0.5.  What lies outside the raster is not drawn.  No antialiasing: a pixel is
 * drawn or it is not.
 */
#ifndef NX_PIXEL_DRAW_H
#define NX_PIXEL_DRAW_H

#include "pixel/render.h"

struct nx_point {
	double x;
	double y;
};

/* x' = xx * x + xy * y + x0, y' = yx * x + yy * y + y0. */
struct nx_affine {
	double xx, xy, x0;
	double yx, yy, y0;
};
struct nx_point nx_affine_map(const struct nx_affine *map, struct nx_point p);

struct nx_canvas {
	struct nx_raster *raster;
	uint8_t shade[4];  /* of every sample of what is drawn */
	unsigned width;    /* of lines, in pixels */
	uint64_t may_draw; /* steps; at 0 it is NX_E_LIMIT */
};

/* White, one pixel wide, NX_LIMIT_DRAWN steps. */
void nx_canvas_init(struct nx_canvas *canvas, struct nx_raster *raster);
void nx_canvas_shade(struct nx_canvas *canvas, uint8_t value);

/* From point to point. */
NX_NODISCARD nx_rc nx_draw_lines(
	struct nx_canvas *canvas, const struct nx_point *points, size_t n, struct nx_err *err);
/* Inside is what an odd number of edges surrounds; the last point is joined to the first. */
NX_NODISCARD nx_rc nx_draw_area(
	struct nx_canvas *canvas, const struct nx_point *points, size_t n, struct nx_err *err);

/* Lines of UTF-8 text, with line breaks, the first one's top left corner at `x`, `y`, `scale` times
 * as large as the font's 9 by 18 pixels, with a dark edge.  Of what the font does not have there
 * is a box. */
NX_NODISCARD nx_rc nx_draw_text(struct nx_canvas *canvas, int64_t x, int64_t y, unsigned scale,
	const char *utf8, struct nx_err *err);
/* Pixels that it takes. */
void nx_text_measure(const char *utf8, unsigned scale, uint32_t *ret_columns, uint32_t *ret_rows);

/* ---- display shutters (C.7.6.11): what may be seen ---- */

struct nx_shutter {
	bool rectangular; /* from edge to edge, 1 being the first; the edges are seen */
	int64_t left, right, upper, lower;
	bool circular; /* what is no further than `radius` from the center of a pixel */
	int64_t row, column, radius;
	const struct nx_point *polygon; /* n_polygon 0: none */
	size_t n_polygon;
	uint8_t value; /* of what is hidden */
};

NX_NODISCARD nx_rc nx_render_shutter(
	struct nx_raster *raster, const struct nx_shutter *shutter, struct nx_err *err);

#endif

/* draw.c - lines, areas and shutters.  Coordinates come from outside: they may be of any size, and
 * no numbers. */
#include "pixel/draw.h"

#include <math.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/limits.h"

struct nx_point nx_affine_map(const struct nx_affine *map, struct nx_point p)
{
	return (struct nx_point){
		map->xx * p.x + map->xy * p.y + map->x0, map->yx * p.x + map->yy * p.y + map->y0};
}

void nx_canvas_init(struct nx_canvas *canvas, struct nx_raster *raster)
{
	*canvas = (struct nx_canvas){.raster = raster, .width = 1, .may_draw = NX_LIMIT_DRAWN};
	nx_canvas_shade(canvas, UINT8_MAX);
}

void nx_canvas_shade(struct nx_canvas *canvas, uint8_t value)
{
	memset(canvas->shade, value, sizeof(canvas->shade));
}

static nx_rc spend(struct nx_canvas *c, uint64_t steps, struct nx_err *err)
{
	if (steps > c->may_draw)
		return nx_err_set(err, NX_E_LIMIT, "more than %llu steps of drawing",
			(unsigned long long)NX_LIMIT_DRAWN);
	c->may_draw -= steps;
	return NX_OK;
}

/* Pixels from `from` up to `to` of a row, as far as there are any. */
static void span_put(struct nx_canvas *c, int64_t y, int64_t from, int64_t to)
{
	const struct nx_raster *r = c->raster;

	if (y < 0 || y >= r->rows)
		return;
	from = from > 0 ? from : 0;
	to = to < r->columns ? to : r->columns;
	for (int64_t x = from; x < to; x++)
		memcpy(r->pixels + (size_t)(y * r->columns + x) * r->samples, c->shade, r->samples);
}

/* ---- lines ---- */

/* The part of a line from `a` to `b` where p + t * d is within low and high (Liang, Barsky). */
static bool axis_clip(double p, double d, double low, double high, double *from, double *to)
{
	double t0 = (low - p) / d, t1 = (high - p) / d;

	if (d == 0)
		return p >= low && p <= high;
	if (t0 > t1) {
		const double kept = t0;

		t0 = t1;
		t1 = kept;
	}
	*from = t0 > *from ? t0 : *from;
	*to = t1 < *to ? t1 : *to;
	return *from <= *to;
}

/* What was clipped is there, but for what a number of that size cannot say. */
static struct nx_point point_clamp(const struct nx_canvas *c, double x, double y)
{
	const double margin = c->width;

	return (struct nx_point){fmin(fmax(x, -margin), c->raster->columns + margin),
		fmin(fmax(y, -margin), c->raster->rows + margin)};
}

static bool line_clip(const struct nx_canvas *c, struct nx_point *a, struct nx_point *b)
{
	const double margin = c->width;
	const struct nx_point start = *a, d = {b->x - a->x, b->y - a->y};
	double from = 0, to = 1;

	if (!isfinite(d.x) || !isfinite(d.y) ||
		!axis_clip(start.x, d.x, -margin, c->raster->columns + margin, &from, &to) ||
		!axis_clip(start.y, d.y, -margin, c->raster->rows + margin, &from, &to))
		return false;
	*a = point_clamp(c, start.x + from * d.x, start.y + from * d.y);
	*b = point_clamp(c, start.x + to * d.x, start.y + to * d.y);
	return true;
}

/* A square of the line's width around a point. */
static void dot_put(struct nx_canvas *c, double x, double y)
{
	const int64_t left = (int64_t)floor(x) - (c->width - 1) / 2;
	const int64_t top = (int64_t)floor(y) - (c->width - 1) / 2;

	for (unsigned i = 0; i < c->width; i++)
		span_put(c, top + i, left, left + c->width);
}

static nx_rc line_draw(
	struct nx_canvas *c, struct nx_point a, struct nx_point b, struct nx_err *err)
{
	uint32_t steps;
	nx_rc rc;

	if (!line_clip(c, &a, &b))
		return spend(c, 1, err);
	steps = (uint32_t)ceil(fmax(fabs(b.x - a.x), fabs(b.y - a.y))) + 1;
	rc = spend(c, (uint64_t)steps * c->width * c->width, err);
	for (uint32_t i = 0; i <= steps && !rc; i++)
		dot_put(c, a.x + (b.x - a.x) * i / steps, a.y + (b.y - a.y) * i / steps);
	return rc;
}

nx_rc nx_draw_lines(
	struct nx_canvas *canvas, const struct nx_point *points, size_t n, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; i + (n > 1) < n && !rc; i++)
		rc = line_draw(canvas, points[i], points[n > 1 ? i + 1 : i], err);
	return rc;
}

/* ---- areas ---- */

static int crossing_compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Where edges cross the middle of a row. */
static size_t crossings_find(const struct nx_point *p, size_t n, double y, double *ret)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++) {
		const struct nx_point a = p[i], b = p[i + 1 < n ? i + 1 : 0];

		if ((a.y <= y) != (b.y <= y))
			ret[found++] = a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x);
	}
	return found;
}

/* The first pixel whose center is not left of `x`. */
static int64_t pixel_at(double x, uint32_t columns)
{
	if (!(x > 0))
		return 0;
	return x >= columns ? columns : (int64_t)ceil(x - 0.5);
}

nx_rc nx_draw_area(
	struct nx_canvas *canvas, const struct nx_point *points, size_t n, struct nx_err *err)
{
	const struct nx_raster *r = canvas->raster;
	NX_AUTO_MEM double *crossings = calloc(n + 1, sizeof(*crossings));
	nx_rc rc = spend(canvas, (uint64_t)r->rows * n, err);

	if (!crossings)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an area");
	for (uint32_t y = 0; y < r->rows && !rc; y++) {
		const size_t found = crossings_find(points, n, y + 0.5, crossings);

		qsort(crossings, found, sizeof(*crossings), crossing_compare);
		for (size_t i = 0; i + 1 < found && !rc; i += 2) {
			const int64_t from = pixel_at(crossings[i], r->columns);
			const int64_t to = pixel_at(crossings[i + 1], r->columns);

			rc = spend(canvas, to > from ? (uint64_t)(to - from) : 1, err);
			if (!rc)
				span_put(canvas, y, from, to);
		}
	}
	return rc;
}

/* ---- shutters ---- */

static bool circle_shows(const struct nx_shutter *s, int64_t row, int64_t column)
{
	const double down = (double)(row - s->row), across = (double)(column - s->column);

	return down * down + across * across <= (double)s->radius * (double)s->radius;
}

static bool shutter_shows(const struct nx_shutter *s, int64_t row, int64_t column)
{
	if (s->rectangular &&
		(row < s->upper || row > s->lower || column < s->left || column > s->right))
		return false;
	return !s->circular || circle_shows(s, row, column);
}

/* A mask of a byte for each pixel that is within the polygon; NULL in *ret: there is none. */
static nx_rc polygon_mask(const struct nx_raster *raster, const struct nx_shutter *s, uint8_t **ret,
	struct nx_err *err)
{
	struct nx_raster mask = {raster->rows, raster->columns, 1, NULL};
	struct nx_canvas canvas;
	nx_rc rc;

	*ret = NULL;
	if (!s->n_polygon)
		return NX_OK;
	mask.pixels = calloc(raster->rows, raster->columns);
	if (!mask.pixels)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a shutter");
	nx_canvas_init(&canvas, &mask);
	rc = nx_draw_area(&canvas, s->polygon, s->n_polygon, err);
	if (!rc)
		rc = nx_draw_lines(&canvas, s->polygon, s->n_polygon, err);
	*ret = mask.pixels;
	return rc;
}

nx_rc nx_render_shutter(
	struct nx_raster *raster, const struct nx_shutter *shutter, struct nx_err *err)
{
	NX_AUTO_MEM uint8_t *mask = NULL;
	nx_rc rc = polygon_mask(raster, shutter, &mask, err);
	size_t i = 0;

	if (rc)
		return rc;
	for (uint32_t y = 0; y < raster->rows; y++)
		for (uint32_t x = 0; x < raster->columns; x++, i++)
			if ((mask && !mask[i]) || !shutter_shows(shutter, y + 1ll, x + 1ll))
				memset(raster->pixels + i * raster->samples, shutter->value,
					raster->samples);
	return NX_OK;
}

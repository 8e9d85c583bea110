/* raster.c - rectangles of 8-bit pixels: overlays, parts, sizes. */
#include <math.h>

#include "base/limits.h"
#include "pixel/pixel_priv.h"
#include "pixel/render.h"

size_t nx_raster_len(uint32_t rows, uint32_t columns, uint32_t samples)
{
	uint64_t n;

	if (rows > UINT16_MAX || columns > UINT16_MAX || samples > 4)
		return 0;
	n = (uint64_t)rows * columns * samples;
	return n > NX_LIMIT_PIXEL_RENDERED ? 0 : (size_t)n;
}

static bool bit_at(const struct nx_overlay *o, uint64_t i)
{
	return i / 8 < o->bits.n && (o->bits.p[i / 8] >> i % 8 & 1);
}

void nx_render_overlay(struct nx_raster *raster, const struct nx_overlay *overlay, uint8_t value)
{
	for (uint32_t y = 0; y < overlay->rows; y++) {
		const int64_t to_y = (int64_t)overlay->row - 1 + y;

		if (to_y < 0 || to_y >= raster->rows)
			continue;
		for (uint32_t x = 0; x < overlay->columns; x++) {
			const int64_t to_x = (int64_t)overlay->column - 1 + x;

			if (to_x < 0 || to_x >= raster->columns ||
				!bit_at(overlay, (uint64_t)y * overlay->columns + x))
				continue;
			memset(raster->pixels +
					(size_t)(to_y * raster->columns + to_x) * raster->samples,
				value, raster->samples);
		}
	}
}

nx_rc nx_render_crop(const struct nx_raster *from, const struct nx_region *region,
	uint8_t *ret_pixels, struct nx_err *err)
{
	const size_t width = (size_t)region->columns * from->samples;

	if (!region->rows || !region->columns || region->rows > from->rows ||
		region->row > from->rows - region->rows || region->columns > from->columns ||
		region->column > from->columns - region->columns)
		return nx_err_set(err, NX_E_INVAL, "region is not within the image");
	for (uint32_t y = 0; y < region->rows; y++)
		memcpy(ret_pixels + y * width,
			from->pixels +
				((size_t)(region->row + y) * from->columns + region->column) *
					from->samples,
			width);
	return NX_OK;
}

void nx_render_cut(const struct nx_raster *from, int64_t row, int64_t column, struct nx_raster *to)
{
	const size_t width = (size_t)to->columns * to->samples;
	const int64_t left = column > 0 ? column : 0;
	const int64_t right = column + to->columns < from->columns ? column + to->columns
								   : (int64_t)from->columns;

	memset(to->pixels, 0, to->rows * width);
	for (uint32_t y = 0; y < to->rows; y++) {
		const int64_t from_y = row + y;

		if (from_y < 0 || from_y >= from->rows || left >= right)
			continue;
		memcpy(to->pixels + y * width + (size_t)(left - column) * to->samples,
			from->pixels + (size_t)(from_y * from->columns + left) * from->samples,
			(size_t)(right - left) * from->samples);
	}
}

void nx_render_turn(const struct nx_raster *from, struct nx_raster *to)
{
	const uint8_t *p = from->pixels;

	for (uint32_t y = 0; y < from->rows; y++)
		for (uint32_t x = 0; x < from->columns; x++, p += from->samples)
			memcpy(to->pixels +
					((size_t)x * to->columns + (from->rows - 1 - y)) *
						from->samples,
				p, from->samples);
}

static void pixels_swap(uint8_t *a, uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const uint8_t kept = a[i];

		a[i] = b[i];
		b[i] = kept;
	}
}

void nx_render_flip(struct nx_raster *raster, bool across, bool down)
{
	const size_t width = (size_t)raster->columns * raster->samples;
	uint8_t *p = raster->pixels;

	for (uint32_t y = 0; across && y < raster->rows; y++, p += width)
		for (uint32_t x = 0; x < raster->columns / 2; x++)
			pixels_swap(p + (size_t)x * raster->samples,
				p + (size_t)(raster->columns - 1 - x) * raster->samples,
				raster->samples);
	p = raster->pixels;
	for (uint32_t y = 0; down && y < raster->rows / 2; y++)
		pixels_swap(p + y * width, p + (raster->rows - 1 - y) * width, width);
}

/* ---- sizes: one axis after the other ---- */

/* What one output pixel takes of the input along an axis: `n` weights from `first` on. */
struct tap {
	uint32_t first;
	uint32_t n;
	float *weights;
};

struct axis {
	struct tap *taps;
	float *memory;
};

static void axis_done(struct axis *a)
{
	free(a->taps);
	free(a->memory);
}

/* The share of every input pixel that lies under the output pixel. */
static void tap_shrink(struct tap *t, uint32_t in, uint32_t out, uint32_t i)
{
	const double scale = (double)in / out, from = i * scale, to = (i + 1) * scale;

	t->first = (uint32_t)from;
	t->n = 0;
	for (uint32_t k = t->first; k < in && k < to; k++) {
		const double left = k > from ? k : from, right = k + 1 < to ? k + 1 : to;

		t->weights[t->n++] = (float)((right - left) / scale);
	}
}

/* Between the centers of two input pixels. */
static void tap_grow(struct tap *t, uint32_t in, uint32_t out, uint32_t i)
{
	const double at = (i + 0.5) * in / out - 0.5;
	const double base = at < 0 ? 0 : floor(at);

	t->first = (uint32_t)base;
	t->n = t->first + 1 < in && at > 0 ? 2 : 1;
	t->weights[0] = t->n == 2 ? (float)(1 - (at - base)) : 1;
	t->weights[1] = (float)(at - base);
}

static bool axis_init(struct axis *a, uint32_t in, uint32_t out)
{
	const size_t most = in / out + 3; /* of one output pixel */

	a->taps = calloc(out, sizeof(*a->taps));
	a->memory = calloc(out * most, sizeof(*a->memory));
	if (!a->taps || !a->memory)
		return false;
	for (uint32_t i = 0; i < out; i++) {
		a->taps[i].weights = a->memory + i * most;
		if (out < in)
			tap_shrink(&a->taps[i], in, out, i);
		else
			tap_grow(&a->taps[i], in, out, i);
	}
	return true;
}

static void row_resize(
	const struct axis *a, const uint8_t *row, uint32_t columns, uint32_t samples, float *ret)
{
	for (uint32_t x = 0; x < columns; x++)
		for (uint32_t s = 0; s < samples; s++) {
			const struct tap *t = &a->taps[x];
			float sum = 0;

			for (uint32_t k = 0; k < t->n; k++)
				sum += t->weights[k] * (float)row[(t->first + k) * samples + s];
			ret[x * samples + s] = sum;
		}
}

/* `lines` are all rows of the input at the output's width. */
static void column_put(const struct tap *t, const float *lines, size_t width, uint8_t *out)
{
	for (size_t i = 0; i < width; i++) {
		float sum = 0.5f;

		for (uint32_t k = 0; k < t->n; k++)
			sum += t->weights[k] * lines[(t->first + k) * width + i];
		out[i] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
	}
}

nx_rc nx_render_resize(const struct nx_raster *from, struct nx_raster *to, struct nx_err *err)
{
	const size_t width = (size_t)to->columns * to->samples;
	struct axis across = {0}, down = {0};
	float *lines = NULL;
	nx_rc rc = NX_OK;

	if (!nx_raster_len(from->rows, from->columns, from->samples) ||
		!nx_raster_len(to->rows, to->columns, to->samples) || from->samples != to->samples)
		return nx_err_set(err, NX_E_LIMIT, "image of this size is not rendered");
	lines = calloc(from->rows, width * sizeof(*lines));
	if (!lines || !axis_init(&across, from->columns, to->columns) ||
		!axis_init(&down, from->rows, to->rows)) {
		rc = nx_err_set(err, NX_E_NOMEM, "no memory to resize an image");
		goto out;
	}
	for (uint32_t y = 0; y < from->rows; y++)
		row_resize(&across, from->pixels + (size_t)y * from->columns * from->samples,
			to->columns, to->samples, lines + y * width);
	for (uint32_t y = 0; y < to->rows; y++)
		column_put(&down.taps[y], lines, width, to->pixels + y * width);
out:
	axis_done(&across);
	axis_done(&down);
	free(lines);
	return rc;
}

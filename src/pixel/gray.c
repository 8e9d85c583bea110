/* gray.c - stored values to gray and to palette colors (PS3.3 C.11.1, C.11.2, C.7.6.3.1.5, C.7.9).
 */
#include <math.h>

#include "base/limits.h"
#include "base/rd.h"
#include "pixel/color.h"
#include "pixel/pixel_priv.h"
#include "pixel/render.h"

enum {
	TABLE_BITS = 16 /* up to here every stored value is computed once */
};

static double lut_get(const struct nx_lut *lut, double v)
{
	const double at = v - lut->first;
	const uint32_t i = at <= 0 ? 0 : at >= lut->n - 1 ? lut->n - 1 : (uint32_t)at;

	return lut->values[i];
}

static double lut_top(const struct nx_lut *lut)
{
	return (double)((1u << lut->bits) - 1);
}

static bool lut_good(const struct nx_lut *lut)
{
	return lut->n && lut->n <= NX_LIMIT_PIXEL_LUT && lut->bits >= 8 && lut->bits <= 16 &&
		lut->values;
}

/* C.11.1: to the units that the window is given in. */
static double modality(const struct nx_gray *g, double stored)
{
	if (g->modality)
		return lut_get(g->modality, stored);
	return stored * (g->slope != 0 ? g->slope : 1) + g->intercept;
}

/* Of 0 to 1. */
static double voi(const struct nx_gray *g, double v)
{
	switch (g->voi) {
	case NX_VOI_LINEAR: /* C.11.2.1.2.1 */
		return g->width > 1 ? (v - (g->center - 0.5)) / (g->width - 1) + 0.5
				    : (double)(v > g->center - 0.5);
	case NX_VOI_FRAME:
	case NX_VOI_WHOLE:
	case NX_VOI_LINEAR_EXACT: /* C.11.2.1.3.2 */
		return g->width > 0 ? (v - g->center) / g->width + 0.5 : (double)(v > g->center);
	case NX_VOI_SIGMOID: /* C.11.2.1.3.1 */
		return g->width > 0 ? 1 / (1 + exp(-4 * (v - g->center) / g->width))
				    : (double)(v > g->center);
	case NX_VOI_LUT:
		return lut_get(g->voi_lut, v) / lut_top(g->voi_lut);
	}
	return 0;
}

static uint8_t shade(const struct nx_gray *g, bool inverse, double stored)
{
	const struct nx_lut *p = g->presentation;
	double v = voi(g, modality(g, stored));

	v = v > 0 ? (v < 1 ? v : 1) : 0; /* also for what is no number */
	if (p)                           /* C.11.6.1.1: its input is all that comes out of VOI */
		v = p->values[(uint32_t)lrint(v * (p->n - 1))] / lut_top(p);
	return (uint8_t)lrint((inverse ? 1 - v : v) * 255);
}

/* A stored value: its bits_stored, and their sign. */
static int64_t stored_value(const struct nx_pixel_desc *desc, uint32_t raw)
{
	const unsigned up = 32u - desc->bits_stored;

	return desc->is_signed ? (int32_t)(raw << up) >> up : (int64_t)(raw << up >> up);
}

static void window_between(struct nx_gray *g, double a, double b)
{
	g->center = (a + b) / 2;
	g->width = fabs(b - a);
}

/* The window from the smallest to the largest value, after the modality's own. */
static void frame_window(
	const struct nx_pixel_desc *desc, struct nx_slice samples, struct nx_gray *g)
{
	const unsigned bytes = desc->bits_allocated / 8u;
	int64_t low = INT64_MAX, high = INT64_MIN;

	for (size_t i = 0; i < nx_frame_samples(desc); i++) {
		const int64_t v = stored_value(desc, nx_sample_get(samples.p, bytes, i));

		if (g->has_padding && v >= g->padding_low && v <= g->padding_high)
			continue;
		low = v < low ? v : low;
		high = v > high ? v : high;
	}
	if (low > high)
		low = high = 0;
	window_between(g, modality(g, (double)low), modality(g, (double)high));
}

/* All that the modality's values can be: what no VOI transformation means (PS3.4 N.2.1.2). */
static void whole_window(const struct nx_pixel_desc *desc, struct nx_gray *g)
{
	const double range = ldexp(1, desc->bits_stored), low = desc->is_signed ? -range / 2 : 0;

	if (g->modality)
		window_between(g, 0, lut_top(g->modality));
	else
		window_between(g, modality(g, low), modality(g, low + range - 1));
}

static nx_rc gray_check(const struct nx_pixel_desc *desc, struct nx_slice samples,
	const struct nx_gray *g, struct nx_err *err)
{
	nx_rc rc = nx_pixel_desc_check(desc, err);

	if (rc)
		return rc;
	if (desc->samples != 1 || desc->bits_allocated > 32)
		return nx_err_set(err, NX_E_UNSUPPORTED, "gray of %u samples of %u bits",
			desc->samples, desc->bits_allocated);
	if (samples.n < nx_pixel_frame_len(desc))
		return nx_err_set(err, NX_E_SHORT, "frame of %zu bytes", samples.n);
	if ((g->modality && !lut_good(g->modality)) ||
		(g->presentation && !lut_good(g->presentation)) ||
		(g->voi == NX_VOI_LUT && (!g->voi_lut || !lut_good(g->voi_lut))))
		return nx_err_set(err, NX_E_MALFORMED, "look-up table without entries");
	return NX_OK;
}

static void bits_shade(
	const struct nx_pixel_desc *desc, struct nx_slice samples, bool inverse, uint8_t *out)
{
	nx_bits_unpack(samples.p, nx_frame_samples(desc), out);
	for (size_t i = 0; i < nx_frame_samples(desc); i++)
		out[i] = (out[i] != 0) != inverse ? 255 : 0;
}

/* One row of the table for every value that `bits` bits can have. */
static nx_rc by_table(const struct nx_pixel_desc *desc, struct nx_slice samples,
	const struct nx_gray *g, bool inverse, uint8_t *out, struct nx_err *err)
{
	const unsigned bytes = desc->bits_allocated / 8u;
	const uint32_t n = 1u << desc->bits_stored;
	NX_AUTO_MEM uint8_t *table = malloc(n);

	if (!table)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a look-up table");
	for (uint32_t i = 0; i < n; i++)
		table[i] = shade(g, inverse, (double)stored_value(desc, i));
	for (size_t i = 0; i < nx_frame_samples(desc); i++)
		out[i] = table[nx_sample_get(samples.p, bytes, i) & (n - 1)];
	return NX_OK;
}

nx_rc nx_render_gray(const struct nx_pixel_desc *desc, struct nx_slice samples,
	const struct nx_gray *gray, uint8_t *out, struct nx_err *err)
{
	const bool inverse =
		gray->inverse != (desc->photometric == NX_PHOTO_MONOCHROME1 && !gray->is_presented);
	struct nx_gray g = *gray;
	nx_rc rc = gray_check(desc, samples, &g, err);

	if (rc)
		return rc;
	if (desc->bits_allocated == 1) {
		bits_shade(desc, samples, inverse, out);
		return NX_OK;
	}
	if (g.voi == NX_VOI_FRAME)
		frame_window(desc, samples, &g);
	if (g.voi == NX_VOI_WHOLE)
		whole_window(desc, &g);
	if (desc->bits_stored <= TABLE_BITS)
		return by_table(desc, samples, &g, inverse, out, err);
	for (size_t i = 0; i < nx_frame_samples(desc); i++)
		out[i] = shade(&g, inverse,
			(double)stored_value(
				desc, nx_sample_get(samples.p, desc->bits_allocated / 8u, i)));
	return NX_OK;
}

/* ---- palettes ---- */

static uint8_t palette_get(const struct nx_lut *lut, int64_t v)
{
	return (uint8_t)((uint32_t)lut_get(lut, (double)v) >> (lut->bits - 8));
}

nx_rc nx_render_palette(const struct nx_pixel_desc *desc, struct nx_slice samples,
	const struct nx_palette *palette, uint8_t *out, struct nx_err *err)
{
	const struct nx_gray none = {0};
	nx_rc rc = gray_check(desc, samples, &none, err);

	if (rc)
		return rc;
	if (desc->bits_allocated == 1 || !lut_good(&palette->red) || !lut_good(&palette->green) ||
		!lut_good(&palette->blue))
		return nx_err_set(err, NX_E_MALFORMED, "palette without entries");
	for (size_t i = 0; i < nx_frame_samples(desc); i++) {
		const int64_t v =
			stored_value(desc, nx_sample_get(samples.p, desc->bits_allocated / 8u, i));

		out[3 * i] = palette_get(&palette->red, v);
		out[3 * i + 1] = palette_get(&palette->green, v);
		out[3 * i + 2] = palette_get(&palette->blue, v);
	}
	return NX_OK;
}

/* What a segmented palette is made into, and from. */
struct expansion {
	const uint16_t *segments;
	size_t n_segments;
	uint16_t *values;
	uint32_t n;    /* wanted */
	uint32_t have; /* made */
};

static bool discrete(struct expansion *e, size_t at, uint32_t len)
{
	if (len > e->n_segments - at || len > e->n - e->have)
		return false;
	memcpy(e->values + e->have, e->segments + at, len * sizeof(*e->values));
	e->have += len;
	return true;
}

/* From the value before to that at the end of the segment. */
static bool linear(struct expansion *e, size_t at, uint32_t len)
{
	int32_t from, to;

	if (at >= e->n_segments || !e->have || !len || len > e->n - e->have)
		return false;
	from = e->values[e->have - 1];
	to = e->segments[at];
	for (uint32_t i = 1; i <= len; i++)
		e->values[e->have++] =
			(uint16_t)lrint(from + (to - from) * ((double)i / (double)len));
	return true;
}

static bool segment(struct expansion *e, size_t *at, bool indirect_allowed);

/* Segments that are elsewhere already; these are not indirect themselves. */
static bool indirect(struct expansion *e, size_t at, uint32_t count)
{
	size_t from;

	if (e->n_segments - at < 2)
		return false;
	from = (size_t)e->segments[at] | (size_t)e->segments[at + 1] << 16;
	while (count-- > 0)
		if (!segment(e, &from, false))
			return false;
	return true;
}

static bool segment(struct expansion *e, size_t *at, bool indirect_allowed)
{
	const size_t i = *at;
	uint32_t len;

	if (i >= e->n_segments || e->n_segments - i < 2)
		return false;
	len = e->segments[i + 1];
	switch (e->segments[i]) {
	case 0:
		*at = i + 2 + len;
		return discrete(e, i + 2, len);
	case 1:
		*at = i + 3;
		return linear(e, i + 2, len);
	case 2:
		*at = i + 4;
		return indirect_allowed && indirect(e, i + 2, len);
	default:
		return false;
	}
}

nx_rc nx_lut_expand(const uint16_t *segments, size_t n_segments, uint16_t *ret_values, uint32_t n,
	struct nx_err *err)
{
	struct expansion e = {.segments = segments, .n_segments = n_segments, .n = n};
	size_t at = 0;

	e.values = ret_values;
	while (at < n_segments && e.have < n)
		if (!segment(&e, &at, true))
			return nx_err_set(
				err, NX_E_MALFORMED, "segmented palette breaks off at %zu", at);
	if (e.have != n)
		return nx_err_set(err, NX_E_MALFORMED,
			"segmented palette of %u entries instead of %u", e.have, n);
	return NX_OK;
}

/* ---- color ---- */

nx_rc nx_render_color(
	const struct nx_pixel_desc *desc, struct nx_slice samples, uint8_t *out, struct nx_err *err)
{
	const unsigned down = desc->bits_stored > 8 ? desc->bits_stored - 8u : 0;
	nx_rc rc = nx_pixel_desc_check(desc, err);

	if (rc)
		return rc;
	if (desc->samples != 3 || desc->planar || desc->bits_allocated < 8 ||
		desc->bits_allocated > 32)
		return nx_err_set(err, NX_E_UNSUPPORTED, "color of %u %s samples of %u bits",
			desc->samples, desc->planar ? "planar" : "interleaved",
			desc->bits_allocated);
	if (samples.n < nx_pixel_frame_len(desc))
		return nx_err_set(err, NX_E_SHORT, "frame of %zu bytes", samples.n);
	for (size_t i = 0; i < nx_frame_samples(desc); i++)
		out[i] = (uint8_t)(nx_sample_get(samples.p, desc->bits_allocated / 8u, i) >> down);
	if (desc->photometric == NX_PHOTO_YBR_FULL)
		nx_color_ybr_to_rgb(out, nx_frame_pixels(desc));
	return NX_OK;
}

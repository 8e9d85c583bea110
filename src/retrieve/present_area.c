#include <math.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/rd.h"
#include "retrieve/present_priv.h"
#include "retrieve/render.h"

/* ---- what is displayed, and how it lies ---- */

/* Column and row, from 1 (SL). */
static bool corner_read(const struct nx_dataset *ds, nx_tag tag, int64_t *x, int64_t *y)
{
	const struct nx_elem *e = nx_dataset_find(ds, tag);
	struct nx_rd rd = nx_rd(e && !e->is_bulk ? e->value : nx_slice(NULL, 0));
	uint32_t column, row;

	if (!nx_rd_u32le(&rd, &column) || !nx_rd_u32le(&rd, &row))
		return false;
	*x = (int32_t)column;
	*y = (int32_t)row;
	return true;
}

/* Of a pixel: height to width.  DS or IS, the second value after a backslash. */
static double ratio_read(const struct nx_dataset *ds, nx_tag tag)
{
	const struct nx_elem *e = nx_dataset_find(ds, tag);
	char text[64], *end;
	double down, across;

	if (!e || e->is_bulk || !e->value.n || e->value.n >= sizeof(text))
		return 0;
	memcpy(text, e->value.p, e->value.n);
	text[e->value.n] = 0;
	down = strtod(text, &end);
	if (*end != '\\')
		return 0;
	across = strtod(end + 1, NULL);
	return down > 0 && across > 0 && isfinite(down / across) ? down / across : 0;
}

static void size_read(const struct nx_dataset *item, struct present_area *a)
{
	const struct nx_elem *e =
		nx_dataset_find(item, NX_TAG_PRESENTATION_PIXEL_MAGNIFICATION_RATIO);
	double ratio = ratio_read(item, NX_TAG_PRESENTATION_PIXEL_SPACING);

	if (!(ratio > 0))
		ratio = ratio_read(item, NX_TAG_PRESENTATION_PIXEL_ASPECT_RATIO);
	if (ratio > 0)
		a->aspect = ratio;
	if (!present_term(item, NX_TAG_PRESENTATION_SIZE_MODE, "MAGNIFY"))
		return;
	a->magnify = 1;
	if (e && !e->is_bulk)
		(void)present_float(e->value, 0, &a->magnify);
	if (!(a->magnify > 0))
		a->magnify = 1;
}

/* Corners are named as they come to lie after the transformation: either may be the lower one. */
static nx_rc corners_read(const struct nx_dataset *item, struct present_area *a, struct nx_err *err)
{
	int64_t x1, y1, x2, y2;

	if (!corner_read(item, NX_TAG_DISPLAYED_AREA_TOP_LEFT_HAND_CORNER, &x1, &y1) ||
		!corner_read(item, NX_TAG_DISPLAYED_AREA_BOTTOM_RIGHT_HAND_CORNER, &x2, &y2))
		return nx_err_set(
			err, NX_E_MALFORMED, "(0070,005A): a displayed area without corners");
	if (llabs(x1 - x2) >= UINT16_MAX || llabs(y1 - y2) >= UINT16_MAX)
		return nx_err_set(err, NX_E_LIMIT, "displayed area of this size");
	a->left = (x1 < x2 ? x1 : x2) - 1;
	a->top = (y1 < y2 ? y1 : y2) - 1;
	a->columns = (uint32_t)llabs(x1 - x2) + 1;
	a->rows = (uint32_t)llabs(y1 - y2) + 1;
	return NX_OK;
}

nx_rc present_area_read(const struct present *p, const struct nx_pixel_desc *desc,
	struct present_area *ret, struct nx_err *err)
{
	const struct nx_dataset *ds = p->state.ds;
	const struct nx_elem *areas = nx_dataset_find(ds, NX_TAG_DISPLAYED_AREA_SELECTION_SEQUENCE);
	struct present_area a = {.columns = desc->columns, .rows = desc->rows, .aspect = 1};
	int64_t degrees = 0;
	nx_rc rc = NX_OK;

	for (size_t i = 0; areas && i < areas->n_items; i++) {
		if (!present_applies(p, areas->items[i]))
			continue;
		size_read(areas->items[i], &a);
		rc = corners_read(areas->items[i], &a, err);
		break;
	}
	(void)nx_dataset_int(ds, NX_TAG_IMAGE_ROTATION, &degrees);
	a.turns = (unsigned)(((degrees / 90) % 4 + 4) % 4);
	a.mirrored = present_term(ds, NX_TAG_IMAGE_HORIZONTAL_FLIP, "Y");
	if (!rc)
		*ret = a;
	return rc;
}

/* ---- making it ---- */

/* A new raster in the place of the old one, which is kept apart. */
static nx_rc raster_swap(struct nx_raster *raster, uint32_t rows, uint32_t columns,
	struct nx_raster *ret_old, struct nx_err *err)
{
	const size_t len = nx_raster_len(rows, columns, raster->samples);
	struct nx_raster made = {rows, columns, raster->samples, NULL};

	if (!len)
		return nx_err_set(err, NX_E_LIMIT, "picture of this size");
	made.pixels = malloc(len);
	if (!made.pixels)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a picture");
	*ret_old = *raster;
	*raster = made;
	return NX_OK;
}

static void scale(struct nx_affine *m, double across, double down)
{
	m->xx *= across;
	m->xy *= across;
	m->x0 *= across;
	m->yx *= down;
	m->yy *= down;
	m->y0 *= down;
}

static nx_rc cut(const struct present_area *a, struct nx_raster *raster, struct present_map *map,
	struct nx_err *err)
{
	struct nx_raster old;
	nx_rc rc = raster_swap(raster, a->rows, a->columns, &old, err);

	if (rc)
		return rc;
	nx_render_cut(&old, a->top, a->left, raster);
	free(old.pixels);
	map->pixel =
		(struct nx_affine){.xx = 1, .x0 = -(double)a->left, .yy = 1, .y0 = -(double)a->top};
	return NX_OK;
}

/* (x, y) goes to (height - y, x). */
static nx_rc turn(struct nx_raster *raster, struct present_map *map, struct nx_err *err)
{
	const struct nx_affine m = map->pixel;
	const double height = raster->rows;
	struct nx_raster old;
	nx_rc rc = raster_swap(raster, raster->columns, raster->rows, &old, err);

	if (rc)
		return rc;
	nx_render_turn(&old, raster);
	free(old.pixels);
	map->pixel = (struct nx_affine){-m.yx, -m.yy, height - m.y0, m.xx, m.xy, m.x0};
	return NX_OK;
}

static void mirror(struct nx_raster *raster, struct present_map *map)
{
	struct nx_affine *m = &map->pixel;

	nx_render_flip(raster, true, false);
	m->xx = -m->xx;
	m->xy = -m->xy;
	m->x0 = raster->columns - m->x0;
}

/* How large the picture is with square pixels, none of which got lost, at `by` times its size. */
static bool size_of(const struct present_area *a, const struct nx_raster *raster, double by,
	uint32_t *ret_columns, uint32_t *ret_rows)
{
	const double aspect = a->turns % 2 ? 1 / a->aspect : a->aspect;
	const double columns = raster->columns * (aspect < 1 ? 1 / aspect : 1) * by;
	const double rows = raster->rows * (aspect > 1 ? aspect : 1) * by;

	if (!(columns * rows <= NX_LIMIT_VIEWPORT) || columns > UINT16_MAX || rows > UINT16_MAX)
		return false;
	*ret_columns = columns < 1 ? 1 : (uint32_t)lrint(columns);
	*ret_rows = rows < 1 ? 1 : (uint32_t)lrint(rows);
	return true;
}

/* Into the viewport, but where the state says how large (PS3.18 9.5.2.3). */
static bool fitted(const struct present_area *a, const struct nx_viewport *v,
	const struct nx_raster *raster, uint32_t *ret_columns, uint32_t *ret_rows)
{
	double by = a->magnify > 0 ? a->magnify : 1;
	uint32_t columns, rows;

	if (!size_of(a, raster, by, ret_columns, ret_rows))
		return false;
	if (a->magnify > 0 || !v->columns || !v->rows)
		return true;
	columns = *ret_columns;
	rows = *ret_rows;
	by = fmin((double)v->columns / columns, (double)v->rows / rows);
	return (v->shrink_only && by > 1) || size_of(a, raster, by, ret_columns, ret_rows);
}

static nx_rc size_to(const struct present_area *a, const struct nx_viewport *v,
	struct nx_raster *raster, struct present_map *map, struct nx_err *err)
{
	const double across = raster->columns, down = raster->rows;
	uint32_t columns, rows;
	struct nx_raster old;
	nx_rc rc;

	if (!fitted(a, v, raster, &columns, &rows))
		return nx_err_set(err, NX_E_LIMIT, "picture of this size");
	if (columns == raster->columns && rows == raster->rows)
		return NX_OK;
	rc = raster_swap(raster, rows, columns, &old, err);
	if (rc)
		return rc;
	rc = nx_render_resize(&old, raster, err);
	free(old.pixels);
	scale(&map->pixel, columns / across, rows / down);
	scale(&map->display, columns / across, rows / down);
	return rc;
}

/* What was magnified is cropped from its top left corner. */
static nx_rc crop_to(const struct nx_viewport *v, struct nx_raster *raster, struct nx_err *err)
{
	struct nx_raster old;
	nx_rc rc;

	if (!v->columns || (raster->columns <= v->columns && raster->rows <= v->rows))
		return NX_OK;
	rc = raster_swap(raster, raster->rows < v->rows ? raster->rows : v->rows,
		raster->columns < v->columns ? raster->columns : v->columns, &old, err);
	if (rc)
		return rc;
	nx_render_cut(&old, 0, 0, raster);
	free(old.pixels);
	return NX_OK;
}

nx_rc present_area_view(const struct present_area *area, const struct nx_viewport *v,
	struct nx_raster *raster, struct present_map *ret_map, struct nx_err *err)
{
	struct present_map map;
	nx_rc rc = cut(area, raster, &map, err);

	for (unsigned i = 0; i < area->turns && !rc; i++)
		rc = turn(raster, &map, err);
	if (!rc && area->mirrored)
		mirror(raster, &map);
	map.display = (struct nx_affine){.xx = raster->columns, .yy = raster->rows};
	if (!rc)
		rc = size_to(area, v, raster, &map, err);
	if (!rc && area->magnify > 0)
		rc = crop_to(v, raster, err);
	*ret_map = map;
	return rc;
}

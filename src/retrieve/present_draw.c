#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "retrieve/present_priv.h"

enum {
	ROUND = 256,        /* edges of a circle */
	SMOOTH = 16,        /* edges between two points of a curve */
	LINE_PER = 512,     /* pixels of a side for each one of a line's width */
	TEXT_PER = 800,     /* and for each multiple of the font's size */
	POINT_WIDER = 2,    /* so that a point is seen */
	TEXT_AWAY = 4,      /* from its anchor, where it has no box */
	COORDINATE_LEN = 8, /* x and y as FL */
};

struct drawing {
	const struct present *p;
	const struct present_map *map;
	struct nx_canvas canvas;
	unsigned line;
	unsigned text;
};

/* ---- points ---- */

struct points {
	struct nx_point *at;
	size_t n;
};

static nx_rc points_alloc(const struct drawing *d, size_t n, struct points *ret, struct nx_err *err)
{
	if (n > NX_LIMIT_DRAWN_POINTS)
		return nx_err_set(
			err, NX_E_LIMIT, "(0070,0022): more than %u points", NX_LIMIT_DRAWN_POINTS);
	ret->at = nx_arena_alloc_array(d->p->state.arena, n + 1, sizeof(*ret->at));
	ret->n = n;
	return ret->at ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for graphics");
}

static struct nx_point point_of(struct nx_slice value, size_t i)
{
	struct nx_point p = {0, 0};

	(void)(present_float(value, 2 * i, &p.x) && present_float(value, 2 * i + 1, &p.y));
	return p;
}

static nx_rc points_read(const struct drawing *d, const struct nx_dataset *object,
	struct points *ret, struct nx_err *err)
{
	const struct nx_elem *e = nx_dataset_find(object, NX_TAG_GRAPHIC_DATA);
	struct nx_slice value = nx_slice(NULL, 0);
	nx_rc rc = e ? image_value(&d->p->state, e, &value, err) : NX_OK;

	if (!rc)
		rc = points_alloc(d, value.n / COORDINATE_LEN, ret, err);
	for (size_t i = 0; !rc && i < ret->n; i++)
		ret->at[i] = point_of(value, i);
	return rc;
}

static const struct nx_affine *units_of(
	const struct drawing *d, const struct nx_dataset *ds, nx_tag tag)
{
	return present_term(ds, tag, "DISPLAY") ? &d->map->display : &d->map->pixel;
}

/* ---- shapes, as lines from point to point ---- */

/* Around a center: what is a quarter of a turn apart. */
static nx_rc round_make(const struct drawing *d, struct nx_point center, struct nx_point u,
	struct nx_point v, struct points *ret, struct nx_err *err)
{
	nx_rc rc = points_alloc(d, ROUND + 1, ret, err);

	for (size_t i = 0; !rc && i < ret->n; i++) {
		const double turn = 2 * M_PI * (double)(i % ROUND) / ROUND;

		ret->at[i] = (struct nx_point){center.x + u.x * cos(turn) + v.x * sin(turn),
			center.y + u.y * cos(turn) + v.y * sin(turn)};
	}
	return rc;
}

/* C.10.5.1.2: the center, and a point on the circle. */
static nx_rc circle_make(
	const struct drawing *d, const struct points *in, struct points *ret, struct nx_err *err)
{
	double radius;

	if (in->n < 2)
		return nx_err_set(
			err, NX_E_MALFORMED, "(0070,0022): a circle of %zu points", in->n);
	radius = hypot(in->at[1].x - in->at[0].x, in->at[1].y - in->at[0].y);
	return round_make(
		d, in->at[0], (struct nx_point){radius, 0}, (struct nx_point){0, radius}, ret, err);
}

/* The ends of the major axis, and those of the minor one. */
static nx_rc ellipse_make(
	const struct drawing *d, const struct points *in, struct points *ret, struct nx_err *err)
{
	const struct nx_point *p = in->at;

	if (in->n < 4)
		return nx_err_set(
			err, NX_E_MALFORMED, "(0070,0022): an ellipse of %zu points", in->n);
	return round_make(d, (struct nx_point){(p[0].x + p[1].x) / 2, (p[0].y + p[1].y) / 2},
		(struct nx_point){(p[1].x - p[0].x) / 2, (p[1].y - p[0].y) / 2},
		(struct nx_point){(p[3].x - p[2].x) / 2, (p[3].y - p[2].y) / 2}, ret, err);
}

/* Catmull and Rom's curve between the middle two of four values. */
static double between(const double v[4], double t)
{
	return 0.5 *
		(2 * v[1] + (v[2] - v[0]) * t + (2 * v[0] - 5 * v[1] + 4 * v[2] - v[3]) * t * t +
			(3 * v[1] - v[0] - 3 * v[2] + v[3]) * t * t * t);
}

/* The point before or behind, on a curve that ends, or one that closes. */
static struct nx_point beside(const struct points *in, size_t i, int by)
{
	const struct nx_point *p = in->at;
	const bool closed = p[0].x == p[in->n - 1].x && p[0].y == p[in->n - 1].y;

	if (by < 0)
		return i ? p[i - 1] : closed ? p[in->n - 2] : p[0];
	return i + 1 < in->n ? p[i + 1] : closed ? p[1] : p[i];
}

/* A curve that goes through all points. */
static nx_rc curve_make(
	const struct drawing *d, const struct points *in, struct points *ret, struct nx_err *err)
{
	nx_rc rc;

	if (in->n < 3) {
		*ret = *in;
		return NX_OK;
	}
	rc = points_alloc(d, (in->n - 1) * SMOOTH + 1, ret, err);
	for (size_t i = 0; !rc && i + 1 < in->n; i++) {
		const struct nx_point p[4] = {
			beside(in, i, -1), in->at[i], in->at[i + 1], beside(in, i + 1, 1)};
		const double x[4] = {p[0].x, p[1].x, p[2].x, p[3].x};
		const double y[4] = {p[0].y, p[1].y, p[2].y, p[3].y};

		for (size_t k = 0; k < SMOOTH; k++)
			ret->at[i * SMOOTH + k] = (struct nx_point){
				between(x, (double)k / SMOOTH), between(y, (double)k / SMOOTH)};
	}
	if (!rc)
		ret->at[ret->n - 1] = in->at[in->n - 1];
	return rc;
}

static nx_rc lines_make(
	const struct drawing *d, const struct points *in, struct points *ret, struct nx_err *err)
{
	(void)d;
	(void)err;
	*ret = *in;
	return NX_OK;
}

static const struct shape {
	const char *term;
	nx_rc (*make)(const struct drawing *d, const struct points *in, struct points *ret,
		struct nx_err *err);
	bool closed; /* may be filled */
	bool point;
} shapes[] = {
	{"POINT", lines_make, false, true},
	{"POLYLINE", lines_make, true, false},
	{"INTERPOLATED", curve_make, true, false},
	{"CIRCLE", circle_make, true, false},
	{"ELLIPSE", ellipse_make, true, false},
};

static const struct shape *shape_of(const struct nx_dataset *object)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(shapes); i++)
		if (present_term(object, NX_TAG_GRAPHIC_TYPE, shapes[i].term))
			return &shapes[i];
	return NULL;
}

static nx_rc graphic_draw(struct drawing *d, const struct nx_dataset *object, struct nx_err *err)
{
	const struct nx_affine *map = units_of(d, object, NX_TAG_GRAPHIC_ANNOTATION_UNITS);
	const struct shape *shape = shape_of(object);
	struct points in = {NULL, 0}, made;
	nx_rc rc;

	if (!shape)
		return nx_err_set(err, NX_E_UNSUPPORTED, "(0070,0023): a graphic of another type");
	rc = points_read(d, object, &in, err);
	if (rc || !in.n)
		return rc;
	rc = shape->make(d, &in, &made, err);
	for (size_t i = 0; !rc && i < made.n; i++)
		made.at[i] = nx_affine_map(map, made.at[i]);
	if (!rc && shape->closed && present_term(object, NX_TAG_GRAPHIC_FILLED, "Y"))
		rc = nx_draw_area(&d->canvas, made.at, made.n, err);
	d->canvas.width = d->line + (shape->point ? POINT_WIDER : 0);
	return rc ? rc : nx_draw_lines(&d->canvas, made.at, shape->point ? 1 : made.n, err);
}

/* ---- text ---- */

static bool corner_of(const struct drawing *d, const struct nx_dataset *object, nx_tag units,
	nx_tag tag, struct nx_point *ret)
{
	const struct nx_elem *e = nx_dataset_find(object, tag);

	if (!e || e->is_bulk || e->value.n < COORDINATE_LEN)
		return false;
	*ret = nx_affine_map(units_of(d, object, units), point_of(e->value, 0));
	return fabs(ret->x) < INT32_MAX && fabs(ret->y) < INT32_MAX;
}

/* Where text is, by its box or beside its anchor. */
struct place {
	struct nx_point from; /* top left */
	struct nx_point to;
	struct nx_point anchor;
	bool boxed;
	bool anchored;
};

static struct place place_of(const struct drawing *d, const struct nx_dataset *object)
{
	const nx_tag box = NX_TAG_BOUNDING_BOX_ANNOTATION_UNITS;
	struct nx_point a, b;
	struct place at = {.boxed = false};

	at.anchored = corner_of(
		d, object, NX_TAG_ANCHOR_POINT_ANNOTATION_UNITS, NX_TAG_ANCHOR_POINT, &at.anchor);
	at.boxed = corner_of(d, object, box, NX_TAG_BOUNDING_BOX_TOP_LEFT_HAND_CORNER, &a) &&
		corner_of(d, object, box, NX_TAG_BOUNDING_BOX_BOTTOM_RIGHT_HAND_CORNER, &b);
	if (at.boxed) {
		at.from = (struct nx_point){fmin(a.x, b.x), fmin(a.y, b.y)};
		at.to = (struct nx_point){fmax(a.x, b.x), fmax(a.y, b.y)};
	} else if (at.anchored) {
		at.from = at.to = (struct nx_point){at.anchor.x + TEXT_AWAY, at.anchor.y};
	}
	return at;
}

/* From the box to what it is about. */
static nx_rc anchor_draw(struct drawing *d, const struct place *at, struct nx_err *err)
{
	const struct nx_point line[] = {{fmin(fmax(at->anchor.x, at->from.x), at->to.x),
						fmin(fmax(at->anchor.y, at->from.y), at->to.y)},
		at->anchor};

	d->canvas.width = d->line;
	return nx_draw_lines(&d->canvas, line, NX_ARRAY_LEN(line), err);
}

static nx_rc text_draw(struct drawing *d, const struct nx_dataset *object, struct nx_err *err)
{
	const nx_tag side = NX_TAG_BOUNDING_BOX_TEXT_HORIZONTAL_JUSTIFICATION;
	const char *text =
		nx_dataset_text(object, NX_TAG_UNFORMATTED_TEXT_VALUE, d->p->state.arena);
	const struct place at = place_of(d, object);
	uint32_t columns, rows;
	double x = at.from.x;
	nx_rc rc;

	if (!text)
		return nx_err_set(err, NX_E_NOMEM, "no memory for text");
	if (!at.boxed && !at.anchored)
		return NX_OK;
	nx_text_measure(text, d->text, &columns, &rows);
	if (present_term(object, side, "RIGHT"))
		x = at.to.x - columns;
	else if (present_term(object, side, "CENTER"))
		x = (at.from.x + at.to.x - columns) / 2;
	rc = nx_draw_text(&d->canvas, (int64_t)x, (int64_t)at.from.y, d->text, text, err);
	if (!rc && at.boxed && at.anchored &&
		present_term(object, NX_TAG_ANCHOR_POINT_VISIBILITY, "Y"))
		rc = anchor_draw(d, &at, err);
	return rc;
}

/* ---- all of it ---- */

struct layered {
	const struct nx_dataset *item;
	int64_t order;
	size_t at; /* among those of its layer */
	uint8_t value;
};

static int layered_compare(const void *a, const void *b)
{
	const struct layered *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

static nx_rc objects_draw(struct drawing *d, const struct nx_dataset *item, nx_tag sequence,
	nx_rc (*draw)(struct drawing *d, const struct nx_dataset *object, struct nx_err *err),
	struct nx_err *err)
{
	const struct nx_elem *e = nx_dataset_find(item, sequence);
	nx_rc rc = NX_OK;

	for (size_t i = 0; e && i < e->n_items && !rc; i++)
		rc = draw(d, e->items[i], err);
	return rc;
}

static nx_rc items_sort(const struct present *p, const struct nx_elem *annotations,
	struct layered **ret, size_t *ret_n, struct nx_err *err)
{
	struct layered *list =
		nx_arena_alloc_array(p->state.arena, annotations->n_items + 1, sizeof(*list));
	size_t n = 0;

	if (!list)
		return nx_err_set(err, NX_E_NOMEM, "no memory for graphics");
	for (size_t i = 0; i < annotations->n_items; i++) {
		const struct nx_dataset *item = annotations->items[i];
		const struct nx_elem *layer = nx_dataset_find(item, NX_TAG_GRAPHIC_LAYER);

		if (!present_applies(p, item))
			continue;
		list[n] = (struct layered){.item = item, .at = i};
		list[n].value = present_layer(p,
			layer && !layer->is_bulk ? layer->value : nx_slice(NULL, 0),
			&list[n].order);
		n++;
	}
	qsort(list, n, sizeof(*list), layered_compare);
	*ret = list;
	*ret_n = n;
	return NX_OK;
}

nx_rc present_draw(const struct present *p, const struct present_map *map, struct nx_raster *raster,
	struct nx_err *err)
{
	const struct nx_elem *annotations =
		nx_dataset_find(p->state.ds, NX_TAG_GRAPHIC_ANNOTATION_SEQUENCE);
	const uint32_t side = raster->rows < raster->columns ? raster->rows : raster->columns;
	struct drawing d = {
		.p = p, .map = map, .line = 1 + side / LINE_PER, .text = 1 + side / TEXT_PER};
	struct layered *list = NULL;
	size_t n = 0;
	nx_rc rc = annotations ? items_sort(p, annotations, &list, &n, err) : NX_OK;

	nx_canvas_init(&d.canvas, raster);
	for (size_t i = 0; i < n && !rc; i++) {
		nx_canvas_shade(&d.canvas, list[i].value);
		rc = objects_draw(
			&d, list[i].item, NX_TAG_GRAPHIC_OBJECT_SEQUENCE, graphic_draw, err);
		if (!rc)
			rc = objects_draw(
				&d, list[i].item, NX_TAG_TEXT_OBJECT_SEQUENCE, text_draw, err);
	}
	return rc;
}

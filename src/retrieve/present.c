#include "retrieve/present_priv.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/rd.h"

enum {
	OVERLAY_FIRST = 0x6000,
	INTEGER_MAX = 16, /* characters of an IS, with padding */
	P_VALUE_SHIFT = 8 /* P-values have 16 bits here */
};

/* ---- values ---- */

static struct nx_slice trimmed(struct nx_slice s)
{
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == 0))
		s.n--;
	while (s.n && *s.p == ' ')
		s = nx_slice(s.p + 1, s.n - 1);
	return s;
}

static bool is_text(struct nx_slice s, const char *text)
{
	s = trimmed(s);
	return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

bool present_term(const struct nx_dataset *ds, nx_tag tag, const char *term)
{
	const struct nx_elem *e = nx_dataset_find(ds, tag);

	return e && !e->is_bulk && is_text(e->value, term);
}

/* The next of values with backslashes between; false: there is none left. */
static bool value_next(struct nx_slice *values, struct nx_slice *ret)
{
	const uint8_t *end;

	if (!values->p || !values->n)
		return false;
	end = memchr(values->p, '\\', values->n);
	*ret = nx_slice(values->p, end ? (size_t)(end - values->p) : values->n);
	*values = end ? nx_slice(end + 1, values->n - ret->n - 1) : nx_slice(NULL, 0);
	return true;
}

static bool integer_next(struct nx_slice *values, int64_t *ret)
{
	char text[INTEGER_MAX + 1];
	struct nx_slice s;
	char *end;

	if (!value_next(values, &s) || !s.n || s.n > INTEGER_MAX)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = 0;
	*ret = strtoll(text, &end, 10);
	return end != text && *ret >= INT32_MIN && *ret <= INT32_MAX;
}

bool present_float(struct nx_slice value, size_t i, double *ret)
{
	struct nx_rd rd = nx_rd(value);
	uint32_t bits;
	float v;

	if (!nx_rd_skip(&rd, i * sizeof(bits)) || !nx_rd_u32le(&rd, &bits))
		return false;
	memcpy(&v, &bits, sizeof(v));
	*ret = (double)v;
	return true;
}

static struct nx_slice values_of(const struct nx_dataset *ds, nx_tag tag)
{
	const struct nx_elem *e = nx_dataset_find(ds, tag);

	return e && !e->is_bulk ? e->value : nx_slice(NULL, 0);
}

/* ---- what applies to which frame ---- */

static bool frame_listed(const struct nx_dataset *ref, uint32_t frame)
{
	struct nx_slice numbers = values_of(ref, NX_TAG_REFERENCED_FRAME_NUMBER);
	int64_t n;

	if (!numbers.n)
		return true;
	while (integer_next(&numbers, &n))
		if (n == frame + 1ll)
			return true;
	return false;
}

bool present_applies(const struct present *p, const struct nx_dataset *item)
{
	const struct nx_elem *refs = nx_dataset_find(item, NX_TAG_REFERENCED_IMAGE_SEQUENCE);

	if (!refs || !refs->n_items)
		return true;
	for (size_t i = 0; i < refs->n_items; i++)
		if (present_term(refs->items[i], NX_TAG_REFERENCED_SOP_INSTANCE_UID, p->instance) &&
			frame_listed(refs->items[i], p->frame))
			return true;
	return false;
}

uint8_t present_layer(const struct present *p, struct nx_slice name, int64_t *ret_order)
{
	const struct nx_elem *layers = nx_dataset_find(p->state.ds, NX_TAG_GRAPHIC_LAYER_SEQUENCE);
	const size_t n = layers ? layers->n_items : 0;
	int64_t value = UINT16_MAX;

	*ret_order = INT64_MAX;
	name = trimmed(name);
	for (size_t i = 0; i < n && i < NX_LIMIT_GRAPHIC_LAYERS; i++) {
		const struct nx_dataset *layer = layers->items[i];
		const struct nx_slice at = trimmed(values_of(layer, NX_TAG_GRAPHIC_LAYER));

		if (!nx_slice_eq(at, name))
			continue;
		(void)nx_dataset_int(layer, NX_TAG_GRAPHIC_LAYER_ORDER, ret_order);
		(void)nx_dataset_int(
			layer, NX_TAG_GRAPHIC_LAYER_RECOMMENDED_DISPLAY_GRAYSCALE_VALUE, &value);
		break;
	}
	return (uint8_t)((uint16_t)value >> P_VALUE_SHIFT);
}

/* ---- gray ---- */

static nx_rc presentation_read(const struct present *p, struct image *image, struct nx_err *err)
{
	const struct nx_dataset *table =
		image_item(p->state.ds, NX_TAG_PRESENTATION_LUT_SEQUENCE, 0);
	nx_rc rc;

	if (!table) {
		image->gray.inverse =
			present_term(p->state.ds, NX_TAG_PRESENTATION_LUT_SHAPE, "INVERSE");
		return NX_OK;
	}
	rc = image_table(&p->state, table, false, &image->presentation, err);
	image->gray.presentation = &image->presentation;
	return rc;
}

static nx_rc gray_read(const struct present *p, const struct nx_pixel_desc *desc,
	struct image *image, struct nx_err *err)
{
	const struct nx_elem *windows =
		nx_dataset_find(p->state.ds, NX_TAG_SOFTCOPY_VOILUT_SEQUENCE);
	const size_t n = windows ? windows->n_items : 0;
	nx_rc rc = image_modality(&p->state, p->state.ds, desc, image, err);

	image->gray.is_presented = true;
	image->gray.voi = NX_VOI_WHOLE;
	for (size_t i = 0; i < n && !rc; i++)
		if (present_applies(p, windows->items[i])) {
			rc = image_voi(&p->state, windows->items[i], desc, image, err);
			break;
		}
	return rc ? rc : presentation_read(p, image, err);
}

/* ---- shutters ---- */

static bool pair_read(const struct nx_dataset *ds, nx_tag tag, int64_t *a, int64_t *b)
{
	struct nx_slice values = values_of(ds, tag);

	return integer_next(&values, a) && integer_next(&values, b);
}

static bool edges_read(const struct nx_dataset *ds, struct nx_shutter *s)
{
	s->rectangular = nx_dataset_int(ds, NX_TAG_SHUTTER_LEFT_VERTICAL_EDGE, &s->left) &&
		nx_dataset_int(ds, NX_TAG_SHUTTER_RIGHT_VERTICAL_EDGE, &s->right) &&
		nx_dataset_int(ds, NX_TAG_SHUTTER_UPPER_HORIZONTAL_EDGE, &s->upper) &&
		nx_dataset_int(ds, NX_TAG_SHUTTER_LOWER_HORIZONTAL_EDGE, &s->lower);
	return s->rectangular;
}

static bool circle_read(const struct nx_dataset *ds, struct nx_shutter *s)
{
	s->circular = pair_read(ds, NX_TAG_CENTER_OF_CIRCULAR_SHUTTER, &s->row, &s->column) &&
		nx_dataset_int(ds, NX_TAG_RADIUS_OF_CIRCULAR_SHUTTER, &s->radius);
	return s->circular;
}

static nx_rc polygon_read(const struct present *p, struct nx_shutter *s, struct nx_err *err)
{
	struct nx_slice values = values_of(p->state.ds, NX_TAG_VERTICES_OF_THE_POLYGONAL_SHUTTER);
	const size_t most = values.n / 4 + 1; /* "1\1\" */
	struct nx_point *points;
	int64_t row, column;
	size_t n = 0;

	if (most > NX_LIMIT_DRAWN_POINTS)
		return nx_err_set(
			err, NX_E_LIMIT, "(0018,1620): more than %u points", NX_LIMIT_DRAWN_POINTS);
	points = nx_arena_alloc_array(p->state.arena, most, sizeof(*points));
	if (!points)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a shutter");
	while (n < most && integer_next(&values, &row) && integer_next(&values, &column))
		points[n++] = (struct nx_point){(double)column - 0.5, (double)row - 0.5};
	s->polygon = points;
	s->n_polygon = n;
	return n > 2 ? NX_OK : nx_err_set(err, NX_E_MALFORMED, "(0018,1620) is no polygon");
}

/* What is not there as it should be hides nothing of what it should hide: that is an error. */
static nx_rc shutter_read(const struct present *p, struct image *image, struct nx_err *err)
{
	const struct nx_dataset *ds = p->state.ds;
	struct nx_slice shapes = values_of(ds, NX_TAG_SHUTTER_SHAPE), shape;
	struct nx_shutter *s = &image->shutter;
	int64_t value = 0;
	bool good = true;
	nx_rc rc = NX_OK;

	(void)nx_dataset_int(ds, NX_TAG_SHUTTER_PRESENTATION_VALUE, &value);
	s->value = (uint8_t)((uint16_t)value >> P_VALUE_SHIFT);
	while (value_next(&shapes, &shape) && good && !rc) {
		if (is_text(shape, "RECTANGULAR"))
			good = edges_read(ds, s);
		else if (is_text(shape, "CIRCULAR"))
			good = circle_read(ds, s);
		else if (is_text(shape, "POLYGONAL"))
			rc = polygon_read(p, s, err);
	}
	image->has_shutter = s->rectangular || s->circular || s->n_polygon;
	if (!rc && !good)
		rc = nx_err_set(err, NX_E_MALFORMED, "(0018,1600): a shutter without its edges");
	return rc;
}

/* ---- overlays ---- */

/* Of the state where it has the group, else of the image (C.11.7). */
static nx_rc overlay_find(const struct present *p, const struct image_source *source, nx_tag group,
	struct nx_overlay *ret, bool *ret_there, struct nx_err *err)
{
	const bool own = nx_dataset_find(p->state.ds, group | 0x3000);

	return image_overlay(own ? &p->state : source, group, p->frame, ret, ret_there, err);
}

/* A group whose layer is named is drawn in the gray of it; that of a bitmap shutter hides. */
static nx_rc overlays_read(const struct present *p, const struct image_source *source,
	struct image *image, struct nx_err *err)
{
	const bool bitmap = present_term(p->state.ds, NX_TAG_SHUTTER_SHAPE, "BITMAP");
	int64_t hiding = 0, order;
	nx_rc rc = NX_OK;

	if (bitmap)
		(void)nx_dataset_int(p->state.ds, NX_TAG_SHUTTER_OVERLAY_GROUP, &hiding);
	for (uint32_t i = 0; i < IMAGE_OVERLAYS && !rc; i++) {
		const uint32_t number = OVERLAY_FIRST + 2 * i;
		const nx_tag group = NX_TAG(number, 0);
		const struct nx_slice layer = values_of(p->state.ds, group | 0x1001);
		const bool hides = bitmap && hiding == number;
		const size_t n = image->n_overlays;
		bool there = false;

		if (!trimmed(layer).n && !hides)
			continue;
		rc = overlay_find(p, source, group, &image->overlays[n], &there, err);
		image->overlay_values[n] =
			hides ? image->shutter.value : present_layer(p, layer, &order);
		image->n_overlays += there && !rc;
	}
	return rc;
}

nx_rc present_describe(const struct present *p, const struct image_source *source,
	const struct nx_pixel_desc *desc, struct image *image, struct nx_err *err)
{
	const bool gray = desc->samples == 1 && desc->photometric != NX_PHOTO_PALETTE;
	nx_rc rc = gray ? gray_read(p, desc, image, err) : NX_OK;

	if (!rc)
		rc = shutter_read(p, image, err);
	return rc ? rc : overlays_read(p, source, image, err);
}

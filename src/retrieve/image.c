#include "retrieve/image_priv.h"

#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "dicom/dicom.h"

enum {
	NUMBER_MAX = 64,
	DESCRIPTOR_LEN = 6,
	OVERLAY_FIRST = 0x6000,
	DELAY_MS = 100,
	DELAY_MS_MAX = 10000
};

/* ---- values ---- */

nx_rc image_value(const struct image_source *s, const struct nx_elem *e, struct nx_slice *ret,
	struct nx_err *err)
{
	if (e->is_bulk)
		return s->bulk(s->payload, e, ret, err);
	*ret = e->value;
	return NX_OK;
}

/* The first value of DS, as a number. */
bool image_number(const struct nx_dataset *ds, nx_tag tag, double *ret)
{
	const struct nx_elem *e = nx_dataset_find(ds, tag);
	char text[NUMBER_MAX], *end;
	size_t n = 0;
	double v;

	if (!e || e->is_bulk)
		return false;
	while (n < e->value.n && n < sizeof(text) - 1 && e->value.p[n] != '\\') {
		text[n] = (char)e->value.p[n];
		n++;
	}
	text[n] = 0;
	v = strtod(text, &end);
	if (end == text || !isfinite(v))
		return false;
	*ret = v;
	return true;
}

static uint16_t word(struct nx_slice bytes, size_t i)
{
	return (uint16_t)(bytes.p[2 * i] | bytes.p[2 * i + 1] << 8);
}

const struct nx_dataset *image_item(const struct nx_dataset *ds, nx_tag sequence, size_t i)
{
	const struct nx_elem *e = nx_dataset_find(ds, sequence);

	return e && i < e->n_items ? e->items[i] : NULL;
}

/* A macro of the functional groups (C.7.6.16): the frame's own, that of all, or the data set. */
static const struct nx_dataset *group_of(
	const struct nx_dataset *ds, uint32_t frame, nx_tag sequence)
{
	const struct nx_dataset *own =
		image_item(ds, NX_TAG_PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frame);
	const struct nx_dataset *all = image_item(ds, NX_TAG_SHARED_FUNCTIONAL_GROUPS_SEQUENCE, 0);
	const struct nx_dataset *found = own ? image_item(own, sequence, 0) : NULL;

	if (!found && all)
		found = image_item(all, sequence, 0);
	return found ? found : ds;
}

/* ---- look-up tables ---- */

struct lut_tags {
	nx_tag descriptor;
	nx_tag data;
	nx_tag segmented; /* 0: there is no such thing */
};

static nx_rc missing(struct nx_err *err, nx_tag tag)
{
	return nx_err_set(
		err, NX_E_MALFORMED, "(%04X,%04X) is no look-up table", tag >> 16, tag & 0xffff);
}

static bool descriptor_read(
	const struct nx_dataset *ds, nx_tag tag, bool is_signed, struct nx_lut *ret)
{
	const struct nx_elem *e = nx_dataset_find(ds, tag);
	uint16_t first;

	if (!e || e->is_bulk || e->value.n < DESCRIPTOR_LEN)
		return false;
	first = word(e->value, 1);
	ret->n = word(e->value, 0) ? word(e->value, 0) : NX_LIMIT_PIXEL_LUT;
	ret->first = is_signed || e->vr == NX_VR('S', 'S') ? (int16_t)first : first;
	ret->bits = word(e->value, 2);
	return true;
}

/* Entries as words, or, of 8 bits, as bytes.  Some tables have more bits than they say. */
static nx_rc entries_copy(
	struct nx_lut *lut, struct nx_slice bytes, uint16_t *to, nx_tag tag, struct nx_err *err)
{
	const bool wide = bytes.n >= 2ull * lut->n;
	uint16_t most = 0;

	if (!wide && (bytes.n < lut->n || lut->bits > 8))
		return missing(err, tag);
	for (uint32_t i = 0; i < lut->n; i++) {
		to[i] = wide ? word(bytes, i) : bytes.p[i];
		most = to[i] > most ? to[i] : most;
	}
	lut->bits = lut->bits < 8 || lut->bits > 16 ? 16 : lut->bits;
	if (most >> lut->bits)
		lut->bits = 16;
	return NX_OK;
}

static nx_rc segments_expand(const struct image_source *s, const struct nx_elem *e,
	struct nx_lut *lut, uint16_t *to, struct nx_err *err)
{
	struct nx_slice bytes;
	uint16_t *segments;
	nx_rc rc = image_value(s, e, &bytes, err);

	if (rc)
		return rc;
	segments = nx_arena_alloc_array(s->arena, bytes.n / 2 + 1, sizeof(*segments));
	if (!segments)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a palette");
	for (size_t i = 0; i < bytes.n / 2; i++)
		segments[i] = word(bytes, i);
	lut->bits = 16; /* C.7.9.2 */
	return nx_lut_expand(segments, bytes.n / 2, to, lut->n, err);
}

static nx_rc lut_read(const struct image_source *s, const struct nx_dataset *ds,
	const struct lut_tags *tags, bool is_signed, struct nx_lut *ret, struct nx_err *err)
{
	const struct nx_elem *data = nx_dataset_find(ds, tags->data);
	const struct nx_elem *segments =
		tags->segmented ? nx_dataset_find(ds, tags->segmented) : NULL;
	struct nx_lut lut;
	struct nx_slice bytes;
	uint16_t *values;
	nx_rc rc;

	if (!descriptor_read(ds, tags->descriptor, is_signed, &lut) || (!data && !segments))
		return missing(err, tags->descriptor);
	values = nx_arena_alloc_array(s->arena, lut.n, sizeof(*values));
	if (!values)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a look-up table");
	if (data) {
		rc = image_value(s, data, &bytes, err);
		if (!rc)
			rc = entries_copy(&lut, bytes, values, tags->data, err);
	} else {
		rc = segments_expand(s, segments, &lut, values, err);
	}
	lut.values = values;
	if (!rc)
		*ret = lut;
	return rc;
}

nx_rc image_table(const struct image_source *s, const struct nx_dataset *item, bool is_signed,
	struct nx_lut *ret, struct nx_err *err)
{
	static const struct lut_tags tags = {NX_TAG_LUT_DESCRIPTOR, NX_TAG_LUT_DATA, 0};

	return lut_read(s, item, &tags, is_signed, ret, err);
}

static nx_rc palette_read(
	const struct image_source *s, bool is_signed, struct nx_palette *ret, struct nx_err *err)
{
	static const struct lut_tags red = {NX_TAG_RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
		NX_TAG_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
		NX_TAG_SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA};
	static const struct lut_tags green = {NX_TAG_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
		NX_TAG_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
		NX_TAG_SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA};
	static const struct lut_tags blue = {NX_TAG_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
		NX_TAG_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
		NX_TAG_SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA};
	nx_rc rc = lut_read(s, s->ds, &red, is_signed, &ret->red, err);

	if (!rc)
		rc = lut_read(s, s->ds, &green, is_signed, &ret->green, err);
	if (!rc)
		rc = lut_read(s, s->ds, &blue, is_signed, &ret->blue, err);
	return rc;
}

/* ---- modality and VOI ---- */

nx_rc image_modality(const struct image_source *s, const struct nx_dataset *change,
	const struct nx_pixel_desc *desc, struct image *image, struct nx_err *err)
{
	const struct nx_dataset *table = image_item(s->ds, NX_TAG_MODALITY_LUT_SEQUENCE, 0);
	nx_rc rc;

	(void)image_number(change, NX_TAG_RESCALE_SLOPE, &image->gray.slope);
	(void)image_number(change, NX_TAG_RESCALE_INTERCEPT, &image->gray.intercept);
	if (!table)
		return NX_OK;
	rc = image_table(s, table, desc->is_signed, &image->modality, err);
	image->gray.modality = &image->modality;
	return rc;
}

static enum nx_voi function_of(const struct nx_dataset *ds)
{
	static const struct {
		const char *term;
		enum nx_voi voi;
	} terms[] = {{"LINEAR_EXACT", NX_VOI_LINEAR_EXACT}, {"SIGMOID", NX_VOI_SIGMOID}};
	const struct nx_elem *e = nx_dataset_find(ds, NX_TAG_VOILUT_FUNCTION);

	for (size_t i = 0; e && i < NX_ARRAY_LEN(terms); i++)
		if (e->value.n >= strlen(terms[i].term) &&
			memcmp(e->value.p, terms[i].term, strlen(terms[i].term)) == 0)
			return terms[i].voi;
	return NX_VOI_LINEAR;
}

nx_rc image_voi(const struct image_source *s, const struct nx_dataset *ds,
	const struct nx_pixel_desc *desc, struct image *image, struct nx_err *err)
{
	const struct nx_dataset *table = image_item(ds, NX_TAG_VOILUT_SEQUENCE, 0);
	struct nx_gray *g = &image->gray;

	if (image_number(ds, NX_TAG_WINDOW_CENTER, &g->center) &&
		image_number(ds, NX_TAG_WINDOW_WIDTH, &g->width) && g->width > 0) {
		g->voi = function_of(ds);
		return NX_OK;
	}
	if (!table)
		return NX_OK;
	g->voi = NX_VOI_LUT;
	g->voi_lut = &image->voi;
	return image_table(
		s, table, !g->modality && (desc->is_signed || g->intercept < 0), &image->voi, err);
}

static void padding_read(const struct nx_dataset *ds, struct nx_gray *g)
{
	int64_t low, high;

	if (!nx_dataset_int(ds, NX_TAG_PIXEL_PADDING_VALUE, &low))
		return;
	if (!nx_dataset_int(ds, NX_TAG_PIXEL_PADDING_RANGE_LIMIT, &high))
		high = low;
	g->has_padding = true;
	g->padding_low = low < high ? low : high;
	g->padding_high = low < high ? high : low;
}

/* ---- overlays ---- */

static bool small(const struct nx_dataset *ds, nx_tag tag, uint32_t *ret)
{
	int64_t v;

	if (!nx_dataset_int(ds, tag, &v) || v < 1 || v > NX_LIMIT_PIXEL_FRAMES)
		return false;
	*ret = (uint32_t)v;
	return true;
}

/* The plane of `frame` among those of the group; false: the frame has none. */
static bool plane_of(const struct nx_dataset *ds, nx_tag group, uint32_t frame, uint32_t *ret)
{
	uint32_t planes = 0, first = 1;

	*ret = 0;
	if (!small(ds, group | 0x0015, &planes))
		return true;
	(void)small(ds, group | 0x0051, &first);
	*ret = frame + 1 - first;
	return frame + 1 >= first && *ret < planes;
}

static nx_rc bits_read(const struct image_source *s, const struct nx_elem *data,
	const struct nx_pixel_desc *plane, uint32_t at, struct nx_slice *ret, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) bits;
	struct nx_slice bytes;
	nx_rc rc = image_value(s, data, &bytes, err);

	nx_buf_init(&bits, NX_LIMIT_PIXEL_RENDERED, NX_BUF_WIPE);
	if (!rc)
		rc = nx_pixel_native_frame(plane, bytes, at, &bits, err);
	if (rc)
		return rc;
	*ret = nx_slice(nx_arena_copy(s->arena, bits.data, bits.len), bits.len);
	return ret->p ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for an overlay");
}

nx_rc image_overlay(const struct image_source *s, nx_tag group, uint32_t frame,
	struct nx_overlay *ret, bool *ret_there, struct nx_err *err)
{
	const struct nx_elem *data = nx_dataset_find(s->ds, group | 0x3000);
	const struct nx_elem *origin = nx_dataset_find(s->ds, group | 0x0050);
	struct nx_pixel_desc plane = {.samples = 1, .bits_allocated = 1, .bits_stored = 1};
	uint32_t at = 0;
	nx_rc rc;

	*ret_there = data && small(s->ds, group | 0x0010, &plane.rows) &&
		small(s->ds, group | 0x0011, &plane.columns) && plane.rows <= UINT16_MAX &&
		plane.columns <= UINT16_MAX && plane_of(s->ds, group, frame, &at);
	if (!*ret_there)
		return NX_OK;
	*ret = (struct nx_overlay){plane.rows, plane.columns, 1, 1, nx_slice(NULL, 0)};
	if (origin && !origin->is_bulk && origin->value.n >= 4) {
		ret->row = (int16_t)word(origin->value, 0);
		ret->column = (int16_t)word(origin->value, 1);
	}
	rc = bits_read(s, data, &plane, at, &ret->bits, err);
	*ret_there = !rc;
	return rc == NX_E_SHORT ? NX_OK : rc; /* what is not there cannot be shown */
}

static nx_rc overlays_read(
	const struct image_source *s, uint32_t frame, struct image *image, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (uint32_t i = 0; i < IMAGE_OVERLAYS && !rc; i++) {
		bool there = false;

		rc = image_overlay(s, NX_TAG(OVERLAY_FIRST + 2 * i, 0), frame,
			&image->overlays[image->n_overlays], &there, err);
		image->overlay_values[image->n_overlays] = UINT8_MAX;
		image->n_overlays += there && !rc;
	}
	return rc;
}

/* ---- all of it ---- */

static enum nx_color_space space_read(const struct nx_dataset *ds)
{
	static const struct {
		const char *term;
		enum nx_color_space space;
	} terms[] = {{"ADOBERGB", NX_COLOR_ADOBE_RGB}, {"ROMMRGB", NX_COLOR_ROMM_RGB}};
	const struct nx_elem *e = nx_dataset_find(ds, NX_TAG_COLOR_SPACE);

	for (size_t i = 0; e && i < NX_ARRAY_LEN(terms); i++)
		if (e->value.n >= strlen(terms[i].term) &&
			memcmp(e->value.p, terms[i].term, strlen(terms[i].term)) == 0)
			return terms[i].space;
	return NX_COLOR_SRGB;
}

static nx_rc icc_read(const struct image_source *s, struct nx_slice *ret, struct nx_err *err)
{
	const struct nx_dataset *path = image_item(s->ds, NX_TAG_OPTICAL_PATH_SEQUENCE, 0);
	const struct nx_elem *e = nx_dataset_find(s->ds, NX_TAG_ICC_PROFILE);

	if (!e && path)
		e = nx_dataset_find(path, NX_TAG_ICC_PROFILE);
	if (!e || (e->is_bulk ? e->bulk_length : e->value.n) > NX_LIMIT_ICC)
		return NX_OK;
	return image_value(s, e, ret, err);
}

nx_rc image_describe(const struct image_source *source, const struct nx_pixel_desc *desc,
	uint32_t frame, struct image *ret, struct nx_err *err)
{
	const struct nx_dataset *ds = source->ds;
	nx_rc rc = image_colors(source, desc, ret, err);

	if (!rc && desc->samples == 1 && desc->photometric != NX_PHOTO_PALETTE) {
		ret->gray.voi = NX_VOI_FRAME;
		rc = image_modality(source,
			group_of(ds, frame, NX_TAG_PIXEL_VALUE_TRANSFORMATION_SEQUENCE), desc, ret,
			err);
		if (!rc)
			rc = image_voi(source, group_of(ds, frame, NX_TAG_FRAME_VOILUT_SEQUENCE),
				desc, ret, err);
		padding_read(ds, &ret->gray);
	}
	return rc ? rc : overlays_read(source, frame, ret, err);
}

nx_rc image_colors(const struct image_source *source, const struct nx_pixel_desc *desc,
	struct image *ret, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	*ret = (struct image){.space = space_read(source->ds)};
	if (desc->photometric == NX_PHOTO_PALETTE)
		rc = palette_read(source, desc->is_signed, &ret->palette, err);
	return rc ? rc : icc_read(source, &ret->icc, err);
}

static nx_rc shades(const struct image *image, const struct nx_pixel_desc *desc,
	struct nx_slice samples, uint8_t *out, struct nx_err *err)
{
	if (desc->photometric == NX_PHOTO_PALETTE)
		return nx_render_palette(desc, samples, &image->palette, out, err);
	if (desc->samples == 1)
		return nx_render_gray(desc, samples, &image->gray, out, err);
	return nx_render_color(desc, samples, out, err);
}

nx_rc image_render(const struct image *image, const struct nx_pixel_desc *desc,
	struct nx_slice samples, struct nx_raster *ret, struct nx_err *err)
{
	const bool gray = desc->samples == 1 && desc->photometric != NX_PHOTO_PALETTE;
	struct nx_raster raster = {
		.rows = desc->rows, .columns = desc->columns, .samples = gray ? 1 : 3};
	const size_t len = nx_raster_len(raster.rows, raster.columns, raster.samples);
	NX_AUTO_MEM uint8_t *pixels = NULL;
	nx_rc rc;

	if (!len)
		return nx_err_set(err, NX_E_LIMIT, "image of this size is not rendered");
	pixels = malloc(len);
	if (!pixels)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an image");
	rc = shades(image, desc, samples, pixels, err);
	if (rc)
		return rc;
	raster.pixels = pixels;
	if (image->has_shutter)
		rc = nx_render_shutter(&raster, &image->shutter, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < image->n_overlays; i++)
		nx_render_overlay(&raster, &image->overlays[i], image->overlay_values[i]);
	raster.pixels = NX_STEAL(pixels);
	*ret = raster;
	return NX_OK;
}

uint32_t image_representative(const struct nx_dataset *ds, uint32_t frames)
{
	uint32_t n;

	if (small(ds, NX_TAG_REPRESENTATIVE_FRAME_NUMBER, &n) && n <= frames)
		return n - 1;
	return frames / 2;
}

unsigned image_delay_ms(const struct nx_dataset *ds)
{
	double v, ms = DELAY_MS;

	if (image_number(ds, NX_TAG_FRAME_TIME, &v) && v > 0)
		ms = v;
	else if ((image_number(ds, NX_TAG_RECOMMENDED_DISPLAY_FRAME_RATE, &v) ||
			 image_number(ds, NX_TAG_CINE_RATE, &v)) &&
		v > 0)
		ms = 1000 / v;
	return ms < DELAY_MS_MAX ? (unsigned)ms : DELAY_MS_MAX;
}

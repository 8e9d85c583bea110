#include "retrieve/render.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "retrieve/finish_priv.h"
#include "retrieve/present_priv.h"
#include "retrieve/presentation_priv.h"
#include "retrieve/transcode_priv.h"

enum {
	QUALITY = 90,
	FRAME_ARENA_MAX = 512 * 1024 * 1024
};

struct nx_renderer {
	struct nx_render_source source;
	struct presentation *state;    /* NULL: an image is shown by what it says itself */
	struct nx_instances *selected; /* of an image of the state, where it was not given */
	size_t image;                  /* of the state's, the one that the reader reads */
	struct nx_frame_reader *reader;
	struct frame_facts facts;
	struct nx_arena *arena; /* of one frame */
	struct nx_rendering how;
	uint32_t next; /* frame */
	uint32_t end;
	struct nx_gif *gif;  /* the one being written ... */
	struct nx_buf piece; /* ... to here */
	struct nx_buf profile;
	struct frame_samples frame;
};

/* ---- a renderer ---- */

static nx_rc facts_check(const struct nx_renderer *r, struct nx_err *err)
{
	const struct nx_pixel_desc *d = r->facts.desc;

	if (r->facts.pixels != NX_TAG_PIXEL_DATA)
		return nx_err_set(err, NX_E_NOT_ACCEPTABLE, "floating point is not rendered");
	if (!nx_raster_len(d->rows, d->columns, d->samples == 1 ? 1 : 3))
		return nx_err_set(err, NX_E_LIMIT, "image of this size is not rendered");
	return NX_OK;
}

static nx_rc reader_open(
	struct nx_renderer *r, struct nx_instances *instances, size_t i, struct nx_err *err)
{
	nx_rc rc;

	r->reader = nx_frame_reader_free(r->reader);
	rc = nx_frame_reader_open(instances, i, &r->reader, err);
	if (rc)
		return rc;
	r->facts = frame_reader_facts(r->reader);
	return facts_check(r, err);
}

/* ---- the images of a state ---- */

static bool is_missing(nx_rc rc)
{
	return rc == NX_E_NOENT || rc == NX_E_NOT_ACCEPTABLE || rc == NX_E_LIMIT;
}

/* They are in the state's study (C.11.11). */
static nx_rc image_open(struct nx_renderer *r, size_t i, struct nx_err *err)
{
	const struct presentation *p = r->state;
	struct nx_selection sel = {.collection = r->source.collection,
		.series = p->images[i].series,
		.instance = p->images[i].instance};
	struct nx_instance_info info;
	nx_rc rc;

	nx_instances_info(p->states, p->at, &info);
	sel.study = info.study;
	r->reader = nx_frame_reader_free(r->reader);
	r->selected = nx_instances_free(r->selected);
	rc = nx_retrieve_open(r->source.retrieve, r->source.who, &sel, &r->selected, err);
	if (!rc)
		rc = reader_open(r, r->selected, 0, err);
	r->image = i;
	return rc;
}

/* How many frames of it the state shows; none that it does not have. */
static nx_rc frames_count(struct presented *image, uint32_t frames, struct nx_err *err)
{
	if (!image->frames)
		image->n = frames;
	for (uint32_t i = 0; image->frames && i < image->n; i++)
		if (image->frames[i] >= frames)
			return nx_err_set(err, NX_E_NOT_ACCEPTABLE,
				"the state refers to a frame that the image does not have");
	return NX_OK;
}

/* Of the k-th frame that is shown: its image, opened, and its number there. */
static nx_rc frame_goto(struct nx_renderer *r, uint32_t k, uint32_t *ret_frame, struct nx_err *err)
{
	const struct presentation *p = r->state;
	const struct presented *image;
	size_t i = 0;

	*ret_frame = k;
	if (!p)
		return NX_OK;
	while (i < p->n_images && k - p->images[i].first >= p->images[i].n)
		i++;
	assert(i < p->n_images);
	image = &p->images[i];
	*ret_frame = image->frames ? image->frames[k - image->first] : k - image->first;
	return i == r->image && r->reader ? NX_OK : image_open(r, i, err);
}

/* Those that are here and can be shown; of none at all, what the last one fails with. */
static nx_rc images_find(struct nx_renderer *r, struct nx_err *err)
{
	struct presentation *p = r->state;
	uint64_t total = 0;
	uint32_t frame;
	nx_rc rc = nx_err_set(err, NX_E_NOENT, "the presentation state refers to no image");

	for (size_t i = 0; i < p->n_images; i++) {
		struct presented *image = &p->images[i];

		rc = image_open(r, i, err);
		if (!rc)
			rc = frames_count(image, r->facts.desc->frames, err);
		if (rc && !is_missing(rc))
			return rc;
		image->n = rc ? 0 : image->n;
		image->item = rc ? 0 : r->selected->items[0].id;
		image->first = (uint32_t)total;
		total += image->n;
		if (total > NX_LIMIT_RENDERED_PARTS)
			return nx_err_set(
				err, NX_E_LIMIT, "more than %u images", NX_LIMIT_RENDERED_PARTS);
	}
	return total ? frame_goto(r, 0, &frame, err) : rc;
}

bool nx_renderer_is_presented(const struct nx_renderer *renderer)
{
	return renderer->state;
}

size_t nx_renderer_images(const struct nx_renderer *renderer)
{
	size_t n = renderer->state ? 0 : 1;

	for (size_t i = 0; renderer->state && i < renderer->state->n_images; i++)
		n += renderer->state->images[i].n > 0;
	return n;
}

bool nx_renderer_is_whole(const struct nx_renderer *renderer)
{
	return !renderer->state || nx_renderer_images(renderer) == renderer->state->n_images;
}

void nx_renderer_salt(const struct nx_renderer *renderer, struct nx_buf *out)
{
	const struct presentation *p = renderer->state;

	if (p)
		nx_buf_printf(out, " %lld", (long long)p->states->items[p->at].id);
	for (size_t i = 0; p && i < p->n_images; i++)
		nx_buf_printf(out, ",%lld", (long long)p->images[i].item);
}

/* The state's reference to an image that was opened already takes its place. */
static nx_rc reference_keep(struct nx_renderer *r, struct nx_err *err)
{
	const struct nx_instances *x = frame_reader_instances(r->reader);
	struct presentation *p = r->state;

	for (size_t i = 0; i < p->n_images; i++) {
		struct presented *image = &p->images[i];

		if (strcmp(image->instance, x->items[x->at].name) != 0)
			continue;
		/* Which frames of it: those that are asked for. */
		*image = (struct presented){.series = image->series,
			.instance = image->instance,
			.n = r->facts.desc->frames,
			.item = x->items[x->at].id};
		p->images = image;
		p->n_images = 1;
		return NX_OK;
	}
	return nx_err_set(err, NX_E_INVAL, "the presentation state does not refer to the image");
}

nx_rc nx_renderer_present(
	struct nx_renderer *renderer, struct nx_instances *states, struct nx_err *err)
{
	nx_rc rc;

	if (renderer->state || !nx_instances_n(states) || !presentation_is(states, 0))
		return nx_err_set(
			err, NX_E_INVAL, "that is no Grayscale Softcopy Presentation State");
	rc = presentation_open(states, 0, &renderer->state, err);
	return rc ? rc : reference_keep(renderer, err);
}

/* ---- a renderer ---- */

static nx_rc renderer_alloc(
	const struct nx_render_source *source, struct nx_renderer **ret, struct nx_err *err)
{
	struct nx_renderer *r = calloc(1, sizeof(*r));

	if (r)
		r->arena = nx_arena_new(FRAME_ARENA_MAX, NX_ARENA_WIPE);
	if (!r || !r->arena) {
		free(r);
		return nx_err_set(err, NX_E_NOMEM, "no memory for an image");
	}
	r->source = *source;
	nx_buf_init(&r->piece, NX_LIMIT_PIXEL_RENDERED, NX_BUF_WIPE);
	nx_buf_init(&r->profile, NX_LIMIT_ICC, 0);
	frame_samples_init(&r->frame);
	*ret = r;
	return NX_OK;
}

nx_rc nx_renderer_new(const struct nx_render_source *source, struct nx_instances *instances,
	size_t i, struct nx_renderer **ret, struct nx_err *err)
{
	NX_AUTO(nx_renderer) *r = NULL;
	nx_rc rc = renderer_alloc(source, &r, err);

	if (rc)
		return rc;
	if (presentation_is(instances, i)) {
		rc = presentation_open(instances, i, &r->state, err);
		if (!rc)
			rc = images_find(r, err);
	} else {
		rc = reader_open(r, instances, i, err);
	}
	if (!rc)
		*ret = NX_STEAL(r);
	return rc;
}

struct nx_renderer *nx_renderer_free(struct nx_renderer *renderer)
{
	if (!renderer)
		return NULL;
	nx_gif_free(renderer->gif);
	nx_frame_reader_free(renderer->reader);
	nx_instances_free(renderer->selected);
	presentation_free(renderer->state);
	nx_arena_free(renderer->arena);
	nx_buf_done(&renderer->piece);
	nx_buf_done(&renderer->profile);
	frame_samples_done(&renderer->frame);
	free(renderer);
	return NULL;
}

uint32_t nx_renderer_frames(const struct nx_renderer *renderer)
{
	const struct presentation *p = renderer->state;
	const struct presented *last = p && p->n_images ? &p->images[p->n_images - 1] : NULL;

	return last ? last->first + last->n : renderer->facts.desc->frames;
}

uint32_t nx_renderer_columns(const struct nx_renderer *renderer)
{
	return renderer->facts.desc->columns;
}

uint32_t nx_renderer_rows(const struct nx_renderer *renderer)
{
	return renderer->facts.desc->rows;
}

uint32_t nx_renderer_representative(const struct nx_renderer *renderer)
{
	if (renderer->state)
		return nx_renderer_frames(renderer) / 2;
	return image_representative(renderer->facts.ds, renderer->facts.desc->frames);
}

/* ---- a frame: samples, gray or color, its part and size ---- */

static nx_rc bulk_read(
	void *payload, const struct nx_elem *e, struct nx_slice *ret, struct nx_err *err)
{
	struct nx_renderer *r = payload;

	return frame_reader_value(r->reader, e, r->arena, ret, err);
}

static nx_rc state_bulk_read(
	void *payload, const struct nx_elem *e, struct nx_slice *ret, struct nx_err *err)
{
	struct nx_renderer *r = payload;

	return presentation_value(r->state, e, r->arena, ret, err);
}

/* What the request says stands before what the image says. */
static nx_rc describe(struct nx_renderer *r, const struct image_source *source,
	const struct present *p, struct image *image, struct nx_err *err)
{
	const struct nx_pixel_desc *desc = &r->frame.desc;
	nx_rc rc;

	if (r->state) {
		rc = image_colors(source, desc, image, err);
		return rc ? rc : present_describe(p, source, desc, image, err);
	}
	rc = image_describe(source, desc, p->frame, image, err);
	if (!rc && r->how.has_window) {
		image->gray.voi = r->how.voi;
		image->gray.center = r->how.center;
		image->gray.width = r->how.width;
	}
	return rc;
}

static nx_rc image_make(struct nx_renderer *r, const struct present *p, struct image *image,
	struct nx_raster *ret, struct nx_err *err)
{
	const struct image_source source = {r->facts.ds, r->arena, bulk_read, r};
	const struct nx_pixel_desc *desc = &r->frame.desc;
	nx_rc rc = frame_samples_get(
		&r->frame, r->source.retrieve, r->reader, p->frame, NX_PIXEL_RGB, err);

	if (!rc)
		rc = describe(r, &source, p, image, err);
	return rc ? rc : image_render(image, desc, nx_buf_slice(&r->frame.samples), ret, err);
}

/* A part of an axis: at least one of its pixels, none that it does not have. */
static void part_of(uint32_t all, double from, double want, uint32_t *ret_from, uint32_t *ret_n)
{
	const double end = want > 0 ? from + want : all;

	*ret_from = (uint32_t)from;
	*ret_n = (uint32_t)lrint(end < all ? ceil(end) : all) - *ret_from;
}

static nx_rc crop(const struct nx_viewport *v, struct nx_raster *raster, struct nx_err *err)
{
	struct nx_region region;
	struct nx_raster part;
	nx_rc rc;

	if (v->left >= raster->columns || v->top >= raster->rows)
		return nx_err_set(err, NX_E_INVAL, "the region is outside the image");
	part_of(raster->columns, v->left, v->width, &region.column, &region.columns);
	part_of(raster->rows, v->top, v->height, &region.row, &region.rows);
	if (region.rows == raster->rows && region.columns == raster->columns)
		return NX_OK;
	part = (struct nx_raster){region.rows, region.columns, raster->samples, NULL};
	part.pixels = malloc(nx_raster_len(part.rows, part.columns, part.samples) + 1);
	if (!part.pixels)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an image");
	rc = nx_render_crop(raster, &region, part.pixels, err);
	free(raster->pixels);
	*raster = part;
	return rc;
}

static uint32_t scaled(uint32_t side, double scale)
{
	const double to = side * scale;

	return to < 1 ? 1 : (uint32_t)lrint(to);
}

static nx_rc resize(const struct nx_viewport *v, struct nx_raster *raster, struct nx_err *err)
{
	const double across = (double)v->columns / raster->columns;
	const double down = (double)v->rows / raster->rows;
	const double scale = across < down ? across : down;
	struct nx_raster to;
	nx_rc rc;

	if (!v->columns || !v->rows || fabs(scale - 1) < 1e-9 || (scale > 1 && v->shrink_only))
		return NX_OK;
	to = (struct nx_raster){
		scaled(raster->rows, scale), scaled(raster->columns, scale), raster->samples, NULL};
	to.pixels = malloc(nx_raster_len(to.rows, to.columns, to.samples) + 1);
	if (!to.pixels)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an image");
	rc = nx_render_resize(raster, &to, err);
	free(raster->pixels);
	*raster = to;
	return rc;
}

static nx_rc view(const struct nx_viewport *v, struct nx_raster *raster, struct nx_err *err)
{
	nx_rc rc = crop(v, raster, err);

	if (rc)
		return rc;
	nx_render_flip(raster, v->mirrored, v->upturned);
	return resize(v, raster, err);
}

/* ---- a file ---- */

static nx_rc gif_put(struct nx_renderer *r, const struct nx_raster *raster, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	if (!r->gif)
		rc = nx_gif_new(raster->rows, raster->columns, image_delay_ms(r->facts.ds),
			&r->piece, &r->gif, err);
	return rc ? rc : nx_gif_add(r->gif, raster, err);
}

static nx_rc file_put(struct nx_renderer *r, const struct nx_raster *raster,
	struct nx_slice profile, struct nx_err *err)
{
	switch (r->how.form) {
	case NX_RENDER_JPEG:
		return nx_render_jpeg(
			raster, r->how.quality ? r->how.quality : QUALITY, profile, &r->piece, err);
	case NX_RENDER_PNG:
		return nx_render_png(raster, profile, &r->piece, err);
	case NX_RENDER_GIF:
		return gif_put(r, raster, err);
	}
	return NX_OK;
}

static nx_rc present_view(struct nx_renderer *r, const struct present *p, struct nx_raster *raster,
	struct nx_err *err)
{
	struct present_area area;
	struct present_map map;
	nx_rc rc = present_area_read(p, r->facts.desc, &area, err);

	if (!rc)
		rc = present_area_view(&area, &r->how.viewport, raster, &map, err);
	return rc ? rc : present_draw(p, &map, raster, err);
}

static nx_rc picture_make(struct nx_renderer *r, uint32_t frame, struct image *image,
	struct nx_raster *ret, struct nx_err *err)
{
	struct present p = {.frame = frame};
	nx_rc rc;

	if (r->state) {
		p.state = (struct image_source){r->state->ds, r->arena, state_bulk_read, r};
		p.instance = r->state->images[r->image].instance;
	}
	rc = image_make(r, &p, image, ret, err);
	if (!rc && r->state)
		rc = present_view(r, &p, ret, err);
	if (rc == NX_E_MALFORMED || rc == NX_E_SHORT || rc == NX_E_UNSUPPORTED)
		rc = nx_err_prefix(err, NX_E_NOT_ACCEPTABLE, "the frame cannot be shown");
	if (!rc && !r->state)
		rc = view(&r->how.viewport, ret, err);
	return rc;
}

/* Colors and what is written on it: then it is a file. */
static nx_rc finish(struct nx_renderer *r, const struct image *image, uint32_t frame,
	struct nx_raster *raster, struct nx_err *err)
{
	const struct image_source source = {r->facts.ds, r->arena, bulk_read, r};
	struct nx_slice profile;
	nx_rc rc = colors_finish(
		r->source.retrieve->box, image, r->how.icc, raster, &r->profile, &profile, err);

	if (!rc && r->how.annotations)
		rc = annotate(&source, image, r->how.annotations, frame, raster, err);
	return rc ? rc : file_put(r, raster, profile, err);
}

static nx_rc frame_put(struct nx_renderer *r, uint32_t number, struct nx_err *err)
{
	struct nx_raster raster = {.pixels = NULL};
	struct image image;
	uint32_t frame;
	nx_rc rc = frame_goto(r, number, &frame, err);

	nx_arena_reset(r->arena);
	if (!rc)
		rc = picture_make(r, frame, &image, &raster, err);
	if (!rc)
		rc = finish(r, &image, frame, &raster, err);
	free(raster.pixels);
	return rc;
}

nx_rc nx_renderer_begin(struct nx_renderer *renderer, const struct nx_rendering *how,
	uint32_t first, uint32_t n, struct nx_err *err)
{
	const uint32_t frames = nx_renderer_frames(renderer);

	if (first >= frames || n > frames - first)
		return nx_err_set(err, NX_E_NOENT, "the instance has %u frames", frames);
	renderer->gif = nx_gif_free(renderer->gif);
	renderer->how = *how;
	renderer->next = first;
	renderer->end = first + n;
	return NX_OK;
}

nx_rc nx_renderer_next(struct nx_renderer *renderer, struct nx_slice *ret, struct nx_err *err)
{
	struct nx_renderer *r = renderer;
	nx_rc rc = NX_OK;

	nx_buf_clear(&r->piece);
	if (r->next < r->end) {
		frame_slot_take(r->source.retrieve);
		rc = frame_put(r, r->next++, err);
		frame_slot_give(r->source.retrieve);
	} else if (r->gif) {
		rc = nx_gif_finish(r->gif, err);
		r->gif = nx_gif_free(r->gif);
	}
	if (!rc)
		*ret = nx_buf_slice(&r->piece);
	return rc;
}

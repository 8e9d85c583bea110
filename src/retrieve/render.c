#include "retrieve/render.h"

#include <math.h>
#include <stdlib.h>

#include "retrieve/image_priv.h"
#include "retrieve/transcode_priv.h"

enum {
	QUALITY = 90,
	FRAME_ARENA_MAX = 512 * 1024 * 1024
};

struct nx_renderer {
	struct nx_retrieve *retrieve;
	struct nx_frame_reader *reader;
	struct frame_facts facts;
	struct nx_arena *arena; /* of one frame */
	struct nx_rendering how;
	uint32_t next; /* frame */
	uint32_t end;
	struct nx_gif *gif;  /* the one being written ... */
	struct nx_buf piece; /* ... to here */
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

nx_rc nx_renderer_new(struct nx_retrieve *retrieve, struct nx_instances *instances, size_t i,
	struct nx_renderer **ret, struct nx_err *err)
{
	NX_AUTO(nx_renderer) *r = calloc(1, sizeof(*r));
	nx_rc rc;

	if (r)
		r->arena = nx_arena_new(FRAME_ARENA_MAX, NX_ARENA_WIPE);
	if (!r || !r->arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an image");
	r->retrieve = retrieve;
	nx_buf_init(&r->piece, NX_LIMIT_PIXEL_RENDERED, NX_BUF_WIPE);
	frame_samples_init(&r->frame);
	rc = nx_frame_reader_open(instances, i, &r->reader, err);
	if (rc)
		return rc;
	r->facts = frame_reader_facts(r->reader);
	rc = facts_check(r, err);
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
	nx_arena_free(renderer->arena);
	nx_buf_done(&renderer->piece);
	frame_samples_done(&renderer->frame);
	free(renderer);
	return NULL;
}

uint32_t nx_renderer_frames(const struct nx_renderer *renderer)
{
	return renderer->facts.desc->frames;
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
	return image_representative(renderer->facts.ds, renderer->facts.desc->frames);
}

/* ---- a frame: samples, gray or color, its part and size ---- */

static nx_rc bulk_read(
	void *payload, const struct nx_elem *e, struct nx_slice *ret, struct nx_err *err)
{
	struct nx_renderer *r = payload;

	return frame_reader_value(r->reader, e, r->arena, ret, err);
}

static nx_rc image_make(struct nx_renderer *r, uint32_t frame, struct image *image,
	struct nx_raster *ret, struct nx_err *err)
{
	const struct image_source source = {r->facts.ds, r->arena, bulk_read, r};
	const struct nx_pixel_desc *desc = &r->frame.desc;
	nx_rc rc = frame_samples_get(&r->frame, r->retrieve, r->reader, frame, NX_PIXEL_RGB, err);

	if (!rc)
		rc = image_describe(&source, desc, frame, image, err);
	if (!rc && r->how.has_window) {
		image->gray.voi = r->how.voi;
		image->gray.center = r->how.center;
		image->gray.width = r->how.width;
	}
	if (!rc)
		rc = image_render(image, desc, nx_buf_slice(&r->frame.samples), ret, err);
	if (rc == NX_E_MALFORMED || rc == NX_E_SHORT || rc == NX_E_UNSUPPORTED)
		rc = nx_err_prefix(err, NX_E_NOT_ACCEPTABLE, "the frame cannot be shown");
	return rc;
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

static nx_rc file_put(struct nx_renderer *r, const struct image *image,
	const struct nx_raster *raster, struct nx_err *err)
{
	const struct nx_slice icc =
		r->how.with_icc && raster->samples == 3 ? image->icc : nx_slice(NULL, 0);

	switch (r->how.form) {
	case NX_RENDER_JPEG:
		return nx_render_jpeg(
			raster, r->how.quality ? r->how.quality : QUALITY, icc, &r->piece, err);
	case NX_RENDER_PNG:
		return nx_render_png(raster, icc, &r->piece, err);
	case NX_RENDER_GIF:
		return gif_put(r, raster, err);
	}
	return NX_OK;
}

static nx_rc frame_put(struct nx_renderer *r, uint32_t frame, struct nx_err *err)
{
	struct nx_raster raster = {.pixels = NULL};
	struct image image;
	nx_rc rc;

	nx_arena_reset(r->arena);
	rc = image_make(r, frame, &image, &raster, err);
	if (!rc)
		rc = view(&r->how.viewport, &raster, err);
	if (!rc)
		rc = file_put(r, &image, &raster, err);
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
		frame_slot_take(r->retrieve);
		rc = frame_put(r, r->next++, err);
		frame_slot_give(r->retrieve);
	} else if (r->gif) {
		rc = nx_gif_finish(r->gif, err);
		r->gif = nx_gif_free(r->gif);
	}
	if (!rc)
		*ret = nx_buf_slice(&r->piece);
	return rc;
}

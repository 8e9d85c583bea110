/*
 * Rendered resources and thumbnails (PS3.18 10.4.1.1.3, 10.4.1.1.4): images as a viewer shows them,
 * made while they are sent.
 *
 * An instance of one frame is one image.  One of several frames is an animation, or an image for
 * each frame; asked for as one still image it is the frame that stands for it.  Of a study or
 * series everything that can be shown is given; what cannot is left out, which status 206 tells.
 */
#include <assert.h>
#include <string.h>

#include "base/arena.h"
#include "dicomweb/dicomweb_priv.h"

#define JPEG         "image/jpeg"
#define PNG          "image/png"
#define GIF          "image/gif"
#define MULTI(media) "multipart/related; type=\"" media "\""

enum {
	THUMBNAIL_SIDE = 256
};

/* ---- the body ---- */

/* One file of it. */
struct part {
	size_t instance;
	uint32_t first; /* frame */
	uint32_t n;
	bool by_frame; /* its location names the frame */
};

struct body {
	struct nx_render_source source;
	struct nx_instances *instances;
	struct nx_instances *states;  /* of WADO-URI: the image is shown by it; NULL: none */
	struct nx_renderer *renderer; /* of the instance at hand */
	size_t at;                    /* which one that is */
	struct nx_rendering how;
	const char *media; /* literal */
	const char *last;  /* of every Content-Location; literal */
	char *base_url;
	struct part *parts;
	size_t n;
	struct nx_slice piece;
	uint64_t piece_at;
	struct nx_buf salt; /* of the ETag: what presentation states are made of */
	bool is_partial;    /* something of it cannot be shown */
};

static struct body *body_free(struct body *b)
{
	if (!b)
		return NULL;
	nx_renderer_free(b->renderer);
	nx_instances_free(b->instances);
	nx_instances_free(b->states);
	nx_buf_done(&b->salt);
	free(b->base_url);
	free(b->parts);
	free(b);
	return NULL;
}
NX_DEFINE_AUTO(body);

struct nx_render_source dw_render_source(const struct dw_call *call)
{
	return (struct nx_render_source){call->mount->retrieve, call->who, call->collection};
}

/* Takes the instances. */
static nx_rc body_new(const struct dw_call *call, struct nx_instances *instances, struct body **ret,
	struct nx_err *err)
{
	NX_AUTO(body) *b = calloc(1, sizeof(*b));

	if (b)
		b->base_url = strdup(call->base_url);
	if (!b || !b->base_url) {
		nx_instances_free(instances);
		return nx_err_set(err, NX_E_NOMEM, "no memory for images");
	}
	b->instances = instances;
	b->source = dw_render_source(call);
	nx_buf_init(&b->salt, NX_LIMIT_HTTP_ARENA, 0);
	*ret = NX_STEAL(b);
	return NX_OK;
}

static nx_rc instance_open(struct body *b, size_t instance, struct nx_err *err)
{
	nx_rc rc;

	if (b->renderer && b->at == instance)
		return NX_OK;
	b->renderer = nx_renderer_free(b->renderer);
	rc = nx_renderer_new(&b->source, b->instances, instance, &b->renderer, err);
	b->at = instance;
	return rc || !b->states ? rc : nx_renderer_present(b->renderer, b->states, err);
}

/* A still image is there in one piece once it has been gone to. */
static uint64_t source_len(void *payload, size_t i)
{
	const struct body *b = payload;

	(void)i;
	return b->how.form == NX_RENDER_GIF || !b->piece.n ? UINT64_MAX : b->piece.n;
}

static void source_head(void *payload, size_t i, struct nx_buf *out)
{
	const struct body *b = payload;
	struct nx_instance_info info;

	nx_instances_info(b->instances, b->parts[i].instance, &info);
	nx_buf_printf(out, "%s\r\nContent-Location: %s/studies/%s/series/%s/instances/%s", b->media,
		b->base_url, info.study, info.series, info.sop_instance);
	if (b->parts[i].by_frame)
		nx_buf_printf(out, "/frames/%u", b->parts[i].first + 1);
	nx_buf_put_str(out, b->last);
}

static nx_rc source_at(void *payload, size_t i, struct nx_err *err)
{
	struct body *b = payload;
	const struct part *part = &b->parts[i];
	nx_rc rc = instance_open(b, part->instance, err);

	if (!rc)
		rc = nx_renderer_begin(b->renderer, &b->how, part->first, part->n, err);
	if (!rc)
		rc = nx_renderer_next(b->renderer, &b->piece, err);
	b->piece_at = 0;
	return rc;
}

static nx_rc source_read(
	void *payload, uint64_t off, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	struct body *b = payload;
	nx_rc rc = NX_OK;

	if (off - b->piece_at == b->piece.n) {
		b->piece_at = off;
		rc = nx_renderer_next(b->renderer, &b->piece, err);
	}
	if (rc)
		return rc;
	*ret_n = b->piece.n - (size_t)(off - b->piece_at);
	*ret_n = *ret_n < n ? *ret_n : n;
	memcpy(p, b->piece.p + (off - b->piece_at), *ret_n);
	return NX_OK;
}

static void source_free(void *payload)
{
	body_free(payload);
}

static const struct dw_source source = {
	source_len, source_head, source_at, source_read, source_free};

static nx_rc parts_alloc(struct body *b, size_t n, struct nx_err *err)
{
	assert(n > 0);
	b->parts = calloc(n, sizeof(*b->parts));
	return b->parts ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for %zu images", n);
}

/* ---- what can be shown ---- */

struct shown {
	size_t instance;
	uint32_t frames;
	uint32_t representative;
	size_t images; /* that it is made of, of sizes of their own */
	bool is_state;
};

static bool cannot_be_shown(nx_rc rc)
{
	return rc == NX_E_NOENT || rc == NX_E_NOT_ACCEPTABLE || rc == NX_E_LIMIT;
}

static struct shown shown_of(struct body *b, size_t instance)
{
	const struct nx_renderer *r = b->renderer;

	b->is_partial |= !nx_renderer_is_whole(r);
	nx_renderer_salt(r, &b->salt);
	return (struct shown){instance, nx_renderer_frames(r), nx_renderer_representative(r),
		nx_renderer_images(r), nx_renderer_is_presented(r)};
}

/* From `arena`.  None at all: what the last one fails with. */
static nx_rc shown_find(struct body *b, struct nx_arena *arena, struct shown **ret, size_t *ret_n,
	struct nx_err *err)
{
	const size_t n = nx_instances_n(b->instances);
	struct shown *list = nx_arena_alloc_array(arena, n, sizeof(*list));
	size_t found = 0;
	nx_rc rc = NX_OK;

	if (!list)
		return nx_err_set(err, NX_E_NOMEM, "no memory for %zu images", n);
	for (size_t i = 0; i < n && (!rc || cannot_be_shown(rc)); i++) {
		rc = instance_open(b, i, err);
		if (!rc)
			list[found++] = shown_of(b, i);
	}
	if (rc && (!found || !cannot_be_shown(rc)))
		return rc;
	b->is_partial |= found < n;
	*ret = list;
	*ret_n = found;
	return nx_buf_check(&b->salt, err);
}

/* ---- forms ---- */

enum {
	ONE_FRAME = 1, /* what the target is made of */
	MANY_FRAMES = 2,
	MANY_FILES = 4, /* frames of a list, several instances */
	THUMBNAIL = 8,
	ANY = ONE_FRAME | MANY_FRAMES | MANY_FILES
};

static const struct choice {
	const char *offer;
	const char *media;
	enum nx_render_form form;
	bool multipart;
	unsigned of;
} choices[] = {
	{GIF, GIF, NX_RENDER_GIF, false, MANY_FRAMES},
	{JPEG, JPEG, NX_RENDER_JPEG, false, ONE_FRAME | THUMBNAIL},
	{PNG, PNG, NX_RENDER_PNG, false, ONE_FRAME | THUMBNAIL},
	{GIF, GIF, NX_RENDER_GIF, false, ONE_FRAME | THUMBNAIL},
	{MULTI(JPEG), JPEG, NX_RENDER_JPEG, true, ANY},
	{MULTI(PNG), PNG, NX_RENDER_PNG, true, ANY},
	{MULTI(GIF), GIF, NX_RENDER_GIF, true, ANY},
	{JPEG, JPEG, NX_RENDER_JPEG, false, MANY_FRAMES},
	{PNG, PNG, NX_RENDER_PNG, false, MANY_FRAMES},
};

static nx_rc negotiate(const struct dw_call *call, struct body *b, unsigned of,
	const struct choice **ret, struct nx_err *err)
{
	const struct choice *there[NX_ARRAY_LEN(choices)];
	const char *offers[NX_ARRAY_LEN(choices)];
	size_t n = 0, i = 0;
	nx_rc rc;

	for (size_t k = 0; k < NX_ARRAY_LEN(choices); k++) {
		if (!(choices[k].of & of))
			continue;
		there[n] = &choices[k];
		offers[n++] = choices[k].offer;
	}
	rc = dw_accept(call, offers, n, &i, err);
	if (rc)
		return rc;
	b->how.form = there[i]->form;
	b->media = there[i]->media;
	*ret = there[i];
	return NX_OK;
}

/* ---- parts ---- */

/* Is it one file?  Pictures of several sizes are no animation. */
static bool is_one_file(const struct shown *shown, bool animated)
{
	return animated && shown->images == 1;
}

static nx_rc parts_by_file(
	struct body *b, const struct shown *shown, const struct choice *choice, struct nx_err *err)
{
	const bool whole = is_one_file(shown, choice->form == NX_RENDER_GIF);
	nx_rc rc = parts_alloc(b, 1, err);

	if (rc)
		return rc;
	b->n = 1;
	*b->parts = (struct part){shown->instance, whole ? 0 : shown->representative,
		whole ? shown->frames : 1, false};
	return NX_OK;
}

static nx_rc parts_by_list(
	struct body *b, const struct shown *shown, size_t n, bool animated, struct nx_err *err)
{
	uint64_t total = 0;
	nx_rc rc;

	for (size_t i = 0; i < n; i++)
		total += is_one_file(&shown[i], animated) ? 1 : shown[i].frames;
	if (total > NX_LIMIT_RENDERED_PARTS)
		return nx_err_set(err, NX_E_LIMIT, "more than %u images", NX_LIMIT_RENDERED_PARTS);
	rc = parts_alloc(b, (size_t)total, err);
	for (size_t i = 0; i < n && !rc; i++) {
		const struct shown *s = &shown[i];
		const bool whole = is_one_file(s, animated);

		for (uint32_t k = 0; k < (whole ? 1 : s->frames); k++)
			b->parts[b->n++] = (struct part){s->instance, k, whole ? s->frames : 1,
				!whole && !s->is_state && s->frames > 1};
	}
	return rc;
}

static nx_rc frames_prepare(const struct dw_call *call, struct body *b, const uint32_t *frames,
	size_t n, const struct choice **ret_choice, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	if (nx_renderer_is_presented(b->renderer))
		return nx_err_set(err, NX_E_NOENT, "a presentation state has no frames");
	rc = negotiate(call, b, n == 1 ? ONE_FRAME : MANY_FILES, ret_choice, err);
	if (!rc)
		rc = parts_alloc(b, n, err);
	for (size_t i = 0; i < n && !rc; i++) {
		b->parts[b->n++] = (struct part){0, frames[i], 1, true};
		if (frames[i] >= nx_renderer_frames(b->renderer))
			rc = nx_err_set(err, NX_E_NOENT, "the instance has %u frames",
				nx_renderer_frames(b->renderer));
	}
	return rc;
}

static nx_rc instances_prepare(const struct dw_call *call, struct body *b,
	const struct shown *shown, size_t n, const struct choice **ret_choice, struct nx_err *err)
{
	const bool files = n > 1 || shown->images > 1;
	const unsigned of = files ? MANY_FILES : shown->frames > 1 ? MANY_FRAMES : ONE_FRAME;
	nx_rc rc;

	/* Table 8.3.5-1: neither is for presentation states. */
	if (n == 1 && shown->is_state && (b->how.has_window || b->how.viewport.has_region))
		return nx_err_set(err, NX_E_INVAL, "a presentation state has its own %s",
			b->how.has_window ? "window" : "region");
	rc = negotiate(call, b, of, ret_choice, err);
	if (rc)
		return rc;
	if (!(*ret_choice)->multipart)
		return parts_by_file(b, shown, *ret_choice, err);
	return parts_by_list(b, shown, n, b->how.form == NX_RENDER_GIF, err);
}

/* ---- answers ---- */

/* Takes the body. */
static nx_rc reply(
	const struct dw_call *call, struct body *b, bool multipart, int status, struct nx_err *err)
{
	const char *salt = nx_arena_printf(nx_http_arena(call->req), "%s %s %s %d%s",
		nx_http_path(call->req), nx_http_query_string(call->req), b->media, multipart,
		nx_buf_cstr(&b->salt));
	const unsigned flags = (b->salt.len ? DW_UNDATED : 0) |
		(b->how.annotations & NX_ANNOTATE_PATIENT ? DW_NO_STORE : 0);
	const char *media = b->media;
	struct dw_stream *stream;
	bool known = false;
	char etag[72];
	nx_rc rc = nx_err_set(err, NX_E_NOMEM, "no memory for an ETag");

	if (salt)
		rc = dw_validate_as(call, b->instances, salt, flags, etag, &known, err);
	if (rc || known) {
		body_free(b);
		return rc ? rc : dw_reply_known(call);
	}
	rc = dw_stream_of(&source, b,
		&(struct dw_parts){
			.n = b->n, .media = multipart ? media : NULL, .take = UINT64_MAX},
		&stream, err);
	return rc ? rc : dw_stream_reply(call, status, stream, media);
}

static nx_rc body_open(const struct dw_call *call, struct body **ret, struct nx_err *err)
{
	struct nx_instances *instances = NULL;
	struct nx_selection sel;
	nx_rc rc = dw_selection(call, &sel, err);

	if (!rc)
		rc = nx_retrieve_open(call->mount->retrieve, call->who, &sel, &instances, err);
	return rc ? rc : body_new(call, instances, ret, err);
}

/* Frames that the path names; *ret_n 0: none. */
static nx_rc frames_named(
	const struct dw_call *call, uint32_t **ret, size_t *ret_n, struct nx_err *err)
{
	const char *text = nx_http_param_find(call->req, "frames");

	*ret_n = 0;
	return text ? dw_frame_list(text, nx_http_arena(call->req), ret, ret_n, err) : NX_OK;
}

nx_rc dw_rendered(struct nx_http_req *req, struct nx_err *err)
{
	const struct choice *choice = NULL;
	struct nx_rendering how = {.form = NX_RENDER_JPEG};
	NX_AUTO(body) *b = NULL;
	struct shown *shown = NULL;
	uint32_t *frames = NULL;
	size_t n = 0, n_frames = 0;
	struct dw_call call;
	int status;
	nx_rc rc = dw_call_init(req, &call, err);

	if (!rc)
		rc = frames_named(&call, &frames, &n_frames, err);
	if (!rc)
		rc = dw_rendering_read(&call, &how, err);
	if (!rc)
		rc = body_open(&call, &b, err);
	if (rc)
		return rc;
	b->how = how;
	b->last = "/rendered";
	rc = shown_find(b, nx_http_arena(req), &shown, &n, err);
	if (!rc)
		rc = n_frames ? frames_prepare(&call, b, frames, n_frames, &choice, err)
			      : instances_prepare(&call, b, shown, n, &choice, err);
	status = b->is_partial ? 206 : 200;
	return rc ? rc : reply(&call, NX_STEAL(b), choice->multipart, status, err);
}

/* ---- thumbnails ---- */

/* The one in the middle of the first series; if it cannot be shown, one behind it or before. */
static nx_rc thumbnail_find(struct body *b, struct nx_err *err)
{
	const size_t n = nx_instances_n(b->instances);
	struct nx_instance_info first, other;
	size_t of_series = 0;
	nx_rc rc = NX_E_NOENT;

	nx_instances_info(b->instances, 0, &first);
	do {
		of_series++;
		if (of_series < n)
			nx_instances_info(b->instances, of_series, &other);
	} while (of_series < n && strcmp(other.series, first.series) == 0);
	for (size_t i = 0; i < n && cannot_be_shown(rc); i++)
		rc = instance_open(b, (of_series / 2 + i) % n, err);
	return rc;
}

static nx_rc thumbnail_prepare(const struct dw_call *call, struct body *b, struct nx_err *err)
{
	const char *viewport = nx_http_query(call->req, "viewport");
	const struct choice *choice;
	uint32_t *frames = NULL;
	size_t n = 0;
	nx_rc rc = frames_named(call, &frames, &n, err);

	b->how.viewport = (struct nx_viewport){
		.columns = THUMBNAIL_SIDE, .rows = THUMBNAIL_SIDE, .shrink_only = true};
	if (!rc && viewport)
		rc = dw_viewport_parse(viewport, &b->how.viewport, err);
	if (!rc)
		rc = thumbnail_find(b, err);
	if (!rc && n && nx_renderer_is_presented(b->renderer))
		rc = nx_err_set(err, NX_E_NOENT, "a presentation state has no frames");
	if (!rc)
		rc = negotiate(call, b, THUMBNAIL, &choice, err);
	if (!rc)
		rc = parts_alloc(b, 1, err);
	if (rc)
		return rc;
	b->n = 1;
	*b->parts = (struct part){
		b->at, n ? frames[0] : nx_renderer_representative(b->renderer), 1, n > 0};
	nx_renderer_salt(b->renderer, &b->salt);
	return nx_buf_check(&b->salt, err);
}

nx_rc dw_thumbnail(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO(body) *b = NULL;
	struct dw_call call;
	nx_rc rc = dw_call_init(req, &call, err);

	if (!rc)
		rc = body_open(&call, &b, err);
	if (rc)
		return rc;
	b->last = "/thumbnail";
	rc = thumbnail_prepare(&call, b, err);
	return rc ? rc : reply(&call, NX_STEAL(b), false, 200, err);
}

/* ---- for WADO-URI ---- */

static const struct choice *choice_of(const char *media)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(choices); i++)
		if (!choices[i].multipart && strcmp(choices[i].media, media) == 0)
			return &choices[i];
	return NULL;
}

nx_rc dw_reply_image(const struct dw_call *call, struct nx_instances *instances,
	const struct dw_image *image, struct nx_err *err)
{
	const struct choice *choice = choice_of(image->media);
	NX_AUTO(body) *b = NULL;
	struct shown shown;
	nx_rc rc = body_new(call, instances, &b, err);

	if (rc) {
		nx_instances_free(image->states);
		return rc;
	}
	b->states = image->states;
	if (!choice)
		rc = nx_err_set(err, NX_E_NOT_ACCEPTABLE, "no image is made as %s", image->media);
	if (!rc)
		rc = instance_open(b, 0, err);
	if (rc)
		return rc;
	b->how = image->how;
	b->how.form = choice->form;
	b->media = choice->media;
	b->last = "/rendered";
	shown = shown_of(b, 0);
	rc = nx_buf_check(&b->salt, err);
	if (!rc)
		rc = parts_by_file(b, &shown, choice, err);
	if (!rc && image->frame)
		*b->parts = (struct part){0, image->frame - 1, 1, true};
	return rc ? rc : reply(call, NX_STEAL(b), false, 200, err);
}

/*
 * WADO-RS frames (PS3.18 10.4.1.1.6, 8.7.3): native ones as application/octet-stream, encapsulated
 * ones as they are stored, under the media type of their transfer syntax; and both in every syntax
 * that can be made without loss.  Viewers also ask for application/octet-stream with
 * "transfer-syntax=*" and mean what is stored.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "dicomweb/dicomweb_priv.h"
#include "retrieve/frames.h"
#include "retrieve/transcode.h"

#define OCTETS      "application/octet-stream"
#define EXPLICIT_LE "1.2.840.10008.1.2.1"

enum {
	OFFERS_MAX = 64,
	LIST_DIGITS = 9
};

static const struct media_row {
	const char *ts_uid;
	const char *media[2];
} rows[] = {
	{"1.2.840.10008.1.2.1.98", {OCTETS}},
	{"1.2.840.10008.1.2.5", {"image/dicom-rle", "image/x-dicom-rle"}},
	{"1.2.840.10008.1.2.4.50", {"image/jpeg"}},
	{"1.2.840.10008.1.2.4.51", {"image/jpeg"}},
	{"1.2.840.10008.1.2.4.57", {"image/jpeg"}},
	{"1.2.840.10008.1.2.4.70", {"image/jpeg"}},
	{"1.2.840.10008.1.2.4.80", {"image/jls", "image/x-jls"}},
	{"1.2.840.10008.1.2.4.81", {"image/jls", "image/x-jls"}},
	{"1.2.840.10008.1.2.4.90", {"image/jp2"}},
	{"1.2.840.10008.1.2.4.91", {"image/jp2"}},
	{"1.2.840.10008.1.2.4.92", {"image/jpx"}},
	{"1.2.840.10008.1.2.4.93", {"image/jpx"}},
	{"1.2.840.10008.1.2.4.201", {"image/jphc"}},
	{"1.2.840.10008.1.2.4.202", {"image/jphc"}},
	{"1.2.840.10008.1.2.4.203", {"image/jphc"}},
	{"1.2.840.10008.1.2.4.110", {"image/jxl"}},
	{"1.2.840.10008.1.2.4.111", {"image/jxl"}},
	{"1.2.840.10008.1.2.4.112", {"image/jxl"}},
	{"1.2.840.10008.1.2.8.1", {"application/x-deflate"}},
};

const char *dw_frame_media(const char *ts_uid, size_t i)
{
	for (size_t k = 0; k < NX_ARRAY_LEN(rows); k++)
		if (strcmp(rows[k].ts_uid, ts_uid) == 0)
			return i < NX_ARRAY_LEN(rows[k].media) ? rows[k].media[i] : NULL;
	return NULL;
}

/* ---- the list ---- */

static bool number_take(const char **text, uint32_t *ret)
{
	size_t digits = strspn(*text, "0123456789");
	uint32_t v = 0;

	if (!digits || digits > LIST_DIGITS)
		return false;
	for (; digits; digits--)
		v = v * 10 + (uint32_t)(*(*text)++ - '0');
	*ret = v;
	return v > 0;
}

nx_rc dw_frame_list(
	const char *text, struct nx_arena *arena, uint32_t **ret, size_t *ret_n, struct nx_err *err)
{
	uint32_t *list, number;
	size_t max = 1, n = 0;

	for (const char *s = text; *s; s++)
		max += *s == ',';
	if (max > NX_LIMIT_FRAME_LIST)
		return nx_err_set(
			err, NX_E_INVAL, "more than %u frames in one request", NX_LIMIT_FRAME_LIST);
	list = nx_arena_alloc_array(arena, max, sizeof(*list));
	if (!list)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a list of frames");
	for (;; text++) {
		if (!number_take(&text, &number))
			return nx_err_set(err, NX_E_INVAL, "not a list of numbers of frames");
		list[n++] = number - 1;
		if (*text != ',')
			break;
	}
	if (*text)
		return nx_err_set(err, NX_E_INVAL, "not a list of numbers of frames");
	*ret = list;
	*ret_n = n;
	return NX_OK;
}

/* ---- the body ---- */

struct body {
	struct nx_instances *instances;
	struct nx_frame_reader *reader;
	struct nx_transcoder *transcoder; /* NULL: they are given as they are stored */
	struct nx_slice made;             /* the frame at hand */
	uint32_t *frames;
	size_t n;
	size_t now;
	char *location; /* of the instance's frames */
	char *type;     /* of every part */
};

static void body_free(void *payload)
{
	struct body *b = payload;

	if (!b)
		return;
	nx_transcoder_free(b->transcoder);
	nx_frame_reader_free(b->reader);
	nx_instances_free(b->instances);
	free(b->frames);
	free(b->location);
	free(b->type);
	free(b);
}

static uint64_t body_len(void *payload, size_t i)
{
	const struct body *b = payload;

	if (b->transcoder)
		return b->made.n ? b->made.n : UINT64_MAX;
	return nx_frame_reader_len(b->reader, i);
}

static void body_head(void *payload, size_t i, struct nx_buf *out)
{
	const struct body *b = payload;

	nx_buf_printf(out, "%s\r\nContent-Location: %s/%u", b->type, b->location, b->frames[i] + 1);
}

static nx_rc body_at(void *payload, size_t i, struct nx_err *err)
{
	struct body *b = payload;

	b->now = i;
	return b->transcoder ? nx_transcoder_frame(b->transcoder, b->frames[i], &b->made, err)
			     : NX_OK;
}

static nx_rc body_read(
	void *payload, uint64_t off, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	const struct body *b = payload;

	if (!b->transcoder)
		return nx_frame_reader_read(b->reader, b->now, off, p, n, ret_n, err);
	*ret_n = n < b->made.n - off ? n : (size_t)(b->made.n - off);
	memcpy(p, b->made.p + off, *ret_n);
	return NX_OK;
}

static const struct dw_source source = {body_len, body_head, body_at, body_read, body_free};

/* Takes the instances. */
static struct body *body_new(const struct dw_call *call, struct nx_instances *instances,
	const uint32_t *frames, size_t n)
{
	const char *path = nx_http_path(call->req);
	const char *mount = nx_http_mount(call->req);
	size_t dir = (size_t)(strrchr(path, '/') - path);
	struct body *b = calloc(1, sizeof(*b));
	const char *location;

	if (!b) {
		nx_instances_free(instances);
		return NULL;
	}
	b->instances = instances;
	b->n = n;
	b->frames = calloc(n, sizeof(*frames));
	if (b->frames)
		memcpy(b->frames, frames, n * sizeof(*frames));
	location = mount ? nx_arena_printf(nx_http_arena(call->req), "%s%.*s", call->base_url,
				   (int)(dir - strlen(mount)), path + strlen(mount))
			 : NULL;
	b->location = location ? strdup(location) : NULL;
	if (b->frames && b->location)
		return b;
	body_free(b);
	return NULL;
}

/* ---- what can be had ---- */

struct offer {
	const char *media;
	const char *ts_uid;
	bool multipart;
};

struct offers {
	const char *text[OFFERS_MAX];
	struct offer what[OFFERS_MAX];
	size_t n;
	bool single;
	bool failed;
};

static void offer_put(
	struct offers *o, const char *text, const char *media, const char *ts_uid, bool multipart)
{
	assert(o->n < OFFERS_MAX);
	o->what[o->n] = (struct offer){media, ts_uid, multipart};
	o->text[o->n++] = text;
	o->failed = o->failed || !text;
}

/* As parts, and by itself where it is one frame. */
static void offer_add(const struct dw_call *call, struct offers *o, const char *media,
	const char *ts_uid, bool is_explicit)
{
	struct nx_arena *arena = nx_http_arena(call->req);
	const char *more = is_explicit ? "; explicit=" : "";

	offer_put(o,
		nx_arena_printf(arena, "multipart/related; type=\"%s\"; transfer-syntax=%s%s",
			media, ts_uid, more),
		media, ts_uid, true);
	if (o->single)
		offer_put(o,
			nx_arena_printf(arena, "%s; transfer-syntax=%s%s", media, ts_uid, more),
			media, ts_uid, false);
}

/* Under every media type of the syntax. */
static void offers_add(const struct dw_call *call, struct offers *o, const char *ts_uid)
{
	const char *media;

	if (strcmp(ts_uid, EXPLICIT_LE) == 0)
		offer_add(call, o, OCTETS, ts_uid, false);
	for (size_t k = 0; (media = dw_frame_media(ts_uid, k)); k++)
		offer_add(call, o, media, ts_uid, false);
}

/* What is stored first, then what can be made of it. */
static nx_rc negotiate(const struct dw_call *call, const struct body *b, const char *stored,
	struct offer *ret, struct nx_err *err)
{
	struct offers o = {.n = 0, .single = b->n == 1};
	const char *uid;
	size_t i = 0;
	nx_rc rc;

	offers_add(call, &o, stored);
	if (nx_frame_reader_encapsulated(b->reader))
		offer_add(call, &o, OCTETS, stored, true);
	for (size_t k = 0; (uid = nx_transcode_target(k)); k++)
		if (strcmp(uid, stored) != 0 && nx_transcodable(stored, uid))
			offers_add(call, &o, uid);
	if (o.failed)
		return nx_err_set(err, NX_E_NOMEM, "no memory for offers");
	rc = dw_accept(call, o.text, o.n, &i, err);
	if (!rc)
		*ret = o.what[i];
	return rc;
}

/* ---- the answer ---- */

static nx_rc type_set(struct body *b, const char *media, const char *ts_uid, struct nx_err *err)
{
	size_t n = strlen(media) + strlen(ts_uid) + sizeof("; transfer-syntax=");

	b->type = malloc(n);
	if (!b->type)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a response");
	(void)snprintf(b->type, n, "%s; transfer-syntax=%s", media, ts_uid);
	return NX_OK;
}

struct answer {
	struct offer offer;
	uint64_t off;
	uint64_t len;
	int status;
	bool known;
};

static nx_rc prepare(
	const struct dw_call *call, struct body *b, struct answer *a, struct nx_err *err)
{
	struct nx_instance_info info;
	const char *stored, *salt;
	char etag[72];
	nx_rc rc = nx_frame_reader_open(b->instances, 0, &b->reader, err);

	if (!rc)
		rc = nx_frame_reader_select(b->reader, b->frames, b->n, err);
	if (rc)
		return rc;
	nx_instances_info(b->instances, 0, &info);
	stored = nx_frame_reader_encapsulated(b->reader) ? info.ts_uid : EXPLICIT_LE;
	rc = negotiate(call, b, stored, &a->offer, err);
	if (!rc)
		rc = type_set(b, a->offer.media, a->offer.ts_uid, err);
	if (!rc && strcmp(a->offer.ts_uid, stored) != 0)
		rc = nx_transcoder_new(
			call->mount->retrieve, b->reader, a->offer.ts_uid, &b->transcoder, err);
	if (rc)
		return rc;
	salt = nx_arena_printf(nx_http_arena(call->req), "%s %d %s", b->type, a->offer.multipart,
		nx_http_path(call->req));
	if (!salt)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an ETag");
	rc = dw_validate(call, b->instances, salt, etag, &a->known, err);
	if (rc || a->known || a->offer.multipart || b->transcoder)
		return rc;
	return dw_range(
		call, etag, nx_frame_reader_len(b->reader, 0), &a->off, &a->len, &a->status, err);
}

/* Takes the body. */
static nx_rc reply(const struct dw_call *call, struct body *b, struct nx_err *err)
{
	struct answer a = {.len = UINT64_MAX, .status = 200};
	struct dw_stream *stream;
	nx_rc rc = prepare(call, b, &a, err);

	if (rc || a.known) {
		body_free(b);
		return rc ? rc : dw_reply_known(call);
	}
	rc = dw_stream_of(&source, b,
		&(struct dw_parts){.n = b->n,
			.media = a.offer.multipart ? a.offer.media : NULL,
			.from = a.off,
			.take = a.len},
		&stream, err);
	return rc ? rc : dw_stream_reply(call, a.status, stream, b->type);
}

nx_rc dw_get_frames(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_instances *instances = NULL;
	struct nx_selection sel;
	uint32_t *frames = NULL;
	struct dw_call call;
	struct body *b;
	size_t n = 0;
	nx_rc rc = dw_call_init(req, &call, err);

	if (!rc)
		rc = dw_selection(&call, &sel, err);
	if (!rc)
		rc = dw_frame_list(
			nx_http_param(req, "frames"), nx_http_arena(req), &frames, &n, err);
	if (!rc)
		rc = nx_retrieve_open(call.mount->retrieve, call.who, &sel, &instances, err);
	if (rc)
		return rc;
	b = body_new(&call, instances, frames, n);
	return b ? reply(&call, b, err) : nx_err_set(err, NX_E_NOMEM, "no memory for frames");
}

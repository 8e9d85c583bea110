#include "api/stream.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "catalog/catalog.h"
#include "ingest/ingest.h"
#include "retrieve/retrieve.h"

struct stream {
	struct api_item item;
	uint64_t off;
	uint64_t end;
};

static nx_rc stream_read(void *payload, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	struct stream *s = payload;
	nx_rc rc;

	if (n > s->end - s->off)
		n = (size_t)(s->end - s->off);
	*ret_n = 0;
	if (n == 0)
		return NX_OK;
	rc = s->item.read(s->item.source, s->off, p, n, ret_n, err);
	if (!rc && *ret_n == 0)
		return nx_err_set(err, NX_E_CORRUPT, "item is shorter than its row says");
	if (!rc)
		s->off += *ret_n;
	return rc;
}

static void stream_done(void *payload, uint64_t sent, bool complete)
{
	struct stream *s = payload;

	(void)sent;
	(void)complete;
	s->item.close(s->item.source);
	free(s);
}

/* Is `etag` in the list of an If-None-Match or If-Match header (RFC 9110 13.1)? */
static bool etag_listed(const char *list, const char *etag)
{
	const char *at = list;
	size_t n = strlen(etag);

	if (strcmp(list, "*") == 0)
		return true;
	for (; (at = strstr(at, etag)); at += n)
		if (at[n] == '\0' || at[n] == ',' || at[n] == ' ' || at[n] == '\t')
			return true;
	return false;
}

static void headers_set(struct nx_http_req *req, const struct api_item *item)
{
	time_t seconds = (time_t)(item->modified_us / 1000000);
	char text[64];
	struct tm tm;

	nx_http_set_header(req, "ETag", item->etag);
	nx_http_set_header(req, "Accept-Ranges", "bytes");
	nx_http_set_header(req, "Cache-Control", "private, no-cache");
	if (gmtime_r(&seconds, &tm) &&
		strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
		nx_http_set_header(req, "Last-Modified", text);
}

/* RFC 9110 13.2.2.  NX_OK with *ret_done: answered. */
static nx_rc conditions_check(
	struct nx_http_req *req, const struct api_item *item, bool *ret_done, struct nx_err *err)
{
	const char *match = nx_http_header(req, "If-Match");
	const char *none = nx_http_header(req, "If-None-Match");

	*ret_done = false;
	if (match && !etag_listed(match, item->etag))
		return nx_err_set(err, NX_E_PRECONDITION, "the object is another by now");
	if (none && etag_listed(none, item->etag)) {
		*ret_done = true;
		return api_reply_empty(req, 304);
	}
	return NX_OK;
}

/* RFC 9110 14: *ret_status 200 or 206, and the piece. */
static nx_rc range_take(struct nx_http_req *req, const struct api_item *item, int *ret_status,
	uint64_t *ret_off, uint64_t *ret_len, struct nx_err *err)
{
	const char *if_range = nx_http_header(req, "If-Range");
	char text[80];
	nx_rc rc = NX_E_NOENT;

	if (!if_range || strcmp(if_range, item->etag) == 0)
		rc = nx_http_range(req, item->size, ret_off, ret_len, err);
	if (rc == NX_E_RANGE) {
		(void)snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)item->size);
		nx_http_set_header(req, "Content-Range", text);
	}
	if (rc && rc != NX_E_NOENT)
		return rc;
	*ret_status = rc ? 200 : 206;
	if (rc) {
		*ret_off = 0;
		*ret_len = item->size;
		return NX_OK;
	}
	(void)snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)*ret_off,
		(unsigned long long)(*ret_off + *ret_len - 1), (unsigned long long)item->size);
	nx_http_set_header(req, "Content-Range", text);
	return NX_OK;
}

static nx_rc stream_reply(
	struct nx_http_req *req, const struct api_item *item, bool *ret_taken, struct nx_err *err)
{
	uint64_t off = 0, len = 0;
	struct stream *s;
	bool done;
	int status;
	nx_rc rc;

	headers_set(req, item);
	rc = conditions_check(req, item, &done, err);
	if (rc || done)
		return rc;
	rc = range_take(req, item, &status, &off, &len, err);
	if (rc)
		return rc;
	s = malloc(sizeof(*s));
	if (!s)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a response");
	*s = (struct stream){*item, off, off + len};
	*ret_taken = true;
	return nx_http_reply_stream(
		req, status, item->media_type, len, stream_read, stream_done, s);
}

nx_rc api_reply_item(struct nx_http_req *req, const struct api_item *item, struct nx_err *err)
{
	bool taken = false;
	nx_rc rc = stream_reply(req, item, &taken, err);

	if (!taken)
		item->close(item->source);
	return rc;
}

nx_rc api_body_feed(struct nx_http_req *req, struct nx_ingest_job *job, struct nx_err *err)
{
	struct nx_slice piece;
	nx_rc rc;

	do {
		rc = nx_http_body_next(req, &piece, err);
		if (!rc && piece.n)
			rc = nx_ingest_feed(job, piece.p, piece.n, err);
	} while (!rc && piece.n);
	return rc;
}

static nx_rc stored_read(
	void *source, uint64_t off, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	return nx_object_read(source, off, p, n, ret_n, err);
}

static void stored_close(void *source)
{
	nx_object_free(source);
}

nx_rc api_reply_instance(struct nx_http_req *req, struct nx_object *object, struct nx_err *err)
{
	const struct nx_item *row = nx_object_item(object);
	struct api_item item = {.source = object,
		.read = stored_read,
		.close = stored_close,
		.media_type = "application/dicom",
		.size = (uint64_t)row->size,
		.modified_us = row->received_us};

	nx_object_etag(object, item.etag);
	return api_reply_item(req, &item, err);
}

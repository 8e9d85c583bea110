/*
 * stream.h - one item's bytes as a response: ranges, ETag, conditions (RFC 9110 13, 14).
 *
 * Layer:   4 (api), private.
 * Threads: a stream belongs to its request.
 * PHI:     passes through.
 */
#ifndef NX_API_STREAM_H
#define NX_API_STREAM_H

#include "api/api_priv.h"

/* An opened item; api_reply_item() owns `source` from the call on, whatever happens. */
struct api_item {
	void *source;
	nx_rc (*read)(
		void *source, uint64_t off, void *p, size_t n, size_t *ret_n, struct nx_err *err);
	void (*close)(void *source);
	const char *media_type;
	uint64_t size;
	int64_t modified_us;
	char etag[72];
};

NX_NODISCARD nx_rc api_reply_item(
	struct nx_http_req *req, const struct api_item *item, struct nx_err *err);
/* A stored instance, which is taken. */
struct nx_object;
NX_NODISCARD nx_rc api_reply_instance(
	struct nx_http_req *req, struct nx_object *object, struct nx_err *err);
/* Everything the client sends, into a job. */
struct nx_ingest_job;
struct nx_ingest_result;
NX_NODISCARD nx_rc api_body_feed(
	struct nx_http_req *req, struct nx_ingest_job *job, struct nx_err *err);
/* What became of an instance. */
NX_NODISCARD nx_rc api_reply_ingest(
	struct nx_http_req *req, const struct nx_ingest_result *r, struct nx_err *err);

#endif

#include "http/http.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "http/http_priv.h"

enum {
	BLOCK_LEN = 256 * 1024,
	HEADERS_START = 16,
	ERROR_LEN = 2048,
	ROUTE_LEN = 256
};

/* Handlers pass on metadata that clients once sent, so the number has no bound but the arena's. */
static bool headers_grow(struct nx_http_req *req)
{
	size_t max = req->max_headers ? 2 * req->max_headers : HEADERS_START;
	struct nx_http_pair *more = nx_arena_alloc_array(req->arena, max, sizeof(*more));

	if (!more)
		return false;
	if (req->n_headers)
		memcpy(more, req->headers, req->n_headers * sizeof(*more));
	req->headers = more;
	req->max_headers = max;
	return true;
}

void nx_http_set_header(struct nx_http_req *req, const char *name, const char *value)
{
	struct nx_http_pair *pair;

	if (req->n_headers == req->max_headers && !headers_grow(req)) {
		req->headers_failed = true;
		return;
	}
	pair = &req->headers[req->n_headers++];
	pair->key = nx_arena_str(req->arena, name, strlen(name));
	pair->value = nx_arena_str(req->arena, value, strlen(value));
	if (!pair->key || !pair->value)
		req->headers_failed = true;
}

nx_rc nx_http_reply(
	struct nx_http_req *req, int status, const char *content_type, struct nx_slice body)
{
	assert(!req->replied);
	req->copy = body.n ? malloc(body.n) : NULL;
	if (body.n && !req->copy)
		return NX_E_NOMEM;
	if (body.n)
		memcpy(req->copy, body.p, body.n);
	req->copy_len = body.n;
	if (content_type)
		nx_http_set_header(req, "Content-Type", content_type);
	req->status = status;
	req->replied = true;
	return NX_OK;
}

/* Who was refused what: the route as its table has it, never the path, which may name a patient. */
static void refusal_log(const struct nx_http_req *req, const struct nx_err *err)
{
	const struct nx_route_match *m = &req->match;
	char route[ROUTE_LEN];
	const struct nx_log_field fields[] = {{"route", m->route ? route : NULL},
		{"peer", req->link->peer}, {"principal", req->who}};

	if (m->route)
		(void)snprintf(route, sizeof(route), "%s %s%s", m->route->method, m->table->prefix,
			m->route->pattern);
	nx_log_err_fields(nx_rc_http(err->rc) >= 500 ? NX_LOG_ERROR : NX_LOG_INFO, "http",
		"request-refused", err, fields, NX_ARRAY_LEN(fields));
}

nx_rc nx_http_reply_err(struct nx_http_req *req, const struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	int status = nx_rc_http(err->rc);
	struct nx_json json;

	refusal_log(req, err);
	nx_buf_init(&buf, ERROR_LEN, 0);
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	nx_json_key(&json, "error");
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "code", nx_rc_wire(err->rc));
	nx_json_kv_str(&json, "message", nx_err_text(err));
	nx_json_object_end(&json);
	nx_json_object_end(&json);
	return nx_http_reply(req, status, "application/json", nx_buf_slice(&buf));
}

nx_rc nx_http_reply_stream(struct nx_http_req *req, int status, const char *content_type,
	uint64_t length, nx_http_read_fn read, nx_http_done_fn done, void *payload)
{
	assert(!req->replied);
	if (content_type)
		nx_http_set_header(req, "Content-Type", content_type);
	req->status = status;
	req->length = length;
	req->read = read;
	req->done = done;
	req->payload = payload;
	req->replied = true;
	return NX_OK;
}

/* ---- handing it over ---- */

/* A response is read by the peer at the minimum rate or not at all, like a body. */
static ssize_t stream_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct nx_http_req *req = cls;
	struct nx_err err = {0};
	size_t n = 0;
	nx_rc rc;

	(void)pos;
	nx_link_busy(req->link);
	rc = req->coder ? nx_coder_read(req->coder, buf, max, &n, &err)
			: req->read(req->payload, buf, max, &n, &err);
	if (rc) {
		nx_log_err(NX_LOG_ERROR, "http", "response-cut", &err);
		return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	assert(n <= max);
	req->sent += n;
	req->read_ended = n == 0;
	nx_link_sending(req->link, n);
	return n ? (ssize_t)n : MHD_CONTENT_READER_END_OF_STREAM;
}

static nx_rc copy_read(void *payload, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	struct nx_http_req *req = payload;
	size_t left = req->copy_len - req->copy_at;

	(void)err;
	*ret_n = n < left ? n : left;
	memcpy(p, req->copy + req->copy_at, *ret_n);
	req->copy_at += *ret_n;
	return NX_OK;
}

const char *nx_http_encode(struct nx_http_req *req)
{
	nx_http_set_header(req, "Vary", "Accept-Encoding");
	req->coding = nx_coding_choose(nx_http_header(req, "Accept-Encoding"));
	return nx_coding_name(req->coding);
}

/* The coder between the body and the wire; how long it gets is not known before. */
static bool coder_start(struct nx_http_req *req)
{
	bool has_body = req->read || req->copy_len;

	if (req->coding == NX_CODING_NONE || req->status != 200 || !has_body)
		return true;
	if (req->read)
		req->coder = nx_coder_new(req->coding, req->read, req->payload);
	else
		req->coder = nx_coder_new(req->coding, copy_read, req);
	if (!req->coder)
		return false;
	nx_http_set_header(req, "Content-Encoding", nx_coding_name(req->coding));
	req->length = UINT64_MAX;
	return true;
}

static struct MHD_Response *response_new(struct nx_http_req *req)
{
	if (req->read || req->coder)
		return MHD_create_response_from_callback(
			req->length == UINT64_MAX ? MHD_SIZE_UNKNOWN : req->length, BLOCK_LEN,
			stream_read, req, NULL);
	/* req outlives the response's use of the copy: freed when the request is complete. */
	return MHD_create_response_from_buffer(req->copy_len, req->copy, MHD_RESPMEM_PERSISTENT);
}

/* What may be kept by a cache has to say so. */
static bool has_cache_control(const struct nx_http_req *req)
{
	for (size_t i = 0; i < req->n_headers; i++)
		if (strcmp(req->headers[i].key, "Cache-Control") == 0)
			return true;
	return false;
}

static bool headers_add(struct nx_http_req *req, struct MHD_Response *response)
{
	const struct nx_http_pair *pair;

	if (!has_cache_control(req))
		nx_http_set_header(req, "Cache-Control", "no-store");
	if (req->headers_failed)
		return false;
	for (size_t i = 0; i < req->n_headers; i++) {
		pair = &req->headers[i];
		if (MHD_add_response_header(response, pair->key, pair->value) != MHD_YES)
			return false; /* also for CR or LF in a value: nobody splits a response */
	}
	if (req->must_close || atomic_load(&req->server->draining))
		return MHD_add_response_header(response, "Connection", "close") == MHD_YES;
	return true;
}

/* libmicrohttpd 0.9.75 ends the chunks of a body also where the request was HEAD and has none: the
 * connection ends instead. */
static void head_alone(const struct nx_http_req *req)
{
	if (req->length == UINT64_MAX && req->method && strcmp(req->method, "HEAD") == 0)
		(void)MHD_set_response_options(
			req->response, MHD_RF_HTTP_VERSION_1_0_ONLY, MHD_RO_END);
}

enum MHD_Result nx_reply_queue(struct nx_http_req *req)
{
	enum MHD_Result ok = MHD_NO;

	if (!req->replied)
		return MHD_NO; /* out of memory: nothing was said, the connection is closed */
	if (coder_start(req))
		req->response = response_new(req);
	if (!req->response)
		return MHD_NO;
	head_alone(req);
	if (headers_add(req, req->response))
		ok = MHD_queue_response(req->conn, (unsigned)req->status, req->response);
	req->queued = ok == MHD_YES;
	if (!req->queued)
		nx_log(NX_LOG_ERROR, "http", "reply-lost",
			"%s: reply %d could not be made; connection closed", req->server->name,
			req->status);
	nx_link_sending(req->link, req->read || req->coder ? BLOCK_LEN : req->copy_len);
	return ok;
}

void nx_reply_done(struct nx_http_req *req, bool complete)
{
	bool head = req->method && strcmp(req->method, "HEAD") == 0;
	bool whole = head || req->read_ended || req->sent == req->length;

	if (req->done)
		req->done(req->payload, req->sent, complete && req->queued && whole);
	req->done = NULL;
	if (req->response)
		MHD_destroy_response(req->response);
	req->response = NULL;
	req->coder = nx_coder_free(req->coder);
	if (req->copy)
		explicit_bzero(req->copy, req->copy_len);
	free(req->copy);
	req->copy = NULL;
}

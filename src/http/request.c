#include "http/http.h"

#include <assert.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <gnutls/gnutls.h>

#include "base/arena.h"
#include "base/limits.h"
#include "http/http_priv.h"

/* ---- what RFC 9112 forbids and libmicrohttpd lets through ---- */

enum {
	LINE_END_LEN = 2
};

struct head {
	size_t bytes;
	unsigned n_host;
	unsigned n_length;
	unsigned n_encoding;
	bool bad_field;
	const char *end; /* of the field before, where libmicrohttpd received it */
	const char *length;
	const char *encoding;
	const char *expect;
};

/* RFC 9110 5.6.2 */
static bool is_token(const char *s, size_t n)
{
	static const char others[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= '0' && s[i] <= '9') || ((s[i] | 32) >= 'a' && (s[i] | 32) <= 'z') ||
			    (s[i] && strchr(others, s[i]))))
			return false;
	return n > 0;
}

static bool is_value(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 && s[i] != '\t')
			return false;
	return true;
}

/*
 * RFC 9112 5.2: a field over several lines is refused.  libmicrohttpd joins the lines, without the
 * space that others put there ("3", " 4" is 34 to it), and says nothing; but fields lie in its
 * buffer one behind the other, and what it had to join does not.
 */
static bool is_folded(const struct head *head, const char *key)
{
	return head->end && (key <= head->end || key - head->end > LINE_END_LEN);
}

static enum MHD_Result head_field(void *cls, enum MHD_ValueKind kind, const char *key, size_t key_n,
	const char *value, size_t value_n)
{
	struct head *head = cls;

	(void)kind;
	head->bytes += key_n + value_n + 4;
	if (!is_token(key, key_n) || (value && !is_value(value, value_n)) || is_folded(head, key))
		head->bad_field = true;
	else if (strcasecmp(key, "Host") == 0)
		head->n_host++;
	else if (strcasecmp(key, "Content-Length") == 0 && ++head->n_length)
		head->length = value;
	else if (strcasecmp(key, "Transfer-Encoding") == 0 && ++head->n_encoding)
		head->encoding = value;
	else if (strcasecmp(key, "Expect") == 0)
		head->expect = value;
	head->end = value ? value + value_n : key + key_n;
	return MHD_YES;
}

static nx_rc smuggled(struct nx_err *err, const char *what)
{
	return nx_err_set(err, NX_E_MALFORMED, "%s", what);
}

/* RFC 9112 3.2 (Host), 6.3 (framing), RFC 9110 10.1.1 (Expect). */
static nx_rc head_check(const struct head *head, bool http11, struct nx_err *err)
{
	if (head->bad_field)
		return smuggled(err, "bad header field");
	if (head->bytes > NX_LIMIT_HTTP_HEADER)
		return nx_err_set(err, NX_E_LIMIT, "header fields of more than %zu bytes",
			NX_LIMIT_HTTP_HEADER);
	if (head->n_host > 1 || (http11 && head->n_host == 0))
		return smuggled(err, "not exactly one Host");
	if (head->n_length > 1)
		return smuggled(err, "more than one Content-Length");
	if (head->n_length && head->n_encoding)
		return smuggled(err, "Content-Length with Transfer-Encoding");
	if (head->n_length &&
		(!head->length || head->length[0] == '\0' ||
			strspn(head->length, "0123456789") != strlen(head->length)))
		return smuggled(err, "bad Content-Length");
	if (head->n_encoding &&
		(head->n_encoding > 1 || !http11 || !head->encoding ||
			strcasecmp(head->encoding, "chunked") != 0))
		return smuggled(err, "bad Transfer-Encoding");
	if (head->expect && strcasecmp(head->expect, "100-continue") != 0)
		return smuggled(err, "unknown Expect");
	return NX_OK;
}

static nx_rc length_parse(const char *s, uint64_t *ret, struct nx_err *err)
{
	uint64_t v = 0;

	for (; *s; s++)
		if (__builtin_mul_overflow(v, 10u, &v) ||
			__builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return smuggled(err, "bad Content-Length");
	*ret = v;
	return NX_OK;
}

static nx_rc body_open(struct nx_http_req *req, const struct head *head, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	req->body_len = 0;
	if (head->n_encoding)
		req->body_len = UINT64_MAX;
	else if (head->n_length)
		rc = length_parse(head->length, &req->body_len, err);
	req->has_body = rc || req->body_len > 0;
	req->body_ended = !req->has_body;
	return rc;
}

/*
 * Is the head as long as what was understood of it?  libmicrohttpd ends it at a line that begins
 * with a colon and says nothing: what follows it would be the next request.  More white space than
 * is usual makes a head longer as well, which is no fault: it costs the connection, not the answer.
 */
static bool is_whole(struct nx_http_req *req, const char *version, const struct head *head)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(req->conn, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	size_t line = strlen(req->method) + 1 + strlen(req->uri ? req->uri : "") + 1 +
		strlen(version) + LINE_END_LEN;

	return info && info->header_size == line + head->bytes + LINE_END_LEN;
}

static nx_rc head_open(struct nx_http_req *req, const char *version, struct nx_err *err)
{
	bool http11 = strcmp(version, "HTTP/1.1") == 0;
	struct head head = {0};
	nx_rc rc;

	(void)MHD_get_connection_values_n(req->conn, MHD_HEADER_KIND, head_field, &head);
	/* With bad framing, where the next request starts is anyone's guess. */
	req->has_body = true;
	req->must_close = true;
	if (!http11 && strcmp(version, "HTTP/1.0") != 0)
		return nx_err_set(err, NX_E_MALFORMED, "not HTTP/1.0 or HTTP/1.1");
	rc = head_check(&head, http11, err);
	if (rc)
		return rc;
	rc = body_open(req, &head, err);
	req->must_close = rc || !is_whole(req, version, &head);
	return rc;
}

static nx_rc target_open(struct nx_http_req *req, struct nx_err *err)
{
	char *mark;
	nx_rc rc;

	if (!req->uri)
		return nx_err_set(
			err, NX_E_LIMIT, "request target of more than %zu bytes", NX_LIMIT_URL);
	mark = strchr(req->uri, '?');
	req->query_string = mark ? mark + 1 : "";
	rc = nx_http_path_parse(req->arena, req->uri,
		mark ? (size_t)(mark - req->uri) : strlen(req->uri), &req->path, err);
	if (rc)
		return rc;
	return nx_http_query_parse(req->arena, req->query_string, &req->query, &req->n_query, err);
}

/* The certificate is looked at once a connection: a session does not change its peer. */
static nx_rc client_open(struct nx_http_req *req, struct nx_err *err)
{
	const union MHD_ConnectionInfo *info;
	struct nx_http_server *server = req->server;
	struct nx_link *link = req->link;

	if (!server->tls || server->ca.len == 0)
		return NX_OK;
	if (!link->cn_known) {
		info = MHD_get_connection_info(req->conn, MHD_CONNECTION_INFO_GNUTLS_SESSION);
		link->cn_rc = info
			? nx_tls_peer_cn(info->tls_session, link->cn, sizeof(link->cn), err)
			: NX_E_NOENT;
		link->cn_known = true;
	}
	if (link->cn_rc == NX_OK || (link->cn_rc == NX_E_NOENT && !server->require_client_cert))
		return NX_OK;
	link->cn[0] = '\0';
	return nx_err_set(err, NX_E_DENIED, "a trusted client certificate is required");
}

/* The matched values lie inside the path: make strings of them. */
static nx_rc params_own(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_route_match *m = &req->match;
	const char *s;

	for (size_t i = 0; i < m->n_params; i++) {
		s = nx_arena_str(
			req->arena, (const char *)m->params[i].value.p, m->params[i].value.n);
		if (!s)
			return nx_err_set(err, NX_E_NOMEM, "no memory for path");
		m->params[i].value.p = (const uint8_t *)s;
	}
	return NX_OK;
}

nx_rc nx_request_open(
	struct nx_http_req *req, const char *method, const char *version, struct nx_err *err)
{
	struct nx_http_server *server = req->server;
	nx_rc rc;

	req->method = method;
	req->path = "";
	req->query_string = "";
	rc = head_open(req, version, err);
	if (!rc)
		rc = target_open(req, err);
	if (!rc)
		rc = client_open(req, err);
	if (rc)
		return rc;
	if (nx_cors_open(req))
		return nx_http_reply(req, 204, NULL, nx_slice(NULL, 0));
	rc = nx_route_find(
		server->opts.tables, server->opts.n_tables, method, req->path, &req->match, err);
	if (rc == NX_E_METHOD)
		nx_http_set_header(req, "Allow", req->match.allow);
	if (rc == NX_E_METHOD && strcmp(method, "OPTIONS") == 0) /* RFC 9110 9.3.7 */
		return nx_http_reply(req, 204, NULL, nx_slice(NULL, 0));
	if (!rc)
		rc = params_own(req, err);
	if (!rc && server->opts.authorize)
		rc = server->opts.authorize(req, req->match.route, server->opts.context, err);
	return rc;
}

/* ---- running the handler ---- */

static void handler_main(void *arg)
{
	struct nx_http_req *req = arg;
	struct nx_err err = {0};
	nx_rc rc = req->match.route->fn(req, &err);

	if (!req->replied && rc == NX_OK)
		rc = nx_err_set(&err, NX_E_INTERNAL, "handler ended without a reply");
	if (!req->replied) {
		if (err.rc != rc)
			(void)nx_err_set(&err, rc, "%s", nx_rc_wire(rc));
		(void)nx_http_reply_err(req, &err);
	}
	req->handled = true;
}

void nx_request_run(struct nx_http_req *req)
{
	struct nx_link *link = req->link;
	struct nx_err err = {0};

	if (!req->has_body) {
		handler_main(req);
		return;
	}
	if (!link->fiber)
		link->fiber = nx_fiber_new();
	if (link->fiber) {
		nx_fiber_start(link->fiber, handler_main, req);
		return;
	}
	(void)nx_err_set(&err, NX_E_NOMEM, "no memory for a stack");
	(void)nx_http_reply_err(req, &err);
	req->handled = true;
}

/* ---- the body ---- */

uint64_t nx_http_body_length(const struct nx_http_req *req)
{
	return req->body_len;
}

/* On NX_OK req->chunk has bytes, or the body has ended. */
static nx_rc body_wait(struct nx_http_req *req, struct nx_err *err)
{
	while (req->chunk.n == 0 && !req->body_ended && !req->closed)
		nx_fiber_yield(req->link->fiber);
	if (!req->closed)
		return NX_OK;
	if (atomic_load(&req->link->cut))
		return nx_err_set(err, NX_E_TIMEOUT, "body came too slowly");
	return nx_err_set(err, NX_E_CLOSED, "connection closed in the body");
}

nx_rc nx_http_body_next(struct nx_http_req *req, struct nx_slice *ret, struct nx_err *err)
{
	nx_rc rc = body_wait(req, err);

	if (rc)
		return rc;
	*ret = req->chunk;
	req->chunk = nx_slice(NULL, 0);
	return NX_OK;
}

nx_rc nx_http_body_read(
	struct nx_http_req *req, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	nx_rc rc = body_wait(req, err);

	if (rc)
		return rc;
	if (n > req->chunk.n)
		n = req->chunk.n;
	if (n)
		memcpy(p, req->chunk.p, n);
	req->chunk = nx_slice(n ? req->chunk.p + n : NULL, req->chunk.n - n);
	*ret_n = n;
	return NX_OK;
}

static nx_rc body_all_known(
	struct nx_http_req *req, uint8_t *to, size_t n, struct nx_slice *ret, struct nx_err *err)
{
	size_t got = 0, k;
	nx_rc rc;

	for (; got < n; got += k) {
		rc = nx_http_body_read(req, to + got, n - got, &k, err);
		if (rc)
			return rc;
		if (k == 0)
			return nx_err_set(err, NX_E_SHORT, "body shorter than announced");
	}
	*ret = nx_slice(to, n);
	return NX_OK;
}

static nx_rc body_all_chunked(
	struct nx_http_req *req, size_t max, struct nx_slice *ret, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_slice piece;
	const uint8_t *copy;
	nx_rc rc;

	nx_buf_init(&buf, max, NX_BUF_WIPE);
	for (;;) {
		rc = nx_http_body_next(req, &piece, err);
		if (rc)
			return rc;
		if (piece.n == 0)
			break;
		nx_buf_put_slice(&buf, piece);
		rc = nx_buf_check(&buf, err);
		if (rc)
			return nx_err_prefix(err, rc, "body");
	}
	copy = nx_arena_copy(req->arena, buf.data, buf.len);
	if (!copy)
		return nx_err_set(err, NX_E_NOMEM, "no memory for body");
	*ret = nx_slice(copy, buf.len);
	return NX_OK;
}

nx_rc nx_http_body_all(
	struct nx_http_req *req, size_t max, struct nx_slice *ret, struct nx_err *err)
{
	uint8_t *to;

	if (req->body_len == UINT64_MAX)
		return body_all_chunked(req, max, ret, err);
	if (req->body_len > max)
		return nx_err_set(err, NX_E_LIMIT, "body of more than %zu bytes", max);
	to = nx_arena_alloc(req->arena, (size_t)req->body_len);
	if (!to)
		return nx_err_set(err, NX_E_NOMEM, "no memory for body");
	return body_all_known(req, to, (size_t)req->body_len, ret, err);
}

/* ---- accessors ---- */

const char *nx_http_method(const struct nx_http_req *req)
{
	return req->method;
}

const char *nx_http_path(const struct nx_http_req *req)
{
	return req->path;
}

const char *nx_http_query_string(const struct nx_http_req *req)
{
	return req->query_string;
}

const char *nx_http_header(const struct nx_http_req *req, const char *name)
{
	return MHD_lookup_connection_value(req->conn, MHD_HEADER_KIND, name);
}

bool nx_http_query_at(
	const struct nx_http_req *req, size_t i, const char **ret_key, const char **ret_value)
{
	if (i >= req->n_query)
		return false;
	*ret_key = req->query[i].key;
	*ret_value = req->query[i].value;
	return true;
}

const char *nx_http_query(const struct nx_http_req *req, const char *key)
{
	for (size_t i = 0; i < req->n_query; i++)
		if (strcmp(req->query[i].key, key) == 0)
			return req->query[i].value;
	return NULL;
}

const char *nx_http_param_find(const struct nx_http_req *req, const char *name)
{
	const struct nx_slice want = nx_slice_str(name);

	for (size_t i = 0; i < req->match.n_params; i++)
		if (nx_slice_eq(req->match.params[i].name, want))
			return (const char *)req->match.params[i].value.p;
	return NULL;
}

const char *nx_http_param(const struct nx_http_req *req, const char *name)
{
	const char *value = nx_http_param_find(req, name);

	assert(value && "the route has no such parameter");
	return value;
}

const char *nx_http_peer(const struct nx_http_req *req)
{
	return req->link->peer;
}

const char *nx_http_peer_cn(const struct nx_http_req *req)
{
	return req->link->cn[0] ? req->link->cn : NULL;
}

bool nx_http_is_unix(const struct nx_http_req *req)
{
	return req->link->is_unix;
}

bool nx_http_peer_uid(const struct nx_http_req *req, uint32_t *ret_uid)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);

	if (!req->link->is_unix ||
		getsockopt(req->link->fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
		return false;
	*ret_uid = cred.uid;
	return true;
}

struct nx_arena *nx_http_arena(struct nx_http_req *req)
{
	return req->arena;
}

void *nx_http_context(struct nx_http_req *req)
{
	return req->server->opts.context;
}

void *nx_http_table_context(const struct nx_http_req *req)
{
	return req->match.table->context;
}

const char *nx_http_mount(struct nx_http_req *req)
{
	return nx_arena_str(req->arena, req->path, req->match.mount_len);
}

bool nx_http_is_tls(const struct nx_http_req *req)
{
	return req->server->tls;
}

void nx_http_set_principal(struct nx_http_req *req, void *principal, const char *name)
{
	req->principal = principal;
	req->who = name;
}

void *nx_http_principal(const struct nx_http_req *req)
{
	return req->principal;
}

nx_rc nx_http_range(const struct nx_http_req *req, uint64_t size, uint64_t *ret_off,
	uint64_t *ret_len, struct nx_err *err)
{
	return nx_http_range_parse(nx_http_header(req, "Range"), size, ret_off, ret_len, err);
}

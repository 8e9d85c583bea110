#include "http_fixture.h"

#include <sys/resource.h>

/* ---- handlers ---- */

static nx_rc h_hello(struct nx_http_req *req, struct nx_err *err)
{
	(void)err;
	return nx_http_reply(req, 200, "text/plain", nx_slice_str("hello"));
}

static nx_rc h_echo(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_slice body;
	nx_rc rc = nx_http_body_all(req, 64 * 1024, &body, err);

	return rc ? rc : nx_http_reply(req, 200, "application/octet-stream", body);
}

/* Checks the pattern i * 7 of what comes and counts it. */
static nx_rc h_sink(struct nx_http_req *req, struct nx_err *err)
{
	struct fixture *fx = nx_http_context(req);
	uint64_t total = 0;
	uint8_t buf[5000];
	size_t n;
	nx_rc rc;

	atomic_fetch_add(&fx->handler_calls, 1);
	do {
		rc = nx_http_body_read(req, buf, sizeof(buf), &n, err);
		for (size_t i = 0; !rc && i < n; i++)
			if (buf[i] != (uint8_t)((total + i) * 7))
				rc = nx_err_set(err, NX_E_CORRUPT, "wrong byte");
		total += rc ? 0 : n;
	} while (!rc && n);
	atomic_store(&fx->last_rc, (int)rc);
	atomic_store(&fx->body_bytes, total);
	return rc ? rc : nx_http_reply(req, 204, NULL, nx_slice(NULL, 0));
}

static nx_rc h_refuse_midway(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_slice piece;
	nx_rc rc = nx_http_body_next(req, &piece, err);

	return rc ? rc : nx_err_set(err, NX_E_MALFORMED, "first bytes are wrong");
}

static nx_rc h_refuse_unread(struct nx_http_req *req, struct nx_err *err)
{
	(void)req;
	return nx_err_set(err, NX_E_PRECONDITION, "not this");
}

static nx_rc stream_read(void *payload, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	struct fixture *fx = payload;

	if (fx->stream_fails && fx->stream_left < 500000)
		return nx_err_set(err, NX_E_CORRUPT, "segment 2");
	*ret_n = n < fx->stream_left ? n : (size_t)fx->stream_left;
	memset(p, 'x', *ret_n);
	fx->stream_left -= *ret_n;
	return NX_OK;
}

static void stream_done(void *payload, uint64_t sent, bool complete)
{
	struct fixture *fx = payload;

	atomic_store(&fx->done_sent, sent);
	atomic_store(&fx->done_complete, complete);
	atomic_fetch_add(&fx->done_calls, 1);
}

static nx_rc h_stream(struct nx_http_req *req, struct nx_err *err)
{
	struct fixture *fx = nx_http_context(req);

	(void)err;
	fx->stream_left = 900000;
	fx->stream_fails = nx_http_query(req, "fail") != NULL;
	return nx_http_reply_stream(req, 200, "application/octet-stream",
		nx_http_query(req, "chunked") ? UINT64_MAX : fx->stream_left, stream_read,
		stream_done, fx);
}

static nx_rc h_coded(struct nx_http_req *req, struct nx_err *err)
{
	(void)nx_http_encode(req);
	if (nx_http_query(req, "small"))
		return h_hello(req, err);
	return h_stream(req, err);
}

static nx_rc h_params(struct nx_http_req *req, struct nx_err *err)
{
	const char *text = nx_arena_printf(nx_http_arena(req), "%s|%s|%s|%s",
		nx_http_param(req, "bucket"), nx_http_param(req, "key"),
		nx_http_query(req, "q") ? nx_http_query(req, "q") : "-", nx_http_query_string(req));

	if (!text)
		return nx_err_set(err, NX_E_NOMEM, "no memory");
	return nx_http_reply(req, 200, "text/plain", nx_slice_str(text));
}

static nx_rc h_headers(struct nx_http_req *req, struct nx_err *err)
{
	char name[16];

	(void)err;
	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "x-meta-%d", i);
		nx_http_set_header(req, name, nx_http_query(req, "split") ? "a\r\nb: c" : "v");
	}
	return nx_http_reply(req, 200, NULL, nx_slice(NULL, 0));
}

static nx_rc h_silent(struct nx_http_req *req, struct nx_err *err)
{
	(void)req;
	(void)err;
	return NX_OK;
}

static const struct nx_route routes[] = {
	{"GET", "/hello", 1, 1, h_hello, ""},
	{"POST", "/echo", 1, 1, h_echo, ""},
	{"PUT", "/sink", 1, 1, h_sink, ""},
	{"PUT", "/midway", 1, 1, h_refuse_midway, ""},
	{"PUT", "/unread", 1, 1, h_refuse_unread, ""},
	{"PUT", "/denied", 2, 1, h_sink, ""},
	{"GET", "/stream", 1, 1, h_stream, ""},
	{"GET", "/coded", 1, 1, h_coded, ""},
	{"GET", "/headers", 1, 1, h_headers, ""},
	{"GET", "/silent", 1, 1, h_silent, ""},
	{"GET", "/s3/{bucket}/{key...}", 1, 1, h_params, ""},
	{0},
};
static const struct nx_route_table tables[] = {{"", routes, NULL}};

static nx_rc authorize(
	struct nx_http_req *req, const struct nx_route *route, void *context, struct nx_err *err)
{
	(void)context;
	if (route->perm == 1)
		return NX_OK;
	nx_http_set_header(req, "WWW-Authenticate", "Bearer");
	return nx_err_set(err, NX_E_UNAUTHENTICATED, "no token");
}

static struct nx_http_opts opts_of(struct fixture *fx)
{
	return (struct nx_http_opts){.name = "test",
		.address = "127.0.0.1",
		.max_conns = 300,
		.header_us = 700 * 1000,
		.idle_us = 5 * 1000 * 1000,
		.min_rate = 1000 * 1000,
		.tables = tables,
		.n_tables = 1,
		.authorize = authorize,
		.context = fx};
}

static int setup(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	struct nx_http_opts opts;

	assert_non_null(fx);
	*state = fx;
	opts = opts_of(fx);
	assert_ok(nx_http_start(&opts, &fx->server, &fx->err), &fx->err);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;

	nx_http_stop(fx->server, FX_TIMEOUT_US / 20);
	free(fx);
	return 0;
}

/* ---- exchanges ---- */

static void test_two_requests_share_a_connection(void **state)
{
	NX_AUTO(nx_conn) *conn = fx_dial(*state);

	for (int i = 0; i < 3; i++) {
		assert_int_equal(fx_status(conn, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
		assert_int_equal(fx_status(conn,
					 "POST /echo HTTP/1.1\r\nHost: x\r\n"
					 "Content-Length: 3\r\n\r\nabc"),
			200);
		assert_int_equal(fx_status(conn, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"), 404);
	}
}

static void test_head_is_get_without_the_body(void **state)
{
	NX_AUTO(nx_conn) *conn = fx_dial(*state);
	struct reply reply;

	fx_send(conn, "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(fx_head(conn, &reply));
	assert_int_equal(reply.status, 200);
	assert_string_equal(fx_field(&reply, "Content-Length"), "5");
	assert_int_equal(fx_status(conn, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
}

static void test_head_of_a_stream_ends_it_once(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_conn) *conn = fx_dial(fx);
	struct reply reply;

	fx_send(conn, "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(fx_head(conn, &reply));
	assert_string_equal(fx_field(&reply, "Content-Length"), "900000");
	assert_int_equal(fx_status(conn, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	assert_int_equal(atomic_load(&fx->done_calls), 1);
	assert_int_equal(atomic_load(&fx->done_complete), 1);
	assert_u64(atomic_load(&fx->done_sent), 0);
}

static void test_other_methods_are_405_with_allow(void **state)
{
	NX_AUTO(nx_conn) *conn = fx_dial(*state);
	struct reply reply;

	fx_send(conn, "DELETE /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(fx_reply(conn, &reply));
	assert_int_equal(reply.status, 405);
	assert_string_equal(fx_field(&reply, "Allow"), "GET, HEAD");
	assert_non_null(strstr((char *)reply.body, "{\"error\":{\"code\":\"method-not-allowed\""));
	free(reply.body);
}

static void test_options_says_what_a_resource_takes(void **state)
{
	NX_AUTO(nx_conn) *conn = fx_dial(*state);
	struct reply reply;

	fx_send(conn, "OPTIONS /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(fx_head(conn, &reply));
	assert_int_equal(reply.status, 204);
	assert_string_equal(fx_field(&reply, "Allow"), "GET, HEAD, OPTIONS");
	assert_int_equal(fx_status(conn, "OPTIONS /nothing HTTP/1.1\r\nHost: x\r\n\r\n"), 404);
}

static void test_route_parameters_and_query_are_decoded(void **state)
{
	NX_AUTO(nx_conn) *conn = fx_dial(*state);
	struct reply reply;

	fx_send(conn, "GET /s3/b%20c/x/y%2Fz.dcm?a&q=1%262+3&q=no HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(fx_reply(conn, &reply));
	assert_string_equal((char *)reply.body, "b c|x/y/z.dcm|1&2 3|a&q=1%262+3&q=no");
	free(reply.body);
}

static void test_handler_without_a_reply_is_an_internal_error(void **state)
{
	NX_AUTO(nx_conn) *conn = fx_dial(*state);

	assert_int_equal(fx_status(conn, "GET /silent HTTP/1.1\r\nHost: x\r\n\r\n"), 500);
}

static void test_headers_are_many_and_never_split(void **state)
{
	NX_AUTO(nx_conn) *conn = fx_dial(*state);
	struct reply reply;

	fx_send(conn, "GET /headers HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(fx_head(conn, &reply));
	assert_string_equal(fx_field(&reply, "x-meta-0"), "v");
	assert_string_equal(fx_field(&reply, "x-meta-99"), "v");
	assert_int_equal(fx_status(conn, "GET /headers?split HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
}

/* ---- bodies ---- */

static void send_pattern(struct nx_conn *conn, uint64_t from, size_t n)
{
	static uint8_t block[65536];
	struct nx_err err = {0};
	size_t take;

	while (n) {
		take = n < sizeof(block) ? n : sizeof(block);
		for (size_t i = 0; i < take; i++)
			block[i] = (uint8_t)((from + i) * 7);
		assert_ok(nx_conn_write(conn, block, take, &err), &err);
		from += take;
		n -= take;
	}
}

static void test_large_upload_streams_in_little_memory(void **state)
{
	enum {
		LEN = 64 * 1024 * 1024
	};
	struct fixture *fx = *state;
	NX_AUTO(nx_conn) *conn = fx_dial(fx);
	struct rusage before, after;
	struct reply reply;

	(void)getrusage(RUSAGE_SELF, &before);
	fx_send(conn, "PUT /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 67108864\r\n\r\n");
	send_pattern(conn, 0, LEN);
	assert_true(fx_head(conn, &reply));
	assert_int_equal(reply.status, 204);
	assert_u64(atomic_load(&fx->body_bytes), LEN);
	(void)getrusage(RUSAGE_SELF, &after);
	assert_true(after.ru_maxrss - before.ru_maxrss < 16 * 1024); /* KiB */
}

static void test_chunked_upload_arrives_whole(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_conn) *conn = fx_dial(fx);
	struct reply reply;
	uint64_t at = 0;
	char size[16];

	fx_send(conn, "PUT /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (size_t n = 1; n < 70000; n = n * 3 + 1) {
		(void)snprintf(size, sizeof(size), "%zx\r\n", n);
		fx_send(conn, size);
		send_pattern(conn, at, n);
		fx_send(conn, "\r\n");
		at += n;
	}
	fx_send(conn, "0\r\n\r\n");
	assert_true(fx_head(conn, &reply));
	assert_int_equal(reply.status, 204);
	assert_u64(atomic_load(&fx->body_bytes), at);
	assert_int_equal(fx_status(conn, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
}

static void test_small_body_limit_is_413(void **state)
{
	NX_AUTO(nx_conn) *a = fx_dial(*state);
	NX_AUTO(nx_conn) *b = fx_dial(*state);
	char big[70000];

	assert_int_equal(
		fx_status(a, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n"),
		413);
	memset(big, 'y', sizeof(big));
	fx_send(b, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n");
	assert_ok(nx_conn_write(b, big, sizeof(big), NULL), NULL);
	assert_int_equal(fx_status(b, "\r\n0\r\n\r\n"), 413);
}

static void test_continue_is_sent_only_after_authorisation(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_conn) *conn = fx_dial(fx);
	NX_AUTO(nx_conn) *other = fx_dial(fx);
	struct reply reply;

	fx_send(conn,
		"PUT /denied HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
		"Expect: 100-continue\r\n\r\n");
	assert_true(fx_reply(conn, &reply));
	free(reply.body);
	assert_int_equal(reply.status, 401);
	assert_string_equal(fx_field(&reply, "WWW-Authenticate"), "Bearer");
	assert_true(fx_closed(conn));
	assert_int_equal(atomic_load(&fx->handler_calls), 0);

	fx_send(other,
		"PUT /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
		"Expect: 100-continue\r\n\r\n");
	assert_true(fx_head(other, &reply));
	assert_int_equal(reply.status, 100);
	send_pattern(other, 0, 4);
	assert_true(fx_head(other, &reply));
	assert_int_equal(reply.status, 204);
}

static void test_handler_may_refuse_before_and_in_the_body(void **state)
{
	NX_AUTO(nx_conn) *a = fx_dial(*state);
	NX_AUTO(nx_conn) *b = fx_dial(*state);

	assert_int_equal(fx_status(a,
				 "PUT /unread HTTP/1.1\r\nHost: x\r\n"
				 "Content-Length: 99999999\r\n\r\n"),
		412);
	fx_send(b, "PUT /midway HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n");
	send_pattern(b, 0, 3000000);
	assert_int_equal(fx_status(b, ""), 400);
	assert_int_equal(fx_status(b, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
}

/* Poll, since the server's side ends a little after ours. */
static void test_aborted_upload_ends_the_handler(void **state)
{
	struct fixture *fx = *state;
	struct nx_conn *conn = fx_dial(fx);

	fx_send(conn, "PUT /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
	send_pattern(conn, 0, 5000);
	nx_conn_free(conn);
	fx_await(&fx->last_rc, NX_E_CLOSED);
}

/* ---- streams ---- */

static void test_stream_sends_all_and_is_done_once(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_conn) *conn = fx_dial(fx);
	struct reply reply;

	fx_send(conn, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(fx_reply(conn, &reply));
	free(reply.body);
	assert_u64(reply.len, 900000);
	fx_await(&fx->done_calls, 1);
	assert_int_equal(atomic_load(&fx->done_complete), 1);
	assert_u64(atomic_load(&fx->done_sent), 900000);
}

static void test_failing_stream_is_cut_short(void **state)
{
	static const char *const targets[] = {"GET /stream?fail HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /stream?fail&chunked HTTP/1.1\r\nHost: x\r\n\r\n"};
	struct fixture *fx = *state;
	char last[5] = {0}, c;
	struct reply reply;

	for (int i = 0; i < 2; i++) {
		NX_AUTO(nx_conn) *conn = fx_dial(fx);

		fx_send(conn, targets[i]);
		assert_true(fx_head(conn, &reply));
		while (nx_conn_read(conn, &c, 1, NULL) == NX_OK) {
			memmove(last, last + 1, 4);
			last[4] = c;
		}
		assert_memory_not_equal(last, "0\r\n\r\n", 5); /* no end of chunks */
		fx_await(&fx->done_calls, i + 1);
		assert_int_equal(atomic_load(&fx->done_complete), 0);
	}
}

static void test_coded_bodies_are_smaller_and_end(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_conn) *conn = fx_dial(fx);
	struct reply reply;
	char c[5] = {0};
	size_t n = 0;

	fx_send(conn, "GET /coded HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n");
	assert_true(fx_head(conn, &reply));
	assert_string_equal(fx_field(&reply, "Content-Encoding"), "gzip");
	assert_string_equal(fx_field(&reply, "Vary"), "Accept-Encoding");
	assert_null(fx_field(&reply, "Content-Length"));
	while (memcmp(c, "0\r\n\r\n", 5) != 0) {
		memmove(c, c + 1, 4);
		assert_rc(nx_conn_read(conn, &c[4], 1, NULL), NX_OK);
		n++;
	}
	assert_true(n < 100000);
	fx_await(&fx->done_calls, 1);
	assert_int_equal(atomic_load(&fx->done_complete), 1);
	assert_int_equal(fx_status(conn, "GET /coded?small HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	fx_send(conn, "HEAD /coded HTTP/1.1\r\nHost: x\r\nAccept-Encoding: zstd\r\n\r\n");
	assert_true(fx_head(conn, &reply));
	assert_string_equal(fx_field(&reply, "Content-Encoding"), "zstd");
	assert_rc(nx_conn_read(conn, c, 1, NULL), NX_E_CLOSED); /* not even an end of chunks */
}

static void test_a_failing_coded_body_is_cut(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_conn) *conn = fx_dial(fx);
	char last[5] = {0}, c;
	struct reply reply;

	fx_send(conn, "GET /coded?fail HTTP/1.1\r\nHost: x\r\nAccept-Encoding: zstd\r\n\r\n");
	assert_true(fx_head(conn, &reply));
	while (nx_conn_read(conn, &c, 1, NULL) == NX_OK) {
		memmove(last, last + 1, 4);
		last[4] = c;
	}
	assert_memory_not_equal(last, "0\r\n\r\n", 5);
	fx_await(&fx->done_calls, 1);
	assert_int_equal(atomic_load(&fx->done_complete), 0);
}

static void test_nothing_is_cached_that_does_not_say_so(void **state)
{
	NX_AUTO(nx_conn) *conn = fx_dial(*state);
	struct reply reply;

	for (int i = 0; i < 2; i++) {
		fx_send(conn,
			i ? "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
			  : "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
		assert_true(fx_reply(conn, &reply));
		free(reply.body);
		assert_string_equal(fx_field(&reply, "Cache-Control"), "no-store");
		assert_null(fx_field(&reply, "Vary")); /* no other origins here */
	}
}

/* ---- what is refused ---- */

static void test_malformed_heads_are_refused_and_closed(void **state)
{
	static const char *const heads[] = {
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
		 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc",
		"GET /hello HTTP/1.1\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost: x\r\nB(d: 1\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n 0\r\n\r\nabcdefghij",
		"GET /hello HTTP/1.1\r\nX: a\r\n\tb\r\nHost: x\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost: x\r\nX:\r\n b\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: magic\r\nContent-Length: 1\r\n\r\na",
	};
	struct fixture *fx = *state;

	for (size_t i = 0; i < NX_ARRAY_LEN(heads); i++) {
		NX_AUTO(nx_conn) *conn = fx_dial(fx);
		int status = fx_status(conn, heads[i]);

		if (status != 400)
			print_error("head %zu: %d\n", i, status);
		assert_int_equal(status, 400);
		assert_true(fx_closed(conn));
	}
}

/* To libmicrohttpd the line with the colon is the end of the head. */
static void test_nothing_after_a_field_without_a_name_is_a_request(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_conn) *conn = fx_dial(fx);
	struct reply reply;
	char c;

	fx_send(conn,
		"GET /hello HTTP/1.1\r\nHost: x\r\n: a\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(fx_reply(conn, &reply));
	free(reply.body);
	assert_rc(nx_conn_read(conn, &c, 1, &fx->err), NX_E_CLOSED);
}

static void test_white_space_around_values_is_no_fault(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_conn) *conn = fx_dial(fx);

	assert_int_equal(fx_status(conn,
				 "GET /hello HTTP/1.1\r\nHost:x  \r\nA: \t b c \t\r\nE:\r\n"
				 "F:  \r\nG: h\r\n\r\n"),
		200);
}

static void test_bad_targets_are_refused(void **state)
{
	static const char *const targets[] = {"/s3/a/%00", "/s3/a/%zz", "/s3/a/%4", "/s3/a/../b",
		"/s3/a/%2e%2E/b", "/s3/a/%2e.", "/s3/a/%0a", "/hello?a=%", "/hello?a=%00", "hello"};
	struct fixture *fx = *state;
	NX_AUTO(nx_conn) *conn = fx_dial(fx);
	char text[128];

	for (size_t i = 0; i < NX_ARRAY_LEN(targets); i++) {
		(void)snprintf(
			text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", targets[i]);
		assert_int_equal(fx_status(conn, text), 400);
	}
}

static void test_long_targets_and_heads_are_refused(void **state)
{
	struct fixture *fx = *state;
	static char text[60000];

	for (size_t n = 17000; n < 50000; n += 30000) {
		NX_AUTO(nx_conn) *a = fx_dial(fx);
		NX_AUTO(nx_conn) *b = fx_dial(fx);
		int status;

		(void)snprintf(
			text, sizeof(text), "GET /%0*d HTTP/1.1\r\nHost: x\r\n\r\n", (int)n, 0);
		status = fx_status(a, text);
		assert_true(status == 413 || status == 414);
		(void)snprintf(text, sizeof(text),
			"GET /hello HTTP/1.1\r\nHost: x\r\nA: %0*d\r\n\r\n", (int)n, 0);
		status = fx_status(b, text);
		assert_true(n < 32768 ? status == 200 : status == 413 || status == 431);
	}
}

/* libmicrohttpd gives such a target up half way: nothing of it may stay, not even until a stop. */
static void test_more_parameters_than_there_is_memory_for_leave_nothing(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO_DONE(nx_buf) text;
	int64_t begin;

	nx_buf_init(&text, 64 * 1024, 0);
	nx_buf_put_str(&text, "GET /hello?");
	for (int i = 0; i < 2000; i++)
		nx_buf_put_str(&text, "a=1&");
	nx_buf_put_str(&text, " HTTP/1.1\r\nHost: x\r\n\r\n");
	for (int i = 0; i < 3; i++) {
		NX_AUTO(nx_conn) *conn = fx_dial(fx);

		assert_int_not_equal(fx_status(conn, nx_buf_cstr(&text)), 200);
		assert_true(fx_closed(conn));
	}
	begin = nx_mono_us();
	fx->server = nx_http_stop(fx->server, FX_TIMEOUT_US);
	assert_true(nx_mono_us() - begin < FX_TIMEOUT_US / 2);
}

/* ---- slow peers ---- */

static void test_dripped_head_is_cut(void **state)
{
	NX_AUTO(nx_conn) *conn = fx_dial(*state);
	const char *text =
		"GET /hello HTTP/1.1\r\nHost: x\r\nA: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
	int64_t begin = nx_mono_us();
	nx_rc rc = NX_OK;

	while (*text && !rc) {
		rc = nx_conn_write(conn, text++, 1, NULL);
		(void)usleep(50 * 1000);
	}
	assert_int_not_equal(rc, NX_OK);
	assert_true(nx_mono_us() - begin < 3 * 1000 * 1000);
}

static void test_many_idle_connections_leave_room_for_one_more(void **state)
{
	enum {
		N = 200
	};
	struct fixture *fx = *state;
	struct nx_conn *conns[N];

	for (int i = 0; i < N; i++) {
		conns[i] = fx_dial(fx);
		assert_int_equal(
			fx_status(conns[i], "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	}
	for (int i = 0; i < N; i++)
		assert_int_equal(
			fx_status(conns[i], "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	for (int i = 0; i < N; i++)
		nx_conn_free(conns[i]);
}

/* A server of few connections and much patience. */
static void restart_small(struct fixture *fx, unsigned per_peer)
{
	struct nx_http_opts opts = opts_of(fx);

	nx_http_stop(fx->server, 0);
	opts.max_conns = 16;
	opts.max_per_peer = per_peer;
	opts.header_us = opts.idle_us = FX_TIMEOUT_US;
	opts.min_rate = 1;
	assert_ok(nx_http_start(&opts, &fx->server, &fx->err), &fx->err);
}

static void test_a_crowd_that_says_nothing_makes_room(void **state)
{
	enum {
		N = 40
	};
	struct fixture *fx = *state;
	struct nx_conn *conns[N], *busy, *late;
	struct reply reply;
	int64_t begin;
	char c;

	restart_small(fx, 0);
	busy = fx_dial(fx);
	fx_send(busy,
		"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
		"Expect: 100-continue\r\n\r\n");
	assert_true(fx_head(busy, &reply) && reply.status == 100);
	for (int i = 0; i < N; i++)
		conns[i] = fx_dial(fx);
	begin = nx_mono_us();
	late = fx_dial(fx);
	assert_int_equal(fx_status(late, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	assert_true(nx_mono_us() - begin < FX_TIMEOUT_US / 2);
	assert_rc(nx_conn_read(conns[0], &c, 1, NULL), NX_E_CLOSED);
	assert_int_equal(fx_status(busy, "abcd"), 200); /* it has a request: it stays */
	for (int i = 0; i < N; i++)
		nx_conn_free(conns[i]);
	nx_conn_free(busy);
	nx_conn_free(late);
}

static void test_one_address_has_its_share(void **state)
{
	struct fixture *fx = *state;
	struct nx_conn *conns[3];
	char c;

	restart_small(fx, 2);
	for (int i = 0; i < 3; i++)
		conns[i] = fx_dial(fx);
	assert_int_equal(fx_status(conns[0], "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	assert_int_equal(fx_status(conns[1], "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	assert_rc(nx_conn_read(conns[2], &c, 1, NULL), NX_E_CLOSED);
	for (int i = 0; i < 3; i++)
		nx_conn_free(conns[i]);
}

#define HTTP_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(test_two_requests_share_a_connection),
		HTTP_TEST(test_head_is_get_without_the_body),
		HTTP_TEST(test_head_of_a_stream_ends_it_once),
		HTTP_TEST(test_other_methods_are_405_with_allow),
		HTTP_TEST(test_options_says_what_a_resource_takes),
		HTTP_TEST(test_route_parameters_and_query_are_decoded),
		HTTP_TEST(test_handler_without_a_reply_is_an_internal_error),
		HTTP_TEST(test_headers_are_many_and_never_split),
		HTTP_TEST(test_large_upload_streams_in_little_memory),
		HTTP_TEST(test_chunked_upload_arrives_whole),
		HTTP_TEST(test_small_body_limit_is_413),
		HTTP_TEST(test_continue_is_sent_only_after_authorisation),
		HTTP_TEST(test_handler_may_refuse_before_and_in_the_body),
		HTTP_TEST(test_aborted_upload_ends_the_handler),
		HTTP_TEST(test_stream_sends_all_and_is_done_once),
		HTTP_TEST(test_failing_stream_is_cut_short),
		HTTP_TEST(test_coded_bodies_are_smaller_and_end),
		HTTP_TEST(test_a_failing_coded_body_is_cut),
		HTTP_TEST(test_nothing_is_cached_that_does_not_say_so),
		HTTP_TEST(test_malformed_heads_are_refused_and_closed),
		HTTP_TEST(test_nothing_after_a_field_without_a_name_is_a_request),
		HTTP_TEST(test_white_space_around_values_is_no_fault),
		HTTP_TEST(test_bad_targets_are_refused),
		HTTP_TEST(test_long_targets_and_heads_are_refused),
		HTTP_TEST(test_more_parameters_than_there_is_memory_for_leave_nothing),
		HTTP_TEST(test_dripped_head_is_cut),
		HTTP_TEST(test_many_idle_connections_leave_room_for_one_more),
		HTTP_TEST(test_a_crowd_that_says_nothing_makes_room),
		HTTP_TEST(test_one_address_has_its_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

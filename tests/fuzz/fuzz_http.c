/*
 * Bytes as a client may send them, to a real server over a Unix socket: the heads that
 * libmicrohttpd passes and we refuse, routes, bodies on their fibers, replies.  A connection takes
 * one input and is then closed by this side for writing; it must be answered or ended, never left.
 */
#include "fuzz.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "http/http.h"
#include "net/net.h"

enum {
	PATIENCE_MS = 15000,
	BODY_MAX = 8192,
	STREAM_LEN = 70000,
};

struct site {
	char dir[32];
	struct sockaddr_un at;
	struct nx_http_server *server;
};

static struct site site;

/* Everything that a handler may ask of a request. */
static nx_rc h_ask(struct nx_http_req *req, struct nx_err *err)
{
	const char *key, *value;
	uint64_t off, len;
	size_t n = 0;

	(void)err;
	if (nx_http_header(req, "Range"))
		n += strlen(nx_http_header(req, "Range"));
	for (size_t i = 0; nx_http_query_at(req, i, &key, &value); i++)
		n += strlen(key) + strlen(value);
	n += strlen(nx_http_path(req)) + strlen(nx_http_query_string(req));
	n += strlen(nx_http_param(req, "rest"));
	FUZZ_CHECK(n > 0 && nx_http_is_unix(req) && !nx_http_is_tls(req));
	if (nx_http_range(req, 1000, &off, &len, NULL) == NX_OK)
		FUZZ_CHECK(len > 0 && off + len <= 1000);
	nx_http_set_header(req, "X-Seen", nx_http_param(req, "rest"));
	return nx_http_reply(req, 200, "text/plain", nx_slice_str("ok"));
}

static nx_rc h_body(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_slice body;
	nx_rc rc = nx_http_body_all(req, BODY_MAX, &body, err);

	FUZZ_CHECK(rc || body.n <= BODY_MAX);
	return rc ? rc : nx_http_reply(req, 200, "application/octet-stream", body);
}

static nx_rc on_begin(void *payload, const char *type, const char *location, struct nx_err *err)
{
	(void)payload, (void)type, (void)location, (void)err;
	return NX_OK;
}

static nx_rc on_data(void *payload, struct nx_slice bytes, struct nx_err *err)
{
	(void)payload, (void)bytes, (void)err;
	return NX_OK;
}

static nx_rc on_end(void *payload, struct nx_err *err)
{
	(void)payload, (void)err;
	return NX_OK;
}

static nx_rc h_parts(struct nx_http_req *req, struct nx_err *err)
{
	static const struct nx_multipart_cb cb = {on_begin, on_data, on_end};
	NX_AUTO(nx_multipart) *mp = NULL;
	struct nx_slice piece;
	nx_rc rc = nx_multipart_new(nx_http_header(req, "Content-Type"), &cb, NULL, &mp, err);

	if (rc)
		return rc;
	do {
		rc = nx_http_body_next(req, &piece, err);
		if (!rc && piece.n)
			rc = nx_multipart_feed(mp, piece.p, piece.n, err);
	} while (!rc && piece.n);
	if (!rc)
		rc = nx_multipart_finish(mp, err);
	return rc ? rc : nx_http_reply(req, 204, NULL, nx_slice(NULL, 0));
}

static nx_rc stream_read(void *payload, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	size_t *left = payload;

	(void)err;
	*ret_n = n < *left ? n : *left;
	memset(p, 'x', *ret_n);
	*left -= *ret_n;
	return NX_OK;
}

static void stream_done(void *payload, uint64_t sent, bool complete)
{
	(void)sent, (void)complete;
	free(payload);
}

static nx_rc h_stream(struct nx_http_req *req, struct nx_err *err)
{
	size_t *left = malloc(sizeof(*left));

	if (!left)
		return nx_err_set(err, NX_E_NOMEM, "no memory");
	*left = STREAM_LEN;
	return nx_http_reply_stream(req, 200, "application/octet-stream",
		nx_http_query(req, "chunked") ? UINT64_MAX : STREAM_LEN, stream_read, stream_done,
		left);
}

static const struct nx_route routes[] = {
	{"GET", "/ask/{rest...}", 1, 1, h_ask, ""},
	{"PUT", "/body", 1, 1, h_body, ""},
	{"POST", "/parts", 1, 1, h_parts, ""},
	{"GET", "/stream", 1, 1, h_stream, ""},
	{0},
};
static const struct nx_route_table tables[] = {{"", routes, NULL}, {"/in/{where}", routes, NULL}};

static void site_end(void)
{
	site.server = nx_http_stop(site.server, 0);
	(void)rmdir(site.dir);
}

static void site_begin(void)
{
	struct nx_http_opts opts = {.name = "fuzz",
		.unix_path = site.at.sun_path,
		.tables = tables,
		.n_tables = NX_ARRAY_LEN(tables)};

	nx_log_set_level((enum nx_log_level)(NX_LOG_ERROR + 1));
	(void)snprintf(site.dir, sizeof(site.dir), "/tmp/nx-fuzz-XXXXXX");
	FUZZ_CHECK(mkdtemp(site.dir));
	site.at.sun_family = AF_UNIX;
	(void)snprintf(site.at.sun_path, sizeof(site.at.sun_path), "%s/http", site.dir);
	FUZZ_CHECK(nx_http_start(&opts, &site.server, NULL) == NX_OK);
	FUZZ_CHECK(atexit(site_end) == 0);
}

/* The server may end the connection before it has read everything. */
static void send_all(int fd, const uint8_t *p, size_t n)
{
	ssize_t done;

	for (; n; p += done, n -= (size_t)done) {
		done = send(fd, p, n, MSG_NOSIGNAL);
		if (done <= 0)
			return;
	}
	(void)shutdown(fd, SHUT_WR);
}

/* libFuzzer's alarm clock interrupts whoever waits. */
static void await(int fd)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	int n;

	do
		n = poll(&ready, 1, PATIENCE_MS);
	while (n < 0 && errno == EINTR);
	FUZZ_CHECK(n == 1);
}

/* Reads to the end; keeps the first bytes. */
static size_t read_all(int fd, char head[8])
{
	static char buf[65536];
	size_t total = 0;
	ssize_t n;

	for (;;) {
		await(fd);
		n = recv(fd, buf, sizeof(buf), 0);
		if (n <= 0)
			return total;
		for (size_t i = 0; i < (size_t)n && total + i < 8; i++)
			head[total + i] = buf[i];
		total += (size_t)n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char head[8] = "";
	size_t n;
	int fd;

	if (!site.server)
		site_begin();
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FUZZ_CHECK(fd >= 0);
	FUZZ_CHECK(connect(fd, (const struct sockaddr *)&site.at, sizeof(site.at)) == 0);
	send_all(fd, data, size);
	n = read_all(fd, head);
	FUZZ_CHECK(n == 0 || (n > 8 && memcmp(head, "HTTP/1.", 7) == 0));
	(void)close(fd);
	return 0;
}

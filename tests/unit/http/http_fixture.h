/*
 * http_fixture.h - a server with routes for every behaviour, and a raw client that can misbehave.
 */
#ifndef NX_TEST_HTTP_FIXTURE_H
#define NX_TEST_HTTP_FIXTURE_H

#include "nx_test.h"

#include <stdatomic.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "http/http.h"
#include "net/net.h"

enum {
	FX_TIMEOUT_US = 20 * 1000 * 1000,
	FX_REPLY_MAX = 1024 * 1024
};

struct fixture {
	struct nx_http_server *server;
	struct nx_err err;
	char dir[32];
	atomic_int handler_calls;
	atomic_int handler_begun; /* of h_sink: the body's first piece is there */
	atomic_int last_rc;       /* how the handler's body ended */
	atomic_ullong body_bytes;
	atomic_int done_calls;
	atomic_int done_complete;
	atomic_ullong done_sent;
	uint64_t stream_left;
	bool stream_fails;
};

struct reply {
	int status;
	char head[4096];
	uint8_t *body;
	size_t len;
};

static inline struct nx_conn *fx_dial(struct fixture *fx)
{
	struct nx_conn *conn = NULL;

	assert_ok(nx_conn_open("127.0.0.1", nx_http_port(fx->server), NULL, FX_TIMEOUT_US, &conn,
			  &fx->err),
		&fx->err);
	nx_conn_deadline(conn, nx_mono_us() + FX_TIMEOUT_US);
	return conn;
}

static inline void fx_send(struct nx_conn *conn, const char *text)
{
	struct nx_err err = {0};

	assert_ok(nx_conn_write(conn, text, strlen(text), &err), &err);
}

/* Up to and with the empty line; false when the connection ends first. */
static inline bool fx_head(struct nx_conn *conn, struct reply *reply)
{
	size_t n = 0;

	memset(reply, 0, sizeof(*reply));
	while (n < sizeof(reply->head) - 1) {
		if (nx_conn_read(conn, reply->head + n, 1, NULL))
			return false;
		n++;
		if (n >= 4 && memcmp(reply->head + n - 4, "\r\n\r\n", 4) == 0)
			break;
	}
	return sscanf(reply->head, "HTTP/1.1 %d", &reply->status) == 1;
}

static inline const char *fx_field(const struct reply *reply, const char *name)
{
	static _Thread_local char value[256];
	char line[64];
	const char *at;

	(void)snprintf(line, sizeof(line), "\r\n%s:", name);
	at = strcasestr(reply->head, line);
	if (!at || sscanf(at + strlen(line), " %255[^\r]", value) != 1)
		return NULL;
	return value;
}

/* A whole reply with Content-Length.  The caller frees the body. */
static inline bool fx_reply(struct nx_conn *conn, struct reply *reply)
{
	const char *length;

	if (!fx_head(conn, reply))
		return false;
	length = fx_field(reply, "Content-Length");
	assert_non_null(length);
	reply->len = strtoull(length, NULL, 10);
	assert_true(reply->len <= FX_REPLY_MAX);
	reply->body = calloc(1, reply->len + 1);
	assert_non_null(reply->body);
	return nx_conn_read(conn, reply->body, reply->len, NULL) == NX_OK;
}

/* Send `text`, get the status; 0 when the server just closed. */
static inline int fx_status(struct nx_conn *conn, const char *text)
{
	struct reply reply;
	int status;

	fx_send(conn, text);
	status = fx_reply(conn, &reply) ? reply.status : 0;
	free(reply.body);
	return status;
}

/* The connection ends, within what one error reply can be: libmicrohttpd 0.9.75 sends the head of
 * its own error pages twice before it closes. */
static inline bool fx_closed(struct nx_conn *conn)
{
	char c;
	int n = 0;
	nx_rc rc;

	do
		rc = nx_conn_read(conn, &c, 1, NULL);
	while (rc == NX_OK && n++ < 512);
	return rc == NX_E_CLOSED;
}

NX_UNUSED static void fx_await(atomic_int *what, int value)
{
	int64_t deadline = nx_mono_us() + FX_TIMEOUT_US;

	while (atomic_load(what) != value && nx_mono_us() < deadline)
		(void)usleep(1000);
	assert_int_equal(atomic_load(what), value);
}

#endif

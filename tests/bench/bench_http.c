/*
 * bench_http.c - GET and PUT of 525 KB objects and small GETs over TLS, by 1 and 16 connections.
 *
 * Client and server share the process and the cores, so the figures are of both together.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "http/http.h"
#include "net/net.h"

enum {
	OBJECT_LEN = 525 * 1024,
	CONNS_MAX = 16,
	RUN_US = 2 * 1000 * 1000
};

static uint8_t object[OBJECT_LEN];

static nx_rc read_object(void *payload, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	size_t *at = payload;

	(void)err;
	*ret_n = n < OBJECT_LEN - *at ? n : OBJECT_LEN - *at;
	memcpy(p, object + *at, *ret_n);
	*at += *ret_n;
	return NX_OK;
}

static void read_done(void *payload, uint64_t sent, bool complete)
{
	(void)sent;
	(void)complete;
	free(payload);
}

static nx_rc get_object(struct nx_http_req *req, struct nx_err *err)
{
	size_t *at = calloc(1, sizeof(*at));

	if (!at)
		return nx_err_set(err, NX_E_NOMEM, "no memory");
	return nx_http_reply_stream(
		req, 200, "application/dicom", OBJECT_LEN, read_object, read_done, at);
}

static nx_rc put_object(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_slice piece = {NULL, 1};
	nx_rc rc = NX_OK;

	while (!rc && piece.n)
		rc = nx_http_body_next(req, &piece, err);
	return rc ? rc : nx_http_reply(req, 200, NULL, nx_slice_str("ok"));
}

static nx_rc get_small(struct nx_http_req *req, struct nx_err *err)
{
	(void)err;
	return nx_http_reply(req, 200, "text/plain", nx_slice_str("small"));
}

static const struct nx_route routes[] = {
	{"GET", "/object", 1, 1, get_object, ""},
	{"PUT", "/object", 1, 1, put_object, ""},
	{"GET", "/small", 1, 1, get_small, ""},
	{0},
};

struct client {
	pthread_t thread;
	const char *ca;
	uint16_t port;
	const char *head;
	size_t send_len;
	uint64_t requests;
	bool failed;
};

/* One exchange: the reply's head ends in the first read or soon after. */
static bool exchange(struct client *client, struct nx_conn *conn)
{
	static _Thread_local char buf[65536];
	const char *end = NULL, *length;
	size_t have = 0, n, want;

	if (nx_conn_write(conn, client->head, strlen(client->head), NULL) ||
		nx_conn_write(conn, object, client->send_len, NULL))
		return false;
	while (!end) {
		if (have == sizeof(buf) ||
			nx_conn_read_some(conn, buf + have, sizeof(buf) - have, &n, NULL))
			return false;
		have += n;
		end = memmem(buf, have, "\r\n\r\n", 4);
	}
	length = memmem(buf, (size_t)(end - buf), "Content-Length: ", 16);
	if (!length || memcmp(buf, "HTTP/1.1 200", 12) != 0)
		return false;
	want = (size_t)(end + 4 - buf) + strtoull(length + 16, NULL, 10);
	while (have < want) {
		if (nx_conn_read_some(conn, buf, sizeof(buf), &n, NULL))
			return false;
		have += n;
	}
	return have == want;
}

static void *client_main(void *arg)
{
	struct client *client = arg;
	NX_AUTO(nx_conn) *conn = NULL;
	int64_t end = nx_mono_us() + RUN_US;

	client->failed = nx_conn_open("localhost", client->port, client->ca, RUN_US, &conn, NULL);
	while (!client->failed && nx_mono_us() < end) {
		client->failed = !exchange(client, conn);
		client->requests++;
	}
	return NULL;
}

static double cpu_seconds(void)
{
	struct rusage ru;

	(void)getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
		(double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

static void run(const char *name, const struct client *like, unsigned conns, size_t bytes)
{
	struct client clients[CONNS_MAX];
	double cpu = cpu_seconds(), seconds;
	int64_t begin = nx_mono_us();
	uint64_t requests = 0;
	bool failed = false;

	for (unsigned i = 0; i < conns; i++) {
		clients[i] = *like;
		if (pthread_create(&clients[i].thread, NULL, client_main, &clients[i]))
			exit(1);
	}
	for (unsigned i = 0; i < conns; i++) {
		(void)pthread_join(clients[i].thread, NULL);
		requests += clients[i].requests;
		failed = failed || clients[i].failed;
	}
	seconds = (double)(nx_mono_us() - begin) / 1e6;
	(void)printf("%-12s %2u conns  %9.0f req/s  %8.1f MB/s  %6.1f us CPU/req%s\n", name, conns,
		(double)requests / seconds, (double)(requests * bytes) / seconds / 1e6,
		(cpu_seconds() - cpu) * 1e6 / (double)requests, failed ? "  FAILED" : "");
}

static void run_all(const char *ca, uint16_t port)
{
	static const struct {
		const char *name;
		const char *head;
		size_t send;
		size_t bytes;
	} kinds[] = {
		{"small", "GET /small HTTP/1.1\r\nHost: x\r\n\r\n", 0, 5},
		{"get 525k", "GET /object HTTP/1.1\r\nHost: x\r\n\r\n", 0, OBJECT_LEN},
		{"put 525k", "PUT /object HTTP/1.1\r\nHost: x\r\nContent-Length: 537600\r\n\r\n",
			OBJECT_LEN, OBJECT_LEN},
	};

	for (size_t k = 0; k < NX_ARRAY_LEN(kinds); k++)
		for (unsigned conns = 1; conns <= CONNS_MAX; conns *= CONNS_MAX) {
			const struct client like = {.ca = ca,
				.port = port,
				.head = kinds[k].head,
				.send_len = kinds[k].send};

			run(kinds[k].name, &like, conns, kinds[k].bytes);
		}
}

int main(int argc, char **argv)
{
	static const struct nx_route_table table = {"", routes, NULL};
	static const char *const names[] = {"localhost"};
	const char *dir = argc > 1 ? argv[1] : ".";
	char ca[512], cert[512], key[512];
	const struct nx_tls_opts tls = {cert, key, NULL, false};
	const struct nx_http_opts opts = {.name = "bench",
		.address = "127.0.0.1",
		.tls = &tls,
		.tables = &table,
		.n_tables = 1};
	struct nx_http_server *server = NULL;
	struct nx_err err = {0};

	(void)snprintf(ca, sizeof(ca), "%s/ca.pem", dir);
	(void)snprintf(cert, sizeof(cert), "%s/server.pem", dir);
	(void)snprintf(key, sizeof(key), "%s/server-key.pem", dir);
	if (nx_tls_make_ca(dir, names, 1, 1, &err) || nx_http_start(&opts, &server, &err)) {
		(void)fprintf(stderr, "%s\n", nx_err_text(&err));
		return 1;
	}
	run_all(ca, nx_http_port(server));
	nx_http_stop(server, RUN_US);
	return 0;
}

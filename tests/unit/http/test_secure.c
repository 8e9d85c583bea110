/* The ways in other than plain TCP, slow peers, and the end of a server. */
#include "http_fixture.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static nx_rc h_who(struct nx_http_req *req, struct nx_err *err)
{
	const char *cn = nx_http_peer_cn(req);
	const char *text = nx_arena_printf(nx_http_arena(req), "%s|%s|%d", nx_http_peer(req),
		cn ? cn : "-", nx_http_is_unix(req));

	(void)err;
	return nx_http_reply(req, 200, "text/plain", nx_slice_str(text));
}

static nx_rc h_sink(struct nx_http_req *req, struct nx_err *err)
{
	struct fixture *fx = nx_http_context(req);
	struct nx_slice piece = {NULL, 1};
	uint64_t total = 0;
	nx_rc rc = NX_OK;

	while (!rc && piece.n) {
		rc = nx_http_body_next(req, &piece, err);
		total += rc ? 0 : piece.n;
		atomic_store(&fx->handler_begun, 1);
	}
	atomic_store(&fx->last_rc, (int)rc);
	atomic_store(&fx->body_bytes, total);
	atomic_fetch_add(&fx->handler_calls, 1);
	return rc ? rc : nx_http_reply(req, 204, NULL, nx_slice(NULL, 0));
}

static nx_rc h_slow(struct nx_http_req *req, struct nx_err *err)
{
	struct fixture *fx = nx_http_context(req);

	(void)err;
	atomic_fetch_add(&fx->handler_calls, 1);
	(void)usleep(300 * 1000);
	return nx_http_reply(req, 200, "text/plain", nx_slice_str("late"));
}

static const struct nx_route routes[] = {
	{"GET", "/who", 1, 1, h_who, ""},
	{"PUT", "/sink", 1, 1, h_sink, ""},
	{"GET", "/slow", 1, 1, h_slow, ""},
	{0},
};
static const struct nx_route_table tables[] = {{"", routes, NULL}};

static void start(struct fixture *fx, const char *unix_path, const struct nx_tls_opts *tls)
{
	const struct nx_http_opts opts = {.name = "test",
		.address = "127.0.0.1",
		.unix_path = unix_path,
		.tls = tls,
		.min_rate = 1000 * 1000,
		.tables = tables,
		.n_tables = 1,
		.context = fx};

	assert_ok(nx_http_start(&opts, &fx->server, &fx->err), &fx->err);
}

static int setup(void **state)
{
	static const char *const names[] = {"localhost", "127.0.0.1"};
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	(void)snprintf(fx->dir, sizeof(fx->dir), "/tmp/nx-http-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	assert_ok(nx_tls_make_ca(fx->dir, names, 2, 3, &fx->err), &fx->err);
	assert_ok(nx_tls_make_client(fx->dir, "dr", "Dr. Who", 3, &fx->err), &fx->err);
	*state = fx;
	return 0;
}

static const char *in_dir(const struct fixture *fx, const char *name)
{
	static char paths[8][64];
	static unsigned at;

	at = (at + 1) % NX_ARRAY_LEN(paths);
	(void)snprintf(paths[at], sizeof(paths[at]), "%s/%s", fx->dir, name);
	return paths[at];
}

static int teardown(void **state)
{
	static const char *const files[] = {
		"ca.pem", "ca-key.pem", "server.pem", "server-key.pem", "dr.pem", "dr-key.pem"};
	struct fixture *fx = *state;

	nx_http_stop(fx->server, FX_TIMEOUT_US / 20);
	for (size_t i = 0; i < NX_ARRAY_LEN(files); i++)
		(void)unlink(in_dir(fx, files[i]));
	(void)rmdir(fx->dir);
	free(fx);
	return 0;
}

static void start_tls(struct fixture *fx, bool ask, bool require)
{
	const struct nx_tls_opts tls = {in_dir(fx, "server.pem"), in_dir(fx, "server-key.pem"),
		ask ? in_dir(fx, "ca.pem") : NULL, require};

	start(fx, NULL, &tls);
}

static struct nx_conn *dial_tls(struct fixture *fx, bool cert)
{
	const struct nx_tls_opts tls = {cert ? in_dir(fx, "dr.pem") : NULL,
		cert ? in_dir(fx, "dr-key.pem") : NULL, in_dir(fx, "ca.pem"), false};
	struct nx_conn *conn = NULL;

	assert_ok(nx_conn_open_tls("localhost", nx_http_port(fx->server), &tls, FX_TIMEOUT_US,
			  &conn, &fx->err),
		&fx->err);
	nx_conn_deadline(conn, nx_mono_us() + FX_TIMEOUT_US);
	return conn;
}

static void expect_who(struct nx_conn *conn, int status, const char *want)
{
	struct reply reply;

	fx_send(conn, "GET /who HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(fx_reply(conn, &reply));
	assert_int_equal(reply.status, status);
	if (want)
		assert_string_equal((char *)reply.body, want);
	free(reply.body);
}

static void test_tls_requests_share_a_connection(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_conn) *conn = NULL;

	start_tls(fx, false, false);
	conn = dial_tls(fx, false);
	for (int i = 0; i < 3; i++)
		expect_who(conn, 200, "127.0.0.1|-|0");
}

static void test_client_certificate_names_the_peer(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_conn) *with = NULL;
	NX_AUTO(nx_conn) *without = NULL;

	start_tls(fx, true, false);
	with = dial_tls(fx, true);
	without = dial_tls(fx, false);
	expect_who(with, 200, "127.0.0.1|Dr. Who|0");
	expect_who(with, 200, "127.0.0.1|Dr. Who|0");
	expect_who(without, 200, "127.0.0.1|-|0");
}

static void test_required_client_certificate_is_required(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_conn) *with = NULL;
	NX_AUTO(nx_conn) *without = NULL;

	start_tls(fx, true, true);
	with = dial_tls(fx, true);
	without = dial_tls(fx, false);
	expect_who(with, 200, "127.0.0.1|Dr. Who|0");
	expect_who(without, 403, NULL);
}

static void test_upload_over_tls_arrives_whole(void **state)
{
	enum {
		LEN = 5000000
	};
	struct fixture *fx = *state;
	NX_AUTO(nx_conn) *conn = NULL;
	struct reply reply;
	uint8_t *data = calloc(1, LEN);

	assert_non_null(data);
	start_tls(fx, false, false);
	conn = dial_tls(fx, false);
	for (int i = 0; i < 2; i++) {
		fx_send(conn, "PUT /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n");
		assert_ok(nx_conn_write(conn, data, LEN, &fx->err), &fx->err);
		assert_true(fx_head(conn, &reply));
		assert_int_equal(reply.status, 204);
		assert_u64(atomic_load(&fx->body_bytes), LEN);
	}
	free(data);
}

static void test_unix_socket_serves_and_is_removed(void **state)
{
	struct fixture *fx = *state;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	static const char text[] = "GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	NX_AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char reply[1024] = {0};
	struct stat st;
	size_t n = 0;
	ssize_t got;

	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/sock", fx->dir);
	start(fx, sa.sun_path, NULL);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	while (n < sizeof(reply) - 1 && (got = read(fd, reply + n, sizeof(reply) - 1 - n)) > 0)
		n += (size_t)got;
	assert_non_null(strstr(reply, "\r\n\r\nunix|-|1"));
	fx->server = nx_http_stop(fx->server, FX_TIMEOUT_US);
	assert_int_equal(stat(sa.sun_path, &st), -1);
}

/* At a minimum of 1 MB/s, a few bytes every 50 ms are too slow after 10 s of patience. */
static void test_dripped_body_is_cut_and_the_handler_hears_it(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_conn) *conn = NULL;
	int64_t begin = nx_mono_us();
	nx_rc rc = NX_OK;

	start(fx, NULL, NULL);
	conn = fx_dial(fx);
	fx_send(conn, "PUT /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
	while (!rc && nx_mono_us() - begin < FX_TIMEOUT_US) {
		rc = nx_conn_write(conn, "abc", 3, NULL);
		(void)usleep(50 * 1000);
	}
	assert_int_equal(rc, NX_E_CLOSED);
	assert_true(nx_mono_us() - begin > 9 * 1000 * 1000);
	while (atomic_load(&fx->handler_calls) == 0 && nx_mono_us() - begin < FX_TIMEOUT_US)
		(void)usleep(1000);
	assert_int_equal(atomic_load(&fx->last_rc), NX_E_TIMEOUT);
}

static void test_stop_lets_a_request_finish_and_cuts_idle_ones(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_conn) *busy = NULL;
	NX_AUTO(nx_conn) *idle = NULL;
	struct reply reply;
	int64_t begin;

	start(fx, NULL, NULL);
	idle = fx_dial(fx);
	expect_who(idle, 200, NULL);
	busy = fx_dial(fx);
	fx_send(busy, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
	while (atomic_load(&fx->handler_calls) == 0)
		(void)usleep(1000);
	begin = nx_mono_us();
	fx->server = nx_http_stop(fx->server, FX_TIMEOUT_US);
	assert_true(nx_mono_us() - begin < 5 * 1000 * 1000);
	assert_true(fx_reply(busy, &reply));
	assert_string_equal((char *)reply.body, "late");
	assert_string_equal(fx_field(&reply, "Connection"), "close");
	free(reply.body);
	assert_true(fx_closed(idle));
}

static void test_stop_ends_a_stalled_upload(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_conn) *conn = NULL;

	start(fx, NULL, NULL);
	conn = fx_dial(fx);
	fx_send(conn, "PUT /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
	fx_await(&fx->handler_begun, 1);
	fx->server = nx_http_stop(fx->server, 100 * 1000);
	assert_int_equal(atomic_load(&fx->last_rc), NX_E_CLOSED);
}

static void test_bad_certificates_are_configuration_errors(void **state)
{
	struct fixture *fx = *state;
	const struct nx_tls_opts tls = {
		in_dir(fx, "server.pem"), in_dir(fx, "ca-key.pem"), NULL, false};
	const struct nx_http_opts opts = {
		.address = "127.0.0.1", .tls = &tls, .tables = tables, .n_tables = 1};
	struct nx_http_server *server = NULL;

	assert_rc(nx_http_start(&opts, &server, &fx->err), NX_E_CONFIG);
	assert_null(server);
}

#define HTTP_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(test_tls_requests_share_a_connection),
		HTTP_TEST(test_client_certificate_names_the_peer),
		HTTP_TEST(test_required_client_certificate_is_required),
		HTTP_TEST(test_upload_over_tls_arrives_whole),
		HTTP_TEST(test_unix_socket_serves_and_is_removed),
		HTTP_TEST(test_dripped_body_is_cut_and_the_handler_hears_it),
		HTTP_TEST(test_stop_lets_a_request_finish_and_cuts_idle_ones),
		HTTP_TEST(test_stop_ends_a_stalled_upload),
		HTTP_TEST(test_bad_certificates_are_configuration_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "nx_test.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "net/net.h"

enum {
	TIMEOUT_US = 10 * 1000 * 1000,
	PATH_LEN = 64
};

struct fixture {
	char dir[32];
	char ca[PATH_LEN], cert[PATH_LEN], key[PATH_LEN], client[PATH_LEN], client_key[PATH_LEN];
	struct nx_err err;
};

static int setup(void **state)
{
	static const char *const names[] = {"localhost", "127.0.0.1", "::1"};
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	(void)snprintf(fx->dir, sizeof(fx->dir), "/tmp/nx-tls-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	(void)snprintf(fx->ca, PATH_LEN, "%s/ca.pem", fx->dir);
	(void)snprintf(fx->cert, PATH_LEN, "%s/server.pem", fx->dir);
	(void)snprintf(fx->key, PATH_LEN, "%s/server-key.pem", fx->dir);
	(void)snprintf(fx->client, PATH_LEN, "%s/ct1.pem", fx->dir);
	(void)snprintf(fx->client_key, PATH_LEN, "%s/ct1-key.pem", fx->dir);
	assert_ok(nx_tls_make_ca(fx->dir, names, NX_ARRAY_LEN(names), 30, &fx->err), &fx->err);
	assert_ok(nx_tls_make_client(fx->dir, "ct1", "CT Scanner 1", 30, &fx->err), &fx->err);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	static const char *const files[] = {
		"ca.pem", "ca-key.pem", "server.pem", "server-key.pem", "ct1.pem", "ct1-key.pem"};
	struct fixture *fx = *state;
	char path[PATH_LEN];

	for (size_t i = 0; i < NX_ARRAY_LEN(files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", fx->dir, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(fx->dir);
	free(fx);
	return 0;
}

/* Says who it is talking to, then echoes. */
static void greet(struct nx_conn *conn, void *payload)
{
	const char *cn = nx_conn_peer_cn(conn);
	uint8_t buf[65536];
	size_t n;

	(void)payload;
	if (nx_conn_write(conn, cn ? cn : "-", cn ? strlen(cn) : 1, NULL))
		return;
	while (!nx_conn_wait(conn, NULL) && !nx_conn_read_some(conn, buf, sizeof(buf), &n, NULL))
		if (nx_conn_write(conn, buf, n, NULL))
			break;
}

static struct nx_tls *tls_new(struct fixture *fx, bool ask, bool require)
{
	const struct nx_tls_opts opts = {fx->cert, fx->key, ask ? fx->ca : NULL, require};
	struct nx_tls *tls = NULL;

	assert_ok(nx_tls_new(&opts, &tls, &fx->err), &fx->err);
	return tls;
}

static struct nx_listener *start(struct fixture *fx, struct nx_tls *tls)
{
	const struct nx_listener_opts opts = {.name = "test-tls",
		.address = "::",
		.tls = tls,
		.max_conns = 4,
		.handshake_us = 300 * 1000,
		.fn = greet};
	struct nx_listener *listener = NULL;

	assert_ok(nx_listener_start(&opts, &listener, &fx->err), &fx->err);
	return listener;
}

static nx_rc dial(struct fixture *fx, struct nx_listener *listener, const char *host, bool cert,
	struct nx_conn **ret)
{
	const struct nx_tls_opts opts = {
		cert ? fx->client : NULL, cert ? fx->client_key : NULL, fx->ca, false};
	nx_rc rc = nx_conn_open_tls(
		host, nx_listener_port(listener), &opts, TIMEOUT_US, ret, &fx->err);

	if (!rc)
		nx_conn_deadline(*ret, nx_mono_us() + TIMEOUT_US);
	return rc;
}

/* Far more than the socket buffers hold goes out in uneven pieces while it comes back. */
static void test_bulk_survives_records_and_gathering(void **state)
{
	enum {
		ROUNDS = 40,
		LEN = 6 + 40000 + 1
	};
	struct fixture *fx = *state;
	NX_AUTO(nx_tls) *tls = tls_new(fx, false, false);
	struct nx_listener *listener = start(fx, tls);
	NX_AUTO(nx_conn) *conn = NULL;
	static uint8_t out[LEN], in[LEN];
	struct iovec iov[4] = {{out, 6}, {out + 6, 0}, {out + 6, 40000}, {out + LEN - 1, 1}};

	assert_ok(dial(fx, listener, "localhost", false, &conn), &fx->err);
	assert_ok(nx_conn_read(conn, in, 1, &fx->err), &fx->err);
	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < LEN; i++)
			out[i] = (uint8_t)(i * 31 + (size_t)round);
		assert_ok(nx_conn_writev(conn, iov, 4, &fx->err), &fx->err);
		assert_ok(nx_conn_read(conn, in, LEN, &fx->err), &fx->err);
		assert_memory_equal(in, out, LEN);
	}
	nx_listener_stop(listener, TIMEOUT_US);
}

static void test_certificate_is_good_for_names_and_addresses(void **state)
{
	static const char *const hosts[] = {"localhost", "127.0.0.1", "::1"};
	struct fixture *fx = *state;
	NX_AUTO(nx_tls) *tls = tls_new(fx, false, false);
	struct nx_listener *listener = start(fx, tls);

	for (size_t i = 0; i < NX_ARRAY_LEN(hosts); i++) {
		NX_AUTO(nx_conn) *conn = NULL;

		assert_ok(dial(fx, listener, hosts[i], false, &conn), &fx->err);
	}
	/* an address of this machine that the certificate does not name */
	{
		NX_AUTO(nx_conn) *conn = NULL;

		assert_rc(dial(fx, listener, "127.0.0.2", false, &conn), NX_E_DENIED);
		assert_null(conn);
	}
	nx_listener_stop(listener, TIMEOUT_US);
}

static void test_client_certificate_gives_the_name(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_tls) *tls = tls_new(fx, true, true);
	struct nx_listener *listener = start(fx, tls);
	NX_AUTO(nx_conn) *conn = NULL;
	char cn[13] = {0};

	assert_ok(dial(fx, listener, "localhost", true, &conn), &fx->err);
	assert_ok(nx_conn_read(conn, cn, 12, &fx->err), &fx->err);
	assert_string_equal(cn, "CT Scanner 1");
	nx_listener_stop(listener, TIMEOUT_US);
}

/* TLS 1.3: the client's handshake ends before the server has looked, so the refusal shows on read.
 */
static void test_required_client_certificate_is_required(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_tls) *tls = tls_new(fx, true, true);
	struct nx_listener *listener = start(fx, tls);
	NX_AUTO(nx_conn) *conn = NULL;
	char c;

	if (dial(fx, listener, "localhost", false, &conn) == NX_OK)
		assert_rc(nx_conn_read(conn, &c, 1, &fx->err), NX_E_CLOSED);
	nx_listener_stop(listener, TIMEOUT_US);
}

static void test_asked_client_certificate_may_be_absent(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_tls) *tls = tls_new(fx, true, false);
	struct nx_listener *listener = start(fx, tls);
	NX_AUTO(nx_conn) *conn = NULL;
	char c = 0;

	assert_ok(dial(fx, listener, "localhost", false, &conn), &fx->err);
	assert_ok(nx_conn_read(conn, &c, 1, &fx->err), &fx->err);
	assert_int_equal(c, '-');
	nx_listener_stop(listener, TIMEOUT_US);
}

/* A server certificate is not one for clients (RFC 5280 4.2.1.12). */
static void test_certificate_of_another_purpose_is_refused(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_tls) *tls = tls_new(fx, true, true);
	struct nx_listener *listener = start(fx, tls);
	const struct nx_tls_opts opts = {fx->cert, fx->key, fx->ca, false};
	NX_AUTO(nx_conn) *conn = NULL;
	char c;

	if (nx_conn_open_tls("localhost", nx_listener_port(listener), &opts, TIMEOUT_US, &conn,
		    &fx->err) == NX_OK) {
		nx_conn_deadline(conn, nx_mono_us() + TIMEOUT_US);
		assert_rc(nx_conn_read(conn, &c, 1, &fx->err), NX_E_CLOSED);
	}
	nx_listener_stop(listener, TIMEOUT_US);
}

static void test_silent_client_ends_at_the_handshake_deadline(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_tls) *tls = tls_new(fx, false, false);
	struct nx_listener *listener = start(fx, tls);
	NX_AUTO(nx_conn) *conn = NULL;
	char c;

	assert_ok(nx_conn_open("127.0.0.1", nx_listener_port(listener), NULL, TIMEOUT_US, &conn,
			  &fx->err),
		&fx->err);
	nx_conn_deadline(conn, nx_mono_us() + TIMEOUT_US);
	assert_rc(nx_conn_read(conn, &c, 1, &fx->err), NX_E_CLOSED);
	nx_listener_stop(listener, TIMEOUT_US);
}

static void test_reload_leaves_open_connections_alone(void **state)
{
	static const char *const names[] = {"localhost"};
	struct fixture *fx = *state;
	NX_AUTO(nx_tls) *tls = tls_new(fx, false, false);
	struct nx_listener *listener = start(fx, tls);
	NX_AUTO(nx_conn) *before = NULL;
	NX_AUTO(nx_conn) *stale = NULL;
	NX_AUTO(nx_conn) *after = NULL;
	char c;

	assert_ok(dial(fx, listener, "localhost", false, &before), &fx->err);
	assert_ok(nx_conn_read(before, &c, 1, &fx->err), &fx->err);
	assert_ok(nx_tls_make_ca(fx->dir, names, 1, 30, &fx->err), &fx->err); /* another CA */
	assert_rc(dial(fx, listener, "localhost", false, &stale), NX_E_DENIED);
	assert_ok(nx_tls_reload(tls, &fx->err), &fx->err);
	assert_ok(dial(fx, listener, "localhost", false, &after), &fx->err);
	assert_ok(nx_conn_write(before, "y", 1, &fx->err), &fx->err);
	assert_ok(nx_conn_read(before, &c, 1, &fx->err), &fx->err);
	assert_int_equal(c, 'y');
	nx_listener_stop(listener, TIMEOUT_US);
}

static void test_failed_reload_keeps_what_was(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_tls) *tls = tls_new(fx, false, false);
	struct nx_listener *listener = start(fx, tls);
	NX_AUTO(nx_conn) *conn = NULL;

	assert_int_equal(unlink(fx->key), 0);
	assert_rc(nx_tls_reload(tls, &fx->err), NX_E_CONFIG);
	assert_ok(dial(fx, listener, "localhost", false, &conn), &fx->err);
	nx_listener_stop(listener, TIMEOUT_US);
}

static void test_files_have_the_right_modes_and_terms(void **state)
{
	struct fixture *fx = *state;
	struct stat st;
	int days = 0;

	assert_int_equal(stat(fx->key, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(fx->cert, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_ok(nx_tls_days_left(fx->cert, &days, &fx->err), &fx->err);
	assert_in_range(days, 29, 30);
	assert_rc(nx_tls_days_left("/nonexistent", &days, &fx->err), NX_E_NOENT);
	assert_rc(nx_tls_days_left(fx->key, &days, &fx->err), NX_E_MALFORMED);
}

#define TLS_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TLS_TEST(test_bulk_survives_records_and_gathering),
		TLS_TEST(test_certificate_is_good_for_names_and_addresses),
		TLS_TEST(test_client_certificate_gives_the_name),
		TLS_TEST(test_required_client_certificate_is_required),
		TLS_TEST(test_asked_client_certificate_may_be_absent),
		TLS_TEST(test_certificate_of_another_purpose_is_refused),
		TLS_TEST(test_silent_client_ends_at_the_handshake_deadline),
		TLS_TEST(test_reload_leaves_open_connections_alone),
		TLS_TEST(test_failed_reload_keeps_what_was),
		TLS_TEST(test_files_have_the_right_modes_and_terms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "nx_test.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "net/net.h"

enum {
	TIMEOUT_US = 10 * 1000 * 1000
};

static void echo(struct nx_conn *conn, void *payload)
{
	uint8_t buf[4096];
	size_t n;

	(void)payload;
	nx_conn_settled(conn);
	while (!nx_conn_wait(conn, NULL) && !nx_conn_read_some(conn, buf, sizeof(buf), &n, NULL))
		if (nx_conn_write(conn, buf, n, NULL))
			break;
}

static struct nx_listener *start(const char *address, nx_conn_fn fn, unsigned max, unsigned per)
{
	const struct nx_listener_opts opts = {.name = "test",
		.address = address,
		.max_conns = max,
		.max_per_peer = per,
		.fn = fn};
	struct nx_listener *listener = NULL;
	struct nx_err err = {0};

	assert_ok(nx_listener_start(&opts, &listener, &err), &err);
	return listener;
}

static struct nx_conn *dial(struct nx_listener *listener, const char *host)
{
	struct nx_conn *conn = NULL;
	struct nx_err err = {0};

	assert_ok(nx_conn_open(host, nx_listener_port(listener), NULL, TIMEOUT_US, &conn, &err),
		&err);
	nx_conn_deadline(conn, nx_mono_us() + TIMEOUT_US);
	return conn;
}

static void assert_echo(struct nx_conn *conn)
{
	struct nx_err err = {0};
	char got[5] = {0};

	assert_ok(nx_conn_write(conn, "ping", 4, &err), &err);
	assert_ok(nx_conn_read(conn, got, 4, &err), &err);
	assert_string_equal(got, "ping");
}

static void test_bytes_come_back_on_both_families(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", "::1"};

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(hosts); i++) {
		struct nx_listener *listener = start("::", echo, 4, 0);
		NX_AUTO(nx_conn) *conn = dial(listener, hosts[i]);

		assert_echo(conn);
		assert_string_equal(nx_conn_peer(conn), hosts[i]);
		nx_listener_stop(listener, TIMEOUT_US);
	}
}

static void test_writev_sends_every_byte_in_order(void **state)
{
	struct nx_listener *listener = start("127.0.0.1", echo, 4, 0);
	NX_AUTO(nx_conn) *conn = dial(listener, "127.0.0.1");
	struct iovec iov[100];
	char sent[100], got[100];
	struct nx_err err = {0};

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(iov); i++) {
		sent[i] = (char)('a' + i % 26);
		iov[i] = (struct iovec){&sent[i], i % 3 == 1 ? 0 : 1};
	}
	assert_ok(nx_conn_writev(conn, iov, NX_ARRAY_LEN(iov), &err), &err);
	assert_ok(nx_conn_read(conn, got, 67, &err), &err);
	for (size_t i = 0, k = 0; i < NX_ARRAY_LEN(iov); i++)
		if (i % 3 != 1)
			assert_int_equal(got[k++], sent[i]);
	nx_listener_stop(listener, TIMEOUT_US);
}

static void test_read_ends_at_deadline(void **state)
{
	struct nx_listener *listener = start("127.0.0.1", echo, 4, 0);
	NX_AUTO(nx_conn) *conn = dial(listener, "127.0.0.1");
	int64_t begin = nx_mono_us();
	char c;

	(void)state;
	nx_conn_deadline(conn, begin + 50 * 1000);
	assert_rc(nx_conn_read(conn, &c, 1, NULL), NX_E_TIMEOUT);
	assert_true(nx_mono_us() - begin >= 50 * 1000);
	nx_listener_stop(listener, TIMEOUT_US);
}

/* Sends until the peer's window is full; reports through the payload how it ended. */
static void flood(struct nx_conn *conn, void *payload)
{
	static const uint8_t block[65536];
	nx_rc rc = NX_OK;

	(void)payload;
	nx_conn_deadline(conn, nx_mono_us() + 100 * 1000);
	while (!rc)
		rc = nx_conn_write(conn, block, sizeof(block), NULL);
	assert_rc(rc, NX_E_TIMEOUT);
}

static void test_write_ends_at_deadline(void **state)
{
	struct nx_listener *listener = start("127.0.0.1", flood, 4, 0);
	NX_AUTO(nx_conn) *conn = dial(listener, "127.0.0.1");

	(void)state;
	assert_non_null(conn);
	nx_listener_stop(listener, TIMEOUT_US);
}

static void test_peer_gone_is_closed(void **state)
{
	struct nx_listener *listener = start("127.0.0.1", echo, 4, 0);
	NX_AUTO(nx_conn) *conn = dial(listener, "127.0.0.1");
	char c;

	(void)state;
	nx_listener_stop(listener, 0);
	assert_rc(nx_conn_read(conn, &c, 1, NULL), NX_E_CLOSED);
}

static void test_limits_refuse_in_total_and_per_address(void **state)
{
	struct nx_listener_stats stats;
	char c;

	(void)state;
	for (unsigned per = 0; per < 2; per++) {
		struct nx_listener *listener = start("127.0.0.1", echo, per ? 9 : 2, per ? 2 : 0);
		NX_AUTO(nx_conn) *a = dial(listener, "127.0.0.1");
		NX_AUTO(nx_conn) *b = dial(listener, "127.0.0.1");
		NX_AUTO(nx_conn) *over = NULL;

		assert_echo(a);
		assert_echo(b);
		over = dial(listener, "127.0.0.1");
		assert_rc(nx_conn_read(over, &c, 1, NULL), NX_E_CLOSED);
		nx_listener_stats(listener, &stats);
		assert_u64(stats.accepted, 2);
		assert_u64(stats.refused, 1);
		assert_u64(stats.active, 2);
		nx_listener_stop(listener, TIMEOUT_US);
	}
}

/* Settles when it has been spoken to. */
static void shy(struct nx_conn *conn, void *payload)
{
	char c;

	if (!nx_conn_read(conn, &c, 1, NULL) && !nx_conn_write(conn, &c, 1, NULL))
		echo(conn, payload);
}

static void test_a_full_listener_cuts_the_oldest_that_has_not_settled(void **state)
{
	struct nx_listener *listener = start("127.0.0.1", shy, 3, 0);
	NX_AUTO(nx_conn) *settled = dial(listener, "127.0.0.1");
	NX_AUTO(nx_conn) *oldest = NULL;
	NX_AUTO(nx_conn) *older = NULL;
	NX_AUTO(nx_conn) *newest = NULL;
	char c = 'a';

	(void)state;
	assert_rc(nx_conn_write(settled, &c, 1, NULL), NX_OK);
	assert_rc(nx_conn_read(settled, &c, 1, NULL), NX_OK);
	assert_echo(settled);
	oldest = dial(listener, "127.0.0.1");
	older = dial(listener, "127.0.0.1");
	newest = dial(listener, "127.0.0.1");
	assert_rc(nx_conn_read(oldest, &c, 1, NULL), NX_E_CLOSED);
	for (struct nx_conn **one = (struct nx_conn *[]){older, newest, NULL}; *one; one++) {
		assert_rc(nx_conn_write(*one, &c, 1, NULL), NX_OK);
		assert_rc(nx_conn_read(*one, &c, 1, NULL), NX_OK);
	}
	assert_echo(settled);
	nx_listener_stop(listener, TIMEOUT_US);
}

static void test_place_is_free_again_after_a_connection_ends(void **state)
{
	struct nx_listener *listener = start("127.0.0.1", echo, 1, 0);
	struct nx_listener_stats stats;

	(void)state;
	for (int i = 0; i < 20; i++) {
		NX_AUTO(nx_conn) *conn = dial(listener, "127.0.0.1");

		assert_echo(conn);
		conn = nx_conn_free(conn);
		do
			nx_listener_stats(listener, &stats);
		while (stats.active);
	}
	assert_u64(stats.accepted, 20);
	nx_listener_stop(listener, TIMEOUT_US);
}

static void test_drain_ends_idle_connections_at_once(void **state)
{
	struct nx_listener *listener = start("127.0.0.1", echo, 4, 0);
	NX_AUTO(nx_conn) *conn = dial(listener, "127.0.0.1");
	int64_t begin = nx_mono_us();

	(void)state;
	assert_echo(conn);
	nx_listener_stop(listener, TIMEOUT_US);
	assert_true(nx_mono_us() - begin < TIMEOUT_US / 2);
}

/* Does not look for drain: only the cut ends it. */
static void stubborn(struct nx_conn *conn, void *payload)
{
	char c;

	(void)payload;
	while (!nx_conn_read(conn, &c, 1, NULL))
		;
}

static void test_stop_cuts_what_outlives_the_grace(void **state)
{
	struct nx_listener *listener = start("127.0.0.1", stubborn, 4, 0);
	NX_AUTO(nx_conn) *conn = dial(listener, "127.0.0.1");
	int64_t begin = nx_mono_us();

	(void)state;
	assert_ok(nx_conn_write(conn, "x", 1, NULL), NULL);
	nx_listener_stop(listener, 100 * 1000);
	assert_true(nx_mono_us() - begin < TIMEOUT_US / 2);
}

static void test_unix_socket_has_its_mode_and_replaces_a_stale_one(void **state)
{
	char dir[] = "/tmp/nx-net-XXXXXX", path[64];
	struct nx_err err = {0};
	struct stat st;
	int fd = -1, again = -1;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/s", dir);
	assert_ok(nx_listen_unix(path, 0600, &fd, &err), &err);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_rc(nx_listen_unix(path, 0600, &again, &err), NX_E_BUSY);
	(void)close(fd);
	assert_ok(nx_listen_unix(path, 0660, &again, &err), &err);
	(void)close(again);
	(void)unlink(path);
	(void)rmdir(dir);
}

static void test_bad_addresses_are_configuration_errors(void **state)
{
	struct nx_err err = {0};
	uint16_t port;
	int fd;

	(void)state;
	assert_rc(nx_listen_socket("no.such.address", 0, &fd, &port, &err), NX_E_CONFIG);
	assert_rc(
		nx_listen_unix("/tmp/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			0600, &fd, &err),
		NX_E_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_come_back_on_both_families),
		cmocka_unit_test(test_writev_sends_every_byte_in_order),
		cmocka_unit_test(test_read_ends_at_deadline),
		cmocka_unit_test(test_write_ends_at_deadline),
		cmocka_unit_test(test_peer_gone_is_closed),
		cmocka_unit_test(test_limits_refuse_in_total_and_per_address),
		cmocka_unit_test(test_a_full_listener_cuts_the_oldest_that_has_not_settled),
		cmocka_unit_test(test_place_is_free_again_after_a_connection_ends),
		cmocka_unit_test(test_drain_ends_idle_connections_at_once),
		cmocka_unit_test(test_stop_cuts_what_outlives_the_grace),
		cmocka_unit_test(test_unix_socket_has_its_mode_and_replaces_a_stale_one),
		cmocka_unit_test(test_bad_addresses_are_configuration_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

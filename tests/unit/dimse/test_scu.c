#include "nx_test.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "dimse/scu.h"
#include "net/net.h"
#include "peer.h"

enum {
	BIG = 3000000
};

static const char *const explicit_le[] = {"1.2.840.10008.1.2.1"};
static const struct nx_dimse_scu_context contexts[] = {
	{PEER_VERIFICATION, explicit_le, 1},
	{PEER_CT, explicit_le, 1},
	{PEER_REFUSED, explicit_le, 1},
};

struct fixture {
	struct peer peer; /* its door only */
	struct nx_listener *listener;
	struct nx_dimse_scu_opts opts;
	struct nx_err err;
	uint8_t *big;
	unsigned statuses;
	uint16_t last_id;
	struct nx_tls *tls;
	char dir[32];
	char ca[64];
	char ca_key[64];
	char cert[64];
	char key[64];
};

static void on_status(void *payload, uint16_t message_id, uint16_t status, const char *comment)
{
	struct fixture *fx = payload;

	(void)comment;
	assert_int_equal(status, 0);
	assert_int_equal(message_id, (uint16_t)(fx->last_id + 1)); /* in order */
	fx->last_id = message_id;
	fx->statuses++;
}

static void serve(struct fixture *fx)
{
	struct nx_listener_opts listen = {
		.name = "test",
		.address = "127.0.0.1",
		.max_conns = 8,
		.fn = nx_dimse_conn,
	};

	assert_ok(nx_dimse_new(&fx->peer.opts, &fx->peer.dimse, &fx->err), &fx->err);
	listen.payload = fx->peer.dimse;
	listen.tls = fx->tls;
	assert_ok(nx_listener_start(&listen, &fx->listener, &fx->err), &fx->err);
	fx->opts = (struct nx_dimse_scu_opts){
		.host = "127.0.0.1",
		.port = nx_listener_port(fx->listener),
		.calling = "CT01",
		.called = "NARTHEX",
		.implementation_uid = "2.25.3",
		.contexts = contexts,
		.n_contexts = NX_ARRAY_LEN(contexts),
		.on_status = on_status,
		.payload = fx,
	};
}

static void tls_make(struct fixture *fx)
{
	static const char *const names[] = {"127.0.0.1"};
	struct nx_tls_opts opts = {.cert_file = fx->cert, .key_file = fx->key};

	(void)snprintf(fx->dir, sizeof(fx->dir), "/tmp/nx-scu-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	(void)snprintf(fx->ca, sizeof(fx->ca), "%s/ca.pem", fx->dir);
	(void)snprintf(fx->ca_key, sizeof(fx->ca_key), "%s/ca-key.pem", fx->dir);
	(void)snprintf(fx->cert, sizeof(fx->cert), "%s/server.pem", fx->dir);
	(void)snprintf(fx->key, sizeof(fx->key), "%s/server-key.pem", fx->dir);
	assert_ok(nx_tls_make_ca(fx->dir, names, 1, 2, &fx->err), &fx->err);
	assert_ok(nx_tls_new(&opts, &fx->tls, &fx->err), &fx->err);
}

static void tls_done(struct fixture *fx)
{
	fx->tls = nx_tls_free(fx->tls);
	(void)unlink(fx->ca);
	(void)unlink(fx->ca_key);
	(void)unlink(fx->cert);
	(void)unlink(fx->key);
	(void)rmdir(fx->dir);
}

static int setup(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	peer_init(&fx->peer);
	fx->big = malloc(BIG);
	for (size_t i = 0; i < BIG; i++)
		fx->big[i] = (uint8_t)(i % 253);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;

	fx->listener = nx_listener_stop(fx->listener, 2000000);
	assert_i64(fx->peer.mock.live, 0);
	peer_done(&fx->peer);
	if (fx->tls)
		tls_done(fx);
	free(fx->big);
	free(fx);
	return 0;
}

static struct nx_dimse_scu_instance instance(const struct fixture *fx, size_t n)
{
	return (struct nx_dimse_scu_instance){
		.sop_class = PEER_CT,
		.sop_instance = "1.2.3",
		.dataset = nx_slice(fx->big, n),
	};
}

static void test_echo_store_release(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_dimse_scu) *scu = NULL;
	struct nx_dimse_scu_instance inst = instance(fx, BIG);
	uint16_t status = 1;

	serve(fx);
	assert_ok(nx_dimse_scu_open(&fx->opts, &scu, &fx->err), &fx->err);
	assert_int_equal(nx_dimse_scu_window(scu), 1);
	assert_string_equal(nx_dimse_scu_ts(scu, PEER_CT), explicit_le[0]);
	assert_null(nx_dimse_scu_ts(scu, PEER_REFUSED));
	assert_ok(nx_dimse_scu_echo(scu, &status, &fx->err), &fx->err);
	assert_int_equal(status, 0);
	status = 1;
	assert_ok(nx_dimse_scu_store(scu, &inst, &status, &fx->err), &fx->err);
	assert_int_equal(status, 0);
	inst.dataset.n = 10;
	assert_ok(nx_dimse_scu_store(scu, &inst, &status, &fx->err), &fx->err);
	inst.sop_class = PEER_REFUSED;
	assert_rc(nx_dimse_scu_store(scu, &inst, &status, &fx->err), NX_E_NOT_ACCEPTABLE);
	assert_ok(nx_dimse_scu_release(scu, &fx->err), &fx->err);
	assert_u64(fx->peer.mock.bytes, BIG + 10);
}

static void test_window_of_small_and_large_instances(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_dimse_scu) *scu = NULL;

	fx->peer.opts.max_pdu = 4096; /* many fragments */
	serve(fx);
	fx->opts.window = 50;
	assert_ok(nx_dimse_scu_open(&fx->opts, &scu, &fx->err), &fx->err);
	assert_int_equal(nx_dimse_scu_window(scu), 16);
	for (int i = 0; i < 500; i++) {
		struct nx_dimse_scu_instance inst = instance(fx, i % 100 == 50 ? 300000 : 600);

		assert_ok(nx_dimse_scu_send(scu, &inst, &fx->err), &fx->err);
	}
	assert_ok(nx_dimse_scu_release(scu, &fx->err), &fx->err);
	assert_int_equal(fx->statuses, 500);
	assert_u64(fx->peer.mock.stored, 500);
	assert_u64(fx->peer.mock.bytes, 495 * 600 + 5 * 300000);
}

static void test_window_over_tls(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_dimse_scu) *scu = NULL;
	struct nx_tls_opts tls = {.ca_file = fx->ca};

	tls_make(fx);
	serve(fx);
	fx->opts.tls = &tls;
	fx->opts.window = 8;
	assert_ok(nx_dimse_scu_open(&fx->opts, &scu, &fx->err), &fx->err);
	for (int i = 0; i < 50; i++) {
		struct nx_dimse_scu_instance inst = instance(fx, i % 10 ? 700 : 600000);

		assert_ok(nx_dimse_scu_send(scu, &inst, &fx->err), &fx->err);
	}
	assert_ok(nx_dimse_scu_release(scu, &fx->err), &fx->err);
	assert_u64(fx->peer.mock.stored, 50);
	assert_u64(fx->peer.mock.bytes, 45 * 700 + 5 * 600000);
}

static void test_rejection_is_denied_with_its_reason(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_dimse_scu) *scu = NULL;

	fx->peer.authenticate = NX_E_DENIED;
	serve(fx);
	assert_rc(nx_dimse_scu_open(&fx->opts, &scu, &fx->err), NX_E_DENIED);
	assert_non_null(strstr(nx_err_text(&fx->err), "result 1, source 1, reason 3"));
	assert_null(scu);
}

static void test_abort_by_free_keeps_nothing(void **state)
{
	struct fixture *fx = *state;
	struct nx_dimse_scu *scu = NULL;
	struct nx_dimse_stats stats;
	int64_t until = nx_mono_us() + 5000000;

	serve(fx);
	assert_ok(nx_dimse_scu_open(&fx->opts, &scu, &fx->err), &fx->err);
	scu = nx_dimse_scu_free(scu);
	do {
		nx_dimse_stats(fx->peer.dimse, &stats);
	} while (stats.active > 0 && nx_mono_us() < until);
	assert_u64(stats.aborted, 1);
	assert_u64(stats.active, 0);
}

static void test_stopping_the_listener_ends_idle_associations(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_dimse_scu) *scu = NULL;
	int64_t from;
	uint16_t status;

	serve(fx);
	assert_ok(nx_dimse_scu_open(&fx->opts, &scu, &fx->err), &fx->err);
	from = nx_mono_us();
	fx->listener = nx_listener_stop(fx->listener, 20000000);
	assert_true(nx_mono_us() - from < 10000000);
	assert_rc(nx_dimse_scu_echo(scu, &status, &fx->err), NX_E_CLOSED);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_echo_store_release),
		T(test_window_of_small_and_large_instances),
		T(test_window_over_tls),
		T(test_rejection_is_denied_with_its_reason),
		T(test_abort_by_free_keeps_nothing),
		T(test_stopping_the_listener_ends_idle_associations),
	};

	nx_log_set_level(NX_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

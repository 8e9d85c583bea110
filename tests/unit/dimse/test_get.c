#include "nx_test.h"

#include <string.h>

#include "base/log.h"
#include "catalog/catalog.h"
#include "peer.h"

static struct nx_pdu_role scp_of_ct[] = {{PEER_CT, true, true}};

static int setup(void **state)
{
	struct peer *peer = malloc(sizeof(*peer));

	peer_init(peer);
	peer->rq.roles = scp_of_ct;
	peer->rq.n_roles = 1;
	*state = peer;
	return 0;
}

static int teardown(void **state)
{
	struct peer *peer = *state;

	assert_int_equal(peer->principals, 0);
	assert_int_equal(peer->retrieve.live, 0);
	peer_done(peer);
	free(peer);
	return 0;
}

/* What follows the C-GET-RQ comes when it is answered, or at the n-th look. */
static void get_run(struct peer *peer, bool cancelled, unsigned at, struct peer_answers *got)
{
	struct peer_identifier id = peer_level("STUDY");
	size_t before, last;

	peer_key(&id, 0x0020000d, "1.2");
	nx_buf_clear(&peer->script);
	peer_associate(peer);
	peer_get(peer, 5, nx_slice(id.bytes, id.n));
	before = peer->script.len;
	if (cancelled)
		peer_cancel(peer, 5, 13);
	last = peer->script.len;
	peer_release(peer);
	peer->mem.last = peer->script.len - last;
	peer->mem.later = peer->script.len - before;
	peer->mem.later_polls = at;
	peer_run(peer, 0);
	peer_answers(peer, got);
}

/* C-GET-RSPs alone, in their order. */
static size_t get_responses(const struct peer_answers *got, const struct nx_dimse_cmd *ret[80])
{
	size_t n = 0;

	for (size_t i = 0; i < got->n_rsp; i++)
		if (got->rsp[i].field == (NX_C_GET_RQ | NX_DIMSE_RESPONSE))
			ret[n++] = &got->rsp[i];
	return n;
}

static void test_every_instance_is_sent_and_counted(void **state)
{
	const struct nx_dimse_cmd *rsp[80];
	struct peer *peer = *state;
	struct peer_answers got;

	peer->retrieve.instances = 5;
	peer->retrieve.instance_len = 3 * NX_MIB + 10;
	get_run(peer, false, 0, &got);
	assert_true(got.released);
	assert_int_equal(get_responses(&got, rsp), 6);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(rsp[i]->status, 0xff00);
		assert_int_equal(rsp[i]->remaining, 4 - i);
		assert_int_equal(rsp[i]->completed, i + 1);
		assert_int_equal(rsp[i]->failed + rsp[i]->warning, 0);
	}
	assert_int_equal(rsp[5]->status, 0);
	assert_int_equal(rsp[5]->completed, 5);
	assert_false(nx_cmd_has(rsp[5], NX_CMD_REMAINING));
	assert_false(nx_cmd_has_dataset(rsp[5]));
	assert_int_equal(peer->scp.asked, 5);
	assert_string_equal(peer->scp.last_instance, "1.2.3.5");
	assert_int_equal(got.data, 5 * (3 * NX_MIB + 10));
	assert_true(got.longest_pdu <= 16384);
	assert_int_equal(peer->retrieve.level, NX_LEVEL_STUDY);
	assert_string_equal(peer->retrieve.key_values[0], "1.2");
}

static void test_nothing_that_matches_is_success(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;

	get_run(peer, false, 0, &got);
	assert_int_equal(got.n_rsp, 1);
	assert_int_equal(got.rsp[0].status, 0);
	assert_int_equal(got.rsp[0].completed, 0);
}

static void test_failures_and_warnings_are_counted_and_listed(void **state)
{
	static const struct {
		uint16_t status;
		unsigned at, final, completed, failed, warning;
	} cases[] = {
		{0xa700, 2, 0xb000, 2, 1, 0},
		{0xb000, 2, 0xb000, 2, 0, 1},
		{0xb007, 0, 0xb000, 0, 0, 3},
		{0xc000, 0, 0xb000, 0, 3, 0},
		{0x0111, 3, 0xb000, 2, 1, 0},
	};
	const struct nx_dimse_cmd *rsp[80];
	struct peer *peer = *state;
	struct peer_answers got;

	peer->retrieve.instances = 3;
	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		peer->scp.status = cases[i].status;
		peer->scp.status_at = cases[i].at;
		get_run(peer, false, 0, &got);
		assert_int_equal(get_responses(&got, rsp), 4);
		assert_int_equal(rsp[3]->status, cases[i].final);
		assert_int_equal(rsp[3]->completed, cases[i].completed);
		assert_int_equal(rsp[3]->failed, cases[i].failed);
		assert_int_equal(rsp[3]->warning, cases[i].warning);
		assert_int_equal(nx_cmd_has_dataset(rsp[3]), cases[i].failed > 0);
	}
}

static void test_what_cannot_be_sent_fails_and_the_rest_goes_on(void **state)
{
	const struct nx_dimse_cmd *rsp[80];
	struct peer *peer = *state;
	struct peer_answers got;

	peer->retrieve.instances = 3;
	peer->retrieve.fail_at = 2; /* cannot be opened */
	get_run(peer, false, 0, &got);
	assert_int_equal(get_responses(&got, rsp), 4);
	assert_int_equal(rsp[3]->status, 0xb000);
	assert_int_equal(rsp[3]->completed, 2);
	assert_int_equal(rsp[3]->failed, 1);
	assert_int_equal(got.data, 200 + 8 + 8); /* two instances, (0008,0058) with one UID */

	peer->retrieve.fail_at = 0;
	peer->retrieve.ts_uid = "1.2.840.10008.1.2.4.90"; /* was not accepted */
	get_run(peer, false, 0, &got);
	assert_int_equal(get_responses(&got, rsp), 4);
	assert_int_equal(rsp[3]->status, 0xb000);

	peer->retrieve.ts_uid = NULL;
	peer->rq.n_roles = 0; /* the peer is no SCP */
	get_run(peer, false, 0, &got);
	assert_int_equal(get_responses(&got, rsp), 4);
	assert_int_equal(rsp[3]->failed, 3);
	assert_int_equal(peer->scp.asked, 0);
}

/* Half of it is with the peer: there is no way to take it back but an abort. */
static void test_an_instance_that_breaks_off_aborts(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;

	peer->retrieve.instances = 2;
	peer->retrieve.instance_len = 8 * NX_MIB;
	peer->retrieve.fail_at = 2;
	peer->retrieve.fail_late = true;
	get_run(peer, false, 0, &got);
	assert_true(got.aborted && !got.released);
	assert_int_equal(peer->scp.asked, 1);
}

static void test_cancel_at_every_moment(void **state)
{
	enum {
		N = 4,
		LOOKS = 2 * N + 3
	};
	const struct nx_dimse_cmd *rsp[80];
	struct peer *peer = *state;
	struct peer_answers got;
	unsigned cancelled = 0;
	size_t n;

	peer->retrieve.instances = N;
	for (unsigned at = 1; at <= LOOKS; at++) {
		get_run(peer, true, at, &got);
		assert_true(got.released);
		n = get_responses(&got, rsp);
		assert_true(n >= 1 && rsp[n - 1]->responded_id == 5);
		if (rsp[n - 1]->status == 0xfe00) {
			cancelled++;
			assert_true(nx_cmd_has(rsp[n - 1], NX_CMD_REMAINING));
			assert_int_equal(rsp[n - 1]->remaining + rsp[n - 1]->completed, N);
			assert_int_equal(rsp[n - 1]->completed, peer->scp.asked);
		} else {
			assert_int_equal(rsp[n - 1]->status, 0);
			assert_int_equal(rsp[n - 1]->completed, N);
		}
	}
	assert_true(cancelled >= N);
}

static void test_a_window_of_suboperations(void **state)
{
	const struct nx_dimse_cmd *rsp[80];
	struct peer *peer = *state;
	struct peer_answers got;

	peer->rq.has_window = true;
	peer->rq.max_invoked = 1;
	peer->rq.max_performed = 4;
	peer->scp.late = true;
	peer->scp.window = 4;
	peer->scp.status = 0xa900;
	peer->scp.status_at = 3;
	peer->retrieve.instances = 8;
	get_run(peer, false, 0, &got);
	assert_true(got.released);
	assert_int_equal(get_responses(&got, rsp), 9);
	assert_int_equal(rsp[8]->completed, 7);
	assert_int_equal(rsp[8]->failed, 1);
}

static void test_answers_to_nothing_abort(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;

	peer->retrieve.instances = 2;
	peer->scp.wrong_id = true;
	get_run(peer, false, 0, &got);
	assert_true(got.aborted);
}

/* Nothing of ours is outstanding for ever: here what comes instead of an answer is the release. */
static void test_a_release_instead_of_an_answer_aborts(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;

	peer->retrieve.instances = 2;
	peer->scp.silent_at = 2;
	get_run(peer, false, 0, &got);
	assert_true(got.aborted && !got.released);
}

static void test_keys_that_name_nothing_are_refused(void **state)
{
	static const struct {
		const char *level, *study;
		uint32_t tag;
	} cases[] = {{"STUDY", "", 0x0020000d}, {"STUDY", "1.*", 0x0020000d},
		{"SERIES", "1.2", 0x0020000e}, {"SERIES", "", 0x0020000d},
		{"CASE", "1.2", 0x00080052}};
	struct peer *peer = *state;
	struct peer_answers got;

	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		struct peer_identifier id = peer_level(cases[i].level);

		peer_key(&id, 0x0020000d, cases[i].study);
		nx_buf_clear(&peer->script);
		peer_associate(peer);
		peer_get(peer, 5, nx_slice(id.bytes, id.n));
		peer_release(peer);
		peer_run(peer, 0);
		peer_answers(peer, &got);
		assert_int_equal(got.n_rsp, 1);
		assert_int_equal(got.rsp[0].status, 0xa900);
		assert_int_equal(got.rsp[0].offending, cases[i].tag);
	}
}

static void test_a_selection_that_fails(void **state)
{
	static const struct {
		nx_rc rc;
		unsigned status;
	} cases[] = {{NX_E_LIMIT, 0xa701}, {NX_E_NOMEM, 0xa701}, {NX_E_DENIED, 0x0124},
		{NX_E_NOENT, 0xc000}, {NX_E_IO, 0xa700}};
	struct peer *peer = *state;
	struct peer_answers got;

	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		peer->retrieve.fail_find = cases[i].rc;
		get_run(peer, false, 0, &got);
		assert_int_equal(got.n_rsp, 1);
		assert_int_equal(got.rsp[0].status, cases[i].status);
	}
}

static void test_a_lost_connection_ends_it(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;

	peer->retrieve.instances = 5;
	for (unsigned good = 1; good < 6; good++) {
		peer->mem.writes_good = good;
		get_run(peer, false, 0, &got);
		assert_false(got.released || got.aborted);
	}
}

int main(void)
{
#define FX(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		FX(test_every_instance_is_sent_and_counted),
		FX(test_nothing_that_matches_is_success),
		FX(test_failures_and_warnings_are_counted_and_listed),
		FX(test_what_cannot_be_sent_fails_and_the_rest_goes_on),
		FX(test_an_instance_that_breaks_off_aborts),
		FX(test_cancel_at_every_moment),
		FX(test_a_window_of_suboperations),
		FX(test_answers_to_nothing_abort),
		FX(test_a_release_instead_of_an_answer_aborts),
		FX(test_keys_that_name_nothing_are_refused),
		FX(test_a_selection_that_fails),
		FX(test_a_lost_connection_ends_it),
	};

	nx_log_set_level((enum nx_log_level)(NX_LOG_ERROR + 1));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The acceptor's side of the state table (PS3.8 9.2, Table 9-10): every PDU, and the end, in every
 * state. */
#include "nx_test.h"

#include <string.h>

#include "base/log.h"
#include "peer.h"

static struct nx_pdu_role scp_of_ct[] = {{PEER_CT, true, true}};

static int setup(void **state)
{
	struct peer *peer = malloc(sizeof(*peer));

	peer_init(peer);
	peer->rq.roles = scp_of_ct;
	peer->rq.n_roles = 1;
	peer->retrieve.instances = 2;
	peer->scp.silent_at = 1;
	*state = peer;
	return 0;
}

static int teardown(void **state)
{
	struct peer *peer = *state;

	assert_i64(peer->mock.live, 0);
	assert_int_equal(peer->retrieve.live, 0);
	assert_int_equal(peer->principals, 0);
	peer_done(peer);
	free(peer);
	return 0;
}

/* ---- states: what the peer has sent before ---- */

static void sta2(struct peer *peer)
{
	(void)peer;
}

static void sta6(struct peer *peer)
{
	peer_associate(peer);
}

static void sta6_in_message(struct peer *peer)
{
	struct nx_dimse_cmd cmd = peer_store_cmd(1);

	peer_associate(peer);
	peer_command(peer, 3, &cmd);
}

static void sta6_in_data(struct peer *peer)
{
	static const uint8_t half[] = {4, 0, 0, 0, 0, 12, 0, 0, 0, 8, 3, 0, 1, 2, 3, 4, 5, 6};

	sta6_in_message(peer);
	nx_buf_put(&peer->script, half, sizeof(half));
}

/* One of our own requests waits for its answer. */
static void sta6_at_work(struct peer *peer)
{
	struct peer_identifier id = peer_level("STUDY");

	peer_key(&id, 0x0020000d, "1.2");
	peer_associate(peer);
	peer_get(peer, 5, nx_slice(id.bytes, id.n));
}

static void sta13_released(struct peer *peer)
{
	peer_associate(peer);
	peer_release(peer);
}

static void sta13_rejected(struct peer *peer)
{
	peer->authenticate = NX_E_DENIED;
	peer_associate(peer);
}

/* ---- events ---- */

static void put_short(struct peer *peer, uint8_t type)
{
	nx_pdu_short_format(&peer->script, type, (struct nx_pdu_refusal){0});
}

static void ev_rq(struct peer *peer)
{
	peer_associate(peer);
}

static void ev_ac(struct peer *peer)
{
	nx_pdu_associate_format(&peer->script, NX_PDU_ASSOCIATE_AC, &peer->rq);
}

static void ev_rj(struct peer *peer)
{
	put_short(peer, NX_PDU_ASSOCIATE_RJ);
}

static void ev_data(struct peer *peer)
{
	peer_echo(peer, 9);
}

static void ev_release_rq(struct peer *peer)
{
	put_short(peer, NX_PDU_RELEASE_RQ);
}

static void ev_release_rp(struct peer *peer)
{
	put_short(peer, NX_PDU_RELEASE_RP);
}

static void ev_abort(struct peer *peer)
{
	put_short(peer, NX_PDU_ABORT);
}

static void ev_unknown(struct peer *peer)
{
	put_short(peer, 0x4e);
}

static void ev_close(struct peer *peer)
{
	(void)peer;
}

enum outcome {
	ABORTED,  /* AA-1, AA-8: A-ABORT goes out */
	QUIET,    /* AA-2 to AA-6: nothing more goes out */
	ACCEPTED, /* AE-6 */
	ANSWERED, /* DT-2 */
	RELEASED, /* AR-2, AR-4 */
};

struct event {
	const char *name;
	void (*put)(struct peer *peer);
};

static const struct event events[] = {
	{"A-ASSOCIATE-RQ", ev_rq},
	{"A-ASSOCIATE-AC", ev_ac},
	{"A-ASSOCIATE-RJ", ev_rj},
	{"P-DATA-TF", ev_data},
	{"A-RELEASE-RQ", ev_release_rq},
	{"A-RELEASE-RP", ev_release_rp},
	{"A-ABORT", ev_abort},
	{"unknown PDU", ev_unknown},
	{"transport closes", ev_close},
};

/* In the order of events. */
static const struct {
	const char *name;
	void (*put)(struct peer *peer);
	enum outcome want[NX_ARRAY_LEN(events)];
} states[] = {
	{"Sta2", sta2,
		{ACCEPTED, ABORTED, ABORTED, ABORTED, ABORTED, ABORTED, QUIET, ABORTED, QUIET}},
	{"Sta6", sta6,
		{ABORTED, ABORTED, ABORTED, ANSWERED, RELEASED, ABORTED, QUIET, ABORTED, QUIET}},
	/* Another command where a data set must follow is the peer's user's fault. */
	{"Sta6 in a message", sta6_in_message,
		{ABORTED, ABORTED, ABORTED, ABORTED, RELEASED, ABORTED, QUIET, ABORTED, QUIET}},
	{"Sta6 in a data set", sta6_in_data,
		{ABORTED, ABORTED, ABORTED, ABORTED, RELEASED, ABORTED, QUIET, ABORTED, QUIET}},
	/* The release comes instead of the answer that is due. */
	{"Sta6 at work", sta6_at_work,
		{ABORTED, ABORTED, ABORTED, QUIET, ABORTED, ABORTED, QUIET, ABORTED, QUIET}},
	{"Sta13 after release", sta13_released,
		{RELEASED, RELEASED, RELEASED, RELEASED, RELEASED, RELEASED, RELEASED, RELEASED,
			RELEASED}},
	{"Sta13 after rejection", sta13_rejected,
		{QUIET, QUIET, QUIET, QUIET, QUIET, QUIET, QUIET, QUIET, QUIET}},
};

static enum outcome outcome_of(const struct peer_answers *got)
{
	if (got->aborted)
		return ABORTED;
	if (got->released)
		return RELEASED;
	if (got->n_rsp > 0 && got->rsp[got->n_rsp - 1].field == 0x8030)
		return ANSWERED;
	return QUIET;
}

static void test_every_event_in_every_state(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;
	unsigned bad = 0;

	for (size_t i = 0; i < NX_ARRAY_LEN(states) * NX_ARRAY_LEN(events) * 2; i++) {
		size_t s = i / 2 / NX_ARRAY_LEN(events), e = i / 2 % NX_ARRAY_LEN(events);
		enum outcome want = states[s].want[e], have;

		nx_buf_clear(&peer->script);
		peer->authenticate = NX_OK;
		states[s].put(peer);
		events[e].put(peer);
		peer_run(peer, i % 2); /* whole, and byte by byte */
		peer_answers(peer, &got);
		have = outcome_of(&got);
		if (want == ACCEPTED && got.accepted && !got.aborted)
			continue;
		if (have == want)
			continue;
		print_error("%s, %s: outcome %d instead of %d\n", states[s].name, events[e].name,
			have, want);
		bad++;
	}
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_event_in_every_state, setup, teardown),
	};

	nx_log_set_level((enum nx_log_level)(NX_LOG_ERROR + 1));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

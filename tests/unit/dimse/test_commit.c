#include "nx_test.h"

#include <string.h>

#include "base/log.h"
#include "peer.h"

enum {
	COMMIT = 15 /* context of the peer */
};

static const char well_known[] = "1.2.840.10008.1.20.1.1";

static nx_rc home(
	void *payload, const char *ae, struct nx_dimse_destination *ret, struct nx_err *err)
{
	(void)ae, (void)ret;
	return *(bool *)payload ? NX_OK : nx_err_set(err, NX_E_NOENT, "no such destination");
}

static int setup(void **state)
{
	struct peer *peer = malloc(sizeof(*peer));

	peer_init(peer);
	*state = peer;
	return 0;
}

static int teardown(void **state)
{
	struct peer *peer = *state;

	assert_int_equal(peer->principals, 0);
	peer_done(peer);
	free(peer);
	return 0;
}

static struct nx_dimse_cmd command(uint16_t field, uint16_t type)
{
	struct nx_dimse_cmd cmd = {.field = field,
		.message_id = 7,
		.dataset_type = NX_DIMSE_HAS_DATASET,
		.sop_class = PEER_COMMIT,
		.event_type = type,
		.action_type = type,
		.requested = field == NX_N_ACTION_RQ};

	memcpy(cmd.sop_instance, well_known, sizeof(well_known));
	for (unsigned bit = 0; bit < NX_CMD_BIT_COUNT_; bit++)
		if (bit == NX_CMD_FIELD || bit == NX_CMD_MESSAGE_ID || bit == NX_CMD_DATASET_TYPE ||
			bit == NX_CMD_SOP_CLASS || bit == NX_CMD_SOP_INSTANCE ||
			bit == (field == NX_N_ACTION_RQ ? NX_CMD_ACTION_TYPE : NX_CMD_EVENT_TYPE))
			nx_cmd_mark(&cmd, bit);
	return cmd;
}

/* An element in implicit VR little endian. */
static void put(struct nx_buf *out, uint32_t tag, const void *value, size_t n)
{
	nx_buf_put_u16le(out, (uint16_t)(tag >> 16));
	nx_buf_put_u16le(out, (uint16_t)tag);
	nx_buf_put_u32le(out, (uint32_t)n);
	nx_buf_put(out, value, n);
}

/* A sequence with one item: a reference, and a reason where it is not 0. */
static void put_refs(struct nx_buf *out, uint32_t tag, const char *uid, uint16_t reason)
{
	NX_AUTO_DONE(nx_buf) item;
	NX_AUTO_DONE(nx_buf) items;

	nx_buf_init(&item, 4096, 0);
	nx_buf_init(&items, 4096, 0);
	put(&item, 0x00081150, "1.2.840.10008.5.1.4.1.1.2\0", 26);
	put(&item, 0x00081155, uid, strlen(uid));
	if (reason)
		put(&item, 0x00081197, (const uint8_t[]){(uint8_t)reason, (uint8_t)(reason >> 8)},
			2);
	put(&items, 0xfffee000, item.data, item.len);
	put(out, tag, items.data, items.len);
}

static void dataset(struct nx_buf *out, bool transaction, uint16_t reason)
{
	nx_buf_init(out, 4096, 0);
	if (transaction)
		put(out, 0x00081195, "2.25.7", 6);
	if (reason)
		put_refs(out, 0x00081198, "1.2.3.4040", reason);
	put_refs(out, 0x00081199, "1.2.3.44", 0);
}

static void run(struct peer *peer, const struct nx_dimse_cmd *cmd, struct nx_slice bytes,
	struct peer_answers *got)
{
	nx_buf_clear(&peer->script);
	peer_associate(peer);
	peer_command(peer, COMMIT, cmd);
	peer_data(peer, COMMIT, bytes, 0);
	peer_release(peer);
	peer_run(peer, 0);
	peer_answers(peer, got);
}

static unsigned status_of(struct peer *peer, const struct nx_dimse_cmd *cmd, struct nx_slice bytes)
{
	struct peer_answers got;

	run(peer, cmd, bytes, &got);
	assert_true(got.n_rsp >= 1);
	assert_int_equal(got.rsp[0].field, cmd->field | NX_DIMSE_RESPONSE);
	return got.rsp[0].status;
}

static void test_a_result_for_who_has_an_address_is_queued_before_the_response(void **state)
{
	struct nx_dimse_cmd cmd = command(NX_N_ACTION_RQ, 1);
	struct peer *peer = *state;
	NX_AUTO_DONE(nx_buf) bytes;
	struct peer_answers got;
	bool known = true;

	dataset(&bytes, true, 0);
	peer->opts.destination = home;
	peer->opts.destinations = &known;
	run(peer, &cmd, nx_buf_slice(&bytes), &got);
	assert_true(got.released);
	assert_int_equal(got.n_rsp, 1);
	assert_int_equal(got.rsp[0].status, 0);
	assert_int_equal(peer->forward.reports, 1);
	assert_int_equal(peer->forward.event_type, 1);
	assert_string_equal(peer->forward.destination, "CT01");
	/* and where it cannot be, nothing was promised */
	peer->forward.fail = NX_E_NOMEM;
	assert_int_equal(status_of(peer, &cmd, nx_buf_slice(&bytes)), 0x0110);
	known = false;
	run(peer, &cmd, nx_buf_slice(&bytes), &got);
	assert_int_equal(got.n_rsp, 2); /* the response, and N-EVENT-REPORT-RQ behind it */
	assert_int_equal(got.rsp[1].field, NX_N_EVENT_REPORT_RQ);
	assert_int_equal(peer->forward.reports, 1);
}

static void test_an_answer_reaches_the_queue(void **state)
{
	struct nx_dimse_cmd cmd = command(NX_N_EVENT_REPORT_RQ, 2);
	struct peer *peer = *state;
	NX_AUTO_DONE(nx_buf) bytes;

	dataset(&bytes, true, 0x0112);
	assert_int_equal(status_of(peer, &cmd, nx_buf_slice(&bytes)), 0);
	assert_int_equal(peer->forward.answers, 1);
	assert_int_equal(peer->forward.refs, 2);
	assert_int_equal(peer->forward.reasons, 0x0112);
	assert_string_equal(peer->forward.txn, "2.25.7");
	assert_string_equal(peer->forward.destination, "CT01");
	peer->forward.fail = NX_E_NOENT;
	assert_int_equal(status_of(peer, &cmd, nx_buf_slice(&bytes)), 0x0110);
}

static void test_wrong_answers_are_refused(void **state)
{
	struct nx_dimse_cmd cmd = command(NX_N_EVENT_REPORT_RQ, 3);
	struct peer *peer = *state;
	NX_AUTO_DONE(nx_buf) bytes;
	NX_AUTO_DONE(nx_buf) nameless;

	dataset(&bytes, true, 0);
	dataset(&nameless, false, 0);
	assert_int_equal(status_of(peer, &cmd, nx_buf_slice(&bytes)), 0x0113);
	cmd.event_type = 1;
	assert_int_equal(status_of(peer, &cmd, nx_buf_slice(&nameless)), 0x0120);
	assert_int_equal(status_of(peer, &cmd, nx_slice(bytes.data, bytes.len - 4)), 0x0110);
	cmd.sop_instance[0] = '9';
	assert_int_equal(status_of(peer, &cmd, nx_buf_slice(&bytes)), 0x0112);
	peer->authorize = NX_E_DENIED;
	cmd.sop_instance[0] = '1';
	assert_int_equal(status_of(peer, &cmd, nx_buf_slice(&bytes)), 0x0124);
	assert_int_equal(peer->forward.answers, 0);
}

int main(void)
{
#define FX(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		FX(test_a_result_for_who_has_an_address_is_queued_before_the_response),
		FX(test_an_answer_reaches_the_queue),
		FX(test_wrong_answers_are_refused),
	};

	nx_log_set_level((enum nx_log_level)(NX_LOG_ERROR + 1));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "nx_test.h"

#include <string.h>

#include "dicom/step.h"
#include "peer.h"

enum {
	STEP = 19 /* context of the peer */
};

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

static struct nx_dimse_cmd command(uint16_t field, const char *uid)
{
	static const enum nx_cmd_bit bits[] = {
		NX_CMD_FIELD, NX_CMD_MESSAGE_ID, NX_CMD_DATASET_TYPE, NX_CMD_SOP_CLASS};
	struct nx_dimse_cmd cmd = {.field = field,
		.message_id = 7,
		.dataset_type = NX_DIMSE_HAS_DATASET,
		.sop_class = PEER_STEP,
		.requested = field == NX_N_SET_RQ};

	for (size_t i = 0; i < NX_ARRAY_LEN(bits); i++)
		nx_cmd_mark(&cmd, bits[i]);
	if (!uid)
		return cmd;
	(void)snprintf(cmd.sop_instance, sizeof(cmd.sop_instance), "%s", uid);
	nx_cmd_mark(&cmd, NX_CMD_SOP_INSTANCE);
	return cmd;
}

static struct nx_dimse_cmd asked(
	struct peer *peer, const struct nx_dimse_cmd *cmd, struct nx_slice bytes)
{
	struct peer_answers got;

	nx_buf_clear(&peer->script);
	peer_associate(peer);
	peer_command(peer, STEP, cmd);
	peer_data(peer, STEP, bytes, 0);
	peer_release(peer);
	peer_run(peer, 0);
	peer_answers(peer, &got);
	assert_true(got.released);
	assert_int_equal(got.n_rsp, 1);
	assert_int_equal(got.rsp[0].field, cmd->field | NX_DIMSE_RESPONSE);
	return got.rsp[0];
}

static void test_a_creation_and_a_change_reach_the_service_whole(void **state)
{
	static const uint16_t fields[] = {NX_N_CREATE_RQ, NX_N_SET_RQ};
	static const uint8_t bytes[NX_LIMIT_IDENTIFIER + 4096];
	struct peer *peer = *state;

	for (size_t i = 0; i < NX_ARRAY_LEN(fields); i++) {
		const struct nx_dimse_cmd cmd = command(fields[i], "1.2.77");
		const struct nx_dimse_cmd rsp = asked(peer, &cmd, nx_slice(bytes, sizeof(bytes)));

		assert_int_equal(rsp.status, 0);
		assert_string_equal(rsp.sop_instance, "1.2.77");
		assert_string_equal(peer->mock.last_sop_instance, "1.2.77");
		assert_u64(peer->mock.step_bytes, sizeof(bytes));
	}
	assert_u64(peer->mock.created, 1);
	assert_u64(peer->mock.changed, 1);
}

static void test_a_creation_without_a_uid_gets_one_and_a_change_does_not(void **state)
{
	struct peer *peer = *state;
	struct nx_dimse_cmd cmd = command(NX_N_CREATE_RQ, NULL);
	struct nx_dimse_cmd rsp = asked(peer, &cmd, nx_slice_str("1234"));

	assert_int_equal(rsp.status, 0);
	assert_int_equal(strncmp(rsp.sop_instance, "2.25.", 5), 0);
	assert_string_equal(rsp.sop_instance, peer->mock.last_sop_instance);
	cmd = command(NX_N_CREATE_RQ, "not.one");
	assert_int_equal(asked(peer, &cmd, nx_slice_str("1234")).status, 0x0117);
	cmd = command(NX_N_SET_RQ, NULL);
	assert_int_equal(asked(peer, &cmd, nx_slice_str("1234")).status, 0x0117);
	assert_u64(peer->mock.created, 1);
	assert_u64(peer->mock.changed, 0);
}

static void test_failures_have_the_statuses_of_the_standard(void **state)
{
	static const struct {
		nx_rc rc;
		enum nx_step_why why;
		uint16_t status;
		uint16_t error_id;
	} cases[] = {
		{NX_E_INVAL, NX_STEP_MISSING, 0x0120, 0},
		{NX_E_INVAL, NX_STEP_NO_VALUE, 0x0121, 0},
		{NX_E_INVAL, NX_STEP_INVALID, 0x0106, 0},
		{NX_E_INVAL, NX_STEP_NOT_ALLOWED, 0x0105, 0},
		{NX_E_INVAL, NX_STEP_FINAL, 0x0110, 0xa710},
		{NX_E_INVAL, 0, 0x0106, 0},
		{NX_E_EXISTS, 0, 0x0111, 0},
		{NX_E_NOENT, 0, 0x0112, 0},
		{NX_E_ERASED, 0, 0x0112, 0},
		{NX_E_DENIED, 0, 0x0124, 0},
		{NX_E_LIMIT, 0, 0x0213, 0},
		{NX_E_NOSPACE, 0, 0x0213, 0},
		{NX_E_MALFORMED, 0, 0x0110, 0},
		{NX_E_IO, 0, 0x0110, 0},
	};
	struct peer *peer = *state;

	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		const struct nx_dimse_cmd cmd = command(NX_N_SET_RQ, "1.2.77");
		struct nx_dimse_cmd rsp;

		peer->mock.fail_step = cases[i].rc;
		peer->mock.fault = cases[i].why;
		rsp = asked(peer, &cmd, nx_slice_str("1234"));
		assert_int_equal(rsp.status, cases[i].status);
		assert_int_equal(rsp.error_id, cases[i].error_id);
	}
}

static void test_a_data_set_that_is_too_long_reaches_no_service(void **state)
{
	struct peer *peer = *state;
	const struct nx_dimse_cmd cmd = command(NX_N_CREATE_RQ, "1.2.77");
	uint8_t *bytes = calloc(1, NX_LIMIT_PERFORMED_STEP + 2);

	assert_non_null(bytes);
	assert_int_equal(
		asked(peer, &cmd, nx_slice(bytes, NX_LIMIT_PERFORMED_STEP + 2)).status, 0xa700);
	assert_u64(peer->mock.created, 0);
	free(bytes);
}

static void test_a_peer_that_goes_before_the_data_set_makes_nothing(void **state)
{
	struct peer *peer = *state;
	const struct nx_dimse_cmd cmd = command(NX_N_CREATE_RQ, "1.2.77");

	peer_associate(peer);
	peer_command(peer, STEP, &cmd);
	peer_run(peer, 0);
	assert_u64(peer->mock.created, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_a_creation_and_a_change_reach_the_service_whole),
		T(test_a_creation_without_a_uid_gets_one_and_a_change_does_not),
		T(test_failures_have_the_statuses_of_the_standard),
		T(test_a_data_set_that_is_too_long_reaches_no_service),
		T(test_a_peer_that_goes_before_the_data_set_makes_nothing),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

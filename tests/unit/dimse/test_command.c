#include "nx_test.h"

#include <string.h>

#include "base/buf.h"
#include "dimse/command_priv.h"

/* A C-ECHO-RQ as PS3.7 9.3.5.1 and E.1 lay it out, written by hand. */
static const uint8_t echo_rq[] = {
	0x00, 0x00, 0x00, 0x00, 4, 0, 0, 0, 56, 0, 0, 0,                             /* length */
	0x00, 0x00, 0x02, 0x00, 18, 0, 0, 0, '1', '.', '2', '.', '8', '4', '0', '.', /* class */
	'1', '0', '0', '0', '8', '.', '1', '.', '1', 0,                              /* padded */
	0x00, 0x00, 0x00, 0x01, 2, 0, 0, 0, 0x30, 0x00,                              /* field */
	0x00, 0x00, 0x10, 0x01, 2, 0, 0, 0, 0x07, 0x00,                              /* message */
	0x00, 0x00, 0x00, 0x08, 2, 0, 0, 0, 0x01, 0x01,                              /* no data */
};

static void test_golden_echo_is_read(void **state)
{
	struct nx_dimse_cmd cmd;
	struct nx_err err;

	(void)state;
	assert_ok(nx_cmd_parse(nx_slice(echo_rq, sizeof(echo_rq)), &cmd, &err), &err);
	assert_int_equal(cmd.field, NX_C_ECHO_RQ);
	assert_int_equal(cmd.message_id, 7);
	assert_string_equal(cmd.sop_class, "1.2.840.10008.1.1");
	assert_false(nx_cmd_has_dataset(&cmd));
	assert_false(nx_cmd_has(&cmd, NX_CMD_SOP_INSTANCE));
}

static void test_golden_echo_is_written(void **state)
{
	NX_AUTO_DONE(nx_buf) out;
	struct nx_dimse_cmd cmd;
	struct nx_err err;

	(void)state;
	nx_buf_init(&out, 4096, 0);
	assert_ok(nx_cmd_parse(nx_slice(echo_rq, sizeof(echo_rq)), &cmd, &err), &err);
	nx_cmd_format(&out, &cmd);
	assert_int_equal(out.len, sizeof(echo_rq));
	assert_memory_equal(out.data, echo_rq, sizeof(echo_rq));
}

static void test_response_names_what_it_answers(void **state)
{
	NX_AUTO_DONE(nx_buf) out;
	struct nx_dimse_cmd cmd, rsp, back;
	struct nx_err err;

	(void)state;
	nx_buf_init(&out, 4096, 0);
	assert_ok(nx_cmd_parse(nx_slice(echo_rq, sizeof(echo_rq)), &cmd, &err), &err);
	nx_cmd_response(&rsp, &cmd, 0xa700);
	(void)snprintf(rsp.comment, sizeof(rsp.comment), "no space");
	nx_cmd_mark(&rsp, NX_CMD_COMMENT);
	rsp.offending = 0x00081140;
	nx_cmd_mark(&rsp, NX_CMD_OFFENDING);
	nx_cmd_format(&out, &rsp);
	assert_ok(nx_cmd_parse(nx_buf_slice(&out), &back, &err), &err);
	assert_int_equal(back.field, 0x8030);
	assert_int_equal(back.responded_id, 7);
	assert_int_equal(back.status, 0xa700);
	assert_string_equal(back.comment, "no space");
	assert_int_equal(back.offending, 0x00081140);
	assert_string_equal(back.sop_class, "1.2.840.10008.1.1");
}

static void test_bad_command_sets_are_malformed(void **state)
{
	static const struct {
		size_t at;
		uint8_t byte;
	} cases[] = {
		{8, 55},    /* group length too small */
		{8, 57},    /* and too large */
		{4, 2},     /* group length of two bytes */
		{12, 1},    /* not group 0000 */
		{14, 0},    /* Group Length twice: out of order */
		{16, 200},  /* element past the end */
		{41, 0},    /* (0000,0000) after (0000,0002) */
		{42, 4},    /* US of four bytes */
		{60, 0x09}, /* no data set type: it became (0000,0900) */
	};
	uint8_t bytes[sizeof(echo_rq)];
	struct nx_dimse_cmd cmd;
	struct nx_err err;

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		memcpy(bytes, echo_rq, sizeof(bytes));
		if (cases[i].at == 60)
			bytes[61] = 0x09;
		else
			bytes[cases[i].at] = cases[i].byte;
		assert_rc(nx_cmd_parse(nx_slice(bytes, sizeof(bytes)), &cmd, &err), NX_E_MALFORMED);
	}
	for (size_t n = 0; n < sizeof(echo_rq); n++)
		assert_rc(nx_cmd_parse(nx_slice(echo_rq, n), &cmd, &err), NX_E_MALFORMED);
}

static void test_comment_is_cut_and_cleaned(void **state)
{
	NX_AUTO_DONE(nx_buf) in;
	struct nx_dimse_cmd cmd;
	struct nx_err err;

	(void)state;
	nx_buf_init(&in, 4096, 0);
	nx_buf_put(&in, echo_rq + 38, 10); /* field */
	nx_buf_put(&in, echo_rq + 58, 10); /* data set type */
	nx_buf_put(&in, "\0\0\x02\x09\x64\0\0\0", 8);
	for (int i = 0; i < 100; i++)
		nx_buf_put_u8(&in, i % 2 ? '\\' : 'a');
	assert_ok(nx_cmd_parse(nx_buf_slice(&in), &cmd, &err), &err);
	assert_int_equal(strlen(cmd.comment), NX_DIMSE_COMMENT_MAX);
	assert_null(strchr(cmd.comment, '\\'));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden_echo_is_read),
		cmocka_unit_test(test_golden_echo_is_written),
		cmocka_unit_test(test_response_names_what_it_answers),
		cmocka_unit_test(test_bad_command_sets_are_malformed),
		cmocka_unit_test(test_comment_is_cut_and_cleaned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

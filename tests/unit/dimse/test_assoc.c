#include "nx_test.h"

#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "peer.h"

static uint8_t pattern[100000];

static int setup(void **state)
{
	struct peer *peer = malloc(sizeof(*peer));

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + i / 251);
	peer_init(peer);
	*state = peer;
	return 0;
}

static int teardown(void **state)
{
	struct peer *peer = *state;

	/* Whatever happened: no job and no principal is left. */
	assert_i64(peer->mock.live, 0);
	assert_int_equal(peer->mock.waiting, 0);
	assert_int_equal(peer->principals, 0);
	peer_done(peer);
	free(peer);
	return 0;
}

static struct nx_slice some(size_t n)
{
	return nx_slice(pattern, n);
}

static uint64_t fnv(struct nx_slice s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ s.p[i]) * 0x100000001b3u;
	return h;
}

static void test_echo_and_release(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;

	peer_associate(peer);
	peer_echo(peer, 9);
	peer_release(peer);
	peer_run(peer, 0);
	peer_answers(peer, &got);
	assert_true(got.accepted && got.released && !got.aborted);
	assert_int_equal(got.n_rsp, 1);
	assert_int_equal(got.rsp[0].field, 0x8030);
	assert_int_equal(got.rsp[0].responded_id, 9);
	assert_int_equal(got.rsp[0].status, 0);
	assert_int_equal(got.rsp_context[0], 1);
}

static void test_echo_is_refused_to_whom_policy_refuses(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;

	peer->authorize = NX_E_DENIED;
	peer_associate(peer);
	peer_echo(peer, 9);
	peer_release(peer);
	peer_run(peer, 0);
	peer_answers(peer, &got);
	assert_int_equal(got.rsp[0].status, 0x0124);
	assert_string_equal(got.rsp[0].comment, "role may not verify");
}

static void test_data_set_arrives_whole_however_it_is_cut(void **state)
{
	static const size_t chunks[] = {0, 1, 2, 5, 11, 12, 13, 4096, 65536};
	static const size_t sizes[] = {2, 4084, 4090, 99998};
	struct peer *peer = *state;
	struct peer_answers got;

	for (size_t i = 0; i < NX_ARRAY_LEN(chunks) * NX_ARRAY_LEN(sizes); i++) {
		struct nx_slice bytes = some(sizes[i % NX_ARRAY_LEN(sizes)]);

		nx_buf_clear(&peer->script);
		peer->mock.hash = 0;
		peer->mock.bytes = 0;
		peer_associate(peer);
		peer_store(peer, 1, bytes);
		peer_release(peer);
		peer_run(peer, chunks[i / NX_ARRAY_LEN(sizes)]);
		peer_answers(peer, &got);
		assert_true(got.released);
		assert_int_equal(got.n_rsp, 1);
		assert_int_equal(got.rsp[0].status, 0);
		assert_string_equal(got.rsp[0].sop_instance, "1.2.3.1");
		assert_u64(peer->mock.bytes, bytes.n);
		assert_u64(peer->mock.hash, fnv(bytes));
	}
	assert_string_equal(peer->mock.last_ts, "1.2.840.10008.1.2.1");
	assert_string_equal(peer->mock.last_sop_class, PEER_CT);
	assert_string_equal(peer->mock.last_sop_instance, "1.2.3.1");
	assert_string_equal(peer->mock.last_collection, "inbox");
}

static void pdv_put(struct peer *peer, uint8_t flags, struct nx_slice bytes)
{
	nx_buf_put_u32be(&peer->script, (uint32_t)bytes.n + 2);
	nx_buf_put_u8(&peer->script, 3);
	nx_buf_put_u8(&peer->script, flags);
	nx_buf_put_slice(&peer->script, bytes);
}

/* PS3.8 9.3.5: several PDVs in one PDU; fragments may be empty. */
static void test_command_and_data_in_one_pdu(void **state)
{
	struct peer *peer = *state;
	NX_AUTO_DONE(nx_buf) bytes;
	struct nx_dimse_cmd cmd = peer_store_cmd(4);
	struct peer_answers got;

	nx_buf_init(&bytes, NX_MIB, 0);
	nx_cmd_format(&bytes, &cmd);
	peer_associate(peer);
	nx_buf_put_u8(&peer->script, NX_PDU_DATA);
	nx_buf_put_u8(&peer->script, 0);
	nx_buf_put_u32be(&peer->script, (uint32_t)(5 * 6 + bytes.len + 200));
	pdv_put(peer, 1, nx_slice(bytes.data, 20));
	pdv_put(peer, 3, nx_slice(bytes.data + 20, bytes.len - 20));
	pdv_put(peer, 0, nx_slice(pattern, 120));
	pdv_put(peer, 0, nx_slice(pattern + 120, 80));
	pdv_put(peer, 2, nx_slice(pattern, 0));
	peer_release(peer);
	peer_run(peer, 3);
	peer_answers(peer, &got);
	assert_true(got.released);
	assert_int_equal(got.rsp[0].status, 0);
	assert_u64(peer->mock.hash, fnv(some(200)));
}

static void test_failures_have_their_status_and_the_association_survives(void **state)
{
	static const struct {
		nx_rc begin, feed, wait;
		uint16_t status;
	} cases[] = {
		{.begin = NX_E_DENIED, .status = 0x0124},
		{.begin = NX_E_NOENT, .status = 0x0110},
		{.begin = NX_E_BUSY, .status = 0xa700},
		{.feed = NX_E_MALFORMED, .status = 0xc000},
		{.feed = NX_E_UNSUPPORTED, .status = 0xc000},
		{.feed = NX_E_NOMEM, .status = 0xa700},
		{.feed = NX_E_INVAL, .status = 0xa900},
		{.wait = NX_E_NOSPACE, .status = 0xa700},
		{.wait = NX_E_CONFLICT, .status = 0x0111},
		{.wait = NX_E_READONLY, .status = 0xa700},
	};
	struct peer *peer = *state;
	struct peer_answers got;

	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		peer->mock.fail_begin = cases[i].begin;
		peer->mock.fail_feed = cases[i].feed;
		peer->mock.fail_feed_after = 50000;
		peer->mock.fail_wait = cases[i].wait;
		nx_buf_clear(&peer->script);
		peer_associate(peer);
		peer_store(peer, 1, some(99998));
		peer_echo(peer, 2);
		peer_release(peer);
		peer_run(peer, 10000);
		peer_answers(peer, &got);
		assert_true(got.released);
		assert_int_equal(got.n_rsp, 2);
		assert_int_equal(got.rsp[0].status, cases[i].status);
		assert_true(strlen(got.rsp[0].comment) > 0);
		assert_int_equal(got.rsp[1].status, 0);
		assert_u64(peer->mock.stored, 0);
	}
}

static void test_duplicates_and_versions_succeed_and_quarantine_fails(void **state)
{
	static const struct {
		enum nx_ingest_outcome outcome;
		uint16_t status;
	} cases[] = {{NX_INGEST_STORED, 0}, {NX_INGEST_DUPLICATE, 0}, {NX_INGEST_VERSION, 0},
		{NX_INGEST_QUARANTINED, 0xa900}};
	struct peer *peer = *state;
	struct peer_answers got;

	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		peer->mock.outcome = cases[i].outcome;
		nx_buf_clear(&peer->script);
		peer_associate(peer);
		peer_store(peer, 1, some(100));
		peer_release(peer);
		peer_run(peer, 0);
		peer_answers(peer, &got);
		assert_int_equal(got.rsp[0].status, cases[i].status);
	}
	assert_string_equal(got.rsp[0].comment, "quarantine 7: other-class");
}

static void test_requests_that_cannot_be_served_are_answered(void **state)
{
	struct peer *peer = *state;
	struct nx_dimse_cmd cmd;
	struct peer_answers got;

	peer_associate(peer);
	cmd = peer_store_cmd(1); /* N-DELETE, with a data set that is passed over */
	cmd.field = 0x0150;
	peer_command(peer, 3, &cmd);
	peer_data(peer, 3, some(30000), 4096);
	cmd = peer_store_cmd(2); /* on the verification context */
	peer_command(peer, 1, &cmd);
	peer_data(peer, 1, some(300), 4096);
	cmd = peer_store_cmd(3); /* of another class than its context */
	cmd.sop_class[strlen(cmd.sop_class) - 1] = '4';
	peer_command(peer, 3, &cmd);
	peer_data(peer, 3, some(300), 4096);
	cmd = peer_store_cmd(4); /* without an instance UID */
	cmd.present &= ~(1u << NX_CMD_SOP_INSTANCE);
	peer_command(peer, 3, &cmd);
	peer_data(peer, 3, some(300), 4096);
	cmd = peer_store_cmd(5); /* without a data set */
	cmd.dataset_type = NX_DIMSE_NO_DATASET;
	peer_command(peer, 3, &cmd);
	cmd = peer_store_cmd(6); /* without a class */
	cmd.present &= ~(1u << NX_CMD_SOP_CLASS);
	peer_command(peer, 3, &cmd);
	peer_data(peer, 3, some(300), 4096);
	cmd = peer_echo_cmd(7); /* with a data set */
	cmd.dataset_type = 0;
	peer_command(peer, 1, &cmd);
	peer_data(peer, 1, some(300), 4096);
	cmd = peer_echo_cmd(8); /* cancels nothing */
	cmd.field = NX_C_CANCEL_RQ;
	peer_command(peer, 1, &cmd);
	peer_echo(peer, 9);
	peer_release(peer);
	peer_run(peer, 100);
	peer_answers(peer, &got);

	assert_true(got.released);
	assert_int_equal(got.n_rsp, 8);
	assert_int_equal(got.rsp[0].status, 0x0211);
	assert_int_equal(got.rsp[1].status, 0x0122);
	assert_int_equal(got.rsp[2].status, 0x0122);
	assert_int_equal(got.rsp[2].offending, 0x00000002);
	assert_int_equal(got.rsp[3].status, 0x0117);
	assert_int_equal(got.rsp[3].offending, 0x00001000);
	assert_int_equal(got.rsp[4].status, 0xc000);
	assert_int_equal(got.rsp[5].status, 0x0120);
	assert_int_equal(got.rsp[6].status, 0x0212);
	assert_int_equal(got.rsp[7].responded_id, 9);
	assert_int_equal(got.rsp[7].status, 0);
	assert_u64(peer->mock.begun, 0);
}

/* ---- what ends an association ---- */

struct hostile {
	const char *name;
	const char *bytes;
	size_t n;
	uint8_t source, reason;
};

#define HOSTILE(name, bytes, source, reason)                   \
	{                                                      \
		name, bytes, sizeof(bytes) - 1, source, reason \
	}

static void test_hostile_pdus_are_aborted_by_the_book(void **state)
{
	static const struct hostile cases[] = {
		HOSTILE("unknown type", "\x08\0\0\0\0\0", 2, 1),
		HOSTILE("type 0", "\0\0\0\0\0\0", 2, 1),
		HOSTILE("second request", "\x01\0\0\0\0\x04....", 2, 2),
		HOSTILE("answer", "\x02\0\0\0\0\x04....", 2, 2),
		HOSTILE("rejection", "\x03\0\0\0\0\x04....", 2, 2),
		HOSTILE("release response", "\x06\0\0\0\0\x04....", 2, 2),
		HOSTILE("long release", "\x05\0\xff\xff\xff\xff....", 2, 6),
		HOSTILE("oversized data", "\x04\0\xff\xff\xff\xff....", 2, 6),
		HOSTILE("one byte over", "\x04\0\0\x04\0\x01....", 2, 6),
		HOSTILE("empty data", "\x04\0\0\0\0\0", 2, 6),
		HOSTILE("no room for a PDV", "\x04\0\0\0\0\x05.....", 2, 6),
		HOSTILE("PDV length 0", "\x04\0\0\0\0\x06\0\0\0\0\x03\x03", 2, 6),
		HOSTILE("PDV length 1", "\x04\0\0\0\0\x06\0\0\0\x01\x03\x03", 2, 6),
		HOSTILE("odd PDV", "\x04\0\0\0\0\x07\0\0\0\x03\x03\x03.", 2, 6),
		HOSTILE("PDV past its PDU", "\x04\0\0\0\0\x08\0\0\0\x06\x03\x03....", 2, 6),
		HOSTILE("huge PDV", "\x04\0\0\0\0\x08\xff\xff\xff\xfe\x03\x03....", 2, 6),
		HOSTILE("bytes after a PDV", "\x04\0\0\0\0\x0b\0\0\0\x04\x03\x01.......", 2, 6),
		HOSTILE("context 0", "\x04\0\0\0\0\x08\0\0\0\x04\0\x03..", 2, 6),
		HOSTILE("context never proposed", "\x04\0\0\0\0\x08\0\0\0\x04\x15\x03..", 2, 6),
		HOSTILE("context refused", "\x04\0\0\0\0\x08\0\0\0\x04\x0b\x03..", 2, 6),
		HOSTILE("contexts mixed",
			"\x04\0\0\0\0\x10\0\0\0\x04\x03\x01..\0\0\0\x04\x01\x01..", 2, 5),
		HOSTILE("data without command", "\x04\0\0\0\0\x08\0\0\0\x04\x03\x02..", 0, 0),
		HOSTILE("garbage command", "\x04\0\0\0\0\x08\0\0\0\x04\x03\x03..", 0, 0),
		HOSTILE("empty command", "\x04\0\0\0\0\x06\0\0\0\x02\x03\x03", 0, 0),
	};
	struct peer *peer = *state;
	struct peer_answers got;

	for (size_t i = 0; i < 2 * NX_ARRAY_LEN(cases); i++) {
		const struct hostile *h = &cases[i / 2];

		nx_buf_clear(&peer->script);
		peer_associate(peer);
		nx_buf_put(&peer->script, h->bytes, h->n);
		peer_run(peer, i % 2);
		peer_answers(peer, &got);
		if (!got.aborted || got.why.source != h->source || got.why.reason != h->reason) {
			print_error("%s: aborted %d, source %u, reason %u\n", h->name, got.aborted,
				got.why.source, got.why.reason);
			fail();
		}
	}
}

static void test_commands_that_cannot_be_answered_abort(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;

	for (int i = 0; i < 4; i++) {
		struct nx_dimse_cmd cmd = peer_store_cmd(1);

		nx_buf_clear(&peer->script);
		peer_associate(peer);
		if (i == 0)
			cmd.field |= NX_DIMSE_RESPONSE;
		else if (i == 1)
			cmd.present &= ~(1u << NX_CMD_MESSAGE_ID);
		else if (i == 2)
			cmd.field = NX_C_CANCEL_RQ;
		peer_command(peer, 3, &cmd);
		if (i == 3) /* a command where the data set belongs */
			peer_command(peer, 3, &cmd);
		peer_run(peer, 0);
		peer_answers(peer, &got);
		assert_true(got.aborted);
		assert_int_equal(got.why.source, 0);
	}
}

static void test_command_set_is_bounded(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;

	peer_associate(peer);
	for (size_t sent = 0; sent <= NX_LIMIT_COMMAND_SET; sent += 4096) {
		nx_buf_put(&peer->script, "\x04\0\0\0\x10\x06\0\0\x10\x02\x03\x01", 12);
		nx_buf_put(&peer->script, pattern, 4096);
	}
	peer_run(peer, 0);
	peer_answers(peer, &got);
	assert_true(got.aborted);
	assert_u64(peer->mock.begun, 0);
}

static void test_data_set_is_bounded(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;

	peer->opts.max_instance = 50000;
	peer_associate(peer);
	peer_store(peer, 1, some(50000));
	peer_store(peer, 2, some(50002));
	peer_run(peer, 0);
	peer_answers(peer, &got);
	assert_true(got.aborted);
	assert_int_equal(got.n_rsp, 1); /* what was kept is acknowledged before the abort */
	assert_u64(peer->mock.begun, 2);
}

static void test_peer_that_disappears_leaves_nothing(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;
	size_t whole;

	peer_associate(peer);
	peer_store(peer, 1, some(20000));
	whole = peer->script.len;
	for (size_t n = 0; n < whole; n += n < 400 ? 1 : 997) {
		peer->script.len = n;
		peer_run(peer, 0);
		peer_answers(peer, &got);
		assert_int_equal(got.n_rsp, 0);
		assert_u64(peer->mock.stored, 0);
		assert_i64(peer->mock.live, 0);
	}
	peer->script.len = whole;
}

static void test_abort_by_the_peer_is_not_answered(void **state)
{
	struct peer *peer = *state;
	struct nx_dimse_cmd cmd = peer_store_cmd(1);
	struct peer_answers got;

	peer_associate(peer);
	peer_command(peer, 3, &cmd);
	nx_pdu_short_format(&peer->script, NX_PDU_ABORT, (struct nx_pdu_refusal){0, 0, 0});
	peer_run(peer, 0);
	peer_answers(peer, &got);
	assert_true(got.accepted && !got.aborted && !got.released);
	assert_u64(peer->mock.begun, 1);
	assert_u64(peer->mock.stored, 0);
}

static void test_idle_association_is_aborted_by_the_provider(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;

	peer->mem.end = NX_E_TIMEOUT;
	peer_associate(peer);
	peer_run(peer, 0);
	peer_answers(peer, &got);
	assert_true(got.aborted);
	assert_int_equal(got.why.source, 2);
	assert_int_equal(got.why.reason, 0);
}

static void test_artim_closes_without_a_word(void **state)
{
	struct peer *peer = *state;

	peer->mem.end = NX_E_TIMEOUT;
	peer_associate(peer);
	peer->script.len -= 10;
	peer_run(peer, 0);
	assert_int_equal(peer->mem.out.len, 0);
}

static void test_other_pdus_before_the_association_abort_as_user(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;

	peer_release(peer); /* AA-1 */
	peer_run(peer, 0);
	peer_answers(peer, &got);
	assert_true(got.aborted && got.why.source == 0);

	nx_buf_clear(&peer->script);
	nx_buf_put(&peer->script, "\x01\0\xff\xff\xff\xff", 6); /* a request of 4 GiB */
	peer_run(peer, 0);
	peer_answers(peer, &got);
	assert_true(got.aborted && got.why.source == 0);
}

static void test_draining_listener_ends_between_messages(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;

	peer->mem.drains = true;
	peer->mem.drain_before = 1; /* when everything was read */
	peer_associate(peer);
	peer_store(peer, 1, some(100));
	peer_run(peer, 0);
	peer_answers(peer, &got);
	assert_int_equal(got.n_rsp, 1);
	assert_true(got.aborted);
	assert_u64(peer->mock.stored, 1);
}

static void test_failing_write_ends_it(void **state)
{
	struct peer *peer = *state;

	peer->mem.writes_good = 1;
	peer_associate(peer);
	peer_store(peer, 1, some(100));
	peer_store(peer, 2, some(100));
	peer_release(peer);
	peer_run(peer, 10);
	assert_int_equal(peer->mem.writes, 1);
}

/* ---- admission and negotiation ---- */

static void reject_check(struct peer *peer, uint8_t result, uint8_t source, uint8_t reason)
{
	struct peer_answers got;
	unsigned refused = peer->refused;

	nx_buf_clear(&peer->script);
	peer_associate(peer);
	peer_run(peer, 0);
	peer_answers(peer, &got);
	assert_true(got.rejected && !got.accepted);
	assert_int_equal(got.why.result, result);
	assert_int_equal(got.why.source, source);
	assert_int_equal(got.why.reason, reason);
	assert_int_equal(peer->refused, refused + 1);
}

static void test_rejections_say_why(void **state)
{
	struct peer *peer = *state;

	peer->authenticate = NX_E_DENIED;
	reject_check(peer, 1, 1, 3);
	peer->authenticate = NX_E_NOENT;
	reject_check(peer, 1, 1, 7);
	peer->authenticate = NX_E_BUSY;
	reject_check(peer, 2, 3, 2);
	peer->authenticate = NX_E_IO;
	reject_check(peer, 2, 3, 1);
	peer->authenticate = NX_OK;

	peer->rq.version = 2;
	reject_check(peer, 1, 2, 2);
	peer->rq.version = 1;
	peer->rq.application_context = "1.2.3";
	reject_check(peer, 1, 1, 2);
	peer->rq.application_context = "1.2.840.10008.3.1.1.1";
	peer->rq.max_pdu = 10;
	reject_check(peer, 1, 1, 1);
	peer->rq.max_pdu = 0;
	peer->rq.calling[0] = '\0';
	reject_check(peer, 1, 1, 3);
	(void)snprintf(peer->rq.calling, sizeof(peer->rq.calling), "A\\B");
	reject_check(peer, 1, 1, 3);
}

static void test_limits_per_title_and_in_total(void **state)
{
	struct peer *peer = *state;
	nx_rc rc;

	peer->opts.max_assoc = 3;
	peer->opts.max_assoc_per_ae = 2;
	assert_rc(nx_dimse_new(&peer->opts, &peer->dimse, NULL), NX_OK);
	assert_rc(nx_dimse_admit(peer->dimse, "CT01", NULL), NX_OK);
	assert_rc(nx_dimse_admit(peer->dimse, "CT01", NULL), NX_OK);
	reject_check(peer, 2, 3, 2);
	assert_rc(nx_dimse_admit(peer->dimse, "CT02", NULL), NX_OK);
	nx_dimse_leave(peer->dimse, "CT01");
	rc = nx_dimse_admit(peer->dimse, "CT01", NULL);
	assert_int_equal(rc, NX_OK);
	(void)snprintf(peer->rq.calling, sizeof(peer->rq.calling), "CT03");
	reject_check(peer, 2, 3, 2);
	nx_dimse_leave(peer->dimse, "CT02");
	nx_dimse_leave(peer->dimse, "CT01");
	nx_dimse_leave(peer->dimse, "CT01");
}

static void answer_of(struct peer *peer, struct nx_arena *arena, struct nx_pdu_associate *ret)
{
	struct mem_reader reader;
	struct nx_pdu_header pdu;
	struct nx_slice body;
	struct nx_err err;

	nx_buf_clear(&peer->script);
	peer_associate(peer);
	peer_release(peer);
	peer_run(peer, 0);
	reader.rest = nx_buf_slice(&peer->mem.out);
	assert_true(mem_pdu_next(&reader, &pdu, &body));
	assert_int_equal(pdu.type, NX_PDU_ASSOCIATE_AC);
	assert_ok(nx_pdu_associate_parse(body, NX_PDU_ASSOCIATE_AC, arena, ret, &err), &err);
}

static void test_contexts_are_decided_one_by_one(void **state)
{
	static const char *jpeg[] = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2"};
	static const char *private_ts[] = {"1.2.840.113619.5.2"};
	static const char *none[] = {NULL};
	static struct nx_pdu_context contexts[] = {
		{.id = 1, .abstract = PEER_CT, .ts = jpeg, .n_ts = 2},
		{.id = 3, .abstract = PEER_PRIVATE, .ts = private_ts, .n_ts = 1},
		{.id = 5, .abstract = "1.2.840.10008.5.1.4.1.1.99999", .ts = jpeg, .n_ts = 1},
		{.id = 7, .abstract = PEER_FIND, .ts = jpeg, .n_ts = 1},
		{.id = 9, .abstract = PEER_CT, .ts = none, .n_ts = 0},
		{.id = 11, .abstract = "not a uid", .ts = jpeg, .n_ts = 1},
		{.id = 13, .abstract = "1.2.840.10008.1.2", .ts = jpeg, .n_ts = 1},
		{.id = 15, .abstract = PEER_FIND, .ts = jpeg, .n_ts = 2}, /* the second one */
	};
	static const uint8_t results[] = {0, 0, 0, 4, 4, 3, 3, 0};
	struct peer *peer = *state;
	NX_AUTO(nx_arena) *arena = nx_arena_new(NX_MIB, 0);
	struct nx_pdu_associate got;

	peer->rq.contexts = contexts;
	peer->rq.n_contexts = NX_ARRAY_LEN(contexts);
	answer_of(peer, arena, &got);
	assert_int_equal(got.n_contexts, NX_ARRAY_LEN(contexts));
	for (size_t i = 0; i < got.n_contexts; i++) {
		assert_int_equal(got.contexts[i].id, contexts[i].id);
		assert_int_equal(got.contexts[i].result, results[i]);
		assert_int_equal(got.contexts[i].n_ts, 1);
	}
	assert_string_equal(got.contexts[0].ts[0], "1.2.840.10008.1.2.4.50");
	assert_string_equal(got.contexts[1].ts[0], "1.2.840.113619.5.2");
	assert_string_equal(got.contexts[7].ts[0], "1.2.840.10008.1.2");
	assert_int_equal(got.max_pdu, 256 * 1024);
	assert_string_equal(got.implementation_uid, "2.25.1");
}

static void test_window_roles_and_identity(void **state)
{
	struct peer *peer = *state;
	NX_AUTO(nx_arena) *arena = nx_arena_new(8 * NX_MIB, 0);
	struct nx_pdu_role roles[] = {
		{PEER_CT, true, true}, {PEER_FIND, true, false}, {PEER_PRIVATE, false, true}};
	struct nx_pdu_associate got;

	answer_of(peer, arena, &got);
	assert_false(got.has_window);
	assert_int_equal(got.n_roles, 0);

	peer->rq.has_window = true; /* any number */
	peer->rq.roles = roles;
	peer->rq.n_roles = 3;
	answer_of(peer, arena, &got);
	assert_true(got.has_window);
	assert_int_equal(got.max_invoked, 16);
	assert_int_equal(got.max_performed, 16);
	assert_int_equal(got.n_roles, 3);
	assert_true(got.roles[0].scu && got.roles[0].scp);
	assert_true(got.roles[1].scu && !got.roles[1].scp);
	assert_true(!got.roles[2].scu && got.roles[2].scp);

	peer->rq.max_invoked = 3;
	peer->rq.max_performed = 5;
	answer_of(peer, arena, &got);
	assert_int_equal(got.max_invoked, 3);
	assert_int_equal(got.max_performed, 5);
	assert_false(got.has_identity);
}

/* PS3.7 D.3.3.7: only who was made use of is answered, and only who asked for it. */
static void test_user_identity(void **state)
{
	static const struct {
		uint8_t type;
		bool asked;
		const char *user, *secret;
		bool answered;
	} cases[] = {
		{NX_IDENTITY_PASSCODE, true, PEER_USER, PEER_PASSCODE, true},
		{NX_IDENTITY_PASSCODE, false, PEER_USER, PEER_PASSCODE, false},
		{NX_IDENTITY_PASSCODE, true, PEER_USER, "another", false},
		{NX_IDENTITY_USERNAME, true, PEER_USER, "", false},
	};
	struct peer *peer = *state;
	NX_AUTO(nx_arena) *arena = nx_arena_new(8 * NX_MIB, 0);
	struct nx_pdu_associate got;

	peer->rq.has_identity = true;
	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		peer->rq.identity_type = cases[i].type;
		peer->rq.identity_response = cases[i].asked;
		peer->rq.identity = nx_slice_str(cases[i].user);
		peer->rq.identity_secret = nx_slice_str(cases[i].secret);
		answer_of(peer, arena, &got);
		assert_int_equal(got.has_identity, cases[i].answered);
	}
	peer->authenticate = NX_E_UNAUTHENTICATED;
	reject_check(peer, 1, 1, 1);
}

static void test_extended_negotiation_grants_what_is_asked_and_had(void **state)
{
	static struct nx_pdu_extended asked[] = {
		{PEER_FIND, {1, 0, 1, 1, 1}, 5}, {PEER_CT, {1, 1}, 2}, {PEER_VERIFICATION, {1}, 1}};
	static const uint8_t find[] = {1, 0, 1}, storage[] = {2, 0, 3, 0};
	struct peer *peer = *state;
	NX_AUTO(nx_arena) *arena = nx_arena_new(8 * NX_MIB, 0);
	struct nx_pdu_associate got;

	peer->rq.extended = asked;
	peer->rq.n_extended = NX_ARRAY_LEN(asked);
	answer_of(peer, arena, &got);
	assert_int_equal(got.n_extended, 2);
	assert_string_equal(got.extended[0].sop_class, PEER_FIND);
	assert_int_equal(got.extended[0].n, 3);
	assert_memory_equal(got.extended[0].info, find, 3);
	assert_int_equal(got.extended[1].n, 4);
	assert_memory_equal(got.extended[1].info, storage, 4);
}

static void test_window_overlaps_commits_and_keeps_order(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;

	peer->rq.has_window = true;
	peer->rq.max_invoked = 8;
	peer_associate(peer);
	for (uint16_t id = 1; id <= 40; id++) {
		if (id % 10 == 0)
			peer_echo(peer, id);
		else
			peer_store(peer, id, some(200));
	}
	peer_release(peer);
	peer_run(peer, 0);
	peer_answers(peer, &got);
	assert_true(got.released);
	assert_int_equal(got.n_rsp, 40);
	for (uint16_t i = 0; i < 40; i++) {
		assert_int_equal(got.rsp[i].responded_id, i + 1);
		assert_int_equal(got.rsp[i].status, 0);
	}
	assert_int_equal(peer->mock.waiting_max, 8);
	assert_u64(peer->mock.stored, 36);
}

static void test_without_a_window_commits_come_one_by_one(void **state)
{
	struct peer *peer = *state;

	peer_associate(peer);
	for (uint16_t id = 1; id <= 10; id++)
		peer_store(peer, id, some(200));
	peer_release(peer);
	peer_run(peer, 0);
	assert_int_equal(peer->mock.waiting_max, 1);
	assert_u64(peer->mock.stored, 10);
}

static void test_responses_fit_a_small_peer(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;

	peer->rq.max_pdu = 64;
	peer_associate(peer);
	peer_store(peer, 1, some(200));
	peer_release(peer);
	peer_run(peer, 0);
	peer_answers(peer, &got);
	assert_int_equal(got.n_rsp, 1);
	assert_int_equal(got.longest_pdu, 64);
}

static void test_options_are_checked(void **state)
{
	struct peer *peer = *state;
	struct nx_dimse *dimse = NULL;
	struct nx_dimse_opts opts = peer->opts;

	opts.authenticate = NULL;
	assert_rc(nx_dimse_new(&opts, &dimse, NULL), NX_E_CONFIG);
	opts = peer->opts;
	opts.max_pdu = NX_LIMIT_PDU + 1;
	assert_rc(nx_dimse_new(&opts, &dimse, NULL), NX_E_CONFIG);
	opts.max_pdu = 4095;
	assert_rc(nx_dimse_new(&opts, &dimse, NULL), NX_E_CONFIG);
	opts = peer->opts;
	opts.max_async = NX_ASYNC_MAX + 1;
	assert_rc(nx_dimse_new(&opts, &dimse, NULL), NX_E_CONFIG);
	assert_null(dimse);
}

/* Policy is a column: a row without it is a mistake. */
static void test_every_service_has_permission_action_and_a_finish(void **state)
{
	(void)state;
	for (const struct nx_dimse_service *s = nx_dimse_services; s->name; s++) {
		assert_non_null(s->permission);
		assert_non_null(s->action);
		assert_non_null(s->authorized_by);
		assert_non_null(s->match);
		assert_non_null(s->finish);
		assert_true(s->roles != 0);
		assert_int_equal(s->field & NX_DIMSE_RESPONSE, 0);
	}
}

static void test_counters(void **state)
{
	struct peer *peer = *state;
	struct nx_dimse_stats stats;

	peer_associate(peer);
	peer_store(peer, 1, some(200));
	peer_release(peer);
	peer_run(peer, 0);
	nx_dimse_stats(peer->dimse, &stats);
	assert_u64(stats.active, 0);
	assert_u64(stats.accepted, 1);
	assert_u64(stats.released, 1);
	assert_u64(stats.operations, 1);
	assert_u64(stats.failures, 0);
	assert_u64(stats.bytes, 200);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_echo_and_release),
		T(test_echo_is_refused_to_whom_policy_refuses),
		T(test_data_set_arrives_whole_however_it_is_cut),
		T(test_command_and_data_in_one_pdu),
		T(test_failures_have_their_status_and_the_association_survives),
		T(test_duplicates_and_versions_succeed_and_quarantine_fails),
		T(test_requests_that_cannot_be_served_are_answered),
		T(test_hostile_pdus_are_aborted_by_the_book),
		T(test_commands_that_cannot_be_answered_abort),
		T(test_command_set_is_bounded),
		T(test_data_set_is_bounded),
		T(test_peer_that_disappears_leaves_nothing),
		T(test_abort_by_the_peer_is_not_answered),
		T(test_idle_association_is_aborted_by_the_provider),
		T(test_artim_closes_without_a_word),
		T(test_other_pdus_before_the_association_abort_as_user),
		T(test_draining_listener_ends_between_messages),
		T(test_failing_write_ends_it),
		T(test_rejections_say_why),
		T(test_limits_per_title_and_in_total),
		T(test_contexts_are_decided_one_by_one),
		T(test_window_roles_and_identity),
		T(test_user_identity),
		T(test_extended_negotiation_grants_what_is_asked_and_had),
		T(test_window_overlaps_commits_and_keeps_order),
		T(test_without_a_window_commits_come_one_by_one),
		T(test_responses_fit_a_small_peer),
		T(test_options_are_checked),
		T(test_every_service_has_permission_action_and_a_finish),
		T(test_counters),
	};

	nx_log_set_level(NX_LOG_ERROR); /* refusals are what is tested */
	return cmocka_run_group_tests(tests, NULL, NULL);
}

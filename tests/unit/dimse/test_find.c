#include "nx_test.h"

#include <string.h>

#include "base/log.h"
#include "catalog/catalog.h"
#include "peer.h"

enum {
	FIND_STUDY = 7, /* contexts of the peer */
	FIND_PATIENT = 9
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

static void find_put(
	struct peer *peer, uint16_t message_id, uint8_t context, const struct peer_identifier *id)
{
	peer_find(peer, message_id, context, nx_slice(id->bytes, id->n));
}

/* One query, and what comes back. */
static void find_one(struct peer *peer, uint8_t context, const struct peer_identifier *id,
	struct peer_answers *got)
{
	nx_buf_clear(&peer->script);
	peer_associate(peer);
	find_put(peer, 5, context, id);
	peer_release(peer);
	peer_run(peer, 0);
	peer_answers(peer, got);
	assert_true(got->released);
}

static void expect_refused(struct peer *peer, uint8_t context, const struct peer_identifier *id,
	unsigned status, uint32_t tag)
{
	unsigned finds = peer->retrieve.finds;
	struct peer_answers got;

	find_one(peer, context, id, &got);
	assert_int_equal(got.n_rsp, 1);
	assert_int_equal(got.rsp[0].status, status);
	assert_int_equal(got.rsp[0].offending, tag);
	assert_int_equal(peer->retrieve.finds, finds);
}

static void test_matches_are_pending_and_then_success(void **state)
{
	struct peer_identifier id = peer_level("STUDY");
	struct peer *peer = *state;
	struct peer_answers got;

	peer_key(&id, 0x00100010, "doe*");
	peer_key(&id, 0x0020000d, "");
	peer->retrieve.matches = 3;
	find_one(peer, FIND_STUDY, &id, &got);
	assert_int_equal(got.n_rsp, 4);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(got.rsp[i].status, 0xff00);
		assert_int_equal(got.rsp[i].responded_id, 5);
		assert_true(nx_cmd_has_dataset(&got.rsp[i]));
		assert_string_equal(got.rsp[i].sop_class, PEER_FIND);
	}
	assert_int_equal(got.data, 3 * 8);
	assert_int_equal(got.rsp[3].status, 0);
	assert_false(nx_cmd_has_dataset(&got.rsp[3]));
	assert_int_equal(peer->retrieve.level, NX_LEVEL_STUDY);
	assert_int_equal(peer->retrieve.n_keys, 1); /* an empty one matches all */
	assert_string_equal(peer->retrieve.key_values[0], "doe*");
	assert_int_equal(peer->retrieve.n_wants, 2);
	assert_string_equal(peer->retrieve.retrieve_ae, "NARTHEX");
	assert_false(peer->retrieve.fuzzy || peer->retrieve.datetime);
}

static void test_keys_that_are_not_supported_make_pending_partly(void **state)
{
	static const uint32_t tags[] = {0x00081030, 0x00321032, 0x00400275, 0x00080018};
	struct peer *peer = *state;
	struct peer_answers got;

	peer->retrieve.matches = 1;
	for (size_t i = 0; i < NX_ARRAY_LEN(tags); i++) {
		struct peer_identifier id = peer_level("STUDY");

		peer_key(&id, tags[i], "");
		find_one(peer, FIND_STUDY, &id, &got);
		assert_int_equal(got.rsp[0].status, 0xff01);
		assert_int_equal(got.rsp[1].status, 0);
		assert_int_equal(peer->retrieve.n_keys, 0);
		assert_int_equal(peer->retrieve.n_wants, 1);
	}
}

/* A sequence of `n` empty items. */
static void key_items(struct peer_identifier *id, uint32_t tag, unsigned n)
{
	static const uint8_t item[8] = {0xfe, 0xff, 0x00, 0xe0};

	peer_key(id, tag, "");
	id->bytes[id->n - 4] = (uint8_t)(n * sizeof(item));
	for (unsigned i = 0; i < n; i++) {
		memcpy(id->bytes + id->n, item, sizeof(item));
		id->n += sizeof(item);
	}
}

static void test_a_sequence_has_its_keys_in_one_item(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;

	peer->retrieve.matches = 1;
	for (unsigned items = 0; items < 3; items++) {
		struct peer_identifier id = peer_level("SERIES");

		peer_key(&id, 0x0020000d, "1.2");
		key_items(&id, 0x00400275, items);
		if (items == 2) {
			expect_refused(peer, FIND_STUDY, &id, 0xa900, 0x00400275);
			continue;
		}
		find_one(peer, FIND_STUDY, &id, &got);
		assert_int_equal(got.rsp[0].status, 0xff00);
		assert_int_equal(peer->retrieve.n_sequences, 1);
		assert_int_equal(peer->retrieve.n_wants, 2);
	}
}

static void test_the_level_must_be_one_of_the_model(void **state)
{
	struct peer_identifier none = {.n = 0}, patient = peer_level("PATIENT"),
			       odd = peer_level("CASE");
	struct peer *peer = *state;
	struct peer_answers got;

	peer_key(&none, 0x00100010, "");
	expect_refused(peer, FIND_STUDY, &none, 0xa900, 0x00080052);
	expect_refused(peer, FIND_STUDY, &patient, 0xa900, 0x00080052);
	expect_refused(peer, FIND_STUDY, &odd, 0xa900, 0x00080052);
	find_one(peer, FIND_PATIENT, &patient, &got);
	assert_int_equal(got.rsp[0].status, 0);
	assert_int_equal(peer->retrieve.level, NX_LEVEL_PATIENT);
}

static void test_unique_keys_above_are_needed_unless_relational(void **state)
{
	static struct nx_pdu_extended relational[] = {{PEER_FIND, {1, 1, 1}, 3}};
	struct peer_identifier bare = peer_level("SERIES"), list = peer_level("SERIES");
	struct peer_identifier good = peer_level("SERIES"), study = peer_level("STUDY");
	struct peer *peer = *state;
	struct peer_answers got;

	peer_key(&list, 0x0020000d, "1.2\\1.3");
	peer_key(&good, 0x0020000d, "1.2");
	expect_refused(peer, FIND_STUDY, &bare, 0xa900, 0x0020000d);
	expect_refused(peer, FIND_STUDY, &list, 0xa900, 0x0020000d);
	expect_refused(peer, FIND_PATIENT, &study, 0xa900, 0x00100020);
	find_one(peer, FIND_STUDY, &good, &got);
	assert_int_equal(got.rsp[0].status, 0);

	peer->rq.extended = relational;
	peer->rq.n_extended = 1;
	find_one(peer, FIND_STUDY, &bare, &got);
	assert_int_equal(got.rsp[0].status, 0);
	assert_true(peer->retrieve.fuzzy && peer->retrieve.datetime);
	expect_refused(peer, FIND_PATIENT, &study, 0xa900, 0x00100020); /* another class */
}

static void test_what_is_no_data_set_cannot_be_processed(void **state)
{
	struct peer_identifier cut = peer_level("STUDY");
	struct peer *peer = *state;

	cut.n -= 2;
	expect_refused(peer, FIND_STUDY, &cut, 0xc000, 0);
}

static void test_failures_of_the_query_come_after_its_matches(void **state)
{
	static const struct {
		nx_rc rc;
		unsigned status;
	} cases[] = {{NX_E_IO, 0xa700}, {NX_E_LIMIT, 0xa700}, {NX_E_INVAL, 0xa900},
		{NX_E_DENIED, 0x0124}, {NX_E_NOENT, 0xc000}, {NX_E_INTERNAL, 0x0110}};
	struct peer_identifier id = peer_level("STUDY");
	struct peer *peer = *state;
	struct peer_answers got;

	peer->retrieve.matches = 2;
	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		peer->retrieve.fail_find = cases[i].rc;
		find_one(peer, FIND_STUDY, &id, &got);
		assert_int_equal(got.n_rsp, 3);
		assert_int_equal(got.rsp[2].status, cases[i].status);
		assert_string_equal(got.rsp[2].comment, "find fails");
	}
	peer->retrieve.fail_find = NX_OK;
	peer->retrieve.more = true;
	find_one(peer, FIND_STUDY, &id, &got);
	assert_int_equal(got.rsp[2].status, 0xa700);
	assert_string_equal(got.rsp[2].comment, "more than 10000 matches");
}

/* The C-CANCEL-RQ is here at the n-th look: before the first match, between any two, and so late
 * that all are told. */
static void test_cancel_at_every_moment(void **state)
{
	enum {
		MATCHES = 6
	};
	struct peer_identifier id = peer_level("STUDY");
	struct peer *peer = *state;
	struct peer_answers got;
	size_t before;

	peer->retrieve.matches = MATCHES;
	for (unsigned at = 1; at <= MATCHES + 2; at++) {
		nx_buf_clear(&peer->script);
		peer_associate(peer);
		find_put(peer, 5, FIND_STUDY, &id);
		before = peer->script.len;
		peer_cancel(peer, 5, FIND_STUDY);
		peer_echo(peer, 6);
		peer_release(peer);
		peer->mem.later = peer->script.len - before;
		peer->mem.later_polls = at;
		peer_run(peer, 0);
		peer_answers(peer, &got);
		assert_true(got.released);
		if (at <= MATCHES) {
			assert_int_equal(got.n_rsp, at + 1);
			assert_int_equal(got.rsp[at - 1].status, 0xfe00);
		} else {
			assert_int_equal(got.n_rsp, MATCHES + 2);
			assert_int_equal(got.rsp[MATCHES].status, 0);
		}
		assert_int_equal(got.rsp[got.n_rsp - 1].responded_id, 6);
		assert_int_equal(got.rsp[got.n_rsp - 1].status, 0);
	}
}

static void test_cancel_of_another_message_is_passed_over(void **state)
{
	struct peer_identifier id = peer_level("STUDY");
	struct peer *peer = *state;
	struct peer_answers got;

	peer->retrieve.matches = 2;
	peer_associate(peer);
	find_put(peer, 5, FIND_STUDY, &id);
	peer_cancel(peer, 4, FIND_STUDY);
	peer_release(peer);
	peer_run(peer, 0);
	peer_answers(peer, &got);
	assert_int_equal(got.n_rsp, 3);
	assert_int_equal(got.rsp[2].status, 0);
}

/* With a window, a query that waits behind another is cancelled before it began. */
static void test_a_waiting_query_is_cancelled(void **state)
{
	struct peer_identifier id = peer_level("STUDY");
	struct peer *peer = *state;
	struct peer_answers got;

	peer->rq.has_window = true;
	peer->retrieve.matches = 1;
	peer_associate(peer);
	find_put(peer, 5, FIND_STUDY, &id);
	find_put(peer, 6, FIND_STUDY, &id);
	peer_cancel(peer, 6, FIND_STUDY);
	peer_release(peer);
	peer_run(peer, 0);
	peer_answers(peer, &got);
	assert_true(got.released);
	assert_int_equal(got.n_rsp, 3);
	assert_int_equal(got.rsp[0].status, 0xff00);
	assert_int_equal(got.rsp[1].status, 0);
	assert_int_equal(got.rsp[2].responded_id, 6);
	assert_int_equal(got.rsp[2].status, 0xfe00);
}

static void test_an_abort_stops_the_query(void **state)
{
	struct peer_identifier id = peer_level("STUDY");
	struct peer *peer = *state;
	struct peer_answers got;

	peer->retrieve.matches = 50;
	peer_associate(peer);
	find_put(peer, 5, FIND_STUDY, &id);
	nx_pdu_short_format(&peer->script, NX_PDU_ABORT, (struct nx_pdu_refusal){0});
	peer_run(peer, 0);
	peer_answers(peer, &got);
	assert_int_equal(got.n_rsp, 0);
	assert_false(got.released || got.aborted);
}

/* Answers leave when there is enough of them, not all at the end. */
static void test_answers_leave_as_they_come(void **state)
{
	struct peer_identifier id = peer_level("STUDY");
	struct peer *peer = *state;
	struct peer_answers got;

	peer->retrieve.matches = 70;
	peer->retrieve.match_len = 4000;
	find_one(peer, FIND_STUDY, &id, &got);
	assert_int_equal(got.n_rsp, 71);
	assert_true(peer->mem.writes > 5);
	assert_int_equal(got.data, 70 * 4000);
}

static void test_a_lost_connection_stops_the_query(void **state)
{
	struct peer_identifier id = peer_level("STUDY");
	struct peer *peer = *state;

	peer->retrieve.matches = 70;
	peer->retrieve.match_len = 4000;
	peer->mem.writes_good = 2;
	peer_associate(peer);
	find_put(peer, 5, FIND_STUDY, &id);
	peer_run(peer, 0);
	assert_int_equal(peer->mem.writes, 2);
}

static void test_an_identifier_that_is_too_long_is_refused(void **state)
{
	struct peer *peer = *state;
	struct peer_answers got;
	uint8_t *bytes = calloc(1, NX_LIMIT_IDENTIFIER + 4096);

	peer_associate(peer);
	peer_find(peer, 5, FIND_STUDY, nx_slice(bytes, NX_LIMIT_IDENTIFIER + 4096));
	peer_release(peer);
	peer_run(peer, 0);
	peer_answers(peer, &got);
	free(bytes);
	assert_int_equal(got.n_rsp, 1);
	assert_int_equal(got.rsp[0].status, 0xa700);
}

int main(void)
{
#define FX(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		FX(test_matches_are_pending_and_then_success),
		FX(test_keys_that_are_not_supported_make_pending_partly),
		FX(test_a_sequence_has_its_keys_in_one_item),
		FX(test_the_level_must_be_one_of_the_model),
		FX(test_unique_keys_above_are_needed_unless_relational),
		FX(test_what_is_no_data_set_cannot_be_processed),
		FX(test_failures_of_the_query_come_after_its_matches),
		FX(test_cancel_at_every_moment),
		FX(test_cancel_of_another_message_is_passed_over),
		FX(test_a_waiting_query_is_cancelled),
		FX(test_an_abort_stops_the_query),
		FX(test_answers_leave_as_they_come),
		FX(test_a_lost_connection_stops_the_query),
		FX(test_an_identifier_that_is_too_long_is_refused),
	};

	nx_log_set_level((enum nx_log_level)(NX_LOG_ERROR + 1));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

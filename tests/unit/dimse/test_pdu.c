#include "nx_test.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "dimse/pdu_priv.h"

enum {
	CALLING_OFFSET = 6 + 2 + 2 + NX_AE_TITLE_LEN
};

struct fixture {
	struct nx_arena *arena;
	struct nx_buf out;
	struct nx_err err;
};

static int setup(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	fx->arena = nx_arena_new(8 * NX_MIB, 0);
	nx_buf_init(&fx->out, NX_MIB, 0);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;

	nx_buf_done(&fx->out);
	nx_arena_free(fx->arena);
	free(fx);
	return 0;
}

static struct nx_slice body_of(const struct fixture *fx)
{
	return nx_slice(fx->out.data + NX_PDU_HEADER_LEN, fx->out.len - NX_PDU_HEADER_LEN);
}

static struct nx_pdu_associate sample(void)
{
	static const char *ts[] = {"1.2.840.10008.1.2.1", "1.2.840.10008.1.2"};
	static struct nx_pdu_context contexts[] = {
		{.id = 1, .abstract = "1.2.840.10008.1.1", .ts = ts, .n_ts = 2},
		{.id = 255, .abstract = "1.2.3.4", .ts = ts, .n_ts = 1, .result = 3},
	};
	static struct nx_pdu_role roles[] = {{"1.2.3.4", true, false}, {"1.2.3", false, true}};

	return (struct nx_pdu_associate){
		.version = 1,
		.called = "NARTHEX",
		.calling = "CT 01",
		.application_context = "1.2.840.10008.3.1.1.1",
		.contexts = contexts,
		.n_contexts = 2,
		.max_pdu = 16384,
		.implementation_uid = "2.25.1",
		.implementation_version = "TEST_1",
		.has_window = true,
		.max_invoked = 16,
		.max_performed = 1,
		.roles = roles,
		.n_roles = 2,
	};
}

static void test_request_survives_format_and_parse(void **state)
{
	struct fixture *fx = *state;
	struct nx_pdu_associate a = sample();
	struct nx_pdu_associate b;

	nx_pdu_associate_format(&fx->out, NX_PDU_ASSOCIATE_RQ, &a);
	assert_int_equal(nx_pdu_header_parse(fx->out.data).type, NX_PDU_ASSOCIATE_RQ);
	assert_int_equal(nx_pdu_header_parse(fx->out.data).len, body_of(fx).n);
	assert_ok(nx_pdu_associate_parse(body_of(fx), NX_PDU_ASSOCIATE_RQ, fx->arena, &b, &fx->err),
		&fx->err);
	assert_string_equal(b.called, "NARTHEX");
	assert_string_equal(b.calling, "CT 01");
	assert_string_equal(b.application_context, a.application_context);
	assert_int_equal(b.n_contexts, 2);
	assert_int_equal(b.contexts[1].id, 255);
	assert_string_equal(b.contexts[1].abstract, "1.2.3.4");
	assert_int_equal(b.contexts[0].n_ts, 2);
	assert_string_equal(b.contexts[0].ts[1], "1.2.840.10008.1.2");
	assert_int_equal(b.max_pdu, 16384);
	assert_true(b.has_window);
	assert_int_equal(b.max_invoked, 16);
	assert_int_equal(b.n_roles, 2);
	assert_true(b.roles[1].scp && !b.roles[1].scu);
	assert_string_equal(b.implementation_version, "TEST_1");
	assert_false(b.has_identity);
}

static void test_a_nul_ends_no_title(void **state)
{
	struct fixture *fx = *state;
	struct nx_pdu_associate a = sample();
	struct nx_pdu_associate b;
	char *calling;

	nx_pdu_associate_format(&fx->out, NX_PDU_ASSOCIATE_RQ, &a);
	calling = (char *)fx->out.data + CALLING_OFFSET;
	assert_memory_equal(calling, "CT 01 ", 6);
	memset(calling + 5, 0, NX_AE_TITLE_LEN - 5);
	assert_ok(nx_pdu_associate_parse(body_of(fx), NX_PDU_ASSOCIATE_RQ, fx->arena, &b, &fx->err),
		&fx->err);
	assert_string_equal(b.calling, "CT 01");
	calling[7] = 'X';
	assert_rc(nx_pdu_associate_parse(body_of(fx), NX_PDU_ASSOCIATE_RQ, fx->arena, &b, &fx->err),
		NX_E_MALFORMED);
	calling[7] = 0;
	memset(calling, 0, 3); /* only NULs before it */
	assert_rc(nx_pdu_associate_parse(body_of(fx), NX_PDU_ASSOCIATE_RQ, fx->arena, &b, &fx->err),
		NX_E_MALFORMED);
}

static void test_answer_carries_results_and_identity_response(void **state)
{
	struct fixture *fx = *state;
	struct nx_pdu_associate a = sample();
	struct nx_pdu_associate b;

	a.has_identity = true;
	nx_pdu_associate_format(&fx->out, NX_PDU_ASSOCIATE_AC, &a);
	assert_ok(nx_pdu_associate_parse(body_of(fx), NX_PDU_ASSOCIATE_AC, fx->arena, &b, &fx->err),
		&fx->err);
	assert_int_equal(b.contexts[1].result, 3);
	assert_string_equal(b.contexts[0].abstract, "");
	assert_true(b.has_identity);
}

/* Whatever is cut off, the parse ends with an error or with less, never out of bounds. */
static void test_every_prefix_is_refused_or_shorter(void **state)
{
	struct fixture *fx = *state;
	struct nx_pdu_associate a = sample();
	struct nx_pdu_associate b;
	size_t good = 0;

	nx_pdu_associate_format(&fx->out, NX_PDU_ASSOCIATE_RQ, &a);
	for (size_t n = 0; n < body_of(fx).n; n++) {
		NX_AUTO_MEM uint8_t *exact = malloc(n + 1);
		nx_rc rc;

		memcpy(exact, body_of(fx).p, n);
		rc = nx_pdu_associate_parse(
			nx_slice(exact, n), NX_PDU_ASSOCIATE_RQ, fx->arena, &b, &fx->err);
		assert_true(rc == NX_OK || rc == NX_E_MALFORMED);
		good += rc == NX_OK;
		nx_arena_reset(fx->arena);
	}
	assert_int_equal(good, 4); /* after the fixed part and after three whole items */
}

static void test_even_and_repeated_context_ids_are_malformed(void **state)
{
	struct fixture *fx = *state;
	struct nx_pdu_associate a = sample();
	struct nx_pdu_associate b;
	static const uint8_t ids[] = {2, 0, 1};

	for (size_t i = 0; i < NX_ARRAY_LEN(ids); i++) {
		struct nx_pdu_context contexts[2] = {a.contexts[0], a.contexts[1]};

		contexts[1].id = ids[i];
		a = sample();
		a.contexts = contexts;
		nx_buf_clear(&fx->out);
		nx_pdu_associate_format(&fx->out, NX_PDU_ASSOCIATE_RQ, &a);
		assert_rc(nx_pdu_associate_parse(
				  body_of(fx), NX_PDU_ASSOCIATE_RQ, fx->arena, &b, &fx->err),
			NX_E_MALFORMED);
		a = sample();
	}
}

static void test_identity_is_read(void **state)
{
	struct fixture *fx = *state;
	struct nx_pdu_associate a = sample(), b;

	a.has_identity = a.identity_response = true;
	a.identity_type = 2;
	a.identity = nx_slice_str("user");
	a.identity_secret = nx_slice_str("pass");
	nx_buf_clear(&fx->out);
	nx_pdu_associate_format(&fx->out, NX_PDU_ASSOCIATE_RQ, &a);
	assert_ok(nx_pdu_associate_parse(body_of(fx), NX_PDU_ASSOCIATE_RQ, fx->arena, &b, &fx->err),
		&fx->err);
	assert_true(b.has_identity && b.identity_response);
	assert_int_equal(b.identity_type, 2);
	assert_true(nx_slice_eq(b.identity, nx_slice_str("user")));
	assert_true(nx_slice_eq(b.identity_secret, nx_slice_str("pass")));
	fx->out.data[fx->out.len - 5]++; /* the second field goes past the end */
	assert_rc(nx_pdu_associate_parse(body_of(fx), NX_PDU_ASSOCIATE_RQ, fx->arena, &b, &fx->err),
		NX_E_MALFORMED);
}

static void test_uids(void **state)
{
	char uid[NX_LIMIT_UID + 1];
	char longest[66];

	(void)state;
	memset(longest, '1', sizeof(longest));
	assert_true(nx_pdu_uid(nx_slice("1.2.3\0", 6), uid));
	assert_string_equal(uid, "1.2.3");
	assert_true(nx_pdu_uid(nx_slice("1.2.3 ", 6), uid));
	assert_true(nx_pdu_uid(nx_slice(longest, 64), uid));
	assert_false(nx_pdu_uid(nx_slice(longest, 65), uid));
	assert_false(nx_pdu_uid(nx_slice("", 0), uid));
	assert_false(nx_pdu_uid(nx_slice("1.2.a", 5), uid));
	assert_false(nx_pdu_uid(nx_slice("1\0.2", 4), uid));
}

static void test_pdv_header_limits(void **state)
{
	static const struct {
		uint8_t bytes[6];
		bool good;
	} cases[] = {
		{{0, 0, 0, 0, 1, 0}, false},
		{{0, 0, 0, 1, 1, 0}, false},
		{{0, 0, 0, 2, 1, 0}, true},
		{{0, 0, 0, 3, 1, 0}, false},
		{{0xff, 0xff, 0xff, 0xfe, 1, 3}, true},
	};
	struct nx_pdv_header pdv;

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++)
		assert_int_equal(nx_pdv_header_parse(cases[i].bytes, &pdv), cases[i].good);
	assert_int_equal(pdv.len, 0xfffffffc);
	assert_int_equal(pdv.flags, NX_PDV_COMMAND | NX_PDV_LAST);
}

static void test_fragments_fit_the_peer_and_are_even(void **state)
{
	static const uint32_t sizes[] = {64, 65, 100, 4096, 0};
	struct fixture *fx = *state;
	uint8_t bytes[1000] = {0};

	for (size_t i = 0; i < NX_ARRAY_LEN(sizes); i++) {
		size_t at = 0, sum = 0;

		nx_buf_clear(&fx->out);
		nx_pdu_data_format(&fx->out, 1, false, nx_slice(bytes, sizeof(bytes)), sizes[i]);
		while (at < fx->out.len) {
			struct nx_pdu_header pdu = nx_pdu_header_parse(fx->out.data + at);
			struct nx_pdv_header pdv;

			assert_true(sizes[i] == 0 || pdu.len <= sizes[i]);
			assert_true(nx_pdv_header_parse(fx->out.data + at + 6, &pdv));
			sum += pdv.len;
			at += 6 + pdu.len;
			assert_int_equal(pdv.flags, at == fx->out.len ? NX_PDV_LAST : 0);
		}
		assert_int_equal(sum, sizeof(bytes));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_request_survives_format_and_parse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_nul_ends_no_title, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_answer_carries_results_and_identity_response, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_every_prefix_is_refused_or_shorter, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_even_and_repeated_context_ids_are_malformed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_identity_is_read, setup, teardown),
		cmocka_unit_test(test_uids),
		cmocka_unit_test(test_pdv_header_limits),
		cmocka_unit_test_setup_teardown(
			test_fragments_fit_the_peer_and_are_even, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

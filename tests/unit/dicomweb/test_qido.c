#include "nx_test.h"

#include <string.h>

#include "base/arena.h"
#include "dicomweb/dicomweb_priv.h"
#include "nx_torture.h"

struct fixture {
	struct nx_arena *arena;
	struct dw_query query;
};

static int setup(void **state)
{
	static struct fixture fx;

	fx.arena = nx_arena_new(1 << 20, 0);
	dw_query_init(&fx.query, NX_LEVEL_SERIES);
	*state = &fx;
	return fx.arena ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;

	dw_query_done(&fx->query);
	nx_arena_free(fx->arena);
	return 0;
}

static nx_rc param(struct fixture *fx, const char *name, const char *value)
{
	return dw_query_param(&fx->query, name, value, fx->arena, NULL);
}

static void expect_key(const struct fixture *fx, size_t i, uint32_t tag, const char *value)
{
	assert_true(i < fx->query.n_keys);
	assert_int_equal(fx->query.keys[i].tag, tag);
	assert_string_equal(fx->query.keys[i].value, value);
}

static void test_keywords_and_tags_are_keys(void **state)
{
	struct fixture *fx = *state;

	assert_rc(param(fx, "PatientName", "A^B, C"), NX_OK);
	assert_rc(param(fx, "0020000d", "1.2,1.3\\1.4"), NX_OK);
	assert_rc(param(fx, "Modality", "CT,MR"), NX_OK);
	assert_rc(param(fx, "StudyDescription", ""), NX_OK);
	assert_int_equal(fx->query.n_keys, 4);
	expect_key(fx, 0, 0x00100010, "A^B, C"); /* a comma in text is a comma */
	expect_key(fx, 1, 0x0020000d, "1.2\\1.3\\1.4");
	expect_key(fx, 2, 0x00080060, "CT\\MR");
	expect_key(fx, 3, 0x00081030, "");
	assert_int_equal(fx->query.ignored.len, 0);
}

static void test_what_was_asked_for_is_in_the_results(void **state)
{
	struct fixture *fx = *state;

	assert_false(fx->query.with_study);
	assert_rc(param(fx, "Modality", "CT"), NX_OK);
	assert_false(fx->query.with_study);
	assert_true(fx->query.with_series);
	assert_rc(param(fx, "includefield", "00080060,PatientID"), NX_OK);
	assert_true(fx->query.with_study);
	fx->query.with_study = false;
	assert_rc(param(fx, "includefield", "ALL"), NX_OK);
	assert_true(fx->query.with_study);
	assert_rc(param(fx, "includefield", "00400275.00400009"), NX_OK);
	assert_rc(param(fx, "includefield", "NoSuchThing"), NX_E_INVAL);
}

static void test_what_is_not_matched_is_named(void **state)
{
	struct fixture *fx = *state;

	assert_rc(param(fx, "NoSuchThing", "1"), NX_OK);
	assert_rc(param(fx, "SOPInstanceUID", "1.2"), NX_OK); /* of the level below */
	assert_rc(param(fx, "00400275.NoSuch", "1"), NX_OK);
	assert_rc(param(fx, "PatientName.PatientID", "1"), NX_OK);
	assert_rc(param(fx, "00400275.00280010", "1"), NX_OK);                /* Rows: no text */
	assert_rc(param(fx, "AnatomicRegionSequence.CodeValue", "1"), NX_OK); /* of instances */
	assert_rc(param(fx, "\"\r\nX: y", "1"), NX_OK);
	assert_int_equal(fx->query.n_keys, 0);
	assert_null(fx->query.sequences);
	assert_string_equal(nx_buf_cstr(&fx->query.ignored),
		"NoSuchThing, SOPInstanceUID, 00400275.NoSuch, PatientName.PatientID, "
		"00400275.00280010, AnatomicRegionSequence.CodeValue");
	for (int i = 0; i < 1000; i++)
		assert_rc(param(fx, "NoSuchThingEither", "1"), NX_OK);
	assert_rc(nx_buf_check(&fx->query.ignored, NULL), NX_OK);
}

static void test_keys_in_sequences_are_of_one_item(void **state)
{
	struct fixture *fx = *state;
	const struct nx_dataset *item;

	assert_rc(param(fx, "includefield", "ProcedureCodeSequence,00400275"), NX_OK);
	assert_rc(param(fx, "RequestAttributesSequence.ScheduledProcedureStepID", "S1"), NX_OK);
	assert_rc(param(fx, "00400275.00401001", "R*"), NX_OK);
	assert_rc(param(fx, "00400275.ScheduledProtocolCodeSequence.CodeValue", "P"), NX_OK);
	assert_int_equal(fx->query.n_keys, 0);
	assert_int_equal(fx->query.ignored.len, 0);
	assert_int_equal(fx->query.sequences->n, 2);
	assert_int_equal(fx->query.sequences->elems[0].tag, 0x00081032);
	assert_int_equal(fx->query.sequences->elems[0].n_items, 0);
	assert_int_equal(fx->query.sequences->elems[1].tag, 0x00400275);
	assert_int_equal(fx->query.sequences->elems[1].n_items, 1);
	item = fx->query.sequences->elems[1].items[0];
	assert_int_equal(item->n, 3);
	assert_string_equal(nx_dataset_text(item, 0x00400009, fx->arena), "S1");
	assert_string_equal(nx_dataset_text(item, 0x00401001, fx->arena), "R*");
	item = item->elems[0].items[0];
	assert_string_equal(nx_dataset_text(item, 0x00080100, fx->arena), "P");
}

static void test_numbers(void **state)
{
	struct fixture *fx = *state;

	assert_rc(param(fx, "limit", "4294967295"), NX_OK);
	assert_rc(param(fx, "offset", "0"), NX_OK);
	assert_true(fx->query.limit == 4294967295u);
	assert_rc(param(fx, "limit", "4294967296"), NX_E_INVAL);
	assert_rc(param(fx, "limit", "-1"), NX_E_INVAL);
	assert_rc(param(fx, "limit", ""), NX_E_INVAL);
	assert_rc(param(fx, "offset", "1x"), NX_E_INVAL);
	assert_rc(param(fx, "fuzzymatching", "true"), NX_OK);
	assert_true(fx->query.fuzzy);
	assert_rc(param(fx, "fuzzymatching", "false"), NX_OK);
	assert_false(fx->query.fuzzy);
}

static void test_keys_have_a_limit(void **state)
{
	struct fixture *fx = *state;

	for (unsigned i = 0; i < NX_LIMIT_QUERY_KEYS; i++)
		assert_rc(param(fx, i % 2 ? "PatientID" : "00400275.00400009", "1"), NX_OK);
	assert_rc(param(fx, "PatientID", "1"), NX_E_LIMIT);
	assert_rc(param(fx, "00400275.00400009", "1"), NX_E_LIMIT);
}

static nx_rc one_use(void *payload)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(1 << 20, 0);
	struct dw_query query;
	nx_rc rc;

	(void)payload;
	if (!arena)
		return NX_E_NOMEM;
	dw_query_init(&query, NX_LEVEL_INSTANCE);
	rc = dw_query_param(&query, "StudyInstanceUID", "1,2", arena, NULL);
	if (!rc)
		rc = dw_query_param(&query, "Nonsense", "1", arena, NULL);
	dw_query_done(&query);
	return rc;
}

static void test_without_memory(void **state)
{
	(void)state;
	(void)nx_torture(one_use, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_keywords_and_tags_are_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_what_was_asked_for_is_in_the_results, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_not_matched_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_keys_in_sequences_are_of_one_item, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_have_a_limit, setup, teardown),
		cmocka_unit_test(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

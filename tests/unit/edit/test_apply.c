/* What an edit makes of a data set, and which edits there are not. */
#include "base/arena.h"
#include "base/buf.h"
#include "edit/edit_priv.h"
#include "nx_test.h"
#include "nx_torture.h"

enum {
	ARENA_MAX = 1024 * 1024
};

static struct nx_dataset *dataset_make(struct nx_arena *arena, const char *charset)
{
	struct nx_dataset *ds = nx_dataset_new(arena, 8);

	if (!ds)
		return NULL;
	if (charset) {
		nx_dataset_put_text(ds, NX_TAG_SPECIFIC_CHARACTER_SET, charset);
		ds->charset = nx_slice_str(charset);
	}
	nx_dataset_put_text(ds, NX_TAG_ACCESSION_NUMBER, "A1");
	nx_dataset_put_text(ds, NX_TAG_PATIENT_NAME, charset ? "M\xfcller^Anna" : "DOE^JANE");
	return ds;
}

static nx_rc plan_make(const struct nx_edit_set *sets, size_t n, struct edit_plan *ret)
{
	const struct nx_edit_request request = {
		.level = NX_EDIT_STUDY, .sets = sets, .n_sets = n, .reason = "because"};

	return edit_plan_make(&request, ret, NULL);
}

static const struct nx_dataset *original_of(const struct nx_dataset *ds, size_t i)
{
	const struct nx_elem *list = nx_dataset_find(ds, NX_TAG_ORIGINAL_ATTRIBUTES_SEQUENCE);

	assert_non_null(list);
	assert_true(i < list->n_items);
	return nx_dataset_find(list->items[i], NX_TAG_MODIFIED_ATTRIBUTES_SEQUENCE)->items[0];
}

static void test_the_old_value_is_kept_beside_the_new_one(void **state)
{
	const struct nx_edit_set sets[] = {{NX_TAG_ACCESSION_NUMBER, "A2"}};
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	struct nx_dataset *ds = dataset_make(arena, NULL);
	struct edit_plan plan;
	uint32_t changed = 0;

	(void)state;
	assert_int_equal(plan_make(sets, 1, &plan), NX_OK);
	assert_int_equal(edit_apply(&plan, ds, arena, &changed, NULL), NX_OK);
	assert_int_equal(changed, 1);
	assert_string_equal(nx_dataset_text(ds, NX_TAG_ACCESSION_NUMBER, arena), "A2");
	assert_string_equal(
		nx_dataset_text(original_of(ds, 0), NX_TAG_ACCESSION_NUMBER, arena), "A1");
	assert_int_equal(edit_apply(&plan, ds, arena, &changed, NULL), NX_OK);
	assert_int_equal(changed, 0); /* it says so already */
}

static void test_text_of_another_repertoire_becomes_utf8(void **state)
{
	const struct nx_edit_set sets[] = {{NX_TAG_STUDY_DESCRIPTION, "\xce\xb1"}};
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	struct nx_dataset *ds = dataset_make(arena, "ISO_IR 100");
	struct edit_plan plan;
	uint32_t changed;

	(void)state;
	assert_int_equal(plan_make(sets, 1, &plan), NX_OK);
	assert_int_equal(edit_apply(&plan, ds, arena, &changed, NULL), NX_OK);
	assert_string_equal(
		nx_dataset_text(ds, NX_TAG_SPECIFIC_CHARACTER_SET, arena), "ISO_IR 192");
	assert_string_equal(nx_dataset_text(ds, NX_TAG_PATIENT_NAME, arena), "M\xc3\xbcller^Anna");
	assert_string_equal(
		nx_dataset_text(original_of(ds, 0), NX_TAG_SPECIFIC_CHARACTER_SET, arena),
		"ISO_IR 100");
}

static void test_what_is_no_value_or_cannot_be_edited_is_refused(void **state)
{
	static const struct nx_edit_set wrong[] = {
		{NX_TAG_STUDY_INSTANCE_UID, "1.2.3"},
		{NX_TAG_MODALITY, "CT"},
		{NX_TAG_ROWS, "12"},
		{NX_TAG_PATIENT_ID, ""},
		{NX_TAG_PATIENT_ID, "a\\b"},
		{NX_TAG_PATIENT_ID, "4711 "},
		{NX_TAG_PATIENT_ID, " 4711"},
		{NX_TAG_PATIENT_BIRTH_DATE, "1970"},
		{NX_TAG_PATIENT_BIRTH_DATE, "99999999"},
		{NX_TAG_PATIENT_BIRTH_DATE, "19701301"},
		{NX_TAG_PATIENT_SEX, "f"},
		{NX_TAG(0x0010, 0x1010), "DDDD"},           /* AS */
		{NX_TAG(0x0010, 0x1030), "eeee"},           /* DS */
		{NX_TAG(0x0008, 0x002a), "20260101250000"}, /* DT */
		{NX_TAG(0x0020, 0x0013), "1-2"},            /* IS */
		{NX_TAG(0x0008, 0x0030), "2500"},           /* TM */
		{NX_TAG(0x0020, 0x0052), "1..2"},           /* UI */
		{NX_TAG(0x0020, 0x0052), "1.02"},
		{NX_TAG_STUDY_DESCRIPTION,
			"a\xc2\x85"
			"b"}, /* U+0085 */
		{NX_TAG_ACCESSION_NUMBER, "more than 16 characters"},
		{NX_TAG_STUDY_DESCRIPTION, "two\nlines"},
		{NX_TAG_ORIGINAL_ATTRIBUTES_SEQUENCE, NULL},
		{NX_TAG(0x0009, 0x1001), "private"},
	};
	struct edit_plan plan;

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(wrong); i++)
		if (plan_make(&wrong[i], 1, &plan) != NX_E_INVAL)
			fail_msg("%08x", (unsigned)wrong[i].tag);
	assert_int_equal(plan_make(NULL, 0, &plan), NX_E_INVAL);
}

static void test_what_is_a_value_is_taken(void **state)
{
	static const struct nx_edit_set right[] = {
		{NX_TAG_PATIENT_BIRTH_DATE, ""},
		{NX_TAG_PATIENT_BIRTH_DATE, "19701231"},
		{NX_TAG_PATIENT_SEX, "F"},
		{NX_TAG(0x0010, 0x1010), "042Y"},
		{NX_TAG(0x0010, 0x1030), "-70.5e+1"},
		{NX_TAG(0x0008, 0x002a), "2026"},
		{NX_TAG(0x0008, 0x002a), "20260131235960.123456+0100"},
		{NX_TAG(0x0020, 0x0013), "-12"},
		{NX_TAG(0x0008, 0x0030), "23"},
		{NX_TAG(0x0008, 0x0030), "235960.5"},
		{NX_TAG(0x0020, 0x0052), "1.0.2"},
		{NX_TAG(0x0008, 0x0008), "ORIGINAL\\PRIMARY"},
		{NX_TAG_STUDY_DESCRIPTION, "\xc3\x85\xc2\xa0x"},
	};
	struct edit_plan plan;

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(right); i++)
		if (plan_make(&right[i], 1, &plan))
			fail_msg("%08x %s", (unsigned)right[i].tag, right[i].value);
}

static nx_rc apply_once(void *payload)
{
	const struct nx_edit_set sets[] = {
		{NX_TAG_ACCESSION_NUMBER, "A2"}, {NX_TAG_STUDY_DESCRIPTION, "\xce\xb1"}};
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	struct nx_dataset *ds = arena ? dataset_make(arena, "ISO_IR 100") : NULL;
	struct edit_plan plan;
	uint32_t changed;
	nx_rc rc;

	(void)payload;
	if (!ds)
		return NX_E_NOMEM;
	rc = plan_make(sets, 2, &plan);
	return rc ? rc : edit_apply(&plan, ds, arena, &changed, NULL);
}

static void test_without_memory_nothing_leaks(void **state)
{
	(void)state;
	assert_true(nx_torture(apply_once, NULL) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_old_value_is_kept_beside_the_new_one),
		cmocka_unit_test(test_text_of_another_repertoire_becomes_utf8),
		cmocka_unit_test(test_what_is_no_value_or_cannot_be_edited_is_refused),
		cmocka_unit_test(test_what_is_a_value_is_taken),
		cmocka_unit_test(test_without_memory_nothing_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "nx_test.h"

#include <string.h>

#include "catalog/catalog.h"
#include "deid/deid_priv.h"

static const struct nx_key vault = {{9}};

static void subject_make(struct deid_subject *s, const char *collection, uint64_t subject)
{
	const struct nx_collection to = {.name = collection, .project = "test"};

	deid_subject_init(s, &vault, &to, subject);
}

static void test_a_shift_of_whole_days_keeps_the_calendar(void **state)
{
	static const struct {
		int days;
		const char *from;
		const char *to;
	} facts[] = {
		{-1, "20240301", "20240229"},
		{-1, "20230301", "20230228"},
		{-1, "20240101", "20231231"},
		{-1, "19000301", "19000228"}, /* no leap year */
		{-1, "20000301", "20000229"},
		{-366, "20241231", "20231231"},
		{-3652, "20240229", "20140301"},
		{-3652, "01000101", "00900101"},
	};
	struct deid_subject s = {.subject = 1};
	char got[9] = "";

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(facts); i++) {
		s.shift_days = facts[i].days;
		assert_true(deid_date(&s, facts[i].from, got));
		assert_string_equal(got, facts[i].to);
	}
}

static void test_what_is_no_date_is_refused(void **state)
{
	static const char *const bad[] = {
		"20230229", "20241301", "20240001", "20240100", "2024010a", "        ", "00500101"};
	struct deid_subject s = {.shift_days = -1};
	char got[8];

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
		assert_false(deid_date(&s, bad[i], got));
}

static void test_collections_cannot_be_joined(void **state)
{
	struct deid_subject a, b, again, other;
	char ua[NX_LIMIT_UID + 1], ub[NX_LIMIT_UID + 1];

	(void)state;
	subject_make(&a, "one", 7);
	subject_make(&again, "one", 7);
	subject_make(&b, "two", 7);
	subject_make(&other, "one", 8);
	assert_string_equal(a.pseudonym, again.pseudonym);
	assert_string_not_equal(a.pseudonym, b.pseudonym);
	assert_string_not_equal(a.pseudonym, other.pseudonym);
	assert_true(a.shift_days < 0 && a.shift_days >= -3652);
	deid_uid(&a, nx_slice_str("1.2.3"), ua);
	deid_uid(&b, nx_slice_str("1.2.3"), ub);
	assert_string_not_equal(ua, ub);
	deid_uid(&other, nx_slice_str("1.2.3"), ub); /* references hold across patients */
	assert_string_equal(ua, ub);
	assert_true(nx_uid_valid(ua, strlen(ua)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_shift_of_whole_days_keeps_the_calendar),
		cmocka_unit_test(test_what_is_no_date_is_refused),
		cmocka_unit_test(test_collections_cannot_be_joined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

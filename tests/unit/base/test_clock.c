#include "nx_test.h"

#include "base/clock.h"

static void test_times_are_rfc_3339_with_microseconds(void **state)
{
	static const struct {
		int64_t us;
		const char *text;
	} cases[] = {
		{0, "1970-01-01T00:00:00.000000Z"},
		{1, "1970-01-01T00:00:00.000001Z"},
		{-1, "1969-12-31T23:59:59.999999Z"},
		{-1000000, "1969-12-31T23:59:59.000000Z"},
		{1769847330123456, "2026-01-31T08:15:30.123456Z"},
		{951782400000000, "2000-02-29T00:00:00.000000Z"},
		{253402300799999999, "9999-12-31T23:59:59.999999Z"},
	};

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		char text[NX_TIME_TEXT];

		nx_time_format(cases[i].us, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void test_the_ends_of_time_fit_the_text(void **state)
{
	char text[NX_TIME_TEXT];

	(void)state;
	nx_time_format(INT64_MAX, text);
	assert_non_null(strstr(text, ".775807Z"));
	nx_time_format(INT64_MIN, text);
	assert_non_null(strstr(text, ".224192Z"));
}

static void test_monotonic_time_never_goes_back(void **state)
{
	int64_t last = nx_mono_us();

	(void)state;
	for (int i = 0; i < 10000; i++) {
		int64_t now = nx_mono_us();

		assert_true(now >= last);
		last = now;
	}
	assert_true(nx_now_us() > 1700000000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times_are_rfc_3339_with_microseconds),
		cmocka_unit_test(test_the_ends_of_time_fit_the_text),
		cmocka_unit_test(test_monotonic_time_never_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "nx_test.h"

#include "http/http.h"

static const char *const offers[] = {
	"application/dicom+json",
	"multipart/related; type=\"application/dicom+xml\"",
	"multipart/related;type=\"application/dicom\"",
	"application/octet-stream",
};

static void expect(const char *accept, int want)
{
	int got = nx_http_accept(accept, offers, NX_ARRAY_LEN(offers));

	if (got != want)
		print_error("\"%s\": %d, not %d\n", accept ? accept : "(null)", got, want);
	assert_int_equal(got, want);
}

static void test_no_preference_takes_the_first_offer(void **state)
{
	(void)state;
	expect(NULL, 0);
	expect("", 0);
	expect("  ", 0);
	expect("*/*", 0);
	assert_int_equal(nx_http_accept(NULL, NULL, 0), -1);
}

static void test_media_types_match_in_all_their_spellings(void **state)
{
	(void)state;
	expect("application/dicom+json", 0);
	expect("Application/DICOM+json", 0);
	expect("\"application/dicom+json\"", 0);
	expect("application/json", 0);
	expect("application/*", 0);
	expect("multipart/related; type=\"application/dicom\"", 2);
	expect("multipart/related; type=application/dicom", 2);
	expect("multipart/related;type = \"application/dicom\" ; transfer-syntax=*", 2);
	expect("multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.840.10008.1.2.1",
		2);
	expect("multipart/related", 1);
	expect("application/octet-stream", 3);
}

static void test_one_satisfiable_member_is_enough(void **state)
{
	(void)state;
	expect("image/jpeg, text/html;level=1, application/octet-stream", 3);
	expect(",,nonsense,/,a/,application/octet-stream", 3);
	expect("multipart/related; type=\"image/jp2\", multipart/related; type=\"application/dicom\"",
		2);
	expect("text/plain; note=\"a, b\", application/octet-stream", 3);
}

static void test_nothing_acceptable_is_minus_one(void **state)
{
	(void)state;
	expect("image/jpeg", -1);
	expect("multipart/related; type=\"image/jp2\"", -1);
	expect("multipart/form-data", -1);
	expect("application/octet-stream;q=0", -1);
	expect("*/*;q=0.0", -1);
}

static void test_an_explicit_offer_wants_its_type_and_syntax_named(void **state)
{
	static const char *const some[] = {
		"application/octet-stream; transfer-syntax=1.2; explicit="};

	(void)state;
	assert_int_equal(nx_http_accept("application/octet-stream; transfer-syntax=*", some, 1), 0);
	assert_int_equal(
		nx_http_accept("application/octet-stream; transfer-syntax=\"1.2\"", some, 1), 0);
	assert_int_equal(nx_http_accept("application/octet-stream", some, 1), -1);
	assert_int_equal(
		nx_http_accept("application/octet-stream; transfer-syntax=1", some, 1), -1);
	assert_int_equal(nx_http_accept("*/*", some, 1), -1);
	assert_int_equal(nx_http_accept("application/*; transfer-syntax=*", some, 1), -1);
}

static void test_weights_decide(void **state)
{
	(void)state;
	expect("application/dicom+json;q=0.5, application/octet-stream;q=0.9", 3);
	expect("application/dicom+json;q=0.5, application/octet-stream;q=0.499", 0);
	expect("*/*;q=0.1, multipart/related;type=\"application/dicom\";q=0.2", 2);
	expect("application/octet-stream;q=1.5, application/dicom+json;q=0.9", 3);
}

static void test_the_closest_range_gives_the_weight(void **state)
{
	(void)state;
	expect("application/*, application/dicom+json;q=0", 3);
	expect("*/*, application/dicom+json;q=0, multipart/*;q=0.1", 3);
	expect("application/json;q=0, application/dicom+json", 0);
}

static void test_a_named_type_goes_before_a_wildcard(void **state)
{
	(void)state;
	expect("multipart/related; type=\"application/dicom\", */*", 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_preference_takes_the_first_offer),
		cmocka_unit_test(test_media_types_match_in_all_their_spellings),
		cmocka_unit_test(test_one_satisfiable_member_is_enough),
		cmocka_unit_test(test_nothing_acceptable_is_minus_one),
		cmocka_unit_test(test_an_explicit_offer_wants_its_type_and_syntax_named),
		cmocka_unit_test(test_weights_decide),
		cmocka_unit_test(test_the_closest_range_gives_the_weight),
		cmocka_unit_test(test_a_named_type_goes_before_a_wildcard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

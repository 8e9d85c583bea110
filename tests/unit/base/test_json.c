#include "nx_test.h"

#include <math.h>

#include "base/buf.h"
#include "base/json.h"

static void test_nesting_and_commas(void **state)
{
	NX_AUTO_DONE(nx_buf) buf;
	struct nx_json json;

	(void)state;
	nx_buf_init(&buf, 1024, 0);
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	nx_json_kv_int(&json, "a", -1);
	nx_json_key(&json, "b");
	nx_json_array_begin(&json);
	nx_json_bool(&json, true);
	nx_json_null(&json);
	nx_json_double(&json, 0.1);
	nx_json_double(&json, (double)NAN);
	nx_json_array_end(&json);
	nx_json_kv_hex(&json, "c", "\x01\xff", 2);
	nx_json_object_end(&json);
	assert_string_equal(
		nx_buf_cstr(&buf), "{\"a\":-1,\"b\":[true,null,0.1,\"NaN\"],\"c\":\"01ff\"}");
}

static void test_bad_utf8_becomes_replacement_character(void **state)
{
	NX_AUTO_DONE(nx_buf) buf;
	struct nx_json json;

	(void)state;
	nx_buf_init(&buf, 1024, 0);
	nx_json_init(&json, &buf);
	nx_json_str_n(&json, "a\xff\xc3\xa9\xed\xa0\x80\n\"\\\x01", 11);
	assert_string_equal(nx_buf_cstr(&buf),
		"\"a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\\n\\\"\\\\\\u0001\"");
}

static void test_numbers_read_back_as_themselves(void **state)
{
	static const double values[] = {0, -0.5, 0.1, 1.0 / 3, 1e300, 5e-324, 123456789012345678.0};
	NX_AUTO_DONE(nx_buf) buf;
	struct nx_json json;

	(void)state;
	nx_buf_init(&buf, 1024, 0);
	for (size_t i = 0; i < NX_ARRAY_LEN(values); i++) {
		nx_buf_clear(&buf);
		nx_json_init(&json, &buf);
		nx_json_double(&json, values[i]);
		assert_true(strtod(nx_buf_cstr(&buf), NULL) == values[i]);
	}
	nx_buf_clear(&buf);
	nx_json_init(&json, &buf);
	nx_json_array_begin(&json);
	nx_json_int(&json, INT64_MIN);
	nx_json_uint(&json, UINT64_MAX);
	nx_json_double(&json, (double)INFINITY);
	nx_json_double(&json, -(double)INFINITY);
	nx_json_array_end(&json);
	assert_string_equal(
		nx_buf_cstr(&buf), "[-9223372036854775808,18446744073709551615,\"inf\",\"-inf\"]");
}

static void test_truncated_and_overlong_utf8_is_replaced(void **state)
{
	static const struct {
		const char *in;
		const char *out;
	} cases[] = {
		{"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xf0\x9f\xa9\xba", "\"\xf0\x9f\xa9\xba\""},
		{"", "\"\""},
	};
	NX_AUTO_DONE(nx_buf) buf;
	struct nx_json json;

	(void)state;
	nx_buf_init(&buf, 1024, 0);
	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		nx_buf_clear(&buf);
		nx_json_init(&json, &buf);
		nx_json_str(&json, cases[i].in);
		assert_string_equal(nx_buf_cstr(&buf), cases[i].out);
	}
}

static void test_every_kind_of_value_in_an_object(void **state)
{
	NX_AUTO_DONE(nx_buf) buf;
	struct nx_json json;

	(void)state;
	nx_buf_init(&buf, 1024, 0);
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "none", NULL);
	nx_json_kv_uint(&json, "u", 7);
	nx_json_kv_bool(&json, "no", false);
	nx_json_key(&json, "b64");
	nx_json_base64(&json, "foob", 4);
	nx_json_key(&json, "raw");
	nx_json_raw(&json, nx_slice_str("{}"));
	nx_json_key(&json, "empty");
	nx_json_array_begin(&json);
	nx_json_array_end(&json);
	nx_json_object_end(&json);
	assert_string_equal(nx_buf_cstr(&buf),
		"{\"none\":null,\"u\":7,\"no\":false,\"b64\":\"Zm9vYg==\",\"raw\":{},\"empty\":[]}");
}

static void test_a_full_buffer_is_reported_by_the_buffer(void **state)
{
	NX_AUTO_DONE(nx_buf) buf;
	struct nx_json json;

	(void)state;
	nx_buf_init(&buf, 8, 0);
	nx_json_init(&json, &buf);
	nx_json_array_begin(&json);
	nx_json_base64(&json, "0123456789", 10);
	nx_json_str(&json, "more");
	nx_json_array_end(&json);
	assert_rc(nx_buf_check(&buf, NULL), NX_E_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nesting_and_commas),
		cmocka_unit_test(test_bad_utf8_becomes_replacement_character),
		cmocka_unit_test(test_truncated_and_overlong_utf8_is_replaced),
		cmocka_unit_test(test_numbers_read_back_as_themselves),
		cmocka_unit_test(test_every_kind_of_value_in_an_object),
		cmocka_unit_test(test_a_full_buffer_is_reported_by_the_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

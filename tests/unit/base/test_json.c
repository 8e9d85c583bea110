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
	nx_json_double(&json, NAN);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nesting_and_commas),
		cmocka_unit_test(test_bad_utf8_becomes_replacement_character),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

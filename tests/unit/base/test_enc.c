#include "nx_test.h"

#include "base/enc.h"
#include "base/enc_priv.h"
#include "base/secret.h"

static void test_hex_both_ways(void **state)
{
	static const uint8_t b[] = {0x00, 0x1f, 0xa0, 0xff};
	uint8_t got[4];
	char text[9];

	(void)state;
	nx_hex_format(b, 4, text);
	assert_string_equal(text, "001fa0ff");
	assert_true(nx_hex_parse("001FA0ff", got, 4));
	assert_memory_equal(got, b, 4);
	nx_hex_format(NULL, 0, text);
	assert_string_equal(text, "");
	assert_true(nx_hex_parse("", got, 0));
}

static void test_hex_of_other_length_or_digits_is_refused(void **state)
{
	uint8_t got[2];

	(void)state;
	assert_false(nx_hex_parse("001", got, 2));
	assert_false(nx_hex_parse("00112", got, 2));
	assert_false(nx_hex_parse("001122", got, 2));
	assert_false(nx_hex_parse("00g1", got, 2));
	assert_false(nx_hex_parse("00 1", got, 2));
	assert_false(nx_hex_parse("+011", got, 2));
}

/* RFC 4648 section 10. */
static const struct {
	const char *plain;
	const char *text;
} base64_cases[] = {
	{"", ""},
	{"f", "Zg=="},
	{"fo", "Zm8="},
	{"foo", "Zm9v"},
	{"foob", "Zm9vYg=="},
	{"fooba", "Zm9vYmE="},
	{"foobar", "Zm9vYmFy"},
	{"\xfb\xff\xfe", "+//+"},
};

static void test_base64_both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(base64_cases); i++) {
		const char *plain = base64_cases[i].plain;
		const char *want = base64_cases[i].text;
		uint8_t got[8];
		char text[16];
		size_t n = 99;

		nx_base64_format(plain, strlen(plain), text);
		assert_string_equal(text, want);
		assert_u64(strlen(text), NX_BASE64_LEN(strlen(plain)));
		assert_true(nx_base64_parse(want, strlen(want), got, sizeof(got), &n));
		assert_u64(n, strlen(plain));
		assert_memory_equal(got, plain, n);
	}
}

static void test_base64_is_strict(void **state)
{
	static const char *const bad[] = {"Z", "Zg",
		"Zg=", "Zg==Zg==", "=Zg=", "Z===", "====", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "Zm-_",
		"Zg==\n\n\n\n"};
	uint8_t got[16];
	size_t n = 99;

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
		assert_false(nx_base64_parse(bad[i], strlen(bad[i]), got, sizeof(got), &n));
	assert_false(nx_base64_parse("Zm\0v", 4, got, sizeof(got), &n));
	assert_u64(n, 99);
}

static void test_base64_stays_within_the_capacity(void **state)
{
	uint8_t got[4] = {0, 0, 0, 0xee};
	size_t n = 99;

	(void)state;
	assert_false(nx_base64_parse("Zm9vYg==", 8, got, 3, &n));
	assert_int_equal(got[3], 0xee);
	assert_true(nx_base64_parse("Zm9vYg==", 8, got, 4, &n));
	assert_u64(n, 4);
}

static void test_crc32c_vectors(void **state)
{
	uint8_t b[32];

	(void)state;
	assert_u64(nx_crc32c(0, "123456789", 9), 0xe3069283);
	assert_u64(nx_crc32c(0, NULL, 0), 0);
	/* RFC 3720 B.4 */
	memset(b, 0, 32);
	assert_u64(nx_crc32c(0, b, 32), 0x8a9136aa);
	memset(b, 0xff, 32);
	assert_u64(nx_crc32c(0, b, 32), 0x62a8ab43);
	for (uint8_t i = 0; i < 32; i++)
		b[i] = i;
	assert_u64(nx_crc32c(0, b, 32), 0x46dd794e);
}

static void test_crc32c_in_parts_and_without_the_instruction(void **state)
{
	uint8_t b[300];

	(void)state;
	nx_random(b, sizeof(b));
	for (size_t n = 0; n <= sizeof(b); n++) {
		uint32_t whole = nx_crc32c(0, b, sizeof(b));

		assert_u64(nx_crc32c(nx_crc32c(0, b, n), b + n, sizeof(b) - n), whole);
		assert_u64(nx_crc32c(0, b, n), ~nx_crc32c_soft(~0u, b, n));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hex_both_ways),
		cmocka_unit_test(test_hex_of_other_length_or_digits_is_refused),
		cmocka_unit_test(test_base64_both_ways),
		cmocka_unit_test(test_base64_is_strict),
		cmocka_unit_test(test_base64_stays_within_the_capacity),
		cmocka_unit_test(test_crc32c_vectors),
		cmocka_unit_test(test_crc32c_in_parts_and_without_the_instruction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "nx_test.h"

#include "base/buf.h"
#include "nx_torture.h"

static void test_integers_have_the_stated_byte_order(void **state)
{
	static const uint8_t want[] = {0x01, 0x02, 0x01, 0x04, 0x03, 0x02, 0x01, 0x08, 0x07, 0x06,
		0x05, 0x04, 0x03, 0x02, 0x01, 0x01, 0x02, 0x01, 0x02, 0x03, 0x04, 0x01, 0x02, 0x03,
		0x04, 0x05, 0x06, 0x07, 0x08};
	NX_AUTO_DONE(nx_buf) buf;

	(void)state;
	nx_buf_init(&buf, 1024, 0);
	nx_buf_put_u8(&buf, 1);
	nx_buf_put_u16le(&buf, 0x0102);
	nx_buf_put_u32le(&buf, 0x01020304);
	nx_buf_put_u64le(&buf, 0x0102030405060708);
	nx_buf_put_u16be(&buf, 0x0102);
	nx_buf_put_u32be(&buf, 0x01020304);
	nx_buf_put_u64be(&buf, 0x0102030405060708);
	assert_u64(buf.len, sizeof(want));
	assert_memory_equal(buf.data, want, sizeof(want));
}

static void test_varint_bytes(void **state)
{
	static const struct {
		uint64_t v;
		size_t n;
		const char *bytes;
	} cases[] = {
		{0, 1, "\x00"},
		{0x7f, 1, "\x7f"},
		{0x80, 2, "\x80\x01"},
		{0x3fff, 2, "\xff\x7f"},
		{300, 2, "\xac\x02"},
		{UINT64_MAX, 10, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
	};
	NX_AUTO_DONE(nx_buf) buf;

	(void)state;
	nx_buf_init(&buf, 1024, 0);
	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		nx_buf_clear(&buf);
		nx_buf_put_varint(&buf, cases[i].v);
		assert_u64(buf.len, cases[i].n);
		assert_memory_equal(buf.data, cases[i].bytes, cases[i].n);
	}
}

static void test_limit_is_sticky_until_clear(void **state)
{
	NX_AUTO_DONE(nx_buf) buf;
	struct nx_err err = {0};

	(void)state;
	nx_buf_init(&buf, 10, 0);
	nx_buf_put_str(&buf, "12345678");
	assert_ok(nx_buf_check(&buf, &err), &err);
	nx_buf_put_str(&buf, "abc");
	nx_buf_put_u8(&buf, 'x'); /* would fit, but comes after the failure */
	assert_u64(buf.len, 8);
	assert_rc(nx_buf_check(&buf, &err), NX_E_LIMIT);
	assert_string_equal(nx_err_text(&err), "buffer would pass its limit of 10 bytes");
	assert_null(nx_buf_cstr(&buf));
	nx_buf_clear(&buf);
	nx_buf_put_str(&buf, "1234567890");
	assert_ok(nx_buf_check(&buf, &err), &err);
	assert_u64(buf.len, 10);
}

static void test_the_full_limit_can_be_used(void **state)
{
	NX_AUTO_DONE(nx_buf) buf;

	(void)state;
	nx_buf_init(&buf, 1000, NX_BUF_WIPE);
	for (int i = 0; i < 1000; i++)
		nx_buf_put_u8(&buf, (uint8_t)i);
	assert_rc(nx_buf_check(&buf, NULL), NX_OK);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf.data[i], i & 255);
	nx_buf_put_u8(&buf, 0);
	assert_rc(nx_buf_check(&buf, NULL), NX_E_LIMIT);
}

static void test_reserve_of_nothing_succeeds(void **state)
{
	NX_AUTO_DONE(nx_buf) buf;

	(void)state;
	nx_buf_init(&buf, 16, 0);
	assert_non_null(nx_buf_reserve(&buf, 0));
	assert_rc(nx_buf_check(&buf, NULL), NX_OK);
	assert_u64(buf.len, 0);
}

static void test_enormous_sizes_fail_and_do_not_wrap(void **state)
{
	NX_AUTO_DONE(nx_buf) buf;

	(void)state;
	nx_buf_init(&buf, SIZE_MAX, 0);
	nx_buf_put_u8(&buf, 1);
	assert_null(nx_buf_reserve(&buf, SIZE_MAX));
	assert_rc(nx_buf_check(&buf, NULL), NX_E_LIMIT);
	nx_buf_clear(&buf);
	(void)nx_torture_arm(1); /* the sanitizer would stop at such a size */
	assert_null(nx_buf_reserve(&buf, SIZE_MAX - 1));
	assert_true(nx_torture_arm(0));
	assert_rc(nx_buf_check(&buf, NULL), NX_E_NOMEM);
}

static void test_text_and_blobs(void **state)
{
	NX_AUTO_DONE(nx_buf) buf;

	(void)state;
	nx_buf_init(&buf, 1024, 0);
	nx_buf_printf(&buf, "%s=%d;", "a", 5);
	nx_buf_put_blob(&buf, nx_slice_str("xyz"));
	nx_buf_put_zero(&buf, 2);
	nx_buf_put(&buf, NULL, 0);
	nx_buf_put_slice(&buf, nx_slice_str(NULL));
	assert_u64(buf.len, 10);
	assert_memory_equal(buf.data, "a=5;\x03xyz\0\0", 10);
	assert_true(nx_slice_eq(nx_buf_slice(&buf), nx_slice("a=5;\x03xyz\0\0", 10)));
	nx_buf_clear(&buf);
	assert_string_equal(nx_buf_cstr(&buf), "");
}

static void test_wiped_memory_holds_nothing_after_clear(void **state)
{
	NX_AUTO_DONE(nx_buf) buf;

	(void)state;
	nx_buf_init(&buf, 1024, NX_BUF_WIPE);
	nx_buf_put_str(&buf, "secret");
	nx_buf_clear(&buf);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(buf.data[i], 0);
}

static void test_done_leaves_a_usable_buffer(void **state)
{
	struct nx_buf buf;

	(void)state;
	nx_buf_init(&buf, 8, 0);
	nx_buf_put_str(&buf, "123456789");
	nx_buf_done(&buf);
	nx_buf_put_str(&buf, "12345678");
	assert_rc(nx_buf_check(&buf, NULL), NX_OK);
	nx_buf_done(&buf);
	nx_buf_done(&buf);
}

static nx_rc use_buf(void *payload)
{
	NX_AUTO_DONE(nx_buf) buf;

	(void)payload;
	nx_buf_init(&buf, 1 << 20, NX_BUF_WIPE);
	for (int i = 0; i < 1000; i++) {
		nx_buf_printf(&buf, "%d,", i);
		nx_buf_put_varint(&buf, (uint64_t)i);
		nx_buf_put_zero(&buf, 100);
	}
	(void)nx_buf_cstr(&buf);
	return nx_buf_check(&buf, NULL);
}

static void test_every_failing_allocation_is_reported(void **state)
{
	(void)state;
	assert_true(nx_torture(use_buf, NULL) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers_have_the_stated_byte_order),
		cmocka_unit_test(test_varint_bytes),
		cmocka_unit_test(test_limit_is_sticky_until_clear),
		cmocka_unit_test(test_the_full_limit_can_be_used),
		cmocka_unit_test(test_reserve_of_nothing_succeeds),
		cmocka_unit_test(test_enormous_sizes_fail_and_do_not_wrap),
		cmocka_unit_test(test_text_and_blobs),
		cmocka_unit_test(test_wiped_memory_holds_nothing_after_clear),
		cmocka_unit_test(test_done_leaves_a_usable_buffer),
		cmocka_unit_test(test_every_failing_allocation_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "nx_test.h"

#include "base/buf.h"
#include "base/rd.h"

static void test_integers_have_the_stated_byte_order(void **state)
{
	static const uint8_t b[] = {1, 2, 3, 4, 5, 6, 7, 0xf8};
	struct nx_rd rd;
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;
	uint8_t v8;

	(void)state;
	rd = nx_rd(nx_slice(b, 8));
	assert_true(nx_rd_u64le(&rd, &v64));
	assert_u64(v64, 0xf807060504030201);
	rd = nx_rd(nx_slice(b, 8));
	assert_true(nx_rd_u64be(&rd, &v64));
	assert_u64(v64, 0x01020304050607f8);
	rd = nx_rd(nx_slice(b + 4, 4));
	assert_true(nx_rd_u32le(&rd, &v32));
	assert_u64(v32, 0xf8070605);
	rd = nx_rd(nx_slice(b + 4, 4));
	assert_true(nx_rd_u32be(&rd, &v32));
	assert_u64(v32, 0x050607f8);
	rd = nx_rd(nx_slice(b + 6, 2));
	assert_true(nx_rd_u16le(&rd, &v16));
	assert_u64(v16, 0xf807);
	rd = nx_rd(nx_slice(b + 6, 2));
	assert_true(nx_rd_u16be(&rd, &v16));
	assert_u64(v16, 0x07f8);
	rd = nx_rd(nx_slice(b + 7, 1));
	assert_true(nx_rd_u8(&rd, &v8));
	assert_u64(v8, 0xf8);
	assert_u64(rd.n, 0);
}

static void test_short_input_leaves_the_cursor_and_the_result(void **state)
{
	static const uint8_t b[] = {1, 2, 3};
	struct nx_rd rd = nx_rd(nx_slice(b, 3));
	struct nx_slice s = nx_slice("x", 1);
	uint32_t v32 = 77;
	uint64_t v64 = 77;
	uint8_t to[4];

	(void)state;
	assert_false(nx_rd_u32le(&rd, &v32));
	assert_false(nx_rd_u32be(&rd, &v32));
	assert_false(nx_rd_u64le(&rd, &v64));
	assert_false(nx_rd_bytes(&rd, 4, &s));
	assert_false(nx_rd_bytes(&rd, SIZE_MAX, &s));
	assert_false(nx_rd_skip(&rd, 4));
	assert_false(nx_rd_copy(&rd, to, 4));
	assert_u64(v32, 77);
	assert_u64(v64, 77);
	assert_int_equal(s.p[0], 'x');
	assert_ptr_equal(rd.p, b);
	assert_u64(rd.n, 3);
	assert_true(nx_rd_skip(&rd, 1));
	assert_true(nx_rd_copy(&rd, to, 2));
	assert_int_equal(to[1], 3);
}

static void test_empty_input(void **state)
{
	struct nx_rd rd = nx_rd(nx_slice(NULL, 0));
	struct nx_slice s;
	uint64_t v;
	uint8_t b;

	(void)state;
	assert_true(nx_rd_bytes(&rd, 0, &s));
	assert_true(nx_rd_copy(&rd, &b, 0));
	assert_true(nx_rd_skip(&rd, 0));
	assert_false(nx_rd_u8(&rd, &b));
	assert_false(nx_rd_varint(&rd, &v));
	assert_false(nx_rd_blob(&rd, &s));
}

static void test_varint_round_trips_at_every_bit_length(void **state)
{
	NX_AUTO_DONE(nx_buf) buf;

	(void)state;
	nx_buf_init(&buf, 64, 0);
	for (unsigned bits = 0; bits <= 64; bits++) {
		uint64_t want = bits == 64 ? UINT64_MAX : (1ull << bits) - 1;
		uint64_t got = 0;
		struct nx_rd rd;

		nx_buf_clear(&buf);
		nx_buf_put_varint(&buf, want);
		rd = nx_rd(nx_buf_slice(&buf));
		assert_true(nx_rd_varint(&rd, &got));
		assert_u64(got, want);
		assert_u64(rd.n, 0);
		rd = nx_rd(nx_slice(buf.data, buf.len - 1));
		assert_false(nx_rd_varint(&rd, &got));
		assert_u64(rd.n, buf.len - 1);
	}
}

static void test_varint_past_64_bits_is_refused(void **state)
{
	static const char *const bad[] = {
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
		"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x01",
	};

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) {
		struct nx_rd rd = nx_rd(nx_slice_str(bad[i]));
		size_t n = rd.n;
		uint64_t v = 5;

		assert_false(nx_rd_varint(&rd, &v));
		assert_u64(v, 5);
		assert_u64(rd.n, n);
	}
}

static void test_blob_longer_than_the_input_is_refused(void **state)
{
	static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0};
	struct nx_slice s = {0};
	struct nx_rd rd = nx_rd(nx_slice("\x03"
					 "abcd",
		5));

	(void)state;
	assert_true(nx_rd_blob(&rd, &s));
	assert_true(nx_slice_eq(s, nx_slice_str("abc")));
	assert_u64(rd.n, 1);
	rd = nx_rd(nx_slice("\x03"
			    "ab",
		3));
	assert_false(nx_rd_blob(&rd, &s));
	assert_u64(rd.n, 3);
	rd = nx_rd(nx_slice(huge, sizeof(huge)));
	assert_false(nx_rd_blob(&rd, &s));
	assert_u64(rd.n, sizeof(huge));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers_have_the_stated_byte_order),
		cmocka_unit_test(test_short_input_leaves_the_cursor_and_the_result),
		cmocka_unit_test(test_empty_input),
		cmocka_unit_test(test_varint_round_trips_at_every_bit_length),
		cmocka_unit_test(test_varint_past_64_bits_is_refused),
		cmocka_unit_test(test_blob_longer_than_the_input_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "nx_test.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/secret.h"
#include "nx_torture.h"

static void test_a_secret_is_zeroed_and_writable_to_its_last_byte(void **state)
{
	static const size_t sizes[] = {1, 32, 4095, 4096, 4097, 32768};

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(sizes); i++) {
		NX_AUTO(nx_secret) *secret = nx_secret_new(sizes[i]);

		assert_non_null(secret);
		assert_u64(secret->n, sizes[i]);
		for (size_t k = 0; k < secret->n; k++)
			assert_int_equal(secret->data[k], 0);
		memset(secret->data, 0xee, secret->n);
	}
}

static void test_sizes_out_of_bounds_are_refused(void **state)
{
	(void)state;
	assert_null(nx_secret_new(0));
	assert_null(nx_secret_new(32769));
	assert_null(nx_secret_new(SIZE_MAX));
	assert_null(nx_secret_free(NULL));
}

/* The kernel reads for us, so that the test survives it. */
static bool readable(const uint8_t *p)
{
	NX_AUTO_FD file = memfd_create("probe", MFD_CLOEXEC);
	ssize_t n;

	assert_true(file >= 0);
	n = write(file, p, 1);
	assert_true(n == 1 || errno == EFAULT);
	return n == 1;
}

static void test_pages_before_and_after_are_not_readable(void **state)
{
	NX_AUTO(nx_secret) *secret = nx_secret_new(NX_KEY_LEN);

	(void)state;
	assert_non_null(secret);
	assert_true(readable(secret->data));
	assert_true(readable(secret->data + NX_KEY_LEN - 1));
	assert_false(readable(secret->data + NX_KEY_LEN));
	assert_false(readable(secret->data - sysconf(_SC_PAGESIZE)));
}

static void test_the_key_on_the_stack_is_wiped(void **state)
{
	struct nx_key key;

	(void)state;
	nx_random(key.b, sizeof(key.b));
	nx_key_done(&key);
	for (size_t i = 0; i < NX_KEY_LEN; i++)
		assert_int_equal(key.b[i], 0);
}

static void test_random_fills_any_length_and_differs(void **state)
{
	uint8_t a[1000] = {0};
	uint8_t b[1000] = {0};
	size_t zero = 0;

	(void)state;
	nx_random(a, 0);
	assert_int_equal(a[0], 0);
	nx_random(a, sizeof(a));
	nx_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	for (size_t i = 0; i < sizeof(a); i++)
		zero += a[i] == 0;
	assert_true(zero < 30); /* 4 expected; beyond 30 once in 10^16 runs */
}

static void test_comparison_sees_every_byte(void **state)
{
	uint8_t a[32];
	uint8_t b[32];

	(void)state;
	nx_random(a, sizeof(a));
	memcpy(b, a, sizeof(a));
	assert_true(nx_secret_eq(a, b, sizeof(a)));
	assert_true(nx_secret_eq(a, b, 0));
	for (size_t i = 0; i < sizeof(a); i++) {
		b[i] ^= 0x80;
		assert_false(nx_secret_eq(a, b, sizeof(a)));
		b[i] ^= 0x80;
	}
}

static nx_rc use_secret(void *payload)
{
	NX_AUTO(nx_secret) *secret = nx_secret_new(NX_KEY_LEN);

	(void)payload;
	return secret ? NX_OK : NX_E_NOMEM;
}

static void test_no_memory_is_null(void **state)
{
	(void)state;
	assert_int_equal(nx_torture(use_secret, NULL), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_secret_is_zeroed_and_writable_to_its_last_byte),
		cmocka_unit_test(test_sizes_out_of_bounds_are_refused),
		cmocka_unit_test(test_pages_before_and_after_are_not_readable),
		cmocka_unit_test(test_the_key_on_the_stack_is_wiped),
		cmocka_unit_test(test_random_fills_any_length_and_differs),
		cmocka_unit_test(test_comparison_sees_every_byte),
		cmocka_unit_test(test_no_memory_is_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "nx_test.h"

#include <errno.h>
#include <string.h>

static void test_every_code_has_a_wire_name_and_statuses(void **state)
{
	(void)state;
	for (int a = NX_OK; a < NX_E_COUNT_; a++) {
		assert_non_null(nx_rc_wire((nx_rc)a));
		assert_in_range(nx_rc_http((nx_rc)a), 200, 599);
		assert_true(nx_rc_dimse((nx_rc)a) <= 0xffff);
		for (int b = a + 1; b < NX_E_COUNT_; b++)
			assert_string_not_equal(nx_rc_wire((nx_rc)a), nx_rc_wire((nx_rc)b));
	}
	assert_string_equal(nx_rc_wire(NX_E_COUNT_), "unknown");
	assert_int_equal(nx_rc_http(NX_E_COUNT_), 500);
	assert_false(nx_rc_retryable(NX_E_COUNT_));
}

/* They are on disk and on the wire: a new code goes to the end of errors.def. */
static void test_codes_keep_their_numbers(void **state)
{
	(void)state;
	assert_int_equal(NX_OK, 0);
	assert_int_equal(NX_E_INTERNAL, 1);
	assert_int_equal(NX_E_NOENT, 5);
	assert_int_equal(NX_E_CORRUPT, 11);
	assert_int_equal(NX_E_QUARANTINED, 28);
}

static void test_statuses_of_known_codes(void **state)
{
	(void)state;
	assert_int_equal(nx_rc_http(NX_OK), 200);
	assert_int_equal(nx_rc_dimse(NX_OK), 0);
	assert_int_equal(nx_rc_http(NX_E_NOENT), 404);
	assert_int_equal(nx_rc_dimse(NX_E_NOSPACE), 0xa700);
	assert_true(nx_rc_retryable(NX_E_BUSY));
	assert_false(nx_rc_retryable(NX_E_MALFORMED));
}

static void test_prefixes_go_in_front(void **state)
{
	struct nx_err err = {0};

	(void)state;
	assert_rc(nx_err_set(&err, NX_E_SHORT, "at %d", 12), NX_E_SHORT);
	assert_rc(nx_err_prefix(&err, NX_E_CORRUPT, "pack %s", "p1"), NX_E_CORRUPT);
	assert_string_equal(nx_err_text(&err), "pack p1: at 12");
	assert_rc(err.rc, NX_E_CORRUPT);
}

static void test_errno_gives_code_and_reason(void **state)
{
	struct nx_err err = {0};

	(void)state;
	errno = ENOSPC;
	assert_rc(nx_err_errno(&err, "write pack %d", 3), NX_E_NOSPACE);
	assert_int_equal(err.errnum, ENOSPC);
	assert_string_equal(nx_err_text(&err), "write pack 3: No space left on device");
	assert_rc(nx_rc_from_errno(ENOENT), NX_E_NOENT);
	assert_rc(nx_rc_from_errno(EIO), NX_E_IO);
	assert_rc(nx_rc_from_errno(0), NX_E_IO);
}

static void test_null_stands_for_no_text(void **state)
{
	(void)state;
	errno = EACCES;
	assert_rc(nx_err_errno(NULL, "open"), NX_E_DENIED);
	assert_rc(nx_err_set(NULL, NX_E_LIMIT, "x"), NX_E_LIMIT);
	assert_rc(nx_err_prefix(NULL, NX_E_LIMIT, "x"), NX_E_LIMIT);
}

static void test_long_texts_are_cut_and_end(void **state)
{
	struct nx_err err = {0};
	char text[600];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = 0;
	assert_rc(nx_err_set(&err, NX_E_INVAL, "%s", text), NX_E_INVAL);
	assert_u64(strlen(err.text), NX_ERR_TEXT_MAX - 1);
	assert_rc(nx_err_prefix(&err, NX_E_INVAL, "%s", text), NX_E_INVAL);
	assert_u64(strlen(err.text), NX_ERR_TEXT_MAX - 1);
	errno = EIO;
	assert_rc(nx_err_errno(&err, "%s", text), NX_E_IO);
	assert_u64(strlen(err.text), NX_ERR_TEXT_MAX - 1);
}

static void test_without_a_text_the_wire_name_is_shown(void **state)
{
	struct nx_err err = {.rc = NX_E_BUSY};

	(void)state;
	assert_string_equal(nx_err_text(&err), "busy");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_code_has_a_wire_name_and_statuses),
		cmocka_unit_test(test_codes_keep_their_numbers),
		cmocka_unit_test(test_statuses_of_known_codes),
		cmocka_unit_test(test_prefixes_go_in_front),
		cmocka_unit_test(test_errno_gives_code_and_reason),
		cmocka_unit_test(test_null_stands_for_no_text),
		cmocka_unit_test(test_long_texts_are_cut_and_end),
		cmocka_unit_test(test_without_a_text_the_wire_name_is_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

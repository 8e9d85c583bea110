#include "nx_test.h"

#include <string.h>

#include "base/arena.h"
#include "dicom/dicom.h"
#include "dicomweb/dicomweb_priv.h"

static void test_lists_of_frames(void **state)
{
	static const char *const bad[] = {"", ",", "0", "1,", ",1", "1,,2", "-1", "+1", " 1", "1 ",
		"1-3", "x", "1,0", "1234567890", "99999999999999999999", "1.0"};
	NX_AUTO(nx_arena) *arena = nx_arena_new(1 << 20, 0);
	uint32_t *list = NULL;
	size_t n = 0;

	(void)state;
	assert_non_null(arena);
	for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
		assert_rc(dw_frame_list(bad[i], arena, &list, &n, NULL), NX_E_INVAL);
	assert_null(list);
	assert_rc(dw_frame_list("3,1,3,999999999", arena, &list, &n, NULL), NX_OK);
	assert_int_equal(n, 4);
	assert_int_equal(list[0], 2);
	assert_int_equal(list[1], 0);
	assert_int_equal(list[2], 2);
	assert_int_equal(list[3], 999999998);
}

static void test_two_thousand_frames_and_no_more(void **state)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(1 << 20, 0);
	char text[2 * NX_LIMIT_FRAME_LIST + 3];
	uint32_t *list;
	size_t n = 0;

	(void)state;
	assert_non_null(arena);
	for (size_t i = 0; i <= NX_LIMIT_FRAME_LIST; i++)
		memcpy(text + 2 * i, "7,", 3);
	text[2 * NX_LIMIT_FRAME_LIST + 1] = '\0';
	assert_rc(dw_frame_list(text, arena, &list, &n, NULL), NX_E_INVAL);
	text[2 * NX_LIMIT_FRAME_LIST - 1] = '\0';
	assert_rc(dw_frame_list(text, arena, &list, &n, NULL), NX_OK);
	assert_int_equal(n, NX_LIMIT_FRAME_LIST);
}

static void test_media_types_are_of_encapsulated_syntaxes(void **state)
{
	const struct nx_ts *ts = nx_ts_find("1.2.840.10008.1.2.4.80");

	(void)state;
	assert_non_null(ts);
	assert_true(ts->encapsulated);
	assert_string_equal(dw_frame_media(ts->uid, 0), "image/jls");
	assert_string_equal(dw_frame_media(ts->uid, 1), "image/x-jls");
	assert_null(dw_frame_media(ts->uid, 2));
	assert_null(dw_frame_media("1.2.840.10008.1.2.4.50", 1));
	assert_null(dw_frame_media("1.2.840.10008.1.2.1", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists_of_frames),
		cmocka_unit_test(test_two_thousand_frames_and_no_more),
		cmocka_unit_test(test_media_types_are_of_encapsulated_syntaxes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

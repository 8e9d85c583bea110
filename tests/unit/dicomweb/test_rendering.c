#include "dicomweb/dicomweb_priv.h"
#include "nx_test.h"

static void test_a_window_has_three_parts(void **state)
{
	static const char *const bad[] = {"", "1", "1,2", "1,2,cubic", "1,2,linear,3", "x,2,linear",
		"1,,linear", "1,0,sigmoid", "1,0.5,linear", "1,-2,linear-exact", "inf,2,linear",
		"0x10,2,linear", "1 ,2,linear", "1,2,linearlinearlinearlinearlinearlinearlinear"};
	struct nx_rendering r = {.form = NX_RENDER_PNG};

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
		assert_rc(dw_window_parse(bad[i], &r, NULL), NX_E_INVAL);
	assert_false(r.has_window);
	assert_rc(dw_window_parse("-40.5,4e2,LINEAR", &r, NULL), NX_OK);
	assert_true(r.has_window && r.center == -40.5 && r.width == 400 && r.voi == NX_VOI_LINEAR);
	assert_rc(dw_window_parse("1,0.5,linear-exact", &r, NULL), NX_OK);
	assert_true(r.width == 0.5 && r.voi == NX_VOI_LINEAR_EXACT);
	assert_rc(dw_window_parse("1,0.5,sigmoid", &r, NULL), NX_OK);
	assert_true(r.voi == NX_VOI_SIGMOID && r.form == NX_RENDER_PNG);
}

static void test_a_viewport_has_a_size_and_a_region(void **state)
{
	static const char *const bad[] = {"", "1", "1,", ",1", "0,1", "1,0", "-1,1", "1.5,1",
		"1,1,x", "1,1,1,1,1,1,1", "99999,99999", "4294967297,1", "1,1,nan"};
	struct nx_viewport v = {.columns = 77};

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
		assert_rc(dw_viewport_parse(bad[i], &v, NULL), NX_E_INVAL);
	assert_int_equal(v.columns, 77);
	assert_rc(dw_viewport_parse("640,480", &v, NULL), NX_OK);
	assert_true(v.columns == 640 && v.rows == 480 && v.left == 0 && v.width == 0);
	assert_rc(dw_viewport_parse("640,480,1.5,,-20,-30", &v, NULL), NX_OK);
	assert_true(v.left == 1.5 && v.top == 0 && v.width == 20 && v.height == 30);
	assert_true(v.mirrored && v.upturned && !v.shrink_only);
}

static void test_annotations_are_a_list_of_words(void **state)
{
	struct nx_rendering r = {.annotations = 0};

	(void)state;
	assert_true(dw_annotation_parse("technique", &r));
	assert_int_equal(r.annotations, NX_ANNOTATE_TECHNIQUE);
	assert_true(dw_annotation_parse("patient,technique", &r));
	assert_int_equal(r.annotations, NX_ANNOTATE_PATIENT | NX_ANNOTATE_TECHNIQUE);
	r.annotations = 0;
	assert_false(dw_annotation_parse("Patient", &r));
	assert_false(dw_annotation_parse("", &r));
	assert_int_equal(r.annotations, 0);
	assert_false(dw_annotation_parse("x,patient", &r));
	assert_int_equal(r.annotations, NX_ANNOTATE_PATIENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_window_has_three_parts),
		cmocka_unit_test(test_a_viewport_has_a_size_and_a_region),
		cmocka_unit_test(test_annotations_are_a_list_of_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

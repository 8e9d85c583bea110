#include "nx_test.h"

#include <string.h>

#include "dicom/dicom.h"

static void test_every_named_tag_is_found(void **state)
{
	(void)state;
	assert_string_equal(nx_dict_find(NX_TAG_PATIENT_ID)->keyword, "PatientID");
	assert_int_equal(nx_dict_find(NX_TAG_PATIENT_NAME)->vr, NX_VR('P', 'N'));
	assert_string_equal(nx_dict_find(NX_TAG_IMAGE_POSITION_PATIENT)->vm, "3");
	assert_int_equal(nx_dict_find(NX_TAG_PIXEL_DATA)->vr, NX_VR('O', 'B'));
	assert_int_equal(nx_dict_find(NX_TAG_PIXEL_DATA)->vr2, NX_VR('O', 'W'));
	assert_int_equal(nx_dict_find(NX_TAG_PIXEL_PADDING_VALUE)->vr2, NX_VR('S', 'S'));
}

static void test_repeating_groups_are_found(void **state)
{
	(void)state;
	assert_string_equal(nx_dict_find(NX_TAG(0x6000, 0x3000))->keyword, "OverlayData");
	assert_string_equal(nx_dict_find(NX_TAG(0x601e, 0x3000))->keyword, "OverlayData");
	assert_string_equal(nx_dict_find(NX_TAG(0x5002, 0x3000))->keyword, "CurveData");
	assert_null(nx_dict_find(NX_TAG(0x6001, 0x3000))); /* odd: private */
}

static void test_private_and_unknown_tags_are_not_found(void **state)
{
	(void)state;
	assert_null(nx_dict_find(NX_TAG(0x0009, 0x0010)));
	assert_null(nx_dict_find(NX_TAG(0x0010, 0x0000)));
	assert_null(nx_dict_find(0xffffffff));
}

static bool parse(const char *text, nx_tag *ret)
{
	return nx_dict_parse_tag(text, strlen(text), ret);
}

static void test_tags_parse_by_keyword_and_by_digits(void **state)
{
	nx_tag tag = 1;

	(void)state;
	assert_true(parse("PatientID", &tag));
	assert_int_equal(tag, NX_TAG_PATIENT_ID);
	assert_true(parse("7FE00010", &tag));
	assert_int_equal(tag, NX_TAG_PIXEL_DATA);
	assert_true(nx_dict_parse_tag("00100020,PatientName", 8, &tag)); /* inside a text */
	assert_int_equal(tag, NX_TAG_PATIENT_ID);
	assert_true(parse("00091001", &tag)); /* unknown ones too */
	assert_int_equal(tag, NX_TAG(0x0009, 0x1001));
	assert_false(parse("", &tag));
	assert_false(parse("Patient", &tag));
	assert_false(parse("PatientIDs", &tag));
	assert_false(parse("patientid", &tag));
	assert_false(parse("7FE0001", &tag));
	assert_int_equal(tag, NX_TAG(0x0009, 0x1001)); /* untouched on failure */
}

static void test_transfer_syntaxes_say_what_they_are(void **state)
{
	const struct nx_ts *ts = nx_ts_find(NX_UID_EXPLICIT_VR_BIG_ENDIAN);

	(void)state;
	assert_true(ts->explicit_vr && ts->big_endian && !ts->encapsulated);
	ts = nx_ts_find(NX_UID_IMPLICIT_VR_LITTLE_ENDIAN);
	assert_false(ts->explicit_vr || ts->big_endian || ts->deflated);
	assert_true(nx_ts_find(NX_UID_DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)->deflated);
	assert_true(nx_ts_find(NX_UID_JPEG_BASELINE_8_BIT)->encapsulated);
	assert_true(nx_ts_find(NX_UID_ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN)
			    ->encapsulated);
	assert_true(nx_ts_find(NX_UID_JPIP_REFERENCED_DEFLATE)->deflated);
	assert_null(nx_ts_find("1.2.3"));
	assert_null(nx_ts_find(""));
}

static void test_storage_classes_are_told_from_others(void **state)
{
	(void)state;
	assert_true(nx_uid_is_storage(NX_UID_CT_IMAGE_STORAGE));
	assert_true(nx_uid_is_storage(NX_UID_DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION));
	assert_false(nx_uid_is_storage(NX_UID_VERIFICATION));
	assert_false(nx_uid_is_storage(NX_UID_STORAGE_COMMITMENT_PUSH_MODEL));
	assert_false(nx_uid_is_storage(NX_UID_MEDIA_STORAGE_DIRECTORY_STORAGE));
	assert_false(nx_uid_is_storage("1.2.3"));
	assert_string_equal(nx_uid_name(NX_UID_VERIFICATION), "Verification SOP Class");
	assert_null(nx_uid_name("1.2.3"));
}

static void test_uids_are_digits_and_single_dots(void **state)
{
	char uid[66];

	(void)state;
	assert_true(nx_uid_valid("1", 1));
	assert_true(nx_uid_valid("1.2.840.10008", 13));
	assert_true(nx_uid_valid("1.02", 4)); /* found in the field */
	assert_false(nx_uid_valid("", 0));
	assert_false(nx_uid_valid(".1", 2));
	assert_false(nx_uid_valid("1.", 2));
	assert_false(nx_uid_valid("1..2", 4));
	assert_false(nx_uid_valid("1.2a", 4));
	assert_false(nx_uid_valid("1.2\0", 4));
	memset(uid, '1', sizeof(uid));
	assert_true(nx_uid_valid(uid, 64));
	assert_false(nx_uid_valid(uid, 65));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_named_tag_is_found),
		cmocka_unit_test(test_repeating_groups_are_found),
		cmocka_unit_test(test_private_and_unknown_tags_are_not_found),
		cmocka_unit_test(test_tags_parse_by_keyword_and_by_digits),
		cmocka_unit_test(test_transfer_syntaxes_say_what_they_are),
		cmocka_unit_test(test_storage_classes_are_told_from_others),
		cmocka_unit_test(test_uids_are_digits_and_single_dots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

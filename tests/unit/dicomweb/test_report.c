#include "nx_test.h"

#include <string.h>

#include "dicomweb/dicomweb_priv.h"

static const struct nx_ingest_result good = {.outcome = NX_INGEST_STORED,
	.sop_class = "1.2.840.10008.5.1.4.1.1.2",
	.sop_instance = "1.2.3.4",
	.study = "1.2",
	.series = "1.2.3"};

static const char *format(const struct dw_report *report, struct nx_buf *out)
{
	struct nx_json json;

	nx_buf_init(out, 1 << 20, 0);
	nx_json_init(&json, out);
	dw_report_format(report, "http://h/dw", &json);
	return nx_buf_cstr(out);
}

static void test_all_stored_is_200_without_failures(void **state)
{
	struct dw_report report;
	NX_AUTO_DONE(nx_buf) out;

	(void)state;
	dw_report_init(&report);
	dw_report_stored(&report, "http://h/dw", &good);
	assert_int_equal(dw_report_status(&report), 200);
	assert_string_equal(format(&report, &out),
		"{\"00081190\":{\"vr\":\"UR\",\"Value\":[\"http://h/dw/studies/1.2\"]},"
		"\"00081199\":{\"vr\":\"SQ\",\"Value\":[{"
		"\"00081150\":{\"vr\":\"UI\",\"Value\":[\"1.2.840.10008.5.1.4.1.1.2\"]},"
		"\"00081155\":{\"vr\":\"UI\",\"Value\":[\"1.2.3.4\"]},"
		"\"00081190\":{\"vr\":\"UR\",\"Value\":["
		"\"http://h/dw/studies/1.2/series/1.2.3/instances/1.2.3.4\"]}}]}}");
	dw_report_done(&report);
}

static void test_failures_are_by_uid_or_among_the_others(void **state)
{
	const struct nx_ingest_result unnamed = {.outcome = 0};
	struct dw_report report;
	NX_AUTO_DONE(nx_buf) out;
	const char *text;

	(void)state;
	dw_report_init(&report);
	dw_report_failed(&report, &good, NX_E_CONFLICT, "1.2");
	dw_report_failed(&report, &unnamed, NX_E_MALFORMED, NULL);
	assert_int_equal(dw_report_status(&report), 409);
	text = format(&report, &out);
	assert_null(strstr(text, "00081199"));
	assert_null(strstr(text, "\"00081190\""));
	assert_non_null(strstr(text,
		"\"0008119A\":{\"vr\":\"SQ\",\"Value\":[{"
		"\"00081197\":{\"vr\":\"US\",\"Value\":[49152]}}]}"));
	assert_non_null(strstr(text, "\"00081197\":{\"vr\":\"US\",\"Value\":[273]}"));
	dw_report_stored(&report, "http://h/dw", &good);
	assert_int_equal(dw_report_status(&report), 202);
	dw_report_done(&report);
}

static void test_another_study_has_its_reason(void **state)
{
	struct dw_report report;
	NX_AUTO_DONE(nx_buf) out;

	(void)state;
	dw_report_init(&report);
	dw_report_failed(&report, &good, NX_E_CONFLICT, "1.9");
	assert_non_null(strstr(format(&report, &out), "[43264]")); /* A900 */
	dw_report_done(&report);
}

static void test_our_own_trouble_is_to_be_tried_again(void **state)
{
	struct dw_report report;

	(void)state;
	dw_report_init(&report);
	dw_report_failed(&report, &good, NX_E_NOSPACE, NULL);
	assert_int_equal(dw_report_status(&report), 507);
	dw_report_failed(&report, &good, NX_E_MALFORMED, NULL);
	assert_int_equal(dw_report_status(&report), 409);
	dw_report_done(&report);
}

static void test_kept_aside_is_a_failure_with_its_number(void **state)
{
	struct nx_ingest_result aside = good;
	struct dw_report report;
	NX_AUTO_DONE(nx_buf) out;

	(void)state;
	aside.outcome = NX_INGEST_QUARANTINED;
	aside.reason = NX_REASON_OTHER_CLASS;
	aside.quarantine = 12;
	(void)snprintf(aside.note, sizeof(aside.note), "quarantine 12: other-class");
	dw_report_init(&report);
	dw_report_quarantined(&report, &aside);
	assert_int_equal(dw_report_status(&report), 409);
	assert_null(strstr(format(&report, &out), "/instances/"));
	assert_non_null(
		strstr((const char *)out.data, "\"00081197\":{\"vr\":\"US\",\"Value\":[43264]}"));
	assert_non_null(
		strstr((const char *)out.data, "\"00091001\":{\"vr\":\"LO\",\"Value\":[\"12\"]}"));
	dw_report_stored(&report, "http://h/dw", &good);
	assert_int_equal(dw_report_status(&report), 202);
	dw_report_done(&report);
}

static void test_two_studies_have_no_common_url(void **state)
{
	struct nx_ingest_result other = good;
	struct dw_report report;
	NX_AUTO_DONE(nx_buf) out;

	(void)state;
	(void)snprintf(other.study, sizeof(other.study), "1.9");
	dw_report_init(&report);
	dw_report_stored(&report, "http://h/dw", &good);
	dw_report_stored(&report, "http://h/dw", &other);
	dw_report_stored(&report, "http://h/dw", &other);
	assert_null(strstr(format(&report, &out), "studies/1.2\""));
	assert_null(strstr((const char *)out.data, "studies/1.9\""));
	dw_report_done(&report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_stored_is_200_without_failures),
		cmocka_unit_test(test_failures_are_by_uid_or_among_the_others),
		cmocka_unit_test(test_another_study_has_its_reason),
		cmocka_unit_test(test_our_own_trouble_is_to_be_tried_again),
		cmocka_unit_test(test_kept_aside_is_a_failure_with_its_number),
		cmocka_unit_test(test_two_studies_have_no_common_url),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

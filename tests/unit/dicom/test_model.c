#include "nx_test.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "dicom/model.h"
#include "nx_torture.h"

typedef nx_rc (*open_fn)(
	nx_model_fn fn, void *payload, struct nx_model_reader **ret_reader, struct nx_err *err);

struct got {
	struct nx_buf json; /* of the good ones, one behind the other */
	char why[NX_LIMIT_ERR_TEXT];
	size_t n;
	size_t n_bad;
};

static nx_rc uri_of(void *payload, const struct nx_elem *e, struct nx_buf *out, struct nx_err *err)
{
	(void)payload;
	(void)err;
	nx_buf_put_slice(out, e->value);
	return NX_OK;
}

static nx_rc on_model(void *payload, struct nx_model *taken, struct nx_err *err)
{
	NX_AUTO(nx_model) *model = taken;
	struct got *got = payload;
	struct nx_json json;

	got->n++;
	if (model->rc) {
		got->n_bad++;
		(void)snprintf(got->why, sizeof(got->why), "%s", nx_err_text(&model->err));
		return NX_OK;
	}
	nx_json_init(&json, &got->json);
	return nx_dataset_json(model->ds, &json, uri_of, NULL, model->arena, err);
}

static nx_rc read_pieces(
	open_fn open, const char *text, size_t piece, struct got *got, struct nx_err *err)
{
	NX_AUTO(nx_model_reader) *reader = NULL;
	size_t n = strlen(text);
	nx_rc rc = open(on_model, got, &reader, err);

	nx_buf_init(&got->json, 1 << 24, 0);
	for (size_t at = 0; at < n && !rc; at += piece)
		rc = nx_model_feed(reader, text + at, n - at < piece ? n - at : piece, err);
	return rc ? rc : nx_model_finish(reader, err);
}

/* The models are read whatever the pieces, and make `want`. */
static void expect(open_fn open, const char *text, const char *want)
{
	static const size_t pieces[] = {1, 7, 1 << 20};

	for (size_t i = 0; i < NX_ARRAY_LEN(pieces); i++) {
		struct got got = {.n = 0};
		struct nx_err err = {0};

		assert_ok(read_pieces(open, text, pieces[i], &got, &err), &err);
		assert_string_equal(got.why, "");
		assert_string_equal(got.json.len ? nx_buf_cstr(&got.json) : "", want);
		nx_buf_done(&got.json);
	}
}

static void expect_bad(open_fn open, const char *text, const char *why)
{
	struct got got = {.n = 0};
	struct nx_err err = {0};

	assert_ok(read_pieces(open, text, 5, &got, &err), &err);
	assert_u64(got.n_bad, 1);
	assert_string_equal(got.why, why);
	nx_buf_done(&got.json);
}

static void expect_refused(open_fn open, const char *text, nx_rc want)
{
	struct got got = {.n = 0};

	assert_rc(read_pieces(open, text, 3, &got, NULL), want);
	nx_buf_done(&got.json);
}

#define NAME                                                                                    \
	"{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]},\"00100010\":{\"vr\":\"PN\"," \
	"\"Value\":[{\"Alphabetic\":\"M\xc3\xbcller^Eva\",\"Phonetic\":\"p\"},null]}}"
#define ITEMS                                                                              \
	"{\"00081140\":{\"vr\":\"SQ\",\"Value\":[{\"00081155\":{\"vr\":\"UI\",\"Value\":[" \
	"\"1.2\"]}},{}]}}"
#define BULK "{\"00420011\":{\"vr\":\"OB\",\"BulkDataURI\":\"a/b\"}}"

static void test_json_comes_back_as_it_was(void **state)
{
	(void)state;
	expect(nx_model_json_new, NAME, NAME);
	expect(nx_model_json_new, ITEMS, ITEMS);
	expect(nx_model_json_new, BULK, BULK);
	expect(nx_model_json_new, " [ " NAME " , " ITEMS "\n]\n", NAME ITEMS);
	expect(nx_model_json_new, "[]", "");
}

static void test_a_vr_may_come_behind_its_values(void **state)
{
	(void)state;
	expect(nx_model_json_new, "{\"00081140\":{\"Value\":[{},{}],\"vr\":\"SQ\"}}",
		"{\"00081140\":{\"vr\":\"SQ\",\"Value\":[{},{}]}}");
	expect(nx_model_json_new,
		"{\"00101001\":{\"Value\":[{},{\"Alphabetic\":\"A\"}],\"vr\":\"PN\"}}",
		"{\"00101001\":{\"vr\":\"PN\",\"Value\":[null,{\"Alphabetic\":\"A\"}]}}");
}

static void test_numbers_keep_what_their_vr_can_hold(void **state)
{
	(void)state;
	expect(nx_model_json_new,
		"{\"00280030\":{\"vr\":\"DS\",\"Value\":[0.12345678901234567,\"1.50\",null]},"
		"\"00280009\":{\"vr\":\"AT\",\"Value\":[\"7FE00010\"]},"
		"\"00720064\":{\"vr\":\"IS\",\"Value\":[3.0]},"
		"\"00720074\":{\"vr\":\"FD\",\"Value\":[\"-Infinity\",1e-300]},"
		"\"00720082\":{\"vr\":\"SV\",\"Value\":[\"-9223372036854775808\"]}}",
		"{\"00280009\":{\"vr\":\"AT\",\"Value\":[\"7FE00010\"]},"
		"\"00280030\":{\"vr\":\"DS\",\"Value\":[0.12345678901235,1.50,null]},"
		"\"00720064\":{\"vr\":\"IS\",\"Value\":[3]},"
		"\"00720074\":{\"vr\":\"FD\",\"Value\":[\"-inf\",1e-300]},"
		"\"00720082\":{\"vr\":\"SV\",\"Value\":[\"-9223372036854775808\"]}}");
	expect_bad(nx_model_json_new, "{\"00280010\":{\"vr\":\"US\",\"Value\":[65536]}}",
		"a number that does not fit at (0028,0010)");
	expect_bad(nx_model_json_new, "{\"00280010\":{\"vr\":\"US\",\"Value\":[-1]}}",
		"a number that does not fit at (0028,0010)");
	expect_bad(nx_model_json_new, "{\"00200013\":{\"vr\":\"IS\",\"Value\":[1.5]}}",
		"not an integer at (0020,0013)");
}

static void test_what_is_wrong_is_told_with_its_tag(void **state)
{
	static const char both[] =
		"{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"],\"BulkDataURI\":\"x\"}}";

	(void)state;
	expect_bad(nx_model_json_new, both, "values of several kinds at (0008,0060)");
	expect_bad(
		nx_model_json_new, "{\"00080060\":{\"Value\":[\"CT\"]}}", "no VR at (0008,0060)");
	expect_bad(nx_model_json_new, "{\"00080060\":{\"vr\":\"XX\"}}",
		"a VR that is none at (0008,0060)");
	expect_bad(nx_model_json_new, "{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"a\\\\b\"]}}",
		"a backslash in one of several values at (0008,0060)");
	expect_bad(nx_model_json_new, "{\"7FE00010\":{\"vr\":\"OW\",\"InlineBinary\":\"AAEC\"}}",
		"InlineBinary of part of a value at (7fe0,0010)");
	expect_bad(nx_model_json_new,
		"{\"00080060\":{\"vr\":\"CS\",\"Value\":[{\"00080060\":{}}]}}",
		"no VR at (0008,0060)");
}

static void test_what_is_no_json_is_refused(void **state)
{
	static const char *const texts[] = {"{,}", "{\"00080060\" {}}", "[{}{}]", "[{},]", "{}{}",
		"{\"00080060\":{\"vr\":\"CS\",}}", "{\"00080060\":{\"vr\":CS}}", "[1]", "]",
		"{\"00080060\":{\"vr\":\"\\x\"}}", "{\"00080060\":{\"vr\":\"\\udc00\"}}",
		"{\"00080060\":{\"Value\":\"CT\"}}", "{\"0008006\":{}}", "{\"00080060\":[]}"};

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(texts); i++)
		expect_refused(nx_model_json_new, texts[i], NX_E_MALFORMED);
	expect_refused(nx_model_json_new, "", NX_E_SHORT);
	expect_refused(nx_model_json_new, "[{}", NX_E_SHORT);
}

static void test_what_is_of_the_encoding_is_left_out(void **state)
{
	(void)state;
	expect(nx_model_json_new,
		"{\"00020010\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]},"
		"\"00080000\":{\"vr\":\"UL\",\"Value\":[8]},"
		"\"00083002\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]}}",
		"{}");
}

#define XML(inside) \
	"<?xml version=\"1.0\"?><n:NativeDicomModel xmlns:n=\"x\">" inside "</n:NativeDicomModel>"

static const char all_xml[] = XML(
	"<DicomAttribute tag='00090010' vr='LO'><Value number='1'>ONE</Value></DicomAttribute>"
	"<DicomAttribute tag='00090002' vr='OB' privateCreator='ONE'>"
	"<InlineBinary>\nAAE=\n</InlineBinary></DicomAttribute>"
	"<DicomAttribute tag='00090003' vr='LO' privateCreator='TWO'><Value number='2'>x</Value>"
	"</DicomAttribute>"
	"<DicomAttribute tag='00081140' vr='SQ'><Item number='1'>"
	"<DicomAttribute tag='00081155' vr='UI'><Value number='1'>1.2</Value></DicomAttribute>"
	"</Item><Item number='2'/></DicomAttribute>"
	"<DicomAttribute tag='00100010' vr='PN'><PersonName number='1'><Alphabetic>"
	"<FamilyName>A</FamilyName><NameSuffix>B</NameSuffix></Alphabetic></PersonName>"
	"</DicomAttribute>"
	"<DicomAttribute tag='00420011' vr='OB'><BulkData uri='u'/></DicomAttribute>");

static void test_xml_is_the_same_model(void **state)
{
	(void)state;
	expect(nx_model_xml_new, all_xml,
		"{\"00081140\":{\"vr\":\"SQ\",\"Value\":[{\"00081155\":{\"vr\":\"UI\",\"Value\":["
		"\"1.2\"]}},{}]},"
		"\"00090010\":{\"vr\":\"LO\",\"Value\":[\"ONE\"]},"
		"\"00090011\":{\"vr\":\"LO\",\"Value\":[\"TWO\"]},"
		"\"00091002\":{\"vr\":\"OB\",\"InlineBinary\":\"AAE=\"},"
		"\"00091103\":{\"vr\":\"LO\",\"Value\":[null,\"x\"]},"
		"\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"A^^^^B\"}]},"
		"\"00420011\":{\"vr\":\"OB\",\"BulkDataURI\":\"u\"}}");
}

static void test_what_is_no_xml_model_is_refused(void **state)
{
	static const char *const texts[] = {"", "<a", "<a/>", XML("<Value/>"),
		XML("<DicomAttribute/>"), XML("<DicomAttribute tag='00080060' vr='CS'><X/>"),
		"<!DOCTYPE a []><NativeDicomModel/>",
		XML("<DicomAttribute tag='00080060' vr='CS'><Value number='2'/><Value number='1'/>"
		    "</DicomAttribute>")};

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(texts); i++)
		expect_refused(nx_model_xml_new, texts[i], NX_E_MALFORMED);
}

static nx_rc once(void *payload)
{
	struct got got = {.n = 0};
	nx_rc rc = read_pieces(nx_model_json_new, "[" NAME "," ITEMS "," BULK "]", 64, &got, NULL);

	(void)payload;
	nx_buf_done(&got.json);
	if (rc)
		return rc;
	rc = read_pieces(nx_model_xml_new, all_xml, 64, &got, NULL);
	nx_buf_done(&got.json);
	return rc;
}

static void test_no_memory_is_an_error(void **state)
{
	(void)state;
	nx_torture(once, NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_comes_back_as_it_was),
		cmocka_unit_test(test_a_vr_may_come_behind_its_values),
		cmocka_unit_test(test_numbers_keep_what_their_vr_can_hold),
		cmocka_unit_test(test_what_is_wrong_is_told_with_its_tag),
		cmocka_unit_test(test_what_is_no_json_is_refused),
		cmocka_unit_test(test_what_is_of_the_encoding_is_left_out),
		cmocka_unit_test(test_xml_is_the_same_model),
		cmocka_unit_test(test_what_is_no_xml_model_is_refused),
		cmocka_unit_test(test_no_memory_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "nx_test.h"

#include <string.h>

#include "base/buf.h"
#include "dicomweb/xml.h"
#include "nx_torture.h"

#define HEAD                                                             \
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NativeDicomModel " \
	"xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\" xml:space=\"preserve\">"
#define TAIL "</NativeDicomModel>\n"

static void expect(const char *json, const char *want)
{
	struct nx_slice in = nx_slice_str(json);
	NX_AUTO_DONE(nx_buf) out;
	struct nx_err err = {0};
	bool any = false;

	nx_buf_init(&out, 65536, 0);
	assert_ok(dw_xml_next(&in, &out, &any, &err), &err);
	assert_true(any);
	assert_string_equal(nx_buf_cstr(&out), want);
	nx_buf_clear(&out);
	assert_ok(dw_xml_next(&in, &out, &any, &err), &err);
	assert_false(any);
}

static void test_values_of_every_kind(void **state)
{
	(void)state;
	expect("{}", HEAD TAIL);
	expect("[{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\",null,\"a<&>\\\"'\\u001b\"]},"
	       "\"00080090\":{\"vr\":\"PN\"},\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":"
	       "\"A^B^^D^E^F\",\"Phonetic\":\"x\"}]},\"00280010\":{\"vr\":\"US\",\"Value\":[64]},"
	       "\"00280030\":{\"vr\":\"DS\",\"Value\":[0.50,-1.25e-3]},"
	       "\"7FE00010\":{\"vr\":\"OW\",\"BulkDataURI\":\"http://h/a?b&c\"},"
	       "\"00420011\":{\"vr\":\"OB\",\"InlineBinary\":\"AAE=\"}}]",
		HEAD
		"<DicomAttribute tag=\"00080060\" vr=\"CS\" keyword=\"Modality\">"
		"<Value number=\"1\">CT</Value>"
		"<Value number=\"3\">a&#60;&#38;&#62;&#34;&#39;\xEF\xBF\xBD</Value></DicomAttribute>"
		"<DicomAttribute tag=\"00080090\" vr=\"PN\" keyword=\"ReferringPhysicianName\">"
		"</DicomAttribute>"
		"<DicomAttribute tag=\"00100010\" vr=\"PN\" keyword=\"PatientName\">"
		"<PersonName number=\"1\"><Alphabetic><FamilyName>A</FamilyName><GivenName>B</GivenName>"
		"<NamePrefix>D</NamePrefix><NameSuffix>E^F</NameSuffix></Alphabetic>"
		"<Phonetic><FamilyName>x</FamilyName></Phonetic></PersonName></DicomAttribute>"
		"<DicomAttribute tag=\"00280010\" vr=\"US\" keyword=\"Rows\">"
		"<Value number=\"1\">64</Value></DicomAttribute>"
		"<DicomAttribute tag=\"00280030\" vr=\"DS\" keyword=\"PixelSpacing\">"
		"<Value number=\"1\">0.50</Value><Value number=\"2\">-1.25e-3</Value></DicomAttribute>"
		"<DicomAttribute tag=\"7FE00010\" vr=\"OW\" keyword=\"PixelData\">"
		"<BulkData uri=\"http://h/a?b&#38;c\"/></DicomAttribute>"
		"<DicomAttribute tag=\"00420011\" vr=\"OB\" keyword=\"EncapsulatedDocument\">"
		"<InlineBinary>AAE=</InlineBinary></DicomAttribute>" TAIL);
}

static void test_private_attributes_have_their_creator(void **state)
{
	(void)state;
	expect("{\"00081140\":{\"vr\":\"SQ\",\"Value\":[{\"00090010\":{\"vr\":\"LO\",\"Value\":[\"IN\"]},"
	       "\"00091001\":{\"vr\":\"LO\",\"Value\":[\"a\"]}},{}]},"
	       "\"00090010\":{\"vr\":\"LO\",\"Value\":[\"OUT\"]},\"00090011\":{\"vr\":\"LO\"},"
	       "\"00091001\":{\"vr\":\"LO\",\"Value\":[\"b\"]},\"00091101\":{\"vr\":\"UN\"}}",
		HEAD
		"<DicomAttribute tag=\"00081140\" vr=\"SQ\" keyword=\"ReferencedImageSequence\">"
		"<Item number=\"1\"><DicomAttribute tag=\"00090010\" vr=\"LO\">"
		"<Value number=\"1\">IN</Value></DicomAttribute>"
		"<DicomAttribute tag=\"00090001\" vr=\"LO\" privateCreator=\"IN\">"
		"<Value number=\"1\">a</Value></DicomAttribute></Item><Item number=\"2\"></Item>"
		"</DicomAttribute><DicomAttribute tag=\"00090010\" vr=\"LO\">"
		"<Value number=\"1\">OUT</Value></DicomAttribute>"
		"<DicomAttribute tag=\"00090011\" vr=\"LO\"></DicomAttribute>"
		"<DicomAttribute tag=\"00090001\" vr=\"LO\" privateCreator=\"OUT\">"
		"<Value number=\"1\">b</Value></DicomAttribute>"
		"<DicomAttribute tag=\"00091101\" vr=\"UN\"></DicomAttribute>" TAIL);
}

static void test_what_is_no_dicom_json(void **state)
{
	static const char *const bad[] = {"{", "x", "{\"0\":{}}", "{\"00080060\":{\"vr\":\"CS\"}",
		"{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"a", "{\"00080060\":{\"Value\":[]}}",
		"{\"00080060\":{\"vr\":\"CS\",\"Value\":[,",
		"{\"00080060\":{\"vr\":\"CS\",\"x\":1}}"};

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) {
		struct nx_slice in = nx_slice_str(bad[i]);
		NX_AUTO_DONE(nx_buf) out;
		bool any;

		nx_buf_init(&out, 65536, 0);
		assert_rc(dw_xml_next(&in, &out, &any, NULL), NX_E_MALFORMED);
	}
}

static nx_rc tortured(void *payload)
{
	struct nx_slice in = nx_slice_str(
		"{\"00090010\":{\"vr\":\"LO\",\"Value\":[\"A\"]},\"00091001\":{\"vr\":\"UN\"}}");
	NX_AUTO_DONE(nx_buf) out;
	bool any;

	(void)payload;
	nx_buf_init(&out, 65536, 0);
	return dw_xml_next(&in, &out, &any, NULL);
}

static void test_memory_that_is_not_there(void **state)
{
	(void)state;
	assert_true(nx_torture(tortured, NULL) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_of_every_kind),
		cmocka_unit_test(test_private_attributes_have_their_creator),
		cmocka_unit_test(test_what_is_no_dicom_json),
		cmocka_unit_test(test_memory_that_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "nx_test.h"

#include <string.h>

#include "base/buf.h"
#include "dicom/dicom.h"

#define BAD "\xef\xbf\xbd" /* U+FFFD */
#define PN  NX_VR('P', 'N')
#define LT  NX_VR('L', 'T')

static void decodes(const char *charset, uint16_t vr, const char *text, const char *want)
{
	NX_AUTO_DONE(nx_buf) out;
	struct nx_err err = {0};

	nx_buf_init(&out, 1 << 20, 0);
	assert_ok(
		nx_charset_decode(nx_slice_str(charset), vr, nx_slice_str(text), &out, &err), &err);
	assert_string_equal(nx_buf_cstr(&out), want);
}

/* One letter that only this set has, PS3.3 Table C.12-2. */
static void test_single_byte_sets(void **state)
{
	(void)state;
	decodes("", PN, "Doe^John", "Doe^John");
	decodes("ISO_IR 6", PN, "a\xe4", "a" BAD);
	decodes("ISO_IR 100", PN,
		"\xc4neas^R\xfc"
		"diger",
		"Äneas^Rüdiger");
	decodes("ISO_IR 101", PN,
		"W\xb3"
		"adys\xb3"
		"aw",
		"Władysław");
	decodes("ISO_IR 109", PN, "\xa1", "Ħ");
	decodes("ISO_IR 110", PN, "\xa1", "Ą");
	decodes("ISO_IR 144", PN,
		"\xbb\xee\xda"
		"ce\xdc",
		"Люкceм");
	decodes("ISO_IR 127", PN, "\xe2\xc8\xc7\xe6\xea", "قباني");
	decodes("ISO_IR 126", PN, "\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος");
	decodes("ISO_IR 138", PN, "\xf9\xf8\xe5\xef", "שרון");
	decodes("ISO_IR 148", PN, "\xc7\xf0", "Çğ");
	decodes("ISO_IR 203", PN, "\xa4", "€");
	decodes("ISO_IR 13", PN, "\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ");
	decodes("ISO_IR 13", PN, "\xe0\xd4", BAD "ﾔ");
	decodes("ISO_IR 166", PN, "\xca\xc1", "สม");
}

static void test_sets_without_code_extensions(void **state)
{
	(void)state;
	decodes("ISO_IR 192", PN, "Wang^XiaoDong=王^小东=", "Wang^XiaoDong=王^小东=");
	decodes("ISO_IR 192", PN, "a\xff\xc3\xa9\xc3", "a" BAD "é" BAD);
	decodes("ISO_IR 192", PN, "\xed\xa0\x80", BAD BAD BAD); /* a surrogate */
	decodes("GB18030", PN, "Wang=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang=王^小东");
	decodes("GB18030", PN, "\x81\x30\x81\x30", "\xc2\x80");
	decodes("GBK", PN, "\xcd\xf5^\x81\x5c", "王^乗"); /* the second byte is a backslash */
}

/* PS3.5 Annexes H to K. */
static void test_code_extensions(void **state)
{
	(void)state;
	decodes("\\ISO 2022 IR 87", PN,
		"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B",
		"Yamada^Tarou=山田^太郎=やまだ");
	decodes("ISO 2022 IR 13\\ISO 2022 IR 87", PN,
		"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
		"ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎");
	decodes("\\ISO 2022 IR 159", LT, "\x1b$(D\x30\x21\x1b(B.", "丂.");
	decodes("\\ISO 2022 IR 149", PN, "Hong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
		"Hong=洪^吉洞");
	decodes("\\ISO 2022 IR 58", PN, "Zhang=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab",
		"Zhang=张^小东");
	decodes("ISO 2022 IR 6\\ISO 2022 IR 126\\ISO 2022 IR 144", LT, "a\x1b-F\xc4 \x1b-L\xbb",
		"aΔ Л");
}

static void test_delimiters_bring_the_first_set_back(void **state)
{
	const char *greek = "ISO 2022 IR 100\\ISO 2022 IR 126";

	(void)state;
	decodes(greek, PN, "\x1b-F\xc4^\xc4=\x1b-F\xc4\\\xc4", "Δ^Ä=Δ\\Ä");
	decodes(greek, LT, "\x1b-F\xc4^\xc4\\\xc4\n\xc4", "Δ^Δ\\Δ\nÄ");
	decodes(greek, NX_VR('L', 'O'), "\x1b-F\xc4^\xc4\\\xc4", "Δ^Δ\\Ä");
}

static void test_a_multi_byte_set_is_used_where_its_escape_is_missing(void **state)
{
	(void)state;
	decodes("\\ISO 2022 IR 149", PN, "\xfb\xf3", "洪");
	decodes("ISO 2022 IR 149", PN, "\xfb\xf3^\xfb\xf3", "洪^洪");
}

static void test_what_cannot_be_decoded_is_replaced(void **state)
{
	(void)state;
	decodes("ISO_IR 9999", PN, "a\xe4", "a" BAD);
	decodes("", PN, "a\x1b", "a" BAD);
	decodes("", PN, "\x1b(Zb", BAD "(Zb");
	decodes("\\ISO 2022 IR 149", PN, "\x1b$)C\xfb", BAD);
	decodes("\\ISO 2022 IR 87", PN, "\x1b$B;", BAD);
	decodes("\\ISO 2022 IR 87", PN, "\x1b$B;\x1b(Bx", BAD "x");
	decodes("ISO_IR 127", PN,
		"\xa1"
		"b",
		BAD "b"); /* not assigned */
}

static void test_terms_are_read_as_writers_spell_them(void **state)
{
	(void)state;
	decodes("ISO_IR_100", PN, "\xe4", "ä");
	decodes("ISO-IR 100 ", PN, "\xe4", "ä");
	decodes("iso2022ir100", PN, "\xe4", "ä");
}

static void test_long_text_is_decoded_whole(void **state)
{
	NX_AUTO_DONE(nx_buf) text;
	NX_AUTO_DONE(nx_buf) out;
	struct nx_err err = {0};

	(void)state;
	nx_buf_init(&text, 1 << 20, 0);
	nx_buf_init(&out, 1 << 20, 0);
	for (int i = 0; i < 5000; i++)
		nx_buf_put_str(&text, "\xcd\xf5");
	assert_ok(nx_charset_decode(nx_slice_str("GB18030"), LT, nx_buf_slice(&text), &out, &err),
		&err);
	assert_int_equal(out.len, 15000);
	assert_memory_equal(out.data + 15000 - 3, "王", 3);
}

static void test_a_full_buffer_is_an_error(void **state)
{
	NX_AUTO_DONE(nx_buf) out;

	(void)state;
	nx_buf_init(&out, 2, 0);
	assert_rc(nx_charset_decode(
			  nx_slice_str("ISO_IR 100"), PN, nx_slice_str("\xe4\xe4"), &out, NULL),
		NX_E_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single_byte_sets),
		cmocka_unit_test(test_sets_without_code_extensions),
		cmocka_unit_test(test_code_extensions),
		cmocka_unit_test(test_delimiters_bring_the_first_set_back),
		cmocka_unit_test(test_a_multi_byte_set_is_used_where_its_escape_is_missing),
		cmocka_unit_test(test_what_cannot_be_decoded_is_replaced),
		cmocka_unit_test(test_terms_are_read_as_writers_spell_them),
		cmocka_unit_test(test_long_text_is_decoded_whole),
		cmocka_unit_test(test_a_full_buffer_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "nx_test.h"

#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "http/http.h"

/* Everything the callbacks hear, as text: <type,location>data</>. */
struct heard {
	struct nx_buf log;
	nx_rc refuse;
};

static nx_rc on_begin(void *payload, const char *type, const char *location, struct nx_err *err)
{
	struct heard *heard = payload;

	nx_buf_printf(&heard->log, "<%s,%s>", type ? type : "-", location ? location : "-");
	return heard->refuse ? nx_err_set(err, heard->refuse, "refused") : NX_OK;
}

static nx_rc on_data(void *payload, struct nx_slice data, struct nx_err *err)
{
	struct heard *heard = payload;

	(void)err;
	assert_true(data.n > 0);
	nx_buf_put_slice(&heard->log, data);
	return NX_OK;
}

static nx_rc on_end(void *payload, struct nx_err *err)
{
	struct heard *heard = payload;

	(void)err;
	nx_buf_put_str(&heard->log, "</>");
	return NX_OK;
}

static const struct nx_multipart_cb cb = {on_begin, on_data, on_end};
static const char type_b[] = "multipart/related; type=\"application/dicom\"; boundary=b";

/* Feed in pieces of at most `step` bytes, from copies of their own so that ASan sees overreads. */
static nx_rc feed(struct heard *heard, const char *type, const char *text, size_t n, size_t step)
{
	NX_AUTO(nx_multipart) *mp = NULL;
	struct nx_err err = {0};
	size_t take;
	char *copy;
	nx_rc rc;

	nx_buf_init(&heard->log, 1 << 20, 0);
	rc = nx_multipart_new(type, &cb, heard, &mp, &err);
	for (size_t i = 0; i < n && !rc; i += take) {
		take = n - i < step ? n - i : step;
		copy = malloc(take);
		assert_non_null(copy);
		memcpy(copy, text + i, take);
		rc = nx_multipart_feed(mp, copy, take, &err);
		free(copy);
	}
	return rc ? rc : nx_multipart_finish(mp, &err);
}

static void expect(const char *text, const char *want)
{
	for (size_t step = 1; step <= strlen(text); step++) {
		struct heard heard = {0};

		assert_rc(feed(&heard, type_b, text, strlen(text), step), NX_OK);
		assert_string_equal(nx_buf_cstr(&heard.log), want);
		nx_buf_done(&heard.log);
	}
}

static void expect_rc(const char *text, nx_rc want)
{
	for (size_t step = 1; step <= strlen(text); step++) {
		struct heard heard = {0};

		assert_rc(feed(&heard, type_b, text, strlen(text), step), want);
		nx_buf_done(&heard.log);
	}
}

static void test_parts_come_whole_however_they_are_cut(void **state)
{
	(void)state;
	expect("--b\r\nContent-Type: application/dicom\r\n\r\none\r\n"
	       "--b  \t\r\ncontent-LOCATION:  /x \r\nX: y\r\n\r\n\r\ntwo\r\n\r\n--b--\r\nignored",
		"<application/dicom,->one</><-,/x>\r\ntwo\r\n</>");
}

static void test_preamble_is_skipped(void **state)
{
	(void)state;
	expect("hello\r\n--c\r\n--b\r\n\r\nx\r\n--b--", "<-,->x</>");
	expect("\r\n--b\r\n\r\nx\r\n--b--", "<-,->x</>");
}

static void test_empty_parts_are_parts(void **state)
{
	(void)state;
	expect("--b\r\n\r\n\r\n--b--", "<-,-></>");
	expect("--b\r\nA: b\r\n\r\n--b\r\n\r\n\r\n--b--", "<-,-></><-,-></>");
}

static void test_lookalikes_are_data(void **state)
{
	(void)state;
	expect("--b\r\n\r\n--a\r\n-b\r\r\n--\r\n--c--b\n--b\r\n--b--",
		"<-,->--a\r\n-b\r\r\n--\r\n--c--b\n--b</>");
	expect("--b\r\n\r\n-\r\n--b--", "<-,->-</>");
	expect("--b\r\n\r\n\r\r\n\r\n--b--", "<-,->\r\r\n</>");
}

static void test_what_follows_a_boundary_must_be_padding(void **state)
{
	(void)state;
	expect_rc("--bx\r\n\r\nx\r\n--b--", NX_E_MALFORMED);
	expect_rc("--b\r\n\r\nx\r\n--b-\r\n", NX_E_MALFORMED);
	expect_rc("--b\n\nx\n--b--", NX_E_MALFORMED);
	expect_rc("--b -", NX_E_MALFORMED);
}

static void test_missing_end_is_short(void **state)
{
	(void)state;
	expect_rc("--b\r\n\r\nx", NX_E_SHORT);
	expect_rc("--b\r\n\r\nx\r\n--b", NX_E_SHORT);
	expect_rc("--b\r\n\r\nx\r\n--b-", NX_E_SHORT);
	expect_rc("nothing", NX_E_SHORT);
}

static void test_bad_part_headers_are_refused(void **state)
{
	(void)state;
	expect_rc("--b\r\nnonsense\r\n\r\nx\r\n--b--", NX_E_MALFORMED);
	expect_rc("--b\r\nA: b\r\n folded\r\n\r\nx\r\n--b--", NX_E_MALFORMED);
	expect_rc(
		"--b\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\nx\r\n--b--", NX_E_MALFORMED);
	expect_rc("--b\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n--b--", NX_E_UNSUPPORTED);
	expect("--b\r\nContent-Transfer-Encoding: Binary\r\n\r\nx\r\n--b--", "<-,->x</>");
}

static void test_headers_and_preamble_have_limits(void **state)
{
	enum {
		LEN = 40000
	};
	char *text = malloc(LEN);
	struct heard heard = {0};

	(void)state;
	assert_non_null(text);
	memset(text, 'a', LEN);
	assert_rc(feed(&heard, type_b, text, LEN, 1000), NX_E_LIMIT);
	nx_buf_done(&heard.log);
	memcpy(text, "--b\r\nA: ", 8);
	assert_rc(feed(&heard, type_b, text, LEN, 1000), NX_E_LIMIT);
	nx_buf_done(&heard.log);
	free(text);
}

static void test_callback_failure_ends_the_feed(void **state)
{
	struct heard heard = {.refuse = NX_E_DENIED};
	const char *text = "--b\r\n\r\nx\r\n--b--";

	(void)state;
	assert_rc(feed(&heard, type_b, text, strlen(text), 100), NX_E_DENIED);
	nx_buf_done(&heard.log);
}

static void test_boundary_comes_from_the_content_type(void **state)
{
	static const struct {
		const char *type;
		nx_rc rc;
	} cases[] = {
		{"multipart/related; boundary=\"b\"; type=\"application/dicom\"", NX_OK},
		{"Multipart/Related;Boundary=b", NX_OK},
		{"multipart/related; type=\"x;boundary=no\"; boundary=b", NX_OK},
		{"multipart/related", NX_E_MALFORMED},
		{"multipart/related; boundary=", NX_E_MALFORMED},
		{"multipart/related; boundary=\"b \"", NX_E_MALFORMED},
		{"multipart/related; boundary=\"b\x01\"", NX_E_MALFORMED},
		{"multipart/related; boundary=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			NX_E_MALFORMED},
		{"multipart/form-data; boundary=b", NX_E_UNSUPPORTED},
		{"application/dicom", NX_E_UNSUPPORTED},
		{"", NX_E_UNSUPPORTED},
		{NULL, NX_E_UNSUPPORTED},
	};
	const char *text = "--b\r\n\r\nx\r\n--b--";

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		struct heard heard = {0};

		assert_rc(feed(&heard, cases[i].type, text, strlen(text), 3), cases[i].rc);
		nx_buf_done(&heard.log);
	}
}

/* Random data made of the delimiter's own bytes, random cuts: what went in comes out. */
static void test_random_data_survives_random_cuts(void **state)
{
	static const char alphabet[] = "\r\n--boundary";
	static const char type[] = "multipart/related; boundary=boundary";
	unsigned seed = 12345;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		char data[400], text[600], want[600];
		struct heard heard = {0};
		size_t n = 0, len = (size_t)(rand_r(&seed) % 300);

		while (n < len)
			if (rand_r(&seed) % 3)
				data[n++] = alphabet[rand_r(&seed) % 12];
			else
				for (size_t k = 0, m = (size_t)(rand_r(&seed) % 12); k < m; k++)
					data[n++] = alphabet[k]; /* a long start of the delimiter */
		data[n] = '\0';
		if (strstr(data, "\r\n--boundary") || strncmp(data, "--boundary", 10) == 0)
			continue;
		(void)snprintf(
			text, sizeof(text), "--boundary\r\nA: b\r\n\r\n%s\r\n--boundary--", data);
		(void)snprintf(want, sizeof(want), "<-,->%s</>", data);
		assert_rc(feed(&heard, type, text, strlen(text), (size_t)(1 + rand_r(&seed) % 40)),
			NX_OK);
		assert_string_equal(nx_buf_cstr(&heard.log), want);
		nx_buf_done(&heard.log);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts_come_whole_however_they_are_cut),
		cmocka_unit_test(test_preamble_is_skipped),
		cmocka_unit_test(test_empty_parts_are_parts),
		cmocka_unit_test(test_lookalikes_are_data),
		cmocka_unit_test(test_what_follows_a_boundary_must_be_padding),
		cmocka_unit_test(test_missing_end_is_short),
		cmocka_unit_test(test_bad_part_headers_are_refused),
		cmocka_unit_test(test_headers_and_preamble_have_limits),
		cmocka_unit_test(test_callback_failure_ends_the_feed),
		cmocka_unit_test(test_boundary_comes_from_the_content_type),
		cmocka_unit_test(test_random_data_survives_random_cuts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "nx_test.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

#include "http/http_priv.h"
#include "nx_torture.h"

enum {
	TEXT_LEN = 3 * 1000 * 1000
};

struct source {
	uint8_t *text;
	size_t at;
	size_t fail_at; /* 0: never */
};

/* Pieces of all sizes, of which some compress and some do not. */
static void source_init(struct source *s)
{
	uint32_t v = 1;

	*s = (struct source){.text = malloc(TEXT_LEN)};
	assert_non_null(s->text);
	for (size_t i = 0; i < TEXT_LEN; i++) {
		v = v * 1664525u + 1013904223u;
		s->text[i] = i / 100000 % 2 ? (uint8_t)(v >> 24) : (uint8_t)("0123456789"[i % 10]);
	}
}

static nx_rc source_read(void *payload, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	struct source *s = payload;

	if (s->fail_at && s->at >= s->fail_at)
		return nx_err_set(err, NX_E_CORRUPT, "segment 2");
	n = n < TEXT_LEN - s->at ? n : TEXT_LEN - s->at;
	n = n > 7777 ? 7777 : n;
	memcpy(p, s->text + s->at, n);
	s->at += n;
	*ret_n = n;
	return NX_OK;
}

static nx_rc coded_all(struct source *s, enum nx_coding coding, size_t piece, struct nx_buf *out)
{
	NX_AUTO(nx_coder) *coder = nx_coder_new(coding, source_read, s);
	uint8_t bytes[4096];
	size_t n = 1;
	nx_rc rc = coder ? NX_OK : NX_E_NOMEM;

	while (!rc && n) {
		rc = nx_coder_read(coder, bytes, piece, &n, NULL);
		if (!rc)
			nx_buf_put(out, bytes, n);
	}
	return rc;
}

static size_t gunzip(struct nx_slice in, uint8_t *out, size_t max)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)in.p,
		.avail_in = (uInt)in.n,
		.next_out = out,
		.avail_out = (uInt)max};

	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.avail_in, 0);
	(void)inflateEnd(&z);
	return max - z.avail_out;
}

static size_t decoded(enum nx_coding coding, struct nx_slice in, uint8_t *out, size_t max)
{
	if (coding == NX_CODING_GZIP)
		return gunzip(in, out, max);
	return ZSTD_decompress(out, max, in.p, in.n);
}

static void test_what_is_coded_is_decoded_by_others(void **state)
{
	static const size_t pieces[] = {1, 100, 4096};
	uint8_t *back = malloc(TEXT_LEN + 1);
	struct source s;

	(void)state;
	assert_non_null(back);
	source_init(&s);
	for (enum nx_coding c = NX_CODING_ZSTD; c <= NX_CODING_GZIP; c++)
		for (size_t i = 0; i < NX_ARRAY_LEN(pieces); i++) {
			NX_AUTO_DONE(nx_buf) out;

			nx_buf_init(&out, TEXT_LEN * 2, 0);
			s.at = 0;
			assert_rc(coded_all(&s, c, pieces[i], &out), NX_OK);
			assert_true(out.len < TEXT_LEN * 2 / 3);
			assert_int_equal(
				decoded(c, nx_buf_slice(&out), back, TEXT_LEN + 1), TEXT_LEN);
			assert_memory_equal(back, s.text, TEXT_LEN);
		}
	free(back);
	free(s.text);
}

static void test_a_body_that_breaks_off_is_never_ended(void **state)
{
	struct source s;

	(void)state;
	source_init(&s);
	s.fail_at = TEXT_LEN / 2;
	for (enum nx_coding c = NX_CODING_ZSTD; c <= NX_CODING_GZIP; c++) {
		NX_AUTO_DONE(nx_buf) out;

		nx_buf_init(&out, TEXT_LEN, 0);
		s.at = 0;
		assert_rc(coded_all(&s, c, 4096, &out), NX_E_CORRUPT);
	}
	free(s.text);
}

static void test_the_coding_that_is_liked_best(void **state)
{
	static const struct {
		const char *accept;
		const char *coding;
	} rows[] = {{NULL, ""}, {"", ""}, {"gzip", "gzip"}, {"gzip, deflate, br", "gzip"},
		{"gzip, deflate, br, zstd", "zstd"}, {"GZIP", "gzip"}, {"*", "zstd"},
		{"zstd;q=0.4, gzip;q=0.5", "gzip"}, {"gzip;q=0", ""}, {"*, zstd;q=0", "gzip"},
		{"identity", ""}, {"identity;q=0.5, gzip", "gzip"}, {"identity, gzip;q=0.5", ""},
		{"br;q=1, ;q=1,,", ""}, {"*;q=0", ""}, {"gzip;q=0, identity;q=0", ""}};

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(rows); i++)
		assert_string_equal(
			nx_coding_name(nx_coding_choose(rows[i].accept)), rows[i].coding);
}

static void test_origins_are_listed_whole(void **state)
{
	const char *list = "https://a.example.org  http://b:8080";

	(void)state;
	assert_true(nx_cors_listed(list, "https://a.example.org"));
	assert_true(nx_cors_listed(list, "HTTPS://a.example.org"));
	assert_true(nx_cors_listed(list, "http://b:8080"));
	assert_false(nx_cors_listed(list, "http://b"));
	assert_false(nx_cors_listed(list, "https://a.example.org.evil.example"));
	assert_false(nx_cors_listed(list, ""));
	assert_false(nx_cors_listed(list, "null"));
	assert_false(nx_cors_listed("", ""));
}

static void test_dates_are_those_of_rfc_9110(void **state)
{
	char text[NX_HTTP_DATE];
	int64_t us = 0;

	(void)state;
	nx_http_date_format(784111777123456, text);
	assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
	assert_true(nx_http_date_parse(text, &us));
	assert_i64(us, 784111777000000);
	assert_false(nx_http_date_parse("Sunday, 06-Nov-94 08:49:37 GMT", &us));
	assert_false(nx_http_date_parse("Sun, 06 Nov 1994 08:49:37 GMT+1", &us));
	assert_false(nx_http_date_parse("", &us));
}

static nx_rc tortured(void *payload)
{
	NX_AUTO_DONE(nx_buf) out;
	struct source *s = payload;

	nx_buf_init(&out, TEXT_LEN, 0);
	s->at = TEXT_LEN - 5000;
	return coded_all(s, NX_CODING_GZIP, 4096, &out);
}

static void test_memory_that_is_not_there(void **state)
{
	struct source s;

	(void)state;
	source_init(&s);
	assert_true(nx_torture(tortured, &s) > 0);
	free(s.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_coded_is_decoded_by_others),
		cmocka_unit_test(test_a_body_that_breaks_off_is_never_ended),
		cmocka_unit_test(test_the_coding_that_is_liked_best),
		cmocka_unit_test(test_origins_are_listed_whole),
		cmocka_unit_test(test_dates_are_those_of_rfc_9110),
		cmocka_unit_test(test_memory_that_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

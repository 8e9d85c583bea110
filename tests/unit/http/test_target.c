#include "nx_test.h"

#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "http/http_priv.h"

static void test_ranges(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
		nx_rc rc;
		uint64_t off, len;
	} cases[] = {
		{"bytes=0-0", 10, NX_OK, 0, 1},
		{"bytes=2-5", 10, NX_OK, 2, 4},
		{"bytes=2-", 10, NX_OK, 2, 8},
		{"bytes=-3", 10, NX_OK, 7, 3},
		{"bytes=-30", 10, NX_OK, 0, 10},
		{"bytes=9-99999999999999999999999999", 10, NX_OK, 9, 1},
		{"bytes=10-", 10, NX_E_RANGE, 0, 0},
		{"bytes=99999999999999999999999999-", 10, NX_E_RANGE, 0, 0},
		{"bytes=-0", 10, NX_E_RANGE, 0, 0},
		{"bytes=0-", 0, NX_E_RANGE, 0, 0},
		{"bytes=-1", 0, NX_E_RANGE, 0, 0},
		{"bytes=5-2", 10, NX_E_NOENT, 0, 0},
		{"bytes=0-1,3-4", 10, NX_E_NOENT, 0, 0},
		{"bytes=", 10, NX_E_NOENT, 0, 0},
		{"bytes=-", 10, NX_E_NOENT, 0, 0},
		{"bytes=a-b", 10, NX_E_NOENT, 0, 0},
		{"items=0-1", 10, NX_E_NOENT, 0, 0},
		{"", 10, NX_E_NOENT, 0, 0},
		{NULL, 10, NX_E_NOENT, 0, 0},
	};
	uint64_t off, len;

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		off = len = 0;
		assert_rc(nx_http_range_parse(cases[i].text, cases[i].size, &off, &len, NULL),
			cases[i].rc);
		assert_u64(off, cases[i].off);
		assert_u64(len, cases[i].len);
	}
}

static void test_query_pairs(void **state)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(NX_MIB, 0);
	static const char text[] = "&a=1&&b=%41%3d+c&empty=&flag&a=2&";
	static const char *const want[][2] = {
		{"a", "1"}, {"b", "A= c"}, {"empty", ""}, {"flag", ""}, {"a", "2"}};
	struct nx_http_pair *pairs;
	size_t n;

	(void)state;
	assert_rc(nx_http_query_parse(arena, text, &pairs, &n, NULL), NX_OK);
	assert_int_equal(n, NX_ARRAY_LEN(want));
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(pairs[i].key, want[i][0]);
		assert_string_equal(pairs[i].value, want[i][1]);
	}
}

static void test_too_many_query_pairs_are_a_limit(void **state)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(NX_MIB, 0);
	char text[NX_LIMIT_HTTP_QUERY + 2] = {0};
	struct nx_http_pair *pairs;
	size_t n;

	(void)state;
	memset(text, '&', NX_LIMIT_HTTP_QUERY - 1);
	assert_rc(nx_http_query_parse(arena, text, &pairs, &n, NULL), NX_OK);
	text[NX_LIMIT_HTTP_QUERY - 1] = '&';
	assert_rc(nx_http_query_parse(arena, text, &pairs, &n, NULL), NX_E_LIMIT);
}

static const struct nx_route some[] = {
	{"GET", "/studies", 1, 1, NULL, "list"},
	{"POST", "/studies", 1, 1, NULL, "store"},
	{"GET", "/studies/special", 1, 1, NULL, "literal"},
	{"GET", "/studies/{study}", 1, 1, NULL, "one"},
	{"GET", "/studies/{study}/series/{series}", 1, 1, NULL, "series"},
	{0},
};
static const struct nx_route rest[] = {
	{"GET", "/{key...}", 1, 1, NULL, "rest"},
	{"HEAD", "/{key...}", 1, 1, NULL, "rest-head"},
	{"GET", "", 1, 1, NULL, "root"},
	{0},
};
static const struct nx_route_table tables[] = {{"/dw", some, NULL}, {"/s3", rest, NULL}};

static void expect(const char *method, const char *path, nx_rc rc, const char *want)
{
	struct nx_route_match m;

	assert_rc(nx_route_find(tables, NX_ARRAY_LEN(tables), method, path, &m, NULL), rc);
	if (want)
		assert_string_equal(rc ? m.allow : m.route->summary, want);
}

static void test_routes(void **state)
{
	(void)state;
	expect("GET", "/dw/studies", NX_OK, "list");
	expect("HEAD", "/dw/studies", NX_OK, "list");
	expect("POST", "/dw/studies", NX_OK, "store");
	expect("PUT", "/dw/studies", NX_E_METHOD, "GET, HEAD, POST");
	expect("GET", "/dw/studies/special", NX_OK, "literal");
	expect("GET", "/dw/studies/1.2", NX_OK, "one");
	expect("GET", "/dw/studies/1.2/series/3", NX_OK, "series");
	expect("GET", "/dw/studies/", NX_E_NOENT, NULL);
	expect("GET", "/dw/studies/1.2/", NX_E_NOENT, NULL);
	expect("GET", "/dw/studies/1.2/series", NX_E_NOENT, NULL);
	expect("GET", "/dwx/studies", NX_E_NOENT, NULL);
	expect("GET", "/s3/a//b/", NX_OK, "rest");
	expect("HEAD", "/s3/a", NX_OK, "rest-head");
	expect("GET", "/s3", NX_OK, "root");
	expect("GET", "/s3/", NX_E_NOENT, NULL);
	expect("get", "/s3", NX_E_METHOD, "GET, HEAD");
}

static void test_route_parameters(void **state)
{
	struct nx_route_match m;

	(void)state;
	assert_rc(nx_route_find(tables, 2, "GET", "/dw/studies/1.2/series/3", &m, NULL), NX_OK);
	assert_int_equal(m.n_params, 2);
	assert_true(nx_slice_eq(m.params[0].name, nx_slice_str("study")));
	assert_true(nx_slice_eq(m.params[0].value, nx_slice_str("1.2")));
	assert_true(nx_slice_eq(m.params[1].name, nx_slice_str("series")));
	assert_true(nx_slice_eq(m.params[1].value, nx_slice_str("3")));
	assert_rc(nx_route_find(tables, 2, "GET", "/s3/a//b/", &m, NULL), NX_OK);
	assert_true(nx_slice_eq(m.params[0].name, nx_slice_str("key")));
	assert_true(nx_slice_eq(m.params[0].value, nx_slice_str("a//b/")));
}

static void test_a_prefix_may_have_parameters(void **state)
{
	static int root, named;
	static const struct nx_route_table mounts[] = {
		{"/dw", some, &root}, {"/dw/{collection}", some, &named}};
	struct nx_route_match m;

	(void)state;
	assert_rc(nx_route_find(mounts, 2, "GET", "/dw/studies", &m, NULL), NX_OK);
	assert_ptr_equal(m.table->context, &root);
	assert_int_equal(m.mount_len, strlen("/dw"));
	assert_int_equal(m.n_params, 0);
	assert_rc(nx_route_find(mounts, 2, "GET", "/dw/ct/studies/1.2", &m, NULL), NX_OK);
	assert_ptr_equal(m.table->context, &named);
	assert_int_equal(m.mount_len, strlen("/dw/ct"));
	assert_int_equal(m.n_params, 2);
	assert_true(nx_slice_eq(m.params[0].name, nx_slice_str("collection")));
	assert_true(nx_slice_eq(m.params[0].value, nx_slice_str("ct")));
	assert_true(nx_slice_eq(m.params[1].value, nx_slice_str("1.2")));
	assert_rc(nx_route_find(mounts, 2, "GET", "/dw//studies", &m, NULL), NX_E_NOENT);
	assert_rc(nx_route_find(mounts, 2, "GET", "/dwx/ct/studies", &m, NULL), NX_E_NOENT);
	assert_rc(nx_route_find(mounts, 2, "PUT", "/dw/ct/studies", &m, NULL), NX_E_METHOD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_query_pairs),
		cmocka_unit_test(test_too_many_query_pairs_are_a_limit),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_route_parameters),
		cmocka_unit_test(test_a_prefix_may_have_parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

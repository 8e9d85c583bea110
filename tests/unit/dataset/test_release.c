#include "unit/dataset/dataset_fixture.h"

static int setup(void **state)
{
	return fx_setup(state);
}

static struct nx_slice manifest(struct fixture *fx, struct nx_releases *r, int64_t version)
{
	NX_AUTO_DONE(nx_buf) out;
	struct nx_slice copy;

	nx_buf_init(&out, 64u << 20, 0);
	assert_ok(nx_release_manifest(r, &fx_admin, "lung-ct", version, &out, &fx->err), &fx->err);
	copy = nx_slice(nx_arena_copy(fx->arena, out.data, out.len), out.len);
	return copy;
}

static const char *verifier(struct fixture *fx, struct nx_releases *r)
{
	NX_AUTO_DONE(nx_buf) out;

	nx_buf_init(&out, 1024, 0);
	assert_ok(nx_release_verifier_key(r, &out, &fx->err), &fx->err);
	return nx_arena_str(fx->arena, (const char *)out.data, out.len);
}

static void test_the_same_selection_has_the_same_root(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_releases) *r = fx_releases(fx);
	struct nx_release_result a, b;
	struct nx_deid_result deid[2];

	fx_fill(fx, deid);
	a = fx_release(fx, r);
	b = fx_release(fx, r);
	assert_i64(a.version, 1);
	assert_i64(b.version, 2);
	assert_u64(a.n_items, 4);
	assert_memory_equal(a.root, b.root, 32);
}

static void test_a_selection_is_a_part(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_releases) *r = fx_releases(fx);
	struct nx_deid_result deid[2];
	const char *studies[2];
	struct nx_release_opts opts = {.who = &fx_admin,
		.collection = "curated",
		.name = "half",
		.studies = studies,
		.n_studies = 2};
	struct nx_release_result result;

	fx_fill(fx, deid);
	studies[0] = deid[0].study;
	studies[1] = deid[0].study; /* named twice, there once */
	assert_ok(nx_release_make(r, &opts, &result, &fx->err), &fx->err);
	assert_u64(result.n_items, 2);
	studies[1] = "1.2.3.no";
	assert_rc(nx_release_make(r, &opts, &result, &fx->err), NX_E_NOENT);
}

static void test_the_manifest_says_what_is_there(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_releases) *r = fx_releases(fx);
	struct nx_release_result made;
	struct nx_deid_result deid[2];
	struct nx_manifest m;

	fx_fill(fx, deid);
	made = fx_release(fx, r);
	assert_ok(nx_manifest_parse(manifest(fx, r, 0), verifier(fx, r), fx->arena, &m, &fx->err),
		&fx->err);
	assert_string_equal(m.name, "lung-ct");
	assert_i64(m.version, 1);
	assert_int_equal(m.n_entries, 4);
	assert_memory_equal(m.root, made.root, 32);
	for (size_t i = 1; i < m.n_entries; i++)
		assert_true(nx_manifest_compare(&m.entries[i - 1], &m.entries[i]) < 0);
	for (size_t i = 0; i < m.n_entries; i++)
		assert_true(strcmp(m.entries[i].pseudonym, deid[0].pseudonym) == 0 ||
			strcmp(m.entries[i].pseudonym, deid[1].pseudonym) == 0);
}

/* Every byte that is changed is noticed, or the manifest says the same. */
static void test_a_changed_manifest_is_refused(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_releases) *r = fx_releases(fx);
	struct nx_deid_result deid[2];
	struct nx_manifest m;
	struct nx_slice good;
	const char *key;
	uint8_t *bad;

	fx_fill(fx, deid);
	(void)fx_release(fx, r);
	key = verifier(fx, r);
	good = manifest(fx, r, 1);
	bad = nx_arena_copy(fx->arena, good.p, good.n);
	for (size_t i = 0; i < good.n; i++) {
		nx_rc rc;

		bad[i] ^= 1;
		rc = nx_manifest_parse(nx_slice(bad, good.n), key, fx->arena, &m, &fx->err);
		assert_true(rc == NX_E_CORRUPT || rc == NX_E_VERSION);
		bad[i] ^= 1;
	}
	for (size_t n = 0; n < good.n; n += 7)
		assert_true(nx_manifest_parse(nx_slice(good.p, n), key, fx->arena, &m, &fx->err));
}

static void entries_write(struct nx_manifest_writer *w, size_t n, size_t without, uint8_t root[32],
	struct nx_err *err)
{
	nx_manifest_writer_init(w, 64u << 20);
	for (size_t i = 0; i < n; i++) {
		char instance[16];
		struct nx_manifest_blob blob = {.len = i};
		struct nx_manifest_entry e = {.pseudonym = "NX-A",
			.series = "2.25.1",
			.instance = instance,
			.blobs = &blob,
			.n_blobs = 1};

		(void)snprintf(instance, sizeof(instance), "2.25.%06zu", i);
		if (i != without)
			assert_ok(nx_manifest_writer_put(w, &e, err), err);
	}
	assert_ok(nx_manifest_writer_finish(w, root, err), err);
}

static void test_a_change_touches_its_page_only(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO_DONE(nx_manifest_writer) a;
	NX_AUTO_DONE(nx_manifest_writer) b;
	NX_AUTO_DONE(nx_buf) whole;
	struct nx_key seed = {{3}};
	struct nx_manifest m;
	size_t same = 0, lines = 0;
	uint8_t ra[32], rb[32];

	entries_write(&a, 5000, SIZE_MAX, ra, &fx->err);
	entries_write(&b, 5000, 2500, rb, &fx->err);
	assert_true(a.n_pages > 40 && a.n_pages < 140);
	assert_memory_not_equal(ra, rb, 32);
	for (const char *at = (const char *)a.pages.data; at;
		at = memmem(at + 1, a.pages.len - (size_t)(at + 1 - (const char *)a.pages.data),
			"page ", 5)) {
		const char *end = strchr(at, '\n');

		lines++;
		same += memmem(b.pages.data, b.pages.len, at, (size_t)(end - at)) != NULL;
	}
	assert_u64(lines, a.n_pages);
	assert_u64(same, a.n_pages - 1);
	nx_buf_init(&whole, 64u << 20, 0);
	assert_ok(nx_manifest_head(&a,
			  &(struct nx_manifest_title){
				  .name = "x", .version = 3, .root = ra, .origin = "example.org"},
			  &seed, &whole, &fx->err),
		&fx->err);
	nx_buf_put_slice(&whole, nx_buf_slice(&a.pages));
	assert_ok(nx_manifest_parse(nx_buf_slice(&whole), NULL, fx->arena, &m, &fx->err), &fx->err);
	assert_u64(m.n_entries, 5000);
	assert_u64(m.n_pages, a.n_pages);
}

static void test_who_may_not_cannot_release(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_releases) *r = fx_releases(fx);
	struct nx_principal trainer = {
		.kind = NX_PRINCIPAL_TOKEN, .name = "gpu", .role = "trainer"};
	struct nx_release_opts opts = {.who = &trainer, .collection = "curated", .name = "lung-ct"};
	struct nx_deid_result deid[2];
	struct nx_release_result result;

	fx_fill(fx, deid);
	assert_rc(nx_release_make(r, &opts, &result, &fx->err), NX_E_DENIED);
	opts.who = &fx_admin;
	opts.name = "../x";
	assert_rc(nx_release_make(r, &opts, &result, &fx->err), NX_E_INVAL);
	opts.name = "ok";
	opts.collection = "clinical"; /* not curated */
	assert_rc(nx_release_make(r, &opts, &result, &fx->err), NX_E_INVAL);
}

static void test_the_list_names_published_releases(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_releases) *r = fx_releases(fx);
	struct nx_principal reader = {
		.kind = NX_PRINCIPAL_TOKEN, .name = "reader", .role = "reader"};
	NX_AUTO_DONE(nx_buf) out;
	struct nx_deid_result deid[2];

	nx_buf_init(&out, 65536, 0);
	fx_fill(fx, deid);
	(void)fx_release(fx, r);
	(void)fx_release(fx, r);
	assert_ok(nx_release_list_json(r, &fx_admin, NULL, &out, &fx->err), &fx->err);
	assert_non_null(strstr(nx_buf_cstr(&out), "\"version\":1"));
	assert_non_null(strstr(nx_buf_cstr(&out), "\"version\":2"));
	assert_rc(nx_release_list_json(r, &reader, NULL, &out, &fx->err), NX_E_DENIED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fx_teardown)
		T(test_the_same_selection_has_the_same_root),
		T(test_a_selection_is_a_part),
		T(test_the_manifest_says_what_is_there),
		T(test_a_changed_manifest_is_refused),
		T(test_a_change_touches_its_page_only),
		T(test_who_may_not_cannot_release),
		T(test_the_list_names_published_releases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "unit/archive/archive_fixture.h"

#include "dicomweb/dicomweb_priv.h"

static const struct nx_principal admin = {
	.kind = NX_PRINCIPAL_TOKEN, .name = "tester", .role = "admin", .session = "s1"};
static const char *const sops[] = {"1.2.3.9.1", "1.2.3.9.2", "1.2.3.9.3"};

enum {
	HEADER = 5000,
	BULK = 70000,
	PART = HEADER + BULK
};

static struct nx_instances *open_some(
	struct fixture *fx, struct nx_retrieve *retrieve, const char *instance)
{
	const struct nx_selection sel = {.collection = "clinical",
		.study = "1.2.3",
		.series = "1.2.3.9",
		.instance = instance};
	struct nx_instances *x = NULL;

	assert_ok(nx_retrieve_open(retrieve, &admin, &sel, &x, &fx->err), &fx->err);
	return x;
}

static void put_all(struct fixture *fx)
{
	struct nx_put put;

	for (uint32_t i = 0; i < NX_ARRAY_LEN(sops); i++)
		assert_ok(fx_put(fx, "P1", "1.2.3", sops[i], HEADER, BULK, i * 10, &put), &fx->err);
}

/* The whole body, read `piece` bytes at a time. */
static size_t read_all(struct fixture *fx, struct dw_stream *s, size_t piece, uint8_t **ret)
{
	size_t max = (size_t)dw_stream_length(s), at = 0, n = 1;
	uint8_t *p = nx_arena_alloc(fx->arena, max + piece);

	assert_non_null(p);
	while (n) {
		assert_ok(dw_stream_read(s, p + at, piece, &n, &fx->err), &fx->err);
		at += n;
		assert_true(at <= max);
	}
	*ret = p;
	return at;
}

static void expect_part(struct fixture *fx, const uint8_t **at, size_t i)
{
	const uint8_t *data = memmem(*at, 2048, "\r\n\r\n", 4);

	assert_non_null(data);
	assert_non_null(memmem(*at, (size_t)(data - *at), sops[i], strlen(sops[i])));
	data += 4;
	assert_memory_equal(data, fx_bytes(fx, HEADER, (uint32_t)i * 10), HEADER);
	assert_memory_equal(data + HEADER, fx_bytes(fx, BULK, (uint32_t)i * 10 + 1), BULK);
	*at = data + PART;
}

static void test_length_and_parts_for_pieces_of_any_size(void **state)
{
	static const size_t pieces[] = {1, 7, 4096, 262144, 1000000};
	const struct dw_form form = {.media = "application/dicom",
		.with_syntax = true,
		.multipart = true,
		.len = UINT64_MAX};
	struct fixture *fx = *state;
	struct nx_retrieve *retrieve = nx_retrieve_new(fx->archive);

	put_all(fx);
	for (size_t k = 0; k < NX_ARRAY_LEN(pieces); k++) {
		NX_AUTO(dw_stream) *s = NULL;
		const uint8_t *at;
		uint8_t *body;

		assert_ok(dw_stream_new(
				  open_some(fx, retrieve, NULL), "http://h", &form, &s, &fx->err),
			&fx->err);
		assert_u64(read_all(fx, s, pieces[k], &body), dw_stream_length(s));
		at = body;
		assert_memory_equal(at, "--", 2);
		for (size_t i = 0; i < NX_ARRAY_LEN(sops); i++)
			expect_part(fx, &at, i);
		assert_memory_equal(body + dw_stream_length(s) - 4, "--\r\n", 4);
	}
	nx_retrieve_free(retrieve);
}

static void test_a_range_of_one_instance(void **state)
{
	const struct dw_form form = {
		.media = "application/octet-stream", .off = HEADER - 10, .len = 30};
	struct fixture *fx = *state;
	struct nx_retrieve *retrieve = nx_retrieve_new(fx->archive);
	NX_AUTO(dw_stream) *s = NULL;
	uint8_t *body;

	put_all(fx);
	assert_ok(
		dw_stream_new(open_some(fx, retrieve, sops[1]), "", &form, &s, &fx->err), &fx->err);
	assert_u64(read_all(fx, s, 8, &body), 30);
	assert_memory_equal(body, fx_bytes(fx, HEADER, 10) + HEADER - 10, 10);
	assert_memory_equal(body + 10, fx_bytes(fx, BULK, 11), 20);
	nx_retrieve_free(retrieve);
}

static void test_an_instance_that_ends_early_cuts_the_body(void **state)
{
	const struct dw_form form = {.media = "application/dicom", .len = PART + 1};
	struct fixture *fx = *state;
	struct nx_retrieve *retrieve = nx_retrieve_new(fx->archive);
	NX_AUTO(dw_stream) *s = NULL;
	uint8_t *p = nx_arena_alloc(fx->arena, PART + 10);
	size_t n = 0;

	put_all(fx);
	assert_ok(
		dw_stream_new(open_some(fx, retrieve, sops[0]), "", &form, &s, &fx->err), &fx->err);
	assert_rc(dw_stream_read(s, p, PART + 10, &n, &fx->err), NX_E_CORRUPT);
	nx_retrieve_free(retrieve);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_length_and_parts_for_pieces_of_any_size, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(
			test_a_range_of_one_instance, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(
			test_an_instance_that_ends_early_cuts_the_body, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

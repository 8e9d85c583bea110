#include "archive_fixture.h"

enum {
	N = 5,
	HEADER = 3000,
	BULK = 70000
};

static const char *const sops[N] = {"1.2.3.1", "1.2.3.2", "1.2.3.3", "1.2.3.4", "1.2.3.5"};

static void put_all(struct fixture *fx, uint32_t seed, struct nx_item items[N])
{
	struct nx_put put;

	for (uint32_t i = 0; i < N; i++)
		assert_ok(fx_put(fx, "P1", "1.2.3", sops[i], HEADER, BULK, seed + i * 2, &put),
			&fx->err);
	for (uint32_t i = 0; i < N; i++)
		fx_item(fx, put.ret_subject, sops[i], &items[i]);
}

static nx_rc remove_some(struct fixture *fx, const struct nx_item *items, size_t n)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	struct nx_entry_draft draft = {.action = NX_ACTION_ITEM_DELETE,
		.principal = "tester",
		.study = "1.2.3",
		.detail = nx_slice_str("{}")};

	for (size_t i = 0; i < n; i++)
		assert_ok(nx_change_remove(change, &items[i], &fx->err), &fx->err);
	assert_ok(nx_change_entry(change, &draft, NULL, &fx->err), &fx->err);
	return nx_archive_commit(fx->archive, change, &fx->err);
}

static void study_expect(struct fixture *fx, int64_t n_series, int64_t n_instances)
{
	struct nx_study study;
	struct nx_series series;

	nx_archive_barrier(fx->archive);
	assert_ok(nx_cat_study(fx->cat, fx->collection.id, "1.2.3", fx->arena, &study, &fx->err),
		&fx->err);
	assert_i64(study.n_series, n_series);
	assert_i64(study.n_instances, n_instances);
	assert_ok(nx_cat_series(fx->cat, study.id, "1.2.3.9", fx->arena, &series, &fx->err),
		&fx->err);
	assert_i64(series.n_instances, n_instances);
}

static void state_expect(struct fixture *fx, const struct nx_item *item, int64_t state)
{
	struct nx_item now;

	assert_ok(nx_cat_item_by_id(fx->cat, item->id, fx->arena, &now, &fx->err), &fx->err);
	assert_i64(now.state, state);
}

static void test_what_is_removed_is_kept_and_not_counted(void **state)
{
	struct fixture *fx = *state;
	struct nx_item items[N];

	put_all(fx, 0, items);
	assert_ok(remove_some(fx, items, 2), &fx->err);
	study_expect(fx, 1, N - 2);
	state_expect(fx, &items[0], NX_ITEM_DELETED);
	state_expect(fx, &items[2], NX_ITEM_LIVE);
	fx_expect(fx, &items[0], HEADER, BULK, 0); /* who knows of it may read it */
	assert_ok(remove_some(fx, items, N), &fx->err);
	study_expect(fx, 0, 0);
}

/* With and without what the committer keeps of the series. */
static void test_all_of_a_series_at_once(void **state)
{
	struct fixture *fx = *state;
	struct nx_item items[N];

	put_all(fx, 0, items);
	fx_close(fx);
	fx_open(fx, false);
	assert_ok(remove_some(fx, items, N), &fx->err);
	study_expect(fx, 0, 0);
	put_all(fx, 100, items);
	study_expect(fx, 1, N);
	assert_i64(items[0].version, 2);
	assert_ok(remove_some(fx, items, N), &fx->err);
	study_expect(fx, 0, 0);
}

static void test_a_version_that_came_in_between_stays(void **state)
{
	struct fixture *fx = *state;
	struct nx_item items[N], again[N];

	put_all(fx, 0, items);
	put_all(fx, 100, again);
	assert_ok(remove_some(fx, items, N), &fx->err);
	study_expect(fx, 1, N);
	state_expect(fx, &items[0], NX_ITEM_OLD);
	state_expect(fx, &again[0], NX_ITEM_LIVE);
}

static void test_what_is_named_twice_is_removed_once(void **state)
{
	struct fixture *fx = *state;
	struct nx_item items[N];
	const size_t named[N] = {0, 1, 0, 1, 0};

	put_all(fx, 0, items);
	for (size_t i = 2; i < N; i++)
		items[i] = items[named[i]];
	assert_ok(remove_some(fx, items, N), &fx->err);
	study_expect(fx, 1, N - 2);
	state_expect(fx, &items[0], NX_ITEM_DELETED);
}

static void test_a_catalog_made_anew_says_the_same(void **state)
{
	struct fixture *fx = *state;
	struct nx_item items[N];
	uint64_t entries;

	put_all(fx, 0, items);
	assert_ok(remove_some(fx, items, 3), &fx->err);
	fx_close(fx);
	assert_int_equal(unlink(fx->cat_path), 0);
	fx_open(fx, true);
	study_expect(fx, 1, N - 3);
	state_expect(fx, &items[0], NX_ITEM_DELETED);
	state_expect(fx, &items[4], NX_ITEM_LIVE);
	assert_ok(nx_ledger_flush(nx_archive_ledger(fx->archive), &fx->err), &fx->err);
	assert_ok(nx_ledger_verify(nx_archive_ledger(fx->archive), &entries, &fx->err), &fx->err);
	assert_u64(entries, N + 1);
}

static void test_a_removal_that_fails_takes_nothing(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_change) *change = nx_change_new();
	struct nx_entry_draft draft = {.action = NX_ACTION_ITEM_DELETE,
		.principal = "tester",
		.detail = nx_slice_str("this is no JSON object")};
	struct nx_item items[N];

	put_all(fx, 0, items);
	assert_ok(nx_change_remove(change, &items[0], &fx->err), &fx->err);
	assert_ok(nx_change_entry(change, &draft, NULL, &fx->err), &fx->err);
	assert_rc(nx_archive_commit(fx->archive, change, &fx->err), NX_E_INVAL);
	study_expect(fx, 1, N);
	state_expect(fx, &items[0], NX_ITEM_LIVE);
	assert_ok(remove_some(fx, items, N), &fx->err);
	study_expect(fx, 0, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_is_removed_is_kept_and_not_counted),
		TEST(test_all_of_a_series_at_once),
		TEST(test_a_version_that_came_in_between_stays),
		TEST(test_what_is_named_twice_is_removed_once),
		TEST(test_a_catalog_made_anew_says_the_same),
		TEST(test_a_removal_that_fails_takes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

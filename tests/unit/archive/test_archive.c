#include "unit/archive/archive_fixture.h"

#include <fcntl.h>

#include "base/clock.h"
#include "base/limits.h"
#include "store/extent.h"
#include "store/pool_drv.h"

static void test_bytes_come_back_exactly(void **state)
{
	static const struct {
		size_t header, bulk;
	} sizes[] = {{1, 0}, {1500, 0}, {65536, 0}, {65537, 0}, {1500, 525000}, {3000, 70000},
		{900, 3u << 20}};
	struct fixture *fx = *state;

	for (size_t i = 0; i < NX_ARRAY_LEN(sizes); i++) {
		char sop[32];
		struct nx_put put;
		struct nx_item item;

		(void)snprintf(sop, sizeof(sop), "1.2.%zu", i);
		assert_ok(fx_put(fx, "P1", "1.2.3", sop, sizes[i].header, sizes[i].bulk,
				  (uint32_t)i * 10, &put),
			&fx->err);
		assert_int_equal(put.outcome, NX_PUT_STORED);
		fx_item(fx, put.ret_subject, sop, &item);
		fx_expect(fx, &item, sizes[i].header, sizes[i].bulk, (uint32_t)i * 10);
	}
}

static void test_counters_follow_the_instances(void **state)
{
	struct fixture *fx = *state;
	struct nx_study study;
	struct nx_put put;

	for (int i = 0; i < 5; i++) {
		char sop[32];

		(void)snprintf(sop, sizeof(sop), "1.2.%d", i);
		assert_ok(fx_put(fx, "P1", "1.2.3", sop, 500, 0, (uint32_t)i, &put), &fx->err);
	}
	nx_archive_barrier(fx->archive);
	assert_ok(nx_cat_study(fx->cat, fx->collection.id, "1.2.3", fx->arena, &study, &fx->err),
		&fx->err);
	assert_i64(study.n_instances, 5);
	assert_i64(study.n_series, 1);
	assert_string_equal(study.modalities, "CT");
}

static void test_same_bytes_again_store_nothing(void **state)
{
	struct fixture *fx = *state;
	struct nx_cat_counts before, after;
	struct nx_put put;

	assert_ok(fx_put(fx, "P1", "1.2.3", "1.2.1", 800, 100000, 1, &put), &fx->err);
	nx_archive_barrier(fx->archive);
	assert_ok(nx_cat_counts(fx->cat, &before, &fx->err), &fx->err);
	assert_ok(fx_put(fx, "P1", "1.2.3", "1.2.1", 800, 100000, 1, &put), &fx->err);
	assert_int_equal(put.outcome, NX_PUT_DUPLICATE);
	assert_i64(put.ret_version, 1);
	nx_archive_barrier(fx->archive);
	assert_ok(nx_cat_counts(fx->cat, &after, &fx->err), &fx->err);
	assert_u64(before.items, after.items);
	assert_u64(before.bytes, after.bytes);
}

static void test_other_bytes_are_a_new_version_beside_the_old(void **state)
{
	struct fixture *fx = *state;
	struct nx_item old, item;
	struct nx_put put;
	struct nx_op *rows;
	size_t n;

	assert_ok(fx_put(fx, "P1", "1.2.3", "1.2.1", 800, 100000, 1, &put), &fx->err);
	fx_item(fx, put.ret_subject, "1.2.1", &old);
	assert_ok(fx_put(fx, "P1", "1.2.3", "1.2.1", 800, 100000, 2, &put), &fx->err);
	assert_int_equal(put.outcome, NX_PUT_VERSION);
	fx_item(fx, put.ret_subject, "1.2.1", &item);
	assert_i64(item.version, 2);
	fx_expect(fx, &item, 800, 100000, 2);
	fx_expect(fx, &old, 800, 100000, 1);
	assert_ok(nx_cat_rows(fx->cat, &(struct nx_rows_of){.table = NX_T_CONFLICT, .limit = 10},
			  fx->arena, &rows, &n, &fx->err),
		&fx->err);
	assert_u64(n, 1);
	assert_i64(rows[0].vals[3].i, old.id);
	assert_i64(rows[0].vals[4].i, item.id);
	assert_ok(nx_cat_rows(fx->cat, &(struct nx_rows_of){.table = NX_T_EVENT, .limit = 10},
			  fx->arena, &rows, &n, &fx->err),
		&fx->err);
	assert_u64(n, 1);
	fx->collection.on_conflict = "reject";
	assert_ok(fx_put(fx, "P1", "1.2.3", "1.2.1", 800, 100000, 3, &put), &fx->err);
	assert_int_equal(put.outcome, NX_PUT_REJECTED);
	fx_item(fx, put.ret_subject, "1.2.1", &item);
	assert_i64(item.version, 2);
}

static void test_a_version_in_another_study_is_counted_there(void **state)
{
	static const struct {
		const char *uid;
		int64_t n;
	} want[] = {{"1.2.3", 0}, {"1.2.4", 1}};
	struct fixture *fx = *state;
	struct nx_study study;
	struct nx_put put;

	assert_ok(fx_put(fx, "P1", "1.2.3", "1.2.1", 800, 0, 1, &put), &fx->err);
	assert_ok(fx_put(fx, "P1", "1.2.4", "1.2.1", 800, 0, 2, &put), &fx->err);
	assert_int_equal(put.outcome, NX_PUT_VERSION);
	nx_archive_barrier(fx->archive);
	for (size_t i = 0; i < NX_ARRAY_LEN(want); i++) {
		assert_ok(nx_cat_study(fx->cat, fx->collection.id, want[i].uid, fx->arena, &study,
				  &fx->err),
			&fx->err);
		assert_i64(study.n_instances, want[i].n);
	}
}

static void test_blank_patient_id_is_a_subject_per_study(void **state)
{
	struct fixture *fx = *state;
	struct nx_put a, b, c;

	assert_ok(fx_put(fx, "", "1.2.3", "1.1", 300, 0, 1, &a), &fx->err);
	assert_ok(fx_put(fx, "", "1.2.3", "1.2", 300, 0, 2, &b), &fx->err);
	assert_ok(fx_put(fx, "", "1.2.4", "1.3", 300, 0, 3, &c), &fx->err);
	assert_u64(a.ret_subject, b.ret_subject);
	assert_true(a.ret_subject != c.ret_subject);
}

static void fill(struct fixture *fx, int n)
{
	for (int i = 0; i < n; i++) {
		char sop[32];
		struct nx_put put;

		(void)snprintf(sop, sizeof(sop), "1.2.%d", i);
		assert_ok(fx_put(fx, i % 2 ? "P1" : "P2", i % 2 ? "1.3.1" : "1.3.2", sop, 700,
				  i % 3 ? 0 : 90000, (uint32_t)i * 7, &put),
			&fx->err);
	}
}

static nx_rc study_items(void *payload, const void *row, struct nx_err *err)
{
	(void)err;
	*(int64_t *)payload += ((const struct nx_series *)row)->n_instances;
	return NX_OK;
}

static void expect_filled(struct fixture *fx, int n)
{
	static const char *const studies[] = {"1.3.1", "1.3.2"};
	int64_t total = 0;
	uint64_t entries;

	for (size_t i = 0; i < 2; i++) {
		struct nx_study study;

		assert_ok(nx_cat_study(fx->cat, fx->collection.id, studies[i], fx->arena, &study,
				  &fx->err),
			&fx->err);
		assert_ok(nx_cat_series_of(fx->cat, study.id, study_items, &total, &fx->err),
			&fx->err);
	}
	assert_i64(total, n);
	for (int i = 0; i < n; i++) {
		char sop[32];
		uint64_t subject;
		struct nx_item item;

		(void)snprintf(sop, sizeof(sop), "1.2.%d", i);
		assert_ok(nx_cat_subject_find(fx->cat, fx->collection.domain, "",
				  i % 2 ? "P1" : "P2", &subject, &fx->err),
			&fx->err);
		fx_item(fx, subject, sop, &item);
		fx_expect(fx, &item, 700, i % 3 ? 0 : 90000, (uint32_t)i * 7);
	}
	assert_ok(nx_ledger_flush(nx_archive_ledger(fx->archive), &fx->err), &fx->err);
	assert_ok(nx_ledger_verify(nx_archive_ledger(fx->archive), &entries, &fx->err), &fx->err);
	assert_u64(entries, (uint64_t)n);
}

static void test_reopening_finds_everything(void **state)
{
	struct fixture *fx = *state;

	fill(fx, 20);
	fx_close(fx);
	fx_open(fx, false);
	expect_filled(fx, 20);
}

static void test_a_lost_catalog_is_rebuilt_from_the_packs(void **state)
{
	struct fixture *fx = *state;
	char path[96];

	fill(fx, 20);
	fx_close(fx);
	assert_int_equal(unlink(fx->cat_path), 0);
	(void)snprintf(path, sizeof(path), "%s-wal", fx->cat_path);
	(void)unlink(path);
	fx_open(fx, true);
	expect_filled(fx, 20);
}

static uint64_t block_bytes;

static int add_blocks(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path;
	(void)ftw;
	if (type == FTW_F)
		block_bytes += (uint64_t)st->st_blocks * 512;
	return 0;
}

/* Of the disk, that all packs take. */
static uint64_t packs_on_disk(const struct fixture *fx)
{
	block_bytes = 0;
	assert_int_equal(nftw(fx->pool_uri + strlen("dir:"), add_blocks, 8, FTW_PHYS), 0);
	return block_bytes;
}

static void test_zeros_laid_ahead_are_given_back_at_the_end(void **state)
{
	struct fixture *fx = *state;
	const int64_t deadline_us = nx_mono_us() + 60 * 1000000;

	fill(fx, 20);
	while (packs_on_disk(fx) < 2 * NX_MIB) /* another thread lays them, in two packs */
		assert_true(nx_mono_us() < deadline_us);
	fx_close(fx);
	if (nx_pool_caps(fx->pool) & NX_POOL_DISCARD)
		assert_true(packs_on_disk(fx) < NX_MIB);
	fx_open(fx, false);
	expect_filled(fx, 20);
}

static void test_erasing_one_patient_leaves_the_others(void **state)
{
	struct fixture *fx = *state;
	struct nx_entry_draft draft = {.action = NX_ACTION_ERASE, .principal = "tester"};
	struct nx_item item;
	struct nx_put gone, kept;
	NX_AUTO(nx_reader) *reader = NULL;
	uint8_t byte;
	uint64_t items, subject;
	size_t n;

	assert_ok(fx_put(fx, "P1", "1.3.1", "1.1", 700, 90000, 1, &gone), &fx->err);
	assert_ok(fx_put(fx, "P2", "1.3.2", "1.2", 700, 90000, 5, &kept), &fx->err);
	fx_item(fx, gone.ret_subject, "1.1", &item);
	assert_ok(nx_archive_open_item(fx->archive, &item, &reader, &fx->err), &fx->err);
	draft.subject = gone.ret_subject;
	assert_ok(nx_archive_erase(fx->archive, gone.ret_subject, &draft, &items, &fx->err),
		&fx->err);
	assert_u64(items, 1);
	/* an open download stops, the row cannot be opened, the rows are gone */
	assert_rc(nx_reader_read(reader, 0, &byte, 1, &n, &fx->err), NX_E_ERASED);
	reader = nx_reader_free(reader);
	assert_rc(nx_archive_open_item(fx->archive, &item, &reader, &fx->err), NX_E_ERASED);
	assert_rc(nx_cat_subject_find(fx->cat, fx->collection.domain, "", "P1", &subject, &fx->err),
		NX_E_NOENT);
	fx_item(fx, kept.ret_subject, "1.2", &item);
	fx_expect(fx, &item, 700, 90000, 5);
	/* and a catalog made anew from the packs does not bring it back */
	fx_close(fx);
	assert_int_equal(unlink(fx->cat_path), 0);
	fx_open(fx, true);
	assert_rc(nx_cat_subject_find(fx->cat, fx->collection.domain, "", "P1", &subject, &fx->err),
		NX_E_NOENT);
	fx_item(fx, kept.ret_subject, "1.2", &item);
	fx_expect(fx, &item, 700, 90000, 5);
}

static void count_bad(void *payload, int64_t item, const struct nx_err *why)
{
	(void)item;
	assert_int_equal(why->rc, NX_E_CORRUPT);
	++*(int *)payload;
}

static void test_scrub_finds_a_flipped_bit(void **state)
{
	struct fixture *fx = *state;
	struct nx_scrub_result result;
	struct nx_recipe *recipe;
	struct nx_extent *extents;
	struct nx_item item;
	struct nx_put put;
	char path[256];
	int bad = 0, fd;
	uint8_t byte;
	size_t n;

	assert_ok(fx_put(fx, "P1", "1.3.1", "1.1", 700, 300000, 1, &put), &fx->err);
	assert_ok(
		nx_archive_scrub(fx->archive, count_bad, &bad, NULL, &result, &fx->err), &fx->err);
	assert_int_equal(bad, 0);
	assert_u64(result.extents, 2);
	fx_item(fx, put.ret_subject, "1.1", &item);
	assert_ok(nx_archive_recipe(fx->archive, &item, fx->arena, &recipe, &fx->err), &fx->err);
	assert_ok(nx_archive_extents(
			  fx->archive, &recipe->blobs[1], fx->arena, &extents, &n, &fx->err),
		&fx->err);
	assert_ok(nx_pool_path(fx->pool, extents[0].pack, path, sizeof(path), &fx->err), &fx->err);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)(extents[0].off + 4096 + 270000)), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)(extents[0].off + 4096 + 270000)), 1);
	(void)close(fd);
	assert_ok(
		nx_archive_scrub(fx->archive, count_bad, &bad, NULL, &result, &fx->err), &fx->err);
	assert_int_equal(bad, 1);
}

static void test_a_failed_sync_fails_the_group_and_the_next_one_works(void **state)
{
	struct fixture *fx = *state;
	struct nx_fault fault = {.kinds = NX_FAULT_SYNC, .nth = 1, .rc = NX_E_IO};
	struct nx_item item;
	struct nx_put put;
	uint64_t subject;

	assert_ok(fx_put(fx, "P1", "1.3.1", "1.1", 700, 90000, 1, &put), &fx->err);
	nx_pool_fault_arm(fx->pool, &fault);
	assert_rc(fx_put(fx, "P2", "1.3.2", "1.2", 700, 90000, 5, &put), NX_E_IO);
	nx_pool_fault_arm(fx->pool, NULL);
	assert_ok(fx_put(fx, "P3", "1.3.3", "1.3", 700, 90000, 9, &put), &fx->err);
	fx_close(fx);
	fx_open(fx, false);
	assert_rc(nx_cat_subject_find(fx->cat, fx->collection.domain, "", "P2", &subject, &fx->err),
		NX_E_NOENT);
	assert_ok(nx_cat_subject_find(fx->cat, fx->collection.domain, "", "P3", &subject, &fx->err),
		&fx->err);
	fx_item(fx, subject, "1.3", &item);
	fx_expect(fx, &item, 700, 90000, 9);
}

/* Two changes that meet in one group; the first is refused. */
static void test_a_refused_put_leaves_its_name_to_the_next(void **state)
{
	struct fixture *fx = *state;
	struct nx_item item = {.name = "obj", .type = "text/plain", .size = 4};
	struct nx_recipe_part part = {.kind = NX_PART_BLOB, .len = 4};
	struct nx_change *changes[64];
	struct nx_blob *blobs[64];
	struct nx_put puts[64];

	for (size_t i = 0; i < 64; i++) {
		blobs[i] = fx_blob(fx, &fx->collection, "abcd", 4, 4);
		puts[i] = (struct nx_put){.collection = &fx->collection,
			.item = &item,
			.blobs = &blobs[i],
			.n_blobs = 1,
			.parts = &part,
			.n_parts = 1,
			.if_match = i % 2 ? NULL : "no such digest"};
		changes[i] = nx_change_new();
		assert_ok(nx_change_put(changes[i], &puts[i], &fx->err), &fx->err);
	}
	for (size_t i = 0; i < 64; i++)
		assert_ok(nx_archive_submit(fx->archive, changes[i], &fx->err), &fx->err);
	for (size_t i = 0; i < 64; i++) {
		nx_rc rc = nx_change_wait(changes[i], &fx->err);

		assert_rc(rc, i % 2 ? NX_OK : NX_E_PRECONDITION);
		nx_change_free(changes[i]);
	}
}

static void test_a_change_has_a_bound_of_small_bytes(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_change) *change = nx_change_new();
	enum {
		SIZE = 64 * 1024,
		MANY = 32 * 1024 * 1024 / SIZE
	};
	static struct nx_blob *blobs[MANY];
	struct nx_put put = {.collection = &fx->collection, .blobs = blobs, .n_blobs = MANY};

	for (size_t i = 0; i < MANY; i++)
		blobs[i] = fx_blob(fx, &fx->collection, fx_bytes(fx, SIZE, 7), SIZE, SIZE);
	/* with header and tag they are a little more than they hold */
	assert_rc(nx_change_put(change, &put, &fx->err), NX_E_LIMIT);
	for (size_t i = 0; i < MANY; i++)
		blobs[i] = nx_blob_free(blobs[i]);
}

static int setup_fault(void **state)
{
	return fx_setup_uri(state, "fault:mem:");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bytes_come_back_exactly),
		TEST(test_counters_follow_the_instances),
		TEST(test_same_bytes_again_store_nothing),
		TEST(test_other_bytes_are_a_new_version_beside_the_old),
		TEST(test_a_version_in_another_study_is_counted_there),
		TEST(test_blank_patient_id_is_a_subject_per_study),
		TEST(test_reopening_finds_everything),
		TEST(test_a_lost_catalog_is_rebuilt_from_the_packs),
		TEST(test_zeros_laid_ahead_are_given_back_at_the_end),
		TEST(test_erasing_one_patient_leaves_the_others),
		TEST(test_scrub_finds_a_flipped_bit),
		TEST(test_a_change_has_a_bound_of_small_bytes),
		TEST(test_a_refused_put_leaves_its_name_to_the_next),
		cmocka_unit_test_setup_teardown(
			test_a_failed_sync_fails_the_group_and_the_next_one_works, setup_fault,
			fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

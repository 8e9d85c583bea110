#include "site_fixture.h"

#include "store/extent.h"

#include "lifecycle/fsck.h"

static void check(struct fixture *fx, bool repair, struct nx_fsck_report *ret)
{
	assert_ok(nx_fsck(fx->archive, &site_admin, repair, NULL, ret, NULL, &fx->err), &fx->err);
}

static void apply(
	struct fixture *fx, uint8_t verb, uint8_t table, const struct nx_val *vals, uint16_t n)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	struct nx_val copy[4];
	const struct nx_op op = {.verb = verb, .table = table, .n = n, .vals = copy};

	memcpy(copy, vals, n * sizeof(*vals));
	assert_ok(nx_change_op(change, &op, &fx->err), &fx->err);
	assert_ok(nx_archive_commit(fx->archive, change, &fx->err), &fx->err);
}

static void test_whole_site_is_sound(void **state)
{
	struct fixture *fx = *state;
	struct nx_fsck_report report;
	struct nx_put put, again;
	NX_AUTO_DONE(nx_buf) out;

	nx_buf_init(&out, 1u << 20, 0);
	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 300000, 1, &put), &fx->err);
	assert_ok(fx_put(fx, "P1", "1.2", "1.2.2", 900, 0, 2, &again), &fx->err);
	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 300000, 1, &again), &fx->err);
	assert_int_equal(again.outcome, NX_PUT_DUPLICATE);
	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 300000, 7, &again), &fx->err);
	assert_int_equal(again.outcome, NX_PUT_VERSION);
	assert_ok(
		nx_fsck(fx->archive, &site_admin, false, NULL, &report, &out, &fx->err), &fx->err);
	assert_true(nx_fsck_sound(&report));
	assert_u64(report.items, 3);
	assert_u64(report.blobs, 5);
	assert_u64(report.orphans, 0);
	assert_true(report.live_bytes >= 2 * 300000);
	assert_true(report.pack_bytes >= report.live_bytes);
	assert_non_null(strstr(nx_buf_cstr(&out), "{\"sound\":true,\"items\":3,"));
	assert_non_null(strstr(nx_buf_cstr(&out), "\"findings\":[]}"));
}

static void test_counters_references_and_orphans_are_repaired(void **state)
{
	struct fixture *fx = *state;
	const struct nx_val orphan[] = {
		nx_val_int(900), nx_val_int(1), nx_val_blob(nx_slice("", 0))};
	struct nx_fsck_report report;
	struct nx_study study;
	struct nx_put put;

	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 300000, 1, &put), &fx->err);
	apply(fx, NX_OP_PUT, NX_T_BLOB, orphan, 3);
	apply(fx, NX_OP_ADD, NX_T_BLOB,
		(struct nx_val[]){nx_val_int(1), nx_val_int(NX_C_BLOB_REFS), nx_val_int(4)}, 3);
	apply(fx, NX_OP_ADD, NX_T_STUDY,
		(struct nx_val[]){nx_val_int(put.ret_study), nx_val_int(NX_C_STUDY_N_INSTANCES),
			nx_val_int(2)},
		3);
	apply(fx, NX_OP_ADD, NX_T_SERIES,
		(struct nx_val[]){nx_val_int(put.ret_series), nx_val_int(NX_C_SERIES_N_INSTANCES),
			nx_val_int(-1)},
		3);
	check(fx, false, &report);
	assert_false(nx_fsck_sound(&report));
	assert_u64(report.orphans, 1);
	assert_u64(report.wrong_refs, 1);
	assert_u64(report.wrong_counters, 2);
	assert_u64(report.repaired, 0);
	check(fx, true, &report);
	assert_u64(report.repaired, 4);
	check(fx, false, &report);
	assert_true(nx_fsck_sound(&report));
	assert_u64(report.orphans, 0);
	assert_ok(nx_cat_study(fx->cat, fx->collection.id, "1.2", fx->arena, &study, &fx->err),
		&fx->err);
	assert_i64(study.n_instances, 1);
	assert_int_equal(site_entries(fx, NX_ACTION_INTEGRITY_FAIL), 2);
}

static void test_lost_pack_and_lost_row_are_told(void **state)
{
	struct fixture *fx = *state;
	struct nx_fsck_report report;
	struct nx_extent *extents;
	struct nx_recipe *recipe;
	NX_AUTO_DONE(nx_buf) out;
	struct nx_item item;
	struct nx_put put;
	size_t n;

	nx_buf_init(&out, 1u << 20, 0);
	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 300000, 1, &put), &fx->err);
	fx_item(fx, put.ret_subject, "1.2.1", &item);
	assert_ok(nx_archive_recipe(fx->archive, &item, fx->arena, &recipe, &fx->err), &fx->err);
	assert_ok(nx_archive_extents(
			  fx->archive, &recipe->blobs[1], fx->arena, &extents, &n, &fx->err),
		&fx->err);
	assert_ok(nx_pool_remove(fx->pool, extents[0].pack, &fx->err), &fx->err);
	apply(fx, NX_OP_DEL, NX_T_BLOB, (struct nx_val[]){nx_val_int((int64_t)recipe->blobs[0].id)},
		1);
	assert_ok(nx_fsck(fx->archive, &site_admin, true, NULL, &report, &out, &fx->err), &fx->err);
	assert_u64(report.lost_extents, 1);
	assert_u64(report.missing_blobs, 1);
	assert_u64(report.rows_without_pack, 1);
	assert_u64(report.repaired, 0);
	assert_non_null(strstr(nx_buf_cstr(&out), "\"kind\":\"pack\""));
}

static void test_orphans_stay_while_an_item_cannot_be_read(void **state)
{
	struct fixture *fx = *state;
	struct nx_fsck_report report;
	struct nx_item item;
	struct nx_put put;

	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 300000, 1, &put), &fx->err);
	fx_item(fx, put.ret_subject, "1.2.1", &item);
	apply(fx, NX_OP_SET, NX_T_ITEM,
		(struct nx_val[]){nx_val_int(item.id), nx_val_int(NX_C_ITEM_SEALED),
			nx_val_blob(nx_slice("damaged", 7))},
		3);
	check(fx, true, &report);
	assert_u64(report.unreadable, 1);
	assert_u64(report.orphans, 2); /* its blobs: nobody else can tell that they are its */
	assert_true(report.withheld);
	assert_u64(report.repaired, 0);
}

static void test_erasure_leaves_a_sound_site(void **state)
{
	struct fixture *fx = *state;
	struct nx_entry_draft draft = {.action = NX_ACTION_ERASE, .principal = "admin"};
	struct nx_fsck_report report;
	struct nx_put gone, kept;
	uint64_t items;

	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 300000, 1, &gone), &fx->err);
	assert_ok(fx_put(fx, "P2", "1.3", "1.3.1", 900, 300000, 5, &kept), &fx->err);
	draft.subject = gone.ret_subject;
	assert_ok(nx_archive_erase(fx->archive, gone.ret_subject, &draft, &items, &fx->err),
		&fx->err);
	check(fx, false, &report);
	assert_true(nx_fsck_sound(&report));
	assert_u64(report.items, 1);
	assert_u64(report.orphans, 0);
	assert_u64(report.blobs, 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_whole_site_is_sound),
		T(test_counters_references_and_orphans_are_repaired),
		T(test_lost_pack_and_lost_row_are_told),
		T(test_orphans_stay_while_an_item_cannot_be_read),
		T(test_erasure_leaves_a_sound_site),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

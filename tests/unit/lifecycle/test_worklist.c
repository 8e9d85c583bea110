#include "site_fixture.h"

#include "base/clock.h"
#include "base/enc.h"
#include "catalog/catalog.h"
#include "dicom/dicom.h"
#include "lifecycle/worklist.h"

enum {
	ANY = (1u << NX_WORKLIST_STATES_) - 1,
	DEADLINE_US = 30 * 1000000
};

/* An object of a patient, without rows, as all items were once. */
static void object_put(struct fixture *fx, const char *name, struct nx_slice bytes)
{
	struct nx_item item = {.name = name, .type = "application/dicom", .ts_uid = ""};
	struct nx_blob *blob = fx_blob(fx, &fx->collection, bytes.p, bytes.n, bytes.n);
	struct nx_recipe_part part = {.kind = NX_PART_BLOB, .len = bytes.n};
	NX_AUTO(nx_change) *change = nx_change_new();
	struct nx_put put = {.collection = &fx->collection,
		.patient_id = "P1",
		.issuer = "",
		.item = &item,
		.blobs = &blob,
		.n_blobs = 1,
		.parts = &part,
		.n_parts = 1};

	item.size = (int64_t)bytes.n;
	assert_ok(nx_change_put(change, &put, &fx->err), &fx->err);
	assert_ok(nx_archive_commit(fx->archive, change, &fx->err), &fx->err);
	nx_archive_barrier(fx->archive);
}

static void scheduled_put(struct fixture *fx, const char *name, const char *day)
{
	struct nx_dataset *ds = nx_dataset_new(fx->arena, 4), *step = nx_dataset_new(fx->arena, 4);
	const struct nx_elem steps = {.tag = NX_TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE,
		.vr = NX_VR('S', 'Q'),
		.items = &step,
		.n_items = 1};
	NX_AUTO_DONE(nx_buf) bytes;

	nx_buf_init(&bytes, 1u << 20, 0);
	nx_dataset_put_text(ds, NX_TAG_PATIENT_ID, "P1");
	nx_dataset_put_text(ds, NX_TAG_STUDY_INSTANCE_UID, "2.25.1");
	nx_dataset_put_text(step, NX_TAG_SCHEDULED_PROCEDURE_STEP_ID, name);
	nx_dataset_put_text(step, NX_TAG_SCHEDULED_PROCEDURE_STEP_START_DATE, day);
	nx_dataset_put(ds, &steps);
	assert_ok(nx_dataset_write(ds, NULL, &bytes, NULL, NULL, &fx->err), &fx->err);
	object_put(fx, name, nx_buf_slice(&bytes));
}

static nx_rc name_add(void *payload, const char *name, struct nx_err *err)
{
	char *names = payload;
	size_t n = strlen(names);

	(void)err;
	(void)snprintf(names + n, 256 - n, "%s ", name);
	return NX_OK;
}

/* Names of what is in one of the states, and has the day. */
static const char *found(struct fixture *fx, unsigned states, const char *day)
{
	static char names[256];
	const struct nx_query_key key = {0x00400002, day};
	const struct nx_worklist_query query = {
		.collection = fx->collection.id, .states = states, .keys = &key, .n_keys = 1};

	names[0] = 0;
	nx_archive_barrier(fx->archive);
	assert_ok(nx_cat_worklist(fx->cat, &query, name_add, names, &fx->err), &fx->err);
	return names;
}

static void test_items_without_rows_get_them(void **state)
{
	struct fixture *fx = *state;

	scheduled_put(fx, "worklist/A", "20300101");
	scheduled_put(fx, "worklist/B", "20300201");
	object_put(fx, "worklist/C", nx_slice_str("no data set at all"));
	object_put(fx, "other/D", nx_slice_str("x"));
	assert_string_equal(found(fx, ANY, ""), "");
	assert_ok(nx_worklist_index(fx->archive, &fx->err), &fx->err);
	assert_string_equal(found(fx, ANY, ""), "worklist/A worklist/B ");
	assert_string_equal(found(fx, ANY, "20300115-"), "worklist/B ");
	assert_string_equal(found(fx, 1u << NX_WORKLIST_STARTED, ""), "");
	assert_ok(nx_worklist_index(fx->archive, &fx->err), &fx->err); /* nothing is left to do */
}

static void test_what_is_overdue_expires_once(void **state)
{
	struct fixture *fx = *state;
	const struct nx_worklist_opts opts = {
		.archive = fx->archive, .states = 1u << NX_WORKLIST_SCHEDULED, .days = 10};
	const int64_t until = nx_mono_us() + DEADLINE_US;
	struct nx_worklist *w;
	char today[NX_DAY_TEXT];

	nx_day_format(nx_now_us(), today);
	scheduled_put(fx, "worklist/A", "20200101");
	scheduled_put(fx, "worklist/B", today);
	scheduled_put(fx, "worklist/C", ""); /* its time begins when it is put */
	assert_ok(nx_worklist_index(fx->archive, &fx->err), &fx->err);
	for (int i = 0; i < 2; i++) {
		assert_ok(nx_worklist_new(&opts, &w, &fx->err), &fx->err);
		while (strcmp(found(fx, 1u << NX_WORKLIST_EXPIRED, ""), "worklist/A ") != 0)
			assert_true(nx_mono_us() < until);
		w = nx_worklist_free(w);
	}
	assert_string_equal(found(fx, 1u << NX_WORKLIST_SCHEDULED, ""), "worklist/B worklist/C ");
	assert_int_equal(site_entries(fx, NX_ACTION_WORKLIST_EXPIRE), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_items_without_rows_get_them, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(
			test_what_is_overdue_expires_once, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "unit/deid/deid_fixture.h"

static int setup(void **state)
{
	return fx_setup(state);
}

struct items {
	struct fixture *fx;
	struct nx_item items[16];
	size_t n;
};

static nx_rc item_keep(void *payload, const void *row, struct nx_err *err)
{
	struct items *l = payload;
	struct nx_item item = *(const struct nx_item *)row;
	struct nx_arena *arena = l->fx->arena;

	(void)err;
	item.name = nx_arena_str(arena, item.name, strlen(item.name));
	item.ts_uid = nx_arena_str(arena, item.ts_uid, strlen(item.ts_uid));
	item.sealed.p = nx_arena_copy(arena, item.sealed.p, item.sealed.n);
	l->items[l->n++] = item;
	return NX_OK;
}

static nx_rc series_keep(void *payload, const void *row, struct nx_err *err)
{
	struct items *l = payload;

	return nx_cat_items_of(l->fx->cat, ((const struct nx_series *)row)->id, item_keep, l, err);
}

static void curated_items(
	struct fixture *fx, const char *study, struct nx_study *row, struct items *ret)
{
	*ret = (struct items){.fx = fx};
	assert_ok(nx_cat_study(fx->cat, fx->curated.id, study, fx->arena, row, &fx->err), &fx->err);
	assert_ok(nx_cat_series_of(fx->cat, row->id, series_keep, ret, &fx->err), &fx->err);
}

static struct nx_dataset *parse(struct fixture *fx, struct nx_slice bytes)
{
	struct nx_dataset *ds = NULL;

	assert_ok(nx_dataset_parse(bytes, NULL, 0, fx->arena, &ds, &fx->err), &fx->err);
	return ds;
}

static const char *text(struct fixture *fx, const struct nx_dataset *ds, nx_tag tag)
{
	return nx_dataset_text(ds, tag, fx->arena);
}

static void assert_absent(struct nx_slice bytes, const char *planted)
{
	if (memmem(bytes.p, bytes.n, planted, strlen(planted))) {
		print_error("found %s\n", planted);
		fail();
	}
}

static void test_no_planted_identifier_is_left(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_ingest) *ingest = nx_ingest_new(fx->archive);
	struct synth s = synth_ct("MUSTERMANN", "1.2.99.1", "1.2.99.1.1", "1.2.99.1.1.1");
	struct nx_deid_result r;
	struct nx_study study;
	struct items items;
	struct nx_slice bytes;
	const struct nx_dataset *ds;

	synth_store(fx, ingest, &s);
	r = synth_deid(fx, s.study);
	assert_u64(r.stored, 1);
	curated_items(fx, r.study, &study, &items);
	assert_int_equal(items.n, 1);
	bytes = fx_read(fx, &items.items[0]);
	assert_absent(bytes, "MUSTERMANN");
	assert_absent(bytes, "SENDER");
	assert_absent(bytes, "ACME");
	assert_absent(bytes, "19601231");
	assert_absent(bytes, "20240229");
	assert_absent(bytes, "20240301");
	assert_absent(bytes, "1.2.99.1");
	assert_absent(bytes, "1.2.3.4.5.6");
	ds = parse(fx, bytes);
	assert_string_equal(text(fx, ds, NX_TAG_PATIENT_ID), r.pseudonym);
	assert_string_equal(text(fx, ds, NX_TAG_PATIENT_NAME), r.pseudonym);
	assert_string_equal(text(fx, ds, NX_TAG_PATIENT_IDENTITY_REMOVED), "YES");
	assert_string_equal(text(fx, ds, NX_TAG_MANUFACTURER), "Phantom Works");
	assert_string_equal(text(fx, ds, NX_TAG_SOP_INSTANCE_UID),
		text(fx, ds, NX_TAG_MEDIA_STORAGE_SOP_INSTANCE_UID));
	assert_string_equal(study.patient_id, r.pseudonym);
	assert_string_equal(study.accession, "");
	assert_string_equal(study.description, "");
	assert_string_equal(study.referring, "");
}

static void test_pixels_are_shared_and_exact(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_ingest) *ingest = nx_ingest_new(fx->archive);
	struct synth s = synth_ct("P", "1.2.99.2", "1.2.99.2.1", "1.2.99.2.1.1");
	struct nx_archive_stats before, after;
	const struct nx_elem *pixels;
	struct nx_deid_result r;
	struct nx_study study;
	struct nx_slice bytes;
	struct items items;

	s.pixels = 8u << 20;
	synth_store(fx, ingest, &s);
	nx_archive_stats(fx->archive, &before);
	r = synth_deid(fx, s.study);
	nx_archive_stats(fx->archive, &after);
	assert_true(after.bytes_written - before.bytes_written < 65536);
	curated_items(fx, r.study, &study, &items);
	bytes = fx_read(fx, &items.items[0]);
	pixels = nx_dataset_find(parse(fx, bytes), NX_TAG_PIXEL_DATA);
	assert_true(pixels && pixels->is_bulk);
	assert_u64(pixels->bulk_length, s.pixels);
	assert_memory_equal(
		bytes.p + pixels->bulk_offset, fx_bytes(fx, s.pixels, s.seed), s.pixels);
}

static void test_a_study_stays_together(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_ingest) *ingest = nx_ingest_new(fx->archive);
	struct synth a = synth_ct("P", "1.2.99.3", "1.2.99.3.1", "1.2.99.3.1.1");
	struct synth b = synth_ct("P", "1.2.99.3", "1.2.99.3.1", "1.2.99.3.1.2");
	struct nx_deid_result r, again;
	const struct nx_dataset *da, *db;
	const char *dates[2];
	struct nx_study study;
	struct items items;

	b.date = "20240301"; /* the day after the leap day */
	b.pixels = 4096;     /* not bulk */
	synth_store(fx, ingest, &a);
	synth_store(fx, ingest, &b);
	r = synth_deid(fx, a.study);
	assert_u64(r.stored, 2);
	again = synth_deid(fx, a.study);
	assert_u64(again.stored, 0);
	assert_u64(again.duplicates, 2);
	assert_string_equal(again.pseudonym, r.pseudonym);
	curated_items(fx, r.study, &study, &items);
	assert_int_equal(items.n, 2);
	da = parse(fx, fx_read(fx, &items.items[0]));
	db = parse(fx, fx_read(fx, &items.items[1]));
	assert_string_equal(text(fx, da, NX_TAG_STUDY_INSTANCE_UID), r.study);
	assert_string_equal(text(fx, db, NX_TAG_STUDY_INSTANCE_UID), r.study);
	assert_string_equal(
		text(fx, da, NX_TAG_SERIES_INSTANCE_UID), text(fx, db, NX_TAG_SERIES_INSTANCE_UID));
	assert_string_equal(text(fx, da, NX_TAG_FRAME_OF_REFERENCE_UID),
		text(fx, db, NX_TAG_FRAME_OF_REFERENCE_UID));
	assert_string_not_equal(
		text(fx, da, NX_TAG_SOP_INSTANCE_UID), text(fx, db, NX_TAG_SOP_INSTANCE_UID));
	assert_string_equal(text(fx, da, NX_TAG_ACQUISITION_DATE_TIME),
		text(fx, db, NX_TAG_ACQUISITION_DATE_TIME));
	assert_string_not_equal(text(fx, da, NX_TAG_STUDY_DATE), text(fx, db, NX_TAG_STUDY_DATE));
	/* (0008,002A) was March 1 in both, and so was the later of the study dates. */
	dates[0] = text(fx, da, NX_TAG_STUDY_DATE);
	dates[1] = text(fx, db, NX_TAG_STUDY_DATE);
	assert_memory_equal(text(fx, da, NX_TAG_ACQUISITION_DATE_TIME),
		dates[strcmp(dates[0], dates[1]) < 0 ? 1 : 0], 8);
}

static void test_two_patients_get_two_pseudonyms(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_ingest) *ingest = nx_ingest_new(fx->archive);
	struct synth a = synth_ct("PA", "1.2.99.4", "1.2.99.4.1", "1.2.99.4.1.1");
	struct synth b = synth_ct("PB", "1.2.99.5", "1.2.99.5.1", "1.2.99.5.1.1");
	struct nx_deid_result ra, rb;

	synth_store(fx, ingest, &a);
	synth_store(fx, ingest, &b);
	ra = synth_deid(fx, a.study);
	rb = synth_deid(fx, b.study);
	assert_string_not_equal(ra.pseudonym, rb.pseudonym);
	assert_string_not_equal(ra.study, rb.study);
}

static void assert_skipped(struct fixture *fx, const struct synth *s, enum nx_deid_skip why)
{
	NX_AUTO(nx_ingest) *ingest = nx_ingest_new(fx->archive);
	struct nx_deid_result r;

	synth_store(fx, ingest, s);
	r = synth_deid(fx, s->study);
	assert_u64(r.stored, 0);
	assert_u64(r.skipped[why], 1);
}

static void test_what_may_show_names_is_skipped(void **state)
{
	struct fixture *fx = *state;
	struct synth us = synth_ct("P", "1.2.99.6", "1.2.99.6.1", "1.2.99.6.1.1");
	struct synth sc = synth_ct("P", "1.2.99.7", "1.2.99.7.1", "1.2.99.7.1.1");
	struct synth burned = synth_ct("P", "1.2.99.8", "1.2.99.8.1", "1.2.99.8.1.1");

	us.modality = "US";
	sc.sop_class = "1.2.840.10008.5.1.4.1.1.7";
	burned.burned_in = "YES";
	assert_skipped(fx, &us, NX_DEID_SKIP_MODALITY);
	assert_skipped(fx, &sc, NX_DEID_SKIP_CLASS);
	assert_skipped(fx, &burned, NX_DEID_SKIP_BURNED_IN);
}

static void test_who_may_not_is_denied_and_recorded(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_deid) *deid = nx_deid_new(fx->archive);
	struct nx_principal reader = {
		.kind = NX_PRINCIPAL_TOKEN, .name = "reader", .role = "reader"};
	struct nx_deid_opts opts = {.who = &reader,
		.from = "clinical",
		.study = "1.2",
		.to = "curated",
		.profile = NX_DEID_PROFILE};
	uint64_t size = nx_ledger_size(nx_archive_ledger(fx->archive));
	struct nx_deid_result r;

	assert_rc(nx_deid_study(deid, &opts, &r, &fx->err), NX_E_DENIED);
	assert_u64(nx_ledger_size(nx_archive_ledger(fx->archive)), size + 1);
	opts.who = &fx_admin;
	assert_rc(nx_deid_study(deid, &opts, &r, &fx->err), NX_E_NOENT);
	opts.to = "clinical";
	assert_rc(nx_deid_study(deid, &opts, &r, &fx->err), NX_E_INVAL);
	opts.to = "curated";
	opts.profile = "none";
	assert_rc(nx_deid_study(deid, &opts, &r, &fx->err), NX_E_INVAL);
}

static void test_erasing_takes_the_copy_too(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_ingest) *ingest = nx_ingest_new(fx->archive);
	struct synth s = synth_ct("P", "1.2.99.9", "1.2.99.9.1", "1.2.99.9.1.1");
	struct nx_entry_draft draft = {.action = NX_ACTION_ERASE, .principal = "admin"};
	struct nx_deid_result r;
	struct nx_study study;
	struct items items;
	NX_AUTO(nx_reader) *reader = NULL;
	uint64_t erased = 0;

	synth_store(fx, ingest, &s);
	r = synth_deid(fx, s.study);
	curated_items(fx, r.study, &study, &items);
	assert_ok(nx_archive_erase(fx->archive, (uint64_t)study.subject, &draft, &erased, &fx->err),
		&fx->err);
	assert_u64(erased, 2);
	assert_rc(
		nx_archive_open_item(fx->archive, &items.items[0], &reader, &fx->err), NX_E_ERASED);
}

/* One row each for pseudonym and study, and one per instance; nothing of them is readable. */
static void test_the_vault_is_sealed(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_ingest) *ingest = nx_ingest_new(fx->archive);
	struct synth a = synth_ct("P", "1.2.99.10", "1.2.99.10.1", "1.2.99.10.1.1");
	struct synth b = synth_ct("P", "1.2.99.10", "1.2.99.10.1", "1.2.99.10.1.2");
	struct nx_deid_result r;
	struct nx_op *rows;
	size_t n = 0;

	synth_store(fx, ingest, &a);
	synth_store(fx, ingest, &b);
	r = synth_deid(fx, a.study);
	r = synth_deid(fx, a.study); /* the same rows again */
	assert_ok(nx_cat_rows(fx->cat, &(struct nx_rows_of){.table = NX_T_VAULT}, fx->arena, &rows,
			  &n, &fx->err),
		&fx->err);
	assert_int_equal(n, 4);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(rows[i].vals[0].s.n, 32);
		assert_absent(rows[i].vals[1].s, "1.2.99");
		assert_absent(rows[i].vals[1].s, "subject");
		assert_absent(rows[i].vals[1].s, r.pseudonym);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fx_teardown)
		T(test_no_planted_identifier_is_left),
		T(test_pixels_are_shared_and_exact),
		T(test_a_study_stays_together),
		T(test_two_patients_get_two_pseudonyms),
		T(test_what_may_show_names_is_skipped),
		T(test_who_may_not_is_denied_and_recorded),
		T(test_erasing_takes_the_copy_too),
		T(test_the_vault_is_sealed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

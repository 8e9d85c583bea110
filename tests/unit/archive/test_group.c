/* Changes that meet in one group: what is wrong with one is no other's business. */
#include "unit/archive/archive_fixture.h"

#include <sched.h>

#include "archive/archive_priv.h"

enum {
	CHANGES = 24,
	HEADER = 700,
	BULK = 90000
};

/* One instance, with all that its change borrows. */
struct job {
	struct nx_change *change;
	struct nx_study study;
	struct nx_series series;
	struct nx_item item;
	struct nx_recipe_part parts[2];
	struct nx_blob *blobs[2];
	struct nx_put put;
	char sop[32];
	nx_rc want;
	uint32_t seed;
};

static void entry_add(struct fixture *fx, struct job *j, const char *detail)
{
	struct nx_entry_draft draft = {.action = NX_ACTION_INSTANCE_STORE,
		.principal = "tester",
		.study = j->study.uid,
		.detail = nx_slice_str(detail)};

	assert_ok(nx_change_entry(j->change, &draft, &j->put, &fx->err), &fx->err);
}

static void job_make(struct fixture *fx, struct job *j, const char *patient, const char *study,
	const char *series, const char *modality, uint32_t n)
{
	bool bulk = n % 3 == 0;

	*j = (struct job){.change = nx_change_new(), .seed = n * 7};
	(void)snprintf(j->sop, sizeof(j->sop), "1.2.%u", n);
	j->study = (struct nx_study){.uid = study, .patient_id = patient, .issuer = ""};
	j->series = (struct nx_series){.uid = series, .modality = modality};
	j->item = (struct nx_item){.name = j->sop, .type = "1.2.840.10008.5.1.4.1.1.2"};
	j->item.size = HEADER + (bulk ? BULK : 0);
	j->blobs[0] = fx_blob(fx, &fx->collection, fx_bytes(fx, HEADER, j->seed), HEADER, HEADER);
	j->parts[0] = (struct nx_recipe_part){.kind = NX_PART_BLOB, .len = HEADER};
	if (bulk)
		j->blobs[1] =
			fx_blob(fx, &fx->collection, fx_bytes(fx, BULK, j->seed + 1), BULK, BULK);
	j->parts[1] = (struct nx_recipe_part){.kind = NX_PART_BLOB, .blob = 1, .len = BULK};
	j->put = (struct nx_put){.collection = &fx->collection,
		.study = &j->study,
		.series = &j->series,
		.item = &j->item,
		.blobs = j->blobs,
		.n_blobs = bulk ? 2 : 1,
		.parts = j->parts,
		.n_parts = bulk ? 2 : 1};
	assert_ok(nx_change_put(j->change, &j->put, &fx->err), &fx->err);
	entry_add(fx, j, "{}");
}

/* All in one group: the committer waits for space while they are queued. */
static void jobs_commit(struct fixture *fx, struct job *jobs, size_t n)
{
	struct nx_archive *a = fx->archive;
	struct job gate;
	struct nx_archive_stats before, after;
	size_t waiting = 1;

	job_make(fx, &gate, "GATE", "1.9.1", "1.9.1.1", "OT", 9001);
	nx_archive_stats(a, &before);
	(void)pthread_mutex_lock(&a->space.lock);
	assert_ok(nx_archive_submit(a, gate.change, &fx->err), &fx->err);
	while (waiting) {
		(void)pthread_mutex_lock(&a->lock);
		waiting = a->queue_len;
		(void)pthread_mutex_unlock(&a->lock);
		(void)sched_yield();
	}
	for (size_t i = 0; i < n; i++)
		assert_ok(nx_archive_submit(a, jobs[i].change, &fx->err), &fx->err);
	(void)pthread_mutex_unlock(&a->space.lock);
	assert_ok(nx_change_wait(gate.change, &fx->err), &fx->err);
	nx_change_free(gate.change);
	for (size_t i = 0; i < n; i++)
		assert_rc(nx_change_wait(jobs[i].change, &fx->err), jobs[i].want);
	nx_archive_stats(a, &after);
	assert_u64(after.groups, before.groups + 2);
}

static void jobs_expect(struct fixture *fx, const struct job *jobs, size_t n)
{
	nx_archive_barrier(fx->archive);
	for (size_t i = 0; i < n; i++) {
		const struct job *j = &jobs[i];
		uint64_t subject;
		struct nx_item item;

		if (j->want)
			continue;
		assert_ok(nx_cat_subject_find(fx->cat, fx->collection.domain, "",
				  j->study.patient_id, &subject, &fx->err),
			&fx->err);
		fx_item(fx, subject, j->sop, &item);
		fx_expect(fx, &item, HEADER, j->put.n_blobs == 2 ? BULK : 0, j->seed);
	}
}

static void study_expect(struct fixture *fx, const char *uid, int64_t n_series, int64_t n_instances,
	const char *modalities)
{
	struct nx_study study;

	nx_archive_barrier(fx->archive);
	assert_ok(nx_cat_study(fx->cat, fx->collection.id, uid, fx->arena, &study, &fx->err),
		&fx->err);
	assert_i64(study.n_series, n_series);
	assert_i64(study.n_instances, n_instances);
	assert_string_equal(study.modalities, modalities);
}

static void ledger_expect(struct fixture *fx, uint64_t n)
{
	uint64_t entries;

	assert_ok(nx_ledger_flush(nx_archive_ledger(fx->archive), &fx->err), &fx->err);
	assert_ok(nx_ledger_verify(nx_archive_ledger(fx->archive), &entries, &fx->err), &fx->err);
	assert_u64(entries, n);
}

static nx_rc feed_row(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_feed_row *r = row;
	int64_t *n = payload;

	(void)err;
	assert_i64(r->number, ++*n);
	assert_i64(r->action, NX_FEED_CREATE);
	return NX_OK;
}

/* `n` numbers from 1 on: what was bad has none. */
static void feed_expect(struct fixture *fx, int64_t n)
{
	int64_t got = 0;

	nx_archive_barrier(fx->archive);
	assert_ok(nx_cat_feed(fx->cat, fx->collection.id, 0, 1000, feed_row, &got, &fx->err),
		&fx->err);
	assert_i64(got, n);
}

/*
 * Every third is bad: it opens a series and a modality in the study of the good ones, or a patient
 * and a study of its own, has rows and a first entry, and then an entry that the ledger refuses.
 */
static void test_a_bad_change_is_answered_alone(void **state)
{
	struct fixture *fx = *state;
	struct job jobs[CHANGES], again;
	uint64_t subject, good = 0;
	struct nx_study study;

	for (uint32_t i = 0; i < CHANGES; i++) {
		bool bad = i % 3 == 1;

		if (bad && i % 2)
			job_make(fx, &jobs[i], "BAD", "1.3.9", "1.3.9.1", "MR", i);
		else
			job_make(fx, &jobs[i], "P1", "1.3.1", bad ? "1.3.1.9" : "1.3.1.1",
				bad ? "US" : "CT", i);
		jobs[i].want = bad ? NX_E_INVAL : NX_OK;
		good += !bad;
		if (bad)
			entry_add(fx, &jobs[i], "this is no JSON object");
	}
	jobs_commit(fx, jobs, CHANGES);
	jobs_expect(fx, jobs, CHANGES);
	study_expect(fx, "1.3.1", 1, (int64_t)good, "CT");
	assert_rc(nx_cat_study(fx->cat, fx->collection.id, "1.3.9", fx->arena, &study, &fx->err),
		NX_E_NOENT);
	assert_rc(
		nx_cat_subject_find(fx->cat, fx->collection.domain, "", "BAD", &subject, &fx->err),
		NX_E_NOENT);
	ledger_expect(fx, good + 1);
	feed_expect(fx, (int64_t)good + 1);
	/* what the bad ones tried is found by nobody as half done */
	job_make(fx, &again, "BAD", "1.3.9", "1.3.9.1", "MR", 900);
	jobs_commit(fx, &again, 1);
	study_expect(fx, "1.3.9", 1, 1, "MR");
	nx_change_free(again.change);
	job_make(fx, &again, "P1", "1.3.1", "1.3.1.9", "US", 901);
	jobs_commit(fx, &again, 1);
	study_expect(fx, "1.3.1", 2, (int64_t)good + 1, "CT\\US");
	feed_expect(fx, (int64_t)good + 3);
	nx_change_free(again.change);
	for (uint32_t i = 0; i < CHANGES; i++)
		nx_change_free(jobs[i].change);
}

/* The packs hold no more than what was answered: a catalog made from them says the same. */
static void test_a_group_with_a_bad_change_replays(void **state)
{
	struct fixture *fx = *state;
	struct job jobs[4];
	struct nx_study study;

	for (uint32_t i = 0; i < 4; i++) {
		job_make(fx, &jobs[i], i == 2 ? "BAD" : "P1", i == 2 ? "1.3.9" : "1.3.1", "1.3.1.1",
			"CT", i);
		jobs[i].want = i == 2 ? NX_E_INVAL : NX_OK;
		if (i == 2)
			entry_add(fx, &jobs[i], "this is no JSON object");
	}
	jobs_commit(fx, jobs, 4);
	fx_close(fx);
	assert_int_equal(unlink(fx->cat_path), 0);
	fx_open(fx, true);
	jobs_expect(fx, jobs, 4);
	study_expect(fx, "1.3.1", 1, 3, "CT");
	feed_expect(fx, 4);
	assert_rc(nx_cat_study(fx->cat, fx->collection.id, "1.3.9", fx->arena, &study, &fx->err),
		NX_E_NOENT);
	ledger_expect(fx, 4);
	for (uint32_t i = 0; i < 4; i++)
		nx_change_free(jobs[i].change);
}

/* Nothing of a group whose every change is bad is written, and its number goes to the next. */
static void test_a_group_of_bad_changes_is_no_group(void **state)
{
	struct fixture *fx = *state;
	struct nx_archive_stats before, after;
	struct job bad;

	job_make(fx, &bad, "BAD", "1.3.9", "1.3.9.1", "MR", 3);
	entry_add(fx, &bad, "this is no JSON object");
	nx_archive_stats(fx->archive, &before);
	assert_rc(nx_archive_commit(fx->archive, bad.change, &fx->err), NX_E_INVAL);
	nx_change_free(bad.change);
	nx_archive_stats(fx->archive, &after);
	assert_u64(after.groups, before.groups);
	job_make(fx, &bad, "BAD", "1.3.9", "1.3.9.1", "MR", 3);
	jobs_commit(fx, &bad, 1);
	nx_change_free(bad.change);
	fx_close(fx);
	fx_open(fx, false);
	study_expect(fx, "1.3.9", 1, 1, "MR");
	ledger_expect(fx, 2);
}

static void remove_all_of(struct fixture *fx, const struct job *j)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	struct nx_item item;
	uint64_t subject;

	nx_archive_barrier(fx->archive);
	assert_ok(nx_cat_subject_find(fx->cat, fx->collection.domain, "", j->study.patient_id,
			  &subject, &fx->err),
		&fx->err);
	fx_item(fx, subject, j->sop, &item);
	assert_ok(nx_change_remove(change, &item, &fx->err), &fx->err);
	assert_ok(nx_archive_commit(fx->archive, change, &fx->err), &fx->err);
}

static void put_one(
	struct fixture *fx, struct job *j, const char *series, const char *modality, uint32_t n)
{
	job_make(fx, j, "P1", "1.3.1", series, modality, n);
	assert_ok(nx_archive_commit(fx->archive, j->change, &fx->err), &fx->err);
	j->change = nx_change_free(j->change);
}

static void test_a_modality_is_listed_as_long_as_a_series_has_it(void **state)
{
	struct fixture *fx = *state;
	struct job ct, us, us2;

	put_one(fx, &ct, "1.3.1.1", "CT", 1);
	put_one(fx, &us, "1.3.1.2", "US", 2);
	put_one(fx, &us2, "1.3.1.3", "US", 4);
	remove_all_of(fx, &us);
	study_expect(fx, "1.3.1", 2, 2, "CT\\US");
	remove_all_of(fx, &us2);
	study_expect(fx, "1.3.1", 1, 1, "CT");
	put_one(fx, &us, "1.3.1.2", "US", 2);
	study_expect(fx, "1.3.1", 2, 2, "CT\\US");
	remove_all_of(fx, &ct);
	study_expect(fx, "1.3.1", 1, 1, "US");
	/* A new version of the only one is of another series and modality. */
	job_make(fx, &us2, "P1", "1.3.1", "1.3.1.9", "MR", 40);
	(void)snprintf(us2.sop, sizeof(us2.sop), "%s", us.sop);
	assert_ok(nx_archive_commit(fx->archive, us2.change, &fx->err), &fx->err);
	nx_change_free(us2.change);
	study_expect(fx, "1.3.1", 1, 1, "MR");
	fx_close(fx);
	fx_open(fx, false);
	study_expect(fx, "1.3.1", 1, 1, "MR");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_bad_change_is_answered_alone),
		TEST(test_a_group_with_a_bad_change_replays),
		TEST(test_a_group_of_bad_changes_is_no_group),
		TEST(test_a_modality_is_listed_as_long_as_a_series_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

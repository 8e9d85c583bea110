#include "unit/dataset/dataset_fixture.h"

#include "base/clock.h"
#include "dataset/lease.h"
#include "store/extent.h"

static const struct nx_principal trainer = {
	.kind = NX_PRINCIPAL_TOKEN, .name = "gpu", .role = "trainer"};

static int setup(void **state)
{
	return fx_setup(state);
}

static struct nx_lease_info open_lease(struct fixture *fx, struct nx_releases *r)
{
	struct nx_lease_info info;

	assert_ok(nx_lease_open(r, &trainer,
			  &(struct nx_lease_terms){
				  .release = "lung-ct", .purpose = "training", .seconds = 60},
			  &info, &fx->err),
		&fx->err);
	return info;
}

static nx_rc read_some(struct fixture *fx, struct nx_releases *r, const char *id, uint64_t first,
	uint64_t count, struct nx_lease_answer *ret)
{
	return nx_lease_read(r, &trainer,
		&(struct nx_lease_span){.id = id, .first = first, .count = count}, fx->arena, ret,
		&fx->err);
}

/* With nothing but the answer and the pool. */
static void assert_opens(struct fixture *fx, const struct nx_lease_sample *s)
{
	for (size_t b = 0; b < s->recipe->n_blobs; b++) {
		const struct nx_recipe_blob *blob = &s->recipe->blobs[b];

		for (size_t i = 0; i < s->n_extents[b]; i++)
			assert_ok(nx_extent_check(fx->pool, &s->extents[b][i],
					  &(struct nx_extent_seal){
						  .blob_key = &blob->key, .index = (uint32_t)i},
					  &fx->err),
				&fx->err);
	}
}

static void test_a_lease_gives_keys_and_places(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_releases) *r = fx_releases(fx);
	struct nx_release_result made;
	struct nx_lease_answer answer;
	struct nx_lease_info lease;
	struct nx_deid_result deid[2];

	fx_fill(fx, deid);
	made = fx_release(fx, r);
	lease = open_lease(fx, r);
	assert_string_equal(lease.release, "lung-ct@v1");
	assert_memory_equal(lease.root, made.root, 32);
	assert_ok(read_some(fx, r, lease.id, 0, 3, &answer), &fx->err);
	assert_int_equal(answer.n_samples, 3);
	assert_u64(answer.next, 3);
	for (size_t i = 0; i < 3; i++)
		assert_opens(fx, &answer.samples[i]);
	assert_ok(read_some(fx, r, lease.id, 3, 100, &answer), &fx->err);
	assert_int_equal(answer.n_samples, 1);
	assert_u64(answer.next, 4);
	assert_rc(read_some(fx, r, lease.id, 4, 1, &answer), NX_E_RANGE);
	assert_rc(read_some(fx, r, lease.id, 0, 0, &answer), NX_E_RANGE);
}

static nx_rc entry_count(void *payload, const struct nx_entry *entry, struct nx_err *err)
{
	(void)err;
	*(unsigned *)payload += entry->action == NX_ACTION_LEASE_READ;
	return NX_OK;
}

/* Entries of reads under a lease in the chain of the study's subject. */
static unsigned reads_of(struct fixture *fx, const char *study_uid)
{
	struct nx_ledger *ledger = nx_archive_ledger(fx->archive);
	uint8_t tag[NX_TAG_LEN];
	struct nx_study study;
	unsigned n = 0;

	assert_ok(nx_cat_study(fx->cat, fx->curated.id, study_uid, fx->arena, &study, &fx->err),
		&fx->err);
	nx_ledger_tag_subject(ledger, (uint64_t)study.subject, tag);
	assert_ok(nx_ledger_chain(ledger, tag, entry_count, &n, &fx->err), &fx->err);
	return n;
}

static void test_a_read_is_in_the_ledger(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_releases) *r = fx_releases(fx);
	struct nx_ledger *ledger = nx_archive_ledger(fx->archive);
	struct nx_lease_answer answer;
	struct nx_lease_info lease;
	struct nx_deid_result deid[2];
	struct nx_entry entry;
	struct nx_slice body;
	uint64_t size;

	fx_fill(fx, deid);
	(void)fx_release(fx, r);
	lease = open_lease(fx, r);
	size = nx_ledger_size(ledger);
	assert_ok(read_some(fx, r, lease.id, 1, 2, &answer), &fx->err);
	assert_u64(nx_ledger_size(ledger), size + 2); /* one of each subject */
	assert_ok(nx_ledger_flush(ledger, &fx->err), &fx->err);
	assert_ok(nx_ledger_entry(ledger, size, fx->arena, &entry, &fx->err), &fx->err);
	assert_int_equal(entry.action, NX_ACTION_LEASE_READ);
	assert_ok(nx_ledger_body(ledger, &entry, fx->arena, &body, &fx->err), &fx->err);
	assert_non_null(memmem(body.p, body.n, "\"first\":1,\"next\":3", 18));
	assert_non_null(memmem(body.p, body.n, "\"samples\":1", 11));
	assert_non_null(memmem(body.p, body.n, lease.id, NX_LEASE_ID_LEN));
	assert_int_equal(reads_of(fx, deid[0].study), 1);
	assert_int_equal(reads_of(fx, deid[1].study), 1);
}

static void test_an_erased_subject_is_told_and_skipped(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_releases) *r = fx_releases(fx);
	struct nx_entry_draft draft = {.action = NX_ACTION_ERASE, .principal = "admin"};
	struct nx_lease_answer answer;
	struct nx_lease_info lease;
	struct nx_deid_result deid[2];
	struct nx_study study;
	uint64_t items = 0;
	size_t erased = 0;

	fx_fill(fx, deid);
	(void)fx_release(fx, r);
	lease = open_lease(fx, r);
	assert_ok(nx_cat_study(fx->cat, fx->curated.id, deid[0].study, fx->arena, &study, &fx->err),
		&fx->err);
	assert_ok(nx_archive_erase(fx->archive, (uint64_t)study.subject, &draft, &items, &fx->err),
		&fx->err);
	assert_ok(read_some(fx, r, lease.id, 0, 10, &answer), &fx->err);
	assert_int_equal(answer.n_samples, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_u64(answer.samples[i].position, i);
		if (answer.samples[i].erased)
			erased++;
		else
			assert_opens(fx, &answer.samples[i]);
	}
	assert_int_equal(erased, 2);
}

static void test_an_ended_lease_is_refused(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_releases) *r = fx_releases(fx);
	struct nx_lease_answer answer;
	struct nx_lease_info lease;
	struct nx_deid_result deid[2];

	fx_fill(fx, deid);
	(void)fx_release(fx, r);
	lease = open_lease(fx, r);
	assert_ok(nx_lease_end(r, &trainer, lease.id, &fx->err), &fx->err);
	assert_ok(nx_lease_end(r, &trainer, lease.id, &fx->err), &fx->err);
	assert_rc(read_some(fx, r, lease.id, 0, 1, &answer), NX_E_DENIED);
	assert_rc(read_some(fx, r, "00000000000000000000000000000000", 0, 1, &answer), NX_E_NOENT);
}

static void test_an_expired_lease_is_refused(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_releases) *r = fx_releases(fx);
	struct nx_val vals[3] = {{0}};
	struct nx_op op = {.verb = NX_OP_SET, .table = NX_T_LEASE, .n = 3, .vals = vals};
	NX_AUTO(nx_change) *change = nx_change_new();
	struct nx_lease_answer answer;
	struct nx_lease_info lease;
	struct nx_deid_result deid[2];

	fx_fill(fx, deid);
	(void)fx_release(fx, r);
	lease = open_lease(fx, r);
	vals[0] = nx_val_text(lease.id);
	vals[1] = nx_val_int(4); /* expires_us: the time has come */
	vals[2] = nx_val_int(nx_now_us());
	assert_ok(nx_change_op(change, &op, &fx->err), &fx->err);
	assert_ok(nx_archive_commit(fx->archive, change, &fx->err), &fx->err);
	assert_rc(read_some(fx, r, lease.id, 0, 1, &answer), NX_E_DENIED);
}

static void test_another_may_not_use_it(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_releases) *r = fx_releases(fx);
	struct nx_principal other = trainer;
	struct nx_principal reader = {
		.kind = NX_PRINCIPAL_TOKEN, .name = "reader", .role = "reader"};
	struct nx_lease_answer answer;
	struct nx_lease_info lease;
	struct nx_deid_result deid[2];

	fx_fill(fx, deid);
	(void)fx_release(fx, r);
	lease = open_lease(fx, r);
	(void)snprintf(other.name, sizeof(other.name), "other");
	assert_rc(nx_lease_read(r, &other, &(struct nx_lease_span){.id = lease.id, .count = 1},
			  fx->arena, &answer, &fx->err),
		NX_E_DENIED);
	assert_rc(nx_lease_end(r, &other, lease.id, &fx->err), NX_E_DENIED);
	assert_rc(
		nx_lease_open(r, &reader,
			&(struct nx_lease_terms){
				.release = "lung-ct", .version = 1, .purpose = "p", .seconds = 60},
			&lease, &fx->err),
		NX_E_DENIED);
	assert_rc(
		nx_lease_open(r, &trainer,
			&(struct nx_lease_terms){
				.release = "lung-ct", .version = 9, .purpose = "p", .seconds = 60},
			&lease, &fx->err),
		NX_E_NOENT);
	assert_rc(nx_lease_open(r, &trainer,
			  &(struct nx_lease_terms){
				  .release = "lung-ct", .version = 1, .purpose = "", .seconds = 60},
			  &lease, &fx->err),
		NX_E_INVAL);
	assert_rc(nx_lease_open(r, &trainer,
			  &(struct nx_lease_terms){
				  .release = "lung-ct", .version = 1, .purpose = "p"},
			  &lease, &fx->err),
		NX_E_INVAL);
}

static void test_an_answer_is_bounded(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_releases) *r = fx_releases(fx);
	NX_AUTO(nx_ingest) *ingest = nx_ingest_new(fx->archive);
	struct nx_lease_answer answer;
	struct nx_lease_info lease;
	struct nx_deid_result deid[2];

	fx_fill(fx, deid);
	for (int i = 0; i < 2; i++) {
		struct synth s = synth_ct(
			"GAMMA", "1.2.77.3", "1.2.77.3.1", i ? "1.2.77.3.1.2" : "1.2.77.3.1.1");

		s.pixels = 33554432 + 512;
		nx_arena_reset(fx->arena);
		synth_store(fx, ingest, &s);
	}
	(void)synth_deid(fx, "1.2.77.3");
	(void)fx_release(fx, r);
	lease = open_lease(fx, r);
	assert_ok(read_some(fx, r, lease.id, 0, 256, &answer), &fx->err);
	assert_true(answer.n_samples >= 1 && answer.n_samples < 6);
	assert_u64(answer.next, answer.n_samples);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fx_teardown)
		T(test_a_lease_gives_keys_and_places),
		T(test_a_read_is_in_the_ledger),
		T(test_an_erased_subject_is_told_and_skipped),
		T(test_an_ended_lease_is_refused),
		T(test_an_expired_lease_is_refused),
		T(test_another_may_not_use_it),
		T(test_an_answer_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

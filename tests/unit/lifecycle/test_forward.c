#include "site_fixture.h"

#include "base/clock.h"
#include "lifecycle/admin.h"
#include "lifecycle/forward.h"

enum {
	TRIES = 2,
	BACKOFF_US = 20000
};

struct forwarding {
	struct nx_admin *admin;
	struct nx_forward *forward;
};

static void open_queue(struct fixture *fx, struct forwarding *f)
{
	struct nx_forward_opts opts = {.archive = fx->archive,
		.tries = TRIES,
		.backoff_us = BACKOFF_US,
		.backoff_max_us = BACKOFF_US};

	f->admin = nx_admin_new(fx->archive, "test", "version");
	opts.admin = f->admin;
	assert_ok(nx_forward_new(&opts, &f->forward, &fx->err), &fx->err);
}

static void close_queue(struct forwarding *f)
{
	nx_forward_stop(f->forward);
	f->forward = nx_forward_free(f->forward);
	f->admin = nx_admin_free(f->admin);
}

static void rule(struct fixture *fx, struct forwarding *f, const char *name, const char *fact,
	const char *pattern)
{
	const struct nx_destination_spec to = {.ae = "PACS", .host = "127.0.0.1", .port = 104};
	const struct nx_forward_condition condition = {fact, pattern};
	const struct nx_forward_spec spec = {.name = name,
		.collection = "clinical",
		.destination = "PACS",
		.conditions = &condition,
		.n_conditions = fact ? 1 : 0};

	assert_ok(nx_admin_destination_set(f->admin, &site_admin, &to, &fx->err), &fx->err);
	assert_ok(nx_forward_rule_set(f->forward, &site_admin, &spec, &fx->err), &fx->err);
}

static void put(struct fixture *fx, const char *sop, uint32_t seed)
{
	struct nx_put made;

	assert_ok(fx_put(fx, "P1", "1.2", sop, 900, 0, seed, &made), &fx->err);
}

static void expect(struct fixture *fx, struct forwarding *f, uint64_t waiting, uint64_t dead)
{
	struct nx_forward_stats stats;

	nx_archive_barrier(fx->archive);
	assert_ok(nx_forward_stats(f->forward, &stats, &fx->err), &fx->err);
	assert_u64(stats.waiting, waiting);
	assert_u64(stats.dead, dead);
}

/* All of a batch are answered with `status`; 0x10000: with nothing.  How many they were. */
static size_t deliver_some(struct fixture *fx, struct forwarding *f, unsigned status, nx_rc rc)
{
	struct nx_forward_batch batch;
	size_t n;

	assert_ok(nx_forward_take(f->forward, &batch, &fx->err), &fx->err);
	assert_string_equal(batch.destination, "PACS");
	n = batch.n;
	for (size_t i = 0; i < n; i++) {
		batch.deliveries[i].settled = status < 0x10000;
		batch.deliveries[i].status = status;
		batch.deliveries[i].study = "1.2";
		batch.deliveries[i].sop_instance = "1.2.1";
	}
	assert_ok(nx_forward_done(f->forward, &batch, rc, &fx->err), &fx->err);
	return n;
}

static void deliver(struct fixture *fx, struct forwarding *f, size_t n, unsigned status, nx_rc rc)
{
	assert_int_equal(deliver_some(fx, f, status, rc), n);
}

static void test_what_is_stored_is_owed_once_and_gone_when_it_was_taken(void **state)
{
	struct fixture *fx = *state;
	struct forwarding f;

	open_queue(fx, &f);
	put(fx, "1.2.1", 1); /* no rule yet */
	rule(fx, &f, "all", NULL, NULL);
	put(fx, "1.2.2", 2);
	put(fx, "1.2.2", 2); /* known already */
	put(fx, "1.2.2", 3); /* another version */
	expect(fx, &f, 2, 0);
	deliver(fx, &f, 2, 0, NX_OK);
	expect(fx, &f, 0, 0);
	assert_int_equal(site_entries(fx, NX_ACTION_FORWARD), 1);
	put(fx, "1.2.3", 4);
	deliver(fx, &f, 1, 0xb000, NX_OK); /* a warning is a success */
	expect(fx, &f, 0, 0);
	close_queue(&f);
}

static void test_what_is_owed_is_owed_after_a_restart(void **state)
{
	struct fixture *fx = *state;
	struct forwarding f;

	open_queue(fx, &f);
	rule(fx, &f, "all", NULL, NULL);
	put(fx, "1.2.1", 1);
	close_queue(&f);
	fx_close(fx);
	fx_open(fx, true); /* from the packs alone */
	open_queue(fx, &f);
	expect(fx, &f, 1, 0);
	deliver(fx, &f, 1, 0, NX_OK);
	put(fx, "1.2.2", 2); /* the rule is there, too */
	expect(fx, &f, 1, 0);
	close_queue(&f);
}

static void test_failures_are_counted_until_it_is_a_dead_letter(void **state)
{
	const struct nx_forward_pick all = {0};
	struct fixture *fx = *state;
	struct forwarding f;
	uint64_t n;

	open_queue(fx, &f);
	rule(fx, &f, "all", NULL, NULL);
	put(fx, "1.2.1", 1);
	deliver(fx, &f, 1, 0x10000, NX_OK); /* not tried */
	deliver(fx, &f, 1, 0x10000, NX_E_TIMEOUT);
	expect(fx, &f, 1, 0);
	deliver(fx, &f, 1, 0xa700, NX_OK);
	expect(fx, &f, 0, 1);
	assert_int_equal(site_entries(fx, NX_ACTION_FORWARD), 1);
	assert_ok(nx_forward_retry(f.forward, &site_admin, &all, &n, &fx->err), &fx->err);
	assert_u64(n, 1);
	expect(fx, &f, 1, 0);
	deliver(fx, &f, 1, 0xc000, NX_OK); /* refused for good */
	expect(fx, &f, 0, 1);
	assert_rc(nx_forward_drop(f.forward, &site_modality, &all, &n, &fx->err), NX_E_DENIED);
	assert_ok(nx_forward_drop(f.forward, &site_admin, &all, &n, &fx->err), &fx->err);
	expect(fx, &f, 0, 0);
	close_queue(&f);
}

static void test_a_destination_that_fails_is_left_alone_for_a_while(void **state)
{
	struct fixture *fx = *state;
	struct forwarding f;
	int64_t began_us;
	size_t n;

	open_queue(fx, &f);
	rule(fx, &f, "all", NULL, NULL);
	put(fx, "1.2.1", 1);
	began_us = nx_mono_us();
	deliver(fx, &f, 1, 0x10000, NX_E_TIMEOUT);
	put(fx, "1.2.2", 2); /* due at once, and not given out */
	n = deliver_some(fx, &f, 0, NX_OK);
	assert_true(nx_mono_us() - began_us >= BACKOFF_US / 2);
	if (n == 1) /* the other one waits for as long, by its own dice */
		deliver(fx, &f, 1, 0, NX_OK);
	expect(fx, &f, 0, 0);
	close_queue(&f);
}

static void test_conditions(void **state)
{
	static const struct {
		const char *fact, *pattern;
		bool holds;
	} cases[] = {
		{"Modality", "CT", true},
		{"Modality", "ct", true},
		{"Modality", "C?", true},
		{"Modality", "*T*", true},
		{"Modality", "*", true},
		{"Modality", "MR\\CT", true},
		{"Modality", "MR\\C", false},
		{"Modality", "?", false},
		{"Modality", "C", false},
		{"Modality", "CTX", false},
		{"Modality", "*R", false},
		{"Modality", "\\", false},
		{"SOPClassUID", "1.2.840.*.1.2", true},
		{"SOPClassUID", "1.2.840.*.1.3", false},
		{"StudyDescription", "*", true},
		{"StudyDescription", "?*", false},
		{"CallingAE", "CT01", false},
	};
	struct fixture *fx = *state;
	struct forwarding f;
	char sop[32];

	open_queue(fx, &f);
	for (uint32_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		rule(fx, &f, "one", cases[i].fact, cases[i].pattern);
		(void)snprintf(sop, sizeof(sop), "1.2.%u", i + 1);
		put(fx, sop, i + 1);
		expect(fx, &f, cases[i].holds, 0);
		if (cases[i].holds)
			deliver(fx, &f, 1, 0, NX_OK);
	}
	close_queue(&f);
}

static void test_only_administrators(void **state)
{
	const struct nx_forward_spec spec = {
		.name = "one", .collection = "clinical", .destination = "PACS"};
	const struct nx_forward_order order = {
		.collection = "clinical", .study = "1.2", .destination = "PACS"};
	const struct nx_forward_find find = {0};
	struct fixture *fx = *state;
	struct forwarding f;
	NX_AUTO_DONE(nx_buf) buf;
	uint64_t n;

	nx_buf_init(&buf, 4096, 0);
	open_queue(fx, &f);
	assert_rc(nx_forward_rule_set(f.forward, &site_modality, &spec, &fx->err), NX_E_DENIED);
	assert_rc(nx_forward_rule_remove(f.forward, &site_modality, "one", &fx->err), NX_E_DENIED);
	assert_rc(nx_forward_rules(f.forward, &site_modality, &buf, &fx->err), NX_E_DENIED);
	assert_rc(nx_forward_queue(f.forward, &site_modality, &find, &buf, &fx->err), NX_E_DENIED);
	assert_rc(nx_forward_send(f.forward, &site_modality, &order, &n, &fx->err), NX_E_DENIED);
	assert_int_equal(site_entries(fx, NX_ACTION_ACCESS_DENY), 5);
	close_queue(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_what_is_stored_is_owed_once_and_gone_when_it_was_taken, fx_setup,
			fx_teardown),
		cmocka_unit_test_setup_teardown(
			test_what_is_owed_is_owed_after_a_restart, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(
			test_failures_are_counted_until_it_is_a_dead_letter, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(
			test_a_destination_that_fails_is_left_alone_for_a_while, fx_setup,
			fx_teardown),
		cmocka_unit_test_setup_teardown(test_conditions, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_only_administrators, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

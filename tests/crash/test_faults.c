/*
 * Every write, sync and new pack fails once, or from then on for ever; so do the catalog's writes.
 * What was acknowledged stays, what was refused was refused, and the archive works again, at the
 * latest after a start.  A hang ends with SIGALRM.
 */
#include "unit/nx_test.h"

#include <sqlite3.h>
#include <unistd.h>

#include "cut.h"
#include "site.h"
#include "store/pool_drv.h"

enum {
	DEADLINE_S = 120,
	OPS = 6,
	SITES_EVERY = 16, /* rounds until a new site */
};

static unsigned acked(const struct site *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SITE_THREADS; i++)
		n += s->writers[i].acked;
	return n;
}

static void expect_good(struct site *s, uint64_t nth)
{
	if (s->why[0])
		print_error("fault %llu: %s\n", (unsigned long long)nth, s->why);
	assert_string_equal(s->why, "");
}

/* It takes changes again, and all is there, also after a start. */
static void expect_usable(struct site *s, uint64_t nth)
{
	struct nx_entry_draft draft = {.action = NX_ACTION_READ, .principal = "crash"};
	unsigned before = acked(s);
	struct nx_err err;
	nx_rc rc;

	/* While the catalog lags behind what was answered, changes are refused. */
	while ((rc = nx_archive_record(s->archive, &draft, &err)) == NX_E_BUSY)
		(void)usleep(1000);
	if (rc)
		(void)site_wrong(s, "it takes no changes: %s", nx_err_text(&err));
	(void)site_check(s);
	expect_good(s, nth);
	site_load(s, OPS);
	assert_true(acked(s) > before);
	site_close(s);
	if (site_open(s, false))
		(void)site_check(s);
	expect_good(s, nth);
}

/* The process ends as in a kill: nothing is flushed or checkpointed on the way. */
static void kill_it(struct site *s)
{
	cut_begin(0, NULL, NULL);
	cut_now();
	site_close(s);
	cut_killed();
	cut_end();
}

static struct site *site_for(struct site *s, uint64_t round, uint64_t seed)
{
	if (s && round % SITES_EVERY)
		return s;
	if (s)
		s = site_free(s);
	return site_new("fault:mem:", seed);
}

static void pool_faults(uint32_t kinds, bool forever, uint64_t stride)
{
	static const nx_rc codes[] = {NX_E_IO, NX_E_NOSPACE, NX_E_READONLY};
	struct site *s = NULL;
	uint64_t calls = UINT64_MAX;

	for (uint64_t nth = 1, round = 0; nth <= calls; nth += stride, round++) {
		struct nx_fault fault = {.kinds = kinds, .nth = nth, .forever = forever};
		uint64_t before;

		(void)alarm(DEADLINE_S);
		s = site_for(s, round, nth);
		fault.rc = codes[round % 3];
		fault.applied = round % 5 == 0;
		before = nx_pool_fault_count(s->pool, kinds);
		nx_pool_fault_arm(s->pool, &fault);
		site_load(s, OPS);
		nx_pool_fault_arm(s->pool, NULL);
		if (nx_pool_fault_count(s->pool, kinds) - before < nth)
			calls = nth; /* it was not reached: the last one */
		if (round % 2) {
			kill_it(s);
			(void)site_open(s, false);
			expect_good(s, nth);
		}
		expect_usable(s, nth);
	}
	site_free(s);
	(void)alarm(0);
}

static void test_each_new_pack_fails_once(void **state)
{
	(void)state;
	pool_faults(NX_FAULT_CREATE, false, 1);
}

static void test_each_write_fails_once(void **state)
{
	(void)state;
	pool_faults(NX_FAULT_WRITE, false, 2);
}

static void test_each_sync_fails_once(void **state)
{
	(void)state;
	pool_faults(NX_FAULT_SYNC, false, 1);
}

static void test_the_device_fails_for_good(void **state)
{
	(void)state;
	pool_faults(NX_FAULT_CREATE | NX_FAULT_WRITE | NX_FAULT_SYNC, true, 7);
}

static void test_each_read_of_a_start_fails_once(void **state)
{
	struct site *s = site_new("fault:mem:", 5);
	struct nx_fault fault = {.kinds = NX_FAULT_READ, .rc = NX_E_IO};
	bool met = true;

	(void)state;
	(void)alarm(DEADLINE_S);
	site_load(s, OPS);
	kill_it(s);
	for (fault.nth = 1; met; fault.nth++) { /* each start gets further than the one before */
		nx_pool_fault_arm(s->pool, &fault);
		met = !site_open(s, false);
		nx_pool_fault_arm(s->pool, NULL);
		if (met)
			assert_non_null(strstr(s->why, "injected fault"));
		s->why[0] = 0;
		kill_it(s);
	}
	(void)site_open(s, false);
	expect_good(s, fault.nth);
	expect_usable(s, fault.nth);
	site_free(s);
	(void)alarm(0);
}

static void catalog_faults(bool forever, int code)
{
	struct site *s = NULL;

	for (uint64_t nth = 1, round = 0; nth < 200; nth += 1 + nth / 2, round++) {
		(void)alarm(DEADLINE_S);
		s = site_for(s, round, nth);
		cut_vfs_fail(nth, forever, code);
		site_load(s, OPS);
		if (forever || round % 2) {
			site_close(s);
			cut_vfs_fail(0, false, 0);
			(void)site_open(s, false);
			expect_good(s, nth);
		}
		cut_vfs_fail(0, false, 0);
		expect_usable(s, nth);
	}
	site_free(s);
	(void)alarm(0);
}

static void test_a_write_of_the_catalog_fails_once(void **state)
{
	(void)state;
	catalog_faults(false, SQLITE_IOERR_WRITE);
	catalog_faults(false, SQLITE_FULL);
}

static void test_the_catalog_fails_until_the_next_start(void **state)
{
	(void)state;
	catalog_faults(true, SQLITE_FULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_new_pack_fails_once),
		cmocka_unit_test(test_each_write_fails_once),
		cmocka_unit_test(test_each_sync_fails_once),
		cmocka_unit_test(test_the_device_fails_for_good),
		cmocka_unit_test(test_each_read_of_a_start_fails_once),
		cmocka_unit_test(test_a_write_of_the_catalog_fails_once),
		cmocka_unit_test(test_the_catalog_fails_until_the_next_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

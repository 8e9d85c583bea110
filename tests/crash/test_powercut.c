/*
 * Power cuts and kills at random steps of a mixed load, also during the start after one.  How many:
 * NX_CRASH_ROUNDS (50); which: NX_CRASH_SEED.
 */
#include "unit/nx_test.h"

#include <stdlib.h>

#include "cut.h"
#include "site.h"
#include "store/pool_drv.h"

enum {
	ROUNDS_PER_SITE = 8,
	OPS_PER_THREAD = 60,
	STEPS_MAX = 1200,
};

/* Which syncs do nothing. */
enum {
	LOSE_POOL = 1,
	LOSE_FILES = 2,
};

/* What the rounds were; tools/check adds it up. */
static struct {
	unsigned cuts;
	unsigned kills;
	unsigned starts_cut; /* of them, while the site came up */
} done;

static uint64_t dice(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint64_t number_from(const char *name, uint64_t fallback)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : fallback;
}

/* Everything is let go without power; then what was not synced is lost, or the process only ended.
 */
static void go_down(struct site *s, uint64_t *rng)
{
	struct nx_err err;
	char path[80];

	cut_now();
	site_close(s);
	(void)snprintf(path, sizeof(path), "%s-shm", s->cat_path);
	(void)remove(path);
	if (dice(rng) % 4 == 0) {
		done.kills++;
		cut_killed();
		return;
	}
	done.cuts++;
	cut_power(dice(rng));
	assert_ok(nx_pool_fault_powercut(s->pool, dice(rng), &err), &err);
}

/* True when it is up; false when the power went again on the way. */
static bool come_up(struct site *s, uint64_t *rng, uint64_t fuse)
{
	cut_begin(fuse, NULL, NULL);
	if (site_open(s, false)) {
		if (!cut_dead())
			return true;
	} else if (!cut_dead()) {
		return true; /* the reason stands in site->why */
	}
	s->why[0] = 0;
	done.starts_cut++;
	go_down(s, rng);
	return false;
}

/* One round; false with site->why. */
static bool round_run(struct site *s, uint64_t *rng)
{
	cut_begin(1 + dice(rng) % STEPS_MAX, NULL, NULL);
	site_load(s, OPS_PER_THREAD);
	go_down(s, rng);
	while (!come_up(s, rng, dice(rng) % 2 ? 1 + dice(rng) % 60 : 0))
		;
	cut_begin(0, NULL, NULL);
	if (s->why[0] || !site_check(s))
		return false;
	if (dice(rng) % 4)
		return true;
	site_close(s); /* and a second start is clean */
	return site_open(s, false) && site_check(s);
}

static unsigned rounds_run(
	const char *pool, uint64_t rounds, uint64_t seed, unsigned lose, char why[SITE_WHY])
{
	struct site *s = NULL;
	uint64_t rng = seed;
	unsigned bad = 0;

	why[0] = 0;
	for (uint64_t i = 0; i < rounds && !bad; i++) {
		if (s && i % ROUNDS_PER_SITE == 0)
			s = site_free(s);
		if (!s) {
			cut_end();
			s = site_new(pool, dice(&rng));
			nx_pool_fault_nosync(s->pool, (lose & LOSE_POOL) != 0);
			cut_nosync((lose & LOSE_FILES) != 0);
		}
		if (!round_run(s, &rng)) {
			bad++;
			(void)snprintf(
				why, SITE_WHY, "round %llu: %.480s", (unsigned long long)i, s->why);
		}
	}
	cut_begin(0, NULL, NULL);
	s = site_free(s);
	cut_end();
	return bad;
}

static void expect_safe(const char *pool, uint64_t rounds)
{
	uint64_t seed = number_from("NX_CRASH_SEED", 1);
	char why[SITE_WHY];

	if (rounds_run(pool, rounds, seed, 0, why)) {
		print_error("seed %llu, %s %s\n", (unsigned long long)seed, pool, why);
		fail();
	}
}

static void test_what_was_acknowledged_survives_a_power_cut(void **state)
{
	(void)state;
	expect_safe("fault:mem:", number_from("NX_CRASH_ROUNDS", 50));
}

static void test_so_it_does_in_local_files(void **state)
{
	(void)state;
	expect_safe("fault:dir:", number_from("NX_CRASH_ROUNDS", 50) / 5);
}

/* The test of the test: where syncs do nothing, it must see what is lost, of packs and of the other
 * files each. */
static void expect_lost(const char *pool, unsigned lose)
{
	char why[SITE_WHY];

	assert_int_equal(rounds_run(pool, 20, 1, lose, why), 1);
}

static void test_without_syncs_it_does_not(void **state)
{
	(void)state;
	expect_lost("fault:mem:", LOSE_POOL | LOSE_FILES);
}

static void test_without_syncs_of_packs_it_does_not(void **state)
{
	(void)state;
	expect_lost("fault:mem:", LOSE_POOL);
}

static void test_without_syncs_of_other_files_it_does_not(void **state)
{
	(void)state;
	expect_lost("fault:mem:", LOSE_FILES);
}

static void test_without_syncs_of_packs_it_does_not_in_local_files(void **state)
{
	(void)state;
	expect_lost("fault:dir:", LOSE_POOL);
}

static int told(void **state)
{
	(void)state;
	(void)printf(
		"# cuts=%u\n# kills=%u\n# starts-cut=%u\n", done.cuts, done.kills, done.starts_cut);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_acknowledged_survives_a_power_cut),
		cmocka_unit_test(test_so_it_does_in_local_files),
		cmocka_unit_test(test_without_syncs_it_does_not),
		cmocka_unit_test(test_without_syncs_of_packs_it_does_not),
		cmocka_unit_test(test_without_syncs_of_other_files_it_does_not),
		cmocka_unit_test(test_without_syncs_of_packs_it_does_not_in_local_files),
	};

	return cmocka_run_group_tests(tests, NULL, told);
}

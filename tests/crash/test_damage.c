/*
 * Bits flipped in packs, and catalogs that are cut short or gone: exact bytes or an error, never
 * other bytes, and the catalog made anew from the packs.  How many flips: NX_CRASH_FLIPS (300).
 */
#include "unit/nx_test.h"

#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cut.h"
#include "site.h"

enum {
	PACKS_MAX = 256,
	BLOCK = 4096,
};

struct packs {
	nx_pack_id ids[PACKS_MAX];
	size_t n;
};

static uint64_t dice(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static nx_rc pack_add(void *payload, nx_pack_id pack)
{
	struct packs *packs = payload;

	assert_true(packs->n < PACKS_MAX);
	packs->ids[packs->n++] = pack;
	return NX_OK;
}

static void catalog_remove(struct site *s)
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	char path[80];

	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "%s%s", s->cat_path, ends[i]);
		(void)unlink(path);
	}
}

static void flip(struct site *s, nx_pack_id pack, uint64_t at, unsigned bit)
{
	uint8_t *block = nx_aligned_get(BLOCK);
	struct iovec iov = {block, BLOCK};
	uint64_t off = at / BLOCK * BLOCK;
	struct nx_err err;

	assert_ok(nx_pool_read(s->pool, pack, off, block, BLOCK, &err), &err);
	block[at % BLOCK] ^= (uint8_t)(1u << bit);
	assert_ok(nx_pool_write(s->pool, pack, off, &iov, 1, &err), &err);
	nx_aligned_put(block, BLOCK);
}

/* A closed site with something in it. */
static struct site *filled(const char *pool, struct packs *packs)
{
	struct site *s = site_new(pool, 7);
	struct nx_err err;

	site_load(s, 30);
	assert_true(site_check(s));
	site_close(s);
	packs->n = 0;
	assert_ok(nx_pool_list(s->pool, pack_add, packs, &err), &err);
	return s;
}

/* Headers are few among so many bytes: every other flip is near the beginning of a block. */
static uint64_t place(uint64_t *rng, uint64_t size)
{
	uint64_t at = dice(rng) % size;

	return dice(rng) % 2 ? at : at / BLOCK * BLOCK + dice(rng) % 64;
}

static void expect_honest(struct site *s, const struct site_read *all, unsigned *ret_refused)
{
	struct site_read now;

	if (!site_open(s, true)) {
		/* It says where. */
		if (!strstr(s->why, "pack"))
			print_error("%s\n", s->why);
		assert_non_null(strstr(s->why, "pack"));
		s->why[0] = 0;
		++*ret_refused;
		site_close(s);
		return;
	}
	if (!site_read_all(s, &now))
		print_error("%s\n", s->why);
	assert_string_equal(s->why, "");
	/* Damage in the last group looks like a group that was never answered. */
	assert_true(now.missing <= SITE_THREADS);
	assert_int_equal(now.good + now.corrupt + now.missing, all->good);
	site_close(s);
}

static void test_a_flipped_bit_never_yields_other_bytes(void **state)
{
	const char *text = getenv("NX_CRASH_FLIPS");
	unsigned long flips = text ? strtoul(text, NULL, 10) : 300;
	unsigned refused = 0;
	struct packs packs;
	struct site *s = filled("mem:", &packs);
	struct site_read all;
	uint64_t rng = 3;

	(void)state;
	assert_true(site_open(s, false) && site_read_all(s, &all));
	assert_int_equal(all.corrupt + all.missing, 0);
	site_close(s);
	for (unsigned long i = 0; i < flips; i++) {
		nx_pack_id pack = packs.ids[dice(&rng) % packs.n];
		struct nx_err err;
		uint64_t size, at;
		unsigned bit = (unsigned)(dice(&rng) % 8);

		assert_ok(nx_pool_size(s->pool, pack, &size, &err), &err);
		at = place(&rng, size);
		flip(s, pack, at, bit);
		if (i % 2) /* a catalog that is there, or one made anew */
			catalog_remove(s);
		expect_honest(s, &all, &refused);
		flip(s, pack, at, bit);
		if (i % 2) {
			catalog_remove(s);
			assert_true(site_open(s, true));
			site_close(s);
		}
	}
	assert_true(refused > 0); /* some of them hit a record */
	assert_true(site_open(s, false) && site_check(s));
	site_free(s);
}

static void test_a_lost_log_of_the_catalog_is_made_good(void **state)
{
	struct packs packs;
	struct site *s = filled("mem:", &packs);
	char path[80];

	(void)state;
	for (int cut = 0; cut < 2; cut++) {
		assert_true(site_open(s, false));
		site_load(s, 20);
		/* The process ends without closing anything: the log stays behind. */
		cut_begin(1, NULL, NULL);
		cut_now();
		site_close(s);
		cut_killed();
		cut_end();
		(void)snprintf(path, sizeof(path), "%s-wal", s->cat_path);
		assert_int_equal(cut ? truncate(path, 100000) : unlink(path), 0);
		(void)snprintf(path, sizeof(path), "%s-shm", s->cat_path);
		(void)unlink(path);
		if (!site_open(s, false) || !site_check(s))
			print_error("%s\n", s->why);
		assert_string_equal(s->why, "");
		site_close(s);
	}
	site_free(s);
}

static void test_a_catalog_that_is_cut_short_is_refused_and_made_anew(void **state)
{
	struct packs packs;
	struct site *s = filled("mem:", &packs);

	(void)state;
	assert_int_equal(truncate(s->cat_path, 8192 + 100), 0);
	assert_false(site_open(s, false));
	assert_non_null(strstr(s->why, "catalog"));
	s->why[0] = 0;
	site_close(s);
	catalog_remove(s);
	if (!site_open(s, true) || !site_check(s))
		print_error("%s\n", s->why);
	assert_string_equal(s->why, "");
	site_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_flipped_bit_never_yields_other_bytes),
		cmocka_unit_test(test_a_lost_log_of_the_catalog_is_made_good),
		cmocka_unit_test(test_a_catalog_that_is_cut_short_is_refused_and_made_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

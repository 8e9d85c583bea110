#include "nx_test.h"

#include <pthread.h>
#include <stdlib.h>

#include "crypto/crypto_priv.h"

enum {
	LEAF = NX_LEAF_LEN,
	MAX_LEAVES = 37,
};

static uint8_t *blob; /* MAX_LEAVES leaves */

/* RFC 6962 2.1 word for word: MTH(D[n]) with k the largest power of two smaller than n. */
static void slow_root(const uint8_t *p, size_t n, uint8_t ret[32])
{
	uint8_t left[32], right[32];
	size_t leaves = (n + LEAF - 1) / LEAF;
	size_t k = 1;

	if (leaves == 1) {
		nx_merkle_leaf(p, n, ret);
		return;
	}
	while (k * 2 < leaves)
		k *= 2;
	slow_root(p, k * LEAF, left);
	slow_root(p + k * LEAF, n - k * LEAF, right);
	nx_merkle_node(left, right, ret);
}

static void check_in_pieces(struct nx_tree *tree, size_t n, size_t piece)
{
	uint8_t got[32], want[32];

	slow_root(blob, n, want);
	for (size_t at = 0; at < n; at += piece)
		nx_tree_update(tree, blob + at, n - at < piece ? n - at : piece);
	nx_tree_final(tree, got);
	assert_memory_equal(got, want, 32);
}

static void test_empty_blob_is_hash_of_nothing(void **state)
{
	NX_AUTO(nx_tree) *tree = nx_tree_new();
	uint8_t got[32], want[32];

	(void)state;
	nx_sha256("", 0, want);
	nx_tree_final(tree, got);
	assert_memory_equal(got, want, 32);
	nx_tree_root(NULL, 0, got);
	assert_memory_equal(got, want, 32);
}

static void test_sizes_around_leaf_boundaries(void **state)
{
	static const int around[] = {-1, 0, 1};
	uint8_t got[32], want[32];

	(void)state;
	for (size_t leaves = 1; leaves < MAX_LEAVES; leaves++) {
		for (size_t i = 0; i < NX_ARRAY_LEN(around); i++) {
			size_t n = (size_t)((int)(leaves * LEAF) + around[i]);

			slow_root(blob, n, want);
			nx_tree_root(blob, n, got);
			assert_memory_equal(got, want, 32);
		}
	}
}

static void test_pieces_of_any_size_one_tree_reused(void **state)
{
	static const size_t pieces[] = {
		1000, 4096, 16384, LEAF - 1, LEAF, LEAF + 1, 8 * LEAF, 100000, 16 * LEAF + 5};
	static const size_t sizes[] = {
		1, LEAF, 2 * LEAF, 5 * LEAF + 7, 9 * LEAF, 16 * LEAF, 17 * LEAF, 33 * LEAF + 1};
	NX_AUTO(nx_tree) *tree = nx_tree_new();

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(sizes); i++)
		for (size_t k = 0; k < NX_ARRAY_LEN(pieces); k++)
			check_in_pieces(tree, sizes[i], pieces[k]);
	check_in_pieces(tree, 3000, 1);
}

static void test_tree_dropped_half_way_leaks_nothing(void **state)
{
	NX_AUTO(nx_tree) *tree = nx_tree_new();

	(void)state;
	nx_tree_update(tree, blob, 3 * LEAF + 1);
}

static void test_stage_is_wiped_when_given_back(void **state)
{
	struct nx_leaves *leaves = nx_leaves_take();
	struct nx_leaves *again;
	uint8_t hashes[NX_LEAVES_MAX][32], want[32];

	(void)state;
	assert_non_null(leaves);
	for (int i = 0; i < 5; i++)
		assert_int_equal(nx_leaves_fill(leaves, blob, LEAF + 9), LEAF);
	assert_int_equal(nx_leaves_fill(leaves, blob, 9), 9);
	assert_int_equal(nx_leaves_hash(leaves, hashes), 6);
	nx_merkle_leaf(blob, 9, want);
	assert_memory_equal(hashes[5], want, 32);
	assert_null(nx_leaves_give(leaves));
	again = nx_leaves_take();
	assert_ptr_equal(again, leaves); /* pooled */
	assert_int_equal(nx_leaves_hash(again, hashes), 0);
	assert_null(nx_leaves_give(again));
}

static void *many_roots(void *arg)
{
	uint8_t want[32], got[32];
	bool *good = arg;

	slow_root(blob, 19 * LEAF + 3, want);
	*good = true;
	for (int i = 0; i < 20; i++) {
		nx_tree_root(blob, 19 * LEAF + 3, got);
		*good = *good && memcmp(got, want, 32) == 0;
	}
	return NULL;
}

static void test_threads_hash_side_by_side(void **state)
{
	pthread_t threads[4];
	bool good[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, many_roots, &good[i]), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(good[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_blob_is_hash_of_nothing),
		cmocka_unit_test(test_sizes_around_leaf_boundaries),
		cmocka_unit_test(test_pieces_of_any_size_one_tree_reused),
		cmocka_unit_test(test_tree_dropped_half_way_leaks_nothing),
		cmocka_unit_test(test_stage_is_wiped_when_given_back),
		cmocka_unit_test(test_threads_hash_side_by_side),
	};
	int failed;

	blob = malloc((size_t)MAX_LEAVES * LEAF);
	if (!blob || nx_crypto_init(NULL))
		return 1;
	for (size_t i = 0; i < (size_t)MAX_LEAVES * LEAF; i++)
		blob[i] = (uint8_t)(i * 167 + i / 253 + (i >> 15));
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(blob);
	return failed;
}

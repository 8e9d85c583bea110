#include "nx_test.h"

#include <stdalign.h>

#include "base/arena.h"
#include "nx_torture.h"

enum {
	KIB = 1024
};

static void test_memory_is_zeroed_and_aligned_for_any_type(void **state)
{
	static const uint8_t zero[100];
	NX_AUTO(nx_arena) *arena = nx_arena_new(64 * KIB, 0);

	(void)state;
	assert_non_null(arena);
	for (size_t n = 0; n <= sizeof(zero); n++) {
		uint8_t *p = nx_arena_alloc(arena, n);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
		assert_memory_equal(p, zero, n);
		memset(p, 0xee, n);
	}
}

static void test_memory_is_zeroed_again_after_a_reset(void **state)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(64 * KIB, 0);
	uint8_t *p = nx_arena_alloc(arena, 64);

	(void)state;
	assert_non_null(p);
	memset(p, 0xee, 64);
	nx_arena_reset(arena);
	p = nx_arena_alloc(arena, 64);
	assert_non_null(p);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(p[i], 0);
}

static void test_pieces_do_not_overlap_across_chunks(void **state)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(4096 * KIB, 0);
	uint8_t *piece[100];

	(void)state;
	for (size_t i = 0; i < 100; i++) {
		size_t n = 1 + i * 331; /* up to two chunks long */

		piece[i] = nx_arena_alloc(arena, n);
		assert_non_null(piece[i]);
		memset(piece[i], (int)i, n);
	}
	for (size_t i = 0; i < 100; i++)
		for (size_t k = 0; k < 1 + i * 331; k++)
			assert_int_equal(piece[i][k], i);
}

static void test_limit_counts_what_was_given_out(void **state)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(KIB, 0);

	(void)state;
	assert_non_null(nx_arena_alloc(arena, KIB - 16));
	assert_u64(nx_arena_used(arena), KIB - 16);
	assert_null(nx_arena_alloc(arena, 17)); /* rounded up to the alignment */
	assert_non_null(nx_arena_alloc(arena, 16));
	assert_null(nx_arena_alloc(arena, 1));
	assert_non_null(nx_arena_alloc(arena, 0));
	nx_arena_reset(arena);
	assert_u64(nx_arena_used(arena), 0);
	assert_non_null(nx_arena_alloc(arena, KIB));
}

static void test_sizes_that_overflow_are_refused(void **state)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(SIZE_MAX, 0);

	(void)state;
	assert_null(nx_arena_alloc(arena, SIZE_MAX));
	assert_null(nx_arena_alloc(arena, SIZE_MAX - 15));
	assert_null(nx_arena_alloc(arena, SIZE_MAX - 31));
	assert_null(nx_arena_alloc_array(arena, SIZE_MAX / 2, 3));
	assert_null(nx_arena_str(arena, "x", SIZE_MAX));
	assert_u64(nx_arena_used(arena), 0);
}

static void test_copies_and_texts(void **state)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(64 * KIB, NX_ARENA_WIPE);

	(void)state;
	assert_memory_equal(nx_arena_copy(arena, "a\0b", 3), "a\0b", 3);
	assert_non_null(nx_arena_copy(arena, NULL, 0));
	assert_string_equal(nx_arena_str(arena, "abcdef", 3), "abc");
	assert_string_equal(nx_arena_str(arena, NULL, 0), "");
	assert_string_equal(nx_arena_printf(arena, "%s-%d", "x", 7), "x-7");
	assert_non_null(nx_arena_alloc_array(arena, 0, SIZE_MAX));
	nx_arena_reset(arena);
	assert_string_equal(nx_arena_printf(arena, "%s", ""), "");
}

static void test_rewind_gives_back_what_came_after_the_mark(void **state)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(200 * KIB, NX_ARENA_WIPE);
	struct nx_arena_mark empty = nx_arena_mark(arena), mark;
	char *before, *after;

	(void)state;
	before = nx_arena_str(arena, "kept", 4);
	mark = nx_arena_mark(arena);
	for (size_t i = 0; i < 100; i++) { /* more than the arena has, without the rewind */
		after = nx_arena_alloc(arena, 20 * KIB);
		assert_non_null(after);
		memset(after, 'x', 20 * KIB);
		assert_non_null(nx_arena_alloc(arena, 100 * KIB));
		nx_arena_rewind(arena, mark);
	}
	assert_string_equal(before, "kept");
	after = nx_arena_alloc(arena, 64);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(after[i], 0);
	nx_arena_rewind(arena, empty);
	assert_u64(nx_arena_used(arena), 0);
	assert_non_null(nx_arena_alloc(arena, 200 * KIB));
}

static void test_free_takes_null(void **state)
{
	(void)state;
	assert_null(nx_arena_free(NULL));
}

static nx_rc use_arena(void *payload)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(4096 * KIB, NX_ARENA_WIPE);

	(void)payload;
	if (!arena)
		return NX_E_NOMEM;
	for (size_t i = 0; i < 20; i++)
		if (!nx_arena_alloc(arena, 3000 * i) || !nx_arena_printf(arena, "%zu", i))
			return NX_E_NOMEM;
	return NX_OK;
}

static void test_every_failing_allocation_is_reported(void **state)
{
	(void)state;
	assert_true(nx_torture(use_arena, NULL) > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_is_zeroed_and_aligned_for_any_type),
		cmocka_unit_test(test_memory_is_zeroed_again_after_a_reset),
		cmocka_unit_test(test_pieces_do_not_overlap_across_chunks),
		cmocka_unit_test(test_limit_counts_what_was_given_out),
		cmocka_unit_test(test_sizes_that_overflow_are_refused),
		cmocka_unit_test(test_copies_and_texts),
		cmocka_unit_test(test_rewind_gives_back_what_came_after_the_mark),
		cmocka_unit_test(test_free_takes_null),
		cmocka_unit_test(test_every_failing_allocation_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

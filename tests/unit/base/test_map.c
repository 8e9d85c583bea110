#include "nx_test.h"

#include "base/map.h"
#include "nx_torture.h"

static void test_put_get_replace_delete(void **state)
{
	NX_AUTO(nx_map) *map = nx_map_new();
	struct nx_slice key = nx_slice_str("key");
	int a, b;
	void *old = &a;

	(void)state;
	assert_non_null(map);
	assert_null(nx_map_get(map, key));
	assert_null(nx_map_del(map, key));
	assert_true(nx_map_put(map, key, &a, &old));
	assert_null(old);
	assert_ptr_equal(nx_map_get(map, key), &a);
	assert_true(nx_map_put(map, key, &b, &old));
	assert_ptr_equal(old, &a);
	assert_true(nx_map_put(map, key, &a, NULL));
	assert_u64(nx_map_len(map), 1);
	assert_ptr_equal(nx_map_del(map, key), &a);
	assert_u64(nx_map_len(map), 0);
	assert_null(nx_map_get(map, key));
}

static void test_keys_are_copied_and_compared_by_length(void **state)
{
	NX_AUTO(nx_map) *map = nx_map_new();
	char key[9] = "abcdefgh";
	int v[4];

	(void)state;
	assert_true(nx_map_put(map, nx_slice(key, 8), &v[0], NULL));
	assert_true(nx_map_put(map, nx_slice(key, 9), &v[1], NULL)); /* one NUL longer */
	assert_true(nx_map_put(map, nx_slice(key, 7), &v[2], NULL));
	assert_true(nx_map_put(map, nx_slice(NULL, 0), &v[3], NULL));
	memset(key, 'z', 8);
	assert_ptr_equal(nx_map_get(map, nx_slice("abcdefgh", 8)), &v[0]);
	assert_ptr_equal(nx_map_get(map, nx_slice("abcdefgh", 9)), &v[1]);
	assert_ptr_equal(nx_map_get(map, nx_slice("abcdefgh", 7)), &v[2]);
	assert_ptr_equal(nx_map_get(map, nx_slice("", 0)), &v[3]);
	assert_null(nx_map_get(map, nx_slice(key, 8)));
}

static void count_up(struct nx_slice key, void *value, void *payload)
{
	uint32_t k;

	assert_u64(key.n, sizeof(k));
	memcpy(&k, key.p, sizeof(k));
	assert_ptr_equal(value, (char *)payload + k);
	++*((uint8_t *)payload + k);
}

static void test_many_keys_are_all_there_once(void **state)
{
	enum {
		MANY = 5000
	};
	static uint8_t seen[MANY];
	NX_AUTO(nx_map) *map = nx_map_new();

	(void)state;
	for (uint32_t k = 0; k < MANY; k++)
		assert_true(nx_map_put(map, nx_slice(&k, sizeof(k)), seen + k, NULL));
	assert_u64(nx_map_len(map), MANY);
	for (uint32_t k = 0; k < MANY; k += 2)
		assert_ptr_equal(nx_map_del(map, nx_slice(&k, sizeof(k))), seen + k);
	assert_u64(nx_map_len(map), MANY / 2);
	nx_map_each(map, count_up, seen);
	for (uint32_t k = 0; k < MANY; k++)
		assert_int_equal(seen[k], k & 1);
}

static void test_free_takes_null(void **state)
{
	(void)state;
	assert_null(nx_map_free(NULL));
}

static nx_rc use_map(void *payload)
{
	NX_AUTO(nx_map) *map = nx_map_new();

	if (!map)
		return NX_E_NOMEM;
	for (uint32_t k = 0; k < 40; k++) {
		size_t before = nx_map_len(map);

		if (!nx_map_put(map, nx_slice(&k, sizeof(k)), payload, NULL))
			return nx_map_len(map) == before ? NX_E_NOMEM : NX_E_INTERNAL;
	}
	for (uint32_t k = 0; k < 40; k++)
		if (nx_map_get(map, nx_slice(&k, sizeof(k))) != payload)
			return NX_E_INTERNAL;
	return NX_OK;
}

static void test_a_failing_allocation_loses_no_entry(void **state)
{
	int value;

	(void)state;
	/* the map, its buckets, 40 entries, two times more buckets */
	assert_int_equal(nx_torture(use_map, &value), 44);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_get_replace_delete),
		cmocka_unit_test(test_keys_are_copied_and_compared_by_length),
		cmocka_unit_test(test_many_keys_are_all_there_once),
		cmocka_unit_test(test_free_takes_null),
		cmocka_unit_test(test_a_failing_allocation_loses_no_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

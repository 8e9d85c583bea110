#include "nx_test.h"

#include <string.h>

#include "base/arena.h"
#include "dicom/match.h"

enum {
	ELEMS = 8
};

struct made {
	struct nx_elem elems[ELEMS];
	struct nx_dataset ds;
};

static void put(struct made *m, nx_tag tag, const char *vr, const char *value)
{
	m->elems[m->ds.n++] = (struct nx_elem){
		.tag = tag, .vr = NX_VR(vr[0], vr[1]), .value = nx_slice_str(value)};
	m->ds.elems = m->elems;
}

static bool matches(const struct made *keys, const struct made *of, struct nx_arena *arena)
{
	struct nx_err err = {0};
	bool yes = false;

	assert_ok(nx_match_dataset(&keys->ds, &of->ds, arena, &yes, &err), &err);
	return yes;
}

static void test_values(void **state)
{
	static const struct {
		const char *vr, *key, *value;
		bool yes;
	} cases[] = {
		{"LO", "", "x", true},
		{"LO", "*", "", true},
		{"LO", "x", "", false},
		{"LO", "A?C*", "ABCD", true},
		{"LO", "abc", "ABC", false},
		{"PN", "abc*", "ABC^D", true},
		{"CS", "B", "A\\B", true},
		{"CS", "A\\B", "A", false}, /* a list is one of UIDs only */
		{"UI", "1.2\\1.3", "1.3", true},
		{"UI", "1.2\\1.3", "1.31", false},
		{"UI", "1.*", "1.2", false},
		{"DA", "20260105", "20260105", true},
		{"DA", "20260105", "20260106", false},
		{"DA", "20260101-20260131", "20260131", true},
		{"DA", "20260101-20260131", "20260201", false},
		{"DA", "-20260131", "19991231", true},
		{"DA", "20260101-", "20251231", false},
		{"DA", "20260101-", "", false},
		{"TM", "0800-0930", "093059.5", true},
		{"TM", "0800-0930", "093100", false},
		{"TM", "08", "083000", true},
		{"TM", "0800-0930", "0759", false},
	};
	NX_AUTO(nx_arena) *arena = nx_arena_new(1u << 20, 0);

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		struct made key = {0}, value = {0};

		put(&key, NX_TAG(0x0010, 0x0010), cases[i].vr, cases[i].key);
		put(&value, NX_TAG(0x0010, 0x0010), cases[i].vr, cases[i].value);
		if (matches(&key, &value, arena) != cases[i].yes)
			fail_msg("case %zu", i);
	}
}

/* A sequence of items under (0040,0100). */
static void put_items(struct made *m, struct nx_dataset **items, size_t n)
{
	m->elems[m->ds.n++] = (struct nx_elem){
		.tag = NX_TAG(0x0040, 0x0100), .vr = NX_VR('S', 'Q'), .items = items, .n_items = n};
	m->ds.elems = m->elems;
}

static void test_one_item_of_a_sequence_matches_all_keys(void **state)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(1u << 20, 0);
	struct made a = {0}, b = {0}, of = {0}, key_item = {0}, keys = {0}, none = {0}, any = {0};
	struct nx_dataset *items[] = {&a.ds, &b.ds}, *key_items[] = {&key_item.ds};

	(void)state;
	put(&a, NX_TAG(0x0008, 0x0060), "CS", "CT");
	put(&a, NX_TAG(0x0040, 0x0001), "AE", "CT01");
	put(&b, NX_TAG(0x0008, 0x0060), "CS", "MR");
	put(&b, NX_TAG(0x0040, 0x0001), "AE", "MR01");
	put_items(&of, items, 2);
	put(&key_item, NX_TAG(0x0008, 0x0060), "CS", "MR");
	put(&key_item, NX_TAG(0x0040, 0x0001), "AE", "*");
	put_items(&keys, key_items, 1);
	assert_true(matches(&keys, &of, arena));
	key_item.elems[1].value = nx_slice_str("CT01"); /* of the other item */
	assert_false(matches(&keys, &of, arena));
	assert_false(matches(&keys, &none, arena));
	put_items(&any, NULL, 0);
	assert_true(matches(&any, &of, arena));
	assert_true(matches(&any, &none, arena));
	key_item.elems[0].value = nx_slice_str("");
	key_item.elems[1].value = nx_slice_str("");
	assert_true(matches(&keys, &none, arena)); /* universal throughout */
}

static void test_binary_numbers_are_compared_as_numbers(void **state)
{
	static const uint8_t two[] = {2, 0}, three[] = {3, 0};
	NX_AUTO(nx_arena) *arena = nx_arena_new(1u << 20, 0);
	struct made key = {0}, value = {0}, none = {0};

	(void)state;
	put(&key, NX_TAG(0x0028, 0x0010), "US", "");
	put(&value, NX_TAG(0x0028, 0x0010), "US", "");
	key.elems[0].value = nx_slice(two, 2);
	value.elems[0].value = nx_slice(two, 2);
	assert_true(matches(&key, &value, arena));
	assert_false(matches(&key, &none, arena));
	value.elems[0].value = nx_slice(three, 2);
	assert_false(matches(&key, &value, arena));
	key.elems[0].value = nx_slice_str("");
	assert_true(matches(&key, &value, arena));
}

static void test_what_is_asked_for_is_selected(void **state)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(1u << 20, 0);
	struct made item = {0}, of = {0}, key_item = {0}, keys = {0};
	struct nx_dataset *items[] = {&item.ds}, *key_items[] = {&key_item.ds};
	struct nx_dataset got;
	struct nx_err err = {0};

	(void)state;
	put(&item, NX_TAG(0x0008, 0x0060), "CS", "CT");
	put(&item, NX_TAG(0x0040, 0x0001), "AE", "CT01");
	put(&of, NX_TAG(0x0010, 0x0010), "PN", "A^B");
	put(&of, NX_TAG(0x0010, 0x0020), "LO", "1");
	put_items(&of, items, 1);
	put(&keys, NX_TAG(0x0008, 0x0005), "CS", "ISO_IR 100");
	put(&keys, NX_TAG(0x0010, 0x0010), "PN", "A*");
	put(&keys, NX_TAG(0x0010, 0x0040), "CS", "");
	put(&key_item, NX_TAG(0x0040, 0x0001), "AE", "");
	put_items(&keys, key_items, 1);
	assert_ok(nx_match_select(&keys.ds, &of.ds, arena, &got, &err), &err);
	assert_int_equal(got.n, 3);
	assert_true(nx_slice_eq(got.elems[0].value, nx_slice_str("A^B")));
	assert_int_equal(got.elems[1].value.n, 0);
	assert_int_equal(got.elems[2].n_items, 1);
	assert_int_equal(got.elems[2].items[0]->n, 1);
	assert_true(nx_slice_eq(got.elems[2].items[0]->elems[0].value, nx_slice_str("CT01")));
	key_item.ds.n = 0;
	assert_ok(nx_match_select(&keys.ds, &of.ds, arena, &got, &err), &err);
	assert_int_equal(got.elems[2].items[0]->n, 2); /* an empty item: whole, */
	keys.elems[3].n_items = 0;                     /* as with none */
	assert_ok(nx_match_select(&keys.ds, &of.ds, arena, &got, &err), &err);
	assert_int_equal(got.elems[2].items[0]->n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_one_item_of_a_sequence_matches_all_keys),
		cmocka_unit_test(test_binary_numbers_are_compared_as_numbers),
		cmocka_unit_test(test_what_is_asked_for_is_selected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "nx_test.h"

#include <string.h>

#include "dicomweb/dicomweb_priv.h"

static void test_every_route_has_its_policy(void **state)
{
	(void)state;
	for (const struct nx_route *r = nx_dicomweb_routes; r->method; r++) {
		assert_true(r->perm > NX_PERM_NONE_ && r->perm < NX_PERM_COUNT_);
		assert_non_null(nx_action_wire(r->audit));
		assert_non_null(r->fn);
		assert_true(r->summary && r->summary[0]);
		assert_true(!r->pattern[0] || r->pattern[0] == '/');
	}
}

static void test_no_route_is_there_twice(void **state)
{
	(void)state;
	for (const struct nx_route *a = nx_dicomweb_routes; a->method; a++)
		for (const struct nx_route *b = a + 1; b->method; b++)
			assert_false(strcmp(a->method, b->method) == 0 &&
				strcmp(a->pattern, b->pattern) == 0);
}

static void test_methods_have_the_permission_of_what_they_do(void **state)
{
	(void)state;
	for (const struct nx_route *r = nx_dicomweb_routes; r->method; r++)
		if (strcmp(r->method, "POST") == 0 || r->audit == NX_ACTION_COMMITMENT)
			assert_int_equal(r->perm, NX_PERM_STORE);
		else if (strcmp(r->method, "DELETE") == 0)
			assert_int_equal(r->perm, NX_PERM_DELETE);
		else
			assert_true(r->perm == NX_PERM_QUERY || r->perm == NX_PERM_READ ||
				r->perm == NX_PERM_VERIFY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_route_has_its_policy),
		cmocka_unit_test(test_no_route_is_there_twice),
		cmocka_unit_test(test_methods_have_the_permission_of_what_they_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

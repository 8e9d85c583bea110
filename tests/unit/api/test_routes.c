#include "nx_test.h"

#include "access/access.h"
#include "api/api.h"
#include "ledger/ledger.h"

static void test_every_route_has_its_policy(void **state)
{
	(void)state;
	for (const struct nx_route *r = nx_api_routes; r->method; r++) {
		assert_true(r->perm > NX_PERM_PUBLIC && r->perm < NX_PERM_COUNT_);
		assert_non_null(nx_action_wire(r->audit));
		assert_non_null(r->fn);
		assert_true(r->summary && r->summary[0]);
		assert_int_equal(r->pattern[0], '/');
	}
}

static void test_no_route_is_there_twice(void **state)
{
	(void)state;
	for (const struct nx_route *r = nx_api_routes; r->method; r++)
		for (const struct nx_route *o = r + 1; o->method; o++)
			assert_false(
				!strcmp(r->method, o->method) && !strcmp(r->pattern, o->pattern));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_route_has_its_policy),
		cmocka_unit_test(test_no_route_is_there_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "nx_torture.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "nx_test.h"

enum {
	EVERY_ONE_BELOW = 64,
	GIVE_UP = 1000000
};

/* Allocations to go until one fails; 0: none will. */
static _Atomic unsigned countdown;
static _Atomic bool fired;

static bool must_fail(void)
{
	unsigned left = atomic_load(&countdown);

	while (left && !atomic_compare_exchange_weak(&countdown, &left, left - 1))
		;
	if (left != 1)
		return false;
	atomic_store(&fired, true);
	errno = ENOMEM;
	return true;
}

/* The linker's names: __wrap_x is called where x was written, __real_x is the C library's. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
int __real_posix_memalign(void **ret, size_t align, size_t n);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
int __wrap_posix_memalign(void **ret, size_t align, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

void *__wrap_malloc(size_t n)
{
	return must_fail() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return must_fail() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return must_fail() ? NULL : __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
	return must_fail() ? NULL : __real_aligned_alloc(align, n);
}

int __wrap_posix_memalign(void **ret, size_t align, size_t n)
{
	return must_fail() ? ENOMEM : __real_posix_memalign(ret, align, n);
}

char *__wrap_strdup(const char *s)
{
	return must_fail() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
	return must_fail() ? NULL : __real_strndup(s, n);
}

bool nx_torture_arm(unsigned nth)
{
	atomic_store(&countdown, nth);
	return atomic_exchange(&fired, false);
}

unsigned nx_torture(nx_torture_fn fn, void *payload)
{
	const char *mode = getenv("NX_TORTURE");
	bool all = mode && strcmp(mode, "all") == 0;
	unsigned failures = 0;
	unsigned nth = 1;

	for (;;) {
		bool met;
		nx_rc rc;

		(void)nx_torture_arm(nth);
		rc = fn(payload);
		met = nx_torture_arm(0);
		if (rc != NX_OK && !(met && rc == NX_E_NOMEM)) {
			print_error("allocation %u failing: got %s\n", nth, nx_rc_wire(rc));
			fail();
		}
		if (!met)
			return failures;
		failures++;
		nth += all || nth < EVERY_ONE_BELOW ? 1 : nth / EVERY_ONE_BELOW;
		if (nth > GIVE_UP)
			fail_msg("still allocating after %u", nth);
	}
}

#include "base/secret.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>

enum {
	SECRET_MAX = 32 * 1024
};

/* The pages: guard, data (at the end of its pages, so that an overrun faults), guard. */
static size_t data_pages_len(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (n + page - 1) / page * page;
}

struct nx_secret *nx_secret_new(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct nx_secret *secret;
	size_t len;
	uint8_t *map;

	if (n == 0 || n > SECRET_MAX)
		return NULL;
	len = data_pages_len(n);
	secret = calloc(1, sizeof(*secret));
	if (!secret)
		return NULL;
	map = mmap(NULL, len + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED) {
		free(secret);
		return NULL;
	}
	secret->n = n;
	secret->data = map + page + len - n;
	if (mprotect(map + page, len, PROT_READ | PROT_WRITE) < 0 || mlock(map + page, len) < 0) {
		(void)munmap(map, len + 2 * page);
		free(secret);
		return NULL;
	}
	(void)madvise(map + page, len, MADV_DONTDUMP);
	return secret;
}

struct nx_secret *nx_secret_free(struct nx_secret *secret)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t len;

	if (!secret)
		return NULL;
	len = data_pages_len(secret->n);
	explicit_bzero(secret->data, secret->n);
	(void)munmap(secret->data + secret->n - len - page, len + 2 * page);
	free(secret);
	return NULL;
}

void nx_key_done(struct nx_key *key)
{
	explicit_bzero(key, sizeof(*key));
}

void nx_random(void *p, size_t n)
{
	uint8_t *to = p;

	while (n) {
		ssize_t got = getrandom(to, n > 256 ? 256 : n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		assert(got > 0);
		to += got;
		n -= (size_t)got;
	}
}

bool nx_secret_eq(const void *a, const void *b, size_t n)
{
	const volatile uint8_t *x = a;
	const volatile uint8_t *y = b;
	uint8_t diff = 0;

	for (size_t i = 0; i < n; i++)
		diff = (uint8_t)(diff | (x[i] ^ y[i]));
	return diff == 0;
}

/* 1, not 0: a core_pattern that is a program heeds only that (core(5)), and a file needs a page. */
void nx_secret_no_core(void)
{
	const struct rlimit none = {1, 1};

	(void)setrlimit(RLIMIT_CORE, &none);
}

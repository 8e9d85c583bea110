/*
 * slice.h - a borrowed run of bytes.
 *
 * Layer:   0 (base).
 * Threads: a value type.
 */
#ifndef NX_BASE_SLICE_H
#define NX_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct nx_slice {
	const uint8_t *p;
	size_t n;
};

static inline struct nx_slice nx_slice(const void *p, size_t n)
{
	return (struct nx_slice){p, n};
}

static inline struct nx_slice nx_slice_str(const char *s)
{
	return (struct nx_slice){(const uint8_t *)s, s ? strlen(s) : 0};
}

static inline bool nx_slice_eq(struct nx_slice a, struct nx_slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

#endif

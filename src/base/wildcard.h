/*
 * wildcard.h - "*" for any characters and "?" for one.
 *
 * Layer:   0 (base).
 * Threads: any.
 */
#ifndef NX_BASE_WILDCARD_H
#define NX_BASE_WILDCARD_H

#include <stdbool.h>
#include <stddef.h>

/* Is `text` (`len` bytes) like the pattern (`n` bytes)?  `fold`: the case of ASCII does not count.
 */
bool nx_wildcard(const char *pattern, size_t n, const char *text, size_t len, bool fold);

#endif

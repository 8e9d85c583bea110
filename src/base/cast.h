/*
 * cast.h - taking const away, in one place.
 *
 * Layer:   0 (base).
 * Threads: safe.
 */
#ifndef NX_BASE_CAST_H
#define NX_BASE_CAST_H

#include <string.h>

/* For calls of others that read only and do not say so: iovec, zlib, fts, jansson. */
static inline void *nx_unconst(const void *p)
{
	void *ret;

	memcpy(&ret, &p, sizeof(ret));
	return ret;
}

#endif

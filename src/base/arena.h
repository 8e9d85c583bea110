/*
 * arena.h - memory of one request, association or job: given out piece by piece, freed at once.
 *
 * Layer:   0 (base).
 * Threads: one thread at a time.
 * PHI:     may hold it when made with NX_ARENA_WIPE: zeroed on reset and free.
 */
#ifndef NX_BASE_ARENA_H
#define NX_BASE_ARENA_H

#include <stdint.h>

#include "base/auto.h"
#include "base/slice.h"

enum nx_arena_flags {
	NX_ARENA_WIPE = 1
};

struct nx_arena;

/* At most `max` bytes are ever given out between resets.  NULL without memory. */
struct nx_arena *nx_arena_new(size_t max, unsigned flags);
struct nx_arena *nx_arena_free(struct nx_arena *arena);
NX_DEFINE_AUTO(nx_arena);

/* Everything given out becomes invalid; the first chunk is kept for the next use. */
void nx_arena_reset(struct nx_arena *arena);

/* Zeroed, aligned for any type; NULL without memory or past the limit. */
void *nx_arena_alloc(struct nx_arena *arena, size_t size);
void *nx_arena_alloc_array(struct nx_arena *arena, size_t n, size_t size); /* checks n * size */
void *nx_arena_copy(struct nx_arena *arena, const void *p, size_t n);
char *nx_arena_str(struct nx_arena *arena, const char *s, size_t n); /* copy, NUL-terminated */
char *nx_arena_printf(struct nx_arena *arena, const char *fmt, ...) NX_PRINTF(2, 3);
size_t nx_arena_used(const struct nx_arena *arena);

/* What is given out after nx_arena_mark() becomes invalid by nx_arena_rewind(); a mark ends with a
 * reset and with a rewind to an older one. */
struct nx_arena_mark {
	const void *chunk;
	size_t chunk_used;
	size_t used;
};
struct nx_arena_mark nx_arena_mark(const struct nx_arena *arena);
void nx_arena_rewind(struct nx_arena *arena, struct nx_arena_mark mark);

#endif

#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CHUNK_LEN = 16 * 1024,
	CHUNK_ALIGN = alignof(max_align_t)
};

struct chunk {
	struct chunk *next;
	size_t cap;
	size_t used;
	alignas(max_align_t) uint8_t data[];
};

struct nx_arena {
	size_t max;
	size_t used;
	unsigned flags;
	struct chunk *first; /* newest first */
};

struct nx_arena *nx_arena_new(size_t max, unsigned flags)
{
	struct nx_arena *arena = calloc(1, sizeof(*arena));

	if (!arena)
		return NULL;
	arena->max = max;
	arena->flags = flags;
	return arena;
}

static struct chunk *chunk_free(struct nx_arena *arena, struct chunk *chunk)
{
	struct chunk *next = chunk->next;

	if (arena->flags & NX_ARENA_WIPE)
		explicit_bzero(chunk->data, chunk->used);
	free(chunk);
	return next;
}

struct nx_arena *nx_arena_free(struct nx_arena *arena)
{
	if (!arena)
		return NULL;
	while (arena->first)
		arena->first = chunk_free(arena, arena->first);
	free(arena);
	return NULL;
}

void nx_arena_reset(struct nx_arena *arena)
{
	struct chunk *keep;

	while (arena->first && arena->first->next)
		arena->first = chunk_free(arena, arena->first);
	keep = arena->first;
	if (keep) {
		if (arena->flags & NX_ARENA_WIPE)
			explicit_bzero(keep->data, keep->used);
		keep->used = 0;
	}
	arena->used = 0;
}

static struct chunk *chunk_add(struct nx_arena *arena, size_t size)
{
	size_t cap = size > CHUNK_LEN ? size : CHUNK_LEN;
	struct chunk *chunk;
	size_t total;

	if (__builtin_add_overflow(sizeof(*chunk), cap, &total))
		return NULL;
	chunk = malloc(total);
	if (!chunk)
		return NULL;
	chunk->cap = cap;
	chunk->used = 0;
	chunk->next = arena->first;
	arena->first = chunk;
	return chunk;
}

void *nx_arena_alloc(struct nx_arena *arena, size_t size)
{
	struct chunk *chunk = arena->first;
	size_t need;
	void *p;

	if (__builtin_add_overflow(size, CHUNK_ALIGN - 1, &need))
		return NULL;
	need &= ~(size_t)(CHUNK_ALIGN - 1);
	if (need > arena->max - arena->used)
		return NULL;
	if (!chunk || need > chunk->cap - chunk->used)
		chunk = chunk_add(arena, need);
	if (!chunk)
		return NULL;
	p = chunk->data + chunk->used;
	chunk->used += need;
	arena->used += need;
	memset(p, 0, need);
	return p;
}

void *nx_arena_alloc_array(struct nx_arena *arena, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		return NULL;
	return nx_arena_alloc(arena, total);
}

void *nx_arena_copy(struct nx_arena *arena, const void *p, size_t n)
{
	void *to = nx_arena_alloc(arena, n);

	if (to && n)
		memcpy(to, p, n);
	return to;
}

char *nx_arena_str(struct nx_arena *arena, const char *s, size_t n)
{
	char *to = n == SIZE_MAX ? NULL : nx_arena_alloc(arena, n + 1);

	if (to && n)
		memcpy(to, s, n);
	return to;
}

char *nx_arena_printf(struct nx_arena *arena, const char *fmt, ...)
{
	va_list ap;
	char *to;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	to = nx_arena_alloc(arena, (size_t)n + 1);
	if (!to)
		return NULL;
	va_start(ap, fmt);
	(void)vsnprintf(to, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return to;
}

size_t nx_arena_used(const struct nx_arena *arena)
{
	return arena->used;
}

struct nx_arena_mark nx_arena_mark(const struct nx_arena *arena)
{
	const struct chunk *chunk = arena->first;

	return (struct nx_arena_mark){chunk, chunk ? chunk->used : 0, arena->used};
}

void nx_arena_rewind(struct nx_arena *arena, struct nx_arena_mark mark)
{
	struct chunk *chunk;

	while (arena->first != mark.chunk)
		arena->first = chunk_free(arena, arena->first);
	chunk = arena->first;
	if (chunk) {
		if (arena->flags & NX_ARENA_WIPE)
			explicit_bzero(
				chunk->data + mark.chunk_used, chunk->used - mark.chunk_used);
		chunk->used = mark.chunk_used;
	}
	arena->used = mark.used;
}

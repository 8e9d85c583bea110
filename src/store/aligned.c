#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/limits.h"
#include "store/pool.h"

/*
 * Free lists of power-of-two sizes.  Fresh memory costs a page fault and a page zeroed per 4 KiB,
 * which at a gigabyte a second is a core's work: buffers go round instead.
 */
enum {
	CLASS_MIN_SHIFT = 12, /* NX_PACK_ALIGN */
	CLASS_MAX_SHIFT = 22, /* larger buffers are not kept */
	CLASSES = CLASS_MAX_SHIFT - CLASS_MIN_SHIFT + 1,
	KEPT_MAX = 64 * NX_MIB,
};
_Static_assert(1u << CLASS_MIN_SHIFT == NX_PACK_ALIGN, "the smallest class is one block");

struct free_buf {
	struct free_buf *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards lists, kept */
static struct free_buf *lists[CLASSES];
static size_t kept;

static unsigned class_of(size_t n)
{
	unsigned c = 0;

	while (c < CLASSES && n > (size_t)1 << (c + CLASS_MIN_SHIFT))
		c++;
	return c;
}

static size_t class_size(unsigned c)
{
	return (size_t)1 << (c + CLASS_MIN_SHIFT);
}

void *nx_aligned_get(size_t n)
{
	unsigned c = class_of(n);
	struct free_buf *buf;

	if (n > SIZE_MAX - NX_PACK_ALIGN)
		return NULL;
	if (c >= CLASSES)
		return aligned_alloc(
			NX_PACK_ALIGN, (n + NX_PACK_ALIGN - 1) / NX_PACK_ALIGN * NX_PACK_ALIGN);
	(void)pthread_mutex_lock(&lock);
	buf = lists[c];
	if (buf) {
		lists[c] = buf->next;
		kept -= class_size(c);
	}
	(void)pthread_mutex_unlock(&lock);
	return buf ? (void *)buf : aligned_alloc(NX_PACK_ALIGN, class_size(c));
}

void nx_aligned_put(void *p, size_t n)
{
	unsigned c = class_of(n);
	struct free_buf *buf = p;

	if (!p)
		return;
	assert((uintptr_t)p % NX_PACK_ALIGN == 0);
	if (c < CLASSES) {
		(void)pthread_mutex_lock(&lock);
		if (kept + class_size(c) <= KEPT_MAX) {
			buf->next = lists[c];
			lists[c] = buf;
			kept += class_size(c);
			buf = NULL;
		}
		(void)pthread_mutex_unlock(&lock);
	}
	free(buf);
}

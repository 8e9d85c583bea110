/*
 * auto.h - compiler attributes and scope-bound ownership.
 *
 * Layer:   0 (base).
 * Threads: macros only.
 */
#ifndef NX_BASE_AUTO_H
#define NX_BASE_AUTO_H

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define NX_NODISCARD         __attribute__((warn_unused_result))
#define NX_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define NX_UNUSED            __attribute__((unused))
#define NX_ARRAY_LEN(a)      (sizeof(a) / sizeof((a)[0]))

/* struct embedding `member` at `ptr`. */
#define NX_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/*
 * NX_AUTO(nx_pack) *pack = ...; calls nx_pack_free(pack) at the end of the scope.  The type's
 * header says NX_DEFINE_AUTO(nx_pack) after the declaration of nx_pack_free().
 */
#define NX_AUTO(name) __attribute__((cleanup(name##_auto_))) struct name
#define NX_DEFINE_AUTO(name)                                        \
	NX_UNUSED static inline void name##_auto_(struct name **p_) \
	{                                                           \
		*p_ = name##_free(*p_);                             \
	}                                                           \
	struct nx_auto_semicolon_

/* Same for structs in the caller's storage, ended by <name>_done(). */
#define NX_AUTO_DONE(name) __attribute__((cleanup(name##_auto_done_))) struct name
#define NX_DEFINE_AUTO_DONE(name)                                       \
	NX_UNUSED static inline void name##_auto_done_(struct name *p_) \
	{                                                               \
		name##_done(p_);                                        \
	}                                                               \
	struct nx_auto_semicolon_

/* Ownership leaves the scope: the value, and NULL in its place. */
#define NX_STEAL(ptr)                            \
	({                                       \
		__typeof__(ptr) stolen_ = (ptr); \
		(ptr) = NULL;                    \
		stolen_;                         \
	})

static inline void nx_fd_auto_(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

#define NX_AUTO_FD __attribute__((cleanup(nx_fd_auto_))) int

#define NX_STEAL_FD(fd)             \
	({                          \
		int stolen_ = (fd); \
		(fd) = -1;          \
		stolen_;            \
	})

static inline void nx_mem_auto_(void *p)
{
	free(*(void **)p);
}

/* For plain malloc'd buffers without a type of their own. */
#define NX_AUTO_MEM __attribute__((cleanup(nx_mem_auto_)))

#endif

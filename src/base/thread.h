/*
 * thread.h - what a thread is called, and its stack.
 *
 * Layer:   0 (base).
 * Threads: of the calling thread.
 * PHI:     none.
 */
#ifndef NX_BASE_THREAD_H
#define NX_BASE_THREAD_H

#include "base/sanitize.h"

enum {
#if NX_WITH_ASAN || NX_WITH_TSAN
	NX_THREAD_STACK_LEN = 2 * 1024 * 1024 /* instrumented frames are several times larger */
#else
	NX_THREAD_STACK_LEN = 512 * 1024 /* address space; only touched pages count */
#endif
};

/* Every thread that is made from now on, by whomever, has a stack of NX_THREAD_STACK_LEN: the
 * system's 8 MiB each would be most of what a server under a memory limit may have. */
void nx_thread_stacks(void);

/* The calling thread, as `top -H` and a debugger show it; at most 15 characters count. */
void nx_thread_name(const char *name);

#endif

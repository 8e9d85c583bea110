/*
 * thread.h - what a thread is called.
 *
 * Layer:   0 (base).
 * Threads: of the calling thread.
 * PHI:     none.
 */
#ifndef NX_BASE_THREAD_H
#define NX_BASE_THREAD_H

/* The calling thread, as `top -H` and a debugger show it; at most 15 characters count. */
void nx_thread_name(const char *name);

#endif

/*
 * env.h - the environment of the process.
 *
 * Layer:   0 (base).
 * Threads: safe.
 */
#ifndef NX_BASE_ENV_H
#define NX_BASE_ENV_H

#include <stdlib.h>

/* A variable of the environment, NULL where it is not set.  Nothing in a process of ours sets one,
 * so that what was read stays, in every thread. */
static inline char *nx_env(const char *name)
{
	return getenv(name); /* NOLINT(concurrency-mt-unsafe) */
}

#endif

/*
 * fiber.h - one function on a stack of its own, that can stop in the middle and go on later.
 *
 * Layer:   1 (http), private.
 * Threads: start, resume and yield from one thread at a time.
 * PHI:     the stack may hold it; it is returned to the kernel, never to malloc.
 *
 * libmicrohttpd pushes pieces of a body into a callback; handlers want to pull them.  A fiber turns
 * one into the other on the connection's own thread, with no hand-over between threads and no copy.
 */
#ifndef NX_HTTP_FIBER_H
#define NX_HTTP_FIBER_H

#include <stdbool.h>

#include "base/auto.h"

struct nx_fiber;

struct nx_fiber *nx_fiber_new(void);                    /* NULL without memory */
struct nx_fiber *nx_fiber_free(struct nx_fiber *fiber); /* must not be alive */
NX_DEFINE_AUTO(nx_fiber);

/* Run fn(arg) until it yields or returns.  Not while alive. */
void nx_fiber_start(struct nx_fiber *fiber, void (*fn)(void *), void *arg);
/* Go on after the last yield.  Only while alive. */
void nx_fiber_resume(struct nx_fiber *fiber);
bool nx_fiber_alive(const struct nx_fiber *fiber); /* started and not yet returned */
/* From inside: back to whoever started or resumed. */
void nx_fiber_yield(struct nx_fiber *fiber);

#endif

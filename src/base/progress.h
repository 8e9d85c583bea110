/*
 * progress.h - how far a long work is, for whoever looks, and whether it shall stop.
 *
 * Layer:   0 (base).
 * Threads: one works, any number look and may ask it to stop.
 * PHI:     none.
 */
#ifndef NX_BASE_PROGRESS_H
#define NX_BASE_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct nx_progress {
	_Atomic uint64_t done;
	_Atomic uint64_t total; /* 0: not known */
	atomic_bool stop;
};

/* Every function takes NULL, and then does nothing. */
static inline void nx_progress_total(struct nx_progress *p, uint64_t total)
{
	if (p)
		atomic_store_explicit(&p->total, total, memory_order_relaxed);
}

/* `n` more are done.  NX_E_CLOSED: leave it at that. */
NX_NODISCARD static inline nx_rc nx_progress_add(
	struct nx_progress *p, uint64_t n, struct nx_err *err)
{
	if (!p)
		return NX_OK;
	atomic_fetch_add_explicit(&p->done, n, memory_order_relaxed);
	return atomic_load_explicit(&p->stop, memory_order_relaxed)
		? nx_err_set(err, NX_E_CLOSED, "stopped before its end")
		: NX_OK;
}

#endif

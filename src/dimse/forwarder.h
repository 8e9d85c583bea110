/*
 * forwarder.h - threads that deliver what the queue of forwarding gives them.
 *
 * Layer:   4 (dimse).  Uses lifecycle, retrieve.
 * Threads: as many as there are destinations served at a time, up to a bound.
 * PHI:     data sets pass through.
 */
#ifndef NX_DIMSE_FORWARDER_H
#define NX_DIMSE_FORWARDER_H

#include "base/auto.h"
#include "base/err.h"

struct nx_dimse;
struct nx_forward;
struct nx_forwarder;

/* How destinations are found and called, and what is read, is in the options of `dimse`. */
NX_NODISCARD nx_rc nx_forwarder_new(const struct nx_dimse *dimse, struct nx_forward *forward,
	unsigned workers, struct nx_forwarder **ret, struct nx_err *err);
/* Stops the queue; a peer that is waited for is left within a moment. */
struct nx_forwarder *nx_forwarder_free(struct nx_forwarder *forwarder);
NX_DEFINE_AUTO(nx_forwarder);

#endif

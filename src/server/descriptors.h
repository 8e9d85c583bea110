/*
 * descriptors.h - open files: how many the configuration can come to need, and may it have them.
 *
 * Layer:   5 (server).
 * Threads: called before the listeners start.
 * PHI:     none.
 */
#ifndef NX_SERVER_DESCRIPTORS_H
#define NX_SERVER_DESCRIPTORS_H

#include <stdint.h>

#include "base/err.h"

struct nx_config;

/* Every connection that the listeners take, every pack that is kept open, and the rest. */
uint64_t nx_descriptors_needed(const struct nx_config *config);
/* The most that this process may open; UINT64_MAX: no limit. */
uint64_t nx_descriptors_allowed(void);
/* Raise the soft limit to what is needed.  NX_E_CONFIG when the hard limit is below that: a
 * listener that runs out of descriptors turns away those who mean well. */
NX_NODISCARD nx_rc nx_descriptors_ensure(const struct nx_config *config, struct nx_err *err);

#endif

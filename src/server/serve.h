/*
 * serve.h - a site at work: its listeners, until a signal ends them.
 *
 * Layer:   5 (server).
 * Threads: called once, from main.
 * PHI:     none.
 */
#ifndef NX_SERVER_SERVE_H
#define NX_SERVER_SERVE_H

#include "base/err.h"

struct nx_secret;

/* Opens the site, listens, writes the ready file (may be NULL): {"ports":{...},"ca","pid"}.
 * Returns after SIGTERM or SIGINT. */
NX_NODISCARD nx_rc nx_serve(const char *dir, const struct nx_secret *passphrase,
	const char *ready_file, struct nx_err *err);

#endif

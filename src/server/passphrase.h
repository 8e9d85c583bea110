/*
 * passphrase.h - where the passphrase of the key store comes from.
 *
 * Layer:   5 (server).  Uses base.
 * Threads: one thread: a prompt changes the terminal.
 * PHI:     none; the passphrase is kept in locked memory only.
 */
#ifndef NX_SERVER_PASSPHRASE_H
#define NX_SERVER_PASSPHRASE_H

#include "base/err.h"
#include "base/secret.h"

struct nx_passphrase_source {
	const char *file;
	const char *fd;     /* a number */
	const char *prompt; /* NULL: "Passphrase: " */
	bool fresh;         /* a new one: a prompt asks twice, and it has a least length */
};

/* The first there is: file, fd, NARTHEX_PASSPHRASE, systemd's credential "passphrase", a prompt.
 * One line end at the end is not part of it. */
NX_NODISCARD nx_rc nx_passphrase_read(
	const struct nx_passphrase_source *source, struct nx_secret **ret, struct nx_err *err);

#endif

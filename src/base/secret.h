/*
 * secret.h - key material in locked, guarded, wiped memory, and the system's random bytes.
 *
 * Layer:   0 (base).
 * Threads: reading a secret is safe from many threads.
 * PHI:     keys; never printed, never in a core dump (MADV_DONTDUMP).
 */
#ifndef NX_BASE_SECRET_H
#define NX_BASE_SECRET_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"

enum {
	NX_KEY_LEN = 32
};

/* `n` bytes between two guard pages.  For few, long-lived secrets (root, domain, passphrase). */
struct nx_secret {
	uint8_t *data;
	size_t n;
};

/* Zeroed bytes.  NULL without memory or when the lock limit is reached. */
struct nx_secret *nx_secret_new(size_t n);
struct nx_secret *nx_secret_free(struct nx_secret *secret);
NX_DEFINE_AUTO(nx_secret);

/* A 256-bit key on the stack or inside a struct, for one operation; wiped at the end of the scope.
 */
struct nx_key {
	uint8_t b[NX_KEY_LEN];
};
void nx_key_done(struct nx_key *key);
NX_DEFINE_AUTO_DONE(nx_key);

/* From the kernel; cannot fail once the system is up (aborts otherwise). */
void nx_random(void *p, size_t n);

/* Constant time. */
bool nx_secret_eq(const void *a, const void *b, size_t n);

/* From here on no core file is made of this process: keys in use and patients' data are in it. */
void nx_secret_no_core(void);

#endif

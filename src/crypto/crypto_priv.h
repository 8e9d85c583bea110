/*
 * crypto_priv.h - the implementations behind crypto.h, and what its tests need to name them.
 *
 * Layer:   1 (crypto).  Private to src/crypto and its tests.
 * Threads: the tables are constant after nx_crypto_init().
 * PHI:     the leaf stage holds plaintext; it is wiped when it goes back to the pool.
 */
#ifndef NX_CRYPTO_CRYPTO_PRIV_H
#define NX_CRYPTO_CRYPTO_PRIV_H

#include <stdint.h>

#include "crypto/crypto.h"

struct nx_gcm_ops {
	const char *name;
	size_t state_len; /* bytes of expanded key, from nx_gcm_new(); 64-byte aligned */
	/* Expand `key` into `state`.  False without memory. */
	bool (*init)(void *state, const struct nx_key *key);
	/* Wipe what init() made. */
	void (*done)(void *state);
	void (*seal)(void *state, const uint8_t *nonce, struct nx_slice aad, const void *pt,
		size_t n, void *ct, uint8_t *ret_tag);
	/* Decrypt and give the tag that the ciphertext has; the front end compares it. */
	void (*open)(void *state, const uint8_t *nonce, struct nx_slice aad, const void *ct,
		size_t n, void *pt, uint8_t *ret_tag);
};

enum {
	NX_GCM_STATE_MAX = 1088 /* the largest state_len, for a state on the stack */
};

extern const struct nx_gcm_ops nx_gcm_gnutls;

/* NULL where the processor or the build has none.  Known after nx_crypto_init(). */
const struct nx_gcm_ops *nx_gcm_ipsecmb(void);
/* The one that nx_gcm_new() takes. */
const struct nx_gcm_ops *nx_gcm_chosen(void);
struct nx_gcm *nx_gcm_new_with(const struct nx_gcm_ops *ops, const struct nx_key *key);

/* Called once, by nx_crypto_init(). */
void nx_gcm_init_ipsecmb(void);
void nx_leaves_init(void);
const char *nx_leaves_name(void);

/* RFC 5869 in full, `n` <= 255 * 32. */
void nx_hkdf_full(
	struct nx_slice salt, struct nx_slice ikm, struct nx_slice info, uint8_t *ret, size_t n);

/*
 * The stage of a tree: up to NX_LEAVES_MAX leaves, each behind its RFC 6962 prefix byte, hashed
 * together.  Half a megabyte and two job managers each, so they are pooled for the process.
 */
enum {
	NX_LEAVES_MAX = 16
};
struct nx_leaves;

struct nx_leaves *nx_leaves_take(void);                     /* NULL without memory */
struct nx_leaves *nx_leaves_give(struct nx_leaves *leaves); /* wiped; always NULL */
/* Copy what fits of `n` bytes behind what is there; returns how many were taken. */
size_t nx_leaves_fill(struct nx_leaves *leaves, const void *p, size_t n);
bool nx_leaves_full(const struct nx_leaves *leaves);
/* Hash the leaves there, the last may be short; the stage is then empty.  Returns their number. */
size_t nx_leaves_hash(struct nx_leaves *leaves, uint8_t ret[NX_LEAVES_MAX][NX_SHA256_LEN]);

#endif

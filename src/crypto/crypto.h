/*
 * crypto.h - digests, authenticated encryption, key wrap, signatures and the blob hash tree.
 *
 * Layer:   1 (crypto).  Uses base.  Nettle (under GnuTLS) for digests, key wrap and signatures,
 *          GnuTLS for AES-GCM, libargon2; Intel ipsec-mb for batched leaves and AES-GCM where the
 *          processor has the instructions.  No algorithm of our own.
 * Threads: functions are safe; a context belongs to one thread at a time.
 * PHI:     plaintext passes through; what is staged is wiped, nothing is kept.
 */
#ifndef NX_CRYPTO_CRYPTO_H
#define NX_CRYPTO_CRYPTO_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/secret.h"
#include "base/slice.h"

enum {
	NX_SHA256_LEN = 32,
	NX_GCM_NONCE_LEN = 12,
	NX_GCM_TAG_LEN = 16,
	NX_KW_LEN = NX_KEY_LEN + 8, /* RFC 3394 of a 256-bit key */
	NX_SEAL_OVERHEAD = 12 + 16, /* nx_seal(): nonce, tag */
	NX_ED25519_SEED_LEN = 32,
	NX_ED25519_PUBLIC_LEN = 32,
	NX_ED25519_SIG_LEN = 64,
};

/* Call once before anything else; picks implementations by what the processor has. */
NX_NODISCARD nx_rc nx_crypto_init(struct nx_err *err);
/* "gnutls 3.7.9, ipsec-mb 1.3 avx512" for --version and benchmarks. */
const char *nx_crypto_describe(void);

/*
 * FIPS 180-4 SHA-256, RFC 2104 HMAC, RFC 5869 HKDF-SHA256 (the label is the salt, the context the
 * info; 32 bytes out).  Cannot fail.
 */
void nx_sha256(const void *p, size_t n, uint8_t ret[NX_SHA256_LEN]);
void nx_hmac_sha256(const struct nx_key *key, const void *p, size_t n, uint8_t ret[NX_SHA256_LEN]);
void nx_hkdf(const struct nx_key *key, const char *label, struct nx_slice context,
	struct nx_key *ret_key);

/* Running SHA-256 over pieces. */
struct nx_sha256;
struct nx_sha256 *nx_sha256_new(void);
struct nx_sha256 *nx_sha256_free(struct nx_sha256 *sha);
NX_DEFINE_AUTO(nx_sha256);
void nx_sha256_update(struct nx_sha256 *sha, const void *p, size_t n);
void nx_sha256_final(
	struct nx_sha256 *sha, uint8_t ret[NX_SHA256_LEN]); /* and ready for a new message */

/* AES-256-GCM (NIST SP 800-38D) with one key and many nonces; the caller never repeats a nonce. */
struct nx_gcm;
struct nx_gcm *nx_gcm_new(const struct nx_key *key); /* NULL without memory */
struct nx_gcm *nx_gcm_free(struct nx_gcm *gcm);
NX_DEFINE_AUTO(nx_gcm);
/* `ct` may be `pt`. `n` may be 0. */
void nx_gcm_seal(struct nx_gcm *gcm, const uint8_t nonce[NX_GCM_NONCE_LEN], struct nx_slice aad,
	const void *pt, size_t n, void *ct, uint8_t ret_tag[NX_GCM_TAG_LEN]);
/* False when the tag does not match; then `pt` is zeroed. */
NX_NODISCARD bool nx_gcm_open(struct nx_gcm *gcm, const uint8_t nonce[NX_GCM_NONCE_LEN],
	struct nx_slice aad, const void *ct, size_t n, const uint8_t tag[NX_GCM_TAG_LEN], void *pt);

/*
 * One message under a long-lived key: random nonce, ciphertext, tag, in that order; n +
 * NX_SEAL_OVERHEAD bytes. A key seals at most 2^32 messages (SP 800-38D 8.3).
 */
NX_NODISCARD nx_rc nx_seal(const struct nx_key *key, struct nx_slice aad, const void *pt, size_t n,
	void *ret, struct nx_err *err);
/* `n` is the sealed length; ret_pt takes n - NX_SEAL_OVERHEAD.  NX_E_CORRUPT when it does not open.
 */
NX_NODISCARD nx_rc nx_seal_open(const struct nx_key *key, struct nx_slice aad, const void *sealed,
	size_t n, void *ret_pt, struct nx_err *err);

/* AES-256 key wrap, RFC 3394.  NX_E_KEY when the unwrap does not authenticate. */
void nx_kw_wrap(const struct nx_key *kek, const struct nx_key *key, uint8_t ret[NX_KW_LEN]);
NX_NODISCARD nx_rc nx_kw_unwrap(const struct nx_key *kek, const uint8_t wrapped[NX_KW_LEN],
	struct nx_key *ret_key, struct nx_err *err);

/* Ed25519, RFC 8032.  The key pair is the 32-byte seed. */
void nx_ed25519_public(const struct nx_key *seed, uint8_t ret[NX_ED25519_PUBLIC_LEN]);
NX_NODISCARD nx_rc nx_ed25519_sign(const struct nx_key *seed, struct nx_slice msg,
	uint8_t ret[NX_ED25519_SIG_LEN], struct nx_err *err);
NX_NODISCARD bool nx_ed25519_verify(const uint8_t pub[NX_ED25519_PUBLIC_LEN], struct nx_slice msg,
	const uint8_t sig[NX_ED25519_SIG_LEN]);

/* Argon2id (RFC 9106) of a passphrase to a key. */
NX_NODISCARD nx_rc nx_argon2id(struct nx_slice passphrase, struct nx_slice salt, uint32_t passes,
	uint32_t kib, struct nx_key *ret_key, struct nx_err *err);

/*
 * The blob root: RFC 6962 2.1 Merkle tree hash over leaves of NX_LEAF_LEN bytes of the plaintext
 * (the last leaf shorter); the empty blob has the hash of the empty string.  Leaves are hashed in
 * batches of up to 16: a tree holds half a megabyte from its second leaf until final or free.
 */
struct nx_tree;
struct nx_tree *nx_tree_new(void);
struct nx_tree *nx_tree_free(struct nx_tree *tree);
NX_DEFINE_AUTO(nx_tree);
void nx_tree_update(struct nx_tree *tree, const void *p, size_t n);
void nx_tree_final(
	struct nx_tree *tree, uint8_t ret_root[NX_SHA256_LEN]); /* and ready for a new blob */
void nx_tree_root(const void *p, size_t n, uint8_t ret_root[NX_SHA256_LEN]); /* in one call */

/* RFC 6962 building blocks for ledgers and manifests. */
void nx_merkle_leaf(const void *p, size_t n, uint8_t ret[NX_SHA256_LEN]); /* SHA-256(0x00 || p) */
void nx_merkle_node(const uint8_t left[NX_SHA256_LEN], const uint8_t right[NX_SHA256_LEN],
	uint8_t ret[NX_SHA256_LEN]); /* SHA-256(0x01 || left || right) */

#endif

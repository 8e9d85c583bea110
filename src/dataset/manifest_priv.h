/*
 * manifest_priv.h - what writing and reading a manifest share.
 *
 * Layer:   3 (dataset).
 * Threads: pure functions.
 * PHI:     none.
 */
#ifndef NX_DATASET_MANIFEST_PRIV_H
#define NX_DATASET_MANIFEST_PRIV_H

#include "crypto/crypto.h"
#include "dataset/manifest.h"

#define MANIFEST_MAGIC "narthex-manifest/1\n"
#define MANIFEST_SIG   "\xe2\x80\x94 " /* U+2014, space */

enum {
	MANIFEST_PAGE_MOD = 64,
	MANIFEST_KEY_ED25519 = 1
};

void manifest_tree_add(uint8_t tree[NX_MANIFEST_DEPTH][NX_MANIFEST_HASH_LEN], uint64_t n,
	const uint8_t leaf[NX_MANIFEST_HASH_LEN]);
void manifest_tree_root(uint8_t tree[NX_MANIFEST_DEPTH][NX_MANIFEST_HASH_LEN], uint64_t n,
	uint8_t ret[NX_MANIFEST_HASH_LEN]);
void manifest_key_hash(
	const char *origin, const uint8_t pub[NX_ED25519_PUBLIC_LEN], uint8_t ret[4]);

#endif

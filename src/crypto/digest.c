#include <assert.h>
#include <stdlib.h>

#include <nettle/hkdf.h>
#include <nettle/hmac.h>
#include <nettle/sha2.h>

#include "crypto/crypto_priv.h"

/*
 * Nettle, which GnuTLS is built on, keeps its state in the caller's storage: these functions
 * allocate nothing and therefore cannot fail.  It picks the SHA extensions at run time.
 */

struct nx_sha256 {
	struct sha256_ctx ctx;
};

void nx_sha256(const void *p, size_t n, uint8_t ret[NX_SHA256_LEN])
{
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, n, p);
	sha256_digest(&ctx, NX_SHA256_LEN, ret);
	explicit_bzero(&ctx, sizeof(ctx));
}

struct nx_sha256 *nx_sha256_new(void)
{
	struct nx_sha256 *sha = calloc(1, sizeof(*sha));

	if (sha)
		sha256_init(&sha->ctx);
	return sha;
}

struct nx_sha256 *nx_sha256_free(struct nx_sha256 *sha)
{
	if (sha)
		explicit_bzero(sha, sizeof(*sha));
	free(sha);
	return NULL;
}

void nx_sha256_update(struct nx_sha256 *sha, const void *p, size_t n)
{
	sha256_update(&sha->ctx, n, p);
}

/* Nettle's digest function starts a new message by itself. */
void nx_sha256_final(struct nx_sha256 *sha, uint8_t ret[NX_SHA256_LEN])
{
	sha256_digest(&sha->ctx, NX_SHA256_LEN, ret);
}

void nx_hmac_sha256(const struct nx_key *key, const void *p, size_t n, uint8_t ret[NX_SHA256_LEN])
{
	struct hmac_sha256_ctx ctx;

	hmac_sha256_set_key(&ctx, sizeof(key->b), key->b);
	hmac_sha256_update(&ctx, n, p);
	hmac_sha256_digest(&ctx, NX_SHA256_LEN, ret);
	explicit_bzero(&ctx, sizeof(ctx));
}

static void extract_update(void *ctx, size_t n, const uint8_t *p)
{
	hmac_sha256_update(ctx, n, p);
}

static void extract_digest(void *ctx, size_t n, uint8_t *ret)
{
	hmac_sha256_digest(ctx, n, ret);
}

void nx_hkdf_full(
	struct nx_slice salt, struct nx_slice ikm, struct nx_slice info, uint8_t *ret, size_t n)
{
	struct hmac_sha256_ctx ctx;
	uint8_t prk[NX_SHA256_LEN];

	assert(n <= (size_t)255 * NX_SHA256_LEN); /* RFC 5869 2.3 */
	hmac_sha256_set_key(&ctx, salt.n, salt.p);
	hkdf_extract(&ctx, extract_update, extract_digest, sizeof(prk), ikm.n, ikm.p, prk);
	hmac_sha256_set_key(&ctx, sizeof(prk), prk);
	hkdf_expand(&ctx, extract_update, extract_digest, sizeof(prk), info.n, info.p, n, ret);
	explicit_bzero(&ctx, sizeof(ctx));
	explicit_bzero(prk, sizeof(prk));
}

/*
 * The label is the salt (RFC 5869 3.1 allows one that is public and fixed), the context the info:
 * no pair of them can be read as another pair.
 */
void nx_hkdf(const struct nx_key *key, const char *label, struct nx_slice context,
	struct nx_key *ret_key)
{
	nx_hkdf_full(nx_slice_str(label), nx_slice(key->b, sizeof(key->b)), context, ret_key->b,
		sizeof(ret_key->b));
}

void nx_merkle_leaf(const void *p, size_t n, uint8_t ret[NX_SHA256_LEN])
{
	static const uint8_t prefix = 0x00;
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, 1, &prefix);
	sha256_update(&ctx, n, p);
	sha256_digest(&ctx, NX_SHA256_LEN, ret);
	explicit_bzero(&ctx, sizeof(ctx));
}

void nx_merkle_node(const uint8_t left[NX_SHA256_LEN], const uint8_t right[NX_SHA256_LEN],
	uint8_t ret[NX_SHA256_LEN])
{
	static const uint8_t prefix = 0x01;
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, 1, &prefix);
	sha256_update(&ctx, NX_SHA256_LEN, left);
	sha256_update(&ctx, NX_SHA256_LEN, right);
	sha256_digest(&ctx, NX_SHA256_LEN, ret);
}

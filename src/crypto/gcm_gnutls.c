#include <assert.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "crypto/crypto_priv.h"

/*
 * The cipher interface of GnuTLS rather than its AEAD interface: it keeps tag and ciphertext
 * apart, and works from one buffer into another or in place, without a copy.  After a handle is
 * there, it fails only on arguments that we would have got wrong: hence the assertions.
 */

struct state {
	gnutls_cipher_hd_t hd;
};

static bool init(void *state, const struct nx_key *key)
{
	struct state *st = state;
	struct nx_key copy = *key;
	gnutls_datum_t datum = {copy.b, sizeof(copy.b)};
	int status = gnutls_cipher_init(&st->hd, GNUTLS_CIPHER_AES_256_GCM, &datum, NULL);

	nx_key_done(&copy);
	assert(status == GNUTLS_E_SUCCESS || status == GNUTLS_E_MEMORY_ERROR);
	return status == GNUTLS_E_SUCCESS;
}

static void done(void *state)
{
	struct state *st = state;

	gnutls_cipher_deinit(st->hd);
	st->hd = NULL;
}

static void start(struct state *st, const uint8_t *nonce, struct nx_slice aad)
{
	uint8_t iv[NX_GCM_NONCE_LEN];
	int status = 0;

	memcpy(iv, nonce, sizeof(iv));
	gnutls_cipher_set_iv(st->hd, iv, sizeof(iv));
	if (aad.n)
		status = gnutls_cipher_add_auth(st->hd, aad.p, aad.n);
	assert(status >= 0);
}

static void finish(struct state *st, uint8_t *ret_tag)
{
	int status = gnutls_cipher_tag(st->hd, ret_tag, NX_GCM_TAG_LEN);

	assert(status >= 0);
}

static void seal(void *state, const uint8_t *nonce, struct nx_slice aad, const void *pt, size_t n,
	void *ct, uint8_t *ret_tag)
{
	struct state *st = state;
	int status = 0;

	start(st, nonce, aad);
	if (n)
		status = gnutls_cipher_encrypt2(st->hd, pt, n, ct, n);
	assert(status >= 0);
	finish(st, ret_tag);
}

static void unseal(void *state, const uint8_t *nonce, struct nx_slice aad, const void *ct, size_t n,
	void *pt, uint8_t *ret_tag)
{
	struct state *st = state;
	int status = 0;

	start(st, nonce, aad);
	if (n)
		status = gnutls_cipher_decrypt2(st->hd, ct, n, pt, n);
	assert(status >= 0);
	finish(st, ret_tag);
}

const struct nx_gcm_ops nx_gcm_gnutls = {
	.name = "gnutls",
	.state_len = sizeof(struct state),
	.init = init,
	.done = done,
	.seal = seal,
	.open = unseal,
};

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/crypto_priv.h"

struct nx_gcm {
	const struct nx_gcm_ops *ops;
	size_t len;
	_Alignas(64) uint8_t state[];
};

const struct nx_gcm_ops *nx_gcm_chosen(void)
{
	const struct nx_gcm_ops *fast = nx_gcm_ipsecmb();

	return fast ? fast : &nx_gcm_gnutls;
}

struct nx_gcm *nx_gcm_new_with(const struct nx_gcm_ops *ops, const struct nx_key *key)
{
	size_t len = (sizeof(struct nx_gcm) + ops->state_len + 63) / 64 * 64;
	struct nx_gcm *gcm = aligned_alloc(64, len);

	if (!gcm)
		return NULL;
	gcm->ops = ops;
	gcm->len = len;
	if (!ops->init(gcm->state, key)) {
		free(gcm);
		return NULL;
	}
	return gcm;
}

struct nx_gcm *nx_gcm_new(const struct nx_key *key)
{
	return nx_gcm_new_with(nx_gcm_chosen(), key);
}

struct nx_gcm *nx_gcm_free(struct nx_gcm *gcm)
{
	if (!gcm)
		return NULL;
	gcm->ops->done(gcm->state);
	explicit_bzero(gcm, gcm->len);
	free(gcm);
	return NULL;
}

void nx_gcm_seal(struct nx_gcm *gcm, const uint8_t nonce[NX_GCM_NONCE_LEN], struct nx_slice aad,
	const void *pt, size_t n, void *ct, uint8_t ret_tag[NX_GCM_TAG_LEN])
{
	gcm->ops->seal(gcm->state, nonce, aad, pt, n, ct, ret_tag);
}

static bool open_checked(const struct nx_gcm_ops *ops, void *state, const uint8_t *nonce,
	struct nx_slice aad, struct nx_slice ct, const uint8_t *tag, void *pt)
{
	uint8_t want[NX_GCM_TAG_LEN];
	bool good;

	ops->open(state, nonce, aad, ct.p, ct.n, pt, want);
	good = nx_secret_eq(want, tag, sizeof(want));
	explicit_bzero(want, sizeof(want));
	if (!good && ct.n)
		explicit_bzero(pt, ct.n);
	return good;
}

bool nx_gcm_open(struct nx_gcm *gcm, const uint8_t nonce[NX_GCM_NONCE_LEN], struct nx_slice aad,
	const void *ct, size_t n, const uint8_t tag[NX_GCM_TAG_LEN], void *pt)
{
	return open_checked(gcm->ops, gcm->state, nonce, aad, nx_slice(ct, n), tag, pt);
}

nx_rc nx_seal(const struct nx_key *key, struct nx_slice aad, const void *pt, size_t n, void *ret,
	struct nx_err *err)
{
	const struct nx_gcm_ops *ops = nx_gcm_chosen();
	_Alignas(64) uint8_t state[NX_GCM_STATE_MAX];
	uint8_t nonce[NX_GCM_NONCE_LEN];
	uint8_t *to = ret;

	assert(ops->state_len <= sizeof(state));
	if (!ops->init(state, key))
		return nx_err_set(err, NX_E_NOMEM, "no memory to seal");

	nx_random(nonce, sizeof(nonce));
	ops->seal(state, nonce, aad, pt, n, to + NX_GCM_NONCE_LEN, to + NX_GCM_NONCE_LEN + n);
	memcpy(to, nonce, sizeof(nonce));
	ops->done(state);
	explicit_bzero(state, sizeof(state));
	return NX_OK;
}

nx_rc nx_seal_open(const struct nx_key *key, struct nx_slice aad, const void *sealed, size_t n,
	void *ret_pt, struct nx_err *err)
{
	const struct nx_gcm_ops *ops = nx_gcm_chosen();
	_Alignas(64) uint8_t state[NX_GCM_STATE_MAX];
	const uint8_t *from = sealed;
	bool good;

	assert(ops->state_len <= sizeof(state));
	if (n < NX_SEAL_OVERHEAD)
		return nx_err_set(err, NX_E_CORRUPT, "sealed message of %zu bytes", n);
	if (!ops->init(state, key))
		return nx_err_set(err, NX_E_NOMEM, "no memory to open a sealed message");
	n -= NX_SEAL_OVERHEAD;
	good = open_checked(ops, state, from, aad, nx_slice(from + NX_GCM_NONCE_LEN, n),
		from + NX_GCM_NONCE_LEN + n, ret_pt);
	ops->done(state);
	explicit_bzero(state, sizeof(state));
	return good ? NX_OK : nx_err_set(err, NX_E_CORRUPT, "sealed message does not open");
}

#if !HAVE_IPSEC_MB
void nx_gcm_init_ipsecmb(void)
{
}

const struct nx_gcm_ops *nx_gcm_ipsecmb(void)
{
	return NULL;
}
#endif

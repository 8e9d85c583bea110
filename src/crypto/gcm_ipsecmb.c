#include <string.h>

#include <intel-ipsec-mb.h>

#include "crypto/crypto_priv.h"

/*
 * The direct functions of ipsec-mb: the manager serves as a table of functions for this processor
 * and is never written to, so that one does for all threads.
 */
static IMB_MGR *mgr;

_Static_assert(sizeof(struct gcm_key_data) <= NX_GCM_STATE_MAX, "NX_GCM_STATE_MAX is too small");

static bool init(void *state, const struct nx_key *key)
{
	IMB_AES256_GCM_PRE(mgr, key->b, (struct gcm_key_data *)state);
	return true;
}

static void done(void *state)
{
	explicit_bzero(state, sizeof(struct gcm_key_data));
}

static void seal(void *state, const uint8_t *nonce, struct nx_slice aad, const void *pt, size_t n,
	void *ct, uint8_t *ret_tag)
{
	struct gcm_context_data ctx;

	IMB_AES256_GCM_ENC(mgr, (const struct gcm_key_data *)state, &ctx, ct, pt, n, nonce, aad.p,
		aad.n, ret_tag, NX_GCM_TAG_LEN);
	explicit_bzero(&ctx, sizeof(ctx));
}

static void unseal(void *state, const uint8_t *nonce, struct nx_slice aad, const void *ct, size_t n,
	void *pt, uint8_t *ret_tag)
{
	struct gcm_context_data ctx;

	IMB_AES256_GCM_DEC(mgr, (const struct gcm_key_data *)state, &ctx, pt, ct, n, nonce, aad.p,
		aad.n, ret_tag, NX_GCM_TAG_LEN);
	explicit_bzero(&ctx, sizeof(ctx));
}

static const struct nx_gcm_ops ops = {
	.name = "ipsec-mb",
	.state_len = sizeof(struct gcm_key_data),
	.init = init,
	.done = done,
	.seal = seal,
	.open = unseal,
};

/* Without vector AES (VAES, in its AVX-512 code) it is no faster than GnuTLS. */
void nx_gcm_init_ipsecmb(void)
{
	const uint64_t need = IMB_FEATURE_AVX512_SKX | IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ;
	IMB_ARCH arch;

	mgr = alloc_mb_mgr(0);
	if (!mgr)
		return;
	init_mb_mgr_auto(mgr, &arch);
	if (arch != IMB_ARCH_AVX512 || (mgr->features & need) != need) {
		free_mb_mgr(mgr);
		mgr = NULL;
	}
}

const struct nx_gcm_ops *nx_gcm_ipsecmb(void)
{
	return mgr ? &ops : NULL;
}

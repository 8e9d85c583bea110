#include <nettle/eddsa.h>

#include "crypto/crypto_priv.h"

void nx_ed25519_public(const struct nx_key *seed, uint8_t ret[NX_ED25519_PUBLIC_LEN])
{
	ed25519_sha512_public_key(ret, seed->b);
}

nx_rc nx_ed25519_sign(const struct nx_key *seed, struct nx_slice msg,
	uint8_t ret[NX_ED25519_SIG_LEN], struct nx_err *err)
{
	uint8_t pub[NX_ED25519_PUBLIC_LEN];

	ed25519_sha512_public_key(pub, seed->b);
	ed25519_sha512_sign(pub, seed->b, msg.n, msg.p, ret);
	/* A fault while signing would give the key away: no signature leaves unverified. */
	if (!ed25519_sha512_verify(pub, msg.n, msg.p, ret)) {
		explicit_bzero(ret, NX_ED25519_SIG_LEN);
		return nx_err_set(err, NX_E_INTERNAL, "signature does not verify");
	}
	return NX_OK;
}

bool nx_ed25519_verify(const uint8_t pub[NX_ED25519_PUBLIC_LEN], struct nx_slice msg,
	const uint8_t sig[NX_ED25519_SIG_LEN])
{
	return ed25519_sha512_verify(pub, msg.n, msg.p, sig) == 1;
}

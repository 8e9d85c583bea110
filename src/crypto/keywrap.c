#include <string.h>

#include <nettle/aes.h>
#include <nettle/nist-keywrap.h>

#include "crypto/crypto_priv.h"

/* RFC 3394 2.2.3.1 */
static const uint8_t default_iv[8] = {0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6};

void nx_kw_wrap(const struct nx_key *kek, const struct nx_key *key, uint8_t ret[NX_KW_LEN])
{
	struct aes256_ctx ctx;

	aes256_set_encrypt_key(&ctx, kek->b);
	aes256_keywrap(&ctx, default_iv, NX_KW_LEN, ret, key->b);
	explicit_bzero(&ctx, sizeof(ctx));
}

nx_rc nx_kw_unwrap(const struct nx_key *kek, const uint8_t wrapped[NX_KW_LEN],
	struct nx_key *ret_key, struct nx_err *err)
{
	struct aes256_ctx ctx;
	struct nx_key key;
	int good;

	aes256_set_decrypt_key(&ctx, kek->b);
	good = aes256_keyunwrap(&ctx, default_iv, sizeof(key.b), key.b, wrapped);
	explicit_bzero(&ctx, sizeof(ctx));
	if (good)
		*ret_key = key;
	nx_key_done(&key);
	return good ? NX_OK : nx_err_set(err, NX_E_KEY, "wrapped key does not open");
}

#include <argon2.h>

#include "crypto/crypto_priv.h"

/* One lane: the number of lanes is part of the result, the number of processors must not be. */
nx_rc nx_argon2id(struct nx_slice passphrase, struct nx_slice salt, uint32_t passes, uint32_t kib,
	struct nx_key *ret_key, struct nx_err *err)
{
	struct nx_key key;
	int status = argon2id_hash_raw(
		passes, kib, 1, passphrase.p, passphrase.n, salt.p, salt.n, key.b, sizeof(key.b));

	if (status == ARGON2_OK)
		*ret_key = key;
	nx_key_done(&key);
	if (status == ARGON2_OK)
		return NX_OK;
	return nx_err_set(err, status == ARGON2_MEMORY_ALLOCATION_ERROR ? NX_E_NOMEM : NX_E_INVAL,
		"argon2id: %s", argon2_error_message(status));
}

#include <assert.h>
#include <string.h>

#include "crypto/crypto.h"
#include "keys/keys_drv.h"

nx_rc nx_rootset_init(struct nx_rootset *set, struct nx_err *err)
{
	*set = (struct nx_rootset){.keys = nx_secret_new((size_t)NX_ROOTSET_MAX * NX_KEY_LEN)};
	return set->keys ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no locked memory for root keys");
}

void nx_rootset_done(struct nx_rootset *set)
{
	set->keys = nx_secret_free(set->keys);
	set->n = 0;
}

static uint8_t *key_at(const struct nx_rootset *set, size_t i)
{
	return set->keys->data + i * NX_KEY_LEN;
}

uint8_t *nx_rootset_find(const struct nx_rootset *set, uint64_t version)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->version[i] == version)
			return key_at(set, i);
	return NULL;
}

nx_rc nx_rootset_add(
	struct nx_rootset *set, uint64_t version, const uint8_t *key, struct nx_err *err)
{
	const uint8_t *there = nx_rootset_find(set, version);

	if (there && nx_secret_eq(there, key, NX_KEY_LEN))
		return NX_OK;
	if (there || set->n == NX_ROOTSET_MAX)
		return nx_err_set(err, NX_E_CORRUPT, "root version %llu does not fit the others",
			(unsigned long long)version);
	memcpy(key_at(set, set->n), key, NX_KEY_LEN);
	set->version[set->n++] = version;
	return NX_OK;
}

nx_rc nx_rootset_draw(struct nx_rootset *set, uint64_t *ret_version, struct nx_err *err)
{
	uint64_t version = 0;
	struct nx_key key;
	nx_rc rc;

	for (size_t i = 0; i < set->n; i++)
		if (set->version[i] > version)
			version = set->version[i];
	nx_random(key.b, sizeof(key.b));
	rc = nx_rootset_add(set, version + 1, key.b, err);
	nx_key_done(&key);
	if (!rc)
		*ret_version = version + 1;
	return rc;
}

nx_rc nx_rootset_keep(struct nx_rootset *set, uint64_t version, struct nx_err *err)
{
	const uint8_t *key = nx_rootset_find(set, version);

	if (!key)
		return nx_err_set(
			err, NX_E_KEY, "no root version %llu", (unsigned long long)version);
	memmove(set->keys->data, key, NX_KEY_LEN);
	explicit_bzero(key_at(set, 1), (size_t)(NX_ROOTSET_MAX - 1) * NX_KEY_LEN);
	set->version[0] = version;
	set->n = 1;
	return NX_OK;
}

/* A key of its own for every context: RFC 3394 has no associated data. */
static nx_rc kek_of(const struct nx_rootset *set, uint64_t version, struct nx_slice context,
	struct nx_key *ret_kek, struct nx_err *err)
{
	const uint8_t *key = nx_rootset_find(set, version);
	struct nx_key root;

	if (!key)
		return nx_err_set(
			err, NX_E_KEY, "no root version %llu", (unsigned long long)version);
	memcpy(root.b, key, NX_KEY_LEN);
	nx_hkdf(&root, "narthex root wrap", context, ret_kek);
	nx_key_done(&root);
	return NX_OK;
}

nx_rc nx_rootset_wrap(const struct nx_rootset *set, uint64_t version, struct nx_slice context,
	const struct nx_key *key, struct nx_root_wrap *ret, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) kek = {{0}};
	nx_rc rc = kek_of(set, version, context, &kek, err);

	if (rc)
		return rc;
	ret->n = NX_KW_LEN;
	nx_kw_wrap(&kek, key, ret->b);
	return NX_OK;
}

nx_rc nx_rootset_unwrap(const struct nx_rootset *set, uint64_t version, struct nx_slice context,
	struct nx_slice wrapped, struct nx_key *ret_key, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) kek = {{0}};
	nx_rc rc = kek_of(set, version, context, &kek, err);

	if (rc)
		return rc;
	if (wrapped.n != NX_KW_LEN)
		return nx_err_set(err, NX_E_CORRUPT, "root wrap of %zu bytes", wrapped.n);
	return nx_kw_unwrap(&kek, wrapped.p, ret_key, err);
}

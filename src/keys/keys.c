#include "keys/keys.h"

#include <assert.h>
#include <string.h>

#include "keys/keys_priv.h"

nx_rc nx_keys_writable(const struct nx_keys *keys, struct nx_err *err)
{
	if (!keys->failed)
		return NX_OK;
	return nx_err_set(err, keys->failed, "key store takes no changes until it is opened again");
}

nx_rc nx_keys_room(struct nx_keys *keys, size_t n, struct nx_err *err)
{
	nx_rc rc = nx_keys_writable(keys, err);

	if (rc)
		return rc;
	if (!nx_buf_reserve(&keys->pending, n * NX_KEYREC_MAX)) {
		/* Nothing was put, so the buffer is as good as before. */
		keys->pending.failed = NX_OK;
		return nx_err_set(err, NX_E_NOMEM, "no memory for key records");
	}
	return NX_OK;
}

void nx_keys_append(struct nx_keys *keys, const struct nx_keyrec *rec)
{
	nx_keyrec_put(&keys->pending, rec);
	assert(!keys->pending.failed); /* nx_keys_room() was asked */
	keys->appended++;
}

nx_rc nx_keys_flush(struct nx_keys *keys, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) out;
	uint64_t upto, off;
	nx_rc rc;

	nx_buf_init(&out, NX_LIMIT_KEY_LOG, 0);
	(void)pthread_mutex_lock(&keys->lock);
	rc = keys->appended == keys->synced ? NX_OK : nx_keys_writable(keys, err);
	if (!rc) {
		struct nx_buf empty = out;

		out = keys->pending;
		keys->pending = empty;
	}
	upto = keys->appended;
	off = keys->log_len;
	(void)pthread_mutex_unlock(&keys->lock);
	if (rc || out.len == 0)
		return rc;
	rc = nx_places_append(&keys->places, off, nx_buf_slice(&out), err);
	(void)pthread_mutex_lock(&keys->lock);
	if (rc) {
		keys->failed = rc;
	} else {
		keys->log_len = off + out.len;
		keys->synced = upto;
	}
	(void)pthread_mutex_unlock(&keys->lock);
	return rc;
}

nx_rc nx_keys_sync(struct nx_keys *keys, struct nx_err *err)
{
	nx_rc rc;

	(void)pthread_mutex_lock(&keys->io_lock);
	rc = nx_keys_flush(keys, err);
	(void)pthread_mutex_unlock(&keys->io_lock);
	return rc;
}

bool nx_keys_pending(struct nx_keys *keys)
{
	bool pending;

	(void)pthread_mutex_lock(&keys->lock);
	pending = keys->appended != keys->synced;
	(void)pthread_mutex_unlock(&keys->lock);
	return pending;
}

/* A key that is made once and then used for years must not be used before it is durable. */
static nx_rc sync_upto(struct nx_keys *keys, uint64_t at, struct nx_err *err)
{
	bool durable;

	(void)pthread_mutex_lock(&keys->lock);
	durable = at <= keys->synced;
	(void)pthread_mutex_unlock(&keys->lock);
	return durable ? NX_OK : nx_keys_sync(keys, err);
}

static nx_rc name_check(struct nx_slice name, struct nx_err *err)
{
	if (name.n > 0 && name.n < NX_LIMIT_NAME)
		return NX_OK;
	return nx_err_set(err, NX_E_INVAL, "key name of %zu bytes", name.n);
}

/* Caller holds keys->lock. */
static nx_rc site_make(struct nx_keys *keys, struct nx_slice name, const struct nx_kwctx *ctx,
	struct nx_key *key, uint64_t *ret_at, struct nx_err *err)
{
	struct nx_keyname *site;
	struct nx_root_wrap wrap;
	nx_rc rc = nx_keys_room(keys, 1, err);

	if (rc)
		return rc;
	nx_random(key->b, sizeof(key->b));
	rc = keys->root->ops->wrap(
		keys->root, keys->header.root_version, nx_slice(ctx->b, ctx->n), key, &wrap, err);
	if (rc)
		return rc;
	site = nx_keynames_add(&keys->set.sites, name);
	if (!site)
		return nx_err_set(err, NX_E_LIMIT, "no room for a site key");
	site->wrap = wrap;
	nx_keys_append(keys,
		&(struct nx_keyrec){
			.type = NX_KEYREC_SITE, .name = name, .wrap = nx_slice(wrap.b, wrap.n)});
	*ret_at = site->at = keys->appended;
	return NX_OK;
}

nx_rc nx_keys_site(
	struct nx_keys *keys, const char *name, struct nx_key *ret_key, struct nx_err *err)
{
	struct nx_slice n = nx_slice_str(name);
	NX_AUTO_DONE(nx_key) key = {{0}};
	const struct nx_keyname *site;
	struct nx_kwctx ctx;
	uint64_t at = 0;
	nx_rc rc = name_check(n, err);

	if (rc)
		return rc;
	ctx = nx_kwctx(NX_KEYREC_SITE, 0, 0, n);
	(void)pthread_mutex_lock(&keys->lock);
	site = nx_keynames_find(&keys->set.sites, n);
	if (site) {
		at = site->at;
		rc = keys->root->ops->unwrap(keys->root, keys->header.root_version,
			nx_slice(ctx.b, ctx.n), nx_slice(site->wrap.b, site->wrap.n), &key, err);
	} else {
		rc = site_make(keys, n, &ctx, &key, &at, err);
	}
	(void)pthread_mutex_unlock(&keys->lock);
	if (!rc)
		rc = sync_upto(keys, at, err);
	if (!rc)
		*ret_key = key;
	return rc;
}

/* Caller holds keys->lock. */
static nx_rc domain_make(struct nx_keys *keys, struct nx_slice name,
	struct nx_keydomain **ret_domain, struct nx_err *err)
{
	uint32_t id = keys->set.n_domains + 1;
	struct nx_kwctx ctx = nx_kwctx(NX_KEYREC_DOMAIN, id, 0, name);
	NX_AUTO_DONE(nx_key) key = {{0}};
	struct nx_keydomain *domain;
	struct nx_root_wrap wrap;
	nx_rc rc = nx_keys_room(keys, 1, err);

	if (rc)
		return rc;
	nx_random(key.b, sizeof(key.b));
	rc = keys->root->ops->wrap(
		keys->root, keys->header.root_version, nx_slice(ctx.b, ctx.n), &key, &wrap, err);
	if (rc)
		return rc;
	domain = nx_keyset_domain_add(&keys->set, name);
	if (!domain)
		return nx_err_set(err, NX_E_LIMIT, "no room for a key domain");
	domain->wrap = wrap;
	memcpy(domain->key->data, key.b, NX_KEY_LEN);
	nx_keys_append(keys,
		&(struct nx_keyrec){.type = NX_KEYREC_DOMAIN,
			.domain = id,
			.version = domain->version,
			.name = name,
			.wrap = nx_slice(wrap.b, wrap.n)});
	domain->at = keys->appended;
	*ret_domain = domain;
	return NX_OK;
}

nx_rc nx_keys_domain(
	struct nx_keys *keys, const char *name, bool create, uint32_t *ret_id, struct nx_err *err)
{
	struct nx_slice n = nx_slice_str(name);
	struct nx_keydomain *domain;
	uint64_t at = 0;
	uint32_t id = 0;
	nx_rc rc = name_check(n, err);

	if (rc)
		return rc;
	(void)pthread_mutex_lock(&keys->lock);
	domain = nx_keyset_domain_named(&keys->set, n);
	if (!domain && create)
		rc = domain_make(keys, n, &domain, err);
	else if (!domain)
		rc = nx_err_set(err, NX_E_NOENT, "no such key domain");
	if (!rc) {
		at = domain->at;
		id = domain->id;
	}
	(void)pthread_mutex_unlock(&keys->lock);
	if (!rc)
		rc = sync_upto(keys, at, err);
	if (!rc)
		*ret_id = id;
	return rc;
}

void nx_keys_domain_key(const struct nx_keydomain *domain, struct nx_key *ret)
{
	memcpy(ret->b, domain->key->data, NX_KEY_LEN);
}

/* Caller holds keys->lock. */
static nx_rc domain_get(const struct nx_keys *keys, uint32_t id, struct nx_keydomain **ret_domain,
	struct nx_err *err)
{
	struct nx_keydomain *domain = nx_keyset_domain(&keys->set, id);

	if (!domain)
		return nx_err_set(err, NX_E_NOENT, "no key domain %u", id);
	*ret_domain = domain;
	return NX_OK;
}

/* Caller holds keys->lock. */
static nx_rc purpose_make(struct nx_keys *keys, struct nx_keydomain *domain, struct nx_slice name,
	const struct nx_kwctx *ctx, struct nx_key *key, uint64_t *ret_at, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) parent = {{0}};
	struct nx_keyname *purpose;
	nx_rc rc = nx_keys_room(keys, 1, err);

	if (rc)
		return rc;
	purpose = nx_keynames_add(&domain->purposes, name);
	if (!purpose)
		return nx_err_set(err, NX_E_LIMIT, "no room for a purpose key");
	nx_random(key->b, sizeof(key->b));
	nx_keys_domain_key(domain, &parent);
	nx_child_wrap(&parent, ctx, key, purpose->wrap.b);
	purpose->wrap.n = NX_KW_LEN;
	nx_keys_append(keys,
		&(struct nx_keyrec){.type = NX_KEYREC_PURPOSE,
			.domain = domain->id,
			.version = domain->version,
			.name = name,
			.wrap = nx_slice(purpose->wrap.b, NX_KW_LEN)});
	*ret_at = purpose->at = keys->appended;
	return NX_OK;
}

/* Caller holds keys->lock. */
static nx_rc purpose_get(struct nx_keys *keys, uint32_t id, struct nx_slice name,
	struct nx_key *key, uint64_t *ret_at, struct nx_err *err)
{
	struct nx_kwctx ctx = nx_kwctx(NX_KEYREC_PURPOSE, id, 0, name);
	NX_AUTO_DONE(nx_key) parent = {{0}};
	const struct nx_keyname *purpose;
	struct nx_keydomain *domain;
	nx_rc rc = domain_get(keys, id, &domain, err);

	if (rc)
		return rc;
	purpose = nx_keynames_find(&domain->purposes, name);
	if (!purpose)
		return purpose_make(keys, domain, name, &ctx, key, ret_at, err);
	*ret_at = purpose->at;
	nx_keys_domain_key(domain, &parent);
	return nx_child_unwrap(&parent, &ctx, purpose->wrap.b, key, err);
}

nx_rc nx_keys_domain_purpose(struct nx_keys *keys, uint32_t domain, const char *purpose,
	struct nx_key *ret_key, struct nx_err *err)
{
	struct nx_slice name = nx_slice_str(purpose);
	NX_AUTO_DONE(nx_key) key = {{0}};
	uint64_t at = 0;
	nx_rc rc = name_check(name, err);

	if (rc)
		return rc;
	(void)pthread_mutex_lock(&keys->lock);
	rc = purpose_get(keys, domain, name, &key, &at, err);
	(void)pthread_mutex_unlock(&keys->lock);
	if (!rc)
		rc = sync_upto(keys, at, err);
	if (!rc)
		*ret_key = key;
	return rc;
}

nx_rc nx_keys_node_key(const struct nx_keydomain *domain, const struct nx_keynode *node,
	struct nx_key *ret, struct nx_err *err)
{
	struct nx_kwctx ctx = nx_kwctx(NX_KEYREC_NODE, domain->id, node->index, nx_slice("", 0));
	NX_AUTO_DONE(nx_key) parent;

	nx_keys_domain_key(domain, &parent);
	return nx_child_unwrap(&parent, &ctx, node->wrap, ret, err);
}

/* Caller holds keys->lock and has room for a record. */
static nx_rc node_room(struct nx_keys *keys, struct nx_keydomain *domain,
	struct nx_keynode **ret_node, struct nx_key *ret_key, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) parent = {{0}};
	struct nx_keynode *node;
	struct nx_kwctx ctx;
	bool made;

	node = nx_keyset_node_room(&keys->set, domain, &made);
	if (!node)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a key node");
	*ret_node = node;
	if (!made)
		return nx_keys_node_key(domain, node, ret_key, err);
	nx_random(ret_key->b, sizeof(ret_key->b));
	nx_keys_domain_key(domain, &parent);
	ctx = nx_kwctx(NX_KEYREC_NODE, domain->id, node->index, nx_slice("", 0));
	nx_child_wrap(&parent, &ctx, ret_key, node->wrap);
	nx_keys_append(keys,
		&(struct nx_keyrec){.type = NX_KEYREC_NODE,
			.domain = domain->id,
			.node = node->index,
			.version = domain->version,
			.wrap = nx_slice(node->wrap, NX_KW_LEN)});
	return NX_OK;
}

/* Caller holds keys->lock. */
static nx_rc subject_make(struct nx_keys *keys, struct nx_keydomain *domain, nx_subject subject,
	struct nx_key *key, struct nx_err *err)
{
	struct nx_kwctx ctx = nx_kwctx(NX_KEYREC_SUBJECT, domain->id, subject, nx_slice("", 0));
	NX_AUTO_DONE(nx_key) parent = {{0}};
	struct nx_keyentry *entry;
	struct nx_keynode *node = NULL;
	nx_rc rc = nx_keys_room(keys, 2, err);

	if (!rc)
		rc = node_room(keys, domain, &node, &parent, err);
	if (rc)
		return rc;
	entry = nx_keyset_subject_add(&keys->set, node, subject);
	if (!entry)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a subject key");
	nx_random(key->b, sizeof(key->b));
	nx_child_wrap(&parent, &ctx, key, entry->wrap);
	nx_keys_append(keys,
		&(struct nx_keyrec){.type = NX_KEYREC_SUBJECT,
			.domain = domain->id,
			.node = node->index,
			.subject = subject,
			.wrap = nx_slice(entry->wrap, NX_KW_LEN)});
	return NX_OK;
}

nx_rc nx_keys_subject_new(struct nx_keys *keys, uint32_t domain, nx_subject subject,
	struct nx_key *ret_key, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) key = {{0}};
	struct nx_keydomain *dom;
	struct nx_keynode *node;
	nx_rc rc;

	(void)pthread_mutex_lock(&keys->lock);
	rc = domain_get(keys, domain, &dom, err);
	if (!rc && nx_keyset_is_erased(&keys->set, subject))
		rc = nx_err_set(err, NX_E_ERASED, "subject is erased");
	if (!rc && nx_keyset_subject(&keys->set, domain, subject, &node))
		rc = nx_err_set(err, NX_E_EXISTS, "subject has a key in this domain");
	if (!rc)
		rc = subject_make(keys, dom, subject, &key, err);
	(void)pthread_mutex_unlock(&keys->lock);
	if (!rc)
		*ret_key = key;
	return rc;
}

/* Caller holds keys->lock. */
static nx_rc subject_find(const struct nx_keys *keys, uint32_t domain, nx_subject subject,
	struct nx_key *ret_node_key, struct nx_keyentry *ret_entry, struct nx_err *err)
{
	const struct nx_keyentry *entry;
	struct nx_keydomain *dom;
	struct nx_keynode *node;
	nx_rc rc = domain_get(keys, domain, &dom, err);

	if (rc)
		return rc;
	if (nx_keyset_is_erased(&keys->set, subject))
		return nx_err_set(err, NX_E_ERASED, "subject is erased");
	entry = nx_keyset_subject(&keys->set, domain, subject, &node);
	if (!entry)
		return nx_err_set(err, NX_E_NOENT, "subject has no key in this domain");
	*ret_entry = *entry;
	return nx_keys_node_key(dom, node, ret_node_key, err);
}

nx_rc nx_keys_subject(struct nx_keys *keys, uint32_t domain, nx_subject subject,
	struct nx_key *ret_key, struct nx_err *err)
{
	struct nx_kwctx ctx = nx_kwctx(NX_KEYREC_SUBJECT, domain, subject, nx_slice("", 0));
	NX_AUTO_DONE(nx_key) parent = {{0}};
	struct nx_keyentry entry;
	nx_rc rc;

	(void)pthread_mutex_lock(&keys->lock);
	rc = subject_find(keys, domain, subject, &parent, &entry, err);
	(void)pthread_mutex_unlock(&keys->lock);
	return rc ? rc : nx_child_unwrap(&parent, &ctx, entry.wrap, ret_key, err);
}

nx_rc nx_keys_erased_at(
	struct nx_keys *keys, uint64_t i, nx_subject *ret_subject, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	(void)pthread_mutex_lock(&keys->lock);
	if (i < keys->set.n_erased)
		*ret_subject = keys->set.erased[i].subject;
	else
		rc = nx_err_set(err, NX_E_NOENT, "no erased subject %llu", (unsigned long long)i);
	(void)pthread_mutex_unlock(&keys->lock);
	return rc;
}

bool nx_keys_erased(struct nx_keys *keys, nx_subject subject)
{
	bool erased;

	(void)pthread_mutex_lock(&keys->lock);
	erased = nx_keyset_is_erased(&keys->set, subject);
	(void)pthread_mutex_unlock(&keys->lock);
	return erased;
}

nx_rc nx_keys_set_passphrase(struct nx_keys *keys, struct nx_slice passphrase, struct nx_err *err)
{
	const struct nx_root_ops *ops = keys->root->ops;
	nx_rc rc;

	if (!ops->set_passphrase)
		return nx_err_set(err, NX_E_UNSUPPORTED, "this key driver has no passphrase");
	(void)pthread_mutex_lock(&keys->io_lock);
	(void)pthread_mutex_lock(&keys->lock);
	rc = nx_keys_writable(keys, err);
	if (!rc)
		rc = ops->set_passphrase(keys->root, passphrase, err);
	(void)pthread_mutex_unlock(&keys->lock);
	(void)pthread_mutex_unlock(&keys->io_lock);
	return rc;
}

void nx_keys_status(struct nx_keys *keys, struct nx_keys_status *ret)
{
	(void)pthread_mutex_lock(&keys->lock);
	*ret = (struct nx_keys_status){
		.root_version = keys->header.root_version,
		.n_domains = keys->set.n_domains,
		.n_subjects = keys->set.n_subjects,
		.n_erased = keys->set.n_erased,
		.log_bytes = keys->log_len,
		.n_places = keys->places.n,
		.closed = keys->failed != NX_OK,
	};
	(void)pthread_mutex_unlock(&keys->lock);
}

nx_rc nx_keys_domain_at(struct nx_keys *keys, uint32_t i, uint32_t *ret_id, char ret_name[64],
	uint32_t *ret_version, struct nx_err *err)
{
	struct nx_keydomain *domain = NULL;
	nx_rc rc;

	(void)pthread_mutex_lock(&keys->lock);
	rc = i < UINT32_MAX ? domain_get(keys, i + 1, &domain, err) : NX_E_NOENT;
	if (!rc) {
		*ret_id = domain->id;
		*ret_version = domain->version;
		memcpy(ret_name, domain->name, sizeof(domain->name));
	}
	(void)pthread_mutex_unlock(&keys->lock);
	return rc;
}

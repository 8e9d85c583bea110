#include <string.h>

#include "keys/keys_priv.h"

/* The records of a log to tables in memory, and back. */

static nx_rc load_site(struct nx_keys *keys, const struct nx_keyrec *rec, struct nx_err *err)
{
	struct nx_kwctx ctx = nx_kwctx(NX_KEYREC_SITE, 0, 0, rec->name);
	NX_AUTO_DONE(nx_key) key = {{0}};
	struct nx_keyname *site;
	nx_rc rc;

	if (nx_keynames_find(&keys->set.sites, rec->name))
		return nx_err_set(err, NX_E_CORRUPT, "site key twice");
	rc = keys->root->ops->unwrap(keys->root, keys->header.root_version, nx_slice(ctx.b, ctx.n),
		rec->wrap, &key, err);
	if (rc)
		return nx_err_prefix(err, rc, "site key");
	site = nx_keynames_add(&keys->set.sites, rec->name);
	if (!site)
		return nx_err_set(err, NX_E_LIMIT, "no room for a site key");
	site->wrap.n = (uint16_t)rec->wrap.n;
	memcpy(site->wrap.b, rec->wrap.p, rec->wrap.n);
	return NX_OK;
}

static nx_rc load_domain(struct nx_keys *keys, const struct nx_keyrec *rec, struct nx_err *err)
{
	struct nx_kwctx ctx = nx_kwctx(NX_KEYREC_DOMAIN, rec->domain, 0, rec->name);
	NX_AUTO_DONE(nx_key) key = {{0}};
	struct nx_keydomain *domain;
	nx_rc rc;

	if (rec->domain != keys->set.n_domains + 1 || nx_keyset_domain_named(&keys->set, rec->name))
		return nx_err_set(err, NX_E_CORRUPT, "key domain %u out of place", rec->domain);
	rc = keys->root->ops->unwrap(keys->root, keys->header.root_version, nx_slice(ctx.b, ctx.n),
		rec->wrap, &key, err);
	if (rc)
		return nx_err_prefix(err, rc, "key domain %u", rec->domain);
	domain = nx_keyset_domain_add(&keys->set, rec->name);
	if (!domain)
		return nx_err_set(err, NX_E_LIMIT, "no room for a key domain");
	domain->version = rec->version;
	domain->wrap.n = (uint16_t)rec->wrap.n;
	memcpy(domain->wrap.b, rec->wrap.p, rec->wrap.n);
	memcpy(domain->key->data, key.b, NX_KEY_LEN);
	return NX_OK;
}

static nx_rc parent_of(struct nx_keys *keys, const struct nx_keyrec *rec,
	struct nx_keydomain **ret_domain, struct nx_err *err)
{
	struct nx_keydomain *domain = nx_keyset_domain(&keys->set, rec->domain);

	if (!domain || (rec->type != NX_KEYREC_SUBJECT && rec->version != domain->version))
		return nx_err_set(err, NX_E_CORRUPT, "no key domain %u in version %u", rec->domain,
			rec->version);
	*ret_domain = domain;
	return NX_OK;
}

static nx_rc load_purpose(struct nx_keys *keys, const struct nx_keyrec *rec, struct nx_err *err)
{
	struct nx_keydomain *domain;
	struct nx_keyname *purpose;
	nx_rc rc = parent_of(keys, rec, &domain, err);

	if (rc)
		return rc;
	if (nx_keynames_find(&domain->purposes, rec->name))
		return nx_err_set(err, NX_E_CORRUPT, "purpose key twice");
	purpose = nx_keynames_add(&domain->purposes, rec->name);
	if (!purpose)
		return nx_err_set(err, NX_E_LIMIT, "no room for a purpose key");
	purpose->wrap.n = NX_KW_LEN;
	memcpy(purpose->wrap.b, rec->wrap.p, NX_KW_LEN);
	return NX_OK;
}

/* The node's wrap is tried at once: a log that mixes generations does not get past this. */
static nx_rc load_node(struct nx_keys *keys, const struct nx_keyrec *rec, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) key = {{0}};
	struct nx_keydomain *domain;
	struct nx_keynode *node;
	nx_rc rc = parent_of(keys, rec, &domain, err);

	if (rc)
		return rc;
	if (rec->node != domain->n_nodes)
		return nx_err_set(err, NX_E_CORRUPT, "key node %u out of place", rec->node);
	node = nx_keyset_node_add(&keys->set, domain);
	if (!node)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a key node");
	memcpy(node->wrap, rec->wrap.p, NX_KW_LEN);
	rc = nx_keys_node_key(domain, node, &key, err);
	return rc ? nx_err_prefix(err, rc, "key node %u of domain %u", rec->node, rec->domain)
		  : NX_OK;
}

static nx_rc load_subject(struct nx_keys *keys, const struct nx_keyrec *rec, struct nx_err *err)
{
	struct nx_keydomain *domain;
	struct nx_keyentry *entry;
	struct nx_keynode *node;
	nx_rc rc = parent_of(keys, rec, &domain, err);

	if (rc)
		return rc;
	node = nx_keyset_node(&keys->set, domain, rec->node);
	if (!node || node->n == NX_NODE_SUBJECTS || nx_keyset_is_erased(&keys->set, rec->subject) ||
		nx_keyset_subject(&keys->set, rec->domain, rec->subject, &node))
		return nx_err_set(
			err, NX_E_CORRUPT, "subject key out of place in domain %u", rec->domain);
	entry = nx_keyset_subject_add(&keys->set, node, rec->subject);
	if (!entry)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a subject key");
	memcpy(entry->wrap, rec->wrap.p, NX_KW_LEN);
	return NX_OK;
}

/* Where the wraps of the subject are still in the log, its erasure was cut short. */
static nx_rc load_erased(struct nx_keys *keys, const struct nx_keyrec *rec, struct nx_err *err)
{
	struct nx_keynode *node;

	for (uint32_t id = 1; id <= keys->set.n_domains; id++)
		if (nx_keyset_subject(&keys->set, id, rec->subject, &node))
			keys->rekey_pending = true;
	if (!nx_keyset_erased_add(&keys->set, rec->subject, rec->time_us))
		return nx_err_set(err, NX_E_NOMEM, "no memory for the erased subjects");
	return NX_OK;
}

static nx_rc load_one(struct nx_keys *keys, const struct nx_keyrec *rec, struct nx_err *err)
{
	switch ((enum nx_keyrec_type)rec->type) {
	case NX_KEYREC_SITE:
		return load_site(keys, rec, err);
	case NX_KEYREC_DOMAIN:
		return load_domain(keys, rec, err);
	case NX_KEYREC_PURPOSE:
		return load_purpose(keys, rec, err);
	case NX_KEYREC_NODE:
		return load_node(keys, rec, err);
	case NX_KEYREC_SUBJECT:
		return load_subject(keys, rec, err);
	case NX_KEYREC_ERASED:
		return load_erased(keys, rec, err);
	}
	return nx_err_set(err, NX_E_VERSION, "key record of type %u", rec->type);
}

nx_rc nx_keys_load(struct nx_keys *keys, struct nx_slice records, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(records);
	struct nx_keyrec rec;
	nx_rc rc = NX_OK;

	while (!rc && nx_keyrec_next(&rd, &rec))
		rc = load_one(keys, &rec, err);
	return rc
		? nx_err_prefix(err, rc, "key log at %zu", NX_KEYLOG_HEADER_LEN + records.n - rd.n)
		: NX_OK;
}

static void dump_domain(
	const struct nx_keyset *set, const struct nx_keydomain *domain, struct nx_buf *buf)
{
	struct nx_keyrec rec = {.type = NX_KEYREC_DOMAIN,
		.domain = domain->id,
		.version = domain->version,
		.name = nx_slice_str(domain->name),
		.wrap = nx_slice(domain->wrap.b, domain->wrap.n)};

	nx_keyrec_put(buf, &rec);
	for (size_t i = 0; i < domain->purposes.n; i++) {
		rec.type = NX_KEYREC_PURPOSE;
		rec.name = nx_slice_str(domain->purposes.at[i].name);
		rec.wrap = nx_slice(domain->purposes.at[i].wrap.b, NX_KW_LEN);
		nx_keyrec_put(buf, &rec);
	}
	for (uint32_t i = 0; i < domain->n_nodes; i++) {
		const struct nx_keynode *node = nx_keyset_node(set, domain, i);

		rec.type = NX_KEYREC_NODE;
		rec.node = i;
		rec.wrap = nx_slice(node->wrap, NX_KW_LEN);
		nx_keyrec_put(buf, &rec);
		rec.type = NX_KEYREC_SUBJECT;
		for (uint32_t k = 0; k < node->n; k++) {
			rec.subject = node->entries[k].subject;
			rec.wrap = nx_slice(node->entries[k].wrap, NX_KW_LEN);
			nx_keyrec_put(buf, &rec);
		}
	}
}

void nx_keys_dump(const struct nx_keys *keys, struct nx_buf *buf)
{
	const struct nx_keyset *set = &keys->set;

	nx_keylog_header_put(buf, &keys->header);
	for (size_t i = 0; i < set->n_erased; i++)
		nx_keyrec_put(buf,
			&(struct nx_keyrec){.type = NX_KEYREC_ERASED,
				.subject = set->erased[i].subject,
				.time_us = set->erased[i].time_us});
	for (size_t i = 0; i < set->sites.n; i++)
		nx_keyrec_put(buf,
			&(struct nx_keyrec){.type = NX_KEYREC_SITE,
				.name = nx_slice_str(set->sites.at[i].name),
				.wrap = nx_slice(
					set->sites.at[i].wrap.b, set->sites.at[i].wrap.n)});
	for (uint32_t i = 0; i < set->n_domains; i++)
		dump_domain(set, set->domains[i], buf);
}

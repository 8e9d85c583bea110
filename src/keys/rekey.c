#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "keys/keys_priv.h"

/*
 * Erasing and rotating: new keys from the bottom up, then the log written anew.
 *
 * The order of an erasure, and what opening finds when it stops after each step:
 *   1. the mark is appended in every place: no mark in any place, nothing happened; else the
 *      erasure is finished at opening
 *   2. root.key gets the new root version beside the old: as after 1; the version is dropped again
 *   3. the log under the new version replaces the old one, place by place: the later generation
 *      counts and replaces the other; every place's root.key still opens both
 *   4. root.key without the old version, place by place: as after 3
 * From then on no root.key opens a log that holds a wrap of the subject.
 */

/* New wraps of a domain, complete before anything of the present ones is touched. */
struct plan {
	struct nx_keydomain *domain;
	struct nx_key old_key;
	struct nx_key new_key;
	struct nx_secret *secret; /* the same, to be the domain's */
	uint8_t (*purposes)[NX_KW_LEN];
	uint8_t (*nodes)[NX_KW_LEN];
	/* By node: NULL, or the entries' wraps under a new node key. */
	uint8_t (**entries)[NX_KW_LEN];
};

static void plan_done(struct plan *plan)
{
	for (uint32_t i = 0; plan->entries && i < plan->domain->n_nodes; i++)
		free(plan->entries[i]);
	free(plan->entries);
	free(plan->nodes);
	free(plan->purposes);
	plan->secret = nx_secret_free(plan->secret);
	nx_key_done(&plan->old_key);
	nx_key_done(&plan->new_key);
}

static nx_rc plan_init(struct plan *plan, struct nx_keydomain *domain, struct nx_err *err)
{
	*plan = (struct plan){.domain = domain};
	nx_keys_domain_key(domain, &plan->old_key);
	nx_random(plan->new_key.b, sizeof(plan->new_key.b));
	plan->secret = nx_secret_new(NX_KEY_LEN);
	plan->purposes = calloc(domain->purposes.n + 1, sizeof(*plan->purposes));
	plan->nodes = calloc((size_t)domain->n_nodes + 1, sizeof(*plan->nodes));
	plan->entries = calloc((size_t)domain->n_nodes + 1, sizeof(void *));
	if (!plan->secret || !plan->purposes || !plan->nodes || !plan->entries)
		return nx_err_set(err, NX_E_NOMEM, "no memory to re-key a domain");
	memcpy(plan->secret->data, plan->new_key.b, NX_KEY_LEN);
	return NX_OK;
}

static nx_rc plan_purposes(struct plan *plan, struct nx_err *err)
{
	const struct nx_keydomain *domain = plan->domain;
	NX_AUTO_DONE(nx_key) key = {{0}};
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < domain->purposes.n && !rc; i++) {
		const struct nx_keyname *purpose = &domain->purposes.at[i];
		struct nx_kwctx ctx =
			nx_kwctx(NX_KEYREC_PURPOSE, domain->id, 0, nx_slice_str(purpose->name));

		rc = nx_child_unwrap(&plan->old_key, &ctx, purpose->wrap.b, &key, err);
		if (!rc)
			nx_child_wrap(&plan->new_key, &ctx, &key, plan->purposes[i]);
	}
	return rc;
}

static bool holds_erased(const struct nx_keyset *set, const struct nx_keynode *node)
{
	for (uint32_t i = 0; set->n_erased && i < node->n; i++)
		if (nx_keyset_is_erased(set, node->entries[i].subject))
			return true;
	return false;
}

/* The survivors of a node, from its old key to a new one. */
static nx_rc plan_entries(const struct nx_keyset *set, struct plan *plan,
	const struct nx_keynode *node, const struct nx_key *old_key, const struct nx_key *new_key,
	struct nx_err *err)
{
	uint8_t(*wraps)[NX_KW_LEN] = calloc(NX_NODE_SUBJECTS, sizeof(*wraps));
	NX_AUTO_DONE(nx_key) key = {{0}};
	nx_rc rc = NX_OK;

	if (!wraps)
		return nx_err_set(err, NX_E_NOMEM, "no memory to re-key a node");
	plan->entries[node->index] = wraps;
	for (uint32_t i = 0; i < node->n && !rc; i++) {
		const struct nx_keyentry *entry = &node->entries[i];
		struct nx_kwctx ctx =
			nx_kwctx(NX_KEYREC_SUBJECT, node->domain, entry->subject, nx_slice("", 0));

		if (nx_keyset_is_erased(set, entry->subject))
			continue;
		rc = nx_child_unwrap(old_key, &ctx, entry->wrap, &key, err);
		if (!rc)
			nx_child_wrap(new_key, &ctx, &key, wraps[i]);
	}
	return rc;
}

static nx_rc plan_nodes(const struct nx_keyset *set, struct plan *plan, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) key = {{0}};
	NX_AUTO_DONE(nx_key) fresh = {{0}};
	nx_rc rc = NX_OK;

	for (uint32_t i = 0; i < plan->domain->n_nodes && !rc; i++) {
		const struct nx_keynode *node = nx_keyset_node(set, plan->domain, i);
		struct nx_kwctx ctx =
			nx_kwctx(NX_KEYREC_NODE, plan->domain->id, i, nx_slice("", 0));

		rc = nx_keys_node_key(plan->domain, node, &key, err);
		if (!rc && holds_erased(set, node)) {
			nx_random(fresh.b, sizeof(fresh.b));
			rc = plan_entries(set, plan, node, &key, &fresh, err);
			key = fresh;
		}
		if (!rc)
			nx_child_wrap(&plan->new_key, &ctx, &key, plan->nodes[i]);
	}
	return rc;
}

/* Cannot fail.  Deleting moves entries about, so every wrap is in place first. */
static void plan_commit(struct nx_keyset *set, struct plan *plan)
{
	struct nx_keydomain *domain = plan->domain;
	struct nx_secret *old;

	for (size_t i = 0; i < domain->purposes.n; i++)
		memcpy(domain->purposes.at[i].wrap.b, plan->purposes[i], NX_KW_LEN);
	for (uint32_t i = 0; i < domain->n_nodes; i++) {
		struct nx_keynode *node = nx_keyset_node(set, domain, i);

		memcpy(node->wrap, plan->nodes[i], NX_KW_LEN);
		for (uint32_t k = 0; plan->entries[i] && k < node->n; k++)
			memcpy(node->entries[k].wrap, plan->entries[i][k], NX_KW_LEN);
		for (uint32_t k = node->n; plan->entries[i] && k-- > 0;)
			if (nx_keyset_is_erased(set, node->entries[k].subject))
				(void)nx_keyset_subject_del(
					set, domain->id, node->entries[k].subject);
	}
	old = domain->key;
	domain->key = NX_STEAL(plan->secret);
	plan->secret = old; /* wiped with the plan */
	domain->version++;
}

/* A new key for the domain, and for every node of it that holds an erased subject. */
static nx_rc domain_rekey(struct nx_keyset *set, struct nx_keydomain *domain, struct nx_err *err)
{
	struct plan plan;
	nx_rc rc = plan_init(&plan, domain, err);

	if (!rc)
		rc = plan_purposes(&plan, err);
	if (!rc)
		rc = plan_nodes(set, &plan, err);
	if (!rc)
		plan_commit(set, &plan);
	plan_done(&plan);
	return rc ? nx_err_prefix(err, rc, "re-key domain %u", domain->id) : NX_OK;
}

static bool domain_holds_erased(const struct nx_keyset *set, uint32_t id)
{
	struct nx_keynode *node;

	for (size_t i = 0; i < set->n_erased; i++)
		if (nx_keyset_subject(set, id, set->erased[i].subject, &node))
			return true;
	return false;
}

static nx_rc domain_wrap(
	struct nx_keys *keys, struct nx_keydomain *domain, uint64_t version, struct nx_err *err)
{
	struct nx_kwctx ctx = nx_kwctx(NX_KEYREC_DOMAIN, domain->id, 0, nx_slice_str(domain->name));
	NX_AUTO_DONE(nx_key) key = {{0}};

	nx_keys_domain_key(domain, &key);
	return keys->root->ops->wrap(
		keys->root, version, nx_slice(ctx.b, ctx.n), &key, &domain->wrap, err);
}

static nx_rc site_rewrap(
	struct nx_keys *keys, struct nx_keyname *site, uint64_t version, struct nx_err *err)
{
	struct nx_kwctx ctx = nx_kwctx(NX_KEYREC_SITE, 0, 0, nx_slice_str(site->name));
	struct nx_slice context = nx_slice(ctx.b, ctx.n);
	const struct nx_root_ops *ops = keys->root->ops;
	NX_AUTO_DONE(nx_key) key = {{0}};
	nx_rc rc = ops->unwrap(keys->root, keys->header.root_version, context,
		nx_slice(site->wrap.b, site->wrap.n), &key, err);

	return rc ? rc : ops->wrap(keys->root, version, context, &key, &site->wrap, err);
}

/* Everything under a new root version, in memory.  Caller holds keys->lock. */
static nx_rc root_rekey(struct nx_keys *keys, uint64_t version, struct nx_err *err)
{
	struct nx_keyset *set = &keys->set;
	nx_rc rc = NX_OK;

	for (uint32_t i = 0; i < set->n_domains && !rc; i++) {
		if (domain_holds_erased(set, set->domains[i]->id))
			rc = domain_rekey(set, set->domains[i], err);
		if (!rc)
			rc = domain_wrap(keys, set->domains[i], version, err);
	}
	for (size_t i = 0; i < set->sites.n && !rc; i++)
		rc = site_rewrap(keys, &set->sites.at[i], version, err);
	if (!rc)
		keys->header.root_version = version;
	return rc;
}

/* About: names are taken at their longest, purposes not at all. */
static size_t dump_size(const struct nx_keyset *set)
{
	return NX_KEYLOG_HEADER_LEN + set->n_subjects * NX_KEYREC_SUBJECT_LEN +
		(size_t)set->n_nodes * NX_KEYREC_SUBJECT_LEN +
		set->n_erased * NX_KEYREC_SUBJECT_LEN +
		(set->sites.n + set->n_domains) * NX_KEYREC_MAX;
}

/*
 * The tables as a new generation of the log; what was appended and not yet written is in it.
 * Caller holds keys->lock.
 */
static nx_rc snapshot(struct nx_keys *keys, struct nx_buf *buf, struct nx_err *err)
{
	nx_rc rc;

	keys->header.generation++;
	(void)nx_buf_reserve(buf, dump_size(&keys->set)); /* not by doubling: it may be large */
	nx_keys_dump(keys, buf);
	rc = nx_buf_check(buf, err);
	if (!rc)
		nx_buf_clear(&keys->pending);
	return rc;
}

/* Into every place.  Caller holds keys->io_lock only: keys go on being used meanwhile. */
static nx_rc snapshot_write(
	struct nx_keys *keys, const struct nx_buf *buf, uint64_t upto, struct nx_err *err)
{
	nx_rc rc = nx_places_replace(&keys->places, NX_KEYS_LOG, nx_buf_slice(buf), err);

	if (!rc)
		rc = nx_places_log_open(&keys->places, err);
	if (rc)
		return rc;
	(void)pthread_mutex_lock(&keys->lock);
	keys->log_len = buf->len;
	keys->synced = upto;
	(void)pthread_mutex_unlock(&keys->lock);
	return NX_OK;
}

static nx_rc set_failed(struct nx_keys *keys, nx_rc rc)
{
	(void)pthread_mutex_lock(&keys->lock);
	keys->failed = rc;
	(void)pthread_mutex_unlock(&keys->lock);
	return rc;
}

nx_rc nx_keys_rekey(struct nx_keys *keys, struct nx_err *err)
{
	const struct nx_root_ops *ops = keys->root->ops;
	uint64_t version = 0, upto;
	NX_AUTO_DONE(nx_buf) buf;
	nx_rc rc;

	nx_buf_init(&buf, NX_LIMIT_KEY_LOG, 0);
	(void)pthread_mutex_lock(&keys->lock);
	rc = ops->version_new(keys->root, &version, err);
	if (!rc)
		rc = root_rekey(keys, version, err);
	if (!rc)
		rc = snapshot(keys, &buf, err);
	upto = keys->appended;
	(void)pthread_mutex_unlock(&keys->lock);
	if (!rc)
		rc = snapshot_write(keys, &buf, upto, err);
	if (rc)
		return set_failed(keys, rc);
	(void)pthread_mutex_lock(&keys->lock);
	rc = ops->version_keep(keys->root, version, err);
	if (rc)
		keys->failed = rc;
	else
		keys->rekey_pending = false;
	(void)pthread_mutex_unlock(&keys->lock);
	return rc;
}

/* Caller holds keys->lock. */
static nx_rc mark(struct nx_keys *keys, nx_subject subject, struct nx_err *err)
{
	int64_t now = nx_now_us();
	bool found = false;
	struct nx_keynode *node;
	nx_rc rc;

	for (uint32_t id = 1; id <= keys->set.n_domains && !found; id++)
		found = nx_keyset_subject(&keys->set, id, subject, &node);
	if (!found)
		return nx_err_set(err, NX_E_NOENT, "subject has no key");
	rc = nx_keys_room(keys, 1, err);
	if (rc)
		return rc;
	if (!nx_keyset_erased_add(&keys->set, subject, now))
		return nx_err_set(err, NX_E_NOMEM, "no memory for the erased subjects");
	nx_keys_append(keys,
		&(struct nx_keyrec){.type = NX_KEYREC_ERASED, .subject = subject, .time_us = now});
	keys->rekey_pending = true;
	return NX_OK;
}

/* Caller holds keys->io_lock. */
static nx_rc erase(struct nx_keys *keys, nx_subject subject, struct nx_err *err)
{
	nx_rc rc = NX_OK;
	bool done;

	(void)pthread_mutex_lock(&keys->lock);
	if (!nx_keyset_is_erased(&keys->set, subject))
		rc = mark(keys, subject, err);
	done = !rc && !keys->rekey_pending;
	if (!rc && !done && keys->failed)
		rc = nx_err_set(err, keys->failed, "erasure is finished at the next opening");
	(void)pthread_mutex_unlock(&keys->lock);
	if (!rc && !done)
		rc = nx_keys_flush(keys, err);
	if (!rc && !done)
		rc = nx_keys_rekey(keys, err);
	return rc;
}

nx_rc nx_keys_erase(
	struct nx_keys *keys, nx_subject subject, size_t *ret_places, struct nx_err *err)
{
	nx_rc rc;

	if (subject == 0)
		return nx_err_set(err, NX_E_INVAL, "the key of things without a subject");
	(void)pthread_mutex_lock(&keys->io_lock);
	rc = erase(keys, subject, err);
	if (!rc)
		*ret_places = keys->places.n;
	(void)pthread_mutex_unlock(&keys->io_lock);
	return rc;
}

nx_rc nx_keys_rotate_domain(struct nx_keys *keys, uint32_t id, struct nx_err *err)
{
	struct nx_keydomain *domain;
	NX_AUTO_DONE(nx_buf) buf;
	uint64_t upto;
	nx_rc rc = NX_OK;

	nx_buf_init(&buf, NX_LIMIT_KEY_LOG, 0);
	(void)pthread_mutex_lock(&keys->io_lock);
	(void)pthread_mutex_lock(&keys->lock);
	domain = nx_keyset_domain(&keys->set, id);
	if (!domain)
		rc = nx_err_set(err, NX_E_NOENT, "no key domain %u", id);
	else
		rc = nx_keys_writable(keys, err);
	if (!rc)
		rc = domain_rekey(&keys->set, domain, err);
	if (!rc) {
		rc = domain_wrap(keys, domain, keys->header.root_version, err);
		if (!rc)
			rc = snapshot(keys, &buf, err);
		/* The tables are ahead of the log from here on. */
		keys->failed = rc;
	}
	upto = keys->appended;
	(void)pthread_mutex_unlock(&keys->lock);
	if (!rc) {
		rc = snapshot_write(keys, &buf, upto, err);
		if (rc)
			(void)set_failed(keys, rc);
	}
	(void)pthread_mutex_unlock(&keys->io_lock);
	return rc;
}

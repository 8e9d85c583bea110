#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "keys/keys_priv.h"

enum {
	INDEX_FIRST = 1024
};

static void names_done(struct nx_keynames *names)
{
	free(names->at);
	*names = (struct nx_keynames){0};
}

static void domain_free(struct nx_keydomain *domain)
{
	domain->key = nx_secret_free(domain->key);
	names_done(&domain->purposes);
	free(domain->nodes);
	free(domain);
}

void nx_keyset_done(struct nx_keyset *set)
{
	for (uint32_t i = 0; i < set->n_domains; i++)
		domain_free(set->domains[i]);
	for (uint32_t i = 0; i < set->n_nodes; i++)
		free(set->nodes[i]);
	names_done(&set->sites);
	free(set->domains);
	free(set->nodes);
	free(set->index);
	free(set->erased);
	*set = (struct nx_keyset){0};
}

/*
 * Room for one more in an array that doubles: `n` items are there, and its capacity is the power
 * of two at or above n, so that it is full when n is a power of two.
 */
static void *room(void *array, size_t n, size_t size)
{
	if (n & (n - 1))
		return array;
	return reallocarray(array, n ? 2 * n : 1, size);
}

struct nx_keyname *nx_keynames_find(const struct nx_keynames *names, struct nx_slice name)
{
	for (size_t i = 0; i < names->n; i++)
		if (nx_slice_eq(nx_slice_str(names->at[i].name), name))
			return &names->at[i];
	return NULL;
}

struct nx_keyname *nx_keynames_add(struct nx_keynames *names, struct nx_slice name)
{
	struct nx_keyname *at;

	if (names->n >= NX_LIMIT_KEY_NAMES || name.n == 0 || name.n >= NX_LIMIT_NAME)
		return NULL;
	at = room(names->at, names->n, sizeof(*at));
	if (!at)
		return NULL;
	names->at = at;
	at = &at[names->n++];
	*at = (struct nx_keyname){0};
	memcpy(at->name, name.p, name.n);
	return at;
}

struct nx_keydomain *nx_keyset_domain(const struct nx_keyset *set, uint32_t id)
{
	return id > 0 && id <= set->n_domains ? set->domains[id - 1] : NULL;
}

struct nx_keydomain *nx_keyset_domain_named(const struct nx_keyset *set, struct nx_slice name)
{
	for (uint32_t i = 0; i < set->n_domains; i++)
		if (nx_slice_eq(nx_slice_str(set->domains[i]->name), name))
			return set->domains[i];
	return NULL;
}

struct nx_keydomain *nx_keyset_domain_add(struct nx_keyset *set, struct nx_slice name)
{
	struct nx_keydomain **domains;
	struct nx_keydomain *domain;

	if (set->n_domains >= NX_LIMIT_KEY_DOMAINS || name.n == 0 || name.n >= NX_LIMIT_NAME)
		return NULL;
	domains = room(set->domains, set->n_domains, sizeof(struct nx_keydomain *));
	if (!domains)
		return NULL;
	set->domains = domains;
	domain = calloc(1, sizeof(*domain));
	if (!domain)
		return NULL;
	domain->key = nx_secret_new(NX_KEY_LEN);
	if (!domain->key) {
		domain_free(domain);
		return NULL;
	}
	memcpy(domain->name, name.p, name.n);
	domain->version = 1;
	domains[set->n_domains++] = domain;
	domain->id = set->n_domains;
	return domain;
}

struct nx_keynode *nx_keyset_node_add(struct nx_keyset *set, struct nx_keydomain *domain)
{
	struct nx_keynode **nodes;
	struct nx_keynode *node;
	uint32_t *numbers;

	if (set->n_nodes >= UINT32_MAX / NX_NODE_SUBJECTS - 1)
		return NULL;
	nodes = room(set->nodes, set->n_nodes, sizeof(struct nx_keynode *));
	if (!nodes)
		return NULL;
	set->nodes = nodes;
	numbers = room(domain->nodes, domain->n_nodes, sizeof(*numbers));
	if (!numbers)
		return NULL;
	domain->nodes = numbers;
	node = calloc(1, sizeof(*node));
	if (!node)
		return NULL;
	node->domain = domain->id;
	node->index = domain->n_nodes;
	numbers[domain->n_nodes++] = set->n_nodes;
	nodes[set->n_nodes++] = node;
	return node;
}

struct nx_keynode *nx_keyset_node(
	const struct nx_keyset *set, const struct nx_keydomain *domain, uint32_t index)
{
	return index < domain->n_nodes ? set->nodes[domain->nodes[index]] : NULL;
}

struct nx_keynode *nx_keyset_node_room(
	struct nx_keyset *set, struct nx_keydomain *domain, bool *ret_made)
{
	struct nx_keynode *last = NULL;

	if (domain->n_nodes)
		last = nx_keyset_node(set, domain, domain->n_nodes - 1);
	*ret_made = !last || last->n == NX_NODE_SUBJECTS;
	return *ret_made ? nx_keyset_node_add(set, domain) : last;
}

static uint64_t hash(uint32_t domain, uint64_t subject)
{
	uint64_t h = subject ^ ((uint64_t)domain << 40 | domain);

	h = (h ^ h >> 32) * 0xd6e8feb86659fd93ull;
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93ull;
	return h ^ h >> 32;
}

static struct nx_keyentry *entry_of(
	const struct nx_keyset *set, uint32_t ref, struct nx_keynode **ret_node)
{
	*ret_node = set->nodes[(ref - 1) / NX_NODE_SUBJECTS];
	return &(*ret_node)->entries[(ref - 1) % NX_NODE_SUBJECTS];
}

static uint64_t home_of(const struct nx_keyset *set, uint32_t ref)
{
	struct nx_keynode *node;
	const struct nx_keyentry *entry = entry_of(set, ref, &node);

	return hash(node->domain, entry->subject) & set->mask;
}

/* The bucket of the subject, or the empty one where it would go. */
static uint64_t bucket_of(const struct nx_keyset *set, uint32_t domain, uint64_t subject)
{
	uint64_t at = hash(domain, subject) & set->mask;

	for (; set->index[at]; at = (at + 1) & set->mask) {
		struct nx_keynode *node;
		const struct nx_keyentry *entry = entry_of(set, set->index[at], &node);

		if (entry->subject == subject && node->domain == domain)
			break;
	}
	return at;
}

/* At most three quarters full. */
static bool index_room(struct nx_keyset *set)
{
	uint64_t n = set->index ? set->mask + 1 : 0;
	uint32_t *old = set->index;
	uint32_t *index;

	if (set->n_subjects < n / 4 * 3)
		return true;
	index = calloc(n ? 2 * n : INDEX_FIRST, sizeof(*index));
	if (!index)
		return false;
	set->index = index;
	set->mask = (n ? 2 * n : INDEX_FIRST) - 1;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = old[i] ? home_of(set, old[i]) : 0;

		if (!old[i])
			continue;
		while (index[at])
			at = (at + 1) & set->mask;
		index[at] = old[i];
	}
	free(old);
	return true;
}

struct nx_keyentry *nx_keyset_subject(const struct nx_keyset *set, uint32_t domain,
	uint64_t subject, struct nx_keynode **ret_node)
{
	uint32_t ref = set->index ? set->index[bucket_of(set, domain, subject)] : 0;

	return ref ? entry_of(set, ref, ret_node) : NULL;
}

static uint32_t ref_of(const struct nx_keyset *set, const struct nx_keynode *node, uint32_t slot)
{
	const struct nx_keydomain *domain = nx_keyset_domain(set, node->domain);

	assert(domain); /* of a node of this set */
	return domain->nodes[node->index] * NX_NODE_SUBJECTS + slot + 1;
}

struct nx_keyentry *nx_keyset_subject_add(
	struct nx_keyset *set, struct nx_keynode *node, uint64_t subject)
{
	struct nx_keyentry *entry = &node->entries[node->n];
	uint64_t at;

	assert(node->n < NX_NODE_SUBJECTS);
	if (!index_room(set))
		return NULL;
	at = bucket_of(set, node->domain, subject);
	assert(!set->index[at]);
	entry->subject = subject;
	set->index[at] = ref_of(set, node, node->n++);
	set->n_subjects++;
	return entry;
}

/* Close the gap: move back what would not be found across it. */
static void index_del(struct nx_keyset *set, uint64_t gap)
{
	for (uint64_t at = (gap + 1) & set->mask; set->index[at]; at = (at + 1) & set->mask) {
		uint64_t home = home_of(set, set->index[at]);

		if (((at - home) & set->mask) >= ((at - gap) & set->mask)) {
			set->index[gap] = set->index[at];
			gap = at;
		}
	}
	set->index[gap] = 0;
}

/* The last entry of the node takes the place, so that nodes have no holes. */
bool nx_keyset_subject_del(struct nx_keyset *set, uint32_t domain, uint64_t subject)
{
	struct nx_keynode *node;
	struct nx_keyentry *entry = nx_keyset_subject(set, domain, subject, &node);
	struct nx_keyentry *last;

	if (!entry)
		return false;
	last = &node->entries[node->n - 1];
	index_del(set, bucket_of(set, domain, subject));
	if (entry != last) {
		uint64_t at = bucket_of(set, domain, last->subject);

		*entry = *last;
		set->index[at] = ref_of(set, node, (uint32_t)(entry - node->entries));
	}
	explicit_bzero(last, sizeof(*last));
	node->n--;
	set->n_subjects--;
	return true;
}

static size_t erased_at(const struct nx_keyset *set, uint64_t subject)
{
	size_t low = 0, high = set->n_erased;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (set->erased[mid].subject < subject)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool nx_keyset_is_erased(const struct nx_keyset *set, uint64_t subject)
{
	size_t at = erased_at(set, subject);

	return at < set->n_erased && set->erased[at].subject == subject;
}

bool nx_keyset_erased_add(struct nx_keyset *set, uint64_t subject, int64_t time_us)
{
	size_t at = erased_at(set, subject);
	struct nx_keyerased *erased;

	if (at < set->n_erased && set->erased[at].subject == subject)
		return true;
	erased = room(set->erased, set->n_erased, sizeof(*erased));
	if (!erased)
		return false;
	set->erased = erased;
	memmove(&erased[at + 1], &erased[at], (set->n_erased - at) * sizeof(*erased));
	erased[at] = (struct nx_keyerased){subject, time_us};
	set->n_erased++;
	return true;
}

struct nx_kwctx nx_kwctx(uint8_t type, uint32_t domain, uint64_t id, struct nx_slice name)
{
	struct nx_kwctx ctx = {.n = 1 + 4 + 8 + name.n, .b = {type}};

	assert(name.n < NX_LIMIT_NAME);
	for (unsigned i = 0; i < 4; i++)
		ctx.b[1 + i] = (uint8_t)(domain >> (8 * i));
	for (unsigned i = 0; i < 8; i++)
		ctx.b[5 + i] = (uint8_t)(id >> (8 * i));
	if (name.n)
		memcpy(ctx.b + 13, name.p, name.n);
	return ctx;
}

/*
 * RFC 3394 takes no associated data, so the context goes into the wrapping key: a wrap moved to
 * another subject, node or name does not open.
 */
void nx_child_wrap(const struct nx_key *parent, const struct nx_kwctx *ctx,
	const struct nx_key *key, uint8_t ret[NX_KW_LEN])
{
	NX_AUTO_DONE(nx_key) kek;

	nx_hkdf(parent, "narthex key wrap", nx_slice(ctx->b, ctx->n), &kek);
	nx_kw_wrap(&kek, key, ret);
}

nx_rc nx_child_unwrap(const struct nx_key *parent, const struct nx_kwctx *ctx,
	const uint8_t wrap[NX_KW_LEN], struct nx_key *ret_key, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) kek;

	nx_hkdf(parent, "narthex key wrap", nx_slice(ctx->b, ctx->n), &kek);
	return nx_kw_unwrap(&kek, wrap, ret_key, err);
}

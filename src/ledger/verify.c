#include "ledger/ledger_priv.h"

#include "base/file.h"

/*
 * Everything is computed again from bundles.  Full bundles never change, so that most of the work
 * runs beside commits and flushes; the last part, and the checkpoint, hold off the next flush.
 * Memory: 32 bytes for each chain there is, twice for a moment.
 */

struct chain_slot {
	uint8_t tag[NX_TAG_LEN];
	struct nx_head head; /* count 0: free */
};

struct verify {
	struct nx_ledger *ledger;
	struct nx_edge *edge; /* computed */
	struct chain_slot *slots;
	size_t n_slots; /* a power of two */
	size_t n_chains;
	struct nx_buf bundle;
	struct nx_buf tile;
	int64_t time_us;
};

#define ULL(v) ((unsigned long long)(v))

/* ---- chains ---- */

/* Tags are MACs: any bytes of them spread well. */
static struct chain_slot *slot_of(
	struct chain_slot *slots, size_t n_slots, const uint8_t tag[NX_TAG_LEN])
{
	size_t i = 0;

	for (unsigned k = 2; k < 10; k++)
		i = i << 8 | tag[k];
	for (i &= n_slots - 1; slots[i].head.count; i = (i + 1) & (n_slots - 1))
		if (memcmp(slots[i].tag, tag, NX_TAG_LEN) == 0)
			break;
	return &slots[i];
}

static nx_rc slots_grow(struct verify *v, struct nx_err *err)
{
	size_t n = v->n_slots ? 2 * v->n_slots : 4096;
	struct chain_slot *slots;

	if (v->n_slots && v->n_chains < v->n_slots / 4 * 3)
		return NX_OK;
	slots = calloc(n, sizeof(*slots));
	if (!slots)
		return nx_err_set(err, NX_E_NOMEM, "no memory for %zu chains", n);
	for (size_t i = 0; i < v->n_slots; i++)
		if (v->slots[i].head.count)
			*slot_of(slots, n, v->slots[i].tag) = v->slots[i];
	free(v->slots);
	v->slots = slots;
	v->n_slots = n;
	return NX_OK;
}

static nx_rc chain_check(
	struct verify *v, const struct nx_entry *entry, unsigned i, struct nx_err *err)
{
	uint64_t count = entry->chains[i].count, prev = entry->chains[i].prev;
	struct chain_slot *slot;
	nx_rc rc = slots_grow(v, err);

	if (rc)
		return rc;
	slot = slot_of(v->slots, v->n_slots, entry->chains[i].tag);
	if (count != slot->head.count + 1 || (slot->head.count && prev != slot->head.last))
		return nx_err_set(err, NX_E_CORRUPT,
			"entry %llu says it is number %llu of its chain; the log has %llu before it",
			ULL(entry->index), ULL(count), ULL(slot->head.count));
	v->n_chains += !slot->head.count;
	memcpy(slot->tag, entry->chains[i].tag, NX_TAG_LEN);
	slot->head = (struct nx_head){count, entry->index};
	return NX_OK;
}

static nx_rc entry_check(
	struct verify *v, uint64_t index, struct nx_slice bytes, struct nx_err *err)
{
	struct nx_entry entry;
	nx_rc rc = nx_entry_parse(index, bytes, &entry, err);

	if (!rc && entry.time_us < v->time_us)
		return nx_err_set(err, NX_E_CORRUPT, "entry %llu is older than the one before it",
			ULL(index));
	for (unsigned i = 0; !rc && i < NX_LEDGER_CHAINS && entry.chains[i].kind; i++)
		rc = chain_check(v, &entry, i, err);
	if (!rc)
		v->time_us = entry.time_us;
	return rc;
}

/* ---- bundles against tiles ---- */

/* Why the entry at `i` does not have the hash that the tile has there. */
static nx_rc name_difference(uint64_t start, unsigned i, unsigned n,
	const uint8_t hash[NX_SHA256_LEN], const uint8_t *tile, struct nx_err *err)
{
	for (unsigned j = 0; j < n; j++) {
		if (memcmp(hash, tile + (size_t)j * NX_SHA256_LEN, NX_SHA256_LEN) != 0)
			continue;
		if (j == i + 1)
			return nx_err_set(err, NX_E_CORRUPT,
				"entry %llu is missing or out of order: entry %llu is in its place",
				ULL(start + i), ULL(start + j));
		return nx_err_set(err, NX_E_CORRUPT,
			"entry %llu is out of order: entry %llu is in its place", ULL(start + i),
			ULL(start + j));
	}
	return nx_err_set(err, NX_E_CORRUPT, "entry %llu is altered", ULL(start + i));
}

static nx_rc tile_load(
	struct verify *v, unsigned level, uint64_t number, unsigned width, struct nx_err *err)
{
	unsigned want = width ? width : TILE_WIDTH;
	nx_rc rc;

	nx_buf_clear(&v->tile);
	rc = nx_tile_read(v->ledger->dir_fd, level, number, width, &v->tile, err);
	if (rc == NX_E_NOENT || (!rc && v->tile.len < (size_t)want * NX_SHA256_LEN))
		return nx_err_set(
			err, NX_E_CORRUPT, "tile %u/%llu is missing or short", level, ULL(number));
	return rc;
}

/* The tile in v->tile against the first `n` hashes computed for it. */
static nx_rc tile_compare(const struct verify *v, unsigned level, uint64_t number, unsigned n,
	const uint8_t hashes[TILE_WIDTH][NX_SHA256_LEN], struct nx_err *err)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t start = (number * TILE_WIDTH + i) << (8 * level);

		if (memcmp(v->tile.data + (size_t)i * NX_SHA256_LEN, hashes[i], NX_SHA256_LEN) == 0)
			continue;
		return nx_err_set(err, NX_E_CORRUPT,
			"tile %u/%llu is not over its entries: entry %llu or one of the %llu behind it is "
			"altered",
			level, ULL(number), ULL(start), ULL((1ull << (8 * level)) - 1));
	}
	return NX_OK;
}

static nx_rc tile_check(void *payload, unsigned level, uint64_t number,
	const uint8_t hashes[TILE_WIDTH][NX_SHA256_LEN], struct nx_err *err)
{
	struct verify *v = payload;
	nx_rc rc;

	if (level == 0)
		return NX_OK; /* compared entry by entry before */
	rc = tile_load(v, level, number, 0, err);
	return rc ? rc : tile_compare(v, level, number, TILE_WIDTH, hashes, err);
}

/* The unfinished tiles above the entries. */
static nx_rc partials_check(struct verify *v, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (unsigned level = 1; level < TILE_LEVELS && !rc; level++) {
		uint64_t number = nx_edge_number(v->edge->size, level);
		unsigned width = nx_edge_width(v->edge->size, level);

		if (!width)
			continue;
		rc = tile_load(v, level, number, width, err);
		if (!rc)
			rc = tile_compare(v, level, number, width,
				(const uint8_t(*)[NX_SHA256_LEN])v->edge->hash[level], err);
	}
	return rc;
}

/* One entry: its hash against the tile's, its content against what came before. */
static nx_rc leaf_check(
	struct verify *v, uint64_t index, struct nx_slice bytes, unsigned n, struct nx_err *err)
{
	unsigned i = (unsigned)(index % TILE_WIDTH);
	const uint8_t *want = v->tile.data + (size_t)i * NX_SHA256_LEN;
	uint8_t leaf[NX_SHA256_LEN];
	nx_rc rc;

	nx_merkle_leaf(bytes.p, bytes.n, leaf);
	if (memcmp(leaf, want, NX_SHA256_LEN) != 0)
		return name_difference(index - i, i, n, leaf, v->tile.data, err);
	if (index < v->edge->size)
		return NX_OK; /* in a bundle that was shorter when it was checked */
	rc = entry_check(v, index, bytes, err);
	return rc ? rc : nx_edge_append(v->edge, leaf, tile_check, v, err);
}

static nx_rc bundle_check(struct verify *v, uint64_t number, unsigned n, struct nx_err *err)
{
	uint64_t start = number * TILE_WIDTH;
	struct nx_slice rest, bytes;
	nx_rc rc = tile_load(v, 0, number, n % TILE_WIDTH, err);

	if (rc)
		return rc;
	nx_buf_clear(&v->bundle);
	rc = nx_tile_read(
		v->ledger->dir_fd, LEVEL_ENTRIES, number, n % TILE_WIDTH, &v->bundle, err);
	if (rc == NX_E_NOENT)
		return nx_err_set(
			err, NX_E_CORRUPT, "entry %llu is missing: no bundle", ULL(start));
	rest = nx_buf_slice(&v->bundle);
	for (unsigned i = 0; i < n && !rc; i++) {
		if (!nx_bundle_next(&rest, &bytes))
			return nx_err_set(err, NX_E_CORRUPT,
				"entry %llu is missing: its bundle ends before it", ULL(start + i));
		rc = leaf_check(v, start + i, bytes, n, err);
	}
	if (!rc && n == TILE_WIDTH && rest.n)
		return nx_err_set(
			err, NX_E_CORRUPT, "bytes behind entry %llu", ULL(start + TILE_WIDTH - 1));
	return rc;
}

static nx_rc entries_check(struct verify *v, uint64_t size, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	while (v->edge->size < size && !rc) {
		uint64_t number = v->edge->size / TILE_WIDTH;
		uint64_t n = size - number * TILE_WIDTH;

		rc = bundle_check(v, number, n < TILE_WIDTH ? (unsigned)n : TILE_WIDTH, err);
	}
	return rc;
}

/* ---- checkpoint, tag map, catalog ---- */

static nx_rc checkpoint_check(struct verify *v, struct nx_err *err)
{
	struct nx_ledger *ledger = v->ledger;
	struct nx_checkpoint checkpoint;
	uint8_t root[NX_SHA256_LEN];
	NX_AUTO_DONE(nx_buf) text;
	nx_rc rc;

	nx_buf_init(&text, CHECKPOINT_MAX, 0);
	rc = nx_file_read(ledger->dir_fd, "checkpoint", &text, err);
	if (rc)
		return nx_err_prefix(err, rc, "checkpoint");
	rc = nx_note_parse(nx_buf_slice(&text), ledger->origin, ledger->pub, &checkpoint, err);
	if (rc)
		return rc;
	nx_edge_root(v->edge, root);
	if (checkpoint.size != v->edge->size)
		return nx_err_set(err, NX_E_CORRUPT,
			"checkpoint is of %llu entries, the files have %llu: entry %llu on",
			ULL(checkpoint.size), ULL(v->edge->size), ULL(checkpoint.size));
	if (memcmp(root, checkpoint.root, NX_SHA256_LEN) != 0)
		return nx_err_set(err, NX_E_CORRUPT,
			"checkpoint root is not over entries 0 to %llu", ULL(checkpoint.size));
	return NX_OK;
}

static int slot_compare(const void *a, const void *b)
{
	const struct chain_slot *x = a, *y = b;

	return memcmp(x->tag, y->tag, NX_TAG_LEN);
}

/* The table becomes a list in tag order. */
static void slots_sort(struct verify *v)
{
	size_t n = 0;

	for (size_t i = 0; i < v->n_slots; i++)
		if (v->slots[i].head.count)
			v->slots[n++] = v->slots[i];
	if (n)
		qsort(v->slots, n, sizeof(*v->slots), slot_compare);
	v->n_slots = n;
}

static nx_rc bucket_compare_log(const struct chain_slot *slots, size_t n,
	const struct nx_bucket *bucket, struct nx_err *err)
{
	size_t i = 0;

	for (size_t k = 0; k < bucket->n; k++) {
		const struct nx_bucket_head *head = &bucket->heads[k];

		if (!head->flushed.count)
			continue;
		if (i == n || memcmp(slots[i].tag, head->tag, NX_TAG_LEN) != 0 ||
			slots[i].head.count != head->flushed.count ||
			slots[i].head.last != head->flushed.last)
			return nx_err_set(err, NX_E_CORRUPT,
				"the catalog's chain head at entry %llu, number %llu, is not the log's",
				ULL(head->flushed.last), ULL(head->flushed.count));
		i++;
	}
	return i == n
		? NX_OK
		: nx_err_set(err, NX_E_CORRUPT, "the catalog has no chain head for entry %llu",
			  ULL(slots[i].head.last));
}

static nx_rc bucket_verify(struct verify *v, const struct nx_snapshot *snap, unsigned b, size_t *at,
	struct nx_tagmap *map, struct nx_err *err)
{
	const struct chain_slot *first = v->slots + *at;
	NX_AUTO_DONE(nx_bucket) bucket = {0};
	NX_AUTO_DONE(nx_buf) scratch;
	size_t n = 0;
	nx_rc rc;

	nx_buf_init(&scratch, 0, 0);
	nx_bucket_hash_begin(&scratch);
	for (; *at < v->n_slots && nx_bucket_of(v->slots[*at].tag) == b; (*at)++, n++)
		nx_bucket_hash_add(&scratch, first[n].tag, first[n].head);
	rc = nx_bucket_hash_end(&scratch, map->node[MAP_BUCKETS + b], err);
	if (!rc)
		rc = nx_bucket_read(v->ledger, snap, (uint16_t)b, &bucket, err);
	return rc ? rc : bucket_compare_log(first, n, &bucket, err);
}

static nx_rc map_check(struct verify *v, struct nx_err *err)
{
	NX_AUTO_DONE(nx_snapshot) snap = {0};
	struct nx_tagmap map;
	size_t at = 0;
	nx_rc rc = nx_heads_snapshot(v->ledger, &snap, err);

	if (!rc)
		rc = nx_tagmap_init(&map, err);
	if (rc)
		return rc;
	slots_sort(v);
	for (unsigned b = 0; b < MAP_BUCKETS && !rc; b++)
		rc = bucket_verify(v, &snap, b, &at, &map, err);
	if (!rc) {
		nx_tagmap_rebuild(&map);
		if (memcmp(map.node[1], v->ledger->checkpoint.map_root, NX_SHA256_LEN) != 0)
			rc = nx_err_set(err, NX_E_CORRUPT,
				"checkpoint's tag map is not that of entries 0 to %llu",
				ULL(v->edge->size));
	}
	nx_tagmap_done(&map);
	return rc;
}

/* Caller holds flush_lock. */
static nx_rc verify_end(struct verify *v, struct nx_err *err)
{
	nx_rc rc;

	if (!v->ledger->note_len)
		return NX_OK; /* nothing was flushed yet */
	rc = entries_check(v, v->ledger->durable, err);
	if (!rc)
		rc = partials_check(v, err);
	if (!rc)
		rc = checkpoint_check(v, err);
	return rc ? rc : map_check(v, err);
}

nx_rc nx_ledger_verify(struct nx_ledger *ledger, uint64_t *ret_entries, struct nx_err *err)
{
	struct verify v = {.ledger = ledger, .edge = calloc(1, sizeof(*v.edge))};
	uint64_t size, group;
	nx_rc rc;

	if (!v.edge)
		return nx_err_set(err, NX_E_NOMEM, "no memory to verify the ledger");
	nx_buf_init(&v.bundle, BUNDLE_MAX, 0);
	nx_buf_init(&v.tile, TILE_LEN, 0);
	v.time_us = INT64_MIN;
	nx_ledger_durable(ledger, &size, &group);
	rc = entries_check(&v, size, err);
	if (!rc) {
		(void)pthread_mutex_lock(&ledger->flush_lock);
		rc = verify_end(&v, err);
		(void)pthread_mutex_unlock(&ledger->flush_lock);
	}
	if (!rc)
		*ret_entries = v.edge->size;
	nx_buf_done(&v.bundle);
	nx_buf_done(&v.tile);
	free(v.slots);
	free(v.edge);
	return rc ? nx_err_prefix(err, rc, "ledger") : NX_OK;
}

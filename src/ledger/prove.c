#include "ledger/ledger_priv.h"

#include <assert.h>

#include "base/arena.h"

/* `n` hashes from `at` on of a level, of one tile, from the edge where it is there, else from its
 * file through the cache. */
static nx_rc tile_get(struct nx_ledger *ledger, const struct nx_edge *edge, unsigned level,
	uint64_t at, unsigned n, uint8_t ret[][NX_SHA256_LEN], struct nx_err *err)
{
	const uint64_t number = at / TILE_WIDTH;
	const size_t first = at % TILE_WIDTH;
	struct nx_tile_slot *slot = &ledger->tiles[(number * 7 + level) % TILE_CACHE];
	nx_rc rc = NX_OK;

	if (number == nx_edge_number(edge->size, level)) {
		memcpy(ret, edge->hash[level][first], (size_t)n * NX_SHA256_LEN);
		return NX_OK;
	}
	(void)pthread_mutex_lock(&ledger->cache_lock);
	if (!slot->valid || slot->level != level || slot->number != number) {
		NX_AUTO_DONE(nx_buf) buf;

		nx_buf_init(&buf, sizeof(slot->hash), 0);
		slot->valid = false;
		rc = nx_tile_read(ledger->dir_fd, level, number, 0, &buf, err);
		if (!rc && buf.len != sizeof(slot->hash))
			rc = nx_err_set(err, NX_E_CORRUPT, "tile %u/%llu has %zu bytes", level,
				(unsigned long long)number, buf.len);
		if (!rc) {
			memcpy(slot->hash, buf.data, sizeof(slot->hash));
			slot->level = level;
			slot->number = number;
			slot->valid = true;
		}
	}
	if (!rc)
		memcpy(ret, slot->hash[first], (size_t)n * NX_SHA256_LEN);
	(void)pthread_mutex_unlock(&ledger->cache_lock);
	return rc;
}

/* The perfect subtree over the 2^height entries from `start`, a multiple of that. */
static nx_rc subtree_root(struct nx_ledger *ledger, const struct nx_edge *edge, uint64_t start,
	unsigned height, uint8_t ret[NX_SHA256_LEN], struct nx_err *err)
{
	uint8_t hashes[TILE_WIDTH][NX_SHA256_LEN];
	unsigned level = height / 8, n = 1u << (height % 8);
	uint64_t at = start >> (8 * level);
	nx_rc rc = tile_get(ledger, edge, level, at, n, hashes, err);

	if (!rc)
		nx_edge_fold((const uint8_t(*)[NX_SHA256_LEN])hashes, n, ret);
	return rc;
}

/* The largest power of two below n (RFC 6962 2.1), as its exponent; n > 1. */
static unsigned split_height(uint64_t n)
{
	return 63u - (unsigned)__builtin_clzll(n - 1);
}

/* MTH(D[lo:hi]); lo is where a split of the whole tree put it. */
static nx_rc range_root(struct nx_ledger *ledger, const struct nx_edge *edge, uint64_t lo,
	uint64_t hi, uint8_t ret[NX_SHA256_LEN], struct nx_err *err)
{
	uint8_t left[64][NX_SHA256_LEN];
	unsigned n = 0;
	nx_rc rc = NX_OK;

	assert(lo < hi);
	/* Perfect subtrees from the left, each smaller than the one before. */
	while (lo < hi && !rc) {
		unsigned height = 63u - (unsigned)__builtin_clzll(hi - lo);

		rc = subtree_root(ledger, edge, lo, height, left[n++], err);
		lo += 1ull << height;
	}
	if (rc)
		return rc;
	memcpy(ret, left[--n], NX_SHA256_LEN);
	while (n)
		nx_merkle_node(left[--n], ret, ret);
	return NX_OK;
}

nx_rc nx_prove_in(struct nx_ledger *ledger, const struct nx_edge *edge, uint64_t index,
	struct nx_arena *arena, uint8_t (**ret_path)[NX_SHA256_LEN], size_t *ret_n,
	struct nx_err *err)
{
	uint8_t down[64][NX_SHA256_LEN];
	uint8_t(*path)[NX_SHA256_LEN];
	uint64_t lo = 0, hi = edge->size;
	size_t n = 0;
	nx_rc rc = NX_OK;

	if (index >= edge->size)
		return nx_err_set(err, NX_E_NOENT, "entry %llu is not in the checkpoint yet",
			(unsigned long long)index);
	while (hi - lo > 1 && !rc) {
		uint64_t mid = lo + (1ull << split_height(hi - lo));

		if (index < mid) {
			rc = range_root(ledger, edge, mid, hi, down[n++], err);
			hi = mid;
		} else {
			rc = range_root(ledger, edge, lo, mid, down[n++], err);
			lo = mid;
		}
	}
	if (rc)
		return nx_err_prefix(err, rc, "proof of entry %llu", (unsigned long long)index);
	path = nx_arena_alloc_array(arena, n + 1, NX_SHA256_LEN);
	if (!path)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a proof");
	for (size_t i = 0; i < n; i++)
		memcpy(path[i], down[n - 1 - i], NX_SHA256_LEN);
	*ret_path = path;
	*ret_n = n;
	return NX_OK;
}

nx_rc nx_ledger_prove(struct nx_ledger *ledger, uint64_t index, struct nx_arena *arena,
	uint8_t (**ret_path)[NX_SHA256_LEN], size_t *ret_n, struct nx_err *err)
{
	struct nx_edge *edge = malloc(sizeof(*edge));
	nx_rc rc;

	if (!edge)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a proof");
	(void)pthread_mutex_lock(&ledger->lock);
	memcpy(edge, ledger->edge, sizeof(*edge));
	(void)pthread_mutex_unlock(&ledger->lock);
	rc = nx_prove_in(ledger, edge, index, arena, ret_path, ret_n, err);
	free(edge);
	return rc;
}

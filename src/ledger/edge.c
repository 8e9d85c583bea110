#include "ledger/ledger_priv.h"

void nx_edge_fold(const uint8_t (*hashes)[NX_SHA256_LEN], unsigned n, uint8_t ret[NX_SHA256_LEN])
{
	uint8_t row[TILE_WIDTH][NX_SHA256_LEN];

	memcpy(row, hashes, (size_t)n * NX_SHA256_LEN);
	for (; n > 1; n /= 2)
		for (size_t i = 0; i < n / 2; i++)
			nx_merkle_node(row[2 * i], row[2 * i + 1], row[i]);
	memcpy(ret, row[0], NX_SHA256_LEN);
}

nx_rc nx_edge_append(struct nx_edge *edge, const uint8_t leaf[NX_SHA256_LEN], nx_edge_tile_fn fn,
	void *payload, struct nx_err *err)
{
	uint8_t hash[NX_SHA256_LEN];
	uint64_t size = edge->size;
	nx_rc rc = NX_OK;

	memcpy(hash, leaf, NX_SHA256_LEN);
	for (unsigned level = 0; level < TILE_LEVELS; level++) {
		unsigned width = nx_edge_width(size, level);

		memcpy(edge->hash[level][width], hash, NX_SHA256_LEN);
		if (width + 1 < TILE_WIDTH)
			break;
		if (fn)
			rc = fn(payload, level, nx_edge_number(size, level), edge->hash[level],
				err);
		if (rc)
			return rc;
		nx_edge_fold(edge->hash[level], TILE_WIDTH, hash);
	}
	edge->size = size + 1;
	return NX_OK;
}

/* The perfect subtrees of the edge, from the smallest (rightmost) to the largest, folded. */
void nx_edge_root(const struct nx_edge *edge, uint8_t ret[NX_SHA256_LEN])
{
	uint8_t sub[NX_SHA256_LEN];
	bool any = false;

	nx_sha256("", 0, ret); /* RFC 6962 2.1: MTH({}) */
	for (unsigned level = 0; level < TILE_LEVELS; level++) {
		unsigned end = nx_edge_width(edge->size, level);

		for (unsigned n = 1; n < TILE_WIDTH; n *= 2) {
			if (!(end & n))
				continue;
			end -= n;
			nx_edge_fold(&edge->hash[level][end], n, sub);
			if (any)
				nx_merkle_node(sub, ret, ret);
			else
				memcpy(ret, sub, NX_SHA256_LEN);
			any = true;
		}
	}
}

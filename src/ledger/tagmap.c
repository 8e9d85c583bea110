#include "ledger/ledger_priv.h"

enum {
	BUCKET_PREFIX = 2,       /* first byte of what a bucket's hash is over */
	BUCKET_BYTES = 64u << 20 /* two million heads in one bucket */
};

nx_rc nx_tagmap_init(struct nx_tagmap *map, struct nx_err *err)
{
	map->node = calloc((size_t)2 * MAP_BUCKETS, NX_SHA256_LEN);
	if (!map->node)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the tag map");
	map->built = false;
	return NX_OK;
}

void nx_tagmap_clear(struct nx_tagmap *map)
{
	static const uint8_t prefix = BUCKET_PREFIX;
	uint8_t empty[NX_SHA256_LEN];

	nx_sha256(&prefix, 1, empty);
	for (size_t row = MAP_BUCKETS; row; row /= 2) {
		for (size_t i = row; i < 2 * row; i++)
			memcpy(map->node[i], empty, NX_SHA256_LEN);
		nx_merkle_node(empty, empty, empty);
	}
}

void nx_tagmap_done(struct nx_tagmap *map)
{
	free(map->node);
	map->node = NULL;
}

static void node_compute(struct nx_tagmap *map, size_t i)
{
	nx_merkle_node(map->node[2 * i], map->node[2 * i + 1], map->node[i]);
}

void nx_tagmap_swap(struct nx_tagmap *map, struct nx_map_change *changes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t *leaf = map->node[MAP_BUCKETS + changes[i].bucket];
		uint8_t old[NX_SHA256_LEN];

		memcpy(old, leaf, NX_SHA256_LEN);
		memcpy(leaf, changes[i].hash, NX_SHA256_LEN);
		memcpy(changes[i].hash, old, NX_SHA256_LEN);
	}
	for (unsigned up = 1; up <= MAP_DEPTH; up++) {
		size_t last = 0;

		for (size_t i = 0; i < n; i++) {
			size_t node = ((size_t)MAP_BUCKETS + changes[i].bucket) >> up;

			if (node != last)
				node_compute(map, node);
			last = node;
		}
	}
}

void nx_tagmap_rebuild(struct nx_tagmap *map)
{
	for (size_t i = MAP_BUCKETS - 1; i; i--)
		node_compute(map, i);
}

void nx_tagmap_path(
	const struct nx_tagmap *map, uint16_t bucket, uint8_t ret[MAP_DEPTH][NX_SHA256_LEN])
{
	size_t node = (size_t)MAP_BUCKETS + bucket;

	for (unsigned i = 0; i < MAP_DEPTH; i++, node /= 2)
		memcpy(ret[i], map->node[node ^ 1], NX_SHA256_LEN);
}

void nx_bucket_hash_begin(struct nx_buf *scratch)
{
	scratch->max = BUCKET_BYTES;
	nx_buf_clear(scratch);
	nx_buf_put_u8(scratch, BUCKET_PREFIX);
}

void nx_bucket_hash_add(struct nx_buf *scratch, const uint8_t tag[NX_TAG_LEN], struct nx_head head)
{
	nx_buf_put(scratch, tag, NX_TAG_LEN);
	nx_buf_put_u64be(scratch, head.count);
	nx_buf_put_u64be(scratch, head.last);
}

nx_rc nx_bucket_hash_end(
	const struct nx_buf *scratch, uint8_t ret[NX_SHA256_LEN], struct nx_err *err)
{
	nx_rc rc = nx_buf_check(scratch, err);

	if (!rc)
		nx_sha256(scratch->data, scratch->len, ret);
	return rc;
}

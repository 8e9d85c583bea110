#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/sha2.h>

#include "crypto/crypto_priv.h"

#define LEAF_LEN ((size_t)NX_LEAF_LEN)

enum {
	STACK_MAX = 64 /* one subtree root for each bit of the number of leaves */
};

/*
 * Leaves go one of two ways.  A blob that fits in a leaf, which most header blobs do, is hashed as
 * it comes and needs no stage.  As soon as there is more than one leaf, whole leaves are staged and
 * hashed together.  Without memory for a stage, the first way serves for all.
 */
struct nx_tree {
	struct sha256_ctx single;
	size_t single_len; /* bytes of the present leaf that are in `single` */
	struct nx_leaves *stage;
	uint64_t n_leaves;
	/* Roots of complete subtrees, largest first: as many as n_leaves has bits set. */
	uint8_t stack[STACK_MAX][NX_SHA256_LEN];
	size_t depth;
};

static void single_start(struct nx_tree *tree)
{
	static const uint8_t prefix = 0x00; /* RFC 6962 2.1 */

	sha256_init(&tree->single);
	sha256_update(&tree->single, 1, &prefix);
	tree->single_len = 0;
}

struct nx_tree *nx_tree_new(void)
{
	struct nx_tree *tree = calloc(1, sizeof(*tree));

	if (tree)
		single_start(tree);
	return tree;
}

struct nx_tree *nx_tree_free(struct nx_tree *tree)
{
	if (!tree)
		return NULL;
	tree->stage = nx_leaves_give(tree->stage);
	explicit_bzero(tree, sizeof(*tree));
	free(tree);
	return NULL;
}

/* A carry of the leaf count's binary increment joins two subtrees of equal size. */
static void push_leaf(struct nx_tree *tree, const uint8_t hash[NX_SHA256_LEN])
{
	memcpy(tree->stack[tree->depth++], hash, NX_SHA256_LEN);
	tree->n_leaves++;
	for (uint64_t n = tree->n_leaves; !(n & 1); n >>= 1) {
		tree->depth--;
		nx_merkle_node(tree->stack[tree->depth - 1], tree->stack[tree->depth],
			tree->stack[tree->depth - 1]);
	}
}

static void stage_hash(struct nx_tree *tree)
{
	uint8_t hashes[NX_LEAVES_MAX][NX_SHA256_LEN];
	size_t n = nx_leaves_hash(tree->stage, hashes);

	for (size_t i = 0; i < n; i++)
		push_leaf(tree, hashes[i]);
}

static void single_end(struct nx_tree *tree)
{
	uint8_t hash[NX_SHA256_LEN];

	sha256_digest(&tree->single, NX_SHA256_LEN, hash);
	push_leaf(tree, hash);
	single_start(tree);
}

static size_t single_fill(struct nx_tree *tree, const uint8_t *p, size_t n)
{
	if (n > LEAF_LEN - tree->single_len)
		n = LEAF_LEN - tree->single_len;
	sha256_update(&tree->single, n, p);
	tree->single_len += n;
	if (tree->single_len == LEAF_LEN)
		single_end(tree);
	return n;
}

void nx_tree_update(struct nx_tree *tree, const void *p, size_t n)
{
	const uint8_t *from = p;
	size_t took;

	while (n) {
		if (!tree->stage && !tree->single_len && (tree->n_leaves || n > LEAF_LEN))
			tree->stage = nx_leaves_take();
		if (tree->stage)
			took = nx_leaves_fill(tree->stage, from, n);
		else
			took = single_fill(tree, from, n);
		if (tree->stage && nx_leaves_full(tree->stage))
			stage_hash(tree);
		from += took;
		n -= took;
	}
}

void nx_tree_final(struct nx_tree *tree, uint8_t ret_root[NX_SHA256_LEN])
{
	if (tree->stage)
		stage_hash(tree);
	tree->stage = nx_leaves_give(tree->stage);
	if (tree->single_len)
		single_end(tree);
	if (tree->n_leaves == 0) {
		nx_sha256(NULL, 0, ret_root);
		return;
	}
	/* RFC 6962 2.1: the left subtree is the largest power of two, so fold from the right. */
	for (; tree->depth > 1; tree->depth--)
		nx_merkle_node(tree->stack[tree->depth - 2], tree->stack[tree->depth - 1],
			tree->stack[tree->depth - 2]);
	memcpy(ret_root, tree->stack[0], NX_SHA256_LEN);
	tree->depth = 0;
	tree->n_leaves = 0;
}

void nx_tree_root(const void *p, size_t n, uint8_t ret_root[NX_SHA256_LEN])
{
	struct nx_tree tree = {0};

	single_start(&tree);
	nx_tree_update(&tree, p, n);
	nx_tree_final(&tree, ret_root);
	explicit_bzero(&tree, sizeof(tree));
}

#include "ledger/ledger_priv.h"

static struct nx_block *block_free(struct nx_block *block)
{
	if (block)
		nx_buf_done(&block->data);
	free(block);
	return NULL;
}

void nx_tail_done(struct nx_tail *tail)
{
	for (size_t i = 0; i < tail->n; i++)
		(void)block_free(tail->blocks[i]);
	free(tail->blocks);
	*tail = (struct nx_tail){0};
}

static bool block_push(struct nx_tail *tail)
{
	struct nx_block *block;

	if (tail->n == tail->cap) {
		size_t cap = tail->cap ? 2 * tail->cap : 16;
		struct nx_block **blocks =
			reallocarray(tail->blocks, cap, sizeof(struct nx_block *));

		if (!blocks)
			return false;
		tail->blocks = blocks;
		tail->cap = cap;
	}
	block = calloc(1, sizeof(*block));
	if (!block)
		return false;
	nx_buf_init(&block->data, BUNDLE_MAX, 0);
	tail->blocks[tail->n++] = block;
	return true;
}

nx_rc nx_tail_append(struct nx_tail *tail, struct nx_slice entry, struct nx_err *err)
{
	uint64_t number = tail->size / TILE_WIDTH;
	struct nx_block *block;

	if (entry.n > ENTRY_MAX)
		return nx_err_set(err, NX_E_LIMIT, "ledger entry of %zu bytes", entry.n);
	if (tail->n == 0)
		tail->first = number;
	if (number - tail->first == tail->n && !block_push(tail))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a ledger bundle");
	block = tail->blocks[number - tail->first];
	if (!nx_buf_reserve(&block->data, entry.n + 2))
		return nx_buf_check(&block->data, err);
	nx_buf_put_u16be(&block->data, (uint16_t)entry.n);
	nx_buf_put_slice(&block->data, entry);
	block->end[block->n++] = (uint32_t)block->data.len;
	tail->size++;
	return NX_OK;
}

void nx_tail_truncate(struct nx_tail *tail, uint64_t size)
{
	while (tail->size > size) {
		struct nx_block *block = tail->blocks[tail->n - 1];
		uint64_t start = (tail->first + tail->n - 1) * TILE_WIDTH;

		if (size <= start) {
			tail->size = start;
			tail->blocks[--tail->n] = block_free(block);
			continue;
		}
		tail->size = size;
		block->n = (unsigned)(size - start);
		block->data.len = block->end[block->n - 1];
		block->data.failed = NX_OK;
	}
}

void nx_tail_drop(struct nx_tail *tail, uint64_t durable)
{
	size_t n = 0;

	while (n < tail->n && (tail->first + n + 1) * TILE_WIDTH <= durable) {
		tail->blocks[n] = block_free(tail->blocks[n]);
		n++;
	}
	tail->n -= n;
	tail->first += n;
	if (n)
		memmove(tail->blocks, tail->blocks + n, tail->n * sizeof(struct nx_block *));
}

static const struct nx_block *block_at(const struct nx_tail *tail, uint64_t number)
{
	if (number < tail->first || number - tail->first >= tail->n)
		return NULL;
	return tail->blocks[number - tail->first];
}

bool nx_tail_bundle(
	const struct nx_tail *tail, uint64_t number, unsigned n, struct nx_slice *ret_bytes)
{
	const struct nx_block *block = block_at(tail, number);

	if (!block || n > block->n)
		return false;
	*ret_bytes = nx_slice(block->data.data, n ? block->end[n - 1] : 0);
	return true;
}

bool nx_tail_entry(const struct nx_tail *tail, uint64_t index, struct nx_slice *ret)
{
	const struct nx_block *block = block_at(tail, index / TILE_WIDTH);
	unsigned i = (unsigned)(index % TILE_WIDTH);
	size_t start;

	if (!block || i >= block->n)
		return false;
	start = (i ? block->end[i - 1] : 0) + 2u;
	*ret = nx_slice(block->data.data + start, block->end[i] - start);
	return true;
}

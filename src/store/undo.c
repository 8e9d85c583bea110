#include "store/undo_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

enum {
	BLOCK = NX_PACK_ALIGN /* written as a whole or not at all */
};

struct nx_undo_write {
	nx_pack_id pack;
	uint64_t off;
	size_t n;
	uint64_t old_size;
	uint8_t *old;
};

void nx_undo_clear(struct nx_undo *undo)
{
	for (size_t i = 0; i < undo->n; i++)
		free(undo->writes[i].old);
	free(undo->writes);
	*undo = (struct nx_undo){0};
}

nx_rc nx_undo_add(struct nx_undo *undo, nx_pack_id pack, uint64_t off, size_t n, uint64_t old_size,
	uint8_t **ret_old, struct nx_err *err)
{
	NX_AUTO_MEM uint8_t *old = calloc(1, n);

	if (undo->n == undo->cap) {
		size_t cap = undo->cap ? 2 * undo->cap : 64;
		struct nx_undo_write *writes = reallocarray(undo->writes, cap, sizeof(*writes));

		if (!writes)
			return nx_err_set(err, NX_E_NOMEM, "no memory for unsynced writes");
		undo->writes = writes;
		undo->cap = cap;
	}
	if (!old)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an unsynced write");
	*ret_old = old;
	undo->writes[undo->n++] = (struct nx_undo_write){pack, off, n, old_size, NX_STEAL(old)};
	return NX_OK;
}

void nx_undo_forget(struct nx_undo *undo, nx_pack_id pack)
{
	size_t kept = 0;

	for (size_t i = 0; i < undo->n; i++) {
		if (undo->writes[i].pack == pack)
			free(undo->writes[i].old);
		else
			undo->writes[kept++] = undo->writes[i];
	}
	undo->n = kept;
}

/* splitmix64 (Steele, Lea, Flood 2014): tests repeat from a printed seed. */
static uint64_t dice(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static bool covers(const struct nx_undo_write *w, nx_pack_id pack, uint64_t off)
{
	return w->pack == pack && off >= w->off && off - w->off < w->n;
}

/* Is write `at` the first that touches this block (`off`), or this pack (`off` NULL)? */
static bool is_first(const struct nx_undo *undo, size_t at, const uint64_t *off)
{
	nx_pack_id pack = undo->writes[at].pack;

	for (size_t i = 0; i < at; i++) {
		if (off ? covers(&undo->writes[i], pack, *off) : undo->writes[i].pack == pack)
			return false;
	}
	return true;
}

/* Of k writes to a block, k contents were replaced and one is there: all k + 1 are as likely. */
static nx_rc cut_block(const struct nx_undo *undo, size_t first, uint64_t off, uint64_t *rng,
	const struct nx_undo_target *target, uint64_t *ret_end, struct nx_err *err)
{
	nx_pack_id pack = undo->writes[first].pack;
	uint64_t k = 0;
	uint64_t chosen;

	for (size_t i = first; i < undo->n; i++)
		k += covers(&undo->writes[i], pack, off);
	chosen = dice(rng) % (k + 1);
	if (chosen > 0 && *ret_end < off + BLOCK)
		*ret_end = off + BLOCK;
	for (size_t i = first; i < undo->n && chosen < k; i++) {
		const struct nx_undo_write *w = &undo->writes[i];

		if (covers(w, pack, off) && chosen-- == 0)
			return target->put(
				target->payload, pack, off, w->old + (off - w->off), BLOCK, err);
	}
	return NX_OK;
}

static nx_rc cut_pack(const struct nx_undo *undo, size_t first, uint64_t *rng,
	const struct nx_undo_target *target, struct nx_err *err)
{
	nx_pack_id pack = undo->writes[first].pack;
	uint64_t end = undo->writes[first].old_size;
	uint64_t full;
	nx_rc rc = target->size(target->payload, pack, &full, err);

	for (size_t i = first; i < undo->n && !rc; i++) {
		const struct nx_undo_write *w = &undo->writes[i];

		for (uint64_t off = w->off; w->pack == pack && off < w->off + w->n && !rc;
			off += BLOCK) {
			if (is_first(undo, i, &off))
				rc = cut_block(undo, i, off, rng, target, &end, err);
		}
	}
	if (rc)
		return rc;
	/* The length is metadata: it may have become durable before the data that it covers. */
	return target->truncate(target->payload, pack, dice(rng) % 4 ? end : full, err);
}

nx_rc nx_undo_cut(struct nx_undo *undo, uint64_t seed, const struct nx_undo_target *target,
	struct nx_err *err)
{
	uint64_t rng = seed;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < undo->n && !rc; i++) {
		if (is_first(undo, i, NULL))
			rc = cut_pack(undo, i, &rng, target, err);
	}
	nx_undo_clear(undo);
	return rc;
}

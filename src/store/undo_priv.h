/*
 * undo_priv.h - what unsynced writes replaced, so that a power cut can be played.
 *
 * Layer:   2 (store).  For the test drivers.
 * Threads: the caller's lock.
 * PHI:     none.
 */
#ifndef NX_STORE_UNDO_PRIV_H
#define NX_STORE_UNDO_PRIV_H

#include "store/pool.h"

struct nx_undo_write;

/* Zeroed is empty.  Oldest write first. */
struct nx_undo {
	struct nx_undo_write *writes;
	size_t n;
	size_t cap;
};

void nx_undo_clear(struct nx_undo *undo);

/* Record a write of `n` bytes at `off` to a pack that is `old_size` long; *ret_old gets the zeroed
 * buffer, owned by `undo`, that the caller fills with what is there now. */
NX_NODISCARD nx_rc nx_undo_add(struct nx_undo *undo, nx_pack_id pack, uint64_t off, size_t n,
	uint64_t old_size, uint8_t **ret_old, struct nx_err *err);

/* The writes to `pack` are durable, or the pack is gone. */
void nx_undo_forget(struct nx_undo *undo, nx_pack_id pack);

/* How a cut changes what is stored. */
struct nx_undo_target {
	void *payload;
	nx_rc (*size)(void *payload, nx_pack_id pack, uint64_t *ret, struct nx_err *err);
	nx_rc (*put)(void *payload, nx_pack_id pack, uint64_t off, const uint8_t *p, size_t n,
		struct nx_err *err);
	nx_rc (*truncate)(void *payload, nx_pack_id pack, uint64_t size, struct nx_err *err);
};

/* Give every block written since its pack's last sync one of the contents it had since then, and
 * every pack a length that goes with them; forget all. */
NX_NODISCARD nx_rc nx_undo_cut(struct nx_undo *undo, uint64_t seed,
	const struct nx_undo_target *target, struct nx_err *err);

#endif

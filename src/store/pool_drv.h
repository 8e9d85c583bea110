/*
 * pool_drv.h - what a pool driver implements, and the controls of the test drivers.
 *
 * Layer:   2 (store).  For src/store and tests.
 * Threads: every operation but open and close may be called from many threads at once.
 * PHI:     none.
 */
#ifndef NX_STORE_POOL_DRV_H
#define NX_STORE_POOL_DRV_H

#include "store/pool.h"

/*
 * The front end has checked, before any call: pack > 0; alignment of writes; off + length within
 * NX_POOL_OFF_MAX; lengths > 0; that the cap of an optional operation is set.
 */
struct nx_pool_ops {
	const char *scheme;
	/* Required.  `rest` is the URI after "scheme:".  Sets ops and caps of *ret_pool, which it
	 * sets only on NX_OK. */
	nx_rc (*open)(const char *rest, struct nx_pool **ret_pool, struct nx_err *err);
	/* Required.  Never fails; called once, with no other call in flight. */
	void (*close)(struct nx_pool *pool);
	/* Required.  An empty pack whose directory entry is durable.  NX_E_EXISTS; after any other
	 * failure the pack may be there or not. */
	nx_rc (*create)(struct nx_pool *pool, nx_pack_id pack, struct nx_err *err);
	/* Required.  All of it is written on NX_OK; after a failure any part of the range may be.
	 * NX_E_NOENT; NX_E_IO for ever once a sync of the pack has failed. */
	nx_rc (*write)(struct nx_pool *pool, nx_pack_id pack, uint64_t off, const struct iovec *iov,
		size_t n, struct nx_err *err);
	/* Optional, all four or none: without them, and where *ret_stream stays NULL on NX_OK,
	 * writes of a stream are done on the spot.  stream_write fails like write, or the next wait
	 * does for it; stream_free waits. */
	nx_rc (*stream_new)(
		struct nx_pool *pool, nx_pack_id pack, void **ret_stream, struct nx_err *err);
	nx_rc (*stream_write)(
		void *stream, uint64_t off, const void *p, size_t n, struct nx_err *err);
	nx_rc (*stream_wait)(void *stream, struct nx_err *err);
	void (*stream_free)(struct nx_pool *pool, void *stream);
	/* Optional: without it, write and sync.  As write, and durable on NX_OK; after a failure as
	 * after a failed sync. */
	nx_rc (*write_through)(struct nx_pool *pool, nx_pack_id pack, uint64_t off,
		const struct iovec *iov, size_t n, struct nx_err *err);
	/* Optional: without it, write_through and then sync.  Both side by side; `others` is
	 * ascending without repetition, n_others > 0, and does not have that pack. */
	nx_rc (*write_commit)(struct nx_pool *pool, const struct nx_pack_write *write,
		const nx_pack_id *others, size_t n_others, struct nx_err *err);
	/* Required.  `packs` is ascending without repetition, n > 0.  Idempotent while it succeeds;
	 * NX_E_IO for ever for a pack whose sync has failed. */
	nx_rc (*sync)(struct nx_pool *pool, const nx_pack_id *packs, size_t n, struct nx_err *err);
	/* Optional: the front end then says NX_E_UNSUPPORTED.  Durable zeros on NX_OK. */
	nx_rc (*reserve)(struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n,
		struct nx_err *err);
	/* Required.  All n bytes on NX_OK.  NX_E_SHORT past the end, NX_E_NOENT. */
	nx_rc (*read)(struct nx_pool *pool, nx_pack_id pack, uint64_t off, void *p, size_t n,
		struct nx_err *err);
	/* Optional.  A hint; failures are nobody's business. */
	void (*prefetch)(struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n);
	/* Required.  The end of the last range written.  NX_E_NOENT. */
	nx_rc (*size)(
		struct nx_pool *pool, nx_pack_id pack, uint64_t *ret_size, struct nx_err *err);
	/* Required.  Durable; readers in flight finish or fail with NX_E_NOENT.  NX_E_NOENT. */
	nx_rc (*remove)(struct nx_pool *pool, nx_pack_id pack, struct nx_err *err);
	/* Required with NX_POOL_DISCARD.  Keeps the size; idempotent. */
	nx_rc (*discard)(struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n,
		struct nx_err *err);
	/* Required.  In any order; the caller frees *ret, which is NULL for none. */
	nx_rc (*list)(struct nx_pool *pool, nx_pack_id **ret, size_t *ret_n, struct nx_err *err);
	/* Required with NX_POOL_LOCAL.  An absolute path and its NUL, or NX_E_LIMIT. */
	nx_rc (*path)(
		struct nx_pool *pool, nx_pack_id pack, char *ret, size_t cap, struct nx_err *err);
	/* Optional: without it the medium does not say. */
	nx_rc (*free_bytes)(struct nx_pool *pool, uint64_t *ret, struct nx_err *err);
};

/* First member of every driver's own struct. */
struct nx_pool {
	uint32_t magic; /* the front end's */
	uint32_t caps;
	const struct nx_pool_ops *ops;
};

/* No file system of ours ends later; keeps sums of offsets and lengths from overflowing. */
#define NX_POOL_OFF_MAX (1ull << 62)

extern const struct nx_pool_ops nx_pool_drv_dir;
extern const struct nx_pool_ops nx_pool_drv_mem;
extern const struct nx_pool_ops nx_pool_drv_fault;

/* A growing list of pack ids, for list operations. */
struct nx_pack_list {
	nx_pack_id *ids;
	size_t n;
	size_t cap;
};
NX_NODISCARD bool nx_pack_list_add(struct nx_pack_list *list, nx_pack_id pack);

/*
 * Power cut over a "mem:" pool: of what was written and not synced, every 4 KiB block keeps, by the
 * dice of `seed`, any of the contents it had since its last sync: lost, torn and reordered writes.
 */
void nx_pool_mem_crash(struct nx_pool *pool, uint64_t seed);

/* What a "fault:" pool may fail. */
enum nx_fault_kind {
	NX_FAULT_CREATE = 1,
	NX_FAULT_WRITE = 2,
	NX_FAULT_SYNC = 4,
	NX_FAULT_READ = 8,
	NX_FAULT_ANY = 15,
};

struct nx_fault {
	uint32_t kinds; /* of these calls, counted together from the time of arming, */
	uint64_t nth;   /* this one fails (1 is the next) */
	bool forever;   /* and every later one */
	bool applied;   /* the call takes effect all the same: an answer lost, not a request */
	nx_rc rc;
};

/* One fault at a time; NULL disarms. */
void nx_pool_fault_arm(struct nx_pool *pool, const struct nx_fault *fault);
/* Calls of these kinds since open, failed ones included. */
uint64_t nx_pool_fault_count(struct nx_pool *pool, uint32_t kinds);
/* With `on`, syncs say yes and do nothing: what a power-cut test must be able to catch. */
void nx_pool_fault_nosync(struct nx_pool *pool, bool on);
/* The same cut as nx_pool_mem_crash(), over "fault:mem:" or a pool of local files.  Disarms: the
 * machine is up again. */
NX_NODISCARD nx_rc nx_pool_fault_powercut(struct nx_pool *pool, uint64_t seed, struct nx_err *err);

#endif

/*
 * pool.h - one place where packs rest: a front end over the drivers `dir`, `mem` and `fault`.
 *
 * Layer:   2 (store).  Uses base.
 * Threads: a struct nx_pool may be shared between threads; one pack has one writer at a time.
 * PHI:     none; every byte is ciphertext at this layer.
 */
#ifndef NX_STORE_POOL_H
#define NX_STORE_POOL_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"

struct iovec;
struct nx_pool;

typedef uint64_t nx_pack_id; /* > 0; never used twice in a site */

enum nx_pool_caps {
	NX_POOL_DIRECT = 1,  /* writes go past the page cache */
	NX_POOL_DISCARD = 2, /* nx_pool_discard() gives space back */
	NX_POOL_LOCAL = 4,   /* nx_pool_path() names a file that a reader on this host may open */
};

/* "dir:/srv/narthex/hot", "mem:", "fault:<inner uri>".  The caller owns *ret_pool. */
NX_NODISCARD nx_rc nx_pool_open(const char *uri, struct nx_pool **ret_pool, struct nx_err *err);
struct nx_pool *nx_pool_free(struct nx_pool *pool);
NX_DEFINE_AUTO(nx_pool);
uint32_t nx_pool_caps(const struct nx_pool *pool);

/* A new, empty pack; its directory entry is durable on return.  NX_E_EXISTS. */
NX_NODISCARD nx_rc nx_pool_create(struct nx_pool *pool, nx_pack_id pack, struct nx_err *err);

/*
 * Write at `off`; off, every length and every buffer are multiples of NX_PACK_ALIGN.  Several
 * threads may write disjoint ranges of one pack.  Not durable until nx_pool_sync().  Ranges never
 * written read as zeros.
 */
NX_NODISCARD nx_rc nx_pool_write(struct nx_pool *pool, nx_pack_id pack, uint64_t off,
	const struct iovec *iov, size_t n, struct nx_err *err);

/*
 * Writes to one pack that go on while the caller fills the next buffer (io_uring where there is
 * one).  One thread at a time; several streams may write disjoint ranges of one pack.  A buffer is
 * left alone, and not given back, until a wait or the end of the stream; an error may come with a
 * later call, at the latest with the wait.  Not durable until nx_pool_sync(), which is called after
 * the wait.
 */
struct nx_pool_stream;
NX_NODISCARD nx_rc nx_pool_stream_new(struct nx_pool *pool, nx_pack_id pack,
	struct nx_pool_stream **ret_stream, struct nx_err *err);
/* Offset, length and buffer as for nx_pool_write(). */
NX_NODISCARD nx_rc nx_pool_stream_write(
	struct nx_pool_stream *stream, uint64_t off, const void *p, size_t n, struct nx_err *err);
/* All of it is written on NX_OK. */
NX_NODISCARD nx_rc nx_pool_stream_wait(struct nx_pool_stream *stream, struct nx_err *err);
/* What is in flight ends first. */
struct nx_pool_stream *nx_pool_stream_free(struct nx_pool_stream *stream);

/* nx_pool_write(), and these bytes are durable on NX_OK; earlier writes to the pack need not be.
 * Cheapest where the range was written before (zeros will do).  A failure is like that of
 * nx_pool_sync(). */
NX_NODISCARD nx_rc nx_pool_write_through(struct nx_pool *pool, nx_pack_id pack, uint64_t off,
	const struct iovec *iov, size_t n, struct nx_err *err);

/* A write-through and a sync of `n_others` other packs, side by side: all of it is
 * durable on NX_OK.  There is no order between them: whoever reads the written bytes after a power
 * cut must be able to tell whether the others' are there.  After a failure the state of all these
 * packs is that after a failed nx_pool_sync(). */
struct nx_pack_write {
	nx_pack_id pack;
	uint64_t off;
	const struct iovec *iov;
	size_t n;
};
NX_NODISCARD nx_rc nx_pool_write_commit(struct nx_pool *pool, const struct nx_pack_write *write,
	const nx_pack_id *others, size_t n_others, struct nx_err *err);

/* Every write to these packs that returned before this call is durable on NX_OK; the packs are
 * synced in parallel. After a failure the state of what was not yet synced is unknown: the caller
 * seals the packs, and never calls again for them. */
NX_NODISCARD nx_rc nx_pool_sync(
	struct nx_pool *pool, const nx_pack_id *packs, size_t n, struct nx_err *err);

/* Make [off, off + n), past everything written so far, durable zeros, so that
 * nx_pool_write_through() there is cheap.  Multiples of NX_PACK_ALIGN.  NX_E_UNSUPPORTED where that
 * gains nothing. */
NX_NODISCARD nx_rc nx_pool_reserve(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n, struct nx_err *err);

/* Exactly `n` bytes, any alignment.  Past the end of the pack is NX_E_SHORT, no such pack
 * NX_E_NOENT. */
NX_NODISCARD nx_rc nx_pool_read(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, void *p, size_t n, struct nx_err *err);
/* A hint that these bytes are wanted soon; may do nothing. */
void nx_pool_prefetch(struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n);

NX_NODISCARD nx_rc nx_pool_size(
	struct nx_pool *pool, nx_pack_id pack, uint64_t *ret_size, struct nx_err *err);
NX_NODISCARD nx_rc nx_pool_remove(struct nx_pool *pool, nx_pack_id pack, struct nx_err *err);
/* The range reads as zeros from now on and holds no space; NX_E_UNSUPPORTED without
 * NX_POOL_DISCARD. */
NX_NODISCARD nx_rc nx_pool_discard(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n, struct nx_err *err);
/* Every pack there is, in ascending order. */
NX_NODISCARD nx_rc nx_pool_list(struct nx_pool *pool, nx_rc (*fn)(void *payload, nx_pack_id pack),
	void *payload, struct nx_err *err);
/* Local file of a pack (NX_POOL_LOCAL), for the loader. */
NX_NODISCARD nx_rc nx_pool_path(
	struct nx_pool *pool, nx_pack_id pack, char *ret, size_t cap, struct nx_err *err);
/* Free bytes left for new packs; UINT64_MAX when the medium does not say. */
NX_NODISCARD nx_rc nx_pool_free_bytes(struct nx_pool *pool, uint64_t *ret, struct nx_err *err);

/* Page-aligned buffers for nx_pool_write(): reused, because fresh memory is dear.  NULL without
 * memory. */
void *nx_aligned_get(size_t n);
void nx_aligned_put(void *p, size_t n);

#endif

/*
 * dir_priv.h - the parts of the dir driver: a bounded cache of open packs, and their I/O.
 *
 * Layer:   2 (store).  For drv_dir.c, dir_file.c, dir_io.c.
 * Threads: safe where not said otherwise.
 * PHI:     none.
 */
#ifndef NX_STORE_DIR_PRIV_H
#define NX_STORE_DIR_PRIV_H

#include <liburing.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "store/pool_drv.h"

enum {
	DIR_NAME_LEN = 2 + 1 + 16 + 4, /* "ab/abcdef0123456789.nxp" */
	DIR_FANOUT = 256,
};

/*
 * An open pack.  Two descriptors: reads want the page cache where it helps, writes never do.  It
 * stays open while used, while it has unsynced writes (an error of theirs is reported to the
 * descriptors that are open then), and for ever once it has failed (so that this is not forgotten).
 */
struct dir_file {
	nx_pack_id id;
	int fd;
	int direct_fd; /* -1: the file system refuses O_DIRECT */
	atomic_bool dirty;
	atomic_bool failed;
	/* Held across fdatasync: the kernel reports an error once per descriptor, so a second sync
	 * at the same time would see success.  Taken in ascending order of id. */
	pthread_mutex_t sync_lock;
	unsigned refs;                /* under dir_pool.lock, like all below */
	bool gone;                    /* removed: closed by its last user */
	struct dir_file *prev, *next; /* least recently used first */
};

struct dir_pool {
	struct nx_pool base;
	char root[PATH_MAX];
	int root_fd;
	int lock_fd; /* two that write would number groups and packs alike */
	bool direct;
	pthread_mutex_t lock; /* guards files, lru, n_files */
	struct nx_map *files;
	struct dir_file lru; /* head of the ring */
	size_t n_files;
	pthread_mutex_t create_lock; /* guards subdirs */
	bool subdirs[DIR_FANOUT];    /* made and their entry durable */
	pthread_mutex_t ring_lock;   /* guards ring, ring_ok */
	struct io_uring ring;
	bool has_ring; /* made at open; without it packs are synced one after the other */
	bool ring_ok;  /* false once it has failed */
	struct dir_stream *streams; /* idle ones; under lock, like the next */
	size_t n_idle;
	size_t n_streams; /* all there are */
};

/* "ab/abcdef0123456789.nxp" */
void nx_dir_name(nx_pack_id pack, char ret[DIR_NAME_LEN + 1]);

/* Borrow the open pack; NX_E_NOENT. */
NX_NODISCARD nx_rc nx_dir_file_get(
	struct dir_pool *dir, nx_pack_id pack, struct dir_file **ret, struct nx_err *err);
void nx_dir_file_put(struct dir_pool *dir, struct dir_file *file);
/* The pack is removed: nobody finds it open again. */
void nx_dir_file_forget(struct dir_pool *dir, nx_pack_id pack);
/* At close, with no call in flight. */
void nx_dir_files_done(struct dir_pool *dir);

/* For what writes to an open pack. */
int nx_dir_write_fd(const struct dir_file *file);
/* NX_E_IO once a sync of it has failed. */
NX_NODISCARD nx_rc nx_dir_file_check(const struct dir_file *file, struct nx_err *err);
NX_NODISCARD nx_rc nx_dir_file_write(
	struct dir_file *file, uint64_t off, const struct iovec *iov, size_t n, struct nx_err *err);

/* dir_stream.c */
NX_NODISCARD nx_rc nx_dir_stream_new(
	struct nx_pool *pool, nx_pack_id pack, void **ret_stream, struct nx_err *err);
NX_NODISCARD nx_rc nx_dir_stream_write(
	void *stream, uint64_t off, const void *p, size_t n, struct nx_err *err);
NX_NODISCARD nx_rc nx_dir_stream_wait(void *stream, struct nx_err *err);
void nx_dir_stream_free(struct nx_pool *pool, void *stream);
/* At close, with none in use. */
void nx_dir_streams_done(struct dir_pool *dir);

NX_NODISCARD nx_rc nx_dir_write(struct nx_pool *pool, nx_pack_id pack, uint64_t off,
	const struct iovec *iov, size_t n, struct nx_err *err);
NX_NODISCARD nx_rc nx_dir_write_through(struct nx_pool *pool, nx_pack_id pack, uint64_t off,
	const struct iovec *iov, size_t n, struct nx_err *err);
NX_NODISCARD nx_rc nx_dir_write_commit(struct nx_pool *pool, const struct nx_pack_write *write,
	const nx_pack_id *others, size_t n_others, struct nx_err *err);
NX_NODISCARD nx_rc nx_dir_reserve(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n, struct nx_err *err);
NX_NODISCARD nx_rc nx_dir_sync(
	struct nx_pool *pool, const nx_pack_id *packs, size_t n, struct nx_err *err);
NX_NODISCARD nx_rc nx_dir_read(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, void *p, size_t n, struct nx_err *err);

#endif

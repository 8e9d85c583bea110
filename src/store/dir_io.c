#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "base/file.h"
#include "base/limits.h"
#include "store/dir_priv.h"

enum {
	WRITE_IOV = 64,  /* buffers of one pwritev */
	SYNC_BATCH = 32, /* packs synced at once */
	/* Reads of this length and more that miss the page cache go round it: a scan must not push
	 * out what clinicians read, and the device is busy enough with one request. */
	DIRECT_READ_MIN = NX_MIB,
	BOUNCE_LEN = 4 * NX_MIB, /* of one read; longer ones go in parts */
	RESERVE_PIECE = 256 * NX_KIB,
};

/* Drop `done` bytes from the front of the vector. */
static void iov_advance(struct iovec **iov, size_t *n, size_t done)
{
	while (*n > 0 && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		(*n)--;
	}
	if (*n > 0) {
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

static nx_rc pwritev_full(
	int fd, struct iovec *iov, size_t n, uint64_t *off, int flags, struct nx_err *err)
{
	while (n > 0) {
		ssize_t put = pwritev2(fd, iov, (int)n, (off_t)*off, flags);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return nx_err_errno(err, "write at %llu", (unsigned long long)*off);
		if (put == 0)
			return nx_err_set(err, NX_E_IO, "write at %llu takes nothing",
				(unsigned long long)*off);
		*off += (uint64_t)put;
		iov_advance(&iov, &n, (size_t)put);
	}
	return NX_OK;
}

static nx_rc write_all(
	int fd, const struct iovec *iov, size_t n, uint64_t off, int flags, struct nx_err *err)
{
	struct iovec part[WRITE_IOV];
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < n && !rc; i += WRITE_IOV) {
		size_t k = n - i < WRITE_IOV ? n - i : WRITE_IOV;

		memcpy(part, iov + i, k * sizeof(*part));
		rc = pwritev_full(fd, part, k, &off, flags, err);
	}
	return rc;
}

nx_rc nx_dir_file_check(const struct dir_file *file, struct nx_err *err)
{
	if (!file->failed)
		return NX_OK;
	return nx_err_set(err, NX_E_IO, "an earlier sync failed, the pack is closed to writes");
}

int nx_dir_write_fd(const struct dir_file *file)
{
	return file->direct_fd >= 0 ? file->direct_fd : file->fd;
}

nx_rc nx_dir_file_write(
	struct dir_file *file, uint64_t off, const struct iovec *iov, size_t n, struct nx_err *err)
{
	nx_rc rc = nx_dir_file_check(file, err);

	if (rc)
		return rc;
	file->dirty = true;
	rc = write_all(nx_dir_write_fd(file), iov, n, off, 0, err);
	/* Again: a sync that began meanwhile has not covered all of it. */
	file->dirty = true;
	return rc;
}

nx_rc nx_dir_write(struct nx_pool *pool, nx_pack_id pack, uint64_t off, const struct iovec *iov,
	size_t n, struct nx_err *err)
{
	struct dir_pool *dir = NX_CONTAINER_OF(pool, struct dir_pool, base);
	struct dir_file *file;
	nx_rc rc = nx_dir_file_get(dir, pack, &file, err);

	if (rc)
		return rc;
	rc = nx_dir_file_write(file, off, iov, n, err);
	nx_dir_file_put(dir, file);
	return rc ? nx_err_prefix(err, rc, "pack %016llx", (unsigned long long)pack) : NX_OK;
}

/* With RWF_DSYNC the device itself makes the blocks durable (FUA): where they were written before,
 * that costs a third of a write and a fdatasync. */
static nx_rc through(
	struct dir_file *file, uint64_t off, const struct iovec *iov, size_t n, struct nx_err *err)
{
	nx_rc rc = nx_dir_file_check(file, err);

	if (rc)
		return rc;
	rc = write_all(nx_dir_write_fd(file), iov, n, off, RWF_DSYNC, err);
	if (rc)
		file->failed = true; /* like a failed sync: what is down is not known */
	return rc;
}

nx_rc nx_dir_write_through(struct nx_pool *pool, nx_pack_id pack, uint64_t off,
	const struct iovec *iov, size_t n, struct nx_err *err)
{
	struct dir_pool *dir = NX_CONTAINER_OF(pool, struct dir_pool, base);
	struct dir_file *file;
	nx_rc rc = nx_dir_file_get(dir, pack, &file, err);

	if (rc)
		return rc;
	rc = through(file, off, iov, n, err);
	nx_dir_file_put(dir, file);
	return rc ? nx_err_prefix(err, rc, "pack %016llx", (unsigned long long)pack) : NX_OK;
}

/* fdatasync of one pack; `res` becomes 0 or a negative errno. */
static void sync_one(const struct dir_file *file, int *res)
{
	do {
		*res = fdatasync(file->fd) < 0 ? -errno : 0;
	} while (*res == -EINTR);
}

/* Hand `n` prepared requests to the kernel; false when it does not take them. */
static bool ring_submit(struct io_uring *ring, size_t n)
{
	size_t sent = 0;

	while (sent < n) {
		int got = io_uring_submit(ring);

		if (got == -EINTR || got == -EAGAIN)
			continue;
		if (got <= 0)
			return false;
		sent += (size_t)got;
	}
	return true;
}

/* All at once by the kernel's workers. */
static void ring_begin(struct dir_pool *dir, struct dir_file *const *files, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&dir->ring);

		assert(sqe); /* the ring has SYNC_BATCH entries and is empty */
		io_uring_prep_fsync(sqe, files[i]->fd, IORING_FSYNC_DATASYNC);
		io_uring_sqe_set_data64(sqe, i);
	}
	dir->ring_ok = ring_submit(&dir->ring, n);
}

/* What the ring did not answer keeps res 1. */
static void ring_end(struct dir_pool *dir, size_t n, int *res)
{
	struct io_uring_cqe *cqe;

	for (size_t left = n; left > 0 && dir->ring_ok;) {
		int got = io_uring_wait_cqe(&dir->ring, &cqe);

		if (got == -EINTR)
			continue;
		dir->ring_ok = got == 0;
		if (got < 0)
			break;
		res[io_uring_cqe_get_data64(cqe)] = cqe->res;
		io_uring_cqe_seen(&dir->ring, cqe);
		left--;
	}
}

/* A write-through that goes beside a sync of other packs. */
struct beside {
	struct dir_file *file;
	uint64_t off;
	const struct iovec *iov;
	size_t n;
	struct nx_err *err;
	nx_rc rc;
};

static void beside_run(struct beside *w)
{
	if (w)
		w->rc = through(w->file, w->off, w->iov, w->n, w->err);
}

static void sync_files(struct dir_pool *dir, struct dir_file *const *files, size_t n,
	struct beside *beside, int *res)
{
	bool ring = n + (beside != NULL) > 1 && pthread_mutex_trylock(&dir->ring_lock) == 0;

	for (size_t i = 0; i < n; i++) {
		files[i]->dirty = false; /* before: a write during the sync sets it again */
		res[i] = 1;
	}
	if (ring && dir->ring_ok && n > 0) {
		ring_begin(dir, files, n);
		beside_run(beside);
		ring_end(dir, n, res);
	} else {
		beside_run(beside);
	}
	if (ring)
		(void)pthread_mutex_unlock(&dir->ring_lock);
	for (size_t i = 0; i < n; i++) {
		if (res[i] == 1 || res[i] == -EINTR)
			sync_one(files[i], &res[i]);
	}
}

/* Sync what has not failed before, remember what fails now.  A pack that nobody wrote to since the
 * last sync began is durable already: of several threads that wait for one pack, one syncs for all.
 * Caller holds the sync locks. */
static nx_rc sync_locked(struct dir_pool *dir, struct dir_file *const *files, size_t n,
	struct beside *beside, struct nx_err *err)
{
	struct dir_file *todo[SYNC_BATCH];
	int res[SYNC_BATCH];
	size_t n_todo = 0;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < n; i++) {
		if (!files[i]->failed && files[i]->dirty)
			todo[n_todo++] = files[i];
		else if (files[i]->failed && !rc)
			rc = nx_err_prefix(err, nx_dir_file_check(files[i], err), "pack %016llx",
				(unsigned long long)files[i]->id);
	}
	sync_files(dir, todo, n_todo, beside, res);
	for (size_t i = 0; i < n_todo; i++) {
		if (res[i] == 0)
			continue;
		todo[i]->failed = true;
		errno = -res[i];
		if (!rc)
			rc = nx_err_errno(
				err, "sync pack %016llx", (unsigned long long)todo[i]->id);
	}
	return rc;
}

static nx_rc sync_batch(struct dir_pool *dir, const nx_pack_id *packs, size_t n,
	struct beside *beside, struct nx_err *err)
{
	struct dir_file *files[SYNC_BATCH];
	size_t got = 0;
	nx_rc rc = NX_OK;

	for (; got < n && !rc; got += !rc)
		rc = nx_dir_file_get(dir, packs[got], &files[got], err);
	for (size_t i = 0; i < got; i++)
		(void)pthread_mutex_lock(&files[i]->sync_lock);
	if (!rc)
		rc = sync_locked(dir, files, got, beside, err);
	for (size_t i = 0; i < got; i++) {
		(void)pthread_mutex_unlock(&files[i]->sync_lock);
		nx_dir_file_put(dir, files[i]);
	}
	return rc;
}

nx_rc nx_dir_sync(struct nx_pool *pool, const nx_pack_id *packs, size_t n, struct nx_err *err)
{
	struct dir_pool *dir = NX_CONTAINER_OF(pool, struct dir_pool, base);
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < n && !rc; i += SYNC_BATCH)
		rc = sync_batch(dir, packs + i, n - i < SYNC_BATCH ? n - i : SYNC_BATCH, NULL, err);
	return rc;
}

nx_rc nx_dir_write_commit(struct nx_pool *pool, const struct nx_pack_write *write,
	const nx_pack_id *others, size_t n_others, struct nx_err *err)
{
	struct dir_pool *dir = NX_CONTAINER_OF(pool, struct dir_pool, base);
	size_t first = n_others < SYNC_BATCH ? n_others : SYNC_BATCH;
	struct nx_err write_err = {.rc = NX_OK};
	struct beside beside = {
		.off = write->off, .iov = write->iov, .n = write->n, .err = &write_err};
	nx_rc rc = nx_dir_file_get(dir, write->pack, &beside.file, err);

	if (rc)
		return rc;
	rc = sync_batch(dir, others, first, &beside, err);
	nx_dir_file_put(dir, beside.file);
	if (!rc && beside.rc) {
		if (err)
			*err = write_err;
		return nx_err_prefix(
			err, beside.rc, "pack %016llx", (unsigned long long)write->pack);
	}
	return rc ? rc : nx_dir_sync(pool, others + first, n_others - first, err);
}

/*
 * Are all these pages in the page cache?  Asking with preadv2(RWF_NOWAIT) would start readahead for
 * those that are not, and the read past the cache would then fetch them a second time: half the
 * rate.  n <= BOUNCE_LEN.
 */
static bool cached(int fd, uint64_t off, size_t n)
{
	unsigned char pages[BOUNCE_LEN / NX_PACK_ALIGN + 1];
	uint64_t begin = off - off % NX_PACK_ALIGN;
	size_t len = (size_t)(off + n - begin);
	size_t count = (len + NX_PACK_ALIGN - 1) / NX_PACK_ALIGN;
	void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, (off_t)begin);
	bool all = map != MAP_FAILED && mincore(map, len, pages) == 0;

	for (size_t i = 0; i < count && all; i++)
		all = pages[i] & 1;
	if (map != MAP_FAILED)
		(void)munmap(map, len);
	return all;
}

/* At least `need` of the aligned `n` bytes at `off`; the file may end after `need`. */
static nx_rc direct_full(
	int fd, uint8_t *p, size_t n, size_t need, uint64_t off, struct nx_err *err)
{
	size_t done = 0;

	while (done < need) {
		const uint64_t at = off + done;
		ssize_t got = pread(fd, p + done, n - done, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return nx_err_errno(err, "read at %llu", (unsigned long long)at);
		/* An unaligned end is the end of the file: the rest cannot be asked for. */
		if (got == 0 || (done + (size_t)got < need && got % NX_PACK_ALIGN != 0))
			return nx_err_set(
				err, NX_E_SHORT, "file ends after %llu", (unsigned long long)at);
		done += (size_t)got;
	}
	return NX_OK;
}

static bool aligned(const uint8_t *p, uint64_t off, size_t n)
{
	return (uintptr_t)p % NX_PACK_ALIGN == 0 && off % NX_PACK_ALIGN == 0 &&
		n % NX_PACK_ALIGN == 0;
}

/* Past the page cache, through an aligned buffer where the range is not.  n <= BOUNCE_LEN. */
static nx_rc read_direct(int fd, uint8_t *p, size_t n, uint64_t off, struct nx_err *err)
{
	size_t skip = off % NX_PACK_ALIGN;
	size_t span = (skip + n + NX_PACK_ALIGN - 1) / NX_PACK_ALIGN * NX_PACK_ALIGN;
	uint8_t *bounce;
	nx_rc rc;

	if (aligned(p, off, n))
		return direct_full(fd, p, n, n, off, err);
	bounce = nx_aligned_get(span);
	if (!bounce)
		return nx_err_set(err, NX_E_NOMEM, "no memory to read %zu bytes", n);
	rc = direct_full(fd, bounce, span, skip + n, off - skip, err);
	if (!rc)
		memcpy(p, bounce + skip, n);
	nx_aligned_put(bounce, span);
	return rc;
}

static nx_rc read_part(
	const struct dir_file *file, uint8_t *p, size_t n, uint64_t off, struct nx_err *err)
{
	if (file->direct_fd < 0 || n < DIRECT_READ_MIN || cached(file->fd, off, n))
		return nx_pread_full(file->fd, p, n, off, err);
	return read_direct(file->direct_fd, p, n, off, err);
}

nx_rc nx_dir_read(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, void *p, size_t n, struct nx_err *err)
{
	struct dir_pool *dir = NX_CONTAINER_OF(pool, struct dir_pool, base);
	struct dir_file *file;
	uint8_t *to = p;
	nx_rc rc = nx_dir_file_get(dir, pack, &file, err);

	if (rc)
		return rc;
	while (n > 0 && !rc) {
		size_t part = n < BOUNCE_LEN ? n : BOUNCE_LEN;

		rc = read_part(file, to, part, off, err);
		to += part;
		off += part;
		n -= part;
	}
	nx_dir_file_put(dir, file);
	return rc ? nx_err_prefix(err, rc, "pack %016llx", (unsigned long long)pack) : NX_OK;
}

/* Real zeros: space that is only allocated would still change the file's metadata when written. */
nx_rc nx_dir_reserve(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n, struct nx_err *err)
{
	struct dir_pool *dir = NX_CONTAINER_OF(pool, struct dir_pool, base);
	uint8_t *zeros = dir->direct ? nx_aligned_get(RESERVE_PIECE) : NULL;
	nx_rc rc = NX_OK;

	if (!zeros)
		return nx_err_set(err, dir->direct ? NX_E_NOMEM : NX_E_UNSUPPORTED,
			"no zeros ahead in pack %016llx", (unsigned long long)pack);
	memset(zeros, 0, RESERVE_PIECE);
	for (uint64_t at = 0; at < n && !rc; at += RESERVE_PIECE) {
		uint64_t left = n - at;
		struct iovec iov = {zeros, left < RESERVE_PIECE ? (size_t)left : RESERVE_PIECE};

		rc = nx_dir_write(pool, pack, off + at, &iov, 1, err);
	}
	nx_aligned_put(zeros, RESERVE_PIECE);
	return rc ? rc : nx_dir_sync(pool, &pack, 1, err);
}

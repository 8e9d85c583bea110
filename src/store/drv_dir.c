#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/enc.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/map.h"
#include "store/dir_priv.h"

enum {
	RING_DEPTH = 64, /* at least dir_io.c's SYNC_BATCH */
};

static struct dir_pool *dir_of(struct nx_pool *pool)
{
	return NX_CONTAINER_OF(pool, struct dir_pool, base);
}

/* One block written past the cache and a hole punched into it tell what the file system can. */
static nx_rc probe(struct dir_pool *dir, struct nx_err *err)
{
	NX_AUTO_FD fd = openat(dir->root_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	NX_AUTO_FD direct_fd = -1;
	char path[64];
	void *block;

	if (fd < 0)
		return nx_err_errno(err, "make a file in %s", dir->root);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	direct_fd = open(path, O_RDWR | O_CLOEXEC | O_DIRECT);
	block = nx_aligned_get(NX_PACK_ALIGN);
	if (!block)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a block");
	memset(block, 0, NX_PACK_ALIGN);
	dir->direct = direct_fd >= 0 && pwrite(direct_fd, block, NX_PACK_ALIGN, 0) == NX_PACK_ALIGN;
	nx_aligned_put(block, NX_PACK_ALIGN);
	dir->base.caps = NX_POOL_LOCAL;
	if (dir->direct)
		dir->base.caps |= NX_POOL_DIRECT;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, NX_PACK_ALIGN) == 0)
		dir->base.caps |= NX_POOL_DISCARD;
	return NX_OK;
}

/* The root is made where absent, and its own entry is durable. */
static nx_rc root_open(struct dir_pool *dir, const char *path, struct nx_err *err)
{
	NX_AUTO_FD parent = -1;
	nx_rc rc = nx_mkdirs(path, err);

	if (rc)
		return rc;
	if (!realpath(path, dir->root))
		return nx_err_errno(err, "find pool directory");
	dir->root_fd = open(dir->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir->root_fd < 0)
		return nx_err_errno(err, "open %s", dir->root);
	rc = nx_dir_hold(dir->root_fd, &dir->lock_fd, err);
	if (rc)
		return rc;
	parent = openat(dir->root_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0 || fsync(parent) < 0)
		return nx_err_errno(err, "sync parent of %s", dir->root);
	return probe(dir, err);
}

static void dir_close(struct nx_pool *pool)
{
	struct dir_pool *dir = dir_of(pool);

	nx_dir_streams_done(dir);
	if (dir->files)
		nx_dir_files_done(dir);
	nx_map_free(dir->files);
	if (dir->has_ring)
		io_uring_queue_exit(&dir->ring);
	nx_fd_auto_(&dir->lock_fd);
	nx_fd_auto_(&dir->root_fd);
	(void)pthread_mutex_destroy(&dir->lock);
	(void)pthread_mutex_destroy(&dir->create_lock);
	(void)pthread_mutex_destroy(&dir->ring_lock);
	free(dir);
}

static nx_rc dir_open(const char *rest, struct nx_pool **ret_pool, struct nx_err *err)
{
	struct dir_pool *dir;
	nx_rc rc;

	if (!*rest)
		return nx_err_set(err, NX_E_CONFIG, "dir: needs a path");
	dir = calloc(1, sizeof(*dir));
	if (!dir)
		return nx_err_set(err, NX_E_NOMEM, "no memory for pool");
	dir->base.ops = &nx_pool_drv_dir;
	dir->root_fd = dir->lock_fd = -1;
	dir->lru.prev = dir->lru.next = &dir->lru;
	(void)pthread_mutex_init(&dir->lock, NULL);
	(void)pthread_mutex_init(&dir->create_lock, NULL);
	(void)pthread_mutex_init(&dir->ring_lock, NULL);
	dir->has_ring = io_uring_queue_init(RING_DEPTH, &dir->ring, 0) == 0;
	dir->ring_ok = dir->has_ring;
	dir->files = nx_map_new();
	rc = dir->files ? root_open(dir, rest, err)
			: nx_err_set(err, NX_E_NOMEM, "no memory for pool");
	if (rc) {
		dir_close(&dir->base);
		return rc;
	}
	*ret_pool = &dir->base;
	return NX_OK;
}

/*
 * Open the directory of a pack.  The first time in this process its entry in the root is synced,
 * made by us or not: another process may have died between the two steps.  Caller holds
 * create_lock.
 */
static nx_rc subdir_open(struct dir_pool *dir, unsigned at, int *ret_fd, struct nx_err *err)
{
	NX_AUTO_FD fd = -1;
	char name[3];

	(void)snprintf(name, sizeof(name), "%02x", at);
	if (!dir->subdirs[at] && mkdirat(dir->root_fd, name, 0700) < 0 && errno != EEXIST)
		return nx_err_errno(err, "make directory %s", name);
	fd = openat(dir->root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return nx_err_errno(err, "open directory %s", name);
	if (!dir->subdirs[at] && fsync(dir->root_fd) < 0)
		return nx_err_errno(err, "sync pool directory");
	dir->subdirs[at] = true;
	*ret_fd = NX_STEAL_FD(fd);
	return NX_OK;
}

/* Caller holds create_lock. */
static nx_rc pack_create(struct dir_pool *dir, nx_pack_id pack, struct nx_err *err)
{
	NX_AUTO_FD subdir = -1;
	NX_AUTO_FD fd = -1;
	char name[DIR_NAME_LEN + 1];
	nx_rc rc = subdir_open(dir, (unsigned)(pack >> 56), &subdir, err);

	if (rc)
		return rc;
	nx_dir_name(pack, name);
	fd = openat(dir->root_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return nx_err_errno(err, "create file");
	if (fsync(fd) < 0 || fsync(subdir) < 0)
		return nx_err_errno(err, "sync new file");
	return NX_OK;
}

static nx_rc dir_create(struct nx_pool *pool, nx_pack_id pack, struct nx_err *err)
{
	struct dir_pool *dir = dir_of(pool);
	nx_rc rc;

	(void)pthread_mutex_lock(&dir->create_lock);
	rc = pack_create(dir, pack, err);
	(void)pthread_mutex_unlock(&dir->create_lock);
	return rc ? nx_err_prefix(err, rc, "pack %016llx", (unsigned long long)pack) : NX_OK;
}

static void dir_prefetch(struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n)
{
	struct dir_pool *dir = dir_of(pool);
	struct dir_file *file;

	if (nx_dir_file_get(dir, pack, &file, NULL))
		return;
	(void)posix_fadvise(file->fd, (off_t)off, (off_t)n, POSIX_FADV_WILLNEED);
	nx_dir_file_put(dir, file);
}

static nx_rc dir_size(struct nx_pool *pool, nx_pack_id pack, uint64_t *ret_size, struct nx_err *err)
{
	char name[DIR_NAME_LEN + 1];
	struct stat st;

	nx_dir_name(pack, name);
	if (fstatat(dir_of(pool)->root_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return nx_err_errno(err, "stat pack %016llx", (unsigned long long)pack);
	*ret_size = (uint64_t)st.st_size;
	return NX_OK;
}

static nx_rc dir_remove(struct nx_pool *pool, nx_pack_id pack, struct nx_err *err)
{
	struct dir_pool *dir = dir_of(pool);
	NX_AUTO_FD subdir = -1;
	char name[DIR_NAME_LEN + 1];
	char parent[3] = {0};

	nx_dir_name(pack, name);
	memcpy(parent, name, 2);
	if (unlinkat(dir->root_fd, name, 0) < 0)
		return nx_err_errno(err, "remove pack %016llx", (unsigned long long)pack);
	nx_dir_file_forget(dir, pack);
	subdir = openat(dir->root_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (subdir < 0 || fsync(subdir) < 0)
		return nx_err_errno(err, "sync directory %s", parent);
	return NX_OK;
}

static nx_rc dir_discard(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n, struct nx_err *err)
{
	struct dir_pool *dir = dir_of(pool);
	struct dir_file *file;
	nx_rc rc = nx_dir_file_get(dir, pack, &file, err);

	if (rc)
		return rc;
	if (fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)n) <
		0)
		rc = nx_err_errno(err, "discard in pack %016llx", (unsigned long long)pack);
	nx_dir_file_put(dir, file);
	return rc;
}

/* "abcdef0123456789.nxp" in directory "ab", written as we write it; anything else is not ours. */
static bool pack_parse(const char *name, unsigned at, nx_pack_id *ret)
{
	uint8_t b[8];
	char digits[17];
	nx_pack_id pack = 0;

	if (strlen(name) != 20 || strcmp(name + 16, ".nxp") != 0)
		return false;
	for (size_t i = 0; i < 16; i++) {
		if (isupper((unsigned char)name[i]))
			return false;
		digits[i] = name[i];
	}
	digits[16] = 0;
	if (!nx_hex_parse(digits, b, sizeof(b)))
		return false;
	for (size_t i = 0; i < sizeof(b); i++)
		pack = pack << 8 | b[i];
	*ret = pack;
	return pack > 0 && b[0] == at;
}

static nx_rc list_subdir(DIR *d, unsigned at, struct nx_pack_list *list, struct nx_err *err)
{
	const struct dirent *ent;
	nx_pack_id pack;

	/* NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own */
	for (errno = 0; (ent = readdir(d)) != NULL; errno = 0) {
		if (pack_parse(ent->d_name, at, &pack) && !nx_pack_list_add(list, pack))
			return nx_err_set(err, NX_E_NOMEM, "no memory to list packs");
	}
	return errno ? nx_err_errno(err, "list directory %02x", at) : NX_OK;
}

static nx_rc list_at(
	struct dir_pool *dir, unsigned at, struct nx_pack_list *list, struct nx_err *err)
{
	char name[3];
	DIR *d;
	nx_rc rc;
	int fd;

	(void)snprintf(name, sizeof(name), "%02x", at);
	fd = openat(dir->root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return NX_OK;
	if (fd < 0)
		return nx_err_errno(err, "open directory %s", name);
	d = fdopendir(fd);
	if (!d) {
		rc = nx_err_errno(err, "open directory %s", name);
		(void)close(fd);
		return rc;
	}
	rc = list_subdir(d, at, list, err);
	(void)closedir(d);
	return rc;
}

static nx_rc dir_list(struct nx_pool *pool, nx_pack_id **ret, size_t *ret_n, struct nx_err *err)
{
	struct nx_pack_list list = {0};
	nx_rc rc = NX_OK;

	for (unsigned at = 0; at < DIR_FANOUT && !rc; at++)
		rc = list_at(dir_of(pool), at, &list, err);
	if (rc) {
		free(list.ids);
		return rc;
	}
	*ret = list.ids;
	*ret_n = list.n;
	return NX_OK;
}

static nx_rc dir_path(
	struct nx_pool *pool, nx_pack_id pack, char *ret, size_t cap, struct nx_err *err)
{
	const struct dir_pool *dir = dir_of(pool);
	char name[DIR_NAME_LEN + 1];

	nx_dir_name(pack, name);
	if (strlen(dir->root) + 1 + DIR_NAME_LEN >= cap)
		return nx_err_set(err, NX_E_LIMIT, "path of pack %016llx is longer than %zu",
			(unsigned long long)pack, cap);
	(void)snprintf(ret, cap, "%s/%s", dir->root, name);
	return NX_OK;
}

static nx_rc dir_free_bytes(struct nx_pool *pool, uint64_t *ret, struct nx_err *err)
{
	struct statvfs st;

	if (fstatvfs(dir_of(pool)->root_fd, &st) < 0)
		return nx_err_errno(err, "stat file system");
	*ret = (uint64_t)st.f_bavail * st.f_frsize;
	return NX_OK;
}

const struct nx_pool_ops nx_pool_drv_dir = {
	.scheme = "dir",
	.open = dir_open,
	.close = dir_close,
	.create = dir_create,
	.write = nx_dir_write,
	.stream_new = nx_dir_stream_new,
	.stream_write = nx_dir_stream_write,
	.stream_wait = nx_dir_stream_wait,
	.stream_free = nx_dir_stream_free,
	.write_through = nx_dir_write_through,
	.write_commit = nx_dir_write_commit,
	.reserve = nx_dir_reserve,
	.sync = nx_dir_sync,
	.read = nx_dir_read,
	.prefetch = dir_prefetch,
	.size = dir_size,
	.remove = dir_remove,
	.discard = dir_discard,
	.list = dir_list,
	.path = dir_path,
	.free_bytes = dir_free_bytes,
};

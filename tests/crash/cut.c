#include "cut.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BLOCK = 512
};

struct write_rec { /* one write, and what it replaced */
	struct write_rec *older;
	uint64_t order;
	uint64_t off;
	size_t n;
	uint64_t size; /* of the file, before */
	uint8_t old[];
};

struct file_rec { /* a file with unsynced writes; kept open, so that its inode stays */
	struct file_rec *next;
	dev_t dev;
	ino_t ino;
	int fd;
	struct write_rec *newest;
};

enum dir_verb {
	DIR_CREATE,
	DIR_MKDIR,
	DIR_RENAME,
	DIR_UNLINK,
	DIR_RMDIR
};

struct dir_rec {
	struct dir_rec *older;
	enum dir_verb verb;
	dev_t dev; /* of the directory */
	ino_t ino;
	char path[PATH_MAX];
	char from[PATH_MAX]; /* DIR_RENAME */
	char kept[PATH_MAX]; /* what it replaced or removed, under another name; "" */
};

static struct {
	pthread_mutex_t lock; /* guards everything here */
	bool on;
	bool dead;
	bool nosync;
	uint64_t fuse;
	uint64_t steps;
	uint64_t order;
	void (*on_dead)(void *payload);
	void *payload;
	struct file_rec *files;
	struct dir_rec *dirs;
	uint64_t kept;
} m = {.lock = PTHREAD_MUTEX_INITIALIZER};

ssize_t __real_pwrite64(int fd, const void *p, size_t n, off_t off);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_syncfs(int fd);
int __real_openat64(int dir, const char *path, int flags, mode_t mode);
int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __real_unlinkat(int dir, const char *path, int flags);
int __real_mkdirat(int dir, const char *path, mode_t mode);

ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t off);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_syncfs(int fd);
int __wrap_openat64(int dir, const char *path, int flags, ...);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_unlinkat(int dir, const char *path, int flags);
int __wrap_mkdirat(int dir, const char *path, mode_t mode);

/* ---- steps ---- */

/* Takes the lock where there is power: the caller gives it back. */
static bool enter(void)
{
	void (*fn)(void *payload) = NULL;
	bool alive;

	(void)pthread_mutex_lock(&m.lock);
	if (m.on && !m.dead && ++m.steps == m.fuse) {
		m.dead = true;
		fn = m.on_dead;
	}
	alive = !m.dead;
	if (alive)
		return true;
	(void)pthread_mutex_unlock(&m.lock);
	if (fn)
		fn(m.payload);
	return false;
}

static void leave(void)
{
	(void)pthread_mutex_unlock(&m.lock);
}

bool cut_step(void)
{
	if (!enter())
		return false;
	leave();
	return true;
}

bool cut_dead(void)
{
	bool dead;

	(void)pthread_mutex_lock(&m.lock);
	dead = m.dead;
	leave();
	return dead;
}

uint64_t cut_steps(void)
{
	uint64_t n;

	(void)pthread_mutex_lock(&m.lock);
	n = m.steps;
	leave();
	return n;
}

void cut_now(void)
{
	bool first;

	(void)pthread_mutex_lock(&m.lock);
	first = !m.dead;
	m.dead = true;
	leave();
	if (first && m.on_dead)
		m.on_dead(m.payload);
}

void cut_nosync(bool on)
{
	(void)pthread_mutex_lock(&m.lock);
	m.nosync = on;
	leave();
}

void cut_begin(uint64_t fuse, void (*on_dead)(void *payload), void *payload)
{
	(void)pthread_mutex_lock(&m.lock);
	m.on = true;
	m.dead = false;
	m.fuse = fuse;
	m.steps = 0;
	m.on_dead = on_dead;
	m.payload = payload;
	leave();
}

/* ---- files ---- */

static struct file_rec **file_find(const struct stat *st)
{
	struct file_rec **at = &m.files;

	while (*at && ((*at)->dev != st->st_dev || (*at)->ino != st->st_ino))
		at = &(*at)->next;
	return at;
}

static void writes_drop(struct file_rec *f)
{
	while (f->newest) {
		struct write_rec *older = f->newest->older;

		free(f->newest);
		f->newest = older;
	}
}

/* Caller holds the lock, as for all that follow. */
static void file_forget(struct file_rec **at)
{
	struct file_rec *f = *at;

	writes_drop(f);
	(void)close(f->fd);
	*at = f->next;
	free(f);
}

static struct file_rec *file_get(int fd, const struct stat *st)
{
	struct file_rec **at = file_find(st);
	char path[64];

	if (*at)
		return *at;
	*at = calloc(1, sizeof(**at));
	assert(*at);
	(*at)->dev = st->st_dev;
	(*at)->ino = st->st_ino;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	(*at)->fd = open(path, O_RDWR | O_CLOEXEC);
	assert((*at)->fd >= 0);
	return *at;
}

static void keep(int fd, uint64_t off, size_t n)
{
	struct write_rec *w;
	struct file_rec *f;
	struct stat st;
	ssize_t got;

	if (!m.on || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	f = file_get(fd, &st);
	w = calloc(1, sizeof(*w) + n);
	assert(w);
	w->order = ++m.order;
	w->off = off;
	w->n = n;
	w->size = (uint64_t)st.st_size;
	got = pread(f->fd, w->old, n, (off_t)off); /* past the end: zeros */
	assert(got >= 0);
	w->older = f->newest;
	f->newest = w;
}

static void synced(int fd)
{
	struct file_rec **at;
	struct stat st;

	if (m.nosync || fstat(fd, &st) < 0)
		return;
	at = file_find(&st);
	if (*at)
		file_forget(at);
}

bool cut_before_write(int fd, uint64_t off, size_t n)
{
	if (!enter())
		return false;
	keep(fd, off, n);
	leave();
	return true;
}

bool cut_before_truncate(int fd, uint64_t size)
{
	struct stat st;

	if (!enter())
		return false;
	if (fstat(fd, &st) == 0 && (uint64_t)st.st_size > size)
		keep(fd, size, (size_t)((uint64_t)st.st_size - size));
	leave();
	return true;
}

bool cut_before_sync(int fd)
{
	(void)fd;
	return cut_step();
}

void cut_synced(int fd)
{
	(void)pthread_mutex_lock(&m.lock);
	synced(fd);
	leave();
}

void cut_forget_path(const char *path)
{
	struct stat st;

	(void)pthread_mutex_lock(&m.lock);
	if (stat(path, &st) == 0) {
		struct file_rec **at = file_find(&st);

		if (*at)
			file_forget(at);
	}
	leave();
}

/* ---- directories ---- */

static bool full_path(int dir, const char *name, char ret[PATH_MAX])
{
	char link[64];
	ssize_t n;

	if (name[0] == '/')
		return snprintf(ret, PATH_MAX, "%s", name) < PATH_MAX;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
	n = readlink(link, ret, PATH_MAX - 1);
	if (n < 0)
		return false;
	return snprintf(ret + n, (size_t)(PATH_MAX - n), "/%s", name) < PATH_MAX - n;
}

static void dir_keep(enum dir_verb verb, int dir, const char *name, const char *from)
{
	struct dir_rec *d;
	char parent[PATH_MAX];
	struct stat st;

	if (!m.on)
		return;
	d = calloc(1, sizeof(*d));
	assert(d);
	d->verb = verb;
	if (!full_path(dir, name, d->path) || (from && !full_path(dir, from, d->from)))
		abort();
	memcpy(parent, d->path, sizeof(parent));
	*strrchr(parent, '/') = 0;
	if (stat(parent, &st) == 0) {
		d->dev = st.st_dev;
		d->ino = st.st_ino;
	}
	if (verb == DIR_RENAME || verb == DIR_UNLINK) {
		(void)snprintf(d->kept, sizeof(d->kept), "/tmp/nx-cut-%d-%llu", (int)getpid(),
			(unsigned long long)++m.kept);
		if (link(d->path, d->kept) < 0)
			d->kept[0] = 0;
	}
	d->older = m.dirs;
	m.dirs = d;
}

static void dir_free(struct dir_rec *d)
{
	if (d->kept[0])
		(void)unlink(d->kept);
	free(d);
}

static void dir_synced(int fd)
{
	struct dir_rec **at = &m.dirs;
	struct stat st;

	if (m.nosync || fstat(fd, &st) < 0)
		return;
	while (*at) {
		struct dir_rec *d = *at;

		if (d->dev != st.st_dev || d->ino != st.st_ino) {
			at = &d->older;
			continue;
		}
		*at = d->older;
		dir_free(d);
	}
}

/* The file that a name led to has it again, unless what was undone later put it back. */
static void name_restore(const struct dir_rec *d)
{
	if (d->kept[0] && link(d->kept, d->path) < 0)
		assert(errno == EEXIST || errno == ENOENT);
}

static void dir_undo(const struct dir_rec *d)
{
	switch (d->verb) {
	case DIR_CREATE:
		(void)unlink(d->path);
		break;
	case DIR_MKDIR:
		(void)rmdir(d->path);
		break;
	case DIR_RENAME:
		(void)rename(d->path, d->from);
		name_restore(d);
		break;
	case DIR_UNLINK:
		name_restore(d);
		break;
	case DIR_RMDIR:
		(void)mkdir(d->path, 0700);
		break;
	}
}

/* ---- system calls ---- */

ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t off)
{
	ssize_t put;

	if (!enter()) {
		errno = EIO;
		return -1;
	}
	keep(fd, (uint64_t)off, n);
	put = __real_pwrite64(fd, p, n, off);
	leave();
	return put;
}

/* Packs in local files: the `fault` driver above them plays their part. */
static bool is_pack(int fd)
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 4)
		return false;
	path[n] = 0;
	return strcmp(path + n - 4, ".nxp") == 0;
}

static int sync_any(int fd)
{
	if (is_pack(fd))
		return 0;
	if (!enter()) {
		errno = EIO;
		return -1;
	}
	synced(fd);
	dir_synced(fd);
	leave();
	return 0;
}

int __wrap_fsync(int fd)
{
	return sync_any(fd);
}

int __wrap_fdatasync(int fd)
{
	return sync_any(fd);
}

int __wrap_syncfs(int fd)
{
	int rc = sync_any(fd);

	if (rc)
		return rc;
	(void)pthread_mutex_lock(&m.lock);
	while (m.files && !m.nosync)
		file_forget(&m.files);
	while (m.dirs && !m.nosync) {
		struct dir_rec *older = m.dirs->older;

		dir_free(m.dirs);
		m.dirs = older;
	}
	leave();
	return 0;
}

int __wrap_openat64(int dir, const char *path, int flags, ...)
{
	bool made, real = false;
	mode_t mode = 0;
	va_list ap;
	int fd;

	if (!(flags & O_CREAT))
		return __real_openat64(dir, path, flags, 0);
	va_start(ap, flags);
	mode = va_arg(ap, mode_t);
	va_end(ap);
	if (!enter()) {
		errno = EIO;
		return -1;
	}
	made = faccessat(dir, path, F_OK, 0) < 0;
	if (!made && (flags & O_TRUNC)) {
		struct stat st;

		fd = __real_openat64(dir, path, O_RDONLY | O_CLOEXEC, 0);
		if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0)
			keep(fd, 0, (size_t)st.st_size);
		if (fd >= 0)
			(void)close(fd);
	}
	fd = __real_openat64(dir, path, flags, mode);
	real = fd >= 0;
	if (real && made)
		dir_keep(DIR_CREATE, dir, path, NULL);
	leave();
	return fd;
}

int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	int rc;

	assert(from_dir == to_dir);
	if (!enter()) {
		errno = EIO;
		return -1;
	}
	dir_keep(DIR_RENAME, to_dir, to, from);
	rc = __real_renameat(from_dir, from, to_dir, to);
	leave();
	return rc;
}

int __wrap_unlinkat(int dir, const char *path, int flags)
{
	int rc;

	if (!enter()) {
		errno = EIO;
		return -1;
	}
	dir_keep(flags & AT_REMOVEDIR ? DIR_RMDIR : DIR_UNLINK, dir, path, NULL);
	rc = __real_unlinkat(dir, path, flags);
	if (rc < 0 && m.on) { /* it is there still: nothing to undo */
		struct dir_rec *d = m.dirs;

		m.dirs = d->older;
		dir_free(d);
	}
	leave();
	return rc;
}

int __wrap_mkdirat(int dir, const char *path, mode_t mode)
{
	int rc;

	if (!enter()) {
		errno = EIO;
		return -1;
	}
	rc = __real_mkdirat(dir, path, mode);
	if (rc == 0)
		dir_keep(DIR_MKDIR, dir, path, NULL);
	leave();
	return rc;
}

/* ---- the cut ---- */

static uint64_t dice(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Writes to this block that are younger than the answer are lost. */
static uint64_t block_keeps(const struct file_rec *f, uint64_t seed, uint64_t block)
{
	uint64_t state = seed ^ (uint64_t)f->ino * 0x2545f4914f6cdd1dull ^ block << 20;
	uint64_t roll = dice(&state) % 10;

	if (roll < 4)
		return UINT64_MAX;
	return roll < 8 ? 0 : dice(&state) % (m.order + 1);
}

static void file_cut(struct file_rec *f, uint64_t seed)
{
	uint64_t state = seed ^ (uint64_t)f->ino;
	uint64_t base = UINT64_MAX, end = 0;
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		abort();
	for (const struct write_rec *w = f->newest; w; w = w->older) {
		base = w->size < base ? w->size : base; /* never grew less than this in between */
		for (uint64_t at = w->off; at < w->off + w->n;) {
			uint64_t stop = (at / BLOCK + 1) * BLOCK;

			if (stop > w->off + w->n)
				stop = w->off + w->n;
			if (block_keeps(f, seed, at / BLOCK) < w->order) {
				if (__real_pwrite64(f->fd, w->old + (at - w->off), stop - at,
					    (off_t)at) < 0)
					abort();
			} else if (stop > end) {
				end = stop;
			}
			at = stop;
		}
	}
	if (end < base)
		end = base;
	/* Undone truncations have made it longer again; lost appends may leave zeros or nothing. */
	if ((uint64_t)st.st_size > end && dice(&state) % 2 && ftruncate(f->fd, (off_t)end) < 0)
		abort();
}

static void records_drop(void)
{
	while (m.files)
		file_forget(&m.files);
	while (m.dirs) {
		struct dir_rec *older = m.dirs->older;

		dir_free(m.dirs);
		m.dirs = older;
	}
}

void cut_power(uint64_t seed)
{
	uint64_t state = seed;
	size_t n = 0;

	(void)pthread_mutex_lock(&m.lock);
	for (struct file_rec *f = m.files; f; f = f->next)
		file_cut(f, seed);
	for (const struct dir_rec *d = m.dirs; d; d = d->older)
		n++;
	n = n ? dice(&state) % (n + 1) : 0;
	for (const struct dir_rec *d = m.dirs; n; d = d->older, n--)
		dir_undo(d);
	records_drop();
	m.dead = false;
	m.fuse = 0;
	leave();
}

void cut_killed(void)
{
	(void)pthread_mutex_lock(&m.lock);
	m.dead = false;
	m.fuse = 0;
	leave();
}

void cut_end(void)
{
	(void)pthread_mutex_lock(&m.lock);
	records_drop();
	m.on = false;
	m.dead = false;
	m.nosync = false;
	leave();
}

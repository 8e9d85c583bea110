#include "ledger/ledger_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

/* tlog-tiles: three digits per element, all but the last led by "x". */
void nx_tile_path(unsigned level, uint64_t number, unsigned width, char ret[PATH_LEN])
{
	uint64_t above[8];
	size_t n = 0;
	int at;

	for (uint64_t v = number / 1000; v; v /= 1000)
		above[n++] = v % 1000;
	at = level == LEVEL_ENTRIES ? snprintf(ret, PATH_LEN, "tile/entries/")
				    : snprintf(ret, PATH_LEN, "tile/%u/", level);
	while (n)
		at += snprintf(ret + at, PATH_LEN - (size_t)at, "x%03llu/",
			(unsigned long long)above[--n]);
	at += snprintf(
		ret + at, PATH_LEN - (size_t)at, "%03llu", (unsigned long long)(number % 1000));
	if (width)
		(void)snprintf(ret + at, PATH_LEN - (size_t)at, ".p/%u", width);
}

void nx_fileset_init(struct nx_fileset *set, int dir_fd)
{
	*set = (struct nx_fileset){.dir_fd = dir_fd};
}

void nx_fileset_done(struct nx_fileset *set)
{
	for (unsigned i = 0; i < set->n_files; i++)
		(void)close(set->files[i]);
	set->n_files = 0;
}

/* Remember to sync the directory of the first `n` bytes of `path`. */
static void dir_note(struct nx_fileset *set, const char *path, size_t n)
{
	char dir[PATH_LEN];

	(void)snprintf(dir, sizeof(dir), "%.*s", n ? (int)n : 1, n ? path : ".");
	for (unsigned i = 0; i < set->n_dirs; i++)
		if (strcmp(set->dirs[i], dir) == 0)
			return;
	if (set->n_dirs == SYNC_FILES)
		set->many = true;
	else
		memcpy(set->dirs[set->n_dirs++], dir, sizeof(dir));
}

/* Make the directories on the way to `path`; the parent of each new one needs a sync. */
static nx_rc dirs_make(struct nx_fileset *set, const char *path, struct nx_err *err)
{
	char part[PATH_LEN];
	size_t parent = 0;

	for (size_t i = 0; path[i]; i++) {
		if (path[i] != '/')
			continue;
		(void)snprintf(part, sizeof(part), "%.*s", (int)i, path);
		if (mkdirat(set->dir_fd, part, 0700) == 0)
			dir_note(set, path, parent);
		else if (errno != EEXIST)
			return nx_err_errno(err, "make ledger directory %s", part);
		parent = i;
	}
	dir_note(set, path, parent);
	return NX_OK;
}

static int file_create(int dir_fd, const char *path)
{
	return openat(
		dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, (mode_t)0600);
}

nx_rc nx_fileset_write(
	struct nx_fileset *set, const char *path, struct nx_slice data, struct nx_err *err)
{
	NX_AUTO_FD fd = -1;
	nx_rc rc = dirs_make(set, path, err);

	if (rc)
		return rc;
	fd = file_create(set->dir_fd, path);
	if (fd < 0)
		return nx_err_errno(err, "create ledger file %s", path);
	rc = nx_pwrite_full(fd, data.p, data.n, 0, err);
	if (rc)
		return nx_err_prefix(err, rc, "ledger file %s", path);
	if (set->n_files == SYNC_FILES)
		set->many = true;
	else
		set->files[set->n_files++] = NX_STEAL_FD(fd);
	return NX_OK;
}

static nx_rc dir_sync(int dir_fd, const char *dir, struct nx_err *err)
{
	NX_AUTO_FD fd = openat(dir_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return nx_err_errno(err, "sync ledger directory %s", dir);
	return NX_OK;
}

nx_rc nx_fileset_sync(struct nx_fileset *set, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	if (set->many)
		return syncfs(set->dir_fd) < 0 ? nx_err_errno(err, "sync ledger files") : NX_OK;
	for (unsigned i = 0; i < set->n_files; i++)
		if (fsync(set->files[i]) < 0)
			return nx_err_errno(err, "sync ledger file");
	for (unsigned i = 0; i < set->n_dirs && !rc; i++)
		rc = dir_sync(set->dir_fd, set->dirs[i], err);
	return rc;
}

void nx_tile_drop_partial(int dir_fd, unsigned level, uint64_t number)
{
	char path[PATH_LEN + 2];
	struct dirent *entry;
	DIR *dir;
	int fd;

	nx_tile_path(level, number, 1, path);
	path[strlen(path) - 2] = 0; /* "/1" */
	fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL) /* NOLINT(concurrency-mt-unsafe): own stream */
		if (entry->d_name[0] != '.')
			(void)unlinkat(fd, entry->d_name, 0);
	(void)closedir(dir);
	(void)unlinkat(dir_fd, path, AT_REMOVEDIR);
}

nx_rc nx_tile_read(int dir_fd, unsigned level, uint64_t number, unsigned width, struct nx_buf *out,
	struct nx_err *err)
{
	char path[PATH_LEN];
	nx_rc rc;

	nx_tile_path(level, number, width, path);
	rc = nx_file_read(dir_fd, path, out, err);
	if (rc == NX_E_NOENT && width) {
		nx_tile_path(level, number, 0, path);
		rc = nx_file_read(dir_fd, path, out, err);
	}
	return rc ? nx_err_prefix(err, rc, "%s", path) : NX_OK;
}

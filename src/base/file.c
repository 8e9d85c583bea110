#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

nx_rc nx_pread_full(int fd, void *p, size_t n, uint64_t off, struct nx_err *err)
{
	uint8_t *to = p;

	while (n) {
		ssize_t got = pread(fd, to, n, (off_t)off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return nx_err_errno(err, "read at %llu", (unsigned long long)off);
		if (got == 0)
			return nx_err_set(
				err, NX_E_SHORT, "file ends at %llu", (unsigned long long)off);
		to += got;
		off += (uint64_t)got;
		n -= (size_t)got;
	}
	return NX_OK;
}

nx_rc nx_pwrite_full(int fd, const void *p, size_t n, uint64_t off, struct nx_err *err)
{
	const uint8_t *from = p;

	while (n) {
		ssize_t put = pwrite(fd, from, n, (off_t)off);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return nx_err_errno(err, "write at %llu", (unsigned long long)off);
		from += put;
		off += (uint64_t)put;
		n -= (size_t)put;
	}
	return NX_OK;
}

nx_rc nx_file_read(int dir_fd, const char *name, struct nx_buf *ret_buf, struct nx_err *err)
{
	NX_AUTO_FD fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *to;
	nx_rc rc;

	if (fd < 0)
		return nx_err_errno(err, "open file");
	if (fstat(fd, &st) < 0)
		return nx_err_errno(err, "stat file");
	to = nx_buf_reserve(ret_buf, (size_t)st.st_size);
	if (!to)
		return nx_buf_check(ret_buf, err);
	rc = nx_pread_full(fd, to, (size_t)st.st_size, 0, err);
	if (!rc)
		ret_buf->len += (size_t)st.st_size;
	return rc;
}

static nx_rc write_and_sync(int fd, struct nx_slice data, struct nx_err *err)
{
	nx_rc rc = nx_pwrite_full(fd, data.p, data.n, 0, err);

	if (!rc && fsync(fd) < 0)
		rc = nx_err_errno(err, "sync file");
	return rc;
}

nx_rc nx_file_replace(
	int dir_fd, const char *name, struct nx_slice data, unsigned mode, struct nx_err *err)
{
	char tmp[NAME_MAX + 1];
	nx_rc rc;
	int fd;

	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.tmp", name) >= sizeof(tmp))
		return nx_err_set(err, NX_E_INVAL, "file name too long");
	fd = openat(
		dir_fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, (mode_t)mode);
	if (fd < 0)
		return nx_err_errno(err, "create temporary file");
	/* The umask, or a temporary file left by a crash, may have given it another mode. */
	if (fchmod(fd, (mode_t)mode) < 0)
		rc = nx_err_errno(err, "set file mode");
	else
		rc = write_and_sync(fd, data, err);
	(void)close(fd);
	if (!rc && renameat(dir_fd, tmp, dir_fd, name) < 0)
		rc = nx_err_errno(err, "rename file");
	if (!rc && fsync(dir_fd) < 0)
		rc = nx_err_errno(err, "sync directory");
	if (rc)
		(void)unlinkat(dir_fd, tmp, 0);
	return rc;
}

nx_rc nx_file_replace_path(
	const char *path, struct nx_slice data, unsigned mode, struct nx_err *err)
{
	const char *slash = strrchr(path, '/');
	NX_AUTO_FD dir = -1;
	char folder[PATH_MAX];

	if ((size_t)snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) : 1,
		    slash ? path : ".") >= sizeof(folder))
		return nx_err_set(err, NX_E_INVAL, "path too long");
	dir = open(folder[0] ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return nx_err_errno(err, "open directory");
	return nx_file_replace(dir, slash ? slash + 1 : path, data, mode, err);
}

nx_rc nx_mkdirs(const char *path, struct nx_err *err)
{
	char part[PATH_MAX];
	size_t n = strlen(path);
	struct stat st;

	if (n == 0 || n >= sizeof(part))
		return nx_err_set(err, NX_E_INVAL, "path of %zu bytes", n);
	memcpy(part, path, n + 1);
	for (size_t i = 1; i <= n; i++) {
		if (part[i] != '/' && part[i] != 0)
			continue;
		part[i] = 0;
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return nx_err_errno(err, "make directory");
		part[i] = path[i];
	}
	if (stat(path, &st) < 0)
		return nx_err_errno(err, "stat directory");
	if (!S_ISDIR(st.st_mode))
		return nx_err_set(err, NX_E_EXISTS, "a file stands where a directory is wanted");
	return NX_OK;
}

/* A file and not the folder itself: over NFS an exclusive lock wants a descriptor to write. */
nx_rc nx_dir_hold(int dir_fd, int *ret_fd, struct nx_err *err)
{
	NX_AUTO_FD fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return nx_err_errno(err, "lock");
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			? nx_err_set(err, NX_E_BUSY, "another process has this folder")
			: nx_err_errno(err, "lock");
	*ret_fd = NX_STEAL_FD(fd);
	return NX_OK;
}

/*
 * A library to preload into the server: writes, syncs and new files fail with the errno that a
 * control file says, where the path of the file has the control file's word in it.
 *
 * NX_FAULTS names the control file, of 256 bytes: an int32 errno (0: none), then the word.  A test
 * changes it while the server runs.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	CONTROL_LEN = 256,
	PATH_LEN = 4096
};

struct control {
	int32_t errnum;
	char word[CONTROL_LEN - 4];
};

static const volatile struct control *control_of(void)
{
	static const volatile struct control *control;
	const char *path = getenv("NX_FAULTS");
	int fd;
	void *map;

	if (control || !path)
		return control;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	map = fd < 0 ? MAP_FAILED : mmap(NULL, CONTROL_LEN, PROT_READ, MAP_SHARED, fd, 0);
	if (fd >= 0)
		(void)close(fd);
	if (map != MAP_FAILED)
		control = map;
	return control;
}

static int path_fails(const char *path)
{
	const volatile struct control *control = control_of();
	char word[sizeof(control->word)];

	if (!control || control->errnum == 0)
		return 0;
	for (size_t i = 0; i < sizeof(word); i++)
		word[i] = control->word[i];
	word[sizeof(word) - 1] = '\0';
	if (!strstr(path, word))
		return 0;
	errno = control->errnum;
	return 1;
}

static int fd_fails(int fd)
{
	const volatile struct control *control = control_of();
	char link[64], path[PATH_LEN];
	ssize_t n;

	if (!control || control->errnum == 0)
		return 0;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return 0;
	path[n] = '\0';
	return path_fails(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t off)
{
	return fd_fails(fd) ? -1 : REAL(pwrite64)(fd, p, n, off);
}

ssize_t pwritev64v2(int fd, const struct iovec *iov, int n, off64_t off, int flags)
{
	return fd_fails(fd) ? -1 : REAL(pwritev64v2)(fd, iov, n, off, flags);
}

ssize_t write(int fd, const void *p, size_t n)
{
	return fd_fails(fd) ? -1 : REAL(write)(fd, p, n);
}

int fsync(int fd)
{
	return fd_fails(fd) ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
	return fd_fails(fd) ? -1 : REAL(fdatasync)(fd);
}

int ftruncate64(int fd, off64_t n)
{
	return fd_fails(fd) ? -1 : REAL(ftruncate64)(fd, n);
}

/* A new file, or one opened to be written to: relative names are told by the folder's path. */
int openat64(int dir, const char *name, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, mode_t);
	va_end(args);
	if ((flags & O_CREAT) && (path_fails(name) || (dir >= 0 && fd_fails(dir))))
		return -1;
	return REAL(openat64)(dir, name, flags, mode);
}

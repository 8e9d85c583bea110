/*
 * An SQLite VFS over the default one that tells the machine (cut.h) of every write, truncation and
 * sync.  It goes under the catalog's encrypting VFS.  The shared memory of the log's index is
 * passed through: a cut loses it, and the harness removes its file.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cut.h"

struct file {
	sqlite3_file base; /* first: SQLite hands it back */
	int fd;            /* our own, to look at what is replaced */
	sqlite3_file *under;
};

static struct {
	pthread_mutex_t lock;
	uint64_t nth; /* calls until the failure; 0: disarmed */
	bool forever;
	int rc;
} trap = {.lock = PTHREAD_MUTEX_INITIALIZER};

void cut_vfs_fail(uint64_t nth, bool forever, int sqlite_rc)
{
	(void)pthread_mutex_lock(&trap.lock);
	trap.nth = nth;
	trap.forever = forever;
	trap.rc = sqlite_rc;
	(void)pthread_mutex_unlock(&trap.lock);
}

static int trapped(void)
{
	int rc = SQLITE_OK;

	(void)pthread_mutex_lock(&trap.lock);
	if (trap.nth == 1)
		rc = trap.rc;
	if (trap.nth > 1 || (trap.nth == 1 && !trap.forever))
		trap.nth--;
	(void)pthread_mutex_unlock(&trap.lock);
	return rc;
}

#define UNDER(file) (((struct file *)(file))->under)
#define CALL(file, method, ...) \
	(UNDER(file)->pMethods->method(UNDER(file) __VA_OPT__(, ) __VA_ARGS__))

static int io_close(sqlite3_file *file)
{
	struct file *f = (struct file *)file;
	int rc = CALL(file, xClose);

	if (f->fd >= 0)
		(void)close(f->fd);
	return rc;
}

static int io_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
	return CALL(file, xRead, p, n, at);
}

static int io_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
	int rc = trapped();

	if (rc)
		return rc;
	if (!cut_before_write(((struct file *)file)->fd, (uint64_t)at, (size_t)n))
		return SQLITE_IOERR_WRITE;
	return CALL(file, xWrite, p, n, at);
}

static int io_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	if (!cut_before_truncate(((struct file *)file)->fd, (uint64_t)size))
		return SQLITE_IOERR_TRUNCATE;
	return CALL(file, xTruncate, size);
}

static int io_sync(sqlite3_file *file, int flags)
{
	int rc = trapped();

	(void)flags;
	if (rc)
		return rc;
	if (!cut_before_sync(((struct file *)file)->fd))
		return SQLITE_IOERR_FSYNC;
	cut_synced(((struct file *)file)->fd);
	return SQLITE_OK;
}

static int io_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	return CALL(file, xFileSize, ret);
}

static int io_lock(sqlite3_file *file, int level)
{
	return CALL(file, xLock, level);
}

static int io_unlock(sqlite3_file *file, int level)
{
	return CALL(file, xUnlock, level);
}

static int io_check_reserved(sqlite3_file *file, int *ret)
{
	return CALL(file, xCheckReservedLock, ret);
}

static int io_control(sqlite3_file *file, int op, void *arg)
{
	return CALL(file, xFileControl, op, arg);
}

static int io_sector_size(sqlite3_file *file)
{
	return CALL(file, xSectorSize);
}

static int io_characteristics(sqlite3_file *file)
{
	return CALL(file, xDeviceCharacteristics);
}

static int io_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **ret)
{
	return CALL(file, xShmMap, region, size, extend, ret);
}

static int io_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	return CALL(file, xShmLock, offset, n, flags);
}

static void io_shm_barrier(sqlite3_file *file)
{
	CALL(file, xShmBarrier);
}

static int io_shm_unmap(sqlite3_file *file, int delete_it)
{
	return CALL(file, xShmUnmap, delete_it);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = io_close,
	.xRead = io_read,
	.xWrite = io_write,
	.xTruncate = io_truncate,
	.xSync = io_sync,
	.xFileSize = io_size,
	.xLock = io_lock,
	.xUnlock = io_unlock,
	.xCheckReservedLock = io_check_reserved,
	.xFileControl = io_control,
	.xSectorSize = io_sector_size,
	.xDeviceCharacteristics = io_characteristics,
	.xShmMap = io_shm_map,
	.xShmLock = io_shm_lock,
	.xShmBarrier = io_shm_barrier,
	.xShmUnmap = io_shm_unmap,
};

static sqlite3_vfs *under;

static int vfs_open(
	sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
	struct file *f = (struct file *)file;
	int rc;

	(void)vfs;
	memset(f, 0, sizeof(*f));
	f->fd = -1;
	f->under = (sqlite3_file *)(void *)(f + 1);
	rc = under->xOpen(under, name, f->under, flags, ret_flags);
	if (!f->under->pMethods)
		return rc;
	f->base.pMethods = &methods;
	if (!rc)
		f->fd = open(name, O_RDWR | O_CLOEXEC);
	return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	(void)vfs;
	if (!cut_step())
		return SQLITE_IOERR_DELETE;
	cut_forget_path(name);
	return under->xDelete(under, name, sync);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
	(void)vfs;
	return under->xAccess(under, name, flags, ret);
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *name, int n, char *ret)
{
	(void)vfs;
	return under->xFullPathname(under, name, n, ret);
}

static int vfs_random(sqlite3_vfs *vfs, int n, char *ret)
{
	(void)vfs;
	return under->xRandomness(under, n, ret);
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
	(void)vfs;
	return under->xSleep(under, us);
}

static int vfs_time(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
	(void)vfs;
	return under->xCurrentTimeInt64(under, ret);
}

static int vfs_last_error(sqlite3_vfs *vfs, int n, char *ret)
{
	(void)vfs;
	return under->xGetLastError ? under->xGetLastError(under, n, ret) : 0;
}

const char *cut_vfs(void)
{
	static sqlite3_vfs vfs = {
		.iVersion = 2,
		.zName = "nx-cut",
		.xOpen = vfs_open,
		.xDelete = vfs_delete,
		.xAccess = vfs_access,
		.xFullPathname = vfs_full_path,
		.xRandomness = vfs_random,
		.xSleep = vfs_sleep,
		.xCurrentTimeInt64 = vfs_time,
		.xGetLastError = vfs_last_error,
	};

	if (!under) {
		under = sqlite3_vfs_find(NULL);
		vfs.szOsFile = (int)sizeof(struct file) + under->szOsFile;
		vfs.mxPathname = under->mxPathname;
		if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
			abort();
	}
	return vfs.zName;
}

#include "catalog/vfs_pass.h"

#include <stdint.h>
#include <string.h>

#define UNDER(file)         (((struct pass_file *)(file))->under)
#define CALL(file, fn, ...) UNDER(file)->pMethods->fn(UNDER(file), ##__VA_ARGS__)

static int io_close(sqlite3_file *file)
{
	return CALL(file, xClose);
}

static int io_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
	return CALL(file, xRead, p, n, at);
}

static int io_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
	return CALL(file, xWrite, p, n, at);
}

static int io_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	return CALL(file, xTruncate, size);
}

static int io_sync(sqlite3_file *file, int flags)
{
	return CALL(file, xSync, flags);
}

static int io_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
	return CALL(file, xFileSize, ret_size);
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

const sqlite3_io_methods nx_cat_pass_methods = {
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

static sqlite3_vfs *below(sqlite3_vfs *vfs)
{
	return ((struct pass_vfs *)vfs)->under;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	return below(vfs)->xDelete(below(vfs), name, sync);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
	return below(vfs)->xAccess(below(vfs), name, flags, ret);
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *name, int n, char *ret)
{
	return below(vfs)->xFullPathname(below(vfs), name, n, ret);
}

static int vfs_random(sqlite3_vfs *vfs, int n, char *ret)
{
	return below(vfs)->xRandomness(below(vfs), n, ret);
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
	return below(vfs)->xSleep(below(vfs), us);
}

static int vfs_time(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
	return below(vfs)->xCurrentTimeInt64(below(vfs), ret);
}

static int vfs_last_error(sqlite3_vfs *vfs, int n, char *ret)
{
	return below(vfs)->xGetLastError ? below(vfs)->xGetLastError(below(vfs), n, ret) : 0;
}

void nx_cat_pass_init(struct pass_vfs *vfs, sqlite3_vfs *under, const char *name, size_t file_len)
{
	vfs->under = under;
	vfs->base = (sqlite3_vfs){
		.iVersion = 2,
		.szOsFile = (int)file_len + under->szOsFile,
		.mxPathname = under->mxPathname,
		.zName = name,
		.xDelete = vfs_delete,
		.xAccess = vfs_access,
		.xFullPathname = vfs_full_path,
		.xRandomness = vfs_random,
		.xSleep = vfs_sleep,
		.xCurrentTimeInt64 = vfs_time,
		.xGetLastError = vfs_last_error,
	};
}

int nx_cat_pass_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, size_t file_len,
	const sqlite3_io_methods *methods, int flags, int *ret_flags)
{
	struct pass_file *f = (struct pass_file *)file;
	int rc;

	f->under = (sqlite3_file *)(void *)((uint8_t *)file + file_len);
	rc = below(vfs)->xOpen(below(vfs), name, f->under, flags, ret_flags);
	if (f->under->pMethods)
		f->base.pMethods = methods; /* xClose is called, and closes what is below */
	return rc;
}

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

#include "catalog/vfs_pass.h"

#include "cut.h"

struct file {
	struct pass_file pass; /* first: SQLite hands it back */
	int fd;                /* our own, to look at what is replaced */
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

static int io_close(sqlite3_file *file)
{
	struct file *f = (struct file *)file;
	int rc = nx_cat_pass_methods.xClose(file);

	if (f->fd >= 0)
		(void)close(f->fd);
	return rc;
}

static int io_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
	int rc = trapped();

	if (rc)
		return rc;
	if (!cut_before_write(((struct file *)file)->fd, (uint64_t)at, (size_t)n))
		return SQLITE_IOERR_WRITE;
	return nx_cat_pass_methods.xWrite(file, p, n, at);
}

static int io_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	if (!cut_before_truncate(((struct file *)file)->fd, (uint64_t)size))
		return SQLITE_IOERR_TRUNCATE;
	return nx_cat_pass_methods.xTruncate(file, size);
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

static sqlite3_io_methods methods;
static struct pass_vfs layer;

static int vfs_open(
	sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
	struct file *f = (struct file *)file;
	int rc;

	memset(f, 0, sizeof(*f));
	f->fd = -1;
	rc = nx_cat_pass_open(vfs, name, file, sizeof(*f), &methods, flags, ret_flags);
	if (!rc)
		f->fd = open(name, O_RDWR | O_CLOEXEC);
	return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	if (!cut_step())
		return SQLITE_IOERR_DELETE;
	cut_forget_path(name);
	return ((struct pass_vfs *)vfs)
		->under->xDelete(((struct pass_vfs *)vfs)->under, name, sync);
}

const char *cut_vfs(void)
{
	if (layer.under)
		return layer.base.zName;
	methods = nx_cat_pass_methods;
	methods.xClose = io_close;
	methods.xWrite = io_write;
	methods.xTruncate = io_truncate;
	methods.xSync = io_sync;
	nx_cat_pass_init(&layer, sqlite3_vfs_find(NULL), "nx-cut", sizeof(struct file));
	layer.base.xOpen = vfs_open;
	layer.base.xDelete = vfs_delete;
	if (sqlite3_vfs_register(&layer.base, 0) != SQLITE_OK)
		abort();
	return layer.base.zName;
}

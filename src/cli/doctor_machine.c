/* narthex doctor: what the site stands on. */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <time.h>

#include "base/cast.h"
#include "cli/cli_priv.h"
#include "cli/doctor_priv.h"
#include "server/descriptors.h"

enum {
	MEMLOCK_MIN = 8 * 1024 * 1024,
	CLOCK_SLACK_S = 120
};

/* ---- file systems ---- */

/* <linux/magic.h> has not all of them. */
#define XFS_MAGIC    0x58465342
#define ZFS_MAGIC    0x2fc12fc1
#define LUSTRE_MAGIC 0x0bd00bd0
#define BEEGFS_MAGIC 0x19830326

static const struct fs {
	long magic;
	const char *name;
	enum verdict as_pool;
	enum verdict as_site;
	const char *why;
} filesystems[] = {
	{EXT4_SUPER_MAGIC, "ext4", VERDICT_GOOD, VERDICT_GOOD, ""},
	{XFS_MAGIC, "XFS", VERDICT_GOOD, VERDICT_GOOD, ""},
	{BTRFS_SUPER_MAGIC, "btrfs", VERDICT_GOOD, VERDICT_GOOD, ""},
	{ZFS_MAGIC, "ZFS", VERDICT_GOOD, VERDICT_GOOD, ""},
	{LUSTRE_MAGIC, "Lustre", VERDICT_GOOD, VERDICT_BAD, "; no place for catalog and lock"},
	{BEEGFS_MAGIC, "BeeGFS", VERDICT_GOOD, VERDICT_BAD, "; no place for catalog and lock"},
	{NFS_SUPER_MAGIC, "NFS", VERDICT_GOOD, VERDICT_BAD, "; no place for catalog and lock"},
	{SMB_SUPER_MAGIC, "SMB", VERDICT_BAD, VERDICT_BAD, "; its syncs cannot be relied on"},
	{FUSE_SUPER_MAGIC, "FUSE", VERDICT_WARN, VERDICT_WARN,
		"; what a sync means is for its author to say"},
	{OVERLAYFS_SUPER_MAGIC, "overlayfs", VERDICT_WARN, VERDICT_WARN,
		", as in a container's own layer; it may go with the container"},
	{TMPFS_MAGIC, "tmpfs", VERDICT_BAD, VERDICT_BAD, ": memory, gone with the power"},
	{RAMFS_MAGIC, "ramfs", VERDICT_BAD, VERDICT_BAD, ": memory, gone with the power"},
};

/* NFS mounted with nolock lets two processes have one site. */
static bool locks_work(const char *dir)
{
	char path[NX_SITE_PATH + 32];
	NX_AUTO_FD one = -1;
	NX_AUTO_FD two = -1;
	bool works = false;

	(void)snprintf(path, sizeof(path), "%s/.doctor", dir);
	one = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	two = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (one >= 0 && two >= 0 && flock(one, LOCK_EX | LOCK_NB) == 0)
		works = flock(two, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	if (one >= 0)
		(void)unlink(path);
	return works;
}

/* Is it mounted with an option that keeps locks on this machine? */
static bool locks_local(const char *dir)
{
	NX_AUTO_MEM char *real = realpath(dir, NULL);
	FILE *f = real ? fopen("/proc/self/mounts", "re") : NULL;
	char line[4096], at[2048], options[1024];
	size_t longest = 0;
	bool local = false;

	while (f && fgets(line, sizeof(line), f)) {
		size_t n;

		if (sscanf(line, "%*s %2047s %*s %1023s", at, options) != 2)
			continue;
		n = strcmp(at, "/") == 0 ? 0 : strlen(at);
		if (strncmp(real, at, n) != 0 || (real[n] && real[n] != '/') || n < longest)
			continue;
		longest = n;
		local = strstr(options, "nolock") || strstr(options, "local_lock=all") ||
			strstr(options, "local_lock=flock");
	}
	if (f)
		(void)fclose(f);
	return local;
}

static enum verdict fs_judge(const char *dir, bool pool, char say[DOCTOR_SAY])
{
	struct statfs st;

	if (statfs(dir, &st) < 0) {
		(void)snprintf(say, DOCTOR_SAY, "%s: %s", dir, strerrordesc_np(errno));
		return VERDICT_BAD;
	}
	if (access(dir, W_OK) < 0) {
		(void)snprintf(say, DOCTOR_SAY, "%s cannot be written", dir);
		return VERDICT_BAD;
	}
	if (!locks_work(dir) || locks_local(dir)) {
		(void)snprintf(say, DOCTOR_SAY, "%s has no locks that others see", dir);
		return VERDICT_BAD;
	}
	for (size_t i = 0; i < NX_ARRAY_LEN(filesystems); i++) {
		const struct fs *fs = &filesystems[i];

		if ((long)st.f_type != fs->magic)
			continue;
		(void)snprintf(say, DOCTOR_SAY, "on %s%s", fs->name, fs->why);
		return pool ? fs->as_pool : fs->as_site;
	}
	(void)snprintf(say, DOCTOR_SAY, "on a file system nobody has tried: type %#lx",
		(unsigned long)st.f_type);
	return VERDICT_WARN;
}

enum verdict doctor_pool_fs(const struct patient *p, char say[DOCTOR_SAY])
{
	if (p->pool[0])
		return fs_judge(p->pool, true, say);
	(void)snprintf(say, DOCTOR_SAY, "not a folder");
	return VERDICT_BAD;
}

enum verdict doctor_site_fs(const struct patient *p, char say[DOCTOR_SAY])
{
	return fs_judge(p->dir, false, say);
}

enum verdict doctor_direct(const struct patient *p, char say[DOCTOR_SAY])
{
	char path[NX_SITE_PATH + 32];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/.direct", p->pool[0] ? p->pool : p->dir);
	fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC | O_NOFOLLOW, 0600);
	(void)unlink(path); /* it was made even where the flag was then refused */
	(void)snprintf(say, DOCTOR_SAY, "%s", fd < 0 ? "the pool's file system has none" : "works");
	if (fd < 0)
		return VERDICT_WARN;
	(void)close(fd);
	return VERDICT_GOOD;
}

static enum verdict space_judge(const char *dir, const char *what, char say[DOCTOR_SAY])
{
	struct statvfs fs;
	char bytes[16];
	uint64_t left;

	if (statvfs(dir, &fs) < 0) {
		(void)snprintf(say, DOCTOR_SAY, "%s: cannot be told", what);
		return VERDICT_BAD;
	}
	left = (uint64_t)fs.f_bavail * fs.f_frsize;
	(void)snprintf(say, DOCTOR_SAY, "%s: %s free, %.0f %%", what, cli_bytes(left, bytes),
		fs.f_blocks ? 100.0 * (double)fs.f_bavail / (double)fs.f_blocks : 0.0);
	if (fs.f_files && fs.f_favail < fs.f_files / 100) {
		(void)snprintf(say, DOCTOR_SAY, "%s: no inodes left", what);
		return VERDICT_BAD;
	}
	return left < 1024ull * 1024 * 1024      ? VERDICT_BAD
		: fs.f_bavail < fs.f_blocks / 10 ? VERDICT_WARN
						 : VERDICT_GOOD;
}

/* The worse of the two is said. */
enum verdict doctor_space(const struct patient *p, char say[DOCTOR_SAY])
{
	char other[DOCTOR_SAY];
	enum verdict site = space_judge(p->dir, "site", say);
	enum verdict pool = p->pool[0] ? space_judge(p->pool, "pool", other) : VERDICT_GOOD;

	if (pool > site)
		memcpy(say, other, DOCTOR_SAY);
	return pool > site ? pool : site;
}

/* ---- time ---- */

enum verdict doctor_synchronised(const struct patient *p, char say[DOCTOR_SAY])
{
	struct timex tx = {0};
	int state = adjtimex(&tx);
	bool good = state >= 0 && state != TIME_ERROR && !(tx.status & STA_UNSYNC);

	(void)p;
	(void)snprintf(say, DOCTOR_SAY, "%s", good ? "is synchronised" : "is not synchronised");
	return good ? VERDICT_GOOD : VERDICT_WARN;
}

/* A clock that stands before what the site wrote last is wrong; so is one before its keys. */
enum verdict doctor_time(const struct patient *p, char say[DOCTOR_SAY])
{
	char *roots[] = {nx_unconst(p->dir), NULL};
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	time_t now = time(NULL), newest = 0;
	FTSENT *e;

	while (walk && (e = fts_read(walk))) {
		if (e->fts_level >= 2 && e->fts_info == FTS_D)
			(void)fts_set(walk, e, FTS_SKIP);
		if (e->fts_statp && e->fts_info == FTS_F && e->fts_statp->st_mtime > newest)
			newest = e->fts_statp->st_mtime;
	}
	if (walk)
		(void)fts_close(walk);
	if (newest <= now + CLOCK_SLACK_S) {
		(void)snprintf(say, DOCTOR_SAY, "is past all that the site wrote");
		return VERDICT_GOOD;
	}
	(void)snprintf(say, DOCTOR_SAY, "is %lld s before the last write of the site",
		(long long)(newest - now));
	return VERDICT_BAD;
}

/* ---- limits ---- */

enum verdict doctor_memlock(const struct patient *p, char say[DOCTOR_SAY])
{
	struct rlimit limit;
	char bytes[16];

	(void)p;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return VERDICT_WARN;
	(void)snprintf(say, DOCTOR_SAY, "%s may be locked by this user",
		limit.rlim_cur == RLIM_INFINITY ? "all of it" : cli_bytes(limit.rlim_cur, bytes));
	return limit.rlim_cur < MEMLOCK_MIN ? VERDICT_WARN : VERDICT_GOOD;
}

enum verdict doctor_files(const struct patient *p, char say[DOCTOR_SAY])
{
	uint64_t needed = nx_descriptors_needed(&p->config), allowed = nx_descriptors_allowed();

	if (allowed < needed) {
		(void)snprintf(say, DOCTOR_SAY,
			"%llu are allowed, the configuration can need %llu: the site will not start",
			(unsigned long long)allowed, (unsigned long long)needed);
		return VERDICT_BAD;
	}
	(void)snprintf(say, DOCTOR_SAY, "the %llu that the configuration can need are allowed",
		(unsigned long long)needed);
	return VERDICT_GOOD;
}

enum verdict doctor_unit(const struct patient *p, char say[DOCTOR_SAY])
{
	static const char *const folders[] = {"/etc/systemd/system", "/run/systemd/system",
		"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"};
	char path[128];

	(void)p;
	if (access("/run/systemd/system", F_OK) < 0) {
		(void)snprintf(say, DOCTOR_SAY, "systemd does not run here");
		return VERDICT_GOOD;
	}
	for (size_t i = 0; i < NX_ARRAY_LEN(folders); i++) {
		(void)snprintf(path, sizeof(path), "%s/narthex.service", folders[i]);
		if (access(path, F_OK) == 0) {
			(void)snprintf(say, DOCTOR_SAY, "%s", path);
			return VERDICT_GOOD;
		}
	}
	(void)snprintf(say, DOCTOR_SAY, "no unit narthex.service is installed");
	return VERDICT_WARN;
}

/* narthex doctor: what goes wrong on machines, looked at before it does. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#include "cli/cli_priv.h"
#include "net/net.h"
#include "server/config.h"
#include "server/descriptors.h"
#include "server/site.h"

enum {
	SAY = 160,
	DAYS_WARN = 30,
	MEMLOCK_MIN = 8 * 1024 * 1024
};

enum verdict {
	GOOD,
	WARN,
	BAD
};

struct patient {
	const char *dir;
	struct nx_config config;
};

/* To add a check, add a function and a row. */
struct check {
	const char *name;
	enum verdict (*run)(const struct patient *p, char say[SAY]);
};

static enum verdict say_path(const struct patient *p, const char *name, char path[NX_SITE_PATH],
	struct stat *st, char say[SAY])
{
	struct nx_err err;

	if (nx_site_path(p->dir, name, path, &err) || stat(path, st) < 0) {
		(void)snprintf(say, SAY, "%s is not there", name);
		return BAD;
	}
	return GOOD;
}

static enum verdict check_permissions(const struct patient *p, char say[SAY])
{
	static const char *const names[] = {
		"narthex.yaml", "run", "tls/server-key.pem", "tls/ca-key.pem"};
	char path[NX_SITE_PATH];
	struct stat st;

	for (size_t i = 0; i < NX_ARRAY_LEN(names); i++) {
		if (say_path(p, names[i], path, &st, say))
			return BAD;
		if (st.st_mode & 077) {
			(void)snprintf(say, SAY, "%s is open to others than its owner", names[i]);
			return BAD;
		}
	}
	(void)snprintf(say, SAY, "only the owner can read configuration and keys");
	return GOOD;
}

static enum verdict check_places(const struct patient *p, char say[SAY])
{
	char *places[NX_SITE_PLACES];
	dev_t devices[NX_SITE_PLACES];
	enum verdict verdict = GOOD;
	struct nx_err err;
	struct stat st;
	size_t n;

	if (nx_site_places(p->dir, &p->config, places, &n, &err)) {
		(void)snprintf(say, SAY, "%s", nx_err_text(&err));
		return BAD;
	}
	(void)snprintf(say, SAY, "%zu places on different devices", n);
	for (size_t i = 0; i < n; i++) {
		if (stat(places[i], &st) < 0) {
			(void)snprintf(say, SAY, "place %zu of the key store is not there", i + 1);
			verdict = BAD;
		}
		devices[i] = st.st_dev;
		if (verdict == GOOD && i && devices[i] == devices[0]) {
			(void)snprintf(say, SAY, "places 1 and %zu are on one device", i + 1);
			verdict = WARN;
		}
		free(places[i]);
	}
	if (verdict == GOOD && n < 2) {
		(void)snprintf(say, SAY, "the key store has one place only");
		verdict = WARN;
	}
	return verdict;
}

static enum verdict check_space(const struct patient *p, char say[SAY])
{
	struct statvfs fs;
	char bytes[16];
	uint64_t left;

	if (statvfs(p->dir, &fs) < 0) {
		(void)snprintf(say, SAY, "cannot be told");
		return BAD;
	}
	left = (uint64_t)fs.f_bavail * fs.f_frsize;
	(void)snprintf(say, SAY, "%s free, %.0f %%", cli_bytes(left, bytes),
		fs.f_blocks ? 100.0 * (double)fs.f_bavail / (double)fs.f_blocks : 0.0);
	return left < 1024ull * 1024 * 1024 ? BAD : fs.f_bavail < fs.f_blocks / 10 ? WARN : GOOD;
}

static enum verdict check_clock(const struct patient *p, char say[SAY])
{
	struct timex tx = {0};
	int state = adjtimex(&tx);

	(void)p;
	if (state < 0 || state == TIME_ERROR || (tx.status & STA_UNSYNC)) {
		(void)snprintf(say, SAY, "is not synchronised; the ledger's times rest on it");
		return WARN;
	}
	(void)snprintf(say, SAY, "is synchronised");
	return GOOD;
}

static enum verdict check_tls(const struct patient *p, char say[SAY])
{
	char path[NX_SITE_PATH];
	struct nx_err err;
	int days;

	if (nx_site_path(p->dir, nx_config_text(&p->config, NX_CFG_TLS_CERTIFICATE), path, &err) ||
		nx_tls_days_left(path, &days, &err)) {
		(void)snprintf(say, SAY, "%s", nx_err_text(&err));
		return BAD;
	}
	(void)snprintf(say, SAY, "%d days left", days);
	return days < 0 ? BAD : days < DAYS_WARN ? WARN : GOOD;
}

static enum verdict check_direct(const struct patient *p, char say[SAY])
{
	char path[NX_SITE_PATH];
	int fd = -1;

	if ((size_t)snprintf(path, sizeof(path), "%s/run/direct", p->dir) < sizeof(path))
		fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC | O_NOFOLLOW, 0600);
	(void)snprintf(say, SAY, "%s",
		fd < 0 ? "not on this file system: reads and writes cost more" : "works");
	if (fd >= 0) {
		(void)close(fd);
		(void)unlink(path);
	}
	return fd < 0 ? WARN : GOOD;
}

static enum verdict check_memlock(const struct patient *p, char say[SAY])
{
	struct rlimit limit;
	char bytes[16];

	(void)p;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return WARN;
	(void)snprintf(say, SAY, "%s of memory may be locked",
		limit.rlim_cur == RLIM_INFINITY ? "all" : cli_bytes(limit.rlim_cur, bytes));
	return limit.rlim_cur < MEMLOCK_MIN ? WARN : GOOD;
}

static enum verdict check_files(const struct patient *p, char say[SAY])
{
	uint64_t needed = nx_descriptors_needed(&p->config), allowed = nx_descriptors_allowed();

	if (allowed < needed) {
		(void)snprintf(say, SAY,
			"%llu are allowed, the configuration can need %llu: the site will not start",
			(unsigned long long)allowed, (unsigned long long)needed);
		return BAD;
	}
	(void)snprintf(say, SAY, "the %llu that the configuration can need are allowed",
		(unsigned long long)needed);
	return GOOD;
}

static const struct check checks[] = {
	{"permissions", check_permissions},
	{"key store", check_places},
	{"space", check_space},
	{"clock", check_clock},
	{"certificate", check_tls},
	{"O_DIRECT", check_direct},
	{"locked memory", check_memlock},
	{"open files", check_files},
};

nx_rc cmd_doctor(const struct cli_args *args, struct nx_err *err)
{
	static const char *const words[] = {[GOOD] = "good", [WARN] = "warn", [BAD] = "BAD"};
	struct patient p = {0};
	bool json = cli_has(args, "json");
	enum verdict worst = GOOD;
	char say[SAY];
	nx_rc rc = cli_site(args, &p.dir, err);

	if (!rc)
		rc = nx_config_init(&p.config, err);
	if (!rc)
		rc = nx_config_load(p.dir, &p.config, err);
	for (size_t i = 0; i < NX_ARRAY_LEN(checks) && !rc; i++) {
		enum verdict v = checks[i].run(&p, say);

		worst = v > worst ? v : worst;
		(void)printf(json ? "%s{\"check\":\"%s\",\"verdict\":\"%s\",\"text\":\"%s\"}"
				  : "%s%-14s %-4s  %s\n",
			json ? (i ? ",\n " : "[") : "", checks[i].name, words[v], say);
	}
	if (json && !rc)
		(void)printf("]\n");
	nx_config_done(&p.config);
	if (!rc && worst == BAD)
		rc = nx_err_set(err, NX_E_CONFIG, "the site is not well");
	return rc;
}

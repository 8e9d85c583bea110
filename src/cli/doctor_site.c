/* narthex doctor: what is in the site's folders. */
#include <dirent.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cast.h"
#include "cli/doctor_priv.h"
#include "net/net.h"

enum {
	DAYS_WARN = 30,
	HOST_LEN = 256
};

static enum verdict say_text(char say[DOCTOR_SAY], enum verdict v, const char *text)
{
	(void)snprintf(say, DOCTOR_SAY, "%s", text);
	return v;
}

/* ---- who may read ---- */

static enum verdict closed(const char *path, const char *name, char say[DOCTOR_SAY])
{
	struct stat st;

	if (stat(path, &st) < 0) {
		(void)snprintf(say, DOCTOR_SAY, "%s is not there", name);
		return VERDICT_BAD;
	}
	if (st.st_mode & 077) {
		(void)snprintf(say, DOCTOR_SAY, "%s is open to others than its owner", name);
		return VERDICT_BAD;
	}
	return VERDICT_GOOD;
}

/* A place's folder may be open when what is in it is not. */
static enum verdict place_closed(const char *place, char say[DOCTOR_SAY])
{
	static const char *const names[] = {"root.key", "keys.nxk"};
	enum verdict v = VERDICT_GOOD;
	char path[NX_SITE_PATH + 16];

	for (size_t i = 0; i < NX_ARRAY_LEN(names) && v == VERDICT_GOOD; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", place, names[i]);
		v = closed(path, path, say);
	}
	return v;
}

static enum verdict places_closed(const struct patient *p, char say[DOCTOR_SAY])
{
	char *places[NX_SITE_PLACES];
	enum verdict v = VERDICT_GOOD;
	struct nx_err err;
	size_t n;

	if (nx_site_places(p->dir, &p->config, places, &n, &err))
		return say_text(say, VERDICT_BAD, nx_err_text(&err));
	for (size_t i = 0; i < n; i++) {
		if (v == VERDICT_GOOD)
			v = place_closed(places[i], say);
		free(places[i]);
	}
	return v;
}

enum verdict doctor_permissions(const struct patient *p, char say[DOCTOR_SAY])
{
	const char *const names[] = {"narthex.yaml", "run", "catalog.db", "tls/ca-key.pem",
		nx_config_text(&p->config, NX_CFG_TLS_KEY)};
	enum verdict v = VERDICT_GOOD;
	char path[NX_SITE_PATH];
	struct nx_err err;

	for (size_t i = 0; i < NX_ARRAY_LEN(names) && v == VERDICT_GOOD; i++) {
		if (nx_site_path(p->dir, names[i], path, &err))
			return say_text(say, VERDICT_BAD, nx_err_text(&err));
		/* The authority's key is best kept elsewhere. */
		if (strcmp(names[i], "tls/ca-key.pem") == 0 && access(path, F_OK) < 0)
			continue;
		v = closed(path, names[i], say);
	}
	if (v == VERDICT_GOOD)
		v = places_closed(p, say);
	return v == VERDICT_GOOD
		? say_text(say, v, "only the owner can read configuration, catalog and keys")
		: v;
}

/* The first file that is not of `owner`; at most two levels, packs are many. */
static bool stranger_find(const char *dir, uid_t owner, char say[DOCTOR_SAY])
{
	char *roots[] = {nx_unconst(dir), NULL};
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	bool found = false;
	FTSENT *e;

	while (walk && !found && (e = fts_read(walk))) {
		if (e->fts_level >= 2 && e->fts_info == FTS_D)
			(void)fts_set(walk, e, FTS_SKIP);
		if (!e->fts_statp || e->fts_info == FTS_NS || e->fts_statp->st_uid == owner)
			continue;
		(void)snprintf(say, DOCTOR_SAY, "%s belongs to user %u, the site to %u",
			e->fts_path, (unsigned)e->fts_statp->st_uid, (unsigned)owner);
		found = true;
	}
	if (walk)
		(void)fts_close(walk);
	return found;
}

enum verdict doctor_owner(const struct patient *p, char say[DOCTOR_SAY])
{
	struct stat st;

	if (stat(p->dir, &st) < 0)
		return say_text(say, VERDICT_BAD, "the site is not there");
	if (stranger_find(p->dir, st.st_uid, say))
		return VERDICT_BAD;
	return say_text(say, VERDICT_GOOD, "everything belongs to one user");
}

/* ---- keys ---- */

static enum verdict places_judge(char *const *places, size_t n, char say[DOCTOR_SAY])
{
	enum verdict v = VERDICT_GOOD;
	dev_t first = 0;

	(void)snprintf(say, DOCTOR_SAY, "%zu places on different devices", n);
	for (size_t i = 0; i < n; i++) {
		struct stat st;

		if (stat(places[i], &st) < 0) {
			(void)snprintf(
				say, DOCTOR_SAY, "place %zu, %s, is not there", i + 1, places[i]);
			return VERDICT_BAD;
		}
		if (i && st.st_dev == first) {
			(void)snprintf(
				say, DOCTOR_SAY, "places 1 and %zu are on one device", i + 1);
			v = VERDICT_WARN;
		}
		first = i ? first : st.st_dev;
	}
	return n < 2 ? say_text(say, VERDICT_WARN, "the key store has one place only") : v;
}

enum verdict doctor_places(const struct patient *p, char say[DOCTOR_SAY])
{
	char *places[NX_SITE_PLACES];
	struct nx_err err;
	enum verdict v;
	size_t n;

	if (nx_site_places(p->dir, &p->config, places, &n, &err))
		return say_text(say, VERDICT_BAD, nx_err_text(&err));
	v = places_judge(places, n, say);
	while (n)
		free(places[--n]);
	return v;
}

/* ---- catalog and packs ---- */

/* Without the passphrase it shows only whether both are there: a pool that is not mounted, a
 * catalog that was lost.  Whether they agree in every row is for fsck. */
enum verdict doctor_catalog(const struct patient *p, char say[DOCTOR_SAY])
{
	char path[NX_SITE_PATH];
	struct nx_err err;
	struct stat st;
	bool catalog = !nx_site_path(p->dir, "catalog.db", path, &err) && stat(path, &st) == 0 &&
		st.st_size > 0;
	bool ledger =
		!nx_site_path(p->dir, "ledger/checkpoint", path, &err) && access(path, F_OK) == 0;
	DIR *dir = p->pool[0] ? opendir(p->pool) : NULL;
	const struct dirent *e;
	size_t packs = 0;

	while (dir && (e = readdir(dir))) /* NOLINT(concurrency-mt-unsafe): own stream */
		packs += e->d_name[0] != '.';
	if (dir)
		(void)closedir(dir);
	if (!catalog)
		return say_text(say, VERDICT_BAD,
			packs ? "there are packs, and no catalog" : "there is no catalog");
	if (p->pool[0] && !packs)
		return say_text(say, VERDICT_BAD,
			"there is a catalog, and the pool has no packs: is it mounted?");
	if (!ledger)
		return say_text(say, VERDICT_BAD, "the ledger has no checkpoint");
	return say_text(say, VERDICT_GOOD,
		"catalog, ledger and packs are there; narthex fsck compares them");
}

/* ---- certificates ---- */

static enum verdict days_judge(
	const struct patient *p, enum nx_config_key key, const char *what, char say[DOCTOR_SAY])
{
	char path[NX_SITE_PATH];
	struct nx_err err;
	int days;

	if (nx_site_path(p->dir, nx_config_text(&p->config, key), path, &err) ||
		nx_tls_days_left(path, &days, &err)) {
		(void)snprintf(say, DOCTOR_SAY, "%s: %s", what, nx_err_text(&err));
		return VERDICT_BAD;
	}
	if (days < 0)
		(void)snprintf(say, DOCTOR_SAY, "%s ended %d days ago", what, -days);
	else
		(void)snprintf(say, DOCTOR_SAY, "%s: %d days left", what, days);
	return days < 0 ? VERDICT_BAD : days < DAYS_WARN ? VERDICT_WARN : VERDICT_GOOD;
}

enum verdict doctor_certificate(const struct patient *p, char say[DOCTOR_SAY])
{
	char cert[NX_SITE_PATH], key[NX_SITE_PATH];
	const struct nx_tls_opts opts = {.cert_file = cert, .key_file = key};
	NX_AUTO(nx_tls) *tls = NULL;
	struct nx_err err;
	enum verdict v = days_judge(p, NX_CFG_TLS_CA, "authority", say);

	if (v == VERDICT_GOOD)
		v = days_judge(p, NX_CFG_TLS_CERTIFICATE, "certificate", say);
	if (v == VERDICT_BAD)
		return v;
	if (nx_site_path(p->dir, nx_config_text(&p->config, NX_CFG_TLS_CERTIFICATE), cert, &err) ||
		nx_site_path(p->dir, nx_config_text(&p->config, NX_CFG_TLS_KEY), key, &err) ||
		nx_tls_new(&opts, &tls, &err))
		return say_text(say, VERDICT_BAD, nx_err_text(&err));
	return v;
}

static bool is_loopback(const char *address)
{
	return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

/* What clients elsewhere call: the machine's name, or the address when it listens on one. */
static const char *host_called(const struct patient *p, char address[64], char host[HOST_LEN])
{
	static const enum nx_config_key keys[] = {
		NX_CFG_LISTEN_DIMSE_TLS, NX_CFG_LISTEN_DATA, NX_CFG_LISTEN_MANAGEMENT};
	uint16_t port;

	for (size_t i = 0; i < NX_ARRAY_LEN(keys); i++)
		if (nx_config_address(&p->config, keys[i], address, &port) &&
			!is_loopback(address)) {
			host[HOST_LEN - 1] = '\0';
			return gethostname(host, HOST_LEN - 1) == 0 ? host : "localhost";
		}
	return "localhost";
}

enum verdict doctor_host(const struct patient *p, char say[DOCTOR_SAY])
{
	char path[NX_SITE_PATH], address[64], host[HOST_LEN];
	const char *called = host_called(p, address, host);
	bool fits = false;
	struct nx_err err;

	if (nx_site_path(p->dir, nx_config_text(&p->config, NX_CFG_TLS_CERTIFICATE), path, &err) ||
		nx_tls_fits_host(path, called, &fits, &err))
		return say_text(say, VERDICT_BAD, nx_err_text(&err));
	(void)snprintf(say, DOCTOR_SAY, "the certificate is %sfor %s", fits ? "" : "not ", called);
	return fits ? VERDICT_GOOD : VERDICT_WARN;
}

enum verdict doctor_plain(const struct patient *p, char say[DOCTOR_SAY])
{
	char address[64];
	uint16_t port;

	if (!nx_config_address(&p->config, NX_CFG_LISTEN_DIMSE, address, &port))
		return say_text(say, VERDICT_GOOD, "DICOM goes over TLS only");
	if (is_loopback(address))
		return say_text(
			say, VERDICT_GOOD, "DICOM without TLS on the loopback interface only");
	(void)snprintf(
		say, DOCTOR_SAY, "DICOM without TLS on %s: patient data crosses in clear", address);
	return VERDICT_WARN;
}

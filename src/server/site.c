#include "server/site.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/archive.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "catalog/catalog.h"
#include "dataset/release.h"
#include "deid/deid.h"
#include "edit/edit.h"
#include "ingest/ingest.h"
#include "keys/keys.h"
#include "lifecycle/admin.h"
#include "lifecycle/works.h"
#include "report/report.h"
#include "retrieve/retrieve.h"
#include "store/pool.h"

nx_rc nx_site_path(const char *dir, const char *name, char ret[NX_SITE_PATH], struct nx_err *err)
{
	int n = name[0] == '/' ? snprintf(ret, NX_SITE_PATH, "%s", name)
			       : snprintf(ret, NX_SITE_PATH, "%s/%s", dir, name);

	if (n < 0 || n >= NX_SITE_PATH)
		return nx_err_set(err, NX_E_LIMIT, "path in the site is too long");
	return NX_OK;
}

nx_rc nx_site_places(const char *dir, const struct nx_config *config, char *ret[NX_SITE_PLACES],
	size_t *ret_n, struct nx_err *err)
{
	const char *text = nx_config_text(config, NX_CFG_KEYS_PLACES);
	char name[NX_SITE_PATH], path[NX_SITE_PATH];
	nx_rc rc = NX_OK;
	size_t n = 0;

	while (*text && !rc) {
		size_t len = strcspn(text, ":");

		(void)snprintf(name, sizeof(name), "%.*s", (int)len, text);
		text += len + (text[len] == ':');
		if (!len || n == NX_SITE_PLACES)
			rc = nx_err_set(err, NX_E_CONFIG, "keys.places: one to eight folders");
		else
			rc = nx_site_path(dir, name, path, err);
		if (!rc) {
			ret[n] = strdup(path);
			rc = ret[n] ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for paths");
			n += ret[n] != NULL;
		}
	}
	if (rc)
		while (n)
			free(ret[--n]);
	else
		*ret_n = n;
	return rc;
}

nx_rc nx_site_pool_uri(const char *dir, const struct nx_config *config, char ret[NX_SITE_PATH + 8],
	struct nx_err *err)
{
	const char *uri = nx_config_text(config, NX_CFG_POOL_URI);
	char path[NX_SITE_PATH];
	nx_rc rc;

	if (strncmp(uri, "dir:", 4) != 0) {
		(void)snprintf(ret, NX_SITE_PATH + 8, "%s", uri);
		return NX_OK;
	}
	rc = nx_site_path(dir, uri + 4, path, err);
	if (!rc)
		(void)snprintf(ret, NX_SITE_PATH + 8, "dir:%s", path);
	return rc;
}

void nx_site_origin(const struct nx_config *config, char ret[NX_SITE_ORIGIN])
{
	(void)snprintf(ret, NX_SITE_ORIGIN, "narthex/%s", nx_config_text(config, NX_CFG_SITE_NAME));
}

/* ---- open ---- */

/* Held while the process lives. */
static nx_rc lock_take(struct nx_site *site, struct nx_err *err)
{
	NX_AUTO_FD run = -1;
	char path[NX_SITE_PATH];
	nx_rc rc = nx_site_path(site->dir, "run", path, err);

	if (!rc)
		rc = nx_mkdirs(path, err);
	if (rc)
		return rc;
	run = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (run < 0)
		return nx_err_errno(err, "lock of the site");
	rc = nx_dir_hold(run, &site->lock_fd, err);
	return rc == NX_E_BUSY ? nx_err_set(err, rc, "another process has this site") : rc;
}

static nx_rc keys_open(struct nx_site *site, const struct nx_secret *passphrase, struct nx_err *err)
{
	char *places[NX_SITE_PLACES];
	struct nx_keys_opts opts = {.driver = "file",
		.places = (const char *const *)places,
		.passphrase = nx_slice(passphrase->data, passphrase->n)};
	nx_rc rc = nx_site_places(site->dir, &site->config, places, &opts.n_places, err);

	if (rc)
		return rc;
	rc = nx_keys_open(&opts, &site->keys, err);
	for (size_t i = 0; i < opts.n_places; i++)
		free(places[i]);
	return rc;
}

/* The old catalog stays beside the new one until somebody removes it. */
static nx_rc catalog_aside(struct nx_site *site, struct nx_err *err)
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	char from[NX_SITE_PATH], to[NX_SITE_PATH];
	long long now = (long long)(nx_now_us() / 1000000);

	for (size_t i = 0; i < NX_ARRAY_LEN(ends); i++) {
		if ((size_t)snprintf(from, sizeof(from), "%s/catalog.db%s", site->dir, ends[i]) >=
				sizeof(from) ||
			(size_t)snprintf(to, sizeof(to), "%s/catalog.old-%lld%s", site->dir, now,
				ends[i]) >= sizeof(to))
			return nx_err_set(err, NX_E_LIMIT, "path in the site is too long");
		if (rename(from, to) < 0 && errno != ENOENT)
			return nx_err_errno(err, "move the catalog aside");
	}
	return NX_OK;
}

static nx_rc catalog_open(struct nx_site *site, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) key = {{0}};
	char path[NX_SITE_PATH];
	struct nx_cat_opts opts = {.path = path,
		.key = &key,
		.n_readers = (unsigned)nx_config_number(&site->config, NX_CFG_CATALOG_READERS)};
	nx_rc rc = nx_site_path(site->dir, "catalog.db", path, err);

	if (!rc)
		rc = nx_keys_site(site->keys, "catalog", &key, err);
	/* A key that was made just now is on stable storage before anything is under it. */
	if (!rc)
		rc = nx_keys_sync(site->keys, err);
	return rc ? rc : nx_cat_open(&opts, &site->cat, err);
}

static nx_rc pool_open(struct nx_site *site, struct nx_err *err)
{
	char uri[NX_SITE_PATH + 8];
	nx_rc rc = nx_site_pool_uri(site->dir, &site->config, uri, err);

	if (!rc && strncmp(uri, "dir:", 4) == 0)
		rc = nx_mkdirs(uri + 4, err);
	return rc ? rc : nx_pool_open(uri, &site->pool, err);
}

static nx_rc archive_open(struct nx_site *site, bool rebuild, struct nx_err *err)
{
	char dir[NX_SITE_PATH];
	struct nx_archive_opts opts = {.pool = site->pool,
		.keys = site->keys,
		.cat = site->cat,
		.ledger_dir = dir,
		.origin = site->origin,
		.rebuild = rebuild};
	nx_rc rc = nx_site_path(site->dir, "ledger", dir, err);

	nx_site_origin(&site->config, site->origin);
	if (!rc)
		rc = nx_mkdirs(dir, err);
	return rc ? rc : nx_archive_open(&opts, &site->archive, err);
}

static bool file_known(const struct nx_site *site, const char *path)
{
	for (size_t i = 0; i < site->n_files; i++)
		if (strcmp(site->files[i], path) == 0)
			return true;
	return false;
}

/* What makes a site besides its data.  Whoever keeps certificates elsewhere keeps them. */
static nx_rc files_list(struct nx_site *site, struct nx_err *err)
{
	const char *const names[NX_SITE_FILES] = {"narthex.yaml", "tls/ca.pem", "tls/ca-key.pem",
		nx_config_text(&site->config, NX_CFG_TLS_CERTIFICATE),
		nx_config_text(&site->config, NX_CFG_TLS_KEY),
		nx_config_text(&site->config, NX_CFG_TLS_CLIENT_CA)};
	char path[NX_SITE_PATH];
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < NX_SITE_FILES && !rc; i++) {
		rc = nx_site_path(site->dir, names[i], path, err);
		if (rc || !names[i][0] || names[i][0] == '/' || access(path, F_OK) < 0 ||
			file_known(site, path))
			continue;
		site->files[site->n_files] = strdup(path);
		if (!site->files[site->n_files++])
			rc = nx_err_set(err, NX_E_NOMEM, "no memory for paths");
	}
	return rc;
}

/* Manifests of releases are kept as objects of this collection. */
static struct nx_releases *releases_new(struct nx_site *site)
{
	const struct nx_releases_opts opts = {
		.archive = site->archive, .collection = "archive", .origin = site->origin};

	return nx_releases_new(&opts);
}

static void quarantine_set(struct nx_site *site)
{
	const struct nx_config *c = &site->config;

	nx_ingest_set_quarantine(site->ingest,
		&(struct nx_quarantine_opts){.off = !nx_config_number(c, NX_CFG_INGEST_QUARANTINE),
			.check_meta =
				strcmp(nx_config_text(c, NX_CFG_INGEST_META_GROUP), "check") == 0,
			.max_items = (uint64_t)nx_config_number(c, NX_CFG_INGEST_QUARANTINE_ITEMS),
			.max_bytes = (uint64_t)nx_config_number(c, NX_CFG_INGEST_QUARANTINE_MIB) *
				NX_MIB});
}

static nx_rc services_open(struct nx_site *site, struct nx_err *err)
{
	const char *environment = nx_config_text(&site->config, NX_CFG_SITE_ENVIRONMENT);

	site->ingest = nx_ingest_new(site->archive);
	site->retrieve = nx_retrieve_new(site->archive);
	site->admin = nx_admin_new(site->archive, environment,
		nx_config_text(&site->config, NX_CFG_INGEST_ON_CONFLICT));
	if (site->ingest)
		quarantine_set(site);
	if (site->ingest)
		site->report = nx_report_new(site->archive, site->ingest,
			nx_config_text(&site->config, NX_CFG_SITE_NAME), environment);
	site->deid = nx_deid_new(site->archive);
	site->edits = nx_edits_new(site->archive);
	site->releases = releases_new(site);
	site->works = nx_works_new();
	if (!site->works || !site->ingest || !site->retrieve || !site->admin || !site->report ||
		!site->deid || !site->edits || !site->releases)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the services");
	return NX_OK;
}

static nx_rc site_new(const char *dir, struct nx_site **ret, struct nx_err *err)
{
	NX_AUTO(nx_site) *site = calloc(1, sizeof(*site));

	if (!site)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a site");
	site->lock_fd = -1;
	site->dir = realpath(dir, NULL);
	if (!site->dir)
		return nx_err_errno(err, "folder of the site");
	*ret = NX_STEAL(site);
	return NX_OK;
}

/* Whoever reads that something is damaged reads what helps. */
static const char *const keys_help =
	"the key store is damaged: put back the folder of one place from a copy, or restore a backup";
static const char *const catalog_help =
	"the catalog is damaged: narthex fsck --rebuild makes it again from packs and keys";
static const char *const archive_help =
	"packs or ledger are damaged: narthex restore makes a site from a backup and a key place";

static nx_rc advise(nx_rc rc, const char *help, struct nx_err *err)
{
	return rc == NX_E_CORRUPT ? nx_err_prefix(err, rc, "%s", help) : rc;
}

static nx_rc state_open(struct nx_site *site, bool rebuild, struct nx_err *err)
{
	nx_rc rc = advise(catalog_open(site, err), catalog_help, err);
	const char *help;

	if (!rc)
		rc = pool_open(site, err);
	if (rc)
		return rc;
	rc = archive_open(site, rebuild, err);
	help = rc && err && strstr(nx_err_text(err), "catalog:") ? catalog_help : archive_help;
	return advise(rc, help, err);
}

nx_rc nx_site_open(const char *dir, const struct nx_secret *passphrase, bool rebuild,
	struct nx_site **ret_site, struct nx_err *err)
{
	NX_AUTO(nx_site) *site = NULL;
	nx_rc rc = site_new(dir, &site, err);

	if (!rc)
		rc = nx_config_init(&site->config, err);
	if (!rc)
		rc = nx_config_load(site->dir, &site->config, err);
	if (!rc)
		rc = files_list(site, err);
	if (!rc)
		rc = lock_take(site, err);
	if (!rc)
		rc = advise(keys_open(site, passphrase, err), keys_help, err);
	if (!rc && rebuild)
		rc = catalog_aside(site, err);
	if (!rc)
		rc = state_open(site, rebuild, err);
	if (!rc)
		rc = services_open(site, err);
	if (rc)
		return rc;
	*ret_site = NX_STEAL(site);
	return NX_OK;
}

struct nx_site *nx_site_free(struct nx_site *site)
{
	if (!site)
		return NULL;
	nx_works_free(site->works);
	nx_releases_free(site->releases);
	nx_edits_free(site->edits);
	nx_deid_free(site->deid);
	nx_report_free(site->report);
	nx_admin_free(site->admin);
	nx_retrieve_free(site->retrieve);
	nx_ingest_free(site->ingest);
	nx_archive_free(site->archive);
	nx_pool_free(site->pool);
	nx_cat_free(site->cat);
	nx_keys_free(site->keys);
	nx_config_done(&site->config);
	if (site->lock_fd >= 0)
		(void)close(site->lock_fd); /* and with it the lock */
	for (size_t i = 0; i < site->n_files; i++)
		free(site->files[i]);
	free(site->dir);
	free(site);
	return NULL;
}

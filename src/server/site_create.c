#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/access.h"
#include "base/buf.h"
#include "base/file.h"
#include "keys/keys.h"
#include "lifecycle/admin.h"
#include "net/net.h"
#include "server/site.h"

enum {
	TLS_NAMES_MAX = 32,
	TLS_NAMES_OWN = 4, /* localhost and its two addresses, the host's name */
	TLS_DAYS = 825,    /* what TLS clients accept of a private certificate */
	AE_TEXT = 256
};

static const struct nx_principal installer = {
	.kind = NX_PRINCIPAL_SYSTEM, .name = "installer", .role = "admin"};

/* To give every new site another collection, add a row. */
static const struct nx_collection_spec first_collections[] = {
	{.name = "clinical", .zone = "landing", .sensitivity = "phi"},
	{.name = "curated", .zone = "curated", .sensitivity = "deid"},
	{.name = "archive", .zone = "archive", .sensitivity = "deid"},
};

static nx_rc pool_set(const char *folder, struct nx_config *config, struct nx_err *err)
{
	char uri[NX_SITE_PATH + 8];

	if (folder[0] != '/' || strlen(folder) >= NX_SITE_PATH)
		return nx_err_set(err, NX_E_INVAL, "the pool is not an absolute path of a folder");
	(void)snprintf(uri, sizeof(uri), "dir:%s", folder);
	return nx_config_set(config, NX_CFG_POOL_URI, uri, err);
}

static nx_rc config_make(
	const struct nx_site_spec *spec, struct nx_config *config, struct nx_err *err)
{
	nx_rc rc = nx_config_init(config, err);

	if (!rc && spec->name)
		rc = nx_config_set(config, NX_CFG_SITE_NAME, spec->name, err);
	if (!rc && spec->environment)
		rc = nx_config_set(config, NX_CFG_SITE_ENVIRONMENT, spec->environment, err);
	if (!rc && spec->pool)
		rc = pool_set(spec->pool, config, err);
	if (rc == NX_E_CONFIG && err)
		rc = err->rc = NX_E_INVAL; /* what the caller gave, not what a file has */
	return rc;
}

nx_rc nx_site_config_store(const char *dir, const struct nx_config *config, struct nx_err *err)
{
	NX_AUTO_FD fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	NX_AUTO_DONE(nx_buf) buf;
	nx_rc rc;

	nx_buf_init(&buf, 64 * NX_KIB, 0);
	if (fd < 0)
		return nx_err_errno(err, "folder of the site");
	nx_config_write(config, &buf);
	rc = nx_buf_check(&buf, err);
	return rc ? rc : nx_file_replace(fd, "narthex.yaml", nx_buf_slice(&buf), 0600, err);
}

static nx_rc keys_make(
	const struct nx_site_spec *spec, const struct nx_config *config, struct nx_err *err)
{
	char *places[NX_SITE_PLACES];
	struct nx_keys_opts opts = {.driver = "file",
		.places = (const char *const *)places,
		.passphrase = nx_slice(spec->passphrase->data, spec->passphrase->n)};
	nx_rc rc = nx_site_places(spec->dir, config, places, &opts.n_places, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < opts.n_places && !rc; i++)
		rc = nx_mkdirs(places[i], err);
	if (!rc)
		rc = nx_keys_create(&opts, err);
	for (size_t i = 0; i < opts.n_places; i++)
		free(places[i]);
	return rc;
}

static nx_rc tls_make(const struct nx_site_spec *spec, struct nx_err *err)
{
	const char *names[TLS_NAMES_MAX] = {"localhost", "127.0.0.1", "::1"};
	char dir[NX_SITE_PATH], host[256] = "";
	size_t n = 3;
	nx_rc rc = nx_site_path(spec->dir, "tls", dir, err);

	if (!rc)
		rc = nx_mkdirs(dir, err);
	if (rc)
		return rc;
	if (gethostname(host, sizeof(host) - 1) == 0 && host[0] && strcmp(host, "localhost") != 0)
		names[n++] = host;
	for (size_t i = 0; i < spec->n_tls_names; i++)
		names[n++] = spec->tls_names[i];
	return nx_tls_make_ca(dir, names, n, TLS_DAYS, err);
}

/* CALLING[:CALLED[:ADDRESS]]=collection[/role]; an address may have colons.  `ret` points into
 * `copy`. */
static nx_rc ae_parse(
	const char *text, char copy[AE_TEXT], struct nx_ae_spec *ret, struct nx_err *err)
{
	char *at;

	if ((size_t)snprintf(copy, AE_TEXT, "%s", text) >= AE_TEXT || !(at = strrchr(copy, '=')))
		return nx_err_set(
			err, NX_E_INVAL, "not CALLING[:CALLED[:ADDRESS]]=collection[/role]");
	*at = '\0';
	*ret = (struct nx_ae_spec){.calling = copy, .collection = at + 1};
	at = strchr(at + 1, '/');
	if (at) {
		*at = '\0';
		ret->role = at + 1;
	}
	at = strchr(copy, ':');
	if (at) {
		*at = '\0';
		ret->called = at + 1;
		at = strchr(at + 1, ':');
	}
	if (at) {
		*at = '\0';
		ret->address = at + 1;
	}
	return nx_admin_ae_check(ret, err);
}

static nx_rc ae_allow(struct nx_site *site, const char *text, struct nx_err *err)
{
	char copy[AE_TEXT];
	struct nx_ae_spec spec;
	nx_rc rc = ae_parse(text, copy, &spec, err);

	return rc ? rc : nx_admin_ae_allow(site->admin, &installer, &spec, err);
}

static bool is_first_collection(const char *name)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(first_collections); i++)
		if (strcmp(first_collections[i].name, name) == 0)
			return true;
	return false;
}

/* Before anything is made: a site that is half made helps nobody. */
static nx_rc spec_check(const struct nx_site_spec *spec, struct nx_err *err)
{
	char copy[AE_TEXT];
	struct nx_ae_spec ae;
	nx_rc rc = NX_OK;

	if (spec->n_tls_names > TLS_NAMES_MAX - TLS_NAMES_OWN)
		return nx_err_set(err, NX_E_LIMIT, "too many names for the certificate");
	for (size_t i = 0; i < spec->n_allow_ae && !rc; i++) {
		rc = ae_parse(spec->allow_ae[i], copy, &ae, err);
		if (!rc && !is_first_collection(ae.collection))
			rc = nx_err_set(err, NX_E_INVAL,
				"a new site has no collection %s to let an AE send into",
				ae.collection);
	}
	return rc;
}

static nx_rc first_changes(
	struct nx_site *site, const struct nx_site_spec *spec, char token[48], struct nx_err *err)
{
	nx_rc rc = nx_admin_site_create(
		site->admin, &installer, nx_config_text(&site->config, NX_CFG_SITE_NAME), err);

	for (size_t i = 0; i < NX_ARRAY_LEN(first_collections) && !rc; i++)
		rc = nx_admin_collection_create(
			site->admin, &installer, &first_collections[i], err);
	for (size_t i = 0; i < spec->n_allow_ae && !rc; i++)
		rc = ae_allow(site, spec->allow_ae[i], err);
	if (!rc)
		rc = nx_admin_token_create(
			site->admin, &installer, "admin", "admin", 0, token, err);
	return rc;
}

nx_rc nx_site_absent(const char *dir, struct nx_err *err)
{
	static const char *const names[] = {"narthex.yaml", "catalog.db", "ledger", "tls"};
	char path[NX_SITE_PATH];
	struct stat st;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < NX_ARRAY_LEN(names) && !rc; i++) {
		rc = nx_site_path(dir, names[i], path, err);
		if (!rc && lstat(path, &st) == 0)
			rc = nx_err_set(err, NX_E_EXISTS, "the folder has a %s already", names[i]);
	}
	return rc;
}

/* ---- a site that is being made ---- */

/* There from before the first key until the first changes are durable.  Nothing can be stored
 * meanwhile, and what it stands beside was not there before: see vacant(). */
static const char mark_file[] = "init.unfinished";

nx_rc nx_site_finished(const char *dir, struct nx_err *err)
{
	char path[NX_SITE_PATH];
	struct stat st;
	nx_rc rc = nx_site_path(dir, mark_file, path, err);

	if (!rc && lstat(path, &st) == 0)
		rc = nx_err_set(err, NX_E_EXISTS,
			"init was not finished in this folder and nothing is stored there: remove "
			"it, with its key places and its pool, and run narthex init again");
	return rc;
}

/* Absent, or an empty folder. */
static nx_rc vacant(const char *path, const char *what, struct nx_err *err)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	nx_rc rc = NX_OK;

	if (!dir)
		return errno == ENOENT ? NX_OK : nx_err_errno(err, "look into %s", what);
	while (!rc && (entry = readdir(dir))) /* NOLINT(concurrency-mt-unsafe): own stream */
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
			strcmp(entry->d_name, "lost+found") != 0)
			rc = nx_err_set(err, NX_E_EXISTS,
				"%s has something in it: it may be of another site", what);
	(void)closedir(dir);
	return rc;
}

static nx_rc all_vacant(
	const struct nx_site_spec *spec, const struct nx_config *config, struct nx_err *err)
{
	char *places[NX_SITE_PLACES];
	char uri[NX_SITE_PATH + 8];
	size_t n = 0;
	nx_rc rc = nx_site_pool_uri(spec->dir, config, uri, err);

	if (!rc && strncmp(uri, "dir:", 4) == 0)
		rc = vacant(uri + 4, "the pool", err);
	if (!rc)
		rc = nx_site_places(spec->dir, config, places, &n, err);
	for (size_t i = 0; i < n; i++) {
		if (!rc)
			rc = vacant(places[i], "a key place", err);
		free(places[i]);
	}
	return rc;
}

static nx_rc mark(const char *dir, bool unfinished, struct nx_err *err)
{
	NX_AUTO_FD fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return nx_err_errno(err, "folder of the site");
	if (unfinished)
		return nx_file_replace(fd, mark_file, nx_slice_str(""), 0600, err);
	if (unlinkat(fd, mark_file, 0) < 0 || fsync(fd) < 0)
		return nx_err_errno(err, "mark the site as finished");
	return NX_OK;
}

static nx_rc parts_make(
	const struct nx_site_spec *spec, const struct nx_config *config, struct nx_err *err)
{
	nx_rc rc = keys_make(spec, config, err);

	if (!rc)
		rc = tls_make(spec, err);
	return rc ? rc : nx_site_config_store(spec->dir, config, err);
}

nx_rc nx_site_create(const struct nx_site_spec *spec, char ret_token[48], struct nx_err *err)
{
	NX_AUTO_DONE(nx_config) config = {0};
	NX_AUTO(nx_site) *site = NULL;
	char token[48];
	nx_rc rc = nx_site_finished(spec->dir, err);

	if (!rc)
		rc = spec_check(spec, err);
	if (!rc)
		rc = nx_site_absent(spec->dir, err);
	if (!rc)
		rc = config_make(spec, &config, err);
	if (!rc)
		rc = all_vacant(spec, &config, err);
	if (!rc)
		rc = nx_mkdirs(spec->dir, err);
	if (!rc)
		rc = mark(spec->dir, true, err);
	if (!rc)
		rc = parts_make(spec, &config, err);
	if (!rc)
		rc = nx_site_open(spec->dir, spec->passphrase, false, &site, err);
	if (!rc)
		rc = first_changes(site, spec, token, err);
	if (!rc)
		rc = mark(spec->dir, false, err);
	if (!rc)
		memcpy(ret_token, token, sizeof(token));
	explicit_bzero(token, sizeof(token));
	return rc;
}

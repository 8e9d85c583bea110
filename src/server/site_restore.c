/* A site from a backup and the key places that survived. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "keys/keys.h"
#include "lifecycle/backup.h"
#include "server/site.h"

struct restoring {
	const struct nx_site_restore_spec *spec;
	char *dir; /* of the new site, absolute */
	char tls[NX_SITE_PATH];
	struct nx_config config;
	struct nx_keys_opts keys;
	char *old[NX_SITE_PLACES]; /* surviving places, absolute */
	size_t n_old;
	char *lost[NX_SITE_PLACES]; /* of the configuration: made again */
	size_t n_lost;
};

static nx_rc old_places(struct restoring *r, struct nx_err *err)
{
	if (!r->spec->n_places || r->spec->n_places > NX_SITE_PLACES)
		return nx_err_set(
			err, NX_E_INVAL, "one to %d surviving key places", NX_SITE_PLACES);
	for (size_t i = 0; i < r->spec->n_places; i++) {
		r->old[i] = realpath(r->spec->places[i], NULL);
		if (!r->old[i])
			return nx_err_errno(err, "key place %zu", i + 1);
		r->n_old++;
		if (strchr(r->old[i], ':')) /* keys.places has them between places */
			return nx_err_set(
				err, NX_E_INVAL, "key place %zu has a colon in its path", i + 1);
	}
	r->keys = (struct nx_keys_opts){.driver = "file",
		.places = (const char *const *)r->old,
		.n_places = r->n_old,
		.passphrase = nx_slice(r->spec->passphrase->data, r->spec->passphrase->n)};
	return NX_OK;
}

/* Beside the certificates: only what has become a site has its narthex.yaml where a site has it. */
static nx_rc config_fetch(struct restoring *r, struct nx_err *err)
{
	nx_rc rc = nx_site_absent(r->spec->dir, err);

	if (!rc)
		rc = nx_mkdirs(r->spec->dir, err);
	if (rc)
		return rc;
	r->dir = realpath(r->spec->dir, NULL);
	if (!r->dir)
		return nx_err_errno(err, "folder of the site");
	rc = nx_site_path(r->dir, "tls", r->tls, err);
	if (!rc)
		rc = nx_mkdirs(r->tls, err);
	if (!rc)
		rc = nx_restore_files(r->spec->from, &r->keys, r->tls, err);
	return rc ? rc : nx_config_load(r->tls, &r->config, err);
}

static bool survived(const struct restoring *r, const char *place)
{
	NX_AUTO_MEM char *real = realpath(place, NULL);

	for (size_t i = 0; real && i < r->n_old; i++)
		if (strcmp(r->old[i], real) == 0)
			return true;
	return false;
}

/* As many places as there were; a surviving one takes the place of one that is lost. */
static nx_rc lost_places(struct restoring *r, struct nx_err *err)
{
	char *named[NX_SITE_PLACES];
	size_t n = 0;
	nx_rc rc = nx_site_places(r->dir, &r->config, named, &n, err);

	for (size_t i = 0; !rc && i < n; i++) {
		if (survived(r, named[i]) || r->n_old + r->n_lost >= n)
			continue;
		r->lost[r->n_lost++] = named[i];
		named[i] = NULL;
	}
	for (size_t i = 0; i < n; i++)
		free(named[i]);
	return rc;
}

static nx_rc places_name(struct restoring *r, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) text;
	nx_rc rc;

	nx_buf_init(&text, NX_SITE_PATH, 0);
	for (size_t i = 0; i < r->n_old + r->n_lost; i++)
		nx_buf_printf(&text, "%s%s", i ? ":" : "",
			i < r->n_old ? r->old[i] : r->lost[i - r->n_old]);
	rc = nx_buf_check(&text, err);
	return rc ? rc : nx_config_set(&r->config, NX_CFG_KEYS_PLACES, nx_buf_cstr(&text), err);
}

static nx_rc data_restore(struct restoring *r, struct nx_restore_result *ret, struct nx_err *err)
{
	char uri[NX_SITE_PATH + 8], catalog[NX_SITE_PATH], ledger[NX_SITE_PATH];
	char origin[NX_SITE_ORIGIN];
	const struct nx_restore_opts opts = {.backup = r->spec->from,
		.keys = &r->keys,
		.new_places = (const char *const *)r->lost,
		.n_new_places = r->n_lost,
		.cat_path = catalog,
		.pool_uri = uri,
		.ledger_dir = ledger,
		.origin = origin,
		.progress = r->spec->progress};
	nx_rc rc = nx_site_pool_uri(r->dir, &r->config, uri, err);

	nx_site_origin(&r->config, origin);
	if (!rc)
		rc = nx_site_path(r->dir, "catalog.db", catalog, err);
	if (!rc)
		rc = nx_site_path(r->dir, "ledger", ledger, err);
	if (!rc && strncmp(uri, "dir:", 4) == 0)
		rc = nx_mkdirs(uri + 4, err);
	return rc ? rc : nx_restore_run(&opts, ret, err);
}

static nx_rc config_place(struct restoring *r, struct nx_err *err)
{
	char path[NX_SITE_PATH];
	nx_rc rc = nx_site_path(r->tls, "narthex.yaml", path, err);

	if (!rc)
		rc = places_name(r, err);
	if (!rc)
		rc = nx_site_config_store(r->dir, &r->config, err);
	if (!rc && unlink(path) < 0)
		rc = nx_err_errno(err, "remove the fetched configuration");
	return rc;
}

static void restoring_done(struct restoring *r)
{
	nx_config_done(&r->config);
	for (size_t i = 0; i < r->n_old; i++)
		free(r->old[i]);
	for (size_t i = 0; i < r->n_lost; i++)
		free(r->lost[i]);
	free(r->dir);
}

nx_rc nx_site_restore(
	const struct nx_site_restore_spec *spec, struct nx_restore_result *ret, struct nx_err *err)
{
	struct restoring r = {.spec = spec};
	nx_rc rc = nx_config_init(&r.config, err);

	if (!rc)
		rc = old_places(&r, err);
	if (!rc)
		rc = config_fetch(&r, err);
	if (!rc)
		rc = lost_places(&r, err);
	if (!rc)
		rc = data_restore(&r, ret, err);
	if (!rc)
		rc = config_place(&r, err);
	restoring_done(&r);
	return rc;
}

/*
 * site.h - one site on disk: layout, lock, and everything that is opened to work with it.
 *
 * Layer:   5 (server).
 * Threads: opened and closed by one; what it holds is shared.
 * PHI:     behind the services.
 *
 *   narthex.yaml  configuration           pool/   packs
 *   keys1/ keys2/ key store, two places   tls/    ca.pem, server.pem, their keys
 *   catalog.db    metadata                run/    lock, narthex.sock
 *   ledger/       Merkle log
 */
#ifndef NX_SERVER_SITE_H
#define NX_SERVER_SITE_H

#include "base/auto.h"
#include "base/err.h"
#include "base/secret.h"
#include "server/config.h"

struct nx_admin;
struct nx_archive;
struct nx_cat;
struct nx_deid;
struct nx_edits;
struct nx_ingest;
struct nx_keys;
struct nx_pool;
struct nx_progress;
struct nx_releases;
struct nx_report;
struct nx_restore_result;
struct nx_retrieve;
struct nx_works;

enum {
	NX_SITE_PATH = 4096,
	NX_SITE_PLACES = 8,
	NX_SITE_FILES = 6,
	NX_SITE_ORIGIN = 128
};

struct nx_site {
	char *dir; /* absolute */
	struct nx_config config;
	char origin[NX_SITE_ORIGIN]; /* who signs ledger and manifests */
	char *files[NX_SITE_FILES];  /* configuration and certificates, as paths: for backups */
	size_t n_files;
	int lock_fd;
	struct nx_keys *keys;
	struct nx_cat *cat;
	struct nx_pool *pool;
	struct nx_archive *archive;
	struct nx_ingest *ingest;
	struct nx_retrieve *retrieve;
	struct nx_admin *admin;
	struct nx_report *report;
	struct nx_deid *deid;
	struct nx_edits *edits;
	struct nx_releases *releases;
	struct nx_works *works;
};

/* Take the lock (NX_E_BUSY: another process has the site), open everything, replay.  `rebuild`: the
 * catalog is moved aside and made again from packs and key store. */
NX_NODISCARD nx_rc nx_site_open(const char *dir, const struct nx_secret *passphrase, bool rebuild,
	struct nx_site **ret_site, struct nx_err *err);
struct nx_site *nx_site_free(struct nx_site *site);
NX_DEFINE_AUTO(nx_site);

/* "tls/ca.pem" inside the site; an absolute path stays as it is.  NX_E_LIMIT. */
NX_NODISCARD nx_rc nx_site_path(
	const char *dir, const char *name, char ret[NX_SITE_PATH], struct nx_err *err);
/* The pool of the configuration: "dir:pool" is inside the site. */
NX_NODISCARD nx_rc nx_site_pool_uri(const char *dir, const struct nx_config *config,
	char ret[NX_SITE_PATH + 8], struct nx_err *err);
void nx_site_origin(const struct nx_config *config, char ret[NX_SITE_ORIGIN]);
/* NX_E_EXISTS when a site is there, or a part of one other than keys. */
NX_NODISCARD nx_rc nx_site_absent(const char *dir, struct nx_err *err);
/* NX_E_EXISTS, with what to do, where nx_site_create() was cut short. */
NX_NODISCARD nx_rc nx_site_finished(const char *dir, struct nx_err *err);
/* narthex.yaml of the site, replaced. */
NX_NODISCARD nx_rc nx_site_config_store(
	const char *dir, const struct nx_config *config, struct nx_err *err);
/* The key places of the configuration as paths; free each of them. */
NX_NODISCARD nx_rc nx_site_places(const char *dir, const struct nx_config *config,
	char *ret[NX_SITE_PLACES], size_t *ret_n, struct nx_err *err);

/* What narthex.yaml names is there: key places, certificates that load.  NX_E_CONFIG. */
NX_NODISCARD nx_rc nx_site_check(
	const char *dir, const struct nx_config *config, struct nx_err *err);

struct nx_site_spec {
	const char *dir;
	const char *name;        /* NULL: narthex */
	const char *environment; /* NULL: dev */
	const char *pool;        /* an absolute folder; NULL: pool inside the site */
	const struct nx_secret *passphrase;
	const char *const *allow_ae; /* CALLING[:CALLED[:ADDRESS]]=collection */
	size_t n_allow_ae;
	const char *const *tls_names; /* beside localhost and the host's name */
	size_t n_tls_names;
};
/* Make a site: keys, certificates, catalog, ledger, first collections and the administrator, whose
 * token is given out once.  NX_E_EXISTS where a site is, or where keys or a pool are. */
NX_NODISCARD nx_rc nx_site_create(
	const struct nx_site_spec *spec, char ret_token[48], struct nx_err *err);

struct nx_site_restore_spec {
	const char *dir;  /* of the new site */
	const char *from; /* the backup */
	const struct nx_secret *passphrase;
	const char *const *places; /* key places that survived */
	size_t n_places;
	struct nx_progress *progress; /* NULL */
};
/*
 * A site from a backup.  Key places that the configuration names and that are lost are made again;
 * the new configuration names these and the surviving ones.  It is written last: without it there
 * is no site.  NX_E_EXISTS where one is.
 */
NX_NODISCARD nx_rc nx_site_restore(
	const struct nx_site_restore_spec *spec, struct nx_restore_result *ret, struct nx_err *err);

#endif

/*
 * release.h - immutable versions of datasets: select, sort, sign, publish.
 *
 * Layer:   3 (dataset).  Uses archive, access, catalog, ledger, keys.
 * Threads: a struct nx_releases is shared; a call belongs to one thread.
 * PHI:     pseudonyms.
 */
#ifndef NX_DATASET_RELEASE_H
#define NX_DATASET_RELEASE_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/limits.h"

struct nx_archive;
struct nx_buf;
struct nx_principal;
struct nx_releases;

struct nx_releases_opts {
	struct nx_archive *archive;
	const char *collection; /* of zone archive: manifests are kept there as objects */
	const char *origin;     /* who signs: "narthex.example.org/site" */
};

/* Strings are borrowed and must outlive it.  NULL without memory. */
struct nx_releases *nx_releases_new(const struct nx_releases_opts *opts);
struct nx_releases *nx_releases_free(struct nx_releases *releases);
NX_DEFINE_AUTO(nx_releases);

/* ---- making ---- */

struct nx_release_opts {
	const struct nx_principal *who;
	const char *collection;     /* of zone curated */
	const char *name;           /* [a-z0-9][a-z0-9._-]*, at most 64 */
	const char *const *studies; /* Study Instance UIDs; NULL: all there are */
	size_t n_studies;
};

struct nx_release_result {
	int64_t version; /* 1, 2, ... of this name */
	uint8_t root[32];
	uint64_t n_items;
	uint64_t bytes;
};

/* Every live instance of the selection.  The same selection of the same instances has the same
 * root. NX_E_DENIED (recorded), NX_E_NOENT, NX_E_INVAL. */
NX_NODISCARD nx_rc nx_release_make(struct nx_releases *releases, const struct nx_release_opts *opts,
	struct nx_release_result *ret, struct nx_err *err);

/* ---- reading ---- */

/* "lung-ct@v1" -> name and version; "lung-ct": version 0, the newest.  NX_E_INVAL, also for NULL.
 */
NX_NODISCARD nx_rc nx_release_ref_parse(const char *ref, char ret_name[NX_LIMIT_NAME + 1],
	int64_t *ret_version, struct nx_err *err);
/* {"releases":[{"name","version","items","root","created","by"}]}: all published ones, or of one
 * name; needs NX_PERM_LEASE or NX_PERM_RELEASE. */
NX_NODISCARD nx_rc nx_release_list_json(struct nx_releases *releases,
	const struct nx_principal *who, const char *name, struct nx_buf *out, struct nx_err *err);
/* The manifest as stored; `version` 0: the newest.  Recorded before it is given out. */
NX_NODISCARD nx_rc nx_release_manifest(struct nx_releases *releases, const struct nx_principal *who,
	const char *name, int64_t version, struct nx_buf *out, struct nx_err *err);
/* The key line that verifies manifests of this site (C2SP signed-note). */
NX_NODISCARD nx_rc nx_release_verifier_key(
	struct nx_releases *releases, struct nx_buf *out, struct nx_err *err);

#endif

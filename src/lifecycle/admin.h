/*
 * admin.h - running a site: collections, AE titles, tokens, keys, scrubbing.
 *
 * Layer:   3 (lifecycle).  Uses archive, catalog, keys, ledger, access.
 * Threads: a struct nx_admin is shared.
 * PHI:     none.
 *
 * Every call asks for NX_PERM_ADMIN and leaves an entry in the ledger, a refused one too.
 */
#ifndef NX_LIFECYCLE_ADMIN_H
#define NX_LIFECYCLE_ADMIN_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/slice.h"

struct nx_admin;
struct nx_archive;
struct nx_buf;
struct nx_principal;
struct nx_progress;

/* `environment` ("prod") goes before the sensitivity in a domain's name; `on_conflict` is what new
 * collections get.  Both borrowed. */
struct nx_admin *nx_admin_new(struct nx_archive *archive, const char *environment,
	const char *on_conflict); /* NULL without memory */
struct nx_admin *nx_admin_free(struct nx_admin *admin);
NX_DEFINE_AUTO(nx_admin);

/* The site was made: its first entry. */
NX_NODISCARD nx_rc nx_admin_site_create(struct nx_admin *admin, const struct nx_principal *who,
	const char *name, struct nx_err *err);
/* The site starts (true) or stops. */
NX_NODISCARD nx_rc nx_admin_site_run(struct nx_admin *admin, bool start, struct nx_err *err);

/* ---- collections ---- */

struct nx_collection_spec {
	const char *name; /* 1-64 of a-z 0-9 . _ - */
	const char *zone; /* "landing", "curated", "training", "scratch", "archive", "vault" */
	const char *sensitivity; /* "phi", "deid", ...: the key domain is <environment>/<this> */
	const char *project;     /* "" : none */
	const char *tags;        /* JSON object; NULL: {} */
	const char *on_conflict; /* NULL: the site's */
};
NX_NODISCARD nx_rc nx_admin_collection_create(struct nx_admin *admin,
	const struct nx_principal *who, const struct nx_collection_spec *spec, struct nx_err *err);
/* {"collections":[{"name","zone","project","domain","tags","on_conflict","created"}]}; needs
 * NX_PERM_QUERY only. */
NX_NODISCARD nx_rc nx_admin_collections(struct nx_admin *admin, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err);

/* ---- DICOM peers ---- */

struct nx_ae_spec {
	const char *calling;
	const char *called;  /* "" : NARTHEX */
	const char *address; /* "" : any */
	const char *collection;
	const char *role; /* "" : modality */
};
/* What needs no catalog: titles, address and role.  NX_E_INVAL. */
NX_NODISCARD nx_rc nx_admin_ae_check(const struct nx_ae_spec *spec, struct nx_err *err);
NX_NODISCARD nx_rc nx_admin_ae_allow(struct nx_admin *admin, const struct nx_principal *who,
	const struct nx_ae_spec *spec, struct nx_err *err);
NX_NODISCARD nx_rc nx_admin_ae_remove(struct nx_admin *admin, const struct nx_principal *who,
	const char *calling, const char *called, struct nx_err *err);
NX_NODISCARD nx_rc nx_admin_ae_list(struct nx_admin *admin, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err);

struct nx_destination_spec {
	const char *ae;
	const char *host;
	int64_t port;
	bool tls;
	const char *calling; /* "" : NARTHEX */
};
/* A destination of C-MOVE and forwarding; one with that AE title is replaced. */
NX_NODISCARD nx_rc nx_admin_destination_set(struct nx_admin *admin, const struct nx_principal *who,
	const struct nx_destination_spec *spec, struct nx_err *err);
NX_NODISCARD nx_rc nx_admin_destination_remove(
	struct nx_admin *admin, const struct nx_principal *who, const char *ae, struct nx_err *err);
/* Is there one, and may `who` call it?  Recorded as a verification. */
NX_NODISCARD nx_rc nx_admin_destination_check(
	struct nx_admin *admin, const struct nx_principal *who, const char *ae, struct nx_err *err);
NX_NODISCARD nx_rc nx_admin_destination_list(struct nx_admin *admin, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err);

/* ---- tokens ---- */

/* The token is given out here and nowhere else: only its hash is kept.  NX_E_EXISTS for a name in
 * use. */
NX_NODISCARD nx_rc nx_admin_token_create(struct nx_admin *admin, const struct nx_principal *who,
	const char *name, const char *role, int64_t expires_us, char ret_token[48],
	struct nx_err *err);
NX_NODISCARD nx_rc nx_admin_token_revoke(struct nx_admin *admin, const struct nx_principal *who,
	const char *name, struct nx_err *err);
NX_NODISCARD nx_rc nx_admin_token_list(struct nx_admin *admin, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err);

/* ---- keys ---- */

NX_NODISCARD nx_rc nx_admin_keys(struct nx_admin *admin, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err);
/* A domain by name, or all of them (NULL). */
NX_NODISCARD nx_rc nx_admin_keys_rotate(struct nx_admin *admin, const struct nx_principal *who,
	const char *domain, struct nx_progress *progress, uint32_t *ret_rotated,
	struct nx_err *err);
NX_NODISCARD nx_rc nx_admin_keys_passphrase(struct nx_admin *admin, const struct nx_principal *who,
	struct nx_slice passphrase, struct nx_err *err);

/* ---- integrity ---- */

/* {"items","extents","bytes","bad","erased","failures":[{"item","code","message"}]} (the first 100
 * failures).  Each failure is in the ledger. */
NX_NODISCARD nx_rc nx_admin_scrub(struct nx_admin *admin, const struct nx_principal *who,
	struct nx_progress *progress, struct nx_buf *out, uint64_t *ret_bad, struct nx_err *err);

#endif

/*
 * erase.h - erasing a subject, with a certificate.
 *
 * Layer:   3 (lifecycle).  Uses archive, catalog, keys, ledger, access.
 * Threads: safe.
 * PHI:     a patient id goes in; nothing of it comes out, nor into the ledger.
 */
#ifndef NX_LIFECYCLE_ERASE_H
#define NX_LIFECYCLE_ERASE_H

#include <stdint.h>

#include "base/err.h"

struct nx_archive;
struct nx_buf;
struct nx_principal;

/* Whom: a subject, or when that is 0 the one whose patient id this is in a collection's domain. */
struct nx_erasure_spec {
	uint64_t subject;
	const char *collection;
	const char *issuer; /* NULL: "" */
	const char *patient_id;
	const char *reason; /* for the ledger and the certificate; no identifiers */
	const char *site;   /* its name, for the certificate */
};

struct nx_erasure_result {
	uint64_t subject;
	uint64_t items;
	uint64_t key_places; /* which confirmed that the keys are gone */
	uint64_t entry;      /* in the ledger */
};

/*
 * Needs NX_PERM_ERASE.  On return nothing of the subject opens, in this site or in any copy of it.
 * `certificate` gets a signed statement (docs/formats/ERASURE-CERTIFICATE.md).  NX_E_NOENT: no such
 * patient or subject.  Erasing twice gives a second certificate, with no items.
 */
NX_NODISCARD nx_rc nx_lifecycle_erase(struct nx_archive *archive, const struct nx_principal *who,
	const struct nx_erasure_spec *spec, struct nx_erasure_result *ret,
	struct nx_buf *certificate, struct nx_err *err);

/* NX_E_CORRUPT when this site did not sign it, or it was changed. */
NX_NODISCARD nx_rc nx_lifecycle_certificate_check(
	struct nx_archive *archive, const char *text, struct nx_err *err);

#endif

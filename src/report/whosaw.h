/*
 * whosaw.h - the accounting of disclosures: who saw a patient, a study; what somebody saw.
 *
 * Layer:   3 (report).  Uses archive, catalog, ledger, access.
 * Threads: safe.
 * PHI:     yes: opened bodies may hold identifiers.
 */
#ifndef NX_REPORT_WHOSAW_H
#define NX_REPORT_WHOSAW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct nx_archive;
struct nx_buf;
struct nx_principal;

/* One of four: a patient id in a collection's domain, a subject, a study, a principal. */
struct nx_whosaw {
	const char *collection; /* with patient_id */
	const char *issuer;     /* NULL: "" */
	const char *patient_id;
	uint64_t subject; /* as on a certificate of erasure: works when all else is erased */
	const char *study;
	const char *principal;
	int64_t from_us; /* from_us <= time < to_us; the proof covers all times */
	int64_t to_us;   /* 0: no end */
	bool proof;      /* add the bundle that the offline verifier reads */
};

/*
 * {"subject","entries":[{"index","time","action","outcome","body"}],"total","proof"}, newest
 * first; "total" counts the whole chain.  Needs NX_PERM_AUDIT; the question is in the ledger before
 * the answer is read, so that the answer tells of it.  NX_E_NOENT: no such patient.
 */
NX_NODISCARD nx_rc nx_report_who_saw(struct nx_archive *archive, const struct nx_principal *who,
	const struct nx_whosaw *query, struct nx_buf *out, struct nx_err *err);

#endif

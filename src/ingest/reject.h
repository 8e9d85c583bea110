/*
 * reject.h - rejection notes that are made here (IHE Imaging Object Change Management).
 *
 * Layer:   3 (ingest).
 * Threads: see ingest.h.
 * PHI:     yes.
 */
#ifndef NX_INGEST_REJECT_H
#define NX_INGEST_REJECT_H

#include "ingest/ingest.h"

struct nx_reject_request {
	const struct nx_principal *who;
	const char *collection;
	const char *study;
	const char *series;   /* NULL: all of the study */
	const char *instance; /* NULL: all of the series */
	int64_t reason;       /* enum nx_rejection_reason */
};

/* Make the note and take it in like one that is sent: it is an instance of the study.  For who may
 * reject; NX_E_NOENT: there is nothing to reject. */
NX_NODISCARD nx_rc nx_reject(struct nx_ingest *ingest, const struct nx_reject_request *request,
	struct nx_ingest_result *ret_note, uint64_t *ret_rejected, struct nx_err *err);

#endif

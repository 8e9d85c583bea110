/*
 * worklist.h - what is scheduled and not done in time expires.
 *
 * Layer:   3 (lifecycle).  Uses archive, catalog, ledger, dicom.
 * Threads: has a thread of its own; the calls are for one thread.
 * PHI:     entries of the ledger name items of the worklist.
 */
#ifndef NX_LIFECYCLE_WORKLIST_H
#define NX_LIFECYCLE_WORKLIST_H

#include "base/auto.h"
#include "base/err.h"

struct nx_archive;
struct nx_worklist;

/* Rows for items that were put before there were any.  Before anybody asks for the worklist. */
NX_NODISCARD nx_rc nx_worklist_index(struct nx_archive *archive, struct nx_err *err);

struct nx_worklist_opts {
	struct nx_archive *archive; /* borrowed */
	unsigned states;            /* that expire: bits 1 << enum nx_worklist_state */
	int64_t days;               /* after the day that it was scheduled for, or put; 0: never */
};
/* From now on what is not done in time gets the state "expired", and an entry in the ledger. */
NX_NODISCARD nx_rc nx_worklist_new(
	const struct nx_worklist_opts *opts, struct nx_worklist **ret, struct nx_err *err);
struct nx_worklist *nx_worklist_free(struct nx_worklist *worklist);
NX_DEFINE_AUTO(nx_worklist);

#endif

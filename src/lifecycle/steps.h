/*
 * steps.h - performed procedure steps as they stand, and what they say of a study.
 *
 * Layer:   3 (lifecycle).  Uses archive, catalog, ledger, access, dicom.
 * Threads: safe.
 * PHI:     answers name patients.
 */
#ifndef NX_LIFECYCLE_STEPS_H
#define NX_LIFECYCLE_STEPS_H

#include <stdint.h>

#include "base/err.h"

struct nx_archive;
struct nx_buf;
struct nx_principal;

struct nx_steps_ask {
	const char *collection;
	const char *after; /* SOP Instance UID of the last one before; NULL: from the first */
	unsigned limit;    /* 0: as many as there may be */
};

/*
 * {"performed_steps":[{"uid","state","patient","name","modality","station","started","ended",
 * "studies","series","instances"}],"next"}, by UID.  For who may use the worklist, as is the next.
 */
NX_NODISCARD nx_rc nx_steps_list(struct nx_archive *archive, const struct nx_principal *who,
	const struct nx_steps_ask *ask, struct nx_buf *out, struct nx_err *err);
/* The same of one, with "version", "changed" and its "dataset" in the DICOM JSON Model. */
NX_NODISCARD nx_rc nx_steps_show(struct nx_archive *archive, const struct nx_principal *who,
	const char *collection, const char *uid, struct nx_buf *out, struct nx_err *err);

/*
 * {"study","complete","told":{"time","confidence",...},"series","instances","steps":{"in_progress",
 * "completed","discontinued"},"expected","found","missing","missing_instances":[{"series","class",
 * "instance"}]}.  For who may query.  NX_E_NOENT: neither an instance nor a step is of the study.
 */
NX_NODISCARD nx_rc nx_study_completeness(struct nx_archive *archive, const struct nx_principal *who,
	const char *collection, const char *study, struct nx_buf *out, struct nx_err *err);

#endif

/*
 * completeness.h - when a study counts as complete.
 *
 * Layer:   3 (lifecycle).  Uses archive, catalog.
 * Threads: has a thread of its own; the calls are safe from any.
 * PHI:     events carry counts only.
 *
 * DICOM has no end of a study: a modality stops sending, and that is all.  So the confidence is
 * stated, the first that is reached:
 *
 *   expected    performed procedure steps have ended, one of them COMPLETED, and every instance
 * that they name is here committed   a storage commitment request named all instances of the study
 * that are here quiet       nothing was added or changed for the time that is configured partial
 * the same, and instances that a step names are missing
 *
 * What comes later opens the study again, as does a step that ends, and it is told of anew.
 */
#ifndef NX_LIFECYCLE_COMPLETENESS_H
#define NX_LIFECYCLE_COMPLETENESS_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"

struct nx_archive;
struct nx_completeness;

struct nx_completeness_opts {
	struct nx_archive *archive; /* borrowed; nothing was submitted to it yet */
	int64_t quiet_us;           /* nothing new for so long */
	bool expected;              /* these confidences count */
	bool committed;
	/* Optional: the event of the study is durable. */
	void (*on_complete)(void *payload, int64_t study);
	void *payload;
};

/*
 * From now on a study that counts as complete gets one event "study.complete" with {"confidence",
 * "quiet_s","series","instances"}, where it has steps with "steps", "expected", "found", "missing",
 * too, and a ledger entry.  Studies that were open when the site stopped are taken up again.
 */
NX_NODISCARD nx_rc nx_completeness_new(
	const struct nx_completeness_opts *opts, struct nx_completeness **ret, struct nx_err *err);
/* All instances that the study had at its change of that time were asked for, and are durable. */
void nx_completeness_committed(
	struct nx_completeness *completeness, int64_t study, int64_t updated_us);
/* Called when nothing is submitted any more. */
struct nx_completeness *nx_completeness_free(struct nx_completeness *completeness);
NX_DEFINE_AUTO(nx_completeness);

#endif

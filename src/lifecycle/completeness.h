/*
 * completeness.h - when a study counts as complete.
 *
 * Layer:   3 (lifecycle).  Uses archive, catalog.
 * Threads: has a thread of its own; the calls are safe from any.
 * PHI:     events carry counts only.
 *
 * DICOM has no end of a study: a modality stops sending, and that is all.  So the confidence is
 * stated: "quiet" says that nothing was added or changed for the time that is configured.  What
 * comes later opens the study again, and it is told of anew.
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
	/* Optional: the event of the study is durable. */
	void (*on_complete)(void *payload, int64_t study);
	void *payload;
};

/*
 * From now on a study that was quiet gets one event "study.complete" with {"confidence":"quiet",
 * "quiet_s","series","instances"}, and a ledger entry.  Studies that were open when the site
 * stopped are taken up again.
 */
NX_NODISCARD nx_rc nx_completeness_new(
	const struct nx_completeness_opts *opts, struct nx_completeness **ret, struct nx_err *err);
/* Called when nothing is submitted any more. */
struct nx_completeness *nx_completeness_free(struct nx_completeness *completeness);
NX_DEFINE_AUTO(nx_completeness);

#endif

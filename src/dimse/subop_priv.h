/*
 * subop_priv.h - the sub-operations of C-GET and C-MOVE: what is selected, what is sent, what came
 * of it (PS3.7 9.1.3, 9.1.4; PS3.4 C.4.2, C.4.3).
 *
 * Layer:   4 (dimse).  Uses retrieve.
 * Threads: one thread at a time.
 * PHI:     UIDs; none goes into errors.
 */
#ifndef NX_DIMSE_SUBOP_PRIV_H
#define NX_DIMSE_SUBOP_PRIV_H

#include "base/buf.h"
#include "dimse/dimse_priv.h"
#include "dimse/stream_priv.h"

struct nx_subops {
	struct nx_assoc *assoc;
	struct nx_dimse_op *op;
	struct nx_instances *instances; /* NULL: the identifier named none */
	size_t n;
	size_t settled; /* completed, failed or warned of */
	size_t completed;
	size_t failed;
	size_t warning;
	bool unable; /* the destination could not be reached */
	struct nx_buf failed_uids;
	struct nx_feed feed;

	nx_rc link; /* the association with the requester failed */
	struct nx_err link_err;
};

/* The identifier and what it selects.  Trouble is the operation's: see nx_op_failed().  `to`: who
 * gets it, if not the requester. */
void nx_subops_begin(
	struct nx_subops *s, struct nx_assoc *assoc, struct nx_dimse_op *op, const char *to);
void nx_subops_done(struct nx_subops *s);

/* How instance `i` ended: the status of its C-STORE-RSP, or of what kept it from being sent.  A
 * pending response is queued. */
void nx_subops_settle(struct nx_subops *s, size_t i, unsigned status);
/* Look what the requester has to say: false when there is to be an end. */
bool nx_subops_goes_on(struct nx_subops *s);
/* The final response, or the failure of the association. */
NX_NODISCARD nx_rc nx_subops_finish(struct nx_subops *s, struct nx_err *err);

#endif

/*
 * sender_priv.h - a selection of instances to a destination: associations, tries, what came of
 * each.
 *
 * Layer:   4 (dimse).  Uses retrieve, net.
 * Threads: one thread at a time.
 * PHI:     data sets pass through.
 */
#ifndef NX_DIMSE_SENDER_PRIV_H
#define NX_DIMSE_SENDER_PRIV_H

#include "dimse/dimse.h"
#include "dimse/stream_priv.h"

struct nx_sender {
	const struct nx_dimse_opts *opts;
	const struct nx_dimse_destination *to;
	struct nx_instances *instances;
	struct nx_feed *feed;
	uint16_t priority;
	const char *originator; /* of C-MOVE; NULL: none */
	uint16_t originator_id;
	unsigned tries; /* in a row without an answer, before it gives up; 0: 1 */

	/* Once for each instance that was settled: the status of its C-STORE-RSP, or of what kept
	 * it from being sent. */
	void (*settled)(void *payload, size_t i, unsigned status);
	/* Asked all the while; false: stop, what is not settled stays so. */
	bool (*goes_on)(void *payload);
	void *payload;
};

/* NX_OK: all are settled, or it was told to stop.  Else why the destination could not be reached,
 * or was lost, the last time: the rest is not settled. */
NX_NODISCARD nx_rc nx_sender_run(struct nx_sender *sender, struct nx_err *err);

#endif

/*
 * stream_priv.h - stored instances onto an association, ours or a peer's, piece by piece.
 *
 * Layer:   4 (dimse).  Uses retrieve, base.
 * Threads: one thread at a time.
 * PHI:     data sets pass through; the buffer is wiped when it ends.
 */
#ifndef NX_DIMSE_STREAM_PRIV_H
#define NX_DIMSE_STREAM_PRIV_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct nx_buf;
struct nx_dimse_io;
struct nx_instances;

/* One instance of a selection as a data set.  Its first bytes are read and opened beforehand. */
struct nx_feed {
	struct nx_instances *instances;
	uint8_t *buf;
	size_t cap;
	size_t n;      /* at hand */
	uint64_t left; /* behind them */
	bool broken;   /* the transport failed, not the reading */
};

NX_NODISCARD nx_rc nx_feed_init(
	struct nx_feed *feed, struct nx_instances *instances, struct nx_err *err);
void nx_feed_done(struct nx_feed *feed);
/* The `i`-th one, in this transfer syntax; no byte of it was sent when this fails. */
NX_NODISCARD nx_rc nx_feed_load(
	struct nx_feed *feed, size_t i, const char *ts_uid, struct nx_err *err);
/* After a failure the peer has half of it: the association cannot go on.  `write_us`: for each
 * write. */
NX_NODISCARD nx_rc nx_feed_write(struct nx_feed *feed, const struct nx_dimse_io *io,
	struct nx_buf *tx, uint8_t context, uint32_t max_pdu, int64_t write_us, struct nx_err *err);

#endif

/*
 * commit_priv.h - data sets of the Storage Commitment Push Model (PS3.4 Annex J), both roles.
 *
 * Layer:   4 (dimse).  Uses dicom, retrieve, lifecycle.
 * Threads: one thread at a time.
 * PHI:     UIDs pass through.
 */
#ifndef NX_DIMSE_COMMIT_PRIV_H
#define NX_DIMSE_COMMIT_PRIV_H

#include "base/slice.h"
#include "retrieve/retrieve.h"

struct nx_arena;
struct nx_buf;
struct nx_forward;

#define NX_COMMIT_PUSH_MODEL "1.2.840.10008.1.20.1"
#define NX_COMMIT_WELL_KNOWN "1.2.840.10008.1.20.1.1"

enum {
	NX_COMMIT_REQUEST = 1, /* action type */
	NX_COMMIT_ALL = 1,     /* event types: all are held, ... */
	NX_COMMIT_SOME = 2     /* ... or some are not */
};

struct nx_commit_set {
	const char *transaction;
	struct nx_held *refs; /* those with a reason are of the Failed SOP Sequence */
	size_t n;
};

/* NX_E_INVAL: no transaction, or no references. */
NX_NODISCARD nx_rc nx_commit_parse(struct nx_slice bytes, const char *ts_uid,
	struct nx_arena *arena, struct nx_commit_set *ret, struct nx_err *err);
NX_NODISCARD nx_rc nx_commit_format(const struct nx_commit_set *set, const char *ts_uid,
	struct nx_arena *arena, struct nx_buf *out, struct nx_err *err);

/* What a destination answers to what it was asked: the status of the N-EVENT-REPORT-RSP. */
uint16_t nx_commit_answer(struct nx_forward *forward, const char *destination, uint16_t event_type,
	struct nx_slice bytes, const char *ts_uid);

#endif

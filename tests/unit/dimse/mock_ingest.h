/*
 * mock_ingest.h - a double of the ingest service that counts, hashes and keeps the last instance.
 *
 * Layer:   tests.
 * Threads: counters are safe; `last` belongs to tests with one association.
 */
#ifndef NX_TEST_MOCK_INGEST_H
#define NX_TEST_MOCK_INGEST_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "ingest/ingest.h"

struct mock_ingest {
	_Atomic uint64_t begun;
	_Atomic uint64_t stored;
	_Atomic uint64_t bytes;
	_Atomic int64_t live;  /* jobs that were not freed */
	_Atomic uint64_t hash; /* FNV-1a of each stored data set, summed: order does not matter */
	_Atomic unsigned waiting_max; /* jobs submitted and not waited for, at most */
	_Atomic unsigned waiting;

	/* What shall go wrong. */
	nx_rc fail_begin;
	nx_rc fail_feed;
	uint64_t fail_feed_after;
	nx_rc fail_wait;
	enum nx_ingest_outcome outcome; /* 0: stored */
	bool hash_off;
	bool last_off; /* several associations */

	/* Of performed procedure steps. */
	nx_rc fail_step;
	unsigned fault; /* enum nx_step_why */
	_Atomic uint64_t created;
	_Atomic uint64_t changed;
	uint64_t step_bytes; /* of the last one's data set */

	char last_ts[NX_LIMIT_UID + 1];
	char last_sop_class[NX_LIMIT_UID + 1];
	char last_sop_instance[NX_LIMIT_UID + 1];
	char last_collection[65];
};

/* The mock is the nx_ingest of the jobs. */
struct nx_ingest *mock_ingest(struct mock_ingest *mock);

#endif

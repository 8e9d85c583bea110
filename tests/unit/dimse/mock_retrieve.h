/*
 * mock_retrieve.h - a double of the retrieve service: answers that are the same each time.
 *
 * Layer:   tests.
 * Threads: one thread at a time.
 */
#ifndef NX_TEST_MOCK_RETRIEVE_H
#define NX_TEST_MOCK_RETRIEVE_H

#include "base/err.h"
#include "base/limits.h"
#include "retrieve/retrieve.h"

struct mock_retrieve {
	unsigned matches; /* of every query */
	bool more;
	nx_rc fail_find;  /* after the matches */
	size_t match_len; /* bytes of an identifier; 0: 8 */

	size_t instances;    /* of every selection */
	size_t instance_len; /* bytes of a data set; 0: 100 */
	const char *class_uid;
	const char *ts_uid;
	size_t fail_at; /* the n-th instance, from 1, cannot be opened, or ... */
	bool fail_late; /* ... fails when half of it was read */
	int live;       /* selections that were not freed */
	char to[17];    /* of the last selection */

	/* The last query. */
	unsigned finds;
	unsigned level;
	bool fuzzy;
	bool datetime;
	size_t n_keys;
	uint32_t key_tags[NX_LIMIT_QUERY_KEYS];
	char key_values[4][256]; /* of the first ones */
	size_t n_sequences;
	size_t n_wants;
	char charset[64];
	char retrieve_ae[17];
};

struct nx_retrieve *mock_retrieve(struct mock_retrieve *mock);

#endif

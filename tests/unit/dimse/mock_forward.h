/*
 * mock_forward.h - a double of the queue of forwarding: what it was given last.
 *
 * Layer:   tests.
 * Threads: one thread at a time.
 */
#ifndef NX_TEST_MOCK_FORWARD_H
#define NX_TEST_MOCK_FORWARD_H

#include "base/limits.h"
#include "lifecycle/forward.h"

struct mock_forward {
	unsigned reports;
	char destination[17]; /* of the last report or answer */
	uint16_t event_type;
	unsigned answers;
	size_t refs;
	uint16_t reasons; /* of all of them, one or the other */
	char txn[NX_LIMIT_UID + 1];
	nx_rc fail;
};

struct nx_forward *mock_forward(struct mock_forward *mock);

#endif

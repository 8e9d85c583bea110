/*
 * forward_priv.h - what the files of forward_*.c share.
 *
 * Layer:   3 (lifecycle), private.
 * Threads: see struct nx_forward.
 * PHI:     see forward.h.
 */
#ifndef NX_LIFECYCLE_FORWARD_PRIV_H
#define NX_LIFECYCLE_FORWARD_PRIV_H

#include <pthread.h>

#include "lifecycle/admin_priv.h"
#include "lifecycle/forward.h"

struct forward_rules;

/* What one destination is owed.  One batch at a time: its association is its own. */
struct forward_lane {
	struct forward_lane *next; /* in the order of who was served last */
	char destination[16 + 1];
	int64_t due_us;    /* of the first that waits; INT64_MAX: none */
	int64_t paused_us; /* nobody calls before */
	unsigned failures; /* in a row, of reaching it */
	bool busy;
	bool noted; /* a group at hand has rows for it; the committer's */
};

struct nx_forward {
	struct nx_forward_opts opts;
	char session[33];     /* reads of one study for one destination share an entry */
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;  /* on the monotonic clock */
	struct forward_rules *rules;
	struct forward_lane *lanes;
	bool stopping;
	uint64_t sent, failed, died;
};

/* ---- forward_rules.c ---- */

NX_NODISCARD nx_rc forward_rules_load(struct nx_forward *f, struct nx_err *err);
struct forward_rules *forward_rules_free(struct forward_rules *rules);
size_t forward_rules_n(const struct forward_rules *rules);
/* Call `fn` for every rule that wants it.  Caller holds f->lock. */
NX_NODISCARD nx_rc forward_rules_match(const struct forward_rules *rules, const struct nx_put *put,
	nx_rc (*fn)(void *payload, const char *rule, const char *destination, struct nx_err *err),
	void *payload, struct nx_err *err);

/* ---- forward.c ---- */

/* Rows for it will be looked for.  False without memory. */
NX_NODISCARD bool forward_knows(struct nx_forward *f, const char *destination);
/* There may be something for everybody. */
void forward_look(struct nx_forward *f);
/* At the back of the queue, to be tried now. */
void forward_row_init(struct nx_forward *f, struct nx_delivery_row *row, const char *destination);
/* Waiting again, as if it had never been tried. */
NX_NODISCARD nx_rc forward_row_retry(
	struct nx_change *change, struct nx_delivery_row *row, struct nx_err *err);
NX_NODISCARD nx_rc forward_row_drop(
	struct nx_change *change, const struct nx_delivery_row *row, struct nx_err *err);

#endif

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

/* Indexes of NX_T_DELIVERY, as nx_cat_rows() counts them. */
enum {
	FORWARD_BY_DUE = 1,
	FORWARD_BY_TXN = 3
};

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
struct forward_want {
	const char *rule;
	const char *destination;
	bool commitment;
};
size_t forward_rules_n(const struct forward_rules *rules);
/* Call `fn` for every rule that wants it.  Caller holds f->lock. */
NX_NODISCARD nx_rc forward_rules_match(const struct forward_rules *rules, const struct nx_put *put,
	nx_rc (*fn)(void *payload, const struct forward_want *want, struct nx_err *err),
	void *payload, struct nx_err *err);

/* ---- forward.c ---- */

/* Rows for it will be looked for.  False without memory. */
NX_NODISCARD bool forward_knows(struct nx_forward *f, const char *destination);
/* Something is due to it at that time. */
void forward_owe(struct nx_forward *f, const char *destination, int64_t due_us);
/* There may be something for everybody. */
void forward_look(struct nx_forward *f);
/* At the back of the queue, to be tried now. */
void forward_row_init(struct nx_forward *f, struct nx_delivery_row *row, const char *destination);
/* How long to wait after so many failures. */
int64_t forward_backoff_us(const struct nx_forward *f, uint64_t failures);
/* Study, class and instance of an item; from `arena`. */
NX_NODISCARD nx_rc forward_names(
	struct nx_cat *cat, int64_t id, struct nx_arena *arena, struct nx_delivery *ret);
/* Kind, collection, principal, and what each delivery is, from the rows. */
NX_NODISCARD nx_rc forward_batch_describe(
	struct nx_forward *f, struct nx_forward_batch *b, struct nx_err *err);

/* ---- forward_outcome.c ---- */

struct forward_outcome {
	struct nx_forward *f;
	struct nx_forward_batch *batch;
	nx_rc reached;   /* why the destination was not reached, or did not answer */
	bool answered;   /* statuses are what it says of its holdings */
	int64_t next_us; /* lowered to when the first of them is due again */
	struct nx_change *change;
	uint64_t sent, failed, died;
};
NX_NODISCARD nx_rc forward_outcome(struct forward_outcome *o, struct nx_err *err);

/* Waiting again, as if it had never been tried. */
NX_NODISCARD nx_rc forward_row_retry(
	struct nx_change *change, struct nx_delivery_row *row, struct nx_err *err);
NX_NODISCARD nx_rc forward_row_drop(
	struct nx_change *change, const struct nx_delivery_row *row, struct nx_err *err);

#endif

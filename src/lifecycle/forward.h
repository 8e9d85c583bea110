/*
 * forward.h - what is sent on: rules, and the queue of what destinations are still to get.
 *
 * Layer:   3 (lifecycle).  Uses archive, catalog, ledger, access.
 * Threads: a struct nx_forward is shared; a batch belongs to one thread at a time.
 * PHI:     names of a batch; rows hold internal numbers only.
 *
 * A delivery is a row that comes into being in the group that stores the instance, so that neither
 * is lost without the other.  It is deleted when the destination has taken the instance, and stays
 * as a dead letter when it was tried too often or refused for good.  A stop in the middle of a
 * batch has it sent again: a destination gets everything at least once.
 */
#ifndef NX_LIFECYCLE_FORWARD_H
#define NX_LIFECYCLE_FORWARD_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/limits.h"

struct nx_admin;
struct nx_archive;
struct nx_arena;
struct nx_buf;
struct nx_forward;
struct nx_principal;

struct nx_forward_opts {
	struct nx_archive *archive; /* borrowed, both */
	struct nx_admin *admin;
	unsigned tries;         /* of one delivery, before it is a dead letter */
	int64_t backoff_us;     /* after the first failure; doubled from failure to failure, ... */
	int64_t backoff_max_us; /* ... up to this */
};
/* Before anything is committed. */
NX_NODISCARD nx_rc nx_forward_new(
	const struct nx_forward_opts *opts, struct nx_forward **ret, struct nx_err *err);
/* Nobody is in nx_forward_take() any more. */
struct nx_forward *nx_forward_free(struct nx_forward *forward);
NX_DEFINE_AUTO(nx_forward);

/* ---- rules and queue, for administrators ---- */

struct nx_forward_condition {
	const char *fact;    /* "Modality", "CallingAE", "StudyDescription", ... */
	const char *pattern; /* values with backslashes between; "*" and "?"; case does not count */
};
struct nx_forward_spec {
	const char *name;
	const char *collection;
	const char *destination;
	const struct nx_forward_condition *conditions; /* all of them must hold */
	size_t n_conditions;
};
/* One with that name is replaced.  NX_E_NOENT: no such collection or destination. */
NX_NODISCARD nx_rc nx_forward_rule_set(struct nx_forward *forward, const struct nx_principal *who,
	const struct nx_forward_spec *spec, struct nx_err *err);
/* What it has queued stays queued. */
NX_NODISCARD nx_rc nx_forward_rule_remove(struct nx_forward *forward,
	const struct nx_principal *who, const char *name, struct nx_err *err);
/* {"rules":[{"name","collection","destination","conditions":{...},"created"}]} */
NX_NODISCARD nx_rc nx_forward_rules(struct nx_forward *forward, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err);

struct nx_forward_find {
	const char *destination; /* NULL: any */
	const char *state;       /* "waiting", "dead"; NULL: any */
	int64_t after;           /* numbers past this one */
	unsigned limit;          /* 0: 1000, which is the most */
};
/* {"deliveries":[{"number","kind","state","destination","tries","due","status","error","for",
 * "study","instance","created"}],"next":...} */
NX_NODISCARD nx_rc nx_forward_queue(struct nx_forward *forward, const struct nx_principal *who,
	const struct nx_forward_find *find, struct nx_buf *out, struct nx_err *err);

/* One delivery, or all dead letters (of a destination). */
struct nx_forward_pick {
	int64_t number;          /* 0: all dead letters */
	const char *destination; /* NULL: of any destination */
};
/* Try now, from the beginning.  NX_E_NOENT: there is no such number. */
NX_NODISCARD nx_rc nx_forward_retry(struct nx_forward *forward, const struct nx_principal *who,
	const struct nx_forward_pick *pick, uint64_t *ret_n, struct nx_err *err);
/* Forget it. */
NX_NODISCARD nx_rc nx_forward_drop(struct nx_forward *forward, const struct nx_principal *who,
	const struct nx_forward_pick *pick, uint64_t *ret_n, struct nx_err *err);

struct nx_forward_order {
	const char *collection;
	const char *study;
	const char *destination;
};
/* Queue all instances of a study, whatever the rules say. */
NX_NODISCARD nx_rc nx_forward_send(struct nx_forward *forward, const struct nx_principal *who,
	const struct nx_forward_order *order, uint64_t *ret_n, struct nx_err *err);

struct nx_forward_stats {
	uint64_t waiting; /* in the queue at present, ... */
	uint64_t dead;
	uint64_t sent;   /* ... since the start */
	uint64_t failed; /* tries */
	uint64_t died;
};
NX_NODISCARD nx_rc nx_forward_stats(
	struct nx_forward *forward, struct nx_forward_stats *ret, struct nx_err *err);

/* ---- for those who deliver ---- */

enum {
	NX_FORWARD_BATCH = 128
};

struct nx_delivery {
	int64_t item;
	/* Set by who delivers. */
	bool gone;         /* it is not there any more: nothing is owed */
	bool settled;      /* else it was not tried, or nothing came back */
	unsigned status;   /* of the answer */
	const char *study; /* of the instance; as long as the batch */
	const char *sop_instance;
};

struct nx_forward_batch {
	char destination[16 + 1];
	char principal[NX_LIMIT_NAME + 1]; /* on whose behalf, ... */
	char session[33];                  /* ... as nx_principal has it */
	const char *collection;
	struct nx_delivery *deliveries;
	size_t n;
	struct nx_arena *arena;
	struct forward_lane *lane; /* the queue's own, from here on */
	struct nx_delivery_row *rows;
	int64_t next_us;
};

/* Wait for something that is due to a destination that nobody else serves.  NX_E_CLOSED: the queue
 * was stopped. */
NX_NODISCARD nx_rc nx_forward_take(
	struct nx_forward *forward, struct nx_forward_batch *ret, struct nx_err *err);
/*
 * What came of it; ends the batch whatever the result.  `reached`: why the destination could not be
 * reached, or was lost (NX_OK: it was reached): what is not settled then has failed, and the
 * destination is left alone for a while.
 */
NX_NODISCARD nx_rc nx_forward_done(struct nx_forward *forward, struct nx_forward_batch *batch,
	nx_rc reached, struct nx_err *err);
/* From now on take() gives nothing out. */
void nx_forward_stop(struct nx_forward *forward);
bool nx_forward_stopping(struct nx_forward *forward);

#endif

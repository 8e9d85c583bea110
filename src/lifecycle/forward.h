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
#include "base/slice.h"

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
	int64_t answer_us;      /* that a destination may take to say whether it has an instance */
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
	bool commitment; /* ask the destination for it afterwards (PS3.4 Annex J) */
};
/* One with that name is replaced.  NX_E_NOENT: no such collection or destination. */
NX_NODISCARD nx_rc nx_forward_rule_set(struct nx_forward *forward, const struct nx_principal *who,
	const struct nx_forward_spec *spec, struct nx_err *err);
/* What it has queued stays queued. */
NX_NODISCARD nx_rc nx_forward_rule_remove(struct nx_forward *forward,
	const struct nx_principal *who, const char *name, struct nx_err *err);
/* {"rules":[{"name","collection","destination","conditions":{...},"commitment",
 * "created"}]} */
NX_NODISCARD nx_rc nx_forward_rules(struct nx_forward *forward, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err);

struct nx_forward_find {
	const char *destination; /* NULL: any */
	const char *state;       /* "waiting", "asked", "dead"; NULL: any */
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
	bool commitment;
};
/* Queue all instances of a study, whatever the rules say. */
NX_NODISCARD nx_rc nx_forward_send(struct nx_forward *forward, const struct nx_principal *who,
	const struct nx_forward_order *order, uint64_t *ret_n, struct nx_err *err);

struct nx_forward_stats {
	uint64_t waiting; /* in the queue at present, ... */
	uint64_t asked;
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
	const char *study; /* of the instance */
	const char *sop_class;
	const char *sop_instance;
	uint16_t event_type; /* of a report */
	struct nx_slice dataset;
	/* Set by who delivers. */
	bool gone;       /* it is not there any more: nothing is owed */
	bool settled;    /* else it was not tried, or nothing came back */
	unsigned status; /* of the answer */
};

struct nx_forward_batch {
	int64_t kind; /* enum nx_delivery_kind */
	char destination[16 + 1];
	char principal[NX_LIMIT_NAME + 1]; /* on whose behalf, ... */
	char session[33];                  /* ... as nx_principal has it */
	const char *collection;
	struct nx_delivery *deliveries;
	size_t n;
	struct nx_arena *arena;
	char txn[NX_LIMIT_UID + 1]; /* of the question, after nx_forward_ask() */
	struct forward_lane *lane;  /* the queue's own, from here on */
	struct nx_delivery_row *rows;
	int64_t next_us;
};

/* Wait for something that is due to a destination that nobody else serves.  NX_E_CLOSED: the queue
 * was stopped. */
NX_NODISCARD nx_rc nx_forward_take(
	struct nx_forward *forward, struct nx_forward_batch *ret, struct nx_err *err);
/* A question gets its Transaction UID before it is asked: its answer may come on another
 * association, and at once. */
NX_NODISCARD nx_rc nx_forward_ask(
	struct nx_forward *forward, struct nx_forward_batch *batch, struct nx_err *err);
/*
 * What came of it; ends the batch whatever the result.  `reached`: why the destination could not be
 * reached, or was lost (NX_OK: it was reached): what is not settled then has failed, and the
 * destination is left alone for a while.
 */
NX_NODISCARD nx_rc nx_forward_done(struct nx_forward *forward, struct nx_forward_batch *batch,
	nx_rc reached, struct nx_err *err);
/* ---- storage commitment ---- */

struct nx_forward_ref {
	const char *sop_instance;
	uint16_t reason; /* 0: it is held */
};
struct nx_forward_answer {
	const char *destination; /* who answers */
	const char *txn;
	const struct nx_forward_ref *refs;
	size_t n;
};
/* A destination answers what it was asked.  NX_E_NOENT: it was not asked that. */
NX_NODISCARD nx_rc nx_forward_answered(
	struct nx_forward *forward, const struct nx_forward_answer *answer, struct nx_err *err);
/* The answer to what was asked of us; it is durable when this returns, and goes out later. */
struct nx_forward_report {
	const char *destination;
	const char *principal; /* who asked */
	uint16_t event_type;
	struct nx_slice dataset; /* implicit VR little endian */
};
NX_NODISCARD nx_rc nx_forward_report(
	struct nx_forward *forward, const struct nx_forward_report *report, struct nx_err *err);

/* From now on take() gives nothing out. */
void nx_forward_stop(struct nx_forward *forward);
bool nx_forward_stopping(struct nx_forward *forward);

#endif

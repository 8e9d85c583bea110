/*
 * retrieve_priv.h - what the files of this module share.
 *
 * Layer:   3 (retrieve).
 * Threads: each struct says what guards it.
 * PHI:     yes.
 */
#ifndef NX_RETRIEVE_RETRIEVE_PRIV_H
#define NX_RETRIEVE_RETRIEVE_PRIV_H

#include <pthread.h>

#include "access/access.h"
#include "archive/archive.h"
#include "base/arena.h"
#include "base/buf.h"
#include "catalog/catalog.h"
#include "ledger/ledger.h"
#include "retrieve/retrieve.h"

struct nx_map;
struct nx_pixelbox;
struct series_records;

struct nx_retrieve {
	struct nx_archive *archive;
	struct series_records *records;
	struct nx_pixelbox *box;
	pthread_mutex_t lock;    /* guards opened and rendering */
	pthread_cond_t rendered; /* rendering got less */
	unsigned rendering;      /* frames being made, each with memory of its own */
	unsigned rendering_max;
	void (*on_committed)(void *payload, int64_t study, int64_t updated_us); /* NULL: nobody */
	void *committed_payload;
	pthread_mutex_t commit_lock; /* a transaction UID is looked for and taken */
	unsigned worklist_offered;   /* bits 1 << enum nx_worklist_state; set before anybody asks */
	struct nx_map
		*opened; /* (session, scope) -> heap int64_t: when its opening entry was written */
};

enum {
	OPENING_US = 60 * 1000000,
	OPENED_MAX = 65536
};

struct access_note {
	unsigned action; /* enum nx_action */
	uint64_t subject;
	const char *study;
	const char *collection;
	const char *what; /* UID or key: goes into the sealed body */
	const char *to;   /* the AE title that gets it, where it is not `who`; may be NULL */
};

/* Decide and, on a refusal, record it. */
NX_NODISCARD nx_rc guard(struct nx_retrieve *r, const struct nx_principal *who, enum nx_perm perm,
	const char *collection, struct nx_collection *ret, struct nx_arena *arena,
	struct nx_err *err);
/* The entry is durable on NX_OK.  `shared`: one entry serves the session's reads of this scope for
 * 60 s. */
NX_NODISCARD nx_rc note(struct nx_retrieve *r, const struct nx_principal *who,
	const struct access_note *n, bool shared, struct nx_err *err);

/* ---- derived.c ---- */

/* In the place of the one of its name. */
NX_NODISCARD nx_rc derived_store(struct nx_retrieve *r, const struct nx_collection *collection,
	uint64_t subject, const struct nx_item *item, struct nx_slice bytes, struct nx_err *err);

/* ---- worklist.c ---- */

/* The rows of an item's steps. */
NX_NODISCARD nx_rc scheduled_rows_of(struct nx_retrieve *r, int64_t collection, const char *name,
	struct nx_arena *arena, struct nx_worklist_row **ret, size_t *ret_n, struct nx_err *err);
/* Its data set.  *ret is NULL where it was erased, or is some other object. */
NX_NODISCARD nx_rc scheduled_load(struct nx_retrieve *r, const struct nx_item *item,
	struct nx_arena *arena, struct nx_dataset **ret, struct nx_err *err);
/* An operation on a row of the item: its verb and values, which begin with the key. */
NX_NODISCARD nx_rc scheduled_op(struct nx_change *change, const struct nx_item *item,
	const struct nx_op *op, struct nx_err *err);
/* The item goes: so do its rows. */
NX_NODISCARD nx_rc scheduled_drop(struct nx_retrieve *r, const struct nx_item *item,
	struct nx_change *change, struct nx_err *err);

/* ---- committed.c ---- */

/* Of what was found to be held: tell of the studies of which it is all. */
NX_NODISCARD nx_rc committed_tell(
	struct nx_retrieve *r, const struct nx_held *refs, size_t n, struct nx_err *err);

/* ---- series_maker.c ---- */

struct series_records *series_records_new(void); /* NULL without memory */
/* Waits for the one being made. */
struct series_records *series_records_free(struct series_records *records);

#endif

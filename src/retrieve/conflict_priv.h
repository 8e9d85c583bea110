/*
 * conflict_priv.h - a conflict that was looked up, for those who show and settle it.
 *
 * Layer:   3 (retrieve).
 * Threads: belongs to one thread at a time.
 * PHI:     yes.
 */
#ifndef NX_RETRIEVE_CONFLICT_PRIV_H
#define NX_RETRIEVE_CONFLICT_PRIV_H

#include "base/json.h"
#include "retrieve/retrieve_priv.h"

enum {
	CONFLICT_ARENA_MAX = 512 * 1024 * 1024,
	CONFLICT_SETTLED = 2 /* of the row's state */
};

struct version {
	struct nx_item item;
	const char *source; /* principal; NULL: not found */
	const char *door;
};

struct conflict {
	struct nx_retrieve *r;
	struct nx_arena *arena;
	struct nx_conflict_row row;
	struct nx_collection collection;
	struct nx_item old;       /* what of it is not erased */
	struct version *versions; /* by number */
	size_t n;
	size_t sourced; /* from the newest on */
	unsigned entries;
};

/* ---- conflict.c ---- */

const char *conflict_kind(const struct nx_conflict_row *row);
const char *conflict_state(const struct nx_conflict_row *row);
/* Decided, not recorded.  The arena is the caller's to free, whatever the result. */
NX_NODISCARD nx_rc conflict_open(struct nx_retrieve *r, const struct nx_principal *who,
	enum nx_perm perm, int64_t number, struct conflict *c, struct nx_err *err);
NX_NODISCARD nx_rc conflict_version(
	const struct conflict *c, int64_t version, const struct nx_item **ret, struct nx_err *err);

/* ---- conflict_differ.c ---- */

/* "differ": the tags in which old and new are not the same. */
NX_NODISCARD nx_rc conflict_differ(struct conflict *c, struct nx_json *json, struct nx_err *err);

#endif

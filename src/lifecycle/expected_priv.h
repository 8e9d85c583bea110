/*
 * expected_priv.h - what the performed procedure steps of a study name, and what of it is there.
 *
 * Layer:   3 (lifecycle), private.
 * Threads: safe.
 * PHI:     UIDs.
 */
#ifndef NX_LIFECYCLE_EXPECTED_PRIV_H
#define NX_LIFECYCLE_EXPECTED_PRIV_H

#include "archive/archive.h"
#include "base/arena.h"
#include "catalog/catalog.h"
#include "dicom/step.h"

struct nx_map;

struct wanted {
	struct wanted *next;
	struct nx_step_ref ref;
	bool found;
};

struct expected {
	struct nx_arena *arena; /* of all of it */
	struct nx_map *by_uid;  /* SOP Instance UID -> struct wanted */
	struct wanted *first;   /* in the order in which they are named, each once */
	struct wanted **tail;
	unsigned states[NX_STEP_DISCONTINUED + 1]; /* steps in each */
	uint64_t n;                                /* instances that are named */
	uint64_t found;                            /* of these */
};

enum {
	STEP_MEMORY = 64 * 1024 * 1024 /* of reading one */
};

NX_NODISCARD nx_rc expected_init(struct expected *x, struct nx_err *err);
void expected_done(struct expected *x);
/* Every step of the study, and which of the instances it names are live. */
NX_NODISCARD nx_rc expected_find(struct nx_archive *archive, int64_t collection, const char *study,
	struct expected *x, struct nx_err *err);
/* Tells the same steps from changed ones without reading them; 0: there are none. */
NX_NODISCARD nx_rc expected_mark(struct nx_archive *archive, int64_t collection, const char *study,
	uint64_t *ret_mark, struct nx_err *err);

/* The data set of the step that an object is; from `arena`. */
NX_NODISCARD nx_rc step_load(struct nx_archive *archive, const struct nx_item *item,
	struct nx_arena *arena, struct nx_dataset **ret, struct nx_err *err);

static inline unsigned expected_steps(const struct expected *x)
{
	return x->states[NX_STEP_IN_PROGRESS] + x->states[NX_STEP_COMPLETED] +
		x->states[NX_STEP_DISCONTINUED];
}

static inline uint64_t expected_missing(const struct expected *x)
{
	return x->n - x->found;
}

struct nx_json;
/* "steps", "expected", "found", "missing". */
void expected_json(const struct expected *x, struct nx_json *json);

#endif

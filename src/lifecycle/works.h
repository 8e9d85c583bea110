/*
 * works.h - the long works of a site that are at hand: scrub, backup, rotation.
 *
 * Layer:   3 (lifecycle).  Uses base.
 * Threads: shared.
 * PHI:     none.
 */
#ifndef NX_LIFECYCLE_WORKS_H
#define NX_LIFECYCLE_WORKS_H

#include "base/progress.h"

struct nx_buf;
struct nx_works;

struct nx_works *nx_works_new(void); /* NULL without memory */
struct nx_works *nx_works_free(struct nx_works *works);

/* `name` and `unit` are constant words.  NX_E_BUSY: as many as are allowed are at hand, or all were
 * told to stop. */
NX_NODISCARD nx_rc nx_works_begin(struct nx_works *works, const char *name, const char *unit,
	struct nx_progress **ret, struct nx_err *err);
void nx_works_end(struct nx_works *works, struct nx_progress *work);
/* Those at hand end before their end; no other begins. */
void nx_works_stop(struct nx_works *works);
/* {"works":[{"name","unit","started","done","total"}]} */
NX_NODISCARD nx_rc nx_works_json(struct nx_works *works, struct nx_buf *out, struct nx_err *err);

#endif

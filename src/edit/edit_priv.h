/*
 * edit_priv.h - what the files of this module share.
 *
 * Layer:   3 (edit).
 * Threads: each struct belongs to one call.
 * PHI:     yes.
 */
#ifndef NX_EDIT_EDIT_PRIV_H
#define NX_EDIT_EDIT_PRIV_H

#include "base/arena.h"
#include "catalog/catalog.h"
#include "dicom/dicom.h"
#include "edit/edit.h"

/* ---- request.c ---- */

/* Which attributes change, checked; `sets` of the request with those of `into`. */
struct edit_plan {
	struct nx_edit_set sets[NX_EDIT_SETS_MAX];
	size_t n;
	const char *reason; /* CORRECT or COERCE */
	const char *source;
	char when[32]; /* DT */
};

NX_NODISCARD nx_rc edit_plan_make(
	const struct nx_edit_request *request, struct edit_plan *ret, struct nx_err *err);
/* NX_E_LIMIT; the value of a tag that is there stays. */
NX_NODISCARD nx_rc edit_plan_add(
	struct edit_plan *plan, nx_tag tag, const char *value, struct nx_err *err);
/* NULL: it is not among them. */
const struct nx_edit_set *edit_plan_find(const struct edit_plan *plan, nx_tag tag);
/* Where the attribute stands in a row of that level: 0: in none. */
size_t edit_row_text(nx_tag tag, enum nx_edit_level level);
/* What the plan sets goes into the texts of a row; the others stay. */
NX_NODISCARD nx_rc edit_row_fill(const struct edit_plan *plan, enum nx_edit_level level, void *row,
	struct nx_arena *arena, struct nx_err *err);

/* ---- apply.c ---- */

/* *ret_changed: bits of the sets that change something; 0: the data set is as it was.  New memory
 * from `arena`. */
NX_NODISCARD nx_rc edit_apply(const struct edit_plan *plan, struct nx_dataset *ds,
	struct nx_arena *arena, uint32_t *ret_changed, struct nx_err *err);

#endif

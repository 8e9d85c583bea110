/*
 * step.h - Modality Performed Procedure Steps (PS3.4 F.7.2, PS3.3 C.4.13 to C.4.15): what must be
 * in them, what becomes of one that is changed, and what one says.
 *
 * Layer:   1 (dicom).  Uses base.
 * Threads: any; memory is the caller's arena, which is to be NX_ARENA_WIPE.
 * PHI:     values pass through; errors name tags only.
 */
#ifndef NX_DICOM_STEP_H
#define NX_DICOM_STEP_H

#include "dicom/dicom.h"

enum nx_step_state {
	NX_STEP_IN_PROGRESS = 1,
	NX_STEP_COMPLETED,
	NX_STEP_DISCONTINUED
};
/* "IN PROGRESS": the value of Performed Procedure Step Status. */
const char *nx_step_word(enum nx_step_state state);

enum nx_step_why {
	NX_STEP_MISSING = 1, /* an attribute that must be there is not */
	NX_STEP_NO_VALUE,    /* ... or has no value */
	NX_STEP_INVALID,     /* a value that cannot be */
	NX_STEP_NOT_ALLOWED, /* an attribute that only the creation may give has another value */
	NX_STEP_FINAL        /* the step is completed or discontinued: nothing changes any more */
};

/* What is wrong with a request that fails with NX_E_INVAL. */
struct nx_step_fault {
	enum nx_step_why why;
	nx_tag tag; /* 0: none in particular */
};

/* The step that a creation makes: text in UTF-8, (0008,0005) says so.  Borrows from `given`. */
NX_NODISCARD nx_rc nx_step_create(const struct nx_dataset *given, struct nx_arena *arena,
	struct nx_dataset **ret, struct nx_step_fault *ret_fault, struct nx_err *err);
/* The step `there`, which nx_step_create() or nx_step_set() has made, with what is `given`. */
NX_NODISCARD nx_rc nx_step_set(const struct nx_dataset *there, const struct nx_dataset *given,
	struct nx_arena *arena, struct nx_dataset **ret, struct nx_step_fault *ret_fault,
	struct nx_err *err);

/* An instance that the step names as its result. */
struct nx_step_ref {
	const char *series;
	const char *sop_class;
	const char *sop_instance;
};

/* What was scheduled, of which the step is. */
struct nx_step_of {
	const char *study;
	const char *scheduled; /* Scheduled Procedure Step ID; "" */
};

struct nx_step {
	enum nx_step_state state;
	const struct nx_step_of *of;
	size_t n_of;
	const char *const *studies; /* of what was scheduled, each once */
	size_t n_studies;
	size_t n_series;
	const struct nx_step_ref *refs; /* in the order in which they come; may repeat */
	size_t n_refs;
};
/* What a step says that nx_step_create() or nx_step_set() has made. */
NX_NODISCARD nx_rc nx_step_read(const struct nx_dataset *ds, struct nx_arena *arena,
	struct nx_step *ret, struct nx_err *err);

#endif

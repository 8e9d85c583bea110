/*
 * scheduled.h - items of the modality worklist (PS3.3 C.4.10): what is scheduled, and what of it is
 * offered.
 *
 * Layer:   1 (dicom).  Uses base.
 * Threads: any; memory is the caller's arena, which is to be NX_ARENA_WIPE.
 * PHI:     values pass through.
 */
#ifndef NX_DICOM_SCHEDULED_H
#define NX_DICOM_SCHEDULED_H

#include "dicom/dicom.h"

struct nx_scheduled_step {
	const char *day; /* "20260131"; "" where it has none, or none that is a date */
	const char *modality;
	const char *stations; /* AE titles with backslashes between */
	const char *id;
};

/* Texts are UTF-8, "" where there is nothing. */
struct nx_scheduled {
	const char *patient_id;
	const char *patient_name;
	const char *accession;
	const char *study;
	const char *request_id;
	const struct nx_scheduled_step *steps; /* of its Scheduled Procedure Step Sequence */
	size_t n_steps;
};
/* NX_E_NOMEM alone. */
NX_NODISCARD nx_rc nx_scheduled_read(const struct nx_dataset *ds, struct nx_arena *arena,
	struct nx_scheduled *ret, struct nx_err *err);

/*
 * The item with the steps that are offered: words[i] of step i is NULL where it is not, else its
 * Scheduled Procedure Step Status, "" as it says itself.  *ret is NULL where none is.
 */
NX_NODISCARD nx_rc nx_scheduled_offer(const struct nx_dataset *ds, const char *const *words,
	struct nx_arena *arena, struct nx_dataset **ret, struct nx_err *err);

#endif

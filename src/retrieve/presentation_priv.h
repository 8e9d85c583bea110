/*
 * presentation_priv.h - a stored presentation state, and the frames that it shows.
 *
 * Layer:   3 (retrieve).
 * Threads: belongs to one thread at a time.
 * PHI:     yes.
 */
#ifndef NX_RETRIEVE_PRESENTATION_PRIV_H
#define NX_RETRIEVE_PRESENTATION_PRIV_H

#include "dicom/dicom.h"
#include "retrieve/instances_priv.h"
#include "retrieve/render.h"

/* An image that it refers to. */
struct presented {
	const char *series;
	const char *instance;
	const uint32_t *frames; /* numbered from 0; NULL: all */
	uint32_t n;             /* of them; 0: not known, or it cannot be shown */
	uint32_t first;         /* of all frames that the state shows */
	int64_t item;           /* which version of it that was */
};

struct presentation {
	struct nx_instances *states; /* where it is */
	size_t at;
	const struct nx_ts *ts;
	struct nx_arena *arena;
	struct nx_dataset *ds;
	struct presented *images;
	size_t n_images;
};

bool presentation_is(const struct nx_instances *states, size_t i);
/* The i-th of a selection, which must outlive it. */
NX_NODISCARD nx_rc presentation_open(
	struct nx_instances *states, size_t i, struct presentation **ret, struct nx_err *err);
struct presentation *presentation_free(struct presentation *p);
NX_DEFINE_AUTO(presentation);
/* A bulk value of the state, in little endian, in `arena`. */
NX_NODISCARD nx_rc presentation_value(struct presentation *p, const struct nx_elem *e,
	struct nx_arena *arena, struct nx_slice *ret, struct nx_err *err);

#endif

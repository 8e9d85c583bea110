/*
 * finish_priv.h - what is done to a picture at last: its colors, and what is written on it.
 *
 * Layer:   3 (retrieve).
 * Threads: pure functions, but that colors are converted by a worker.
 * PHI:     yes: annotations name the patient.
 */
#ifndef NX_RETRIEVE_FINISH_PRIV_H
#define NX_RETRIEVE_FINISH_PRIV_H

#include "retrieve/image_priv.h"
#include "retrieve/render.h"

struct nx_buf;
struct nx_pixelbox;

/* ---- colors.c ---- */

/*
 * Colors as `want` says (PS3.18 8.3.5.1.5), where there are any; *ret_profile is what goes into the
 * file then, in `profile` or borrowed of the image.
 */
NX_NODISCARD nx_rc colors_finish(struct nx_pixelbox *box, const struct image *image,
	enum nx_render_icc want, struct nx_raster *raster, struct nx_buf *profile,
	struct nx_slice *ret_profile, struct nx_err *err);

/* ---- annotate.c ---- */

/* Patient at the top, technique at the bottom (8.3.5.1.1), of a frame numbered from 0. */
NX_NODISCARD nx_rc annotate(const struct image_source *source, const struct image *image,
	unsigned what, uint32_t frame, struct nx_raster *raster, struct nx_err *err);

#endif

/*
 * render.h - frames of stored instances as a viewer shows them: files of JPEG, PNG, GIF.
 *
 * Layer:   3 (retrieve).  Uses archive, dicom, pixel, pixelbox.
 * Threads: a struct nx_renderer belongs to one thread at a time; as many frames as there are
 *          processors are made at once, others wait.
 * PHI:     yes.
 *
 * Codestreams are decoded by pixelbox, in processes that hold nothing.  Samples become gray by
 * modality and VOI (the first window, else the first table, else the frame's own range), or color
 * by palette or color model; overlays are drawn; then comes what is asked for here.
 */
#ifndef NX_RETRIEVE_RENDER_H
#define NX_RETRIEVE_RENDER_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "pixel/render.h"

struct nx_instances;
struct nx_renderer;
struct nx_retrieve;

enum nx_render_form {
	NX_RENDER_JPEG,
	NX_RENDER_PNG,
	NX_RENDER_GIF /* of any number of frames */
};

struct nx_viewport {
	uint32_t columns; /* that the image is fitted into; 0: it keeps its size */
	uint32_t rows;
	bool shrink_only;
	/* Of the image: from here, this much; 0: to its edge (PS3.18 8.3.5.1.3). */
	double left;
	double top;
	double width;
	double height;
	bool mirrored; /* left and right */
	bool upturned; /* top and bottom */
};

struct nx_rendering {
	enum nx_render_form form;
	unsigned quality; /* of JPEG: 1 to 100; 0: 90 */
	bool has_window;  /* instead of the instance's own */
	enum nx_voi voi;
	double center;
	double width;
	struct nx_viewport viewport;
	bool with_icc; /* the instance's profile, where it has one, goes into the file */
};

/* Of the i-th instance of a selection, which must outlive it and goes to it.  NX_E_NOENT: it has no
 * pixels; NX_E_NOT_ACCEPTABLE: it has, and they cannot be shown. */
NX_NODISCARD nx_rc nx_renderer_new(struct nx_retrieve *retrieve, struct nx_instances *instances,
	size_t i, struct nx_renderer **ret, struct nx_err *err);
struct nx_renderer *nx_renderer_free(struct nx_renderer *renderer);
NX_DEFINE_AUTO(nx_renderer);
uint32_t nx_renderer_frames(const struct nx_renderer *renderer);
uint32_t nx_renderer_columns(const struct nx_renderer *renderer);
uint32_t nx_renderer_rows(const struct nx_renderer *renderer);
/* The frame that stands for all, from 0. */
uint32_t nx_renderer_representative(const struct nx_renderer *renderer);

/* Begin a file of `n` frames from `first` on, numbered from 0; of JPEG and PNG `n` is 1. */
NX_NODISCARD nx_rc nx_renderer_begin(struct nx_renderer *renderer, const struct nx_rendering *how,
	uint32_t first, uint32_t n, struct nx_err *err);
/* Its next bytes, valid until the next call; ret->n 0 at the end.  JPEG and PNG come in one. */
NX_NODISCARD nx_rc nx_renderer_next(
	struct nx_renderer *renderer, struct nx_slice *ret, struct nx_err *err);

#endif

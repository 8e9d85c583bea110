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
 *
 * A Grayscale Softcopy Presentation State is rendered as the frames that it refers to, one after
 * another, each shown as the state says; who may not read the images does not see them so either.
 */
#ifndef NX_RETRIEVE_RENDER_H
#define NX_RETRIEVE_RENDER_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "pixel/render.h"

struct nx_buf;
struct nx_instances;
struct nx_principal;
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
	bool has_region;
	/* Of the image: from here, this much; 0: to its edge (PS3.18 8.3.5.1.3). */
	double left;
	double top;
	double width;
	double height;
	bool mirrored; /* left and right */
	bool upturned; /* top and bottom */
};

/* Color profiles: that go into files of JPEG and PNG, and that colors are converted to. */
enum nx_render_icc {
	NX_ICC_NONE,
	NX_ICC_OWN, /* the image's; sRGB where it says nothing */
	NX_ICC_SRGB,
	NX_ICC_ADOBE_RGB,
	NX_ICC_ROMM_RGB
};

enum nx_render_annotation {
	NX_ANNOTATE_PATIENT = 1,
	NX_ANNOTATE_TECHNIQUE = 2
};

struct nx_rendering {
	enum nx_render_form form;
	unsigned quality; /* of JPEG: 1 to 100; 0: 90 */
	bool has_window;  /* instead of the instance's own */
	enum nx_voi voi;
	double center;
	double width;
	struct nx_viewport viewport;
	enum nx_render_icc icc;
	unsigned annotations; /* enum nx_render_annotation: what is written on it */
};

/* Where images come from: what a state refers to is opened for `who`, who outlives the renderer. */
struct nx_render_source {
	struct nx_retrieve *retrieve;
	const struct nx_principal *who;
	const char *collection;
};

/* Of the i-th instance of a selection, which must outlive it and goes to it.  NX_E_NOENT: it has no
 * pixels, or is a state without an image that is here; NX_E_NOT_ACCEPTABLE: it has, and they cannot
 * be shown. */
NX_NODISCARD nx_rc nx_renderer_new(const struct nx_render_source *source,
	struct nx_instances *instances, size_t i, struct nx_renderer **ret, struct nx_err *err);
/* Show the image as a state does, the first of that selection, which must outlive the renderer.
 * NX_E_INVAL: it is none that is applied, or does not refer to the image. */
NX_NODISCARD nx_rc nx_renderer_present(
	struct nx_renderer *renderer, struct nx_instances *states, struct nx_err *err);
struct nx_renderer *nx_renderer_free(struct nx_renderer *renderer);
NX_DEFINE_AUTO(nx_renderer);
uint32_t nx_renderer_frames(const struct nx_renderer *renderer);
/* Is it shown by a state?  Of how many images then; and are all of them here? */
bool nx_renderer_is_presented(const struct nx_renderer *renderer);
size_t nx_renderer_images(const struct nx_renderer *renderer);
bool nx_renderer_is_whole(const struct nx_renderer *renderer);
/* What else the picture is made of than its selection: for an ETag. */
void nx_renderer_salt(const struct nx_renderer *renderer, struct nx_buf *out);
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

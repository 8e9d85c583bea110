/*
 * image_priv.h - what a data set says of how a frame of it is shown (PS3.3 C.11.1, C.11.2,
 * C.7.6.16, C.7.9, C.9.2, C.11.15).
 *
 * Layer:   3 (retrieve).  Uses dicom, pixel.  No I/O of its own.
 * Threads: pure functions.
 * PHI:     values pass through; errors name attributes only.
 */
#ifndef NX_RETRIEVE_IMAGE_PRIV_H
#define NX_RETRIEVE_IMAGE_PRIV_H

#include "pixel/render.h"

struct nx_arena;
struct nx_dataset;
struct nx_elem;

enum {
	IMAGE_OVERLAYS = 16 /* groups 6000 to 601E */
};

/* Where values come from that are too long for a header.  Little endian. */
struct image_source {
	const struct nx_dataset *ds;
	struct nx_arena *arena; /* what is found lives here */
	nx_rc (*bulk)(
		void *payload, const struct nx_elem *e, struct nx_slice *ret, struct nx_err *err);
	void *payload;
};

struct image {
	struct nx_gray gray; /* of one sample */
	struct nx_lut modality;
	struct nx_lut voi;
	struct nx_palette palette; /* of PALETTE COLOR */
	struct nx_overlay overlays[IMAGE_OVERLAYS];
	size_t n_overlays;
	struct nx_slice icc; /* n 0: none */
};

/* Of frame `frame`, from 0.  NX_E_MALFORMED, NX_E_SHORT: a table that has to be there is none. */
NX_NODISCARD nx_rc image_describe(const struct image_source *source,
	const struct nx_pixel_desc *desc, uint32_t frame, struct image *ret, struct nx_err *err);

/* Samples as nx_pixel_decode() gives them, with NX_PIXEL_RGB, to gray or RGB with its overlays;
 * `ret->pixels` is heap memory of the caller. */
NX_NODISCARD nx_rc image_render(const struct image *image, const struct nx_pixel_desc *desc,
	struct nx_slice samples, struct nx_raster *ret, struct nx_err *err);

/* The frame that stands for all, from 0 ((0028,6010), else the one in the middle). */
uint32_t image_representative(const struct nx_dataset *ds, uint32_t frames);
/* Milliseconds that a frame is shown ((0018,1063), (0008,2144), (0018,0040)). */
unsigned image_delay_ms(const struct nx_dataset *ds);

#endif

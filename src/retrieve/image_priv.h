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

#include "dicom/dicom.h"
#include "pixel/draw.h"
#include "pixel/icc.h"

struct nx_arena;

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
	struct nx_lut presentation;
	struct nx_shutter shutter;
	bool has_shutter;
	struct nx_overlay overlays[IMAGE_OVERLAYS];
	uint8_t overlay_values[IMAGE_OVERLAYS];
	size_t n_overlays;
	struct nx_slice icc;       /* n 0: none */
	enum nx_color_space space; /* of colors, where there is no profile */
};

/* Of frame `frame`, from 0.  NX_E_MALFORMED, NX_E_SHORT: a table that has to be there is none. */
NX_NODISCARD nx_rc image_describe(const struct image_source *source,
	const struct nx_pixel_desc *desc, uint32_t frame, struct image *ret, struct nx_err *err);

/* Palette and profile alone, as a first step. */
NX_NODISCARD nx_rc image_colors(const struct image_source *source, const struct nx_pixel_desc *desc,
	struct image *ret, struct nx_err *err);
/* Rescale of `change`, or the table of the data set. */
NX_NODISCARD nx_rc image_modality(const struct image_source *source,
	const struct nx_dataset *change, const struct nx_pixel_desc *desc, struct image *image,
	struct nx_err *err);
/* The first window of `ds`, else its first table, else what it was before. */
NX_NODISCARD nx_rc image_voi(const struct image_source *source, const struct nx_dataset *ds,
	const struct nx_pixel_desc *desc, struct image *image, struct nx_err *err);
/* A look-up table in an item. */
NX_NODISCARD nx_rc image_table(const struct image_source *source, const struct nx_dataset *item,
	bool is_signed, struct nx_lut *ret, struct nx_err *err);
/* The overlay of a group, (60xx,0000); *ret_there false: the frame has none. */
NX_NODISCARD nx_rc image_overlay(const struct image_source *source, nx_tag group, uint32_t frame,
	struct nx_overlay *ret, bool *ret_there, struct nx_err *err);
NX_NODISCARD nx_rc image_value(const struct image_source *source, const struct nx_elem *e,
	struct nx_slice *ret, struct nx_err *err);
/* The first value of DS. */
bool image_number(const struct nx_dataset *ds, nx_tag tag, double *ret);
/* The i-th item of a sequence; NULL: there is none. */
const struct nx_dataset *image_item(const struct nx_dataset *ds, nx_tag sequence, size_t i);

/* Samples as nx_pixel_decode() gives them, with NX_PIXEL_RGB, to gray or RGB with its overlays;
 * `ret->pixels` is heap memory of the caller. */
NX_NODISCARD nx_rc image_render(const struct image *image, const struct nx_pixel_desc *desc,
	struct nx_slice samples, struct nx_raster *ret, struct nx_err *err);

/* The frame that stands for all, from 0 ((0028,6010), else the one in the middle). */
uint32_t image_representative(const struct nx_dataset *ds, uint32_t frames);
/* Milliseconds that a frame is shown ((0018,1063), (0008,2144), (0018,0040)). */
unsigned image_delay_ms(const struct nx_dataset *ds);

#endif

/*
 * present_priv.h - what a Grayscale Softcopy Presentation State says of how a frame is shown (PS3.3
 * A.33.1, PS3.4 N.2).
 *
 * Layer:   3 (retrieve).  Uses dicom, pixel.  No I/O of its own.
 * Threads: pure functions.
 * PHI:     values pass through; errors name attributes only.
 *
 * The order is that of PS3.4 N.2: gray, then shutter and overlays in the image's own pixels, the
 * displayed area, rotation and flip, its size, and at last graphics and text, upright and as large
 * as the picture wants them.
 */
#ifndef NX_RETRIEVE_PRESENT_PRIV_H
#define NX_RETRIEVE_PRESENT_PRIV_H

#include "retrieve/image_priv.h"

struct nx_viewport;

/* A state, and the frame that it is applied to. */
struct present {
	struct image_source state;
	const char *instance; /* SOP Instance UID of the image */
	uint32_t frame;       /* from 0 */
};

/* ---- present.c ---- */

/* Gray, shutter and overlays, those of the image where the state activates them.  `image` is what
 * image_colors() made of it. */
NX_NODISCARD nx_rc present_describe(const struct present *p, const struct image_source *source,
	const struct nx_pixel_desc *desc, struct image *image, struct nx_err *err);

/* Does the item apply to the frame (C.10.4, C.10.5, C.11.8: Referenced Image Sequence)? */
bool present_applies(const struct present *p, const struct nx_dataset *item);
/* Is it this term, whatever its padding? */
bool present_term(const struct nx_dataset *ds, nx_tag tag, const char *term);
/* The i-th value of FL; false: there are not as many. */
bool present_float(struct nx_slice value, size_t i, double *ret);
/* The gray of a layer (C.10.7) in 8 bits; *ret_order: the lowest is drawn first. */
uint8_t present_layer(const struct present *p, struct nx_slice name, int64_t *ret_order);

/* ---- present_area.c: displayed area and spatial transformation (C.10.4, C.10.6) ---- */

struct present_area {
	int64_t left; /* of the image, from 0 */
	int64_t top;
	uint32_t columns;
	uint32_t rows;
	unsigned turns; /* of 90 degrees, clockwise, ... */
	bool mirrored;  /* ... and then this */
	double aspect;  /* how many times as high as wide a pixel is */
	double magnify; /* 0: to fit the viewport */
};

NX_NODISCARD nx_rc present_area_read(const struct present *p, const struct nx_pixel_desc *desc,
	struct present_area *ret, struct nx_err *err);

/* Where things are drawn in the picture that came of it. */
struct present_map {
	struct nx_affine pixel;   /* PIXEL: of the image */
	struct nx_affine display; /* DISPLAY: 0 to 1 of the displayed area */
};

/* The displayed area as a picture; ret->pixels is heap memory, `raster` is freed, also on failure.
 */
NX_NODISCARD nx_rc present_area_view(const struct present_area *area, const struct nx_viewport *v,
	struct nx_raster *raster, struct present_map *ret_map, struct nx_err *err);

/* ---- present_draw.c: graphic annotation (C.10.5) ---- */

NX_NODISCARD nx_rc present_draw(const struct present *p, const struct present_map *map,
	struct nx_raster *raster, struct nx_err *err);

#endif

/*
 * image_read_priv.h - the readers behind nx_image_read().
 *
 * Layer:   1 (pixel), private.
 * Threads: pure functions.
 * PHI:     pixels pass through.
 */
#ifndef NX_PIXEL_IMAGE_READ_PRIV_H
#define NX_PIXEL_IMAGE_READ_PRIV_H

#include "pixel/image_file.h"

/* Rows, columns, frames, samples and bits allocated of *ret are set, and all frames are in `out`.
 */
NX_NODISCARD nx_rc nx_png_read(const struct nx_image_source *source, uint8_t *out, size_t cap,
	struct nx_pixel_desc *ret, struct nx_err *err);
/* The same, and in *ret_delays, heap memory of the caller, milliseconds of each frame. */
NX_NODISCARD nx_rc nx_gif_read(const struct nx_image_source *source, uint8_t *out, size_t cap,
	struct nx_pixel_desc *ret, uint16_t **ret_delays, struct nx_err *err);

#endif

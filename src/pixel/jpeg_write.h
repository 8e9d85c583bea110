/*
 * jpeg_write.h - JPEG files of 8 bits: for transfer syntaxes and for rendered images.
 *
 * Layer:   1 (pixel).  Uses libjpeg-turbo.
 * Threads: calls share nothing.
 * PHI:     pixels pass through.
 */
#ifndef NX_PIXEL_JPEG_WRITE_H
#define NX_PIXEL_JPEG_WRITE_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct nx_buf;

struct nx_jpeg_image {
	uint32_t rows;
	uint32_t columns;
	uint16_t samples; /* 1 or 3, by pixel */
	bool ybr;         /* three samples are YBR_FULL already, not RGB */
	unsigned quality; /* 1 to 100 */
	const uint8_t *pixels;
	struct nx_slice icc; /* a profile to put into it; n 0: none */
};

/* Appends one image, chroma at full size. */
NX_NODISCARD nx_rc nx_jpeg_write(
	const struct nx_jpeg_image *image, struct nx_buf *out, struct nx_err *err);

#endif

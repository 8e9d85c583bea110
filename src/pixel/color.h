/*
 * color.h - orders of samples and color models, on arrays.
 *
 * Layer:   1 (pixel).  Uses nothing.
 * Threads: pure functions.
 * PHI:     pixels pass through.
 */
#ifndef NX_PIXEL_COLOR_H
#define NX_PIXEL_COLOR_H

#include <stddef.h>
#include <stdint.h>

/* Color-by-plane to color-by-pixel: `n` pixels of `samples` samples of `bytes` bytes. */
void nx_color_interleave(
	const uint8_t *planes, size_t n, unsigned samples, unsigned bytes, uint8_t *ret_pixels);

/* YBR_FULL to RGB and back, 8 bits, `n` pixels in place (PS3.3 C.7.6.3.1.2; rounded as the
 * Independent JPEG Group's code does it). */
void nx_color_ybr_to_rgb(uint8_t *pixels, size_t n);

/* Y1 Y2 Cb Cr of native YBR_FULL_422 (PS3.5 8.2.1) to Y Cb Cr of every pixel; `n` pixels, even. */
void nx_color_422_expand(const uint8_t *pairs, size_t n, uint8_t *ret_pixels);

#endif

/*
 * icc.h - color profiles: those of well-known color spaces, and colors of one as colors of another.
 *
 * Layer:   1 (pixel).  Uses Little CMS.
 * Threads: pure functions.
 * PHI:     pixels pass through.
 *
 * nx_icc_convert() trusts the library with the profiles: those of others are given to
 * pixelbox/pixelbox.h.
 */
#ifndef NX_PIXEL_ICC_H
#define NX_PIXEL_ICC_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct nx_buf;

/* PS3.3 C.11.15.1.2, PS3.18 8.3.5.1.5. */
enum nx_color_space {
	NX_COLOR_SRGB,
	NX_COLOR_ADOBE_RGB,
	NX_COLOR_ROMM_RGB
};

/* Its profile, every time the same bytes; appended. */
NX_NODISCARD nx_rc nx_icc_profile(
	enum nx_color_space space, struct nx_buf *out, struct nx_err *err);
/* `n` pixels of three 8-bit samples.  NX_E_MALFORMED: one is no profile of RGB. */
NX_NODISCARD nx_rc nx_icc_convert(struct nx_slice from, struct nx_slice to, const uint8_t *pixels,
	size_t n, uint8_t *ret_pixels, struct nx_err *err);

#endif

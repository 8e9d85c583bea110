/*
 * image_file.h - PNG and GIF files of others as native samples (PS3.18 Table 10.5.2-1: they are
 * transformed when they are stored).
 *
 * Layer:   1 (pixel).  Uses libpng, giflib.
 * Threads: pure functions.
 * PHI:     pixels pass through.
 *
 * Nothing is lost: palettes become RGB, or gray where all their colors are, gray of less than 8
 * bits has 8.  What DICOM has no place for is refused, as is what would be lost: pixels that are
 * transparent, and the other frames of an animated PNG, which libpng does not know.  Reading trusts
 * the libraries: files are given to pixelbox/pixelbox.h.
 */
#ifndef NX_PIXEL_IMAGE_FILE_H
#define NX_PIXEL_IMAGE_FILE_H

#include "pixel/pixel.h"

enum nx_image_form {
	NX_IMAGE_PNG,
	NX_IMAGE_GIF, /* each of its frames as a viewer shows it, whole */
	NX_IMAGE_FORMS
};

/* What is read of it, as `samples` a pixel: 1, 3, or 0: what it has itself. */
struct nx_image_source {
	enum nx_image_form form;
	unsigned samples;
	struct nx_slice file;
};

/*
 * To `out`, of `cap` bytes: all frames, color-by-pixel, and behind them for each frame the
 * milliseconds that it is shown, as 16 bits in little endian; *ret_len is their length. NX_E_LIMIT:
 * there is not so much room.
 */
NX_NODISCARD nx_rc nx_image_read(const struct nx_image_source *source, uint8_t *out, size_t cap,
	struct nx_pixel_desc *ret, uint64_t *ret_len, struct nx_err *err);

#endif

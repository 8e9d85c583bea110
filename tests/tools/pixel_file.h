/*
 * pixel_file.h - the image of a Part 10 file: its description and its stored frames.
 */
#ifndef NX_TESTS_PIXEL_FILE_H
#define NX_TESTS_PIXEL_FILE_H

#include "base/arena.h"
#include "base/buf.h"
#include "pixel/pixel.h"

struct pixel_file {
	struct nx_buf bytes;
	struct nx_arena *arena;
	const struct nx_pixel_codec *codec;
	struct nx_pixel_desc desc;
	double slope; /* rescale */
	double intercept;
	struct nx_slice *frames; /* desc.frames of them; from the arena or of `bytes` */
};

/* Ended by pixel_file_done(), also after a failure. */
NX_NODISCARD nx_rc pixel_file_open(struct pixel_file *file, const char *path, struct nx_err *err);
void pixel_file_done(struct pixel_file *file);

#endif

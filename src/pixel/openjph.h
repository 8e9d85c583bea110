/*
 * openjph.h - the writing of HTJ2K by OpenJPH, which speaks C++ only: openjph.cpp is all of it that
 * this project has, compiled by itself.
 *
 * Layer:   1 (pixel).
 * Threads: calls share nothing.
 * PHI:     pixels pass through.
 */
#ifndef NX_PIXEL_OPENJPH_H
#define NX_PIXEL_OPENJPH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nx_openjph_image {
	uint32_t rows;
	uint32_t columns;
	uint32_t components;
	uint32_t bits;
	uint32_t levels; /* of the wavelet transform */
	int is_signed;
	int color; /* three components are RGB: the reversible transform */
	/* Component `c` of row `y` into `ret`, `columns` numbers. */
	void (*row)(void *payload, uint32_t y, uint32_t c, int32_t *ret);
	/* Takes the next bytes of the codestream; 0 where it cannot. */
	int (*put)(void *payload, const void *p, size_t n);
	void *payload;
};

/* One lossless codestream, by resolution, position, component, layer.  0 where it could not. */
int nx_openjph_encode(const struct nx_openjph_image *image);

#ifdef __cplusplus
}
#endif

#endif

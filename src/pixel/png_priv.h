/*
 * png_priv.h - what reading and writing with libpng share.
 *
 * Layer:   1 (pixel).
 * Threads: safe.
 */
#ifndef NX_PIXEL_PNG_PRIV_H
#define NX_PIXEL_PNG_PRIV_H

#include <png.h>
#include <setjmp.h>

/* Its texts are not told: they may be of the file. */
static inline void nx_png_error(png_structp png, png_const_charp text)
{
	(void)text;
	png_longjmp(png, 1);
}

static inline void nx_png_warning(png_structp png, png_const_charp text)
{
	(void)png;
	(void)text;
}

#endif

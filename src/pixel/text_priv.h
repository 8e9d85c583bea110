/*
 * text_priv.h - the glyphs that tools/gen_glyphs.py takes from X11's misc-fixed fonts.
 *
 * Layer:   1 (pixel), private.
 * Threads: constants only.
 * PHI:     none.
 */
#ifndef NX_PIXEL_TEXT_PRIV_H
#define NX_PIXEL_TEXT_PRIV_H

#include <stddef.h>
#include <stdint.h>

enum {
	NX_GLYPH_ROWS = 18
};

/* Code points that follow each other and are equally wide.  A glyph is NX_GLYPH_ROWS rows of
 * (columns + 7) / 8 bytes, the highest bit being the leftmost pixel. */
struct nx_glyph_run {
	uint32_t first;
	uint32_t n;
	uint32_t columns;
	uint32_t at; /* of the first one's, in nx_glyph_bits */
};

extern const struct nx_glyph_run nx_glyph_runs[]; /* ascending */
extern const size_t nx_glyph_n_runs;
extern const uint8_t nx_glyph_bits[];

#endif

/*
 * render.h - from samples to what a viewer shows: 8 bits, gray or RGB, of any size, and files of
 * it.
 *
 * Layer:   1 (pixel).  Uses libpng, giflib, libjpeg-turbo.
 * Threads: pure functions on arrays; a struct nx_gif belongs to one thread at a time.
 * PHI:     pixels pass through.
 */
#ifndef NX_PIXEL_RENDER_H
#define NX_PIXEL_RENDER_H

#include "pixel/pixel.h"

struct nx_buf;

/* Rows of 8-bit samples, by pixel: 1 (gray) or 3 (RGB) of them. */
struct nx_raster {
	uint32_t rows;
	uint32_t columns;
	uint32_t samples;
	uint8_t *pixels; /* rows * columns * samples */
};

/* Bytes of a raster of that size; 0 past NX_LIMIT_PIXEL_RENDERED, or where a side is 0. */
size_t nx_raster_len(uint32_t rows, uint32_t columns, uint32_t samples);

/* A look-up table (PS3.3 C.11.1.1, C.7.6.3.1.5): descriptor and data. */
struct nx_lut {
	uint32_t n;    /* entries: the descriptor's first value, where 0 means 65536 */
	int32_t first; /* stored value of the first entry; the ends hold for what is outside */
	uint16_t bits; /* of an entry: 8 to 16 */
	const uint16_t *values;
};

/*
 * A segmented palette (PS3.3 C.7.9.2) as entries: discrete, linear and indirect segments.
 * NX_E_MALFORMED where it does not make exactly `n` of them.
 */
NX_NODISCARD nx_rc nx_lut_expand(const uint16_t *segments, size_t n_segments, uint16_t *ret_values,
	uint32_t n, struct nx_err *err);

enum nx_voi {
	NX_VOI_FRAME, /* from the smallest to the largest value of the frame at hand */
	NX_VOI_WHOLE, /* all values that the modality can have */
	NX_VOI_LINEAR,
	NX_VOI_LINEAR_EXACT,
	NX_VOI_SIGMOID,
	NX_VOI_LUT,
};

/* Stored values to gray: modality, VOI, presentation (PS3.4 N.2). */
struct nx_gray {
	double slope; /* rescale; 0 means 1 */
	double intercept;
	const struct nx_lut *modality; /* instead of rescale; NULL for none */
	enum nx_voi voi;
	double center; /* of the window */
	double width;
	const struct nx_lut *voi_lut;
	bool has_padding; /* stored values that the frame's range leaves out (C.7.5.1.1.2) */
	int64_t padding_low;
	int64_t padding_high;
	const struct nx_lut *presentation; /* its entries cover all that comes out of VOI */
	bool inverse; /* a presentation LUT shape of INVERSE; MONOCHROME1 turns it around ... */
	bool is_presented; /* ... but not where a presentation state says what white is */
};

/* `out` has rows and columns of `desc` and one sample.  `samples` as nx_pixel_decode() gives them.
 */
NX_NODISCARD nx_rc nx_render_gray(const struct nx_pixel_desc *desc, struct nx_slice samples,
	const struct nx_gray *gray, uint8_t *out, struct nx_err *err);

struct nx_palette {
	struct nx_lut red;
	struct nx_lut green;
	struct nx_lut blue;
};

/* PALETTE COLOR to RGB; `out` has three samples. */
NX_NODISCARD nx_rc nx_render_palette(const struct nx_pixel_desc *desc, struct nx_slice samples,
	const struct nx_palette *palette, uint8_t *out, struct nx_err *err);
/* Three samples by pixel, RGB or YBR_FULL, of 8 to 32 bits, to RGB. */
NX_NODISCARD nx_rc nx_render_color(const struct nx_pixel_desc *desc, struct nx_slice samples,
	uint8_t *out, struct nx_err *err);

/* An overlay plane (PS3.3 C.9.2): set bits get `value` in every sample. */
struct nx_overlay {
	uint32_t rows;
	uint32_t columns;
	int32_t row; /* origin, 1 being the image's first */
	int32_t column;
	struct nx_slice bits; /* bit 0 of byte 0 first */
};
void nx_render_overlay(struct nx_raster *raster, const struct nx_overlay *overlay, uint8_t value);

/* A rectangle of a raster, as one of its own in ret_pixels. */
struct nx_region {
	uint32_t row;
	uint32_t column;
	uint32_t rows;
	uint32_t columns;
};
NX_NODISCARD nx_rc nx_render_crop(const struct nx_raster *from, const struct nx_region *region,
	uint8_t *ret_pixels, struct nx_err *err);

/* The same of a rectangle that may stick out; there it is 0. */
void nx_render_cut(const struct nx_raster *from, int64_t row, int64_t column, struct nx_raster *to);

/* Mirrored in place: left and right, top and bottom. */
void nx_render_flip(struct nx_raster *raster, bool across, bool down);
/* Turned by 90 degrees clockwise; `to` has as many rows as `from` has columns. */
void nx_render_turn(const struct nx_raster *from, struct nx_raster *to);

/* To another size: the mean of what falls on a pixel where it gets smaller, linear where larger. */
NX_NODISCARD nx_rc nx_render_resize(
	const struct nx_raster *from, struct nx_raster *to, struct nx_err *err);

/* ---- files, appended to `out`; `icc` is a profile that goes into it as it is, n 0: none ---- */

NX_NODISCARD nx_rc nx_render_jpeg(const struct nx_raster *raster, unsigned quality,
	struct nx_slice icc, struct nx_buf *out, struct nx_err *err);
NX_NODISCARD nx_rc nx_render_png(const struct nx_raster *raster, struct nx_slice icc,
	struct nx_buf *out, struct nx_err *err);

struct nx_gif;

/* An animation that goes on for ever; a frame stays for `delay_ms`.  Colors are the best 256. */
NX_NODISCARD nx_rc nx_gif_new(uint32_t rows, uint32_t columns, unsigned delay_ms,
	struct nx_buf *out, struct nx_gif **ret_gif, struct nx_err *err);
NX_NODISCARD nx_rc nx_gif_add(
	struct nx_gif *gif, const struct nx_raster *raster, struct nx_err *err);
NX_NODISCARD nx_rc nx_gif_finish(struct nx_gif *gif, struct nx_err *err);
struct nx_gif *nx_gif_free(struct nx_gif *gif);
NX_DEFINE_AUTO(nx_gif);

#endif

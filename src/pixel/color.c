#include "pixel/color.h"

#include <string.h>

void nx_color_interleave(
	const uint8_t *planes, size_t n, unsigned samples, unsigned bytes, uint8_t *ret_pixels)
{
	for (unsigned s = 0; s < samples; s++) {
		const uint8_t *from = planes + s * n * bytes;
		uint8_t *to = ret_pixels + (size_t)s * bytes;
		const size_t step = (size_t)samples * bytes;

		for (size_t i = 0; i < n; i++, from += bytes, to += step)
			for (unsigned b = 0; b < bytes; b++)
				to[b] = from[b];
	}
}

static uint8_t clamp(int32_t v)
{
	return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Sixteen fractional bits: 1.402, 0.34414, 0.71414, 1.772. */
enum {
	CR_R = 91881,
	CB_G = 22554,
	CR_G = 46802,
	CB_B = 116130,
	HALF = 1 << 15
};

void nx_color_ybr_to_rgb(uint8_t *pixels, size_t n)
{
	for (uint8_t *p = pixels, *end = pixels + 3 * n; p < end; p += 3) {
		const int32_t y = p[0], cb = p[1] - 128, cr = p[2] - 128;

		p[0] = clamp(y + ((CR_R * cr + HALF) >> 16));
		p[1] = clamp(y + ((-CB_G * cb - CR_G * cr + HALF) >> 16));
		p[2] = clamp(y + ((CB_B * cb + HALF) >> 16));
	}
}

void nx_color_422_expand(const uint8_t *pairs, size_t n, uint8_t *ret_pixels)
{
	for (size_t i = 0; i < n; i += 2, pairs += 4, ret_pixels += 6) {
		const uint8_t both[6] = {
			pairs[0], pairs[2], pairs[3], pairs[1], pairs[2], pairs[3]};

		memcpy(ret_pixels, both, sizeof(both));
	}
}

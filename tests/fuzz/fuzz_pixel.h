/*
 * fuzz_pixel.h - what the fuzz targets of codecs share: the first bytes say what the data set
 * claims.
 */
#ifndef NX_FUZZ_PIXEL_H
#define NX_FUZZ_PIXEL_H

#include <string.h>

#include "fuzz.h"
#include "pixel/pixel.h"

enum {
	FUZZ_PIXEL_HEAD = 4,
	FUZZ_PIXEL_MAX = 256 * 256 * 4 * 4
};

/* Rows, columns, depth and samples, flags; small, so that what is slow is the codec. */
static inline struct nx_pixel_desc fuzz_pixel_desc(const uint8_t *head)
{
	static const uint16_t depths[] = {8, 16, 32, 1};
	struct nx_pixel_desc desc = {.rows = head[0] + 1u, .columns = head[1] + 1u, .frames = 1};

	desc.bits_allocated = depths[head[2] & 3];
	desc.bits_stored = (uint16_t)(1 + (head[2] >> 3) % desc.bits_allocated);
	desc.high_bit = (uint16_t)(desc.bits_stored - 1);
	desc.samples = (uint16_t)((head[3] & 3) + 1);
	desc.is_signed = head[3] & 4;
	desc.planar = head[3] & 8;
	desc.photometric = (enum nx_photometric)(head[3] >> 4 & 7);
	return desc;
}

/* Whatever the stream is: an error, or the whole frame, twice the same and nothing beside it. */
static inline int fuzz_pixel_decode(const char *uid, const uint8_t *data, size_t size)
{
	const struct nx_pixel_codec *codec = nx_pixel_codec_find(uid);
	struct nx_pixel_desc desc, got;
	uint8_t *out, *again;
	size_t len;

	if (size < FUZZ_PIXEL_HEAD)
		return 0;
	desc = fuzz_pixel_desc(data);
	if (nx_pixel_desc_check(&desc, NULL))
		return 0;
	len = nx_pixel_frame_len(&desc);
	out = malloc(len);
	again = malloc(len);
	FUZZ_CHECK(len <= FUZZ_PIXEL_MAX && out && again);
	memset(out, 0xA5, len);
	memset(again, 0x5A, len);
	if (nx_pixel_decode(codec,
		    &(struct nx_pixel_frame){.desc = &desc,
			    .bytes = (struct nx_slice){data + FUZZ_PIXEL_HEAD,
				    size - FUZZ_PIXEL_HEAD},
			    .flags = NX_PIXEL_RGB},
		    out, len, &got, NULL) == NX_OK) {
		FUZZ_CHECK(nx_pixel_decode(codec,
				   &(struct nx_pixel_frame){.desc = &desc,
					   .bytes = (struct nx_slice){data + FUZZ_PIXEL_HEAD,
						   size - FUZZ_PIXEL_HEAD},
					   .flags = NX_PIXEL_RGB},
				   again, len, &got, NULL) == NX_OK);
		FUZZ_CHECK(nx_pixel_frame_len(&got) == len && memcmp(out, again, len) == 0);
	}
	free(out);
	free(again);
	return 0;
}

#endif

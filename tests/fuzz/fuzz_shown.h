/*
 * fuzz_shown.h - what the fuzz targets of rendering share: a data set behind the head of
 * fuzz_pixel.h, and a frame of samples that it is about.
 */
#ifndef NX_FUZZ_SHOWN_H
#define NX_FUZZ_SHOWN_H

#include "fuzz_pixel.h"

#include "base/arena.h"
#include "dicom/dicom.h"

enum {
	FUZZ_SHOWN_ARENA = 64 * 1024 * 1024
};

struct fuzz_shown {
	const struct nx_dataset *ds;
	struct nx_arena *arena;
	struct nx_pixel_desc desc;
	uint32_t frame;
	struct nx_slice samples;
};

static inline nx_rc fuzz_no_bulk(
	void *payload, const struct nx_elem *e, struct nx_slice *ret, struct nx_err *err)
{
	(void)payload;
	(void)e;
	*ret = nx_slice(NULL, 0);
	return nx_err_set(err, NX_E_SHORT, "no bulk values here");
}

static inline void fuzz_samples(struct fuzz_shown *shown, void (*show)(const struct fuzz_shown *))
{
	const size_t len = nx_pixel_frame_len(&shown->desc);
	uint8_t *samples = malloc(len);

	FUZZ_CHECK(samples);
	for (size_t i = 0; i < len; i++)
		samples[i] = (uint8_t)(i * 37);
	shown->samples = nx_slice(samples, len);
	show(shown);
	free(samples);
}

static inline int fuzz_shown(
	const uint8_t *data, size_t size, void (*show)(const struct fuzz_shown *))
{
	struct fuzz_shown shown = {.arena = nx_arena_new(FUZZ_SHOWN_ARENA, 0)};
	struct nx_dataset *ds;

	if (shown.arena && size > FUZZ_PIXEL_HEAD) {
		shown.desc = fuzz_pixel_desc(data);
		shown.desc.planar = false;
		shown.frame = data[0] % 4;
		if (nx_pixel_desc_check(&shown.desc, NULL) == NX_OK &&
			nx_dataset_parse(nx_slice(data + FUZZ_PIXEL_HEAD, size - FUZZ_PIXEL_HEAD),
				NX_UID_EXPLICIT_VR_LITTLE_ENDIAN, UINT32_MAX, shown.arena, &ds,
				NULL) == NX_OK) {
			shown.ds = ds;
			fuzz_samples(&shown, show);
		}
	}
	nx_arena_free(shown.arena);
	return 0;
}

#endif

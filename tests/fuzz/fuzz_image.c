/* How a data set says that its frames are shown: an error, or an image of the right size. */
#include "fuzz_pixel.h"

#include "base/arena.h"
#include "dicom/dicom.h"
#include "retrieve/image_priv.h"

enum {
	ARENA_MAX = 64 * 1024 * 1024
};

static nx_rc no_bulk(
	void *payload, const struct nx_elem *e, struct nx_slice *ret, struct nx_err *err)
{
	(void)payload;
	(void)e;
	*ret = nx_slice(NULL, 0);
	return nx_err_set(err, NX_E_SHORT, "no bulk values here");
}

static void show(const struct nx_dataset *ds, struct nx_arena *arena,
	const struct nx_pixel_desc *desc, uint32_t frame)
{
	const struct image_source source = {ds, arena, no_bulk, NULL};
	const size_t len = nx_pixel_frame_len(desc);
	uint8_t *samples = malloc(len);
	struct nx_raster raster;
	struct image image;

	FUZZ_CHECK(samples);
	for (size_t i = 0; i < len; i++)
		samples[i] = (uint8_t)(i * 37);
	if (image_describe(&source, desc, frame, &image, NULL) == NX_OK &&
		image_render(&image, desc, nx_slice(samples, len), &raster, NULL) == NX_OK) {
		FUZZ_CHECK(raster.rows == desc->rows && raster.columns == desc->columns);
		free(raster.pixels);
	}
	free(samples);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nx_arena *arena = nx_arena_new(ARENA_MAX, 0);
	struct nx_pixel_desc desc;
	struct nx_dataset *ds;

	if (arena && size > FUZZ_PIXEL_HEAD) {
		desc = fuzz_pixel_desc(data);
		desc.planar = false;
		if (nx_pixel_desc_check(&desc, NULL) == NX_OK &&
			nx_dataset_parse(nx_slice(data + FUZZ_PIXEL_HEAD, size - FUZZ_PIXEL_HEAD),
				NX_UID_EXPLICIT_VR_LITTLE_ENDIAN, UINT32_MAX, arena, &ds,
				NULL) == NX_OK) {
			show(ds, arena, &desc, data[0] % 4);
			FUZZ_CHECK(image_representative(ds, 7) < 7);
			(void)image_delay_ms(ds);
		}
	}
	nx_arena_free(arena);
	return 0;
}

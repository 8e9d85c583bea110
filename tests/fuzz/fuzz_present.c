/* A presentation state over an image that says nothing: an error, or a picture of the size that the
 * state's area asks for. */
#include "fuzz_pixel.h"

#include "base/arena.h"
#include "retrieve/present_priv.h"
#include "retrieve/render.h"

enum {
	ARENA_MAX = 64 * 1024 * 1024,
	AREA_MAX = 512 * 1024
};

static nx_rc no_bulk(
	void *payload, const struct nx_elem *e, struct nx_slice *ret, struct nx_err *err)
{
	(void)payload;
	(void)e;
	*ret = nx_slice(NULL, 0);
	return nx_err_set(err, NX_E_SHORT, "no bulk values here");
}

static void view(
	const struct present *p, const struct nx_pixel_desc *desc, struct nx_raster *raster)
{
	const struct nx_viewport viewport = {.columns = 64, .rows = 64};
	struct present_area area;
	struct present_map map;

	if (present_area_read(p, desc, &area, NULL) != NX_OK ||
		(uint64_t)area.rows * area.columns > AREA_MAX || area.magnify > 8 ||
		area.aspect > 8 || area.aspect < 0.125)
		return;
	if (present_area_view(&area, &viewport, raster, &map, NULL) != NX_OK)
		return;
	FUZZ_CHECK(raster->columns <= viewport.columns && raster->rows <= viewport.rows);
	(void)!present_draw(p, &map, raster, NULL);
}

static void show(const struct nx_dataset *ds, struct nx_arena *arena,
	const struct nx_pixel_desc *desc, uint32_t frame)
{
	const struct nx_dataset nothing = {.n = 0};
	const struct image_source source = {&nothing, arena, no_bulk, NULL};
	const struct present p = {{ds, arena, no_bulk, NULL}, "1.2.3", frame};
	const size_t len = nx_pixel_frame_len(desc);
	uint8_t *samples = malloc(len);
	struct nx_raster raster = {.pixels = NULL};
	struct image image;

	FUZZ_CHECK(samples);
	for (size_t i = 0; i < len; i++)
		samples[i] = (uint8_t)(i * 37);
	if (image_colors(&source, desc, &image, NULL) == NX_OK &&
		present_describe(&p, &source, desc, &image, NULL) == NX_OK &&
		image_render(&image, desc, nx_slice(samples, len), &raster, NULL) == NX_OK)
		view(&p, desc, &raster);
	free(raster.pixels);
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
				NULL) == NX_OK)
			show(ds, arena, &desc, data[0] % 4);
	}
	nx_arena_free(arena);
	return 0;
}

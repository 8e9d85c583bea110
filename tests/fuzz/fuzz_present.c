/* A presentation state over an image that says nothing: an error, or a picture of the size that the
 * state's area asks for. */
#include "fuzz_shown.h"

#include "retrieve/present_priv.h"
#include "retrieve/render.h"

enum {
	AREA_MAX = 512 * 1024
};

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

static void show(const struct fuzz_shown *s)
{
	const struct nx_dataset nothing = {.n = 0};
	const struct image_source source = {&nothing, s->arena, fuzz_no_bulk, NULL};
	const struct present p = {{s->ds, s->arena, fuzz_no_bulk, NULL}, "1.2.3", s->frame};
	struct nx_raster raster = {.pixels = NULL};
	struct image image;

	if (image_colors(&source, &s->desc, &image, NULL) == NX_OK &&
		present_describe(&p, &source, &s->desc, &image, NULL) == NX_OK &&
		image_render(&image, &s->desc, s->samples, &raster, NULL) == NX_OK)
		view(&p, &s->desc, &raster);
	free(raster.pixels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_shown(data, size, show);
}

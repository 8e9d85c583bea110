/* How a data set says that its frames are shown: an error, or an image of the right size. */
#include "fuzz_shown.h"

#include "retrieve/image_priv.h"

static void show(const struct fuzz_shown *s)
{
	const struct image_source source = {s->ds, s->arena, fuzz_no_bulk, NULL};
	struct nx_raster raster;
	struct image image;

	if (image_describe(&source, &s->desc, s->frame, &image, NULL) == NX_OK &&
		image_render(&image, &s->desc, s->samples, &raster, NULL) == NX_OK) {
		FUZZ_CHECK(raster.rows == s->desc.rows && raster.columns == s->desc.columns);
		free(raster.pixels);
	}
	FUZZ_CHECK(image_representative(s->ds, 7) < 7);
	(void)image_delay_ms(s->ds);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_shown(data, size, show);
}

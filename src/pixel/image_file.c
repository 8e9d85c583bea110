#include "pixel/image_file.h"

#include <stdlib.h>

#include "pixel/image_read_priv.h"
#include "pixel/pixel_priv.h"

enum {
	DELAY = 2 /* bytes */
};

static nx_rc form_read(const struct nx_image_source *source, uint8_t *out, size_t cap,
	struct nx_pixel_desc *ret, uint16_t **ret_delays, struct nx_err *err)
{
	switch (source->form) {
	case NX_IMAGE_PNG:
		return nx_png_read(source, out, cap, ret, err);
	case NX_IMAGE_GIF:
		return nx_gif_read(source, out, cap, ret, ret_delays, err);
	case NX_IMAGE_FORMS:
		break;
	}
	return nx_err_set(err, NX_E_UNSUPPORTED, "image of another form");
}

nx_rc nx_image_read(const struct nx_image_source *source, uint8_t *out, size_t cap,
	struct nx_pixel_desc *ret, uint64_t *ret_len, struct nx_err *err)
{
	struct nx_pixel_desc desc = {.rows = 0};
	NX_AUTO_MEM uint16_t *delays = NULL;
	uint64_t len = 0;
	nx_rc rc = form_read(source, out, cap, &desc, &delays, err);

	if (rc)
		return rc;
	if (source->samples && desc.samples != source->samples)
		return nx_err_set(err, NX_E_MALFORMED, "image of %u samples instead of %u",
			desc.samples, source->samples);
	desc.bits_stored = desc.bits_allocated;
	desc.high_bit = (uint16_t)(desc.bits_stored - 1);
	desc.photometric = desc.samples == 3 ? NX_PHOTO_RGB : NX_PHOTO_MONOCHROME2;
	rc = nx_pixel_desc_check(&desc, err);
	if (rc)
		return rc;
	len = (uint64_t)nx_pixel_frame_len(&desc) * desc.frames;
	if (len > cap || (uint64_t)desc.frames * DELAY > cap - len)
		return nx_err_set(err, NX_E_LIMIT, "image of %u frames", desc.frames);
	for (uint32_t i = 0; i < desc.frames; i++)
		nx_sample_put(out + len, DELAY, i, delays ? delays[i] : 0);
	*ret_len = len + (uint64_t)desc.frames * DELAY;
	*ret = desc;
	return NX_OK;
}

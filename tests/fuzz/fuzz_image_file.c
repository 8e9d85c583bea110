/* PNG and GIF files of somebody: an error, or frames that fill just what they say. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "pixel/image_file.h"

enum {
	CAP = 4 * 1024 * 1024,
	HEAD = 1
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned samples[] = {0, 1, 3, 2};
	struct nx_image_source source;
	struct nx_pixel_desc desc;
	uint64_t len = 0;
	uint8_t *out;

	if (size < HEAD)
		return 0;
	source = (struct nx_image_source){(enum nx_image_form)(data[0] % NX_IMAGE_FORMS),
		samples[data[0] / NX_IMAGE_FORMS % 4], nx_slice(data + HEAD, size - HEAD)};
	out = malloc(CAP);
	FUZZ_CHECK(out);
	if (nx_image_read(&source, out, CAP, &desc, &len, NULL) == NX_OK) {
		FUZZ_CHECK(nx_pixel_desc_check(&desc, NULL) == NX_OK && desc.frames);
		FUZZ_CHECK(len ==
			((uint64_t)nx_pixel_frame_len(&desc) + sizeof(uint16_t)) * desc.frames);
		FUZZ_CHECK(len <= CAP && (!source.samples || desc.samples == source.samples));
	}
	free(out);
	return 0;
}

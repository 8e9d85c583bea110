/* JPEG 2000 and HTJ2K: streams of others. */
#include "fuzz_pixel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_pixel_decode("1.2.840.10008.1.2.4.90", data, size);
}

/* A color profile of somebody: none, or one by which colors are converted, twice the same. */
#include "fuzz.h"

#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "pixel/icc.h"

enum {
	PIXELS = 64
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t pixels[3 * PIXELS], out[3 * PIXELS] = {0}, again[3 * PIXELS] = {1};
	struct nx_buf to;

	nx_buf_init(&to, NX_LIMIT_ICC, 0);
	FUZZ_CHECK(nx_icc_profile(NX_COLOR_SRGB, &to, NULL) == NX_OK);
	for (size_t i = 0; i < sizeof(pixels); i++)
		pixels[i] = (uint8_t)(i * 41);
	if (nx_icc_convert(nx_slice(data, size), nx_buf_slice(&to), pixels, PIXELS, out, NULL) ==
		NX_OK) {
		FUZZ_CHECK(nx_icc_convert(nx_slice(data, size), nx_buf_slice(&to), pixels, PIXELS,
				   again, NULL) == NX_OK);
		FUZZ_CHECK(memcmp(out, again, sizeof(out)) == 0);
	}
	nx_buf_done(&to);
	return 0;
}

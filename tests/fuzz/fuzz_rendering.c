/* Parameters of rendered resources: what is taken is within what the renderer is made for. */
#include "fuzz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dicomweb/dicomweb_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nx_rendering r = {.form = NX_RENDER_PNG};
	struct nx_viewport v = {.columns = 0};
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = 0;
	if (dw_window_parse(text, &r, NULL) == NX_OK)
		FUZZ_CHECK(r.has_window && isfinite(r.center) && isfinite(r.width) && r.width > 0);
	if (dw_viewport_parse(text, &v, NULL) == NX_OK)
		FUZZ_CHECK(v.columns && v.rows &&
			(uint64_t)v.columns * v.rows <= NX_LIMIT_VIEWPORT && v.left >= 0 &&
			v.top >= 0 && v.width >= 0 && v.height >= 0);
	r.annotations = 0;
	if (dw_annotation_parse(text, &r))
		FUZZ_CHECK(r.annotations && r.annotations <= 3);
	free(text);
	return 0;
}

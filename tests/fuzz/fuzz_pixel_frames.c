/* Encapsulated pixel data: pieces do not matter, and frames are all fragments in order. */
#include "fuzz.h"

#include <string.h>

#include "pixel/frames.h"

enum {
	FRAMES_MAX = 64
};

static nx_rc scan(struct nx_pixel_scan *scan, struct nx_slice value, size_t piece)
{
	nx_rc rc = NX_OK;

	for (size_t at = 0; !rc && at < value.n; at += piece)
		rc = nx_pixel_scan_feed(scan,
			nx_slice(value.p + at, piece < value.n - at ? piece : value.n - at), NULL);
	return rc ? rc : nx_pixel_scan_finish(scan, NULL);
}

static void index_check(const struct nx_pixel_scan *scan, struct nx_slice extended, uint32_t frames)
{
	const struct nx_frame_tables tables = {nx_pixel_scan_offsets(scan), extended};
	uint32_t first[FRAMES_MAX + 1];
	const struct nx_fragment *f;
	size_t n;

	f = nx_pixel_scan_fragments(scan, &n);
	if (nx_frames_index(f, n, &tables, frames, first, NULL))
		return;
	FUZZ_CHECK(first[0] == 0 && first[frames] == n);
	for (uint32_t i = 0; i < frames; i++)
		FUZZ_CHECK(first[i] < first[i + 1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nx_pixel_scan *whole = nx_pixel_scan_new(), *pieces = nx_pixel_scan_new();
	const struct nx_fragment *a, *b;
	struct nx_slice value;
	size_t n, m;

	if (size >= 3 && whole && pieces) {
		const size_t extended = data[2] < (size - 3) ? data[2] : size - 3;

		value = nx_slice(data + 3 + extended, size - 3 - extended);
		FUZZ_CHECK(scan(whole, value, size) == scan(pieces, value, 1u + data[0] % 16));
		a = nx_pixel_scan_fragments(whole, &n);
		b = nx_pixel_scan_fragments(pieces, &m);
		FUZZ_CHECK(n == m);
		for (size_t i = 0; i + 1 < n; i++) /* the last one may be cut off */
			FUZZ_CHECK(a[i].offset == b[i].offset && a[i].length == b[i].length &&
				memcmp(a[i].head, b[i].head, sizeof(a[i].head)) == 0 &&
				memcmp(a[i].tail, b[i].tail, sizeof(a[i].tail)) == 0);
		index_check(whole, nx_slice(data + 3, extended), data[1] % FRAMES_MAX + 1u);
	}
	(void)nx_pixel_scan_free(whole);
	(void)nx_pixel_scan_free(pieces);
	return 0;
}

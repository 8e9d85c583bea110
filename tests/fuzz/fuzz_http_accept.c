/* The first byte chooses what the rest is: Accept, Range, a query, or a request path. */
#include "fuzz.h"

#include <string.h>

#include "base/arena.h"
#include "http/http_priv.h"

static void accept_one(const char *text)
{
	static const char *const offers[] = {"application/dicom+json",
		"multipart/related; type=\"application/dicom\"; transfer-syntax=1.2", "image/jpeg"};
	int i = nx_http_accept(text, offers, NX_ARRAY_LEN(offers));

	FUZZ_CHECK(i >= -1 && i < (int)NX_ARRAY_LEN(offers));
	(void)nx_coding_choose(text);
}

static void range_one(const char *text)
{
	uint64_t off, len;

	for (uint64_t size = 0; size < 3000; size = size * 3 + 1)
		if (nx_http_range_parse(text, size, &off, &len, NULL) == NX_OK)
			FUZZ_CHECK(len > 0 && off < size && len <= size - off);
}

static void query_one(struct nx_arena *arena, const char *text)
{
	struct nx_http_pair *pairs;
	size_t n, total = 0;

	if (nx_http_query_parse(arena, text, &pairs, &n, NULL))
		return;
	for (size_t i = 0; i < n; i++)
		total += strlen(pairs[i].key) + strlen(pairs[i].value);
	FUZZ_CHECK(total <= strlen(text));
}

static void path_one(struct nx_arena *arena, const char *text)
{
	static const struct nx_route routes[] = {
		{"GET", "/a/{b}/c", 1, 1, NULL, ""}, {"GET", "/{rest...}", 1, 1, NULL, ""}, {0}};
	static const struct nx_route_table table = {"", routes, NULL};
	struct nx_route_match m;
	const char *path;

	if (nx_http_path_parse(arena, text, strlen(text), &path, NULL))
		return;
	FUZZ_CHECK(path[0] == '/' && !strstr(path, "/../"));
	if (nx_route_find(&table, 1, "GET", path, &m, NULL) == NX_OK)
		for (size_t i = 0; i < m.n_params; i++)
			FUZZ_CHECK(m.params[i].value.n > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(1 << 24, 0);
	NX_AUTO_MEM char *text = NULL;

	if (size == 0 || !arena)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	if (!text)
		return 0;
	switch (data[0] % 4) {
	case 0:
		accept_one(text);
		break;
	case 1:
		range_one(text);
		break;
	case 2:
		query_one(arena, text);
		break;
	default:
		path_one(arena, text);
		break;
	}
	return 0;
}

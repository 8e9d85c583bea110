/* A manifest from anywhere: what parses is sorted, and as many as it says. */
#include "fuzz.h"

#include "base/arena.h"
#include "dataset/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char key[] =
		"example.org/test+00000000+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
	NX_AUTO(nx_arena) *arena = nx_arena_new(64u << 20, 0);
	struct nx_manifest m;

	if (!arena)
		return 0;
	(void)!nx_manifest_parse(nx_slice(data, size), key, arena, &m, NULL);
	if (nx_manifest_parse(nx_slice(data, size), NULL, arena, &m, NULL))
		return 0;
	for (size_t i = 1; i < m.n_entries; i++)
		FUZZ_CHECK(nx_manifest_compare(&m.entries[i - 1], &m.entries[i]) < 0);
	return 0;
}

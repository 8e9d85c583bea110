/* The answer to a lease read: parts stay inside their blobs, and sum up to the sample. */
#include "fuzz.h"

#include "base/arena.h"
#include "loader/loader_priv.h"

static void sample_check(const struct grant_sample *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->n_parts; i++) {
		const struct grant_part *p = &s->parts[i];

		sum += p->len;
		if (!p->is_literal)
			FUZZ_CHECK(
				p->blob < s->n_blobs && p->off + p->len <= s->blobs[p->blob].len);
	}
	FUZZ_CHECK(s->erased || sum == s->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(64u << 20, NX_ARENA_WIPE);
	struct grant g;

	if (!arena || grant_parse(nx_slice(data, size), arena, &g, NULL))
		return 0;
	for (size_t i = 0; i < g.n_samples; i++)
		sample_check(&g.samples[i]);
	return 0;
}

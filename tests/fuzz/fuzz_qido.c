/* A query string becomes keys, at every level: names and values as a client may send them. */
#include <string.h>

#include "base/arena.h"
#include "dicomweb/dicomweb_priv.h"
#include "fuzz.h"

static void pairs_take(struct dw_query *query, struct nx_arena *arena, char *text)
{
	char *name, *value;

	while ((name = strsep(&text, "&"))) {
		value = name;
		(void)strsep(&value, "=");
		if (dw_query_param(query, name, value ? value : "", arena, NULL))
			return;
	}
}

static void names_check(struct dw_query *query)
{
	const char *s;

	for (size_t i = 0; i < query->n_keys; i++)
		FUZZ_CHECK(query->keys[i].value &&
			nx_retrieve_find_knows(query->level, query->keys[i].tag));
	FUZZ_CHECK(nx_buf_check(&query->ignored, NULL) == NX_OK);
	for (s = nx_buf_cstr(&query->ignored); s && *s; s++)
		FUZZ_CHECK((unsigned char)*s >= ' ' && *s != '"' && (unsigned char)*s < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(1 << 24, NX_ARENA_WIPE);

	for (unsigned level = NX_LEVEL_STUDY; arena && level <= NX_LEVEL_INSTANCE; level++) {
		char *text = nx_arena_str(arena, (const char *)data, size);
		struct dw_query query;

		if (!text)
			return 0;
		dw_query_init(&query, level);
		pairs_take(&query, arena, text);
		names_check(&query);
		dw_query_done(&query);
	}
	return 0;
}

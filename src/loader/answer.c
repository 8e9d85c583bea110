/* The answer to a lease read (docs/formats/LEASE.md), from JSON. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "loader/loader_priv.h"

static bool uint_take(const json_t *value, uint64_t *ret)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(value);
	return true;
}

static bool base64_take(const json_t *value, uint8_t *ret, size_t n)
{
	const char *text = json_string_value(value);
	size_t got = 0;

	return text && nx_base64_parse(text, strlen(text), ret, n, &got) && got == n;
}

static bool extent_take(const json_t *list, struct nx_extent *e)
{
	uint64_t len, data_off;

	if (!uint_take(json_array_get(list, 0), &e->pack) ||
		!uint_take(json_array_get(list, 1), &e->off) ||
		!uint_take(json_array_get(list, 2), &len) ||
		!uint_take(json_array_get(list, 3), &data_off))
		return false;
	if (!len || len > NX_EXTENT_MAX ||
		(data_off != NX_EXTENT_HEADER_LEN && data_off != NX_PACK_ALIGN))
		return false;
	e->len = (uint32_t)len;
	e->data_off = (uint16_t)data_off;
	return true;
}

static bool blob_take(const json_t *json, struct grant_blob *b, struct nx_arena *arena)
{
	const json_t *extents = json_object_get(json, "extents");
	const char *root = json_string_value(json_object_get(json, "root"));
	uint64_t codec, sum = 0;

	if (!base64_take(json_object_get(json, "key"), b->key.b, NX_KEY_LEN) || !root ||
		!nx_hex_parse(root, b->root, sizeof(b->root)) ||
		!uint_take(json_object_get(json, "codec"), &codec) || codec > 1 ||
		!uint_take(json_object_get(json, "len"), &b->len) ||
		!uint_take(json_object_get(json, "stored"), &b->stored))
		return false;
	b->codec = (uint8_t)codec;
	b->n_extents = json_array_size(extents);
	b->extents = nx_arena_alloc_array(arena, b->n_extents, sizeof(*b->extents));
	for (size_t i = 0; b->extents && i < b->n_extents; i++) {
		if (!extent_take(json_array_get(extents, i), &b->extents[i]))
			return false;
		sum += b->extents[i].len;
	}
	return b->extents && sum == b->stored && (b->codec || b->stored == b->len);
}

static bool literal_take(const json_t *json, struct grant_part *p, struct nx_arena *arena)
{
	const char *text = json_string_value(json);
	size_t cap = strlen(text) / 4 * 3, n = 0;
	uint8_t *bytes = nx_arena_alloc(arena, cap);

	if (!bytes || !nx_base64_parse(text, strlen(text), bytes, cap, &n))
		return false;
	p->is_literal = true;
	p->literal = nx_slice(bytes, n);
	p->len = n;
	return true;
}

static bool part_take(const json_t *json, const struct grant_sample *s, struct grant_part *p,
	struct nx_arena *arena)
{
	uint64_t blob, end;

	if (json_is_string(json))
		return literal_take(json, p, arena);
	if (!uint_take(json_array_get(json, 0), &blob) || blob >= s->n_blobs ||
		!uint_take(json_array_get(json, 1), &p->off) ||
		!uint_take(json_array_get(json, 2), &p->len))
		return false;
	p->blob = (uint32_t)blob;
	return !__builtin_add_overflow(p->off, p->len, &end) && end <= s->blobs[blob].len;
}

static bool sample_take(const json_t *json, struct grant_sample *s, struct nx_arena *arena)
{
	const json_t *parts = json_object_get(json, "parts");
	const json_t *blobs = json_object_get(json, "blobs");
	uint64_t sum = 0;

	if (!uint_take(json_object_get(json, "position"), &s->position))
		return false;
	s->erased = json_is_true(json_object_get(json, "erased"));
	if (s->erased)
		return true;
	s->n_blobs = json_array_size(blobs);
	s->n_parts = json_array_size(parts);
	s->blobs = nx_arena_alloc_array(arena, s->n_blobs, sizeof(*s->blobs));
	s->parts = nx_arena_alloc_array(arena, s->n_parts, sizeof(*s->parts));
	if (!s->blobs || !s->parts || !uint_take(json_object_get(json, "size"), &s->size))
		return false;
	for (size_t i = 0; i < s->n_blobs; i++)
		if (!blob_take(json_array_get(blobs, i), &s->blobs[i], arena))
			return false;
	for (size_t i = 0; i < s->n_parts; i++)
		if (!part_take(json_array_get(parts, i), s, &s->parts[i], arena) ||
			__builtin_add_overflow(sum, s->parts[i].len, &sum))
			return false;
	return sum == s->size;
}

static bool packs_take(json_t *json, struct grant *g, struct nx_arena *arena)
{
	const char *key;
	json_t *value;

	g->packs = nx_arena_alloc_array(arena, json_object_size(json), sizeof(*g->packs));
	if (!g->packs)
		return false;
	json_object_foreach(json, key, value)
	{
		const char *path = json_string_value(value);
		char *end;

		if (!path || !*key)
			return false;
		g->packs[g->n_packs].id = strtoull(key, &end, 10);
		g->packs[g->n_packs].path = nx_arena_str(arena, path, strlen(path));
		if (*end || !g->packs[g->n_packs].path)
			return false;
		g->n_packs++;
	}
	return true;
}

static bool grant_take(json_t *json, struct grant *g, struct nx_arena *arena)
{
	const json_t *samples = json_object_get(json, "samples");

	if (!uint_take(json_object_get(json, "first"), &g->first) ||
		!uint_take(json_object_get(json, "next"), &g->next) ||
		!packs_take(json_object_get(json, "packs"), g, arena))
		return false;
	g->n_samples = json_array_size(samples);
	g->samples = nx_arena_alloc_array(arena, g->n_samples, sizeof(*g->samples));
	if (!g->samples || !g->n_samples || g->next != g->first + g->n_samples)
		return false;
	for (size_t i = 0; i < g->n_samples; i++)
		if (!sample_take(json_array_get(samples, i), &g->samples[i], arena) ||
			g->samples[i].position != g->first + i)
			return false;
	return true;
}

nx_rc grant_parse(
	struct nx_slice json, struct nx_arena *arena, struct grant *ret, struct nx_err *err)
{
	json_t *tree = json_loadb((const char *)json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
	struct grant g = {.first = 0};
	bool ok = tree && grant_take(tree, &g, arena);

	json_decref(tree);
	if (!ok)
		return nx_err_set(err, NX_E_MALFORMED, "the site's answer to a read");
	*ret = g;
	return NX_OK;
}

#include "archive/archive_priv.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"

enum {
	GROUP_ARENA_MAX = 256 * 1024 * 1024,
	CACHE_MAX = 4096
};

struct group *group_new(struct nx_archive *a)
{
	struct group *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->seq = a->durable_seq + 1;
	g->now_us = nx_now_us();
	g->defer = true;
	nx_buf_init(&g->entries, NX_LIMIT_GROUP_RECORD, 0);
	g->arena = nx_arena_new(GROUP_ARENA_MAX, NX_ARENA_WIPE);
	g->names = nx_map_new();
	return g->arena && g->names ? g : group_free(g);
}

void group_shrink(struct group *g)
{
	while (g->units) {
		struct group_unit *next = g->units->next;

		nx_buf_done(&g->units->extents);
		free(g->units);
		g->units = next;
	}
	nx_buf_done(&g->entries);
	g->names = nx_map_free(g->names);
}

struct group *group_free(struct group *g)
{
	if (!g)
		return NULL;
	group_shrink(g);
	nx_arena_free(g->arena);
	free(g);
	return NULL;
}

nx_rc group_range(struct group *g, const struct blob_range *range, struct nx_err *err)
{
	if (g->n_ranges == g->cap_ranges) {
		size_t cap = g->cap_ranges ? g->cap_ranges * 2 : 64;
		struct blob_range *ranges = nx_arena_alloc_array(g->arena, cap, sizeof(*ranges));

		if (!ranges)
			return nx_err_set(err, NX_E_NOMEM, "no memory for %zu ranges", cap);
		if (g->n_ranges)
			memcpy(ranges, g->ranges, g->n_ranges * sizeof(*ranges));
		g->ranges = ranges;
		g->cap_ranges = cap;
	}
	g->ranges[g->n_ranges++] = *range;
	return NX_OK;
}

nx_rc group_unit(struct nx_archive *a, struct group *g, uint32_t domain, struct group_unit **ret,
	struct nx_err *err)
{
	struct group_unit **at = &g->units;
	struct group_unit *unit;
	nx_rc rc;

	for (; *at; at = &(*at)->next) {
		if ((*at)->domain == domain) {
			*ret = *at;
			return NX_OK;
		}
	}
	unit = calloc(1, sizeof(*unit));
	if (!unit)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a unit");
	/* The length is not known yet; only the committer appends to small packs, so the rest can
	 * be given back. */
	rc = space_alloc(a, domain, PACK_SMALL, UNIT_RESERVE, &unit->pack, &unit->off, err);
	if (rc) {
		free(unit);
		return rc;
	}
	unit->domain = domain;
	nx_buf_init(&unit->extents, NX_PACK_MAX, 0);
	*at = unit;
	*ret = unit;
	return NX_OK;
}

static void unit_drop(struct nx_archive *a, struct group_unit *unit)
{
	space_trim(a, unit->pack, unit->off, UNIT_RESERVE, 0);
	nx_buf_done(&unit->extents);
	free(unit);
}

void group_units_cut(struct nx_archive *a, struct group *g)
{
	struct group_unit **at = &g->units;

	while (*at && (*at)->kept) {
		(*at)->extents.len = (*at)->kept_len;
		(*at)->extents.failed = NX_OK;
		at = &(*at)->next;
	}
	while (*at) {
		struct group_unit *unit = *at;

		*at = unit->next;
		unit_drop(a, unit);
	}
}

void cache_init(struct lookup_cache *cache)
{
	cache->subjects = nx_map_new();
	cache->studies = nx_map_new();
	cache->series = nx_map_new();
}

bool cache_ready(const struct lookup_cache *cache)
{
	return cache->subjects && cache->studies && cache->series;
}

static void value_free(struct nx_slice key, void *value, void *payload)
{
	(void)key;
	(void)payload;
	free(value);
}

static struct nx_map *map_drop(struct nx_map *map)
{
	if (map)
		nx_map_each(map, value_free, NULL);
	return nx_map_free(map);
}

void cache_clear(struct lookup_cache *cache)
{
	cache->subjects = map_drop(cache->subjects);
	cache->studies = map_drop(cache->studies);
	cache->series = map_drop(cache->series);
}

void cache_trim(struct lookup_cache *cache, bool now)
{
	if (!now && cache_ready(cache) && nx_map_len(cache->subjects) <= CACHE_MAX &&
		nx_map_len(cache->studies) <= CACHE_MAX && nx_map_len(cache->series) <= CACHE_MAX)
		return;
	cache_clear(cache);
	cache_init(cache);
}

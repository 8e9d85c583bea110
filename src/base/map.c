#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

/* Chained buckets, doubled when there are more entries than buckets. */

enum {
	MAP_FIRST = 16
};

struct entry {
	struct entry *next;
	uint64_t hash;
	void *value;
	size_t n;
	uint8_t key[];
};

struct nx_map {
	struct entry **buckets;
	size_t mask;
	size_t len;
	uint64_t seed;
};

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	return h ^ h >> 32;
}

static uint64_t hash_of(const struct nx_map *map, struct nx_slice key)
{
	uint64_t h = map->seed ^ key.n;
	size_t i = 0;
	uint64_t v;

	for (; i + 8 <= key.n; i += 8) {
		memcpy(&v, key.p + i, 8);
		h = mix(h ^ v) + map->seed;
	}
	v = 0;
	if (i < key.n)
		memcpy(&v, key.p + i, key.n - i);
	return mix(h ^ v);
}

struct nx_map *nx_map_new(void)
{
	struct nx_map *map = calloc(1, sizeof(*map));

	if (!map)
		return NULL;
	map->buckets = calloc(MAP_FIRST, sizeof(*map->buckets));
	if (!map->buckets) {
		free(map);
		return NULL;
	}
	map->mask = MAP_FIRST - 1;
	nx_random(&map->seed, sizeof(map->seed));
	return map;
}

struct nx_map *nx_map_free(struct nx_map *map)
{
	if (!map)
		return NULL;
	for (size_t i = 0; i <= map->mask; i++) {
		while (map->buckets[i]) {
			struct entry *next = map->buckets[i]->next;

			free(map->buckets[i]);
			map->buckets[i] = next;
		}
	}
	free(map->buckets);
	free(map);
	return NULL;
}

static struct entry **find(const struct nx_map *map, struct nx_slice key, uint64_t hash)
{
	struct entry **at = &map->buckets[hash & map->mask];

	while (*at && ((*at)->hash != hash || !nx_slice_eq(nx_slice((*at)->key, (*at)->n), key)))
		at = &(*at)->next;
	return at;
}

void *nx_map_get(const struct nx_map *map, struct nx_slice key)
{
	struct entry *entry = *find(map, key, hash_of(map, key));

	return entry ? entry->value : NULL;
}

/* Failing to grow only makes the chains longer. */
static void grow(struct nx_map *map)
{
	size_t n = (map->mask + 1) * 2;
	struct entry **buckets = calloc(n, sizeof(*buckets));

	if (!buckets)
		return;
	for (size_t i = 0; i <= map->mask; i++) {
		while (map->buckets[i]) {
			struct entry *entry = map->buckets[i];

			map->buckets[i] = entry->next;
			entry->next = buckets[entry->hash & (n - 1)];
			buckets[entry->hash & (n - 1)] = entry;
		}
	}
	free(map->buckets);
	map->buckets = buckets;
	map->mask = n - 1;
}

bool nx_map_put(struct nx_map *map, struct nx_slice key, void *value, void **ret_old)
{
	uint64_t hash = hash_of(map, key);
	struct entry **at = find(map, key, hash);
	struct entry *entry;

	if (*at) {
		if (ret_old)
			*ret_old = (*at)->value;
		(*at)->value = value;
		return true;
	}
	entry = malloc(sizeof(*entry) + key.n);
	if (!entry)
		return false;
	*entry = (struct entry){.hash = hash, .value = value, .n = key.n};
	if (key.n)
		memcpy(entry->key, key.p, key.n);
	*at = entry;
	if (ret_old)
		*ret_old = NULL;
	if (++map->len > map->mask)
		grow(map);
	return true;
}

void *nx_map_del(struct nx_map *map, struct nx_slice key)
{
	struct entry **at = find(map, key, hash_of(map, key));
	struct entry *entry = *at;
	void *value;

	if (!entry)
		return NULL;
	value = entry->value;
	*at = entry->next;
	free(entry);
	map->len--;
	return value;
}

size_t nx_map_len(const struct nx_map *map)
{
	return map->len;
}

void nx_map_each(const struct nx_map *map,
	void (*fn)(struct nx_slice key, void *value, void *payload), void *payload)
{
	for (size_t i = 0; i <= map->mask; i++)
		for (struct entry *entry = map->buckets[i]; entry; entry = entry->next)
			fn(nx_slice(entry->key, entry->n), entry->value, payload);
}

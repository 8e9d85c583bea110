/*
 * map.h - hash map from short byte strings to pointers, seeded at random.
 *
 * Layer:   0 (base).
 * Threads: one thread at a time, or under the caller's lock.
 */
#ifndef NX_BASE_MAP_H
#define NX_BASE_MAP_H

#include <stdbool.h>

#include "base/auto.h"
#include "base/slice.h"

struct nx_map;

/* Keys are copied; values are the caller's. */
struct nx_map *nx_map_new(void);
struct nx_map *nx_map_free(struct nx_map *map);
NX_DEFINE_AUTO(nx_map);

/* NULL where it is not there. */
void *nx_map_get(const struct nx_map *map, struct nx_slice key);
/* False without memory.  Replaces; *ret_old (may be NULL) gets what was there before. */
NX_NODISCARD bool nx_map_put(struct nx_map *map, struct nx_slice key, void *value, void **ret_old);
void *nx_map_del(struct nx_map *map, struct nx_slice key); /* the value that was there, or NULL */
size_t nx_map_len(const struct nx_map *map);
/* Call `fn` for every entry; it must not change the map. */
void nx_map_each(const struct nx_map *map,
	void (*fn)(struct nx_slice key, void *value, void *payload), void *payload);

#endif

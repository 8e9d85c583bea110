/* One level of a tree of data sets while it is built. */
#include "dicom/dicom_priv.h"

#include <stdlib.h>

#include "base/arena.h"

/* Room for one more in *p. */
static bool grow(void *p, size_t n, size_t *cap, size_t size)
{
	void **vec = p;
	size_t want = *cap ? *cap * 2 : 64;
	void *more;

	if (n < *cap)
		return true;
	more = reallocarray(*vec, want, size);
	if (!more)
		return false;
	*vec = more;
	*cap = want;
	return true;
}

struct nx_elem *nx_level_elem(struct nx_level *level)
{
	if (!grow(&level->elems, level->n_elems, &level->cap_elems, sizeof(*level->elems)))
		return NULL;
	return &level->elems[level->n_elems++];
}

static int elem_order(const void *a, const void *b)
{
	const struct nx_elem *x = a, *y = b;

	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	return x->bulk_offset < y->bulk_offset ? -1 : x->bulk_offset > y->bulk_offset;
}

/* Ascending tags, as they should have been; of equal ones the last. */
static void elems_order(struct nx_level *level)
{
	size_t n = 0;
	bool sorted = true;

	for (size_t i = 1; i < level->n_elems && sorted; i++)
		sorted = level->elems[i - 1].tag < level->elems[i].tag;
	if (sorted)
		return;
	qsort(level->elems, level->n_elems, sizeof(*level->elems), elem_order);
	for (size_t i = 0; i < level->n_elems; i++) {
		if (n && level->elems[n - 1].tag == level->elems[i].tag)
			n--;
		level->elems[n++] = level->elems[i];
	}
	level->n_elems = n;
}

struct nx_dataset *nx_level_close(struct nx_level *level, struct nx_arena *arena)
{
	struct nx_dataset *ds = nx_arena_alloc(arena, sizeof(*ds));

	if (!ds)
		return NULL;
	elems_order(level);
	ds->n = level->n_elems;
	ds->charset = level->charset;
	if (ds->n == 0)
		return ds;
	ds->elems = nx_arena_copy(arena, level->elems, ds->n * sizeof(*ds->elems));
	return ds->elems ? ds : NULL;
}

bool nx_level_item(struct nx_level *level, struct nx_arena *arena)
{
	struct nx_dataset *ds = nx_level_close(level, arena);

	if (!ds || !grow(&level->items, level->n_items, &level->cap_items, sizeof(*level->items)))
		return false;
	level->items[level->n_items++] = ds;
	return true;
}

bool nx_level_items(const struct nx_level *level, struct nx_arena *arena, struct nx_elem *ret)
{
	if (level->n_items == 0)
		return true;
	ret->items = nx_arena_copy(arena, level->items, level->n_items * sizeof(*ret->items));
	ret->n_items = level->n_items;
	return ret->items;
}

void nx_level_done(struct nx_level *level)
{
	free(level->elems);
	free(level->items);
}

/*
 * A change that cannot be prepared leaves nothing in its group: what came before it stays, what
 * comes after it does not notice.  Rows, ranges, extents and ledger entries are cut off where they
 * stood; the look-up caches, which outlive the group, are taken back step by step.
 */
#include "archive/archive_priv.h"

#include <stdlib.h>

#include "base/map.h"

struct undo {
	struct undo *next;
	struct nx_map *map; /* its `key` was added; NULL: `n` bytes at `at` were `before` */
	struct nx_slice key;
	void *at;
	void *before;
	size_t n;
};

void group_mark(struct nx_archive *a, struct group *g)
{
	g->undo = NULL;
	g->mark = (struct group_mark){
		.arena = nx_arena_mark(g->arena),
		.ops = g->ops,
		.n_ops = g->n_ops,
		.cap_ops = g->cap_ops,
		.ranges = g->ranges,
		.n_ranges = g->n_ranges,
		.cap_ranges = g->cap_ranges,
		.entries_len = g->entries.len,
		.n_entries = g->n_entries,
		.ledger = nx_ledger_mark(a->ledger),
		.dirty_studies = g->dirty_studies,
		.dirty_series = g->dirty_series,
		.feed = g->feed,
	};
	for (struct group_unit *u = g->units; u; u = u->next) {
		u->kept = true;
		u->kept_len = u->extents.len;
	}
}

static struct undo *undo_new(struct group *g, struct nx_err *err)
{
	struct undo *undo = nx_arena_alloc(g->arena, sizeof(*undo));

	if (!undo)
		(void)nx_err_set(err, NX_E_NOMEM, "no memory to take a change back");
	return undo;
}

nx_rc undo_added(struct group *g, struct nx_map *map, struct nx_slice key, struct nx_err *err)
{
	struct undo *undo = undo_new(g, err);

	if (!undo)
		return NX_E_NOMEM;
	undo->map = map;
	undo->key = nx_slice(nx_arena_copy(g->arena, key.p, key.n), key.n);
	if (!undo->key.p)
		return nx_err_set(err, NX_E_NOMEM, "no memory to take a change back");
	undo->next = g->undo;
	g->undo = undo;
	return NX_OK;
}

nx_rc undo_changed(struct group *g, void *at, size_t n, struct nx_err *err)
{
	struct undo *undo = undo_new(g, err);

	if (!undo)
		return NX_E_NOMEM;
	undo->at = at;
	undo->n = n;
	undo->before = nx_arena_copy(g->arena, at, n);
	if (!undo->before)
		return nx_err_set(err, NX_E_NOMEM, "no memory to take a change back");
	undo->next = g->undo;
	g->undo = undo;
	return NX_OK;
}

void group_rewind(struct nx_archive *a, struct group *g)
{
	const struct group_mark *m = &g->mark;

	for (const struct undo *u = g->undo; u; u = u->next) {
		if (u->map)
			free(nx_map_del(u->map, u->key));
		else
			memcpy(u->at, u->before, u->n);
	}
	g->undo = NULL;
	group_units_cut(a, g);
	nx_ledger_unstage(a->ledger, m->ledger);
	g->ops = m->ops;
	g->n_ops = m->n_ops;
	g->cap_ops = m->cap_ops;
	g->ranges = m->ranges;
	g->n_ranges = m->n_ranges;
	g->cap_ranges = m->cap_ranges;
	g->entries.len = m->entries_len;
	g->entries.failed = NX_OK;
	g->n_entries = m->n_entries;
	g->dirty_studies = m->dirty_studies;
	g->dirty_series = m->dirty_series;
	g->feed = m->feed;
	nx_arena_rewind(g->arena, m->arena);
}

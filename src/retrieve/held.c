/*
 * Storage commitment: what is durable here, by class and instance.  References mostly come series
 * by series, where a look-up is quick; those that are not in the series of the one before are
 * looked for together, since looking anywhere is a walk through every series.
 */
#include <stdlib.h>

#include "base/map.h"
#include "retrieve/retrieve_priv.h"

enum {
	HELD_ARENA_MAX = 64 * 1024 * 1024,
	BATCH_MAX = 1000,
	REASON_NO_INSTANCE = 0x0112,
	REASON_CLASS_CONFLICT = 0x0119
};

struct search {
	struct nx_cat *cat;
	struct nx_arena *arena;
	int64_t collection;
	int64_t series;       /* of the last one found; 0: none */
	struct nx_map *batch; /* UIDs that are looked for anywhere -> the first struct wanted */
	struct nx_buf uids;   /* of these, with backslashes between */
	struct wanted *pool;
	size_t n;
};

struct wanted {
	struct wanted *same; /* the same UID again */
	struct nx_held *ref;
};

static void found(struct nx_held *ref, const struct nx_item *item)
{
	ref->reason = strcmp(item->type, ref->sop_class) ? REASON_CLASS_CONFLICT : 0;
	ref->item = item->id;
	ref->series = item->series;
}

static nx_rc match_take(void *payload, const struct nx_match *m, struct nx_err *err)
{
	struct search *s = payload;

	(void)err;
	s->series = m->series->id;
	for (struct wanted *w = nx_map_get(s->batch, nx_slice_str(m->item->name)); w; w = w->same)
		found(w->ref, m->item);
	return NX_OK;
}

static nx_rc batch_find(struct search *s, struct nx_err *err)
{
	struct nx_query_key key = {0x00080018, nx_buf_cstr(&s->uids)};
	const struct nx_query query = {.level = NX_LEVEL_INSTANCE,
		.collections = &s->collection,
		.n_collections = 1,
		.keys = &key,
		.n_keys = 1};
	bool more;
	nx_rc rc;

	if (!s->n)
		return NX_OK;
	rc = key.value ? nx_cat_query(s->cat, &query, match_take, s, &more, err)
		       : nx_buf_check(&s->uids, err);
	nx_buf_clear(&s->uids);
	nx_map_free(s->batch);
	s->batch = nx_map_new();
	s->n = 0;
	return rc || s->batch ? rc : nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
}

static nx_rc batch_add(struct search *s, struct nx_held *ref, struct nx_err *err)
{
	struct nx_slice uid = nx_slice_str(ref->sop_instance);
	struct wanted *w = &s->pool[s->n++];

	ref->reason = REASON_NO_INSTANCE;
	*w = (struct wanted){nx_map_get(s->batch, uid), ref};
	if (!w->same)
		nx_buf_printf(&s->uids, "%s%s", s->uids.len ? "\\" : "", ref->sop_instance);
	if (!nx_map_put(s->batch, uid, w, NULL))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	return s->n == BATCH_MAX ? batch_find(s, err) : NX_OK;
}

static nx_rc one(struct search *s, struct nx_held *ref, struct nx_err *err)
{
	struct nx_item item;
	nx_rc rc = NX_E_NOENT;

	nx_arena_reset(s->arena);
	ref->item = 0;
	ref->series = 0;
	if (s->series)
		rc = nx_cat_item_in_series(
			s->cat, s->series, ref->sop_instance, s->arena, &item, err);
	if (!rc)
		found(ref, &item);
	return rc == NX_E_NOENT ? batch_add(s, ref, err) : rc;
}

static nx_rc search_all(struct search *s, struct nx_held *refs, size_t n, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	nx_buf_init(&s->uids, (size_t)BATCH_MAX * (NX_LIMIT_UID + 2), NX_BUF_WIPE);
	s->batch = nx_map_new();
	s->pool = calloc(BATCH_MAX, sizeof(*s->pool));
	if (!s->batch || !s->pool)
		rc = nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	for (size_t i = 0; i < n && !rc; i++)
		rc = one(s, &refs[i], err);
	if (!rc)
		rc = batch_find(s, err);
	nx_map_free(s->batch);
	free(s->pool);
	nx_buf_done(&s->uids);
	return rc;
}

nx_rc nx_retrieve_held(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection, struct nx_held *refs, size_t n, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(HELD_ARENA_MAX, NX_ARENA_WIPE);
	const struct access_note asked = {.action = NX_ACTION_COMMITMENT, .collection = collection};
	struct search s = {.cat = nx_archive_cat(retrieve->archive), .arena = arena};
	struct nx_collection row;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	rc = guard(retrieve, who, NX_PERM_STORE, collection, &row, arena, err);
	if (!rc)
		rc = note(retrieve, who, &asked, false, err);
	if (rc)
		return rc;
	s.collection = row.id;
	rc = nx_archive_current(retrieve->archive, err);
	if (!rc)
		rc = search_all(&s, refs, n, err);
	return rc || !retrieve->on_committed ? rc : committed_tell(retrieve, refs, n, err);
}

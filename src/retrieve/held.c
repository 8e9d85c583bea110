/* Storage commitment: what is durable here, by class and instance. */
#include "retrieve/retrieve_priv.h"

enum {
	HELD_ARENA_MAX = 64 * 1024 * 1024,
	REASON_NO_INSTANCE = 0x0112,
	REASON_CLASS_CONFLICT = 0x0119
};

struct search {
	struct nx_cat *cat;
	struct nx_arena *arena;
	int64_t collection;
	int64_t series; /* of the one before: they mostly come series by series */
	char type[NX_LIMIT_UID + 1];
	bool found;
};

static void found_set(struct search *s, const char *type)
{
	(void)snprintf(s->type, sizeof(s->type), "%s", type);
	s->found = true;
}

static nx_rc match_take(void *payload, const struct nx_match *m, struct nx_err *err)
{
	struct search *s = payload;

	(void)err;
	s->series = m->series->id;
	found_set(s, m->item->type);
	return NX_OK;
}

static nx_rc anywhere(struct search *s, const char *uid, struct nx_err *err)
{
	const struct nx_query_key key = {0x00080018, uid};
	const struct nx_query query = {.level = NX_LEVEL_INSTANCE,
		.collections = &s->collection,
		.n_collections = 1,
		.keys = &key,
		.n_keys = 1,
		.limit = 1};
	bool more;

	return nx_cat_query(s->cat, &query, match_take, s, &more, err);
}

static nx_rc one(struct search *s, struct nx_held *ref, struct nx_err *err)
{
	struct nx_item item;
	nx_rc rc = NX_E_NOENT;

	nx_arena_reset(s->arena);
	s->found = false;
	if (s->series)
		rc = nx_cat_item_in_series(
			s->cat, s->series, ref->sop_instance, s->arena, &item, err);
	if (!rc)
		found_set(s, item.type);
	if (rc == NX_E_NOENT)
		rc = anywhere(s, ref->sop_instance, err);
	if (rc)
		return rc;
	ref->reason = !s->found                   ? REASON_NO_INSTANCE
		: strcmp(s->type, ref->sop_class) ? REASON_CLASS_CONFLICT
						  : 0;
	return NX_OK;
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
	nx_archive_barrier(retrieve->archive);
	for (size_t i = 0; i < n && !rc; i++)
		rc = one(&s, &refs[i], err);
	return rc;
}

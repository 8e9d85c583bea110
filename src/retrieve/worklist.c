/* The modality worklist (PS3.4 Annex K): what is scheduled. */
#include "retrieve/retrieve_priv.h"

enum {
	ARENA_MAX = 64 * 1024 * 1024,
	PAGE = 500
};

struct walk {
	struct nx_retrieve *r;
	struct nx_arena *arena; /* of one item */
	nx_rc (*fn)(void *payload, const char *name, struct nx_slice dataset, struct nx_err *err);
	void *payload;
	unsigned n;
	char last[NX_LIMIT_OBJECT_KEY + 1];
};

static nx_rc item_give(struct walk *w, const struct nx_item *item, struct nx_err *err)
{
	struct nx_slice bytes;
	nx_rc rc;

	if (item->size > (int64_t)NX_LIMIT_WORKLIST_ITEM)
		return NX_OK; /* some other object */
	nx_arena_reset(w->arena);
	rc = nx_archive_read_item(
		w->r->archive, item, NX_LIMIT_WORKLIST_ITEM, w->arena, &bytes, NULL, err);
	if (rc == NX_E_ERASED)
		return NX_OK;
	return rc ? rc : w->fn(w->payload, item->name + strlen(NX_WORKLIST_PREFIX), bytes, err);
}

static nx_rc row_take(void *payload, const void *row, struct nx_err *err)
{
	struct walk *w = payload;
	const struct nx_item *item = row;

	w->n++;
	(void)snprintf(w->last, sizeof(w->last), "%s", item->name);
	return item_give(w, item, err);
}

nx_rc nx_retrieve_worklist(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection,
	nx_rc (*fn)(void *payload, const char *name, struct nx_slice dataset, struct nx_err *err),
	void *payload, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	const struct access_note asked = {
		.action = NX_ACTION_QUERY, .collection = collection, .what = "worklist"};
	struct walk w = {.r = retrieve, .arena = arena, .fn = fn, .payload = payload};
	struct nx_collection row;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a worklist");
	rc = guard(retrieve, who, NX_PERM_WORKLIST, collection, &row, arena, err);
	if (!rc)
		rc = note(retrieve, who, &asked, true, err);
	if (!rc)
		rc = nx_archive_current(retrieve->archive, err);
	do {
		w.n = 0;
		if (!rc)
			rc = nx_cat_objects(nx_archive_cat(retrieve->archive),
				&(struct nx_objects_of){.collection = row.id,
					.prefix = NX_WORKLIST_PREFIX,
					.after = w.last,
					.limit = PAGE},
				row_take, &w, err);
	} while (!rc && w.n == PAGE);
	return rc;
}

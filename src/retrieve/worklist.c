/* The modality worklist (PS3.4 Annex K): what of what is scheduled a modality is told. */
#include "dicom/match.h"
#include "dicom/scheduled.h"
#include "retrieve/retrieve_priv.h"

enum {
	KEYS_ARENA_MAX = 4 * 1024 * 1024,
	ITEM_ARENA_MAX = 64 * 1024 * 1024
};

struct walk {
	struct nx_retrieve *r;
	const struct nx_worklist_find *find;
	struct nx_collection collection;
	struct nx_arena *arena; /* of one item */
};

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for a worklist");
}

void nx_retrieve_worklist_offer(struct nx_retrieve *retrieve, unsigned states)
{
	retrieve->worklist_offered = states;
}

/* ---- one item ---- */

nx_rc scheduled_rows_of(struct nx_retrieve *r, int64_t collection, const char *name,
	struct nx_arena *arena, struct nx_worklist_row **ret, size_t *ret_n, struct nx_err *err)
{
	const struct nx_val where[] = {nx_val_int(collection), nx_val_text(name)};
	struct nx_worklist_row *rows;
	struct nx_op *ops;
	size_t n = 0;
	nx_rc rc = nx_cat_rows(nx_archive_cat(r->archive),
		&(struct nx_rows_of){.table = NX_T_WORKLIST, .where = where, .n_where = 2}, arena,
		&ops, &n, err);

	if (rc)
		return rc;
	rows = nx_arena_alloc_array(arena, n + 1, sizeof(*rows));
	if (!rows)
		return no_memory(err);
	for (size_t i = 0; i < n && !rc; i++)
		rc = nx_op_row(&ops[i], arena, &rows[i], err);
	*ret = rows;
	*ret_n = n;
	return rc;
}

nx_rc scheduled_load(struct nx_retrieve *r, const struct nx_item *item, struct nx_arena *arena,
	struct nx_dataset **ret, struct nx_err *err)
{
	struct nx_slice bytes;
	nx_rc rc;

	*ret = NULL;
	if (item->size > (int64_t)NX_LIMIT_WORKLIST_ITEM)
		return NX_OK;
	rc = nx_archive_read_item(
		r->archive, item, NX_LIMIT_WORKLIST_ITEM, arena, &bytes, NULL, err);
	if (rc == NX_E_ERASED)
		return NX_OK;
	return rc ? rc
		  : nx_dataset_parse(bytes, NX_UID_EXPLICIT_VR_LITTLE_ENDIAN,
			    NX_LIMIT_WORKLIST_ITEM + 1, arena, ret, err);
}

nx_rc scheduled_op(struct nx_change *change, const struct nx_item *item, const struct nx_op *op,
	struct nx_err *err)
{
	struct nx_op full = *op;

	full.table = NX_T_WORKLIST;
	full.domain = (uint32_t)item->domain;
	full.subject = (uint64_t)item->subject;
	return nx_change_op(change, &full, err);
}

nx_rc scheduled_drop(struct nx_retrieve *r, const struct nx_item *item, struct nx_change *change,
	struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(KEYS_ARENA_MAX, NX_ARENA_WIPE);
	struct nx_worklist_row *rows = NULL;
	size_t n = 0;
	nx_rc rc = arena ? scheduled_rows_of(r, item->collection, item->name, arena, &rows, &n, err)
			 : no_memory(err);

	for (size_t i = 0; i < n && !rc; i++) {
		struct nx_val vals[] = {nx_val_int(rows[i].collection), nx_val_text(rows[i].name),
			nx_val_int(rows[i].number)};

		rc = scheduled_op(change, item,
			&(struct nx_op){.verb = NX_OP_DEL, .n = NX_ARRAY_LEN(vals), .vals = vals},
			err);
	}
	return rc;
}

/* ---- what of it is offered ---- */

/* Scheduled Procedure Step Status, where it is not for the item to say. */
static const char *const statuses[NX_WORKLIST_STATES_] = {
	[NX_WORKLIST_SCHEDULED] = "",
	[NX_WORKLIST_STARTED] = "STARTED",
	[NX_WORKLIST_COMPLETED] = "COMPLETED",
	[NX_WORKLIST_DISCONTINUED] = "",
};

static nx_rc words_make(const struct walk *w, const char *name, size_t n_steps, const char ***ret,
	struct nx_err *err)
{
	const char **words = nx_arena_alloc_array(w->arena, n_steps + 1, sizeof(*words));
	struct nx_worklist_row *rows = NULL;
	size_t n = 0;
	nx_rc rc = words ? scheduled_rows_of(w->r, w->collection.id, name, w->arena, &rows, &n, err)
			 : no_memory(err);

	if (rc)
		return rc;
	for (size_t i = 0; i < n_steps; i++)
		words[i] = NULL;
	for (size_t i = 0; i < n; i++) {
		const int64_t state = rows[i].state;

		if (rows[i].number < (int64_t)n_steps && state > 0 && state < NX_WORKLIST_STATES_ &&
			(w->r->worklist_offered & 1u << state))
			words[rows[i].number] = statuses[state];
	}
	*ret = words;
	return NX_OK;
}

static nx_rc item_look(struct walk *w, const struct nx_item *item, struct nx_err *err)
{
	const struct nx_worklist_find *find = w->find;
	const struct nx_elem *steps;
	struct nx_dataset *ds;
	const char **words;
	bool matches = false;
	nx_rc rc = scheduled_load(w->r, item, w->arena, &ds, err);

	if (rc || !ds)
		return rc;
	steps = nx_dataset_find(ds, NX_TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE);
	rc = words_make(w, item->name, steps ? steps->n_items : 0, &words, err);
	if (!rc)
		rc = nx_scheduled_offer(ds, words, w->arena, &ds, err);
	if (!rc && ds)
		rc = nx_match_dataset(find->keys, ds, w->arena, &matches, err);
	return rc || !matches ? rc : find->fn(find->payload, ds, err);
}

static nx_rc name_take(void *payload, const char *name, struct nx_err *err)
{
	struct walk *w = payload;
	struct nx_item item;
	nx_rc rc = w->find->go_on(w->find->payload, err);

	nx_arena_reset(w->arena);
	if (!rc)
		rc = nx_cat_object(nx_archive_cat(w->r->archive), w->collection.id, name, w->arena,
			&item, err);
	if (rc == NX_E_NOENT) /* it went since */
		return NX_OK;
	return rc ? rc : item_look(w, &item, err);
}

static nx_rc keys_add(const struct nx_dataset *from, bool of_step, struct nx_arena *arena,
	struct nx_query_key *keys, size_t *n, struct nx_err *err)
{
	for (size_t i = 0; i < from->n && *n < NX_LIMIT_QUERY_KEYS; i++) {
		const nx_tag tag = from->elems[i].tag;
		const char *text;

		if (!nx_cat_worklist_key(tag, of_step))
			continue;
		text = nx_dataset_text(from, tag, arena);
		if (!text)
			return no_memory(err);
		keys[(*n)++] = (struct nx_query_key){tag, text};
	}
	return NX_OK;
}

static nx_rc index_search(struct walk *w, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(KEYS_ARENA_MAX, NX_ARENA_WIPE);
	const struct nx_dataset *keys = w->find->keys;
	const struct nx_elem *steps =
		nx_dataset_find(keys, NX_TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE);
	struct nx_query_key narrow[NX_LIMIT_QUERY_KEYS];
	struct nx_worklist_query query = {
		.collection = w->collection.id, .states = w->r->worklist_offered, .keys = narrow};
	nx_rc rc =
		arena ? keys_add(keys, false, arena, narrow, &query.n_keys, err) : no_memory(err);

	if (!rc && steps && steps->n_items)
		rc = keys_add(steps->items[0], true, arena, narrow, &query.n_keys, err);
	return rc ? rc : nx_cat_worklist(nx_archive_cat(w->r->archive), &query, name_take, w, err);
}

nx_rc nx_retrieve_worklist_find(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_worklist_find *find, struct nx_err *err)
{
	NX_AUTO(nx_arena) *names = nx_arena_new(KEYS_ARENA_MAX, NX_ARENA_WIPE);
	NX_AUTO(nx_arena) *arena = nx_arena_new(ITEM_ARENA_MAX, NX_ARENA_WIPE);
	const struct access_note asked = {
		.action = NX_ACTION_QUERY, .collection = find->collection, .what = "worklist"};
	struct walk w = {.r = retrieve, .find = find, .arena = arena};
	nx_rc rc;

	if (!arena || !names)
		return no_memory(err);
	rc = guard(retrieve, who, NX_PERM_WORKLIST, find->collection, &w.collection, names, err);
	if (!rc)
		rc = note(retrieve, who, &asked, true, err);
	if (!rc)
		rc = nx_archive_current(retrieve->archive, err);
	return rc ? rc : index_search(&w, err);
}

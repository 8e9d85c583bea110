/* The modality worklist as those see it who fill it: all states, and setting one by hand. */
#include "base/clock.h"
#include "base/json.h"
#include "dicom/dicom.h"
#include "ledger/detail.h"
#include "retrieve/retrieve_priv.h"

enum {
	LIST_MAX = 1000,
	LIST_ARENA_MAX = 64 * 1024 * 1024
};

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for a worklist");
}

static nx_rc name_make(const char *item, char ret[NX_LIMIT_OBJECT_KEY + 1], struct nx_err *err)
{
	int n = snprintf(ret, NX_LIMIT_OBJECT_KEY + 1, "%s%s", NX_WORKLIST_PREFIX, item);

	return n <= (int)NX_LIMIT_OBJECT_KEY ? NX_OK
					     : nx_err_set(err, NX_E_INVAL, "name of %d bytes", n);
}

/* ---- the list ---- */

struct listing {
	struct nx_retrieve *r;
	struct nx_arena *arena; /* of one item */
	int64_t state;          /* 0: any */
	struct nx_json json;
	unsigned limit;
	unsigned n;    /* listed */
	unsigned seen; /* of a page */
	char last[NX_LIMIT_OBJECT_KEY + 1];
};

/* How far a step is from being done with: the item is in the state of the one that is farthest. */
static const uint8_t ranks[NX_WORKLIST_STATES_] = {
	[NX_WORKLIST_STARTED] = 5,
	[NX_WORKLIST_SCHEDULED] = 4,
	[NX_WORKLIST_DISCONTINUED] = 3,
	[NX_WORKLIST_EXPIRED] = 2,
	[NX_WORKLIST_COMPLETED] = 1,
};

static int64_t state_of(const struct nx_worklist_row *rows, size_t n)
{
	int64_t state = n ? rows[0].state : NX_WORKLIST_SCHEDULED;

	for (size_t i = 1; i < n; i++)
		if (ranks[rows[i].state] > ranks[state])
			state = rows[i].state;
	return state;
}

static void steps_json(struct nx_json *json, const struct nx_worklist_row *rows, size_t n)
{
	nx_json_key(json, "steps");
	nx_json_array_begin(json);
	for (size_t i = 0; i < n; i++) {
		const char *performed = strchr(rows[i].performed, '/');
		char changed[NX_TIME_TEXT];

		nx_time_format(rows[i].changed_us, changed);
		nx_json_object_begin(json);
		nx_json_kv_str(json, "id", rows[i].step_id);
		nx_json_kv_str(json, "state", nx_worklist_word(rows[i].state));
		nx_json_kv_str(json, "performed", performed ? performed + 1 : NULL);
		nx_json_kv_str(json, "changed", changed);
		nx_json_object_end(json);
	}
	nx_json_array_end(json);
}

static nx_rc list_row(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_item *item = row;
	struct listing *l = payload;
	struct nx_worklist_row *rows = NULL;
	struct nx_dataset *ds = NULL;
	size_t n = 0;
	int64_t state;
	nx_rc rc;

	if (l->n == l->limit)
		return NX_OK;
	l->seen++;
	(void)snprintf(l->last, sizeof(l->last), "%s", item->name);
	nx_arena_reset(l->arena);
	rc = scheduled_rows_of(l->r, item->collection, item->name, l->arena, &rows, &n, err);
	state = rc ? 0 : state_of(rows, n);
	if (!rc && (!l->state || l->state == state))
		rc = scheduled_load(l->r, item, l->arena, &ds, err);
	if (rc || !ds)
		return rc;
	l->n++;
	nx_json_object_begin(&l->json);
	nx_json_kv_str(&l->json, "item", item->name + strlen(NX_WORKLIST_PREFIX));
	nx_json_kv_str(&l->json, "state", nx_worklist_word(state));
	steps_json(&l->json, rows, n);
	nx_json_key(&l->json, "dataset");
	rc = nx_dataset_json(ds, &l->json, NULL, NULL, l->arena, err);
	nx_json_object_end(&l->json);
	return rc ? rc : nx_buf_check(l->json.out, err);
}

static nx_rc pages_list(struct listing *l, int64_t collection, struct nx_err *err)
{
	nx_rc rc;

	nx_json_object_begin(&l->json);
	nx_json_key(&l->json, "worklist");
	nx_json_array_begin(&l->json);
	do {
		l->seen = 0;
		rc = nx_cat_objects(nx_archive_cat(l->r->archive),
			&(struct nx_objects_of){.collection = collection,
				.prefix = NX_WORKLIST_PREFIX,
				.after = l->last,
				.limit = LIST_MAX},
			list_row, l, err);
	} while (!rc && l->seen == LIST_MAX && l->n < l->limit);
	nx_json_array_end(&l->json);
	nx_json_kv_str(
		&l->json, "next", l->n == l->limit ? l->last + strlen(NX_WORKLIST_PREFIX) : NULL);
	nx_json_object_end(&l->json);
	return rc ? rc : nx_buf_check(l->json.out, err);
}

nx_rc nx_retrieve_worklist_list(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_worklist_ask *ask, struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO(nx_arena) *names = nx_arena_new(LIST_ARENA_MAX, NX_ARENA_WIPE);
	NX_AUTO(nx_arena) *arena = nx_arena_new(LIST_ARENA_MAX, NX_ARENA_WIPE);
	const struct access_note asked = {
		.action = NX_ACTION_QUERY, .collection = ask->collection, .what = "worklist"};
	const bool any = !ask->state || !*ask->state;
	struct listing l = {.r = retrieve,
		.arena = arena,
		.state = any ? 0 : nx_worklist_parse(ask->state),
		.limit = ask->limit && ask->limit < LIST_MAX ? ask->limit : LIST_MAX};
	struct nx_collection collection;
	nx_rc rc;

	if (!arena || !names)
		return no_memory(err);
	if (!any && !l.state)
		return nx_err_set(err, NX_E_INVAL, "no such state of the worklist");
	rc = ask->after && *ask->after ? name_make(ask->after, l.last, err) : NX_OK;
	if (!rc)
		rc = guard(
			retrieve, who, NX_PERM_WORKLIST, ask->collection, &collection, names, err);
	if (!rc)
		rc = note(retrieve, who, &asked, true, err);
	if (!rc)
		rc = nx_archive_current(retrieve->archive, err);
	nx_json_init(&l.json, out);
	return rc ? rc : pages_list(&l, collection.id, err);
}

/* ---- by hand ---- */

static nx_rc rows_set(struct nx_change *change, const struct nx_item *item,
	const struct nx_worklist_row *rows, size_t n, int64_t state, struct nx_err *err)
{
	const int64_t now = nx_now_us();
	char today[NX_DAY_TEXT];
	nx_rc rc = NX_OK;

	nx_day_format(now, today);
	for (size_t i = 0; i < n && !rc; i++) {
		const bool again = state == NX_WORKLIST_SCHEDULED;
		struct nx_val vals[] = {nx_val_int(rows[i].collection), nx_val_text(rows[i].name),
			nx_val_int(rows[i].number), nx_val_int(NX_C_WORKLIST_STATE),
			nx_val_int(state), nx_val_int(NX_C_WORKLIST_CHANGED_US), nx_val_int(now),
			nx_val_int(NX_C_WORKLIST_SINCE),
			nx_val_text(again ? today : rows[i].since)};

		rc = scheduled_op(change, item,
			&(struct nx_op){.verb = NX_OP_SET, .n = NX_ARRAY_LEN(vals), .vals = vals},
			err);
	}
	return rc;
}

static nx_rc set_entry(struct nx_change *change, const struct nx_principal *who,
	const char *collection, const struct nx_item *item, const char *state, struct nx_err *err)
{
	struct nx_entry_draft draft = {.action = NX_ACTION_WORKLIST_SET,
		.principal = who->name,
		.subject = (uint64_t)item->subject};
	NX_AUTO_DONE(nx_detail) detail;
	nx_rc rc;

	nx_detail_begin(&detail);
	nx_json_kv_str(&detail.json, "collection", collection);
	nx_json_kv_str(&detail.json, "item", item->name);
	nx_json_kv_str(&detail.json, "state", state);
	rc = nx_detail_end(&detail, who->peer, &draft, err);
	return rc ? rc : nx_change_entry(change, &draft, NULL, err);
}

nx_rc nx_retrieve_worklist_set(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection, const char *item, const char *state, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(LIST_ARENA_MAX, NX_ARENA_WIPE);
	NX_AUTO(nx_change) *change = nx_change_new();
	const int64_t number = nx_worklist_parse(state);
	struct nx_worklist_row *rows = NULL;
	char name[NX_LIMIT_OBJECT_KEY + 1];
	struct nx_collection row;
	struct nx_item there;
	size_t n = 0;
	nx_rc rc;

	if (!arena || !change)
		return no_memory(err);
	if (!number)
		return nx_err_set(err, NX_E_INVAL, "no such state of the worklist");
	rc = name_make(item, name, err);
	if (!rc)
		rc = guard(retrieve, who, NX_PERM_STORE, collection, &row, arena, err);
	if (!rc)
		rc = nx_archive_current(retrieve->archive, err);
	if (!rc)
		rc = nx_cat_object(
			nx_archive_cat(retrieve->archive), row.id, name, arena, &there, err);
	if (!rc)
		rc = scheduled_rows_of(retrieve, row.id, name, arena, &rows, &n, err);
	if (!rc)
		rc = rows_set(change, &there, rows, n, number, err);
	if (!rc)
		rc = set_entry(change, who, collection, &there, state, err);
	return rc ? rc : nx_archive_commit(retrieve->archive, change, err);
}

nx_rc nx_retrieve_worklist_remove(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection, const char *item, struct nx_err *err)
{
	char name[NX_LIMIT_OBJECT_KEY + 1];
	nx_rc rc = name_make(item, name, err);

	return rc ? rc : nx_retrieve_object_delete(retrieve, who, collection, name, NULL, err);
}

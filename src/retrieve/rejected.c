/* What rejection notes say is not to be used: listed, read, and used again by who may say so. */
#include <stdlib.h>

#include "archive/rewrite.h"
#include "base/clock.h"
#include "base/json.h"
#include "ledger/detail.h"
#include "retrieve/instances_priv.h"

enum {
	REJECTED_ARENA_MAX = 256 * 1024 * 1024,
	BATCH = 64 /* instances of one change */
};

/* ---- one, with all that names it ---- */

struct rejected {
	struct nx_rejection_row row;
	struct nx_item item;
	struct nx_item note; /* name "": it is erased */
	struct nx_series series;
	struct nx_study study;
};

static nx_rc rejected_load(struct nx_cat *cat, const struct nx_rejection_row *row,
	struct nx_arena *arena, struct rejected *ret, struct nx_err *err)
{
	nx_rc rc = nx_cat_item_by_id(cat, row->item, arena, &ret->item, err);

	ret->row = *row;
	if (!rc)
		rc = nx_cat_series_by_id(cat, ret->item.series, arena, &ret->series, err);
	if (!rc)
		rc = nx_cat_study_by_id(cat, ret->series.study, arena, &ret->study, err);
	if (rc)
		return rc;
	rc = nx_cat_item_by_id(cat, row->note, arena, &ret->note, err);
	if (rc == NX_E_NOENT)
		ret->note.name = "";
	return rc == NX_E_NOENT ? NX_OK : rc;
}

/* ---- the list ---- */

static void rejected_json(const struct rejected *r, struct nx_json *json)
{
	char when[NX_TIME_TEXT];

	nx_time_format(r->row.time_us, when);
	nx_json_object_begin(json);
	nx_json_kv_int(json, "number", r->row.item);
	nx_json_kv_str(json, "time", when);
	nx_json_kv_str(json, "reason", nx_rejection_word(r->row.reason));
	nx_json_kv_str(json, "study", r->study.uid);
	nx_json_kv_str(json, "series", r->series.uid);
	nx_json_kv_str(json, "instance", r->item.name);
	nx_json_kv_str(json, "sop_class", r->item.type);
	nx_json_kv_str(json, "note", r->note.name);
	nx_json_object_end(json);
}

static nx_rc list_row(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_rejection_row *rejection = row;
	struct numbered *l = payload;
	struct rejected r;
	nx_rc rc;

	if (l->n++ == l->limit)
		return NX_OK; /* there are more */
	nx_arena_reset(l->arena);
	rc = rejected_load(l->cat, rejection, l->arena, &r, err);
	if (rc)
		return rc;
	l->last = rejection->item;
	rejected_json(&r, &l->json);
	return nx_buf_check(l->json.out, err);
}

nx_rc nx_retrieve_rejected(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection, int64_t after, unsigned limit, struct nx_buf *out,
	struct nx_err *err)
{
	const struct access_note n = {
		.action = NX_ACTION_QUERY, .collection = collection, .what = "rejected"};
	NX_AUTO(nx_arena) *arena = nx_arena_new(REJECTED_ARENA_MAX, NX_ARENA_WIPE);
	struct numbered l = {.cat = nx_archive_cat(retrieve->archive), .arena = arena};
	struct nx_collection c;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a list");
	rc = guard(retrieve, who, NX_PERM_REJECT, collection, &c, arena, err);
	if (!rc)
		rc = note(retrieve, who, &n, true, err);
	if (!rc)
		rc = nx_archive_current(retrieve->archive, err);
	if (rc)
		return rc;
	numbered_begin(&l, "rejected", limit, out);
	rc = nx_cat_rejections(l.cat, c.id, after, l.limit + 1, list_row, &l, err);
	return numbered_end(&l, rc, err);
}

/* ---- the bytes of one ---- */

nx_rc nx_retrieve_rejected_open(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection, int64_t number, struct nx_object **ret, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(REJECTED_ARENA_MAX, NX_ARENA_WIPE);
	struct nx_cat *cat = nx_archive_cat(retrieve->archive);
	struct access_note n = {.action = NX_ACTION_READ, .collection = collection};
	NX_AUTO(nx_object) *object = NULL;
	struct nx_rejection_row row;
	struct nx_collection c;
	struct rejected r;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an instance");
	rc = guard(retrieve, who, NX_PERM_REJECT, collection, &c, arena, err);
	if (!rc)
		rc = nx_archive_current(retrieve->archive, err);
	if (!rc)
		rc = nx_cat_rejection(cat, number, arena, &row, err);
	if (!rc && row.collection != c.id)
		rc = nx_err_set(err, NX_E_NOENT, "nothing is rejected under this number");
	if (!rc)
		rc = rejected_load(cat, &row, arena, &r, err);
	if (!rc)
		rc = object_of_item(retrieve, &r.item, &object, err);
	if (rc)
		return rc;
	n.subject = (uint64_t)r.item.subject;
	n.study = r.study.uid;
	n.what = r.item.name;
	rc = note(retrieve, who, &n, false, err);
	if (!rc)
		*ret = NX_STEAL(object);
	return rc;
}

/* ---- to be used again: the same bytes as the next version ---- */

struct restoring {
	struct nx_retrieve *r;
	const struct nx_principal *who;
	const struct nx_selection *sel;
	const char *reason;
	struct nx_arena *arena;
	struct nx_collection collection;
	struct nx_rejection_row rows[BATCH];
	struct rejected found[BATCH];
	struct nx_put puts[BATCH];
	size_t n;
	int64_t last;
	uint64_t restored;
};

static bool is_selected(const struct nx_selection *sel, const struct rejected *r)
{
	return strcmp(sel->study, r->study.uid) == 0 &&
		(!sel->series || strcmp(sel->series, r->series.uid) == 0) &&
		(!sel->instance || strcmp(sel->instance, r->item.name) == 0);
}

static nx_rc row_keep(void *payload, const void *row, struct nx_err *err)
{
	struct restoring *x = payload;

	(void)err;
	x->rows[x->n++] = *(const struct nx_rejection_row *)row;
	return NX_OK;
}

static nx_rc entry_add(
	struct restoring *x, struct nx_change *change, const struct rejected *r, struct nx_err *err)
{
	struct nx_entry_draft draft = {.action = NX_ACTION_REJECTION_END,
		.principal = x->who->name,
		.subject = (uint64_t)r->item.subject,
		.study = r->study.uid};
	NX_AUTO_DONE(nx_detail) detail;
	nx_rc rc;

	nx_detail_begin(&detail);
	nx_json_kv_str(&detail.json, "door", "restore");
	nx_json_kv_str(&detail.json, "collection", x->collection.name);
	nx_json_kv_str(&detail.json, "item", r->item.name);
	nx_json_kv_str(&detail.json, "rejected", nx_rejection_word(r->row.reason));
	nx_json_kv_str(&detail.json, "reason", x->reason);
	rc = nx_detail_end(&detail, x->who->peer, &draft, err);
	return rc ? rc : nx_change_entry(change, &draft, NULL, err);
}

static nx_rc restore_add(
	struct restoring *x, struct nx_change *change, size_t i, struct nx_err *err)
{
	struct rejected *r = &x->found[i];
	nx_rc rc = rejected_load(nx_archive_cat(x->r->archive), &x->rows[i], x->arena, r, err);

	if (rc || !is_selected(x->sel, r))
		return rc;
	x->puts[i] = (struct nx_put){.collection = &x->collection,
		.study = &r->study,
		.series = &r->series,
		.restores = true};
	rc = nx_archive_same_put(x->r->archive, &r->item, x->arena, &x->puts[i], err);
	if (!rc)
		rc = nx_change_put(change, &x->puts[i], err);
	if (!rc)
		x->restored++;
	return rc ? rc : entry_add(x, change, r, err);
}

/* The rejections from x->last on; *ret_more: there may be others. */
static nx_rc batch_restore(struct restoring *x, bool *ret_more, struct nx_err *err)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	uint64_t before = x->restored;
	nx_rc rc;

	if (!change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	x->n = 0;
	nx_arena_reset(x->arena);
	rc = nx_cat_collection(
		nx_archive_cat(x->r->archive), x->sel->collection, x->arena, &x->collection, err);
	if (!rc)
		rc = nx_cat_rejections(nx_archive_cat(x->r->archive), x->collection.id, x->last,
			BATCH, row_keep, x, err);
	for (size_t i = 0; i < x->n && !rc; i++)
		rc = restore_add(x, change, i, err);
	*ret_more = x->n == BATCH;
	if (x->n)
		x->last = x->rows[x->n - 1].item;
	return rc || x->restored == before ? rc : nx_archive_commit(x->r->archive, change, err);
}

nx_rc nx_retrieve_restore(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_selection *sel, const char *reason, uint64_t *ret_restored,
	struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(REJECTED_ARENA_MAX, NX_ARENA_WIPE);
	struct restoring *x = calloc(1, sizeof(*x));
	bool more = true;
	nx_rc rc = NX_OK;

	if (!x || !arena)
		rc = nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	if (!rc) {
		*x = (struct restoring){
			.r = retrieve, .who = who, .sel = sel, .reason = reason, .arena = arena};
		rc = guard(
			retrieve, who, NX_PERM_REJECT, sel->collection, &x->collection, arena, err);
	}
	if (!rc)
		rc = nx_archive_current(retrieve->archive, err);
	while (!rc && more)
		rc = batch_restore(x, &more, err);
	if (!rc && !x->restored)
		rc = nx_err_set(err, NX_E_NOENT, "no such instances are rejected");
	if (!rc)
		*ret_restored = x->restored;
	free(x);
	return rc;
}

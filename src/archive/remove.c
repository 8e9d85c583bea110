/*
 * Instances that are deleted: their rows stay, marked, and with them recipe, blobs and older
 * versions.  Nothing shows them any more, and no counter has them.
 */
#include "archive/prepare_priv.h"

nx_rc nx_change_reject(
	struct nx_change *change, const struct nx_item *item, int64_t reason, struct nx_err *err)
{
	struct change_remove *r = nx_arena_alloc(change->arena, sizeof(*r));

	if (!r)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	r->item = item->id;
	r->reason = reason;
	*change->removes_tail = r;
	change->removes_tail = &r->next;
	return NX_OK;
}

nx_rc nx_change_remove(struct nx_change *change, const struct nx_item *item, struct nx_err *err)
{
	return nx_change_reject(change, item, 0, err);
}

/* Instances of one series that follow each other in the change. */
struct run {
	struct nx_item item; /* the first; id 0: none */
	int64_t n;
	bool rejected;
	struct emptied *emptied; /* series so far that have no instance left */
};

static nx_rc run_end(struct nx_archive *a, struct group *g, struct run *run, struct nx_err *err)
{
	struct nx_series series;
	char detail[64];
	nx_rc rc;

	if (!run->n)
		return NX_OK;
	rc = nx_cat_series_by_id(a->cat, run->item.series, g->arena, &series, err);
	if (!rc)
		rc = study_uncount(a, g, &run->item, &series, run->n, &run->emptied, err);
	(void)snprintf(detail, sizeof(detail), "{\"instances\":%lld}", (long long)run->n);
	if (!rc)
		rc = event_row(a, g,
			&(struct event){
				.kind = run->rejected ? "instances.rejected" : "instances.deleted",
				.domain = (uint32_t)run->item.domain,
				.subject = (uint64_t)run->item.subject,
				.study = series.study,
				.detail = detail},
			err);
	run->n = 0;
	return rc;
}

static nx_rc state_set(
	struct group *g, const struct nx_item *item, enum nx_item_state state, struct nx_err *err)
{
	struct nx_val vals[] = {
		nx_val_int(item->id), nx_val_int(NX_C_ITEM_STATE), nx_val_int(state)};

	return group_op(g,
		&(struct nx_op){.verb = NX_OP_SET,
			.table = NX_T_ITEM,
			.n = NX_ARRAY_LEN(vals),
			.domain = (uint32_t)item->domain,
			.subject = (uint64_t)item->subject,
			.vals = vals},
		err);
}

static nx_rc rejection_put(struct group *g, const struct nx_item *item, int64_t reason,
	const struct nx_change *change, struct nx_err *err)
{
	const struct nx_rejection_row row = {.item = item->id,
		.collection = item->collection,
		.subject = item->subject,
		.note = change->puts->put->ret_item,
		.reason = reason,
		.time_us = g->now_us};
	struct nx_op op;

	if (nx_op_put_rejection(&row, g->arena, &op))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a rejection");
	return group_op(g, &op, err);
}

/* What was sent again says nothing new: what was restored since stays so. */
static bool is_no_news(const struct nx_change *change)
{
	const struct nx_put *note = change->puts ? change->puts->put : NULL;

	return note && (note->outcome == NX_PUT_DUPLICATE || note->outcome == NX_PUT_REJECTED);
}

static nx_rc remove_one(struct group *g, const struct nx_item *item, const struct change_remove *r,
	const struct nx_change *change, struct nx_err *err)
{
	nx_rc rc = state_set(g, item, r->reason ? NX_ITEM_REJECTED : NX_ITEM_DELETED, err);

	if (!rc && r->reason)
		rc = rejection_put(g, item, r->reason, change, err);
	return rc ? rc
		  : feed_note(g, item->collection, NX_FEED_DELETE, item->subject, item->id, err);
}

/* What came in between is not what was looked at: a newer version stays, and so does its instance.
 */
nx_rc prepare_removes(
	struct nx_archive *a, struct group *g, const struct nx_change *change, struct nx_err *err)
{
	struct run run = {.n = 0};
	struct nx_item item;
	nx_rc rc = NX_OK;

	if (is_no_news(change))
		return NX_OK;
	for (const struct change_remove *r = change->removes; r && !rc; r = r->next) {
		rc = nx_cat_item_by_id(a->cat, r->item, g->arena, &item, err);
		if (rc == NX_E_NOENT || (!rc && item.state != NX_ITEM_LIVE)) {
			rc = NX_OK;
			continue;
		}
		if (!rc && run.n && run.item.series != item.series)
			rc = run_end(a, g, &run, err);
		if (!rc && !run.n++)
			run.item = item;
		run.rejected = r->reason;
		if (!rc)
			rc = remove_one(g, &item, r, change, err);
	}
	return rc ? rc : run_end(a, g, &run, err);
}

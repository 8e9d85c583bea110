/*
 * Instances that are deleted: their rows stay, marked, and with them recipe, blobs and older
 * versions.  Nothing shows them any more, and no counter has them.
 */
#include "archive/prepare_priv.h"

nx_rc nx_change_remove(struct nx_change *change, const struct nx_item *item, struct nx_err *err)
{
	struct change_remove *r = nx_arena_alloc(change->arena, sizeof(*r));

	if (!r)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	r->item = item->id;
	*change->removes_tail = r;
	change->removes_tail = &r->next;
	return NX_OK;
}

/* Instances of one series that follow each other in the change. */
struct run {
	struct nx_item item; /* the first; id 0: none */
	int64_t n;
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
		rc = event_row(a, g, "instances.deleted", (uint32_t)run->item.domain,
			(uint64_t)run->item.subject, series.study, detail, err);
	run->n = 0;
	return rc;
}

static nx_rc state_set(struct group *g, const struct nx_item *item, struct nx_err *err)
{
	struct nx_val vals[] = {
		nx_val_int(item->id), nx_val_int(NX_C_ITEM_STATE), nx_val_int(NX_ITEM_DELETED)};

	return group_op(g,
		&(struct nx_op){.verb = NX_OP_SET,
			.table = NX_T_ITEM,
			.n = NX_ARRAY_LEN(vals),
			.domain = (uint32_t)item->domain,
			.subject = (uint64_t)item->subject,
			.vals = vals},
		err);
}

/* What came in between is not what was looked at: a newer version stays, and so does its instance.
 */
nx_rc prepare_removes(
	struct nx_archive *a, struct group *g, const struct nx_change *change, struct nx_err *err)
{
	struct run run = {.n = 0};
	struct nx_item item;
	nx_rc rc = NX_OK;

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
		if (!rc)
			rc = state_set(g, &item, err);
		if (!rc)
			rc = feed_note(
				g, item.collection, NX_FEED_DELETE, item.subject, item.id, err);
	}
	return rc ? rc : run_end(a, g, &run, err);
}

/* The worklist: rows by which its items are found, and what becomes of what is scheduled. */
#include "dicom/scheduled.h"

#include "archive/prepare_priv.h"
#include "base/clock.h"
#include "dicom/step.h"

enum {
	INDEX_STEP = 1, /* (study, step id) */
	ROW_ARENA_MAX = 4 * 1024 * 1024
};

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for a row of the worklist");
}

/* As it is when it is new. */
static nx_rc row_make(const struct nx_scheduled *s, size_t i, int64_t now_us,
	struct nx_arena *arena, struct nx_worklist_row *row)
{
	const struct nx_scheduled_step *step = &s->steps[i];
	char today[NX_DAY_TEXT];

	nx_day_format(now_us, today);
	row->number = (int64_t)i;
	row->state = NX_WORKLIST_SCHEDULED;
	row->day = step->day;
	row->since = step->day[0] ? step->day : nx_arena_str(arena, today, strlen(today));
	row->modality = step->modality;
	row->stations = step->stations;
	row->step_id = step->id;
	row->patient_id = s->patient_id;
	row->name_key = nx_cat_name_key(s->patient_name, arena);
	row->accession = s->accession;
	row->study_uid = s->study;
	row->request_id = s->request_id;
	row->performed = "";
	row->changed_us = now_us;
	return row->since && row->name_key ? NX_OK : NX_E_NOMEM;
}

nx_rc nx_change_scheduled(struct nx_change *change, const struct nx_item *item,
	const struct nx_scheduled *scheduled, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ROW_ARENA_MAX, NX_ARENA_WIPE);
	struct nx_worklist_row row = {
		.collection = item->collection, .name = item->name, .subject = item->subject};
	nx_rc rc = arena ? NX_OK : no_memory(err);

	for (size_t i = 0; i < scheduled->n_steps && !rc; i++) {
		struct nx_op op;

		nx_arena_reset(arena);
		if (row_make(scheduled, i, item->received_us, arena, &row) ||
			nx_op_put_worklist(&row, arena, &op))
			return no_memory(err);
		op.domain = (uint32_t)item->domain;
		op.subject = (uint64_t)item->subject;
		rc = nx_change_op(change, &op, err);
	}
	return rc;
}

/* ---- an item is put ---- */

static nx_rc rows_find(struct nx_archive *a, struct group *g, const struct nx_rows_of *which,
	struct nx_worklist_row **ret, size_t *ret_n, struct nx_err *err)
{
	struct nx_worklist_row *rows;
	struct nx_op *ops;
	size_t n = 0;
	nx_rc rc = nx_cat_rows(a->cat, which, g->arena, &ops, &n, err);

	if (rc)
		return rc;
	rows = nx_arena_alloc_array(g->arena, n + 1, sizeof(*rows));
	if (!rows)
		return no_memory(err);
	for (size_t i = 0; i < n && !rc; i++)
		rc = nx_op_row(&ops[i], g->arena, &rows[i], err);
	*ret = rows;
	*ret_n = n;
	return rc;
}

/* What became of a step stays when its item is changed; one that had expired has new time. */
static void state_keep(struct nx_worklist_row *row, const struct nx_worklist_row *old, size_t n_old)
{
	for (size_t i = 0; i < n_old; i++) {
		bool same = row->step_id[0] ? strcmp(old[i].step_id, row->step_id) == 0
					    : old[i].number == row->number;

		if (!same || old[i].state == NX_WORKLIST_EXPIRED)
			continue;
		row->state = old[i].state;
		row->performed = old[i].performed;
		row->changed_us = old[i].changed_us;
		return;
	}
}

static nx_rc row_drop(struct group *g, const struct target *t, const struct nx_worklist_row *row,
	struct nx_err *err)
{
	struct nx_val vals[] = {
		nx_val_int(row->collection), nx_val_text(row->name), nx_val_int(row->number)};
	struct nx_op op = {.verb = NX_OP_DEL,
		.table = NX_T_WORKLIST,
		.n = NX_ARRAY_LEN(vals),
		.domain = t->domain,
		.vals = vals};

	op.subject = (uint64_t)row->subject;
	return group_op(g, &op, err);
}

nx_rc scheduled_rows(
	struct nx_archive *a, struct group *g, const struct target *t, struct nx_err *err)
{
	const struct nx_scheduled *s = t->put->scheduled;
	struct nx_worklist_row row = {.collection = t->put->collection->id,
		.name = t->put->item->name,
		.subject = (int64_t)t->subject};
	const struct nx_val where[] = {nx_val_int(row.collection), nx_val_text(row.name)};
	struct nx_worklist_row *old = NULL;
	size_t n_old = 0;
	nx_rc rc = rows_find(a, g,
		&(struct nx_rows_of){.table = NX_T_WORKLIST, .where = where, .n_where = 2}, &old,
		&n_old, err);

	for (size_t i = s->n_steps; i < n_old && !rc; i++)
		rc = row_drop(g, t, &old[i], err);
	for (size_t i = 0; i < s->n_steps && !rc; i++) {
		struct nx_op op;

		if (row_make(s, i, g->now_us, g->arena, &row))
			return no_memory(err);
		state_keep(&row, old, n_old);
		if (nx_op_put_worklist(&row, g->arena, &op))
			return no_memory(err);
		op.domain = t->domain;
		op.subject = t->subject;
		rc = group_op(g, &op, err);
	}
	return rc;
}

/* ---- it is performed ---- */

/*
 * What a performed step makes of what was scheduled (IHE RAD-6, RAD-7); 0: nothing.  Several may be
 * of one scheduled step: the end of one that did not change it last says nothing of it, unless it
 * was completed.
 */
static int64_t state_after(const struct nx_worklist_row *row, const struct nx_put *put)
{
	switch ((enum nx_step_state)put->step->state) {
	case NX_STEP_IN_PROGRESS:
		return put->outcome == NX_PUT_STORED ? NX_WORKLIST_STARTED : 0;
	case NX_STEP_COMPLETED:
		return NX_WORKLIST_COMPLETED;
	case NX_STEP_DISCONTINUED:
		return strcmp(row->performed, put->item->name) == 0 ? NX_WORKLIST_DISCONTINUED : 0;
	}
	return 0;
}

static nx_rc row_perform(struct group *g, const struct target *t, const struct nx_worklist_row *row,
	struct nx_err *err)
{
	const int64_t state = state_after(row, t->put);
	struct nx_val vals[] = {nx_val_int(row->collection), nx_val_text(row->name),
		nx_val_int(row->number), nx_val_int(NX_C_WORKLIST_STATE), nx_val_int(state),
		nx_val_int(NX_C_WORKLIST_PERFORMED), nx_val_text(t->put->item->name),
		nx_val_int(NX_C_WORKLIST_CHANGED_US), nx_val_int(g->now_us)};
	struct nx_op op = {.verb = NX_OP_SET,
		.table = NX_T_WORKLIST,
		.n = NX_ARRAY_LEN(vals),
		.domain = t->domain,
		.vals = vals};

	if (!state || row->collection != t->put->collection->id)
		return NX_OK;
	op.subject = (uint64_t)row->subject;
	return group_op(g, &op, err);
}

nx_rc scheduled_perform(
	struct nx_archive *a, struct group *g, const struct target *t, struct nx_err *err)
{
	const struct nx_put_step *step = t->put->step;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < step->n_of && !rc; i++) {
		const struct nx_val where[] = {
			nx_val_text(step->of[i].study), nx_val_text(step->of[i].scheduled)};
		struct nx_worklist_row *rows = NULL;
		size_t n = 0;

		if (!step->of[i].scheduled[0])
			continue; /* it was not scheduled */
		rc = rows_find(a, g,
			&(struct nx_rows_of){.table = NX_T_WORKLIST,
				.index = INDEX_STEP,
				.where = where,
				.n_where = 2},
			&rows, &n, err);
		for (size_t k = 0; k < n && !rc; k++)
			rc = row_perform(g, t, &rows[k], err);
	}
	return rc;
}

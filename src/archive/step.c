/* Performed procedure steps: the rows that lead from a study to them. */
#include "archive/prepare_priv.h"
#include "base/map.h"

static nx_rc room_check(
	struct nx_archive *a, struct group *g, const struct nx_step_row *row, struct nx_err *err)
{
	struct nx_val where[] = {nx_val_int(row->collection), nx_val_text(row->study_uid)};
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc = nx_cat_rows(a->cat,
		&(struct nx_rows_of){.table = NX_T_STEP,
			.where = where,
			.n_where = 2,
			.limit = NX_LIMIT_STUDY_STEPS},
		g->arena, &rows, &n, err);

	if (!rc && n >= NX_LIMIT_STUDY_STEPS)
		rc = nx_err_set(
			err, NX_E_LIMIT, "more than %u steps of one study", NX_LIMIT_STUDY_STEPS);
	return rc;
}

/* NX_E_NOENT: nothing of it has come yet. */
static nx_rc study_look_up(struct nx_archive *a, struct group *g, const struct nx_step_row *row,
	struct cached_study *ret, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	const struct cached_study *cached;
	struct nx_study study;
	nx_rc rc;

	nx_buf_init(&buf, KEY_MAX, NX_BUF_WIPE);
	cached = nx_map_get(
		a->cache.studies, lookup_key(&buf, row->collection, row->study_uid, NULL));
	if (cached) {
		*ret = *cached;
		return NX_OK;
	}
	rc = nx_cat_study(a->cat, row->collection, row->study_uid, g->arena, &study, err);
	if (!rc)
		*ret = (struct cached_study){.id = study.id, .subject = (uint64_t)study.subject};
	return rc;
}

/* It is told of anew, with what the step has named. */
static nx_rc study_open(struct nx_archive *a, struct group *g, const struct target *t,
	const struct nx_step_row *row, struct nx_err *err)
{
	struct cached_study study;
	struct nx_val vals[3];
	struct nx_op op = {.verb = NX_OP_SET, .table = NX_T_STUDY, .n = 3, .vals = vals};
	nx_rc rc = study_look_up(a, g, row, &study, err);

	if (rc)
		return rc == NX_E_NOENT ? NX_OK : rc;
	vals[0] = nx_val_int(study.id);
	vals[1] = nx_val_int(NX_C_STUDY_COMPLETE_US);
	vals[2] = nx_val_int(NX_STUDY_OPEN);
	op.domain = t->domain;
	op.subject = study.subject;
	rc = group_op(g, &op, err);
	if (!rc && a->on_study)
		a->on_study(a->on_study_payload, study.id);
	return rc;
}

nx_rc step_rows(struct nx_archive *a, struct group *g, const struct target *t, struct nx_err *err)
{
	const struct nx_put_step *step = t->put->step;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < step->n_studies && !rc; i++) {
		const struct nx_step_row row = {.collection = t->put->collection->id,
			.study_uid = step->studies[i],
			.name = t->put->item->name,
			.subject = (int64_t)t->subject};
		struct nx_op op;

		if (t->put->outcome == NX_PUT_STORED)
			rc = room_check(a, g, &row, err);
		if (!rc && nx_op_put_step(&row, g->arena, &op))
			rc = nx_err_set(err, NX_E_NOMEM, "no memory for a row of a step");
		if (rc)
			return rc;
		op.domain = t->domain;
		op.subject = t->subject;
		rc = group_op(g, &op, err);
		if (!rc && step->ends)
			rc = study_open(a, g, t, &row, err);
	}
	return rc;
}

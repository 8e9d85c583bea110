/*
 * What contradicts what was there is kept, made queryable and announced: other bytes under a name,
 * another patient under a study's UID, another study under a series' UID.
 */
#include "archive/prepare_priv.h"

enum {
	CONFLICT_OPEN = 1
};

nx_rc event_row(
	struct nx_archive *a, struct group *g, const struct event *event, struct nx_err *err)
{
	const struct nx_event_row row = {
		.id = (int64_t)nx_archive_next_id(a, NX_T_EVENT),
		.time_us = g->now_us,
		.kind = event->kind,
		.subject = (int64_t)event->subject,
		.study = event->study,
		.detail = event->detail,
	};
	struct nx_op op;

	if (nx_op_put_event(&row, g->arena, &op))
		return nx_err_set(err, NX_E_NOMEM, "no memory for an event");
	op.domain = event->domain;
	op.subject = event->subject;
	return group_op(g, &op, err);
}

/* What is of a subject is sealed for it, and goes with an erasure. */
nx_rc conflict_row(struct nx_archive *a, struct group *g, const struct nx_put *put,
	struct nx_conflict_row row, struct nx_err *err)
{
	struct nx_op op;

	row.id = (int64_t)nx_archive_next_id(a, NX_T_CONFLICT);
	row.collection = put->collection->id;
	row.name = ""; /* it is in the items' rows, which an erasure deletes */
	row.new_item = put->ret_item;
	row.time_us = g->now_us;
	row.state = CONFLICT_OPEN;
	if (nx_op_put_conflict(&row, g->arena, &op))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a conflict");
	op.domain = row.subject ? (uint32_t)put->collection->domain : 0;
	op.subject = (uint64_t)row.subject;
	return group_op(g, &op, err);
}

/* ---- two patients in one study, a patient who is called otherwise, a series of two studies ----
 */

static nx_rc told_once(struct nx_archive *a, struct group *g, const struct target *t,
	const struct nx_conflict_row *row, const char *event, struct nx_err *err)
{
	struct nx_conflict_row like = *row, there;
	nx_rc rc;

	if (row->kind == NX_CONFLICT_DEMOGRAPHICS)
		like.study = 0; /* in whatever study it was told first */
	rc = nx_cat_conflict_like(a->cat, &like, g->arena, &there, err);
	if (rc != NX_E_NOENT)
		return rc;
	rc = conflict_row(a, g, t->put, *row, err);
	return rc ? rc
		  : event_row(a, g,
			    &(struct event){.kind = event,
				    .domain = t->domain,
				    .subject = t->subject,
				    .study = t->study->id,
				    .detail = "{}"},
			    err);
}

static nx_rc patients_note(
	struct nx_archive *a, struct group *g, const struct target *t, struct nx_err *err)
{
	const struct nx_conflict_row row = {.kind = NX_CONFLICT_PATIENTS,
		.study = t->study->id,
		.subject = (int64_t)t->subject,
		.mark = (int64_t)t->study->subject};
	nx_rc rc;

	if (t->study->subject == t->subject || t->study->guest == t->subject)
		return NX_OK;
	rc = told_once(a, g, t, &row, "study.patient-conflict", err);
	if (!rc)
		rc = undo_changed(g, t->study, sizeof(*t->study), err);
	if (!rc)
		t->study->guest = t->subject;
	return rc;
}

static nx_rc demographics_note(
	struct nx_archive *a, struct group *g, const struct target *t, struct nx_err *err)
{
	const int64_t marks = marks_of(t->put->study);
	const struct nx_conflict_row row = {.kind = NX_CONFLICT_DEMOGRAPHICS,
		.study = t->study->id,
		.subject = (int64_t)t->subject,
		.mark = marks,
		.known = t->who ? t->who->marks : 0};
	nx_rc rc;

	if (!t->who || !marks_differ(t->who->marks, marks) || t->who->told == marks)
		return NX_OK;
	rc = told_once(a, g, t, &row, "patient.demographics-conflict", err);
	if (!rc)
		rc = undo_changed(g, t->who, sizeof(*t->who), err);
	if (!rc)
		t->who->told = marks;
	return rc;
}

enum {
	SERIES_LOOKS = 2 /* two studies may get it in one group, and see it in the next */
};

/* A series is of one study (PS3.3 7.3.1.4): one of them was given the wrong UID. */
static nx_rc series_note(
	struct nx_archive *a, struct group *g, const struct target *t, struct nx_err *err)
{
	const struct nx_study study = {.id = t->study->id, .collection = t->put->collection->id};
	struct nx_conflict_row row = {
		.kind = NX_CONFLICT_SERIES, .study = t->study->id, .subject = (int64_t)t->subject};
	struct nx_series other;
	nx_rc rc;

	if (t->series->n_instances >= SERIES_LOOKS)
		return NX_OK;
	rc = nx_cat_series_elsewhere(a->cat, &study, t->put->series->uid, g->arena, &other, err);
	if (rc)
		return rc == NX_E_NOENT ? NX_OK : rc;
	row.mark = other.study;
	return told_once(a, g, t, &row, "series.study-conflict", err);
}

/* A replaced object is business as usual; an instance that changes is not. */
nx_rc conflicts_note(
	struct nx_archive *a, struct group *g, const struct target *t, struct nx_err *err)
{
	const struct nx_conflict_row versions = {
		.kind = NX_CONFLICT_VERSION, .old_item = t->old.id};
	nx_rc rc = NX_OK;

	if (!t->study || t->put->replaces || t->put->restores)
		return NX_OK;
	if (t->put->outcome == NX_PUT_VERSION && !t->put->settles) {
		rc = conflict_row(a, g, t->put, versions, err);
		if (!rc)
			rc = event_row(a, g,
				&(struct event){.kind = "instance.conflict",
					.domain = t->domain,
					.subject = t->subject,
					.study = t->study->id,
					.detail = "{}"},
				err);
	}
	if (!rc)
		rc = patients_note(a, g, t, err);
	if (!rc && t->put->outcome == NX_PUT_STORED)
		rc = series_note(a, g, t, err);
	return rc ? rc : demographics_note(a, g, t, err);
}

/*
 * What was said of a study and its series was wrong: their rows say something else from now on.
 * They are written whole, under the key of whose they are now: a row that changes hands must not
 * need the key of whom it was.
 */
#include "archive/prepare_priv.h"
#include "base/map.h"

static const size_t study_texts[] = {
	offsetof(struct nx_study, patient_id),
	offsetof(struct nx_study, issuer),
	offsetof(struct nx_study, patient_name),
	offsetof(struct nx_study, name_key),
	offsetof(struct nx_study, birth_date),
	offsetof(struct nx_study, sex),
	offsetof(struct nx_study, date),
	offsetof(struct nx_study, time),
	offsetof(struct nx_study, accession),
	offsetof(struct nx_study, referring),
	offsetof(struct nx_study, description),
	offsetof(struct nx_study, study_id),
};

static const size_t series_texts[] = {
	offsetof(struct nx_series, number),
	offsetof(struct nx_series, description),
	offsetof(struct nx_series, body_part),
	offsetof(struct nx_series, date),
	offsetof(struct nx_series, time),
	offsetof(struct nx_series, station),
	offsetof(struct nx_series, pps_date),
	offsetof(struct nx_series, pps_time),
};

/* Texts of `from` that are not NULL go over those of `to`. */
static void texts_lay(void *to, const void *from, const size_t *at, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *text;

		memcpy(&text, (const char *)from + at[i], sizeof(text));
		if (text)
			memcpy((char *)to + at[i], &text, sizeof(text));
	}
}

struct restudy {
	struct nx_archive *a;
	struct group *g;
	const struct nx_restudy *want;
	struct target t; /* subject and key of whose it is now */
	bool moved;
};

static nx_rc series_put(void *payload, const void *row, struct nx_err *err)
{
	struct restudy *r = payload;
	const struct nx_series *texts = NULL;
	struct nx_series series;
	struct nx_op op;
	/* A list does not show what is staged, and its counters would be old. */
	nx_rc rc = nx_cat_series_by_id(
		r->a->cat, ((const struct nx_series *)row)->id, r->g->arena, &series, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < r->want->n_series; i++)
		if (r->want->series[i].id == series.id)
			texts = &r->want->series[i];
	if (!texts && !r->moved)
		return NX_OK;
	if (texts)
		texts_lay(&series, texts, series_texts, NX_ARRAY_LEN(series_texts));
	if (nx_op_put_series(&series, r->t.domain, r->t.subject, r->g->arena, &op))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a series row");
	return group_op(r->g, &op, err);
}

/* Counters of the group at hand are sealed for whose the study is by then. */
static nx_rc cached_move(struct restudy *r, const struct nx_study *study, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	struct cached_study *c;
	nx_rc rc;

	nx_buf_init(&buf, KEY_MAX, NX_BUF_WIPE);
	c = nx_map_get(r->a->cache.studies, lookup_key(&buf, study->collection, study->uid, NULL));
	if (!c)
		return NX_OK;
	rc = undo_changed(r->g, c, sizeof(*c), err);
	if (!rc)
		c->subject = r->t.subject;
	return rc;
}

static nx_rc owner_find(
	struct restudy *r, struct nx_study *study, uint32_t domain, struct nx_err *err)
{
	const struct nx_study *texts = r->want->study;
	struct nx_put put = {.study = study};
	nx_rc rc = NX_OK;

	r->t = (struct target){.put = &put, .domain = domain, .subject = (uint64_t)study->subject};
	if (texts->patient_id || texts->issuer)
		rc = subject_find(
			r->a, r->g, &r->t, or_empty(study->issuer), study->patient_id, err);
	r->t.put = NULL;
	nx_key_done(&r->t.key);
	r->moved = r->t.subject != (uint64_t)study->subject;
	study->subject = (int64_t)r->t.subject;
	return rc;
}

static nx_rc study_put(struct restudy *r, const struct nx_study *study, struct nx_err *err)
{
	struct nx_op op;

	if (nx_op_put_study(study, r->t.domain, r->g->arena, &op))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a study row");
	return group_op(r->g, &op, err);
}

nx_rc prepare_restudy(
	struct nx_archive *a, struct group *g, const struct nx_change *change, struct nx_err *err)
{
	struct restudy r = {.a = a, .g = g, .want = change->restudy};
	struct nx_study study;
	nx_rc rc;

	if (!r.want)
		return NX_OK;
	rc = nx_cat_study_by_id(a->cat, r.want->study->id, g->arena, &study, err);
	if (rc)
		return rc;
	texts_lay(&study, r.want->study, study_texts, NX_ARRAY_LEN(study_texts));
	rc = owner_find(&r, &study, r.want->domain, err);
	if (!rc)
		rc = study_put(&r, &study, err);
	if (!rc)
		rc = nx_cat_series_of(a->cat, study.id, series_put, &r, err);
	if (!rc)
		rc = cached_move(&r, &study, err);
	if (!rc && study.patient_id[0] && r.want->study->name_key)
		rc = marks_set(g, &r.t, study.issuer, study.patient_id, marks_of(&study), err);
	return rc ? rc
		  : event_row(a, g,
			    &(struct event){.kind = "study.edited",
				    .domain = r.t.domain,
				    .subject = r.t.subject,
				    .study = study.id,
				    .detail = "{}"},
			    err);
}

void nx_change_restudy(struct nx_change *change, const struct nx_restudy *restudy)
{
	change->restudy = restudy;
}

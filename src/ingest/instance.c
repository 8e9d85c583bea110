/*
 * Rows of an instance from its attributes, and the checks that make it storable (PS3.3 C.12.1,
 * C.7.2.1, C.7.3.1).
 */
#include <stdio.h>

#include "ingest/ingest_priv.h"

static const struct {
	enum attr attr;
	size_t at; /* const char * in the row */
} study_texts[] =
	{
		{A_STUDY, offsetof(struct nx_study, uid)},
		{A_PATIENT_ID, offsetof(struct nx_study, patient_id)},
		{A_ISSUER, offsetof(struct nx_study, issuer)},
		{A_PATIENT_NAME, offsetof(struct nx_study, patient_name)},
		{A_BIRTH_DATE, offsetof(struct nx_study, birth_date)},
		{A_SEX, offsetof(struct nx_study, sex)},
		{A_STUDY_DATE, offsetof(struct nx_study, date)},
		{A_STUDY_TIME, offsetof(struct nx_study, time)},
		{A_ACCESSION, offsetof(struct nx_study, accession)},
		{A_REFERRING, offsetof(struct nx_study, referring)},
		{A_STUDY_DESCRIPTION, offsetof(struct nx_study, description)},
		{A_STUDY_ID, offsetof(struct nx_study, study_id)},
},
  series_texts[] = {
	  {A_SERIES, offsetof(struct nx_series, uid)},
	  {A_MODALITY, offsetof(struct nx_series, modality)},
	  {A_SERIES_NUMBER, offsetof(struct nx_series, number)},
	  {A_SERIES_DESCRIPTION, offsetof(struct nx_series, description)},
	  {A_BODY_PART, offsetof(struct nx_series, body_part)},
	  {A_SERIES_DATE, offsetof(struct nx_series, date)},
	  {A_SERIES_TIME, offsetof(struct nx_series, time)},
	  {A_STATION, offsetof(struct nx_series, station)},
	  {A_PPS_DATE, offsetof(struct nx_series, pps_date)},
	  {A_PPS_TIME, offsetof(struct nx_series, pps_time)},
};

static bool texts_fill(struct nx_ingest_job *job)
{
	bool ok = true;

	for (size_t i = 0; i < NX_ARRAY_LEN(study_texts) && ok; i++) {
		const char *text = attrs_text(&job->split.attrs, study_texts[i].attr, job->arena);

		memcpy((char *)&job->study + study_texts[i].at, &text, sizeof(text));
		ok = text;
	}
	for (size_t i = 0; i < NX_ARRAY_LEN(series_texts) && ok; i++) {
		const char *text = attrs_text(&job->split.attrs, series_texts[i].attr, job->arena);

		memcpy((char *)&job->series + series_texts[i].at, &text, sizeof(text));
		ok = text;
	}
	return ok;
}

/* What the instance says of itself, and what was said of it. */
struct identity {
	const char *uid;
	const char *announced[2]; /* by the command, by the meta group; NULL or "": by neither */
	nx_tag tag;
	enum nx_reason other;
};

static nx_rc uid_check(struct nx_ingest_job *job, const struct identity *id, struct nx_err *err)
{
	nx_rc rc;

	if (!id->uid[0] || !nx_uid_valid(id->uid, strlen(id->uid))) {
		rc = nx_err_set(err, NX_E_MALFORMED, "%s UID at (%04x,%04x)",
			id->uid[0] ? "invalid" : "no", id->tag >> 16, id->tag & 0xffff);
		return aside_content_failed(job, rc, NX_REASON_BAD_UID, id->tag, err);
	}
	for (size_t i = 0; i < NX_ARRAY_LEN(id->announced); i++) {
		const char *other = id->announced[i];

		/* The data set says what it is; files whose meta group was forgotten are many. */
		if (i && !job->ingest->quarantine.check_meta)
			continue;
		if (!other || !other[0] || strcmp(other, id->uid) == 0)
			continue;
		rc = nx_err_set(err, NX_E_MALFORMED,
			"UIDs of %s and data set differ at (%04x,%04x)",
			i ? "meta group" : "command", id->tag >> 16, id->tag & 0xffff);
		return aside_content_failed(job, rc, id->other, id->tag, err);
	}
	return NX_OK;
}

/* NX_OK with job->reason: it goes into quarantine. */
static nx_rc instance_check(struct nx_ingest_job *job, struct nx_err *err)
{
	const struct identity ids[] = {
		{job->item.name,
			{job->sop_instance,
				attrs_text(&job->split.attrs, A_META_INSTANCE, job->arena)},
			NX_TAG_SOP_INSTANCE_UID, NX_REASON_OTHER_INSTANCE},
		{job->item.type,
			{job->sop_class, attrs_text(&job->split.attrs, A_META_CLASS, job->arena)},
			NX_TAG_SOP_CLASS_UID, NX_REASON_OTHER_CLASS},
		{job->study.uid, {NULL, NULL}, NX_TAG_STUDY_INSTANCE_UID, NX_REASON_BAD_UID},
		{job->series.uid, {NULL, NULL}, NX_TAG_SERIES_INSTANCE_UID, NX_REASON_BAD_UID},
	};
	nx_rc rc = aside_never(job, err);

	for (size_t i = 0; i < NX_ARRAY_LEN(ids) && !rc && !job->reason; i++)
		rc = uid_check(job, &ids[i], err);
	if (rc || job->reason)
		return rc;
	if (job->expect_study && strcmp(job->expect_study, job->study.uid) != 0)
		return nx_err_set(err, NX_E_CONFLICT, "instance is of another study, (0020,000d)");
	return NX_OK;
}

static nx_rc item_fill(struct nx_ingest_job *job, struct nx_err *err)
{
	const struct attrs *attrs = &job->split.attrs;
	const char *uid = nx_dicom_ts_uid(job->split.parser);
	const struct nx_ts *ts = nx_ts_find(uid);
	bool big = ts && ts->big_endian;

	job->item.name = attrs_text(attrs, A_SOP_INSTANCE, job->arena);
	job->item.type = attrs_text(attrs, A_SOP_CLASS, job->arena);
	job->item.ts_uid = nx_arena_str(job->arena, uid, strlen(uid));
	if (!job->item.name || !job->item.type || !job->item.ts_uid || !texts_fill(job))
		return nx_err_set(err, NX_E_NOMEM, "no memory for attributes");
	job->item.number = attrs_int(attrs, A_INSTANCE_NUMBER, big);
	job->item.rows = attrs_int(attrs, A_ROWS, big);
	job->item.columns = attrs_int(attrs, A_COLUMNS, big);
	job->item.frames = attrs_int(attrs, A_FRAMES, big);
	job->item.size = (int64_t)job->split.size;
	job->study.name_key = nx_cat_name_key(job->study.patient_name, job->arena);
	return job->study.name_key ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for a name");
}

static void result_uids(struct nx_ingest_job *job)
{
	struct nx_ingest_result *r = &job->result;

	(void)snprintf(
		r->sop_class, sizeof(r->sop_class), "%s", job->item.type ? job->item.type : "");
	(void)snprintf(r->sop_instance, sizeof(r->sop_instance), "%s",
		job->item.name ? job->item.name : "");
	(void)snprintf(r->study, sizeof(r->study), "%s", job->study.uid ? job->study.uid : "");
	(void)snprintf(r->series, sizeof(r->series), "%s", job->series.uid ? job->series.uid : "");
	r->size = job->split.size;
}

/* NX_OK with job->reason: it was read to its end, and is wrong. */
static nx_rc dicom_finish(struct nx_ingest_job *job, struct nx_err *err)
{
	nx_rc rc = note_parse(job, err);

	if (rc)
		return rc;
	rc = split_finish(&job->split, err);
	if (rc)
		return aside_parse_failed(job, rc, NULL, 0, err);
	rc = item_fill(job, err);
	result_uids(job);
	return rc ? rc : instance_check(job, err);
}

nx_rc dicom_submit(struct nx_ingest_job *job, struct nx_err *err)
{
	nx_rc rc = job->reason ? NX_OK : dicom_finish(job, err);

	if (rc)
		return rc;
	if (job->reason)
		return aside_submit(job, err);
	job->put = (struct nx_put){
		.collection = &job->collection,
		.study = &job->study,
		.series = &job->series,
		.item = &job->item,
		.source = job->source,
		.blobs = job->split.blobs,
		.n_blobs = job->split.n_blobs,
		.parts = job->split.parts,
		.n_parts = job->split.n_parts,
		.content = job->split.content,
	};
	rc = note_apply(job, err);
	return rc ? rc : job_commit(job, NX_ACTION_INSTANCE_STORE, err);
}

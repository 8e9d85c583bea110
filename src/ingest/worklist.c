/* Items of the modality worklist: objects with rows by which they are found. */
#include <stdio.h>

#include "ingest/ingest_priv.h"

enum {
	ITEM_ARENA_MAX = 4 * 1024 * 1024
};

/* What a modality cannot do without (PS3.4 K.6.1.2.2), as far as it is told apart by it. */
static nx_rc scheduled_check(const struct nx_scheduled *s, struct nx_err *err)
{
	if (!s->patient_id[0])
		return nx_err_set(err, NX_E_INVAL, "no PatientID");
	if (!nx_uid_valid(s->study, strlen(s->study)))
		return nx_err_set(err, NX_E_INVAL, "no StudyInstanceUID, or none that is one");
	if (s->n_steps > NX_LIMIT_WORKLIST_STEPS)
		return nx_err_set(err, NX_E_LIMIT, "more than %u scheduled procedure steps",
			NX_LIMIT_WORKLIST_STEPS);
	return s->n_steps ? NX_OK : nx_err_set(err, NX_E_INVAL, "no scheduled procedure step");
}

static nx_rc item_write(struct nx_ingest_job *job, const struct nx_dataset *ds,
	struct nx_object_opts *opts, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) bytes;
	nx_rc rc;

	nx_buf_init(&bytes, NX_LIMIT_WORKLIST_ITEM, NX_BUF_WIPE);
	rc = nx_dataset_write(
		ds, nx_ts_find(NX_UID_EXPLICIT_VR_LITTLE_ENDIAN), &bytes, NULL, NULL, err);
	opts->size = bytes.len;
	if (!rc)
		rc = object_begin(job, opts, err);
	return rc ? rc : nx_blob_writer_put(job->writer, bytes.data, bytes.len, err);
}

static nx_rc item_put(struct nx_ingest_job *job, const struct nx_worklist_item *item,
	const char *key, struct nx_arena *arena, struct nx_err *err)
{
	const char *issuer = nx_dataset_text(item->dataset, NX_TAG_ISSUER_OF_PATIENT_ID, arena);
	struct nx_object_opts opts = {.key = key, .media_type = "application/dicom"};
	nx_rc rc = nx_scheduled_read(item->dataset, arena, &job->scheduled, err);

	if (!rc && !issuer)
		rc = nx_err_set(err, NX_E_NOMEM, "no memory for a worklist item");
	if (!rc)
		rc = scheduled_check(&job->scheduled, err);
	if (rc)
		return rc;
	opts.patient_id = job->scheduled.patient_id;
	opts.issuer = *issuer ? issuer : NULL;
	job->put.scheduled = &job->scheduled;
	rc = item_write(job, item->dataset, &opts, err);
	return rc ? rc : object_submit(job, err);
}

nx_rc nx_ingest_worklist(
	struct nx_ingest *ingest, const struct nx_worklist_item *item, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ITEM_ARENA_MAX, NX_ARENA_WIPE);
	NX_AUTO(nx_ingest_job) *job = NULL;
	struct nx_ingest_result result;
	char key[NX_LIMIT_OBJECT_KEY + 1];
	int n = snprintf(key, sizeof(key), "%s%s", NX_WORKLIST_PREFIX, item->name);
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a worklist item");
	if (n >= (int)sizeof(key))
		return nx_err_set(err, NX_E_INVAL, "name of %d bytes", n);
	rc = object_key_check(key, err);
	if (!rc)
		rc = job_new(
			ingest, item->who, NX_PERM_STORE, item->collection, "worklist", &job, err);
	if (rc)
		return rc;
	rc = item_put(job, item, key, arena, err);
	(void)job_fail(job, rc, err);
	return rc ? rc : nx_ingest_wait(job, &result, err);
}

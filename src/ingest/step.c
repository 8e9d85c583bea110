/* Performed procedure steps: what modalities say that they do. */
#include "dicom/step.h"

#include <stdio.h>

#include "base/enc.h"
#include "ingest/ingest_priv.h"

enum {
	STEP_ARENA_MAX = 64 * 1024 * 1024,
	TRIES = 16 /* others change the step at the same time */
};

#define TAG_PATIENT_ID NX_TAG(0x0010, 0x0020)
#define TAG_ISSUER     NX_TAG(0x0010, 0x0021)

struct making {
	const struct nx_step_request *rq;
	struct nx_ingest_job *job;
	struct nx_arena *arena; /* outlives the job */
	struct nx_step_fault *fault;
	unsigned action;
	char key[sizeof(NX_STEP_PREFIX) + NX_LIMIT_UID];
	char etag[65]; /* of the step that is changed; "" */
};

static nx_rc request_parse(struct making *m, struct nx_dataset **ret, struct nx_err *err)
{
	return nx_dataset_parse(
		m->rq->dataset, m->rq->ts_uid, NX_LIMIT_PERFORMED_STEP + 1, m->arena, ret, err);
}

/* Who the patient is stays as the creation said. */
static nx_rc patient_name(struct making *m, const struct nx_dataset *ds,
	struct nx_object_opts *opts, struct nx_err *err)
{
	const char *id = nx_dataset_text(ds, TAG_PATIENT_ID, m->arena);
	const char *issuer = nx_dataset_text(ds, TAG_ISSUER, m->arena);

	if (!id || !issuer)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a performed procedure step");
	if (!*id || m->etag[0])
		return NX_OK;
	opts->patient_id = id;
	opts->issuer = *issuer ? issuer : NULL;
	return NX_OK;
}

static nx_rc step_write(struct making *m, const struct nx_dataset *ds, struct nx_err *err)
{
	struct nx_object_opts opts = {.key = m->key,
		.media_type = "application/dicom",
		.if_match = m->etag[0] ? m->etag : NULL,
		.if_none_match_any = !m->etag[0]};
	NX_AUTO_DONE(nx_buf) bytes;
	nx_rc rc;

	nx_buf_init(&bytes, NX_LIMIT_PERFORMED_STEP, NX_BUF_WIPE);
	rc = nx_dataset_write(
		ds, nx_ts_find(NX_UID_EXPLICIT_VR_LITTLE_ENDIAN), &bytes, NULL, NULL, err);
	if (!rc)
		rc = nx_buf_check(&bytes, err);
	if (!rc)
		rc = patient_name(m, ds, &opts, err);
	opts.size = bytes.len;
	if (!rc)
		rc = object_begin(m->job, &opts, err);
	return rc ? rc : nx_blob_writer_put(m->job->writer, bytes.data, bytes.len, err);
}

static nx_rc step_commit(struct making *m, const struct nx_dataset *ds, struct nx_err *err)
{
	struct nx_step step;
	nx_rc rc = nx_step_read(ds, m->arena, &step, err);

	if (!rc)
		rc = step_write(m, ds, err);
	if (rc)
		return rc;
	m->job->step = (struct nx_put_step){.studies = step.studies,
		.n_studies = step.n_studies,
		.ends = step.state != NX_STEP_IN_PROGRESS,
		.of = step.of,
		.n_of = step.n_of,
		.state = step.state};
	m->job->put.step = &m->job->step;
	return object_commit(m->job, m->action, err);
}

static nx_rc step_wait(struct making *m, struct nx_err *err)
{
	struct nx_ingest_result result;
	nx_rc rc = nx_ingest_wait(m->job, &result, err);

	if (rc == NX_E_PRECONDITION && m->etag[0])
		m->job->rc = NX_OK; /* it is tried again, and is no refusal */
	return rc;
}

static nx_rc creation(struct making *m, struct nx_err *err)
{
	struct nx_dataset *given, *ds;
	nx_rc rc = request_parse(m, &given, err);

	if (!rc)
		rc = nx_step_create(given, m->arena, &ds, m->fault, err);
	return rc ? rc : step_commit(m, ds, err);
}

static nx_rc there_read(struct making *m, struct nx_dataset **ret, struct nx_err *err)
{
	struct nx_archive *archive = m->job->ingest->archive;
	uint8_t digest[32];
	struct nx_item item;
	struct nx_slice bytes = {0};
	nx_rc rc = nx_archive_current(archive, err);

	if (!rc)
		rc = nx_cat_object(nx_archive_cat(archive), m->job->collection.id, m->key, m->arena,
			&item, err);
	if (!rc)
		rc = nx_archive_read_item(
			archive, &item, NX_LIMIT_PERFORMED_STEP, m->arena, &bytes, digest, err);
	if (rc)
		return rc;
	nx_hex_format(digest, sizeof(digest), m->etag);
	return nx_dataset_parse(bytes, NX_UID_EXPLICIT_VR_LITTLE_ENDIAN,
		NX_LIMIT_PERFORMED_STEP + 1, m->arena, ret, err);
}

static nx_rc change(struct making *m, struct nx_err *err)
{
	struct nx_dataset *there, *given, *ds;
	nx_rc rc = there_read(m, &there, err);

	if (!rc)
		rc = request_parse(m, &given, err);
	if (!rc)
		rc = nx_step_set(there, given, m->arena, &ds, m->fault, err);
	return rc ? rc : step_commit(m, ds, err);
}

static nx_rc make(struct nx_ingest *ingest, const struct nx_step_request *rq, unsigned action,
	struct nx_step_fault *fault, struct nx_err *err)
{
	const bool creates = action == NX_ACTION_STEP_CREATE;
	NX_AUTO(nx_arena) *arena = nx_arena_new(STEP_ARENA_MAX, NX_ARENA_WIPE);
	NX_AUTO(nx_ingest_job) *job = NULL;
	struct making m = {.rq = rq, .arena = arena, .fault = fault, .action = action};
	nx_rc rc;

	*fault = (struct nx_step_fault){0};
	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a performed procedure step");
	rc = job_new(ingest, rq->who, NX_PERM_WORKLIST, rq->collection,
		creates ? "n-create" : "n-set", &job, err);
	if (rc)
		return rc;
	(void)snprintf(m.key, sizeof(m.key), "%s%s", NX_STEP_PREFIX, rq->uid);
	m.job = job;
	job->refusal = action;
	job->item.name = m.key;
	rc = creates ? creation(&m, err) : change(&m, err);
	(void)job_fail(job, rc, err);
	return rc ? rc : step_wait(&m, err);
}

nx_rc nx_ingest_step_create(struct nx_ingest *ingest, const struct nx_step_request *rq,
	struct nx_step_fault *ret_fault, struct nx_err *err)
{
	nx_rc rc = make(ingest, rq, NX_ACTION_STEP_CREATE, ret_fault, err);

	if (rc != NX_E_PRECONDITION && rc != NX_E_CONFLICT)
		return rc;
	return nx_err_set(err, NX_E_EXISTS, "there is a step with this SOP Instance UID");
}

nx_rc nx_ingest_step_set(struct nx_ingest *ingest, const struct nx_step_request *rq,
	struct nx_step_fault *ret_fault, struct nx_err *err)
{
	nx_rc rc = NX_E_PRECONDITION;

	for (unsigned i = 0; i < TRIES && rc == NX_E_PRECONDITION; i++)
		rc = make(ingest, rq, NX_ACTION_STEP_SET, ret_fault, err);
	return rc;
}

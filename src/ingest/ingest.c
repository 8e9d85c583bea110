#include "ingest/ingest.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/enc.h"
#include "base/json.h"
#include "base/log.h"
#include "ingest/ingest_priv.h"

enum {
	JOB_ARENA_MAX = 4 * 1024 * 1024,
	DETAIL_MAX = 8192
};

struct nx_ingest *nx_ingest_new(struct nx_archive *archive)
{
	struct nx_ingest *ingest = calloc(1, sizeof(*ingest));

	if (!ingest)
		return NULL;
	ingest->archive = archive;
	ingest->quarantine = (struct nx_quarantine_opts){.max_items = NX_LIMIT_QUARANTINE_ITEMS,
		.max_bytes = (uint64_t)NX_LIMIT_QUARANTINE_MIB * NX_MIB};
	(void)pthread_mutex_init(&ingest->lock, NULL);
	return ingest;
}

struct nx_ingest *nx_ingest_free(struct nx_ingest *ingest)
{
	if (!ingest)
		return NULL;
	(void)pthread_mutex_destroy(&ingest->lock);
	free(ingest);
	return NULL;
}

void nx_ingest_set_quarantine(struct nx_ingest *ingest, const struct nx_quarantine_opts *opts)
{
	ingest->quarantine = *opts;
}

void nx_ingest_stats(struct nx_ingest *ingest, struct nx_ingest_stats *ret)
{
	(void)pthread_mutex_lock(&ingest->lock);
	*ret = ingest->stats;
	(void)pthread_mutex_unlock(&ingest->lock);
}

static void count(struct nx_ingest *ingest, nx_rc rc, const struct nx_ingest_result *result)
{
	struct nx_ingest_stats *s = &ingest->stats;
	uint64_t *const counters[] = {
		[NX_INGEST_STORED] = &s->stored,
		[NX_INGEST_DUPLICATE] = &s->duplicates,
		[NX_INGEST_VERSION] = &s->versions,
		[NX_INGEST_QUARANTINED] = &s->quarantined,
	};

	(void)pthread_mutex_lock(&ingest->lock);
	if (rc) {
		s->refused++;
	} else {
		++*counters[result->outcome];
		s->bytes += result->size;
	}
	(void)pthread_mutex_unlock(&ingest->lock);
}

/* ---- the ledger's view of a job ---- */

static void detail_make(
	const struct nx_ingest_job *job, const struct nx_err *why, struct nx_buf *out)
{
	struct nx_json json;

	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "door", job->door);
	nx_json_kv_str(&json, "collection", job->collection.name);
	nx_json_kv_str(&json, "item", job->reason ? job->result.sop_instance : job->item.name);
	if (job->who.peer[0])
		nx_json_kv_str(&json, "peer", job->who.peer);
	if (job->aside.number)
		nx_json_kv_int(&json, "quarantine", job->aside.number);
	if (why) {
		nx_json_kv_str(&json, "code", nx_rc_wire(why->rc));
		nx_json_kv_str(&json, "text", nx_err_text(why));
	}
	nx_json_object_end(&json);
}

static void record_refusal(
	struct nx_ingest *ingest, const struct nx_ingest_job *job, unsigned action)
{
	NX_AUTO_DONE(nx_buf) detail;
	struct nx_entry_draft draft = {
		.action = action, .outcome = NX_OUTCOME_MINOR, .principal = job->who.name};
	struct nx_err err;

	nx_buf_init(&detail, DETAIL_MAX, NX_BUF_WIPE);
	detail_make(job, &job->err, &detail);
	draft.detail = nx_buf_slice(&detail);
	draft.study = job->result.study[0] ? job->result.study : NULL;
	if (nx_archive_record(ingest->archive, &draft, &err))
		nx_log_err(NX_LOG_ERROR, "ingest", "ledger.record", &err);
}

nx_rc job_fail(struct nx_ingest_job *job, nx_rc rc, const struct nx_err *err)
{
	if (!rc || job->rc)
		return rc;
	job->rc = rc;
	if (err)
		job->err = *err;
	job->err.rc = rc;
	return rc;
}

/* ---- life of a job ---- */

static nx_rc access_refused(
	struct nx_ingest *ingest, struct nx_ingest_job *job, nx_rc rc, struct nx_err *err)
{
	job->rc = rc;
	job->err = *err;
	record_refusal(ingest, job, NX_ACTION_ACCESS_DENY);
	job->rc = NX_OK; /* recorded */
	return rc;
}

nx_rc job_keep(struct nx_ingest_job *job, const char *text, const char **ret, struct nx_err *err)
{
	*ret = text ? nx_arena_str(job->arena, text, strlen(text)) : NULL;
	return *ret || !text ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for a condition");
}

nx_rc job_new(struct nx_ingest *ingest, const struct nx_principal *who, enum nx_perm perm,
	const char *collection, const char *door, struct nx_ingest_job **ret, struct nx_err *err)
{
	NX_AUTO(nx_ingest_job) *job = calloc(1, sizeof(*job));
	nx_rc rc;

	if (!job)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a job");
	job->ingest = ingest;
	job->who = *who;
	job->door = door;
	job->refusal = NX_ACTION_INSTANCE_REJECT;
	job->arena = nx_arena_new(JOB_ARENA_MAX, NX_ARENA_WIPE);
	job->change = nx_change_new();
	if (!job->arena || !job->change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a job");
	nx_change_defer(job->change);
	rc = job_keep(job, collection, &job->collection.name, err);
	if (rc)
		return rc;
	rc = nx_access_check(who, perm, collection, err);
	if (rc)
		return access_refused(ingest, job, rc, err);
	rc = nx_cat_collection(
		nx_archive_cat(ingest->archive), collection, job->arena, &job->collection, err);
	if (rc)
		return rc;
	*ret = NX_STEAL(job);
	return NX_OK;
}

struct nx_ingest_job *nx_ingest_job_free(struct nx_ingest_job *job)
{
	struct nx_err err;

	if (!job)
		return NULL;
	if (job->submitted)
		(void)!nx_change_wait(job->change, &err);
	if (job->rc && !job->result.outcome)
		record_refusal(job->ingest, job, job->refusal);
	if (job->rc)
		count(job->ingest, job->rc, &job->result);
	nx_change_free(job->change);
	split_done(&job->split);
	nx_blob_writer_free(job->writer);
	nx_blob_free(job->object_blob);
	nx_arena_free(job->note_arena);
	nx_arena_free(job->arena);
	explicit_bzero(job, sizeof(*job));
	free(job);
	return NULL;
}

/* The sender is in the ledger, not in the file: the same instance from two senders is the same. */
static nx_rc meta_make(const struct nx_ingest_opts *opts, struct nx_buf *meta, struct nx_err *err)
{
	if (!opts->ts_uid)
		return NX_OK;
	return nx_dicom_meta_write(
		opts->sop_class, opts->sop_instance, opts->ts_uid, NULL, meta, err);
}

nx_rc dicom_begin(struct nx_ingest *ingest, const struct nx_ingest_opts *opts, enum nx_perm perm,
	struct nx_ingest_job **ret_job, struct nx_err *err)
{
	NX_AUTO(nx_ingest_job) *job = NULL;
	NX_AUTO_DONE(nx_buf) meta;
	nx_rc rc = job_new(ingest, opts->who, perm, opts->collection, opts->door, &job, err);

	nx_buf_init(&meta, 4096, 0);
	if (!rc)
		rc = meta_make(opts, &meta, err);
	if (!rc)
		rc = split_init(&job->split, ingest, (uint32_t)job->collection.domain, job->arena,
			opts->ts_uid, nx_buf_slice(&meta), err);
	if (!rc)
		rc = job_keep(job, opts->expect_study, &job->expect_study, err);
	if (!rc)
		rc = job_keep(job, opts->sop_instance, &job->sop_instance, err);
	if (!rc)
		rc = job_keep(job, opts->sop_class, &job->sop_class, err);
	if (!rc)
		rc = job_keep(job, opts->ts_uid, &job->ts_uid, err);
	if (!rc)
		rc = job_keep(job, opts->calling_ae, &job->source, err);
	if (rc)
		return rc;
	*ret_job = NX_STEAL(job);
	return NX_OK;
}

nx_rc nx_ingest_begin(struct nx_ingest *ingest, const struct nx_ingest_opts *opts,
	struct nx_ingest_job **ret_job, struct nx_err *err)
{
	return dicom_begin(ingest, opts, NX_PERM_STORE, ret_job, err);
}

void nx_ingest_refuse(struct nx_ingest_job *job, const struct nx_err *why)
{
	(void)job_fail(job, why->rc, why);
}

nx_rc nx_ingest_feed(struct nx_ingest_job *job, const void *p, size_t n, struct nx_err *err)
{
	nx_rc rc;

	if (job->rc) {
		if (err)
			*err = job->err;
		return job->rc;
	}
	if (job->is_object)
		rc = nx_blob_writer_put(job->writer, p, n, err);
	else if (job->spilled)
		rc = split_spill(&job->split, p, n, err);
	else
		rc = split_feed(&job->split, p, n, err);
	if (rc && !job->is_object && !job->spilled)
		rc = aside_parse_failed(job, rc, p, n, err);
	return job_fail(job, rc, err);
}

nx_rc job_commit(struct nx_ingest_job *job, unsigned action, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) detail;
	struct nx_entry_draft draft = {.action = action, .principal = job->who.name};
	nx_rc rc;

	nx_buf_init(&detail, DETAIL_MAX, NX_BUF_WIPE);
	detail_make(job, job->reason ? &job->why : NULL, &detail);
	draft.detail = nx_buf_slice(&detail);
	draft.study = job->put.study ? job->study.uid
		: job->put.step      ? job->put.step->studies[0]
				     : NULL;
	if (job->reason)
		draft.outcome = NX_OUTCOME_MINOR;
	rc = nx_change_put(job->change, &job->put, err);
	if (!rc)
		rc = nx_change_entry(job->change, &draft, &job->put, err);
	if (!rc)
		rc = nx_archive_submit(job->ingest->archive, job->change, err);
	job->submitted = !rc;
	return rc;
}

nx_rc nx_ingest_submit(struct nx_ingest_job *job, struct nx_err *err)
{
	nx_rc rc;

	if (job->rc) {
		if (err)
			*err = job->err;
		return job->rc;
	}
	rc = job->is_object ? object_submit(job, err) : dicom_submit(job, err);
	return job_fail(job, rc, err);
}

static void result_fill(struct nx_ingest_job *job)
{
	static const enum nx_ingest_outcome outcomes[] = {
		[NX_PUT_STORED] = NX_INGEST_STORED,
		[NX_PUT_DUPLICATE] = NX_INGEST_DUPLICATE,
		[NX_PUT_VERSION] = NX_INGEST_VERSION,
		[NX_PUT_REJECTED] = NX_INGEST_STORED, /* not reached: a rejection is an error */
	};

	job->result.outcome = job->reason ? NX_INGEST_QUARANTINED : outcomes[job->put.outcome];
	job->result.subject = job->put.ret_subject;
	job->result.item = job->put.ret_item;
	job->result.version = job->put.ret_version;
	nx_hex_format(job->put.ret_digest, 32, job->result.key_digest);
}

nx_rc nx_ingest_wait(struct nx_ingest_job *job, struct nx_ingest_result *ret, struct nx_err *err)
{
	nx_rc rc = job->rc;

	if (rc) {
		if (err)
			*err = job->err;
		return rc;
	}
	rc = nx_change_wait(job->change, err);
	job->submitted = false;
	if (!rc && job->put.outcome == NX_PUT_REJECTED) { /* the group recorded it */
		count(job->ingest, NX_E_CONFLICT, &job->result);
		return nx_err_set(err, NX_E_CONFLICT, "%s",
			job->put.was_rejected ? "the instance was rejected"
					      : "other bytes are stored under this UID");
	}
	if (rc && job->reason)
		rc = nx_err_prefix(err, rc, "%s", nx_reason_text(job->reason));
	if (rc)
		return job_fail(job, rc, err);
	result_fill(job);
	count(job->ingest, NX_OK, &job->result);
	*ret = job->result;
	return NX_OK;
}

/* An attribute that came before the failure. */
static void uid_peek(const struct nx_ingest_job *job, enum attr a, char ret[NX_LIMIT_UID + 1])
{
	const char *uid = ret[0] ? NULL : attrs_text(&job->split.attrs, a, job->arena);

	if (uid && nx_uid_valid(uid, strlen(uid)))
		(void)snprintf(ret, NX_LIMIT_UID + 1, "%s", uid);
}

void nx_ingest_peek(const struct nx_ingest_job *job, struct nx_ingest_result *ret)
{
	*ret = job->result;
	if (job->is_object)
		return;
	uid_peek(job, A_SOP_CLASS, ret->sop_class);
	uid_peek(job, A_SOP_INSTANCE, ret->sop_instance);
	uid_peek(job, A_STUDY, ret->study);
	uid_peek(job, A_SERIES, ret->series);
}

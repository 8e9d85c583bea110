#include "mock_ingest.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/step.h"

struct nx_ingest {
	struct mock_ingest mock;
};

struct nx_ingest_job {
	struct mock_ingest *mock;
	uint64_t bytes;
	uint64_t hash;
	bool submitted;
	bool waited;
};

struct nx_ingest *mock_ingest(struct mock_ingest *mock)
{
	return (struct nx_ingest *)mock;
}

static void remember(struct mock_ingest *mock, const struct nx_ingest_opts *opts)
{
	(void)snprintf(mock->last_ts, sizeof(mock->last_ts), "%s", opts->ts_uid);
	(void)snprintf(mock->last_sop_class, sizeof(mock->last_sop_class), "%s", opts->sop_class);
	(void)snprintf(
		mock->last_sop_instance, sizeof(mock->last_sop_instance), "%s", opts->sop_instance);
	(void)snprintf(
		mock->last_collection, sizeof(mock->last_collection), "%s", opts->collection);
}

nx_rc nx_ingest_begin(struct nx_ingest *ingest, const struct nx_ingest_opts *opts,
	struct nx_ingest_job **ret_job, struct nx_err *err)
{
	struct mock_ingest *mock = &ingest->mock;
	struct nx_ingest_job *job;

	mock->begun++;
	if (mock->fail_begin)
		return nx_err_set(err, mock->fail_begin, "begin fails");
	job = calloc(1, sizeof(*job));
	assert(job);
	job->mock = mock;
	job->hash = 0xcbf29ce484222325u;
	mock->live++;
	if (!mock->last_off)
		remember(mock, opts);
	*ret_job = job;
	return NX_OK;
}

nx_rc nx_ingest_feed(struct nx_ingest_job *job, const void *p, size_t n, struct nx_err *err)
{
	const uint8_t *b = p;

	assert(!job->submitted && n > 0);
	job->bytes += n;
	for (size_t i = 0; !job->mock->hash_off && i < n; i++)
		job->hash = (job->hash ^ b[i]) * 0x100000001b3u;
	if (job->mock->fail_feed && job->bytes >= job->mock->fail_feed_after)
		return nx_err_set(err, job->mock->fail_feed, "feed fails at offset %llu",
			(unsigned long long)job->bytes);
	return NX_OK;
}

nx_rc nx_ingest_submit(struct nx_ingest_job *job, struct nx_err *err)
{
	struct mock_ingest *mock = job->mock;
	unsigned now = ++mock->waiting;

	(void)err;
	assert(!job->submitted);
	job->submitted = true;
	if (now > mock->waiting_max)
		mock->waiting_max = now;
	return NX_OK;
}

nx_rc nx_ingest_wait(struct nx_ingest_job *job, struct nx_ingest_result *ret, struct nx_err *err)
{
	struct mock_ingest *mock = job->mock;

	assert(job->submitted && !job->waited);
	job->waited = true;
	mock->waiting--;
	if (mock->fail_wait)
		return nx_err_set(err, mock->fail_wait, "commit fails");
	mock->stored++;
	mock->bytes += job->bytes;
	mock->hash += job->hash;
	*ret = (struct nx_ingest_result){
		.outcome = mock->outcome ? mock->outcome : NX_INGEST_STORED,
		.quarantine = 7,
		.reason = NX_REASON_OTHER_CLASS,
		.note = "quarantine 7: other-class"};
	return NX_OK;
}

unsigned nx_reason_dimse(int64_t reason)
{
	return reason == NX_REASON_OTHER_CLASS ? 0xA900 : 0xC000;
}

struct nx_ingest_job *nx_ingest_job_free(struct nx_ingest_job *job)
{
	if (!job)
		return NULL;
	if (job->submitted && !job->waited)
		job->mock->waiting--;
	job->mock->live--;
	free(job);
	return NULL;
}

static nx_rc step_take(struct mock_ingest *mock, const struct nx_step_request *rq,
	struct nx_step_fault *ret_fault, struct nx_err *err)
{
	*ret_fault = (struct nx_step_fault){mock->fault, mock->fault ? NX_TAG_PATIENT_ID : 0};
	(void)snprintf(mock->last_sop_instance, sizeof(mock->last_sop_instance), "%s", rq->uid);
	(void)snprintf(mock->last_collection, sizeof(mock->last_collection), "%s", rq->collection);
	mock->step_bytes = rq->dataset.n;
	return mock->fail_step ? nx_err_set(err, mock->fail_step, "step fails") : NX_OK;
}

nx_rc nx_ingest_step_create(struct nx_ingest *ingest, const struct nx_step_request *rq,
	struct nx_step_fault *ret_fault, struct nx_err *err)
{
	ingest->mock.created++;
	return step_take(&ingest->mock, rq, ret_fault, err);
}

nx_rc nx_ingest_step_set(struct nx_ingest *ingest, const struct nx_step_request *rq,
	struct nx_step_fault *ret_fault, struct nx_err *err)
{
	ingest->mock.changed++;
	return step_take(&ingest->mock, rq, ret_fault, err);
}

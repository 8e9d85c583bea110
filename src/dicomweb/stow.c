/*
 * STOW-RS (PS3.18 10.5).  Every part is an ingest job that is fed as it arrives and submitted at
 * its end; answers are waited for when the window is full and at the end, so that one commit takes
 * many.  The response is DICOM JSON whatever Accept says: an instance that was stored is not
 * refused for the form of its receipt.
 */
#include <string.h>

#include "dicomweb/stow_priv.h"

enum {
	RESPONSE_MAX = 512 * 1024 * 1024
};

/* ---- the window ---- */

static void oldest_finish(struct store *s)
{
	struct nx_ingest_job *job = s->window[s->first];
	struct nx_ingest_result result = {0};
	struct nx_err err = {0};
	nx_rc rc = nx_ingest_wait(job, &result, &err);

	if (rc) {
		nx_ingest_peek(job, &result);
		dw_report_failed(&s->report, &result, rc, s->opts.expect_study);
	} else if (result.outcome == NX_INGEST_QUARANTINED) {
		dw_report_quarantined(&s->report, &result);
	} else {
		dw_report_stored(&s->report, s->call.base_url, &result);
	}
	nx_ingest_job_free(job);
	s->first = (s->first + 1) % STOW_WINDOW;
	s->n--;
}

void stow_submitted(struct store *s, struct nx_ingest_job *job)
{
	if (s->n == STOW_WINDOW)
		oldest_finish(s);
	s->window[(s->first + s->n) % STOW_WINDOW] = job;
	s->n++;
}

static void window_finish(struct store *s)
{
	while (s->n)
		oldest_finish(s);
}

/* ---- one instance ---- */

nx_rc stow_begin(struct store *s, struct nx_ingest_job **ret_job, struct nx_err *err)
{
	if (s->n_parts++ == STOW_PARTS)
		return nx_err_set(
			err, NX_E_LIMIT, "more than %d instances in a request", STOW_PARTS);
	return nx_ingest_begin(s->call.mount->ingest, &s->opts, ret_job, err);
}

bool stow_is_over(nx_rc rc)
{
	return rc == NX_E_DENIED || rc == NX_E_NOENT || rc == NX_E_LIMIT;
}

static nx_rc instance_begin(struct store *s, struct nx_err *err)
{
	s->in_part = true;
	s->now = NULL;
	s->now_rc = stow_begin(s, &s->now, err);
	return stow_is_over(s->now_rc) ? s->now_rc : NX_OK;
}

void stow_failed(struct store *s, struct nx_ingest_job *job, nx_rc rc)
{
	struct nx_ingest_result known = {0};

	if (job)
		nx_ingest_peek(job, &known);
	dw_report_failed(&s->report, &known, rc, s->opts.expect_study);
	nx_ingest_job_free(job);
}

static void instance_fail(struct store *s, nx_rc rc)
{
	stow_failed(s, NX_STEAL(s->now), rc);
	s->in_part = false;
}

static void instance_feed(struct store *s, struct nx_slice data)
{
	if (s->now && !s->now_rc)
		s->now_rc = nx_ingest_feed(s->now, data.p, data.n, NULL);
}

static void instance_end(struct store *s)
{
	if (!s->now_rc)
		s->now_rc = nx_ingest_submit(s->now, NULL);
	if (s->now_rc) {
		instance_fail(s, s->now_rc);
		return;
	}
	stow_submitted(s, NX_STEAL(s->now));
	s->in_part = false;
}

/* ---- the body ---- */

static nx_rc part_begin(
	void *payload, const char *content_type, const char *content_location, struct nx_err *err)
{
	struct store *s = payload;

	if (!content_type || dw_media_is(content_type, "application/dicom"))
		return instance_begin(s, err);
	if (stow_model_takes(s, content_type))
		return stow_model_part(s, content_type, content_location, err);
	s->in_part = true;
	s->now = NULL;
	s->now_rc = NX_E_UNSUPPORTED;
	return NX_OK;
}

static nx_rc part_data(void *payload, struct nx_slice data, struct nx_err *err)
{
	struct store *s = payload;

	if (!s->in_part)
		return stow_model_data(s, data, err);
	instance_feed(s, data);
	return NX_OK;
}

static nx_rc part_end(void *payload, struct nx_err *err)
{
	struct store *s = payload;

	if (!s->in_part)
		return stow_model_part_end(s, err);
	instance_end(s);
	return NX_OK;
}

static nx_rc body_multipart(struct store *s, const char *content_type, struct nx_err *err)
{
	static const struct nx_multipart_cb cb = {part_begin, part_data, part_end};
	NX_AUTO(nx_multipart) *mp = NULL;
	struct nx_slice data;
	nx_rc rc = nx_multipart_new(content_type, &cb, s, &mp, err);

	while (!rc) {
		rc = nx_http_body_next(s->call.req, &data, err);
		if (rc || !data.n)
			break;
		rc = nx_multipart_feed(mp, data.p, data.n, err);
	}
	if (!rc)
		rc = nx_multipart_finish(mp, err);
	return rc ? rc : stow_model_finish(s, err);
}

/* One part by itself (PS3.18 8.6.1.1). */
static nx_rc body_single(struct store *s, const char *content_type, struct nx_err *err)
{
	struct nx_slice data = {NULL, 1};
	nx_rc rc = part_begin(s, content_type, NULL, err);

	while (!rc && data.n) {
		rc = nx_http_body_next(s->call.req, &data, err);
		if (!rc && data.n)
			rc = part_data(s, data, err);
	}
	if (!rc)
		rc = part_end(s, err);
	return rc ? rc : stow_model_finish(s, err);
}

static nx_rc body_read(struct store *s, struct nx_err *err)
{
	const char *content_type = nx_http_header(s->call.req, "Content-Type");

	if (content_type &&
		(dw_media_is(content_type, "application/dicom") || stow_is_model(content_type)))
		return body_single(s, content_type, err);
	return body_multipart(s, content_type, err);
}

/* ---- the response ---- */

static nx_rc reply(struct store *s, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) out;
	struct nx_json json;
	nx_rc rc;

	nx_buf_init(&out, RESPONSE_MAX, NX_BUF_WIPE);
	nx_json_init(&json, &out);
	dw_report_format(&s->report, s->call.base_url, &json);
	rc = nx_buf_check(&out, err);
	if (rc)
		return rc;
	return nx_http_reply(
		s->call.req, dw_report_status(&s->report), DW_DICOM_JSON, nx_buf_slice(&out));
}

/* What broke off is itself one failure beside what was stored before. */
static nx_rc finish(struct store *s, nx_rc rc, struct nx_err *err)
{
	if (rc && s->in_part)
		instance_fail(s, rc);
	else if (rc)
		stow_failed(s, NULL, rc);
	stow_model_fail(s, rc);
	window_finish(s);
	if (rc && !s->report.n_stored)
		return rc;
	if (!s->report.n_stored && !s->report.n_failed)
		return nx_err_set(err, NX_E_MALFORMED, "no instance in the request");
	return reply(s, err);
}

static nx_rc store_all(struct store *s, struct nx_err *err)
{
	struct nx_selection sel;
	nx_rc rc = dw_selection(&s->call, &sel, err);

	if (rc)
		return rc;
	s->opts = (struct nx_ingest_opts){
		.who = s->call.who,
		.collection = s->call.collection,
		.door = "stow-rs",
		.expect_study = sel.study,
	};
	dw_report_init(&s->report);
	rc = finish(s, body_read(s, err), err);
	stow_model_done(s);
	dw_report_done(&s->report);
	return rc;
}

nx_rc dw_store(struct nx_http_req *req, struct nx_err *err)
{
	struct store s = {.first = 0};
	nx_rc rc = dw_call_init(req, &s.call, err);

	return rc ? rc : store_all(&s, err);
}

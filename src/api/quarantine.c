#include "ingest/quarantine.h"

#include <stdio.h>

#include "api/stream.h"

static nx_rc find_take(struct nx_http_req *req, struct nx_quarantine_find *find, struct nx_err *err)
{
	const char *reason = nx_http_query(req, "reason");
	uint64_t after = 0, limit = 0;
	nx_rc rc = api_query_number(req, "after", 0, &after, err);

	if (!rc)
		rc = api_query_number(req, "limit", 0, &limit, err);
	*find = (struct nx_quarantine_find){.collection = nx_http_query(req, "collection"),
		.reason = reason ? nx_reason_parse(reason) : 0,
		.after = after < INT64_MAX ? (int64_t)after : INT64_MAX,
		.limit = limit < UINT32_MAX ? (unsigned)limit : 0};
	if (!rc && reason && !find->reason)
		rc = nx_err_set(err, NX_E_INVAL, "no such reason");
	return rc;
}

nx_rc api_quarantine_list(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_quarantine_find find;
	nx_rc rc = find_take(req, &find, err);

	api_reply_init(&buf);
	if (!rc)
		rc = nx_quarantine_list(api_of(req)->ingest, api_who_of(req), &find, &buf, err);
	return api_reply_rc(req, rc, &buf, err);
}

nx_rc api_quarantine_show(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	int64_t number = 0;
	nx_rc rc = api_param_number(req, "number", &number, err);

	api_reply_init(&buf);
	if (!rc)
		rc = nx_quarantine_show(api_of(req)->ingest, api_who_of(req), number, &buf, err);
	return api_reply_rc(req, rc, &buf, err);
}

static nx_rc kept_read(
	void *source, uint64_t off, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	return nx_kept_read(source, off, p, n, ret_n, err);
}

static void kept_close(void *source)
{
	nx_kept_free(source);
}

nx_rc api_quarantine_get(struct nx_http_req *req, struct nx_err *err)
{
	struct api_item item = {
		.read = kept_read, .close = kept_close, .media_type = "application/octet-stream"};
	struct nx_kept *kept = NULL;
	int64_t number = 0;
	nx_rc rc = api_param_number(req, "number", &number, err);

	if (!rc)
		rc = nx_quarantine_open(api_of(req)->ingest, api_who_of(req), number, &kept, err);
	if (rc)
		return rc;
	item.source = kept;
	item.size = nx_kept_size(kept);
	item.modified_us = nx_kept_time_us(kept);
	nx_kept_etag(kept, item.etag);
	return api_reply_item(req, &item, err);
}

nx_rc api_quarantine_retry(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_ingest_result result;
	int64_t number = 0;
	nx_rc rc = api_param_number(req, "number", &number, err);

	if (!rc)
		rc = nx_quarantine_retry(
			api_of(req)->ingest, api_who_of(req), number, &result, err);
	return rc ? rc : api_reply_ingest(req, &result, err);
}

nx_rc api_quarantine_discard(struct nx_http_req *req, struct nx_err *err)
{
	int64_t number = 0;
	nx_rc rc = api_param_number(req, "number", &number, err);

	if (!rc)
		rc = nx_quarantine_discard(api_of(req)->ingest, api_who_of(req), number, err);
	return rc ? rc : api_reply_empty(req, 204);
}

#include "api/stream.h"
#include "catalog/catalog.h"
#include "ingest/ingest.h"
#include "retrieve/retrieve.h"

static const char *outcome_name(enum nx_ingest_outcome outcome)
{
	switch (outcome) {
	case NX_INGEST_STORED:
		return "stored";
	case NX_INGEST_DUPLICATE:
		return "duplicate";
	case NX_INGEST_VERSION:
		return "version";
	case NX_INGEST_QUARANTINED:
		return "quarantined";
	}
	return "unknown";
}

static nx_rc import_reply(
	struct nx_http_req *req, const struct nx_ingest_result *r, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_json json;

	api_reply_init(&buf);
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "outcome", outcome_name(r->outcome));
	nx_json_kv_str(&json, "sop_class", r->sop_class);
	nx_json_kv_str(&json, "study", r->study);
	nx_json_kv_str(&json, "series", r->series);
	nx_json_kv_str(&json, "instance", r->sop_instance);
	nx_json_kv_uint(&json, "size", r->size);
	nx_json_kv_int(&json, "version", r->version);
	nx_json_object_end(&json);
	return api_reply_json(req, r->outcome == NX_INGEST_STORED ? 201 : 200, &buf, err);
}

nx_rc api_instances_import(struct nx_http_req *req, struct nx_err *err)
{
	const struct nx_ingest_opts opts = {.who = api_who_of(req),
		.collection = nx_http_param(req, "collection"),
		.door = "import"};
	NX_AUTO(nx_ingest_job) *job = NULL;
	struct nx_ingest_result result;
	nx_rc rc = nx_ingest_begin(api_of(req)->ingest, &opts, &job, err);

	if (!rc)
		rc = api_body_feed(req, job, err);
	if (!rc)
		rc = nx_ingest_submit(job, err);
	if (!rc)
		rc = nx_ingest_wait(job, &result, err);
	return rc ? rc : import_reply(req, &result, err);
}

static nx_rc item_read(
	void *source, uint64_t off, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	return nx_instances_read(source, off, p, n, ret_n, err);
}

static void item_close(void *source)
{
	nx_instances_free(source);
}

nx_rc api_instance_get(struct nx_http_req *req, struct nx_err *err)
{
	const struct nx_selection sel = {.collection = nx_http_param(req, "collection"),
		.study = nx_http_param(req, "study"),
		.series = nx_http_param(req, "series"),
		.instance = nx_http_param(req, "instance")};
	struct api_item item = {
		.read = item_read, .close = item_close, .media_type = "application/dicom"};
	struct nx_instances *instances = NULL;
	const struct nx_item *row;
	nx_rc rc = nx_retrieve_open(api_of(req)->retrieve, api_who_of(req), &sel, &instances, err);

	if (!rc)
		rc = nx_instances_at(instances, 0, &row, err);
	if (rc) {
		nx_instances_free(instances);
		return rc;
	}
	item.source = instances;
	item.size = (uint64_t)row->size;
	item.modified_us = row->received_us;
	nx_instances_etag(instances, item.etag);
	return api_reply_item(req, &item, err);
}

#include "api/stream.h"
#include "catalog/catalog.h"
#include "ingest/ingest.h"
#include "retrieve/retrieve.h"

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
	return rc ? rc : api_reply_ingest(req, &result, err);
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
	const struct nx_item *row = NULL;
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

#include <stdio.h>
#include <string.h>

#include "api/stream.h"
#include "catalog/catalog.h"
#include "ingest/ingest.h"
#include "retrieve/retrieve.h"

nx_rc api_objects_list(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	const char *prefix = nx_http_query(req, "prefix");
	uint64_t limit = 0;
	nx_rc rc = api_query_number(req, "limit", 0, &limit, err);

	api_reply_init(&buf);
	if (!rc)
		rc = nx_retrieve_object_list(api_of(req)->retrieve, api_who_of(req),
			nx_http_param(req, "collection"),
			&(struct nx_object_page){.prefix = prefix ? prefix : "",
				.after = nx_http_query(req, "after"),
				.limit = limit < UINT32_MAX ? (unsigned)limit : 0},
			&buf, err);
	return api_reply_rc(req, rc, &buf, err);
}

static nx_rc item_read(
	void *source, uint64_t off, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	return nx_object_read(source, off, p, n, ret_n, err);
}

static void item_close(void *source)
{
	nx_object_free(source);
}

nx_rc api_object_get(struct nx_http_req *req, struct nx_err *err)
{
	struct api_item item = {.read = item_read, .close = item_close};
	bool body = strcmp(nx_http_method(req), "HEAD") != 0;
	struct nx_object *object = NULL;
	nx_rc rc = nx_retrieve_object(api_of(req)->retrieve, api_who_of(req),
		nx_http_param(req, "collection"), nx_http_param(req, "key"), body, &object, err);

	if (rc)
		return rc;
	item.source = object;
	item.media_type = nx_object_item(object)->type;
	item.size = (uint64_t)nx_object_item(object)->size;
	item.modified_us = nx_object_item(object)->received_us;
	nx_object_etag(object, item.etag);
	return api_reply_item(req, &item, err);
}

/* The one strong ETag of If-Match, without quotes, or "*": compared with what is there. */
static nx_rc if_match_take(
	const char *text, char ret[72], const char **ret_match, struct nx_err *err)
{
	size_t n = text ? strlen(text) : 0;

	*ret_match = text && strcmp(text, "*") == 0 ? "*" : NULL;
	if (!text || *ret_match)
		return NX_OK;
	if (n < 2 || n >= 72 || text[0] != '"' || text[n - 1] != '"')
		return nx_err_set(err, NX_E_INVAL, "If-Match is not one strong ETag");
	memcpy(ret, text + 1, n - 2);
	ret[n - 2] = '\0';
	*ret_match = ret;
	return NX_OK;
}

static nx_rc put_opts(
	struct nx_http_req *req, struct nx_object_opts *opts, char match[72], struct nx_err *err)
{
	const char *none = nx_http_header(req, "If-None-Match");
	const char *type = nx_http_header(req, "Content-Type");

	*opts = (struct nx_object_opts){.who = api_who_of(req),
		.collection = nx_http_param(req, "collection"),
		.key = nx_http_param(req, "key"),
		.media_type = type ? type : "",
		.patient_id = nx_http_query(req, "patient"),
		.issuer = nx_http_query(req, "issuer"),
		.size = nx_http_body_length(req),
		.if_none_match_any = none && strcmp(none, "*") == 0};
	if (none && !opts->if_none_match_any)
		return nx_err_set(err, NX_E_INVAL, "If-None-Match is not \"*\"");
	return if_match_take(nx_http_header(req, "If-Match"), match, &opts->if_match, err);
}

static nx_rc put_reply(
	struct nx_http_req *req, const struct nx_ingest_result *result, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_json json;
	char etag[72];

	api_reply_init(&buf);
	(void)snprintf(etag, sizeof(etag), "\"%s\"", result->key_digest);
	nx_http_set_header(req, "ETag", etag);
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "etag", etag);
	nx_json_kv_uint(&json, "size", result->size);
	nx_json_kv_int(&json, "version", result->version);
	if (result->subject)
		nx_json_kv_id(&json, "subject", result->subject);
	nx_json_object_end(&json);
	return api_reply_json(req, result->outcome == NX_INGEST_STORED ? 201 : 200, &buf, err);
}

nx_rc api_object_put(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO(nx_ingest_job) *job = NULL;
	struct nx_ingest_result result;
	struct nx_object_opts opts;
	char match[72];
	nx_rc rc = put_opts(req, &opts, match, err);

	if (!rc)
		rc = nx_ingest_object(api_of(req)->ingest, &opts, &job, err);
	if (!rc)
		rc = api_body_feed(req, job, err);
	if (!rc)
		rc = nx_ingest_submit(job, err);
	if (!rc)
		rc = nx_ingest_wait(job, &result, err);
	return rc ? rc : put_reply(req, &result, err);
}

nx_rc api_object_delete(struct nx_http_req *req, struct nx_err *err)
{
	const char *if_match;
	char match[72];
	nx_rc rc = if_match_take(nx_http_header(req, "If-Match"), match, &if_match, err);

	if (!rc)
		rc = nx_retrieve_object_delete(api_of(req)->retrieve, api_who_of(req),
			nx_http_param(req, "collection"), nx_http_param(req, "key"), if_match, err);

	return rc ? rc : api_reply_empty(req, 204);
}

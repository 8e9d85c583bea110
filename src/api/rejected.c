#include "api/stream.h"
#include "catalog/catalog.h"
#include "ingest/reject.h"
#include "retrieve/retrieve.h"

nx_rc api_rejected_list(struct nx_http_req *req, struct nx_err *err)
{
	return api_reply_page(req, nx_http_param(req, "collection"), nx_retrieve_rejected, err);
}

nx_rc api_rejected_get(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_object *object = NULL;
	int64_t number = 0;
	nx_rc rc = api_param_number(req, "number", &number, err);

	if (!rc)
		rc = nx_retrieve_rejected_open(api_of(req)->retrieve, api_who_of(req),
			nx_http_param(req, "collection"), number, &object, err);
	return rc ? rc : api_reply_instance(req, object, err);
}

static nx_rc selection_take(
	const json_t *body, struct nx_selection *sel, const char **ret_reason, struct nx_err *err)
{
	nx_rc rc = api_member_text(body, "study", true, &sel->study, err);

	if (!rc)
		rc = api_member_text(body, "series", false, &sel->series, err);
	if (!rc)
		rc = api_member_text(body, "instance", false, &sel->instance, err);
	if (!rc)
		rc = api_member_text(body, "reason", true, ret_reason, err);
	if (!rc && sel->instance && !sel->series)
		rc = nx_err_set(err, NX_E_INVAL, "an instance is named by study and series");
	return rc;
}

static nx_rc reject(struct nx_http_req *req, const struct nx_selection *sel, const char *word,
	struct nx_err *err)
{
	const struct nx_reject_request request = {.who = api_who_of(req),
		.collection = sel->collection,
		.study = sel->study,
		.series = sel->series,
		.instance = sel->instance,
		.reason = nx_rejection_parse(word)};
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_ingest_result note;
	struct nx_json json;
	uint64_t n = 0;
	nx_rc rc = request.reason
		? nx_reject(api_of(req)->ingest, &request, &note, &n, err)
		: nx_err_set(err, NX_E_INVAL,
			  "reason is none of quality, safety, worklist, retention");

	if (rc)
		return rc;
	api_reply_init(&buf);
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	nx_json_kv_uint(&json, "rejected", n);
	nx_json_kv_str(&json, "note", note.sop_instance);
	nx_json_kv_str(&json, "series", note.series);
	nx_json_object_end(&json);
	return api_reply_json(req, 201, &buf, err);
}

/* {"study","series","instance","reason"} */
nx_rc api_rejected_create(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_selection sel = {.collection = nx_http_param(req, "collection")};
	const char *word = NULL;
	json_t *body = NULL;
	nx_rc rc = api_body_json(req, &body, err);

	if (!rc)
		rc = selection_take(body, &sel, &word, err);
	if (!rc)
		rc = reject(req, &sel, word, err);
	json_decref(body);
	return rc;
}

/* {"study","series","instance","reason"} */
nx_rc api_rejected_restore(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_selection sel = {.collection = nx_http_param(req, "collection")};
	NX_AUTO_DONE(nx_buf) buf = {0};
	const char *reason = NULL;
	struct nx_json json;
	json_t *body = NULL;
	uint64_t n = 0;
	nx_rc rc = api_body_json(req, &body, err);

	api_reply_init(&buf);
	if (!rc)
		rc = selection_take(body, &sel, &reason, err);
	if (!rc)
		rc = nx_retrieve_restore(
			api_of(req)->retrieve, api_who_of(req), &sel, reason, &n, err);
	json_decref(body);
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	nx_json_kv_uint(&json, "restored", n);
	nx_json_object_end(&json);
	return api_reply_rc(req, rc, &buf, err);
}

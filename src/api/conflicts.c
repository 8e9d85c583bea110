#include "api/stream.h"
#include "catalog/catalog.h"
#include "retrieve/retrieve.h"

nx_rc api_conflicts_list(struct nx_http_req *req, struct nx_err *err)
{
	return api_reply_page(req, nx_http_query(req, "collection"), nx_retrieve_conflicts, err);
}

nx_rc api_conflict_show(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	int64_t number = 0;
	nx_rc rc = api_param_number(req, "number", &number, err);

	api_reply_init(&buf);
	if (!rc)
		rc = nx_retrieve_conflict(
			api_of(req)->retrieve, api_who_of(req), number, &buf, err);
	return api_reply_rc(req, rc, &buf, err);
}

nx_rc api_conflict_get(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_object *object = NULL;
	int64_t number = 0, version = 0;
	nx_rc rc = api_param_number(req, "number", &number, err);

	if (!rc)
		rc = api_param_number(req, "version", &version, err);
	if (!rc)
		rc = nx_retrieve_conflict_version(
			api_of(req)->retrieve, api_who_of(req), number, version, &object, err);
	return rc ? rc : api_reply_instance(req, object, err);
}

nx_rc api_conflict_settle(struct nx_http_req *req, struct nx_err *err)
{
	const char *reason = NULL;
	int64_t number = 0, keep;
	json_t *body = NULL;
	nx_rc rc = api_param_number(req, "number", &number, err);

	if (!rc)
		rc = api_body_json(req, &body, err);
	if (!rc)
		rc = api_member_text(body, "reason", true, &reason, err);
	keep = json_integer_value(json_object_get(body, "keep"));
	if (!rc && (keep < 0 || (!keep && json_object_get(body, "keep"))))
		rc = nx_err_set(err, NX_E_INVAL, "keep is no number of a version");
	if (!rc)
		rc = nx_retrieve_conflict_settle(
			api_of(req)->retrieve, api_who_of(req), number, keep, reason, err);
	json_decref(body);
	return rc ? rc : api_reply_empty(req, 204);
}

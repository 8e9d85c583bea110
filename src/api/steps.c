#include "lifecycle/steps.h"

#include "api/api_priv.h"

nx_rc api_steps_list(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_steps_ask ask = {.collection = nx_http_param(req, "collection"),
		.after = nx_http_query(req, "after")};
	uint64_t limit = 0;
	nx_rc rc = api_query_number(req, "limit", 0, &limit, err);

	api_reply_init(&buf);
	ask.limit = limit < UINT32_MAX ? (unsigned)limit : 0;
	if (!rc)
		rc = nx_steps_list(api_of(req)->archive, api_who_of(req), &ask, &buf, err);
	return api_reply_rc(req, rc, &buf, err);
}

nx_rc api_step_show(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	nx_rc rc;

	api_reply_init(&buf);
	rc = nx_steps_show(api_of(req)->archive, api_who_of(req), nx_http_param(req, "collection"),
		nx_http_param(req, "uid"), &buf, err);
	return api_reply_rc(req, rc, &buf, err);
}

nx_rc api_study_completeness(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	nx_rc rc;

	api_reply_init(&buf);
	rc = nx_study_completeness(api_of(req)->archive, api_who_of(req),
		nx_http_param(req, "collection"), nx_http_param(req, "study"), &buf, err);
	return api_reply_rc(req, rc, &buf, err);
}

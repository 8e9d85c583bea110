#include "api/stream.h"
#include "retrieve/retrieve.h"

static struct nx_selection selection_of(const struct nx_http_req *req)
{
	return (struct nx_selection){.collection = nx_http_param(req, "collection"),
		.study = nx_http_param(req, "study"),
		.series = nx_http_param(req, "series"),
		.instance = nx_http_param(req, "instance")};
}

nx_rc api_versions_list(struct nx_http_req *req, struct nx_err *err)
{
	const struct nx_selection sel = selection_of(req);
	NX_AUTO_DONE(nx_buf) buf = {0};
	nx_rc rc;

	api_reply_init(&buf);
	rc = nx_retrieve_versions(api_of(req)->retrieve, api_who_of(req), &sel, &buf, err);
	return api_reply_rc(req, rc, &buf, err);
}

nx_rc api_version_get(struct nx_http_req *req, struct nx_err *err)
{
	const struct nx_selection sel = selection_of(req);
	struct nx_object *object = NULL;
	int64_t version = 0;
	nx_rc rc = api_param_number(req, "version", &version, err);

	if (!rc)
		rc = nx_retrieve_version(
			api_of(req)->retrieve, api_who_of(req), &sel, version, &object, err);
	return rc ? rc : api_reply_instance(req, object, err);
}

/*
 * DELETE of a study, a series or an instance.  No part of PS3.18 has it; archives agree on the
 * paths of Retrieve, and on 204.
 */
#include "dicomweb/dicomweb_priv.h"

static nx_rc remove_all(struct nx_http_req *req, enum nx_query_level level, struct nx_err *err)
{
	struct nx_selection sel;
	struct dw_call call;
	nx_rc rc = dw_call_init(req, &call, err);

	if (!rc)
		rc = dw_selection(&call, level, &sel, err);
	if (!rc)
		rc = nx_retrieve_delete(call.mount->retrieve, call.who, &sel, err);
	return rc ? rc : nx_http_reply(req, 204, NULL, nx_slice(NULL, 0));
}

nx_rc dw_delete_study(struct nx_http_req *req, struct nx_err *err)
{
	return remove_all(req, NX_LEVEL_STUDY, err);
}

nx_rc dw_delete_series(struct nx_http_req *req, struct nx_err *err)
{
	return remove_all(req, NX_LEVEL_SERIES, err);
}

nx_rc dw_delete_instance(struct nx_http_req *req, struct nx_err *err)
{
	return remove_all(req, NX_LEVEL_INSTANCE, err);
}

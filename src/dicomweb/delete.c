/*
 * DELETE of a study, a series or an instance.  No part of PS3.18 has it; archives agree on the
 * paths of Retrieve, and on 204.
 */
#include "dicomweb/dicomweb_priv.h"

nx_rc dw_delete(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_selection sel;
	struct dw_call call;
	nx_rc rc = dw_call_init(req, &call, err);

	if (!rc)
		rc = dw_selection(&call, &sel, err);
	if (!rc)
		rc = nx_retrieve_delete(call.mount->retrieve, call.who, &sel, err);
	return rc ? rc : nx_http_reply(req, 204, NULL, nx_slice(NULL, 0));
}

#include "api/api_priv.h"
#include "lifecycle/works.h"
#include "report/report.h"

nx_rc api_status_get(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};

	api_reply_init(&buf);
	return api_reply_rc(
		req, nx_report_status(api_of(req)->report, api_who_of(req), &buf, err), &buf, err);
}

nx_rc api_works_list(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};

	api_reply_init(&buf);
	return api_reply_rc(req, nx_works_json(api_of(req)->works, &buf, err), &buf, err);
}

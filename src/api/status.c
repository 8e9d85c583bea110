#include "api/api_priv.h"
#include "report/report.h"

nx_rc status_get(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};

	reply_init(&buf);
	return reply_rc(
		req, nx_report_status(api_of(req)->report, who_of(req), &buf, err), &buf, err);
}

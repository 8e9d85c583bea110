#include <string.h>

#include "api/api_priv.h"
#include "report/report.h"

nx_rc api_ledger_checkpoint(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};

	api_reply_init(&buf);
	return api_reply_rc(req,
		nx_report_checkpoint(api_of(req)->report, api_who_of(req), &buf, err), &buf, err);
}

static nx_rc filter_take(struct nx_http_req *req, struct nx_ledger_filter *f, struct nx_err *err)
{
	const char *subject = nx_http_query(req, "subject");
	uint64_t limit = 0, last = 0;
	nx_rc rc = api_query_time(req, "from", &f->from_us, err);

	if (!rc)
		rc = api_query_time(req, "to", &f->to_us, err);
	if (!rc)
		rc = api_query_number(req, "after", UINT64_MAX, &f->after, err);
	if (!rc)
		rc = api_query_number(req, "limit", 0, &limit, err);
	if (!rc)
		rc = api_query_number(req, "last", 0, &last, err);
	f->subject = 0;
	if (!rc && subject)
		rc = api_subject_parse(subject, &f->subject, err);
	f->newest = last;
	if (last)
		limit = last;
	f->limit = limit < UINT32_MAX ? (unsigned)limit : 0;
	f->action = nx_http_query(req, "action");
	f->principal = nx_http_query(req, "principal");
	f->study = nx_http_query(req, "study");
	return rc;
}

nx_rc api_ledger_entries(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_ledger_filter filter;
	nx_rc rc = filter_take(req, &filter, err);

	api_reply_init(&buf);
	if (!rc)
		rc = nx_report_entries(api_of(req)->report, api_who_of(req), &filter, &buf, err);
	return api_reply_rc(req, rc, &buf, err);
}

nx_rc api_ledger_verify(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};

	api_reply_init(&buf);
	return api_reply_rc(
		req, nx_report_verify(api_of(req)->report, api_who_of(req), &buf, err), &buf, err);
}

nx_rc api_ledger_prove(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_ledger_filter filter;
	nx_rc rc = filter_take(req, &filter, err);

	api_reply_init(&buf);
	if (!rc)
		rc = nx_report_prove(api_of(req)->report, api_who_of(req), &filter, &buf, err);
	return api_reply_rc(req, rc, &buf, err);
}

/* Writes to the server's disk as its user: for those only who are that user already. */
nx_rc api_ledger_export(struct nx_http_req *req, struct nx_err *err)
{
	const char *dir = nx_http_query(req, "folder");
	nx_rc rc;

	if (!nx_http_is_unix(req))
		return nx_err_set(err, NX_E_DENIED, "denied: on the site's own socket only");
	if (!dir)
		return nx_err_set(err, NX_E_INVAL, "folder is missing");
	rc = nx_report_export(api_of(req)->report, api_who_of(req), dir, err);
	return rc ? rc : api_reply_empty(req, 204);
}

#include "report/whosaw.h"

#include <string.h>

#include "api/api_priv.h"

static nx_rc query_take(struct nx_http_req *req, struct nx_whosaw *q, struct nx_err *err)
{
	const char *subject = nx_http_query(req, "subject");
	const char *proof = nx_http_query(req, "proof");
	nx_rc rc = api_query_time(req, "from", &q->from_us, err);

	if (!rc)
		rc = api_query_time(req, "to", &q->to_us, err);
	if (!rc && subject)
		rc = api_subject_parse(subject, &q->subject, err);
	q->patient_id = nx_http_query(req, "patient");
	q->issuer = nx_http_query(req, "issuer");
	q->collection = nx_http_query(req, "collection");
	q->study = nx_http_query(req, "study");
	q->principal = nx_http_query(req, "principal");
	q->proof = proof && strcmp(proof, "true") == 0;
	return rc;
}

nx_rc api_who_saw(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_whosaw query = {.subject = 0};
	nx_rc rc = query_take(req, &query, err);

	api_reply_init(&buf);
	if (!rc)
		rc = nx_report_who_saw(api_of(req)->archive, api_who_of(req), &query, &buf, err);
	return api_reply_rc(req, rc, &buf, err);
}

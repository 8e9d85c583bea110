#include "api/api_priv.h"
#include "lifecycle/erase.h"

static nx_rc spec_take(const json_t *body, struct nx_erasure_spec *spec, struct nx_err *err)
{
	const char *subject = NULL;
	nx_rc rc = api_member_text(body, "subject", false, &subject, err);

	if (!rc && subject)
		rc = api_subject_parse(subject, &spec->subject, err);
	if (!rc)
		rc = api_member_text(body, "collection", !subject, &spec->collection, err);
	if (!rc)
		rc = api_member_text(body, "issuer", false, &spec->issuer, err);
	if (!rc)
		rc = api_member_text(body, "patient_id", !subject, &spec->patient_id, err);
	return rc ? rc : api_member_text(body, "reason", true, &spec->reason, err);
}

/* {"collection","issuer","patient_id","reason"}, or {"subject","reason"}: the certificate. */
nx_rc api_erasures_create(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_erasure_spec spec = {.site = api_of(req)->site};
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_erasure_result result;
	json_t *body = NULL;
	nx_rc rc = api_body_json(req, &body, err);

	api_reply_init(&buf);
	if (!rc)
		rc = spec_take(body, &spec, err);
	if (!rc)
		rc = nx_lifecycle_erase(
			api_of(req)->archive, api_who_of(req), &spec, &result, &buf, err);
	json_decref(body);
	return rc ? rc : api_reply_json(req, 201, &buf, err);
}

/* {"certificate"}: its text, as it was given out. */
nx_rc api_erasures_check(struct nx_http_req *req, struct nx_err *err)
{
	const char *text = NULL;
	json_t *body = NULL;
	nx_rc rc = api_body_json(req, &body, err);

	if (!rc)
		rc = api_member_text(body, "certificate", true, &text, err);
	if (!rc)
		rc = nx_lifecycle_certificate_check(api_of(req)->archive, text, err);
	json_decref(body);
	return rc ? rc : api_reply_empty(req, 204);
}

#include "api/stream.h"
#include "ingest/ingest.h"

static const char *outcome_name(enum nx_ingest_outcome outcome)
{
	switch (outcome) {
	case NX_INGEST_STORED:
		return "stored";
	case NX_INGEST_DUPLICATE:
		return "duplicate";
	case NX_INGEST_VERSION:
		return "version";
	case NX_INGEST_QUARANTINED:
		return "quarantined";
	}
	return "unknown";
}

/* RFC 9110 15.3: made, taken but not acted upon, there already. */
static int import_status(enum nx_ingest_outcome outcome)
{
	if (outcome == NX_INGEST_STORED)
		return 201;
	return outcome == NX_INGEST_QUARANTINED ? nx_rc_http(NX_E_QUARANTINED) : 200;
}

nx_rc api_reply_ingest(
	struct nx_http_req *req, const struct nx_ingest_result *r, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_json json;

	api_reply_init(&buf);
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "outcome", outcome_name(r->outcome));
	nx_json_kv_str(&json, "sop_class", r->sop_class);
	nx_json_kv_str(&json, "study", r->study);
	nx_json_kv_str(&json, "series", r->series);
	nx_json_kv_str(&json, "instance", r->sop_instance);
	nx_json_kv_uint(&json, "size", r->size);
	nx_json_kv_int(&json, "version", r->version);
	if (r->outcome == NX_INGEST_QUARANTINED) {
		nx_json_kv_int(&json, "quarantine", r->quarantine);
		nx_json_kv_str(&json, "reason", nx_reason_wire(r->reason));
		nx_json_kv_str(&json, "note", r->note);
	}
	nx_json_object_end(&json);
	return api_reply_json(req, import_status(r->outcome), &buf, err);
}

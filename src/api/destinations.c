/* DICOM peers that instances are sent to. */
#include "api/api_priv.h"
#include "base/clock.h"
#include "lifecycle/admin.h"

nx_rc api_destinations_list(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};

	api_reply_init(&buf);
	return api_reply_rc(req,
		nx_admin_destination_list(api_of(req)->admin, api_who_of(req), &buf, err), &buf,
		err);
}

nx_rc api_destination_set(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_destination_spec spec = {.ae = nx_http_param(req, "ae")};
	json_t *body = NULL;
	nx_rc rc = api_body_json(req, &body, err);

	if (!rc)
		rc = api_member_text(body, "host", true, &spec.host, err);
	if (!rc)
		rc = api_member_text(body, "calling", false, &spec.calling, err);
	if (!rc) {
		spec.port = json_integer_value(json_object_get(body, "port"));
		spec.tls = json_is_true(json_object_get(body, "tls"));
		rc = nx_admin_destination_set(api_of(req)->admin, api_who_of(req), &spec, err);
	}
	json_decref(body);
	return rc ? rc : api_reply_empty(req, 204);
}

nx_rc api_destination_remove(struct nx_http_req *req, struct nx_err *err)
{
	nx_rc rc = nx_admin_destination_remove(
		api_of(req)->admin, api_who_of(req), nx_http_param(req, "ae"), err);

	return rc ? rc : api_reply_empty(req, 204);
}

nx_rc api_destination_echo(struct nx_http_req *req, struct nx_err *err)
{
	const struct nx_api *api = api_of(req);
	NX_AUTO_DONE(nx_buf) buf = {0};
	const char *ae = nx_http_param(req, "ae");
	int64_t start = nx_mono_us();
	struct nx_json json;
	uint16_t status = 0;
	nx_rc rc = nx_admin_destination_check(api->admin, api_who_of(req), ae, err);

	if (!rc)
		rc = api->echo(api->echo_payload, ae, &status, err);
	if (rc)
		return rc;
	api_reply_init(&buf);
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "ae", ae);
	nx_json_kv_int(&json, "status", status);
	nx_json_kv_int(&json, "ms", (nx_mono_us() - start) / 1000);
	nx_json_object_end(&json);
	return api_reply_json(req, 200, &buf, err);
}

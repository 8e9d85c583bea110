/* AE titles, tokens, keys, scrubbing. */
#include "lifecycle/admin.h"
#include "api/api_priv.h"
#include "base/clock.h"
#include "lifecycle/works.h"

/* ---- AE titles ---- */

nx_rc api_ae_list(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};

	api_reply_init(&buf);
	return api_reply_rc(
		req, nx_admin_ae_list(api_of(req)->admin, api_who_of(req), &buf, err), &buf, err);
}

nx_rc api_ae_allow(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_ae_spec spec = {0};
	json_t *body = NULL;
	nx_rc rc = api_body_json(req, &body, err);

	if (!rc)
		rc = api_member_text(body, "calling", true, &spec.calling, err);
	if (!rc)
		rc = api_member_text(body, "called", false, &spec.called, err);
	if (!rc)
		rc = api_member_text(body, "address", false, &spec.address, err);
	if (!rc)
		rc = api_member_text(body, "collection", true, &spec.collection, err);
	if (!rc)
		rc = api_member_text(body, "role", false, &spec.role, err);
	if (!rc)
		rc = nx_admin_ae_allow(api_of(req)->admin, api_who_of(req), &spec, err);
	json_decref(body);
	return rc ? rc : api_reply_empty(req, 201);
}

nx_rc api_ae_remove(struct nx_http_req *req, struct nx_err *err)
{
	nx_rc rc = nx_admin_ae_remove(api_of(req)->admin, api_who_of(req),
		nx_http_param(req, "calling"), nx_http_query(req, "called"), err);

	return rc ? rc : api_reply_empty(req, 204);
}

/* ---- tokens ---- */

nx_rc api_tokens_list(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};

	api_reply_init(&buf);
	return api_reply_rc(req,
		nx_admin_token_list(api_of(req)->admin, api_who_of(req), &buf, err), &buf, err);
}

static nx_rc expiry_take(const json_t *body, int64_t *ret_us, struct nx_err *err)
{
	const json_t *days = json_object_get(body, "days");
	int64_t n = json_integer_value(days);

	*ret_us = 0;
	if (!days || json_is_null(days))
		return NX_OK;
	if (!json_is_integer(days) || n < 1 || n > 36500)
		return nx_err_set(err, NX_E_INVAL, "days is not a number from 1 to 36500");
	*ret_us = nx_now_us() + n * 86400 * 1000000;
	return NX_OK;
}

static nx_rc token_reply(
	struct nx_http_req *req, const char *name, const char *token, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_json json;

	api_reply_init(&buf);
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "name", name);
	nx_json_kv_str(&json, "token", token);
	nx_json_object_end(&json);
	return api_reply_json(req, 201, &buf, err);
}

nx_rc api_tokens_create(struct nx_http_req *req, struct nx_err *err)
{
	const char *name = NULL, *role = NULL;
	int64_t expires_us = 0;
	json_t *body = NULL;
	char token[48];
	nx_rc rc = api_body_json(req, &body, err);

	if (!rc)
		rc = api_member_text(body, "name", true, &name, err);
	if (!rc)
		rc = api_member_text(body, "role", true, &role, err);
	if (!rc)
		rc = expiry_take(body, &expires_us, err);
	if (!rc)
		rc = nx_admin_token_create(
			api_of(req)->admin, api_who_of(req), name, role, expires_us, token, err);
	if (!rc)
		rc = token_reply(req, name, token, err);
	explicit_bzero(token, sizeof(token));
	json_decref(body);
	return rc;
}

nx_rc api_token_revoke(struct nx_http_req *req, struct nx_err *err)
{
	nx_rc rc = nx_admin_token_revoke(
		api_of(req)->admin, api_who_of(req), nx_http_param(req, "token"), err);

	return rc ? rc : api_reply_empty(req, 204);
}

/* ---- keys ---- */

nx_rc api_keys_get(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};

	api_reply_init(&buf);
	return api_reply_rc(
		req, nx_admin_keys(api_of(req)->admin, api_who_of(req), &buf, err), &buf, err);
}

nx_rc api_keys_rotate(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	const struct nx_api *api = api_of(req);
	struct nx_progress *work;
	uint32_t rotated = 0;
	nx_rc rc = nx_works_begin(api->works, "rotate", "domains", &work, err);

	if (rc)
		return rc;
	rc = nx_admin_keys_rotate(
		api->admin, api_who_of(req), nx_http_query(req, "domain"), work, &rotated, err);
	nx_works_end(api->works, work);
	api_reply_init(&buf);
	nx_buf_printf(&buf, "{\"rotated\":%u}", rotated);
	return api_reply_rc(req, rc, &buf, err);
}

nx_rc api_keys_passphrase(struct nx_http_req *req, struct nx_err *err)
{
	const char *text = NULL;
	json_t *body = NULL;
	nx_rc rc = api_body_json(req, &body, err);

	if (!rc)
		rc = api_member_text(body, "passphrase", true, &text, err);
	if (!rc)
		rc = nx_admin_keys_passphrase(
			api_of(req)->admin, api_who_of(req), nx_slice_str(text), err);
	json_decref(body);
	return rc ? rc : api_reply_empty(req, 204);
}

nx_rc api_scrub_run(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	const struct nx_api *api = api_of(req);
	struct nx_progress *work;
	uint64_t bad = 0;
	nx_rc rc = nx_works_begin(api->works, "scrub", "items", &work, err);

	if (rc)
		return rc;
	api_reply_init(&buf);
	rc = nx_admin_scrub(api->admin, api_who_of(req), work, &buf, &bad, err);
	nx_works_end(api->works, work);
	return api_reply_rc(req, rc, &buf, err);
}

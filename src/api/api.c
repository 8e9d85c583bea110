#include "api/api.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "api/api_priv.h"

struct nx_api *api_of(struct nx_http_req *req)
{
	return nx_http_context(req);
}

const struct nx_principal *api_who_of(const struct nx_http_req *req)
{
	return nx_http_principal(req);
}

void api_reply_init(struct nx_buf *buf)
{
	nx_buf_init(buf, API_REPLY_MAX, NX_BUF_WIPE);
}

nx_rc api_reply_json(
	struct nx_http_req *req, int status, const struct nx_buf *buf, struct nx_err *err)
{
	nx_rc rc = nx_buf_check(buf, err);

	if (rc)
		return nx_err_prefix(err, rc, "reply");
	nx_http_set_header(req, "Cache-Control", "no-store");
	return nx_http_reply(req, status, "application/json", nx_buf_slice(buf));
}

nx_rc api_reply_rc(struct nx_http_req *req, nx_rc rc, const struct nx_buf *buf, struct nx_err *err)
{
	return rc ? rc : api_reply_json(req, 200, buf, err);
}

nx_rc api_reply_empty(struct nx_http_req *req, int status)
{
	return nx_http_reply(req, status, NULL, nx_slice(NULL, 0));
}

/* ---- what the client sent ---- */

nx_rc api_body_json(struct nx_http_req *req, json_t **ret, struct nx_err *err)
{
	struct nx_slice body;
	json_error_t why;
	json_t *json;
	nx_rc rc = nx_http_body_all(req, NX_LIMIT_HTTP_SMALL_BODY, &body, err);

	if (rc)
		return rc;
	json = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, &why);
	if (!json)
		return nx_err_set(err, NX_E_MALFORMED, "body is not JSON: byte %d", why.position);
	if (!json_is_object(json)) {
		json_decref(json);
		return nx_err_set(err, NX_E_MALFORMED, "body is not a JSON object");
	}
	*ret = json;
	return NX_OK;
}

nx_rc api_member_text(
	const json_t *body, const char *name, bool required, const char **ret, struct nx_err *err)
{
	const json_t *value = json_object_get(body, name);

	if (value && !json_is_null(value) && !json_is_string(value))
		return nx_err_set(err, NX_E_INVAL, "%s is not a text", name);
	*ret = json_string_value(value);
	if (required && !*ret)
		return nx_err_set(err, NX_E_INVAL, "%s is missing", name);
	return NX_OK;
}

nx_rc api_query_number(
	struct nx_http_req *req, const char *name, uint64_t def, uint64_t *ret, struct nx_err *err)
{
	const char *text = nx_http_query(req, name);
	unsigned long long v;
	char *end = NULL;

	if (!text) {
		*ret = def;
		return NX_OK;
	}
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-')
		return nx_err_set(err, NX_E_INVAL, "%s is not a number", name);
	*ret = v;
	return NX_OK;
}

nx_rc api_reply_page(
	struct nx_http_req *req, const char *collection, api_page_fn fn, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	uint64_t after = 0, limit = 0;
	nx_rc rc = api_query_number(req, "after", 0, &after, err);

	api_reply_init(&buf);
	if (!rc)
		rc = api_query_number(req, "limit", 0, &limit, err);
	if (!rc)
		rc = fn(api_of(req)->retrieve, api_who_of(req), collection,
			after < INT64_MAX ? (int64_t)after : INT64_MAX,
			limit < UINT32_MAX ? (unsigned)limit : 0, &buf, err);
	return api_reply_rc(req, rc, &buf, err);
}

nx_rc api_param_number(
	const struct nx_http_req *req, const char *name, int64_t *ret, struct nx_err *err)
{
	const char *text = nx_http_param(req, name);
	long long v = 0;
	char *end = NULL;

	errno = 0;
	if (text && text[0] >= '0' && text[0] <= '9')
		v = strtoll(text, &end, 10);
	if (errno || !end || *end || v <= 0)
		return nx_err_set(err, NX_E_INVAL, "%s: a whole number from 1 is wanted", name);
	*ret = v;
	return NX_OK;
}

nx_rc api_query_time(struct nx_http_req *req, const char *name, int64_t *ret_us, struct nx_err *err)
{
	const char *text = nx_http_query(req, name);
	struct tm tm = {0};
	const char *end;

	*ret_us = 0;
	if (!text)
		return NX_OK;
	end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (!end || *end) {
		tm = (struct tm){0};
		end = strptime(text, "%Y-%m-%d", &tm);
	}
	if (!end || *end)
		return nx_err_set(
			err, NX_E_INVAL, "%s is neither YYYY-MM-DD nor YYYY-MM-DDTHH:MM:SSZ", name);
	*ret_us = (int64_t)timegm(&tm) * 1000000;
	return NX_OK;
}

nx_rc api_subject_parse(const char *text, uint64_t *ret, struct nx_err *err)
{
	size_t n = strlen(text);

	if (!n || n > 16 || strspn(text, "0123456789abcdefABCDEF") != n)
		return nx_err_set(err, NX_E_INVAL, "subject is not a hexadecimal number");
	*ret = strtoull(text, NULL, 16);
	return *ret ? NX_OK : nx_err_set(err, NX_E_INVAL, "there is no subject 0");
}

nx_rc api_folder_take(
	struct nx_http_req *req, json_t **ret_body, const char **ret_folder, struct nx_err *err)
{
	nx_rc rc;

	if (!nx_http_is_unix(req))
		return nx_err_set(err, NX_E_DENIED, "denied: on the site's own socket only");
	rc = api_body_json(req, ret_body, err);
	if (!rc)
		rc = api_member_text(*ret_body, "folder", true, ret_folder, err);
	if (!rc && (*ret_folder)[0] != '/')
		rc = nx_err_set(err, NX_E_INVAL, "folder is not an absolute path");
	return rc;
}

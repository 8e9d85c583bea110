#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "dicomweb/dicomweb_priv.h"

const char *const dw_models[DW_MODELS] = {
	[DW_MODEL_JSON] = DW_DICOM_JSON,
	[DW_MODEL_PLAIN_JSON] = "application/json",
	[DW_MODEL_XML] = "multipart/related; type=\"" DW_DICOM_XML "\"",
};

/* ---- where we are, as the client sees it ---- */

/* RFC 3986 3.2.2: what a host and port are made of.  Anything else would end up in URLs. */
static bool host_ok(const char *host)
{
	static const char others[] = "-._~:[]%";

	for (const char *s = host; *s; s++)
		if (!(*s >= '0' && *s <= '9') && !((*s | 32) >= 'a' && (*s | 32) <= 'z') &&
			!strchr(others, *s))
			return false;
	return *host;
}

/* The mount was percent-decoded; RFC 3986 3.3 says what may stand for itself. */
static void put_path(struct nx_buf *out, const char *path)
{
	static const char others[] = "/-._~!$&'()*+,;=:@";

	for (; *path; path++)
		if ((*path >= '0' && *path <= '9') ||
			((*path | 32) >= 'a' && (*path | 32) <= 'z') || strchr(others, *path))
			nx_buf_put_u8(out, (uint8_t)*path);
		else
			nx_buf_printf(out, "%%%02X", (unsigned)(uint8_t)*path);
}

static nx_rc base_url(const struct dw_call *call, const char **ret, struct nx_err *err)
{
	const char *host = nx_http_header(call->req, "Host");
	const char *mount = nx_http_mount(call->req);
	NX_AUTO_DONE(nx_buf) url;

	nx_buf_init(&url, NX_LIMIT_URL, NX_BUF_WIPE);
	if (call->mount->origin) {
		nx_buf_put_str(&url, call->mount->origin);
	} else {
		if (!host || !host_ok(host))
			return nx_err_set(err, NX_E_INVAL, "bad Host");
		nx_buf_printf(&url, "%s://%s", nx_http_is_tls(call->req) ? "https" : "http", host);
	}
	put_path(&url, mount ? mount : "");
	*ret = nx_arena_str(nx_http_arena(call->req), (const char *)url.data, url.len);
	if (!mount || url.failed || !*ret)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the base URL");
	return NX_OK;
}

nx_rc dw_call_init(struct nx_http_req *req, struct dw_call *ret_call, struct nx_err *err)
{
	struct dw_call call = {
		.req = req,
		.mount = nx_http_table_context(req),
		.who = nx_http_principal(req),
	};
	nx_rc rc;

	if (!call.who)
		return nx_err_set(err, NX_E_UNAUTHENTICATED, "nobody is asking");
	call.collection =
		call.mount->collection ? call.mount->collection : nx_http_param(req, "collection");
	rc = base_url(&call, &call.base_url, err);
	nx_http_set_header(req, "Vary", "Accept");
	if (!rc)
		*ret_call = call;
	return rc;
}

static nx_rc uid_param(
	const struct dw_call *call, const char *name, const char **ret, struct nx_err *err)
{
	const char *uid = nx_http_param_find(call->req, name);

	if (uid && !nx_uid_valid(uid, strlen(uid)))
		return nx_err_set(err, NX_E_INVAL, "%s of the path is no UID", name);
	*ret = uid;
	return NX_OK;
}

nx_rc dw_selection(const struct dw_call *call, struct nx_selection *ret, struct nx_err *err)
{
	struct nx_selection sel = {.collection = call->collection};
	nx_rc rc = uid_param(call, "study", &sel.study, err);

	if (!rc)
		rc = uid_param(call, "series", &sel.series, err);
	if (!rc)
		rc = uid_param(call, "instance", &sel.instance, err);
	if (!rc)
		*ret = sel;
	return rc;
}

/* ---- negotiation, conditions, ranges ---- */

nx_rc dw_accept(const struct dw_call *call, const char *const *offers, size_t n, size_t *ret_i,
	struct nx_err *err)
{
	const char *accept = nx_http_query(call->req, "accept");
	int i;

	if (!accept)
		accept = nx_http_header(call->req, "Accept");
	i = nx_http_accept(accept ? accept : "", offers, n);
	if (i < 0)
		return nx_err_set(err, NX_E_NOT_ACCEPTABLE, "no media type of Accept is at hand");
	*ret_i = (size_t)i;
	return NX_OK;
}

/* An instance's bytes change only with a later one in its place.  A set has no date: what leaves it
 * makes nothing later. */
static bool modified_us(const struct nx_instances *instances, int64_t *ret)
{
	struct nx_instance_info info;

	if (nx_instances_n(instances) != 1)
		return false;
	nx_instances_info(instances, 0, &info);
	*ret = info.received_us;
	return true;
}

/* RFC 9110 13.2.2.  Weak comparison (8.8.3.2): quoted tags, so that one is never part of another.
 */
static bool is_known(const struct dw_call *call, const char *etag, bool dated, int64_t us)
{
	const char *known = nx_http_header(call->req, "If-None-Match");
	const char *since = nx_http_header(call->req, "If-Modified-Since");
	int64_t since_us;

	if (known)
		return strcmp(known, "*") == 0 || strstr(known, etag);
	return dated && since && nx_http_date_parse(since, &since_us) &&
		us / 1000000 <= since_us / 1000000;
}

nx_rc dw_validate_as(const struct dw_call *call, const struct nx_instances *instances,
	const char *salt, unsigned flags, char etag[72], bool *ret_known, struct nx_err *err)
{
	char date[NX_HTTP_DATE];
	int64_t us = 0;
	const bool dated = !(flags & DW_UNDATED) && modified_us(instances, &us);
	nx_rc rc = nx_instances_set_etag(instances, salt, etag, err);

	if (rc)
		return rc;
	nx_http_set_header(call->req, "ETag", etag);
	nx_http_set_header(call->req, "Cache-Control",
		flags & DW_NO_STORE ? "private, no-store" : "private, no-cache");
	if (dated) {
		nx_http_date_format(us, date);
		nx_http_set_header(call->req, "Last-Modified", date);
	}
	*ret_known = is_known(call, etag, dated, us);
	return NX_OK;
}

nx_rc dw_validate(const struct dw_call *call, const struct nx_instances *instances,
	const char *salt, char etag[72], bool *ret_known, struct nx_err *err)
{
	return dw_validate_as(call, instances, salt, 0, etag, ret_known, err);
}

nx_rc dw_reply_known(const struct dw_call *call)
{
	return nx_http_reply(call->req, 304, NULL, nx_slice(NULL, 0));
}

nx_rc dw_range(const struct dw_call *call, const char *etag, uint64_t size, uint64_t *ret_off,
	uint64_t *ret_len, int *ret_status, struct nx_err *err)
{
	const char *if_range = nx_http_header(call->req, "If-Range");
	char text[96];
	nx_rc rc = NX_E_NOENT;

	*ret_off = 0;
	*ret_len = size;
	*ret_status = 200;
	nx_http_set_header(call->req, "Accept-Ranges", "bytes");
	if (!if_range || strcmp(if_range, etag) == 0)
		rc = nx_http_range(call->req, size, ret_off, ret_len, err);
	if (rc == NX_E_NOENT)
		return NX_OK;
	if (rc == NX_E_RANGE) {
		(void)snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)size);
		nx_http_set_header(call->req, "Content-Range", text);
	}
	if (rc)
		return rc;
	*ret_status = 206;
	(void)snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)*ret_off,
		(unsigned long long)(*ret_off + *ret_len - 1), (unsigned long long)size);
	nx_http_set_header(call->req, "Content-Range", text);
	return NX_OK;
}

void dw_warn(const struct dw_call *call, const char *text, const char *names)
{
	const char *warning = nx_arena_printf(nx_http_arena(call->req), "299 %s \"%s%s\"",
		call->base_url, text, names ? names : "");

	if (warning)
		nx_http_set_header(call->req, "Warning", warning);
}

bool dw_media_is(const char *content_type, const char *media)
{
	size_t n = strlen(media);

	return strncasecmp(content_type, media, n) == 0 &&
		(!content_type[n] || strchr("; \t", content_type[n]));
}

/* ---- DICOM JSON ---- */

static void attribute_begin(struct nx_json *json, nx_tag tag, const char *vr)
{
	char key[9];

	(void)snprintf(key, sizeof(key), "%08X", tag);
	nx_json_key(json, key);
	nx_json_object_begin(json);
	nx_json_kv_str(json, "vr", vr);
	nx_json_key(json, "Value");
}

void dw_json_uint(struct nx_json *json, nx_tag tag, const char *vr, uint64_t v)
{
	attribute_begin(json, tag, vr);
	nx_json_array_begin(json);
	nx_json_uint(json, v);
	nx_json_array_end(json);
	nx_json_object_end(json);
}

void dw_json_seq(struct nx_json *json, nx_tag tag, struct nx_slice items)
{
	attribute_begin(json, tag, "SQ");
	nx_json_raw(json, items);
	nx_json_object_end(json);
}

/*
 * Retrieve Capabilities (PS3.18 8.9, Annex H): the route table as WADL, or as JSON.
 */
#include <string.h>

#include "dicomweb/dicomweb_priv.h"
#include "dicomweb/xml.h"

enum {
	CAPABILITIES_MAX = 256 * 1024
};

static void put_xml(struct nx_buf *out, const char *text)
{
	dw_xml_text(out, nx_slice_str(text));
}

/* The first row of its pattern, and none that names the root twice. */
static bool begins_resource(const struct nx_route *r)
{
	return !r->method || r == nx_dicomweb_routes || strcmp(r[-1].pattern, r->pattern) != 0;
}

static bool is_root(const struct nx_route *r)
{
	return strcmp(r->pattern, "/") == 0;
}

static void put_wadl(const struct dw_call *call, struct nx_buf *out)
{
	nx_buf_put_str(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<application xmlns=\"http://wadl.dev.java.net/2009/02\">\n"
		" <resources base=\"");
	put_xml(out, call->base_url);
	nx_buf_put_str(out, "\">\n");
	for (const struct nx_route *r = nx_dicomweb_routes; r->method; r++) {
		if (is_root(r))
			continue;
		if (begins_resource(r)) {
			nx_buf_put_str(out, "  <resource path=\"");
			put_xml(out, r->pattern[0] ? r->pattern + 1 : "");
			nx_buf_put_str(out, "\">\n");
		}
		nx_buf_printf(out, "   <method name=\"%s\"><doc>", r->method);
		put_xml(out, r->summary);
		nx_buf_put_str(out, "</doc></method>\n");
		if (begins_resource(r + 1))
			nx_buf_put_str(out, "  </resource>\n");
	}
	nx_buf_put_str(out, " </resources>\n</application>\n");
}

static void put_json(const struct dw_call *call, struct nx_buf *out)
{
	struct nx_json json;

	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "base", call->base_url);
	nx_json_key(&json, "routes");
	nx_json_array_begin(&json);
	for (const struct nx_route *r = nx_dicomweb_routes; r->method; r++) {
		if (is_root(r))
			continue;
		nx_json_object_begin(&json);
		nx_json_kv_str(&json, "method", r->method);
		nx_json_kv_str(&json, "path", r->pattern);
		nx_json_kv_str(&json, "summary", r->summary);
		nx_json_object_end(&json);
	}
	nx_json_array_end(&json);
	nx_json_object_end(&json);
}

nx_rc dw_capabilities(struct nx_http_req *req, struct nx_err *err)
{
	static const char *const offers[] = {
		"application/vnd.sun.wadl+xml", "application/json", DW_DICOM_JSON};
	NX_AUTO_DONE(nx_buf) out;
	struct dw_call call;
	size_t offer = 0;
	nx_rc rc = dw_call_init(req, &call, err);

	nx_buf_init(&out, CAPABILITIES_MAX, 0);
	if (!rc)
		rc = dw_accept(&call, offers, NX_ARRAY_LEN(offers), &offer, err);
	if (rc)
		return rc;
	if (offer == 0)
		put_wadl(&call, &out);
	else
		put_json(&call, &out);
	rc = nx_buf_check(&out, err);
	return rc ? rc : nx_http_reply(req, 200, offers[offer], nx_buf_slice(&out));
}

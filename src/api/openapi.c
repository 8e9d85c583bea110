#include <string.h>

#include "access/access.h"
#include "api/api_priv.h"

/* The i-th {name} of a pattern; false past the end. */
static bool param_at(const char *pattern, size_t i, struct nx_slice *ret)
{
	const char *open = pattern;

	for (; (open = strchr(open, '{')); open++)
		if (i-- == 0) {
			*ret = nx_slice(open + 1, strcspn(open + 1, ".}"));
			return true;
		}
	return false;
}

static void params_json(struct nx_json *json, const char *pattern)
{
	struct nx_slice name;

	nx_json_key(json, "parameters");
	nx_json_array_begin(json);
	for (size_t i = 0; param_at(pattern, i, &name); i++) {
		nx_json_object_begin(json);
		nx_json_key(json, "name");
		nx_json_str_n(json, (const char *)name.p, name.n);
		nx_json_kv_str(json, "in", "path");
		nx_json_kv_bool(json, "required", true);
		nx_json_key(json, "schema");
		nx_json_object_begin(json);
		nx_json_kv_str(json, "type", "string");
		nx_json_object_end(json);
		nx_json_object_end(json);
	}
	nx_json_array_end(json);
}

static void operation_json(struct nx_json *json, const struct nx_route *r)
{
	char method[16] = "";

	for (size_t i = 0; r->method[i] && i + 1 < sizeof(method); i++)
		method[i] = (char)(r->method[i] | 0x20);
	nx_json_key(json, method);
	nx_json_object_begin(json);
	nx_json_kv_str(json, "summary", r->summary);
	params_json(json, r->pattern);
	nx_json_key(json, "responses");
	nx_json_object_begin(json);
	nx_json_key(json, "default");
	nx_json_object_begin(json);
	nx_json_kv_str(json, "description", "Success, or an error object");
	nx_json_object_end(json);
	nx_json_object_end(json);
	nx_json_object_end(json);
}

/* "{key...}" is "{key}" to OpenAPI. */
static void path_key(struct nx_json *json, const char *pattern)
{
	char path[256];
	size_t n = 0;

	for (; *pattern && n + 1 < sizeof(path); pattern++)
		if (*pattern != '.')
			path[n++] = *pattern;
	path[n] = '\0';
	nx_json_key(json, path);
}

static bool seen_before(const struct nx_route *r)
{
	for (const struct nx_route *o = nx_api_routes; o < r; o++)
		if (strcmp(o->pattern, r->pattern) == 0)
			return true;
	return false;
}

static void paths_json(struct nx_json *json)
{
	for (const struct nx_route *r = nx_api_routes; r->method; r++) {
		if (seen_before(r))
			continue;
		path_key(json, r->pattern);
		nx_json_object_begin(json);
		for (const struct nx_route *o = r; o->method; o++)
			if (strcmp(o->pattern, r->pattern) == 0)
				operation_json(json, o);
		nx_json_object_end(json);
	}
}

nx_rc api_openapi_get(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_json json;

	api_reply_init(&buf);
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "openapi", "3.0.3");
	nx_json_key(&json, "info");
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "title", "narthex");
	nx_json_kv_str(&json, "version", "v1");
	nx_json_object_end(&json);
	nx_json_key(&json, "servers");
	nx_json_raw(&json, nx_slice_str("[{\"url\":\"" NX_API_PREFIX "\"}]"));
	nx_json_key(&json, "paths");
	nx_json_object_begin(&json);
	paths_json(&json);
	nx_json_object_end(&json);
	nx_json_key(&json, "components");
	nx_json_raw(&json,
		nx_slice_str("{\"securitySchemes\":{\"token\":{\"type\":\"http\","
			     "\"scheme\":\"bearer\"}}}"));
	nx_json_key(&json, "security");
	nx_json_raw(&json, nx_slice_str("[{\"token\":[]}]"));
	nx_json_object_end(&json);
	return api_reply_json(req, 200, &buf, err);
}

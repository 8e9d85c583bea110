#include "dataset/release.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"

enum {
	MANIFEST_MAX = 1024 * 1024 * 1024,
	STUDIES_MAX = 100000
};

nx_rc api_releases_list(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};

	api_reply_init(&buf);
	return api_reply_rc(req,
		nx_release_list_json(api_of(req)->releases, api_who_of(req),
			nx_http_query(req, "name"), &buf, err),
		&buf, err);
}

/* "studies": absent, or a list of UIDs that lives as long as the body. */
static nx_rc studies_take(const json_t *body, const char ***ret, size_t *ret_n, struct nx_err *err)
{
	const json_t *list = json_object_get(body, "studies");
	size_t n = json_array_size(list);
	NX_AUTO_MEM const char **studies = NULL;

	if (!list || json_is_null(list))
		return NX_OK;
	if (!n || n > STUDIES_MAX)
		return nx_err_set(
			err, NX_E_INVAL, "studies is not a list of 1 to %d UIDs", STUDIES_MAX);
	studies = calloc(n, sizeof(*studies));
	if (!studies)
		return nx_err_set(err, NX_E_NOMEM, "no memory for %zu studies", n);
	for (size_t i = 0; i < n; i++) {
		studies[i] = json_string_value(json_array_get(list, i));
		if (!studies[i])
			return nx_err_set(err, NX_E_INVAL, "studies: number %zu is no text", i + 1);
	}
	*ret = NX_STEAL(studies);
	*ret_n = n;
	return NX_OK;
}

static nx_rc made_reply(struct nx_http_req *req, const char *name,
	const struct nx_release_result *made, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	char release[NX_LIMIT_NAME + 32];
	struct nx_json json;

	(void)snprintf(release, sizeof(release), "%s@v%lld", name, (long long)made->version);
	api_reply_init(&buf);
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "release", release);
	nx_json_kv_str(&json, "name", name);
	nx_json_kv_int(&json, "version", made->version);
	nx_json_kv_hex(&json, "root", made->root, sizeof(made->root));
	nx_json_kv_uint(&json, "items", made->n_items);
	nx_json_kv_uint(&json, "bytes", made->bytes);
	nx_json_object_end(&json);
	return api_reply_json(req, 201, &buf, err);
}

/* {"name","collection","studies"} */
nx_rc api_releases_create(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_release_opts opts = {.who = api_who_of(req)};
	NX_AUTO_MEM const char **studies = NULL;
	struct nx_release_result made;
	json_t *body = NULL;
	nx_rc rc = api_body_json(req, &body, err);

	if (!rc)
		rc = api_member_text(body, "name", true, &opts.name, err);
	if (!rc)
		rc = api_member_text(body, "collection", true, &opts.collection, err);
	if (!rc)
		rc = studies_take(body, &studies, &opts.n_studies, err);
	opts.studies = studies;
	if (!rc)
		rc = nx_release_make(api_of(req)->releases, &opts, &made, err);
	if (!rc)
		rc = made_reply(req, opts.name, &made, err);
	json_decref(body);
	return rc;
}

static nx_rc version_take(const char *text, int64_t *ret, struct nx_err *err)
{
	char *end = NULL;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno || end == text || *end || v < 1)
		return nx_err_set(err, NX_E_INVAL, "version is not a number from 1");
	*ret = v;
	return NX_OK;
}

nx_rc api_release_manifest(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	int64_t version = 0;
	nx_rc rc = version_take(nx_http_param(req, "version"), &version, err);

	nx_buf_init(&buf, MANIFEST_MAX, 0);
	if (!rc)
		rc = nx_release_manifest(api_of(req)->releases, api_who_of(req),
			nx_http_param(req, "name"), version, &buf, err);
	return rc ? rc : nx_http_reply(req, 200, "text/plain; charset=utf-8", nx_buf_slice(&buf));
}

nx_rc api_releases_verifier(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) key = {0};
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_json json;
	nx_rc rc;

	api_reply_init(&key);
	api_reply_init(&buf);
	rc = nx_release_verifier_key(api_of(req)->releases, &key, err);
	if (!rc)
		rc = nx_buf_check(&key, err);
	if (rc)
		return rc;
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	nx_json_key(&json, "verifier_key");
	nx_json_str_n(&json, (const char *)key.data, key.len);
	nx_json_object_end(&json);
	return api_reply_json(req, 200, &buf, err);
}

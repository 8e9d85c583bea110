/* HTTP to the site: over its Unix socket, or TLS. */
#include <curl/curl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "loader/loader_priv.h"

#define API "/api/v1"

enum {
	CONNECT_MS = 10000,
	STALL_S = 60, /* less than this many bytes a second for so long end a call */
	STALL_RATE = 1024,
	ERROR_TEXT_MAX = 160
};

struct remote {
	CURL *curl;
	struct curl_slist *headers;
	char *base; /* "https://host:port/api/v1" */
};

struct remote *remote_free(struct remote *remote)
{
	if (!remote)
		return NULL;
	curl_easy_cleanup(remote->curl);
	for (struct curl_slist *h = remote->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data)); /* the token */
	curl_slist_free_all(remote->headers);
	free(remote->base);
	free(remote);
	return NULL;
}

static bool header_add(struct remote *r, const char *name, const char *value)
{
	NX_AUTO_DONE(nx_buf) line;
	struct curl_slist *list;

	nx_buf_init(&line, 4096, NX_BUF_WIPE);
	nx_buf_printf(&line, "%s: %s", name, value);
	list = nx_buf_cstr(&line) ? curl_slist_append(r->headers, nx_buf_cstr(&line)) : NULL;
	if (list)
		r->headers = list;
	return list;
}

static bool base_make(struct remote *r, const char *site)
{
	size_t n = strlen(site) + sizeof(API);

	while (n > sizeof(API) && site[n - sizeof(API) - 1] == '/')
		n--;
	r->base = malloc(n);
	if (!r->base)
		return false;
	memcpy(r->base, site, n - sizeof(API));
	memcpy(r->base + n - sizeof(API), API, sizeof(API));
	return true;
}

/* Bearer tokens go over TLS, a Unix socket, or not at all. */
static nx_rc site_set(struct remote *r, const char *site, struct nx_err *err)
{
	bool ok;

	if (strncmp(site, "unix:", 5) == 0) {
		ok = curl_easy_setopt(r->curl, CURLOPT_UNIX_SOCKET_PATH, site + 5) == CURLE_OK &&
			base_make(r, "http://localhost");
	} else if (strncmp(site, "https://", 8) == 0) {
		ok = base_make(r, site);
	} else {
		return nx_err_set(err, NX_E_INVAL, "a site is unix:<path> or https://<host>");
	}
	return ok ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for a connection");
}

nx_rc remote_open(const struct remote_opts *opts, struct remote **ret, struct nx_err *err)
{
	NX_AUTO(remote) *r = calloc(1, sizeof(*r));
	NX_AUTO_DONE(nx_buf) bearer;
	nx_rc rc;

	nx_buf_init(&bearer, 4096, NX_BUF_WIPE);
	if (!r || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a connection");
	r->curl = curl_easy_init();
	if (!r->curl)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a connection");
	rc = site_set(r, opts->site, err);
	if (rc)
		return rc;
	nx_buf_printf(&bearer, "Bearer %s", opts->token ? opts->token : "");
	if ((opts->token &&
		    (!nx_buf_cstr(&bearer) ||
			    !header_add(r, "Authorization", nx_buf_cstr(&bearer)))) ||
		!header_add(r, "Content-Type", "application/json"))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a connection");
	if (opts->ca_file && curl_easy_setopt(r->curl, CURLOPT_CAINFO, opts->ca_file) != CURLE_OK)
		return nx_err_set(err, NX_E_CONFIG, "CA file");
	*ret = NX_STEAL(r);
	return NX_OK;
}

static size_t body_take(char *p, size_t size, size_t n, void *payload)
{
	struct nx_buf *out = payload;

	nx_buf_put(out, p, size * n);
	return out->failed ? 0 : size * n;
}

/* {"error":{"code","message"}} */
static nx_rc status_err(long status, const struct nx_buf *body, struct nx_err *err)
{
	json_t *json = json_loadb((const char *)body->data, body->len, 0, NULL);
	const json_t *error = json_object_get(json, "error");
	const char *text = json_string_value(json_object_get(error, "message"));
	nx_rc rc = status == 403 ? NX_E_DENIED
		: status == 401  ? NX_E_UNAUTHENTICATED
		: status == 404  ? NX_E_NOENT
		: status == 416  ? NX_E_RANGE
		: status >= 500  ? NX_E_IO
				 : NX_E_INVAL;

	rc = nx_err_set(err, rc, "the site says %ld: %.*s", status, ERROR_TEXT_MAX,
		text ? text : "no reason");
	json_decref(json);
	return rc;
}

static bool options_set(
	struct remote *r, const char *method, const char *url, const char *body, struct nx_buf *out)
{
	CURL *c = r->curl;
	bool ok = curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_HTTPHEADER, r->headers) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_RATE) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)STALL_S) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, body_take) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_WRITEDATA, out) == CURLE_OK;

	if (body)
		ok = ok && curl_easy_setopt(c, CURLOPT_POST, 1L) == CURLE_OK &&
			curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, body) == CURLE_OK;
	else
		ok = ok && curl_easy_setopt(c, CURLOPT_HTTPGET, 1L) == CURLE_OK;
	return ok && curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK;
}

nx_rc remote_call(struct remote *remote, const char *method, const char *path, const char *body,
	struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) url;
	long status = 0;
	CURLcode code;
	nx_rc rc;

	nx_buf_init(&url, NX_LIMIT_URL, 0);
	nx_buf_printf(&url, "%s%s", remote->base, path);
	rc = nx_buf_check(&url, err);
	if (rc)
		return rc;
	if (!options_set(remote, method, nx_buf_cstr(&url), body, out))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a request");
	code = curl_easy_perform(remote->curl);
	rc = nx_buf_check(out, err);
	if (rc)
		return nx_err_prefix(err, rc, "answer of the site");
	if (code != CURLE_OK)
		return nx_err_set(err, code == CURLE_OPERATION_TIMEDOUT ? NX_E_TIMEOUT : NX_E_IO,
			"cannot talk to the site: %s", curl_easy_strerror(code));
	(void)curl_easy_getinfo(remote->curl, CURLINFO_RESPONSE_CODE, &status);
	/* Nor is a redirection followed: the token is for this site. */
	return status / 100 == 2 ? NX_OK : status_err(status, out, err);
}

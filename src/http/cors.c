/*
 * Pages of other origins (WHATWG Fetch 3.2): who is named in the configuration gets the headers a
 * browser looks for, and an answer to its preflight, which has no credentials by definition.  Whom
 * the page's user may be is still said by Authorization: no cookies, no credentials mode.
 */
#include <string.h>
#include <strings.h>

#include "http/http_priv.h"

static const char methods[] = "GET, HEAD, POST, PUT, DELETE, OPTIONS";
static const char takes[] =
	"Accept, Authorization, Cache-Control, Content-Type, If-Match, If-Modified-Since, "
	"If-None-Match, If-Range, Range";
static const char shows[] =
	"Accept-Ranges, Content-Encoding, Content-Location, Content-Range, ETag, Location, "
	"Retry-After, Warning";

bool nx_cors_listed(const char *list, const char *origin)
{
	size_t n;

	for (; *list; list += n + (list[n] == ' ')) {
		n = strcspn(list, " ");
		if (n && n == strlen(origin) && strncasecmp(list, origin, n) == 0)
			return true;
	}
	return false;
}

bool nx_cors_open(struct nx_http_req *req)
{
	const char *list = req->server->opts.cors_origins;
	const char *origin = nx_http_header(req, "Origin");

	if (!list || !list[0])
		return false;
	nx_http_set_header(req, "Vary", "Origin");
	if (!origin || !nx_cors_listed(list, origin))
		return false;
	nx_http_set_header(req, "Access-Control-Allow-Origin", origin);
	if (strcmp(req->method, "OPTIONS") != 0 ||
		!nx_http_header(req, "Access-Control-Request-Method")) {
		nx_http_set_header(req, "Access-Control-Expose-Headers", shows);
		return false;
	}
	nx_http_set_header(req, "Access-Control-Allow-Methods", methods);
	nx_http_set_header(req, "Access-Control-Allow-Headers", takes);
	nx_http_set_header(req, "Access-Control-Max-Age", "600");
	return true;
}

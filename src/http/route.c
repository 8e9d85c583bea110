#include <string.h>

#include "http/http_priv.h"

/* Take the segment up to '/' or the end. */
static struct nx_slice segment(const char *s)
{
	return nx_slice(s, strcspn(s, "/"));
}

static bool param_add(
	struct nx_route_match *m, struct nx_slice braced, struct nx_slice value, size_t dots)
{
	if (value.n == 0 || m->n_params == NX_HTTP_ROUTE_PARAMS)
		return false;
	m->params[m->n_params].name = nx_slice(braced.p + 1, braced.n - 2 - dots);
	m->params[m->n_params].value = value;
	m->n_params++;
	return true;
}

/* Take all of `pattern` off the path, segment by segment; both start with '/' or are empty.  NULL:
 * no match. */
static const char *pattern_take(const char *pattern, const char *path, struct nx_route_match *m)
{
	struct nx_slice want, have;

	while (*pattern == '/' && *path == '/') {
		want = segment(++pattern);
		have = segment(++path);
		if (want.n > 5 && want.p[0] == '{' && memcmp(want.p + want.n - 4, "...}", 4) == 0)
			return param_add(m, want, nx_slice_str(path), 3) ? path + strlen(path)
									 : NULL;
		if (want.n > 2 && want.p[0] == '{') {
			if (!param_add(m, want, have, 0))
				return NULL;
		} else if (!nx_slice_eq(want, have)) {
			return NULL;
		}
		pattern += want.n;
		path += have.n;
	}
	return *pattern == '\0' ? path : NULL;
}

static bool pattern_match(const struct nx_route_table *table, const char *pattern, const char *path,
	struct nx_route_match *m)
{
	const char *rest;

	m->n_params = 0;
	rest = pattern_take(table->prefix, path, m);
	if (!rest)
		return false;
	m->mount_len = (size_t)(rest - path);
	rest = pattern_take(pattern, rest, m);
	return rest && *rest == '\0';
}

/* HEAD is GET without the body (RFC 9110 9.3.2); a route of its own comes first. */
static bool method_match(const char *method, const struct nx_route *route, bool head_as_get)
{
	if (head_as_get && strcmp(method, "HEAD") == 0)
		return strcmp(route->method, "GET") == 0;
	return strcmp(route->method, method) == 0;
}

static void allow_add(struct nx_route_match *m, const char *method)
{
	size_t n = strlen(m->allow);
	const char *found = strstr(m->allow, method);

	if (!found && n + strlen(method) + 3 < sizeof(m->allow))
		(void)snprintf(m->allow + n, sizeof(m->allow) - n, "%s%s", n ? ", " : "", method);
}

static bool table_find(const struct nx_route_table *table, const char *method, const char *path,
	bool head_as_get, struct nx_route_match *m)
{
	for (const struct nx_route *r = table->routes; r->method; r++) {
		if (!pattern_match(table, r->pattern, path, m))
			continue;
		if (method_match(method, r, head_as_get)) {
			m->route = r;
			m->table = table;
			return true;
		}
		allow_add(m, r->method);
		if (strcmp(r->method, "GET") == 0)
			allow_add(m, "HEAD");
	}
	return false;
}

nx_rc nx_route_find(const struct nx_route_table *tables, size_t n_tables, const char *method,
	const char *path, struct nx_route_match *ret, struct nx_err *err)
{
	bool options = strcmp(method, "OPTIONS") == 0;

	memset(ret, 0, sizeof(*ret));
	for (int head_as_get = 0; head_as_get < 2; head_as_get++)
		/* What one table knows by name is no {name} of a later one. */
		for (size_t i = 0; i < n_tables && !(options && ret->allow[0]); i++)
			if (table_find(&tables[i], method, path, head_as_get, ret))
				return NX_OK;
	if (options && ret->allow[0])
		allow_add(ret, method);
	if (ret->allow[0])
		return nx_err_set(err, NX_E_METHOD, "method not allowed here");
	return nx_err_set(err, NX_E_NOENT, "no such resource");
}

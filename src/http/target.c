#include <string.h>

#include "base/arena.h"
#include "base/enc.h"
#include "base/limits.h"
#include "http/http_priv.h"

char *nx_http_decode(struct nx_arena *arena, const char *s, size_t n, bool plus_is_space)
{
	char *to = nx_arena_str(arena, s, n);
	size_t len = 0;
	int hi, lo;

	if (!to)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		if (c == '%') {
			hi = n - i > 2 ? nx_hex_digit(s[i + 1]) : -1;
			lo = n - i > 2 ? nx_hex_digit(s[i + 2]) : -1;
			if (hi < 0 || lo < 0)
				return NULL;
			c = (char)(hi << 4 | lo);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (c == '\0')
			return NULL;
		to[len++] = c;
	}
	to[len] = '\0';
	return to;
}

static bool has_control(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	return false;
}

static bool has_dot_dot(const char *path)
{
	for (const char *s = strstr(path, "/.."); s; s = strstr(s + 1, "/.."))
		if (s[3] == '/' || s[3] == '\0')
			return true;
	return false;
}

nx_rc nx_http_path_parse(struct nx_arena *arena, const char *raw, size_t n, const char **ret_path,
	struct nx_err *err)
{
	const char *path;

	if (n == 0 || raw[0] != '/' || memchr(raw, ' ', n) || memchr(raw, '#', n))
		return nx_err_set(err, NX_E_MALFORMED, "request target is not a path");
	path = nx_http_decode(arena, raw, n, false);
	if (!path)
		return nx_err_set(err, NX_E_MALFORMED, "bad percent-encoding in path");
	if (has_control(path) || has_dot_dot(path))
		return nx_err_set(err, NX_E_MALFORMED, "control character or \"..\" in path");
	*ret_path = path;
	return NX_OK;
}

static nx_rc pair_parse(struct nx_arena *arena, const char *s, size_t n, struct nx_http_pair *ret,
	struct nx_err *err)
{
	const char *eq = memchr(s, '=', n);
	size_t key_len = eq ? (size_t)(eq - s) : n;

	ret->key = nx_http_decode(arena, s, key_len, true);
	ret->value = eq ? nx_http_decode(arena, eq + 1, n - key_len - 1, true) : "";
	if (!ret->key || !ret->value)
		return nx_err_set(err, NX_E_MALFORMED, "bad percent-encoding in query");
	return NX_OK;
}

nx_rc nx_http_query_parse(struct nx_arena *arena, const char *raw, struct nx_http_pair **ret_pairs,
	size_t *ret_n, struct nx_err *err)
{
	struct nx_http_pair *pairs;
	size_t max = 1, n = 0, len;
	nx_rc rc;

	for (const char *s = raw; *s; s++)
		max += *s == '&';
	if (max > NX_LIMIT_HTTP_QUERY)
		return nx_err_set(
			err, NX_E_LIMIT, "more than %u query parameters", NX_LIMIT_HTTP_QUERY);
	pairs = nx_arena_alloc_array(arena, max, sizeof(*pairs));
	if (!pairs)
		return nx_err_set(err, NX_E_NOMEM, "no memory for query");
	for (const char *s = raw; *s; s += len + (s[len] == '&')) {
		len = strcspn(s, "&");
		if (len == 0)
			continue;
		rc = pair_parse(arena, s, len, &pairs[n++], err);
		if (rc)
			return rc;
	}
	*ret_pairs = pairs;
	*ret_n = n;
	return NX_OK;
}

/* Digits at *s; saturates, since a position past any size is as good as another. */
static bool take_number(const char **s, uint64_t *ret)
{
	uint64_t v = 0;
	bool over = false;

	if (**s < '0' || **s > '9')
		return false;
	for (; **s >= '0' && **s <= '9'; (*s)++)
		over = over || __builtin_mul_overflow(v, 10u, &v) ||
			__builtin_add_overflow(v, (uint64_t)(**s - '0'), &v);
	*ret = over ? UINT64_MAX : v;
	return true;
}

/* A range that is not understood is ignored: RFC 9110 14.2. */
static nx_rc range_ignored(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOENT, "no usable range");
}

static nx_rc range_outside(struct nx_err *err)
{
	return nx_err_set(err, NX_E_RANGE, "range outside the content");
}

nx_rc nx_http_range_parse(
	const char *range, uint64_t size, uint64_t *ret_off, uint64_t *ret_len, struct nx_err *err)
{
	uint64_t first = 0, last = UINT64_MAX, suffix = 0;
	bool has_first;

	if (!range || strncmp(range, "bytes=", 6) != 0)
		return range_ignored(err);
	range += 6;
	has_first = take_number(&range, &first);
	if (*range++ != '-')
		return range_ignored(err);
	if (has_first)
		(void)take_number(&range, &last);
	else if (!take_number(&range, &suffix))
		return range_ignored(err);
	if (*range != '\0' || last < first)
		return range_ignored(err);
	if (!has_first) {
		if (suffix == 0 || size == 0)
			return range_outside(err);
		first = suffix < size ? size - suffix : 0;
	}
	if (first >= size)
		return range_outside(err);
	*ret_off = first;
	*ret_len = (last < size - 1 ? last : size - 1) - first + 1;
	return NX_OK;
}

#include "base/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/enc.h"

void nx_json_init(struct nx_json *json, struct nx_buf *out)
{
	*json = (struct nx_json){.out = out};
}

static void value_begin(struct nx_json *json)
{
	if (json->after_key) {
		json->after_key = false;
		return;
	}
	if (json->comma[json->depth])
		nx_buf_put_u8(json->out, ',');
	json->comma[json->depth] = true;
}

static void nest_begin(struct nx_json *json, char c)
{
	value_begin(json);
	nx_buf_put_u8(json->out, (uint8_t)c);
	assert(json->depth + 1 < NX_JSON_DEPTH);
	json->comma[++json->depth] = false;
}

static void nest_end(struct nx_json *json, char c)
{
	assert(json->depth > 0 && !json->after_key);
	json->depth--;
	nx_buf_put_u8(json->out, (uint8_t)c);
}

void nx_json_object_begin(struct nx_json *json)
{
	nest_begin(json, '{');
}

void nx_json_object_end(struct nx_json *json)
{
	nest_end(json, '}');
}

void nx_json_array_begin(struct nx_json *json)
{
	nest_begin(json, '[');
}

void nx_json_array_end(struct nx_json *json)
{
	nest_end(json, ']');
}

static void put_escaped(struct nx_buf *out, uint8_t c)
{
	static const char from[] = "\"\\\b\f\n\r\t";
	static const char to[] = "\"\\bfnrt";
	const char *at = c ? strchr(from, c) : NULL;

	if (at)
		nx_buf_printf(out, "\\%c", to[at - from]);
	else
		nx_buf_printf(out, "\\u%04x", c);
}

/* ASCII that stands for itself; nearly all that there is. */
static bool is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void put_string(struct nx_buf *out, const uint8_t *s, size_t n)
{
	size_t start = 0;
	size_t i = 0;

	nx_buf_put_u8(out, '"');
	while (i < n) {
		size_t len;

		if (is_plain(s[i])) {
			i++;
			continue;
		}
		len = s[i] < 0x80 ? 0 : nx_utf8_len(s + i, n - i);
		if (len) {
			i += len;
			continue;
		}
		nx_buf_put(out, s + start, i - start);
		if (s[i] < 0x80)
			put_escaped(out, s[i]);
		else
			nx_buf_put_str(out, "\xef\xbf\xbd");
		start = ++i;
	}
	nx_buf_put(out, s + start, n - start);
	nx_buf_put_u8(out, '"');
}

void nx_json_key(struct nx_json *json, const char *key)
{
	assert(!json->after_key);
	value_begin(json);
	put_string(json->out, (const uint8_t *)key, strlen(key));
	nx_buf_put_u8(json->out, ':');
	json->after_key = true;
}

void nx_json_str_n(struct nx_json *json, const char *s, size_t n)
{
	value_begin(json);
	put_string(json->out, (const uint8_t *)s, n);
}

void nx_json_str(struct nx_json *json, const char *s)
{
	if (s)
		nx_json_str_n(json, s, strlen(s));
	else
		nx_json_null(json);
}

void nx_json_int(struct nx_json *json, int64_t v)
{
	value_begin(json);
	nx_buf_printf(json->out, "%" PRId64, v);
}

void nx_json_uint(struct nx_json *json, uint64_t v)
{
	value_begin(json);
	nx_buf_printf(json->out, "%" PRIu64, v);
}

/* The shortest of 15 to 17 digits that reads back as the same number. */
void nx_json_double(struct nx_json *json, double v)
{
	char text[32];

	if (!isfinite(v)) {
		nx_json_str(json, isnan(v) ? "NaN" : v > 0 ? "inf" : "-inf");
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	value_begin(json);
	nx_buf_put_str(json->out, text);
}

void nx_json_bool(struct nx_json *json, bool v)
{
	value_begin(json);
	nx_buf_put_str(json->out, v ? "true" : "false");
}

void nx_json_null(struct nx_json *json)
{
	value_begin(json);
	nx_buf_put_str(json->out, "null");
}

void nx_json_raw(struct nx_json *json, struct nx_slice value)
{
	value_begin(json);
	nx_buf_put_slice(json->out, value);
}

void nx_json_hex(struct nx_json *json, const void *p, size_t n)
{
	const uint8_t *b = p;
	char digits[3];

	value_begin(json);
	nx_buf_put_u8(json->out, '"');
	for (size_t i = 0; i < n; i++) {
		nx_hex_format(b + i, 1, digits);
		nx_buf_put(json->out, digits, 2);
	}
	nx_buf_put_u8(json->out, '"');
}

void nx_json_base64(struct nx_json *json, const void *p, size_t n)
{
	uint8_t *to;

	value_begin(json);
	nx_buf_put_u8(json->out, '"');
	to = nx_buf_reserve(json->out, NX_BASE64_LEN(n) + 1);
	if (to) {
		nx_base64_format(p, n, (char *)to);
		json->out->len += NX_BASE64_LEN(n);
	}
	nx_buf_put_u8(json->out, '"');
}

void nx_json_kv_str(struct nx_json *json, const char *key, const char *s)
{
	nx_json_key(json, key);
	nx_json_str(json, s);
}

void nx_json_kv_int(struct nx_json *json, const char *key, int64_t v)
{
	nx_json_key(json, key);
	nx_json_int(json, v);
}

void nx_json_kv_uint(struct nx_json *json, const char *key, uint64_t v)
{
	nx_json_key(json, key);
	nx_json_uint(json, v);
}

void nx_json_kv_bool(struct nx_json *json, const char *key, bool v)
{
	nx_json_key(json, key);
	nx_json_bool(json, v);
}

void nx_json_kv_hex(struct nx_json *json, const char *key, const void *p, size_t n)
{
	nx_json_key(json, key);
	nx_json_hex(json, p, n);
}

void nx_json_kv_id(struct nx_json *json, const char *key, uint64_t id)
{
	char text[17];

	(void)snprintf(text, sizeof(text), "%016" PRIx64, id);
	nx_json_kv_str(json, key, text);
}

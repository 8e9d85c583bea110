#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BUF_FIRST = 64
};

void nx_buf_init(struct nx_buf *buf, size_t max, unsigned flags)
{
	*buf = (struct nx_buf){.max = max, .flags = flags};
}

void nx_buf_done(struct nx_buf *buf)
{
	if (buf->data && (buf->flags & NX_BUF_WIPE))
		explicit_bzero(buf->data, buf->cap);
	free(buf->data);
	*buf = (struct nx_buf){.max = buf->max, .flags = buf->flags};
}

void nx_buf_clear(struct nx_buf *buf)
{
	if (buf->data && (buf->flags & NX_BUF_WIPE))
		explicit_bzero(buf->data, buf->len);
	buf->len = 0;
	buf->failed = NX_OK;
}

/* Not realloc: it may leave a copy of what must be wiped. */
static bool buf_grow(struct nx_buf *buf, size_t need)
{
	size_t cap = buf->cap ? buf->cap : BUF_FIRST;
	uint8_t *data;

	while (cap < need)
		if (__builtin_add_overflow(cap, cap / 2 + BUF_FIRST, &cap))
			cap = need;
	if (cap > buf->max)
		cap = buf->max;
	data = malloc(cap);
	if (!data) {
		buf->failed = NX_E_NOMEM;
		return false;
	}
	if (buf->data) {
		memcpy(data, buf->data, buf->len);
		if (buf->flags & NX_BUF_WIPE)
			explicit_bzero(buf->data, buf->cap);
	}
	free(buf->data);
	buf->data = data;
	buf->cap = cap;
	return true;
}

uint8_t *nx_buf_reserve(struct nx_buf *buf, size_t n)
{
	if (buf->failed)
		return NULL;
	if (n > buf->max - buf->len) {
		buf->failed = NX_E_LIMIT;
		return NULL;
	}
	if ((!buf->data || n > buf->cap - buf->len) && !buf_grow(buf, buf->len + n))
		return NULL;
	return buf->data + buf->len;
}

void nx_buf_put(struct nx_buf *buf, const void *p, size_t n)
{
	uint8_t *to = n ? nx_buf_reserve(buf, n) : NULL;

	if (!to)
		return;
	memcpy(to, p, n);
	buf->len += n;
}

void nx_buf_put_slice(struct nx_buf *buf, struct nx_slice s)
{
	nx_buf_put(buf, s.p, s.n);
}

void nx_buf_put_str(struct nx_buf *buf, const char *s)
{
	nx_buf_put(buf, s, strlen(s));
}

void nx_buf_put_zero(struct nx_buf *buf, size_t n)
{
	uint8_t *to = n ? nx_buf_reserve(buf, n) : NULL;

	if (!to)
		return;
	memset(to, 0, n);
	buf->len += n;
}

static void put_le(struct nx_buf *buf, uint64_t v, size_t n)
{
	uint8_t b[8];

	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)(v >> (8 * i));
	nx_buf_put(buf, b, n);
}

static void put_be(struct nx_buf *buf, uint64_t v, size_t n)
{
	uint8_t b[8];

	for (size_t i = 0; i < n; i++)
		b[n - 1 - i] = (uint8_t)(v >> (8 * i));
	nx_buf_put(buf, b, n);
}

void nx_buf_put_u8(struct nx_buf *buf, uint8_t v)
{
	nx_buf_put(buf, &v, 1);
}

void nx_buf_put_u16le(struct nx_buf *buf, uint16_t v)
{
	put_le(buf, v, 2);
}

void nx_buf_put_u32le(struct nx_buf *buf, uint32_t v)
{
	put_le(buf, v, 4);
}

void nx_buf_put_u64le(struct nx_buf *buf, uint64_t v)
{
	put_le(buf, v, 8);
}

void nx_buf_put_u16be(struct nx_buf *buf, uint16_t v)
{
	put_be(buf, v, 2);
}

void nx_buf_put_u32be(struct nx_buf *buf, uint32_t v)
{
	put_be(buf, v, 4);
}

void nx_buf_put_u64be(struct nx_buf *buf, uint64_t v)
{
	put_be(buf, v, 8);
}

void nx_buf_put_varint(struct nx_buf *buf, uint64_t v)
{
	uint8_t b[10];
	size_t n = 0;

	while (v >= 0x80) {
		b[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	b[n++] = (uint8_t)v;
	nx_buf_put(buf, b, n);
}

void nx_buf_put_blob(struct nx_buf *buf, struct nx_slice s)
{
	nx_buf_put_varint(buf, s.n);
	nx_buf_put_slice(buf, s);
}

void nx_buf_printf(struct nx_buf *buf, const char *fmt, ...)
{
	va_list ap;
	uint8_t *to;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) { /* longer than INT_MAX */
		if (!buf->failed)
			buf->failed = NX_E_LIMIT;
		return;
	}
	to = nx_buf_reserve(buf, (size_t)n + 1);
	if (!to)
		return;
	va_start(ap, fmt);
	(void)vsnprintf((char *)to, (size_t)n + 1, fmt, ap);
	va_end(ap);
	buf->len += (size_t)n;
}

nx_rc nx_buf_check(const struct nx_buf *buf, struct nx_err *err)
{
	if (!buf->failed)
		return NX_OK;
	if (buf->failed == NX_E_LIMIT)
		return nx_err_set(
			err, NX_E_LIMIT, "buffer would pass its limit of %zu bytes", buf->max);
	return nx_err_set(err, buf->failed, "no memory for a buffer of %zu bytes", buf->len);
}

const char *nx_buf_cstr(struct nx_buf *buf)
{
	uint8_t *end = nx_buf_reserve(buf, 1);

	if (!end)
		return NULL;
	*end = 0;
	return (const char *)buf->data;
}

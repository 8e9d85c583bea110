/*
 * buf.h - a growing byte buffer with a maximum given at init, and appenders for integers.
 *
 * Layer:   0 (base).
 * Threads: one thread at a time.
 * PHI:     may hold it when made with NX_BUF_WIPE: memory is zeroed before it is given back.
 */
#ifndef NX_BASE_BUF_H
#define NX_BASE_BUF_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/slice.h"

enum nx_buf_flags {
	NX_BUF_WIPE = 1
};

/*
 * A failed append (no memory, or past `max`) sets `failed` and every later append does nothing, so
 * that a sequence of appends is checked once, by nx_buf_check().
 */
struct nx_buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t max;
	unsigned flags;
	nx_rc failed; /* NX_OK, NX_E_NOMEM or NX_E_LIMIT */
};

void nx_buf_init(struct nx_buf *buf, size_t max, unsigned flags);
void nx_buf_done(struct nx_buf *buf);
NX_DEFINE_AUTO_DONE(nx_buf);
void nx_buf_clear(struct nx_buf *buf); /* empty and usable again; keeps the memory */

/* Room for `n` more bytes at data + len; NULL when that failed.  The caller adds to len what it
 * filled. */
uint8_t *nx_buf_reserve(struct nx_buf *buf, size_t n);

void nx_buf_put(struct nx_buf *buf, const void *p, size_t n);
void nx_buf_put_slice(struct nx_buf *buf, struct nx_slice s);
void nx_buf_put_str(struct nx_buf *buf, const char *s); /* without the NUL */
void nx_buf_put_zero(struct nx_buf *buf, size_t n);
void nx_buf_put_u8(struct nx_buf *buf, uint8_t v);
void nx_buf_put_u16le(struct nx_buf *buf, uint16_t v);
void nx_buf_put_u32le(struct nx_buf *buf, uint32_t v);
void nx_buf_put_u64le(struct nx_buf *buf, uint64_t v);
void nx_buf_put_u16be(struct nx_buf *buf, uint16_t v);
void nx_buf_put_u32be(struct nx_buf *buf, uint32_t v);
void nx_buf_put_u64be(struct nx_buf *buf, uint64_t v);
void nx_buf_put_varint(struct nx_buf *buf, uint64_t v);      /* LEB128, at most 10 bytes */
void nx_buf_put_blob(struct nx_buf *buf, struct nx_slice s); /* varint length, then the bytes */
/* Within `max` there must also be room for a NUL, here and in nx_buf_cstr(). */
void nx_buf_printf(struct nx_buf *buf, const char *fmt, ...) NX_PRINTF(2, 3);

static inline struct nx_slice nx_buf_slice(const struct nx_buf *buf)
{
	return nx_slice(buf->data, buf->len);
}

/* NX_OK, or the first failure of any append since init or clear. */
NX_NODISCARD nx_rc nx_buf_check(const struct nx_buf *buf, struct nx_err *err);

/* A NUL-terminated view of the content, valid until the next append; NULL when an append had
 * failed. */
const char *nx_buf_cstr(struct nx_buf *buf);

#endif

/*
 * rd.h - a cursor over untrusted bytes; every read fails on short input and then leaves the cursor
 * in place.
 *
 * Layer:   0 (base).
 * Threads: one thread at a time.
 */
#ifndef NX_BASE_RD_H
#define NX_BASE_RD_H

#include "base/slice.h"

struct nx_rd {
	const uint8_t *p;
	size_t n; /* bytes left */
};

static inline struct nx_rd nx_rd(struct nx_slice s)
{
	return (struct nx_rd){s.p, s.n};
}

/* Borrow the next `n` bytes. */
static inline bool nx_rd_bytes(struct nx_rd *rd, size_t n, struct nx_slice *ret)
{
	if (n > rd->n)
		return false;
	*ret = nx_slice(rd->p, n);
	if (n) /* an empty cursor may stand at NULL */
		rd->p += n;
	rd->n -= n;
	return true;
}

static inline bool nx_rd_skip(struct nx_rd *rd, size_t n)
{
	struct nx_slice s;

	return nx_rd_bytes(rd, n, &s);
}

static inline bool nx_rd_copy(struct nx_rd *rd, void *to, size_t n)
{
	struct nx_slice s;

	if (!nx_rd_bytes(rd, n, &s))
		return false;
	if (n)
		memcpy(to, s.p, n);
	return true;
}

#define NX_RD_DEFINE(name, type, le)                                                              \
	static inline bool name(struct nx_rd *rd, type *ret)                                      \
	{                                                                                         \
		struct nx_slice s;                                                                \
		type v = 0;                                                                       \
		if (!nx_rd_bytes(rd, sizeof(type), &s))                                           \
			return false;                                                             \
		for (size_t i = 0; i < sizeof(type); i++)                                         \
			v = (type)(v |                                                            \
				(type)((type)s.p[i] << (8 * ((le) ? i : sizeof(type) - 1 - i)))); \
		*ret = v;                                                                         \
		return true;                                                                      \
	}

NX_RD_DEFINE(nx_rd_u8, uint8_t, 1)
NX_RD_DEFINE(nx_rd_u16le, uint16_t, 1)
NX_RD_DEFINE(nx_rd_u32le, uint32_t, 1)
NX_RD_DEFINE(nx_rd_u64le, uint64_t, 1)
NX_RD_DEFINE(nx_rd_u16be, uint16_t, 0)
NX_RD_DEFINE(nx_rd_u32be, uint32_t, 0)
NX_RD_DEFINE(nx_rd_u64be, uint64_t, 0)

/* LEB128; more than 10 bytes, or bits past the 64th, fail. */
static inline bool nx_rd_varint(struct nx_rd *rd, uint64_t *ret)
{
	struct nx_rd at = *rd;
	uint64_t v = 0;
	uint8_t b = 0x80;

	for (unsigned shift = 0; b & 0x80; shift += 7) {
		if (shift > 63 || !nx_rd_u8(&at, &b) || (shift == 63 && b > 1))
			return false;
		v |= (uint64_t)(b & 0x7f) << shift;
	}
	*ret = v;
	*rd = at;
	return true;
}

/* A varint length, then that many bytes, borrowed. */
static inline bool nx_rd_blob(struct nx_rd *rd, struct nx_slice *ret)
{
	struct nx_rd at = *rd;
	uint64_t n;

	if (!nx_rd_varint(&at, &n) || n > at.n || !nx_rd_bytes(&at, (size_t)n, ret))
		return false;
	*rd = at;
	return true;
}

#endif

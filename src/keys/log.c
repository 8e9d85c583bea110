#include <assert.h>
#include <string.h>

#include "base/enc.h"
#include "keys/keys_priv.h"

/*
 * Header, 64 bytes, integers little-endian:
 *
 *    0  8  magic "NXKEYS1\n"
 *    8  4  compat flags      unknown: read only
 *   12  4  incompat flags    unknown: refuse
 *   16  8  generation
 *   24  8  root version
 *   32 16  store id
 *   48 12  zero
 *   60  4  CRC-32C of bytes 0..59
 *
 * Then records:
 *
 *    0  1  type
 *    1  1  zero
 *    2  2  body length n
 *    4  4  CRC-32C of bytes 0..3
 *    8  n  body
 *  8+n  4  CRC-32C of bytes 0..7+n
 */
static const char magic[8] = "NXKEYS1\n";

enum {
	INCOMPAT_KNOWN = 0,
	REC_HEAD = 8,
	REC_TAIL = 4,
	SECTOR = 512,
};

void nx_keylog_header_put(struct nx_buf *buf, const struct nx_keylog_header *header)
{
	size_t start = buf->len;

	nx_buf_put(buf, magic, sizeof(magic));
	nx_buf_put_u32le(buf, header->compat);
	nx_buf_put_u32le(buf, header->incompat);
	nx_buf_put_u64le(buf, header->generation);
	nx_buf_put_u64le(buf, header->root_version);
	nx_buf_put(buf, header->store_id, sizeof(header->store_id));
	nx_buf_put_zero(buf, 12);
	if (!buf->failed)
		nx_buf_put_u32le(buf, nx_crc32c(0, buf->data + start, NX_KEYLOG_HEADER_LEN - 4));
}

static nx_rc header_parse(struct nx_slice file, struct nx_keylog_header *ret, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(file);
	uint8_t got[sizeof(magic)];
	uint32_t crc = 0;

	if (!nx_rd_copy(&rd, got, sizeof(got)) || memcmp(got, magic, sizeof(magic)) != 0)
		return nx_err_set(err, NX_E_CORRUPT, "not a key log");
	if (!nx_rd_u32le(&rd, &ret->compat) || !nx_rd_u32le(&rd, &ret->incompat) ||
		!nx_rd_u64le(&rd, &ret->generation) || !nx_rd_u64le(&rd, &ret->root_version) ||
		!nx_rd_copy(&rd, ret->store_id, sizeof(ret->store_id)) || !nx_rd_skip(&rd, 12) ||
		!nx_rd_u32le(&rd, &crc))
		return nx_err_set(err, NX_E_CORRUPT, "key log of %zu bytes", file.n);
	if (crc != nx_crc32c(0, file.p, NX_KEYLOG_HEADER_LEN - 4))
		return nx_err_set(err, NX_E_CORRUPT, "key log header does not match its checksum");
	if (ret->incompat & ~(uint32_t)INCOMPAT_KNOWN)
		return nx_err_set(
			err, NX_E_VERSION, "key log has incompat flags %#x", ret->incompat);
	return NX_OK;
}

static void name_put(struct nx_buf *buf, struct nx_slice name)
{
	assert(name.n < NX_LIMIT_NAME);
	nx_buf_put_u8(buf, (uint8_t)name.n);
	nx_buf_put_slice(buf, name);
}

static bool name_get(struct nx_rd *rd, struct nx_slice *ret)
{
	uint8_t n;

	return nx_rd_u8(rd, &n) && n > 0 && n < NX_LIMIT_NAME && nx_rd_bytes(rd, n, ret) &&
		!memchr(ret->p, 0, n);
}

static void root_wrap_put(struct nx_buf *buf, struct nx_slice wrap)
{
	assert(wrap.n <= NX_ROOT_WRAP_MAX);
	nx_buf_put_u16le(buf, (uint16_t)wrap.n);
	nx_buf_put_slice(buf, wrap);
}

static bool root_wrap_get(struct nx_rd *rd, struct nx_slice *ret)
{
	uint16_t n;

	return nx_rd_u16le(rd, &n) && n > 0 && n <= NX_ROOT_WRAP_MAX && nx_rd_bytes(rd, n, ret);
}

static void body_put(struct nx_buf *buf, const struct nx_keyrec *rec)
{
	switch ((enum nx_keyrec_type)rec->type) {
	case NX_KEYREC_SITE:
		name_put(buf, rec->name);
		root_wrap_put(buf, rec->wrap);
		break;
	case NX_KEYREC_DOMAIN:
		nx_buf_put_u32le(buf, rec->domain);
		nx_buf_put_u32le(buf, rec->version);
		name_put(buf, rec->name);
		root_wrap_put(buf, rec->wrap);
		break;
	case NX_KEYREC_PURPOSE:
		nx_buf_put_u32le(buf, rec->domain);
		nx_buf_put_u32le(buf, rec->version);
		name_put(buf, rec->name);
		nx_buf_put(buf, rec->wrap.p, NX_KW_LEN);
		break;
	case NX_KEYREC_NODE:
		nx_buf_put_u32le(buf, rec->domain);
		nx_buf_put_u32le(buf, rec->node);
		nx_buf_put_u32le(buf, rec->version);
		nx_buf_put(buf, rec->wrap.p, NX_KW_LEN);
		break;
	case NX_KEYREC_SUBJECT:
		nx_buf_put_u32le(buf, rec->domain);
		nx_buf_put_u32le(buf, rec->node);
		nx_buf_put_u64le(buf, rec->subject);
		nx_buf_put(buf, rec->wrap.p, NX_KW_LEN);
		break;
	case NX_KEYREC_ERASED:
		nx_buf_put_u64le(buf, rec->subject);
		nx_buf_put_u64le(buf, (uint64_t)rec->time_us);
		break;
	}
}

static bool body_get(struct nx_rd *rd, struct nx_keyrec *rec)
{
	uint64_t time_us;

	switch ((enum nx_keyrec_type)rec->type) {
	case NX_KEYREC_SITE:
		return name_get(rd, &rec->name) && root_wrap_get(rd, &rec->wrap);
	case NX_KEYREC_DOMAIN:
		return nx_rd_u32le(rd, &rec->domain) && nx_rd_u32le(rd, &rec->version) &&
			name_get(rd, &rec->name) && root_wrap_get(rd, &rec->wrap);
	case NX_KEYREC_PURPOSE:
		return nx_rd_u32le(rd, &rec->domain) && nx_rd_u32le(rd, &rec->version) &&
			name_get(rd, &rec->name) && nx_rd_bytes(rd, NX_KW_LEN, &rec->wrap);
	case NX_KEYREC_NODE:
		return nx_rd_u32le(rd, &rec->domain) && nx_rd_u32le(rd, &rec->node) &&
			nx_rd_u32le(rd, &rec->version) && nx_rd_bytes(rd, NX_KW_LEN, &rec->wrap);
	case NX_KEYREC_SUBJECT:
		return nx_rd_u32le(rd, &rec->domain) && nx_rd_u32le(rd, &rec->node) &&
			nx_rd_u64le(rd, &rec->subject) && nx_rd_bytes(rd, NX_KW_LEN, &rec->wrap);
	case NX_KEYREC_ERASED:
		if (!nx_rd_u64le(rd, &rec->subject) || !nx_rd_u64le(rd, &time_us))
			return false;
		rec->time_us = (int64_t)time_us;
		return true;
	}
	return false;
}

static void u16_set(uint8_t *to, size_t v)
{
	to[0] = (uint8_t)v;
	to[1] = (uint8_t)(v >> 8);
}

static void u32_set(uint8_t *to, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		to[i] = (uint8_t)(v >> (8 * i));
}

void nx_keyrec_put(struct nx_buf *buf, const struct nx_keyrec *rec)
{
	size_t start = buf->len;
	uint8_t *head;

	nx_buf_put_u8(buf, rec->type);
	nx_buf_put_zero(buf, REC_HEAD - 1);
	body_put(buf, rec);
	if (buf->failed)
		return;
	assert(buf->len - start + REC_TAIL <= NX_KEYREC_MAX);
	head = buf->data + start;
	u16_set(head + 2, buf->len - start - REC_HEAD);
	u32_set(head + 4, nx_crc32c(0, head, 4));
	nx_buf_put_u32le(buf, nx_crc32c(0, head, buf->len - start));
}

bool nx_keyrec_next(struct nx_rd *rd, struct nx_keyrec *ret_rec)
{
	struct nx_keyrec rec = {0};
	struct nx_rd at = *rd, in;
	struct nx_slice body;
	uint32_t crc;
	uint16_t n;
	uint8_t zero;

	if (!nx_rd_u8(&at, &rec.type) || !nx_rd_u8(&at, &zero) || !nx_rd_u16le(&at, &n) ||
		!nx_rd_u32le(&at, &crc) || zero != 0 || crc != nx_crc32c(0, rd->p, 4))
		return false;
	if (!nx_rd_bytes(&at, n, &body) || !nx_rd_u32le(&at, &crc) ||
		crc != nx_crc32c(0, rd->p, (size_t)REC_HEAD + n))
		return false;
	in = nx_rd(body);
	if (!body_get(&in, &rec) || in.n != 0)
		return false;
	*ret_rec = rec;
	*rd = at;
	return true;
}

/* Where records stop being good: does it look like an append that the power cut short? */
static bool tail_is_torn(struct nx_slice file, size_t from)
{
	static const uint8_t zero[SECTOR];
	struct nx_rd rd = nx_rd(nx_slice(file.p + from, file.n - from));
	uint32_t crc = 0;
	uint16_t n = 0;

	/* The file ends inside the record's head, or inside a record whose head is good. */
	if (rd.n < REC_HEAD)
		return true;
	(void)(nx_rd_skip(&rd, 2) && nx_rd_u16le(&rd, &n) && nx_rd_u32le(&rd, &crc));
	if (crc == nx_crc32c(0, file.p + from, 4) && rd.n < (size_t)n + REC_TAIL)
		return true;
	/* Or a sector was allocated and never written. */
	while (from < file.n) {
		size_t end = (from / SECTOR + 1) * SECTOR;

		if (end > file.n)
			end = file.n;
		if (memcmp(file.p + from, zero, end - from) == 0)
			return true;
		from = end;
	}
	return false;
}

nx_rc nx_keylog_check(struct nx_slice file, struct nx_keylog *ret_log, struct nx_err *err)
{
	struct nx_keylog log = {0};
	struct nx_keyrec rec;
	struct nx_rd rd;
	nx_rc rc = header_parse(file, &log.header, err);

	if (rc)
		return rc;
	rd = nx_rd(nx_slice(file.p + NX_KEYLOG_HEADER_LEN, file.n - NX_KEYLOG_HEADER_LEN));
	while (nx_keyrec_next(&rd, &rec))
		;
	log.valid = file.n - rd.n;
	if (rd.n == 0)
		log.end = NX_KEYLOG_CLEAN;
	else
		log.end = tail_is_torn(file, log.valid) ? NX_KEYLOG_TORN : NX_KEYLOG_DAMAGED;
	*ret_log = log;
	return NX_OK;
}

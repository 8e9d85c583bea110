/* Headers of packs and units: docs/PACK-FORMAT.md has their bytes. */
#include "archive/archive_priv.h"

#include "base/enc.h"
#include "base/rd.h"

static const char pack_magic[8] = "NXPACK1\n";
static const char unit_magic[][4] = {[UNIT_GROUP] = "NXUG", [UNIT_DATA] = "NXUD"};

enum {
	FORMAT_VERSION = 1
};

static void put_le(uint8_t *to, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)(v >> (8 * i));
}

void pack_header_format(const struct pack_header *h, uint8_t ret[PACK_HEADER_LEN])
{
	memset(ret, 0, PACK_HEADER_LEN);
	memcpy(ret, pack_magic, sizeof(pack_magic));
	put_le(ret + 8, FORMAT_VERSION, 2);
	ret[14] = h->cls;
	put_le(ret + 16, h->pack, 8);
	put_le(ret + 24, h->domain, 4);
	put_le(ret + 28, (uint64_t)h->created_us, 8);
	put_le(ret + 60, nx_crc32c(0, ret, 60), 4);
}

/* The CRC over bytes 0-59 matches bytes 60-63. */
static bool crc_matches(const uint8_t b[64])
{
	uint8_t crc[4];

	put_le(crc, nx_crc32c(0, b, 60), 4);
	return memcmp(crc, b + 60, 4) == 0;
}

nx_rc pack_header_parse(
	const uint8_t b[PACK_HEADER_LEN], struct pack_header *ret, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(nx_slice(b, PACK_HEADER_LEN));
	uint16_t version = 0, compat = 0, incompat = 0;
	uint8_t zero = 0;
	uint64_t created = 0;

	if (memcmp(b, pack_magic, sizeof(pack_magic)) != 0 || !crc_matches(b))
		return nx_err_set(err, NX_E_CORRUPT, "not a pack header");
	if (!nx_rd_skip(&rd, 8) || !nx_rd_u16le(&rd, &version) || !nx_rd_u16le(&rd, &compat) ||
		!nx_rd_u16le(&rd, &incompat) || !nx_rd_u8(&rd, &ret->cls) ||
		!nx_rd_u8(&rd, &zero) || !nx_rd_u64le(&rd, &ret->pack) ||
		!nx_rd_u32le(&rd, &ret->domain) || !nx_rd_u64le(&rd, &created))
		return nx_err_set(err, NX_E_CORRUPT, "pack header too short");
	if (version != FORMAT_VERSION || incompat)
		return nx_err_set(
			err, NX_E_VERSION, "pack version %u, flags %x", version, incompat);
	ret->created_us = (int64_t)created;
	return NX_OK;
}

void unit_header_format(const struct unit_header *h, uint8_t ret[UNIT_HEADER_LEN])
{
	memset(ret, 0, UNIT_HEADER_LEN);
	memcpy(ret, unit_magic[h->kind], 4);
	put_le(ret + 4, FORMAT_VERSION, 2);
	put_le(ret + 8, h->seq, 8);
	put_le(ret + 16, h->total_len, 8);
	put_le(ret + 24, h->extents_len, 8);
	put_le(ret + 32, h->record_len, 8);
	put_le(ret + 40, (uint64_t)h->time_us, 8);
	put_le(ret + 48, h->extents_crc, 4);
	put_le(ret + 52, h->record_crc, 4);
	put_le(ret + 60, nx_crc32c(0, ret, 60), 4);
}

static bool lengths_fit(const struct unit_header *h)
{
	uint64_t sum;

	return h->total_len % UNIT_ALIGN == 0 && h->total_len <= NX_PACK_MAX &&
		h->record_len <= NX_LIMIT_GROUP_RECORD &&
		!__builtin_add_overflow(h->extents_len, h->record_len, &sum) &&
		sum <= h->total_len - UNIT_HEADER_LEN && h->total_len >= UNIT_HEADER_LEN;
}

nx_rc unit_header_parse(
	const uint8_t b[UNIT_HEADER_LEN], struct unit_header *ret, struct nx_err *err)
{
	static const uint8_t zeros[UNIT_HEADER_LEN];
	struct nx_rd rd = nx_rd(nx_slice(b, UNIT_HEADER_LEN));
	uint16_t version = 0, incompat = 0;
	uint64_t time_us = 0;

	if (memcmp(b, zeros, UNIT_HEADER_LEN) == 0)
		return nx_err_set(err, NX_E_NOENT, "end of pack");
	if (!crc_matches(b))
		return nx_err_set(err, NX_E_CORRUPT, "not a unit header");
	ret->kind = memcmp(b, unit_magic[UNIT_GROUP], 4) == 0 ? UNIT_GROUP : UNIT_DATA;
	if (memcmp(b, unit_magic[ret->kind], 4) != 0)
		return nx_err_set(err, NX_E_CORRUPT, "unit magic");
	if (!nx_rd_skip(&rd, 4) || !nx_rd_u16le(&rd, &version) || !nx_rd_u16le(&rd, &incompat) ||
		!nx_rd_u64le(&rd, &ret->seq) || !nx_rd_u64le(&rd, &ret->total_len) ||
		!nx_rd_u64le(&rd, &ret->extents_len) || !nx_rd_u64le(&rd, &ret->record_len) ||
		!nx_rd_u64le(&rd, &time_us) || !nx_rd_u32le(&rd, &ret->extents_crc) ||
		!nx_rd_u32le(&rd, &ret->record_crc))
		return nx_err_set(err, NX_E_CORRUPT, "unit header too short");
	if (version != FORMAT_VERSION || incompat)
		return nx_err_set(
			err, NX_E_VERSION, "unit version %u, flags %x", version, incompat);
	ret->time_us = (int64_t)time_us;
	if (!lengths_fit(ret))
		return nx_err_set(err, NX_E_CORRUPT, "unit lengths");
	return NX_OK;
}

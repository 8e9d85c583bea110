#include "store/extent.h"

#include <assert.h>
#include <string.h>

#include "base/rd.h"
#include "crypto/crypto.h"
#include "store/extent_priv.h"

/*
 * The header of an extent, version 1, little-endian.
 *
 *   offset length field
 *        0      4 magic "NXEX"
 *        4      1 version, 1
 *        5      1 suite, 1: AES-256-GCM
 *        6      2 data_off: of the first segment after the header's first byte, 32 or 4096
 *        8      4 segment length, 262144
 *       12      2 compat flags: unknown ones do not hinder reading
 *       14      2 incompat flags: unknown ones are NX_E_VERSION
 *       16     16 record id, random
 */
enum {
	VERSION = 1,
	NONCE_SEG_AT = 4,
	AAD_LEN = 1 + NX_RECORD_ID_LEN + 8,
	AAD_LAST_LEN = AAD_LEN + 8,
};
static const uint8_t magic[4] = {'N', 'X', 'E', 'X'};
_Static_assert(4 + 1 + 1 + 2 + 4 + 2 + 2 + NX_RECORD_ID_LEN == NX_EXTENT_HEADER_LEN, "header");

static void le_put(uint8_t *p, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

void nx_extent_header_format(const uint8_t record_id[NX_RECORD_ID_LEN], uint16_t data_off,
	uint8_t ret[NX_EXTENT_HEADER_LEN])
{
	assert(data_off == NX_EXTENT_DATA_SMALL || data_off == NX_EXTENT_DATA_BULK);
	memset(ret, 0, NX_EXTENT_HEADER_LEN);
	memcpy(ret, magic, sizeof(magic));
	ret[4] = VERSION;
	ret[5] = NX_SUITE_AES256GCM;
	le_put(ret + 6, data_off, 2);
	le_put(ret + 8, NX_SEG_LEN, 4);
	memcpy(ret + 16, record_id, NX_RECORD_ID_LEN);
}

nx_rc nx_extent_header_parse(const uint8_t hdr[NX_EXTENT_HEADER_LEN],
	uint8_t ret_record_id[NX_RECORD_ID_LEN], uint16_t *ret_data_off, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(nx_slice(hdr, NX_EXTENT_HEADER_LEN));
	uint8_t id[NX_RECORD_ID_LEN];
	uint32_t segment_len = 0;
	struct nx_slice head;
	uint16_t data_off = 0;
	uint16_t compat;
	uint16_t incompat = 0;
	uint8_t version = 0;
	uint8_t suite = 0;

	if (!nx_rd_bytes(&rd, sizeof(magic), &head) ||
		!nx_slice_eq(head, nx_slice(magic, sizeof(magic))))
		return nx_err_set(err, NX_E_CORRUPT, "no extent here");
	/* The length is fixed: these cannot run short. */
	if (!nx_rd_u8(&rd, &version) || !nx_rd_u8(&rd, &suite) || !nx_rd_u16le(&rd, &data_off) ||
		!nx_rd_u32le(&rd, &segment_len) || !nx_rd_u16le(&rd, &compat) ||
		!nx_rd_u16le(&rd, &incompat) || !nx_rd_copy(&rd, id, sizeof(id)))
		return nx_err_set(err, NX_E_CORRUPT, "extent header ends early");
	if (version != VERSION || suite != NX_SUITE_AES256GCM || segment_len != NX_SEG_LEN ||
		incompat != 0)
		return nx_err_set(err, NX_E_VERSION,
			"extent version %u, suite %u, segments of %u, flags %u", version, suite,
			segment_len, incompat);
	if (data_off != NX_EXTENT_DATA_SMALL && data_off != NX_EXTENT_DATA_BULK)
		return nx_err_set(err, NX_E_CORRUPT, "extent data at %u", data_off);
	memcpy(ret_record_id, id, sizeof(id));
	*ret_data_off = data_off;
	return NX_OK;
}

void nx_extent_key(const struct nx_extent_seal *seal, struct nx_key *ret_key)
{
	uint8_t context[4];

	le_put(context, seal->index, sizeof(context));
	nx_hkdf(seal->blob_key, "extent", nx_slice(context, sizeof(context)), ret_key);
}

/* Its nonce and associated data. */
static struct nx_slice segment_params(const struct nx_segment *segment,
	uint8_t nonce[NX_GCM_NONCE_LEN], uint8_t aad[AAD_LAST_LEN])
{
	memset(nonce, 0, NONCE_SEG_AT);
	le_put(nonce + NONCE_SEG_AT, segment->number, 8);
	aad[0] = NX_SUITE_AES256GCM;
	memcpy(aad + 1, segment->record_id, NX_RECORD_ID_LEN);
	le_put(aad + 1 + NX_RECORD_ID_LEN, segment->number, 8);
	le_put(aad + AAD_LEN, segment->total, 8);
	return nx_slice(aad, segment->total ? AAD_LAST_LEN : AAD_LEN);
}

void nx_segment_seal(struct nx_gcm *gcm, const struct nx_segment *segment, const void *pt, size_t n,
	void *ct, uint8_t ret_tag[16])
{
	uint8_t nonce[NX_GCM_NONCE_LEN];
	uint8_t aad[AAD_LAST_LEN];
	struct nx_slice ad = segment_params(segment, nonce, aad);

	nx_gcm_seal(gcm, nonce, ad, pt, n, ct, ret_tag);
}

bool nx_segment_open(struct nx_gcm *gcm, const struct nx_segment *segment, const void *ct, size_t n,
	const uint8_t tag[16], void *pt)
{
	uint8_t nonce[NX_GCM_NONCE_LEN];
	uint8_t aad[AAD_LAST_LEN];
	struct nx_slice ad = segment_params(segment, nonce, aad);

	return nx_gcm_open(gcm, nonce, ad, ct, n, tag, pt);
}

nx_rc nx_extent_seal_small(
	const struct nx_key *blob_key, const void *pt, uint32_t n, uint8_t *out, struct nx_err *err)
{
	const uint8_t *from = pt;
	uint8_t *data = out + NX_EXTENT_DATA_SMALL;
	uint8_t *tags = data + n;
	uint32_t segments = nx_extent_segments(n);
	NX_AUTO_DONE(nx_key) key = {{0}};
	NX_AUTO(nx_gcm) *gcm = NULL;
	uint8_t record_id[NX_RECORD_ID_LEN];

	assert(n > 0 && n <= NX_EXTENT_MAX);
	nx_extent_key(&(struct nx_extent_seal){.blob_key = blob_key}, &key);
	gcm = nx_gcm_new(&key);
	if (!gcm)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a cipher");
	nx_random(record_id, sizeof(record_id));
	nx_extent_header_format(record_id, NX_EXTENT_DATA_SMALL, out);
	for (uint32_t seg = 0; seg < segments; seg++) {
		uint32_t at = seg * NX_SEG_LEN;
		bool last = seg + 1 == segments;

		nx_segment_seal(gcm,
			&(struct nx_segment){
				.record_id = record_id, .number = seg, .total = last ? n : 0},
			from + at, last ? n - at : NX_SEG_LEN, data + at,
			tags + (size_t)seg * NX_TAG_LEN);
	}
	return NX_OK;
}

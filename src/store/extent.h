/*
 * extent.h - the sealed form of a run of bytes inside a pack (docs/PACK-FORMAT.md).
 *
 * Layer:   2 (store).  Uses base, crypto.
 * Threads: pure functions over the caller's buffers.
 * PHI:     plaintext goes in, ciphertext comes out; keys are the caller's.
 *
 * An extent is: header (32 bytes, at `bulk` zero-padded to 4096), the sealed segments of
 * NX_SEGMENT_LEN contiguous (ciphertext has the length of the plaintext), then one 16-byte tag per
 * segment.  AES-256-GCM, nonce = 4 zero bytes and the segment number (u64le); associated data =
 * suite (1 byte), record id (16), segment number (u64le), and for the last segment the total
 * plaintext length (u64le).  The key is the blob's, drawn anew for every write attempt, and extent
 * i of a blob uses HKDF(blob key, "extent", u32le i).
 */
#ifndef NX_STORE_EXTENT_H
#define NX_STORE_EXTENT_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/secret.h"
#include "base/slice.h"

struct nx_gcm;
struct nx_pool;

enum {
	NX_EXTENT_HEADER_LEN = 32,
	NX_RECORD_ID_LEN = 16,
	NX_SUITE_AES256GCM = 1,
};

/* Where an extent rests.  `len` is the plaintext length (1..NX_EXTENT_MAX); the stored length
 * follows from it. */
struct nx_extent {
	uint64_t pack;
	uint64_t off; /* of the header */
	uint32_t len;
	uint16_t data_off; /* of the first segment after `off`: 32 or 4096 */
};

static inline uint32_t nx_extent_segments(uint32_t len)
{
	return (uint32_t)((len + NX_SEGMENT_LEN - 1) / NX_SEGMENT_LEN);
}
/* Header, segments and tags, without padding. */
static inline uint64_t nx_extent_stored(const struct nx_extent *e)
{
	return (uint64_t)e->data_off + e->len + 16ull * nx_extent_segments(e->len);
}

void nx_extent_header_format(const uint8_t record_id[NX_RECORD_ID_LEN], uint16_t data_off,
	uint8_t ret[NX_EXTENT_HEADER_LEN]);
/* NX_E_CORRUPT, NX_E_VERSION. */
NX_NODISCARD nx_rc nx_extent_header_parse(const uint8_t hdr[NX_EXTENT_HEADER_LEN],
	uint8_t ret_record_id[NX_RECORD_ID_LEN], uint16_t *ret_data_off, struct nx_err *err);

/* What an extent is sealed with: it is number `index` of the blob that has the key. */
struct nx_extent_seal {
	const struct nx_key *blob_key;
	uint32_t index;
};
void nx_extent_key(const struct nx_extent_seal *seal, struct nx_key *ret_key);

/* Which segment it is: what nonce and associated data say. */
struct nx_segment {
	const uint8_t *record_id; /* NX_RECORD_ID_LEN bytes */
	uint64_t number;
	uint64_t total; /* the extent's plaintext length for its last segment, else 0 */
};
/* ct may be pt. */
void nx_segment_seal(struct nx_gcm *gcm, const struct nx_segment *segment, const void *pt, size_t n,
	void *ct, uint8_t ret_tag[16]);
NX_NODISCARD bool nx_segment_open(struct nx_gcm *gcm, const struct nx_segment *segment,
	const void *ct, size_t n, const uint8_t tag[16], void *pt);

/* Seal a whole small extent (data_off 32) of `n` bytes into `out`, which has room for 32 + n +
 * tags. */
nx_rc nx_extent_seal_small(const struct nx_key *blob_key, const void *pt, uint32_t n, uint8_t *out,
	struct nx_err *err);

/*
 * Read and authenticate plaintext [off, off + n) of an extent into `p`.  Touches only the segments
 * that the range needs.  NX_E_CORRUPT names pack, extent offset and segment; nothing of a bad
 * segment is ever in `p`.
 */
NX_NODISCARD nx_rc nx_extent_read(struct nx_pool *pool, const struct nx_extent *e,
	const struct nx_extent_seal *seal, uint32_t off, void *p, size_t n, struct nx_err *err);

/* Authenticate every segment without giving the plaintext out (scrub). */
NX_NODISCARD nx_rc nx_extent_check(struct nx_pool *pool, const struct nx_extent *e,
	const struct nx_extent_seal *seal, struct nx_err *err);

/*
 * A writer of one extent of at most `cap` bytes at a fixed place in a bulk pack: hashes nothing,
 * seals segments as they fill, writes aligned runs of up to 1 MiB while more is arriving.
 */
struct nx_extent_writer;
NX_NODISCARD nx_rc nx_extent_writer_new(struct nx_pool *pool, uint64_t pack, uint64_t off,
	uint32_t cap, const struct nx_extent_seal *seal, struct nx_extent_writer **ret_w,
	struct nx_err *err);
struct nx_extent_writer *nx_extent_writer_free(
	struct nx_extent_writer *w); /* unfinished: abandoned */
NX_DEFINE_AUTO(nx_extent_writer);
NX_NODISCARD nx_rc nx_extent_writer_put(
	struct nx_extent_writer *w, const void *p, size_t n, struct nx_err *err);
/*
 * The same without a copy: up to *ret_n bytes (at least 1) may be put at *ret_p, and commit says
 * how many were; 0 is fine.  NX_E_LIMIT when the extent has `cap` bytes already.  Nothing else may
 * be called between the two.
 */
NX_NODISCARD nx_rc nx_extent_writer_reserve(
	struct nx_extent_writer *w, uint8_t **ret_p, size_t *ret_n, struct nx_err *err);
NX_NODISCARD nx_rc nx_extent_writer_commit(
	struct nx_extent_writer *w, size_t n, struct nx_err *err);
/* The rest is written (not synced).  *ret gets place and length, *ret_crc the CRC-32C of all stored
 * bytes, padding included, *ret_stored their number. */
NX_NODISCARD nx_rc nx_extent_writer_finish(struct nx_extent_writer *w, struct nx_extent *ret,
	uint32_t *ret_crc, uint64_t *ret_stored, struct nx_err *err);

#endif

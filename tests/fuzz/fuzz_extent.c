/*
 * Stored bytes of others: an extent that was not sealed with the key never opens; one that was, and
 * was then damaged, gives its own bytes or none.
 *
 * Input: parameters (11 bytes), then the stored bytes or the plaintext.
 */
#include "fuzz.h"

#include <string.h>
#include <sys/uio.h>

#include "base/limits.h"
#include "base/rd.h"
#include "crypto/crypto.h"
#include "store/extent.h"
#include "store/pool.h"

enum {
	BYTES_MAX = 2 * NX_SEGMENT_LEN,
	OVERHEAD = 4096, /* at least header and tags */
};

struct input {
	uint8_t mode;   /* bit 0: sealed by us; bit 1: data at 4096 */
	uint8_t mask;   /* of the damage */
	uint32_t place; /* of the damage, or the length that the row tells */
	uint16_t off;
	uint16_t n;
	uint8_t scale; /* ranges reach past one segment */
	struct nx_slice bytes;
};

static const struct nx_key key = {{1, 2, 3}};

static bool input_parse(struct nx_slice s, struct input *in)
{
	struct nx_rd rd = nx_rd(s);

	return nx_rd_u8(&rd, &in->mode) && nx_rd_u8(&rd, &in->mask) &&
		nx_rd_u32le(&rd, &in->place) && nx_rd_u16le(&rd, &in->off) &&
		nx_rd_u16le(&rd, &in->n) && nx_rd_u8(&rd, &in->scale) && rd.n > 0 &&
		rd.n <= BYTES_MAX && nx_rd_bytes(&rd, rd.n, &in->bytes);
}

/* Whole blocks that hold the input's bytes, sealed or not. */
static size_t stored_len(const struct input *in)
{
	return (in->bytes.n + OVERHEAD + NX_PACK_ALIGN - 1) / NX_PACK_ALIGN * NX_PACK_ALIGN;
}

static struct nx_pool *pool_with(const uint8_t *stored, size_t n)
{
	struct iovec iov = {nx_aligned_get(n), n};
	struct nx_pool *pool = NULL;

	FUZZ_CHECK(iov.iov_base && nx_pool_open("mem:", &pool, NULL) == NX_OK);
	memcpy(iov.iov_base, stored, n);
	FUZZ_CHECK(nx_pool_create(pool, 1, NULL) == NX_OK);
	FUZZ_CHECK(nx_pool_write(pool, 1, 0, &iov, 1, NULL) == NX_OK);
	nx_aligned_put(iov.iov_base, n);
	return pool;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i])
			return false;
	}
	return true;
}

static void read_check(
	const struct input *in, const struct nx_extent *e, const uint8_t *stored, bool sealed)
{
	NX_AUTO(nx_pool) *pool = pool_with(stored, stored_len(in));
	uint32_t off = in->off * (1u + in->scale % 8);
	size_t n = in->n * (1u + in->scale % 8);
	NX_AUTO_MEM uint8_t *got = calloc(1, n + 1);
	nx_rc rc;

	FUZZ_CHECK(got);
	memset(got, 0xaa, n);
	rc = nx_extent_read(pool, e, &(struct nx_extent_seal){.blob_key = &key}, off, got, n, NULL);
	if (rc || n == 0)
		FUZZ_CHECK(all_zero(got, n));
	else
		FUZZ_CHECK(sealed && memcmp(got, in->bytes.p + off, n) == 0);
	rc = nx_extent_check(pool, e, &(struct nx_extent_seal){.blob_key = &key}, NULL);
	FUZZ_CHECK(sealed || rc);
}

static void foreign(const struct input *in, uint8_t *stored)
{
	const struct nx_extent e = {1, 0, in->place, in->mode & 2 ? 4096 : 32};
	uint8_t id[NX_RECORD_ID_LEN];
	uint16_t data_off;

	memcpy(stored, in->bytes.p, in->bytes.n);
	if (nx_extent_header_parse(stored, id, &data_off, NULL) == NX_OK)
		FUZZ_CHECK(data_off == 32 || data_off == 4096);
	read_check(in, &e, stored, false);
}

static void damaged(const struct input *in, uint8_t *stored)
{
	const struct nx_extent e = {1, 0, (uint32_t)in->bytes.n, NX_EXTENT_HEADER_LEN};

	FUZZ_CHECK(nx_extent_seal_small(&key, in->bytes.p, e.len, stored, NULL) == NX_OK);
	stored[in->place % nx_extent_stored(&e)] ^= in->mask;
	read_check(in, &e, stored, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	NX_AUTO_MEM uint8_t *stored = NULL;
	struct input in;

	if (!input_parse(nx_slice(data, size), &in))
		return 0;
	FUZZ_CHECK(nx_crypto_init(NULL) == NX_OK);
	stored = calloc(1, stored_len(&in));
	FUZZ_CHECK(stored);
	if (in.mode & 1)
		damaged(&in, stored);
	else
		foreign(&in, stored);
	return 0;
}

/* Extents: what goes in comes out, and what was touched does not. */
#include "nx_test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/enc.h"
#include "base/limits.h"
#include "crypto/crypto.h"
#include "store/extent.h"
#include "store/extent_priv.h"
#include "store/pool.h"
#include "store/pool_drv.h"

enum {
	SEG = NX_SEGMENT_LEN,
	PACK = 1,
};

struct fixture {
	struct nx_pool *pool; /* fault:mem: */
	struct nx_key key;
	struct nx_err err;
};

static int setup(void **state)
{
	static struct fixture fx;

	assert_ok(nx_crypto_init(&fx.err), &fx.err);
	assert_ok(nx_pool_open("fault:mem:", &fx.pool, &fx.err), &fx.err);
	assert_ok(nx_pool_create(fx.pool, PACK, &fx.err), &fx.err);
	nx_random(fx.key.b, sizeof(fx.key.b));
	*state = &fx;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;

	fx->pool = nx_pool_free(fx->pool);
	return 0;
}

/* Bytes that differ between segments and are not zero at the ends. */
static uint8_t *plaintext(size_t n)
{
	uint8_t *p = malloc(n);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 37 + i / SEG * 11 + (i >> 11) + 1);
	return p;
}

/* In pieces of `step`; 0: by reserve and commit, as much as there is room for. */
static nx_rc feed(
	struct nx_extent_writer *w, const uint8_t *p, size_t n, size_t step, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	while (n > 0 && !rc) {
		size_t k = step < n ? step : n;
		uint8_t *to;

		if (step == 0) {
			assert_ok(nx_extent_writer_reserve(w, &to, &k, err), err);
			assert_true(k > 0);
			if (k > n)
				k = n;
			memcpy(to, p, k);
			rc = nx_extent_writer_commit(w, k, err);
		} else {
			rc = nx_extent_writer_put(w, p, k, err);
		}
		p += k;
		n -= k;
	}
	return rc;
}

static struct nx_extent write_extent(
	struct fixture *fx, uint64_t off, const uint8_t *p, uint32_t n, uint32_t cap, size_t step)
{
	NX_AUTO(nx_extent_writer) *w = NULL;
	struct nx_extent e = {0};
	uint64_t stored = 0;
	uint32_t crc = 0;
	uint8_t *raw;

	assert_ok(nx_extent_writer_new(fx->pool, PACK, off, cap,
			  &(struct nx_extent_seal){.blob_key = &fx->key, .index = 3}, &w, &fx->err),
		&fx->err);
	assert_ok(feed(w, p, n, step, &fx->err), &fx->err);
	assert_ok(nx_extent_writer_finish(w, &e, &crc, &stored, &fx->err), &fx->err);
	assert_u64(e.off, off);
	assert_u64(e.pack, PACK);
	assert_u64(e.len, n);
	assert_u64(e.data_off, 4096);
	assert_u64(stored, nx_align_up(nx_extent_stored(&e)));
	raw = malloc(stored);
	assert_ok(nx_pool_read(fx->pool, PACK, off, raw, stored, &fx->err), &fx->err);
	assert_u64(nx_crc32c(0, raw, stored), crc);
	free(raw);
	return e;
}

static void expect_range(
	struct fixture *fx, const struct nx_extent *e, const uint8_t *want, uint32_t off, size_t n)
{
	uint8_t *got = malloc(n + 1);

	memset(got, 0xaa, n + 1);
	assert_ok(nx_extent_read(fx->pool, e,
			  &(struct nx_extent_seal){.blob_key = &fx->key, .index = 3}, off, got, n,
			  &fx->err),
		&fx->err);
	assert_memory_equal(got, want + off, n);
	assert_int_equal(got[n], 0xaa);
	free(got);
}

static const uint32_t edges[] = {1, 255 * NX_KIB, SEG, SEG + 1, 2 * SEG, 525000, NX_MIB - 1, NX_MIB,
	NX_MIB + 1, 4 * NX_MIB - 4096, 4 * NX_MIB, 5 * NX_MIB + 77};

static void test_every_edge_length_comes_back(void **state)
{
	struct fixture *fx = *state;
	uint8_t *p = plaintext(6 * NX_MIB);

	for (size_t i = 0; i < NX_ARRAY_LEN(edges); i++) {
		const size_t steps[] = {0, edges[i], 100003};

		for (size_t s = 0; s < NX_ARRAY_LEN(steps); s++) {
			uint32_t cap = s % 2 ? NX_EXTENT_MAX : edges[i];
			struct nx_extent e = write_extent(fx, s * 4096, p, edges[i], cap, steps[s]);

			expect_range(fx, &e, p, 0, edges[i]);
			assert_ok(
				nx_extent_check(fx->pool, &e,
					&(struct nx_extent_seal){.blob_key = &fx->key, .index = 3},
					&fx->err),
				&fx->err);
		}
	}
	free(p);
}

static void test_the_largest_extent_comes_back(void **state)
{
	struct fixture *fx = *state;
	uint8_t *p = plaintext(NX_EXTENT_MAX);
	struct nx_extent e = write_extent(fx, 0, p, NX_EXTENT_MAX, NX_EXTENT_MAX, 0);

	expect_range(fx, &e, p, 0, NX_EXTENT_MAX);
	expect_range(fx, &e, p, NX_EXTENT_MAX - 1, 1);
	free(p);
}

static void test_a_write_a_segment_and_up_to_a_mebibyte_one_read(void **state)
{
	struct fixture *fx = *state;
	uint8_t *p = plaintext(NX_MIB + 1);
	const uint32_t sizes[] = {1, 525000, 800000, NX_MIB, NX_MIB + 1};

	for (size_t i = 0; i < NX_ARRAY_LEN(sizes); i++) {
		uint64_t writes = nx_pool_fault_count(fx->pool, NX_FAULT_WRITE);
		struct nx_extent e = write_extent(fx, 0, p, sizes[i], NX_EXTENT_MAX, 0);
		uint64_t reads = nx_pool_fault_count(fx->pool, NX_FAULT_READ);

		assert_u64(nx_pool_fault_count(fx->pool, NX_FAULT_WRITE) - writes,
			nx_extent_segments(sizes[i]));
		expect_range(fx, &e, p, 0, sizes[i]);
		assert_u64(nx_pool_fault_count(fx->pool, NX_FAULT_READ) - reads, 1);
	}
	free(p);
}

static void test_random_ranges_are_exact(void **state)
{
	struct fixture *fx = *state;
	const uint32_t n = 9 * NX_MIB + 4321;
	uint8_t *p = plaintext(n);
	struct nx_extent e = write_extent(fx, 8192, p, n, NX_EXTENT_MAX, 0);

	srandom(1);
	for (int i = 0; i < 150; i++) {
		uint32_t off = (uint32_t)random() % n;
		uint32_t max = i % 3 ? 300000 : n;
		uint32_t len = (uint32_t)random() % max + 1;

		expect_range(fx, &e, p, off, len < n - off ? len : n - off);
	}
	expect_range(fx, &e, p, 0, n);
	expect_range(fx, &e, p, SEG, SEG);
	expect_range(fx, &e, p, 7, 0);
	expect_range(fx, &e, p, n, 0);
	free(p);
}

static void test_ranges_past_the_end_are_refused(void **state)
{
	struct fixture *fx = *state;
	uint8_t *p = plaintext(1000);
	uint8_t got[16];
	struct nx_extent e = write_extent(fx, 0, p, 1000, 1000, 1000);

	assert_rc(nx_extent_read(fx->pool, &e,
			  &(struct nx_extent_seal){.blob_key = &fx->key, .index = 3}, 999, got, 2,
			  &fx->err),
		NX_E_RANGE);
	assert_rc(nx_extent_read(fx->pool, &e,
			  &(struct nx_extent_seal){.blob_key = &fx->key, .index = 3}, 1001, got, 1,
			  &fx->err),
		NX_E_RANGE);
	assert_rc(nx_extent_read(fx->pool, &e,
			  &(struct nx_extent_seal){.blob_key = &fx->key, .index = 3}, 4000000000u,
			  got, 1, &fx->err),
		NX_E_RANGE);
	free(p);
}

/* Change one stored byte. */
static void flip(struct fixture *fx, const struct nx_extent *e, uint64_t at, uint8_t mask)
{
	uint64_t block = (e->off + at) / NX_PACK_ALIGN * NX_PACK_ALIGN;
	struct iovec iov = {nx_aligned_get(NX_PACK_ALIGN), NX_PACK_ALIGN};

	assert_ok(nx_pool_read(fx->pool, PACK, block, iov.iov_base, NX_PACK_ALIGN, &fx->err),
		&fx->err);
	((uint8_t *)iov.iov_base)[e->off + at - block] ^= mask;
	assert_ok(nx_pool_write(fx->pool, PACK, block, &iov, 1, &fx->err), &fx->err);
	nx_aligned_put(iov.iov_base, NX_PACK_ALIGN);
}

/* Read and check both refuse with `want`, and no byte of it comes out. */
static void expect_refused(struct fixture *fx, const struct nx_extent *e, const struct nx_key *key,
	uint32_t index, nx_rc want)
{
	size_t n = e->len <= NX_EXTENT_MAX ? e->len : 1;
	uint8_t *got = malloc(n);

	memset(got, 0xaa, n);
	assert_rc(nx_extent_read(fx->pool, e,
			  &(struct nx_extent_seal){.blob_key = key, .index = index}, 0, got, n,
			  &fx->err),
		want);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(got[i], 0);
	assert_rc(nx_extent_check(fx->pool, e,
			  &(struct nx_extent_seal){.blob_key = key, .index = index}, &fx->err),
		want);
	free(got);
}

static void test_a_flipped_bit_anywhere_is_refused(void **state)
{
	struct fixture *fx = *state;
	const uint32_t n = 2 * SEG + 1000;
	uint8_t *p = plaintext(n);
	struct nx_extent e = write_extent(fx, 4096, p, n, n, n);
	const struct {
		uint64_t at;
		nx_rc want;
	} bits[] = {
		{0, NX_E_CORRUPT}, {3, NX_E_CORRUPT},             /* magic */
		{4, NX_E_VERSION}, {5, NX_E_VERSION},             /* version, suite */
		{6, NX_E_CORRUPT}, {7, NX_E_CORRUPT},             /* data_off */
		{8, NX_E_VERSION}, {14, NX_E_VERSION},            /* segment length, flags */
		{16, NX_E_CORRUPT}, {31, NX_E_CORRUPT},           /* record id */
		{4096, NX_E_CORRUPT}, {4096 + SEG, NX_E_CORRUPT}, /* ciphertext */
		{4096 + SEG - 1, NX_E_CORRUPT}, {4096 + n - 1, NX_E_CORRUPT},
		{4096 + n, NX_E_CORRUPT}, {4096 + n + 47, NX_E_CORRUPT}, /* tags */
	};

	for (size_t i = 0; i < NX_ARRAY_LEN(bits); i++) {
		for (unsigned bit = 0; bit < 8; bit += 7) {
			flip(fx, &e, bits[i].at, (uint8_t)(1u << bit));
			expect_refused(fx, &e, &fx->key, 3, bits[i].want);
			flip(fx, &e, bits[i].at, (uint8_t)(1u << bit));
		}
	}
	expect_range(fx, &e, p, 0, n);
	free(p);
}

static void test_the_error_names_pack_extent_and_segment(void **state)
{
	struct fixture *fx = *state;
	const uint32_t n = 3 * SEG;
	uint8_t *p = plaintext(n);
	struct nx_extent e = write_extent(fx, 40960, p, n, n, n);

	flip(fx, &e, 4096 + SEG + 5, 1);
	expect_refused(fx, &e, &fx->key, 3, NX_E_CORRUPT);
	assert_non_null(strstr(fx->err.text, "pack 0000000000000001 extent 40960"));
	assert_non_null(strstr(fx->err.text, "segment 1 "));
	/* Its neighbours are still good. */
	expect_range(fx, &e, p, 0, SEG);
	expect_range(fx, &e, p, 2 * SEG, SEG);
	free(p);
}

static void test_wrong_key_index_length_and_place_are_refused(void **state)
{
	struct fixture *fx = *state;
	const uint32_t n = 2 * SEG + 1000;
	uint8_t *p = plaintext(n);
	struct nx_extent e = write_extent(fx, 0, p, n, n, n);
	struct nx_extent bad = e;
	struct nx_key other = fx->key;

	other.b[31] ^= 1;
	expect_refused(fx, &e, &other, 3, NX_E_CORRUPT);
	expect_refused(fx, &e, &fx->key, 2, NX_E_CORRUPT);
	bad.len = n - 1;
	expect_refused(fx, &bad, &fx->key, 3, NX_E_CORRUPT);
	bad.len = 2 * SEG; /* truncated at a segment boundary */
	expect_refused(fx, &bad, &fx->key, 3, NX_E_CORRUPT);
	bad.len = n + 1;
	expect_refused(fx, &bad, &fx->key, 3, NX_E_CORRUPT);
	bad.len = 8 * NX_MIB; /* past the end of the pack */
	expect_refused(fx, &bad, &fx->key, 3, NX_E_CORRUPT);
	bad.len = 0;
	assert_rc(nx_extent_check(fx->pool, &bad,
			  &(struct nx_extent_seal){.blob_key = &fx->key, .index = 3}, &fx->err),
		NX_E_CORRUPT);
	bad.len = NX_EXTENT_MAX + 1;
	expect_refused(fx, &bad, &fx->key, 3, NX_E_CORRUPT);
	bad = e;
	bad.data_off = 32;
	expect_refused(fx, &bad, &fx->key, 3, NX_E_CORRUPT);
	bad.data_off = 64;
	expect_refused(fx, &bad, &fx->key, 3, NX_E_CORRUPT);
	bad = e;
	bad.off = UINT64_MAX - 100;
	expect_refused(fx, &bad, &fx->key, 3, NX_E_CORRUPT);
	bad = e;
	bad.pack = 77;
	expect_refused(fx, &bad, &fx->key, 3, NX_E_NOENT);
	free(p);
}

/* Exchange segments a and b with their tags. */
static void swap_segments(struct fixture *fx, const struct nx_extent *e, uint32_t a, uint32_t b)
{
	size_t stored = (size_t)nx_align_up(nx_extent_stored(e));
	uint8_t *raw = nx_aligned_get(stored);
	uint8_t *tags = raw + 4096 + e->len;
	uint8_t *t = malloc(SEG);
	struct iovec iov = {raw, stored};

	assert_ok(nx_pool_read(fx->pool, PACK, e->off, raw, stored, &fx->err), &fx->err);
	memcpy(t, raw + 4096 + (size_t)a * SEG, SEG);
	memcpy(raw + 4096 + (size_t)a * SEG, raw + 4096 + (size_t)b * SEG, SEG);
	memcpy(raw + 4096 + (size_t)b * SEG, t, SEG);
	memcpy(t, tags + (size_t)a * 16, 16);
	memcpy(tags + (size_t)a * 16, tags + (size_t)b * 16, 16);
	memcpy(tags + (size_t)b * 16, t, 16);
	assert_ok(nx_pool_write(fx->pool, PACK, e->off, &iov, 1, &fx->err), &fx->err);
	nx_aligned_put(raw, stored);
	free(t);
}

static void test_swapped_segments_are_refused(void **state)
{
	struct fixture *fx = *state;
	const uint32_t n = 4 * SEG;
	uint8_t *p = plaintext(n);
	struct nx_extent e = write_extent(fx, 0, p, n, n, n);

	swap_segments(fx, &e, 0, 2);
	expect_refused(fx, &e, &fx->key, 3, NX_E_CORRUPT);
	expect_range(fx, &e, p, SEG, SEG);
	swap_segments(fx, &e, 0, 2);
	expect_range(fx, &e, p, 0, n);
	free(p);
}

/* In an extent of 9 MiB with one damaged segment every range that avoids it reads. */
static void test_ranges_touch_only_their_segments(void **state)
{
	struct fixture *fx = *state;
	const uint32_t n = 9 * NX_MIB + 5;
	uint8_t *p = plaintext(n);
	struct nx_extent e = write_extent(fx, 0, p, n, n, 0);
	uint64_t reads;

	flip(fx, &e, 4096 + 10 * SEG, 1);
	expect_range(fx, &e, p, 0, 10 * SEG);
	expect_range(fx, &e, p, 11 * SEG, n - 11 * SEG);

	reads = nx_pool_fault_count(fx->pool, NX_FAULT_READ);
	expect_range(fx, &e, p, 12 * SEG + 5, 100); /* header, tag, segment */
	assert_u64(nx_pool_fault_count(fx->pool, NX_FAULT_READ) - reads, 3);
	reads += 3;
	expect_range(fx, &e, p, n - 1, 1); /* header; segment with tags */
	assert_u64(nx_pool_fault_count(fx->pool, NX_FAULT_READ) - reads, 2);
	reads += 2;
	expect_range(fx, &e, p, 5, 1); /* header with segment; tag */
	assert_u64(nx_pool_fault_count(fx->pool, NX_FAULT_READ) - reads, 2);
	free(p);
}

static void test_small_extents_rest_anywhere(void **state)
{
	struct fixture *fx = *state;
	const uint32_t sizes[] = {1, 3000, SEG, SEG + 9};
	struct iovec iov = {nx_aligned_get(NX_MIB), NX_MIB};
	uint8_t *unit = iov.iov_base;
	uint8_t *p = plaintext(SEG + 9);
	struct nx_extent e[4];
	uint64_t at = 13;

	for (size_t i = 0; i < 4; i++) {
		e[i] = (struct nx_extent){PACK, 4096 + at, sizes[i], NX_EXTENT_HEADER_LEN};
		assert_ok(
			nx_extent_seal_small(&fx->key, p, sizes[i], unit + at, &fx->err), &fx->err);
		at += nx_extent_stored(&e[i]);
	}
	assert_ok(nx_pool_write(fx->pool, PACK, 4096, &iov, 1, &fx->err), &fx->err);
	for (size_t i = 0; i < 4; i++) {
		uint8_t *got = malloc(sizes[i]);

		assert_ok(nx_extent_read(fx->pool, &e[i],
				  &(struct nx_extent_seal){.blob_key = &fx->key}, 0, got, sizes[i],
				  &fx->err),
			&fx->err);
		assert_memory_equal(got, p, sizes[i]);
		assert_ok(nx_extent_check(fx->pool, &e[i],
				  &(struct nx_extent_seal){.blob_key = &fx->key}, &fx->err),
			&fx->err);
		free(got);
	}
	free(p);
	nx_aligned_put(iov.iov_base, NX_MIB);
}

static void test_the_writer_keeps_its_bounds(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_extent_writer) *w = NULL;
	uint8_t *p = plaintext(3 * NX_MIB);
	struct nx_extent e = {0};
	uint64_t stored;
	uint32_t crc;
	uint8_t *to;
	size_t n;

	assert_ok(nx_extent_writer_new(fx->pool, PACK, 0, NX_MIB,
			  &(struct nx_extent_seal){.blob_key = &fx->key, .index = 3}, &w, &fx->err),
		&fx->err);
	assert_rc(nx_extent_writer_finish(w, &e, &crc, &stored, &fx->err), NX_E_INVAL);
	assert_rc(nx_extent_writer_put(w, p, NX_MIB + 1, &fx->err), NX_E_LIMIT);
	assert_rc(nx_extent_writer_reserve(w, &to, &n, &fx->err), NX_E_LIMIT);
	assert_u64(e.len, 0); /* untouched on failure */
	free(p);
}

static void test_the_end_may_come_after_a_reserve(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO(nx_extent_writer) *w = NULL;
	uint8_t *p = plaintext(NX_MIB);
	struct nx_extent e;
	uint64_t stored;
	uint32_t crc;
	uint8_t *to;
	size_t n;

	assert_ok(nx_extent_writer_new(fx->pool, PACK, 0, NX_EXTENT_MAX,
			  &(struct nx_extent_seal){.blob_key = &fx->key, .index = 3}, &w, &fx->err),
		&fx->err);
	assert_ok(nx_extent_writer_put(w, p, NX_MIB, &fx->err), &fx->err);
	assert_ok(nx_extent_writer_reserve(w, &to, &n, &fx->err), &fx->err);
	memset(to, 1, n); /* received, and refused */
	assert_ok(nx_extent_writer_commit(w, 0, &fx->err), &fx->err);
	assert_ok(nx_extent_writer_finish(w, &e, &crc, &stored, &fx->err), &fx->err);
	expect_range(fx, &e, p, 0, NX_MIB);
	free(p);
}

static void test_a_failed_write_fails_the_writer_for_good(void **state)
{
	struct fixture *fx = *state;
	const struct nx_fault full = {NX_FAULT_WRITE, 1, false, false, NX_E_NOSPACE};
	NX_AUTO(nx_extent_writer) *w = NULL;
	uint8_t *p = plaintext(2 * NX_MIB);
	struct nx_extent e;
	uint64_t stored;
	uint32_t crc;

	assert_ok(nx_extent_writer_new(fx->pool, PACK, 0, NX_EXTENT_MAX,
			  &(struct nx_extent_seal){.blob_key = &fx->key, .index = 3}, &w, &fx->err),
		&fx->err);
	nx_pool_fault_arm(fx->pool, &full);
	assert_rc(nx_extent_writer_put(w, p, 2 * NX_MIB, &fx->err), NX_E_NOSPACE);
	assert_rc(nx_extent_writer_put(w, p, 1, &fx->err), NX_E_NOSPACE);
	assert_rc(nx_extent_writer_finish(w, &e, &crc, &stored, &fx->err), NX_E_NOSPACE);
	free(p);
}

static void test_a_failed_read_gives_nothing(void **state)
{
	struct fixture *fx = *state;
	const uint32_t n = 9 * NX_MIB;
	uint8_t *p = plaintext(n);
	struct nx_extent e = write_extent(fx, 0, p, n, n, 0);

	for (uint64_t nth = 1; nth <= 4; nth++) {
		struct nx_fault fault = {NX_FAULT_READ, nth, true, false, NX_E_IO};

		nx_pool_fault_arm(fx->pool, &fault);
		memset(p, 0xaa, n);
		assert_rc(nx_extent_read(fx->pool, &e,
				  &(struct nx_extent_seal){.blob_key = &fx->key, .index = 3}, 0, p,
				  n, &fx->err),
			NX_E_IO);
		for (size_t i = 0; i < n; i++)
			assert_true(p[i] == 0);
	}
	nx_pool_fault_arm(fx->pool, NULL);
	free(p);
}

static void test_the_header_is_as_documented(void **state)
{
	static const uint8_t want[NX_EXTENT_HEADER_LEN] = {'N', 'X', 'E', 'X', 1, 1, 0, 0x10, 0, 0,
		4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
	uint8_t hdr[NX_EXTENT_HEADER_LEN];
	uint8_t id[NX_RECORD_ID_LEN];
	uint16_t data_off = 0;

	(void)state;
	nx_extent_header_format(want + 16, 4096, hdr);
	assert_memory_equal(hdr, want, sizeof(want));
	assert_rc(nx_extent_header_parse(hdr, id, &data_off, NULL), NX_OK);
	assert_memory_equal(id, want + 16, sizeof(id));
	assert_int_equal(data_off, 4096);
	hdr[12] = 1; /* an unknown compatible extension */
	assert_rc(nx_extent_header_parse(hdr, id, &data_off, NULL), NX_OK);
}

/* GCM by the primitives, as docs/PACK-FORMAT.md tells a stranger to do it. */
static void test_a_stranger_can_open_a_segment(void **state)
{
	struct fixture *fx = *state;
	const uint8_t context[4] = {3, 0, 0, 0};
	uint8_t nonce[12] = {0, 0, 0, 0, 1};
	uint8_t aad[33] = {1};
	const uint32_t n = SEG + 5;
	uint8_t raw[4096 + SEG + 5 + 32];
	uint8_t *p = plaintext(n);
	struct nx_extent e = write_extent(fx, 0, p, n, n, n);
	uint8_t got[5];
	struct nx_key key;
	struct nx_gcm *gcm;

	assert_ok(nx_pool_read(fx->pool, PACK, e.off, raw, sizeof(raw), &fx->err), &fx->err);
	nx_hkdf(&fx->key, "extent", nx_slice(context, 4), &key);
	memcpy(aad + 1, raw + 16, 16);
	aad[17] = 1; /* segment 1, u64le */
	aad[25] = 5; /* total 0x40005, u64le */
	aad[27] = 4;
	gcm = nx_gcm_new(&key);
	assert_true(nx_gcm_open(
		gcm, nonce, nx_slice(aad, 33), raw + 4096 + SEG, 5, raw + 4096 + n + 16, got));
	assert_memory_equal(got, p + SEG, 5);
	nx_gcm_free(gcm);
	free(p);
}

/* Sealed by another implementation from the page of the format: blob key 00 01 .. 1f, extent 0. */
static void test_the_golden_extent_opens(void **state)
{
	static const uint8_t golden[] = {0x4e, 0x58, 0x45, 0x58, 0x01, 0x01, 0x20, 0x00, 0x00, 0x00,
		0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
		0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0x81, 0xb3, 0x59, 0xbe, 0xba, 0xf5,
		0x89, 0xb3, 0xb7, 0x93, 0x98, 0x6e, 0x3b, 0xb8, 0x25, 0x76, 0xf3, 0xce, 0x4b, 0x60,
		0x28, 0x21, 0x2e};
	const struct nx_extent e = {PACK, 0, 7, 32};
	struct fixture *fx = *state;
	struct iovec iov = {nx_aligned_get(4096), 4096};
	struct nx_key key;
	char got[7];

	for (unsigned i = 0; i < sizeof(key.b); i++)
		key.b[i] = (uint8_t)i;
	memset(iov.iov_base, 0, 4096);
	memcpy(iov.iov_base, golden, sizeof(golden));
	assert_ok(nx_pool_write(fx->pool, PACK, 0, &iov, 1, &fx->err), &fx->err);
	assert_ok(nx_extent_read(fx->pool, &e, &(struct nx_extent_seal){.blob_key = &key}, 0, got,
			  7, &fx->err),
		&fx->err);
	assert_memory_equal(got, "narthex", 7);
	nx_aligned_put(iov.iov_base, 4096);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_every_edge_length_comes_back),
		T(test_the_largest_extent_comes_back),
		T(test_a_write_a_segment_and_up_to_a_mebibyte_one_read),
		T(test_random_ranges_are_exact),
		T(test_ranges_past_the_end_are_refused),
		T(test_a_flipped_bit_anywhere_is_refused),
		T(test_the_error_names_pack_extent_and_segment),
		T(test_wrong_key_index_length_and_place_are_refused),
		T(test_swapped_segments_are_refused),
		T(test_ranges_touch_only_their_segments),
		T(test_small_extents_rest_anywhere),
		T(test_the_writer_keeps_its_bounds),
		T(test_the_end_may_come_after_a_reserve),
		T(test_a_failed_write_fails_the_writer_for_good),
		T(test_a_failed_read_gives_nothing),
		T(test_the_header_is_as_documented),
		T(test_a_stranger_can_open_a_segment),
		T(test_the_golden_extent_opens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

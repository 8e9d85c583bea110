#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "keys/keys_priv.h"

/*
 * The bytes as a key log, as they are; then again with every checksum made good, which is what
 * somebody who writes to a place can do, loaded under a root that opens everything.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static nx_rc any_unwrap(struct nx_root *root, uint64_t version, struct nx_slice context,
	struct nx_slice wrapped, struct nx_key *ret_key, struct nx_err *err)
{
	(void)root;
	(void)version;
	(void)context;
	(void)wrapped;
	(void)err;
	*ret_key = (struct nx_key){{1}};
	return NX_OK;
}

static const struct nx_root_ops any_ops = {.name = "any", .unwrap = any_unwrap};

static void put_u32le(uint8_t *to, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		to[i] = (uint8_t)(v >> (8 * i));
}

/* The header, then records as long as they say they are. */
static void checksums_fix(uint8_t *p, size_t n)
{
	size_t at = NX_KEYLOG_HEADER_LEN;

	if (n < at)
		return;
	put_u32le(p + at - 4, nx_crc32c(0, p, at - 4));
	while (n - at >= 12) {
		size_t len = (size_t)p[at + 2] | (size_t)p[at + 3] << 8;

		put_u32le(p + at + 4, nx_crc32c(0, p + at, 4));
		if (len > n - at - 12)
			return;
		put_u32le(p + at + 8 + len, nx_crc32c(0, p + at, 8 + len));
		at += 12 + len;
	}
}

static void load(struct nx_slice records)
{
	struct nx_root root = {.ops = &any_ops};
	struct nx_keys keys = {.root = &root};
	struct nx_err err = {0};
	nx_rc rc = nx_keys_load(&keys, records, &err);

	assert(rc == err.rc);
	nx_keyset_done(&keys.set);
}

/* Whatever is read is written the same. */
static void check(const uint8_t *p, size_t n)
{
	struct nx_keylog log;
	struct nx_keyrec rec;
	struct nx_buf again;
	struct nx_rd rd;

	if (nx_keylog_check(nx_slice(p, n), &log, NULL))
		return;
	assert(log.valid >= NX_KEYLOG_HEADER_LEN && log.valid <= n);
	assert((log.end == NX_KEYLOG_CLEAN) == (log.valid == n));
	rd = nx_rd(nx_slice(p + NX_KEYLOG_HEADER_LEN, log.valid - NX_KEYLOG_HEADER_LEN));
	load(nx_slice(rd.p, rd.n));
	nx_buf_init(&again, n + NX_KEYREC_MAX, 0);
	nx_buf_put(&again, p, NX_KEYLOG_HEADER_LEN);
	while (nx_keyrec_next(&rd, &rec))
		nx_keyrec_put(&again, &rec);
	assert(!again.failed && again.len == log.valid && memcmp(again.data, p, log.valid) == 0);
	nx_buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);

	if (!copy || nx_crypto_init(NULL))
		abort();
	check(data, size);
	if (size)
		memcpy(copy, data, size);
	checksums_fix(copy, size);
	check(copy, size);
	free(copy);
	return 0;
}

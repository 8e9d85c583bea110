/*
 * bench_store - append extents to a pack in a directory, with a sync after every one or every 16;
 * then read them back, from the device and from the page cache.
 *
 *   bench_store <directory> [<count> [<length>]]
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "crypto/crypto.h"
#include "store/extent.h"
#include "store/pool.h"

struct bench {
	struct nx_pool *pool;
	struct nx_extent *extents;
	struct nx_key key;
	uint8_t *p;
	size_t count;
	uint32_t len;
	struct nx_err err;
};

static int fail(const struct bench *b)
{
	(void)fprintf(stderr, "bench_store: %s\n", nx_err_text(&b->err));
	return 1;
}

static void report(const struct bench *b, const char *what, int64_t us)
{
	double s = (double)us / 1e6;

	printf("%-28s %8.0f /s %9.1f MB/s\n", what, (double)b->count / s,
		(double)b->count * b->len / s / 1e6);
}

static nx_rc append_one(struct bench *b, nx_pack_id pack, uint64_t *off, struct nx_extent *ret)
{
	NX_AUTO(nx_extent_writer) *w = NULL;
	uint64_t stored = 0;
	uint32_t crc;
	nx_rc rc = nx_extent_writer_new(b->pool, pack, *off, NX_EXTENT_MAX,
		&(struct nx_extent_seal){.blob_key = &b->key}, &w, &b->err);

	if (!rc)
		rc = nx_extent_writer_put(w, b->p, b->len, &b->err);
	if (!rc)
		rc = nx_extent_writer_finish(w, ret, &crc, &stored, &b->err);
	if (!rc)
		*off += stored;
	return rc;
}

static nx_rc append(struct bench *b, nx_pack_id pack, size_t per_sync, const char *what)
{
	uint64_t off = 0;
	int64_t start;
	nx_rc rc = nx_pool_create(b->pool, pack, &b->err);

	start = nx_mono_us();
	for (size_t i = 0; i < b->count && !rc; i++) {
		rc = append_one(b, pack, &off, &b->extents[i]);
		if (!rc && ((i + 1) % per_sync == 0 || i + 1 == b->count))
			rc = nx_pool_sync(b->pool, &pack, 1, &b->err);
	}
	if (!rc)
		report(b, what, nx_mono_us() - start);
	return rc;
}

/* Two packs written by turns and synced in one call: the parallel sync. */
static nx_rc append_two(struct bench *b, nx_pack_id pack)
{
	const nx_pack_id packs[2] = {pack, pack + 1};
	uint64_t off[2] = {0, 0};
	struct nx_extent e;
	int64_t start;
	nx_rc rc = nx_pool_create(b->pool, packs[0], &b->err);

	if (!rc)
		rc = nx_pool_create(b->pool, packs[1], &b->err);
	start = nx_mono_us();
	for (size_t i = 0; i < b->count && !rc; i++) {
		rc = append_one(b, packs[i % 2], &off[i % 2], &e);
		if (!rc && i % 2)
			rc = nx_pool_sync(b->pool, packs, 2, &b->err);
	}
	if (!rc)
		report(b, "append, 2 packs, sync both", nx_mono_us() - start);
	return rc;
}

static nx_rc read_all(struct bench *b, const char *what)
{
	int64_t start = nx_mono_us();
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < b->count && !rc; i++)
		rc = nx_extent_read(b->pool, &b->extents[i],
			&(struct nx_extent_seal){.blob_key = &b->key}, 0, b->p, b->len, &b->err);
	if (!rc)
		report(b, what, nx_mono_us() - start);
	return rc;
}

static void cache_drop(struct bench *b, nx_pack_id pack)
{
	char path[4096];
	int fd;

	if (nx_pool_path(b->pool, pack, path, sizeof(path), NULL))
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	(void)close(fd);
}

static nx_rc run(struct bench *b)
{
	nx_rc rc = append(b, 1, 16, "append, sync per 16");

	if (!rc)
		rc = append_two(b, 2);
	if (!rc)
		rc = append(b, 4, 1, "append, sync each");
	if (rc)
		return rc;
	cache_drop(b, 4);
	rc = read_all(b, "read, first");
	return rc ? rc : read_all(b, "read, again");
}

int main(int argc, char **argv)
{
	struct bench b = {.count = 400, .len = 525000};
	char uri[4096];
	nx_rc rc;

	if (argc < 2) {
		(void)fprintf(stderr, "usage: bench_store <directory> [<count> [<length>]]\n");
		return 2;
	}
	if (argc > 2)
		b.count = strtoul(argv[2], NULL, 10);
	if (argc > 3)
		b.len = (uint32_t)strtoul(argv[3], NULL, 10);
	b.p = calloc(1, b.len);
	b.extents = calloc(b.count, sizeof(*b.extents));
	(void)snprintf(uri, sizeof(uri), "dir:%s", argv[1]);
	if (!b.p || !b.extents || b.len == 0 || b.len > NX_EXTENT_MAX)
		return 2;
	if (nx_crypto_init(&b.err) || nx_pool_open(uri, &b.pool, &b.err))
		return fail(&b);
	rc = run(&b);
	for (nx_pack_id pack = 1; pack <= 4; pack++)
		(void)!nx_pool_remove(b.pool, pack, NULL);
	b.pool = nx_pool_free(b.pool);
	free(b.p);
	free(b.extents);
	return rc ? fail(&b) : 0;
}

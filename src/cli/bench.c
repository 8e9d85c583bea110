/* narthex bench: is the machine what it should be?  Measured as a site uses it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "cli/cli_priv.h"
#include "cli/progress.h"
#include "crypto/crypto.h"
#include "server/config.h"
#include "server/site.h"
#include "store/pool.h"

enum {
	CHUNK = 1024 * 1024,
	SEGMENT = 256 * 1024,
	GROUP = 32 * 1024, /* a commit group of a few instances */
	GROUPS = 200,
	CPU_US = 300000, /* how long a processor is measured */
	MIB_DEFAULT = 256,
	MIB_MAX = 65536
};

static const nx_pack_id big = 1, small = 2;

struct bench {
	struct nx_pool *pool;
	uint8_t *p; /* CHUNK, aligned */
	uint8_t *q; /* the same again, and a tag */
	struct nx_gcm *gcm;
	uint64_t bytes;
	struct nx_progress *work;
};

/* ---- the processor ---- */

static uint64_t hash_once(struct bench *b)
{
	uint8_t root[NX_SHA256_LEN];

	nx_tree_root(b->p, CHUNK, root);
	return CHUNK;
}

static uint64_t seal_once(struct bench *b)
{
	static const uint8_t nonce[NX_GCM_NONCE_LEN];

	nx_gcm_seal(b->gcm, nonce, nx_slice(NULL, 0), b->p, SEGMENT, b->q, b->q + SEGMENT);
	return SEGMENT;
}

static uint64_t open_once(struct bench *b)
{
	static const uint8_t nonce[NX_GCM_NONCE_LEN];

	return nx_gcm_open(b->gcm, nonce, nx_slice(NULL, 0), b->q, SEGMENT, b->q + SEGMENT, b->p)
		? SEGMENT
		: 0;
}

static double rate_of(struct bench *b, uint64_t (*once)(struct bench *b))
{
	int64_t start = nx_mono_us(), us = 0;
	uint64_t bytes = 0;

	for (; us < CPU_US; us = nx_mono_us() - start)
		bytes += once(b);
	return (double)bytes / (double)us;
}

static nx_rc hash_rate(struct bench *b, double *ret, struct nx_err *err)
{
	*ret = rate_of(b, hash_once);
	return cli_interrupt_check(err);
}

static nx_rc seal_rate(struct bench *b, double *ret, struct nx_err *err)
{
	*ret = rate_of(b, seal_once);
	return cli_interrupt_check(err);
}

static nx_rc open_rate(struct bench *b, double *ret, struct nx_err *err)
{
	(void)seal_once(b);
	*ret = rate_of(b, open_once);
	return cli_interrupt_check(err);
}

/* ---- the disk ---- */

static nx_rc write_rate(struct bench *b, double *ret, struct nx_err *err)
{
	const struct iovec iov = {b->p, CHUNK};
	int64_t start = nx_mono_us();
	nx_rc rc = nx_pool_create(b->pool, big, err);

	for (uint64_t off = 0; off < b->bytes && !rc; off += CHUNK) {
		rc = nx_pool_write(b->pool, big, off, &iov, 1, err);
		if (!rc)
			rc = nx_progress_add(b->work, CHUNK, err);
	}
	if (!rc)
		rc = nx_pool_sync(b->pool, &big, 1, err);
	*ret = (double)b->bytes / (double)(nx_mono_us() - start);
	return rc;
}

static nx_rc read_rate(struct bench *b, double *ret, struct nx_err *err)
{
	int64_t start = nx_mono_us();
	nx_rc rc = NX_OK;

	for (uint64_t off = 0; off < b->bytes && !rc; off += CHUNK) {
		rc = nx_pool_read(b->pool, big, off, b->q, CHUNK, err);
		if (!rc)
			rc = nx_progress_add(b->work, CHUNK, err);
	}
	*ret = (double)b->bytes / (double)(nx_mono_us() - start);
	return rc;
}

static int order(const void *x, const void *y)
{
	const int64_t *a = x, *b = y;

	return *a < *b ? -1 : *a > *b;
}

/* As the committer writes: a group into zeros laid ahead, on stable storage when it returns. */
static nx_rc groups_write(struct bench *b, int64_t us[GROUPS], struct nx_err *err)
{
	const struct iovec iov = {b->p, GROUP};
	nx_rc rc = nx_pool_create(b->pool, small, err);

	if (!rc)
		rc = nx_pool_reserve(b->pool, small, 0, (uint64_t)GROUPS * GROUP, err);
	if (rc == NX_E_UNSUPPORTED) /* dearer, but right: what is measured is what the site has */
		rc = NX_OK;
	for (uint64_t i = 0; i < GROUPS && !rc; i++) {
		int64_t start = nx_mono_us();

		rc = nx_pool_write_through(b->pool, small, i * GROUP, &iov, 1, err);
		us[i] = nx_mono_us() - start;
		if (!rc)
			rc = cli_interrupt_check(err);
	}
	if (!rc)
		qsort(us, GROUPS, sizeof(*us), order);
	return rc;
}

static nx_rc durable_median(struct bench *b, double *ret, struct nx_err *err)
{
	int64_t us[GROUPS];
	const size_t middle = GROUPS / 2;
	nx_rc rc = groups_write(b, us, err);

	*ret = rc ? 0 : (double)us[middle];
	return rc;
}

/* ---- the table ---- */

/* To add a measurement, add a row.  `least` (of a rate) or `most` (of a time) is what a machine of
 * today has; below it the hint is shown. */
static const struct row {
	const char *name;
	const char *what;
	const char *unit;
	double least;
	double most;
	nx_rc (*run)(struct bench *b, double *ret, struct nx_err *err);
	const char *hint;
} rows[] = {
	{"hash", "hashing, one core", "MB/s", 800, 0, hash_rate,
		"no SHA extension or AVX-512, or the core is shared: ingest is bound by this"},
	{"seal", "sealing, one core", "MB/s", 1500, 0, seal_rate,
		"no AES instructions, or the core is shared"},
	{"open", "opening, one core", "MB/s", 1500, 0, open_rate,
		"no AES instructions, or the core is shared"},
	{"write", "writing to the pool", "MB/s", 150, 0, write_rate,
		"the device or what lies between is slow: every large instance goes this way"},
	{"read", "reading from the pool", "MB/s", 200, 0, read_rate,
		"the device or what lies between is slow: every retrieval goes this way"},
	{"commit", "a durable group of 32 KiB, median", "us", 0, 3000, durable_median,
		"a device without a protected write cache, or a network: each sender waits so long "
		"for its answer"},
};

static bool is_slow(const struct row *row, double value)
{
	return (row->least > 0 && value < row->least) || (row->most > 0 && value > row->most);
}

static void row_print(const struct row *row, double value)
{
	(void)printf("%-36s %9.0f %-5s%s%s\n", row->what, value, row->unit,
		is_slow(row, value) ? " slow: " : "", is_slow(row, value) ? row->hint : "");
}

static void row_json(struct nx_json *json, const struct row *row, double value)
{
	nx_json_object_begin(json);
	nx_json_kv_str(json, "name", row->name);
	nx_json_key(json, "value");
	nx_json_double(json, value);
	nx_json_kv_str(json, "unit", row->unit);
	nx_json_kv_bool(json, "slow", is_slow(row, value));
	nx_json_kv_str(json, "hint", is_slow(row, value) ? row->hint : NULL);
	nx_json_object_end(json);
}

static nx_rc rows_run(const struct cli_args *args, struct bench *b, struct nx_err *err)
{
	double values[NX_ARRAY_LEN(rows)];
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_json json;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < NX_ARRAY_LEN(rows) && !rc; i++)
		rc = rows[i].run(b, &values[i], err);
	if (rc)
		return rc;
	nx_buf_init(&buf, 64 * NX_KIB, 0);
	nx_json_init(&json, &buf);
	nx_json_array_begin(&json);
	for (size_t i = 0; i < NX_ARRAY_LEN(rows); i++)
		if (cli_has(args, "json"))
			row_json(&json, &rows[i], values[i]);
		else
			row_print(&rows[i], values[i]);
	nx_json_array_end(&json);
	nx_buf_put_str(&buf, "\n");
	return cli_has(args, "json") ? cli_print(&buf, err) : NX_OK;
}

/* ---- set-up ---- */

static nx_rc folder_make(const char *site, char ret[NX_SITE_PATH + 32], struct nx_err *err)
{
	NX_AUTO_DONE(nx_config) config = {0};
	char uri[NX_SITE_PATH + 8];
	nx_rc rc = nx_config_init(&config, err);

	if (!rc)
		rc = nx_config_load(site, &config, err);
	if (!rc)
		rc = nx_site_pool_uri(site, &config, uri, err);
	if (rc)
		return rc;
	if (strncmp(uri, "dir:", 4) != 0)
		return nx_err_set(err, NX_E_UNSUPPORTED, "the pool is not a folder");
	(void)snprintf(ret, NX_SITE_PATH + 32, "dir:%s/.bench-XXXXXX", uri + 4);
	return mkdtemp(ret + 4) ? NX_OK : nx_err_errno(err, "temporary folder of the pool");
}

/* Packs through the pool, then what the pool made for them. */
static void folder_remove(struct nx_pool *pool, const char *dir)
{
	char sub[NX_SITE_PATH + 40];
	struct nx_err err;

	if (pool) {
		(void)!nx_pool_remove(pool, big, &err);
		(void)!nx_pool_remove(pool, small, &err);
		nx_pool_free(pool);
	}
	(void)snprintf(sub, sizeof(sub), "%s/00", dir);
	(void)rmdir(sub);
	(void)snprintf(sub, sizeof(sub), "%s/lock", dir);
	(void)unlink(sub);
	(void)rmdir(dir);
}

static nx_rc bench_run(const struct cli_args *args, struct bench *b, struct nx_err *err)
{
	static const struct nx_key key = {{1}};
	struct nx_progress work = {.total = 2 * b->bytes};
	struct cli_watch *watch;
	nx_rc rc;

	b->p = nx_aligned_get(CHUNK);
	b->q = nx_aligned_get(CHUNK);
	b->gcm = nx_gcm_new(&key);
	if (!b->p || !b->q || !b->gcm)
		return nx_err_set(err, NX_E_NOMEM, "no memory to measure");
	nx_random(b->p, CHUNK);
	b->work = &work;
	watch = cli_watch_local("bench", "bytes", &work);
	rc = rows_run(args, b, err);
	cli_watch_end(watch);
	return rc;
}

nx_rc cmd_bench(const struct cli_args *args, struct nx_err *err)
{
	struct bench b = {0};
	char uri[NX_SITE_PATH + 32];
	const char *site;
	int64_t mib = MIB_DEFAULT;
	nx_rc rc = cli_site(args, &site, err);

	if (!rc)
		rc = cli_number(args, "mib", MIB_DEFAULT, 1, MIB_MAX, &mib, err);
	if (!rc)
		rc = folder_make(site, uri, err);
	if (rc)
		return rc;
	b.bytes = (uint64_t)mib * NX_MIB;
	rc = nx_pool_open(uri, &b.pool, err);
	if (!rc)
		rc = bench_run(args, &b, err);
	folder_remove(b.pool, uri + 4);
	nx_gcm_free(b.gcm);
	if (b.p)
		nx_aligned_put(b.p, CHUNK);
	if (b.q)
		nx_aligned_put(b.q, CHUNK);
	return rc;
}

/* One conformance suite over every driver, then what is particular to each. */
#include "nx_test.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/limits.h"
#include "store/pool.h"
#include "store/pool_drv.h"

enum {
	BLOCK = NX_PACK_ALIGN
};

struct fixture {
	const char *form; /* "%s" becomes the temporary directory */
	char dir[64];
	char uri[128];
	struct nx_pool *pool;
	struct nx_err err;
};

static int rm_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int setup(void **state)
{
	struct fixture *fx = *state;

	(void)snprintf(fx->dir, sizeof(fx->dir), "%s", "/tmp/nx-pool-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	if (strstr(fx->form, "dir:"))
		(void)snprintf(fx->uri, sizeof(fx->uri), "%s%s/deep/pool", fx->form, fx->dir);
	else
		(void)snprintf(fx->uri, sizeof(fx->uri), "%s", fx->form);
	assert_ok(nx_pool_open(fx->uri, &fx->pool, &fx->err), &fx->err);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;

	fx->pool = nx_pool_free(fx->pool);
	return nftw(fx->dir, rm_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void fill(uint8_t *p, size_t n, unsigned salt)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i / BLOCK * 31 + i * 7 + salt);
}

static nx_rc put(struct fixture *fx, nx_pack_id pack, uint64_t off, size_t n, unsigned salt)
{
	struct iovec iov = {nx_aligned_get(n), n};
	nx_rc rc;

	assert_non_null(iov.iov_base);
	fill(iov.iov_base, n, salt);
	rc = nx_pool_write(fx->pool, pack, off, &iov, 1, &fx->err);
	nx_aligned_put(iov.iov_base, n);
	return rc;
}

static void expect(struct fixture *fx, nx_pack_id pack, uint64_t off, size_t n, unsigned salt)
{
	uint8_t *want = malloc(n);
	uint8_t *got = malloc(n);

	fill(want, n, salt);
	assert_ok(nx_pool_read(fx->pool, pack, off, got, n, &fx->err), &fx->err);
	assert_memory_equal(got, want, n);
	free(want);
	free(got);
}

static void expect_zero(struct fixture *fx, nx_pack_id pack, uint64_t off, size_t n)
{
	uint8_t *got = malloc(n);

	memset(got, 0xaa, n);
	assert_ok(nx_pool_read(fx->pool, pack, off, got, n, &fx->err), &fx->err);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(got[i], 0);
	free(got);
}

static uint64_t size_of(struct fixture *fx, nx_pack_id pack)
{
	uint64_t size = UINT64_MAX;

	assert_ok(nx_pool_size(fx->pool, pack, &size, &fx->err), &fx->err);
	return size;
}

static void test_new_pack_is_empty_and_exists_once(void **state)
{
	struct fixture *fx = *state;
	uint8_t b;

	assert_ok(nx_pool_create(fx->pool, 7, &fx->err), &fx->err);
	assert_u64(size_of(fx, 7), 0);
	assert_rc(nx_pool_read(fx->pool, 7, 0, &b, 1, &fx->err), NX_E_SHORT);
	assert_rc(nx_pool_create(fx->pool, 7, &fx->err), NX_E_EXISTS);
}

static void test_written_is_read_at_any_alignment(void **state)
{
	struct fixture *fx = *state;
	const size_t n = 5 * NX_MIB;
	uint8_t *want = malloc(n);
	uint8_t *got = malloc(n + 1);
	const struct {
		size_t off, n, skew;
	} reads[] = {{0, 1, 0}, {1, BLOCK, 1}, {BLOCK - 1, 2, 0}, {0, n, 0}, {1, n - 1, 0},
		{BLOCK, 2 * NX_MIB + 5, 1}, {n - 3, 3, 1}, {12345, 4 * NX_MIB + 99, 0}};

	fill(want, n, 1);
	assert_ok(nx_pool_create(fx->pool, 1, &fx->err), &fx->err);
	assert_ok(put(fx, 1, 0, n, 1), &fx->err);
	for (size_t i = 0; i < NX_ARRAY_LEN(reads); i++) {
		memset(got, 0xaa, n + 1);
		assert_ok(nx_pool_read(fx->pool, 1, reads[i].off, got + reads[i].skew, reads[i].n,
				  &fx->err),
			&fx->err);
		assert_memory_equal(got + reads[i].skew, want + reads[i].off, reads[i].n);
	}
	assert_u64(size_of(fx, 1), n);
	free(want);
	free(got);
}

static void test_aligned_reads_past_the_cache_are_exact(void **state)
{
	struct fixture *fx = *state;
	const size_t n = 3 * NX_MIB;
	uint8_t *got = nx_aligned_get(n);
	uint8_t *want = malloc(n);

	fill(want, n, 3);
	assert_ok(nx_pool_create(fx->pool, 1, &fx->err), &fx->err);
	assert_ok(put(fx, 1, 0, n, 3), &fx->err);
	assert_ok(nx_pool_read(fx->pool, 1, 0, got, n, &fx->err), &fx->err);
	assert_memory_equal(got, want, n);
	assert_ok(nx_pool_read(fx->pool, 1, BLOCK, got, n - BLOCK - 7, &fx->err), &fx->err);
	assert_memory_equal(got, want + BLOCK, n - BLOCK - 7);
	free(want);
	nx_aligned_put(got, n);
}

static void test_buffers_of_one_write_are_laid_end_to_end(void **state)
{
	struct fixture *fx = *state;
	struct iovec iov[100];
	uint8_t *p = nx_aligned_get(sizeof(iov) / sizeof(iov[0]) * BLOCK);

	fill(p, NX_ARRAY_LEN(iov) * BLOCK, 9);
	for (size_t i = 0; i < NX_ARRAY_LEN(iov); i++)
		iov[i] = (struct iovec){p + i * BLOCK, BLOCK};
	assert_ok(nx_pool_create(fx->pool, 1, &fx->err), &fx->err);
	assert_ok(nx_pool_write(fx->pool, 1, BLOCK, iov, NX_ARRAY_LEN(iov), &fx->err), &fx->err);
	expect(fx, 1, BLOCK, NX_ARRAY_LEN(iov) * BLOCK, 9);
	nx_aligned_put(p, NX_ARRAY_LEN(iov) * BLOCK);
}

static void test_written_through_is_there_without_a_sync(void **state)
{
	struct fixture *fx = *state;
	uint8_t *block = nx_aligned_get(NX_PACK_ALIGN);
	struct iovec iov = {block, NX_PACK_ALIGN};
	uint8_t got[16];

	assert_non_null(block);
	memset(block, 0x5a, NX_PACK_ALIGN);
	assert_ok(nx_pool_create(fx->pool, 9, &fx->err), &fx->err);
	assert_ok(nx_pool_write_through(fx->pool, 9, NX_PACK_ALIGN, &iov, 1, &fx->err), &fx->err);
	assert_ok(nx_pool_read(fx->pool, 9, NX_PACK_ALIGN + 100, got, sizeof(got), &fx->err),
		&fx->err);
	for (size_t i = 0; i < sizeof(got); i++)
		assert_int_equal(got[i], 0x5a);
	nx_aligned_put(block, NX_PACK_ALIGN);
}

static void test_a_write_commit_writes_and_syncs_the_others(void **state)
{
	struct fixture *fx = *state;
	const nx_pack_id others[] = {7, 3, 7};
	uint8_t *block = nx_aligned_get(BLOCK);
	struct iovec iov = {block, BLOCK};

	assert_non_null(block);
	fill(block, BLOCK, 5);
	for (nx_pack_id pack = 3; pack <= 7; pack += 2)
		assert_ok(nx_pool_create(fx->pool, pack, &fx->err), &fx->err);
	assert_ok(put(fx, 3, 0, BLOCK, 1), &fx->err);
	assert_ok(put(fx, 7, 0, BLOCK, 2), &fx->err);
	assert_ok(nx_pool_write_commit(fx->pool,
			  &(struct nx_pack_write){.pack = 5, .off = BLOCK, .iov = &iov, .n = 1},
			  others, 3, &fx->err),
		&fx->err);
	expect(fx, 3, 0, BLOCK, 1);
	expect(fx, 5, BLOCK, BLOCK, 5);
	expect(fx, 7, 0, BLOCK, 2);
	assert_ok(nx_pool_write_commit(fx->pool,
			  &(struct nx_pack_write){.pack = 5, .iov = &iov, .n = 1}, others, 3,
			  &fx->err),
		&fx->err);
	assert_ok(
		nx_pool_write_commit(fx->pool,
			&(struct nx_pack_write){.pack = 5, .iov = &iov, .n = 1}, NULL, 0, &fx->err),
		&fx->err);
	assert_rc(nx_pool_write_commit(fx->pool,
			  &(struct nx_pack_write){.pack = 6, .iov = &iov, .n = 1}, others, 1, NULL),
		NX_E_NOENT);
	nx_aligned_put(block, BLOCK);
}

static struct nx_pool_stream *stream_of(struct fixture *fx, nx_pack_id pack)
{
	struct nx_pool_stream *s = NULL;

	assert_ok(nx_pool_stream_new(fx->pool, pack, &s, &fx->err), &fx->err);
	return s;
}

static void test_a_stream_writes_beside_its_caller(void **state)
{
	enum {
		N = 40,
		LEN = 16 * BLOCK
	}; /* more than are in flight at once */
	struct fixture *fx = *state;
	struct nx_pool_stream *s;
	uint8_t *p = nx_aligned_get(N * LEN);
	nx_pack_id id = 3;

	assert_non_null(p);
	assert_ok(nx_pool_create(fx->pool, id, &fx->err), &fx->err);
	fill(p, N * LEN, 6);
	s = stream_of(fx, id);
	assert_ok(nx_pool_stream_wait(s, &fx->err), &fx->err);
	for (size_t i = 0; i < N; i++)
		assert_ok(nx_pool_stream_write(s, BLOCK + i * LEN, p + i * LEN, LEN, &fx->err),
			&fx->err);
	assert_ok(nx_pool_stream_wait(s, &fx->err), &fx->err);
	expect(fx, id, BLOCK, N * LEN, 6);
	assert_ok(nx_pool_sync(fx->pool, &id, 1, &fx->err), &fx->err);
	assert_ok(nx_pool_stream_write(s, 0, p, BLOCK, &fx->err), &fx->err);
	s = nx_pool_stream_free(s); /* waits */
	expect(fx, id, 0, BLOCK, 6);
	assert_null(nx_pool_stream_free(s));
	nx_aligned_put(p, N * LEN);
}

static void test_more_streams_than_there_are_rings(void **state)
{
	enum {
		N = NX_LIMIT_STREAMS + 8
	};
	struct fixture *fx = *state;
	struct nx_pool_stream *s[N];
	uint8_t *p = nx_aligned_get(N * BLOCK);

	assert_non_null(p);
	fill(p, N * BLOCK, 1);
	assert_ok(nx_pool_create(fx->pool, 1, &fx->err), &fx->err);
	for (size_t i = 0; i < N; i++) {
		s[i] = stream_of(fx, 1);
		assert_ok(nx_pool_stream_write(s[i], i * BLOCK, p + i * BLOCK, BLOCK, &fx->err),
			&fx->err);
	}
	for (size_t i = 0; i < N; i++)
		s[i] = nx_pool_stream_free(s[i]);
	expect(fx, 1, 0, N * BLOCK, 1);
	nx_aligned_put(p, N * BLOCK);
}

static void test_holes_read_as_zeros(void **state)
{
	struct fixture *fx = *state;

	assert_ok(nx_pool_create(fx->pool, 1, &fx->err), &fx->err);
	assert_ok(put(fx, 1, 8 * NX_MIB, BLOCK, 4), &fx->err);
	expect_zero(fx, 1, 0, 8 * NX_MIB);
	expect(fx, 1, 8 * NX_MIB, BLOCK, 4);
	assert_u64(size_of(fx, 1), 8 * NX_MIB + BLOCK);
}

static void test_past_the_end_is_short(void **state)
{
	struct fixture *fx = *state;
	uint8_t *p = malloc(4 * NX_MIB);

	assert_ok(nx_pool_create(fx->pool, 1, &fx->err), &fx->err);
	assert_ok(put(fx, 1, 0, BLOCK, 4), &fx->err);
	assert_rc(nx_pool_read(fx->pool, 1, 0, p, BLOCK + 1, &fx->err), NX_E_SHORT);
	assert_rc(nx_pool_read(fx->pool, 1, 0, p, 4 * NX_MIB, &fx->err), NX_E_SHORT);
	assert_rc(nx_pool_read(fx->pool, 1, 1, p, 2 * NX_MIB, &fx->err), NX_E_SHORT);
	assert_rc(nx_pool_read(fx->pool, 1, BLOCK, p, 1, &fx->err), NX_E_SHORT);
	assert_rc(nx_pool_read(fx->pool, 1, 1ull << 40, p, 1, &fx->err), NX_E_SHORT);
	assert_rc(nx_pool_read(fx->pool, 1, UINT64_MAX - 3, p, 8, &fx->err), NX_E_SHORT);
	free(p);
}

static void test_missing_pack_is_noent(void **state)
{
	struct fixture *fx = *state;
	nx_pack_id id = 99;
	uint64_t size;
	uint8_t b;

	assert_rc(nx_pool_read(fx->pool, id, 0, &b, 1, &fx->err), NX_E_NOENT);
	assert_rc(put(fx, id, 0, BLOCK, 0), NX_E_NOENT);
	assert_rc(nx_pool_sync(fx->pool, &id, 1, &fx->err), NX_E_NOENT);
	assert_rc(nx_pool_size(fx->pool, id, &size, &fx->err), NX_E_NOENT);
	assert_rc(nx_pool_remove(fx->pool, id, &fx->err), NX_E_NOENT);
	assert_rc(nx_pool_discard(fx->pool, id, 0, BLOCK, &fx->err), NX_E_NOENT);
	nx_pool_prefetch(fx->pool, id, 0, BLOCK);
}

static void test_removed_pack_is_gone(void **state)
{
	struct fixture *fx = *state;
	uint8_t b;

	assert_ok(nx_pool_create(fx->pool, 5, &fx->err), &fx->err);
	assert_ok(put(fx, 5, 0, BLOCK, 0), &fx->err);
	assert_ok(nx_pool_remove(fx->pool, 5, &fx->err), &fx->err);
	assert_rc(nx_pool_read(fx->pool, 5, 0, &b, 1, &fx->err), NX_E_NOENT);
	assert_rc(nx_pool_remove(fx->pool, 5, &fx->err), NX_E_NOENT);
}

static nx_rc collect(void *payload, nx_pack_id pack)
{
	struct nx_pack_list *list = payload;

	assert_true(nx_pack_list_add(list, pack));
	return NX_OK;
}

static nx_rc refuse(void *payload, nx_pack_id pack)
{
	(void)pack;
	++*(unsigned *)payload;
	return NX_E_BUSY;
}

static void test_list_is_ascending_and_stops_when_told(void **state)
{
	struct fixture *fx = *state;
	const nx_pack_id ids[] = {300, 1, UINT64_MAX, 0x0200000000000000, 2, 0x01ffffffffffffff};
	const nx_pack_id want[] = {1, 2, 300, 0x01ffffffffffffff, 0x0200000000000000, UINT64_MAX};
	struct nx_pack_list list = {0};
	unsigned calls = 0;

	assert_ok(nx_pool_list(fx->pool, collect, &list, &fx->err), &fx->err);
	assert_int_equal(list.n, 0);
	for (size_t i = 0; i < NX_ARRAY_LEN(ids); i++)
		assert_ok(nx_pool_create(fx->pool, ids[i], &fx->err), &fx->err);
	assert_ok(nx_pool_list(fx->pool, collect, &list, &fx->err), &fx->err);
	assert_int_equal(list.n, NX_ARRAY_LEN(want));
	assert_memory_equal(list.ids, want, sizeof(want));
	assert_rc(nx_pool_list(fx->pool, refuse, &calls, &fx->err), NX_E_BUSY);
	assert_int_equal(calls, 1);
	free(list.ids);
}

static void test_discarded_range_reads_as_zeros(void **state)
{
	struct fixture *fx = *state;

	assert_true(nx_pool_caps(fx->pool) & NX_POOL_DISCARD);
	assert_ok(nx_pool_create(fx->pool, 1, &fx->err), &fx->err);
	assert_ok(put(fx, 1, 0, BLOCK, 1), &fx->err);
	assert_ok(put(fx, 1, BLOCK, 2 * BLOCK, 2), &fx->err);
	assert_ok(put(fx, 1, 3 * BLOCK, BLOCK, 3), &fx->err);
	assert_ok(nx_pool_discard(fx->pool, 1, BLOCK, 2 * BLOCK, &fx->err), &fx->err);
	assert_ok(nx_pool_discard(fx->pool, 1, 64 * BLOCK, BLOCK, &fx->err), &fx->err);
	expect(fx, 1, 0, BLOCK, 1);
	expect_zero(fx, 1, BLOCK, 2 * BLOCK);
	expect(fx, 1, 3 * BLOCK, BLOCK, 3);
	assert_u64(size_of(fx, 1), 4 * BLOCK);
}

static void test_many_packs_sync_in_one_call(void **state)
{
	struct fixture *fx = *state;
	nx_pack_id ids[150];

	for (size_t i = 0; i < NX_ARRAY_LEN(ids); i++) {
		ids[i] = i % 140 + 1; /* some of them twice */
		if (i < 140) {
			assert_ok(nx_pool_create(fx->pool, ids[i], &fx->err), &fx->err);
			assert_ok(put(fx, ids[i], 0, BLOCK, (unsigned)i), &fx->err);
		}
	}
	assert_ok(nx_pool_sync(fx->pool, ids, NX_ARRAY_LEN(ids), &fx->err), &fx->err);
	assert_ok(nx_pool_sync(fx->pool, ids, 3, &fx->err), &fx->err);
	assert_ok(nx_pool_sync(fx->pool, ids, 0, &fx->err), &fx->err);
	for (size_t i = 0; i < 140; i++)
		expect(fx, ids[i], 0, BLOCK, (unsigned)i);
}

struct writer {
	struct fixture *fx;
	unsigned salt;
	nx_rc rc;
};

/* Every other block from `salt` on. */
static void *write_stripes(void *arg)
{
	struct writer *w = arg;
	struct iovec iov = {nx_aligned_get(BLOCK), BLOCK};
	nx_pack_id id = 1;

	fill(iov.iov_base, BLOCK, w->salt);
	for (uint64_t i = w->salt; i < 400 && !w->rc; i += 2) {
		w->rc = nx_pool_write(w->fx->pool, 1, i * BLOCK, &iov, 1, NULL);
		if (!w->rc && i % 50 < 2)
			w->rc = nx_pool_sync(w->fx->pool, &id, 1, NULL);
	}
	nx_aligned_put(iov.iov_base, BLOCK);
	return NULL;
}

static void test_two_writers_of_disjoint_ranges_do_not_disturb(void **state)
{
	struct fixture *fx = *state;
	struct writer w[2] = {{fx, 0, NX_OK}, {fx, 1, NX_OK}};
	pthread_t t[2];

	assert_ok(nx_pool_create(fx->pool, 1, &fx->err), &fx->err);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, write_stripes, &w[i]), 0);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_rc(w[i].rc, NX_OK);
	}
	for (uint64_t i = 0; i < 400; i++)
		expect(fx, 1, i * BLOCK, BLOCK, (unsigned)(i % 2));
}

static void test_free_bytes_and_path_answer(void **state)
{
	struct fixture *fx = *state;
	uint64_t bytes = 0;
	char path[256];
	bool local = nx_pool_caps(fx->pool) & NX_POOL_LOCAL;

	assert_ok(nx_pool_free_bytes(fx->pool, &bytes, &fx->err), &fx->err);
	assert_true(bytes > 0);
	assert_ok(nx_pool_create(fx->pool, 0x1234, &fx->err), &fx->err);
	assert_rc(nx_pool_path(fx->pool, 0x1234, path, sizeof(path), &fx->err),
		local ? NX_OK : NX_E_UNSUPPORTED);
	if (!local)
		return;
	assert_non_null(strstr(path, "/00/0000000000001234.nxp"));
	assert_int_equal(access(path, R_OK), 0);
	assert_rc(nx_pool_path(fx->pool, 0x1234, path, strlen(path), &fx->err), NX_E_LIMIT);
}

static void test_unknown_pools_are_refused(void **state)
{
	const char *uris[] = {"", "mem", "tape:x", "dir:", "mem:x",
		"fault:", "fault:tape:", "dir:/dev/null/x", "memo:"};
	struct nx_pool *pool = NULL;

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(uris); i++) {
		assert_int_not_equal(nx_pool_open(uris[i], &pool, NULL), NX_OK);
		assert_null(pool); /* untouched on failure */
	}
}

static void test_dir_survives_reopening_and_ignores_strangers(void **state)
{
	struct fixture *fx = *state;
	struct nx_pack_list list = {0};
	char path[256];
	struct stat st;
	nx_pack_id id = 0xab00000000000001;

	assert_ok(nx_pool_create(fx->pool, id, &fx->err), &fx->err);
	assert_ok(put(fx, id, 0, 3 * BLOCK, 6), &fx->err);
	assert_ok(nx_pool_sync(fx->pool, &id, 1, &fx->err), &fx->err);
	assert_ok(nx_pool_path(fx->pool, id, path, sizeof(path), &fx->err), &fx->err);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	memcpy(strrchr(path, '/'), "/AB00000000000002.nxp", 22);
	assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
	*strrchr(path, '/') = 0;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);

	fx->pool = nx_pool_free(fx->pool);
	assert_ok(nx_pool_open(fx->uri, &fx->pool, &fx->err), &fx->err);
	expect(fx, id, 0, 3 * BLOCK, 6);
	assert_ok(nx_pool_list(fx->pool, collect, &list, &fx->err), &fx->err);
	assert_int_equal(list.n, 1);
	free(list.ids);
}

static void test_a_dir_that_is_open_is_not_opened_again(void **state)
{
	struct fixture *fx = *state;
	struct nx_pool *second = NULL;

	assert_rc(nx_pool_open(fx->uri, &second, &fx->err), NX_E_BUSY);
	assert_null(second);
	fx->pool = nx_pool_free(fx->pool);
	assert_ok(nx_pool_open(fx->uri, &fx->pool, &fx->err), &fx->err);
}

static void test_dir_serves_more_packs_than_it_keeps_open(void **state)
{
	struct fixture *fx = *state;

	for (nx_pack_id id = 1; id <= 600; id++) {
		assert_ok(nx_pool_create(fx->pool, id, &fx->err), &fx->err);
		assert_ok(put(fx, id, 0, BLOCK, (unsigned)id), &fx->err);
		if (id % 2)
			assert_ok(nx_pool_sync(fx->pool, &id, 1, &fx->err), &fx->err);
	}
	for (nx_pack_id id = 600; id >= 1; id--)
		expect(fx, id, 0, BLOCK, (unsigned)id);
}

/* Stands before libc's: the nth call from now fails, as the device of a failing disk would. */
static int fdatasync_fails_in;

int fdatasync(int fd)
{
	if (fdatasync_fails_in > 0 && --fdatasync_fails_in == 0) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

static void test_dir_never_writes_to_a_pack_whose_sync_failed(void **state)
{
	struct fixture *fx = *state;
	nx_pack_id bad = 1;
	const nx_pack_id both[] = {1, 2};
	uint8_t *block = nx_aligned_get(BLOCK);
	struct nx_pool_stream *s;

	assert_non_null(block);
	assert_ok(nx_pool_create(fx->pool, 1, &fx->err), &fx->err);
	assert_ok(nx_pool_create(fx->pool, 2, &fx->err), &fx->err);
	assert_ok(put(fx, 1, 0, BLOCK, 1), &fx->err);
	assert_ok(put(fx, 2, 0, BLOCK, 2), &fx->err);
	fdatasync_fails_in = 1;
	assert_rc(nx_pool_sync(fx->pool, &bad, 1, &fx->err), NX_E_IO);
	assert_int_equal(fdatasync_fails_in, 0);
	for (int i = 0; i < 3; i++) { /* the kernel would say yes now */
		assert_rc(nx_pool_sync(fx->pool, &bad, 1, &fx->err), NX_E_IO);
		assert_rc(nx_pool_sync(fx->pool, both, 2, &fx->err), NX_E_IO);
		assert_rc(put(fx, 1, BLOCK, BLOCK, 1), NX_E_IO);
	}
	s = stream_of(fx, 1);
	assert_rc(nx_pool_stream_write(s, 0, block, BLOCK, &fx->err), NX_E_IO);
	s = nx_pool_stream_free(s);
	nx_aligned_put(block, BLOCK);
	expect(fx, 1, 0, BLOCK, 1); /* reading goes on */
	assert_ok(put(fx, 2, 0, BLOCK, 3), &fx->err);
	assert_ok(nx_pool_sync(fx->pool, both + 1, 1, &fx->err), &fx->err);
}

/* The limit of the process cuts a write in the middle, as a full disk does. */
static void test_dir_tells_with_the_wait_what_a_stream_could_not_write(void **state)
{
	struct fixture *fx = *state;
	struct rlimit before, tight;
	struct nx_pool_stream *s;
	uint8_t *p = nx_aligned_get(8 * BLOCK);

	assert_non_null(p);
	fill(p, 8 * BLOCK, 2);
	assert_ok(nx_pool_create(fx->pool, 1, &fx->err), &fx->err);
	s = stream_of(fx, 1);
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	tight = (struct rlimit){4 * BLOCK, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	assert_ok(nx_pool_stream_write(s, 0, p, 8 * BLOCK, &fx->err), &fx->err);
	assert_rc(nx_pool_stream_wait(s, &fx->err), NX_E_IO);
	assert_non_null(strstr(nx_err_text(&fx->err), "0000000000000001"));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	(void)signal(SIGXFSZ, SIG_DFL);
	assert_ok(nx_pool_stream_write(s, 0, p, 8 * BLOCK, &fx->err), &fx->err);
	assert_ok(nx_pool_stream_wait(s, &fx->err), &fx->err); /* said once */
	expect(fx, 1, 0, 8 * BLOCK, 2);
	s = nx_pool_stream_free(s);
	nx_aligned_put(p, 8 * BLOCK);
}

static void test_fault_fails_the_nth_call_of_its_kind(void **state)
{
	struct fixture *fx = *state;
	const struct nx_fault second = {NX_FAULT_WRITE, 2, false, false, NX_E_NOSPACE};
	const struct nx_fault from_now = {NX_FAULT_ANY, 1, true, false, NX_E_IO};
	nx_pack_id id = 1;
	uint8_t b;

	assert_ok(nx_pool_create(fx->pool, 1, &fx->err), &fx->err);
	nx_pool_fault_arm(fx->pool, &second);
	assert_ok(put(fx, 1, 0, BLOCK, 1), &fx->err);
	assert_ok(nx_pool_read(fx->pool, 1, 0, &b, 1, &fx->err), &fx->err);
	assert_rc(put(fx, 1, 0, BLOCK, 2), NX_E_NOSPACE);
	expect(fx, 1, 0, BLOCK, 1);
	assert_ok(put(fx, 1, 0, BLOCK, 3), &fx->err);

	nx_pool_fault_arm(fx->pool, &from_now);
	for (int i = 0; i < 3; i++) {
		assert_rc(nx_pool_read(fx->pool, 1, 0, &b, 1, &fx->err), NX_E_IO);
		assert_rc(nx_pool_sync(fx->pool, &id, 1, &fx->err), NX_E_IO);
		assert_rc(nx_pool_create(fx->pool, 2, &fx->err), NX_E_IO);
		assert_rc(put(fx, 1, 0, BLOCK, 4), NX_E_IO);
	}
	nx_pool_fault_arm(fx->pool, NULL);
	expect(fx, 1, 0, BLOCK, 3);
	assert_u64(nx_pool_fault_count(fx->pool, NX_FAULT_WRITE), 6);
	assert_u64(nx_pool_fault_count(fx->pool, NX_FAULT_SYNC | NX_FAULT_CREATE), 7);
}

static void test_fault_may_lose_only_the_answer(void **state)
{
	struct fixture *fx = *state;
	const struct nx_fault lost = {NX_FAULT_WRITE, 1, false, true, NX_E_IO};

	assert_ok(nx_pool_create(fx->pool, 1, &fx->err), &fx->err);
	nx_pool_fault_arm(fx->pool, &lost);
	assert_rc(put(fx, 1, 0, BLOCK, 1), NX_E_IO);
	expect(fx, 1, 0, BLOCK, 1);
}

static nx_rc cut(struct fixture *fx, uint64_t seed)
{
	if (strncmp(fx->uri, "fault:", 6) == 0)
		return nx_pool_fault_powercut(fx->pool, seed, &fx->err);
	nx_pool_mem_crash(fx->pool, seed);
	return NX_OK;
}

/* The salt of a block: 0 where it is zeros, UINT_MAX where it is none of 1..max. */
static unsigned salt_at(struct fixture *fx, uint64_t off, unsigned max)
{
	uint8_t got[BLOCK];
	uint8_t want[BLOCK] = {0};

	if (nx_pool_read(fx->pool, 1, off, got, BLOCK, NULL) != NX_OK)
		return 0;
	for (unsigned salt = 0; salt <= max; salt++) {
		if (salt > 0)
			fill(want, BLOCK, salt);
		if (memcmp(got, want, BLOCK) == 0)
			return salt;
	}
	return UINT_MAX;
}

static void test_power_cut_keeps_what_was_synced(void **state)
{
	struct fixture *fx = *state;
	nx_pack_id id = 1;

	assert_ok(nx_pool_create(fx->pool, 1, &fx->err), &fx->err);
	for (uint64_t seed = 0; seed < 20; seed++) {
		assert_ok(put(fx, 1, 2 * seed * BLOCK, BLOCK, 1), &fx->err);
		assert_ok(nx_pool_sync(fx->pool, &id, 1, &fx->err), &fx->err);
		assert_ok(put(fx, 1, (2 * seed + 1) * BLOCK, BLOCK, 2), &fx->err);
		assert_ok(cut(fx, seed), &fx->err);
		for (uint64_t i = 0; i <= seed; i++)
			assert_int_equal(salt_at(fx, 2 * i * BLOCK, 2), 1);
	}
}

/* Each of: lost, the first and the last of two contents, a short pack, must come up. */
static void test_power_cut_loses_tears_and_reorders(void **state)
{
	struct fixture *fx = *state;
	unsigned seen[4] = {0};
	unsigned torn = 0;
	unsigned shorter = 0;

	for (uint64_t seed = 0; seed < 64; seed++) {
		unsigned a;
		unsigned b;

		assert_ok(nx_pool_create(fx->pool, 1, &fx->err), &fx->err);
		for (unsigned i = 0; i < 8; i++)
			assert_ok(put(fx, 1, i * BLOCK, BLOCK, 1), &fx->err);
		for (unsigned i = 0; i < 8; i++)
			assert_ok(put(fx, 1, i * BLOCK, BLOCK, 2), &fx->err);
		assert_ok(cut(fx, seed), &fx->err);
		a = salt_at(fx, 0, 2);
		b = salt_at(fx, BLOCK, 2);
		assert_true(a <= 2 && b <= 2);
		seen[a]++;
		torn += a != b;
		shorter += size_of(fx, 1) < 8 * BLOCK;
		assert_ok(nx_pool_remove(fx->pool, 1, &fx->err), &fx->err);
	}
	assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0 && torn > 0 && shorter > 0);
}

static void test_nosync_is_caught_by_a_power_cut(void **state)
{
	struct fixture *fx = *state;
	nx_pack_id id = 1;
	unsigned lost = 0;

	nx_pool_fault_nosync(fx->pool, true);
	assert_ok(nx_pool_create(fx->pool, 1, &fx->err), &fx->err);
	for (uint64_t seed = 0; seed < 16; seed++) {
		assert_ok(put(fx, 1, seed * BLOCK, BLOCK, 1), &fx->err);
		assert_ok(nx_pool_sync(fx->pool, &id, 1, &fx->err), &fx->err);
		assert_ok(cut(fx, seed), &fx->err);
		lost += salt_at(fx, seed * BLOCK, 1) != 1;
	}
	assert_true(lost > 0);
}

static void test_aligned_buffers_are_aligned_and_reused(void **state)
{
	const size_t sizes[] = {1, BLOCK, BLOCK + 1, NX_MIB, 4 * NX_MIB, 4 * NX_MIB + 1};

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(sizes); i++) {
		uint8_t *p = nx_aligned_get(sizes[i]);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % BLOCK, 0);
		memset(p, 1, sizes[i]);
		nx_aligned_put(p, sizes[i]);
		if (sizes[i] <= 4 * NX_MIB) {
			assert_ptr_equal(nx_aligned_get(sizes[i]), p);
			nx_aligned_put(p, sizes[i]);
		}
	}
	nx_aligned_put(NULL, 1);
	assert_null(nx_aligned_get(SIZE_MAX));
}

static const struct CMUnitTest conformance[] = {
	cmocka_unit_test(test_new_pack_is_empty_and_exists_once),
	cmocka_unit_test(test_written_is_read_at_any_alignment),
	cmocka_unit_test(test_aligned_reads_past_the_cache_are_exact),
	cmocka_unit_test(test_buffers_of_one_write_are_laid_end_to_end),
	cmocka_unit_test(test_written_through_is_there_without_a_sync),
	cmocka_unit_test(test_a_write_commit_writes_and_syncs_the_others),
	cmocka_unit_test(test_a_stream_writes_beside_its_caller),
	cmocka_unit_test(test_more_streams_than_there_are_rings),
	cmocka_unit_test(test_holes_read_as_zeros),
	cmocka_unit_test(test_past_the_end_is_short),
	cmocka_unit_test(test_missing_pack_is_noent),
	cmocka_unit_test(test_removed_pack_is_gone),
	cmocka_unit_test(test_list_is_ascending_and_stops_when_told),
	cmocka_unit_test(test_discarded_range_reads_as_zeros),
	cmocka_unit_test(test_many_packs_sync_in_one_call),
	cmocka_unit_test(test_two_writers_of_disjoint_ranges_do_not_disturb),
	cmocka_unit_test(test_free_bytes_and_path_answer),
};
static const struct CMUnitTest power_cuts[] = {
	cmocka_unit_test(test_power_cut_keeps_what_was_synced),
	cmocka_unit_test(test_power_cut_loses_tears_and_reorders),
};
static const struct CMUnitTest faults[] = {
	cmocka_unit_test(test_fault_fails_the_nth_call_of_its_kind),
	cmocka_unit_test(test_fault_may_lose_only_the_answer),
	cmocka_unit_test(test_nosync_is_caught_by_a_power_cut),
};
static const struct CMUnitTest files[] = {
	cmocka_unit_test(test_dir_survives_reopening_and_ignores_strangers),
	cmocka_unit_test(test_a_dir_that_is_open_is_not_opened_again),
	cmocka_unit_test(test_dir_serves_more_packs_than_it_keeps_open),
	cmocka_unit_test(test_dir_never_writes_to_a_pack_whose_sync_failed),
	cmocka_unit_test(test_dir_tells_with_the_wait_what_a_stream_could_not_write),
};
static const struct CMUnitTest alone[] = {
	cmocka_unit_test(test_unknown_pools_are_refused),
	cmocka_unit_test(test_aligned_buffers_are_aligned_and_reused),
};

/* All in one group, because a TAP stream has one plan. */
static struct CMUnitTest all[128];
static char names[128][96];
static size_t n_all;

static void add(const struct CMUnitTest *tests, size_t n, struct fixture *fx)
{
	for (size_t i = 0; i < n; i++, n_all++) {
		assert(n_all < NX_ARRAY_LEN(all));
		all[n_all] = tests[i];
		if (!fx)
			continue;
		(void)snprintf(names[n_all], sizeof(names[0]), "%s %s", fx->form, tests[i].name);
		all[n_all].name = names[n_all];
		all[n_all].setup_func = setup;
		all[n_all].teardown_func = teardown;
		all[n_all].initial_state = fx;
	}
}
#define ADD(tests, fx) add(tests, NX_ARRAY_LEN(tests), fx)

int main(void)
{
	static struct fixture mem = {.form = "mem:"};
	static struct fixture dir = {.form = "dir:"};
	static struct fixture fault_mem = {.form = "fault:mem:"};
	static struct fixture fault_dir = {.form = "fault:dir:"};

	ADD(alone, NULL);
	ADD(conformance, &mem);
	ADD(conformance, &dir);
	ADD(conformance, &fault_mem);
	ADD(conformance, &fault_dir);
	ADD(files, &dir);
	ADD(faults, &fault_mem);
	ADD(faults, &fault_dir);
	ADD(power_cuts, &mem);
	ADD(power_cuts, &fault_mem);
	ADD(power_cuts, &fault_dir);
	return _cmocka_run_group_tests("pool", all, n_all, NULL, NULL);
}

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/limits.h"
#include "store/pool_drv.h"
#include "store/undo_priv.h"

enum {
	KINDS = 4
};

struct fault_pool {
	struct nx_pool base;
	struct nx_pool *inner;
	bool journals;         /* keeps what unsynced writes replaced; a mem pool does so itself */
	pthread_mutex_t lock;  /* guards all below */
	struct nx_fault armed; /* kinds 0: none */
	uint64_t since;        /* calls of those kinds since arming */
	uint64_t counts[KINDS];
	bool nosync;
	/* Held from looking at the old bytes to the end of the write, and across syncs; taken
	 * before `lock`.  Guards undo. */
	pthread_mutex_t order;
	struct nx_undo undo;
};

static struct fault_pool *fault_of(struct nx_pool *pool)
{
	assert(pool->ops == &nx_pool_drv_fault);
	return NX_CONTAINER_OF(pool, struct fault_pool, base);
}

static void fault_close(struct nx_pool *pool)
{
	struct fault_pool *fp = fault_of(pool);

	nx_pool_free(fp->inner);
	nx_undo_clear(&fp->undo);
	(void)pthread_mutex_destroy(&fp->lock);
	(void)pthread_mutex_destroy(&fp->order);
	free(fp);
}

static nx_rc fault_open(const char *rest, struct nx_pool **ret_pool, struct nx_err *err)
{
	struct fault_pool *fp = calloc(1, sizeof(*fp));
	nx_rc rc;

	if (!fp)
		return nx_err_set(err, NX_E_NOMEM, "no memory for pool");
	rc = nx_pool_open(rest, &fp->inner, err);
	if (rc) {
		free(fp);
		return rc;
	}
	fp->base.ops = &nx_pool_drv_fault;
	fp->base.caps = nx_pool_caps(fp->inner);
	fp->journals = fp->inner->ops != &nx_pool_drv_mem;
	(void)pthread_mutex_init(&fp->lock, NULL);
	(void)pthread_mutex_init(&fp->order, NULL);
	*ret_pool = &fp->base;
	return NX_OK;
}

static bool armed_hits(struct fault_pool *fp, enum nx_fault_kind kind)
{
	if (!(fp->armed.kinds & kind))
		return false;
	fp->since++;
	return fp->since == fp->armed.nth || (fp->armed.forever && fp->since > fp->armed.nth);
}

/* Count the call.  The answer is the code that it must fail with, *ret_apply whether it is to
 * happen. */
static nx_rc fault_enter(struct fault_pool *fp, enum nx_fault_kind kind, bool *ret_apply)
{
	nx_rc rc = NX_OK;

	(void)pthread_mutex_lock(&fp->lock);
	fp->counts[__builtin_ctz(kind)]++;
	*ret_apply = true;
	if (armed_hits(fp, kind)) {
		rc = fp->armed.rc;
		*ret_apply = fp->armed.applied;
	}
	(void)pthread_mutex_unlock(&fp->lock);
	return rc;
}

/* The answer of a call: the fault's, or what really came of it. */
static nx_rc fault_leave(nx_rc fault, nx_rc real, struct nx_err *err)
{
	return fault ? nx_err_set(err, fault, "injected fault") : real;
}

static nx_rc fault_create(struct nx_pool *pool, nx_pack_id pack, struct nx_err *err)
{
	struct fault_pool *fp = fault_of(pool);
	bool apply;
	nx_rc fault = fault_enter(fp, NX_FAULT_CREATE, &apply);

	return fault_leave(fault, apply ? nx_pool_create(fp->inner, pack, err) : NX_OK, err);
}

/* Keep what a write is about to replace.  Caller holds order. */
static nx_rc journal(
	struct fault_pool *fp, nx_pack_id pack, uint64_t off, size_t n, struct nx_err *err)
{
	uint64_t size;
	uint8_t *old = NULL;
	nx_rc rc = nx_pool_size(fp->inner, pack, &size, err);

	if (!rc)
		rc = nx_undo_add(&fp->undo, pack, off, n, size, &old, err);
	if (rc || off >= size)
		return rc;
	return nx_pool_read(fp->inner, pack, off, old, n < size - off ? n : size - off, err);
}

static nx_rc write_through(struct fault_pool *fp, nx_pack_id pack, uint64_t off,
	const struct iovec *iov, size_t n, struct nx_err *err)
{
	size_t len = 0;
	nx_rc rc;

	for (size_t i = 0; i < n; i++)
		len += iov[i].iov_len;
	(void)pthread_mutex_lock(&fp->order);
	rc = fp->journals ? journal(fp, pack, off, len, err) : NX_OK;
	if (!rc)
		rc = nx_pool_write(fp->inner, pack, off, iov, n, err);
	(void)pthread_mutex_unlock(&fp->order);
	return rc;
}

static nx_rc fault_write(struct nx_pool *pool, nx_pack_id pack, uint64_t off,
	const struct iovec *iov, size_t n, struct nx_err *err)
{
	struct fault_pool *fp = fault_of(pool);
	bool apply;
	nx_rc fault = fault_enter(fp, NX_FAULT_WRITE, &apply);

	return fault_leave(fault, apply ? write_through(fp, pack, off, iov, n, err) : NX_OK, err);
}

static nx_rc sync_through(
	struct fault_pool *fp, const nx_pack_id *packs, size_t n, struct nx_err *err)
{
	nx_rc rc;

	(void)pthread_mutex_lock(&fp->order);
	rc = nx_pool_sync(fp->inner, packs, n, err);
	for (size_t i = 0; i < n && !rc; i++)
		nx_undo_forget(&fp->undo, packs[i]);
	(void)pthread_mutex_unlock(&fp->order);
	return rc;
}

static nx_rc fault_sync(struct nx_pool *pool, const nx_pack_id *packs, size_t n, struct nx_err *err)
{
	struct fault_pool *fp = fault_of(pool);
	bool apply;
	nx_rc fault = fault_enter(fp, NX_FAULT_SYNC, &apply);

	(void)pthread_mutex_lock(&fp->lock);
	apply = apply && !fp->nosync;
	(void)pthread_mutex_unlock(&fp->lock);
	return fault_leave(fault, apply ? sync_through(fp, packs, n, err) : NX_OK, err);
}

static nx_rc fault_read(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, void *p, size_t n, struct nx_err *err)
{
	struct fault_pool *fp = fault_of(pool);
	bool apply;
	nx_rc fault = fault_enter(fp, NX_FAULT_READ, &apply);

	return fault_leave(
		fault, apply ? nx_pool_read(fp->inner, pack, off, p, n, err) : NX_OK, err);
}

static void fault_prefetch(struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n)
{
	nx_pool_prefetch(fault_of(pool)->inner, pack, off, n);
}

static nx_rc fault_size(
	struct nx_pool *pool, nx_pack_id pack, uint64_t *ret_size, struct nx_err *err)
{
	return nx_pool_size(fault_of(pool)->inner, pack, ret_size, err);
}

static nx_rc fault_remove(struct nx_pool *pool, nx_pack_id pack, struct nx_err *err)
{
	struct fault_pool *fp = fault_of(pool);
	nx_rc rc;

	(void)pthread_mutex_lock(&fp->order);
	rc = nx_pool_remove(fp->inner, pack, err);
	if (!rc)
		nx_undo_forget(&fp->undo, pack);
	(void)pthread_mutex_unlock(&fp->order);
	return rc;
}

static nx_rc fault_discard(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n, struct nx_err *err)
{
	return nx_pool_discard(fault_of(pool)->inner, pack, off, n, err);
}

static nx_rc fault_list(struct nx_pool *pool, nx_pack_id **ret, size_t *ret_n, struct nx_err *err)
{
	struct nx_pool *inner = fault_of(pool)->inner;

	return inner->ops->list(inner, ret, ret_n, err);
}

static nx_rc fault_path(
	struct nx_pool *pool, nx_pack_id pack, char *ret, size_t cap, struct nx_err *err)
{
	return nx_pool_path(fault_of(pool)->inner, pack, ret, cap, err);
}

static nx_rc fault_free_bytes(struct nx_pool *pool, uint64_t *ret, struct nx_err *err)
{
	return nx_pool_free_bytes(fault_of(pool)->inner, ret, err);
}

const struct nx_pool_ops nx_pool_drv_fault = {
	.scheme = "fault",
	.open = fault_open,
	.close = fault_close,
	.create = fault_create,
	.write = fault_write,
	.sync = fault_sync,
	.read = fault_read,
	.prefetch = fault_prefetch,
	.size = fault_size,
	.remove = fault_remove,
	.discard = fault_discard,
	.list = fault_list,
	.path = fault_path,
	.free_bytes = fault_free_bytes,
};

void nx_pool_fault_arm(struct nx_pool *pool, const struct nx_fault *fault)
{
	struct fault_pool *fp = fault_of(pool);

	assert(!fault || (fault->rc && fault->nth > 0));
	(void)pthread_mutex_lock(&fp->lock);
	fp->armed = fault ? *fault : (struct nx_fault){0};
	fp->since = 0;
	(void)pthread_mutex_unlock(&fp->lock);
}

uint64_t nx_pool_fault_count(struct nx_pool *pool, uint32_t kinds)
{
	struct fault_pool *fp = fault_of(pool);
	uint64_t sum = 0;

	(void)pthread_mutex_lock(&fp->lock);
	for (unsigned i = 0; i < KINDS; i++)
		sum += kinds & (1u << i) ? fp->counts[i] : 0;
	(void)pthread_mutex_unlock(&fp->lock);
	return sum;
}

void nx_pool_fault_nosync(struct nx_pool *pool, bool on)
{
	struct fault_pool *fp = fault_of(pool);

	(void)pthread_mutex_lock(&fp->lock);
	fp->nosync = on;
	(void)pthread_mutex_unlock(&fp->lock);
}

static nx_rc cut_size(void *payload, nx_pack_id pack, uint64_t *ret, struct nx_err *err)
{
	return nx_pool_size(payload, pack, ret, err);
}

static nx_rc cut_put(void *payload, nx_pack_id pack, uint64_t off, const uint8_t *p, size_t n,
	struct nx_err *err)
{
	struct nx_pool *inner = payload;
	struct iovec iov = {nx_aligned_get(n), n};
	nx_rc rc;

	if (!iov.iov_base)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a block");
	memcpy(iov.iov_base, p, n);
	rc = nx_pool_write(inner, pack, off, &iov, 1, err);
	nx_aligned_put(iov.iov_base, n);
	return rc;
}

static nx_rc cut_truncate(void *payload, nx_pack_id pack, uint64_t size, struct nx_err *err)
{
	char path[4096];
	nx_rc rc = nx_pool_path(payload, pack, path, sizeof(path), err);

	if (!rc && truncate(path, (off_t)size) < 0)
		rc = nx_err_errno(err, "cut pack %016llx", (unsigned long long)pack);
	return rc;
}

nx_rc nx_pool_fault_powercut(struct nx_pool *pool, uint64_t seed, struct nx_err *err)
{
	struct fault_pool *fp = fault_of(pool);
	const struct nx_undo_target target = {fp->inner, cut_size, cut_put, cut_truncate};
	nx_rc rc = NX_OK;

	(void)pthread_mutex_lock(&fp->order);
	if (fp->journals)
		rc = nx_undo_cut(&fp->undo, seed, &target, err);
	else
		nx_pool_mem_crash(fp->inner, seed);
	(void)pthread_mutex_unlock(&fp->order);
	nx_pool_fault_arm(pool, NULL);
	return rc;
}

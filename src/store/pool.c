#include "store/pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/cast.h"
#include "base/limits.h"
#include "store/pool_drv.h"

enum {
	POOL_MAGIC = 0x6c6f6f70,
	SYNC_STACK = 64, /* packs of one sync that need no allocation */
};

/* To add a driver: write drv_<scheme>.c, declare its ops in pool_drv.h, list it here. */
static const struct nx_pool_ops *const drivers[] = {
	&nx_pool_drv_dir,
	&nx_pool_drv_mem,
	&nx_pool_drv_fault,
};

static const struct nx_pool_ops *driver_find(const char *uri, size_t scheme_len)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(drivers); i++) {
		const char *scheme = drivers[i]->scheme;

		if (strlen(scheme) == scheme_len && memcmp(scheme, uri, scheme_len) == 0)
			return drivers[i];
	}
	return NULL;
}

static bool has_required(const struct nx_pool_ops *ops)
{
	return ops->close && ops->create && ops->write && ops->sync && ops->read && ops->size &&
		ops->remove && ops->list;
}

static void driver_check(const struct nx_pool *pool, const struct nx_pool_ops *ops)
{
	assert(pool->ops == ops);
	assert(has_required(ops));
	assert(!ops->stream_new || (ops->stream_write && ops->stream_wait && ops->stream_free));
	assert(!(pool->caps & NX_POOL_DISCARD) || ops->discard);
	assert(!(pool->caps & NX_POOL_LOCAL) || ops->path);
}

static void call_check(const struct nx_pool *pool, nx_pack_id pack)
{
	assert(pool && pool->magic == POOL_MAGIC);
	assert(pack > 0);
}

nx_rc nx_pool_open(const char *uri, struct nx_pool **ret_pool, struct nx_err *err)
{
	const char *colon = strchr(uri, ':');
	const struct nx_pool_ops *ops = colon ? driver_find(uri, (size_t)(colon - uri)) : NULL;
	struct nx_pool *pool = NULL;
	nx_rc rc;

	if (!ops)
		return nx_err_set(err, NX_E_CONFIG, "pool has no known scheme (dir, mem, fault)");
	rc = ops->open(colon + 1, &pool, err);
	assert(!rc == !!pool); /* the driver contract, checked once for all drivers */
	if (rc)
		return nx_err_prefix(err, rc, "pool %s", ops->scheme);
	driver_check(pool, ops);
	pool->magic = POOL_MAGIC;
	*ret_pool = pool;
	return NX_OK;
}

struct nx_pool *nx_pool_free(struct nx_pool *pool)
{
	if (!pool)
		return NULL;
	assert(pool->magic == POOL_MAGIC);
	pool->magic = 0;
	pool->ops->close(pool);
	return NULL;
}

uint32_t nx_pool_caps(const struct nx_pool *pool)
{
	return pool->caps;
}

nx_rc nx_pool_create(struct nx_pool *pool, nx_pack_id pack, struct nx_err *err)
{
	call_check(pool, pack);
	return pool->ops->create(pool, pack, err);
}

static bool aligned(uint64_t v)
{
	return v % NX_PACK_ALIGN == 0;
}

static bool buffer_ok(const struct iovec *iov, uint64_t off)
{
	return iov->iov_len > 0 && aligned(iov->iov_len) && aligned((uintptr_t)iov->iov_base) &&
		iov->iov_len <= NX_POOL_OFF_MAX && off <= NX_POOL_OFF_MAX - iov->iov_len;
}

/* Offset, lengths and buffers of a write are made by us: what is wrong with them is our bug. */
static void write_check(uint64_t off, const struct iovec *iov, size_t n)
{
	assert(n > 0 && aligned(off));
	for (size_t i = 0; i < n; i++) {
		assert(buffer_ok(&iov[i], off));
		off += iov[i].iov_len;
	}
}

nx_rc nx_pool_write(struct nx_pool *pool, nx_pack_id pack, uint64_t off, const struct iovec *iov,
	size_t n, struct nx_err *err)
{
	call_check(pool, pack);
	write_check(off, iov, n);
	return pool->ops->write(pool, pack, off, iov, n, err);
}

struct nx_pool_stream {
	struct nx_pool *pool;
	nx_pack_id pack;
	void *drv; /* NULL: written on the spot */
};

nx_rc nx_pool_stream_new(struct nx_pool *pool, nx_pack_id pack, struct nx_pool_stream **ret_stream,
	struct nx_err *err)
{
	struct nx_pool_stream *s = calloc(1, sizeof(*s));
	nx_rc rc = NX_OK;

	call_check(pool, pack);
	if (!s)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a stream of writes");
	s->pool = pool;
	s->pack = pack;
	if (pool->ops->stream_new)
		rc = pool->ops->stream_new(pool, pack, &s->drv, err);
	if (rc)
		free(s);
	else
		*ret_stream = s;
	return rc;
}

nx_rc nx_pool_stream_write(
	struct nx_pool_stream *stream, uint64_t off, const void *p, size_t n, struct nx_err *err)
{
	struct iovec iov = {nx_unconst(p), n};

	if (!stream->drv)
		return nx_pool_write(stream->pool, stream->pack, off, &iov, 1, err);
	write_check(off, &iov, 1);
	return stream->pool->ops->stream_write(stream->drv, off, p, n, err);
}

nx_rc nx_pool_stream_wait(struct nx_pool_stream *stream, struct nx_err *err)
{
	return stream->drv ? stream->pool->ops->stream_wait(stream->drv, err) : NX_OK;
}

struct nx_pool_stream *nx_pool_stream_free(struct nx_pool_stream *stream)
{
	if (!stream)
		return NULL;
	if (stream->drv)
		stream->pool->ops->stream_free(stream->pool, stream->drv);
	free(stream);
	return NULL;
}

nx_rc nx_pool_write_through(struct nx_pool *pool, nx_pack_id pack, uint64_t off,
	const struct iovec *iov, size_t n, struct nx_err *err)
{
	nx_rc rc;

	call_check(pool, pack);
	write_check(off, iov, n);
	if (pool->ops->write_through)
		return pool->ops->write_through(pool, pack, off, iov, n, err);
	rc = pool->ops->write(pool, pack, off, iov, n, err);
	return rc ? rc : pool->ops->sync(pool, &pack, 1, err);
}

nx_rc nx_pool_reserve(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n, struct nx_err *err)
{
	call_check(pool, pack);
	assert(off % NX_PACK_ALIGN == 0 && n % NX_PACK_ALIGN == 0);
	if (!pool->ops->reserve)
		return nx_err_set(err, NX_E_UNSUPPORTED, "the pool reserves nothing");
	return n ? pool->ops->reserve(pool, pack, off, n, err) : NX_OK;
}

static int id_cmp(const void *a, const void *b)
{
	const nx_pack_id *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Ascending and without repetition: drivers lock packs in this order. */
static size_t ids_normalise(nx_pack_id *ids, size_t n)
{
	size_t kept = 0;

	qsort(ids, n, sizeof(*ids), id_cmp);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || ids[i] != ids[kept - 1])
			ids[kept++] = ids[i];
	}
	return kept;
}

/* A copy of the caller's list, in `stack` or on the heap. */
static nx_rc ids_copy(const struct nx_pool *pool, const nx_pack_id *packs, size_t n,
	nx_pack_id stack[SYNC_STACK], nx_pack_id **heap, nx_pack_id **ret_ids, struct nx_err *err)
{
	nx_pack_id *ids = stack;

	if (n > SYNC_STACK)
		ids = *heap = calloc(n, sizeof(**heap));
	if (!ids)
		return nx_err_set(err, NX_E_NOMEM, "no memory to sync %zu packs", n);
	for (size_t i = 0; i < n; i++) {
		call_check(pool, packs[i]);
		ids[i] = packs[i];
	}
	*ret_ids = ids;
	return NX_OK;
}

nx_rc nx_pool_sync(struct nx_pool *pool, const nx_pack_id *packs, size_t n, struct nx_err *err)
{
	NX_AUTO_MEM nx_pack_id *heap = NULL;
	nx_pack_id stack[SYNC_STACK], *ids;
	nx_rc rc;

	if (n == 0)
		return NX_OK;
	rc = ids_copy(pool, packs, n, stack, &heap, &ids, err);
	return rc ? rc : pool->ops->sync(pool, ids, ids_normalise(ids, n), err);
}

nx_rc nx_pool_write_commit(struct nx_pool *pool, const struct nx_pack_write *write,
	const nx_pack_id *others, size_t n_others, struct nx_err *err)
{
	NX_AUTO_MEM nx_pack_id *heap = NULL;
	nx_pack_id stack[SYNC_STACK], *ids;
	nx_rc rc;

	if (n_others == 0)
		return nx_pool_write_through(
			pool, write->pack, write->off, write->iov, write->n, err);
	call_check(pool, write->pack);
	write_check(write->off, write->iov, write->n);
	rc = ids_copy(pool, others, n_others, stack, &heap, &ids, err);
	if (rc)
		return rc;
	n_others = ids_normalise(ids, n_others);
	for (size_t i = 0; i < n_others; i++)
		assert(ids[i] != write->pack);
	if (pool->ops->write_commit)
		return pool->ops->write_commit(pool, write, ids, n_others, err);
	rc = nx_pool_write_through(pool, write->pack, write->off, write->iov, write->n, err);
	return rc ? rc : pool->ops->sync(pool, ids, n_others, err);
}

static bool range_ok(uint64_t off, uint64_t n)
{
	return off <= NX_POOL_OFF_MAX && n <= NX_POOL_OFF_MAX - off;
}

nx_rc nx_pool_read(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, void *p, size_t n, struct nx_err *err)
{
	call_check(pool, pack);
	if (n == 0)
		return NX_OK;
	if (!range_ok(off, n)) /* places come from rows and records, which may be damaged */
		return nx_err_set(err, NX_E_SHORT, "pack %016llx ends before %llu",
			(unsigned long long)pack, (unsigned long long)off);
	return pool->ops->read(pool, pack, off, p, n, err);
}

void nx_pool_prefetch(struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n)
{
	call_check(pool, pack);
	if (pool->ops->prefetch && n > 0 && range_ok(off, n))
		pool->ops->prefetch(pool, pack, off, n);
}

nx_rc nx_pool_size(struct nx_pool *pool, nx_pack_id pack, uint64_t *ret_size, struct nx_err *err)
{
	call_check(pool, pack);
	return pool->ops->size(pool, pack, ret_size, err);
}

nx_rc nx_pool_remove(struct nx_pool *pool, nx_pack_id pack, struct nx_err *err)
{
	call_check(pool, pack);
	return pool->ops->remove(pool, pack, err);
}

nx_rc nx_pool_discard(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n, struct nx_err *err)
{
	call_check(pool, pack);
	if (!(pool->caps & NX_POOL_DISCARD))
		return nx_err_set(err, NX_E_UNSUPPORTED, "pool does not give space back");
	if (!range_ok(off, n))
		return nx_err_set(err, NX_E_RANGE, "discard at %llu", (unsigned long long)off);
	if (n == 0)
		return NX_OK;
	return pool->ops->discard(pool, pack, off, n, err);
}

nx_rc nx_pool_list(struct nx_pool *pool, nx_rc (*fn)(void *payload, nx_pack_id pack), void *payload,
	struct nx_err *err)
{
	NX_AUTO_MEM nx_pack_id *ids = NULL;
	size_t n = 0;
	nx_rc rc;

	assert(pool->magic == POOL_MAGIC);
	rc = pool->ops->list(pool, &ids, &n, err);
	if (rc)
		return rc;
	if (n > 0)
		qsort(ids, n, sizeof(*ids), id_cmp);
	for (size_t i = 0; i < n && !rc; i++)
		rc = fn(payload, ids[i]);
	return rc;
}

nx_rc nx_pool_path(struct nx_pool *pool, nx_pack_id pack, char *ret, size_t cap, struct nx_err *err)
{
	call_check(pool, pack);
	if (!(pool->caps & NX_POOL_LOCAL))
		return nx_err_set(err, NX_E_UNSUPPORTED, "pool has no local files");
	return pool->ops->path(pool, pack, ret, cap, err);
}

nx_rc nx_pool_free_bytes(struct nx_pool *pool, uint64_t *ret, struct nx_err *err)
{
	assert(pool->magic == POOL_MAGIC);
	if (!pool->ops->free_bytes) {
		*ret = UINT64_MAX;
		return NX_OK;
	}
	return pool->ops->free_bytes(pool, ret, err);
}

bool nx_pack_list_add(struct nx_pack_list *list, nx_pack_id pack)
{
	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 64;
		nx_pack_id *ids = reallocarray(list->ids, cap, sizeof(*ids));

		if (!ids)
			return false;
		list->ids = ids;
		list->cap = cap;
	}
	list->ids[list->n++] = pack;
	return true;
}

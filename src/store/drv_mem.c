#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/limits.h"
#include "base/map.h"
#include "store/pool_drv.h"
#include "store/undo_priv.h"

struct mem_pack {
	nx_pack_id id;
	uint8_t *data;
	uint64_t len;
	uint64_t cap; /* bytes past len are zero */
};

struct mem_pool {
	struct nx_pool base;
	pthread_mutex_t lock; /* guards all below */
	struct nx_map *packs;
	struct nx_undo undo;
};

static struct mem_pool *mem_of(struct nx_pool *pool)
{
	return NX_CONTAINER_OF(pool, struct mem_pool, base);
}

static struct nx_slice key_of(const nx_pack_id *pack)
{
	return nx_slice(pack, sizeof(*pack));
}

static struct mem_pack *pack_free(struct mem_pack *mp)
{
	if (mp)
		free(mp->data);
	free(mp);
	return NULL;
}

static nx_rc mem_open(const char *rest, struct nx_pool **ret_pool, struct nx_err *err)
{
	struct mem_pool *mem;

	if (*rest)
		return nx_err_set(err, NX_E_CONFIG, "mem: takes no name");
	mem = calloc(1, sizeof(*mem));
	if (mem)
		mem->packs = nx_map_new();
	if (!mem || !mem->packs) {
		free(mem);
		return nx_err_set(err, NX_E_NOMEM, "no memory for pool");
	}
	mem->base.ops = &nx_pool_drv_mem;
	mem->base.caps = NX_POOL_DISCARD;
	(void)pthread_mutex_init(&mem->lock, NULL);
	*ret_pool = &mem->base;
	return NX_OK;
}

static void close_one(struct nx_slice key, void *value, void *payload)
{
	(void)key;
	(void)payload;
	pack_free(value);
}

static void mem_close(struct nx_pool *pool)
{
	struct mem_pool *mem = mem_of(pool);

	nx_map_each(mem->packs, close_one, NULL);
	nx_map_free(mem->packs);
	nx_undo_clear(&mem->undo);
	(void)pthread_mutex_destroy(&mem->lock);
	free(mem);
}

/* NULL and NX_E_NOENT in `err`.  Caller holds mem->lock. */
static struct mem_pack *pack_find(struct mem_pool *mem, nx_pack_id pack, struct nx_err *err)
{
	struct mem_pack *mp = nx_map_get(mem->packs, key_of(&pack));

	if (!mp)
		(void)nx_err_set(err, NX_E_NOENT, "no pack %016llx", (unsigned long long)pack);
	return mp;
}

static nx_rc mem_create(struct nx_pool *pool, nx_pack_id pack, struct nx_err *err)
{
	struct mem_pool *mem = mem_of(pool);
	struct mem_pack *mp = calloc(1, sizeof(*mp));
	nx_rc rc = NX_OK;

	if (!mp)
		return nx_err_set(err, NX_E_NOMEM, "no memory for pack");
	mp->id = pack;
	(void)pthread_mutex_lock(&mem->lock);
	if (nx_map_get(mem->packs, key_of(&pack)))
		rc = nx_err_set(err, NX_E_EXISTS, "pack %016llx", (unsigned long long)pack);
	else if (!nx_map_put(mem->packs, key_of(&pack), mp, NULL))
		rc = nx_err_set(err, NX_E_NOMEM, "no memory for pack");
	(void)pthread_mutex_unlock(&mem->lock);
	if (rc)
		pack_free(mp);
	return rc;
}

static nx_rc pack_grow(struct mem_pack *mp, uint64_t end, struct nx_err *err)
{
	uint64_t cap = mp->cap + mp->cap / 2;
	uint8_t *data;

	if (end <= mp->cap)
		return NX_OK;
	if (cap < end)
		cap = end;
	data = realloc(mp->data, cap);
	if (!data)
		return nx_err_set(
			err, NX_E_NOSPACE, "no memory for a pack of %llu", (unsigned long long)end);
	memset(data + mp->cap, 0, cap - mp->cap);
	mp->data = data;
	mp->cap = cap;
	return NX_OK;
}

/* One buffer, recorded for a power cut, then copied.  Caller holds mem->lock. */
static nx_rc write_one(struct mem_pool *mem, struct mem_pack *mp, uint64_t off,
	const struct iovec *iov, struct nx_err *err)
{
	uint64_t end = off + iov->iov_len;
	uint8_t *old = NULL;
	nx_rc rc = pack_grow(mp, end, err);

	if (!rc)
		rc = nx_undo_add(&mem->undo, mp->id, off, iov->iov_len, mp->len, &old, err);
	if (rc)
		return rc;
	memcpy(old, mp->data + off, iov->iov_len);
	memcpy(mp->data + off, iov->iov_base, iov->iov_len);
	if (end > mp->len)
		mp->len = end;
	return NX_OK;
}

static nx_rc mem_write(struct nx_pool *pool, nx_pack_id pack, uint64_t off, const struct iovec *iov,
	size_t n, struct nx_err *err)
{
	struct mem_pool *mem = mem_of(pool);
	struct mem_pack *mp;
	nx_rc rc;

	(void)pthread_mutex_lock(&mem->lock);
	mp = pack_find(mem, pack, err);
	rc = mp ? NX_OK : NX_E_NOENT;
	for (size_t i = 0; i < n && !rc; i++) {
		rc = write_one(mem, mp, off, &iov[i], err);
		off += iov[i].iov_len;
	}
	(void)pthread_mutex_unlock(&mem->lock);
	return rc;
}

static nx_rc mem_sync(struct nx_pool *pool, const nx_pack_id *packs, size_t n, struct nx_err *err)
{
	struct mem_pool *mem = mem_of(pool);
	nx_rc rc = NX_OK;

	(void)pthread_mutex_lock(&mem->lock);
	for (size_t i = 0; i < n && !rc; i++) {
		if (pack_find(mem, packs[i], err))
			nx_undo_forget(&mem->undo, packs[i]);
		else
			rc = NX_E_NOENT;
	}
	(void)pthread_mutex_unlock(&mem->lock);
	return rc;
}

static nx_rc mem_read(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, void *p, size_t n, struct nx_err *err)
{
	struct mem_pool *mem = mem_of(pool);
	struct mem_pack *mp;
	nx_rc rc;

	(void)pthread_mutex_lock(&mem->lock);
	mp = pack_find(mem, pack, err);
	rc = mp ? NX_OK : NX_E_NOENT;
	if (!rc && (off > mp->len || n > mp->len - off))
		rc = nx_err_set(err, NX_E_SHORT, "pack %016llx ends at %llu",
			(unsigned long long)pack, (unsigned long long)mp->len);
	if (!rc)
		memcpy(p, mp->data + off, n);
	(void)pthread_mutex_unlock(&mem->lock);
	return rc;
}

static nx_rc mem_size(struct nx_pool *pool, nx_pack_id pack, uint64_t *ret_size, struct nx_err *err)
{
	struct mem_pool *mem = mem_of(pool);
	struct mem_pack *mp;
	nx_rc rc;

	(void)pthread_mutex_lock(&mem->lock);
	mp = pack_find(mem, pack, err);
	rc = mp ? NX_OK : NX_E_NOENT;
	if (!rc)
		*ret_size = mp->len;
	(void)pthread_mutex_unlock(&mem->lock);
	return rc;
}

static nx_rc mem_remove(struct nx_pool *pool, nx_pack_id pack, struct nx_err *err)
{
	struct mem_pool *mem = mem_of(pool);
	struct mem_pack *mp;
	nx_rc rc;

	(void)pthread_mutex_lock(&mem->lock);
	mp = pack_find(mem, pack, err);
	rc = mp ? NX_OK : NX_E_NOENT;
	if (!rc) {
		(void)nx_map_del(mem->packs, key_of(&pack));
		nx_undo_forget(&mem->undo, pack);
	}
	(void)pthread_mutex_unlock(&mem->lock);
	pack_free(mp);
	return rc;
}

static nx_rc mem_discard(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n, struct nx_err *err)
{
	struct mem_pool *mem = mem_of(pool);
	struct mem_pack *mp;
	nx_rc rc;

	(void)pthread_mutex_lock(&mem->lock);
	mp = pack_find(mem, pack, err);
	rc = mp ? NX_OK : NX_E_NOENT;
	if (!rc && off < mp->len)
		memset(mp->data + off, 0, n < mp->len - off ? n : mp->len - off);
	(void)pthread_mutex_unlock(&mem->lock);
	return rc;
}

struct listing {
	struct nx_pack_list list;
	bool full;
};

static void list_one(struct nx_slice key, void *value, void *payload)
{
	const struct mem_pack *mp = value;
	struct listing *l = payload;

	(void)key;
	if (!nx_pack_list_add(&l->list, mp->id))
		l->full = true;
}

static nx_rc mem_list(struct nx_pool *pool, nx_pack_id **ret, size_t *ret_n, struct nx_err *err)
{
	struct mem_pool *mem = mem_of(pool);
	struct listing l = {0};

	(void)pthread_mutex_lock(&mem->lock);
	nx_map_each(mem->packs, list_one, &l);
	(void)pthread_mutex_unlock(&mem->lock);
	if (l.full) {
		free(l.list.ids);
		return nx_err_set(err, NX_E_NOMEM, "no memory to list packs");
	}
	*ret = l.list.ids;
	*ret_n = l.list.n;
	return NX_OK;
}

const struct nx_pool_ops nx_pool_drv_mem = {
	.scheme = "mem",
	.open = mem_open,
	.close = mem_close,
	.create = mem_create,
	.write = mem_write,
	.sync = mem_sync,
	.read = mem_read,
	.size = mem_size,
	.remove = mem_remove,
	.discard = mem_discard,
	.list = mem_list,
};

static nx_rc cut_size(void *payload, nx_pack_id pack, uint64_t *ret, struct nx_err *err)
{
	struct mem_pack *mp = pack_find(payload, pack, err);

	if (!mp)
		return NX_E_NOENT;
	*ret = mp->len;
	return NX_OK;
}

static nx_rc cut_put(void *payload, nx_pack_id pack, uint64_t off, const uint8_t *p, size_t n,
	struct nx_err *err)
{
	struct mem_pack *mp = pack_find(payload, pack, err);

	if (!mp)
		return NX_E_NOENT;
	memcpy(mp->data + off, p, n);
	return NX_OK;
}

static nx_rc cut_truncate(void *payload, nx_pack_id pack, uint64_t size, struct nx_err *err)
{
	struct mem_pack *mp = pack_find(payload, pack, err);

	if (!mp)
		return NX_E_NOENT;
	memset(mp->data + size, 0, mp->cap - size);
	mp->len = size;
	return NX_OK;
}

void nx_pool_mem_crash(struct nx_pool *pool, uint64_t seed)
{
	struct mem_pool *mem = mem_of(pool);
	const struct nx_undo_target target = {mem, cut_size, cut_put, cut_truncate};

	(void)pthread_mutex_lock(&mem->lock);
	/* Cannot fail: every pack of the journal is there, and its image is in memory. */
	(void)!nx_undo_cut(&mem->undo, seed, &target, NULL);
	(void)pthread_mutex_unlock(&mem->lock);
}

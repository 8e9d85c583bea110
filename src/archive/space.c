#include "archive/archive_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/thread.h"

enum {
	ZERO_MIN = 1024 * 1024,
	ZERO_MAX = 16 * 1024 * 1024,
};

/* What `len` bytes take in a pack of that class. */
static uint64_t place_len(enum pack_class cls, uint64_t len)
{
	return cls == PACK_SMALL ? (len + UNIT_ALIGN - 1) / UNIT_ALIGN * UNIT_ALIGN : align_up(len);
}

static struct active_pack *find_active(struct nx_archive *a, uint32_t domain, enum pack_class cls)
{
	struct active_pack *p = a->space.active;

	while (p && (p->domain != domain || p->cls != cls))
		p = p->next;
	return p;
}

static nx_rc write_pack_header(
	struct nx_archive *a, const struct pack_header *h, struct nx_err *err)
{
	uint8_t *block = nx_aligned_get(NX_PACK_ALIGN);
	struct iovec iov = {block, NX_PACK_ALIGN};
	nx_rc rc;

	if (!block)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a pack header");
	memset(block, 0, NX_PACK_ALIGN);
	pack_header_format(h, block);
	rc = nx_pool_write_through(a->pool, h->pack, 0, &iov, 1, err);
	nx_aligned_put(block, NX_PACK_ALIGN);
	return rc;
}

/* Caller holds space->lock. */
static nx_rc open_pack(struct nx_archive *a, uint32_t domain, enum pack_class cls,
	struct active_pack **ret, struct nx_err *err)
{
	struct active_pack *p = find_active(a, domain, cls);
	/* The number is spent even when this fails: the pack may be there. */
	struct pack_header h = {
		.pack = a->space.next_pack++, .domain = domain, .cls = (uint8_t)cls};
	nx_rc rc;

	h.created_us = nx_now_us();
	rc = nx_pool_create(a->pool, h.pack, err);
	if (!rc)
		rc = write_pack_header(a, &h, err);
	if (rc)
		return nx_err_prefix(err, rc, "pack %llu", (unsigned long long)h.pack);
	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return nx_err_set(err, NX_E_NOMEM, "no memory for a pack");
		p->next = a->space.active;
		a->space.active = p;
	}
	p->domain = domain;
	p->cls = cls;
	p->pack = h.pack;
	p->end = NX_PACK_ALIGN;
	p->announced = false;
	p->zeroed = cls == PACK_SMALL ? NX_PACK_ALIGN : UINT64_MAX;
	*ret = p;
	return NX_OK;
}

nx_rc space_alloc(struct nx_archive *a, uint32_t domain, enum pack_class cls, uint64_t len,
	uint64_t *ret_pack, uint64_t *ret_off, struct nx_err *err)
{
	struct active_pack *p;
	nx_rc rc = NX_OK;

	len = place_len(cls, len);
	(void)pthread_mutex_lock(&a->space.lock);
	p = find_active(a, domain, cls);
	if (!p || !p->pack || p->end + len > NX_PACK_MAX)
		rc = open_pack(a, domain, cls, &p, err);
	if (!rc) {
		*ret_pack = p->pack;
		*ret_off = p->end;
		p->end += len;
	}
	(void)pthread_mutex_unlock(&a->space.lock);
	return rc;
}

static struct active_pack *find_pack(struct nx_archive *a, uint64_t pack)
{
	struct active_pack *p = a->space.active;

	while (p && p->pack != pack)
		p = p->next;
	return p;
}

void space_trim(struct nx_archive *a, uint64_t pack, uint64_t off, uint64_t len, uint64_t used)
{
	struct active_pack *p;

	(void)pthread_mutex_lock(&a->space.lock);
	p = find_pack(a, pack);
	if (p && p->end == off + place_len(p->cls, len))
		p->end = off + place_len(p->cls, used);
	(void)pthread_mutex_unlock(&a->space.lock);
}

/* Enough for a second or so at the rate at which the pack has grown so far. */
static uint64_t zero_chunk(uint64_t end)
{
	uint64_t n = end / 16;

	if (n < ZERO_MIN)
		return ZERO_MIN;
	return n > ZERO_MAX ? ZERO_MAX : align_up(n);
}

/* Caller holds space->lock. */
static void zero_ask(struct nx_archive *a, struct active_pack *p)
{
	uint64_t chunk = zero_chunk(p->end);

	if (p->zeroing || p->zeroed == UINT64_MAX || p->end + chunk / 2 <= p->zeroed ||
		p->end + chunk > NX_PACK_MAX)
		return;
	p->zero_from = align_up(p->end > p->zeroed ? p->end : p->zeroed);
	p->zero_to = align_up(p->end + chunk);
	p->zeroing = true;
	(void)pthread_cond_broadcast(&a->space.cond);
}

void space_settle(struct nx_archive *a, uint64_t pack, uint64_t off, uint64_t used)
{
	struct active_pack *p;

	(void)pthread_mutex_lock(&a->space.lock);
	p = find_pack(a, pack);
	if (p && p->end == off + UNIT_RESERVE)
		p->end = off + used;
	while (p && p->zeroing && align_up(off + used) > p->zero_from)
		(void)pthread_cond_wait(&a->space.cond, &a->space.lock);
	if (p && p->pack == pack)
		zero_ask(a, p);
	(void)pthread_mutex_unlock(&a->space.lock);
}

void space_tail(struct nx_archive *a, uint64_t pack, uint64_t off, uint8_t *ret)
{
	const struct active_pack *p;

	(void)pthread_mutex_lock(&a->space.lock);
	p = find_pack(a, pack);
	assert(p); /* a pack is retired between two groups, never within one */
	memcpy(ret, p->tail, off % NX_PACK_ALIGN);
	(void)pthread_mutex_unlock(&a->space.lock);
}

void space_tail_set(struct nx_archive *a, uint64_t pack, const uint8_t *block, size_t used)
{
	struct active_pack *p;

	(void)pthread_mutex_lock(&a->space.lock);
	p = find_pack(a, pack);
	if (p)
		memcpy(p->tail, block, used);
	(void)pthread_mutex_unlock(&a->space.lock);
}

static struct active_pack *zero_next(struct nx_archive *a)
{
	struct active_pack *p = a->space.active;

	while (p && !p->zeroing)
		p = p->next;
	return p;
}

/* Entries of the list stay until the end, whatever pack they stand for. */
static void *zeroer_main(void *archive)
{
	struct nx_archive *a = archive;
	struct active_pack *p;

	nx_thread_name("zeros");
	(void)pthread_mutex_lock(&a->space.lock);
	while (!a->space.stopping) {
		uint64_t pack, from, to;
		struct nx_err err;
		nx_rc rc;

		p = zero_next(a);
		if (!p) {
			(void)pthread_cond_wait(&a->space.cond, &a->space.lock);
			continue;
		}
		pack = p->pack;
		from = p->zero_from;
		to = p->zero_to;
		(void)pthread_mutex_unlock(&a->space.lock);
		rc = pack ? nx_pool_reserve(a->pool, pack, from, to - from, &err) : NX_E_NOENT;
		(void)pthread_mutex_lock(&a->space.lock);
		if (p->pack == pack)
			p->zeroed = rc ? UINT64_MAX : to;
		p->zeroing = false;
		(void)pthread_cond_broadcast(&a->space.cond);
	}
	(void)pthread_mutex_unlock(&a->space.lock);
	return NULL;
}

nx_rc space_start(struct nx_archive *a, struct nx_err *err)
{
	if (pthread_create(&a->space.zeroer, NULL, zeroer_main, a) != 0)
		return nx_err_set(err, NX_E_NOMEM, "cannot start the thread that fills packs");
	a->space.has_zeroer = true;
	return NX_OK;
}

void space_abandon(struct nx_archive *a, uint64_t pack, uint64_t off, uint64_t len)
{
	struct nx_err err;

	/* Best effort: what stays is dead space, which compaction takes.  Not reused: a write may
	 * be in flight. */
	if (len && (nx_pool_caps(a->pool) & NX_POOL_DISCARD))
		(void)!nx_pool_discard(a->pool, pack, off, align_up(len), &err);
}

void space_retire(struct nx_archive *a, uint64_t pack)
{
	struct active_pack *p;

	(void)pthread_mutex_lock(&a->space.lock);
	p = find_pack(a, pack);
	if (p)
		p->pack = 0;
	(void)pthread_mutex_unlock(&a->space.lock);
}

void space_retire_small(struct nx_archive *a)
{
	(void)pthread_mutex_lock(&a->space.lock);
	for (struct active_pack *p = a->space.active; p; p = p->next)
		if (p->cls == PACK_SMALL)
			p->pack = 0;
	(void)pthread_mutex_unlock(&a->space.lock);
}

/* The zeros ahead of a pack that nothing will be added to.  A unit in doubt is not followed by
 * any: its pack was retired. */
static void zeros_return(struct nx_archive *a, const struct active_pack *p)
{
	uint64_t from = align_up(p->end);

	if (p->pack && p->zeroed != UINT64_MAX && p->zeroed > from)
		space_abandon(a, p->pack, from, p->zeroed - from);
}

void space_free(struct nx_archive *a)
{
	if (a->space.has_zeroer) {
		(void)pthread_mutex_lock(&a->space.lock);
		a->space.stopping = true;
		(void)pthread_cond_broadcast(&a->space.cond);
		(void)pthread_mutex_unlock(&a->space.lock);
		(void)pthread_join(a->space.zeroer, NULL);
	}
	while (a->space.active) {
		struct active_pack *next = a->space.active->next;

		zeros_return(a, a->space.active);
		free(a->space.active);
		a->space.active = next;
	}
}

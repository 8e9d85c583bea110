#include <sys/uio.h>

#include "cut.h"
#include "store/pool.h"

/* The pool's calls are steps of the machine too. */
nx_rc __real_nx_pool_create(struct nx_pool *pool, nx_pack_id pack, struct nx_err *err);
nx_rc __real_nx_pool_write(struct nx_pool *pool, nx_pack_id pack, uint64_t off,
	const struct iovec *iov, size_t n, struct nx_err *err);
nx_rc __real_nx_pool_sync(
	struct nx_pool *pool, const nx_pack_id *packs, size_t n, struct nx_err *err);
nx_rc __real_nx_pool_discard(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n, struct nx_err *err);
nx_rc __wrap_nx_pool_create(struct nx_pool *pool, nx_pack_id pack, struct nx_err *err);
nx_rc __wrap_nx_pool_write(struct nx_pool *pool, nx_pack_id pack, uint64_t off,
	const struct iovec *iov, size_t n, struct nx_err *err);
nx_rc __wrap_nx_pool_sync(
	struct nx_pool *pool, const nx_pack_id *packs, size_t n, struct nx_err *err);
nx_rc __wrap_nx_pool_discard(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n, struct nx_err *err);

static nx_rc no_power(struct nx_err *err)
{
	return nx_err_set(err, NX_E_IO, "no power");
}

nx_rc __wrap_nx_pool_create(struct nx_pool *pool, nx_pack_id pack, struct nx_err *err)
{
	return cut_step() ? __real_nx_pool_create(pool, pack, err) : no_power(err);
}

nx_rc __wrap_nx_pool_write(struct nx_pool *pool, nx_pack_id pack, uint64_t off,
	const struct iovec *iov, size_t n, struct nx_err *err)
{
	return cut_step() ? __real_nx_pool_write(pool, pack, off, iov, n, err) : no_power(err);
}

nx_rc __wrap_nx_pool_sync(
	struct nx_pool *pool, const nx_pack_id *packs, size_t n, struct nx_err *err)
{
	return cut_step() ? __real_nx_pool_sync(pool, packs, n, err) : no_power(err);
}

nx_rc __wrap_nx_pool_discard(
	struct nx_pool *pool, nx_pack_id pack, uint64_t off, uint64_t n, struct nx_err *err)
{
	return cut_step() ? __real_nx_pool_discard(pool, pack, off, n, err) : no_power(err);
}

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <sys/uio.h>

#include "base/cast.h"
#include "base/limits.h"
#include "store/dir_priv.h"

/*
 * A stream has a ring of its own, for the kernel's workers write while the thread that filled the
 * buffers fills the next ones.  Making a ring costs more than a write: those of streams that ended
 * are kept.
 */

enum {
	STREAM_DEPTH = 8, /* writes in flight */
};

struct flight {
	const uint8_t *p;
	size_t n;
	uint64_t off;
};

struct dir_stream {
	struct io_uring ring;
	bool ring_ok; /* false once it has refused a write: that one and the rest are done on the
			 spot */
	struct dir_file *file;
	size_t n; /* in flight */
	struct flight flights[STREAM_DEPTH];
	nx_rc rc; /* of the first write that failed since the last wait */
	struct nx_err err;
	struct dir_stream *next; /* idle */
};

/* Caller holds dir->lock, for these three. */
static void stream_drop(struct dir_pool *dir, struct dir_stream *s)
{
	io_uring_queue_exit(&s->ring);
	free(s);
	dir->n_streams--;
}

/* NULL: there are as many as may be, or the kernel gives none. */
static struct dir_stream *stream_make(struct dir_pool *dir)
{
	struct dir_stream *s = dir->n_streams < NX_LIMIT_STREAMS ? calloc(1, sizeof(*s)) : NULL;

	if (s && io_uring_queue_init(STREAM_DEPTH, &s->ring, 0) < 0) {
		free(s);
		return NULL;
	}
	dir->n_streams += s != NULL;
	return s;
}

static void stream_keep(struct dir_pool *dir, struct dir_stream *s)
{
	s->next = dir->streams;
	dir->streams = s;
	dir->n_idle++;
}

static struct dir_stream *stream_take(struct dir_pool *dir)
{
	struct dir_stream *s;

	(void)pthread_mutex_lock(&dir->lock);
	s = dir->streams;
	if (s) {
		dir->streams = s->next;
		dir->n_idle--;
	} else if (dir->has_ring) {
		s = stream_make(dir);
	}
	(void)pthread_mutex_unlock(&dir->lock);
	if (s)
		s->ring_ok = true;
	return s;
}

static void stream_put(struct dir_pool *dir, struct dir_stream *s)
{
	(void)pthread_mutex_lock(&dir->lock);
	if (s->ring_ok && dir->n_idle < NX_LIMIT_IDLE_STREAMS)
		stream_keep(dir, s);
	else
		stream_drop(dir, s);
	(void)pthread_mutex_unlock(&dir->lock);
}

void nx_dir_streams_done(struct dir_pool *dir)
{
	while (dir->streams) {
		struct dir_stream *s = dir->streams;

		dir->streams = s->next;
		stream_drop(dir, s);
	}
}

nx_rc nx_dir_stream_new(
	struct nx_pool *pool, nx_pack_id pack, void **ret_stream, struct nx_err *err)
{
	struct dir_pool *dir = NX_CONTAINER_OF(pool, struct dir_pool, base);
	struct dir_stream *s = stream_take(dir);
	nx_rc rc = s ? nx_dir_file_get(dir, pack, &s->file, err) : NX_OK;

	if (rc)
		stream_put(dir, s);
	else
		*ret_stream = s;
	return rc;
}

static void failed(struct dir_stream *s, nx_rc rc, const struct nx_err *err)
{
	if (s->rc)
		return;
	s->rc = rc;
	s->err = *err;
}

/* What the ring has left of it. */
static void rest_write(struct dir_stream *s, const struct flight *f, size_t done)
{
	struct iovec iov = {nx_unconst(f->p + done), f->n - done};
	struct nx_err err;
	nx_rc rc = nx_dir_file_write(s->file, f->off + done, &iov, 1, &err);

	if (rc)
		failed(s, rc, &err);
}

static void landed(struct dir_stream *s, const struct flight *f, int res)
{
	struct nx_err err;

	if (res == -EINTR || res == -EAGAIN || (res >= 0 && (size_t)res < f->n)) {
		rest_write(s, f, res > 0 ? (size_t)res : 0);
	} else if (res < 0) {
		errno = -res;
		failed(s, nx_err_errno(&err, "write at %llu", (unsigned long long)f->off), &err);
	}
}

/* Every write of the stream has ended: the kernel reads their buffers until then, whatever happens
 * to us. */
static void stream_drain(struct dir_stream *s)
{
	struct io_uring_cqe *cqe;

	for (size_t left = s->n; left > 0; left--) {
		while (io_uring_wait_cqe(&s->ring, &cqe) < 0)
			(void)sched_yield();
		landed(s, &s->flights[io_uring_cqe_get_data64(cqe)], cqe->res);
		io_uring_cqe_seen(&s->ring, cqe);
	}
	s->n = 0;
	s->file->dirty = true; /* a sync that began meanwhile has not covered all of it */
}

/* On false the request stays in the ring, which is given nothing more. */
static bool flight_begin(struct dir_stream *s)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&s->ring);
	const struct flight *f = &s->flights[s->n];
	int got;

	assert(sqe); /* the ring has STREAM_DEPTH entries, and what came before was submitted */
	io_uring_prep_write(sqe, nx_dir_write_fd(s->file), f->p, (unsigned)f->n, f->off);
	io_uring_sqe_set_data64(sqe, s->n);
	do {
		got = io_uring_submit(&s->ring);
	} while (got == -EINTR);
	s->ring_ok = got == 1;
	return s->ring_ok;
}

nx_rc nx_dir_stream_write(void *stream, uint64_t off, const void *p, size_t n, struct nx_err *err)
{
	struct dir_stream *s = stream;
	nx_rc rc = nx_dir_file_check(s->file, err);

	if (rc)
		return rc;
	if (s->n == STREAM_DEPTH)
		stream_drain(s);
	s->file->dirty = true;
	s->flights[s->n] = (struct flight){p, n, off};
	if (s->ring_ok && flight_begin(s))
		s->n++;
	else
		rest_write(s, &s->flights[s->n], 0);
	return NX_OK;
}

nx_rc nx_dir_stream_wait(void *stream, struct nx_err *err)
{
	struct dir_stream *s = stream;
	nx_rc rc;

	stream_drain(s);
	rc = s->rc;
	if (rc && err)
		*err = s->err;
	s->rc = NX_OK;
	return rc ? nx_err_prefix(err, rc, "pack %016llx", (unsigned long long)s->file->id) : NX_OK;
}

void nx_dir_stream_free(struct nx_pool *pool, void *stream)
{
	struct dir_pool *dir = NX_CONTAINER_OF(pool, struct dir_pool, base);
	struct dir_stream *s = stream;

	stream_drain(s);
	nx_dir_file_put(dir, s->file);
	s->file = NULL;
	s->rc = NX_OK;
	stream_put(dir, s);
}

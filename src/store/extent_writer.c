#include <assert.h>
#include <string.h>
#include <sys/uio.h>

#include "base/enc.h"
#include "crypto/crypto.h"
#include "store/extent.h"
#include "store/extent_priv.h"
#include "store/pool.h"

/*
 * A run is a buffer: the header block in the first, up to RUN_SEGMENTS whole segments, and in the
 * last the tags.  The tags of the largest extent fit the block of room that the header leaves, so
 * an extent of up to RUN_SEGMENTS segments is one run.
 */
enum {
	RUN_SEGMENTS = NX_MIB / NX_SEG_LEN,
	RUN_DATA = RUN_SEGMENTS * NX_SEG_LEN,
	RUN_CAP = NX_EXTENT_DATA_BULK + RUN_DATA + NX_PACK_ALIGN,
};
_Static_assert(NX_EXTENT_SEGMENTS_MAX *NX_TAG_LEN <= NX_EXTENT_DATA_BULK, "tags of a last run");
_Static_assert(RUN_SEGMENTS *NX_TAG_LEN <= NX_PACK_ALIGN, "tags of an only run");

/*
 * Plaintext is gathered in the run and sealed in place, segment by segment, and what is sealed is
 * written while more is received.  The last complete
 * segment stays open until a byte follows it or the extent ends, because the last segment of an
 * extent is sealed with the extent's length; so does a full run, and what follows a full run is
 * received in the spare.
 */
struct nx_extent_writer {
	struct nx_pool_stream *stream;
	struct nx_gcm *gcm;
	uint64_t pack;
	uint64_t off;
	uint64_t written; /* given to the stream */
	uint32_t cap;
	uint32_t total;  /* plaintext bytes taken */
	uint32_t sealed; /* segments sealed */
	uint32_t crc;
	nx_rc failed;
	bool finished;
	uint8_t record_id[NX_RECORD_ID_LEN];
	uint8_t *tags;
	size_t run_cap;
	uint8_t *run;
	size_t fill;    /* bytes in run */
	size_t out;     /* of these, given to the stream */
	size_t open;    /* where its unsealed segment begins */
	uint8_t *spare; /* NULL until a run is full */
};

static nx_rc writer_alloc(struct nx_extent_writer *w, struct nx_pool *pool,
	const struct nx_extent_seal *seal, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) key = {{0}};
	uint32_t segments = nx_extent_segments(w->cap);
	uint64_t all = nx_align_up(
		NX_EXTENT_DATA_BULK + (uint64_t)w->cap + (uint64_t)segments * NX_TAG_LEN);

	w->run_cap = all < RUN_CAP ? (size_t)all : RUN_CAP;
	nx_extent_key(seal, &key);
	w->gcm = nx_gcm_new(&key);
	w->tags = calloc(segments, NX_TAG_LEN);
	w->run = nx_aligned_get(w->run_cap);
	if (!w->gcm || !w->tags || !w->run)
		return nx_err_set(err, NX_E_NOMEM, "no memory to write an extent");
	return nx_pool_stream_new(pool, w->pack, &w->stream, err);
}

nx_rc nx_extent_writer_new(struct nx_pool *pool, uint64_t pack, uint64_t off, uint32_t cap,
	const struct nx_extent_seal *seal, struct nx_extent_writer **ret_w, struct nx_err *err)
{
	NX_AUTO(nx_extent_writer) *w = calloc(1, sizeof(*w));
	nx_rc rc;

	assert(off % NX_PACK_ALIGN == 0 && cap > 0 && cap <= NX_EXTENT_MAX);
	if (!w)
		return nx_err_set(err, NX_E_NOMEM, "no memory to write an extent");
	w->pack = pack;
	w->off = off;
	w->cap = cap;
	rc = writer_alloc(w, pool, seal, err);
	if (rc)
		return rc;
	nx_random(w->record_id, sizeof(w->record_id));
	memset(w->run, 0, NX_EXTENT_DATA_BULK);
	nx_extent_header_format(w->record_id, NX_EXTENT_DATA_BULK, w->run);
	w->fill = w->open = NX_EXTENT_DATA_BULK;
	*ret_w = NX_STEAL(w);
	return NX_OK;
}

struct nx_extent_writer *nx_extent_writer_free(struct nx_extent_writer *w)
{
	if (!w)
		return NULL;
	w->stream = nx_pool_stream_free(w->stream); /* nobody reads the buffers from here on */
	if (!w->finished && w->run) /* plaintext, perhaps received and never committed */
		explicit_bzero(w->run + w->open, w->run_cap - w->open);
	if (!w->finished && w->spare)
		explicit_bzero(w->spare, w->run_cap);
	nx_aligned_put(w->run, w->run_cap);
	nx_aligned_put(w->spare, w->run_cap);
	nx_gcm_free(w->gcm);
	free(w->tags);
	free(w);
	return NULL;
}

/* Bytes of plaintext that the run has room for. */
static size_t run_room(const struct nx_extent_writer *w)
{
	size_t head = w->written == w->out ? NX_EXTENT_DATA_BULK : 0; /* of the first run */

	return head + RUN_DATA - w->fill;
}

/* `total` is the extent's length for its last segment, else 0. */
static void seal_open(struct nx_extent_writer *w, uint32_t total)
{
	size_t left = w->fill - w->open;
	size_t n = left < NX_SEG_LEN ? left : NX_SEG_LEN;
	uint8_t *at = w->run + w->open;

	nx_segment_seal(w->gcm,
		&(struct nx_segment){
			.record_id = w->record_id, .number = w->sealed, .total = total},
		at, n, at, w->tags + (size_t)w->sealed * NX_TAG_LEN);
	w->sealed++;
	w->open += n;
}

/* What is sealed and not yet written; its length is a multiple of blocks. */
static nx_rc sealed_write(struct nx_extent_writer *w, struct nx_err *err)
{
	const uint8_t *from = w->run + w->out;
	size_t n = w->open - w->out;

	w->crc = nx_crc32c(w->crc, from, n);
	w->failed = nx_pool_stream_write(w->stream, w->off + w->written, from, n, err);
	w->written += n;
	w->out = w->open;
	return w->failed;
}

static nx_rc sealed_wait(struct nx_extent_writer *w, struct nx_err *err)
{
	w->failed = nx_pool_stream_wait(w->stream, err);
	return w->failed;
}

static nx_rc failed_check(const struct nx_extent_writer *w, struct nx_err *err)
{
	assert(!w->finished);
	return w->failed ? nx_err_set(err, w->failed, "an earlier write of the extent failed")
			 : NX_OK;
}

nx_rc nx_extent_writer_reserve(
	struct nx_extent_writer *w, uint8_t **ret_p, size_t *ret_n, struct nx_err *err)
{
	size_t left = w->cap - w->total;
	size_t room = run_room(w);
	nx_rc rc = failed_check(w, err);

	if (rc)
		return rc;
	if (left == 0)
		return nx_err_set(err, NX_E_LIMIT, "extent has its %u bytes", w->cap);
	if (room == 0 && !w->spare)
		w->spare = nx_aligned_get(w->run_cap);
	if (room == 0 && !w->spare)
		return nx_err_set(err, NX_E_NOMEM, "no memory to write an extent");
	*ret_p = room > 0 ? w->run + w->fill : w->spare;
	if (room == 0)
		room = RUN_DATA;
	*ret_n = left < room ? left : room;
	return NX_OK;
}

/* A byte follows the full run: its last segment is not the extent's. */
static nx_rc run_turn(struct nx_extent_writer *w, struct nx_err *err)
{
	uint8_t *full = w->run;
	nx_rc rc = sealed_wait(w, err); /* of the spare, too */

	seal_open(w, 0);
	if (!rc)
		rc = sealed_write(w, err);
	w->run = w->spare;
	w->spare = full;
	w->fill = w->open = w->out = 0;
	return rc;
}

nx_rc nx_extent_writer_commit(struct nx_extent_writer *w, size_t n, struct nx_err *err)
{
	nx_rc rc = failed_check(w, err);

	if (!rc && n > 0 && run_room(w) == 0)
		rc = run_turn(w, err);
	if (rc)
		return rc;
	assert(n <= run_room(w) && n <= w->cap - w->total);
	w->fill += n;
	w->total += (uint32_t)n;
	while (w->fill - w->open > NX_SEG_LEN && !rc) {
		seal_open(w, 0);
		rc = sealed_write(w, err);
	}
	return rc;
}

nx_rc nx_extent_writer_put(struct nx_extent_writer *w, const void *p, size_t n, struct nx_err *err)
{
	const uint8_t *from = p;
	nx_rc rc = NX_OK;

	while (n > 0 && !rc) {
		uint8_t *to;
		size_t room;

		rc = nx_extent_writer_reserve(w, &to, &room, err);
		if (rc)
			break;
		if (room > NX_SEG_LEN) /* seal what is still in the processor's cache */
			room = NX_SEG_LEN;
		if (room > n)
			room = n;
		memcpy(to, from, room);
		from += room;
		n -= room;
		rc = nx_extent_writer_commit(w, room, err);
	}
	return rc;
}

nx_rc nx_extent_writer_finish(struct nx_extent_writer *w, struct nx_extent *ret, uint32_t *ret_crc,
	uint64_t *ret_stored, struct nx_err *err)
{
	nx_rc rc = failed_check(w, err);
	size_t n_tags;
	size_t end;

	if (rc)
		return rc;
	if (w->total == 0)
		return nx_err_set(err, NX_E_INVAL, "an extent of no bytes");
	seal_open(w, w->total);
	n_tags = (size_t)w->sealed * NX_TAG_LEN;
	end = (size_t)nx_align_up(w->fill + n_tags);
	assert(end <= w->run_cap);
	memcpy(w->run + w->fill, w->tags, n_tags);
	memset(w->run + w->fill + n_tags, 0, end - w->fill - n_tags);
	w->fill = w->open = end;
	rc = sealed_write(w, err);
	if (!rc)
		rc = sealed_wait(w, err);
	w->finished = true;
	if (rc)
		return rc;
	*ret = (struct nx_extent){
		.pack = w->pack,
		.off = w->off,
		.len = w->total,
		.data_off = NX_EXTENT_DATA_BULK,
	};
	*ret_crc = w->crc;
	*ret_stored = w->written;
	return NX_OK;
}

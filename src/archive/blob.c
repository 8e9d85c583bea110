#include "archive/archive_priv.h"

#include <stdlib.h>
#include <zstd.h>

#include "base/log.h"

/*
 * A blob of at most SMALL_MAX bytes is kept in memory and sealed when finished; it travels in its
 * group's unit.  A larger one goes to the bulk pack extent by extent while it arrives.  Where the
 * size is not known the first extent is collected in memory, and later ones grow, so that short
 * streams waste no space and long ones have few extents.
 */

enum {
	STAGE_LEN = 1024 * 1024
};

struct nx_blob_writer {
	struct nx_archive *archive;
	struct nx_blob *blob;
	struct nx_tree *tree;
	unsigned flags;
	uint64_t size; /* as announced; UINT64_MAX */
	uint64_t len;
	uint64_t bulk_len;  /* given to extents */
	struct nx_buf head; /* until it is known to be bulk */
	struct nx_extent_writer *extent;
	uint32_t extent_cap;
	uint32_t extent_len;
	uint64_t extent_pack;
	uint64_t extent_off;
};

nx_rc nx_blob_writer_new(struct nx_archive *archive, uint32_t domain, uint64_t size, unsigned flags,
	struct nx_blob_writer **ret_w, struct nx_err *err)
{
	NX_AUTO(nx_blob_writer) *w = calloc(1, sizeof(*w));

	if (!w)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a blob writer");
	w->archive = archive;
	w->flags = flags;
	w->size = size;
	nx_buf_init(&w->head, STAGE_LEN, NX_BUF_WIPE);
	w->tree = nx_tree_new();
	w->blob = calloc(1, sizeof(*w->blob));
	if (!w->tree || !w->blob)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a blob");
	w->blob->archive = archive;
	w->blob->domain = domain;
	nx_random(w->blob->info.key.b, NX_KEY_LEN);
	*ret_w = NX_STEAL(w);
	return NX_OK;
}

struct nx_blob_writer *nx_blob_writer_free(struct nx_blob_writer *w)
{
	if (!w)
		return NULL;
	if (w->extent) {
		w->extent = nx_extent_writer_free(w->extent);
		space_abandon(w->archive, w->extent_pack, w->extent_off, w->extent_cap);
	}
	nx_tree_free(w->tree);
	nx_buf_done(&w->head);
	nx_blob_free(w->blob);
	free(w);
	return NULL;
}

struct nx_blob *nx_blob_free(struct nx_blob *blob)
{
	if (!blob)
		return NULL;
	if (!blob->committed)
		for (size_t i = 0; i < blob->n_extents; i++)
			space_abandon(blob->archive, blob->ranges[i].pack, blob->ranges[i].off,
				blob->ranges[i].len);
	nx_key_done(&blob->info.key);
	free(blob->small);
	free(blob->extents);
	free(blob->ranges);
	free(blob);
	return NULL;
}

uint64_t nx_blob_len(const struct nx_blob *blob)
{
	return blob->info.len;
}

const uint8_t *nx_blob_root(const struct nx_blob *blob)
{
	return blob->info.root;
}

static bool extents_grow(struct nx_blob *blob, size_t cap)
{
	struct nx_extent *extents = realloc(blob->extents, cap * sizeof(*extents));

	if (extents)
		blob->extents = extents;
	return extents != NULL;
}

static bool ranges_grow(struct nx_blob *blob, size_t cap)
{
	struct blob_range *ranges = realloc(blob->ranges, cap * sizeof(*ranges));

	if (ranges)
		blob->ranges = ranges;
	return ranges != NULL;
}

static nx_rc extents_room(struct nx_blob *blob, struct nx_err *err)
{
	size_t cap = blob->cap_extents ? blob->cap_extents * 2 : 1;

	if (blob->n_extents < blob->cap_extents)
		return NX_OK;
	if (cap > NX_LIMIT_BLOB_EXTENTS)
		return nx_err_set(
			err, NX_E_LIMIT, "blob of more than %u extents", NX_LIMIT_BLOB_EXTENTS);
	if (!extents_grow(blob, cap) || !ranges_grow(blob, cap))
		return nx_err_set(err, NX_E_NOMEM, "no memory for %zu extents", cap);
	blob->cap_extents = cap;
	return NX_OK;
}

/* Plaintext bytes that the next extent may take. */
static uint32_t next_extent_cap(const struct nx_blob_writer *w)
{
	uint64_t cap;

	if (w->size != UINT64_MAX)
		cap = w->size - w->bulk_len;
	else
		cap = (uint64_t)STAGE_LEN << (w->blob->n_extents < 6 ? w->blob->n_extents : 6);
	return cap > NX_EXTENT_MAX ? NX_EXTENT_MAX : (uint32_t)cap;
}

static nx_rc extent_begin(struct nx_blob_writer *w, uint32_t cap, struct nx_err *err)
{
	struct nx_extent e = {.len = cap, .data_off = NX_PACK_ALIGN};
	nx_rc rc = extents_room(w->blob, err);

	if (!rc)
		rc = space_alloc(w->archive, w->blob->domain, PACK_BULK, nx_extent_stored(&e),
			&w->extent_pack, &w->extent_off, err);
	if (rc)
		return rc;
	w->extent_cap = cap;
	w->extent_len = 0;
	return nx_extent_writer_new(w->archive->pool, w->extent_pack, w->extent_off, cap,
		&(struct nx_extent_seal){
			.blob_key = &w->blob->info.key, .index = (uint32_t)w->blob->n_extents},
		&w->extent, err);
}

static nx_rc extent_end(struct nx_blob_writer *w, struct nx_err *err)
{
	struct nx_blob *blob = w->blob;
	struct nx_extent full = {.len = w->extent_cap, .data_off = NX_PACK_ALIGN};
	struct blob_range *range = &blob->ranges[blob->n_extents];
	nx_rc rc = nx_extent_writer_finish(
		w->extent, &blob->extents[blob->n_extents], &range->crc, &range->len, err);

	if (rc)
		return rc;
	range->pack = w->extent_pack;
	range->off = w->extent_off;
	space_trim(w->archive, range->pack, range->off, nx_extent_stored(&full), range->len);
	blob->n_extents++;
	w->extent = nx_extent_writer_free(w->extent);
	return NX_OK;
}

static nx_rc bulk_put(struct nx_blob_writer *w, const uint8_t *p, size_t n, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	while (n && !rc) {
		size_t take;

		if (!w->extent)
			rc = extent_begin(w, next_extent_cap(w), err);
		if (rc)
			break;
		take = w->extent_cap - w->extent_len;
		if (take > n)
			take = n;
		rc = nx_extent_writer_put(w->extent, p, take, err);
		p += take;
		n -= take;
		w->extent_len += (uint32_t)take;
		w->bulk_len += take;
		if (!rc && w->extent_len == w->extent_cap)
			rc = extent_end(w, err);
	}
	return rc;
}

/* What was collected goes out as bulk: it is too much to stay in memory. */
static nx_rc head_flush(struct nx_blob_writer *w, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	if (!w->head.len)
		return NX_OK;
	rc = bulk_put(w, w->head.data, w->head.len, err);
	nx_buf_done(&w->head);
	return rc;
}

static bool stays_in_memory(const struct nx_blob_writer *w, size_t n)
{
	size_t bound = w->size == UINT64_MAX ? STAGE_LEN : SMALL_MAX;

	return !w->extent && !w->blob->n_extents && w->head.len + n <= bound;
}

nx_rc nx_blob_writer_put(struct nx_blob_writer *w, const void *p, size_t n, struct nx_err *err)
{
	nx_rc rc;

	if (!n)
		return NX_OK;
	if (w->size != UINT64_MAX && n > w->size - w->len)
		return nx_err_set(err, NX_E_INVAL, "more bytes than the %llu announced",
			(unsigned long long)w->size);
	nx_tree_update(w->tree, p, n);
	if (stays_in_memory(w, n) && (w->size == UINT64_MAX || w->size <= SMALL_MAX)) {
		w->len += n;
		nx_buf_put(&w->head, p, n);
		return nx_buf_check(&w->head, err);
	}
	rc = head_flush(w, err);
	if (!rc)
		rc = bulk_put(w, p, n, err);
	w->len += n;
	return rc;
}

static nx_rc seal_small(struct nx_blob_writer *w, const void *p, size_t n, struct nx_err *err)
{
	struct nx_blob *blob = w->blob;
	struct nx_extent e = {.len = (uint32_t)n, .data_off = NX_EXTENT_HEADER_LEN};
	nx_rc rc = extents_room(blob, err);

	if (rc)
		return rc;
	blob->small_len = (size_t)nx_extent_stored(&e);
	blob->small = malloc(blob->small_len);
	if (!blob->small)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a small extent");
	blob->extents[0] = e; /* the place is given when its group is laid out */
	blob->info.stored = n;
	return nx_extent_seal_small(&blob->info.key, p, (uint32_t)n, blob->small, err);
}

static nx_rc seal_head(struct nx_blob_writer *w, struct nx_err *err)
{
	size_t cap = ZSTD_compressBound(w->head.len);
	uint8_t *packed = NULL;
	size_t n = 0;
	nx_rc rc;

	if ((w->flags & NX_BLOB_COMPRESS) && w->head.len >= COMPRESS_MIN)
		packed = malloc(cap);
	if (packed)
		n = ZSTD_compress(packed, cap, w->head.data, w->head.len, 1);
	if (packed && !ZSTD_isError(n) && n < w->head.len - w->head.len / 16) {
		w->blob->info.codec = 1;
		rc = seal_small(w, packed, n, err);
	} else {
		rc = seal_small(w, w->head.data, w->head.len, err);
	}
	if (packed)
		explicit_bzero(packed, cap);
	free(packed);
	return rc;
}

void nx_blob_writer_cut(struct nx_blob_writer *w)
{
	w->size = w->len;
}

nx_rc nx_blob_writer_finish(struct nx_blob_writer *w, struct nx_blob **ret_blob, struct nx_err *err)
{
	struct nx_blob *blob = w->blob;
	nx_rc rc = NX_OK;

	if (w->size != UINT64_MAX && w->len != w->size)
		return nx_err_set(err, NX_E_SHORT, "%llu of %llu bytes", (unsigned long long)w->len,
			(unsigned long long)w->size);
	blob->info.len = w->len;
	blob->info.stored = w->len;
	if (w->head.len > SMALL_MAX)
		w->size = w->len; /* known now: one exact extent */
	if (w->head.len > SMALL_MAX)
		rc = head_flush(w, err);
	else if (w->head.len)
		rc = seal_head(w, err);
	if (!rc && w->extent)
		rc = extent_end(w, err);
	if (rc)
		return rc;
	nx_tree_final(w->tree, blob->info.root);
	*ret_blob = NX_STEAL(w->blob);
	return NX_OK;
}

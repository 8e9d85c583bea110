#include "archive/archive_priv.h"

#include <stdlib.h>
#include <zstd.h>

enum {
	READER_ARENA_MAX = 512 * 1024 * 1024
};

/* One blob of the item at hand: its extents, and its bytes when it was compressed. */
struct open_blob {
	struct nx_extent *extents;
	size_t n;
	struct nx_slice plain; /* compressed blobs are opened as a whole */
	bool located;
};

struct nx_reader {
	struct nx_archive *archive;
	struct nx_arena *arena;
	struct nx_recipe *recipe;
	struct open_blob *blobs;
	uint32_t domain;
	uint64_t subject;
	size_t part; /* where the last read ended: reads are mostly in order */
	uint64_t part_start;
};

nx_rc nx_archive_extents(struct nx_archive *archive, const struct nx_recipe_blob *blob,
	struct nx_arena *arena, struct nx_extent **ret, size_t *ret_n, struct nx_err *err)
{
	struct nx_blob_row row;
	nx_rc rc = nx_cat_blob(archive->cat, (int64_t)blob->id, arena, &row, err);

	if (rc)
		return nx_err_prefix(err, rc == NX_E_NOENT ? NX_E_CORRUPT : rc, "blob %llu",
			(unsigned long long)blob->id);
	return extents_parse(row.extents, arena, ret, ret_n, err);
}

nx_rc nx_archive_open_item(struct nx_archive *archive, const struct nx_item *item,
	struct nx_reader **ret_reader, struct nx_err *err)
{
	NX_AUTO(nx_reader) *r = calloc(1, sizeof(*r));
	nx_rc rc;

	if (!r)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a reader");
	r->archive = archive;
	r->domain = (uint32_t)item->domain;
	r->subject = (uint64_t)item->subject;
	r->arena = nx_arena_new(READER_ARENA_MAX, NX_ARENA_WIPE);
	if (!r->arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a reader");
	rc = nx_archive_recipe(archive, item, r->arena, &r->recipe, err);
	if (rc)
		return rc;
	r->blobs = nx_arena_alloc_array(r->arena, r->recipe->n_blobs, sizeof(*r->blobs));
	if (!r->blobs)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a reader");
	*ret_reader = NX_STEAL(r);
	return NX_OK;
}

struct nx_reader *nx_reader_free(struct nx_reader *reader)
{
	if (!reader)
		return NULL;
	nx_arena_free(reader->arena);
	free(reader);
	return NULL;
}

const struct nx_recipe *nx_reader_recipe(const struct nx_reader *reader)
{
	return reader->recipe;
}

/* Stored bytes [off, off + n) of a blob, which may cross extents. */
static nx_rc stored_read(struct nx_archive *a, const struct nx_key *key, const struct open_blob *b,
	uint64_t off, uint8_t *p, size_t n, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < b->n && n && !rc; i++) {
		size_t take;

		if (off >= b->extents[i].len) {
			off -= b->extents[i].len;
			continue;
		}
		take = b->extents[i].len - (size_t)off;
		if (take > n)
			take = n;
		rc = nx_extent_read(a->pool, &b->extents[i],
			&(struct nx_extent_seal){.blob_key = key, .index = (uint32_t)i},
			(uint32_t)off, p, take, err);
		p += take;
		n -= take;
		off = 0;
	}
	if (!rc && n)
		rc = nx_err_set(err, NX_E_CORRUPT, "blob ends %zu bytes early", n);
	return rc;
}

static nx_rc blob_inflate(struct nx_archive *a, const struct nx_recipe_blob *blob,
	const struct open_blob *b, struct nx_arena *arena, struct nx_slice *ret, struct nx_err *err)
{
	uint8_t *stored = nx_arena_alloc(arena, (size_t)blob->stored);
	uint8_t *plain = nx_arena_alloc(arena, (size_t)blob->len);
	size_t n;
	nx_rc rc;

	if (!stored || !plain)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a blob");
	rc = stored_read(a, &blob->key, b, 0, stored, (size_t)blob->stored, err);
	if (rc)
		return rc;
	n = ZSTD_decompress(plain, (size_t)blob->len, stored, (size_t)blob->stored);
	if (ZSTD_isError(n) || n != blob->len)
		return nx_err_set(err, NX_E_CORRUPT, "blob %llu does not decompress",
			(unsigned long long)blob->id);
	*ret = nx_slice(plain, n);
	return NX_OK;
}

static nx_rc blob_locate(struct nx_reader *r, uint32_t index, struct nx_err *err)
{
	struct open_blob *b = &r->blobs[index];
	const struct nx_recipe_blob *blob = &r->recipe->blobs[index];
	nx_rc rc;

	if (b->located)
		return NX_OK;
	rc = nx_archive_extents(r->archive, blob, r->arena, &b->extents, &b->n, err);
	if (!rc && blob->codec)
		rc = blob_inflate(r->archive, blob, b, r->arena, &b->plain, err);
	b->located = !rc;
	return rc;
}

static nx_rc part_read(struct nx_reader *r, const struct nx_recipe_part *part, uint64_t off,
	uint8_t *p, size_t n, struct nx_err *err)
{
	struct open_blob *b;
	nx_rc rc;

	if (part->kind == NX_PART_LITERAL) {
		memcpy(p, part->literal.p + off, n);
		return NX_OK;
	}
	rc = blob_locate(r, part->blob, err);
	if (rc)
		return rc;
	b = &r->blobs[part->blob];
	if (!b->plain.p)
		return stored_read(r->archive, &r->recipe->blobs[part->blob].key, b,
			part->off + off, p, n, err);
	memcpy(p, b->plain.p + part->off + off, n);
	return NX_OK;
}

/* Go to the part that holds `off`; false at the end. */
static bool part_seek(struct nx_reader *r, uint64_t off)
{
	if (off < r->part_start) {
		r->part = 0;
		r->part_start = 0;
	}
	while (r->part < r->recipe->n_parts && off - r->part_start >= r->recipe->parts[r->part].len)
		r->part_start += r->recipe->parts[r->part++].len;
	return r->part < r->recipe->n_parts;
}

nx_rc nx_reader_read(struct nx_reader *reader, uint64_t off, void *p, size_t n, size_t *ret_n,
	struct nx_err *err)
{
	uint8_t *to = p;
	size_t done = 0;
	nx_rc rc = NX_OK;

	if (reader->subject && nx_keys_erased(reader->archive->keys, reader->subject))
		return nx_err_set(err, NX_E_ERASED, "the subject was erased");
	while (done < n && !rc && part_seek(reader, off + done)) {
		const struct nx_recipe_part *part = &reader->recipe->parts[reader->part];
		uint64_t in_part = off + done - reader->part_start;
		size_t take = n - done;

		if (take > part->len - in_part)
			take = (size_t)(part->len - in_part);
		rc = part_read(reader, part, in_part, to + done, take, err);
		done += take;
	}
	if (rc) {
		explicit_bzero(p, n);
		return rc;
	}
	*ret_n = done;
	return NX_OK;
}

nx_rc nx_archive_read_item(struct nx_archive *archive, const struct nx_item *item, size_t max,
	struct nx_arena *arena, struct nx_slice *ret, uint8_t ret_digest[32], struct nx_err *err)
{
	NX_AUTO(nx_reader) *reader = NULL;
	const size_t size = (size_t)item->size;
	size_t n = 0, got = 1;
	uint8_t *bytes;
	nx_rc rc;

	if (item->size < 0 || (uint64_t)item->size > max)
		return nx_err_set(err, NX_E_LIMIT, "item of %lld bytes", (long long)item->size);
	bytes = nx_arena_alloc(arena, size + 1);
	if (!bytes)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an item");
	rc = nx_archive_open_item(archive, item, &reader, err);
	while (!rc && got && n < size) {
		rc = nx_reader_read(reader, n, bytes + n, size - n, &got, err);
		n += got;
	}
	if (rc)
		return rc;
	if (ret_digest)
		memcpy(ret_digest, nx_reader_recipe(reader)->digest, 32);
	*ret = nx_slice(bytes, n);
	return NX_OK;
}

nx_rc nx_archive_read_blob(struct nx_archive *archive, const struct nx_item *item,
	const struct nx_recipe_blob *blob, size_t max, struct nx_arena *arena, struct nx_slice *ret,
	struct nx_err *err)
{
	struct open_blob b = {.located = true};
	uint8_t *plain;
	nx_rc rc;

	if (blob->len > max)
		return nx_err_set(
			err, NX_E_LIMIT, "blob of %llu bytes", (unsigned long long)blob->len);
	if (item->subject && nx_keys_erased(archive->keys, (uint64_t)item->subject))
		return nx_err_set(err, NX_E_ERASED, "the subject was erased");
	rc = nx_archive_extents(archive, blob, arena, &b.extents, &b.n, err);
	if (rc)
		return rc;
	if (blob->codec)
		return blob_inflate(archive, blob, &b, arena, ret, err);
	plain = nx_arena_alloc(arena, (size_t)blob->len + 1);
	if (!plain)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a blob");
	rc = stored_read(archive, &blob->key, &b, 0, plain, (size_t)blob->len, err);
	*ret = nx_slice(plain, (size_t)blob->len);
	return rc;
}

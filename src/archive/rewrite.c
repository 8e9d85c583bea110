/* Blob 0 of a recipe is the header; every other part is a bulk value at the sum of the lengths
 * before it. */
#include "archive/rewrite.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/rd.h"
#include "catalog/catalog.h"
#include "crypto/crypto.h"
#include "dicom/dicom.h"

enum {
	PREAMBLE = 128,
	META_HEAD = PREAMBLE + 4 + 12 /* "DICM" and the group's length element */
};

struct making {
	const struct nx_recipe *recipe;
	struct nx_rewrite *made;
	size_t header_at; /* header bytes already in a part */
};

nx_rc nx_archive_bulks(const struct nx_recipe_part *parts, size_t n_parts, struct nx_arena *arena,
	struct nx_bulk_ref **ret, size_t *ret_n, struct nx_err *err)
{
	struct nx_bulk_ref *refs = nx_arena_alloc_array(arena, n_parts, sizeof(*refs));
	uint64_t at = 0;
	size_t n = 0;

	if (!refs)
		return nx_err_set(err, NX_E_NOMEM, "no memory for bulk values");
	for (size_t i = 0; i < n_parts; i++) {
		if (parts[i].blob != 0)
			refs[n++] = (struct nx_bulk_ref){at, parts[i].len};
		at += parts[i].len;
	}
	*ret = refs;
	*ret_n = n;
	return NX_OK;
}

nx_rc nx_archive_header(struct nx_archive *archive, const struct nx_item *item,
	const struct nx_recipe *recipe, struct nx_arena *arena, struct nx_dataset **ret,
	struct nx_err *err)
{
	struct nx_bulk_ref *bulks = NULL;
	struct nx_slice header;
	size_t n = 0;
	nx_rc rc = nx_archive_read_blob(
		archive, item, &recipe->blobs[0], NX_LIMIT_DICOM_HEADER, arena, &header, err);

	if (!rc)
		rc = nx_archive_bulks(recipe->parts, recipe->n_parts, arena, &bulks, &n, err);
	return rc ? rc : nx_dataset_parse_split(header, bulks, n, NULL, arena, ret, err);
}

/* ---- parts ---- */

static void part_put(struct making *m, const struct nx_recipe_part *part)
{
	m->made->parts[m->made->n_parts++] = *part;
	m->made->size += part->len;
}

static void header_part(struct making *m, size_t end)
{
	if (end == m->header_at)
		return;
	part_put(m,
		&(struct nx_recipe_part){
			.kind = NX_PART_BLOB, .off = m->header_at, .len = end - m->header_at});
	m->header_at = end;
}

/* A bulk value that stays: the same part of the source's recipe, between header runs. */
static nx_rc on_bulk(void *payload, const struct nx_elem *e, size_t at, struct nx_err *err)
{
	struct making *m = payload;
	uint64_t offset = 0;

	for (size_t i = 0; i < m->recipe->n_parts; i++) {
		const struct nx_recipe_part *p = &m->recipe->parts[i];

		if (p->blob != 0 && offset == e->bulk_offset && p->len == e->bulk_length) {
			header_part(m, at);
			part_put(m, p);
			return NX_OK;
		}
		offset += p->len;
	}
	return nx_err_set(err, NX_E_INTERNAL, "bulk value at %llu has no part",
		(unsigned long long)e->bulk_offset);
}

/* Only the blobs that parts still name are shared; they follow the new header in the recipe. */
static void shared_pick(struct making *m)
{
	struct nx_rewrite *made = m->made;

	for (uint32_t b = 1; b < m->recipe->n_blobs; b++) {
		bool used = false;

		for (size_t i = 0; i < made->n_parts; i++)
			used |= made->parts[i].blob == b;
		if (!used)
			continue;
		made->shared[made->n_shared++] = m->recipe->blobs[b];
		for (size_t i = 0; i < made->n_parts; i++)
			if (made->parts[i].blob == b) /* never more than b: not met again */
				made->parts[i].blob = (uint32_t)made->n_shared;
	}
}

/* Of what nx_dataset_write() made: behind preamble and meta group, where it has them. */
static size_t meta_end(struct nx_slice header)
{
	struct nx_rd rd = nx_rd(header);
	uint32_t len = 0;

	if (header.n < META_HEAD || memcmp(header.p + PREAMBLE, "DICM", 4) != 0)
		return 0;
	return nx_rd_skip(&rd, META_HEAD - 4) && nx_rd_u32le(&rd, &len) ? META_HEAD + len : 0;
}

/* Without preamble and meta group, as ingest does. */
static nx_rc content_digest(
	const struct making *m, struct nx_slice header, uint8_t ret[32], struct nx_err *err)
{
	NX_AUTO(nx_sha256) *sha = nx_sha256_new();
	size_t at = meta_end(header);

	if (!sha)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a digest");
	nx_sha256_update(sha, header.p + at, header.n - at);
	for (size_t i = 0; i < m->made->n_shared; i++)
		nx_sha256_update(sha, m->made->shared[i].root, NX_SHA256_LEN);
	nx_sha256_final(sha, ret);
	return NX_OK;
}

static nx_rc header_store(struct nx_archive *archive, uint32_t domain, struct nx_slice header,
	struct nx_blob **ret, struct nx_err *err)
{
	NX_AUTO(nx_blob_writer) *w = NULL;
	nx_rc rc = nx_blob_writer_new(archive, domain, header.n, NX_BLOB_COMPRESS, &w, err);

	if (!rc)
		rc = nx_blob_writer_put(w, header.p, header.n, err);
	return rc ? rc : nx_blob_writer_finish(w, ret, err);
}

nx_rc nx_archive_rewrite(struct nx_archive *archive, const struct nx_rewrite_of *of,
	struct nx_arena *arena, struct nx_rewrite *ret, struct nx_err *err)
{
	const struct nx_recipe *recipe = of->recipe;
	struct nx_rewrite made = {.n_parts = 0};
	struct making m = {.recipe = recipe, .made = &made};
	NX_AUTO_DONE(nx_buf) header;
	nx_rc rc;

	/* Each bulk value takes at most a header run before it and one after. */
	made.parts = nx_arena_alloc_array(arena, 2 * recipe->n_parts + 1, sizeof(*made.parts));
	made.shared = nx_arena_alloc_array(arena, recipe->n_blobs, sizeof(*made.shared));
	nx_buf_init(&header, NX_LIMIT_DICOM_HEADER, NX_BUF_WIPE);
	if (!made.parts || !made.shared)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a recipe");
	rc = nx_dataset_write(of->ds, of->ts, &header, on_bulk, &m, err);
	if (rc)
		return rc;
	header_part(&m, header.len);
	shared_pick(&m);
	rc = content_digest(&m, nx_buf_slice(&header), made.content, err);
	if (!rc)
		rc = header_store(archive, of->domain, nx_buf_slice(&header), &made.blobs[0], err);
	if (!rc)
		*ret = made;
	return rc;
}

void nx_rewrite_put(struct nx_rewrite *rewrite, struct nx_put *put)
{
	put->blobs = rewrite->blobs;
	put->n_blobs = 1;
	put->shared = rewrite->shared;
	put->n_shared = rewrite->n_shared;
	put->parts = rewrite->parts;
	put->n_parts = rewrite->n_parts;
}

nx_rc nx_archive_same_put(struct nx_archive *archive, const struct nx_item *item,
	struct nx_arena *arena, struct nx_put *put, struct nx_err *err)
{
	struct nx_recipe *recipe;
	nx_rc rc = nx_archive_recipe(archive, item, arena, &recipe, err);

	if (rc)
		return rc;
	put->subject = (uint64_t)item->subject;
	put->item = item;
	put->shared = recipe->blobs;
	put->n_shared = recipe->n_blobs;
	put->parts = recipe->parts;
	put->n_parts = recipe->n_parts;
	put->content = recipe->content;
	return NX_OK;
}

/*
 * One sample from its grant.  Nothing is taken on the site's word: the recipe must have the digest
 * of the manifest, and every blob its root.
 */
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "crypto/crypto.h"
#include "loader/loader_priv.h"

enum {
	RECIPE_MAX = 64 * 1024 * 1024
};

/* The encoding that the digest is over: docs/formats/MANIFEST.md. */
static nx_rc digest_check(
	const struct grant_sample *s, const struct nx_manifest_entry *entry, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	uint8_t digest[NX_SHA256_LEN];
	nx_rc rc;

	nx_buf_init(&buf, RECIPE_MAX, 0);
	nx_buf_put_varint(&buf, s->n_blobs);
	for (size_t i = 0; i < s->n_blobs; i++) {
		nx_buf_put_varint(&buf, s->blobs[i].len);
		nx_buf_put(&buf, s->blobs[i].root, sizeof(s->blobs[i].root));
	}
	for (size_t i = 0; i < s->n_parts; i++) {
		const struct grant_part *p = &s->parts[i];

		nx_buf_put_u8(&buf, p->is_literal ? 1 : 0);
		if (p->is_literal) {
			nx_buf_put_blob(&buf, p->literal);
			continue;
		}
		nx_buf_put_varint(&buf, p->blob);
		nx_buf_put_varint(&buf, p->off);
		nx_buf_put_varint(&buf, p->len);
	}
	rc = nx_buf_check(&buf, err);
	if (rc)
		return rc;
	nx_sha256(buf.data, buf.len, digest);
	if (memcmp(digest, entry->digest, sizeof(digest)) != 0 || s->size != entry->size)
		return nx_err_set(err, NX_E_CORRUPT, "the recipe is not the manifest's");
	return NX_OK;
}

static nx_rc stored_read(struct pack_files *files, const struct grant *grant,
	const struct grant_blob *b, uint8_t *p, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < b->n_extents && !rc; i++) {
		rc = pack_files_extent(files, grant, &b->extents[i], &b->key, (uint32_t)i, p, err);
		p += b->extents[i].len;
	}
	return rc;
}

static nx_rc inflated_read(struct pack_files *files, const struct grant *grant,
	const struct grant_blob *b, uint8_t *p, struct nx_err *err)
{
	uint8_t *stored = malloc((size_t)b->stored + 1);
	size_t n;
	nx_rc rc;

	if (!stored)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a blob");
	rc = stored_read(files, grant, b, stored, err);
	if (!rc) {
		n = ZSTD_decompress(p, (size_t)b->len, stored, (size_t)b->stored);
		if (ZSTD_isError(n) || n != b->len)
			rc = nx_err_set(err, NX_E_CORRUPT, "a blob does not decompress");
	}
	explicit_bzero(stored, (size_t)b->stored);
	free(stored);
	return rc;
}

/* All of a blob into `p`, with the manifest's root. */
static nx_rc blob_read(struct pack_files *files, const struct grant *grant,
	const struct grant_blob *b, uint8_t *p, struct nx_err *err)
{
	uint8_t root[NX_SHA256_LEN];
	nx_rc rc = b->codec ? inflated_read(files, grant, b, p, err)
			    : stored_read(files, grant, b, p, err);

	if (rc)
		return rc;
	nx_tree_root(p, (size_t)b->len, root);
	return memcmp(root, b->root, sizeof(root)) == 0
		? NX_OK
		: nx_err_set(err, NX_E_CORRUPT, "a blob has not the root of the manifest");
}

/* The one part that takes all of blob `b`, if that is how it is used. */
static const struct grant_part *whole_part(const struct grant_sample *s, uint32_t b)
{
	const struct grant_part *found = NULL;

	for (size_t i = 0; i < s->n_parts; i++) {
		if (s->parts[i].is_literal || s->parts[i].blob != b)
			continue;
		if (found || s->parts[i].off || s->parts[i].len != s->blobs[b].len)
			return NULL;
		found = &s->parts[i];
	}
	return found;
}

static void parts_copy(const struct grant_sample *s, uint32_t b, const uint8_t *plain, uint8_t *out)
{
	for (size_t i = 0; i < s->n_parts; i++) {
		if (!s->parts[i].is_literal && s->parts[i].blob == b && s->parts[i].len)
			memcpy(out, plain + s->parts[i].off, (size_t)s->parts[i].len);
		out += s->parts[i].len;
	}
}

static nx_rc blob_place(struct pack_files *files, const struct grant *grant,
	const struct grant_sample *s, uint32_t b, uint8_t *out, struct nx_err *err)
{
	const struct grant_part *whole = whole_part(s, b);
	uint8_t *plain;
	nx_rc rc;

	if (whole) {
		for (const struct grant_part *p = s->parts; p != whole; p++)
			out += p->len;
		return blob_read(files, grant, &s->blobs[b], out, err);
	}
	plain = malloc((size_t)s->blobs[b].len + 1);
	if (!plain)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a blob");
	rc = blob_read(files, grant, &s->blobs[b], plain, err);
	if (!rc)
		parts_copy(s, b, plain, out);
	explicit_bzero(plain, (size_t)s->blobs[b].len);
	free(plain);
	return rc;
}

static void literals_copy(const struct grant_sample *s, uint8_t *out)
{
	for (size_t i = 0; i < s->n_parts; i++) {
		if (s->parts[i].is_literal && s->parts[i].len)
			memcpy(out, s->parts[i].literal.p, s->parts[i].literal.n);
		out += s->parts[i].len;
	}
}

nx_rc sample_assemble(struct pack_files *files, const struct grant *grant,
	const struct grant_sample *s, const struct nx_manifest_entry *entry, struct nx_buf *out,
	struct nx_err *err)
{
	uint8_t *to;
	nx_rc rc = digest_check(s, entry, err);

	if (rc)
		return rc;
	nx_buf_clear(out);
	to = s->size > out->max ? NULL : nx_buf_reserve(out, (size_t)s->size);
	if (!to)
		return nx_err_set(err, NX_E_LIMIT, "no memory for a sample of %llu bytes",
			(unsigned long long)s->size);
	literals_copy(s, to);
	for (uint32_t b = 0; b < s->n_blobs && !rc; b++)
		rc = blob_place(files, grant, s, b, to, err);
	if (rc)
		explicit_bzero(to, (size_t)s->size);
	else
		out->len = (size_t)s->size;
	return rc;
}

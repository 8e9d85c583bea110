/*
 * The published split rule, for every door: element values of NX_BULK_THRESHOLD bytes and more are
 * blobs of their own; all other bytes of the stream, in order, are one header blob.  The recipe
 * puts them together again.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "crypto/crypto.h"
#include "ingest/ingest_priv.h"

static nx_rc part_add(
	struct split *s, uint32_t blob, uint64_t off, uint64_t len, struct nx_err *err)
{
	if (s->n_parts == s->cap_parts) {
		size_t cap = s->cap_parts ? s->cap_parts * 2 : 8;
		struct nx_recipe_part *parts;

		if (cap > NX_LIMIT_RECIPE_PARTS)
			return nx_err_set(err, NX_E_LIMIT, "more than %zu parts", s->cap_parts);
		parts = realloc(s->parts, cap * sizeof(*parts));
		if (!parts)
			return nx_err_set(err, NX_E_NOMEM, "no memory for %zu parts", cap);
		s->parts = parts;
		s->cap_parts = cap;
	}
	s->parts[s->n_parts++] =
		(struct nx_recipe_part){.kind = NX_PART_BLOB, .blob = blob, .off = off, .len = len};
	return NX_OK;
}

static nx_rc header_run_end(struct split *s, struct nx_err *err)
{
	size_t start = s->run_start;

	s->run_start = s->header.len;
	return s->header.len == start ? NX_OK : part_add(s, 0, start, s->header.len - start, err);
}

static nx_rc blob_slot(struct split *s, struct nx_err *err)
{
	if (s->n_blobs == s->cap_blobs) {
		size_t cap = s->cap_blobs ? s->cap_blobs * 2 : 4;
		struct nx_blob **blobs = realloc(s->blobs, cap * sizeof(struct nx_blob *));

		if (!blobs)
			return nx_err_set(err, NX_E_NOMEM, "no memory for %zu blobs", cap);
		s->blobs = blobs;
		s->cap_blobs = cap;
	}
	s->blobs[s->n_blobs++] = NULL;
	return NX_OK;
}

/* ---- the parser's callbacks ---- */

static nx_rc on_value(
	void *payload, const struct nx_dicom_elem *e, struct nx_slice value, struct nx_err *err)
{
	struct split *s = payload;

	return e->depth ? NX_OK : attrs_take(&s->attrs, e, value, s->arena, err);
}

/* Its blob has it now.  Many may wait for their answers, and a header is up to 64 MiB. */
static void header_drop(struct split *s)
{
	nx_buf_done(&s->header);
	nx_ingest_hold_done(&s->hold);
}

static nx_rc on_raw(void *payload, struct nx_slice data, struct nx_err *err)
{
	struct split *s = payload;
	nx_rc rc = nx_ingest_hold_set(&s->hold, s->header.len + data.n, err);

	if (rc)
		return rc;
	s->size += data.n;
	nx_buf_put_slice(&s->header, data);
	return nx_buf_check(&s->header, err);
}

static nx_rc on_bulk_begin(void *payload, const struct nx_dicom_elem *e, struct nx_err *err)
{
	struct split *s = payload;
	uint64_t size = e->length == UINT32_MAX ? UINT64_MAX : e->length;
	nx_rc rc = header_run_end(s, err);

	s->bulk_at = s->size;
	if (!rc)
		rc = blob_slot(s, err);
	if (rc || s->apart)
		return rc;
	return nx_blob_writer_new(s->ingest->archive, s->domain, size, 0, &s->bulk, err);
}

static nx_rc on_bulk_data(void *payload, struct nx_slice data, struct nx_err *err)
{
	struct split *s = payload;

	s->size += data.n;
	if (s->size > NX_LIMIT_DICOM_INSTANCE)
		return nx_err_set(err, NX_E_LIMIT, "instance larger than %llu bytes",
			NX_LIMIT_DICOM_INSTANCE);
	return nx_blob_writer_put(s->bulk, data.p, data.n, err);
}

static nx_rc on_bulk_end(
	void *payload, const struct nx_dicom_elem *e, uint64_t length, struct nx_err *err)
{
	struct split *s = payload;
	nx_rc rc = NX_OK;

	(void)e;
	if (s->apart) {
		s->blobs[s->n_blobs - 1] = NX_STEAL(s->apart);
		s->size += length;
	} else {
		rc = nx_blob_writer_finish(s->bulk, &s->blobs[s->n_blobs - 1], err);
	}
	s->bulk = nx_blob_writer_free(s->bulk);
	return rc ? rc : part_add(s, (uint32_t)s->n_blobs - 1, 0, length, err);
}

static nx_rc on_meta_end(void *payload, const char *ts_uid, struct nx_err *err)
{
	(void)payload;
	if (ts_uid[0] && !nx_uid_valid(ts_uid, strlen(ts_uid)))
		return nx_err_set(
			err, NX_E_MALFORMED, "transfer syntax is not a UID at (0002,0010)");
	return NX_OK;
}

static const struct nx_dicom_cb callbacks = {
	.on_meta_end = on_meta_end,
	.on_value = on_value,
	.on_bulk_begin = on_bulk_begin,
	.on_bulk_data = on_bulk_data,
	.on_bulk_end = on_bulk_end,
	.on_raw = on_raw,
};

nx_rc split_init(struct split *s, struct nx_ingest *ingest, uint32_t domain, struct nx_arena *arena,
	const char *ts_uid, struct nx_slice meta, struct nx_err *err)
{
	const struct nx_dicom_parser_opts opts = {.ts_uid = ts_uid};
	nx_rc rc;

	s->ingest = ingest;
	s->hold.ingest = ingest;
	s->domain = domain;
	s->arena = arena;
	nx_buf_init(&s->header, NX_LIMIT_DICOM_HEADER, NX_BUF_WIPE);
	nx_buf_put_slice(&s->header, meta);
	s->size = meta.n;
	s->dataset_at = meta.n;
	s->meta_len = meta.n;
	rc = nx_buf_check(&s->header, err);
	if (!rc)
		rc = blob_slot(s, err);
	return rc ? rc : nx_dicom_parser_new(&opts, &callbacks, s, &s->parser, err);
}

void split_done(struct split *s)
{
	nx_dicom_parser_free(s->parser);
	nx_blob_writer_free(s->bulk);
	for (size_t i = 0; i < s->n_blobs; i++)
		nx_blob_free(s->blobs[i]);
	free(s->blobs);
	free(s->parts);
	header_drop(s);
}

nx_rc split_feed(struct split *s, const void *p, size_t n, struct nx_err *err)
{
	s->fed += n;
	return nx_dicom_feed(s->parser, p, n, err);
}

nx_rc split_feed_blob(struct split *s, struct nx_blob **blob, uint64_t n, struct nx_err *err)
{
	nx_rc rc;

	if (s->size + n > NX_LIMIT_DICOM_INSTANCE)
		return nx_err_set(err, NX_E_LIMIT, "instance larger than %llu bytes",
			NX_LIMIT_DICOM_INSTANCE);
	s->fed += n;
	s->apart = *blob;
	rc = nx_dicom_feed_hole(s->parser, n, err);
	if (!s->apart)
		*blob = NULL;
	s->apart = NULL;
	return rc;
}

/* ---- a stream that is only kept ---- */

nx_rc split_spill(struct split *s, const void *p, size_t n, struct nx_err *err)
{
	s->size += n;
	if (s->size > NX_LIMIT_DICOM_INSTANCE)
		return nx_err_set(err, NX_E_LIMIT, "instance larger than %llu bytes",
			NX_LIMIT_DICOM_INSTANCE);
	return nx_blob_writer_put(s->bulk, p, n, err);
}

/* A value that was arriving goes on as the rest. */
static nx_rc spill_open(struct split *s, struct nx_err *err)
{
	nx_rc rc;

	if (s->bulk)
		return NX_OK;
	rc = header_run_end(s, err);
	s->bulk_at = s->size;
	if (!rc)
		rc = blob_slot(s, err);
	return rc ? rc
		  : nx_blob_writer_new(s->ingest->archive, s->domain, UINT64_MAX, 0, &s->bulk, err);
}

nx_rc split_spill_begin(struct split *s, const void *p, size_t n, struct nx_err *err)
{
	struct nx_slice kept[2];
	uint64_t rest;
	nx_rc rc = spill_open(s, err);

	nx_dicom_kept(s->parser, kept);
	rest = s->fed - (s->size - s->meta_len) - kept[0].n - kept[1].n;
	assert(rest <= n);
	for (size_t i = 0; i < NX_ARRAY_LEN(kept) && !rc; i++)
		rc = split_spill(s, kept[i].p, kept[i].n, err);
	if (!rc && rest)
		rc = split_spill(s, (const uint8_t *)p + (n - rest), (size_t)rest, err);
	return rc;
}

static nx_rc rest_finish(struct split *s, struct nx_err *err)
{
	uint64_t n = s->size - s->bulk_at;
	nx_rc rc = NX_OK;

	if (n) {
		nx_blob_writer_cut(s->bulk);
		rc = nx_blob_writer_finish(s->bulk, &s->blobs[s->n_blobs - 1], err);
	} else {
		s->n_blobs--;
	}
	s->bulk = nx_blob_writer_free(s->bulk);
	return rc || !n ? rc : part_add(s, (uint32_t)s->n_blobs - 1, 0, n, err);
}

void split_as_received(struct split *s)
{
	if (!s->meta_len)
		return;
	/* Raw bytes of the stream follow ours in the header, unless there are none. */
	s->size -= s->meta_len;
	s->parts[0].off += s->meta_len;
	s->parts[0].len -= s->meta_len;
	if (!s->parts[0].len)
		memmove(s->parts, s->parts + 1, --s->n_parts * sizeof(*s->parts));
	s->meta_len = 0;
}

/* What the instance says, without preamble and meta group: those differ between doors for one and
 * the same data set. */
static nx_rc content_digest(struct split *s, struct nx_err *err)
{
	struct nx_sha256 *sha = nx_sha256_new();

	if (!sha)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a digest");
	nx_sha256_update(sha, s->header.data + s->dataset_at, s->header.len - s->dataset_at);
	for (size_t i = 1; i < s->n_blobs; i++)
		nx_sha256_update(sha, nx_blob_root(s->blobs[i]), NX_SHA256_LEN);
	nx_sha256_final(sha, s->content);
	nx_sha256_free(sha);
	return NX_OK;
}

static nx_rc header_blob(struct split *s, struct nx_err *err)
{
	NX_AUTO(nx_blob_writer) *w = NULL;
	nx_rc rc = header_run_end(s, err);

	if (!rc)
		rc = nx_blob_writer_new(
			s->ingest->archive, s->domain, s->header.len, NX_BLOB_COMPRESS, &w, err);
	if (!rc)
		rc = nx_blob_writer_put(w, s->header.data, s->header.len, err);
	return rc ? rc : nx_blob_writer_finish(w, &s->blobs[0], err);
}

nx_rc split_spill_finish(struct split *s, struct nx_err *err)
{
	nx_rc rc = rest_finish(s, err);

	if (!rc)
		rc = header_blob(s, err);
	header_drop(s);
	return rc;
}

nx_rc split_finish(struct split *s, struct nx_err *err)
{
	nx_rc rc = nx_dicom_finish(s->parser, err);

	if (!rc)
		rc = header_blob(s, err);
	if (rc)
		return rc;
	if (!s->dataset_at) /* the meta group is never bulk, so stream and header offsets agree
			       there */
		s->dataset_at = (size_t)nx_dicom_dataset_offset(s->parser);
	rc = content_digest(s, err);
	header_drop(s);
	return rc;
}

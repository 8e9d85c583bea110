#include <assert.h>
#include <string.h>

#include "crypto/crypto.h"
#include "store/extent.h"
#include "store/extent_priv.h"
#include "store/pool.h"

enum {
	ONE_READ_MAX = 4 * NX_MIB, /* header, segments and tags together; more goes in runs */
	RUN_SEGMENTS = 8,          /* segments of one run */
};

/* One read of an extent: what is wanted, and what is known so far. */
struct reading {
	struct nx_pool *pool;
	const struct nx_extent *e;
	struct nx_gcm *gcm;
	uint8_t record_id[NX_RECORD_ID_LEN];
	uint8_t tag_buf[NX_EXTENT_SEGMENTS_MAX *
		NX_TAG_LEN];  /* where they are not read with data */
	const uint8_t *tags;  /* of segment `first` on */
	uint32_t first, last; /* segments */
	uint32_t off;         /* plaintext range [off, end) */
	uint32_t end;
	uint8_t *to;      /* gets [off, end); NULL: only check */
	uint8_t *scratch; /* one segment, for parts of one; NULL until wanted */
	size_t dirty;     /* bytes of scratch that held plaintext */
};

static uint64_t data_at(const struct nx_extent *e, uint32_t seg)
{
	return (uint64_t)e->data_off + (uint64_t)seg * NX_SEG_LEN;
}

static uint64_t tags_at(const struct nx_extent *e, uint32_t seg)
{
	return (uint64_t)e->data_off + e->len + (uint64_t)seg * NX_TAG_LEN;
}

static uint32_t segment_len(const struct nx_extent *e, uint32_t seg)
{
	uint32_t left = e->len - seg * NX_SEG_LEN;

	return left < NX_SEG_LEN ? left : NX_SEG_LEN;
}

/* Bytes [at, at + n) of the stored extent.  A pack that ends before is a damaged one. */
static nx_rc fetch(const struct reading *r, uint64_t at, void *p, size_t n, struct nx_err *err)
{
	nx_rc rc = nx_pool_read(r->pool, r->e->pack, r->e->off + at, p, n, err);

	return rc == NX_E_SHORT ? nx_err_set(err, NX_E_CORRUPT, "pack ends inside the extent") : rc;
}

static nx_rc header_check(struct reading *r, const uint8_t *hdr, struct nx_err *err)
{
	uint16_t data_off;
	nx_rc rc = nx_extent_header_parse(hdr, r->record_id, &data_off, err);

	if (!rc && data_off != r->e->data_off)
		rc = nx_err_set(
			err, NX_E_CORRUPT, "extent data at %u, not %u", data_off, r->e->data_off);
	return rc;
}

static bool scratch_ready(struct reading *r)
{
	if (!r->scratch)
		r->scratch = nx_aligned_get(NX_SEG_LEN);
	return r->scratch != NULL;
}

/* Open one segment: straight into the caller's memory when all of it is wanted. */
static nx_rc segment_out(struct reading *r, uint32_t seg, const uint8_t *ct, struct nx_err *err)
{
	uint32_t begin = seg * NX_SEG_LEN;
	uint32_t n = segment_len(r->e, seg);
	uint64_t total = begin + n == r->e->len ? r->e->len : 0;
	bool whole = r->to && r->off <= begin && begin + n <= r->end;
	uint32_t from = r->off > begin ? r->off - begin : 0;
	uint32_t until = r->end < begin + n ? r->end - begin : n;
	const uint8_t *tag = r->tags + (size_t)(seg - r->first) * NX_TAG_LEN;
	uint8_t *pt;

	if (!whole && !scratch_ready(r))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a segment");
	pt = whole ? r->to + (begin - r->off) : r->scratch;
	if (!nx_segment_open(r->gcm,
		    &(struct nx_segment){.record_id = r->record_id, .number = seg, .total = total},
		    ct, n, tag, pt))
		return nx_err_set(err, NX_E_CORRUPT, "segment %u does not authenticate", seg);
	if (whole)
		return NX_OK;
	if (r->dirty < n)
		r->dirty = n;
	if (r->to)
		memcpy(r->to + (begin + from - r->off), r->scratch + from, until - from);
	return NX_OK;
}

/* Open segments [first, last] whose ciphertext is at `ct`. */
static nx_rc segments_out(
	struct reading *r, uint32_t first, uint32_t last, const uint8_t *ct, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (uint32_t seg = first; seg <= last && !rc; seg++)
		rc = segment_out(r, seg, ct + (size_t)(seg - first) * NX_SEG_LEN, err);
	return rc;
}

/* What the first read takes: back to the header and on to the tags when they are neighbours. */
static uint64_t span_begin(const struct reading *r)
{
	return r->first == 0 ? 0 : data_at(r->e, r->first);
}

static uint64_t span_end(const struct reading *r)
{
	if (r->last + 1 < nx_extent_segments(r->e->len))
		return data_at(r->e, r->last + 1);
	/* A bulk extent is padded to blocks: whole ones need no bounce in the driver. */
	return r->e->data_off == NX_EXTENT_DATA_BULK ? nx_align_up(nx_extent_stored(r->e))
						     : nx_extent_stored(r->e);
}

/* Header and tags of the range by reads of their own. */
static nx_rc fetch_header(struct reading *r, struct nx_err *err)
{
	uint8_t hdr[NX_EXTENT_HEADER_LEN];
	nx_rc rc = fetch(r, 0, hdr, sizeof(hdr), err);

	return rc ? rc : header_check(r, hdr, err);
}

static nx_rc fetch_tags(struct reading *r, struct nx_err *err)
{
	r->tags = r->tag_buf;
	return fetch(r, tags_at(r->e, r->first), r->tag_buf,
		(size_t)(r->last - r->first + 1) * NX_TAG_LEN, err);
}

/* All in one read, but for a header or tags that are not next to the segments. */
static nx_rc read_at_once(struct reading *r, uint8_t *buf, struct nx_err *err)
{
	uint64_t begin = span_begin(r);
	uint64_t end = span_end(r);
	bool with_tags = end > tags_at(r->e, r->first);
	nx_rc rc = begin > 0 ? fetch_header(r, err) : NX_OK;

	if (!rc && !with_tags)
		rc = fetch_tags(r, err);
	if (!rc)
		rc = fetch(r, begin, buf, (size_t)(end - begin), err);
	if (!rc && begin == 0)
		rc = header_check(r, buf, err);
	if (rc)
		return rc;
	if (with_tags)
		r->tags = buf + (tags_at(r->e, r->first) - begin);
	return segments_out(r, r->first, r->last, buf + (data_at(r->e, r->first) - begin), err);
}

static nx_rc read_in_runs(struct reading *r, uint8_t *buf, struct nx_err *err)
{
	nx_rc rc = fetch_header(r, err);

	if (!rc)
		rc = fetch_tags(r, err);
	for (uint32_t seg = r->first; seg <= r->last && !rc; seg += RUN_SEGMENTS) {
		uint32_t last = r->last - seg < RUN_SEGMENTS ? r->last : seg + RUN_SEGMENTS - 1;
		size_t n = (size_t)(last - seg) * NX_SEG_LEN + segment_len(r->e, last);

		rc = fetch(r, data_at(r->e, seg), buf, n, err);
		if (!rc)
			rc = segments_out(r, seg, last, buf, err);
	}
	return rc;
}

static nx_rc reading_run(struct reading *r, struct nx_err *err)
{
	uint64_t span = span_end(r) - span_begin(r);
	bool at_once = span <= ONE_READ_MAX;
	size_t n = at_once ? (size_t)span : (size_t)RUN_SEGMENTS * NX_SEG_LEN;
	uint8_t *buf = nx_aligned_get(n);
	nx_rc rc;

	if (!buf)
		return nx_err_set(err, NX_E_NOMEM, "no memory to read %zu bytes", n);
	rc = at_once ? read_at_once(r, buf, err) : read_in_runs(r, buf, err);
	nx_aligned_put(buf, n);
	if (r->scratch) {
		explicit_bzero(r->scratch, r->dirty); /* it goes to another reader next */
		nx_aligned_put(r->scratch, NX_SEG_LEN);
	}
	return rc;
}

/* Rows tell where an extent is, and rows may be damaged. */
static nx_rc place_check(const struct nx_extent *e, struct nx_err *err)
{
	if (e->pack > 0 && e->len > 0 && e->len <= NX_EXTENT_MAX && e->off <= INT64_MAX &&
		(e->data_off == NX_EXTENT_DATA_SMALL || e->data_off == NX_EXTENT_DATA_BULK))
		return NX_OK;
	return nx_err_set(
		err, NX_E_CORRUPT, "no extent has length %u and data at %u", e->len, e->data_off);
}

/* Place, range and target are set; the range is not empty and within the extent. */
static nx_rc range_open(struct reading *r, const struct nx_extent_seal *seal, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) key = {{0}};
	NX_AUTO(nx_gcm) *gcm = NULL;

	nx_extent_key(seal, &key);
	gcm = nx_gcm_new(&key);
	if (!gcm)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a cipher");
	r->gcm = gcm;
	r->first = r->off / NX_SEG_LEN;
	r->last = (r->end - 1) / NX_SEG_LEN;
	return reading_run(r, err);
}

static nx_rc place_prefix(const struct nx_extent *e, nx_rc rc, struct nx_err *err)
{
	return rc ? nx_err_prefix(err, rc, "pack %016llx extent %llu", (unsigned long long)e->pack,
			    (unsigned long long)e->off)
		  : NX_OK;
}

nx_rc nx_extent_read(struct nx_pool *pool, const struct nx_extent *e,
	const struct nx_extent_seal *seal, uint32_t off, void *p, size_t n, struct nx_err *err)
{
	struct reading r = {.pool = pool, .e = e, .off = off, .end = off + (uint32_t)n, .to = p};
	nx_rc rc = place_check(e, err);

	if (!rc && (off > e->len || n > e->len - off))
		rc = nx_err_set(err, NX_E_RANGE, "%zu bytes at %u of %u", n, off, e->len);
	if (!rc && n > 0)
		rc = range_open(&r, seal, err);
	if (rc && n > 0)
		explicit_bzero(p, n); /* all or nothing: also the good segments before a bad one */
	return place_prefix(e, rc, err);
}

nx_rc nx_extent_check(struct nx_pool *pool, const struct nx_extent *e,
	const struct nx_extent_seal *seal, struct nx_err *err)
{
	struct reading r = {.pool = pool, .e = e, .off = 0, .end = e->len, .to = NULL};
	nx_rc rc = place_check(e, err);

	if (!rc)
		rc = range_open(&r, seal, err);
	return place_prefix(e, rc, err);
}

/*
 * Start-up: find the groups that the catalog or the ledger does not have yet, in the packs, and
 * give them to both.
 *
 * Groups are numbered without gaps.  Two groups of one number exist when the first one's sync
 * failed: the one in the newer pack counts.  Only the very last group can be torn, because the next
 * one begins after its sync; it was never answered and is dropped.
 */
#include "archive/archive_priv.h"

#include <stdlib.h>

#include "base/enc.h"
#include "base/log.h"

enum {
	REPLAY_ARENA_MAX = 512 * 1024 * 1024,
	CRC_PIECE = 1024 * 1024
};

struct found {
	uint64_t pack;
	uint64_t off;
	struct unit_header h;
};

struct scan {
	struct nx_archive *a;
	uint64_t after; /* groups with a higher number are wanted */
	struct found *groups;
	size_t n;
	size_t cap;
	uint64_t last_pack;
	struct nx_err *err;
};

static nx_rc found_add(struct scan *s, const struct found *f)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 256;
		struct found *groups = realloc(s->groups, cap * sizeof(*groups));

		if (!groups)
			return nx_err_set(s->err, NX_E_NOMEM, "no memory for %zu groups", cap);
		s->groups = groups;
		s->cap = cap;
	}
	s->groups[s->n++] = *f;
	return NX_OK;
}

/* The end of a pack is zeros, the end of the file, or what a crash left of a unit. */
static nx_rc pack_units(struct scan *s, uint64_t pack)
{
	struct found f = {.pack = pack, .off = NX_PACK_ALIGN};
	uint8_t b[UNIT_HEADER_LEN];
	nx_rc rc = NX_OK;

	while (!rc) {
		rc = nx_pool_read(s->a->pool, pack, f.off, b, sizeof(b), s->err);
		if (!rc)
			rc = unit_header_parse(b, &f.h, s->err);
		if (!rc && f.h.kind == UNIT_GROUP && f.h.seq > s->after)
			rc = found_add(s, &f);
		if (!rc)
			f.off += f.h.total_len;
	}
	return rc == NX_E_SHORT || rc == NX_E_NOENT || rc == NX_E_CORRUPT ? NX_OK : rc;
}

static nx_rc pack_scan(void *payload, nx_pack_id pack)
{
	struct scan *s = payload;
	struct pack_header h;
	uint8_t b[PACK_HEADER_LEN];
	nx_rc rc = nx_pool_read(s->a->pool, pack, 0, b, sizeof(b), s->err);

	if (pack > s->last_pack)
		s->last_pack = pack;
	if (!rc)
		rc = pack_header_parse(b, &h, s->err);
	if (rc == NX_E_SHORT || rc == NX_E_CORRUPT)
		return NX_OK; /* made just before a crash, header not yet down: nothing in it was
				 ever answered */
	if (rc)
		return nx_err_prefix(s->err, rc, "pack %llu", (unsigned long long)pack);
	return h.cls == PACK_SMALL ? pack_units(s, pack) : NX_OK;
}

static int found_order(const void *x, const void *y)
{
	const struct found *a = x, *b = y;

	if (a->h.seq != b->h.seq)
		return a->h.seq < b->h.seq ? -1 : 1;
	return a->pack < b->pack ? -1 : a->pack > b->pack;
}

/* Of several groups with one number keep the one in the newest pack; numbers must follow each
 * other. */
static nx_rc groups_chain(struct scan *s)
{
	size_t kept = 0;

	if (!s->n)
		return NX_OK;
	qsort(s->groups, s->n, sizeof(*s->groups), found_order);
	for (size_t i = 0; i < s->n; i++) {
		if (kept && s->groups[kept - 1].h.seq == s->groups[i].h.seq)
			kept--;
		s->groups[kept++] = s->groups[i];
	}
	s->n = kept;
	for (size_t i = 0; i < kept; i++)
		if (s->groups[i].h.seq != s->after + 1 + i)
			return nx_err_set(s->err, NX_E_CORRUPT,
				"group %llu is missing from the packs",
				(unsigned long long)(s->after + 1 + i));
	return NX_OK;
}

static nx_rc range_check(struct nx_archive *a, const struct blob_range *range, struct nx_err *err)
{
	uint8_t *piece = nx_aligned_get(CRC_PIECE);
	uint32_t crc = 0;
	nx_rc rc = NX_OK;

	if (!piece)
		return nx_err_set(err, NX_E_NOMEM, "no memory to check a range");
	for (uint64_t at = 0; at < range->len && !rc;) {
		size_t n = range->len - at > CRC_PIECE ? CRC_PIECE : (size_t)(range->len - at);

		rc = nx_pool_read(a->pool, range->pack, range->off + at, piece, n, err);
		crc = rc ? 0 : nx_crc32c(crc, piece, n);
		at += n;
	}
	nx_aligned_put(piece, CRC_PIECE);
	if (rc == NX_E_SHORT || (!rc && crc != range->crc))
		rc = nx_err_set(err, NX_E_CORRUPT, "torn extent in pack %llu at %llu",
			(unsigned long long)range->pack, (unsigned long long)range->off);
	return rc;
}

static nx_rc group_read(struct nx_archive *a, const struct found *f, struct nx_arena *arena,
	struct nx_slice *ret_plain, struct nx_err *err)
{
	size_t n = (size_t)(UNIT_HEADER_LEN + f->h.extents_len + f->h.record_len);
	uint8_t *unit = nx_arena_alloc(arena, n);
	const uint8_t *record;
	uint8_t *plain;
	nx_rc rc;

	if (!unit || f->h.record_len < NX_SEAL_OVERHEAD)
		return nx_err_set(err, unit ? NX_E_CORRUPT : NX_E_NOMEM, "group record");
	rc = nx_pool_read(a->pool, f->pack, f->off, unit, n, err);
	if (rc)
		return rc == NX_E_SHORT ? nx_err_set(err, NX_E_CORRUPT, "torn group") : rc;
	record = unit + UNIT_HEADER_LEN + f->h.extents_len;
	if (nx_crc32c(0, unit + UNIT_HEADER_LEN, (size_t)f->h.extents_len) != f->h.extents_crc ||
		nx_crc32c(0, record, (size_t)f->h.record_len) != f->h.record_crc)
		return nx_err_set(err, NX_E_CORRUPT, "torn group");
	plain = nx_arena_alloc(arena, (size_t)f->h.record_len);
	if (!plain)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a group record");
	*ret_plain = nx_slice(plain, (size_t)f->h.record_len - NX_SEAL_OVERHEAD);
	return record_open(a, f->pack, f->off, f->h.seq, nx_slice(record, (size_t)f->h.record_len),
		plain, err);
}

/* Rows of chain heads, from the entries themselves. */
static nx_rc entry_heads(const struct record *r, struct nx_arena *arena, struct nx_op **ret,
	size_t *ret_n, struct nx_err *err)
{
	struct nx_tag_head *heads =
		nx_arena_alloc_array(arena, r->n_entries * NX_LEDGER_CHAINS, sizeof(*heads));
	size_t n = 0;

	if (!heads)
		return nx_err_set(err, NX_E_NOMEM, "no memory for chain heads");
	for (size_t i = 0; i < r->n_entries; i++) {
		struct nx_entry e;
		nx_rc rc = nx_entry_parse(r->first_entry + i, r->entries[i], &e, err);

		if (rc)
			return rc;
		for (size_t c = 0; c < NX_LEDGER_CHAINS; c++) {
			if (!e.chains[c].kind)
				continue;
			memcpy(heads[n].tag, e.chains[c].tag, NX_TAG_LEN);
			heads[n].count = e.chains[c].count;
			heads[n++].last = e.index;
		}
	}
	*ret_n = n;
	return head_ops(heads, n, arena, ret, err);
}

static nx_rc catalog_replay(struct nx_archive *a, uint64_t seq, const struct record *r,
	struct nx_arena *arena, struct nx_err *err)
{
	struct nx_op *heads = NULL, *all;
	size_t n_heads = 0;
	nx_rc rc;

	if (seq <= nx_cat_watermark(a->cat))
		return NX_OK;
	rc = entry_heads(r, arena, &heads, &n_heads, err);
	if (rc)
		return rc;
	all = nx_arena_alloc_array(arena, r->n_ops + n_heads, sizeof(*all));
	if (!all)
		return nx_err_set(err, NX_E_NOMEM, "no memory to replay a group");
	if (r->n_ops)
		memcpy(all, r->ops, r->n_ops * sizeof(*all));
	if (n_heads)
		memcpy(all + r->n_ops, heads, n_heads * sizeof(*all));
	return nx_cat_apply(a->cat, seq, all, r->n_ops + n_heads, err);
}

static nx_rc group_replay(struct nx_archive *a, const struct found *f, bool last,
	struct nx_arena *arena, struct nx_err *err)
{
	struct nx_slice plain = {NULL, 0};
	struct record r;
	nx_rc rc = group_read(a, f, arena, &plain, err);

	if (!rc)
		rc = record_parse(a, f->h.seq, plain, arena, &r, err);
	for (size_t i = 0; !rc && last && i < r.n_ranges; i++)
		rc = range_check(a, &r.ranges[i], err);
	for (size_t i = 0; !rc && i < r.n_entries; i++)
		rc = nx_ledger_replay(a->ledger, f->h.seq, r.first_entry + i, r.entries[i], err);
	if (!rc)
		rc = catalog_replay(a, f->h.seq, &r, arena, err);
	if (!rc) {
		a->last_pack = f->pack;
		a->last_off = f->off;
		a->durable_seq = f->h.seq;
		a->applied_seq = f->h.seq;
	}
	return rc;
}

static nx_rc groups_replay(struct scan *s)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(REPLAY_ARENA_MAX, NX_ARENA_WIPE);
	nx_rc rc = NX_OK;

	if (!arena)
		return nx_err_set(s->err, NX_E_NOMEM, "no memory to replay groups");
	for (size_t i = 0; i < s->n && !rc; i++) {
		bool last = i + 1 == s->n;

		nx_arena_reset(arena);
		rc = group_replay(s->a, &s->groups[i], last, arena, s->err);
		if (rc == NX_E_CORRUPT && last &&
			s->groups[i].h.seq > nx_cat_watermark(s->a->cat)) {
			nx_log_err(NX_LOG_WARN, "archive", "replay.torn", s->err);
			return NX_OK; /* never answered */
		}
		if (rc)
			rc = nx_err_prefix(s->err, rc, "group %llu in pack %llu at %llu",
				(unsigned long long)s->groups[i].h.seq,
				(unsigned long long)s->groups[i].pack,
				(unsigned long long)s->groups[i].off);
	}
	return rc;
}

nx_rc replay(struct nx_archive *a, bool rebuild, struct nx_err *err)
{
	struct scan s = {.a = a, .err = err};
	uint64_t ledger_size, ledger_seq;
	nx_rc rc;

	nx_ledger_durable(a->ledger, &ledger_size, &ledger_seq);
	s.after = nx_cat_watermark(a->cat);
	a->durable_seq = s.after;
	a->applied_seq = s.after;
	if (ledger_seq < s.after)
		s.after = ledger_seq;
	if (rebuild)
		s.after = 0;
	rc = nx_pool_list(a->pool, pack_scan, &s, err);
	if (!rc)
		rc = groups_chain(&s);
	if (!rc)
		rc = groups_replay(&s);
	a->space.next_pack = s.last_pack + 1;
	a->space.first_pack = a->space.next_pack;
	if (!rc && s.n)
		nx_log(NX_LOG_INFO, "archive", "replay", "%zu groups from the packs", s.n);
	free(s.groups);
	return rc;
}

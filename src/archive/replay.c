/*
 * Start-up: find the groups that the catalog or the ledger does not have yet, in the packs, and
 * give them to both.
 *
 * Groups are numbered without gaps.  Two groups of one number exist when the first one's sync
 * failed: the one in the newer pack counts.  Only the very last group can be torn, because the next
 * one begins after its sync; it was never answered and is dropped.  Anything else that is missing
 * or not as it was written is damage: it stops the start and is named.
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
	uint64_t last_group; /* of all, wanted or not */
	bool torn;           /* a pack ends in something that is no unit */
	uint64_t bad_pack; /* where something stands that is no unit, with units behind it; 0: none
			    */
	uint64_t bad_off;
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

/* The first place from `off` on where a unit begins; NX_E_SHORT when there is none. */
static nx_rc unit_seek(struct scan *s, uint64_t pack, uint64_t *off)
{
	uint8_t *piece = nx_aligned_get(CRC_PIECE);
	struct unit_header h;
	uint64_t size = 0, at = *off;
	nx_rc rc = nx_pool_size(s->a->pool, pack, &size, s->err);
	bool found = false;

	if (!piece)
		return nx_err_set(s->err, NX_E_NOMEM, "no memory to search a pack");
	while (!rc && !found && at + UNIT_HEADER_LEN <= size) {
		size_t n = size - at > CRC_PIECE ? CRC_PIECE : (size_t)(size - at);

		rc = nx_pool_read(s->a->pool, pack, at, piece, n, s->err);
		for (size_t i = 0; !rc && !found && i + UNIT_HEADER_LEN <= n; i += UNIT_ALIGN) {
			found = !unit_header_parse(piece + i, &h, NULL);
			*off = at + i;
		}
		at += n;
	}
	nx_aligned_put(piece, CRC_PIECE);
	if (rc || found)
		return rc;
	return nx_err_set(s->err, NX_E_SHORT, "no unit behind this");
}

/* What stands at `f->off` is no unit.  A crash leaves that at the end of a pack; with units behind
 * it, it is damage, and the search goes on there. */
static nx_rc unit_skip(struct scan *s, struct found *f, bool zeros)
{
	uint64_t bad = f->off;
	nx_rc rc;

	f->off += UNIT_ALIGN;
	rc = unit_seek(s, f->pack, &f->off);
	if (rc == NX_E_SHORT && zeros)
		return rc;
	if (!rc && !s->bad_pack) {
		s->bad_pack = f->pack;
		s->bad_off = bad;
	}
	s->torn |= rc == NX_E_SHORT;
	if (!rc || rc == NX_E_SHORT)
		nx_log(NX_LOG_WARN, "archive", rc ? "replay.torn" : "replay.damage",
			"pack %llu has no unit at %llu", (unsigned long long)f->pack,
			(unsigned long long)bad);
	return rc;
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
		if (rc == NX_E_NOENT || rc == NX_E_CORRUPT) {
			rc = unit_skip(s, &f, rc == NX_E_NOENT);
			continue;
		}
		if (!rc && f.h.kind == UNIT_GROUP && f.h.seq > s->last_group)
			s->last_group = f.h.seq;
		if (!rc && f.h.kind == UNIT_GROUP && f.h.seq > s->after)
			rc = found_add(s, &f);
		if (!rc)
			f.off += f.h.total_len;
	}
	return rc == NX_E_SHORT ? NX_OK : rc;
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
	if (rc == NX_E_SHORT)
		return NX_OK; /* made just before a crash: nothing in it was ever answered */
	if (rc == NX_E_CORRUPT) {
		/* Likewise, or its header is damaged: units speak for themselves. */
		nx_log(NX_LOG_WARN, "archive", "replay.damage", "pack %llu has no header",
			(unsigned long long)pack);
		h.cls = PACK_SMALL;
		rc = NX_OK;
	}
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

static nx_rc group_missing(const struct scan *s, uint64_t seq)
{
	if (!s->bad_pack)
		return nx_err_set(s->err, NX_E_CORRUPT, "group %llu is missing from the packs",
			(unsigned long long)seq);
	return nx_err_set(s->err, NX_E_CORRUPT,
		"group %llu is missing from the packs; pack %llu is damaged at %llu",
		(unsigned long long)seq, (unsigned long long)s->bad_pack,
		(unsigned long long)s->bad_off);
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
			return group_missing(s, s->after + 1 + i);
	return NX_OK;
}

/* Catalog and ledger follow the packs.  Where one of them is ahead of packs that look whole,
 * somebody has put back an older pool: numbers would be given a second time. */
static nx_rc packs_follow(const struct scan *s, uint64_t known)
{
	if (known <= s->last_group || s->torn || s->bad_pack)
		return NX_OK;
	return nx_err_set(s->err, NX_E_CORRUPT,
		"the packs are older than catalog or ledger: they end with group %llu, %llu is "
		"known",
		(unsigned long long)s->last_group, (unsigned long long)known);
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

/* The extents of a group that may be torn.  Of others they are checked when they are read. */
static nx_rc extents_check(struct nx_archive *a, const struct found *f, struct nx_err *err)
{
	const struct blob_range range = {
		f->pack, f->off + UNIT_HEADER_LEN, f->h.extents_len, f->h.extents_crc};

	return range_check(a, &range, err);
}

/* The sealed record; NX_E_CORRUPT when it is not as it was written. */
static nx_rc group_read(struct nx_archive *a, const struct found *f, struct nx_arena *arena,
	struct nx_slice *ret_sealed, struct nx_err *err)
{
	size_t n = (size_t)f->h.record_len;
	uint8_t *record = nx_arena_alloc(arena, n);
	nx_rc rc;

	if (!record || n < NX_SEAL_OVERHEAD)
		return nx_err_set(err, record ? NX_E_CORRUPT : NX_E_NOMEM, "group record");
	rc = nx_pool_read(
		a->pool, f->pack, f->off + UNIT_HEADER_LEN + f->h.extents_len, record, n, err);
	if (rc == NX_E_SHORT || (!rc && nx_crc32c(0, record, n) != f->h.record_crc))
		return nx_err_set(err, NX_E_CORRUPT, "damaged record");
	*ret_sealed = nx_slice(record, n);
	return rc;
}

static nx_rc group_unseal(struct nx_archive *a, const struct found *f, struct nx_slice sealed,
	struct nx_arena *arena, struct nx_slice *ret_plain, struct nx_err *err)
{
	uint8_t *plain = nx_arena_alloc(arena, sealed.n);

	if (!plain)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a group record");
	*ret_plain = nx_slice(plain, sealed.n - NX_SEAL_OVERHEAD);
	return record_open(a, f->pack, f->off, f->h.seq, sealed, plain, err);
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

/* The last group may be one that was never synced, when only the process ended: it has to be before
 * anything is built on it. */
static nx_rc group_settle(
	struct nx_archive *a, const struct found *f, const struct record *r, struct nx_err *err)
{
	nx_rc rc = nx_pool_sync(a->pool, &f->pack, 1, err);

	for (size_t i = 0; i < r->n_ranges && !rc; i++)
		rc = nx_pool_sync(a->pool, &r->ranges[i].pack, 1, err);
	return rc;
}

/* *ret_torn: the group is not whole on the medium. */
static nx_rc group_open(struct nx_archive *a, const struct found *f, bool unsure,
	struct nx_arena *arena, struct record *r, bool *ret_torn, struct nx_err *err)
{
	struct nx_slice sealed = {NULL, 0}, plain = {NULL, 0};
	nx_rc rc = group_read(a, f, arena, &sealed, err);

	if (!rc && unsure)
		rc = extents_check(a, f, err);
	*ret_torn = rc == NX_E_CORRUPT;
	if (!rc)
		rc = group_unseal(a, f, sealed, arena, &plain, err);
	if (!rc)
		rc = record_parse(a, f->h.seq, plain, arena, r, err);
	for (size_t i = 0; !rc && unsure && i < r->n_ranges; i++) {
		rc = range_check(a, &r->ranges[i], err);
		*ret_torn = rc == NX_E_CORRUPT;
	}
	return rc || !unsure ? rc : group_settle(a, f, r, err);
}

static nx_rc group_replay(struct nx_archive *a, const struct found *f, bool unsure,
	struct nx_arena *arena, bool *ret_torn, struct nx_err *err)
{
	struct record r;
	nx_rc rc = group_open(a, f, unsure, arena, &r, ret_torn, err);

	for (size_t i = 0; !rc && i < r.n_entries; i++)
		rc = nx_ledger_replay(a->ledger, f->h.seq, r.first_entry + i, r.entries[i], err);
	if (!rc)
		rc = catalog_replay(a, f->h.seq, &r, arena, err);
	if (!rc) {
		a->last_pack = f->pack;
		a->last_off = f->off;
		a->durable_seq = f->h.seq;
		a->rows_seq = f->h.seq;
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
		bool unsure = i + 1 == s->n && s->groups[i].h.seq > nx_cat_watermark(s->a->cat);
		bool torn = false;

		nx_arena_reset(arena);
		rc = group_replay(s->a, &s->groups[i], unsure, arena, &torn, s->err);
		if (rc && torn && unsure) {
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
	a->rows_seq = s.after;
	a->applied_seq = s.after;
	if (ledger_seq < s.after)
		s.after = ledger_seq;
	if (rebuild)
		s.after = 0;
	rc = nx_pool_list(a->pool, pack_scan, &s, err);
	if (!rc && !rebuild)
		rc = packs_follow(&s, ledger_seq > a->durable_seq ? ledger_seq : a->durable_seq);
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

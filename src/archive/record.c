/*
 * The record of a group: its redo log entry (docs/PACK-FORMAT.md, "Group records").  Plaintext:
 *   varint version 1
 *   varint pack and offset of the previous group's unit (0, 0 for the first)
 *   varint n ranges; each: varint pack, offset, length, u32le CRC-32C
 *     what this group has outside of the unit with the record: bulk extents, data units
 *   varint index of the first ledger entry, varint n entries; each: varint length, bytes
 *   varint n operations; each: u8 verb, u8 table, varint domain, varint subject, varint length,
 *     payload
 * The payload of an operation of a subject is sealed under that subject's key (associated data
 * "nxop", sequence u64le, number u32le, verb, table), so that erasing the subject erases it here
 * too.  The whole is sealed under the site's log key (associated data "nxgroup", pack, offset,
 * sequence, each u64le).
 */
#include "archive/archive_priv.h"

#include "base/rd.h"

enum {
	RECORD_VERSION = 1,
	OP_AAD_LEN = 18,
	GROUP_AAD_LEN = 31,
	RECORD_OPS_MAX = 4 * 1024 * 1024
};

static void aad_le(uint8_t *to, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)(v >> (8 * i));
}

static struct nx_slice op_aad(
	uint64_t seq, size_t number, uint8_t verb, uint8_t table, uint8_t aad[OP_AAD_LEN])
{
	memcpy(aad, "nxop", sizeof("nxop")); /* its end is written over */
	aad_le(aad + 4, seq, 8);
	aad_le(aad + 12, number, 4);
	aad[16] = verb;
	aad[17] = table;
	return nx_slice(aad, OP_AAD_LEN);
}

static struct nx_slice group_aad(
	uint64_t pack, uint64_t off, uint64_t seq, uint8_t aad[GROUP_AAD_LEN])
{
	memcpy(aad, "nxgroup", sizeof("nxgroup")); /* its end is written over */
	aad_le(aad + 7, pack, 8);
	aad_le(aad + 15, off, 8);
	aad_le(aad + 23, seq, 8);
	return nx_slice(aad, GROUP_AAD_LEN);
}

/* One key of the group: many operations in a row belong to the same subject. */
struct key_memo {
	uint32_t domain;
	uint64_t subject;
	bool valid;
	nx_rc rc;
	struct nx_key key;
};

static nx_rc memo_key(
	struct nx_archive *a, struct key_memo *memo, const struct nx_op *op, struct nx_err *err)
{
	if (memo->valid && memo->domain == op->domain && memo->subject == op->subject)
		return memo->rc;
	memo->rc = nx_keys_subject(a->keys, op->domain, op->subject, &memo->key, err);
	memo->domain = op->domain;
	memo->subject = op->subject;
	memo->valid = true;
	return memo->rc;
}

static nx_rc op_seal(const struct nx_op *op, uint64_t seq, size_t number,
	const struct key_memo *memo, struct nx_slice payload, struct nx_buf *out,
	struct nx_err *err)
{
	uint8_t aad[OP_AAD_LEN];
	uint8_t *to;
	nx_rc rc;

	nx_buf_put_varint(out, payload.n + NX_SEAL_OVERHEAD);
	to = nx_buf_reserve(out, payload.n + NX_SEAL_OVERHEAD);
	if (!to)
		return nx_buf_check(out, err);
	rc = nx_seal(&memo->key, op_aad(seq, number, op->verb, op->table, aad), payload.p,
		payload.n, to, err);
	if (!rc)
		out->len += payload.n + NX_SEAL_OVERHEAD;
	return rc;
}

static nx_rc ops_format(
	struct nx_archive *a, const struct group *g, struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) payload;
	struct key_memo memo = {.valid = false};
	nx_rc rc = NX_OK;

	nx_buf_init(&payload, NX_LIMIT_GROUP_RECORD, NX_BUF_WIPE);
	nx_buf_put_varint(out, g->n_ops);
	for (size_t i = 0; i < g->n_ops && !rc; i++) {
		const struct nx_op *op = &g->ops[i];

		nx_buf_put_u8(out, op->verb);
		nx_buf_put_u8(out, op->table);
		nx_buf_put_varint(out, op->domain);
		nx_buf_put_varint(out, op->subject);
		nx_buf_clear(&payload);
		nx_op_format(op, &payload);
		rc = nx_buf_check(&payload, err);
		if (!rc && !op->subject) {
			nx_buf_put_blob(out, nx_buf_slice(&payload));
			continue;
		}
		if (!rc)
			rc = memo_key(a, &memo, op, err);
		if (!rc)
			rc = op_seal(op, g->seq, i, &memo, nx_buf_slice(&payload), out, err);
	}
	nx_key_done(&memo.key);
	return rc;
}

nx_rc record_format(
	struct nx_archive *a, const struct group *g, struct nx_buf *out, struct nx_err *err)
{
	nx_rc rc;

	nx_buf_put_varint(out, RECORD_VERSION);
	nx_buf_put_varint(out, a->last_pack);
	nx_buf_put_varint(out, a->last_off);
	nx_buf_put_varint(out, g->n_ranges);
	for (size_t i = 0; i < g->n_ranges; i++) {
		nx_buf_put_varint(out, g->ranges[i].pack);
		nx_buf_put_varint(out, g->ranges[i].off);
		nx_buf_put_varint(out, g->ranges[i].len);
		nx_buf_put_u32le(out, g->ranges[i].crc);
	}
	nx_buf_put_varint(out, g->first_entry);
	nx_buf_put_varint(out, g->n_entries);
	nx_buf_put_slice(out, nx_buf_slice(&g->entries));
	rc = ops_format(a, g, out, err);
	return rc ? rc : nx_buf_check(out, err);
}

nx_rc record_seal(struct nx_archive *a, const struct group_unit *home, uint64_t seq,
	struct nx_slice plain, uint8_t *ret, struct nx_err *err)
{
	uint8_t aad[GROUP_AAD_LEN];

	return nx_seal(&a->log_key, group_aad(home->pack, home->off, seq, aad), plain.p, plain.n,
		ret, err);
}

nx_rc record_open(struct nx_archive *a, uint64_t pack, uint64_t off, uint64_t seq,
	struct nx_slice sealed, uint8_t *ret_plain, struct nx_err *err)
{
	uint8_t aad[GROUP_AAD_LEN];

	if (sealed.n < NX_SEAL_OVERHEAD)
		return nx_err_set(err, NX_E_CORRUPT, "group record too short");
	return nx_seal_open(
		&a->log_key, group_aad(pack, off, seq, aad), sealed.p, sealed.n, ret_plain, err);
}

static bool ranges_parse(struct nx_rd *rd, struct nx_arena *arena, struct record *r)
{
	uint64_t n;

	if (!nx_rd_varint(rd, &n) || n > rd->n)
		return false;
	r->n_ranges = (size_t)n;
	r->ranges = nx_arena_alloc_array(arena, r->n_ranges, sizeof(*r->ranges));
	for (size_t i = 0; r->ranges && i < r->n_ranges; i++) {
		struct blob_range *range = &r->ranges[i];

		if (!nx_rd_varint(rd, &range->pack) || !nx_rd_varint(rd, &range->off) ||
			!nx_rd_varint(rd, &range->len) || !nx_rd_u32le(rd, &range->crc))
			return false;
	}
	return r->ranges;
}

static bool entries_parse(struct nx_rd *rd, struct nx_arena *arena, struct record *r)
{
	uint64_t n;

	if (!nx_rd_varint(rd, &r->first_entry) || !nx_rd_varint(rd, &n) || n > rd->n)
		return false;
	r->n_entries = (size_t)n;
	r->entries = nx_arena_alloc_array(arena, r->n_entries, sizeof(*r->entries));
	for (size_t i = 0; r->entries && i < r->n_entries; i++)
		if (!nx_rd_blob(rd, &r->entries[i]))
			return false;
	return r->entries;
}

struct op_frame {
	struct nx_op op; /* without values */
	struct nx_slice payload;
};

static bool frame_parse(struct nx_rd *rd, struct op_frame *f)
{
	uint64_t domain;

	if (!nx_rd_u8(rd, &f->op.verb) || !nx_rd_u8(rd, &f->op.table) ||
		!nx_rd_varint(rd, &domain) || domain > UINT32_MAX ||
		!nx_rd_varint(rd, &f->op.subject) || !nx_rd_blob(rd, &f->payload))
		return false;
	f->op.domain = (uint32_t)domain;
	return true;
}

/* NX_E_ERASED: the subject's key is gone, and so is the operation. */
static nx_rc frame_open(struct nx_archive *a, uint64_t seq, size_t number, struct key_memo *memo,
	struct op_frame *f, struct nx_arena *arena, struct nx_err *err)
{
	uint8_t aad[OP_AAD_LEN];
	uint8_t *plain;
	nx_rc rc;

	if (!f->op.subject)
		return NX_OK;
	rc = memo_key(a, memo, &f->op, err);
	if (rc == NX_E_NOENT)
		return nx_err_set(err, NX_E_KEY,
			"key store has no key for an operation of group %llu",
			(unsigned long long)seq);
	if (rc)
		return rc;
	if (f->payload.n < NX_SEAL_OVERHEAD)
		return nx_err_set(err, NX_E_CORRUPT, "operation %zu too short", number);
	plain = nx_arena_alloc(arena, f->payload.n - NX_SEAL_OVERHEAD);
	if (!plain)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an operation");
	rc = nx_seal_open(&memo->key, op_aad(seq, number, f->op.verb, f->op.table, aad),
		f->payload.p, f->payload.n, plain, err);
	f->payload = nx_slice(plain, f->payload.n - NX_SEAL_OVERHEAD);
	return rc;
}

static nx_rc ops_parse(struct nx_archive *a, uint64_t seq, struct nx_rd *rd, struct nx_arena *arena,
	struct record *r, struct nx_err *err)
{
	struct key_memo memo = {.valid = false};
	nx_rc rc = NX_OK;
	uint64_t n;

	if (!nx_rd_varint(rd, &n) || n > RECORD_OPS_MAX)
		return nx_err_set(err, NX_E_CORRUPT, "group record: number of operations");
	r->ops = nx_arena_alloc_array(arena, (size_t)n, sizeof(*r->ops));
	if (!r->ops)
		return nx_err_set(err, NX_E_NOMEM, "no memory for operations");
	for (size_t i = 0; i < n && !rc; i++) {
		struct op_frame f = {.payload = {NULL, 0}};
		struct nx_op *op = &r->ops[r->n_ops];
		struct nx_rd payload;

		if (!frame_parse(rd, &f))
			rc = nx_err_set(err, NX_E_CORRUPT, "group record: operation %zu", i);
		if (!rc)
			rc = frame_open(a, seq, i, &memo, &f, arena, err);
		if (rc == NX_E_ERASED) {
			rc = NX_OK;
			continue;
		}
		payload = nx_rd(f.payload);
		if (!rc)
			rc = nx_op_parse(&payload, f.op.verb, f.op.table, arena, op, err);
		op->domain = f.op.domain;
		op->subject = f.op.subject;
		r->n_ops += !rc;
	}
	nx_key_done(&memo.key);
	return rc;
}

nx_rc record_parse(struct nx_archive *a, uint64_t seq, struct nx_slice plain,
	struct nx_arena *arena, struct record *ret, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(plain);
	uint64_t version;

	*ret = (struct record){.prev_pack = 0};
	if (!nx_rd_varint(&rd, &version) || version != RECORD_VERSION)
		return nx_err_set(err, NX_E_VERSION, "group record version");
	if (!nx_rd_varint(&rd, &ret->prev_pack) || !nx_rd_varint(&rd, &ret->prev_off) ||
		!ranges_parse(&rd, arena, ret) || !entries_parse(&rd, arena, ret))
		return nx_err_set(
			err, NX_E_CORRUPT, "group record of %llu", (unsigned long long)seq);
	return ops_parse(a, seq, &rd, arena, ret, err);
}

nx_rc head_ops(const struct nx_tag_head *heads, size_t n, struct nx_arena *arena,
	struct nx_op **ret, struct nx_err *err)
{
	struct nx_op *ops = nx_arena_alloc_array(arena, n, sizeof(*ops));
	struct nx_val *vals = nx_arena_alloc_array(arena, n, 3 * sizeof(*vals));

	if (!ops || !vals)
		return nx_err_set(err, NX_E_NOMEM, "no memory for chain heads");
	for (size_t i = 0; i < n; i++, vals += 3) {
		vals[0] = nx_val_blob(nx_slice(heads[i].tag, NX_TAG_LEN));
		vals[1] = nx_val_int((int64_t)heads[i].count);
		vals[2] = nx_val_int((int64_t)heads[i].last);
		ops[i] = (struct nx_op){.verb = NX_OP_PUT, .table = NX_T_TAG, .n = 3, .vals = vals};
	}
	*ret = ops;
	return NX_OK;
}

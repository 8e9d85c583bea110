/*
 * What stands in packs between the extents: pack and unit headers, group records, recipes, extent
 * lists.  The first byte chooses which, and whether a header's checksum is made right; a record is
 * also written, sealed, perhaps damaged, opened and parsed again.
 */
#include "fuzz.h"

#include "archive/archive_priv.h"
#include "base/enc.h"
#include "base/rd.h"

enum {
	MEMORY_MAX = 64 << 20,
	OPS_MAX = 64,
	SEQ = 9,
	PACK = 3,
	UNIT_OFF = 4096,
	FIX_CRC = 0x80,
};

nx_rc __wrap_nx_keys_subject(struct nx_keys *keys, uint32_t domain, nx_subject subject,
	struct nx_key *ret_key, struct nx_err *err);

/* Subjects: even ones are there, 1 was erased, the others never were. */
nx_rc __wrap_nx_keys_subject(struct nx_keys *keys, uint32_t domain, nx_subject subject,
	struct nx_key *ret_key, struct nx_err *err)
{
	(void)keys;
	if (subject % 2)
		return nx_err_set(err, subject == 1 ? NX_E_ERASED : NX_E_NOENT, "no key");
	memset(ret_key->b, (int)(domain ^ subject), sizeof(ret_key->b));
	return NX_OK;
}

static void header_take(const uint8_t *data, size_t size, bool fix, uint8_t b[UNIT_HEADER_LEN])
{
	uint32_t crc;

	memset(b, 0, UNIT_HEADER_LEN);
	memcpy(b, data, size < UNIT_HEADER_LEN ? size : UNIT_HEADER_LEN);
	crc = nx_crc32c(0, b, UNIT_HEADER_LEN - 4);
	for (size_t i = 0; fix && i < 4; i++)
		b[UNIT_HEADER_LEN - 4 + i] = (uint8_t)(crc >> (8 * i));
}

static void pack_header_one(const uint8_t b[PACK_HEADER_LEN])
{
	struct pack_header h, again;
	uint8_t out[PACK_HEADER_LEN];

	if (pack_header_parse(b, &h, NULL))
		return;
	pack_header_format(&h, out);
	FUZZ_CHECK(pack_header_parse(out, &again, NULL) == NX_OK);
	FUZZ_CHECK(again.pack == h.pack && again.domain == h.domain && again.cls == h.cls &&
		again.created_us == h.created_us);
}

static void unit_header_one(const uint8_t b[UNIT_HEADER_LEN])
{
	struct unit_header h, again;
	uint8_t out[UNIT_HEADER_LEN];

	if (unit_header_parse(b, &h, NULL))
		return;
	FUZZ_CHECK(h.total_len >= UNIT_HEADER_LEN && h.total_len % NX_PACK_ALIGN == 0);
	FUZZ_CHECK(h.extents_len + h.record_len <= h.total_len - UNIT_HEADER_LEN);
	unit_header_format(&h, out);
	FUZZ_CHECK(unit_header_parse(out, &again, NULL) == NX_OK);
	FUZZ_CHECK(again.kind == h.kind && again.seq == h.seq && again.total_len == h.total_len &&
		again.extents_crc == h.extents_crc && again.record_crc == h.record_crc);
}

static void record_one(struct nx_arena *arena, struct nx_slice plain)
{
	struct nx_archive archive = {.keys = NULL};
	struct record r;

	if (record_parse(&archive, SEQ, plain, arena, &r, NULL))
		return;
	for (size_t i = 0; i < r.n_ops; i++)
		FUZZ_CHECK(r.ops[i].subject == 0); /* nobody can seal for a subject by chance */
}

static void recipe_one(struct nx_arena *arena, struct nx_slice plain)
{
	const struct nx_key key = {{5}};
	struct nx_recipe *recipe;
	struct nx_item item = {.id = 6};
	NX_AUTO_DONE(nx_buf) sealed;
	uint8_t aad[14] = "nxitem\6";
	uint8_t *to = nx_arena_alloc(arena, plain.n + NX_SEAL_OVERHEAD);

	nx_buf_init(&sealed, MEMORY_MAX, 0);
	FUZZ_CHECK(to && nx_seal(&key, nx_slice(aad, 14), plain.p, plain.n, to, NULL) == NX_OK);
	item.sealed = nx_slice(to, plain.n + NX_SEAL_OVERHEAD);
	if (recipe_open(&item, &key, arena, &recipe, NULL))
		return;
	for (size_t i = 0; i < recipe->n_parts; i++)
		FUZZ_CHECK(recipe->parts[i].kind == NX_PART_LITERAL ||
			recipe->parts[i].blob < recipe->n_blobs);
	FUZZ_CHECK(recipe_seal(recipe, &key, 6, &sealed, NULL) == NX_OK);
	item.sealed = nx_buf_slice(&sealed);
	FUZZ_CHECK(recipe_open(&item, &key, arena, &recipe, NULL) == NX_OK);
}

static void extents_one(struct nx_arena *arena, struct nx_slice packed)
{
	NX_AUTO_DONE(nx_buf) out;
	struct nx_extent *e, *again;
	size_t n, m;

	nx_buf_init(&out, MEMORY_MAX, 0);
	if (extents_parse(packed, arena, &e, &n, NULL))
		return;
	extents_format(e, n, &out);
	FUZZ_CHECK(extents_parse(nx_buf_slice(&out), arena, &again, &m, NULL) == NX_OK && m == n);
	FUZZ_CHECK(n == 0 || memcmp(e, again, n * sizeof(*e)) == 0);
}

/* ---- a record that was written: u16 where it is damaged, u8 how, then operations ---- */

/* Each operation: verb, table, domain, subject, values.  False at the end. */
static bool op_take(struct nx_rd *rd, struct nx_arena *arena, struct nx_op *ret)
{
	uint8_t verb, table, domain, subject;

	if (!nx_rd_u8(rd, &verb) || !nx_rd_u8(rd, &table) || !nx_rd_u8(rd, &domain) ||
		!nx_rd_u8(rd, &subject) || nx_op_parse(rd, verb, table, arena, ret, NULL))
		return false;
	ret->domain = domain;
	ret->subject = subject & ~1u;
	return true;
}

static void same_ops(const struct group *g, const struct record *r)
{
	FUZZ_CHECK(r->n_ops == g->n_ops);
	for (size_t i = 0; i < r->n_ops; i++) {
		const struct nx_op *a = &g->ops[i], *b = &r->ops[i];

		FUZZ_CHECK(a->verb == b->verb && a->table == b->table && a->n == b->n &&
			a->domain == b->domain && a->subject == b->subject);
		for (unsigned v = 0; v < a->n; v++)
			FUZZ_CHECK(a->vals[v].type == b->vals[v].type &&
				a->vals[v].i == b->vals[v].i &&
				nx_slice_eq(a->vals[v].s, b->vals[v].s));
	}
}

static void written_one(struct nx_arena *arena, struct nx_slice bytes)
{
	struct nx_archive archive = {.log_key = {{8}}, .last_pack = 1, .last_off = UNIT_OFF};
	struct blob_range range = {.pack = 2, .off = UNIT_OFF, .len = 100, .crc = 7};
	struct nx_op ops[OPS_MAX];
	struct group g = {.seq = SEQ, .ops = ops, .ranges = &range, .n_ranges = 1};
	const struct group_unit home = {.pack = PACK, .off = UNIT_OFF};
	struct nx_rd rd = nx_rd(bytes);
	NX_AUTO_DONE(nx_buf) plain;
	struct record r;
	uint8_t mask = 0, *sealed, *opened;
	uint16_t place = 0;

	nx_buf_init(&plain, MEMORY_MAX, 0);
	if (!nx_rd_u16le(&rd, &place) || !nx_rd_u8(&rd, &mask))
		return;
	while (g.n_ops < OPS_MAX && op_take(&rd, arena, &ops[g.n_ops]))
		g.n_ops++;
	if (record_format(&archive, &g, &plain, NULL))
		return;
	sealed = nx_arena_alloc(arena, plain.len + NX_SEAL_OVERHEAD);
	opened = nx_arena_alloc(arena, plain.len);
	FUZZ_CHECK(sealed && opened);
	FUZZ_CHECK(record_seal(&archive, &home, SEQ, nx_buf_slice(&plain), sealed, NULL) == NX_OK);
	sealed[place % (plain.len + NX_SEAL_OVERHEAD)] ^= mask;
	FUZZ_CHECK((record_open(&archive, PACK, UNIT_OFF, SEQ,
			    nx_slice(sealed, plain.len + NX_SEAL_OVERHEAD), opened,
			    NULL) == NX_OK) == (mask == 0));
	if (mask)
		return;
	FUZZ_CHECK(
		record_parse(&archive, SEQ, nx_slice(opened, plain.len), arena, &r, NULL) == NX_OK);
	same_ops(&g, &r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(MEMORY_MAX, 0);
	uint8_t header[UNIT_HEADER_LEN];
	struct nx_slice rest;

	if (size == 0 || !arena)
		return 0;
	FUZZ_CHECK(nx_crypto_init(NULL) == NX_OK);
	rest = nx_slice(data + 1, size - 1);
	header_take(rest.p, rest.n, (data[0] & FIX_CRC) != 0, header);
	switch (data[0] % 8) {
	case 0:
		pack_header_one(header);
		break;
	case 1:
		unit_header_one(header);
		break;
	case 2:
		record_one(arena, rest);
		break;
	case 3:
		recipe_one(arena, rest);
		break;
	case 4:
		extents_one(arena, rest);
		break;
	default:
		written_one(arena, rest);
		break;
	}
	return 0;
}

/*
 * What version 1 of the formats of packs is, byte for byte.  These bytes were made from
 * docs/PACK-FORMAT.md by another implementation; they are never changed.
 */
#include "unit/nx_test.h"

#include "archive/archive_priv.h"
#include "base/enc.h"

enum {
	BYTES_MAX = 1024
};

static struct nx_slice golden(const char *hex, uint8_t *to)
{
	size_t n = strlen(hex) / 2;

	assert_true(n <= BYTES_MAX && nx_hex_parse(hex, to, n));
	return nx_slice(to, n);
}

static void assert_bytes(struct nx_slice got, const char *hex)
{
	uint8_t bytes[BYTES_MAX];
	struct nx_slice want = golden(hex, bytes);

	assert_u64(got.n, want.n);
	assert_memory_equal(got.p, want.p, want.n);
}

static void test_a_pack_header(void **state)
{
	static const char hex[] =
		"4e585041434b310a01000000000001000100000000000000000000009f3345ff5a610600"
		"00000000000000000000000000000000000000000000000055bf0c07";
	const struct pack_header h = {
		.pack = 1, .cls = PACK_SMALL, .created_us = 0x0006615aff45339f};
	uint8_t bytes[BYTES_MAX];
	struct pack_header again = {.pack = 0};

	(void)state;
	pack_header_format(&h, bytes);
	assert_bytes(nx_slice(bytes, PACK_HEADER_LEN), hex);
	assert_rc(pack_header_parse(golden(hex, bytes).p, &again, NULL), NX_OK);
	assert_u64(again.pack, 1);
	assert_int_equal(again.domain, 0);
	assert_int_equal(again.cls, PACK_SMALL);
	assert_i64(again.created_us, h.created_us);
}

static void unit_is(const struct unit_header *h, const char *hex)
{
	uint8_t bytes[BYTES_MAX];
	struct unit_header again = {.kind = 0};

	unit_header_format(h, bytes);
	assert_bytes(nx_slice(bytes, UNIT_HEADER_LEN), hex);
	assert_rc(unit_header_parse(golden(hex, bytes).p, &again, NULL), NX_OK);
	assert_int_equal(again.kind, h->kind);
	assert_u64(again.seq, h->seq);
	assert_u64(again.total_len, h->total_len);
	assert_u64(again.extents_len, h->extents_len);
	assert_u64(again.record_len, h->record_len);
	assert_i64(again.time_us, h->time_us);
	assert_u64(again.extents_crc, h->extents_crc);
	assert_u64(again.record_crc, h->record_crc);
}

static void test_a_unit_with_a_group_record(void **state)
{
	(void)state;
	unit_is(&(struct unit_header){.kind = UNIT_GROUP,
			.seq = 1,
			.total_len = 320,
			.record_len = 239,
			.time_us = 0x0006615aff4530b3,
			.record_crc = 0x6ef32c0b},
		"4e58554701000000010000000000000040010000000000000000000000000000ef000000"
		"00000000b33045ff5a610600000000000b2cf36e000000003548d40f");
}

static void test_a_unit_of_data(void **state)
{
	(void)state;
	unit_is(&(struct unit_header){.kind = UNIT_DATA,
			.seq = 0x0102030405060708,
			.total_len = 4160,
			.extents_len = 4000,
			.time_us = 0x0006615aedd0698a,
			.extents_crc = 0xc0ffee01},
		"4e5855440100000008070605040302014010000000000000a00f00000000000000000000"
		"000000008a69d0ed5a61060001eeffc00000000000000000bffe6394");
}

static void test_places_of_extents(void **state)
{
	static const char hex[] = "05c02ad505000380208080802001";
	const struct nx_extent e[] = {
		{5, 5440, 725, NX_EXTENT_HEADER_LEN}, {3, 4096, NX_EXTENT_MAX, NX_PACK_ALIGN}};
	NX_AUTO(nx_arena) *arena = nx_arena_new(1u << 20, 0);
	uint8_t bytes[BYTES_MAX];
	NX_AUTO_DONE(nx_buf) out;
	struct nx_extent *again = NULL;
	size_t n = 0;

	(void)state;
	nx_buf_init(&out, BYTES_MAX, 0);
	extents_format(e, 2, &out);
	assert_bytes(nx_buf_slice(&out), hex);
	assert_rc(extents_parse(golden(hex, bytes), arena, &again, &n, NULL), NX_OK);
	assert_u64(n, 2);
	for (size_t i = 0; i < n; i++) {
		assert_u64(again[i].pack, e[i].pack);
		assert_u64(again[i].off, e[i].off);
		assert_u64(again[i].len, e[i].len);
		assert_u64(again[i].data_off, e[i].data_off);
	}
}

/* ---- recipes ---- */

static const char recipe_plain[] =
	"01000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f020710"
	"101010101010101010101010101010101010101010101010101010101010102020202020"
	"202020202020202020202020202020202020202020202020202020b80ad50501ac021111"
	"111111111111111111111111111111111111111111111111111111111111212121212121"
	"212121212121212121212121212121212121212121212121212180900480900400030000"
	"00b80a01044449434d0001649c8f04";
static const char recipe_sealed[] =
	"a0a1a2a3a4a5a6a7a8a9aaabe7187d2f46cf07b9656d8ed90c76cdd07fbc480281a3577a"
	"8b163f9c64b7681fcd7440efbf32432d4f8c14d8196a93e9570b565872c00a6e514e1b4e"
	"b46095a0a4ac954f1085c4c0d4c2df38afeeec9aed2b8b84e5e1b95ace551eba91ba6db4"
	"afa40b13097b8a9a32d917419499fc39354170bfcf248a2d3edecfb5a544e35cd400a16e"
	"c25391062648dfaa336bb0f7a9f88c4a9ff1dbaddcec9cd48ee6150ae7393e90974b6137"
	"a32babb26b5226e57725fd9802dea43f86c63f7a11821e33a8b948d57a74d87fb81cbbec"
	"0b8c1e372e18bb";

static struct nx_recipe_blob blob_of(uint64_t id, uint64_t len, uint64_t stored, uint8_t codec)
{
	struct nx_recipe_blob blob = {.id = id, .len = len, .stored = stored, .codec = codec};
	int n = codec ? 0 : 1;

	memset(blob.key.b, 0x10 + n, sizeof(blob.key.b));
	memset(blob.root, 0x20 + n, sizeof(blob.root));
	return blob;
}

static struct nx_key key_of(void)
{
	struct nx_key key = {{0}};

	for (unsigned i = 0; i < sizeof(key.b); i++)
		key.b[i] = (uint8_t)i;
	return key;
}

static void test_a_recipe_is_written(void **state)
{
	static const uint8_t aad[] = {'n', 'x', 'i', 't', 'e', 'm', 0x22, 0x11, 0, 0, 0, 0, 0, 0};
	struct nx_recipe_blob blobs[] = {blob_of(7, 1336, 725, 1), blob_of(300, 67584, 67584, 0)};
	struct nx_recipe_part parts[] = {{.kind = NX_PART_BLOB, .len = 1336},
		{.kind = NX_PART_LITERAL, .len = 4, .literal = nx_slice_str("DICM")},
		{.kind = NX_PART_BLOB, .blob = 1, .off = 100, .len = 67484}};
	struct nx_recipe recipe = {.blobs = blobs, .n_blobs = 2, .parts = parts, .n_parts = 3};
	const struct nx_key key = key_of();
	uint8_t plain[BYTES_MAX];
	NX_AUTO_DONE(nx_buf) out;

	(void)state;
	for (unsigned i = 0; i < sizeof(recipe.content); i++)
		recipe.content[i] = (uint8_t)i;
	nx_buf_init(&out, BYTES_MAX, 0);
	assert_rc(recipe_seal(&recipe, &key, 0x1122, &out, NULL), NX_OK);
	assert_rc(nx_seal_open(&key, nx_slice(aad, sizeof(aad)), out.data, out.len, plain, NULL),
		NX_OK);
	assert_bytes(nx_slice(plain, out.len - NX_SEAL_OVERHEAD), recipe_plain);
}

static void test_a_recipe_is_read(void **state)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(1u << 20, 0);
	const struct nx_key key = key_of();
	uint8_t bytes[BYTES_MAX];
	struct nx_item item = {.id = 0x1122, .sealed = golden(recipe_sealed, bytes)};
	struct nx_recipe *r = NULL;

	(void)state;
	assert_rc(recipe_open(&item, &key, arena, &r, NULL), NX_OK);
	assert_u64(r->n_blobs, 2);
	assert_u64(r->blobs[1].id, 300);
	assert_u64(r->blobs[0].stored, 725);
	assert_int_equal(r->blobs[0].codec, 1);
	assert_u64(r->n_parts, 3);
	assert_true(nx_slice_eq(r->parts[1].literal, nx_slice_str("DICM")));
	assert_u64(r->parts[2].off, 100);
	assert_u64(r->size, 1336 + 4 + 67484);
	assert_bytes(nx_slice(r->digest, 32),
		"02bc419567e92f76d47db3b011bacf2e109cefd9fb616e701e5cf0ca0f2ef723");
}

/* ---- group records, with row operations ---- */

static const char record_plain[] =
	"010380400203802080c0040403020185808080808080800280238001fcfdfeffe8070203"
	"6f6e65820178787878787878787878787878787878787878787878787878787878787878"
	"787878787878787878787878787878787878787878787878787878787878787878787878"
	"787878787878787878787878787878787878787878787878787878787878787878787878"
	"78787878787878787878787878787878787878787878787878787803010700000e03010a"
	"010403070380208090040104040000080301d80401240101010100000c02020673636865"
	"6d61030102";

static void test_a_group_record_is_written(void **state)
{
	static const uint8_t extents[] = {3, 0x80, 0x20, 0x80, 0x90, 4, 1}, state_row[] = {2};
	struct nx_val blob[] = {
		nx_val_int(5), nx_val_int(2), nx_val_blob(nx_slice(extents, sizeof(extents)))};
	struct nx_val add[] = {nx_val_int(300), nx_val_int(18), nx_val_int(-1)};
	struct nx_val kv[] = {nx_val_text("schema"), nx_val_blob(nx_slice(state_row, 1))};
	struct nx_op ops[] = {{.verb = NX_OP_PUT, .table = NX_T_BLOB, .n = 3, .vals = blob},
		{.verb = NX_OP_ADD, .table = NX_T_STUDY, .n = 3, .vals = add},
		{.verb = NX_OP_PUT, .table = NX_T_KV, .n = 2, .vals = kv}};
	struct blob_range ranges[] = {
		{3, 4096, 73728, 0x01020304}, {0x0200000000000005, 4480, 128, 0xfffefdfc}};
	struct nx_archive archive = {.last_pack = 3, .last_off = 8192};
	struct group g = {.ops = ops,
		.n_ops = 3,
		.ranges = ranges,
		.n_ranges = 2,
		.first_entry = 1000,
		.n_entries = 2};
	uint8_t second[130];
	NX_AUTO_DONE(nx_buf) out;

	(void)state;
	memset(second, 'x', sizeof(second));
	nx_buf_init(&g.entries, BYTES_MAX, 0);
	nx_buf_put_blob(&g.entries, nx_slice_str("one"));
	nx_buf_put_blob(&g.entries, nx_slice(second, sizeof(second)));
	nx_buf_init(&out, BYTES_MAX, 0);
	assert_rc(record_format(&archive, &g, &out, NULL), NX_OK);
	assert_bytes(nx_buf_slice(&out), record_plain);
	nx_buf_done(&g.entries);
}

static void test_a_group_record_is_read(void **state)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(1u << 20, 0);
	struct nx_archive archive = {.last_pack = 0};
	uint8_t bytes[BYTES_MAX];
	struct record r;

	(void)state;
	assert_rc(record_parse(&archive, 7, golden(record_plain, bytes), arena, &r, NULL), NX_OK);
	assert_u64(r.prev_pack, 3);
	assert_u64(r.prev_off, 8192);
	assert_u64(r.n_ranges, 2);
	assert_u64(r.ranges[1].pack, 0x0200000000000005);
	assert_u64(r.ranges[1].crc, 0xfffefdfc);
	assert_u64(r.first_entry, 1000);
	assert_u64(r.n_entries, 2);
	assert_true(nx_slice_eq(r.entries[0], nx_slice_str("one")));
	assert_u64(r.entries[1].n, 130);
	assert_u64(r.n_ops, 3);
	assert_int_equal(r.ops[0].table, NX_T_BLOB);
	assert_int_equal(r.ops[1].verb, NX_OP_ADD);
	assert_i64(r.ops[1].vals[2].i, -1);
	assert_true(nx_slice_eq(r.ops[2].vals[0].s, nx_slice_str("schema")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_pack_header),
		cmocka_unit_test(test_a_unit_with_a_group_record),
		cmocka_unit_test(test_a_unit_of_data),
		cmocka_unit_test(test_places_of_extents),
		cmocka_unit_test(test_a_recipe_is_written),
		cmocka_unit_test(test_a_recipe_is_read),
		cmocka_unit_test(test_a_group_record_is_written),
		cmocka_unit_test(test_a_group_record_is_read),
	};

	return nx_crypto_init(NULL) || cmocka_run_group_tests(tests, NULL, NULL);
}

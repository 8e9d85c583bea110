/*
 * What version 1 of the ledger's formats is, byte for byte.  These bytes were made from
 * docs/LEDGER.md by another implementation; they are never changed.
 */
#include "unit/nx_test.h"

#include "base/enc.h"
#include "ledger/ledger_priv.h"

#define ORIGIN "golden.example.org/site"

enum {
	BYTES_MAX = 512,
	BODY = 300,
	INDEX = 0x0a0b0d
};

/* Up to the body. */
static const char entry_hex[] =
	"010402018a69d0ed5a610600020111111111111111111111111111111111010000000000"
	"0000ffffffffffffffff033333333333333333333333333333333307000000000000000c"
	"0b0a00000000002c01";

static const char note_text[] =
	"golden.example.org/site\n"
	"700\n"
	"REREREREREREREREREREREREREREREREREREREREREQ=\n"
	"nx-map/1 VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVU=\n"
	"\n"
	"\xe2\x80\x94 golden.example.org/site "
	"KbKHSTYhjzMpZu7Ga95lhC63Dt7BsvTmhmM98+RtlMnIk16ocPvqOCLJFlbVGocPl/WVK18P"
	"tA/+74ANmFM9Ekby1w0=\n";

static void filled(uint8_t *to, uint8_t byte, size_t n)
{
	memset(to, byte, n);
}

static struct nx_key seed_of(void)
{
	struct nx_key seed = {{0}};

	for (unsigned i = 0; i < sizeof(seed.b); i++)
		seed.b[i] = (uint8_t)i;
	return seed;
}

static void test_an_entry_is_written(void **state)
{
	struct nx_entry entry = {
		.time_us = 0x0006615aedd0698a, .action = 0x0102, .outcome = NX_OUTCOME_MINOR};
	uint8_t want[BYTES_MAX];
	NX_AUTO_DONE(nx_buf) out;

	(void)state;
	entry.chains[0].kind = NX_CHAIN_SUBJECT;
	filled(entry.chains[0].tag, 0x11, NX_TAG_LEN);
	entry.chains[0].count = 1;
	entry.chains[0].prev = UINT64_MAX;
	entry.chains[1].kind = NX_CHAIN_PRINCIPAL;
	filled(entry.chains[1].tag, 0x33, NX_TAG_LEN);
	entry.chains[1].count = 7;
	entry.chains[1].prev = 0x0a0b0c;
	nx_buf_init(&out, BYTES_MAX, 0);
	nx_entry_format_head(&entry, BODY, &out);
	assert_u64(out.len, strlen(entry_hex) / 2);
	assert_true(nx_hex_parse(entry_hex, want, out.len));
	assert_memory_equal(out.data, want, out.len);
}

static void test_an_entry_is_read(void **state)
{
	uint8_t bytes[BYTES_MAX] = {0};
	size_t n = strlen(entry_hex) / 2;
	struct nx_entry entry;

	(void)state;
	assert_true(nx_hex_parse(entry_hex, bytes, n));
	assert_rc(nx_entry_parse(INDEX, nx_slice(bytes, n + BODY), &entry, NULL), NX_OK);
	assert_u64(entry.index, INDEX);
	assert_i64(entry.time_us, 0x0006615aedd0698a);
	assert_int_equal(entry.action, 0x0102);
	assert_int_equal(entry.outcome, NX_OUTCOME_MINOR);
	assert_int_equal(entry.chains[0].kind, NX_CHAIN_SUBJECT);
	assert_u64(entry.chains[0].prev, UINT64_MAX);
	assert_int_equal(entry.chains[1].kind, NX_CHAIN_PRINCIPAL);
	assert_u64(entry.chains[1].count, 7);
	assert_u64(entry.chains[1].prev, 0x0a0b0c);
	assert_int_equal(entry.chains[2].kind, 0);
	assert_u64(entry.body.n, BODY);
}

static void test_a_checkpoint(void **state)
{
	const struct nx_key seed = seed_of();
	struct nx_checkpoint made = {.size = 700}, again;
	uint8_t pub[NX_ED25519_PUBLIC_LEN];
	NX_AUTO_DONE(nx_buf) out;

	(void)state;
	filled(made.root, 0x44, sizeof(made.root));
	filled(made.map_root, 0x55, sizeof(made.map_root));
	nx_buf_init(&out, BYTES_MAX, 0);
	assert_rc(nx_note_format(ORIGIN, &seed, &made, &out, NULL), NX_OK);
	assert_true(nx_slice_eq(nx_buf_slice(&out), nx_slice_str(note_text)));
	nx_ed25519_public(&seed, pub);
	assert_rc(nx_note_parse(nx_slice_str(note_text), ORIGIN, pub, &again, NULL), NX_OK);
	assert_u64(again.size, 700);
	assert_memory_equal(again.root, made.root, sizeof(made.root));
	assert_memory_equal(again.map_root, made.map_root, sizeof(made.map_root));
}

static void test_a_bucket_of_heads(void **state)
{
	static const char hex[] =
		"f6f03edbceacada177c9e1a92c45dce4d6dd11802668e96a8fb3863d8545a3b3";
	uint8_t tag[NX_TAG_LEN], want[NX_SHA256_LEN], got[NX_SHA256_LEN];
	NX_AUTO_DONE(nx_buf) scratch;

	(void)state;
	nx_buf_init(&scratch, BYTES_MAX, 0);
	nx_bucket_hash_begin(&scratch);
	filled(tag, 0x11, sizeof(tag));
	nx_bucket_hash_add(&scratch, tag, (struct nx_head){.count = 1, .last = 2});
	filled(tag, 0x12, sizeof(tag));
	nx_bucket_hash_add(&scratch, tag, (struct nx_head){.count = 3, .last = 4});
	assert_rc(nx_bucket_hash_end(&scratch, got, NULL), NX_OK);
	assert_true(nx_hex_parse(hex, want, sizeof(want)));
	assert_memory_equal(got, want, sizeof(want));
}

static void test_names_of_tiles(void **state)
{
	char path[PATH_LEN];

	(void)state;
	nx_tile_path(0, 1234067, 0, path);
	assert_string_equal(path, "tile/0/x001/x234/067");
	nx_tile_path(2, 5, 17, path);
	assert_string_equal(path, "tile/2/005.p/17");
	nx_tile_path(LEVEL_ENTRIES, 0, 255, path);
	assert_string_equal(path, "tile/entries/000.p/255");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_entry_is_written),
		cmocka_unit_test(test_an_entry_is_read),
		cmocka_unit_test(test_a_checkpoint),
		cmocka_unit_test(test_a_bucket_of_heads),
		cmocka_unit_test(test_names_of_tiles),
	};

	return nx_crypto_init(NULL) || cmocka_run_group_tests(tests, NULL, NULL);
}

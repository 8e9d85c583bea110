#include "keys_fixture.h"

/*
 * A store as version 1 of the format wrote it, passphrase "golden", through an erasure and a
 * rotation.  It opens for good, with these keys.
 */

static void check_key(const struct nx_key *key, const char *hex)
{
	uint8_t want[NX_KEY_LEN];

	assert_true(nx_hex_parse(hex, want, sizeof(want)));
	assert_memory_equal(key->b, want, sizeof(want));
}

static void place(struct fixture *fx, const char *from, const char *to)
{
	const char *data = getenv("NX_TEST_DATA"); /* NOLINT(concurrency-mt-unsafe): one thread */
	NX_AUTO_DONE(nx_buf) buf;
	NX_AUTO_FD fd = -1;
	char path[512];

	assert_non_null(data);
	(void)snprintf(path, sizeof(path), "%s/keys/golden", data);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	nx_buf_init(&buf, 1u << 20, 0);
	assert_ok(nx_file_read(fd, from, &buf, &fx->err), &fx->err);
	fx_write(fx, 0, to, nx_buf_slice(&buf));
}

static void test_version_1_opens(void **state)
{
	struct nx_keys_status status;
	struct fixture fx;
	struct nx_key key;
	uint32_t prod;

	(void)state;
	fx_init(&fx, "file");
	place(&fx, "v1-keys.nxk", NX_KEYS_LOG);
	place(&fx, "v1-root.key", NX_KEYS_ROOT);
	fx.opts.n_places = 1;
	fx.opts.passphrase = nx_slice_str("golden");
	assert_ok(fx_reopen(&fx), &fx.err);
	nx_keys_status(fx.keys, &status);
	assert_u64(status.root_version, 2);
	assert_u64(status.n_subjects, 3);
	assert_u64(status.n_erased, 1);
	assert_ok(nx_keys_site(fx.keys, "catalog", &key, &fx.err), &fx.err);
	check_key(&key, "23e0fdbfe9436b02870dcb60c3d638cba56bc20563cbfa4d1e2dda7ee2eea046");
	assert_ok(nx_keys_domain(fx.keys, "prod/phi", false, &prod, &fx.err), &fx.err);
	assert_ok(nx_keys_domain_purpose(fx.keys, prod, "handle", &key, &fx.err), &fx.err);
	check_key(&key, "e67c26a5be6c40bf98c4acd4c577944ae221af847a8e36ad5fbf4f52fe5005bd");
	key = fx_subject(&fx, prod, 1ull << 40 | 1);
	check_key(&key, "9876ba9a59423806bb5b4f1528ec88a0d3984b42f550a0944c342f2d89fafcd6");
	key = fx_subject(&fx, prod, 3ull << 40 | 3);
	check_key(&key, "7154f3209b4005c810dc0a39c9b736df362bb4aef0f0cb0040b05c1c954566f7");
	key = fx_subject(&fx, prod, 0);
	check_key(&key, "5660741c0c7cc8bb7d3ac97c6a2028e63e5feb4d81713cf3d6ec794fcb6ad04c");
	assert_rc(nx_keys_subject(fx.keys, prod, 2ull << 40 | 2, &key, &fx.err), NX_E_ERASED);
	fx_done(&fx);
}

/* Offsets of docs/formats/KEY-STORE.md, byte by byte. */
static void test_bytes_are_as_documented(void **state)
{
	static const uint8_t head[] = {'N', 'X', 'K', 'E', 'Y', 'S', '1', '\n', 0, 0, 0, 0, 0, 0, 0,
		0, 0x0d, 0, 0, 0, 0, 0, 0, 0, 0x02, 1, 0, 0, 0, 0, 0, 0};
	static const uint8_t body[] = {0x06, 0, 16, 0};
	struct nx_keylog_header header = {.generation = 13, .root_version = 0x102};
	struct nx_keyrec rec = {
		.type = NX_KEYREC_ERASED, .subject = 0x0807060504030201, .time_us = -1};
	NX_AUTO_DONE(nx_buf) buf;

	(void)state;
	memset(header.store_id, 0x77, sizeof(header.store_id));
	nx_buf_init(&buf, 1024, 0);
	nx_keylog_header_put(&buf, &header);
	nx_keyrec_put(&buf, &rec);
	assert_int_equal(buf.len, 64 + 8 + 16 + 4);
	assert_memory_equal(buf.data, head, sizeof(head));
	for (size_t i = 32; i < 60; i++)
		assert_int_equal(buf.data[i], i < 48 ? 0x77 : 0);
	assert_memory_equal(buf.data + 64, body, sizeof(body));
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(buf.data[72 + i], i + 1);
		assert_int_equal(buf.data[80 + i], 0xff);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_1_opens),
		cmocka_unit_test(test_bytes_are_as_documented),
	};

	return nx_crypto_init(NULL) || cmocka_run_group_tests(tests, NULL, NULL);
}

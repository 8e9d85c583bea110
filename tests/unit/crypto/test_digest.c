#include "nx_test.h"

#include <argon2.h>

#include "base/enc.h"
#include "crypto/crypto_priv.h"

#define assert_hex(p, n, hex)                                 \
	do {                                                  \
		uint8_t want_[128];                           \
		assert_true((n) <= sizeof(want_));            \
		assert_true(nx_hex_parse((hex), want_, (n))); \
		assert_memory_equal((p), want_, (n));         \
	} while (0)

/* FIPS 180-4, the examples of NIST's "SHA256.pdf". */
static void test_sha256_vectors(void **state)
{
	static const char two[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	uint8_t got[NX_SHA256_LEN];

	(void)state;
	nx_sha256("abc", 3, got);
	assert_hex(got, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	nx_sha256(two, sizeof(two) - 1, got);
	assert_hex(got, 32, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	nx_sha256(NULL, 0, got);
	assert_hex(got, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void test_sha256_in_pieces_and_again(void **state)
{
	NX_AUTO(nx_sha256) *sha = nx_sha256_new();
	uint8_t got[NX_SHA256_LEN];
	uint8_t a[1000];

	(void)state;
	memset(a, 'a', sizeof(a));
	assert_non_null(sha);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 1000; i++)
			nx_sha256_update(sha, a, sizeof(a));
		nx_sha256_final(sha, got);
		assert_hex(got, 32,
			"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	}
}

/* RFC 4231 uses keys of other lengths; its case 2 key, zero-padded to 32, is the same HMAC key. */
static void test_hmac_vectors(void **state)
{
	struct nx_key key = {"Jefe"};
	struct nx_key key1 = {{0}};
	uint8_t got[NX_SHA256_LEN];

	(void)state;
	nx_hmac_sha256(&key, "what do ya want for nothing?", 28, got);
	assert_hex(got, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key1.b, 0x0b, 20);
	nx_hmac_sha256(&key1, "Hi There", 8, got);
	assert_hex(got, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
}

/* RFC 5869 A.1, A.2 (first bytes) and A.3. */
static void test_hkdf_vectors(void **state)
{
	uint8_t ikm[22], salt[13], info[10], okm[42];

	(void)state;
	memset(ikm, 0x0b, sizeof(ikm));
	for (size_t i = 0; i < sizeof(salt); i++)
		salt[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(info); i++)
		info[i] = (uint8_t)(0xf0 + i);
	nx_hkdf_full(nx_slice(salt, 13), nx_slice(ikm, 22), nx_slice(info, 10), okm, sizeof(okm));
	assert_hex(okm, 42,
		"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
	nx_hkdf_full(nx_slice("", 0), nx_slice(ikm, 22), nx_slice("", 0), okm, sizeof(okm));
	assert_hex(okm, 42,
		"8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

static void test_hkdf_separates_label_and_context(void **state)
{
	struct nx_key key = {"a key"}, a, b, c, again;

	(void)state;
	nx_hkdf(&key, "ab", nx_slice_str("c"), &a);
	nx_hkdf(&key, "a", nx_slice_str("bc"), &b);
	nx_hkdf(&key, "ab", nx_slice_str(""), &c);
	nx_hkdf(&key, "ab", nx_slice_str("c"), &again);
	assert_memory_not_equal(a.b, b.b, 32);
	assert_memory_not_equal(a.b, c.b, 32);
	assert_memory_equal(a.b, again.b, 32);
}

/* RFC 9106 5.3: the library we stand on; our own call has no secret and no associated data. */
static void test_argon2id_rfc9106(void **state)
{
	uint8_t out[32], pwd[32], salt[16], secret[8], ad[12];
	argon2_context ctx = {.out = out,
		.outlen = sizeof(out),
		.pwd = pwd,
		.pwdlen = sizeof(pwd),
		.salt = salt,
		.saltlen = sizeof(salt),
		.secret = secret,
		.secretlen = sizeof(secret),
		.ad = ad,
		.adlen = sizeof(ad),
		.t_cost = 3,
		.m_cost = 32,
		.lanes = 4,
		.threads = 4,
		.version = ARGON2_VERSION_13};

	(void)state;
	memset(pwd, 1, sizeof(pwd));
	memset(salt, 2, sizeof(salt));
	memset(secret, 3, sizeof(secret));
	memset(ad, 4, sizeof(ad));
	assert_int_equal(argon2id_ctx(&ctx), ARGON2_OK);
	assert_hex(out, 32, "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659");
}

static void test_argon2id_of_a_passphrase(void **state)
{
	struct nx_slice pass = nx_slice_str("password"), salt = nx_slice_str("somesalt");
	struct nx_err err = {0};
	struct nx_key key;

	(void)state;
	assert_ok(nx_argon2id(pass, salt, 2, 256, &key, &err), &err);
	assert_hex(key.b, 32, "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe");
	assert_rc(nx_argon2id(pass, nx_slice_str("short"), 2, 256, &key, &err), NX_E_INVAL);
	assert_rc(nx_argon2id(pass, salt, 0, 256, &key, &err), NX_E_INVAL);
}

static void test_merkle_blocks_are_prefixed_hashes(void **state)
{
	uint8_t msg[65] = {1}, left[32], right[32], got[32], want[32];

	(void)state;
	nx_merkle_leaf("", 0, got);
	assert_hex(got, 32, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
	nx_random(left, 32);
	nx_random(right, 32);
	memcpy(msg + 1, left, 32);
	memcpy(msg + 33, right, 32);
	nx_sha256(msg, sizeof(msg), want);
	nx_merkle_node(left, right, got);
	assert_memory_equal(got, want, 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha256_vectors),
		cmocka_unit_test(test_sha256_in_pieces_and_again),
		cmocka_unit_test(test_hmac_vectors),
		cmocka_unit_test(test_hkdf_vectors),
		cmocka_unit_test(test_hkdf_separates_label_and_context),
		cmocka_unit_test(test_argon2id_rfc9106),
		cmocka_unit_test(test_argon2id_of_a_passphrase),
		cmocka_unit_test(test_merkle_blocks_are_prefixed_hashes),
	};

	return nx_crypto_init(NULL) || cmocka_run_group_tests(tests, NULL, NULL);
}

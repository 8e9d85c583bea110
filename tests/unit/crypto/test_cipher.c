#include "nx_test.h"

#include <stdlib.h>

#include "base/enc.h"
#include "crypto/crypto_priv.h"

/* The AES-256 cases of the GCM submission to NIST (McGrew and Viega, appendix B, 13 to 16). */
static const struct gcm_case {
	const char *key, *nonce, *aad, *pt, *ct, *tag;
} gcm_cases[] = {
	{"0000000000000000000000000000000000000000000000000000000000000000",
		"000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
	{"0000000000000000000000000000000000000000000000000000000000000000",
		"000000000000000000000000", "", "00000000000000000000000000000000",
		"cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
	{"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
		"cafebabefacedbaddecaf888", "",
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
		"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
		"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
		"b094dac5d93471bdec1a502270e3cc6c"},
	{"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
		"cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
		"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
		"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
		"76fc6ece0f4e1768cddf8853bb2d551b"},
};

/* Both implementations, or the one there is. */
static size_t each_ops(const struct nx_gcm_ops *ret[2])
{
	ret[0] = &nx_gcm_gnutls;
	ret[1] = nx_gcm_ipsecmb();
	return ret[1] ? 2 : 1;
}

static void check_case(const struct nx_gcm_ops *ops, const struct gcm_case *c)
{
	size_t n = strlen(c->pt) / 2, n_aad = strlen(c->aad) / 2;
	uint8_t nonce[12], aad[64], pt[64], ct[64], want[64], tag[16], want_tag[16];
	NX_AUTO(nx_gcm) *gcm = NULL;
	struct nx_key key;

	assert_true(nx_hex_parse(c->key, key.b, 32) && nx_hex_parse(c->nonce, nonce, 12) &&
		nx_hex_parse(c->aad, aad, n_aad) && nx_hex_parse(c->pt, pt, n) &&
		nx_hex_parse(c->ct, want, n) && nx_hex_parse(c->tag, want_tag, 16));
	gcm = nx_gcm_new_with(ops, &key);
	assert_non_null(gcm);
	nx_gcm_seal(gcm, nonce, nx_slice(aad, n_aad), pt, n, ct, tag);
	assert_memory_equal(ct, want, n);
	assert_memory_equal(tag, want_tag, 16);
	assert_true(nx_gcm_open(gcm, nonce, nx_slice(aad, n_aad), ct, n, tag, ct));
	assert_memory_equal(ct, pt, n);
}

static void test_gcm_vectors(void **state)
{
	const struct nx_gcm_ops *ops[2];
	size_t n = each_ops(ops);

	(void)state;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < NX_ARRAY_LEN(gcm_cases); k++)
			check_case(ops[i], &gcm_cases[k]);
}

/* Every length through block and vector boundaries, out of place and in place. */
static void test_gcm_implementations_agree(void **state)
{
	enum {
		MAX = 1100
	};
	NX_AUTO(nx_gcm) *a = NULL, *b = NULL;
	uint8_t pt[MAX], x[MAX], y[MAX], tx[16], ty[16], nonce[12];
	struct nx_key key;

	(void)state;
	nx_random(&key, sizeof(key));
	nx_random(pt, sizeof(pt));
	nx_random(nonce, sizeof(nonce));
	a = nx_gcm_new_with(&nx_gcm_gnutls, &key);
	b = nx_gcm_new_with(nx_gcm_chosen(), &key);
	assert_true(a && b);
	for (size_t n = 0; n < MAX; n += n < 600 ? 1 : 37) {
		struct nx_slice aad = nx_slice(pt, n % 67);

		nx_gcm_seal(a, nonce, aad, pt, n, x, tx);
		memcpy(y, pt, n);
		nx_gcm_seal(b, nonce, aad, y, n, y, ty);
		assert_memory_equal(x, y, n);
		assert_memory_equal(tx, ty, 16);
		assert_true(nx_gcm_open(a, nonce, aad, y, n, ty, y));
		assert_true(nx_gcm_open(b, nonce, aad, x, n, tx, x));
		assert_memory_equal(y, pt, n);
		assert_memory_equal(x, pt, n);
	}
}

static void test_gcm_open_refuses_any_change_and_zeroes(void **state)
{
	static const uint8_t zero[100];
	const struct nx_gcm_ops *ops[2];
	size_t n_ops = each_ops(ops);
	uint8_t nonce[12] = {7}, pt[100], ct[100], out[100], tag[16];
	struct nx_slice aad = nx_slice_str("aad");
	struct nx_key key;

	(void)state;
	nx_random(&key, sizeof(key));
	nx_random(pt, sizeof(pt));
	for (size_t i = 0; i < n_ops; i++) {
		NX_AUTO(nx_gcm) *gcm = nx_gcm_new_with(ops[i], &key);

		nx_gcm_seal(gcm, nonce, aad, pt, sizeof(pt), ct, tag);
		tag[15] ^= 1;
		assert_false(nx_gcm_open(gcm, nonce, aad, ct, sizeof(ct), tag, out));
		assert_memory_equal(out, zero, sizeof(out));
		tag[15] ^= 1;
		ct[99] ^= 0x80;
		assert_false(nx_gcm_open(gcm, nonce, aad, ct, sizeof(ct), tag, out));
		ct[99] ^= 0x80;
		assert_false(nx_gcm_open(gcm, nonce, nx_slice_str("aae"), ct, 100, tag, out));
		assert_false(nx_gcm_open(gcm, nonce, aad, ct, 99, tag, out));
		assert_true(nx_gcm_open(gcm, nonce, aad, ct, sizeof(ct), tag, out));
		assert_memory_equal(out, pt, sizeof(out));
	}
}

static void test_gcm_long_segment(void **state)
{
	size_t n = NX_SEGMENT_LEN;
	NX_AUTO_MEM uint8_t *pt = malloc(n), *x = malloc(n);
	const struct nx_gcm_ops *ops[2];
	uint8_t nonce[12] = {0}, first[16], tag[16];
	size_t n_ops = each_ops(ops);
	struct nx_key key = {"k"};

	(void)state;
	assert_true(pt && x);
	for (size_t i = 0; i < n; i++)
		pt[i] = (uint8_t)(i * 31 + i / 251);
	for (size_t i = 0; i < n_ops; i++) {
		NX_AUTO(nx_gcm) *gcm = nx_gcm_new_with(ops[i], &key);

		nx_gcm_seal(gcm, nonce, nx_slice("", 0), pt, n, x, i ? tag : first);
		assert_true(nx_gcm_open(gcm, nonce, nx_slice("", 0), x, n, first, x));
		assert_memory_equal(x, pt, n);
	}
	if (n_ops == 2)
		assert_memory_equal(first, tag, 16);
}

static void test_seal_opens_only_as_sealed(void **state)
{
	uint8_t sealed[5 + NX_SEAL_OVERHEAD], again[5 + NX_SEAL_OVERHEAD], pt[5];
	struct nx_slice aad = nx_slice_str("what");
	struct nx_key key = {"k"};
	struct nx_err err = {0};

	(void)state;
	assert_ok(nx_seal(&key, aad, "hello", 5, sealed, &err), &err);
	assert_ok(nx_seal(&key, aad, "hello", 5, again, &err), &err);
	assert_memory_not_equal(sealed, again, sizeof(sealed)); /* a nonce of its own */
	assert_ok(nx_seal_open(&key, aad, sealed, sizeof(sealed), pt, &err), &err);
	assert_memory_equal(pt, "hello", 5);
	for (size_t i = 0; i < sizeof(sealed); i++) {
		sealed[i] ^= 1;
		assert_rc(nx_seal_open(&key, aad, sealed, sizeof(sealed), pt, &err), NX_E_CORRUPT);
		sealed[i] ^= 1;
	}
	for (size_t n = 0; n < sizeof(sealed); n++)
		assert_rc(nx_seal_open(&key, aad, sealed, n, pt, &err), NX_E_CORRUPT);
	assert_rc(nx_seal_open(&key, nx_slice("", 0), sealed, sizeof(sealed), pt, &err),
		NX_E_CORRUPT);
}

/* RFC 3394 4.6 */
static void test_key_wrap_vector(void **state)
{
	struct nx_key kek, key, got = {"untouched"};
	uint8_t wrapped[NX_KW_LEN], want[NX_KW_LEN];
	struct nx_err err = {0};

	(void)state;
	assert_true(nx_hex_parse("000102030405060708090a0b0c0d0e0f"
				 "101112131415161718191a1b1c1d1e1f",
		kek.b, 32));
	assert_true(nx_hex_parse("00112233445566778899aabbccddeeff"
				 "000102030405060708090a0b0c0d0e0f",
		key.b, 32));
	assert_true(nx_hex_parse("28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326"
				 "cbc7f0e71a99f43bfb988b9b7a02dd21",
		want, NX_KW_LEN));
	nx_kw_wrap(&kek, &key, wrapped);
	assert_memory_equal(wrapped, want, NX_KW_LEN);
	wrapped[39] ^= 1;
	assert_rc(nx_kw_unwrap(&kek, wrapped, &got, &err), NX_E_KEY);
	assert_string_equal((char *)got.b, "untouched");
	assert_ok(nx_kw_unwrap(&kek, want, &got, &err), &err);
	assert_memory_equal(got.b, key.b, 32);
}

/* RFC 8032 7.1, tests 1 to 3 */
static void test_ed25519_vectors(void **state)
{
	static const struct {
		const char *seed, *pub, *msg, *sig;
	} cases[] = {
		{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
			"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
			"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
			"5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
		{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
			"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
			"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
			"085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
		{"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
			"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
			"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
			"18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
	};

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		struct nx_slice msg;
		uint8_t pub[32], got[32], sig[64], want[64], m[2];
		struct nx_err err = {0};
		struct nx_key seed;

		msg = nx_slice(m, strlen(cases[i].msg) / 2);
		assert_true(nx_hex_parse(cases[i].seed, seed.b, 32) &&
			nx_hex_parse(cases[i].pub, pub, 32) &&
			nx_hex_parse(cases[i].msg, m, msg.n) &&
			nx_hex_parse(cases[i].sig, want, 64));
		nx_ed25519_public(&seed, got);
		assert_memory_equal(got, pub, 32);
		assert_ok(nx_ed25519_sign(&seed, msg, sig, &err), &err);
		assert_memory_equal(sig, want, 64);
		assert_true(nx_ed25519_verify(pub, msg, sig));
		sig[0] ^= 1;
		assert_false(nx_ed25519_verify(pub, msg, sig));
		assert_false(nx_ed25519_verify(pub, nx_slice_str("other"), want));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gcm_vectors),
		cmocka_unit_test(test_gcm_implementations_agree),
		cmocka_unit_test(test_gcm_open_refuses_any_change_and_zeroes),
		cmocka_unit_test(test_gcm_long_segment),
		cmocka_unit_test(test_seal_opens_only_as_sealed),
		cmocka_unit_test(test_key_wrap_vector),
		cmocka_unit_test(test_ed25519_vectors),
	};

	return nx_crypto_init(NULL) || cmocka_run_group_tests(tests, NULL, NULL);
}

#include "ledger/ledger_priv.h"

#include <assert.h>

#include "base/enc.h"

/*
 * C2SP tlog-checkpoint inside a C2SP signed-note:
 *
 *	<origin>\n <size>\n <base64 root>\n nx-map/1 <base64 map root>\n \n
 *	— <origin> <base64 of key hash and Ed25519 signature>\n
 *
 * The signature covers the lines before the empty one, with their line feeds.
 */

#define MAP_LINE "nx-map/1 "
#define SIG_LINE "\xe2\x80\x94 " /* U+2014, space */

enum {
	KEY_HASH_LEN = 4,
	KEY_TYPE_ED25519 = 1,
	HASH_B64_LEN = NX_BASE64_LEN(NX_SHA256_LEN),
	SIG_B64_LEN = NX_BASE64_LEN(KEY_HASH_LEN + NX_ED25519_SIG_LEN),
	SIZE_DIGITS = 20
};

static void put_base64(struct nx_buf *out, const void *p, size_t n)
{
	char text[SIG_B64_LEN + 1];

	nx_base64_format(p, n, text);
	nx_buf_put_str(out, text);
}

void nx_note_key_hash(const char *name, const uint8_t pub[NX_ED25519_PUBLIC_LEN], uint8_t ret[4])
{
	uint8_t msg[ORIGIN_MAX + 2 + NX_ED25519_PUBLIC_LEN];
	uint8_t hash[NX_SHA256_LEN];
	size_t n = strlen(name);

	assert(n <= ORIGIN_MAX);  /* nx_ledger_open() refuses longer ones */
	memcpy(msg, name, n + 1); /* its end is written over */
	msg[n] = '\n';
	msg[n + 1] = KEY_TYPE_ED25519;
	memcpy(msg + n + 2, pub, NX_ED25519_PUBLIC_LEN);
	nx_sha256(msg, n + 2 + NX_ED25519_PUBLIC_LEN, hash);
	memcpy(ret, hash, KEY_HASH_LEN);
}

nx_rc nx_note_format(const char *origin, const struct nx_key *seed,
	const struct nx_checkpoint *checkpoint, struct nx_buf *out, struct nx_err *err)
{
	uint8_t sig[KEY_HASH_LEN + NX_ED25519_SIG_LEN];
	uint8_t pub[NX_ED25519_PUBLIC_LEN];
	size_t start = out->len;
	nx_rc rc;

	nx_buf_printf(out, "%s\n%llu\n", origin, (unsigned long long)checkpoint->size);
	put_base64(out, checkpoint->root, NX_SHA256_LEN);
	nx_buf_put_str(out, "\n" MAP_LINE);
	put_base64(out, checkpoint->map_root, NX_SHA256_LEN);
	nx_buf_put_str(out, "\n");
	rc = nx_buf_check(out, err);
	if (rc)
		return rc;
	nx_ed25519_public(seed, pub);
	nx_note_key_hash(origin, pub, sig);
	rc = nx_ed25519_sign(
		seed, nx_slice(out->data + start, out->len - start), sig + KEY_HASH_LEN, err);
	if (rc)
		return nx_err_prefix(err, rc, "sign checkpoint");
	nx_buf_printf(out, "\n" SIG_LINE "%s ", origin);
	put_base64(out, sig, sizeof(sig));
	nx_buf_put_str(out, "\n");
	return nx_buf_check(out, err);
}

/* The next line, without its line feed. */
static bool line_next(struct nx_slice *text, struct nx_slice *ret)
{
	const uint8_t *lf = text->n ? memchr(text->p, '\n', text->n) : NULL;

	if (!lf)
		return false;
	*ret = nx_slice(text->p, (size_t)(lf - text->p));
	*text = nx_slice(lf + 1, text->n - ret->n - 1);
	return true;
}

static bool hash_parse(struct nx_slice b64, uint8_t ret[NX_SHA256_LEN])
{
	uint8_t hash[NX_SHA256_LEN + 1];
	size_t n;

	if (b64.n != HASH_B64_LEN ||
		!nx_base64_parse((const char *)b64.p, b64.n, hash, sizeof(hash), &n) ||
		n != NX_SHA256_LEN)
		return false;
	memcpy(ret, hash, NX_SHA256_LEN);
	return true;
}

static bool size_parse(struct nx_slice digits, uint64_t *ret)
{
	uint64_t v = 0;

	if (digits.n == 0 || digits.n > SIZE_DIGITS || (digits.n > 1 && digits.p[0] == '0'))
		return false;
	for (size_t i = 0; i < digits.n; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(digits.p[i] - '0'), &v))
			return false;
	}
	*ret = v;
	return true;
}

static bool starts_with(struct nx_slice *s, const char *prefix)
{
	size_t n = strlen(prefix);

	if (s->n < n || memcmp(s->p, prefix, n) != 0)
		return false;
	*s = nx_slice(s->p + n, s->n - n);
	return true;
}

static bool signature_valid(struct nx_slice line, struct nx_slice body, const char *origin,
	const uint8_t pub[NX_ED25519_PUBLIC_LEN])
{
	uint8_t sig[KEY_HASH_LEN + NX_ED25519_SIG_LEN + 1];
	uint8_t key_hash[KEY_HASH_LEN];
	size_t n;

	if (!starts_with(&line, SIG_LINE) || !starts_with(&line, origin) ||
		!starts_with(&line, " ") || line.n != SIG_B64_LEN ||
		!nx_base64_parse((const char *)line.p, line.n, sig, sizeof(sig), &n) ||
		n != KEY_HASH_LEN + NX_ED25519_SIG_LEN)
		return false;
	nx_note_key_hash(origin, pub, key_hash);
	return memcmp(sig, key_hash, KEY_HASH_LEN) == 0 &&
		nx_ed25519_verify(pub, body, sig + KEY_HASH_LEN);
}

nx_rc nx_note_parse(struct nx_slice text, const char *origin,
	const uint8_t pub[NX_ED25519_PUBLIC_LEN], struct nx_checkpoint *ret, struct nx_err *err)
{
	struct nx_slice rest = text, line, root, map;
	struct nx_checkpoint checkpoint;
	size_t body_len;

	if (!line_next(&rest, &line) || !nx_slice_eq(line, nx_slice_str(origin)))
		return nx_err_set(err, NX_E_CORRUPT, "checkpoint of another origin");
	if (!line_next(&rest, &line) || !size_parse(line, &checkpoint.size) ||
		!line_next(&rest, &root) || !hash_parse(root, checkpoint.root) ||
		!line_next(&rest, &map) || !starts_with(&map, MAP_LINE) ||
		!hash_parse(map, checkpoint.map_root))
		return nx_err_set(err, NX_E_CORRUPT, "checkpoint does not parse");
	body_len = text.n - rest.n;
	if (!line_next(&rest, &line) || line.n != 0)
		return nx_err_set(err, NX_E_CORRUPT, "checkpoint has unknown lines");
	while (line_next(&rest, &line)) {
		if (!signature_valid(line, nx_slice(text.p, body_len), origin, pub))
			continue;
		*ret = checkpoint;
		return NX_OK;
	}
	return nx_err_set(err, NX_E_CORRUPT, "checkpoint signature does not verify");
}

#include "lifecycle/trail_priv.h"

#include "base/enc.h"
#include "base/log.h"
#include "crypto/crypto.h"
#include "keys/keys.h"

enum {
	STATEMENT_MAX = 16 * 1024 * 1024
};

nx_rc trail_record(struct nx_archive *archive, const struct nx_principal *who, unsigned action,
	enum nx_outcome outcome, struct nx_detail *detail, struct nx_err *err)
{
	struct nx_entry_draft draft = {
		.action = action, .outcome = outcome, .principal = who->name};
	nx_rc rc = nx_detail_end(detail, who->peer, &draft, err);

	return rc ? rc : nx_archive_record(archive, &draft, err);
}

nx_rc trail_guard(struct nx_archive *archive, const struct nx_principal *who, enum nx_perm perm,
	const char *collection, const char *what, struct nx_err *err)
{
	nx_rc rc = nx_access_check(who, perm, collection, err);
	NX_AUTO_DONE(nx_detail) detail;
	struct nx_err why;

	nx_detail_begin(&detail);
	if (!rc)
		return NX_OK;
	nx_json_kv_str(&detail.json, "what", what);
	if (trail_record(archive, who, NX_ACTION_ACCESS_DENY, NX_OUTCOME_MINOR, &detail, &why))
		nx_log_err(NX_LOG_ERROR, "lifecycle", "ledger.record", &why);
	return rc;
}

/* ---- signed statements ---- */

static const char head[] = "{\"statement\":";
static const char key_label[] = ",\"key\":\"";
static const char signature_label[] = "\",\"signature\":\"";
static const char tail[] = "\"}\n";

enum {
	LABELS_LEN = sizeof(key_label) + sizeof(signature_label) + sizeof(tail) - 3,
	PUBLIC_HEX = 2 * NX_ED25519_PUBLIC_LEN,
	SIG_HEX = 2 * NX_ED25519_SIG_LEN,
	AFTER_LEN = LABELS_LEN + PUBLIC_HEX + SIG_HEX,
};

static nx_rc message(
	const char *context, struct nx_slice statement, struct nx_buf *out, struct nx_err *err)
{
	nx_buf_init(out, STATEMENT_MAX, 0);
	nx_buf_put_str(out, context);
	nx_buf_put_u8(out, '\n');
	nx_buf_put_slice(out, statement);
	return nx_buf_check(out, err);
}

nx_rc statement_sign(struct nx_keys *keys, const char *key_name, const char *context,
	struct nx_slice statement, struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) seed = {{0}};
	NX_AUTO_DONE(nx_buf) msg = {0};
	uint8_t pub[NX_ED25519_PUBLIC_LEN], sig[NX_ED25519_SIG_LEN];
	char pub_hex[PUBLIC_HEX + 1], sig_hex[SIG_HEX + 1];
	nx_rc rc = nx_keys_site(keys, key_name, &seed, err);

	if (!rc)
		rc = nx_keys_sync(keys, err); /* it may be new, and must not be lost again */
	if (!rc)
		rc = message(context, statement, &msg, err);
	if (!rc)
		rc = nx_ed25519_sign(&seed, nx_buf_slice(&msg), sig, err);
	if (rc)
		return rc;
	nx_ed25519_public(&seed, pub);
	nx_hex_format(pub, sizeof(pub), pub_hex);
	nx_hex_format(sig, sizeof(sig), sig_hex);
	nx_buf_put_str(out, head);
	nx_buf_put_slice(out, statement);
	nx_buf_put_str(out, key_label);
	nx_buf_put_str(out, pub_hex);
	nx_buf_put_str(out, signature_label);
	nx_buf_put_str(out, sig_hex);
	nx_buf_put_str(out, tail);
	return nx_buf_check(out, err);
}

/* The digits at `at`; the fixed text around them has been compared. */
static bool hex_at(struct nx_slice text, size_t at, void *ret, size_t n)
{
	char digits[SIG_HEX + 1];

	memcpy(digits, text.p + at, 2 * n);
	digits[2 * n] = 0;
	return nx_hex_parse(digits, ret, n);
}

static bool after_parse(
	struct nx_slice after, uint8_t pub[NX_ED25519_PUBLIC_LEN], uint8_t sig[NX_ED25519_SIG_LEN])
{
	size_t key_at = sizeof(key_label) - 1;
	size_t sig_at = key_at + PUBLIC_HEX + sizeof(signature_label) - 1;

	return memcmp(after.p, key_label, sizeof(key_label) - 1) == 0 &&
		memcmp(after.p + key_at + PUBLIC_HEX, signature_label,
			sizeof(signature_label) - 1) == 0 &&
		memcmp(after.p + sig_at + SIG_HEX, tail, sizeof(tail) - 1) == 0 &&
		hex_at(after, key_at, pub, NX_ED25519_PUBLIC_LEN) &&
		hex_at(after, sig_at, sig, NX_ED25519_SIG_LEN);
}

bool statement_split(struct nx_slice text, struct nx_slice *ret_statement,
	uint8_t ret_pub[NX_ED25519_PUBLIC_LEN], uint8_t ret_sig[NX_ED25519_SIG_LEN])
{
	size_t head_len = sizeof(head) - 1;

	if (text.n < head_len + AFTER_LEN || memcmp(text.p, head, head_len) != 0 ||
		!after_parse(nx_slice(text.p + text.n - AFTER_LEN, AFTER_LEN), ret_pub, ret_sig))
		return false;
	*ret_statement = nx_slice(text.p + head_len, text.n - head_len - AFTER_LEN);
	return true;
}

nx_rc statement_open(struct nx_keys *keys, const char *key_name, const char *context,
	struct nx_slice text, struct nx_slice *ret_statement, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) seed = {{0}};
	NX_AUTO_DONE(nx_buf) msg = {0};
	uint8_t pub[NX_ED25519_PUBLIC_LEN], named[NX_ED25519_PUBLIC_LEN], sig[NX_ED25519_SIG_LEN];
	struct nx_slice statement;
	nx_rc rc;

	if (!statement_split(text, &statement, named, sig))
		return nx_err_set(err, NX_E_CORRUPT, "not a signed statement");
	rc = nx_keys_site(keys, key_name, &seed, err);
	if (!rc)
		rc = message(context, statement, &msg, err);
	if (rc)
		return rc;
	nx_ed25519_public(&seed, pub);
	if (memcmp(pub, named, sizeof(pub)) != 0 ||
		!nx_ed25519_verify(pub, nx_buf_slice(&msg), sig))
		return nx_err_set(err, NX_E_CORRUPT, "the statement was not signed by this site");
	*ret_statement = statement;
	return NX_OK;
}

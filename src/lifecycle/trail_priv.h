/*
 * trail_priv.h - asking for a permission and leaving an entry in the ledger; signed statements.
 *
 * Layer:   3 (lifecycle), private.
 * Threads: safe.
 * PHI:     none.
 */
#ifndef NX_LIFECYCLE_TRAIL_PRIV_H
#define NX_LIFECYCLE_TRAIL_PRIV_H

#include "access/access.h"
#include "archive/archive.h"
#include "base/buf.h"
#include "base/json.h"
#include "crypto/crypto.h"
#include "ledger/detail.h"
#include "ledger/ledger.h"

struct nx_keys;

/* NX_E_DENIED, recorded, or NX_OK. */
NX_NODISCARD nx_rc trail_guard(struct nx_archive *archive, const struct nx_principal *who,
	enum nx_perm perm, const char *collection, const char *what, struct nx_err *err);
/* Ends `detail`. */
NX_NODISCARD nx_rc trail_record(struct nx_archive *archive, const struct nx_principal *who,
	unsigned action, enum nx_outcome outcome, struct nx_detail *detail, struct nx_err *err);

/*
 * {"statement":<statement>,"key":"<hex>","signature":"<hex>"}: Ed25519 by the named site key over
 * `context`, a line feed, and the bytes of the statement as they stand.
 */
NX_NODISCARD nx_rc statement_sign(struct nx_keys *keys, const char *key_name, const char *context,
	struct nx_slice statement, struct nx_buf *out, struct nx_err *err);
/* The parts of such a text, unverified; false when it has another form. */
bool statement_split(struct nx_slice text, struct nx_slice *ret_statement,
	uint8_t ret_pub[NX_ED25519_PUBLIC_LEN], uint8_t ret_sig[NX_ED25519_SIG_LEN]);
/* The statement within `text`, if `key_name` has signed it; else NX_E_CORRUPT. */
NX_NODISCARD nx_rc statement_open(struct nx_keys *keys, const char *key_name, const char *context,
	struct nx_slice text, struct nx_slice *ret_statement, struct nx_err *err);

#endif

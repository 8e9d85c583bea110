/*
 * access.h - who may: principals, permissions and the decision point that every route and service
 * asks.
 *
 * Layer:   2 (access).  Uses base, crypto, catalog.
 * Threads: safe.
 * PHI:     none.
 */
#ifndef NX_ACCESS_ACCESS_H
#define NX_ACCESS_ACCESS_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

struct nx_cat;
struct nx_err;

/* What a route or service needs.  A table row without one (0) does not pass its unit test. */
enum nx_perm {
	NX_PERM_NONE_ = 0,
	NX_PERM_PUBLIC, /* liveness only */
	NX_PERM_VERIFY, /* C-ECHO; which services there are */
	NX_PERM_STORE,
	NX_PERM_QUERY,
	NX_PERM_READ,
	NX_PERM_DELETE,
	NX_PERM_DEIDENTIFY,
	NX_PERM_RELEASE,
	NX_PERM_LEASE,
	NX_PERM_ERASE,
	NX_PERM_AUDIT,      /* read the ledger */
	NX_PERM_ADMIN,      /* configuration, keys, backup */
	NX_PERM_MONITOR,    /* metrics, status */
	NX_PERM_QUARANTINE, /* look into quarantine, take in again, discard; settle conflicts */
	NX_PERM_WORKLIST,   /* what is scheduled, and reports of what is performed */
	NX_PERM_EDIT,       /* correct what instances say, and whose they are */
	NX_PERM_REJECT,     /* by a note; look at what is rejected, and use it again */
	NX_PERM_COUNT_
};

enum nx_principal_kind {
	NX_PRINCIPAL_SYSTEM = 1,
	NX_PRINCIPAL_TOKEN,
	NX_PRINCIPAL_AE
};

struct nx_principal {
	enum nx_principal_kind kind;
	char name[NX_LIMIT_NAME + 1];       /* "admin", "AE:CT01" */
	char role[NX_LIMIT_NAME + 1];       /* "admin", "modality", "reader" */
	char collection[NX_LIMIT_NAME + 1]; /* bound to this one; "" : any */
	char via[NX_LIMIT_NAME + 1]; /* role of the DICOM peer that a user works at; "": none */
	char peer[64];               /* address */
	char session[33];            /* random, for grouping reads */
	uint8_t token[32];           /* the hash under which a token is known; else zeros */
};

/* "Bearer <token>".  NX_E_UNAUTHENTICATED. */
NX_NODISCARD nx_rc nx_access_bearer(struct nx_cat *cat, const char *authorization, const char *peer,
	struct nx_principal *ret, struct nx_err *err);
/* The token alone, wherever it came from: any bytes.  NX_E_UNAUTHENTICATED. */
NX_NODISCARD nx_rc nx_access_token(struct nx_cat *cat, struct nx_slice token, const char *peer,
	struct nx_principal *ret, struct nx_err *err);
/* Is the token that the principal came with still good?  Others are.  NX_E_UNAUTHENTICATED. */
NX_NODISCARD nx_rc nx_access_still(
	struct nx_cat *cat, const struct nx_principal *who, struct nx_err *err);
/* A user at a DICOM peer: bound to its collection, and may what both may. */
void nx_access_at(struct nx_principal *user, const struct nx_principal *ae);
/* A DIMSE peer by calling and called AE title and address.  NX_E_DENIED: not on the allow-list. */
NX_NODISCARD nx_rc nx_access_ae(struct nx_cat *cat, const char *calling, const char *called,
	const char *peer, struct nx_principal *ret, struct nx_err *err);
/* A new token (43 characters, 256 bits) and its hash for NX_T_PRINCIPAL. */
void nx_access_token_new(char ret_token[48], uint8_t ret_hash[32]);

bool nx_access_role_known(const char *role);
/* Is it only for who has a collection: a DICOM peer, not a token? */
bool nx_access_role_bound(const char *role);

struct nx_decision {
	bool permit;
	const char *rule; /* the rule that said so */
};

/* Default deny.  `collection` may be NULL for what is not in one. */
void nx_access_decide(const struct nx_principal *who, enum nx_perm perm, const char *collection,
	struct nx_decision *ret);
/* NX_E_DENIED with the rule, or NX_OK. */
NX_NODISCARD nx_rc nx_access_check(const struct nx_principal *who, enum nx_perm perm,
	const char *collection, struct nx_err *err);

#endif

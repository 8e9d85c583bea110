/*
 * deid_priv.h - what the files of this module share.
 *
 * Layer:   3 (deid).
 * Threads: each struct belongs to one call.
 * PHI:     yes; derivation keys.
 */
#ifndef NX_DEID_DEID_PRIV_H
#define NX_DEID_DEID_PRIV_H

#include "base/arena.h"
#include "base/secret.h"
#include "base/slice.h"
#include "deid/deid.h"
#include "dicom/dicom.h"

struct nx_collection;

/* ---- rules (profile.c) ---- */

enum deid_action {
	DEID_REMOVE,
	DEID_KEEP,
	DEID_EMPTY, /* zero length: type 2 attributes stay present (PS3.5 7.4.3) */
	DEID_PSEUDONYM,
	DEID_UID,       /* replaced unless registered in PS3.6 */
	DEID_CLASS_UID, /* names a class or syntax: kept when it is a UID */
	DEID_DATE,
	DEID_DATETIME,
	DEID_TIME,
	DEID_CODE,   /* kept when the value is of the repertoire of CS */
	DEID_NUMBER, /* likewise DS, IS */
	DEID_RECURSE
};

enum deid_action deid_action_of(const struct nx_elem *e);
/* False: do not copy, and why. */
bool deid_may_copy(const struct nx_dataset *ds, const char *ts_uid, struct nx_arena *arena,
	enum nx_deid_skip *ret_why);

/* ---- derivations (pseudonym.c) ---- */

enum {
	DEID_PSEUDONYM_LEN = 3 + 16, /* "NX-", 80 bits in base32 */
	DEID_TAG_LEN = 32
};

/* One subject in one destination collection. */
struct deid_subject {
	struct nx_key key; /* the collection's, under the vault domain */
	uint64_t subject;
	char pseudonym[DEID_PSEUDONYM_LEN + 1];
	int shift_days; /* added to every date */
};

void deid_subject_init(struct deid_subject *s, const struct nx_key *vault,
	const struct nx_collection *to, uint64_t subject);
void deid_subject_done(struct deid_subject *s);
NX_DEFINE_AUTO_DONE(deid_subject);
/* "2.25." and a UUID as decimal (PS3.5 B.2); the same for equal input. */
void deid_uid(const struct deid_subject *s, struct nx_slice uid, char ret[NX_LIMIT_UID + 1]);
/* Key of a vault row. */
void deid_vault_tag(const struct deid_subject *s, const char *kind, const char *name,
	uint8_t ret[DEID_TAG_LEN]);
/* "YYYYMMDD" moved by the subject's shift; false when it is no date. */
bool deid_date(const struct deid_subject *s, const char from[8], char ret[8]);

/* ---- the data set (apply.c) ---- */

/* In place; new memory from `arena`. */
NX_NODISCARD nx_rc deid_apply(const struct deid_subject *s, struct nx_dataset *ds,
	struct nx_arena *arena, struct nx_err *err);

#endif

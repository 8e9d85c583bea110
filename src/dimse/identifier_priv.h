/*
 * identifier_priv.h - the identifiers of C-FIND, C-GET and C-MOVE: keys of a level (PS3.4 C.4).
 *
 * Layer:   4 (dimse).  Uses retrieve, dicom.
 * Threads: one thread at a time.
 * PHI:     keys; none of their values goes into errors.
 */
#ifndef NX_DIMSE_IDENTIFIER_PRIV_H
#define NX_DIMSE_IDENTIFIER_PRIV_H

#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"
#include "retrieve/retrieve.h"

struct nx_arena;
struct nx_assoc;
struct nx_dimse_op;

/* Information models (PS3.4 C.3). */
enum nx_model {
	NX_MODEL_NONE,
	NX_MODEL_PATIENT,
	NX_MODEL_STUDY,
	NX_MODEL_PATIENT_STUDY /* retired */
};

/* The model of a SOP class, if it is one for requests of this command field. */
enum nx_model nx_model_of(const char *sop_class, uint16_t field);

/* Identifiers are read and written in these transfer syntaxes. */
bool nx_identifier_ts(const char *uid);

/* Columns of the service table: the data set is gathered in op->state. */
void nx_identifier_begin(struct nx_assoc *assoc, struct nx_dimse_op *op);
void nx_identifier_data(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_slice bytes);
void nx_identifier_drop(struct nx_dimse_op *op);
struct nx_slice nx_identifier_bytes(const struct nx_dimse_op *op);

struct nx_identifier {
	unsigned level; /* enum nx_query_level */
	const char *level_word;
	const char *charset;
	struct nx_find_key keys[NX_LIMIT_QUERY_KEYS]; /* with a value, that can be matched */
	size_t n_keys;
	struct nx_find_want *wants; /* all, by tag */
	size_t n_wants;
	struct nx_dataset *sequences; /* keys that are sequences, with an item or without */
	bool partly;        /* there were keys that are not matched, or not given in answers */
	uint32_t offending; /* the tag for which it was refused, or 0 */
};

/*
 * Keys in UTF-8; memory from `arena`.  `relational`: keys of the levels above may be missing.
 * NX_E_INVAL, with the tag in ret->offending: no identifier of the model.  NX_E_MALFORMED,
 * NX_E_LIMIT.
 */
NX_NODISCARD nx_rc nx_identifier_parse(struct nx_slice bytes, const char *ts_uid,
	enum nx_model model, bool relational, struct nx_arena *arena, struct nx_identifier *ret,
	struct nx_err *err);
/* The value of the unique key of a level; "" where there is none. */
const char *nx_identifier_unique(const struct nx_identifier *id, unsigned level);
uint32_t nx_identifier_unique_tag(unsigned level);
/* Statuses of PS3.4 C.4.1.1.4 for what the general code of an error does not say. */
unsigned nx_identifier_status(nx_rc rc);

#endif

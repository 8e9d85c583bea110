/*
 * find_priv.h - the attributes in results of queries, for every form they are given in.
 *
 * Layer:   3 (retrieve).
 * Threads: constant.
 * PHI:     yes.
 */
#ifndef NX_RETRIEVE_FIND_PRIV_H
#define NX_RETRIEVE_FIND_PRIV_H

#include "retrieve/retrieve_priv.h"

enum find_kind {
	FIND_TEXT,   /* const char *; left out where "known" is asked for and it is not */
	FIND_NUMBER, /* int64_t; 0 is "not known" */
	FIND_COUNT   /* int64_t of the match: of patients only */
};

struct find_column {
	uint8_t level;
	uint8_t kind;
	bool always; /* R: present without a value, too */
	bool key;    /* U: in every result of this level and below */
	uint32_t tag;
	size_t at;
};

/* ---- find_sequences.c ---- */

/* The sequences of one query, read from headers. */
struct look {
	struct nx_retrieve *r;
	const struct nx_find *find;
	struct nx_arena *arena;  /* of one match */
	struct nx_arena *header; /* of one header */
	struct nx_buf bytes;     /* what is kept of one */
	unsigned n;              /* headers read */
};
NX_NODISCARD nx_rc look_init(
	struct look *look, struct nx_retrieve *r, const struct nx_find *find, struct nx_err *err);
void look_done(struct look *look);
/* Does the match have what the keys say?  *ret: what they name of it, until the next call. */
NX_NODISCARD nx_rc look_at(struct look *look, const struct nx_match *m, bool *ret_matches,
	struct nx_dataset *ret, struct nx_err *err);

/* ---- find_columns.c ---- */

extern const struct find_column find_columns[];
extern const size_t find_columns_n;

/* The column of an attribute that results of this level have; NULL: none. */
const struct find_column *find_column(unsigned level, uint32_t tag);
const char *find_text(const struct find_column *c, const struct nx_match *m); /* never NULL */
int64_t find_number(const struct find_column *c, const struct nx_match *m);

#endif

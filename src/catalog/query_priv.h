/*
 * query_priv.h - the conditions that keys of a query become, for every table that is searched.
 *
 * Layer:   2 (catalog).
 * Threads: each struct belongs to one call.
 * PHI:     values of keys.
 */
#ifndef NX_CATALOG_QUERY_PRIV_H
#define NX_CATALOG_QUERY_PRIV_H

#include "catalog/catalog_priv.h"

enum query_kind {
	KIND_TEXT,       /* single value, wildcards; case counts */
	KIND_CODE,       /* list of the same */
	KIND_UID,        /* list */
	KIND_NAME,       /* folded column at hand */
	KIND_NAME_FOLD,  /* folded as it is read */
	KIND_DATE,       /* value or range */
	KIND_TIME,       /* value or range, of any precision */
	KIND_INT,        /* IS, US */
	KIND_MODALITIES, /* list against a list */
	KIND_ITEM_NAME   /* UID list, through the hash index */
};

struct query_key {
	uint32_t tag;
	uint8_t level; /* of the attribute; it is matched there and below */
	uint8_t kind;
	const char *column;
};

/* A statement as it grows. */
struct query_build {
	struct nx_buf sql;
	struct nx_arena *arena; /* bound values */
	struct nx_val *args;
	size_t n_args;
	bool by_name; /* a range of names leads: rows come in that order */
	bool by_date;
	struct nx_err *err;
};

/* The next parameter, bound to `val`; prints its place. */
NX_NODISCARD nx_rc nx_query_put_arg(struct query_build *b, struct nx_val val);
/* The condition that the column is like `value`, which is trimmed and not universal.  NX_E_INVAL:
 * it cannot be matched. */
NX_NODISCARD nx_rc nx_query_put_match(struct query_build *b, const struct nx_query *query,
	const struct query_key *key, struct nx_slice value);
struct nx_slice nx_query_trim(struct nx_slice s);
/* Universal matching: no value, or only "*" (PS3.4 C.2.2.2.3, C.2.2.2.4). */
bool nx_query_universal(struct nx_slice s);

#endif

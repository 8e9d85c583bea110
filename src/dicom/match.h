/*
 * match.h - does a data set match the keys of a query (PS3.4 C.2.2.2), and what of it is asked for.
 *
 * Layer:   1 (dicom).  Uses base.
 * Threads: any; memory is the caller's arena.
 * PHI:     values pass through.
 */
#ifndef NX_DICOM_MATCH_H
#define NX_DICOM_MATCH_H

#include "dicom/dicom.h"

/*
 * Single values, wildcards, ranges of dates and times, lists of UIDs, binary integers; sequences
 * match when one item matches all keys of the key's item, at any depth.  Names match without regard
 * to case.  (0008,0005) is no key.  NX_E_NOMEM.
 */
NX_NODISCARD nx_rc nx_match_dataset(const struct nx_dataset *keys, const struct nx_dataset *ds,
	struct nx_arena *arena, bool *ret_matches, struct nx_err *err);
/* The attributes that the keys name, of `ds`, empty where it has none; of sequences all items with
 * what the key's item names, or whole where the key has no item, or an empty one.  Values are
 * borrowed. */
NX_NODISCARD nx_rc nx_match_select(const struct nx_dataset *keys, const struct nx_dataset *ds,
	struct nx_arena *arena, struct nx_dataset *ret, struct nx_err *err);

#endif

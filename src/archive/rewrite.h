/*
 * rewrite.h - an instance whose header is made anew: bulk values stay the blobs they are.
 *
 * Layer:   2b (archive).  Uses dicom.
 * Threads: each struct belongs to one call.
 * PHI:     yes: headers in clear.
 */
#ifndef NX_ARCHIVE_REWRITE_H
#define NX_ARCHIVE_REWRITE_H

#include "archive/archive.h"

struct nx_bulk_ref;
struct nx_dataset;
struct nx_ts;

/* Where bulk values are in the stream that the parts make.  From `arena`. */
NX_NODISCARD nx_rc nx_archive_bulks(const struct nx_recipe_part *parts, size_t n_parts,
	struct nx_arena *arena, struct nx_bulk_ref **ret, size_t *ret_n, struct nx_err *err);

/* The data set of an item's header blob; bulk values are references.  From `arena`. */
NX_NODISCARD nx_rc nx_archive_header(struct nx_archive *archive, const struct nx_item *item,
	const struct nx_recipe *recipe, struct nx_arena *arena, struct nx_dataset **ret,
	struct nx_err *err);

/* What a put is made of: a new header blob, and those of the source that are still named. */
struct nx_rewrite {
	struct nx_blob *blobs[1]; /* the caller's, or the change's that takes the put */
	struct nx_recipe_part *parts;
	size_t n_parts;
	struct nx_recipe_blob *shared;
	size_t n_shared;
	uint64_t size;
	uint8_t content[32]; /* as ingest reckons it: what is sent so again is the same */
};
/* Of what it is made. */
struct nx_rewrite_of {
	uint32_t domain; /* that of the put */
	const struct nx_recipe *recipe;
	/* nx_archive_header() of the recipe, altered; bulk values may be missing, not added. */
	const struct nx_dataset *ds;
	const struct nx_ts *ts;
};
/* Everything but the blob is from `arena`. */
NX_NODISCARD nx_rc nx_archive_rewrite(struct nx_archive *archive, const struct nx_rewrite_of *of,
	struct nx_arena *arena, struct nx_rewrite *ret, struct nx_err *err);
void nx_rewrite_put(struct nx_rewrite *rewrite, struct nx_put *put);
/* The bytes of an item as they are: nothing is read or written but its rows.  The recipe, which the
 * put borrows, is from `arena`. */
NX_NODISCARD nx_rc nx_archive_same_put(struct nx_archive *archive, const struct nx_item *item,
	struct nx_arena *arena, struct nx_put *put, struct nx_err *err);

#endif

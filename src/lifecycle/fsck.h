/*
 * fsck.h - do catalog, packs and keys agree?
 *
 * Layer:   3 (lifecycle).  Uses archive, catalog, store, access.
 * Threads: nothing else writes to the archive meanwhile.
 * PHI:     none: findings name internal ids.
 *
 * Bytes are not read: that is what a scrub does.
 */
#ifndef NX_LIFECYCLE_FSCK_H
#define NX_LIFECYCLE_FSCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct nx_archive;
struct nx_buf;
struct nx_principal;
struct nx_progress;

struct nx_fsck_report {
	uint64_t items;
	uint64_t erased;     /* rows of erased subjects, which the next start deletes */
	uint64_t unreadable; /* their recipe does not open */
	uint64_t blobs;
	uint64_t orphans;       /* blob rows that no recipe names */
	uint64_t missing_blobs; /* named by a recipe, without a row */
	uint64_t wrong_refs;
	uint64_t lost_extents; /* in no pack, or past its end */
	uint64_t packs;
	uint64_t packs_without_row;
	uint64_t rows_without_pack;
	uint64_t wrong_counters; /* of studies and series */
	uint64_t pack_bytes;
	uint64_t live_bytes; /* of extents that a blob names */
	uint64_t repaired;   /* rows */
	bool withheld;       /* orphans were left alone: what cannot be read may name them */
};

/* Nothing that loses data: space (packs without rows, orphans) does not count. */
bool nx_fsck_sound(const struct nx_fsck_report *report);

/*
 * Needs NX_PERM_ADMIN.  With `repair` orphans go, and reference counts and counters are set right;
 * what is lost is only told.  `out` (may be NULL) gets the report as a JSON object with the first
 * 100 findings.
 */
NX_NODISCARD nx_rc nx_fsck(struct nx_archive *archive, const struct nx_principal *who, bool repair,
	struct nx_progress *progress, struct nx_fsck_report *ret, struct nx_buf *out,
	struct nx_err *err);

#endif

/*
 * lease.h - reading a release without a server in the data path: who, for what, until when; keys
 * and places of at most a second of reading at a time.
 *
 * Layer:   3 (dataset).  Uses archive, access, catalog, ledger, keys.
 * Threads: a struct nx_releases is shared; an answer belongs to one thread.
 * PHI:     blob keys of de-identified items; answers are wiped.
 *
 * The ledger entry (lease, manifest root, positions) is durable before keys leave.
 */
#ifndef NX_DATASET_LEASE_H
#define NX_DATASET_LEASE_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"

struct nx_arena;
struct nx_buf;
struct nx_extent;
struct nx_principal;
struct nx_recipe;
struct nx_releases;

enum {
	NX_LEASE_ID_LEN = 32, /* hex digits of 128 random bits */
	NX_LEASE_SAMPLES_MAX = 256,
	NX_LEASE_BYTES_MAX = 64 * 1024 * 1024, /* of one read; at least one sample is given */
	NX_LEASE_SECONDS_MAX = 7 * 24 * 3600,
	NX_LEASE_PURPOSE_MAX = 256
};

struct nx_lease_info {
	char id[NX_LEASE_ID_LEN + 1];
	char release[96]; /* "name@v1" */
	uint8_t root[32];
	uint64_t n_items;
	int64_t expires_us;
};

struct nx_lease_terms {
	const char *release;
	int64_t version; /* 0: the newest */
	const char *purpose;
	int64_t seconds;
};
/* NX_E_DENIED (recorded), NX_E_NOENT, NX_E_INVAL. */
NX_NODISCARD nx_rc nx_lease_open(struct nx_releases *releases, const struct nx_principal *who,
	const struct nx_lease_terms *terms, struct nx_lease_info *ret, struct nx_err *err);
/* Its holder, or who may administer.  Ending twice is fine. */
NX_NODISCARD nx_rc nx_lease_end(struct nx_releases *releases, const struct nx_principal *who,
	const char *id, struct nx_err *err);

struct nx_lease_sample {
	uint64_t position;
	bool erased; /* the subject was erased, or the item deleted: nothing else is set */
	const char *instance;
	struct nx_recipe *recipe;   /* with blob keys */
	struct nx_extent **extents; /* per blob of the recipe */
	size_t *n_extents;
};

struct nx_lease_answer {
	struct nx_lease_info lease;
	struct nx_lease_sample *samples;
	size_t n_samples;
	uint64_t next; /* position to go on with */
};

struct nx_lease_span {
	const char *id;
	uint64_t first; /* position */
	uint64_t count; /* at most */
};
/* Memory from `arena`, which must be NX_ARENA_WIPE.  NX_E_DENIED: another's lease, ended or
 * expired; NX_E_RANGE: past the end. */
NX_NODISCARD nx_rc nx_lease_read(struct nx_releases *releases, const struct nx_principal *who,
	const struct nx_lease_span *span, struct nx_arena *arena, struct nx_lease_answer *ret,
	struct nx_err *err);
/* The same as JSON (docs/formats/LEASE.md); `out` should be NX_BUF_WIPE. */
NX_NODISCARD nx_rc nx_lease_read_json(struct nx_releases *releases, const struct nx_principal *who,
	const struct nx_lease_span *span, struct nx_buf *out, struct nx_err *err);
void nx_lease_info_json(const struct nx_lease_info *info, struct nx_buf *out);

#endif

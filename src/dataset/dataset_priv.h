/*
 * dataset_priv.h - what releases and leases share.
 *
 * Layer:   3 (dataset).
 * Threads: each struct says what guards it.
 * PHI:     pseudonyms.
 */
#ifndef NX_DATASET_DATASET_PRIV_H
#define NX_DATASET_DATASET_PRIV_H

#include <pthread.h>

#include "access/access.h"
#include "archive/archive.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "catalog/catalog.h"
#include "crypto/crypto.h"
#include "dataset/manifest.h"
#include "dataset/release.h"
#include "keys/keys.h"
#include "ledger/detail.h"
#include "ledger/ledger.h"

enum {
	MANIFEST_MAX = 1024 * 1024 * 1024 /* bytes of one manifest */
};

struct nx_releases {
	struct nx_archive *archive;
	const char *collection;
	const char *origin;
	pthread_mutex_t lock; /* one release is made at a time: versions are dense */
};

enum release_state {
	RELEASE_BUILDING = 1,
	RELEASE_PUBLISHED = 2
};

/* ---- selecting (select.c) ---- */

struct selected {
	struct nx_manifest_entry entry;
	int64_t item;
};

struct selection {
	struct nx_archive *archive;
	struct nx_arena *arena;
	struct selected *items;
	size_t n;
	size_t cap;
	uint64_t bytes;
};

/* All live instances, sorted; `studies` NULL: of the whole collection. */
NX_NODISCARD nx_rc selection_fill(struct selection *s, const struct nx_collection *collection,
	const char *const *studies, size_t n_studies, struct nx_err *err);
void selection_done(struct selection *s);

/* ---- shared ---- */

/* Decide; a refusal is recorded. */
NX_NODISCARD nx_rc dataset_guard(struct nx_archive *archive, const struct nx_principal *who,
	enum nx_perm perm, const char *collection, struct nx_err *err);
/* A published release; `version` 0: the newest. */
NX_NODISCARD nx_rc release_find(struct nx_releases *r, const char *name, int64_t version,
	struct nx_arena *arena, struct nx_release_row *ret, struct nx_err *err);
NX_NODISCARD nx_rc release_by_id(struct nx_releases *r, int64_t id, struct nx_arena *arena,
	struct nx_release_row *ret, struct nx_err *err);
/* "release":"name@v1","root":...: the beginning of every ledger detail here. */
void release_detail_begin(struct nx_detail *detail, const struct nx_release_row *row);

#endif

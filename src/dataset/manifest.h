/*
 * manifest.h - the signed list of what a release holds (docs/formats/MANIFEST.md).
 *
 * Layer:   3 (dataset).  Uses base, crypto, jansson.  Used by dataset and the loader; no I/O.
 * Threads: pure functions over the caller's memory.
 * PHI:     pseudonyms and replaced UIDs.
 */
#ifndef NX_DATASET_MANIFEST_H
#define NX_DATASET_MANIFEST_H

#include <stdint.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/secret.h"
#include "base/slice.h"

struct nx_arena;

enum {
	NX_MANIFEST_HASH_LEN = 32,
	NX_MANIFEST_DEPTH = 48 /* of the tree over pages */
};

struct nx_manifest_blob {
	uint64_t len;
	uint8_t root[NX_MANIFEST_HASH_LEN];
};

/* One item.  Sorted by (pseudonym, series, instance), bytewise. */
struct nx_manifest_entry {
	const char *pseudonym;
	const char *series;
	const char *instance;
	uint64_t size;
	uint8_t digest[NX_MANIFEST_HASH_LEN]; /* of the recipe: the ETag */
	struct nx_manifest_blob *blobs;
	size_t n_blobs;
};

int nx_manifest_compare(const struct nx_manifest_entry *a, const struct nx_manifest_entry *b);

/* ---- writing ---- */

/* In the caller's storage. */
struct nx_manifest_writer {
	struct nx_buf pages; /* page lines and entries */
	struct nx_buf page;  /* entries of the page at hand */
	uint64_t page_items;
	uint64_t n_items;
	uint64_t n_pages;
	uint8_t tree[NX_MANIFEST_DEPTH][NX_MANIFEST_HASH_LEN]; /* roots of complete subtrees */
};

void nx_manifest_writer_init(struct nx_manifest_writer *w, size_t max);
void nx_manifest_writer_done(struct nx_manifest_writer *w);
NX_DEFINE_AUTO_DONE(nx_manifest_writer);
/* In the order of nx_manifest_compare(); a reader refuses any other. */
NX_NODISCARD nx_rc nx_manifest_writer_put(
	struct nx_manifest_writer *w, const struct nx_manifest_entry *entry, struct nx_err *err);
/* The last page is closed; the root is final. */
NX_NODISCARD nx_rc nx_manifest_writer_finish(
	struct nx_manifest_writer *w, uint8_t ret_root[NX_MANIFEST_HASH_LEN], struct nx_err *err);
/* The signed head that precedes the pages. */
struct nx_manifest_title {
	const char *name;
	int64_t version;
	const uint8_t *root; /* NX_MANIFEST_HASH_LEN bytes */
	const char *origin;  /* the name of the key */
};
NX_NODISCARD nx_rc nx_manifest_head(const struct nx_manifest_writer *w,
	const struct nx_manifest_title *title, const struct nx_key *seed, struct nx_buf *out,
	struct nx_err *err);
/* "origin+hash+base64" (C2SP signed-note). */
void nx_manifest_verifier_key(const char *origin, const struct nx_key *seed, struct nx_buf *out);

/* ---- reading ---- */

struct nx_manifest {
	char name[NX_LIMIT_NAME + 1];
	int64_t version;
	uint8_t root[NX_MANIFEST_HASH_LEN];
	struct nx_manifest_entry *entries;
	size_t n_entries;
	size_t n_pages;
};

/*
 * Every page hash, the root, the order and the counts are checked; NX_E_CORRUPT names the page.
 * With a `verifier` key line the signature too; NULL: the root must be known from elsewhere.
 * Strings are from `arena`.
 */
NX_NODISCARD nx_rc nx_manifest_parse(struct nx_slice bytes, const char *verifier,
	struct nx_arena *arena, struct nx_manifest *ret, struct nx_err *err);

#endif

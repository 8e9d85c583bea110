/*
 * loader_priv.h - what the files of libnarthex share.
 *
 * Layer:   5 (loader).  Uses base, crypto, store (extents only), dataset (manifest only).
 * Threads: as the dataset they belong to.
 * PHI:     keys of a lease: in an arena that is wiped, for as long as their window is read.
 */
#ifndef NX_LOADER_LOADER_PRIV_H
#define NX_LOADER_LOADER_PRIV_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/secret.h"
#include "dataset/manifest.h"
#include "store/extent.h"

/* ---- the site (remote.c) ---- */

struct remote;

struct remote_opts {
	const char *site;
	const char *token;
	const char *ca_file;
};

NX_NODISCARD nx_rc remote_open(
	const struct remote_opts *opts, struct remote **ret, struct nx_err *err);
struct remote *remote_free(struct remote *remote);
NX_DEFINE_AUTO(remote);
/* `path` is below /api/v1; `body` NULL: none.  Any status but 200 to 299 is an error with the
 * server's text. */
NX_NODISCARD nx_rc remote_call(struct remote *remote, const char *method, const char *path,
	const char *body, struct nx_buf *out, struct nx_err *err);

/* ---- what a lease read answers (answer.c) ---- */

struct grant_blob {
	struct nx_key key;
	uint8_t codec;
	uint64_t len;
	uint64_t stored;
	uint8_t root[32];
	struct nx_extent *extents;
	size_t n_extents;
};

struct grant_part {
	bool is_literal;
	struct nx_slice literal;
	uint32_t blob;
	uint64_t off;
	uint64_t len;
};

struct grant_sample {
	uint64_t position;
	bool erased;
	uint64_t size;
	struct grant_part *parts;
	size_t n_parts;
	struct grant_blob *blobs;
	size_t n_blobs;
};

struct grant_pack {
	uint64_t id;
	const char *path;
};

/* A window of positions and all that opens them. */
struct grant {
	uint64_t first;
	uint64_t next;
	struct grant_sample *samples;
	size_t n_samples;
	struct grant_pack *packs;
	size_t n_packs;
};

/* Memory from `arena`.  NX_E_MALFORMED. */
NX_NODISCARD nx_rc grant_parse(
	struct nx_slice json, struct nx_arena *arena, struct grant *ret, struct nx_err *err);

/* ---- bytes (sample.c, pack_file.c) ---- */

struct pack_files;

struct pack_files *pack_files_new(void); /* NULL without memory */
struct pack_files *pack_files_free(struct pack_files *files);
/* All of an extent, authenticated, into `p`. */
NX_NODISCARD nx_rc pack_files_extent(struct pack_files *files, const struct grant *grant,
	const struct nx_extent *e, const struct nx_key *blob_key, uint32_t index, uint8_t *p,
	struct nx_err *err);

/* The sample's bytes into `out`, when they are what the manifest says. */
NX_NODISCARD nx_rc sample_assemble(struct pack_files *files, const struct grant *grant,
	const struct grant_sample *s, const struct nx_manifest_entry *entry, struct nx_buf *out,
	struct nx_err *err);

#endif

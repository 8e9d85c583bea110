/*
 * retrieve.h - giving data out: queries, metadata, instances, bulk data, objects; decided and
 * recorded first.
 *
 * Layer:   3 (retrieve).  Uses archive, catalog, ledger, access, dicom.
 * Threads: a struct nx_retrieve is shared; streams belong to one thread at a time.
 * PHI:     yes.
 *
 * The ledger entry is durable before the first body byte; reads of one study by one session within
 * 60 s share the entry that opened it.
 */
#ifndef NX_RETRIEVE_RETRIEVE_H
#define NX_RETRIEVE_RETRIEVE_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"

struct nx_archive;
struct nx_arena;
struct nx_buf;
struct nx_item;
struct nx_match;
struct nx_principal;
struct nx_query_key;
struct nx_retrieve;

struct nx_retrieve *nx_retrieve_new(struct nx_archive *archive); /* NULL without memory */
struct nx_retrieve *nx_retrieve_free(struct nx_retrieve *retrieve);
NX_DEFINE_AUTO(nx_retrieve);

/* ---- queries ---- */

struct nx_find {
	const char *collection;
	unsigned level; /* enum nx_query_level */
	const struct nx_query_key *keys;
	size_t n_keys;
	bool fuzzy;
	unsigned limit;
	unsigned offset;
};
/* Sees everything that was acknowledged before the call. */
NX_NODISCARD nx_rc nx_retrieve_find(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_find *find,
	nx_rc (*fn)(void *payload, const struct nx_match *match, struct nx_err *err), void *payload,
	bool *ret_more, struct nx_err *err);

/* ---- a selection: a study, a series of it, an instance of that ---- */

struct nx_selection {
	const char *collection;
	const char *study;
	const char *series;   /* NULL: all of the study */
	const char *instance; /* NULL: all of the series */
};

/* DICOM JSON metadata (PS3.18 10.4.1.1.2) of all selected instances as one array.  `base_url` is
 * put before the bulk data paths: "<base>/studies/.../bulkdata/<offset>-<length>". */
NX_NODISCARD nx_rc nx_retrieve_metadata(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const struct nx_selection *sel, const char *base_url,
	struct nx_buf *out, struct nx_err *err);

/* The selected instances, one after another, in series and instance order. */
struct nx_instances;
NX_NODISCARD nx_rc nx_retrieve_open(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_selection *sel, struct nx_instances **ret, struct nx_err *err);
struct nx_instances *nx_instances_free(struct nx_instances *instances);
NX_DEFINE_AUTO(nx_instances);
size_t nx_instances_n(const struct nx_instances *instances);
/* Go to the i-th: its row (valid until the next call). */
NX_NODISCARD nx_rc nx_instances_at(struct nx_instances *instances, size_t i,
	const struct nx_item **ret_item, struct nx_err *err);
/* Bytes of the current one, as received, from `off`; *ret_n 0 at the end. */
NX_NODISCARD nx_rc nx_instances_read(struct nx_instances *instances, uint64_t off, void *p,
	size_t n, size_t *ret_n, struct nx_err *err);
/* The strong ETag of the current one, quoted. */
void nx_instances_etag(const struct nx_instances *instances, char ret[72]);
/* Where its data set begins (after the meta group): for C-STORE sub-operations. */
NX_NODISCARD nx_rc nx_instances_dataset_offset(
	struct nx_instances *instances, uint64_t *ret_off, struct nx_err *err);

/* ---- objects ---- */

struct nx_object;
/* `for_body` false: HEAD; no read is recorded, only the query. */
NX_NODISCARD nx_rc nx_retrieve_object(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection, const char *key, bool for_body, struct nx_object **ret,
	struct nx_err *err);
struct nx_object *nx_object_free(struct nx_object *object);
NX_DEFINE_AUTO(nx_object);
const struct nx_item *nx_object_item(const struct nx_object *object);
void nx_object_etag(const struct nx_object *object, char ret[72]); /* quoted */
NX_NODISCARD nx_rc nx_object_read(struct nx_object *object, uint64_t off, void *p, size_t n,
	size_t *ret_n, struct nx_err *err);
NX_NODISCARD nx_rc nx_retrieve_object_delete(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const char *collection, const char *key,
	struct nx_err *err);
/* JSON {"objects":[{"key","size","etag","modified"}],"next":...}. */
NX_NODISCARD nx_rc nx_retrieve_object_list(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const char *collection, const char *prefix,
	const char *after, unsigned limit, struct nx_buf *out, struct nx_err *err);

#endif

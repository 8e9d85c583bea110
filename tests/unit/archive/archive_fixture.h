/*
 * archive_fixture.h - a whole archive in a temporary directory, and puts into it.
 *
 * Layer:   tests.
 */
#ifndef NX_ARCHIVE_FIXTURE_H
#define NX_ARCHIVE_FIXTURE_H

#include "nx_test.h"

#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "catalog/catalog.h"
#include "crypto/crypto.h"
#include "keys/keys.h"
#include "ledger/ledger.h"
#include "store/pool.h"

struct fixture {
	char dir[32];
	char keys_dir[2][64];
	const char *places[2];
	char cat_path[64];
	char ledger_dir[64];
	char pool_uri[80];
	struct nx_keys_opts key_opts;
	struct nx_keys *keys;
	struct nx_key cat_key;
	struct nx_pool *pool;
	struct nx_cat *cat;
	struct nx_archive *archive;
	struct nx_collection collection;
	struct nx_collection curated;
	struct nx_arena *arena;
	struct nx_err err;
};

static inline int fx_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Everything but the pool, which a test may keep in memory over a "crash". */
static inline void fx_open(struct fixture *fx, bool rebuild)
{
	struct nx_cat_opts cat = {.path = fx->cat_path, .key = &fx->cat_key};
	struct nx_archive_opts opts = {
		.ledger_dir = fx->ledger_dir, .origin = "example.org/test", .rebuild = rebuild};

	assert_ok(nx_keys_open(&fx->key_opts, &fx->keys, &fx->err), &fx->err);
	if (!fx->pool)
		assert_ok(nx_pool_open(fx->pool_uri, &fx->pool, &fx->err), &fx->err);
	assert_ok(nx_cat_open(&cat, &fx->cat, &fx->err), &fx->err);
	opts.pool = fx->pool;
	opts.keys = fx->keys;
	opts.cat = fx->cat;
	assert_ok(nx_archive_open(&opts, &fx->archive, &fx->err), &fx->err);
}

static inline void fx_close(struct fixture *fx)
{
	fx->archive = nx_archive_free(fx->archive);
	fx->cat = nx_cat_free(fx->cat);
	fx->keys = nx_keys_free(fx->keys);
}

static inline void fx_collection(struct fixture *fx, struct nx_collection *c, const char *name,
	const char *domain, int64_t zone)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	uint32_t id;
	struct nx_op op;

	assert_ok(nx_keys_domain(fx->keys, domain, true, &id, &fx->err), &fx->err);
	*c = (struct nx_collection){
		.id = (int64_t)nx_archive_next_id(fx->archive, NX_T_COLLECTION),
		.name = name,
		.project = "test",
		.zone = zone,
		.domain_name = domain,
		.domain = id,
		.tags = "{}",
		.on_conflict = "version",
		.created_us = 1,
	};
	assert_rc(nx_op_put_collection(c, fx->arena, &op), NX_OK);
	assert_ok(nx_change_op(change, &op, &fx->err), &fx->err);
	assert_ok(nx_archive_commit(fx->archive, change, &fx->err), &fx->err);
}

/* `uri`: NULL for local files in the directory. */
static inline int fx_setup_uri(void **state, const char *uri)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	assert_ok(nx_crypto_init(&fx->err), &fx->err);
	(void)snprintf(fx->dir, sizeof(fx->dir), "/tmp/nx-archive-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	for (int i = 0; i < 2; i++) {
		(void)snprintf(fx->keys_dir[i], sizeof(fx->keys_dir[i]), "%s/keys%d", fx->dir, i);
		fx->places[i] = fx->keys_dir[i];
	}
	(void)snprintf(fx->cat_path, sizeof(fx->cat_path), "%s/catalog.db", fx->dir);
	(void)snprintf(fx->ledger_dir, sizeof(fx->ledger_dir), "%s/ledger", fx->dir);
	if (uri)
		(void)snprintf(fx->pool_uri, sizeof(fx->pool_uri), "%s", uri);
	else
		(void)snprintf(fx->pool_uri, sizeof(fx->pool_uri), "dir:%s/pool", fx->dir);
	fx->key_opts = (struct nx_keys_opts){.driver = "file",
		.places = fx->places,
		.n_places = 2,
		.passphrase = nx_slice_str("correct horse"),
		.argon2_kib = 8};
	assert_ok(nx_keys_create(&fx->key_opts, &fx->err), &fx->err);
	memset(fx->cat_key.b, 7, sizeof(fx->cat_key.b));
	fx->arena = nx_arena_new(64u << 20, 0);
	fx_open(fx, false);
	fx_collection(fx, &fx->collection, "clinical", "test/phi", NX_ZONE_LANDING);
	fx_collection(fx, &fx->curated, "curated", "test/deid", NX_ZONE_CURATED);
	*state = fx;
	return 0;
}

static inline int fx_setup(void **state)
{
	return fx_setup_uri(state, NULL);
}

static inline int fx_teardown(void **state)
{
	struct fixture *fx = *state;

	fx_close(fx);
	nx_pool_free(fx->pool);
	nx_arena_free(fx->arena);
	(void)nftw(fx->dir, fx_unlink, 16, FTW_DEPTH | FTW_PHYS);
	free(fx);
	return 0;
}

/* Bytes that depend on `seed` and cannot be compressed. */
static inline uint8_t *fx_bytes(struct fixture *fx, size_t n, uint32_t seed)
{
	uint8_t *p = nx_arena_alloc(fx->arena, n + 1);
	uint64_t x = seed * 2654435761u + 88172645463325252ull;

	assert_non_null(p);
	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (uint8_t)x;
	}
	return p;
}

static inline struct nx_blob *fx_blob(struct fixture *fx, const struct nx_collection *c,
	const void *p, size_t n, uint64_t announced)
{
	NX_AUTO(nx_blob_writer) *w = NULL;
	struct nx_blob *blob = NULL;

	assert_ok(nx_blob_writer_new(fx->archive, (uint32_t)c->domain, announced, NX_BLOB_COMPRESS,
			  &w, &fx->err),
		&fx->err);
	for (size_t at = 0; at < n;) {
		size_t take = n - at > 300000 ? 300000 : n - at;

		assert_ok(nx_blob_writer_put(w, (const uint8_t *)p + at, take, &fx->err), &fx->err);
		at += take;
	}
	assert_ok(nx_blob_writer_finish(w, &blob, &fx->err), &fx->err);
	return blob;
}

/* One instance of a patient: a header of `header` bytes and, when not 0, a bulk value of `bulk`
 * bytes. */
static inline nx_rc fx_put(struct fixture *fx, const char *patient, const char *study,
	const char *sop, size_t header, size_t bulk, uint32_t seed, struct nx_put *put)
{
	static struct nx_study st;
	static struct nx_series se;
	static struct nx_item item;
	static struct nx_recipe_part parts[2];
	struct nx_blob *blobs[2];
	NX_AUTO(nx_change) *change = nx_change_new();
	struct nx_entry_draft draft = {
		.action = NX_ACTION_INSTANCE_STORE, .principal = "tester", .study = study};

	st = (struct nx_study){
		.uid = study, .patient_id = patient, .issuer = "", .patient_name = "TEST^NAME"};
	se = (struct nx_series){.uid = "1.2.3.9", .modality = "CT"};
	item = (struct nx_item){
		.name = sop, .type = "1.2.840.10008.5.1.4.1.1.2", .ts_uid = "1.2.840.10008.1.2.1"};
	item.size = (int64_t)(header + bulk);
	blobs[0] = fx_blob(fx, &fx->collection, fx_bytes(fx, header, seed), header, header);
	parts[0] = (struct nx_recipe_part){.kind = NX_PART_BLOB, .blob = 0, .len = header};
	if (bulk) {
		blobs[1] = fx_blob(fx, &fx->collection, fx_bytes(fx, bulk, seed + 1), bulk, bulk);
		parts[1] = (struct nx_recipe_part){.kind = NX_PART_BLOB, .blob = 1, .len = bulk};
	}
	*put = (struct nx_put){.collection = &fx->collection,
		.study = &st,
		.series = &se,
		.item = &item,
		.blobs = blobs,
		.n_blobs = bulk ? 2 : 1,
		.parts = parts,
		.n_parts = bulk ? 2 : 1};
	assert_ok(nx_change_put(change, put, &fx->err), &fx->err);
	assert_ok(nx_change_entry(change, &draft, put, &fx->err), &fx->err);
	return nx_archive_commit(fx->archive, change, &fx->err);
}

/* The item gives back exactly header and bulk of `seed`. */
static inline void fx_expect(
	struct fixture *fx, const struct nx_item *item, size_t header, size_t bulk, uint32_t seed)
{
	NX_AUTO(nx_reader) *reader = NULL;
	uint8_t *got = nx_arena_alloc(fx->arena, header + bulk + 1);
	size_t at = 0, n = 1;

	assert_ok(nx_archive_open_item(fx->archive, item, &reader, &fx->err), &fx->err);
	while (n) {
		assert_ok(
			nx_reader_read(reader, at, got + at, header + bulk + 1 - at, &n, &fx->err),
			&fx->err);
		at += n;
	}
	assert_u64(at, header + bulk);
	assert_memory_equal(got, fx_bytes(fx, header, seed), header);
	if (bulk)
		assert_memory_equal(got + header, fx_bytes(fx, bulk, seed + 1), bulk);
}

static inline void fx_item(
	struct fixture *fx, uint64_t subject, const char *sop, struct nx_item *ret)
{
	nx_archive_barrier(fx->archive);
	assert_ok(nx_cat_item_latest(
			  fx->cat, fx->collection.id, subject, sop, fx->arena, ret, &fx->err),
		&fx->err);
}

#endif

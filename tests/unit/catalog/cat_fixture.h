/*
 * cat_fixture.h - a catalog in a temporary directory, and rows to put into it.
 *
 * Layer:   tests.
 */
#ifndef NX_CAT_FIXTURE_H
#define NX_CAT_FIXTURE_H

#include "nx_test.h"

#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "catalog/catalog.h"
#include "crypto/crypto.h"

struct fixture {
	char dir[64];
	char path[96];
	struct nx_key key;
	struct nx_cat *cat;
	struct nx_arena *arena;
	uint64_t seq;
	struct nx_err err;
};

static inline void fx_open(struct fixture *fx)
{
	struct nx_cat_opts opts = {.path = fx->path, .key = &fx->key};

	assert_ok(nx_cat_open(&opts, &fx->cat, &fx->err), &fx->err);
	fx->seq = nx_cat_watermark(fx->cat);
}

static inline int fx_setup_plain(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	assert_ok(nx_crypto_init(&fx->err), &fx->err);
	(void)snprintf(fx->dir, sizeof(fx->dir), "/tmp/nxcat-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	(void)snprintf(fx->path, sizeof(fx->path), "%s/catalog.db", fx->dir);
	nx_random(fx->key.b, sizeof(fx->key.b));
	fx->arena = nx_arena_new(64u << 20, 0);
	assert_non_null(fx->arena);
	*state = fx;
	return 0;
}

static inline int fx_setup(void **state)
{
	fx_setup_plain(state);
	fx_open(*state);
	return 0;
}

static inline int fx_setup_memory(void **state)
{
	struct fixture *fx;

	fx_setup_plain(state);
	fx = *state;
	fx->path[0] = 0;
	fx_open(fx);
	return 0;
}

static inline int fx_teardown(void **state)
{
	static const char *const names[] = {"catalog.db", "catalog.db-wal", "catalog.db-shm",
		"copy.db", "copy.db-wal", "copy.db-shm"};
	struct fixture *fx = *state;
	char path[128];

	fx->cat = nx_cat_free(fx->cat);
	for (size_t i = 0; i < NX_ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", fx->dir, names[i]);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(fx->dir), 0); /* and no other file */
	nx_arena_free(fx->arena);
	free(fx);
	return 0;
}

static inline void fx_apply(struct fixture *fx, const struct nx_op *ops, size_t n)
{
	assert_ok(nx_cat_apply(fx->cat, ++fx->seq, ops, n, &fx->err), &fx->err);
}

static inline struct nx_study fx_study(int64_t id, const char *uid)
{
	return (struct nx_study){.id = id,
		.collection = 1,
		.subject = 1000 + id,
		.uid = uid,
		.patient_id = "P1",
		.issuer = "HOSP",
		.patient_name = "Doe^Jane",
		.name_key = "DOE^JANE",
		.birth_date = "19700101",
		.sex = "F",
		.date = "20240102",
		.time = "101530",
		.accession = "A1",
		.referring = "House^Gregory",
		.description = "CT chest",
		.study_id = "S1",
		.modalities = "CT\\SR",
		.received_us = 5,
		.updated_us = 6};
}

static inline struct nx_series fx_series(int64_t id, int64_t study, const char *uid)
{
	return (struct nx_series){.id = id,
		.study = study,
		.uid = uid,
		.modality = "CT",
		.number = "1",
		.description = "lung",
		.body_part = "CHEST",
		.station = "CT01"};
}

static inline struct nx_item fx_item(int64_t id, int64_t series, const char *name)
{
	return (struct nx_item){.id = id,
		.collection = 1,
		.subject = 1001,
		.domain = 1,
		.series = series,
		.name = name,
		.version = 1,
		.state = NX_ITEM_LIVE,
		.type = "1.2.840.10008.5.1.4.1.1.2",
		.ts_uid = "1.2.840.10008.1.2.1",
		.number = 1,
		.size = 1000};
}

static inline void fx_put_study(struct fixture *fx, const struct nx_study *row)
{
	struct nx_op op;

	assert_rc(nx_op_put_study(row, 1, fx->arena, &op), NX_OK);
	fx_apply(fx, &op, 1);
}

static inline void fx_put_series(struct fixture *fx, const struct nx_series *row)
{
	struct nx_op op;

	assert_rc(nx_op_put_series(row, 1, 1001, fx->arena, &op), NX_OK);
	fx_apply(fx, &op, 1);
}

static inline void fx_put_item(struct fixture *fx, const struct nx_item *row)
{
	struct nx_op op;

	assert_rc(nx_op_put_item(row, fx->arena, &op), NX_OK);
	fx_apply(fx, &op, 1);
}

#endif

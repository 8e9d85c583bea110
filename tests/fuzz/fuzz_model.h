/*
 * fuzz_model.h - what holds of every data set that a reader of a model makes, whichever it is.
 */
#ifndef NX_FUZZ_MODEL_H
#define NX_FUZZ_MODEL_H

#include "fuzz.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "dicom/model.h"

enum {
	MEMORY_MAX = 64 << 20
};

typedef nx_rc (*fuzz_reader_fn)(
	nx_model_fn fn, void *payload, struct nx_model_reader **ret_reader, struct nx_err *err);

struct trace {
	struct nx_buf out; /* every data set in explicit VR little endian */
	bool all_good;
};

static bool has_bulk(const struct nx_dataset *ds)
{
	bool has = false;

	for (size_t i = 0; i < ds->n && !has; i++) {
		has = ds->elems[i].is_bulk;
		FUZZ_CHECK(!i || ds->elems[i - 1].tag < ds->elems[i].tag);
		for (size_t k = 0; k < ds->elems[i].n_items && !has; k++)
			has = has_bulk(ds->elems[i].items[k]);
	}
	return has;
}

/* What is good is written, and parses again to what writes the same. */
static void model_check(const struct nx_model *model, struct nx_buf *out)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(MEMORY_MAX, 0);
	NX_AUTO_DONE(nx_buf) once;
	NX_AUTO_DONE(nx_buf) again;
	struct nx_dataset *ds;

	nx_buf_init(&once, MEMORY_MAX, 0);
	nx_buf_init(&again, MEMORY_MAX, 0);
	FUZZ_CHECK(arena && model->ds);
	if (nx_dataset_write(model->ds, NULL, &once, NULL, NULL, NULL))
		return;
	nx_buf_put_slice(out, nx_buf_slice(&once));
	if (!model->ds->n || has_bulk(model->ds) ||
		nx_dataset_parse(nx_buf_slice(&once), NX_UID_EXPLICIT_VR_LITTLE_ENDIAN, UINT32_MAX,
			arena, &ds, NULL))
		return;
	FUZZ_CHECK(ds->n == model->ds->n);
	FUZZ_CHECK(!nx_dataset_write(ds, NULL, &again, NULL, NULL, NULL));
	FUZZ_CHECK(nx_slice_eq(nx_buf_slice(&once), nx_buf_slice(&again)));
}

static nx_rc on_model(void *payload, struct nx_model *model, struct nx_err *err)
{
	struct trace *t = payload;

	(void)err;
	if (model->rc)
		t->all_good = false;
	else
		model_check(model, &t->out);
	nx_model_free(model);
	return NX_OK;
}

static nx_rc read_all(fuzz_reader_fn open, struct nx_slice data, size_t piece, struct trace *t)
{
	NX_AUTO(nx_model_reader) *reader = NULL;
	nx_rc rc = open(on_model, t, &reader, NULL);

	t->all_good = true;
	nx_buf_init(&t->out, MEMORY_MAX, 0);
	for (size_t at = 0; at < data.n && !rc; at += piece)
		rc = nx_model_feed(
			reader, data.p + at, data.n - at < piece ? data.n - at : piece, NULL);
	return rc ? rc : nx_model_finish(reader, NULL);
}

/* Pieces do not matter. */
static int model_fuzz(fuzz_reader_fn open, struct nx_slice data)
{
	struct trace whole, pieces;
	nx_rc a = read_all(open, data, data.n ? data.n : 1, &whole);
	nx_rc b = read_all(open, data, 3, &pieces);

	FUZZ_CHECK(!a == !b);
	FUZZ_CHECK(a || whole.all_good == pieces.all_good);
	FUZZ_CHECK(a || nx_slice_eq(nx_buf_slice(&whole.out), nx_buf_slice(&pieces.out)));
	nx_buf_done(&whole.out);
	nx_buf_done(&pieces.out);
	return 0;
}

#endif

#include "lifecycle/expected_priv.h"

#include <string.h>

#include "base/cast.h"
#include "base/json.h"
#include "base/map.h"

enum {
	EXPECTED_MEMORY = 512 * 1024 * 1024,
	ROWS_MEMORY = 4 * 1024 * 1024
};

struct rows {
	struct nx_op *ops;
	size_t n;
};

nx_rc expected_init(struct expected *x, struct nx_err *err)
{
	*x = (struct expected){
		.arena = nx_arena_new(EXPECTED_MEMORY, NX_ARENA_WIPE), .by_uid = nx_map_new()};
	x->tail = &x->first;
	if (x->arena && x->by_uid)
		return NX_OK;
	expected_done(x);
	return nx_err_set(err, NX_E_NOMEM, "no memory for what is expected of a study");
}

void expected_done(struct expected *x)
{
	nx_map_free(x->by_uid);
	nx_arena_free(x->arena);
	*x = (struct expected){0};
}

static nx_rc rows_read(struct nx_archive *archive, int64_t collection, const char *study,
	struct nx_arena *arena, struct rows *ret, struct nx_err *err)
{
	struct nx_val where[] = {nx_val_int(collection), nx_val_text(study)};

	ret->n = 0;
	return nx_cat_rows(nx_archive_cat(archive),
		&(struct nx_rows_of){.table = NX_T_STEP,
			.where = where,
			.n_where = NX_ARRAY_LEN(where),
			.limit = NX_LIMIT_STUDY_STEPS},
		arena, &ret->ops, &ret->n, err);
}

/* NX_E_NOENT: somebody has deleted it. */
static nx_rc row_item(struct nx_archive *archive, const struct nx_op *op, struct nx_arena *arena,
	struct nx_item *ret, struct nx_err *err)
{
	struct nx_step_row row;
	nx_rc rc = nx_op_row(op, arena, &row, err);

	return rc
		? rc
		: nx_cat_object(nx_archive_cat(archive), row.collection, row.name, arena, ret, err);
}

nx_rc expected_mark(struct nx_archive *archive, int64_t collection, const char *study,
	uint64_t *ret_mark, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ROWS_MEMORY, NX_ARENA_WIPE);
	struct rows rows = {0};
	uint64_t mark = 0;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the steps of a study");
	rc = rows_read(archive, collection, study, arena, &rows, err);
	for (size_t i = 0; i < rows.n && !rc; i++) {
		struct nx_item item;

		rc = row_item(archive, &rows.ops[i], arena, &item, err);
		if (!rc) /* ids only grow, and a changed step is another item */
			mark += (uint64_t)item.id;
		else if (rc == NX_E_NOENT)
			rc = NX_OK;
	}
	if (!rc)
		*ret_mark = mark;
	return rc;
}

nx_rc step_load(struct nx_archive *archive, const struct nx_item *item, struct nx_arena *arena,
	struct nx_dataset **ret, struct nx_err *err)
{
	struct nx_slice bytes;
	nx_rc rc = nx_archive_read_item(
		archive, item, NX_LIMIT_PERFORMED_STEP, arena, &bytes, NULL, err);

	return rc ? rc
		  : nx_dataset_parse(bytes, NX_UID_EXPLICIT_VR_LITTLE_ENDIAN,
			    NX_LIMIT_PERFORMED_STEP + 1, arena, ret, err);
}

/* ---- what is named ---- */

static const char *copy(struct expected *x, const char *text)
{
	return nx_arena_str(x->arena, text, strlen(text));
}

static nx_rc want(struct expected *x, const struct nx_step_ref *ref, struct nx_err *err)
{
	struct nx_slice uid = nx_slice_str(ref->sop_instance);
	struct wanted *w;

	if (nx_map_get(x->by_uid, uid))
		return NX_OK;
	w = nx_arena_alloc(x->arena, sizeof(*w));
	if (!w)
		return nx_err_set(err, NX_E_NOMEM, "no memory for what is expected of a study");
	*w = (struct wanted){
		.ref = {copy(x, ref->series), copy(x, ref->sop_class), copy(x, ref->sop_instance)}};
	if (!w->ref.series || !w->ref.sop_class || !w->ref.sop_instance ||
		!nx_map_put(x->by_uid, uid, w, NULL))
		return nx_err_set(err, NX_E_NOMEM, "no memory for what is expected of a study");
	*x->tail = w;
	x->tail = &w->next;
	x->n++;
	return NX_OK;
}

static nx_rc study_add(
	struct expected *x, struct nx_map *studies, const char *uid, struct nx_err *err)
{
	const char *kept = copy(x, uid);

	if (!kept || !nx_map_put(studies, nx_slice_str(uid), nx_unconst(kept), NULL))
		return nx_err_set(err, NX_E_NOMEM, "no memory for the steps of a study");
	return NX_OK;
}

static nx_rc step_take(struct nx_archive *archive, const struct nx_op *op, struct nx_map *studies,
	struct expected *x, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(STEP_MEMORY, NX_ARENA_WIPE);
	struct nx_dataset *ds;
	struct nx_item item;
	struct nx_step step;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a step");
	rc = row_item(archive, op, arena, &item, err);
	if (!rc)
		rc = step_load(archive, &item, arena, &ds, err);
	if (rc == NX_E_NOENT || rc == NX_E_ERASED)
		return NX_OK;
	if (!rc)
		rc = nx_step_read(ds, arena, &step, err);
	if (rc)
		return rc;
	x->states[step.state]++;
	for (size_t i = 0; i < step.n_refs && !rc; i++)
		rc = want(x, &step.refs[i], err);
	for (size_t i = 0; i < step.n_studies && !rc; i++)
		rc = study_add(x, studies, step.studies[i], err);
	return rc;
}

/* ---- what is there ---- */

struct walk {
	struct nx_cat *cat;
	struct expected *x;
	struct nx_err *err;
	int64_t collection;
	nx_rc rc;
};

static nx_rc item_look(void *payload, const void *row, struct nx_err *err)
{
	struct walk *walk = payload;
	const struct nx_item *item = row;
	struct wanted *w = nx_map_get(walk->x->by_uid, nx_slice_str(item->name));

	(void)err;
	if (w && !w->found) {
		w->found = true;
		walk->x->found++;
	}
	return NX_OK;
}

static nx_rc series_look(void *payload, const void *row, struct nx_err *err)
{
	struct walk *walk = payload;
	const struct nx_series *series = row;

	return nx_cat_items_of(walk->cat, series->id, item_look, walk, err);
}

static void study_look(struct nx_slice key, void *value, void *payload)
{
	struct walk *walk = payload;
	struct nx_study study;

	(void)key;
	if (walk->rc || walk->x->found == walk->x->n)
		return;
	walk->rc =
		nx_cat_study(walk->cat, walk->collection, value, walk->x->arena, &study, walk->err);
	if (!walk->rc)
		walk->rc = nx_cat_series_of(walk->cat, study.id, series_look, walk, walk->err);
	else if (walk->rc == NX_E_NOENT)
		walk->rc = NX_OK;
}

/* A step of several studies does not say which instance is of which: all of them are looked at. */
nx_rc expected_find(struct nx_archive *archive, int64_t collection, const char *study,
	struct expected *x, struct nx_err *err)
{
	NX_AUTO(nx_map) *studies = nx_map_new();
	struct walk walk = {
		.cat = nx_archive_cat(archive), .x = x, .err = err, .collection = collection};
	struct rows rows = {0};
	nx_rc rc;

	if (!studies)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the steps of a study");
	rc = rows_read(archive, collection, study, x->arena, &rows, err);
	for (size_t i = 0; i < rows.n && !rc; i++)
		rc = step_take(archive, &rows.ops[i], studies, x, err);
	if (!rc)
		nx_map_each(studies, study_look, &walk);
	return rc ? rc : walk.rc;
}

void expected_json(const struct expected *x, struct nx_json *json)
{
	nx_json_key(json, "steps");
	nx_json_object_begin(json);
	nx_json_kv_uint(json, "in_progress", x->states[NX_STEP_IN_PROGRESS]);
	nx_json_kv_uint(json, "completed", x->states[NX_STEP_COMPLETED]);
	nx_json_kv_uint(json, "discontinued", x->states[NX_STEP_DISCONTINUED]);
	nx_json_object_end(json);
	nx_json_kv_uint(json, "expected", x->n);
	nx_json_kv_uint(json, "found", x->found);
	nx_json_kv_uint(json, "missing", expected_missing(x));
}

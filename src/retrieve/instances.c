/*
 * A selection of instances: rows first, in order, then the bytes of one after another.
 */
#include <assert.h>
#include <stdlib.h>

#include "archive/rewrite.h"
#include "base/enc.h"
#include "crypto/crypto.h"
#include "dicom/dicom.h"
#include "retrieve/instances_priv.h"

enum {
	INSTANCES_ARENA_MAX = 1024 * 1024 * 1024
};

static nx_rc string_copy(struct nx_arena *arena, const char **s)
{
	*s = nx_arena_str(arena, *s ? *s : "", *s ? strlen(*s) : 0);
	return *s ? NX_OK : NX_E_NOMEM;
}

static nx_rc grow(struct nx_instances *x, struct nx_err *err)
{
	size_t cap = x->cap ? x->cap * 2 : 64;
	struct nx_item *items = realloc(x->items, cap * sizeof(*items));
	const struct origin **origins = realloc(x->origins, cap * sizeof(*origins));

	if (items)
		x->items = items;
	if (origins)
		x->origins = origins;
	if (!items || !origins)
		return nx_err_set(err, NX_E_NOMEM, "no memory for %zu instances", cap);
	x->cap = cap;
	return NX_OK;
}

/* Rows last only for the call. */
nx_rc item_keep(void *payload, const void *row, struct nx_err *err)
{
	struct nx_instances *x = payload;
	struct nx_item item = *(const struct nx_item *)row;

	if (x->n == x->cap && grow(x, err))
		return NX_E_NOMEM;
	item.sealed.p = nx_arena_copy(x->arena, item.sealed.p, item.sealed.n);
	if (!item.sealed.p || string_copy(x->arena, &item.name) ||
		string_copy(x->arena, &item.type) || string_copy(x->arena, &item.ts_uid))
		return nx_err_set(err, NX_E_NOMEM, "no memory for an instance");
	x->origins[x->n] = x->now;
	x->items[x->n++] = item;
	return NX_OK;
}

/* What is kept next is of this study and series; both are copied. */
nx_rc origin_set(struct nx_instances *x, const struct nx_study *study, const char *series,
	struct nx_err *err)
{
	struct origin *o = nx_arena_alloc(x->arena, sizeof(*o));

	if (o) {
		*o = (struct origin){study->uid, series, (uint64_t)study->subject};
		if (string_copy(x->arena, &o->study) || string_copy(x->arena, &o->series))
			o = NULL;
	}
	x->now = o;
	return o ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for a series");
}

struct study_walk {
	struct nx_instances *x;
	const struct nx_study *study;
};

static nx_rc series_keep(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_series *series = row;
	struct study_walk *walk = payload;
	nx_rc rc = origin_set(walk->x, walk->study, series->uid, err);

	return rc ? rc : nx_cat_items_of(walk->x->cat, series->id, item_keep, walk->x, err);
}

nx_rc study_keep(struct nx_instances *x, const struct nx_study *study, struct nx_err *err)
{
	struct study_walk walk = {x, study};

	return nx_cat_series_of(x->cat, study->id, series_keep, &walk, err);
}

static nx_rc rows_find(struct nx_instances *x, const struct nx_selection *sel,
	const struct nx_study *study, struct nx_err *err)
{
	struct nx_series series;
	struct nx_item item;
	nx_rc rc;

	if (!sel->series)
		return study_keep(x, study, err);
	rc = nx_cat_series(x->cat, study->id, sel->series, x->arena, &series, err);
	if (!rc)
		rc = origin_set(x, study, series.uid, err);
	if (rc)
		return rc;
	if (!sel->instance) {
		x->series_id = series.id;
		return nx_cat_items_of(x->cat, series.id, item_keep, x, err);
	}
	rc = nx_cat_item_in_series(x->cat, series.id, sel->instance, x->arena, &item, err);
	return rc ? rc : item_keep(x, &item, err);
}

/* An entry for each study's subject, and one for every other whose instances are among them: a
 * patient's accounting has what is read of it, whatever study it came with. */
nx_rc instances_note(struct nx_retrieve *r, const struct nx_principal *who,
	const struct nx_instances *x, struct access_note n, struct nx_err *err)
{
	const struct origin *of = NULL;
	uint64_t subject = 0;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < x->n && !rc; i++) {
		const struct origin *o = x->origins[i];
		bool fresh = !of || strcmp(o->study, of->study) != 0;

		n.study = o->study;
		n.subject = o->subject;
		if (fresh)
			rc = note(r, who, &n, true, err);
		if (fresh)
			subject = o->subject;
		of = o;
		n.subject = (uint64_t)x->items[i].subject;
		if (rc || n.subject == subject || n.subject == o->subject)
			continue;
		subject = n.subject;
		rc = note(r, who, &n, true, err);
	}
	return rc;
}

nx_rc instances_new(struct nx_retrieve *r, struct nx_instances **ret, struct nx_err *err)
{
	NX_AUTO(nx_instances) *x = calloc(1, sizeof(*x));

	if (!x)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a selection");
	x->retrieve = r;
	x->archive = r->archive;
	x->cat = nx_archive_cat(r->archive);
	x->arena = nx_arena_new(INSTANCES_ARENA_MAX, NX_ARENA_WIPE);
	if (!x->arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a selection");
	*ret = NX_STEAL(x);
	return NX_OK;
}

nx_rc instances_of_series(
	struct nx_retrieve *r, int64_t series, struct nx_instances **ret, struct nx_err *err)
{
	NX_AUTO(nx_instances) *x = NULL;
	struct nx_series row;
	struct nx_study study;
	nx_rc rc = instances_new(r, &x, err);

	if (rc)
		return rc;
	x->series_id = series;
	rc = nx_cat_series_by_id(x->cat, series, x->arena, &row, err);
	if (!rc)
		rc = nx_cat_study_by_id(x->cat, row.study, x->arena, &study, err);
	if (!rc)
		rc = origin_set(x, &study, row.uid, err);
	if (!rc)
		rc = nx_cat_items_of(x->cat, series, item_keep, x, err);
	if (!rc)
		*ret = NX_STEAL(x);
	return rc;
}

static nx_rc select_in(struct nx_retrieve *r, const struct nx_principal *who, enum nx_perm perm,
	const struct nx_selection *sel, struct nx_instances *x, struct nx_collection *ret_in,
	struct nx_err *err)
{
	struct nx_study study;
	nx_rc rc = guard(r, who, perm, sel->collection, ret_in, x->arena, err);

	if (!rc)
		rc = nx_archive_current(r->archive, err);
	if (!rc)
		rc = nx_cat_study(x->cat, ret_in->id, sel->study, x->arena, &study, err);
	if (!rc)
		rc = rows_find(x, sel, &study, err);
	return rc || x->n ? rc : nx_err_set(err, NX_E_NOENT, "no such instances");
}

nx_rc instances_select(struct nx_retrieve *r, const struct nx_principal *who, enum nx_perm perm,
	const struct nx_selection *sel, struct nx_instances **ret, struct nx_err *err)
{
	NX_AUTO(nx_instances) *x = NULL;
	struct nx_collection collection;
	nx_rc rc = instances_new(r, &x, err);

	if (!rc)
		rc = select_in(r, who, perm, sel, x, &collection, err);
	if (!rc)
		*ret = NX_STEAL(x);
	return rc;
}

nx_rc instances_find(struct nx_retrieve *r, const struct nx_principal *who,
	const struct nx_selection *sel, unsigned action, struct nx_instances **ret,
	struct nx_err *err)
{
	NX_AUTO(nx_instances) *x = NULL;
	const struct access_note n = {.action = action,
		.collection = sel->collection,
		.what = sel->instance ? sel->instance : sel->series};
	struct nx_collection collection;
	nx_rc rc = instances_new(r, &x, err);

	if (!rc)
		rc = select_in(r, who, NX_PERM_READ, sel, x, &collection, err);
	if (!rc)
		rc = instances_note(r, who, x, n, err);
	if (rc)
		return rc;
	if (action == NX_ACTION_READ_METADATA && x->series_id)
		series_record_find(r, &collection, x);
	*ret = NX_STEAL(x);
	return NX_OK;
}

nx_rc nx_retrieve_open(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_selection *sel, struct nx_instances **ret, struct nx_err *err)
{
	return instances_find(retrieve, who, sel, NX_ACTION_READ, ret, err);
}

struct nx_instances *nx_instances_free(struct nx_instances *instances)
{
	if (!instances)
		return NULL;
	nx_reader_free(instances->reader);
	nx_buf_done(&instances->unpacked);
	free(instances->items);
	free(instances->origins);
	dataset_done(instances);
	nx_arena_free(instances->arena);
	free(instances);
	return NULL;
}

size_t nx_instances_n(const struct nx_instances *instances)
{
	return instances->n;
}

static void etag_put(const uint8_t digest[32], char ret[72])
{
	ret[0] = '"';
	nx_hex_format(digest, 32, ret + 1);
	memcpy(ret + 65, "\"", 2);
}

void etag_format(const struct nx_recipe *recipe, char ret[72])
{
	etag_put(recipe->digest, ret);
}

void nx_instances_info(const struct nx_instances *instances, size_t i, struct nx_instance_info *ret)
{
	const struct nx_item *item = &instances->items[i];

	assert(i < instances->n);
	*ret = (struct nx_instance_info){
		.item = item->id,
		.study = instances->origins[i]->study,
		.series = instances->origins[i]->series,
		.sop_class = item->type,
		.sop_instance = item->name,
		.ts_uid = item->ts_uid,
		.size = (uint64_t)item->size,
		.received_us = item->received_us,
	};
}

nx_rc instances_digest(
	const struct nx_instances *x, const char *salt, uint8_t ret[32], struct nx_err *err)
{
	NX_AUTO(nx_sha256) *sha = nx_sha256_new();

	if (!sha)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a digest");
	nx_sha256_update(sha, salt, strlen(salt));
	for (size_t i = 0; i < x->n; i++)
		nx_sha256_update(sha, &x->items[i].id, sizeof(x->items[i].id));
	nx_sha256_final(sha, ret);
	return NX_OK;
}

uint64_t instances_subject(const struct nx_instances *x)
{
	for (size_t i = 1; i < x->n; i++)
		if (x->items[i].subject != x->items[0].subject)
			return 0;
	return x->n ? (uint64_t)x->items[0].subject : 0;
}

nx_rc nx_instances_set_etag(
	const struct nx_instances *instances, const char *salt, char ret[72], struct nx_err *err)
{
	uint8_t digest[NX_SHA256_LEN];
	nx_rc rc = instances_digest(instances, salt, digest, err);

	if (!rc)
		etag_put(digest, ret);
	return rc;
}

nx_rc nx_instances_at(struct nx_instances *instances, size_t i, const struct nx_item **ret_item,
	struct nx_err *err)
{
	nx_rc rc;

	if (i >= instances->n)
		return nx_err_set(err, NX_E_NOENT, "instance %zu of %zu", i, instances->n);
	instances->reader = nx_reader_free(instances->reader);
	rc = nx_archive_open_item(
		instances->archive, &instances->items[i], &instances->reader, err);
	if (rc)
		return rc;
	instances->at = i;
	*ret_item = &instances->items[i];
	return NX_OK;
}

nx_rc nx_instances_read(struct nx_instances *instances, uint64_t off, void *p, size_t n,
	size_t *ret_n, struct nx_err *err)
{
	return nx_reader_read(instances->reader, off, p, n, ret_n, err);
}

nx_rc instances_header(
	struct nx_instances *x, struct nx_arena *arena, struct nx_dataset **ret, struct nx_err *err)
{
	const struct nx_item *item = &x->items[x->at];
	const struct nx_recipe *recipe = nx_reader_recipe(x->reader);

	return is_deflated(item) ? inflated_dataset(x->archive, item, recipe, arena, ret, err)
				 : nx_archive_header(x->archive, item, recipe, arena, ret, err);
}

nx_rc instances_value(struct nx_instances *x, const struct nx_ts *ts, const struct nx_elem *e,
	struct nx_arena *arena, struct nx_slice *ret, struct nx_err *err)
{
	const size_t len = (size_t)e->bulk_length;
	size_t got = 0;
	uint8_t *bytes;
	nx_rc rc;

	if (e->bulk_length > NX_LIMIT_PIXEL_RENDERED)
		return nx_err_set(
			err, NX_E_LIMIT, "value of %llu bytes", (unsigned long long)e->bulk_length);
	bytes = nx_arena_alloc(arena, len);
	if (!bytes)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a value");
	rc = nx_instances_read(x, e->bulk_offset, bytes, len, &got, err);
	if (!rc && got != len)
		rc = nx_err_set(err, NX_E_SHORT, "the instance ends within a value");
	if (rc)
		return rc;
	if (ts && ts->big_endian)
		nx_dicom_swap(bytes, len, nx_dicom_vr_unit(e->vr));
	*ret = nx_slice(bytes, len);
	return NX_OK;
}

void nx_instances_etag(const struct nx_instances *instances, char ret[72])
{
	etag_format(nx_reader_recipe(instances->reader), ret);
}

/*
 * Corrections: instances are read, rewritten and committed a few at a time; the rows of study and
 * series follow with the last of a study, so that until then it is found as what it was.
 */
#include <stdlib.h>
#include <string.h>

#include "access/access.h"
#include "archive/archive.h"
#include "archive/rewrite.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "edit/edit_priv.h"
#include "ledger/detail.h"
#include "ledger/ledger.h"

enum {
	EDIT_ARENA_MAX = 512 * 1024 * 1024,
	BATCH = 32,
	BATCH_BYTES = 16 * 1024 * 1024, /* of a batch's memory: then it is committed */
	STUDY_BY_SUBJECT = 6            /* index as listed in the catalog's schema */
};

struct nx_edits {
	struct nx_archive *archive;
};

/* One instance on its way; everything a put borrows. */
struct version {
	struct nx_item item;
	struct nx_rewrite made;
	struct nx_put put;
	uint32_t changed; /* bits of the plan's sets */
};

struct batch {
	struct nx_change *change;
	struct version versions[BATCH];
	size_t n;
};

struct id_list {
	int64_t *ids;
	size_t n;
	size_t cap;
	struct nx_arena *arena;
};

struct editing {
	struct nx_archive *archive;
	struct nx_cat *cat;
	const struct nx_principal *who;
	const struct nx_edit_request *req;
	struct edit_plan plan;
	struct nx_arena *arena; /* of the request */
	struct nx_collection collection;
	struct nx_edit_result result;

	/* The study at hand, in an arena of its own. */
	struct nx_arena *study_arena;
	struct nx_study study; /* as it will be */
	struct id_list series;
	struct id_list items;
	struct nx_series *rows;      /* of series, as they will be */
	struct nx_study study_texts; /* what of them changes */
	struct nx_series *series_texts;
	struct nx_restudy restudy;
	bool moves;  /* its instances become those of a patient who is named */
	uint64_t to; /* that patient; 0: nobody yet */
	bool row_differs;
	int64_t only; /* only instances of this subject; 0: of all */

	struct nx_arena *batch_arena;
	struct batch batch;
};

struct nx_edits *nx_edits_new(struct nx_archive *archive)
{
	struct nx_edits *edits = calloc(1, sizeof(*edits));

	if (edits)
		edits->archive = archive;
	return edits;
}

struct nx_edits *nx_edits_free(struct nx_edits *edits)
{
	free(edits);
	return NULL;
}

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for an edit");
}

/* ---- what the ledger has ---- */

static nx_rc entry_put(const struct editing *e, struct nx_change *change, unsigned action,
	struct nx_detail *detail, const struct nx_put *put, uint64_t subject, struct nx_err *err)
{
	struct nx_entry_draft draft = {.action = action,
		.principal = e->who->name,
		.subject = subject,
		.study = e->study.uid};
	nx_rc rc;

	nx_json_kv_str(&detail->json, "collection", e->req->collection);
	nx_json_kv_str(&detail->json, "reason", e->req->reason);
	rc = nx_detail_end(detail, e->who->peer, &draft, err);
	return rc ? rc : nx_change_entry(change, &draft, put, err);
}

static void tags_put(const struct editing *e, uint32_t changed, struct nx_json *json)
{
	char text[16];

	nx_json_key(json, "tags");
	nx_json_array_begin(json);
	for (size_t i = 0; i < e->plan.n; i++) {
		if (!(changed & 1u << i))
			continue;
		(void)snprintf(text, sizeof(text), "%08X", (unsigned)e->plan.sets[i].tag);
		nx_json_str(json, text);
	}
	nx_json_array_end(json);
}

/* The new version, in the chain of whose it is now. */
static nx_rc version_entry(struct editing *e, const struct version *v, struct nx_err *err)
{
	NX_AUTO_DONE(nx_detail) detail;

	nx_detail_begin(&detail);
	nx_json_kv_str(&detail.json, "door", "edit");
	nx_json_kv_str(&detail.json, "item", v->item.name);
	nx_json_kv_str(&detail.json, "kind", e->plan.reason);
	tags_put(e, v->changed, &detail.json);
	return entry_put(e, e->batch.change, NX_ACTION_INSTANCE_EDIT, &detail, &v->put, 0, err);
}

/* What is said of the study, of which no instance that the subject had is changed with it. */
static nx_rc study_entry(struct editing *e, uint64_t subject, struct nx_err *err)
{
	NX_AUTO_DONE(nx_detail) detail;

	nx_detail_begin(&detail);
	nx_json_kv_str(&detail.json, "what", "study");
	nx_json_kv_str(&detail.json, "kind", e->plan.reason);
	tags_put(e, UINT32_MAX, &detail.json);
	return entry_put(e, e->batch.change, NX_ACTION_INSTANCE_EDIT, &detail, NULL, subject, err);
}

/* Nothing changes untold: neither for whose the study was nor for whose it will be. */
static nx_rc study_entries(struct editing *e, struct nx_err *err)
{
	const uint64_t was = (uint64_t)e->study.subject;
	bool told = !e->row_differs;
	nx_rc rc;

	for (size_t i = 0; i < e->batch.n && !told; i++)
		told = (uint64_t)e->batch.versions[i].item.subject == was;
	rc = told ? NX_OK : study_entry(e, was, err);
	if (!rc && !told && !e->batch.n && e->to && e->to != was)
		rc = study_entry(e, e->to, err);
	return rc;
}

/* Whom it is taken from learns it as well: one for every such subject of the batch. */
static nx_rc leaving_entry(struct editing *e, uint64_t subject, size_t n, struct nx_err *err)
{
	NX_AUTO_DONE(nx_detail) detail;

	nx_detail_begin(&detail);
	nx_json_kv_str(&detail.json, "what", "given to another patient");
	nx_json_kv_int(&detail.json, "instances", (int64_t)n);
	return entry_put(e, e->batch.change, NX_ACTION_INSTANCE_EDIT, &detail, NULL, subject, err);
}

static nx_rc leaving_entries(struct editing *e, struct nx_err *err)
{
	const struct batch *b = &e->batch;
	nx_rc rc = NX_OK;

	for (size_t i = 0; e->moves && i < b->n && !rc; i++) {
		bool told = (uint64_t)b->versions[i].item.subject == e->to;
		size_t n = 0;

		for (size_t k = 0; k < b->n && !told; k++) {
			bool same = b->versions[k].item.subject == b->versions[i].item.subject;

			told = same && k < i;
			n += same;
		}
		if (!told)
			rc = leaving_entry(e, (uint64_t)b->versions[i].item.subject, n, err);
	}
	return rc;
}

static nx_rc request_note(
	const struct editing *e, unsigned action, enum nx_outcome outcome, struct nx_err *err)
{
	NX_AUTO_DONE(nx_detail) detail;
	struct nx_entry_draft draft = {.action = action,
		.outcome = outcome,
		.principal = e->who->name,
		.study = e->study.uid};
	nx_rc rc;

	nx_detail_begin(&detail);
	nx_json_kv_str(&detail.json, "what", "edit");
	nx_json_kv_str(&detail.json, "collection", e->req->collection);
	rc = nx_detail_end(&detail, e->who->peer, &draft, err);
	return rc ? rc : nx_archive_record(e->archive, &draft, err);
}

/* ---- one instance ---- */

static void version_put(struct editing *e, struct version *v)
{
	const struct nx_edit_set *number = edit_plan_find(&e->plan, NX_TAG_INSTANCE_NUMBER);

	v->put = (struct nx_put){.collection = &e->collection,
		.subject = e->moves ? 0 : (uint64_t)v->item.subject,
		.study = &e->study,
		.item = &v->item,
		.content = v->made.content,
		.replaces = v->item.id};
	for (size_t i = 0; i < e->series.n; i++)
		if (e->rows[i].id == v->item.series)
			v->put.series = &e->rows[i];
	if (number)
		v->item.number = number->value ? strtoll(number->value, NULL, 10) : 0;
	v->item.size = (int64_t)v->made.size;
	nx_rewrite_put(&v->made, &v->put);
}

static nx_rc version_make(struct editing *e, struct version *v, struct nx_err *err)
{
	const struct nx_ts *ts = nx_ts_find(v->item.ts_uid);
	struct nx_recipe *recipe;
	struct nx_dataset *ds = NULL;
	nx_rc rc = nx_archive_recipe(e->archive, &v->item, e->batch_arena, &recipe, err);

	if (!rc && (!ts || ts->deflated))
		rc = nx_err_set(err, NX_E_UNSUPPORTED,
			"an instance in a transfer syntax that is not written");
	if (!rc)
		rc = nx_archive_header(e->archive, &v->item, recipe, e->batch_arena, &ds, err);
	if (!rc)
		rc = edit_apply(&e->plan, ds, e->batch_arena, &v->changed, err);
	if (rc || !v->changed || e->req->dry_run)
		return rc;
	return nx_archive_rewrite(e->archive,
		&(struct nx_rewrite_of){
			.domain = (uint32_t)v->item.domain, .recipe = recipe, .ds = ds, .ts = ts},
		e->batch_arena, &v->made, err);
}

static void count_changed(struct editing *e, const struct version *v)
{
	e->result.changed++;
	for (size_t i = 0; i < e->plan.n; i++)
		e->result.tags[i].instances += v->changed >> i & 1;
}

static nx_rc batch_add(struct editing *e, int64_t id, struct nx_err *err)
{
	struct version *v = &e->batch.versions[e->batch.n];
	nx_rc rc = nx_cat_item_by_id(e->cat, id, e->batch_arena, &v->item, err);

	if (rc == NX_E_NOENT || (!rc && v->item.state != NX_ITEM_LIVE))
		return nx_err_set(err, NX_E_PRECONDITION, "an instance changed meanwhile");
	if (rc || (e->only && v->item.subject != e->only))
		return rc;
	e->result.instances++;
	memset(&v->made, 0, sizeof(v->made));
	rc = version_make(e, v, err);
	if (rc || !v->changed)
		return rc;
	count_changed(e, v);
	if (e->req->dry_run)
		return NX_OK;
	version_put(e, v);
	e->batch.n++;
	rc = nx_change_put(e->batch.change, &v->put, err);
	return rc ? rc : version_entry(e, v, err);
}

/* ---- batches ---- */

static nx_rc batch_begin(struct editing *e, struct nx_err *err)
{
	nx_arena_reset(e->batch_arena);
	e->batch.n = 0;
	e->batch.change = nx_change_new();
	return e->batch.change ? NX_OK : no_memory(err);
}

/* Puts that no change took still have their blob. */
static void batch_end(struct editing *e)
{
	e->batch.change = nx_change_free(e->batch.change);
	for (size_t i = 0; i <= e->batch.n && i < BATCH; i++)
		e->batch.versions[i].made.blobs[0] =
			nx_blob_free(e->batch.versions[i].made.blobs[0]);
	memset(&e->batch, 0, sizeof(e->batch));
}

static nx_rc batch_commit(struct editing *e, bool last, struct nx_err *err)
{
	nx_rc rc = leaving_entries(e, err);

	if (rc || e->req->dry_run || (!e->batch.n && !(last && e->row_differs)))
		return rc;
	if (last) {
		nx_change_restudy(e->batch.change, &e->restudy);
		rc = study_entries(e, err);
	}
	return rc ? rc : nx_archive_commit(e->archive, e->batch.change, err);
}

static nx_rc batch_next(struct editing *e, struct nx_err *err)
{
	nx_rc rc = batch_commit(e, false, err);

	batch_end(e);
	return rc ? rc : batch_begin(e, err);
}

static nx_rc instances_run(struct editing *e, struct nx_err *err)
{
	nx_rc rc = batch_begin(e, err);

	for (size_t i = 0; i < e->items.n && !rc; i++) {
		if (e->batch.n == BATCH || nx_arena_used(e->batch_arena) > BATCH_BYTES)
			rc = batch_next(e, err);
		if (!rc)
			rc = batch_add(e, e->items.ids[i], err);
	}
	if (!rc)
		rc = batch_commit(e, true, err);
	batch_end(e);
	return rc;
}

/* ---- one study ---- */

static nx_rc id_add(struct id_list *l, int64_t id, struct nx_err *err)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		int64_t *ids = nx_arena_alloc_array(l->arena, cap, sizeof(*ids));

		if (!ids)
			return no_memory(err);
		if (l->n)
			memcpy(ids, l->ids, l->n * sizeof(*ids));
		l->ids = ids;
		l->cap = cap;
	}
	l->ids[l->n++] = id;
	return NX_OK;
}

struct walk {
	struct editing *e;
	int64_t first; /* subject; of a whole study its own; 0: none yet */
	bool mixed;
};

static nx_rc item_add(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_item *item = row;
	struct walk *w = payload;
	const char *want = w->e->req->level == NX_EDIT_INSTANCE ? w->e->req->instance : NULL;

	if (want && strcmp(want, item->name) != 0)
		return NX_OK;
	if (!w->first)
		w->first = item->subject;
	w->mixed |= item->subject != w->first && (uint64_t)item->subject != w->e->to;
	return id_add(&w->e->items, item->id, err);
}

static nx_rc series_add(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_series *series = row;
	struct walk *w = payload;
	struct editing *e = w->e;
	nx_rc rc;

	if (e->req->level <= NX_EDIT_SERIES && strcmp(e->req->series, series->uid) != 0)
		return NX_OK;
	rc = id_add(&e->series, series->id, err);
	return rc ? rc : nx_cat_items_of(e->cat, series->id, item_add, w, err);
}

static bool is_of_patient(nx_tag tag)
{
	return tag >> 16 == 0x0010;
}

/* What is said of a patient cannot be said of two. */
static nx_rc mixed_check(const struct editing *e, const struct walk *w, struct nx_err *err)
{
	bool named = e->only || edit_plan_find(&e->plan, NX_TAG_PATIENT_ID);

	for (size_t i = 0; w->mixed && !named && i < e->plan.n; i++)
		if (is_of_patient(e->plan.sets[i].tag))
			return nx_err_set(err, NX_E_CONFLICT,
				"the study has instances of two patients: name the patient's id");
	return NX_OK;
}

static bool texts_differ(
	const struct editing *e, enum nx_edit_level level, const void *a, const void *b)
{
	for (size_t i = 0; i < e->plan.n; i++) {
		const size_t at = edit_row_text(e->plan.sets[i].tag, level);
		const char *x, *y;

		if (!at)
			continue;
		memcpy(&x, (const char *)a + at, sizeof(x));
		memcpy(&y, (const char *)b + at, sizeof(y));
		if (strcmp(x ? x : "", y ? y : "") != 0)
			return true;
	}
	return false;
}

/* The rows as they will be, and what of them changes. */
static nx_rc rows_make(struct editing *e, const struct nx_study *was, struct nx_err *err)
{
	nx_rc rc = edit_row_fill(&e->plan, NX_EDIT_STUDY, &e->study, e->study_arena, err);

	e->study_texts = (struct nx_study){.id = was->id};
	if (!rc)
		rc = edit_row_fill(&e->plan, NX_EDIT_STUDY, &e->study_texts, e->study_arena, err);
	e->row_differs = texts_differ(e, NX_EDIT_STUDY, was, &e->study);
	e->rows = nx_arena_alloc_array(e->study_arena, e->series.n + 1, sizeof(*e->rows));
	e->series_texts = nx_arena_alloc_array(e->study_arena, e->series.n + 1, sizeof(*e->rows));
	if (!rc && (!e->rows || !e->series_texts))
		rc = no_memory(err);
	for (size_t i = 0; i < e->series.n && !rc; i++) {
		struct nx_series series;
		struct nx_series *texts = &e->series_texts[i];

		*texts = (struct nx_series){.id = e->series.ids[i]};
		rc = nx_cat_series_by_id(e->cat, e->series.ids[i], e->study_arena, &series, err);
		e->rows[i] = series;
		if (!rc)
			rc = edit_row_fill(
				&e->plan, NX_EDIT_SERIES, &e->rows[i], e->study_arena, err);
		if (!rc)
			rc = edit_row_fill(&e->plan, NX_EDIT_SERIES, texts, e->study_arena, err);
		e->row_differs |= !rc && texts_differ(e, NX_EDIT_SERIES, &series, &e->rows[i]);
	}
	e->restudy = (struct nx_restudy){.domain = (uint32_t)e->collection.domain,
		.study = &e->study_texts,
		.series = e->series_texts,
		.n_series = e->series.n};
	return rc;
}

/* Where it was cut short, some instances are of that patient already. */
static nx_rc to_find(struct editing *e, const struct nx_study *study, struct nx_err *err)
{
	const struct nx_edit_set *id = edit_plan_find(&e->plan, NX_TAG_PATIENT_ID);
	const struct nx_edit_set *issuer = edit_plan_find(&e->plan, NX_TAG_ISSUER_OF_PATIENT_ID);
	const char *of = issuer ? issuer->value : study->issuer;
	nx_rc rc;

	e->moves = id || issuer;
	e->to = 0;
	if (!e->moves)
		return NX_OK;
	rc = nx_cat_subject_find(e->cat, e->collection.domain, of ? of : "",
		id ? id->value : study->patient_id, &e->to, err);
	return rc == NX_E_NOENT ? NX_OK : rc;
}

static nx_rc study_run(struct editing *e, const struct nx_study *study, struct nx_err *err)
{
	struct walk w = {.e = e, .first = e->req->level < NX_EDIT_STUDY ? 0 : study->subject};
	nx_rc rc;

	nx_arena_reset(e->study_arena);
	e->items = (struct id_list){.arena = e->study_arena};
	e->series = (struct id_list){.arena = e->study_arena};
	e->study = *study;
	e->only = e->req->level == NX_EDIT_PATIENT ? study->subject : 0;
	rc = to_find(e, study, err);
	if (!rc)
		rc = nx_cat_series_of(e->cat, study->id, series_add, &w, err);
	if (!rc && !e->items.n)
		rc = nx_err_set(err, NX_E_NOENT, "no such instances");
	if (!rc)
		rc = mixed_check(e, &w, err);
	if (!rc)
		rc = rows_make(e, study, err);
	if (!rc)
		rc = instances_run(e, err);
	e->result.studies += !rc;
	return rc;
}

/* ---- which studies ---- */

typedef nx_rc (*study_fn)(struct editing *e, const struct nx_study *study, struct nx_err *err);

/* Those of the collection. */
static nx_rc studies_of(struct editing *e, const char *patient_id, const char *issuer, study_fn fn,
	struct nx_err *err)
{
	struct nx_study study;
	struct nx_val where;
	struct nx_op *rows = NULL;
	uint64_t subject = 0;
	size_t n = 0, found = 0;
	nx_rc rc = nx_cat_subject_find(
		e->cat, e->collection.domain, issuer ? issuer : "", patient_id, &subject, err);

	where = nx_val_int((int64_t)subject);
	if (!rc)
		rc = nx_cat_rows(e->cat,
			&(struct nx_rows_of){.table = NX_T_STUDY,
				.index = STUDY_BY_SUBJECT,
				.where = &where,
				.n_where = 1},
			e->arena, &rows, &n, err);
	for (size_t i = 0; i < n && !rc; i++) {
		rc = nx_op_row(&rows[i], e->arena, &study, err);
		if (rc || study.collection != e->collection.id || study.n_instances <= 0)
			continue;
		found++;
		rc = fn(e, &study, err);
	}
	if (rc == NX_E_NOENT || (!rc && !found))
		return nx_err_set(err, NX_E_NOENT, "no studies of such a patient");
	return rc;
}

/* ---- the patient that it is given to ---- */

/* The newest study says best what a patient is called. */
static nx_rc patient_take(struct editing *e, const struct nx_study *study, struct nx_err *err)
{
	(void)err;
	if (!e->study.id || study->updated_us > e->study.updated_us)
		e->study = *study;
	return NX_OK;
}

static nx_rc patient_add(struct editing *e, const struct nx_study *as, struct nx_err *err)
{
	nx_rc rc = edit_plan_add(&e->plan, NX_TAG_PATIENT_ID, as->patient_id, err);

	if (!rc)
		rc = edit_plan_add(&e->plan, NX_TAG_ISSUER_OF_PATIENT_ID,
			as->issuer[0] ? as->issuer : NULL, err);
	if (!rc)
		rc = edit_plan_add(&e->plan, NX_TAG_PATIENT_NAME, as->patient_name, err);
	if (!rc)
		rc = edit_plan_add(&e->plan, NX_TAG_PATIENT_BIRTH_DATE, as->birth_date, err);
	return rc ? rc : edit_plan_add(&e->plan, NX_TAG_PATIENT_SEX, as->sex, err);
}

static nx_rc into_find(struct editing *e, struct nx_err *err)
{
	nx_rc rc = studies_of(e, e->req->into, e->req->into_issuer, patient_take, err);

	if (!rc)
		rc = patient_add(e, &e->study, err);
	memset(&e->study, 0, sizeof(e->study));
	return rc;
}

/* ---- the request ---- */

static nx_rc begin(struct editing *e, struct nx_err *err)
{
	struct nx_err why;
	nx_rc rc = nx_access_check(e->who, NX_PERM_EDIT, e->req->collection, err);

	if (rc) {
		if (request_note(e, NX_ACTION_ACCESS_DENY, NX_OUTCOME_MINOR, &why))
			nx_log_err(NX_LOG_ERROR, "edit", "ledger.record", &why);
		return rc;
	}
	rc = edit_plan_make(e->req, &e->plan, err);
	if (!rc)
		rc = nx_cat_collection(e->cat, e->req->collection, e->arena, &e->collection, err);
	if (!rc)
		rc = nx_archive_current(e->archive, err);
	if (!rc && e->req->into)
		rc = into_find(e, err);
	e->result.n_tags = e->plan.n;
	for (size_t i = 0; i < e->plan.n; i++)
		e->result.tags[i].tag = e->plan.sets[i].tag;
	return rc;
}

static nx_rc run(struct editing *e, struct nx_err *err)
{
	struct nx_study study;
	nx_rc rc = begin(e, err);

	if (rc)
		return rc;
	if (e->req->level == NX_EDIT_PATIENT) {
		rc = studies_of(e, e->req->patient_id, e->req->issuer, study_run, err);
	} else {
		rc = nx_cat_study(e->cat, e->collection.id, e->req->study, e->arena, &study, err);
		if (!rc)
			rc = study_run(e, &study, err);
	}
	if (!rc && e->req->dry_run)
		rc = request_note(e, NX_ACTION_QUERY, NX_OUTCOME_OK, err);
	return rc;
}

nx_rc nx_edit_run(struct nx_edits *edits, const struct nx_principal *who,
	const struct nx_edit_request *request, struct nx_edit_result *ret, struct nx_err *err)
{
	struct editing *e = calloc(1, sizeof(*e));
	nx_rc rc;

	if (!e)
		return no_memory(err);
	e->archive = edits->archive;
	e->cat = nx_archive_cat(edits->archive);
	e->who = who;
	e->req = request;
	e->arena = nx_arena_new(EDIT_ARENA_MAX, NX_ARENA_WIPE);
	e->study_arena = nx_arena_new(EDIT_ARENA_MAX, NX_ARENA_WIPE);
	e->batch_arena = nx_arena_new(EDIT_ARENA_MAX, NX_ARENA_WIPE);
	rc = e->arena && e->study_arena && e->batch_arena ? run(e, err) : no_memory(err);
	if (!rc)
		*ret = e->result;
	nx_arena_free(e->arena);
	nx_arena_free(e->study_arena);
	nx_arena_free(e->batch_arena);
	explicit_bzero(e, sizeof(*e));
	free(e);
	return rc;
}

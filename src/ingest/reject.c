/*
 * A rejection note of our own: a Key Object Selection (PS3.3 A.35.4) of the study, by template
 * 2010, which goes the way of every instance.
 */
#include "ingest/reject.h"

#include <stdlib.h>
#include <time.h>

#include "archive/rewrite.h"
#include "base/clock.h"
#include "ingest/ingest_priv.h"

enum {
	NOTE_ARENA_MAX = 256 * 1024 * 1024,
	ELEMENTS = 32, /* of any data set of a note */
	DATE_LEN = 8,
	TIME_LEN = 6
};

struct series_refs {
	struct series_refs *next;
	const char *uid;
	struct nx_dataset **refs; /* of the evidence */
	size_t n;
};

struct writing {
	const struct nx_reject_request *req;
	struct nx_archive *archive;
	struct nx_cat *cat;
	struct nx_arena *arena;
	struct nx_study study;
	struct series_refs *series; /* newest first */
	size_t n_series;
	struct nx_dataset **content; /* of the content tree */
	size_t n;
	size_t cap;
	char uids[2][NX_LIMIT_UID + 1];
	char date[DATE_LEN + 1];
	char time[TIME_LEN + 1];
};

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for a note");
}

static void items_put(struct nx_dataset *ds, nx_tag tag, struct nx_dataset **items, size_t n)
{
	nx_dataset_put(ds,
		&(struct nx_elem){.tag = tag, .vr = NX_VR('S', 'Q'), .items = items, .n_items = n});
}

static bool item_put(struct writing *w, struct nx_dataset *ds, nx_tag tag, struct nx_dataset *item)
{
	struct nx_dataset **items = nx_arena_alloc(w->arena, sizeof(struct nx_dataset *));

	if (!items || !item)
		return false;
	items[0] = item;
	items_put(ds, tag, items, 1);
	return true;
}

/* ---- what is referred to ---- */

static struct nx_dataset *sop_ref(struct writing *w, const char *type, const char *name)
{
	struct nx_dataset *ref = nx_dataset_new(w->arena, 2);

	if (!ref)
		return NULL;
	nx_dataset_put_text(ref, NX_TAG_REFERENCED_SOP_CLASS_UID, type);
	nx_dataset_put_text(ref, NX_TAG_REFERENCED_SOP_INSTANCE_UID, name);
	return ref;
}

static struct nx_dataset *content_item(struct writing *w, struct nx_dataset *ref, bool image)
{
	struct nx_dataset *item = nx_dataset_new(w->arena, 3);

	if (!item || !item_put(w, item, NX_TAG_REFERENCED_SOP_SEQUENCE, ref))
		return NULL;
	nx_dataset_put_text(item, NX_TAG_RELATIONSHIP_TYPE, "CONTAINS");
	nx_dataset_put_text(item, NX_TAG_VALUE_TYPE, image ? "IMAGE" : "COMPOSITE");
	return item;
}

static bool grow(struct nx_arena *arena, struct nx_dataset ***list, size_t n, size_t *cap)
{
	size_t more = *cap ? *cap * 2 : 64;
	struct nx_dataset **to;

	if (n < *cap)
		return true;
	to = nx_arena_alloc_array(arena, more, sizeof(struct nx_dataset *));
	if (!to)
		return false;
	if (n)
		memcpy(to, *list, n * sizeof(*to));
	*list = to;
	*cap = more;
	return true;
}

struct series_walk {
	struct writing *w;
	struct series_refs *of;
	size_t cap;
};

/* The note that said it before, which stays with its study. */
static nx_rc is_note(
	const struct writing *w, const struct nx_item *item, bool *ret, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = NULL;
	struct nx_recipe *recipe;
	struct nx_dataset *ds;
	int64_t reason = 0;
	nx_rc rc;

	*ret = false;
	if (strcmp(item->type, NX_UID_KEY_OBJECT_SELECTION_DOCUMENT_STORAGE) != 0)
		return NX_OK;
	arena = nx_arena_new(NOTE_ARENA_MAX, NX_ARENA_WIPE);
	if (!arena)
		return no_memory(err);
	rc = nx_archive_recipe(w->archive, item, arena, &recipe, err);
	if (!rc)
		rc = nx_archive_header(w->archive, item, recipe, arena, &ds, err);
	if (!rc)
		rc = note_title(ds, arena, &reason, err);
	*ret = reason != 0;
	return rc;
}

static nx_rc item_refer(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_item *item = row;
	struct series_walk *walk = payload;
	struct writing *w = walk->w;
	struct nx_dataset *ref;
	const char *type, *name;
	bool note = false;
	nx_rc rc = NX_OK;

	if (w->req->instance && strcmp(w->req->instance, item->name) != 0)
		return NX_OK;
	if (!w->req->instance)
		rc = is_note(w, item, &note, err);
	if (rc || note)
		return rc;
	type = nx_arena_str(w->arena, item->type, strlen(item->type));
	name = nx_arena_str(w->arena, item->name, strlen(item->name));
	ref = type && name ? sop_ref(w, type, name) : NULL;
	if (!ref || !grow(w->arena, &walk->of->refs, walk->of->n, &walk->cap) ||
		!grow(w->arena, &w->content, w->n, &w->cap))
		return no_memory(err);
	walk->of->refs[walk->of->n++] = ref;
	w->content[w->n] = content_item(w, ref, item->rows > 0);
	return w->content[w->n++] ? NX_OK : no_memory(err);
}

static nx_rc series_refer(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_series *series = row;
	struct writing *w = payload;
	struct series_walk walk = {.w = w, .of = nx_arena_alloc(w->arena, sizeof(*walk.of))};
	nx_rc rc;

	if (w->req->series && strcmp(w->req->series, series->uid) != 0)
		return NX_OK;
	if (!walk.of)
		return no_memory(err);
	*walk.of = (struct series_refs){
		.next = w->series, .uid = nx_arena_str(w->arena, series->uid, strlen(series->uid))};
	rc = nx_cat_items_of(w->cat, series->id, item_refer, &walk, err);
	if (rc || !walk.of->n)
		return rc;
	w->series = walk.of;
	w->n_series++;
	return walk.of->uid ? NX_OK : no_memory(err);
}

/* ---- the note ---- */

static bool evidence_put(struct writing *w, struct nx_dataset *ds)
{
	struct nx_dataset *study = nx_dataset_new(w->arena, 2);
	struct nx_dataset **items =
		nx_arena_alloc_array(w->arena, w->n_series, sizeof(struct nx_dataset *));
	size_t n = 0;

	for (const struct series_refs *s = w->series; s && items; s = s->next) {
		items[n] = nx_dataset_new(w->arena, 2);
		if (!items[n])
			return false;
		nx_dataset_put_text(items[n], NX_TAG_SERIES_INSTANCE_UID, s->uid);
		items_put(items[n++], NX_TAG_REFERENCED_SOP_SEQUENCE, s->refs, s->n);
	}
	if (!study || !items)
		return false;
	nx_dataset_put_text(study, NX_TAG_STUDY_INSTANCE_UID, w->study.uid);
	items_put(study, NX_TAG_REFERENCED_SERIES_SEQUENCE, items, n);
	return item_put(w, ds, NX_TAG_CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, study);
}

static bool title_put(struct writing *w, struct nx_dataset *ds)
{
	struct nx_dataset *title = nx_dataset_new(w->arena, 3);
	struct nx_dataset *template = nx_dataset_new(w->arena, 2);
	const char *meaning;

	if (!title || !template)
		return false;
	nx_dataset_put_text(title, NX_TAG_CODE_VALUE, rejection_code(w->req->reason, &meaning));
	nx_dataset_put_text(title, NX_TAG_CODING_SCHEME_DESIGNATOR, "DCM");
	nx_dataset_put_text(title, NX_TAG_CODE_MEANING, meaning);
	nx_dataset_put_text(template, NX_TAG_MAPPING_RESOURCE, "DCMR");
	nx_dataset_put_text(template, NX_TAG_TEMPLATE_IDENTIFIER, "2010");
	return item_put(w, ds, NX_TAG_CONCEPT_NAME_CODE_SEQUENCE, title) &&
		item_put(w, ds, NX_TAG_CONTENT_TEMPLATE_SEQUENCE, template);
}

static void texts_put(struct writing *w, struct nx_dataset *ds)
{
	const struct {
		nx_tag tag;
		const char *value;
	} texts[] = {
		{NX_TAG_SPECIFIC_CHARACTER_SET, "ISO_IR 192"},
		{NX_TAG_SOP_CLASS_UID, NX_UID_KEY_OBJECT_SELECTION_DOCUMENT_STORAGE},
		{NX_TAG_SOP_INSTANCE_UID, w->uids[0]},
		{NX_TAG_STUDY_DATE, w->study.date},
		{NX_TAG_CONTENT_DATE, w->date},
		{NX_TAG_STUDY_TIME, w->study.time},
		{NX_TAG_CONTENT_TIME, w->time},
		{NX_TAG_ACCESSION_NUMBER, w->study.accession},
		{NX_TAG_MODALITY, "KO"},
		{NX_TAG_MANUFACTURER, "narthex"},
		{NX_TAG_REFERRING_PHYSICIAN_NAME, w->study.referring},
		{NX_TAG_PATIENT_NAME, w->study.patient_name},
		{NX_TAG_PATIENT_ID, w->study.patient_id},
		{NX_TAG_PATIENT_BIRTH_DATE, w->study.birth_date},
		{NX_TAG_PATIENT_SEX, w->study.sex},
		{NX_TAG_STUDY_INSTANCE_UID, w->study.uid},
		{NX_TAG_SERIES_INSTANCE_UID, w->uids[1]},
		{NX_TAG_STUDY_ID, w->study.study_id},
		{NX_TAG_SERIES_NUMBER, "1"},
		{NX_TAG_INSTANCE_NUMBER, "1"},
		{NX_TAG_VALUE_TYPE, "CONTAINER"},
		{NX_TAG_CONTINUITY_OF_CONTENT, "SEPARATE"},
	};

	for (size_t i = 0; i < NX_ARRAY_LEN(texts); i++)
		nx_dataset_put_text(ds, texts[i].tag, texts[i].value ? texts[i].value : "");
	if (w->study.issuer && w->study.issuer[0])
		nx_dataset_put_text(ds, NX_TAG_ISSUER_OF_PATIENT_ID, w->study.issuer);
	items_put(ds, NX_TAG_REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, NULL, 0);
}

static void now_format(struct writing *w)
{
	time_t s = (time_t)(nx_now_us() / 1000000);
	struct tm tm;

	(void)gmtime_r(&s, &tm);
	(void)strftime(w->date, sizeof(w->date), "%Y%m%d", &tm);
	(void)strftime(w->time, sizeof(w->time), "%H%M%S", &tm);
}

static nx_rc note_write(struct writing *w, struct nx_buf *out, struct nx_err *err)
{
	struct nx_dataset *ds = nx_dataset_new(w->arena, ELEMENTS);

	if (!ds)
		return no_memory(err);
	nx_uid_new(w->uids[0]);
	nx_uid_new(w->uids[1]);
	now_format(w);
	texts_put(w, ds);
	if (!title_put(w, ds) || !evidence_put(w, ds))
		return no_memory(err);
	items_put(ds, NX_TAG_CONTENT_SEQUENCE, w->content, w->n);
	return nx_dataset_write(ds, NULL, out, NULL, NULL, err);
}

static nx_rc note_store(struct nx_ingest *ingest, const struct writing *w, struct nx_slice bytes,
	struct nx_ingest_result *ret, struct nx_err *err)
{
	const struct nx_ingest_opts opts = {.who = w->req->who,
		.collection = w->req->collection,
		.door = "reject",
		.ts_uid = NX_UID_EXPLICIT_VR_LITTLE_ENDIAN,
		.sop_class = NX_UID_KEY_OBJECT_SELECTION_DOCUMENT_STORAGE,
		.sop_instance = w->uids[0]};
	NX_AUTO(nx_ingest_job) *job = NULL;
	nx_rc rc = dicom_begin(ingest, &opts, NX_PERM_REJECT, &job, err);

	if (rc)
		return rc;
	job->refuse_only = true;
	rc = nx_ingest_feed(job, bytes.p, bytes.n, err);
	if (!rc)
		rc = nx_ingest_submit(job, err);
	return rc ? rc : nx_ingest_wait(job, ret, err);
}

static nx_rc selection_read(struct nx_ingest *ingest, struct writing *w, struct nx_err *err)
{
	struct nx_collection collection;
	nx_rc rc = nx_cat_collection(w->cat, w->req->collection, w->arena, &collection, err);

	if (!rc)
		rc = nx_archive_current(ingest->archive, err);
	if (!rc)
		rc = nx_cat_study(w->cat, collection.id, w->req->study, w->arena, &w->study, err);
	if (!rc)
		rc = nx_cat_series_of(w->cat, w->study.id, series_refer, w, err);
	return rc || w->n ? rc : nx_err_set(err, NX_E_NOENT, "no such instances");
}

/* Whoever may not reject gets a job that says so, and an entry of that. */
static nx_rc may(struct nx_ingest *ingest, const struct nx_reject_request *req, struct nx_err *err)
{
	NX_AUTO(nx_ingest_job) *job = NULL;

	return job_new(ingest, req->who, NX_PERM_REJECT, req->collection, "reject", &job, err);
}

nx_rc nx_reject(struct nx_ingest *ingest, const struct nx_reject_request *request,
	struct nx_ingest_result *ret_note, uint64_t *ret_rejected, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(NOTE_ARENA_MAX, NX_ARENA_WIPE);
	struct writing w = {.req = request,
		.archive = ingest->archive,
		.cat = nx_archive_cat(ingest->archive),
		.arena = arena};
	NX_AUTO_DONE(nx_buf) bytes;
	nx_rc rc;

	nx_buf_init(&bytes, NX_LIMIT_DICOM_HEADER, NX_BUF_WIPE);
	if (!arena)
		return no_memory(err);
	rc = may(ingest, request, err);
	if (!rc)
		rc = selection_read(ingest, &w, err);
	if (!rc)
		rc = note_write(&w, &bytes, err);
	if (!rc)
		rc = note_store(ingest, &w, nx_buf_slice(&bytes), ret_note, err);
	if (!rc)
		*ret_rejected = w.n;
	return rc;
}

#include "lifecycle/steps.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "ledger/detail.h"
#include "lifecycle/expected_priv.h"
#include "lifecycle/trail_priv.h"

enum {
	LIST_LIMIT = 1000,
	EVENTS_MAX = 1000, /* of the patient: the study's last one is among the newest */
	MISSING_MAX = 10000,
	ROWS_MEMORY = 16 * 1024 * 1024
};

#define TAG_MODALITY     NX_TAG(0x0008, 0x0060)
#define TAG_PATIENT_NAME NX_TAG(0x0010, 0x0010)
#define TAG_PATIENT_ID   NX_TAG(0x0010, 0x0020)
#define TAG_STATION      NX_TAG(0x0040, 0x0241)
#define TAG_START_DATE   NX_TAG(0x0040, 0x0244)
#define TAG_START_TIME   NX_TAG(0x0040, 0x0245)
#define TAG_END_DATE     NX_TAG(0x0040, 0x0250)
#define TAG_END_TIME     NX_TAG(0x0040, 0x0251)

struct access {
	struct nx_archive *archive;
	const struct nx_principal *who;
	const char *collection;
};

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for performed procedure steps");
}

/* ---- who may, and the ledger ---- */

static nx_rc enter(const struct access *a, enum nx_perm perm, struct nx_arena *arena,
	struct nx_collection *ret, struct nx_err *err)
{
	nx_rc rc = trail_guard(a->archive, a->who, perm, a->collection, "performed-steps", err);

	if (!rc)
		rc = nx_archive_current(a->archive, err);
	return rc ? rc
		  : nx_cat_collection(nx_archive_cat(a->archive), a->collection, arena, ret, err);
}

static nx_rc note(const struct access *a, const struct nx_entry_draft *draft, const char *what,
	struct nx_err *err)
{
	struct nx_entry_draft whole = *draft;
	NX_AUTO_DONE(nx_detail) detail;
	nx_rc rc;

	nx_detail_begin(&detail);
	nx_json_kv_str(&detail.json, "collection", a->collection);
	nx_json_kv_str(&detail.json, "what", what);
	whole.principal = a->who->name;
	rc = nx_detail_end(&detail, a->who->peer, &whole, err);
	return rc ? rc : nx_archive_record(a->archive, &whole, err);
}

/* ---- one step ---- */

static nx_rc text_json(struct nx_json *json, const char *key, const struct nx_dataset *ds,
	nx_tag tag, struct nx_arena *arena, struct nx_err *err)
{
	const char *text = nx_dataset_text(ds, tag, arena);

	if (!text)
		return no_memory(err);
	nx_json_kv_str(json, key, text);
	return NX_OK;
}

/* Date and time as DICOM writes a moment: 20260131081530. */
static nx_rc moment_json(struct nx_json *json, const char *key, const struct nx_dataset *ds,
	nx_tag date_tag, nx_tag time_tag, struct nx_arena *arena, struct nx_err *err)
{
	const char *date = nx_dataset_text(ds, date_tag, arena);
	const char *time = nx_dataset_text(ds, time_tag, arena);
	const char *both = date && time ? nx_arena_printf(arena, "%s%s", date, time) : NULL;

	if (!both)
		return no_memory(err);
	nx_json_kv_str(json, key, *both ? both : NULL);
	return NX_OK;
}

static nx_rc step_json(struct nx_json *json, const struct nx_item *item,
	const struct nx_dataset *ds, struct nx_arena *arena, struct nx_err *err)
{
	static const struct {
		const char *key;
		nx_tag tag;
	} texts[] = {{"patient", TAG_PATIENT_ID}, {"name", TAG_PATIENT_NAME},
		{"modality", TAG_MODALITY}, {"station", TAG_STATION}};
	struct nx_step step;
	nx_rc rc = nx_step_read(ds, arena, &step, err);

	if (rc)
		return rc;
	nx_json_kv_str(json, "uid", item->name + strlen(NX_STEP_PREFIX));
	nx_json_kv_str(json, "state", nx_step_word(step.state));
	for (size_t i = 0; i < NX_ARRAY_LEN(texts) && !rc; i++)
		rc = text_json(json, texts[i].key, ds, texts[i].tag, arena, err);
	if (!rc)
		rc = moment_json(json, "started", ds, TAG_START_DATE, TAG_START_TIME, arena, err);
	if (!rc)
		rc = moment_json(json, "ended", ds, TAG_END_DATE, TAG_END_TIME, arena, err);
	nx_json_key(json, "studies");
	nx_json_array_begin(json);
	for (size_t i = 0; i < step.n_studies; i++)
		nx_json_str(json, step.studies[i]);
	nx_json_array_end(json);
	nx_json_kv_uint(json, "series", step.n_series);
	nx_json_kv_uint(json, "instances", step.n_refs);
	return rc ? rc : nx_buf_check(json->out, err);
}

/* ---- the list ---- */

struct list {
	struct nx_archive *archive;
	struct nx_json json;
	struct nx_arena *arena; /* of one step */
	char last[NX_LIMIT_OBJECT_KEY + 1];
	unsigned n;
};

static nx_rc list_row(void *payload, const void *row, struct nx_err *err)
{
	struct list *list = payload;
	const struct nx_item *item = row;
	struct nx_dataset *ds;
	nx_rc rc;

	list->n++;
	(void)snprintf(list->last, sizeof(list->last), "%s", item->name);
	nx_arena_reset(list->arena);
	rc = step_load(list->archive, item, list->arena, &ds, err);
	if (rc == NX_E_ERASED)
		return NX_OK;
	if (rc)
		return rc;
	nx_json_object_begin(&list->json);
	rc = step_json(&list->json, item, ds, list->arena, err);
	nx_json_object_end(&list->json);
	return rc;
}

static nx_rc list_rows(
	struct list *list, int64_t collection, const struct nx_steps_ask *ask, struct nx_err *err)
{
	unsigned limit = ask->limit && ask->limit < LIST_LIMIT ? ask->limit : LIST_LIMIT;
	char after[NX_LIMIT_OBJECT_KEY + 1] = "";
	nx_rc rc;

	if (ask->after && *ask->after)
		(void)snprintf(after, sizeof(after), "%s%s", NX_STEP_PREFIX, ask->after);
	nx_json_object_begin(&list->json);
	nx_json_key(&list->json, "performed_steps");
	nx_json_array_begin(&list->json);
	rc = nx_cat_objects(nx_archive_cat(list->archive),
		&(struct nx_objects_of){.collection = collection,
			.prefix = NX_STEP_PREFIX,
			.after = after,
			.limit = limit},
		list_row, list, err);
	nx_json_array_end(&list->json);
	nx_json_kv_str(
		&list->json, "next", list->n == limit ? list->last + strlen(NX_STEP_PREFIX) : NULL);
	nx_json_object_end(&list->json);
	return rc;
}

nx_rc nx_steps_list(struct nx_archive *archive, const struct nx_principal *who,
	const struct nx_steps_ask *ask, struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(STEP_MEMORY, NX_ARENA_WIPE);
	const struct access a = {archive, who, ask->collection};
	const struct nx_entry_draft draft = {.action = NX_ACTION_QUERY};
	struct list list = {.archive = archive, .arena = arena};
	struct nx_collection collection;
	nx_rc rc;

	if (!arena)
		return no_memory(err);
	nx_json_init(&list.json, out);
	rc = enter(&a, NX_PERM_WORKLIST, arena, &collection, err);
	if (!rc)
		rc = note(&a, &draft, "performed-steps", err);
	if (!rc)
		rc = list_rows(&list, collection.id, ask, err);
	return rc ? rc : nx_buf_check(out, err);
}

nx_rc nx_steps_show(struct nx_archive *archive, const struct nx_principal *who,
	const char *collection, const char *uid, struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(STEP_MEMORY, NX_ARENA_WIPE);
	const struct access a = {archive, who, collection};
	struct nx_entry_draft draft = {.action = NX_ACTION_READ};
	char changed[NX_TIME_TEXT], name[NX_LIMIT_OBJECT_KEY + 1];
	struct nx_collection row;
	struct nx_dataset *ds;
	struct nx_item item;
	struct nx_json json;
	nx_rc rc;

	if (!arena)
		return no_memory(err);
	(void)snprintf(name, sizeof(name), "%s%s", NX_STEP_PREFIX, uid);
	rc = enter(&a, NX_PERM_WORKLIST, arena, &row, err);
	if (!rc)
		rc = nx_cat_object(nx_archive_cat(archive), row.id, name, arena, &item, err);
	if (rc)
		return rc;
	draft.subject = (uint64_t)item.subject;
	rc = note(&a, &draft, name, err);
	if (!rc)
		rc = step_load(archive, &item, arena, &ds, err);
	if (rc)
		return rc;
	nx_time_format(item.received_us, changed);
	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	rc = step_json(&json, &item, ds, arena, err);
	nx_json_kv_int(&json, "version", item.version);
	nx_json_kv_str(&json, "changed", changed);
	nx_json_key(&json, "dataset");
	if (!rc)
		rc = nx_dataset_json(ds, &json, NULL, NULL, arena, err);
	nx_json_object_end(&json);
	return rc ? rc : nx_buf_check(out, err);
}

/* ---- a study ---- */

/* The newest event of it, as it was told. */
static nx_rc told_json(struct nx_cat *cat, const struct nx_study *study, struct nx_arena *arena,
	struct nx_json *json, struct nx_err *err)
{
	struct nx_val where = nx_val_int(study->subject);
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc = nx_cat_rows(cat,
		&(struct nx_rows_of){.table = NX_T_EVENT,
			.index = 1,
			.where = &where,
			.n_where = 1,
			.descending = true,
			.limit = EVENTS_MAX},
		arena, &rows, &n, err);

	for (size_t i = 0; i < n && !rc; i++) {
		char time[NX_TIME_TEXT];
		struct nx_event_row row;

		rc = nx_op_row(&rows[i], arena, &row, err);
		if (rc || row.study != study->id || strcmp(row.kind, "study.complete") != 0)
			continue;
		nx_time_format(row.time_us, time);
		nx_json_key(json, "told");
		nx_json_object_begin(json);
		nx_json_kv_str(json, "time", time);
		nx_json_key(json, "event");
		nx_json_raw(json, nx_slice_str(row.detail));
		nx_json_object_end(json);
		return NX_OK;
	}
	nx_json_kv_str(json, "told", NULL);
	return rc;
}

static void missing_json(const struct expected *x, struct nx_json *json)
{
	unsigned n = 0;

	nx_json_key(json, "missing_instances");
	nx_json_array_begin(json);
	for (const struct wanted *w = x->first; w && n < MISSING_MAX; w = w->next) {
		if (w->found)
			continue;
		n++;
		nx_json_object_begin(json);
		nx_json_kv_str(json, "series", w->ref.series);
		nx_json_kv_str(json, "class", w->ref.sop_class);
		nx_json_kv_str(json, "instance", w->ref.sop_instance);
		nx_json_object_end(json);
	}
	nx_json_array_end(json);
}

static nx_rc study_json(const struct access *a, const struct nx_study *study,
	const struct expected *x, struct nx_arena *arena, struct nx_buf *out, struct nx_err *err)
{
	struct nx_json json;
	nx_rc rc;

	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "study", study->uid);
	nx_json_kv_bool(&json, "complete", study->id && study->complete_us >= study->updated_us);
	rc = told_json(nx_archive_cat(a->archive), study, arena, &json, err);
	nx_json_kv_int(&json, "series", study->n_series);
	nx_json_kv_int(&json, "instances", study->n_instances);
	expected_json(x, &json);
	missing_json(x, &json);
	nx_json_object_end(&json);
	return rc ? rc : nx_buf_check(out, err);
}

static nx_rc study_answer(const struct access *a, int64_t collection, const char *uid,
	struct nx_arena *arena, struct nx_buf *out, struct nx_err *err)
{
	struct nx_study study = {.uid = uid};
	struct expected x;
	nx_rc rc = expected_init(&x, err);

	if (!rc)
		rc = nx_cat_study(nx_archive_cat(a->archive), collection, uid, arena, &study, err);
	if (rc && rc != NX_E_NOENT) {
		expected_done(&x);
		return rc;
	}
	rc = expected_find(a->archive, collection, uid, &x, err);
	if (!rc && !study.id && !expected_steps(&x))
		rc = nx_err_set(err, NX_E_NOENT, "no such study, and no step of it");
	if (!rc)
		rc = study_json(a, &study, &x, arena, out, err);
	expected_done(&x);
	return rc;
}

nx_rc nx_study_completeness(struct nx_archive *archive, const struct nx_principal *who,
	const char *collection, const char *study, struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ROWS_MEMORY, NX_ARENA_WIPE);
	const struct access a = {archive, who, collection};
	const struct nx_entry_draft draft = {.action = NX_ACTION_QUERY, .study = study};
	struct nx_collection row;
	nx_rc rc;

	if (!arena)
		return no_memory(err);
	rc = enter(&a, NX_PERM_QUERY, arena, &row, err);
	if (!rc)
		rc = note(&a, &draft, "completeness", err);
	return rc ? rc : study_answer(&a, row.id, study, arena, out, err);
}

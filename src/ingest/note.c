/*
 * Rejection notes (IHE RAD TF-3 4.66, Imaging Object Change Management): a Key Object Selection
 * whose title says why, and whose evidence says which instances are not to be used.
 */
#include "archive/rewrite.h"
#include "ingest/ingest_priv.h"
#include "ingest/reject.h"

enum {
	NOTE_ARENA_MAX = 256 * 1024 * 1024,
	NOTE_PARTS_MAX = 64 /* studies of patients, of which one note may reject instances */
};

static const struct {
	const char *code; /* of DCM, PS3.16 CID 7011 */
	const char *meaning;
	enum nx_rejection_reason reason;
} titles[] = {
	{"113001", "Rejected for Quality Reasons", NX_REJECTION_QUALITY},
	{"113037", "Rejected for Patient Safety Reasons", NX_REJECTION_SAFETY},
	{"113038", "Incorrect Modality Worklist Entry", NX_REJECTION_WORKLIST},
	{"113039", "Data Retention Policy Expired", NX_REJECTION_RETENTION},
};

const char *rejection_code(int64_t reason, const char **ret_meaning)
{
	*ret_meaning = titles[reason - 1].meaning;
	return titles[reason - 1].code;
}

static const struct nx_dataset *first_item(const struct nx_dataset *ds, nx_tag tag)
{
	const struct nx_elem *e = nx_dataset_find(ds, tag);

	return e && e->n_items ? e->items[0] : NULL;
}

nx_rc note_title(
	const struct nx_dataset *ds, struct nx_arena *arena, int64_t *ret, struct nx_err *err)
{
	const struct nx_dataset *title = first_item(ds, NX_TAG_CONCEPT_NAME_CODE_SEQUENCE);
	const char *code, *scheme;

	*ret = 0;
	if (!title)
		return NX_OK;
	code = nx_dataset_text(title, NX_TAG_CODE_VALUE, arena);
	scheme = nx_dataset_text(title, NX_TAG_CODING_SCHEME_DESIGNATOR, arena);
	if (!code || !scheme)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a note");
	for (size_t i = 0; strcmp(scheme, "DCM") == 0 && i < NX_ARRAY_LEN(titles); i++)
		if (strcmp(titles[i].code, code) == 0)
			*ret = titles[i].reason;
	return NX_OK;
}

/* ---- what it rejects ---- */

/* Instances of one study and patient: what one entry of the ledger tells. */
struct note_part {
	uint64_t subject;
	int64_t study;
	const char *uid; /* of the study */
	unsigned instances;
};

struct noting {
	struct nx_ingest_job *job;
	struct nx_cat *cat;
	int64_t reason;
	const struct nx_study *study; /* at hand */
	struct note_part parts[NOTE_PARTS_MAX];
	size_t n_parts;
};

static nx_rc part_count(struct noting *n, uint64_t subject, struct nx_err *err)
{
	size_t i = 0;

	while (i < n->n_parts &&
		(n->parts[i].subject != subject || n->parts[i].study != n->study->id))
		i++;
	if (i == NOTE_PARTS_MAX)
		return nx_err_set(
			err, NX_E_LIMIT, "a note about more than %d studies", NOTE_PARTS_MAX);
	n->parts[i].subject = subject;
	n->parts[i].study = n->study->id;
	n->parts[i].uid = n->study->uid;
	n->parts[i].instances++;
	n->n_parts += i == n->n_parts;
	return NX_OK;
}

/* What is not here is not rejected, nor is the note itself. */
static nx_rc instance_reject(
	struct noting *n, int64_t series, const struct nx_dataset *ref, struct nx_err *err)
{
	const char *uid =
		nx_dataset_text(ref, NX_TAG_REFERENCED_SOP_INSTANCE_UID, n->job->note_arena);
	struct nx_item item;
	nx_rc rc;

	if (!uid)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a note");
	if (strcmp(uid, n->job->item.name) == 0)
		return NX_OK;
	rc = nx_cat_item_in_series(n->cat, series, uid, n->job->note_arena, &item, err);
	if (rc)
		return rc == NX_E_NOENT ? NX_OK : rc;
	rc = nx_change_reject(n->job->change, &item, n->reason, err);
	return rc ? rc : part_count(n, (uint64_t)item.subject, err);
}

static nx_rc series_reject(struct noting *n, const struct nx_dataset *ref, struct nx_err *err)
{
	const char *uid = nx_dataset_text(ref, NX_TAG_SERIES_INSTANCE_UID, n->job->note_arena);
	const struct nx_elem *refs = nx_dataset_find(ref, NX_TAG_REFERENCED_SOP_SEQUENCE);
	struct nx_series series;
	nx_rc rc;

	if (!uid)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a note");
	rc = nx_cat_series(n->cat, n->study->id, uid, n->job->note_arena, &series, err);
	for (size_t i = 0; !rc && refs && i < refs->n_items; i++)
		rc = instance_reject(n, series.id, refs->items[i], err);
	return rc == NX_E_NOENT ? NX_OK : rc;
}

static nx_rc study_reject(struct noting *n, const struct nx_dataset *ref, struct nx_err *err)
{
	const char *uid = nx_dataset_text(ref, NX_TAG_STUDY_INSTANCE_UID, n->job->note_arena);
	const struct nx_elem *refs = nx_dataset_find(ref, NX_TAG_REFERENCED_SERIES_SEQUENCE);
	struct nx_study study;
	nx_rc rc;

	if (!uid)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a note");
	rc = nx_cat_study(n->cat, n->job->collection.id, uid, n->job->note_arena, &study, err);
	n->study = &study;
	for (size_t i = 0; !rc && refs && i < refs->n_items; i++)
		rc = series_reject(n, refs->items[i], err);
	n->study = NULL;
	return rc == NX_E_NOENT ? NX_OK : rc;
}

/* One for every patient, and study, of whom something is rejected. */
static nx_rc entries_add(struct noting *n, struct nx_err *err)
{
	struct nx_ingest_job *job = n->job;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < n->n_parts && !rc; i++) {
		struct nx_entry_draft draft = {.action = NX_ACTION_REJECTION,
			.principal = job->who.name,
			.subject = n->parts[i].subject,
			.study = n->parts[i].uid};
		char detail[NX_LIMIT_UID + 128];

		(void)snprintf(detail, sizeof(detail),
			"{\"note\":\"%s\",\"reason\":\"%s\",\"instances\":%u}", job->item.name,
			nx_rejection_word(n->reason), n->parts[i].instances);
		draft.detail = nx_slice_str(detail);
		rc = nx_change_entry(job->change, &draft, NULL, err);
	}
	return rc;
}

/* Long values stay where they are. */
static nx_rc note_read(struct nx_ingest_job *job, struct nx_dataset **ret, struct nx_err *err)
{
	const struct split *s = &job->split;
	struct nx_bulk_ref *bulks;
	size_t n = 0;
	nx_rc rc = nx_archive_bulks(s->parts, s->n_parts, job->note_arena, &bulks, &n, err);

	return rc ? rc
		  : nx_dataset_parse_split(
			    nx_buf_slice(&s->header), bulks, n, NULL, job->note_arena, ret, err);
}

nx_rc note_parse(struct nx_ingest_job *job, struct nx_err *err)
{
	const char *type = attrs_text(&job->split.attrs, A_SOP_CLASS, job->arena);
	struct nx_dataset *ds;
	nx_rc rc;

	if (!type || strcmp(type, NX_UID_KEY_OBJECT_SELECTION_DOCUMENT_STORAGE) != 0)
		return NX_OK;
	job->note_arena = nx_arena_new(NOTE_ARENA_MAX, NX_ARENA_WIPE);
	if (!job->note_arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a note");
	rc = note_read(job, &ds, err);
	if (!rc)
		rc = note_title(ds, job->note_arena, &job->rejects, err);
	if (rc == NX_E_NOMEM || (!rc && !job->rejects))
		return rc;
	job->note = rc ? NULL
		       : nx_dataset_find(ds, NX_TAG_CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE);
	/* What does not parse is told by who takes it in. */
	return rc ? NX_OK : nx_access_check(&job->who, NX_PERM_REJECT, job->collection.name, err);
}

/* Sent again, it says nothing new: what was restored since stays so. */
static nx_rc known_look(struct noting *n, bool *ret, struct nx_err *err)
{
	struct nx_ingest_job *job = n->job;
	struct nx_arena *arena = job->note_arena;
	struct nx_recipe *recipe = NULL;
	struct nx_series series;
	struct nx_study study;
	struct nx_item item;
	nx_rc rc = nx_cat_study(n->cat, job->collection.id, job->study.uid, arena, &study, err);

	if (!rc)
		rc = nx_cat_series(n->cat, study.id, job->series.uid, arena, &series, err);
	if (!rc)
		rc = nx_cat_item_in_series(n->cat, series.id, job->item.name, arena, &item, err);
	if (!rc)
		rc = nx_archive_recipe(job->ingest->archive, &item, arena, &recipe, err);
	if (!rc)
		*ret = memcmp(recipe->content, job->split.content, sizeof(recipe->content)) == 0;
	return rc == NX_E_NOENT ? NX_OK : rc;
}

nx_rc note_apply(struct nx_ingest_job *job, struct nx_err *err)
{
	struct noting n = {
		.job = job, .cat = nx_archive_cat(job->ingest->archive), .reason = job->rejects};
	bool known = false;
	nx_rc rc;

	if (!job->note)
		return NX_OK;
	rc = nx_archive_current(job->ingest->archive, err);
	if (!rc)
		rc = known_look(&n, &known, err);
	if (known)
		return rc;
	for (size_t i = 0; i < job->note->n_items && !rc; i++)
		rc = study_reject(&n, job->note->items[i], err);
	return rc ? rc : entries_add(&n, err);
}

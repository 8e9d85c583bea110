#include "dicom/scheduled.h"

#include <string.h>

#include "base/arena.h"

#define TAG_STEPS NX_TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE

enum {
	DAY_LEN = 8
};

struct text {
	nx_tag tag;
	const char **to;
};

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for a worklist item");
}

static nx_rc texts_read(const struct nx_dataset *ds, const struct text *texts, size_t n,
	struct nx_arena *arena, struct nx_err *err)
{
	for (size_t i = 0; i < n; i++) {
		*texts[i].to = nx_dataset_text(ds, texts[i].tag, arena);
		if (!*texts[i].to)
			return no_memory(err);
	}
	return NX_OK;
}

static bool is_day(const char *text)
{
	return strlen(text) == DAY_LEN && strspn(text, "0123456789") == DAY_LEN;
}

static nx_rc step_read(const struct nx_dataset *item, struct nx_arena *arena,
	struct nx_scheduled_step *step, struct nx_err *err)
{
	const struct text texts[] = {
		{NX_TAG_SCHEDULED_PROCEDURE_STEP_START_DATE, &step->day},
		{NX_TAG_MODALITY, &step->modality},
		{NX_TAG_SCHEDULED_STATION_AE_TITLE, &step->stations},
		{NX_TAG_SCHEDULED_PROCEDURE_STEP_ID, &step->id},
	};
	nx_rc rc = texts_read(item, texts, NX_ARRAY_LEN(texts), arena, err);

	if (!rc && !is_day(step->day))
		step->day = "";
	return rc;
}

nx_rc nx_scheduled_read(const struct nx_dataset *ds, struct nx_arena *arena,
	struct nx_scheduled *ret, struct nx_err *err)
{
	const struct nx_elem *seq = nx_dataset_find(ds, TAG_STEPS);
	const size_t n = seq ? seq->n_items : 0;
	struct nx_scheduled_step *steps = nx_arena_alloc_array(arena, n + 1, sizeof(*steps));
	struct nx_scheduled s = {.steps = steps, .n_steps = n};
	const struct text texts[] = {
		{NX_TAG_PATIENT_ID, &s.patient_id},
		{NX_TAG_PATIENT_NAME, &s.patient_name},
		{NX_TAG_ACCESSION_NUMBER, &s.accession},
		{NX_TAG_STUDY_INSTANCE_UID, &s.study},
		{NX_TAG_REQUESTED_PROCEDURE_ID, &s.request_id},
	};
	nx_rc rc = steps ? texts_read(ds, texts, NX_ARRAY_LEN(texts), arena, err) : no_memory(err);

	for (size_t i = 0; i < n && !rc; i++)
		rc = step_read(seq->items[i], arena, &steps[i], err);
	if (!rc)
		*ret = s;
	return rc;
}

/* ---- what is offered ---- */

static struct nx_dataset *copy(const struct nx_dataset *ds, struct nx_arena *arena)
{
	struct nx_dataset *to = nx_dataset_new(arena, ds->n + 1);

	if (!to)
		return NULL;
	memcpy(to->elems, ds->elems, ds->n * sizeof(*ds->elems));
	to->n = ds->n;
	to->charset = ds->charset;
	return to;
}

static nx_rc steps_offer(const struct nx_elem *seq, const char *const *words,
	struct nx_arena *arena, struct nx_elem *ret, struct nx_err *err)
{
	struct nx_dataset **items =
		nx_arena_alloc_array(arena, seq->n_items, sizeof(struct nx_dataset *));

	if (!items)
		return no_memory(err);
	*ret = *seq;
	ret->items = items;
	ret->n_items = 0;
	for (size_t i = 0; i < seq->n_items; i++) {
		struct nx_dataset *item = words[i] ? copy(seq->items[i], arena) : NULL;

		if (!words[i])
			continue;
		if (!item)
			return no_memory(err);
		if (*words[i])
			nx_dataset_put_text(item, NX_TAG_SCHEDULED_PROCEDURE_STEP_STATUS, words[i]);
		items[ret->n_items++] = item;
	}
	return NX_OK;
}

nx_rc nx_scheduled_offer(const struct nx_dataset *ds, const char *const *words,
	struct nx_arena *arena, struct nx_dataset **ret, struct nx_err *err)
{
	const struct nx_elem *seq = nx_dataset_find(ds, TAG_STEPS);
	struct nx_elem steps = {.n_items = 0};
	struct nx_dataset *offered = copy(ds, arena);
	nx_rc rc = NX_OK;

	if (!offered)
		return no_memory(err);
	if (seq && seq->n_items)
		rc = steps_offer(seq, words, arena, &steps, err);
	if (rc)
		return rc;
	if (steps.n_items)
		nx_dataset_put(offered, &steps);
	*ret = steps.n_items ? offered : NULL;
	return NX_OK;
}

/* What may be edited, at which level, and what is a value of it. */
#include "edit/edit_priv.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "dicom/value.h"

struct row_text {
	nx_tag tag;
	enum nx_edit_level level; /* it is the same in all of a study, or of a series */
	size_t at;                /* in the row */
};

static const struct row_text row_texts[] = {
	{NX_TAG_STUDY_DATE, NX_EDIT_STUDY, offsetof(struct nx_study, date)},
	{NX_TAG_STUDY_TIME, NX_EDIT_STUDY, offsetof(struct nx_study, time)},
	{NX_TAG_ACCESSION_NUMBER, NX_EDIT_STUDY, offsetof(struct nx_study, accession)},
	{NX_TAG_REFERRING_PHYSICIAN_NAME, NX_EDIT_STUDY, offsetof(struct nx_study, referring)},
	{NX_TAG_STUDY_DESCRIPTION, NX_EDIT_STUDY, offsetof(struct nx_study, description)},
	{NX_TAG_PATIENT_NAME, NX_EDIT_STUDY, offsetof(struct nx_study, patient_name)},
	{NX_TAG_PATIENT_ID, NX_EDIT_STUDY, offsetof(struct nx_study, patient_id)},
	{NX_TAG_ISSUER_OF_PATIENT_ID, NX_EDIT_STUDY, offsetof(struct nx_study, issuer)},
	{NX_TAG_PATIENT_BIRTH_DATE, NX_EDIT_STUDY, offsetof(struct nx_study, birth_date)},
	{NX_TAG_PATIENT_SEX, NX_EDIT_STUDY, offsetof(struct nx_study, sex)},
	{NX_TAG_STUDY_ID, NX_EDIT_STUDY, offsetof(struct nx_study, study_id)},
	{NX_TAG_SERIES_DATE, NX_EDIT_SERIES, offsetof(struct nx_series, date)},
	{NX_TAG_SERIES_TIME, NX_EDIT_SERIES, offsetof(struct nx_series, time)},
	{NX_TAG_STATION_NAME, NX_EDIT_SERIES, offsetof(struct nx_series, station)},
	{NX_TAG_SERIES_DESCRIPTION, NX_EDIT_SERIES, offsetof(struct nx_series, description)},
	{NX_TAG_BODY_PART_EXAMINED, NX_EDIT_SERIES, offsetof(struct nx_series, body_part)},
	{NX_TAG_SERIES_NUMBER, NX_EDIT_SERIES, offsetof(struct nx_series, number)},
	{NX_TAG_PERFORMED_PROCEDURE_STEP_START_DATE, NX_EDIT_SERIES,
		offsetof(struct nx_series, pps_date)},
	{NX_TAG_PERFORMED_PROCEDURE_STEP_START_TIME, NX_EDIT_SERIES,
		offsetof(struct nx_series, pps_time)},
};

/* Who an instance is, how its bytes are to be read, and what says that it was changed. */
static const nx_tag fixed_tags[] = {
	NX_TAG_SPECIFIC_CHARACTER_SET,
	NX_TAG_SOP_CLASS_UID,
	NX_TAG_SOP_INSTANCE_UID,
	NX_TAG_MODALITY,
	NX_TAG_STUDY_INSTANCE_UID,
	NX_TAG_SERIES_INSTANCE_UID,
};
static const uint16_t fixed_groups[] = {0x0000, 0x0002, 0x0004, 0x0028, 0x0400, 0x5400, 0x7fe0};

static nx_rc tag_err(struct nx_err *err, nx_tag tag, const char *what)
{
	return nx_err_set(err, NX_E_INVAL, "(%04x,%04x) %s", tag >> 16, tag & 0xffff, what);
}

static const struct row_text *row_text_find(nx_tag tag)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(row_texts); i++)
		if (row_texts[i].tag == tag)
			return &row_texts[i];
	return NULL;
}

static nx_rc tag_check(nx_tag tag, enum nx_edit_level level, struct nx_err *err)
{
	const struct row_text *text = row_text_find(tag);

	for (size_t i = 0; i < NX_ARRAY_LEN(fixed_tags); i++)
		if (fixed_tags[i] == tag)
			return tag_err(err, tag, "cannot be edited");
	for (size_t i = 0; i < NX_ARRAY_LEN(fixed_groups); i++)
		if (fixed_groups[i] == tag >> 16)
			return tag_err(err, tag, "cannot be edited");
	if (text && level < text->level)
		return tag_err(err, tag,
			text->level == NX_EDIT_STUDY ? "is of the whole study: edit that"
						     : "is of the whole series: edit that");
	return NX_OK;
}

nx_rc edit_plan_add(struct edit_plan *plan, nx_tag tag, const char *value, struct nx_err *err)
{
	if (edit_plan_find(plan, tag))
		return NX_OK;
	if (plan->n == NX_EDIT_SETS_MAX)
		return nx_err_set(err, NX_E_LIMIT, "more than %d attributes", NX_EDIT_SETS_MAX);
	plan->sets[plan->n++] = (struct nx_edit_set){tag, value};
	return NX_OK;
}

const struct nx_edit_set *edit_plan_find(const struct edit_plan *plan, nx_tag tag)
{
	for (size_t i = 0; i < plan->n; i++)
		if (plan->sets[i].tag == tag)
			return &plan->sets[i];
	return NULL;
}

static nx_rc set_take(const struct nx_edit_request *r, const struct nx_edit_set *set,
	struct edit_plan *plan, struct nx_err *err)
{
	nx_rc rc = tag_check(set->tag, r->level, err);

	if (!rc)
		rc = nx_value_check(set->tag, set->value ? set->value : "", err);
	if (!rc && set->tag == NX_TAG_PATIENT_ID && (!set->value || !set->value[0]))
		rc = tag_err(err, set->tag, "cannot become empty");
	if (!rc && edit_plan_find(plan, set->tag))
		rc = tag_err(err, set->tag, "is named twice");
	return rc ? rc : edit_plan_add(plan, set->tag, set->value, err);
}

static void when_format(char ret[32])
{
	const int64_t us = nx_now_us();
	time_t s = (time_t)(us / 1000000);
	struct tm tm;

	(void)gmtime_r(&s, &tm);
	(void)strftime(ret, 32, "%Y%m%d%H%M%S", &tm);
	(void)snprintf(ret + strlen(ret), 32 - strlen(ret), ".%06d+0000", (int)(us % 1000000));
}

nx_rc edit_plan_make(
	const struct nx_edit_request *request, struct edit_plan *ret, struct nx_err *err)
{
	struct edit_plan plan = {.reason = request->coerce ? "COERCE" : "CORRECT",
		.source = request->source ? request->source : ""};
	nx_rc rc = NX_OK;

	if (!request->reason || !request->reason[0] || strlen(request->reason) > NX_EDIT_REASON_MAX)
		return nx_err_set(err, NX_E_INVAL, "a reason of at most %d bytes is required",
			NX_EDIT_REASON_MAX);
	if (nx_value_chars(plan.source, strlen(plan.source), false) > 64)
		return nx_err_set(err, NX_E_INVAL, "the source is no text of 64 characters");
	if (request->into && request->level < NX_EDIT_STUDY)
		return nx_err_set(err, NX_E_INVAL, "a whole study is of one patient: edit that");
	if (!request->n_sets && !request->into)
		return nx_err_set(err, NX_E_INVAL, "no attribute is named");
	for (size_t i = 0; i < request->n_sets && !rc; i++)
		rc = set_take(request, &request->sets[i], &plan, err);
	when_format(plan.when);
	if (!rc)
		*ret = plan;
	return rc;
}

size_t edit_row_text(nx_tag tag, enum nx_edit_level level)
{
	const struct row_text *text = row_text_find(tag);

	return text && text->level == level ? text->at : 0;
}

nx_rc edit_row_fill(const struct edit_plan *plan, enum nx_edit_level level, void *row,
	struct nx_arena *arena, struct nx_err *err)
{
	for (size_t i = 0; i < plan->n; i++) {
		const size_t at = edit_row_text(plan->sets[i].tag, level);
		const char *value = plan->sets[i].value ? plan->sets[i].value : "";

		if (!at)
			continue;
		memcpy((char *)row + at, &value, sizeof(value));
		if (plan->sets[i].tag != NX_TAG_PATIENT_NAME)
			continue;
		value = nx_cat_name_key(value, arena);
		if (!value)
			return nx_err_set(err, NX_E_NOMEM, "no memory for a name");
		memcpy((char *)row + offsetof(struct nx_study, name_key), &value, sizeof(value));
	}
	return NX_OK;
}

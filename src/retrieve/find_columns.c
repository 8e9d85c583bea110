/* Which column is which attribute (PS3.18 10.6.3.3, Tables 10.6.3-3 to 10.6.3-5; PS3.4 C.6.1.1). */
#include <stddef.h>

#include "dicom/dicom.h"
#include "retrieve/find_priv.h"

#define STUDY(member)  offsetof(struct nx_study, member)
#define SERIES(member) offsetof(struct nx_series, member)
#define ITEM(member)   offsetof(struct nx_item, member)
#define MATCH(member)  offsetof(struct nx_match, member)

/* Tags ascend within a level, as Annex F recommends. */
const struct find_column find_columns[] = {
	{NX_LEVEL_STUDY, FIND_TEXT, true, false, NX_TAG_STUDY_DATE, STUDY(date)},
	{NX_LEVEL_STUDY, FIND_TEXT, true, false, NX_TAG_STUDY_TIME, STUDY(time)},
	{NX_LEVEL_STUDY, FIND_TEXT, true, false, NX_TAG_ACCESSION_NUMBER, STUDY(accession)},
	{NX_LEVEL_STUDY, FIND_TEXT, true, false, NX_TAG(0x0008, 0x0061), STUDY(modalities)},
	{NX_LEVEL_STUDY, FIND_TEXT, true, false, NX_TAG(0x0008, 0x0090), STUDY(referring)},
	{NX_LEVEL_STUDY, FIND_TEXT, false, false, NX_TAG(0x0008, 0x1030), STUDY(description)},
	{NX_LEVEL_PATIENT, FIND_TEXT, true, false, NX_TAG_PATIENT_NAME, STUDY(patient_name)},
	{NX_LEVEL_PATIENT, FIND_TEXT, true, false, NX_TAG_PATIENT_ID, STUDY(patient_id)},
	{NX_LEVEL_PATIENT, FIND_TEXT, false, false, NX_TAG(0x0010, 0x0021), STUDY(issuer)},
	{NX_LEVEL_PATIENT, FIND_TEXT, true, false, NX_TAG(0x0010, 0x0030), STUDY(birth_date)},
	{NX_LEVEL_PATIENT, FIND_TEXT, true, false, NX_TAG(0x0010, 0x0040), STUDY(sex)},
	{NX_LEVEL_STUDY, FIND_TEXT, true, true, NX_TAG_STUDY_INSTANCE_UID, STUDY(uid)},
	{NX_LEVEL_STUDY, FIND_TEXT, true, false, NX_TAG(0x0020, 0x0010), STUDY(study_id)},
	{NX_LEVEL_PATIENT, FIND_COUNT, true, false, NX_TAG(0x0020, 0x1200), MATCH(n_studies)},
	{NX_LEVEL_PATIENT, FIND_COUNT, true, false, NX_TAG(0x0020, 0x1202), MATCH(n_series)},
	{NX_LEVEL_PATIENT, FIND_COUNT, true, false, NX_TAG(0x0020, 0x1204), MATCH(n_instances)},
	{NX_LEVEL_STUDY, FIND_NUMBER, true, false, NX_TAG(0x0020, 0x1206), STUDY(n_series)},
	{NX_LEVEL_STUDY, FIND_NUMBER, true, false, NX_TAG(0x0020, 0x1208), STUDY(n_instances)},
	{NX_LEVEL_SERIES, FIND_TEXT, false, false, NX_TAG(0x0008, 0x0021), SERIES(date)},
	{NX_LEVEL_SERIES, FIND_TEXT, false, false, NX_TAG(0x0008, 0x0031), SERIES(time)},
	{NX_LEVEL_SERIES, FIND_TEXT, true, false, NX_TAG(0x0008, 0x0060), SERIES(modality)},
	{NX_LEVEL_SERIES, FIND_TEXT, false, false, NX_TAG(0x0008, 0x1010), SERIES(station)},
	{NX_LEVEL_SERIES, FIND_TEXT, false, false, NX_TAG(0x0008, 0x103e), SERIES(description)},
	{NX_LEVEL_SERIES, FIND_TEXT, false, false, NX_TAG(0x0018, 0x0015), SERIES(body_part)},
	{NX_LEVEL_SERIES, FIND_TEXT, true, true, NX_TAG_SERIES_INSTANCE_UID, SERIES(uid)},
	{NX_LEVEL_SERIES, FIND_TEXT, true, false, NX_TAG(0x0020, 0x0011), SERIES(number)},
	{NX_LEVEL_SERIES, FIND_NUMBER, true, false, NX_TAG(0x0020, 0x1209), SERIES(n_instances)},
	{NX_LEVEL_SERIES, FIND_TEXT, false, false, NX_TAG(0x0040, 0x0244), SERIES(pps_date)},
	{NX_LEVEL_SERIES, FIND_TEXT, false, false, NX_TAG(0x0040, 0x0245), SERIES(pps_time)},
	{NX_LEVEL_INSTANCE, FIND_TEXT, true, false, NX_TAG_SOP_CLASS_UID, ITEM(type)},
	{NX_LEVEL_INSTANCE, FIND_TEXT, true, true, NX_TAG_SOP_INSTANCE_UID, ITEM(name)},
	{NX_LEVEL_INSTANCE, FIND_TEXT, false, false, NX_TAG(0x0008, 0x3002), ITEM(ts_uid)},
	{NX_LEVEL_INSTANCE, FIND_NUMBER, true, false, NX_TAG(0x0020, 0x0013), ITEM(number)},
	{NX_LEVEL_INSTANCE, FIND_NUMBER, false, false, NX_TAG(0x0028, 0x0008), ITEM(frames)},
	{NX_LEVEL_INSTANCE, FIND_NUMBER, false, false, NX_TAG(0x0028, 0x0010), ITEM(rows)},
	{NX_LEVEL_INSTANCE, FIND_NUMBER, false, false, NX_TAG(0x0028, 0x0011), ITEM(columns)},
};
const size_t find_columns_n = NX_ARRAY_LEN(find_columns);

const struct find_column *find_column(unsigned level, uint32_t tag)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(find_columns); i++) {
		const struct find_column *c = &find_columns[i];

		if (c->tag == tag && c->level <= level &&
			(c->kind != FIND_COUNT || level == NX_LEVEL_PATIENT))
			return c;
	}
	return NULL;
}

static const void *row_of(const struct find_column *c, const struct nx_match *m)
{
	switch (c->level) {
	case NX_LEVEL_SERIES:
		return m->series;
	case NX_LEVEL_INSTANCE:
		return m->item;
	default:
		return c->kind == FIND_COUNT ? (const void *)m : m->study;
	}
}

const char *find_text(const struct find_column *c, const struct nx_match *m)
{
	const char *text;

	memcpy(&text, (const char *)row_of(c, m) + c->at, sizeof(text));
	return text ? text : "";
}

int64_t find_number(const struct find_column *c, const struct nx_match *m)
{
	int64_t number;

	memcpy(&number, (const char *)row_of(c, m) + c->at, sizeof(number));
	return number;
}

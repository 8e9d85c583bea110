/*
 * Results of a query in the DICOM JSON Model: a table says which column is which attribute
 * (PS3.18 10.6.3.3, Tables 10.6.3-3 to 10.6.3-5).
 */
#include <stddef.h>

#include "base/json.h"
#include "dicom/dicom.h"
#include "retrieve/retrieve_priv.h"

enum column_kind {
	TEXT,  /* const char *; left out where "known" is asked for and it is not */
	NUMBER /* int64_t; 0 is "not known" */
};

struct column {
	uint8_t level;
	uint8_t kind;
	bool always; /* R: present without a value, too */
	bool key;    /* U: in every result of this level and below */
	nx_tag tag;
	size_t at;
};

#define STUDY(member)  offsetof(struct nx_study, member)
#define SERIES(member) offsetof(struct nx_series, member)
#define ITEM(member)   offsetof(struct nx_item, member)

/* Tags ascend within a level, as Annex F recommends. */
static const struct column columns[] = {
	{NX_LEVEL_STUDY, TEXT, true, false, NX_TAG_STUDY_DATE, STUDY(date)},
	{NX_LEVEL_STUDY, TEXT, true, false, NX_TAG_STUDY_TIME, STUDY(time)},
	{NX_LEVEL_STUDY, TEXT, true, false, NX_TAG_ACCESSION_NUMBER, STUDY(accession)},
	{NX_LEVEL_STUDY, TEXT, true, false, NX_TAG(0x0008, 0x0061), STUDY(modalities)},
	{NX_LEVEL_STUDY, TEXT, true, false, NX_TAG(0x0008, 0x0090), STUDY(referring)},
	{NX_LEVEL_STUDY, TEXT, false, false, NX_TAG(0x0008, 0x1030), STUDY(description)},
	{NX_LEVEL_STUDY, TEXT, true, false, NX_TAG_PATIENT_NAME, STUDY(patient_name)},
	{NX_LEVEL_STUDY, TEXT, true, false, NX_TAG_PATIENT_ID, STUDY(patient_id)},
	{NX_LEVEL_STUDY, TEXT, false, false, NX_TAG(0x0010, 0x0021), STUDY(issuer)},
	{NX_LEVEL_STUDY, TEXT, true, false, NX_TAG(0x0010, 0x0030), STUDY(birth_date)},
	{NX_LEVEL_STUDY, TEXT, true, false, NX_TAG(0x0010, 0x0040), STUDY(sex)},
	{NX_LEVEL_STUDY, TEXT, true, true, NX_TAG_STUDY_INSTANCE_UID, STUDY(uid)},
	{NX_LEVEL_STUDY, TEXT, true, false, NX_TAG(0x0020, 0x0010), STUDY(study_id)},
	{NX_LEVEL_STUDY, NUMBER, true, false, NX_TAG(0x0020, 0x1206), STUDY(n_series)},
	{NX_LEVEL_STUDY, NUMBER, true, false, NX_TAG(0x0020, 0x1208), STUDY(n_instances)},
	{NX_LEVEL_SERIES, TEXT, false, false, NX_TAG(0x0008, 0x0021), SERIES(date)},
	{NX_LEVEL_SERIES, TEXT, false, false, NX_TAG(0x0008, 0x0031), SERIES(time)},
	{NX_LEVEL_SERIES, TEXT, true, false, NX_TAG(0x0008, 0x0060), SERIES(modality)},
	{NX_LEVEL_SERIES, TEXT, false, false, NX_TAG(0x0008, 0x1010), SERIES(station)},
	{NX_LEVEL_SERIES, TEXT, false, false, NX_TAG(0x0008, 0x103e), SERIES(description)},
	{NX_LEVEL_SERIES, TEXT, false, false, NX_TAG(0x0018, 0x0015), SERIES(body_part)},
	{NX_LEVEL_SERIES, TEXT, true, true, NX_TAG_SERIES_INSTANCE_UID, SERIES(uid)},
	{NX_LEVEL_SERIES, TEXT, true, false, NX_TAG(0x0020, 0x0011), SERIES(number)},
	{NX_LEVEL_SERIES, NUMBER, true, false, NX_TAG(0x0020, 0x1209), SERIES(n_instances)},
	{NX_LEVEL_SERIES, TEXT, false, false, NX_TAG(0x0040, 0x0244), SERIES(pps_date)},
	{NX_LEVEL_SERIES, TEXT, false, false, NX_TAG(0x0040, 0x0245), SERIES(pps_time)},
	{NX_LEVEL_INSTANCE, TEXT, true, false, NX_TAG_SOP_CLASS_UID, ITEM(type)},
	{NX_LEVEL_INSTANCE, TEXT, true, true, NX_TAG_SOP_INSTANCE_UID, ITEM(name)},
	{NX_LEVEL_INSTANCE, TEXT, false, false, NX_TAG(0x0008, 0x3002), ITEM(ts_uid)},
	{NX_LEVEL_INSTANCE, NUMBER, true, false, NX_TAG(0x0020, 0x0013), ITEM(number)},
	{NX_LEVEL_INSTANCE, NUMBER, false, false, NX_TAG(0x0028, 0x0008), ITEM(frames)},
	{NX_LEVEL_INSTANCE, NUMBER, false, false, NX_TAG(0x0028, 0x0010), ITEM(rows)},
	{NX_LEVEL_INSTANCE, NUMBER, false, false, NX_TAG(0x0028, 0x0011), ITEM(columns)},
};

struct emit {
	const struct nx_find *find;
	const struct nx_find_json *form;
	struct nx_json json;
};

/* An attribute whose VR is a number in JSON (PS3.18 F.2.3), or one without a value. */
static void put_number(struct nx_json *json, nx_tag tag, int64_t v)
{
	const struct nx_dict_entry *entry = nx_dict_find(tag);
	const char vr[] = {(char)(entry->vr >> 8), (char)entry->vr, 0};
	char key[9];

	(void)snprintf(key, sizeof(key), "%08X", tag);
	nx_json_key(json, key);
	nx_json_object_begin(json);
	nx_json_kv_str(json, "vr", vr);
	if (v) {
		nx_json_key(json, "Value");
		nx_json_array_begin(json);
		nx_json_int(json, v);
		nx_json_array_end(json);
	}
	nx_json_object_end(json);
}

static void put_column(struct nx_json *json, const struct column *c, const void *row)
{
	const char *at = (const char *)row + c->at;
	const char *text;
	int64_t number;

	if (c->kind == NUMBER) {
		memcpy(&number, at, sizeof(number));
		if (number || c->always)
			put_number(json, c->tag, number);
		return;
	}
	memcpy(&text, at, sizeof(text));
	if (text && (text[0] || c->always))
		nx_json_dicom_text(json, c->tag, text);
}

static bool wanted(const struct emit *e, const struct column *c)
{
	if (c->key || c->level == e->find->level)
		return true;
	return c->level == NX_LEVEL_STUDY ? e->form->with_study : e->form->with_series;
}

/* (0008,1190): where a client goes on (PS3.18 10.6.3.3). */
static nx_rc put_url(struct emit *e, const struct nx_match *m, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) url;
	const char *text;

	nx_buf_init(&url, 4096, NX_BUF_WIPE);
	nx_buf_printf(&url, "%s/studies/%s", e->form->base_url, m->study->uid);
	if (m->series)
		nx_buf_printf(&url, "/series/%s", m->series->uid);
	if (m->item)
		nx_buf_printf(&url, "/instances/%s", m->item->name);
	text = nx_buf_cstr(&url);
	if (!text)
		return nx_buf_check(&url, err);
	nx_json_dicom_text(&e->json, NX_TAG(0x0008, 0x1190), text);
	return NX_OK;
}

static nx_rc match_emit(void *payload, const struct nx_match *m, struct nx_err *err)
{
	struct emit *e = payload;
	const void *rows[] = {[NX_LEVEL_STUDY] = m->study,
		[NX_LEVEL_SERIES] = m->series,
		[NX_LEVEL_INSTANCE] = m->item};
	nx_rc rc;

	nx_json_object_begin(&e->json);
	for (size_t i = 0; i < NX_ARRAY_LEN(columns); i++)
		if (rows[columns[i].level] && wanted(e, &columns[i]))
			put_column(&e->json, &columns[i], rows[columns[i].level]);
	nx_json_dicom_text(&e->json, NX_TAG(0x0008, 0x0056), "ONLINE");
	rc = put_url(e, m, err);
	nx_json_object_end(&e->json);
	return rc ? rc : nx_buf_check(e->json.out, err);
}

nx_rc nx_retrieve_find_json(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_find *find, const struct nx_find_json *form, struct nx_buf *out,
	bool *ret_more, struct nx_err *err)
{
	struct emit e = {.find = find, .form = form};
	nx_rc rc;

	nx_json_init(&e.json, out);
	nx_json_array_begin(&e.json);
	rc = nx_retrieve_find(retrieve, who, find, match_emit, &e, ret_more, err);
	nx_json_array_end(&e.json);
	return rc ? rc : nx_buf_check(out, err);
}

/* Results of a query in the DICOM JSON Model (PS3.18 10.6.3.3). */
#include "base/json.h"
#include "dicom/dicom.h"
#include "retrieve/find_priv.h"

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

static void put_column(struct nx_json *json, const struct find_column *c, const struct nx_match *m)
{
	const char *text;
	int64_t number;

	if (c->kind == FIND_NUMBER) {
		number = find_number(c, m);
		if (number || c->always)
			put_number(json, c->tag, number);
		return;
	}
	text = find_text(c, m);
	if (text[0] || c->always)
		nx_json_dicom_text(json, c->tag, text);
}

/* Attributes of the patient are of the study here. */
static bool wanted(const struct emit *e, const struct find_column *c)
{
	unsigned level = c->level == NX_LEVEL_PATIENT ? NX_LEVEL_STUDY : c->level;

	if (c->kind == FIND_COUNT || level > e->find->level)
		return false;
	if (c->key || level == e->find->level)
		return true;
	return level == NX_LEVEL_STUDY ? e->form->with_study : e->form->with_series;
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

static nx_rc match_emit(void *payload, const struct nx_match *m, const struct nx_dataset *sequences,
	struct nx_err *err)
{
	struct emit *e = payload;
	nx_rc rc;

	nx_json_object_begin(&e->json);
	for (size_t i = 0; i < find_columns_n; i++)
		if (wanted(e, &find_columns[i]))
			put_column(&e->json, &find_columns[i], m);
	nx_json_dicom_text(&e->json, NX_TAG(0x0008, 0x0056), "ONLINE");
	rc = put_url(e, m, err);
	if (!rc && sequences)
		rc = nx_dataset_json_members(sequences, &e->json, err);
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

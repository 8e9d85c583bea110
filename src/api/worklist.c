/* The modality worklist: data sets as objects under worklist/, which C-FIND searches. */
#include <stdio.h>
#include <string.h>

#include "api/api_priv.h"
#include "dicom/dicom.h"
#include "dicom/model.h"
#include "ingest/ingest.h"
#include "retrieve/retrieve.h"

#define TAG_PATIENT_ID NX_TAG(0x0010, 0x0020)
#define TAG_ISSUER     NX_TAG(0x0010, 0x0021)
#define TAG_STUDY      NX_TAG(0x0020, 0x000d)
#define TAG_STEPS      NX_TAG(0x0040, 0x0100)

/* Attributes of the Scheduled Procedure Step Sequence (PS3.3 C.4.10). */
static const nx_tag of_step[] = {
	NX_TAG(0x0008, 0x0060),
	NX_TAG(0x0032, 0x1070),
	NX_TAG(0x0040, 0x0001),
	NX_TAG(0x0040, 0x0002),
	NX_TAG(0x0040, 0x0003),
	NX_TAG(0x0040, 0x0004),
	NX_TAG(0x0040, 0x0005),
	NX_TAG(0x0040, 0x0006),
	NX_TAG(0x0040, 0x0007),
	NX_TAG(0x0040, 0x0009),
	NX_TAG(0x0040, 0x0010),
	NX_TAG(0x0040, 0x0011),
	NX_TAG(0x0040, 0x0012),
	NX_TAG(0x0040, 0x0020),
};

static bool is_of_step(nx_tag tag)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(of_step); i++)
		if (of_step[i] == tag)
			return true;
	return false;
}

/* ---- what is put: DICOM JSON, or attributes by keyword, or both ---- */

/* "PatientName": "A^B" as an attribute of the DICOM JSON Model. */
static nx_rc keyword_put(
	json_t *item, json_t *step, const char *keyword, const char *value, struct nx_err *err)
{
	const struct nx_dict_entry *entry = NULL;
	char vr[3] = "", name[9];
	json_t *one;
	nx_tag tag;

	if (nx_dict_parse_tag(keyword, strlen(keyword), &tag))
		entry = nx_dict_find(tag);
	if (!entry || entry->vr == NX_VR('S', 'Q'))
		return nx_err_set(err, NX_E_INVAL, "a member is no attribute with a text value");
	vr[0] = (char)(entry->vr >> 8);
	vr[1] = (char)entry->vr;
	(void)snprintf(name, sizeof(name), "%08X", tag);
	one = entry->vr == NX_VR('P', 'N') ? json_pack("{s:s}", "Alphabetic", value)
					   : json_string(value);
	if (!one)
		return nx_err_set(err, NX_E_INVAL, "a member is not UTF-8");
	(void)json_object_set_new(is_of_step(tag) ? step : item, name,
		json_pack("{s:s,s:[o]}", "vr", vr, "Value", one));
	return NX_OK;
}

static nx_rc item_take(json_t *body, json_t *item, struct nx_err *err)
{
	json_t *step = json_object(), *value;
	const char *key;
	nx_rc rc = NX_OK;

	json_object_foreach(body, key, value)
	{
		if (json_is_string(value))
			rc = keyword_put(item, step, key, json_string_value(value), err);
		else
			(void)json_object_set(item, key, value);
		if (rc)
			break;
	}
	if (!rc && json_object_size(step))
		(void)json_object_set_new(
			item, "00400100", json_pack("{s:s,s:[O]}", "vr", "SQ", "Value", step));
	json_decref(step);
	return rc;
}

struct parsed {
	struct nx_model *model;
};

static nx_rc model_keep(void *payload, struct nx_model *model, struct nx_err *err)
{
	struct parsed *p = payload;
	nx_rc rc = model->rc;

	if (rc && err)
		*err = model->err;
	if (!rc && p->model)
		rc = nx_err_set(err, NX_E_INVAL, "more than one data set");
	if (rc)
		nx_model_free(model);
	else
		p->model = model;
	return rc;
}

static nx_rc item_parse(const json_t *item, struct nx_model **ret, struct nx_err *err)
{
	NX_AUTO(nx_model_reader) *reader = NULL;
	struct parsed p = {NULL};
	char *text = json_dumps(item, JSON_COMPACT);
	nx_rc rc = text ? nx_model_json_new(model_keep, &p, &reader, err)
			: nx_err_set(err, NX_E_NOMEM, "no memory for a worklist item");

	if (!rc)
		rc = nx_model_feed(reader, text, strlen(text), err);
	if (!rc)
		rc = nx_model_finish(reader, err);
	if (!rc && !p.model)
		rc = nx_err_set(err, NX_E_INVAL, "no data set");
	free(text);
	if (rc)
		nx_model_free(p.model);
	else
		*ret = p.model;
	return rc;
}

/* What a modality cannot do without (PS3.4 K.6.1.2.2), as far as it is told apart by it. */
static nx_rc item_check(
	const struct nx_model *model, struct nx_object_opts *opts, struct nx_err *err)
{
	const struct nx_elem *steps = nx_dataset_find(model->ds, TAG_STEPS);
	const char *study = nx_dataset_text(model->ds, TAG_STUDY, model->arena);

	opts->patient_id = nx_dataset_text(model->ds, TAG_PATIENT_ID, model->arena);
	opts->issuer = nx_dataset_text(model->ds, TAG_ISSUER, model->arena);
	if (!study || !opts->patient_id || !opts->issuer)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a worklist item");
	if (!*opts->patient_id)
		return nx_err_set(err, NX_E_INVAL, "no PatientID");
	if (!nx_uid_valid(study, strlen(study)))
		return nx_err_set(err, NX_E_INVAL, "no StudyInstanceUID, or none that is one");
	return steps && steps->n_items ? NX_OK
				       : nx_err_set(err, NX_E_INVAL, "no scheduled procedure step");
}

static nx_rc object_put(struct nx_http_req *req, const struct nx_object_opts *opts,
	struct nx_slice bytes, struct nx_ingest_result *ret, struct nx_err *err)
{
	NX_AUTO(nx_ingest_job) *job = NULL;
	nx_rc rc = nx_ingest_object(api_of(req)->ingest, opts, &job, err);

	if (!rc)
		rc = nx_ingest_feed(job, bytes.p, bytes.n, err);
	if (!rc)
		rc = nx_ingest_submit(job, err);
	return rc ? rc : nx_ingest_wait(job, ret, err);
}

static nx_rc item_put(struct nx_http_req *req, const struct nx_model *model, const char *key,
	struct nx_ingest_result *ret, struct nx_err *err)
{
	struct nx_object_opts opts = {.who = api_who_of(req),
		.collection = nx_http_param(req, "collection"),
		.key = key,
		.media_type = "application/dicom"};
	NX_AUTO_DONE(nx_buf) bytes;
	nx_rc rc = item_check(model, &opts, err);

	nx_buf_init(&bytes, NX_LIMIT_WORKLIST_ITEM, NX_BUF_WIPE);
	if (!rc)
		rc = nx_dataset_write(model->ds, nx_ts_find(NX_UID_EXPLICIT_VR_LITTLE_ENDIAN),
			&bytes, NULL, NULL, err);
	if (rc)
		return rc;
	if (!*opts.issuer)
		opts.issuer = NULL;
	opts.size = bytes.len;
	return object_put(req, &opts, nx_buf_slice(&bytes), ret, err);
}

static nx_rc key_make(
	struct nx_http_req *req, char ret[NX_LIMIT_OBJECT_KEY + 1], struct nx_err *err)
{
	int n = snprintf(ret, NX_LIMIT_OBJECT_KEY + 1, "%s%s", NX_WORKLIST_PREFIX,
		nx_http_param(req, "item"));

	return n <= (int)NX_LIMIT_OBJECT_KEY ? NX_OK
					     : nx_err_set(err, NX_E_INVAL, "name of %d bytes", n);
}

nx_rc api_worklist_put(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO(nx_model) *model = NULL;
	char key[NX_LIMIT_OBJECT_KEY + 1];
	struct nx_ingest_result result;
	json_t *body = NULL, *item = json_object();
	nx_rc rc = key_make(req, key, err);

	if (!rc)
		rc = api_body_json(req, &body, err);
	if (!rc)
		rc = item_take(body, item, err);
	if (!rc)
		rc = item_parse(item, &model, err);
	if (!rc)
		rc = item_put(req, model, key, &result, err);
	json_decref(item);
	json_decref(body);
	return rc ? rc : api_reply_empty(req, 204);
}

nx_rc api_worklist_remove(struct nx_http_req *req, struct nx_err *err)
{
	char key[NX_LIMIT_OBJECT_KEY + 1];
	nx_rc rc = key_make(req, key, err);

	if (!rc)
		rc = nx_retrieve_object_delete(api_of(req)->retrieve, api_who_of(req),
			nx_http_param(req, "collection"), key, NULL, err);
	return rc ? rc : api_reply_empty(req, 204);
}

/* ---- the list ---- */

static nx_rc item_json(void *payload, const char *name, struct nx_slice bytes, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(16 * NX_MIB, NX_ARENA_WIPE);
	struct nx_json *json = payload;
	struct nx_dataset *ds;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a worklist");
	rc = nx_dataset_parse(bytes, NX_UID_EXPLICIT_VR_LITTLE_ENDIAN, NX_LIMIT_WORKLIST_ITEM + 1,
		arena, &ds, err);
	if (rc)
		return rc;
	nx_json_object_begin(json);
	nx_json_kv_str(json, "item", name);
	nx_json_key(json, "dataset");
	rc = nx_dataset_json(ds, json, NULL, NULL, arena, err);
	nx_json_object_end(json);
	return rc ? rc : nx_buf_check(json->out, err);
}

nx_rc api_worklist_list(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_json json;
	nx_rc rc;

	api_reply_init(&buf);
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	nx_json_key(&json, "worklist");
	nx_json_array_begin(&json);
	rc = nx_retrieve_worklist(api_of(req)->retrieve, api_who_of(req),
		nx_http_param(req, "collection"), item_json, &json, err);
	if (rc)
		return rc;
	nx_json_array_end(&json);
	nx_json_object_end(&json);
	return api_reply_json(req, 200, &buf, err);
}

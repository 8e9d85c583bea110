/* The modality worklist: data sets, which C-FIND searches. */
#include <stdio.h>
#include <string.h>

#include "api/api_priv.h"
#include "dicom/dicom.h"
#include "dicom/model.h"
#include "dicom/value.h"
#include "ingest/ingest.h"
#include "retrieve/retrieve.h"

#define STEPS "00400100"

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
	nx_rc rc;

	if (nx_dict_parse_tag(keyword, strlen(keyword), &tag))
		entry = nx_dict_find(tag);
	if (!entry || entry->vr == NX_VR('S', 'Q'))
		return nx_err_set(err, NX_E_INVAL, "a member is no attribute with a text value");
	rc = nx_value_check(tag, value, err);
	if (rc)
		return rc;
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

/* Attributes of the step go over those of the first one that is there, or make one. */
static nx_rc step_put(json_t *item, json_t *attributes, struct nx_err *err)
{
	json_t *steps = json_object_get(json_object_get(item, STEPS), "Value");
	json_t *first = json_array_get(steps, 0);

	if (!json_object_size(attributes))
		return NX_OK;
	if (json_array_size(steps) > 1)
		return nx_err_set(err, NX_E_INVAL,
			"of which of several steps attributes are is not said: give them all in "
			"the sequence");
	if (first)
		(void)json_object_update(first, attributes);
	else
		(void)json_object_set_new(
			item, STEPS, json_pack("{s:s,s:[O]}", "vr", "SQ", "Value", attributes));
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
	if (!rc)
		rc = step_put(item, step, err);
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

nx_rc api_worklist_put(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO(nx_model) *model = NULL;
	struct nx_worklist_item put = {.who = api_who_of(req),
		.collection = nx_http_param(req, "collection"),
		.name = nx_http_param(req, "item")};
	json_t *body = NULL, *item = json_object();
	nx_rc rc = api_body_json(req, &body, err);

	if (!rc)
		rc = item_take(body, item, err);
	if (!rc)
		rc = item_parse(item, &model, err);
	if (!rc) {
		put.dataset = model->ds;
		rc = nx_ingest_worklist(api_of(req)->ingest, &put, err);
	}
	json_decref(item);
	json_decref(body);
	return rc ? rc : api_reply_empty(req, 204);
}

nx_rc api_worklist_state(struct nx_http_req *req, struct nx_err *err)
{
	json_t *body = NULL;
	const char *state = NULL;
	nx_rc rc = api_body_json(req, &body, err);

	if (!rc) {
		state = json_string_value(json_object_get(body, "state"));
		rc = state ? nx_retrieve_worklist_set(api_of(req)->retrieve, api_who_of(req),
				     nx_http_param(req, "collection"), nx_http_param(req, "item"),
				     state, err)
			   : nx_err_set(err, NX_E_INVAL, "no member state");
	}
	json_decref(body);
	return rc ? rc : api_reply_empty(req, 204);
}

nx_rc api_worklist_remove(struct nx_http_req *req, struct nx_err *err)
{
	nx_rc rc = nx_retrieve_worklist_remove(api_of(req)->retrieve, api_who_of(req),
		nx_http_param(req, "collection"), nx_http_param(req, "item"), err);

	return rc ? rc : api_reply_empty(req, 204);
}

nx_rc api_worklist_list(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_worklist_ask ask = {.collection = nx_http_param(req, "collection"),
		.state = nx_http_query(req, "state"),
		.after = nx_http_query(req, "after")};
	uint64_t limit = 0;
	nx_rc rc = api_query_number(req, "limit", 0, &limit, err);

	api_reply_init(&buf);
	ask.limit = limit < UINT32_MAX ? (unsigned)limit : 0;
	if (!rc)
		rc = nx_retrieve_worklist_list(
			api_of(req)->retrieve, api_who_of(req), &ask, &buf, err);
	return api_reply_rc(req, rc, &buf, err);
}

#include <string.h>

#include "api/api_priv.h"
#include "catalog/catalog.h"
#include "dicom/dicom.h"
#include "retrieve/retrieve.h"

/* ---- one match as JSON ---- */

static void study_json(struct nx_json *json, const struct nx_study *s)
{
	nx_json_kv_str(json, "StudyInstanceUID", s->uid);
	nx_json_kv_str(json, "PatientID", s->patient_id);
	nx_json_kv_str(json, "IssuerOfPatientID", s->issuer);
	nx_json_kv_str(json, "PatientName", s->patient_name);
	nx_json_kv_str(json, "PatientBirthDate", s->birth_date);
	nx_json_kv_str(json, "PatientSex", s->sex);
	nx_json_kv_str(json, "StudyDate", s->date);
	nx_json_kv_str(json, "StudyTime", s->time);
	nx_json_kv_str(json, "AccessionNumber", s->accession);
	nx_json_kv_str(json, "StudyDescription", s->description);
	nx_json_kv_str(json, "ModalitiesInStudy", s->modalities);
	nx_json_kv_int(json, "NumberOfStudyRelatedSeries", s->n_series);
	nx_json_kv_int(json, "NumberOfStudyRelatedInstances", s->n_instances);
}

static void series_json(struct nx_json *json, const struct nx_series *s)
{
	nx_json_kv_str(json, "SeriesInstanceUID", s->uid);
	nx_json_kv_str(json, "Modality", s->modality);
	nx_json_kv_str(json, "SeriesNumber", s->number);
	nx_json_kv_str(json, "SeriesDescription", s->description);
	nx_json_kv_str(json, "BodyPartExamined", s->body_part);
	nx_json_kv_int(json, "NumberOfSeriesRelatedInstances", s->n_instances);
}

static void item_json(struct nx_json *json, const struct nx_item *i)
{
	nx_json_kv_str(json, "SOPInstanceUID", i->name);
	nx_json_kv_str(json, "SOPClassUID", i->type);
	nx_json_kv_str(json, "TransferSyntaxUID", i->ts_uid);
	nx_json_kv_int(json, "InstanceNumber", i->number);
	nx_json_kv_int(json, "NumberOfFrames", i->frames);
	nx_json_kv_int(json, "size", i->size);
	nx_json_kv_int(json, "version", i->version);
}

static nx_rc match_json(void *payload, const struct nx_match *match,
	const struct nx_dataset *sequences, struct nx_err *err)
{
	struct nx_json *json = payload;

	(void)sequences; /* none are asked for */

	nx_json_object_begin(json);
	study_json(json, match->study);
	if (match->series)
		series_json(json, match->series);
	if (match->item)
		item_json(json, match->item);
	nx_json_object_end(json);
	return nx_buf_check(json->out, err);
}

/* ---- what is asked for ---- */

static bool is_option(const char *key)
{
	return strcmp(key, "limit") == 0 || strcmp(key, "offset") == 0 || strcmp(key, "fuzzy") == 0;
}

static nx_rc keys_take(struct nx_http_req *req, struct nx_find_key keys[NX_LIMIT_QUERY_KEYS],
	size_t *ret_n, struct nx_err *err)
{
	const char *key, *value;
	nx_tag tag;

	*ret_n = 0;
	for (size_t i = 0; nx_http_query_at(req, i, &key, &value); i++) {
		if (is_option(key))
			continue;
		if (!nx_dict_parse_tag(key, strlen(key), &tag))
			return nx_err_set(
				err, NX_E_INVAL, "query parameter %zu is no attribute", i + 1);
		if (*ret_n == NX_LIMIT_QUERY_KEYS)
			return nx_err_set(
				err, NX_E_LIMIT, "more than %u attributes", NX_LIMIT_QUERY_KEYS);
		keys[(*ret_n)++] = (struct nx_find_key){.tag = tag, .value = value};
	}
	return NX_OK;
}

static nx_rc find_opts(struct nx_http_req *req, struct nx_find *find, struct nx_err *err)
{
	const char *fuzzy = nx_http_query(req, "fuzzy");
	uint64_t limit = 0, offset = 0;
	nx_rc rc = api_query_number(req, "limit", 0, &limit, err);

	if (!rc)
		rc = api_query_number(req, "offset", 0, &offset, err);
	if (!rc && (limit > NX_LIMIT_QUERY_ROWS || offset > UINT32_MAX))
		rc = nx_err_set(err, NX_E_INVAL, "limit is more than %u", NX_LIMIT_QUERY_ROWS);
	find->limit = (unsigned)limit;
	find->offset = (unsigned)offset;
	find->fuzzy = fuzzy && strcmp(fuzzy, "true") == 0;
	return rc;
}

static nx_rc find_reply(
	struct nx_http_req *req, enum nx_query_level level, const char *name, struct nx_err *err)
{
	struct nx_find_key keys[NX_LIMIT_QUERY_KEYS];
	struct nx_find find = {
		.collection = nx_http_param(req, "collection"), .level = level, .keys = keys};
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_json json;
	bool more = false;
	nx_rc rc = keys_take(req, keys, &find.n_keys, err);

	api_reply_init(&buf);
	if (!rc)
		rc = find_opts(req, &find, err);
	if (rc)
		return rc;
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	nx_json_key(&json, name);
	nx_json_array_begin(&json);
	rc = nx_retrieve_find(
		api_of(req)->retrieve, api_who_of(req), &find, match_json, &json, &more, err);
	nx_json_array_end(&json);
	nx_json_kv_bool(&json, "more", more);
	nx_json_object_end(&json);
	return api_reply_rc(req, rc, &buf, err);
}

nx_rc api_studies_find(struct nx_http_req *req, struct nx_err *err)
{
	return find_reply(req, NX_LEVEL_STUDY, "studies", err);
}

nx_rc api_series_find(struct nx_http_req *req, struct nx_err *err)
{
	return find_reply(req, NX_LEVEL_SERIES, "series", err);
}

nx_rc api_instances_find(struct nx_http_req *req, struct nx_err *err)
{
	return find_reply(req, NX_LEVEL_INSTANCE, "instances", err);
}

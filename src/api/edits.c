#include "api/api_priv.h"
#include "dicom/dicom.h"
#include "edit/edit.h"

static const struct {
	const char *word;
	enum nx_edit_level level;
} levels[] = {
	{"patient", NX_EDIT_PATIENT},
	{"study", NX_EDIT_STUDY},
	{"series", NX_EDIT_SERIES},
	{"instance", NX_EDIT_INSTANCE},
};

struct asked {
	struct nx_edit_request request;
	struct nx_edit_set sets[NX_EDIT_SETS_MAX];
};

static nx_rc set_add(struct asked *a, const char *name, const char *value, struct nx_err *err)
{
	struct nx_edit_set *set = &a->sets[a->request.n_sets];

	if (a->request.n_sets == NX_EDIT_SETS_MAX)
		return nx_err_set(err, NX_E_LIMIT, "more than %d attributes", NX_EDIT_SETS_MAX);
	if (!name || !nx_dict_parse_tag(name, strlen(name), &set->tag))
		return nx_err_set(err, NX_E_INVAL, "a member is no attribute");
	set->value = value;
	a->request.n_sets++;
	return NX_OK;
}

static nx_rc sets_take(const json_t *body, struct asked *a, struct nx_err *err)
{
	json_t *set = json_object_get(body, "set"), *remove = json_object_get(body, "remove");
	const char *name;
	json_t *value;
	size_t i;
	nx_rc rc = NX_OK;

	if ((set && !json_is_object(set)) || (remove && !json_is_array(remove)))
		return nx_err_set(err, NX_E_INVAL, "set is no object, or remove no array");
	json_object_foreach(set, name, value)
	{
		if (!rc && !json_is_string(value))
			rc = nx_err_set(err, NX_E_INVAL, "a value is not a text");
		if (!rc)
			rc = set_add(a, name, json_string_value(value), err);
	}
	json_array_foreach(remove, i, value) if (!rc) rc =
		set_add(a, json_string_value(value), NULL, err);
	a->request.sets = a->sets;
	return rc;
}

static nx_rc level_take(const json_t *body, struct nx_edit_request *r, struct nx_err *err)
{
	const char *word = NULL;
	nx_rc rc = api_member_text(body, "level", true, &word, err);

	for (size_t i = 0; !rc && i < NX_ARRAY_LEN(levels); i++)
		if (strcmp(levels[i].word, word) == 0)
			r->level = levels[i].level;
	if (!rc && !r->level)
		rc = nx_err_set(
			err, NX_E_INVAL, "level is none of patient, study, series, instance");
	return rc;
}

static nx_rc request_take(const json_t *body, struct asked *a, struct nx_err *err)
{
	struct nx_edit_request *r = &a->request;
	const struct {
		const char *name;
		bool required;
		const char **to;
	} members[] = {
		{"collection", true, &r->collection},
		{"reason", true, &r->reason},
		{"patient", r->level == NX_EDIT_PATIENT, &r->patient_id},
		{"issuer", false, &r->issuer},
		{"study", r->level != NX_EDIT_PATIENT, &r->study},
		{"series", r->level < NX_EDIT_STUDY, &r->series},
		{"instance", r->level < NX_EDIT_SERIES, &r->instance},
		{"into", false, &r->into},
		{"into_issuer", false, &r->into_issuer},
		{"source", false, &r->source},
	};
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < NX_ARRAY_LEN(members) && !rc; i++)
		rc = api_member_text(
			body, members[i].name, members[i].required, members[i].to, err);
	r->coerce = json_is_true(json_object_get(body, "coerce"));
	r->dry_run = json_is_true(json_object_get(body, "dry_run"));
	return rc ? rc : sets_take(body, a, err);
}

static void result_json(const struct nx_edit_result *result, bool dry_run, struct nx_buf *out)
{
	struct nx_json json;
	char tag[16];

	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_kv_uint(&json, "studies", result->studies);
	nx_json_kv_uint(&json, "instances", result->instances);
	nx_json_kv_uint(&json, "changed", result->changed);
	nx_json_kv_bool(&json, "dry_run", dry_run);
	nx_json_key(&json, "tags");
	nx_json_array_begin(&json);
	for (size_t i = 0; i < result->n_tags; i++) {
		const struct nx_dict_entry *entry = nx_dict_find(result->tags[i].tag);

		(void)snprintf(tag, sizeof(tag), "%08X", (unsigned)result->tags[i].tag);
		nx_json_object_begin(&json);
		nx_json_kv_str(&json, "tag", tag);
		nx_json_kv_str(&json, "name", entry ? entry->keyword : "");
		nx_json_kv_uint(&json, "instances", result->tags[i].instances);
		nx_json_object_end(&json);
	}
	nx_json_array_end(&json);
	nx_json_object_end(&json);
}

/* {"collection","level","patient"|"study","series","instance","set","remove","into","reason",...}
 */
nx_rc api_edits_run(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct asked a = {.request = {.n_sets = 0}};
	struct nx_edit_result result;
	json_t *body = NULL;
	nx_rc rc = api_body_json(req, &body, err);

	api_reply_init(&buf);
	if (!rc)
		rc = level_take(body, &a.request, err);
	if (!rc)
		rc = request_take(body, &a, err);
	if (!rc)
		rc = nx_edit_run(api_of(req)->edits, api_who_of(req), &a.request, &result, err);
	if (!rc)
		result_json(&result, a.request.dry_run, &buf);
	json_decref(body);
	return api_reply_rc(req, rc, &buf, err);
}

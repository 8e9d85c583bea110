#include "api/api_priv.h"
#include "lifecycle/admin.h"

nx_rc api_collections_list(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};

	api_reply_init(&buf);
	return api_reply_rc(req,
		nx_admin_collections(api_of(req)->admin, api_who_of(req), &buf, err), &buf, err);
}

static nx_rc spec_take(
	const json_t *body, struct nx_collection_spec *spec, char **ret_tags, struct nx_err *err)
{
	const json_t *tags = json_object_get(body, "tags");
	nx_rc rc = api_member_text(body, "name", true, &spec->name, err);

	if (!rc)
		rc = api_member_text(body, "zone", true, &spec->zone, err);
	if (!rc)
		rc = api_member_text(body, "sensitivity", true, &spec->sensitivity, err);
	if (!rc)
		rc = api_member_text(body, "project", false, &spec->project, err);
	if (!rc)
		rc = api_member_text(body, "on_conflict", false, &spec->on_conflict, err);
	if (rc || !tags)
		return rc;
	*ret_tags = json_dumps(tags, JSON_COMPACT | JSON_ENCODE_ANY);
	spec->tags = *ret_tags;
	return *ret_tags ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for tags");
}

nx_rc api_collections_create(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_collection_spec spec = {0};
	NX_AUTO_MEM char *tags = NULL;
	json_t *body = NULL;
	nx_rc rc = api_body_json(req, &body, err);

	if (!rc)
		rc = spec_take(body, &spec, &tags, err);
	if (!rc)
		rc = nx_admin_collection_create(api_of(req)->admin, api_who_of(req), &spec, err);
	json_decref(body);
	return rc ? rc : api_reply_empty(req, 201);
}

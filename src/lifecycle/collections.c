#include <jansson.h>
#include <string.h>

#include "lifecycle/admin_priv.h"

static const char *const zones[] = {
	[NX_ZONE_LANDING] = "landing",
	[NX_ZONE_CURATED] = "curated",
	[NX_ZONE_TRAINING] = "training",
	[NX_ZONE_SCRATCH] = "scratch",
	[NX_ZONE_ARCHIVE] = "archive",
	[NX_ZONE_VAULT] = "vault",
};

static const char *zone_name(int64_t zone)
{
	return zone > 0 && zone < (int64_t)NX_ARRAY_LEN(zones) ? zones[zone] : "unknown";
}

static nx_rc zone_parse(const char *name, int64_t *ret, struct nx_err *err)
{
	for (size_t i = 1; i < NX_ARRAY_LEN(zones); i++)
		if (strcmp(zones[i], name) == 0) {
			*ret = (int64_t)i;
			return NX_OK;
		}
	return nx_err_set(err, NX_E_INVAL,
		"zone is none of landing, curated, training, scratch, archive, vault");
}

static nx_rc tags_check(const char *tags, struct nx_err *err)
{
	json_t *json = json_loads(tags, JSON_REJECT_DUPLICATES, NULL);
	bool ok = json_is_object(json);

	json_decref(json);
	return ok ? NX_OK : nx_err_set(err, NX_E_INVAL, "tags are not a JSON object");
}

static nx_rc spec_check(struct nx_admin *admin, const struct nx_collection_spec *spec,
	struct nx_collection *ret, struct nx_err *err)
{
	nx_rc rc = admin_name_check("collection name", spec->name, false, err);

	*ret = (struct nx_collection){
		.name = spec->name,
		.project = spec->project ? spec->project : "",
		.tags = spec->tags ? spec->tags : "{}",
		.on_conflict = spec->on_conflict ? spec->on_conflict : admin->on_conflict,
		.created_us = nx_now_us(),
	};
	if (!rc && ret->project[0])
		rc = admin_name_check("project", ret->project, false, err);
	if (!rc)
		rc = admin_name_check("sensitivity", spec->sensitivity, false, err);
	if (!rc)
		rc = zone_parse(spec->zone, &ret->zone, err);
	if (!rc)
		rc = tags_check(ret->tags, err);
	if (!rc && strcmp(ret->on_conflict, "version") != 0 &&
		strcmp(ret->on_conflict, "reject") != 0)
		rc = nx_err_set(err, NX_E_INVAL, "on_conflict is neither version nor reject");
	return rc;
}

static nx_rc domain_take(struct nx_admin *admin, const char *sensitivity, struct nx_arena *arena,
	struct nx_collection *c, struct nx_err *err)
{
	uint32_t id = 0;
	nx_rc rc;

	c->domain_name = nx_arena_printf(arena, "%s/%s", admin->environment, sensitivity);
	if (!c->domain_name)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a domain");
	rc = nx_keys_domain(nx_archive_keys(admin->archive), c->domain_name, true, &id, err);
	if (!rc)
		rc = nx_keys_sync(nx_archive_keys(admin->archive), err);
	c->domain = id;
	return rc;
}

/* Caller holds admin->lock. */
static nx_rc collection_put(struct nx_admin *admin, const struct nx_principal *who,
	struct nx_collection *c, const char *sensitivity, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = admin_arena(err);
	struct nx_collection old;
	struct nx_op op;
	nx_rc rc;

	if (!arena)
		return NX_E_NOMEM;
	rc = nx_cat_collection(nx_archive_cat(admin->archive), c->name, arena, &old, err);
	if (rc != NX_E_NOENT)
		return rc ? rc : nx_err_set(err, NX_E_EXISTS, "there is such a collection");
	rc = domain_take(admin, sensitivity, arena, c, err);
	if (rc)
		return rc;
	c->id = (int64_t)nx_archive_next_id(admin->archive, NX_T_COLLECTION);
	rc = nx_op_put_collection(c, arena, &op);
	if (rc)
		return nx_err_set(err, rc, "no memory for a collection");
	return admin_change(admin, who, &op,
		&(struct note){.action = NX_ACTION_COLLECTION_CREATE,
			.keys = {"collection", "zone", "domain"},
			.values = {c->name, zone_name(c->zone), c->domain_name}},
		err);
}

nx_rc nx_admin_collection_create(struct nx_admin *admin, const struct nx_principal *who,
	const struct nx_collection_spec *spec, struct nx_err *err)
{
	struct nx_collection c;
	nx_rc rc = admin_guard(admin, who, NX_PERM_ADMIN, "collection.create", err);

	if (!rc)
		rc = spec_check(admin, spec, &c, err);
	if (rc)
		return rc;
	(void)pthread_mutex_lock(&admin->lock);
	rc = collection_put(admin, who, &c, spec->sensitivity, err);
	(void)pthread_mutex_unlock(&admin->lock);
	return rc;
}

static nx_rc collection_json(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_collection *c = row;
	struct nx_json *json = payload;

	nx_json_object_begin(json);
	nx_json_kv_str(json, "name", c->name);
	nx_json_kv_str(json, "zone", zone_name(c->zone));
	nx_json_kv_str(json, "project", c->project);
	nx_json_kv_str(json, "domain", c->domain_name);
	nx_json_key(json, "tags");
	nx_json_raw(json, nx_slice_str(c->tags));
	nx_json_kv_str(json, "on_conflict", c->on_conflict);
	admin_json_time(json, "created", c->created_us);
	nx_json_object_end(json);
	return nx_buf_check(json->out, err);
}

nx_rc nx_admin_collections(struct nx_admin *admin, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err)
{
	struct nx_json json;
	nx_rc rc = admin_guard(admin, who, NX_PERM_QUERY, "collections", err);

	if (rc)
		return rc;
	nx_archive_barrier(admin->archive);
	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_key(&json, "collections");
	nx_json_array_begin(&json);
	rc = nx_cat_collections(nx_archive_cat(admin->archive), collection_json, &json, err);
	nx_json_array_end(&json);
	nx_json_object_end(&json);
	return rc ? rc : nx_buf_check(out, err);
}

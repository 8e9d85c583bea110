#include "api/api_priv.h"
#include "lifecycle/backup.h"
#include "lifecycle/works.h"

static nx_rc result_reply(
	struct nx_http_req *req, const struct nx_backup_result *made, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	struct nx_json json;

	api_reply_init(&buf);
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "backup", made->id);
	nx_json_kv_uint(&json, "group", made->group_seq);
	nx_json_kv_uint(&json, "ledger_entries", made->ledger_entries);
	nx_json_kv_uint(&json, "packs", made->packs);
	nx_json_kv_uint(&json, "packs_copied", made->packs_copied);
	nx_json_kv_uint(&json, "bytes", made->bytes);
	nx_json_kv_uint(&json, "bytes_copied", made->bytes_copied);
	nx_json_object_end(&json);
	return api_reply_json(req, 201, &buf, err);
}

static nx_rc backup_run(struct nx_http_req *req, struct nx_backup_opts *opts,
	struct nx_backup_result *made, struct nx_err *err)
{
	const struct nx_api *api = api_of(req);
	nx_rc rc = nx_works_begin(api->works, "backup", "bytes", &opts->progress, err);

	if (rc)
		return rc;
	rc = nx_backup_run(api->archive, api_who_of(req), opts, made, err);
	nx_works_end(api->works, opts->progress);
	return rc;
}

nx_rc api_backups_create(struct nx_http_req *req, struct nx_err *err)
{
	const struct nx_api *api = api_of(req);
	struct nx_backup_opts opts = {
		.site = api->site, .files = api->files, .n_files = api->n_files};
	struct nx_backup_result made;
	json_t *body = NULL;
	nx_rc rc = api_folder_take(req, &body, &opts.dir, err);

	if (!rc)
		rc = backup_run(req, &opts, &made, err);
	if (!rc)
		rc = result_reply(req, &made, err);
	json_decref(body);
	return rc;
}

nx_rc api_keys_place_add(struct nx_http_req *req, struct nx_err *err)
{
	const char *folder = NULL;
	json_t *body = NULL;
	nx_rc rc = api_folder_take(req, &body, &folder, err);

	if (!rc)
		rc = nx_backup_keys(api_of(req)->archive, api_who_of(req), folder, err);
	json_decref(body);
	return rc ? rc : api_reply_empty(req, 201);
}

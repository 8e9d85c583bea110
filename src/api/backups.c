#include "api/api_priv.h"
#include "lifecycle/backup.h"

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

/* {"folder"}.  Writes to the server's disk as its user: for those only who are that user already.
 */
nx_rc api_backups_create(struct nx_http_req *req, struct nx_err *err)
{
	const struct nx_api *api = api_of(req);
	struct nx_backup_opts opts = {
		.site = api->site, .files = api->files, .n_files = api->n_files};
	struct nx_backup_result made;
	json_t *body = NULL;
	nx_rc rc;

	if (!nx_http_is_unix(req))
		return nx_err_set(err, NX_E_DENIED, "denied: on the site's own socket only");
	rc = api_body_json(req, &body, err);
	if (!rc)
		rc = api_member_text(body, "folder", true, &opts.dir, err);
	if (!rc && opts.dir[0] != '/')
		rc = nx_err_set(err, NX_E_INVAL, "folder is not an absolute path");
	if (!rc)
		rc = nx_backup_run(api->archive, api_who_of(req), &opts, &made, err);
	if (!rc)
		rc = result_reply(req, &made, err);
	json_decref(body);
	return rc;
}

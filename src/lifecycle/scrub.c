#include "base/log.h"
#include "lifecycle/admin_priv.h"

enum {
	FAILURES_MAX = 100
};

struct run {
	struct nx_admin *admin;
	const struct nx_principal *who;
	struct nx_json json;
	unsigned n;
};

static void failed(void *payload, int64_t item, const struct nx_err *why)
{
	struct run *run = payload;
	char id[24];
	struct nx_err err;

	(void)snprintf(id, sizeof(id), "%lld", (long long)item);
	if (admin_record(run->admin, run->who,
		    &(struct note){.action = NX_ACTION_INTEGRITY_FAIL,
			    .outcome = NX_OUTCOME_MAJOR,
			    .keys = {"item", "code", "text"},
			    .values = {id, nx_rc_wire(why->rc), nx_err_text(why)}},
		    &err))
		nx_log_err(NX_LOG_ERROR, "lifecycle", "ledger.record", &err);
	nx_log_err(NX_LOG_ERROR, "lifecycle", "integrity", why);
	if (run->n++ >= FAILURES_MAX)
		return;
	nx_json_object_begin(&run->json);
	nx_json_kv_int(&run->json, "item", item);
	nx_json_kv_str(&run->json, "code", nx_rc_wire(why->rc));
	nx_json_kv_str(&run->json, "message", nx_err_text(why));
	nx_json_object_end(&run->json);
}

nx_rc nx_admin_scrub(struct nx_admin *admin, const struct nx_principal *who,
	struct nx_progress *progress, struct nx_buf *out, uint64_t *ret_bad, struct nx_err *err)
{
	const struct note note = {.action = NX_ACTION_SCRUB};
	struct run run = {.admin = admin, .who = who};
	struct nx_scrub_result result = {0};
	nx_rc rc = admin_guard(admin, who, NX_PERM_ADMIN, "scrub", err);

	if (!rc)
		rc = admin_record(admin, who, &note, err);
	if (rc)
		return rc;
	nx_json_init(&run.json, out);
	nx_json_object_begin(&run.json);
	nx_json_key(&run.json, "failures");
	nx_json_array_begin(&run.json);
	rc = nx_archive_scrub(admin->archive, failed, &run, progress, &result, err);
	nx_json_array_end(&run.json);
	nx_json_kv_uint(&run.json, "items", result.items);
	nx_json_kv_uint(&run.json, "extents", result.extents);
	nx_json_kv_uint(&run.json, "bytes", result.bytes);
	nx_json_kv_uint(&run.json, "bad", result.bad);
	nx_json_kv_uint(&run.json, "erased", result.erased);
	nx_json_object_end(&run.json);
	if (!rc)
		rc = nx_buf_check(out, err);
	if (!rc)
		*ret_bad = result.bad;
	return rc;
}

#include "report/report.h"

#include "ledger/detail.h"
#include "report/report_priv.h"

struct nx_report *nx_report_new(struct nx_archive *archive, struct nx_ingest *ingest,
	const char *site, const char *environment)
{
	struct nx_report *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->archive = archive;
	r->ingest = ingest;
	r->site = site;
	r->environment = environment;
	r->started_us = nx_now_us();
	return r;
}

struct nx_report *nx_report_free(struct nx_report *report)
{
	free(report);
	return NULL;
}

nx_rc report_record(struct nx_report *r, const struct nx_principal *who, unsigned action,
	enum nx_outcome outcome, const char *what, struct nx_err *err)
{
	NX_AUTO_DONE(nx_detail) detail;
	struct nx_entry_draft draft = {
		.action = action, .outcome = outcome, .principal = who->name};
	nx_rc rc;

	nx_detail_begin(&detail);
	nx_json_kv_str(&detail.json, "what", what);
	rc = nx_detail_end(&detail, who->peer, &draft, err);
	return rc ? rc : nx_archive_record(r->archive, &draft, err);
}

nx_rc report_guard(struct nx_report *r, const struct nx_principal *who, enum nx_perm perm,
	const char *what, struct nx_err *err)
{
	nx_rc rc = nx_access_check(who, perm, NULL, err);
	struct nx_err why;

	if (rc && report_record(r, who, NX_ACTION_ACCESS_DENY, NX_OUTCOME_MINOR, what, &why))
		nx_log_err(NX_LOG_ERROR, "report", "ledger.record", &why);
	return rc;
}

#include <string.h>

#include "report/report_priv.h"

enum {
	ENTRIES_MOST = 1000,
	ENTRY_ARENA = 1024 * 1024
};

nx_rc nx_report_checkpoint(struct nx_report *report, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err)
{
	struct nx_ledger *ledger = nx_archive_ledger(report->archive);
	NX_AUTO_DONE(nx_buf) text;
	NX_AUTO_DONE(nx_buf) key;
	struct nx_json json;
	nx_rc rc;

	nx_buf_init(&text, NX_LIMIT_HTTP_SMALL_BODY, 0);
	nx_buf_init(&key, 4096, 0);
	rc = report_guard(report, who, NX_PERM_AUDIT, "ledger.checkpoint", err);
	if (!rc)
		rc = nx_ledger_flush(ledger, err);
	if (!rc)
		rc = nx_ledger_checkpoint(ledger, &text, err);
	if (rc)
		return rc;
	nx_ledger_verifier_key(ledger, &key);
	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_key(&json, "checkpoint");
	nx_json_str_n(&json, (const char *)text.data, text.len);
	nx_json_key(&json, "verifier_key");
	nx_json_str_n(&json, (const char *)key.data, key.len);
	nx_json_kv_uint(&json, "size", nx_ledger_size(ledger));
	nx_json_object_end(&json);
	return nx_buf_check(out, err);
}

/* ---- search ---- */

struct search {
	struct nx_report *report;
	const struct nx_ledger_filter *filter;
	unsigned action;
	unsigned limit;
	unsigned n;
	bool more;
	struct nx_arena *arena;
	struct nx_json json;
};

static bool wanted(const struct search *s, const struct nx_entry *e)
{
	const struct nx_ledger_filter *f = s->filter;

	return (!s->action || e->action == s->action) && e->time_us >= f->from_us &&
		(!f->to_us || e->time_us < f->to_us) &&
		(f->after == UINT64_MAX || e->index > f->after);
}

static nx_rc entry_json(struct search *s, const struct nx_entry *e, struct nx_err *err)
{
	struct nx_slice body;
	char when[NX_TIME_TEXT];
	nx_rc rc;

	nx_arena_reset(s->arena);
	rc = nx_ledger_body(nx_archive_ledger(s->report->archive), e, s->arena, &body, err);
	if (rc)
		return rc;
	nx_time_format(e->time_us, when);
	nx_json_object_begin(&s->json);
	nx_json_kv_uint(&s->json, "index", e->index);
	nx_json_kv_str(&s->json, "time", when);
	nx_json_kv_str(&s->json, "action", nx_action_wire(e->action));
	nx_json_kv_int(&s->json, "outcome", e->outcome);
	nx_json_key(&s->json, "body");
	nx_json_raw(&s->json, body);
	nx_json_object_end(&s->json);
	return nx_buf_check(s->json.out, err);
}

/* NX_E_CLOSED ends the walk: enough was found. */
static nx_rc search_entry(void *payload, const struct nx_entry *e, struct nx_err *err)
{
	struct search *s = payload;

	if (!wanted(s, e))
		return NX_OK;
	if (s->n++ == s->limit) {
		s->more = true;
		return NX_E_CLOSED;
	}
	return entry_json(s, e, err);
}

/* False when no chain is asked for. */
static bool chain_tag(
	struct nx_ledger *ledger, const struct nx_ledger_filter *f, uint8_t ret[NX_TAG_LEN])
{
	if (f->subject)
		nx_ledger_tag_subject(ledger, f->subject, ret);
	else if (f->study)
		nx_ledger_tag(ledger, NX_CHAIN_STUDY, nx_slice_str(f->study), ret);
	else if (f->principal)
		nx_ledger_tag(ledger, NX_CHAIN_PRINCIPAL, nx_slice_str(f->principal), ret);
	return f->subject || f->study || f->principal;
}

static nx_rc search_run(struct search *s, struct nx_err *err)
{
	struct nx_ledger *ledger = nx_archive_ledger(s->report->archive);
	const struct nx_ledger_query query = {.from_us = s->filter->from_us,
		.to_us = s->filter->to_us,
		.action = s->action,
		.outcome = -1,
		.newest = s->filter->newest};
	uint8_t tag[NX_TAG_LEN];
	nx_rc rc;

	if (chain_tag(ledger, s->filter, tag))
		rc = nx_ledger_chain(ledger, tag, search_entry, s, err);
	else if (s->filter->after != UINT64_MAX && s->filter->after < nx_ledger_size(ledger))
		rc = nx_ledger_range(
			ledger, s->filter->after + 1, nx_ledger_size(ledger), search_entry, s, err);
	else
		rc = nx_ledger_search(ledger, &query, search_entry, s, err);
	return rc == NX_E_CLOSED || rc == NX_E_NOENT ? NX_OK : rc;
}

static nx_rc search_init(struct search *s, struct nx_err *err)
{
	const struct nx_ledger_filter *f = s->filter;

	if (!!f->principal + !!f->study + !!f->subject > 1)
		return nx_err_set(err, NX_E_INVAL, "one of principal, study, subject");
	if (f->newest && f->after != UINT64_MAX)
		return nx_err_set(err, NX_E_INVAL, "one of last, after");
	s->action = f->action ? nx_action_parse(f->action) : 0;
	if (f->action && !s->action)
		return nx_err_set(err, NX_E_INVAL, "no such action");
	s->limit = f->limit && f->limit < ENTRIES_MOST ? f->limit : ENTRIES_MOST;
	s->arena = nx_arena_new(ENTRY_ARENA, NX_ARENA_WIPE);
	return s->arena ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for a search");
}

nx_rc nx_report_entries(struct nx_report *report, const struct nx_principal *who,
	const struct nx_ledger_filter *filter, struct nx_buf *out, struct nx_err *err)
{
	struct search s = {.report = report, .filter = filter};
	nx_rc rc = report_guard(report, who, NX_PERM_AUDIT, "ledger.entries", err);

	if (!rc)
		rc = search_init(&s, err);
	if (!rc)
		rc = report_record(
			report, who, NX_ACTION_LEDGER_READ, NX_OUTCOME_OK, "entries", err);
	if (!rc) {
		nx_json_init(&s.json, out);
		nx_json_object_begin(&s.json);
		nx_json_key(&s.json, "entries");
		nx_json_array_begin(&s.json);
		rc = search_run(&s, err);
		nx_json_array_end(&s.json);
		nx_json_kv_bool(&s.json, "more", s.more);
		nx_json_object_end(&s.json);
	}
	nx_arena_free(s.arena);
	return rc ? rc : nx_buf_check(out, err);
}

/* ---- verify, prove, export ---- */

nx_rc nx_report_verify(struct nx_report *report, const struct nx_principal *who, struct nx_buf *out,
	struct nx_err *err)
{
	struct nx_ledger *ledger = nx_archive_ledger(report->archive);
	uint64_t entries = 0;
	struct nx_json json;
	struct nx_err why;
	nx_rc rc = report_guard(report, who, NX_PERM_AUDIT, "ledger.verify", err);

	if (!rc)
		rc = report_record(
			report, who, NX_ACTION_LEDGER_READ, NX_OUTCOME_OK, "verify", err);
	if (!rc)
		rc = nx_ledger_flush(ledger, err);
	if (rc)
		return rc;
	rc = nx_ledger_verify(ledger, &entries, err);
	if (rc) {
		(void)!report_record(
			report, who, NX_ACTION_INTEGRITY_FAIL, NX_OUTCOME_MAJOR, "ledger", &why);
		return rc;
	}
	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_kv_uint(&json, "entries", entries);
	nx_json_object_end(&json);
	return nx_buf_check(out, err);
}

nx_rc nx_report_prove(struct nx_report *report, const struct nx_principal *who,
	const struct nx_ledger_filter *filter, struct nx_buf *out, struct nx_err *err)
{
	struct nx_ledger *ledger = nx_archive_ledger(report->archive);
	uint8_t tag[NX_TAG_LEN];
	nx_rc rc = report_guard(report, who, NX_PERM_AUDIT, "ledger.prove", err);

	if (rc)
		return rc;
	if (!chain_tag(ledger, filter, tag))
		return nx_err_set(err, NX_E_INVAL, "one of principal, study, subject");
	rc = report_record(report, who, NX_ACTION_LEDGER_READ, NX_OUTCOME_OK, "prove", err);
	if (!rc)
		rc = nx_ledger_flush(ledger, err);
	return rc ? rc : nx_ledger_proof_bundle(ledger, tag, true, out, err);
}

nx_rc nx_report_export(struct nx_report *report, const struct nx_principal *who, const char *dir,
	struct nx_err *err)
{
	nx_rc rc = report_guard(report, who, NX_PERM_AUDIT, "ledger.export", err);

	if (!rc && dir[0] != '/')
		rc = nx_err_set(err, NX_E_INVAL, "the folder is not an absolute path");
	if (!rc)
		rc = report_record(
			report, who, NX_ACTION_LEDGER_READ, NX_OUTCOME_OK, "export", err);
	if (!rc)
		rc = nx_ledger_flush(nx_archive_ledger(report->archive), err);
	return rc ? rc : nx_ledger_export(nx_archive_ledger(report->archive), dir, err);
}

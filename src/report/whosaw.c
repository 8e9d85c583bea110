#include "report/whosaw.h"

#include <stdio.h>

#include "access/access.h"
#include "archive/archive.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "catalog/catalog.h"
#include "ledger/detail.h"
#include "ledger/ledger.h"

enum {
	ENTRY_ARENA = 1024 * 1024
};

struct answer {
	struct nx_archive *archive;
	const struct nx_whosaw *query;
	uint64_t subject;
	uint8_t tag[NX_TAG_LEN];
	uint64_t total;
	struct nx_arena *arena; /* reset per entry */
	struct nx_json json;
};

static nx_rc query_check(const struct nx_whosaw *q, struct nx_err *err)
{
	int given = !!q->patient_id + !!q->subject + !!q->study + !!q->principal;

	if (given != 1)
		return nx_err_set(err, NX_E_INVAL, "one of patient, subject, study, principal");
	if (q->patient_id && (!q->patient_id[0] || !q->collection))
		return nx_err_set(err, NX_E_INVAL, "a patient id belongs to a collection");
	return NX_OK;
}

static nx_rc patient_find(struct answer *a, struct nx_err *err)
{
	const struct nx_whosaw *q = a->query;
	struct nx_cat *cat = nx_archive_cat(a->archive);
	struct nx_collection collection;
	nx_rc rc = nx_cat_collection(cat, q->collection, a->arena, &collection, err);

	if (!rc)
		rc = nx_archive_current(a->archive, err);
	if (!rc)
		rc = nx_cat_subject_find(cat, collection.domain, q->issuer ? q->issuer : "",
			q->patient_id, &a->subject, err);
	return rc;
}

static nx_rc chain_find(struct answer *a, struct nx_err *err)
{
	const struct nx_whosaw *q = a->query;
	struct nx_ledger *ledger = nx_archive_ledger(a->archive);
	nx_rc rc = NX_OK;

	a->subject = q->subject;
	if (q->patient_id)
		rc = patient_find(a, err);
	if (rc)
		return rc;
	if (a->subject)
		nx_ledger_tag_subject(ledger, a->subject, a->tag);
	else if (q->study)
		nx_ledger_tag(ledger, NX_CHAIN_STUDY, nx_slice_str(q->study), a->tag);
	else
		nx_ledger_tag(ledger, NX_CHAIN_PRINCIPAL, nx_slice_str(q->principal), a->tag);
	return NX_OK;
}

/* ---- in the ledger ---- */

static nx_rc record(struct nx_archive *archive, const struct nx_principal *who,
	struct nx_entry_draft *draft, const char *about, struct nx_err *err)
{
	NX_AUTO_DONE(nx_detail) detail;
	nx_rc rc;

	nx_detail_begin(&detail);
	nx_json_kv_str(&detail.json, "what", "who-saw");
	if (about)
		nx_json_kv_str(&detail.json, "about", about);
	rc = nx_detail_end(&detail, who->peer, draft, err);
	draft->principal = who->name;
	return rc ? rc : nx_archive_record(archive, draft, err);
}

static nx_rc guard(struct nx_archive *archive, const struct nx_principal *who, struct nx_err *err)
{
	struct nx_entry_draft draft = {
		.action = NX_ACTION_ACCESS_DENY, .outcome = NX_OUTCOME_MINOR};
	nx_rc rc = nx_access_check(who, NX_PERM_AUDIT, NULL, err);
	struct nx_err why;

	if (rc && record(archive, who, &draft, NULL, &why))
		nx_log_err(NX_LOG_ERROR, "report", "ledger.record", &why);
	return rc;
}

/* Part of the chain that is asked for: to ask about a patient is itself a disclosure. */
static nx_rc question_record(struct answer *a, const struct nx_principal *who, struct nx_err *err)
{
	struct nx_entry_draft draft = {
		.action = NX_ACTION_LEDGER_READ, .subject = a->subject, .study = a->query->study};

	return record(a->archive, who, &draft, a->query->principal, err);
}

/* ---- the answer ---- */

static nx_rc entry_put(void *payload, const struct nx_entry *e, struct nx_err *err)
{
	struct answer *a = payload;
	const struct nx_whosaw *q = a->query;
	struct nx_slice body;
	char when[NX_TIME_TEXT];
	nx_rc rc;

	a->total++;
	if (e->time_us < q->from_us || (q->to_us && e->time_us >= q->to_us))
		return NX_OK;
	nx_arena_reset(a->arena);
	rc = nx_ledger_body(nx_archive_ledger(a->archive), e, a->arena, &body, err);
	if (rc)
		return rc;
	nx_time_format(e->time_us, when);
	nx_json_object_begin(&a->json);
	nx_json_kv_uint(&a->json, "index", e->index);
	nx_json_kv_str(&a->json, "time", when);
	nx_json_kv_str(&a->json, "action", nx_action_wire(e->action));
	nx_json_kv_int(&a->json, "outcome", e->outcome);
	nx_json_key(&a->json, "body");
	nx_json_raw(&a->json, body);
	nx_json_object_end(&a->json);
	return nx_buf_check(a->json.out, err);
}

static nx_rc proof_put(struct answer *a, struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) bundle;
	nx_rc rc;

	nx_buf_init(&bundle, out->max, NX_BUF_WIPE);
	rc = nx_ledger_proof_bundle(nx_archive_ledger(a->archive), a->tag, true, &bundle, err);
	if (rc)
		return rc;
	nx_json_key(&a->json, "proof");
	nx_json_raw(&a->json, nx_buf_slice(&bundle));
	return NX_OK;
}

static nx_rc answer_put(struct answer *a, struct nx_buf *out, struct nx_err *err)
{
	nx_rc rc;

	nx_json_init(&a->json, out);
	nx_json_object_begin(&a->json);
	if (a->subject)
		nx_json_kv_id(&a->json, "subject", a->subject);
	nx_json_key(&a->json, "entries");
	nx_json_array_begin(&a->json);
	rc = nx_ledger_chain(nx_archive_ledger(a->archive), a->tag, entry_put, a, err);
	if (rc == NX_E_NOENT) /* nobody: an answer, too */
		rc = NX_OK;
	if (rc)
		return rc;
	nx_json_array_end(&a->json);
	nx_json_kv_uint(&a->json, "total", a->total);
	if (a->query->proof && a->total)
		rc = proof_put(a, out, err);
	nx_json_object_end(&a->json);
	return rc ? rc : nx_buf_check(out, err);
}

nx_rc nx_report_who_saw(struct nx_archive *archive, const struct nx_principal *who,
	const struct nx_whosaw *query, struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ENTRY_ARENA, NX_ARENA_WIPE);
	struct answer a = {.archive = archive, .query = query, .arena = arena};
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an accounting");
	rc = guard(archive, who, err);
	if (!rc)
		rc = query_check(query, err);
	if (!rc)
		rc = chain_find(&a, err);
	if (!rc)
		rc = question_record(&a, who, err);
	return rc ? rc : answer_put(&a, out, err);
}

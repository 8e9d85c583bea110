#include "lifecycle/erase.h"

#include <stdio.h>

#include "base/arena.h"
#include "base/clock.h"
#include "catalog/catalog.h"
#include "crypto/crypto.h"
#include "keys/keys.h"
#include "ledger/detail.h"
#include "lifecycle/trail_priv.h"

enum {
	REASON_MAX = 1024,
	STATEMENT_MAX = 64 * 1024,
	ARENA_MAX = 1024 * 1024,
	PROOF_TRIES = 16
};

static const char certificate_key[] = "certificate-sign";
static const char certificate_context[] = "narthex-erasure/1";

struct erasure {
	struct nx_archive *archive;
	const struct nx_erasure_spec *spec;
	struct nx_erasure_result result;
	int64_t time_us;
	struct nx_arena *arena;
};

/* A patient id is looked up here and not carried any further. */
static nx_rc subject_find(struct erasure *e, struct nx_err *err)
{
	const struct nx_erasure_spec *spec = e->spec;
	struct nx_cat *cat = nx_archive_cat(e->archive);
	struct nx_collection collection;
	nx_rc rc;

	e->result.subject = spec->subject;
	if (spec->subject)
		return NX_OK;
	if (!spec->collection || !spec->patient_id || !spec->patient_id[0])
		return nx_err_set(err, NX_E_INVAL, "a subject, or collection and patient id");
	rc = nx_cat_collection(cat, spec->collection, e->arena, &collection, err);
	if (!rc)
		rc = nx_archive_current(e->archive, err);
	if (!rc)
		rc = nx_cat_subject_find(cat, collection.domain, spec->issuer ? spec->issuer : "",
			spec->patient_id, &e->result.subject, err);
	return rc;
}

static nx_rc keys_destroy(struct erasure *e, const struct nx_principal *who, struct nx_err *err)
{
	struct nx_entry_draft draft = {
		.action = NX_ACTION_ERASE, .principal = who->name, .subject = e->result.subject};
	struct nx_keys_status status;
	NX_AUTO_DONE(nx_detail) detail;
	nx_rc rc;

	nx_detail_begin(&detail);
	nx_json_kv_str(&detail.json, "reason", e->spec->reason);
	rc = nx_detail_end(&detail, NULL, &draft, err);
	if (!rc)
		rc = nx_archive_erase(e->archive, e->result.subject, &draft, &e->result.items, err);
	nx_keys_status(nx_archive_keys(e->archive), &status);
	e->result.key_places = status.n_places; /* it fails unless all of them confirm */
	return rc;
}

/* ---- the entry, and its proof ---- */

static nx_rc entry_look(void *payload, const struct nx_entry *entry, struct nx_err *err)
{
	struct erasure *e = payload;

	(void)err;
	if (entry->action != NX_ACTION_ERASE)
		return NX_OK;
	e->result.entry = entry->index;
	e->time_us = entry->time_us;
	return NX_E_CLOSED; /* the newest is the one just made */
}

static nx_rc entry_find(struct erasure *e, struct nx_err *err)
{
	struct nx_ledger *ledger = nx_archive_ledger(e->archive);
	uint8_t tag[NX_TAG_LEN];
	nx_rc rc;

	nx_ledger_tag_subject(ledger, e->result.subject, tag);
	rc = nx_ledger_chain(ledger, tag, entry_look, e, err);
	if (rc == NX_E_CLOSED)
		return NX_OK;
	return rc ? rc : nx_err_set(err, NX_E_INTERNAL, "the erasure has no ledger entry");
}

struct proof {
	struct nx_buf checkpoint;
	uint8_t (*path)[32];
	size_t n;
};

/* Path and checkpoint of one tree: taken again when a flush came between the two. */
static nx_rc proof_take(struct erasure *e, struct proof *p, struct nx_err *err)
{
	struct nx_ledger *ledger = nx_archive_ledger(e->archive);
	nx_rc rc = nx_ledger_flush(ledger, err);

	for (unsigned i = 0; i < PROOF_TRIES && !rc; i++) {
		NX_AUTO_DONE(nx_buf) again;

		nx_buf_init(&again, STATEMENT_MAX, 0);
		nx_buf_clear(&p->checkpoint);
		rc = nx_ledger_checkpoint(ledger, &p->checkpoint, err);
		if (!rc)
			rc = nx_ledger_prove(
				ledger, e->result.entry, e->arena, &p->path, &p->n, err);
		if (!rc)
			rc = nx_ledger_checkpoint(ledger, &again, err);
		if (!rc && nx_slice_eq(nx_buf_slice(&again), nx_buf_slice(&p->checkpoint)))
			return NX_OK;
	}
	return rc ? rc : nx_err_set(err, NX_E_BUSY, "the ledger grows too fast to prove an entry");
}

/* ---- the certificate ---- */

static void ledger_put(struct erasure *e, const struct proof *p, struct nx_json *json)
{
	struct nx_ledger *ledger = nx_archive_ledger(e->archive);
	uint8_t tag[NX_TAG_LEN];

	nx_ledger_tag_subject(ledger, e->result.subject, tag);
	nx_json_key(json, "ledger");
	nx_json_object_begin(json);
	nx_json_kv_uint(json, "index", e->result.entry);
	nx_json_kv_hex(json, "tag", tag, NX_TAG_LEN);
	nx_json_key(json, "checkpoint");
	nx_json_str_n(json, (const char *)p->checkpoint.data, p->checkpoint.len);
	nx_json_key(json, "path");
	nx_json_array_begin(json);
	for (size_t i = 0; i < p->n; i++)
		nx_json_hex(json, p->path[i], 32);
	nx_json_array_end(json);
	nx_json_object_end(json);
}

static void statement_put(struct erasure *e, const struct proof *p, struct nx_buf *out)
{
	char when[NX_TIME_TEXT];
	struct nx_json json;

	nx_time_format(e->time_us, when);
	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "format", certificate_context);
	nx_json_kv_str(&json, "site", e->spec->site);
	nx_json_kv_id(&json, "subject", e->result.subject);
	nx_json_kv_str(&json, "time", when);
	nx_json_kv_str(&json, "reason", e->spec->reason);
	nx_json_kv_uint(&json, "items", e->result.items);
	nx_json_kv_uint(&json, "key_places", e->result.key_places);
	ledger_put(e, p, &json);
	nx_json_object_end(&json);
}

static nx_rc certify(struct erasure *e, struct nx_buf *certificate, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) statement;
	struct proof p = {.n = 0};
	nx_rc rc = entry_find(e, err);

	nx_buf_init(&statement, STATEMENT_MAX, 0);
	nx_buf_init(&p.checkpoint, STATEMENT_MAX, 0);
	if (!rc)
		rc = proof_take(e, &p, err);
	if (!rc) {
		statement_put(e, &p, &statement);
		rc = nx_buf_check(&statement, err);
	}
	if (!rc)
		rc = statement_sign(nx_archive_keys(e->archive), certificate_key,
			certificate_context, nx_buf_slice(&statement), certificate, err);
	nx_buf_done(&p.checkpoint);
	return rc ? nx_err_prefix(err, rc, "erased, but not certified") : NX_OK;
}

nx_rc nx_lifecycle_erase(struct nx_archive *archive, const struct nx_principal *who,
	const struct nx_erasure_spec *spec, struct nx_erasure_result *ret,
	struct nx_buf *certificate, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	struct erasure e = {.archive = archive, .spec = spec, .arena = arena};
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory to erase a subject");
	rc = trail_guard(
		archive, who, NX_PERM_ERASE, spec->subject ? NULL : spec->collection, "erase", err);
	if (rc)
		return rc;
	if (!spec->reason || !spec->reason[0] || strlen(spec->reason) > REASON_MAX)
		return nx_err_set(
			err, NX_E_INVAL, "an erasure needs a reason of 1 to %d bytes", REASON_MAX);
	rc = subject_find(&e, err);
	if (rc)
		return rc;
	rc = keys_destroy(&e, who, err);
	if (!rc)
		rc = certify(&e, certificate, err);
	/* The patient id leads nowhere any more: with this the erasure is finished, or certified.
	 */
	if (rc)
		return nx_err_prefix(
			err, rc, "subject %016llx", (unsigned long long)e.result.subject);
	*ret = e.result;
	return NX_OK;
}

nx_rc nx_lifecycle_certificate_check(
	struct nx_archive *archive, const char *text, struct nx_err *err)
{
	struct nx_slice statement;

	return statement_open(nx_archive_keys(archive), certificate_key, certificate_context,
		nx_slice_str(text), &statement, err);
}

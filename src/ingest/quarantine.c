#include "ingest/quarantine.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/json.h"
#include "base/log.h"
#include "ingest/ingest_priv.h"

enum {
	ASIDE_ARENA_MAX = 64 * 1024 * 1024,
	BLOCK = 256 * 1024,
	DETAIL_MAX = 1024,
	LIST_MAX = 1000
};

struct nx_kept {
	struct nx_ingest *ingest;
	const struct nx_principal *who;
	struct nx_arena *arena;
	struct nx_quarantine_row row;
	struct nx_item item;
	struct nx_collection collection;
	struct nx_reader *reader; /* while it is read */
};

/* ---- decide, and record ---- */

static void entry_detail(const struct nx_kept *k, const char *outcome, struct nx_buf *out)
{
	struct nx_json json;

	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "what", "quarantine");
	if (k) {
		nx_json_kv_int(&json, "quarantine", k->row.id);
		nx_json_kv_str(&json, "collection", k->collection.name);
		nx_json_kv_str(&json, "reason", nx_reason_wire(k->row.reason));
	}
	if (outcome)
		nx_json_kv_str(&json, "outcome", outcome);
	nx_json_object_end(&json);
}

/* Whose chain an entry goes to: the patient's where one is known. */
static uint64_t entry_subject(const struct nx_kept *k)
{
	return k ? (uint64_t)(k->row.patient ? k->row.patient : k->row.subject) : 0;
}

static nx_rc note(struct nx_ingest *ingest, const struct nx_principal *who, const struct nx_kept *k,
	unsigned action, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) detail;
	struct nx_entry_draft draft = {
		.action = action, .principal = who->name, .subject = entry_subject(k)};

	nx_buf_init(&detail, DETAIL_MAX, 0);
	entry_detail(k, NULL, &detail);
	draft.detail = nx_buf_slice(&detail);
	draft.outcome = action == NX_ACTION_ACCESS_DENY ? NX_OUTCOME_MINOR : NX_OUTCOME_OK;
	return nx_archive_record(ingest->archive, &draft, err);
}

static nx_rc guard(struct nx_ingest *ingest, const struct nx_principal *who, const char *collection,
	struct nx_err *err)
{
	nx_rc rc = nx_access_check(who, NX_PERM_QUARANTINE, collection, err);
	struct nx_err why;

	if (rc && note(ingest, who, NULL, NX_ACTION_ACCESS_DENY, &why))
		nx_log_err(NX_LOG_ERROR, "ingest", "ledger.record", &why);
	return rc;
}

/* ---- one ---- */

struct nx_kept *nx_kept_free(struct nx_kept *kept)
{
	if (!kept)
		return NULL;
	nx_reader_free(kept->reader);
	nx_arena_free(kept->arena);
	free(kept);
	return NULL;
}

static nx_rc rows_load(struct nx_kept *k, int64_t number, struct nx_err *err)
{
	struct nx_cat *cat = nx_archive_cat(k->ingest->archive);
	struct nx_val where = nx_val_int(number);
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc = nx_archive_current(k->ingest->archive, err);

	if (!rc)
		rc = nx_cat_rows(cat,
			&(struct nx_rows_of){.table = NX_T_QUARANTINE,
				.where = &where,
				.n_where = 1,
				.limit = 1},
			k->arena, &rows, &n, err);
	if (!rc && !n)
		rc = nx_err_set(err, NX_E_NOENT, "nothing in quarantine under this number");
	if (!rc)
		rc = nx_op_row(rows, k->arena, &k->row, err);
	if (!rc)
		rc = nx_cat_item_by_id(cat, k->row.item, k->arena, &k->item, err);
	if (!rc)
		rc = nx_cat_collection_by_id(cat, k->row.collection, k->arena, &k->collection, err);
	return rc;
}

static nx_rc kept_find(struct nx_ingest *ingest, const struct nx_principal *who, int64_t number,
	struct nx_kept **ret, struct nx_err *err)
{
	NX_AUTO(nx_kept) *k = calloc(1, sizeof(*k));
	nx_rc rc;

	if (!k)
		return nx_err_set(err, NX_E_NOMEM, "no memory for quarantine");
	k->ingest = ingest;
	k->who = who;
	k->arena = nx_arena_new(ASIDE_ARENA_MAX, NX_ARENA_WIPE);
	if (!k->arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for quarantine");
	rc = rows_load(k, number, err);
	if (rc == NX_E_NOENT) { /* who may not look does not learn that it is not there */
		struct nx_err why;

		if (guard(ingest, who, who->collection, &why)) {
			*err = why;
			rc = why.rc;
		}
	} else if (!rc) {
		rc = guard(ingest, who, k->collection.name, err);
	}
	if (rc)
		return rc;
	*ret = NX_STEAL(k);
	return NX_OK;
}

/* ---- looking ---- */

static void row_json(
	struct nx_json *json, const struct nx_quarantine_row *row, const char *collection)
{
	char when[NX_TIME_TEXT];

	nx_time_format(row->time_us, when);
	nx_json_kv_int(json, "number", row->id);
	nx_json_kv_str(json, "time", when);
	nx_json_kv_str(json, "collection", collection);
	nx_json_kv_str(json, "source", row->source);
	nx_json_kv_str(json, "reason", nx_reason_wire(row->reason));
	nx_json_kv_int(json, "size", row->size);
	nx_json_kv_bool(json, "patient_known", row->patient != 0);
}

struct listing {
	struct nx_cat *cat;
	struct nx_arena *arena;
	struct nx_json json;
	struct nx_collection collection; /* of the last row */
	int64_t last;
	unsigned n;
	unsigned limit;
};

static nx_rc list_row(void *payload, const void *row, struct nx_err *err)
{
	struct listing *l = payload;
	const struct nx_quarantine_row *r = row;
	nx_rc rc = NX_OK;

	if (l->n++ == l->limit)
		return NX_OK; /* there are more */
	if (l->collection.id != r->collection)
		rc = nx_cat_collection_by_id(l->cat, r->collection, l->arena, &l->collection, err);
	if (rc)
		return rc;
	l->last = r->id;
	nx_json_object_begin(&l->json);
	row_json(&l->json, r, l->collection.name);
	nx_json_object_end(&l->json);
	return nx_buf_check(l->json.out, err);
}

nx_rc nx_quarantine_list(struct nx_ingest *ingest, const struct nx_principal *who,
	const struct nx_quarantine_find *find, struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ASIDE_ARENA_MAX, 0);
	struct listing l = {.cat = nx_archive_cat(ingest->archive), .arena = arena};
	struct nx_collection only = {.id = 0};
	nx_rc rc = guard(ingest, who, find->collection, err);

	if (rc)
		return rc;
	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a list");
	if (find->collection)
		rc = nx_cat_collection(l.cat, find->collection, arena, &only, err);
	if (!rc)
		rc = note(ingest, who, NULL, NX_ACTION_QUARANTINE_QUERY, err);
	if (!rc)
		rc = nx_archive_current(ingest->archive, err);
	if (rc)
		return rc;
	l.limit = find->limit && find->limit < LIST_MAX ? find->limit : LIST_MAX;
	nx_json_init(&l.json, out);
	nx_json_object_begin(&l.json);
	nx_json_key(&l.json, "quarantine");
	nx_json_array_begin(&l.json);
	rc = nx_cat_quarantine(l.cat,
		&(struct nx_quarantine_of){.after_id = find->after,
			.collection = only.id,
			.reason = find->reason,
			.limit = l.limit + 1},
		list_row, &l, err);
	nx_json_array_end(&l.json);
	if (l.n > l.limit)
		nx_json_kv_int(&l.json, "next", l.last);
	else
		nx_json_kv_str(&l.json, "next", NULL);
	nx_json_object_end(&l.json);
	return rc ? rc : nx_buf_check(out, err);
}

nx_rc nx_quarantine_show(struct nx_ingest *ingest, const struct nx_principal *who, int64_t number,
	struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO(nx_kept) *k = NULL;
	struct nx_slice detail = {0};
	struct nx_json json;
	nx_rc rc = kept_find(ingest, who, number, &k, err);

	if (!rc)
		rc = nx_archive_aside_detail(
			ingest->archive, &k->row, &k->item, k->arena, &detail, err);
	if (!rc)
		rc = note(ingest, who, k, NX_ACTION_QUARANTINE_QUERY, err);
	if (rc)
		return rc;
	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	row_json(&json, &k->row, k->collection.name);
	nx_json_kv_str(&json, "text", nx_reason_text(k->row.reason));
	nx_json_key(&json, "detail");
	nx_json_raw(&json, detail);
	nx_json_object_end(&json);
	return nx_buf_check(out, err);
}

/* ---- reading ---- */

nx_rc nx_quarantine_open(struct nx_ingest *ingest, const struct nx_principal *who, int64_t number,
	struct nx_kept **ret, struct nx_err *err)
{
	NX_AUTO(nx_kept) *k = NULL;
	nx_rc rc = kept_find(ingest, who, number, &k, err);

	if (!rc)
		rc = nx_archive_open_item(ingest->archive, &k->item, &k->reader, err);
	if (!rc)
		rc = note(ingest, who, k, NX_ACTION_QUARANTINE_READ, err);
	if (rc)
		return rc;
	*ret = NX_STEAL(k);
	return NX_OK;
}

uint64_t nx_kept_size(const struct nx_kept *kept)
{
	return (uint64_t)kept->item.size;
}

int64_t nx_kept_time_us(const struct nx_kept *kept)
{
	return kept->row.time_us;
}

void nx_kept_etag(const struct nx_kept *kept, char ret[72])
{
	char hex[65];

	nx_hex_format(nx_reader_recipe(kept->reader)->digest, 32, hex);
	(void)snprintf(ret, 72, "\"%s\"", hex);
}

nx_rc nx_kept_read(
	struct nx_kept *kept, uint64_t off, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	return nx_reader_read(kept->reader, off, p, n, ret_n, err);
}

/* ---- destroying ---- */

static nx_rc kept_erase(struct nx_kept *k, unsigned action, const char *outcome, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) detail;
	struct nx_entry_draft draft = {
		.action = action, .principal = k->who->name, .subject = entry_subject(k)};
	uint64_t items;
	nx_rc rc;

	nx_buf_init(&detail, DETAIL_MAX, 0);
	entry_detail(k, outcome, &detail);
	rc = nx_buf_check(&detail, err);
	draft.detail = nx_buf_slice(&detail);
	return rc ? rc
		  : nx_archive_erase(
			    k->ingest->archive, (uint64_t)k->row.subject, &draft, &items, err);
}

nx_rc nx_quarantine_discard(struct nx_ingest *ingest, const struct nx_principal *who,
	int64_t number, struct nx_err *err)
{
	NX_AUTO(nx_kept) *k = NULL;
	nx_rc rc = kept_find(ingest, who, number, &k, err);

	return rc ? rc : kept_erase(k, NX_ACTION_QUARANTINE_DISCARD, NULL, err);
}

/* ---- taking it in again ---- */

static const char *member_take(const json_t *json, const char *name, struct nx_arena *arena)
{
	const char *text = json_string_value(json_object_get(json, name));

	return text ? nx_arena_str(arena, text, strlen(text)) : NULL;
}

/* As it came: a bare data set with its command, or a file. */
static nx_rc opts_take(struct nx_kept *k, struct nx_ingest_opts *opts, struct nx_err *err)
{
	struct nx_slice detail = {0};
	json_t *json;
	nx_rc rc = nx_archive_aside_detail(
		k->ingest->archive, &k->row, &k->item, k->arena, &detail, err);

	if (rc)
		return rc;
	json = json_loadb((const char *)detail.p, detail.n, 0, NULL);
	*opts = (struct nx_ingest_opts){.who = k->who,
		.collection = k->collection.name,
		.door = "quarantine",
		.ts_uid = member_take(json, "ts_uid", k->arena),
		.sop_class = member_take(json, "command_class", k->arena),
		.sop_instance = member_take(json, "command_instance", k->arena)};
	if (!json || (opts->ts_uid && (!opts->sop_class || !opts->sop_instance)))
		rc = nx_err_set(err, NX_E_CORRUPT, "detail of quarantine");
	json_decref(json);
	return rc;
}

static nx_rc kept_feed(struct nx_kept *k, struct nx_ingest_job *job, struct nx_err *err)
{
	uint8_t *block = nx_arena_alloc(k->arena, BLOCK);
	uint64_t at = 0;
	size_t n = 1;
	nx_rc rc = block ? nx_archive_open_item(k->ingest->archive, &k->item, &k->reader, err)
			 : nx_err_set(err, NX_E_NOMEM, "no memory for a block");

	while (!rc && n) {
		rc = nx_kept_read(k, at, block, BLOCK, &n, err);
		if (!rc && n)
			rc = nx_ingest_feed(job, block, n, err);
		at += n;
	}
	return rc;
}

static nx_rc kept_ingest(struct nx_kept *k, struct nx_ingest_result *ret, struct nx_err *err)
{
	NX_AUTO(nx_ingest_job) *job = NULL;
	struct nx_ingest_opts opts;
	nx_rc rc = opts_take(k, &opts, err);

	if (!rc)
		rc = dicom_begin(k->ingest, &opts, NX_PERM_QUARANTINE, &job, err);
	if (rc)
		return rc;
	job->refuse_only = true;
	rc = kept_feed(k, job, err);
	if (!rc)
		rc = nx_ingest_submit(job, err);
	return rc ? rc : nx_ingest_wait(job, ret, err);
}

/* It is in the archive before it leaves quarantine: cut short, the next retry finds a duplicate. */
nx_rc nx_quarantine_retry(struct nx_ingest *ingest, const struct nx_principal *who, int64_t number,
	struct nx_ingest_result *ret, struct nx_err *err)
{
	NX_AUTO(nx_kept) *k = NULL;
	nx_rc rc = kept_find(ingest, who, number, &k, err);

	if (rc)
		return rc;
	rc = kept_ingest(k, ret, err);
	if (rc)
		return nx_err_prefix(err, rc, "it stays in quarantine");
	return kept_erase(k, NX_ACTION_QUARANTINE_RETRY, "taken", err);
}

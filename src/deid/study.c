/*
 * One study through the profile: instances are read, rewritten and committed a few at a time, each
 * in a change of its own with its vault rows and its ledger entry.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "access/access.h"
#include "archive/archive.h"
#include "archive/rewrite.h"
#include "base/buf.h"
#include "base/enc.h"
#include "base/json.h"
#include "base/log.h"
#include "catalog/catalog.h"
#include "crypto/crypto.h"
#include "deid/deid_priv.h"
#include "keys/keys.h"
#include "ledger/ledger.h"

enum {
	STUDY_ARENA_MAX = 1024 * 1024 * 1024,
	COPY_ARENA_MAX = 512 * 1024 * 1024,
	DETAIL_MAX = 8192,
	WINDOW = 16 /* copies in flight */
};

struct nx_deid {
	struct nx_archive *archive;
};

struct item_list {
	struct nx_item *items;
	size_t n;
	size_t cap;
	struct nx_arena *arena;
	struct nx_cat *cat;
};

struct study_copy {
	struct nx_archive *archive;
	const struct nx_deid_opts *opts;
	struct nx_arena *arena;
	struct nx_collection from;
	struct nx_collection to;
	struct nx_study source;
	struct item_list list;
	struct deid_subject subject;
	uint32_t vault;          /* domain */
	struct nx_key vault_key; /* the subject's in the vault domain: erased with it */
	struct nx_deid_result result;
};

/* One instance on its way; everything a put borrows. */
struct copy {
	struct nx_arena *arena;
	struct nx_change *change;
	struct nx_recipe *recipe; /* the source's */
	struct nx_study study;
	struct nx_series series;
	struct nx_item item;
	struct nx_rewrite made;
	struct nx_put put;
};

struct nx_deid *nx_deid_new(struct nx_archive *archive)
{
	struct nx_deid *deid = calloc(1, sizeof(*deid));

	if (deid)
		deid->archive = archive;
	return deid;
}

struct nx_deid *nx_deid_free(struct nx_deid *deid)
{
	free(deid);
	return NULL;
}

/* ---- what there is ---- */

static bool string_keep(struct nx_arena *arena, const char **s)
{
	*s = nx_arena_str(arena, *s ? *s : "", *s ? strlen(*s) : 0);
	return *s;
}

static nx_rc item_keep(void *payload, const void *row, struct nx_err *err)
{
	struct item_list *l = payload;
	struct nx_item item = *(const struct nx_item *)row;

	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		struct nx_item *items = nx_arena_alloc_array(l->arena, cap, sizeof(*items));

		if (!items)
			return nx_err_set(err, NX_E_NOMEM, "no memory for %zu instances", cap);
		if (l->n)
			memcpy(items, l->items, l->n * sizeof(*items));
		l->items = items;
		l->cap = cap;
	}
	item.sealed.p = nx_arena_copy(l->arena, item.sealed.p, item.sealed.n);
	if (!item.sealed.p || !string_keep(l->arena, &item.name) ||
		!string_keep(l->arena, &item.type) || !string_keep(l->arena, &item.ts_uid))
		return nx_err_set(err, NX_E_NOMEM, "no memory for an instance");
	l->items[l->n++] = item;
	return NX_OK;
}

static nx_rc series_keep(void *payload, const void *row, struct nx_err *err)
{
	struct item_list *l = payload;

	return nx_cat_items_of(l->cat, ((const struct nx_series *)row)->id, item_keep, l, err);
}

/* ---- access ---- */

static void detail_make(const struct study_copy *c, struct nx_buf *out)
{
	struct nx_json json;

	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "collection", c->opts->from);
	nx_json_kv_str(&json, "to", c->opts->to);
	nx_json_kv_str(&json, "profile", c->opts->profile);
	if (c->opts->who->peer[0])
		nx_json_kv_str(&json, "peer", c->opts->who->peer);
	nx_json_object_end(&json);
}

static void record_denial(const struct study_copy *c)
{
	NX_AUTO_DONE(nx_buf) detail;
	struct nx_entry_draft draft = {.action = NX_ACTION_ACCESS_DENY,
		.outcome = NX_OUTCOME_MINOR,
		.principal = c->opts->who->name};
	struct nx_err err;

	nx_buf_init(&detail, DETAIL_MAX, NX_BUF_WIPE);
	detail_make(c, &detail);
	draft.detail = nx_buf_slice(&detail);
	if (nx_archive_record(c->archive, &draft, &err))
		nx_log_err(NX_LOG_ERROR, "deid", "ledger.record", &err);
}

static nx_rc access_check(struct study_copy *c, struct nx_err *err)
{
	nx_rc rc = nx_access_check(c->opts->who, NX_PERM_DEIDENTIFY, c->opts->from, err);

	if (!rc)
		rc = nx_access_check(c->opts->who, NX_PERM_DEIDENTIFY, c->opts->to, err);
	if (rc)
		record_denial(c);
	return rc;
}

static nx_rc collections_find(struct study_copy *c, struct nx_err *err)
{
	struct nx_cat *cat = nx_archive_cat(c->archive);
	nx_rc rc;

	if (strcmp(c->opts->profile, NX_DEID_PROFILE) != 0)
		return nx_err_set(err, NX_E_INVAL, "no such profile");
	rc = nx_cat_collection(cat, c->opts->from, c->arena, &c->from, err);
	if (!rc)
		rc = nx_cat_collection(cat, c->opts->to, c->arena, &c->to, err);
	if (rc)
		return rc;
	if (c->to.zone != NX_ZONE_CURATED)
		return nx_err_set(err, NX_E_INVAL, "the destination is not in zone curated");
	if (c->to.domain == c->from.domain)
		return nx_err_set(err, NX_E_INVAL, "source and destination share a key domain");
	return NX_OK;
}

/* ---- the vault ---- */

/* "prod/deid" -> "prod/vault". */
static nx_rc vault_domain(struct study_copy *c, struct nx_err *err)
{
	char name[NX_LIMIT_NAME + 1];
	int env = (int)strcspn(c->to.domain_name, "/");

	(void)snprintf(name, sizeof(name), "%.*s/vault", env, c->to.domain_name);
	return nx_keys_domain(nx_archive_keys(c->archive), name, true, &c->vault, err);
}

static nx_rc vault_open(struct study_copy *c, uint64_t subject, struct nx_err *err)
{
	struct nx_keys *keys = nx_archive_keys(c->archive);
	NX_AUTO_DONE(nx_key) root = {{0}};
	nx_rc rc = vault_domain(c, err);

	if (!rc)
		rc = nx_keys_domain_purpose(keys, c->vault, "pseudonym", &root, err);
	if (rc)
		return rc;
	deid_subject_init(&c->subject, &root, &c->to, subject);
	rc = nx_keys_subject_new(keys, c->vault, subject, &c->vault_key, err);
	if (rc == NX_E_EXISTS)
		rc = nx_keys_subject(keys, c->vault, subject, &c->vault_key, err);
	return rc;
}

/* A row whose value only the subject's vault key opens; the row's key is bound to it. */
static nx_rc vault_row(const struct study_copy *c, struct nx_change *change, const char *kind,
	const char *name, struct nx_slice value, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) sealed;
	uint8_t tag[DEID_TAG_LEN];
	struct nx_val vals[2];
	struct nx_op op = {.verb = NX_OP_PUT,
		.table = NX_T_VAULT,
		.n = 2,
		.domain = c->vault,
		.subject = c->subject.subject,
		.vals = vals};
	uint8_t *to;
	nx_rc rc;

	deid_vault_tag(&c->subject, kind, name, tag);
	nx_buf_init(&sealed, DETAIL_MAX, 0);
	to = nx_buf_reserve(&sealed, value.n + NX_SEAL_OVERHEAD);
	if (!to)
		return nx_buf_check(&sealed, err);
	rc = nx_seal(&c->vault_key, nx_slice(tag, sizeof(tag)), value.p, value.n, to, err);
	if (rc)
		return rc;
	vals[0] = nx_val_blob(nx_slice(tag, sizeof(tag)));
	vals[1] = nx_val_blob(nx_slice(to, value.n + NX_SEAL_OVERHEAD));
	return nx_change_op(change, &op, err);
}

/* Who the pseudonym is, and which study the new one was. */
static nx_rc vault_study(const struct study_copy *c, struct nx_change *change, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) value;
	struct nx_json json;
	nx_rc rc;

	nx_buf_init(&value, DETAIL_MAX / 2, NX_BUF_WIPE);
	nx_json_init(&json, &value);
	nx_json_object_begin(&json);
	nx_json_kv_id(&json, "subject", c->subject.subject);
	nx_json_kv_int(&json, "shift_days", c->subject.shift_days);
	nx_json_object_end(&json);
	rc = nx_buf_check(&value, err);
	if (!rc)
		rc = vault_row(c, change, "row-pseudonym", c->subject.pseudonym,
			nx_buf_slice(&value), err);
	if (rc)
		return rc;
	nx_buf_clear(&value);
	nx_json_init(&json, &value);
	nx_json_object_begin(&json);
	nx_json_kv_id(&json, "subject", c->subject.subject);
	nx_json_kv_str(&json, "collection", c->from.name);
	nx_json_kv_str(&json, "study", c->source.uid);
	nx_json_object_end(&json);
	rc = nx_buf_check(&value, err);
	return rc ? rc
		  : vault_row(c, change, "row-study", c->result.study, nx_buf_slice(&value), err);
}

static nx_rc vault_lineage(const struct study_copy *c, const struct nx_item *from,
	const struct copy *x, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) value;
	struct nx_json json;
	nx_rc rc;

	nx_buf_init(&value, DETAIL_MAX / 2, NX_BUF_WIPE);
	nx_json_init(&json, &value);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "collection", c->from.name);
	nx_json_kv_str(&json, "instance", from->name);
	nx_json_kv_int(&json, "item", from->id);
	nx_json_kv_int(&json, "version", from->version);
	nx_json_kv_str(&json, "profile", c->opts->profile);
	nx_json_object_end(&json);
	rc = nx_buf_check(&value, err);
	return rc ? rc
		  : vault_row(c, x->change, "row-lineage", x->item.name, nx_buf_slice(&value), err);
}

/* ---- one instance ---- */

static struct copy *copy_free(struct copy *x)
{
	if (!x)
		return NULL;
	nx_change_free(x->change);
	nx_blob_free(x->made.blobs[0]);
	nx_arena_free(x->arena);
	free(x);
	return NULL;
}

static struct copy *copy_new(void)
{
	struct copy *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->arena = nx_arena_new(COPY_ARENA_MAX, NX_ARENA_WIPE);
	x->change = nx_change_new();
	return x->arena && x->change ? x : copy_free(x);
}

static nx_rc rows_fill(
	const struct nx_item *from, const struct nx_dataset *ds, struct copy *x, struct nx_err *err)
{
	const struct {
		nx_tag tag;
		const char **to;
	} texts[] = {
		{NX_TAG_STUDY_INSTANCE_UID, &x->study.uid},
		{NX_TAG_PATIENT_ID, &x->study.patient_id},
		{NX_TAG_PATIENT_NAME, &x->study.patient_name},
		{NX_TAG_STUDY_DATE, &x->study.date},
		{NX_TAG_STUDY_TIME, &x->study.time},
		{NX_TAG_SERIES_INSTANCE_UID, &x->series.uid},
		{NX_TAG_MODALITY, &x->series.modality},
		{NX_TAG_SERIES_NUMBER, &x->series.number},
		{NX_TAG_BODY_PART_EXAMINED, &x->series.body_part},
		{NX_TAG_SERIES_DATE, &x->series.date},
		{NX_TAG_SERIES_TIME, &x->series.time},
		{NX_TAG_SOP_INSTANCE_UID, &x->item.name},
		{NX_TAG_SOP_CLASS_UID, &x->item.type},
	};

	for (size_t i = 0; i < NX_ARRAY_LEN(texts); i++) {
		*texts[i].to = nx_dataset_text(ds, texts[i].tag, x->arena);
		if (!*texts[i].to)
			return nx_err_set(err, NX_E_NOMEM, "no memory for attributes");
	}
	x->study.name_key = nx_cat_name_key(x->study.patient_name, x->arena);
	if (!x->study.name_key)
		return nx_err_set(err, NX_E_NOMEM, "no memory for attributes");
	x->item.ts_uid = from->ts_uid;
	x->item.number = from->number;
	x->item.rows = from->rows;
	x->item.columns = from->columns;
	x->item.frames = from->frames;
	return NX_OK;
}

static nx_rc copy_submit(struct study_copy *c, const struct nx_item *from, struct copy *x,
	bool first, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) detail;
	struct nx_entry_draft draft = {.action = NX_ACTION_DEIDENTIFY,
		.principal = c->opts->who->name,
		.subject = c->subject.subject,
		.study = c->source.uid};
	nx_rc rc;

	x->put.collection = &c->to;
	x->put.subject = c->subject.subject;
	x->put.study = &x->study;
	x->put.series = &x->series;
	x->put.item = &x->item;
	nx_rewrite_put(&x->made, &x->put);
	nx_buf_init(&detail, DETAIL_MAX, NX_BUF_WIPE);
	detail_make(c, &detail);
	draft.detail = nx_buf_slice(&detail);
	rc = nx_change_put(x->change, &x->put, err);
	if (!rc && first)
		rc = vault_study(c, x->change, err);
	if (!rc)
		rc = vault_lineage(c, from, x, err);
	if (!rc)
		rc = nx_change_entry(x->change, &draft, NULL, err);
	return rc ? rc : nx_archive_submit(c->archive, x->change, err);
}

static void skip(struct study_copy *c, const struct nx_item *item, enum nx_deid_skip why)
{
	c->result.skipped[why]++;
	if (c->opts->on_skip)
		c->opts->on_skip(c->opts->payload, item->name, why);
}

/* *ret_submitted false: the instance was skipped. */
static nx_rc copy_make(struct study_copy *c, const struct nx_item *item, struct copy *x, bool first,
	bool *ret_submitted, struct nx_err *err)
{
	enum nx_deid_skip why = NX_DEID_SKIP_CLASS;
	struct nx_dataset *ds = NULL;
	nx_rc rc;

	*ret_submitted = false;
	/* The copy would have one patient's pseudonym and key, and outlive the other's erasure. */
	if ((uint64_t)item->subject != c->subject.subject) {
		skip(c, item, NX_DEID_SKIP_PATIENT);
		return NX_OK;
	}
	rc = nx_archive_recipe(c->archive, item, x->arena, &x->recipe, err);
	if (!rc)
		rc = nx_archive_header(c->archive, item, x->recipe, x->arena, &ds, err);
	if (rc)
		return rc;
	if (!deid_may_copy(ds, item->ts_uid, x->arena, &why)) {
		skip(c, item, why);
		return NX_OK;
	}
	rc = deid_apply(&c->subject, ds, x->arena, err);
	if (!rc)
		rc = rows_fill(item, ds, x, err);
	if (!rc)
		rc = nx_archive_rewrite(c->archive,
			&(struct nx_rewrite_of){.domain = (uint32_t)c->to.domain,
				.recipe = x->recipe,
				.ds = ds,
				.ts = nx_ts_find(item->ts_uid)},
			x->arena, &x->made, err);
	x->item.size = (int64_t)x->made.size;
	if (!rc)
		rc = copy_submit(c, item, x, first, err);
	*ret_submitted = !rc;
	return rc;
}

static nx_rc copy_wait(
	struct study_copy *c, const struct nx_item *item, struct copy *x, struct nx_err *err)
{
	nx_rc rc = nx_change_wait(x->change, err);

	if (rc)
		return rc;
	switch (x->put.outcome) {
	case NX_PUT_STORED:
	case NX_PUT_VERSION:
		c->result.stored++;
		break;
	case NX_PUT_DUPLICATE:
		c->result.duplicates++;
		break;
	case NX_PUT_REJECTED:
		skip(c, item, NX_DEID_SKIP_CONFLICT);
		break;
	}
	return NX_OK;
}

/* ---- the study ---- */

struct window {
	struct copy *copies[WINDOW];
	const struct nx_item *items[WINDOW];
	size_t head; /* oldest */
	size_t n;
};

/* Wait for the oldest; the first failure is kept in *rc and `err`. */
static void window_pop(struct study_copy *c, struct window *w, nx_rc *rc, struct nx_err *err)
{
	struct nx_err later;
	nx_rc got = copy_wait(c, w->items[w->head], w->copies[w->head], *rc ? &later : err);

	if (!*rc)
		*rc = got;
	w->copies[w->head] = copy_free(w->copies[w->head]);
	w->head = (w->head + 1) % WINDOW;
	w->n--;
}

static nx_rc study_run(struct study_copy *c, struct nx_err *err)
{
	struct window w = {.n = 0};
	bool first = true;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < c->list.n && !rc; i++) {
		struct copy *x = copy_new();
		bool submitted = false;

		if (!x)
			rc = nx_err_set(err, NX_E_NOMEM, "no memory for a copy");
		else
			rc = copy_make(c, &c->list.items[i], x, first, &submitted, err);
		if (!submitted) {
			copy_free(x);
			continue;
		}
		first = false;
		w.copies[(w.head + w.n) % WINDOW] = x;
		w.items[(w.head + w.n) % WINDOW] = &c->list.items[i];
		w.n++;
		if (w.n == WINDOW)
			window_pop(c, &w, &rc, err);
	}
	while (w.n)
		window_pop(c, &w, &rc, err);
	return rc;
}

static nx_rc study_find(struct study_copy *c, struct nx_err *err)
{
	struct nx_cat *cat = nx_archive_cat(c->archive);
	nx_rc rc = nx_archive_current(c->archive, err);

	if (!rc)
		rc = nx_cat_study(cat, c->from.id, c->opts->study, c->arena, &c->source, err);
	if (rc)
		return rc;
	c->list.arena = c->arena;
	c->list.cat = cat;
	rc = nx_cat_series_of(cat, c->source.id, series_keep, &c->list, err);
	if (!rc && !c->list.n)
		rc = nx_err_set(err, NX_E_NOENT, "no such instances");
	return rc;
}

nx_rc nx_deid_study(struct nx_deid *deid, const struct nx_deid_opts *opts,
	struct nx_deid_result *ret, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(STUDY_ARENA_MAX, NX_ARENA_WIPE);
	struct study_copy c = {.archive = deid->archive, .opts = opts, .arena = arena};
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a study");
	rc = access_check(&c, err);
	if (!rc)
		rc = collections_find(&c, err);
	if (!rc)
		rc = study_find(&c, err);
	if (!rc)
		rc = vault_open(&c, (uint64_t)c.source.subject, err);
	if (!rc) {
		(void)snprintf(
			c.result.pseudonym, sizeof(c.result.pseudonym), "%s", c.subject.pseudonym);
		deid_uid(&c.subject, nx_slice_str(c.source.uid), c.result.study);
		rc = study_run(&c, err);
	}
	if (!rc)
		*ret = c.result;
	nx_key_done(&c.vault_key);
	deid_subject_done(&c.subject);
	return rc;
}

/*
 * One pass over items, blobs, series and studies each, in order of id.  What one pass must know of
 * an earlier one is kept as sorted numbers, eight bytes each, not as rows.
 */
#include "lifecycle/fsck.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/progress.h"
#include "catalog/catalog.h"
#include "lifecycle/trail_priv.h"
#include "store/extent.h"
#include "store/pool.h"

enum {
	PAGE = 512,
	ARENA_MAX = 512 * 1024 * 1024,
	FINDINGS_MAX = 100,
	FINDINGS_BYTES = 64 * 1024,
	REPAIR_BATCH = 1000
};

struct numbers {
	uint64_t *at;
	size_t n;
	size_t cap;
	size_t read; /* where the merge stands */
};

struct pack {
	uint64_t id;
	uint64_t size;
	bool has_row;
};

struct fsck {
	struct nx_archive *archive;
	const struct nx_principal *who;
	bool repair;
	struct nx_progress *progress; /* items; may be NULL */
	struct nx_fsck_report *report;
	struct nx_arena *arena; /* reset per row */
	struct numbers refs;    /* blob ids, once per recipe that names them */
	struct numbers in;      /* series ids, once per live item */
	struct numbers series;  /* study ids, once per series */
	struct numbers items;   /* study ids, once per live item */
	struct pack *packs;     /* ascending */
	size_t n_packs;
	size_t cap_packs;
	struct nx_change *change;
	unsigned changed;
	int64_t last;
	unsigned seen;
	unsigned n_findings;
	struct nx_buf findings;
	struct nx_json json;
};

/* ---- numbers ---- */

static nx_rc numbers_add(struct numbers *s, uint64_t v, struct nx_err *err)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 1024;
		uint64_t *at = reallocarray(s->at, cap, sizeof(*at));

		if (!at)
			return nx_err_set(err, NX_E_NOMEM, "no memory for %zu numbers", cap);
		s->at = at;
		s->cap = cap;
	}
	s->at[s->n++] = v;
	return NX_OK;
}

static int order(const void *x, const void *y)
{
	const uint64_t *a = x, *b = y;

	return *a < *b ? -1 : *a > *b;
}

static void numbers_sort(struct numbers *s)
{
	if (s->n)
		qsort(s->at, s->n, sizeof(*s->at), order);
}

/* The next number below `v`, if any; asked in ascending order. */
static bool numbers_below(struct numbers *s, uint64_t v, uint64_t *ret)
{
	if (s->read == s->n || s->at[s->read] >= v)
		return false;
	*ret = s->at[s->read++];
	return true;
}

/* How often `v` is there; asked in ascending order. */
static uint64_t numbers_take(struct numbers *s, uint64_t v)
{
	uint64_t below, n = 0;

	while (numbers_below(s, v, &below))
		;
	while (s->read < s->n && s->at[s->read] == v) {
		s->read++;
		n++;
	}
	return n;
}

/* ---- findings, repairs ---- */

static void finding(struct fsck *f, const char *kind, int64_t id, const char *fmt, ...)
	NX_PRINTF(4, 5);
static void finding(struct fsck *f, const char *kind, int64_t id, const char *fmt, ...)
{
	char text[NX_ERR_TEXT_MAX];
	va_list ap;

	if (f->n_findings++ >= FINDINGS_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	nx_json_object_begin(&f->json);
	nx_json_kv_str(&f->json, "kind", kind);
	nx_json_kv_int(&f->json, "id", id);
	nx_json_kv_str(&f->json, "message", text);
	nx_json_object_end(&f->json);
}

static nx_rc repairs_commit(struct fsck *f, struct nx_err *err)
{
	struct nx_entry_draft draft = {.action = NX_ACTION_SCRUB, .principal = f->who->name};
	NX_AUTO(nx_change) *change = NX_STEAL(f->change);
	char detail[64];
	nx_rc rc;

	if (!change)
		return NX_OK;
	(void)snprintf(
		detail, sizeof(detail), "{\"what\":\"fsck.repair\",\"rows\":%u}", f->changed);
	draft.detail = nx_slice_str(detail);
	rc = nx_change_entry(change, &draft, NULL, err);
	if (!rc)
		rc = nx_archive_commit(f->archive, change, err);
	if (!rc)
		f->report->repaired += f->changed;
	f->changed = 0;
	return rc;
}

static nx_rc repair(struct fsck *f, const struct nx_op *op, struct nx_err *err)
{
	nx_rc rc;

	if (!f->repair)
		return NX_OK;
	if (!f->change)
		f->change = nx_change_new();
	if (!f->change)
		return nx_err_set(err, NX_E_NOMEM, "no memory to repair");
	rc = nx_change_op(f->change, op, err);
	f->changed++;
	return rc || f->changed < REPAIR_BATCH ? rc : repairs_commit(f, err);
}

static nx_rc set_number(struct fsck *f, enum nx_table table, int64_t id, int64_t column,
	uint64_t value, struct nx_err *err)
{
	struct nx_val vals[] = {nx_val_int(id), nx_val_int(column), nx_val_int((int64_t)value)};

	return repair(f,
		&(struct nx_op){.verb = NX_OP_SET, .table = (uint8_t)table, .n = 3, .vals = vals},
		err);
}

/* ---- packs ---- */

struct pack_list {
	struct fsck *f;
	struct nx_err *err;
};

static nx_rc pack_note(void *payload, nx_pack_id id)
{
	struct pack_list *list = payload;
	struct fsck *f = list->f;
	struct pack *p;

	if (f->n_packs == f->cap_packs) {
		size_t cap = f->cap_packs ? f->cap_packs * 2 : 64;

		p = reallocarray(f->packs, cap, sizeof(*p));
		if (!p)
			return nx_err_set(list->err, NX_E_NOMEM, "no memory for %zu packs", cap);
		f->packs = p;
		f->cap_packs = cap;
	}
	p = &f->packs[f->n_packs++];
	*p = (struct pack){.id = id};
	return nx_pool_size(nx_archive_pool(f->archive), id, &p->size, list->err);
}

static int pack_order(const void *key, const void *at)
{
	const uint64_t *id = key;
	const struct pack *p = at;

	return *id < p->id ? -1 : *id > p->id;
}

static struct pack *pack_find(struct fsck *f, uint64_t id)
{
	return f->n_packs ? bsearch(&id, f->packs, f->n_packs, sizeof(*f->packs), pack_order)
			  : NULL;
}

static nx_rc pack_row(void *payload, const void *row, struct nx_err *err)
{
	struct fsck *f = payload;
	int64_t id = ((const struct nx_pack_row *)row)->id;
	struct pack *p = pack_find(f, (uint64_t)id);

	(void)err;
	if (p) {
		p->has_row = true;
	} else {
		f->report->rows_without_pack++;
		finding(f, "pack", id, "the pool has no such pack");
	}
	return NX_OK;
}

static nx_rc packs_check(struct fsck *f, struct nx_err *err)
{
	struct pack_list list = {f, err};
	nx_rc rc = nx_pool_list(nx_archive_pool(f->archive), pack_note, &list, err);

	if (!rc)
		rc = nx_cat_packs(nx_archive_cat(f->archive), pack_row, f, err);
	for (size_t i = 0; i < f->n_packs; i++) {
		f->report->packs++;
		f->report->pack_bytes += f->packs[i].size;
		f->report->packs_without_row += !f->packs[i].has_row;
	}
	return rc;
}

/* ---- rows ---- */

static void row_begin(struct fsck *f, int64_t id)
{
	f->last = id;
	f->seen++;
	nx_arena_reset(f->arena);
}

static nx_rc item_check(void *payload, const void *row, struct nx_err *err)
{
	struct fsck *f = payload;
	const struct nx_item *item = row;
	struct nx_err why = {.rc = NX_OK};
	struct nx_recipe *recipe = NULL;
	nx_rc rc;

	row_begin(f, item->id);
	f->report->items++;
	rc = nx_progress_add(f->progress, 1, err);
	if (rc)
		return rc;
	rc = nx_archive_recipe(f->archive, item, f->arena, &recipe, &why);
	if (rc == NX_E_ERASED)
		f->report->erased++;
	else if (rc) {
		f->report->unreadable++;
		finding(f, "item", item->id, "%s", nx_err_text(&why));
	}
	rc = NX_OK;
	for (size_t i = 0; recipe && i < recipe->n_blobs && !rc; i++)
		rc = numbers_add(&f->refs, recipe->blobs[i].id, err);
	if (!rc && item->series && item->state == NX_ITEM_LIVE)
		rc = numbers_add(&f->in, (uint64_t)item->series, err);
	return rc;
}

static nx_rc extents_check(struct fsck *f, int64_t id, struct nx_err *err)
{
	const struct nx_recipe_blob blob = {.id = (uint64_t)id};
	struct nx_extent *e = NULL;
	size_t n = 0;
	nx_rc rc = nx_archive_extents(f->archive, &blob, f->arena, &e, &n, err);

	if (rc == NX_E_CORRUPT) {
		f->report->lost_extents++;
		finding(f, "blob", id, "%s", nx_err_text(err));
		return NX_OK;
	}
	for (size_t i = 0; i < n && !rc; i++) {
		const struct pack *p = pack_find(f, e[i].pack);
		uint64_t stored = nx_extent_stored(&e[i]);

		if (p && e[i].off <= p->size && stored <= p->size - e[i].off) {
			f->report->live_bytes += stored;
			continue;
		}
		f->report->lost_extents++;
		finding(f, "blob", id, "extent %zu: pack %" PRIu64 " %s", i, e[i].pack,
			p ? "ends before it" : "is not there");
	}
	return rc;
}

static nx_rc orphan_delete(struct fsck *f, int64_t id, struct nx_err *err)
{
	struct nx_val val = nx_val_int(id);

	f->report->orphans++;
	if (f->report->withheld)
		return NX_OK;
	return repair(f,
		&(struct nx_op){.verb = NX_OP_DEL, .table = NX_T_BLOB, .n = 1, .vals = &val}, err);
}

/* Recipes name blobs below `id` that no row was found for. */
static void missing_note(struct fsck *f, uint64_t id)
{
	uint64_t missing;

	while (numbers_below(&f->refs, id, &missing)) {
		f->report->missing_blobs++;
		finding(f, "blob", (int64_t)missing, "a recipe names it, and it has no row");
	}
}

static nx_rc blob_check(void *payload, const void *row, struct nx_err *err)
{
	struct fsck *f = payload;
	const struct nx_blob_row *blob = row;
	int64_t id = blob->id, refs = blob->refs;
	uint64_t n;
	nx_rc rc;

	row_begin(f, id);
	f->report->blobs++;
	missing_note(f, (uint64_t)id);
	n = numbers_take(&f->refs, (uint64_t)id);
	if (!n)
		return orphan_delete(f, id, err);
	rc = extents_check(f, id, err);
	if (rc || refs == (int64_t)n)
		return rc;
	f->report->wrong_refs++;
	finding(f, "blob", id, "%" PRId64 " references, %" PRIu64 " recipes", refs, n);
	return f->report->withheld ? NX_OK : set_number(f, NX_T_BLOB, id, NX_C_BLOB_REFS, n, err);
}

static nx_rc counter_check(struct fsck *f, enum nx_table table, int64_t id, int64_t column,
	int64_t said, uint64_t is, struct nx_err *err)
{
	if (said == (int64_t)is)
		return NX_OK;
	f->report->wrong_counters++;
	finding(f, table == NX_T_STUDY ? "study" : "series", id,
		"column %" PRId64 " says %" PRId64 ", there are %" PRIu64, column, said, is);
	return set_number(f, table, id, column, is, err);
}

static nx_rc series_check(void *payload, const void *row, struct nx_err *err)
{
	struct fsck *f = payload;
	const struct nx_series *series = row;
	uint64_t n = numbers_take(&f->in, (uint64_t)series->id);
	nx_rc rc = n ? numbers_add(&f->series, (uint64_t)series->study, err) : NX_OK;

	row_begin(f, series->id);
	for (uint64_t i = 0; i < n && !rc; i++)
		rc = numbers_add(&f->items, (uint64_t)series->study, err);
	return rc ? rc
		  : counter_check(f, NX_T_SERIES, series->id, NX_C_SERIES_N_INSTANCES,
			    series->n_instances, n, err);
}

static nx_rc study_check(void *payload, const void *row, struct nx_err *err)
{
	struct fsck *f = payload;
	const struct nx_study *study = row;
	uint64_t n_series = numbers_take(&f->series, (uint64_t)study->id);
	uint64_t n_items = numbers_take(&f->items, (uint64_t)study->id);
	nx_rc rc;

	row_begin(f, study->id);
	rc = counter_check(
		f, NX_T_STUDY, study->id, NX_C_STUDY_N_SERIES, study->n_series, n_series, err);
	return rc ? rc
		  : counter_check(f, NX_T_STUDY, study->id, NX_C_STUDY_N_INSTANCES,
			    study->n_instances, n_items, err);
}

/* ---- passes ---- */

typedef nx_rc (*page_fn)(struct nx_cat *cat, int64_t after_id, unsigned limit, nx_cat_row_fn fn,
	void *payload, struct nx_err *err);

static nx_rc pass(struct fsck *f, page_fn page, nx_cat_row_fn fn, struct nx_err *err)
{
	nx_rc rc;

	f->last = 0;
	do {
		f->seen = 0;
		rc = page(nx_archive_cat(f->archive), f->last, PAGE, fn, f, err);
	} while (!rc && f->seen == PAGE);
	return rc;
}

static nx_rc passes(struct fsck *f, struct nx_err *err)
{
	nx_rc rc = packs_check(f, err);

	if (!rc)
		rc = pass(f, nx_cat_items_all, item_check, err);
	numbers_sort(&f->refs);
	numbers_sort(&f->in);
	f->report->withheld = f->report->unreadable;
	if (!rc)
		rc = pass(f, nx_cat_blobs_all, blob_check, err);
	if (!rc) {
		missing_note(f, UINT64_MAX);
		rc = pass(f, nx_cat_series_all, series_check, err);
	}
	numbers_sort(&f->series);
	numbers_sort(&f->items);
	if (!rc)
		rc = pass(f, nx_cat_studies_all, study_check, err);
	return rc ? rc : repairs_commit(f, err);
}

/* ---- the report ---- */

bool nx_fsck_sound(const struct nx_fsck_report *r)
{
	return !r->unreadable && !r->missing_blobs && !r->lost_extents && !r->rows_without_pack &&
		!r->wrong_refs && !r->wrong_counters;
}

static void numbers_put(const struct nx_fsck_report *r, struct nx_json *json)
{
	const struct {
		const char *key;
		uint64_t value;
	} rows[] = {
		{"items", r->items},
		{"erased", r->erased},
		{"unreadable", r->unreadable},
		{"blobs", r->blobs},
		{"orphans", r->orphans},
		{"missing_blobs", r->missing_blobs},
		{"wrong_refs", r->wrong_refs},
		{"lost_extents", r->lost_extents},
		{"packs", r->packs},
		{"packs_without_row", r->packs_without_row},
		{"rows_without_pack", r->rows_without_pack},
		{"wrong_counters", r->wrong_counters},
		{"pack_bytes", r->pack_bytes},
		{"live_bytes", r->live_bytes},
		{"repaired", r->repaired},
	};

	nx_json_kv_bool(json, "sound", nx_fsck_sound(r));
	for (size_t i = 0; i < NX_ARRAY_LEN(rows); i++)
		nx_json_kv_uint(json, rows[i].key, rows[i].value);
	nx_json_kv_bool(json, "withheld", r->withheld);
}

static nx_rc report_put(struct fsck *f, struct nx_buf *out, struct nx_err *err)
{
	struct nx_json json;

	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	numbers_put(f->report, &json);
	nx_json_key(&json, "findings");
	nx_json_raw(&json, nx_buf_slice(&f->findings));
	nx_json_object_end(&json);
	return nx_buf_check(out, err);
}

static nx_rc record(struct fsck *f, struct nx_err *err)
{
	NX_AUTO_DONE(nx_detail) detail;

	nx_detail_begin(&detail);
	nx_json_kv_str(&detail.json, "what", "fsck");
	numbers_put(f->report, &detail.json);
	return trail_record(f->archive, f->who,
		nx_fsck_sound(f->report) ? NX_ACTION_SCRUB : NX_ACTION_INTEGRITY_FAIL,
		nx_fsck_sound(f->report) ? NX_OUTCOME_OK : NX_OUTCOME_SERIOUS, &detail, err);
}

static void fsck_done(struct fsck *f)
{
	free(f->refs.at);
	free(f->in.at);
	free(f->series.at);
	free(f->items.at);
	free(f->packs);
	nx_change_free(f->change);
	nx_buf_done(&f->findings);
	nx_arena_free(f->arena);
}

nx_rc nx_fsck(struct nx_archive *archive, const struct nx_principal *who, bool repair_too,
	struct nx_progress *progress, struct nx_fsck_report *ret, struct nx_buf *out,
	struct nx_err *err)
{
	struct nx_fsck_report report = {.items = 0};
	struct fsck f = {.archive = archive,
		.who = who,
		.repair = repair_too,
		.progress = progress,
		.report = &report};
	struct nx_cat_counts counts;
	nx_rc rc = trail_guard(archive, who, NX_PERM_ADMIN, NULL, "fsck", err);

	if (rc)
		return rc;
	f.arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	nx_buf_init(&f.findings, FINDINGS_BYTES, 0);
	nx_json_init(&f.json, &f.findings);
	nx_json_array_begin(&f.json);
	nx_archive_barrier(archive);
	rc = nx_cat_counts(nx_archive_cat(archive), &counts, err);
	if (!rc)
		nx_progress_total(progress, counts.items);
	if (!rc)
		rc = f.arena ? passes(&f, err) : nx_err_set(err, NX_E_NOMEM, "no memory to check");
	nx_json_array_end(&f.json);
	if (!rc)
		rc = nx_buf_check(&f.findings, err);
	if (!rc)
		rc = record(&f, err);
	if (!rc && out)
		rc = report_put(&f, out, err);
	if (!rc)
		*ret = report;
	fsck_done(&f);
	return rc;
}

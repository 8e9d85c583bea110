#include "lifecycle/worklist.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "catalog/catalog.h"
#include "dicom/scheduled.h"
#include "ledger/detail.h"
#include "lifecycle/trail_priv.h"

enum {
	PAGE = 500,
	PAGE_MEMORY = 16 * 1024 * 1024,
	ITEM_MEMORY = 16 * 1024 * 1024,
	LOOK_S = 60
};

static const int64_t day_us = 86400ll * 1000000;

struct nx_worklist {
	struct nx_worklist_opts opts;
	pthread_mutex_t lock; /* guards stopping */
	pthread_cond_t wake;
	bool stopping;
	bool has_thread;
	pthread_t thread;
};

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for the worklist");
}

/* ---- rows of items that have none ---- */

struct page {
	struct nx_archive *archive;
	struct nx_arena *arena; /* of one item */
	struct nx_change *change;
	unsigned n;
	bool any; /* the change has something */
	char last[NX_LIMIT_OBJECT_KEY + 1];
};

/* What is none, or is not there any more, has no rows. */
static nx_rc item_read(
	struct page *p, const struct nx_item *item, struct nx_scheduled *ret, struct nx_err *err)
{
	struct nx_slice bytes = {0};
	struct nx_dataset *ds = NULL;
	nx_rc rc = nx_archive_read_item(
		p->archive, item, NX_LIMIT_WORKLIST_ITEM, p->arena, &bytes, NULL, err);

	if (!rc)
		rc = nx_dataset_parse(bytes, NX_UID_EXPLICIT_VR_LITTLE_ENDIAN,
			NX_LIMIT_WORKLIST_ITEM + 1, p->arena, &ds, err);
	if (rc == NX_E_ERASED || rc == NX_E_LIMIT || rc == NX_E_MALFORMED || rc == NX_E_SHORT)
		return NX_OK;
	return rc ? rc : nx_scheduled_read(ds, p->arena, ret, err);
}

static nx_rc item_index(void *payload, const void *row, struct nx_err *err)
{
	struct nx_scheduled scheduled = {.n_steps = 0};
	const struct nx_item *item = row;
	struct page *p = payload;
	nx_rc rc;

	p->n++;
	(void)snprintf(p->last, sizeof(p->last), "%s", item->name);
	nx_arena_reset(p->arena);
	rc = item_read(p, item, &scheduled, err);
	if (rc || !scheduled.n_steps)
		return rc;
	p->any = true;
	return nx_change_scheduled(p->change, item, &scheduled, err);
}

static nx_rc page_index(struct page *p, int64_t collection, struct nx_err *err)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	nx_rc rc;

	if (!change)
		return no_memory(err);
	p->change = change;
	p->n = 0;
	p->any = false;
	rc = nx_cat_worklist_missing(nx_archive_cat(p->archive),
		&(struct nx_objects_of){.collection = collection,
			.prefix = NX_WORKLIST_PREFIX,
			.after = p->last,
			.limit = PAGE},
		item_index, p, err);
	return rc || !p->any ? rc : nx_archive_commit(p->archive, change, err);
}

static nx_rc collection_index(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_collection *collection = row;
	struct page *p = payload;
	nx_rc rc;

	p->last[0] = 0;
	do {
		rc = page_index(p, collection->id, err);
	} while (!rc && p->n == PAGE);
	return rc;
}

nx_rc nx_worklist_index(struct nx_archive *archive, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ITEM_MEMORY, NX_ARENA_WIPE);
	struct page page = {.archive = archive, .arena = arena};

	if (!arena)
		return no_memory(err);
	nx_archive_barrier(archive);
	return nx_cat_collections(nx_archive_cat(archive), collection_index, &page, err);
}

/* ---- what was not done ---- */

struct overdue {
	struct nx_archive *archive;
	struct nx_arena *arena; /* of a page */
	struct nx_change *change;
	unsigned n;
};

static nx_rc row_add(struct overdue *o, const struct nx_worklist_row *row,
	const struct nx_collection *collection, struct nx_err *err)
{
	struct nx_val vals[] = {nx_val_int(row->collection), nx_val_text(row->name),
		nx_val_int(row->number), nx_val_int(NX_C_WORKLIST_STATE),
		nx_val_int(NX_WORKLIST_EXPIRED), nx_val_int(NX_C_WORKLIST_CHANGED_US),
		nx_val_int(nx_now_us())};
	struct nx_op op = {.verb = NX_OP_SET,
		.table = NX_T_WORKLIST,
		.n = NX_ARRAY_LEN(vals),
		.domain = (uint32_t)collection->domain,
		.vals = vals};

	op.subject = (uint64_t)row->subject;
	return nx_change_op(o->change, &op, err);
}

static nx_rc entry_add(struct overdue *o, const struct nx_worklist_row *row,
	const struct nx_collection *collection, struct nx_err *err)
{
	struct nx_entry_draft draft = {.action = NX_ACTION_WORKLIST_EXPIRE,
		.principal = "",
		.subject = (uint64_t)row->subject,
		.study = row->study_uid};
	NX_AUTO_DONE(nx_detail) detail;
	nx_rc rc;

	nx_detail_begin(&detail);
	nx_json_kv_str(&detail.json, "collection", collection->name);
	nx_json_kv_str(&detail.json, "item", row->name);
	nx_json_kv_str(&detail.json, "step", row->step_id);
	nx_json_kv_str(&detail.json, "was", nx_worklist_word(row->state));
	nx_json_kv_str(&detail.json, "since", row->since);
	rc = nx_detail_end(&detail, NULL, &draft, err);
	return rc ? rc : nx_change_entry(o->change, &draft, NULL, err);
}

static nx_rc row_expire(void *payload, const void *row, struct nx_err *err)
{
	struct nx_collection collection;
	struct overdue *o = payload;
	const struct nx_worklist_row *of = row;
	nx_rc rc = nx_cat_collection_by_id(
		nx_archive_cat(o->archive), of->collection, o->arena, &collection, err);

	o->n++;
	if (!rc)
		rc = row_add(o, of, &collection, err);
	return rc ? rc : entry_add(o, of, &collection, err);
}

static nx_rc page_expire(struct overdue *o, int64_t state, const char *day, struct nx_err *err)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	nx_rc rc;

	if (!change)
		return no_memory(err);
	o->change = change;
	o->n = 0;
	nx_arena_reset(o->arena);
	nx_archive_barrier(o->archive);
	rc = nx_cat_worklist_overdue(
		nx_archive_cat(o->archive), state, day, PAGE, row_expire, o, err);
	return rc || !o->n ? rc : nx_archive_commit(o->archive, change, err);
}

static nx_rc expire(const struct nx_worklist_opts *opts, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(PAGE_MEMORY, 0);
	struct overdue o = {.archive = opts->archive, .arena = arena};
	char day[NX_DAY_TEXT];
	nx_rc rc = arena ? NX_OK : no_memory(err);

	nx_day_format(nx_now_us() - opts->days * day_us, day);
	for (int64_t state = 1; state < NX_WORKLIST_STATES_ && !rc; state++) {
		o.n = PAGE;
		while ((opts->states & 1u << state) && !rc && o.n == PAGE)
			rc = page_expire(&o, state, day, err);
	}
	return rc;
}

/* ---- the thread ---- */

/* False at the stop. */
static bool look_wait(struct nx_worklist *w)
{
	const int64_t until = nx_mono_us() + LOOK_S * 1000000ll;
	const struct timespec at = {until / 1000000, until % 1000000 * 1000};
	bool stopping;

	(void)pthread_mutex_lock(&w->lock);
	while (!w->stopping && nx_mono_us() < until)
		(void)pthread_cond_timedwait(&w->wake, &w->lock, &at);
	stopping = w->stopping;
	(void)pthread_mutex_unlock(&w->lock);
	return !stopping;
}

static void *worklist_main(void *payload)
{
	struct nx_worklist *w = payload;

	nx_thread_name("worklist");
	do {
		struct nx_err err = {.rc = NX_OK};
		nx_rc rc = expire(&w->opts, &err);

		if (rc && rc != NX_E_CLOSED)
			nx_log_err(NX_LOG_WARN, "lifecycle", "worklist.expire", &err);
	} while (look_wait(w));
	return NULL;
}

nx_rc nx_worklist_new(
	const struct nx_worklist_opts *opts, struct nx_worklist **ret, struct nx_err *err)
{
	NX_AUTO(nx_worklist) *w = calloc(1, sizeof(*w));
	pthread_condattr_t attr;

	if (!w)
		return no_memory(err);
	w->opts = *opts;
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	w->has_thread = opts->days > 0 && pthread_create(&w->thread, NULL, worklist_main, w) == 0;
	if (opts->days > 0 && !w->has_thread)
		return nx_err_set(
			err, NX_E_NOMEM, "cannot start the thread that looks after the worklist");
	*ret = NX_STEAL(w);
	return NX_OK;
}

struct nx_worklist *nx_worklist_free(struct nx_worklist *worklist)
{
	if (!worklist)
		return NULL;
	(void)pthread_mutex_lock(&worklist->lock);
	worklist->stopping = true;
	(void)pthread_cond_signal(&worklist->wake);
	(void)pthread_mutex_unlock(&worklist->lock);
	if (worklist->has_thread)
		(void)pthread_join(worklist->thread, NULL);
	(void)pthread_cond_destroy(&worklist->wake);
	(void)pthread_mutex_destroy(&worklist->lock);
	free(worklist);
	return NULL;
}

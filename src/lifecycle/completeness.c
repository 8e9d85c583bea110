#include "lifecycle/completeness.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "archive/archive.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/thread.h"
#include "catalog/catalog.h"
#include "ledger/ledger.h"

enum {
	OPEN_MAX = 100000, /* studies watched at a time; more are found by the next look over all */
	PAGE = 500,
	DETAIL_MAX = 256,
	ARENA_MAX = 4 * 1024 * 1024,
	RETRY_US = 5 * 1000000, /* after a failure */
};

/* In the order of the last change: the first is due first. */
struct watched {
	struct watched *prev, *next;
	int64_t study;
	int64_t due_us; /* monotonic */
};

struct nx_completeness {
	struct nx_completeness_opts opts;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	struct nx_map *by_id; /* study id -> struct watched in the list */
	struct watched *first, *last;
	bool missed; /* one was not taken: look over all studies when the list is empty */
	bool stopping;
	bool has_thread;
	pthread_t thread;
};

/* ---- the list; caller holds the lock ---- */

static struct nx_slice key_of(const int64_t *study)
{
	return nx_slice(study, sizeof(*study));
}

static void list_cut(struct nx_completeness *c, struct watched *w)
{
	*(w->prev ? &w->prev->next : &c->first) = w->next;
	*(w->next ? &w->next->prev : &c->last) = w->prev;
}

static void list_append(struct nx_completeness *c, struct watched *w)
{
	w->prev = c->last;
	w->next = NULL;
	*(c->last ? &c->last->next : &c->first) = w;
	c->last = w;
}

static bool watched_add(struct nx_completeness *c, int64_t study, int64_t due_us)
{
	struct watched *w = nx_map_len(c->by_id) < OPEN_MAX ? calloc(1, sizeof(*w)) : NULL;

	if (!w || !nx_map_put(c->by_id, key_of(&study), w, NULL)) {
		free(w);
		return false;
	}
	w->study = study;
	w->due_us = due_us;
	list_append(c, w);
	return true;
}

static void watch(struct nx_completeness *c, int64_t study, int64_t due_us)
{
	struct watched *w = nx_map_get(c->by_id, key_of(&study));

	if (!w) {
		c->missed |= !watched_add(c, study, due_us);
		return;
	}
	list_cut(c, w);
	w->due_us = due_us;
	list_append(c, w);
}

static void unwatch(struct nx_completeness *c, struct watched *w)
{
	list_cut(c, w);
	(void)nx_map_del(c->by_id, key_of(&w->study));
	free(w);
}

/* ---- what arrives ---- */

static void on_study(void *payload, int64_t study)
{
	struct nx_completeness *c = payload;

	(void)pthread_mutex_lock(&c->lock);
	watch(c, study, nx_mono_us() + c->opts.quiet_us);
	if (c->first == c->last) /* it waited for nothing, or for another time */
		(void)pthread_cond_signal(&c->wake);
	(void)pthread_mutex_unlock(&c->lock);
}

struct look {
	struct nx_completeness *c;
	int64_t last;
	unsigned n;
};

static nx_rc open_take(void *payload, const void *row, struct nx_err *err)
{
	struct look *look = payload;
	const struct nx_study *study = row;
	struct nx_completeness *c = look->c;

	(void)err;
	look->last = study->id;
	look->n++;
	if (study->complete_us == 0 || study->complete_us >= study->updated_us)
		return NX_OK;
	(void)pthread_mutex_lock(&c->lock);
	if (!nx_map_get(c->by_id, key_of(&study->id)))
		watch(c, study->id, nx_mono_us() + c->opts.quiet_us);
	(void)pthread_mutex_unlock(&c->lock);
	return NX_OK;
}

/* Those that were open at the last stop, or too many. */
static void look_over_all(struct nx_completeness *c)
{
	struct look look = {.c = c};
	struct nx_err err;
	nx_rc rc = NX_OK;

	do {
		look.n = 0;
		rc = nx_cat_studies_all(
			nx_archive_cat(c->opts.archive), look.last, PAGE, open_take, &look, &err);
	} while (!rc && look.n == PAGE);
	if (rc)
		nx_log_err(NX_LOG_WARN, "lifecycle", "study.complete", &err);
}

/* ---- one that is due ---- */

/* Under the subject's key in the log, like all that is of it. */
static nx_rc op_add(struct nx_change *change, struct nx_op *op, const struct nx_study *study,
	uint32_t domain, struct nx_err *err)
{
	op->domain = domain;
	op->subject = (uint64_t)study->subject;
	return nx_change_op(change, op, err);
}

static nx_rc rows_add(struct nx_completeness *c, const struct nx_study *study,
	struct nx_slice detail, struct nx_arena *arena, struct nx_change *change,
	struct nx_err *err)
{
	const struct nx_event_row row = {
		.id = (int64_t)nx_archive_next_id(c->opts.archive, NX_T_EVENT),
		.time_us = nx_now_us(),
		.kind = "study.complete",
		.subject = study->subject,
		.study = study->id,
		.detail = nx_arena_str(arena, (const char *)detail.p, detail.n),
	};
	struct nx_val vals[] = {nx_val_int(study->id), nx_val_int(NX_C_STUDY_COMPLETE_US),
		nx_val_int(study->updated_us)};
	struct nx_op set = {
		.verb = NX_OP_SET, .table = NX_T_STUDY, .n = NX_ARRAY_LEN(vals), .vals = vals};
	struct nx_collection collection;
	struct nx_op put;
	nx_rc rc = nx_cat_collection_by_id(
		nx_archive_cat(c->opts.archive), study->collection, arena, &collection, err);

	if (rc)
		return rc;
	if (!row.detail || nx_op_put_event(&row, arena, &put))
		return nx_err_set(err, NX_E_NOMEM, "no memory for an event");
	rc = op_add(change, &set, study, (uint32_t)collection.domain, err);
	return rc ? rc : op_add(change, &put, study, (uint32_t)collection.domain, err);
}

static void detail_make(
	const struct nx_completeness *c, const struct nx_study *study, struct nx_buf *out)
{
	struct nx_json json;

	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "confidence", "quiet");
	nx_json_kv_int(&json, "quiet_s", c->opts.quiet_us / 1000000);
	nx_json_kv_int(&json, "series", study->n_series);
	nx_json_kv_int(&json, "instances", study->n_instances);
	nx_json_object_end(&json);
}

static nx_rc complete(struct nx_completeness *c, const struct nx_study *study,
	struct nx_arena *arena, struct nx_err *err)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	NX_AUTO_DONE(nx_buf) detail;
	struct nx_entry_draft draft = {.action = NX_ACTION_STUDY_COMPLETE,
		.principal = "",
		.subject = (uint64_t)study->subject,
		.study = study->uid};
	nx_rc rc;

	nx_buf_init(&detail, DETAIL_MAX, 0);
	if (!change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	detail_make(c, study, &detail);
	draft.detail = nx_buf_slice(&detail);
	rc = nx_buf_check(&detail, err);
	if (!rc)
		rc = rows_add(c, study, draft.detail, arena, change, err);
	if (!rc)
		rc = nx_change_entry(change, &draft, NULL, err);
	if (!rc)
		rc = nx_archive_commit(c->opts.archive, change, err);
	if (!rc && c->opts.on_complete)
		c->opts.on_complete(c->opts.payload, study->id);
	return rc;
}

/* What came since it was noted has put it back into the list. */
static nx_rc study_look(struct nx_completeness *c, int64_t id, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	struct nx_study study;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a study");
	nx_archive_barrier(c->opts.archive);
	rc = nx_cat_study_by_id(nx_archive_cat(c->opts.archive), id, arena, &study, err);
	if (rc == NX_E_NOENT) /* erased, or its first instance was refused */
		return NX_OK;
	if (rc || !study.n_instances || study.complete_us >= study.updated_us)
		return rc;
	return complete(c, &study, arena, err);
}

/* ---- the thread ---- */

/* False at the stop; *ret_study is out of the list.  Caller holds the lock. */
static bool due_take(struct nx_completeness *c, int64_t *ret_study)
{
	while (!c->stopping) {
		struct watched *w = c->first;
		const int64_t due = w ? w->due_us : 0;
		const struct timespec until = {due / 1000000, due % 1000000 * 1000};

		if (w && due <= nx_mono_us()) {
			*ret_study = w->study;
			unwatch(c, w);
			return true;
		}
		if (!w && c->missed)
			break;
		if (w)
			(void)pthread_cond_timedwait(&c->wake, &c->lock, &until);
		else
			(void)pthread_cond_wait(&c->wake, &c->lock);
	}
	*ret_study = 0;
	return !c->stopping;
}

static void study_run(struct nx_completeness *c, int64_t study)
{
	struct nx_err err = {.rc = NX_OK};
	nx_rc rc = study_look(c, study, &err);

	if (!rc || rc == NX_E_CLOSED)
		return;
	nx_log_err(NX_LOG_WARN, "lifecycle", "study.complete", &err);
	(void)pthread_mutex_lock(&c->lock);
	watch(c, study, nx_mono_us() + RETRY_US);
	(void)pthread_mutex_unlock(&c->lock);
}

static void *completeness_main(void *payload)
{
	struct nx_completeness *c = payload;
	int64_t study;

	nx_thread_name("completeness");
	(void)pthread_mutex_lock(&c->lock);
	while (due_take(c, &study)) {
		c->missed = c->missed && study;
		(void)pthread_mutex_unlock(&c->lock);
		if (study)
			study_run(c, study);
		else
			look_over_all(c);
		(void)pthread_mutex_lock(&c->lock);
	}
	(void)pthread_mutex_unlock(&c->lock);
	return NULL;
}

nx_rc nx_completeness_new(
	const struct nx_completeness_opts *opts, struct nx_completeness **ret, struct nx_err *err)
{
	NX_AUTO(nx_completeness) *c = calloc(1, sizeof(*c));
	pthread_condattr_t attr;

	if (!c)
		return nx_err_set(err, NX_E_NOMEM, "no memory to watch studies");
	c->opts = *opts;
	c->missed = true; /* begin with a look over all */
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&c->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	c->by_id = nx_map_new();
	if (!c->by_id)
		return nx_err_set(err, NX_E_NOMEM, "no memory to watch studies");
	nx_archive_on_study(opts->archive, on_study, c);
	c->has_thread = pthread_create(&c->thread, NULL, completeness_main, c) == 0;
	if (!c->has_thread)
		return nx_err_set(err, NX_E_NOMEM, "cannot start the thread that watches studies");
	*ret = NX_STEAL(c);
	return NX_OK;
}

struct nx_completeness *nx_completeness_free(struct nx_completeness *c)
{
	if (!c)
		return NULL;
	(void)pthread_mutex_lock(&c->lock);
	c->stopping = true;
	(void)pthread_cond_signal(&c->wake);
	(void)pthread_mutex_unlock(&c->lock);
	if (c->has_thread)
		(void)pthread_join(c->thread, NULL);
	nx_archive_on_study(c->opts.archive, NULL, NULL);
	while (c->first)
		unwatch(c, c->first);
	nx_map_free(c->by_id);
	(void)pthread_cond_destroy(&c->wake);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
	return NULL;
}

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
#include "lifecycle/expected_priv.h"

enum {
	OPEN_MAX = 100000, /* studies watched at a time; more are found by the next look over all */
	PAGE = 500,
	DETAIL_MAX = 256,
	ARENA_MAX = 4 * 1024 * 1024,
	RETRY_US = 5 * 1000000, /* after a failure */
	LOOK_US = 500000,
	LOOKS_IN_VAIN = 2, /* what is durable is visible by then */
	WEIGH_SHARE = 10,  /* of the time that weighing took, it is left alone */
};

/* What a study waits for; each is a list in the order of time, as every one of it waits as long. */
enum wait {
	WAIT_QUIET, /* that it was left alone */
	WAIT_LOOK,  /* to be looked at before: all that is expected may be there */
	WAIT_COUNT
};

struct place { /* in a list */
	struct watched *prev, *next;
	int64_t due_us; /* monotonic; 0: it is not in the list */
};

struct watched {
	struct place at[WAIT_COUNT];
	int64_t study;
	unsigned looks;       /* in vain, since it was touched */
	uint64_t mark;        /* of the steps, and ... */
	int64_t seen_us;      /* ... the study's last change, when it was weighed */
	int64_t not_before;   /* weighing it takes long */
	int64_t committed_us; /* a commitment covered what it had at that change; 0: none did */
};

struct nx_completeness {
	struct nx_completeness_opts opts;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	struct nx_map *by_id; /* study id -> struct watched, in the list of WAIT_QUIET */
	struct watched *first[WAIT_COUNT], *last[WAIT_COUNT];
	bool missed;          /* one was not taken: look over all studies when the list is empty */
	bool steps;           /* the site has any; this and the next are the thread's alone */
	int64_t steps_due_us; /* not asked again before */
	bool stopping;
	bool has_thread;
	pthread_t thread;
};

/* ---- the lists; caller holds the lock ---- */

static struct nx_slice key_of(const int64_t *study)
{
	return nx_slice(study, sizeof(*study));
}

static void list_cut(struct nx_completeness *c, struct watched *w, enum wait which)
{
	struct place *at = &w->at[which];

	if (!at->due_us)
		return;
	*(at->prev ? &at->prev->at[which].next : &c->first[which]) = at->next;
	*(at->next ? &at->next->at[which].prev : &c->last[which]) = at->prev;
	*at = (struct place){0};
}

static void list_append(
	struct nx_completeness *c, struct watched *w, enum wait which, int64_t due_us)
{
	list_cut(c, w, which);
	w->at[which] = (struct place){.prev = c->last[which], .due_us = due_us};
	*(c->last[which] ? &c->last[which]->at[which].next : &c->first[which]) = w;
	c->last[which] = w;
}

/* Before all others. */
static void list_lead(struct nx_completeness *c, struct watched *w, enum wait which)
{
	list_cut(c, w, which);
	w->at[which] = (struct place){.next = c->first[which], .due_us = 1};
	*(c->first[which] ? &c->first[which]->at[which].prev : &c->last[which]) = w;
	c->first[which] = w;
}

static struct watched *watched_add(struct nx_completeness *c, int64_t study)
{
	struct watched *w = nx_map_len(c->by_id) < OPEN_MAX ? calloc(1, sizeof(*w)) : NULL;

	if (!w || !nx_map_put(c->by_id, key_of(&study), w, NULL)) {
		free(w);
		c->missed = true;
		return NULL;
	}
	w->study = study;
	return w;
}

/* NULL: there are too many. */
static struct watched *watch(struct nx_completeness *c, int64_t study, int64_t due_us)
{
	struct watched *w = nx_map_get(c->by_id, key_of(&study));

	if (!w)
		w = watched_add(c, study);
	if (!w)
		return NULL;
	list_append(c, w, WAIT_QUIET, due_us);
	w->looks = 0;
	if (!w->at[WAIT_LOOK].due_us)
		list_append(c, w, WAIT_LOOK, nx_mono_us() + LOOK_US);
	return w;
}

static void unwatch(struct nx_completeness *c, struct watched *w)
{
	list_cut(c, w, WAIT_QUIET);
	list_cut(c, w, WAIT_LOOK);
	(void)nx_map_del(c->by_id, key_of(&w->study));
	free(w);
}

/* ---- what arrives ---- */

static void on_study(void *payload, int64_t study)
{
	struct nx_completeness *c = payload;

	(void)pthread_mutex_lock(&c->lock);
	(void)watch(c, study, nx_mono_us() + c->opts.quiet_us);
	/* The first to be looked at: the thread waits for nothing, or for a later time. */
	if (c->first[WAIT_LOOK] == c->last[WAIT_LOOK])
		(void)pthread_cond_signal(&c->wake);
	(void)pthread_mutex_unlock(&c->lock);
}

void nx_completeness_committed(struct nx_completeness *c, int64_t study, int64_t updated_us)
{
	struct watched *w;

	(void)pthread_mutex_lock(&c->lock);
	w = nx_map_get(c->by_id, key_of(&study));
	if (!w)
		w = watch(c, study, nx_mono_us() + c->opts.quiet_us);
	if (w) {
		w->committed_us = updated_us;
		list_lead(c, w, WAIT_LOOK);
		(void)pthread_cond_signal(&c->wake);
	}
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
		(void)watch(c, study->id, nx_mono_us() + c->opts.quiet_us);
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

static void detail_make(const struct nx_completeness *c, const struct nx_study *study,
	const struct expected *x, const char *confidence, struct nx_buf *out)
{
	struct nx_json json;

	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "confidence", confidence);
	nx_json_kv_int(&json, "quiet_s", c->opts.quiet_us / 1000000);
	nx_json_kv_int(&json, "series", study->n_series);
	nx_json_kv_int(&json, "instances", study->n_instances);
	if (expected_steps(x))
		expected_json(x, &json);
	nx_json_object_end(&json);
}

static nx_rc complete(struct nx_completeness *c, const struct nx_study *study,
	const struct expected *x, const char *confidence, struct nx_arena *arena,
	struct nx_err *err)
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
	detail_make(c, study, x, confidence, &detail);
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

/* How sure it is by now; NULL: not enough, and it was not quiet yet. */
static const char *confidence_of(const struct nx_completeness *c, const struct nx_study *study,
	const struct expected *x, const struct watched *w, bool quiet)
{
	const bool ended = !x->states[NX_STEP_IN_PROGRESS];
	const bool whole = ended && x->found == x->n;

	if (c->opts.expected && whole && x->states[NX_STEP_COMPLETED] && x->n)
		return "expected";
	if (c->opts.committed && whole && w->committed_us == study->updated_us)
		return "committed";
	if (!quiet)
		return NULL;
	return x->found < x->n ? "partial" : "quiet";
}

/* NX_E_NOENT: there is nothing to tell of it. */
static nx_rc study_open(struct nx_completeness *c, int64_t id, struct nx_arena *arena,
	struct nx_study *ret, struct nx_err *err)
{
	nx_rc rc = nx_cat_study_by_id(nx_archive_cat(c->opts.archive), id, arena, ret, err);

	/* Erased, or its first instance was refused; or it was told already. */
	if (!rc && (!ret->n_instances || ret->complete_us >= ret->updated_us))
		rc = NX_E_NOENT;
	return rc;
}

static nx_rc weigh_in(struct nx_completeness *c, const struct nx_study *study, struct watched *w,
	bool quiet, struct nx_arena *arena, struct nx_err *err)
{
	const int64_t begun = nx_mono_us();
	const char *confidence;
	struct expected x;
	nx_rc rc = expected_init(&x, err);

	if (rc)
		return rc;
	rc = expected_find(c->opts.archive, study->collection, study->uid, &x, err);
	confidence = rc ? NULL : confidence_of(c, study, &x, w, quiet);
	if (confidence)
		rc = complete(c, study, &x, confidence, arena, err);
	expected_done(&x);
	w->seen_us = study->updated_us;
	w->not_before = nx_mono_us() + (nx_mono_us() - begun) * WEIGH_SHARE;
	return rc;
}

/* It was quiet.  What came since it was noted has put it back into the list. */
static nx_rc quiet_look(struct nx_completeness *c, struct watched *w, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	struct nx_study study;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a study");
	nx_archive_barrier(c->opts.archive);
	rc = study_open(c, w->study, arena, &study, err);
	if (rc)
		return rc == NX_E_NOENT ? NX_OK : rc;
	return weigh_in(c, &study, w, true, arena, err);
}

static nx_rc steps_look(struct nx_completeness *c, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc;

	if (c->steps || nx_mono_us() < c->steps_due_us)
		return NX_OK;
	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a step");
	c->steps_due_us = nx_mono_us() + LOOK_US / 2;
	rc = nx_cat_rows(nx_archive_cat(c->opts.archive),
		&(struct nx_rows_of){.table = NX_T_STEP, .limit = 1}, arena, &rows, &n, err);
	c->steps = !rc && n;
	return rc;
}

/*
 * Long before it was quiet, and often: a site without steps pays nothing here, and a study of which
 * nothing has changed next to nothing.  *ret_again: it has steps, or they may not be visible yet.
 */
static nx_rc early_look(
	struct nx_completeness *c, struct watched *w, bool *ret_again, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	struct nx_study study;
	uint64_t mark = 0;
	nx_rc rc = steps_look(c, err);

	*ret_again = w->looks++ < LOOKS_IN_VAIN;
	if (rc || (!c->steps && !w->committed_us))
		return rc;
	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a study");
	if (w->committed_us)
		nx_archive_barrier(c->opts.archive);
	rc = study_open(c, w->study, arena, &study, err);
	if (!rc)
		rc = expected_mark(c->opts.archive, study.collection, study.uid, &mark, err);
	*ret_again |= mark != 0;
	if (rc || (!mark && !w->committed_us) || nx_mono_us() < w->not_before)
		return rc == NX_E_NOENT ? NX_OK : rc;
	if (!w->committed_us && mark == w->mark && study.updated_us == w->seen_us)
		return NX_OK;
	w->mark = mark;
	nx_archive_barrier(c->opts.archive);
	rc = study_open(c, w->study, arena, &study, err);
	if (rc)
		return rc == NX_E_NOENT ? NX_OK : rc;
	rc = weigh_in(c, &study, w, false, arena, err);
	w->committed_us = 0;
	return rc;
}

/* ---- the thread ---- */

/* The one that is due first; NULL without any.  Caller holds the lock. */
static struct watched *due_first(
	const struct nx_completeness *c, enum wait *ret_which, int64_t *ret_due_us)
{
	struct watched *first = NULL;

	for (unsigned i = 0; i < WAIT_COUNT; i++) {
		struct watched *w = c->first[i];

		if (!w || (first && w->at[i].due_us >= *ret_due_us))
			continue;
		first = w;
		*ret_which = i;
		*ret_due_us = w->at[i].due_us;
	}
	return first;
}

/* False at the stop; *ret is a copy of what is due, study 0: nothing is.  Caller holds the lock. */
static bool due_take(struct nx_completeness *c, enum wait *ret_which, struct watched *ret)
{
	while (!c->stopping) {
		int64_t due = 0;
		struct watched *w = due_first(c, ret_which, &due);
		const struct timespec until = {due / 1000000, due % 1000000 * 1000};

		if (w && due <= nx_mono_us()) {
			*ret = *w;
			if (*ret_which == WAIT_QUIET)
				unwatch(c, w);
			else
				list_cut(c, w, WAIT_LOOK);
			return true;
		}
		if (!w && c->missed)
			break;
		if (w)
			(void)pthread_cond_timedwait(&c->wake, &c->lock, &until);
		else
			(void)pthread_cond_wait(&c->wake, &c->lock);
	}
	*ret = (struct watched){0};
	return !c->stopping;
}

static void quiet_run(struct nx_completeness *c, struct watched *due)
{
	struct nx_err err = {.rc = NX_OK};
	nx_rc rc = quiet_look(c, due, &err);

	if (!rc || rc == NX_E_CLOSED)
		return;
	nx_log_err(NX_LOG_WARN, "lifecycle", "study.complete", &err);
	(void)pthread_mutex_lock(&c->lock);
	(void)watch(c, due->study, nx_mono_us() + RETRY_US);
	(void)pthread_mutex_unlock(&c->lock);
}

static void early_run(struct nx_completeness *c, struct watched *due)
{
	struct nx_err err = {.rc = NX_OK};
	struct watched *w;
	bool again = false;

	if (early_look(c, due, &again, &err) && err.rc != NX_E_CLOSED)
		nx_log_err(NX_LOG_WARN, "lifecycle", "study.complete", &err);
	(void)pthread_mutex_lock(&c->lock);
	w = nx_map_get(c->by_id, key_of(&due->study));
	if (w) {
		w->mark = due->mark;
		w->seen_us = due->seen_us;
		w->not_before = due->not_before;
		if (w->committed_us && !due->committed_us && !w->at[WAIT_LOOK].due_us)
			w->committed_us = 0;
		if (again && !w->at[WAIT_LOOK].due_us) {
			w->looks = due->looks;
			list_append(c, w, WAIT_LOOK, nx_mono_us() + LOOK_US);
		}
	}
	(void)pthread_mutex_unlock(&c->lock);
}

static void *completeness_main(void *payload)
{
	struct nx_completeness *c = payload;
	struct watched due;
	enum wait which = WAIT_QUIET;

	nx_thread_name("completeness");
	(void)pthread_mutex_lock(&c->lock);
	while (due_take(c, &which, &due)) {
		c->missed = c->missed && due.study;
		(void)pthread_mutex_unlock(&c->lock);
		if (!due.study)
			look_over_all(c);
		else if (which == WAIT_QUIET)
			quiet_run(c, &due);
		else
			early_run(c, &due);
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
	while (c->first[WAIT_QUIET])
		unwatch(c, c->first[WAIT_QUIET]);
	nx_map_free(c->by_id);
	(void)pthread_cond_destroy(&c->wake);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
	return NULL;
}

/* The queue of forwarding: who is owed what, and what came of it. */
#include "lifecycle/forward.h"

#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "base/log.h"
#include "base/rd.h"
#include "lifecycle/forward_priv.h"

enum {
	BATCH_ARENA_MAX = 256 * 1024 * 1024, /* reports may be large */
	REPORT_AFTER_US = 1000000,           /* who asked gets the response to that first */
	TROUBLE_US = 5 * 1000000             /* before the catalog is asked again after a failure */
};

/* ---- lanes; caller holds f->lock ---- */

static struct forward_lane *lane_get(struct nx_forward *f, const char *destination)
{
	struct forward_lane **at = &f->lanes, *made;

	while (*at && strcmp((*at)->destination, destination) != 0)
		at = &(*at)->next;
	if (*at)
		return *at;
	made = calloc(1, sizeof(*made));
	if (!made)
		return NULL;
	(void)snprintf(made->destination, sizeof(made->destination), "%s", destination);
	made->due_us = INT64_MAX;
	*at = made;
	return made;
}

static void lane_owe(struct nx_forward *f, struct forward_lane *lane, int64_t due_us)
{
	if (due_us < lane->due_us)
		lane->due_us = due_us;
	(void)pthread_cond_signal(&f->wake);
}

static int64_t lane_ready_us(const struct forward_lane *lane)
{
	return lane->due_us > lane->paused_us ? lane->due_us : lane->paused_us;
}

/* Whoever was served goes behind all others. */
static void lane_back(struct nx_forward *f, struct forward_lane *lane)
{
	struct forward_lane **at = &f->lanes;

	while (*at != lane)
		at = &(*at)->next;
	*at = lane->next;
	while (*at)
		at = &(*at)->next;
	*at = lane;
	lane->next = NULL;
}

/* A lane that is ready, busy from now on; else NULL, and when one may be. */
static struct forward_lane *lane_take(struct nx_forward *f, int64_t now_us, int64_t *ret_ready_us)
{
	*ret_ready_us = INT64_MAX;
	for (struct forward_lane *lane = f->lanes; lane; lane = lane->next) {
		int64_t ready_us = lane_ready_us(lane);

		if (lane->busy)
			continue;
		if (ready_us <= now_us) {
			lane->busy = true;
			lane->due_us = INT64_MAX; /* what comes from now on makes it due again */
			lane_back(f, lane);
			return lane;
		}
		if (ready_us < *ret_ready_us)
			*ret_ready_us = ready_us;
	}
	return NULL;
}

static struct forward_lane *lane_wait(struct nx_forward *f)
{
	struct forward_lane *lane = NULL;
	int64_t ready_us, until_us;

	(void)pthread_mutex_lock(&f->lock);
	while (!f->stopping && !lane) {
		lane = lane_take(f, nx_now_us(), &ready_us);
		if (lane)
			break;
		if (ready_us == INT64_MAX) {
			(void)pthread_cond_wait(&f->wake, &f->lock);
			continue;
		}
		until_us = nx_mono_us() + ready_us - nx_now_us();
		(void)pthread_cond_timedwait(&f->wake, &f->lock,
			&(struct timespec){until_us / 1000000, until_us % 1000000 * 1000});
	}
	(void)pthread_mutex_unlock(&f->lock);
	return lane;
}

static void lane_give(struct nx_forward *f, struct forward_lane *lane, int64_t due_us)
{
	(void)pthread_mutex_lock(&f->lock);
	lane->busy = false;
	lane_owe(f, lane, due_us);
	(void)pthread_mutex_unlock(&f->lock);
}

/* Doubled from failure to failure, and scattered: who failed together does not come together. */
int64_t forward_backoff_us(const struct nx_forward *f, uint64_t failures)
{
	int64_t wait_us = f->opts.backoff_us;
	uint64_t scatter;

	for (uint64_t i = 1; i < failures && wait_us < f->opts.backoff_max_us; i++)
		wait_us *= 2;
	if (wait_us > f->opts.backoff_max_us)
		wait_us = f->opts.backoff_max_us;
	nx_random(&scatter, sizeof(scatter));
	return wait_us / 2 + (int64_t)(scatter % (uint64_t)(wait_us / 2 + 1));
}

/* `failed`: it was not reached. */
static void lane_pause(
	struct nx_forward *f, struct forward_lane *lane, bool failed, int64_t at_least_us)
{
	int64_t wait_us = at_least_us;

	(void)pthread_mutex_lock(&f->lock);
	lane->failures = failed ? lane->failures + 1 : 0;
	if (failed)
		wait_us += forward_backoff_us(f, lane->failures);
	lane->paused_us = wait_us ? nx_now_us() + wait_us : 0;
	(void)pthread_mutex_unlock(&f->lock);
}

bool forward_knows(struct nx_forward *f, const char *destination)
{
	bool known;

	(void)pthread_mutex_lock(&f->lock);
	known = lane_get(f, destination) != NULL;
	(void)pthread_mutex_unlock(&f->lock);
	return known;
}

void forward_owe(struct nx_forward *f, const char *destination, int64_t due_us)
{
	struct forward_lane *lane;

	(void)pthread_mutex_lock(&f->lock);
	lane = lane_get(f, destination);
	if (lane)
		lane_owe(f, lane, due_us);
	(void)pthread_mutex_unlock(&f->lock);
}

void forward_look(struct nx_forward *f)
{
	int64_t now_us = nx_now_us();

	(void)pthread_mutex_lock(&f->lock);
	for (struct forward_lane *lane = f->lanes; lane; lane = lane->next)
		lane_owe(f, lane, now_us);
	(void)pthread_mutex_unlock(&f->lock);
}

/* ---- what is stored ---- */

void forward_row_init(struct nx_forward *f, struct nx_delivery_row *row, const char *destination)
{
	*row = (struct nx_delivery_row){
		.id = (int64_t)nx_archive_next_id(f->opts.archive, NX_T_DELIVERY),
		.kind = NX_DELIVERY_STORE,
		.destination = destination,
		.state = NX_DELIVERY_WAITING,
		.due_us = nx_now_us(),
	};
	row->txn = "";
	row->created_us = row->due_us;
}

struct wanted {
	struct nx_forward *f;
	const struct nx_stored *stored;
	struct nx_arena *arena;
	struct nx_op *ops;
	size_t n;
};

static nx_rc wanted_add(void *payload, const struct forward_want *want, struct nx_err *err)
{
	struct wanted *w = payload;
	struct forward_lane *lane = lane_get(w->f, want->destination);
	struct nx_delivery_row row;

	forward_row_init(
		w->f, &row, nx_arena_str(w->arena, want->destination, strlen(want->destination)));
	row.principal = nx_arena_printf(w->arena, "rule:%s", want->rule);
	row.commitment = want->commitment;
	if (!row.destination || !row.principal || !lane)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a delivery");
	lane->noted = true;
	row.collection = w->stored->put->collection->id;
	row.subject = (int64_t)w->stored->subject;
	row.item = w->stored->put->ret_item;
	return nx_op_put_delivery(&row, w->arena, &w->ops[w->n++])
		? nx_err_set(err, NX_E_NOMEM, "no memory for a delivery")
		: NX_OK;
}

static nx_rc stored_rows(void *payload, const struct nx_stored *stored, struct nx_arena *arena,
	struct nx_op **ret_ops, size_t *ret_n, struct nx_err *err)
{
	struct nx_forward *f = payload;
	struct wanted w = {f, stored, arena, NULL, 0};
	size_t n;
	nx_rc rc = NX_OK;

	(void)pthread_mutex_lock(&f->lock);
	n = forward_rules_n(f->rules);
	if (n)
		w.ops = nx_arena_alloc_array(arena, n, sizeof(*w.ops));
	if (n && !w.ops)
		rc = nx_err_set(err, NX_E_NOMEM, "no memory for deliveries");
	if (!rc)
		rc = forward_rules_match(f->rules, stored->put, wanted_add, &w, err);
	(void)pthread_mutex_unlock(&f->lock);
	*ret_ops = w.ops;
	*ret_n = w.n;
	return rc;
}

static void stored_durable(void *payload)
{
	struct nx_forward *f = payload;
	int64_t now_us = nx_now_us();

	(void)pthread_mutex_lock(&f->lock);
	for (struct forward_lane *lane = f->lanes; lane; lane = lane->next) {
		if (!lane->noted)
			continue;
		lane->noted = false;
		lane_owe(f, lane, now_us);
	}
	(void)pthread_mutex_unlock(&f->lock);
}

/* ---- a batch ---- */

/* What goes together: on behalf of one, from one collection. */
static bool goes_with(const struct nx_delivery_row *first, const struct nx_delivery_row *row)
{
	return row->kind == first->kind && row->state == first->state &&
		row->collection == first->collection &&
		strcmp(row->principal, first->principal) == 0;
}

static nx_rc batch_fill(struct nx_forward_batch *b, const struct nx_op *ops, size_t n,
	int64_t *ret_next_us, struct nx_err *err)
{
	int64_t now_us = nx_now_us();

	*ret_next_us = n == NX_FORWARD_BATCH ? now_us : INT64_MAX;
	b->rows = nx_arena_alloc_array(b->arena, n + 1, sizeof(*b->rows));
	b->deliveries = nx_arena_alloc_array(b->arena, n + 1, sizeof(*b->deliveries));
	if (!b->rows || !b->deliveries)
		return nx_err_set(err, NX_E_NOMEM, "no memory for deliveries");
	for (size_t i = 0; i < n; i++) {
		struct nx_delivery_row *row = &b->rows[b->n];
		nx_rc rc = nx_op_row(&ops[i], b->arena, row, err);

		if (rc)
			return rc;
		if (row->due_us > now_us || !goes_with(&b->rows[0], row)) {
			*ret_next_us = row->due_us < *ret_next_us ? row->due_us : *ret_next_us;
			continue;
		}
		b->deliveries[b->n++] = (struct nx_delivery){.item = row->item};
	}
	return NX_OK;
}

nx_rc forward_names(struct nx_cat *cat, int64_t id, struct nx_arena *arena, struct nx_delivery *ret)
{
	struct nx_series series;
	struct nx_study study;
	struct nx_item item;
	nx_rc rc = nx_cat_item_by_id(cat, id, arena, &item, NULL);

	if (!rc)
		rc = nx_cat_series_by_id(cat, item.series, arena, &series, NULL);
	if (!rc)
		rc = nx_cat_study_by_id(cat, series.study, arena, &study, NULL);
	if (rc)
		return rc;
	ret->study = study.uid;
	ret->sop_class = item.type;
	ret->sop_instance = item.name;
	return NX_OK;
}

/* Event type, then the data set. */
static nx_rc payload_take(
	const struct nx_delivery_row *row, struct nx_delivery *ret, struct nx_err *err)
{
	struct nx_rd rd = nx_rd(row->payload);

	if (!nx_rd_u16le(&rd, &ret->event_type))
		return nx_err_set(err, NX_E_CORRUPT, "report without an event type");
	ret->dataset = nx_slice(rd.p, rd.n);
	return NX_OK;
}

static nx_rc delivery_describe(struct nx_cat *cat, const struct nx_delivery_row *row,
	struct nx_arena *arena, struct nx_delivery *d, struct nx_err *err)
{
	nx_rc rc;

	if (row->kind == NX_DELIVERY_REPORT)
		return payload_take(row, d, err);
	rc = forward_names(cat, d->item, arena, d);
	d->gone = rc == NX_E_NOENT;
	return rc && !d->gone ? nx_err_set(err, rc, "what is to be delivered cannot be found")
			      : NX_OK;
}

nx_rc forward_batch_describe(struct nx_forward *f, struct nx_forward_batch *b, struct nx_err *err)
{
	struct nx_cat *cat = nx_archive_cat(f->opts.archive);
	struct nx_collection collection = {.name = ""};
	nx_rc rc = NX_OK;

	if (!b->n)
		return NX_OK;
	if (b->rows[0].collection)
		rc = nx_cat_collection_by_id(
			cat, b->rows[0].collection, b->arena, &collection, err);
	b->kind = b->rows[0].kind;
	b->collection = collection.name;
	(void)snprintf(b->principal, sizeof(b->principal), "%s", b->rows[0].principal);
	(void)snprintf(b->session, sizeof(b->session), "%s", f->session);
	for (size_t i = 0; i < b->n && !rc; i++)
		rc = delivery_describe(cat, &b->rows[i], b->arena, &b->deliveries[i], err);
	return rc;
}

static nx_rc batch_read(
	struct nx_forward *f, struct nx_forward_batch *b, int64_t *ret_next_us, struct nx_err *err)
{
	const struct nx_val where = nx_val_text(b->destination);
	struct nx_op *ops = NULL;
	size_t n = 0;
	nx_rc rc;

	b->arena = nx_arena_new(BATCH_ARENA_MAX, NX_ARENA_WIPE);
	if (!b->arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for deliveries");
	nx_archive_barrier(f->opts.archive);
	rc = nx_cat_rows(nx_archive_cat(f->opts.archive),
		&(struct nx_rows_of){.table = NX_T_DELIVERY,
			.index = FORWARD_BY_DUE,
			.where = &where,
			.n_where = 1,
			.limit = NX_FORWARD_BATCH},
		b->arena, &ops, &n, err);
	if (!rc)
		rc = batch_fill(b, ops, n, ret_next_us, err);
	return rc ? rc : forward_batch_describe(f, b, err);
}

/* What was asked and not answered in time has failed; the destination was reached. */
static nx_rc batch_overdue(
	struct nx_forward *f, struct nx_forward_batch *b, int64_t *ret_next_us, struct nx_err *err)
{
	struct forward_outcome o = {
		.f = f, .batch = b, .reached = NX_E_TIMEOUT, .next_us = *ret_next_us};
	nx_rc rc = forward_outcome(&o, err);

	b->n = 0;
	*ret_next_us = o.next_us;
	return rc;
}

nx_rc nx_forward_take(struct nx_forward *forward, struct nx_forward_batch *ret, struct nx_err *err)
{
	struct forward_lane *lane;

	while ((lane = lane_wait(forward))) {
		struct nx_forward_batch b = {.lane = lane};
		int64_t next_us = nx_now_us();
		nx_rc rc;

		memcpy(b.destination, lane->destination, sizeof(b.destination));
		rc = batch_read(forward, &b, &next_us, err);
		if (!rc && b.n && b.rows[0].state == NX_DELIVERY_ASKED)
			rc = batch_overdue(forward, &b, &next_us, err);
		if (rc) {
			nx_log_err(NX_LOG_ERROR, "lifecycle", "forward", err);
			lane_pause(forward, lane, false, TROUBLE_US);
		}
		if (!rc && b.n) {
			b.next_us = next_us;
			*ret = b;
			return NX_OK;
		}
		nx_arena_free(b.arena);
		lane_give(forward, lane, next_us);
	}
	return nx_err_set(err, NX_E_CLOSED, "forwarding stops");
}

nx_rc nx_forward_done(struct nx_forward *forward, struct nx_forward_batch *batch, nx_rc reached,
	struct nx_err *err)
{
	struct forward_outcome o = {
		.f = forward, .batch = batch, .reached = reached, .next_us = batch->next_us};
	nx_rc rc = forward_outcome(&o, err);

	lane_pause(forward, batch->lane, reached != NX_OK, rc ? TROUBLE_US : 0);
	lane_give(forward, batch->lane, rc ? nx_now_us() : o.next_us);
	nx_arena_free(batch->arena);
	*batch = (struct nx_forward_batch){0};
	return rc;
}

void nx_forward_stop(struct nx_forward *forward)
{
	(void)pthread_mutex_lock(&forward->lock);
	forward->stopping = true;
	(void)pthread_cond_broadcast(&forward->wake);
	(void)pthread_mutex_unlock(&forward->lock);
}

bool nx_forward_stopping(struct nx_forward *forward)
{
	bool stopping;

	(void)pthread_mutex_lock(&forward->lock);
	stopping = forward->stopping;
	(void)pthread_mutex_unlock(&forward->lock);
	return stopping;
}

nx_rc nx_forward_stats(struct nx_forward *forward, struct nx_forward_stats *ret, struct nx_err *err)
{
	struct nx_delivery_counts counts;
	nx_rc rc = nx_cat_delivery_counts(nx_archive_cat(forward->opts.archive), &counts, err);

	if (rc)
		return rc;
	(void)pthread_mutex_lock(&forward->lock);
	*ret = (struct nx_forward_stats){.waiting = counts.waiting,
		.asked = counts.asked,
		.dead = counts.dead,
		.sent = forward->sent,
		.failed = forward->failed,
		.died = forward->died};
	(void)pthread_mutex_unlock(&forward->lock);
	return NX_OK;
}

/* ---- answers to what is asked of us ---- */

static nx_rc report_row(struct nx_forward *f, const struct nx_forward_report *report,
	struct nx_buf *payload, struct nx_change *change, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = admin_arena(err);
	struct nx_delivery_row row;
	struct nx_op op;
	nx_rc rc;

	if (!arena)
		return NX_E_NOMEM;
	forward_row_init(f, &row, report->destination);
	row.kind = NX_DELIVERY_REPORT;
	row.due_us += REPORT_AFTER_US;
	row.principal = report->principal;
	nx_buf_put_u16le(payload, report->event_type);
	nx_buf_put_slice(payload, report->dataset);
	rc = nx_buf_check(payload, err);
	row.payload = nx_buf_slice(payload);
	if (!rc && nx_op_put_delivery(&row, arena, &op))
		rc = nx_err_set(err, NX_E_NOMEM, "no memory for a report");
	return rc ? rc : nx_change_op(change, &op, err);
}

nx_rc nx_forward_report(
	struct nx_forward *forward, const struct nx_forward_report *report, struct nx_err *err)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	NX_AUTO_DONE(nx_buf) payload;
	nx_rc rc;

	nx_buf_init(&payload, report->dataset.n + 2, NX_BUF_WIPE);
	if (!change || !forward_knows(forward, report->destination))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a report");
	rc = report_row(forward, report, &payload, change, err);
	if (!rc)
		rc = nx_archive_commit(forward->opts.archive, change, err);
	if (!rc)
		forward_owe(forward, report->destination, nx_now_us() + REPORT_AFTER_US);
	return rc;
}

/* ---- from start to end ---- */

static nx_rc owed_take(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_delivery_row *first = row;
	struct nx_forward *f = payload;
	struct forward_lane *lane;

	(void)pthread_mutex_lock(&f->lock);
	lane = lane_get(f, first->destination);
	if (lane)
		lane_owe(f, lane, first->due_us);
	(void)pthread_mutex_unlock(&f->lock);
	return lane ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for a destination");
}

static void locks_init(struct nx_forward *f)
{
	pthread_condattr_t attr;

	(void)pthread_mutex_init(&f->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&f->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
}

nx_rc nx_forward_new(
	const struct nx_forward_opts *opts, struct nx_forward **ret, struct nx_err *err)
{
	NX_AUTO(nx_forward) *f = calloc(1, sizeof(*f));
	uint8_t session[16];
	nx_rc rc;

	if (!f)
		return nx_err_set(err, NX_E_NOMEM, "no memory to forward");
	f->opts = *opts;
	locks_init(f);
	nx_random(session, sizeof(session));
	nx_hex_format(session, sizeof(session), f->session);
	rc = forward_rules_load(f, err);
	if (!rc)
		rc = nx_cat_deliveries_first(nx_archive_cat(opts->archive), owed_take, f, err);
	if (rc)
		return rc;
	nx_archive_on_stored(
		opts->archive, &(struct nx_stored_watch){stored_rows, stored_durable, f});
	*ret = NX_STEAL(f);
	return NX_OK;
}

struct nx_forward *nx_forward_free(struct nx_forward *forward)
{
	if (!forward)
		return NULL;
	nx_archive_on_stored(forward->opts.archive, NULL);
	forward_rules_free(forward->rules);
	while (forward->lanes) {
		struct forward_lane *lane = forward->lanes;

		forward->lanes = lane->next;
		free(lane);
	}
	(void)pthread_cond_destroy(&forward->wake);
	(void)pthread_mutex_destroy(&forward->lock);
	free(forward);
	return NULL;
}

/* The queue of forwarding: who is owed what, and what came of it. */
#include "lifecycle/forward.h"

#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "base/log.h"
#include "lifecycle/forward_priv.h"

enum {
	BATCH_ARENA_MAX = 4 * 1024 * 1024,
	DETAIL_MAX = 16 * 1024,
	TROUBLE_US = 5 * 1000000 /* before the catalog is asked again after a failure */
};

/* DIMSE statuses of C-STORE (PS3.4 B.2.3, PS3.7 Annex C). */
enum {
	STATUS_CLASS_NOT_SUPPORTED = 0x0122,
	STATUS_NOT_AUTHORIZED = 0x0124
};

/* ---- lanes; caller holds f->lock ---- */

static struct forward_lane *lane_get(struct nx_forward *f, const char *destination)
{
	struct forward_lane **at = &f->lanes;

	while (*at && strcmp((*at)->destination, destination) != 0)
		at = &(*at)->next;
	if (!*at) {
		*at = calloc(1, sizeof(**at));
		if (!*at)
			return NULL;
		(void)snprintf((*at)->destination, sizeof((*at)->destination), "%s", destination);
		(*at)->due_us = INT64_MAX;
	}
	return *at;
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
static int64_t backoff_us(const struct nx_forward *f, uint64_t failures)
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
		wait_us += backoff_us(f, lane->failures);
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
	row->created_us = row->due_us;
}

struct wanted {
	struct nx_forward *f;
	const struct nx_stored *stored;
	struct nx_arena *arena;
	struct nx_op *ops;
	size_t n;
};

static nx_rc wanted_add(
	void *payload, const char *rule, const char *destination, struct nx_err *err)
{
	struct wanted *w = payload;
	struct forward_lane *lane = lane_get(w->f, destination);
	struct nx_delivery_row row;

	forward_row_init(w->f, &row, nx_arena_str(w->arena, destination, strlen(destination)));
	row.principal = nx_arena_printf(w->arena, "rule:%s", rule);
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
	return row->kind == first->kind && row->collection == first->collection &&
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

static nx_rc batch_name(struct nx_forward *f, struct nx_forward_batch *b, struct nx_err *err)
{
	struct nx_collection collection;
	nx_rc rc;

	if (!b->n)
		return NX_OK;
	rc = nx_cat_collection_by_id(
		nx_archive_cat(f->opts.archive), b->rows[0].collection, b->arena, &collection, err);
	b->collection = collection.name;
	(void)snprintf(b->principal, sizeof(b->principal), "%s", b->rows[0].principal);
	(void)snprintf(b->session, sizeof(b->session), "%s", f->session);
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
	rc = nx_cat_rows(nx_archive_cat(f->opts.archive), NX_T_DELIVERY, 1, &where, 1, false,
		NX_FORWARD_BATCH, b->arena, &ops, &n, err);
	if (!rc)
		rc = batch_fill(b, ops, n, ret_next_us, err);
	return rc ? rc : batch_name(f, b, err);
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

/* ---- what came of it ---- */

static nx_rc row_set(
	struct nx_change *change, const struct nx_delivery_row *row, struct nx_err *err)
{
	struct nx_val vals[] = {nx_val_int(row->id), nx_val_int(NX_C_DELIVERY_STATE),
		nx_val_int(row->state), nx_val_int(NX_C_DELIVERY_DUE_US), nx_val_int(row->due_us),
		nx_val_int(NX_C_DELIVERY_TRIES), nx_val_int(row->tries),
		nx_val_int(NX_C_DELIVERY_STATUS), nx_val_int(row->status),
		nx_val_int(NX_C_DELIVERY_CODE), nx_val_int(row->code)};

	return nx_change_op(change,
		&(struct nx_op){.verb = NX_OP_SET,
			.table = NX_T_DELIVERY,
			.n = NX_ARRAY_LEN(vals),
			.vals = vals},
		err);
}

nx_rc forward_row_retry(struct nx_change *change, struct nx_delivery_row *row, struct nx_err *err)
{
	row->state = NX_DELIVERY_WAITING;
	row->due_us = nx_now_us();
	row->tries = 0;
	return row_set(change, row, err);
}

nx_rc forward_row_drop(
	struct nx_change *change, const struct nx_delivery_row *row, struct nx_err *err)
{
	struct nx_val vals[] = {nx_val_int(row->id)};

	return nx_change_op(change,
		&(struct nx_op){.verb = NX_OP_DEL, .table = NX_T_DELIVERY, .n = 1, .vals = vals},
		err);
}

static bool is_success(unsigned status)
{
	return status == 0 || status >> 12 == 0xb;
}

/* Asking again would not help: the peer does not want it. */
static bool is_final(unsigned status)
{
	return status == STATUS_CLASS_NOT_SUPPORTED || status == STATUS_NOT_AUTHORIZED ||
		status >> 8 == 0xa9 || status >> 12 == 0xc;
}

static nx_rc dead_event(struct nx_forward *f, struct nx_change *change,
	const struct nx_delivery_row *row, struct nx_arena *arena, struct nx_err *err)
{
	const struct nx_event_row event = {
		.id = (int64_t)nx_archive_next_id(f->opts.archive, NX_T_EVENT),
		.time_us = nx_now_us(),
		.kind = "forward.dead",
		.subject = row->subject,
		.detail = nx_arena_printf(arena, "{\"delivery\":%lld}", (long long)row->id),
	};
	struct nx_op op;

	if (!event.detail || nx_op_put_event(&event, arena, &op))
		return nx_err_set(err, NX_E_NOMEM, "no memory for an event");
	return nx_change_op(change, &op, err);
}

struct outcome {
	struct nx_forward *f;
	struct nx_forward_batch *batch;
	struct nx_change *change;
	nx_rc reached;
	uint64_t sent, failed, died;
};

static nx_rc failed_set(
	struct outcome *o, struct nx_delivery_row *row, bool final, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	o->failed++;
	row->tries++;
	row->due_us = nx_now_us() + backoff_us(o->f, (uint64_t)row->tries);
	if (final || row->tries >= o->f->opts.tries) {
		o->died++;
		row->state = NX_DELIVERY_DEAD;
		rc = dead_event(o->f, o->change, row, o->batch->arena, err);
	}
	return rc ? rc : row_set(o->change, row, err);
}

static nx_rc delivery_end(struct outcome *o, size_t i, struct nx_err *err)
{
	const struct nx_delivery *d = &o->batch->deliveries[i];
	struct nx_delivery_row *row = &o->batch->rows[i];

	if (d->gone)
		return forward_row_drop(o->change, row, err);
	if (!d->settled && !o->reached)
		return NX_OK;
	row->code = d->settled ? 0 : o->reached;
	row->status = d->settled ? d->status : 0;
	if (!d->settled || !is_success(d->status))
		return failed_set(o, row, d->settled && is_final(d->status), err);
	o->sent++;
	return forward_row_drop(o->change, row, err);
}

/* ---- the ledger: one entry of what left for each study of a batch ---- */

/* Is the i-th in the same entry as the one at `from`? */
static bool same_entry(const struct nx_forward_batch *b, size_t from, size_t i)
{
	return b->deliveries[i].settled && b->rows[i].subject == b->rows[from].subject &&
		strcmp(b->deliveries[i].study, b->deliveries[from].study) == 0;
}

static void entry_detail(
	const struct nx_forward_batch *b, size_t from, size_t to, struct nx_buf *out)
{
	struct nx_json json;
	int64_t failed = 0;

	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "collection", b->collection);
	nx_json_kv_str(&json, "to", b->destination);
	nx_json_key(&json, "sent");
	nx_json_array_begin(&json);
	for (size_t i = from; i < to; i++)
		if (is_success(b->deliveries[i].status))
			nx_json_str(&json, b->deliveries[i].sop_instance);
		else
			failed++;
	nx_json_array_end(&json);
	nx_json_kv_int(&json, "failed", failed);
	nx_json_object_end(&json);
}

static nx_rc entry_add(struct outcome *o, size_t from, size_t to, struct nx_err *err)
{
	const struct nx_forward_batch *b = o->batch;
	NX_AUTO_DONE(nx_buf) detail;
	struct nx_entry_draft draft = {.action = NX_ACTION_FORWARD,
		.principal = b->principal,
		.subject = (uint64_t)b->rows[from].subject,
		.study = b->deliveries[from].study};
	nx_rc rc;

	nx_buf_init(&detail, DETAIL_MAX, NX_BUF_WIPE);
	entry_detail(b, from, to, &detail);
	for (size_t i = from; i < to; i++)
		if (!is_success(b->deliveries[i].status))
			draft.outcome = NX_OUTCOME_MINOR;
	draft.detail = nx_buf_slice(&detail);
	rc = nx_buf_check(&detail, err);
	return rc ? rc : nx_change_entry(o->change, &draft, NULL, err);
}

static nx_rc entries_add(struct outcome *o, struct nx_err *err)
{
	const struct nx_forward_batch *b = o->batch;
	nx_rc rc = NX_OK;
	size_t to;

	for (size_t i = 0; i < b->n && !rc; i = to) {
		to = i + 1;
		if (!b->deliveries[i].settled)
			continue;
		while (to < b->n && same_entry(b, i, to))
			to++;
		rc = entry_add(o, i, to, err);
	}
	return rc;
}

static nx_rc outcome_write(struct outcome *o, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	o->change = nx_change_new();
	if (!o->change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	for (size_t i = 0; i < o->batch->n && !rc; i++)
		rc = delivery_end(o, i, err);
	if (!rc)
		rc = entries_add(o, err);
	if (!rc)
		rc = nx_archive_commit(o->f->opts.archive, o->change, err);
	o->change = nx_change_free(o->change);
	return rc;
}

static void outcome_count(const struct outcome *o)
{
	(void)pthread_mutex_lock(&o->f->lock);
	o->f->sent += o->sent;
	o->f->failed += o->failed;
	o->f->died += o->died;
	(void)pthread_mutex_unlock(&o->f->lock);
	if (o->died)
		nx_log(NX_LOG_ERROR, "lifecycle", "forward.dead",
			"%llu deliveries to %s are given up", (unsigned long long)o->died,
			o->batch->destination);
}

/* The next one that is due may be one of those that failed. */
static int64_t next_due_us(const struct nx_forward_batch *b)
{
	int64_t due_us = b->next_us;

	for (size_t i = 0; i < b->n; i++) {
		const struct nx_delivery *d = &b->deliveries[i];
		bool over = d->gone || (d->settled && is_success(d->status));

		if (!over && b->rows[i].state != NX_DELIVERY_DEAD && b->rows[i].due_us < due_us)
			due_us = b->rows[i].due_us;
	}
	return due_us;
}

nx_rc nx_forward_done(struct nx_forward *forward, struct nx_forward_batch *batch, nx_rc reached,
	struct nx_err *err)
{
	struct outcome o = {.f = forward, .batch = batch, .reached = reached};
	nx_rc rc = outcome_write(&o, err);

	if (!rc)
		outcome_count(&o);
	lane_pause(forward, batch->lane, reached != NX_OK, rc ? TROUBLE_US : 0);
	lane_give(forward, batch->lane, next_due_us(batch));
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
		.dead = counts.dead,
		.sent = forward->sent,
		.failed = forward->failed,
		.died = forward->died};
	(void)pthread_mutex_unlock(&forward->lock);
	return NX_OK;
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

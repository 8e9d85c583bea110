/* What came of deliveries: rows, events and entries of the ledger, in one change. */
#include <string.h>

#include "base/log.h"
#include "dicom/dicom.h"
#include "lifecycle/forward_priv.h"

enum {
	DETAIL_MAX = 16 * 1024
};

/* PS3.4 B.2.3, PS3.7 Annex C, PS3.3 C.14.1.1. */
enum {
	STATUS_NO_SUCH_INSTANCE = 0x0112,
	STATUS_CLASS_CONFLICT = 0x0119,
	STATUS_CLASS_NOT_SUPPORTED = 0x0122,
	STATUS_NOT_AUTHORIZED = 0x0124
};

/* What the ledger has of a kind: the word for those that succeeded, and the action; 0: nothing, for
 * nothing left the house. */
static const struct {
	unsigned action;
	const char *word;
} accounts[] = {
	[NX_DELIVERY_STORE] = {NX_ACTION_FORWARD, "sent"},
	[NX_DELIVERY_COMMIT] = {NX_ACTION_FORWARD_COMMIT, "held"},
	[NX_DELIVERY_REPORT] = {0, NULL},
};

/* ---- rows ---- */

static nx_rc row_set(
	struct nx_change *change, const struct nx_delivery_row *row, struct nx_err *err)
{
	struct nx_val vals[] = {nx_val_int(row->id), nx_val_int(NX_C_DELIVERY_KIND),
		nx_val_int(row->kind), nx_val_int(NX_C_DELIVERY_STATE), nx_val_int(row->state),
		nx_val_int(NX_C_DELIVERY_DUE_US), nx_val_int(row->due_us),
		nx_val_int(NX_C_DELIVERY_TRIES), nx_val_int(row->tries),
		nx_val_int(NX_C_DELIVERY_STATUS), nx_val_int(row->status),
		nx_val_int(NX_C_DELIVERY_CODE), nx_val_int(row->code),
		nx_val_int(NX_C_DELIVERY_TXN), nx_val_text(row->txn)};

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
	row->txn = "";
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

/* ---- one delivery ---- */

static bool is_success(unsigned status)
{
	return status == 0 || status >> 12 == 0xb;
}

/* Asking again would not help: the peer does not want it. */
static bool is_final(unsigned status)
{
	return status == STATUS_CLASS_NOT_SUPPORTED || status == STATUS_NOT_AUTHORIZED ||
		status == STATUS_CLASS_CONFLICT || status >> 8 == 0xa9 || status >> 12 == 0xc;
}

static nx_rc dead_event(
	struct forward_outcome *o, const struct nx_delivery_row *row, struct nx_err *err)
{
	const struct nx_event_row event = {
		.id = (int64_t)nx_archive_next_id(o->f->opts.archive, NX_T_EVENT),
		.time_us = nx_now_us(),
		.kind = "forward.dead",
		.subject = row->subject,
		.detail =
			nx_arena_printf(o->batch->arena, "{\"delivery\":%lld}", (long long)row->id),
	};
	struct nx_op op;

	if (!event.detail || nx_op_put_event(&event, o->batch->arena, &op))
		return nx_err_set(err, NX_E_NOMEM, "no memory for an event");
	return nx_change_op(o->change, &op, err);
}

static nx_rc failed_set(
	struct forward_outcome *o, struct nx_delivery_row *row, bool final, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	o->failed++;
	row->tries++;
	row->state = NX_DELIVERY_WAITING;
	row->txn = "";
	row->due_us = nx_now_us() + forward_backoff_us(o->f, (uint64_t)row->tries);
	/* It says that it has it not: it gets it once more. */
	if (o->answered && row->status == STATUS_NO_SUCH_INSTANCE)
		row->kind = NX_DELIVERY_STORE;
	if (final || row->tries >= o->f->opts.tries) {
		o->died++;
		row->state = NX_DELIVERY_DEAD;
		rc = dead_event(o, row, err);
	}
	return rc ? rc : row_set(o->change, row, err);
}

static nx_rc taken_set(struct forward_outcome *o, struct nx_delivery_row *row, struct nx_err *err)
{
	o->sent += row->kind == NX_DELIVERY_STORE;
	if (row->kind != NX_DELIVERY_STORE || !row->commitment) {
		row->state = 0;
		return forward_row_drop(o->change, row, err);
	}
	row->kind = NX_DELIVERY_COMMIT;
	row->due_us = nx_now_us();
	row->tries = 0;
	return row_set(o->change, row, err);
}

static nx_rc delivery_end(struct forward_outcome *o, size_t i, struct nx_err *err)
{
	const struct nx_delivery *d = &o->batch->deliveries[i];
	struct nx_delivery_row *row = &o->batch->rows[i];
	nx_rc rc;

	if (d->gone) {
		row->state = 0;
		return forward_row_drop(o->change, row, err);
	}
	if (d->settled || o->reached) {
		row->code = d->settled ? 0 : o->reached;
		row->status = d->settled ? d->status : 0;
		rc = d->settled && is_success(d->status)
			? taken_set(o, row, err)
			: failed_set(o, row, d->settled && is_final(d->status), err);
		if (rc)
			return rc;
	}
	if (row->state && row->state != NX_DELIVERY_DEAD && row->due_us < o->next_us)
		o->next_us = row->due_us;
	return NX_OK;
}

/* ---- the ledger: one entry for each study of a batch ---- */

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
	nx_json_key(&json, accounts[b->kind].word);
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

static nx_rc entry_add(struct forward_outcome *o, size_t from, size_t to, struct nx_err *err)
{
	const struct nx_forward_batch *b = o->batch;
	NX_AUTO_DONE(nx_buf) detail;
	struct nx_entry_draft draft = {.action = accounts[b->kind].action,
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

static nx_rc entries_add(struct forward_outcome *o, struct nx_err *err)
{
	const struct nx_forward_batch *b = o->batch;
	nx_rc rc = NX_OK;
	size_t to;

	if (!accounts[b->kind].action)
		return NX_OK;
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

/* ---- all of it ---- */

static void outcome_count(const struct forward_outcome *o)
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

nx_rc forward_outcome(struct forward_outcome *o, struct nx_err *err)
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
	if (!rc)
		outcome_count(o);
	return rc;
}

/* ---- storage commitment: the question, and its answer ---- */

nx_rc nx_forward_ask(struct nx_forward *forward, struct nx_forward_batch *batch, struct nx_err *err)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	nx_rc rc = NX_OK;

	if (!change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	nx_uid_new(batch->txn);
	for (size_t i = 0; i < batch->n && !rc; i++) {
		struct nx_delivery_row *row = &batch->rows[i];

		if (batch->deliveries[i].gone)
			continue;
		row->state = NX_DELIVERY_ASKED;
		row->due_us = nx_now_us() + forward->opts.answer_us;
		row->txn = batch->txn;
		rc = row_set(change, row, err);
	}
	return rc ? rc : nx_archive_commit(forward->opts.archive, change, err);
}

/* What the destination does not name it does not vouch for. */
static unsigned reason_of(const struct nx_forward_answer *answer, const char *sop_instance)
{
	for (size_t i = 0; i < answer->n; i++)
		if (strcmp(answer->refs[i].sop_instance, sop_instance) == 0)
			return answer->refs[i].reason;
	return STATUS_NO_SUCH_INSTANCE;
}

static nx_rc asked_find(struct nx_forward *f, const struct nx_forward_answer *answer,
	struct nx_forward_batch *b, struct nx_err *err)
{
	const struct nx_val where = nx_val_text(answer->txn);
	struct nx_op *ops = NULL;
	size_t n = 0;
	nx_rc rc;

	nx_archive_barrier(f->opts.archive);
	rc = nx_cat_rows(nx_archive_cat(f->opts.archive),
		&(struct nx_rows_of){.table = NX_T_DELIVERY,
			.index = FORWARD_BY_TXN,
			.where = &where,
			.n_where = 1},
		b->arena, &ops, &n, err);
	if (rc)
		return rc;
	b->rows = nx_arena_alloc_array(b->arena, n + 1, sizeof(*b->rows));
	b->deliveries = nx_arena_alloc_array(b->arena, n + 1, sizeof(*b->deliveries));
	if (!b->rows || !b->deliveries)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an answer");
	for (size_t i = 0; i < n && !rc; i++) {
		struct nx_delivery_row *row = &b->rows[b->n];

		rc = nx_op_row(&ops[i], b->arena, row, err);
		if (rc || strcmp(row->destination, answer->destination) != 0)
			continue;
		b->deliveries[b->n++] = (struct nx_delivery){.item = row->item};
	}
	return rc || b->n ? rc : nx_err_set(err, NX_E_NOENT, "an answer to nothing that was asked");
}

static nx_rc answer_take(struct nx_forward *f, const struct nx_forward_answer *answer,
	struct nx_forward_batch *b, struct nx_err *err)
{
	struct forward_outcome o = {.f = f, .batch = b, .answered = true, .next_us = INT64_MAX};
	nx_rc rc = asked_find(f, answer, b, err);

	if (!rc)
		rc = forward_batch_describe(f, b, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < b->n; i++) {
		struct nx_delivery *d = &b->deliveries[i];

		d->settled = !d->gone;
		d->status = d->gone ? 0 : reason_of(answer, d->sop_instance);
	}
	rc = forward_outcome(&o, err);
	if (!rc)
		forward_owe(f, b->destination, o.next_us);
	return rc;
}

nx_rc nx_forward_answered(
	struct nx_forward *forward, const struct nx_forward_answer *answer, struct nx_err *err)
{
	struct nx_forward_batch b = {.arena = admin_arena(err)};
	nx_rc rc;

	if (!b.arena)
		return NX_E_NOMEM;
	(void)snprintf(b.destination, sizeof(b.destination), "%s", answer->destination);
	rc = answer_take(forward, answer, &b, err);
	nx_arena_free(b.arena);
	return rc;
}

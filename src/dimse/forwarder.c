#include "dimse/forwarder.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "access/access.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "catalog/catalog.h"
#include "dicom/dicom.h"
#include "dimse/commit_priv.h"
#include "dimse/dimse_priv.h"
#include "dimse/scu.h"
#include "dimse/sender_priv.h"
#include "lifecycle/forward.h"
#include "retrieve/retrieve.h"

enum {
	BATCH_US = 120 * 1000000, /* then others have their turn */
	ANSWER_US = 2 * 1000000,  /* for an answer on the association of the question */
	QUESTION_MAX = 1024 * 1024
};

struct nx_forwarder {
	const struct nx_dimse_opts *dimse;
	struct nx_forward *forward;
	pthread_t workers[NX_LIMIT_FORWARD_WORKERS];
	size_t n;
};

struct sending {
	struct nx_forwarder *forwarder;
	struct nx_forward_batch *batch;
	struct nx_dimse_scu *scu;
	struct nx_instances *instances;
	size_t at[NX_FORWARD_BATCH]; /* of the batch, by instance */
	int64_t until_us;
};

static void settled(void *payload, size_t i, unsigned status)
{
	struct sending *s = payload;
	struct nx_delivery *d = &s->batch->deliveries[s->at[i]];

	d->settled = true;
	d->status = status;
}

static bool goes_on(void *payload)
{
	const struct sending *s = payload;

	return nx_mono_us() < s->until_us && !nx_forward_stopping(s->forwarder->forward);
}

/* Both are in the same order; what the selection has not is gone. */
static void instances_match(struct sending *s)
{
	struct nx_forward_batch *b = s->batch;
	size_t n = nx_instances_n(s->instances), i = 0;

	for (size_t k = 0; k < b->n; k++) {
		struct nx_delivery *d = &b->deliveries[k];
		struct nx_instance_info info = {0};

		if (i < n)
			nx_instances_info(s->instances, i, &info);
		d->gone |= info.item != d->item;
		if (!d->gone)
			s->at[i++] = k;
	}
}

static nx_rc batch_open(struct sending *s, struct nx_err *err)
{
	const struct nx_forward_batch *b = s->batch;
	struct nx_principal who = {.kind = NX_PRINCIPAL_SYSTEM};
	int64_t items[NX_FORWARD_BATCH];
	const struct nx_selection_items sel = {
		.collection = b->collection, .items = items, .n = b->n, .to = b->destination};
	nx_rc rc;

	(void)snprintf(who.name, sizeof(who.name), "%s", b->principal);
	(void)snprintf(who.session, sizeof(who.session), "%s", b->session);
	for (size_t i = 0; i < b->n; i++)
		items[i] = b->deliveries[i].item;
	rc = nx_retrieve_open_items(s->forwarder->dimse->retrieve, &who, &sel, &s->instances, err);
	if (!rc)
		instances_match(s);
	return rc;
}

static nx_rc destination_find(
	const struct sending *s, struct nx_dimse_destination *ret, struct nx_err *err)
{
	const struct nx_dimse_opts *dimse = s->forwarder->dimse;

	return dimse->destination(dimse->destinations, s->batch->destination, ret, err);
}

/* ---- instances, by C-STORE ---- */

static nx_rc store_run(struct sending *s, struct nx_err *err)
{
	struct nx_dimse_destination to;
	struct nx_feed feed = {0};
	struct nx_sender sender = {.opts = s->forwarder->dimse,
		.to = &to,
		.feed = &feed,
		.settled = settled,
		.goes_on = goes_on,
		.payload = s};
	nx_rc rc = batch_open(s, err);

	if (rc || nx_instances_n(s->instances) == 0)
		return rc;
	sender.instances = s->instances;
	rc = destination_find(s, &to, err);
	if (!rc)
		rc = nx_feed_init(&feed, s->instances, err);
	if (!rc)
		rc = nx_sender_run(&sender, err);
	nx_feed_done(&feed);
	return rc;
}

/* ---- storage commitment: questions, and answers ---- */

static uint16_t answered(void *payload, uint16_t event_type, struct nx_slice dataset)
{
	struct sending *s = payload;

	return nx_commit_answer(s->forwarder->forward, s->batch->destination, event_type, dataset,
		nx_dimse_scu_ts(s->scu, NX_COMMIT_PUSH_MODEL));
}

/* `as_scp`: of the class, as the one who answers. */
static nx_rc association_open(struct sending *s, bool as_scp, struct nx_err *err)
{
	static const char *const ts[] = {NX_UID_IMPLICIT_VR_LITTLE_ENDIAN};
	static const struct nx_dimse_scu_context context = {NX_COMMIT_PUSH_MODEL, ts, 1};
	const struct nx_dimse_opts *dimse = s->forwarder->dimse;
	struct nx_dimse_destination to;
	struct nx_dimse_scu_opts opts = {
		.host = to.host,
		.calling = to.calling,
		.called = to.ae,
		.implementation_uid = dimse->implementation_uid,
		.contexts = &context,
		.n_contexts = 1,
		.as_scp = as_scp,
		.timeout_us = dimse->destination_us,
		.on_event = as_scp ? NULL : answered,
		.goes_on = goes_on,
		.payload = s,
	};
	nx_rc rc = destination_find(s, &to, err);

	opts.port = to.port;
	opts.tls = to.tls ? dimse->destination_tls : NULL;
	return rc ? rc : nx_dimse_scu_open(&opts, &s->scu, err);
}

static nx_rc question_make(
	struct sending *s, struct nx_arena *arena, struct nx_buf *out, struct nx_err *err)
{
	const struct nx_forward_batch *b = s->batch;
	struct nx_held refs[NX_FORWARD_BATCH];
	struct nx_commit_set set = {.transaction = b->txn, .refs = refs};

	for (size_t i = 0; i < b->n; i++)
		if (!b->deliveries[i].gone)
			refs[set.n++] = (struct nx_held){.sop_class = b->deliveries[i].sop_class,
				.sop_instance = b->deliveries[i].sop_instance};
	return nx_commit_format(&set, NX_UID_IMPLICIT_VR_LITTLE_ENDIAN, arena, out, err);
}

/* Some answer at once, on this association; others call. */
static nx_rc question_send(struct sending *s, struct nx_slice question, struct nx_err *err)
{
	uint16_t status = 0;
	nx_rc rc = association_open(s, false, err);

	if (!rc)
		rc = nx_dimse_scu_action(s->scu, NX_COMMIT_PUSH_MODEL, NX_COMMIT_WELL_KNOWN,
			NX_COMMIT_REQUEST, question, &status, err);
	if (rc)
		return rc;
	for (size_t i = 0; status && i < s->batch->n; i++) {
		s->batch->deliveries[i].settled = true;
		s->batch->deliveries[i].status = status;
	}
	if (!status)
		rc = nx_dimse_scu_listen(s->scu, ANSWER_US, NULL);
	if (!rc || rc == NX_E_TIMEOUT)
		(void)!nx_dimse_scu_release(s->scu, NULL);
	return NX_OK;
}

static bool all_gone(const struct nx_forward_batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (!b->deliveries[i].gone)
			return false;
	return true;
}

static nx_rc commit_run(struct sending *s, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(QUESTION_MAX, NX_ARENA_WIPE);
	NX_AUTO_DONE(nx_buf) question;
	nx_rc rc;

	nx_buf_init(&question, QUESTION_MAX, NX_BUF_WIPE);
	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	if (all_gone(s->batch))
		return NX_OK;
	rc = nx_forward_ask(s->forwarder->forward, s->batch, err);
	if (!rc)
		rc = question_make(s, arena, &question, err);
	return rc ? rc : question_send(s, nx_buf_slice(&question), err);
}

static nx_rc report_run(struct sending *s, struct nx_err *err)
{
	struct nx_forward_batch *b = s->batch;
	nx_rc rc = association_open(s, true, err);

	for (size_t i = 0; i < b->n && !rc; i++) {
		struct nx_delivery *d = &b->deliveries[i];
		uint16_t status = 0;

		rc = nx_dimse_scu_report(s->scu, NX_COMMIT_PUSH_MODEL, NX_COMMIT_WELL_KNOWN,
			d->event_type, d->dataset, &status, err);
		d->settled = !rc;
		d->status = status;
	}
	return rc ? rc : nx_dimse_scu_release(s->scu, err);
}

/* ---- a batch ---- */

/* To add a kind of delivery, add a row. */
static nx_rc (*const kinds[])(struct sending *s, struct nx_err *err) = {
	[NX_DELIVERY_STORE] = store_run,
	[NX_DELIVERY_COMMIT] = commit_run,
	[NX_DELIVERY_REPORT] = report_run,
};

static void batch_run(struct nx_forwarder *forwarder, struct nx_forward_batch *batch)
{
	struct sending s = {
		.forwarder = forwarder, .batch = batch, .until_us = nx_mono_us() + BATCH_US};
	struct nx_err err = {0};
	nx_rc rc = kinds[batch->kind](&s, &err);

	s.scu = nx_dimse_scu_free(s.scu);
	s.instances = nx_instances_free(s.instances);
	if (rc)
		nx_log(NX_LOG_WARN, "dimse", "forward", "%s: %s", batch->destination,
			nx_err_text(&err));
	if (nx_forward_done(forwarder->forward, batch, rc, &err))
		nx_log_err(NX_LOG_ERROR, "dimse", "forward", &err);
}

static void *worker_main(void *payload)
{
	struct nx_forwarder *forwarder = payload;
	struct nx_forward_batch batch;
	struct nx_err err;

	nx_thread_name("forward");
	while (!nx_forward_take(forwarder->forward, &batch, &err))
		batch_run(forwarder, &batch);
	return NULL;
}

nx_rc nx_forwarder_new(const struct nx_dimse *dimse, struct nx_forward *forward, unsigned workers,
	struct nx_forwarder **ret, struct nx_err *err)
{
	NX_AUTO(nx_forwarder) *f = calloc(1, sizeof(*f));

	if (!f)
		return nx_err_set(err, NX_E_NOMEM, "no memory to forward");
	f->dimse = nx_dimse_opts_of(dimse);
	f->forward = forward;
	for (; f->n < workers && f->n < NX_ARRAY_LEN(f->workers); f->n++)
		if (pthread_create(&f->workers[f->n], NULL, worker_main, f))
			return nx_err_set(err, NX_E_NOMEM, "cannot start the threads that forward");
	*ret = NX_STEAL(f);
	return NX_OK;
}

struct nx_forwarder *nx_forwarder_free(struct nx_forwarder *forwarder)
{
	if (!forwarder)
		return NULL;
	nx_forward_stop(forwarder->forward);
	while (forwarder->n)
		(void)pthread_join(forwarder->workers[--forwarder->n], NULL);
	free(forwarder);
	return NULL;
}

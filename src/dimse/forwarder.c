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
#include "dimse/dimse_priv.h"
#include "dimse/sender_priv.h"
#include "lifecycle/forward.h"
#include "retrieve/retrieve.h"

enum {
	BATCH_US = 120 * 1000000 /* then others have their turn */
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
static nx_rc instances_match(struct sending *s, struct nx_err *err)
{
	struct nx_forward_batch *b = s->batch;
	size_t n = nx_instances_n(s->instances), i = 0;

	for (size_t k = 0; k < b->n; k++) {
		struct nx_delivery *d = &b->deliveries[k];
		struct nx_instance_info info = {0};

		if (i < n)
			nx_instances_info(s->instances, i, &info);
		d->gone = info.item != d->item;
		if (d->gone)
			continue;
		s->at[i++] = k;
		d->study = nx_arena_str(b->arena, info.study, strlen(info.study));
		d->sop_instance =
			nx_arena_str(b->arena, info.sop_instance, strlen(info.sop_instance));
		if (!d->study || !d->sop_instance)
			return nx_err_set(err, NX_E_NOMEM, "no memory for deliveries");
	}
	return NX_OK;
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
	return rc ? rc : instances_match(s, err);
}

static nx_rc batch_send(struct sending *s, struct nx_err *err)
{
	const struct nx_dimse_opts *dimse = s->forwarder->dimse;
	struct nx_dimse_destination to;
	struct nx_feed feed = {0};
	struct nx_sender sender = {.opts = dimse,
		.to = &to,
		.instances = s->instances,
		.feed = &feed,
		.settled = settled,
		.goes_on = goes_on,
		.payload = s};
	nx_rc rc;

	if (nx_instances_n(s->instances) == 0)
		return NX_OK;
	rc = dimse->destination(dimse->destinations, s->batch->destination, &to, err);
	if (!rc)
		rc = nx_feed_init(&feed, s->instances, err);
	if (!rc)
		rc = nx_sender_run(&sender, err);
	nx_feed_done(&feed);
	return rc;
}

static void batch_run(struct nx_forwarder *forwarder, struct nx_forward_batch *batch)
{
	struct sending s = {
		.forwarder = forwarder, .batch = batch, .until_us = nx_mono_us() + BATCH_US};
	struct nx_err err = {0};
	nx_rc rc = batch_open(&s, &err);

	if (!rc)
		rc = batch_send(&s, &err);
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

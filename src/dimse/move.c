#include "dimse/identifier_priv.h"
#include "dimse/sender_priv.h"
#include "dimse/subop_priv.h"

#include "base/log.h"

enum {
	TRIES = 3
};

bool nx_move_match(const char *sop_class)
{
	return nx_model_of(sop_class, NX_C_MOVE_RQ) != NX_MODEL_NONE;
}

/* The requester is told at once: what it waits for is the destination. */
static void move_flush(struct nx_subops *s)
{
	if (!s->link)
		s->link = nx_assoc_write(s->assoc, &s->link_err);
}

struct move {
	struct nx_subops subops;
	bool *settled;
};

static void move_settled(void *payload, size_t i, unsigned status)
{
	struct move *m = payload;

	m->settled[i] = true;
	nx_subops_settle(&m->subops, i, status);
	move_flush(&m->subops);
}

static bool move_goes_on(void *payload)
{
	struct move *m = payload;

	return nx_subops_goes_on(&m->subops);
}

/* PS3.4 C.4.2.1.5: A801 when nobody is known under that title. */
static bool destination_find(
	struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_dimse_destination *ret)
{
	const struct nx_dimse_opts *opts = assoc->opts;
	struct nx_err err = {0};
	nx_rc rc = NX_E_NOENT;

	if (nx_op_failed(op))
		return false;
	if (opts->destination && nx_cmd_has(&op->rq, NX_CMD_MOVE_DESTINATION))
		rc = opts->destination(opts->destinations, op->rq.move_destination, ret, &err);
	if (rc == NX_E_NOENT)
		nx_op_fail(op, NX_STATUS_DESTINATION_UNKNOWN, NULL);
	else if (rc)
		nx_op_fail(op, nx_rc_dimse(rc), &err);
	return !rc;
}

/* What could not be sent at all has failed, too. */
static void rest_fail(struct nx_subops *s, const bool *settled)
{
	for (size_t i = 0; i < s->n; i++)
		if (!settled[i])
			nx_subops_settle(s, i, NX_STATUS_NO_SUBOPERATIONS);
}

static void move_run(struct move *m, const struct nx_dimse_destination *to)
{
	struct nx_subops *s = &m->subops;
	struct nx_err err = {0};
	struct nx_sender sender = {
		.opts = s->assoc->opts,
		.to = to,
		.instances = s->instances,
		.feed = &s->feed,
		.priority = s->op->rq.priority,
		.originator = s->assoc->rq.calling,
		.originator_id = s->op->rq.message_id,
		.tries = TRIES,
		.settled = move_settled,
		.goes_on = move_goes_on,
		.payload = m,
	};
	nx_rc rc;

	m->settled = calloc(s->n + 1, sizeof(*m->settled));
	if (!m->settled) {
		nx_op_fail(s->op, NX_STATUS_OUT_OF_RESOURCES, NULL);
		return;
	}
	rc = nx_sender_run(&sender, &err);
	s->unable = rc != NX_OK;
	if (rc && !s->link)
		rest_fail(s, m->settled);
	free(m->settled);
}

nx_rc nx_move_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err)
{
	NX_AUTO_MEM struct move *m = calloc(1, sizeof(*m));
	struct nx_dimse_destination to;
	nx_rc rc;

	if (!m)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a retrieval");
	if (!destination_find(assoc, op, &to)) {
		nx_log(NX_LOG_WARN, "dimse", op->service->name, "status %04X: %s", op->status,
			op->comment);
		return nx_op_respond(assoc, op, err);
	}
	nx_subops_begin(&m->subops, assoc, op, to.ae);
	if (m->subops.n)
		move_run(m, &to);
	rc = nx_subops_finish(&m->subops, err);
	nx_subops_done(&m->subops);
	return rc;
}

/* Storage Commitment Push Model (PS3.4 Annex J): what is asked of us, and answers to us. */
#include "dimse/commit_priv.h"

#include "access/access.h"
#include "base/arena.h"
#include "base/log.h"
#include "dicom/dicom.h"
#include "dimse/dimse_priv.h"
#include "dimse/identifier_priv.h"
#include "lifecycle/forward.h"

enum {
	ARENA_MAX = 64 * 1024 * 1024,
	REPORT_MAX = 4 * 1024 * 1024
};

bool nx_commit_match(const char *sop_class)
{
	return strcmp(sop_class, NX_COMMIT_PUSH_MODEL) == 0;
}

struct commitment {
	struct nx_assoc *assoc;
	struct nx_dimse_op *op;
	struct nx_arena *arena;
	struct nx_commit_set set;
	bool elsewhere; /* the requester has an address: it gets the result there */
	struct nx_buf result;
	uint16_t event;
};

/* ---- the request ---- */

/* PS3.7 10.1.4.1.10 */
static unsigned action_status(nx_rc rc)
{
	if (rc == NX_E_INVAL)
		return NX_STATUS_MISSING_ATTRIBUTE;
	return rc == NX_E_DENIED ? nx_rc_dimse(rc) : NX_STATUS_PROCESSING_FAILURE;
}

static bool instance_check(struct nx_dimse_op *op)
{
	if (nx_cmd_has(&op->rq, NX_CMD_SOP_INSTANCE) &&
		strcmp(op->rq.sop_instance, NX_COMMIT_WELL_KNOWN) == 0)
		return true;
	nx_op_fail(op, NX_STATUS_NO_SUCH_INSTANCE, NULL);
	return false;
}

static nx_rc held_find(struct commitment *c, struct nx_err *err)
{
	const struct nx_assoc *assoc = c->assoc;
	nx_rc rc = nx_commit_parse(
		nx_identifier_bytes(c->op), c->op->context->ts[0], c->arena, &c->set, err);

	return rc ? rc
		  : nx_retrieve_held(assoc->opts->retrieve, assoc->guest.who,
			    assoc->guest.collection, c->set.refs, c->set.n, err);
}

/* Who has an address gets its results there, in the transfer syntax of that association. */
static nx_rc result_make(struct commitment *c, struct nx_err *err)
{
	const struct nx_dimse_opts *opts = c->assoc->opts;
	struct nx_dimse_destination to;

	c->event = NX_COMMIT_ALL;
	for (size_t i = 0; i < c->set.n; i++)
		if (c->set.refs[i].reason)
			c->event = NX_COMMIT_SOME;
	c->elsewhere = opts->destination && opts->forward &&
		!opts->destination(opts->destinations, c->assoc->rq.calling, &to, NULL);
	return nx_commit_format(&c->set,
		c->elsewhere ? NX_UID_IMPLICIT_VR_LITTLE_ENDIAN : c->op->context->ts[0], c->arena,
		&c->result, err);
}

static nx_rc result_queue(struct commitment *c, struct nx_err *err)
{
	const struct nx_forward_report report = {.destination = c->assoc->rq.calling,
		.principal = c->assoc->guest.who ? c->assoc->guest.who->name : "",
		.event_type = c->event,
		.dataset = nx_buf_slice(&c->result)};

	return nx_forward_report(c->assoc->opts->forward, &report, err);
}

static void request_do(struct commitment *c)
{
	struct nx_dimse_op *op = c->op;
	struct nx_err err = {0};
	nx_rc rc;

	if (!instance_check(op))
		return;
	if (op->rq.action_type != NX_COMMIT_REQUEST) {
		nx_op_fail(op, NX_STATUS_NO_SUCH_ACTION, NULL);
		return;
	}
	rc = held_find(c, &err);
	if (!rc)
		rc = result_make(c, &err);
	if (!rc && c->elsewhere)
		rc = result_queue(c, &err);
	if (rc)
		nx_op_fail(op, action_status(rc), &err);
}

/* ---- on the requester's association ---- */

static nx_rc answered(void *payload, const struct nx_dimse_cmd *rsp, struct nx_err *err)
{
	if (rsp->field != (NX_N_EVENT_REPORT_RQ | NX_DIMSE_RESPONSE))
		return nx_err_set(err, NX_E_MALFORMED, "a response to nothing that was asked");
	*(bool *)payload = true;
	return NX_OK;
}

/* The requester may release instead of an answer: then it has the result, or asks again. */
static nx_rc report_here(struct commitment *c, struct nx_err *err)
{
	struct nx_assoc *assoc = c->assoc;
	struct nx_dimse_cmd cmd = {
		.field = NX_N_EVENT_REPORT_RQ,
		.message_id = 1,
		.dataset_type = NX_DIMSE_HAS_DATASET,
		.event_type = c->event,
		.present = 1u << NX_CMD_FIELD | 1u << NX_CMD_MESSAGE_ID |
			1u << NX_CMD_DATASET_TYPE | 1u << NX_CMD_SOP_CLASS |
			1u << NX_CMD_SOP_INSTANCE | 1u << NX_CMD_EVENT_TYPE,
	};
	bool done = false;
	nx_rc rc;

	(void)snprintf(cmd.sop_class, sizeof(cmd.sop_class), "%s", NX_COMMIT_PUSH_MODEL);
	(void)snprintf(cmd.sop_instance, sizeof(cmd.sop_instance), "%s", NX_COMMIT_WELL_KNOWN);
	rc = nx_assoc_command(assoc, c->op->context->id, &cmd, err);
	if (rc)
		return rc;
	nx_pdu_data_format(
		&assoc->tx, c->op->context->id, false, nx_buf_slice(&c->result), assoc->rq.max_pdu);
	assoc->answered = answered;
	assoc->answered_payload = &done;
	while (!rc && !done && !assoc->release_waits)
		rc = nx_assoc_await(assoc, err);
	assoc->answered = NULL;
	if (!rc && !done)
		nx_log(NX_LOG_WARN, "dimse", "commitment", "%s releases without an answer",
			assoc->io->peer);
	return rc;
}

nx_rc nx_commit_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	struct commitment c = {.assoc = assoc, .op = op, .arena = arena};
	nx_rc rc;

	nx_buf_init(&c.result, REPORT_MAX, NX_BUF_WIPE);
	if (!arena)
		nx_op_fail(op, NX_STATUS_PROCESSING_FAILURE, NULL);
	if (!nx_op_failed(op))
		request_do(&c);
	if (nx_op_failed(op))
		nx_log(NX_LOG_WARN, "dimse", "commitment", "status %04X: %s", op->status,
			op->comment);
	rc = nx_op_respond(assoc, op, err);
	if (!rc && !nx_op_failed(op) && !c.elsewhere)
		rc = report_here(&c, err);
	nx_buf_done(&c.result);
	return rc;
}

/* ---- the answer to what we asked, on an association of the destination's ---- */

static void event_do(struct nx_assoc *assoc, struct nx_dimse_op *op)
{
	const struct nx_dimse_opts *opts = assoc->opts;
	struct nx_err err = {0};
	uint16_t status;
	nx_rc rc = NX_OK;

	if (!instance_check(op))
		return;
	if (opts->authorize)
		rc = opts->authorize(opts->context, assoc->guest.who, op->service->permission,
			op->service->action, assoc->guest.collection, &err);
	if (rc) {
		nx_op_fail(op, nx_rc_dimse(rc), &err);
		return;
	}
	status = NX_STATUS_PROCESSING_FAILURE;
	if (opts->forward)
		status = nx_commit_answer(opts->forward, assoc->rq.calling, op->rq.event_type,
			nx_identifier_bytes(op), op->context->ts[0]);
	if (status)
		nx_op_fail(op, status, NULL);
}

nx_rc nx_commit_event_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err)
{
	if (!nx_op_failed(op))
		event_do(assoc, op);
	return nx_op_respond(assoc, op, err);
}

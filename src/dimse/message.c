#include "dimse/dimse_priv.h"

#include <assert.h>

enum {
	TX_FULL = 64 * 1024 /* responses wait for each other up to here */
};

/* ---- operations ---- */

void nx_op_fail(struct nx_dimse_op *op, unsigned status, const struct nx_err *err)
{
	if (nx_op_failed(op))
		return;
	op->status = (uint16_t)status;
	if (err)
		(void)snprintf(op->comment, sizeof(op->comment), "%s", nx_err_text(err));
	for (char *c = op->comment; *c; c++) {
		if (*c < 0x20 || *c > 0x7e || *c == '\\') /* LO */
			*c = '?';
	}
}

void nx_op_offends(struct nx_dimse_op *op, unsigned status, uint32_t tag)
{
	if (nx_op_failed(op))
		return;
	op->offending = tag;
	nx_op_fail(op, status, NULL);
}

nx_rc nx_assoc_command(
	struct nx_assoc *assoc, uint8_t context, const struct nx_dimse_cmd *cmd, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) bytes;
	nx_rc rc;

	nx_buf_init(&bytes, NX_LIMIT_COMMAND_SET, 0);
	nx_cmd_format(&bytes, cmd);
	rc = nx_buf_check(&bytes, err);
	if (rc)
		return rc;
	nx_pdu_data_format(&assoc->tx, context, true, nx_buf_slice(&bytes), assoc->rq.max_pdu);
	return nx_buf_check(&assoc->tx, err);
}

nx_rc nx_op_answer(struct nx_assoc *assoc, const struct nx_dimse_op *op,
	const struct nx_dimse_cmd *rsp, struct nx_slice dataset, struct nx_err *err)
{
	uint8_t context = op->context->id;
	nx_rc rc = nx_assoc_command(assoc, context, rsp, err);

	if (rc)
		return rc;
	if (nx_cmd_has_dataset(rsp))
		nx_pdu_data_format(&assoc->tx, context, false, dataset, assoc->rq.max_pdu);
	if (assoc->tx.len >= TX_FULL)
		return nx_assoc_write(assoc, err);
	return nx_buf_check(&assoc->tx, err);
}

nx_rc nx_op_pending(struct nx_assoc *assoc, const struct nx_dimse_op *op, unsigned status,
	struct nx_slice dataset, struct nx_err *err)
{
	struct nx_dimse_cmd rsp;

	nx_cmd_response(&rsp, &op->rq, status);
	rsp.dataset_type = NX_DIMSE_HAS_DATASET;
	return nx_op_answer(assoc, op, &rsp, dataset, err);
}

void nx_op_explain(const struct nx_dimse_op *op, struct nx_dimse_cmd *rsp)
{
	if (op->comment[0]) {
		memcpy(rsp->comment, op->comment, sizeof(rsp->comment));
		nx_cmd_mark(rsp, NX_CMD_COMMENT);
	}
	if (op->offending) {
		rsp->offending = op->offending;
		nx_cmd_mark(rsp, NX_CMD_OFFENDING);
	}
	if (op->error_id) {
		rsp->error_id = op->error_id;
		nx_cmd_mark(rsp, NX_CMD_ERROR_ID);
	}
}

nx_rc nx_op_respond(struct nx_assoc *assoc, const struct nx_dimse_op *op, struct nx_err *err)
{
	struct nx_dimse_cmd rsp;

	nx_cmd_response(&rsp, &op->rq, op->status);
	nx_op_explain(op, &rsp);
	return nx_op_answer(assoc, op, &rsp, nx_slice(NULL, 0), err);
}

static struct nx_dimse_op *op_oldest(struct nx_assoc *assoc)
{
	return &assoc->ops[assoc->ops_first];
}

static void op_drop(struct nx_assoc *assoc, struct nx_dimse_op *op)
{
	if (op->service && op->service->drop)
		op->service->drop(op);
	op->service = NULL;
	assert(assoc->ops_n > 0);
	assoc->ops_first = (assoc->ops_first + 1) % NX_ASYNC_MAX;
	assoc->ops_n--;
}

static nx_rc oldest_finish(struct nx_assoc *assoc, struct nx_err *err)
{
	struct nx_dimse_op *op = op_oldest(assoc);
	nx_rc rc;

	assert(!assoc->working);
	assoc->working = op;
	if (op->service)
		rc = op->service->finish(assoc, op, err);
	else
		rc = nx_op_respond(assoc, op, err);
	assoc->working = NULL;
	assoc->operations++;
	assoc->bytes += op->bytes;
	nx_dimse_count(assoc->dimse, NX_COUNT_OPERATIONS, 1);
	nx_dimse_count(assoc->dimse, NX_COUNT_BYTES, op->bytes);
	if (nx_op_failed(op) && op->status >> 12 != 0xb && op->status != NX_STATUS_CANCEL)
		nx_dimse_count(assoc->dimse, NX_COUNT_FAILURES, 1);
	op_drop(assoc, op);
	return rc;
}

nx_rc nx_message_flush(struct nx_assoc *assoc, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	while (!rc && assoc->ops_n > 0 && op_oldest(assoc) != assoc->receiving)
		rc = oldest_finish(assoc, err);
	return rc;
}

void nx_message_done(struct nx_assoc *assoc)
{
	assoc->receiving = NULL;
	while (assoc->ops_n > 0)
		op_drop(assoc, op_oldest(assoc));
}

bool nx_message_idle(const struct nx_assoc *assoc)
{
	return assoc->msg_context == 0 && assoc->pdu_left == 0 && !assoc->in_pdv;
}

/* ---- a message: one command set, then a data set where the command says so ---- */

/* The service of the request, or the status that refuses it. */
static void op_route(struct nx_dimse_op *op)
{
	const struct nx_dimse_cmd *rq = &op->rq;

	op->service = nx_service_find(rq->field, op->context->abstract);
	if (!op->service) {
		nx_op_fail(op,
			nx_service_has_field(rq->field) ? NX_STATUS_CLASS_NOT_SUPPORTED
							: NX_STATUS_UNRECOGNIZED_OPERATION,
			NULL);
		return;
	}
	/* PS3.7 E.1: without an Affected SOP Class UID the handler says what is missing. */
	if (nx_cmd_has(rq, NX_CMD_SOP_CLASS) && strcmp(rq->sop_class, op->context->abstract) != 0)
		nx_op_offends(op, NX_STATUS_CLASS_NOT_SUPPORTED, 0x00000002);
	else if (op->service->dataset && !nx_cmd_has_dataset(rq))
		nx_op_offends(op, NX_STATUS_CANNOT_UNDERSTAND, 0x00000800);
	else if (!op->service->dataset && nx_cmd_has_dataset(rq))
		nx_op_offends(op, NX_STATUS_MISTYPED_ARGUMENT, 0x00000800);
}

static void receiving_end(struct nx_assoc *assoc)
{
	struct nx_dimse_op *op = assoc->receiving;

	assoc->receiving = NULL;
	assoc->msg_context = 0;
	if (op->service && op->service->end && !nx_op_failed(op))
		op->service->end(assoc, op);
}

/* A token may have been revoked since the association began, or have run out. */
static void user_check(struct nx_assoc *assoc, struct nx_dimse_op *op)
{
	const struct nx_dimse_opts *opts = assoc->opts;
	struct nx_err err;
	nx_rc rc = NX_OK;

	if (opts->still && assoc->guest.user_known && !nx_op_failed(op))
		rc = opts->still(opts->context, assoc->guest.who, &err);
	if (rc)
		nx_op_fail(op, nx_rc_dimse(rc), &err);
}

static nx_rc request_begin(
	struct nx_assoc *assoc, const struct nx_dimse_cmd *cmd, struct nx_err *err)
{
	struct nx_dimse_op *op;
	nx_rc rc;

	if (assoc->working && assoc->ops_n == NX_ASYNC_MAX)
		return nx_err_set(
			err, NX_E_LIMIT, "more than %u operations are outstanding", NX_ASYNC_MAX);
	while (!assoc->working && assoc->ops_n >= assoc->window) {
		rc = oldest_finish(assoc, err);
		if (rc)
			return rc;
	}
	op = &assoc->ops[(assoc->ops_first + assoc->ops_n) % NX_ASYNC_MAX];
	*op = (struct nx_dimse_op){.context = assoc->by_id[assoc->msg_context], .rq = *cmd};
	assoc->ops_n++;
	assoc->receiving = op;
	op_route(op);
	user_check(assoc, op);
	if (op->service && op->service->begin && !nx_op_failed(op))
		op->service->begin(assoc, op);
	if (!nx_cmd_has_dataset(cmd))
		receiving_end(assoc);
	return NX_OK;
}

/* What it would cancel may have been answered, and the newest of that number is meant. */
static void cancel(struct nx_assoc *assoc, const struct nx_dimse_cmd *cmd)
{
	for (unsigned i = 0; i < assoc->ops_n; i++) {
		struct nx_dimse_op *op = &assoc->ops[(assoc->ops_first + i) % NX_ASYNC_MAX];

		if (op->rq.message_id == cmd->responded_id)
			op->cancelled = true;
	}
}

/* A whole command set is here.  What it gets wrong is the peer's DIMSE user's fault, and so ours to
 * abort for as a user (PS3.7 C.1, PS3.8 7.3): the default of assoc->abort. */
static nx_rc command_end(struct nx_assoc *assoc, struct nx_err *err)
{
	struct nx_dimse_cmd cmd;
	nx_rc rc;

	rc = nx_cmd_parse(nx_buf_slice(&assoc->command), &cmd, err);
	nx_buf_clear(&assoc->command);
	if (rc)
		return rc;
	if (cmd.field == NX_C_CANCEL_RQ && !nx_cmd_has_dataset(&cmd)) {
		assoc->msg_context = 0;
		cancel(assoc, &cmd);
		return NX_OK;
	}
	if (cmd.field & NX_DIMSE_RESPONSE && assoc->answered && !nx_cmd_has_dataset(&cmd)) {
		assoc->msg_context = 0;
		return assoc->answered(assoc->answered_payload, &cmd, err);
	}
	if (cmd.field & NX_DIMSE_RESPONSE || cmd.field == NX_C_CANCEL_RQ ||
		!nx_cmd_has(&cmd, NX_CMD_MESSAGE_ID))
		return nx_err_set(err, NX_E_MALFORMED,
			"command %04XH is no request that can be answered", cmd.field);
	return request_begin(assoc, &cmd, err);
}

static nx_rc command_bytes(struct nx_assoc *assoc, struct nx_slice bytes, struct nx_err *err)
{
	if (assoc->receiving)
		return nx_err_set(err, NX_E_MALFORMED, "command where a data set must follow");
	if (bytes.n > NX_LIMIT_COMMAND_SET - assoc->command.len)
		return nx_err_set(err, NX_E_LIMIT, "command set is longer than %zu bytes",
			NX_LIMIT_COMMAND_SET);
	nx_buf_put_slice(&assoc->command, bytes);
	return nx_buf_check(&assoc->command, err);
}

static nx_rc data_bytes(struct nx_assoc *assoc, struct nx_slice bytes, struct nx_err *err)
{
	struct nx_dimse_op *op = assoc->receiving;

	if (!op)
		return nx_err_set(err, NX_E_MALFORMED, "data set without a command");
	if (bytes.n > assoc->opts->max_instance - op->bytes)
		return nx_err_set(err, NX_E_LIMIT, "data set is longer than %llu bytes",
			(unsigned long long)assoc->opts->max_instance);
	op->bytes += bytes.n;
	if (bytes.n > 0 && op->service && op->service->data && !nx_op_failed(op))
		op->service->data(assoc, op, bytes);
	return NX_OK;
}

/* ---- PDVs ---- */

static nx_rc pdv_begin(struct nx_assoc *assoc, const uint8_t *p, struct nx_err *err)
{
	struct nx_pdv_header pdv;

	if (!nx_pdv_header_parse(p, &pdv) || pdv.len > assoc->pdu_left - NX_PDV_HEADER_LEN)
		return nx_assoc_violation(assoc, NX_ABORT_INVALID_PARAMETER, err,
			"PDV length does not fit its PDU, %u bytes before the end",
			assoc->pdu_left);
	if (!assoc->by_id[pdv.context])
		return nx_assoc_violation(assoc, NX_ABORT_INVALID_PARAMETER, err,
			"PDV on presentation context %u, which was not accepted", pdv.context);
	if (assoc->msg_context && assoc->msg_context != pdv.context)
		return nx_assoc_violation(assoc, NX_ABORT_UNEXPECTED_PARAMETER, err,
			"PDV on presentation context %u inside a message on %u", pdv.context,
			assoc->msg_context);
	assoc->msg_context = pdv.context;
	assoc->in_pdv = true;
	assoc->pdv_context = pdv.context;
	assoc->pdv_flags = pdv.flags;
	assoc->pdv_left = pdv.len;
	assoc->pdu_left -= NX_PDV_HEADER_LEN;
	return NX_OK;
}

static nx_rc pdv_end(struct nx_assoc *assoc, struct nx_err *err)
{
	assoc->in_pdv = false;
	if (!(assoc->pdv_flags & NX_PDV_LAST))
		return NX_OK;
	if (assoc->pdv_flags & NX_PDV_COMMAND)
		return command_end(assoc, err);
	receiving_end(assoc);
	return NX_OK;
}

static nx_rc pdv_bytes(struct nx_assoc *assoc, struct nx_slice bytes, struct nx_err *err)
{
	nx_rc rc;

	if (bytes.n > assoc->pdv_left)
		bytes.n = assoc->pdv_left;
	if (assoc->pdv_flags & NX_PDV_COMMAND)
		rc = command_bytes(assoc, bytes, err);
	else
		rc = data_bytes(assoc, bytes, err);
	if (rc)
		return rc;
	nx_rx_skip(&assoc->rx, bytes.n);
	assoc->pdv_left -= (uint32_t)bytes.n;
	assoc->pdu_left -= (uint32_t)bytes.n;
	return assoc->pdv_left == 0 ? pdv_end(assoc, err) : NX_OK;
}

nx_rc nx_message_pdu(struct nx_assoc *assoc, uint32_t len, struct nx_err *err)
{
	if (len > assoc->opts->max_pdu)
		return nx_assoc_violation(assoc, NX_ABORT_INVALID_PARAMETER, err,
			"P-DATA-TF of %u bytes, over the %u that were negotiated", len,
			assoc->opts->max_pdu);
	if (len < NX_PDV_HEADER_LEN)
		return nx_assoc_violation(assoc, NX_ABORT_INVALID_PARAMETER, err,
			"P-DATA-TF of %u bytes has no room for a PDV", len);
	assoc->pdu_left = len;
	return NX_OK;
}

nx_rc nx_message_consume(struct nx_assoc *assoc, bool *ret_more, struct nx_err *err)
{
	bool more = false;
	nx_rc rc = NX_OK;

	while (!rc && !more && assoc->pdu_left > 0) {
		struct nx_slice in = nx_rx_slice(&assoc->rx);

		if (assoc->in_pdv) {
			more = in.n == 0;
			if (!more)
				rc = pdv_bytes(assoc, in, err);
		} else if (assoc->pdu_left < NX_PDV_HEADER_LEN) {
			rc = nx_assoc_violation(assoc, NX_ABORT_INVALID_PARAMETER, err,
				"%u bytes after the last PDV of a PDU", assoc->pdu_left);
		} else {
			more = in.n < NX_PDV_HEADER_LEN;
			if (more)
				continue;
			rc = pdv_begin(assoc, in.p, err);
			nx_rx_skip(&assoc->rx, NX_PDV_HEADER_LEN);
			/* An empty fragment takes no bytes to end. */
			if (!rc && assoc->pdv_left == 0)
				rc = pdv_bytes(assoc, nx_slice(in.p, 0), err);
		}
	}
	if (!rc)
		*ret_more = more;
	return rc;
}

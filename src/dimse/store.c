#include "dimse/dimse_priv.h"

#include "base/log.h"
#include "dicom/dicom.h"
#include "ingest/ingest.h"

enum {
	TAG_SOP_CLASS = 0x00000002,
	TAG_SOP_INSTANCE = 0x00001000,
};

/* What the general code of an error does not say for a store (PS3.4 B.2.3). */
static unsigned store_status(nx_rc rc)
{
	switch (rc) {
	case NX_E_INVAL:
	case NX_E_PRECONDITION:
		return NX_STATUS_DATASET_MISMATCH;
	case NX_E_UNSUPPORTED:
	case NX_E_RANGE:
		return NX_STATUS_CANNOT_UNDERSTAND;
	case NX_E_NOENT: /* the collection, not an instance */
		return NX_STATUS_PROCESSING_FAILURE;
	default:
		return nx_rc_dimse(rc);
	}
}

/* Whatever is registered as something else is no storage class; what is not known may be a new or
 * a private one, and is taken. */
bool nx_store_match(const char *sop_class)
{
	return *sop_class && (nx_uid_is_storage(sop_class) || !nx_uid_name(sop_class));
}

static bool command_check(struct nx_dimse_op *op)
{
	if (!nx_cmd_has(&op->rq, NX_CMD_SOP_CLASS))
		nx_op_offends(op, NX_STATUS_MISSING_ATTRIBUTE, TAG_SOP_CLASS);
	else if (!nx_cmd_has(&op->rq, NX_CMD_SOP_INSTANCE))
		nx_op_offends(op, NX_STATUS_INVALID_INSTANCE, TAG_SOP_INSTANCE);
	return !nx_op_failed(op);
}

static void store_fail(struct nx_dimse_op *op, nx_rc rc, const struct nx_err *err)
{
	nx_op_fail(op, store_status(rc), err);
	nx_store_drop(op);
}

void nx_store_begin(struct nx_assoc *assoc, struct nx_dimse_op *op)
{
	const struct nx_ingest_opts opts = {
		.who = assoc->guest.who,
		.collection = assoc->guest.collection,
		.door = "c-store",
		.ts_uid = op->context->ts[0],
		.sop_class = op->rq.sop_class,
		.sop_instance = op->rq.sop_instance,
		.calling_ae = assoc->rq.calling,
	};
	struct nx_ingest_job *job = NULL;
	struct nx_err err = {0};
	nx_rc rc;

	if (!command_check(op))
		return;
	rc = nx_ingest_begin(assoc->opts->ingest, &opts, &job, &err);
	if (rc)
		store_fail(op, rc, &err);
	else
		op->state = job;
}

void nx_store_data(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_slice bytes)
{
	struct nx_err err = {0};
	nx_rc rc;

	(void)assoc;
	rc = nx_ingest_feed(op->state, bytes.p, bytes.n, &err);
	if (rc)
		store_fail(op, rc, &err);
}

void nx_store_end(struct nx_assoc *assoc, struct nx_dimse_op *op)
{
	struct nx_err err = {0};
	nx_rc rc;

	(void)assoc;
	rc = nx_ingest_submit(op->state, &err);
	if (rc)
		store_fail(op, rc, &err);
}

static void result_wait(struct nx_dimse_op *op)
{
	struct nx_ingest_result result = {0};
	struct nx_err err = {0};
	nx_rc rc;

	rc = nx_ingest_wait(op->state, &result, &err);
	if (rc) {
		store_fail(op, rc, &err);
		return;
	}
	if (result.outcome == NX_INGEST_QUARANTINED) {
		/* A failure: the archive does not hold it as the instance it was sent as. */
		nx_err_set(&err, NX_E_QUARANTINED, "%s", result.note);
		nx_op_fail(op, nx_reason_dimse(result.reason), &err);
	}
}

nx_rc nx_store_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err)
{
	if (!nx_op_failed(op))
		result_wait(op);
	if (nx_op_failed(op))
		nx_log(NX_LOG_WARN, "dimse", "store", "status %04X after %llu bytes: %s",
			op->status, (unsigned long long)op->bytes, op->comment);
	return nx_op_respond(assoc, op, err);
}

void nx_store_drop(struct nx_dimse_op *op)
{
	op->state = nx_ingest_job_free(op->state);
}

/* Modality Performed Procedure Step (PS3.4 F.7): what modalities say that they do. */
#include "dicom/step.h"

#include <string.h>

#include "base/log.h"
#include "dimse/dimse_priv.h"
#include "dimse/identifier_priv.h"
#include "ingest/ingest.h"

#define STEP_CLASS "1.2.840.10008.3.1.2.3.3"

enum {
	ERROR_FINAL = 0xa710 /* PS3.4 Table F.7.2-2: may no longer be updated */
};

bool nx_step_match(const char *sop_class)
{
	return strcmp(sop_class, STEP_CLASS) == 0;
}

/* PS3.7 10.1.3.1.6 and 10.1.5.1.6 */
static unsigned fault_status(enum nx_step_why why)
{
	static const uint16_t statuses[] = {
		[NX_STEP_MISSING] = NX_STATUS_MISSING_ATTRIBUTE,
		[NX_STEP_NO_VALUE] = NX_STATUS_MISSING_VALUE,
		[NX_STEP_INVALID] = NX_STATUS_INVALID_VALUE,
		[NX_STEP_NOT_ALLOWED] = NX_STATUS_NO_SUCH_ATTRIBUTE,
		[NX_STEP_FINAL] = NX_STATUS_PROCESSING_FAILURE,
	};

	return statuses[why];
}

static unsigned step_status(nx_rc rc)
{
	static const struct {
		nx_rc rc;
		uint16_t status;
	} statuses[] = {
		{NX_E_EXISTS, NX_STATUS_DUPLICATE_INSTANCE},
		{NX_E_NOENT, NX_STATUS_NO_SUCH_INSTANCE},
		{NX_E_ERASED, NX_STATUS_NO_SUCH_INSTANCE},
		{NX_E_INVAL, NX_STATUS_INVALID_VALUE},
		{NX_E_LIMIT, NX_STATUS_RESOURCE_LIMITATION},
		{NX_E_NOSPACE, NX_STATUS_RESOURCE_LIMITATION},
		{NX_E_NOMEM, NX_STATUS_RESOURCE_LIMITATION},
	};

	for (size_t i = 0; i < NX_ARRAY_LEN(statuses); i++)
		if (statuses[i].rc == rc)
			return statuses[i].status;
	return rc == NX_E_DENIED ? nx_rc_dimse(rc) : NX_STATUS_PROCESSING_FAILURE;
}

static void step_fail(struct nx_dimse_op *op, nx_rc rc, const struct nx_step_fault *fault,
	const struct nx_err *err)
{
	if (fault->why == NX_STEP_FINAL)
		op->error_id = ERROR_FINAL;
	nx_op_fail(op, fault->why ? fault_status(fault->why) : step_status(rc), err);
}

/* A creation may leave the UID to us (PS3.7 10.1.5.1.4); one that is none is no UID left out. */
static bool uid_take(struct nx_dimse_op *op)
{
	bool creates = op->rq.field == NX_N_CREATE_RQ;

	if (nx_cmd_has(&op->rq, NX_CMD_SOP_INSTANCE))
		return true;
	if (!creates || op->rq.instance_given) {
		nx_op_fail(op, NX_STATUS_INVALID_INSTANCE, NULL);
		return false;
	}
	nx_uid_new(op->rq.sop_instance);
	nx_cmd_mark(&op->rq, NX_CMD_SOP_INSTANCE);
	return true;
}

static void step_do(struct nx_assoc *assoc, struct nx_dimse_op *op)
{
	const struct nx_step_request rq = {.who = assoc->guest.who,
		.collection = assoc->guest.collection,
		.uid = op->rq.sop_instance,
		.ts_uid = op->context->ts[0],
		.dataset = nx_identifier_bytes(op)};
	struct nx_step_fault fault = {0};
	struct nx_err err = {0};
	nx_rc rc;

	if (!uid_take(op))
		return;
	if (op->rq.field == NX_N_CREATE_RQ)
		rc = nx_ingest_step_create(assoc->opts->ingest, &rq, &fault, &err);
	else
		rc = nx_ingest_step_set(assoc->opts->ingest, &rq, &fault, &err);
	if (rc)
		step_fail(op, rc, &fault, &err);
}

nx_rc nx_step_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err)
{
	if (!nx_op_failed(op))
		step_do(assoc, op);
	if (nx_op_failed(op))
		nx_log(NX_LOG_WARN, "dimse", "step", "status %04X: %s", op->status, op->comment);
	return nx_op_respond(assoc, op, err);
}

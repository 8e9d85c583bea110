/* Storage Commitment Push Model (PS3.4 Annex J). */
#include "dimse/dimse_priv.h"

#include <time.h>

#include "base/arena.h"
#include "base/log.h"
#include "dicom/dicom.h"
#include "dimse/identifier_priv.h"
#include "dimse/scu.h"

enum {
	ARENA_MAX = 64 * 1024 * 1024,
	REPORT_MAX = 4 * 1024 * 1024,
	ACTION_REQUEST = 1,
	EVENT_ALL = 1, /* all are held */
	EVENT_SOME = 2,
	TRIES = 3,
	NAP_NS = 500 * 1000 * 1000
};

#define TAG_TRANSACTION NX_TAG(0x0008, 0x1195)
#define TAG_FAILED      NX_TAG(0x0008, 0x1198)
#define TAG_REFERENCED  NX_TAG(0x0008, 0x1199)
#define TAG_REASON      NX_TAG(0x0008, 0x1197)
#define TAG_REF_CLASS   NX_TAG(0x0008, 0x1150)
#define TAG_REF_UID     NX_TAG(0x0008, 0x1155)

static const char push_model[] = "1.2.840.10008.1.20.1";
static const char well_known[] = "1.2.840.10008.1.20.1.1";

/* A result that waits for its association. */
struct nx_commit_report {
	struct nx_commit_report *next;
	uint16_t event;
	struct nx_buf dataset;
};

bool nx_commit_match(const char *sop_class)
{
	return strcmp(sop_class, push_model) == 0;
}

struct commitment {
	struct nx_assoc *assoc;
	struct nx_dimse_op *op;
	struct nx_arena *arena;
	const char *transaction;
	struct nx_held *refs;
	size_t n;
	size_t n_failed;
};

/* ---- the request ---- */

static nx_rc refs_take(struct commitment *c, const struct nx_elem *seq, struct nx_err *err)
{
	c->refs = nx_arena_alloc_array(c->arena, seq->n_items, sizeof(*c->refs));
	if (!c->refs)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	for (size_t i = 0; i < seq->n_items; i++) {
		struct nx_held *ref = &c->refs[c->n++];

		ref->sop_class = nx_dataset_text(seq->items[i], TAG_REF_CLASS, c->arena);
		ref->sop_instance = nx_dataset_text(seq->items[i], TAG_REF_UID, c->arena);
		if (!ref->sop_class || !ref->sop_instance)
			return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	}
	return NX_OK;
}

static nx_rc request_parse(struct commitment *c, struct nx_err *err)
{
	const struct nx_elem *seq;
	struct nx_dataset *ds;
	nx_rc rc = nx_dataset_parse(nx_identifier_bytes(c->op), c->op->context->ts[0],
		NX_LIMIT_IDENTIFIER + 1, c->arena, &ds, err);

	if (rc)
		return rc;
	c->transaction = nx_dataset_text(ds, TAG_TRANSACTION, c->arena);
	seq = nx_dataset_find(ds, TAG_REFERENCED);
	if (!c->transaction)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	if (!*c->transaction || !seq || !seq->n_items)
		return nx_err_set(err, NX_E_INVAL, "a request without transaction or references");
	return refs_take(c, seq, err);
}

/* PS3.7 10.1.4.1.10 */
static unsigned action_status(nx_rc rc)
{
	if (rc == NX_E_INVAL)
		return NX_STATUS_MISSING_ATTRIBUTE;
	return rc == NX_E_DENIED ? nx_rc_dimse(rc) : NX_STATUS_PROCESSING_FAILURE;
}

static void request_do(struct commitment *c)
{
	struct nx_dimse_op *op = c->op;
	struct nx_err err = {0};
	nx_rc rc;

	if (!nx_cmd_has(&op->rq, NX_CMD_SOP_INSTANCE) ||
		strcmp(op->rq.sop_instance, well_known) != 0) {
		nx_op_fail(op, NX_STATUS_NO_SUCH_INSTANCE, NULL);
		return;
	}
	if (op->rq.action_type != ACTION_REQUEST) {
		nx_op_fail(op, NX_STATUS_NO_SUCH_ACTION, NULL);
		return;
	}
	rc = request_parse(c, &err);
	if (!rc)
		rc = nx_retrieve_held(c->assoc->opts->retrieve, c->assoc->who, c->assoc->collection,
			c->refs, c->n, &err);
	if (rc)
		nx_op_fail(op, action_status(rc), &err);
	for (size_t i = 0; i < c->n; i++)
		c->n_failed += c->refs[i].reason != 0;
}

/* ---- the result ---- */

static bool item_make(struct commitment *c, const struct nx_held *ref, struct nx_dataset **ret)
{
	const uint8_t reason[] = {(uint8_t)ref->reason, (uint8_t)(ref->reason >> 8)};
	struct nx_dataset *ds = nx_arena_alloc(c->arena, sizeof(*ds));
	struct nx_elem *e = nx_arena_alloc_array(c->arena, 3, sizeof(*e));
	const void *copy = nx_arena_copy(c->arena, reason, sizeof(reason));

	if (!ds || !e || !copy)
		return false;
	e[0] = (struct nx_elem){
		.tag = TAG_REF_CLASS, .vr = NX_VR('U', 'I'), .value = nx_slice_str(ref->sop_class)};
	e[1] = (struct nx_elem){.tag = TAG_REF_UID,
		.vr = NX_VR('U', 'I'),
		.value = nx_slice_str(ref->sop_instance)};
	e[2] = (struct nx_elem){
		.tag = TAG_REASON, .vr = NX_VR('U', 'S'), .value = nx_slice(copy, 2)};
	*ds = (struct nx_dataset){.elems = e, .n = ref->reason ? 3 : 2};
	*ret = ds;
	return true;
}

/* Those that failed, or those that did not. */
static bool sequence_make(struct commitment *c, bool failed, struct nx_elem *ret)
{
	*ret = (struct nx_elem){.tag = failed ? TAG_FAILED : TAG_REFERENCED, .vr = NX_VR('S', 'Q')};
	ret->items = nx_arena_alloc_array(c->arena, c->n, sizeof(struct nx_dataset *));
	if (!ret->items)
		return false;
	for (size_t i = 0; i < c->n; i++)
		if ((c->refs[i].reason != 0) == failed &&
			!item_make(c, &c->refs[i], &ret->items[ret->n_items++]))
			return false;
	return true;
}

static nx_rc result_make(struct commitment *c, struct nx_buf *out, struct nx_err *err)
{
	struct nx_elem elems[3] = {{.tag = TAG_TRANSACTION,
		.vr = NX_VR('U', 'I'),
		.value = nx_slice_str(c->transaction)}};
	struct nx_dataset ds = {.elems = elems, .n = 1};

	if (c->n_failed && !sequence_make(c, true, &elems[ds.n++]))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	if (c->n_failed < c->n && !sequence_make(c, false, &elems[ds.n++]))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	return nx_dataset_write(&ds, nx_ts_find(c->op->context->ts[0]), out, NULL, NULL, err);
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
static nx_rc report_here(
	struct commitment *c, uint16_t event, struct nx_slice dataset, struct nx_err *err)
{
	struct nx_assoc *assoc = c->assoc;
	struct nx_dimse_cmd cmd = {
		.field = NX_N_EVENT_REPORT_RQ,
		.message_id = 1,
		.dataset_type = NX_DIMSE_HAS_DATASET,
		.event_type = event,
		.present = 1u << NX_CMD_FIELD | 1u << NX_CMD_MESSAGE_ID |
			1u << NX_CMD_DATASET_TYPE | 1u << NX_CMD_SOP_CLASS |
			1u << NX_CMD_SOP_INSTANCE | 1u << NX_CMD_EVENT_TYPE,
	};
	bool done = false;
	nx_rc rc;

	memcpy(cmd.sop_class, push_model, sizeof(push_model));
	memcpy(cmd.sop_instance, well_known, sizeof(well_known));
	rc = nx_assoc_command(assoc, c->op->context->id, &cmd, err);
	if (rc)
		return rc;
	nx_pdu_data_format(&assoc->tx, c->op->context->id, false, dataset, assoc->rq.max_pdu);
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

/* ---- on one of its own ---- */

static nx_rc report_keep(
	struct commitment *c, uint16_t event, struct nx_buf *dataset, struct nx_err *err)
{
	struct nx_commit_report *report = malloc(sizeof(*report));
	struct nx_commit_report **last = &c->assoc->reports;

	if (!report)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	*report = (struct nx_commit_report){.event = event, .dataset = *dataset};
	nx_buf_init(dataset, REPORT_MAX, NX_BUF_WIPE);
	while (*last)
		last = &(*last)->next;
	*last = report;
	return NX_OK;
}

static bool goes_on(void *payload)
{
	const struct nx_assoc *assoc = payload;

	return !assoc->io->ops->draining(assoc->io->transport);
}

static nx_rc reports_send(
	struct nx_assoc *assoc, const struct nx_dimse_destination *to, struct nx_err *err)
{
	static const char *const ts[] = {NX_UID_IMPLICIT_VR_LITTLE_ENDIAN};
	static const struct nx_dimse_scu_context context = {push_model, ts, 1};
	const struct nx_dimse_scu_opts opts = {
		.host = to->host,
		.port = to->port,
		.tls = to->tls ? assoc->opts->destination_tls : NULL,
		.calling = to->calling,
		.called = to->ae,
		.implementation_uid = assoc->opts->implementation_uid,
		.contexts = &context,
		.n_contexts = 1,
		.as_scp = true,
		.timeout_us = assoc->opts->destination_us,
		.goes_on = goes_on,
		.payload = assoc,
	};
	NX_AUTO(nx_dimse_scu) *scu = NULL;
	uint16_t status;
	nx_rc rc = nx_dimse_scu_open(&opts, &scu, err);

	while (!rc && assoc->reports) {
		struct nx_commit_report *report = assoc->reports;

		rc = nx_dimse_scu_report(scu, push_model, well_known, report->event,
			nx_buf_slice(&report->dataset), &status, err);
		if (rc)
			return rc;
		assoc->reports = report->next;
		nx_buf_done(&report->dataset);
		free(report);
	}
	return rc ? rc : nx_dimse_scu_release(scu, err);
}

static void reports_drop(struct nx_assoc *assoc)
{
	while (assoc->reports) {
		struct nx_commit_report *report = assoc->reports;

		assoc->reports = report->next;
		nx_buf_done(&report->dataset);
		free(report);
	}
}

void nx_commit_deliver(struct nx_assoc *assoc)
{
	const struct timespec nap = {.tv_nsec = NAP_NS};
	struct nx_dimse_destination to;
	struct nx_err err = {0};
	nx_rc rc = NX_OK;

	for (int i = 0; i < TRIES && assoc->reports && goes_on(assoc); i++) {
		if (i)
			(void)nanosleep(&nap, NULL);
		rc = assoc->opts->destination(
			assoc->opts->destinations, assoc->rq.calling, &to, &err);
		if (!rc)
			rc = reports_send(assoc, &to, &err);
	}
	if (assoc->reports)
		nx_log(NX_LOG_WARN, "dimse", "commitment", "%s is not told: %s", assoc->io->peer,
			nx_err_text(&err));
	reports_drop(assoc);
}

/* Who has an address gets its results there, in the transfer syntax of that association. */
static nx_rc result_send(struct commitment *c, struct nx_err *err)
{
	const struct nx_dimse_opts *opts = c->assoc->opts;
	uint16_t event = c->n_failed ? EVENT_SOME : EVENT_ALL;
	static const char *implicit[] = {NX_UID_IMPLICIT_VR_LITTLE_ENDIAN};
	struct nx_pdu_context own = {.ts = implicit, .n_ts = 1};
	const struct nx_pdu_context *here = c->op->context;
	struct nx_dimse_destination to;
	NX_AUTO_DONE(nx_buf) dataset;
	bool elsewhere = opts->destination &&
		!opts->destination(opts->destinations, c->assoc->rq.calling, &to, NULL);
	nx_rc rc;

	nx_buf_init(&dataset, REPORT_MAX, NX_BUF_WIPE);
	c->op->context = elsewhere ? &own : here;
	rc = result_make(c, &dataset, err);
	c->op->context = here;
	if (rc)
		return rc;
	return elsewhere ? report_keep(c, event, &dataset, err)
			 : report_here(c, event, nx_buf_slice(&dataset), err);
}

nx_rc nx_commit_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	struct commitment c = {.assoc = assoc, .op = op, .arena = arena};
	nx_rc rc;

	if (!arena)
		nx_op_fail(op, NX_STATUS_PROCESSING_FAILURE, NULL);
	if (!nx_op_failed(op))
		request_do(&c);
	if (nx_op_failed(op))
		nx_log(NX_LOG_WARN, "dimse", "commitment", "status %04X: %s", op->status,
			op->comment);
	rc = nx_op_respond(assoc, op, err);
	return rc || nx_op_failed(op) ? rc : result_send(&c, err);
}

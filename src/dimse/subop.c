#include "dimse/subop_priv.h"

#include "base/arena.h"
#include "base/log.h"
#include "dicom/dicom.h"
#include "dimse/identifier_priv.h"

enum {
	ARENA_MAX = 16 * 1024 * 1024,
	GRANT_RELATIONAL = 1, /* PS3.4 C.5.2.1, C.5.3.1 */
	UIDS_MAX = 65000      /* a UI value in explicit VR is 65,534 bytes at most */
};

/* What a retrieval is about is its unique key: there must be one, without wildcards. */
static nx_rc unique_check(struct nx_identifier *id, struct nx_err *err)
{
	const char *value = nx_identifier_unique(id, id->level);

	if (*value && !strpbrk(value, "*?"))
		return NX_OK;
	id->offending = nx_identifier_unique_tag(id->level);
	return nx_err_set(err, NX_E_INVAL, "the unique key of the level is %s",
		*value ? "no value" : "missing");
}

static nx_rc select_instances(struct nx_subops *s, const char *to, uint32_t *ret_offending,
	struct nx_arena *arena, struct nx_err *err)
{
	const struct nx_dimse_op *op = s->op;
	const char *sop_class = op->context->abstract;
	bool relational = nx_assoc_granted(s->assoc, sop_class, GRANT_RELATIONAL) == 1;
	struct nx_selection_keys sel = {.collection = s->assoc->guest.collection, .to = to};
	struct nx_identifier id;
	nx_rc rc = nx_identifier_parse(nx_identifier_bytes(op), op->context->ts[0],
		nx_model_of(sop_class, op->rq.field), relational, arena, &id, err);

	if (!rc)
		rc = unique_check(&id, err);
	*ret_offending = id.offending;
	if (rc)
		return rc;
	sel.level = id.level;
	sel.keys = id.keys;
	sel.n_keys = id.n_keys;
	return nx_retrieve_open_keys(
		s->assoc->opts->retrieve, s->assoc->guest.who, &sel, &s->instances, err);
}

void nx_subops_begin(
	struct nx_subops *s, struct nx_assoc *assoc, struct nx_dimse_op *op, const char *to)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	uint32_t offending = 0;
	struct nx_err err = {0};
	nx_rc rc = NX_E_NOMEM;

	*s = (struct nx_subops){.assoc = assoc, .op = op};
	nx_buf_init(&s->failed_uids, UIDS_MAX, NX_BUF_WIPE);
	if (nx_op_failed(op))
		return;
	if (arena)
		rc = select_instances(s, to, &offending, arena, &err);
	if (!rc) {
		s->n = nx_instances_n(s->instances);
		rc = nx_feed_init(&s->feed, s->instances, &err);
	}
	op->offending = offending;
	if (rc == NX_E_LIMIT || rc == NX_E_NOMEM)
		nx_op_fail(op, NX_STATUS_NO_COUNT, &err);
	else if (rc)
		nx_op_fail(op, nx_identifier_status(rc), &err);
}

void nx_subops_done(struct nx_subops *s)
{
	nx_feed_done(&s->feed);
	s->instances = nx_instances_free(s->instances);
	nx_buf_done(&s->failed_uids);
}

/* ---- responses ---- */

static uint16_t count(size_t n)
{
	return n > UINT16_MAX ? UINT16_MAX : (uint16_t)n;
}

/* PS3.7 9.1.3.1.6 and those after it: what remains is told while something may. */
static void counts_put(const struct nx_subops *s, struct nx_dimse_cmd *rsp)
{
	if (rsp->status == NX_STATUS_PENDING || rsp->status == NX_STATUS_CANCEL) {
		rsp->remaining = count(s->n - s->settled);
		nx_cmd_mark(rsp, NX_CMD_REMAINING);
	}
	rsp->completed = count(s->completed);
	rsp->failed = count(s->failed);
	rsp->warning = count(s->warning);
	nx_cmd_mark(rsp, NX_CMD_COMPLETED);
	nx_cmd_mark(rsp, NX_CMD_FAILED);
	nx_cmd_mark(rsp, NX_CMD_WARNING);
}

static void failed_add(struct nx_subops *s, size_t i)
{
	struct nx_instance_info info;

	nx_instances_info(s->instances, i, &info);
	if (s->failed_uids.len + strlen(info.sop_instance) + 2 > UIDS_MAX)
		return;
	nx_buf_put_str(&s->failed_uids, s->failed_uids.len ? "\\" : "");
	nx_buf_put_str(&s->failed_uids, info.sop_instance);
}

void nx_subops_settle(struct nx_subops *s, size_t i, unsigned status)
{
	struct nx_dimse_cmd rsp;

	s->settled++;
	if (status == NX_STATUS_SUCCESS) {
		s->completed++;
	} else if (status >> 12 == 0xb) {
		s->warning++;
	} else {
		s->failed++;
		failed_add(s, i);
	}
	nx_cmd_response(&rsp, &s->op->rq, NX_STATUS_PENDING);
	counts_put(s, &rsp);
	if (!s->link)
		s->link = nx_op_answer(s->assoc, s->op, &rsp, nx_slice(NULL, 0), &s->link_err);
}

bool nx_subops_goes_on(struct nx_subops *s)
{
	if (!s->link)
		s->link = nx_assoc_poll(s->assoc, &s->link_err);
	return !s->link && !s->op->cancelled;
}

static unsigned final_status(const struct nx_subops *s)
{
	if (nx_op_failed(s->op))
		return s->op->status;
	if (s->op->cancelled && s->settled < s->n)
		return NX_STATUS_CANCEL;
	if (s->unable && s->settled == s->failed)
		return NX_STATUS_NO_SUBOPERATIONS;
	return s->failed || s->warning ? NX_STATUS_SOME_FAILED : NX_STATUS_SUCCESS;
}

/* (0008,0058) Failed SOP Instance UID List, PS3.4 C.4.2.1.4.2. */
static nx_rc failed_list(const struct nx_subops *s, struct nx_buf *out, struct nx_err *err)
{
	struct nx_elem elem = {.tag = NX_TAG(0x0008, 0x0058),
		.vr = NX_VR('U', 'I'),
		.value = nx_buf_slice(&s->failed_uids)};
	const struct nx_dataset ds = {.elems = &elem, .n = 1};

	nx_buf_init(out, (size_t)2 * UIDS_MAX, NX_BUF_WIPE);
	return nx_dataset_write(&ds, nx_ts_find(s->op->context->ts[0]), out, NULL, NULL, err);
}

static nx_rc final_send(struct nx_subops *s, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) list = {0};
	struct nx_dimse_cmd rsp;
	nx_rc rc;

	nx_cmd_response(&rsp, &s->op->rq, s->op->status);
	nx_op_explain(s->op, &rsp);
	counts_put(s, &rsp);
	if (s->failed) {
		rsp.dataset_type = NX_DIMSE_HAS_DATASET;
		rc = failed_list(s, &list, err);
		if (rc)
			return rc;
	}
	return nx_op_answer(s->assoc, s->op, &rsp, nx_buf_slice(&list), err);
}

nx_rc nx_subops_finish(struct nx_subops *s, struct nx_err *err)
{
	struct nx_dimse_op *op = s->op;
	unsigned status;

	if (s->link) {
		if (err)
			*err = s->link_err;
		return s->link;
	}
	if (nx_op_failed(op)) {
		nx_log(NX_LOG_WARN, "dimse", op->service->name, "status %04X: %s", op->status,
			op->comment);
		return nx_op_respond(s->assoc, op, err);
	}
	status = final_status(s);
	nx_op_fail(op, status, NULL);
	if (s->failed || s->warning)
		nx_log(NX_LOG_WARN, "dimse", op->service->name,
			"status %04X: %zu of %zu failed, %zu with warnings", status, s->failed,
			s->n, s->warning);
	return final_send(s, err);
}

#include "dimse/dimse_priv.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "dimse/identifier_priv.h"

enum {
	ARENA_MAX = 16 * 1024 * 1024,
	GRANT_RELATIONAL = 1, /* PS3.4 C.5.1.1 */
	GRANT_DATETIME = 2,
	GRANT_FUZZY = 3
};

struct search {
	struct nx_assoc *assoc;
	struct nx_dimse_op *op;
	unsigned pending;
	int64_t until; /* the peer takes its answers by then: the catalog is held meanwhile */
	nx_rc link;    /* the association failed, not the query */
	struct nx_err link_err;
};

bool nx_find_match(const char *sop_class)
{
	return nx_model_of(sop_class, NX_C_FIND_RQ) != NX_MODEL_NONE;
}

/* A failure stops the query. */
static nx_rc go_on(void *payload, struct nx_err *err)
{
	struct search *s = payload;

	s->link = nx_assoc_poll(s->assoc, &s->link_err);
	if (s->link || s->op->cancelled)
		return nx_err_set(err, NX_E_CLOSED, "the peer wants no more");
	if (nx_mono_us() > s->until)
		return nx_err_set(err, NX_E_TIMEOUT,
			"the query is too long, or its answers are taken too slowly");
	return NX_OK;
}

static nx_rc answer(void *payload, struct nx_slice identifier, struct nx_err *err)
{
	struct search *s = payload;
	nx_rc rc = go_on(s, err);

	if (rc)
		return rc;
	s->link = nx_op_pending(s->assoc, s->op, s->pending, identifier, &s->link_err);
	return s->link ? nx_err_set(err, NX_E_CLOSED, "the association is gone") : NX_OK;
}

static nx_rc search_run(
	struct search *s, const struct nx_identifier *id, bool *ret_more, struct nx_err *err)
{
	const struct nx_assoc *assoc = s->assoc;
	const char *sop_class = s->op->context->abstract;
	const struct nx_find find = {
		.collection = assoc->guest.collection,
		.level = id->level,
		.keys = id->keys,
		.n_keys = id->n_keys,
		.fuzzy = nx_assoc_granted(assoc, sop_class, GRANT_FUZZY) == 1,
		.datetime = nx_assoc_granted(assoc, sop_class, GRANT_DATETIME) == 1,
		.sequences = id->sequences,
		.go_on = go_on,
		.go_on_payload = s,
	};
	const struct nx_find_form form = {
		.wants = id->wants,
		.n_wants = id->n_wants,
		.ts_uid = s->op->context->ts[0],
		.level = id->level_word,
		.retrieve_ae = assoc->rq.called,
		.charset = id->charset,
		.fn = answer,
		.payload = s,
	};

	s->pending = id->partly ? NX_STATUS_PENDING_PARTLY : NX_STATUS_PENDING;
	return nx_retrieve_find_dicom(
		assoc->opts->retrieve, assoc->guest.who, &find, &form, ret_more, err);
}

static void search_do(struct search *s)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	struct nx_dimse_op *op = s->op;
	const char *sop_class = op->context->abstract;
	bool relational = nx_assoc_granted(s->assoc, sop_class, GRANT_RELATIONAL) == 1;
	struct nx_identifier id = {.level = 0};
	struct nx_err err = {0};
	bool more = false;
	nx_rc rc = NX_E_NOMEM;

	if (arena)
		rc = nx_identifier_parse(nx_identifier_bytes(op), op->context->ts[0],
			nx_model_of(sop_class, NX_C_FIND_RQ), relational, arena, &id, &err);
	if (!rc)
		rc = search_run(s, &id, &more, &err);
	if (!rc && more)
		rc = nx_err_set(&err, NX_E_LIMIT, "more than %u matches", NX_LIMIT_QUERY_ROWS);
	op->offending = id.offending;
	if (op->cancelled)
		nx_op_fail(op, NX_STATUS_CANCEL, NULL);
	else if (rc)
		nx_op_fail(op, nx_identifier_status(rc), &err);
}

nx_rc nx_find_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err)
{
	struct search s = {.assoc = assoc, .op = op, .until = nx_mono_us() + assoc->opts->idle_us};

	if (!nx_op_failed(op))
		search_do(&s);
	if (s.link) {
		if (err)
			*err = s.link_err;
		return s.link;
	}
	if (nx_op_failed(op) && op->status != NX_STATUS_CANCEL)
		nx_log(NX_LOG_WARN, "dimse", "find", "status %04X: %s", op->status, op->comment);
	return nx_op_respond(assoc, op, err);
}

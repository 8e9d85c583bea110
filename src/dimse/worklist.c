/* Modality Worklist: C-FIND on what is scheduled (PS3.4 Annex K). */
#include "dimse/dimse_priv.h"

#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "dicom/match.h"
#include "dimse/identifier_priv.h"
#include "retrieve/retrieve.h"

enum {
	KEYS_MAX = 16 * 1024 * 1024,
	ITEM_MAX = 16 * 1024 * 1024
};

#define TAG_CHARSET NX_TAG(0x0008, 0x0005)

struct search {
	struct nx_assoc *assoc;
	struct nx_dimse_op *op;
	const struct nx_dataset *keys;
	struct nx_arena *arena; /* of one item */
	struct nx_buf out;
	size_t n;
	int64_t until; /* the peer takes its answers by then: the catalog is held meanwhile */
	nx_rc link;    /* the association failed, not the query */
	struct nx_err link_err;
};

bool nx_worklist_match(const char *sop_class)
{
	return strcmp(sop_class, "1.2.840.10008.5.1.4.31") == 0;
}

/* What is stored is UTF-8; where that is more than ASCII, the answer says so. */
static nx_rc answer_make(struct search *s, const struct nx_dataset *item, struct nx_err *err)
{
	const struct nx_ts *ts = nx_ts_find(s->op->context->ts[0]);
	struct nx_dataset answer;
	struct nx_elem *elems;
	nx_rc rc = nx_match_select(s->keys, item, s->arena, &answer, err);

	if (rc)
		return rc;
	elems = nx_arena_alloc_array(s->arena, answer.n + 1, sizeof(*elems));
	if (!elems)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a worklist");
	elems[0] = (struct nx_elem){
		.tag = TAG_CHARSET, .vr = NX_VR('C', 'S'), .value = nx_slice_str("ISO_IR 192")};
	if (answer.n)
		memcpy(elems + 1, answer.elems, answer.n * sizeof(*elems));
	answer.elems = elems;
	answer.n++;
	nx_buf_clear(&s->out);
	return nx_dataset_write(&answer, ts, &s->out, NULL, NULL, err);
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

static nx_rc item_answer(void *payload, const struct nx_dataset *item, struct nx_err *err)
{
	struct search *s = payload;
	nx_rc rc;

	nx_arena_reset(s->arena);
	if (++s->n > NX_LIMIT_QUERY_ROWS)
		return nx_err_set(err, NX_E_LIMIT, "more than %u matches", NX_LIMIT_QUERY_ROWS);
	rc = answer_make(s, item, err);
	if (rc)
		return rc;
	s->link = nx_op_pending(
		s->assoc, s->op, NX_STATUS_PENDING, nx_buf_slice(&s->out), &s->link_err);
	return s->link ? nx_err_set(err, NX_E_CLOSED, "the association is gone") : NX_OK;
}

static nx_rc search_run(struct search *s, struct nx_arena *arena, struct nx_err *err)
{
	const struct nx_assoc *assoc = s->assoc;
	struct nx_worklist_find find = {.collection = assoc->guest.collection,
		.fn = item_answer,
		.go_on = go_on,
		.payload = s};
	struct nx_dataset *keys;
	nx_rc rc = nx_dataset_parse(nx_identifier_bytes(s->op), s->op->context->ts[0],
		NX_LIMIT_IDENTIFIER + 1, arena, &keys, err);

	if (rc)
		return rc;
	s->keys = find.keys = keys;
	return nx_retrieve_worklist_find(assoc->opts->retrieve, assoc->guest.who, &find, err);
}

static void search_do(struct search *s)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(KEYS_MAX, NX_ARENA_WIPE);
	struct nx_dimse_op *op = s->op;
	struct nx_err err = {0};
	nx_rc rc = NX_E_NOMEM;

	s->arena = nx_arena_new(ITEM_MAX, NX_ARENA_WIPE);
	nx_buf_init(&s->out, NX_MIB, NX_BUF_WIPE);
	if (arena && s->arena)
		rc = search_run(s, arena, &err);
	if (op->cancelled)
		nx_op_fail(op, NX_STATUS_CANCEL, NULL);
	else if (rc)
		nx_op_fail(op, nx_identifier_status(rc), &err);
	nx_buf_done(&s->out);
	nx_arena_free(s->arena);
}

nx_rc nx_worklist_finish(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_err *err)
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
		nx_log(NX_LOG_WARN, "dimse", "worklist", "status %04X: %s", op->status,
			op->comment);
	return nx_op_respond(assoc, op, err);
}

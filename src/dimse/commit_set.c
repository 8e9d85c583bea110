#include "dimse/commit_priv.h"

#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/rd.h"
#include "dicom/dicom.h"
#include "dimse/dimse_priv.h"
#include "lifecycle/forward.h"

enum {
	ARENA_MAX = 64 * 1024 * 1024
};

#define TAG_TRANSACTION NX_TAG(0x0008, 0x1195)
#define TAG_FAILED      NX_TAG(0x0008, 0x1198)
#define TAG_REFERENCED  NX_TAG(0x0008, 0x1199)
#define TAG_REASON      NX_TAG(0x0008, 0x1197)
#define TAG_REF_CLASS   NX_TAG(0x0008, 0x1150)
#define TAG_REF_UID     NX_TAG(0x0008, 0x1155)

/* ---- reading ---- */

static uint16_t reason_of(const struct nx_dataset *item)
{
	const struct nx_elem *e = nx_dataset_find(item, TAG_REASON);
	struct nx_rd rd = nx_rd(e ? e->value : nx_slice(NULL, 0));
	uint16_t reason;

	return nx_rd_u16le(&rd, &reason) && reason ? reason : NX_STATUS_PROCESSING_FAILURE;
}

static nx_rc refs_take(const struct nx_elem *seq, bool failed, struct nx_arena *arena,
	struct nx_commit_set *set, struct nx_err *err)
{
	for (size_t i = 0; seq && i < seq->n_items; i++) {
		struct nx_held *ref = &set->refs[set->n++];

		ref->sop_class = nx_dataset_text(seq->items[i], TAG_REF_CLASS, arena);
		ref->sop_instance = nx_dataset_text(seq->items[i], TAG_REF_UID, arena);
		ref->reason = failed ? reason_of(seq->items[i]) : 0;
		if (!ref->sop_class || !ref->sop_instance)
			return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	}
	return NX_OK;
}

nx_rc nx_commit_parse(struct nx_slice bytes, const char *ts_uid, struct nx_arena *arena,
	struct nx_commit_set *ret, struct nx_err *err)
{
	const struct nx_elem *held, *failed;
	struct nx_dataset *ds;
	nx_rc rc = nx_dataset_parse(bytes, ts_uid, NX_LIMIT_IDENTIFIER + 1, arena, &ds, err);

	if (rc)
		return rc;
	held = nx_dataset_find(ds, TAG_REFERENCED);
	failed = nx_dataset_find(ds, TAG_FAILED);
	*ret = (struct nx_commit_set){
		.transaction = nx_dataset_text(ds, TAG_TRANSACTION, arena),
		.refs = nx_arena_alloc_array(arena,
			(held ? held->n_items : 0) + (failed ? failed->n_items : 0) + 1,
			sizeof(*ret->refs)),
	};
	if (!ret->transaction || !ret->refs)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	rc = refs_take(held, false, arena, ret, err);
	if (!rc)
		rc = refs_take(failed, true, arena, ret, err);
	if (!rc && (!*ret->transaction || !ret->n))
		rc = nx_err_set(err, NX_E_INVAL, "a commitment without transaction or references");
	return rc;
}

/* ---- writing ---- */

static bool item_make(struct nx_arena *arena, const struct nx_held *ref, struct nx_dataset **ret)
{
	const uint8_t reason[] = {(uint8_t)ref->reason, (uint8_t)(ref->reason >> 8)};
	struct nx_dataset *ds = nx_arena_alloc(arena, sizeof(*ds));
	struct nx_elem *e = nx_arena_alloc_array(arena, 3, sizeof(*e));
	const void *copy = nx_arena_copy(arena, reason, sizeof(reason));

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
static bool sequence_make(
	struct nx_arena *arena, const struct nx_commit_set *set, bool failed, struct nx_elem *ret)
{
	*ret = (struct nx_elem){.tag = failed ? TAG_FAILED : TAG_REFERENCED, .vr = NX_VR('S', 'Q')};
	ret->items = nx_arena_alloc_array(arena, set->n + 1, sizeof(struct nx_dataset *));
	if (!ret->items)
		return false;
	for (size_t i = 0; i < set->n; i++)
		if ((set->refs[i].reason != 0) == failed &&
			!item_make(arena, &set->refs[i], &ret->items[ret->n_items++]))
			return false;
	return true;
}

nx_rc nx_commit_format(const struct nx_commit_set *set, const char *ts_uid, struct nx_arena *arena,
	struct nx_buf *out, struct nx_err *err)
{
	struct nx_elem elems[3] = {{.tag = TAG_TRANSACTION,
		.vr = NX_VR('U', 'I'),
		.value = nx_slice_str(set->transaction)}};
	struct nx_dataset ds = {.elems = elems, .n = 1};

	/* In the order of their tags; a sequence without items is left out. */
	for (int failed = 1; failed >= 0; failed--) {
		if (!sequence_make(arena, set, failed, &elems[ds.n]))
			return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
		ds.n += elems[ds.n].n_items > 0;
	}
	return nx_dataset_write(&ds, nx_ts_find(ts_uid), out, NULL, NULL, err);
}

/* ---- what others answer ---- */

static nx_rc answer_take(struct nx_forward *forward, const char *destination, struct nx_slice bytes,
	const char *ts_uid, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	struct nx_forward_answer answer = {.destination = destination};
	struct nx_forward_ref *refs;
	struct nx_commit_set set;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	rc = nx_commit_parse(bytes, ts_uid, arena, &set, err);
	if (rc)
		return rc;
	refs = nx_arena_alloc_array(arena, set.n, sizeof(*refs));
	if (!refs)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	for (size_t i = 0; i < set.n; i++)
		refs[i] = (struct nx_forward_ref){set.refs[i].sop_instance, set.refs[i].reason};
	answer.txn = set.transaction;
	answer.refs = refs;
	answer.n = set.n;
	return nx_forward_answered(forward, &answer, err);
}

uint16_t nx_commit_answer(struct nx_forward *forward, const char *destination, uint16_t event_type,
	struct nx_slice bytes, const char *ts_uid)
{
	struct nx_err err = {0};
	nx_rc rc;

	if (event_type != NX_COMMIT_ALL && event_type != NX_COMMIT_SOME)
		return NX_STATUS_NO_SUCH_EVENT;
	rc = answer_take(forward, destination, bytes, ts_uid, &err);
	if (!rc)
		return NX_STATUS_SUCCESS;
	nx_log(NX_LOG_WARN, "dimse", "commitment", "the answer of %s: %s", destination,
		nx_err_text(&err));
	return rc == NX_E_INVAL ? NX_STATUS_MISSING_ATTRIBUTE : NX_STATUS_PROCESSING_FAILURE;
}

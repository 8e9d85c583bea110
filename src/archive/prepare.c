/*
 * What a put means in rows: which subject, study and series it belongs to, whether the item is
 * there already.  Runs in the committer, in order, so that what one put makes the next one finds.
 */
#include <assert.h>

#include "archive/prepare_priv.h"

/*
 * Into quarantine.  It has a key of its own, so that it can be discarded alone; the patient it
 * seems to be of is found or made as for an instance, so that an erasure finds it.
 */
static nx_rc prepare_aside(
	struct nx_archive *a, struct group *g, struct nx_put *put, struct nx_err *err)
{
	struct target patient = {.put = put, .domain = (uint32_t)put->collection->domain};
	struct target t = patient;
	struct nx_recipe r;
	nx_rc rc = aside_room(a, g, put, err);

	if (!rc && put->study)
		rc = subject_find(
			a, g, &patient, or_empty(put->study->issuer), put->study->patient_id, err);
	t.subject = subject_id_new();
	if (!rc)
		rc = nx_keys_subject_new(a->keys, t.domain, t.subject, &t.key, err);
	if (!rc)
		rc = item_recipe(put, g->arena, &r, err);
	if (!rc)
		rc = item_rows(a, g, &t, &r, err);
	if (!rc)
		rc = aside_rows(a, g, put, t.subject, patient.subject, &t.key, err);
	nx_key_done(&patient.key);
	nx_key_done(&t.key);
	if (rc)
		return rc;
	put->outcome = NX_PUT_STORED;
	put->ret_subject = patient.subject ? patient.subject : t.subject;
	return NX_OK;
}

static nx_rc prepare_derived(
	struct nx_archive *a, struct group *g, struct nx_put *put, struct nx_err *err)
{
	struct target t = {.put = put, .domain = (uint32_t)put->collection->domain};
	struct nx_recipe r;
	nx_rc rc;

	assert(put->subject && !put->study && !put->series);
	rc = subject_resolve(a, g, &t, err);
	if (!rc)
		rc = item_recipe(put, g->arena, &r, err);
	if (!rc)
		rc = item_replace(a, g, &t, err);
	if (!rc)
		rc = item_rows(a, g, &t, &r, err);
	nx_key_done(&t.key);
	if (rc)
		return rc;
	put->outcome = NX_PUT_STORED;
	put->ret_subject = t.subject;
	return NX_OK;
}

nx_rc prepare_put(struct nx_archive *a, struct group *g, struct nx_put *put, struct nx_err *err)
{
	struct target t = {.put = put, .domain = (uint32_t)put->collection->domain};
	struct nx_recipe r;
	nx_rc rc;

	if (put->aside)
		return prepare_aside(a, g, put, err);
	if (put->derived)
		return prepare_derived(a, g, put, err);
	assert(!put->study == !put->series);
	rc = subject_resolve(a, g, &t, err);
	if (!rc)
		rc = item_recipe(put, g->arena, &r, err);
	if (!rc)
		rc = item_outcome(a, g, &t, &r, err);
	if (!rc && put->outcome != NX_PUT_DUPLICATE && put->outcome != NX_PUT_REJECTED)
		rc = item_store(a, g, &t, &r, err);
	nx_key_done(&t.key);
	if (rc)
		return rc;
	put->ret_subject = t.subject;
	if (put->outcome == NX_PUT_DUPLICATE || put->outcome == NX_PUT_REJECTED) {
		put->ret_item = t.old.id;
		put->ret_version = t.old.version;
	}
	return NX_OK;
}

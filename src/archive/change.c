#include "archive/archive_priv.h"

#include <assert.h>
#include <stdlib.h>

enum {
	CHANGE_ARENA_MAX = 256 * 1024 * 1024
};

struct nx_change *nx_change_new(void)
{
	struct nx_change *change = calloc(1, sizeof(*change));

	if (!change)
		return NULL;
	change->arena = nx_arena_new(CHANGE_ARENA_MAX, NX_ARENA_WIPE);
	if (!change->arena || sem_init(&change->done, 0, 0) < 0) {
		nx_arena_free(change->arena);
		free(change);
		return NULL;
	}
	change->puts_tail = &change->puts;
	change->ops_tail = &change->ops;
	change->entries_tail = &change->entries;
	change->removes_tail = &change->removes;
	return change;
}

struct nx_change *nx_change_free(struct nx_change *change)
{
	if (!change)
		return NULL;
	assert(!change->submitted); /* the committer still has it: wait first */
	for (struct change_put *p = change->puts; p; p = p->next)
		for (size_t i = 0; i < p->put->n_blobs; i++)
			p->put->blobs[i] = nx_blob_free(p->put->blobs[i]);
	(void)sem_destroy(&change->done);
	nx_arena_free(change->arena);
	free(change);
	return NULL;
}

void nx_change_defer(struct nx_change *change)
{
	change->defer = true;
}

nx_rc nx_change_put(struct nx_change *change, struct nx_put *put, struct nx_err *err)
{
	struct change_put *p = nx_arena_alloc(change->arena, sizeof(*p));

	size_t small = change->small_bytes;

	if (!p)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	for (size_t i = 0; i < put->n_blobs; i++)
		small += put->blobs[i]->small_len;
	if (small > CHANGE_SMALL_BYTES)
		return nx_err_set(err, NX_E_LIMIT,
			"change with more than %d bytes of small extents", CHANGE_SMALL_BYTES);
	p->put = put;
	*change->puts_tail = p;
	change->puts_tail = &p->next;
	change->small_bytes = small;
	if (put->aside) /* the next one's bound is looked up among rows that all can see */
		change->defer = false;
	return NX_OK;
}

/* Copies what the values point to. */
static nx_rc op_copy(
	struct nx_arena *arena, const struct nx_op *from, struct nx_op *to, struct nx_err *err)
{
	*to = *from;
	to->vals = nx_arena_alloc_array(arena, from->n, sizeof(*to->vals));
	if (!to->vals)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an operation");
	for (size_t i = 0; i < from->n; i++) {
		to->vals[i] = from->vals[i];
		if (!from->vals[i].s.n)
			continue;
		to->vals[i].s.p = nx_arena_copy(arena, from->vals[i].s.p, from->vals[i].s.n);
		if (!to->vals[i].s.p)
			return nx_err_set(err, NX_E_NOMEM, "no memory for a value");
	}
	return NX_OK;
}

nx_rc nx_change_op(struct nx_change *change, const struct nx_op *op, struct nx_err *err)
{
	struct change_op *o = nx_arena_alloc(change->arena, sizeof(*o));
	nx_rc rc;

	if (!o)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	rc = op_copy(change->arena, op, &o->op, err);
	if (rc)
		return rc;
	*change->ops_tail = o;
	change->ops_tail = &o->next;
	return NX_OK;
}

nx_rc nx_change_entry(struct nx_change *change, const struct nx_entry_draft *draft,
	const struct nx_put *put, struct nx_err *err)
{
	struct change_entry *e = nx_arena_alloc(change->arena, sizeof(*e));
	const char *who = draft->principal ? draft->principal : "";
	bool copied;

	if (!e)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	e->put = put;
	e->draft = *draft;
	e->draft.principal = nx_arena_str(change->arena, who, strlen(who));
	e->draft.study = draft->study
		? nx_arena_str(change->arena, draft->study, strlen(draft->study))
		: NULL;
	e->draft.detail.p = nx_arena_copy(change->arena, draft->detail.p, draft->detail.n);
	copied = e->draft.principal && e->draft.detail.p && (e->draft.study || !draft->study);
	if (!copied)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a ledger entry");
	*change->entries_tail = e;
	change->entries_tail = &e->next;
	return NX_OK;
}

nx_rc group_op(struct group *g, const struct nx_op *op, struct nx_err *err)
{
	nx_rc rc;

	if (g->n_ops == g->cap_ops) {
		size_t cap = g->cap_ops ? g->cap_ops * 2 : 64;
		struct nx_op *ops = nx_arena_alloc_array(g->arena, cap, sizeof(*ops));

		if (!ops)
			return nx_err_set(err, NX_E_NOMEM, "no memory for %zu operations", cap);
		if (g->n_ops)
			memcpy(ops, g->ops, g->n_ops * sizeof(*ops));
		g->ops = ops;
		g->cap_ops = cap;
	}
	rc = op_copy(g->arena, op, &g->ops[g->n_ops], err);
	if (!rc)
		g->n_ops++;
	return rc;
}

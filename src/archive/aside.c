/*
 * Quarantine: input that is storable but wrong is kept as it came, beside its collection and not in
 * it.
 */
#include "archive/archive_priv.h"

#include <stdio.h>

enum {
	ASIDE_WAITING = 1,
	COL_COLLECTION = 2, /* of struct nx_quarantine_row */
	COL_SIZE = 5,
	AAD_LEN = 15
};

static struct nx_slice detail_aad(int64_t number, uint8_t aad[AAD_LEN])
{
	memcpy(aad, "nxaside", sizeof("nxaside")); /* its end is written over */
	for (unsigned i = 0; i < 8; i++)
		aad[7 + i] = (uint8_t)((uint64_t)number >> (8 * i));
	return nx_slice(aad, AAD_LEN);
}

/* The catalog holds all groups before this one; what came before in this one is in its rows. */
nx_rc aside_room(
	struct nx_archive *a, const struct group *g, const struct nx_put *put, struct nx_err *err)
{
	uint64_t n = 0, bytes = 0;
	nx_rc rc = nx_cat_quarantine_totals(a->cat, put->collection->id, &n, &bytes, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < g->n_ops; i++) {
		const struct nx_op *op = &g->ops[i];

		if (op->verb != NX_OP_PUT || op->table != NX_T_QUARANTINE ||
			op->vals[COL_COLLECTION].i != put->collection->id)
			continue;
		n++;
		bytes += (uint64_t)op->vals[COL_SIZE].i;
	}
	if (n >= put->aside->max_items)
		return nx_err_set(err, NX_E_NOSPACE,
			"the quarantine of the collection is full: %llu of %llu items",
			(unsigned long long)n, (unsigned long long)put->aside->max_items);
	if (bytes > put->aside->max_bytes ||
		(uint64_t)put->item->size > put->aside->max_bytes - bytes)
		return nx_err_set(err, NX_E_NOSPACE,
			"the quarantine of the collection is full: %llu of %llu bytes",
			(unsigned long long)bytes, (unsigned long long)put->aside->max_bytes);
	return NX_OK;
}

static nx_rc detail_seal(const struct nx_aside *aside, const struct nx_key *key,
	struct nx_arena *arena, struct nx_slice *ret, struct nx_err *err)
{
	size_t n = aside->detail.n + NX_SEAL_OVERHEAD;
	uint8_t *sealed = nx_arena_alloc(arena, n);
	uint8_t aad[AAD_LEN];

	if (!sealed)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a detail");
	*ret = nx_slice(sealed, n);
	return nx_seal(
		key, detail_aad(aside->number, aad), aside->detail.p, aside->detail.n, sealed, err);
}

nx_rc aside_rows(struct nx_archive *a, struct group *g, const struct nx_put *put, uint64_t subject,
	uint64_t patient, const struct nx_key *key, struct nx_err *err)
{
	uint32_t domain = (uint32_t)put->collection->domain;
	struct nx_quarantine_row row = {
		.id = put->aside->number,
		.time_us = g->now_us,
		.collection = put->collection->id,
		.source = put->aside->source,
		.reason = put->aside->reason,
		.size = put->item->size,
		.state = ASIDE_WAITING,
		.item = put->ret_item,
		.subject = (int64_t)subject,
		.patient = (int64_t)patient,
	};
	char event[64];
	struct nx_op op;
	nx_rc rc = detail_seal(put->aside, key, g->arena, &row.sealed, err);

	if (rc)
		return rc;
	if (nx_op_put_quarantine(&row, g->arena, &op))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a row of quarantine");
	op.domain = domain;
	op.subject = subject;
	rc = group_op(g, &op, err);
	(void)snprintf(event, sizeof(event), "{\"number\":%lld}", (long long)row.id);
	return rc ? rc
		  : event_row(a, g,
			    &(struct event){.kind = "quarantine",
				    .domain = domain,
				    .subject = subject,
				    .detail = event},
			    err);
}

nx_rc nx_archive_aside_detail(struct nx_archive *archive, const struct nx_quarantine_row *row,
	const struct nx_item *item, struct nx_arena *arena, struct nx_slice *ret,
	struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) key = {{0}};
	uint8_t aad[AAD_LEN];
	uint8_t *plain;
	nx_rc rc = nx_keys_subject(
		archive->keys, (uint32_t)item->domain, (uint64_t)row->subject, &key, err);

	if (rc)
		return rc;
	if (row->sealed.n < NX_SEAL_OVERHEAD)
		return nx_err_set(err, NX_E_CORRUPT, "detail of %zu bytes", row->sealed.n);
	plain = nx_arena_alloc(arena, row->sealed.n);
	if (!plain)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a detail");
	*ret = nx_slice(plain, row->sealed.n - NX_SEAL_OVERHEAD);
	return nx_seal_open(
		&key, detail_aad(row->id, aad), row->sealed.p, row->sealed.n, plain, err);
}

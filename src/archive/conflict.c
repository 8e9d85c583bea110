/*
 * What contradicts what was there is kept, made queryable and announced: other bytes under a name,
 * another patient under a study's UID.
 */
#include "archive/archive_priv.h"

enum {
	CONFLICT_OPEN = 1
};

nx_rc event_row(struct nx_archive *a, struct group *g, const char *kind, uint32_t domain,
	uint64_t subject, int64_t study, const char *detail, struct nx_err *err)
{
	const struct nx_event_row row = {
		.id = (int64_t)nx_archive_next_id(a, NX_T_EVENT),
		.time_us = g->now_us,
		.kind = kind,
		.subject = (int64_t)subject,
		.study = study,
		.detail = detail,
	};
	struct nx_op op;

	if (nx_op_put_event(&row, g->arena, &op))
		return nx_err_set(err, NX_E_NOMEM, "no memory for an event");
	op.domain = domain;
	op.subject = subject;
	return group_op(g, &op, err);
}

nx_rc conflict_row(struct nx_archive *a, struct group *g, const struct nx_put *put,
	int64_t old_item, struct nx_err *err)
{
	/* The name is in the items' rows, which an erasure deletes. */
	const struct nx_conflict_row row = {
		.id = (int64_t)nx_archive_next_id(a, NX_T_CONFLICT),
		.collection = put->collection->id,
		.name = "",
		.old_item = old_item,
		.new_item = put->ret_item,
		.time_us = g->now_us,
		.state = CONFLICT_OPEN,
	};
	struct nx_op op;

	if (nx_op_put_conflict(&row, g->arena, &op))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a conflict");
	return group_op(g, &op, err);
}

#include <assert.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/rd.h"
#include "catalog/catalog_priv.h"

/*
 * The values of one operation (docs/formats/CATALOG-OPS.md):
 *
 *   varint  number of values
 *   each    u8 type; INT: zigzag varint; TEXT, BLOB: varint length, bytes; NULL: nothing
 */

static uint64_t zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t v)
{
	return (int64_t)((v >> 1) ^ (v & 1 ? UINT64_MAX : 0));
}

void nx_op_format(const struct nx_op *op, struct nx_buf *out)
{
	nx_buf_put_varint(out, op->n);
	for (unsigned i = 0; i < op->n; i++) {
		const struct nx_val *val = &op->vals[i];

		nx_buf_put_u8(out, val->type);
		if (val->type == NX_VAL_INT)
			nx_buf_put_varint(out, zigzag(val->i));
		else if (val->type != NX_VAL_NULL)
			nx_buf_put_blob(out, val->s);
	}
}

static bool value_parse(struct nx_rd *rd, struct nx_val *ret)
{
	struct nx_val val = {0};
	uint64_t v;

	if (!nx_rd_u8(rd, &val.type))
		return false;
	switch ((enum nx_val_type)val.type) {
	case NX_VAL_NULL:
		break;
	case NX_VAL_INT:
		if (!nx_rd_varint(rd, &v))
			return false;
		val.i = unzigzag(v);
		break;
	case NX_VAL_TEXT:
		if (!nx_rd_blob(rd, &val.s) || (val.s.n && memchr(val.s.p, 0, val.s.n)))
			return false;
		break;
	case NX_VAL_BLOB:
		if (!nx_rd_blob(rd, &val.s))
			return false;
		break;
	default: /* from outside, not one of ours */
		return false;
	}
	*ret = val;
	return true;
}

static bool type_fits(const struct nx_val *val, const struct cat_column *col)
{
	return val->type == col->type || val->type == NX_VAL_NULL;
}

/* The pairs (column number, value) of SET and ADD; no column twice. */
static bool pairs_fit(const struct nx_op *op, const struct cat_table *table)
{
	uint64_t seen = 0;

	if (op->n <= table->n_pk || (op->n - table->n_pk) % 2)
		return false;
	for (unsigned i = table->n_pk; i < op->n; i += 2) {
		const struct nx_val *col = &op->vals[i];
		const struct nx_val *val = &op->vals[i + 1];

		if (col->type != NX_VAL_INT || col->i < table->n_pk || col->i >= table->n_cols)
			return false;
		if (seen & (1ull << col->i) || !type_fits(val, &table->cols[col->i]))
			return false;
		if (op->verb == NX_OP_ADD && val->type != NX_VAL_INT)
			return false;
		seen |= 1ull << col->i;
	}
	return true;
}

static bool verb_fits(const struct nx_op *op, const struct cat_table *table)
{
	switch ((enum nx_op_verb)op->verb) {
	case NX_OP_PUT:
		return op->n > table->n_pk && op->n <= table->n_cols;
	case NX_OP_DEL:
		return op->n == table->n_pk;
	case NX_OP_SET:
	case NX_OP_ADD:
		return pairs_fit(op, table);
	case NX_OP_PURGE:
		return op->n == 1 && nx_cat_column(table, "subject") >= 0;
	}
	return false;
}

nx_rc nx_op_check(const struct nx_op *op, struct nx_err *err)
{
	const struct cat_table *table = nx_cat_table(op->table);
	unsigned leading;

	if (!table)
		return nx_err_set(err, NX_E_MALFORMED, "row operation: no table %u", op->table);
	if (!verb_fits(op, table))
		return nx_err_set(err, NX_E_MALFORMED,
			"row operation on %s: verb %u with %u values", table->name, op->verb,
			op->n);
	leading = op->verb == NX_OP_PUT ? op->n : table->n_pk;
	if (op->verb == NX_OP_PURGE)
		return op->vals[0].type == NX_VAL_INT
			? NX_OK
			: nx_err_set(err, NX_E_MALFORMED, "purge of %s: type of the subject",
				  table->name);
	for (unsigned i = 0; i < leading; i++)
		if (!type_fits(&op->vals[i], &table->cols[i]))
			return nx_err_set(err, NX_E_MALFORMED, "row operation on %s: type of %s",
				table->name, table->cols[i].name);
	return NX_OK;
}

nx_rc nx_op_parse(struct nx_rd *rd, uint8_t verb, uint8_t table, struct nx_arena *arena,
	struct nx_op *ret_op, struct nx_err *err)
{
	struct nx_op op = {.verb = verb, .table = table};
	struct nx_rd at = *rd;
	uint64_t n;
	nx_rc rc;

	if (!nx_rd_varint(&at, &n) || n > NX_LIMIT_OP_VALUES)
		return nx_err_set(err, NX_E_MALFORMED, "row operation: number of values");
	op.n = (uint16_t)n;
	op.vals = nx_arena_alloc_array(arena, n ? (size_t)n : 1, sizeof(*op.vals));
	if (!op.vals)
		return nx_err_set(err, NX_E_NOMEM, "no memory for row operation");
	for (unsigned i = 0; i < op.n; i++)
		if (!value_parse(&at, &op.vals[i]))
			return nx_err_set(err, NX_E_MALFORMED, "row operation: value %u", i);

	rc = nx_op_check(&op, err);
	if (rc)
		return rc;
	*rd = at;
	*ret_op = op;
	return NX_OK;
}

/* ---- structs to operations and back, by the column tables ---- */

static struct nx_val member_get(const void *row, const struct cat_column *col)
{
	const char *at = (const char *)row + col->offset;

	switch ((enum nx_val_type)col->type) {
	case NX_VAL_INT:
		return nx_val_int(*(const int64_t *)(const void *)at);
	case NX_VAL_TEXT:
		return nx_val_text(*(const char *const *)(const void *)at);
	case NX_VAL_BLOB:
		return nx_val_blob(*(const struct nx_slice *)(const void *)at);
	case NX_VAL_NULL:
		break;
	}
	return (struct nx_val){0};
}

static bool member_set(
	void *row, const struct cat_column *col, const struct nx_val *val, struct nx_arena *arena)
{
	char *at = (char *)row + col->offset;
	const char *text;

	switch ((enum nx_val_type)col->type) {
	case NX_VAL_INT:
		*(int64_t *)(void *)at = val ? val->i : 0;
		return true;
	case NX_VAL_TEXT:
		text = val && val->s.n ? nx_arena_str(arena, (const char *)val->s.p, val->s.n) : "";
		*(const char **)(void *)at = text;
		return text != NULL;
	case NX_VAL_BLOB:
		*(struct nx_slice *)(void *)at = val ? val->s : (struct nx_slice){0};
		return true;
	case NX_VAL_NULL:
		break;
	}
	return false;
}

nx_rc nx_op_row(const struct nx_op *op, struct nx_arena *arena, void *ret_row, struct nx_err *err)
{
	const struct cat_table *table = nx_cat_table(op->table);

	if (!table || op->verb != NX_OP_PUT || op->n > table->n_cols)
		return nx_err_set(err, NX_E_INVAL, "not a row of table %u", op->table);
	memset(ret_row, 0, table->row_size);
	for (unsigned i = 0; i < table->n_cols; i++)
		if (!member_set(ret_row, &table->cols[i], i < op->n ? &op->vals[i] : NULL, arena))
			return nx_err_set(
				err, NX_E_NOMEM, "no memory for a row of %s", table->name);
	return NX_OK;
}

static nx_rc put(enum nx_table number, const void *row, struct nx_arena *arena, struct nx_op *ret)
{
	const struct cat_table *table = nx_cat_table(number);
	struct nx_val *vals = nx_arena_alloc_array(arena, table->n_cols, sizeof(*vals));

	if (!vals)
		return NX_E_NOMEM;
	for (unsigned i = 0; i < table->n_cols; i++)
		vals[i] = member_get(row, &table->cols[i]);
	*ret = (struct nx_op){
		.verb = NX_OP_PUT, .table = (uint8_t)number, .n = table->n_cols, .vals = vals};
	return NX_OK;
}

/* The values are sealed under the subject's key in group records. */
static nx_rc put_of_subject(enum nx_table number, const void *row, uint32_t domain,
	uint64_t subject, struct nx_arena *arena, struct nx_op *ret)
{
	nx_rc rc = put(number, row, arena, ret);

	if (rc)
		return rc;
	ret->domain = domain;
	ret->subject = subject;
	return NX_OK;
}

nx_rc nx_op_put_subject(const struct nx_subject_row *row, struct nx_arena *arena, struct nx_op *ret)
{
	return put_of_subject(
		NX_T_SUBJECT, row, (uint32_t)row->domain, (uint64_t)row->subject, arena, ret);
}

nx_rc nx_op_put_study(
	const struct nx_study *row, uint32_t domain, struct nx_arena *arena, struct nx_op *ret)
{
	return put_of_subject(NX_T_STUDY, row, domain, (uint64_t)row->subject, arena, ret);
}

nx_rc nx_op_put_series(const struct nx_series *row, uint32_t domain, uint64_t subject,
	struct nx_arena *arena, struct nx_op *ret)
{
	return put_of_subject(NX_T_SERIES, row, domain, subject, arena, ret);
}

nx_rc nx_op_put_item(const struct nx_item *row, struct nx_arena *arena, struct nx_op *ret)
{
	return put_of_subject(
		NX_T_ITEM, row, (uint32_t)row->domain, (uint64_t)row->subject, arena, ret);
}

#define DEFINE_PUT(name, row_struct, table)                                              \
	nx_rc nx_op_put_##name(                                                          \
		const struct row_struct *row, struct nx_arena *arena, struct nx_op *ret) \
	{                                                                                \
		return put(table, row, arena, ret);                                      \
	}

DEFINE_PUT(collection, nx_collection, NX_T_COLLECTION)
DEFINE_PUT(blob, nx_blob_row, NX_T_BLOB)
DEFINE_PUT(pack, nx_pack_row, NX_T_PACK)
DEFINE_PUT(principal, nx_principal_row, NX_T_PRINCIPAL)
DEFINE_PUT(ae, nx_ae_row, NX_T_AE)
DEFINE_PUT(destination, nx_destination_row, NX_T_DESTINATION)
DEFINE_PUT(forward, nx_forward_row, NX_T_FORWARD)
DEFINE_PUT(delivery, nx_delivery_row, NX_T_DELIVERY)
DEFINE_PUT(event, nx_event_row, NX_T_EVENT)
DEFINE_PUT(feed, nx_feed_row, NX_T_FEED)
DEFINE_PUT(commitment, nx_commitment_row, NX_T_COMMITMENT)
DEFINE_PUT(step, nx_step_row, NX_T_STEP)
DEFINE_PUT(worklist, nx_worklist_row, NX_T_WORKLIST)
DEFINE_PUT(quarantine, nx_quarantine_row, NX_T_QUARANTINE)
DEFINE_PUT(tag, nx_tag_row, NX_T_TAG)
DEFINE_PUT(release, nx_release_row, NX_T_RELEASE)
DEFINE_PUT(lease, nx_lease_row, NX_T_LEASE)
DEFINE_PUT(edit, nx_edit_row, NX_T_EDIT)
DEFINE_PUT(rejection, nx_rejection_row, NX_T_REJECTION)
DEFINE_PUT(conflict, nx_conflict_row, NX_T_CONFLICT)

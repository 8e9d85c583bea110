#include "base/arena.h"
#include "catalog/catalog_priv.h"

int nx_row_bind(sqlite3_stmt *stmt, int at, const struct nx_val *val, uint8_t column_type)
{
	/* An empty slice may have no address, which SQLite would take for NULL. */
	const void *p = val->s.n ? (const void *)val->s.p : "";

	switch ((enum nx_val_type)column_type) {
	case NX_VAL_INT:
		return sqlite3_bind_int64(stmt, at, val->i);
	case NX_VAL_TEXT:
		return sqlite3_bind_text64(stmt, at, p, val->s.n, SQLITE_STATIC, SQLITE_UTF8);
	case NX_VAL_BLOB:
		return sqlite3_bind_blob64(stmt, at, p, val->s.n, SQLITE_STATIC);
	case NX_VAL_NULL:
		break;
	}
	return SQLITE_MISUSE;
}

/* The bytes of a text or blob column, copied. */
static bool column_copy(
	sqlite3_stmt *stmt, int at, uint8_t type, struct nx_arena *arena, struct nx_slice *ret)
{
	const void *p = type == NX_VAL_TEXT ? (const void *)sqlite3_column_text(stmt, at)
					    : sqlite3_column_blob(stmt, at);
	size_t n = (size_t)sqlite3_column_bytes(stmt, at);
	const char *copy = "";

	if (n)
		copy = p ? nx_arena_str(arena, p, n) : NULL;
	*ret = nx_slice(copy, n);
	return copy != NULL;
}

nx_rc nx_row_read(sqlite3_stmt *stmt, int first, const struct cat_table *table,
	struct nx_arena *arena, void *ret_row, struct nx_err *err)
{
	for (int i = 0; i < table->n_cols; i++) {
		const struct cat_column *col = &table->cols[i];
		void *at = (char *)ret_row + col->offset;
		struct nx_slice s;

		if (col->type == NX_VAL_INT) {
			*(int64_t *)at = sqlite3_column_int64(stmt, first + i);
			continue;
		}
		if (!column_copy(stmt, first + i, col->type, arena, &s))
			return nx_err_set(
				err, NX_E_NOMEM, "no memory for a row of %s", table->name);
		if (col->type == NX_VAL_TEXT)
			*(const char **)at = (const char *)s.p;
		else
			*(struct nx_slice *)at = s;
	}
	return NX_OK;
}

nx_rc nx_row_read_op(sqlite3_stmt *stmt, unsigned table, struct nx_arena *arena,
	struct nx_op *ret_op, struct nx_err *err)
{
	const struct cat_table *desc = nx_cat_table(table);
	struct nx_val *vals = nx_arena_alloc_array(arena, desc->n_cols, sizeof(*vals));

	if (!vals)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a row of %s", desc->name);
	for (int i = 0; i < desc->n_cols; i++) {
		vals[i].type = desc->cols[i].type;
		if (vals[i].type == NX_VAL_INT)
			vals[i].i = sqlite3_column_int64(stmt, i);
		else if (!column_copy(stmt, i, vals[i].type, arena, &vals[i].s))
			return nx_err_set(err, NX_E_NOMEM, "no memory for a row of %s", desc->name);
	}
	*ret_op = (struct nx_op){
		.verb = NX_OP_PUT, .table = (uint8_t)table, .n = desc->n_cols, .vals = vals};
	return NX_OK;
}

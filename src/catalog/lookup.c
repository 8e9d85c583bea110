#include "base/arena.h"
#include "base/limits.h"
#include "catalog/catalog_priv.h"

/* SELECT <all columns of the table> FROM <table> + rest. */
static const struct {
	uint8_t table;
	const char *rest;
} stmts[CAT_S_COUNT] = {
	[CAT_S_KV] = {NX_T_KV, "WHERE key = ?1"},
	[CAT_S_COLLECTION] = {NX_T_COLLECTION, "WHERE name = ?1"},
	[CAT_S_COLLECTION_ID] = {NX_T_COLLECTION, "WHERE id = ?1"},
	[CAT_S_SUBJECT] = {NX_T_SUBJECT, "WHERE domain = ?1 AND issuer = ?2 AND patient_id = ?3"},
	[CAT_S_STUDY] = {NX_T_STUDY, "WHERE collection = ?1 AND uid = ?2"},
	[CAT_S_STUDY_ID] = {NX_T_STUDY, "WHERE id = ?1"},
	[CAT_S_SERIES] = {NX_T_SERIES, "WHERE study = ?1 AND uid = ?2"},
	[CAT_S_SERIES_ELSEWHERE] = {NX_T_SERIES,
		"WHERE uid = ?1 AND study <> ?2 AND n_instances > 0 AND EXISTS (SELECT 1 FROM "
		"study st WHERE st.id = series.study AND st.collection = ?3) ORDER BY id LIMIT 1"},
	[CAT_S_SERIES_ID] = {NX_T_SERIES, "WHERE id = ?1"},
	[CAT_S_ITEM_LATEST] = {NX_T_ITEM,
		"WHERE subject = ?2 AND collection = ?1 AND nx_hash(name) = nx_hash(?3) "
		"AND name = ?3 ORDER BY version DESC LIMIT 1"},
	[CAT_S_OBJECT] = {NX_T_ITEM,
		"WHERE collection = ?1 AND series = 0 AND name = ?2 AND state = 1 "
		"ORDER BY version DESC LIMIT 1"},
	[CAT_S_ITEM_ID] = {NX_T_ITEM, "WHERE id = ?1"},
	/* series > 0 is what lets SQLite use the partial index */
	[CAT_S_ITEM_IN_SERIES] = {NX_T_ITEM,
		"WHERE series = ?1 AND series > 0 AND nx_hash(name) = nx_hash(?2) AND name = ?2 "
		"AND state = 1 ORDER BY version DESC LIMIT 1"},
	[CAT_S_ITEM_OF_SERIES] = {NX_T_ITEM,
		"WHERE series = ?1 AND series > 0 AND state = 1 ORDER BY nx_hash(name) LIMIT 1"},
	[CAT_S_BLOB] = {NX_T_BLOB, "WHERE id = ?1"},
	[CAT_S_TAG] = {NX_T_TAG, "WHERE tag = ?1"},
	[CAT_S_TAGS_IN] = {NX_T_TAG, "WHERE tag >= ?1 AND tag <= ?2 ORDER BY tag"},
	[CAT_S_PRINCIPAL] = {NX_T_PRINCIPAL, "WHERE token_hash = ?1"},
	[CAT_S_AE] = {NX_T_AE, "WHERE ae = ?1 AND called = ?2"},
	[CAT_S_DESTINATION] = {NX_T_DESTINATION, "WHERE ae = ?1"},
	[CAT_S_EDIT] = {NX_T_EDIT, "WHERE item = ?1"},
	[CAT_S_REJECTION] = {NX_T_REJECTION, "WHERE item = ?1"},
	[CAT_S_REJECTIONS] = {NX_T_REJECTION,
		"WHERE collection = ?1 AND item > ?2 ORDER BY item LIMIT ?3"},
	[CAT_S_CONFLICT_LIKE] = {NX_T_CONFLICT,
		"WHERE kind = ?1 AND subject = ?2 AND mark = ?3 AND (?4 = 0 OR study = ?4) "
		"ORDER BY id LIMIT 1"},
	[CAT_S_COLLECTIONS] = {NX_T_COLLECTION, "ORDER BY name"},
	/* Series Number is an integer string (PS3.5 6.2): by value. */
	[CAT_S_SERIES_OF] = {NX_T_SERIES,
		"WHERE study = ?1 ORDER BY CAST(number AS INTEGER), number, id"},
	[CAT_S_ITEMS_OF] = {NX_T_ITEM,
		"WHERE series = ?1 AND series > 0 AND state = 1 ORDER BY number, name"},
	[CAT_S_ITEMS_KEPT_OF] = {NX_T_ITEM,
		"WHERE series = ?1 AND series > 0 AND state IN (1, 7) ORDER BY number, name"},
	[CAT_S_ITEMS_OF_SUBJECT] = {NX_T_ITEM, "WHERE subject = ?1 ORDER BY collection, id"},
	[CAT_S_OBJECTS] = {NX_T_ITEM,
		"WHERE collection = ?1 AND series = 0 AND name > ?2 AND name >= ?3 AND "
		"substr(name, 1, length(?3)) = ?3 AND name < ?4 AND state = 1 ORDER BY name "
		"LIMIT ?5"},
	[CAT_S_ITEMS_ALL] = {NX_T_ITEM, "WHERE id > ?1 ORDER BY id LIMIT ?2"},
	[CAT_S_BLOBS_ALL] = {NX_T_BLOB, "WHERE id > ?1 ORDER BY id LIMIT ?2"},
	[CAT_S_STUDIES_ALL] = {NX_T_STUDY, "WHERE id > ?1 ORDER BY id LIMIT ?2"},
	[CAT_S_SERIES_ALL] = {NX_T_SERIES, "WHERE id > ?1 ORDER BY id LIMIT ?2"},
	[CAT_S_PACKS] = {NX_T_PACK, "ORDER BY id"},
	[CAT_S_QUARANTINE] = {NX_T_QUARANTINE,
		"WHERE id > ?1 AND (?2 = 0 OR collection = ?2) AND (?3 = 0 OR reason = ?3) "
		"ORDER BY id LIMIT ?4"},
	[CAT_S_CONFLICTS] = {NX_T_CONFLICT,
		"WHERE id > ?1 AND (?2 = 0 OR collection = ?2) ORDER BY id LIMIT ?3"},
	[CAT_S_DELIVERIES] = {NX_T_DELIVERY,
		"WHERE id > ?1 AND (?2 = 0 OR state = ?2) AND (?3 = '' OR destination = ?3) "
		"ORDER BY id LIMIT ?4"},
	/* Beside a minimum SQLite takes other columns from the row that has it. */
	[CAT_S_DELIVERIES_FIRST] = {NX_T_DELIVERY,
		"WHERE id IN (SELECT id FROM (SELECT id, min(due_us) FROM delivery "
		"WHERE state < 3 GROUP BY destination))"},
	[CAT_S_COMMITMENTS_BEFORE] = {NX_T_COMMITMENT,
		"WHERE created_us < ?1 ORDER BY created_us LIMIT ?2"},
	[CAT_S_FEED] = {NX_T_FEED,
		"WHERE collection = ?1 AND number > ?2 ORDER BY number LIMIT ?3"},
	[CAT_S_WORKLIST_MISSING] = {NX_T_ITEM,
		"WHERE collection = ?1 AND series = 0 AND name > ?2 AND name >= ?3 AND name < ?4 "
		"AND state = 1 AND NOT EXISTS (SELECT 1 FROM worklist w WHERE "
		"w.collection = item.collection AND w.name = item.name) ORDER BY name LIMIT ?5"},
	[CAT_S_WORKLIST_OVERDUE] = {NX_T_WORKLIST,
		"WHERE state = ?1 AND since < ?2 ORDER BY since, collection, name, number "
		"LIMIT ?3"},
};

const struct cat_table *nx_cat_stmt_table(enum cat_stmt which)
{
	return nx_cat_table(stmts[which].table);
}

static nx_rc prepare_cached(struct conn *conn, enum cat_stmt which, struct nx_err *err)
{
	const struct cat_table *table = nx_cat_stmt_table(which);
	NX_AUTO_DONE(nx_buf) sql;

	nx_buf_init(&sql, 16 * NX_KIB, 0);
	nx_buf_put_str(&sql, "SELECT ");
	nx_cat_put_columns(&sql, table, NULL);
	nx_buf_printf(&sql, " FROM %s %s", table->name, stmts[which].rest);
	return nx_sql_prepare(conn->db, &sql, true, &conn->stmts[which], err);
}

nx_rc nx_cat_stmt(struct conn *conn, enum cat_stmt which, const struct nx_val *args, size_t n_args,
	sqlite3_stmt **ret_stmt, struct nx_err *err)
{
	nx_rc rc = conn->stmts[which] ? NX_OK : prepare_cached(conn, which, err);
	int sq = SQLITE_OK;

	if (rc)
		return rc;
	for (size_t i = 0; i < n_args && !sq; i++)
		sq = nx_row_bind(conn->stmts[which], (int)i + 1, &args[i],
			args[i].type == NX_VAL_NULL ? NX_VAL_TEXT : args[i].type);
	if (sq)
		return nx_sql_err(err, sq, "bind");
	*ret_stmt = conn->stmts[which];
	return NX_OK;
}

static nx_rc step_one(sqlite3_stmt *stmt, const struct cat_table *table, struct nx_arena *arena,
	void *ret_row, struct nx_err *err)
{
	int sq = sqlite3_step(stmt);

	if (sq == SQLITE_ROW)
		return nx_row_read(stmt, 0, table, arena, ret_row, err);
	if (sq == SQLITE_DONE)
		return nx_err_set(err, NX_E_NOENT, "no such %s", table->name);
	return nx_sql_err(err, sq, table->name);
}

/* The one row of `which`; `ret_row` is the table's struct. */
static nx_rc lookup(struct nx_cat *cat, enum cat_stmt which, const struct nx_val *args,
	size_t n_args, struct nx_arena *arena, void *ret_row, struct nx_err *err)
{
	union {
		int64_t align;
		char b[512];
	} row;
	const struct cat_table *table = nx_cat_stmt_table(which);
	struct conn *conn;
	sqlite3_stmt *stmt = NULL;
	nx_rc rc = nx_cat_take_conn(cat, &conn, err);

	if (rc)
		return rc;
	rc = nx_cat_stmt(conn, which, args, n_args, &stmt, err);
	if (!rc) {
		rc = step_one(stmt, table, arena, &row, err);
		sqlite3_reset(stmt);
		(void)sqlite3_clear_bindings(stmt);
	}
	nx_cat_give_conn(cat, conn);
	if (!rc)
		memcpy(ret_row, &row, table->row_size);
	return rc;
}

#define LOOKUP(which, ret, ...)                                                                   \
	lookup(cat, which, (const struct nx_val[]){__VA_ARGS__},                                  \
		sizeof((const struct nx_val[]){__VA_ARGS__}) / sizeof(struct nx_val), arena, ret, \
		err)

nx_rc nx_cat_collection(struct nx_cat *cat, const char *name, struct nx_arena *arena,
	struct nx_collection *ret, struct nx_err *err)
{
	return LOOKUP(CAT_S_COLLECTION, ret, nx_val_text(name));
}

nx_rc nx_cat_collection_by_id(struct nx_cat *cat, int64_t id, struct nx_arena *arena,
	struct nx_collection *ret, struct nx_err *err)
{
	return LOOKUP(CAT_S_COLLECTION_ID, ret, nx_val_int(id));
}

nx_rc nx_cat_subject(struct nx_cat *cat, int64_t domain, const char *issuer, const char *patient_id,
	struct nx_arena *arena, struct nx_subject_row *ret, struct nx_err *err)
{
	return LOOKUP(CAT_S_SUBJECT, ret, nx_val_int(domain), nx_val_text(issuer),
		nx_val_text(patient_id));
}

nx_rc nx_cat_edit(struct nx_cat *cat, int64_t item, struct nx_arena *arena, struct nx_edit_row *ret,
	struct nx_err *err)
{
	return LOOKUP(CAT_S_EDIT, ret, nx_val_int(item));
}

nx_rc nx_cat_rejection(struct nx_cat *cat, int64_t item, struct nx_arena *arena,
	struct nx_rejection_row *ret, struct nx_err *err)
{
	return LOOKUP(CAT_S_REJECTION, ret, nx_val_int(item));
}

nx_rc nx_cat_conflict_like(struct nx_cat *cat, const struct nx_conflict_row *like,
	struct nx_arena *arena, struct nx_conflict_row *ret, struct nx_err *err)
{
	return LOOKUP(CAT_S_CONFLICT_LIKE, ret, nx_val_int(like->kind), nx_val_int(like->subject),
		nx_val_int(like->mark), nx_val_int(like->study));
}

nx_rc nx_cat_subject_find(struct nx_cat *cat, int64_t domain, const char *issuer,
	const char *patient_id, uint64_t *ret_subject, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(64 * NX_KIB, NX_ARENA_WIPE);
	struct nx_subject_row row;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a subject");
	rc = nx_cat_subject(cat, domain, issuer, patient_id, arena, &row, err);
	if (!rc)
		*ret_subject = (uint64_t)row.subject;
	return rc;
}

nx_rc nx_cat_study(struct nx_cat *cat, int64_t collection, const char *uid, struct nx_arena *arena,
	struct nx_study *ret, struct nx_err *err)
{
	return LOOKUP(CAT_S_STUDY, ret, nx_val_int(collection), nx_val_text(uid));
}

nx_rc nx_cat_study_by_id(struct nx_cat *cat, int64_t id, struct nx_arena *arena,
	struct nx_study *ret, struct nx_err *err)
{
	return LOOKUP(CAT_S_STUDY_ID, ret, nx_val_int(id));
}

nx_rc nx_cat_series(struct nx_cat *cat, int64_t study, const char *uid, struct nx_arena *arena,
	struct nx_series *ret, struct nx_err *err)
{
	return LOOKUP(CAT_S_SERIES, ret, nx_val_int(study), nx_val_text(uid));
}

nx_rc nx_cat_series_elsewhere(struct nx_cat *cat, const struct nx_study *study, const char *uid,
	struct nx_arena *arena, struct nx_series *ret, struct nx_err *err)
{
	return LOOKUP(CAT_S_SERIES_ELSEWHERE, ret, nx_val_text(uid), nx_val_int(study->id),
		nx_val_int(study->collection));
}

nx_rc nx_cat_series_by_id(struct nx_cat *cat, int64_t id, struct nx_arena *arena,
	struct nx_series *ret, struct nx_err *err)
{
	return LOOKUP(CAT_S_SERIES_ID, ret, nx_val_int(id));
}

nx_rc nx_cat_object(struct nx_cat *cat, int64_t collection, const char *name,
	struct nx_arena *arena, struct nx_item *ret, struct nx_err *err)
{
	return LOOKUP(CAT_S_OBJECT, ret, nx_val_int(collection), nx_val_text(name));
}

nx_rc nx_cat_item_latest(struct nx_cat *cat, int64_t collection, uint64_t subject, const char *name,
	struct nx_arena *arena, struct nx_item *ret, struct nx_err *err)
{
	return LOOKUP(CAT_S_ITEM_LATEST, ret, nx_val_int(collection), nx_val_int((int64_t)subject),
		nx_val_text(name));
}

nx_rc nx_cat_item_by_id(struct nx_cat *cat, int64_t id, struct nx_arena *arena, struct nx_item *ret,
	struct nx_err *err)
{
	return LOOKUP(CAT_S_ITEM_ID, ret, nx_val_int(id));
}

nx_rc nx_cat_item_in_series(struct nx_cat *cat, int64_t series, const char *name,
	struct nx_arena *arena, struct nx_item *ret, struct nx_err *err)
{
	return LOOKUP(CAT_S_ITEM_IN_SERIES, ret, nx_val_int(series), nx_val_text(name));
}

nx_rc nx_cat_item_of_series(struct nx_cat *cat, int64_t series, struct nx_arena *arena,
	struct nx_item *ret, struct nx_err *err)
{
	return LOOKUP(CAT_S_ITEM_OF_SERIES, ret, nx_val_int(series));
}

nx_rc nx_cat_blob(struct nx_cat *cat, int64_t id, struct nx_arena *arena, struct nx_blob_row *ret,
	struct nx_err *err)
{
	return LOOKUP(CAT_S_BLOB, ret, nx_val_int(id));
}

nx_rc nx_cat_tag(struct nx_cat *cat, const uint8_t tag[16], uint64_t *ret_count, uint64_t *ret_last,
	struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(4 * NX_KIB, 0);
	struct nx_tag_row row;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a tag");
	rc = LOOKUP(CAT_S_TAG, &row, nx_val_blob(nx_slice(tag, 16)));
	if (rc)
		return rc;
	*ret_count = (uint64_t)row.count;
	*ret_last = (uint64_t)row.last;
	return NX_OK;
}

nx_rc nx_cat_principal(struct nx_cat *cat, const uint8_t token_hash[32], struct nx_arena *arena,
	struct nx_principal_row *ret, struct nx_err *err)
{
	return LOOKUP(CAT_S_PRINCIPAL, ret, nx_val_blob(nx_slice(token_hash, 32)));
}

nx_rc nx_cat_destination(struct nx_cat *cat, const char *ae, struct nx_arena *arena,
	struct nx_destination_row *ret, struct nx_err *err)
{
	return LOOKUP(CAT_S_DESTINATION, ret, nx_val_text(ae));
}

nx_rc nx_cat_ae(struct nx_cat *cat, const char *calling, const char *called, struct nx_arena *arena,
	struct nx_ae_row *ret, struct nx_err *err)
{
	return LOOKUP(CAT_S_AE, ret, nx_val_text(calling), nx_val_text(called));
}

/*
 * Storage commitment over the web (PS3.18 13): results that are kept.  A row names what is held by
 * the number of its item, so that an erasure takes the UIDs out of it; what is not held has only
 * the UID that was asked for, and the row goes after some weeks.
 */
#include <jansson.h>

#include "base/clock.h"
#include "base/json.h"
#include "retrieve/retrieve_priv.h"

enum {
	REFS_MAX = 64 * 1024 * 1024,
	ARENA_MAX = 128 * 1024 * 1024,
	EXPIRED_MAX = 100, /* rows that go with one request */
	REASON_NO_INSTANCE = 0x0112
};

static const int64_t kept_us = 30ll * 24 * 3600 * 1000000;

/* ---- the row ---- */

static nx_rc row_find(struct nx_retrieve *r, int64_t collection, const char *transaction,
	struct nx_arena *arena, struct nx_commitment_row *ret, struct nx_err *err)
{
	struct nx_val where[] = {nx_val_int(collection), nx_val_text(transaction)};
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc = nx_archive_current(r->archive, err);

	if (!rc)
		rc = nx_cat_rows(nx_archive_cat(r->archive),
			&(struct nx_rows_of){
				.table = NX_T_COMMITMENT, .where = where, .n_where = 2, .limit = 1},
			arena, &rows, &n, err);
	if (!rc && !n)
		return nx_err_set(err, NX_E_NOENT, "no commitment request of this UID");
	return rc ? rc : nx_op_row(rows, arena, ret, err);
}

static void refs_format(const struct nx_held *refs, size_t n, struct nx_buf *out)
{
	struct nx_json json;

	nx_json_init(&json, out);
	nx_json_array_begin(&json);
	for (size_t i = 0; i < n; i++) {
		nx_json_object_begin(&json);
		if (refs[i].item)
			nx_json_kv_int(&json, "item", refs[i].item);
		else
			nx_json_kv_str(&json, "uid", refs[i].sop_instance);
		nx_json_kv_str(&json, "class", refs[i].sop_class);
		if (refs[i].reason)
			nx_json_kv_uint(&json, "reason", refs[i].reason);
		nx_json_object_end(&json);
	}
	nx_json_array_end(&json);
}

/* ---- asking ---- */

static nx_rc expired_drop(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_commitment_row *r = row;
	struct nx_val key[] = {nx_val_int(r->collection), nx_val_text(r->transaction_uid)};

	return nx_change_op(payload,
		&(struct nx_op){.verb = NX_OP_DEL, .table = NX_T_COMMITMENT, .n = 2, .vals = key},
		err);
}

static nx_rc row_keep(
	struct nx_retrieve *r, const struct nx_commitment_row *row, struct nx_err *err)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	struct nx_op op;
	nx_rc rc;

	if (!change || !arena || nx_op_put_commitment(row, arena, &op))
		return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	rc = nx_cat_commitments_before(nx_archive_cat(r->archive), row->created_us - kept_us,
		EXPIRED_MAX, expired_drop, change, err);
	if (!rc)
		rc = nx_change_op(change, &op, err);
	return rc ? rc : nx_archive_commit(r->archive, change, err);
}

static nx_rc result_keep(struct nx_retrieve *r, const struct nx_principal *who, int64_t collection,
	const char *transaction, const struct nx_held *refs, size_t n, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) text;
	struct nx_commitment_row row = {.collection = collection,
		.transaction_uid = transaction,
		.principal = who->name,
		.created_us = nx_now_us()};

	nx_buf_init(&text, REFS_MAX, NX_BUF_WIPE);
	refs_format(refs, n, &text);
	row.refs = nx_buf_cstr(&text);
	return row.refs ? row_keep(r, &row, err) : nx_buf_check(&text, err);
}

/* One UID is one transaction, also when it is sent twice at once. */
static nx_rc commit_new(struct nx_retrieve *r, const struct nx_principal *who, int64_t collection,
	const char *transaction, const struct nx_held *refs, size_t n, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	struct nx_commitment_row there;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	(void)pthread_mutex_lock(&r->commit_lock);
	rc = row_find(r, collection, transaction, arena, &there, err);
	if (rc == NX_E_NOENT)
		rc = result_keep(r, who, collection, transaction, refs, n, err);
	else if (!rc)
		rc = nx_err_set(err, NX_E_EXISTS, "the transaction UID is in use");
	(void)pthread_mutex_unlock(&r->commit_lock);
	return rc;
}

nx_rc nx_retrieve_commit(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection, const char *transaction, struct nx_held *refs, size_t n,
	struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ARENA_MAX, NX_ARENA_WIPE);
	struct nx_collection row;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	rc = nx_retrieve_held(retrieve, who, collection, refs, n, err);
	if (!rc)
		rc = nx_cat_collection(
			nx_archive_cat(retrieve->archive), collection, arena, &row, err);
	return rc ? rc : commit_new(retrieve, who, row.id, transaction, refs, n, err);
}

/* ---- the result ---- */

static nx_rc text_take(const json_t *json, const char *key, struct nx_arena *arena,
	const char **ret, struct nx_err *err)
{
	const char *text = json_string_value(json_object_get(json, key));

	*ret = nx_arena_str(arena, text ? text : "", text ? strlen(text) : 0);
	return *ret ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
}

static nx_rc ref_take(struct nx_retrieve *r, const json_t *json, struct nx_arena *arena,
	struct nx_held *ret, struct nx_err *err)
{
	struct nx_item item;
	nx_rc rc = text_take(json, "class", arena, &ret->sop_class, err);

	ret->item = json_integer_value(json_object_get(json, "item"));
	ret->reason = (uint16_t)json_integer_value(json_object_get(json, "reason"));
	if (rc || !ret->item)
		return rc ? rc : text_take(json, "uid", arena, &ret->sop_instance, err);
	rc = nx_cat_item_by_id(nx_archive_cat(r->archive), ret->item, arena, &item, err);
	if (!rc)
		ret->sop_instance = item.name;
	if (rc != NX_E_NOENT)
		return rc;
	ret->sop_instance = "";
	ret->reason = REASON_NO_INSTANCE;
	return NX_OK;
}

static nx_rc refs_parse(struct nx_retrieve *r, const char *text, struct nx_arena *arena,
	struct nx_held_list *ret, struct nx_err *err)
{
	json_t *json = json_loads(text, 0, NULL);
	size_t n = json_array_size(json);
	struct nx_held *refs = nx_arena_alloc_array(arena, n + 1, sizeof(*refs));
	nx_rc rc = NX_OK;

	if (!json || !refs)
		rc = nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	for (size_t i = 0; i < n && !rc; i++)
		rc = ref_take(r, json_array_get(json, i), arena, &refs[i], err);
	json_decref(json);
	if (rc)
		return rc;
	*ret = (struct nx_held_list){.refs = refs, .n = n};
	return NX_OK;
}

nx_rc nx_retrieve_commitment(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection, const char *transaction, struct nx_arena *arena,
	struct nx_held_list *ret, struct nx_err *err)
{
	const struct access_note asked = {
		.action = NX_ACTION_COMMITMENT, .collection = collection, .what = transaction};
	struct nx_commitment_row row;
	struct nx_collection c;
	nx_rc rc = guard(retrieve, who, NX_PERM_STORE, collection, &c, arena, err);

	if (!rc)
		rc = note(retrieve, who, &asked, true, err);
	if (!rc)
		rc = row_find(retrieve, c.id, transaction, arena, &row, err);
	return rc ? rc : refs_parse(retrieve, row.refs, arena, ret, err);
}

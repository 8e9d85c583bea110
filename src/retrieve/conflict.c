/* Conflicts: which there are, and what belongs to one. */
#include "retrieve/conflict_priv.h"

#include "base/clock.h"
#include "retrieve/instances_priv.h"

enum {
	VERSIONS_MAX = 1000
};

const char *conflict_kind(const struct nx_conflict_row *row)
{
	switch ((enum nx_conflict_kind)row->kind) {
	case NX_CONFLICT_VERSION:
		break;
	case NX_CONFLICT_PATIENTS:
		return "patients";
	case NX_CONFLICT_DEMOGRAPHICS:
		return "demographics";
	case NX_CONFLICT_SERIES:
		return "series";
	}
	return "versions";
}

const char *conflict_state(const struct nx_conflict_row *row)
{
	return row->state == CONFLICT_SETTLED ? "settled" : "open";
}

/* ---- one ---- */

static nx_rc version_add(void *payload, const void *row, struct nx_err *err)
{
	struct conflict *c = payload;
	const struct nx_item *item = row;

	if (item->collection != c->old.collection || strcmp(item->name, c->old.name) != 0)
		return NX_OK;
	if (c->n == VERSIONS_MAX)
		return nx_err_set(err, NX_E_LIMIT, "more than %d versions", VERSIONS_MAX);
	return nx_cat_item_by_id(
		nx_archive_cat(c->r->archive), item->id, c->arena, &c->versions[c->n++].item, err);
}

static nx_rc rows_load(struct conflict *c, int64_t number, struct nx_err *err)
{
	struct nx_cat *cat = nx_archive_cat(c->r->archive);
	struct nx_val where = nx_val_int(number);
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc = nx_archive_current(c->r->archive, err);

	if (!rc)
		rc = nx_cat_rows(cat,
			&(struct nx_rows_of){
				.table = NX_T_CONFLICT, .where = &where, .n_where = 1, .limit = 1},
			c->arena, &rows, &n, err);
	if (!rc && !n)
		rc = nx_err_set(err, NX_E_NOENT, "no conflict under this number");
	if (!rc)
		rc = nx_op_row(rows, c->arena, &c->row, err);
	if (!rc)
		rc = nx_cat_collection_by_id(cat, c->row.collection, c->arena, &c->collection, err);
	return rc;
}

static nx_rc versions_load(struct conflict *c, struct nx_err *err)
{
	struct nx_cat *cat = nx_archive_cat(c->r->archive);
	const bool of_versions = c->row.kind == NX_CONFLICT_VERSION;
	nx_rc rc = nx_cat_item_by_id(
		cat, of_versions ? c->row.old_item : c->row.new_item, c->arena, &c->old, err);

	if (!rc && !of_versions)
		return NX_OK;
	if (rc == NX_E_NOENT)
		return nx_err_set(err, NX_E_ERASED, "what was in conflict is erased");
	c->versions = nx_arena_alloc_array(c->arena, VERSIONS_MAX, sizeof(*c->versions));
	if (!rc && !c->versions)
		rc = nx_err_set(err, NX_E_NOMEM, "no memory for versions");
	return rc ? rc
		  : nx_cat_items_of_subject(cat, (uint64_t)c->old.subject, version_add, c, err);
}

nx_rc conflict_open(struct nx_retrieve *r, const struct nx_principal *who, enum nx_perm perm,
	int64_t number, struct conflict *c, struct nx_err *err)
{
	struct nx_collection ignored;
	nx_rc rc;

	*c = (struct conflict){.r = r, .arena = nx_arena_new(CONFLICT_ARENA_MAX, NX_ARENA_WIPE)};
	if (!c->arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a conflict");
	rc = rows_load(c, number, err);
	if (!rc)
		rc = guard(r, who, perm, c->collection.name, &ignored, c->arena, err);
	return rc ? rc : versions_load(c, err);
}

nx_rc conflict_version(
	const struct conflict *c, int64_t version, const struct nx_item **ret, struct nx_err *err)
{
	size_t i = 0;

	while (i < c->n && c->versions[i].item.version != version)
		i++;
	if (i == c->n)
		return nx_err_set(err, NX_E_NOENT, "no such version");
	*ret = &c->versions[i].item;
	return NX_OK;
}

/* ---- listing ---- */

/* The version of an item; null where an erasure has deleted it. */
static nx_rc version_kv(struct numbered *l, const char *key, int64_t id, struct nx_err *err)
{
	struct nx_item item;
	nx_rc rc = id ? nx_cat_item_by_id(l->cat, id, l->arena, &item, err) : NX_E_NOENT;

	if (rc && rc != NX_E_NOENT)
		return rc;
	nx_json_key(&l->json, key);
	if (rc)
		nx_json_null(&l->json);
	else
		nx_json_int(&l->json, item.version);
	return NX_OK;
}

static nx_rc list_row(void *payload, const void *row, struct nx_err *err)
{
	struct numbered *l = payload;
	const struct nx_conflict_row *r = row;
	struct nx_collection collection;
	char when[NX_TIME_TEXT];
	nx_rc rc;

	if (l->n++ == l->limit)
		return NX_OK; /* there are more */
	nx_arena_reset(l->arena);
	rc = nx_cat_collection_by_id(l->cat, r->collection, l->arena, &collection, err);
	if (rc)
		return rc;
	l->last = r->id;
	nx_json_object_begin(&l->json);
	nx_json_kv_int(&l->json, "number", r->id);
	nx_time_format(r->time_us, when);
	nx_json_kv_str(&l->json, "time", when);
	nx_json_kv_str(&l->json, "collection", collection.name);
	nx_json_kv_str(&l->json, "kind", conflict_kind(r));
	nx_json_kv_str(&l->json, "state", conflict_state(r));
	rc = version_kv(l, "old_version", r->old_item, err);
	if (!rc)
		rc = version_kv(l, "new_version", r->new_item, err);
	nx_json_object_end(&l->json);
	return rc ? rc : nx_buf_check(l->json.out, err);
}

/* Of one collection, or of all for who may query all. */
static nx_rc list_guard(struct nx_retrieve *r, const struct nx_principal *who,
	const char *collection, struct nx_arena *arena, int64_t *ret_id, struct nx_err *err)
{
	const struct access_note n = {
		.action = NX_ACTION_QUERY, .collection = collection, .what = "conflicts"};
	struct nx_collection c = {.id = 0};
	nx_rc rc;

	if (collection)
		rc = guard(r, who, NX_PERM_QUERY, collection, &c, arena, err);
	else
		rc = nx_access_check(who, NX_PERM_QUERY, NULL, err);
	*ret_id = c.id;
	return rc ? rc : note(r, who, &n, true, err);
}

nx_rc nx_retrieve_conflicts(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection, int64_t after, unsigned limit, struct nx_buf *out,
	struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(CONFLICT_ARENA_MAX, NX_ARENA_WIPE);
	struct numbered l = {.cat = nx_archive_cat(retrieve->archive), .arena = arena};
	int64_t id = 0;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a list");
	rc = list_guard(retrieve, who, collection, arena, &id, err);
	if (!rc)
		rc = nx_archive_current(retrieve->archive, err);
	if (rc)
		return rc;
	numbered_begin(&l, "conflicts", limit, out);
	rc = nx_cat_conflicts(l.cat, after, id, l.limit + 1, list_row, &l, err);
	return numbered_end(&l, rc, err);
}

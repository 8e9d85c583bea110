#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/json.h"
#include "ledger/detail.h"
#include "retrieve/instances_priv.h"

enum {
	OBJECT_ARENA_MAX = 64 * 1024 * 1024,
	LIST_MAX = 1000
};

struct nx_object {
	struct nx_arena *arena;
	struct nx_collection collection;
	struct nx_item item;
	struct nx_reader *reader;
};

/* The live version; what was deleted is not there. */
static nx_rc object_find(
	struct nx_retrieve *r, struct nx_object *o, const char *key, struct nx_err *err)
{
	nx_rc rc = nx_archive_current(r->archive, err);

	if (!rc)
		rc = nx_cat_object(
			nx_archive_cat(r->archive), o->collection.id, key, o->arena, &o->item, err);
	return rc == NX_E_NOENT ? nx_err_set(err, rc, "no such object") : rc;
}

static struct nx_object *object_new(struct nx_err *err)
{
	NX_AUTO(nx_object) *o = calloc(1, sizeof(*o));

	if (o)
		o->arena = nx_arena_new(OBJECT_ARENA_MAX, NX_ARENA_WIPE);
	if (o && o->arena)
		return NX_STEAL(o);
	(void)nx_err_set(err, NX_E_NOMEM, "no memory for an object");
	return NULL;
}

static nx_rc object_open(struct nx_retrieve *r, const struct nx_principal *who,
	const char *collection, const char *key, enum nx_perm perm, struct nx_object **ret,
	struct nx_err *err)
{
	NX_AUTO(nx_object) *o = object_new(err);
	nx_rc rc;

	if (!o)
		return NX_E_NOMEM;
	rc = guard(r, who, perm, collection, &o->collection, o->arena, err);
	if (!rc)
		rc = object_find(r, o, key, err);
	if (rc)
		return rc;
	*ret = NX_STEAL(o);
	return NX_OK;
}

nx_rc nx_retrieve_object(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection, const char *key, bool for_body, struct nx_object **ret,
	struct nx_err *err)
{
	NX_AUTO(nx_object) *o = NULL;
	struct access_note n = {.action = for_body ? NX_ACTION_READ : NX_ACTION_QUERY,
		.collection = collection,
		.what = key};
	nx_rc rc = object_open(retrieve, who, collection, key, NX_PERM_READ, &o, err);

	if (!rc)
		rc = nx_archive_open_item(retrieve->archive, &o->item, &o->reader, err);
	if (!rc) {
		n.subject = (uint64_t)o->item.subject;
		rc = note(retrieve, who, &n, true, err);
	}
	if (rc)
		return rc;
	*ret = NX_STEAL(o);
	return NX_OK;
}

nx_rc object_of_item(struct nx_retrieve *r, const struct nx_item *item, struct nx_object **ret,
	struct nx_err *err)
{
	NX_AUTO(nx_object) *o = object_new(err);
	nx_rc rc;

	if (!o)
		return NX_E_NOMEM;
	rc = nx_cat_item_by_id(nx_archive_cat(r->archive), item->id, o->arena, &o->item, err);
	if (!rc)
		rc = nx_archive_open_item(r->archive, &o->item, &o->reader, err);
	if (rc)
		return rc;
	*ret = NX_STEAL(o);
	return NX_OK;
}

struct nx_object *nx_object_free(struct nx_object *object)
{
	if (!object)
		return NULL;
	nx_reader_free(object->reader);
	nx_arena_free(object->arena);
	free(object);
	return NULL;
}

const struct nx_item *nx_object_item(const struct nx_object *object)
{
	return &object->item;
}

void nx_object_etag(const struct nx_object *object, char ret[72])
{
	etag_format(nx_reader_recipe(object->reader), ret);
}

nx_rc nx_object_read(struct nx_object *object, uint64_t off, void *p, size_t n, size_t *ret_n,
	struct nx_err *err)
{
	return nx_reader_read(object->reader, off, p, n, ret_n, err);
}

/* Only the version that was looked at is deleted, so what comes meanwhile stays. */
static nx_rc match_check(
	struct nx_retrieve *r, struct nx_object *o, const char *if_match, struct nx_err *err)
{
	struct nx_recipe *recipe;
	char etag[65];
	nx_rc rc;

	if (!if_match || strcmp(if_match, "*") == 0)
		return NX_OK;
	rc = nx_archive_recipe(r->archive, &o->item, o->arena, &recipe, err);
	if (rc)
		return rc;
	nx_hex_format(recipe->digest, 32, etag);
	return strcmp(if_match, etag) == 0
		? NX_OK
		: nx_err_set(err, NX_E_PRECONDITION, "the object is not the one named by If-Match");
}

nx_rc nx_retrieve_object_delete(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection, const char *key, const char *if_match, struct nx_err *err)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	NX_AUTO(nx_object) *o = NULL;
	struct nx_entry_draft draft = {.action = NX_ACTION_OBJECT_DELETE, .principal = who->name};
	struct nx_val vals[3] = {{0}};
	struct nx_op op = {.verb = NX_OP_SET, .table = NX_T_ITEM, .n = 3, .vals = vals};
	NX_AUTO_DONE(nx_detail) detail;
	nx_rc rc;

	nx_detail_begin(&detail);
	if (!change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	rc = object_open(retrieve, who, collection, key, NX_PERM_DELETE, &o, err);
	if (!rc)
		rc = match_check(retrieve, o, if_match, err);
	if (rc == NX_E_NOENT && if_match)
		rc = nx_err_set(err, NX_E_PRECONDITION, "there is no object for If-Match");
	if (rc)
		return rc;
	vals[0] = nx_val_int(o->item.id);
	vals[1] = nx_val_int(NX_C_ITEM_STATE);
	vals[2] = nx_val_int(NX_ITEM_DELETED);
	op.domain = (uint32_t)o->item.domain;
	op.subject = (uint64_t)o->item.subject;
	nx_json_kv_str(&detail.json, "collection", collection);
	nx_json_kv_str(&detail.json, "item", key);
	draft.subject = (uint64_t)o->item.subject;
	rc = nx_detail_end(&detail, who->peer, &draft, err);
	if (!rc)
		rc = nx_change_op(change, &op, err);
	if (!rc && strncmp(key, NX_WORKLIST_PREFIX, strlen(NX_WORKLIST_PREFIX)) == 0)
		rc = scheduled_drop(retrieve, &o->item, change, err);
	if (!rc)
		rc = nx_change_entry(change, &draft, NULL, err);
	return rc ? rc : nx_archive_commit(retrieve->archive, change, err);
}

/* ---- listing ---- */

struct listing {
	struct nx_archive *archive;
	struct nx_json json;
	unsigned seen; /* rows, also of what is erased at this moment */
	unsigned limit;
	char last[NX_LIMIT_OBJECT_KEY + 1];
	bool more;
};

static nx_rc list_row(void *payload, const void *row, struct nx_err *err)
{
	struct listing *l = payload;
	const struct nx_item *item = row;
	NX_AUTO(nx_arena) *arena = NULL;
	struct nx_recipe *recipe;
	char etag[72], when[NX_TIME_TEXT];
	nx_rc rc;

	if (l->seen == l->limit) {
		l->more = true;
		return NX_OK;
	}
	l->seen++;
	(void)snprintf(l->last, sizeof(l->last), "%s", item->name);
	arena = nx_arena_new(OBJECT_ARENA_MAX, NX_ARENA_WIPE);
	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a listing");
	rc = nx_archive_recipe(l->archive, item, arena, &recipe, err);
	if (rc)
		return rc == NX_E_ERASED ? NX_OK : rc;
	etag_format(recipe, etag);
	nx_time_format(item->received_us, when);
	nx_json_object_begin(&l->json);
	nx_json_kv_str(&l->json, "key", item->name);
	nx_json_kv_int(&l->json, "size", item->size);
	nx_json_kv_str(&l->json, "type", item->type);
	nx_json_kv_str(&l->json, "etag", etag);
	nx_json_kv_str(&l->json, "modified", when);
	if (item->subject)
		nx_json_kv_id(&l->json, "subject", (uint64_t)item->subject);
	nx_json_object_end(&l->json);
	return NX_OK;
}

nx_rc nx_retrieve_object_list(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection, const struct nx_object_page *page, struct nx_buf *out,
	struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(OBJECT_ARENA_MAX, NX_ARENA_WIPE);
	struct access_note n = {.action = NX_ACTION_OBJECT_LIST, .collection = collection};
	struct listing l = {.archive = retrieve->archive};
	struct nx_collection c;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a listing");
	rc = guard(retrieve, who, NX_PERM_QUERY, collection, &c, arena, err);
	if (!rc)
		rc = note(retrieve, who, &n, true, err);
	if (!rc)
		rc = nx_archive_current(retrieve->archive, err);
	if (rc)
		return rc;
	l.limit = page->limit && page->limit < LIST_MAX ? page->limit : LIST_MAX;
	nx_json_init(&l.json, out);
	nx_json_object_begin(&l.json);
	nx_json_key(&l.json, "objects");
	nx_json_array_begin(&l.json);
	rc = nx_cat_objects(nx_archive_cat(retrieve->archive),
		&(struct nx_objects_of){.collection = c.id,
			.prefix = page->prefix,
			.after = page->after,
			.limit = l.limit + 1},
		list_row, &l, err);
	nx_json_array_end(&l.json);
	nx_json_key(&l.json, "next");
	nx_json_str(&l.json, l.more ? l.last : NULL);
	nx_json_object_end(&l.json);
	return rc ? rc : nx_buf_check(out, err);
}

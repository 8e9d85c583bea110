/*
 * What is said of a conflict: which versions there are, and whence they came (the ledger says).
 */
#include <jansson.h>

#include "base/clock.h"
#include "retrieve/conflict_priv.h"
#include "retrieve/instances_priv.h"

enum {
	ENTRIES_MAX = 20000 /* of the subject's chain, looked at for sources */
};

/* ---- whence the versions came ---- */

static nx_rc source_take(struct conflict *c, const json_t *body, struct nx_err *err)
{
	const json_t *detail = json_object_get(body, "detail");
	const char *item = json_string_value(json_object_get(detail, "item"));
	const char *collection = json_string_value(json_object_get(detail, "collection"));
	const char *who = json_string_value(json_object_get(body, "principal"));
	const char *door = json_string_value(json_object_get(detail, "door"));
	struct version *v = &c->versions[c->n - 1 - c->sourced];

	/* Settling and editing have a door where they made a version. */
	if (!item || !door || strcmp(item, c->old.name) != 0 || !collection ||
		strcmp(collection, c->collection.name) != 0)
		return NX_OK;
	v->source = who ? nx_arena_str(c->arena, who, strlen(who)) : "";
	v->door = nx_arena_str(c->arena, door, strlen(door));
	if (!v->source || !v->door)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a source");
	c->sourced++;
	return NX_OK;
}

/* Every version has one entry that stored it, in the same order. */
static nx_rc entry_look(void *payload, const struct nx_entry *entry, struct nx_err *err)
{
	struct conflict *c = payload;
	struct nx_slice body;
	json_t *json;
	nx_rc rc;

	if (c->sourced == c->n || c->entries++ == ENTRIES_MAX)
		return NX_E_CLOSED; /* enough */
	if (entry->action != NX_ACTION_INSTANCE_STORE &&
		entry->action != NX_ACTION_INSTANCE_VERSION &&
		entry->action != NX_ACTION_CONFLICT_SETTLE &&
		entry->action != NX_ACTION_INSTANCE_EDIT &&
		entry->action != NX_ACTION_REJECTION_END)
		return NX_OK;
	rc = nx_ledger_body(nx_archive_ledger(c->r->archive), entry, c->arena, &body, err);
	if (rc)
		return rc;
	json = json_loadb((const char *)body.p, body.n, 0, NULL);
	rc = source_take(c, json, err);
	json_decref(json);
	return rc;
}

static nx_rc sources_find(struct conflict *c, struct nx_err *err)
{
	struct nx_ledger *ledger = nx_archive_ledger(c->r->archive);
	uint8_t tag[NX_TAG_LEN];
	nx_rc rc;

	nx_ledger_tag_subject(ledger, (uint64_t)c->old.subject, tag);
	rc = nx_ledger_chain(ledger, tag, entry_look, c, err);
	return rc == NX_E_CLOSED ? NX_OK : rc;
}

/* ---- what is said of one ---- */

static void time_kv(struct nx_json *json, const char *key, int64_t us)
{
	char when[NX_TIME_TEXT];

	nx_time_format(us, when);
	nx_json_kv_str(json, key, when);
}

static void version_json(const struct conflict *c, const struct version *v, struct nx_json *json)
{
	nx_json_object_begin(json);
	nx_json_kv_int(json, "version", v->item.version);
	nx_json_kv_str(json, "state", v->item.state == NX_ITEM_LIVE ? "live" : "old");
	nx_json_kv_bool(json, "old_of_conflict", v->item.id == c->row.old_item);
	nx_json_kv_bool(json, "new_of_conflict", v->item.id == c->row.new_item);
	time_kv(json, "received", v->item.received_us);
	nx_json_kv_int(json, "size", v->item.size);
	nx_json_kv_str(json, "source", v->source);
	nx_json_kv_str(json, "door", v->door);
	nx_json_object_end(json);
}

/* The study that has the series, too; null where it was erased. */
static nx_rc other_json(const struct conflict *c, struct nx_json *json, struct nx_err *err)
{
	struct nx_study other;
	nx_rc rc = nx_cat_study_by_id(
		nx_archive_cat(c->r->archive), c->row.mark, c->arena, &other, err);

	if (rc && rc != NX_E_NOENT)
		return rc;
	nx_json_kv_str(json, "other_study", rc ? NULL : other.uid);
	return NX_OK;
}

static nx_rc uids_json(
	const struct conflict *c, struct nx_json *json, const char **ret_study, struct nx_err *err)
{
	struct nx_cat *cat = nx_archive_cat(c->r->archive);
	struct nx_series series;
	struct nx_study study;
	nx_rc rc = nx_cat_series_by_id(cat, c->old.series, c->arena, &series, err);

	if (!rc)
		rc = nx_cat_study_by_id(cat, series.study, c->arena, &study, err);
	if (rc)
		return rc;
	nx_json_kv_str(json, "study", study.uid);
	nx_json_kv_str(json, "series", series.uid);
	nx_json_kv_str(json, "instance", c->old.name);
	nx_json_kv_str(json, "sop_class", c->old.type);
	*ret_study = study.uid;
	return c->row.kind == NX_CONFLICT_SERIES ? other_json(c, json, err) : NX_OK;
}

static nx_rc conflict_json(
	struct conflict *c, const struct nx_principal *who, struct nx_buf *out, struct nx_err *err)
{
	struct access_note n = {.action = NX_ACTION_QUERY,
		.subject = (uint64_t)c->old.subject,
		.collection = c->collection.name,
		.what = "conflict"};
	struct nx_json json;
	nx_rc rc;

	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_kv_int(&json, "number", c->row.id);
	time_kv(&json, "time", c->row.time_us);
	nx_json_kv_str(&json, "collection", c->collection.name);
	nx_json_kv_str(&json, "kind", conflict_kind(&c->row));
	nx_json_kv_str(&json, "state", conflict_state(&c->row));
	rc = uids_json(c, &json, &n.study, err);
	if (!rc && c->row.kind == NX_CONFLICT_VERSION)
		rc = sources_find(c, err);
	nx_json_key(&json, "versions");
	nx_json_array_begin(&json);
	for (size_t i = 0; i < c->n && !rc; i++)
		version_json(c, &c->versions[i], &json);
	nx_json_array_end(&json);
	if (!rc)
		rc = conflict_differ(c, &json, err);
	nx_json_object_end(&json);
	if (!rc)
		rc = note(c->r, who, &n, false, err);
	return rc ? rc : nx_buf_check(out, err);
}

nx_rc nx_retrieve_conflict(struct nx_retrieve *retrieve, const struct nx_principal *who,
	int64_t number, struct nx_buf *out, struct nx_err *err)
{
	struct conflict c;
	nx_rc rc = conflict_open(retrieve, who, NX_PERM_QUERY, number, &c, err);

	if (!rc)
		rc = conflict_json(&c, who, out, err);
	nx_arena_free(c.arena);
	return rc;
}

static nx_rc version_open(struct conflict *c, const struct nx_principal *who, int64_t version,
	struct nx_object **ret, struct nx_err *err)
{
	const struct access_note n = {.action = NX_ACTION_READ,
		.subject = (uint64_t)c->old.subject,
		.collection = c->collection.name,
		.what = c->old.name};
	NX_AUTO(nx_object) *object = NULL;
	const struct nx_item *item;
	nx_rc rc = conflict_version(c, version, &item, err);

	if (!rc)
		rc = object_of_item(c->r, item, &object, err);
	if (!rc)
		rc = note(c->r, who, &n, false, err);
	if (rc)
		return rc;
	*ret = NX_STEAL(object);
	return NX_OK;
}

nx_rc nx_retrieve_conflict_version(struct nx_retrieve *retrieve, const struct nx_principal *who,
	int64_t number, int64_t version, struct nx_object **ret, struct nx_err *err)
{
	struct conflict c;
	nx_rc rc = conflict_open(retrieve, who, NX_PERM_READ, number, &c, err);

	if (!rc)
		rc = version_open(&c, who, version, ret, err);
	nx_arena_free(c.arena);
	return rc;
}

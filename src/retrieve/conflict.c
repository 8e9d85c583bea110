/*
 * Conflicts: other bytes under a SOP Instance UID that was taken.  Which versions there are, whence
 * they came (the ledger says), and in which attributes two of them differ: tags only.
 */
#include <jansson.h>
#include <stdio.h>

#include "archive/rewrite.h"
#include "base/clock.h"
#include "base/enc.h"
#include "base/json.h"
#include "dicom/dicom.h"
#include "retrieve/instances_priv.h"

enum {
	CONFLICT_ARENA_MAX = 512 * 1024 * 1024,
	VERSIONS_MAX = 1000,
	STATE_SETTLED = 2,
	DETAIL_MAX = 8192,
	ENTRIES_MAX = 20000 /* of the subject's chain, looked at for sources */
};

/* ---- listing ---- */

static void time_kv(struct nx_json *json, const char *key, int64_t us)
{
	char when[NX_TIME_TEXT];

	nx_time_format(us, when);
	nx_json_kv_str(json, key, when);
}

static const char *kind_word(const struct nx_conflict_row *row)
{
	switch ((enum nx_conflict_kind)row->kind) {
	case NX_CONFLICT_VERSION:
		break;
	case NX_CONFLICT_PATIENTS:
		return "patients";
	case NX_CONFLICT_DEMOGRAPHICS:
		return "demographics";
	}
	return "versions";
}

static const char *state_word(const struct nx_conflict_row *row)
{
	return row->state == STATE_SETTLED ? "settled" : "open";
}

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
	time_kv(&l->json, "time", r->time_us);
	nx_json_kv_str(&l->json, "collection", collection.name);
	nx_json_kv_str(&l->json, "kind", kind_word(r));
	nx_json_kv_str(&l->json, "state", state_word(r));
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

/* ---- one ---- */

struct version {
	struct nx_item item;
	const char *source; /* principal; NULL: not found */
	const char *door;
};

struct conflict {
	struct nx_retrieve *r;
	struct nx_arena *arena;
	struct nx_conflict_row row;
	struct nx_collection collection;
	struct nx_item old;       /* what of it is not erased */
	struct version *versions; /* by number */
	size_t n;
	size_t sourced; /* from the newest on */
	unsigned entries;
};

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

static nx_rc conflict_open(struct nx_retrieve *r, const struct nx_principal *who, enum nx_perm perm,
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

/* ---- in what they differ ---- */

struct side {
	struct nx_recipe *recipe;
	struct nx_dataset *ds;
};

static nx_rc side_load(struct conflict *c, int64_t id, struct side *ret, struct nx_err *err)
{
	struct nx_archive *a = c->r->archive;
	struct nx_item item;
	nx_rc rc = nx_cat_item_by_id(nx_archive_cat(a), id, c->arena, &item, err);

	if (!rc)
		rc = nx_archive_recipe(a, &item, c->arena, &ret->recipe, err);
	return rc ? rc : nx_archive_header(a, &item, ret->recipe, c->arena, &ret->ds, err);
}

/* The root of the blob that holds a bulk value. */
static const uint8_t *bulk_root(const struct side *s, uint64_t offset)
{
	uint64_t at = 0;

	for (size_t i = 0; i < s->recipe->n_parts; i++) {
		if (at == offset)
			return s->recipe->blobs[s->recipe->parts[i].blob].root;
		at += s->recipe->parts[i].len;
	}
	return NULL;
}

static bool elem_same(const struct side *x, const struct nx_elem *a, const struct side *y,
	const struct nx_elem *b);

static bool items_same(const struct side *x, const struct nx_elem *a, const struct side *y,
	const struct nx_elem *b)
{
	for (size_t i = 0; i < a->n_items; i++) {
		const struct nx_dataset *p = a->items[i], *q = b->items[i];

		if (p->n != q->n)
			return false;
		for (size_t k = 0; k < p->n; k++)
			if (p->elems[k].tag != q->elems[k].tag ||
				!elem_same(x, &p->elems[k], y, &q->elems[k]))
				return false;
	}
	return true;
}

/* Sequences are nested no deeper than the parser allows. */
static bool elem_same(const struct side *x, const struct nx_elem *a, const struct side *y,
	const struct nx_elem *b)
{
	const uint8_t *p, *q;

	if (a->is_bulk != b->is_bulk || a->n_items != b->n_items)
		return false;
	if (!a->is_bulk)
		return nx_slice_eq(a->value, b->value) && items_same(x, a, y, b);
	p = bulk_root(x, a->bulk_offset);
	q = bulk_root(y, b->bulk_offset);
	return a->bulk_length == b->bulk_length && p && q && memcmp(p, q, 32) == 0;
}

/* The meta group differs with the door and is no part of what an instance says. */
static void tag_put(struct nx_json *json, nx_tag tag)
{
	char text[16];

	if (tag >> 16 == 2)
		return;
	(void)snprintf(text, sizeof(text), "%08X", (unsigned)tag);
	nx_json_str(json, text);
}

/* Tags of the data set itself; one in a sequence counts for the sequence. */
static void differ_put(struct nx_json *json, const struct side *x, const struct side *y)
{
	size_t i = 0, k = 0;

	nx_json_key(json, "differ");
	nx_json_array_begin(json);
	while (i < x->ds->n || k < y->ds->n) {
		const struct nx_elem *a = i < x->ds->n ? &x->ds->elems[i] : NULL;
		const struct nx_elem *b = k < y->ds->n ? &y->ds->elems[k] : NULL;
		bool both = a && b && a->tag == b->tag;

		if (both && elem_same(x, a, y, b)) {
			i++;
			k++;
			continue;
		}
		tag_put(json, !b || (a && a->tag < b->tag) ? a->tag : b->tag);
		if (both || !b || (a && a->tag < b->tag))
			i++;
		if (both || !a || (b && b->tag < a->tag))
			k++;
	}
	nx_json_array_end(json);
}

/* What is known by marks alone. */
static void marks_put(const struct conflict *c, struct nx_json *json)
{
	static const nx_tag tags[] = {
		NX_TAG_PATIENT_NAME, NX_TAG_PATIENT_BIRTH_DATE, NX_TAG_PATIENT_SEX};
	bool differ[NX_ARRAY_LEN(tags)] = {false};

	nx_json_key(json, "differ");
	nx_json_array_begin(json);
	if (c->row.kind == NX_CONFLICT_DEMOGRAPHICS)
		nx_archive_marks_differ(c->row.known, c->row.mark, differ);
	else
		tag_put(json, NX_TAG_PATIENT_ID);
	for (size_t i = 0; i < NX_ARRAY_LEN(tags); i++)
		if (differ[i])
			tag_put(json, tags[i]);
	nx_json_array_end(json);
}

static nx_rc differ_json(struct conflict *c, struct nx_json *json, struct nx_err *err)
{
	struct side x = {NULL, NULL}, y = {NULL, NULL};
	nx_rc rc;

	if (c->row.kind != NX_CONFLICT_VERSION) {
		marks_put(c, json);
		return NX_OK;
	}
	rc = side_load(c, c->row.old_item, &x, err);
	if (!rc)
		rc = side_load(c, c->row.new_item, &y, err);
	if (!rc)
		differ_put(json, &x, &y);
	return rc;
}

/* ---- what is said of one ---- */

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
	return NX_OK;
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
	nx_json_kv_str(&json, "kind", kind_word(&c->row));
	nx_json_kv_str(&json, "state", state_word(&c->row));
	rc = uids_json(c, &json, &n.study, err);
	if (!rc && c->row.kind == NX_CONFLICT_VERSION)
		rc = sources_find(c, err);
	nx_json_key(&json, "versions");
	nx_json_array_begin(&json);
	for (size_t i = 0; i < c->n && !rc; i++)
		version_json(c, &c->versions[i], &json);
	nx_json_array_end(&json);
	if (!rc)
		rc = differ_json(c, &json, err);
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

static nx_rc version_find(
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

static nx_rc version_open(struct conflict *c, const struct nx_principal *who, int64_t version,
	struct nx_object **ret, struct nx_err *err)
{
	const struct access_note n = {.action = NX_ACTION_READ,
		.subject = (uint64_t)c->old.subject,
		.collection = c->collection.name,
		.what = c->old.name};
	NX_AUTO(nx_object) *object = NULL;
	const struct nx_item *item;
	nx_rc rc = version_find(c, version, &item, err);

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

/* ---- settling: the version that counts becomes the newest, as a version of its own ---- */

struct settling {
	struct conflict c;
	struct nx_change *change;
	const struct nx_item *keep;
	struct nx_put put;
	struct nx_study study;
	struct nx_series series;
	char etag[65]; /* of the version that is the newest */
};

static const struct nx_item *live_find(const struct conflict *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->versions[i].item.state == NX_ITEM_LIVE)
			return &c->versions[i].item;
	return NULL;
}

/* What is chosen was compared with what was the newest then, and with nothing that came since. */
static nx_rc live_pin(struct settling *s, const struct nx_item *live, struct nx_err *err)
{
	struct nx_recipe *recipe;
	nx_rc rc = nx_archive_recipe(s->c.r->archive, live, s->c.arena, &recipe, err);

	if (rc)
		return rc;
	nx_hex_format(recipe->digest, 32, s->etag);
	s->put.if_match = s->etag;
	return NX_OK;
}

/* The same blobs under a new recipe; nothing is read or written but the rows. */
static nx_rc put_make(struct settling *s, struct nx_err *err)
{
	struct nx_cat *cat = nx_archive_cat(s->c.r->archive);
	struct nx_recipe *recipe;
	nx_rc rc = nx_archive_recipe(s->c.r->archive, s->keep, s->c.arena, &recipe, err);

	if (!rc)
		rc = nx_cat_series_by_id(cat, s->keep->series, s->c.arena, &s->series, err);
	if (!rc)
		rc = nx_cat_study_by_id(cat, s->series.study, s->c.arena, &s->study, err);
	if (rc)
		return rc;
	s->put = (struct nx_put){.collection = &s->c.collection,
		.subject = (uint64_t)s->keep->subject,
		.study = &s->study,
		.series = &s->series,
		.item = s->keep,
		.shared = recipe->blobs,
		.n_shared = recipe->n_blobs,
		.parts = recipe->parts,
		.n_parts = recipe->n_parts,
		.content = recipe->content,
		.settles = true};
	return NX_OK;
}

static nx_rc newest_make(struct settling *s, struct nx_err *err)
{
	const struct nx_item *live = live_find(&s->c);
	nx_rc rc;

	if (!live)
		return nx_err_set(err, NX_E_NOENT, "the instance is deleted");
	if (live == s->keep)
		return NX_OK;
	rc = put_make(s, err);
	if (!rc)
		rc = live_pin(s, live, err);
	return rc ? rc : nx_change_put(s->change, &s->put, err);
}

static nx_rc state_set(struct settling *s, struct nx_err *err)
{
	struct nx_val vals[] = {nx_val_int(s->c.row.id), nx_val_int(NX_C_CONFLICT_STATE),
		nx_val_int(STATE_SETTLED)};

	return nx_change_op(s->change,
		&(struct nx_op){.verb = NX_OP_SET, .table = NX_T_CONFLICT, .n = 3, .vals = vals},
		err);
}

static nx_rc settle_note(
	struct settling *s, const struct nx_principal *who, const char *reason, struct nx_err *err)
{
	struct nx_entry_draft draft = {.action = NX_ACTION_CONFLICT_SETTLE,
		.principal = who->name,
		.subject = (uint64_t)s->keep->subject,
		.study = s->study.uid};
	NX_AUTO_DONE(nx_buf) detail;
	struct nx_json json;
	nx_rc rc;

	nx_buf_init(&detail, DETAIL_MAX, NX_BUF_WIPE);
	nx_json_init(&json, &detail);
	nx_json_object_begin(&json);
	if (s->put.item)
		nx_json_kv_str(&json, "door", "settle");
	nx_json_kv_str(&json, "collection", s->c.collection.name);
	nx_json_kv_int(&json, "conflict", s->c.row.id);
	nx_json_kv_str(&json, "item", s->keep->name);
	nx_json_kv_int(&json, "keep", s->keep->version);
	nx_json_kv_str(&json, "reason", reason);
	if (who->peer[0])
		nx_json_kv_str(&json, "peer", who->peer);
	nx_json_object_end(&json);
	rc = nx_buf_check(&detail, err);
	draft.detail = nx_buf_slice(&detail);
	return rc ? rc : nx_change_entry(s->change, &draft, NULL, err);
}

/* Of two patients, or of two names, both are kept: there is no version to choose. */
static nx_rc keep_find(struct settling *s, int64_t version, struct nx_err *err)
{
	if (s->c.row.state == STATE_SETTLED)
		return nx_err_set(err, NX_E_CONFLICT, "the conflict is settled");
	if (s->c.row.kind == NX_CONFLICT_VERSION && version)
		return version_find(&s->c, version, &s->keep, err);
	if (!version == (s->c.row.kind == NX_CONFLICT_VERSION))
		return nx_err_set(err, NX_E_INVAL,
			version ? "both are kept: no version is chosen"
				: "the version that counts is missing");
	s->keep = &s->c.old;
	return NX_OK;
}

static nx_rc settle(struct settling *s, const struct nx_principal *who, int64_t version,
	const char *reason, struct nx_err *err)
{
	nx_rc rc = keep_find(s, version, err);

	if (!rc && version)
		rc = newest_make(s, err);
	if (!rc)
		rc = state_set(s, err);
	if (!rc)
		rc = settle_note(s, who, reason, err);
	return rc ? rc : nx_archive_commit(s->c.r->archive, s->change, err);
}

nx_rc nx_retrieve_conflict_settle(struct nx_retrieve *retrieve, const struct nx_principal *who,
	int64_t number, int64_t version, const char *reason, struct nx_err *err)
{
	struct settling s = {.change = nx_change_new()};
	nx_rc rc;

	if (!s.change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	rc = conflict_open(retrieve, who, NX_PERM_QUARANTINE, number, &s.c, err);
	if (!rc)
		rc = settle(&s, who, version, reason, err);
	nx_change_free(s.change);
	nx_arena_free(s.c.arena);
	return rc;
}

/*
 * What a put means in rows: which subject, study and series it belongs to, whether the item is
 * there already.  Runs in the committer, in order, so that what one put makes the next one finds.
 */
#include "archive/archive_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/enc.h"
#include "base/map.h"

enum {
	KEY_MAX = 8 + 1 + 2 * 1024
};

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

/* Cache keys: a number and one or two strings. */
static struct nx_slice key_make(struct nx_buf *buf, int64_t number, const char *a, const char *b)
{
	nx_buf_clear(buf);
	nx_buf_put_u64le(buf, (uint64_t)number);
	nx_buf_put_str(buf, or_empty(a));
	nx_buf_put_u8(buf, 0);
	nx_buf_put_str(buf, or_empty(b));
	return nx_buf_slice(buf);
}

/* ---- subject ---- */

struct target { /* of one put, while it is prepared */
	struct nx_put *put;
	uint32_t domain;
	uint64_t subject;
	struct nx_key key; /* the subject's */
	struct cached_study *study;
	struct cached_series *series;
	struct nx_item old; /* id 0: there is none */
};

static nx_rc subject_key_make(struct nx_archive *a, struct target *t, struct nx_err *err)
{
	nx_rc rc = nx_keys_subject(a->keys, t->domain, t->subject, &t->key, err);

	if (rc == NX_E_NOENT)
		rc = nx_keys_subject_new(a->keys, t->domain, t->subject, &t->key, err);
	return rc;
}

static uint64_t subject_id_new(void)
{
	uint64_t id;

	do {
		nx_random(&id, sizeof(id));
		id >>= 1; /* fits a signed column */
	} while (id == 0);
	return id;
}

static nx_rc subject_row(struct group *g, const struct target *t, const char *issuer,
	const char *pid, struct nx_err *err)
{
	const struct nx_subject_row row = {
		.domain = t->domain,
		.issuer = issuer,
		.patient_id = pid,
		.subject = (int64_t)t->subject,
		.created_us = g->now_us,
	};
	struct nx_op op;
	nx_rc rc = nx_op_put_subject(&row, g->arena, &op);

	if (rc)
		return nx_err_set(err, rc, "no memory for a subject row");
	op.domain = t->domain;
	op.subject = t->subject;
	return group_op(g, &op, err);
}

/* A look-up that is not in `map` yet; `value` is from the heap and the map's on success. */
static nx_rc cache_add(
	struct group *g, struct nx_map *map, struct nx_slice key, void *value, struct nx_err *err)
{
	nx_rc rc = undo_added(g, map, key, err);

	if (!rc && !nx_map_put(map, key, value, NULL))
		rc = nx_err_set(err, NX_E_NOMEM, "no memory for the look-up cache");
	return rc;
}

static nx_rc subject_cache(struct nx_archive *a, struct group *g, struct nx_slice key,
	uint64_t subject, struct nx_err *err)
{
	uint64_t *value = malloc(sizeof(*value));
	nx_rc rc;

	if (!value)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the look-up cache");
	*value = subject;
	rc = cache_add(g, a->cache.subjects, key, value, err);
	if (rc)
		free(value);
	return rc;
}

/* (issuer, patient id) of the domain; a blank id is a subject of its own per study (DESIGN of
 * subjects). */
static nx_rc subject_find(struct nx_archive *a, struct group *g, struct target *t,
	const char *issuer, const char *pid, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	char blank[NX_LIMIT_UID + 16];
	struct nx_slice key;
	uint64_t *cached;
	nx_rc rc;

	nx_buf_init(&buf, KEY_MAX, NX_BUF_WIPE);
	if (!pid || !pid[0]) {
		(void)snprintf(blank, sizeof(blank), "\x01study:%s", or_empty(t->put->study->uid));
		pid = blank;
	}
	key = key_make(&buf, t->domain, issuer, pid);
	rc = nx_buf_check(&buf, err);
	if (rc)
		return rc;
	cached = nx_map_get(a->cache.subjects, key);
	if (cached) {
		t->subject = *cached;
		return subject_key_make(a, t, err);
	}
	rc = nx_cat_subject_find(a->cat, t->domain, issuer, pid, &t->subject, err);
	if (rc == NX_E_NOENT) {
		t->subject = subject_id_new();
		rc = subject_row(g, t, issuer, pid, err);
	}
	if (!rc)
		rc = subject_key_make(a, t, err);
	return rc ? rc : subject_cache(a, g, key, t->subject, err);
}

/* No put moves an object that is there to another subject, nor from none to one: who read it under
 * the old one would be in no accounting of the new one. */
static nx_rc owner_keep(
	struct nx_archive *a, struct target *t, const struct nx_item *there, struct nx_err *err)
{
	const struct nx_put *put = t->put;
	uint64_t named = (uint64_t)there->subject;
	nx_rc rc = NX_OK;

	if (put->patient_id)
		rc = nx_cat_subject_find(
			a->cat, t->domain, or_empty(put->issuer), put->patient_id, &named, err);
	if (rc == NX_E_NOENT || (!rc && named != (uint64_t)there->subject))
		return nx_err_set(err, NX_E_CONFLICT,
			"the object belongs to another subject or to none; delete it first");
	t->subject = (uint64_t)there->subject;
	return rc ? rc : subject_key_make(a, t, err);
}

static nx_rc object_subject(
	struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err)
{
	const struct nx_put *put = t->put;
	struct nx_item there;
	nx_rc rc =
		nx_cat_object(a->cat, put->collection->id, put->item->name, g->arena, &there, err);

	if (!rc)
		return owner_keep(a, t, &there, err);
	if (rc != NX_E_NOENT)
		return rc;
	if (put->patient_id)
		return subject_find(a, g, t, or_empty(put->issuer), put->patient_id, err);
	return subject_key_make(a, t, err);
}

static nx_rc subject_resolve(
	struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err)
{
	const struct nx_put *put = t->put;

	t->subject = put->subject;
	if (put->subject)
		return subject_key_make(a, t, err);
	if (!put->study)
		return object_subject(a, g, t, err);
	return subject_find(a, g, t, or_empty(put->study->issuer), put->study->patient_id, err);
}

/* ---- study and series ---- */

static nx_rc study_new(struct nx_archive *a, struct group *g, struct target *t,
	struct cached_study *c, struct nx_err *err)
{
	struct nx_study row = *t->put->study;
	struct nx_op op;
	nx_rc rc;

	row.id = (int64_t)nx_archive_next_id(a, NX_T_STUDY);
	row.collection = t->put->collection->id;
	row.subject = (int64_t)t->subject;
	row.modalities = or_empty(t->put->series->modality);
	row.n_series = 0;
	row.n_instances = 0;
	row.received_us = g->now_us;
	row.updated_us = g->now_us;
	rc = nx_op_put_study(&row, t->domain, g->arena, &op);
	if (rc)
		return nx_err_set(err, rc, "no memory for a study row");
	c->id = row.id;
	c->subject = t->subject;
	c->updated_us = g->now_us;
	(void)snprintf(c->modalities, sizeof(c->modalities), "%s", row.modalities);
	return group_op(g, &op, err);
}

static nx_rc study_load(struct nx_archive *a, struct group *g, struct target *t,
	struct cached_study *c, struct nx_err *err)
{
	struct nx_study row;
	nx_rc rc = nx_cat_study(
		a->cat, t->put->collection->id, t->put->study->uid, g->arena, &row, err);

	if (rc == NX_E_NOENT)
		return study_new(a, g, t, c, err);
	if (rc)
		return rc;
	c->id = row.id;
	c->subject = (uint64_t)row.subject;
	c->updated_us = row.updated_us;
	(void)snprintf(c->modalities, sizeof(c->modalities), "%s", or_empty(row.modalities));
	return NX_OK;
}

static nx_rc study_resolve(
	struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	struct cached_study *c;
	struct nx_slice key;
	nx_rc rc;

	nx_buf_init(&buf, KEY_MAX, NX_BUF_WIPE);
	key = key_make(&buf, t->put->collection->id, t->put->study->uid, NULL);
	t->study = nx_map_get(a->cache.studies, key);
	if (t->study)
		return NX_OK;
	c = calloc(1, sizeof(*c));
	if (!c)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the study cache");
	c->domain = t->domain;
	rc = study_load(a, g, t, c, err);
	if (!rc)
		rc = cache_add(g, a->cache.studies, key, c, err);
	if (rc)
		free(c);
	else
		t->study = c;
	return rc;
}

/* Its counters are about to change. */
static nx_rc study_dirty(struct group *g, struct cached_study *c, struct nx_err *err)
{
	nx_rc rc = undo_changed(g, c, sizeof(*c), err);

	if (rc || c->dirty)
		return rc;
	c->dirty = true;
	c->dirty_next = g->dirty_studies;
	g->dirty_studies = c;
	return NX_OK;
}

/* `list` is values with backslashes between. */
static bool list_has(const char *list, const char *value)
{
	size_t n = strlen(value);

	for (const char *at = list; at; at = strchr(at, '\\') ? strchr(at, '\\') + 1 : NULL)
		if (strncmp(at, value, n) == 0 && (at[n] == 0 || at[n] == '\\'))
			return true;
	return false;
}

static void modality_add(struct cached_study *c, const char *modality)
{
	size_t n = strlen(c->modalities);

	if (!modality[0] || list_has(c->modalities, modality) ||
		n + strlen(modality) + 2 > sizeof(c->modalities))
		return;
	(void)snprintf(
		c->modalities + n, sizeof(c->modalities) - n, "%s%s", n ? "\\" : "", modality);
	c->modalities_dirty = true;
}

static nx_rc series_new(struct nx_archive *a, struct group *g, struct target *t,
	struct cached_series *c, struct nx_err *err)
{
	struct nx_series row = *t->put->series;
	struct nx_op op;
	nx_rc rc;

	row.id = (int64_t)nx_archive_next_id(a, NX_T_SERIES);
	row.study = t->study->id;
	row.n_instances = 0;
	row.updated_us = g->now_us;
	rc = nx_op_put_series(&row, t->domain, t->subject, g->arena, &op);
	if (rc)
		return nx_err_set(err, rc, "no memory for a series row");
	c->id = row.id;
	c->updated_us = g->now_us;
	rc = study_dirty(g, t->study, err);
	if (rc)
		return rc;
	t->study->add_series++;
	modality_add(t->study, or_empty(row.modality));
	return group_op(g, &op, err);
}

static nx_rc series_resolve(
	struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	struct cached_series *c;
	struct nx_series row;
	struct nx_slice key;
	nx_rc rc;

	nx_buf_init(&buf, KEY_MAX, NX_BUF_WIPE);
	key = key_make(&buf, t->study->id, t->put->series->uid, NULL);
	t->series = nx_map_get(a->cache.series, key);
	if (t->series)
		return NX_OK;
	c = calloc(1, sizeof(*c));
	if (!c)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the series cache");
	c->domain = t->domain;
	c->subject = t->subject;
	rc = nx_cat_series(a->cat, t->study->id, t->put->series->uid, g->arena, &row, err);
	if (!rc) {
		c->id = row.id;
		c->updated_us = row.updated_us;
	} else if (rc == NX_E_NOENT) {
		rc = series_new(a, g, t, c, err);
	}
	if (!rc)
		rc = cache_add(g, a->cache.series, key, c, err);
	if (rc)
		free(c);
	else
		t->series = c;
	return rc;
}

/* ---- the item ---- */

/* The recipe of a put; blobs without ids yet. */
static nx_rc recipe_of(
	const struct nx_put *put, struct nx_arena *arena, struct nx_recipe *r, struct nx_err *err)
{
	*r = (struct nx_recipe){.n_blobs = put->n_blobs + put->n_shared, .n_parts = put->n_parts};
	r->blobs = nx_arena_alloc_array(arena, r->n_blobs, sizeof(*r->blobs));
	r->parts = nx_arena_copy(arena, put->parts, put->n_parts * sizeof(*put->parts));
	if (!r->blobs || !r->parts)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a recipe");
	for (size_t i = 0; i < put->n_blobs; i++)
		r->blobs[i] = put->blobs[i]->info;
	for (size_t i = 0; i < put->n_shared; i++)
		r->blobs[put->n_blobs + i] = put->shared[i];
	recipe_digest(r, r->digest);
	memcpy(r->content, put->content ? put->content : r->digest, 32);
	return NX_OK;
}

static nx_rc old_find(struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err)
{
	struct nx_put *put = t->put;
	nx_rc rc = nx_cat_item_latest(
		a->cat, put->collection->id, t->subject, put->item->name, g->arena, &t->old, err);

	if (rc == NX_E_NOENT) {
		t->old.id = 0;
		rc = NX_OK;
	}
	return rc;
}

static nx_rc precondition(
	const struct nx_put *put, const struct nx_recipe *there, struct nx_err *err)
{
	char etag[65];

	if (there && put->if_none_match_any)
		return nx_err_set(err, NX_E_PRECONDITION, "the object exists");
	if (!put->if_match)
		return NX_OK;
	if (there)
		nx_hex_format(there->digest, 32, etag);
	if (there && (strcmp(put->if_match, "*") == 0 || strcmp(put->if_match, etag) == 0))
		return NX_OK;
	return nx_err_set(err, NX_E_PRECONDITION, "the object is not the one named by If-Match");
}

/* What the put is, given what is there. */
static nx_rc outcome_of(struct nx_archive *a, struct group *g, struct target *t,
	const struct nx_recipe *r, struct nx_err *err)
{
	struct nx_put *put = t->put;
	struct nx_recipe *there = NULL;
	nx_rc rc = NX_OK;

	put->outcome = NX_PUT_STORED;
	memcpy(put->ret_digest, r->digest, 32);
	if (t->old.id && t->old.state == NX_ITEM_LIVE)
		rc = nx_archive_recipe(a, &t->old, g->arena, &there, err);
	if (!rc)
		rc = precondition(put, there, err);
	if (rc || !there)
		return rc;
	if (memcmp(there->content, r->content, sizeof(r->content)) == 0) {
		put->outcome = NX_PUT_DUPLICATE;
		memcpy(put->ret_digest, there->digest, 32);
	} else if (put->study && strcmp(or_empty(put->collection->on_conflict), "reject") == 0) {
		put->outcome = NX_PUT_REJECTED;
	} else {
		put->outcome = NX_PUT_VERSION;
	}
	return NX_OK;
}

static nx_rc blob_place(
	struct nx_archive *a, struct group *g, struct nx_blob *blob, struct nx_err *err)
{
	struct group_unit *unit;
	nx_rc rc = NX_OK;

	if (blob->small) {
		rc = group_unit(a, g, blob->domain, &unit, err);
		if (rc)
			return rc;
		blob->extents[0].pack = unit->pack;
		blob->extents[0].off = unit->off + UNIT_HEADER_LEN + unit->extents.len;
		nx_buf_put(&unit->extents, blob->small, blob->small_len);
		return nx_buf_check(&unit->extents, err);
	}
	for (size_t i = 0; i < blob->n_extents && !rc; i++)
		rc = group_range(g, &blob->ranges[i], err);
	return rc;
}

static size_t blob_extents(const struct nx_blob *blob)
{
	return blob->small ? 1 : blob->n_extents;
}

static nx_rc blob_rows(struct nx_archive *a, struct group *g, const struct nx_put *put,
	struct nx_recipe *r, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) packed;
	nx_rc rc = NX_OK;

	nx_buf_init(&packed, NX_LIMIT_GROUP_RECORD, 0);
	for (size_t i = 0; i < put->n_blobs && !rc; i++) {
		struct nx_blob_row row = {
			.id = (int64_t)nx_archive_next_id(a, NX_T_BLOB), .refs = 1};
		struct nx_op op;

		rc = blob_place(a, g, put->blobs[i], err);
		if (rc)
			break;
		nx_buf_clear(&packed);
		extents_format(put->blobs[i]->extents, blob_extents(put->blobs[i]), &packed);
		row.extents = nx_buf_slice(&packed);
		r->blobs[i].id = (uint64_t)row.id;
		rc = nx_buf_check(&packed, err);
		if (!rc && nx_op_put_blob(&row, g->arena, &op))
			rc = nx_err_set(err, NX_E_NOMEM, "no memory for a blob row");
		if (!rc)
			rc = group_op(g, &op, err);
	}
	for (size_t i = 0; i < put->n_shared && !rc; i++) {
		struct nx_val vals[] = {nx_val_int((int64_t)put->shared[i].id),
			nx_val_int(NX_C_BLOB_REFS), nx_val_int(1)};

		rc = group_op(g,
			&(struct nx_op){
				.verb = NX_OP_ADD, .table = NX_T_BLOB, .n = 3, .vals = vals},
			err);
	}
	return rc;
}

static nx_rc item_row(struct nx_archive *a, struct group *g, struct target *t,
	const struct nx_recipe *r, struct nx_err *err)
{
	struct nx_put *put = t->put;
	struct nx_item row = *put->item;
	NX_AUTO_DONE(nx_buf) sealed;
	struct nx_op op;
	nx_rc rc;

	row.id = (int64_t)nx_archive_next_id(a, NX_T_ITEM);
	row.collection = put->collection->id;
	row.subject = (int64_t)t->subject;
	row.domain = t->domain;
	row.series = t->series ? t->series->id : 0;
	row.version = t->old.id ? t->old.version + 1 : 1;
	row.state = put->aside ? NX_ITEM_ASIDE : NX_ITEM_LIVE;
	row.received_us = g->now_us;
	nx_buf_init(&sealed, NX_LIMIT_GROUP_RECORD, 0);
	rc = recipe_seal(r, &t->key, (uint64_t)row.id, &sealed, err);
	if (rc)
		return rc;
	row.sealed = nx_buf_slice(&sealed);
	if (nx_op_put_item(&row, g->arena, &op))
		return nx_err_set(err, NX_E_NOMEM, "no memory for an item row");
	put->ret_item = row.id;
	put->ret_version = row.version;
	return group_op(g, &op, err);
}

static nx_rc old_retire(struct group *g, const struct target *t, struct nx_err *err)
{
	struct nx_val vals[] = {
		nx_val_int(t->old.id), nx_val_int(NX_C_ITEM_STATE), nx_val_int(NX_ITEM_OLD)};
	struct nx_op op = {
		.verb = NX_OP_SET, .table = NX_T_ITEM, .n = 3, .domain = t->domain, .vals = vals};

	op.subject = t->subject;
	return group_op(g, &op, err);
}

static nx_rc series_dirty(struct group *g, struct cached_series *c, struct nx_err *err)
{
	nx_rc rc = undo_changed(g, c, sizeof(*c), err);

	if (rc || c->dirty)
		return rc;
	c->dirty = true;
	c->dirty_next = g->dirty_series;
	g->dirty_series = c;
	return NX_OK;
}

static nx_rc count_instance(struct group *g, struct target *t, struct nx_err *err)
{
	nx_rc rc;

	if (!t->study)
		return NX_OK;
	rc = study_dirty(g, t->study, err);
	if (!rc)
		rc = series_dirty(g, t->series, err);
	if (rc)
		return rc;
	t->study->add_instances++;
	t->study->new_updated_us = g->now_us;
	t->series->add_instances++;
	t->series->new_updated_us = g->now_us;
	return NX_OK;
}

/* A replaced object is business as usual; an instance that changes is not. */
static nx_rc conflicts_note(
	struct nx_archive *a, struct group *g, const struct target *t, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	if (!t->study)
		return NX_OK;
	if (t->put->outcome == NX_PUT_VERSION) {
		rc = conflict_row(a, g, t->put, t->old.id, err);
		if (!rc)
			rc = event_row(a, g, "instance.conflict", t->domain, t->subject,
				t->study->id, "{}", err);
	}
	if (!rc && t->study->subject != t->subject)
		rc = event_row(a, g, "study.patient-conflict", t->domain, t->subject, t->study->id,
			"{}", err);
	return rc;
}

static nx_rc uncount(struct group *g, const struct target *t, enum nx_table table, int64_t id,
	enum nx_column column, struct nx_err *err)
{
	struct nx_val vals[] = {nx_val_int(id), nx_val_int(column), nx_val_int(-1)};

	return group_op(g,
		&(struct nx_op){.verb = NX_OP_ADD,
			.table = (uint8_t)table,
			.n = 3,
			.domain = t->domain,
			.subject = t->subject,
			.vals = vals},
		err);
}

/* The new version may have another series than the old one: that one has an instance less. */
static nx_rc version_move(
	struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err)
{
	struct nx_series series;
	nx_rc rc;

	if (t->old.series == (t->series ? t->series->id : 0))
		return NX_OK;
	rc = count_instance(g, t, err);
	if (rc || !t->old.series)
		return rc;
	rc = nx_cat_series_by_id(a->cat, t->old.series, g->arena, &series, err);
	if (!rc)
		rc = uncount(g, t, NX_T_SERIES, series.id, NX_C_SERIES_N_INSTANCES, err);
	return rc ? rc : uncount(g, t, NX_T_STUDY, series.study, NX_C_STUDY_N_INSTANCES, err);
}

static nx_rc item_store(struct nx_archive *a, struct group *g, struct target *t,
	struct nx_recipe *r, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	if (t->put->study) {
		rc = study_resolve(a, g, t, err);
		if (!rc)
			rc = series_resolve(a, g, t, err);
	}
	if (!rc)
		rc = blob_rows(a, g, t->put, r, err);
	if (!rc)
		rc = item_row(a, g, t, r, err);
	if (!rc && t->put->outcome == NX_PUT_VERSION)
		rc = old_retire(g, t, err);
	if (!rc)
		rc = conflicts_note(a, g, t, err);
	if (!rc && t->put->outcome == NX_PUT_VERSION)
		rc = version_move(a, g, t, err);
	if (!rc && t->put->outcome == NX_PUT_STORED)
		rc = count_instance(g, t, err);
	if (rc)
		return rc;
	t->put->ret_study = t->study ? t->study->id : 0;
	t->put->ret_series = t->series ? t->series->id : 0;
	return NX_OK;
}

/*
 * Into quarantine.  It has a key of its own, so that it can be discarded alone; the patient it
 * seems to be of is found or made as for an instance, so that an erasure finds it.
 */
static nx_rc prepare_aside(
	struct nx_archive *a, struct group *g, struct nx_put *put, struct nx_err *err)
{
	struct target patient = {.put = put, .domain = (uint32_t)put->collection->domain};
	struct target t = patient;
	struct nx_recipe r;
	nx_rc rc = aside_room(a, g, put, err);

	if (!rc && put->study)
		rc = subject_find(
			a, g, &patient, or_empty(put->study->issuer), put->study->patient_id, err);
	t.subject = subject_id_new();
	if (!rc)
		rc = nx_keys_subject_new(a->keys, t.domain, t.subject, &t.key, err);
	if (!rc)
		rc = recipe_of(put, g->arena, &r, err);
	if (!rc)
		rc = blob_rows(a, g, put, &r, err);
	if (!rc)
		rc = item_row(a, g, &t, &r, err);
	if (!rc)
		rc = aside_rows(a, g, put, t.subject, patient.subject, &t.key, err);
	nx_key_done(&patient.key);
	nx_key_done(&t.key);
	if (rc)
		return rc;
	put->outcome = NX_PUT_STORED;
	put->ret_subject = patient.subject ? patient.subject : t.subject;
	return NX_OK;
}

nx_rc prepare_put(struct nx_archive *a, struct group *g, struct nx_put *put, struct nx_err *err)
{
	struct target t = {.put = put, .domain = (uint32_t)put->collection->domain};
	struct nx_recipe r;
	nx_rc rc;

	if (put->aside)
		return prepare_aside(a, g, put, err);
	assert(!put->study == !put->series);
	rc = subject_resolve(a, g, &t, err);
	if (!rc)
		rc = recipe_of(put, g->arena, &r, err);
	if (!rc)
		rc = old_find(a, g, &t, err);
	if (!rc)
		rc = outcome_of(a, g, &t, &r, err);
	if (!rc && put->outcome != NX_PUT_DUPLICATE && put->outcome != NX_PUT_REJECTED)
		rc = item_store(a, g, &t, &r, err);
	nx_key_done(&t.key);
	if (rc)
		return rc;
	put->ret_subject = t.subject;
	if (put->outcome == NX_PUT_DUPLICATE || put->outcome == NX_PUT_REJECTED) {
		put->ret_item = t.old.id;
		put->ret_version = t.old.version;
	}
	return NX_OK;
}

/* ---- counters, once per study and series of the group ---- */

static nx_rc study_counters(struct group *g, struct cached_study *c, struct nx_err *err)
{
	struct nx_val add[] = {
		nx_val_int(c->id),
		nx_val_int(NX_C_STUDY_N_SERIES),
		nx_val_int(c->add_series),
		nx_val_int(NX_C_STUDY_N_INSTANCES),
		nx_val_int(c->add_instances),
		nx_val_int(NX_C_STUDY_UPDATED_US),
		nx_val_int(c->new_updated_us ? c->new_updated_us - c->updated_us : 0),
	};
	struct nx_val set[] = {
		nx_val_int(c->id), nx_val_int(NX_C_STUDY_MODALITIES), nx_val_text(c->modalities)};
	struct nx_op op = {.verb = NX_OP_ADD,
		.table = NX_T_STUDY,
		.n = 7,
		.domain = c->domain,
		.subject = c->subject,
		.vals = add};
	nx_rc rc = group_op(g, &op, err);

	if (rc || !c->modalities_dirty)
		return rc;
	op.verb = NX_OP_SET;
	op.n = 3;
	op.vals = set;
	return group_op(g, &op, err);
}

static nx_rc series_counters(struct group *g, struct cached_series *c, struct nx_err *err)
{
	struct nx_val add[] = {
		nx_val_int(c->id),
		nx_val_int(NX_C_SERIES_N_INSTANCES),
		nx_val_int(c->add_instances),
		nx_val_int(NX_C_SERIES_UPDATED_US),
		nx_val_int(c->new_updated_us ? c->new_updated_us - c->updated_us : 0),
	};

	return group_op(g,
		&(struct nx_op){.verb = NX_OP_ADD,
			.table = NX_T_SERIES,
			.n = 5,
			.domain = c->domain,
			.subject = c->subject,
			.vals = add},
		err);
}

static void study_clean(struct cached_study *c)
{
	c->dirty = false;
	c->modalities_dirty = false;
	c->add_series = 0;
	c->add_instances = 0;
	if (c->new_updated_us)
		c->updated_us = c->new_updated_us;
	c->new_updated_us = 0;
}

nx_rc prepare_counters(struct group *g, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (struct cached_study *c = g->dirty_studies; c && !rc; c = c->dirty_next) {
		rc = study_counters(g, c, err);
		study_clean(c);
	}
	for (struct cached_series *c = g->dirty_series; c && !rc; c = c->dirty_next) {
		rc = series_counters(g, c, err);
		c->dirty = false;
		c->add_instances = 0;
		if (c->new_updated_us)
			c->updated_us = c->new_updated_us;
		c->new_updated_us = 0;
	}
	return rc;
}

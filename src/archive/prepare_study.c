/* Studies and series: found or made, and their counters. */
#include <stdio.h>
#include <stdlib.h>

#include "archive/prepare_priv.h"
#include "base/map.h"

/* ---- found or made ---- */

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
	row.complete_us = NX_STUDY_OPEN;
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

static nx_rc study_find(struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	struct cached_study *c;
	struct nx_slice key;
	nx_rc rc;

	nx_buf_init(&buf, KEY_MAX, NX_BUF_WIPE);
	key = lookup_key(&buf, t->put->collection->id, t->put->study->uid, NULL);
	t->study = nx_map_get(a->cache.studies, key);
	if (t->study)
		return NX_OK;
	c = calloc(1, sizeof(*c));
	if (!c)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the study cache");
	c->domain = t->domain;
	rc = study_load(a, g, t, c, err);
	if (!rc)
		rc = lookup_add(g, a->cache.studies, key, c, err);
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
	modality_add(t->study, or_empty(row.modality));
	return group_op(g, &op, err);
}

static nx_rc series_find(
	struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	struct cached_series *c;
	struct nx_series row;
	struct nx_slice key;
	nx_rc rc;

	nx_buf_init(&buf, KEY_MAX, NX_BUF_WIPE);
	key = lookup_key(&buf, t->study->id, t->put->series->uid, NULL);
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
		c->n_instances = row.n_instances;
	} else if (rc == NX_E_NOENT) {
		rc = series_new(a, g, t, c, err);
	}
	if (!rc)
		rc = lookup_add(g, a->cache.series, key, c, err);
	if (rc)
		free(c);
	else
		t->series = c;
	return rc;
}

nx_rc study_resolve(struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err)
{
	nx_rc rc = study_find(a, g, t, err);

	return rc ? rc : series_find(a, g, t, err);
}

/* ---- what a put changes ---- */

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

static nx_rc study_touch(struct group *g, struct target *t, struct nx_err *err)
{
	nx_rc rc = study_dirty(g, t->study, err);

	if (!rc)
		rc = series_dirty(g, t->series, err);
	if (rc)
		return rc;
	t->study->new_updated_us = g->now_us;
	t->series->new_updated_us = g->now_us;
	return NX_OK;
}

nx_rc study_count(struct group *g, struct target *t, struct nx_err *err)
{
	nx_rc rc;

	if (!t->study)
		return NX_OK;
	rc = study_touch(g, t, err);
	if (rc)
		return rc;
	if (t->series->n_instances++ == 0) {
		t->study->add_series++;
		modality_add(t->study, or_empty(t->put->series->modality));
	}
	t->study->add_instances++;
	t->series->add_instances++;
	return NX_OK;
}

/* ---- a modality that no series has any more ---- */

struct others {
	const struct emptied *emptied;
	const char *modality;
	bool found;
};

static nx_rc other_look(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_series *series = row;
	struct others *o = payload;
	bool gone = series->n_instances <= 0;

	(void)err;
	for (const struct emptied *e = o->emptied; e && !gone; e = e->next)
		gone = e->series == series->id;
	o->found = o->found || (!gone && strcmp(or_empty(series->modality), o->modality) == 0);
	return NX_OK;
}

/* `list` without `value`; at least as long. */
static void list_without(const char *list, const char *value, char *ret, size_t cap)
{
	size_t n = 0;

	ret[0] = '\0';
	while (*list) {
		size_t len = strcspn(list, "\\");

		if (len != strlen(value) || memcmp(list, value, len) != 0)
			n += (size_t)snprintf(
				ret + n, cap - n, "%s%.*s", n ? "\\" : "", (int)len, list);
		list += len + (list[len] != '\0');
	}
}

/* In the cache, which writes it with the counters, or in the row. */
static nx_rc modality_unlist(struct nx_archive *a, struct group *g, const struct target *t,
	const struct nx_study *study, const char *modality, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	char list[sizeof(((struct cached_study *)0)->modalities)] = "";
	struct nx_val vals[] = {
		nx_val_int(study->id), nx_val_int(NX_C_STUDY_MODALITIES), nx_val_text(list)};
	struct nx_op op = {.verb = NX_OP_SET,
		.table = NX_T_STUDY,
		.n = NX_ARRAY_LEN(vals),
		.domain = t->domain,
		.subject = t->subject,
		.vals = vals};
	struct cached_study *c;
	nx_rc rc;

	nx_buf_init(&buf, KEY_MAX, NX_BUF_WIPE);
	c = nx_map_get(a->cache.studies, lookup_key(&buf, study->collection, study->uid, NULL));
	list_without(c ? c->modalities : or_empty(study->modalities), modality, list, sizeof(list));
	vals[2] = nx_val_text(list);
	if (!c)
		return group_op(g, &op, err);
	rc = study_dirty(g, c, err);
	if (rc)
		return rc;
	(void)snprintf(c->modalities, sizeof(c->modalities), "%s", list);
	c->modalities_dirty = true;
	return NX_OK;
}

static nx_rc modality_drop(struct nx_archive *a, struct group *g, const struct target *t,
	const struct nx_series *series, const struct emptied *emptied, struct nx_err *err)
{
	struct others others = {.emptied = emptied, .modality = or_empty(series->modality)};
	struct nx_study study;
	nx_rc rc = nx_cat_series_of(a->cat, series->study, other_look, &others, err);

	if (rc || others.found || !others.modality[0])
		return rc;
	rc = nx_cat_study_by_id(a->cat, series->study, g->arena, &study, err);
	return rc ? rc : modality_unlist(a, g, t, &study, others.modality, err);
}

/* How many instances a series has by now, less those at hand, which leave it. */
static nx_rc series_leave(struct nx_archive *a, struct group *g, const struct nx_series *series,
	int64_t n, int64_t *ret_left, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	struct cached_series *c;
	nx_rc rc;

	nx_buf_init(&buf, KEY_MAX, NX_BUF_WIPE);
	c = nx_map_get(a->cache.series, lookup_key(&buf, series->study, series->uid, NULL));
	*ret_left = (c ? c->n_instances : series->n_instances) - n;
	if (!c)
		return NX_OK;
	rc = undo_changed(g, c, sizeof(*c), err);
	if (!rc)
		c->n_instances -= n;
	return rc;
}

/* A series without instances is in no answer, and is not counted. */
static nx_rc uncount(struct group *g, const struct target *t, const struct nx_series *series,
	int64_t n, bool empty, struct nx_err *err)
{
	struct nx_val of_series[] = {
		nx_val_int(series->id), nx_val_int(NX_C_SERIES_N_INSTANCES), nx_val_int(-n)};
	struct nx_val of_study[] = {nx_val_int(series->study), nx_val_int(NX_C_STUDY_N_INSTANCES),
		nx_val_int(-n), nx_val_int(NX_C_STUDY_N_SERIES), nx_val_int(empty ? -1 : 0)};
	struct nx_op ops[] = {
		{.table = NX_T_SERIES, .n = NX_ARRAY_LEN(of_series), .vals = of_series},
		{.table = NX_T_STUDY, .n = NX_ARRAY_LEN(of_study), .vals = of_study}};
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < NX_ARRAY_LEN(ops) && !rc; i++) {
		ops[i].verb = NX_OP_ADD;
		ops[i].domain = t->domain;
		ops[i].subject = t->subject;
		rc = group_op(g, &ops[i], err);
	}
	return rc;
}

nx_rc study_move(struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err)
{
	struct nx_series series;
	int64_t left = 0;
	const struct emptied emptied = {.series = t->old.series};
	/* No other series of the group, which the rows do not show yet, may have the modality. */
	bool alone = t->study && !t->study->add_series;
	nx_rc rc;

	if (t->old.series == (t->series ? t->series->id : 0))
		return t->series ? study_touch(g, t, err) : NX_OK;
	rc = study_count(g, t, err);
	if (rc || !t->old.series)
		return rc;
	rc = nx_cat_series_by_id(a->cat, t->old.series, g->arena, &series, err);
	if (!rc)
		rc = series_leave(a, g, &series, 1, &left, err);
	if (!rc)
		rc = uncount(g, t, &series, 1, left == 0, err);
	if (rc || left || !alone ||
		strcmp(or_empty(series.modality), or_empty(t->put->series->modality)) == 0)
		return rc;
	return modality_drop(a, g, t, &series, &emptied, err);
}

nx_rc study_uncount(struct nx_archive *a, struct group *g, const struct nx_item *item,
	const struct nx_series *series, int64_t n, struct emptied **emptied, struct nx_err *err)
{
	struct emptied *e = nx_arena_alloc(g->arena, sizeof(*e));
	const struct target t = {
		.domain = (uint32_t)item->domain, .subject = (uint64_t)item->subject};
	int64_t left = 0;
	nx_rc rc = series_leave(a, g, series, n, &left, err);

	if (!rc)
		rc = uncount(g, &t, series, n, left == 0, err);
	if (rc || left)
		return rc;
	if (!e)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	*e = (struct emptied){*emptied, series->id};
	*emptied = e;
	return modality_drop(a, g, &t, series, e, err);
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

nx_rc prepare_counters(struct nx_archive *a, struct group *g, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (struct cached_study *c = g->dirty_studies; c && !rc; c = c->dirty_next) {
		rc = study_counters(g, c, err);
		study_clean(c);
		if (a->on_study)
			a->on_study(a->on_study_payload, c->id);
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

/* What goes into a release: rows first, then each item's recipe for its hashes. */
#include <stdlib.h>
#include <string.h>

#include "dataset/dataset_priv.h"

enum {
	RECIPE_ARENA_MAX = 64 * 1024 * 1024,
	STUDIES_AT_ONCE = 1000
};

struct walk {
	struct selection *s;
	struct nx_cat *cat;
	const char *pseudonym;
	const char *series;
	struct nx_arena *scratch; /* of one recipe */
};

static bool room(struct selection *s)
{
	size_t cap = s->cap ? s->cap * 2 : 256;
	struct selected *items;

	if (s->n < s->cap)
		return true;
	items = realloc(s->items, cap * sizeof(*items));
	if (!items)
		return false;
	s->items = items;
	s->cap = cap;
	return true;
}

static nx_rc item_hashes(
	struct walk *w, const struct nx_item *item, struct nx_manifest_entry *e, struct nx_err *err)
{
	struct nx_recipe *recipe;
	nx_rc rc;

	nx_arena_reset(w->scratch);
	rc = nx_archive_recipe(w->s->archive, item, w->scratch, &recipe, err);
	if (rc)
		return rc;
	e->size = recipe->size;
	memcpy(e->digest, recipe->digest, sizeof(e->digest));
	e->n_blobs = recipe->n_blobs;
	e->blobs = nx_arena_alloc_array(w->s->arena, e->n_blobs, sizeof(*e->blobs));
	if (!e->blobs)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an entry");
	for (size_t i = 0; i < e->n_blobs; i++) {
		e->blobs[i].len = recipe->blobs[i].len;
		memcpy(e->blobs[i].root, recipe->blobs[i].root, sizeof(e->blobs[i].root));
	}
	return NX_OK;
}

/* A subject erased meanwhile is not there. */
static nx_rc item_add(void *payload, const void *row, struct nx_err *err)
{
	struct walk *w = payload;
	const struct nx_item *item = row;
	struct selected x = {.item = item->id};
	nx_rc rc;

	if (!room(w->s))
		return nx_err_set(err, NX_E_NOMEM, "no memory for %zu items", w->s->n);
	x.entry.pseudonym = w->pseudonym;
	x.entry.series = w->series;
	x.entry.instance = nx_arena_str(w->s->arena, item->name, strlen(item->name));
	if (!x.entry.instance)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an entry");
	rc = item_hashes(w, item, &x.entry, err);
	if (rc)
		return rc == NX_E_ERASED ? NX_OK : rc;
	w->s->bytes += x.entry.size;
	w->s->items[w->s->n++] = x;
	return NX_OK;
}

static nx_rc series_add(void *payload, const void *row, struct nx_err *err)
{
	struct walk *w = payload;
	const struct nx_series *series = row;

	w->series = nx_arena_str(w->s->arena, series->uid, strlen(series->uid));
	if (!w->series)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a series");
	return nx_cat_items_of(w->cat, series->id, item_add, w, err);
}

static nx_rc study_add(struct walk *w, const struct nx_study *study, struct nx_err *err)
{
	w->pseudonym = nx_arena_str(w->s->arena, study->patient_id, strlen(study->patient_id));
	if (!w->pseudonym)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a study");
	return nx_cat_series_of(w->cat, study->id, series_add, w, err);
}

static nx_rc study_match(void *payload, const struct nx_match *match, struct nx_err *err)
{
	return study_add(payload, match->study, err);
}

static nx_rc all_studies(struct walk *w, const struct nx_collection *collection, struct nx_err *err)
{
	struct nx_query query = {.level = NX_LEVEL_STUDY,
		.collections = &collection->id,
		.n_collections = 1,
		.limit = STUDIES_AT_ONCE};
	bool more = true;
	nx_rc rc = NX_OK;

	for (; more && !rc; query.offset += STUDIES_AT_ONCE)
		rc = nx_cat_query(w->cat, &query, study_match, w, &more, err);
	return rc;
}

static nx_rc named_studies(struct walk *w, const struct nx_collection *collection,
	const char *const *studies, size_t n, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < n && !rc; i++) {
		struct nx_study study;

		rc = nx_cat_study(w->cat, collection->id, studies[i], w->s->arena, &study, err);
		if (rc)
			return nx_err_prefix(err, rc, "study %zu of the selection", i);
		rc = study_add(w, &study, err);
	}
	return rc;
}

static int selected_compare(const void *a, const void *b)
{
	return nx_manifest_compare(
		&((const struct selected *)a)->entry, &((const struct selected *)b)->entry);
}

/* A study named twice is there once. */
static void sort_unique(struct selection *s)
{
	size_t n = 0;

	if (s->n)
		qsort(s->items, s->n, sizeof(*s->items), selected_compare);
	for (size_t i = 0; i < s->n; i++) {
		if (n && selected_compare(&s->items[n - 1], &s->items[i]) == 0)
			s->bytes -= s->items[i].entry.size;
		else
			s->items[n++] = s->items[i];
	}
	s->n = n;
}

nx_rc selection_fill(struct selection *s, const struct nx_collection *collection,
	const char *const *studies, size_t n_studies, struct nx_err *err)
{
	NX_AUTO(nx_arena) *scratch = nx_arena_new(RECIPE_ARENA_MAX, NX_ARENA_WIPE);
	struct walk w = {.s = s, .cat = nx_archive_cat(s->archive), .scratch = scratch};
	nx_rc rc;

	if (!scratch)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a selection");
	rc = nx_archive_current(s->archive, err);
	if (rc)
		return rc;
	if (studies)
		rc = named_studies(&w, collection, studies, n_studies, err);
	else
		rc = all_studies(&w, collection, err);
	if (rc)
		return rc;
	if (!s->n)
		return nx_err_set(err, NX_E_NOENT, "the selection is empty");
	sort_unique(s);
	return NX_OK;
}

void selection_done(struct selection *s)
{
	free(s->items);
}

/*
 * All versions of an instance: those of the subject that it is of, and those from before it was
 * corrected to be of that one.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "retrieve/instances_priv.h"

enum {
	VERSIONS_MAX = 1000,
	SUBJECTS_MAX = 64
};

struct history {
	struct nx_cat *cat;
	struct nx_arena *arena;
	struct nx_collection collection;
	struct nx_item live;
	uint64_t subjects[SUBJECTS_MAX];
	size_t n_subjects;
	struct nx_item versions[VERSIONS_MAX];
	size_t n;
};

static nx_rc subject_add(struct history *h, uint64_t subject, struct nx_err *err)
{
	for (size_t i = 0; i < h->n_subjects; i++)
		if (h->subjects[i] == subject)
			return NX_OK;
	if (h->n_subjects == SUBJECTS_MAX)
		return nx_err_set(err, NX_E_LIMIT, "of more than %d patients", SUBJECTS_MAX);
	h->subjects[h->n_subjects++] = subject;
	return NX_OK;
}

static nx_rc version_add(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_item *item = row;
	struct history *h = payload;
	struct nx_edit_row edit;
	nx_rc rc;

	if (item->collection != h->collection.id || !item->series ||
		strcmp(item->name, h->live.name) != 0)
		return NX_OK;
	if (h->n == VERSIONS_MAX)
		return nx_err_set(err, NX_E_LIMIT, "more than %d versions", VERSIONS_MAX);
	rc = nx_cat_item_by_id(h->cat, item->id, h->arena, &h->versions[h->n++], err);
	if (!rc)
		rc = nx_cat_edit(h->cat, item->id, h->arena, &edit, err);
	if (rc == NX_E_NOENT)
		return NX_OK;
	return rc ? rc : subject_add(h, (uint64_t)edit.was, err);
}

static int by_version(const void *a, const void *b)
{
	const struct nx_item *x = a, *y = b;

	return (x->version > y->version) - (x->version < y->version);
}

static nx_rc history_load(struct nx_retrieve *r, const struct nx_principal *who, enum nx_perm perm,
	const struct nx_selection *sel, struct history *h, struct nx_err *err)
{
	struct nx_study study;
	struct nx_series series;
	nx_rc rc = guard(r, who, perm, sel->collection, &h->collection, h->arena, err);

	if (!rc)
		rc = nx_archive_current(r->archive, err);
	if (!rc)
		rc = nx_cat_study(h->cat, h->collection.id, sel->study, h->arena, &study, err);
	if (!rc)
		rc = nx_cat_series(h->cat, study.id, sel->series, h->arena, &series, err);
	if (!rc)
		rc = nx_cat_item_in_series(
			h->cat, series.id, sel->instance, h->arena, &h->live, err);
	if (!rc)
		rc = subject_add(h, (uint64_t)h->live.subject, err);
	for (size_t i = 0; i < h->n_subjects && !rc; i++)
		rc = nx_cat_items_of_subject(h->cat, h->subjects[i], version_add, h, err);
	qsort(h->versions, h->n, sizeof(*h->versions), by_version);
	return rc;
}

static struct history *history_free(struct history *h)
{
	if (!h)
		return NULL;
	nx_arena_free(h->arena);
	free(h);
	return NULL;
}
NX_DEFINE_AUTO(history);

static nx_rc history_new(struct nx_retrieve *r, const struct nx_principal *who, enum nx_perm perm,
	const struct nx_selection *sel, struct history **ret, struct nx_err *err)
{
	NX_AUTO(history) *h = calloc(1, sizeof(*h));
	nx_rc rc;

	if (h)
		h->arena = nx_arena_new(64 * NX_MIB, NX_ARENA_WIPE);
	if (!h || !h->arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for versions");
	h->cat = nx_archive_cat(r->archive);
	rc = history_load(r, who, perm, sel, h, err);
	if (!rc)
		*ret = NX_STEAL(h);
	return rc;
}

static const char *state_word(int64_t state)
{
	return state == NX_ITEM_LIVE        ? "live"
		: state == NX_ITEM_REJECTED ? "rejected"
		: state == NX_ITEM_DELETED  ? "deleted"
					    : "old";
}

nx_rc nx_retrieve_versions(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_selection *sel, struct nx_buf *out, struct nx_err *err)
{
	struct access_note n = {.action = NX_ACTION_QUERY,
		.collection = sel->collection,
		.study = sel->study,
		.what = "versions"};
	NX_AUTO(history) *h = NULL;
	char when[NX_TIME_TEXT];
	struct nx_json json;
	nx_rc rc = history_new(retrieve, who, NX_PERM_QUERY, sel, &h, err);

	if (rc)
		return rc;
	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_key(&json, "versions");
	nx_json_array_begin(&json);
	for (size_t i = 0; i < h->n; i++) {
		const struct nx_item *item = &h->versions[i];

		nx_time_format(item->received_us, when);
		nx_json_object_begin(&json);
		nx_json_kv_int(&json, "version", item->version);
		nx_json_kv_str(&json, "state", state_word(item->state));
		nx_json_kv_str(&json, "received", when);
		nx_json_kv_int(&json, "size", item->size);
		nx_json_kv_bool(&json, "other_patient", item->subject != h->live.subject);
		nx_json_object_end(&json);
	}
	nx_json_array_end(&json);
	nx_json_object_end(&json);
	n.subject = (uint64_t)h->live.subject;
	rc = note(retrieve, who, &n, true, err);
	return rc ? rc : nx_buf_check(out, err);
}

nx_rc nx_retrieve_version(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_selection *sel, int64_t version, struct nx_object **ret, struct nx_err *err)
{
	struct access_note n = {.action = NX_ACTION_READ,
		.collection = sel->collection,
		.study = sel->study,
		.what = sel->instance};
	NX_AUTO(nx_object) *object = NULL;
	NX_AUTO(history) *h = NULL;
	nx_rc rc = history_new(retrieve, who, NX_PERM_READ, sel, &h, err);
	size_t i = 0;

	if (rc)
		return rc;
	while (i < h->n && h->versions[i].version != version)
		i++;
	/* What is rejected or deleted is read by who may do that, at its own place. */
	if (i == h->n ||
		(h->versions[i].state != NX_ITEM_LIVE && h->versions[i].state != NX_ITEM_OLD))
		return nx_err_set(err, NX_E_NOENT, "no such version");
	n.subject = (uint64_t)h->versions[i].subject;
	rc = object_of_item(retrieve, &h->versions[i], &object, err);
	if (!rc)
		rc = note(retrieve, who, &n, false, err);
	if (!rc)
		*ret = NX_STEAL(object);
	return rc;
}

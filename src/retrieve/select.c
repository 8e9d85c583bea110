/* Selections by keys (rows that match, then the instances in them) and by the items' numbers. */
#include "retrieve/instances_priv.h"

/* Of a list of one the ledger has the value, of others that they were some. */
static const char *what_of(const struct nx_selection_keys *sel)
{
	static const uint32_t unique[] = {
		[NX_LEVEL_SERIES] = 0x0020000e, [NX_LEVEL_INSTANCE] = 0x00080018};

	for (size_t i = 0; sel->level >= NX_LEVEL_SERIES && i < sel->n_keys; i++)
		if (sel->keys[i].tag == unique[sel->level] && !strchr(sel->keys[i].value, '\\'))
			return sel->keys[i].value;
	return NULL;
}

static nx_rc match_keep(void *payload, const struct nx_match *m, struct nx_err *err)
{
	struct nx_instances *x = payload;
	nx_rc rc;

	if (!m->series)
		return study_keep(x, m->study, err);
	rc = origin_set(x, m->study, m->series->uid, err);
	if (rc)
		return rc;
	return m->item ? item_keep(x, m->item, err)
		       : nx_cat_items_of(x->cat, m->series->id, item_keep, x, err);
}

static nx_rc matches_find(struct nx_instances *x, const struct nx_selection_keys *sel,
	const struct nx_collection *collection, struct nx_err *err)
{
	struct nx_query_key keys[NX_LIMIT_QUERY_KEYS];
	const struct nx_query query = {
		.level = sel->level > NX_LEVEL_STUDY ? sel->level : NX_LEVEL_STUDY,
		.collections = &collection->id,
		.n_collections = 1,
		.keys = keys,
		.n_keys = sel->n_keys,
	};
	bool more = false;
	nx_rc rc;

	if (sel->n_keys > NX_ARRAY_LEN(keys))
		return nx_err_set(err, NX_E_LIMIT, "query: %zu keys", sel->n_keys);
	for (size_t i = 0; i < sel->n_keys; i++)
		keys[i] = (struct nx_query_key){sel->keys[i].tag, sel->keys[i].value};
	rc = nx_cat_query(x->cat, &query, match_keep, x, &more, err);
	if (!rc && more)
		rc = nx_err_set(err, NX_E_LIMIT, "more than %u matches", NX_LIMIT_QUERY_ROWS);
	return rc;
}

nx_rc nx_retrieve_open_keys(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_selection_keys *sel, struct nx_instances **ret, struct nx_err *err)
{
	NX_AUTO(nx_instances) *x = NULL;
	const struct access_note n = {.action = NX_ACTION_READ,
		.collection = sel->collection,
		.what = what_of(sel),
		.to = sel->to};
	struct nx_collection collection;
	nx_rc rc = instances_new(retrieve, &x, err);

	if (!rc)
		rc = guard(
			retrieve, who, NX_PERM_READ, sel->collection, &collection, x->arena, err);
	if (!rc)
		rc = nx_archive_current(retrieve->archive, err);
	if (!rc)
		rc = matches_find(x, sel, &collection, err);
	if (!rc)
		rc = instances_note(retrieve, who, x, n, err);
	if (rc)
		return rc;
	*ret = NX_STEAL(x);
	return NX_OK;
}

/* ---- by number ---- */

/* Items of one series mostly come one after another. */
static nx_rc item_origin(struct nx_instances *x, int64_t id, int64_t *series, struct nx_err *err)
{
	struct nx_series row;
	struct nx_study study;
	nx_rc rc;

	if (id == *series)
		return NX_OK;
	rc = nx_cat_series_by_id(x->cat, id, x->arena, &row, err);
	if (!rc)
		rc = nx_cat_study_by_id(x->cat, row.study, x->arena, &study, err);
	if (!rc)
		rc = origin_set(x, &study, row.uid, err);
	*series = rc ? 0 : id;
	return rc;
}

static nx_rc items_find(struct nx_instances *x, const struct nx_selection_items *sel,
	const struct nx_collection *collection, struct nx_err *err)
{
	int64_t series = 0;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < sel->n && !rc; i++) {
		struct nx_item item;

		rc = nx_cat_item_by_id(x->cat, sel->items[i], x->arena, &item, err);
		if (rc == NX_E_NOENT) {
			rc = NX_OK;
			continue;
		}
		if (rc || item.state != NX_ITEM_LIVE || !item.series ||
			item.collection != collection->id)
			continue;
		rc = item_origin(x, item.series, &series, err);
		if (!rc)
			rc = item_keep(x, &item, err);
	}
	return rc;
}

nx_rc nx_retrieve_open_items(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_selection_items *sel, struct nx_instances **ret, struct nx_err *err)
{
	NX_AUTO(nx_instances) *x = NULL;
	const struct access_note n = {
		.action = NX_ACTION_READ, .collection = sel->collection, .to = sel->to};
	struct nx_collection collection;
	nx_rc rc = instances_new(retrieve, &x, err);

	if (!rc)
		rc = guard(
			retrieve, who, NX_PERM_READ, sel->collection, &collection, x->arena, err);
	if (!rc)
		rc = nx_archive_current(retrieve->archive, err);
	if (!rc)
		rc = items_find(x, sel, &collection, err);
	if (!rc)
		rc = instances_note(retrieve, who, x, n, err);
	if (!rc)
		*ret = NX_STEAL(x);
	return rc;
}

#include "retrieve/retrieve_priv.h"

enum {
	FIND_ARENA_MAX = 1024 * 1024
};

bool nx_retrieve_find_knows(unsigned level, uint32_t tag)
{
	return nx_cat_query_key_known(level, tag);
}

nx_rc nx_retrieve_find(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_find *find,
	nx_rc (*fn)(void *payload, const struct nx_match *match, struct nx_err *err), void *payload,
	bool *ret_more, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(FIND_ARENA_MAX, NX_ARENA_WIPE);
	struct nx_collection collection = {.id = 0};
	struct nx_query_key keys[NX_LIMIT_QUERY_KEYS];
	const struct access_note n = {
		.action = NX_ACTION_QUERY, .collection = find->collection, .what = "find"};
	struct nx_query query = {
		.level = find->level,
		.n_collections = 1,
		.keys = keys,
		.n_keys = find->n_keys,
		.fuzzy = find->fuzzy,
		.datetime = find->datetime,
		.limit = find->limit,
		.offset = find->offset,
	};
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a query");
	if (find->n_keys > NX_ARRAY_LEN(keys))
		return nx_err_set(err, NX_E_LIMIT, "query: %zu keys", find->n_keys);
	for (size_t i = 0; i < find->n_keys; i++)
		keys[i] = (struct nx_query_key){find->keys[i].tag, find->keys[i].value};
	rc = guard(retrieve, who, NX_PERM_QUERY, find->collection, &collection, arena, err);
	if (!rc)
		rc = note(retrieve, who, &n, true, err);
	if (!rc)
		rc = nx_archive_current(retrieve->archive, err);
	if (rc)
		return rc;
	query.collections = &collection.id;
	return nx_cat_query(nx_archive_cat(retrieve->archive), &query, fn, payload, ret_more, err);
}

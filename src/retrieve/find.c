#include "dicom/dicom.h"
#include "retrieve/find_priv.h"

enum {
	FIND_ARENA_MAX = 1024 * 1024
};

bool nx_retrieve_find_knows(unsigned level, uint32_t tag)
{
	return nx_cat_query_key_known(level, tag);
}

struct search {
	const struct nx_find *find;
	nx_find_fn fn;
	void *payload;
	struct look look;
	unsigned skip; /* matches before the offset */
	unsigned left; /* below the limit */
	bool full;
};

static nx_rc match_give(void *payload, const struct nx_match *match, struct nx_err *err)
{
	const struct search *s = payload;

	return s->fn(s->payload, match, NULL, err);
}

/* Limit and offset are of what matches all keys, so that they are counted here. */
static nx_rc match_look(void *payload, const struct nx_match *match, struct nx_err *err)
{
	struct nx_dataset sequences;
	struct search *s = payload;
	bool matches = false;
	nx_rc rc = look_at(&s->look, match, &matches, &sequences, err);

	if (rc || !matches)
		return rc;
	if (s->skip) {
		s->skip--;
		return NX_OK;
	}
	s->full = s->left == 0;
	if (s->full)
		return nx_err_set(err, NX_E_LIMIT, "there are more matches");
	s->left--;
	return s->fn(s->payload, match, &sequences, err);
}

static nx_rc candidates_look(struct nx_cat *cat, struct nx_query *query, struct search *s,
	bool *ret_more, struct nx_err *err)
{
	bool more = false;
	nx_rc rc;

	s->skip = query->offset;
	s->left = query->limit && query->limit < NX_LIMIT_QUERY_ROWS ? query->limit
								     : NX_LIMIT_QUERY_ROWS;
	query->offset = query->limit = 0;
	rc = nx_cat_query(cat, query, match_look, s, &more, err);
	*ret_more = s->full;
	if (rc && s->full)
		return NX_OK;
	if (!rc && more)
		rc = nx_err_set(err, NX_E_LIMIT, "more than %u to look into for sequences",
			NX_LIMIT_QUERY_ROWS);
	return rc;
}

static nx_rc query_run(struct nx_retrieve *r, struct nx_query *query, struct search *s,
	bool *ret_more, struct nx_err *err)
{
	struct nx_cat *cat = nx_archive_cat(r->archive);
	nx_rc rc;

	if (!s->find->sequences || !s->find->sequences->n)
		return nx_cat_query(cat, query, match_give, s, ret_more, err);
	rc = look_init(&s->look, r, s->find, err);
	if (!rc)
		rc = candidates_look(cat, query, s, ret_more, err);
	look_done(&s->look);
	return rc;
}

nx_rc nx_retrieve_find(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_find *find, nx_find_fn fn, void *payload, bool *ret_more,
	struct nx_err *err)
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
	struct search s = {.find = find, .fn = fn, .payload = payload};
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
	return query_run(retrieve, &query, &s, ret_more, err);
}

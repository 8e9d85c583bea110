/*
 * Keys that are in sequences (PS3.18 8.3.4.1: "RequestAttributesSequence.RequestedProcedureID"),
 * and sequences that are asked for.  As in an identifier of C-FIND, a sequence has one item with
 * its keys, or none where all of it is wanted.
 */
#include <string.h>

#include "base/arena.h"
#include "dicomweb/dicomweb_priv.h"

enum {
	PATH_MAX_TAGS = 8
};

struct path {
	nx_tag tags[PATH_MAX_TAGS]; /* sequences, and at the end what is matched */
	size_t n;
};

static bool is_sequence(nx_tag tag)
{
	const struct nx_dict_entry *entry = nx_dict_find(tag);

	return entry && entry->vr == NX_VR('S', 'Q');
}

/* A value that is written as text. */
static bool has_text(nx_tag tag)
{
	const struct nx_dict_entry *entry = nx_dict_find(tag);

	return entry && entry->vr != NX_VR('S', 'Q') && nx_dicom_vr_unit(entry->vr) == 1;
}

static bool path_parse(const char *name, struct path *ret)
{
	size_t n;

	for (ret->n = 0; ret->n < PATH_MAX_TAGS; name += n + 1) {
		nx_tag *tag = &ret->tags[ret->n++];

		n = strcspn(name, ".");
		if (!nx_dict_parse_tag(name, n, tag))
			return false;
		if (!name[n])
			return ret->n > 1 && has_text(*tag);
		if (!is_sequence(*tag))
			return false;
	}
	return false;
}

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for a key");
}

static struct nx_dataset *keys_new(struct nx_arena *arena)
{
	struct nx_dataset *ds = nx_dataset_new(arena, NX_LIMIT_QUERY_KEYS);

	if (ds)
		ds->charset = nx_slice_str("ISO_IR 192");
	return ds;
}

/* The item of a sequence that is there already, or is put there. */
static struct nx_dataset *item_of(struct nx_dataset *ds, nx_tag tag, struct nx_arena *arena)
{
	const struct nx_elem *there = nx_dataset_find(ds, tag);
	struct nx_elem elem = {.tag = tag, .vr = NX_VR('S', 'Q'), .n_items = 1};

	if (there && there->n_items)
		return there->items[0];
	elem.items = nx_arena_alloc_array(arena, 1, sizeof(struct nx_dataset *));
	if (!elem.items)
		return NULL;
	elem.items[0] = keys_new(arena);
	if (elem.items[0])
		nx_dataset_put(ds, &elem);
	return elem.items[0];
}

static nx_rc room(struct dw_query *query, struct nx_arena *arena, struct nx_err *err)
{
	if (query->n_keys + query->n_paths == NX_LIMIT_QUERY_KEYS)
		return nx_err_set(err, NX_E_LIMIT, "more than %u keys", NX_LIMIT_QUERY_KEYS);
	query->n_paths++;
	if (!query->sequences)
		query->sequences = keys_new(arena);
	return query->sequences ? NX_OK : no_memory(err);
}

nx_rc dw_query_path(struct dw_query *query, const char *name, const char *value,
	struct nx_arena *arena, bool *ret_taken, struct nx_err *err)
{
	struct nx_dataset *ds;
	struct path path;
	nx_rc rc;

	*ret_taken = path_parse(name, &path) && nx_retrieve_find_looks(query->level, path.tags[0]);
	if (!*ret_taken)
		return NX_OK;
	rc = room(query, arena, err);
	if (rc)
		return rc;
	ds = query->sequences;
	for (size_t i = 0; ds && i + 1 < path.n; i++)
		ds = item_of(ds, path.tags[i], arena);
	if (!ds)
		return no_memory(err);
	nx_dataset_put_text(ds, path.tags[path.n - 1], value);
	return NX_OK;
}

nx_rc dw_query_include(
	struct dw_query *query, nx_tag tag, struct nx_arena *arena, struct nx_err *err)
{
	nx_rc rc;

	if (!nx_retrieve_find_looks(query->level, tag))
		return NX_OK;
	rc = room(query, arena, err);
	if (!rc && !nx_dataset_find(query->sequences, tag))
		nx_dataset_put(
			query->sequences, &(struct nx_elem){.tag = tag, .vr = NX_VR('S', 'Q')});
	return rc;
}

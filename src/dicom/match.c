#include "dicom/match.h"

#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/wildcard.h"

#define TAG_CHARSET NX_TAG(0x0008, 0x0005)

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for a query");
}

/* ---- one value ---- */

/* "a-b", "-b", "a-": dates and times compare as their text, and a bound covers what it begins. */
static bool range_has(const char *key, size_t n, const char *value, size_t len)
{
	const char *dash = memchr(key, '-', n);
	size_t low = dash ? (size_t)(dash - key) : n;
	size_t high = dash ? n - low - 1 : n;
	const char *to = dash ? dash + 1 : key;
	size_t common;

	if (!dash)
		return len >= n && memcmp(key, value, n) == 0;
	common = low < len ? low : len;
	if (common && memcmp(value, key, common) < 0)
		return false;
	common = high < len ? high : len;
	return !high || memcmp(value, to, common) <= 0;
}

static bool value_is(uint16_t vr, const char *key, size_t n, const char *value, size_t len)
{
	if (vr == NX_VR('D', 'A') || vr == NX_VR('T', 'M') || vr == NX_VR('D', 'T'))
		return len && range_has(key, n, value, len);
	if (vr == NX_VR('U', 'I'))
		return n == len && memcmp(key, value, n) == 0;
	return nx_wildcard(key, n, value, len, vr == NX_VR('P', 'N'));
}

/* One of the values (with backslashes between) is like one of the key's; only UIDs come in lists.
 */
static bool text_matches(uint16_t vr, const char *key, const char *value)
{
	for (const char *k = key;; k += strcspn(k, "\\") + 1) {
		size_t n = vr == NX_VR('U', 'I') ? strcspn(k, "\\") : strlen(k);

		for (const char *v = value;; v += strcspn(v, "\\") + 1) {
			size_t len = strcspn(v, "\\");

			if (value_is(vr, k, n, v, len))
				return true;
			if (!v[len])
				break;
		}
		if (!k[n])
			return false;
	}
}

/* ---- a data set ---- */

static nx_rc dataset_matches(const struct nx_dataset *keys, const struct nx_dataset *ds,
	unsigned depth, struct nx_arena *arena, bool *ret, struct nx_err *err);

/* A sequence without items, or with an empty one, is about all of it (PS3.4 C.2.2.2.3). */
static bool names_some(const struct nx_elem *key)
{
	return key->n_items && key->items[0]->n;
}

static nx_rc sequence_matches(const struct nx_elem *key, const struct nx_elem *seq, unsigned depth,
	struct nx_arena *arena, bool *ret, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	*ret = !names_some(key);
	for (size_t i = 0; seq && i < seq->n_items && !*ret && !rc; i++)
		rc = dataset_matches(key->items[0], seq->items[i], depth + 1, arena, ret, err);
	if (!rc && !*ret && (!seq || !seq->n_items)) { /* as if there were an empty item */
		const struct nx_dataset empty = {0};

		rc = dataset_matches(key->items[0], &empty, depth + 1, arena, ret, err);
	}
	return rc;
}

static nx_rc elem_matches(const struct nx_dataset *keys, const struct nx_elem *key,
	const struct nx_dataset *ds, struct nx_arena *arena, bool *ret, struct nx_err *err)
{
	const char *want = nx_dataset_text(keys, key->tag, arena);
	const char *have = nx_dataset_text(ds, key->tag, arena);
	int64_t number, of;

	if (nx_dataset_int(keys, key->tag, &number)) {
		*ret = nx_dataset_int(ds, key->tag, &of) && of == number;
		return NX_OK;
	}
	if (!want || !have)
		return no_memory(err);
	*ret = !*want || strcmp(want, "*") == 0 || text_matches(key->vr, want, have);
	return NX_OK;
}

static nx_rc dataset_matches(const struct nx_dataset *keys, const struct nx_dataset *ds,
	unsigned depth, struct nx_arena *arena, bool *ret, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	if (depth > NX_LIMIT_DICOM_DEPTH)
		return nx_err_set(err, NX_E_LIMIT, "query deeper than %u", NX_LIMIT_DICOM_DEPTH);
	*ret = true;
	for (size_t i = 0; i < keys->n && *ret && !rc; i++) {
		const struct nx_elem *key = &keys->elems[i];

		if (key->vr == NX_VR('S', 'Q'))
			rc = sequence_matches(
				key, nx_dataset_find(ds, key->tag), depth, arena, ret, err);
		else if (key->tag != TAG_CHARSET)
			rc = elem_matches(keys, key, ds, arena, ret, err);
	}
	return rc;
}

nx_rc nx_match_dataset(const struct nx_dataset *keys, const struct nx_dataset *ds,
	struct nx_arena *arena, bool *ret_matches, struct nx_err *err)
{
	return dataset_matches(keys, ds, 0, arena, ret_matches, err);
}

/* ---- what is asked for ---- */

static nx_rc select_from(const struct nx_dataset *keys, const struct nx_dataset *ds, unsigned depth,
	struct nx_arena *arena, struct nx_dataset *ret, struct nx_err *err);

static nx_rc items_select(const struct nx_elem *key, unsigned depth, struct nx_arena *arena,
	struct nx_elem *seq, struct nx_err *err)
{
	struct nx_dataset **items = nx_arena_alloc_array(arena, seq->n_items + 1, sizeof(*items));
	nx_rc rc = NX_OK;

	if (!items)
		return no_memory(err);
	for (size_t i = 0; i < seq->n_items && !rc; i++) {
		items[i] = nx_arena_alloc(arena, sizeof(**items));
		if (!items[i])
			return no_memory(err);
		rc = select_from(key->items[0], seq->items[i], depth + 1, arena, items[i], err);
	}
	seq->items = items;
	return rc;
}

static nx_rc select_from(const struct nx_dataset *keys, const struct nx_dataset *ds, unsigned depth,
	struct nx_arena *arena, struct nx_dataset *ret, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	if (depth > NX_LIMIT_DICOM_DEPTH)
		return nx_err_set(err, NX_E_LIMIT, "query deeper than %u", NX_LIMIT_DICOM_DEPTH);
	*ret = (struct nx_dataset){
		.elems = nx_arena_alloc_array(arena, keys->n + 1, sizeof(*ret->elems)),
		.charset = ds->charset};
	if (!ret->elems)
		return no_memory(err);
	for (size_t i = 0; i < keys->n && !rc; i++) {
		const struct nx_elem *key = &keys->elems[i];
		const struct nx_elem *have = nx_dataset_find(ds, key->tag);
		struct nx_elem *elem = &ret->elems[ret->n];

		if (key->tag == TAG_CHARSET || key->tag >> 16 == 2)
			continue;
		ret->n++;
		*elem = have ? *have : (struct nx_elem){.tag = key->tag, .vr = key->vr};
		if (have && elem->vr == NX_VR('S', 'Q') && names_some(key))
			rc = items_select(key, depth, arena, elem, err);
	}
	return rc;
}

nx_rc nx_match_select(const struct nx_dataset *keys, const struct nx_dataset *ds,
	struct nx_arena *arena, struct nx_dataset *ret, struct nx_err *err)
{
	return select_from(keys, ds, 0, arena, ret, err);
}

/*
 * A data set that says something else, and what it said before: the Original Attributes Sequence of
 * the SOP Common Module (PS3.3 C.12.1.1.9).
 */
#include "edit/edit_priv.h"

#include <string.h>

#include "base/buf.h"
#include "base/limits.h"

static const char utf8[] = "ISO_IR 192";

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for a data set");
}

static bool is_ascii(struct nx_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] & 0x80 || s.p[i] == 0x1b)
			return false;
	return true;
}

/* ---- what changes ---- */

static nx_rc says_already(const struct nx_dataset *ds, const struct nx_edit_set *set,
	struct nx_arena *arena, bool *ret, struct nx_err *err)
{
	const struct nx_elem *elem = nx_dataset_find(ds, set->tag);
	const char *text;

	if (elem && (elem->is_bulk || elem->n_items))
		return nx_err_set(err, NX_E_UNSUPPORTED, "(%04x,%04x) has a value that stays",
			set->tag >> 16, set->tag & 0xffff);
	if (!elem || !set->value) {
		*ret = !elem && (!set->value || !set->value[0]);
		return NX_OK;
	}
	text = nx_dataset_text(ds, set->tag, arena);
	if (!text)
		return no_memory(err);
	*ret = strcmp(text, set->value) == 0;
	return NX_OK;
}

/* ---- text in another repertoire than the new values need ---- */

static bool vr_of_charset(uint16_t vr)
{
	static const uint16_t vrs[] = {NX_VR('L', 'O'), NX_VR('L', 'T'), NX_VR('P', 'N'),
		NX_VR('S', 'H'), NX_VR('S', 'T'), NX_VR('U', 'C'), NX_VR('U', 'T')};

	for (size_t i = 0; i < NX_ARRAY_LEN(vrs); i++)
		if (vrs[i] == vr)
			return true;
	return false;
}

static nx_rc value_to_utf8(
	struct nx_elem *e, struct nx_slice charset, struct nx_arena *arena, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) out = {0};
	nx_rc rc;

	if (e->is_bulk)
		return nx_err_set(err, NX_E_UNSUPPORTED, "a long text is in another character set");
	nx_buf_init(&out, NX_LIMIT_DICOM_HEADER, NX_BUF_WIPE);
	rc = nx_charset_decode(charset, e->vr, e->value, &out, err);
	if (!rc)
		rc = nx_buf_check(&out, err);
	if (rc)
		return rc;
	if (out.len && memmem(out.data, out.len, "\xef\xbf\xbd", 3))
		return nx_err_set(err, NX_E_UNSUPPORTED,
			"(%04x,%04x) is not in the character set that it names", e->tag >> 16,
			e->tag & 0xffff);
	e->value = nx_slice(nx_arena_copy(arena, out.data, out.len), out.len);
	return e->value.p || !out.len ? NX_OK : no_memory(err);
}

/* The tree is no deeper than the parser allows. */
static nx_rc to_utf8(struct nx_dataset *ds, struct nx_arena *arena, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < ds->n && !rc; i++) {
		struct nx_elem *e = &ds->elems[i];

		if (e->tag == NX_TAG_SPECIFIC_CHARACTER_SET)
			e->value = nx_slice_str(utf8);
		else if (vr_of_charset(e->vr) && (e->is_bulk || !is_ascii(e->value)))
			rc = value_to_utf8(e, ds->charset, arena, err);
		for (size_t k = 0; k < e->n_items && !rc; k++)
			rc = to_utf8(e->items[k], arena, err);
	}
	ds->charset = nx_slice_str(utf8);
	return rc;
}

static bool charset_is_utf8(const struct nx_dataset *ds)
{
	struct nx_slice c = ds->charset;

	while (c.n && c.p[c.n - 1] == ' ')
		c.n--;
	return nx_slice_eq(c, nx_slice_str(utf8));
}

/* ---- the new data set ---- */

static void elem_drop(struct nx_dataset *ds, nx_tag tag)
{
	const struct nx_elem *elem = nx_dataset_find(ds, tag);
	size_t at;

	if (!elem)
		return;
	at = (size_t)(elem - ds->elems);
	memmove(&ds->elems[at], &ds->elems[at + 1], (ds->n - at - 1) * sizeof(*ds->elems));
	ds->n--;
}

/* What was there, in the bytes it was there in. */
static struct nx_dataset *originals(const struct edit_plan *plan, uint32_t changed,
	const struct nx_dataset *ds, bool recode, struct nx_arena *arena)
{
	struct nx_dataset *was = nx_dataset_new(arena, plan->n + 1);
	const struct nx_elem *elem = nx_dataset_find(ds, NX_TAG_SPECIFIC_CHARACTER_SET);

	if (was && recode && elem)
		nx_dataset_put(was, elem);
	for (size_t i = 0; was && i < plan->n; i++) {
		elem = changed & 1u << i ? nx_dataset_find(ds, plan->sets[i].tag) : NULL;
		if (elem)
			nx_dataset_put(was, elem);
	}
	return was;
}

static struct nx_dataset *modification(
	const struct edit_plan *plan, struct nx_dataset *was, struct nx_arena *arena)
{
	struct nx_dataset *item = nx_dataset_new(arena, 5);
	struct nx_dataset **items = nx_arena_alloc(arena, sizeof(struct nx_dataset *));

	if (!item || !items)
		return NULL;
	items[0] = was;
	nx_dataset_put(item,
		&(struct nx_elem){.tag = NX_TAG_MODIFIED_ATTRIBUTES_SEQUENCE,
			.vr = NX_VR('S', 'Q'),
			.items = items,
			.n_items = 1});
	nx_dataset_put_text(item, NX_TAG_ATTRIBUTE_MODIFICATION_DATE_TIME, plan->when);
	nx_dataset_put_text(item, NX_TAG_MODIFYING_SYSTEM, "narthex");
	nx_dataset_put_text(item, NX_TAG_SOURCE_OF_PREVIOUS_VALUES, plan->source);
	nx_dataset_put_text(item, NX_TAG_REASON_FOR_THE_ATTRIBUTE_MODIFICATION, plan->reason);
	return item;
}

/* Behind those of earlier modifications. */
static nx_rc modification_add(
	struct nx_dataset *ds, struct nx_dataset *item, struct nx_arena *arena, struct nx_err *err)
{
	const nx_tag tag = NX_TAG_ORIGINAL_ATTRIBUTES_SEQUENCE;
	const struct nx_elem *before = nx_dataset_find(ds, tag);
	struct nx_elem elem = {.tag = tag, .vr = NX_VR('S', 'Q')};

	elem.n_items = (before ? before->n_items : 0) + 1;
	elem.items = nx_arena_alloc_array(arena, elem.n_items, sizeof(struct nx_dataset *));
	if (!elem.items)
		return no_memory(err);
	for (size_t i = 0; i + 1 < elem.n_items; i++)
		elem.items[i] = before->items[i];
	elem.items[elem.n_items - 1] = item;
	nx_dataset_put(ds, &elem);
	return NX_OK;
}

static bool needs_utf8(const struct edit_plan *plan, uint32_t changed)
{
	bool needs = !is_ascii(nx_slice_str(plan->source));

	for (size_t i = 0; i < plan->n; i++)
		needs |= changed & 1u << i && plan->sets[i].value &&
			!is_ascii(nx_slice_str(plan->sets[i].value));
	return needs;
}

static nx_rc change_all(const struct edit_plan *plan, uint32_t changed, struct nx_dataset *ds,
	struct nx_arena *arena, struct nx_err *err)
{
	bool recode = needs_utf8(plan, changed) && !charset_is_utf8(ds);
	struct nx_dataset *was = originals(plan, changed, ds, recode, arena);
	struct nx_dataset *item = was ? modification(plan, was, arena) : NULL;
	struct nx_elem *elems =
		nx_arena_alloc_array(arena, ds->n + plan->n + 2, sizeof(*ds->elems));
	nx_rc rc;

	if (!item || !elems)
		return no_memory(err);
	memcpy(elems, ds->elems, ds->n * sizeof(*elems));
	ds->elems = elems;
	rc = recode ? to_utf8(ds, arena, err) : NX_OK;
	if (recode)
		nx_dataset_put_text(ds, NX_TAG_SPECIFIC_CHARACTER_SET, utf8);
	for (size_t i = 0; i < plan->n; i++) {
		if (!(changed & 1u << i))
			continue;
		if (plan->sets[i].value)
			nx_dataset_put_text(ds, plan->sets[i].tag, plan->sets[i].value);
		else
			elem_drop(ds, plan->sets[i].tag);
	}
	return rc ? rc : modification_add(ds, item, arena, err);
}

nx_rc edit_apply(const struct edit_plan *plan, struct nx_dataset *ds, struct nx_arena *arena,
	uint32_t *ret_changed, struct nx_err *err)
{
	uint32_t changed = 0;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < plan->n && !rc; i++) {
		bool same = false;

		rc = says_already(ds, &plan->sets[i], arena, &same, err);
		changed |= !rc && !same ? 1u << i : 0;
	}
	if (!rc && changed)
		rc = change_all(plan, changed, ds, arena, err);
	if (!rc)
		*ret_changed = changed;
	return rc;
}

/* In which attributes two versions, or what is known of two patients, differ: tags only. */
#include <stdio.h>

#include "archive/rewrite.h"
#include "dicom/dicom.h"
#include "retrieve/conflict_priv.h"

struct side {
	struct nx_recipe *recipe;
	struct nx_dataset *ds;
};

static nx_rc side_load(struct conflict *c, int64_t id, struct side *ret, struct nx_err *err)
{
	struct nx_archive *a = c->r->archive;
	struct nx_item item;
	nx_rc rc = nx_cat_item_by_id(nx_archive_cat(a), id, c->arena, &item, err);

	if (!rc)
		rc = nx_archive_recipe(a, &item, c->arena, &ret->recipe, err);
	return rc ? rc : nx_archive_header(a, &item, ret->recipe, c->arena, &ret->ds, err);
}

/* The root of the blob that holds a bulk value. */
static const uint8_t *bulk_root(const struct side *s, uint64_t offset)
{
	uint64_t at = 0;

	for (size_t i = 0; i < s->recipe->n_parts; i++) {
		if (at == offset)
			return s->recipe->blobs[s->recipe->parts[i].blob].root;
		at += s->recipe->parts[i].len;
	}
	return NULL;
}

static bool elem_same(const struct side *x, const struct nx_elem *a, const struct side *y,
	const struct nx_elem *b);

static bool items_same(const struct side *x, const struct nx_elem *a, const struct side *y,
	const struct nx_elem *b)
{
	for (size_t i = 0; i < a->n_items; i++) {
		const struct nx_dataset *p = a->items[i], *q = b->items[i];

		if (p->n != q->n)
			return false;
		for (size_t k = 0; k < p->n; k++)
			if (p->elems[k].tag != q->elems[k].tag ||
				!elem_same(x, &p->elems[k], y, &q->elems[k]))
				return false;
	}
	return true;
}

/* Sequences are nested no deeper than the parser allows. */
static bool elem_same(const struct side *x, const struct nx_elem *a, const struct side *y,
	const struct nx_elem *b)
{
	const uint8_t *p, *q;

	if (a->is_bulk != b->is_bulk || a->n_items != b->n_items)
		return false;
	if (!a->is_bulk)
		return nx_slice_eq(a->value, b->value) && items_same(x, a, y, b);
	p = bulk_root(x, a->bulk_offset);
	q = bulk_root(y, b->bulk_offset);
	return a->bulk_length == b->bulk_length && p && q && memcmp(p, q, 32) == 0;
}

/* The meta group differs with the door and is no part of what an instance says. */
static void tag_put(struct nx_json *json, nx_tag tag)
{
	char text[16];

	if (tag >> 16 == 2)
		return;
	(void)snprintf(text, sizeof(text), "%08X", (unsigned)tag);
	nx_json_str(json, text);
}

/* Tags of the data set itself; one in a sequence counts for the sequence. */
static void differ_put(struct nx_json *json, const struct side *x, const struct side *y)
{
	size_t i = 0, k = 0;

	nx_json_key(json, "differ");
	nx_json_array_begin(json);
	while (i < x->ds->n || k < y->ds->n) {
		const struct nx_elem *a = i < x->ds->n ? &x->ds->elems[i] : NULL;
		const struct nx_elem *b = k < y->ds->n ? &y->ds->elems[k] : NULL;
		const bool left = a && (!b || a->tag <= b->tag);
		const bool right = b && (!a || b->tag <= a->tag);

		if (left && !(right && elem_same(x, a, y, b)))
			tag_put(json, a->tag);
		else if (!left && right)
			tag_put(json, b->tag);
		i += left;
		k += right;
	}
	nx_json_array_end(json);
}

/* What is known by marks alone. */
static void marks_put(const struct conflict *c, struct nx_json *json)
{
	static const nx_tag tags[] = {
		NX_TAG_PATIENT_NAME, NX_TAG_PATIENT_BIRTH_DATE, NX_TAG_PATIENT_SEX};
	bool differ[NX_ARRAY_LEN(tags)] = {false};

	nx_json_key(json, "differ");
	nx_json_array_begin(json);
	if (c->row.kind == NX_CONFLICT_DEMOGRAPHICS)
		nx_archive_marks_differ(c->row.known, c->row.mark, differ);
	else
		tag_put(json,
			c->row.kind == NX_CONFLICT_SERIES ? NX_TAG_STUDY_INSTANCE_UID
							  : NX_TAG_PATIENT_ID);
	for (size_t i = 0; i < NX_ARRAY_LEN(tags); i++)
		if (differ[i])
			tag_put(json, tags[i]);
	nx_json_array_end(json);
}

nx_rc conflict_differ(struct conflict *c, struct nx_json *json, struct nx_err *err)
{
	struct side x = {NULL, NULL}, y = {NULL, NULL};
	nx_rc rc;

	if (c->row.kind != NX_CONFLICT_VERSION) {
		marks_put(c, json);
		return NX_OK;
	}
	rc = side_load(c, c->row.old_item, &x, err);
	if (!rc)
		rc = side_load(c, c->row.new_item, &y, err);
	if (!rc)
		differ_put(json, &x, &y);
	return rc;
}

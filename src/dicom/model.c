#include "dicom/model.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/enc.h"
#include "dicom/model_priv.h"

enum {
	MODEL_MAX = NX_LIMIT_DICOM_HEADER, /* of one data set */
	BLOCK_FIRST = 0x10,                /* of private attributes, PS3.5 7.8.1 */
	BLOCK_LAST = 0xff
};

static const char utf8[] = "ISO_IR 192";

struct nx_model *nx_model_free(struct nx_model *model)
{
	if (!model)
		return NULL;
	nx_arena_free(model->arena);
	free(model);
	return NULL;
}

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for a data set");
}

/* Out of the arena: its bound is the one that counts. */
static nx_rc too_large(const struct nx_model_reader *r, struct nx_err *err)
{
	if (nx_arena_used(r->model->arena) < MODEL_MAX / 2)
		return no_memory(err);
	return nx_err_set(
		err, NX_E_LIMIT, "a data set larger than %zu MiB", NX_LIMIT_DICOM_HEADER / NX_MIB);
}

/* ---- reader ---- */

void model_init(
	struct nx_model_reader *r, const struct model_ops *ops, nx_model_fn fn, void *payload)
{
	r->ops = ops;
	r->fn = fn;
	r->payload = payload;
	nx_buf_init(&r->values, NX_LIMIT_DICOM_HEADER, NX_BUF_WIPE);
	for (size_t i = 0; i < MODEL_NAME_GROUPS; i++)
		nx_buf_init(&r->name[i], NX_MIB, NX_BUF_WIPE);
}

void model_done(struct nx_model_reader *r)
{
	for (size_t i = 0; i < MODEL_LEVELS; i++) {
		nx_level_done(&r->levels[i].level);
		free(r->levels[i].owned);
	}
	for (size_t i = 0; i < MODEL_NAME_GROUPS; i++)
		nx_buf_done(&r->name[i]);
	nx_buf_done(&r->values);
	nx_model_free(r->model);
}

struct nx_model_reader *nx_model_reader_free(struct nx_model_reader *r)
{
	if (r)
		r->ops->free(r);
	return NULL;
}

nx_rc nx_model_feed(struct nx_model_reader *r, const void *p, size_t n, struct nx_err *err)
{
	return r->ops->feed(r, p, n, err);
}

nx_rc nx_model_finish(struct nx_model_reader *r, struct nx_err *err)
{
	return r->ops->finish(r, err);
}

/* ---- data sets ---- */

void model_wrong(struct nx_model_reader *r, const char *what)
{
	nx_tag tag = r->levels[r->depth].attr.tag;

	if (r->model->rc)
		return;
	r->model->rc = nx_err_set(
		&r->model->err, NX_E_MALFORMED, "%s at (%04x,%04x)", what, tag >> 16, tag & 0xffff);
}

static void level_reset(struct model_level *l)
{
	l->level.n_elems = 0;
	l->level.charset = nx_slice_str(utf8);
	l->n_owned = 0;
	l->attr = (struct model_attr){0};
}

nx_rc model_begin(struct nx_model_reader *r, struct nx_err *err)
{
	nx_model_free(r->model);
	r->model = calloc(1, sizeof(*r->model));
	if (!r->model)
		return no_memory(err);
	r->model->arena = nx_arena_new(MODEL_MAX, NX_ARENA_WIPE);
	if (!r->model->arena)
		return no_memory(err);
	r->depth = 0;
	r->n_elems = 0;
	r->not_ascii = r->charset_said = false;
	nx_buf_clear(&r->values);
	level_reset(&r->levels[0]);
	return NX_OK;
}

static nx_rc elem_add(struct nx_model_reader *r, const struct nx_elem *elem, struct nx_err *err)
{
	struct nx_elem *to;

	if (++r->n_elems > NX_LIMIT_DICOM_ELEMENTS)
		return nx_err_set(
			err, NX_E_LIMIT, "more than %u elements", NX_LIMIT_DICOM_ELEMENTS);
	to = nx_level_elem(&r->levels[r->depth].level);
	if (!to)
		return no_memory(err);
	*to = *elem;
	to->bulk_offset = r->n_elems; /* of equal tags the last stays */
	return NX_OK;
}

/* ---- private blocks ---- */

/* The block that `creator` has in `group`, or a free one; 0 when there is none. */
static uint32_t block_find(
	const struct nx_level *level, uint32_t group, struct nx_slice creator, bool *ret_there)
{
	uint32_t block = BLOCK_FIRST;

	*ret_there = false;
	for (size_t i = 0; i < level->n_elems; i++) {
		const struct nx_elem *e = &level->elems[i];

		if (nx_tag_group(e->tag) != group || !nx_tag_private_creator(e->tag))
			continue;
		*ret_there = nx_slice_eq(e->value, creator);
		if (*ret_there)
			return e->tag & 0xff;
		if ((e->tag & 0xff) >= block)
			block = (e->tag & 0xff) + 1;
	}
	return block <= BLOCK_LAST ? block : 0;
}

static nx_rc owned_settle(
	struct nx_model_reader *r, const struct model_owned *owned, struct nx_err *err)
{
	struct model_level *l = &r->levels[r->depth];
	nx_tag tag = l->level.elems[owned->elem].tag;
	bool there;
	uint32_t block = block_find(&l->level, nx_tag_group(tag), owned->creator, &there);
	const struct nx_elem creator = {
		.tag = (tag & 0xffff0000u) | block, .vr = NX_VR('L', 'O'), .value = owned->creator};

	if (!block) {
		model_wrong(r, "no private block is free");
		return NX_OK;
	}
	l->level.elems[owned->elem].tag = tag | block << 8;
	return there ? NX_OK : elem_add(r, &creator, err);
}

static nx_rc owned_add(struct nx_model_reader *r, struct nx_slice creator, struct nx_err *err)
{
	struct model_level *l = &r->levels[r->depth];
	size_t cap = l->cap_owned ? 2 * l->cap_owned : 16;
	struct model_owned *more;

	if (l->n_owned == l->cap_owned) {
		more = realloc(l->owned, cap * sizeof(*more));
		if (!more)
			return no_memory(err);
		l->owned = more;
		l->cap_owned = cap;
	}
	l->owned[l->n_owned++] = (struct model_owned){l->level.n_elems - 1, creator};
	return NX_OK;
}

static nx_rc level_settle(struct nx_model_reader *r, struct nx_err *err)
{
	const struct model_level *l = &r->levels[r->depth];
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < l->n_owned && !rc; i++)
		rc = owned_settle(r, &l->owned[i], err);
	return rc;
}

nx_rc model_end(struct nx_model_reader *r, struct nx_err *err)
{
	const struct nx_elem charset = {.tag = NX_TAG_SPECIFIC_CHARACTER_SET,
		.vr = NX_VR('C', 'S'),
		.value = nx_slice_str(utf8)};
	nx_rc rc = level_settle(r, err);

	if (!rc && (r->not_ascii || r->charset_said))
		rc = elem_add(r, &charset, err);
	if (rc)
		return rc;
	r->model->ds = nx_level_close(&r->levels[0].level, r->model->arena);
	return r->model->ds ? r->fn(r->payload, NX_STEAL(r->model), err) : too_large(r, err);
}

nx_rc model_item_begin(struct nx_model_reader *r, struct nx_err *err)
{
	if (r->depth + 1 == MODEL_LEVELS)
		return nx_err_set(err, NX_E_LIMIT, "sequences nested too deep");
	r->depth++;
	if (!r->levels[r->depth - 1].attr.n_items++)
		r->levels[r->depth].level.n_items = 0;
	level_reset(&r->levels[r->depth]);
	return NX_OK;
}

nx_rc model_item_end(struct nx_model_reader *r, struct nx_err *err)
{
	nx_rc rc = level_settle(r, err);

	if (rc)
		return rc;
	if (!nx_level_item(&r->levels[r->depth].level, r->model->arena))
		return too_large(r, err);
	r->depth--;
	return NX_OK;
}

/* ---- attributes ---- */

bool model_tag(struct nx_slice text, nx_tag *ret)
{
	nx_tag tag = 0;

	for (size_t i = 0; i < text.n && i <= 8; i++) {
		int digit = nx_hex_digit((char)text.p[i]);

		if (digit < 0)
			return false;
		tag = tag << 4 | (nx_tag)digit;
	}
	*ret = tag;
	return text.n == 8;
}

void model_attr_begin(struct nx_model_reader *r, nx_tag tag)
{
	r->levels[r->depth].attr = (struct model_attr){.tag = tag, .values_at = r->values.len};
}

void model_vr(struct nx_model_reader *r, struct nx_slice vr)
{
	uint16_t v = 0;

	if (vr.n == 2)
		v = NX_VR(vr.p[0], vr.p[1]);
	if (nx_vr_info(v))
		r->levels[r->depth].attr.vr = v;
	else
		model_wrong(r, "a VR that is none");
}

static nx_rc keep(
	struct nx_model_reader *r, struct nx_slice s, struct nx_slice *ret, struct nx_err *err)
{
	*ret = nx_slice(NULL, 0);
	if (!s.n)
		return NX_OK;
	ret->p = nx_arena_copy(r->model->arena, s.p, s.n);
	ret->n = s.n;
	return ret->p ? NX_OK : too_large(r, err);
}

nx_rc model_creator(struct nx_model_reader *r, struct nx_slice creator, struct nx_err *err)
{
	return keep(r, creator, &r->levels[r->depth].attr.creator, err);
}

nx_rc model_value(
	struct nx_model_reader *r, enum model_kind kind, struct nx_slice text, struct nx_err *err)
{
	nx_buf_put_u8(&r->values, (uint8_t)kind);
	nx_buf_put_u32le(&r->values, (uint32_t)text.n);
	nx_buf_put_slice(&r->values, text);
	r->levels[r->depth].attr.n_values++;
	return nx_buf_check(&r->values, err);
}

size_t model_group_find(struct nx_slice name)
{
	static const char *const groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
	size_t i = 0;

	_Static_assert(NX_ARRAY_LEN(groups) == MODEL_NAME_GROUPS, "a name for each");
	while (i < MODEL_NAME_GROUPS && !nx_slice_eq(name, nx_slice_str(groups[i])))
		i++;
	return i;
}

void model_name_begin(struct nx_model_reader *r)
{
	for (size_t i = 0; i < MODEL_NAME_GROUPS; i++)
		nx_buf_clear(&r->name[i]);
}

void model_name_group(struct nx_model_reader *r, size_t group, struct nx_slice text)
{
	nx_buf_put_slice(&r->name[group], text);
}

/* PS3.5 6.2.1.1: the groups up to the last that is there. */
nx_rc model_name_end(struct nx_model_reader *r, struct nx_err *err)
{
	struct nx_buf *all = &r->name[0];
	size_t empty = 0;
	nx_rc rc = NX_OK;

	for (size_t i = 1; i < MODEL_NAME_GROUPS && !rc; i++) {
		empty++;
		rc = nx_buf_check(&r->name[i], err);
		if (!r->name[i].len)
			continue;
		for (; empty; empty--)
			nx_buf_put_u8(all, '=');
		nx_buf_put_slice(all, nx_buf_slice(&r->name[i]));
	}
	if (!rc)
		rc = nx_buf_check(all, err);
	return rc ? rc : model_value(r, MODEL_NAME, nx_buf_slice(all), err);
}

nx_rc model_inline(struct nx_model_reader *r, struct nx_slice base64, struct nx_err *err)
{
	struct model_attr *attr = &r->levels[r->depth].attr;
	uint8_t *to;
	size_t n = 0;

	attr->has_inline = true;
	if (!base64.n)
		return NX_OK;
	to = nx_arena_alloc(r->model->arena, base64.n);
	if (!to)
		return too_large(r, err);
	if (nx_base64_parse((const char *)base64.p, base64.n, to, base64.n, &n))
		attr->bytes = nx_slice(to, n);
	else
		model_wrong(r, "InlineBinary that is not base64");
	return NX_OK;
}

nx_rc model_uri(struct nx_model_reader *r, struct nx_slice uri, struct nx_err *err)
{
	struct model_attr *attr = &r->levels[r->depth].attr;

	attr->has_uri = true;
	if (!uri.n)
		model_wrong(r, "a BulkDataURI without a value");
	return keep(r, uri, &attr->bytes, err);
}

nx_rc model_empty(struct nx_model_reader *r, struct nx_err *err)
{
	nx_rc rc;

	if (r->levels[r->depth].attr.vr != NX_VR('S', 'Q'))
		return model_value(r, MODEL_EMPTY, nx_slice(NULL, 0), err);
	rc = model_item_begin(r, err);
	return rc ? rc : model_item_end(r, err);
}

/* A VR of SQ behind the values: what was taken for empty names are empty items. */
static nx_rc empty_settle(struct nx_model_reader *r, struct model_attr *attr, struct nx_err *err)
{
	size_t n = attr->n_values;
	nx_rc rc = NX_OK;

	if (attr->vr != NX_VR('S', 'Q') || attr->n_items)
		return NX_OK;
	for (size_t at = attr->values_at; at < r->values.len;
		at += 5 + nx_get_u32(r->values.data + at + 1, false))
		if (r->values.data[at] != MODEL_EMPTY)
			return NX_OK; /* refused as values of a sequence */
	r->values.len = attr->values_at;
	for (size_t i = 0; i < n && !rc; i++)
		rc = model_empty(r, err);
	return rc;
}

static nx_rc bytes_add(struct nx_model_reader *r, struct nx_elem *elem, struct nx_err *err)
{
	const struct model_attr *attr = &r->levels[r->depth].attr;
	const struct nx_vr_info *info = nx_vr_info(elem->vr);

	elem->value = attr->bytes;
	elem->is_bulk = attr->has_uri;
	if (attr->has_uri && elem->vr == NX_VR('S', 'Q'))
		model_wrong(r, "a sequence that is elsewhere");
	else if (attr->has_inline && !(info->flags & NX_VR_BINARY))
		model_wrong(r, "InlineBinary where values belong");
	else if (attr->has_inline && attr->bytes.n % info->unit)
		model_wrong(r, "InlineBinary of part of a value");
	return elem_add(r, elem, err);
}

static struct nx_slice values_of(const struct nx_model_reader *r, const struct model_attr *attr)
{
	if (r->values.len == attr->values_at)
		return nx_slice(NULL, 0);
	return nx_slice(r->values.data + attr->values_at, r->values.len - attr->values_at);
}

static nx_rc values_add(struct nx_model_reader *r, struct nx_elem *elem, struct nx_err *err)
{
	const struct model_attr *attr = &r->levels[r->depth].attr;
	NX_AUTO_DONE(nx_buf) out;
	const char *wrong;
	nx_rc rc;

	nx_buf_init(&out, NX_LIMIT_DICOM_HEADER, NX_BUF_WIPE);
	wrong = model_encode(elem->vr, values_of(r, attr), &out, &r->not_ascii);
	if (wrong)
		model_wrong(r, wrong);
	rc = nx_buf_check(&out, err);
	if (!rc)
		rc = keep(r, nx_buf_slice(&out), &elem->value, err);
	return rc ? rc : elem_add(r, elem, err);
}

static nx_rc items_add(struct nx_model_reader *r, struct nx_elem *elem, struct nx_err *err)
{
	if (r->levels[r->depth].attr.n_items &&
		!nx_level_items(&r->levels[r->depth + 1].level, r->model->arena, elem))
		return too_large(r, err);
	return elem_add(r, elem, err);
}

static nx_rc attr_add(struct nx_model_reader *r, struct model_attr *attr, struct nx_err *err)
{
	struct nx_elem elem = {.tag = attr->tag, .vr = attr->vr};
	bool values = r->values.len > attr->values_at;
	unsigned kinds = (unsigned)values + (attr->n_items > 0) + attr->has_inline + attr->has_uri;

	if (!attr->vr || kinds > 1 || (attr->n_items && attr->vr != NX_VR('S', 'Q'))) {
		model_wrong(r, attr->vr ? "values of several kinds" : "no VR");
		return NX_OK;
	}
	if (attr->tag == NX_TAG_SPECIFIC_CHARACTER_SET) {
		r->charset_said = r->charset_said || values;
		return NX_OK;
	}
	if (attr->has_inline || attr->has_uri)
		return bytes_add(r, &elem, err);
	if (attr->vr == NX_VR('S', 'Q') && !values)
		return items_add(r, &elem, err);
	return values_add(r, &elem, err);
}

nx_rc model_attr_end(struct nx_model_reader *r, struct nx_err *err)
{
	struct model_level *l = &r->levels[r->depth];
	struct model_attr *attr = &l->attr;
	size_t n_elems = l->level.n_elems;
	nx_rc rc = NX_OK;

	if (!nx_tag_is_encoding(attr->tag) && attr->tag != NX_TAG_AVAILABLE_TRANSFER_SYNTAX_UID) {
		rc = empty_settle(r, attr, err);
		if (!rc)
			rc = attr_add(r, attr, err);
	}
	if (!rc && attr->creator.n && l->level.n_elems > n_elems && nx_tag_private(attr->tag) &&
		!(attr->tag & 0xff00))
		rc = owned_add(r, attr->creator, err);
	r->values.len = attr->values_at;
	return rc;
}

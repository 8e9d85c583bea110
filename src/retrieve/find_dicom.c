/* Results of a query as C-FIND identifiers (PS3.4 C.4.1.1.3.2): the attributes asked for. */
#include <string.h>

#include "dicom/dicom.h"
#include "retrieve/find_priv.h"

enum {
	ROW_ARENA_MAX = 4 * 1024 * 1024,
	EXTRA = 4 /* attributes that are in every answer */
};

struct emit {
	const struct nx_find *find;
	const struct nx_find_form *form;
	nx_rc (*fn)(void *payload, struct nx_slice identifier, struct nx_err *err);
	void *payload;
	const struct nx_ts *ts;
	struct nx_arena *arena; /* of one row */
	struct nx_buf out;
};

bool nx_retrieve_find_gives(unsigned level, uint32_t tag)
{
	return find_column(level, tag) != NULL;
}

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for a result");
}

/* US is two bytes, little endian; every other attribute with a column is text. */
static const char *number_value(
	struct emit *e, uint16_t vr, int64_t number, struct nx_slice *ret_value)
{
	char *to;

	if (number == 0)
		return "";
	if (vr != NX_VR('U', 'S')) {
		to = nx_arena_printf(e->arena, "%lld", (long long)number);
		if (to)
			*ret_value = nx_slice_str(to);
		return to;
	}
	to = nx_arena_alloc(e->arena, 2);
	if (to) {
		to[0] = (char)number;
		to[1] = (char)(number >> 8);
		*ret_value = nx_slice(to, 2);
	}
	return to;
}

/* What is not known of an attribute is an empty one (Type 2), a sequence without items. */
static nx_rc value_fill(struct emit *e, const struct nx_match *m,
	const struct nx_dataset *sequences, struct nx_elem *elem, struct nx_err *err)
{
	const struct find_column *c = find_column(e->find->level, elem->tag);
	const struct nx_elem *seq = sequences ? nx_dataset_find(sequences, elem->tag) : NULL;

	if (seq)
		*elem = *seq;
	if (!c)
		return NX_OK;
	if (c->kind == FIND_TEXT)
		elem->value = nx_slice_str(find_text(c, m));
	else if (!number_value(e, elem->vr, find_number(c, m), &elem->value))
		return no_memory(err);
	return NX_OK;
}

static bool is_ascii(const struct nx_dataset *ds);

static bool elem_is_ascii(const struct nx_elem *elem)
{
	bool text = nx_dicom_vr_unit(elem->vr) == 1;

	for (size_t i = 0; text && i < elem->value.n; i++)
		if (elem->value.p[i] & 0x80)
			return false;
	for (size_t i = 0; i < elem->n_items; i++)
		if (!is_ascii(elem->items[i]))
			return false;
	return true;
}

static bool is_ascii(const struct nx_dataset *ds)
{
	for (size_t i = 0; i < ds->n; i++)
		if (!elem_is_ascii(&ds->elems[i]))
			return false;
	return true;
}

static void extra_put(struct nx_dataset *ds, nx_tag tag, const char *value)
{
	const struct nx_dict_entry *entry = nx_dict_find(tag);
	size_t at = ds->n++;

	while (at > 0 && ds->elems[at - 1].tag > tag) {
		ds->elems[at] = ds->elems[at - 1];
		at--;
	}
	ds->elems[at] = (struct nx_elem){.tag = tag, .vr = entry->vr, .value = nx_slice_str(value)};
}

/* Values are UTF-8.  What is ASCII in all of them is so in the set of the request, too: a client
 * that knows no UTF-8 is not told of any. */
static void extras_put(struct emit *e, struct nx_dataset *ds)
{
	bool ascii = is_ascii(ds);

	if (!ascii || e->form->charset[0])
		extra_put(
			ds, NX_TAG_SPECIFIC_CHARACTER_SET, ascii ? e->form->charset : "ISO_IR 192");
	extra_put(ds, NX_TAG(0x0008, 0x0052), e->form->level);
	extra_put(ds, NX_TAG(0x0008, 0x0054), e->form->retrieve_ae);
	extra_put(ds, NX_TAG(0x0008, 0x0056), "ONLINE");
}

static nx_rc row_make(struct emit *e, const struct nx_match *m, const struct nx_dataset *sequences,
	struct nx_dataset *ds, struct nx_err *err)
{
	const struct nx_find_form *form = e->form;
	nx_rc rc = NX_OK;

	ds->elems = nx_arena_alloc_array(e->arena, form->n_wants + EXTRA, sizeof(*ds->elems));
	if (!ds->elems)
		return no_memory(err);
	for (size_t i = 0; i < form->n_wants && !rc; i++) {
		struct nx_elem *elem = &ds->elems[ds->n++];

		*elem = (struct nx_elem){.tag = form->wants[i].tag, .vr = form->wants[i].vr};
		rc = value_fill(e, m, sequences, elem, err);
	}
	if (!rc)
		extras_put(e, ds);
	return rc;
}

static nx_rc match_emit(void *payload, const struct nx_match *m, const struct nx_dataset *sequences,
	struct nx_err *err)
{
	struct nx_dataset ds = {0};
	struct emit *e = payload;
	nx_rc rc;

	nx_arena_reset(e->arena);
	nx_buf_clear(&e->out);
	rc = row_make(e, m, sequences, &ds, err);
	if (!rc)
		rc = nx_dataset_write(&ds, e->ts, &e->out, NULL, NULL, err);
	return rc ? rc : e->form->fn(e->form->payload, nx_buf_slice(&e->out), err);
}

nx_rc nx_retrieve_find_dicom(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_find *find, const struct nx_find_form *form, bool *ret_more,
	struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ROW_ARENA_MAX, NX_ARENA_WIPE);
	struct emit e = {
		.find = find, .form = form, .arena = arena, .ts = nx_ts_find(form->ts_uid)};
	nx_rc rc;

	if (!arena)
		return no_memory(err);
	nx_buf_init(&e.out, NX_LIMIT_QUERY_RESULT, NX_BUF_WIPE);
	rc = nx_retrieve_find(retrieve, who, find, match_emit, &e, ret_more, err);
	nx_buf_done(&e.out);
	return rc;
}

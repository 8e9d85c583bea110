#include "dimse/identifier_priv.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "catalog/catalog.h"
#include "dicom/dicom.h"
#include "dimse/dimse_priv.h"

enum {
	TAG_SOP_CLASS = 0x00000002
};

static const struct {
	const char *uid;
	uint16_t field;
	uint8_t model;
} classes[] = {
	{"1.2.840.10008.5.1.4.1.2.1.1", NX_C_FIND_RQ, NX_MODEL_PATIENT},
	{"1.2.840.10008.5.1.4.1.2.2.1", NX_C_FIND_RQ, NX_MODEL_STUDY},
	{"1.2.840.10008.5.1.4.1.2.3.1", NX_C_FIND_RQ, NX_MODEL_PATIENT_STUDY},
	{"1.2.840.10008.5.1.4.1.2.1.3", NX_C_GET_RQ, NX_MODEL_PATIENT},
	{"1.2.840.10008.5.1.4.1.2.2.3", NX_C_GET_RQ, NX_MODEL_STUDY},
	{"1.2.840.10008.5.1.4.1.2.3.3", NX_C_GET_RQ, NX_MODEL_PATIENT_STUDY},
	{"1.2.840.10008.5.1.4.1.2.1.2", NX_C_MOVE_RQ, NX_MODEL_PATIENT},
	{"1.2.840.10008.5.1.4.1.2.2.2", NX_C_MOVE_RQ, NX_MODEL_STUDY},
	{"1.2.840.10008.5.1.4.1.2.3.2", NX_C_MOVE_RQ, NX_MODEL_PATIENT_STUDY},
};

enum nx_model nx_model_of(const char *sop_class, uint16_t field)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(classes); i++)
		if (classes[i].field == field && strcmp(classes[i].uid, sop_class) == 0)
			return classes[i].model;
	return NX_MODEL_NONE;
}

bool nx_identifier_ts(const char *uid)
{
	return strcmp(uid, NX_UID_EXPLICIT_VR_LITTLE_ENDIAN) == 0 ||
		strcmp(uid, NX_UID_IMPLICIT_VR_LITTLE_ENDIAN) == 0;
}

/* ---- gathering ---- */

void nx_identifier_begin(struct nx_assoc *assoc, struct nx_dimse_op *op)
{
	struct nx_buf *buf;

	(void)assoc;
	if (!nx_cmd_has(&op->rq, NX_CMD_SOP_CLASS)) {
		nx_op_offends(op, NX_STATUS_MISSING_ATTRIBUTE, TAG_SOP_CLASS);
		return;
	}
	buf = malloc(sizeof(*buf));
	if (!buf) {
		nx_op_fail(op, NX_STATUS_OUT_OF_RESOURCES, NULL);
		return;
	}
	nx_buf_init(buf, op->service->dataset_max ? op->service->dataset_max : NX_LIMIT_IDENTIFIER,
		NX_BUF_WIPE);
	op->state = buf;
}

void nx_identifier_data(struct nx_assoc *assoc, struct nx_dimse_op *op, struct nx_slice bytes)
{
	struct nx_err err = {0};

	(void)assoc;
	nx_buf_put_slice(op->state, bytes);
	if (nx_buf_check(op->state, &err))
		nx_op_fail(op, NX_STATUS_OUT_OF_RESOURCES, &err);
}

void nx_identifier_drop(struct nx_dimse_op *op)
{
	if (op->state)
		nx_buf_done(op->state);
	free(op->state);
	op->state = NULL;
}

struct nx_slice nx_identifier_bytes(const struct nx_dimse_op *op)
{
	return nx_buf_slice(op->state);
}

/* ---- parsing ---- */

static const struct {
	const char *word;
	nx_tag unique;
} levels[] = {
	[NX_LEVEL_PATIENT] = {"PATIENT", NX_TAG_PATIENT_ID},
	[NX_LEVEL_STUDY] = {"STUDY", NX_TAG_STUDY_INSTANCE_UID},
	[NX_LEVEL_SERIES] = {"SERIES", NX_TAG_SERIES_INSTANCE_UID},
	[NX_LEVEL_INSTANCE] = {"IMAGE", NX_TAG_SOP_INSTANCE_UID},
};

struct parse {
	const struct nx_dataset *ds;
	struct nx_arena *arena;
	struct nx_identifier *id;
	struct nx_err *err;
};

static nx_rc no_memory(struct parse *p)
{
	return nx_err_set(p->err, NX_E_NOMEM, "no memory for an identifier");
}

static nx_rc offends(struct parse *p, nx_tag tag, const char *what)
{
	p->id->offending = tag;
	return nx_err_set(p->err, NX_E_INVAL, "(%04X,%04X) %s", tag >> 16, tag & 0xffff, what);
}

static nx_rc level_take(struct parse *p, enum nx_model model)
{
	const nx_tag tag = NX_TAG(0x0008, 0x0052);
	unsigned first = model == NX_MODEL_STUDY ? NX_LEVEL_STUDY : NX_LEVEL_PATIENT;
	unsigned last = model == NX_MODEL_PATIENT_STUDY ? NX_LEVEL_STUDY : NX_LEVEL_INSTANCE;
	const char *word = nx_dataset_text(p->ds, tag, p->arena);

	if (!word)
		return no_memory(p);
	for (unsigned i = first; i <= last; i++) {
		if (strcmp(levels[i].word, word) != 0)
			continue;
		p->id->level = i;
		p->id->level_word = levels[i].word;
		return NX_OK;
	}
	return offends(p, tag, *word ? "is no level of the model" : "is missing");
}

/* Text of a key; "" where it has no value, or one that is nothing to match by. */
static nx_rc key_text(struct parse *p, const struct nx_elem *elem, const char **ret)
{
	int64_t number;

	if (nx_dataset_int(p->ds, elem->tag, &number))
		*ret = nx_arena_printf(p->arena, "%lld", (long long)number);
	else
		*ret = nx_dataset_text(p->ds, elem->tag, p->arena);
	return *ret ? NX_OK : no_memory(p);
}

/* PS3.4 C.2.2.2.6: one item has the keys. */
static nx_rc sequence_add(struct parse *p, const struct nx_elem *elem)
{
	struct nx_identifier *id = p->id;

	if (!nx_retrieve_find_looks(id->level, elem->tag)) {
		id->partly = true;
		return NX_OK;
	}
	if (elem->n_items > 1)
		return offends(p, elem->tag, "has more than one item");
	nx_dataset_put(id->sequences, elem);
	return NX_OK;
}

static nx_rc key_add(struct parse *p, const struct nx_elem *elem)
{
	struct nx_identifier *id = p->id;
	const char *text = "";
	nx_rc rc;

	if (elem->vr == NX_VR('S', 'Q'))
		return sequence_add(p, elem);
	if (elem->is_bulk) {
		id->partly = true;
		return NX_OK;
	}
	rc = key_text(p, elem, &text);
	if (rc || !*text)
		return rc;
	if (!nx_retrieve_find_knows(id->level, elem->tag)) {
		id->partly = true;
		return NX_OK;
	}
	if (id->n_keys == NX_ARRAY_LEN(id->keys))
		return nx_err_set(p->err, NX_E_LIMIT, "more than %u keys", NX_LIMIT_QUERY_KEYS);
	id->keys[id->n_keys++] = (struct nx_find_key){elem->tag, text};
	return NX_OK;
}

/* What says how to read the identifier, or is in every answer anyway (PS3.4 C.4.1.1.3). */
static bool is_control(nx_tag tag)
{
	return tag == NX_TAG_SPECIFIC_CHARACTER_SET || tag == NX_TAG(0x0008, 0x0052) ||
		tag == NX_TAG(0x0008, 0x0054) || tag == NX_TAG(0x0008, 0x0056) ||
		(tag & 0xffff) == 0;
}

static nx_rc keys_take(struct parse *p)
{
	struct nx_identifier *id = p->id;
	nx_rc rc = NX_OK;

	id->wants = nx_arena_alloc_array(p->arena, p->ds->n + 1, sizeof(*id->wants));
	id->sequences = nx_dataset_new(p->arena, p->ds->n + 1);
	if (!id->wants || !id->sequences)
		return no_memory(p);
	id->sequences->charset = p->ds->charset;
	for (size_t i = 0; i < p->ds->n && !rc; i++) {
		const struct nx_elem *elem = &p->ds->elems[i];
		const struct nx_dict_entry *entry = nx_dict_find(elem->tag);

		if (is_control(elem->tag))
			continue;
		id->partly |= elem->vr != NX_VR('S', 'Q') &&
			!nx_retrieve_find_gives(id->level, elem->tag);
		id->wants[id->n_wants++] =
			(struct nx_find_want){elem->tag, entry ? entry->vr : elem->vr};
		rc = key_add(p, elem);
	}
	return rc;
}

const char *nx_identifier_unique(const struct nx_identifier *id, unsigned level)
{
	for (size_t i = 0; i < id->n_keys; i++)
		if (id->keys[i].tag == levels[level].unique)
			return id->keys[i].value;
	return "";
}

uint32_t nx_identifier_unique_tag(unsigned level)
{
	return levels[level].unique;
}

/* PS3.4 C.4.1.3.1.1: one value for the unique key of every level above. */
static nx_rc hierarchy_check(struct parse *p, enum nx_model model)
{
	unsigned first = model == NX_MODEL_STUDY ? NX_LEVEL_STUDY : NX_LEVEL_PATIENT;

	for (unsigned i = first; i < p->id->level; i++) {
		const char *value = nx_identifier_unique(p->id, i);

		if (!*value)
			return offends(p, levels[i].unique, "is missing");
		if (strpbrk(value, "\\*?"))
			return offends(p, levels[i].unique, "is not a single value");
	}
	return NX_OK;
}

nx_rc nx_identifier_parse(struct nx_slice bytes, const char *ts_uid, enum nx_model model,
	bool relational, struct nx_arena *arena, struct nx_identifier *ret, struct nx_err *err)
{
	struct parse p = {.arena = arena, .id = ret, .err = err};
	struct nx_dataset *ds = NULL;
	nx_rc rc;

	*ret = (struct nx_identifier){.charset = ""};
	rc = nx_dataset_parse(bytes, ts_uid, NX_LIMIT_IDENTIFIER + 1, arena, &ds, err);
	if (rc)
		return rc;
	p.ds = ds;
	ret->charset = nx_dataset_text(ds, NX_TAG_SPECIFIC_CHARACTER_SET, arena);
	if (!ret->charset)
		return no_memory(&p);
	rc = level_take(&p, model);
	if (!rc)
		rc = keys_take(&p);
	return rc || relational ? rc : hierarchy_check(&p, model);
}

unsigned nx_identifier_status(nx_rc rc)
{
	switch (rc) {
	case NX_E_INVAL:
		return NX_STATUS_DATASET_MISMATCH;
	case NX_E_NOENT: /* the collection */
	case NX_E_UNSUPPORTED:
		return NX_STATUS_CANNOT_UNDERSTAND;
	default:
		return nx_rc_dimse(rc);
	}
}

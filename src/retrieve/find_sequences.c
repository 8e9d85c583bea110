/*
 * Keys that are sequences (PS3.4 C.2.2.2.6).  The catalog has no column for them: what the other
 * keys match is looked up in the header of an instance; a series has that of one of its instances,
 * a study the items of all of its series, each once.
 */
#include "archive/rewrite.h"
#include "dicom/match.h"
#include "retrieve/find_priv.h"

enum {
	MATCH_ARENA_MAX = 64 * 1024 * 1024,
	HEADER_ARENA_MAX = 512 * 1024 * 1024
};

/* What is the same in all instances of the level (PS3.3 C.7).  Of instances it is any sequence. */
static const struct {
	uint8_t level;
	uint32_t tag;
} of_levels[] = {
	{NX_LEVEL_PATIENT, NX_TAG_REFERENCED_PATIENT_SEQUENCE},
	{NX_LEVEL_PATIENT, NX_TAG_ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE},
	{NX_LEVEL_PATIENT, NX_TAG_OTHER_PATIENT_I_DS_SEQUENCE},
	{NX_LEVEL_STUDY, NX_TAG_ISSUER_OF_ACCESSION_NUMBER_SEQUENCE},
	{NX_LEVEL_STUDY, NX_TAG_REFERRING_PHYSICIAN_IDENTIFICATION_SEQUENCE},
	{NX_LEVEL_STUDY, NX_TAG_PROCEDURE_CODE_SEQUENCE},
	{NX_LEVEL_STUDY, NX_TAG_PHYSICIANS_OF_RECORD_IDENTIFICATION_SEQUENCE},
	{NX_LEVEL_STUDY, NX_TAG_PHYSICIANS_READING_STUDY_IDENTIFICATION_SEQUENCE},
	{NX_LEVEL_STUDY, NX_TAG_ADMITTING_DIAGNOSES_CODE_SEQUENCE},
	{NX_LEVEL_STUDY, NX_TAG_REFERENCED_STUDY_SEQUENCE},
	{NX_LEVEL_STUDY, NX_TAG_REQUESTED_PROCEDURE_CODE_SEQUENCE},
	{NX_LEVEL_STUDY, NX_TAG_REASON_FOR_PERFORMED_PROCEDURE_CODE_SEQUENCE},
	{NX_LEVEL_SERIES, NX_TAG_SERIES_DESCRIPTION_CODE_SEQUENCE},
	{NX_LEVEL_SERIES, NX_TAG_PERFORMING_PHYSICIAN_IDENTIFICATION_SEQUENCE},
	{NX_LEVEL_SERIES, NX_TAG_OPERATOR_IDENTIFICATION_SEQUENCE},
	{NX_LEVEL_SERIES, NX_TAG_REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE},
	{NX_LEVEL_SERIES, NX_TAG_RELATED_SERIES_SEQUENCE},
	{NX_LEVEL_SERIES, NX_TAG_PERFORMED_PROTOCOL_CODE_SEQUENCE},
	{NX_LEVEL_SERIES, NX_TAG_REQUEST_ATTRIBUTES_SEQUENCE},
};

bool nx_retrieve_find_looks(unsigned level, uint32_t tag)
{
	const struct nx_dict_entry *entry = nx_dict_find(tag);

	if (!entry || entry->vr != NX_VR('S', 'Q'))
		return false;
	for (size_t i = 0; i < NX_ARRAY_LEN(of_levels); i++)
		if (of_levels[i].tag == tag)
			return of_levels[i].level <= level;
	return level == NX_LEVEL_INSTANCE;
}

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for a query");
}

nx_rc look_init(
	struct look *look, struct nx_retrieve *r, const struct nx_find *find, struct nx_err *err)
{
	*look = (struct look){.r = r, .find = find};
	nx_buf_init(&look->bytes, NX_LIMIT_QUERY_RESULT, NX_BUF_WIPE);
	look->arena = nx_arena_new(MATCH_ARENA_MAX, NX_ARENA_WIPE);
	look->header = nx_arena_new(HEADER_ARENA_MAX, NX_ARENA_WIPE);
	return look->arena && look->header ? NX_OK : no_memory(err);
}

void look_done(struct look *look)
{
	nx_arena_free(look->arena);
	nx_arena_free(look->header);
	nx_buf_done(&look->bytes);
}

/* ---- one header ---- */

/* What was erased since the row was found has none. */
static nx_rc header_read(
	struct look *look, const struct nx_item *item, struct nx_dataset **ret, struct nx_err *err)
{
	struct nx_recipe *recipe;
	nx_rc rc = nx_archive_recipe(look->r->archive, item, look->header, &recipe, err);

	if (!rc)
		rc = nx_archive_header(look->r->archive, item, recipe, look->header, ret, err);
	if (rc != NX_E_ERASED)
		return rc;
	*ret = nx_dataset_new(look->header, 1);
	return *ret ? NX_OK : no_memory(err);
}

/* The sequences that are asked for, as bytes: the header is large, and they are not. */
static nx_rc sequences_write(struct look *look, const struct nx_dataset *header, struct nx_err *err)
{
	const struct nx_dataset *keys = look->find->sequences;
	struct nx_dataset *some = nx_dataset_new(look->header, keys->n + 1), *utf8;
	nx_rc rc;

	if (!some)
		return no_memory(err);
	some->charset = header->charset;
	for (size_t i = 0; i < keys->n; i++) {
		const struct nx_elem *have = nx_dataset_find(header, keys->elems[i].tag);

		if (have && have->vr == NX_VR('S', 'Q') && have->n_items)
			nx_dataset_put(some, have);
	}
	rc = nx_dataset_utf8(some, look->header, &utf8, err);
	nx_buf_clear(&look->bytes);
	return rc ? rc : nx_dataset_write(utf8, NULL, &look->bytes, NULL, NULL, err);
}

static nx_rc sequences_read(
	struct look *look, const struct nx_item *item, struct nx_dataset **ret, struct nx_err *err)
{
	struct nx_dataset *header;
	nx_rc rc = NX_OK;

	if (look->n == NX_LIMIT_QUERY_HEADERS)
		return nx_err_set(err, NX_E_LIMIT,
			"more than %u headers to look into for sequences", NX_LIMIT_QUERY_HEADERS);
	look->n++;
	if (look->find->go_on)
		rc = look->find->go_on(look->find->go_on_payload, err);
	nx_arena_reset(look->header);
	if (!rc)
		rc = header_read(look, item, &header, err);
	if (!rc)
		rc = sequences_write(look, header, err);
	return rc ? rc
		  : nx_dataset_parse(nx_buf_slice(&look->bytes), NX_UID_EXPLICIT_VR_LITTLE_ENDIAN,
			    UINT32_MAX, look->arena, ret, err);
}

/* ---- of a series, of a study ---- */

static nx_rc series_read(
	struct look *look, int64_t series, struct nx_dataset **ret, struct nx_err *err)
{
	struct nx_item item;
	nx_rc rc = nx_cat_item_of_series(
		nx_archive_cat(look->r->archive), series, look->arena, &item, err);

	if (!rc)
		return sequences_read(look, &item, ret, err);
	if (rc != NX_E_NOENT) /* the last one went since */
		return rc;
	*ret = nx_dataset_new(look->arena, 1);
	return *ret ? NX_OK : no_memory(err);
}

static bool items_have(const struct nx_elem *seq, const struct nx_dataset *item)
{
	for (size_t i = 0; i < seq->n_items; i++)
		if (nx_dataset_same(seq->items[i], item))
			return true;
	return false;
}

static nx_rc items_join(
	struct look *look, struct nx_elem *seq, const struct nx_elem *more, struct nx_err *err)
{
	struct nx_dataset **items = nx_arena_alloc_array(
		look->arena, seq->n_items + more->n_items, sizeof(struct nx_dataset *));

	if (!items)
		return no_memory(err);
	memcpy(items, seq->items, seq->n_items * sizeof(struct nx_dataset *));
	seq->items = items;
	for (size_t i = 0; i < more->n_items; i++)
		if (!items_have(seq, more->items[i]))
			items[seq->n_items++] = more->items[i];
	return NX_OK;
}

struct study {
	struct look *look;
	struct nx_dataset *all;
};

static nx_rc study_add(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_series *series = row;
	const struct study *study = payload;
	struct nx_dataset *of;
	nx_rc rc = series_read(study->look, series->id, &of, err);

	for (size_t i = 0; !rc && i < of->n; i++) {
		size_t at = 0;

		while (at < study->all->n && study->all->elems[at].tag != of->elems[i].tag)
			at++;
		if (at == study->all->n)
			nx_dataset_put(study->all, &of->elems[i]);
		else if (of->elems[i].n_items)
			rc = items_join(study->look, &study->all->elems[at], &of->elems[i], err);
	}
	return rc;
}

static nx_rc study_read(struct look *look, int64_t id, struct nx_dataset **ret, struct nx_err *err)
{
	struct study study = {look, nx_dataset_new(look->arena, look->find->sequences->n + 1)};

	if (!study.all)
		return no_memory(err);
	*ret = study.all;
	return nx_cat_series_of(nx_archive_cat(look->r->archive), id, study_add, &study, err);
}

nx_rc look_at(struct look *look, const struct nx_match *m, bool *ret_matches,
	struct nx_dataset *ret, struct nx_err *err)
{
	struct nx_dataset *of = NULL;
	nx_rc rc;

	nx_arena_reset(look->arena);
	if (m->item)
		rc = sequences_read(look, m->item, &of, err);
	else if (m->series)
		rc = series_read(look, m->series->id, &of, err);
	else
		rc = study_read(look, m->study->id, &of, err);
	if (!rc)
		rc = nx_match_dataset(look->find->sequences, of, look->arena, ret_matches, err);
	if (rc || !*ret_matches)
		return rc;
	if (look->find->whole) {
		*ret = *of;
		return NX_OK;
	}
	return nx_match_select(look->find->sequences, of, look->arena, ret, err);
}

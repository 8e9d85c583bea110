/*
 * Erasing a subject whose studies hold instances of others too: a study that changed its patient on
 * the way keeps its UID.  What is of others stays to be found: study and series pass to one of
 * them, without the texts that may be of whom is erased.  Runs in the committer, so that no
 * instance arrives between looking and deleting.
 */
#include "archive/archive_priv.h"

enum {
	SHARED_ARENA_MAX = 512 * 1024 * 1024,
	STUDY_BY_SUBJECT = 6, /* indexes as listed in the catalog's schema */
	SUBJECT_BY_SUBJECT = 1,
};

struct shared {
	struct nx_archive *a;
	struct nx_change *change;
	uint64_t subject; /* being erased */
	struct nx_arena *arena;
};

/* Live instances, of a series or of all series of a study. */
struct tally {
	uint64_t erased; /* the subject */
	int64_t mine;    /* of it */
	int64_t others;
	uint64_t heir; /* whose the first of the others is; 0: nobody's */
	uint32_t domain;
};

static nx_rc tally_item(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_item *item = row;
	struct tally *t = payload;

	(void)err;
	if ((uint64_t)item->subject == t->erased) {
		t->mine++;
		return NX_OK;
	}
	t->others++;
	if (!t->heir) {
		t->heir = (uint64_t)item->subject;
		t->domain = (uint32_t)item->domain;
	}
	return NX_OK;
}

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for a shared study");
}

/* It goes with the last of its instances. */
static nx_rc series_settle(struct shared *s, const struct nx_series *series,
	struct tally *ret_tally, struct nx_err *err)
{
	struct tally t = {.erased = s->subject};
	struct nx_series row = *series;
	struct nx_val id = nx_val_int(series->id);
	struct nx_op op = {.verb = NX_OP_DEL, .table = NX_T_SERIES, .n = 1, .vals = &id};
	nx_rc rc = nx_cat_items_of(s->a->cat, series->id, tally_item, &t, err);

	if (rc)
		return rc;
	*ret_tally = t;
	row.description = "";
	row.n_instances = t.others;
	if (t.others && nx_op_put_series(&row, t.domain, t.heir, s->arena, &op))
		return no_memory(err);
	return nx_change_op(s->change, &op, err);
}

/* ---- a study of the subject ---- */

struct study_walk {
	struct shared *s;
	struct nx_study *row;
	struct tally all;
};

static nx_rc study_series(void *payload, const void *series, struct nx_err *err)
{
	struct study_walk *w = payload;
	struct tally t;
	nx_rc rc = series_settle(w->s, series, &t, err);

	if (rc || !t.others)
		return rc;
	w->row->n_series++;
	w->row->n_instances += t.others;
	if (!w->all.heir)
		w->all = t;
	return NX_OK;
}

/* The heir's identity, as the study's row has it. */
static nx_rc patient_of(
	struct shared *s, const struct tally *t, struct nx_study *row, struct nx_err *err)
{
	struct nx_val where = nx_val_int((int64_t)t->heir);
	struct nx_subject_row found;
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc = nx_cat_rows(s->a->cat,
		&(struct nx_rows_of){.table = NX_T_SUBJECT,
			.index = SUBJECT_BY_SUBJECT,
			.where = &where,
			.n_where = 1},
		s->arena, &rows, &n, err);

	for (size_t i = 0; i < n && !rc; i++) {
		rc = nx_op_row(&rows[i], s->arena, &found, err);
		/* A blank id has a name of our own, which is nobody's. */
		if (rc || found.domain != t->domain || found.patient_id[0] == '\x01')
			continue;
		row->patient_id = found.patient_id;
		row->issuer = found.issuer;
		break;
	}
	return rc;
}

static nx_rc study_settle(struct shared *s, const struct nx_study *study, struct nx_err *err)
{
	struct nx_study row = {.id = study->id,
		.collection = study->collection,
		.uid = study->uid,
		.patient_id = "",
		.issuer = "",
		.patient_name = "",
		.name_key = "",
		.birth_date = "",
		.sex = "",
		.date = "",
		.time = "",
		.accession = "",
		.referring = "",
		.description = "",
		.study_id = "",
		.modalities = study->modalities,
		.received_us = study->received_us,
		.updated_us = study->updated_us,
		.complete_us = study->complete_us};
	struct study_walk w = {.s = s, .row = &row};
	struct nx_op op;
	nx_rc rc = nx_cat_series_of(s->a->cat, study->id, study_series, &w, err);

	if (rc || !w.all.heir)
		return rc;
	row.subject = (int64_t)w.all.heir;
	rc = patient_of(s, &w.all, &row, err);
	if (!rc && nx_op_put_study(&row, w.all.domain, s->arena, &op))
		rc = no_memory(err);
	return rc ? rc : nx_change_op(s->change, &op, err);
}

static nx_rc studies_settle(struct shared *s, struct nx_err *err)
{
	struct nx_val where = nx_val_int((int64_t)s->subject);
	struct nx_study study;
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc = nx_cat_rows(s->a->cat,
		&(struct nx_rows_of){.table = NX_T_STUDY,
			.index = STUDY_BY_SUBJECT,
			.where = &where,
			.n_where = 1},
		s->arena, &rows, &n, err);

	for (size_t i = 0; i < n && !rc; i++) {
		rc = nx_op_row(&rows[i], s->arena, &study, err);
		if (!rc)
			rc = study_settle(s, &study, err);
	}
	return rc;
}

/* ---- instances of the subject in studies of others ---- */

struct guests {
	struct guest *first;
	struct nx_arena *arena;
};

struct guest {
	struct guest *next;
	int64_t series;
	uint32_t domain;
};

static nx_rc guest_add(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_item *item = row;
	struct guests *g = payload;
	struct guest *one;

	if (!item->series || item->state != NX_ITEM_LIVE)
		return NX_OK;
	for (one = g->first; one; one = one->next)
		if (one->series == item->series)
			return NX_OK;
	one = nx_arena_alloc(g->arena, sizeof(*one));
	if (!one)
		return no_memory(err);
	*one = (struct guest){g->first, item->series, (uint32_t)item->domain};
	g->first = one;
	return NX_OK;
}

static nx_rc guest_settle(struct shared *s, const struct guest *guest, struct nx_err *err)
{
	struct nx_series series;
	struct nx_study study;
	struct tally t;
	struct nx_val less[] = {nx_val_int(0), nx_val_int(NX_C_STUDY_N_SERIES), nx_val_int(0),
		nx_val_int(NX_C_STUDY_N_INSTANCES), nx_val_int(0)};
	struct nx_op op = {
		.verb = NX_OP_ADD, .table = NX_T_STUDY, .n = NX_ARRAY_LEN(less), .vals = less};
	nx_rc rc = nx_cat_series_by_id(s->a->cat, guest->series, s->arena, &series, err);

	if (!rc)
		rc = nx_cat_study_by_id(s->a->cat, series.study, s->arena, &study, err);
	if (rc == NX_E_NOENT)
		return NX_OK; /* without its study it is found by fsck */
	if (rc || (uint64_t)study.subject == s->subject)
		return rc;
	rc = series_settle(s, &series, &t, err);
	if (rc)
		return rc;
	less[0] = nx_val_int(study.id);
	less[2] = nx_val_int(t.others ? 0 : -1);
	less[4] = nx_val_int(-t.mine);
	op.domain = guest->domain;
	op.subject = (uint64_t)study.subject;
	return nx_change_op(s->change, &op, err);
}

static nx_rc guests_settle(struct shared *s, struct nx_err *err)
{
	struct guests g = {.arena = s->arena};
	nx_rc rc = nx_cat_items_of_subject(s->a->cat, s->subject, guest_add, &g, err);

	for (const struct guest *one = g.first; one && !rc; one = one->next)
		rc = guest_settle(s, one, err);
	return rc;
}

nx_rc shared_settle(struct nx_archive *a, struct nx_change *change, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(SHARED_ARENA_MAX, NX_ARENA_WIPE);
	struct shared s = {.a = a, .change = change, .subject = change->erase, .arena = arena};
	nx_rc rc;

	if (!arena)
		return no_memory(err);
	rc = studies_settle(&s, err);
	return rc ? rc : guests_settle(&s, err);
}

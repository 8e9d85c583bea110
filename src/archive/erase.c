/*
 * Erasing a subject.  Its keys go first: from then on nothing of it opens, in any version, tier or
 * copy.  What follows is tidying: rows deleted, blobs that nobody else needs unnamed.  Should that
 * be cut short, the next start does it again from the key store's list of erased subjects (sweep).
 */
#include "archive/archive_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"

enum {
	ERASE_ARENA_MAX = 512 * 1024 * 1024,
	DOMAINS_MAX = 64,
	DETAIL_MAX = 16 * 1024,
	EDIT_BY_SUBJECT = 1, /* index as listed in the catalog's schema */
};

/* Copies of the subject's keys, made before they are destroyed, to learn which blobs its recipes
 * name. */
struct keyring {
	size_t n;
	uint32_t domains[DOMAINS_MAX];
	struct nx_key keys[DOMAINS_MAX];
};

struct erasure {
	struct nx_archive *a;
	uint64_t subject;
	struct nx_change *change;
	struct nx_arena *arena;
	struct keyring ring;
	struct nx_map *refs; /* blob id -> uint64_t in arena: times named by what is deleted */
	uint64_t items;
};

static nx_rc ring_fill(
	struct nx_archive *a, uint64_t subject, struct keyring *ring, struct nx_err *err)
{
	struct nx_keys_status status;

	nx_keys_status(a->keys, &status);
	for (uint32_t i = 0; i < status.n_domains && ring->n < DOMAINS_MAX; i++) {
		char name[64];
		uint32_t id, version;
		nx_rc rc = nx_keys_domain_at(a->keys, i, &id, name, &version, err);

		if (rc)
			return rc;
		rc = nx_keys_subject(a->keys, id, subject, &ring->keys[ring->n], err);
		if (rc == NX_E_NOENT || rc == NX_E_ERASED)
			continue;
		if (rc)
			return rc;
		ring->domains[ring->n++] = id;
	}
	return NX_OK;
}

static const struct nx_key *ring_key(const struct keyring *ring, int64_t domain)
{
	for (size_t i = 0; i < ring->n; i++)
		if (ring->domains[i] == domain)
			return &ring->keys[i];
	return NULL;
}

static nx_rc row_delete(struct erasure *e, enum nx_table table, int64_t id, struct nx_err *err)
{
	struct nx_val val = nx_val_int(id);

	return nx_change_op(e->change,
		&(struct nx_op){.verb = NX_OP_DEL, .table = (uint8_t)table, .n = 1, .vals = &val},
		err);
}

static nx_rc blobs_count(struct erasure *e, const struct nx_recipe *recipe, struct nx_err *err)
{
	for (size_t i = 0; i < recipe->n_blobs; i++) {
		struct nx_slice key = nx_slice(&recipe->blobs[i].id, sizeof(recipe->blobs[i].id));
		uint64_t *n = nx_map_get(e->refs, key);

		if (!n) {
			n = nx_arena_alloc(e->arena, sizeof(*n));
			if (!n || !nx_map_put(e->refs, key, n, NULL))
				return nx_err_set(err, NX_E_NOMEM, "no memory to count blobs");
		}
		++*n;
	}
	return NX_OK;
}

/* Who follows a collection learns that there is nothing left of the subject. */
static nx_rc feed_add(struct erasure *e, const struct nx_item *item, struct nx_err *err)
{
	bool shown = item->state == NX_ITEM_LIVE || item->state == NX_ITEM_OLD ||
		item->state == NX_ITEM_DELETED || item->state == NX_ITEM_REJECTED;

	return shown && item->series ? nx_change_feed(e->change, item->collection, err) : NX_OK;
}

static nx_rc item_erase(void *payload, const void *row, struct nx_err *err)
{
	struct erasure *e = payload;
	const struct nx_item *item = row;
	const struct nx_key *key = ring_key(&e->ring, item->domain);
	NX_AUTO(nx_arena) *arena = nx_arena_new(ERASE_ARENA_MAX, NX_ARENA_WIPE);
	struct nx_recipe *recipe;
	nx_rc rc = NX_OK;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory to erase an item");
	e->items += item->state != NX_ITEM_DERIVED;
	rc = feed_add(e, item, err);
	if (rc)
		return rc;
	if (key)
		rc = recipe_open(item, key, arena, &recipe, err);
	if (rc == NX_E_CORRUPT) /* it goes anyway; its blobs are found by fsck */
		rc = NX_OK;
	else if (!rc && key)
		rc = blobs_count(e, recipe, err);
	return rc;
}

/*
 * What was corrected to be of the subject was of another before, and is sealed by that one's key.
 * Its rows go, and with them the last way to it here; in packs it opens until the other is erased
 * as well.
 */
static nx_rc original_erase(struct erasure *e, int64_t id, int64_t *ret_before, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) key = {{0}};
	struct nx_recipe *recipe;
	struct nx_edit_row edit;
	struct nx_item item;
	nx_rc rc = nx_cat_item_by_id(e->a->cat, id, e->arena, &item, err);

	*ret_before = 0;
	if (rc || (uint64_t)item.subject == e->subject)
		return rc == NX_E_NOENT ? NX_OK : rc;
	rc = nx_keys_subject(e->a->keys, (uint32_t)item.domain, (uint64_t)item.subject, &key, err);
	if (rc)
		return rc == NX_E_ERASED || rc == NX_E_NOENT ? NX_OK : rc;
	rc = recipe_open(&item, &key, e->arena, &recipe, err);
	if (!rc)
		rc = blobs_count(e, recipe, err);
	if (!rc)
		rc = row_delete(e, NX_T_ITEM, id, err);
	if (rc)
		return rc;
	e->items++;
	rc = nx_cat_edit(e->a->cat, id, e->arena, &edit, err);
	*ret_before = rc ? 0 : edit.replaced;
	return rc == NX_E_NOENT ? NX_OK : rc;
}

static nx_rc originals_erase(struct erasure *e, struct nx_err *err)
{
	struct nx_val where = nx_val_int((int64_t)e->subject);
	struct nx_edit_row edit;
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc = nx_cat_rows(e->a->cat,
		&(struct nx_rows_of){.table = NX_T_EDIT,
			.index = EDIT_BY_SUBJECT,
			.where = &where,
			.n_where = 1},
		e->arena, &rows, &n, err);

	for (size_t i = 0; i < n && !rc; i++) {
		int64_t at;

		rc = nx_op_row(&rows[i], e->arena, &edit, err);
		at = !rc && edit.was != edit.subject ? edit.replaced : 0;
		while (!rc && at)
			rc = original_erase(e, at, &at, err);
	}
	return rc;
}

struct blob_walk {
	struct erasure *e;
	struct nx_err *err;
	nx_rc rc;
};

static void blob_release(struct nx_slice key, void *value, void *payload)
{
	struct blob_walk *w = payload;
	const uint64_t *n = value;
	struct nx_blob_row row;
	struct nx_val vals[3];
	uint64_t id;

	if (w->rc)
		return;
	memcpy(&id, key.p, sizeof(id));
	w->rc = nx_cat_blob(w->e->a->cat, (int64_t)id, w->e->arena, &row, w->err);
	if (w->rc == NX_E_NOENT) {
		w->rc = NX_OK;
		return;
	}
	if (w->rc)
		return;
	if (row.refs <= (int64_t)*n) {
		w->rc = row_delete(w->e, NX_T_BLOB, (int64_t)id, w->err);
		return;
	}
	vals[0] = nx_val_int((int64_t)id);
	vals[1] = nx_val_int(NX_C_BLOB_REFS);
	vals[2] = nx_val_int(-(int64_t)*n);
	w->rc = nx_change_op(w->e->change,
		&(struct nx_op){.verb = NX_OP_ADD, .table = NX_T_BLOB, .n = 3, .vals = vals},
		w->err);
}

/* By subject, not by key: the names in these rows must not enter the log again. */
static nx_rc purge(struct erasure *e, enum nx_table table, struct nx_err *err)
{
	struct nx_val val = nx_val_int((int64_t)e->subject);

	return nx_change_op(e->change,
		&(struct nx_op){.verb = NX_OP_PURGE, .table = (uint8_t)table, .n = 1, .vals = &val},
		err);
}

static nx_rc forget_row(struct erasure *e, struct nx_err *err)
{
	struct nx_val vals[] = {nx_val_int((int64_t)e->subject), nx_val_int(nx_now_us())};

	return nx_change_op(e->change,
		&(struct nx_op){.verb = NX_OP_PUT, .table = NX_T_FORGET, .n = 2, .vals = vals},
		err);
}

static nx_rc rows_delete(struct erasure *e, struct nx_err *err)
{
	static const enum nx_table tables[] = {NX_T_ITEM, NX_T_STUDY, NX_T_SUBJECT, NX_T_EVENT,
		NX_T_QUARANTINE, NX_T_DELIVERY, NX_T_STEP, NX_T_CONFLICT, NX_T_EDIT, NX_T_REJECTION,
		NX_T_WORKLIST};
	struct blob_walk walk = {.e = e, .err = err};
	nx_rc rc;

	rc = nx_cat_items_of_subject(e->a->cat, e->subject, item_erase, e, err);
	if (!rc)
		rc = originals_erase(e, err);
	if (!rc) {
		nx_map_each(e->refs, blob_release, &walk);
		rc = walk.rc;
	}
	for (size_t i = 0; i < NX_ARRAY_LEN(tables) && !rc; i++)
		rc = purge(e, tables[i], err);
	return rc ? rc : forget_row(e, err);
}

static nx_rc erasure_init(struct erasure *e, struct nx_err *err)
{
	e->change = nx_change_new();
	e->arena = nx_arena_new(ERASE_ARENA_MAX, NX_ARENA_WIPE);
	e->refs = nx_map_new();
	if (!e->change || !e->arena || !e->refs)
		return nx_err_set(err, NX_E_NOMEM, "no memory to erase a subject");
	e->change->erase = e->subject;
	return NX_OK;
}

static void erasure_done(struct erasure *e)
{
	nx_change_free(e->change);
	nx_map_free(e->refs);
	nx_arena_free(e->arena);
	explicit_bzero(&e->ring, sizeof(e->ring));
}

/* What was done goes before what the caller says of it. */
static nx_rc entry_add(
	struct erasure *e, const struct nx_entry_draft *draft, size_t places, struct nx_err *err)
{
	struct nx_entry_draft full = *draft;
	NX_AUTO_DONE(nx_buf) detail;
	nx_rc rc;

	nx_buf_init(&detail, DETAIL_MAX, NX_BUF_WIPE);
	nx_buf_printf(&detail, "{\"items\":%llu,\"key_places\":%zu", (unsigned long long)e->items,
		places);
	if (draft->detail.n > 2) { /* more than {} */
		nx_buf_put_u8(&detail, ',');
		nx_buf_put(&detail, draft->detail.p + 1, draft->detail.n - 1);
	} else {
		nx_buf_put_u8(&detail, '}');
	}
	rc = nx_buf_check(&detail, err);
	full.detail = nx_buf_slice(&detail);
	return rc ? rc : nx_change_entry(e->change, &full, NULL, err);
}

static nx_rc subject_erase(struct nx_archive *archive, uint64_t subject,
	const struct nx_entry_draft *draft, uint64_t *ret_items, struct nx_err *err)
{
	struct erasure e = {.a = archive, .subject = subject};
	size_t places = 0;
	nx_rc rc = erasure_init(&e, err);

	if (!rc)
		rc = ring_fill(archive, subject, &e.ring, err);
	if (!rc)
		rc = nx_keys_erase(archive->keys, subject, &places, err);
	nx_archive_barrier(archive); /* what was acknowledged before is in the rows */
	if (!rc)
		rc = rows_delete(&e, err);
	if (!rc && draft)
		rc = entry_add(&e, draft, places, err);
	if (!rc)
		rc = nx_archive_commit(archive, e.change, err);
	nx_archive_barrier(archive);
	if (!rc)
		*ret_items = e.items;
	erasure_done(&e);
	return rc;
}

/* Rows of quarantine that go, newest first. */
struct doomed {
	struct doomed *next;
	struct nx_quarantine_row row; /* numbers only */
};

struct doomed_list {
	struct nx_archive *a;
	struct nx_arena *arena;
	struct doomed *first;
	uint64_t patient; /* 0: of every patient that is erased */
};

static nx_rc doomed_add(void *payload, const void *row, struct nx_err *err)
{
	struct doomed_list *l = payload;
	const struct nx_quarantine_row *r = row;
	uint64_t patient = (uint64_t)r->patient;
	struct doomed *d;

	if (!patient || (l->patient ? patient != l->patient : !nx_keys_erased(l->a->keys, patient)))
		return NX_OK;
	d = nx_arena_alloc(l->arena, sizeof(*d));
	if (!d)
		return nx_err_set(err, NX_E_NOMEM, "no memory to erase quarantine");
	d->row = (struct nx_quarantine_row){
		.id = r->id, .subject = r->subject, .patient = r->patient};
	d->next = l->first;
	l->first = d;
	return NX_OK;
}

/* The entries are the patient's. */
static nx_rc asides_erase(
	struct nx_archive *a, uint64_t patient, const char *principal, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ERASE_ARENA_MAX, NX_ARENA_WIPE);
	struct doomed_list list = {.a = a, .arena = arena, .patient = patient};
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory to erase quarantine");
	rc = nx_cat_quarantine(
		a->cat, &(struct nx_quarantine_of){.limit = INT32_MAX}, doomed_add, &list, err);
	for (const struct doomed *d = list.first; d && !rc; d = d->next) {
		struct nx_entry_draft draft = {.action = NX_ACTION_QUARANTINE_DISCARD,
			.principal = principal,
			.subject = (uint64_t)d->row.patient};
		char detail[96];
		uint64_t items;

		(void)snprintf(detail, sizeof(detail), "{\"quarantine\":%lld,\"why\":\"erasure\"}",
			(long long)d->row.id);
		draft.detail = nx_slice_str(detail);
		rc = subject_erase(a, (uint64_t)d->row.subject, &draft, &items, err);
	}
	return rc;
}

nx_rc nx_archive_erase(struct nx_archive *archive, uint64_t subject,
	const struct nx_entry_draft *draft, uint64_t *ret_items, struct nx_err *err)
{
	nx_rc rc = subject_erase(archive, subject, draft, ret_items, err);

	if (rc)
		return rc;
	/* No more can come: the patient's key is gone. */
	return asides_erase(archive, subject, draft ? draft->principal : "", err);
}

nx_rc erase_sweep(struct nx_archive *a, struct nx_err *err)
{
	struct nx_keys_status status;
	nx_rc rc = NX_OK;

	nx_keys_status(a->keys, &status);
	for (uint64_t i = 0; i < status.n_erased && !rc; i++) {
		NX_AUTO(nx_arena) *arena = nx_arena_new(ERASE_ARENA_MAX, 0);
		struct nx_entry_draft draft = {.action = NX_ACTION_ERASE,
			.detail =
				nx_slice_str("{\"what\":\"erased before, found again at start\"}")};
		struct nx_val where;
		struct nx_op *rows;
		uint64_t subject = 0, items = 0;
		size_t n = 0;

		if (!arena)
			return nx_err_set(err, NX_E_NOMEM, "no memory to sweep");
		rc = nx_keys_erased_at(a->keys, i, &subject, err);
		where = nx_val_int((int64_t)subject);
		if (!rc)
			rc = nx_cat_rows(a->cat,
				&(struct nx_rows_of){.table = NX_T_FORGET,
					.where = &where,
					.n_where = 1,
					.limit = 1},
				arena, &rows, &n, err);
		if (rc || n)
			continue;
		draft.subject = subject; /* keys are gone: that it happened must be on record */
		rc = nx_archive_erase(a, subject, &draft, &items, err);
		if (!rc)
			nx_log(NX_LOG_INFO, "archive", "erase.sweep",
				"%llu items of an erased subject deleted",
				(unsigned long long)items);
	}
	return rc ? rc : asides_erase(a, 0, "", err);
}

/* The item of a put: what is there already, its recipe and rows. */
#include "archive/prepare_priv.h"
#include "base/enc.h"

nx_rc item_recipe(
	const struct nx_put *put, struct nx_arena *arena, struct nx_recipe *r, struct nx_err *err)
{
	*r = (struct nx_recipe){.n_blobs = put->n_blobs + put->n_shared, .n_parts = put->n_parts};
	r->blobs = nx_arena_alloc_array(arena, r->n_blobs, sizeof(*r->blobs));
	r->parts = nx_arena_copy(arena, put->parts, put->n_parts * sizeof(*put->parts));
	if (!r->blobs || !r->parts)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a recipe");
	for (size_t i = 0; i < put->n_blobs; i++)
		r->blobs[i] = put->blobs[i]->info;
	for (size_t i = 0; i < put->n_shared; i++)
		r->blobs[put->n_blobs + i] = put->shared[i];
	recipe_digest(r, r->digest);
	memcpy(r->content, put->content ? put->content : r->digest, 32);
	return NX_OK;
}

static nx_rc old_find(struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err)
{
	struct nx_put *put = t->put;
	nx_rc rc = nx_cat_item_latest(
		a->cat, put->collection->id, t->subject, put->item->name, g->arena, &t->old, err);

	if (rc == NX_E_NOENT) {
		t->old.id = 0;
		rc = NX_OK;
	}
	return rc;
}

/* The name may have a history under the subject as well: numbers of versions are given once. */
static nx_rc replaced_find(
	struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err)
{
	struct nx_item under = {.version = 0};
	nx_rc rc = nx_cat_item_by_id(a->cat, t->put->replaces, g->arena, &t->old, err);

	if (rc == NX_E_NOENT || (!rc && t->old.state != NX_ITEM_LIVE))
		return nx_err_set(err, NX_E_PRECONDITION, "the instance changed meanwhile");
	if (rc || (uint64_t)t->old.subject == t->subject)
		return rc;
	rc = nx_cat_item_latest(a->cat, t->put->collection->id, t->subject, t->put->item->name,
		g->arena, &under, err);
	if (rc && rc != NX_E_NOENT)
		return rc;
	if (!rc && under.state == NX_ITEM_LIVE)
		return nx_err_set(
			err, NX_E_CONFLICT, "the other patient has an instance of this UID");
	if (!rc && under.version > t->old.version)
		t->old.version = under.version;
	return NX_OK;
}

/* ---- what was corrected or rejected, and comes again as it was ---- */

static nx_rc content_is(struct nx_archive *a, struct group *g, const struct nx_item *item,
	const struct nx_recipe *r, bool *ret, struct nx_err *err)
{
	struct nx_recipe *there;
	nx_rc rc = nx_archive_recipe(a, item, g->arena, &there, err);

	if (rc == NX_E_ERASED)
		return NX_OK;
	if (!rc)
		*ret = memcmp(there->content, r->content, sizeof(r->content)) == 0;
	return rc;
}

/* Is it what was corrected to what is there now? */
static nx_rc was_corrected(struct nx_archive *a, struct group *g, const struct target *t,
	const struct nx_recipe *r, bool *ret, struct nx_err *err)
{
	struct nx_item item = t->old;
	struct nx_edit_row edit;
	nx_rc rc = NX_OK;

	/* The newest of the subject, and no longer current: it was given to another. */
	if (item.state == NX_ITEM_OLD)
		rc = content_is(a, g, &item, r, ret, err);
	while (!rc && !*ret) {
		rc = nx_cat_edit(a->cat, item.id, g->arena, &edit, err);
		if (!rc)
			rc = nx_cat_item_by_id(a->cat, edit.replaced, g->arena, &item, err);
		if (!rc)
			rc = content_is(a, g, &item, r, ret, err);
	}
	return rc == NX_E_NOENT ? NX_OK : rc;
}

static nx_rc other_study(struct nx_archive *a, struct group *g, const struct target *t, bool *ret,
	struct nx_err *err)
{
	struct nx_series series;
	struct nx_study study;
	nx_rc rc = nx_cat_series_by_id(a->cat, t->old.series, g->arena, &series, err);

	if (!rc)
		rc = nx_cat_study_by_id(a->cat, series.study, g->arena, &study, err);
	if (!rc)
		*ret = strcmp(study.uid, or_empty(t->put->study->uid)) != 0;
	return rc;
}

/* What is bad stays rejected; what was of the wrong order may come in another study, and what was
 * too old may come again. */
static nx_rc rejected_look(
	struct nx_archive *a, struct group *g, const struct target *t, struct nx_err *err)
{
	struct nx_rejection_row row;
	bool accepted = t->put->restores;
	nx_rc rc = accepted ? NX_OK : nx_cat_rejection(a->cat, t->old.id, g->arena, &row, err);

	if (rc || accepted)
		return rc;
	if (row.reason == NX_REJECTION_RETENTION)
		accepted = true;
	else if (row.reason == NX_REJECTION_WORKLIST)
		rc = other_study(a, g, t, &accepted, err);
	if (!rc && !accepted) {
		t->put->outcome = NX_PUT_REJECTED;
		t->put->was_rejected = true;
	}
	return rc;
}

static nx_rc precondition(
	const struct nx_put *put, const struct nx_recipe *there, struct nx_err *err)
{
	char etag[65];

	if (there && put->if_none_match_any)
		return nx_err_set(err, NX_E_PRECONDITION, "the object exists");
	if (!put->if_match)
		return NX_OK;
	if (there)
		nx_hex_format(there->digest, 32, etag);
	if (there && (strcmp(put->if_match, "*") == 0 || strcmp(put->if_match, etag) == 0))
		return NX_OK;
	return nx_err_set(err, NX_E_PRECONDITION, "the object is not the one named by If-Match");
}

nx_rc item_outcome(struct nx_archive *a, struct group *g, struct target *t,
	const struct nx_recipe *r, struct nx_err *err)
{
	struct nx_put *put = t->put;
	struct nx_recipe *there = NULL;
	bool corrected = false;
	nx_rc rc = put->replaces ? replaced_find(a, g, t, err) : old_find(a, g, t, err);

	put->outcome = put->replaces ? NX_PUT_VERSION : NX_PUT_STORED;
	memcpy(put->ret_digest, r->digest, 32);
	if (put->replaces)
		return rc;
	if (!rc && t->old.id && t->old.state == NX_ITEM_REJECTED)
		return rejected_look(a, g, t, err);
	if (!rc && t->old.id && t->old.state == NX_ITEM_LIVE)
		rc = nx_archive_recipe(a, &t->old, g->arena, &there, err);
	if (!rc)
		rc = precondition(put, there, err);
	if (!rc && !there && put->study && t->old.id && t->old.state == NX_ITEM_OLD) {
		rc = was_corrected(a, g, t, r, &corrected, err);
		put->outcome = corrected ? NX_PUT_DUPLICATE : NX_PUT_STORED;
	}
	if (rc || !there)
		return rc;
	if (memcmp(there->content, r->content, sizeof(r->content)) == 0) {
		put->outcome = NX_PUT_DUPLICATE;
		memcpy(put->ret_digest, there->digest, 32);
		return rc;
	}
	if (put->study && !put->settles)
		rc = was_corrected(a, g, t, r, &corrected, err);
	if (corrected) {
		put->outcome = NX_PUT_DUPLICATE;
		memcpy(put->ret_digest, there->digest, 32);
	} else if (put->study && !put->settles &&
		strcmp(or_empty(put->collection->on_conflict), "reject") == 0) {
		put->outcome = NX_PUT_REJECTED;
	} else {
		put->outcome = NX_PUT_VERSION;
	}
	return rc;
}

static nx_rc blob_place(
	struct nx_archive *a, struct group *g, struct nx_blob *blob, struct nx_err *err)
{
	struct group_unit *unit;
	nx_rc rc = NX_OK;

	if (blob->small) {
		rc = group_unit(a, g, blob->domain, &unit, err);
		if (rc)
			return rc;
		blob->extents[0].pack = unit->pack;
		blob->extents[0].off = unit->off + UNIT_HEADER_LEN + unit->extents.len;
		nx_buf_put(&unit->extents, blob->small, blob->small_len);
		return nx_buf_check(&unit->extents, err);
	}
	for (size_t i = 0; i < blob->n_extents && !rc; i++)
		rc = group_range(g, &blob->ranges[i], err);
	return rc;
}

static size_t blob_extents(const struct nx_blob *blob)
{
	return blob->small ? 1 : blob->n_extents;
}

static nx_rc blob_rows(struct nx_archive *a, struct group *g, const struct nx_put *put,
	struct nx_recipe *r, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) packed;
	nx_rc rc = NX_OK;

	nx_buf_init(&packed, NX_LIMIT_GROUP_RECORD, 0);
	for (size_t i = 0; i < put->n_blobs && !rc; i++) {
		struct nx_blob_row row = {
			.id = (int64_t)nx_archive_next_id(a, NX_T_BLOB), .refs = 1};
		struct nx_op op;

		rc = blob_place(a, g, put->blobs[i], err);
		if (rc)
			break;
		nx_buf_clear(&packed);
		extents_format(put->blobs[i]->extents, blob_extents(put->blobs[i]), &packed);
		row.extents = nx_buf_slice(&packed);
		r->blobs[i].id = (uint64_t)row.id;
		rc = nx_buf_check(&packed, err);
		if (!rc && nx_op_put_blob(&row, g->arena, &op))
			rc = nx_err_set(err, NX_E_NOMEM, "no memory for a blob row");
		if (!rc)
			rc = group_op(g, &op, err);
	}
	for (size_t i = 0; i < put->n_shared && !rc; i++) {
		struct nx_val vals[] = {nx_val_int((int64_t)put->shared[i].id),
			nx_val_int(NX_C_BLOB_REFS), nx_val_int(1)};

		rc = group_op(g,
			&(struct nx_op){
				.verb = NX_OP_ADD, .table = NX_T_BLOB, .n = 3, .vals = vals},
			err);
	}
	return rc;
}

static nx_rc item_row(struct nx_archive *a, struct group *g, struct target *t,
	const struct nx_recipe *r, struct nx_err *err)
{
	struct nx_put *put = t->put;
	struct nx_item row = *put->item;
	NX_AUTO_DONE(nx_buf) sealed;
	struct nx_op op;
	nx_rc rc;

	row.id = (int64_t)nx_archive_next_id(a, NX_T_ITEM);
	row.collection = put->collection->id;
	row.subject = (int64_t)t->subject;
	row.domain = t->domain;
	row.series = t->series ? t->series->id : 0;
	row.version = t->old.id ? t->old.version + 1 : 1;
	row.state = put->aside ? NX_ITEM_ASIDE : put->derived ? NX_ITEM_DERIVED : NX_ITEM_LIVE;
	row.received_us = g->now_us;
	nx_buf_init(&sealed, NX_LIMIT_GROUP_RECORD, 0);
	rc = recipe_seal(r, &t->key, (uint64_t)row.id, &sealed, err);
	if (rc)
		return rc;
	row.sealed = nx_buf_slice(&sealed);
	if (nx_op_put_item(&row, g->arena, &op))
		return nx_err_set(err, NX_E_NOMEM, "no memory for an item row");
	put->ret_item = row.id;
	put->ret_version = row.version;
	return group_op(g, &op, err);
}

nx_rc item_rows(struct nx_archive *a, struct group *g, struct target *t, struct nx_recipe *r,
	struct nx_err *err)
{
	nx_rc rc = blob_rows(a, g, t->put, r, err);

	return rc ? rc : item_row(a, g, t, r, err);
}

static nx_rc row_drop(struct group *g, const struct target *t, enum nx_table table, int64_t id,
	struct nx_err *err)
{
	struct nx_val val = nx_val_int(id);
	struct nx_op op = {.verb = NX_OP_DEL,
		.table = (uint8_t)table,
		.n = 1,
		.domain = t->domain,
		.vals = &val};

	op.subject = t->subject;
	return group_op(g, &op, err);
}

/* Nothing else names the blobs of what was derived. */
nx_rc item_replace(struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err)
{
	struct nx_recipe *r;
	nx_rc rc = old_find(a, g, t, err);

	if (rc || !t->old.id)
		return rc;
	rc = recipe_open(&t->old, &t->key, g->arena, &r, err);
	for (size_t i = 0; !rc && i < r->n_blobs; i++)
		rc = row_drop(g, t, NX_T_BLOB, (int64_t)r->blobs[i].id, err);
	return rc ? rc : row_drop(g, t, NX_T_ITEM, t->old.id, err);
}

static nx_rc old_retire(struct group *g, const struct target *t, struct nx_err *err)
{
	struct nx_val vals[] = {
		nx_val_int(t->old.id), nx_val_int(NX_C_ITEM_STATE), nx_val_int(NX_ITEM_OLD)};
	struct nx_op op = {.verb = NX_OP_SET,
		.table = NX_T_ITEM,
		.n = 3,
		.domain = (uint32_t)t->old.domain,
		.vals = vals};

	op.subject = (uint64_t)t->old.subject;
	return group_op(g, &op, err);
}

/* What somebody wants to be there with the instance. */
static nx_rc watched_rows(
	struct nx_archive *a, struct group *g, const struct target *t, struct nx_err *err)
{
	const struct nx_stored stored = {t->put, t->subject, t->domain};
	struct nx_op *ops = NULL;
	size_t n = 0;
	nx_rc rc = NX_OK;

	if (a->on_stored.rows)
		rc = a->on_stored.rows(a->on_stored.payload, &stored, g->arena, &ops, &n, err);
	for (size_t i = 0; i < n && !rc; i++)
		rc = group_op(g, &ops[i], err);
	g->watched |= !rc && n;
	return rc;
}

static nx_rc edit_row(struct group *g, const struct target *t, struct nx_err *err)
{
	const struct nx_edit_row row = {.item = t->put->ret_item,
		.replaced = t->old.id,
		.subject = (int64_t)t->subject,
		.was = t->old.subject};
	struct nx_op op;

	if (nx_op_put_edit(&row, g->arena, &op))
		return nx_err_set(err, NX_E_NOMEM, "no memory for an edit");
	return group_op(g, &op, err);
}

/* The version before stands back, with what was said of it. */
static nx_rc old_leave(struct group *g, const struct target *t, struct nx_err *err)
{
	bool rejected = t->old.id && t->old.state == NX_ITEM_REJECTED;
	nx_rc rc = NX_OK;

	if (t->put->outcome == NX_PUT_VERSION || rejected)
		rc = old_retire(g, t, err);
	if (!rc && rejected)
		rc = row_drop(g, t, NX_T_REJECTION, t->old.id, err);
	return rc || !t->put->replaces ? rc : edit_row(g, t, err);
}

nx_rc item_store(struct nx_archive *a, struct group *g, struct target *t, struct nx_recipe *r,
	struct nx_err *err)
{
	nx_rc rc = t->put->study ? study_resolve(a, g, t, err) : NX_OK;

	if (!rc)
		rc = item_rows(a, g, t, r, err);
	if (!rc)
		rc = old_leave(g, t, err);
	if (!rc && t->put->step)
		rc = step_rows(a, g, t, err);
	if (!rc && t->put->step)
		rc = scheduled_perform(a, g, t, err);
	if (!rc && t->put->scheduled)
		rc = scheduled_rows(a, g, t, err);
	if (!rc)
		rc = conflicts_note(a, g, t, err);
	if (!rc && t->put->outcome == NX_PUT_VERSION)
		rc = study_move(a, g, t, err);
	if (!rc && t->put->outcome == NX_PUT_STORED)
		rc = study_count(g, t, err);
	if (!rc && t->study)
		rc = feed_note(g, t->put->collection->id,
			t->put->outcome == NX_PUT_VERSION ? NX_FEED_UPDATE : NX_FEED_CREATE,
			(int64_t)t->subject, t->put->ret_item, err);
	if (rc)
		return rc;
	t->put->ret_study = t->study ? t->study->id : 0;
	t->put->ret_series = t->series ? t->series->id : 0;
	return t->study ? watched_rows(a, g, t, err) : NX_OK;
}

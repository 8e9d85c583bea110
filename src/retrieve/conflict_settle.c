/* Settling a conflict: the version that counts becomes the newest, as a version of its own. */
#include "archive/rewrite.h"
#include "base/enc.h"
#include "ledger/detail.h"
#include "retrieve/conflict_priv.h"

struct settling {
	struct conflict c;
	struct nx_change *change;
	const struct nx_item *keep;
	struct nx_put put;
	struct nx_study study;
	struct nx_series series;
	char etag[65]; /* of the version that is the newest */
};

static const struct nx_item *live_find(const struct conflict *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->versions[i].item.state == NX_ITEM_LIVE)
			return &c->versions[i].item;
	return NULL;
}

/* What is chosen was compared with what was the newest then, and with nothing that came since. */
static nx_rc live_pin(struct settling *s, const struct nx_item *live, struct nx_err *err)
{
	struct nx_recipe *recipe;
	nx_rc rc = nx_archive_recipe(s->c.r->archive, live, s->c.arena, &recipe, err);

	if (rc)
		return rc;
	nx_hex_format(recipe->digest, 32, s->etag);
	s->put.if_match = s->etag;
	return NX_OK;
}

static nx_rc put_make(struct settling *s, struct nx_err *err)
{
	s->put = (struct nx_put){.collection = &s->c.collection,
		.study = &s->study,
		.series = &s->series,
		.settles = true};
	return nx_archive_same_put(s->c.r->archive, s->keep, s->c.arena, &s->put, err);
}

static nx_rc newest_make(struct settling *s, struct nx_err *err)
{
	const struct nx_item *live = live_find(&s->c);
	nx_rc rc;

	if (!live)
		return nx_err_set(err, NX_E_NOENT, "the instance is deleted");
	if (live == s->keep)
		return NX_OK;
	rc = put_make(s, err);
	if (!rc)
		rc = live_pin(s, live, err);
	return rc ? rc : nx_change_put(s->change, &s->put, err);
}

static nx_rc state_set(struct settling *s, struct nx_err *err)
{
	struct nx_val vals[] = {nx_val_int(s->c.row.id), nx_val_int(NX_C_CONFLICT_STATE),
		nx_val_int(CONFLICT_SETTLED)};

	return nx_change_op(s->change,
		&(struct nx_op){.verb = NX_OP_SET, .table = NX_T_CONFLICT, .n = 3, .vals = vals},
		err);
}

static nx_rc settle_note(struct settling *s, const struct nx_principal *who, uint64_t subject,
	const char *reason, struct nx_err *err)
{
	struct nx_entry_draft draft = {.action = NX_ACTION_CONFLICT_SETTLE,
		.principal = who->name,
		.subject = subject,
		.study = s->study.uid};
	NX_AUTO_DONE(nx_detail) detail;
	nx_rc rc;

	nx_detail_begin(&detail);
	if (s->put.item)
		nx_json_kv_str(&detail.json, "door", "settle");
	nx_json_kv_str(&detail.json, "collection", s->c.collection.name);
	nx_json_kv_int(&detail.json, "conflict", s->c.row.id);
	nx_json_kv_str(&detail.json, "item", s->keep->name);
	nx_json_kv_int(&detail.json, "keep", s->keep->version);
	nx_json_kv_str(&detail.json, "reason", reason);
	rc = nx_detail_end(&detail, who->peer, &draft, err);
	return rc ? rc : nx_change_entry(s->change, &draft, NULL, err);
}

/* Without a version to choose it may be gone. */
static nx_rc study_load(struct settling *s, int64_t version, struct nx_err *err)
{
	struct nx_cat *cat = nx_archive_cat(s->c.r->archive);
	nx_rc rc = nx_cat_series_by_id(cat, s->keep->series, s->c.arena, &s->series, err);

	if (!rc)
		rc = nx_cat_study_by_id(cat, s->series.study, s->c.arena, &s->study, err);
	return rc == NX_E_NOENT && !version ? NX_OK : rc;
}

/* Of two patients, or of two names, both are kept: there is no version to choose. */
static nx_rc keep_find(struct settling *s, int64_t version, struct nx_err *err)
{
	if (s->c.row.state == CONFLICT_SETTLED)
		return nx_err_set(err, NX_E_CONFLICT, "the conflict is settled");
	if (s->c.row.kind == NX_CONFLICT_VERSION && version)
		return conflict_version(&s->c, version, &s->keep, err);
	if (!version == (s->c.row.kind == NX_CONFLICT_VERSION))
		return nx_err_set(err, NX_E_INVAL,
			version ? "both are kept: no version is chosen"
				: "the version that counts is missing");
	s->keep = &s->c.old;
	return NX_OK;
}

static nx_rc settle(struct settling *s, const struct nx_principal *who, int64_t version,
	const char *reason, struct nx_err *err)
{
	const struct nx_conflict_row *row = &s->c.row;
	nx_rc rc = keep_find(s, version, err);

	if (!rc)
		rc = study_load(s, version, err);
	if (!rc && version)
		rc = newest_make(s, err);
	if (!rc)
		rc = state_set(s, err);
	if (!rc)
		rc = settle_note(s, who, (uint64_t)s->keep->subject, reason, err);
	if (!rc && row->kind == NX_CONFLICT_PATIENTS) /* whose the study was is told, too */
		rc = settle_note(s, who, (uint64_t)row->mark, reason, err);
	return rc ? rc : nx_archive_commit(s->c.r->archive, s->change, err);
}

nx_rc nx_retrieve_conflict_settle(struct nx_retrieve *retrieve, const struct nx_principal *who,
	int64_t number, int64_t version, const char *reason, struct nx_err *err)
{
	struct settling s = {.change = nx_change_new()};
	nx_rc rc;

	if (!s.change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	rc = conflict_open(retrieve, who, NX_PERM_QUARANTINE, number, &s.c, err);
	if (!rc)
		rc = settle(&s, who, version, reason, err);
	nx_change_free(s.change);
	nx_arena_free(s.c.arena);
	return rc;
}

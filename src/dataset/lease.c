/*
 * Leases.  A read is planned first, so that its ledger entry can name exactly what is handed out;
 * then the entry is made durable; then whoever was erased meanwhile is taken out again.
 */
#include "dataset/lease.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "dataset/dataset_priv.h"
#include "store/extent.h"

enum {
	LEASE_ARENA_MAX = 16 * 1024 * 1024
};

enum lease_state {
	LEASE_RUNNING = 1,
	LEASE_ENDED = 2
};

struct lease {
	struct nx_lease_row row;
	struct nx_release_row release;
	struct nx_collection collection;
};

static void info_fill(const struct lease *l, struct nx_lease_info *ret)
{
	(void)snprintf(ret->id, sizeof(ret->id), "%s", l->row.id);
	(void)snprintf(ret->release, sizeof(ret->release), "%s@v%lld", l->release.name,
		(long long)l->release.version);
	memset(ret->root, 0, sizeof(ret->root));
	memcpy(ret->root, l->release.root.p,
		l->release.root.n < sizeof(ret->root) ? l->release.root.n : sizeof(ret->root));
	ret->n_items = (uint64_t)l->release.n_items;
	ret->expires_us = l->row.expires_us;
}

static nx_rc entry_add(struct nx_change *change, unsigned action, const struct lease *l,
	const struct nx_principal *who, struct nx_err *err)
{
	NX_AUTO_DONE(nx_detail) detail;
	struct nx_entry_draft draft = {.action = action, .principal = who->name};
	nx_rc rc;

	release_detail_begin(&detail, &l->release);
	nx_json_kv_str(&detail.json, "lease", l->row.id);
	nx_json_kv_str(&detail.json, "purpose", l->row.purpose);
	rc = nx_detail_end(&detail, who->peer, &draft, err);
	return rc ? rc : nx_change_entry(change, &draft, NULL, err);
}

static nx_rc row_commit(struct nx_releases *r, const struct lease *l, unsigned action,
	const struct nx_principal *who, struct nx_arena *arena, struct nx_err *err)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	struct nx_op op;
	nx_rc rc;

	if (!change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	rc = nx_op_put_lease(&l->row, arena, &op);
	if (rc)
		return nx_err_set(err, rc, "no memory for a lease row");
	rc = nx_change_op(change, &op, err);
	if (!rc)
		rc = entry_add(change, action, l, who, err);
	return rc ? rc : nx_archive_commit(r->archive, change, err);
}

/* ---- opening ---- */

static nx_rc terms_check(const char *purpose, int64_t seconds, struct nx_err *err)
{
	if (!purpose[0] || strlen(purpose) > NX_LEASE_PURPOSE_MAX)
		return nx_err_set(
			err, NX_E_INVAL, "a purpose of 1 to %d bytes", NX_LEASE_PURPOSE_MAX);
	if (seconds < 1 || seconds > NX_LEASE_SECONDS_MAX)
		return nx_err_set(err, NX_E_INVAL, "1 to %d seconds", NX_LEASE_SECONDS_MAX);
	return NX_OK;
}

nx_rc nx_lease_open(struct nx_releases *releases, const struct nx_principal *who,
	const struct nx_lease_terms *terms, struct nx_lease_info *ret, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(LEASE_ARENA_MAX, 0);
	uint8_t random[NX_LEASE_ID_LEN / 2];
	char id[NX_LEASE_ID_LEN + 1];
	struct lease l;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a lease");
	rc = terms_check(terms->purpose, terms->seconds, err);
	if (!rc)
		rc = release_find(releases, terms->release, terms->version, arena, &l.release, err);
	if (!rc)
		rc = nx_cat_collection_by_id(nx_archive_cat(releases->archive),
			l.release.collection, arena, &l.collection, err);
	if (!rc)
		rc = dataset_guard(releases->archive, who, NX_PERM_LEASE, l.collection.name, err);
	if (rc)
		return rc;
	nx_random(random, sizeof(random));
	nx_hex_format(random, sizeof(random), id);
	l.row = (struct nx_lease_row){.id = id,
		.release = l.release.id,
		.principal = who->name,
		.purpose = terms->purpose,
		.state = LEASE_RUNNING,
		.created_us = nx_now_us()};
	l.row.expires_us = l.row.created_us + terms->seconds * 1000000;
	rc = row_commit(releases, &l, NX_ACTION_LEASE_OPEN, who, arena, err);
	if (!rc)
		info_fill(&l, ret);
	return rc;
}

/* ---- finding ---- */

static nx_rc lease_find(struct nx_releases *r, const char *id, struct nx_arena *arena,
	struct lease *ret, struct nx_err *err)
{
	struct nx_val where = nx_val_text(id);
	struct nx_op *rows = NULL;
	size_t n = 0;
	nx_rc rc = nx_archive_current(r->archive, err);

	if (!rc)
		rc = nx_cat_rows(nx_archive_cat(r->archive),
			&(struct nx_rows_of){
				.table = NX_T_LEASE, .where = &where, .n_where = 1, .limit = 1},
			arena, &rows, &n, err);
	if (!rc && !n)
		rc = nx_err_set(err, NX_E_NOENT, "no such lease");
	if (!rc)
		rc = nx_op_row(&rows[0], arena, &ret->row, err);
	if (!rc)
		rc = release_by_id(r, ret->row.release, arena, &ret->release, err);
	return rc ? rc
		  : nx_cat_collection_by_id(nx_archive_cat(r->archive), ret->release.collection,
			    arena, &ret->collection, err);
}

static nx_rc refuse(struct nx_releases *r, const struct lease *l, const struct nx_principal *who,
	const char *why, struct nx_err *err)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	struct nx_err later;

	if (!change || entry_add(change, NX_ACTION_ACCESS_DENY, l, who, &later) ||
		nx_archive_commit(r->archive, change, &later))
		nx_log(NX_LOG_ERROR, "dataset", "ledger.record", "a refusal is not in the ledger");
	return nx_err_set(err, NX_E_DENIED, "%s", why);
}

/* The permission is asked for again at every read: a grant may have ended before the lease. */
static nx_rc lease_check(struct nx_releases *r, const struct lease *l,
	const struct nx_principal *who, struct nx_err *err)
{
	struct nx_decision decision;

	nx_access_decide(who, NX_PERM_LEASE, l->collection.name, &decision);
	if (!decision.permit)
		return refuse(r, l, who, decision.rule, err);
	if (strcmp(l->row.principal, who->name) != 0)
		return refuse(r, l, who, "the lease is another's", err);
	if (l->row.state != LEASE_RUNNING)
		return refuse(r, l, who, "the lease has ended", err);
	if (l->row.expires_us <= nx_now_us())
		return refuse(r, l, who, "the lease has expired", err);
	if (l->release.state != RELEASE_PUBLISHED)
		return refuse(r, l, who, "the release was withdrawn", err);
	return NX_OK;
}

nx_rc nx_lease_end(struct nx_releases *releases, const struct nx_principal *who, const char *id,
	struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(LEASE_ARENA_MAX, 0);
	struct nx_decision admin;
	struct lease l;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a lease");
	rc = lease_find(releases, id, arena, &l, err);
	if (rc)
		return rc;
	nx_access_decide(who, NX_PERM_ADMIN, l.collection.name, &admin);
	if (strcmp(l.row.principal, who->name) != 0 && !admin.permit)
		return refuse(releases, &l, who, "the lease is another's", err);
	if (l.row.state == LEASE_ENDED)
		return NX_OK;
	l.row.state = LEASE_ENDED;
	return row_commit(releases, &l, NX_ACTION_LEASE_END, who, arena, err);
}

/* ---- reading ---- */

struct plan {
	struct nx_releases *r;
	const struct lease *lease;
	struct nx_arena *arena;
	struct nx_lease_answer *answer;
	uint64_t *subjects; /* of the samples; 0: erased */
	uint64_t first;
	uint64_t bytes;
};

static nx_rc item_of(struct plan *p, uint64_t position, struct nx_item *ret, struct nx_err *err)
{
	struct nx_cat *cat = nx_archive_cat(p->r->archive);
	struct nx_val where[] = {nx_val_int(p->lease->release.id), nx_val_int((int64_t)position)};
	struct nx_release_item_row row;
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc = nx_cat_rows(cat,
		&(struct nx_rows_of){
			.table = NX_T_RELEASE_ITEM, .where = where, .n_where = 2, .limit = 1},
		p->arena, &rows, &n, err);

	if (!rc && !n)
		return nx_err_set(err, NX_E_CORRUPT, "release without position %llu",
			(unsigned long long)position);
	if (!rc)
		rc = nx_op_row(&rows[0], p->arena, &row, err);
	return rc ? rc : nx_cat_item_by_id(cat, row.item, p->arena, ret, err);
}

static nx_rc places(struct plan *p, struct nx_lease_sample *s, struct nx_err *err)
{
	const struct nx_recipe *recipe = s->recipe;
	nx_rc rc = NX_OK;

	s->extents = nx_arena_alloc_array(p->arena, recipe->n_blobs, sizeof(struct nx_extent *));
	s->n_extents = nx_arena_alloc_array(p->arena, recipe->n_blobs, sizeof(*s->n_extents));
	if (!s->extents || !s->n_extents)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a sample");
	for (size_t i = 0; i < recipe->n_blobs && !rc; i++)
		rc = nx_archive_extents(p->r->archive, &recipe->blobs[i], p->arena, &s->extents[i],
			&s->n_extents[i], err);
	return rc;
}

/* A version that was superseded stays in the releases that name it; what was erased, deleted or
 * rejected is told as such. */
static nx_rc sample_plan(
	struct plan *p, uint64_t position, struct nx_lease_sample *s, struct nx_err *err)
{
	struct nx_item item = {.id = 0};
	nx_rc rc;

	*s = (struct nx_lease_sample){.position = position};
	rc = item_of(p, position, &item, err);
	if (!rc &&
		(item.state == NX_ITEM_DELETED || item.state == NX_ITEM_REJECTED ||
			item.state == NX_ITEM_ERASED))
		rc = NX_E_ERASED;
	if (!rc)
		rc = nx_archive_recipe(p->r->archive, &item, p->arena, &s->recipe, err);
	if (!rc)
		rc = places(p, s, err);
	if (rc == NX_E_NOENT || rc == NX_E_ERASED ||
		(rc && item.subject &&
			nx_keys_erased(nx_archive_keys(p->r->archive), (uint64_t)item.subject))) {
		*s = (struct nx_lease_sample){.position = position, .erased = true};
		return NX_OK;
	}
	if (rc)
		return nx_err_prefix(err, rc, "position %llu", (unsigned long long)position);
	s->instance = item.name;
	p->subjects[p->answer->n_samples] = (uint64_t)item.subject;
	p->bytes += s->recipe->size;
	return NX_OK;
}

static nx_rc plan_fill(struct plan *p, uint64_t first, uint64_t count, struct nx_err *err)
{
	uint64_t left = p->answer->lease.n_items - first;
	nx_rc rc = NX_OK;

	count = count < left ? count : left;
	count = count < NX_LEASE_SAMPLES_MAX ? count : NX_LEASE_SAMPLES_MAX;
	p->answer->samples =
		nx_arena_alloc_array(p->arena, (size_t)count, sizeof(*p->answer->samples));
	p->subjects = nx_arena_alloc_array(p->arena, (size_t)count, sizeof(*p->subjects));
	if (!p->answer->samples || !p->subjects)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a read");
	for (uint64_t i = 0; i < count && !rc && p->bytes < NX_LEASE_BYTES_MAX; i++) {
		struct nx_lease_sample *s = &p->answer->samples[i];
		uint64_t before = p->bytes;

		rc = sample_plan(p, first + i, s, err);
		if (!rc && i && p->bytes > NX_LEASE_BYTES_MAX) {
			p->bytes = before;
			break;
		}
		p->answer->n_samples++;
	}
	p->answer->next = first + p->answer->n_samples;
	return rc;
}

/* How many samples of the i-th sample's subject there are; 0: an earlier one stands for them. */
static uint64_t subject_samples(const struct plan *p, size_t i)
{
	uint64_t n = 0;

	for (size_t k = 0; k < i; k++)
		if (p->subjects[k] == p->subjects[i])
			return 0;
	for (size_t k = i; k < p->answer->n_samples; k++)
		n += p->subjects[k] == p->subjects[i];
	return n;
}

static nx_rc read_entry(const struct plan *p, const struct nx_principal *who, uint64_t subject,
	uint64_t samples, struct nx_change *change, struct nx_err *err)
{
	NX_AUTO_DONE(nx_detail) detail;
	struct nx_entry_draft draft = {
		.action = NX_ACTION_LEASE_READ, .principal = who->name, .subject = subject};
	nx_rc rc;

	release_detail_begin(&detail, &p->lease->release);
	nx_json_kv_str(&detail.json, "lease", p->lease->row.id);
	nx_json_kv_uint(&detail.json, "first", p->first);
	nx_json_kv_uint(&detail.json, "next", p->answer->next);
	nx_json_kv_uint(&detail.json, "samples", samples);
	rc = nx_detail_end(&detail, who->peer, &draft, err);
	return rc ? rc : nx_change_entry(change, &draft, NULL, err);
}

/* One entry per subject, so that a proof of all that happened to a patient has it, also when the
 * rows that would tell whose samples these were are long erased.  Erased ones are subject 0. */
static nx_rc plan_record(const struct plan *p, const struct nx_principal *who, struct nx_err *err)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	nx_rc rc = NX_OK;

	if (!change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for ledger entries");
	for (size_t i = 0; i < p->answer->n_samples && !rc; i++) {
		uint64_t samples = subject_samples(p, i);

		if (samples)
			rc = read_entry(p, who, p->subjects[i], samples, change, err);
	}
	return rc ? rc : nx_archive_commit(p->r->archive, change, err);
}

static void plan_recheck(const struct plan *p)
{
	for (size_t i = 0; i < p->answer->n_samples; i++) {
		struct nx_lease_sample *s = &p->answer->samples[i];

		if (p->subjects[i] &&
			nx_keys_erased(nx_archive_keys(p->r->archive), p->subjects[i]))
			*s = (struct nx_lease_sample){.position = s->position, .erased = true};
	}
}

nx_rc nx_lease_read(struct nx_releases *releases, const struct nx_principal *who,
	const struct nx_lease_span *span, struct nx_arena *arena, struct nx_lease_answer *ret,
	struct nx_err *err)
{
	struct nx_lease_answer answer = {.next = span->first};
	struct lease lease;
	struct plan p = {.r = releases,
		.lease = &lease,
		.arena = arena,
		.answer = &answer,
		.first = span->first};
	nx_rc rc = lease_find(releases, span->id, arena, &lease, err);

	if (!rc)
		rc = lease_check(releases, &lease, who, err);
	if (rc)
		return rc;
	info_fill(&lease, &answer.lease);
	if (!span->count || span->first >= answer.lease.n_items)
		return nx_err_set(err, NX_E_RANGE, "position %llu of %llu",
			(unsigned long long)span->first, (unsigned long long)answer.lease.n_items);
	rc = plan_fill(&p, span->first, span->count, err);
	if (!rc)
		rc = plan_record(&p, who, err);
	if (rc)
		return rc;
	plan_recheck(&p);
	*ret = answer;
	return NX_OK;
}

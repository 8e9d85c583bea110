/*
 * The committer: one thread that turns what waits into a group, makes it durable, answers, applies
 * it to the catalog. There is no window: while one group is being synced the next one gathers.
 */
#include "archive/archive_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "base/map.h"
#include "base/thread.h"

enum {
	GROUP_PACKS_MAX = 64, /* packs that one group may touch */
};

/* ---- preparing ---- */

static nx_rc entry_stage(
	struct nx_archive *a, struct group *g, const struct change_entry *e, struct nx_err *err)
{
	static const unsigned actions[] = {
		[NX_PUT_STORED] = 0, /* as drafted */
		[NX_PUT_DUPLICATE] = NX_ACTION_INSTANCE_DUPLICATE,
		[NX_PUT_VERSION] = NX_ACTION_INSTANCE_VERSION,
		[NX_PUT_REJECTED] = NX_ACTION_INSTANCE_REJECT,
	};
	struct nx_entry_draft draft = e->draft;
	NX_AUTO_DONE(nx_buf) bytes;
	uint64_t index = 0;
	nx_rc rc;

	if (e->put) {
		draft.subject = e->put->ret_subject;
		if (actions[e->put->outcome] && e->put->study && !e->put->replaces)
			draft.action = actions[e->put->outcome];
		if (e->put->outcome == NX_PUT_REJECTED)
			draft.outcome = NX_OUTCOME_MINOR;
	}
	nx_buf_init(&bytes, NX_LIMIT_GROUP_RECORD, 0);
	rc = nx_ledger_stage(a->ledger, &draft, &bytes, &index, err);
	if (!rc)
		rc = nx_buf_check(&bytes, err);
	if (rc)
		return rc;
	if (!g->n_entries)
		g->first_entry = index;
	g->n_entries++;
	nx_buf_put_blob(&g->entries, nx_buf_slice(&bytes));
	return nx_buf_check(&g->entries, err);
}

/* All of it is in the group, or nothing. */
static nx_rc prepare_change(
	struct nx_archive *a, struct group *g, struct nx_change *change, struct nx_err *err)
{
	nx_rc rc = change->erase ? shared_settle(a, change, err) : NX_OK;

	group_mark(a, g);
	if (!rc)
		rc = prepare_restudy(a, g, change, err);
	for (struct change_put *p = change->puts; p && !rc; p = p->next)
		rc = prepare_put(a, g, p->put, err);
	if (!rc)
		rc = prepare_removes(a, g, change, err);
	for (struct change_op *o = change->ops; o && !rc; o = o->next)
		rc = group_op(g, &o->op, err);
	for (struct change_entry *e = change->entries; e && !rc; e = e->next)
		rc = entry_stage(a, g, e, err);
	for (struct change_feed *f = change->feeds; f && !rc; f = f->next)
		rc = feed_note(g, f->collection, NX_FEED_ERASE, (int64_t)change->erase, 0, err);
	if (rc)
		group_rewind(a, g);
	return rc;
}

enum claim {
	CLAIMED,
	CLAIM_LATER, /* another change of the group has the name */
	CLAIM_TWICE  /* this change itself has */
};

/* Items of one name in one group would not see each other: the later change waits for the next
 * group. */
static enum claim names_claim(struct group *g, struct nx_change *change)
{
	for (const struct change_put *p = change->puts; p; p = p->next) {
		uint8_t key[8 + NX_LIMIT_OBJECT_KEY + 1];
		size_t n = strlen(p->put->item->name);
		uint64_t id = (uint64_t)p->put->collection->id;
		void *holder;

		assert(n <= NX_LIMIT_OBJECT_KEY);
		memcpy(key, &id, 8);
		memcpy(key + 8, p->put->item->name, n);
		holder = nx_map_get(g->names, nx_slice(key, 8 + n));
		if (holder)
			return holder == change ? CLAIM_TWICE : CLAIM_LATER;
		if (!nx_map_put(g->names, nx_slice(key, 8 + n), change, NULL))
			return CLAIM_LATER;
	}
	return CLAIMED;
}

/* It is not in the group after all: its names are free again. */
static void names_drop(struct group *g, const struct nx_change *change)
{
	for (const struct change_put *p = change->puts; p; p = p->next) {
		uint8_t key[8 + NX_LIMIT_OBJECT_KEY + 1];
		size_t n = strlen(p->put->item->name);
		uint64_t id = (uint64_t)p->put->collection->id;

		memcpy(key, &id, 8);
		memcpy(key + 8, p->put->item->name, n);
		if (nx_map_get(g->names, nx_slice(key, 8 + n)) == change)
			(void)nx_map_del(g->names, nx_slice(key, 8 + n));
	}
}

/* ---- writing ---- */

/* A unit as it is written: whole blocks, the first of which begins with what stands there already.
 * Its neighbours' bytes do not change, so no part of such a write that reaches the medium can harm
 * them. */
struct unit_image {
	uint8_t *data;
	size_t len;
	size_t lead; /* where the unit begins */
	uint64_t at; /* of the data, in the pack */
	uint64_t total_len;
};

static nx_rc unit_alloc(struct nx_archive *a, const struct group_unit *unit, size_t used,
	struct unit_image *ret, struct nx_err *err)
{
	ret->lead = unit->off % NX_PACK_ALIGN;
	ret->at = unit->off - ret->lead;
	ret->total_len = (used + UNIT_ALIGN - 1) / UNIT_ALIGN * UNIT_ALIGN;
	ret->len = (size_t)align_up(ret->lead + ret->total_len);
	ret->data = nx_aligned_get(ret->len);
	if (!ret->data)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a unit of %zu bytes", used);
	space_tail(a, unit->pack, unit->off, ret->data);
	memset(ret->data + ret->lead + used, 0, ret->len - ret->lead - used);
	return NX_OK;
}

static nx_rc unit_build(struct nx_archive *a, const struct group *g, const struct group_unit *unit,
	struct nx_slice record, struct unit_image *ret, struct nx_err *err)
{
	struct unit_header h = {
		.kind = record.n ? UNIT_GROUP : UNIT_DATA,
		.seq = g->seq,
		.extents_len = unit->extents.len,
		.record_len = record.n ? record.n + NX_SEAL_OVERHEAD : 0,
		.time_us = g->now_us,
	};
	size_t used = UNIT_HEADER_LEN + unit->extents.len + (size_t)h.record_len;
	nx_rc rc = unit_alloc(a, unit, used, ret, err);
	uint8_t *at;

	if (rc)
		return rc;
	h.total_len = ret->total_len;
	at = ret->data + ret->lead + UNIT_HEADER_LEN;
	if (unit->extents.len)
		memcpy(at, unit->extents.data, unit->extents.len);
	h.extents_crc = nx_crc32c(0, at, unit->extents.len);
	at += unit->extents.len;
	if (record.n)
		rc = record_seal(a, unit, g->seq, record, at, err);
	h.record_crc = nx_crc32c(0, at, (size_t)h.record_len);
	unit_header_format(&h, ret->data + ret->lead);
	return rc;
}

/* Into its pack; `*ret_image` is to be given back. */
static nx_rc unit_image(struct nx_archive *a, struct group *g, const struct group_unit *unit,
	struct nx_slice record, struct unit_image *ret_image, struct nx_err *err)
{
	nx_rc rc = unit_build(a, g, unit, record, ret_image, err);

	if (rc)
		return rc;
	space_settle(a, unit->pack, unit->off, ret_image->total_len);
	g->written = true;
	return NX_OK;
}

static void unit_written(
	struct nx_archive *a, const struct group_unit *unit, const struct unit_image *image)
{
	size_t used = (image->lead + (size_t)image->total_len) % NX_PACK_ALIGN;

	space_tail_set(a, unit->pack, image->data + image->len - NX_PACK_ALIGN, used);
}

static void unit_image_done(struct unit_image *image)
{
	if (image->data)
		nx_aligned_put(image->data, image->len);
}

/* A unit without a record; *ret_range: what was written, for the record to vouch for. */
static nx_rc data_unit_write(struct nx_archive *a, struct group *g, const struct group_unit *unit,
	struct blob_range *ret_range, struct nx_err *err)
{
	struct unit_image image = {.data = NULL};
	nx_rc rc = unit_image(a, g, unit, nx_slice(NULL, 0), &image, err);

	if (!rc) {
		struct iovec iov = {image.data, image.len};

		rc = nx_pool_write(a->pool, unit->pack, image.at, &iov, 1, err);
	}
	if (!rc) {
		*ret_range = (struct blob_range){unit->pack, unit->off, image.total_len,
			nx_crc32c(0, image.data + image.lead, (size_t)image.total_len)};
		unit_written(a, unit, &image);
	}
	unit_image_done(&image);
	return rc;
}

/* Small extents of other domains than the home unit's.  A group counts only with all of them. */
static nx_rc data_units_write(struct nx_archive *a, struct group *g, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (struct group_unit *u = g->units ? g->units->next : NULL; u && !rc; u = u->next) {
		struct blob_range range;

		rc = data_unit_write(a, g, u, &range, err);
		if (!rc)
			rc = group_range(g, &range, err);
	}
	return rc;
}

struct pack_set {
	nx_pack_id ids[GROUP_PACKS_MAX];
	size_t n;
};

static bool set_add(struct pack_set *set, uint64_t pack)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->ids[i] == pack)
			return true;
	if (set->n == GROUP_PACKS_MAX)
		return false;
	set->ids[set->n++] = pack;
	return true;
}

static nx_rc group_packs(const struct group *g, struct pack_set *set, struct nx_err *err)
{
	bool fits = true;

	set->n = 0;
	for (const struct group_unit *u = g->units; u && fits; u = u->next)
		fits = set_add(set, u->pack);
	for (size_t i = 0; i < g->n_ranges && fits; i++)
		fits = set_add(set, g->ranges[i].pack);
	return fits
		? NX_OK
		: nx_err_set(err, NX_E_LIMIT, "group touches more than %d packs", GROUP_PACKS_MAX);
}

/* Rows of packs that no committed group has named yet. */
static nx_rc pack_rows(
	struct nx_archive *a, struct group *g, const struct pack_set *set, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	(void)pthread_mutex_lock(&a->space.lock);
	for (struct active_pack *p = a->space.active; p && !rc; p = p->next) {
		struct nx_pack_row row = {
			.id = (int64_t)p->pack, .domain = p->domain, .cls = p->cls, .state = 1};
		struct nx_op op;
		bool named = false;

		for (size_t i = 0; i < set->n; i++)
			named = named || set->ids[i] == p->pack;
		if (p->announced || !named)
			continue;
		row.first_seq = (int64_t)g->seq;
		row.created_us = g->now_us;
		rc = nx_op_put_pack(&row, g->arena, &op)
			? nx_err_set(err, NX_E_NOMEM, "no memory for a pack row")
			: group_op(g, &op, err);
	}
	(void)pthread_mutex_unlock(&a->space.lock);
	return rc;
}

static void packs_announced(struct nx_archive *a, const struct pack_set *set)
{
	(void)pthread_mutex_lock(&a->space.lock);
	for (struct active_pack *p = a->space.active; p; p = p->next)
		for (size_t i = 0; i < set->n; i++)
			p->announced = p->announced || set->ids[i] == p->pack;
	(void)pthread_mutex_unlock(&a->space.lock);
}

/* Rows of the ledger's chain heads: behind the record's operations, since a replay makes them from
 * the entries. */
static nx_rc heads_add(struct nx_archive *a, struct group *g, struct nx_err *err)
{
	struct nx_tag_head *heads = NULL;
	struct nx_op *ops = NULL;
	size_t n = 0;
	nx_rc rc = nx_ledger_heads(a->ledger, g->arena, &heads, &n, err);

	if (!rc)
		rc = head_ops(heads, n, g->arena, &ops, err);
	for (size_t i = 0; i < n && !rc; i++)
		rc = group_op(g, &ops[i], err);
	return rc;
}

/*
 * The record, and beside it everything that it vouches for: one round of syncs, in parallel.  In a
 * power cut the record may be down and an extent not; the checksums in the record tell, and a start
 * drops the group, which was not answered.
 */
static nx_rc home_write(struct nx_archive *a, struct group *g, struct nx_slice record,
	const struct pack_set *set, struct nx_err *err)
{
	const struct group_unit *home = g->units;
	struct unit_image image = {.data = NULL};
	struct pack_set others = {.n = 0};
	nx_rc rc = unit_image(a, g, home, record, &image, err);

	for (size_t i = 0; i < set->n; i++)
		if (set->ids[i] != home->pack)
			others.ids[others.n++] = set->ids[i];
	if (!rc) {
		struct iovec iov = {image.data, image.len};

		rc = nx_pool_write_commit(a->pool,
			&(struct nx_pack_write){
				.pack = home->pack, .off = image.at, .iov = &iov, .n = 1},
			others.ids, others.n, err);
	}
	if (!rc)
		unit_written(a, home, &image);
	for (size_t i = 0; i < others.n && rc && g->written; i++)
		space_retire(a, others.ids[i]);
	unit_image_done(&image);
	return rc;
}

/* Keys are durable before a record needs them, or a record that reached the medium in a power cut
 * could not be opened for ever. */
static nx_rc group_write(struct nx_archive *a, struct group *g, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) record;
	struct group_unit *home = NULL;
	struct pack_set set;
	nx_rc rc = NX_OK;

	nx_buf_init(&record, NX_LIMIT_GROUP_RECORD, NX_BUF_WIPE);
	if (!g->units)
		rc = group_unit(a, g, 0, &home, err);
	if (!rc)
		rc = group_packs(g, &set, err);
	if (!rc)
		rc = pack_rows(a, g, &set, err);
	if (!rc)
		rc = data_units_write(a, g, err);
	if (!rc)
		rc = record_format(a, g, &record, err);
	g->n_rows = g->n_ops;
	if (!rc)
		rc = heads_add(a, g, err);
	if (!rc && nx_keys_pending(a->keys))
		rc = nx_keys_sync(a->keys, err);
	home = g->units;
	if (!rc)
		rc = home_write(a, g, nx_buf_slice(&record), &set, err);
	if (rc)
		return rc;
	a->last_pack = home->pack;
	a->last_off = home->off;
	packs_announced(a, &set);
	return NX_OK;
}

/*
 * Where something was written it is not known what is on the medium now.  The packs are not
 * appended to again, nor is any other small pack: the next group has the same number, and a start
 * takes the one in the newest pack.
 */
static void group_undo(struct nx_archive *a, const struct group *g)
{
	if (!g->written) {
		for (const struct group_unit *u = g->units; u; u = u->next)
			space_trim(a, u->pack, u->off, UNIT_RESERVE, 0);
		return;
	}
	space_retire_small(a);
}

/* ---- answering ---- */

static void answer(struct nx_change *change, nx_rc rc, const struct nx_err *err)
{
	change->rc = rc;
	if (rc)
		change->err = *err;
	for (struct change_put *p = change->puts; p && !rc; p = p->next) {
		bool stored = p->put->outcome == NX_PUT_STORED || p->put->outcome == NX_PUT_VERSION;

		for (size_t i = 0; i < p->put->n_blobs; i++)
			p->put->blobs[i]->committed = stored;
	}
	(void)sem_post(&change->done); /* the change is the waiter's from here on */
}

void answer_list(struct nx_change *list, nx_rc rc, const struct nx_err *err)
{
	while (list) {
		struct nx_change *next = list->next;

		answer(list, rc, err);
		list = next;
	}
}

/* ---- one group ---- */

static void group_fail(
	struct nx_archive *a, struct nx_change *list, nx_rc rc, const struct nx_err *err)
{
	nx_ledger_rollback(a->ledger);
	cache_clear(&a->cache);
	cache_init(&a->cache);
	nx_log_err(NX_LOG_ERROR, "archive", "group.fail", err);
	answer_list(list, rc, err);
}

/* Without rows of its own it changes chain heads only, which nobody looks up behind the committer.
 */
static bool may_wait(const struct nx_change *change)
{
	return change->defer ||
		(!change->puts && !change->ops && !change->removes && !change->restudy);
}

/* What it looks up must not change beside it. */
static bool is_alone(const struct nx_change *change)
{
	return change->erase || change->removes || change->restudy;
}

/* Prepare as much of *list as belongs into one group; what does not is left in it.  The good ones
 * go to *ret_good. */
static nx_rc group_fill(struct nx_archive *a, struct group *g, struct nx_change **list,
	struct nx_change **ret_good, struct nx_err *err)
{
	struct nx_change **good = ret_good;
	size_t small = 0;
	nx_rc rc;

	while (*list && small < GROUP_SMALL_BYTES) {
		struct nx_change *change = *list;
		enum claim claim = names_claim(g, change);
		struct nx_err why = {.rc = NX_OK};

		if (*ret_good &&
			(claim == CLAIM_LATER || is_alone(change) || is_alone(*ret_good))) {
			names_drop(g, change);
			break;
		}
		*list = change->next;
		change->next = NULL;
		rc = claim == CLAIMED
			? prepare_change(a, g, change, &why)
			: nx_err_set(&why, claim == CLAIM_TWICE ? NX_E_INVAL : NX_E_NOMEM,
				  claim == CLAIM_TWICE ? "one item twice in one change"
						       : "no memory for the names of a group");
		if (rc) {
			names_drop(g, change);
			answer(change, rc, &why);
			continue;
		}
		small += change->small_bytes;
		g->defer = g->defer && may_wait(change);
		*good = change;
		good = &change->next;
	}
	rc = prepare_counters(a, g, err);
	return rc ? rc : feed_rows(a, g, err);
}

static void count_group(
	struct nx_archive *a, const struct group *g, size_t changes, int64_t began_us)
{
	(void)pthread_mutex_lock(&a->lock);
	a->stats.groups++;
	a->stats.changes += changes;
	for (const struct group_unit *u = g->units; u; u = u->next)
		a->stats.bytes_written += u->extents.len;
	for (size_t i = 0; i < g->n_ranges; i++)
		a->stats.bytes_written += g->ranges[i].len;
	a->stats.last_group_us = nx_mono_us() - began_us;
	a->durable_seq = g->seq;
	if (g->n_rows)
		a->rows_seq = g->seq;
	(void)pthread_mutex_unlock(&a->lock);
}

static void group_count(
	struct nx_archive *a, const struct group *g, const struct nx_change *good, int64_t began_us)
{
	size_t n = 0;

	for (const struct nx_change *c = good; c; c = c->next)
		n++;
	count_group(a, g, n, began_us);
}

/* False when no further group may follow. */
static bool group_run(struct nx_archive *a, struct nx_change **list)
{
	struct group *g = group_new(a);
	struct nx_change *good = NULL;
	struct nx_err err = {.rc = NX_OK};
	int64_t began_us = nx_mono_us();
	bool stale, good_end;
	nx_rc rc;

	if (!g) {
		rc = nx_err_set(&err, NX_E_NOMEM, "no memory for a group");
		group_fail(a, *list, rc, &err);
		*list = NULL;
		return true;
	}
	rc = group_fill(a, g, list, &good, &err);
	if (!rc && !good) { /* every change was answered with its own error */
		nx_ledger_rollback(a->ledger);
		(void)group_free(g);
		return true;
	}
	if (!rc)
		rc = group_write(a, g, &err);
	if (rc) {
		feed_settle(a, g, false);
		group_undo(a, g);
		group_fail(a, good, rc, &err);
		(void)group_free(g);
		return true;
	}
	stale = good->erase || good->restudy;
	nx_ledger_commit(a->ledger, g->seq);
	group_count(a, g, good, began_us);
	feed_settle(a, g, true); /* after the count: whoever wakes asks what is behind */
	answer_list(good, NX_OK, NULL);
	if (g->watched && a->on_stored.durable)
		a->on_stored.durable(a->on_stored.payload);
	backlog_add(a, g);
	good_end = backlog_apply(a, false, list);
	cache_trim(&a->cache, stale);
	return good_end;
}

/* ---- the thread, and its queue ---- */

/* Caller holds a->lock. */
struct nx_change *queue_cut(struct nx_archive *a)
{
	struct nx_change *list = a->queue;

	a->queue = NULL;
	a->queue_tail = &a->queue;
	a->queue_len = 0;
	return list;
}

/* What waits; NULL when the backlog is due, or at a stop. */
static struct nx_change *queue_take(struct nx_archive *a)
{
	int64_t deadline_us = backlog_deadline_us(a);
	const struct timespec until = {deadline_us / 1000000, deadline_us % 1000000 * 1000};
	struct nx_change *list;
	int rc = 0;

	(void)pthread_mutex_lock(&a->lock);
	while (!a->queue && !a->stopping && !a->apply_wanted && !rc) {
		if (deadline_us == INT64_MAX)
			(void)pthread_cond_wait(&a->wake, &a->lock);
		else
			rc = pthread_cond_timedwait(&a->wake, &a->lock, &until);
	}
	list = queue_cut(a);
	(void)pthread_mutex_unlock(&a->lock);
	return list;
}

void *committer_main(void *archive)
{
	struct nx_archive *a = archive;
	struct nx_change *list;
	bool good = true, more = true;

	nx_thread_name("committer");
	nx_cat_own(a->cat);
	while (good && more) {
		list = queue_take(a);
		more = list || !a->stopping;
		if (!list)
			good = backlog_apply(a, true, &list);
		while (list && good)
			good = group_run(a, &list);
	}
	backlog_drop(a);
	return NULL;
}

nx_rc nx_archive_submit(struct nx_archive *archive, struct nx_change *change, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	assert(!change->submitted);
	(void)pthread_mutex_lock(&archive->lock);
	if (archive->stopping) {
		rc = nx_err_set(err, NX_E_CLOSED, "the archive is closing");
	} else if (archive->stuck) {
		rc = nx_err_set(err, NX_E_BUSY, "the catalog takes no changes at present");
	} else if (archive->queue_len >= NX_LIMIT_GROUP_WAITERS) {
		rc = nx_err_set(
			err, NX_E_BUSY, "more than %u changes wait", NX_LIMIT_GROUP_WAITERS);
	} else {
		change->submitted = true;
		change->next = NULL;
		*archive->queue_tail = change;
		archive->queue_tail = &change->next;
		archive->queue_len++;
		(void)pthread_cond_signal(&archive->wake);
	}
	(void)pthread_mutex_unlock(&archive->lock);
	return rc;
}

nx_rc nx_change_wait(struct nx_change *change, struct nx_err *err)
{
	assert(change->submitted);
	while (sem_wait(&change->done) < 0)
		;
	change->submitted = false;
	if (change->rc && err)
		*err = change->err;
	return change->rc;
}

nx_rc nx_archive_commit(struct nx_archive *archive, struct nx_change *change, struct nx_err *err)
{
	nx_rc rc = nx_archive_submit(archive, change, err);

	return rc ? rc : nx_change_wait(change, err);
}

nx_rc nx_archive_record(
	struct nx_archive *archive, const struct nx_entry_draft *draft, struct nx_err *err)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	nx_rc rc;

	if (!change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	rc = nx_change_entry(change, draft, NULL, err);
	return rc ? rc : nx_archive_commit(archive, change, err);
}

nx_rc nx_archive_current(struct nx_archive *archive, struct nx_err *err)
{
	uint64_t want;
	bool behind;

	(void)pthread_mutex_lock(&archive->lock);
	want = archive->rows_seq;
	archive->asked_us = nx_mono_us();
	if (archive->applied_seq < want && !archive->stuck) {
		archive->apply_wanted = true;
		(void)pthread_cond_signal(&archive->wake);
	}
	while (archive->applied_seq < want && !archive->stuck)
		(void)pthread_cond_wait(&archive->applied_cond, &archive->lock);
	behind = archive->applied_seq < want;
	(void)pthread_mutex_unlock(&archive->lock);
	return behind ? nx_err_set(err, NX_E_BUSY, "the catalog takes no changes at present")
		      : NX_OK;
}

void nx_archive_barrier(struct nx_archive *archive)
{
	(void)!nx_archive_current(archive, NULL);
}

/*
 * Between the answer and the catalog.  A group is durable by its record, so its rows need not be in
 * the catalog at once: they are staged, the committer's own look-ups see them, and one commit
 * serves many groups.  Whoever must see them asks (nx_archive_barrier()), and then they are
 * committed.
 */
#include "archive/archive_priv.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum {
	BACKLOG_GROUPS = 256,
	BACKLOG_OPS = 8192, /* some megabytes: groups are kept until they are committed */
	BACKLOG_US = 200000,
	EAGER_US = 500000, /* somebody who asks once asks again: no group is held back meanwhile */
	RETRY_US = 200000,
};

void backlog_add(struct nx_archive *a, struct group *g)
{
	struct backlog *b = &a->backlog;

	group_shrink(g);
	if (!b->first) {
		b->tail = &b->first;
		b->since_us = nx_mono_us();
	}
	*b->tail = g;
	b->tail = &g->next;
	b->n++;
	b->n_ops += g->n_ops;
}

void backlog_drop(struct nx_archive *a)
{
	struct backlog *b = &a->backlog;

	while (b->first) {
		struct group *next = b->first->next;

		(void)group_free(b->first);
		b->first = next;
	}
	*b = (struct backlog){0};
}

int64_t backlog_deadline_us(const struct nx_archive *a)
{
	return a->backlog.first ? a->backlog.since_us + BACKLOG_US : INT64_MAX;
}

static bool is_due(struct nx_archive *a)
{
	const struct backlog *b = &a->backlog;
	bool wanted;

	if (b->n >= BACKLOG_GROUPS || b->n_ops >= BACKLOG_OPS ||
		nx_mono_us() >= backlog_deadline_us(a))
		return true;
	for (const struct group *g = b->first; g; g = g->next)
		if (!g->staged && !g->defer)
			return true;
	(void)pthread_mutex_lock(&a->lock);
	wanted = a->apply_wanted || nx_mono_us() - a->asked_us < EAGER_US;
	(void)pthread_mutex_unlock(&a->lock);
	return wanted;
}

/* A failure takes back the whole transaction: every group is to be staged again. */
static nx_rc push(struct nx_archive *a, bool commit, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (struct group *g = a->backlog.first; g && !rc; g = g->next) {
		if (!g->staged)
			rc = nx_cat_stage(a->cat, g->seq, g->ops, g->n_ops, err);
		g->staged = true;
	}
	if (!rc && commit)
		rc = nx_cat_commit(a->cat, err);
	for (struct group *g = a->backlog.first; g && rc; g = g->next)
		g->staged = false;
	return rc;
}

static void applied(struct nx_archive *a)
{
	uint64_t seq = nx_cat_watermark(a->cat);

	backlog_drop(a);
	(void)pthread_mutex_lock(&a->lock);
	if (seq > a->applied_seq)
		a->applied_seq = seq;
	a->apply_wanted = false;
	a->stuck = false;
	(void)pthread_cond_broadcast(&a->applied_cond);
	(void)pthread_mutex_unlock(&a->lock);
}

/* What waits is refused rather than kept waiting, and `stuck` refuses what comes. */
static void stuck_set(struct nx_archive *a, struct nx_change **list, const struct nx_err *why)
{
	struct nx_change *queue;
	struct nx_err err;

	(void)pthread_mutex_lock(&a->lock);
	a->stuck = true;
	queue = queue_cut(a);
	(void)pthread_cond_broadcast(&a->applied_cond);
	(void)pthread_mutex_unlock(&a->lock);
	(void)nx_err_set(&err, NX_E_BUSY, "the catalog takes no changes: %s", nx_err_text(why));
	answer_list(*list, NX_E_BUSY, &err);
	answer_list(queue, NX_E_BUSY, &err);
	*list = NULL;
}

/*
 * The groups are durable and answered: they must get into the catalog, however long that takes,
 * before any later one is prepared: a put is judged by the rows that are there.  A stop ends the
 * trying; the next start takes the groups from their packs.
 */
bool backlog_apply(struct nx_archive *a, bool now, struct nx_change **list)
{
	bool commit = now || is_due(a);
	struct nx_err err = {.rc = NX_OK};
	bool failed = false;

	while (push(a, commit || failed, &err)) {
		if (!failed)
			nx_log_err(NX_LOG_ERROR, "archive", "catalog.apply", &err);
		failed = true;
		stuck_set(a, list, &err);
		if (a->stopping)
			return false;
		(void)usleep(RETRY_US);
	}
	if (commit || failed)
		applied(a);
	return true;
}

/*
 * The change feed: what became of instances, numbered by collection without a gap.  Numbers are
 * given when a group is whole, by the committer, in the order of the group, and are in its record:
 * what was not committed has none, and a start finds the same again.
 */
#include <stdlib.h>

#include "archive/archive_priv.h"
#include "base/clock.h"

nx_rc nx_change_feed(struct nx_change *change, int64_t collection, struct nx_err *err)
{
	struct change_feed *f;

	for (f = change->feeds; f; f = f->next)
		if (f->collection == collection)
			return NX_OK;
	f = nx_arena_alloc(change->arena, sizeof(*f));
	if (!f)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	f->collection = collection;
	f->next = change->feeds;
	change->feeds = f;
	return NX_OK;
}

nx_rc feed_note(struct group *g, int64_t collection, enum nx_feed_action action, int64_t subject,
	int64_t item, struct nx_err *err)
{
	struct feed_note *note = nx_arena_alloc(g->arena, sizeof(*note));

	if (!note)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the change feed");
	note->before = g->feed;
	note->row = (struct nx_feed_row){.collection = collection,
		.time_us = g->now_us,
		.action = action,
		.subject = subject,
		.item = item};
	g->feed = note;
	return NX_OK;
}

static struct feed_counter *counter_find(const struct nx_archive *a, int64_t collection)
{
	struct feed_counter *c = a->feed;

	while (c && c->collection != collection)
		c = c->next;
	return c;
}

static nx_rc last_number(
	struct nx_archive *a, struct group *g, int64_t collection, int64_t *ret, struct nx_err *err)
{
	struct nx_val where = nx_val_int(collection);
	struct nx_feed_row row = {.number = 0};
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc = nx_cat_rows(a->cat,
		&(struct nx_rows_of){.table = NX_T_FEED,
			.where = &where,
			.n_where = 1,
			.descending = true,
			.limit = 1},
		g->arena, &rows, &n, err);

	if (!rc && n)
		rc = nx_op_row(rows, g->arena, &row, err);
	*ret = row.number;
	return rc;
}

static nx_rc counter_get(struct nx_archive *a, struct group *g, int64_t collection,
	struct feed_counter **ret, struct nx_err *err)
{
	struct feed_counter *c = counter_find(a, collection);
	int64_t last = 0;
	nx_rc rc;

	*ret = c;
	if (c)
		return NX_OK;
	rc = last_number(a, g, collection, &last, err);
	if (rc)
		return rc;
	c = calloc(1, sizeof(*c));
	if (!c)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the change feed");
	*c = (struct feed_counter){.collection = collection, .last = last, .given = last};
	(void)pthread_mutex_lock(&a->lock);
	c->next = a->feed;
	a->feed = c;
	(void)pthread_mutex_unlock(&a->lock);
	*ret = c;
	return NX_OK;
}

static nx_rc row_add(
	struct nx_archive *a, struct group *g, struct nx_feed_row *row, struct nx_err *err)
{
	struct feed_counter *c;
	struct nx_op op;
	nx_rc rc = counter_get(a, g, row->collection, &c, err);

	if (rc)
		return rc;
	row->number = ++c->given;
	if (nx_op_put_feed(row, g->arena, &op))
		return nx_err_set(err, NX_E_NOMEM, "no memory for the change feed");
	return group_op(g, &op, err);
}

/* The list is newest first. */
static struct feed_note *turned(struct feed_note *note)
{
	struct feed_note *first = NULL;

	while (note) {
		struct feed_note *before = note->before;

		note->before = first;
		first = note;
		note = before;
	}
	return first;
}

nx_rc feed_rows(struct nx_archive *a, struct group *g, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	g->feed = turned(g->feed);
	for (struct feed_note *n = g->feed; n && !rc; n = n->before)
		rc = row_add(a, g, &n->row, err);
	return rc;
}

void feed_settle(struct nx_archive *a, const struct group *g, bool durable)
{
	if (!g->feed)
		return;
	(void)pthread_mutex_lock(&a->lock);
	for (struct feed_counter *c = a->feed; c; c = c->next) {
		if (durable)
			c->last = c->given;
		else
			c->given = c->last;
	}
	if (durable)
		(void)pthread_cond_broadcast(&a->feed_cond);
	(void)pthread_mutex_unlock(&a->lock);
}

void feed_free(struct nx_archive *a)
{
	while (a->feed) {
		struct feed_counter *next = a->feed->next;

		free(a->feed);
		a->feed = next;
	}
}

/* Caller holds a->lock.  Of a collection without a counter nothing changed since the start. */
static bool has_more(const struct nx_archive *a, int64_t collection, int64_t after)
{
	const struct feed_counter *c = counter_find(a, collection);

	return a->feed_over || (c && c->last > after);
}

void nx_archive_feed_wait(
	struct nx_archive *archive, int64_t collection, int64_t after, int64_t wait_us)
{
	int64_t until_us = nx_mono_us() + wait_us;
	const struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
	int rc = 0;

	(void)pthread_mutex_lock(&archive->lock);
	while (!rc && !has_more(archive, collection, after))
		rc = pthread_cond_timedwait(&archive->feed_cond, &archive->lock, &until);
	(void)pthread_mutex_unlock(&archive->lock);
}

void nx_archive_feed_over(struct nx_archive *archive)
{
	(void)pthread_mutex_lock(&archive->lock);
	archive->feed_over = true;
	(void)pthread_cond_broadcast(&archive->feed_cond);
	(void)pthread_mutex_unlock(&archive->lock);
}

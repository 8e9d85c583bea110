/*
 * The thread that makes series records: series wait in a list until they are quiet.  The list is in
 * memory only; whoever asks after a restart puts a series there again.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "retrieve/instances_priv.h"

enum {
	WAITING_MAX = 256, /* series */
};

struct waiting {
	struct waiting *next;
	int64_t series;
	int64_t from_us; /* not before, monotonic */
	char collection[NX_LIMIT_NAME + 1];
};

struct series_records {
	pthread_mutex_t lock; /* guards all below but the counters */
	pthread_cond_t wake;
	struct waiting *first;
	size_t n;
	bool stopping;
	bool has_thread;
	pthread_t thread;
	atomic_ullong made;
	atomic_ullong used;
};

/* Caller holds the lock, for these two. */
static struct waiting **waiting_due(struct series_records *records, int64_t now, int64_t *ret_next)
{
	*ret_next = INT64_MAX;
	for (struct waiting **at = &records->first; *at; at = &(*at)->next) {
		if ((*at)->from_us <= now)
			return at;
		if ((*at)->from_us < *ret_next)
			*ret_next = (*at)->from_us;
	}
	return NULL;
}

static struct waiting *waiting_take(struct series_records *records)
{
	while (!records->stopping) {
		int64_t next;
		struct waiting **at = waiting_due(records, nx_mono_us(), &next);
		const struct timespec until = {next / 1000000, next % 1000000 * 1000};

		if (at) {
			struct waiting *job = *at;

			*at = job->next;
			records->n--;
			return job;
		}
		if (next == INT64_MAX)
			(void)pthread_cond_wait(&records->wake, &records->lock);
		else
			(void)pthread_cond_timedwait(&records->wake, &records->lock, &until);
	}
	return NULL;
}

static void waiting_add(struct series_records *records, struct waiting *job)
{
	job->next = records->first;
	records->first = job;
	records->n++;
	(void)pthread_cond_signal(&records->wake);
}

static void *records_main(void *retrieve)
{
	struct nx_retrieve *r = retrieve;
	struct series_records *records = r->records;
	struct waiting *job;

	nx_thread_name("series-records");
	(void)pthread_mutex_lock(&records->lock);
	while ((job = waiting_take(records))) {
		struct nx_err err = {.rc = NX_OK};
		int64_t wait_us = 0;
		bool made = false;

		(void)pthread_mutex_unlock(&records->lock);
		/* Gone, or erased, meanwhile: there is nothing to save. */
		if (series_record_make(r, job->collection, job->series, &made, &wait_us, &err) &&
			err.rc != NX_E_NOENT && err.rc != NX_E_ERASED && err.rc != NX_E_CLOSED)
			nx_log_err(NX_LOG_WARN, "retrieve", "series.record", &err);
		atomic_fetch_add(&records->made, made);
		(void)pthread_mutex_lock(&records->lock);
		if (wait_us && !records->stopping) {
			job->from_us = nx_mono_us() + wait_us;
			waiting_add(records, job);
		} else {
			free(job);
		}
	}
	(void)pthread_mutex_unlock(&records->lock);
	return NULL;
}

static bool waits(const struct series_records *records, int64_t series)
{
	const struct waiting *w = records->first;

	while (w && w->series != series)
		w = w->next;
	return w != NULL;
}

/* A record that is not made only costs time. */
void series_record_ask(struct nx_retrieve *r, const char *collection, int64_t series)
{
	struct series_records *records = r->records;
	struct waiting *job;

	(void)pthread_mutex_lock(&records->lock);
	if (!records->has_thread)
		records->has_thread = pthread_create(&records->thread, NULL, records_main, r) == 0;
	if (records->has_thread && records->n < WAITING_MAX && !waits(records, series)) {
		job = calloc(1, sizeof(*job));
		if (job) {
			job->series = series;
			(void)snprintf(job->collection, sizeof(job->collection), "%s", collection);
			waiting_add(records, job);
		}
	}
	(void)pthread_mutex_unlock(&records->lock);
}

struct ready {
	struct nx_retrieve *retrieve;
	const char *collection;
};

static nx_rc series_ask(void *payload, const void *row, struct nx_err *err)
{
	const struct nx_series *series = row;
	const struct ready *ready = payload;

	(void)err;
	if (series->n_instances >= NX_SERIES_RECORD_MIN)
		series_record_ask(ready->retrieve, ready->collection, series->id);
	return NX_OK;
}

void nx_retrieve_study_ready(struct nx_retrieve *retrieve, int64_t study)
{
	struct nx_cat *cat = nx_archive_cat(retrieve->archive);
	NX_AUTO(nx_arena) *arena = nx_arena_new(NX_MIB, NX_ARENA_WIPE);
	struct ready ready = {.retrieve = retrieve};
	struct nx_collection collection;
	struct nx_study row;
	struct nx_err err;
	nx_rc rc = arena ? nx_cat_study_by_id(cat, study, arena, &row, &err) : NX_E_NOMEM;

	if (!rc)
		rc = nx_cat_collection_by_id(cat, row.collection, arena, &collection, &err);
	if (!rc) {
		ready.collection = collection.name;
		rc = nx_cat_series_of(cat, study, series_ask, &ready, &err);
	}
	if (rc && rc != NX_E_NOENT && rc != NX_E_NOMEM)
		nx_log_err(NX_LOG_WARN, "retrieve", "series.record", &err);
}

struct series_records *series_records_new(void)
{
	struct series_records *records = calloc(1, sizeof(*records));
	pthread_condattr_t attr;

	if (!records)
		return NULL;
	(void)pthread_mutex_init(&records->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&records->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	return records;
}

struct series_records *series_records_free(struct series_records *records)
{
	if (!records)
		return NULL;
	(void)pthread_mutex_lock(&records->lock);
	records->stopping = true;
	(void)pthread_cond_signal(&records->wake);
	(void)pthread_mutex_unlock(&records->lock);
	if (records->has_thread)
		(void)pthread_join(records->thread, NULL);
	while (records->first) {
		struct waiting *next = records->first->next;

		free(records->first);
		records->first = next;
	}
	(void)pthread_cond_destroy(&records->wake);
	(void)pthread_mutex_destroy(&records->lock);
	free(records);
	return NULL;
}

void series_record_used(struct nx_retrieve *r)
{
	atomic_fetch_add(&r->records->used, 1);
}

void series_record_stats(const struct nx_retrieve *r, struct nx_retrieve_stats *ret)
{
	ret->records_made = atomic_load(&r->records->made);
	ret->records_used = atomic_load(&r->records->used);
}

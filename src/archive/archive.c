#include "archive/archive.h"

#include <stdlib.h>

#include "archive/archive_priv.h"
#include "base/log.h"
#include "base/map.h"
#include "base/thread.h"

enum {
	KEEPER_PERIOD_S = 1
};

static nx_rc tag_get(void *payload, const uint8_t tag[NX_TAG_LEN], uint64_t *ret_count,
	uint64_t *ret_last, struct nx_err *err)
{
	return nx_cat_tag(payload, tag, ret_count, ret_last, err);
}

static nx_rc tag_bucket(void *payload, uint16_t bucket,
	nx_rc (*fn)(void *arg, const uint8_t tag[NX_TAG_LEN], uint64_t count, uint64_t last),
	void *arg, struct nx_err *err)
{
	return nx_cat_tags_in(payload, bucket, fn, arg, err);
}

static nx_rc ledger_open(
	struct nx_archive *a, const struct nx_archive_opts *opts, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) audit = {{0}};
	NX_AUTO_DONE(nx_key) tag = {{0}};
	NX_AUTO_DONE(nx_key) sign = {{0}};
	struct nx_ledger_opts lo = {
		.dir = opts->ledger_dir,
		.origin = opts->origin,
		.audit_key = &audit,
		.tag_key = &tag,
		.sign_seed = &sign,
		.tags = {.payload = a->cat, .get = tag_get, .bucket = tag_bucket},
	};
	nx_rc rc = nx_keys_site(a->keys, "audit", &audit, err);

	if (!rc)
		rc = nx_keys_site(a->keys, "audit-tag", &tag, err);
	if (!rc)
		rc = nx_keys_site(a->keys, "ledger-sign", &sign, err);
	if (!rc)
		rc = nx_keys_site(a->keys, "log", &a->log_key, err);
	return rc ? rc : nx_ledger_open(&lo, &a->ledger, err);
}

/* Tables whose rows get their number from nx_archive_next_id(). */
static const enum nx_table numbered[] = {NX_T_COLLECTION, NX_T_STUDY, NX_T_SERIES, NX_T_ITEM,
	NX_T_BLOB, NX_T_EVENT, NX_T_QUARANTINE, NX_T_RELEASE, NX_T_JOB, NX_T_CONFLICT,
	NX_T_DELIVERY};

static nx_rc ids_load(struct nx_archive *a, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < NX_ARRAY_LEN(numbered) && !rc; i++) {
		uint64_t id = 0;

		rc = nx_cat_max_id(a->cat, numbered[i], &id, err);
		atomic_store(&a->next_id[numbered[i]], id + 1);
	}
	return rc;
}

/* Writes the ledger's files behind, every second there is something new. */
void *keeper_main(void *archive)
{
	struct nx_archive *a = archive;
	uint64_t flushed = 0;

	nx_thread_name("keeper");
	(void)pthread_mutex_lock(&a->lock);
	while (!a->stopping) {
		struct timespec until;
		struct nx_err err;

		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += KEEPER_PERIOD_S;
		(void)pthread_cond_timedwait(&a->keeper_wake, &a->lock, &until);
		if (flushed == a->applied_seq || a->stopping)
			continue;
		flushed = a->applied_seq;
		(void)pthread_mutex_unlock(&a->lock);
		if (nx_ledger_flush(a->ledger, &err))
			nx_log_err(NX_LOG_ERROR, "archive", "ledger.flush", &err);
		(void)pthread_mutex_lock(&a->lock);
	}
	(void)pthread_mutex_unlock(&a->lock);
	return NULL;
}

static nx_rc threads_start(struct nx_archive *a, struct nx_err *err)
{
	if (pthread_create(&a->committer, NULL, committer_main, a) != 0)
		return nx_err_set(err, NX_E_NOMEM, "cannot start the committer");
	if (pthread_create(&a->keeper, NULL, keeper_main, a) != 0) {
		a->stopping = true;
		(void)pthread_cond_signal(&a->wake);
		(void)pthread_join(a->committer, NULL);
		return nx_err_set(err, NX_E_NOMEM, "cannot start the keeper");
	}
	a->running = true;
	return NX_OK;
}

static void wake_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(cond, &attr);
	(void)pthread_condattr_destroy(&attr);
}

nx_rc nx_archive_open(
	const struct nx_archive_opts *opts, struct nx_archive **ret_archive, struct nx_err *err)
{
	NX_AUTO(nx_archive) *a = calloc(1, sizeof(*a));
	nx_rc rc;

	if (!a)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an archive");
	(void)pthread_mutex_init(&a->lock, NULL);
	(void)pthread_mutex_init(&a->space.lock, NULL);
	(void)pthread_cond_init(&a->space.cond, NULL);
	wake_init(&a->wake);
	(void)pthread_cond_init(&a->applied_cond, NULL);
	wake_init(&a->feed_cond);
	wake_init(&a->keeper_wake);
	a->pool = opts->pool;
	a->keys = opts->keys;
	a->cat = opts->cat;
	a->queue_tail = &a->queue;
	cache_init(&a->cache);
	if (!cache_ready(&a->cache))
		return nx_err_set(err, NX_E_NOMEM, "no memory for an archive");
	rc = ledger_open(a, opts, err);
	if (!rc)
		rc = replay(a, opts->rebuild, err);
	a->replayed = !rc;
	if (!rc)
		rc = ids_load(a, err);
	if (!rc)
		rc = keys_agree(a, err);
	if (!rc)
		rc = nx_keys_sync(a->keys, err); /* site keys may be new */
	if (!rc)
		rc = space_start(a, err);
	if (!rc)
		rc = threads_start(a, err);
	if (!rc)
		rc = erase_sweep(a, err);
	if (rc)
		return rc;
	*ret_archive = NX_STEAL(a);
	return NX_OK;
}

static void threads_stop(struct nx_archive *a)
{
	(void)pthread_mutex_lock(&a->lock);
	a->stopping = true;
	(void)pthread_cond_signal(&a->wake);
	(void)pthread_cond_signal(&a->keeper_wake);
	(void)pthread_mutex_unlock(&a->lock);
	(void)pthread_join(a->committer, NULL);
	(void)pthread_join(a->keeper, NULL);
}

struct nx_archive *nx_archive_free(struct nx_archive *archive)
{
	if (!archive)
		return NULL;
	if (archive->running)
		threads_stop(archive);
	/* A replay that did not come to its end has catalog and ledger of different times: a
	 * checkpoint over both would be wrong for ever. */
	if (archive->replayed)
		nx_ledger_free(archive->ledger);
	else if (archive->ledger)
		nx_ledger_abandon(archive->ledger);
	cache_clear(&archive->cache);
	space_free(archive);
	nx_key_done(&archive->log_key);
	(void)pthread_cond_destroy(&archive->space.cond);
	(void)pthread_cond_destroy(&archive->wake);
	(void)pthread_cond_destroy(&archive->applied_cond);
	(void)pthread_cond_destroy(&archive->feed_cond);
	feed_free(archive);
	(void)pthread_cond_destroy(&archive->keeper_wake);
	(void)pthread_mutex_destroy(&archive->lock);
	(void)pthread_mutex_destroy(&archive->space.lock);
	free(archive);
	return NULL;
}

struct nx_cat *nx_archive_cat(struct nx_archive *archive)
{
	return archive->cat;
}

struct nx_keys *nx_archive_keys(struct nx_archive *archive)
{
	return archive->keys;
}

struct nx_ledger *nx_archive_ledger(struct nx_archive *archive)
{
	return archive->ledger;
}

struct nx_pool *nx_archive_pool(struct nx_archive *archive)
{
	return archive->pool;
}

uint64_t nx_archive_next_id(struct nx_archive *archive, unsigned table)
{
	return atomic_fetch_add(&archive->next_id[table], 1);
}

void nx_archive_stats(struct nx_archive *archive, struct nx_archive_stats *ret)
{
	(void)pthread_mutex_lock(&archive->lock);
	*ret = archive->stats;
	ret->queue = archive->queue_len;
	(void)pthread_mutex_unlock(&archive->lock);
}

void nx_archive_on_stored(struct nx_archive *archive, const struct nx_stored_watch *watch)
{
	archive->on_stored = watch ? *watch : (struct nx_stored_watch){0};
}

void nx_archive_on_study(
	struct nx_archive *archive, void (*fn)(void *payload, int64_t study), void *payload)
{
	archive->on_study_payload = payload;
	archive->on_study = fn;
}

#include <errno.h>

#include "base/log.h"
#include "base/thread.h"
#include "catalog/catalog_priv.h"

/*
 * Pages travel from the log to the file here, never in a commit.  A first pass runs beside the
 * committer; what it added meanwhile is small and goes in a second pass under the write lock, so
 * that the log is empty at that moment and the next commit starts it again: without that a busy
 * site's log would grow for ever.
 */

/* Caller holds ckpt->lock.  Counted from the last pass: one that a long reader kept from its end
 * is not tried again at every commit. */
static bool is_due(const struct checkpointer *ckpt)
{
	return ckpt->wal_bytes >= ckpt->done_bytes + CAT_WAL_CHECKPOINT_BYTES;
}

/* After each commit, in the committer. */
static int on_commit(void *payload, sqlite3 *db, const char *schema, int frames)
{
	struct nx_cat *cat = payload;
	struct checkpointer *ckpt = &cat->ckpt;

	(void)db;
	(void)schema;
	pthread_mutex_lock(&ckpt->lock);
	ckpt->wal_bytes = (uint64_t)frames * CAT_PAGE;
	ckpt->commits++;
	if (ckpt->wal_bytes < ckpt->done_bytes)
		ckpt->done_bytes = 0; /* the log started again */
	if (is_due(ckpt))
		pthread_cond_signal(&ckpt->wake);
	pthread_mutex_unlock(&ckpt->lock);
	return SQLITE_OK;
}

static void checkpoint(struct checkpointer *ckpt, int mode)
{
	int rc = sqlite3_wal_checkpoint_v2(ckpt->conn->db, "main", mode, NULL, NULL);
	struct nx_err err;

	if (!rc || rc == SQLITE_BUSY) /* busy: a reader is in the way; there will be another */
		return;
	(void)nx_sql_err(&err, rc, "checkpoint");
	nx_log_err(NX_LOG_ERROR, "catalog", "checkpoint-failed", &err);
}

static void checkpoint_busy(struct nx_cat *cat)
{
	checkpoint(&cat->ckpt, SQLITE_CHECKPOINT_PASSIVE);
	pthread_mutex_lock(&cat->write_lock);
	checkpoint(&cat->ckpt, SQLITE_CHECKPOINT_PASSIVE);
	pthread_mutex_unlock(&cat->write_lock);
}

enum work {
	WORK_NONE, /* look again */
	WORK_BUSY,
	WORK_IDLE,
	WORK_STOP
};

static enum work wait_for_work(struct checkpointer *ckpt)
{
	enum work work = WORK_NONE;
	struct timespec until;
	uint64_t commits;
	int rc = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += CAT_IDLE_S;
	pthread_mutex_lock(&ckpt->lock);
	commits = ckpt->commits;
	while (!ckpt->stop && !is_due(ckpt) && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&ckpt->wake, &ckpt->lock, &until);
	if (ckpt->stop)
		work = WORK_STOP;
	else if (is_due(ckpt))
		work = WORK_BUSY;
	else if (ckpt->wal_bytes && ckpt->commits == commits)
		work = WORK_IDLE;
	if (work != WORK_NONE)
		ckpt->done_bytes = ckpt->wal_bytes;
	if (work == WORK_IDLE)
		ckpt->wal_bytes = 0; /* once, not every time round */
	pthread_mutex_unlock(&ckpt->lock);
	return work;
}

static void *checkpoint_main(void *payload)
{
	struct nx_cat *cat = payload;

	nx_thread_name("checkpoint");
	for (;;) {
		switch (wait_for_work(&cat->ckpt)) {
		case WORK_NONE:
			break;
		case WORK_BUSY:
			checkpoint_busy(cat);
			break;
		case WORK_IDLE:
			checkpoint(&cat->ckpt, SQLITE_CHECKPOINT_TRUNCATE);
			break;
		case WORK_STOP:
			return NULL;
		}
	}
}

nx_rc nx_checkpoint_start(struct nx_cat *cat, struct nx_err *err)
{
	struct checkpointer *ckpt = &cat->ckpt;
	nx_rc rc = nx_cat_conn_open(&cat->target, CONN_CHECKPOINT, &ckpt->conn, err);
	int e;

	if (rc)
		return rc;
	(void)sqlite3_wal_hook(cat->writer->db, on_commit, cat);
	e = pthread_create(&ckpt->thread, NULL, checkpoint_main, cat);
	if (e)
		return nx_err_set(err, nx_rc_from_errno(e), "start the checkpoint thread");
	ckpt->running = true;
	return NX_OK;
}

void nx_checkpoint_stop(struct nx_cat *cat)
{
	struct checkpointer *ckpt = &cat->ckpt;

	if (ckpt->running) {
		pthread_mutex_lock(&ckpt->lock);
		ckpt->stop = true;
		pthread_cond_signal(&ckpt->wake);
		pthread_mutex_unlock(&ckpt->lock);
		pthread_join(ckpt->thread, NULL);
		ckpt->running = false;
		checkpoint(ckpt, SQLITE_CHECKPOINT_TRUNCATE);
	}
	ckpt->conn = nx_cat_conn_free(ckpt->conn);
}

/* narthex import: files and folders, over several connections. */
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cast.h"
#include "base/clock.h"
#include "cli/cli_priv.h"
#include "cli/client.h"
#include "cli/progress.h"

enum {
	WORKERS_MAX = 64,
	WORKERS = 4,
	PROGRESS_US = 250000
};

/* Shared by the workers; the walk over the folders goes on while they send. */
struct import {
	const struct cli_args *args;
	char *path;           /* of the API */
	pthread_mutex_t lock; /* guards what follows */
	FTS *walk;
	uint64_t stored, duplicates, versions, quarantined, left_out, failed, bytes;
	int64_t shown_us;
	bool progress;
	struct nx_err first; /* of a worker that could not go on */
};

/* Caller holds the lock. */
static void progress_show(struct import *im, bool end)
{
	const uint64_t done = im->stored + im->duplicates + im->versions + im->quarantined;
	int64_t now = nx_mono_us();
	char bytes[16];

	if (!im->progress || (!end && now - im->shown_us < PROGRESS_US))
		return;
	im->shown_us = now;
	(void)fprintf(stderr, "\r\033[K");
	if (end)
		return;
	(void)fprintf(stderr, "import   %llu files, %s, %llu failed", (unsigned long long)done,
		cli_bytes(im->bytes, bytes), (unsigned long long)im->failed);
}

/* Caller holds the lock. */
static void complain(struct import *im, const char *file, const char *why)
{
	(void)fprintf(stderr, "%s%s: %s\n", im->progress ? "\r\033[K" : "", file, why);
	im->failed++;
}

/* The next regular file; from the heap.  NULL at the end. */
static char *next_file(struct import *im)
{
	char *path = NULL;
	FTSENT *entry;

	(void)pthread_mutex_lock(&im->lock);
	while (!path && !im->first.rc && !cli_interrupted() && (entry = fts_read(im->walk))) {
		if (entry->fts_info == FTS_F)
			path = strdup(entry->fts_path);
		else if (entry->fts_info == FTS_NS || entry->fts_info == FTS_ERR ||
			entry->fts_info == FTS_DNR)
			complain(im, entry->fts_path, strerrordesc_np(entry->fts_errno));
	}
	(void)pthread_mutex_unlock(&im->lock);
	return path;
}

static void count(struct import *im, const char *file, const json_t *answer, uint64_t size)
{
	const char *outcome = json_string_value(json_object_get(answer, "outcome"));
	const struct {
		const char *name;
		uint64_t *counter;
	} counters[] = {
		{"stored", &im->stored},
		{"duplicate", &im->duplicates},
		{"version", &im->versions},
		{"quarantined", &im->quarantined},
	};

	(void)pthread_mutex_lock(&im->lock);
	for (size_t i = 0; i < NX_ARRAY_LEN(counters); i++)
		if (outcome && strcmp(outcome, counters[i].name) == 0)
			++*counters[i].counter;
	im->bytes += size;
	if (json_object_get(answer, "quarantine"))
		(void)fprintf(stderr, "%s%s: kept in %s\n", im->progress ? "\r\033[K" : "", file,
			json_string_value(json_object_get(answer, "note")));
	progress_show(im, false);
	(void)pthread_mutex_unlock(&im->lock);
}

/* With these every further file would fail the same way; a file that is gone is only one. */
static bool is_fatal(const struct nx_err *why, bool local)
{
	return why->rc == NX_E_CLOSED || why->rc == NX_E_DENIED ||
		why->rc == NX_E_UNAUTHENTICATED || why->rc == NX_E_NOSPACE ||
		(why->rc == NX_E_NOENT && !local);
}

static void fail(struct import *im, const char *file, const struct nx_err *why, bool local)
{
	(void)pthread_mutex_lock(&im->lock);
	if (!im->first.rc && !cli_interrupted())
		complain(im, file, nx_err_text(why));
	if (is_fatal(why, local) && !im->first.rc)
		im->first = *why;
	(void)pthread_mutex_unlock(&im->lock);
}

/* Nothing that the site takes in, and nothing is lost: the directory of a medium. */
static void leave_out(struct import *im, const char *file, const struct nx_err *why)
{
	(void)pthread_mutex_lock(&im->lock);
	(void)fprintf(stderr, "%s%s: left out: %s\n", im->progress ? "\r\033[K" : "", file,
		nx_err_text(why));
	im->left_out++;
	(void)pthread_mutex_unlock(&im->lock);
}

static void file_send(struct import *im, struct nx_client *client, const char *file)
{
	NX_AUTO_FD fd = open(file, O_RDONLY | O_CLOEXEC);
	struct nx_err err = {0};
	json_t *answer = NULL;
	struct stat st;
	nx_rc rc;

	if (fd < 0 || fstat(fd, &st) < 0) {
		(void)nx_err_errno(&err, "open");
		fail(im, file, &err, true);
		return;
	}
	rc = nx_client_upload(client, "POST", im->path,
		&(struct nx_upload){
			.media_type = "application/dicom", .fd = fd, .size = (uint64_t)st.st_size},
		&answer, &err);
	if (rc == NX_E_UNSUPPORTED)
		leave_out(im, file, &err);
	else if (rc)
		fail(im, file, &err, false);
	else
		count(im, file, answer, (uint64_t)st.st_size);
	json_decref(answer);
}

static void *worker(void *payload)
{
	struct import *im = payload;
	NX_AUTO(nx_client) *client = NULL;
	struct nx_err err = {0};
	char *file;

	if (nx_client_new(im->args, &client, &err)) {
		fail(im, "connection", &err, false);
		return NULL;
	}
	while ((file = next_file(im))) {
		file_send(im, client, file);
		free(file);
	}
	return NULL;
}

static nx_rc workers_run(struct import *im, int64_t n, struct nx_err *err)
{
	pthread_t threads[WORKERS_MAX];
	int64_t started = 0;

	for (; started < n; started++)
		if (pthread_create(&threads[started], NULL, worker, im) != 0)
			break;
	for (int64_t i = 0; i < started; i++)
		(void)pthread_join(threads[i], NULL);
	return started ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no thread could be started");
}

static void result_print(const struct import *im)
{
	const struct {
		const char *key;
		const char *words;
		uint64_t n;
	} rows[] = {
		{"stored", "stored", im->stored},
		{"duplicates", "there already", im->duplicates},
		{"versions", "new versions", im->versions},
		{"quarantined", "in quarantine", im->quarantined},
		{"left_out", "left out", im->left_out},
		{"failed", "failed", im->failed},
	};
	bool json = cli_has(im->args, "json");
	char bytes[16];

	(void)printf("%s", json ? "{" : "");
	for (size_t i = 0; i < NX_ARRAY_LEN(rows); i++)
		if (json)
			(void)printf("\"%s\":%" PRIu64 ",", rows[i].key, rows[i].n);
		else
			(void)printf("%" PRIu64 " %s, ", rows[i].n, rows[i].words);
	if (json)
		(void)printf("\"bytes\":%" PRIu64 "}\n", im->bytes);
	else
		(void)printf("%s\n", cli_bytes(im->bytes, bytes));
}

static nx_rc import_end(struct import *im, struct nx_err *err)
{
	progress_show(im, true);
	result_print(im);
	if (cli_interrupted())
		return nx_err_set(err, NX_E_CLOSED, "interrupted; run it again to go on");
	if (im->first.rc) {
		*err = im->first;
		return err->rc;
	}
	if (im->failed)
		return nx_err_set(err, NX_E_INTERNAL, "%llu files were not taken",
			(unsigned long long)im->failed);
	return im->quarantined ? nx_err_set(err, NX_E_QUARANTINED, "%llu files are in quarantine",
					 (unsigned long long)im->quarantined)
			       : NX_OK;
}

nx_rc cmd_import(const struct cli_args *args, struct nx_err *err)
{
	struct import im = {.args = args, .progress = isatty(STDERR_FILENO)};
	const char *collection = cli_get(args, "collection");
	int64_t n = WORKERS;
	char **roots;
	nx_rc rc = cli_number(args, "jobs", WORKERS, 1, WORKERS_MAX, &n, err);

	if (rc)
		return rc;
	roots = calloc(args->n_words + 1, sizeof(*roots));
	im.path = nx_client_path("/collections/%s/instances", collection ? collection : "clinical");
	for (size_t i = 0; roots && i < args->n_words; i++)
		roots[i] = nx_unconst(args->words[i]);
	if (roots && im.path)
		im.walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW, NULL);
	if (!im.walk)
		rc = nx_err_errno(err, "import");
	(void)pthread_mutex_init(&im.lock, NULL);
	if (!rc)
		rc = workers_run(&im, n, err);
	if (!rc)
		rc = import_end(&im, err);
	if (im.walk)
		(void)fts_close(im.walk);
	(void)pthread_mutex_destroy(&im.lock);
	free(roots);
	free(im.path);
	return rc;
}

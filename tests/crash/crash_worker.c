/*
 * A site in local files that is killed while it works (test_kill.py).
 *
 *   crash_worker write DIR RUN THREADS   makes the site when there is none; writes until killed,
 * and prints "RUN-THREAD-N SUBJECT" after each answer crash_worker check DIR               reads
 * such lines and verifies them; prints what is wrong
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/arena.h"
#include "catalog/catalog.h"
#include "crypto/crypto.h"
#include "keys/keys.h"
#include "ledger/ledger.h"
#include "store/pool.h"

enum {
	BULK_MAX = 300000
};

struct worker {
	char keys_dir[2][512];
	const char *places[2];
	struct nx_keys *keys;
	struct nx_pool *pool;
	struct nx_cat *cat;
	struct nx_archive *archive;
	struct nx_collection collection;
	struct nx_arena *arena;
	unsigned run;
};

static void die(const char *what, const struct nx_err *err)
{
	(void)fprintf(stderr, "%s: %s\n", what, nx_err_text(err));
	exit(1);
}

static void open_site(struct worker *w, const char *dir, bool write)
{
	struct nx_err err = {.rc = NX_OK};
	struct nx_key key;
	char path[512], uri[600], ledger[512];
	struct nx_cat_opts cat = {.path = path, .key = &key};
	struct nx_archive_opts opts = {.ledger_dir = ledger, .origin = "example.org/kill"};
	struct nx_keys_opts ko = {.driver = "file",
		.places = w->places,
		.n_places = 2,
		.passphrase = nx_slice_str("correct horse"),
		.argon2_kib = 8};
	struct stat st;

	memset(key.b, 7, sizeof(key.b));
	for (int i = 0; i < 2; i++) {
		(void)snprintf(w->keys_dir[i], sizeof(w->keys_dir[i]), "%s/keys%d", dir, i);
		w->places[i] = w->keys_dir[i];
	}
	(void)snprintf(path, sizeof(path), "%s/catalog.db", dir);
	(void)snprintf(uri, sizeof(uri), "dir:%s/pool", dir);
	(void)snprintf(ledger, sizeof(ledger), "%s/ledger", dir);
	if (nx_crypto_init(&err))
		die("crypto", &err);
	if (write && stat(w->keys_dir[0], &st) < 0 && nx_keys_create(&ko, &err))
		die("keys", &err);
	if (nx_keys_open(&ko, &w->keys, &err) || nx_pool_open(uri, &w->pool, &err) ||
		nx_cat_open(&cat, &w->cat, &err))
		die("open", &err);
	opts.pool = w->pool;
	opts.keys = w->keys;
	opts.cat = w->cat;
	if (nx_archive_open(&opts, &w->archive, &err))
		die("open", &err);
	w->arena = nx_arena_new(64u << 20, 0);
	if (!w->arena)
		die("memory", &err);
}

static void find_collection(struct worker *w)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	struct nx_err err = {.rc = NX_OK};
	struct nx_op op;
	uint32_t domain;

	if (!nx_cat_collection(w->cat, "kill", w->arena, &w->collection, &err))
		return;
	if (nx_keys_domain(w->keys, "kill/phi", true, &domain, &err))
		die("domain", &err);
	w->collection = (struct nx_collection){
		.id = (int64_t)nx_archive_next_id(w->archive, NX_T_COLLECTION),
		.name = "kill",
		.project = "crash",
		.zone = NX_ZONE_LANDING,
		.domain_name = "kill/phi",
		.domain = domain,
		.tags = "{}",
		.on_conflict = "version",
		.created_us = 1};
	if (nx_op_put_collection(&w->collection, w->arena, &op) ||
		nx_change_op(change, &op, &err) || nx_archive_commit(w->archive, change, &err))
		die("collection", &err);
}

/* What a name holds follows from it. */
static size_t content(unsigned run, unsigned thread, unsigned n, uint8_t *p)
{
	uint64_t x =
		run * 1000003ull + thread * 10007ull + n * 2654435761ull + 88172645463325252ull;
	size_t len = n % 10 ? 200 + n * 37 % 3000 : 70000 + n * 997 % (BULK_MAX - 70000);

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (uint8_t)x;
	}
	return len;
}

static nx_rc put_one(
	struct worker *w, unsigned thread, unsigned n, uint8_t *p, uint64_t *ret_subject)
{
	NX_AUTO(nx_blob_writer) *writer = NULL;
	NX_AUTO(nx_change) *change = nx_change_new();
	size_t len = content(w->run, thread, n, p);
	struct nx_recipe_part part = {.kind = NX_PART_BLOB, .len = len};
	struct nx_entry_draft draft = {.action = NX_ACTION_INSTANCE_STORE, .principal = "kill"};
	struct nx_blob *blob = NULL;
	char name[64], study[64], patient[32];
	struct nx_study st = {.uid = study, .patient_id = patient, .patient_name = "TEST^NAME"};
	struct nx_series se = {.uid = "1.2.3.9", .modality = "CT"};
	struct nx_item item = {.name = name, .type = "1.2.840.10008.5.1.4.1.1.2"};
	struct nx_put put = {.collection = &w->collection,
		.study = &st,
		.series = &se,
		.item = &item,
		.blobs = &blob,
		.n_blobs = 1,
		.parts = &part,
		.n_parts = 1};
	struct nx_err err = {.rc = NX_OK};
	nx_rc rc;

	(void)snprintf(name, sizeof(name), "1.%u.%u.%u", w->run, thread, n);
	(void)snprintf(study, sizeof(study), "1.3.%u.%u", w->run, n % 4);
	(void)snprintf(patient, sizeof(patient), "P%u-%u", w->run, n % 4);
	item.size = (int64_t)len;
	rc = nx_blob_writer_new(w->archive, (uint32_t)w->collection.domain, len, 0, &writer, &err);
	if (!rc)
		rc = nx_blob_writer_put(writer, p, len, &err);
	if (!rc)
		rc = nx_blob_writer_finish(writer, &blob, &err);
	if (!rc)
		rc = nx_change_put(change, &put, &err);
	if (!rc)
		rc = nx_change_entry(change, &draft, &put, &err);
	if (!rc)
		rc = nx_archive_commit(w->archive, change, &err);
	if (rc)
		die("put", &err);
	*ret_subject = put.ret_subject;
	return rc;
}

struct thread {
	struct worker *w;
	unsigned id;
};

static void *write_main(void *payload)
{
	struct thread *t = payload;
	uint8_t *p = malloc(BULK_MAX);
	char line[96];

	for (unsigned n = 0; p; n++) {
		uint64_t subject;
		int len;

		if (put_one(t->w, t->id, n, p, &subject))
			break;
		len = snprintf(
			line, sizeof(line), "%u-%u-%u %" PRIu64 "\n", t->w->run, t->id, n, subject);
		if (write(STDOUT_FILENO, line, (size_t)len) != len) /* whole: a pipe keeps lines */
			break;
	}
	free(p);
	return NULL;
}

static bool is_there(struct worker *w, unsigned run, unsigned thread, unsigned n, uint64_t subject)
{
	static uint8_t want[BULK_MAX], got[BULK_MAX + 1];
	NX_AUTO(nx_reader) *reader = NULL;
	size_t len = content(run, thread, n, want), at = 0, part = 1;
	struct nx_item item;
	struct nx_err err;
	char name[64];

	(void)snprintf(name, sizeof(name), "1.%u.%u.%u", run, thread, n);
	nx_arena_reset(w->arena);
	if (nx_cat_item_latest(w->cat, w->collection.id, subject, name, w->arena, &item, &err) ||
		nx_archive_open_item(w->archive, &item, &reader, &err))
		return false;
	while (part) {
		if (nx_reader_read(reader, at, got + at, len + 1 - at, &part, &err))
			return false;
		at += part;
	}
	return at == len && memcmp(want, got, len) == 0;
}

static int check(struct worker *w)
{
	struct nx_scrub_result scrub;
	struct nx_err err = {.rc = NX_OK};
	unsigned run, thread, n, lines = 0;
	uint64_t subject, entries = 0;

	while (scanf("%u-%u-%u %" SCNu64, &run, &thread, &n, &subject) == 4) {
		if (!is_there(w, run, thread, n, subject)) {
			(void)printf("lost: %u-%u-%u\n", run, thread, n);
			return 1;
		}
		lines++;
	}
	if (nx_ledger_flush(nx_archive_ledger(w->archive), &err) ||
		nx_ledger_verify(nx_archive_ledger(w->archive), &entries, &err))
		die("ledger", &err);
	if (entries < lines) {
		(void)printf("%" PRIu64 " ledger entries for %u changes\n", entries, lines);
		return 1;
	}
	if (nx_archive_scrub(w->archive, NULL, NULL, NULL, &scrub, &err))
		die("scrub", &err);
	if (scrub.bad) {
		(void)printf("%" PRIu64 " extents are bad\n", scrub.bad);
		return 1;
	}
	(void)printf("%u changes, %" PRIu64 " items\n", lines, scrub.items);
	return 0;
}

int main(int argc, char **argv)
{
	struct worker w = {.run = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0};
	unsigned n = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 1;
	struct thread threads[16];
	pthread_t ids[16];
	int rc;

	if (argc < 3 || n > 16)
		return 2;
	open_site(&w, argv[2], strcmp(argv[1], "write") == 0);
	find_collection(&w);
	if (strcmp(argv[1], "write") == 0) {
		for (unsigned i = 0; i < n; i++) {
			threads[i] = (struct thread){&w, i};
			if (pthread_create(&ids[i], NULL, write_main, &threads[i]) != 0)
				return 1;
		}
		for (unsigned i = 0; i < n; i++)
			(void)pthread_join(ids[i], NULL);
		return 1; /* it is meant to be killed */
	}
	rc = check(&w);
	nx_arena_free(w.arena);
	nx_archive_free(w.archive);
	nx_cat_free(w.cat);
	nx_pool_free(w.pool);
	nx_keys_free(w.keys);
	return rc;
}

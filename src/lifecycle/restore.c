/*
 * A site from a backup and a surviving key place.  The files go to their places while they are
 * hashed, the catalog last; then the archive is opened once, which replays what the packs know
 * better and deletes what belongs to erased subjects.
 */
#include "lifecycle/backup_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/file.h"
#include "base/progress.h"
#include "catalog/catalog.h"
#include "keys/keys.h"
#include "store/pool.h"

enum {
	NAME_SUM_LEN =
		2 * BACKUP_NAME_SUM + 1 /* "-" and the digits behind a configuration's name */
};

struct restore {
	const struct nx_restore_opts *opts;
	struct nx_restore_result *result;
	int dir_fd; /* the backup */
	int ledger_fd;
	struct nx_keys *keys;
	struct nx_pool *pool;
	struct nx_key cat_key;
	struct manifest m;
	struct nx_buf sums;
};

/* ---- nothing is written over ---- */

static nx_rc file_found(void *payload, const char *path, struct nx_err *err)
{
	(void)path;
	return nx_err_set(err, NX_E_EXISTS, "%s is not empty", (const char *)payload);
}

static nx_rc pack_found(void *payload, nx_pack_id pack)
{
	return nx_err_set(payload, NX_E_EXISTS, "pack %" PRIu64 " is in the new pool", pack);
}

static nx_rc targets_check(struct restore *r, struct nx_err *err)
{
	static const char what[] = "the ledger's directory";
	char payload[sizeof(what)];
	nx_rc rc = nx_mkdirs(r->opts->ledger_dir, err);

	if (rc)
		return nx_err_prefix(err, rc, "ledger");
	if (access(r->opts->cat_path, F_OK) == 0)
		return nx_err_set(err, NX_E_EXISTS, "a catalog is there");
	r->ledger_fd = open(r->opts->ledger_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->ledger_fd < 0)
		return nx_err_errno(err, "open the ledger's directory");
	memcpy(payload, what, sizeof(what));
	rc = tree_walk(r->ledger_fd, file_found, payload, err);
	return rc ? rc : nx_pool_list(r->pool, pack_found, err, err);
}

/* ---- files ---- */

static nx_rc sum_check(
	const struct sums_line *line, const uint8_t sha[NX_SHA256_LEN], struct nx_err *err)
{
	return memcmp(line->sha, sha, NX_SHA256_LEN) == 0
		? NX_OK
		: nx_err_set(err, NX_E_CORRUPT, "%s does not hash as listed", line->path);
}

static nx_rc parents_make(int dir_fd, const char *path, struct nx_err *err)
{
	char part[BACKUP_PATH_MAX];

	for (size_t i = 1; path[i] && i < sizeof(part); i++) {
		if (path[i] != '/')
			continue;
		(void)snprintf(part, sizeof(part), "%.*s", (int)i, path);
		if (mkdirat(dir_fd, part, 0700) < 0 && errno != EEXIST)
			return nx_err_errno(err, "make directory");
	}
	return NX_OK;
}

/* To `path` within `dir_fd`, synced. */
static nx_rc plain_restore(struct restore *r, const struct sums_line *line, int dir_fd,
	const char *path, struct nx_err *err)
{
	NX_AUTO_FD fd = openat(
		dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, (mode_t)0600);
	const struct sink sink = {sink_fd, &fd};
	uint8_t sha[NX_SHA256_LEN];
	uint64_t len = 0;
	nx_rc rc;

	if (fd < 0)
		return nx_err_errno(err, "create file");
	rc = file_pour(r->dir_fd, line->path, &sink, sha, &len, err);
	if (!rc)
		rc = sum_check(line, sha, err);
	if (!rc && fsync(fd) < 0)
		rc = nx_err_errno(err, "sync file");
	r->result->bytes += len;
	return rc;
}

static bool starts(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

static nx_rc ledger_restore(struct restore *r, const struct sums_line *line, struct nx_err *err)
{
	const char *path = line->path + strlen("ledger/");
	nx_rc rc = parents_make(r->ledger_fd, path, err);

	if (starts(path, "state-"))
		path = "state";
	return rc ? rc : plain_restore(r, line, r->ledger_fd, path, err);
}

struct pack_sink {
	struct nx_pool *pool;
	nx_pack_id pack;
};

/* Copies end at a multiple of the alignment; should one not, zeros are the end of a pack, too. */
static nx_rc pack_put(void *payload, const uint8_t *p, size_t n, uint64_t off, struct nx_err *err)
{
	const struct pack_sink *s = payload;
	size_t full = (n + NX_PACK_ALIGN - 1) / NX_PACK_ALIGN * NX_PACK_ALIGN;
	uint8_t *block = nx_aligned_get(BACKUP_CHUNK);
	struct iovec iov = {block, full};
	nx_rc rc;

	if (!block)
		return nx_err_set(err, NX_E_NOMEM, "no memory to restore a pack");
	memcpy(block, p, n);
	memset(block + n, 0, full - n);
	rc = nx_pool_write(s->pool, s->pack, off, &iov, 1, err);
	nx_aligned_put(block, BACKUP_CHUNK);
	return rc;
}

static nx_rc pack_restore(struct restore *r, const struct sums_line *line, struct nx_err *err)
{
	struct pack_sink to = {.pool = r->pool};
	const struct sink sink = {pack_put, &to};
	uint8_t sha[NX_SHA256_LEN];
	uint64_t len = 0;
	nx_rc rc;

	if (!backup_pack_of(line->path, &to.pack) || !to.pack)
		return nx_err_set(err, NX_E_CORRUPT, "list of files: name of a pack");
	rc = nx_pool_create(r->pool, to.pack, err);
	if (!rc)
		rc = file_pour(r->dir_fd, line->path, &sink, sha, &len, err);
	if (!rc)
		rc = sum_check(line, sha, err);
	if (!rc)
		rc = nx_pool_sync(r->pool, &to.pack, 1, err);
	r->result->bytes += len;
	return rc;
}

static nx_rc config_open(
	struct restore *r, struct nx_slice sealed, const char *name, int dir_fd, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) key = {{0}};
	NX_AUTO_DONE(nx_buf) plain;
	uint8_t *to;
	nx_rc rc = nx_keys_site(r->keys, BACKUP_SEAL, &key, err);

	nx_buf_init(&plain, BACKUP_CONFIG_MAX, NX_BUF_WIPE);
	if (rc)
		return rc;
	if (sealed.n < NX_SEAL_OVERHEAD)
		return nx_err_set(err, NX_E_CORRUPT, "configuration file is too short");
	to = nx_buf_reserve(&plain, sealed.n - NX_SEAL_OVERHEAD + 1);
	if (!to)
		return nx_buf_check(&plain, err);
	rc = nx_seal_open(&key, nx_slice_str(name), sealed.p, sealed.n, to, err);
	plain.len = sealed.n - NX_SEAL_OVERHEAD;
	return rc ? rc : nx_file_replace(dir_fd, name, nx_buf_slice(&plain), 0600, err);
}

static nx_rc config_restore(struct restore *r, const struct sums_line *line, struct nx_err *err)
{
	const char *base = line->path + strlen("config/");
	uint8_t sha[NX_SHA256_LEN];
	char name[BACKUP_PATH_MAX];
	NX_AUTO_DONE(nx_buf) sealed;
	NX_AUTO_FD fd = -1;
	nx_rc rc;

	nx_buf_init(&sealed, BACKUP_CONFIG_MAX + NX_SEAL_OVERHEAD, 0);
	if (!r->opts->files_dir)
		return NX_OK;
	if (strlen(base) <= NAME_SUM_LEN || strchr(base, '/'))
		return nx_err_set(err, NX_E_CORRUPT, "list of files: name of a configuration file");
	(void)snprintf(name, sizeof(name), "%.*s", (int)(strlen(base) - NAME_SUM_LEN), base);
	rc = nx_mkdirs(r->opts->files_dir, err);
	if (!rc)
		rc = nx_file_read(r->dir_fd, line->path, &sealed, err);
	if (rc)
		return rc;
	nx_sha256(sealed.data, sealed.len, sha);
	rc = sum_check(line, sha, err);
	fd = open(r->opts->files_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!rc && fd < 0)
		rc = nx_err_errno(err, "open directory for the configuration");
	return rc ? rc : config_open(r, nx_buf_slice(&sealed), name, fd, err);
}

static nx_rc line_restore(
	struct restore *r, const struct sums_line *line, bool catalog, struct nx_err *err)
{
	if (starts(line->path, "catalog-") != catalog)
		return NX_OK;
	r->result->files++;
	if (catalog)
		return plain_restore(r, line, AT_FDCWD, r->opts->cat_path, err);
	if (starts(line->path, "ledger/"))
		return ledger_restore(r, line, err);
	if (starts(line->path, "packs/"))
		return pack_restore(r, line, err);
	if (starts(line->path, "config/"))
		return config_restore(r, line, err);
	return nx_err_set(err, NX_E_VERSION, "list of files: nothing is known of %s", line->path);
}

static nx_rc lines_restore(struct restore *r, bool catalog, struct nx_err *err)
{
	struct nx_slice rest = nx_buf_slice(&r->sums);
	struct sums_line line;
	nx_rc rc = NX_OK;

	while (!rc) {
		rc = sums_next(&rest, &line, err);
		if (rc == NX_E_NOENT)
			return NX_OK;
		if (!rc)
			rc = nx_progress_add(r->opts->progress, 1, err);
		if (!rc)
			rc = line_restore(r, &line, catalog, err);
	}
	return rc;
}

static nx_rc parent_sync(const char *path, struct nx_err *err)
{
	char dir[PATH_MAX];
	char *slash;

	if ((size_t)snprintf(dir, sizeof(dir), "%s", path) >= sizeof(dir))
		return nx_err_set(err, NX_E_INVAL, "path of the catalog is too long");
	slash = strrchr(dir, '/');
	if (!slash)
		return dir_sync(AT_FDCWD, ".", err);
	slash[slash == dir] = 0;
	return dir_sync(AT_FDCWD, dir, err);
}

/* Twice through the list: what the catalog needs first, then the catalog. */
static nx_rc files_restore(struct restore *r, struct nx_err *err)
{
	struct nx_slice rest = nx_buf_slice(&r->sums);
	struct sums_line line;
	uint64_t n = 0;
	nx_rc rc;

	while (!(rc = sums_next(&rest, &line, err)))
		n++;
	if (rc != NX_E_NOENT)
		return rc;
	nx_progress_total(r->opts->progress, 2 * n);
	rc = lines_restore(r, false, err);

	/* Many small files: one sync of the file system instead of one of every directory. */
	if (!rc && syncfs(r->ledger_fd) < 0)
		rc = nx_err_errno(err, "sync the ledger");
	if (!rc)
		rc = lines_restore(r, true, err);
	return rc ? rc : parent_sync(r->opts->cat_path, err);
}

/* ---- first opening ---- */

static nx_rc note(struct restore *r, struct nx_archive *archive, struct nx_err *err)
{
	static const struct nx_principal system = {.kind = NX_PRINCIPAL_SYSTEM};
	NX_AUTO_DONE(nx_detail) detail;

	nx_detail_begin(&detail);
	nx_json_kv_str(&detail.json, "backup", r->m.id);
	nx_json_kv_int(&detail.json, "taken_us", r->m.time_us);
	nx_json_kv_uint(&detail.json, "group", r->m.group_seq);
	nx_json_kv_uint(&detail.json, "erased", r->result->erased);
	return trail_record(archive, &system, NX_ACTION_RESTORE, NX_OUTCOME_OK, &detail, err);
}

static nx_rc archive_wake(struct restore *r, struct nx_cat *cat, struct nx_err *err)
{
	const struct nx_archive_opts opts = {.pool = r->pool,
		.keys = r->keys,
		.cat = cat,
		.ledger_dir = r->opts->ledger_dir,
		.origin = r->opts->origin};
	NX_AUTO(nx_archive) *archive = NULL;
	struct nx_keys_status status;
	nx_rc rc = nx_archive_open(&opts, &archive, err);

	if (rc)
		return rc;
	if (nx_archive_durable(archive) < r->m.group_seq)
		return nx_err_set(err, NX_E_CORRUPT,
			"groups end at %" PRIu64 ", the backup has %" PRIu64,
			nx_archive_durable(archive), r->m.group_seq);
	nx_keys_status(r->keys, &status);
	r->result->erased = status.n_erased;
	rc = note(r, archive, err);
	nx_archive_barrier(archive);
	if (!rc)
		rc = nx_ledger_flush(nx_archive_ledger(archive), err);
	if (!rc)
		rc = nx_ledger_verify(nx_archive_ledger(archive), &r->result->entries, err);
	return rc;
}

static nx_rc site_wake(struct restore *r, struct nx_err *err)
{
	const struct nx_cat_opts opts = {.path = r->opts->cat_path, .key = &r->cat_key};
	NX_AUTO(nx_cat) *cat = NULL;
	nx_rc rc = nx_cat_open(&opts, &cat, err);

	if (!rc)
		rc = archive_wake(r, cat, err);
	for (size_t i = 0; i < r->opts->n_new_places && !rc; i++)
		rc = nx_keys_place_add(r->keys, r->opts->new_places[i], err);
	return rc;
}

/* ---- all of it ---- */

static nx_rc backup_open(struct restore *r, struct nx_err *err)
{
	nx_rc rc = nx_keys_open(r->opts->keys, &r->keys, err);

	if (rc)
		return nx_err_prefix(err, rc, "keys");
	r->dir_fd = open(r->opts->backup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dir_fd < 0)
		return nx_err_errno(err, "open the backup");
	return manifest_read(r->dir_fd, r->keys, &r->m, &r->sums, err);
}

static nx_rc parts_open(struct restore *r, struct nx_err *err)
{
	nx_rc rc = backup_open(r, err);

	if (rc)
		return rc;
	if (r->opts->cat_key)
		r->cat_key = *r->opts->cat_key;
	else
		rc = nx_keys_site(r->keys, "catalog", &r->cat_key, err);
	if (!rc)
		rc = nx_pool_open(r->opts->pool_uri, &r->pool, err);
	return rc ? rc : targets_check(r, err);
}

static void restore_done(struct restore *r)
{
	nx_pool_free(r->pool);
	nx_keys_free(r->keys);
	nx_key_done(&r->cat_key);
	nx_fd_auto_(&r->dir_fd);
	nx_fd_auto_(&r->ledger_fd);
	nx_buf_done(&r->sums);
}

static nx_rc configs_restore(struct restore *r, struct nx_err *err)
{
	struct nx_slice rest = nx_buf_slice(&r->sums);
	struct sums_line line;
	nx_rc rc;

	while (!(rc = sums_next(&rest, &line, err))) {
		if (starts(line.path, "config/"))
			rc = config_restore(r, &line, err);
		if (rc)
			return rc;
	}
	return rc == NX_E_NOENT ? NX_OK : rc;
}

nx_rc nx_restore_files(
	const char *backup, const struct nx_keys_opts *keys, const char *dir, struct nx_err *err)
{
	const struct nx_restore_opts opts = {.backup = backup, .keys = keys, .files_dir = dir};
	struct restore r = {.opts = &opts, .dir_fd = -1, .ledger_fd = -1};
	nx_rc rc;

	nx_buf_init(&r.sums, BACKUP_SUMS_MAX, 0);
	rc = backup_open(&r, err);
	if (!rc)
		rc = configs_restore(&r, err);
	restore_done(&r);
	return rc ? nx_err_prefix(err, rc, "restore") : NX_OK;
}

nx_rc nx_restore_run(
	const struct nx_restore_opts *opts, struct nx_restore_result *ret, struct nx_err *err)
{
	struct nx_restore_result result = {.files = 0};
	struct restore r = {.opts = opts, .result = &result, .dir_fd = -1, .ledger_fd = -1};
	nx_rc rc;

	nx_buf_init(&r.sums, BACKUP_SUMS_MAX, 0);
	rc = parts_open(&r, err);
	if (!rc)
		rc = files_restore(&r, err);
	if (!rc)
		rc = site_wake(&r, err);
	restore_done(&r);
	if (rc)
		return nx_err_prefix(err, rc, "restore");
	memcpy(result.id, r.m.id, sizeof(result.id));
	result.time_us = r.m.time_us;
	result.group_seq = r.m.group_seq;
	*ret = result;
	return NX_OK;
}

/*
 * A backup beside ingest.  The order makes it consistent:
 *   1. the catalog, as of some group C
 *   2. the ledger's files, flushed after that: up to group L >= C
 *   3. the group S that is durable now, S >= L; everything of it and before it is in the packs
 *   4. the packs, each cut behind its last unit up to S
 * A restore replays C+1 .. S from the packs, for the ledger L+1 .. S.  Without the cut the copies
 * of two packs would end at different groups, and a gap in the numbers is damage, not an end.
 *
 * Nothing that an earlier backup names is written over: packs and configuration carry their hash in
 * the name, ledger tiles only ever get company, and the statement is replaced at the very end.
 */
#include "lifecycle/backup_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/progress.h"
#include "catalog/catalog.h"
#include "keys/keys.h"
#include "store/pool.h"

enum {
	ENTRY_ARENA = 1024 * 1024,
	OLD_ARENA = 256 * 1024 * 1024
};

struct old_pack {
	uint8_t sha[NX_SHA256_LEN];
	char path[48];
};

struct backup {
	struct nx_archive *archive;
	const struct nx_backup_opts *opts;
	struct nx_backup_result *result;
	int dir_fd;
	struct manifest m;
	struct manifest old;      /* ledger_entries 0 where there is none */
	struct nx_map *old_packs; /* pack id -> struct old_pack */
	struct nx_arena *arena;
	struct nx_buf sums;
};

/* ---- what is there ---- */

static nx_rc past_hash(
	struct nx_archive *a, uint64_t index, uint8_t ret[NX_SHA256_LEN], struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ENTRY_ARENA, 0);
	struct nx_entry entry;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a ledger entry");
	rc = nx_ledger_entry(nx_archive_ledger(a), index, arena, &entry, err);
	if (!rc)
		nx_sha256(entry.body.p, entry.body.n, ret);
	return rc;
}

/* After a restore the same numbers name other groups, tiles and packs. */
static nx_rc past_check(struct backup *b, struct nx_err *err)
{
	uint8_t sha[NX_SHA256_LEN];
	nx_rc rc = NX_E_NOENT;

	if (!b->old.ledger_entries)
		return NX_OK;
	rc = past_hash(b->archive, b->old.ledger_entries - 1, sha, err);
	if (rc == NX_E_NOENT || (!rc && memcmp(sha, b->old.ledger_last, sizeof(sha)) != 0))
		return nx_err_set(err, NX_E_CONFLICT,
			"the backup there is of another past of this site: use a new directory");
	return rc;
}

static nx_rc old_packs_load(struct backup *b, struct nx_slice sums, struct nx_err *err)
{
	struct sums_line line;
	uint64_t pack;
	nx_rc rc;

	while (!(rc = sums_next(&sums, &line, err))) {
		struct old_pack *old;

		if (!backup_pack_of(line.path, &pack))
			continue;
		old = nx_arena_alloc(b->arena, sizeof(*old));
		if (!old ||
			(size_t)snprintf(old->path, sizeof(old->path), "%s", line.path) >=
				sizeof(old->path))
			return nx_err_set(err, NX_E_NOMEM, "no memory for the earlier packs");
		memcpy(old->sha, line.sha, sizeof(old->sha));
		if (!nx_map_put(b->old_packs, nx_slice(&pack, sizeof(pack)), old, NULL))
			return nx_err_set(err, NX_E_NOMEM, "no memory for the earlier packs");
	}
	return rc == NX_E_NOENT ? NX_OK : rc;
}

static nx_rc old_load(struct backup *b, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) sums;
	nx_rc rc;

	nx_buf_init(&sums, BACKUP_SUMS_MAX, 0);
	rc = manifest_read(b->dir_fd, nx_archive_keys(b->archive), &b->old, &sums, err);
	if (rc == NX_E_NOENT)
		return NX_OK;
	if (rc == NX_E_CORRUPT) /* another site's, or damaged: not ours to write over */
		return nx_err_set(err, NX_E_CONFLICT, "the backup there is not one of this site");
	if (!rc)
		rc = past_check(b, err);
	return rc ? rc : old_packs_load(b, nx_buf_slice(&sums), err);
}

/* ---- catalog and ledger ---- */

static nx_rc catalog_copy(struct backup *b, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) site = {{0}};
	const struct nx_key *key = b->opts->cat_key;
	uint8_t sha[NX_SHA256_LEN];
	char name[64], path[4096];
	uint64_t len = 0;
	nx_rc rc = NX_OK;

	(void)snprintf(name, sizeof(name), "catalog-%s.db", b->m.id);
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", b->opts->dir, name) >= sizeof(path))
		return nx_err_set(err, NX_E_INVAL, "path of the backup is too long");
	if (!key) {
		rc = nx_keys_site(nx_archive_keys(b->archive), "catalog", &site, err);
		key = &site;
	}
	if (!rc)
		rc = nx_cat_backup(nx_archive_cat(b->archive), path, key, err);
	if (!rc)
		rc = file_pour(b->dir_fd, name, NULL, sha, &len, err);
	if (rc)
		return rc;
	sums_put(&b->sums, sha, name);
	b->result->bytes += len;
	b->result->bytes_copied += len;
	return NX_OK;
}

static nx_rc ledger_file(void *payload, const char *path, struct nx_err *err)
{
	struct backup *b = payload;
	uint8_t sha[NX_SHA256_LEN];
	char at[BACKUP_PATH_MAX];
	uint64_t len = 0;
	nx_rc rc;

	(void)snprintf(at, sizeof(at), "ledger/%s", path);
	rc = file_pour(b->dir_fd, at, NULL, sha, &len, err);
	if (rc)
		return rc;
	sums_put(&b->sums, sha, at);
	b->result->bytes += len;
	return NX_OK;
}

static nx_rc ledger_copy(struct backup *b, struct nx_err *err)
{
	char dir[4096];
	struct nx_ledger_copy copy = {.entries = 0};
	uint64_t durable;
	nx_rc rc;

	if ((size_t)snprintf(dir, sizeof(dir), "%s/ledger", b->opts->dir) >= sizeof(dir))
		return nx_err_set(err, NX_E_INVAL, "path of the backup is too long");
	rc = nx_ledger_backup(nx_archive_ledger(b->archive), dir, b->old.ledger_entries,
		ledger_file, b, &copy, err);
	b->m.ledger_entries = copy.entries;
	if (!rc && copy.entries)
		rc = past_hash(b->archive, copy.entries - 1, b->m.ledger_last, err);
	/* A group is durable a moment before it is counted so. */
	durable = nx_archive_durable(b->archive);
	b->m.group_seq = copy.group_seq > durable ? copy.group_seq : durable;
	return rc;
}

/* ---- packs ---- */

static nx_rc pack_pour(struct backup *b, uint64_t pack, uint64_t len, int *fd,
	uint8_t ret_sha[NX_SHA256_LEN], struct nx_err *err)
{
	NX_AUTO(nx_sha256) *sha = nx_sha256_new();
	uint8_t *chunk = nx_aligned_get(BACKUP_CHUNK);
	nx_rc rc = NX_OK;

	if (!sha || !chunk)
		rc = nx_err_set(err, NX_E_NOMEM, "no memory to copy a pack");
	for (uint64_t off = 0; off < len && !rc; off += BACKUP_CHUNK) {
		size_t n = len - off < BACKUP_CHUNK ? (size_t)(len - off) : BACKUP_CHUNK;

		rc = nx_pool_read(nx_archive_pool(b->archive), pack, off, chunk, n, err);
		if (!rc)
			nx_sha256_update(sha, chunk, n);
		if (!rc && fd)
			rc = sink_fd(fd, chunk, n, off, err);
		if (!rc)
			rc = nx_progress_add(b->opts->progress, n, err);
	}
	if (chunk)
		nx_aligned_put(chunk, BACKUP_CHUNK);
	if (!rc)
		nx_sha256_final(sha, ret_sha);
	return rc;
}

/* The copy of an earlier backup serves when it is as long and, unless the pack cannot have changed
 * since, hashes alike. */
static nx_rc pack_kept(struct backup *b, uint64_t pack, const struct nx_pack_cut *cut, bool *ret,
	struct nx_err *err)
{
	const struct old_pack *old = nx_map_get(b->old_packs, nx_slice(&pack, sizeof(pack)));
	uint8_t sha[NX_SHA256_LEN];
	struct stat st;
	nx_rc rc = NX_OK;

	*ret = false;
	if (!old || fstatat(b->dir_fd, old->path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		(uint64_t)st.st_size != cut->len)
		return NX_OK;
	memcpy(sha, old->sha, sizeof(sha));
	if (cut->final)
		rc = nx_progress_add(b->opts->progress, cut->len, err);
	else
		rc = pack_pour(b, pack, cut->len, NULL, sha, err);
	*ret = !rc && memcmp(sha, old->sha, sizeof(sha)) == 0;
	if (*ret)
		sums_put(&b->sums, old->sha, old->path);
	return rc;
}

static nx_rc pack_write(struct backup *b, uint64_t pack, uint64_t len, struct nx_err *err)
{
	char tmp[48], path[BACKUP_PATH_MAX], sum[2 * BACKUP_NAME_SUM + 1];
	uint8_t sha[NX_SHA256_LEN];
	NX_AUTO_FD fd = -1;
	nx_rc rc;

	(void)snprintf(tmp, sizeof(tmp), "packs/%016" PRIx64 ".tmp", pack);
	fd = openat(b->dir_fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		(mode_t)0600);
	if (fd < 0)
		return nx_err_errno(err, "create copy of a pack");
	rc = pack_pour(b, pack, len, &fd, sha, err);
	if (!rc && fsync(fd) < 0)
		rc = nx_err_errno(err, "sync copy");
	if (rc)
		return rc;
	nx_hex_format(sha, BACKUP_NAME_SUM, sum);
	(void)snprintf(path, sizeof(path), "packs/%016" PRIx64 "-%s.nxp", pack, sum);
	if (renameat(b->dir_fd, tmp, b->dir_fd, path) < 0)
		return nx_err_errno(err, "rename copy");
	sums_put(&b->sums, sha, path);
	b->result->packs_copied++;
	b->result->bytes_copied += len;
	return NX_OK;
}

struct pack_walk {
	struct backup *b;
	struct nx_err *err;
	uint64_t total;
};

static nx_rc pack_copy(void *payload, nx_pack_id pack)
{
	struct pack_walk *w = payload;
	struct backup *b = w->b;
	struct nx_pack_cut cut;
	bool kept = false;
	nx_rc rc = nx_archive_pack_cut(b->archive, pack, b->m.group_seq, &cut, w->err);

	if (!rc && !cut.len)
		return NX_OK;
	if (!rc)
		rc = pack_kept(b, pack, &cut, &kept, w->err);
	if (!rc && !kept)
		rc = pack_write(b, pack, cut.len, w->err);
	if (rc)
		return nx_err_prefix(w->err, rc, "pack %" PRIu64, pack);
	b->result->packs++;
	b->result->bytes += cut.len;
	return nx_buf_check(&b->sums, w->err);
}

static nx_rc dir_make(int dir_fd, const char *name, struct nx_err *err)
{
	if (mkdirat(dir_fd, name, 0700) < 0 && errno != EEXIST)
		return nx_err_errno(err, "make directory %s", name);
	return NX_OK;
}

static nx_rc pack_measure(void *payload, nx_pack_id pack)
{
	struct pack_walk *w = payload;
	uint64_t size;
	nx_rc rc = nx_pool_size(nx_archive_pool(w->b->archive), pack, &size, w->err);

	w->total += rc ? 0 : size;
	return rc;
}

static nx_rc packs_copy(struct backup *b, struct nx_err *err)
{
	struct pack_walk walk = {b, err, 0};
	nx_rc rc = dir_make(b->dir_fd, "packs", err);

	if (!rc)
		rc = nx_pool_list(nx_archive_pool(b->archive), pack_measure, &walk, err);
	nx_progress_total(b->opts->progress, walk.total);
	if (!rc)
		rc = nx_pool_list(nx_archive_pool(b->archive), pack_copy, &walk, err);
	return rc ? rc : dir_sync(b->dir_fd, "packs", err);
}

/* ---- configuration ---- */

static nx_rc config_seal(struct backup *b, const char *file, const char *name, struct nx_buf *out,
	struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) key = {{0}};
	NX_AUTO_DONE(nx_buf) plain;
	uint8_t *to;
	nx_rc rc = nx_keys_site(nx_archive_keys(b->archive), BACKUP_SEAL, &key, err);

	nx_buf_init(&plain, BACKUP_CONFIG_MAX, NX_BUF_WIPE);
	if (!rc)
		rc = nx_file_read(AT_FDCWD, file, &plain, err);
	if (rc)
		return nx_err_prefix(err, rc, "configuration file");
	to = nx_buf_reserve(out, plain.len + NX_SEAL_OVERHEAD);
	if (!to)
		return nx_buf_check(out, err);
	rc = nx_seal(&key, nx_slice_str(name), plain.data, plain.len, to, err);
	if (!rc)
		out->len += plain.len + NX_SEAL_OVERHEAD;
	return rc;
}

static nx_rc config_copy(struct backup *b, const char *file, struct nx_err *err)
{
	const char *slash = strrchr(file, '/');
	const char *name = slash ? slash + 1 : file;
	char path[BACKUP_PATH_MAX], sum[2 * BACKUP_NAME_SUM + 1];
	uint8_t sha[NX_SHA256_LEN];
	NX_AUTO_DONE(nx_buf) sealed;
	nx_rc rc;

	nx_buf_init(&sealed, BACKUP_CONFIG_MAX + NX_SEAL_OVERHEAD, 0);
	rc = config_seal(b, file, name, &sealed, err);
	if (rc)
		return rc;
	nx_sha256(sealed.data, sealed.len, sha);
	nx_hex_format(sha, BACKUP_NAME_SUM, sum);
	if ((size_t)snprintf(path, sizeof(path), "config/%s-%s", name, sum) >= sizeof(path))
		return nx_err_set(err, NX_E_INVAL, "name of a configuration file is too long");
	rc = nx_file_replace(b->dir_fd, path, nx_buf_slice(&sealed), 0600, err);
	if (rc)
		return rc;
	sums_put(&b->sums, sha, path);
	b->result->bytes += sealed.len;
	b->result->bytes_copied += sealed.len;
	return NX_OK;
}

static nx_rc configs_copy(struct backup *b, struct nx_err *err)
{
	nx_rc rc = b->opts->n_files ? dir_make(b->dir_fd, "config", err) : NX_OK;

	for (size_t i = 0; i < b->opts->n_files && !rc; i++)
		rc = config_copy(b, b->opts->files[i], err);
	if (!rc && b->opts->n_files)
		rc = dir_sync(b->dir_fd, "config", err);
	return rc;
}

/* ---- the end ---- */

static nx_rc publish(struct backup *b, struct nx_err *err)
{
	char name[64];
	nx_rc rc = nx_buf_check(&b->sums, err);

	(void)snprintf(name, sizeof(name), "SHA256SUMS-%s", b->m.id);
	if (!rc)
		rc = nx_file_replace(b->dir_fd, name, nx_buf_slice(&b->sums), 0600, err);
	nx_sha256(b->sums.data, b->sums.len, b->m.sums_sha);
	return rc ? rc : manifest_write(b->dir_fd, nx_archive_keys(b->archive), &b->m, err);
}

struct sweep {
	int dir_fd;
	const char *id;
	struct nx_map *keep;
};

static bool starts(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

/* What only the earlier backup named; files that are not ours stay. */
static nx_rc sweep_file(void *payload, const char *path, struct nx_err *err)
{
	static const char *const ours[] = {
		"catalog-", "ledger/", "packs/", "config/", "SHA256SUMS-"};
	const struct sweep *s = payload;
	bool mine = false;

	for (size_t i = 0; i < NX_ARRAY_LEN(ours); i++)
		mine = mine || starts(path, ours[i]);
	if (!mine || nx_map_get(s->keep, nx_slice_str(path)) ||
		(starts(path, "SHA256SUMS-") && strcmp(path + 11, s->id) == 0))
		return NX_OK;
	return unlinkat(s->dir_fd, path, 0) < 0 && errno != ENOENT
		? nx_err_errno(err, "remove file of the earlier backup")
		: NX_OK;
}

static nx_rc sweep(struct backup *b, struct nx_err *err)
{
	NX_AUTO(nx_map) *keep = nx_map_new();
	struct sweep s = {b->dir_fd, b->m.id, keep};
	struct nx_slice rest = nx_buf_slice(&b->sums);
	struct sums_line line;
	nx_rc rc = keep ? NX_OK : NX_E_NOMEM;

	while (!rc && !(rc = sums_next(&rest, &line, err)))
		if (!nx_map_put(keep, nx_slice_str(line.path), b, NULL))
			rc = NX_E_NOMEM;
	return rc == NX_E_NOENT ? tree_walk(b->dir_fd, sweep_file, &s, err) : rc;
}

static nx_rc copy_all(struct backup *b, struct nx_err *err)
{
	nx_rc rc = old_load(b, err);

	if (!rc)
		rc = catalog_copy(b, err);
	if (!rc)
		rc = ledger_copy(b, err);
	if (!rc)
		rc = packs_copy(b, err);
	if (!rc)
		rc = configs_copy(b, err);
	if (!rc)
		rc = publish(b, err);
	return rc;
}

static nx_rc locked_run(struct backup *b, struct nx_err *err)
{
	NX_AUTO_FD lock =
		openat(b->dir_fd, "LOCK", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, (mode_t)0600);
	struct nx_err why = {.rc = NX_OK};
	nx_rc rc;

	if (lock < 0)
		return nx_err_errno(err, "lock the backup");
	if (flock(lock, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			? nx_err_set(err, NX_E_BUSY, "another backup is writing there")
			: nx_err_errno(err, "lock the backup");
	rc = copy_all(b, err);
	if (!rc && sweep(b, &why)) /* the backup is whole; what is left over costs only space */
		nx_log_err(NX_LOG_WARN, "lifecycle", "backup.sweep", &why);
	return rc;
}

/* Also of a first backup that did not come to its end. */
static bool is_ours(const char *name)
{
	static const char *const ours[] = {
		"catalog-", "ledger", "packs", "config", "SHA256SUMS-", BACKUP_STATEMENT, "LOCK"};
	bool is = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;

	for (size_t i = 0; i < NX_ARRAY_LEN(ours) && !is; i++)
		is = starts(name, ours[i]);
	return is;
}

/* What else is in the folder would be taken for part of the backup, by people and by tools. */
static nx_rc folder_check(const struct backup *b, struct nx_err *err)
{
	int fd = openat(b->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *ent;
	bool ours = true;

	if (!dir) {
		nx_rc rc = nx_err_errno(err, "list directory of the backup");

		nx_fd_auto_(&fd);
		return rc;
	}
	while (ours && (ent = readdir(dir)) != NULL) /* NOLINT(concurrency-mt-unsafe): own stream */
		ours = is_ours(ent->d_name);
	(void)closedir(dir);
	return ours || faccessat(b->dir_fd, BACKUP_STATEMENT, F_OK, 0) == 0
		? NX_OK
		: nx_err_set(err, NX_E_CONFLICT,
			  "the folder holds something else than a backup: use an empty one");
}

static nx_rc opened_run(struct backup *b, struct nx_err *err)
{
	uint8_t id[NX_BACKUP_ID_LEN / 2];
	nx_rc rc = nx_mkdirs(b->opts->dir, err);

	if (rc)
		return nx_err_prefix(err, rc, "backup");
	b->dir_fd = open(b->opts->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->dir_fd < 0)
		return nx_err_errno(err, "open directory of the backup");
	rc = folder_check(b, err);
	if (rc)
		return rc;
	b->old_packs = nx_map_new();
	b->arena = nx_arena_new(OLD_ARENA, 0);
	if (!b->old_packs || !b->arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a backup");
	nx_random(id, sizeof(id));
	nx_hex_format(id, sizeof(id), b->m.id);
	(void)snprintf(b->m.site, sizeof(b->m.site), "%s", b->opts->site);
	b->m.time_us = nx_now_us();
	return locked_run(b, err);
}

static nx_rc note(struct backup *b, const struct nx_principal *who, const char *what, nx_rc outcome,
	struct nx_err *err)
{
	NX_AUTO_DONE(nx_detail) detail;

	nx_detail_begin(&detail);
	nx_json_kv_str(&detail.json, "what", what);
	if (b->m.id[0])
		nx_json_kv_str(&detail.json, "backup", b->m.id);
	nx_json_kv_uint(&detail.json, "group", b->m.group_seq);
	nx_json_kv_uint(&detail.json, "packs", b->result->packs);
	nx_json_kv_uint(&detail.json, "bytes", b->result->bytes);
	if (outcome)
		nx_json_kv_str(&detail.json, "error", nx_rc_wire(outcome));
	return trail_record(b->archive, who, NX_ACTION_BACKUP,
		outcome ? NX_OUTCOME_SERIOUS : NX_OUTCOME_OK, &detail, err);
}

nx_rc nx_backup_run(struct nx_archive *archive, const struct nx_principal *who,
	const struct nx_backup_opts *opts, struct nx_backup_result *ret, struct nx_err *err)
{
	struct nx_backup_result result = {.packs = 0};
	struct backup b = {.archive = archive, .opts = opts, .result = &result, .dir_fd = -1};
	struct nx_err why;
	nx_rc rc = trail_guard(archive, who, NX_PERM_ADMIN, NULL, "backup", err);

	if (rc)
		return rc;
	nx_buf_init(&b.sums, BACKUP_SUMS_MAX, 0);
	rc = note(&b, who, "begin", NX_OK, err);
	if (!rc)
		rc = opened_run(&b, err);
	if (!rc)
		rc = note(&b, who, "end", NX_OK, err);
	else if (note(&b, who, "end", rc, &why))
		nx_log_err(NX_LOG_ERROR, "lifecycle", "ledger.record", &why);
	nx_fd_auto_(&b.dir_fd);
	nx_buf_done(&b.sums);
	nx_map_free(b.old_packs);
	nx_arena_free(b.arena);
	if (rc)
		return rc;
	memcpy(result.id, b.m.id, sizeof(result.id));
	result.group_seq = b.m.group_seq;
	result.ledger_entries = b.m.ledger_entries;
	*ret = result;
	return NX_OK;
}

nx_rc nx_backup_keys(struct nx_archive *archive, const struct nx_principal *who, const char *dir,
	struct nx_err *err)
{
	NX_AUTO_DONE(nx_detail) detail;
	nx_rc rc = trail_guard(archive, who, NX_PERM_ADMIN, NULL, "keys.place", err);

	nx_detail_begin(&detail);
	nx_json_kv_str(&detail.json, "what", "key place added");
	if (!rc)
		rc = trail_record(
			archive, who, NX_ACTION_CONFIG_CHANGE, NX_OUTCOME_OK, &detail, err);
	return rc ? rc : nx_keys_place_add(nx_archive_keys(archive), dir, err);
}

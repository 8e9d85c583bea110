#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/file.h"
#include "lifecycle/backup_priv.h"
#include "store/pool.h"

enum {
	STATEMENT_MAX = 64 * 1024,
	SHA_HEX = 2 * NX_SHA256_LEN,
	TREE_DEPTH = 16
};

/* ---- the statement ---- */

static void sums_name(const char *id, char ret[64])
{
	(void)snprintf(ret, 64, "SHA256SUMS-%s", id);
}

static void statement_put(const struct manifest *m, struct nx_buf *out)
{
	char when[NX_TIME_TEXT];
	struct nx_json json;

	nx_time_format(m->time_us, when);
	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "format", BACKUP_CONTEXT);
	nx_json_kv_str(&json, "id", m->id);
	nx_json_kv_str(&json, "site", m->site);
	nx_json_kv_str(&json, "time", when);
	nx_json_kv_int(&json, "time_us", m->time_us);
	nx_json_kv_uint(&json, "group_seq", m->group_seq);
	nx_json_kv_uint(&json, "ledger_entries", m->ledger_entries);
	nx_json_kv_hex(&json, "ledger_last", m->ledger_last, NX_SHA256_LEN);
	nx_json_kv_hex(&json, "sums_sha256", m->sums_sha, NX_SHA256_LEN);
	nx_json_object_end(&json);
}

nx_rc manifest_write(int dir_fd, struct nx_keys *keys, const struct manifest *m, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) statement;
	NX_AUTO_DONE(nx_buf) text;
	nx_rc rc;

	nx_buf_init(&statement, STATEMENT_MAX, 0);
	nx_buf_init(&text, STATEMENT_MAX, 0);
	statement_put(m, &statement);
	rc = nx_buf_check(&statement, err);
	if (!rc)
		rc = statement_sign(
			keys, BACKUP_SIGN, BACKUP_CONTEXT, nx_buf_slice(&statement), &text, err);
	return rc ? rc : nx_file_replace(dir_fd, BACKUP_STATEMENT, nx_buf_slice(&text), 0600, err);
}

static bool text_get(const json_t *o, const char *key, char *ret, size_t cap)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && (size_t)snprintf(ret, cap, "%s", s) < cap;
}

static bool number_get(const json_t *o, const char *key, uint64_t *ret)
{
	const json_t *v = json_object_get(o, key);

	*ret = (uint64_t)json_integer_value(v);
	return json_is_integer(v) && json_integer_value(v) >= 0;
}

static bool sha_get(const json_t *o, const char *key, uint8_t ret[NX_SHA256_LEN])
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && nx_hex_parse(s, ret, NX_SHA256_LEN);
}

static nx_rc statement_parse(struct nx_slice statement, struct manifest *ret, struct nx_err *err)
{
	json_t *o = json_loadb((const char *)statement.p, statement.n, 0, NULL);
	char format[32];
	uint64_t time_us = 0;
	bool good = o && text_get(o, "format", format, sizeof(format)) &&
		strcmp(format, BACKUP_CONTEXT) == 0 &&
		text_get(o, "id", ret->id, sizeof(ret->id)) &&
		strlen(ret->id) == NX_BACKUP_ID_LEN &&
		strspn(ret->id, "0123456789abcdef") == NX_BACKUP_ID_LEN &&
		text_get(o, "site", ret->site, sizeof(ret->site)) &&
		number_get(o, "time_us", &time_us) && number_get(o, "group_seq", &ret->group_seq) &&
		number_get(o, "ledger_entries", &ret->ledger_entries) &&
		sha_get(o, "ledger_last", ret->ledger_last) &&
		sha_get(o, "sums_sha256", ret->sums_sha);

	json_decref(o);
	ret->time_us = (int64_t)time_us;
	return good ? NX_OK : nx_err_set(err, NX_E_CORRUPT, "backup statement does not parse");
}

static nx_rc sums_read(
	int dir_fd, const struct manifest *m, struct nx_buf *sums, struct nx_err *err)
{
	uint8_t sha[NX_SHA256_LEN];
	char name[64];
	nx_rc rc;

	sums_name(m->id, name);
	rc = nx_file_read(dir_fd, name, sums, err);
	if (rc == NX_E_NOENT)
		return nx_err_set(err, NX_E_CORRUPT, "the backup has lost its list of files");
	if (rc)
		return nx_err_prefix(err, rc, "%s", name);
	nx_sha256(sums->data, sums->len, sha);
	if (memcmp(sha, m->sums_sha, sizeof(sha)) != 0)
		return nx_err_set(err, NX_E_CORRUPT, "%s is not the signed one", name);
	return NX_OK;
}

nx_rc manifest_read(int dir_fd, struct nx_keys *keys, struct manifest *ret, struct nx_buf *sums,
	struct nx_err *err)
{
	struct manifest m = {.time_us = 0};
	struct nx_slice statement = {0};
	NX_AUTO_DONE(nx_buf) text;
	nx_rc rc;

	nx_buf_init(&text, STATEMENT_MAX, 0);
	rc = nx_file_read(dir_fd, BACKUP_STATEMENT, &text, err);
	if (!rc)
		rc = statement_open(
			keys, BACKUP_SIGN, BACKUP_CONTEXT, nx_buf_slice(&text), &statement, err);
	if (!rc)
		rc = statement_parse(statement, &m, err);
	if (!rc)
		rc = sums_read(dir_fd, &m, sums, err);
	if (rc)
		return nx_err_prefix(err, rc, BACKUP_STATEMENT);
	*ret = m;
	return NX_OK;
}

/* ---- the list of files ---- */

void sums_put(struct nx_buf *sums, const uint8_t sha[NX_SHA256_LEN], const char *path)
{
	char hex[SHA_HEX + 1];

	nx_hex_format(sha, NX_SHA256_LEN, hex);
	nx_buf_printf(sums, "%s  %s\n", hex, path);
}

static bool path_good(const char *path)
{
	return path[0] && path[0] != '/' && !strstr(path, "..") && !strstr(path, "//");
}

bool backup_pack_of(const char *path, uint64_t *ret_pack)
{
	static const char folder[] = "packs/";
	const char *digits = path + sizeof(folder) - 1;
	uint64_t pack = 0;

	if (strncmp(path, folder, sizeof(folder) - 1) != 0)
		return false;
	for (size_t i = 0; i < 16; i++) {
		const int digit = nx_hex_digit(digits[i]);

		if (digit < 0)
			return false;
		pack = pack << 4 | (unsigned)digit;
	}
	*ret_pack = pack;
	return digits[16] == '-';
}

nx_rc sums_next(struct nx_slice *rest, struct sums_line *ret, struct nx_err *err)
{
	const uint8_t *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
	char hex[SHA_HEX + 1] = {0};
	size_t n, path_n;

	if (!rest->n)
		return NX_E_NOENT;
	n = end ? (size_t)(end - rest->p) : 0;
	path_n = n > SHA_HEX + 2 ? n - SHA_HEX - 2 : 0;
	if (!path_n || path_n >= BACKUP_PATH_MAX)
		return nx_err_set(err, NX_E_CORRUPT, "list of files: a line of %zu bytes", n);
	memcpy(hex, rest->p, SHA_HEX);
	memcpy(ret->path, rest->p + SHA_HEX + 2, path_n);
	ret->path[path_n] = 0;
	if (!nx_hex_parse(hex, ret->sha, NX_SHA256_LEN) ||
		memcmp(rest->p + SHA_HEX, "  ", 2) != 0 || !path_good(ret->path))
		return nx_err_set(err, NX_E_CORRUPT, "list of files: a line does not parse");
	*rest = nx_slice(rest->p + n + 1, rest->n - n - 1);
	return NX_OK;
}

/* ---- bytes ---- */

nx_rc file_pour(int dir_fd, const char *path, const struct sink *sink,
	uint8_t ret_sha[NX_SHA256_LEN], uint64_t *ret_len, struct nx_err *err)
{
	NX_AUTO_FD fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	NX_AUTO(nx_sha256) *sha = nx_sha256_new();
	uint8_t *chunk = nx_aligned_get(BACKUP_CHUNK);
	uint64_t off = 0;
	struct stat st;
	nx_rc rc = NX_OK;

	if (fd < 0 || fstat(fd, &st) < 0)
		rc = nx_err_errno(err, "open file of the backup");
	else if (!sha || !chunk)
		rc = nx_err_set(err, NX_E_NOMEM, "no memory to copy a file");
	while (!rc && off < (uint64_t)st.st_size) {
		uint64_t left = (uint64_t)st.st_size - off;
		size_t n = left < BACKUP_CHUNK ? (size_t)left : BACKUP_CHUNK;

		rc = nx_pread_full(fd, chunk, n, off, err);
		if (!rc)
			nx_sha256_update(sha, chunk, n);
		if (!rc && sink)
			rc = sink->put(sink->payload, chunk, n, off, err);
		off += n;
	}
	if (chunk)
		nx_aligned_put(chunk, BACKUP_CHUNK);
	if (rc)
		return nx_err_prefix(err, rc, "%s", path);
	nx_sha256_final(sha, ret_sha);
	*ret_len = off;
	return NX_OK;
}

static bool zeros(const uint8_t *p, size_t n)
{
	return n && p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

nx_rc sink_fd(void *payload, const uint8_t *p, size_t n, uint64_t off, struct nx_err *err)
{
	int fd = *(const int *)payload;

	if (!zeros(p, n))
		return nx_pwrite_full(fd, p, n, off, err);
	return ftruncate(fd, (off_t)(off + n)) < 0 ? nx_err_errno(err, "extend file") : NX_OK;
}

nx_rc dir_sync(int dir_fd, const char *path, struct nx_err *err)
{
	NX_AUTO_FD fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return nx_err_errno(err, "sync directory %s", path);
	return NX_OK;
}

/* ---- the tree ---- */

struct walk {
	int dir_fd;
	nx_rc (*fn)(void *payload, const char *path, struct nx_err *err);
	void *payload;
};

static nx_rc walk_at(const struct walk *w, const char *path, unsigned depth, struct nx_err *err)
{
	int fd = openat(w->dir_fd, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *ent;
	nx_rc rc = NX_OK;

	if (!dir) {
		rc = nx_err_errno(err, "list directory");
		nx_fd_auto_(&fd);
		return rc;
	}
	if (depth > TREE_DEPTH)
		rc = nx_err_set(err, NX_E_LIMIT, "directories deeper than %d", TREE_DEPTH);
	while (!rc &&
		(ent = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): own stream */
		char at[BACKUP_PATH_MAX];
		struct stat st;

		if (strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0)
			continue;
		if ((size_t)snprintf(at, sizeof(at), "%s%s%s", path, *path ? "/" : "",
			    ent->d_name) >= sizeof(at))
			continue; /* not a name of ours */
		if (fstatat(w->dir_fd, at, &st, AT_SYMLINK_NOFOLLOW) < 0)
			rc = nx_err_errno(err, "stat file of the backup");
		else if (S_ISDIR(st.st_mode))
			rc = walk_at(w, at, depth + 1, err);
		else
			rc = w->fn(w->payload, at, err);
	}
	(void)closedir(dir);
	return rc;
}

nx_rc tree_walk(int dir_fd, nx_rc (*fn)(void *payload, const char *path, struct nx_err *err),
	void *payload, struct nx_err *err)
{
	const struct walk w = {dir_fd, fn, payload};

	return walk_at(&w, "", 0, err);
}

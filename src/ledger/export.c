#include "ledger/ledger_priv.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/enc.h"
#include "base/file.h"

enum {
	EXPORT_CHUNK = 1u << 20
};

struct export
{
	struct nx_ledger *ledger;
	struct nx_fileset files;
	struct nx_buf buf;
};

static nx_rc tile_copy(
	struct export *ex, unsigned level, uint64_t number, unsigned width, struct nx_err *err)
{
	char path[PATH_LEN];
	nx_rc rc;

	nx_buf_clear(&ex->buf);
	rc = nx_tile_read(ex->ledger->dir_fd, level, number, width, &ex->buf, err);
	if (rc)
		return rc;
	nx_tile_path(level, number, width, path);
	return nx_fileset_write(&ex->files, path, nx_buf_slice(&ex->buf), err);
}

/* Full tiles from what `from` entries have to what `to` entries have. */
static nx_rc full_copy(struct export *ex, uint64_t from, uint64_t to, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (unsigned level = 0; level < TILE_LEVELS; level++) {
		uint64_t end = nx_edge_number(to, level);

		for (uint64_t i = nx_edge_number(from, level); i < end && !rc; i++) {
			rc = tile_copy(ex, level, i, 0, err);
			if (!rc && level == 0)
				rc = tile_copy(ex, LEVEL_ENTRIES, i, 0, err);
		}
	}
	return rc;
}

/* Partial tiles of `size` entries that are not those of `from` already. */
static nx_rc partial_copy(struct export *ex, uint64_t from, uint64_t size, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (unsigned level = 0; level < TILE_LEVELS && !rc; level++) {
		unsigned width = nx_edge_width(size, level);

		if (!width || size >> (8 * level) == from >> (8 * level))
			continue;
		rc = tile_copy(ex, level, nx_edge_number(size, level), width, err);
		if (!rc && level == 0)
			rc = tile_copy(ex, LEVEL_ENTRIES, nx_edge_number(size, 0), width, err);
	}
	return rc;
}

/* "<tag in hexadecimal> <count> <last>\n", ascending. */
static void head_line(struct nx_buf *buf, const struct nx_bucket_head *head)
{
	char hex[2 * NX_TAG_LEN + 1];

	nx_hex_format(head->tag, NX_TAG_LEN, hex);
	nx_buf_printf(buf, "%s %llu %llu\n", hex, (unsigned long long)head->flushed.count,
		(unsigned long long)head->flushed.last);
}

static nx_rc map_write(struct export *ex, int fd, struct nx_err *err)
{
	NX_AUTO_DONE(nx_snapshot) snap = {0};
	NX_AUTO_DONE(nx_bucket) bucket = {0};
	uint64_t off = 0;
	nx_rc rc = nx_heads_snapshot(ex->ledger, &snap, err);

	nx_buf_clear(&ex->buf);
	for (unsigned b = 0; b < MAP_BUCKETS && !rc; b++) {
		rc = nx_bucket_read(ex->ledger, &snap, (uint16_t)b, &bucket, err);
		for (size_t i = 0; i < bucket.n && !rc; i++)
			if (bucket.heads[i].flushed.count)
				head_line(&ex->buf, &bucket.heads[i]);
		if (rc || (ex->buf.len < EXPORT_CHUNK && b + 1 < MAP_BUCKETS))
			continue;
		rc = nx_buf_check(&ex->buf, err);
		if (!rc)
			rc = nx_pwrite_full(fd, ex->buf.data, ex->buf.len, off, err);
		off += ex->buf.len;
		nx_buf_clear(&ex->buf);
	}
	if (!rc && fsync(fd) < 0)
		rc = nx_err_errno(err, "sync tag map");
	return rc;
}

static nx_rc texts_write(struct export *ex, struct nx_err *err)
{
	struct nx_ledger *ledger = ex->ledger;
	NX_AUTO_FD fd = openat(ex->files.dir_fd, "map",
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, (mode_t)0600);
	nx_rc rc;

	if (fd < 0)
		return nx_err_errno(err, "create tag map");
	rc = map_write(ex, fd, err);
	if (rc)
		return rc;
	nx_buf_clear(&ex->buf);
	nx_ledger_verifier_key(ledger, &ex->buf);
	nx_buf_put_str(&ex->buf, "\n");
	rc = nx_buf_check(&ex->buf, err);
	if (!rc)
		rc = nx_fileset_write(&ex->files, "key", nx_buf_slice(&ex->buf), err);
	if (!rc)
		rc = nx_fileset_write(
			&ex->files, "checkpoint", nx_slice(ledger->note, ledger->note_len), err);
	return rc;
}

/* Caller holds flush_lock. */
static nx_rc export_end(struct export *ex, uint64_t copied, struct nx_err *err)
{
	nx_rc rc = nx_flush_locked(ex->ledger, err);

	if (!rc)
		rc = full_copy(ex, copied, ex->ledger->durable, err);
	if (!rc)
		rc = partial_copy(ex, 0, ex->ledger->durable, err);
	return rc ? rc : texts_write(ex, err);
}

static nx_rc export_run(struct export *ex, struct nx_err *err)
{
	uint64_t size, group;
	nx_rc rc;

	/* Full tiles never change: most is copied beside commits and flushes. */
	nx_ledger_durable(ex->ledger, &size, &group);
	rc = full_copy(ex, 0, size, err);
	if (rc)
		return rc;
	(void)pthread_mutex_lock(&ex->ledger->flush_lock);
	rc = export_end(ex, size, err);
	(void)pthread_mutex_unlock(&ex->ledger->flush_lock);
	return rc ? rc : nx_fileset_sync(&ex->files, err);
}

/* ---- backup ---- */

struct backup {
	struct export ex;
	nx_rc (*fn)(void *payload, const char *path, struct nx_err *err);
	void *payload;
};

static nx_rc name_tile(
	struct backup *b, unsigned level, uint64_t number, unsigned width, struct nx_err *err)
{
	char path[PATH_LEN];
	nx_rc rc;

	nx_tile_path(level, number, width, path);
	rc = b->fn(b->payload, path, err);
	if (rc || level)
		return rc;
	nx_tile_path(LEVEL_ENTRIES, number, width, path);
	return b->fn(b->payload, path, err);
}

/* Named by size, so that the one of an earlier copy stays. */
static void state_name(uint64_t size, char ret[PATH_LEN])
{
	(void)snprintf(ret, PATH_LEN, "state-%llu", (unsigned long long)size);
}

static nx_rc names_call(struct backup *b, uint64_t size, struct nx_err *err)
{
	char state[PATH_LEN];
	nx_rc rc;

	state_name(size, state);
	rc = b->fn(b->payload, state, err);
	for (unsigned level = 0; level < TILE_LEVELS && !rc; level++) {
		unsigned width = nx_edge_width(size, level);
		uint64_t end = nx_edge_number(size, level);

		for (uint64_t i = 0; i < end && !rc; i++)
			rc = name_tile(b, level, i, 0, err);
		if (!rc && width)
			rc = name_tile(b, level, end, width, err);
	}
	return rc;
}

/* `state` names the moment; caller holds flush_lock. */
static nx_rc backup_end(struct export *ex, uint64_t from, uint64_t copied, uint64_t *ret_size,
	uint64_t *ret_group, struct nx_err *err)
{
	struct nx_ledger *ledger = ex->ledger;
	nx_rc rc = nx_flush_locked(ledger, err);

	if (!rc)
		rc = full_copy(ex, copied, ledger->durable, err);
	if (!rc)
		rc = partial_copy(ex, from, ledger->durable, err);
	nx_buf_clear(&ex->buf);
	if (!rc)
		rc = nx_file_read(ledger->dir_fd, "state", &ex->buf, err);
	nx_ledger_durable(ledger, ret_size, ret_group);
	return rc;
}

static nx_rc backup_run(
	struct backup *b, uint64_t from, struct nx_ledger_copy *ret, struct nx_err *err)
{
	struct nx_ledger *ledger = b->ex.ledger;
	uint64_t size, group;
	char state[PATH_LEN];
	nx_rc rc;

	nx_ledger_durable(ledger, &size, &group);
	rc = full_copy(&b->ex, from, size, err);
	if (rc)
		return rc;
	(void)pthread_mutex_lock(&ledger->flush_lock);
	rc = backup_end(&b->ex, from, size, &size, &group, err);
	(void)pthread_mutex_unlock(&ledger->flush_lock);
	state_name(size, state);
	if (!rc)
		rc = nx_file_replace(
			b->ex.files.dir_fd, state, nx_buf_slice(&b->ex.buf), 0600, err);
	if (!rc)
		rc = nx_fileset_sync(&b->ex.files, err);
	if (!rc)
		rc = names_call(b, size, err);
	if (rc)
		return rc;
	*ret = (struct nx_ledger_copy){.entries = size, .group_seq = group};
	return NX_OK;
}

nx_rc nx_ledger_backup(struct nx_ledger *ledger, const char *dir, uint64_t from,
	nx_rc (*fn)(void *payload, const char *path, struct nx_err *err), void *payload,
	struct nx_ledger_copy *ret, struct nx_err *err)
{
	struct backup b = {.ex = {.ledger = ledger}, .fn = fn, .payload = payload};
	NX_AUTO_FD fd = -1;
	nx_rc rc = nx_mkdirs(dir, err);

	if (rc)
		return nx_err_prefix(err, rc, "ledger copy");
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return nx_err_errno(err, "open directory of the ledger copy");
	nx_fileset_init(&b.ex.files, fd);
	nx_buf_init(&b.ex.buf, BUNDLE_MAX, 0);
	rc = backup_run(&b, from, ret, err);
	nx_fileset_done(&b.ex.files);
	nx_buf_done(&b.ex.buf);
	return rc ? nx_err_prefix(err, rc, "ledger copy") : NX_OK;
}

nx_rc nx_ledger_export(struct nx_ledger *ledger, const char *dir, struct nx_err *err)
{
	struct export ex = {.ledger = ledger};
	NX_AUTO_FD fd = -1;
	nx_rc rc = nx_mkdirs(dir, err);

	if (rc)
		return nx_err_prefix(err, rc, "ledger export");
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return nx_err_errno(err, "open export directory");
	nx_fileset_init(&ex.files, fd);
	nx_buf_init(&ex.buf, BUNDLE_MAX, 0);
	rc = export_run(&ex, err);
	nx_fileset_done(&ex.files);
	nx_buf_done(&ex.buf);
	return rc ? nx_err_prefix(err, rc, "ledger export") : NX_OK;
}

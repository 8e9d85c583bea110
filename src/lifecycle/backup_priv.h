/*
 * backup_priv.h - the files of a backup, and the manifest that names them.
 *
 * Layer:   3 (lifecycle), private.
 * Threads: one thread at a time.
 * PHI:     none.
 *
 *   backup.json             signed statement: what the copy is; replaced last
 *   SHA256SUMS-<id>         every other file, as sha256sum -c reads it
 *   catalog-<id>.db         pages encrypted under the catalog key
 *   ledger/...              tiles, bundles, state
 *   packs/<pack>-<sum>.nxp  16 digits each: a pack cut at the copy's group
 *   config/<name>-<sum>     sealed under the site key "backup"
 */
#ifndef NX_LIFECYCLE_BACKUP_PRIV_H
#define NX_LIFECYCLE_BACKUP_PRIV_H

#include "base/buf.h"
#include "base/slice.h"
#include "crypto/crypto.h"
#include "lifecycle/backup.h"
#include "lifecycle/trail_priv.h"

#define BACKUP_STATEMENT "backup.json"
#define BACKUP_SIGN      "backup-sign"
#define BACKUP_CONTEXT   "narthex-backup/1"
#define BACKUP_SEAL      "backup"

enum {
	BACKUP_PATH_MAX = 256, /* within the backup */
	BACKUP_CONFIG_MAX = 4 * 1024 * 1024,
	BACKUP_SUMS_MAX = 1024 * 1024 * 1024,
	BACKUP_CHUNK = 1024 * 1024,
	BACKUP_NAME_SUM = 8, /* bytes of a hash that stand in a file's name */
};

struct manifest {
	char id[NX_BACKUP_ID_LEN + 1];
	char site[NX_LIMIT_NAME + 1];
	int64_t time_us;
	uint64_t group_seq;
	uint64_t ledger_entries;
	uint8_t ledger_last[NX_SHA256_LEN]; /* of the last entry's sealed body: one past, one value
					     */
	uint8_t sums_sha[NX_SHA256_LEN];
};

NX_NODISCARD nx_rc manifest_write(
	int dir_fd, struct nx_keys *keys, const struct manifest *m, struct nx_err *err);
/* NX_E_NOENT: no backup there.  `sums` gets the list, checked against the statement. */
NX_NODISCARD nx_rc manifest_read(int dir_fd, struct nx_keys *keys, struct manifest *ret,
	struct nx_buf *sums, struct nx_err *err);

struct sums_line {
	uint8_t sha[NX_SHA256_LEN];
	char path[BACKUP_PATH_MAX];
};
void sums_put(struct nx_buf *sums, const uint8_t sha[NX_SHA256_LEN], const char *path);
/* NX_E_NOENT at the end.  Paths are relative and do not climb. */
NX_NODISCARD nx_rc sums_next(struct nx_slice *rest, struct sums_line *ret, struct nx_err *err);
/* Of which pack the file is a copy: "packs/", 16 digits, "-". */
bool backup_pack_of(const char *path, uint64_t *ret_pack);

/* Running copy of bytes into a file. */
struct sink {
	nx_rc (*put)(void *payload, const uint8_t *p, size_t n, uint64_t off, struct nx_err *err);
	void *payload;
};
/* Read a file from its start to its end, hash it, and give it to `sink` (NULL: hash only). */
NX_NODISCARD nx_rc file_pour(int dir_fd, const char *path, const struct sink *sink,
	uint8_t ret_sha[NX_SHA256_LEN], uint64_t *ret_len, struct nx_err *err);
/* A sink that writes to the file descriptor at `payload`; runs of zeros become holes. */
NX_NODISCARD nx_rc sink_fd(
	void *payload, const uint8_t *p, size_t n, uint64_t off, struct nx_err *err);
/* The files of a directory tree within `dir_fd`, without the leading "./". */
NX_NODISCARD nx_rc tree_walk(int dir_fd,
	nx_rc (*fn)(void *payload, const char *path, struct nx_err *err), void *payload,
	struct nx_err *err);
NX_NODISCARD nx_rc dir_sync(int dir_fd, const char *path, struct nx_err *err);

#endif

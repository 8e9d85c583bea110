/*
 * backup.h - copies of a site while it runs, and sites made from copies.
 *
 * Layer:   3 (lifecycle).  Uses archive, catalog, keys, ledger, store, access.
 * Threads: safe; one backup at a time into one directory.
 * PHI:     none in the clear: a backup is ciphertext throughout.
 *
 * A backup (docs/formats/BACKUP.md) never holds keys.  A restore takes it together with one
 * surviving key place, and that place decides what can be read: what was erased since stays erased.
 */
#ifndef NX_LIFECYCLE_BACKUP_H
#define NX_LIFECYCLE_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct nx_archive;
struct nx_key;
struct nx_keys;
struct nx_keys_opts;
struct nx_principal;
struct nx_progress;

enum {
	NX_BACKUP_ID_LEN = 32 /* hexadecimal digits */
};

struct nx_backup_opts {
	const char *dir;              /* an earlier backup there is brought up to date */
	const char *site;             /* its name */
	const struct nx_key *cat_key; /* NULL: the site key "catalog" */
	const char *const *files;     /* configuration, certificates: taken along, sealed */
	size_t n_files;
	struct nx_progress *progress; /* bytes of packs; NULL */
};

struct nx_backup_result {
	char id[NX_BACKUP_ID_LEN + 1];
	uint64_t group_seq;      /* everything answered up to this group is in it */
	uint64_t ledger_entries; /* in the copied ledger files; later ones are in the packs */
	uint64_t packs;
	uint64_t packs_copied; /* the others were there from an earlier backup */
	uint64_t bytes;
	uint64_t bytes_copied;
};

/*
 * Needs NX_PERM_ADMIN.  Runs beside ingest.  The copy counts when it is complete: until then, and
 * when it fails, the earlier backup in the directory stays whole.  NX_E_BUSY: another backup is
 * writing there; NX_E_CONFLICT: what is there is of another site or another past of this one.
 */
NX_NODISCARD nx_rc nx_backup_run(struct nx_archive *archive, const struct nx_principal *who,
	const struct nx_backup_opts *opts, struct nx_backup_result *ret, struct nx_err *err);

/*
 * A further key place in `dir`, kept in step from here on, as far from the others as can be.  The
 * configuration must name it, too: a copy that erasures do not reach would undo them.
 */
NX_NODISCARD nx_rc nx_backup_keys(struct nx_archive *archive, const struct nx_principal *who,
	const char *dir, struct nx_err *err);

/* ---- restore; without a server ---- */

/* Only the configuration files, by their names, into `dir`: they say what a restore of the rest
 * needs to know. */
NX_NODISCARD nx_rc nx_restore_files(
	const char *backup, const struct nx_keys_opts *keys, const char *dir, struct nx_err *err);

struct nx_restore_opts {
	const char *backup;
	const struct nx_keys_opts *keys; /* the places that survived; at least one */
	const char *const *new_places;   /* key places to make beside them */
	size_t n_new_places;
	const char *cat_path;         /* what follows must not be there, or be empty */
	const struct nx_key *cat_key; /* NULL: the site key "catalog" */
	const char *pool_uri;
	const char *ledger_dir;
	const char *files_dir;        /* for the configuration files; NULL: leave them */
	const char *origin;           /* of the ledger */
	struct nx_progress *progress; /* files; NULL */
};

struct nx_restore_result {
	char id[NX_BACKUP_ID_LEN + 1];
	int64_t time_us; /* when the backup was begun */
	uint64_t group_seq;
	uint64_t files;
	uint64_t bytes;
	uint64_t entries; /* of the ledger, all verified */
	uint64_t erased;  /* subjects whose rows are gone, by the key store's list */
};

/*
 * Every file is checked against the signed manifest on its way.  Group records newer than the
 * copied catalog are replayed, and whatever belongs to subjects erased since is deleted before this
 * returns.  The site is closed again; its ledger ends with the restore.
 */
NX_NODISCARD nx_rc nx_restore_run(
	const struct nx_restore_opts *opts, struct nx_restore_result *ret, struct nx_err *err);

#endif

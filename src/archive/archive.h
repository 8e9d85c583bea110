/*
 * archive.h - the only way to bytes for services: blobs, recipes, commit groups, recovery.
 *
 * Layer:   2b (archive).  Uses store, catalog, keys, ledger, crypto, base.
 * Threads: a struct nx_archive is shared; a change, blob writer or reader belongs to one thread at
 * a time. PHI:     yes: plaintext of recipes and rows passes through.
 *
 * Writing: fill blobs (large ones go to their pack while they arrive), describe what they mean in a
 * change, commit it.  The committer thread takes every change that waits, writes one group record
 * (redo log) with the small extents into a pack, syncs all packs concerned in one round, answers,
 * and then applies the rows to the catalog.
 */
#ifndef NX_ARCHIVE_ARCHIVE_H
#define NX_ARCHIVE_ARCHIVE_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/secret.h"
#include "base/slice.h"

struct nx_archive;
struct nx_arena;
struct nx_cat;
struct nx_collection;
struct nx_entry_draft;
struct nx_extent;
struct nx_item;
struct nx_keys;
struct nx_ledger;
struct nx_op;
struct nx_pool;
struct nx_progress;
struct nx_quarantine_row;
struct nx_scheduled;
struct nx_series;
struct nx_step_of;
struct nx_study;

/* ---- open ---- */

struct nx_archive_opts {
	struct nx_pool *pool; /* all borrowed; must outlive the archive */
	struct nx_keys *keys;
	struct nx_cat *cat;
	const char *ledger_dir;
	const char *origin; /* ledger checkpoint origin */
	bool rebuild; /* fsck --rebuild: the catalog is empty, replay every group record there is */
};

/* Replays group records past the catalog's and ledger's watermarks, seals the packs that were
 * active, deletes what erased subjects left, starts the committer. */
NX_NODISCARD nx_rc nx_archive_open(
	const struct nx_archive_opts *opts, struct nx_archive **ret_archive, struct nx_err *err);
struct nx_archive *nx_archive_free(struct nx_archive *archive); /* commits what waits, flushes */
NX_DEFINE_AUTO(nx_archive);

struct nx_cat *nx_archive_cat(struct nx_archive *archive);
struct nx_keys *nx_archive_keys(struct nx_archive *archive);
struct nx_ledger *nx_archive_ledger(struct nx_archive *archive);
struct nx_pool *nx_archive_pool(struct nx_archive *archive);

/* Everything answered before this call is visible to catalog queries after it.  NX_E_BUSY: it is
 * not, for the catalog takes nothing at present, and what is not found may be there. */
NX_NODISCARD nx_rc nx_archive_current(struct nx_archive *archive, struct nx_err *err);
/* The same for those who would go on all the same. */
void nx_archive_barrier(struct nx_archive *archive);
/* Have `fn` told of every study that gets or changes an instance, from the committer's thread and
 * before the change is durable: note it, and look later.  Called before anything is committed. */
void nx_archive_on_study(
	struct nx_archive *archive, void (*fn)(void *payload, int64_t study), void *payload);
/*
 * Have rows made for every instance that is stored, in the group that stores it: both are durable,
 * or neither.  Set before anything is committed; NULL: nobody wants any.
 */
struct nx_stored {
	const struct nx_put *put; /* with what the commit has set */
	uint64_t subject;
	uint32_t domain;
};
struct nx_stored_watch {
	/* From the committer's thread: it must not wait.  The operations are from `arena`; a
	 * failure is the put's. */
	nx_rc (*rows)(void *payload, const struct nx_stored *stored, struct nx_arena *arena,
		struct nx_op **ret_ops, size_t *ret_n, struct nx_err *err);
	/* A group with such rows is durable: they are there after nx_archive_barrier(). */
	void (*durable)(void *payload);
	void *payload;
};
void nx_archive_on_stored(struct nx_archive *archive, const struct nx_stored_watch *watch);
/* Returns when the collection's change feed has a number higher than `after`, which was its last
 * one when it was looked at, or after `wait_us`, or when all waiting is over. */
void nx_archive_feed_wait(
	struct nx_archive *archive, int64_t collection, int64_t after, int64_t wait_us);
/* At a stop: who waits is released, and nobody waits any more. */
void nx_archive_feed_over(struct nx_archive *archive);
/* A fresh id for rows of `table` (enum nx_table). */
uint64_t nx_archive_next_id(struct nx_archive *archive, unsigned table);

/* ---- blobs ---- */

struct nx_blob; /* finished bytes: hashed, sealed; in a pack or, when small, in memory until the
		   commit */
struct nx_blob_writer;

enum {
	NX_BLOB_COMPRESS = 1 /* zstd before sealing: headers, tables; only when it stays small */
};

/* `domain`: of the collection it is meant for.  `size`: exact, or UINT64_MAX. */
NX_NODISCARD nx_rc nx_blob_writer_new(struct nx_archive *archive, uint32_t domain, uint64_t size,
	unsigned flags, struct nx_blob_writer **ret_w, struct nx_err *err);
struct nx_blob_writer *nx_blob_writer_free(
	struct nx_blob_writer *w); /* unfinished: its space is given back */
NX_DEFINE_AUTO(nx_blob_writer);
NX_NODISCARD nx_rc nx_blob_writer_put(
	struct nx_blob_writer *w, const void *p, size_t n, struct nx_err *err);
/* No more bytes come than did: the size that was announced does not count. */
void nx_blob_writer_cut(struct nx_blob_writer *w);
/* The writer may be freed after it, whatever the result. */
NX_NODISCARD nx_rc nx_blob_writer_finish(
	struct nx_blob_writer *w, struct nx_blob **ret_blob, struct nx_err *err);
struct nx_blob *nx_blob_free(struct nx_blob *blob); /* not committed: its space is given back */
NX_DEFINE_AUTO(nx_blob);
uint64_t nx_blob_len(const struct nx_blob *blob);
const uint8_t *nx_blob_root(const struct nx_blob *blob); /* 32 bytes */

/* ---- recipes ---- */

struct nx_recipe_blob {
	uint64_t id; /* row in NX_T_BLOB; 0 before the commit */
	struct nx_key key;
	uint8_t root[32];
	uint64_t len;    /* plaintext */
	uint64_t stored; /* as sealed: smaller when compressed */
	uint8_t codec;   /* 0 none, 1 zstd */
};

enum nx_part_kind {
	NX_PART_BLOB,
	NX_PART_LITERAL
};

struct nx_recipe_part {
	enum nx_part_kind kind;
	uint32_t blob; /* index into blobs */
	uint64_t off;
	uint64_t len;
	struct nx_slice literal;
};

struct nx_recipe {
	struct nx_recipe_blob *blobs;
	size_t n_blobs;
	struct nx_recipe_part *parts;
	size_t n_parts;
	uint64_t size;       /* sum of the parts */
	uint8_t digest[32];  /* SHA-256 over parts and roots: the ETag */
	uint8_t content[32]; /* what makes two items the same (nx_put.content) */
};

/* Open an item's recipe (its subject's key must live: NX_E_ERASED).  From `arena`, which must be
 * NX_ARENA_WIPE. */
NX_NODISCARD nx_rc nx_archive_recipe(struct nx_archive *archive, const struct nx_item *item,
	struct nx_arena *arena, struct nx_recipe **ret, struct nx_err *err);
/* Where blob `blob` of a recipe rests; extents from `arena`. */
NX_NODISCARD nx_rc nx_archive_extents(struct nx_archive *archive, const struct nx_recipe_blob *blob,
	struct nx_arena *arena, struct nx_extent **ret, size_t *ret_n, struct nx_err *err);

/* The detail of a row of quarantine; `item` is its item.  From `arena`, which must be
 * NX_ARENA_WIPE. */
NX_NODISCARD nx_rc nx_archive_aside_detail(struct nx_archive *archive,
	const struct nx_quarantine_row *row, const struct nx_item *item, struct nx_arena *arena,
	struct nx_slice *ret, struct nx_err *err);

/* ---- reading ---- */

struct nx_reader;
NX_NODISCARD nx_rc nx_archive_open_item(struct nx_archive *archive, const struct nx_item *item,
	struct nx_reader **ret_reader, struct nx_err *err);
struct nx_reader *nx_reader_free(struct nx_reader *reader);
NX_DEFINE_AUTO(nx_reader);
const struct nx_recipe *nx_reader_recipe(const struct nx_reader *reader);
/* Up to `n` bytes at `off` into `p`; *ret_n 0 at the end.  Every byte was authenticated.
 * NX_E_CORRUPT, NX_E_ERASED (also in the middle of a download: keys are asked for again for every
 * call). */
NX_NODISCARD nx_rc nx_reader_read(struct nx_reader *reader, uint64_t off, void *p, size_t n,
	size_t *ret_n, struct nx_err *err);
/* A whole item of at most `max` bytes (NX_E_LIMIT), from `arena`, which must be NX_ARENA_WIPE;
 * ret_digest (may be NULL) gets that of its recipe. */
NX_NODISCARD nx_rc nx_archive_read_item(struct nx_archive *archive, const struct nx_item *item,
	size_t max, struct nx_arena *arena, struct nx_slice *ret, uint8_t ret_digest[32],
	struct nx_err *err);
/* A whole blob of the recipe, at most `max` bytes, from `arena`. */
NX_NODISCARD nx_rc nx_archive_read_blob(struct nx_archive *archive, const struct nx_item *item,
	const struct nx_recipe_blob *blob, size_t max, struct nx_arena *arena, struct nx_slice *ret,
	struct nx_err *err);

/* ---- changes ---- */

enum nx_put_outcome {
	NX_PUT_STORED = 1,
	NX_PUT_DUPLICATE, /* same bytes were there: nothing stored */
	NX_PUT_VERSION,   /* other bytes under the same name: a new version beside the old */
	NX_PUT_REJECTED,  /* other bytes, and the collection says reject; or it was rejected */
};

/* What is kept in quarantine: an item with a subject, and so a key, of its own. */
struct nx_aside {
	int64_t number; /* nx_archive_next_id() of NX_T_QUARANTINE */
	const char *source;
	int64_t reason;
	struct nx_slice detail; /* JSON object; sealed under that key */
	uint64_t max_items;     /* of the collection, with this one: NX_E_NOSPACE past it */
	uint64_t max_bytes;
};

/* What is performed: an object of such a name.  Rows lead from its studies to it. */
#define NX_STEP_PREFIX "performed-steps/"
struct nx_put_step {
	const char *const
		*studies; /* UIDs; one or more.  Of the first, where no patient is named */
	size_t n_studies;
	bool ends; /* what it says is final: its studies are open again, to be looked at anew */
	const struct nx_step_of *of; /* what was scheduled: it becomes what `state` says */
	size_t n_of;
	unsigned state; /* enum nx_step_state */
};

/* What is scheduled: an object of such a name, by rows of which it is found. */
#define NX_WORKLIST_PREFIX "worklist/"

/* One item.  Everything is borrowed until nx_change_wait() has returned, except blobs, which the
 * change takes. */
struct nx_put {
	const struct nx_collection *collection;
	uint64_t subject; /* 0: found or made by (issuer, patient id) of study, or of an object */
	/* An object's; NULL: it stays with the subject it has, or has none.  NX_E_CONFLICT when the
	 * object that is there is another's. */
	const char *patient_id;
	const char *issuer;
	const struct nx_study *study;   /* ids and counters are ignored; NULL: not DICOM */
	const struct nx_series *series; /* likewise */
	/* Not NULL: into quarantine; series is NULL, study too unless it has a patient id: then
	 * that is whose it seems to be. */
	const struct nx_aside *aside;
	/* Made from live items of `subject`, and can be made again: it takes the place of the one
	 * of its name, is in no query, and goes with the subject.  study and series are NULL. */
	bool derived;
	/* An object that is a performed procedure step; NULL: it is none. */
	const struct nx_put_step *step;
	/* An object that is an item of the worklist; NULL: it is none. */
	const struct nx_scheduled *scheduled;
	const struct nx_item *item; /* name, type, ts_uid, number, rows, columns, frames, size */
	/* A person said that this is the version that counts: it is no conflict with the one that
	 * is there, and no collection rejects it. */
	bool settles;
	/* Not 0: what this item says was wrong, whoever's it is, and the put is what it says from
	 * now on.  NX_E_PRECONDITION: it is not the newest of its name any more. */
	int64_t replaces;
	/* The newest of its name is rejected, and is to be used again. */
	bool restores;
	const char *source;     /* AE title that it came from; NULL: from elsewhere */
	struct nx_blob **blobs; /* new ones first ... */
	size_t n_blobs;
	const struct nx_recipe_blob
		*shared; /* ... then blobs of the same subject that exist (de-identification) */
	size_t n_shared;
	const struct nx_recipe_part *parts;
	size_t n_parts;
	/* What makes two items the same, 32 bytes; NULL: the recipe's digest. */
	const uint8_t *content;
	/* RFC 9110 13.1, checked against the item that is there: NX_E_PRECONDITION. */
	const char *if_match;   /* ETag without quotes; NULL: any or none */
	bool if_none_match_any; /* it must not exist */

	/* set by the commit */
	enum nx_put_outcome outcome;
	bool was_rejected; /* NX_PUT_REJECTED: a note says that it is not to be used */
	uint64_t ret_subject;
	int64_t ret_item;
	int64_t ret_version;
	int64_t ret_study;
	int64_t ret_series;
	uint8_t ret_digest[32]; /* of the recipe stored or found: the ETag */
};

struct nx_change;

struct nx_change *nx_change_new(void); /* NULL without memory */
struct nx_change *nx_change_free(struct nx_change *change);
NX_DEFINE_AUTO(nx_change);
/* NX_E_LIMIT past 32 MiB of blobs that travel in the record's unit: make several changes. */
NX_NODISCARD nx_rc nx_change_put(struct nx_change *change, struct nx_put *put, struct nx_err *err);
/* A row operation; values are copied.  PHI rows name their subject and domain. */
NX_NODISCARD nx_rc nx_change_op(
	struct nx_change *change, const struct nx_op *op, struct nx_err *err);
/* Rows by which the item of the worklist is found, for one that has none: it was put before there
 * were any. */
NX_NODISCARD nx_rc nx_change_scheduled(struct nx_change *change, const struct nx_item *item,
	const struct nx_scheduled *scheduled, struct nx_err *err);
/*
 * What the rows of a study and of some of its series say: texts that are not NULL go over what is
 * there.  With another patient id or issuer the study becomes that patient's, found or made; its
 * instances are moved by puts.  Borrowed until nx_change_wait(); once for a change.
 */
struct nx_restudy {
	uint32_t domain;
	const struct nx_study *study;   /* id, and texts */
	const struct nx_series *series; /* likewise; modality stays */
	size_t n_series;
};
void nx_change_restudy(struct nx_change *change, const struct nx_restudy *restudy);
/* An instance is deleted: hidden from all answers, with its older versions; nothing of it is lost.
 * Those of one series one after another.  One that is not live any more by then stays as it is. */
NX_NODISCARD nx_rc nx_change_remove(
	struct nx_change *change, const struct nx_item *item, struct nx_err *err);
/* Likewise rejected, for an enum nx_rejection_reason, by a note: the first put of the change. Where
 * that is no news, nothing is rejected. */
NX_NODISCARD nx_rc nx_change_reject(
	struct nx_change *change, const struct nx_item *item, int64_t reason, struct nx_err *err);
/* With an erasure: the change feed of the collection tells it.  Once for each. */
NX_NODISCARD nx_rc nx_change_feed(struct nx_change *change, int64_t collection, struct nx_err *err);
/* A ledger entry; copied.  `put` (may be NULL): take subject and the action (store, duplicate,
 * version, reject) from its outcome. */
NX_NODISCARD nx_rc nx_change_entry(struct nx_change *change, const struct nx_entry_draft *draft,
	const struct nx_put *put, struct nx_err *err);

/* Its rows may show up to a fifth of a second after the answer, unless somebody waits for them with
 * nx_archive_barrier(): many such changes in a row go into the catalog at once. */
void nx_change_defer(struct nx_change *change);
/* Queue it; it is durable and answered when nx_change_wait() returns NX_OK.  A change is used once.
 */
NX_NODISCARD nx_rc nx_archive_submit(
	struct nx_archive *archive, struct nx_change *change, struct nx_err *err);
NX_NODISCARD nx_rc nx_change_wait(struct nx_change *change, struct nx_err *err);
/* Both. */
NX_NODISCARD nx_rc nx_archive_commit(
	struct nx_archive *archive, struct nx_change *change, struct nx_err *err);
/* A single ledger entry, durable on return. */
NX_NODISCARD nx_rc nx_archive_record(
	struct nx_archive *archive, const struct nx_entry_draft *draft, struct nx_err *err);

/* In which of name, birth date and sex the marks of a conflict of demographics differ. */
void nx_archive_marks_differ(int64_t known, int64_t mark, bool ret[3]);

/* ---- erase, scrub ---- */

/* Destroys the subject's keys first (nothing of it opens any more when that has returned), then
 * deletes its rows and blobs, in one group with `draft`, whose detail (a JSON object) gets "items"
 * and "key_places" in front.  What seems to be of the subject in quarantine goes the same way. */
NX_NODISCARD nx_rc nx_archive_erase(struct nx_archive *archive, uint64_t subject,
	const struct nx_entry_draft *draft, uint64_t *ret_items, struct nx_err *err);

struct nx_scrub_result {
	uint64_t items;
	uint64_t extents;
	uint64_t bytes;
	uint64_t bad;    /* extents that did not authenticate */
	uint64_t erased; /* items without a key */
};
/* Authenticate every extent of every item; `bad_fn` (may be NULL) hears of each failure, `progress`
 * (may be NULL) counts items. */
NX_NODISCARD nx_rc nx_archive_scrub(struct nx_archive *archive,
	void (*bad_fn)(void *payload, int64_t item, const struct nx_err *why), void *payload,
	struct nx_progress *progress, struct nx_scrub_result *ret, struct nx_err *err);

/* ---- copies ---- */

/* The last group that is durable: whatever begins after this call finds it and all before it whole
 * in the packs. */
uint64_t nx_archive_durable(struct nx_archive *archive);

struct nx_pack_cut {
	uint64_t len; /* bytes from the start that a copy needs; 0: none */
	bool small;   /* holds group records */
	bool final;   /* of an earlier run: its bytes never change again */
};
/* How much of a pack belongs into a copy that ends with group `seq` (durable before the call). */
NX_NODISCARD nx_rc nx_archive_pack_cut(struct nx_archive *archive, uint64_t pack, uint64_t seq,
	struct nx_pack_cut *ret, struct nx_err *err);

struct nx_archive_stats {
	uint64_t groups;
	uint64_t changes;
	uint64_t bytes_written;
	uint64_t queue;
	int64_t last_group_us; /* duration of the last group's write and sync */
};
void nx_archive_stats(struct nx_archive *archive, struct nx_archive_stats *ret);

#endif

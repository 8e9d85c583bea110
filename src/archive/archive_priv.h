/*
 * archive_priv.h - what the files of this module share.
 *
 * Layer:   2b (archive).
 * Threads: each struct says what guards it.
 * PHI:     yes.
 */
#ifndef NX_ARCHIVE_ARCHIVE_PRIV_H
#define NX_ARCHIVE_ARCHIVE_PRIV_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "archive/archive.h"
#include "base/arena.h"
#include "base/buf.h"
#include "catalog/catalog.h"
#include "crypto/crypto.h"
#include "keys/keys.h"
#include "ledger/ledger.h"
#include "store/extent.h"
#include "store/pool.h"

struct nx_map;

enum {
	PACK_HEADER_LEN = 64,
	UNIT_HEADER_LEN = 64,
	UNIT_ALIGN = 64, /* a unit begins at a multiple of this, and so does what follows it */
	SMALL_MAX = 64 * 1024, /* a blob of at most this goes into the unit of its group */
	GROUP_SMALL_BYTES = 4 * 1024 * 1024, /* a group takes no further change beyond this */
	COMPRESS_MIN = 256,
	CHANGE_SMALL_BYTES = 32 * 1024 * 1024, /* of one change: no unit passes UNIT_RESERVE */
	UNIT_RESERVE =
		128 * 1024 * 1024, /* more than any unit takes; trimmed when its length is known */
};

enum pack_class {
	PACK_SMALL = 1,
	PACK_BULK = 2
};

/* ---- pack and unit headers (unit.c; docs/PACK-FORMAT.md) ---- */

struct pack_header {
	uint64_t pack;
	uint32_t domain;
	uint8_t cls;
	int64_t created_us;
};

enum unit_kind {
	UNIT_GROUP = 1,
	UNIT_DATA = 2
};

struct unit_header {
	uint8_t kind;
	uint64_t seq;
	uint64_t total_len; /* header, extents, record, padding; a multiple of UNIT_ALIGN */
	uint64_t extents_len;
	uint64_t record_len;
	int64_t time_us;
	uint32_t extents_crc;
	uint32_t record_crc;
};

void pack_header_format(const struct pack_header *h, uint8_t ret[PACK_HEADER_LEN]);
NX_NODISCARD nx_rc pack_header_parse(
	const uint8_t b[PACK_HEADER_LEN], struct pack_header *ret, struct nx_err *err);
void unit_header_format(const struct unit_header *h, uint8_t ret[UNIT_HEADER_LEN]);
/* NX_E_NOENT: zeros (end of the pack); NX_E_CORRUPT: anything else that is not a header. */
NX_NODISCARD nx_rc unit_header_parse(
	const uint8_t b[UNIT_HEADER_LEN], struct unit_header *ret, struct nx_err *err);

static inline uint64_t align_up(uint64_t n)
{
	return (n + NX_PACK_ALIGN - 1) & ~(uint64_t)(NX_PACK_ALIGN - 1);
}

/* ---- space in packs (space.c) ---- */

struct active_pack {
	struct active_pack *next;
	uint32_t domain;
	enum pack_class cls;
	uint64_t pack;
	uint64_t end; /* next free offset */
	/* What the last block of a small pack holds up to `end`, where that is not the end of the
	 * block: it is written again with the next unit.  Committer only. */
	uint8_t tail[NX_PACK_ALIGN];
	bool announced; /* its row is in a committed group */
	/* Small packs are filled with zeros ahead of their end, so that a unit overwrites blocks
	 * that exist: a write-through then needs no change of the file's metadata. */
	uint64_t zeroed; /* up to here; UINT64_MAX where the pool does not do that */
	bool zeroing;    /* [zero_from, zero_to) is being filled: no unit may begin to reach in */
	uint64_t zero_from;
	uint64_t zero_to;
};

struct space {
	pthread_mutex_t lock; /* guards everything here */
	pthread_cond_t cond;  /* a filling is wanted, is done, or `stopping` */
	pthread_t zeroer;
	bool has_zeroer;
	bool stopping;
	struct active_pack *active;
	uint64_t next_pack;
	uint64_t first_pack; /* older ones are of an earlier run: nothing is added to them */
};

/* A place for `len` bytes (rounded up to whole blocks, in small packs to UNIT_ALIGN) in the active
 * pack, which is opened when there is none or it is full. */
NX_NODISCARD nx_rc space_alloc(struct nx_archive *a, uint32_t domain, enum pack_class cls,
	uint64_t len, uint64_t *ret_pack, uint64_t *ret_off, struct nx_err *err);
/* [off + used, off + len) was not needed; given back when nothing came after it. */
void space_trim(struct nx_archive *a, uint64_t pack, uint64_t off, uint64_t len, uint64_t used);
/* The unit at `off`, placed with UNIT_RESERVE, has `used` bytes, a multiple of UNIT_ALIGN, and may
 * be written now. */
void space_settle(struct nx_archive *a, uint64_t pack, uint64_t off, uint64_t used);
/* What the block of `off` holds before it: off % NX_PACK_ALIGN bytes. */
void space_tail(struct nx_archive *a, uint64_t pack, uint64_t off, uint8_t *ret);
/* `block` is the last one written, of which `used` bytes are taken. */
void space_tail_set(struct nx_archive *a, uint64_t pack, const uint8_t *block, size_t used);
NX_NODISCARD nx_rc space_start(struct nx_archive *a, struct nx_err *err); /* its thread */
/* Nothing of [off, off + len) will ever be named by a row. */
void space_abandon(struct nx_archive *a, uint64_t pack, uint64_t off, uint64_t len);
/* Never append to this pack again (its sync failed). */
void space_retire(struct nx_archive *a, uint64_t pack);
/* Nor to any small pack there is now. */
void space_retire_small(struct nx_archive *a);
void space_free(struct nx_archive *a);

/* ---- blobs (blob.c) ---- */

struct blob_range {
	uint64_t pack;
	uint64_t off;
	uint64_t len;
	uint32_t crc;
};

struct nx_blob {
	struct nx_archive *archive;
	struct nx_recipe_blob info;
	uint32_t domain;
	bool committed;
	uint8_t *small; /* a whole sealed extent, when it goes into the group's unit */
	size_t small_len;
	struct nx_extent *extents;
	struct blob_range *ranges; /* one per extent of a bulk blob */
	size_t n_extents;
	size_t cap_extents;
};

/* ---- recipes (recipe.c) ---- */

void recipe_digest(const struct nx_recipe *recipe, uint8_t ret[32]);
NX_NODISCARD nx_rc recipe_seal(const struct nx_recipe *recipe, const struct nx_key *key,
	uint64_t item, struct nx_buf *out, struct nx_err *err);
/* Open the sealed recipe of a row with a key at hand. */
NX_NODISCARD nx_rc recipe_open(const struct nx_item *item, const struct nx_key *key,
	struct nx_arena *arena, struct nx_recipe **ret, struct nx_err *err);
void extents_format(const struct nx_extent *e, size_t n, struct nx_buf *out);
NX_NODISCARD nx_rc extents_parse(struct nx_slice packed, struct nx_arena *arena,
	struct nx_extent **ret, size_t *ret_n, struct nx_err *err);

/* ---- changes (change.c) ---- */

struct change_entry {
	struct change_entry *next;
	struct nx_entry_draft draft;
	const struct nx_put *put;
};
struct change_op {
	struct change_op *next;
	struct nx_op op;
};
struct change_remove {
	struct change_remove *next;
	int64_t item;
	int64_t reason; /* enum nx_rejection_reason; 0: deleted */
};
/* The subject's instances in a collection are no more. */
struct change_feed {
	struct change_feed *next;
	int64_t collection;
};
struct change_put {
	struct change_put *next;
	struct nx_put *put;
};

struct nx_change {
	struct nx_change *next; /* in the queue */
	struct nx_arena *arena;
	struct change_put *puts, **puts_tail;
	struct change_op *ops, **ops_tail;
	struct change_entry *entries, **entries_tail;
	struct change_remove *removes, **removes_tail; /* by series; a group of its own */
	struct change_feed *feeds;                     /* beside `erase` */
	const struct nx_restudy *restudy;              /* a group of its own */
	uint64_t erase; /* a subject: a group of its own, after which no cached row is trusted */
	bool defer;     /* its rows may reach the catalog together with those of later groups */
	size_t small_bytes;
	sem_t done;
	bool submitted;
	nx_rc rc;
	struct nx_err err;
};

/* ---- groups (group.c, prepare.c, commit.c) ---- */

struct group_unit { /* what goes into one small pack of a domain */
	struct group_unit *next;
	uint32_t domain;
	uint64_t pack;
	uint64_t off;
	struct nx_buf extents;
	bool kept;       /* it was there at the mark ... */
	size_t kept_len; /* ... with so many bytes of extents */
};

struct cached_study {
	int64_t id;
	uint64_t subject;
	uint32_t domain;
	int64_t updated_us;
	uint64_t guest; /* a subject whose instances in it are known to be on record */
	char modalities[256];
	bool modalities_dirty;
	int64_t add_series;
	int64_t add_instances;
	int64_t new_updated_us;
	struct cached_study *dirty_next;
	bool dirty;
};

struct cached_series {
	int64_t id;
	uint64_t subject;
	uint32_t domain;
	int64_t updated_us;
	int64_t n_instances; /* with those of the group at hand */
	int64_t add_instances;
	int64_t new_updated_us;
	struct cached_series *dirty_next;
	bool dirty;
};

struct cached_subject {
	uint64_t subject;
	int64_t marks;
	int64_t told; /* the marks that differed and are known to be on record */
};

/* Look-ups of the committer; entries not yet in the catalog belong to the group at hand. */
struct lookup_cache {
	struct nx_map *subjects; /* (domain, issuer, patient id) -> struct cached_subject */
	struct nx_map *studies;  /* (collection, uid) -> struct cached_study */
	struct nx_map *series;   /* (study id, uid) -> struct cached_series */
};

/* What became of an instance; it gets its number when the group is whole (feed.c). */
struct feed_note {
	struct feed_note *before;
	struct nx_feed_row row;
};

/* The numbers of a collection. */
struct feed_counter {
	struct feed_counter *next;
	int64_t collection;
	int64_t last;  /* in a durable group; guarded by the archive's lock */
	int64_t given; /* with those of the group at hand; committer only */
};

struct undo; /* one thing to take back (mark.c) */

/* A group before the change at hand, to come back to when that cannot be prepared. */
struct group_mark {
	struct nx_arena_mark arena;
	struct nx_op *ops;
	size_t n_ops;
	size_t cap_ops;
	struct blob_range *ranges;
	size_t n_ranges;
	size_t cap_ranges;
	size_t entries_len;
	uint64_t n_entries;
	uint64_t ledger;
	struct cached_study *dirty_studies;
	struct cached_series *dirty_series;
	struct feed_note *feed;
};

struct group {
	struct group *next; /* in the backlog */
	bool staged;        /* in the catalog's open transaction */
	bool defer;         /* all of its changes may wait */
	size_t n_rows;      /* operations of the record; behind them are the chain heads */
	struct nx_arena *arena;
	uint64_t seq;
	int64_t now_us;
	struct nx_op *ops;
	size_t n_ops;
	size_t cap_ops;
	struct blob_range *ranges;
	size_t n_ranges;
	size_t cap_ranges;
	struct group_unit *units; /* first = home, which carries the record */
	struct nx_buf entries;    /* blobs: varint length, bytes */
	uint64_t first_entry;
	uint64_t n_entries;
	struct nx_map *names; /* items put in this group */
	struct cached_study *dirty_studies;
	struct cached_series *dirty_series;
	struct feed_note *feed; /* newest first; in arena */
	struct group_mark mark;
	struct undo *undo; /* what happened to the caches since, newest first; in arena */
	bool watched;      /* has rows that somebody wanted for what is stored */
	bool written;      /* bytes of it may be on the medium */
};

/*
 * Groups that are durable and answered, and not committed to the catalog (backlog.c).  One
 * transaction for many groups writes each page once.
 */
struct backlog { /* committer only */
	struct group *first, **tail;
	size_t n;
	size_t n_ops;
	int64_t since_us; /* when the first came, monotonic */
};

struct nx_archive {
	struct nx_pool *pool;
	struct nx_keys *keys;
	struct nx_cat *cat;
	struct nx_ledger *ledger;
	struct nx_key log_key;
	struct space space;
	struct lookup_cache cache; /* committer only */
	struct backlog backlog;
	_Atomic uint64_t next_id[NX_T_COUNT_];

	struct feed_counter *feed; /* the list is the committer's, with the lock to add */

	pthread_mutex_t lock; /* guards what follows, up to replayed */
	pthread_cond_t wake;  /* of the committer; on the monotonic clock */
	pthread_cond_t applied_cond;
	pthread_cond_t feed_cond; /* numbers were given, or `feed_over`; on the monotonic clock */
	bool feed_over;           /* nobody waits any more */
	struct nx_change *queue, **queue_tail;
	size_t queue_len;
	_Atomic bool stopping;
	uint64_t durable_seq;         /* last group answered */
	uint64_t rows_seq;            /* the last of these with rows that look-ups may want */
	uint64_t applied_seq;         /* last group in the catalog for everybody to see */
	bool apply_wanted;            /* somebody waits for the backlog */
	int64_t asked_us;             /* when somebody last looked whether to wait, monotonic */
	bool stuck;                   /* the catalog refuses a group that was answered */
	uint64_t last_pack, last_off; /* previous group's unit; committer only */
	struct nx_archive_stats stats;

	/* Set before anything is committed. */
	void (*on_study)(void *payload, int64_t study);
	void *on_study_payload;
	struct nx_stored_watch on_stored;

	bool replayed; /* catalog and ledger hold every group there is */
	bool running;
	pthread_t committer;
	pthread_t keeper;
	pthread_cond_t keeper_wake;
};

/* NULL without memory. */
struct group *group_new(struct nx_archive *a);
struct group *group_free(struct group *g);
/* What is not needed to apply it is given back. */
void group_shrink(struct group *g);
/* Append an operation; its values are copied into the group's arena. */
NX_NODISCARD nx_rc group_op(struct group *g, const struct nx_op *op, struct nx_err *err);
NX_NODISCARD nx_rc group_range(struct group *g, const struct blob_range *range, struct nx_err *err);
/* The unit of `domain`; made when it is the first of the group. */
NX_NODISCARD nx_rc group_unit(struct nx_archive *a, struct group *g, uint32_t domain,
	struct group_unit **ret, struct nx_err *err);
/* Close units that came after the mark, in the order in which they came. */
void group_units_cut(struct nx_archive *a, struct group *g);

/*
 * mark.c: a change is prepared whole or not at all.  group_mark() before it, group_rewind() when it
 * failed.  Whoever changes a look-up cache says so first, so that it can be taken back.
 */
void group_mark(struct nx_archive *a, struct group *g);
void group_rewind(struct nx_archive *a, struct group *g);
/* `key` is about to get a value from the heap in `map`: a rewind frees it. */
NX_NODISCARD nx_rc undo_added(
	struct group *g, struct nx_map *map, struct nx_slice key, struct nx_err *err);
/* `n` bytes at `at` are about to change. */
NX_NODISCARD nx_rc undo_changed(struct group *g, void *at, size_t n, struct nx_err *err);

NX_NODISCARD nx_rc prepare_put(
	struct nx_archive *a, struct group *g, struct nx_put *put, struct nx_err *err);
/* remove.c */
NX_NODISCARD nx_rc prepare_removes(
	struct nx_archive *a, struct group *g, const struct nx_change *change, struct nx_err *err);
/* restudy.c: before the puts, which find it as it is from then on. */
NX_NODISCARD nx_rc prepare_restudy(
	struct nx_archive *a, struct group *g, const struct nx_change *change, struct nx_err *err);
NX_NODISCARD nx_rc prepare_counters(struct nx_archive *a, struct group *g, struct nx_err *err);
/* conflict.c */
struct event {
	const char *kind;
	uint32_t domain;
	uint64_t subject;
	int64_t study;
	const char *detail; /* JSON */
};
NX_NODISCARD nx_rc event_row(
	struct nx_archive *a, struct group *g, const struct event *event, struct nx_err *err);
/* aside.c: has the collection's quarantine room for this one; its row and event. */
NX_NODISCARD nx_rc aside_room(
	struct nx_archive *a, const struct group *g, const struct nx_put *put, struct nx_err *err);
NX_NODISCARD nx_rc aside_rows(struct nx_archive *a, struct group *g, const struct nx_put *put,
	uint64_t subject, uint64_t patient, const struct nx_key *key, struct nx_err *err);
/* `row`: kind, old_item, and what is of the kind. */
NX_NODISCARD nx_rc conflict_row(struct nx_archive *a, struct group *g, const struct nx_put *put,
	struct nx_conflict_row row, struct nx_err *err);
/* feed.c: the instance `item` of a study, or everything of the subject where it is 0. */
NX_NODISCARD nx_rc feed_note(struct group *g, int64_t collection, enum nx_feed_action action,
	int64_t subject, int64_t item, struct nx_err *err);
NX_NODISCARD nx_rc feed_rows(struct nx_archive *a, struct group *g, struct nx_err *err);
/* The group is durable; else its numbers are given again. */
void feed_settle(struct nx_archive *a, const struct group *g, bool durable);
void feed_free(struct nx_archive *a);
void cache_init(struct lookup_cache *cache);
NX_NODISCARD bool cache_ready(const struct lookup_cache *cache);
void cache_clear(struct lookup_cache *cache);
/* Between groups: emptied when it has grown past its bound, or when `now`. */
void cache_trim(struct lookup_cache *cache, bool now);

/* The record of a group: plaintext, before sealing (record.c). */
NX_NODISCARD nx_rc record_format(
	struct nx_archive *a, const struct group *g, struct nx_buf *out, struct nx_err *err);
struct record {
	uint64_t prev_pack;
	uint64_t prev_off;
	struct blob_range *ranges;
	size_t n_ranges;
	uint64_t first_entry;
	struct nx_slice *entries;
	size_t n_entries;
	struct nx_op *ops; /* those whose subject's key lives */
	size_t n_ops;
};
NX_NODISCARD nx_rc record_parse(struct nx_archive *a, uint64_t seq, struct nx_slice plain,
	struct nx_arena *arena, struct record *ret, struct nx_err *err);
NX_NODISCARD nx_rc record_seal(struct nx_archive *a, const struct group_unit *home, uint64_t seq,
	struct nx_slice plain, uint8_t *ret, struct nx_err *err);
NX_NODISCARD nx_rc record_open(struct nx_archive *a, uint64_t pack, uint64_t off, uint64_t seq,
	struct nx_slice sealed, uint8_t *ret_plain, struct nx_err *err);
/* Rows of the chain heads that these entries leave behind. */
NX_NODISCARD nx_rc head_ops(const struct nx_tag_head *heads, size_t n, struct nx_arena *arena,
	struct nx_op **ret, struct nx_err *err);

/* ---- the way into the catalog (backlog.c); committer only ---- */

void backlog_add(struct nx_archive *a, struct group *g);
/* Everything staged, and committed where that is due or `now`.  Tries again until it succeeds; what
 * is in *list and in the queue is refused meanwhile.  False when a stop ended the trying. */
NX_NODISCARD bool backlog_apply(struct nx_archive *a, bool now, struct nx_change **list);
/* When it must be committed at the latest, monotonic; INT64_MAX: there is nothing. */
int64_t backlog_deadline_us(const struct nx_archive *a);
void backlog_drop(struct nx_archive *a);

/* commit.c.  Caller holds a->lock: what waits is the caller's. */
struct nx_change *queue_cut(struct nx_archive *a);
void answer_list(struct nx_change *list, nx_rc rc, const struct nx_err *err);

void *committer_main(void *archive);
void *keeper_main(void *archive);
NX_NODISCARD nx_rc replay(struct nx_archive *a, bool rebuild, struct nx_err *err);
/* Rows that an interrupted erasure, or a restore from before it, left behind. */
NX_NODISCARD nx_rc erase_sweep(struct nx_archive *a, struct nx_err *err);

/* After replay(): NX_E_KEY where the key store is older than the catalog; what was erased since is
 * erased again (agree.c). */
NX_NODISCARD nx_rc keys_agree(struct nx_archive *a, struct nx_err *err);

/* ---- studies of several subjects (shared.c) ---- */

/* In the committer: add to `change` what becomes of the studies and series of the subject that it
 * erases. */
NX_NODISCARD nx_rc shared_settle(
	struct nx_archive *a, struct nx_change *change, struct nx_err *err);

#endif

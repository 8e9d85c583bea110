/*
 * ledger_priv.h - the parts a ledger is made of.
 *
 * Layer:   2 (ledger).
 * Threads: `lock` guards what says so; `flush_lock` is taken before it, never after.  The catalog
 * is called with `lock` held, so no callback from it may take `lock`. PHI:     none, but for `body`
 * while an entry is staged (wiped).
 */
#ifndef NX_LEDGER_LEDGER_PRIV_H
#define NX_LEDGER_LEDGER_PRIV_H

#include <pthread.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/map.h"
#include "crypto/crypto.h"
#include "ledger/ledger.h"

enum {
	TILE_WIDTH = 256, /* tlog-tiles: hashes of a full tile, entries of a full bundle */
	TILE_LEN = TILE_WIDTH * NX_SHA256_LEN,
	TILE_LEVELS = 8, /* 8 bits of a 64-bit size each */
	ENTRY_VERSION = 1,
	ENTRY_HEAD_LEN = 13, /* version, outcome, action, time, number of chains */
	ENTRY_CHAIN_LEN = 33,
	ENTRY_MAX = 65535, /* tlog-tiles: length prefix of two bytes */
	ENTRY_DETAIL_MAX = 16384,
	ENTRY_AAD_MAX = ENTRY_HEAD_LEN + NX_LEDGER_CHAINS * ENTRY_CHAIN_LEN + 2 + 8,
	BUNDLE_MAX = TILE_WIDTH * (ENTRY_MAX + 2),
	MAP_BUCKETS = 65536,
	MAP_DEPTH = 16,
	ORIGIN_MAX = 1024,
	CHECKPOINT_MAX = 4096, /* holds two origins */
	ID_CACHE = 4096,       /* tags of ids seen lately; a power of two */
	BUNDLE_CACHE = 8,      /* bundles read lately */
	TILE_CACHE = 64,       /* tiles read lately */
	BACKLOG_MAX = 65536    /* entries not in files: beyond, a commit flushes by itself */
};

/* ---- entry.c ---- */

/* What comes before the body; also the body's associated data, with the index behind it. */
void nx_entry_format_head(const struct nx_entry *entry, size_t body_len, struct nx_buf *out);

/* ---- edge.c: the right edge of the tree ---- */

/* The hashes of each level's rightmost, unfinished tile: level L holds bits 8L..8L+7 of `size`. */
struct nx_edge {
	uint64_t size;
	uint8_t hash[TILE_LEVELS][TILE_WIDTH][NX_SHA256_LEN];
};

typedef nx_rc (*nx_edge_tile_fn)(void *payload, unsigned level, uint64_t number,
	const uint8_t hashes[TILE_WIDTH][NX_SHA256_LEN], struct nx_err *err);

static inline unsigned nx_edge_width(uint64_t size, unsigned level)
{
	return (unsigned)(size >> (8 * level)) & (TILE_WIDTH - 1);
}

static inline uint64_t nx_edge_number(uint64_t size, unsigned level)
{
	return level + 1 < TILE_LEVELS ? size >> (8 * (level + 1)) : 0;
}

/* Append a leaf; `fn` gets every tile that became full by it. */
NX_NODISCARD nx_rc nx_edge_append(struct nx_edge *edge, const uint8_t leaf[NX_SHA256_LEN],
	nx_edge_tile_fn fn, void *payload, struct nx_err *err);
/* RFC 6962 2.1: the hash of the whole tree. */
void nx_edge_root(const struct nx_edge *edge, uint8_t ret[NX_SHA256_LEN]);
/* The root of a perfect subtree over `n` hashes, n a power of two up to 256. */
void nx_edge_fold(const uint8_t (*hashes)[NX_SHA256_LEN], unsigned n, uint8_t ret[NX_SHA256_LEN]);

/* ---- note.c: signed checkpoints ---- */

struct nx_checkpoint {
	uint64_t size;
	uint8_t root[NX_SHA256_LEN];
	uint8_t map_root[NX_SHA256_LEN];
};

void nx_note_key_hash(const char *name, const uint8_t pub[NX_ED25519_PUBLIC_LEN], uint8_t ret[4]);
NX_NODISCARD nx_rc nx_note_format(const char *origin, const struct nx_key *seed,
	const struct nx_checkpoint *checkpoint, struct nx_buf *out, struct nx_err *err);
/* Checks the signature of `origin` with `pub`; other signatures are ignored. */
NX_NODISCARD nx_rc nx_note_parse(struct nx_slice text, const char *origin,
	const uint8_t pub[NX_ED25519_PUBLIC_LEN], struct nx_checkpoint *ret, struct nx_err *err);

/* ---- files.c ---- */

#define STATE_LINE "narthex-ledger-state/1 " /* then the group sequence; then the checkpoint */

enum {
	PATH_LEN = 96,
	LEVEL_ENTRIES = 255, /* stands for tile/entries */
	SYNC_FILES = 24
};

/* Files written together and synced together; many are synced by syncfs(). */
struct nx_fileset {
	int dir_fd;
	unsigned n_files;
	int files[SYNC_FILES];
	unsigned n_dirs;
	char dirs[SYNC_FILES][PATH_LEN];
	bool many;
};

/* "tile/<L>/<N>[.p/<W>]"; width 0 stands for a full tile. */
void nx_tile_path(unsigned level, uint64_t number, unsigned width, char ret[PATH_LEN]);
void nx_fileset_init(struct nx_fileset *set, int dir_fd);
void nx_fileset_done(struct nx_fileset *set);
NX_DEFINE_AUTO_DONE(nx_fileset);
NX_NODISCARD nx_rc nx_fileset_write(
	struct nx_fileset *set, const char *path, struct nx_slice data, struct nx_err *err);
NX_NODISCARD nx_rc nx_fileset_sync(struct nx_fileset *set, struct nx_err *err);
/* Remove the partial tiles of a tile that is full. */
void nx_tile_drop_partial(int dir_fd, unsigned level, uint64_t number);
/* A tile or bundle as it is on disk.  A partial one may have become full since. */
NX_NODISCARD nx_rc nx_tile_read(int dir_fd, unsigned level, uint64_t number, unsigned width,
	struct nx_buf *out, struct nx_err *err);

/* ---- tail.c: entries that are not in files, and the partial bundle ---- */

/* One bundle in memory, in the format of the file. */
struct nx_block {
	struct nx_buf data;
	uint32_t end[TILE_WIDTH]; /* where each entry ends */
	unsigned n;
};

struct nx_tail {
	struct nx_block **blocks;
	size_t n;
	size_t cap;
	uint64_t first; /* bundle number of blocks[0] */
	uint64_t size;  /* entries of the log, staged ones included */
};

void nx_tail_done(struct nx_tail *tail);
/* Append one entry; nothing has changed on failure. */
NX_NODISCARD nx_rc nx_tail_append(struct nx_tail *tail, struct nx_slice entry, struct nx_err *err);
void nx_tail_truncate(struct nx_tail *tail, uint64_t size);
void nx_tail_drop(struct nx_tail *tail, uint64_t durable); /* full bundles below `durable` */
/* Of bundle `number` the first `n` entries, as a file holds them; false if it is not in memory. */
bool nx_tail_bundle(
	const struct nx_tail *tail, uint64_t number, unsigned n, struct nx_slice *ret_bytes);
bool nx_tail_entry(const struct nx_tail *tail, uint64_t index, struct nx_slice *ret);

/* ---- heads.c: chain heads on top of the catalog's ---- */

struct nx_head {
	uint64_t count; /* 0: no entry yet */
	uint64_t last;
};

/*
 * A chain touched lately.  The catalog learns of new heads some time after the commit, so a record
 * stays until a flush has seen the catalog give the same head.  A checkpoint needs heads as of its
 * own tree size, whatever was staged since: each record keeps the steps apart.
 */
struct nx_head_rec {
	uint8_t tag[NX_TAG_LEN];
	struct nx_head staged;    /* newest */
	struct nx_head committed; /* without what is only staged */
	struct nx_head snap;      /* as of the flush that runs, or ran last */
	struct nx_head flushed;   /* as of the newest checkpoint */
	bool touched;             /* in heads.touched */
	bool seen;                /* the catalog had `snap`; flush only */
};

struct nx_heads {
	struct nx_map *recs;          /* tag -> struct nx_head_rec */
	struct nx_head_rec **touched; /* since the last commit or rollback */
	size_t n_touched;
	size_t cap_touched;
};

/* Tag heads of one bucket, ascending, on both sides of a flush. */
struct nx_bucket_head {
	uint8_t tag[NX_TAG_LEN];
	struct nx_head now;     /* as of the snapshot */
	struct nx_head flushed; /* as of the newest checkpoint */
	struct nx_head stored;  /* what the catalog says */
};
struct nx_bucket {
	struct nx_bucket_head *heads;
	size_t n;
	size_t cap;
};

static inline uint16_t nx_bucket_of(const uint8_t tag[NX_TAG_LEN])
{
	return (uint16_t)(tag[0] << 8 | tag[1]);
}

/* Records in tag order, taken at the start of a flush. */
struct nx_snapshot {
	struct nx_head_rec **recs;
	size_t n;
	uint64_t size;
	uint64_t group_seq;
};

NX_NODISCARD nx_rc nx_heads_init(struct nx_heads *heads, struct nx_err *err);
void nx_heads_done(struct nx_heads *heads);
/* The record of a tag, made from the catalog's head where there is none.  Caller holds lock. */
NX_NODISCARD nx_rc nx_heads_get(struct nx_ledger *ledger, const uint8_t tag[NX_TAG_LEN],
	struct nx_head_rec **ret_rec, struct nx_err *err);
/* For replay: made from what the entry says came before.  Caller holds lock. */
NX_NODISCARD nx_rc nx_heads_get_replayed(struct nx_ledger *ledger, const uint8_t tag[NX_TAG_LEN],
	struct nx_head before, struct nx_head_rec **ret_rec, struct nx_err *err);
/* Room for `n` more touched records.  Caller holds lock. */
NX_NODISCARD nx_rc nx_heads_reserve(struct nx_heads *heads, size_t n, struct nx_err *err);
void nx_heads_touch(struct nx_heads *heads, struct nx_head_rec *rec, struct nx_head head);
void nx_heads_commit(struct nx_heads *heads);
void nx_heads_rollback(struct nx_heads *heads);
/* Every head as it was when entry `size` was not staged yet; the entries are still in `tail`. */
void nx_heads_unstage(struct nx_heads *heads, const struct nx_tail *tail, uint64_t size);
/* The committed head.  Caller holds lock. */
NX_NODISCARD nx_rc nx_heads_committed(struct nx_ledger *ledger, const uint8_t tag[NX_TAG_LEN],
	struct nx_head *ret, struct nx_err *err);

/* Caller holds flush_lock; these take lock. */
NX_NODISCARD nx_rc nx_heads_snapshot(
	struct nx_ledger *ledger, struct nx_snapshot *ret, struct nx_err *err);
void nx_snapshot_done(struct nx_snapshot *snap);
NX_DEFINE_AUTO_DONE(nx_snapshot);
NX_NODISCARD nx_rc nx_bucket_read(struct nx_ledger *ledger, const struct nx_snapshot *snap,
	uint16_t bucket, struct nx_bucket *ret, struct nx_err *err);
void nx_bucket_done(struct nx_bucket *bucket);
NX_DEFINE_AUTO_DONE(nx_bucket);
/* The flush is done: what the catalog has too can be forgotten. */
void nx_heads_retire(struct nx_ledger *ledger, struct nx_snapshot *snap);

/* ---- tagmap.c: the hash tree over buckets ---- */

/* A binary heap: the root is node 1, bucket b is node 65,536 + b. */
struct nx_tagmap {
	uint8_t (*node)[NX_SHA256_LEN];
	bool built;
};

struct nx_map_change {
	uint16_t bucket;
	uint8_t hash[NX_SHA256_LEN];
};

NX_NODISCARD nx_rc nx_tagmap_init(struct nx_tagmap *map, struct nx_err *err);
void nx_tagmap_done(struct nx_tagmap *map);
void nx_tagmap_clear(struct nx_tagmap *map); /* every bucket empty */
/* Put the changes (ascending) in; what was there comes back in them, so a second call undoes. */
void nx_tagmap_swap(struct nx_tagmap *map, struct nx_map_change *changes, size_t n);
void nx_tagmap_rebuild(struct nx_tagmap *map); /* all inner nodes from the buckets */
void nx_tagmap_path(
	const struct nx_tagmap *map, uint16_t bucket, uint8_t ret[MAP_DEPTH][NX_SHA256_LEN]);

/* Running hash of one bucket. */
void nx_bucket_hash_begin(struct nx_buf *scratch);
void nx_bucket_hash_add(struct nx_buf *scratch, const uint8_t tag[NX_TAG_LEN], struct nx_head head);
NX_NODISCARD nx_rc nx_bucket_hash_end(
	const struct nx_buf *scratch, uint8_t ret[NX_SHA256_LEN], struct nx_err *err);

/* ---- the ledger ---- */

struct nx_id_slot {
	uint8_t kind; /* 0: free */
	uint8_t n;
	uint8_t id[NX_LIMIT_UID];
	uint8_t tag[NX_TAG_LEN];
};

struct nx_bundle_slot {
	uint64_t number;
	uint64_t used; /* for least recently used; 0: free */
	struct nx_buf data;
};

struct nx_tile_slot {
	uint64_t number;
	unsigned level;
	bool valid;
	uint8_t hash[TILE_WIDTH][NX_SHA256_LEN];
};

struct nx_ledger {
	int dir_fd;
	char *origin;
	struct nx_key audit_key;
	struct nx_key tag_key;
	struct nx_key sign_seed;
	uint8_t pub[NX_ED25519_PUBLIC_LEN];
	struct nx_ledger_tags tags;

	pthread_mutex_t flush_lock; /* one flush, proof or export at a time; guards map, pending */
	pthread_mutex_t lock;       /* guards all below but the committer's and the caches */
	struct nx_tail tail;
	struct nx_heads heads;
	uint64_t size; /* committed */
	uint64_t group_seq;
	uint64_t durable; /* in files */
	uint64_t durable_group;
	struct nx_edge *edge;            /* as of durable */
	struct nx_checkpoint checkpoint; /* the newest */
	uint8_t note[CHECKPOINT_MAX];    /* its text */
	size_t note_len;                 /* 0: none yet */

	struct nx_tagmap map;             /* as of the newest checkpoint */
	uint8_t pending[MAP_BUCKETS / 8]; /* buckets that differ from it */

	/* committer only */
	struct nx_id_slot *ids;
	struct nx_gcm *gcm;
	struct nx_buf body;
	struct nx_buf head;
	int64_t staged_time_us;    /* of the newest entry */
	int64_t committed_time_us; /* for rollback */

	pthread_mutex_t cache_lock; /* guards the two caches; innermost */
	struct nx_bundle_slot bundles[BUNDLE_CACHE];
	uint64_t bundle_clock;
	struct nx_tile_slot *tiles;
};

/* flush.c; caller holds flush_lock. */
NX_NODISCARD nx_rc nx_flush_locked(struct nx_ledger *ledger, struct nx_err *err);
/* The tag map of the newest checkpoint is in memory afterwards. */
NX_NODISCARD nx_rc nx_flush_build_map(
	struct nx_ledger *ledger, const struct nx_snapshot *snap, struct nx_err *err);

/* read.c: the first `n` entries of a bundle, from memory or file, in the format of the file. */
NX_NODISCARD nx_rc nx_bundle_load(struct nx_ledger *ledger, uint64_t number, unsigned n,
	struct nx_buf *out, struct nx_err *err);
/* The next entry of a bundle; false at its end or where it is damaged. */
bool nx_bundle_next(struct nx_slice *bundle, struct nx_slice *ret_entry);

NX_NODISCARD nx_rc nx_entry_bytes(struct nx_ledger *ledger, uint64_t index, struct nx_arena *arena,
	struct nx_slice *ret, struct nx_err *err);
/* From `head` back to the chain's first entry. */
NX_NODISCARD nx_rc nx_chain_walk(struct nx_ledger *ledger, const uint8_t tag[NX_TAG_LEN],
	struct nx_head head,
	nx_rc (*fn)(void *payload, const struct nx_entry *entry, struct nx_err *err), void *payload,
	struct nx_err *err);

/* prove.c: inclusion path in the tree of `edge`. */
NX_NODISCARD nx_rc nx_prove_in(struct nx_ledger *ledger, const struct nx_edge *edge, uint64_t index,
	struct nx_arena *arena, uint8_t (**ret_path)[NX_SHA256_LEN], size_t *ret_n,
	struct nx_err *err);

#endif

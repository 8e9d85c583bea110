/*
 * ledger.h - every access and change, in order: a Merkle log that a stranger can verify
 * (docs/LEDGER.md).
 *
 * Layer:   2 (ledger).  Uses base, crypto.
 * Threads: nx_ledger_stage/mark/unstage/commit/rollback/replay from the committer only; everything
 * else from any thread. PHI:     leaves hold none: bodies are sealed under the audit key, subjects,
 * studies and principals appear as keyed tags.
 *
 * RFC 6962 tree over entries; C2SP tlog-tiles files (tile/<level>/..., tile/entries/...,
 * checkpoint) under the ledger's directory; checkpoints are signed notes (Ed25519) with one
 * extension line, the root of the tag map. Durability of new entries is the group record's
 * (archive); files are written behind and replayed from there.
 */
#ifndef NX_LEDGER_LEDGER_H
#define NX_LEDGER_LEDGER_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/slice.h"

struct nx_arena;
struct nx_buf;
struct nx_json;
struct nx_ledger;

/* What was done.  Numbers are on disk: append only.  One row each in actions.def: code, number,
 * wire name, PS3.15 A.5.3 / DCM event code, text. */
enum nx_action {
	NX_ACTION_NONE_ = 0, /* catches a forgotten table column */
#define NX_ACTION(code, number, wire, event, text) code = (number),
#include "ledger/actions.def"
#undef NX_ACTION
};
const char *nx_action_wire(unsigned action); /* "instance.store"; NULL if unknown */
unsigned nx_action_parse(const char *wire);  /* 0 if unknown */

enum nx_outcome {
	NX_OUTCOME_OK = 0,
	NX_OUTCOME_MINOR = 4,
	NX_OUTCOME_SERIOUS = 8,
	NX_OUTCOME_MAJOR = 12
}; /* PS3.15 A.5 */

enum {
	NX_TAG_LEN = 16,
	NX_LEDGER_CHAINS = 3
};
enum nx_chain_kind {
	NX_CHAIN_SUBJECT = 1,
	NX_CHAIN_STUDY = 2,
	NX_CHAIN_PRINCIPAL = 3
};

/* What a caller knows.  Strings and slices are borrowed for the call. */
struct nx_entry_draft {
	unsigned action;
	enum nx_outcome outcome;
	int64_t time_us;        /* 0: now; never before the newest entry's, which is taken then */
	const char *principal;  /* "" : the system itself, which has no chain */
	uint64_t subject;       /* 0: none */
	const char *study;      /* Study Instance UID; NULL: none */
	struct nx_slice detail; /* JSON object, sealed; may hold identifiers; at most 16 KiB */
};

/*
 * Chain heads live in the catalog; the archive gives access.  Called from the committer's thread
 * and from those that flush, prove, export and verify, some of them with the ledger's lock held: an
 * implementation must not call the ledger back.  The catalog may apply a group's heads any time
 * after its commit; newer heads than asked for do no harm.
 */
struct nx_ledger_tags {
	void *payload;
	/* NX_E_NOENT for a new tag. */
	nx_rc (*get)(void *payload, const uint8_t tag[NX_TAG_LEN], uint64_t *ret_count,
		uint64_t *ret_last, struct nx_err *err);
	nx_rc (*bucket)(void *payload, uint16_t bucket,
		nx_rc (*fn)(
			void *arg, const uint8_t tag[NX_TAG_LEN], uint64_t count, uint64_t last),
		void *arg, struct nx_err *err);
	/* Optional: all tags, ascending; faster than 65,536 calls of bucket() after a start. */
	nx_rc (*all)(void *payload,
		nx_rc (*fn)(
			void *arg, const uint8_t tag[NX_TAG_LEN], uint64_t count, uint64_t last),
		void *arg, struct nx_err *err);
};

struct nx_ledger_opts {
	const char *dir;
	const char *origin;             /* checkpoint origin line: "narthex.example.org/site" */
	const struct nx_key *audit_key; /* seals bodies */
	const struct nx_key *tag_key;   /* HMAC for tags */
	const struct nx_key *sign_seed; /* Ed25519 */
	struct nx_ledger_tags tags;
};

/*
 * The files hold the first nx_ledger_durable() entries; the archive replays the rest from group
 * records, and brings the catalog's heads up to date, before the first stage or flush.
 */
NX_NODISCARD nx_rc nx_ledger_open(
	const struct nx_ledger_opts *opts, struct nx_ledger **ret_ledger, struct nx_err *err);
struct nx_ledger *nx_ledger_free(struct nx_ledger *ledger); /* flushes */
NX_DEFINE_AUTO(nx_ledger);
/* Free without a flush: where the replay was cut short, or as after a crash. */
struct nx_ledger *nx_ledger_abandon(struct nx_ledger *ledger);

/* ---- committer ---- */

/* A tag whose head changed by staged entries: for NX_T_TAG rows. */
struct nx_tag_head {
	uint8_t tag[NX_TAG_LEN];
	uint64_t count;
	uint64_t last;
};

/* Give the draft the next index, link its chains, seal its body; append the entry's bytes (as they
 * go into the bundle, without length prefix) to `out`. */
NX_NODISCARD nx_rc nx_ledger_stage(struct nx_ledger *ledger, const struct nx_entry_draft *draft,
	struct nx_buf *out, uint64_t *ret_index, struct nx_err *err);
/* Where staging stands; and back to there: what was staged since never happened, as if the next
 * index had not been given out.  A mark ends with the next commit or rollback. */
uint64_t nx_ledger_mark(struct nx_ledger *ledger);
void nx_ledger_unstage(struct nx_ledger *ledger, uint64_t mark);
/* Heads of all tags touched since the last commit or rollback. */
NX_NODISCARD nx_rc nx_ledger_heads(struct nx_ledger *ledger, struct nx_arena *arena,
	struct nx_tag_head **ret, size_t *ret_n, struct nx_err *err);
/*
 * What was staged is in group `group_seq`, durable.  With more than 65,536 entries not in files the
 * call flushes, so that memory stays bounded when housekeeping cannot keep up; should that fail,
 * nx_ledger_flush() will say so.
 */
void nx_ledger_commit(struct nx_ledger *ledger, uint64_t group_seq);
void nx_ledger_rollback(struct nx_ledger *ledger); /* what was staged never happened */
/* At start-up, in order: an entry found in a group record.  Indices below nx_ledger_size() are
 * ignored, a gap is NX_E_CORRUPT. */
NX_NODISCARD nx_rc nx_ledger_replay(struct nx_ledger *ledger, uint64_t group_seq, uint64_t index,
	struct nx_slice entry, struct nx_err *err);

/* ---- files, checkpoints ---- */

uint64_t nx_ledger_size(struct nx_ledger *ledger); /* entries, durable in files or group records */
/* Entries on stable storage in the ledger's own files, and the group sequence they reach to. */
void nx_ledger_durable(struct nx_ledger *ledger, uint64_t *ret_size, uint64_t *ret_group_seq);
/* Write bundles, tiles and a signed checkpoint for all committed entries; sync.  Called by the
 * archive's housekeeping thread every second there is something new, and before exports. */
NX_NODISCARD nx_rc nx_ledger_flush(struct nx_ledger *ledger, struct nx_err *err);
/* The newest signed checkpoint, as text. */
NX_NODISCARD nx_rc nx_ledger_checkpoint(
	struct nx_ledger *ledger, struct nx_buf *out, struct nx_err *err);
/* "name+hash+base64" verifier key line of signed notes. */
void nx_ledger_verifier_key(struct nx_ledger *ledger, struct nx_buf *out);

/* ---- reading ---- */

struct nx_entry {
	uint64_t index;
	int64_t time_us;
	unsigned action;
	enum nx_outcome outcome;
	struct {
		uint8_t kind; /* 0: unused */
		uint8_t tag[NX_TAG_LEN];
		uint64_t count; /* 1 for the first entry of a chain */
		uint64_t prev;  /* UINT64_MAX for the first */
	} chains[NX_LEDGER_CHAINS];
	struct nx_slice body; /* sealed */
};

NX_NODISCARD nx_rc nx_entry_parse(
	uint64_t index, struct nx_slice bytes, struct nx_entry *ret, struct nx_err *err);
/* The body opened: JSON {"principal":"...", "subject":"16 hex digits" or null, "study":"..." or
 * null, "detail":{...}}. */
NX_NODISCARD nx_rc nx_ledger_body(struct nx_ledger *ledger, const struct nx_entry *entry,
	struct nx_arena *arena, struct nx_slice *ret_json, struct nx_err *err);
NX_NODISCARD nx_rc nx_ledger_entry(struct nx_ledger *ledger, uint64_t index, struct nx_arena *arena,
	struct nx_entry *ret, struct nx_err *err);
void nx_ledger_tag(struct nx_ledger *ledger, enum nx_chain_kind kind, struct nx_slice id,
	uint8_t ret[NX_TAG_LEN]);
void nx_ledger_tag_subject(struct nx_ledger *ledger, uint64_t subject, uint8_t ret[NX_TAG_LEN]);

/* Walk one chain from its newest entry back; `fn` may stop it with any failure. */
NX_NODISCARD nx_rc nx_ledger_chain(struct nx_ledger *ledger, const uint8_t tag[NX_TAG_LEN],
	nx_rc (*fn)(void *payload, const struct nx_entry *entry, struct nx_err *err), void *payload,
	struct nx_err *err);
/* Entries with from <= index < to. */
NX_NODISCARD nx_rc nx_ledger_range(struct nx_ledger *ledger, uint64_t from, uint64_t to,
	nx_rc (*fn)(void *payload, const struct nx_entry *entry, struct nx_err *err), void *payload,
	struct nx_err *err);

struct nx_ledger_query {
	int64_t from_us; /* from_us <= time < to_us */
	int64_t to_us;   /* 0: no end */
	unsigned action; /* 0: any */
	int outcome;     /* enum nx_outcome; -1: any */
	bool newest;     /* first; else oldest first */
};
/* Entries that match, in that order; times never go back, so that the first is found by halving. */
NX_NODISCARD nx_rc nx_ledger_search(struct nx_ledger *ledger, const struct nx_ledger_query *query,
	nx_rc (*fn)(void *payload, const struct nx_entry *entry, struct nx_err *err), void *payload,
	struct nx_err *err);

/* RFC 6962 2.1.1 inclusion proof of `index` in the tree of the newest checkpoint. */
NX_NODISCARD nx_rc nx_ledger_prove(struct nx_ledger *ledger, uint64_t index, struct nx_arena *arena,
	uint8_t (**ret_path)[32], size_t *ret_n, struct nx_err *err);

/* Everything recomputed from the files: tree, checkpoint signature, chains, tag map.  On failure
 * the text names the first altered, missing or reordered entry. */
NX_NODISCARD nx_rc nx_ledger_verify(
	struct nx_ledger *ledger, uint64_t *ret_entries, struct nx_err *err);

/* One patient's (or study's, or principal's) accounting as JSON with all proofs: entries, inclusion
 * paths, the map bucket with its path, checkpoint: what the offline verifier reads
 * (docs/LEDGER.md). */
NX_NODISCARD nx_rc nx_ledger_proof_bundle(struct nx_ledger *ledger, const uint8_t tag[NX_TAG_LEN],
	bool open_bodies, struct nx_buf *out, struct nx_err *err);
/* The whole log into `dir` in tlog-tiles layout, with checkpoint, verifier key and tag map. */
NX_NODISCARD nx_rc nx_ledger_export(struct nx_ledger *ledger, const char *dir, struct nx_err *err);
/*
 * What a restore needs, into `dir`, beside commits.  Tiles that the first `from` entries fill are
 * there from an earlier copy and are not written again; nothing of that copy is changed.  `fn`
 * hears the name of every file that belongs to this one.  "state-<entries>" becomes "state" where
 * the ledger is opened again.
 */
struct nx_ledger_copy {
	uint64_t entries;
	uint64_t group_seq; /* the last group in it */
};
NX_NODISCARD nx_rc nx_ledger_backup(struct nx_ledger *ledger, const char *dir, uint64_t from,
	nx_rc (*fn)(void *payload, const char *path, struct nx_err *err), void *payload,
	struct nx_ledger_copy *ret, struct nx_err *err);

#endif

/*
 * keys_priv.h - the inside of the key store: its files, its log format, its tables in memory.
 *
 * Layer:   2 (keys).  Private to src/keys and its tests.
 * Threads: as each part says.
 * PHI:     none.
 */
#ifndef NX_KEYS_KEYS_PRIV_H
#define NX_KEYS_KEYS_PRIV_H

#include <pthread.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/rd.h"
#include "crypto/crypto.h"
#include "keys/keys_drv.h"

#define NX_KEYS_LOG  "keys.nxk"
#define NX_KEYS_ROOT "root.key"

/* places.c: the directories.  Every change of a file is a step, which tests can make fail. */
struct nx_place {
	int dir_fd;
	int lock_fd; /* two that append would write over each other's keys */
	int log_fd;
};

struct nx_places {
	size_t n;
	struct nx_place at[NX_LIMIT_KEY_PLACES];
};

NX_NODISCARD nx_rc nx_places_open(
	const struct nx_keys_opts *opts, bool make, struct nx_places *ret, struct nx_err *err);
/* NX_E_BUSY: another process has one of them. */
NX_NODISCARD nx_rc nx_places_hold(struct nx_places *places, struct nx_err *err);
void nx_places_done(struct nx_places *places);
bool nx_places_any_has(const struct nx_places *places, const char *name);
NX_NODISCARD nx_rc nx_place_read(const struct nx_places *places, size_t i, const char *name,
	struct nx_buf *ret, struct nx_err *err);
/* Atomically; what was there before is overwritten as well as the file system lets us. */
NX_NODISCARD nx_rc nx_place_replace(struct nx_places *places, size_t i, const char *name,
	struct nx_slice data, struct nx_err *err);
NX_NODISCARD nx_rc nx_places_replace(
	struct nx_places *places, const char *name, struct nx_slice data, struct nx_err *err);
/* A further place, empty, the last of the set; what fails leaves the set as it was. */
NX_NODISCARD nx_rc nx_places_add(struct nx_places *places, const char *dir, struct nx_err *err);
void nx_places_drop_last(struct nx_places *places);
/* Open the log of every place for nx_places_append(). */
NX_NODISCARD nx_rc nx_places_log_open(struct nx_places *places, struct nx_err *err);
/* At `off` in every place, and on stable storage there when it returns NX_OK. */
NX_NODISCARD nx_rc nx_places_append(
	struct nx_places *places, uint64_t off, struct nx_slice data, struct nx_err *err);

/* Tests: this many more steps succeed, then every one fails, as after a kill.  Below 0: no limit.
 */
extern int nx_keys_steps_left;

/* log.c: bytes of keys.nxk, docs/formats/KEY-STORE.md. */
enum {
	NX_KEYLOG_HEADER_LEN = 64,
	NX_KEYLOG_STORE_ID_LEN = 16,
	NX_KEYREC_MAX = 512, /* a record is never longer */
	NX_KEYREC_SUBJECT_LEN = 8 + 4 + 4 + 8 + NX_KW_LEN + 4,
	NX_KEYLOG_COMPAT_KNOWN = 0,
};

struct nx_keylog_header {
	uint32_t compat;
	uint32_t incompat;
	uint64_t generation; /* one more for every rewrite */
	uint64_t root_version;
	uint8_t store_id[NX_KEYLOG_STORE_ID_LEN];
};

enum nx_keyrec_type {
	NX_KEYREC_SITE = 1,
	NX_KEYREC_DOMAIN = 2,
	NX_KEYREC_PURPOSE = 3,
	NX_KEYREC_NODE = 4,
	NX_KEYREC_SUBJECT = 5,
	NX_KEYREC_ERASED = 6,
};

struct nx_keyrec {
	uint8_t type;
	uint32_t domain;
	uint32_t node;
	uint32_t version;
	uint64_t subject;
	int64_t time_us;
	struct nx_slice name;
	struct nx_slice wrap;
};

enum nx_keylog_end {
	NX_KEYLOG_CLEAN,   /* ends with a whole record */
	NX_KEYLOG_TORN,    /* then the trace of an append that was under way */
	NX_KEYLOG_DAMAGED, /* then something that no append leaves */
};

struct nx_keylog {
	struct nx_keylog_header header;
	size_t valid; /* bytes up to and with the last good record */
	enum nx_keylog_end end;
};

void nx_keylog_header_put(struct nx_buf *buf, const struct nx_keylog_header *header);
/* Header and checksums of all records; NX_E_CORRUPT, NX_E_VERSION for the header only. */
NX_NODISCARD nx_rc nx_keylog_check(
	struct nx_slice file, struct nx_keylog *ret_log, struct nx_err *err);
void nx_keyrec_put(struct nx_buf *buf, const struct nx_keyrec *rec);
/* False at the end or where the bytes are not a good record. */
bool nx_keyrec_next(struct nx_rd *rd, struct nx_keyrec *ret_rec);

/* keyset.c: the wraps in memory.  Callers hold nx_keys.lock. */
enum {
	NX_NODE_SUBJECTS = 256
};

struct nx_keyentry {
	uint64_t subject;
	uint8_t wrap[NX_KW_LEN]; /* under the node's key */
};

struct nx_keynode {
	uint32_t domain; /* id */
	uint32_t index;  /* within the domain */
	uint32_t n;
	uint8_t wrap[NX_KW_LEN]; /* under the domain's key */
	struct nx_keyentry entries[NX_NODE_SUBJECTS];
};

struct nx_keyname {
	char name[NX_LIMIT_NAME];
	struct nx_root_wrap wrap; /* site key: under the root; purpose key: under its domain */
	uint64_t at;              /* usable once nx_keys.synced has come this far */
};

struct nx_keynames {
	struct nx_keyname *at;
	size_t n;
};

struct nx_keydomain {
	char name[NX_LIMIT_NAME];
	uint32_t id;
	uint32_t version;
	uint64_t at;
	struct nx_root_wrap wrap;
	struct nx_secret *key;
	struct nx_keynames purposes;
	uint32_t *nodes; /* numbers in nx_keyset.nodes, by index */
	uint32_t n_nodes;
};

struct nx_keyerased {
	uint64_t subject;
	int64_t time_us;
};

struct nx_keyset {
	struct nx_keynames sites;
	struct nx_keydomain **domains; /* id - 1 */
	uint32_t n_domains;
	struct nx_keynode **nodes;
	uint32_t n_nodes;
	uint32_t *index; /* open addressing: node number * 256 + slot + 1 */
	uint64_t mask;
	uint64_t n_subjects;
	struct nx_keyerased *erased; /* sorted by subject */
	size_t n_erased;
};

void nx_keyset_done(struct nx_keyset *set);
struct nx_keyname *nx_keynames_find(const struct nx_keynames *names, struct nx_slice name);
/* NULL without memory or past the limit. */
struct nx_keyname *nx_keynames_add(struct nx_keynames *names, struct nx_slice name);
struct nx_keydomain *nx_keyset_domain(const struct nx_keyset *set, uint32_t id);
struct nx_keydomain *nx_keyset_domain_named(const struct nx_keyset *set, struct nx_slice name);
struct nx_keydomain *nx_keyset_domain_add(struct nx_keyset *set, struct nx_slice name);
/* The node with room for one more; *ret_made when it is new and its wrap must be filled in. */
struct nx_keynode *nx_keyset_node_room(
	struct nx_keyset *set, struct nx_keydomain *domain, bool *ret_made);
struct nx_keynode *nx_keyset_node_add(struct nx_keyset *set, struct nx_keydomain *domain);
struct nx_keynode *nx_keyset_node(
	const struct nx_keyset *set, const struct nx_keydomain *domain, uint32_t index);
/* Into `node`, which has room; NULL without memory. */
struct nx_keyentry *nx_keyset_subject_add(
	struct nx_keyset *set, struct nx_keynode *node, uint64_t subject);
struct nx_keyentry *nx_keyset_subject(const struct nx_keyset *set, uint32_t domain,
	uint64_t subject, struct nx_keynode **ret_node);
bool nx_keyset_subject_del(struct nx_keyset *set, uint32_t domain, uint64_t subject);
bool nx_keyset_is_erased(const struct nx_keyset *set, uint64_t subject);
NX_NODISCARD bool nx_keyset_erased_add(struct nx_keyset *set, uint64_t subject, int64_t time_us);

/* What a wrap belongs to; it opens only with the same. */
struct nx_kwctx {
	size_t n;
	uint8_t b[1 + 4 + 8 + NX_LIMIT_NAME];
};
struct nx_kwctx nx_kwctx(uint8_t type, uint32_t domain, uint64_t id, struct nx_slice name);
void nx_child_wrap(const struct nx_key *parent, const struct nx_kwctx *ctx,
	const struct nx_key *key, uint8_t ret[NX_KW_LEN]);
NX_NODISCARD nx_rc nx_child_unwrap(const struct nx_key *parent, const struct nx_kwctx *ctx,
	const uint8_t wrap[NX_KW_LEN], struct nx_key *ret_key, struct nx_err *err);

struct nx_keys {
	pthread_mutex_t io_lock; /* one writer of the files; taken before `lock` */
	pthread_mutex_t lock;    /* guards what follows */
	struct nx_root *root;
	struct nx_keyset set;
	struct nx_keylog_header header;
	struct nx_buf pending; /* records not yet written */
	uint64_t appended;     /* records ever appended, and of them on stable storage */
	uint64_t synced;
	uint64_t log_len;
	nx_rc failed;       /* no more writing: one failed, or the log has unknown compat flags */
	bool rekey_pending; /* a subject is marked erased, and its old wraps are still in the log */
	struct nx_places places; /* guarded by io_lock */
};

/* NX_OK, or why nothing can be changed.  Caller holds keys->lock. */
NX_NODISCARD nx_rc nx_keys_writable(const struct nx_keys *keys, struct nx_err *err);
/* Room for `n` records, so that putting them cannot fail.  Caller holds keys->lock. */
NX_NODISCARD nx_rc nx_keys_room(struct nx_keys *keys, size_t n, struct nx_err *err);
void nx_keys_append(struct nx_keys *keys, const struct nx_keyrec *rec);
/* Caller holds keys->io_lock. */
NX_NODISCARD nx_rc nx_keys_flush(struct nx_keys *keys, struct nx_err *err);
/* load.c: apply the records of a checked log to the empty set. */
NX_NODISCARD nx_rc nx_keys_load(struct nx_keys *keys, struct nx_slice records, struct nx_err *err);
void nx_keys_domain_key(const struct nx_keydomain *domain, struct nx_key *ret);
NX_NODISCARD nx_rc nx_keys_node_key(const struct nx_keydomain *domain,
	const struct nx_keynode *node, struct nx_key *ret, struct nx_err *err);

/* rekey.c: take the marked subjects' wraps out of the present; caller holds keys->io_lock. */
NX_NODISCARD nx_rc nx_keys_rekey(struct nx_keys *keys, struct nx_err *err);
/* The whole set as a log. */
void nx_keys_dump(const struct nx_keys *keys, struct nx_buf *buf);

#endif

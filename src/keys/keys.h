/*
 * keys.h - the key hierarchy: root version -> domain -> node -> subject, in a store of its own.
 *
 * Layer:   2 (keys).  Uses base, crypto.
 * Threads: a struct nx_keys may be shared between threads.
 * PHI:     none; subjects are internal random numbers.  Keys leave only as struct nx_key copies for
 * one use.
 *
 * The store is kept in two or more places (directories), each with `root.key` (the driver's, sealed
 * by a passphrase) and `keys.nxk` (append-only log of wraps, docs/formats/KEY-STORE.md).  Every
 * change is in all places before it counts.  Erasing a subject re-keys its node, its domain and the
 * root version, so that no older copy of keys.nxk opens anything of it under the present root.
 *
 * A write that fails is never retried: from then on the store gives keys and takes no changes, with
 * the same error, until it is opened again, which repairs what was cut short.
 */
#ifndef NX_KEYS_KEYS_H
#define NX_KEYS_KEYS_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/slice.h"

struct nx_keys;

/* Subject 0 of a domain is "no subject": its key is the collection-level key for things without
 * one. */
typedef uint64_t nx_subject;

struct nx_keys_opts {
	const char *driver;        /* "file"; "mem": the root lives as long as the process */
	const char *const *places; /* directories; the first is the one read */
	size_t n_places;           /* >= 1 */
	struct nx_slice passphrase;
	uint32_t argon2_kib; /* 0: 65536 */
};

/* Make root.key and an empty store in every place; NX_E_EXISTS if any is there. */
NX_NODISCARD nx_rc nx_keys_create(const struct nx_keys_opts *opts, struct nx_err *err);
/* NX_E_BUSY where another process has a place.  NX_E_KEY for a wrong passphrase, or a log under a
 * root version that is gone.  A place that lags behind is brought up to date, an interrupted
 * erasure is finished.  NX_E_CORRUPT names the place.
 */
NX_NODISCARD nx_rc nx_keys_open(
	const struct nx_keys_opts *opts, struct nx_keys **ret_keys, struct nx_err *err);
struct nx_keys *nx_keys_free(struct nx_keys *keys);
NX_DEFINE_AUTO(nx_keys);

/* A named site key (domain 0), made on first use: "catalog", "log", "audit", "audit-tag",
 * "ledger-sign", ... */
NX_NODISCARD nx_rc nx_keys_site(
	struct nx_keys *keys, const char *name, struct nx_key *ret_key, struct nx_err *err);

/* Domains: (environment x sensitivity), "prod/phi".  `id` is > 0 and stable. */
NX_NODISCARD nx_rc nx_keys_domain(
	struct nx_keys *keys, const char *name, bool create, uint32_t *ret_id, struct nx_err *err);
/* A key derived from the domain key for a purpose ("handle"): changes never, so it is drawn once
 * and wrapped. */
NX_NODISCARD nx_rc nx_keys_domain_purpose(struct nx_keys *keys, uint32_t domain,
	const char *purpose, struct nx_key *ret_key, struct nx_err *err);

/*
 * Make the key of a subject in a domain.  It is usable at once but durable only after
 * nx_keys_sync(): the committer calls that for all new subjects of a group before it answers.
 * NX_E_EXISTS, NX_E_ERASED.
 */
NX_NODISCARD nx_rc nx_keys_subject_new(struct nx_keys *keys, uint32_t domain, nx_subject subject,
	struct nx_key *ret_key, struct nx_err *err);
NX_NODISCARD nx_rc nx_keys_subject(struct nx_keys *keys, uint32_t domain, nx_subject subject,
	struct nx_key *ret_key, struct nx_err *err); /* NX_E_NOENT, NX_E_ERASED */
/* Everything appended so far is on stable storage in every place. */
NX_NODISCARD nx_rc nx_keys_sync(struct nx_keys *keys, struct nx_err *err);
bool nx_keys_pending(struct nx_keys *keys); /* appended and not yet synced */

/*
 * Destroy the subject's keys in all domains: within this call they stop working, and on return no
 * place holds a wrap that the present root opens.  Idempotent; NX_E_NOENT if the subject never had
 * a key. *ret_places: how many places confirmed.
 */
NX_NODISCARD nx_rc nx_keys_erase(
	struct nx_keys *keys, nx_subject subject, size_t *ret_places, struct nx_err *err);
bool nx_keys_erased(struct nx_keys *keys, nx_subject subject);
/* The i-th erased subject, 0 <= i < nx_keys_status.n_erased. */
NX_NODISCARD nx_rc nx_keys_erased_at(
	struct nx_keys *keys, uint64_t i, nx_subject *ret_subject, struct nx_err *err);

/* New domain key; rewraps its nodes; touches no subject key and no data. */
NX_NODISCARD nx_rc nx_keys_rotate_domain(struct nx_keys *keys, uint32_t domain, struct nx_err *err);
/* New passphrase for root.key in every place. */
NX_NODISCARD nx_rc nx_keys_set_passphrase(
	struct nx_keys *keys, struct nx_slice passphrase, struct nx_err *err);

/*
 * One more place, in step with the others from here on: whoever opens the store later must name it
 * too, or it stays behind and erasures do not reach it.  NX_E_EXISTS when a key store is there.
 */
NX_NODISCARD nx_rc nx_keys_place_add(struct nx_keys *keys, const char *dir, struct nx_err *err);

struct nx_keys_status {
	uint64_t root_version;
	uint32_t n_domains;
	uint64_t n_subjects;
	uint64_t n_erased;
	uint64_t log_bytes;
	size_t n_places;
	bool closed; /* takes no new keys, and no other change, until it is opened again */
};
void nx_keys_status(struct nx_keys *keys, struct nx_keys_status *ret);
/* Domain by index 0..n_domains-1. */
NX_NODISCARD nx_rc nx_keys_domain_at(struct nx_keys *keys, uint32_t i, uint32_t *ret_id,
	char ret_name[64], uint32_t *ret_version, struct nx_err *err);

#endif

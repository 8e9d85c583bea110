/*
 * admin_priv.h - what the files of this module share.
 *
 * Layer:   3 (lifecycle), private.
 * Threads: see admin.h.
 * PHI:     none.
 */
#ifndef NX_LIFECYCLE_ADMIN_PRIV_H
#define NX_LIFECYCLE_ADMIN_PRIV_H

#include <pthread.h>

#include "access/access.h"
#include "archive/archive.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "catalog/catalog.h"
#include "keys/keys.h"
#include "ledger/ledger.h"
#include "lifecycle/admin.h"

struct nx_admin {
	struct nx_archive *archive;
	const char *environment;
	const char *on_conflict;
	pthread_mutex_t lock; /* look, then change: names stay unique */
};

/* What an entry says: up to three names and values. */
struct note {
	unsigned action;
	enum nx_outcome outcome;
	const char *what;
	const char *keys[4];
	const char *values[4];
};

/* NX_E_DENIED, recorded. */
NX_NODISCARD nx_rc admin_guard(struct nx_admin *admin, const struct nx_principal *who,
	enum nx_perm perm, const char *what, struct nx_err *err);
NX_NODISCARD nx_rc admin_record(struct nx_admin *admin, const struct nx_principal *who,
	const struct note *note, struct nx_err *err);
/* Its entry, in a change that the caller commits. */
NX_NODISCARD nx_rc admin_change_note(const struct nx_principal *who, const struct note *note,
	struct nx_change *change, struct nx_err *err);
/* One row operation with its entry. */
NX_NODISCARD nx_rc admin_change(struct nx_admin *admin, const struct nx_principal *who,
	const struct nx_op *op, const struct note *note, struct nx_err *err);
/* 1-64 of letters, digits, '.', '_', '-'; `upper` allows capitals. */
NX_NODISCARD nx_rc admin_name_check(
	const char *what, const char *name, bool upper, struct nx_err *err);
/* An AE title (PS3.5 6.2). */
NX_NODISCARD nx_rc admin_ae_check(const char *what, const char *ae, struct nx_err *err);
void admin_json_time(struct nx_json *json, const char *key, int64_t us); /* 0: null */
void admin_json_text(struct nx_json *json, const char *key, const struct nx_val *v);
/* Rows of a table as {"name":[...]}. */
struct admin_listing {
	const char *what; /* as the ledger names a refusal */
	const char *name;
	enum nx_table table;
	void (*row)(struct nx_json *json, const struct nx_val *vals);
};
NX_NODISCARD nx_rc admin_list(struct nx_admin *admin, const struct nx_principal *who,
	const struct admin_listing *listing, struct nx_buf *out, struct nx_err *err);
struct nx_arena *admin_arena(struct nx_err *err);

#endif

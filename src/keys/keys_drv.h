/*
 * keys_drv.h - what a root driver implements: versions of the root key, and wrapping under them.
 *
 * Layer:   2 (keys).  For src/keys and its tests.
 * Threads: the front end makes one call at a time into an instance, except wrap and unwrap, which
 *          it serialises with everything else by its own lock.
 * PHI:     none.
 */
#ifndef NX_KEYS_KEYS_DRV_H
#define NX_KEYS_KEYS_DRV_H

#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"
#include "base/slice.h"
#include "keys/keys.h"

struct nx_places;
struct nx_root;

enum {
	NX_ROOT_WRAP_MAX = 256 /* the longest wrap a driver may give */
};

struct nx_root_wrap {
	uint16_t n;
	uint8_t b[NX_ROOT_WRAP_MAX];
};

struct nx_root_ops {
	const char *name;
	/* Required.  Make version 1, durable on NX_OK.  NX_E_EXISTS where there is a root already.
	 */
	nx_rc (*create)(const struct nx_keys_opts *opts, struct nx_places *places,
		struct nx_root **ret_root, struct nx_err *err);
	/* Required.  NX_E_KEY for a wrong passphrase.  Changes nothing. */
	nx_rc (*open)(const struct nx_keys_opts *opts, struct nx_places *places,
		struct nx_root **ret_root, struct nx_err *err);
	/* Required.  Never fails; called once, with no other call in flight. */
	void (*close)(struct nx_root *root);
	/* Required. */
	bool (*has_version)(struct nx_root *root, uint64_t version);
	/*
	 * Required.  Wrap `key` under a version; `context` says what the key is, and the wrap opens
	 * only with the same context.  NX_E_KEY when the version is not there.
	 */
	nx_rc (*wrap)(struct nx_root *root, uint64_t version, struct nx_slice context,
		const struct nx_key *key, struct nx_root_wrap *ret, struct nx_err *err);
	/* Required.  NX_E_KEY when it does not open. */
	nx_rc (*unwrap)(struct nx_root *root, uint64_t version, struct nx_slice context,
		struct nx_slice wrapped, struct nx_key *ret_key, struct nx_err *err);
	/* Required.  A new version beside the present one, durable everywhere on NX_OK. */
	nx_rc (*version_new)(struct nx_root *root, uint64_t *ret_version, struct nx_err *err);
	/*
	 * Required.  Destroy every version but `version`, everywhere; repairs what an interrupted
	 * call left.  Idempotent.  NX_E_KEY, with nothing changed, when `version` is not there.
	 */
	nx_rc (*version_keep)(struct nx_root *root, uint64_t version, struct nx_err *err);
	/* Optional: NULL where the driver knows no passphrase. */
	nx_rc (*set_passphrase)(
		struct nx_root *root, struct nx_slice passphrase, struct nx_err *err);
};

struct nx_root { /* first member of every driver's own struct */
	const struct nx_root_ops *ops;
};

extern const struct nx_root_ops nx_root_drv_file;
extern const struct nx_root_ops nx_root_drv_mem; /* versions live as long as the process */

/* Versions of a root key in locked memory: for drivers that hold the key themselves. */
enum {
	NX_ROOTSET_MAX = 2 /* the present one, and the next while an erasure is under way */
};

struct nx_rootset {
	size_t n;
	uint64_t version[NX_ROOTSET_MAX];
	struct nx_secret *keys; /* NX_ROOTSET_MAX keys */
};

NX_NODISCARD nx_rc nx_rootset_init(struct nx_rootset *set, struct nx_err *err);
void nx_rootset_done(struct nx_rootset *set);
uint8_t *nx_rootset_find(const struct nx_rootset *set, uint64_t version); /* NULL: not there */
/* The same version twice must be the same key; else, or with no room, NX_E_CORRUPT. */
NX_NODISCARD nx_rc nx_rootset_add(
	struct nx_rootset *set, uint64_t version, const uint8_t *key, struct nx_err *err);
/* A random key, numbered one past the highest. */
NX_NODISCARD nx_rc nx_rootset_draw(
	struct nx_rootset *set, uint64_t *ret_version, struct nx_err *err);
NX_NODISCARD nx_rc nx_rootset_keep(struct nx_rootset *set, uint64_t version, struct nx_err *err);
NX_NODISCARD nx_rc nx_rootset_wrap(const struct nx_rootset *set, uint64_t version,
	struct nx_slice context, const struct nx_key *key, struct nx_root_wrap *ret,
	struct nx_err *err);
NX_NODISCARD nx_rc nx_rootset_unwrap(const struct nx_rootset *set, uint64_t version,
	struct nx_slice context, struct nx_slice wrapped, struct nx_key *ret_key,
	struct nx_err *err);

#endif

#include <stdlib.h>
#include <string.h>

#include "keys/keys_priv.h"

/* To add a driver: write drv_<name>.c, declare its ops in keys_drv.h, list it here. */
static const struct nx_root_ops *const drivers[] = {&nx_root_drv_file, &nx_root_drv_mem};

static const struct nx_root_ops *driver_named(const char *name)
{
	for (size_t i = 0; name && i < NX_ARRAY_LEN(drivers); i++)
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	return NULL;
}

/* keys.nxk first: alone it is worth nothing, and a second try is refused by it. */
static nx_rc create_in(const struct nx_root_ops *ops, const struct nx_keys_opts *opts,
	struct nx_places *places, struct nx_err *err)
{
	struct nx_keylog_header header = {.generation = 1, .root_version = 1};
	struct nx_root *root = NULL;
	NX_AUTO_DONE(nx_buf) buf;
	nx_rc rc;

	nx_buf_init(&buf, NX_KEYLOG_HEADER_LEN, 0);
	if (nx_places_any_has(places, NX_KEYS_LOG) || nx_places_any_has(places, NX_KEYS_ROOT))
		return nx_err_set(err, NX_E_EXISTS, "a key store is there");
	nx_random(header.store_id, sizeof(header.store_id));
	nx_keylog_header_put(&buf, &header);
	rc = nx_buf_check(&buf, err);
	if (!rc)
		rc = nx_places_replace(places, NX_KEYS_LOG, nx_buf_slice(&buf), err);
	if (!rc)
		rc = ops->create(opts, places, &root, err);
	if (root)
		ops->close(root);
	return rc;
}

nx_rc nx_keys_create(const struct nx_keys_opts *opts, struct nx_err *err)
{
	const struct nx_root_ops *ops = driver_named(opts->driver);
	struct nx_places places;
	nx_rc rc;

	if (!ops)
		return nx_err_set(err, NX_E_CONFIG, "no such key driver");
	rc = nx_places_open(opts, true, &places, err);
	if (!rc)
		rc = create_in(ops, opts, &places, err);
	nx_places_done(&places);
	return rc;
}

/* The logs of all places, side by side. */
struct logs {
	size_t n;
	size_t best;
	struct nx_buf buf[NX_LIMIT_KEY_PLACES];
	struct nx_keylog log[NX_LIMIT_KEY_PLACES];
	bool same[NX_LIMIT_KEY_PLACES]; /* holds the best log's good part and no more */
};

static void logs_done(struct logs *logs)
{
	for (size_t i = 0; i < logs->n; i++)
		nx_buf_done(&logs->buf[i]);
}

static nx_rc logs_read(const struct nx_places *places, struct logs *logs, struct nx_err *err)
{
	nx_rc rc;

	logs->n = 0;
	for (size_t i = 0; i < places->n; i++) {
		nx_buf_init(&logs->buf[i], NX_LIMIT_KEY_LOG, 0);
		logs->n = i + 1;
		rc = nx_place_read(places, i, NX_KEYS_LOG, &logs->buf[i], err);
		if (rc)
			return rc;
		rc = nx_keylog_check(nx_buf_slice(&logs->buf[i]), &logs->log[i], err);
		if (rc)
			return nx_err_prefix(err, rc, "key place %zu", i + 1);
	}
	return NX_OK;
}

/* The later generation; of one generation, the longer; of one length, the one that ends better. */
static bool better(const struct nx_keylog *a, const struct nx_keylog *b)
{
	if (a->header.generation != b->header.generation)
		return a->header.generation > b->header.generation;
	if (a->valid != b->valid)
		return a->valid > b->valid;
	return a->end < b->end;
}

/* Every place holds the same log or a beginning of it, or one of an earlier generation. */
static nx_rc logs_compare(struct logs *logs, struct nx_err *err)
{
	const struct nx_keylog *best;

	logs->best = 0;
	for (size_t i = 1; i < logs->n; i++)
		if (better(&logs->log[i], &logs->log[logs->best]))
			logs->best = i;
	best = &logs->log[logs->best];
	if (best->end == NX_KEYLOG_DAMAGED)
		return nx_err_set(err, NX_E_CORRUPT, "key place %zu: log is damaged at %zu",
			logs->best + 1, best->valid);
	for (size_t i = 0; i < logs->n; i++) {
		const struct nx_keylog *log = &logs->log[i];

		if (memcmp(log->header.store_id, best->header.store_id, NX_KEYLOG_STORE_ID_LEN) !=
			0)
			return nx_err_set(
				err, NX_E_CONFLICT, "key place %zu is of another store", i + 1);
		if (log->header.generation == best->header.generation &&
			memcmp(logs->buf[i].data, logs->buf[logs->best].data, log->valid) != 0)
			return nx_err_set(err, NX_E_CONFLICT, "key places %zu and %zu differ",
				logs->best + 1, i + 1);
	}
	return NX_OK;
}

/* What is left of the other logs is whether they must be replaced; they may be large. */
static void logs_drop_others(struct logs *logs)
{
	const struct nx_buf *best = &logs->buf[logs->best];
	struct nx_slice good = nx_slice(best->data, logs->log[logs->best].valid);

	for (size_t i = 0; i < logs->n; i++)
		logs->same[i] = nx_slice_eq(nx_buf_slice(&logs->buf[i]), good);
	for (size_t i = 0; i < logs->n; i++)
		if (i != logs->best)
			nx_buf_done(&logs->buf[i]);
}

/* Bring every place to the best log, cut after its last good record. */
static nx_rc logs_heal(struct nx_keys *keys, const struct logs *logs, struct nx_err *err)
{
	struct nx_slice best = nx_slice(logs->buf[logs->best].data, logs->log[logs->best].valid);
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < logs->n && !rc; i++)
		if (!logs->same[i])
			rc = nx_place_replace(&keys->places, i, NX_KEYS_LOG, best, err);
	return rc;
}

/*
 * Nothing is written before everything was read and opened.  Then the logs first: a root version
 * goes only when no place's log needs it.
 */
static nx_rc repair(struct nx_keys *keys, const struct logs *logs, struct nx_err *err)
{
	struct nx_root *root = keys->root;
	nx_rc rc = logs_heal(keys, logs, err);

	if (!rc)
		rc = nx_places_log_open(&keys->places, err);
	if (!rc)
		rc = root->ops->version_keep(root, keys->header.root_version, err);
	if (!rc && keys->rekey_pending)
		rc = nx_keys_rekey(keys, err);
	return rc;
}

static nx_rc open_logs(struct nx_keys *keys, struct logs *logs, struct nx_err *err)
{
	const struct nx_keylog *best;
	struct nx_slice records;
	nx_rc rc = logs_read(&keys->places, logs, err);

	if (!rc)
		rc = logs_compare(logs, err);
	if (rc)
		return rc;
	logs_drop_others(logs);
	best = &logs->log[logs->best];
	keys->header = best->header;
	keys->log_len = best->valid;
	if (!keys->root->ops->has_version(keys->root, best->header.root_version))
		return nx_err_set(err, NX_E_KEY,
			"key log is under root version %llu, which is gone",
			(unsigned long long)best->header.root_version);
	records = nx_slice(logs->buf[logs->best].data + NX_KEYLOG_HEADER_LEN,
		best->valid - NX_KEYLOG_HEADER_LEN);
	rc = nx_keys_load(keys, records, err);
	if (rc)
		return rc;
	if (best->header.compat & ~(uint32_t)NX_KEYLOG_COMPAT_KNOWN) {
		keys->failed = NX_E_READONLY;
		return NX_OK;
	}
	return repair(keys, logs, err);
}

static nx_rc keys_new(struct nx_keys **ret, struct nx_err *err)
{
	struct nx_keys *keys = calloc(1, sizeof(*keys));

	if (!keys)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the key store");
	(void)pthread_mutex_init(&keys->io_lock, NULL);
	(void)pthread_mutex_init(&keys->lock, NULL);
	nx_buf_init(&keys->pending, NX_LIMIT_KEY_LOG, 0);
	*ret = keys;
	return NX_OK;
}

nx_rc nx_keys_open(const struct nx_keys_opts *opts, struct nx_keys **ret_keys, struct nx_err *err)
{
	const struct nx_root_ops *ops = driver_named(opts->driver);
	NX_AUTO(nx_keys) *keys = NULL;
	NX_AUTO_MEM struct logs *logs = calloc(1, sizeof(*logs));
	nx_rc rc;

	if (!ops)
		return nx_err_set(err, NX_E_CONFIG, "no such key driver");
	rc = logs ? keys_new(&keys, err) : nx_err_set(err, NX_E_NOMEM, "no memory for the log");
	if (!rc)
		rc = nx_places_open(opts, false, &keys->places, err);
	if (!rc)
		rc = nx_places_hold(&keys->places, err);
	if (!rc)
		rc = ops->open(opts, &keys->places, &keys->root, err);
	if (!rc)
		rc = open_logs(keys, logs, err);
	if (logs)
		logs_done(logs);
	if (rc)
		return rc;
	*ret_keys = NX_STEAL(keys);
	return NX_OK;
}

struct nx_keys *nx_keys_free(struct nx_keys *keys)
{
	if (!keys)
		return NULL;
	if (keys->root)
		keys->root->ops->close(keys->root);
	nx_keyset_done(&keys->set);
	nx_buf_done(&keys->pending);
	nx_places_done(&keys->places);
	(void)pthread_mutex_destroy(&keys->lock);
	(void)pthread_mutex_destroy(&keys->io_lock);
	free(keys);
	return NULL;
}

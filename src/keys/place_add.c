#include "keys/keys_priv.h"

/*
 * A new place gets the log before root.key: alone the log is worth nothing.  All under io_lock, so
 * that no change falls between the copy and the first write that goes to the new place too.
 */

static nx_rc file_copy(struct nx_places *places, const char *name, size_t max, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	nx_rc rc;

	nx_buf_init(&buf, max, 0);
	rc = nx_place_read(places, 0, name, &buf, err);
	return rc ? rc : nx_place_replace(places, places->n - 1, name, nx_buf_slice(&buf), err);
}

/* Caller holds keys->io_lock. */
static nx_rc place_fill(struct nx_keys *keys, struct nx_err *err)
{
	nx_rc rc = file_copy(&keys->places, NX_KEYS_LOG, NX_LIMIT_KEY_LOG, err);

	if (!rc)
		rc = file_copy(&keys->places, NX_KEYS_ROOT, NX_KIB * 64, err);
	return rc ? rc : nx_places_log_open(&keys->places, err);
}

static nx_rc place_add(struct nx_keys *keys, const char *dir, struct nx_err *err)
{
	nx_rc rc;

	(void)pthread_mutex_lock(&keys->lock);
	rc = nx_keys_writable(keys, err);
	(void)pthread_mutex_unlock(&keys->lock);
	if (!rc)
		rc = nx_keys_flush(keys, err);
	if (rc)
		return rc;
	(void)pthread_mutex_lock(&keys->lock); /* nx_keys_status() counts them */
	rc = nx_places_add(&keys->places, dir, err);
	(void)pthread_mutex_unlock(&keys->lock);
	if (rc)
		return rc;
	rc = place_fill(keys, err);
	if (rc) {
		(void)pthread_mutex_lock(&keys->lock);
		nx_places_drop_last(&keys->places);
		(void)pthread_mutex_unlock(&keys->lock);
	}
	return rc;
}

nx_rc nx_keys_place_add(struct nx_keys *keys, const char *dir, struct nx_err *err)
{
	nx_rc rc;

	(void)pthread_mutex_lock(&keys->io_lock);
	rc = place_add(keys, dir, err);
	(void)pthread_mutex_unlock(&keys->io_lock);
	return rc;
}

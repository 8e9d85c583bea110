/*
 * Start-up: are key store and catalog of one time?  Somebody may have put back an older copy of the
 * key places.  What was erased since is erased again; without the keys that were made since, what
 * was acknowledged would be lost without a word, and more of it under new keys: that stops the
 * start.
 */
#include "archive/archive_priv.h"

#include "base/log.h"

enum {
	AGREE_ARENA_MAX = 512 * 1024 * 1024,
	NEWEST = 256 /* items that are looked at */
};

static nx_rc forgotten_erase(struct nx_archive *a, uint64_t subject, struct nx_err *err)
{
	size_t places;

	if (nx_keys_erased(a->keys, subject))
		return NX_OK;
	nx_log(NX_LOG_WARN, "archive", "keys.older",
		"the key store had an erased subject: it is erased again");
	return nx_keys_erase(a->keys, subject, &places, err);
}

static nx_rc all_forgotten(struct nx_archive *a, struct nx_arena *arena, struct nx_err *err)
{
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc = nx_cat_rows(
		a->cat, &(struct nx_rows_of){.table = NX_T_FORGET}, arena, &rows, &n, err);

	for (size_t i = 0; i < n && !rc; i++)
		rc = forgotten_erase(a, (uint64_t)rows[i].vals[0].i, err);
	return rc;
}

static nx_rc item_has_key(struct nx_archive *a, const struct nx_item *item, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) key = {{0}};
	nx_rc rc = nx_keys_subject(
		a->keys, (uint32_t)item->domain, (uint64_t)item->subject, &key, err);

	if (rc == NX_E_NOENT)
		return nx_err_set(err, NX_E_KEY,
			"the key places are older than what is stored: they have no key for item "
			"%lld; put their newest copy back",
			(long long)item->id);
	return rc == NX_E_ERASED ? NX_OK : rc;
}

static nx_rc newest_have_keys(struct nx_archive *a, struct nx_arena *arena, struct nx_err *err)
{
	struct nx_item item;
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc = nx_cat_rows(a->cat,
		&(struct nx_rows_of){.table = NX_T_ITEM, .descending = true, .limit = NEWEST},
		arena, &rows, &n, err);

	for (size_t i = 0; i < n && !rc; i++) {
		rc = nx_op_row(&rows[i], arena, &item, err);
		if (!rc)
			rc = item_has_key(a, &item, err);
	}
	return rc;
}

nx_rc keys_agree(struct nx_archive *a, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(AGREE_ARENA_MAX, NX_ARENA_WIPE);
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory to look at the newest items");
	rc = newest_have_keys(a, arena, err);
	return rc ? rc : all_forgotten(a, arena, err);
}

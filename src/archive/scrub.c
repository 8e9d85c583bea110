#include "archive/archive_priv.h"

#include "base/progress.h"

enum {
	SCRUB_PAGE = 256,
	SCRUB_ARENA_MAX = 512 * 1024 * 1024
};

struct scrub {
	struct nx_archive *a;
	struct nx_arena *arena;
	void (*bad_fn)(void *payload, int64_t item, const struct nx_err *why);
	void *payload;
	struct nx_progress *progress;
	struct nx_scrub_result *result;
	int64_t last;
	uint64_t seen;
};

static void bad(struct scrub *s, int64_t item, const struct nx_err *why)
{
	s->result->bad++;
	if (s->bad_fn)
		s->bad_fn(s->payload, item, why);
}

static void blob_check(struct scrub *s, int64_t item, const struct nx_recipe_blob *blob)
{
	struct nx_extent *extents = NULL;
	struct nx_err why = {.rc = NX_OK};
	uint64_t len = 0;
	size_t n = 0;

	if (nx_archive_extents(s->a, blob, s->arena, &extents, &n, &why)) {
		bad(s, item, &why);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		s->result->extents++;
		s->result->bytes += extents[i].len;
		len += extents[i].len;
		if (nx_extent_check(s->a->pool, &extents[i],
			    &(struct nx_extent_seal){.blob_key = &blob->key, .index = (uint32_t)i},
			    &why))
			bad(s, item, &why);
	}
	if (len != blob->stored) {
		(void)nx_err_set(&why, NX_E_CORRUPT, "blob %llu has %llu of %llu bytes",
			(unsigned long long)blob->id, (unsigned long long)len,
			(unsigned long long)blob->stored);
		bad(s, item, &why);
	}
}

static nx_rc item_check(void *payload, const void *row, struct nx_err *err)
{
	struct scrub *s = payload;
	const struct nx_item *item = row;
	struct nx_recipe *recipe;
	struct nx_err why = {.rc = NX_OK};
	nx_rc rc = nx_progress_add(s->progress, 1, err);

	if (rc)
		return rc;
	s->last = item->id;
	s->seen++;
	s->result->items++;
	nx_arena_reset(s->arena);
	rc = nx_archive_recipe(s->a, item, s->arena, &recipe, &why);
	if (rc == NX_E_ERASED) {
		s->result->erased++;
		return NX_OK;
	}
	if (rc) {
		bad(s, item->id, &why);
		return NX_OK;
	}
	for (size_t i = 0; i < recipe->n_blobs; i++)
		blob_check(s, item->id, &recipe->blobs[i]);
	return NX_OK;
}

nx_rc nx_archive_scrub(struct nx_archive *archive,
	void (*bad_fn)(void *payload, int64_t item, const struct nx_err *why), void *payload,
	struct nx_progress *progress, struct nx_scrub_result *ret, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(SCRUB_ARENA_MAX, NX_ARENA_WIPE);
	struct scrub s = {.a = archive,
		.arena = arena,
		.bad_fn = bad_fn,
		.payload = payload,
		.progress = progress,
		.result = ret};
	struct nx_cat_counts counts;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory to scrub");
	*ret = (struct nx_scrub_result){.items = 0};
	nx_archive_barrier(archive);
	rc = nx_cat_counts(archive->cat, &counts, err);
	if (rc)
		return rc;
	nx_progress_total(progress, counts.items);
	do {
		s.seen = 0;
		rc = nx_cat_items_all(archive->cat, s.last, SCRUB_PAGE, item_check, &s, err);
	} while (!rc && s.seen == SCRUB_PAGE);
	return rc;
}

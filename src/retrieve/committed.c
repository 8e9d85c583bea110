/* Storage commitment of whole studies: who asked for all that a study has will send no more of it.
 */
#include <stdlib.h>

#include "retrieve/retrieve_priv.h"

enum {
	ROW_MEMORY = 1024 * 1024,
	STUDIES_MAX = 1000 /* of one request that are looked at */
};

struct one {
	int64_t series;
	int64_t item;
};

struct tally {
	struct nx_cat *cat;
	struct nx_arena *arena;
	struct { /* of one study */
		int64_t id;
		int64_t n;
	} studies[STUDIES_MAX];
	size_t n;
};

static int one_order(const void *a, const void *b)
{
	const struct one *x = a, *y = b;

	if (x->series != y->series)
		return x->series < y->series ? -1 : 1;
	return (x->item > y->item) - (x->item < y->item);
}

/* What is held, in the order of series, each once.  Returns how many. */
static size_t ones_take(const struct nx_held *refs, size_t n, struct one *ret)
{
	size_t all = 0, kept = 0;

	for (size_t i = 0; i < n; i++)
		if (!refs[i].reason && refs[i].series)
			ret[all++] = (struct one){refs[i].series, refs[i].item};
	qsort(ret, all, sizeof(*ret), one_order);
	for (size_t i = 0; i < all; i++)
		if (!kept || one_order(&ret[i], &ret[kept - 1]) != 0)
			ret[kept++] = ret[i];
	return kept;
}

static nx_rc series_add(struct tally *t, int64_t series_id, int64_t n, struct nx_err *err)
{
	struct nx_series series;
	size_t i = 0;
	nx_rc rc;

	nx_arena_reset(t->arena);
	rc = nx_cat_series_by_id(t->cat, series_id, t->arena, &series, err);
	if (rc)
		return rc == NX_E_NOENT ? NX_OK : rc;
	while (i < t->n && t->studies[i].id != series.study)
		i++;
	if (i == STUDIES_MAX)
		return NX_OK;
	if (i == t->n)
		t->studies[t->n++].id = series.study;
	t->studies[i].n += n;
	return NX_OK;
}

static nx_rc studies_tell(struct nx_retrieve *r, struct tally *t, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < t->n && !rc; i++) {
		struct nx_study study;

		nx_arena_reset(t->arena);
		rc = nx_cat_study_by_id(t->cat, t->studies[i].id, t->arena, &study, err);
		if (!rc && study.n_instances == t->studies[i].n)
			r->on_committed(r->committed_payload, study.id, study.updated_us);
		else if (rc == NX_E_NOENT)
			rc = NX_OK;
	}
	return rc;
}

nx_rc committed_tell(
	struct nx_retrieve *r, const struct nx_held *refs, size_t n, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(ROW_MEMORY, NX_ARENA_WIPE);
	struct tally t = {.cat = nx_archive_cat(r->archive), .arena = arena};
	struct one *ones = calloc(n + 1, sizeof(*ones));
	size_t n_ones, from = 0;
	nx_rc rc = NX_OK;

	if (!arena || !ones) {
		free(ones);
		return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	}
	n_ones = ones_take(refs, n, ones);
	for (size_t i = 1; i <= n_ones && !rc; i++) {
		if (i < n_ones && ones[i].series == ones[from].series)
			continue;
		rc = series_add(&t, ones[from].series, (int64_t)(i - from), err);
		from = i;
	}
	if (!rc)
		rc = studies_tell(r, &t, err);
	free(ones);
	return rc;
}

void nx_retrieve_on_committed(struct nx_retrieve *retrieve,
	void (*fn)(void *payload, int64_t study, int64_t updated_us), void *payload)
{
	retrieve->on_committed = fn;
	retrieve->committed_payload = payload;
}

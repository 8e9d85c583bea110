#include "ledger/ledger_priv.h"

#include <assert.h>

nx_rc nx_heads_init(struct nx_heads *heads, struct nx_err *err)
{
	heads->recs = nx_map_new();
	return heads->recs ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for chain heads");
}

static void rec_free(struct nx_slice key, void *value, void *payload)
{
	(void)key;
	(void)payload;
	free(value);
}

void nx_heads_done(struct nx_heads *heads)
{
	if (heads->recs)
		nx_map_each(heads->recs, rec_free, NULL);
	heads->recs = nx_map_free(heads->recs);
	free(heads->touched);
	*heads = (struct nx_heads){0};
}

static bool head_eq(struct nx_head a, struct nx_head b)
{
	return a.count == b.count && a.last == b.last;
}

static nx_rc rec_new(struct nx_heads *heads, const uint8_t tag[NX_TAG_LEN], struct nx_head base,
	struct nx_head_rec **ret_rec, struct nx_err *err)
{
	struct nx_head_rec *rec = calloc(1, sizeof(*rec));

	if (!rec || !nx_map_put(heads->recs, nx_slice(tag, NX_TAG_LEN), rec, NULL)) {
		free(rec);
		return nx_err_set(err, NX_E_NOMEM, "no memory for a chain head");
	}
	memcpy(rec->tag, tag, NX_TAG_LEN);
	rec->staged = rec->committed = rec->snap = rec->flushed = base;
	*ret_rec = rec;
	return NX_OK;
}

/* The catalog's head; {0, 0} for a tag it does not have. */
static nx_rc stored_get(struct nx_ledger *ledger, const uint8_t tag[NX_TAG_LEN],
	struct nx_head *ret, struct nx_err *err)
{
	struct nx_head head = {0};
	nx_rc rc = ledger->tags.get(ledger->tags.payload, tag, &head.count, &head.last, err);

	if (rc && rc != NX_E_NOENT)
		return nx_err_prefix(err, rc, "chain head");
	*ret = rc ? (struct nx_head){0} : head;
	return NX_OK;
}

nx_rc nx_heads_get(struct nx_ledger *ledger, const uint8_t tag[NX_TAG_LEN],
	struct nx_head_rec **ret_rec, struct nx_err *err)
{
	struct nx_head_rec *rec = nx_map_get(ledger->heads.recs, nx_slice(tag, NX_TAG_LEN));
	struct nx_head base;
	nx_rc rc;

	if (rec) {
		*ret_rec = rec;
		return NX_OK;
	}
	rc = stored_get(ledger, tag, &base, err);
	if (rc)
		return rc;
	if (base.count && (base.last >= ledger->size || base.count > base.last + 1))
		return nx_err_set(err, NX_E_CORRUPT,
			"chain head in the catalog: count %llu, last %llu of %llu entries",
			(unsigned long long)base.count, (unsigned long long)base.last,
			(unsigned long long)ledger->size);
	return rec_new(&ledger->heads, tag, base, ret_rec, err);
}

nx_rc nx_heads_get_replayed(struct nx_ledger *ledger, const uint8_t tag[NX_TAG_LEN],
	struct nx_head before, struct nx_head_rec **ret_rec, struct nx_err *err)
{
	struct nx_head_rec *rec = nx_map_get(ledger->heads.recs, nx_slice(tag, NX_TAG_LEN));

	if (!rec)
		return rec_new(&ledger->heads, tag, before, ret_rec, err);
	if (!head_eq(rec->staged, before))
		return nx_err_set(err, NX_E_CORRUPT,
			"chain goes on at count %llu, last %llu; its head is count %llu, last %llu",
			(unsigned long long)before.count, (unsigned long long)before.last,
			(unsigned long long)rec->staged.count,
			(unsigned long long)rec->staged.last);
	*ret_rec = rec;
	return NX_OK;
}

nx_rc nx_heads_reserve(struct nx_heads *heads, size_t n, struct nx_err *err)
{
	size_t cap = heads->cap_touched ? 2 * heads->cap_touched : 64;
	struct nx_head_rec **touched;

	if (heads->cap_touched - heads->n_touched >= n)
		return NX_OK;
	touched = reallocarray(heads->touched, cap, sizeof(struct nx_head_rec *));
	if (!touched)
		return nx_err_set(err, NX_E_NOMEM, "no memory for staged chain heads");
	heads->touched = touched;
	heads->cap_touched = cap;
	return NX_OK;
}

void nx_heads_touch(struct nx_heads *heads, struct nx_head_rec *rec, struct nx_head head)
{
	rec->staged = head;
	if (!rec->touched)
		heads->touched[heads->n_touched++] = rec;
	rec->touched = true;
}

void nx_heads_commit(struct nx_heads *heads)
{
	for (size_t i = 0; i < heads->n_touched; i++) {
		heads->touched[i]->committed = heads->touched[i]->staged;
		heads->touched[i]->touched = false;
	}
	heads->n_touched = 0;
}

void nx_heads_rollback(struct nx_heads *heads)
{
	for (size_t i = 0; i < heads->n_touched; i++) {
		heads->touched[i]->staged = heads->touched[i]->committed;
		heads->touched[i]->touched = false;
	}
	heads->n_touched = 0;
}

/* What the newest entry of a chain says of the one before. */
static struct nx_head head_before(
	const struct nx_tail *tail, const uint8_t tag[NX_TAG_LEN], struct nx_head head)
{
	struct nx_slice bytes;
	struct nx_entry entry;
	unsigned i = 0;
	bool there = nx_tail_entry(tail, head.last, &bytes) &&
		!nx_entry_parse(head.last, bytes, &entry, NULL);

	assert(there); /* it was staged in this process */
	while (i < NX_LEDGER_CHAINS && memcmp(entry.chains[i].tag, tag, NX_TAG_LEN) != 0)
		i++;
	assert(i < NX_LEDGER_CHAINS && entry.chains[i].count == head.count);
	return head.count > 1 ? (struct nx_head){head.count - 1, entry.chains[i].prev}
			      : (struct nx_head){0};
}

void nx_heads_unstage(struct nx_heads *heads, const struct nx_tail *tail, uint64_t size)
{
	size_t kept = 0;

	for (size_t i = 0; i < heads->n_touched; i++) {
		struct nx_head_rec *rec = heads->touched[i];

		while (!head_eq(rec->staged, rec->committed) && rec->staged.last >= size)
			rec->staged = head_before(tail, rec->tag, rec->staged);
		rec->touched = !head_eq(rec->staged, rec->committed);
		if (rec->touched)
			heads->touched[kept++] = rec;
	}
	heads->n_touched = kept;
}

nx_rc nx_heads_committed(struct nx_ledger *ledger, const uint8_t tag[NX_TAG_LEN],
	struct nx_head *ret, struct nx_err *err)
{
	struct nx_head_rec *rec = nx_map_get(ledger->heads.recs, nx_slice(tag, NX_TAG_LEN));

	if (!rec)
		return stored_get(ledger, tag, ret, err);
	*ret = rec->committed;
	return NX_OK;
}

/* ---- the side of the flush ---- */

static void rec_snap(struct nx_slice key, void *value, void *payload)
{
	struct nx_snapshot *snap = payload;
	struct nx_head_rec *rec = value;

	(void)key;
	rec->snap = rec->committed;
	rec->seen = false;
	snap->recs[snap->n++] = rec;
}

static int rec_compare(const void *a, const void *b)
{
	const struct nx_head_rec *const *x = a, *const *y = b;

	return memcmp((*x)->tag, (*y)->tag, NX_TAG_LEN);
}

nx_rc nx_heads_snapshot(struct nx_ledger *ledger, struct nx_snapshot *ret, struct nx_err *err)
{
	struct nx_snapshot snap = {0};

	(void)pthread_mutex_lock(&ledger->lock);
	snap.recs = calloc(nx_map_len(ledger->heads.recs) + 1, sizeof(struct nx_head_rec *));
	if (snap.recs) {
		nx_map_each(ledger->heads.recs, rec_snap, &snap);
		snap.size = ledger->size;
		snap.group_seq = ledger->group_seq;
	}
	(void)pthread_mutex_unlock(&ledger->lock);
	if (!snap.recs)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a snapshot of chain heads");
	qsort(snap.recs, snap.n, sizeof(struct nx_head_rec *), rec_compare);
	*ret = snap;
	return NX_OK;
}

void nx_snapshot_done(struct nx_snapshot *snap)
{
	free(snap->recs);
	*snap = (struct nx_snapshot){0};
}

void nx_bucket_done(struct nx_bucket *bucket)
{
	free(bucket->heads);
	*bucket = (struct nx_bucket){0};
}

static nx_rc bucket_push(
	struct nx_bucket *bucket, const uint8_t tag[NX_TAG_LEN], struct nx_head stored)
{
	if (bucket->n == bucket->cap) {
		size_t cap = bucket->cap ? 2 * bucket->cap : 32;
		struct nx_bucket_head *heads =
			reallocarray(bucket->heads, cap, sizeof(struct nx_bucket_head));

		if (!heads)
			return NX_E_NOMEM;
		bucket->heads = heads;
		bucket->cap = cap;
	}
	bucket->heads[bucket->n] =
		(struct nx_bucket_head){.now = stored, .flushed = stored, .stored = stored};
	memcpy(bucket->heads[bucket->n++].tag, tag, NX_TAG_LEN);
	return NX_OK;
}

/* From the catalog; it may hold locks of its own, so ours is not taken here. */
static nx_rc bucket_stored(void *arg, const uint8_t tag[NX_TAG_LEN], uint64_t count, uint64_t last)
{
	return bucket_push(arg, tag, (struct nx_head){count, last});
}

static int bucket_compare(const void *a, const void *b)
{
	const struct nx_bucket_head *x = a, *y = b;

	return memcmp(x->tag, y->tag, NX_TAG_LEN);
}

/* The first record of the snapshot in `bucket` or a later one. */
static size_t snapshot_lower(const struct nx_snapshot *snap, unsigned bucket)
{
	size_t lo = 0, hi = snap->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (nx_bucket_of(snap->recs[mid]->tag) < bucket)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Records that the catalog does not have yet. */
static nx_rc bucket_add_unstored(
	struct nx_bucket *bucket, const struct nx_snapshot *snap, uint16_t number)
{
	size_t n = bucket->n; /* sorted so far */
	nx_rc rc = NX_OK;

	for (size_t i = snapshot_lower(snap, number);
		i < snap->n && nx_bucket_of(snap->recs[i]->tag) == number && !rc; i++) {
		struct nx_bucket_head key;

		memcpy(key.tag, snap->recs[i]->tag, NX_TAG_LEN);
		if (!n || !bsearch(&key, bucket->heads, n, sizeof(key), bucket_compare))
			rc = bucket_push(bucket, key.tag, (struct nx_head){0});
	}
	if (bucket->n > n)
		qsort(bucket->heads, bucket->n, sizeof(struct nx_bucket_head), bucket_compare);
	return rc;
}

/*
 * What the catalog says is right for tags without a record.  For the others the record is: the
 * catalog may lag behind it, or be ahead of the snapshot.
 */
nx_rc nx_bucket_read(struct nx_ledger *ledger, const struct nx_snapshot *snap, uint16_t bucket,
	struct nx_bucket *ret, struct nx_err *err)
{
	nx_rc rc;

	ret->n = 0;
	rc = ledger->tags.bucket(ledger->tags.payload, bucket, bucket_stored, ret, err);
	if (!rc)
		rc = bucket_add_unstored(ret, snap, bucket);
	if (rc)
		return nx_err_prefix(err, rc, "tag map bucket %04x", bucket);
	if (!ret->n)
		return NX_OK; /* most buckets of a small log */
	(void)pthread_mutex_lock(&ledger->lock);
	for (size_t i = 0; i < ret->n; i++) {
		struct nx_bucket_head *head = &ret->heads[i];
		struct nx_head_rec *rec =
			nx_map_get(ledger->heads.recs, nx_slice(head->tag, NX_TAG_LEN));

		if (!rec)
			continue;
		head->now = rec->snap;
		head->flushed = rec->flushed;
		rec->seen = head_eq(head->stored, rec->snap);
	}
	(void)pthread_mutex_unlock(&ledger->lock);
	return NX_OK;
}

static bool rec_settled(const struct nx_head_rec *rec)
{
	return !rec->touched && head_eq(rec->staged, rec->flushed) &&
		head_eq(rec->committed, rec->flushed);
}

void nx_heads_retire(struct nx_ledger *ledger, struct nx_snapshot *snap)
{
	for (size_t i = 0; i < snap->n; i++) {
		struct nx_head_rec *rec = snap->recs[i];
		struct nx_head stored = {0};

		if (!rec->seen && !stored_get(ledger, rec->tag, &stored, NULL))
			rec->seen = head_eq(stored, rec->snap);
		(void)pthread_mutex_lock(&ledger->lock);
		rec->flushed = rec->snap;
		if (rec->seen && rec_settled(rec))
			free(nx_map_del(ledger->heads.recs, nx_slice(rec->tag, NX_TAG_LEN)));
		(void)pthread_mutex_unlock(&ledger->lock);
	}
	snap->n = 0;
}

#include "ledger/ledger_priv.h"

#include "base/arena.h"
#include "base/rd.h"

bool nx_bundle_next(struct nx_slice *bundle, struct nx_slice *ret_entry)
{
	struct nx_rd rd = nx_rd(*bundle);
	uint16_t n;

	if (!nx_rd_u16be(&rd, &n) || !nx_rd_bytes(&rd, n, ret_entry))
		return false;
	*bundle = nx_slice(rd.p, rd.n);
	return true;
}

static bool bundle_entry(struct nx_slice bundle, unsigned i, struct nx_slice *ret)
{
	do {
		if (!nx_bundle_next(&bundle, ret))
			return false;
	} while (i--);
	return true;
}

/* ---- bundles ---- */

/* A full bundle is in memory until it is in its file, so one of the two has it. */
nx_rc nx_bundle_load(struct nx_ledger *ledger, uint64_t number, unsigned n, struct nx_buf *out,
	struct nx_err *err)
{
	struct nx_slice bytes = {0};
	bool found;
	nx_rc rc;

	(void)pthread_mutex_lock(&ledger->lock);
	found = nx_tail_bundle(&ledger->tail, number, n, &bytes);
	if (found)
		nx_buf_put_slice(out, bytes);
	(void)pthread_mutex_unlock(&ledger->lock);
	if (found)
		return nx_buf_check(out, err);
	rc = nx_tile_read(ledger->dir_fd, LEVEL_ENTRIES, number, n % TILE_WIDTH, out, err);
	return rc == NX_E_NOENT ? nx_err_set(err, NX_E_CORRUPT,
					  "ledger entries from %llu on are missing: no bundle",
					  (unsigned long long)(number * TILE_WIDTH))
				: rc;
}

static struct nx_bundle_slot *slot_find(struct nx_ledger *ledger, uint64_t number)
{
	struct nx_bundle_slot *oldest = &ledger->bundles[0];

	for (unsigned i = 0; i < BUNDLE_CACHE; i++) {
		struct nx_bundle_slot *slot = &ledger->bundles[i];

		if (slot->used && slot->number == number)
			return slot;
		if (slot->used < oldest->used)
			oldest = slot;
	}
	oldest->used = 0;
	return oldest;
}

/* From a full bundle on disk, through the cache; the bytes are copied to `arena`. */
static nx_rc entry_from_file(struct nx_ledger *ledger, uint64_t index, struct nx_arena *arena,
	struct nx_slice *ret, struct nx_err *err)
{
	uint64_t number = index / TILE_WIDTH;
	struct nx_bundle_slot *slot;
	struct nx_slice bytes = {0};
	nx_rc rc = NX_OK;

	(void)pthread_mutex_lock(&ledger->cache_lock);
	slot = slot_find(ledger, number);
	if (!slot->used) {
		nx_buf_clear(&slot->data);
		rc = nx_tile_read(ledger->dir_fd, LEVEL_ENTRIES, number, 0, &slot->data, err);
	}
	if (!rc) {
		slot->number = number;
		slot->used = ++ledger->bundle_clock;
		if (!bundle_entry(nx_buf_slice(&slot->data), index % TILE_WIDTH, &bytes))
			rc = nx_err_set(err, NX_E_CORRUPT, "bundle of entry %llu is damaged",
				(unsigned long long)index);
	}
	if (!rc) {
		ret->p = nx_arena_copy(arena, bytes.p, bytes.n);
		ret->n = bytes.n;
		if (!ret->p)
			rc = nx_err_set(err, NX_E_NOMEM, "no memory for a ledger entry");
	}
	(void)pthread_mutex_unlock(&ledger->cache_lock);
	return rc;
}

nx_rc nx_entry_bytes(struct nx_ledger *ledger, uint64_t index, struct nx_arena *arena,
	struct nx_slice *ret, struct nx_err *err)
{
	struct nx_slice bytes = {0};
	bool known, found;
	nx_rc rc = NX_OK;

	(void)pthread_mutex_lock(&ledger->lock);
	known = index < ledger->size;
	found = known && nx_tail_entry(&ledger->tail, index, &bytes);
	if (found) {
		ret->p = nx_arena_copy(arena, bytes.p, bytes.n);
		ret->n = bytes.n;
		if (!ret->p)
			rc = nx_err_set(err, NX_E_NOMEM, "no memory for a ledger entry");
	}
	(void)pthread_mutex_unlock(&ledger->lock);
	if (!known)
		return nx_err_set(
			err, NX_E_NOENT, "no ledger entry %llu", (unsigned long long)index);
	return found ? rc : entry_from_file(ledger, index, arena, ret, err);
}

nx_rc nx_ledger_entry(struct nx_ledger *ledger, uint64_t index, struct nx_arena *arena,
	struct nx_entry *ret, struct nx_err *err)
{
	struct nx_slice bytes;
	nx_rc rc = nx_entry_bytes(ledger, index, arena, &bytes, err);

	return rc ? rc : nx_entry_parse(index, bytes, ret, err);
}

nx_rc nx_ledger_body(struct nx_ledger *ledger, const struct nx_entry *entry, struct nx_arena *arena,
	struct nx_slice *ret_json, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) aad;
	size_t n = entry->body.n;
	uint8_t *json;
	nx_rc rc;

	nx_buf_init(&aad, ENTRY_AAD_MAX, 0);
	nx_entry_format_head(entry, n, &aad);
	nx_buf_put_u64le(&aad, entry->index);
	rc = nx_buf_check(&aad, err);
	if (rc)
		return rc;
	json = nx_arena_alloc(arena, n);
	if (!json || n < NX_SEAL_OVERHEAD)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a ledger body");
	rc = nx_seal_open(&ledger->audit_key, nx_buf_slice(&aad), entry->body.p, n, json, err);
	if (rc)
		return nx_err_prefix(
			err, rc, "body of entry %llu", (unsigned long long)entry->index);
	*ret_json = nx_slice(json, n - NX_SEAL_OVERHEAD);
	return NX_OK;
}

/* ---- walks ---- */

static bool chain_find(
	const struct nx_entry *entry, const uint8_t tag[NX_TAG_LEN], struct nx_head *ret_head)
{
	for (unsigned i = 0; i < NX_LEDGER_CHAINS && entry->chains[i].kind; i++) {
		if (memcmp(entry->chains[i].tag, tag, NX_TAG_LEN) != 0)
			continue;
		*ret_head = (struct nx_head){entry->chains[i].count, entry->chains[i].prev};
		return true;
	}
	return false;
}

nx_rc nx_chain_walk(struct nx_ledger *ledger, const uint8_t tag[NX_TAG_LEN], struct nx_head head,
	nx_rc (*fn)(void *payload, const struct nx_entry *entry, struct nx_err *err), void *payload,
	struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(4 * (size_t)ENTRY_MAX, 0);
	nx_rc rc = NX_OK;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory to walk a chain");
	while (head.count && !rc) {
		struct nx_entry entry;
		struct nx_head at;

		nx_arena_reset(arena);
		rc = nx_ledger_entry(ledger, head.last, arena, &entry, err);
		if (rc)
			return nx_err_prefix(
				err, rc, "chain at count %llu", (unsigned long long)head.count);
		if (!chain_find(&entry, tag, &at) || at.count != head.count)
			return nx_err_set(err, NX_E_CORRUPT,
				"entry %llu is not number %llu of the chain that names it",
				(unsigned long long)head.last, (unsigned long long)head.count);
		rc = fn(payload, &entry, err);
		head = (struct nx_head){at.count - 1, at.last};
	}
	return rc;
}

nx_rc nx_ledger_chain(struct nx_ledger *ledger, const uint8_t tag[NX_TAG_LEN],
	nx_rc (*fn)(void *payload, const struct nx_entry *entry, struct nx_err *err), void *payload,
	struct nx_err *err)
{
	struct nx_head head;
	nx_rc rc;

	(void)pthread_mutex_lock(&ledger->lock);
	rc = nx_heads_committed(ledger, tag, &head, err);
	(void)pthread_mutex_unlock(&ledger->lock);
	if (rc)
		return rc;
	if (!head.count)
		return nx_err_set(err, NX_E_NOENT, "no ledger entry names this tag");
	return nx_chain_walk(ledger, tag, head, fn, payload, err);
}

nx_rc nx_ledger_range(struct nx_ledger *ledger, uint64_t from, uint64_t to,
	nx_rc (*fn)(void *payload, const struct nx_entry *entry, struct nx_err *err), void *payload,
	struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	uint64_t size = nx_ledger_size(ledger);
	nx_rc rc = NX_OK;

	nx_buf_init(&buf, BUNDLE_MAX, 0);
	if (to > size)
		to = size;
	while (from < to && !rc) {
		uint64_t start = from - from % TILE_WIDTH;
		unsigned n = to - start < TILE_WIDTH ? (unsigned)(to - start) : TILE_WIDTH;
		struct nx_slice rest, bytes;

		nx_buf_clear(&buf);
		rc = nx_bundle_load(ledger, start / TILE_WIDTH, n, &buf, err);
		rest = nx_buf_slice(&buf);
		for (uint64_t i = start; i < start + n && !rc; i++) {
			struct nx_entry entry;

			if (!nx_bundle_next(&rest, &bytes))
				return nx_err_set(err, NX_E_CORRUPT, "entry %llu is missing",
					(unsigned long long)i);
			if (i < from)
				continue;
			rc = nx_entry_parse(i, bytes, &entry, err);
			if (!rc)
				rc = fn(payload, &entry, err);
		}
		from = start + n;
	}
	return rc;
}

/* ---- search ---- */

struct search {
	const struct nx_ledger_query *query;
	nx_rc (*fn)(void *payload, const struct nx_entry *entry, struct nx_err *err);
	void *payload;
	bool past; /* the end of the time range was reached */
};

static nx_rc search_entry(void *payload, const struct nx_entry *entry, struct nx_err *err)
{
	struct search *search = payload;
	const struct nx_ledger_query *query = search->query;

	search->past = query->to_us && entry->time_us >= query->to_us;
	if (search->past)
		return NX_E_RANGE; /* ends the walk; taken back by nx_ledger_search() */
	if (query->action && entry->action != query->action)
		return NX_OK;
	if (query->outcome >= 0 && (int)entry->outcome != query->outcome)
		return NX_OK;
	return search->fn(search->payload, entry, err);
}

/* The first entry at or after `time_us`. */
static nx_rc time_lower(
	struct nx_ledger *ledger, int64_t time_us, uint64_t *ret_index, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(4 * (size_t)ENTRY_MAX, 0);
	uint64_t lo = 0, hi = nx_ledger_size(ledger);

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory to search the ledger");
	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		struct nx_entry entry;
		nx_rc rc;

		nx_arena_reset(arena);
		rc = nx_ledger_entry(ledger, mid, arena, &entry, err);
		if (rc)
			return rc;
		if (entry.time_us < time_us)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret_index = lo;
	return NX_OK;
}

static nx_rc search_down(struct nx_ledger *ledger, uint64_t from, uint64_t to,
	struct search *search, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(4 * (size_t)ENTRY_MAX, 0);
	nx_rc rc = arena ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory to search the ledger");

	while (!rc && to > from) {
		struct nx_entry entry;

		nx_arena_reset(arena);
		rc = nx_ledger_entry(ledger, --to, arena, &entry, err);
		if (!rc)
			rc = search_entry(search, &entry, err);
	}
	return rc;
}

nx_rc nx_ledger_search(struct nx_ledger *ledger, const struct nx_ledger_query *query,
	nx_rc (*fn)(void *payload, const struct nx_entry *entry, struct nx_err *err), void *payload,
	struct nx_err *err)
{
	struct search search = {.query = query, .fn = fn, .payload = payload};
	uint64_t from = 0, to = nx_ledger_size(ledger);
	nx_rc rc = time_lower(ledger, query->from_us, &from, err);

	if (!rc && query->newest && query->to_us)
		rc = time_lower(ledger, query->to_us, &to, err);
	if (!rc && query->newest)
		rc = search_down(ledger, from, to, &search, err);
	else if (!rc)
		rc = nx_ledger_range(ledger, from, UINT64_MAX, search_entry, &search, err);
	return search.past ? NX_OK : rc;
}

#include "ledger/ledger_priv.h"

#include <assert.h>
#include <inttypes.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"

enum {
	SUBJECT_ID_LEN = 8,
	BODY_MAX = ENTRY_MAX - ENTRY_HEAD_LEN - NX_LEDGER_CHAINS * ENTRY_CHAIN_LEN - 2
};

/* ---- tags ---- */

static void tag_compute(
	const struct nx_key *key, uint8_t kind, struct nx_slice id, uint8_t ret[NX_TAG_LEN])
{
	uint8_t msg[1 + NX_LIMIT_UID];
	uint8_t mac[NX_SHA256_LEN];

	if (id.n > NX_LIMIT_UID)
		id.n = NX_LIMIT_UID; /* refused before by stage; a lookup finds nothing */
	msg[0] = kind;
	memcpy(msg + 1, id.p, id.n);
	nx_hmac_sha256(key, msg, 1 + id.n, mac);
	memcpy(ret, mac, NX_TAG_LEN);
}

static struct nx_slice subject_id(uint64_t subject, uint8_t ret[SUBJECT_ID_LEN])
{
	for (unsigned i = 0; i < SUBJECT_ID_LEN; i++)
		ret[i] = (uint8_t)(subject >> (8 * i));
	return nx_slice(ret, SUBJECT_ID_LEN);
}

void nx_ledger_tag(struct nx_ledger *ledger, enum nx_chain_kind kind, struct nx_slice id,
	uint8_t ret[NX_TAG_LEN])
{
	tag_compute(&ledger->tag_key, (uint8_t)kind, id, ret);
}

void nx_ledger_tag_subject(struct nx_ledger *ledger, uint64_t subject, uint8_t ret[NX_TAG_LEN])
{
	uint8_t id[SUBJECT_ID_LEN];

	nx_ledger_tag(ledger, NX_CHAIN_SUBJECT, subject_id(subject, id), ret);
}

/* Instances of one study come one after the other: most tags are those of the entry before. */
static void tag_cached(
	struct nx_ledger *ledger, uint8_t kind, struct nx_slice id, uint8_t ret[NX_TAG_LEN])
{
	uint32_t hash = 2166136261u ^ kind; /* FNV-1a */
	struct nx_id_slot *slot;

	for (size_t i = 0; i < id.n; i++)
		hash = (hash ^ id.p[i]) * 16777619u;
	slot = &ledger->ids[(hash ^ hash >> 16) & (ID_CACHE - 1)];
	if (slot->kind != kind || slot->n != id.n || memcmp(slot->id, id.p, id.n) != 0) {
		slot->kind = kind;
		slot->n = (uint8_t)id.n;
		memcpy(slot->id, id.p, id.n);
		tag_compute(&ledger->tag_key, kind, id, slot->tag);
	}
	memcpy(ret, slot->tag, NX_TAG_LEN);
}

/* ---- stage ---- */

static nx_rc draft_check(const struct nx_entry_draft *draft, struct nx_err *err)
{
	struct nx_slice detail = draft->detail;

	if (!nx_action_wire(draft->action))
		return nx_err_set(err, NX_E_INVAL, "unknown ledger action %u", draft->action);
	if (detail.n > ENTRY_DETAIL_MAX)
		return nx_err_set(err, NX_E_LIMIT, "ledger detail of %zu bytes, at most %d",
			detail.n, ENTRY_DETAIL_MAX);
	if (detail.n && (detail.n < 2 || detail.p[0] != '{' || detail.p[detail.n - 1] != '}'))
		return nx_err_set(err, NX_E_INVAL, "ledger detail is not a JSON object");
	if (!draft->principal || strlen(draft->principal) > NX_LIMIT_NAME ||
		(draft->study && strlen(draft->study) > NX_LIMIT_UID))
		return nx_err_set(err, NX_E_INVAL, "ledger entry names an id that is too long");
	return NX_OK;
}

static nx_rc body_format(
	const struct nx_entry_draft *draft, struct nx_buf *body, struct nx_err *err)
{
	struct nx_json json;
	char subject[17];

	nx_buf_clear(body);
	nx_json_init(&json, body);
	nx_json_object_begin(&json);
	nx_json_kv_str(&json, "principal", draft->principal);
	(void)snprintf(subject, sizeof(subject), "%016" PRIx64, draft->subject);
	nx_json_kv_str(&json, "subject", draft->subject ? subject : NULL);
	nx_json_kv_str(&json, "study", draft->study && draft->study[0] ? draft->study : NULL);
	nx_json_key(&json, "detail");
	nx_json_raw(&json, draft->detail.n ? draft->detail : nx_slice_str("{}"));
	nx_json_object_end(&json);
	return nx_buf_check(body, err);
}

struct staging {
	struct nx_entry entry;
	struct nx_head_rec *recs[NX_LEDGER_CHAINS];
	unsigned n;
};

static nx_rc chain_add(struct nx_ledger *ledger, struct staging *st, uint8_t kind,
	struct nx_slice id, struct nx_err *err)
{
	struct nx_head_rec *rec;
	unsigned i = st->n;
	nx_rc rc;

	tag_cached(ledger, kind, id, st->entry.chains[i].tag);
	rc = nx_heads_get(ledger, st->entry.chains[i].tag, &rec, err);
	if (rc)
		return rc;
	st->entry.chains[i].kind = kind;
	st->entry.chains[i].count = rec->staged.count + 1;
	st->entry.chains[i].prev = rec->staged.count ? rec->staged.last : UINT64_MAX;
	st->recs[st->n++] = rec;
	return NX_OK;
}

static nx_rc chains_add(struct nx_ledger *ledger, const struct nx_entry_draft *draft,
	struct staging *st, struct nx_err *err)
{
	uint8_t id[SUBJECT_ID_LEN];
	nx_rc rc = nx_heads_reserve(&ledger->heads, NX_LEDGER_CHAINS, err);

	if (!rc && draft->subject)
		rc = chain_add(ledger, st, NX_CHAIN_SUBJECT, subject_id(draft->subject, id), err);
	if (!rc && draft->study && draft->study[0])
		rc = chain_add(ledger, st, NX_CHAIN_STUDY, nx_slice_str(draft->study), err);
	if (!rc && draft->principal[0])
		rc = chain_add(ledger, st, NX_CHAIN_PRINCIPAL, nx_slice_str(draft->principal), err);
	return rc;
}

/* The entry's bytes behind what is in `out`: nonce, ciphertext and tag as nx_seal() has them. */
static nx_rc entry_seal(
	struct nx_ledger *ledger, const struct staging *st, struct nx_buf *out, struct nx_err *err)
{
	size_t n = ledger->body.len;
	struct nx_slice aad;
	uint8_t *to;

	nx_buf_clear(&ledger->head);
	nx_entry_format_head(&st->entry, n + NX_SEAL_OVERHEAD, &ledger->head);
	nx_buf_put_u64le(&ledger->head, st->entry.index);
	aad = nx_buf_slice(&ledger->head);
	if (nx_buf_check(&ledger->head, err))
		return err ? err->rc : ledger->head.failed;
	nx_buf_put(out, aad.p, aad.n - sizeof(uint64_t));
	to = nx_buf_reserve(out, n + NX_SEAL_OVERHEAD);
	if (!to)
		return nx_buf_check(out, err);
	nx_random(to, NX_GCM_NONCE_LEN);
	nx_gcm_seal(ledger->gcm, to, aad, ledger->body.data, n, to + NX_GCM_NONCE_LEN,
		to + NX_GCM_NONCE_LEN + n);
	out->len += n + NX_SEAL_OVERHEAD;
	return NX_OK;
}

/* Caller holds lock. */
static nx_rc stage_locked(struct nx_ledger *ledger, const struct nx_entry_draft *draft,
	struct staging *st, struct nx_buf *out, struct nx_err *err)
{
	size_t start = out->len;
	nx_rc rc;

	st->entry.index = ledger->tail.size;
	rc = chains_add(ledger, draft, st, err);
	if (!rc)
		rc = entry_seal(ledger, st, out, err);
	if (!rc)
		rc = nx_tail_append(
			&ledger->tail, nx_slice(out->data + start, out->len - start), err);
	if (rc) {
		out->len = start;
		return rc;
	}
	for (unsigned i = 0; i < st->n; i++)
		nx_heads_touch(&ledger->heads, st->recs[i],
			(struct nx_head){st->entry.chains[i].count, st->entry.index});
	ledger->staged_time_us = st->entry.time_us;
	return NX_OK;
}

nx_rc nx_ledger_stage(struct nx_ledger *ledger, const struct nx_entry_draft *draft,
	struct nx_buf *out, uint64_t *ret_index, struct nx_err *err)
{
	struct staging st = {.entry = {.action = draft->action, .outcome = draft->outcome}};
	nx_rc rc = draft_check(draft, err);

	if (!rc)
		rc = body_format(draft, &ledger->body, err);
	if (rc)
		return nx_err_prefix(err, rc, "stage ledger entry");
	st.entry.time_us = draft->time_us ? draft->time_us : nx_now_us();
	if (st.entry.time_us < ledger->staged_time_us)
		st.entry.time_us = ledger->staged_time_us;
	(void)pthread_mutex_lock(&ledger->lock);
	rc = stage_locked(ledger, draft, &st, out, err);
	(void)pthread_mutex_unlock(&ledger->lock);
	if (rc)
		return nx_err_prefix(err, rc, "stage ledger entry");
	*ret_index = st.entry.index;
	return NX_OK;
}

nx_rc nx_ledger_heads(struct nx_ledger *ledger, struct nx_arena *arena, struct nx_tag_head **ret,
	size_t *ret_n, struct nx_err *err)
{
	size_t n = ledger->heads.n_touched; /* the committer's own */
	struct nx_tag_head *heads = nx_arena_alloc_array(arena, n + 1, sizeof(*heads));

	if (!heads)
		return nx_err_set(err, NX_E_NOMEM, "no memory for %zu chain heads", n);
	for (size_t i = 0; i < n; i++) {
		const struct nx_head_rec *rec = ledger->heads.touched[i];

		memcpy(heads[i].tag, rec->tag, NX_TAG_LEN);
		heads[i].count = rec->staged.count;
		heads[i].last = rec->staged.last;
	}
	*ret = heads;
	*ret_n = n;
	return NX_OK;
}

void nx_ledger_commit(struct nx_ledger *ledger, uint64_t group_seq)
{
	bool full;

	(void)pthread_mutex_lock(&ledger->lock);
	nx_heads_commit(&ledger->heads);
	ledger->size = ledger->tail.size;
	ledger->group_seq = group_seq;
	ledger->committed_time_us = ledger->staged_time_us;
	full = ledger->size - ledger->durable > BACKLOG_MAX;
	(void)pthread_mutex_unlock(&ledger->lock);
	if (full && nx_ledger_flush(ledger, NULL))
		return; /* tried again, and reported, by the next flush */
}

void nx_ledger_rollback(struct nx_ledger *ledger)
{
	(void)pthread_mutex_lock(&ledger->lock);
	nx_heads_rollback(&ledger->heads);
	nx_tail_truncate(&ledger->tail, ledger->size);
	ledger->staged_time_us = ledger->committed_time_us;
	(void)pthread_mutex_unlock(&ledger->lock);
}

uint64_t nx_ledger_mark(struct nx_ledger *ledger)
{
	return ledger->tail.size; /* the committer's own */
}

/* Caller holds lock.  Times never go back: the next entry's may be that of the last one left. */
static int64_t staged_time(const struct nx_ledger *ledger)
{
	struct nx_slice bytes;
	struct nx_entry entry;
	bool there;

	if (ledger->tail.size == ledger->size)
		return ledger->committed_time_us;
	there = nx_tail_entry(&ledger->tail, ledger->tail.size - 1, &bytes) &&
		!nx_entry_parse(ledger->tail.size - 1, bytes, &entry, NULL);
	assert(there);
	return entry.time_us;
}

void nx_ledger_unstage(struct nx_ledger *ledger, uint64_t mark)
{
	(void)pthread_mutex_lock(&ledger->lock);
	assert(mark >= ledger->size);
	nx_heads_unstage(&ledger->heads, &ledger->tail, mark);
	nx_tail_truncate(&ledger->tail, mark);
	ledger->staged_time_us = staged_time(ledger);
	(void)pthread_mutex_unlock(&ledger->lock);
}

/* ---- replay ---- */

/* Caller holds lock. */
static nx_rc replay_locked(struct nx_ledger *ledger, const struct nx_entry *entry,
	struct nx_slice bytes, struct nx_err *err)
{
	struct nx_head_rec *recs[NX_LEDGER_CHAINS];
	nx_rc rc = nx_heads_reserve(&ledger->heads, NX_LEDGER_CHAINS, err);
	unsigned n = 0;

	for (; !rc && n < NX_LEDGER_CHAINS && entry->chains[n].kind; n++) {
		uint64_t count = entry->chains[n].count;
		struct nx_head before = {count - 1, count > 1 ? entry->chains[n].prev : 0};

		rc = nx_heads_get_replayed(ledger, entry->chains[n].tag, before, &recs[n], err);
	}
	if (!rc)
		rc = nx_tail_append(&ledger->tail, bytes, err);
	if (rc)
		return rc;
	for (unsigned i = 0; i < n; i++)
		nx_heads_touch(&ledger->heads, recs[i],
			(struct nx_head){entry->chains[i].count, entry->index});
	nx_heads_commit(&ledger->heads);
	ledger->size = ledger->tail.size;
	return NX_OK;
}

nx_rc nx_ledger_replay(struct nx_ledger *ledger, uint64_t group_seq, uint64_t index,
	struct nx_slice bytes, struct nx_err *err)
{
	struct nx_entry entry;
	nx_rc rc;

	if (index < ledger->size)
		return NX_OK;
	if (index > ledger->size)
		return nx_err_set(err, NX_E_CORRUPT,
			"ledger entry %llu is missing: group %llu goes on with %llu",
			(unsigned long long)ledger->size, (unsigned long long)group_seq,
			(unsigned long long)index);
	rc = nx_entry_parse(index, bytes, &entry, err);
	if (rc)
		return rc;
	if (entry.time_us < ledger->staged_time_us)
		return nx_err_set(err, NX_E_CORRUPT,
			"ledger entry %llu is older than the one before",
			(unsigned long long)index);
	(void)pthread_mutex_lock(&ledger->lock);
	rc = replay_locked(ledger, &entry, bytes, err);
	if (!rc)
		ledger->group_seq = group_seq;
	(void)pthread_mutex_unlock(&ledger->lock);
	if (rc)
		return nx_err_prefix(
			err, rc, "replay ledger entry %llu", (unsigned long long)index);
	ledger->staged_time_us = ledger->committed_time_us = entry.time_us;
	return NX_OK;
}

/*
 * ledger_fixture.h - a ledger in a temporary directory over chain heads in memory.
 *
 * The heads stand for the catalog: they get a group's heads when `apply` is called, early or late.
 */
#ifndef NX_TEST_LEDGER_FIXTURE_H
#define NX_TEST_LEDGER_FIXTURE_H

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "crypto/crypto.h"
#include "ledger/ledger.h"

struct mem_tags {
	pthread_mutex_t lock;
	struct nx_tag_head *heads; /* ascending */
	size_t n;
	size_t cap;
	struct nx_tag_head *held; /* committed, not applied */
	size_t n_held;
	bool lag;
};

struct fixture {
	char dir[64];
	struct mem_tags tags;
	struct nx_key audit, tag, seed;
	struct nx_ledger *ledger;
	struct nx_arena *arena;
	struct nx_buf out;
	struct nx_err err;
	uint64_t group;
};

static inline size_t mem_lower(const struct mem_tags *tags, const uint8_t *tag, size_t n)
{
	size_t lo = 0, hi = tags->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (memcmp(tags->heads[mid].tag, tag, n) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static inline void mem_put_locked(struct mem_tags *tags, const struct nx_tag_head *head)
{
	size_t i = mem_lower(tags, head->tag, NX_TAG_LEN);

	if (i < tags->n && memcmp(tags->heads[i].tag, head->tag, NX_TAG_LEN) == 0) {
		tags->heads[i] = *head;
		return;
	}
	if (tags->n == tags->cap) {
		tags->cap = tags->cap ? 2 * tags->cap : 64;
		tags->heads = reallocarray(tags->heads, tags->cap, sizeof(*tags->heads));
	}
	memmove(tags->heads + i + 1, tags->heads + i, (tags->n - i) * sizeof(*tags->heads));
	tags->heads[i] = *head;
	tags->n++;
}

static inline nx_rc mem_get(void *payload, const uint8_t tag[NX_TAG_LEN], uint64_t *ret_count,
	uint64_t *ret_last, struct nx_err *err)
{
	struct mem_tags *tags = payload;
	nx_rc rc = NX_E_NOENT;
	size_t i;

	(void)err;
	(void)pthread_mutex_lock(&tags->lock);
	i = mem_lower(tags, tag, NX_TAG_LEN);
	if (i < tags->n && memcmp(tags->heads[i].tag, tag, NX_TAG_LEN) == 0) {
		*ret_count = tags->heads[i].count;
		*ret_last = tags->heads[i].last;
		rc = NX_OK;
	}
	(void)pthread_mutex_unlock(&tags->lock);
	return rc;
}

static inline nx_rc mem_bucket(void *payload, uint16_t bucket,
	nx_rc (*fn)(void *arg, const uint8_t tag[NX_TAG_LEN], uint64_t count, uint64_t last),
	void *arg, struct nx_err *err)
{
	struct mem_tags *tags = payload;
	uint8_t prefix[2] = {(uint8_t)(bucket >> 8), (uint8_t)bucket};
	nx_rc rc = NX_OK;

	(void)err;
	(void)pthread_mutex_lock(&tags->lock);
	for (size_t i = mem_lower(tags, prefix, 2);
		i < tags->n && memcmp(tags->heads[i].tag, prefix, 2) == 0 && !rc; i++)
		rc = fn(arg, tags->heads[i].tag, tags->heads[i].count, tags->heads[i].last);
	(void)pthread_mutex_unlock(&tags->lock);
	return rc;
}

static inline void mem_apply(struct mem_tags *tags, const struct nx_tag_head *heads, size_t n)
{
	(void)pthread_mutex_lock(&tags->lock);
	for (size_t i = 0; i < n; i++)
		mem_put_locked(tags, &heads[i]);
	(void)pthread_mutex_unlock(&tags->lock);
}

/* What was held back reaches the "catalog". */
static inline void mem_catch_up(struct mem_tags *tags)
{
	mem_apply(tags, tags->held, tags->n_held);
	tags->n_held = 0;
}

static inline nx_rc fixture_open(struct fixture *fx)
{
	struct nx_ledger_opts opts = {
		.dir = fx->dir,
		.origin = "narthex.example.org/test",
		.audit_key = &fx->audit,
		.tag_key = &fx->tag,
		.sign_seed = &fx->seed,
		.tags = {.payload = &fx->tags, .get = mem_get, .bucket = mem_bucket},
	};

	return nx_ledger_open(&opts, &fx->ledger, &fx->err);
}

static inline struct fixture *fixture_new(void)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	if (!fx || nx_crypto_init(&fx->err))
		abort();
	(void)snprintf(fx->dir, sizeof(fx->dir), "/tmp/nx-ledger-XXXXXX");
	if (!mkdtemp(fx->dir))
		abort();
	(void)pthread_mutex_init(&fx->tags.lock, NULL);
	memset(fx->audit.b, 1, NX_KEY_LEN);
	memset(fx->tag.b, 2, NX_KEY_LEN);
	memset(fx->seed.b, 3, NX_KEY_LEN);
	fx->arena = nx_arena_new(64u << 20, 0);
	nx_buf_init(&fx->out, 256u << 20, 0);
	return fx;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void remove_tree(const char *dir)
{
	(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void fixture_free(struct fixture *fx)
{
	fx->ledger = nx_ledger_free(fx->ledger);
	remove_tree(fx->dir);
	fx->arena = nx_arena_free(fx->arena);
	nx_buf_done(&fx->out);
	(void)pthread_mutex_destroy(&fx->tags.lock);
	free(fx->tags.heads);
	free(fx->tags.held);
	free(fx);
}

/* The n-th entry of a made-up history: few principals, more studies, fewer subjects than studies.
 */
static inline struct nx_entry_draft draft_make(uint64_t n, char study[65], char principal[65])
{
	(void)snprintf(study, 65, "1.2.826.0.1.%llu", (unsigned long long)(n / 7 % 500));
	(void)snprintf(principal, 65, "user-%llu", (unsigned long long)(n % 3));
	return (struct nx_entry_draft){
		.action = n % 5 ? NX_ACTION_INSTANCE_STORE : NX_ACTION_READ,
		.outcome = n % 11 ? NX_OUTCOME_OK : NX_OUTCOME_SERIOUS,
		.time_us = 1700000000000000 + (int64_t)n * 1000,
		.principal = n % 13 ? principal : "",
		.subject = n % 4 ? 1 + n / 7 % 200 : 0,
		.study = n % 4 ? study : NULL,
		.detail = nx_slice_str("{\"door\":\"dimse\"}"),
	};
}

static inline nx_rc fixture_stage(struct fixture *fx, uint64_t n)
{
	char study[65], principal[65];
	struct nx_entry_draft draft = draft_make(n, study, principal);
	uint64_t index;

	nx_buf_clear(&fx->out);
	return nx_ledger_stage(fx->ledger, &draft, &fx->out, &index, &fx->err);
}

/* As the archive does: heads to the catalog after the commit, or held back. */
static inline nx_rc fixture_commit(struct fixture *fx)
{
	struct nx_tag_head *heads;
	size_t n;
	nx_rc rc;

	nx_arena_reset(fx->arena);
	rc = nx_ledger_heads(fx->ledger, fx->arena, &heads, &n, &fx->err);
	if (rc)
		return rc;
	nx_ledger_commit(fx->ledger, ++fx->group);
	if (!fx->tags.lag) {
		mem_apply(&fx->tags, heads, n);
		return NX_OK;
	}
	fx->tags.held =
		reallocarray(fx->tags.held, fx->tags.n_held + n + 1, sizeof(*fx->tags.held));
	memcpy(fx->tags.held + fx->tags.n_held, heads, n * sizeof(*heads));
	fx->tags.n_held += n;
	return NX_OK;
}

/* Entries up to `to`, in groups of `group`. */
static inline nx_rc fixture_fill(struct fixture *fx, uint64_t to, unsigned group)
{
	nx_rc rc = NX_OK;

	for (uint64_t n = nx_ledger_size(fx->ledger); n < to && !rc;) {
		for (unsigned i = 0; i < group && n < to && !rc; i++)
			rc = fixture_stage(fx, n++);
		if (!rc)
			rc = fixture_commit(fx);
	}
	return rc;
}

#endif

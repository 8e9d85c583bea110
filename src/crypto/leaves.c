#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

#include "crypto/crypto_priv.h"

#define LEAF_LEN ((size_t)NX_LEAF_LEN)
#define SLOT_LEN (LEAF_LEN + 64) /* prefix and leaf, the next slot aligned */

/*
 * RFC 6962 hashes 0x00 || leaf.  The multi-buffer code wants each message in one piece, so a leaf
 * is copied behind its prefix; the copy is cheap beside the hash.
 *
 * Three ways to hash several messages at once.  Sixteen AVX-512 lanes take the same time for one
 * leaf as for sixteen, so they pay from eight leaves on.  Two messages interleaved in the SHA
 * extensions reach 2.9 GB/s (EPYC 7003) from two leaves on, where eight AVX2 lanes reach 1.0 and
 * one message 1.4; the library has them in its SSE manager, whatever else the processor can.
 */
enum {
	WIDE_MIN = 8,
	NARROW_MIN = 2,
	POOL_MAX = 32,
};

struct nx_leaves {
	struct nx_leaves *next; /* in the pool */
	uint8_t *slots;
	size_t n;    /* full leaves */
	size_t fill; /* bytes of the leaf after them */
	size_t high; /* slots touched since taken: what must be wiped */
#if HAVE_IPSEC_MB
	IMB_MGR *wide;   /* NULL without AVX-512 */
	IMB_MGR *narrow; /* NULL without SHA extensions and AVX2 */
#endif
};

static struct {
	pthread_mutex_t lock; /* guards first and n */
	struct nx_leaves *first;
	size_t n;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint8_t *slot(const struct nx_leaves *leaves, size_t i)
{
	return leaves->slots + i * SLOT_LEN;
}

static size_t slot_len(const struct nx_leaves *leaves, size_t i)
{
	return 1 + (i < leaves->n ? LEAF_LEN : leaves->fill);
}

#if HAVE_IPSEC_MB
typedef void (*manager_init_fn)(IMB_MGR *mgr);

static manager_init_fn init_wide, init_narrow;
static char name[64] = "nettle";

void nx_leaves_init(void)
{
	IMB_MGR *mgr = alloc_mb_mgr(0);

	if (!mgr)
		return;
	if (mgr->features & IMB_FEATURE_AVX512_SKX)
		init_wide = init_mb_mgr_avx512;
	if (mgr->features & IMB_FEATURE_SHANI)
		init_narrow = init_mb_mgr_sse;
	else if (mgr->features & IMB_FEATURE_AVX2)
		init_narrow = init_mb_mgr_avx2;
	free_mb_mgr(mgr);
	if (init_wide || init_narrow)
		(void)snprintf(name, sizeof(name), "ipsec-mb %s%s%s", imb_get_version_str(),
			init_wide ? " avx512" : "",
			init_narrow == init_mb_mgr_sse      ? " sha-ni"
				: init_narrow && !init_wide ? " avx2"
							    : "");
}

const char *nx_leaves_name(void)
{
	return name;
}

/* NULL `init`: the processor has no such way, and *ret stays NULL. */
static bool manager_new(manager_init_fn init, IMB_MGR **ret)
{
	if (!init)
		return true;
	*ret = alloc_mb_mgr(0);
	if (*ret)
		init(*ret);
	return *ret != NULL;
}

static bool managers_new(struct nx_leaves *leaves)
{
	return manager_new(init_wide, &leaves->wide) && manager_new(init_narrow, &leaves->narrow);
}

static void managers_free(struct nx_leaves *leaves)
{
	if (leaves->wide)
		free_mb_mgr(leaves->wide);
	if (leaves->narrow)
		free_mb_mgr(leaves->narrow);
}

static size_t completed(IMB_JOB *job)
{
	assert(!job || job->status == IMB_STATUS_COMPLETED);
	return job != NULL;
}

static IMB_JOB *submit(IMB_MGR *mgr, const uint8_t *msg, size_t n, uint8_t *ret)
{
	IMB_JOB *job = IMB_GET_NEXT_JOB(mgr);

	memset(job, 0, sizeof(*job));
	job->cipher_mode = IMB_CIPHER_NULL;
	job->cipher_direction = IMB_DIR_ENCRYPT;
	job->chain_order = IMB_ORDER_HASH_CIPHER;
	job->hash_alg = IMB_AUTH_SHA_256;
	job->src = msg;
	job->msg_len_to_hash_in_bytes = n;
	job->auth_tag_output = ret;
	job->auth_tag_output_len_in_bytes = NX_SHA256_LEN;
	return IMB_SUBMIT_JOB(mgr);
}

/* All `n` slots through one manager, which is empty before and after. */
static void hash_jobs(
	struct nx_leaves *leaves, IMB_MGR *mgr, size_t n, uint8_t (*ret)[NX_SHA256_LEN])
{
	size_t got = 0;
	IMB_JOB *job;

	for (size_t i = 0; i < n; i++) {
		job = submit(mgr, slot(leaves, i), slot_len(leaves, i), ret[i]);
		for (; job; job = IMB_GET_COMPLETED_JOB(mgr))
			got += completed(job);
	}
	while ((job = IMB_FLUSH_JOB(mgr)))
		got += completed(job);
	assert(got == n);
}

static IMB_MGR *manager_for(const struct nx_leaves *leaves, size_t n)
{
	if (n >= WIDE_MIN && leaves->wide)
		return leaves->wide;
	return n >= NARROW_MIN ? leaves->narrow : NULL;
}

static bool hash_batch(struct nx_leaves *leaves, size_t n, uint8_t (*ret)[NX_SHA256_LEN])
{
	IMB_MGR *mgr = manager_for(leaves, n);

	if (mgr)
		hash_jobs(leaves, mgr, n, ret);
	return mgr != NULL;
}
#else
void nx_leaves_init(void)
{
}

const char *nx_leaves_name(void)
{
	return "nettle";
}

static bool managers_new(struct nx_leaves *leaves)
{
	(void)leaves;
	return true;
}

static void managers_free(struct nx_leaves *leaves)
{
	(void)leaves;
}

static bool hash_batch(struct nx_leaves *leaves, size_t n, uint8_t (*ret)[NX_SHA256_LEN])
{
	(void)leaves;
	(void)n;
	(void)ret;
	return false;
}
#endif

static struct nx_leaves *leaves_free(struct nx_leaves *leaves)
{
	managers_free(leaves);
	free(leaves->slots);
	free(leaves);
	return NULL;
}

static struct nx_leaves *leaves_new(void)
{
	struct nx_leaves *leaves = calloc(1, sizeof(*leaves));

	if (!leaves)
		return NULL;
	leaves->slots = aligned_alloc(64, NX_LEAVES_MAX * SLOT_LEN);
	if (!leaves->slots || !managers_new(leaves))
		return leaves_free(leaves);
	return leaves;
}

struct nx_leaves *nx_leaves_take(void)
{
	struct nx_leaves *leaves;

	(void)pthread_mutex_lock(&pool.lock);
	leaves = pool.first;
	if (leaves) {
		pool.first = leaves->next;
		pool.n--;
	}
	(void)pthread_mutex_unlock(&pool.lock);
	return leaves ? leaves : leaves_new();
}

struct nx_leaves *nx_leaves_give(struct nx_leaves *leaves)
{
	bool keep;

	if (!leaves)
		return NULL;
	explicit_bzero(leaves->slots, leaves->high * SLOT_LEN);
	leaves->n = leaves->fill = leaves->high = 0;
	(void)pthread_mutex_lock(&pool.lock);
	keep = pool.n < POOL_MAX;
	if (keep) {
		leaves->next = pool.first;
		pool.first = leaves;
		pool.n++;
	}
	(void)pthread_mutex_unlock(&pool.lock);
	return keep ? NULL : leaves_free(leaves);
}

size_t nx_leaves_fill(struct nx_leaves *leaves, const void *p, size_t n)
{
	uint8_t *to = slot(leaves, leaves->n);

	if (n > LEAF_LEN - leaves->fill)
		n = LEAF_LEN - leaves->fill;
	if (leaves->high <= leaves->n)
		leaves->high = leaves->n + 1;
	to[0] = 0x00; /* RFC 6962 2.1 */
	memcpy(to + 1 + leaves->fill, p, n);
	leaves->fill += n;
	if (leaves->fill == LEAF_LEN) {
		leaves->n++;
		leaves->fill = 0;
	}
	return n;
}

bool nx_leaves_full(const struct nx_leaves *leaves)
{
	return leaves->n == NX_LEAVES_MAX;
}

size_t nx_leaves_hash(struct nx_leaves *leaves, uint8_t ret[NX_LEAVES_MAX][NX_SHA256_LEN])
{
	size_t n = leaves->n + (leaves->fill > 0);

	if (!hash_batch(leaves, n, ret))
		for (size_t i = 0; i < n; i++)
			nx_sha256(slot(leaves, i), slot_len(leaves, i), ret[i]);
	leaves->n = leaves->fill = 0;
	return n;
}

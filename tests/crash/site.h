/*
 * site.h - a whole site over a machine whose power can be cut, the load on it, and what must hold
 * afterwards.
 *
 * Layer:   tests.
 * Threads: site_load() starts its own; everything else from one thread.
 */
#ifndef NX_CRASH_SITE_H
#define NX_CRASH_SITE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "archive/archive.h"
#include "catalog/catalog.h"
#include "keys/keys.h"
#include "ledger/ledger.h"
#include "store/pool.h"

enum {
	SITE_THREADS = 4,
	SITE_COLLECTIONS = 3, /* each in a domain of its own */
	SITE_PATIENTS = 6,
	SITE_NAMES = 4096,  /* per thread */
	SITE_OPS = 65536,   /* per thread, over all rounds */
	SITE_ASIDES = 2048, /* per thread: put into quarantine */
	SITE_WHY = 512,
};

enum op_state {
	OP_NONE,
	OP_SENT, /* not answered, or answered with an error */
	OP_ACKED
};

/* What one name holds: `sure` is acknowledged, `maybe` was sent after it. */
struct content {
	uint64_t seed; /* 0: nothing */
	uint32_t header;
	uint32_t bulk;
};

struct name {
	uint8_t collection;
	bool object; /* no study, no subject */
	uint8_t patient;
	struct content sure;
	struct content maybe;
	bool maybe_deleted;
	int64_t item;
	uint64_t subject;
	bool lost_to_erase; /* its subject is erased, or may be */
	bool seen;
};

struct patient {
	uint64_t erasing; /* a subject whose erasure was begun */
};

/* Sent into quarantine, once. */
struct aside {
	struct content what;
	bool sure;
	uint64_t patient;
	bool seen;
};

struct writer {
	struct site *site;
	unsigned id;
	uint64_t rng;
	pthread_t thread;
	struct name names[SITE_NAMES];
	unsigned n_names;
	struct aside asides[SITE_ASIDES];
	unsigned n_asides;
	uint8_t ops[SITE_OPS]; /* enum op_state, by number: each has its ledger entry */
	unsigned n_ops;
	unsigned acked;
};

struct erased {
	uint64_t subject;
	bool sure;
};

struct site {
	char dir[40];
	char keys_dir[2][64];
	const char *places[2];
	char cat_path[64];
	char ledger_dir[64];
	char pool_uri[96];
	struct nx_keys_opts key_opts;
	struct nx_key cat_key;
	struct nx_pool *pool; /* stays over a cut */
	struct nx_keys *keys;
	struct nx_cat *cat;
	struct nx_archive *archive;
	struct nx_collection collections[SITE_COLLECTIONS];
	unsigned n_domains;       /* made by the load, acknowledged: "extra/0" ... */
	unsigned n_domains_begun; /* one more may be there */
	struct writer *writers;
	pthread_mutex_t lock; /* guards erased, n_erased */
	struct erased erased[4096];
	unsigned n_erased;
	bool fresh; /* nothing was done since the start, which has swept what an erasure left */
	char why[SITE_WHY]; /* the first thing that was wrong; "" */
};

/* A new, empty site with its collections; `pool` is a URI prefix: "fault:mem:" or "fault:dir:". */
struct site *site_new(const char *pool, uint64_t seed);
struct site *site_free(struct site *s);
/* False, with site->why, when it does not open. */
bool site_open(struct site *s, bool rebuild);
void site_close(struct site *s);
/* The load, until every thread has done its operations, or the end of power. */
void site_load(struct site *s, unsigned ops_per_thread);
/* Everything acknowledged is there, nothing else but what was on its way, and all of it whole. */
bool site_check(struct site *s);

/* After damage: what is live is read as it was sent, or said to be corrupt; how many each way, and
 * how many acknowledged names are not there.  False for wrong bytes. */
struct site_read {
	unsigned good;
	unsigned corrupt;
	unsigned missing;
};
bool site_read_all(struct site *s, struct site_read *ret);

bool site_wrong(struct site *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

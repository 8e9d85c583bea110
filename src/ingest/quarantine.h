/*
 * quarantine.h - what was storable but wrong: looked at, read, taken in again, destroyed.
 *
 * Layer:   3 (ingest).
 * Threads: see ingest.h; a struct nx_kept belongs to one thread at a time.
 * PHI:     yes; lists hold none.
 *
 * Every call asks for NX_PERM_QUARANTINE and leaves an entry in the ledger, a refused one too.
 */
#ifndef NX_INGEST_QUARANTINE_H
#define NX_INGEST_QUARANTINE_H

#include "ingest/ingest.h"

struct nx_buf;
struct nx_kept;

struct nx_quarantine_find {
	const char *collection; /* NULL: all */
	int64_t reason;         /* enum nx_reason; 0: any */
	int64_t after;          /* numbers past this one */
	unsigned limit;         /* 0: 1000, which is the most */
};
/* {"quarantine":[{"number","time","collection","source","reason","size","patient_known"}],
 * "next":...}: by number, oldest first. */
NX_NODISCARD nx_rc nx_quarantine_list(struct nx_ingest *ingest, const struct nx_principal *who,
	const struct nx_quarantine_find *find, struct nx_buf *out, struct nx_err *err);
/* The same of one, with what is known of it: PHI. */
NX_NODISCARD nx_rc nx_quarantine_show(struct nx_ingest *ingest, const struct nx_principal *who,
	int64_t number, struct nx_buf *out, struct nx_err *err);

/* Its bytes, as received. */
NX_NODISCARD nx_rc nx_quarantine_open(struct nx_ingest *ingest, const struct nx_principal *who,
	int64_t number, struct nx_kept **ret, struct nx_err *err);
struct nx_kept *nx_kept_free(struct nx_kept *kept);
NX_DEFINE_AUTO(nx_kept);
uint64_t nx_kept_size(const struct nx_kept *kept);
int64_t nx_kept_time_us(const struct nx_kept *kept);
void nx_kept_etag(const struct nx_kept *kept, char ret[72]); /* quoted */
NX_NODISCARD nx_rc nx_kept_read(
	struct nx_kept *kept, uint64_t off, void *p, size_t n, size_t *ret_n, struct nx_err *err);

/* Take it in again, as it came.  When that works, it leaves quarantine; when not, it stays. */
NX_NODISCARD nx_rc nx_quarantine_retry(struct nx_ingest *ingest, const struct nx_principal *who,
	int64_t number, struct nx_ingest_result *ret, struct nx_err *err);
/* Destroy its key, and delete its rows. */
NX_NODISCARD nx_rc nx_quarantine_discard(struct nx_ingest *ingest, const struct nx_principal *who,
	int64_t number, struct nx_err *err);

#endif

/*
 * ingest_priv.h - a job, and what its parts share.
 *
 * Layer:   3 (ingest).
 * Threads: a job belongs to one thread at a time.
 * PHI:     yes.
 */
#ifndef NX_INGEST_INGEST_PRIV_H
#define NX_INGEST_INGEST_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "access/access.h"
#include "archive/archive.h"
#include "base/arena.h"
#include "base/buf.h"
#include "catalog/catalog.h"
#include "dicom/dicom.h"
#include "dicom/scheduled.h"
#include "ingest/ingest.h"
#include "ledger/ledger.h"

struct nx_ingest {
	struct nx_archive *archive;
	pthread_mutex_t lock; /* guards stats */
	struct nx_ingest_stats stats;
	struct nx_quarantine_opts quarantine;
	_Atomic uint64_t headers; /* bytes of large headers and models being received */
};

/* Attributes that rows are made of; the order of attrs.c's table. */
enum attr {
	A_META_CLASS,
	A_META_INSTANCE,
	A_CHARSET,
	A_SOP_CLASS,
	A_SOP_INSTANCE,
	A_STUDY_DATE,
	A_SERIES_DATE,
	A_STUDY_TIME,
	A_SERIES_TIME,
	A_ACCESSION,
	A_MODALITY,
	A_REFERRING,
	A_STATION,
	A_STUDY_DESCRIPTION,
	A_SERIES_DESCRIPTION,
	A_PATIENT_NAME,
	A_PATIENT_ID,
	A_ISSUER,
	A_BIRTH_DATE,
	A_SEX,
	A_BODY_PART,
	A_STUDY,
	A_SERIES,
	A_STUDY_ID,
	A_SERIES_NUMBER,
	A_INSTANCE_NUMBER,
	A_FRAMES,
	A_ROWS,
	A_COLUMNS,
	A_PPS_DATE,
	A_PPS_TIME,
	A_COUNT
};

struct attrs {
	struct nx_slice raw[A_COUNT]; /* as in the stream; from the job's arena */
	uint16_t vr[A_COUNT];
};

/* Keep the value if it is one of ours.  NX_E_NOMEM, NX_E_LIMIT. */
NX_NODISCARD nx_rc attrs_take(struct attrs *attrs, const struct nx_dicom_elem *e,
	struct nx_slice value, struct nx_arena *arena, struct nx_err *err);
/* UTF-8, trimmed; "" when absent.  NULL without memory. */
const char *attrs_text(const struct attrs *attrs, enum attr a, struct nx_arena *arena);
int64_t attrs_int(const struct attrs *attrs, enum attr a, bool big_endian);

/* ---- splitting a stream into header and bulk (split.c) ---- */

struct split {
	struct nx_ingest *ingest;
	uint32_t domain;
	struct nx_dicom_parser *parser;
	struct nx_arena *arena; /* the job's */
	struct attrs attrs;
	struct nx_buf header;       /* all non-bulk bytes */
	struct nx_ingest_hold hold; /* of it */
	size_t run_start;           /* of the header bytes not yet in a part */
	struct nx_blob **blobs;     /* [0] is the header's, made at the end */
	size_t n_blobs;
	size_t cap_blobs;
	struct nx_recipe_part *parts;
	size_t n_parts;
	size_t cap_parts;
	struct nx_blob_writer *bulk; /* the value that is arriving; spilling: the rest */
	struct nx_blob *apart;       /* the value that arrived before; not yet in its slot */
	uint64_t bulk_at;            /* size when it began */
	uint64_t size;
	uint64_t fed;      /* bytes of the caller */
	size_t meta_len;   /* of a meta group that is ours: at the start of header */
	size_t dataset_at; /* in header: after the meta group */
	uint8_t content[32];
};

/* NX_E_BUSY, here and while feeding: large headers of others take the memory that there is. */
NX_NODISCARD nx_rc split_init(struct split *s, struct nx_ingest *ingest, uint32_t domain,
	struct nx_arena *arena, const char *ts_uid, struct nx_slice meta, struct nx_err *err);
void split_done(struct split *s);
NX_NODISCARD nx_rc split_feed(struct split *s, const void *p, size_t n, struct nx_err *err);
/* The next `n` bytes are the bulk value *blob, which is taken on success. */
NX_NODISCARD nx_rc split_feed_blob(
	struct split *s, struct nx_blob **blob, uint64_t n, struct nx_err *err);
/* The parse failed on the `n` bytes at `p`, or at the end of the stream: from here on it is only
 * kept, the rest in one more blob. */
NX_NODISCARD nx_rc split_spill_begin(struct split *s, const void *p, size_t n, struct nx_err *err);
NX_NODISCARD nx_rc split_spill(struct split *s, const void *p, size_t n, struct nx_err *err);
/* Likewise final, of a stream that spilled. */
NX_NODISCARD nx_rc split_spill_finish(struct split *s, struct nx_err *err);
/* Parts and size are those of the bytes received: without a meta group of ours. */
void split_as_received(struct split *s);
/* The stream is complete: blobs, parts, size and content digest are final. */
NX_NODISCARD nx_rc split_finish(struct split *s, struct nx_err *err);

/* ---- jobs ---- */

struct nx_ingest_job {
	struct nx_ingest *ingest;
	struct nx_arena *arena;
	struct nx_principal who;
	struct nx_collection collection;
	const char *door;
	const char *expect_study;
	const char *sop_instance; /* as the command said; NULL */
	const char *sop_class;
	const char *ts_uid; /* of a bare data set; NULL: Part 10 */
	const char *source; /* AE title that sends it; NULL */
	bool is_object;
	unsigned refusal; /* enum nx_action of what is refused */
	struct nx_put_step step;
	struct nx_scheduled scheduled;
	int64_t rejects;            /* a rejection note: enum nx_rejection_reason; 0: it is none */
	const struct nx_elem *note; /* its evidence, in note_arena */
	struct nx_arena *note_arena;
	bool refuse_only; /* nothing of it goes into quarantine */
	bool spilled;     /* the parse failed */
	enum nx_reason reason;
	nx_tag tag; /* where it is wrong */
	uint64_t tag_at;
	struct nx_aside aside;
	struct nx_err why;             /* what would have been said of it */
	struct split split;            /* DICOM */
	struct nx_blob_writer *writer; /* object */
	struct nx_blob *object_blob;
	struct nx_recipe_part object_part;
	struct nx_study study;
	struct nx_series series;
	struct nx_item item;
	struct nx_put put;
	struct nx_change *change;
	bool submitted;
	nx_rc rc; /* first failure; recorded once */
	struct nx_err err;
	struct nx_ingest_result result;
};

NX_NODISCARD nx_rc dicom_submit(struct nx_ingest_job *job, struct nx_err *err);
NX_NODISCARD nx_rc object_key_check(const char *key, struct nx_err *err);
/* The job of an object; its bytes are fed, then object_commit(). */
NX_NODISCARD nx_rc object_begin(
	struct nx_ingest_job *job, const struct nx_object_opts *opts, struct nx_err *err);
NX_NODISCARD nx_rc object_commit(struct nx_ingest_job *job, unsigned action, struct nx_err *err);
NX_NODISCARD nx_rc object_submit(struct nx_ingest_job *job, struct nx_err *err);
NX_NODISCARD nx_rc job_new(struct nx_ingest *ingest, const struct nx_principal *who,
	enum nx_perm perm, const char *collection, const char *door, struct nx_ingest_job **ret,
	struct nx_err *err);
/* nx_ingest_begin() for who has another permission than NX_PERM_STORE. */
NX_NODISCARD nx_rc dicom_begin(struct nx_ingest *ingest, const struct nx_ingest_opts *opts,
	enum nx_perm perm, struct nx_ingest_job **ret, struct nx_err *err);

/* note.c: is it a rejection note?  Before split_finish(); NX_E_DENIED. */
NX_NODISCARD nx_rc note_parse(struct nx_ingest_job *job, struct nx_err *err);
/* What it rejects goes into the job's change. */
NX_NODISCARD nx_rc note_apply(struct nx_ingest_job *job, struct nx_err *err);
/* Code of DCM, and its meaning. */
/* Why a Key Object Selection rejects, by its title; 0: it does not, and is an instance like any. */
NX_NODISCARD nx_rc note_title(
	const struct nx_dataset *ds, struct nx_arena *arena, int64_t *ret, struct nx_err *err);
const char *rejection_code(int64_t reason, const char **ret_meaning);

/* aside.c: what is neither taken in nor kept aside, whatever else is wrong with it. */
NX_NODISCARD nx_rc aside_never(struct nx_ingest_job *job, struct nx_err *err);
/* The parse failed with `rc` on the `n` bytes at `p`.  NX_OK: it goes into quarantine. */
NX_NODISCARD nx_rc aside_parse_failed(
	struct nx_ingest_job *job, nx_rc rc, const void *p, size_t n, struct nx_err *err);
/* The whole was read, and is wrong. */
NX_NODISCARD nx_rc aside_content_failed(
	struct nx_ingest_job *job, nx_rc rc, enum nx_reason reason, nx_tag tag, struct nx_err *err);
NX_NODISCARD nx_rc aside_submit(struct nx_ingest_job *job, struct nx_err *err);
/* A copy that lives as long as the job.  Without memory it must not go on: what it was asked to
 * check would not be checked. */
NX_NODISCARD nx_rc job_keep(
	struct nx_ingest_job *job, const char *text, const char **ret, struct nx_err *err);
/* The first failure of a job stays, and is recorded when it ends.  Returns `rc`. */
nx_rc job_fail(struct nx_ingest_job *job, nx_rc rc, const struct nx_err *err);
/* The change of the job with its put and a ledger entry of `action`, queued. */
NX_NODISCARD nx_rc job_commit(struct nx_ingest_job *job, unsigned action, struct nx_err *err);

#endif

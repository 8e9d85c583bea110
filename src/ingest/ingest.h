/*
 * ingest.h - taking instances and objects in: parse while receiving, split, seal, commit, record.
 *
 * Layer:   3 (ingest).  Uses archive, catalog, ledger, access, dicom.
 * Threads: a struct nx_ingest is shared; a job belongs to one thread at a time.
 * PHI:     yes.
 *
 * Every door (C-STORE, STOW-RS, import, object PUT) comes through here: same checks, ledger,
 * events.
 */
#ifndef NX_INGEST_INGEST_H
#define NX_INGEST_INGEST_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

enum {
	NX_NOTE_MAX = 65
};

struct nx_archive;
struct nx_ingest;
struct nx_ingest_job;
struct nx_principal;

struct nx_ingest *nx_ingest_new(struct nx_archive *archive); /* NULL without memory */
struct nx_ingest *nx_ingest_free(struct nx_ingest *ingest);
NX_DEFINE_AUTO(nx_ingest);

/*
 * Memory that is filled from outside and has no bound of its own is counted, for all requests
 * together: NX_E_BUSY beyond NX_LIMIT_DICOM_HEADERS.  In whole steps: what is less than one, as
 * nearly all is, touches nothing shared.
 */
struct nx_ingest_hold {
	struct nx_ingest *ingest;
	uint64_t bytes;
	uint64_t claimed;
};
NX_NODISCARD nx_rc nx_ingest_hold_set(
	struct nx_ingest_hold *hold, uint64_t bytes, struct nx_err *err);
void nx_ingest_hold_done(struct nx_ingest_hold *hold);

/* Quarantine, for all collections; what is not set is on, with the bounds of limits.h. */
struct nx_quarantine_opts {
	bool off;           /* what is wrong is refused */
	bool check_meta;    /* UIDs of a file's meta group must be those of its data set */
	uint64_t max_items; /* of one collection */
	uint64_t max_bytes;
};
void nx_ingest_set_quarantine(struct nx_ingest *ingest, const struct nx_quarantine_opts *opts);

/* Why something is in quarantine; one row each in reasons.def. */
enum nx_reason {
	NX_REASON_NONE_ = 0,
#define NX_REASON(code, number, wire, status, text) code = (number),
#include "ingest/reasons.def"
#undef NX_REASON
};
const char *nx_reason_wire(int64_t reason); /* "truncated"; NULL if unknown */
const char *nx_reason_text(int64_t reason);
unsigned nx_reason_dimse(int64_t reason);
int64_t nx_reason_parse(const char *wire); /* 0 if unknown */

enum nx_ingest_outcome {
	NX_INGEST_STORED = 1,
	NX_INGEST_DUPLICATE, /* success: the same bytes are there already */
	NX_INGEST_VERSION, /* success: kept as a new version beside the old; an event was raised */
	NX_INGEST_QUARANTINED, /* storable but wrong: kept aside, not in the collection */
};

struct nx_ingest_result {
	enum nx_ingest_outcome outcome;
	char sop_class[NX_LIMIT_UID + 1];
	char sop_instance[NX_LIMIT_UID + 1];
	char study[NX_LIMIT_UID + 1];
	char series[NX_LIMIT_UID + 1];
	char key_digest[65]; /* objects: ETag */
	uint64_t subject;    /* 0: none */
	int64_t item;
	int64_t version;
	uint64_t size;
	int64_t quarantine;     /* number, when quarantined, ... */
	int64_t reason;         /* ... enum nx_reason, ... */
	char note[NX_NOTE_MAX]; /* ... and both for the sender, in ASCII: a DICOM LO */
};

struct nx_ingest_opts {
	const struct nx_principal *who;
	const char *collection;
	const char *door; /* "c-store", "stow-rs", "import": constant words for the ledger */
	/* C-STORE: the data set comes bare in this syntax, and these are the command's UIDs; NULL:
	 * Part 10. */
	const char *ts_uid;
	const char *sop_class;
	const char *sop_instance;
	const char *calling_ae;
	/* Study Instance UID that the instance must have (STOW-RS /studies/{study}); NULL: any. */
	const char *expect_study;
};

/* Checks access (NX_E_DENIED, recorded) and the collection (NX_E_NOENT). */
NX_NODISCARD nx_rc nx_ingest_begin(struct nx_ingest *ingest, const struct nx_ingest_opts *opts,
	struct nx_ingest_job **ret_job, struct nx_err *err);
/* Bytes as they arrive.  After a failure the caller may stop at once; nothing is kept.  What goes
 * into quarantine does not fail: all of it is to be fed. */
NX_NODISCARD nx_rc nx_ingest_feed(
	struct nx_ingest_job *job, const void *p, size_t n, struct nx_err *err);
/*
 * A value that arrives by itself, before the bytes around it (STOW-RS of metadata and bulk data).
 * What is long is written while it arrives; its memory is counted in `hold`.
 */
struct nx_ingest_value;
struct nx_ingest_hold;
NX_NODISCARD nx_rc nx_ingest_value_new(const struct nx_ingest_job *job, struct nx_ingest_hold *hold,
	struct nx_ingest_value **ret_value, struct nx_err *err);
struct nx_ingest_value *nx_ingest_value_free(struct nx_ingest_value *value);
NX_DEFINE_AUTO(nx_ingest_value);
NX_NODISCARD nx_rc nx_ingest_value_put(
	struct nx_ingest_value *value, const void *p, size_t n, struct nx_err *err);
uint64_t nx_ingest_value_size(const struct nx_ingest_value *value);
/* The next bytes of the job's stream are the value, whole; its element's header came before. */
NX_NODISCARD nx_rc nx_ingest_feed_value(
	struct nx_ingest_job *job, struct nx_ingest_value *value, struct nx_err *err);
/* All bytes were fed: queue the commit ... */
NX_NODISCARD nx_rc nx_ingest_submit(struct nx_ingest_job *job, struct nx_err *err);
/* ... and wait until it is durable.  NX_E_CONFLICT: same UID, other bytes, and the collection
 * rejects.  Errors of feed and submit are recorded in the ledger by this call or by free. */
NX_NODISCARD nx_rc nx_ingest_wait(
	struct nx_ingest_job *job, struct nx_ingest_result *ret, struct nx_err *err);
/* What is known so far (UIDs), for error reports. */
void nx_ingest_peek(const struct nx_ingest_job *job, struct nx_ingest_result *ret);
/* The caller found it wrong: recorded in the ledger when the job ends, as a failure of feed is. */
void nx_ingest_refuse(struct nx_ingest_job *job, const struct nx_err *why);
struct nx_ingest_job *nx_ingest_job_free(
	struct nx_ingest_job *job); /* not waited for: abandoned, no trace */
NX_DEFINE_AUTO(nx_ingest_job);

/* An object that is not DICOM: `key` in `collection`.  Feed, submit, wait as above. */
struct nx_object_opts {
	const struct nx_principal *who;
	const char *collection;
	const char *key;        /* 1-1024 bytes of UTF-8 without control characters */
	const char *media_type; /* "" : application/octet-stream */
	const char *patient_id; /* whom it is about; NULL: as the object that is there, or nobody */
	const char *issuer;     /* of patient_id; NULL: nobody in particular */
	uint64_t size;          /* UINT64_MAX: not known */
	const char *if_match;   /* ETag that must be there; NULL: any */
	bool if_none_match_any; /* "If-None-Match: *": must not exist */
};
NX_NODISCARD nx_rc nx_ingest_object(struct nx_ingest *ingest, const struct nx_object_opts *opts,
	struct nx_ingest_job **ret_job, struct nx_err *err);

/*
 * What is scheduled: an item of the modality worklist (PS3.4 K.6.1.2), of the patient that it
 * names.  It takes the place of the one of its name; what became of its steps stays.
 */
struct nx_dataset;
struct nx_worklist_item {
	const struct nx_principal *who;
	const char *collection;
	const char *name;
	const struct nx_dataset *dataset; /* UTF-8 */
};
/* Durable on NX_OK.  NX_E_INVAL: what it cannot do without is missing. */
NX_NODISCARD nx_rc nx_ingest_worklist(
	struct nx_ingest *ingest, const struct nx_worklist_item *item, struct nx_err *err);

/*
 * A performed procedure step (PS3.4 F.7.2): an object that only these make.  For who may use the
 * worklist; the data set is in explicit or implicit VR little endian.
 */
struct nx_step_fault;
struct nx_step_request {
	const struct nx_principal *who;
	const char *collection;
	const char *uid; /* SOP Instance UID */
	const char *ts_uid;
	struct nx_slice dataset;
};
/* Durable on NX_OK.  NX_E_EXISTS: there is a step with the UID.  NX_E_INVAL: *ret_fault says why,
 * if the data set could be read. */
NX_NODISCARD nx_rc nx_ingest_step_create(struct nx_ingest *ingest, const struct nx_step_request *rq,
	struct nx_step_fault *ret_fault, struct nx_err *err);
/* Likewise.  NX_E_NOENT: there is none. */
NX_NODISCARD nx_rc nx_ingest_step_set(struct nx_ingest *ingest, const struct nx_step_request *rq,
	struct nx_step_fault *ret_fault, struct nx_err *err);

struct nx_ingest_stats {
	uint64_t stored;
	uint64_t duplicates;
	uint64_t versions;
	uint64_t quarantined;
	uint64_t refused;
	uint64_t bytes;
};
void nx_ingest_stats(struct nx_ingest *ingest, struct nx_ingest_stats *ret);

#endif

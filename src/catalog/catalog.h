/*
 * catalog.h - all metadata of a site, and all SQL: tables as data, row operations, queries.
 *
 * Layer:   2 (catalog).  Uses base, crypto, SQLite.
 * Threads: shared; one thread (the committer) stages and commits, any number read.
 * PHI:     yes: study, series and item rows.  The file is encrypted page-wise by our VFS.
 *
 * Rows travel as struct nx_op: table, verb, values.  The archive seals them into group records and
 * applies them here; replaying the same operations in order gives the same catalog.
 */
#ifndef NX_CATALOG_CATALOG_H
#define NX_CATALOG_CATALOG_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/slice.h"

struct nx_arena;
struct nx_buf;
struct nx_cat;
struct nx_rd;

/* ---- row operations ---- */

enum nx_val_type {
	NX_VAL_NULL,
	NX_VAL_INT,
	NX_VAL_TEXT,
	NX_VAL_BLOB
};

struct nx_val {
	uint8_t type;
	int64_t i;
	struct nx_slice s; /* TEXT: UTF-8 without NUL */
};

static inline struct nx_val nx_val_int(int64_t i)
{
	return (struct nx_val){.type = NX_VAL_INT, .i = i};
}
static inline struct nx_val nx_val_text(const char *s)
{
	return s ? (struct nx_val){.type = NX_VAL_TEXT, .s = nx_slice_str(s)} : (struct nx_val){0};
}
static inline struct nx_val nx_val_blob(struct nx_slice s)
{
	return (struct nx_val){.type = NX_VAL_BLOB, .s = s};
}

enum nx_op_verb {
	NX_OP_PUT = 1,   /* insert or replace; all columns in order */
	NX_OP_DEL = 2,   /* by primary key columns */
	NX_OP_SET = 3,   /* primary key, then pairs (column number, value) */
	NX_OP_ADD = 4,   /* primary key, then pairs (column number, integer delta) */
	NX_OP_PURGE = 5, /* one value: every row whose column `subject` has it (erasure) */
};
/* DEL, SET and ADD of a row that is not there do nothing.  A NULL value stands for "", 0 or no
 * bytes: the catalog holds no NULLs.  A column once given its number keeps it; a PUT from before a
 * column was added may end early. */

/* Numbers are on disk: append only. */
enum nx_table {
	NX_T_KV = 1,
	NX_T_COLLECTION,
	NX_T_SUBJECT,
	NX_T_STUDY,
	NX_T_SERIES,
	NX_T_ITEM,
	NX_T_BLOB,
	NX_T_PACK,
	NX_T_PRINCIPAL,
	NX_T_AE,
	NX_T_EVENT,
	NX_T_QUARANTINE,
	NX_T_TAG,    /* ledger chain heads */
	NX_T_FORGET, /* erased subjects; replayed by every restore */
	NX_T_RELEASE,
	NX_T_RELEASE_ITEM,
	NX_T_LEASE,
	NX_T_JOB,
	NX_T_VAULT, /* pseudonyms, date shifts, cross-domain edges: values sealed by the vault
		       domain */
	NX_T_CONFLICT,
	NX_T_DESTINATION, /* DICOM peers that instances are sent to */
	NX_T_FORWARD,     /* rules: what is sent on to which destination */
	NX_T_DELIVERY,    /* what destinations are still to get */
	NX_T_FEED,        /* what became of instances, numbered by collection */
	NX_T_COMMITMENT,  /* results of storage commitment over the web */
	NX_T_STEP,        /* which performed procedure steps a study has */
	NX_T_EDIT,        /* which item took the place of one that was wrong */
	NX_T_REJECTION,   /* items that a note says are not to be used */
	NX_T_WORKLIST,    /* scheduled procedure steps, by what they are asked for */
	NX_T_COUNT_
};

/* Where a column number is needed (NX_OP_SET, NX_OP_ADD): the position in the table's struct. */
enum nx_column {
	NX_C_SUBJECT_MARKS = 5,
	NX_C_STUDY_UPDATED_US = 20,
	NX_C_STUDY_COMPLETE_US = 21,
	NX_C_STUDY_MODALITIES = 16,
	NX_C_STUDY_N_SERIES = 17,
	NX_C_STUDY_N_INSTANCES = 18,
	NX_C_SERIES_N_INSTANCES = 12,
	NX_C_SERIES_UPDATED_US = 13,
	NX_C_ITEM_STATE = 7,
	NX_C_ITEM_SEALED = 16,
	NX_C_BLOB_REFS = 1,
	NX_C_BLOB_EXTENTS = 2,
	NX_C_PACK_STATE = 3,
	NX_C_PRINCIPAL_REVOKED_US = 5,
	NX_C_QUARANTINE_STATE = 6,
	NX_C_LEASE_STATE = 5,
	NX_C_JOB_STATE = 2,
	NX_C_CONFLICT_STATE = 6,
	NX_C_DELIVERY_KIND = 1,
	NX_C_DELIVERY_STATE = 3,
	NX_C_DELIVERY_DUE_US = 4,
	NX_C_DELIVERY_TRIES = 5,
	NX_C_DELIVERY_STATUS = 10,
	NX_C_DELIVERY_CODE = 11,
	NX_C_DELIVERY_TXN = 13,
	NX_C_WORKLIST_STATE = 4,
	NX_C_WORKLIST_SINCE = 6,
	NX_C_WORKLIST_PERFORMED = 15,
	NX_C_WORKLIST_CHANGED_US = 16,
};

struct nx_op {
	uint8_t verb;
	uint8_t table;
	uint16_t n;
	uint32_t domain; /* key domain of `subject` */
	uint64_t
		subject; /* != 0: in group records the values are sealed under this subject's key */
	struct nx_val *vals;
};

void nx_op_format(const struct nx_op *op, struct nx_buf *out); /* the values only */
/* Values borrow from `rd`; the array is from `arena`. */
NX_NODISCARD nx_rc nx_op_parse(struct nx_rd *rd, uint8_t verb, uint8_t table,
	struct nx_arena *arena, struct nx_op *ret_op, struct nx_err *err);

/* ---- open, apply ---- */

struct nx_cat_opts {
	const char *path;         /* database file; "" : in memory */
	const struct nx_key *key; /* encrypts the file */
	const char *vfs; /* name of an SQLite VFS under ours (fault injection); NULL: the default */
	unsigned
		n_readers; /* connections kept open; 0: 8.  More are opened while all are in use. */
};

/* Makes the file or runs the migrations that are due.  NX_E_VERSION for a newer schema, NX_E_KEY
 * for a wrong key. */
NX_NODISCARD nx_rc nx_cat_open(
	const struct nx_cat_opts *opts, struct nx_cat **ret_cat, struct nx_err *err);
struct nx_cat *nx_cat_free(struct nx_cat *cat); /* checkpoints */
NX_DEFINE_AUTO(nx_cat);

/*
 * Groups of operations, staged in one transaction until nx_cat_commit() shows them to everybody:
 * pages that many groups change are written once.  `seq` must be higher than that of the group
 * before.  A failure of either takes back everything that was staged; NX_E_INVAL for a wrong number
 * takes back nothing.
 */
NX_NODISCARD nx_rc nx_cat_stage(
	struct nx_cat *cat, uint64_t seq, const struct nx_op *ops, size_t n, struct nx_err *err);
/* The watermark becomes the last staged number, in the same transaction.  NX_OK with nothing
 * staged. */
NX_NODISCARD nx_rc nx_cat_commit(struct nx_cat *cat, struct nx_err *err);
/* Both. */
NX_NODISCARD nx_rc nx_cat_apply(
	struct nx_cat *cat, uint64_t seq, const struct nx_op *ops, size_t n, struct nx_err *err);
/* The calling thread, which alone stages from now on, sees what it staged in look-ups (not in lists
 * and queries).  Once per catalog. */
void nx_cat_own(struct nx_cat *cat);
uint64_t nx_cat_watermark(struct nx_cat *cat); /* committed; 0: nothing yet */
/* Highest id in use of a table with an integer key (0 when empty). */
NX_NODISCARD nx_rc nx_cat_max_id(
	struct nx_cat *cat, enum nx_table table, uint64_t *ret_id, struct nx_err *err);
/* A consistent copy into `path` under `key`, while the catalog is in use. */
NX_NODISCARD nx_rc nx_cat_backup(
	struct nx_cat *cat, const char *path, const struct nx_key *key, struct nx_err *err);

/* ---- rows, as read.  Strings and blobs are from the arena given. ---- */

enum nx_zone {
	NX_ZONE_LANDING = 1,
	NX_ZONE_CURATED,
	NX_ZONE_TRAINING,
	NX_ZONE_SCRATCH,
	NX_ZONE_ARCHIVE,
	NX_ZONE_VAULT
};

/* Column order of every struct = column order of PUT. */
struct nx_collection {
	int64_t id;
	const char *name;
	const char *project;
	int64_t zone; /* enum nx_zone */
	const char *domain_name;
	int64_t domain;          /* of keys.h */
	const char *tags;        /* JSON object: policy tags */
	const char *on_conflict; /* "version" or "reject" */
	int64_t created_us;
};

/* One (issuer, patient id) of a domain -> subject.  Several may share one subject. */
struct nx_subject_row {
	int64_t domain;
	const char *issuer;
	const char *patient_id; /* blank id: "\x01study:<uid>", one subject per study */
	int64_t subject;
	int64_t created_us;
	int64_t marks; /* of name, birth date and sex (archive); 0: none is known */
};

enum {
	NX_STUDY_OPEN = -1 /* of complete_us */
};

struct nx_study {
	int64_t id;
	int64_t collection;
	int64_t subject;
	const char *uid;
	const char *patient_id;
	const char *issuer;
	const char *patient_name; /* alphabetic=ideographic=phonetic, UTF-8 */
	const char *name_key;     /* upper case, for prefix search */
	const char *birth_date;
	const char *sex;
	const char *date;
	const char *time;
	const char *accession;
	const char *referring;
	const char *description;
	const char *study_id;
	const char *modalities; /* "CT\\SR" */
	int64_t n_series;
	int64_t n_instances;
	int64_t received_us; /* first instance */
	int64_t updated_us;  /* last instance */
	/* What updated_us was when it last counted as complete; NX_STUDY_OPEN: not yet; 0: it is
	 * from before that was known. */
	int64_t complete_us;
};

struct nx_series {
	int64_t id;
	int64_t study;
	const char *uid;
	const char *modality;
	const char *number;
	const char *description;
	const char *body_part;
	const char *date;
	const char *time;
	const char *station;
	const char *pps_date; /* Performed Procedure Step Start Date */
	const char *pps_time;
	int64_t n_instances;
	int64_t updated_us;
};

enum nx_item_state {
	NX_ITEM_LIVE = 1,
	NX_ITEM_OLD = 2 /* a newer version exists */,
	NX_ITEM_DELETED = 3,
	NX_ITEM_ERASED = 4,
	NX_ITEM_ASIDE = 5,   /* in quarantine: not of its collection */
	NX_ITEM_DERIVED = 6, /* made from others, which it saves reading: of no query */
	NX_ITEM_REJECTED = 7 /* a note says that it is not to be used */
};

struct nx_item {
	int64_t id;
	int64_t collection;
	int64_t subject; /* 0: none */
	int64_t domain;
	int64_t series;   /* 0: not DICOM */
	const char *name; /* SOP Instance UID or object key */
	int64_t version;  /* 1, 2, ... */
	int64_t state;
	const char *type; /* SOP Class UID or media type */
	const char *ts_uid;
	int64_t number; /* Instance Number; 0 when absent */
	int64_t rows;
	int64_t columns;
	int64_t frames;
	int64_t size; /* bytes as received */
	int64_t received_us;
	struct nx_slice
		sealed; /* recipe with blob keys, sealed under the subject's key (archive) */
};

struct nx_blob_row {
	int64_t id;
	int64_t refs;
	struct nx_slice extents; /* packed list of struct nx_extent (archive) */
};

struct nx_pack_row {
	int64_t id;
	int64_t domain;
	int64_t cls;   /* 1 small, 2 bulk */
	int64_t state; /* 1 active, 2 sealed */
	int64_t first_seq;
	int64_t created_us;
};

struct nx_principal_row {
	const char *name;
	const char *role;           /* "admin", ... */
	struct nx_slice token_hash; /* SHA-256 of the bearer token */
	int64_t expires_us;         /* 0: never */
	int64_t created_us;
	int64_t revoked_us; /* 0: not */
};

struct nx_ae_row {
	const char *ae;      /* calling AE title */
	const char *called;  /* called AE title = binding */
	const char *address; /* allowed peer address; "" any */
	const char *collection;
	int64_t created_us;
	const char *role; /* of access.h; "": modality */
};

struct nx_destination_row {
	const char *ae;
	const char *host; /* name or address */
	int64_t port;
	int64_t tls;         /* 0 plain, 1 TLS */
	const char *calling; /* as whom it is called; "": NARTHEX */
	int64_t created_us;
};

struct nx_forward_row {
	const char *name;
	const char *collection;
	const char *destination; /* AE title */
	const char *conditions;  /* JSON object: fact and pattern; all of them must hold */
	int64_t created_us;
	int64_t commitment; /* 1: the destination is asked for it afterwards */
};

/* Numbers are on disk: append only. */
enum nx_delivery_kind {
	NX_DELIVERY_STORE = 1,  /* an instance, by C-STORE */
	NX_DELIVERY_COMMIT = 2, /* the question whether it has the instance, by N-ACTION */
	NX_DELIVERY_REPORT = 3, /* the answer to such a question, by N-EVENT-REPORT */
};

enum nx_delivery_state {
	NX_DELIVERY_WAITING = 1,
	NX_DELIVERY_ASKED = 2, /* the answer is awaited; due_us: until when */
	NX_DELIVERY_DEAD = 3   /* given up; kept until somebody decides.  Above all others. */
};

struct nx_delivery_row { /* deleted when it is done */
	int64_t id;
	int64_t kind; /* enum nx_delivery_kind */
	const char *destination;
	int64_t state;  /* enum nx_delivery_state */
	int64_t due_us; /* not tried before */
	int64_t tries;  /* that failed */
	int64_t collection;
	int64_t subject;       /* 0: of nobody in particular */
	int64_t item;          /* 0: of none */
	const char *principal; /* on whose behalf */
	int64_t status;        /* DIMSE status of the last try; 0: none */
	int64_t code;          /* nx_rc of the last try; 0: it was answered */
	int64_t created_us;
	const char *txn;         /* Transaction UID of the question; "" */
	struct nx_slice payload; /* of the answer: event type and data set (lifecycle) */
	int64_t commitment;      /* 1: ask when the instance was taken */
};

struct nx_kv_row {
	const char *key;
	struct nx_slice value;
};

struct nx_event_row { /* what automation may react to; deleted when delivered */
	int64_t id;
	int64_t time_us;
	const char *kind;   /* "study.complete" */
	int64_t subject;    /* 0: none */
	int64_t study;      /* 0: none */
	const char *detail; /* JSON object */
};

struct nx_quarantine_row {
	int64_t id;
	int64_t time_us;
	int64_t collection;
	const char *source;     /* calling AE title or principal */
	int64_t reason;         /* of ingest's reasons.def */
	int64_t size;           /* bytes as received */
	int64_t state;          /* 1 waiting; what is settled has no row */
	struct nx_slice sealed; /* what is known of it, JSON, under the subject's key (archive) */
	int64_t item;           /* its bytes: an item of state NX_ITEM_ASIDE */
	int64_t subject;        /* made for it alone: discarding destroys this key */
	int64_t patient;        /* the subject it seems to belong to; 0: not known */
};

struct nx_tag_row {
	struct nx_slice tag; /* 16 bytes */
	int64_t count;
	int64_t last;
};

struct nx_forget_row {
	int64_t subject;
	int64_t time_us;
};

struct nx_release_row {
	int64_t id;
	const char *name;
	int64_t version;
	int64_t collection;
	int64_t state;        /* 1 building, 2 published, 3 withdrawn */
	struct nx_slice root; /* of the manifest; empty while building */
	int64_t manifest;     /* item id; 0 while building */
	int64_t n_items;
	const char *principal; /* who made it */
	int64_t created_us;
};

struct nx_release_item_row {
	int64_t release;
	int64_t position; /* in the manifest, from 0 */
	int64_t item;
};

struct nx_lease_row {
	const char *id;
	int64_t release;
	const char *principal;
	const char *purpose;
	int64_t expires_us;
	int64_t state; /* 1 running, 2 ended, 3 revoked */
	int64_t created_us;
};

struct nx_job_row {
	int64_t id;
	const char *kind;
	int64_t state; /* 1 waiting, 2 running, 3 done, 4 failed, 5 cancelled */
	int64_t collection;
	const char *principal;
	const char *spec; /* JSON object: what to do */
	int64_t done;     /* steps */
	int64_t total;
	const char *error; /* wire name and text of the failure; "" */
	int64_t created_us;
	int64_t updated_us;
};

struct nx_vault_row {
	struct nx_slice key;   /* keyed tag */
	struct nx_slice value; /* sealed by the vault domain */
};

/* Numbers are on disk: append only. */
enum nx_conflict_kind {
	NX_CONFLICT_VERSION = 0,      /* a second object under a name that was taken */
	NX_CONFLICT_PATIENTS = 2,     /* an instance of another patient than its study */
	NX_CONFLICT_DEMOGRAPHICS = 3, /* a patient whose name, birth date or sex is another */
	NX_CONFLICT_SERIES = 4,       /* a series that another study has, too */
};

struct nx_conflict_row {
	int64_t id;
	int64_t collection;
	const char *name;
	int64_t old_item; /* 0: of another kind than versions */
	int64_t new_item; /* the one that told; 0: refused */
	int64_t time_us;
	int64_t state; /* 1 open, 2 settled */
	int64_t kind;  /* enum nx_conflict_kind; what follows is 0 for versions */
	int64_t study;
	int64_t subject; /* of the instance */
	/* patients: the subject of the study; demographics: the marks that came; series: the other
	 * study */
	int64_t mark;
	int64_t known; /* demographics: the marks that were known */
};

/* `item` says what `replaced` should have said. */
struct nx_edit_row {
	int64_t item;
	int64_t replaced;
	int64_t subject; /* whose `item` is ... */
	int64_t was;     /* ... and whose `replaced` is */
};

/* Numbers are on disk: append only (PS3.16 CID 7011). */
enum nx_rejection_reason {
	NX_REJECTION_QUALITY = 1,
	NX_REJECTION_SAFETY,
	NX_REJECTION_WORKLIST,
	NX_REJECTION_RETENTION
};
/* "quality", "safety", "worklist", "retention"; "" for another number, 0 for another word. */
const char *nx_rejection_word(int64_t reason);
int64_t nx_rejection_parse(const char *word);

struct nx_rejection_row {
	int64_t item;
	int64_t collection;
	int64_t subject;
	int64_t note; /* the item that says so */
	int64_t reason;
	int64_t time_us;
};

enum nx_feed_action {
	NX_FEED_CREATE = 1,
	NX_FEED_UPDATE, /* a new version of what was there */
	NX_FEED_DELETE,
	NX_FEED_ERASE /* everything of the subject; no item is named */
};

/* Nothing here tells who or what it was: the item's rows do, until they are erased. */
struct nx_feed_row {
	int64_t collection;
	int64_t number; /* 1, 2, ... without a gap */
	int64_t time_us;
	int64_t action; /* enum nx_feed_action */
	int64_t subject;
	int64_t item;
};

struct nx_commitment_row {
	int64_t collection;
	const char *transaction_uid;
	const char *principal; /* who asked */
	int64_t created_us;
	/* JSON: [{"item","class"}] of what is held, [{"uid","class","reason"}] of what is not. */
	const char *refs;
};

struct nx_step_row { /* one for every study of a step */
	int64_t collection;
	const char *study_uid; /* there may be nothing of it yet */
	const char *name;      /* of the object that is the step */
	int64_t subject;
};

/* What became of a scheduled procedure step. */
enum nx_worklist_state {
	NX_WORKLIST_SCHEDULED = 1,
	NX_WORKLIST_STARTED,      /* a performed procedure step of it is in progress, ... */
	NX_WORKLIST_COMPLETED,    /* ... was completed, */
	NX_WORKLIST_DISCONTINUED, /* ... or was not */
	NX_WORKLIST_EXPIRED,      /* nobody did it in time */
	NX_WORKLIST_STATES_
};
/* "scheduled", "started", ...; "" for another number, 0 for another word. */
const char *nx_worklist_word(int64_t state);
int64_t nx_worklist_parse(const char *word);

struct nx_worklist_row { /* one for every step of an item of the worklist */
	int64_t collection;
	const char *name; /* of the object that is the item */
	int64_t number;   /* of the step in it, from 0 */
	int64_t subject;
	int64_t state;     /* enum nx_worklist_state */
	const char *day;   /* "20260131": of the step; "": without one */
	const char *since; /* the day that its time to expire begins with */
	const char *modality;
	const char *stations; /* AE titles with backslashes between */
	const char *step_id;
	const char *patient_id;
	const char *name_key; /* of the patient's name */
	const char *accession;
	const char *study_uid;
	const char *request_id;
	const char *performed; /* the name of the performed step that changed it last; "" */
	int64_t changed_us;
};

/* ---- look-ups; NX_E_NOENT when there is none ---- */

NX_NODISCARD nx_rc nx_cat_collection(struct nx_cat *cat, const char *name, struct nx_arena *arena,
	struct nx_collection *ret, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_collection_by_id(struct nx_cat *cat, int64_t id, struct nx_arena *arena,
	struct nx_collection *ret, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_subject_find(struct nx_cat *cat, int64_t domain, const char *issuer,
	const char *patient_id, uint64_t *ret_subject, struct nx_err *err);
/* The same, with all of the row. */
NX_NODISCARD nx_rc nx_cat_subject(struct nx_cat *cat, int64_t domain, const char *issuer,
	const char *patient_id, struct nx_arena *arena, struct nx_subject_row *ret,
	struct nx_err *err);
/* How `item` came to say what it says; why it is rejected. */
NX_NODISCARD nx_rc nx_cat_edit(struct nx_cat *cat, int64_t item, struct nx_arena *arena,
	struct nx_edit_row *ret, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_rejection(struct nx_cat *cat, int64_t item, struct nx_arena *arena,
	struct nx_rejection_row *ret, struct nx_err *err);
/* The one of this kind, subject and mark; of that study, or any where it is 0. */
NX_NODISCARD nx_rc nx_cat_conflict_like(struct nx_cat *cat, const struct nx_conflict_row *like,
	struct nx_arena *arena, struct nx_conflict_row *ret, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_study(struct nx_cat *cat, int64_t collection, const char *uid,
	struct nx_arena *arena, struct nx_study *ret, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_study_by_id(struct nx_cat *cat, int64_t id, struct nx_arena *arena,
	struct nx_study *ret, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_series(struct nx_cat *cat, int64_t study, const char *uid,
	struct nx_arena *arena, struct nx_series *ret, struct nx_err *err);
/* One with instances of that UID, of another study of the collection. */
NX_NODISCARD nx_rc nx_cat_series_elsewhere(struct nx_cat *cat, const struct nx_study *study,
	const char *uid, struct nx_arena *arena, struct nx_series *ret, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_series_by_id(struct nx_cat *cat, int64_t id, struct nx_arena *arena,
	struct nx_series *ret, struct nx_err *err);
/* The live object of a name, whoever it belongs to. */
NX_NODISCARD nx_rc nx_cat_object(struct nx_cat *cat, int64_t collection, const char *name,
	struct nx_arena *arena, struct nx_item *ret, struct nx_err *err);
/* The latest version whatever its state, of a subject in a collection (index on (collection,
 * subject, name)). */
NX_NODISCARD nx_rc nx_cat_item_latest(struct nx_cat *cat, int64_t collection, uint64_t subject,
	const char *name, struct nx_arena *arena, struct nx_item *ret, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_item_by_id(struct nx_cat *cat, int64_t id, struct nx_arena *arena,
	struct nx_item *ret, struct nx_err *err);
/* The live version with this name in a series (WADO-RS). */
NX_NODISCARD nx_rc nx_cat_item_in_series(struct nx_cat *cat, int64_t series, const char *name,
	struct nx_arena *arena, struct nx_item *ret, struct nx_err *err);
/* A live one of a series, always the same while that is there. */
NX_NODISCARD nx_rc nx_cat_item_of_series(struct nx_cat *cat, int64_t series, struct nx_arena *arena,
	struct nx_item *ret, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_blob(struct nx_cat *cat, int64_t id, struct nx_arena *arena,
	struct nx_blob_row *ret, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_tag(struct nx_cat *cat, const uint8_t tag[16], uint64_t *ret_count,
	uint64_t *ret_last, struct nx_err *err);
/* Tags whose first two bytes are `bucket`, ascending. */
NX_NODISCARD nx_rc nx_cat_tags_in(struct nx_cat *cat, uint16_t bucket,
	nx_rc (*fn)(void *payload, const uint8_t tag[16], uint64_t count, uint64_t last),
	void *payload, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_principal(struct nx_cat *cat, const uint8_t token_hash[32],
	struct nx_arena *arena, struct nx_principal_row *ret, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_ae(struct nx_cat *cat, const char *calling, const char *called,
	struct nx_arena *arena, struct nx_ae_row *ret, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_destination(struct nx_cat *cat, const char *ae, struct nx_arena *arena,
	struct nx_destination_row *ret, struct nx_err *err);

/* ---- lists: `fn` per row, in order; a failure of fn stops and is returned.  Row memory lasts for
 * the call of fn unless it copies.  fn may look things up; it is to be quick, as the log cannot be
 * emptied meanwhile. ---- */

typedef nx_rc (*nx_cat_row_fn)(void *payload, const void *row, struct nx_err *err);

NX_NODISCARD nx_rc nx_cat_collections(
	struct nx_cat *cat, nx_cat_row_fn fn, void *payload, struct nx_err *err);
/* struct nx_series of a study by number; struct nx_item (live) of a series by (number, name). */
NX_NODISCARD nx_rc nx_cat_series_of(
	struct nx_cat *cat, int64_t study, nx_cat_row_fn fn, void *payload, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_items_of(
	struct nx_cat *cat, int64_t series, nx_cat_row_fn fn, void *payload, struct nx_err *err);
/* Those, and what is rejected and may be used again. */
NX_NODISCARD nx_rc nx_cat_items_kept_of(
	struct nx_cat *cat, int64_t series, nx_cat_row_fn fn, void *payload, struct nx_err *err);
/* struct nx_item: every version of every item of a subject in any domain (erase), of a collection
 * by name from `after` (NULL: start). */
NX_NODISCARD nx_rc nx_cat_items_of_subject(
	struct nx_cat *cat, uint64_t subject, nx_cat_row_fn fn, void *payload, struct nx_err *err);
struct nx_objects_of {
	int64_t collection;
	const char *prefix; /* NULL: any */
	const char *after;
	unsigned limit;
};
NX_NODISCARD nx_rc nx_cat_objects(struct nx_cat *cat, const struct nx_objects_of *which,
	nx_cat_row_fn fn, void *payload, struct nx_err *err);
/* struct nx_item of a collection by name, those objects that no row of the worklist names. */
NX_NODISCARD nx_rc nx_cat_worklist_missing(struct nx_cat *cat, const struct nx_objects_of *which,
	nx_cat_row_fn fn, void *payload, struct nx_err *err);
/* struct nx_worklist_row of that state whose time began before that day. */
NX_NODISCARD nx_rc nx_cat_worklist_overdue(struct nx_cat *cat, int64_t state, const char *day,
	unsigned limit, nx_cat_row_fn fn, void *payload, struct nx_err *err);
/* struct nx_item, every row there is, by id from `after_id` (scrub, fsck). */
NX_NODISCARD nx_rc nx_cat_items_all(struct nx_cat *cat, int64_t after_id, unsigned limit,
	nx_cat_row_fn fn, void *payload, struct nx_err *err);
/* Likewise struct nx_blob_row, struct nx_study, struct nx_series. */
NX_NODISCARD nx_rc nx_cat_blobs_all(struct nx_cat *cat, int64_t after_id, unsigned limit,
	nx_cat_row_fn fn, void *payload, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_studies_all(struct nx_cat *cat, int64_t after_id, unsigned limit,
	nx_cat_row_fn fn, void *payload, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_series_all(struct nx_cat *cat, int64_t after_id, unsigned limit,
	nx_cat_row_fn fn, void *payload, struct nx_err *err);
/* struct nx_rejection_row of a collection, by item. */
NX_NODISCARD nx_rc nx_cat_rejections(struct nx_cat *cat, int64_t collection, int64_t after_item,
	unsigned limit, nx_cat_row_fn fn, void *payload, struct nx_err *err);
/* struct nx_quarantine_row, struct nx_conflict_row by id; collection and reason 0: any. */
struct nx_quarantine_of {
	int64_t after_id;
	int64_t collection;
	int64_t reason;
	unsigned limit;
};
NX_NODISCARD nx_rc nx_cat_quarantine(struct nx_cat *cat, const struct nx_quarantine_of *which,
	nx_cat_row_fn fn, void *payload, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_conflicts(struct nx_cat *cat, int64_t after_id, int64_t collection,
	unsigned limit, nx_cat_row_fn fn, void *payload, struct nx_err *err);
/* struct nx_delivery_row by id; state 0 and destination "": any. */
struct nx_deliveries_of {
	int64_t after_id;
	int64_t state;
	const char *destination;
	unsigned limit;
};
NX_NODISCARD nx_rc nx_cat_deliveries(struct nx_cat *cat, const struct nx_deliveries_of *which,
	nx_cat_row_fn fn, void *payload, struct nx_err *err);
/* The first that is due of every destination that is owed something. */
NX_NODISCARD nx_rc nx_cat_deliveries_first(
	struct nx_cat *cat, nx_cat_row_fn fn, void *payload, struct nx_err *err);
/* struct nx_commitment_row, the oldest of any collection, from before that time. */
NX_NODISCARD nx_rc nx_cat_commitments_before(struct nx_cat *cat, int64_t us, unsigned limit,
	nx_cat_row_fn fn, void *payload, struct nx_err *err);
/* struct nx_feed_row of a collection by number. */
NX_NODISCARD nx_rc nx_cat_feed(struct nx_cat *cat, int64_t collection, int64_t after,
	unsigned limit, nx_cat_row_fn fn, void *payload, struct nx_err *err);
NX_NODISCARD nx_rc nx_cat_packs(
	struct nx_cat *cat, nx_cat_row_fn fn, void *payload, struct nx_err *err);

/*
 * Any table by equality on leading columns, as generic rows (struct nx_op with verb PUT): for the
 * small tables (events, leases, releases, jobs, vault, ...).
 */
struct nx_rows_of {
	enum nx_table table;
	unsigned index; /* 0: the primary key, else a secondary one as the description counts */
	const struct nx_val *where; /* for the first columns of the index */
	size_t n_where;
	bool descending;
	unsigned limit; /* 0: all */
};
NX_NODISCARD nx_rc nx_cat_rows(struct nx_cat *cat, const struct nx_rows_of *which,
	struct nx_arena *arena, struct nx_op **ret_rows, size_t *ret_n, struct nx_err *err);

/* ---- QIDO-RS / C-FIND ---- */

enum nx_query_level {
	NX_LEVEL_PATIENT,
	NX_LEVEL_STUDY,
	NX_LEVEL_SERIES,
	NX_LEVEL_INSTANCE
};

/* Columns that can be matched, with the DICOM attribute they stand for in catalog.c's table. */
struct nx_query_key {
	uint32_t tag;      /* DICOM tag: 0x00100020 */
	const char *value; /* UTF-8: single value, "*" and "?" wildcards, "a-b" date/time range, UID
			      list with "\\" */
};

struct nx_query {
	enum nx_query_level level;
	const int64_t *collections; /* those the caller may see; none: no result */
	size_t n_collections;
	const struct nx_query_key *keys;
	size_t n_keys;
	bool datetime;  /* a date range and the time range of its pair are one range of moments */
	bool fuzzy;     /* PN: words in any order, prefix of each, case and accents ignored */
	unsigned limit; /* 0: NX_LIMIT_QUERY_ROWS */
	unsigned offset;
};

/* One result; series and item are NULL above their level.  A patient is in its newest study. */
struct nx_match {
	const struct nx_study *study;
	const struct nx_series *series;
	const struct nx_item *item;
	int64_t n_studies; /* of the patient, of those that match; 0 below NX_LEVEL_PATIENT */
	int64_t n_series;
	int64_t n_instances;
};

/* Order: by name where a name's beginning is matched, else newest study date where a date is, else
 * newest study; series as they came; instances by number.  A SOP Instance UID without a study or
 * series key looks into every series: 0.4 s at a million instances.
 *
 * NX_E_INVAL for a key that cannot be matched at this level (its tag is in the text).  *ret_more:
 * there are rows past the limit. */
NX_NODISCARD nx_rc nx_cat_query(struct nx_cat *cat, const struct nx_query *query,
	nx_rc (*fn)(void *payload, const struct nx_match *match, struct nx_err *err), void *payload,
	bool *ret_more, struct nx_err *err);
bool nx_cat_query_key_known(enum nx_query_level level, uint32_t tag);

/*
 * Names of items of the worklist that have a step of these states (bits 1 << state) that may match
 * the keys, by name, each once.  Keys and values that are none to search by (nx_cat_worklist_key())
 * are passed over: whether an item matches, its data set says.
 */
struct nx_worklist_query {
	int64_t collection;
	unsigned states;
	const struct nx_query_key *keys;
	size_t n_keys;
};
NX_NODISCARD nx_rc nx_cat_worklist(struct nx_cat *cat, const struct nx_worklist_query *query,
	nx_rc (*fn)(void *payload, const char *name, struct nx_err *err), void *payload,
	struct nx_err *err);
/* Is it one to search by, of a step or of the item itself? */
bool nx_cat_worklist_key(uint32_t tag, bool of_step);

struct nx_cat_counts {
	uint64_t subjects;
	uint64_t studies;
	uint64_t series;
	uint64_t items; /* live ones */
	uint64_t bytes; /* of these, as received */
	uint64_t quarantined;
	uint64_t quarantined_bytes;
};
NX_NODISCARD nx_rc nx_cat_counts(struct nx_cat *cat, struct nx_cat_counts *ret, struct nx_err *err);

struct nx_delivery_counts {
	uint64_t waiting;
	uint64_t asked;
	uint64_t dead;
};
NX_NODISCARD nx_rc nx_cat_delivery_counts(
	struct nx_cat *cat, struct nx_delivery_counts *ret, struct nx_err *err);

/* What waits in quarantine for one collection. */
NX_NODISCARD nx_rc nx_cat_quarantine_totals(struct nx_cat *cat, int64_t collection, uint64_t *ret_n,
	uint64_t *ret_bytes, struct nx_err *err);

/* Helpers to make PUT operations of the typed rows: values from `arena`, strings borrowed. */
NX_NODISCARD nx_rc nx_op_put_collection(
	const struct nx_collection *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_subject(
	const struct nx_subject_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_study(
	const struct nx_study *row, uint32_t domain, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_series(const struct nx_series *row, uint32_t domain, uint64_t subject,
	struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_item(
	const struct nx_item *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_blob(
	const struct nx_blob_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_pack(
	const struct nx_pack_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_principal(
	const struct nx_principal_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_ae(
	const struct nx_ae_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_destination(
	const struct nx_destination_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_forward(
	const struct nx_forward_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_delivery(
	const struct nx_delivery_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_event(
	const struct nx_event_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_quarantine(
	const struct nx_quarantine_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_tag(
	const struct nx_tag_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_release(
	const struct nx_release_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_lease(
	const struct nx_lease_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_commitment(
	const struct nx_commitment_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_feed(
	const struct nx_feed_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_step(
	const struct nx_step_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_worklist(
	const struct nx_worklist_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_edit(
	const struct nx_edit_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_rejection(
	const struct nx_rejection_row *row, struct nx_arena *arena, struct nx_op *ret);
NX_NODISCARD nx_rc nx_op_put_conflict(
	const struct nx_conflict_row *row, struct nx_arena *arena, struct nx_op *ret);
/* The struct of a generic row (nx_cat_rows, nx_op_parse) of that table; `ret_row` is the struct
 * named for the table above. */
NX_NODISCARD nx_rc nx_op_row(
	const struct nx_op *op, struct nx_arena *arena, void *ret_row, struct nx_err *err);

/* name_key of a patient name: upper case, accents and trailing delimiters gone. */
NX_NODISCARD char *nx_cat_name_key(const char *name, struct nx_arena *arena);

#endif

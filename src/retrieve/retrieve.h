/*
 * retrieve.h - giving data out: queries, metadata, instances, bulk data, objects; decided and
 * recorded first.
 *
 * Layer:   3 (retrieve).  Uses archive, catalog, ledger, access, dicom.
 * Threads: a struct nx_retrieve is shared; streams belong to one thread at a time.
 * PHI:     yes.
 *
 * The ledger entry is durable before the first body byte; reads of one study by one session within
 * 60 s share the entry that opened it.
 */
#ifndef NX_RETRIEVE_RETRIEVE_H
#define NX_RETRIEVE_RETRIEVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/slice.h"

struct nx_archive;
struct nx_arena;
struct nx_buf;
struct nx_dataset;
struct nx_item;
struct nx_match;
struct nx_pixelbox;
struct nx_principal;
struct nx_retrieve;

struct nx_retrieve *nx_retrieve_new(struct nx_archive *archive); /* NULL without memory */
struct nx_retrieve *nx_retrieve_free(struct nx_retrieve *retrieve);
NX_DEFINE_AUTO(nx_retrieve);

/* Its workers, for others who read what came from outside; as long as it is. */
struct nx_pixelbox *nx_retrieve_workers(const struct nx_retrieve *retrieve);

/* A study is complete: what is slow to give for the first time is made ready. */
void nx_retrieve_study_ready(struct nx_retrieve *retrieve, int64_t study);

struct nx_retrieve_stats {
	uint64_t records_made; /* series records, since the start */
	uint64_t records_used;
	uint64_t frames; /* that workers decoded or encoded, also with an error */
	uint64_t workers_started;
	uint64_t workers_died;   /* of a frame */
	uint64_t workers_killed; /* for their time */
};
void nx_retrieve_stats(struct nx_retrieve *retrieve, struct nx_retrieve_stats *ret);

/* ---- queries ---- */

struct nx_find_key {
	uint32_t tag;      /* DICOM: 0x00100020 */
	const char *value; /* UTF-8: value, "*" and "?", "a-b" of dates and times, list with "\\" */
};

struct nx_find {
	const char *collection;
	unsigned level; /* enum nx_query_level */
	const struct nx_find_key *keys;
	size_t n_keys;
	bool fuzzy;
	bool datetime; /* date and time of a pair are matched as one (PS3.4 C.2.2.2.5.1) */
	unsigned limit;
	unsigned offset;
	/* Keys that are sequences, with an item or without: they are matched and given out as the
	 * headers of what the other keys match have them (PS3.4 C.2.2.2.6).  NULL: none. */
	const struct nx_dataset *sequences;
	bool whole; /* they are given out whole, also those that have keys */
	/* Asked before each of these headers is read; a failure ends the query.  NULL: nobody. */
	nx_rc (*go_on)(void *payload, struct nx_err *err);
	void *go_on_payload;
};
/* One result; `sequences`, where any were asked for, has what the keys name of each. */
typedef nx_rc (*nx_find_fn)(void *payload, const struct nx_match *match,
	const struct nx_dataset *sequences, struct nx_err *err);
/* Sees everything that was acknowledged before the call.  NX_E_LIMIT: more rows or headers than
 * NX_LIMIT_QUERY_ROWS and NX_LIMIT_QUERY_HEADERS would have to be looked into for sequences. */
NX_NODISCARD nx_rc nx_retrieve_find(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_find *find, nx_find_fn fn, void *payload, bool *ret_more,
	struct nx_err *err);
/* Can the attribute be matched at this level? */
bool nx_retrieve_find_knows(unsigned level, uint32_t tag);
/* Is it a sequence that can be matched, and is given out, at this level? */
bool nx_retrieve_find_looks(unsigned level, uint32_t tag);

/* The same as one array of DICOM JSON objects with the attributes of PS3.18 10.6.3.3; RetrieveURL
 * is of `base_url`. */
struct nx_find_json {
	const char *base_url;
	bool with_study;  /* attributes of the study in results of series and instances */
	bool with_series; /* those of the series in results of instances */
};
NX_NODISCARD nx_rc nx_retrieve_find_json(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const struct nx_find *find, const struct nx_find_json *form,
	struct nx_buf *out, bool *ret_more, struct nx_err *err);

/* The same as identifiers of C-FIND responses: bare data sets with the attributes wanted, empty
 * where nothing is known, and those of PS3.4 C.4.1.1.3.2. */
struct nx_find_want {
	uint32_t tag; /* ascending; none of (0008,0005), (0008,0052), (0008,0054), (0008,0056) */
	uint16_t vr;
};
struct nx_find_form {
	const struct nx_find_want *wants;
	size_t n_wants;
	const char *ts_uid;      /* explicit or implicit VR little endian */
	const char *level;       /* (0008,0052) */
	const char *retrieve_ae; /* (0008,0054) */
	const char *charset;     /* (0008,0005) of the request; "" */
	nx_rc (*fn)(void *payload, struct nx_slice identifier, struct nx_err *err);
	void *payload;
};
NX_NODISCARD nx_rc nx_retrieve_find_dicom(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const struct nx_find *find, const struct nx_find_form *form,
	bool *ret_more, struct nx_err *err);
/* Do results of this level have the attribute? */
bool nx_retrieve_find_gives(unsigned level, uint32_t tag);

/* ---- the change feed: what became of the instances of a collection ---- */

struct nx_feed_ask {
	const char *collection;
	bool latest;     /* the last entry alone, no array; nothing where there is none */
	int64_t after;   /* the number of the last entry that is known */
	unsigned limit;  /* 0: 100; at most 1000 */
	int64_t wait_us; /* for an entry, where there is none yet */
};
/*
 * [{"Sequence","StudyInstanceUid","SeriesInstanceUid","SopInstanceUid","Action","Timestamp",
 * "State","Subject"}]: numbers ascend without a gap, and everything that has one is committed.
 * "Action" is Create, Update, Delete or Erase, "State" what became of the version since: current,
 * replaced, deleted or erased; what is erased has no UIDs.
 */
NX_NODISCARD nx_rc nx_retrieve_feed(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_feed_ask *ask, struct nx_buf *out, struct nx_err *err);

/* ---- storage commitment ---- */

struct nx_held {
	const char *sop_class;
	const char *sop_instance;
	uint16_t reason; /* set: 0, or why not (PS3.3 C.14.1.1) */
	int64_t item;    /* set, where there is one, ... */
	int64_t series;  /* ... and of which series it is */
};
/* Have `fn` told of every study of which all instances were asked for and are durable, as it was at
 * that change of it.  Set before anything is asked for. */
void nx_retrieve_on_committed(struct nx_retrieve *retrieve,
	void (*fn)(void *payload, int64_t study, int64_t updated_us), void *payload);
/* Which of them are durable here.  For who may store. */
NX_NODISCARD nx_rc nx_retrieve_held(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection, struct nx_held *refs, size_t n, struct nx_err *err);

/* The same over the web (PS3.18 13): the result is kept for 30 days.  NX_E_EXISTS: the transaction
 * UID is in use. */
NX_NODISCARD nx_rc nx_retrieve_commit(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection, const char *transaction, struct nx_held *refs, size_t n,
	struct nx_err *err);
struct nx_held_list {
	struct nx_held *refs;
	size_t n;
};
/* The result; an instance that was erased since is held no more, and has no UID.  NX_E_NOENT. */
NX_NODISCARD nx_rc nx_retrieve_commitment(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const char *collection, const char *transaction,
	struct nx_arena *arena, struct nx_held_list *ret, struct nx_err *err);

/* ---- a selection: a study, a series of it, an instance of that ---- */

struct nx_selection {
	const char *collection;
	const char *study;
	const char *series;   /* NULL: all of the study */
	const char *instance; /* NULL: all of the series */
};

/* The selected instances, one after another, in series and instance order. */
struct nx_instances;
NX_NODISCARD nx_rc nx_retrieve_open(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_selection *sel, struct nx_instances **ret, struct nx_err *err);
/* The same for nx_instances_metadata() alone; so it is recorded. */
NX_NODISCARD nx_rc nx_retrieve_open_metadata(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const struct nx_selection *sel, struct nx_instances **ret,
	struct nx_err *err);
/* What unique keys name, as C-GET and C-MOVE give them (PS3.4 C.4.2.2.1); none is no failure.
 * NX_E_LIMIT: the keys match more than NX_LIMIT_QUERY_ROWS rows. */
struct nx_selection_keys {
	const char *collection;
	unsigned level; /* enum nx_query_level */
	const struct nx_find_key *keys;
	size_t n_keys;
	const char *to; /* the AE title that gets them, where it is not `who`; for the ledger */
};
NX_NODISCARD nx_rc nx_retrieve_open_keys(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const struct nx_selection_keys *sel,
	struct nx_instances **ret, struct nx_err *err);
/* Items by their numbers, in this order; what is no live instance of the collection is left out. */
struct nx_selection_items {
	const char *collection;
	const int64_t *items;
	size_t n;
	const char *to;
};
NX_NODISCARD nx_rc nx_retrieve_open_items(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const struct nx_selection_items *sel,
	struct nx_instances **ret, struct nx_err *err);
struct nx_instances *nx_instances_free(struct nx_instances *instances);
NX_DEFINE_AUTO(nx_instances);
size_t nx_instances_n(const struct nx_instances *instances);
struct nx_instance_info { /* strings last as long as the selection */
	int64_t item;
	const char *study;
	const char *series;
	const char *sop_class;
	const char *sop_instance;
	const char *ts_uid;
	uint64_t size; /* bytes as received */
	int64_t received_us;
};
void nx_instances_info(
	const struct nx_instances *instances, size_t i, struct nx_instance_info *ret);
/*
 * DICOM JSON (PS3.18 10.4.1.1.2, Annex F) of the i-th and those after it, objects with commas
 * between, until there are about `enough` bytes; *ret_next is the first one not done.  Several
 * threads work on it.
 * `base_url` is put before the bulk data paths:
 * "<base>/studies/.../bulkdata/<offset>-<length>".
 */
NX_NODISCARD nx_rc nx_instances_metadata(struct nx_instances *instances, size_t i, size_t enough,
	const char *base_url, struct nx_buf *out, size_t *ret_next, struct nx_err *err);
/* A strong ETag, quoted, of everything selected and of `salt`: the form it is given in. */
NX_NODISCARD nx_rc nx_instances_set_etag(
	const struct nx_instances *instances, const char *salt, char ret[72], struct nx_err *err);
/* Go to the i-th: its row (valid until the next call). */
NX_NODISCARD nx_rc nx_instances_at(struct nx_instances *instances, size_t i,
	const struct nx_item **ret_item, struct nx_err *err);
/* Bytes of the current one, as received, from `off`; *ret_n 0 at the end. */
NX_NODISCARD nx_rc nx_instances_read(struct nx_instances *instances, uint64_t off, void *p,
	size_t n, size_t *ret_n, struct nx_err *err);
/*
 * The current one as a bare data set, without preamble and meta group, from its start.  In the
 * transfer syntax it is stored in it is given as it was received; implicit VR, explicit VR and big
 * endian are made of each other; frames are decoded and encoded without loss where
 * nx_transcodable() (retrieve/transcode.h) says so, and photometric interpretation, planar
 * configuration and lossy compression are told as they are then: NX_E_NOT_ACCEPTABLE otherwise.
 * *ret_len UINT64_MAX: it is known at its end, where it is encapsulated then.
 */
NX_NODISCARD nx_rc nx_instances_dataset(
	struct nx_instances *instances, const char *ts_uid, uint64_t *ret_len, struct nx_err *err);
/* The same as a Part 10 file. */
NX_NODISCARD nx_rc nx_instances_file(
	struct nx_instances *instances, const char *ts_uid, uint64_t *ret_len, struct nx_err *err);
/* Its next bytes, 8 or more at a time; *ret_n 0 at the end only. */
NX_NODISCARD nx_rc nx_instances_dataset_read(
	struct nx_instances *instances, void *p, size_t n, size_t *ret_n, struct nx_err *err);
/* Can the second, an uncompressed one, be made of the first? */
bool nx_instances_convertible(const char *from_ts_uid, const char *to_ts_uid);
/*
 * A value of the first one that does not lie in its bytes where metadata says, because its data set
 * is deflated: it is as long as the selection.  Of all others ret->p is NULL, and the value is
 * read.  NX_E_NOENT.
 */
NX_NODISCARD nx_rc nx_instances_value(struct nx_instances *instances, uint64_t off, uint64_t len,
	struct nx_slice *ret, struct nx_err *err);
/* The strong ETag of the current one, quoted. */
void nx_instances_etag(const struct nx_instances *instances, char ret[72]);

/* Hide the selected instances, with their older versions, from all answers.  Their bytes stay until
 * the patient is erased, and what is stored again is there again.  NX_E_NOENT: there are none. */
NX_NODISCARD nx_rc nx_retrieve_delete(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_selection *sel, struct nx_err *err);

/* Metadata of all selected instances as one array. */
NX_NODISCARD nx_rc nx_retrieve_metadata(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const struct nx_selection *sel, const char *base_url,
	struct nx_buf *out, struct nx_err *err);

/* ---- objects ---- */

struct nx_object;
/* `for_body` false: HEAD; no read is recorded, only the query. */
NX_NODISCARD nx_rc nx_retrieve_object(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection, const char *key, bool for_body, struct nx_object **ret,
	struct nx_err *err);
struct nx_object *nx_object_free(struct nx_object *object);
NX_DEFINE_AUTO(nx_object);
const struct nx_item *nx_object_item(const struct nx_object *object);
void nx_object_etag(const struct nx_object *object, char ret[72]); /* quoted */
NX_NODISCARD nx_rc nx_object_read(struct nx_object *object, uint64_t off, void *p, size_t n,
	size_t *ret_n, struct nx_err *err);
/* `if_match`: "*", an ETag without quotes, or NULL: whatever it is. */
NX_NODISCARD nx_rc nx_retrieve_object_delete(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const char *collection, const char *key,
	const char *if_match, struct nx_err *err);
/* ---- the modality worklist: what is scheduled, and what became of it ---- */

/* Which states (enum nx_worklist_state) are offered to modalities; bits 1 << state. */
void nx_retrieve_worklist_offer(struct nx_retrieve *retrieve, unsigned states);

struct nx_worklist_find {
	const char *collection;
	const struct nx_dataset *keys; /* of PS3.4 K.6.1.2 */
	/* Every item that matches, by name, with those of its steps that are offered.  Memory lasts
	 * for the call. */
	nx_rc (*fn)(void *payload, const struct nx_dataset *item, struct nx_err *err);
	/* Asked before every item that may match; a failure ends the query. */
	nx_rc (*go_on)(void *payload, struct nx_err *err);
	void *payload;
};
NX_NODISCARD nx_rc nx_retrieve_worklist_find(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const struct nx_worklist_find *find, struct nx_err *err);

struct nx_worklist_ask {
	const char *collection;
	const char *state; /* NULL, "": any */
	const char *after; /* a name; NULL: from the first */
	unsigned limit;    /* 0: 1,000, the most */
};
/* {"worklist":[{"item","state","steps":[{"id","state","performed","changed"}],"dataset"}],"next"}:
 * by name.  "state" is that of the step that is least done. */
NX_NODISCARD nx_rc nx_retrieve_worklist_list(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const struct nx_worklist_ask *ask, struct nx_buf *out,
	struct nx_err *err);
/* All of its steps are in that state from now on; "scheduled" has new time to expire. */
NX_NODISCARD nx_rc nx_retrieve_worklist_set(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const char *collection, const char *item, const char *state,
	struct nx_err *err);
NX_NODISCARD nx_rc nx_retrieve_worklist_remove(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const char *collection, const char *item,
	struct nx_err *err);

/* ---- conflicts: other bytes under a SOP Instance UID, two patients in a study, another name, a
 * series of two studies ---- */

/* {"conflicts":[{"number","time","collection","kind","state","old_version","new_version"}],"next":...}:
 * by number; versions of an erased patient are null.  `collection` NULL: all that `who` may query.
 */
NX_NODISCARD nx_rc nx_retrieve_conflicts(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const char *collection, int64_t after, unsigned limit,
	struct nx_buf *out, struct nx_err *err);
/* One: UIDs ("other_study", too, of a series of two), every version with time, size and source, and
 * the tags whose values differ. */
NX_NODISCARD nx_rc nx_retrieve_conflict(struct nx_retrieve *retrieve,
	const struct nx_principal *who, int64_t number, struct nx_buf *out, struct nx_err *err);
/*
 * Settle it: the version that counts becomes the newest, as a new version with the same bytes,
 * where it is not; all others stay readable; `version` is 0 for the other kinds, of which both are
 * kept.  For who may look after what is wrong
 * (NX_PERM_QUARANTINE). NX_E_PRECONDITION: a newer version came while it was looked at;
 * NX_E_CONFLICT: it is settled.
 */
NX_NODISCARD nx_rc nx_retrieve_conflict_settle(struct nx_retrieve *retrieve,
	const struct nx_principal *who, int64_t number, int64_t version, const char *reason,
	struct nx_err *err);
/* The bytes of one version of it. */
NX_NODISCARD nx_rc nx_retrieve_conflict_version(struct nx_retrieve *retrieve,
	const struct nx_principal *who, int64_t number, int64_t version, struct nx_object **ret,
	struct nx_err *err);

/* ---- versions of an instance that is there, also from before it was another patient's ---- */

/* {"versions":[{"version","state","received","size","other_patient"}]}, oldest first. */
NX_NODISCARD nx_rc nx_retrieve_versions(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const struct nx_selection *sel, struct nx_buf *out,
	struct nx_err *err);
/* The bytes of one. */
NX_NODISCARD nx_rc nx_retrieve_version(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_selection *sel, int64_t version, struct nx_object **ret,
	struct nx_err *err);

/* ---- what rejection notes say is not to be used; for who may reject ---- */

/* {"rejected":[{"number","time","reason","study","series","instance","sop_class","note"}],"next"},
 * by number. */
NX_NODISCARD nx_rc nx_retrieve_rejected(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const char *collection, int64_t after, unsigned limit,
	struct nx_buf *out, struct nx_err *err);
NX_NODISCARD nx_rc nx_retrieve_rejected_open(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const char *collection, int64_t number,
	struct nx_object **ret, struct nx_err *err);
/* What of the selection is rejected is to be used again: a new version with the same bytes.
 * NX_E_NOENT: there is none. */
NX_NODISCARD nx_rc nx_retrieve_restore(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_selection *sel, const char *reason, uint64_t *ret_restored,
	struct nx_err *err);

struct nx_object_page {
	const char *prefix; /* NULL: any */
	const char *after;
	unsigned limit; /* 0: as many as there may be */
};
/* JSON {"objects":[{"key","size","etag","modified"}],"next":...}. */
NX_NODISCARD nx_rc nx_retrieve_object_list(struct nx_retrieve *retrieve,
	const struct nx_principal *who, const char *collection, const struct nx_object_page *page,
	struct nx_buf *out, struct nx_err *err);

#endif

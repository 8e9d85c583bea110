/*
 * prepare_priv.h - what the files of prepare_*.c share: a put on its way to rows.
 *
 * Layer:   2b (archive).
 * Threads: the committer only.
 * PHI:     yes.
 */
#ifndef NX_ARCHIVE_PREPARE_PRIV_H
#define NX_ARCHIVE_PREPARE_PRIV_H

#include "archive/archive_priv.h"

enum {
	KEY_MAX = 8 + 1 + 2 * 1024 /* of a look-up */
};

struct target { /* of one put, while it is prepared */
	struct nx_put *put;
	uint32_t domain;
	uint64_t subject;
	struct nx_key key;          /* the subject's */
	struct cached_subject *who; /* found by its patient id; NULL: named by number */
	struct cached_study *study;
	struct cached_series *series;
	struct nx_item old; /* id 0: there is none */
};

static inline const char *or_empty(const char *s)
{
	return s ? s : "";
}

/* ---- prepare_subject.c ---- */

/* Cache keys: a number and one or two strings. */
struct nx_slice lookup_key(struct nx_buf *buf, int64_t number, const char *a, const char *b);
/* A look-up that is not in `map` yet; `value` is from the heap and the map's on success. */
NX_NODISCARD nx_rc lookup_add(
	struct group *g, struct nx_map *map, struct nx_slice key, void *value, struct nx_err *err);

uint64_t subject_id_new(void);
/* (issuer, patient id) of the domain; a blank id is a subject of its own per study. */
NX_NODISCARD nx_rc subject_find(struct nx_archive *a, struct group *g, struct target *t,
	const char *issuer, const char *pid, struct nx_err *err);
/*
 * Name, birth date and sex as 20 bits each, 0 where there is none: enough to see that one of them
 * is another, and too little to tell what it is.
 */
int64_t marks_of(const struct nx_study *study);
bool marks_differ(int64_t a, int64_t b);
/* The subject's row says `marks` from now on. */
NX_NODISCARD nx_rc marks_set(struct group *g, const struct target *t, const char *issuer,
	const char *pid, int64_t marks, struct nx_err *err);
/* Of a put: named by it, of its patient, or the one of the object that is there. */
NX_NODISCARD nx_rc subject_resolve(
	struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err);

/* ---- prepare_study.c ---- */

/* Found or made; t->study and t->series. */
NX_NODISCARD nx_rc study_resolve(
	struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err);
/* One instance more in both. */
NX_NODISCARD nx_rc study_count(struct group *g, struct target *t, struct nx_err *err);
/* The new version may have another series than the old one: that one has an instance less. */
NX_NODISCARD nx_rc study_move(
	struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err);

/* A series that has no instance left, of the change at hand: its row still says otherwise. */
struct emptied {
	struct emptied *next;
	int64_t series;
};

/* `n` instances of the series, of which the item is one, are none any more.  Where they were the
 * last, it is put before *emptied, and a modality that no other series has leaves the study. */
NX_NODISCARD nx_rc study_uncount(struct nx_archive *a, struct group *g, const struct nx_item *item,
	const struct nx_series *series, int64_t n, struct emptied **emptied, struct nx_err *err);

/* ---- conflict.c ---- */

/* What contradicts what was there, once for each. */
NX_NODISCARD nx_rc conflicts_note(
	struct nx_archive *a, struct group *g, const struct target *t, struct nx_err *err);

/* ---- prepare_item.c ---- */

/* The recipe of a put; blobs without ids yet. */
NX_NODISCARD nx_rc item_recipe(
	const struct nx_put *put, struct nx_arena *arena, struct nx_recipe *r, struct nx_err *err);
/* What the put is, given what is there: put->outcome, t->old. */
NX_NODISCARD nx_rc item_outcome(struct nx_archive *a, struct group *g, struct target *t,
	const struct nx_recipe *r, struct nx_err *err);
/* Blobs get places and ids; then the row of the item. */
NX_NODISCARD nx_rc item_rows(struct nx_archive *a, struct group *g, struct target *t,
	struct nx_recipe *r, struct nx_err *err);
/* The derived item of the same name goes; t->old. */
NX_NODISCARD nx_rc item_replace(
	struct nx_archive *a, struct group *g, struct target *t, struct nx_err *err);
/* With all that an instance or an object brings. */
NX_NODISCARD nx_rc item_store(struct nx_archive *a, struct group *g, struct target *t,
	struct nx_recipe *r, struct nx_err *err);

/* ---- step.c ---- */

/* Of a put with a step, once its subject and outcome are known. */
NX_NODISCARD nx_rc step_rows(
	struct nx_archive *a, struct group *g, const struct target *t, struct nx_err *err);

/* ---- worklist.c ---- */

/* Of an item of the worklist. */
NX_NODISCARD nx_rc scheduled_rows(
	struct nx_archive *a, struct group *g, const struct target *t, struct nx_err *err);
/* What was scheduled becomes what the performed step says of it. */
NX_NODISCARD nx_rc scheduled_perform(
	struct nx_archive *a, struct group *g, const struct target *t, struct nx_err *err);

#endif

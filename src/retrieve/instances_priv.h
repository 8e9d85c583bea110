/*
 * instances_priv.h - a selection of instances, for this module's files.
 *
 * Layer:   3 (retrieve).
 * Threads: belongs to one thread at a time.
 * PHI:     yes.
 */
#ifndef NX_RETRIEVE_INSTANCES_PRIV_H
#define NX_RETRIEVE_INSTANCES_PRIV_H

#include "base/json.h"
#include "retrieve/retrieve_priv.h"

struct nx_dataset;
struct nx_elem;
struct nx_ts;
struct pixel_flow;

enum {
	NX_SERIES_RECORD_MIN = 32 /* instances that are worth a record */
};

struct origin {
	const char *study;
	const char *series;
	uint64_t subject; /* the study's */
};

/* A stretch of a data set as it is given out: bytes made, or bytes of the stored stream. */
struct piece {
	const uint8_t *made; /* NULL: stored */
	uint64_t off;        /* in the stored stream */
	uint64_t len;        /* UINT64_MAX: of frames, not known yet */
	unsigned unit;       /* of stored bytes that are turned round; 1: as they are */
	bool frames;         /* made by ds_flow while they are read */
};

/* ---- numbered.c ---- */

/* A page of numbered rows.  The reader asks for one more than `limit`, counts each in `n`, and puts
 * the number of the last that it wrote into `last`. */
struct numbered {
	struct nx_cat *cat;
	struct nx_arena *arena; /* of one row */
	struct nx_json json;
	int64_t last;
	unsigned n;
	unsigned limit;
};

/* `limit` 0: the most there is. */
void numbered_begin(struct numbered *l, const char *name, unsigned limit, struct nx_buf *out);
/* `rc`: how the reading ended. */
NX_NODISCARD nx_rc numbered_end(struct numbered *l, nx_rc rc, struct nx_err *err);

struct nx_instances {
	struct nx_retrieve *retrieve;
	struct nx_archive *archive;
	struct nx_cat *cat;
	struct nx_arena *arena;
	struct nx_item *items;
	const struct origin **origins; /* of each item */
	const struct origin *now;      /* of the items being found */
	size_t n;
	size_t cap;
	int64_t series_id;        /* of a selection of one whole series, else 0 */
	struct nx_slice record;   /* what is left of its series record; n 0: there is none */
	struct nx_buf unpacked;   /* a piece of it */
	size_t at;                /* the current one */
	struct nx_reader *reader; /* of it */

	/* dataset.c: the current one as a data set, in the arena of its own. */
	struct nx_arena *ds_arena;
	struct nx_buf ds_made;
	struct pixel_flow *ds_flow;
	struct piece *pieces;
	size_t n_pieces;
	size_t piece;      /* the next bytes are of this one, ... */
	uint64_t in_piece; /* ... from here */
};

NX_NODISCARD nx_rc instances_new(
	struct nx_retrieve *r, struct nx_instances **ret, struct nx_err *err);
/* An nx_cat_row_fn for struct nx_item; the row is copied. */
NX_NODISCARD nx_rc item_keep(void *payload, const void *row, struct nx_err *err);
NX_NODISCARD nx_rc origin_set(struct nx_instances *x, const struct nx_study *study,
	const char *series, struct nx_err *err);
NX_NODISCARD nx_rc study_keep(
	struct nx_instances *x, const struct nx_study *study, struct nx_err *err);
NX_NODISCARD nx_rc instances_note(struct nx_retrieve *r, const struct nx_principal *who,
	const struct nx_instances *x, struct access_note n, struct nx_err *err);
void dataset_done(struct nx_instances *x);

/* All of a series, undecided and unrecorded: for what the site makes for itself. */
NX_NODISCARD nx_rc instances_of_series(
	struct nx_retrieve *r, int64_t series, struct nx_instances **ret, struct nx_err *err);
/* Over which items these are, in their order; an item's bytes never change. */
NX_NODISCARD nx_rc instances_digest(
	const struct nx_instances *x, const char *salt, uint8_t ret[32], struct nx_err *err);
/* Whose they are; 0: not all of one subject. */
uint64_t instances_subject(const struct nx_instances *x);

/* Decide and find; what is done with them is recorded by the caller. */
NX_NODISCARD nx_rc instances_select(struct nx_retrieve *r, const struct nx_principal *who,
	enum nx_perm perm, const struct nx_selection *sel, struct nx_instances **ret,
	struct nx_err *err);
/* Decide, find, record `action`. */
NX_NODISCARD nx_rc instances_find(struct nx_retrieve *r, const struct nx_principal *who,
	const struct nx_selection *sel, unsigned action, struct nx_instances **ret,
	struct nx_err *err);
/* Is the data set deflated?  It has no bulk values then: all of it is in the header blob, ... */
bool is_deflated(const struct nx_item *item);
/* ... and this is it with every value. */
NX_NODISCARD nx_rc inflated_dataset(struct nx_archive *archive, const struct nx_item *item,
	const struct nx_recipe *recipe, struct nx_arena *arena, struct nx_dataset **ret,
	struct nx_err *err);
/* The data set of the current one, its bulk values as references; in `arena`. */
NX_NODISCARD nx_rc instances_header(struct nx_instances *x, struct nx_arena *arena,
	struct nx_dataset **ret, struct nx_err *err);
/* A bulk value of it, in little endian, of at most NX_LIMIT_PIXEL_RENDERED bytes.  `ts`: what it is
 * stored in; NULL: unknown. */
NX_NODISCARD nx_rc instances_value(struct nx_instances *x, const struct nx_ts *ts,
	const struct nx_elem *e, struct nx_arena *arena, struct nx_slice *ret, struct nx_err *err);
/* An item opened for reading; decided and recorded by the caller. */
NX_NODISCARD nx_rc object_of_item(struct nx_retrieve *r, const struct nx_item *item,
	struct nx_object **ret, struct nx_err *err);

/* ---- series_record.c ---- */

/* Sets x->record where it is of just these instances; else it is made in the background. */
void series_record_find(
	struct nx_retrieve *r, const struct nx_collection *collection, struct nx_instances *x);
/* Make and store it: *ret_made.  *ret_wait_us > 0: it is not quiet for so long yet. */
NX_NODISCARD nx_rc series_record_make(struct nx_retrieve *r, const char *collection, int64_t series,
	bool *ret_made, int64_t *ret_wait_us, struct nx_err *err);
/* Like nx_instances_metadata(), from x->record; `i` is where the last call ended. */
NX_NODISCARD nx_rc series_record_next(struct nx_instances *x, size_t i, size_t enough,
	const char *base_url, struct nx_buf *out, size_t *ret_next, struct nx_err *err);

/* ---- series_maker.c ---- */

/* Have one made in the background.  One that is not made only costs time. */
void series_record_ask(struct nx_retrieve *r, const char *collection, int64_t series);
void series_record_used(struct nx_retrieve *r);
void series_record_stats(const struct nx_retrieve *r, struct nx_retrieve_stats *ret);

void etag_format(const struct nx_recipe *recipe, char ret[72]);

#endif

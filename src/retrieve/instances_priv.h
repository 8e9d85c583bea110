/*
 * instances_priv.h - a selection of instances, for this module's files.
 *
 * Layer:   3 (retrieve).
 * Threads: belongs to one thread at a time.
 * PHI:     yes.
 */
#ifndef NX_RETRIEVE_INSTANCES_PRIV_H
#define NX_RETRIEVE_INSTANCES_PRIV_H

#include "retrieve/retrieve_priv.h"

struct nx_dataset;

struct origin {
	const char *study;
	const char *series;
	uint64_t subject; /* the study's */
};

/* A stretch of a data set as it is given out: bytes made, or bytes of the stored stream. */
struct piece {
	const uint8_t *made; /* NULL: stored */
	uint64_t off;        /* in the stored stream */
	uint64_t len;
	unsigned unit; /* of stored bytes that are turned round; 1: as they are */
};

struct nx_instances {
	struct nx_archive *archive;
	struct nx_cat *cat;
	struct nx_arena *arena;
	struct nx_item *items;
	const struct origin **origins; /* of each item */
	const struct origin *now;      /* of the items being found */
	size_t n;
	size_t cap;
	size_t at;                /* the current one */
	struct nx_reader *reader; /* of it */

	/* dataset.c: the current one as a data set, in the arena of its own. */
	struct nx_arena *ds_arena;
	struct nx_buf ds_made;
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

/* Decide, find, record `action`. */
NX_NODISCARD nx_rc instances_find(struct nx_retrieve *r, const struct nx_principal *who,
	const struct nx_selection *sel, unsigned action, struct nx_instances **ret,
	struct nx_err *err);
/* The data set of an item's header blob; bulk values are references. */
NX_NODISCARD nx_rc header_dataset(struct nx_archive *archive, const struct nx_item *item,
	const struct nx_recipe *recipe, struct nx_arena *arena, struct nx_dataset **ret,
	struct nx_err *err);
/* An item opened for reading; decided and recorded by the caller. */
NX_NODISCARD nx_rc object_of_item(struct nx_retrieve *r, const struct nx_item *item,
	struct nx_object **ret, struct nx_err *err);
void etag_format(const struct nx_recipe *recipe, char ret[72]);

#endif

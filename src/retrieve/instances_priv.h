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

struct nx_instances {
	struct nx_archive *archive;
	struct nx_cat *cat;
	struct nx_arena *arena;
	struct nx_study study;
	struct nx_item *items;
	const char **series;    /* UID, for each item */
	const char *series_now; /* of the items being read */
	size_t n;
	size_t cap;
	struct nx_reader *reader; /* of the current one */
};

/* Decide, find, record `action`. */
NX_NODISCARD nx_rc instances_find(struct nx_retrieve *r, const struct nx_principal *who,
	const struct nx_selection *sel, unsigned action, struct nx_instances **ret,
	struct nx_err *err);
/* The data set of an item's header blob; bulk values are references. */
NX_NODISCARD nx_rc header_dataset(struct nx_archive *archive, const struct nx_item *item,
	const struct nx_recipe *recipe, struct nx_arena *arena, struct nx_dataset **ret,
	struct nx_err *err);
/* Is the data set deflated?  It has no bulk values then: all of it is in the header blob, ... */
bool is_deflated(const struct nx_item *item);
/* ... and this is it with every value. */
NX_NODISCARD nx_rc inflated_dataset(struct nx_archive *archive, const struct nx_item *item,
	const struct nx_recipe *recipe, struct nx_arena *arena, struct nx_dataset **ret,
	struct nx_err *err);
/* An item opened for reading; decided and recorded by the caller. */
NX_NODISCARD nx_rc object_of_item(struct nx_retrieve *r, const struct nx_item *item,
	struct nx_object **ret, struct nx_err *err);
void etag_format(const struct nx_recipe *recipe, char ret[72]);

#endif

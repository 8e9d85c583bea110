/*
 * edit.h - audited correction of what instances say: new versions of them, the originals stay.
 *
 * Layer:   3 (edit).  Uses archive, access, catalog, ledger, dicom.
 * Threads: a struct nx_edits is shared; a call belongs to one thread.
 * PHI:     yes: reads and writes identified headers.
 *
 * Instances are rewritten a few at a time, each few in one change with their ledger entries; the
 * rows of study and series follow with the last.  What was cut short is completed by the same
 * request again: an instance that says so already is left alone.
 */
#ifndef NX_EDIT_EDIT_H
#define NX_EDIT_EDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"

struct nx_archive;
struct nx_edits;
struct nx_principal;

struct nx_edits *nx_edits_new(struct nx_archive *archive); /* NULL without memory */
struct nx_edits *nx_edits_free(struct nx_edits *edits);
NX_DEFINE_AUTO(nx_edits);

enum nx_edit_level {
	NX_EDIT_INSTANCE = 1,
	NX_EDIT_SERIES,
	NX_EDIT_STUDY,
	NX_EDIT_PATIENT
};

enum {
	NX_EDIT_SETS_MAX = 32,
	NX_EDIT_REASON_MAX = 1024
};

struct nx_edit_set {
	uint32_t tag;
	const char *value; /* UTF-8, values with backslashes; NULL: the attribute goes */
};

struct nx_edit_request {
	const char *collection;
	enum nx_edit_level level;
	const char *patient_id; /* NX_EDIT_PATIENT: all studies of this one ... */
	const char *issuer;     /* ... of this issuer; NULL: nobody in particular */
	const char *study;
	const char *series;
	const char *instance;
	const struct nx_edit_set *sets;
	size_t n_sets;
	/* Not NULL: it is of the patient with this id; name, birth date and sex become what the
	 * newest study of that patient here says, where `sets` does not name them. */
	const char *into;
	const char *into_issuer; /* NULL: nobody in particular */
	const char *reason;      /* for the ledger; required */
	const char *source;      /* of the previous values, where that is known; NULL */
	bool coerce;             /* to fit the local system, not because it was wrong */
	bool dry_run;            /* only say what would change */
};

struct nx_edit_result {
	uint64_t studies;
	uint64_t instances; /* looked at */
	uint64_t changed;
	struct {
		uint32_t tag;
		uint64_t instances; /* in which it changes */
	} tags[NX_EDIT_SETS_MAX];
	size_t n_tags;
};

/*
 * NX_E_DENIED (recorded), NX_E_NOENT, NX_E_INVAL: an attribute that cannot be edited, not at this
 * level, or no value of its kind; NX_E_UNSUPPORTED: an instance that is not written anew;
 * NX_E_PRECONDITION: an instance changed meanwhile; NX_E_CONFLICT.  What was committed before a
 * failure stays.
 */
NX_NODISCARD nx_rc nx_edit_run(struct nx_edits *edits, const struct nx_principal *who,
	const struct nx_edit_request *request, struct nx_edit_result *ret, struct nx_err *err);

#endif

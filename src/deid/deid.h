/*
 * deid.h - de-identified copies of studies: new header blobs, shared pixels, pseudonyms in the
 * vault.
 *
 * Layer:   3 (deid).  Uses archive, access, catalog, ledger, keys, dicom.
 * Threads: a struct nx_deid is shared; a call belongs to one thread.
 * PHI:     yes: reads identified headers, writes de-identified ones.
 *
 * Default deny: an attribute stays only where a rule or its value representation says so
 * (docs/formats/DEID-PROFILE.md).  What the profile cannot make safe is not copied, and reported.
 */
#ifndef NX_DEID_DEID_H
#define NX_DEID_DEID_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/limits.h"

struct nx_archive;
struct nx_deid;
struct nx_principal;

#define NX_DEID_PROFILE "basic-thin"

struct nx_deid *nx_deid_new(struct nx_archive *archive); /* NULL without memory */
struct nx_deid *nx_deid_free(struct nx_deid *deid);
NX_DEFINE_AUTO(nx_deid);

/* Why an instance was not copied. */
enum nx_deid_skip {
	NX_DEID_SKIP_SYNTAX,   /* implicit VR, big endian, deflated or unknown transfer syntax */
	NX_DEID_SKIP_META,     /* no file meta information */
	NX_DEID_SKIP_CLASS,    /* a SOP class that the profile does not know */
	NX_DEID_SKIP_MODALITY, /* pixels of this modality often show names */
	NX_DEID_SKIP_BURNED_IN,
	NX_DEID_SKIP_FACE,     /* recognizable visual features */
	NX_DEID_SKIP_SCREEN,   /* a screen capture */
	NX_DEID_SKIP_CONFLICT, /* the collection holds other bytes under the new UID */
	NX_DEID_SKIP_PATIENT,  /* of another patient than the study is */
	NX_DEID_SKIP_COUNT_
};
const char *nx_deid_skip_text(enum nx_deid_skip why);

struct nx_deid_opts {
	const struct nx_principal *who;
	const char *from; /* collection */
	const char *study;
	const char *to;      /* collection of zone curated, with another key domain */
	const char *profile; /* NX_DEID_PROFILE */
	/* May be NULL; `instance` is the source's UID, for those who may read the source. */
	void (*on_skip)(void *payload, const char *instance, enum nx_deid_skip why);
	void *payload;
};

struct nx_deid_result {
	char pseudonym[NX_LIMIT_NAME + 1];
	char study[NX_LIMIT_UID + 1]; /* the new Study Instance UID */
	uint64_t stored;
	uint64_t duplicates; /* were there already, byte for byte */
	uint64_t skipped[NX_DEID_SKIP_COUNT_];
};

/* Every live instance of the study.  NX_E_DENIED (recorded), NX_E_NOENT, NX_E_INVAL, NX_E_ERASED.
 * What was copied before a failure stays; running again completes it. */
NX_NODISCARD nx_rc nx_deid_study(struct nx_deid *deid, const struct nx_deid_opts *opts,
	struct nx_deid_result *ret, struct nx_err *err);

#endif

/*
 * narthex.h - read released datasets under a lease: libnarthex.
 *
 * Layer:   5 (loader).  ISO C99; every other type is opaque.
 * Threads: a struct nxl_dataset belongs to one thread at a time.
 * PHI:     de-identified samples; buffers are wiped when they are given back.
 *
 * Every sample is checked against the release's manifest before it is handed out.
 */
#ifndef NX_NARTHEX_H
#define NX_NARTHEX_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef NX_EXPORT
#if defined(__GNUC__) && defined(NXL_BUILD)
#define NX_EXPORT __attribute__((visibility("default")))
#else
#define NX_EXPORT
#endif
#endif

#define NXL_VERSION_MAJOR 0
#define NXL_VERSION_MINOR 1
#define NXL_VERSION_PATCH 0

enum nxl_status {
	NXL_OK = 0,
	NXL_END = 1,    /* no more samples */
	NXL_ERASED = 2, /* the subject of this sample was erased */
	NXL_FAILED = 3  /* see nxl_error() */
};

struct nxl_dataset;

/* Strings are copied.  Members that are NULL or 0 take the default; size is sizeof(struct
 * nxl_options), so that members can be added. */
struct nxl_options {
	size_t size;
	const char *site;     /* "unix:/run/narthex/api.sock", "https://host:port" */
	const char *token;    /* bearer token */
	const char *ca_file;  /* PEM, for https; NULL: the system's */
	const char *release;  /* "lung-ct@v1"; without a version: the newest */
	const char *purpose;  /* why: goes into the ledger */
	unsigned seconds;     /* of the lease; 0: 3600 */
	const char *verifier; /* key line that must have signed the manifest; NULL: not checked */
};

struct nxl_sample {
	uint64_t position;     /* in the manifest, from 0 */
	const char *pseudonym; /* these three are its key, and last until nxl_close() */
	const char *series;
	const char *instance;
	const void *data; /* a DICOM Part 10 file; lasts until the next read or nxl_close() */
	size_t size;
};

/* "0.1.0" */
NX_EXPORT const char *nxl_version(void);

/* NULL on failure, with the reason in `error`, which may be NULL. */
NX_EXPORT struct nxl_dataset *nxl_open(
	const struct nxl_options *options, char *error, size_t error_size);
/* Ends the lease.  Takes NULL. */
NX_EXPORT void nxl_close(struct nxl_dataset *dataset);

NX_EXPORT uint64_t nxl_count(const struct nxl_dataset *dataset);
NX_EXPORT const char *nxl_release(const struct nxl_dataset *dataset); /* "lung-ct@v1" */
/* Root of the manifest, 64 hexadecimal digits: what makes a training run reproducible. */
NX_EXPORT const char *nxl_root(const struct nxl_dataset *dataset);
NX_EXPORT const char *nxl_error(const struct nxl_dataset *dataset);

/* One sample, by position.  NXL_ERASED sets the key and no data. */
NX_EXPORT enum nxl_status nxl_read(
	struct nxl_dataset *dataset, uint64_t position, struct nxl_sample *sample);
/* The next up to `max` samples that are not erased, in order.  NXL_OK: *count is 1 to max. */
NX_EXPORT enum nxl_status nxl_batch(
	struct nxl_dataset *dataset, size_t max, struct nxl_sample *samples, size_t *count);
/* nxl_batch() goes on from here. */
NX_EXPORT void nxl_seek(struct nxl_dataset *dataset, uint64_t position);

#ifdef __cplusplus
}
#endif

#endif

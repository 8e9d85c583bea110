/*
 * flow_priv.h - pixel data as a value, made frame by frame while it is read.
 *
 * Layer:   3 (retrieve).
 * Threads: belongs to one thread at a time.
 * PHI:     pixels pass through.
 */
#ifndef NX_RETRIEVE_FLOW_PRIV_H
#define NX_RETRIEVE_FLOW_PRIV_H

#include "dicom/dicom.h"
#include "retrieve/transcode_priv.h"

struct nx_instances;
struct pixel_flow;

/* Of the current instance, in another transfer syntax; its first frame is made, so that the rest of
 * the data set is known.  NX_E_NOENT: it has no pixels. */
NX_NODISCARD nx_rc pixel_flow_new(struct nx_instances *instances, const char *ts_uid,
	struct pixel_flow **ret, struct nx_err *err);
struct pixel_flow *pixel_flow_free(struct pixel_flow *flow);

/* The data set around them, in `arena`: pixel data are a bulk value without a place, *ret_pixels;
 * what says how frames are made is true for the new ones. */
NX_NODISCARD nx_rc pixel_flow_dataset(struct pixel_flow *flow, struct nx_arena *arena,
	struct nx_dataset *ret, const struct nx_elem **ret_pixels, struct nx_err *err);
/* Bytes of the value; UINT64_MAX: known at its end. */
uint64_t pixel_flow_len(const struct pixel_flow *flow);
/* The next ones; *ret_n 0 at the end. */
NX_NODISCARD nx_rc pixel_flow_read(
	struct pixel_flow *flow, void *p, size_t n, size_t *ret_n, struct nx_err *err);

#endif

/*
 * frames.h - single frames of a stored instance, without reading the others.
 *
 * Layer:   3 (retrieve).  Uses archive, dicom, pixel.
 * Threads: a struct nx_frame_reader belongs to one thread at a time.
 * PHI:     pixels pass through.
 *
 * Native data: a frame's place is computed.  Encapsulated data: by the Extended or the Basic Offset
 * Table, of which the entries of the frames that are wanted are read; where there is none that
 * holds, the fragments' heads are looked at once, and where frames begin is kept.  Frames are given
 * as they are stored, but native ones in little endian, each beginning with a byte of its own.
 */
#ifndef NX_RETRIEVE_FRAMES_H
#define NX_RETRIEVE_FRAMES_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"

struct nx_frame_reader;
struct nx_instances;

/* Of the i-th instance of a selection, which must outlive it and goes to it.  NX_E_NOENT: it has no
 * pixels; NX_E_NOT_ACCEPTABLE: it has, and nothing tells one frame from the next. */
NX_NODISCARD nx_rc nx_frame_reader_open(
	struct nx_instances *instances, size_t i, struct nx_frame_reader **ret, struct nx_err *err);
struct nx_frame_reader *nx_frame_reader_free(struct nx_frame_reader *reader);
NX_DEFINE_AUTO(nx_frame_reader);
/* Is the stored syntax the frames' form?  Else they are native, in little endian. */
bool nx_frame_reader_encapsulated(const struct nx_frame_reader *reader);

/* Find these frames, numbered from 0; from here on they are known by their place in the list.
 * NX_E_NOENT: the instance or its data end before one of them. */
NX_NODISCARD nx_rc nx_frame_reader_select(
	struct nx_frame_reader *reader, const uint32_t *frames, size_t n, struct nx_err *err);
uint64_t nx_frame_reader_len(const struct nx_frame_reader *reader, size_t i);
/* Bytes of the i-th of them; *ret_n 0 at the end. */
NX_NODISCARD nx_rc nx_frame_reader_read(struct nx_frame_reader *reader, size_t i, uint64_t off,
	void *p, size_t n, size_t *ret_n, struct nx_err *err);

#endif

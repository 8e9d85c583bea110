/*
 * transcode.h - frames in another transfer syntax than they are stored in, without loss.
 *
 * Layer:   3 (retrieve).  Uses pixel, pixelbox.
 * Threads: a struct nx_transcoder belongs to one thread at a time; as many frames as there are
 *          processors are made at once, others wait.
 * PHI:     pixels pass through.
 *
 * Samples stay what they are.  What changes is how colors are told: lossy JPEG comes out as RGB,
 * and JPEG 2000 takes RGB in as YBR_RCT.  A syntax whose encoding would lose something is never
 * made.
 */
#ifndef NX_RETRIEVE_TRANSCODE_H
#define NX_RETRIEVE_TRANSCODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/slice.h"

struct nx_frame_reader;
struct nx_retrieve;
struct nx_transcoder;

/* Can frames of one be made frames of the other?  What is deep or wide may fail all the same. */
bool nx_transcodable(const char *from_ts_uid, const char *to_ts_uid);
/* The i-th syntax that frames can be made in, the most usual first; NULL past the last. */
const char *nx_transcode_target(size_t i);

/* The reader must outlive it.  NX_E_NOT_ACCEPTABLE. */
NX_NODISCARD nx_rc nx_transcoder_new(struct nx_retrieve *retrieve, struct nx_frame_reader *reader,
	const char *ts_uid, struct nx_transcoder **ret, struct nx_err *err);
struct nx_transcoder *nx_transcoder_free(struct nx_transcoder *transcoder);
NX_DEFINE_AUTO(nx_transcoder);
/* One frame, numbered from 0; valid until the next call.  NX_E_NOENT: it is not there;
 * NX_E_NOT_ACCEPTABLE: it cannot be decoded, or not be encoded like this. */
NX_NODISCARD nx_rc nx_transcoder_frame(struct nx_transcoder *transcoder, uint32_t number,
	struct nx_slice *ret, struct nx_err *err);

#endif

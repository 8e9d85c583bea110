/*
 * transcode_priv.h - what this module's files make of frames by way of pixelbox.
 *
 * Layer:   3 (retrieve).
 * Threads: each struct belongs to one thread at a time.
 * PHI:     pixels pass through.
 */
#ifndef NX_RETRIEVE_TRANSCODE_PRIV_H
#define NX_RETRIEVE_TRANSCODE_PRIV_H

#include "pixel/pixel.h"
#include "retrieve/frames_priv.h"
#include "retrieve/retrieve_priv.h"
#include "retrieve/transcode.h"

/* A frame on its way from what is stored to samples. */
struct frame_samples {
	struct nx_buf stored;
	struct nx_buf samples;
	struct nx_pixel_desc desc; /* what they are */
};

void frame_samples_init(struct frame_samples *f);
void frame_samples_done(struct frame_samples *f);
/* `flags`: enum nx_pixel_decode_flags. */
NX_NODISCARD nx_rc frame_samples_get(struct frame_samples *f, struct nx_retrieve *retrieve,
	struct nx_frame_reader *reader, uint32_t number, unsigned flags, struct nx_err *err);

/* Each holds memory for a frame: as many at once as there are processors. */
void frame_slot_take(struct nx_retrieve *r);
void frame_slot_give(struct nx_retrieve *r);

/* What frames are; once the first one was made. */
const struct nx_pixel_desc *transcoder_desc(const struct nx_transcoder *transcoder);

#endif

/*
 * pixelbox_priv.h - what pool and worker say to each other: one message for a frame, and its
 * answer. Both are the same program, so messages are structs; what the pool reads it checks, since
 * the worker may be somebody else's by then.
 *
 * Layer:   1 (pixelbox).
 * Threads: types only.
 */
#ifndef NX_PIXELBOX_PIXELBOX_PRIV_H
#define NX_PIXELBOX_PIXELBOX_PRIV_H

#include "base/limits.h"
#include "pixelbox/pixelbox.h"

#define NX_PIXELBOX_ARG "pixel-worker"

/* Descriptors of a worker, behind the three that everybody has. */
enum {
	NX_BOX_SOCKET = 3,
	NX_BOX_INPUT = 4,
	NX_BOX_OUTPUT = 5
};

enum nx_box_op {
	NX_BOX_DECODE,
	NX_BOX_ENCODE,
	NX_BOX_CONVERT, /* colors */
	NX_BOX_IMAGE    /* a file of one; `flags`: samples that are wanted */
};

struct nx_box_request {
	enum nx_box_op op;
	unsigned flags;
	char uid[NX_LIMIT_UID + 1];
	struct nx_pixel_desc desc;
	struct nx_pixel_params params;
	enum nx_image_form form;
	uint64_t in_len;
	uint64_t profiles[2]; /* of what follows then: color profiles, from and to */
	uint64_t out_cap;
	uint64_t memory;  /* address space for this frame */
	unsigned seconds; /* after which the worker ends itself, should nobody do it */
};

struct nx_box_answer {
	uint32_t rc;
	uint32_t photometric;
	uint32_t planar;
	uint64_t out_len;
	struct nx_pixel_desc desc; /* of NX_BOX_IMAGE */
	char text[NX_LIMIT_ERR_TEXT];
};

/* From now on this process can compute, and speak through its socket. */
NX_NODISCARD bool nx_sandbox_enter(void);

#endif

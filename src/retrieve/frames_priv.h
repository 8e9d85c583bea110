/*
 * frames_priv.h - what this module makes of frames: images, other transfer syntaxes.
 *
 * Layer:   3 (retrieve).
 * Threads: belongs to one thread at a time.
 * PHI:     yes.
 */
#ifndef NX_RETRIEVE_FRAMES_PRIV_H
#define NX_RETRIEVE_FRAMES_PRIV_H

#include "dicom/dicom.h"
#include "pixel/pixel.h"
#include "retrieve/frames.h"

struct nx_arena;
struct nx_buf;
struct nx_instances;

struct frame_facts { /* all as long as the reader */
	const struct nx_pixel_desc *desc;
	const struct nx_dataset *ds; /* bulk values are references */
	nx_tag pixels;               /* (7FE0,0010), or that of floating point */
	const char *ts_uid;          /* what frames are in: explicit little endian, if native */
};
struct frame_facts frame_reader_facts(const struct nx_frame_reader *reader);
/* The selection that it reads, gone to its instance. */
const struct nx_instances *frame_reader_instances(const struct nx_frame_reader *reader);

/* Where frames begin in the value: the tag of each one's first item; ascending. */
struct frame_starts {
	uint64_t *starts;
	uint32_t n;
	uint64_t len; /* of the value */
};

enum {
	FRAME_INDEX_MIN = 16 /* frames that are worth one */
};

/* ---- frame_index.c: of the current instance ---- */

/* False: there is none that fits. */
bool frame_index_find(struct nx_instances *x, struct frame_starts *starts);
/* One that is not kept only costs time. */
void frame_index_keep(struct nx_instances *x, const struct frame_starts *starts);

/* Append one frame. */
NX_NODISCARD nx_rc frame_reader_whole(
	struct nx_frame_reader *reader, uint32_t number, struct nx_buf *out, struct nx_err *err);
/* A bulk value of the data set, in little endian. */
NX_NODISCARD nx_rc frame_reader_value(struct nx_frame_reader *reader, const struct nx_elem *e,
	struct nx_arena *arena, struct nx_slice *ret, struct nx_err *err);

#endif

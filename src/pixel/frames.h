/*
 * frames.h - encapsulated pixel data: which fragments make which frame (PS3.5 A.4).
 *
 * Layer:   1 (pixel).  Uses base.
 * Threads: a struct nx_pixel_scan belongs to one thread at a time.
 * PHI:     pixels pass through; the first and last bytes of fragments are kept.
 */
#ifndef NX_PIXEL_FRAMES_H
#define NX_PIXEL_FRAMES_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/slice.h"

enum {
	NX_FRAGMENT_HEAD = 8,
	NX_FRAGMENT_TAIL = 3
};

struct nx_fragment {
	uint64_t offset; /* of its first byte in the value of the element: behind the item's header
			  */
	uint32_t length;
	uint8_t head[NX_FRAGMENT_HEAD]; /* its first bytes, zeros where it has fewer */
	uint8_t tail[NX_FRAGMENT_TAIL]; /* its last bytes, the very last one last */
};

/* ---- fragments of a value, fed in pieces of any size ---- */

struct nx_pixel_scan;

struct nx_pixel_scan *nx_pixel_scan_new(void); /* NULL without memory */
struct nx_pixel_scan *nx_pixel_scan_free(struct nx_pixel_scan *scan);
NX_DEFINE_AUTO(nx_pixel_scan);

/* The value from its first item to its delimiter. */
NX_NODISCARD nx_rc nx_pixel_scan_feed(
	struct nx_pixel_scan *scan, struct nx_slice data, struct nx_err *err);
/* The fragment at hand has been seen but for its end: that many of the next bytes, `most` at most,
 * need not be fed, and count as if they had been. */
uint64_t nx_pixel_scan_skip(struct nx_pixel_scan *scan, uint64_t most);
/* No more bytes: NX_E_SHORT within an item.  A delimiter that is missing is no error. */
NX_NODISCARD nx_rc nx_pixel_scan_finish(struct nx_pixel_scan *scan, struct nx_err *err);

/* What was found, until the scan is freed: fragments in order, and the Basic Offset Table. */
const struct nx_fragment *nx_pixel_scan_fragments(const struct nx_pixel_scan *scan, size_t *ret_n);
struct nx_slice nx_pixel_scan_offsets(const struct nx_pixel_scan *scan);

/* ---- frames ---- */

struct nx_frame_tables {
	struct nx_slice basic;    /* the first item's value, may be empty */
	struct nx_slice extended; /* (7FE0,0001), may be empty */
};

/*
 * The first fragment of every frame into ret_first[0 .. n_frames], the last entry being `n`: frame
 * i is the fragments ret_first[i] to ret_first[i + 1] - 1, one behind the other.
 *
 * The extended table decides, else the basic one.  Where there is none, or one whose offsets are
 * not those of fragments: one frame has all fragments; as many fragments as frames are a frame
 * each; else a frame begins where a fragment begins a codestream, or behind one that ends with an
 * EOI marker, if that makes as many frames as there must be.  NX_E_MALFORMED otherwise.
 */
NX_NODISCARD nx_rc nx_frames_index(const struct nx_fragment *fragments, size_t n,
	const struct nx_frame_tables *tables, uint32_t n_frames, uint32_t *ret_first,
	struct nx_err *err);

#endif

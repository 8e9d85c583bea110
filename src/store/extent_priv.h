/*
 * extent_priv.h - arithmetic that the reader and the writer of extents share.
 *
 * Layer:   2 (store).
 * Threads: pure functions.
 */
#ifndef NX_STORE_EXTENT_PRIV_H
#define NX_STORE_EXTENT_PRIV_H

#include "store/extent.h"

enum {
	NX_SEG_LEN = NX_SEGMENT_LEN, /* a constant, where the macro is a product */
	NX_TAG_LEN = 16,
	NX_EXTENT_DATA_SMALL = NX_EXTENT_HEADER_LEN, /* data_off inside a unit of small extents */
	NX_EXTENT_DATA_BULK = NX_PACK_ALIGN,         /* data_off in a bulk pack */
	NX_EXTENT_SEGMENTS_MAX = NX_EXTENT_MAX / NX_SEG_LEN,
};

static inline uint64_t nx_align_up(uint64_t v)
{
	return (v + NX_PACK_ALIGN - 1) / NX_PACK_ALIGN * NX_PACK_ALIGN;
}

#endif

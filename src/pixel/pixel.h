/*
 * pixel.h - frames: from what is stored in one transfer syntax to exact samples, and back.
 *
 * Layer:   1 (pixel).  Uses base, libjpeg-turbo, CharLS, OpenJPEG, zlib.  No I/O of its own.
 * Threads: tables are constant; calls share nothing.
 * PHI:     pixels pass through; errors name numbers of the stream's structure only.
 *
 * Decoding here trusts the libraries.  Streams of others are decoded by pixelbox/pixelbox.h, which
 * runs these functions in a process that holds nothing.
 */
#ifndef NX_PIXEL_PIXEL_H
#define NX_PIXEL_PIXEL_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/slice.h"

struct nx_buf;

/* (0028,0004), PS3.3 C.7.6.3.1.2. */
enum nx_photometric {
	NX_PHOTO_UNKNOWN, /* absent, or none of these: samples are given as they are */
	NX_PHOTO_MONOCHROME1,
	NX_PHOTO_MONOCHROME2,
	NX_PHOTO_PALETTE,
	NX_PHOTO_RGB,
	NX_PHOTO_YBR_FULL,
	NX_PHOTO_YBR_FULL_422,
	NX_PHOTO_YBR_PARTIAL_420,
	NX_PHOTO_YBR_ICT,
	NX_PHOTO_YBR_RCT,
};

/* By its defined term, without padding; NX_PHOTO_UNKNOWN for others.  And back; "" for unknown. */
enum nx_photometric nx_photometric_parse(struct nx_slice term);
const char *nx_photometric_term(enum nx_photometric photometric);

/* The Image Pixel Module, as far as it says how samples lie (PS3.5 8). */
struct nx_pixel_desc {
	uint32_t rows;
	uint32_t columns;
	uint32_t frames;
	uint16_t samples;        /* per pixel: 1 to 4 */
	uint16_t bits_allocated; /* 1, 8, 16, 32, 64 */
	uint16_t bits_stored;
	uint16_t high_bit;
	bool is_signed; /* (0028,0103) is 1 */
	bool planar;    /* (0028,0006) is 1: color-by-plane */
	bool words;     /* native data of VR OW: matters to 8-bit samples in big endian only */
	enum nx_photometric photometric;
};

/* Sizes that can be: dimensions, depths, and a frame within NX_LIMIT_PIXEL_FRAME. */
NX_NODISCARD nx_rc nx_pixel_desc_check(const struct nx_pixel_desc *desc, struct nx_err *err);
/* Bytes of one decoded frame; `desc` was checked.  Samples of one bit are packed, PS3.5 8.1.1. */
size_t nx_pixel_frame_len(const struct nx_pixel_desc *desc);
/* Bits of one frame in native data; frames of one-bit samples follow without padding. */
uint64_t nx_pixel_native_bits(const struct nx_pixel_desc *desc);

enum nx_pixel_codec_flags {
	NX_PIXEL_NATIVE = 1,     /* not encapsulated: frames lie one behind the other */
	NX_PIXEL_LOSSY = 2,      /* what it encodes may differ (PS3.5 A.4); sets (0028,2110) */
	NX_PIXEL_VIDEO = 4,      /* one stream for all frames: passed through, never decoded */
	NX_PIXEL_BIG_ENDIAN = 8, /* PS3.5 A.3 */
};

/* What an encoder is told; zeros mean its default. */
struct nx_pixel_params {
	unsigned quality; /* JPEG baseline: 1 to 100 (90) */
	unsigned near;    /* JPEG-LS near-lossless: largest difference, up to 255 (2) */
	unsigned ratio;   /* JPEG 2000 lossy: native bytes to encoded bytes (10) */
};

struct nx_pixel_codec;

/*
 * The contract of a row.  `desc` passed nx_pixel_desc_check(); *ret_desc is a copy of it in which
 * the codec changes what it changed, with `planar` false unless the syntax keeps it.
 *
 * decode: optional.  Fills exactly nx_pixel_frame_len(desc) bytes at `out`: native little-endian
 * samples, each in bits_allocated bits, sign-extended where is_signed and the codestream is no
 * wider than bits_stored.  A stream whose size, components or depth are not those of `desc` is
 * NX_E_MALFORMED before memory for it is taken.  A stream that ends early is NX_E_SHORT or
 * NX_E_MALFORMED, never samples that are not in it.
 *
 * encode: optional.  Takes nx_pixel_frame_len(desc) bytes like those that decode makes.
 *
 * Both are pure, may be called from any thread, and allocate in proportion to the frame.
 */
typedef nx_rc (*nx_pixel_decode_fn)(const struct nx_pixel_codec *codec,
	const struct nx_pixel_desc *desc, struct nx_slice frame, uint8_t *out,
	struct nx_pixel_desc *ret_desc, struct nx_err *err);
typedef nx_rc (*nx_pixel_encode_fn)(const struct nx_pixel_codec *codec,
	const struct nx_pixel_desc *desc, struct nx_slice samples,
	const struct nx_pixel_params *params, struct nx_buf *out, struct nx_pixel_desc *ret_desc,
	struct nx_err *err);

struct nx_pixel_codec {
	const char *uid;
	const char *name;
	const char *library; /* whose code runs; "narthex" for our own */
	unsigned flags;
	unsigned bits_max; /* deepest sample of the codestream */
	nx_pixel_decode_fn decode;
	nx_pixel_encode_fn encode;
};

/* The table, ended by a row without a UID. */
extern const struct nx_pixel_codec nx_pixel_codecs[];
/* NULL where the syntax is in no row. */
const struct nx_pixel_codec *nx_pixel_codec_find(const char *uid);

enum nx_pixel_decode_flags {
	NX_PIXEL_INTERLEAVED = 1, /* color-by-pixel, whatever came */
	NX_PIXEL_RGB = 2,         /* and YBR_FULL of 8 bits as RGB (PS3.3 C.7.6.3.1.2) */
};

/* A frame as it is stored, or its samples. */
struct nx_pixel_frame {
	const struct nx_pixel_desc *desc;
	struct nx_slice bytes;
	unsigned flags; /* nx_pixel_decode_flags */
};

/*
 * One stored frame to native little-endian samples in `out`, of `cap` bytes.  *ret_desc says what
 * they are:
 *
 * - JPEG: components are given as they are in the stream, with chroma brought to full size, and
 *   YBR_FULL_422 becomes YBR_FULL.  As DCMTK with --conv-never and GDCM; pydicom 2 gives what its
 *   plug-in gives.  NX_PIXEL_RGB makes RGB of it, as DCMTK does without being told.  Which of both
 *   a stream holds is what (0028,0004) says, not what an APP marker lets guess.
 * - JPEG 2000: YBR_RCT and YBR_ICT become RGB, since the inverse transform is part of decoding
 *   (PS3.5 8.2.4).
 * - native YBR_FULL_422: becomes YBR_FULL, chroma repeated.
 * - everything else: unchanged.
 */
NX_NODISCARD nx_rc nx_pixel_decode(const struct nx_pixel_codec *codec,
	const struct nx_pixel_frame *frame, uint8_t *out, size_t cap,
	struct nx_pixel_desc *ret_desc, struct nx_err *err);

/*
 * One frame of native little-endian samples (nx_pixel_frame_len() bytes, of either planar
 * configuration) to one codestream, appended to `out`.  *ret_desc is what the data set has to say
 * then: RGB becomes YBR_RCT, YBR_ICT or YBR_FULL where the codec transforms it.  Samples that use
 * bits outside bits_stored are kept: the codestream then has bits_allocated bits.
 */
NX_NODISCARD nx_rc nx_pixel_encode(const struct nx_pixel_codec *codec,
	const struct nx_pixel_desc *desc, struct nx_slice samples,
	const struct nx_pixel_params *params, struct nx_buf *out, struct nx_pixel_desc *ret_desc,
	struct nx_err *err);

/* Frame `index` out of native data: whole bytes, also where one-bit frames begin within one. */
NX_NODISCARD nx_rc nx_pixel_native_frame(const struct nx_pixel_desc *desc, struct nx_slice data,
	uint32_t index, struct nx_buf *out, struct nx_err *err);

#endif

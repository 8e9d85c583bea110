/*
 * jpeg_priv.h - JPEG streams (ISO/IEC 10918-1) that libjpeg-turbo 2 does not decode: markers,
 * Huffman tables and bits, for the lossless and the 12-bit decoder.
 *
 * Layer:   1 (pixel).
 * Threads: calls share nothing.
 */
#ifndef NX_PIXEL_JPEG_PRIV_H
#define NX_PIXEL_JPEG_PRIV_H

#include "base/rd.h"
#include "pixel/pixel_priv.h"

enum {
	NX_JPEG_COMPS = 4,
	NX_JPEG_TABLES = 4,
	NX_JPEG_LOOK = 10, /* bits of the first look-up */
	NX_JPEG_FAST = 12, /* bits of the look-up of whole differences */
};

enum nx_jpeg_sof {
	NX_JPEG_BASELINE = 0xC0,
	NX_JPEG_EXTENDED = 0xC1,
	NX_JPEG_PROGRESSIVE = 0xC2,
	NX_JPEG_LOSSLESS = 0xC3,
};

/* A table of codes (C.2), and of what the next bits mean. */
struct nx_jpeg_huff {
	bool defined;
	uint8_t values[256];
	int32_t last[18];                 /* largest code of a length, -1 for none (F.2.2.3) */
	int32_t base[17];                 /* values index = code + base[length] */
	uint16_t look[1 << NX_JPEG_LOOK]; /* length << 8 | value; 0: longer than the look-up */
	/* A code and the bits behind it, where they fit: length of both << 20 | zeros before it <<
	 * 16 | number that they stand for.  0 where they do not fit, or where there is no number.
	 */
	uint32_t fast[1 << NX_JPEG_FAST];
};

struct nx_jpeg_comp {
	uint8_t id;
	uint8_t h;
	uint8_t v;
	uint8_t quant;
	uint8_t dc; /* tables of the scan at hand */
	uint8_t ac;
	bool done; /* its scan was seen */
};

struct nx_jpeg {
	struct nx_rd rd; /* behind what was read */
	unsigned sof;    /* marker of the frame header */
	struct nx_stream_info info;
	struct nx_jpeg_comp comps[NX_JPEG_COMPS];
	uint16_t quant[NX_JPEG_TABLES][64]; /* in the order of the stream */
	struct nx_jpeg_huff dc[NX_JPEG_TABLES];
	struct nx_jpeg_huff ac[NX_JPEG_TABLES];
	uint32_t restart; /* MCUs between restart markers, 0 for none */
	/* the scan at hand */
	unsigned n_scan;
	uint8_t scan[NX_JPEG_COMPS]; /* indices of its components */
	uint8_t start;               /* Ss: selector of the predictor, or first coefficient */
	uint8_t low;                 /* Al: point transform */
};

/* Kind and size of a stream from its frame header alone. */
NX_NODISCARD nx_rc nx_jpeg_peek(
	struct nx_slice frame, unsigned *ret_sof, struct nx_stream_info *ret, struct nx_err *err);

/* Up to and with the next SOS; *ret_end where EOI came instead.  `jpeg` starts as zeros but rd. */
NX_NODISCARD nx_rc nx_jpeg_next_scan(struct nx_jpeg *jpeg, bool *ret_end, struct nx_err *err);

/* Entropy-coded bits, the next ones on top of `acc`. */
struct nx_jpeg_bits {
	const uint8_t *p;
	const uint8_t *end;
	uint64_t acc;
	unsigned n;       /* bits in acc */
	unsigned missing; /* zeros that were put where the data had ended */
};

void nx_jpeg_bits_begin(struct nx_jpeg_bits *bits, struct nx_rd rd);
/* At a restart marker, which is stepped over; false where there is none. */
NX_NODISCARD bool nx_jpeg_bits_restart(struct nx_jpeg_bits *bits);
/* What is behind the scan. */
struct nx_rd nx_jpeg_bits_end(const struct nx_jpeg_bits *bits);
void nx_jpeg_bits_fill_slow(struct nx_jpeg_bits *bits);

/* At least 56 bits, zeros after the end of the data. */
static inline void nx_jpeg_bits_fill(struct nx_jpeg_bits *bits)
{
	if (bits->n >= 56)
		return;
	if (bits->end - bits->p >= 8) {
		uint64_t v, inverse;

		memcpy(&v, bits->p, sizeof(v));
		inverse = ~v;
		if (!((inverse - 0x0101010101010101ull) & v & 0x8080808080808080ull)) {
			bits->acc |= __builtin_bswap64(v) >> bits->n;
			bits->p += (63 - bits->n) >> 3;
			bits->n |= 56;
			return;
		}
	}
	nx_jpeg_bits_fill_slow(bits);
}

static inline void nx_jpeg_bits_drop(struct nx_jpeg_bits *bits, unsigned n)
{
	bits->acc <<= n;
	bits->n -= n;
}

/* More was taken than there is. */
static inline bool nx_jpeg_bits_short(const struct nx_jpeg_bits *bits)
{
	return bits->missing > bits->n;
}

int nx_jpeg_symbol_slow(struct nx_jpeg_bits *bits, const struct nx_jpeg_huff *huff);

/* The next symbol, -1 for a code that is none.  At least 16 bits must be there. */
static inline int nx_jpeg_symbol(struct nx_jpeg_bits *bits, const struct nx_jpeg_huff *huff)
{
	const unsigned found = huff->look[bits->acc >> (64 - NX_JPEG_LOOK)];

	if (!found)
		return nx_jpeg_symbol_slow(bits, huff);
	nx_jpeg_bits_drop(bits, found >> 8);
	return (int)(found & 0xFF);
}

/* `n` bits (1 to 16) as the signed number they stand for (F.2.2.1). */
static inline int32_t nx_jpeg_extend(struct nx_jpeg_bits *bits, unsigned n)
{
	const int32_t v = (int32_t)(bits->acc >> (64 - n));

	nx_jpeg_bits_drop(bits, n);
	return v < 1 << (n - 1) ? v - (1 << n) + 1 : v;
}

nx_rc nx_jpeg_lossless_decode(const struct nx_pixel_desc *desc, struct nx_slice frame, uint8_t *out,
	unsigned *ret_bits, struct nx_err *err);
nx_rc nx_jpeg_dct12_decode(const struct nx_pixel_desc *desc, struct nx_slice frame, uint8_t *out,
	unsigned *ret_bits, struct nx_err *err);
/* 8 bits, by libjpeg-turbo. */
nx_rc nx_jpeg_turbo_decode(const struct nx_pixel_desc *desc, struct nx_slice frame, uint8_t *out,
	unsigned *ret_bits, struct nx_err *err);

#endif

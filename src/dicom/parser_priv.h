/*
 * parser_priv.h - the state of a parser, shared by parser.c (elements) and part10.c (the file
 * around the data set).
 *
 * Layer:   1 (dicom).
 * Threads: one thread at a time.
 * PHI:     start, scratch and hold carry values; wiped when the parser is freed.
 */
#ifndef NX_DICOM_PARSER_PRIV_H
#define NX_DICOM_PARSER_PRIV_H

#define ZLIB_CONST
#include <zlib.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/rd.h"
#include "dicom/dicom_priv.h"

enum {
	PREAMBLE_LEN = 132, /* PS3.10 7.1: 128 bytes and "DICM" */
	ELEM_HEAD_MIN = 8,
	ELEM_HEAD_MAX = 12,
	INFLATE_LEN = 32 * 1024
};

enum parser_state {
	STATE_START, /* is there a preamble? */
	STATE_PREAMBLE,
	STATE_ELEM,      /* at a tag */
	STATE_VALUE,     /* inside a value to be delivered whole */
	STATE_BULK,      /* inside a bulk value of known length */
	STATE_FRAG_HEAD, /* encapsulated value: at an item tag */
	STATE_FRAG,      /* encapsulated value: inside an item */
	STATE_TAIL       /* padding after the last element */
};

/* What the bytes since run_at are. */
enum parser_run {
	RUN_RAW,
	RUN_BULK,
	RUN_HELD /* of an encapsulated value that is not known to be bulk yet */
};

struct parser_syntax {
	bool explicit_vr;
	bool big_endian;
};

struct parser_head {
	nx_tag tag;
	uint16_t vr;
	uint32_t length;
	size_t size;
	bool implied;
};

struct parser_level {
	struct nx_dicom_elem seq;
	struct nx_dicom_elem item;
	uint64_t seq_end;    /* UINT64_MAX: by delimiter */
	uint64_t seq_limit;  /* no byte of the sequence is at or past this */
	uint64_t item_end;   /* as seq_end */
	uint64_t item_limit; /* as seq_limit */
	unsigned n_items;
	bool in_item;
	struct parser_syntax outer; /* to come back to */
};

struct nx_dicom_parser {
	struct nx_dicom_cb cb;
	void *payload;
	uint32_t bulk_min;
	nx_tag stop_before;

	nx_rc failed; /* the parse is over */
	bool too_deep;
	bool stopped;
	bool wait; /* the present span is used up */
	enum parser_state state;

	/* file */
	bool has_magic;
	bool in_meta;
	bool announced; /* on_meta_end was called */
	bool at_first;  /* no element of the data set was seen yet */
	bool guess;     /* no transfer syntax was named */
	char ts_uid[NX_LIMIT_UID + 1];
	uint64_t dataset_offset;

	/* input */
	struct nx_slice span; /* what is being fed */
	struct nx_rd rd;      /* the rest of it */
	size_t run_at;        /* index in span of the first byte not delivered */
	enum parser_run run;
	uint64_t pos; /* bytes consumed, of the stream as parsed */
	uint8_t hold[ELEM_HEAD_MAX];
	size_t hold_n;
	uint8_t start[PREAMBLE_LEN];
	size_t start_n;

	/* elements */
	struct parser_syntax syn;
	struct nx_dicom_elem elem;
	uint64_t left;     /* of the value, bulk value or fragment */
	uint64_t encap_n;  /* encapsulated value: bytes of it announced so far */
	uint64_t bulk_sum; /* bytes of all bulk values */
	uint32_t n_elements;
	struct nx_buf scratch; /* a value that came in pieces */
	struct parser_level levels[NX_LIMIT_DICOM_DEPTH];
	unsigned depth;

	/* deflated data set */
	bool deflated; /* what is fed goes through inflate first */
	struct nx_slice deflate_rest;
	bool inflated; /* the span is inflated data: not raw, not bulk */
	bool inflate_end;
	bool inflate_ready;
	z_stream z;
	uint8_t *inflate_out;
};

/* Parse `span` (and deliver its bytes). */
NX_NODISCARD nx_rc nx_parser_span(
	struct nx_dicom_parser *ps, struct nx_slice span, struct nx_err *err);
/* `n` bytes at the present place without consuming them; NULL: not all there yet. */
const uint8_t *nx_parser_peek(struct nx_dicom_parser *ps, size_t n);
/* The element header at the present place, not consumed.  False: not all there yet. */
bool nx_parser_head(struct nx_dicom_parser *ps, struct parser_head *ret_head);
NX_NODISCARD nx_rc nx_parser_fail(
	struct nx_dicom_parser *ps, nx_rc rc, const char *what, struct nx_err *err);

/* part10.c */
NX_NODISCARD nx_rc nx_part10_feed(
	struct nx_dicom_parser *ps, struct nx_slice data, struct nx_err *err);
/* The value of (0002,0010); an empty one is none. */
NX_NODISCARD nx_rc nx_part10_ts(
	struct nx_dicom_parser *ps, struct nx_slice value, struct nx_err *err);
/* nx_dicom_feed_hole() while the start of the stream is still kept back. */
NX_NODISCARD nx_rc nx_part10_hole(struct nx_dicom_parser *ps, uint64_t n, struct nx_err *err);
/* The first tag that is not of group 2 is at hand (or the stream ended). */
NX_NODISCARD nx_rc nx_part10_meta_end(struct nx_dicom_parser *ps, struct nx_err *err);
/* The first element of the data set is at hand: does it look as announced? */
NX_NODISCARD nx_rc nx_part10_first(
	struct nx_dicom_parser *ps, const uint8_t *head, struct nx_err *err);
NX_NODISCARD nx_rc nx_part10_end(struct nx_dicom_parser *ps, struct nx_err *err);

#endif

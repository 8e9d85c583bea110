/*
 * dicom.h - DICOM Part 10 and data sets: a streaming parser, a dictionary, text, values, JSON.
 *
 * Layer:   1 (dicom).  Uses base, zlib.  No I/O of its own.
 * Threads: tables are constant; a parser belongs to one thread at a time.
 * PHI:     values pass through; errors name tag and offset only.
 */
#ifndef NX_DICOM_DICOM_H
#define NX_DICOM_DICOM_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

struct nx_arena;
struct nx_buf;
struct nx_json;

typedef uint32_t nx_tag; /* group << 16 | element */

#define NX_TAG(group, element) ((nx_tag)(((uint32_t)(group) << 16) | (uint32_t)(element)))
#define NX_VR(a, b)            ((uint16_t)(((uint16_t)(a) << 8) | (uint16_t)(b)))

#include "dicom/tags.h" /* generated: NX_TAG_PATIENT_ID, ...; NX_UID_* */

/* ---- transfer syntaxes (PS3.5 Annex A, PS3.6 Annex A) ---- */

struct nx_ts {
	const char *uid;
	const char *name;
	bool explicit_vr;
	bool big_endian;
	bool deflated;
	bool encapsulated;
};

/* Known ones; NULL otherwise.  An unknown syntax is explicit little endian (PS3.5 A.4), maybe
 * encapsulated. */
const struct nx_ts *nx_ts_find(const char *uid);
/* The i-th of them; NULL past the last. */
const struct nx_ts *nx_ts_at(size_t i);
/* A dotted UID of 1-64 characters (PS3.5 9.1); lenient on leading zeros, as found in the field. */
bool nx_uid_valid(const char *uid, size_t n);
/* A new one, of a random number (PS3.5 B.2). */
void nx_uid_new(char ret[NX_LIMIT_UID + 1]);
/* NULL when unknown.  Storage SOP classes are those whose entry says so; see nx_uid_is_storage().
 */
const char *nx_uid_name(const char *uid);
bool nx_uid_is_storage(const char *uid);
/* The i-th UID that has a name, ascending in byte order; NULL past the last. */
const char *nx_uid_at(size_t i);

/* ---- dictionary (PS3.6) ---- */

struct nx_dict_entry {
	nx_tag tag;
	uint16_t vr;  /* NX_VR('P','N'); the first when several are allowed */
	uint16_t vr2; /* the second, or 0 */
	const char *keyword;
	const char *vm;
};

/* Repeating groups (50xx, 60xx) are found; NULL for private and unknown tags. */
const struct nx_dict_entry *nx_dict_find(nx_tag tag);
/* The i-th public attribute by tag, repeating groups apart; NULL past the last. */
const struct nx_dict_entry *nx_dict_at(size_t i);
/* By keyword ("PatientID") or 8 hex digits; false if neither. */
bool nx_dict_parse_tag(const char *text, size_t n, nx_tag *ret_tag);

/* ---- streaming parser (PS3.5 7, PS3.10 7) ---- */

/*
 * Every element is announced in stream order, at every depth.  `offset` counts bytes of the stream
 * as fed.  Values of less than bulk_min bytes come whole in on_value(); longer ones, at any depth,
 * come through on_bulk_begin / on_bulk_data / on_bulk_end without being buffered.  A value of
 * undefined length (encapsulated pixel data) is all its items and the delimiter, and is bulk when
 * that is bulk_min bytes or more.  Bytes that are not part of a bulk value are passed to on_raw in
 * order, exactly once, so that raw and bulk bytes together are the stream.  A callback may fail:
 * the parse stops with its code.  Unset callbacks are skipped.
 *
 * A deflated data set (PS3.5 A.5) has no bulk: every byte that arrives is raw, elements come
 * inflated, offsets after the meta group count inflated bytes, and values of bulk_min bytes or more
 * are announced by on_skipped alone.
 *
 * Accepted as found in the field: odd lengths, a wrong group 2 length, a data set in another VR
 * encoding than announced, VRs that are none, sequences of VR UN (PS3.5 6.2.2), item delimiters in
 * items of defined length, zeros after the last element.
 */
struct nx_dicom_elem {
	nx_tag tag;
	uint16_t vr; /* as in the stream, or from the dictionary for implicit VR; 'UN' when unknown
		      */
	unsigned depth;  /* 0: the data set itself */
	uint64_t offset; /* of the tag */
	uint32_t length; /* UINT32_MAX: undefined */
	uint64_t value_offset;
	bool vr_implied; /* the stream does not say: vr is the dictionary's */
};

struct nx_dicom_cb {
	/* Once, before the first element of the data set. */
	nx_rc (*on_meta_end)(void *payload, const char *ts_uid, struct nx_err *err);
	/* A leaf value, in the transfer syntax's byte order; deflated data sets come inflated. */
	nx_rc (*on_value)(void *payload, const struct nx_dicom_elem *e, struct nx_slice value,
		struct nx_err *err);
	/* vr is SQ, also where the stream says UN with undefined length. */
	nx_rc (*on_seq_begin)(void *payload, const struct nx_dicom_elem *e, struct nx_err *err);
	/* `e` is the item itself (FFFE,E000); its depth is that of its sequence. */
	nx_rc (*on_item_begin)(
		void *payload, const struct nx_dicom_elem *e, unsigned index, struct nx_err *err);
	nx_rc (*on_item_end)(void *payload, const struct nx_dicom_elem *e, struct nx_err *err);
	nx_rc (*on_seq_end)(void *payload, const struct nx_dicom_elem *e, struct nx_err *err);
	nx_rc (*on_bulk_begin)(void *payload, const struct nx_dicom_elem *e, struct nx_err *err);
	nx_rc (*on_bulk_data)(void *payload, struct nx_slice data, struct nx_err *err);
	nx_rc (*on_bulk_end)(
		void *payload, const struct nx_dicom_elem *e, uint64_t length, struct nx_err *err);
	nx_rc (*on_raw)(void *payload, struct nx_slice data, struct nx_err *err);
	nx_rc (*on_skipped)(
		void *payload, const struct nx_dicom_elem *e, uint64_t length, struct nx_err *err);
};

struct nx_dicom_parser_opts {
	/* NULL: a Part 10 stream (with or without preamble, meta group or neither: then the syntax
	 * is guessed as PS3.10 7.1 readers do).  Else a bare data set in this transfer syntax
	 * (C-STORE). */
	const char *ts_uid;
	uint32_t bulk_min; /* 0: NX_BULK_THRESHOLD */
	/* 0: parse all.  At the first data set tag of depth 0 >= this, stop with NX_OK; later bytes
	 * are not looked at, nor passed to on_raw. */
	nx_tag stop_before;
};

struct nx_dicom_parser;

NX_NODISCARD nx_rc nx_dicom_parser_new(const struct nx_dicom_parser_opts *opts,
	const struct nx_dicom_cb *cb, void *payload, struct nx_dicom_parser **ret_parser,
	struct nx_err *err);
struct nx_dicom_parser *nx_dicom_parser_free(struct nx_dicom_parser *ps);
NX_DEFINE_AUTO(nx_dicom_parser);

/* Feed the next bytes, in pieces of any size.  NX_E_MALFORMED, NX_E_LIMIT, NX_E_UNSUPPORTED with
 * tag and offset. */
NX_NODISCARD nx_rc nx_dicom_feed(
	struct nx_dicom_parser *parser, const void *p, size_t n, struct nx_err *err);
/*
 * The next `n` bytes of the stream are one bulk value that is not at hand (it is stored apart). The
 * parser must stand at the begin of a value of that length, or of undefined length.
 */
NX_NODISCARD nx_rc nx_dicom_feed_hole(
	struct nx_dicom_parser *parser, uint64_t n, struct nx_err *err);
/* No more bytes: the stream must be complete (NX_E_SHORT otherwise). */
NX_NODISCARD nx_rc nx_dicom_finish(struct nx_dicom_parser *parser, struct nx_err *err);
/*
 * After a failure: what it was, of which element.  False: the stream never looked like DICOM, no
 * element of it was understood.
 */
struct nx_dicom_failure {
	nx_tag tag;      /* of the element at hand; 0 before the first */
	uint64_t offset; /* of that tag */
	bool too_deep;   /* NX_E_LIMIT for sequences in sequences */
};
bool nx_dicom_failure(const struct nx_dicom_parser *parser, struct nx_dicom_failure *ret);
/*
 * After a failure: bytes that were taken and not passed to on_raw or on_bulk_data, in two pieces,
 * until the next call.  The last piece may be of the buffer fed last; what the parser did not look
 * at of that comes behind.
 */
void nx_dicom_kept(const struct nx_dicom_parser *ps, struct nx_slice ret[2]);
const char *nx_dicom_ts_uid(const struct nx_dicom_parser *ps); /* "" before it is known */
/* Where a data set is known to begin (after the meta group). */
uint64_t nx_dicom_dataset_offset(const struct nx_dicom_parser *ps);

/* ---- a data set in memory, for headers: everything but bulk values ---- */

struct nx_dataset;

struct nx_elem {
	nx_tag tag;
	uint16_t vr;
	bool is_bulk;          /* value absent here: see bulk_offset and bulk_length */
	bool is_encapsulated;  /* the value is items and a delimiter, PS3.5 A.4 */
	struct nx_slice value; /* little endian for binary VRs, whatever the stream was */
	uint64_t bulk_offset;  /* of any value in the stream, bulk or not */
	uint64_t bulk_length;
	struct nx_dataset **items; /* SQ */
	size_t n_items;
};

struct nx_dataset {
	struct nx_elem *elems; /* ascending tags, each once: the last one in the stream */
	size_t n;
	/* (0008,0005) in force: its own, or that of the data set around it (PS3.5 6.1.2.5.3). */
	struct nx_slice charset;
};

/*
 * The tree of a whole stream; memory from `arena`, nothing refers to `stream` afterwards.  Group
 * 0002 elements are in it.  Values at or past bulk_min become bulk references.  Public elements of
 * VR UN get the VR of the dictionary (PS3.5 6.2.2); what is US or SS follows (0028,0103) where the
 * stream does not say.
 */
NX_NODISCARD nx_rc nx_dataset_parse(struct nx_slice stream, const char *ts_uid, uint32_t bulk_min,
	struct nx_arena *arena, struct nx_dataset **ret_ds, struct nx_err *err);
/*
 * The same for an instance split by the published rule: `header` is the concatenation of its
 * non-bulk bytes, bulks[i] = {offset in the whole stream, length}, ascending.
 */
struct nx_bulk_ref {
	uint64_t offset;
	uint64_t length;
};
NX_NODISCARD nx_rc nx_dataset_parse_split(struct nx_slice header, const struct nx_bulk_ref *bulks,
	size_t n_bulks, const char *ts_uid, struct nx_arena *arena, struct nx_dataset **ret_ds,
	struct nx_err *err);

const struct nx_elem *nx_dataset_find(const struct nx_dataset *ds, nx_tag tag);
/* Empty, with room for `cap` elements; NULL without memory. */
struct nx_dataset *nx_dataset_new(struct nx_arena *arena, size_t cap);
/* In the place of the one of its tag, or where it belongs; there must be room for one more. */
void nx_dataset_put(struct nx_dataset *ds, const struct nx_elem *elem);
/* A value of the VR that the dictionary has first; `text` is borrowed. */
void nx_dataset_put_text(struct nx_dataset *ds, nx_tag tag, const char *text);
/* Do they say the same, byte by byte, padding apart? */
bool nx_elem_same(const struct nx_elem *a, const struct nx_elem *b);
bool nx_dataset_same(const struct nx_dataset *a, const struct nx_dataset *b);
/* Text value decoded to UTF-8 by (0008,0005), padding removed, all values with backslashes; "" when
 * absent. NULL without memory only. */
const char *nx_dataset_text(const struct nx_dataset *ds, nx_tag tag, struct nx_arena *arena);
/* The same with text in UTF-8, as its (0008,0005) says, at every depth; without what stands before
 * that (groups of files and commands) and without bulk values.  Other values are borrowed. */
NX_NODISCARD nx_rc nx_dataset_utf8(const struct nx_dataset *ds, struct nx_arena *arena,
	struct nx_dataset **ret, struct nx_err *err);
/* First value as an integer (IS, US, UL, SS, SL); false when absent or not a number. */
bool nx_dataset_int(const struct nx_dataset *ds, nx_tag tag, int64_t *ret);

/*
 * Write the tree in the VR encoding and byte order of `ts` (NULL: explicit VR little endian;
 * NX_E_UNSUPPORTED for deflated ones), Part 10 with preamble and meta group when it
 * has group 0002: then (0002,0010) becomes that of `ts`.  Sequences get undefined lengths; group
 * lengths but that of group 0002 are left out.  Bulk elements are written as their header only and
 * reported in order to on_bulk with the position in `out` after which the bulk bytes belong (in
 * the byte order of `ts`).
 */
NX_NODISCARD nx_rc nx_dataset_write(const struct nx_dataset *ds, const struct nx_ts *ts,
	struct nx_buf *out,
	nx_rc (*on_bulk)(void *payload, const struct nx_elem *e, size_t at, struct nx_err *err),
	void *payload, struct nx_err *err);

/* Bytes that change places with the byte order in values of this VR; 1: none. */
unsigned nx_dicom_vr_unit(uint16_t vr);
/* Turn whole units round, in place. */
void nx_dicom_swap(uint8_t *p, size_t n, unsigned unit);

/* Preamble and File Meta Information (PS3.10 7.1) for a data set that came over C-STORE. */
NX_NODISCARD nx_rc nx_dicom_meta_write(const char *sop_class, const char *sop_instance,
	const char *ts_uid, const char *source_ae, struct nx_buf *out, struct nx_err *err);

/* How this implementation names itself (PS3.7 D.3.3.2). */
#define NX_DICOM_IMPLEMENTATION_CLASS_UID    "2.25.152466290311837402187193407187561924867"
#define NX_DICOM_IMPLEMENTATION_VERSION_NAME "NARTHEX_0_1"

/* ---- text (PS3.3 C.12.1.1.2, PS3.5 6.1) ---- */

/* `text` in the repertoire named by the value of (0008,0005) to UTF-8; undecodable bytes become
 * U+FFFD. `vr` decides where escapes reset (PN, LT, ...). */
NX_NODISCARD nx_rc nx_charset_decode(struct nx_slice charset, uint16_t vr, struct nx_slice text,
	struct nx_buf *out, struct nx_err *err);

/* ---- DICOM JSON Model (PS3.18 Annex F) ---- */

/* One data set as an object.  bulk_uri(payload, elem, out) appends the BulkDataURI of a bulk value.
 */
NX_NODISCARD nx_rc nx_dataset_json(const struct nx_dataset *ds, struct nx_json *json,
	nx_rc (*bulk_uri)(
		void *payload, const struct nx_elem *e, struct nx_buf *out, struct nx_err *err),
	void *payload, struct nx_arena *arena, struct nx_err *err);
/* The same without the braces: its attributes alone, none of them bulk, in an object that is open.
 */
NX_NODISCARD nx_rc nx_dataset_json_members(
	const struct nx_dataset *ds, struct nx_json *json, struct nx_err *err);
/* One attribute with text value(s) already in UTF-8 ("A\\B"), typed by its dictionary VR. */
void nx_json_dicom_text(struct nx_json *json, nx_tag tag, const char *utf8);

#endif

/*
 * dicom_priv.h - tables and helpers shared inside the module.
 *
 * Layer:   1 (dicom).
 * Threads: tables are constant.
 */
#ifndef NX_DICOM_DICOM_PRIV_H
#define NX_DICOM_DICOM_PRIV_H

#include "dicom/dicom.h"

#define NX_DICOM_UNDEFINED UINT32_MAX /* length field, PS3.5 7.1 */

/* ---- tables ---- */

struct nx_uid_entry {
	const char *uid;
	const char *name;
	bool storage;
};

extern const struct nx_dict_entry nx_dict_table[];
extern const size_t nx_dict_table_n;
extern const uint16_t nx_dict_by_keyword[];
extern const struct nx_uid_entry nx_uid_table[];
extern const size_t nx_uid_table_n;
extern const struct nx_ts nx_ts_table[];
extern const size_t nx_ts_table_n;

/* ---- value representations (PS3.5 6.2) ---- */

enum nx_vr_flags {
	NX_VR_LONG = 1,     /* 32-bit length field in explicit VR, PS3.5 7.1.2 */
	NX_VR_TEXT = 2,     /* characters, padded with spaces or NUL */
	NX_VR_CHARSET = 4,  /* (0008,0005) applies, PS3.5 6.1.2.3 */
	NX_VR_SINGLE = 8,   /* text without value delimiter: ST LT UT UR */
	NX_VR_LEADING = 16, /* leading spaces do not count either */
	NX_VR_BINARY = 32   /* O* and UN: no values, only bytes */
};

struct nx_vr_info {
	uint16_t vr;
	uint8_t unit; /* bytes that change places with the byte order; 1: none */
	uint8_t flags;
};

/* NULL for what is no VR of the standard. */
const struct nx_vr_info *nx_vr_info(uint16_t vr);
/* The VR of `tag` where the stream does not say (PS3.5 A.1); UN when not known. */
uint16_t nx_vr_implicit(nx_tag tag);

/* Two capital letters: a VR of some edition of the standard, known or not. */
static inline bool nx_vr_is_word(const uint8_t *p)
{
	return p[0] >= 'A' && p[0] <= 'Z' && p[1] >= 'A' && p[1] <= 'Z';
}

static inline uint16_t nx_tag_group(nx_tag tag)
{
	return (uint16_t)(tag >> 16);
}

static inline bool nx_tag_private(nx_tag tag)
{
	return tag >> 16 & 1;
}

static inline bool nx_tag_private_creator(nx_tag tag)
{
	return nx_tag_private(tag) && (tag & 0xffff) >= 0x10 && (tag & 0xffff) <= 0xff;
}

static inline uint16_t nx_get_u16(const uint8_t *p, bool be)
{
	return (uint16_t)(be ? p[0] << 8 | p[1] : p[1] << 8 | p[0]);
}

static inline uint32_t nx_get_u32(const uint8_t *p, bool be)
{
	uint32_t a = nx_get_u16(p, be), b = nx_get_u16(p + 2, be);

	return be ? a << 16 | b : b << 16 | a;
}

/* ---- text ---- */

struct nx_buf;

/* The whole value of a text element in UTF-8; lies in `scratch`, which is cleared first. */
NX_NODISCARD nx_rc nx_text_get(const struct nx_dataset *ds, const struct nx_elem *elem,
	struct nx_buf *scratch, struct nx_slice *ret, struct nx_err *err);
/* Cut the next of the values of `rest`, without padding; false after the last.  Start with
 * *more = true. */
bool nx_text_next(
	const struct nx_vr_info *info, struct nx_slice *rest, bool *more, struct nx_slice *ret);
bool nx_text_int(struct nx_slice text, int64_t *ret);
/* The `i`th value of US, UL, SS, SL, UV below 2^63, SV. */
bool nx_binary_int(const struct nx_elem *elem, size_t i, int64_t *ret);

/* ---- trees ---- */

/*
 * A data set that is being built, and the sequence that it is an item of.  Elements come in any
 * order; of equal tags that with the highest bulk_offset stays.
 */
struct nx_level {
	struct nx_elem *elems;
	size_t n_elems;
	size_t cap_elems;
	struct nx_dataset **items; /* of the sequence that this level's data sets are in */
	size_t n_items;
	size_t cap_items;
	struct nx_slice charset;
};

struct nx_elem *nx_level_elem(struct nx_level *level); /* one more; NULL without memory */
/* What was built, in `arena`; NULL without memory. */
struct nx_dataset *nx_level_close(struct nx_level *level, struct nx_arena *arena);
bool nx_level_item(struct nx_level *level, struct nx_arena *arena); /* the same, as an item */
/* The items so far are those of `ret`. */
bool nx_level_items(const struct nx_level *level, struct nx_arena *arena, struct nx_elem *ret);
void nx_level_done(struct nx_level *level);

/* PS3.18 F.2.2: group lengths, meta information and padding are of the encoding, not the data. */
static inline bool nx_tag_is_encoding(nx_tag tag)
{
	return (tag & 0xffff) == 0 || nx_tag_group(tag) == 2 || nx_tag_group(tag) == 0xfffe ||
		tag == NX_TAG_DATA_SET_TRAILING_PADDING;
}

/* ---- parser internals ---- */

/* The byte order of the element last announced. */
bool nx_dicom_big_endian(const struct nx_dicom_parser *parser);

#endif

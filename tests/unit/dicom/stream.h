/* stream.h - DICOM streams for tests, element by element. */
#ifndef NX_TEST_DICOM_STREAM_H
#define NX_TEST_DICOM_STREAM_H

#include <string.h>

#include "base/buf.h"
#include "dicom/dicom.h"

enum {
	UNDEFINED = -1
};

static inline void put_tag(struct nx_buf *out, nx_tag tag)
{
	nx_buf_put_u16le(out, (uint16_t)(tag >> 16));
	nx_buf_put_u16le(out, (uint16_t)(tag & 0xffff));
}

/* Header of an element in explicit VR little endian. */
static inline void put_head(struct nx_buf *out, nx_tag tag, const char *vr, int64_t length)
{
	put_tag(out, tag);
	nx_buf_put(out, vr, 2);
	if (strstr("OB OW OF OD OL OV SQ UN UC UR UT SV UV", vr)) {
		nx_buf_put_u16le(out, 0);
		nx_buf_put_u32le(out, (uint32_t)length);
	} else {
		nx_buf_put_u16le(out, (uint16_t)length);
	}
}

static inline void put_elem(struct nx_buf *out, nx_tag tag, const char *vr, const char *value)
{
	put_head(out, tag, vr, (int64_t)strlen(value));
	nx_buf_put_str(out, value);
}

/* Header of an element in implicit VR; also items and delimiters. */
static inline void put_implicit(struct nx_buf *out, nx_tag tag, int64_t length)
{
	put_tag(out, tag);
	nx_buf_put_u32le(out, (uint32_t)length);
}

static inline void put_fill(struct nx_buf *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		nx_buf_put_u8(out, (uint8_t)(i * 7 + 1));
}

static inline void put_meta(struct nx_buf *out, const char *ts_uid)
{
	nx_buf_put_zero(out, 128);
	nx_buf_put_str(out, "DICM");
	put_head(out, NX_TAG_TRANSFER_SYNTAX_UID, "UI",
		(int64_t)(strlen(ts_uid) + strlen(ts_uid) % 2));
	nx_buf_put(out, ts_uid, strlen(ts_uid) + strlen(ts_uid) % 2);
}

#endif

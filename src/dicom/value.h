/*
 * value.h - is a text a value of an attribute (PS3.5 6.2)?
 *
 * Layer:   1 (dicom).
 * Threads: safe.
 * PHI:     values may be of a patient; errors name the tag alone.
 */
#ifndef NX_DICOM_VALUE_H
#define NX_DICOM_VALUE_H

#include "dicom/dicom.h"

/* Characters of the `n` bytes of UTF-8 at `s`; SIZE_MAX: control characters are among them, also
 * those of ISO 6429 (U+0080 to U+009F); `lines`: but those of text in lines. */
size_t nx_value_chars(const char *s, size_t n, bool lines);
/* `value` in UTF-8, values with backslashes between; "" is one.  NX_E_INVAL: the attribute is
 * unknown or has no text value, or these are none of it. */
NX_NODISCARD nx_rc nx_value_check(nx_tag tag, const char *value, struct nx_err *err);

#endif

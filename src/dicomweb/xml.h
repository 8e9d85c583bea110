/*
 * xml.h - the Native DICOM Model (PS3.19 A.1) of what is there as DICOM JSON.
 *
 * Layer:   4 (dicomweb), private.
 * Threads: pure functions.
 * PHI:     yes.
 *
 * Both models say the same (PS3.18 F), so there is one writer of data sets, and this turns its text
 * into the other form, numbers as they were written.
 */
#ifndef NX_DICOMWEB_XML_H
#define NX_DICOMWEB_XML_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Text as XML 1.0 takes it: escaped, and what no XML may have as U+FFFD. */
void dw_xml_text(struct nx_buf *out, struct nx_slice text);

/*
 * The next object of `json` ("{...},{...}", maybe with brackets around), which goes behind it, as a
 * document; *ret_any false: there is none left.  NX_E_MALFORMED: it is no DICOM JSON.
 */
NX_NODISCARD nx_rc dw_xml_next(
	struct nx_slice *json, struct nx_buf *out, bool *ret_any, struct nx_err *err);

#endif

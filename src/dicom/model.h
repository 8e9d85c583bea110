/*
 * model.h - data sets from the DICOM JSON Model (PS3.18 Annex F) and the Native DICOM Model in XML
 * (PS3.19 A.1), as they arrive.
 *
 * Layer:   1 (dicom).  Uses base, expat.
 * Threads: a reader belongs to one thread at a time.
 * PHI:     values pass through; errors name tags only.
 */
#ifndef NX_DICOM_MODEL_H
#define NX_DICOM_MODEL_H

#include "dicom/dicom.h"

/*
 * One data set.  Text is UTF-8, and (0008,0005) says so where that matters; binary values are
 * little endian.  A value that is elsewhere is bulk: nx_elem.value is its BulkDataURI.  What is of
 * an encoding and not of the data (group lengths, group 0002) and (0008,3002), which services add,
 * is left out.
 */
struct nx_model {
	struct nx_arena *arena; /* holds everything */
	struct nx_dataset *ds;  /* NULL only without memory */
	nx_rc rc; /* the data set is no good, and why; `ds` is what was understood of it */
	struct nx_err err;
};
struct nx_model *nx_model_free(struct nx_model *model);
NX_DEFINE_AUTO(nx_model);

/* Takes the model.  A failure ends the reading. */
typedef nx_rc (*nx_model_fn)(void *payload, struct nx_model *model, struct nx_err *err);

struct nx_model_reader;

/* An array of data sets, or one. */
NX_NODISCARD nx_rc nx_model_json_new(
	nx_model_fn fn, void *payload, struct nx_model_reader **ret_reader, struct nx_err *err);
/* One data set. */
NX_NODISCARD nx_rc nx_model_xml_new(
	nx_model_fn fn, void *payload, struct nx_model_reader **ret_reader, struct nx_err *err);
struct nx_model_reader *nx_model_reader_free(struct nx_model_reader *reader);
NX_DEFINE_AUTO(nx_model_reader);

/* NX_E_MALFORMED: neither JSON nor XML, or of another form than the model's. */
NX_NODISCARD nx_rc nx_model_feed(
	struct nx_model_reader *reader, const void *p, size_t n, struct nx_err *err);
NX_NODISCARD nx_rc nx_model_finish(struct nx_model_reader *reader, struct nx_err *err);

#endif

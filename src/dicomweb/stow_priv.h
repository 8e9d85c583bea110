/*
 * stow_priv.h - one store request, and what the forms of its parts share.
 *
 * Layer:   4 (dicomweb), private.
 * Threads: everything here belongs to one request.
 * PHI:     yes.
 */
#ifndef NX_DICOMWEB_STOW_PRIV_H
#define NX_DICOMWEB_STOW_PRIV_H

#include "dicom/model.h"
#include "dicomweb/dicomweb_priv.h"
#include "pixel/image_file.h"

enum {
	STOW_WINDOW = 64,    /* jobs submitted and not yet answered */
	STOW_PARTS = 100000, /* instances of one request */
};

struct nx_pixelbox;
struct stow_models; /* of instances that come as metadata and bulk data */

struct store {
	struct dw_call call;
	struct nx_ingest_opts opts;
	struct nx_ingest_job *window[STOW_WINDOW]; /* a ring: first is the oldest */
	size_t first;
	size_t n;
	struct nx_ingest_job *now; /* of the part that arrives; NULL: it is not taken */
	nx_rc now_rc;              /* why not */
	bool in_part;              /* of a whole file */
	size_t n_parts;
	struct stow_models *models; /* NULL: no metadata came */
	struct dw_report report;
};

/* ---- stow.c ---- */

/* A collection that is not there or not the caller's, or too many instances, ends the request ...
 */
NX_NODISCARD nx_rc stow_begin(struct store *s, struct nx_ingest_job **ret_job, struct nx_err *err);
bool stow_is_over(nx_rc rc); /* ... what is wrong with one instance does not. */
/* Takes the job. */
void stow_submitted(struct store *s, struct nx_ingest_job *job);
/* Takes the job, which says in the ledger why; NULL: it never had one. */
void stow_failed(struct store *s, struct nx_ingest_job *job, nx_rc rc);

/* ---- stow_model.c: metadata and bulk data ---- */

bool stow_is_model(const char *content_type);
/* Metadata, or after metadata anything: bulk data has many media types. */
bool stow_model_takes(const struct store *s, const char *content_type);
NX_NODISCARD nx_rc stow_model_part(struct store *s, const char *content_type,
	const char *content_location, struct nx_err *err);
NX_NODISCARD nx_rc stow_model_data(struct store *s, struct nx_slice data, struct nx_err *err);
NX_NODISCARD nx_rc stow_model_part_end(struct store *s, struct nx_err *err);
/* No more parts come. */
NX_NODISCARD nx_rc stow_model_finish(struct store *s, struct nx_err *err);
/* Instances that still wait for a part fail, for `rc` where the request broke off. */
void stow_model_fail(struct store *s, nx_rc rc);
void stow_model_done(struct store *s);

/* ---- stow_pixels.c: bulk parts that are frames ---- */

struct stow_pixels {
	struct nx_ingest_value *value;
	struct nx_ingest_hold *hold;
	struct nx_buf fragment;        /* that is being received */
	char ts_uid[NX_LIMIT_UID + 1]; /* "": uncompressed */
	bool whole;                    /* a part is one fragment, however long */
	bool began;                    /* with compressed frames ... */

	bool is_image; /* ... or with files of this form */
	enum nx_image_form form;
	unsigned samples; /* that metadata say there are; 0: they do not */
	struct nx_pixelbox *box;
	struct nx_pixel_desc desc; /* of all that came; frames 0: nothing yet */
	struct nx_buf delays;      /* of each frame, as nx_image_read() has them */
};

struct stow_pixels_opts {
	struct nx_ingest_value *value;
	struct nx_ingest_hold *hold;
	struct nx_pixelbox *box;
	const struct nx_dataset *ds;
};
void stow_pixels_init(struct stow_pixels *p, const struct stow_pixels_opts *opts);
void stow_pixels_done(struct stow_pixels *p);
/* The transfer syntax is that of all parts of the value: NX_E_CONFLICT. */
NX_NODISCARD nx_rc stow_pixels_part(
	struct stow_pixels *p, const char *content_type, struct nx_err *err);
NX_NODISCARD nx_rc stow_pixels_put(struct stow_pixels *p, struct nx_slice data, struct nx_err *err);
NX_NODISCARD nx_rc stow_pixels_part_end(struct stow_pixels *p, struct nx_err *err);
NX_NODISCARD nx_rc stow_pixels_end(struct stow_pixels *p, struct nx_err *err);

/* ---- stow_image.c: bulk parts that are PNG or GIF files ---- */

/* A file is there, in p->fragment: its frames go to the value. */
NX_NODISCARD nx_rc stow_image_end(struct stow_pixels *p, struct nx_err *err);
/* The data set says what the image is, or it does not agree: NX_E_MALFORMED.  model->ds becomes
 * another one. */
NX_NODISCARD nx_rc stow_image_describe(
	struct nx_model *model, const struct stow_pixels *p, struct nx_err *err);

#endif

/*
 * dicomweb_priv.h - what the files of this module share.
 *
 * Layer:   4 (dicomweb), private.
 * Threads: everything here belongs to one request.
 * PHI:     yes.
 */
#ifndef NX_DICOMWEB_DICOMWEB_PRIV_H
#define NX_DICOMWEB_DICOMWEB_PRIV_H

#include "access/access.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "catalog/catalog.h"
#include "dicom/dicom.h"
#include "dicomweb/dicomweb.h"
#include "ingest/ingest.h"
#include "ledger/ledger.h"
#include "retrieve/render.h"
#include "retrieve/retrieve.h"

#define DW_DICOM_JSON "application/dicom+json"
#define DW_DICOM_XML  "application/dicom+xml"

/* The forms of metadata and query results, as offers and content types. */
enum dw_model {
	DW_MODEL_JSON,
	DW_MODEL_PLAIN_JSON, /* the same, as viewers ask for it */
	DW_MODEL_XML,        /* a part for each */
	DW_MODELS
};
extern const char *const dw_models[DW_MODELS];

/* ---- common.c: what every handler starts with ---- */

struct dw_call {
	struct nx_http_req *req;
	const struct nx_dicomweb *mount;
	const struct nx_principal *who;
	const char *collection;
	const char *base_url; /* of the collection's root, without a slash at the end */
};

NX_NODISCARD nx_rc dw_call_init(
	struct nx_http_req *req, struct dw_call *ret_call, struct nx_err *err);
/* {study}, {series}, {instance}: those that the route's path has.  NX_E_INVAL: no UIDs. */
NX_NODISCARD nx_rc dw_selection(
	const struct dw_call *call, struct nx_selection *ret, struct nx_err *err);
/* Index of the offer for `accept` in query or header (PS3.18 8.3.3.1).  NX_E_NOT_ACCEPTABLE. */
NX_NODISCARD nx_rc dw_accept(const struct dw_call *call, const char *const *offers, size_t n,
	size_t *ret_i, struct nx_err *err);
/*
 * ETag of the selection in the form that `salt` says, Last-Modified where there is one, and caching
 * by the client alone, who asks each time, so that every use is decided and recorded.  *ret_known:
 * by If-None-Match or If-Modified-Since it has this; the answer is dw_reply_known().
 */
NX_NODISCARD nx_rc dw_validate(const struct dw_call *call, const struct nx_instances *instances,
	const char *salt, char etag[72], bool *ret_known, struct nx_err *err);
enum dw_validate_flags {
	DW_UNDATED = 1,  /* other instances are part of it too */
	DW_NO_STORE = 2, /* it names a patient where data do not have to: no cache keeps it */
};
NX_NODISCARD nx_rc dw_validate_as(const struct dw_call *call, const struct nx_instances *instances,
	const char *salt, unsigned flags, char etag[72], bool *ret_known, struct nx_err *err);
nx_rc dw_reply_known(const struct dw_call *call);
/* The range asked for, unless If-Range names another ETag.  *ret_status 200 or 206; sets
 * Content-Range. */
NX_NODISCARD nx_rc dw_range(const struct dw_call *call, const char *etag, uint64_t size,
	uint64_t *ret_off, uint64_t *ret_len, int *ret_status, struct nx_err *err);
/* RFC 7234 5.5, PS3.18 8.5: 299 and who says it.  `names` may be NULL. */
void dw_warn(const struct dw_call *call, const char *text, const char *names);
/* Is `content_type` that media type, whatever its parameters? */
bool dw_media_is(const char *content_type, const char *media);

/* One attribute with an unsigned value, as DICOM JSON. */
void dw_json_uint(struct nx_json *json, nx_tag tag, const char *vr, uint64_t v);
/* A sequence whose items are there as one JSON array. */
void dw_json_seq(struct nx_json *json, nx_tag tag, struct nx_slice items);

/* ---- qido.c: query parameters to keys ---- */

struct dw_query {
	unsigned level;
	struct nx_find_key keys[NX_LIMIT_QUERY_KEYS];
	size_t n_keys;
	struct nx_dataset *sequences; /* keys that are in sequences; NULL: none */
	size_t n_paths;               /* how often they were named */
	bool fuzzy;
	unsigned limit;
	unsigned offset;
	bool with_study;
	bool with_series;
	struct nx_buf ignored; /* names of parameters that are not matched, for the Warning */
};

void dw_query_init(struct dw_query *query, unsigned level);
void dw_query_done(struct dw_query *query);
/* qido_path.c: "Sequence.Attribute"; *ret_taken is false where that cannot be matched.  `value` is
 * borrowed.  NX_E_LIMIT. */
NX_NODISCARD nx_rc dw_query_path(struct dw_query *query, const char *name, const char *value,
	struct nx_arena *arena, bool *ret_taken, struct nx_err *err);
/* Give the sequence out, where it is one that the level has. */
NX_NODISCARD nx_rc dw_query_include(
	struct dw_query *query, nx_tag tag, struct nx_arena *arena, struct nx_err *err);
/* One parameter; strings from `arena` or borrowed.  NX_E_INVAL, NX_E_LIMIT. */
NX_NODISCARD nx_rc dw_query_param(struct dw_query *query, const char *name, const char *value,
	struct nx_arena *arena, struct nx_err *err);

/* ---- stow_report.c: the Store Instances Response (PS3.18 10.5.3.3, PS3.3 I.2.2) ---- */

struct dw_report {
	struct nx_json stored_json;
	struct nx_buf stored; /* items of (0008,1199) */
	struct nx_json failed_json;
	struct nx_buf failed; /* of (0008,1198) */
	struct nx_json others_json;
	struct nx_buf others;         /* of (0008,119A): failures without UIDs */
	char study[NX_LIMIT_UID + 1]; /* of the first one stored */
	size_t n_stored;
	size_t n_failed;
	nx_rc failure; /* of the last failure, as long as all were retryable */
	bool all_retryable;
};

void dw_report_init(struct dw_report *report);
void dw_report_done(struct dw_report *report);
void dw_report_stored(
	struct dw_report *report, const char *base_url, const struct nx_ingest_result *result);
/* Not stored as an instance, and kept: a failure with the number it is kept under. */
void dw_report_quarantined(struct dw_report *report, const struct nx_ingest_result *result);
/* `expect`: study of the path, or NULL. */
void dw_report_failed(struct dw_report *report, const struct nx_ingest_result *known, nx_rc why,
	const char *expect);
int dw_report_status(const struct dw_report *report);
void dw_report_format(const struct dw_report *report, const char *base_url, struct nx_json *json);

/* ---- stream.c: response bodies made while they are sent ---- */

struct dw_stream;

/* Where the parts of a body come from. */
struct dw_source {
	/* UINT64_MAX: it will be known when the part has been gone to, or at its end. */
	uint64_t (*len)(void *payload, size_t i);
	/* The value of the part's Content-Type, and further header lines. */
	void (*head)(void *payload, size_t i, struct nx_buf *out);
	nx_rc (*at)(void *payload, size_t i, struct nx_err *err); /* go to it */
	/* Of the part at hand, from where the last call ended; *ret_n is 0 only at its end. */
	nx_rc (*read)(
		void *payload, uint64_t off, void *p, size_t n, size_t *ret_n, struct nx_err *err);
	void (*free)(void *payload);
};

struct dw_parts {
	size_t n;
	const char *media;   /* the type of multipart/related; NULL: one body */
	uint64_t from, take; /* bytes of each; take UINT64_MAX: all */
};
/* Where lengths are not known it goes to the first part at once, so that what cannot be given is an
 * error and no broken body.  Takes the payload, also on failure. */
NX_NODISCARD nx_rc dw_stream_of(const struct dw_source *source, void *payload,
	const struct dw_parts *parts, struct dw_stream **ret_stream, struct nx_err *err);

/* What is sent of each instance. */
struct dw_form {
	const char *media; /* of every part: "application/dicom" */
	bool with_syntax;  /* "; transfer-syntax=" behind it */
	bool multipart;
	/* What each is made into, copied; literals of the service's tables, or the stored ones.
	 * NULL: all are given as they are stored. */
	const char *const *syntaxes;
	uint64_t off; /* of the only instance, ... */
	uint64_t len; /* ... or UINT64_MAX: all bytes of all instances */
};

/* Takes the instances.  `base_url` is copied. */
NX_NODISCARD nx_rc dw_stream_new(struct nx_instances *instances, const char *base_url,
	const struct dw_form *form, struct dw_stream **ret_stream, struct nx_err *err);
struct dw_stream *dw_stream_free(struct dw_stream *stream);
NX_DEFINE_AUTO(dw_stream);
uint64_t dw_stream_length(const struct dw_stream *stream);
nx_rc dw_stream_read(void *payload, void *p, size_t n, size_t *ret_n, struct nx_err *err);
/* Send it; the stream is the response's from here.  `content_type`: where it is not multipart. */
nx_rc dw_stream_reply(
	const struct dw_call *call, int status, struct dw_stream *stream, const char *content_type);

/* ---- wado.c ---- */

/* The only instance of a selection as one file in this transfer syntax, or, in the stored one, a
 * range of it.  Takes the instances. */
nx_rc dw_reply_file(const struct dw_call *call, struct nx_instances *instances, const char *ts_uid,
	struct nx_err *err);

/* ---- wado_rendered.c ---- */

/* An image of an instance by WADO-URI. */
struct dw_image {
	struct nx_rendering how;
	const char *media;           /* "image/jpeg", "image/png", "image/gif" */
	uint32_t frame;              /* from 1; 0: the one that stands for it, or all in a GIF */
	struct nx_instances *states; /* a presentation state that it is shown by; NULL: none */
};
struct nx_render_source dw_render_source(const struct dw_call *call);
/* The only instance of a selection as one image.  Takes the instances, and the states. */
nx_rc dw_reply_image(const struct dw_call *call, struct nx_instances *instances,
	const struct dw_image *image, struct nx_err *err);

/* ---- wado_frames.c ---- */

/* Numbers from 1 on, as frames from 0 on; from `arena`.  NX_E_INVAL. */
NX_NODISCARD nx_rc dw_frame_list(const char *text, struct nx_arena *arena, uint32_t **ret,
	size_t *ret_n, struct nx_err *err);
/* The media type of frames in an encapsulated transfer syntax (PS3.18 Table 8.7.3-5, and the older
 * ones that clients still name); NULL past the last. */
const char *dw_frame_media(const char *ts_uid, size_t i);

/* ---- rendering.c: parameters of rendered resources (PS3.18 8.3.5.1) ---- */

/* "center,width,function"; "columns,rows,left,top,width,height", of which the first two are enough.
 * NX_E_INVAL. */
NX_NODISCARD nx_rc dw_window_parse(const char *text, struct nx_rendering *ret, struct nx_err *err);
NX_NODISCARD nx_rc dw_viewport_parse(const char *text, struct nx_viewport *ret, struct nx_err *err);
/* "patient,technique"; false: there was something else too. */
bool dw_annotation_parse(const char *text, struct nx_rendering *ret);
/* The same as WADO-URI has it (9.5.1.2): `columns` and `rows` of the image, which `region` is part
 * of. */
NX_NODISCARD nx_rc dw_rendering_read_uri(const struct dw_call *call, uint32_t columns,
	uint32_t rows, struct nx_rendering *ret, struct nx_err *err);
/* All of the request; what is not followed and may be passed over gets a Warning.  NX_E_INVAL,
 * NX_E_NOT_ACCEPTABLE. */
NX_NODISCARD nx_rc dw_rendering_read(
	const struct dw_call *call, struct nx_rendering *ret, struct nx_err *err);

/* ---- parts of XML: a body that is made piece by piece ---- */

enum {
	DW_BOUNDARY = 33
};

void dw_boundary(char ret[DW_BOUNDARY]);
/* Content-Type of the whole. */
const char *dw_xml_type(struct nx_arena *arena, const char *boundary);
/* DICOM JSON objects as parts; what ends the body. */
NX_NODISCARD nx_rc dw_xml_parts(
	struct nx_slice json, const char *boundary, struct nx_buf *out, struct nx_err *err);
void dw_xml_end(const char *boundary, struct nx_buf *out);

/* ---- handlers, for the table in routes.c ---- */

nx_rc dw_store(struct nx_http_req *req, struct nx_err *err);
nx_rc dw_find(struct nx_http_req *req, struct nx_err *err);
nx_rc dw_get_instances(struct nx_http_req *req, struct nx_err *err);
nx_rc dw_get_uri(struct nx_http_req *req, struct nx_err *err);
nx_rc dw_get_frames(struct nx_http_req *req, struct nx_err *err);
nx_rc dw_get_bulkdata(struct nx_http_req *req, struct nx_err *err);
nx_rc dw_commit(struct nx_http_req *req, struct nx_err *err);
nx_rc dw_commitment(struct nx_http_req *req, struct nx_err *err);
nx_rc dw_changefeed(struct nx_http_req *req, struct nx_err *err);
nx_rc dw_changefeed_latest(struct nx_http_req *req, struct nx_err *err);
nx_rc dw_rendered(struct nx_http_req *req, struct nx_err *err);
nx_rc dw_thumbnail(struct nx_http_req *req, struct nx_err *err);
nx_rc dw_metadata(struct nx_http_req *req, struct nx_err *err);
nx_rc dw_delete(struct nx_http_req *req, struct nx_err *err);
nx_rc dw_capabilities(struct nx_http_req *req, struct nx_err *err);

#endif

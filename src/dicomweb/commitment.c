/*
 * Storage commitment (PS3.18 13).  What the site acknowledged is durable, so the result is there
 * with the answer to the request.
 */
#include "base/arena.h"
#include "dicom/model.h"
#include "dicomweb/dicomweb_priv.h"
#include "dicomweb/xml.h"

enum {
	REQUEST_MAX = 16 * 1024 * 1024,
	RESULT_MAX = 64 * 1024 * 1024,
	RESULT_ARENA = 128 * 1024 * 1024
};

#define TAG_TRANSACTION NX_TAG(0x0008, 0x1195)

/* ---- the request ---- */

struct request {
	struct nx_model *model;
	const char *transaction;
	struct nx_held *refs;
	size_t n;
};

static nx_rc on_model(void *payload, struct nx_model *model, struct nx_err *err)
{
	struct request *r = payload;

	if (r->model) {
		nx_model_free(model);
		return nx_err_set(err, NX_E_MALFORMED, "more than one data set");
	}
	r->model = model;
	if (model->rc && err)
		*err = model->err;
	return model->rc;
}

static nx_rc reader_new(const struct dw_call *call, struct request *r, struct nx_model_reader **ret,
	struct nx_err *err)
{
	const char *type = nx_http_header(call->req, "Content-Type");

	if (type && dw_media_is(type, DW_DICOM_XML))
		return nx_model_xml_new(on_model, r, ret, err);
	if (type && (dw_media_is(type, DW_DICOM_JSON) || dw_media_is(type, "application/json")))
		return nx_model_json_new(on_model, r, ret, err);
	return nx_err_set(err, NX_E_UNSUPPORTED, "a request is DICOM JSON or XML");
}

static nx_rc body_read(const struct dw_call *call, struct request *r, struct nx_err *err)
{
	NX_AUTO(nx_model_reader) *reader = NULL;
	struct nx_slice data = {NULL, 1};
	size_t n = 0;
	nx_rc rc = reader_new(call, r, &reader, err);

	while (!rc && data.n) {
		rc = nx_http_body_next(call->req, &data, err);
		n += data.n;
		if (!rc && n > REQUEST_MAX)
			rc = nx_err_set(
				err, NX_E_LIMIT, "a request larger than %d bytes", REQUEST_MAX);
		if (!rc && data.n)
			rc = nx_model_feed(reader, data.p, data.n, err);
	}
	if (!rc)
		rc = nx_model_finish(reader, err);
	return rc || r->model ? rc : nx_err_set(err, NX_E_MALFORMED, "no data set");
}

static const char *uid_of(const struct nx_dataset *ds, nx_tag tag, struct nx_arena *arena)
{
	const char *uid = nx_dataset_text(ds, tag, arena);

	return uid && nx_uid_valid(uid, strlen(uid)) ? uid : NULL;
}

static nx_rc refs_take(struct request *r, struct nx_err *err)
{
	const struct nx_elem *seq = nx_dataset_find(r->model->ds, NX_TAG_REFERENCED_SOP_SEQUENCE);
	size_t n = seq ? seq->n_items : 0;

	if (!n)
		return nx_err_set(err, NX_E_INVAL, "no reference at (0008,1199)");
	r->refs = nx_arena_alloc_array(r->model->arena, n, sizeof(*r->refs));
	if (!r->refs)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	for (; r->n < n; r->n++) {
		struct nx_held *ref = &r->refs[r->n];

		ref->sop_class =
			uid_of(seq->items[r->n], NX_TAG_REFERENCED_SOP_CLASS_UID, r->model->arena);
		ref->sop_instance = uid_of(
			seq->items[r->n], NX_TAG_REFERENCED_SOP_INSTANCE_UID, r->model->arena);
		if (!ref->sop_class || !ref->sop_instance)
			return nx_err_set(
				err, NX_E_INVAL, "no UIDs in item %zu of (0008,1199)", r->n + 1);
	}
	return NX_OK;
}

static nx_rc transaction_take(const struct dw_call *call, struct request *r, struct nx_err *err)
{
	r->transaction = nx_http_param(call->req, "transaction");
	return nx_uid_valid(r->transaction, strlen(r->transaction))
		? NX_OK
		: nx_err_set(err, NX_E_INVAL, "the transaction is no UID");
}

/* ---- the result ---- */

static void items_put(
	struct nx_json *json, const struct nx_held *refs, size_t n, bool failed, struct nx_buf *out)
{
	nx_json_init(json, out);
	nx_json_array_begin(json);
	for (size_t i = 0; i < n; i++) {
		if (failed != (refs[i].reason != 0))
			continue;
		nx_json_object_begin(json);
		nx_json_dicom_text(json, NX_TAG_REFERENCED_SOP_CLASS_UID, refs[i].sop_class);
		nx_json_dicom_text(json, NX_TAG_REFERENCED_SOP_INSTANCE_UID, refs[i].sop_instance);
		if (failed)
			dw_json_uint(json, NX_TAG_FAILURE_REASON, "US", refs[i].reason);
		nx_json_object_end(json);
	}
	nx_json_array_end(json);
}

static nx_rc result_format(const char *transaction, const struct nx_held *refs, size_t n,
	struct nx_buf *out, struct nx_err *err)
{
	static const nx_tag tags[] = {NX_TAG_FAILED_SOP_SEQUENCE, NX_TAG_REFERENCED_SOP_SEQUENCE};
	NX_AUTO_DONE(nx_buf) items;
	struct nx_json json, inner;
	nx_rc rc = NX_OK;

	nx_buf_init(&items, RESULT_MAX, NX_BUF_WIPE);
	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_dicom_text(&json, TAG_TRANSACTION, transaction);
	for (size_t i = 0; i < NX_ARRAY_LEN(tags) && !rc; i++) {
		nx_buf_clear(&items);
		items_put(&inner, refs, n, i == 0, &items);
		rc = nx_buf_check(&items, err);
		if (!rc && items.len > 2)
			dw_json_seq(&json, tags[i], nx_buf_slice(&items));
	}
	nx_json_object_end(&json);
	return rc ? rc : nx_buf_check(out, err);
}

static nx_rc xml_reply(const struct dw_call *call, struct nx_slice json, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) xml;
	bool any;
	nx_rc rc;

	nx_buf_init(&xml, RESULT_MAX, NX_BUF_WIPE);
	rc = dw_xml_next(&json, &xml, &any, err);
	return rc ? rc : nx_http_reply(call->req, 200, DW_DICOM_XML, nx_buf_slice(&xml));
}

static nx_rc reply(const struct dw_call *call, size_t form, const char *transaction,
	const struct nx_held *refs, size_t n, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) out;
	nx_rc rc;

	nx_buf_init(&out, RESULT_MAX, NX_BUF_WIPE);
	rc = result_format(transaction, refs, n, &out, err);
	if (rc)
		return rc;
	return form == 1 ? xml_reply(call, nx_buf_slice(&out), err)
			 : nx_http_reply(call->req, 200, DW_DICOM_JSON, nx_buf_slice(&out));
}

static nx_rc call_begin(struct nx_http_req *req, struct dw_call *call, struct request *r,
	size_t *ret_form, struct nx_err *err)
{
	static const char *const forms[] = {DW_DICOM_JSON, DW_DICOM_XML, "application/json"};
	nx_rc rc = dw_call_init(req, call, err);

	if (!rc)
		rc = transaction_take(call, r, err);
	return rc ? rc : dw_accept(call, forms, NX_ARRAY_LEN(forms), ret_form, err);
}

nx_rc dw_commit(struct nx_http_req *req, struct nx_err *err)
{
	struct request r = {.n = 0};
	struct dw_call call;
	size_t form = 0;
	nx_rc rc = call_begin(req, &call, &r, &form, err);

	if (!rc)
		rc = body_read(&call, &r, err);
	if (!rc)
		rc = refs_take(&r, err);
	if (!rc)
		rc = nx_retrieve_commit(call.mount->retrieve, call.who, call.collection,
			r.transaction, r.refs, r.n, err);
	if (!rc)
		rc = reply(&call, form, r.transaction, r.refs, r.n, err);
	nx_model_free(r.model);
	return rc;
}

nx_rc dw_commitment(struct nx_http_req *req, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(RESULT_ARENA, NX_ARENA_WIPE);
	struct request r = {.n = 0};
	struct nx_held_list held;
	struct dw_call call;
	size_t form = 0;
	nx_rc rc = call_begin(req, &call, &r, &form, err);

	if (!rc && !arena)
		rc = nx_err_set(err, NX_E_NOMEM, "no memory for a commitment");
	if (!rc)
		rc = nx_retrieve_commitment(call.mount->retrieve, call.who, call.collection,
			r.transaction, arena, &held, err);
	return rc ? rc : reply(&call, form, r.transaction, held.refs, held.n, err);
}

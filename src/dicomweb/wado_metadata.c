/*
 * WADO-RS metadata (PS3.18 10.4.1.1.2): made while it is sent, a few instances at a time, so that
 * memory does not grow with the study.  The first ones are made before the status is: what cannot
 * be given at all is an error, not a broken body.
 */
#include <string.h>

#include "base/arena.h"
#include "dicomweb/dicomweb_priv.h"

enum {
	PIECE_LEN = 1024 * 1024,
	PIECE_MAX = 512 * 1024 * 1024
};

struct metadata {
	struct nx_instances *instances;
	char *base_url;
	enum dw_model model;
	char boundary[DW_BOUNDARY];
	struct nx_buf piece;
	size_t piece_at;
	size_t next; /* instance */
	bool closed;
};

static struct metadata *metadata_free(struct metadata *m)
{
	if (!m)
		return NULL;
	nx_instances_free(m->instances);
	nx_buf_done(&m->piece);
	free(m->base_url);
	free(m);
	return NULL;
}
NX_DEFINE_AUTO(metadata);

static nx_rc json_step(struct metadata *m, struct nx_err *err)
{
	nx_rc rc;

	nx_buf_put_u8(&m->piece, m->next ? ',' : '[');
	rc = nx_instances_metadata(
		m->instances, m->next, PIECE_LEN, m->base_url, &m->piece, &m->next, err);
	m->closed = m->next == nx_instances_n(m->instances);
	if (m->closed)
		nx_buf_put_u8(&m->piece, ']');
	return rc;
}

static nx_rc xml_step(struct metadata *m, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) json;
	nx_rc rc;

	nx_buf_init(&json, PIECE_MAX, NX_BUF_WIPE);
	rc = nx_instances_metadata(
		m->instances, m->next, PIECE_LEN, m->base_url, &json, &m->next, err);
	if (!rc)
		rc = dw_xml_parts(nx_buf_slice(&json), m->boundary, &m->piece, err);
	m->closed = m->next == nx_instances_n(m->instances);
	if (m->closed)
		dw_xml_end(m->boundary, &m->piece);
	return rc;
}

static nx_rc step(struct metadata *m, struct nx_err *err)
{
	nx_rc rc;

	nx_buf_clear(&m->piece);
	m->piece_at = 0;
	rc = m->model == DW_MODEL_XML ? xml_step(m, err) : json_step(m, err);
	return rc ? rc : nx_buf_check(&m->piece, err);
}

static nx_rc metadata_read(void *payload, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	struct metadata *m = payload;
	nx_rc rc = NX_OK;

	if (m->piece_at == m->piece.len && !m->closed)
		rc = step(m, err);
	if (rc)
		return rc;
	if (n > m->piece.len - m->piece_at)
		n = m->piece.len - m->piece_at;
	memcpy(p, m->piece.data + m->piece_at, n);
	m->piece_at += n;
	*ret_n = n;
	return NX_OK;
}

static void metadata_done(void *payload, uint64_t sent, bool complete)
{
	(void)sent;
	(void)complete;
	metadata_free(payload);
}

static nx_rc metadata_new(struct nx_instances *instances, const char *base_url,
	struct metadata **ret, struct nx_err *err)
{
	struct metadata *m = calloc(1, sizeof(*m));

	if (m)
		m->base_url = strdup(base_url);
	if (!m || !m->base_url) {
		free(m);
		nx_instances_free(instances);
		return nx_err_set(err, NX_E_NOMEM, "no memory for metadata");
	}
	m->instances = instances;
	dw_boundary(m->boundary);
	nx_buf_init(&m->piece, PIECE_MAX, NX_BUF_WIPE);
	*ret = m;
	return NX_OK;
}

/* Which model, and whether the client has it. */
static nx_rc negotiate(
	const struct dw_call *call, struct metadata *m, bool *ret_known, struct nx_err *err)
{
	const char *salt;
	size_t model = 0;
	char etag[72];
	nx_rc rc = dw_accept(call, dw_models, DW_MODELS, &model, err);

	if (rc)
		return rc;
	m->model = (enum dw_model)model;
	salt = nx_arena_printf(nx_http_arena(call->req), "%s %s %s", call->base_url,
		nx_http_encode(call->req), model == DW_MODEL_XML ? "xml" : "json");
	if (!salt)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an ETag");
	return dw_validate(call, m->instances, salt, etag, ret_known, err);
}

static nx_rc reply(const struct dw_call *call, struct nx_instances *instances, struct nx_err *err)
{
	NX_AUTO(metadata) *m = NULL;
	const char *type = NULL;
	bool known = false;
	nx_rc rc = metadata_new(instances, call->base_url, &m, err);

	if (!rc)
		rc = negotiate(call, m, &known, err);
	if (!rc && known)
		return dw_reply_known(call);
	if (!rc)
		rc = step(m, err);
	if (rc)
		return rc;
	type = m->model == DW_MODEL_XML ? dw_xml_type(nx_http_arena(call->req), m->boundary)
					: dw_models[m->model];
	if (!type)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a response");
	if (m->closed)
		return nx_http_reply(call->req, 200, type, nx_buf_slice(&m->piece));
	return nx_http_reply_stream(
		call->req, 200, type, UINT64_MAX, metadata_read, metadata_done, NX_STEAL(m));
}

nx_rc dw_metadata(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_instances *instances = NULL;
	struct nx_selection sel;
	struct dw_call call;
	nx_rc rc = dw_call_init(req, &call, err);

	if (!rc)
		rc = dw_selection(&call, &sel, err);
	if (!rc)
		rc = nx_retrieve_open_metadata(
			call.mount->retrieve, call.who, &sel, &instances, err);
	return rc ? rc : reply(&call, instances, err);
}

/* The change feed, under the paths and with the parameters of Azure's DICOM service. */
#include "dicomweb/dicomweb_priv.h"

enum {
	FEED_MAX = 4 * 1024 * 1024,
	NUMBER_DIGITS = 18
};

static nx_rc number_param(
	const struct dw_call *call, const char *name, int64_t *ret, struct nx_err *err)
{
	const char *text = nx_http_query(call->req, name);
	size_t digits = text ? strspn(text, "0123456789") : 0;

	if (!text)
		return NX_OK;
	if (!digits || digits > NUMBER_DIGITS || text[digits])
		return nx_err_set(err, NX_E_INVAL, "%s is not a number", name);
	*ret = strtoll(text, NULL, 10);
	return NX_OK;
}

static nx_rc reply(struct nx_http_req *req, bool latest, struct nx_err *err)
{
	static const char *const offers[] = {"application/json"};
	int64_t after = 0, limit = 0, wait = 0;
	NX_AUTO_DONE(nx_buf) out;
	struct nx_feed_ask ask;
	struct dw_call call;
	size_t offer;
	nx_rc rc = dw_call_init(req, &call, err);

	nx_buf_init(&out, FEED_MAX, NX_BUF_WIPE);
	if (!rc)
		rc = dw_accept(&call, offers, NX_ARRAY_LEN(offers), &offer, err);
	if (!rc)
		rc = number_param(&call, "offset", &after, err);
	if (!rc)
		rc = number_param(&call, "limit", &limit, err);
	if (!rc)
		rc = number_param(&call, "wait", &wait, err);
	if (rc)
		return rc;
	ask = (struct nx_feed_ask){.collection = call.collection,
		.latest = latest,
		.after = after,
		.limit = limit < UINT32_MAX ? (unsigned)limit : UINT32_MAX,
		.wait_us = (wait < NX_LIMIT_FEED_WAIT_S ? wait : NX_LIMIT_FEED_WAIT_S) * 1000000};
	rc = nx_retrieve_feed(call.mount->retrieve, call.who, &ask, &out, err);
	if (rc)
		return rc;
	if (!out.len)
		return nx_http_reply(req, 204, NULL, nx_slice(NULL, 0));
	return nx_http_reply(req, 200, offers[0], nx_buf_slice(&out));
}

nx_rc dw_changefeed(struct nx_http_req *req, struct nx_err *err)
{
	return reply(req, false, err);
}

nx_rc dw_changefeed_latest(struct nx_http_req *req, struct nx_err *err)
{
	return reply(req, true, err);
}

#include "base/limits.h"
#include "retrieve/retrieve.h"

#include "api/stream.h"

nx_rc api_changes_list(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_feed_ask ask = {.collection = nx_http_param(req, "collection")};
	uint64_t after = 0, limit = 0, wait = 0;
	NX_AUTO_DONE(nx_buf) buf = {0};
	nx_rc rc = api_query_number(req, "after", 0, &after, err);

	api_reply_init(&buf);
	if (!rc)
		rc = api_query_number(req, "limit", 0, &limit, err);
	if (!rc)
		rc = api_query_number(req, "wait", 0, &wait, err);
	ask.after = after < INT64_MAX ? (int64_t)after : INT64_MAX;
	ask.limit = limit < UINT32_MAX ? (unsigned)limit : UINT32_MAX;
	ask.wait_us =
		(int64_t)(wait < NX_LIMIT_FEED_WAIT_S ? wait : NX_LIMIT_FEED_WAIT_S) * 1000000;
	nx_buf_put_str(&buf, "{\"changes\":");
	if (!rc)
		rc = nx_retrieve_feed(api_of(req)->retrieve, api_who_of(req), &ask, &buf, err);
	nx_buf_put_u8(&buf, '}');
	return api_reply_rc(req, rc, &buf, err);
}

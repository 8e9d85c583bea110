/*
 * WADO-RS: instances and bulk data (PS3.18 10.4), as they were received.
 *
 * A member of Accept without a transfer syntax, or with "*", takes the stored one; one that names
 * another is not satisfied.  Only when no member is, the answer is 406.
 */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "dicomweb/dicomweb_priv.h"

enum offer {
	OFFER_MULTIPART,
	OFFER_SINGLE
};

#define OCTETS       "application/octet-stream"
#define DICOM        "application/dicom"
#define MULTI(media) "multipart/related; type=\"" media "\""

/* What can be had of one instance that is stored in `ts`. */
static nx_rc offers_make(
	const struct dw_call *call, const char *ts, const char *ret_offers[2], struct nx_err *err)
{
	struct nx_arena *arena = nx_http_arena(call->req);

	ret_offers[OFFER_MULTIPART] =
		nx_arena_printf(arena, MULTI(DICOM) "; transfer-syntax=%s", ts);
	ret_offers[OFFER_SINGLE] = nx_arena_printf(arena, DICOM "; transfer-syntax=%s", ts);
	if (!ret_offers[OFFER_MULTIPART] || !ret_offers[OFFER_SINGLE])
		return nx_err_set(err, NX_E_NOMEM, "no memory for offers");
	return NX_OK;
}

/* Every instance must be acceptable as it is; a file by itself only when it is the only one. */
static nx_rc negotiate(const struct dw_call *call, const struct nx_instances *instances,
	size_t *ret_offer, struct nx_err *err)
{
	const size_t n = nx_instances_n(instances);
	const char *offers[2], *last = NULL;
	struct nx_instance_info info;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < n && !rc; i++) {
		nx_instances_info(instances, i, &info);
		if (last && strcmp(last, info.ts_uid) == 0)
			continue;
		last = info.ts_uid;
		rc = offers_make(call, info.ts_uid, offers, err);
		if (!rc)
			rc = dw_accept(call, offers, n == 1 ? 2 : 1, ret_offer, err);
	}
	return rc;
}

static nx_rc stream_reply(const struct dw_call *call, struct nx_instances *instances,
	const struct dw_form *form, int status, const char *content_type, struct nx_err *err)
{
	struct dw_stream *stream;
	nx_rc rc = dw_stream_new(instances, call->base_url, form, &stream, err);

	return rc ? rc : dw_stream_reply(call, status, stream, content_type);
}

nx_rc dw_reply_file(const struct dw_call *call, struct nx_instances *instances, struct nx_err *err)
{
	struct dw_form form = {.media = DICOM, .len = UINT64_MAX};
	struct nx_instance_info info;
	char type[128], etag[72];
	bool known = false;
	int status = 0;
	nx_rc rc = dw_validate(call, instances, DICOM, etag, &known, err);

	nx_instances_info(instances, 0, &info);
	if (!rc && !known)
		rc = dw_range(call, etag, info.size, &form.off, &form.len, &status, err);
	if (rc || known) {
		nx_instances_free(instances);
		return rc ? rc : dw_reply_known(call);
	}
	(void)snprintf(type, sizeof(type), DICOM "; transfer-syntax=%s", info.ts_uid);
	return stream_reply(call, instances, &form, status, type, err);
}

static nx_rc instances_reply(
	const struct dw_call *call, struct nx_instances *instances, struct nx_err *err)
{
	const struct dw_form form = {
		.media = DICOM, .with_syntax = true, .multipart = true, .len = UINT64_MAX};
	bool known = false;
	char etag[72];
	size_t offer;
	nx_rc rc = negotiate(call, instances, &offer, err);

	if (!rc && offer == OFFER_SINGLE)
		return dw_reply_file(call, instances, err);
	if (!rc)
		rc = dw_validate(call, instances, call->base_url, etag, &known, err);
	if (rc || known) {
		nx_instances_free(instances);
		return rc ? rc : dw_reply_known(call);
	}
	return stream_reply(call, instances, &form, 200, NULL, err);
}

nx_rc dw_get_instances(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_instances *instances;
	struct nx_selection sel;
	struct dw_call call;
	nx_rc rc = dw_call_init(req, &call, err);

	if (!rc)
		rc = dw_selection(&call, &sel, err);
	if (!rc)
		rc = nx_retrieve_open(call.mount->retrieve, call.who, &sel, &instances, err);
	return rc ? rc : instances_reply(&call, instances, err);
}

/* ---- one value ---- */

static bool digits_parse(const char **s, uint64_t *ret)
{
	const char *start = *s;
	uint64_t v = 0;

	for (; **s >= '0' && **s <= '9'; ++*s)
		if (__builtin_mul_overflow(v, 10u, &v) ||
			__builtin_add_overflow(v, (uint64_t)(**s - '0'), &v))
			return false;
	*ret = v;
	return *s > start;
}

/* "<offset>-<length>": the path that metadata gave out, and none beside. */
static nx_rc value_parse(const char *text, uint64_t *ret_off, uint64_t *ret_len, struct nx_err *err)
{
	uint64_t off = 0, len = 0;

	if (!digits_parse(&text, &off) || *text++ != '-' || !digits_parse(&text, &len) || *text ||
		!len)
		return nx_err_set(err, NX_E_NOENT, "no such bulk data");
	*ret_off = off;
	*ret_len = len;
	return NX_OK;
}

/* Inside the instance, or among the values of a deflated one. */
static nx_rc value_find(struct nx_instances *instances, uint64_t off, uint64_t len,
	struct nx_slice *ret_inflated, struct nx_err *err)
{
	struct nx_instance_info info;
	nx_rc rc = nx_instances_value(instances, off, len, ret_inflated, err);

	nx_instances_info(instances, 0, &info);
	if (rc || ret_inflated->p)
		return rc;
	if (off > info.size || len > info.size - off)
		return nx_err_set(err, NX_E_NOENT, "bulk data outside the instance");
	return NX_OK;
}

/* A value as the one part of a body. */
struct value {
	struct nx_instances *instances;
	struct nx_slice inflated; /* p NULL: `off` in the stored bytes */
	uint64_t off;
	uint64_t len;
	char *location;
};

static uint64_t value_len(void *payload, size_t i)
{
	const struct value *v = payload;

	(void)i;
	return v->len;
}

static void value_head(void *payload, size_t i, struct nx_buf *out)
{
	const struct value *v = payload;

	(void)i;
	nx_buf_printf(out, OCTETS "\r\nContent-Location: %s", v->location);
}

static nx_rc value_at(void *payload, size_t i, struct nx_err *err)
{
	const struct value *v = payload;
	const struct nx_item *item;

	return v->inflated.p ? NX_OK : nx_instances_at(v->instances, i, &item, err);
}

static nx_rc value_read(
	void *payload, uint64_t off, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	const struct value *v = payload;

	if (!v->inflated.p)
		return nx_instances_read(v->instances, v->off + off, p, n, ret_n, err);
	memcpy(p, v->inflated.p + off, n);
	*ret_n = n;
	return NX_OK;
}

static void value_free(void *payload)
{
	struct value *v = payload;

	nx_instances_free(v->instances);
	free(v->location);
	free(v);
}

static const struct dw_source value_source = {
	value_len, value_head, value_at, value_read, value_free};

struct bulk_form {
	bool multipart;
	bool known;
	int status;
	uint64_t off; /* in the value */
	uint64_t len;
};

static nx_rc bulk_prepare(
	const struct dw_call *call, struct value *v, struct bulk_form *form, struct nx_err *err)
{
	static const char *const offers[] = {OCTETS, MULTI(OCTETS)};
	const char *text = nx_http_param(call->req, "range");
	size_t offer = 0;
	char etag[72];
	nx_rc rc = value_parse(text, &v->off, &v->len, err);

	if (!rc)
		rc = value_find(v->instances, v->off, v->len, &v->inflated, err);
	if (!rc)
		rc = dw_accept(call, offers, NX_ARRAY_LEN(offers), &offer, err);
	if (!rc)
		rc = dw_validate(call, v->instances, text, etag, &form->known, err);
	form->multipart = offer == 1;
	if (rc || form->known || form->multipart)
		return rc;
	return dw_range(call, etag, v->len, &form->off, &form->len, &form->status, err);
}

/* Takes the instances. */
static struct value *value_new(const struct dw_call *call, struct nx_instances *instances)
{
	struct value *v = calloc(1, sizeof(*v));
	const char *mount = nx_http_mount(call->req);
	const char *location = mount
		? nx_arena_printf(nx_http_arena(call->req), "%s%s", call->base_url,
			  nx_http_path(call->req) + strlen(mount))
		: NULL;

	if (!v) {
		nx_instances_free(instances);
		return NULL;
	}
	v->instances = instances;
	v->location = location ? strdup(location) : NULL;
	if (v->location)
		return v;
	value_free(v);
	return NULL;
}

static nx_rc bulk_reply(
	const struct dw_call *call, struct nx_instances *instances, struct nx_err *err)
{
	struct bulk_form form = {.status = 200, .len = UINT64_MAX};
	struct value *v = value_new(call, instances);
	struct dw_stream *stream;
	nx_rc rc;

	if (!v)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a value");
	rc = bulk_prepare(call, v, &form, err);
	if (rc || form.known) {
		value_free(v);
		return rc ? rc : dw_reply_known(call);
	}
	rc = dw_stream_of(&value_source, v, 1, form.multipart ? OCTETS : NULL, form.off, form.len,
		&stream, err);
	return rc ? rc : dw_stream_reply(call, form.status, stream, OCTETS);
}

nx_rc dw_get_bulkdata(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_instances *instances;
	struct nx_selection sel;
	struct dw_call call;
	nx_rc rc = dw_call_init(req, &call, err);

	if (!rc)
		rc = dw_selection(&call, &sel, err);
	if (!rc)
		rc = nx_retrieve_open(call.mount->retrieve, call.who, &sel, &instances, err);
	return rc ? rc : bulk_reply(&call, instances, err);
}

/*
 * WADO-RS: instances and bulk data (PS3.18 10.4).
 *
 * A member of Accept without a transfer syntax, or with "*", takes the one an instance is stored
 * in, and then its bytes are those that were received.  Where another is named that can be made
 * without loss, it is made while it is sent.  Only when no member can be satisfied, the answer is
 * 406.
 */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "dicomweb/dicomweb_priv.h"
#include "retrieve/transcode.h"

#define OCTETS       "application/octet-stream"
#define DICOM        "application/dicom"
#define MULTI(media) "multipart/related; type=\"" media "\""

enum {
	SYNTAXES_MAX = 16
};

/* ---- transfer syntaxes ---- */

/* What an instance can be had in, the stored one first. */
struct syntaxes {
	const char *uids[SYNTAXES_MAX];
	size_t n;
};

static void syntaxes_find(const char *stored, struct syntaxes *ret)
{
	const char *uid;

	*ret = (struct syntaxes){.uids = {stored}, .n = 1};
	for (size_t i = 0; (uid = nx_transcode_target(i)) && ret->n < SYNTAXES_MAX; i++)
		if (strcmp(uid, stored) != 0 &&
			(nx_transcodable(stored, uid) || nx_instances_convertible(stored, uid)))
			ret->uids[ret->n++] = uid;
}

/* Of one instance: as parts in each syntax, and by itself where `single`. */
static nx_rc syntax_choose(const struct dw_call *call, const char *stored, bool single,
	const char **ret_uid, bool *ret_multipart, struct nx_err *err)
{
	const char *offers[2 * SYNTAXES_MAX];
	struct syntaxes can;
	size_t n = 0, i = 0;
	nx_rc rc;

	syntaxes_find(stored, &can);
	for (size_t k = 0; k < (single ? 2 * can.n : can.n); k++) {
		offers[n] = nx_arena_printf(nx_http_arena(call->req), "%s; transfer-syntax=%s",
			k < can.n ? MULTI(DICOM) : DICOM, can.uids[k % can.n]);
		if (!offers[n++])
			return nx_err_set(err, NX_E_NOMEM, "no memory for offers");
	}
	rc = dw_accept(call, offers, n, &i, err);
	if (rc)
		return rc;
	*ret_uid = can.uids[i % can.n];
	*ret_multipart = i < can.n;
	return NX_OK;
}

/* The syntax of each instance; a file by itself only when it is the only one. */
static nx_rc negotiate(const struct dw_call *call, const struct nx_instances *instances,
	const char **ret_syntaxes, bool *ret_multipart, struct nx_err *err)
{
	const size_t n = nx_instances_n(instances);
	struct nx_instance_info info;
	const char *last = NULL;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < n && !rc; i++) {
		nx_instances_info(instances, i, &info);
		if (last && strcmp(last, info.ts_uid) == 0)
			ret_syntaxes[i] = ret_syntaxes[i - 1];
		else
			rc = syntax_choose(
				call, info.ts_uid, n == 1, &ret_syntaxes[i], ret_multipart, err);
		last = info.ts_uid;
	}
	return rc;
}

static bool all_as_stored(const struct nx_instances *instances, const char *const *syntaxes)
{
	struct nx_instance_info info;

	for (size_t i = 0; i < nx_instances_n(instances); i++) {
		nx_instances_info(instances, i, &info);
		if (strcmp(info.ts_uid, syntaxes[i]) != 0)
			return false;
	}
	return true;
}

/* ---- answers ---- */

static nx_rc stream_reply(const struct dw_call *call, struct nx_instances *instances,
	const struct dw_form *form, int status, const char *content_type, struct nx_err *err)
{
	struct dw_stream *stream;
	nx_rc rc = dw_stream_new(instances, call->base_url, form, &stream, err);

	return rc ? rc : dw_stream_reply(call, status, stream, content_type);
}

static nx_rc file_prepare(const struct dw_call *call, const struct nx_instances *instances,
	struct dw_form *form, bool *ret_known, int *ret_status, struct nx_err *err)
{
	struct nx_instance_info info;
	const char *salt;
	char etag[72];
	nx_rc rc;

	nx_instances_info(instances, 0, &info);
	salt = form->syntaxes
		? nx_arena_printf(nx_http_arena(call->req), DICOM " %s", form->syntaxes[0])
		: DICOM;
	if (!salt)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an ETag");
	rc = dw_validate(call, instances, salt, etag, ret_known, err);
	if (rc || *ret_known || form->syntaxes)
		return rc;
	return dw_range(call, etag, info.size, &form->off, &form->len, ret_status, err);
}

nx_rc dw_reply_file(const struct dw_call *call, struct nx_instances *instances, const char *ts_uid,
	struct nx_err *err)
{
	const char *const syntaxes[] = {ts_uid};
	struct dw_form form = {.media = DICOM, .len = UINT64_MAX};
	bool known = false;
	char type[128];
	int status = 200;
	nx_rc rc;

	form.syntaxes = all_as_stored(instances, syntaxes) ? NULL : syntaxes;
	rc = file_prepare(call, instances, &form, &known, &status, err);
	if (rc || known) {
		nx_instances_free(instances);
		return rc ? rc : dw_reply_known(call);
	}
	(void)snprintf(type, sizeof(type), DICOM "; transfer-syntax=%s", ts_uid);
	return stream_reply(call, instances, &form, status, type, err);
}

static nx_rc parts_prepare(const struct dw_call *call, const struct nx_instances *instances,
	const char *const *syntaxes, bool *ret_known, struct nx_err *err)
{
	const size_t n = all_as_stored(instances, syntaxes) ? 0 : nx_instances_n(instances);
	NX_AUTO_DONE(nx_buf) salt;
	char etag[72];
	nx_rc rc;

	nx_buf_init(&salt, NX_LIMIT_HTTP_ARENA, 0);
	nx_buf_put_str(&salt, call->base_url);
	for (size_t i = 0; i < n; i++)
		nx_buf_printf(&salt, " %s", syntaxes[i]);
	rc = nx_buf_check(&salt, err);
	return rc ? rc : dw_validate(call, instances, nx_buf_cstr(&salt), etag, ret_known, err);
}

static nx_rc instances_reply(
	const struct dw_call *call, struct nx_instances *instances, struct nx_err *err)
{
	const char **syntaxes = nx_arena_alloc_array(
		nx_http_arena(call->req), nx_instances_n(instances), sizeof(*syntaxes));
	struct dw_form form = {
		.media = DICOM, .with_syntax = true, .multipart = true, .len = UINT64_MAX};
	bool known = false, multipart = true;
	nx_rc rc = syntaxes ? negotiate(call, instances, syntaxes, &multipart, err)
			    : nx_err_set(err, NX_E_NOMEM, "no memory for transfer syntaxes");

	if (!rc && !multipart)
		return dw_reply_file(call, instances, syntaxes[0], err);
	if (!rc)
		rc = parts_prepare(call, instances, syntaxes, &known, err);
	if (rc || known) {
		nx_instances_free(instances);
		return rc ? rc : dw_reply_known(call);
	}
	form.syntaxes = all_as_stored(instances, syntaxes) ? NULL : syntaxes;
	return stream_reply(call, instances, &form, 200, NULL, err);
}

nx_rc dw_get_instances(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_instances *instances = NULL;
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
	rc = dw_stream_of(&value_source, v,
		&(struct dw_parts){.n = 1,
			.media = form.multipart ? OCTETS : NULL,
			.from = form.off,
			.take = form.len},
		&stream, err);
	return rc ? rc : dw_stream_reply(call, form.status, stream, OCTETS);
}

nx_rc dw_get_bulkdata(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_instances *instances = NULL;
	struct nx_selection sel;
	struct dw_call call;
	nx_rc rc = dw_call_init(req, &call, err);

	if (!rc)
		rc = dw_selection(&call, &sel, err);
	if (!rc)
		rc = nx_retrieve_open(call.mount->retrieve, call.who, &sel, &instances, err);
	return rc ? rc : bulk_reply(&call, instances, err);
}

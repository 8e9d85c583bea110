/*
 * WADO-URI (PS3.18 9): one instance, named by query parameters, as an image or as a file.  What
 * asks for something that is not done is refused, never passed over: a file that should have been
 * anonymized is not what was asked for.
 */
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "dicomweb/dicomweb_priv.h"
#include "retrieve/transcode.h"

#define DICOM "application/dicom"
#define JPEG  "image/jpeg"
#define PNG   "image/png"
#define GIF   "image/gif"

/* Parameters that change what is rendered (PS3.18 9.5.1): without a meaning for a file. */
static const char *const rendering[] = {"annotation", "columns", "frameNumber", "imageAnnotation",
	"imageQuality", "presentationSeriesUID", "presentationUID", "region", "rows",
	"windowCenter", "windowWidth"};

/* What is not applied to anything. */
static const struct {
	const char *name;
	const char *why;
} refused[] = {
	{"anonymize",
		"de-identified copies are made by a profile and have a collection of their own"},
};

static nx_rc uid_take(
	const struct dw_call *call, const char *name, const char **ret, struct nx_err *err)
{
	const char *uid = nx_http_query(call->req, name);

	if (!uid || !nx_uid_valid(uid, strlen(uid)))
		return nx_err_set(err, NX_E_INVAL, "%s is %s", name, uid ? "no UID" : "missing");
	*ret = uid;
	return NX_OK;
}

static nx_rc params_read(const struct dw_call *call, struct nx_selection *ret, struct nx_err *err)
{
	const char *type = nx_http_query(call->req, "requestType");
	struct nx_selection sel = {.collection = call->collection};
	nx_rc rc;

	if (!type || strcmp(type, "WADO") != 0)
		return nx_err_set(err, NX_E_INVAL, "requestType is not WADO");
	rc = uid_take(call, "studyUID", &sel.study, err);
	if (!rc)
		rc = uid_take(call, "seriesUID", &sel.series, err);
	if (!rc)
		rc = uid_take(call, "objectUID", &sel.instance, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < NX_ARRAY_LEN(refused); i++)
		if (nx_http_query(call->req, refused[i].name))
			return nx_err_set(err, NX_E_NOT_ACCEPTABLE, "%s: %s", refused[i].name,
				refused[i].why);
	*ret = sel;
	return NX_OK;
}

static nx_rc frame_read(const struct dw_call *call, uint32_t *ret, struct nx_err *err)
{
	const char *text = nx_http_query(call->req, "frameNumber");
	uint32_t *list;
	size_t n;
	nx_rc rc;

	*ret = 0;
	if (!text)
		return NX_OK;
	rc = dw_frame_list(text, nx_http_arena(call->req), &list, &n, err);
	if (!rc && n != 1)
		rc = nx_err_set(err, NX_E_INVAL, "frameNumber is not one number");
	if (!rc)
		*ret = list[0] + 1;
	return rc;
}

/* ---- as an image ---- */

struct target {
	struct dw_image image;
	bool is_image;
	bool one_frame; /* it has one, or one is named */
};

/* 9.5.1.2.7: a state of the same study; it has a window and a displayed area of its own. */
static nx_rc states_open(const struct dw_call *call, const struct nx_selection *of,
	struct target *t, struct nx_err *err)
{
	const char *const names[] = {"presentationUID", "presentationSeriesUID"};
	struct nx_selection sel = {.collection = of->collection, .study = of->study};
	nx_rc rc;

	if (!nx_http_query(call->req, names[0]) && !nx_http_query(call->req, names[1]))
		return NX_OK;
	rc = uid_take(call, names[0], &sel.instance, err);
	if (!rc)
		rc = uid_take(call, names[1], &sel.series, err);
	if (!rc && (t->image.how.has_window || t->image.how.viewport.has_region))
		rc = nx_err_set(err, NX_E_INVAL, "presentationUID with a window or region");
	return rc ? rc
		  : nx_retrieve_open(call->mount->retrieve, call->who, &sel, &t->image.states, err);
}

static nx_rc target_look(const struct dw_call *call, struct nx_instances *instances,
	struct target *ret, struct nx_err *err)
{
	const struct nx_render_source source = dw_render_source(call);
	NX_AUTO(nx_renderer) *r = NULL;
	nx_rc rc = nx_renderer_new(&source, instances, 0, &r, err);

	if (rc == NX_E_NOENT || rc == NX_E_NOT_ACCEPTABLE || rc == NX_E_LIMIT)
		return NX_OK;
	if (!rc)
		rc = frame_read(call, &ret->image.frame, err);
	if (!rc)
		rc = dw_rendering_read_uri(
			call, nx_renderer_columns(r), nx_renderer_rows(r), &ret->image.how, err);
	if (!rc && nx_renderer_is_presented(r) &&
		(ret->image.how.has_window || ret->image.how.viewport.has_region))
		rc = nx_err_set(err, NX_E_INVAL, "a presentation state has its own window");
	ret->is_image = true;
	ret->one_frame = ret->image.frame ||
		(r && nx_renderer_frames(r) == 1 && !nx_renderer_is_presented(r));
	return rc;
}

/* The transfer syntax of a file: the one asked for, else the stored one. */
static nx_rc syntax_read(const struct dw_call *call, const struct nx_instances *instances,
	const char **ret, struct nx_err *err)
{
	const char *wanted = nx_http_query(call->req, "transferSyntax");
	struct nx_instance_info info;

	nx_instances_info(instances, 0, &info);
	*ret = info.ts_uid;
	if (!wanted || strcmp(wanted, "*") == 0 || strcmp(wanted, info.ts_uid) == 0)
		return NX_OK;
	if (!nx_transcodable(info.ts_uid, wanted) && !nx_instances_convertible(info.ts_uid, wanted))
		return nx_err_set(err, NX_E_NOT_ACCEPTABLE,
			"transferSyntax: the instance is not made in this one");
	*ret = wanted;
	return NX_OK;
}

/* contentType is a list like Accept (PS3.18 9.1.2.1.4), which stands where there is none.  Of an
 * image JPEG is the default; of one with many frames the file is. */
static nx_rc negotiate(const struct dw_call *call, const struct target *target, const char *ts_uid,
	const char **ret_media, struct nx_err *err)
{
	const char *media[] = {DICOM, GIF, JPEG, PNG};
	const char *offers[] = {NULL, GIF, JPEG, PNG};
	const char *wanted = nx_http_query(call->req, "contentType");
	const size_t n = target->is_image ? NX_ARRAY_LEN(offers) : 1;
	int i;

	offers[0] = nx_arena_printf(nx_http_arena(call->req), DICOM "; transfer-syntax=%s", ts_uid);
	if (!offers[0])
		return nx_err_set(err, NX_E_NOMEM, "no memory for an offer");
	if (target->one_frame) {
		media[0] = JPEG;
		media[2] = DICOM;
		offers[2] = offers[0];
		offers[0] = JPEG;
	}
	if (!wanted)
		wanted = nx_http_header(call->req, "Accept");
	i = nx_http_accept(wanted ? wanted : "", offers, n);
	if (i < 0)
		return nx_err_set(err, NX_E_NOT_ACCEPTABLE, "no media type asked for is at hand");
	*ret_media = media[i];
	return NX_OK;
}

static nx_rc file_check(const struct dw_call *call, struct nx_err *err)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(rendering); i++)
		if (nx_http_query(call->req, rendering[i]))
			return nx_err_set(err, NX_E_NOT_ACCEPTABLE, "%s: a file is not rendered",
				rendering[i]);
	return NX_OK;
}

static nx_rc target_find(const struct dw_call *call, const struct nx_selection *sel,
	struct nx_instances *instances, struct target *ret, const char **ret_ts_uid,
	struct nx_err *err)
{
	nx_rc rc = target_look(call, instances, ret, err);

	if (!rc)
		rc = syntax_read(call, instances, ret_ts_uid, err);
	if (!rc)
		rc = negotiate(call, ret, *ret_ts_uid, &ret->image.media, err);
	if (!rc && strcmp(ret->image.media, DICOM) == 0)
		return file_check(call, err);
	return rc ? rc : states_open(call, sel, ret, err);
}

/* Takes the instances. */
static nx_rc reply(const struct dw_call *call, const struct nx_selection *sel,
	struct nx_instances *instances, struct nx_err *err)
{
	struct target target = {.image.media = DICOM};
	const char *ts_uid = NULL;
	nx_rc rc = target_find(call, sel, instances, &target, &ts_uid, err);

	if (rc) {
		nx_instances_free(instances);
		return rc;
	}
	if (strcmp(target.image.media, DICOM) == 0)
		return dw_reply_file(call, instances, ts_uid, err);
	return dw_reply_image(call, instances, &target.image, err);
}

nx_rc dw_get_uri(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_instances *instances = NULL;
	struct nx_selection sel;
	struct dw_call call;
	nx_rc rc = dw_call_init(req, &call, err);

	if (!rc)
		rc = params_read(&call, &sel, err);
	if (!rc)
		rc = nx_retrieve_open(call.mount->retrieve, call.who, &sel, &instances, err);
	return rc ? rc : reply(&call, &sel, instances, err);
}

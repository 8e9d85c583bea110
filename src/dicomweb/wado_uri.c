/*
 * WADO-URI (PS3.18 9): one instance, named by query parameters, as a file in the transfer syntax it
 * is stored in.  What asks for more than that is refused, never passed over: a file that should
 * have been anonymized, or be an image, is not what was asked for.
 */
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "dicomweb/dicomweb_priv.h"

/* Parameters that change what is rendered (PS3.18 9.1.2.2): without a meaning for a file. */
static const char *const rendering[] = {"annotation", "columns", "frameNumber", "imageQuality",
	"presentationSeriesUID", "presentationUID", "region", "rows", "windowCenter",
	"windowWidth"};

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
	const char *anonymize = nx_http_query(call->req, "anonymize");
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
	if (anonymize)
		return nx_err_set(err, NX_E_NOT_ACCEPTABLE,
			"anonymize: de-identified copies are made by a profile and have a "
			"collection of their own");
	for (size_t i = 0; i < NX_ARRAY_LEN(rendering); i++)
		if (nx_http_query(call->req, rendering[i]))
			return nx_err_set(err, NX_E_NOT_ACCEPTABLE, "%s: nothing is rendered here",
				rendering[i]);
	*ret = sel;
	return NX_OK;
}

/* contentType is a list like Accept (PS3.18 9.1.2.1.4), which stands where there is none. */
static nx_rc negotiate(
	const struct dw_call *call, const struct nx_instances *instances, struct nx_err *err)
{
	const char *wanted = nx_http_query(call->req, "contentType");
	const char *syntax = nx_http_query(call->req, "transferSyntax");
	struct nx_instance_info info;
	const char *offer;

	nx_instances_info(instances, 0, &info);
	if (syntax && strcmp(syntax, "*") != 0 && strcmp(syntax, info.ts_uid) != 0)
		return nx_err_set(
			err, NX_E_NOT_ACCEPTABLE, "the instance is in another transfer syntax");
	if (!wanted)
		wanted = nx_http_header(call->req, "Accept");
	offer = nx_arena_printf(
		nx_http_arena(call->req), "application/dicom; transfer-syntax=%s", info.ts_uid);
	if (!offer)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an offer");
	if (nx_http_accept(wanted ? wanted : "", &offer, 1) < 0)
		return nx_err_set(
			err, NX_E_NOT_ACCEPTABLE, "nothing but application/dicom is at hand");
	return NX_OK;
}

nx_rc dw_get_uri(struct nx_http_req *req, struct nx_err *err)
{
	struct nx_instances *instances;
	struct nx_selection sel;
	struct dw_call call;
	nx_rc rc = dw_call_init(req, &call, err);

	if (!rc)
		rc = params_read(&call, &sel, err);
	if (!rc)
		rc = nx_retrieve_open(call.mount->retrieve, call.who, &sel, &instances, err);
	if (rc)
		return rc;
	rc = negotiate(&call, instances, err);
	if (rc) {
		nx_instances_free(instances);
		return rc;
	}
	return dw_reply_file(&call, instances, err);
}

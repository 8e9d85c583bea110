#include <stdio.h>

#include "base/enc.h"
#include "ingest/ingest_priv.h"

/* S3's bounds: 1-1024 bytes of UTF-8; control characters would break logs and listings, and what is
 * no UTF-8 cannot be said in JSON: a listing would name another key, and go on after that. */
nx_rc object_key_check(const char *key, struct nx_err *err)
{
	size_t n = strlen(key);

	if (n == 0 || n > NX_LIMIT_OBJECT_KEY)
		return nx_err_set(err, NX_E_INVAL, "object key of %zu bytes; 1 to %u are allowed",
			n, NX_LIMIT_OBJECT_KEY);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)key[i] < 0x20 || key[i] == 0x7f)
			return nx_err_set(err, NX_E_INVAL,
				"control character at byte %zu of the object key", i);
	return nx_utf8_valid(key, n) ? NX_OK
				     : nx_err_set(err, NX_E_INVAL, "the object key is not UTF-8");
}

/* What has doors of its own, and rows that lead to it. */
static nx_rc free_check(const char *key, struct nx_err *err)
{
	static const char *const prefixes[] = {NX_STEP_PREFIX, NX_WORKLIST_PREFIX};

	for (size_t i = 0; i < NX_ARRAY_LEN(prefixes); i++)
		if (strncmp(key, prefixes[i], strlen(prefixes[i])) == 0)
			return nx_err_set(err, NX_E_DENIED,
				"objects under %s are not put as objects", prefixes[i]);
	return NX_OK;
}

/* VR LO (PS3.5 6.2), as patient ids that come in DICOM are: found again only when they are alike.
 */
static nx_rc identifier_check(const char *text, const char *what, struct nx_err *err)
{
	size_t n = strlen(text);

	if (n == 0 || n > NX_LIMIT_PATIENT_ID || text[0] == ' ' || text[n - 1] == ' ')
		return nx_err_set(err, NX_E_INVAL,
			"%s is not 1 to %d bytes without spaces around them", what,
			NX_LIMIT_PATIENT_ID);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f || text[i] == '\\')
			return nx_err_set(
				err, NX_E_INVAL, "%s has a control character or backslash", what);
	return nx_utf8_valid(text, n) ? NX_OK
				      : nx_err_set(err, NX_E_INVAL, "%s is not UTF-8", what);
}

static nx_rc patient_take(
	struct nx_ingest_job *job, const struct nx_object_opts *opts, struct nx_err *err)
{
	const char *issuer = opts->issuer ? opts->issuer : "";
	nx_rc rc = NX_OK;

	if (!opts->patient_id)
		return issuer[0] ? nx_err_set(err, NX_E_INVAL, "an issuer without a patient id")
				 : NX_OK;
	rc = identifier_check(opts->patient_id, "patient id", err);
	if (!rc && issuer[0])
		rc = identifier_check(issuer, "issuer of the patient id", err);
	if (rc)
		return rc;
	job->put.patient_id = nx_arena_str(job->arena, opts->patient_id, strlen(opts->patient_id));
	job->put.issuer = nx_arena_str(job->arena, issuer, strlen(issuer));
	return job->put.patient_id && job->put.issuer
		? NX_OK
		: nx_err_set(err, NX_E_NOMEM, "no memory for an object");
}

nx_rc object_begin(struct nx_ingest_job *job, const struct nx_object_opts *opts, struct nx_err *err)
{
	const char *type = opts->media_type && opts->media_type[0] ? opts->media_type
								   : "application/octet-stream";
	nx_rc rc = nx_blob_writer_new(job->ingest->archive, (uint32_t)job->collection.domain,
		opts->size, 0, &job->writer, err);

	if (rc)
		return rc;
	job->is_object = true;
	job->item.name = nx_arena_str(job->arena, opts->key, strlen(opts->key));
	job->item.type = nx_arena_str(job->arena, type, strlen(type));
	job->item.ts_uid = "";
	if (!job->item.name || !job->item.type)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an object");
	job->put.if_none_match_any = opts->if_none_match_any;
	rc = job_keep(job, opts->if_match, &job->put.if_match, err);
	return rc ? rc : patient_take(job, opts, err);
}

nx_rc nx_ingest_object(struct nx_ingest *ingest, const struct nx_object_opts *opts,
	struct nx_ingest_job **ret_job, struct nx_err *err)
{
	NX_AUTO(nx_ingest_job) *job = NULL;
	nx_rc rc = object_key_check(opts->key, err);

	if (!rc)
		rc = free_check(opts->key, err);
	if (!rc)
		rc = job_new(
			ingest, opts->who, NX_PERM_STORE, opts->collection, "object", &job, err);
	if (!rc)
		rc = object_begin(job, opts, err);
	if (rc)
		return rc;
	*ret_job = NX_STEAL(job);
	return NX_OK;
}

nx_rc object_commit(struct nx_ingest_job *job, unsigned action, struct nx_err *err)
{
	nx_rc rc = nx_blob_writer_finish(job->writer, &job->object_blob, err);

	if (rc)
		return rc;
	job->object_part.len = nx_blob_len(job->object_blob);
	job->item.size = (int64_t)job->object_part.len;
	job->result.size = job->object_part.len;
	job->put.collection = &job->collection;
	job->put.item = &job->item;
	job->put.blobs = &job->object_blob;
	job->put.n_blobs = 1;
	job->put.parts = &job->object_part;
	job->put.n_parts = 1;
	return job_commit(job, action, err);
}

nx_rc object_submit(struct nx_ingest_job *job, struct nx_err *err)
{
	return object_commit(job, NX_ACTION_OBJECT_PUT, err);
}

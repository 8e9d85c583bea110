#include <stdio.h>

#include "ingest/ingest_priv.h"

/* S3's bounds: 1-1024 bytes of UTF-8; control characters would break logs and listings. */
static nx_rc key_check(const char *key, struct nx_err *err)
{
	size_t n = strlen(key);

	if (n == 0 || n > NX_LIMIT_OBJECT_KEY)
		return nx_err_set(err, NX_E_INVAL, "object key of %zu bytes; 1 to %u are allowed",
			n, NX_LIMIT_OBJECT_KEY);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)key[i] < 0x20 || key[i] == 0x7f)
			return nx_err_set(err, NX_E_INVAL,
				"control character at byte %zu of the object key", i);
	return NX_OK;
}

nx_rc nx_ingest_object(struct nx_ingest *ingest, const struct nx_object_opts *opts,
	struct nx_ingest_job **ret_job, struct nx_err *err)
{
	NX_AUTO(nx_ingest_job) *job = NULL;
	const char *type = opts->media_type && opts->media_type[0] ? opts->media_type
								   : "application/octet-stream";
	nx_rc rc = key_check(opts->key, err);

	if (!rc)
		rc = job_new(
			ingest, opts->who, NX_PERM_STORE, opts->collection, "object", &job, err);
	if (!rc)
		rc = nx_blob_writer_new(ingest->archive, (uint32_t)job->collection.domain,
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
	if (opts->if_match)
		job->put.if_match =
			nx_arena_str(job->arena, opts->if_match, strlen(opts->if_match));
	*ret_job = NX_STEAL(job);
	return NX_OK;
}

nx_rc object_submit(struct nx_ingest_job *job, struct nx_err *err)
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
	return job_commit(job, NX_ACTION_OBJECT_PUT, err);
}

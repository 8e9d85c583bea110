/* Memory that many requests share, and values that arrive apart from their data set. */
#include <stdlib.h>

#include "ingest/ingest_priv.h"

enum {
	HOLD_STEP = 256 * 1024
};

nx_rc nx_ingest_hold_set(struct nx_ingest_hold *hold, uint64_t bytes, struct nx_err *err)
{
	_Atomic uint64_t *all = &hold->ingest->headers;
	uint64_t want = bytes / HOLD_STEP * HOLD_STEP;
	uint64_t more = want > hold->claimed ? want - hold->claimed : 0;

	hold->bytes = bytes;
	if (more && atomic_fetch_add(all, more) + more > NX_LIMIT_DICOM_HEADERS) {
		(void)atomic_fetch_sub(all, more);
		return nx_err_set(err, NX_E_BUSY,
			"headers that are being received take %zu MiB: send it again later",
			NX_LIMIT_DICOM_HEADERS / NX_MIB);
	}
	if (want < hold->claimed)
		(void)atomic_fetch_sub(all, hold->claimed - want);
	hold->claimed = want;
	return NX_OK;
}

void nx_ingest_hold_done(struct nx_ingest_hold *hold)
{
	if (hold->claimed)
		(void)atomic_fetch_sub(&hold->ingest->headers, hold->claimed);
	hold->bytes = hold->claimed = 0;
}

/* Short values are of the header, as the split rule says: they stay in memory. */
struct nx_ingest_value {
	struct nx_ingest *ingest;
	uint32_t domain;
	struct nx_ingest_hold *hold;
	struct nx_buf head;
	struct nx_blob_writer *writer;
	uint64_t size;
};

nx_rc nx_ingest_value_new(const struct nx_ingest_job *job, struct nx_ingest_hold *hold,
	struct nx_ingest_value **ret_value, struct nx_err *err)
{
	struct nx_ingest_value *v = calloc(1, sizeof(*v));

	if (!v)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a value");
	v->ingest = job->ingest;
	v->domain = (uint32_t)job->collection.domain;
	v->hold = hold;
	nx_buf_init(&v->head, NX_BULK_THRESHOLD, NX_BUF_WIPE);
	*ret_value = v;
	return NX_OK;
}

static void head_drop(struct nx_ingest_value *v)
{
	(void)!nx_ingest_hold_set(
		v->hold, v->hold->bytes - v->head.len, NULL); /* less never fails */
	nx_buf_done(&v->head);
}

struct nx_ingest_value *nx_ingest_value_free(struct nx_ingest_value *v)
{
	if (!v)
		return NULL;
	head_drop(v);
	nx_blob_writer_free(v->writer);
	free(v);
	return NULL;
}

uint64_t nx_ingest_value_size(const struct nx_ingest_value *v)
{
	return v->size;
}

static nx_rc writer_begin(struct nx_ingest_value *v, struct nx_err *err)
{
	nx_rc rc =
		nx_blob_writer_new(v->ingest->archive, v->domain, UINT64_MAX, 0, &v->writer, err);

	if (!rc)
		rc = nx_blob_writer_put(v->writer, v->head.data, v->head.len, err);
	head_drop(v);
	return rc;
}

nx_rc nx_ingest_value_put(struct nx_ingest_value *v, const void *p, size_t n, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	v->size += n;
	if (v->size > NX_LIMIT_DICOM_INSTANCE)
		return nx_err_set(
			err, NX_E_LIMIT, "a value larger than %llu bytes", NX_LIMIT_DICOM_INSTANCE);
	if (!v->writer && v->size >= NX_BULK_THRESHOLD)
		rc = writer_begin(v, err);
	if (rc || v->writer)
		return rc ? rc : nx_blob_writer_put(v->writer, p, n, err);
	rc = nx_ingest_hold_set(v->hold, v->hold->bytes + n, err);
	if (rc)
		return rc;
	nx_buf_put(&v->head, p, n);
	return nx_buf_check(&v->head, err);
}

nx_rc nx_ingest_feed_value(struct nx_ingest_job *job, struct nx_ingest_value *v, struct nx_err *err)
{
	struct nx_blob *blob = NULL;
	nx_rc rc;

	if (!v->writer || job->rc)
		return nx_ingest_feed(job, v->head.data, v->head.len, err);
	nx_blob_writer_cut(v->writer);
	rc = nx_blob_writer_finish(v->writer, &blob, err);
	if (!rc)
		rc = split_feed_blob(&job->split, &blob, v->size, err);
	nx_blob_free(blob);
	return job_fail(job, rc, err);
}

/* What is made of a subject's items and kept, sealed under its key: in no query, gone with it. */
#include "retrieve/retrieve_priv.h"

static nx_rc blob_make(struct nx_retrieve *r, uint32_t domain, struct nx_slice bytes,
	struct nx_blob **ret, struct nx_err *err)
{
	NX_AUTO(nx_blob_writer) *w = NULL;
	nx_rc rc = nx_blob_writer_new(r->archive, domain, bytes.n, 0, &w, err);

	if (!rc)
		rc = nx_blob_writer_put(w, bytes.p, bytes.n, err);
	return rc ? rc : nx_blob_writer_finish(w, ret, err);
}

nx_rc derived_store(struct nx_retrieve *r, const struct nx_collection *collection, uint64_t subject,
	const struct nx_item *item, struct nx_slice bytes, struct nx_err *err)
{
	struct nx_recipe_part part = {.kind = NX_PART_BLOB, .len = bytes.n};
	struct nx_blob *blob = NULL;
	struct nx_put put = {.collection = collection,
		.subject = subject,
		.derived = true,
		.item = item,
		.blobs = &blob,
		.n_blobs = 1,
		.parts = &part,
		.n_parts = 1};
	NX_AUTO(nx_change) *change = nx_change_new(); /* it ends before what it names */
	nx_rc rc;

	if (!change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	rc = blob_make(r, (uint32_t)collection->domain, bytes, &blob, err);
	if (!rc)
		rc = nx_change_put(change, &put, err);
	return rc ? rc : nx_archive_commit(r->archive, change, err);
}

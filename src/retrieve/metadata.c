/*
 * Metadata from header blobs alone: the bulk values are never read (PS3.18 10.4.1.1.2, Annex F).
 */
#include <stdio.h>

#include "base/json.h"
#include "base/limits.h"
#include "dicom/dicom.h"
#include "retrieve/instances_priv.h"

enum {
	METADATA_ARENA_MAX = 512 * 1024 * 1024
};

struct uri_base {
	const char *base;
	const char *study;
	const char *series;
	const char *instance;
};

static nx_rc bulk_uri(
	void *payload, const struct nx_elem *e, struct nx_buf *out, struct nx_err *err)
{
	const struct uri_base *u = payload;

	nx_buf_printf(out, "%s/studies/%s/series/%s/instances/%s/bulkdata/%llu-%llu", u->base,
		u->study, u->series, u->instance, (unsigned long long)e->bulk_offset,
		(unsigned long long)e->bulk_length);
	return nx_buf_check(out, err);
}

/* Blob 0 is the header; every part of another blob is a bulk value at the sum of the lengths before
 * it. */
static nx_rc bulks_of(const struct nx_recipe *r, struct nx_arena *arena, struct nx_bulk_ref **ret,
	size_t *ret_n, struct nx_err *err)
{
	struct nx_bulk_ref *refs = nx_arena_alloc_array(arena, r->n_parts, sizeof(*refs));
	uint64_t at = 0;
	size_t n = 0;

	if (!refs)
		return nx_err_set(err, NX_E_NOMEM, "no memory for bulk values");
	for (size_t i = 0; i < r->n_parts; i++) {
		if (r->parts[i].blob != 0)
			refs[n++] = (struct nx_bulk_ref){at, r->parts[i].len};
		at += r->parts[i].len;
	}
	*ret = refs;
	*ret_n = n;
	return NX_OK;
}

static nx_rc header_dataset(struct nx_archive *archive, const struct nx_item *item,
	struct nx_arena *arena, struct nx_dataset **ret, struct nx_err *err)
{
	struct nx_recipe *recipe;
	struct nx_bulk_ref *bulks = NULL;
	struct nx_slice header;
	size_t n = 0;
	nx_rc rc = nx_archive_recipe(archive, item, arena, &recipe, err);

	if (!rc)
		rc = nx_archive_read_blob(archive, item, &recipe->blobs[0], NX_LIMIT_DICOM_HEADER,
			arena, &header, err);
	if (!rc)
		rc = bulks_of(recipe, arena, &bulks, &n, err);
	return rc ? rc : nx_dataset_parse_split(header, bulks, n, NULL, arena, ret, err);
}

static const char *series_uid_of(const struct nx_dataset *ds, struct nx_arena *arena)
{
	const char *uid = nx_dataset_text(ds, NX_TAG_SERIES_INSTANCE_UID, arena);

	return uid ? uid : "";
}

nx_rc nx_retrieve_metadata(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_selection *sel, const char *base_url, struct nx_buf *out,
	struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(METADATA_ARENA_MAX, NX_ARENA_WIPE);
	NX_AUTO(nx_instances) *x = NULL;
	struct nx_json json;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for metadata");
	rc = instances_find(retrieve, who, sel, NX_ACTION_READ_METADATA, &x, err);
	if (rc)
		return rc;
	nx_json_init(&json, out);
	nx_json_array_begin(&json);
	for (size_t i = 0; i < x->n && !rc; i++) {
		struct uri_base uri = {
			.base = base_url, .study = sel->study, .instance = x->items[i].name};
		struct nx_dataset *ds;

		nx_arena_reset(arena);
		rc = header_dataset(x->archive, &x->items[i], arena, &ds, err);
		if (rc)
			break;
		uri.series = sel->series ? sel->series : series_uid_of(ds, arena);
		rc = nx_dataset_json(ds, &json, bulk_uri, &uri, arena, err);
	}
	nx_json_array_end(&json);
	return rc ? rc : nx_buf_check(out, err);
}

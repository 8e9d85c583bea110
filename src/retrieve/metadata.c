/*
 * Metadata from header blobs alone: the bulk values are never read (PS3.18 10.4.1.1.2, Annex F).
 */
#include "base/json.h"
#include "base/limits.h"
#include "dicom/dicom.h"
#include "retrieve/instances_priv.h"

enum {
	METADATA_ARENA_MAX = 512 * 1024 * 1024
};

struct uri_base {
	const char *base;
	struct nx_instance_info info;
};

static nx_rc bulk_uri(
	void *payload, const struct nx_elem *e, struct nx_buf *out, struct nx_err *err)
{
	const struct uri_base *u = payload;

	nx_buf_printf(out, "%s/studies/%s/series/%s/instances/%s/bulkdata/%llu-%llu", u->base,
		u->info.study, u->info.series, u->info.sop_instance,
		(unsigned long long)e->bulk_offset, (unsigned long long)e->bulk_length);
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

static nx_rc one(struct nx_instances *x, size_t i, const char *base_url, struct nx_arena *arena,
	struct nx_buf *out, struct nx_err *err)
{
	struct uri_base uri = {.base = base_url};
	struct nx_dataset *ds;
	struct nx_json json;
	nx_rc rc = header_dataset(x->archive, &x->items[i], arena, &ds, err);

	if (rc)
		return rc;
	nx_instances_info(x, i, &uri.info);
	nx_json_init(&json, out);
	rc = nx_dataset_json(ds, &json, bulk_uri, &uri, arena, err);
	return rc ? rc : nx_buf_check(out, err);
}

nx_rc nx_instances_metadata(struct nx_instances *instances, size_t i, size_t enough,
	const char *base_url, struct nx_buf *out, size_t *ret_next, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(METADATA_ARENA_MAX, NX_ARENA_WIPE);
	size_t start = out->len;
	nx_rc rc = NX_OK;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for metadata");
	for (; i < instances->n && out->len - start < enough && !rc; i++) {
		if (out->len > start)
			nx_buf_put_u8(out, ',');
		nx_arena_reset(arena);
		rc = one(instances, i, base_url, arena, out, err);
	}
	if (!rc)
		*ret_next = i;
	return rc;
}

nx_rc nx_retrieve_open_metadata(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_selection *sel, struct nx_instances **ret, struct nx_err *err)
{
	return instances_find(retrieve, who, sel, NX_ACTION_READ_METADATA, ret, err);
}

nx_rc nx_retrieve_metadata(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_selection *sel, const char *base_url, struct nx_buf *out,
	struct nx_err *err)
{
	NX_AUTO(nx_instances) *x = NULL;
	size_t next;
	nx_rc rc = nx_retrieve_open_metadata(retrieve, who, sel, &x, err);

	if (rc)
		return rc;
	nx_buf_put_u8(out, '[');
	rc = nx_instances_metadata(x, 0, SIZE_MAX, base_url, out, &next, err);
	nx_buf_put_u8(out, ']');
	return rc ? rc : nx_buf_check(out, err);
}

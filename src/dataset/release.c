/*
 * Making a release: the rows of its items first, in changes of bounded size under a row that says
 * "building"; then manifest and "published".  What was cut short is never seen: only its version
 * number is used up.
 */
#include "dataset/release.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "dataset/dataset_priv.h"

enum {
	SELECTION_ARENA_MAX = 2047 * 1024 * 1024,
	HEAD_MAX = 8192, /* of a manifest */
	ROWS_AT_ONCE = 50000
};

struct nx_releases *nx_releases_new(const struct nx_releases_opts *opts)
{
	struct nx_releases *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->archive = opts->archive;
	r->collection = opts->collection;
	r->origin = opts->origin;
	(void)pthread_mutex_init(&r->lock, NULL);
	return r;
}

struct nx_releases *nx_releases_free(struct nx_releases *releases)
{
	if (!releases)
		return NULL;
	(void)pthread_mutex_destroy(&releases->lock);
	free(releases);
	return NULL;
}

nx_rc dataset_guard(struct nx_archive *archive, const struct nx_principal *who, enum nx_perm perm,
	const char *collection, struct nx_err *err)
{
	nx_rc rc = nx_access_check(who, perm, collection, err);
	NX_AUTO_DONE(nx_detail) detail;
	struct nx_entry_draft draft = {.action = NX_ACTION_ACCESS_DENY,
		.outcome = NX_OUTCOME_MINOR,
		.principal = who->name};
	struct nx_err why;

	nx_detail_begin(&detail);
	if (!rc)
		return NX_OK;
	nx_json_kv_str(&detail.json, "collection", collection);
	if (nx_detail_end(&detail, who->peer, &draft, &why) ||
		nx_archive_record(archive, &draft, &why))
		nx_log_err(NX_LOG_ERROR, "dataset", "ledger.record", &why);
	return rc;
}

/* ---- rows ---- */

static nx_rc row_parse(struct nx_op *rows, size_t n, struct nx_arena *arena,
	struct nx_release_row *ret, struct nx_err *err)
{
	if (!n)
		return nx_err_set(err, NX_E_NOENT, "no such release");
	return nx_op_row(&rows[0], arena, ret, err);
}

nx_rc release_by_id(struct nx_releases *r, int64_t id, struct nx_arena *arena,
	struct nx_release_row *ret, struct nx_err *err)
{
	struct nx_val where = nx_val_int(id);
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc = nx_cat_rows(nx_archive_cat(r->archive),
		&(struct nx_rows_of){
			.table = NX_T_RELEASE, .where = &where, .n_where = 1, .limit = 1},
		arena, &rows, &n, err);

	return rc ? rc : row_parse(rows, n, arena, ret, err);
}

/* Newest first. */
static nx_rc releases_of(struct nx_releases *r, const char *name, struct nx_arena *arena,
	struct nx_op **ret, size_t *ret_n, struct nx_err *err)
{
	struct nx_val where = nx_val_text(name);

	nx_rc rc = nx_archive_current(r->archive, err);

	if (rc)
		return rc;
	return nx_cat_rows(nx_archive_cat(r->archive),
		&(struct nx_rows_of){.table = NX_T_RELEASE,
			.index = 1,
			.where = &where,
			.n_where = name ? 1 : 0,
			.descending = true},
		arena, ret, ret_n, err);
}

nx_rc release_find(struct nx_releases *r, const char *name, int64_t version, struct nx_arena *arena,
	struct nx_release_row *ret, struct nx_err *err)
{
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc = releases_of(r, name, arena, &rows, &n, err);

	for (size_t i = 0; i < n && !rc; i++) {
		rc = nx_op_row(&rows[i], arena, ret, err);
		if (!rc && ret->state == RELEASE_PUBLISHED && (!version || ret->version == version))
			return NX_OK;
	}
	return rc ? rc : nx_err_set(err, NX_E_NOENT, "no such release");
}

static nx_rc version_next(struct nx_releases *r, const char *name, struct nx_arena *arena,
	int64_t *ret, struct nx_err *err)
{
	struct nx_release_row row;
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc = releases_of(r, name, arena, &rows, &n, err);

	*ret = 1;
	if (!rc && n)
		rc = nx_op_row(&rows[0], arena, &row, err);
	if (!rc && n)
		*ret = row.version + 1;
	return rc;
}

void release_detail_begin(struct nx_detail *detail, const struct nx_release_row *row)
{
	char name[NX_LIMIT_NAME + 32];

	(void)snprintf(name, sizeof(name), "%s@v%lld", row->name, (long long)row->version);
	nx_detail_begin(detail);
	nx_json_kv_str(&detail->json, "release", name);
	if (row->root.n)
		nx_json_kv_hex(&detail->json, "root", row->root.p, row->root.n);
}

/* ---- making ---- */

struct making {
	struct nx_releases *r;
	const struct nx_release_opts *opts;
	struct nx_arena *arena;
	struct nx_collection collection;
	struct nx_collection keep; /* of manifests */
	struct selection selection;
	struct nx_manifest_writer writer;
	struct nx_release_row row;
	uint8_t root[NX_MANIFEST_HASH_LEN];
};

static bool name_ok(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-");

	return n && n <= NX_LIMIT_NAME && !name[n] && !strchr("._-", name[0]);
}

static nx_rc making_check(struct making *m, struct nx_err *err)
{
	struct nx_cat *cat = nx_archive_cat(m->r->archive);
	nx_rc rc = dataset_guard(
		m->r->archive, m->opts->who, NX_PERM_RELEASE, m->opts->collection, err);

	if (rc)
		return rc;
	if (!name_ok(m->opts->name))
		return nx_err_set(err, NX_E_INVAL, "not a name for a release");
	rc = nx_cat_collection(cat, m->opts->collection, m->arena, &m->collection, err);
	if (rc)
		return rc;
	if (m->collection.zone != NX_ZONE_CURATED)
		return nx_err_set(err, NX_E_INVAL, "only zone curated is released from");
	rc = nx_cat_collection(cat, m->r->collection, m->arena, &m->keep, err);
	if (rc)
		return nx_err_prefix(err, rc, "collection of manifests");
	if (m->keep.zone != NX_ZONE_ARCHIVE)
		return nx_err_set(err, NX_E_CONFIG, "manifests belong into zone archive");
	return NX_OK;
}

static nx_rc entry_add(
	const struct making *m, struct nx_change *change, const char *step, struct nx_err *err)
{
	NX_AUTO_DONE(nx_detail) detail;
	struct nx_entry_draft draft = {
		.action = NX_ACTION_RELEASE, .principal = m->opts->who->name};
	nx_rc rc;

	release_detail_begin(&detail, &m->row);
	nx_json_kv_str(&detail.json, "collection", m->opts->collection);
	nx_json_kv_str(&detail.json, "step", step);
	nx_json_kv_uint(&detail.json, "items", m->selection.n);
	rc = nx_detail_end(&detail, m->opts->who->peer, &draft, err);
	return rc ? rc : nx_change_entry(change, &draft, NULL, err);
}

static nx_rc release_row(const struct making *m, struct nx_change *change, struct nx_err *err)
{
	struct nx_op op;
	nx_rc rc = nx_op_put_release(&m->row, m->arena, &op);

	if (rc)
		return nx_err_set(err, rc, "no memory for a release row");
	return nx_change_op(change, &op, err);
}

/* Rows [from, to); the first change carries the release's own. */
static nx_rc rows_commit(struct making *m, size_t from, size_t to, struct nx_err *err)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	nx_rc rc = NX_OK;

	if (!change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	if (!from)
		rc = release_row(m, change, err);
	for (size_t i = from; i < to && !rc; i++) {
		struct nx_val vals[] = {nx_val_int(m->row.id), nx_val_int((int64_t)i),
			nx_val_int(m->selection.items[i].item)};

		rc = nx_change_op(change,
			&(struct nx_op){.verb = NX_OP_PUT,
				.table = NX_T_RELEASE_ITEM,
				.n = 3,
				.vals = vals},
			err);
	}
	if (!rc)
		rc = entry_add(m, change, "building", err);
	return rc ? rc : nx_archive_commit(m->r->archive, change, err);
}

static nx_rc manifest_write(struct making *m, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	nx_manifest_writer_init(&m->writer, MANIFEST_MAX);
	for (size_t i = 0; i < m->selection.n && !rc; i++)
		rc = nx_manifest_writer_put(&m->writer, &m->selection.items[i].entry, err);
	return rc ? rc : nx_manifest_writer_finish(&m->writer, m->root, err);
}

static nx_rc manifest_blob(
	struct making *m, struct nx_blob **ret, uint64_t *ret_size, struct nx_err *err)
{
	NX_AUTO(nx_blob_writer) *w = NULL;
	NX_AUTO_DONE(nx_buf) head;
	NX_AUTO_DONE(nx_key) seed = {{0}};
	nx_rc rc = nx_keys_site(nx_archive_keys(m->r->archive), "release-sign", &seed, err);

	nx_buf_init(&head, HEAD_MAX, 0);
	if (!rc)
		rc = nx_manifest_head(&m->writer,
			&(struct nx_manifest_title){.name = m->row.name,
				.version = m->row.version,
				.root = m->root,
				.origin = m->r->origin},
			&seed, &head, err);
	if (rc)
		return rc;
	*ret_size = head.len + m->writer.pages.len;
	rc = nx_blob_writer_new(
		m->r->archive, (uint32_t)m->keep.domain, *ret_size, NX_BLOB_COMPRESS, &w, err);
	if (!rc)
		rc = nx_blob_writer_put(w, head.data, head.len, err);
	if (!rc)
		rc = nx_blob_writer_put(w, m->writer.pages.data, m->writer.pages.len, err);
	return rc ? rc : nx_blob_writer_finish(w, ret, err);
}

/* The manifest as an object; the row follows when its item has a number. */
static nx_rc manifest_store(struct making *m, struct nx_err *err)
{
	struct nx_blob *blob = NULL;
	struct nx_recipe_part part = {.kind = NX_PART_BLOB};
	char name[NX_LIMIT_NAME + 32];
	struct nx_item item = {.name = name, .type = "text/plain; charset=utf-8", .ts_uid = ""};
	struct nx_put put = {.collection = &m->keep,
		.item = &item,
		.blobs = &blob,
		.n_blobs = 1,
		.parts = &part,
		.n_parts = 1,
		.if_none_match_any = true};
	NX_AUTO(nx_change) *change = nx_change_new(); /* it ends before what it names */
	nx_rc rc;

	if (!change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	(void)snprintf(name, sizeof(name), "%s@v%lld", m->row.name, (long long)m->row.version);
	rc = manifest_blob(m, &blob, &part.len, err);
	item.size = (int64_t)part.len;
	if (!rc)
		rc = nx_change_put(change, &put, err);
	if (rc) {
		nx_blob_free(blob);
		return rc;
	}
	rc = entry_add(m, change, "manifest", err);
	if (!rc)
		rc = nx_archive_commit(m->r->archive, change, err);
	m->row.manifest = put.ret_item;
	return rc;
}

static nx_rc publish(struct making *m, struct nx_err *err)
{
	NX_AUTO(nx_change) *change = nx_change_new();
	nx_rc rc;

	if (!change)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a change");
	m->row.state = RELEASE_PUBLISHED;
	m->row.root = nx_slice(m->root, sizeof(m->root));
	rc = release_row(m, change, err);
	if (!rc)
		rc = entry_add(m, change, "published", err);
	return rc ? rc : nx_archive_commit(m->r->archive, change, err);
}

static nx_rc making_run(struct making *m, struct nx_err *err)
{
	nx_rc rc = version_next(m->r, m->opts->name, m->arena, &m->row.version, err);

	m->row.id = (int64_t)nx_archive_next_id(m->r->archive, NX_T_RELEASE);
	m->row.name = m->opts->name;
	m->row.collection = m->collection.id;
	m->row.state = RELEASE_BUILDING;
	m->row.n_items = (int64_t)m->selection.n;
	m->row.principal = m->opts->who->name;
	m->row.created_us = nx_now_us();
	for (size_t at = 0; at < m->selection.n && !rc; at += ROWS_AT_ONCE) {
		size_t left = m->selection.n - at;

		rc = rows_commit(m, at, at + (left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE), err);
	}
	if (!rc)
		rc = manifest_store(m, err);
	return rc ? rc : publish(m, err);
}

nx_rc nx_release_make(struct nx_releases *releases, const struct nx_release_opts *opts,
	struct nx_release_result *ret, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(SELECTION_ARENA_MAX, NX_ARENA_WIPE);
	struct making m = {.r = releases,
		.opts = opts,
		.arena = arena,
		.selection = {.archive = releases->archive, .arena = arena}};
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a release");
	rc = making_check(&m, err);
	if (!rc)
		rc = selection_fill(
			&m.selection, &m.collection, opts->studies, opts->n_studies, err);
	if (!rc)
		rc = manifest_write(&m, err);
	if (!rc) {
		(void)pthread_mutex_lock(&releases->lock);
		rc = making_run(&m, err);
		(void)pthread_mutex_unlock(&releases->lock);
	}
	if (!rc) {
		*ret = (struct nx_release_result){.version = m.row.version,
			.n_items = m.selection.n,
			.bytes = m.selection.bytes};
		memcpy(ret->root, m.root, sizeof(ret->root));
	}
	nx_manifest_writer_done(&m.writer);
	selection_done(&m.selection);
	return rc;
}

/* ---- reading ---- */

nx_rc nx_release_ref_parse(
	const char *ref, char ret_name[NX_LIMIT_NAME + 1], int64_t *ret_version, struct nx_err *err)
{
	const char *at = ref ? strchr(ref, '@') : NULL;
	size_t n = at ? (size_t)(at - ref) : ref ? strlen(ref) : 0;
	char name[NX_LIMIT_NAME + 1];
	int64_t version = 0;

	if (!n || n > NX_LIMIT_NAME)
		return nx_err_set(err, NX_E_INVAL, "not the name of a release");
	memcpy(name, ref, n);
	name[n] = 0;
	if (at &&
		(at[1] != 'v' || strspn(at + 2, "0123456789") != strlen(at + 2) ||
			strlen(at + 2) > 9 || (version = strtoll(at + 2, NULL, 10)) == 0))
		return nx_err_set(err, NX_E_INVAL, "not the version of a release");
	if (!name_ok(name))
		return nx_err_set(err, NX_E_INVAL, "not the name of a release");
	memcpy(ret_name, name, n + 1);
	*ret_version = version;
	return NX_OK;
}

static bool may_see(const struct nx_principal *who)
{
	struct nx_decision lease, release;

	nx_access_decide(who, NX_PERM_LEASE, NULL, &lease);
	nx_access_decide(who, NX_PERM_RELEASE, NULL, &release);
	return lease.permit || release.permit || who->collection[0];
}

/* Those of the collections that the principal may lease or release from. */
static nx_rc row_visible(struct nx_releases *r, const struct nx_principal *who,
	const struct nx_release_row *row, struct nx_arena *arena, bool *ret, struct nx_err *err)
{
	struct nx_decision lease, release;
	struct nx_collection c;
	nx_rc rc = nx_cat_collection_by_id(
		nx_archive_cat(r->archive), row->collection, arena, &c, err);

	if (rc)
		return rc;
	nx_access_decide(who, NX_PERM_LEASE, c.name, &lease);
	nx_access_decide(who, NX_PERM_RELEASE, c.name, &release);
	*ret = row->state == RELEASE_PUBLISHED && (lease.permit || release.permit);
	return NX_OK;
}

static void row_json(const struct nx_release_row *row, struct nx_json *json)
{
	char when[NX_TIME_TEXT];

	nx_time_format(row->created_us, when);
	nx_json_object_begin(json);
	nx_json_kv_str(json, "name", row->name);
	nx_json_kv_int(json, "version", row->version);
	nx_json_kv_int(json, "items", row->n_items);
	nx_json_kv_hex(json, "root", row->root.p, row->root.n);
	nx_json_kv_str(json, "created", when);
	nx_json_kv_str(json, "by", row->principal);
	nx_json_object_end(json);
}

nx_rc nx_release_list_json(struct nx_releases *releases, const struct nx_principal *who,
	const char *name, struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(SELECTION_ARENA_MAX, 0);
	struct nx_json json;
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a list");
	if (!may_see(who))
		return dataset_guard(releases->archive, who, NX_PERM_LEASE, NULL, err);
	rc = releases_of(releases, name, arena, &rows, &n, err);
	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_key(&json, "releases");
	nx_json_array_begin(&json);
	for (size_t i = 0; i < n && !rc; i++) {
		struct nx_release_row row;
		bool visible = false;

		rc = nx_op_row(&rows[i], arena, &row, err);
		if (!rc)
			rc = row_visible(releases, who, &row, arena, &visible, err);
		if (!rc && visible)
			row_json(&row, &json);
	}
	nx_json_array_end(&json);
	nx_json_object_end(&json);
	return rc ? rc : nx_buf_check(out, err);
}

static nx_rc manifest_read(struct nx_releases *r, int64_t item_id, struct nx_arena *arena,
	struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO(nx_reader) *reader = NULL;
	struct nx_item item;
	uint64_t off = 0;
	size_t n = 1;
	nx_rc rc = nx_cat_item_by_id(nx_archive_cat(r->archive), item_id, arena, &item, err);

	if (!rc)
		rc = nx_archive_open_item(r->archive, &item, &reader, err);
	while (!rc && n) {
		uint8_t *to = nx_buf_reserve(out, NX_MIB);

		if (!to)
			return nx_buf_check(out, err);
		rc = nx_reader_read(reader, off, to, NX_MIB, &n, err);
		if (rc)
			break;
		out->len += n;
		off += n;
	}
	return rc;
}

static nx_rc manifest_note(struct nx_releases *r, const struct nx_principal *who,
	const struct nx_release_row *row, struct nx_err *err)
{
	NX_AUTO_DONE(nx_detail) detail;
	struct nx_entry_draft draft = {.action = NX_ACTION_READ, .principal = who->name};
	nx_rc rc;

	release_detail_begin(&detail, row);
	nx_json_kv_str(&detail.json, "what", "manifest");
	rc = nx_detail_end(&detail, who->peer, &draft, err);
	return rc ? rc : nx_archive_record(r->archive, &draft, err);
}

nx_rc nx_release_manifest(struct nx_releases *releases, const struct nx_principal *who,
	const char *name, int64_t version, struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(SELECTION_ARENA_MAX, NX_ARENA_WIPE);
	struct nx_release_row row;
	bool visible = false;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a manifest");
	rc = release_find(releases, name, version, arena, &row, err);
	if (!rc)
		rc = row_visible(releases, who, &row, arena, &visible, err);
	if (rc)
		return rc;
	if (!visible)
		return dataset_guard(releases->archive, who, NX_PERM_LEASE, NULL, err);
	rc = manifest_note(releases, who, &row, err);
	return rc ? rc : manifest_read(releases, row.manifest, arena, out, err);
}

nx_rc nx_release_verifier_key(struct nx_releases *releases, struct nx_buf *out, struct nx_err *err)
{
	NX_AUTO_DONE(nx_key) seed = {{0}};
	nx_rc rc = nx_keys_site(nx_archive_keys(releases->archive), "release-sign", &seed, err);

	if (rc)
		return rc;
	nx_manifest_verifier_key(releases->origin, &seed, out);
	return nx_buf_check(out, err);
}

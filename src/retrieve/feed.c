/*
 * The change feed of a collection, in the form of Azure's DICOM service: what became of instances,
 * by number, and what they are now.
 */
#include "base/clock.h"
#include "base/json.h"
#include "retrieve/retrieve_priv.h"

enum {
	FEED_ARENA_MAX = 64 * 1024 * 1024,
	FEED_LIMIT = 100,
	FEED_LIMIT_MAX = 1000
};

struct page {
	struct nx_cat *cat;
	struct nx_arena *arena; /* of one row */
	struct nx_json json;
	unsigned n;
};

/* What the numbers of a row lead to, as far as it is still there. */
struct names {
	struct nx_item item;
	struct nx_series series;
	struct nx_study study;
	bool known;
};

static nx_rc names_find(
	struct page *p, const struct nx_feed_row *row, struct names *ret, struct nx_err *err)
{
	nx_rc rc = row->item ? nx_cat_item_by_id(p->cat, row->item, p->arena, &ret->item, err)
			     : NX_E_NOENT;

	if (!rc)
		rc = nx_cat_series_by_id(p->cat, ret->item.series, p->arena, &ret->series, err);
	if (!rc)
		rc = nx_cat_study_by_id(p->cat, ret->series.study, p->arena, &ret->study, err);
	ret->known = !rc;
	return rc == NX_E_NOENT ? NX_OK : rc;
}

static const char *state_of(const struct names *names)
{
	if (!names->known)
		return "erased";
	if (names->item.state == NX_ITEM_LIVE)
		return "current";
	if (names->item.state == NX_ITEM_REJECTED)
		return "rejected";
	return names->item.state == NX_ITEM_OLD ? "replaced" : "deleted";
}

static void entry_put(
	struct nx_json *json, const struct nx_feed_row *row, const struct names *names)
{
	static const char *const actions[] = {
		[NX_FEED_CREATE] = "Create",
		[NX_FEED_UPDATE] = "Update",
		[NX_FEED_DELETE] = "Delete",
		[NX_FEED_ERASE] = "Erase",
	};
	char when[NX_TIME_TEXT];

	nx_time_format(row->time_us, when);
	nx_json_object_begin(json);
	nx_json_kv_int(json, "Sequence", row->number);
	nx_json_kv_str(json, "StudyInstanceUid", names->known ? names->study.uid : NULL);
	nx_json_kv_str(json, "SeriesInstanceUid", names->known ? names->series.uid : NULL);
	nx_json_kv_str(json, "SopInstanceUid", names->known ? names->item.name : NULL);
	nx_json_kv_str(json, "Action",
		row->action > 0 && row->action < (int64_t)NX_ARRAY_LEN(actions)
			? actions[row->action]
			: "");
	nx_json_kv_str(json, "Timestamp", when);
	nx_json_kv_str(json, "State", state_of(names));
	nx_json_kv_id(json, "Subject", (uint64_t)row->subject);
	nx_json_object_end(json);
}

static nx_rc page_row(void *payload, const void *row, struct nx_err *err)
{
	struct page *p = payload;
	struct names names = {.known = false};
	nx_rc rc;

	nx_arena_reset(p->arena);
	rc = names_find(p, row, &names, err);
	if (rc)
		return rc;
	p->n++;
	entry_put(&p->json, row, &names);
	return nx_buf_check(p->json.out, err);
}

static nx_rc page_read(struct nx_retrieve *r, struct page *p, int64_t collection,
	const struct nx_feed_ask *ask, struct nx_err *err)
{
	unsigned limit = ask->limit ? ask->limit : FEED_LIMIT;
	nx_rc rc = nx_archive_current(r->archive, err);

	if (rc)
		return rc;
	return nx_cat_feed(p->cat, collection, ask->after,
		limit < FEED_LIMIT_MAX ? limit : FEED_LIMIT_MAX, page_row, p, err);
}

static nx_rc pages(struct nx_retrieve *r, struct page *p, int64_t collection,
	const struct nx_feed_ask *ask, struct nx_err *err)
{
	nx_rc rc;

	nx_json_array_begin(&p->json);
	rc = page_read(r, p, collection, ask, err);
	if (!rc && !p->n && ask->wait_us) {
		nx_archive_feed_wait(r->archive, collection, ask->after, ask->wait_us);
		rc = page_read(r, p, collection, ask, err);
	}
	nx_json_array_end(&p->json);
	return rc;
}

static nx_rc latest(struct nx_retrieve *r, struct page *p, int64_t collection, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(FEED_ARENA_MAX, 0);
	struct nx_val where = nx_val_int(collection);
	struct nx_feed_row row;
	struct nx_op *rows;
	size_t n = 0;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the change feed");
	rc = nx_archive_current(r->archive, err);
	if (!rc)
		rc = nx_cat_rows(p->cat,
			&(struct nx_rows_of){.table = NX_T_FEED,
				.where = &where,
				.n_where = 1,
				.descending = true,
				.limit = 1},
			arena, &rows, &n, err);
	if (!rc && n)
		rc = nx_op_row(rows, arena, &row, err);
	return rc || !n ? rc : page_row(p, &row, err);
}

nx_rc nx_retrieve_feed(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_feed_ask *ask, struct nx_buf *out, struct nx_err *err)
{
	const struct access_note n = {
		.action = NX_ACTION_QUERY, .collection = ask->collection, .what = "changes"};
	NX_AUTO(nx_arena) *arena = nx_arena_new(FEED_ARENA_MAX, NX_ARENA_WIPE);
	struct page p = {.cat = nx_archive_cat(retrieve->archive), .arena = arena};
	struct nx_collection collection;
	nx_rc rc;

	if (!arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the change feed");
	rc = guard(retrieve, who, NX_PERM_QUERY, ask->collection, &collection, arena, err);
	if (!rc)
		rc = note(retrieve, who, &n, true, err);
	if (rc)
		return rc;
	nx_json_init(&p.json, out);
	rc = ask->latest ? latest(retrieve, &p, collection.id, err)
			 : pages(retrieve, &p, collection.id, ask, err);
	return rc ? rc : nx_buf_check(out, err);
}

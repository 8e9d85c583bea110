/*
 * Metadata from header blobs alone: the bulk values are never read (PS3.18 10.4.1.1.2, Annex F).
 */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "archive/rewrite.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/thread.h"
#include "dicom/dicom.h"
#include "retrieve/instances_priv.h"

enum {
	METADATA_ARENA_MAX = 512 * 1024 * 1024,
	BATCH_MAX = 256,
	WORKER_SHARE = 16, /* instances that are worth a thread */
	WORKERS_MAX = 7
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

bool is_deflated(const struct nx_item *item)
{
	const struct nx_ts *ts = nx_ts_find(item->ts_uid);

	return ts && ts->deflated;
}

nx_rc inflated_dataset(struct nx_archive *archive, const struct nx_item *item,
	const struct nx_recipe *recipe, struct nx_arena *arena, struct nx_dataset **ret,
	struct nx_err *err)
{
	struct nx_slice stream;
	nx_rc rc = nx_archive_read_blob(
		archive, item, &recipe->blobs[0], NX_LIMIT_DICOM_HEADER, arena, &stream, err);

	return rc ? rc : nx_dataset_parse(stream, NULL, UINT32_MAX, arena, ret, err);
}

/* The value whose place metadata gave out, at any depth (which the parser has bounded). */
static const struct nx_elem *value_at(const struct nx_dataset *ds, uint64_t off, uint64_t len)
{
	const struct nx_elem *found = NULL;

	for (size_t i = 0; i < ds->n && !found; i++) {
		const struct nx_elem *e = &ds->elems[i];

		if (!e->n_items && e->bulk_offset == off && e->value.n == len)
			found = e;
		for (size_t k = 0; k < e->n_items && !found; k++)
			found = value_at(e->items[k], off, len);
	}
	return found;
}

nx_rc nx_instances_value(struct nx_instances *instances, uint64_t off, uint64_t len,
	struct nx_slice *ret, struct nx_err *err)
{
	const struct nx_item *item = &instances->items[0];
	const struct nx_elem *value;
	struct nx_recipe *recipe;
	struct nx_dataset *ds;
	nx_rc rc;

	if (!is_deflated(item)) {
		*ret = nx_slice(NULL, 0);
		return NX_OK;
	}
	rc = nx_archive_recipe(instances->archive, item, instances->arena, &recipe, err);
	if (!rc)
		rc = inflated_dataset(instances->archive, item, recipe, instances->arena, &ds, err);
	if (rc)
		return rc;
	value = value_at(ds, off, len);
	if (!value || !value->value.n)
		return nx_err_set(err, NX_E_NOENT, "no such bulk data");
	*ret = value->value;
	return NX_OK;
}

/* (0008,3002): the one transfer syntax that the instance can be had in, whatever it says itself. */
static nx_rc syntax_put(
	struct nx_dataset *ds, const char *ts_uid, struct nx_arena *arena, struct nx_err *err)
{
	const struct nx_elem available = {.tag = NX_TAG_AVAILABLE_TRANSFER_SYNTAX_UID,
		.vr = NX_VR('U', 'I'),
		.value = nx_slice_str(ts_uid)};
	struct nx_elem *elems = nx_arena_alloc_array(arena, ds->n + 1, sizeof(*elems));
	size_t at = 0, skip;

	if (!elems)
		return nx_err_set(err, NX_E_NOMEM, "no memory for metadata");
	while (at < ds->n && ds->elems[at].tag < available.tag)
		at++;
	skip = at < ds->n && ds->elems[at].tag == available.tag;
	memcpy(elems, ds->elems, at * sizeof(*elems));
	elems[at] = available;
	memcpy(elems + at + 1, ds->elems + at + skip, (ds->n - at - skip) * sizeof(*elems));
	ds->elems = elems;
	ds->n += 1 - skip;
	return NX_OK;
}

static nx_rc one(struct nx_instances *x, size_t i, const char *base_url, struct nx_arena *arena,
	struct nx_buf *out, struct nx_err *err)
{
	struct uri_base uri = {.base = base_url};
	struct nx_recipe *recipe;
	struct nx_dataset *ds = NULL;
	struct nx_json json;
	nx_rc rc = nx_archive_recipe(x->archive, &x->items[i], arena, &recipe, err);

	if (!rc)
		rc = nx_archive_header(x->archive, &x->items[i], recipe, arena, &ds, err);
	if (!rc)
		rc = syntax_put(ds, x->items[i].ts_uid, arena, err);
	if (rc)
		return rc;
	nx_instances_info(x, i, &uri.info);
	nx_json_init(&json, out);
	rc = nx_dataset_json(ds, &json, bulk_uri, &uri, arena, err);
	return rc ? rc : nx_buf_check(out, err);
}

/*
 * A batch: instances are taken in order, each made by one worker into a buffer of its own, until
 * there is enough.  What was taken is finished, so that what is done has no gaps.
 */
struct batch {
	struct nx_instances *instances;
	const char *base_url;
	size_t first;
	size_t n; /* at most */
	size_t enough;
	atomic_size_t next; /* to be taken, from 0 */
	atomic_size_t len;  /* bytes made */
	pthread_mutex_t lock;
	nx_rc rc;          /* the first failure; guarded by lock */
	struct nx_err err; /* guarded by lock */
	atomic_bool failed;
	struct nx_buf out[BATCH_MAX];
};

static void batch_fail(struct batch *b, nx_rc rc, const struct nx_err *err)
{
	(void)pthread_mutex_lock(&b->lock);
	if (!b->rc) {
		b->rc = rc;
		b->err = *err;
	}
	(void)pthread_mutex_unlock(&b->lock);
	atomic_store(&b->failed, true);
}

static void *batch_work(void *arg)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(METADATA_ARENA_MAX, NX_ARENA_WIPE);
	struct batch *b = arg;
	struct nx_err err = {0};
	nx_rc rc = arena ? NX_OK : nx_err_set(&err, NX_E_NOMEM, "no memory for metadata");

	while (!rc && !atomic_load(&b->failed) && atomic_load(&b->len) < b->enough) {
		size_t i = atomic_fetch_add(&b->next, 1);

		if (i >= b->n)
			return NULL;
		nx_arena_reset(arena);
		rc = one(b->instances, b->first + i, b->base_url, arena, &b->out[i], &err);
		atomic_fetch_add(&b->len, b->out[i].len);
	}
	if (rc)
		batch_fail(b, rc, &err);
	return NULL;
}

static void *batch_main(void *arg)
{
	nx_thread_name("metadata");
	return batch_work(arg);
}

/* The caller works, too; a thread that cannot be had is done without. */
static void batch_run(struct batch *b)
{
	pthread_t threads[WORKERS_MAX];
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t want = b->n / WORKER_SHARE, n = 0;

	if (want >= (size_t)cpus)
		want = cpus > 1 ? (size_t)cpus - 1 : 0;
	if (want > WORKERS_MAX)
		want = WORKERS_MAX;
	while (n < want && pthread_create(&threads[n], NULL, batch_main, b) == 0)
		n++;
	(void)batch_work(b);
	while (n)
		(void)pthread_join(threads[--n], NULL);
}

static size_t batch_join(struct batch *b, struct nx_buf *out)
{
	size_t n = atomic_load(&b->next);

	n = n < b->n ? n : b->n;
	for (size_t i = 0; i < n && !b->rc; i++) {
		if (i)
			nx_buf_put_u8(out, ',');
		nx_buf_put_slice(out, nx_buf_slice(&b->out[i]));
	}
	return n;
}

nx_rc nx_instances_metadata(struct nx_instances *instances, size_t i, size_t enough,
	const char *base_url, struct nx_buf *out, size_t *ret_next, struct nx_err *err)
{
	NX_AUTO_MEM struct batch *b = calloc(1, sizeof(*b));
	size_t done;

	if (instances->record.n)
		return series_record_next(instances, i, enough, base_url, out, ret_next, err);
	if (!b)
		return nx_err_set(err, NX_E_NOMEM, "no memory for metadata");
	b->instances = instances;
	b->base_url = base_url;
	b->first = i;
	b->n = instances->n - i < BATCH_MAX ? instances->n - i : BATCH_MAX;
	b->enough = enough;
	(void)pthread_mutex_init(&b->lock, NULL);
	for (size_t k = 0; k < b->n; k++)
		nx_buf_init(&b->out[k], out->max, NX_BUF_WIPE);
	batch_run(b);
	done = batch_join(b, out);
	for (size_t k = 0; k < b->n; k++)
		nx_buf_done(&b->out[k]);
	(void)pthread_mutex_destroy(&b->lock);
	if (b->rc) {
		if (err)
			*err = b->err;
		return b->rc;
	}
	*ret_next = i + done;
	return nx_buf_check(out, err);
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
	nx_rc rc = nx_retrieve_open_metadata(retrieve, who, sel, &x, err);

	if (rc)
		return rc;
	nx_buf_put_u8(out, '[');
	for (size_t i = 0; i < x->n && !rc;) {
		if (i)
			nx_buf_put_u8(out, ',');
		rc = nx_instances_metadata(x, i, SIZE_MAX, base_url, out, &i, err);
	}
	nx_buf_put_u8(out, ']');
	return rc ? rc : nx_buf_check(out, err);
}

/*
 * STOW-RS of metadata and bulk data (PS3.18 8.6.1.2, 10.5).  Metadata comes first and is kept, bulk
 * values are written as they arrive, by their Content-Location, in any order; an instance is put
 * together when all of its values are there.  Parts of one value follow each other.
 */
#include <stdlib.h>

#include "base/arena.h"
#include "base/map.h"
#include "dicom/model.h"
#include "dicomweb/stow_priv.h"

enum {
	REFS_MAX = 65536 /* values of one instance that are elsewhere */
};

struct waiting;

/* A value that comes as parts. */
struct ref {
	struct waiting *of;
	struct nx_elem *elem;
	struct nx_ingest_value *value;
};

struct waiting {
	struct waiting *prev;
	struct waiting *next;
	struct nx_model *model;
	struct nx_ingest_job *job; /* once a part came */
	struct ref *refs;          /* in the order of the data set; in the model's arena */
	size_t n_refs;
	size_t n_ready;
	char ts_uid[NX_LIMIT_UID + 1];
	uint64_t held;
};

struct stow_models {
	struct nx_model_reader *reader; /* of the part at hand; NULL: it is bulk */
	struct nx_ingest_hold hold;
	uint64_t read;         /* of it: bytes of that part */
	struct waiting *first; /* in the order of the metadata */
	struct waiting *last;
	struct nx_map *refs; /* by BulkDataURI, until their value begins */
	struct ref *now;     /* whose parts arrive; NULL: of nobody */
	struct stow_pixels pixels;
};

/* ---- memory ---- */

static nx_rc hold_more(struct stow_models *m, uint64_t n, struct nx_err *err)
{
	return nx_ingest_hold_set(&m->hold, m->hold.bytes + n, err);
}

static void hold_less(struct stow_models *m, uint64_t n)
{
	(void)!nx_ingest_hold_set(&m->hold, m->hold.bytes - n, NULL); /* never fails */
}

static nx_rc models_need(struct store *s, struct nx_err *err)
{
	struct stow_models *m;

	if (s->models)
		return NX_OK;
	m = calloc(1, sizeof(*m));
	if (m)
		m->refs = nx_map_new();
	if (!m || !m->refs) {
		free(m);
		return nx_err_set(err, NX_E_NOMEM, "no memory for metadata");
	}
	m->hold.ingest = s->call.mount->ingest;
	s->models = m;
	return NX_OK;
}

/* ---- instances ---- */

static struct nx_slice uri_of(const struct ref *ref)
{
	return ref->elem->value;
}

static void waiting_free(struct stow_models *m, struct waiting *w)
{
	for (size_t i = 0; i < w->n_refs; i++) {
		struct ref *ref = &w->refs[i];

		if (ref == m->now) {
			stow_pixels_done(&m->pixels);
			m->now = NULL;
		}
		if (nx_map_get(m->refs, uri_of(ref)) == ref)
			(void)nx_map_del(m->refs, uri_of(ref));
		nx_ingest_value_free(ref->value);
	}
	*(w->prev ? &w->prev->next : &m->first) = w->next;
	*(w->next ? &w->next->prev : &m->last) = w->prev;
	hold_less(m, w->held);
	nx_ingest_job_free(w->job);
	nx_model_free(w->model);
	free(w);
}

static void known_of(const struct nx_model *model, struct nx_ingest_result *ret)
{
	const struct {
		nx_tag tag;
		char *to;
	} uids[] = {{NX_TAG_SOP_CLASS_UID, ret->sop_class},
		{NX_TAG_SOP_INSTANCE_UID, ret->sop_instance},
		{NX_TAG_STUDY_INSTANCE_UID, ret->study}, {NX_TAG_SERIES_INSTANCE_UID, ret->series}};

	for (size_t i = 0; model->ds && i < NX_ARRAY_LEN(uids); i++) {
		const char *uid = nx_dataset_text(model->ds, uids[i].tag, model->arena);

		if (uid && nx_uid_valid(uid, strlen(uid)))
			(void)snprintf(uids[i].to, NX_LIMIT_UID + 1, "%s", uid);
	}
}

/* Parts of values of what has failed: read past. */
static struct ref gone;

/* One instance fails, the others go on. */
static void waiting_fail(struct store *s, struct waiting *w, const struct nx_err *why)
{
	struct nx_ingest_result known = {0};
	struct nx_err err;

	known_of(w->model, &known);
	if (!w->job && stow_begin(s, &w->job, &err))
		w->job = NULL;
	if (w->job)
		nx_ingest_refuse(w->job, why);
	dw_report_failed(&s->report, &known, why->rc, s->opts.expect_study);
	for (size_t i = 0; i < w->n_refs; i++)
		if (!nx_map_get(s->models->refs, uri_of(&w->refs[i])) ||
			nx_map_get(s->models->refs, uri_of(&w->refs[i])) == &w->refs[i])
			(void)!nx_map_put(s->models->refs, uri_of(&w->refs[i]), &gone, NULL);
	waiting_free(s->models, w);
}

/* ---- putting an instance together ---- */

struct places {
	size_t at[REFS_MAX];
	size_t n;
};

static nx_rc on_bulk(void *payload, const struct nx_elem *e, size_t at, struct nx_err *err)
{
	struct places *places = payload;

	(void)e;
	if (places->n == REFS_MAX)
		return nx_err_set(err, NX_E_LIMIT, "more than %d bulk values", REFS_MAX);
	places->at[places->n++] = at;
	return NX_OK;
}

static nx_rc header_write(
	const struct waiting *w, struct nx_buf *out, struct places *places, struct nx_err *err)
{
	struct nx_ingest_result known = {0};
	const char *ts_uid = w->ts_uid[0] ? w->ts_uid : NX_UID_EXPLICIT_VR_LITTLE_ENDIAN;
	nx_rc rc;

	known_of(w->model, &known);
	if (!known.sop_class[0] || !known.sop_instance[0])
		return nx_err_set(err, NX_E_MALFORMED, "no SOP class or instance UID");
	rc = nx_dicom_meta_write(known.sop_class, known.sop_instance, ts_uid, NULL, out, err);
	return rc ? rc
		  : nx_dataset_write(w->model->ds, nx_ts_find(ts_uid), out, on_bulk, places, err);
}

static nx_rc instance_feed(
	struct waiting *w, struct nx_slice header, const struct places *places, struct nx_err *err)
{
	size_t from = 0;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < w->n_refs && !rc; i++) {
		rc = nx_ingest_feed(w->job, header.p + from, places->at[i] - from, err);
		if (!rc)
			rc = nx_ingest_feed_value(w->job, w->refs[i].value, err);
		from = places->at[i];
	}
	if (!rc)
		rc = nx_ingest_feed(w->job, header.p + from, header.n - from, err);
	return rc ? rc : nx_ingest_submit(w->job, err);
}

static nx_rc instance_make(struct waiting *w, struct nx_err *err)
{
	NX_AUTO_MEM struct places *places = calloc(1, sizeof(*places));
	NX_AUTO_DONE(nx_buf) header;
	nx_rc rc;

	nx_buf_init(&header, NX_LIMIT_DICOM_HEADER, NX_BUF_WIPE);
	if (!places)
		return nx_err_set(err, NX_E_NOMEM, "no memory for an instance");
	rc = header_write(w, &header, places, err);
	return rc ? rc : instance_feed(w, nx_buf_slice(&header), places, err);
}

static nx_rc waiting_complete(struct store *s, struct waiting *w, struct nx_err *err)
{
	struct nx_err why = {0};
	nx_rc rc = w->job ? NX_OK : stow_begin(s, &w->job, &why);

	if (stow_is_over(rc)) {
		if (err)
			*err = why;
		return rc;
	}
	if (!rc)
		rc = instance_make(w, &why);
	if (rc) {
		waiting_fail(s, w, &why);
		return NX_OK;
	}
	stow_submitted(s, NX_STEAL(w->job));
	waiting_free(s->models, w);
	return NX_OK;
}

/* ---- metadata ---- */

static void refs_count(const struct nx_dataset *ds, size_t *n)
{
	for (size_t i = 0; i < ds->n; i++) {
		*n += ds->elems[i].is_bulk;
		for (size_t k = 0; k < ds->elems[i].n_items; k++)
			refs_count(ds->elems[i].items[k], n);
	}
}

/* False: another value has that URI. */
static bool refs_fill(struct stow_models *m, struct waiting *w, struct nx_dataset *ds, nx_rc *ret)
{
	bool ok = true;

	for (size_t i = 0; i < ds->n && ok && !*ret; i++) {
		struct nx_elem *elem = &ds->elems[i];

		for (size_t k = 0; k < elem->n_items && ok; k++)
			ok = refs_fill(m, w, elem->items[k], ret);
		if (!elem->is_bulk)
			continue;
		ok = !nx_map_get(m->refs, elem->value); /* also of one that failed */
		w->refs[w->n_refs] = (struct ref){.of = w, .elem = elem};
		if (ok && !nx_map_put(m->refs, elem->value, &w->refs[w->n_refs], NULL))
			*ret = NX_E_NOMEM;
		w->n_refs++;
	}
	return ok;
}

static nx_rc refs_make(struct stow_models *m, struct waiting *w, struct nx_err *err)
{
	nx_rc rc = NX_OK;
	size_t n = 0;

	refs_count(w->model->ds, &n);
	if (n > REFS_MAX)
		return nx_err_set(err, NX_E_LIMIT, "more than %d bulk values", REFS_MAX);
	w->refs = nx_arena_alloc_array(w->model->arena, n + 1, sizeof(*w->refs));
	if (!w->refs)
		return nx_err_set(err, NX_E_NOMEM, "no memory for bulk values");
	if (!refs_fill(m, w, w->model->ds, &rc))
		return nx_err_set(err, NX_E_MALFORMED, "two values under one BulkDataURI");
	return rc ? nx_err_set(err, rc, "no memory for bulk values") : NX_OK;
}

static struct waiting *waiting_add(struct stow_models *m, struct nx_model *model)
{
	struct waiting *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->model = model;
	w->prev = m->last;
	*(m->last ? &m->last->next : &m->first) = w;
	m->last = w;
	return w;
}

/* The model is taken. */
static nx_rc on_model(void *payload, struct nx_model *model, struct nx_err *err)
{
	struct store *s = payload;
	struct waiting *w = waiting_add(s->models, model);
	struct nx_err why;
	nx_rc rc;

	if (!w) {
		nx_model_free(model);
		return nx_err_set(err, NX_E_NOMEM, "no memory for metadata");
	}
	w->held = nx_arena_used(model->arena);
	rc = hold_more(s->models, w->held, &why);
	if (!rc && model->rc) {
		why = model->err;
		rc = model->rc;
	}
	if (!rc)
		rc = refs_make(s->models, w, &why);
	if (rc)
		waiting_fail(s, w, &why);
	else if (!w->n_refs)
		return waiting_complete(s, w, err);
	return NX_OK;
}

/* ---- bulk data ---- */

static bool is_pixel_data(const struct ref *ref)
{
	return ref->elem->tag == NX_TAG_PIXEL_DATA;
}

/* Text is padded with a space, all else with NUL (PS3.5 6.2). */
static nx_rc value_pad(const struct ref *ref, struct nx_err *err)
{
	static const char binary[] = "OBUIUN";
	char vr[3] = {(char)(ref->elem->vr >> 8), (char)(ref->elem->vr & 0xff), '\0'};

	if (!(nx_ingest_value_size(ref->value) & 1))
		return NX_OK;
	return nx_ingest_value_put(ref->value, strstr(binary, vr) ? "" : " ", 1, err);
}

static bool is_of(const struct nx_dataset *ds, const struct nx_elem *elem)
{
	return elem >= ds->elems && elem < ds->elems + ds->n;
}

/* The data set is another one then: values that are elsewhere are of its elements. */
static nx_rc image_settle(struct stow_models *m, struct ref *ref, struct nx_err *err)
{
	struct waiting *w = ref->of;
	const struct nx_dataset *before = w->model->ds;
	nx_rc rc;

	if (!is_of(before, ref->elem))
		return nx_err_set(err, NX_E_UNSUPPORTED, "an image file within a sequence");
	ref->elem->vr = m->pixels.desc.bits_allocated > 8 ? NX_VR('O', 'W') : NX_VR('O', 'B');
	rc = stow_image_describe(w->model, &m->pixels, err);
	for (size_t i = 0; w->model->ds != before && i < w->n_refs; i++) {
		const struct nx_elem *elem = w->refs[i].elem;

		if (is_of(before, elem))
			w->refs[i].elem =
				&w->model->ds->elems[nx_dataset_find(w->model->ds, elem->tag) -
					w->model->ds->elems];
	}
	return rc;
}

static nx_rc value_settle(struct stow_models *m, struct ref *ref, struct nx_err *err)
{
	struct waiting *w = ref->of;
	nx_rc rc = stow_pixels_end(&m->pixels, err);

	if (!rc)
		rc = value_pad(ref, err);
	if (rc)
		return rc;
	ref->elem->bulk_length = nx_ingest_value_size(ref->value);
	ref->elem->is_encapsulated = m->pixels.began;
	if (!m->pixels.began && !m->pixels.is_image)
		return NX_OK;
	if (!is_pixel_data(ref))
		return nx_err_set(err, NX_E_UNSUPPORTED, "frames that are no pixel data");
	if (m->pixels.is_image)
		return image_settle(m, ref, err);
	ref->elem->vr = NX_VR('O', 'B');
	(void)snprintf(w->ts_uid, sizeof(w->ts_uid), "%s", m->pixels.ts_uid);
	return NX_OK;
}

/* Other parts follow: the value is whole. */
static nx_rc value_end(struct store *s, struct nx_err *err)
{
	struct stow_models *m = s->models;
	struct ref *ref = m->now;
	struct nx_err why;

	if (!ref)
		return NX_OK;
	if (value_settle(m, ref, &why)) {
		waiting_fail(s, ref->of, &why);
		return NX_OK;
	}
	stow_pixels_done(&m->pixels);
	m->now = NULL;
	if (++ref->of->n_ready < ref->of->n_refs)
		return NX_OK;
	return waiting_complete(s, ref->of, err);
}

static nx_rc value_begin(struct store *s, struct ref *ref, struct nx_err *err)
{
	struct stow_models *m = s->models;
	struct stow_pixels_opts opts = {.hold = &m->hold,
		.box = nx_retrieve_workers(s->call.mount->retrieve),
		.ds = ref->of->model->ds};
	nx_rc rc = ref->of->job ? NX_OK : stow_begin(s, &ref->of->job, err);

	if (!rc)
		rc = nx_ingest_value_new(ref->of->job, &m->hold, &ref->value, err);
	if (rc)
		return rc;
	(void)nx_map_del(m->refs, uri_of(ref));
	opts.value = ref->value;
	stow_pixels_init(&m->pixels, &opts);
	m->now = ref;
	return NX_OK;
}

static nx_rc bulk_part(
	struct store *s, const char *content_type, const char *location, struct nx_err *err)
{
	struct stow_models *m = s->models;
	struct nx_slice uri = nx_slice_str(location);
	struct nx_err why = {0};
	struct ref *ref;
	nx_rc rc;

	if (!m->now || !nx_slice_eq(uri, uri_of(m->now))) {
		rc = value_end(s, err);
		if (rc)
			return rc;
		ref = location ? nx_map_get(m->refs, uri) : NULL;
		if (!ref)
			stow_failed(s, NULL, NX_E_MALFORMED);
		if (!ref || ref == &gone)
			return NX_OK;
		rc = value_begin(s, ref, &why);
		if (stow_is_over(rc) && err)
			*err = why;
		if (stow_is_over(rc))
			return rc;
		if (rc) {
			waiting_fail(s, ref->of, &why);
			return NX_OK;
		}
	}
	if (stow_pixels_part(&m->pixels, content_type ? content_type : "", &why))
		waiting_fail(s, m->now->of, &why);
	return NX_OK;
}

/* ---- parts ---- */

bool stow_is_model(const char *content_type)
{
	return dw_media_is(content_type, DW_DICOM_JSON) ||
		dw_media_is(content_type, DW_DICOM_XML) ||
		dw_media_is(content_type, "application/json");
}

bool stow_model_takes(const struct store *s, const char *content_type)
{
	return s->models || stow_is_model(content_type);
}

nx_rc stow_model_part(
	struct store *s, const char *content_type, const char *content_location, struct nx_err *err)
{
	nx_rc rc = models_need(s, err);

	if (rc)
		return rc;
	if (!stow_is_model(content_type) ||
		(content_location && nx_map_get(s->models->refs, nx_slice_str(content_location))))
		return bulk_part(s, content_type, content_location, err);
	rc = value_end(s, err);
	if (rc)
		return rc;
	return dw_media_is(content_type, DW_DICOM_XML)
		? nx_model_xml_new(on_model, s, &s->models->reader, err)
		: nx_model_json_new(on_model, s, &s->models->reader, err);
}

nx_rc stow_model_data(struct store *s, struct nx_slice data, struct nx_err *err)
{
	struct stow_models *m = s->models;
	struct nx_err why;
	nx_rc rc;

	if (m->reader) {
		m->read += data.n;
		rc = hold_more(m, data.n, err);
		return rc ? rc : nx_model_feed(m->reader, data.p, data.n, err);
	}
	if (m->now && stow_pixels_put(&m->pixels, data, &why))
		waiting_fail(s, m->now->of, &why);
	return NX_OK;
}

nx_rc stow_model_part_end(struct store *s, struct nx_err *err)
{
	struct stow_models *m = s->models;
	struct nx_err why;
	nx_rc rc = NX_OK;

	if (m->reader) {
		rc = nx_model_finish(m->reader, err);
		m->reader = nx_model_reader_free(m->reader);
		hold_less(m, m->read);
		m->read = 0;
	} else if (m->now && stow_pixels_part_end(&m->pixels, &why)) {
		waiting_fail(s, m->now->of, &why);
	}
	return rc;
}

nx_rc stow_model_finish(struct store *s, struct nx_err *err)
{
	return s->models ? value_end(s, err) : NX_OK;
}

void stow_model_fail(struct store *s, nx_rc rc)
{
	struct nx_err why;

	(void)nx_err_set(&why, rc ? rc : NX_E_MALFORMED, "no part has its bulk data");
	while (s->models && s->models->first)
		waiting_fail(s, s->models->first, &why);
}

void stow_model_done(struct store *s)
{
	struct stow_models *m = s->models;

	if (!m)
		return;
	while (m->first)
		waiting_free(m, m->first);
	nx_model_reader_free(m->reader);
	nx_map_free(m->refs);
	nx_ingest_hold_done(&m->hold);
	free(m);
}

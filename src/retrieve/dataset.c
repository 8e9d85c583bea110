/*
 * An instance as a bare data set: the stored stream behind its meta group, or, in another VR
 * encoding or byte order, elements made anew with the bulk values of the stream between them.
 */
#include "dicom/dicom.h"
#include "retrieve/instances_priv.h"

enum {
	DS_ARENA_MAX = 512 * 1024 * 1024,
	HEAD_FIRST = 4096, /* holds the meta group of nearly every instance */
	HEAD_MAX = 1024 * 1024
};

void dataset_done(struct nx_instances *x)
{
	nx_buf_done(&x->ds_made);
	x->ds_arena = nx_arena_free(x->ds_arena);
}

static nx_rc no_memory(struct nx_err *err)
{
	return nx_err_set(err, NX_E_NOMEM, "no memory for a data set");
}

/* ---- as it is stored ---- */

static nx_rc announced(void *payload, const char *ts_uid, struct nx_err *err)
{
	(void)ts_uid;
	(void)err;
	*(bool *)payload = true;
	return NX_OK;
}

/* Where the data set begins, if its first `n` bytes tell. */
static nx_rc offset_in(
	const uint8_t *p, size_t n, uint64_t *ret, bool *ret_known, struct nx_err *err)
{
	const struct nx_dicom_cb cb = {.on_meta_end = announced};
	const struct nx_dicom_parser_opts opts = {.stop_before = 1};
	NX_AUTO(nx_dicom_parser) *parser = NULL;
	nx_rc rc = nx_dicom_parser_new(&opts, &cb, ret_known, &parser, err);

	if (!rc)
		rc = nx_dicom_feed(parser, p, n, err);
	if (!rc)
		*ret = nx_dicom_dataset_offset(parser);
	return rc;
}

static nx_rc offset_find(struct nx_instances *x, uint64_t *ret, struct nx_err *err)
{
	bool known = false;
	nx_rc rc = NX_OK;

	for (size_t n = HEAD_FIRST; !rc && !known && n <= HEAD_MAX; n *= 16) {
		uint8_t *head = nx_arena_alloc(x->ds_arena, n);
		size_t got = 0;

		if (!head)
			return no_memory(err);
		rc = nx_instances_read(x, 0, head, n, &got, err);
		if (!rc)
			rc = offset_in(head, got, ret, &known, err);
	}
	if (!rc && !known)
		rc = nx_err_set(err, NX_E_CORRUPT, "a stored instance without a data set");
	return rc;
}

static nx_rc as_stored(struct nx_instances *x, struct nx_err *err)
{
	uint64_t size = (uint64_t)x->items[x->at].size, off = 0;
	nx_rc rc = offset_find(x, &off, err);

	if (rc)
		return rc;
	x->pieces = nx_arena_alloc(x->ds_arena, sizeof(*x->pieces));
	if (!x->pieces)
		return no_memory(err);
	*x->pieces = (struct piece){.off = off, .len = size - off, .unit = 1};
	x->n_pieces = 1;
	return NX_OK;
}

/* ---- made anew ---- */

bool nx_instances_convertible(const char *from_ts_uid, const char *to_ts_uid)
{
	const char *const uids[] = {from_ts_uid, to_ts_uid};

	for (size_t i = 0; i < NX_ARRAY_LEN(uids); i++) {
		const struct nx_ts *ts = nx_ts_find(uids[i]);

		if (!ts || ts->deflated || ts->encapsulated)
			return false;
	}
	return true;
}

struct making {
	struct nx_instances *x;
	bool turn;       /* the byte orders differ */
	size_t cap;      /* of pieces */
	size_t made_end; /* of the bytes before, in ds_made */
};

/* Offsets into ds_made until it has come to rest. */
static void made_put(struct making *m, size_t end)
{
	if (end > m->made_end)
		m->x->pieces[m->x->n_pieces++] =
			(struct piece){.off = m->made_end, .len = end - m->made_end};
	m->made_end = end;
}

static nx_rc bulk_put(void *payload, const struct nx_elem *e, size_t at, struct nx_err *err)
{
	struct making *m = payload;

	if (m->x->n_pieces + 3 > m->cap)
		return nx_err_set(err, NX_E_CORRUPT, "more bulk values than parts of the recipe");
	made_put(m, at);
	m->x->pieces[m->x->n_pieces++] = (struct piece){.off = e->bulk_offset,
		.len = e->bulk_length,
		.unit = m->turn ? nx_dicom_vr_unit(e->vr) : 1};
	return NX_OK;
}

/* Without group 0002, which would make a file of it. */
static struct nx_dataset body_of(const struct nx_dataset *ds)
{
	struct nx_dataset body = *ds;

	while (body.n && body.elems->tag >> 16 <= 2) {
		body.elems++;
		body.n--;
	}
	return body;
}

static nx_rc pieces_make(struct making *m, const struct nx_dataset *ds, size_t n_bulks,
	const struct nx_ts *ts, struct nx_err *err)
{
	struct nx_instances *x = m->x;
	nx_rc rc;

	/* A piece for every bulk value, one before each, one behind the last: those of bulk carry
	 * a unit, which tells them apart. */
	m->cap = 2 * n_bulks + 1;
	x->pieces = nx_arena_alloc_array(x->ds_arena, m->cap, sizeof(*x->pieces));
	if (!x->pieces)
		return no_memory(err);
	rc = nx_dataset_write(ds, ts, &x->ds_made, bulk_put, m, err);
	if (rc)
		return rc;
	made_put(m, x->ds_made.len);
	for (size_t i = 0; i < x->n_pieces; i++)
		if (!x->pieces[i].unit)
			x->pieces[i].made = x->ds_made.data + x->pieces[i].off;
	return NX_OK;
}

static nx_rc made_anew(struct nx_instances *x, const char *ts_uid, struct nx_err *err)
{
	const struct nx_item *item = &x->items[x->at];
	const struct nx_ts *from = nx_ts_find(item->ts_uid), *to = nx_ts_find(ts_uid);
	struct making m = {.x = x};
	struct nx_recipe *recipe;
	struct nx_dataset *ds, body;
	nx_rc rc;

	if (!nx_instances_convertible(item->ts_uid, ts_uid))
		return nx_err_set(err, NX_E_NOT_ACCEPTABLE,
			"the instance is stored in another transfer syntax");
	m.turn = from->big_endian != to->big_endian;
	rc = nx_archive_recipe(x->archive, item, x->ds_arena, &recipe, err);
	if (!rc)
		rc = header_dataset(x->archive, item, recipe, x->ds_arena, &ds, err);
	if (rc)
		return rc;
	body = body_of(ds);
	return pieces_make(&m, &body, recipe->n_parts, to, err);
}

nx_rc nx_instances_dataset(
	struct nx_instances *instances, const char *ts_uid, uint64_t *ret_len, struct nx_err *err)
{
	uint64_t len = 0;
	nx_rc rc;

	if (!instances->ds_arena) {
		instances->ds_arena = nx_arena_new(DS_ARENA_MAX, NX_ARENA_WIPE);
		if (!instances->ds_arena)
			return no_memory(err);
		nx_buf_init(&instances->ds_made, DS_ARENA_MAX, NX_BUF_WIPE);
	}
	nx_arena_reset(instances->ds_arena);
	nx_buf_clear(&instances->ds_made);
	instances->n_pieces = instances->piece = 0;
	instances->in_piece = 0;
	if (strcmp(instances->items[instances->at].ts_uid, ts_uid) == 0)
		rc = as_stored(instances, err);
	else
		rc = made_anew(instances, ts_uid, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < instances->n_pieces; i++)
		len += instances->pieces[i].len;
	*ret_len = len;
	return NX_OK;
}

/* ---- reading ---- */

/* Whole units, so that they can be turned round; the last one of a piece may be short. */
static nx_rc stored_read(
	struct nx_instances *x, const struct piece *piece, uint8_t *p, size_t n, struct nx_err *err)
{
	size_t got = 0;
	nx_rc rc = nx_instances_read(x, piece->off + x->in_piece, p, n, &got, err);

	if (!rc && got != n)
		rc = nx_err_set(err, NX_E_CORRUPT, "a stored instance ends early");
	if (!rc && piece->unit > 1)
		nx_dicom_swap(p, n, piece->unit);
	return rc;
}

nx_rc nx_instances_dataset_read(
	struct nx_instances *instances, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	struct nx_instances *x = instances;
	size_t done = 0;
	nx_rc rc = NX_OK;

	while (done < n && x->piece < x->n_pieces && !rc) {
		const struct piece *piece = &x->pieces[x->piece];
		uint64_t left = piece->len - x->in_piece;
		size_t take = left < n - done ? (size_t)left : n - done;

		if (left > take && piece->unit > 1)
			take -= take % piece->unit;
		if (!take)
			break;
		if (piece->made)
			memcpy((uint8_t *)p + done, piece->made + x->in_piece, take);
		else
			rc = stored_read(x, piece, (uint8_t *)p + done, take, err);
		done += take;
		x->in_piece += take;
		if (x->in_piece == piece->len) {
			x->piece++;
			x->in_piece = 0;
		}
	}
	if (!rc)
		*ret_n = done;
	return rc;
}

/*
 * An instance as a data set, bare or with preamble and meta group: the stored stream, or, in
 * another VR encoding or byte order, elements made anew with the bulk values of the stream between
 * them; in a transfer syntax of another codec pixel data are made anew as well, frame by frame.
 */
#include "archive/rewrite.h"
#include "dicom/dicom.h"
#include "retrieve/flow_priv.h"
#include "retrieve/instances_priv.h"

enum {
	DS_ARENA_MAX = 512 * 1024 * 1024,
	HEAD_FIRST = 4096, /* holds the meta group of nearly every instance */
	HEAD_MAX = 1024 * 1024
};

void dataset_done(struct nx_instances *x)
{
	nx_buf_done(&x->ds_made);
	x->ds_flow = pixel_flow_free(x->ds_flow);
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

static nx_rc as_stored(struct nx_instances *x, bool is_file, struct nx_err *err)
{
	uint64_t size = (uint64_t)x->items[x->at].size, off = 0;
	nx_rc rc = is_file ? NX_OK : offset_find(x, &off, err);

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

static bool is_native(const char *ts_uid)
{
	const struct nx_ts *ts = nx_ts_find(ts_uid);

	return ts && !ts->deflated && !ts->encapsulated;
}

bool nx_instances_convertible(const char *from_ts_uid, const char *to_ts_uid)
{
	return is_native(to_ts_uid) &&
		(is_native(from_ts_uid) || nx_transcodable(from_ts_uid, to_ts_uid));
}

struct making {
	struct nx_instances *x;
	bool turn; /* the byte orders differ */
	bool is_file;
	const struct nx_elem *pixels; /* that ds_flow makes; NULL: they are stored so */
	size_t cap;                   /* of pieces */
	size_t made_end;              /* of the bytes before, in ds_made */
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
		.unit = m->turn && e != m->pixels ? nx_dicom_vr_unit(e->vr) : 1,
		.frames = e == m->pixels};
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

static nx_rc put(struct making *m, const struct nx_dataset *ds, const char *ts_uid, size_t n_bulks,
	struct nx_err *err)
{
	const struct nx_dataset body = m->is_file ? *ds : body_of(ds);

	return pieces_make(m, &body, n_bulks, nx_ts_find(ts_uid), err);
}

static nx_rc made_anew(struct nx_instances *x, const char *ts_uid, bool is_file, struct nx_err *err)
{
	const struct nx_item *item = &x->items[x->at];
	const struct nx_ts *from = nx_ts_find(item->ts_uid), *to = nx_ts_find(ts_uid);
	struct making m = {.x = x, .is_file = is_file};
	struct nx_recipe *recipe;
	struct nx_dataset *ds;
	nx_rc rc;

	m.turn = from && to && from->big_endian != to->big_endian;
	rc = nx_archive_recipe(x->archive, item, x->ds_arena, &recipe, err);
	if (!rc)
		rc = is_deflated(item)
			? inflated_dataset(x->archive, item, recipe, x->ds_arena, &ds, err)
			: nx_archive_header(x->archive, item, recipe, x->ds_arena, &ds, err);
	return rc ? rc : put(&m, ds, ts_uid, recipe->n_parts, err);
}

static nx_rc transcoded(
	struct nx_instances *x, const char *ts_uid, bool is_file, struct nx_err *err)
{
	const struct nx_ts *from = nx_ts_find(x->items[x->at].ts_uid);
	struct making m = {.x = x, .is_file = is_file, .turn = from && from->big_endian};
	struct nx_dataset ds;
	nx_rc rc = pixel_flow_new(x, ts_uid, &x->ds_flow, err);

	if (rc == NX_E_NOENT)
		return made_anew(x, ts_uid, is_file, err);
	if (!rc)
		rc = pixel_flow_dataset(x->ds_flow, x->ds_arena, &ds, &m.pixels, err);
	return rc ? rc : put(&m, &ds, ts_uid, nx_reader_recipe(x->reader)->n_parts + 1, err);
}

static nx_rc find_way(struct nx_instances *x, const char *ts_uid, bool is_file, struct nx_err *err)
{
	const char *stored = x->items[x->at].ts_uid;

	if (strcmp(stored, ts_uid) == 0)
		return as_stored(x, is_file, err);
	if (is_native(stored) && is_native(ts_uid))
		return made_anew(x, ts_uid, is_file, err);
	if (nx_transcodable(stored, ts_uid))
		return transcoded(x, ts_uid, is_file, err);
	return nx_err_set(
		err, NX_E_NOT_ACCEPTABLE, "the instance is stored in another transfer syntax");
}

static nx_rc begin(struct nx_instances *x, const char *ts_uid, bool is_file, uint64_t *ret_len,
	struct nx_err *err)
{
	uint64_t len = 0;
	nx_rc rc;

	if (!x->ds_arena) {
		x->ds_arena = nx_arena_new(DS_ARENA_MAX, NX_ARENA_WIPE);
		if (!x->ds_arena)
			return no_memory(err);
		nx_buf_init(&x->ds_made, DS_ARENA_MAX, NX_BUF_WIPE);
	}
	nx_arena_reset(x->ds_arena);
	nx_buf_clear(&x->ds_made);
	x->ds_flow = pixel_flow_free(x->ds_flow);
	x->n_pieces = x->piece = 0;
	x->in_piece = 0;
	rc = find_way(x, ts_uid, is_file, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < x->n_pieces; i++)
		if (__builtin_add_overflow(len, x->pieces[i].len, &len))
			len = UINT64_MAX;
	*ret_len = len;
	return NX_OK;
}

nx_rc nx_instances_dataset(
	struct nx_instances *instances, const char *ts_uid, uint64_t *ret_len, struct nx_err *err)
{
	return begin(instances, ts_uid, false, ret_len, err);
}

nx_rc nx_instances_file(
	struct nx_instances *instances, const char *ts_uid, uint64_t *ret_len, struct nx_err *err)
{
	return begin(instances, ts_uid, true, ret_len, err);
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

/* Up to `n` bytes of the piece at hand; *ret_n 0: there is room for no unit of it, or it has none
 * left. */
static nx_rc piece_read(struct nx_instances *x, const struct piece *piece, uint8_t *p, size_t n,
	size_t *ret_n, struct nx_err *err)
{
	const uint64_t left = piece->len - x->in_piece;
	size_t take = left < n ? (size_t)left : n;

	if (piece->frames)
		return pixel_flow_read(x->ds_flow, p, take, ret_n, err);
	if (left > take && piece->unit > 1)
		take -= take % piece->unit;
	*ret_n = take;
	if (!piece->made)
		return stored_read(x, piece, p, take, err);
	memcpy(p, piece->made + x->in_piece, take);
	return NX_OK;
}

nx_rc nx_instances_dataset_read(
	struct nx_instances *instances, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	struct nx_instances *x = instances;
	size_t done = 0, got = 0;
	nx_rc rc = NX_OK;

	while (done < n && x->piece < x->n_pieces && !rc) {
		const struct piece *piece = &x->pieces[x->piece];

		rc = piece_read(x, piece, (uint8_t *)p + done, n - done, &got, err);
		if (rc || (!got && !piece->frames))
			break;
		done += got;
		x->in_piece += got;
		if (x->in_piece == piece->len || !got) {
			x->piece++;
			x->in_piece = 0;
		}
	}
	if (!rc)
		*ret_n = done;
	return rc;
}

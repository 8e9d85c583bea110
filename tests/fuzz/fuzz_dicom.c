/*
 * Streams of others: pieces do not matter, raw and bulk bytes are the stream, a header without its
 * bulk values gives the same tree, and what is written parses and writes the same again.
 */
#include "fuzz.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "dicom/dicom.h"

enum {
	BULK_MIN = 64,
	BULKS_MAX = 256,
	MEMORY_MAX = 64 << 20
};

struct trace {
	struct nx_slice stream;
	uint64_t at;
	uint64_t hash;
	struct nx_buf header;
	struct nx_bulk_ref bulks[BULKS_MAX];
	size_t n_bulks;
};

static void mix(struct trace *t, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		t->hash = (t->hash ^ b[i]) * 0x100000001b3ull;
}

static void take(struct trace *t, struct nx_slice data)
{
	FUZZ_CHECK(t->at <= t->stream.n && data.n <= t->stream.n - t->at);
	FUZZ_CHECK(!data.n || memcmp(t->stream.p + t->at, data.p, data.n) == 0);
	t->at += data.n;
}

static nx_rc on_value(
	void *payload, const struct nx_dicom_elem *e, struct nx_slice value, struct nx_err *err)
{
	(void)err;
	mix(payload, &e->tag, sizeof(e->tag));
	mix(payload, &e->offset, sizeof(e->offset));
	mix(payload, value.p, value.n);
	return NX_OK;
}

static nx_rc on_mark(void *payload, const struct nx_dicom_elem *e, struct nx_err *err)
{
	(void)err;
	mix(payload, &e->tag, sizeof(e->tag));
	mix(payload, &e->offset, sizeof(e->offset));
	return NX_OK;
}

static nx_rc on_bulk_data(void *payload, struct nx_slice data, struct nx_err *err)
{
	(void)err;
	take(payload, data);
	return NX_OK;
}

static nx_rc on_bulk_end(
	void *payload, const struct nx_dicom_elem *e, uint64_t n, struct nx_err *err)
{
	struct trace *t = payload;

	FUZZ_CHECK(t->at == e->value_offset + n && n >= BULK_MIN);
	if (t->n_bulks == BULKS_MAX)
		return nx_err_set(err, NX_E_LIMIT, "enough");
	t->bulks[t->n_bulks++] = (struct nx_bulk_ref){e->value_offset, n};
	return on_mark(payload, e, err);
}

static nx_rc on_raw(void *payload, struct nx_slice data, struct nx_err *err)
{
	struct trace *t = payload;

	(void)err;
	take(t, data);
	nx_buf_put_slice(&t->header, data);
	return NX_OK;
}

static const struct nx_dicom_cb callbacks = {
	.on_value = on_value,
	.on_seq_begin = on_mark,
	.on_item_end = on_mark,
	.on_seq_end = on_mark,
	.on_bulk_begin = on_mark,
	.on_bulk_data = on_bulk_data,
	.on_bulk_end = on_bulk_end,
	.on_raw = on_raw,
};

/* Of a stream that failed, what was passed on and what was kept are all that was looked at. */
static void kept_check(struct trace *t, const struct nx_dicom_parser *parser, size_t fed)
{
	struct nx_slice kept[2];

	nx_dicom_kept(parser, kept);
	take(t, kept[0]);
	take(t, kept[1]);
	FUZZ_CHECK(t->at <= fed);
}

static nx_rc parse(struct trace *t, struct nx_slice stream, const char *ts, size_t piece)
{
	size_t fed = 0;
	const struct nx_dicom_parser_opts opts = {.ts_uid = ts, .bulk_min = BULK_MIN};
	NX_AUTO(nx_dicom_parser) *parser = NULL;
	nx_rc rc = nx_dicom_parser_new(&opts, &callbacks, t, &parser, NULL);

	t->stream = stream;
	t->at = 0;
	t->hash = 0xcbf29ce484222325ull;
	t->n_bulks = 0;
	nx_buf_clear(&t->header);
	for (size_t at = 0; !rc && at < stream.n; at += piece) {
		size_t n = piece < stream.n - at ? piece : stream.n - at;

		rc = nx_dicom_feed(parser, stream.p + at, n, NULL);
		fed += n;
	}
	if (!rc)
		rc = nx_dicom_finish(parser, NULL);
	if (!rc)
		FUZZ_CHECK(t->at == stream.n);
	else
		kept_check(t, parser, fed);
	return rc;
}

static nx_rc to_json(const struct nx_dataset *ds, struct nx_buf *out, struct nx_arena *arena)
{
	struct nx_json json;

	nx_json_init(&json, out);
	return nx_dataset_json(ds, &json, NULL, NULL, arena, NULL);
}

/* The tree of the header alone is that of the whole. */
static void split_check(const struct trace *t, const char *ts)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(MEMORY_MAX, 0);
	NX_AUTO_DONE(nx_buf) a;
	NX_AUTO_DONE(nx_buf) b;
	struct nx_dataset *whole, *split;

	nx_buf_init(&a, MEMORY_MAX, 0);
	nx_buf_init(&b, MEMORY_MAX, 0);
	/* Without bulk, as always where it was deflated, all of it is header. */
	if (t->n_bulks == 0 || nx_dataset_parse(t->stream, ts, BULK_MIN, arena, &whole, NULL))
		return;
	FUZZ_CHECK(nx_dataset_parse_split(nx_buf_slice(&t->header), t->bulks, t->n_bulks, ts, arena,
			   &split, NULL) == NX_OK);
	FUZZ_CHECK(to_json(whole, &a, arena) == to_json(split, &b, arena));
	FUZZ_CHECK(nx_slice_eq(nx_buf_slice(&a), nx_buf_slice(&b)));
}

static void write_check(struct nx_slice stream, const char *ts)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(MEMORY_MAX, 0);
	NX_AUTO_DONE(nx_buf) json;
	NX_AUTO_DONE(nx_buf) a;
	NX_AUTO_DONE(nx_buf) b;
	struct nx_dataset *ds, *again;

	nx_buf_init(&json, MEMORY_MAX, 0);
	nx_buf_init(&a, MEMORY_MAX, 0);
	nx_buf_init(&b, MEMORY_MAX, 0);
	if (nx_dataset_parse(stream, ts, UINT32_MAX, arena, &ds, NULL))
		return;
	if (to_json(ds, &json, arena) == NX_OK)
		FUZZ_CHECK(json.len >= 2 && json.data[0] == '{' && json.data[json.len - 1] == '}');
	if (nx_dataset_write(ds, NULL, &a, NULL, NULL, NULL))
		return;
	if (a.len == 0)
		return;
	ts = NX_UID_EXPLICIT_VR_LITTLE_ENDIAN;
	for (size_t i = 0; i < ds->n; i++) /* then it is a file */
		ts = ds->elems[i].tag >> 16 == 2 ? NULL : ts;
	FUZZ_CHECK(
		nx_dataset_parse(nx_buf_slice(&a), ts, UINT32_MAX, arena, &again, NULL) == NX_OK);
	FUZZ_CHECK(nx_dataset_write(again, NULL, &b, NULL, NULL, NULL) == NX_OK);
	FUZZ_CHECK(nx_slice_eq(nx_buf_slice(&a), nx_buf_slice(&b)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const syntaxes[] = {NULL, NX_UID_EXPLICIT_VR_LITTLE_ENDIAN,
		NX_UID_IMPLICIT_VR_LITTLE_ENDIAN, NX_UID_EXPLICIT_VR_BIG_ENDIAN,
		NX_UID_DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN};
	static struct trace whole, pieces;
	struct nx_slice stream;
	const char *ts;
	nx_rc rc;

	if (size < 2)
		return 0;
	ts = syntaxes[data[0] % NX_ARRAY_LEN(syntaxes)];
	stream = nx_slice(data + 2, size - 2);
	nx_buf_init(&whole.header, MEMORY_MAX, 0);
	nx_buf_init(&pieces.header, MEMORY_MAX, 0);
	rc = parse(&whole, stream, ts, size);
	FUZZ_CHECK(parse(&pieces, stream, ts, 1u + data[1] % 32) == rc);
	if (!rc) {
		FUZZ_CHECK(whole.hash == pieces.hash);
		split_check(&whole, ts);
	}
	write_check(stream, ts);
	nx_buf_done(&whole.header);
	nx_buf_done(&pieces.header);
	return 0;
}

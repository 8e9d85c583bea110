/*
 * nx_dicom_probe DIR_OR_FILE...: parse every file in random pieces and check that raw and bulk
 * bytes together are the file, and that the pieces do not matter.  One line per file; fails when a
 * property does not hold (a refused file is no failure).
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "dicom/dicom.h"

enum {
	ROUNDS = 4,
	FILE_MAX = 256 * 1024 * 1024,
	BULKS_MAX = 4096
};

struct trace {
	struct nx_slice file;
	uint64_t at;   /* bytes seen as raw or bulk */
	uint64_t hash; /* over elements and values: FNV-1a */
	unsigned n_elems;
	unsigned n_bulk;
	struct nx_buf header;
	struct nx_bulk_ref bulks[BULKS_MAX];
	bool in_bulk;
	bool bad;
	const char *what;
};

static void mix(struct trace *t, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		t->hash = (t->hash ^ b[i]) * 0x100000001b3ull;
}

static void mix_elem(struct trace *t, const struct nx_dicom_elem *e)
{
	uint64_t v[5] = {e->tag, e->vr, e->depth, e->offset, e->length};

	mix(t, v, sizeof(v));
}

static void bad(struct trace *t, const char *what)
{
	t->bad = true;
	t->what = what;
}

static void take(struct trace *t, struct nx_slice data)
{
	if (t->at > t->file.n || data.n > t->file.n - t->at)
		bad(t, "more bytes than were fed");
	else if (data.n && memcmp(t->file.p + t->at, data.p, data.n) != 0)
		bad(t, "other bytes than were fed");
	t->at += data.n;
}

static nx_rc on_meta_end(void *payload, const char *ts_uid, struct nx_err *err)
{
	(void)err;
	mix(payload, ts_uid, strlen(ts_uid));
	return NX_OK;
}

static nx_rc on_value(
	void *payload, const struct nx_dicom_elem *e, struct nx_slice value, struct nx_err *err)
{
	struct trace *t = payload;

	(void)err;
	t->n_elems++;
	mix_elem(t, e);
	mix(t, value.p, value.n);
	return NX_OK;
}

static nx_rc on_mark(void *payload, const struct nx_dicom_elem *e, struct nx_err *err)
{
	(void)err;
	mix_elem(payload, e);
	return NX_OK;
}

static nx_rc on_item(
	void *payload, const struct nx_dicom_elem *e, unsigned index, struct nx_err *err)
{
	mix(payload, &index, sizeof(index));
	return on_mark(payload, e, err);
}

static nx_rc on_bulk_begin(void *payload, const struct nx_dicom_elem *e, struct nx_err *err)
{
	struct trace *t = payload;

	if (t->in_bulk || t->at != e->value_offset)
		bad(t, "bulk begins in the wrong place");
	t->in_bulk = true;
	if (t->n_bulk == BULKS_MAX)
		return nx_err_set(err, NX_E_LIMIT, "more bulk values than the probe takes");
	t->bulks[t->n_bulk++].offset = e->value_offset;
	return on_mark(payload, e, err);
}

static nx_rc on_bulk_data(void *payload, struct nx_slice data, struct nx_err *err)
{
	struct trace *t = payload;

	(void)err;
	if (!t->in_bulk)
		bad(t, "bulk data outside a bulk value");
	take(t, data);
	return NX_OK;
}

static nx_rc on_bulk_end(
	void *payload, const struct nx_dicom_elem *e, uint64_t n, struct nx_err *err)
{
	struct trace *t = payload;

	if (!t->in_bulk || t->at != e->value_offset + n || n < NX_BULK_THRESHOLD)
		bad(t, "bulk ends in the wrong place");
	t->in_bulk = false;
	t->bulks[t->n_bulk - 1].length = n;
	mix(t, &n, sizeof(n));
	return on_mark(payload, e, err);
}

static nx_rc on_skipped(
	void *payload, const struct nx_dicom_elem *e, uint64_t n, struct nx_err *err)
{
	mix(payload, &n, sizeof(n));
	return on_mark(payload, e, err);
}

static nx_rc on_raw(void *payload, struct nx_slice data, struct nx_err *err)
{
	struct trace *t = payload;

	(void)err;
	if (t->in_bulk)
		bad(t, "raw bytes inside a bulk value");
	take(t, data);
	nx_buf_put_slice(&t->header, data);
	return NX_OK;
}

static const struct nx_dicom_cb callbacks = {
	.on_meta_end = on_meta_end,
	.on_value = on_value,
	.on_seq_begin = on_mark,
	.on_item_begin = on_item,
	.on_item_end = on_mark,
	.on_seq_end = on_mark,
	.on_bulk_begin = on_bulk_begin,
	.on_bulk_data = on_bulk_data,
	.on_bulk_end = on_bulk_end,
	.on_raw = on_raw,
	.on_skipped = on_skipped,
};

static size_t piece(unsigned round, size_t left)
{
	size_t n = left;

	if (round == 1)
		n = 1 + (size_t)random() % 16;
	else if (round > 1)
		n = 1 + (size_t)random() % (1u << (random() % 18));
	return n < left ? n : left;
}

/* Of a file that is refused: what was passed on and what was kept, in order, is its beginning. */
static void kept_check(struct trace *t, const struct nx_dicom_parser *parser, size_t fed)
{
	struct nx_slice kept[2];

	nx_dicom_kept(parser, kept);
	take(t, kept[0]);
	take(t, kept[1]);
	if (t->at > fed)
		bad(t, "more bytes kept than were fed");
}

static nx_rc parse(struct nx_slice file, unsigned round, struct trace *t, struct nx_err *err)
{
	NX_AUTO(nx_dicom_parser) *parser = NULL;
	nx_rc rc = nx_dicom_parser_new(NULL, &callbacks, t, &parser, err);
	uint8_t *copy = NULL;
	size_t fed = 0;

	nx_buf_done(&t->header);
	memset(t, 0, sizeof(*t));
	t->file = file;
	t->hash = 0xcbf29ce484222325ull;
	nx_buf_init(&t->header, FILE_MAX, 0);
	for (size_t at = 0; !rc && at < file.n;) {
		size_t n = piece(round, file.n - at);

		/* a copy of its own, so that a sanitizer sees reads past the piece */
		free(copy);
		copy = malloc(n);
		if (!copy)
			return nx_err_set(err, NX_E_NOMEM, "no memory");
		memcpy(copy, file.p + at, n);
		rc = nx_dicom_feed(parser, copy, n, err);
		at += n;
		fed = at;
	}
	if (!rc)
		rc = nx_dicom_finish(parser, err);
	if (rc)
		kept_check(t, parser, fed);
	else if (t->at != file.n)
		bad(t, "not all bytes came back");
	free(copy);
	return rc;
}

static bool to_json(const struct nx_dataset *ds, struct nx_buf *out, struct nx_arena *arena)
{
	struct nx_json json;

	nx_json_init(&json, out);
	return !nx_dataset_json(ds, &json, NULL, NULL, arena, NULL) && !nx_buf_check(out, NULL);
}

/* The tree of the header blob and the bulk references is that of the file. */
static void split_check(struct trace *t)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(FILE_MAX, 0);
	NX_AUTO_DONE(nx_buf) a;
	NX_AUTO_DONE(nx_buf) b;
	struct nx_dataset *whole, *split;

	nx_buf_init(&a, FILE_MAX, 0);
	nx_buf_init(&b, FILE_MAX, 0);
	if (nx_dataset_parse(t->file, NULL, 0, arena, &whole, NULL) ||
		nx_dataset_parse_split(
			nx_buf_slice(&t->header), t->bulks, t->n_bulk, NULL, arena, &split, NULL) ||
		!to_json(whole, &a, arena) || !to_json(split, &b, arena))
		bad(t, "no tree");
	else if (!nx_slice_eq(nx_buf_slice(&a), nx_buf_slice(&b)))
		bad(t, "the header alone gives another tree");
}

static int failures, accepted, refused;

static void probe(const char *path, struct nx_slice file)
{
	static struct trace first, again;
	struct nx_err err = {0};
	nx_rc rc = parse(file, 0, &first, &err);

	if (!rc && !first.bad)
		split_check(&first);

	for (unsigned round = 1; round < ROUNDS && !first.bad; round++) {
		struct nx_err err2 = {0};
		nx_rc rc2 = parse(file, round, &again, &err2);

		if (again.bad)
			bad(&first, again.what);
		else if (rc2 != rc || (!rc && again.hash != first.hash))
			bad(&first, "pieces matter");
	}
	if (first.bad) {
		failures++;
		printf("FAIL\t%s\t%s\n", path, first.what);
	} else if (rc) {
		refused++;
		printf("refused\t%s\t%s: %s\n", path, nx_rc_wire(rc), nx_err_text(&err));
	} else {
		accepted++;
		printf("ok\t%s\t%u elements, %u bulk\n", path, first.n_elems, first.n_bulk);
	}
	nx_buf_done(&first.header);
	nx_buf_done(&again.header);
}

static int visit(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	uint8_t *data;
	FILE *f;

	(void)ftw;
	if (kind != FTW_F || st->st_size > FILE_MAX)
		return 0;
	f = fopen(path, "rb");
	data = malloc((size_t)st->st_size + 1);
	if (f && data && fread(data, 1, (size_t)st->st_size, f) == (size_t)st->st_size)
		probe(path, nx_slice(data, (size_t)st->st_size));
	free(data);
	if (f)
		(void)fclose(f);
	return 0;
}

int main(int argc, char **argv)
{
	const char *more = getenv("NX_CORPUS_DIR");

	srandom(1);
	for (int i = 1; i < argc; i++)
		(void)nftw(argv[i], visit, 16, FTW_PHYS);
	if (more)
		(void)nftw(more, visit, 16, FTW_PHYS);
	printf("%d ok, %d refused, %d failed\n", accepted, refused, failures);
	return failures || !accepted; /* no files is no test */
}

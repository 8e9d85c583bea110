#include "nx_test.h"

#include <zlib.h>

#include "base/limits.h"
#include "dicom/stream.h"

/* What came, as text: one word per callback. */
struct fixture {
	struct nx_buf in;
	struct nx_buf log;
	struct nx_buf raw;
	struct nx_buf bulk;
	struct nx_err err;
};

static int setup(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	nx_buf_init(&fx->in, 1 << 27, 0);
	nx_buf_init(&fx->log, 1 << 20, 0);
	nx_buf_init(&fx->raw, 1 << 24, 0);
	nx_buf_init(&fx->bulk, 1 << 24, 0);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;

	nx_buf_done(&fx->in);
	nx_buf_done(&fx->log);
	nx_buf_done(&fx->raw);
	nx_buf_done(&fx->bulk);
	free(fx);
	return 0;
}

static void note(struct fixture *fx, const char *what, const struct nx_dicom_elem *e)
{
	nx_buf_printf(&fx->log, "%s %u:%08x:%c%c ", what, e->depth, (unsigned)e->tag, e->vr >> 8,
		e->vr & 0xff);
}

static nx_rc on_meta_end(void *payload, const char *ts_uid, struct nx_err *err)
{
	struct fixture *fx = payload;

	(void)err;
	nx_buf_printf(&fx->log, "ts %s ", ts_uid);
	return NX_OK;
}

static nx_rc on_value(
	void *payload, const struct nx_dicom_elem *e, struct nx_slice value, struct nx_err *err)
{
	struct fixture *fx = payload;

	(void)err;
	note(fx, "value", e);
	nx_buf_printf(&fx->log, "=%zu ", value.n);
	return NX_OK;
}

static nx_rc on_seq_begin(void *payload, const struct nx_dicom_elem *e, struct nx_err *err)
{
	(void)err;
	note(payload, "seq", e);
	return NX_OK;
}

static nx_rc on_item_begin(
	void *payload, const struct nx_dicom_elem *e, unsigned index, struct nx_err *err)
{
	struct fixture *fx = payload;

	(void)e;
	(void)err;
	nx_buf_printf(&fx->log, "item %u ", index);
	return NX_OK;
}

static nx_rc on_item_end(void *payload, const struct nx_dicom_elem *e, struct nx_err *err)
{
	struct fixture *fx = payload;

	(void)e;
	(void)err;
	nx_buf_put_str(&fx->log, "/item ");
	return NX_OK;
}

static nx_rc on_seq_end(void *payload, const struct nx_dicom_elem *e, struct nx_err *err)
{
	struct fixture *fx = payload;

	(void)e;
	(void)err;
	nx_buf_put_str(&fx->log, "/seq ");
	return NX_OK;
}

static nx_rc on_bulk_begin(void *payload, const struct nx_dicom_elem *e, struct nx_err *err)
{
	(void)err;
	note(payload, "bulk", e);
	return NX_OK;
}

static nx_rc on_bulk_data(void *payload, struct nx_slice data, struct nx_err *err)
{
	struct fixture *fx = payload;

	(void)err;
	nx_buf_put_slice(&fx->bulk, data);
	return NX_OK;
}

static nx_rc on_bulk_end(
	void *payload, const struct nx_dicom_elem *e, uint64_t n, struct nx_err *err)
{
	struct fixture *fx = payload;

	(void)e;
	(void)err;
	nx_buf_printf(&fx->log, "=%llu ", (unsigned long long)n);
	return NX_OK;
}

static nx_rc on_skipped(
	void *payload, const struct nx_dicom_elem *e, uint64_t n, struct nx_err *err)
{
	note(payload, "skipped", e);
	return on_bulk_end(payload, e, n, err);
}

static nx_rc on_raw(void *payload, struct nx_slice data, struct nx_err *err)
{
	struct fixture *fx = payload;

	(void)err;
	nx_buf_put_slice(&fx->raw, data);
	return NX_OK;
}

static const struct nx_dicom_cb callbacks = {
	.on_meta_end = on_meta_end,
	.on_value = on_value,
	.on_seq_begin = on_seq_begin,
	.on_item_begin = on_item_begin,
	.on_item_end = on_item_end,
	.on_seq_end = on_seq_end,
	.on_bulk_begin = on_bulk_begin,
	.on_bulk_data = on_bulk_data,
	.on_bulk_end = on_bulk_end,
	.on_raw = on_raw,
	.on_skipped = on_skipped,
};

static nx_rc run(struct fixture *fx, const struct nx_dicom_parser_opts *opts, size_t piece)
{
	NX_AUTO(nx_dicom_parser) *parser = NULL;
	nx_rc rc = nx_dicom_parser_new(opts, &callbacks, fx, &parser, &fx->err);

	nx_buf_clear(&fx->log);
	nx_buf_clear(&fx->raw);
	nx_buf_clear(&fx->bulk);
	for (size_t at = 0; !rc && at < fx->in.len; at += piece) {
		size_t n = piece < fx->in.len - at ? piece : fx->in.len - at;

		rc = nx_dicom_feed(parser, fx->in.data + at, n, &fx->err);
	}
	if (!rc)
		rc = nx_dicom_finish(parser, &fx->err);
	if (rc) /* and it stays refused */
		assert_rc(nx_dicom_finish(parser, NULL), rc);
	return rc;
}

/* The data set `fx->in` in `ts`, whole and byte by byte, gives `want` and all its bytes. */
static void gives(struct fixture *fx, const char *ts, uint32_t bulk_min, const char *want)
{
	const struct nx_dicom_parser_opts opts = {.ts_uid = ts, .bulk_min = bulk_min};
	const size_t pieces[] = {1 << 24, 1, 3, 13};

	for (size_t i = 0; i < NX_ARRAY_LEN(pieces); i++) {
		assert_ok(run(fx, &opts, pieces[i]), &fx->err);
		assert_string_equal(nx_buf_cstr(&fx->log), want);
		assert_int_equal(fx->raw.len + fx->bulk.len, fx->in.len);
	}
}

static void refused(struct fixture *fx, const char *ts, nx_rc want)
{
	const struct nx_dicom_parser_opts opts = {.ts_uid = ts};

	assert_rc_err(run(fx, &opts, 1 << 24), want, &fx->err);
	assert_rc_err(run(fx, &opts, 1), want, &fx->err);
}

#define EXPLICIT NX_UID_EXPLICIT_VR_LITTLE_ENDIAN
#define IMPLICIT NX_UID_IMPLICIT_VR_LITTLE_ENDIAN

static void test_a_file_has_preamble_meta_group_and_data_set(void **state)
{
	struct fixture *fx = *state;

	put_meta(&fx->in, EXPLICIT);
	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	put_elem(&fx->in, NX_TAG_PATIENT_ID, "LO", "odd");
	gives(fx, NULL, 0,
		"value 0:00020010:UI =20 ts 1.2.840.10008.1.2.1 value 0:00080060:CS =2 "
		"value 0:00100020:LO =3 ");
}

static void test_without_preamble_the_first_element_decides(void **state)
{
	struct fixture *fx = *state;

	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	gives(fx, NULL, 0, "ts 1.2.840.10008.1.2.1 value 0:00080060:CS =2 ");
	put_head(&fx->in, NX_TAG_PATIENT_COMMENTS, "LT", 114);
	put_fill(&fx->in, 110);
	nx_buf_put_str(&fx->in, "DICM"); /* where it is behind a preamble */
	gives(fx, NULL, 0,
		"ts 1.2.840.10008.1.2.1 value 0:00080060:CS =2 value 0:00104000:LT =114 ");
	nx_buf_clear(&fx->in);
	put_implicit(&fx->in, NX_TAG_MODALITY, 2);
	nx_buf_put_str(&fx->in, "CT");
	gives(fx, NULL, 0, "ts 1.2.840.10008.1.2 value 0:00080060:CS =2 ");
	nx_buf_clear(&fx->in);
	nx_buf_put(&fx->in,
		"\0\x08\0\x60"
		"CS\0\2CT",
		10);
	gives(fx, NULL, 0, "ts 1.2.840.10008.1.2.2 value 0:00080060:CS =2 ");
}

static void test_what_is_not_dicom_is_refused(void **state)
{
	struct fixture *fx = *state;

	refused(fx, NULL, NX_E_SHORT);
	nx_buf_put_zero(&fx->in, 200);
	refused(fx, NULL, NX_E_MALFORMED);
	nx_buf_clear(&fx->in);
	nx_buf_put_str(&fx->in, "once upon a time there was a text");
	refused(fx, NULL, NX_E_MALFORMED);
}

static void test_sequences_of_defined_and_undefined_length(void **state)
{
	struct fixture *fx = *state;

	put_head(&fx->in, NX_TAG_REFERENCED_IMAGE_SEQUENCE, "SQ", 8 + 10 + 8);
	put_implicit(&fx->in, NX_TAG_ITEM, 10);
	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	put_implicit(&fx->in, NX_TAG_ITEM, 0);
	put_head(&fx->in, NX_TAG_SOURCE_IMAGE_SEQUENCE, "SQ", UNDEFINED);
	put_implicit(&fx->in, NX_TAG_ITEM, UNDEFINED);
	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "MR");
	put_implicit(&fx->in, NX_TAG_ITEM_DELIMITATION_ITEM, 0);
	put_implicit(&fx->in, NX_TAG_SEQUENCE_DELIMITATION_ITEM, 0);
	put_head(&fx->in, NX_TAG(0x0010, 0x2152), "LO", 0);
	gives(fx, EXPLICIT, 0,
		"ts 1.2.840.10008.1.2.1 seq 0:00081140:SQ item 0 value 1:00080060:CS =2 /item "
		"item 1 /item /seq seq 0:00082112:SQ item 0 value 1:00080060:CS =2 /item /seq "
		"value 0:00102152:LO =0 ");
}

static void test_un_of_undefined_length_is_an_implicit_sequence(void **state)
{
	struct fixture *fx = *state;

	put_head(&fx->in, NX_TAG(0x0009, 0x1001), "UN", UNDEFINED);
	put_implicit(&fx->in, NX_TAG_ITEM, UNDEFINED);
	put_implicit(&fx->in, NX_TAG_MODALITY, 2);
	nx_buf_put_str(&fx->in, "CT");
	put_implicit(&fx->in, NX_TAG_ITEM_DELIMITATION_ITEM, 0);
	put_implicit(&fx->in, NX_TAG_SEQUENCE_DELIMITATION_ITEM, 0);
	put_elem(&fx->in, NX_TAG_PATIENT_ID, "LO", "x ");
	gives(fx, EXPLICIT, 0,
		"ts 1.2.840.10008.1.2.1 seq 0:00091001:SQ item 0 value 1:00080060:CS =2 /item /seq "
		"value 0:00100020:LO =2 ");
}

static void test_bulk_is_a_value_of_the_threshold_at_any_depth(void **state)
{
	struct fixture *fx = *state;

	put_head(&fx->in, NX_TAG_REFERENCED_IMAGE_SEQUENCE, "SQ", 8 + 12 + 16);
	put_implicit(&fx->in, NX_TAG_ITEM, 12 + 16);
	put_head(&fx->in, NX_TAG_PIXEL_DATA, "OB", 16);
	put_fill(&fx->in, 16);
	put_head(&fx->in, NX_TAG(0x6000, 0x3000), "OW", 15);
	put_fill(&fx->in, 15);
	put_head(&fx->in, NX_TAG_PIXEL_DATA, "OW", 17);
	put_fill(&fx->in, 17);
	gives(fx, EXPLICIT, 16,
		"ts 1.2.840.10008.1.2.1 seq 0:00081140:SQ item 0 bulk 1:7fe00010:OB =16 /item /seq "
		"value 0:60003000:OW =15 bulk 0:7fe00010:OW =17 ");
	assert_int_equal(fx->bulk.len, 33);
}

static void put_fragments(struct nx_buf *out, size_t n)
{
	put_head(out, NX_TAG_PIXEL_DATA, "OB", UNDEFINED);
	put_implicit(out, NX_TAG_ITEM, 0);
	put_implicit(out, NX_TAG_ITEM, (int64_t)n);
	put_fill(out, n);
	put_implicit(out, NX_TAG_SEQUENCE_DELIMITATION_ITEM, 0);
}

static void test_encapsulated_pixels_are_bulk_with_items_and_delimiter(void **state)
{
	struct fixture *fx = *state;

	put_fragments(&fx->in, 40); /* 64 with item tags */
	put_elem(&fx->in, NX_TAG_DATA_SET_TRAILING_PADDING, "OB", "pad ");
	gives(fx, EXPLICIT, 64,
		"ts 1.2.840.10008.1.2.1 bulk 0:7fe00010:OB =64 value 0:fffcfffc:OB =4 ");
	assert_int_equal(fx->bulk.len, 64);
	gives(fx, EXPLICIT, 65,
		"ts 1.2.840.10008.1.2.1 value 0:7fe00010:OB =64 value 0:fffcfffc:OB =4 ");
	assert_int_equal(fx->bulk.len, 0);
	assert_memory_equal(fx->raw.data, fx->in.data, fx->in.len);
}

static void test_lengths_past_what_is_around_are_refused(void **state)
{
	struct fixture *fx = *state;

	put_head(&fx->in, NX_TAG_REFERENCED_IMAGE_SEQUENCE, "SQ", 18);
	put_implicit(&fx->in, NX_TAG_ITEM, 12); /* 2 more than there is */
	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	refused(fx, EXPLICIT, NX_E_MALFORMED);
	nx_buf_clear(&fx->in);
	put_head(&fx->in, NX_TAG_REFERENCED_IMAGE_SEQUENCE, "SQ", 18);
	put_implicit(&fx->in, NX_TAG_ITEM, 10);
	put_head(&fx->in, NX_TAG_MODALITY, "CS", 4);
	nx_buf_put_str(&fx->in, "CT  ");
	refused(fx, EXPLICIT, NX_E_MALFORMED);
	nx_buf_clear(&fx->in);
	put_head(&fx->in, NX_TAG_REFERENCED_IMAGE_SEQUENCE, "SQ", 4);
	put_implicit(&fx->in, NX_TAG_ITEM, 0);
	refused(fx, EXPLICIT, NX_E_MALFORMED);
}

static void test_undefined_length_is_for_sequences_and_bytes_only(void **state)
{
	struct fixture *fx = *state;

	put_head(&fx->in, NX_TAG(0x4008, 0x010b), "UT", UNDEFINED);
	refused(fx, EXPLICIT, NX_E_MALFORMED);
}

static void test_a_stream_that_ends_inside_is_short(void **state)
{
	struct fixture *fx = *state;
	size_t whole;

	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	put_head(&fx->in, NX_TAG_REFERENCED_IMAGE_SEQUENCE, "SQ", UNDEFINED);
	put_implicit(&fx->in, NX_TAG_ITEM, UNDEFINED);
	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "MR");
	put_implicit(&fx->in, NX_TAG_ITEM_DELIMITATION_ITEM, 0);
	put_implicit(&fx->in, NX_TAG_SEQUENCE_DELIMITATION_ITEM, 0);
	put_fragments(&fx->in, 10);
	whole = fx->in.len;
	for (fx->in.len = 1; fx->in.len < whole; fx->in.len++) {
		if (fx->in.len != 10 && fx->in.len != 10 + 12 + 8 + 10 + 16)
			refused(fx, EXPLICIT, NX_E_SHORT);
	}
}

static void put_nested(struct nx_buf *out, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		put_head(out, NX_TAG_CONTENT_SEQUENCE, "SQ", UNDEFINED);
		put_implicit(out, NX_TAG_ITEM, UNDEFINED);
	}
	for (unsigned i = 0; i < n; i++) {
		put_implicit(out, NX_TAG_ITEM_DELIMITATION_ITEM, 0);
		put_implicit(out, NX_TAG_SEQUENCE_DELIMITATION_ITEM, 0);
	}
}

static void test_nesting_is_limited(void **state)
{
	const struct nx_dicom_parser_opts opts = {.ts_uid = EXPLICIT};
	struct fixture *fx = *state;

	put_nested(&fx->in, NX_LIMIT_DICOM_DEPTH);
	assert_ok(run(fx, &opts, 7), &fx->err);
	nx_buf_clear(&fx->in);
	put_nested(&fx->in, NX_LIMIT_DICOM_DEPTH + 1);
	refused(fx, EXPLICIT, NX_E_LIMIT);
}

static const struct nx_dicom_cb no_callbacks;

/* The depth that writers of the field reach, and what a failure says of it. */
static void test_a_failure_says_what_it_was(void **state)
{
	const struct nx_dicom_parser_opts opts = {.ts_uid = EXPLICIT};
	struct fixture *fx = *state;
	struct nx_dicom_failure failure;
	NX_AUTO(nx_dicom_parser) *deep = NULL;
	NX_AUTO(nx_dicom_parser) *text = NULL;

	assert_true(NX_LIMIT_DICOM_DEPTH >= 64);
	put_nested(&fx->in, NX_LIMIT_DICOM_DEPTH + 1);
	assert_ok(nx_dicom_parser_new(&opts, &no_callbacks, NULL, &deep, &fx->err), &fx->err);
	assert_rc(nx_dicom_feed(deep, fx->in.data, fx->in.len, &fx->err), NX_E_LIMIT);
	assert_true(nx_dicom_failure(deep, &failure));
	assert_true(failure.too_deep);
	assert_u64(failure.tag, NX_TAG_CONTENT_SEQUENCE);
	assert_u64(failure.offset, 20ull * NX_LIMIT_DICOM_DEPTH);
	nx_buf_clear(&fx->in);
	nx_buf_put_str(&fx->in, "this is a text and no stream of elements");
	assert_ok(nx_dicom_parser_new(NULL, &no_callbacks, NULL, &text, &fx->err), &fx->err);
	assert_ok(nx_dicom_feed(text, fx->in.data, fx->in.len, &fx->err), &fx->err);
	assert_rc(nx_dicom_finish(text, &fx->err), NX_E_MALFORMED);
	assert_false(nx_dicom_failure(text, &failure));
}

static void test_odd_vrs_are_read_as_the_field_writes_them(void **state)
{
	struct fixture *fx = *state;

	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	put_implicit(&fx->in, NX_TAG_MANUFACTURER, 2); /* implicit among explicit ones */
	nx_buf_put_str(&fx->in, "ab");
	put_elem(&fx->in, NX_TAG_PATIENT_ID, "??", "abcd"); /* 16-bit length */
	put_tag(&fx->in, NX_TAG_PATIENT_COMMENTS);
	nx_buf_put(&fx->in, "ZZ\0\0\2\0\0\0xy", 10); /* a VR to come: 32-bit length */
	gives(fx, EXPLICIT, 0,
		"ts 1.2.840.10008.1.2.1 value 0:00080060:CS =2 value 0:00080070:LO =2 "
		"value 0:00100020:UN =4 value 0:00104000:ZZ =2 ");
}

static void test_the_encoding_of_the_data_wins_over_the_announced_one(void **state)
{
	struct fixture *fx = *state;

	put_meta(&fx->in, IMPLICIT);
	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	gives(fx, NULL, 0, "value 0:00020010:UI =18 ts 1.2.840.10008.1.2 value 0:00080060:CS =2 ");
	nx_buf_clear(&fx->in);
	put_meta(&fx->in, EXPLICIT);
	put_implicit(&fx->in, NX_TAG_MODALITY, 2);
	nx_buf_put_str(&fx->in, "CT");
	gives(fx, NULL, 0,
		"value 0:00020010:UI =20 ts 1.2.840.10008.1.2.1 value 0:00080060:CS =2 ");
}

static void test_zeros_after_the_last_element_are_padding(void **state)
{
	struct fixture *fx = *state;

	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	for (size_t i = 0; i < 40; i++) {
		gives(fx, EXPLICIT, 0, "ts 1.2.840.10008.1.2.1 value 0:00080060:CS =2 ");
		nx_buf_put_u8(&fx->in, 0);
	}
}

/* `fx->in` as the body of a deflated file, PS3.5 A.5. */
static void deflate_in(struct fixture *fx)
{
	NX_AUTO_DONE(nx_buf) body;
	z_stream z = {0};

	nx_buf_init(&body, 1 << 27, 0);
	nx_buf_put_slice(&body, nx_buf_slice(&fx->in));
	nx_buf_clear(&fx->in);
	put_meta(&fx->in, NX_UID_DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN);
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = body.data;
	z.avail_in = (unsigned)body.len;
	z.avail_out = (unsigned)deflateBound(&z, body.len);
	z.next_out = nx_buf_reserve(&fx->in, z.avail_out);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	fx->in.len += z.total_out;
	(void)deflateEnd(&z);
}

static void test_a_deflated_data_set_is_all_raw_and_read_inflated(void **state)
{
	struct fixture *fx = *state;

	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	put_head(&fx->in, NX_TAG_PIXEL_DATA, "OW", 100000);
	put_fill(&fx->in, 100000);
	put_elem(&fx->in, NX_TAG_DATA_SET_TRAILING_PADDING, "OB", "ab");
	deflate_in(fx);
	gives(fx, NULL, 0,
		"value 0:00020010:UI =22 ts 1.2.840.10008.1.2.1.99 value 0:00080060:CS =2 "
		"skipped 0:7fe00010:OW =100000 value 0:fffcfffc:OB =2 ");
	assert_int_equal(fx->bulk.len, 0);
	fx->in.len--;
	refused(fx, NULL, NX_E_SHORT);
	fx->in.data[132 + 8 + 22] = 0xff; /* a block type that is none */
	refused(fx, NULL, NX_E_MALFORMED);
}

static void test_an_empty_deflated_data_set_is_one(void **state)
{
	struct fixture *fx = *state;

	deflate_in(fx);
	gives(fx, NULL, 0, "value 0:00020010:UI =22 ts 1.2.840.10008.1.2.1.99 ");
}

static void test_a_deflated_bomb_is_refused(void **state)
{
	struct fixture *fx = *state;
	const struct nx_dicom_parser_opts opts = {0};

	for (unsigned i = 0; i < 6; i++) {
		put_head(&fx->in, NX_TAG(0x6000 + 2 * i, 0x3000), "OW", 15 << 20);
		nx_buf_put_zero(&fx->in, 15 << 20);
	}
	deflate_in(fx);
	assert_rc(run(fx, &opts, 4096), NX_E_LIMIT);
}

static void test_stop_before_stops(void **state)
{
	const struct nx_dicom_parser_opts opts = {.stop_before = NX_TAG_PATIENT_NAME};
	struct fixture *fx = *state;

	put_meta(&fx->in, EXPLICIT);
	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	put_elem(&fx->in, NX_TAG_PATIENT_ID, "LO", "x ");
	nx_buf_put_str(&fx->in, "whatever comes then");
	assert_ok(run(fx, &opts, 1 << 20), &fx->err);
	assert_string_equal(nx_buf_cstr(&fx->log),
		"value 0:00020010:UI =20 ts 1.2.840.10008.1.2.1 value 0:00080060:CS =2 ");
}

static nx_rc fail_value(
	void *payload, const struct nx_dicom_elem *e, struct nx_slice value, struct nx_err *err)
{
	(void)payload;
	(void)e;
	(void)value;
	return nx_err_set(err, NX_E_NOSPACE, "full");
}

static void test_a_failing_callback_ends_the_parse_with_its_code(void **state)
{
	const struct nx_dicom_parser_opts opts = {.ts_uid = EXPLICIT};
	const struct nx_dicom_cb cb = {.on_value = fail_value};
	NX_AUTO(nx_dicom_parser) *parser = NULL;
	struct fixture *fx = *state;

	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	assert_ok(nx_dicom_parser_new(&opts, &cb, NULL, &parser, &fx->err), &fx->err);
	assert_rc(nx_dicom_feed(parser, fx->in.data, fx->in.len, &fx->err), NX_E_NOSPACE);
	assert_string_equal(fx->err.text, "full");
	assert_rc(nx_dicom_feed(parser, fx->in.data, fx->in.len, &fx->err), NX_E_NOSPACE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_file_has_preamble_meta_group_and_data_set),
		TEST(test_without_preamble_the_first_element_decides),
		TEST(test_what_is_not_dicom_is_refused),
		TEST(test_sequences_of_defined_and_undefined_length),
		TEST(test_un_of_undefined_length_is_an_implicit_sequence),
		TEST(test_bulk_is_a_value_of_the_threshold_at_any_depth),
		TEST(test_encapsulated_pixels_are_bulk_with_items_and_delimiter),
		TEST(test_lengths_past_what_is_around_are_refused),
		TEST(test_undefined_length_is_for_sequences_and_bytes_only),
		TEST(test_a_stream_that_ends_inside_is_short),
		TEST(test_nesting_is_limited),
		TEST(test_a_failure_says_what_it_was),
		TEST(test_odd_vrs_are_read_as_the_field_writes_them),
		TEST(test_the_encoding_of_the_data_wins_over_the_announced_one),
		TEST(test_zeros_after_the_last_element_are_padding),
		TEST(test_a_deflated_data_set_is_all_raw_and_read_inflated),
		TEST(test_an_empty_deflated_data_set_is_one),
		TEST(test_a_deflated_bomb_is_refused),
		TEST(test_stop_before_stops),
		TEST(test_a_failing_callback_ends_the_parse_with_its_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

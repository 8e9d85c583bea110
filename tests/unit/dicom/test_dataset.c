#include "nx_test.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/limits.h"
#include "dicom/stream.h"

#define EXPLICIT NX_UID_EXPLICIT_VR_LITTLE_ENDIAN
#define IMPLICIT NX_UID_IMPLICIT_VR_LITTLE_ENDIAN

struct fixture {
	struct nx_buf in;
	struct nx_buf out;
	struct nx_arena *arena;
	struct nx_dataset *ds;
	struct nx_err err;
};

static int setup(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	nx_buf_init(&fx->in, 1 << 24, 0);
	nx_buf_init(&fx->out, 1 << 24, 0);
	fx->arena = nx_arena_new(1 << 24, 0);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;

	nx_buf_done(&fx->in);
	nx_buf_done(&fx->out);
	nx_arena_free(fx->arena);
	free(fx);
	return 0;
}

static void parse(struct fixture *fx, const char *ts)
{
	assert_ok(nx_dataset_parse(nx_buf_slice(&fx->in), ts, 0, fx->arena, &fx->ds, &fx->err),
		&fx->err);
}

static const char *text(struct fixture *fx, nx_tag tag)
{
	return nx_dataset_text(fx->ds, tag, fx->arena);
}

static const char *json(struct fixture *fx,
	nx_rc (*uri)(
		void *payload, const struct nx_elem *e, struct nx_buf *out, struct nx_err *err))
{
	struct nx_json json;

	nx_buf_clear(&fx->out);
	nx_json_init(&json, &fx->out);
	assert_ok(nx_dataset_json(fx->ds, &json, uri, NULL, fx->arena, &fx->err), &fx->err);
	return nx_buf_cstr(&fx->out);
}

/* ---- tree ---- */

static void test_text_is_utf8_without_padding(void **state)
{
	struct fixture *fx = *state;

	put_elem(&fx->in, NX_TAG_SPECIFIC_CHARACTER_SET, "CS", "ISO_IR 100");
	put_elem(&fx->in, NX_TAG_IMAGE_TYPE, "CS", " A \\B\\ ");
	put_elem(&fx->in, NX_TAG_PATIENT_NAME, "PN", "M\xfcller^A ");
	put_elem(&fx->in, NX_TAG_PATIENT_COMMENTS, "LT", " a\\b ");
	put_head(&fx->in, NX_TAG_STUDY_INSTANCE_UID, "UI", 4);
	nx_buf_put(&fx->in, "1.2", 4);
	parse(fx, EXPLICIT);
	assert_string_equal(text(fx, NX_TAG_IMAGE_TYPE), "A\\B\\");
	assert_string_equal(text(fx, NX_TAG_PATIENT_NAME), "Müller^A");
	assert_string_equal(text(fx, NX_TAG_PATIENT_COMMENTS), " a\\b");
	assert_string_equal(text(fx, NX_TAG_STUDY_INSTANCE_UID), "1.2");
	assert_string_equal(text(fx, NX_TAG_PATIENT_ID), "");
}

static void test_items_inherit_the_character_set(void **state)
{
	struct fixture *fx = *state;

	put_elem(&fx->in, NX_TAG_SPECIFIC_CHARACTER_SET, "CS", "ISO_IR 100");
	put_head(&fx->in, NX_TAG_REFERENCED_IMAGE_SEQUENCE, "SQ", UNDEFINED);
	put_implicit(&fx->in, NX_TAG_ITEM, UNDEFINED);
	put_elem(&fx->in, NX_TAG_PATIENT_NAME, "PN", "\xe4 ");
	put_implicit(&fx->in, NX_TAG_ITEM_DELIMITATION_ITEM, 0);
	put_implicit(&fx->in, NX_TAG_ITEM, UNDEFINED);
	put_elem(&fx->in, NX_TAG_SPECIFIC_CHARACTER_SET, "CS", "ISO_IR 126");
	put_elem(&fx->in, NX_TAG_PATIENT_NAME, "PN", "\xc4 ");
	put_implicit(&fx->in, NX_TAG_ITEM_DELIMITATION_ITEM, 0);
	put_implicit(&fx->in, NX_TAG_SEQUENCE_DELIMITATION_ITEM, 0);
	put_elem(&fx->in, NX_TAG_PATIENT_NAME, "PN", "\xc4 ");
	parse(fx, EXPLICIT);
	assert_string_equal(json(fx, NULL),
		"{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]},"
		"\"00081140\":{\"vr\":\"SQ\",\"Value\":["
		"{\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"ä\"}]}},"
		"{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]},"
		"\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"Δ\"}]}}]},"
		"\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"Ä\"}]}}");
}

static void test_tags_come_in_order_and_once(void **state)
{
	struct fixture *fx = *state;

	put_elem(&fx->in, NX_TAG_PATIENT_ID, "LO", "1 ");
	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	put_elem(&fx->in, NX_TAG_PATIENT_ID, "LO", "2 ");
	parse(fx, EXPLICIT);
	assert_int_equal(fx->ds->n, 2);
	assert_int_equal(fx->ds->elems[0].tag, NX_TAG_MODALITY);
	assert_string_equal(text(fx, NX_TAG_PATIENT_ID), "2"); /* the last one */
}

static void test_big_endian_values_are_swapped(void **state)
{
	struct fixture *fx = *state;
	int64_t v;

	nx_buf_put(&fx->in, "\0\x28\0\x10US\0\2\2\1", 10);
	nx_buf_put(&fx->in,
		"\0\x28\0\x09"
		"AT\0\4\0\x18\x10\x63",
		12);
	nx_buf_put(&fx->in, "\x7f\xe0\0\x10OW\0\0\0\0\0\4abcd", 16);
	parse(fx, NX_UID_EXPLICIT_VR_BIG_ENDIAN);
	assert_true(nx_dataset_int(fx->ds, NX_TAG_ROWS, &v));
	assert_i64(v, 0x0201);
	assert_memory_equal(nx_dataset_find(fx->ds, NX_TAG_PIXEL_DATA)->value.p, "badc", 4);
	assert_string_equal(json(fx, NULL),
		"{\"00280009\":{\"vr\":\"AT\",\"Value\":[\"00181063\"]},"
		"\"00280010\":{\"vr\":\"US\",\"Value\":[513]},"
		"\"7FE00010\":{\"vr\":\"OW\",\"InlineBinary\":\"YmFkYw==\"}}");
}

static void test_us_or_ss_follows_pixel_representation(void **state)
{
	struct fixture *fx = *state;
	int64_t v;

	put_implicit(&fx->in, NX_TAG_PIXEL_REPRESENTATION, 2);
	nx_buf_put_u16le(&fx->in, 1);
	put_implicit(&fx->in, NX_TAG_SMALLEST_IMAGE_PIXEL_VALUE, 2);
	nx_buf_put_u16le(&fx->in, 0xffff);
	parse(fx, IMPLICIT);
	assert_true(nx_dataset_int(fx->ds, NX_TAG_SMALLEST_IMAGE_PIXEL_VALUE, &v));
	assert_i64(v, -1);
}

static void test_un_of_a_public_tag_gets_its_vr(void **state)
{
	struct fixture *fx = *state;

	put_elem(&fx->in, NX_TAG_PATIENT_ID, "UN", "x ");
	put_head(&fx->in, NX_TAG(0x300c, 0x0002), "UN", 8 + 10);
	put_implicit(&fx->in, NX_TAG_ITEM, 10);
	put_implicit(&fx->in, NX_TAG_MODALITY, 2);
	nx_buf_put_str(&fx->in, "CT");
	put_elem(&fx->in, NX_TAG(0x300d, 0x1001), "UN", "p ");
	parse(fx, EXPLICIT);
	assert_string_equal(json(fx, NULL),
		"{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"x\"]},"
		"\"300C0002\":{\"vr\":\"SQ\",\"Value\":[{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]}}]},"
		"\"300D1001\":{\"vr\":\"UN\",\"InlineBinary\":\"cCA=\"}}");
}

/* The byte that an odd length gets when it is written belongs to the last value in the sequence. */
static void test_un_of_odd_length_is_the_sequence_that_it_is_written_as(void **state)
{
	struct fixture *fx = *state;

	put_head(&fx->in, NX_TAG(0x300c, 0x0002), "UN", 8 + 11);
	put_implicit(&fx->in, NX_TAG_ITEM, 12);
	put_implicit(&fx->in, NX_TAG_REFERENCED_SOP_INSTANCE_UID, 4);
	nx_buf_put_str(&fx->in, "1.2");
	parse(fx, EXPLICIT);
	assert_string_equal(json(fx, NULL),
		"{\"300C0002\":{\"vr\":\"SQ\",\"Value\":[{\"00081155\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]}}]}}");
}

static void test_integers(void **state)
{
	struct fixture *fx = *state;
	int64_t v = 5;

	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	put_elem(&fx->in, NX_TAG_SERIES_NUMBER, "IS", " +12\\3 ");
	put_elem(&fx->in, NX_TAG_INSTANCE_NUMBER, "IS", "-2147483648 ");
	put_elem(&fx->in, NX_TAG_NUMBER_OF_FRAMES, "IS", "99999999999999999999");
	put_elem(&fx->in, NX_TAG_ROWS, "US", "\x01"); /* one byte: no value */
	parse(fx, EXPLICIT);
	assert_true(nx_dataset_int(fx->ds, NX_TAG_SERIES_NUMBER, &v));
	assert_i64(v, 12);
	assert_true(nx_dataset_int(fx->ds, NX_TAG_INSTANCE_NUMBER, &v));
	assert_i64(v, -2147483648ll);
	assert_false(nx_dataset_int(fx->ds, NX_TAG_NUMBER_OF_FRAMES, &v));
	assert_false(nx_dataset_int(fx->ds, NX_TAG_ROWS, &v));
	assert_false(nx_dataset_int(fx->ds, NX_TAG_MODALITY, &v));
	assert_false(nx_dataset_int(fx->ds, NX_TAG_COLUMNS, &v));
	assert_i64(v, -2147483648ll); /* untouched */
}

/* ---- split ---- */

static void test_a_header_without_its_bulk_gives_the_same_tree(void **state)
{
	struct fixture *fx = *state;
	struct nx_bulk_ref bulks[2];
	NX_AUTO_DONE(nx_buf) header;
	const struct nx_elem *elem;

	nx_buf_init(&header, 1 << 20, 0);
	put_meta(&header, NX_UID_JPEG_BASELINE_8_BIT);
	put_head(&header, NX_TAG(0x6000, 0x3000), "OW", 70000);
	bulks[0] = (struct nx_bulk_ref){header.len, 70000};
	put_elem(&header, NX_TAG(0x6002, 0x0040), "CS", "G ");
	put_head(&header, NX_TAG_PIXEL_DATA, "OB", UNDEFINED);
	bulks[1] = (struct nx_bulk_ref){header.len + 70000, 5000000};
	put_elem(&header, NX_TAG_DATA_SET_TRAILING_PADDING, "OB", "ab");
	assert_ok(nx_dataset_parse_split(
			  nx_buf_slice(&header), bulks, 2, NULL, fx->arena, &fx->ds, &fx->err),
		&fx->err);
	elem = nx_dataset_find(fx->ds, NX_TAG_PIXEL_DATA);
	assert_true(elem->is_bulk && elem->is_encapsulated);
	assert_u64(elem->bulk_offset, bulks[1].offset);
	assert_u64(elem->bulk_length, 5000000);
	assert_string_equal(text(fx, NX_TAG(0x6002, 0x0040)), "G");
	assert_non_null(nx_dataset_find(fx->ds, NX_TAG_DATA_SET_TRAILING_PADDING));
	/* references that do not fit */
	bulks[0].length--;
	assert_rc(nx_dataset_parse_split(
			  nx_buf_slice(&header), bulks, 2, NULL, fx->arena, &fx->ds, NULL),
		NX_E_MALFORMED);
	bulks[0].length++;
	bulks[0].offset--;
	assert_rc(nx_dataset_parse_split(
			  nx_buf_slice(&header), bulks, 2, NULL, fx->arena, &fx->ds, NULL),
		NX_E_MALFORMED);
	bulks[0].offset = header.len + 1;
	assert_rc(nx_dataset_parse_split(
			  nx_buf_slice(&header), bulks, 1, NULL, fx->arena, &fx->ds, NULL),
		NX_E_INVAL);
}

/* ---- JSON ---- */

static void test_numbers_keep_their_digits(void **state)
{
	struct fixture *fx = *state;

	put_elem(&fx->in, NX_TAG_SLICE_THICKNESS, "DS", "+1.50\\.5\\-01.\\1E+05\\abc\\\\0.1 ");
	put_elem(&fx->in, NX_TAG_SERIES_NUMBER, "IS", "007\\+1\\1.5\\");
	put_elem(&fx->in, NX_TAG_IMAGE_COMMENTS, "LT", "  ");
	parse(fx, EXPLICIT);
	assert_string_equal(json(fx, NULL),
		"{\"00180050\":{\"vr\":\"DS\",\"Value\":[1.50,0.5,-1,1e+05,\"abc\",null,0.1]},"
		"\"00200011\":{\"vr\":\"IS\",\"Value\":[7,1,\"1.5\",null]},"
		"\"00204000\":{\"vr\":\"LT\"}}");
}

static void test_names_have_three_groups(void **state)
{
	struct fixture *fx = *state;

	put_elem(&fx->in, NX_TAG_SPECIFIC_CHARACTER_SET, "CS", "ISO_IR 192");
	put_elem(&fx->in, NX_TAG_PATIENT_NAME, "PN", "A^B=王^小=\\==C");
	parse(fx, EXPLICIT);
	assert_non_null(strstr(json(fx, NULL),
		"\"Value\":[{\"Alphabetic\":\"A^B\",\"Ideographic\":\"王^小\"},{\"Phonetic\":\"C\"}]"));
}

static void test_big_integers_are_strings(void **state)
{
	struct fixture *fx = *state;

	put_head(
		&fx->in, NX_TAG(0x7fe0, 0x0001), "UV", 16); /* offset table: UV by VR, not by tag */
	nx_buf_put_u64le(&fx->in, UINT64_MAX);
	nx_buf_put_u64le(&fx->in, 7);
	parse(fx, EXPLICIT);
	assert_string_equal(json(fx, NULL),
		"{\"7FE00001\":{\"vr\":\"UV\",\"Value\":[\"18446744073709551615\",7]}}");
}

static nx_rc uri(void *payload, const struct nx_elem *e, struct nx_buf *out, struct nx_err *err)
{
	(void)payload;
	(void)err;
	nx_buf_printf(out, "bulk/%08x/%llu", (unsigned)e->tag, (unsigned long long)e->bulk_length);
	return NX_OK;
}

static void test_pixels_are_never_inline(void **state)
{
	struct fixture *fx = *state;

	put_head(&fx->in, NX_TAG(0x6000, 0x3000), "OW", 70000);
	put_fill(&fx->in, 70000);
	put_elem(&fx->in, NX_TAG_PIXEL_DATA, "OW", "abcd");
	parse(fx, EXPLICIT);
	assert_string_equal(json(fx, uri),
		"{\"60003000\":{\"vr\":\"OW\",\"BulkDataURI\":\"bulk/60003000/70000\"},"
		"\"7FE00010\":{\"vr\":\"OW\",\"BulkDataURI\":\"bulk/7fe00010/4\"}}");
}

static void test_encoding_elements_are_not_in_json(void **state)
{
	struct fixture *fx = *state;

	put_meta(&fx->in, EXPLICIT);
	put_head(&fx->in, NX_TAG(0x0008, 0), "UL", 4);
	nx_buf_put_u32le(&fx->in, 10);
	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	put_elem(&fx->in, NX_TAG_DATA_SET_TRAILING_PADDING, "OB", "ab");
	parse(fx, NULL);
	assert_string_equal(json(fx, NULL), "{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]}}");
}

static void test_stored_text_becomes_an_attribute(void **state)
{
	struct fixture *fx = *state;
	struct nx_json json;

	nx_json_init(&json, &fx->out);
	nx_json_object_begin(&json);
	nx_json_dicom_text(&json, NX_TAG_MODALITIES_IN_STUDY, "CT\\MR");
	nx_json_dicom_text(&json, NX_TAG_PATIENT_NAME, "A^B");
	nx_json_dicom_text(&json, NX_TAG_ROWS, "512");
	nx_json_dicom_text(&json, NX_TAG_PATIENT_ID, "");
	nx_json_dicom_text(&json, NX_TAG_FRAME_INCREMENT_POINTER, "00181063");
	nx_json_object_end(&json);
	assert_string_equal(nx_buf_cstr(&fx->out),
		"{\"00080061\":{\"vr\":\"CS\",\"Value\":[\"CT\",\"MR\"]},"
		"\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"A^B\"}]},"
		"\"00280010\":{\"vr\":\"US\",\"Value\":[512]},\"00100020\":{\"vr\":\"LO\"},"
		"\"00280009\":{\"vr\":\"AT\",\"Value\":[\"00181063\"]}}");
}

/* ---- writing ---- */

static nx_rc note_bulk(void *payload, const struct nx_elem *e, size_t at, struct nx_err *err)
{
	(void)e;
	(void)err;
	*(size_t *)payload = at;
	return NX_OK;
}

static void test_what_is_written_parses_as_it_was(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO_DONE(nx_buf) out;
	size_t at = 0;
	const char *before;

	nx_buf_init(&out, 1 << 20, 0);
	put_meta(&fx->in, NX_UID_EXPLICIT_VR_LITTLE_ENDIAN);
	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "odd");
	put_head(&fx->in, NX_TAG_REFERENCED_IMAGE_SEQUENCE, "SQ", 18);
	put_implicit(&fx->in, NX_TAG_ITEM, 10);
	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "MR");
	put_head(&fx->in, NX_TAG_PIXEL_DATA, "OW", 70000);
	put_fill(&fx->in, 70000);
	parse(fx, NULL);
	before = json(fx, NULL);
	before = nx_arena_str(fx->arena, before, strlen(before));
	assert_ok(nx_dataset_write(fx->ds, nx_ts_find(IMPLICIT), &out, note_bulk, &at, &fx->err),
		&fx->err);
	assert_int_equal(at, out.len);
	put_fill(&out, 70000);
	assert_ok(nx_dataset_parse(nx_buf_slice(&out), NULL, 0, fx->arena, &fx->ds, &fx->err),
		&fx->err);
	assert_string_equal(text(fx, NX_TAG_TRANSFER_SYNTAX_UID), IMPLICIT);
	assert_string_equal(json(fx, NULL), before);
}

static void test_a_missing_transfer_syntax_is_written(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO_DONE(nx_buf) out;

	nx_buf_init(&out, 1 << 20, 0);
	put_elem(&fx->in, NX_TAG_MEDIA_STORAGE_SOP_CLASS_UID, "UI", "1.2 ");
	put_elem(&fx->in, NX_TAG_SOURCE_APPLICATION_ENTITY_TITLE, "AE", "ME");
	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	parse(fx, NULL);
	assert_ok(nx_dataset_write(fx->ds, NULL, &out, NULL, NULL, &fx->err), &fx->err);
	assert_ok(nx_dataset_parse(nx_buf_slice(&out), NULL, 0, fx->arena, &fx->ds, &fx->err),
		&fx->err);
	assert_string_equal(text(fx, NX_TAG_TRANSFER_SYNTAX_UID), EXPLICIT);
	assert_string_equal(text(fx, NX_TAG_SOURCE_APPLICATION_ENTITY_TITLE), "ME");
	assert_string_equal(text(fx, NX_TAG_MODALITY), "CT");
}

static void test_big_endian_is_written_and_read_again(void **state)
{
	static const uint8_t rows[] = {0x28, 0, 0x10, 0, 'U', 'S', 2, 0, 0x34, 0x12};
	static const uint8_t turned[] = {0, 0x28, 0, 0x10, 'U', 'S', 0, 2, 0x12, 0x34};
	struct fixture *fx = *state;
	NX_AUTO_DONE(nx_buf) out;
	const char *before;

	nx_buf_init(&out, 1 << 20, 0);
	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	put_head(&fx->in, NX_TAG_REFERENCED_IMAGE_SEQUENCE, "SQ", 18);
	put_implicit(&fx->in, NX_TAG_ITEM, 10);
	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "MR");
	nx_buf_put(&fx->in, rows, sizeof(rows));
	parse(fx, EXPLICIT);
	before = json(fx, NULL);
	before = nx_arena_str(fx->arena, before, strlen(before));
	assert_ok(nx_dataset_write(fx->ds, nx_ts_find(NX_UID_EXPLICIT_VR_BIG_ENDIAN), &out, NULL,
			  NULL, &fx->err),
		&fx->err);
	assert_memory_equal(out.data + out.len - sizeof(turned), turned, sizeof(turned));
	assert_ok(nx_dataset_parse(nx_buf_slice(&out), NX_UID_EXPLICIT_VR_BIG_ENDIAN, 0, fx->arena,
			  &fx->ds, &fx->err),
		&fx->err);
	assert_string_equal(json(fx, NULL), before);
}

static void test_nothing_is_written_deflated(void **state)
{
	struct fixture *fx = *state;

	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	parse(fx, EXPLICIT);
	assert_rc(nx_dataset_write(
			  fx->ds, nx_ts_find("1.2.840.10008.1.2.1.99"), &fx->out, NULL, NULL, NULL),
		NX_E_UNSUPPORTED);
}

static void test_meta_information_of_a_received_data_set(void **state)
{
	struct fixture *fx = *state;
	int64_t length;

	assert_ok(nx_dicom_meta_write(NX_UID_CT_IMAGE_STORAGE, "1.2.3", EXPLICIT, "MODALITY",
			  &fx->in, &fx->err),
		&fx->err);
	parse(fx, NULL);
	assert_true(nx_dataset_int(fx->ds, NX_TAG_FILE_META_INFORMATION_GROUP_LENGTH, &length));
	assert_i64(length, (int64_t)fx->in.len - 132 - 12);
	assert_string_equal(text(fx, NX_TAG_MEDIA_STORAGE_SOP_INSTANCE_UID), "1.2.3");
	assert_string_equal(text(fx, NX_TAG_TRANSFER_SYNTAX_UID), EXPLICIT);
	assert_string_equal(text(fx, NX_TAG_SOURCE_APPLICATION_ENTITY_TITLE), "MODALITY");
	assert_rc(nx_dicom_meta_write("", "1.2", EXPLICIT, NULL, &fx->out, NULL), NX_E_INVAL);
}

static void test_memory_is_limited_by_the_arena(void **state)
{
	struct fixture *fx = *state;
	struct nx_dataset *ds = NULL;

	put_meta(&fx->in, EXPLICIT);
	put_elem(&fx->in, NX_TAG_MODALITY, "CS", "CT");
	for (size_t max = 0; max < 512; max += 16) {
		NX_AUTO(nx_arena) *arena = nx_arena_new(max, 0);
		nx_rc rc = nx_dataset_parse(nx_buf_slice(&fx->in), NULL, 0, arena, &ds, NULL);

		assert_true(rc == NX_OK || rc == NX_E_NOMEM);
		assert_true(rc == NX_OK || !ds);
		if (!rc)
			return;
	}
	fail();
}

/* Latin-1 in an item of a data set that says ISO_IR 100. */
static void test_text_becomes_utf8_at_every_depth(void **state)
{
	struct fixture *fx = *state;
	struct nx_elem name = {.tag = NX_TAG(0x0010, 0x0010),
		.vr = NX_VR('P', 'N'),
		.value = nx_slice_str("M\xfcller")};
	struct nx_elem code = {.tag = NX_TAG(0x0008, 0x0104),
		.vr = NX_VR('L', 'O'),
		.value = nx_slice_str("Sch\xe4"
				      "del")};
	struct nx_elem bulk = {
		.tag = NX_TAG(0x7fe0, 0x0010), .vr = NX_VR('O', 'W'), .is_bulk = true};
	struct nx_dataset *item = nx_dataset_new(fx->arena, 2), *ds = nx_dataset_new(fx->arena, 5);
	struct nx_elem seq = {
		.tag = NX_TAG(0x0008, 0x1032), .vr = NX_VR('S', 'Q'), .items = &item, .n_items = 1};

	nx_dataset_put(item, &code);
	item->charset = ds->charset = nx_slice_str("ISO_IR 100");
	nx_dataset_put_text(ds, NX_TAG_SPECIFIC_CHARACTER_SET, "ISO_IR 100");
	nx_dataset_put(ds, &name);
	nx_dataset_put(ds, &seq);
	nx_dataset_put(ds, &bulk);
	assert_ok(nx_dataset_utf8(ds, fx->arena, &fx->ds, &fx->err), &fx->err);
	assert_string_equal(text(fx, NX_TAG_SPECIFIC_CHARACTER_SET), "ISO_IR 192");
	assert_string_equal(text(fx, NX_TAG(0x0010, 0x0010)), "M\xc3\xbcller");
	assert_null(nx_dataset_find(fx->ds, bulk.tag));
	fx->ds = nx_dataset_find(fx->ds, seq.tag)->items[0];
	assert_string_equal(text(fx, code.tag),
		"Sch\xc3\xa4"
		"del");
	assert_true(nx_dataset_same(fx->ds, fx->ds));
	assert_false(nx_dataset_same(fx->ds, item));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_text_is_utf8_without_padding),
		TEST(test_items_inherit_the_character_set),
		TEST(test_text_becomes_utf8_at_every_depth),
		TEST(test_tags_come_in_order_and_once),
		TEST(test_big_endian_values_are_swapped),
		TEST(test_us_or_ss_follows_pixel_representation),
		TEST(test_un_of_a_public_tag_gets_its_vr),
		TEST(test_un_of_odd_length_is_the_sequence_that_it_is_written_as),
		TEST(test_integers),
		TEST(test_a_header_without_its_bulk_gives_the_same_tree),
		TEST(test_numbers_keep_their_digits),
		TEST(test_names_have_three_groups),
		TEST(test_big_integers_are_strings),
		TEST(test_pixels_are_never_inline),
		TEST(test_encoding_elements_are_not_in_json),
		TEST(test_stored_text_becomes_an_attribute),
		TEST(test_what_is_written_parses_as_it_was),
		TEST(test_a_missing_transfer_syntax_is_written),
		TEST(test_big_endian_is_written_and_read_again),
		TEST(test_nothing_is_written_deflated),
		TEST(test_meta_information_of_a_received_data_set),
		TEST(test_memory_is_limited_by_the_arena),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

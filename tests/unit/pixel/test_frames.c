/* Which fragments make which frame (PS3.5 A.4). */
#include "nx_test.h"
#include "nx_torture.h"

#include "base/buf.h"
#include "base/limits.h"
#include "pixel/frames.h"

enum {
	FRAMES_MAX = 8
};

static void item(struct nx_buf *out, const void *value, size_t n)
{
	nx_buf_put(out, "\xFE\xFF\x00\xE0", 4);
	nx_buf_put_u32le(out, (uint32_t)n);
	nx_buf_put(out, value, n);
}

static void delimiter(struct nx_buf *out)
{
	nx_buf_put(out, "\xFE\xFF\xDD\xE0\0\0\0\0", 8);
}

static nx_rc scan_in_pieces(struct nx_pixel_scan *scan, struct nx_slice value, size_t piece)
{
	nx_rc rc = NX_OK;

	for (size_t at = 0; !rc && at < value.n; at += piece)
		rc = nx_pixel_scan_feed(scan,
			nx_slice(value.p + at, piece < value.n - at ? piece : value.n - at), NULL);
	return rc ? rc : nx_pixel_scan_finish(scan, NULL);
}

static void test_pieces_do_not_matter(void **state)
{
	NX_AUTO_DONE(nx_buf) value;

	(void)state;
	nx_buf_init(&value, 1024, 0);
	item(&value, "\0\0\0\0\x10\0\0\0", 8);
	item(&value, "\xFF\xD8\xFF\xE0....", 8);
	item(&value, "abcde\xFF\xD9\0", 8);
	item(&value, "", 0);
	delimiter(&value);
	for (size_t piece = 1; piece <= value.len; piece++) {
		NX_AUTO(nx_pixel_scan) *scan = nx_pixel_scan_new();
		const struct nx_fragment *f;
		size_t n;

		assert_rc(scan_in_pieces(scan, nx_buf_slice(&value), piece), NX_OK);
		f = nx_pixel_scan_fragments(scan, &n);
		assert_int_equal(n, 3);
		assert_u64(f[0].offset, 24);
		assert_int_equal(f[0].length, 8);
		assert_memory_equal(f[0].head, "\xFF\xD8\xFF\xE0....", 8);
		assert_memory_equal(f[1].tail, "\xFF\xD9\0", 3);
		assert_int_equal(f[2].length, 0);
		assert_int_equal(nx_pixel_scan_offsets(scan).n, 8);
	}
}

/* What is skipped of a fragment is neither its head nor its end. */
static void test_the_inside_of_a_fragment_may_be_skipped(void **state)
{
	static const size_t pieces[] = {1, 5, 100, 1000};
	NX_AUTO_DONE(nx_buf) value;

	(void)state;
	nx_buf_init(&value, 8192, 0);
	item(&value, "\0\0\0\0", 4);
	for (int i = 0; i < 5; i++) {
		char bytes[700];

		memset(bytes, 'a' + i, sizeof(bytes));
		memcpy(bytes, "\xFF\xD8\xFF\xE0", 4);
		memcpy(bytes + sizeof(bytes) - 2, "\xFF\xD9", 2);
		item(&value, bytes, i % 2 ? 10 : sizeof(bytes));
	}
	delimiter(&value);
	for (size_t k = 0; k < NX_ARRAY_LEN(pieces); k++) {
		NX_AUTO(nx_pixel_scan) *whole = nx_pixel_scan_new();
		NX_AUTO(nx_pixel_scan) *some = nx_pixel_scan_new();
		const struct nx_fragment *a, *b;
		size_t n, m, fed = 0;

		assert_rc(scan_in_pieces(whole, nx_buf_slice(&value), 1000), NX_OK);
		for (size_t at = 0; at < value.len;) {
			size_t take = pieces[k] < value.len - at ? pieces[k] : value.len - at;

			assert_rc(nx_pixel_scan_feed(some, nx_slice(value.data + at, take), NULL),
				NX_OK);
			fed += take;
			at += take;
			at += (size_t)nx_pixel_scan_skip(some, value.len - at);
		}
		assert_rc(nx_pixel_scan_finish(some, NULL), NX_OK);
		a = nx_pixel_scan_fragments(whole, &n);
		b = nx_pixel_scan_fragments(some, &m);
		assert_int_equal(n, m);
		assert_true(pieces[k] > 100 || fed < value.len / 2);
		for (size_t i = 0; i < n; i++)
			if (i % 2 == 0 && a[i].length > 3)
				assert_memory_equal(&a[i], &b[i], sizeof(*a));
	}
}

static void test_what_is_no_item_is_refused(void **state)
{
	NX_AUTO(nx_pixel_scan) *scan = nx_pixel_scan_new();
	NX_AUTO(nx_pixel_scan) *cut = nx_pixel_scan_new();

	(void)state;
	assert_rc(nx_pixel_scan_feed(scan, nx_slice("\xFE\xFF\x00\xE0\xFF\xFF\xFF\xFF", 8), NULL),
		NX_E_MALFORMED);
	assert_rc(nx_pixel_scan_feed(cut, nx_slice("\xFE\xFF\x00\xE0\4\0\0\0ab", 10), NULL), NX_OK);
	assert_rc(nx_pixel_scan_finish(cut, NULL), NX_E_SHORT);
}

/* Six fragments of 100 bytes, 108 from one to the next. */
static void six(struct nx_fragment ret[6])
{
	for (size_t i = 0; i < 6; i++)
		ret[i] = (struct nx_fragment){.offset = 16 + 108 * i, .length = 100};
}

static void begin(struct nx_fragment *f)
{
	static const uint8_t soi[] = {0xFF, 0xD8, 0xFF};

	for (size_t i = 0; i < sizeof(soi); i++)
		f->head[i] = soi[i];
}

static void end(struct nx_fragment *f)
{
	f->tail[0] = 0xFF;
	f->tail[1] = 0xD9;
}

static void check(const struct nx_fragment *f, const struct nx_frame_tables *tables,
	uint32_t n_frames, const uint32_t *want)
{
	uint32_t first[FRAMES_MAX + 1] = {0};
	struct nx_err err = {0};

	assert_ok(nx_frames_index(f, 6, tables, n_frames, first, &err), &err);
	for (uint32_t i = 0; i < n_frames; i++)
		assert_int_equal(first[i], want[i]);
	assert_int_equal(first[n_frames], 6);
}

static void test_tables_decide(void **state)
{
	static const uint8_t basic[] = {0, 0, 0, 0, 216, 0, 0, 0, 0xB0, 1, 0, 0}; /* 0, 216, 432 */
	static const uint8_t extended[] = {0, 0, 0, 0, 0, 0, 0, 0, 108, 0, 0, 0, 0, 0, 0, 0, 0x1C,
		2, 0, 0, 0, 0, 0, 0}; /* 0, 108, 540 */
	struct nx_frame_tables tables = {.basic = {basic, sizeof(basic)}};
	struct nx_fragment f[6];

	(void)state;
	six(f);
	check(f, &tables, 3, (const uint32_t[]){0, 2, 4});
	tables.extended = nx_slice(extended, sizeof(extended));
	check(f, &tables, 3, (const uint32_t[]){0, 1, 5});
}

static void test_without_a_table_markers_decide(void **state)
{
	const struct nx_frame_tables none = {0};
	struct nx_fragment f[6];

	(void)state;
	six(f);
	check(f, &none, 1, (const uint32_t[]){0});
	check(f, &none, 6, (const uint32_t[]){0, 1, 2, 3, 4, 5});
	begin(&f[3]);
	check(f, &none, 2, (const uint32_t[]){0, 3});
	end(&f[1]);
	end(&f[4]);
	check(f, &none, 3, (const uint32_t[]){0, 2, 5});
}

static void test_a_wrong_table_is_not_believed(void **state)
{
	static const uint8_t wrong[] = {0, 0, 0, 0, 200, 0, 0, 0};
	const struct nx_frame_tables tables = {.basic = {wrong, sizeof(wrong)}};
	struct nx_fragment f[6];
	uint32_t first[3];

	(void)state;
	six(f);
	assert_rc(nx_frames_index(f, 6, &tables, 2, first, NULL), NX_E_MALFORMED);
	begin(&f[4]);
	check(f, &tables, 2, (const uint32_t[]){0, 4});
}

static void test_frames_without_fragments_are_refused(void **state)
{
	const struct nx_frame_tables none = {0};
	struct nx_fragment f[6];
	uint32_t first[FRAMES_MAX + 1];

	(void)state;
	six(f);
	assert_rc(nx_frames_index(f, 6, &none, 7, first, NULL), NX_E_MALFORMED);
	assert_rc(nx_frames_index(f, 6, &none, 0, first, NULL), NX_E_MALFORMED);
	assert_rc(nx_frames_index(NULL, 0, &none, 1, first, NULL), NX_E_MALFORMED);
}

static nx_rc one_use(void *payload)
{
	NX_AUTO(nx_pixel_scan) *scan = nx_pixel_scan_new();

	return scan ? scan_in_pieces(scan, *(const struct nx_slice *)payload, 7) : NX_E_NOMEM;
}

static void test_failing_allocations_are_reported(void **state)
{
	NX_AUTO_DONE(nx_buf) value;
	struct nx_slice slice;

	(void)state;
	nx_buf_init(&value, 4096, 0);
	for (unsigned i = 0; i < 40; i++)
		item(&value, "ab", 2);
	slice = nx_buf_slice(&value);
	(void)nx_torture(one_use, &slice);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces_do_not_matter),
		cmocka_unit_test(test_the_inside_of_a_fragment_may_be_skipped),
		cmocka_unit_test(test_what_is_no_item_is_refused),
		cmocka_unit_test(test_tables_decide),
		cmocka_unit_test(test_without_a_table_markers_decide),
		cmocka_unit_test(test_a_wrong_table_is_not_believed),
		cmocka_unit_test(test_frames_without_fragments_are_refused),
		cmocka_unit_test(test_failing_allocations_are_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Lines, areas, text and shutters: which pixels they are, and that nothing is beside the raster. */
#include "nx_test.h"
#include "nx_torture.h"

#include <math.h>

#include "base/limits.h"
#include "pixel/draw.h"

enum {
	ROWS = 24,
	COLUMNS = 32,
	GUARD = 64 /* bytes around the raster that stay as they are */
};

struct sheet {
	uint8_t memory[ROWS * COLUMNS + 2 * GUARD];
	struct nx_raster raster;
	struct nx_canvas canvas;
};

static void sheet_init(struct sheet *s)
{
	memset(s->memory, 0, sizeof(s->memory));
	s->raster = (struct nx_raster){ROWS, COLUMNS, 1, s->memory + GUARD};
	nx_canvas_init(&s->canvas, &s->raster);
}

static size_t drawn(const struct sheet *s, size_t *ret_beside)
{
	size_t n = 0;

	*ret_beside = 0;
	for (size_t i = 0; i < sizeof(s->memory); i++) {
		const bool inside = i >= GUARD && i < sizeof(s->memory) - GUARD;

		n += inside && s->memory[i];
		*ret_beside += !inside && s->memory[i];
	}
	return n;
}

static bool is_drawn(const struct sheet *s, uint32_t x, uint32_t y)
{
	return s->raster.pixels[y * COLUMNS + x] == UINT8_MAX;
}

static void test_lines_have_their_ends_and_their_width(void **state)
{
	const struct nx_point line[] = {{2.5, 3.5}, {20.5, 3.5}};
	struct nx_err err = {0};
	struct sheet s;
	size_t beside;

	(void)state;
	sheet_init(&s);
	assert_ok(nx_draw_lines(&s.canvas, line, 2, &err), &err);
	assert_true(is_drawn(&s, 2, 3) && is_drawn(&s, 20, 3) && !is_drawn(&s, 21, 3));
	assert_u64(drawn(&s, &beside), 19);
	s.canvas.width = 3;
	assert_ok(nx_draw_lines(&s.canvas, line, 2, &err), &err);
	assert_u64(drawn(&s, &beside), 3 * 21);
	assert_u64(beside, 0);
}

static void test_points_from_anywhere_touch_nothing_beside_the_raster(void **state)
{
	static const double values[] = {
		-1e308, -1e30, -40, 0, 12.25, 31.99, 32, 1e9, 1e308, INFINITY, NAN};
	const size_t n = NX_ARRAY_LEN(values);
	struct nx_err err = {0};
	struct sheet s;
	size_t beside;

	(void)state;
	sheet_init(&s);
	for (size_t i = 0; i < n * n * n; i++) {
		const struct nx_point p[] = {{values[i % n], values[i / n % n]},
			{values[i / n / n % n], values[(i + 3) % n]}, {5, 5}};

		s.canvas.width = 1 + (unsigned)(i % 5);
		s.canvas.may_draw = NX_LIMIT_DRAWN;
		assert_ok(nx_draw_lines(&s.canvas, p, 3, &err), &err);
		assert_ok(nx_draw_area(&s.canvas, p, 3, &err), &err);
	}
	(void)drawn(&s, &beside);
	assert_u64(beside, 0);
}

static void test_areas_have_the_pixels_whose_centers_are_in_them(void **state)
{
	const struct nx_point square[] = {{4, 4}, {10, 4}, {10, 9}, {4, 9}};
	const struct nx_point ring[] = {{4, 4}, {14, 4}, {14, 14}, {4, 14}, {4, 4}, {6, 6}, {12, 6},
		{12, 12}, {6, 12}, {6, 6}};
	struct nx_err err = {0};
	struct sheet s;
	size_t beside;

	(void)state;
	sheet_init(&s);
	assert_ok(nx_draw_area(&s.canvas, square, NX_ARRAY_LEN(square), &err), &err);
	assert_u64(drawn(&s, &beside), 6 * 5);
	assert_true(is_drawn(&s, 4, 4) && is_drawn(&s, 9, 8) && !is_drawn(&s, 10, 9));
	sheet_init(&s);
	assert_ok(nx_draw_area(&s.canvas, ring, NX_ARRAY_LEN(ring), &err), &err);
	assert_u64(drawn(&s, &beside), 100 - 36);
}

static void test_drawing_is_bounded(void **state)
{
	const struct nx_point line[] = {{0, 0}, {30, 20}, {0, 5}};
	struct nx_err err = {0};
	struct sheet s;

	(void)state;
	sheet_init(&s);
	s.canvas.may_draw = 40;
	assert_rc(nx_draw_lines(&s.canvas, line, 3, &err), NX_E_LIMIT);
	s.canvas.may_draw = 40;
	assert_rc(nx_draw_area(&s.canvas, line, 3, &err), NX_E_LIMIT);
	assert_rc(nx_draw_text(&s.canvas, 0, 0, 1, "AB", &err), NX_E_LIMIT);
}

static void test_text_is_as_large_as_it_says(void **state)
{
	static const struct {
		const char *text;
		uint32_t columns;
		uint32_t rows;
	} texts[] = {{"", 2, 20}, {"AB", 20, 20}, {"A\r\nBCD\rE\nF", 29, 74},
		{"\xe5\xb1\xb1", 20, 20}, {"e\xcc\x81", 11, 20}, {"\xff\xc3", 20, 20},
		{"\xf0\x9f\x98\x80", 11, 20}};
	struct nx_err err = {0};
	uint32_t columns, rows;
	struct sheet s;
	size_t beside;

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(texts); i++) {
		nx_text_measure(texts[i].text, 1, &columns, &rows);
		assert_u64(columns, texts[i].columns);
		assert_u64(rows, texts[i].rows);
		for (int64_t at = -300; at < 60; at += 7) {
			sheet_init(&s);
			assert_ok(nx_draw_text(&s.canvas, at, at / 2, 1 + (unsigned)(i % 3),
					  texts[i].text, &err),
				&err);
			(void)drawn(&s, &beside);
			assert_u64(beside, 0);
		}
	}
	sheet_init(&s);
	assert_ok(nx_draw_text(&s.canvas, 0, 0, 1, "l", &err), &err);
	assert_true(drawn(&s, &beside) > 8 && drawn(&s, &beside) < 40);
}

static void test_shutters_hide_what_any_of_them_hides(void **state)
{
	const struct nx_point triangle[] = {{0.5, 0.5}, {31.5, 0.5}, {0.5, 23.5}};
	struct nx_shutter shutter = {.rectangular = true,
		.left = 3,
		.right = 30,
		.upper = 2,
		.lower = 20,
		.circular = true,
		.row = 10,
		.column = 10,
		.radius = 6,
		.value = UINT8_MAX};
	struct nx_err err = {0};
	struct sheet s;

	(void)state;
	sheet_init(&s);
	assert_ok(nx_render_shutter(&s.raster, &shutter, &err), &err);
	assert_true(!is_drawn(&s, 9, 9) && !is_drawn(&s, 3, 9) && is_drawn(&s, 2, 9));
	shutter = (struct nx_shutter){.polygon = triangle, .n_polygon = 3, .value = UINT8_MAX};
	sheet_init(&s);
	assert_ok(nx_render_shutter(&s.raster, &shutter, &err), &err);
	assert_true(!is_drawn(&s, 0, 0) && !is_drawn(&s, 31, 0) && is_drawn(&s, 30, 20));
}

static nx_rc one_use(void *payload)
{
	const struct nx_point triangle[] = {{0.5, 0.5}, {31.5, 0.5}, {0.5, 23.5}};
	const struct nx_shutter shutter = {.polygon = triangle, .n_polygon = 3, .value = 1};
	struct nx_err err = {0};
	struct sheet s;
	nx_rc rc;

	(void)payload;
	sheet_init(&s);
	rc = nx_render_shutter(&s.raster, &shutter, &err);
	if (!rc)
		rc = nx_draw_area(&s.canvas, triangle, 3, &err);
	return rc ? rc : nx_draw_text(&s.canvas, 1, 1, 1, "A", &err);
}

static void test_allocations_that_fail_are_errors(void **state)
{
	(void)state;
	(void)nx_torture(one_use, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_have_their_ends_and_their_width),
		cmocka_unit_test(test_points_from_anywhere_touch_nothing_beside_the_raster),
		cmocka_unit_test(test_areas_have_the_pixels_whose_centers_are_in_them),
		cmocka_unit_test(test_drawing_is_bounded),
		cmocka_unit_test(test_text_is_as_large_as_it_says),
		cmocka_unit_test(test_shutters_hide_what_any_of_them_hides),
		cmocka_unit_test(test_allocations_that_fail_are_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

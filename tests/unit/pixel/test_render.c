/* What a viewer shows: every step by numbers that PS3.3 gives, and files read back. */
#include "nx_test.h"
#include "nx_torture.h"

#include <gif_lib.h>
#include <png.h>

#include "base/buf.h"
#include "pixel/render.h"

enum {
	FILE_MAX = 1 << 20
};

static struct nx_pixel_desc gray_of(uint32_t columns, unsigned stored, bool is_signed)
{
	return (struct nx_pixel_desc){.rows = 1,
		.columns = columns,
		.frames = 1,
		.samples = 1,
		.bits_allocated = 16,
		.bits_stored = (uint16_t)stored,
		.is_signed = is_signed,
		.photometric = NX_PHOTO_MONOCHROME2};
}

static void render16(const struct nx_pixel_desc *desc, const uint16_t *values,
	const struct nx_gray *gray, uint8_t *out)
{
	struct nx_err err = {0};

	assert_ok(
		nx_render_gray(desc, nx_slice(values, 2u * desc->columns), gray, out, &err), &err);
}

static void test_linear_windows_are_those_of_the_standard(void **state)
{
	/* C.11.2.1.2.1: center 2048, width 4096; and width 1, a threshold. */
	const struct nx_pixel_desc desc = gray_of(4, 12, false);
	const struct nx_gray whole = {.voi = NX_VOI_LINEAR, .center = 2048, .width = 4096};
	const struct nx_gray step = {.voi = NX_VOI_LINEAR, .center = 100, .width = 1};
	const struct nx_gray exact = {.voi = NX_VOI_LINEAR_EXACT, .center = 0, .width = 4096};
	uint8_t out[4];

	(void)state;
	render16(&desc, (const uint16_t[]){0, 1024, 2048, 4095}, &whole, out);
	assert_memory_equal(out, ((const uint8_t[]){0, 64, 128, 255}), 4);
	render16(&desc, (const uint16_t[]){98, 99, 100, 101}, &step, out);
	assert_memory_equal(out, ((const uint8_t[]){0, 0, 255, 255}), 4);
	render16(&desc, (const uint16_t[]){0, 1024, 2048, 4095}, &exact, out);
	assert_memory_equal(out, ((const uint8_t[]){128, 191, 255, 255}), 4);
}

static void test_sigmoid_is_symmetric(void **state)
{
	const struct nx_pixel_desc desc = gray_of(3, 12, true);
	const struct nx_gray gray = {.voi = NX_VOI_SIGMOID, .center = 0, .width = 100};
	uint8_t out[3];

	(void)state;
	/* 255 / (1 + exp(+-2)) at half a width from the center */
	render16(&desc, (const uint16_t[]){(uint16_t)-50, 0, 50}, &gray, out);
	assert_memory_equal(out, ((const uint8_t[]){30, 128, 225}), 3);
}

static void test_rescale_comes_before_the_window(void **state)
{
	const struct nx_pixel_desc desc = gray_of(3, 12, false);
	const struct nx_gray gray = {.slope = 2,
		.intercept = -1000,
		.voi = NX_VOI_LINEAR_EXACT,
		.center = 0,
		.width = 2000};
	uint8_t out[3];

	(void)state;
	render16(&desc, (const uint16_t[]){0, 500, 1000}, &gray, out);
	assert_memory_equal(out, ((const uint8_t[]){0, 128, 255}), 3);
}

static void test_signs_and_unused_bits(void **state)
{
	const struct nx_pixel_desc desc = gray_of(3, 12, true);
	const struct nx_gray gray = {.voi = NX_VOI_LINEAR_EXACT, .center = 0, .width = 4096};
	uint8_t out[3];

	(void)state;
	/* the upper four bits are not part of the value, whatever they are */
	render16(&desc, (const uint16_t[]){0x0800, 0xF000, 0xF7FF}, &gray, out);
	assert_memory_equal(out, ((const uint8_t[]){0, 128, 255}), 3);
}

static void test_monochrome1_is_dark_where_values_are_high(void **state)
{
	struct nx_pixel_desc desc = gray_of(2, 8, false);
	struct nx_gray gray = {.voi = NX_VOI_LINEAR_EXACT, .center = 128, .width = 256};
	uint8_t out[2];

	(void)state;
	desc.photometric = NX_PHOTO_MONOCHROME1;
	render16(&desc, (const uint16_t[]){0, 255}, &gray, out);
	assert_memory_equal(out, ((const uint8_t[]){255, 1}), 2);
	gray.inverse = true;
	render16(&desc, (const uint16_t[]){0, 255}, &gray, out);
	assert_memory_equal(out, ((const uint8_t[]){0, 254}), 2);
}

static void test_without_a_window_the_frame_has_one(void **state)
{
	const struct nx_pixel_desc desc = gray_of(4, 16, true);
	struct nx_gray gray = {0};
	uint8_t out[4];

	(void)state;
	render16(&desc, (const uint16_t[]){(uint16_t)-2000, 0, 50, 100}, &gray, out);
	assert_memory_equal(out, ((const uint8_t[]){0, 243, 249, 255}), 4);
	gray.has_padding = true;
	gray.padding_low = gray.padding_high = -2000;
	render16(&desc, (const uint16_t[]){(uint16_t)-2000, 0, 50, 100}, &gray, out);
	assert_memory_equal(out, ((const uint8_t[]){0, 0, 128, 255}), 4);
}

static void test_tables_instead_of_numbers(void **state)
{
	const struct nx_pixel_desc desc = gray_of(4, 8, false);
	const struct nx_lut modality = {3, 10, 16, (const uint16_t[]){100, 200, 300}};
	const struct nx_lut voi = {3, 100, 8, (const uint16_t[]){7, 8, 9}};
	const struct nx_gray gray = {.modality = &modality, .voi = NX_VOI_LUT, .voi_lut = &voi};
	const struct nx_lut empty = {0};
	const struct nx_gray bad = {.voi = NX_VOI_LUT, .voi_lut = &empty};
	uint8_t out[4];

	(void)state;
	/* 0 is before the table, 12 its last entry: 100 and 300, which are first and last of the
	 * other */
	render16(&desc, (const uint16_t[]){0, 10, 11, 12}, &gray, out);
	assert_memory_equal(out, ((const uint8_t[]){7, 7, 9, 9}), 4);
	assert_rc(nx_render_gray(&desc, nx_slice("12345678", 8), &bad, out, NULL), NX_E_MALFORMED);
}

static void test_deep_samples_are_computed_one_by_one(void **state)
{
	struct nx_pixel_desc desc = gray_of(2, 32, false);
	const struct nx_gray gray = {
		.voi = NX_VOI_LINEAR_EXACT, .center = 2147483648.0, .width = 4294967296.0};
	uint8_t out[2];

	(void)state;
	desc.bits_allocated = 32;
	assert_rc(
		nx_render_gray(&desc, nx_slice("\0\0\0\x80\xFF\xFF\xFF\xFF", 8), &gray, out, NULL),
		NX_OK);
	assert_memory_equal(out, ((const uint8_t[]){128, 255}), 2);
}

static void test_palettes_of_8_and_16_bits(void **state)
{
	struct nx_pixel_desc desc = gray_of(2, 8, false);
	const uint16_t wide[] = {0xFF00, 0x8000}, narrow[] = {10, 20};
	const struct nx_palette palette = {{2, 1, 16, wide}, {2, 1, 8, narrow}, {2, 0, 16, wide}};
	uint8_t out[6];

	(void)state;
	desc.photometric = NX_PHOTO_PALETTE;
	assert_rc(nx_render_palette(&desc, nx_slice("\1\0\2\0", 4), &palette, out, NULL), NX_OK);
	assert_memory_equal(out, ((const uint8_t[]){0xFF, 10, 0x80, 0x80, 20, 0x80}), 6);
}

static void test_segmented_palettes_expand(void **state)
{
	/* two entries, a line of four up to 50, and both again */
	const uint16_t segments[] = {0, 2, 5, 10, 1, 4, 50, 2, 2, 0, 0};
	const uint16_t want[] = {5, 10, 20, 30, 40, 50, 5, 10, 20, 30, 40, 50};
	const uint16_t itself[] = {2, 1, 0, 0};
	uint16_t out[12];

	(void)state;
	assert_rc(nx_lut_expand(segments, NX_ARRAY_LEN(segments), out, 12, NULL), NX_OK);
	assert_memory_equal(out, want, sizeof(want));
	assert_rc(nx_lut_expand(segments, NX_ARRAY_LEN(segments), out, 11, NULL), NX_E_MALFORMED);
	assert_rc(nx_lut_expand(segments, 3, out, 12, NULL), NX_E_MALFORMED);
	assert_rc(nx_lut_expand(itself, NX_ARRAY_LEN(itself), out, 12, NULL), NX_E_MALFORMED);
}

static void test_colors_of_both_models_and_depths(void **state)
{
	struct nx_pixel_desc desc = {.rows = 1,
		.columns = 1,
		.frames = 1,
		.samples = 3,
		.bits_allocated = 8,
		.bits_stored = 8,
		.photometric = NX_PHOTO_YBR_FULL};
	uint8_t out[3];

	(void)state;
	/* pure red (PS3.3 C.7.6.3.1.2) */
	assert_rc(nx_render_color(&desc, nx_slice("\x4C\x55\xFF", 3), out, NULL), NX_OK);
	assert_memory_equal(out, ((const uint8_t[]){254, 0, 0}), 3);
	desc.photometric = NX_PHOTO_RGB;
	desc.bits_allocated = desc.bits_stored = 16;
	assert_rc(nx_render_color(&desc, nx_slice("\0\xFF\0\x80\0\0", 6), out, NULL), NX_OK);
	assert_memory_equal(out, ((const uint8_t[]){0xFF, 0x80, 0}), 3);
}

static void test_overlays_are_burned_in_where_they_lie(void **state)
{
	uint8_t pixels[9] = {0};
	struct nx_raster raster = {3, 3, 1, pixels};
	const struct nx_overlay overlay = {2, 2, 0, 3, {(const uint8_t *)"\x0F", 1}};
	const struct nx_overlay far = {2, 2, INT32_MAX, INT32_MIN, {(const uint8_t *)"\x0F", 1}};
	const struct nx_overlay cut = {2000, 2000, 1, 1, {(const uint8_t *)"\1", 1}};

	(void)state;
	nx_render_overlay(
		&raster, &overlay, 200); /* row 0 is above the image, column 4 beside it */
	assert_memory_equal(pixels, ((const uint8_t[]){0, 0, 200, 0, 0, 0, 0, 0, 0}), 9);
	nx_render_overlay(&raster, &far, 100);
	nx_render_overlay(&raster, &cut, 100);
	assert_memory_equal(pixels, ((const uint8_t[]){100, 0, 200, 0, 0, 0, 0, 0, 0}), 9);
}

static void test_sizes(void **state)
{
	uint8_t in[16] = {0, 100, 200, 200, 100, 200, 200, 200, 8, 8, 0, 0, 8, 8, 0, 0}, out[64];
	const struct nx_raster from = {4, 4, 1, in};
	struct nx_raster half = {2, 2, 1, out}, line = {1, 3, 1, out}, same = {4, 4, 1, out};
	struct nx_raster twice = {8, 8, 1, out};

	(void)state;
	assert_rc(nx_render_resize(&from, &half, NULL), NX_OK);
	assert_memory_equal(out, ((const uint8_t[]){100, 200, 8, 0}), 4);
	assert_rc(nx_render_resize(&from, &same, NULL), NX_OK);
	assert_memory_equal(out, in, 16);
	assert_rc(nx_render_resize(&from, &line, NULL), NX_OK);
	assert_rc(nx_render_resize(&from, &twice, NULL), NX_OK);
	assert_memory_equal(out, ((const uint8_t[]){0, 25, 75, 125, 175, 200, 200, 200}), 8);
	assert_int_equal(nx_raster_len(65535, 65535, 3), 0);
	assert_int_equal(nx_raster_len(2, 3, 3), 18);
}

static void test_parts_of_an_image(void **state)
{
	uint8_t in[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, out[4];
	const struct nx_raster from = {3, 3, 1, in};

	(void)state;
	assert_rc(nx_render_crop(&from, &(struct nx_region){1, 1, 2, 2}, out, NULL), NX_OK);
	assert_memory_equal(out, ((const uint8_t[]){5, 6, 8, 9}), 4);
	assert_rc(nx_render_crop(&from, &(struct nx_region){2, 1, 2, 2}, out, NULL), NX_E_INVAL);
	assert_rc(nx_render_crop(&from, &(struct nx_region){0, UINT32_MAX, 1, 2}, out, NULL),
		NX_E_INVAL);
}

static void test_mirrored(void **state)
{
	uint8_t pixels[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
	struct nx_raster gray = {3, 4, 1, pixels}, color = {2, 2, 3, pixels};

	(void)state;
	nx_render_flip(&gray, true, false);
	assert_memory_equal(pixels, ((const uint8_t[]){4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9}), 12);
	nx_render_flip(&gray, true, true);
	assert_memory_equal(pixels, ((const uint8_t[]){9, 10, 11, 12, 5, 6, 7, 8, 1, 2, 3, 4}), 12);
	nx_render_flip(&color, true, true);
	assert_memory_equal(pixels, ((const uint8_t[]){2, 3, 4, 7, 8, 1, 12, 5, 6, 9, 10, 11}), 12);
}

static void test_a_profile_is_in_the_file(void **state)
{
	uint8_t pixels[3] = {1, 2, 3};
	const struct nx_raster raster = {1, 1, 3, pixels};
	const struct nx_slice icc = nx_slice_str("not understood, and given on");
	png_image png = {.version = PNG_IMAGE_VERSION};
	NX_AUTO_DONE(nx_buf) out;

	(void)state;
	nx_buf_init(&out, FILE_MAX, 0);
	assert_rc(nx_render_jpeg(&raster, 90, icc, &out, NULL), NX_OK);
	assert_non_null(memmem(out.data, out.len, icc.p, icc.n));
	assert_non_null(memmem(out.data, out.len, "ICC_PROFILE", 12));
	nx_buf_clear(&out);
	assert_rc(nx_render_png(&raster, icc, &out, NULL), NX_OK);
	assert_non_null(memmem(out.data, out.len, "iCCPicc\0", 9));
	assert_true(png_image_begin_read_from_memory(&png, out.data, out.len));
	png_image_free(&png);
}

/* ---- files ---- */

static struct nx_raster picture(uint32_t samples, uint8_t *pixels)
{
	for (uint32_t i = 0; i < 32 * 24 * samples; i++)
		pixels[i] = (uint8_t)(i / samples % 32 * 7 + i % samples * 40);
	return (struct nx_raster){24, 32, samples, pixels};
}

static void test_png_is_exact(void **state)
{
	uint8_t pixels[32 * 24 * 3], back[32 * 24 * 3];

	(void)state;
	for (uint32_t samples = 1; samples <= 3; samples += 2) {
		const struct nx_raster raster = picture(samples, pixels);
		png_image png = {.version = PNG_IMAGE_VERSION};
		NX_AUTO_DONE(nx_buf) out;

		nx_buf_init(&out, FILE_MAX, 0);
		assert_rc(nx_render_png(&raster, nx_slice(NULL, 0), &out, NULL), NX_OK);
		assert_true(png_image_begin_read_from_memory(&png, out.data, out.len));
		assert_int_equal(png.width, 32);
		assert_int_equal(png.height, 24);
		png.format = samples == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
		assert_true(png_image_finish_read(&png, NULL, back, 0, NULL));
		assert_memory_equal(back, pixels, (size_t)32 * 24 * samples);
	}
}

static void test_jpeg_is_close(void **state)
{
	uint8_t pixels[32 * 24 * 3], back[32 * 24 * 3];
	const struct nx_raster raster = picture(3, pixels);
	const struct nx_pixel_desc desc = {.rows = 24,
		.columns = 32,
		.frames = 1,
		.samples = 3,
		.bits_allocated = 8,
		.bits_stored = 8,
		.photometric = NX_PHOTO_YBR_FULL};
	struct nx_pixel_desc got;
	NX_AUTO_DONE(nx_buf) out;

	(void)state;
	nx_buf_init(&out, FILE_MAX, 0);
	assert_rc(nx_render_jpeg(&raster, 95, nx_slice(NULL, 0), &out, NULL), NX_OK);
	assert_rc(
		nx_pixel_decode(nx_pixel_codec_find("1.2.840.10008.1.2.4.50"),
			&(struct nx_pixel_frame){
				.desc = &desc, .bytes = nx_buf_slice(&out), .flags = NX_PIXEL_RGB},
			back, sizeof(back), &got, NULL),
		NX_OK);
	for (size_t i = 0; i < sizeof(back); i++)
		assert_in_range(
			back[i] > pixels[i] ? back[i] - pixels[i] : pixels[i] - back[i], 0, 9);
}

static int gif_read(GifFileType *file, GifByteType *to, int n)
{
	struct nx_slice *left = file->UserData;
	const size_t take = (size_t)n < left->n ? (size_t)n : left->n;

	memcpy(to, left->p, take);
	*left = nx_slice(left->p + take, left->n - take);
	return (int)take;
}

static void test_gif_has_its_frames(void **state)
{
	uint8_t pixels[32 * 24 * 3];
	const struct nx_raster color = picture(3, pixels);
	NX_AUTO(nx_gif) *gif = NULL;
	NX_AUTO_DONE(nx_buf) out;
	struct nx_slice left;
	GifFileType *file;
	int code;

	(void)state;
	nx_buf_init(&out, FILE_MAX, 0);
	assert_rc(nx_gif_new(24, 32, 40, &out, &gif, NULL), NX_OK);
	assert_rc(nx_gif_add(gif, &color, NULL), NX_OK);
	assert_rc(nx_gif_add(gif, &(struct nx_raster){24, 32, 1, pixels}, NULL), NX_OK);
	assert_rc(nx_gif_add(gif, &(struct nx_raster){32, 24, 1, pixels}, NULL), NX_E_INVAL);
	assert_rc(nx_gif_finish(gif, NULL), NX_OK);
	left = nx_buf_slice(&out);
	file = DGifOpen(&left, gif_read, &code);
	assert_non_null(file);
	assert_int_equal(DGifSlurp(file), GIF_OK);
	assert_int_equal(file->ImageCount, 2);
	assert_memory_equal(file->SavedImages[1].RasterBits, pixels, 32 * 24); /* gray is exact */
	(void)DGifCloseFile(file, &code);
}

static nx_rc one_use(void *payload)
{
	uint8_t pixels[32 * 24 * 3], small[8 * 6 * 3];
	const struct nx_raster raster = picture(3, pixels);
	struct nx_raster to = {6, 8, 3, small};
	NX_AUTO(nx_gif) *gif = NULL;
	NX_AUTO_DONE(nx_buf) out;
	nx_rc rc;

	(void)payload;
	nx_buf_init(&out, FILE_MAX, 0);
	rc = nx_render_resize(&raster, &to, NULL);
	if (!rc)
		rc = nx_render_png(&to, nx_slice(NULL, 0), &out, NULL);
	if (!rc)
		rc = nx_gif_new(6, 8, 40, &out, &gif, NULL);
	if (!rc)
		rc = nx_gif_add(gif, &to, NULL);
	return rc ? rc : nx_gif_finish(gif, NULL);
}

static void test_failing_allocations_are_reported(void **state)
{
	(void)state;
	(void)nx_torture(one_use, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linear_windows_are_those_of_the_standard),
		cmocka_unit_test(test_sigmoid_is_symmetric),
		cmocka_unit_test(test_rescale_comes_before_the_window),
		cmocka_unit_test(test_signs_and_unused_bits),
		cmocka_unit_test(test_monochrome1_is_dark_where_values_are_high),
		cmocka_unit_test(test_without_a_window_the_frame_has_one),
		cmocka_unit_test(test_tables_instead_of_numbers),
		cmocka_unit_test(test_deep_samples_are_computed_one_by_one),
		cmocka_unit_test(test_palettes_of_8_and_16_bits),
		cmocka_unit_test(test_segmented_palettes_expand),
		cmocka_unit_test(test_colors_of_both_models_and_depths),
		cmocka_unit_test(test_overlays_are_burned_in_where_they_lie),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_parts_of_an_image),
		cmocka_unit_test(test_mirrored),
		cmocka_unit_test(test_a_profile_is_in_the_file),
		cmocka_unit_test(test_png_is_exact),
		cmocka_unit_test(test_jpeg_is_close),
		cmocka_unit_test(test_gif_has_its_frames),
		cmocka_unit_test(test_failing_allocations_are_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a codec encodes it decodes to the same samples, for every depth, sign and number of samples.
 */
#include "nx_test.h"
#include "nx_torture.h"

#include <stdlib.h>

#include "base/buf.h"
#include "pixel/pixel.h"

enum {
	LEN_MAX = 1 << 22
};

struct shape {
	uint32_t rows;
	uint32_t columns;
	uint16_t samples;
	bool planar;
};

static const struct shape shapes[] = {{16, 16, 1, false}, {7, 5, 1, false}, {1, 1, 1, false},
	{33, 70, 3, false}, {9, 64, 3, true}, {128, 3, 1, false}};

static uint32_t noise(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Smooth parts, edges and noise, within `stored` bits and with the sign above them. */
static void picture(const struct nx_pixel_desc *desc, uint8_t *out)
{
	const unsigned bytes = desc->bits_allocated / 8u;
	const size_t n = (size_t)desc->rows * desc->columns * desc->samples;
	uint32_t state = desc->bits_stored;

	for (size_t i = 0; i < n; i++) {
		uint64_t v = i % 7 < 3 ? noise(&state) : i / 5 % 3 ? i * 3 : 0x5555;

		v &= desc->bits_stored < 64 ? (1ull << desc->bits_stored) - 1 : UINT64_MAX;
		if (desc->is_signed && v >> (desc->bits_stored - 1) & 1)
			v |= ~0ull << (desc->bits_stored - 1);
		for (unsigned b = 0; b < bytes; b++)
			out[i * bytes + b] = (uint8_t)(v >> (8 * b));
	}
}

static struct nx_pixel_desc describe(
	const struct shape *shape, unsigned allocated, unsigned stored, bool is_signed)
{
	return (struct nx_pixel_desc){.rows = shape->rows,
		.columns = shape->columns,
		.frames = 1,
		.samples = shape->samples,
		.bits_allocated = (uint16_t)allocated,
		.bits_stored = (uint16_t)stored,
		.high_bit = (uint16_t)(stored - 1),
		.is_signed = is_signed,
		.planar = shape->planar,
		.photometric = shape->samples == 3 ? NX_PHOTO_RGB : NX_PHOTO_MONOCHROME2};
}

static size_t sample_at(const struct nx_pixel_desc *d, size_t pixel, unsigned s)
{
	const size_t n = (size_t)d->rows * d->columns;
	const unsigned bytes = d->bits_allocated / 8u;

	return d->planar ? (s * n + pixel) * bytes : (pixel * d->samples + s) * bytes;
}

static uint32_t worst_difference(const struct nx_pixel_desc *a, const uint8_t *pa,
	const struct nx_pixel_desc *b, const uint8_t *pb)
{
	const unsigned bytes = a->bits_allocated / 8u;
	uint32_t worst = 0;

	for (size_t i = 0; i < (size_t)a->rows * a->columns; i++)
		for (unsigned s = 0; s < a->samples; s++) {
			int64_t va = 0, vb = 0;

			memcpy(&va, pa + sample_at(a, i, s), bytes);
			memcpy(&vb, pb + sample_at(b, i, s), bytes);
			va = va > vb ? va - vb : vb - va;
			worst = va > worst ? (uint32_t)va : worst;
		}
	return worst;
}

/* The largest difference after encoding and decoding. */
static uint32_t round_trip(const char *uid, const struct nx_pixel_desc *desc)
{
	static uint8_t before[LEN_MAX], after[LEN_MAX];
	const struct nx_pixel_codec *codec = nx_pixel_codec_find(uid);
	const size_t len = nx_pixel_frame_len(desc);
	struct nx_pixel_desc encoded, decoded;
	struct nx_err err = {0};
	NX_AUTO_DONE(nx_buf) stream;

	nx_buf_init(&stream, LEN_MAX, 0);
	assert_non_null(codec);
	assert_true(len <= LEN_MAX);
	picture(desc, before);
	assert_ok(
		nx_pixel_encode(codec, desc, nx_slice(before, len), NULL, &stream, &encoded, &err),
		&err);
	assert_ok(
		nx_pixel_decode(codec,
			&(struct nx_pixel_frame){.desc = &encoded, .bytes = nx_buf_slice(&stream)},
			after, LEN_MAX, &decoded, &err),
		&err);
	assert_int_equal(decoded.bits_allocated, desc->bits_allocated);
	return worst_difference(desc, before, &decoded, after);
}

static void all_depths(const char *uid, const unsigned *allocated, size_t n)
{
	for (size_t a = 0; a < n; a++)
		for (unsigned stored = 1; stored <= allocated[a]; stored++)
			for (unsigned sign = 0; sign < 2; sign++) {
				const struct shape *shape = &shapes[stored % NX_ARRAY_LEN(shapes)];
				const struct nx_pixel_desc gray =
					describe(&shapes[0], allocated[a], stored, sign);
				const struct nx_pixel_desc other =
					describe(shape, allocated[a], stored, sign);

				assert_int_equal(round_trip(uid, &gray), 0);
				assert_int_equal(round_trip(uid, &other), 0);
			}
}

static const unsigned narrow[] = {8, 16}, wide[] = {8, 16, 32};

static void test_native_keeps_every_sample(void **state)
{
	(void)state;
	all_depths("1.2.840.10008.1.2.1", wide, NX_ARRAY_LEN(wide));
}

static void test_rle_keeps_every_sample(void **state)
{
	(void)state;
	all_depths("1.2.840.10008.1.2.5", wide, NX_ARRAY_LEN(wide));
}

static void test_deflated_frames_keep_every_sample(void **state)
{
	(void)state;
	all_depths("1.2.840.10008.1.2.8.1", wide, NX_ARRAY_LEN(wide));
}

static void test_jpeg_ls_keeps_every_sample(void **state)
{
	(void)state;
	all_depths("1.2.840.10008.1.2.4.80", narrow, NX_ARRAY_LEN(narrow));
}

static void test_jpeg_2000_keeps_every_sample(void **state)
{
	(void)state;
	all_depths("1.2.840.10008.1.2.4.90", narrow, NX_ARRAY_LEN(narrow));
}

static void test_htj2k_keeps_every_sample(void **state)
{
	(void)state;
	all_depths("1.2.840.10008.1.2.4.202", narrow, NX_ARRAY_LEN(narrow));
}

/* RPCL, and TLM before the first tile-part with its length. */
static void test_htj2k_has_what_rpcl_options_ask_for(void **state)
{
	static const uint8_t tlm[] = {0xFF, 0x55, 0, 9, 0, 0x50, 0};
	const struct shape shape = {128, 96, 1, false};
	const struct nx_pixel_desc desc = describe(&shape, 16, 12, false);
	static uint8_t samples[128 * 96 * 2];
	struct nx_pixel_desc got;
	NX_AUTO_DONE(nx_buf) s;
	const uint8_t *at, *cod;
	uint32_t length = 0;

	(void)state;
	nx_buf_init(&s, LEN_MAX, 0);
	picture(&desc, samples);
	assert_rc(nx_pixel_encode(nx_pixel_codec_find("1.2.840.10008.1.2.4.202"), &desc,
			  nx_slice(samples, sizeof(samples)), NULL, &s, &got, NULL),
		NX_OK);
	cod = memmem(s.data, s.len, "\xFF\x52", 2);
	at = memmem(s.data, s.len, tlm, sizeof(tlm));
	assert_non_null(cod);
	assert_int_equal(cod[5], 2); /* RPCL */
	assert_int_equal(cod[9], 1); /* 128 to 64 */
	assert_non_null(at);
	for (unsigned i = 0; i < 4; i++)
		length = length << 8 | at[sizeof(tlm) + i];
	at += sizeof(tlm) + 4;
	assert_memory_equal(at, "\xFF\x90", 2);
	assert_ptr_equal(at + length, s.data + s.len - 2);
	assert_memory_equal(at + length, "\xFF\xD9", 2);
}

static void test_near_lossless_stays_within_its_bound(void **state)
{
	const struct nx_pixel_desc gray = describe(&shapes[0], 16, 12, false);
	const struct nx_pixel_desc color = describe(&shapes[3], 8, 8, false);

	(void)state;
	assert_in_range(round_trip("1.2.840.10008.1.2.4.81", &gray), 0, 2);
	assert_in_range(round_trip("1.2.840.10008.1.2.4.81", &color), 0, 2);
}

/* A gradient, since noise is what lossy codecs leave out. */
static uint32_t gradient_difference(const char *uid, unsigned samples, unsigned flags)
{
	static uint8_t before[64 * 64 * 3], after[64 * 64 * 3];
	const struct shape shape = {64, 64, (uint16_t)samples, false};
	const struct nx_pixel_desc desc = describe(&shape, 8, 8, false);
	const struct nx_pixel_codec *codec = nx_pixel_codec_find(uid);
	const size_t len = nx_pixel_frame_len(&desc);
	struct nx_pixel_desc got;
	struct nx_err err = {0};
	NX_AUTO_DONE(nx_buf) stream;

	nx_buf_init(&stream, LEN_MAX, 0);
	for (size_t i = 0; i < len; i++)
		before[i] = (uint8_t)(i / samples % 64 * 2 + i / samples / 64 + i % samples * 20);
	assert_ok(nx_pixel_encode(codec, &desc, nx_slice(before, len), NULL, &stream, &got, &err),
		&err);
	assert_true(stream.len < len / 2);
	assert_ok(nx_pixel_decode(codec,
			  &(struct nx_pixel_frame){
				  .desc = &got, .bytes = nx_buf_slice(&stream), .flags = flags},
			  after, len, &got, &err),
		&err);
	if (samples == 3)
		assert_int_equal(got.photometric, NX_PHOTO_RGB);
	return worst_difference(&desc, before, &got, after);
}

static void test_lossy_codecs_stay_close(void **state)
{
	(void)state;
	assert_in_range(gradient_difference("1.2.840.10008.1.2.4.50", 1, 0), 0, 2);
	assert_in_range(gradient_difference("1.2.840.10008.1.2.4.50", 3, NX_PIXEL_RGB), 0, 4);
	assert_in_range(gradient_difference("1.2.840.10008.1.2.4.91", 1, 0), 0, 10);
	assert_in_range(gradient_difference("1.2.840.10008.1.2.4.91", 3, 0), 0, 20);
}

static void test_samples_beyond_bits_stored_survive(void **state)
{
	static const char *const lossless[] = {
		"1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"};
	const struct shape shape = {16, 16, 1, false};
	struct nx_pixel_desc desc = describe(&shape, 16, 16, false);
	uint8_t before[512], after[512];
	struct nx_err err = {0};

	(void)state;
	picture(&desc, before);
	desc.bits_stored = 12; /* overlays once lived in the other four (retired in PS3.5 2004) */
	for (size_t i = 0; i < NX_ARRAY_LEN(lossless); i++) {
		const struct nx_pixel_codec *codec = nx_pixel_codec_find(lossless[i]);
		struct nx_pixel_desc got;
		NX_AUTO_DONE(nx_buf) stream;

		nx_buf_init(&stream, LEN_MAX, 0);
		assert_ok(nx_pixel_encode(
				  codec, &desc, nx_slice(before, 512), NULL, &stream, &got, &err),
			&err);
		assert_ok(nx_pixel_decode(codec,
				  &(struct nx_pixel_frame){
					  .desc = &got, .bytes = nx_buf_slice(&stream)},
				  after, 512, &got, &err),
			&err);
		assert_memory_equal(before, after, 512);
	}
}

static void test_big_endian_is_swapped(void **state)
{
	const struct nx_pixel_codec *codec = nx_pixel_codec_find("1.2.840.10008.1.2.2");
	const struct shape shape = {1, 3, 1, false};
	struct nx_pixel_desc desc = describe(&shape, 16, 16, false), got;
	uint8_t out[6];

	(void)state;
	assert_rc(nx_pixel_decode(codec,
			  &(struct nx_pixel_frame){
				  .desc = &desc, .bytes = nx_slice("\1\2\3\4\5\6", 6)},
			  out, 6, &got, NULL),
		NX_OK);
	assert_memory_equal(out, "\2\1\4\3\6\5", 6);
	desc = describe(&shape, 8, 8, false);
	assert_rc(nx_pixel_decode(codec,
			  &(struct nx_pixel_frame){.desc = &desc, .bytes = nx_slice("\1\2\3\4", 4)},
			  out, 6, &got, NULL),
		NX_OK);
	assert_memory_equal(out, "\1\2\3", 3);
	desc.words = true;
	assert_rc(nx_pixel_decode(codec,
			  &(struct nx_pixel_frame){.desc = &desc, .bytes = nx_slice("\1\2\3\4", 4)},
			  out, 6, &got, NULL),
		NX_OK);
	assert_memory_equal(out, "\2\1\4", 3);
}

static void test_native_422_gets_its_chroma_back(void **state)
{
	const struct nx_pixel_codec *codec = nx_pixel_codec_find("1.2.840.10008.1.2.1");
	const struct shape shape = {1, 2, 3, false};
	struct nx_pixel_desc desc = describe(&shape, 8, 8, false), got;
	uint8_t out[6];

	(void)state;
	desc.photometric = NX_PHOTO_YBR_FULL_422;
	assert_rc(nx_pixel_decode(codec,
			  &(struct nx_pixel_frame){.desc = &desc, .bytes = nx_slice("\1\2\3\4", 4)},
			  out, 6, &got, NULL),
		NX_OK);
	assert_memory_equal(out, "\1\3\4\2\3\4", 6);
	assert_int_equal(got.photometric, NX_PHOTO_YBR_FULL);
}

static void test_one_bit_frames_are_cut_out_of_bytes(void **state)
{
	struct nx_pixel_desc desc = {.rows = 1,
		.columns = 3,
		.frames = 4,
		.samples = 1,
		.bits_allocated = 1,
		.bits_stored = 1};
	const uint8_t data[] = {0x8D, 0x0B}; /* 101 100 010 110 1: from the lowest bit on */
	static const uint8_t want[] = {5, 1, 6, 5};

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		NX_AUTO_DONE(nx_buf) one;

		nx_buf_init(&one, 16, 0);
		assert_rc(nx_pixel_native_frame(&desc, nx_slice(data, 2), i, &one, NULL), NX_OK);
		assert_int_equal(one.len, 1);
		assert_int_equal(one.data[0], want[i]);
	}
}

static void test_bombs_are_refused_before_memory_is_taken(void **state)
{
	const struct nx_pixel_codec *native = nx_pixel_codec_find("1.2.840.10008.1.2.1");
	const struct shape shape = {65535, 65535, 1, false};
	struct nx_pixel_desc desc = describe(&shape, 16, 16, false), got;
	uint8_t out[8];

	(void)state;
	assert_rc(nx_pixel_decode(native,
			  &(struct nx_pixel_frame){.desc = &desc, .bytes = nx_slice("", 0)}, out, 8,
			  &got, NULL),
		NX_E_LIMIT);
	desc.rows = desc.columns = 1;
	desc.frames = 1u << 31;
	assert_rc(nx_pixel_desc_check(&desc, NULL), NX_E_LIMIT);
	desc.frames = 1;
	desc.rows = 65536;
	assert_rc(nx_pixel_desc_check(&desc, NULL), NX_E_MALFORMED);
}

/* Streams of one size in data sets of another, and cut short: refused by every codec. */
static void test_streams_that_are_not_the_image_are_refused(void **state)
{
	const struct shape shape = {32, 32, 1, false};
	const struct nx_pixel_desc desc = describe(&shape, 8, 8, false);
	uint8_t samples[1024], out[4096];

	(void)state;
	picture(&desc, samples);
	for (const struct nx_pixel_codec *codec = nx_pixel_codecs; codec->uid; codec++) {
		struct nx_pixel_desc got, other = desc;
		NX_AUTO_DONE(nx_buf) stream;

		nx_buf_init(&stream, LEN_MAX, 0);
		if (!codec->encode)
			continue;
		assert_rc(nx_pixel_encode(
				  codec, &desc, nx_slice(samples, 1024), NULL, &stream, &got, NULL),
			NX_OK);
		assert_rc(nx_pixel_decode(codec,
				  &(struct nx_pixel_frame){
					  .desc = &desc, .bytes = nx_buf_slice(&stream)},
				  out, 1023, &got, NULL),
			NX_E_INVAL);
		assert_int_not_equal(
			nx_pixel_decode(codec,
				&(struct nx_pixel_frame){.desc = &desc,
					.bytes = nx_slice(stream.data, stream.len / 2)},
				out, 4096, &got, NULL),
			NX_OK);
		other.rows = other.columns = 64;
		assert_int_not_equal(nx_pixel_decode(codec,
					     &(struct nx_pixel_frame){.desc = &other,
						     .bytes = nx_buf_slice(&stream)},
					     out, 4096, &got, NULL),
			NX_OK);
	}
}

/* A byte that makes the length even may be anything that is no marker; without EOI there is no end.
 */
static void test_jpeg_ls_ends_with_its_marker(void **state)
{
	const struct nx_pixel_codec *codec = nx_pixel_codec_find("1.2.840.10008.1.2.4.80");
	const struct shape shape = {16, 16, 1, false};
	const struct nx_pixel_desc desc = describe(&shape, 8, 8, false);
	uint8_t samples[256], out[256];
	struct nx_pixel_desc got;
	NX_AUTO_DONE(nx_buf) stream;
	size_t n;

	(void)state;
	nx_buf_init(&stream, LEN_MAX, 0);
	picture(&desc, samples);
	assert_rc(nx_pixel_encode(codec, &desc, nx_slice(samples, 256), NULL, &stream, &got, NULL),
		NX_OK);
	n = stream.len;
	for (unsigned pad = 0; pad < 2; pad++) {
		stream.len = n;
		nx_buf_put_u8(&stream, pad ? 0xFF : 0);
		assert_rc(nx_pixel_decode(codec,
				  &(struct nx_pixel_frame){
					  .desc = &desc, .bytes = nx_buf_slice(&stream)},
				  out, 256, &got, NULL),
			NX_OK);
		assert_memory_equal(out, samples, 256);
	}
	assert_rc(nx_pixel_decode(codec,
			  &(struct nx_pixel_frame){
				  .desc = &desc, .bytes = nx_slice(stream.data, n - 2)},
			  out, 256, &got, NULL),
		NX_E_SHORT);
	memmove(stream.data + n - 1, stream.data + n - 2, 2); /* a zero before EOI */
	stream.data[n - 2] = 0;
	assert_rc(nx_pixel_decode(codec,
			  &(struct nx_pixel_frame){
				  .desc = &desc, .bytes = nx_slice(stream.data, n + 1)},
			  out, 256, &got, NULL),
		NX_OK);
	assert_memory_equal(out, samples, 256);
}

static void test_rows_of_the_table_are_whole(void **state)
{
	(void)state;
	for (const struct nx_pixel_codec *c = nx_pixel_codecs; c->uid; c++) {
		assert_true(c->name && c->bits_max);
		assert_int_equal(!c->decode, !!(c->flags & NX_PIXEL_VIDEO));
		assert_int_equal(!c->library, !c->decode);
		assert_true(nx_pixel_codec_find(c->uid) == c);
	}
	assert_null(nx_pixel_codec_find("1.2.3"));
}

static void test_terms_are_known_with_padding(void **state)
{
	(void)state;
	assert_int_equal(nx_photometric_parse(nx_slice("RGB ", 4)), NX_PHOTO_RGB);
	assert_int_equal(nx_photometric_parse(nx_slice("HSV", 3)), NX_PHOTO_UNKNOWN);
	assert_string_equal(nx_photometric_term(NX_PHOTO_YBR_FULL_422), "YBR_FULL_422");
}

static nx_rc one_use(void *payload)
{
	const struct shape shape = {40, 40, 3, true};
	const struct nx_pixel_desc desc = describe(&shape, 8, 8, false);
	const struct nx_pixel_codec *codec = payload;
	static uint8_t samples[4800], out[4800];
	struct nx_pixel_desc got;
	NX_AUTO_DONE(nx_buf) stream;
	nx_rc rc;

	nx_buf_init(&stream, LEN_MAX, 0);
	rc = nx_pixel_encode(codec, &desc, nx_slice(samples, 4800), NULL, &stream, &got, NULL);
	if (!rc)
		rc = nx_pixel_decode(codec,
			&(struct nx_pixel_frame){.desc = &got,
				.bytes = nx_buf_slice(&stream),
				.flags = NX_PIXEL_RGB},
			out, 4800, &got, NULL);
	return rc;
}

static void test_failing_allocations_are_reported(void **state)
{
	(void)state;
	for (const struct nx_pixel_codec *c = nx_pixel_codecs; c->uid; c++)
		if (c->encode) {
			struct nx_pixel_codec copy = *c;

			(void)nx_torture(one_use, &copy);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_native_keeps_every_sample),
		cmocka_unit_test(test_rle_keeps_every_sample),
		cmocka_unit_test(test_deflated_frames_keep_every_sample),
		cmocka_unit_test(test_jpeg_ls_keeps_every_sample),
		cmocka_unit_test(test_jpeg_2000_keeps_every_sample),
		cmocka_unit_test(test_htj2k_keeps_every_sample),
		cmocka_unit_test(test_htj2k_has_what_rpcl_options_ask_for),
		cmocka_unit_test(test_near_lossless_stays_within_its_bound),
		cmocka_unit_test(test_lossy_codecs_stay_close),
		cmocka_unit_test(test_samples_beyond_bits_stored_survive),
		cmocka_unit_test(test_big_endian_is_swapped),
		cmocka_unit_test(test_native_422_gets_its_chroma_back),
		cmocka_unit_test(test_one_bit_frames_are_cut_out_of_bytes),
		cmocka_unit_test(test_bombs_are_refused_before_memory_is_taken),
		cmocka_unit_test(test_streams_that_are_not_the_image_are_refused),
		cmocka_unit_test(test_jpeg_ls_ends_with_its_marker),
		cmocka_unit_test(test_rows_of_the_table_are_whole),
		cmocka_unit_test(test_terms_are_known_with_padding),
		cmocka_unit_test(test_failing_allocations_are_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

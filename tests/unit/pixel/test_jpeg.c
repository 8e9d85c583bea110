/* Lossless JPEG against a plain writer of it (ISO/IEC 10918-1 Annex H), for all that it can be. */
#include "nx_test.h"

#include <stdlib.h>

#include "base/buf.h"
#include "pixel/pixel.h"

enum {
	SIDE = 23,
	SAMPLES_MAX = SIDE * SIDE * 3,
	STREAM_MAX = 1 << 20
};

/* What the writer does. */
struct how {
	unsigned bits;
	unsigned samples;
	unsigned selector;
	unsigned low;
	unsigned restart_rows;
	bool long_codes; /* some of 12 bits, past the first look-up */
	bool separate;   /* a scan for each component */
};

struct bits {
	struct nx_buf *out;
	uint32_t acc;
	unsigned n;
};

static void bits_put(struct bits *b, uint32_t v, unsigned n)
{
	while (n-- > 0) {
		b->acc = b->acc << 1 | (v >> n & 1);
		if (++b->n < 8)
			continue;
		nx_buf_put_u8(b->out, (uint8_t)b->acc);
		if ((b->acc & 0xFF) == 0xFF)
			nx_buf_put_u8(b->out, 0);
		b->n = 0;
	}
}

static void bits_flush(struct bits *b)
{
	while (b->n)
		bits_put(b, 1, 1);
}

/* Seventeen symbols: all of five bits, or the first ten of four and the others of twelve. */
static void symbol_put(struct bits *b, const struct how *how, unsigned symbol)
{
	if (!how->long_codes)
		bits_put(b, symbol, 5);
	else if (symbol < 10)
		bits_put(b, symbol, 4);
	else
		bits_put(b, (10u << 8) + symbol - 10, 12);
}

static void table_put(struct nx_buf *out, const struct how *how)
{
	nx_buf_put(out, "\xFF\xC4\0\x24\0", 5);
	for (unsigned len = 1; len <= 16; len++)
		nx_buf_put_u8(out,
			(uint8_t)(!how->long_codes  ? (len == 5 ? 17 : 0)
					: len == 4  ? 10
					: len == 12 ? 7
						    : 0));
	for (unsigned symbol = 0; symbol < 17; symbol++)
		nx_buf_put_u8(out, (uint8_t)symbol);
}

static void difference_put(struct bits *b, const struct how *how, uint16_t difference)
{
	int32_t v = difference < 0x8000 ? difference : (int32_t)difference - 0x10000;
	unsigned size = 0;

	for (uint32_t m = (uint32_t)abs(v); m; m >>= 1)
		size++;
	symbol_put(b, how, size);
	if (size && size < 16)
		bits_put(b, (uint32_t)(v < 0 ? v - 1 : v) & ((1u << size) - 1), size);
}

static uint16_t at(const struct how *how, const uint16_t *image, int y, int x, unsigned c)
{
	return (uint16_t)(image[((unsigned)(y * SIDE + x)) * how->samples + c] >> how->low);
}

static uint16_t prediction(
	const struct how *how, const uint16_t *image, int y, int x, unsigned c, bool first_row)
{
	int ra, rb, rc;

	if (first_row && !x)
		return (uint16_t)(1u << (how->bits - how->low - 1));
	if (first_row)
		return at(how, image, y, x - 1, c);
	if (!x)
		return at(how, image, y - 1, x, c);
	ra = at(how, image, y, x - 1, c);
	rb = at(how, image, y - 1, x, c);
	rc = at(how, image, y - 1, x - 1, c);
	{
		const int table[] = {0, ra, rb, rc, ra + rb - rc, ra + ((rb - rc) >> 1),
			rb + ((ra - rc) >> 1), (ra + rb) / 2};

		return (uint16_t)table[how->selector];
	}
}

static void scan_put(struct nx_buf *out, const struct how *how, const uint16_t *image,
	unsigned first, unsigned n)
{
	struct bits b = {.out = out};

	nx_buf_put(out, "\xFF\xDA", 2);
	nx_buf_put_u16be(out, (uint16_t)(6 + 2 * n));
	nx_buf_put_u8(out, (uint8_t)n);
	for (unsigned c = first; c < first + n; c++)
		nx_buf_put(out, (const uint8_t[]){(uint8_t)(c + 1), 0}, 2);
	nx_buf_put(out, (const uint8_t[]){(uint8_t)how->selector, 0, (uint8_t)how->low}, 3);
	for (int y = 0; y < SIDE; y++) {
		const bool restart = how->restart_rows && y && (unsigned)y % how->restart_rows == 0;

		if (restart) {
			bits_flush(&b);
			nx_buf_put(out,
				(const uint8_t[]){0xFF,
					(uint8_t)(0xD0 +
						((unsigned)y / how->restart_rows - 1) % 8)},
				2);
		}
		for (int x = 0; x < SIDE; x++)
			for (unsigned c = first; c < first + n; c++)
				difference_put(&b, how,
					(uint16_t)(at(how, image, y, x, c) -
						prediction(how, image, y, x, c, !y || restart)));
	}
	bits_flush(&b);
}

static void write_stream(struct nx_buf *out, const struct how *how, const uint16_t *image)
{
	nx_buf_put(out, "\xFF\xD8\xFF\xC3", 4);
	nx_buf_put_u16be(out, (uint16_t)(8 + 3 * how->samples));
	nx_buf_put_u8(out, (uint8_t)how->bits);
	nx_buf_put_u16be(out, SIDE);
	nx_buf_put_u16be(out, SIDE);
	nx_buf_put_u8(out, (uint8_t)how->samples);
	for (unsigned c = 0; c < how->samples; c++)
		nx_buf_put(out, (const uint8_t[]){(uint8_t)(c + 1), 0x11, 0}, 3);
	table_put(out, how);
	if (how->restart_rows) {
		nx_buf_put(out, "\xFF\xDD\0\4", 4);
		nx_buf_put_u16be(out, (uint16_t)(how->restart_rows * SIDE));
	}
	if (how->separate)
		for (unsigned c = 0; c < how->samples; c++)
			scan_put(out, how, image, c, 1);
	else
		scan_put(out, how, image, 0, how->samples);
	nx_buf_put(out, "\xFF\xD9", 2);
}

static struct nx_pixel_desc describe(const struct how *how)
{
	return (struct nx_pixel_desc){.rows = SIDE,
		.columns = SIDE,
		.frames = 1,
		.samples = (uint16_t)how->samples,
		.bits_allocated = how->bits > 8 ? 16 : 8,
		.bits_stored = (uint16_t)how->bits};
}

static void picture(const struct how *how, uint16_t *image)
{
	uint32_t state = how->bits * 77 + how->selector;

	for (size_t i = 0; i < (size_t)SIDE * SIDE * how->samples; i++) {
		state = state * 1664525u + 1013904223u;
		image[i] = (uint16_t)((i % 5 ? state >> 12 : i * 40) & ((1u << how->bits) - 1) &
			~((1u << how->low) - 1));
	}
}

static void check(const struct how *how)
{
	const struct nx_pixel_codec *codec = nx_pixel_codec_find("1.2.840.10008.1.2.4.57");
	struct nx_pixel_desc desc = describe(how), got;
	static uint16_t image[SAMPLES_MAX];
	static uint8_t out[2 * SAMPLES_MAX];
	struct nx_err err = {0};
	NX_AUTO_DONE(nx_buf) stream;

	nx_buf_init(&stream, STREAM_MAX, 0);
	picture(how, image);
	write_stream(&stream, how, image);
	assert_ok(nx_pixel_decode(codec,
			  &(struct nx_pixel_frame){.desc = &desc, .bytes = nx_buf_slice(&stream)},
			  out, sizeof(out), &got, &err),
		&err);
	for (size_t i = 0; i < (size_t)SIDE * SIDE * how->samples; i++)
		assert_int_equal(
			how->bits > 8 ? out[2 * i] | out[2 * i + 1] << 8 : out[i], image[i]);
	/* Every shorter stream is refused, or (where only EOI is missing) the same. */
	for (size_t n = 0; n < stream.len; n += 1 + stream.len / 50)
		if (nx_pixel_decode(codec,
			    &(struct nx_pixel_frame){
				    .desc = &desc, .bytes = nx_slice(stream.data, n)},
			    out, sizeof(out), &got, NULL) == NX_OK)
			assert_true(n + 2 >= stream.len);
}

static void test_every_depth_and_predictor(void **state)
{
	(void)state;
	for (unsigned bits = 2; bits <= 16; bits++)
		for (unsigned selector = 1; selector <= 7; selector++)
			check(&(struct how){.bits = bits,
				.samples = 1,
				.selector = selector,
				.long_codes = selector % 2});
}

static void test_components_restarts_and_point_transforms(void **state)
{
	(void)state;
	for (unsigned selector = 1; selector <= 7; selector++) {
		check(&(struct how){.bits = 8, .samples = 3, .selector = selector});
		check(&(struct how){
			.bits = 16, .samples = 3, .selector = selector, .separate = true});
		check(&(struct how){.bits = 12,
			.samples = 1,
			.selector = selector,
			.restart_rows = 3,
			.long_codes = true});
		check(&(struct how){.bits = 12, .samples = 1, .selector = selector, .low = 3});
	}
}

static void test_signed_samples_get_their_sign(void **state)
{
	const struct how how = {.bits = 12, .samples = 1, .selector = 1};
	const struct nx_pixel_codec *codec = nx_pixel_codec_find("1.2.840.10008.1.2.4.70");
	struct nx_pixel_desc desc = describe(&how), got;
	static uint16_t image[SAMPLES_MAX];
	static uint8_t out[2 * SAMPLES_MAX];
	NX_AUTO_DONE(nx_buf) stream;

	(void)state;
	nx_buf_init(&stream, STREAM_MAX, 0);
	image[0] = 0xFFF; /* -1 in twelve bits */
	write_stream(&stream, &how, image);
	desc.is_signed = true;
	assert_rc(nx_pixel_decode(codec,
			  &(struct nx_pixel_frame){.desc = &desc, .bytes = nx_buf_slice(&stream)},
			  out, sizeof(out), &got, NULL),
		NX_OK);
	assert_memory_equal(out, "\xFF\xFF\0\0", 4);
}

static void test_a_process_without_decoder_is_named(void **state)
{
	static const uint8_t arithmetic[] = {
		0xFF, 0xD8, 0xFF, 0xC9, 0, 11, 8, 0, SIDE, 0, SIDE, 1, 1, 0x11, 0, 0xFF, 0xD9};
	const struct how how = {.bits = 8, .samples = 1};
	const struct nx_pixel_codec *codec = nx_pixel_codec_find("1.2.840.10008.1.2.4.50");
	const struct nx_pixel_desc desc = describe(&how);
	struct nx_pixel_desc got;
	static uint8_t out[SAMPLES_MAX];

	(void)state;
	assert_rc(nx_pixel_decode(codec,
			  &(struct nx_pixel_frame){
				  .desc = &desc, .bytes = nx_slice(arithmetic, sizeof(arithmetic))},
			  out, sizeof(out), &got, NULL),
		NX_E_UNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_depth_and_predictor),
		cmocka_unit_test(test_components_restarts_and_point_transforms),
		cmocka_unit_test(test_signed_samples_get_their_sign),
		cmocka_unit_test(test_a_process_without_decoder_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

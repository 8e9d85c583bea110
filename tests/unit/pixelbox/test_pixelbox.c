/* Frames in workers: samples as without them, and what becomes of those that do harm. */
#include "nx_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/sanitize.h"
#include "pixel/icc.h"
#include "pixelbox/pixelbox.h"

enum {
	SIDE = 64,
	LEN = SIDE * SIDE * 2,
	THREADS = 6,
	ROUNDS = 8
};

#define RLE "1.2.840.10008.1.2.5"

/* ---- codecs that do harm, in the worker only ---- */

static nx_rc crash(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	(void)codec;
	(void)desc;
	(void)frame;
	(void)out;
	(void)ret_desc;
	(void)err;
	__builtin_trap();
}

static nx_rc hang(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	volatile uint8_t *counted = out;

	(void)codec;
	(void)desc;
	(void)ret_desc;
	(void)err;
	while (frame.n)
		counted[0] = (uint8_t)(counted[0] + 1);
	return NX_OK;
}

static nx_rc devour(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	(void)codec;
	(void)desc;
	(void)frame;
	(void)out;
	(void)ret_desc;
	for (unsigned i = 0; i < 64; i++) {
		volatile uint8_t *p = malloc(256u * NX_MIB);

		if (!p)
			return nx_err_set(err, NX_E_NOMEM, "no more after %u", i);
		p[0] = 1;
	}
	return NX_OK;
}

/* True where the sandbox gave what it must not give. */
static nx_rc escape(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	const bool got = frame.p[0] == 'f' ? open("/etc/passwd", O_RDONLY) >= 0
		: frame.p[0] == 's'        ? socket(AF_INET, SOCK_STREAM, 0) >= 0
		: frame.p[0] == 'p'        ? fork() >= 0
					   : getppid() > 0;

	(void)codec;
	(void)desc;
	(void)out;
	(void)ret_desc;
	return nx_err_set(err, got ? NX_E_DENIED : NX_E_CLOSED, "tried");
}

static nx_rc lie(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	(void)codec;
	(void)desc;
	(void)frame;
	(void)out;
	ret_desc->photometric = (enum nx_photometric)99;
	(void)err;
	return NX_OK;
}

static nx_rc speak(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	(void)codec;
	(void)desc;
	(void)frame;
	(void)out;
	(void)ret_desc;
	return nx_err_set(err, NX_E_SHORT, "a\nb\033c");
}

static const struct nx_pixel_codec harmful[] = {{"crash", "", "", 0, 16, crash, NULL},
	{"hang", "", "", 0, 16, hang, NULL}, {"devour", "", "", 0, 16, devour, NULL},
	{"escape", "", "", 0, 16, escape, NULL}, {"lie", "", "", 0, 16, lie, NULL},
	{"speak", "", "", 0, 16, speak, NULL}, {NULL, NULL, NULL, 0, 0, NULL, NULL}};

/* The real table, and behind it the harmful rows. */
static int worker(void)
{
	static struct nx_pixel_codec all[64];
	size_t n = 0;

	for (const struct nx_pixel_codec *c = nx_pixel_codecs; c->uid; c++)
		all[n++] = *c;
	for (const struct nx_pixel_codec *c = harmful; c->uid; c++)
		all[n++] = *c;
	return nx_pixelbox_worker(all);
}

/* ---- tests ---- */

static const struct nx_pixel_desc image = {.rows = SIDE,
	.columns = SIDE,
	.frames = 1,
	.samples = 1,
	.bits_allocated = 16,
	.bits_stored = 16,
	.photometric = NX_PHOTO_MONOCHROME2};

static struct nx_pixelbox *open_box(unsigned workers, int64_t frame_us)
{
	const struct nx_pixelbox_opts opts = {workers, frame_us};
	struct nx_pixelbox *box = NULL;

	assert_rc(nx_pixelbox_new(&opts, &box, NULL), NX_OK);
	return box;
}

static nx_rc decode(struct nx_pixelbox *box, const char *uid, struct nx_slice frame, uint8_t *out,
	struct nx_err *err)
{
	struct nx_pixel_desc got;

	return nx_pixelbox_decode(box, uid,
		&(struct nx_pixel_frame){.desc = &image, .bytes = frame}, out, LEN, &got, err);
}

static void picture(uint8_t *samples, unsigned seed)
{
	for (size_t i = 0; i < LEN; i++)
		samples[i] = (uint8_t)(i / 7 * seed);
}

/* There and back; false where anything went wrong. */
static bool round_trip(struct nx_pixelbox *box, unsigned seed)
{
	uint8_t before[LEN], after[LEN];
	struct nx_pixel_desc got;
	NX_AUTO_DONE(nx_buf) stream;

	nx_buf_init(&stream, 4 * LEN, 0);
	picture(before, seed);
	return nx_pixelbox_encode(box, RLE,
		       &(struct nx_pixel_frame){.desc = &image, .bytes = nx_slice(before, LEN)},
		       NULL, &stream, &got, NULL) == NX_OK &&
		decode(box, RLE, nx_buf_slice(&stream), after, NULL) == NX_OK &&
		memcmp(before, after, LEN) == 0;
}

static void test_frames_come_back_as_without_workers(void **state)
{
	NX_AUTO(nx_pixelbox) *box = open_box(1, 0);
	struct nx_pixelbox_counts counts;

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++)
		assert_true(round_trip(box, i));
	nx_pixelbox_count(box, &counts);
	assert_u64(counts.frames, 2 * ROUNDS);
	assert_u64(counts.started, 1);
}

static void *many(void *payload)
{
	bool good = true;

	for (unsigned i = 0; i < ROUNDS; i++)
		good = round_trip(payload, i) && good;
	return good ? payload : NULL;
}

static void test_threads_share_workers(void **state)
{
	NX_AUTO(nx_pixelbox) *box = open_box(2, 0);
	pthread_t threads[THREADS];

	(void)state;
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, many, box), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		void *good = NULL;

		assert_int_equal(pthread_join(threads[i], &good), 0);
		assert_non_null(good);
	}
}

static void test_a_crash_is_an_error_of_its_frame_alone(void **state)
{
	NX_AUTO(nx_pixelbox) *box = open_box(1, 0);
	struct nx_pixelbox_counts counts;
	struct nx_err err = {0};
	uint8_t out[LEN];

	(void)state;
	assert_true(round_trip(box, 1));
	assert_rc(decode(box, "crash", nx_slice("x", 1), out, &err), NX_E_MALFORMED);
	assert_non_null(strstr(err.text, "died of this frame (signal"));
	assert_true(round_trip(box, 2));
	nx_pixelbox_count(box, &counts);
	assert_u64(counts.died, 1);
	assert_u64(counts.started, 2);
}

static void test_a_hang_is_ended(void **state)
{
	NX_AUTO(nx_pixelbox) *box = open_box(1, 300000);
	const int64_t begin = nx_mono_us();
	struct nx_pixelbox_counts counts;
	uint8_t out[LEN];

	(void)state;
	assert_rc(decode(box, "hang", nx_slice("x", 1), out, NULL), NX_E_LIMIT);
	assert_true(nx_mono_us() - begin < 20 * 1000000);
	nx_pixelbox_count(box, &counts);
	assert_u64(counts.killed, 1);
}

static void test_memory_has_a_bound(void **state)
{
	NX_AUTO(nx_pixelbox) *box = open_box(1, 0);
	uint8_t out[LEN];

	(void)state;
	if (NX_WITH_ASAN || NX_WITH_TSAN)
		return; /* their shadow is larger than any bound */
	assert_rc(decode(box, "devour", nx_slice("x", 1), out, NULL), NX_E_NOMEM);
	assert_true(round_trip(box, 3));
}

static void test_no_file_no_network_no_process(void **state)
{
	static const char *const ways[] = {"f", "s", "p", "x"};
	/* A sanitizer must be able to report: there the call fails, elsewhere it ends the worker.
	 */
	const nx_rc want = NX_WITH_ASAN || NX_WITH_TSAN ? NX_E_CLOSED : NX_E_MALFORMED;
	NX_AUTO(nx_pixelbox) *box = open_box(1, 0);
	uint8_t out[LEN];

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(ways); i++)
		assert_rc(decode(box, "escape", nx_slice(ways[i], 1), out, NULL), want);
}

static void test_answers_are_not_believed(void **state)
{
	NX_AUTO(nx_pixelbox) *box = open_box(1, 0);
	struct nx_err err = {0};
	uint8_t out[LEN];

	(void)state;
	assert_rc(decode(box, "lie", nx_slice("x", 1), out, NULL), NX_E_INTERNAL);
	assert_rc(decode(box, "speak", nx_slice("x", 1), out, &err), NX_E_SHORT);
	assert_string_equal(err.text, "a?b?c");
	assert_rc(decode(box, "1.2.3", nx_slice("x", 1), out, NULL), NX_E_UNSUPPORTED);
}

static void test_bombs_never_reach_a_worker(void **state)
{
	NX_AUTO(nx_pixelbox) *box = open_box(1, 0);
	struct nx_pixel_desc bomb = image, got;
	struct nx_pixelbox_counts counts;
	uint8_t out[LEN];

	(void)state;
	bomb.rows = bomb.columns = 65535;
	assert_rc(nx_pixelbox_decode(box, RLE,
			  &(struct nx_pixel_frame){.desc = &bomb, .bytes = nx_slice("x", 1)}, out,
			  LEN, &got, NULL),
		NX_E_LIMIT);
	bomb = image;
	bomb.frames = 1u << 31;
	assert_rc(nx_pixelbox_decode(box, RLE,
			  &(struct nx_pixel_frame){.desc = &bomb, .bytes = nx_slice("x", 1)}, out,
			  LEN, &got, NULL),
		NX_E_LIMIT);
	nx_pixelbox_count(box, &counts);
	assert_u64(counts.started, 0);
}

/* Cut, flipped, and after that as it was; whether that came back. */
static void damage(struct nx_pixelbox *box, const char *uid, const struct nx_pixel_desc *desc,
	struct nx_buf *stream)
{
	struct nx_pixel_desc got;
	uint8_t out[LEN];

	for (size_t i = 1; i < 24; i++) {
		const size_t at = stream->len * i / 24;
		const uint8_t flip = (uint8_t)(1u << i % 8);

		assert_int_not_equal(nx_pixelbox_decode(box, uid,
					     &(struct nx_pixel_frame){.desc = desc,
						     .bytes = nx_slice(stream->data, at)},
					     out, LEN, &got, NULL),
			NX_E_INTERNAL);
		stream->data[at] ^= flip;
		assert_int_not_equal(nx_pixelbox_decode(box, uid,
					     &(struct nx_pixel_frame){
						     .desc = desc, .bytes = nx_buf_slice(stream)},
					     out, LEN, &got, NULL),
			NX_E_INTERNAL);
		stream->data[at] ^= flip;
	}
	assert_rc(nx_pixelbox_decode(box, uid,
			  &(struct nx_pixel_frame){.desc = desc, .bytes = nx_buf_slice(stream)},
			  out, LEN, &got, NULL),
		NX_OK);
}

/* Streams of every codec: an error or samples, and the next frame is served. */
static void test_damaged_streams_do_no_harm(void **state)
{
	NX_AUTO(nx_pixelbox) *box = open_box(1, 5 * 1000000);
	uint8_t before[LEN];

	(void)state;
	picture(before, 5);
	for (const struct nx_pixel_codec *c = nx_pixel_codecs; c->uid; c++) {
		struct nx_pixel_desc desc = image, got;
		NX_AUTO_DONE(nx_buf) stream;

		nx_buf_init(&stream, 4 * LEN, 0);
		if (!c->encode)
			continue;
		if (c->bits_max < 16)
			desc.bits_allocated = desc.bits_stored = 8;
		assert_rc(nx_pixelbox_encode(box, c->uid,
				  &(struct nx_pixel_frame){.desc = &desc,
					  .bytes = nx_slice(before, nx_pixel_frame_len(&desc))},
				  NULL, &stream, &got, NULL),
			NX_OK);
		damage(box, c->uid, &desc, &stream);
	}
	assert_true(round_trip(box, 4));
}

/* ---- colors ---- */

static struct nx_buf profile_of(enum nx_color_space space)
{
	struct nx_buf profile;

	nx_buf_init(&profile, NX_LIMIT_ICC, 0);
	assert_rc(nx_icc_profile(space, &profile, NULL), NX_OK);
	return profile;
}

static void test_colors_come_back_as_without_workers(void **state)
{
	struct nx_buf from = profile_of(NX_COLOR_SRGB), to = profile_of(NX_COLOR_ROMM_RGB);
	struct nx_pixelbox *box = open_box(1, 0);
	uint8_t pixels[3 * SIDE * SIDE], want[3 * SIDE * SIDE];
	struct nx_raster raster = {SIDE, SIDE, 3, pixels};
	struct nx_err err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(pixels); i++)
		pixels[i] = (uint8_t)(i * i >> 3);
	assert_ok(nx_icc_convert(
			  nx_buf_slice(&from), nx_buf_slice(&to), pixels, SIDE * SIDE, want, &err),
		&err);
	assert_ok(nx_pixelbox_convert(box, &raster, nx_buf_slice(&from), nx_buf_slice(&to), &err),
		&err);
	assert_memory_equal(pixels, want, sizeof(want));
	/* What is no profile costs an error, and the worker goes on. */
	for (size_t n = 0; n < from.len; n += from.len / 40 + 1)
		(void)!nx_pixelbox_convert(
			box, &raster, nx_slice(from.data, n), nx_buf_slice(&to), &err);
	for (size_t i = 0; i < from.len; i += 7) {
		from.data[i] ^= (uint8_t)(i | 1);
		(void)!nx_pixelbox_convert(
			box, &raster, nx_buf_slice(&from), nx_buf_slice(&to), &err);
		from.data[i] ^= (uint8_t)(i | 1);
	}
	assert_ok(nx_pixelbox_convert(box, &raster, nx_buf_slice(&from), nx_buf_slice(&to), &err),
		&err);
	assert_true(round_trip(box, 4));
	nx_pixelbox_free(box);
	nx_buf_done(&from);
	nx_buf_done(&to);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_come_back_as_without_workers),
		cmocka_unit_test(test_threads_share_workers),
		cmocka_unit_test(test_a_crash_is_an_error_of_its_frame_alone),
		cmocka_unit_test(test_a_hang_is_ended),
		cmocka_unit_test(test_memory_has_a_bound),
		cmocka_unit_test(test_no_file_no_network_no_process),
		cmocka_unit_test(test_answers_are_not_believed),
		cmocka_unit_test(test_bombs_never_reach_a_worker),
		cmocka_unit_test(test_damaged_streams_do_no_harm),
		cmocka_unit_test(test_colors_come_back_as_without_workers),
	};

	if (nx_pixelbox_is_worker(argc, argv))
		return worker();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

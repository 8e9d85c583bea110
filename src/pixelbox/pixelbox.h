/*
 * pixelbox.h - codecs in processes of their own, which hold nothing and can reach nothing: a stream
 * that takes a decoder over has a frame of its own and some memory.
 *
 * Layer:   1 (pixelbox).  Uses pixel, base, libseccomp.  Owns processes, and no other I/O.
 * Threads: a struct nx_pixelbox may be shared; a call waits for a worker that is free.
 * PHI:     frames pass through memory shared with a worker, which is cleared when it is given back.
 *
 * A worker is this program again (/proc/self/exe), so that nothing of the server's memory is in it:
 * main() of every program that opens a pool begins with nx_pixelbox_is_worker().  It has an empty
 * environment, no files, no cores, bounded memory and time, and a seccomp filter that knows memory,
 * its socket and the end.
 */
#ifndef NX_PIXELBOX_PIXELBOX_H
#define NX_PIXELBOX_PIXELBOX_H

#include <stdint.h>

#include "pixel/image_file.h"
#include "pixel/render.h"

struct nx_pixelbox;

struct nx_pixelbox_opts {
	unsigned workers; /* 0: as many as processors; started when they are first needed */
	int64_t frame_us; /* for one frame; 0: NX_LIMIT_PIXEL_FRAME_US */
};

NX_NODISCARD nx_rc nx_pixelbox_new(
	const struct nx_pixelbox_opts *opts, struct nx_pixelbox **ret_box, struct nx_err *err);
/* No call may be in flight. */
struct nx_pixelbox *nx_pixelbox_free(struct nx_pixelbox *box);
NX_DEFINE_AUTO(nx_pixelbox);

/*
 * nx_pixel_decode() and nx_pixel_encode() in a worker.  Beside their errors: NX_E_MALFORMED where
 * the worker died of the frame, NX_E_LIMIT where it took too long or too much memory.  Such a
 * worker is replaced.
 */
NX_NODISCARD nx_rc nx_pixelbox_decode(struct nx_pixelbox *box, const char *ts_uid,
	const struct nx_pixel_frame *frame, uint8_t *out, size_t cap,
	struct nx_pixel_desc *ret_desc, struct nx_err *err);
NX_NODISCARD nx_rc nx_pixelbox_encode(struct nx_pixelbox *box, const char *ts_uid,
	const struct nx_pixel_frame *samples, const struct nx_pixel_params *params,
	struct nx_buf *out, struct nx_pixel_desc *ret_desc, struct nx_err *err);

/* nx_icc_convert() in a worker, of a raster of three samples, in its place. */
NX_NODISCARD nx_rc nx_pixelbox_convert(struct nx_pixelbox *box, struct nx_raster *raster,
	struct nx_slice from, struct nx_slice to, struct nx_err *err);

/*
 * nx_image_read() in a worker, of at most NX_LIMIT_IMAGE_FILE bytes.  `take` gets all frames and
 * behind them the milliseconds of each, which are gone when it returns; it is called at most once.
 */
struct nx_image_taker {
	nx_rc (*take)(void *payload, const struct nx_pixel_desc *desc, struct nx_slice samples,
		struct nx_slice delays, struct nx_err *err);
	void *payload;
};
NX_NODISCARD nx_rc nx_pixelbox_image(struct nx_pixelbox *box, const struct nx_image_source *source,
	const struct nx_image_taker *taker, struct nx_err *err);

struct nx_pixelbox_counts {
	uint64_t frames;  /* done, also with an error */
	uint64_t started; /* workers */
	uint64_t died;    /* of a frame */
	uint64_t killed;  /* for their time */
};
void nx_pixelbox_count(struct nx_pixelbox *box, struct nx_pixelbox_counts *ret);

/* Whether these are the arguments of a worker. */
bool nx_pixelbox_is_worker(int argc, char *const *argv);
/* The whole of a worker; main() returns what it returns.  `table` is nx_pixel_codecs but in tests.
 */
int nx_pixelbox_worker(const struct nx_pixel_codec *table);

#endif

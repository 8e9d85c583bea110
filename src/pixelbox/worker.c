#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "base/buf.h"
#include "base/sanitize.h"
#include "pixel/icc.h"
#include "pixelbox/pixelbox_priv.h"

bool nx_pixelbox_is_worker(int argc, char *const *argv)
{
	return argc == 2 && strcmp(argv[1], NX_PIXELBOX_ARG) == 0;
}

static const struct nx_pixel_codec *codec_find(const struct nx_pixel_codec *table, const char *uid)
{
	while (table->uid && strcmp(table->uid, uid) != 0)
		table++;
	return table->uid ? table : NULL;
}

/* What the frame may take beside what the worker has; without an effect on what a sanitizer needs.
 */
static void memory_limit(uint64_t most)
{
	struct rlimit limit;

	if (NX_WITH_ASAN || NX_WITH_TSAN || getrlimit(RLIMIT_AS, &limit) != 0)
		return;
	limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
	(void)setrlimit(RLIMIT_AS, &limit);
}

static nx_rc encode(const struct nx_pixel_codec *codec, const struct nx_box_request *r,
	const uint8_t *in, uint8_t *out, struct nx_pixel_desc *ret_desc, uint64_t *ret_len,
	struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) stream;
	nx_rc rc;

	nx_buf_init(&stream, r->out_cap, 0);
	rc = nx_pixel_encode(
		codec, &r->desc, nx_slice(in, r->in_len), &r->params, &stream, ret_desc, err);
	if (rc)
		return rc;
	memcpy(out, stream.data, stream.len);
	*ret_len = stream.len;
	return NX_OK;
}

/* Pixels, and behind them both profiles. */
static nx_rc convert(const struct nx_box_request *r, const uint8_t *in, uint8_t *out,
	struct nx_box_answer *answer, struct nx_err *err)
{
	const struct nx_slice from = nx_slice(in + r->in_len, r->profiles[0]);
	const struct nx_slice to = nx_slice(from.p + from.n, r->profiles[1]);

	answer->photometric = r->desc.photometric;
	answer->out_len = r->out_cap;
	return nx_icc_convert(from, to, in, r->in_len / 3, out, err);
}

static nx_rc image(const struct nx_box_request *r, const uint8_t *in, uint8_t *out,
	struct nx_box_answer *answer, struct nx_err *err)
{
	const struct nx_image_source source = {r->form, r->flags, nx_slice(in, r->in_len)};

	return nx_image_read(&source, out, r->out_cap, &answer->desc, &answer->out_len, err);
}

static nx_rc frame_do(const struct nx_pixel_codec *table, const struct nx_box_request *r,
	const uint8_t *in, uint8_t *out, struct nx_box_answer *answer, struct nx_err *err)
{
	const struct nx_pixel_codec *codec = codec_find(table, r->uid);
	struct nx_pixel_desc got = r->desc;
	nx_rc rc;

	if (r->op == NX_BOX_CONVERT)
		return convert(r, in, out, answer, err);
	if (r->op == NX_BOX_IMAGE)
		return image(r, in, out, answer, err);
	if (!codec)
		return nx_err_set(err, NX_E_UNSUPPORTED, "no codec for this transfer syntax");
	answer->out_len = r->out_cap;
	if (r->op == NX_BOX_DECODE)
		rc = nx_pixel_decode(codec,
			&(struct nx_pixel_frame){.desc = &r->desc,
				.bytes = nx_slice(in, r->in_len),
				.flags = r->flags},
			out, r->out_cap, &got, err);
	else
		rc = encode(codec, r, in, out, &got, &answer->out_len, err);
	answer->photometric = got.photometric;
	answer->planar = got.planar;
	return rc;
}

/* Nothing of the frame before may be seen by the next: mappings come and go with it. */
static void request_answer(const struct nx_pixel_codec *table, const struct nx_box_request *r,
	struct nx_box_answer *answer)
{
	const uint64_t in_len = r->in_len + r->profiles[0] + r->profiles[1];
	struct nx_err err = {0};
	uint8_t *in, *out;

	(void)alarm(r->seconds);
	in = mmap(NULL, in_len + 1, PROT_READ, MAP_SHARED, NX_BOX_INPUT, 0);
	out = mmap(NULL, r->out_cap + 1, PROT_READ | PROT_WRITE, MAP_SHARED, NX_BOX_OUTPUT, 0);
	memory_limit(r->memory);
	if (in == MAP_FAILED || out == MAP_FAILED)
		answer->rc = nx_err_set(&err, NX_E_NOMEM, "no memory for a frame");
	else
		answer->rc = frame_do(table, r, in, out, answer, &err);
	(void)snprintf(answer->text, sizeof(answer->text), "%s", err.text);
	memory_limit(UINT64_MAX);
	if (in != MAP_FAILED)
		(void)munmap(in, in_len + 1);
	if (out != MAP_FAILED)
		(void)munmap(out, r->out_cap + 1);
	(void)alarm(0);
}

int nx_pixelbox_worker(const struct nx_pixel_codec *table)
{
	struct nx_box_request request;

	tzset(); /* Little CMS asks for the date; the time zone's file is read once, and here */
	if (!nx_sandbox_enter())
		_exit(1);
	while (recv(NX_BOX_SOCKET, &request, sizeof(request), 0) == sizeof(request)) {
		struct nx_box_answer answer = {0};

		request_answer(table, &request, &answer);
		if (send(NX_BOX_SOCKET, &answer, sizeof(answer), MSG_NOSIGNAL) != sizeof(answer))
			break;
	}
	_exit(0); /* what libraries do at the end needs more than this process may */
}

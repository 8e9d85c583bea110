/*
 * pixel_dump [--rgb] [--encode UID [--param N]] FILE OUT: the samples of all frames, color by
 * pixel; with --encode one codestream per frame, each behind its length in four little-endian
 * bytes.  Says on standard output what they are, as JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "pixel/render.h"
#include "pixel_file.h"

struct how {
	unsigned flags;
	const char *uid;
	struct nx_pixel_params params;
	struct nx_gray window; /* not NX_VOI_FRAME: rendered */
	FILE *out;
};

static nx_rc put(FILE *out, const void *p, size_t n, struct nx_err *err)
{
	return fwrite(p, 1, n, out) == n ? NX_OK : nx_err_set(err, NX_E_IO, "write");
}

static nx_rc frame_encode(const struct how *how, const struct nx_pixel_desc *desc,
	struct nx_slice samples, struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	const struct nx_pixel_codec *codec = nx_pixel_codec_find(how->uid);
	NX_AUTO_DONE(nx_buf) stream;
	uint8_t length[4];
	nx_rc rc;

	nx_buf_init(&stream, 2 * NX_LIMIT_PIXEL_FRAME, 0);
	if (!codec)
		return nx_err_set(err, NX_E_UNSUPPORTED, "no such codec");
	rc = nx_pixel_encode(codec, desc, samples, &how->params, &stream, ret_desc, err);
	for (unsigned i = 0; i < sizeof(length); i++)
		length[i] = (uint8_t)(stream.len >> (8 * i));
	if (!rc)
		rc = put(how->out, length, sizeof(length), err);
	return rc ? rc : put(how->out, stream.data, stream.len, err);
}

static nx_rc frame_render(const struct how *how, const struct pixel_file *file,
	const struct nx_pixel_desc *desc, struct nx_slice samples, struct nx_err *err)
{
	const size_t n = (size_t)desc->rows * desc->columns;
	struct nx_gray window = how->window;
	NX_AUTO_MEM uint8_t *gray = malloc(n);
	nx_rc rc;

	if (!gray)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a frame");
	window.slope = file->slope;
	window.intercept = file->intercept;
	rc = nx_render_gray(desc, samples, &window, gray, err);
	return rc ? rc : put(how->out, gray, n, err);
}

static nx_rc frames_dump(const struct how *how, const struct pixel_file *file,
	struct nx_pixel_desc *got, struct nx_err *err)
{
	const size_t len = nx_pixel_frame_len(&file->desc);
	NX_AUTO_MEM uint8_t *samples = malloc(len);
	nx_rc rc = NX_OK;

	if (!samples)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a frame");
	for (uint32_t i = 0; !rc && i < file->desc.frames; i++) {
		rc = nx_pixel_decode(file->codec,
			&(struct nx_pixel_frame){
				.desc = &file->desc, .bytes = file->frames[i], .flags = how->flags},
			samples, len, got, err);
		if (!rc && how->uid)
			rc = frame_encode(how, got, nx_slice(samples, len), got, err);
		else if (!rc && how->window.voi)
			rc = frame_render(how, file, got, nx_slice(samples, len), err);
		else if (!rc)
			rc = put(how->out, samples, len, err);
		if (rc)
			return nx_err_prefix(err, rc, "frame %u", i + 1);
	}
	return rc;
}

static nx_rc dump(const struct how *how, const char *path, struct nx_err *err)
{
	struct pixel_file file;
	struct nx_pixel_desc d;
	nx_rc rc = pixel_file_open(&file, path, err);

	if (!rc)
		rc = frames_dump(how, &file, &d, err);
	if (!rc)
		(void)printf("{\"rows\":%u,\"columns\":%u,\"frames\":%u,\"samples\":%u,"
			     "\"allocated\":%u,\"stored\":%u,\"signed\":%s,\"photometric\":\"%s\","
			     "\"codec\":\"%s\"}\n",
			d.rows, d.columns, d.frames, d.samples, d.bits_allocated, d.bits_stored,
			d.is_signed ? "true" : "false", nx_photometric_term(d.photometric),
			file.codec->name);
	pixel_file_done(&file);
	return rc;
}

static unsigned number(const char *text)
{
	return (unsigned)strtoul(text, NULL, 10);
}

/* As docs/TRANSFER-SYNTAXES.md has it. */
static int table_print(void)
{
	for (const struct nx_pixel_codec *c = nx_pixel_codecs; c->uid; c++)
		(void)printf("| %s | %s | %s | %s | %u | %s |\n", c->uid, c->name,
			c->decode                           ? "yes"
				: c->flags & NX_PIXEL_VIDEO ? "as it is"
							    : "no",
			!c->encode                          ? "no"
				: c->flags & NX_PIXEL_LOSSY ? "lossy"
							    : "lossless",
			c->bits_max, c->library ? c->library : "none");
	return 0;
}

/* One option and its words; how many there were, 0 for none that is known. */
static int option(struct how *how, int n, char **words)
{
	if (strcmp(words[0], "--rgb") == 0) {
		how->flags |= NX_PIXEL_RGB;
		return 1;
	}
	if (strcmp(words[0], "--encode") == 0 && n > 1) {
		how->uid = words[1];
		return 2;
	}
	if (strcmp(words[0], "--param") == 0 && n > 1) {
		const unsigned v = number(words[1]);

		how->params = (struct nx_pixel_params){v, v, v};
		return 2;
	}
	if (strcmp(words[0], "--window") == 0 && n > 2) {
		how->window = (struct nx_gray){.voi = NX_VOI_LINEAR,
			.center = strtod(words[1], NULL),
			.width = strtod(words[2], NULL)};
		return 3;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct how how = {.flags = NX_PIXEL_INTERLEAVED};
	struct nx_err err = {0};
	int at = 1, n = 1;
	nx_rc rc;

	if (argc == 2 && strcmp(argv[1], "--table") == 0)
		return table_print();
	for (; n && at < argc && argv[at][0] == '-'; at += n)
		n = option(&how, argc - at, argv + at);
	how.out = n && argc - at == 2 ? fopen(argv[at + 1], "wb") : NULL;
	if (!how.out) {
		(void)fprintf(stderr, "usage: pixel_dump [options] FILE OUT\n");
		return 2;
	}
	rc = dump(&how, argv[at], &err);
	if (fclose(how.out) != 0 && !rc)
		rc = nx_err_set(&err, NX_E_IO, "write");
	if (rc)
		(void)fprintf(stderr, "%s: %s\n", nx_rc_wire(rc), nx_err_text(&err));
	return rc != NX_OK;
}

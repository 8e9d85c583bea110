#include "http/coding.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

#include "http/http_priv.h"

enum {
	IN_LEN = 64 * 1024,
	GZIP_LEVEL = 4,
	GZIP_WINDOW = 15 + 16, /* with the header of RFC 1952 */
	GZIP_MEMORY = 8,
	ZSTD_LEVEL = 3,
	ZSTD_WINDOW = 20 /* 1 MiB; receivers take 8 (RFC 9659) */
};

struct coder_row {
	const char *name;
	nx_rc (*start)(struct nx_coder *c, struct nx_err *err);
	/* Takes from the input, adds to `out`; sets `ended` behind the last byte. */
	nx_rc (*step)(struct nx_coder *c, ZSTD_outBuffer *out, struct nx_err *err);
	void (*stop)(struct nx_coder *c);
};

struct nx_coder {
	const struct coder_row *row;
	nx_http_read_fn read;
	void *payload;
	z_stream gzip;
	ZSTD_CCtx *zstd;
	size_t in_at;
	size_t in_len;
	bool in_ended;
	bool ended;
	uint8_t in[IN_LEN];
};

static nx_rc zstd_start(struct nx_coder *c, struct nx_err *err)
{
	c->zstd = ZSTD_createCCtx();
	if (!c->zstd ||
		ZSTD_isError(
			ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) ||
		ZSTD_isError(ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_windowLog, ZSTD_WINDOW)))
		return nx_err_set(err, NX_E_NOMEM, "no memory for zstd");
	return NX_OK;
}

static nx_rc zstd_step(struct nx_coder *c, ZSTD_outBuffer *out, struct nx_err *err)
{
	ZSTD_inBuffer in = {c->in, c->in_len, c->in_at};
	size_t left =
		ZSTD_compressStream2(c->zstd, out, &in, c->in_ended ? ZSTD_e_end : ZSTD_e_continue);

	if (ZSTD_isError(left))
		return nx_err_set(err, NX_E_NOMEM, "zstd: %s", ZSTD_getErrorName(left));
	c->in_at = in.pos;
	c->ended = c->in_ended && left == 0;
	return NX_OK;
}

static void zstd_stop(struct nx_coder *c)
{
	(void)ZSTD_freeCCtx(c->zstd);
}

static nx_rc gzip_start(struct nx_coder *c, struct nx_err *err)
{
	if (deflateInit2(&c->gzip, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
		    Z_DEFAULT_STRATEGY) != Z_OK)
		return nx_err_set(err, NX_E_NOMEM, "no memory for gzip");
	return NX_OK;
}

static nx_rc gzip_step(struct nx_coder *c, ZSTD_outBuffer *out, struct nx_err *err)
{
	int z;

	c->gzip.next_in = c->in + c->in_at;
	c->gzip.avail_in = (uInt)(c->in_len - c->in_at);
	c->gzip.next_out = (Bytef *)out->dst + out->pos;
	c->gzip.avail_out = (uInt)(out->size - out->pos);
	z = deflate(&c->gzip, c->in_ended ? Z_FINISH : Z_NO_FLUSH);
	if (z != Z_OK && z != Z_STREAM_END && z != Z_BUF_ERROR)
		return nx_err_set(err, NX_E_INTERNAL, "gzip: error %d", z);
	c->in_at = c->in_len - c->gzip.avail_in;
	out->pos = out->size - c->gzip.avail_out;
	c->ended = z == Z_STREAM_END;
	return NX_OK;
}

static void gzip_stop(struct nx_coder *c)
{
	(void)deflateEnd(&c->gzip);
}

/* Where a client has no preference the first one is taken. */
static const struct coder_row rows[] = {
	[NX_CODING_NONE] = {"", NULL, NULL, NULL},
	[NX_CODING_ZSTD] = {"zstd", zstd_start, zstd_step, zstd_stop},
	[NX_CODING_GZIP] = {"gzip", gzip_start, gzip_step, gzip_stop},
};

const char *nx_coding_name(enum nx_coding coding)
{
	return rows[coding].name;
}

enum nx_coding nx_coding_choose(const char *accept)
{
	enum nx_coding best = NX_CODING_NONE;
	int best_q, q;

	if (!accept)
		return NX_CODING_NONE;
	best_q = nx_coding_weight(accept, "identity", false);
	for (enum nx_coding i = NX_CODING_ZSTD; i <= NX_CODING_GZIP; i++) {
		q = nx_coding_weight(accept, rows[i].name, true);
		if (q && (q > best_q || (q == best_q && best == NX_CODING_NONE))) {
			best = i;
			best_q = q;
		}
	}
	return best;
}

struct nx_coder *nx_coder_new(enum nx_coding coding, nx_http_read_fn read, void *payload)
{
	struct nx_coder *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->row = &rows[coding];
	c->read = read;
	c->payload = payload;
	if (c->row->start(c, NULL))
		return nx_coder_free(c);
	return c;
}

struct nx_coder *nx_coder_free(struct nx_coder *coder)
{
	if (!coder)
		return NULL;
	coder->row->stop(coder);
	explicit_bzero(coder->in, sizeof(coder->in));
	free(coder);
	return NULL;
}

static nx_rc in_fill(struct nx_coder *c, struct nx_err *err)
{
	nx_rc rc;

	if (c->in_ended || c->in_at < c->in_len)
		return NX_OK;
	c->in_at = 0;
	c->in_len = 0;
	rc = c->read(c->payload, c->in, sizeof(c->in), &c->in_len, err);
	c->in_ended = c->in_len == 0;
	return rc;
}

/* What is there goes out before more is asked for. */
nx_rc nx_coder_read(struct nx_coder *coder, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	ZSTD_outBuffer out = {p, n, 0};
	nx_rc rc = NX_OK;

	while (!rc && !coder->ended && out.pos == 0) {
		rc = in_fill(coder, err);
		if (!rc)
			rc = coder->row->step(coder, &out, err);
	}
	if (!rc)
		*ret_n = out.pos;
	return rc;
}

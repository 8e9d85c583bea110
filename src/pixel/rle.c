/*
 * rle.c - RLE Lossless (PS3.5 Annex G): a segment for every byte of every sample, the most
 * significant first, each packed as TIFF's PackBits.
 */
#include "base/buf.h"
#include "base/rd.h"
#include "pixel/pixel_priv.h"

enum {
	HEADER_LEN = 64,
	SEGMENTS_MAX = 15,
	RUN_MAX = 128
};

/* How the bytes of a frame lie in segments. */
struct layout {
	unsigned bytes;    /* of a sample */
	unsigned segments; /* samples * bytes */
	size_t n;          /* bytes of a segment */
	size_t step;       /* from one byte of a segment to its next, in native data */
};

static nx_rc layout_of(const struct nx_pixel_desc *desc, struct layout *ret, struct nx_err *err)
{
	ret->bytes = desc->bits_allocated == 1 ? 1 : desc->bits_allocated / 8u;
	ret->segments = ret->bytes * desc->samples;
	if (ret->segments > SEGMENTS_MAX || (desc->bits_allocated == 1 && desc->samples > 1))
		return nx_err_set(err, NX_E_UNSUPPORTED, "RLE of %u samples of %u bits",
			desc->samples, desc->bits_allocated);
	ret->n = desc->bits_allocated == 1 ? nx_pixel_frame_len(desc) : nx_frame_pixels(desc);
	ret->step = (size_t)ret->bytes * (desc->planar ? 1u : desc->samples);
	return NX_OK;
}

/* Where the first byte of segment `s` is in a native frame. */
static size_t place(const struct nx_pixel_desc *desc, const struct layout *l, unsigned s)
{
	const unsigned sample = s / l->bytes, significance = s % l->bytes;
	const size_t base = desc->planar ? sample * l->n * l->bytes : (size_t)sample * l->bytes;

	return base + l->bytes - 1 - significance;
}

static void literal_put(uint8_t *to, size_t step, const uint8_t *from, size_t n)
{
	if (step == 1) {
		memcpy(to, from, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		to[i * step] = from[i];
}

static void run_put(uint8_t *to, size_t step, uint8_t v, size_t n)
{
	if (step == 1) {
		memset(to, v, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		to[i * step] = v;
}

/* Bytes past the last one needed are padding; false when there are too few. */
static bool segment_unpack(struct nx_rd rd, uint8_t *out, size_t n, size_t step)
{
	size_t at = 0;
	uint8_t head;

	while (at < n && nx_rd_u8(&rd, &head)) {
		struct nx_slice literal;
		size_t len = head < RUN_MAX ? head + 1u : 257u - head;
		uint8_t v;

		if (head == RUN_MAX)
			continue;
		len = len < n - at ? len : n - at;
		if (head > RUN_MAX) {
			if (!nx_rd_u8(&rd, &v))
				return false;
			run_put(out + at * step, step, v, len);
		} else {
			if (!nx_rd_bytes(&rd, len, &literal))
				return false;
			literal_put(out + at * step, step, literal.p, len);
		}
		at += len;
	}
	return at == n;
}

nx_rc nx_rle_decode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice frame, uint8_t *out, struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	struct nx_rd head = nx_rd(frame);
	uint32_t offsets[SEGMENTS_MAX + 1] = {0}, count;
	struct layout l;
	nx_rc rc = layout_of(desc, &l, err);

	(void)codec;
	if (rc)
		return rc;
	if (frame.n < HEADER_LEN || !nx_rd_u32le(&head, &count))
		return nx_err_set(err, NX_E_SHORT, "RLE frame of %zu bytes", frame.n);
	if (count != l.segments)
		return nx_err_set(err, NX_E_MALFORMED, "RLE frame of %u segments instead of %u",
			count, l.segments);
	for (unsigned s = 0; s < count; s++)
		if (!nx_rd_u32le(&head, &offsets[s]) || offsets[s] < HEADER_LEN ||
			offsets[s] > frame.n || (s && offsets[s] < offsets[s - 1]))
			return nx_err_set(err, NX_E_MALFORMED, "RLE segment %u of %u begins at %u",
				s + 1, count, offsets[s]);
	for (unsigned s = 0; s < count; s++) {
		const size_t end = s + 1 < count ? offsets[s + 1] : frame.n;
		const struct nx_slice packed = nx_slice(frame.p + offsets[s], end - offsets[s]);

		if (!segment_unpack(nx_rd(packed), out + place(desc, &l, s), l.n, l.step))
			return nx_err_set(err, NX_E_SHORT,
				"RLE segment %u of %u ends before the image", s + 1, count);
	}
	ret_desc->planar = desc->planar;
	return NX_OK;
}

/* Equal bytes from `at` on, at most RUN_MAX. */
static size_t run_at(const uint8_t *row, size_t n, size_t at)
{
	size_t len = 1;

	while (at + len < n && len < RUN_MAX && row[at + len] == row[at])
		len++;
	return len;
}

/* `n` bytes, as runs of two and more, and what is between them; rows never share a run (G.3.1). */
static void row_pack(const uint8_t *row, size_t n, struct nx_buf *out)
{
	size_t at = 0;

	while (at < n) {
		size_t len = run_at(row, n, at), from = at;

		if (len > 1) {
			nx_buf_put_u8(out, (uint8_t)(257 - len));
			nx_buf_put_u8(out, row[at]);
			at += len;
			continue;
		}
		/* a run of two inside a literal costs as much as it saves */
		while (at < n && at - from < RUN_MAX && run_at(row, n, at) < 3)
			at++;
		nx_buf_put_u8(out, (uint8_t)(at - from - 1));
		nx_buf_put(out, row + from, at - from);
	}
}

static nx_rc segment_pack(const struct nx_pixel_desc *desc, const struct layout *l,
	const uint8_t *from, struct nx_buf *out, struct nx_err *err)
{
	const size_t width = desc->bits_allocated == 1 ? l->n : desc->columns;
	NX_AUTO_MEM uint8_t *row = malloc(width);

	if (!row)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a row");
	for (size_t y = 0; y < l->n / width; y++, from += width * l->step) {
		for (size_t x = 0; x < width; x++)
			row[x] = from[x * l->step];
		row_pack(row, width, out);
	}
	return nx_buf_check(out, err);
}

nx_rc nx_rle_encode(const struct nx_pixel_codec *codec, const struct nx_pixel_desc *desc,
	struct nx_slice samples, const struct nx_pixel_params *params, struct nx_buf *out,
	struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	const size_t start = out->len;
	struct layout l;
	nx_rc rc = layout_of(desc, &l, err);

	(void)codec;
	(void)params;
	if (rc)
		return rc;
	nx_buf_put_zero(out, HEADER_LEN);
	if (nx_buf_check(out, err))
		return nx_buf_check(out, err);
	nx_sample_put(out->data + start, 4, 0, l.segments);
	for (unsigned s = 0; !rc && s < l.segments; s++) {
		if (out->len - start > UINT32_MAX)
			return nx_err_set(err, NX_E_LIMIT, "RLE frame grows too long");
		nx_sample_put(out->data + start, 4, s + 1u, (uint32_t)(out->len - start));
		rc = segment_pack(desc, &l, samples.p + place(desc, &l, s), out, err);
		if ((out->len - start) % 2)
			nx_buf_put_u8(out, 0);
	}
	ret_desc->planar = desc->planar;
	return rc;
}

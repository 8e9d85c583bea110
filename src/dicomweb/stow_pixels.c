/*
 * Bulk parts to a value of an element.  Compressed frames become fragments of encapsulated pixel
 * data (PS3.5 A.4): a part is a frame; frames of one value follow each other under one location.
 */
#include <string.h>
#include <strings.h>

#include "dicomweb/stow_priv.h"

#define RLE "1.2.840.10008.1.2.5"

enum {
	FRAGMENT = 4 * 1024 * 1024, /* of a frame that may have several */
	ITEM_HEAD = 8,
	JPEG_HEAD_MIN = 4
};

/* PS3.18 Table 8.7.3-5: the transfer syntax where a part does not say it. */
static const struct {
	const char *media;
	const char *ts_uid;
	bool is_video;
} medias[] = {
	{"image/jpeg", "", false}, /* its own header says */
	{"image/dicom-rle", RLE, false},
	{"image/x-dicom-rle", RLE, false},
	{"image/jls", "1.2.840.10008.1.2.4.80", false},
	{"image/x-jls", "1.2.840.10008.1.2.4.80", false},
	{"image/jp2", "1.2.840.10008.1.2.4.90", false},
	{"image/jpx", "1.2.840.10008.1.2.4.92", false},
	{"image/jph", "1.2.840.10008.1.2.4.201", false},
	{"image/jphc", "1.2.840.10008.1.2.4.201", false},
	{"image/jxl", "1.2.840.10008.1.2.4.110", false},
	{"video/mpeg", "1.2.840.10008.1.2.4.101", true},
	{"video/mp4", "1.2.840.10008.1.2.4.102", true},
	{"video/H265", "1.2.840.10008.1.2.4.107", true},
};

/* Table 10.5.2-1: what is transformed. */
static const char *const images[NX_IMAGE_FORMS] = {
	[NX_IMAGE_PNG] = "image/png", [NX_IMAGE_GIF] = "image/gif"};

void stow_pixels_init(struct stow_pixels *p, const struct stow_pixels_opts *opts)
{
	int64_t frames = 1, samples = 0;

	(void)nx_dataset_int(opts->ds, NX_TAG_NUMBER_OF_FRAMES, &frames);
	(void)nx_dataset_int(opts->ds, NX_TAG_SAMPLES_PER_PIXEL, &samples);
	*p = (struct stow_pixels){
		.value = opts->value, .hold = opts->hold, .box = opts->box, .whole = frames > 1};
	p->samples = (unsigned)samples;
	nx_buf_init(&p->fragment, NX_LIMIT_DICOM_HEADER, NX_BUF_WIPE);
	nx_buf_init(&p->delays, 2ull * NX_LIMIT_PIXEL_FRAMES, 0);
}

/* Giving back never fails. */
static void fragment_drop(struct stow_pixels *p)
{
	(void)!nx_ingest_hold_set(p->hold, p->hold->bytes - p->fragment.len, NULL);
	nx_buf_clear(&p->fragment);
}

void stow_pixels_done(struct stow_pixels *p)
{
	if (p->hold)
		fragment_drop(p);
	nx_buf_done(&p->fragment);
	nx_buf_done(&p->delays);
}

/* ---- what a part is ---- */

static nx_rc syntax_agree(struct stow_pixels *p, const char *ts_uid, struct nx_err *err)
{
	if (p->ts_uid[0] && strcmp(p->ts_uid, ts_uid) != 0)
		return nx_err_set(err, NX_E_CONFLICT, "frames in several transfer syntaxes");
	(void)snprintf(p->ts_uid, sizeof(p->ts_uid), "%s", ts_uid);
	p->whole = p->whole || strcmp(ts_uid, RLE) == 0;
	return NX_OK;
}

/* What no table has is no native samples either. */
static bool is_visual(const char *content_type)
{
	return strncasecmp(content_type, "image/", 6) == 0 ||
		strncasecmp(content_type, "video/", 6) == 0;
}

static nx_rc image_part(struct stow_pixels *p, enum nx_image_form form, struct nx_err *err)
{
	if (p->began || (p->is_image ? p->form != form : nx_ingest_value_size(p->value) > 0))
		return nx_err_set(err, NX_E_CONFLICT, "frames of several kinds");
	p->is_image = true;
	p->form = form;
	return NX_OK;
}

nx_rc stow_pixels_part(struct stow_pixels *p, const char *content_type, struct nx_err *err)
{
	char said[NX_LIMIT_UID + 1] = "";
	const struct nx_ts *ts;
	size_t i;

	for (i = 0; i < NX_IMAGE_FORMS; i++)
		if (dw_media_is(content_type, images[i]))
			return image_part(p, (enum nx_image_form)i, err);
	if (p->is_image)
		return nx_err_set(err, NX_E_CONFLICT, "frames of several kinds");
	(void)nx_http_media_param(content_type, "transfer-syntax", said, sizeof(said));
	ts = nx_ts_find(said);
	if (ts && ts->big_endian)
		return nx_err_set(err, NX_E_UNSUPPORTED, "bulk data is little endian");
	if (ts && ts->encapsulated) {
		p->began = true;
		return syntax_agree(p, said, err);
	}
	i = 0;
	while (i < NX_ARRAY_LEN(medias) && !dw_media_is(content_type, medias[i].media))
		i++;
	if (i == NX_ARRAY_LEN(medias) && p->began)
		return nx_err_set(err, NX_E_CONFLICT, "frames of several kinds");
	if (i == NX_ARRAY_LEN(medias) && is_visual(content_type))
		return nx_err_set(
			err, NX_E_UNSUPPORTED, "an image of a media type that is not taken");
	if (i == NX_ARRAY_LEN(medias))
		return NX_OK;
	if (said[0])
		return nx_err_set(
			err, NX_E_UNSUPPORTED, "a transfer syntax that is not of its media type");
	p->began = true;
	p->whole = p->whole && !medias[i].is_video;
	return medias[i].ts_uid[0] ? syntax_agree(p, medias[i].ts_uid, err) : NX_OK;
}

/* The process that the first frame header says (ITU-T T.81 B.1.1.3). */
static const char *jpeg_syntax(struct nx_slice s)
{
	size_t at = 2;

	while (s.n >= at + JPEG_HEAD_MIN && s.p[at] == 0xff) {
		switch (s.p[at + 1]) {
		case 0xc0:
			return "1.2.840.10008.1.2.4.50";
		case 0xc1:
			return "1.2.840.10008.1.2.4.51";
		case 0xc3:
			return "1.2.840.10008.1.2.4.70";
		case 0xf7:
			return "1.2.840.10008.1.2.4.80";
		default:
			break;
		}
		at += 2 + ((size_t)s.p[at + 2] << 8 | s.p[at + 3]);
	}
	return NULL;
}

/* ---- fragments ---- */

static nx_rc item_put(struct stow_pixels *p, nx_tag tag, struct nx_slice data, struct nx_err *err)
{
	uint32_t n = (uint32_t)(data.n + (data.n & 1));
	const uint8_t head[ITEM_HEAD] = {(uint8_t)(tag >> 16), (uint8_t)(tag >> 24), (uint8_t)tag,
		(uint8_t)(tag >> 8), (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16),
		(uint8_t)(n >> 24)};
	nx_rc rc = nx_ingest_value_put(p->value, head, sizeof(head), err);

	if (!rc && data.n)
		rc = nx_ingest_value_put(p->value, data.p, data.n, err);
	if (!rc && data.n & 1)
		rc = nx_ingest_value_put(p->value, "", 1, err);
	return rc;
}

static nx_rc fragment_end(struct stow_pixels *p, struct nx_err *err)
{
	const char *ts_uid = p->ts_uid[0] ? NULL : jpeg_syntax(nx_buf_slice(&p->fragment));
	nx_rc rc = NX_OK;

	if (ts_uid)
		rc = syntax_agree(p, ts_uid, err);
	if (!p->ts_uid[0])
		return nx_err_set(
			err, NX_E_UNSUPPORTED, "a JPEG stream of no process that DICOM knows");
	/* Without an offset table: a fragment is a frame, or all are of the only one. */
	if (!rc && !nx_ingest_value_size(p->value))
		rc = item_put(p, NX_TAG_ITEM, nx_slice(NULL, 0), err);
	if (!rc)
		rc = item_put(p, NX_TAG_ITEM, nx_buf_slice(&p->fragment), err);
	fragment_drop(p);
	return rc;
}

nx_rc stow_pixels_put(struct stow_pixels *p, struct nx_slice data, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	if (!p->began && !p->is_image)
		return nx_ingest_value_put(p->value, data.p, data.n, err);
	while (data.n && !rc) {
		size_t room = FRAGMENT - p->fragment.len % FRAGMENT;
		size_t n = data.n < room ? data.n : room;

		rc = nx_ingest_hold_set(p->hold, p->hold->bytes + n, err);
		if (rc)
			break;
		nx_buf_put(&p->fragment, data.p, n);
		rc = nx_buf_check(&p->fragment, err);
		if (!rc && !p->whole && !p->is_image && p->fragment.len == FRAGMENT)
			rc = fragment_end(p, err);
		data = nx_slice(data.p + n, data.n - n);
	}
	return rc;
}

nx_rc stow_pixels_part_end(struct stow_pixels *p, struct nx_err *err)
{
	nx_rc rc;

	if (p->is_image) {
		rc = stow_image_end(p, err);
		fragment_drop(p);
		return rc;
	}
	return p->began && p->fragment.len ? fragment_end(p, err) : NX_OK;
}

nx_rc stow_pixels_end(struct stow_pixels *p, struct nx_err *err)
{
	if (!p->began)
		return NX_OK;
	if (!p->ts_uid[0])
		return nx_err_set(err, NX_E_MALFORMED, "no frame in the pixel data");
	return item_put(p, NX_TAG_SEQUENCE_DELIMITATION_ITEM, nx_slice(NULL, 0), err);
}

#include "pixel_file.h"

#include <fcntl.h>

#include "base/file.h"
#include "base/limits.h"
#include "dicom/dicom.h"
#include "pixel/frames.h"

enum {
	FILE_MAX = 1 << 30,
	BULK_MIN = 66 /* a UID is shorter: the parser must see the transfer syntax */
};

static uint16_t number(const struct nx_dataset *ds, nx_tag tag, uint16_t otherwise)
{
	int64_t v;

	return nx_dataset_int(ds, tag, &v) && v >= 0 && v <= UINT16_MAX ? (uint16_t)v : otherwise;
}

static double real(
	struct pixel_file *file, const struct nx_dataset *ds, nx_tag tag, double otherwise)
{
	const char *text = nx_dataset_text(ds, tag, file->arena);

	return text && *text ? strtod(text, NULL) : otherwise;
}

static void describe(struct pixel_file *file, const struct nx_dataset *ds)
{
	const char *term = nx_dataset_text(ds, NX_TAG_PHOTOMETRIC_INTERPRETATION, file->arena);
	struct nx_pixel_desc *d = &file->desc;
	int64_t frames;

	d->rows = number(ds, NX_TAG_ROWS, 0);
	d->columns = number(ds, NX_TAG_COLUMNS, 0);
	d->samples = number(ds, NX_TAG_SAMPLES_PER_PIXEL, 1);
	d->bits_allocated = number(ds, NX_TAG_BITS_ALLOCATED, 0);
	d->bits_stored = number(ds, NX_TAG_BITS_STORED, d->bits_allocated);
	d->high_bit = (uint16_t)(d->bits_stored - 1u);
	d->is_signed = number(ds, NX_TAG_PIXEL_REPRESENTATION, 0) == 1;
	d->planar = number(ds, NX_TAG_PLANAR_CONFIGURATION, 0) == 1 && d->samples > 1;
	d->photometric = nx_photometric_parse(nx_slice_str(term ? term : ""));
	file->slope = real(file, ds, NX_TAG_RESCALE_SLOPE, 1);
	file->intercept = real(file, ds, NX_TAG_RESCALE_INTERCEPT, 0);
	d->frames = 1;
	if (nx_dataset_int(ds, NX_TAG_NUMBER_OF_FRAMES, &frames) && frames > 0)
		d->frames = frames < UINT32_MAX ? (uint32_t)frames : UINT32_MAX;
}

static struct nx_slice value_of(const struct pixel_file *file, const struct nx_elem *e)
{
	return e->is_bulk ? nx_slice(file->bytes.data + e->bulk_offset, (size_t)e->bulk_length)
			  : e->value;
}

static nx_rc frame_join(struct pixel_file *file, struct nx_slice value,
	const struct nx_fragment *fragments, size_t n, struct nx_slice *ret, struct nx_err *err)
{
	size_t len = 0;
	uint8_t *to;

	*ret = nx_slice(value.p + fragments[0].offset, fragments[0].length);
	if (n == 1)
		return NX_OK;
	for (size_t i = 0; i < n; i++)
		len += fragments[i].length;
	to = nx_arena_alloc(file->arena, len ? len : 1);
	if (!to)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a frame");
	*ret = nx_slice(to, len);
	for (size_t i = 0; i < n; i++) {
		memcpy(to, value.p + fragments[i].offset, fragments[i].length);
		to += fragments[i].length;
	}
	return NX_OK;
}

static nx_rc frames_encapsulated(struct pixel_file *file, struct nx_slice value,
	struct nx_slice extended, struct nx_err *err)
{
	NX_AUTO(nx_pixel_scan) *scan = nx_pixel_scan_new();
	uint32_t *first = nx_arena_alloc_array(file->arena, file->desc.frames + 1u, sizeof(*first));
	const struct nx_fragment *fragments;
	struct nx_frame_tables tables = {.extended = extended};
	size_t n;
	nx_rc rc;

	if (!scan || !first)
		return nx_err_set(err, NX_E_NOMEM, "no memory for fragments");
	rc = nx_pixel_scan_feed(scan, value, err);
	if (!rc)
		rc = nx_pixel_scan_finish(scan, err);
	if (rc)
		return rc;
	fragments = nx_pixel_scan_fragments(scan, &n);
	tables.basic = nx_pixel_scan_offsets(scan);
	rc = nx_frames_index(fragments, n, &tables, file->desc.frames, first, err);
	for (uint32_t i = 0; !rc && i < file->desc.frames; i++)
		rc = frame_join(file, value, fragments + first[i], first[i + 1] - first[i],
			&file->frames[i], err);
	return rc;
}

static nx_rc frames_native(struct pixel_file *file, struct nx_slice value, struct nx_err *err)
{
	const uint64_t bits = nx_pixel_native_bits(&file->desc);
	NX_AUTO_DONE(nx_buf) one;
	nx_rc rc = NX_OK;

	nx_buf_init(&one, FILE_MAX, 0);
	for (uint32_t i = 0; !rc && i < file->desc.frames; i++) {
		nx_buf_clear(&one);
		rc = nx_pixel_native_frame(&file->desc, value, i, &one, err);
		if (!rc && bits % 8 == 0 && (file->desc.bits_allocated > 8 || bits % 16 == 0))
			file->frames[i] = nx_slice(value.p + bits / 8 * i, one.len);
		else if (!rc && file->desc.bits_allocated == 8) /* with the byte behind it */
			file->frames[i] =
				nx_slice(value.p + bits / 8 * i, value.n - (size_t)(bits / 8 * i));
		else if (!rc)
			file->frames[i] =
				nx_slice(nx_arena_copy(file->arena, one.data, one.len), one.len);
	}
	return rc;
}

static nx_rc frames_find(struct pixel_file *file, struct nx_err *err)
{
	const bool swapped = file->codec->flags & NX_PIXEL_BIG_ENDIAN;
	struct nx_dataset *ds = NULL;
	const struct nx_elem *e, *table;
	nx_rc rc = nx_dataset_parse(nx_buf_slice(&file->bytes), NULL,
		swapped ? BULK_MIN : UINT32_MAX, file->arena, &ds, err);

	e = rc ? NULL : nx_dataset_find(ds, NX_TAG_PIXEL_DATA);
	if (rc)
		return rc;
	if (!e)
		return nx_err_set(err, NX_E_NOENT, "no pixel data");
	if (swapped && !e->is_bulk) /* then it is little endian here */
		file->codec = nx_pixel_codec_find(NX_UID_EXPLICIT_VR_LITTLE_ENDIAN);
	file->desc.words = e->vr == NX_VR('O', 'W');
	rc = nx_pixel_desc_check(&file->desc, err);
	if (rc)
		return rc;
	file->frames = nx_arena_alloc_array(file->arena, file->desc.frames, sizeof(*file->frames));
	if (!file->frames)
		return nx_err_set(err, NX_E_NOMEM, "no memory for frames");
	if (!e->is_encapsulated)
		return frames_native(file, value_of(file, e), err);
	table = nx_dataset_find(ds, NX_TAG_EXTENDED_OFFSET_TABLE);
	return frames_encapsulated(
		file, value_of(file, e), table ? value_of(file, table) : nx_slice(NULL, 0), err);
}

nx_rc pixel_file_open(struct pixel_file *file, const char *path, struct nx_err *err)
{
	struct nx_dataset *ds = NULL;
	const char *ts;
	nx_rc rc;

	*file = (struct pixel_file){.arena = nx_arena_new(FILE_MAX, 0)};
	nx_buf_init(&file->bytes, FILE_MAX, 0);
	if (!file->arena)
		return nx_err_set(err, NX_E_NOMEM, "no memory");
	rc = nx_file_read(AT_FDCWD, path, &file->bytes, err);
	if (!rc)
		rc = nx_dataset_parse(nx_buf_slice(&file->bytes), NULL, 0, file->arena, &ds, err);
	if (rc)
		return rc;
	ts = nx_dataset_text(ds, NX_TAG_TRANSFER_SYNTAX_UID, file->arena);
	file->codec = nx_pixel_codec_find(ts && *ts ? ts : NX_UID_IMPLICIT_VR_LITTLE_ENDIAN);
	if (!file->codec)
		return nx_err_set(err, NX_E_UNSUPPORTED, "no codec for this transfer syntax");
	describe(file, ds);
	return frames_find(file, err);
}

void pixel_file_done(struct pixel_file *file)
{
	nx_buf_done(&file->bytes);
	file->arena = nx_arena_free(file->arena);
}
